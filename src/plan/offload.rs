//! Features of devices as `ethtool -k` and `-K` know them, and their channels (`-l`, `-L`).

use super::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The short and the long names of groups of features, and the kernel's names of what is in them; `*` stands for anything
/// (ethtool's netlink/features.c, `off_flag_def`).
pub const GROUPS: &[(&str, &str, &str)] = &[
    ("rx", "rx-checksumming", "rx-checksum"),
    ("tx", "tx-checksumming", "tx-checksum-*"),
    ("sg", "scatter-gather", "tx-scatter-gather*"),
    ("tso", "tcp-segmentation-offload", "tx-tcp*-segmentation"),
    ("ufo", "udp-fragmentation-offload", "tx-udp-fragmentation"),
    ("gso", "generic-segmentation-offload", "tx-generic-segmentation"),
    ("gro", "generic-receive-offload", "rx-gro"),
    ("lro", "large-receive-offload", "rx-lro"),
    ("rxvlan", "rx-vlan-offload", "rx-vlan-hw-parse"),
    ("txvlan", "tx-vlan-offload", "tx-vlan-hw-insert"),
    ("ntuple", "ntuple-filters", "rx-ntuple-filter"),
    ("rxhash", "receive-hashing", "rx-hashing"),
];

/// A feature of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name.
    pub name: String,
    pub active: bool,
    /// What was asked for last; it is active once the features that it needs are.
    pub wanted: bool,
    pub changeable: bool,
}

/// The queues of a device; what it has none of is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    pub rx: u32,
    pub tx: u32,
    pub other: u32,
    pub combined: u32,
}

/// What ethtool knows of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub features: Vec<Feature>,
    /// Those that there are, and the most that there can be.
    pub channels: Option<(Channels, Channels)>,
}

impl Device {
    /// What an undo brings back: what was wanted of the features that can be changed.
    #[must_use]
    pub fn wanted(&self) -> BTreeMap<String, bool> {
        self.features.iter().filter(|f| f.changeable).map(|f| (f.name.clone(), f.wanted)).collect()
    }

    /// The features that a word means: one by the kernel's name, or those of a group; `_` counts as `-`.
    ///
    /// # Errors
    /// The nearest word, where there is one.
    pub fn named(&self, word: &str) -> std::result::Result<Vec<&Feature>, Option<String>> {
        let word = word.replace('_', "-");
        let group = GROUPS.iter().find(|(short, long, _)| *short == word || *long == word);
        let found: Vec<&Feature> = match group {
            Some((_, _, pattern)) => self.features.iter().filter(|f| matches(pattern, &f.name)).collect(),
            None => self.features.iter().filter(|f| f.name == word).collect(),
        };
        if !found.is_empty() {
            return Ok(found);
        }
        let known = GROUPS.iter().flat_map(|(short, long, _)| [*short, *long]);
        Err(nearest(&word, known.chain(self.features.iter().map(|f| f.name.as_str()))).map(str::to_string))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    }
}

/// What is to change on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// By the kernel's names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

impl Change {
    /// As `ethtool` writes it.
    #[must_use]
    pub fn words(&self, dev: &str) -> String {
        let dev = super::ip::word(dev);
        let mut out = Vec::new();
        if !self.features.is_empty() {
            let all = self.features.iter().map(|(name, on)| format!(" {name} {}", if *on { "on" } else { "off" }));
            out.push(format!("ethtool -K {dev}{}", all.collect::<String>()));
        }
        if let Some(c) = self.channels {
            let all = [("rx", c.rx), ("tx", c.tx), ("other", c.other), ("combined", c.combined)];
            let all = all.iter().filter(|(_, n)| *n != 0).map(|(word, n)| format!(" {word} {n}"));
            out.push(format!("ethtool -L {dev}{}", all.collect::<String>()));
        }
        out.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_members() {
        let feature = |name: &str| Feature { name: name.into(), ..Feature::default() };
        let names =
            ["tx-checksum-ipv4", "tx-checksum-sctp", "tx-tcp-segmentation", "tx-tcp6-segmentation", "rx-gro", "tx-tcp"];
        let device = Device { features: names.map(feature).into(), channels: None };
        let named = |word: &str| device.named(word).map(|all| all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>());
        assert_eq!(named("tx"), Ok(vec!["tx-checksum-ipv4", "tx-checksum-sctp"]));
        assert_eq!(named("tcp_segmentation_offload"), Ok(vec!["tx-tcp-segmentation", "tx-tcp6-segmentation"]));
        assert_eq!(named("rx-gro"), Ok(vec!["rx-gro"]));
        assert_eq!(named("gr0"), Err(Some("gro".into())));
    }
}

//! The small closed set of things that nsscript does to a machine. Every script function lowers to these, and undo
//! exists on these only.

use super::link::{LinkChange, LinkSpec};
use super::record::{Rec, What};
use super::wireguard::Wireguard;
use serde::{Deserialize, Serialize};

/// A network namespace, by what does not lie: its cookie (`SO_NETNS_COOKIE`; an inode is reused at once). The name is
/// for people, and for `ip`; empty for the namespace that nsscript was started in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ns {
    pub cookie: u64,
    pub name: String,
}

impl Ns {
    /// Whether both are one namespace, which may have several names.
    #[must_use]
    pub fn is(&self, other: &Ns) -> bool {
        self.cookie == other.cookie
    }

    /// The name as messages write it.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name.is_empty() { "the host's namespace".into() } else { format!("namespace `{}`", self.name) }
    }

    /// Whether it is the namespace that nsscript was started in.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.name.is_empty()
    }
}

/// A link, by ifindex; the name is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LinkRef {
    pub index: u32,
    pub name: String,
}

/// One step. `words` is what follows `ip … add` in the equivalent command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Makes a namespace and binds its name in `/run/netns`. The cookie is 0 until the namespace is made, which is
    /// before its name is bound: an unnamed namespace ends by itself.
    NetnsAdd {
        name: String,
        cookie: u64,
    },
    /// Binds a name to a namespace that exists already, given by a file such as `/proc/PID/ns/net`.
    NetnsAttach {
        name: String,
        path: String,
    },
    /// Unbinds the name. The namespace itself ends when nothing holds it any more.
    NetnsDel {
        ns: Ns,
    },
    /// Gives `target` an nsid as seen from `at`; `None`: the kernel chooses.
    NetnsSetId {
        at: Ns,
        target: Ns,
        id: Option<i32>,
    },
    LinkAdd {
        ns: Ns,
        spec: LinkSpec,
    },
    LinkDel {
        ns: Ns,
        link: LinkRef,
    },
    LinkSet {
        ns: Ns,
        link: LinkRef,
        change: LinkChange,
    },
    /// Moves a link to another namespace; `name` and `index` there, where given.
    LinkMove {
        ns: Ns,
        link: LinkRef,
        to: Ns,
        name: Option<String>,
        index: u32,
    },
    /// Adds or removes an alternative name.
    LinkAltname {
        ns: Ns,
        link: LinkRef,
        name: String,
        add: bool,
    },
    /// Sets keys and peers of a wireguard that the run made itself.
    Wireguard {
        ns: Ns,
        link: LinkRef,
        config: Wireguard,
    },
    /// Sets features and channels of a device.
    Ethtool {
        ns: Ns,
        link: LinkRef,
        change: super::offload::Change,
    },
    /// Adds an address, route, neighbour, rule or nexthop. `mode` says what to do if there is one already.
    RecAdd {
        ns: Ns,
        rec: Rec,
        words: String,
        mode: AddMode,
    },
    RecDel {
        ns: Ns,
        rec: Rec,
        words: String,
    },
    /// Writes `/proc/sys/KEY` (with `/`) as seen in `ns`.
    Sysctl {
        ns: Ns,
        key: String,
        value: String,
    },
    /// Loads a text in nft's language, as one transaction.
    NftLoad {
        ns: Ns,
        ruleset: String,
    },
    /// Writes a file, whole.
    FileWrite {
        path: String,
        #[serde(with = "super::record::hex")]
        content: Vec<u8>,
        mode: u32,
        /// Whether folders that are missing are made.
        #[serde(default)]
        folders: bool,
    },
    FileRemove {
        path: String,
        /// Folders that go with it where they are empty then, the innermost first.
        #[serde(default)]
        folders: Vec<String>,
    },
    /// A program that runs in the background, set up and waiting to be let go.
    ProcessStart {
        ns: Ns,
        pid: i32,
        words: String,
    },
    /// Its end, with all that it started.
    ProcessEnd {
        pid: i32,
        start_time: u64,
        tag: String,
    },
}

/// What adding does where the object exists (`NLM_F_CREATE`, `NLM_F_EXCL`, `NLM_F_REPLACE`, `NLM_F_APPEND`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddMode {
    #[default]
    Create,
    Replace,
    /// Replaces what is there, and makes nothing new.
    Change,
    Append,
    /// Before those that are alike (IPv4 routes).
    Prepend,
}

/// What came of a verb.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The namespace that was made or attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<Ns>,
    /// ifindex and name of the link that was made or moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkRef>,
    /// Of the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<LinkRef>,
}

impl Outcome {
    /// Nothing came of it that has to be known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Outcome::default()
    }
}

impl Verb {
    /// The verb's word in events and errors.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verb::NetnsAdd { .. } => "netns_add",
            Verb::NetnsAttach { .. } => "netns_attach",
            Verb::NetnsDel { .. } => "netns_del",
            Verb::NetnsSetId { .. } => "netns_set",
            Verb::LinkAdd { .. } => "link_add",
            Verb::LinkDel { .. } => "link_del",
            Verb::LinkSet { .. } => "link_set",
            Verb::LinkMove { .. } => "link_move",
            Verb::LinkAltname { .. } => "link_altname",
            Verb::Wireguard { .. } => "wireguard_set",
            Verb::Ethtool { .. } => "offload",
            Verb::RecAdd { rec, .. } => match rec.what {
                What::Addr => "addr_add",
                What::Nexthop => "nexthop_add",
                What::Route => "route_add",
                What::Neigh => "neigh_add",
                What::Rule => "rule_add",
                What::Qdisc => "qdisc_add",
                What::Class => "class_add",
                What::Filter => "filter_add",
                What::Vlan => "bridge_vlan_add",
                What::Fdb => "fdb_add",
                What::Mdb => "mdb_add",
            },
            Verb::RecDel { rec, .. } => match rec.what {
                What::Addr => "addr_del",
                What::Nexthop => "nexthop_del",
                What::Route => "route_del",
                What::Neigh => "neigh_del",
                What::Rule => "rule_del",
                What::Qdisc => "qdisc_del",
                What::Class => "class_del",
                What::Filter => "filter_del",
                What::Vlan => "bridge_vlan_del",
                What::Fdb => "fdb_del",
                What::Mdb => "mdb_del",
            },
            Verb::Sysctl { .. } => "sysctl",
            Verb::NftLoad { .. } => "nft",
            Verb::FileWrite { .. } => "write_file",
            Verb::FileRemove { .. } => "remove_file",
            Verb::ProcessStart { .. } => "start",
            Verb::ProcessEnd { .. } => "stop",
        }
    }

    /// The namespace that it acts in, where there is one.
    #[must_use]
    pub fn ns(&self) -> Option<&Ns> {
        match self {
            Verb::NetnsAdd { .. }
            | Verb::NetnsAttach { .. }
            | Verb::FileWrite { .. }
            | Verb::FileRemove { .. }
            | Verb::ProcessEnd { .. } => None,
            Verb::NetnsDel { ns }
            | Verb::LinkAdd { ns, .. }
            | Verb::LinkDel { ns, .. }
            | Verb::LinkSet { ns, .. }
            | Verb::LinkMove { ns, .. }
            | Verb::LinkAltname { ns, .. }
            | Verb::Wireguard { ns, .. }
            | Verb::Ethtool { ns, .. }
            | Verb::RecAdd { ns, .. }
            | Verb::RecDel { ns, .. }
            | Verb::Sysctl { ns, .. }
            | Verb::NftLoad { ns, .. }
            | Verb::ProcessStart { ns, .. } => Some(ns),
            Verb::NetnsSetId { at, .. } => Some(at),
        }
    }

    /// The object, for messages.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Verb::NetnsAdd { name, .. } | Verb::NetnsAttach { name, .. } => name.clone(),
            Verb::NetnsDel { ns } => ns.name.clone(),
            Verb::NetnsSetId { target, .. } => target.name.clone(),
            Verb::LinkAdd { spec, .. } => spec.name.clone().unwrap_or_else(|| format!("{}…", spec.kind)),
            Verb::LinkDel { link, .. }
            | Verb::LinkSet { link, .. }
            | Verb::LinkMove { link, .. }
            | Verb::LinkAltname { link, .. }
            | Verb::Wireguard { link, .. }
            | Verb::Ethtool { link, .. } => link.name.clone(),
            Verb::RecAdd { words, .. } | Verb::RecDel { words, .. } => words.clone(),
            Verb::Sysctl { key, .. } => key.replace('/', "."),
            Verb::NftLoad { ruleset, .. } => {
                let mut lines = ruleset.lines().map(str::trim).filter(|l| !l.is_empty());
                let first = lines.next().unwrap_or_default();
                if lines.next().is_some() { format!("{first} …") } else { first.to_string() }
            }
            Verb::FileWrite { path, .. } | Verb::FileRemove { path, .. } => path.clone(),
            Verb::ProcessStart { words, .. } => words.clone(),
            Verb::ProcessEnd { pid, .. } => pid.to_string(),
        }
    }
}

//! What the kernel has, without what differs from one making of the same thing to the next (MAC addresses, indices, link-local
//! addresses): two ways to the same lab give the same picture.

use crate::engine::Session;
use crate::kernel::By;
use crate::plan::{Result, What};
use std::collections::BTreeSet;

/// A set of facts, each a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(BTreeSet<String>);

impl Picture {
    /// Of all namespaces that have a name, and the host's.
    ///
    /// # Errors
    /// Netlink refuses.
    pub fn take(session: &Session) -> Result<Picture> {
        let kernel = session.kernel();
        let host = kernel.host();
        let mut spaces = vec![host.clone()];
        let mut found = BTreeSet::new();
        for entry in kernel.list_ns(&host)? {
            found.insert(format!("namespace {} id {:?}", entry.name, entry.nsid));
            spaces.push(kernel.find_ns(&entry.name)?);
        }
        for ns in spaces {
            let label = if ns == host { "host" } else { ns.name.as_str() };
            let state = kernel.state(&ns, &[])?;
            // A link that gets a name of the kernel's choice may get another the next time: veth0, veth1.
            for link in state.links.values() {
                let peer = match kernel.link(&ns, By::Index(link.index))? {
                    Some(info) if link.kind == "veth" => crate::txn::peer_ns(kernel, &ns, &info)?.map(|p| p.name),
                    _ => None,
                };
                found.insert(format!(
                    "{label}: link {} {} {} mtu {} master {} peer in {peer:?} alias {:?} options {:?}",
                    link.name,
                    link.kind,
                    if link.up { "up" } else { "down" },
                    link.mtu,
                    if link.master == 0 { "none".into() } else { state.name(link.master) },
                    link.alias,
                    if link.kind == "bridge" { bridge_options(&link.options) } else { Vec::new() },
                ));
            }
            for rec in &state.recs {
                let text = rec.describe(|index| state.name(index));
                let by_itself = text.contains("fe80:") || text.contains("ff00::") || rec.what == What::Neigh;
                if !by_itself {
                    found.insert(format!("{label}: {:?} {text}", rec.what).to_lowercase());
                }
            }
        }
        Ok(Picture(found))
    }

    /// Without the numbers of namespaces: the kernel gives those by itself, where a link leads from one to another, and no
    /// undo takes them back.
    #[must_use]
    pub fn without_numbers(self) -> Picture {
        let plain = |fact: String| match fact.split_once(" id ") {
            Some((space, _)) if fact.starts_with("namespace ") => space.to_owned(),
            _ => fact,
        };
        Picture(self.0.into_iter().map(plain).collect())
    }

    /// What `other` lacks or has too much.
    #[must_use]
    pub fn differences(&self, other: &Picture) -> Vec<String> {
        let missing = self.0.difference(&other.0).map(|fact| format!("missing: {fact}"));
        let extra = other.0.difference(&self.0).map(|fact| format!("too much: {fact}"));
        missing.chain(extra).collect()
    }
}

/// Those of a bridge that are set by people; its id, which holds its MAC, is none.
fn bridge_options(options: &[(u16, impl std::fmt::Debug)]) -> Vec<String> {
    // IFLA_BR_FORWARD_DELAY to IFLA_BR_VLAN_FILTERING (include/uapi/linux/if_link.h).
    options.iter().filter(|(code, _)| (1..=7).contains(code)).map(|(code, value)| format!("{code}={value:?}")).collect()
}

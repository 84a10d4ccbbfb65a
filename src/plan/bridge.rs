//! A bridge's tables as records: the VLANs of its ports (`bridge vlan`), the static entries of forwarding tables, its own
//! and those of vxlans (`bridge fdb`), and the permanent members of multicast groups (`bridge mdb`).
//!
//! What is learned moves by itself and is no state; nor are the entries that the kernel makes of the links' own MACs.

pub mod fdb;
pub mod mdb;
pub mod vlan;

use super::link::LinkState;
use super::record::{Rec, What};
use super::state::State;
use super::verb::{AddMode, Verb};
use std::collections::{BTreeMap, BTreeSet};

pub const AF_BRIDGE: u8 = 7;
const BRIDGE: &str = "bridge";
const VXLAN: &str = "vxlan";

impl Rec {
    /// Whether it is of a bridge's tables.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        matches!(self.what, What::Vlan | What::Fdb | What::Mdb)
    }
}

/// The tables that these links can have entries in: most namespaces have neither, and are not asked.
#[must_use]
pub fn tables(links: &BTreeMap<u32, LinkState>) -> Vec<What> {
    let any = |kind: &str| links.values().any(|l| l.kind == kind);
    match (any(BRIDGE), any(VXLAN)) {
        (true, _) => vec![What::Vlan, What::Fdb, What::Mdb],
        (false, true) => vec![What::Fdb],
        (false, false) => Vec::new(),
    }
}

/// The records in one message of a table's dump.
#[must_use]
pub fn records(what: What, body: &[u8], links: &BTreeMap<u32, LinkState>) -> Vec<Rec> {
    match what {
        What::Vlan => vlan::read(body).iter().map(vlan::Vlan::record).collect(),
        What::Fdb => fdb::Fdb::read(body)
            .filter(|entry| entry.is_kept() && !entry.is_own(links) && !fdb::filtered(body))
            .map(|entry| entry.record())
            .into_iter()
            .collect(),
        What::Mdb => mdb::read(body)
            .iter()
            .filter(|entry| entry.is_kept() && links.get(&entry.bridge).is_some_and(|l| l.kind == BRIDGE))
            .map(mdb::Mdb::record)
            .collect(),
        _ => Vec::new(),
    }
}

/// What a record is of its table, for messages.
#[must_use]
pub fn words(rec: &Rec, name: impl Fn(u32) -> String) -> String {
    let words = match rec.what {
        What::Vlan => vlan::Vlan::of(rec).map(|v| v.words(&name(v.index))),
        What::Fdb => fdb::Fdb::read(&rec.body).map(|f| f.words(name)),
        What::Mdb => mdb::Mdb::of(rec).map(|m| m.words(name)),
        _ => None,
    };
    words.unwrap_or_default()
}

/// The links that the record is on.
#[must_use]
pub fn devices(rec: &Rec) -> Vec<u32> {
    match rec.what {
        What::Mdb => mdb::Mdb::of(rec).map_or_else(Vec::new, |m| vec![m.bridge, m.port]),
        _ => rec.body.get(4..8).and_then(super::nla::u32_of).into_iter().collect(),
    }
}

/// Whether the two have one place: what is added there changes what was.
#[must_use]
pub fn same_place(a: &Rec, b: &Rec) -> bool {
    a.what == b.what
        && match a.what {
            What::Vlan => vlan::Vlan::of(a).map(|v| v.place()) == vlan::Vlan::of(b).map(|v| v.place()),
            What::Fdb => fdb::Fdb::read(&a.body).map(|f| f.place()) == fdb::Fdb::read(&b.body).map(|f| f.place()),
            What::Mdb => mdb::Mdb::of(a).map(|m| m.place()) == mdb::Mdb::of(b).map(|m| m.place()),
            _ => false,
        }
}

/// Whether there can be such a record: one of a port needs the port's bridge. What a step that is undone as a whole put there
/// goes as the port leaves.
#[must_use]
pub fn has_place(rec: &Rec, links: &BTreeMap<u32, LinkState>) -> bool {
    let port = match rec.what {
        What::Vlan => vlan::Vlan::of(rec).filter(|v| !v.own).map(|v| v.index),
        What::Fdb => fdb::Fdb::read(&rec.body).filter(|f| f.flags & fdb::NTF_MASTER != 0).map(|f| f.index),
        What::Mdb => mdb::Mdb::of(rec).map(|m| m.port),
        _ => None,
    };
    port.is_none_or(|index| links.get(&index).is_some_and(|l| l.master != 0))
}

/// Whether an undo on its way can have brought it about: a VLAN whose flags it changes (another takes the pvid from it), and
/// what the kernel gives a port by itself that is led to another bridge, or whose bridge is made again or changed.
#[must_use]
pub fn on_the_way(rec: &Rec, from: &State, target: &State) -> bool {
    let at = |state: &State| state.recs.iter().filter(|r| same_place(r, rec)).cloned().collect::<Vec<Rec>>();
    if rec.what == What::Vlan && at(from) != at(target) {
        return true;
    }
    let led = |index: &u32| match (from.links.get(index), target.links.get(index)) {
        (Some(a), Some(b)) => a.master != b.master || a.options != b.options,
        (None, Some(_)) => true,
        _ => false,
    };
    let master = |index: &u32| target.links.get(index).map(|l| l.master).filter(|m| *m != 0);
    rec.is_bridge() && devices(rec).iter().any(|d| led(d) || master(d).is_some_and(|m| led(&m)))
}

/// How a record is brought back.
#[must_use]
pub fn mode(rec: &Rec) -> AddMode {
    match fdb::Fdb::read(&rec.body) {
        // Of a vxlan's several other ends the second is refused, unless appended.
        Some(entry) if rec.what == What::Fdb && entry.of_vxlan() => AddMode::Append,
        // What was learned meanwhile, or joined, has its place.
        _ => AddMode::Replace,
    }
}

/// Which entries a verb can have changed, added and taken away besides what is on its own links: on which links, or of
/// which address.
#[derive(Debug, Default)]
struct Reach {
    links: BTreeSet<u32>,
    alike: Option<Rec>,
}

impl Reach {
    fn of(verb: &Verb, before: &State, now: &State) -> Reach {
        let mut reach = Reach::default();
        let of_link = |reach: &mut Reach, index: u32| {
            reach.links.insert(index);
            for state in [before, now] {
                reach.links.extend(state.links.values().filter(|l| l.master == index).map(|l| l.index));
            }
        };
        match verb {
            // A new port gets the default VLAN; a bridge's filtering and default VLAN change those of all its ports.
            Verb::LinkSet { link, change, .. }
                if change.master.is_some() || change.kind.is_some() || change.mac.is_some() || change.up.is_some() =>
            {
                of_link(&mut reach, link.index);
            }
            Verb::LinkDel { link, .. } | Verb::LinkMove { link, .. } => of_link(&mut reach, link.index),
            // One VLAN takes the pvid from another, and has the port's forwarding entries go along.
            Verb::RecAdd { rec, .. } | Verb::RecDel { rec, .. } if rec.what == What::Vlan => {
                reach.links.extend(rec.devices());
            }
            Verb::RecAdd { rec, .. } | Verb::RecDel { rec, .. } if rec.is_bridge() => reach.alike = Some(rec.clone()),
            _ => {}
        }
        reach
    }

    fn has(&self, rec: &Rec) -> bool {
        let alike = |asked: &Rec| match asked.what {
            What::Fdb => {
                let mac = |r: &Rec| fdb::Fdb::read(&r.body).map(|f| f.mac);
                rec.what == What::Fdb && mac(rec) == mac(asked)
            }
            What::Mdb => {
                let group = |r: &Rec| mdb::Mdb::of(r).map(|m| (m.bridge, m.group));
                rec.what == What::Mdb && group(rec) == group(asked)
            }
            _ => false,
        };
        rec.is_bridge()
            && (rec.devices().iter().any(|d| self.links.contains(d)) || self.alike.as_ref().is_some_and(alike))
    }
}

/// Takes into `after` what a verb of which nobody wrote down the outcome can have done to bridges' tables.
pub fn attribute(verb: &Verb, before: &State, now: &State, after: &mut State) {
    let reach = Reach::of(verb, before, now);
    after.recs.retain(|r| !reach.has(r) || now.recs.contains(r));
    let new: Vec<Rec> = now.recs.iter().filter(|r| reach.has(r) && !after.recs.contains(r)).cloned().collect();
    after.recs.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vlan(vid: u16, flags: u16) -> Rec {
        vlan::Vlan { index: 7, vid, flags, own: false }.record()
    }

    fn state(master: u32, recs: Vec<Rec>) -> State {
        let mut state = State { recs, ..State::default() };
        state.links.insert(7, LinkState { index: 7, name: "p1".into(), master, ..LinkState::default() });
        state
    }

    #[test]
    fn what_an_undo_brings_about_on_its_way_is_its_own() {
        // 10 has the pvid again, and 20 has lost it, but is not tagged yet.
        let from = state(2, vec![vlan(20, vlan::PVID | vlan::UNTAGGED)]);
        let target = state(2, vec![vlan(10, vlan::PVID | vlan::UNTAGGED), vlan(20, 0)]);
        assert!(on_the_way(&vlan(20, vlan::UNTAGGED), &from, &target));
        assert!(!on_the_way(&vlan(30, 0), &from, &target), "somebody else's");
        // A port that is led back to its bridge gets the default VLAN.
        let from = state(0, Vec::new());
        assert!(on_the_way(&vlan(1, vlan::PVID | vlan::UNTAGGED), &from, &target));
        let now = state(2, vec![vlan(1, vlan::PVID | vlan::UNTAGGED)]);
        assert_eq!(crate::plan::state::resume(&from, &target, &now).recs, target.recs);
    }
}

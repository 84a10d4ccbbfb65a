//! Links in other namespaces that have to do with one: a veth's other end, what is built on it, what follows it.

use super::log::{Back, Change};
use super::rollback::{Report, with_report};
use super::{Entry, Txn, Undo, peer_ns};
use crate::kernel::By;
use crate::plan::{Kind, LinkChange, LinkInfo, LinkRef, LinkState, Ns, Outcome, Result, Verb, What};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// By a link's place: when it was looked up, and the links on it with their namespaces.
pub(super) type Uppers = HashMap<(u64, u32), (Instant, Vec<(Ns, LinkState)>)>;

/// A namespace, and its links that follow a link elsewhere, each with whether it would go with that.
pub(super) type Followers = (Ns, Vec<(u32, bool)>);

/// How long it is remembered what there is on a link in other namespaces: all of those have to be looked at.
const LOOKED: Duration = Duration::from_secs(1);

/// A link that is going with a namespace.
pub(super) struct Dying {
    at: Ns,
    index: u32,
    name: String,
    /// Device and inode of the namespace.
    with: (u64, u64),
}

impl Txn {
    /// These links go with a namespace that has lost its name just now.
    pub(super) fn remember_dying(&self, ns: &Ns, along: Vec<(Ns, u32)>) {
        let Ok(with) = self.kernel.inode(ns) else { return };
        for (at, index) in along {
            if let Ok(Some(info)) = self.kernel.link(&at, By::Index(index)) {
                self.dying.borrow_mut().push(Dying { at, index, name: info.state.name, with });
            }
        }
    }

    /// What is going is gone, of one namespace or of all: before that is looked at as a whole. In the midst of an undo it would
    /// be missed.
    pub(super) fn end_dying(&self, at: Option<&Ns>) {
        if self.dying.borrow().is_empty() {
            return;
        }
        let all = std::mem::take(&mut *self.dying.borrow_mut());
        let (now, mut later): (Vec<Dying>, Vec<Dying>) =
            all.into_iter().partition(|dying| at.is_none_or(|at| dying.at.is(at)));
        let named =
            if now.is_empty() { Vec::new() } else { self.kernel.list_ns(&self.kernel.host()).unwrap_or_default() };
        let mut inhabited = HashMap::new();
        for dying in now {
            // By another name, or for a program, the namespace lives on.
            let named = named.iter().any(|entry| entry.inode == dying.with.1);
            if named || *inhabited.entry(dying.with).or_insert_with(|| self.kernel.is_inhabited(dying.with)) {
                later.push(dying);
                continue;
            }
            let there = self.kernel.link(&dying.at, By::Index(dying.index));
            // A later link may have its place.
            let is_it = !self.made.contains_key(&(dying.at.cookie, dying.index));
            if is_it && matches!(there, Ok(Some(info)) if info.state.name == dying.name) {
                let link = LinkRef { index: dying.index, name: dying.name };
                // Refused, it goes all the same.
                let _ = self.kernel.apply(&Verb::LinkDel { ns: dying.at, link });
            }
        }
        self.dying.borrow_mut().extend(later);
    }

    /// A link and, of a veth, its other end, wherever that is.
    pub(super) fn ends(&self, ns: &Ns, index: u32) -> Result<Vec<(Ns, u32)>> {
        let mut out = vec![(ns.clone(), index)];
        let Some(info) = self.kernel.link(ns, By::Index(index))? else { return Ok(out) };
        if info.state.kind == "veth"
            && info.state.lower != 0
            && let Some(peer) = peer_ns(&*self.kernel, ns, &info)?.or_else(|| self.held_peer(ns, info.link_netnsid))
        {
            out.push((peer, info.state.lower));
        }
        Ok(out)
    }

    /// A namespace that lost its name in this run, and still has the other end of a veth.
    fn held_peer(&self, ns: &Ns, id: Option<i32>) -> Option<Ns> {
        let is_it = |held: &&Ns| id.is_some() && self.kernel.nsid(ns, held).ok().flatten() == id;
        self.held.iter().find(is_it).cloned()
    }

    /// The device below a macvlan that has it for itself, and gives it its MAC (`macvlan_set_mac_address`,
    /// drivers/net/macvlan.c), and where that is.
    pub(super) fn passes_through(&self, ns: &Ns, info: &LinkInfo) -> Result<Option<(Ns, u32)>> {
        // IFLA_MACVLAN_MODE, MACVLAN_MODE_PASSTHRU (include/uapi/linux/if_link.h)
        let passthru = |(code, value): &(u16, Vec<u8>)| *code == 1 && *value == 8_u32.to_ne_bytes();
        let state = &info.state;
        if !matches!(state.kind.as_str(), "macvlan" | "macvtap") || !state.options.iter().any(passthru) {
            return Ok(None);
        }
        Ok(peer_ns(&*self.kernel, ns, info)?.map(|at| (at, state.lower)))
    }

    /// The namespace of a veth's other end, which loses its carrier with this one: then the kernel drops the nexthop
    /// objects that are on it, and nothing else.
    pub(super) fn peers_nexthops(&self, ns: &Ns, index: u32, since: u64) -> Result<Option<Change>> {
        let ends = self.ends(ns, index)?;
        let theirs = |n: &Ns, index: u32| !self.fresh_link(n, index, since) || self.coupled.contains_key(&n.cookie);
        let Some((peer, _)) = ends.iter().find(|(n, index)| !n.is(ns) && theirs(n, *index)) else {
            return Ok(None);
        };
        if self.kernel.dump(peer, What::Nexthop)?.is_empty() {
            return Ok(None);
        }
        self.read_before(peer, 0, Vec::new()).map(Some)
    }

    /// What was there before on a link, in other namespaces, and the namespaces: it follows the link (`macvlan_device_event`,
    /// drivers/net/macvlan.c; `vlan_device_event`, net/8021q/vlan.c).
    pub(super) fn uppers_elsewhere(&self, ns: &Ns, index: u32, since: u64) -> Result<Vec<(Ns, LinkState)>> {
        let theirs =
            |(at, upper): &(Ns, LinkState)| !self.fresh_ns(at, since) && !self.fresh_link(at, upper.index, since);
        Ok(self.all_uppers_elsewhere(ns, index)?.into_iter().filter(theirs).collect())
    }

    /// The same with what the run made.
    pub(super) fn all_uppers_elsewhere(&self, ns: &Ns, index: u32) -> Result<Vec<(Ns, LinkState)>> {
        let mut known = self.uppers.borrow_mut();
        if let Some((when, all)) = known.get(&(ns.cookie, index))
            && when.elapsed() < LOOKED
        {
            return Ok(all.clone());
        }
        let all = self.look_for_uppers(ns, index)?;
        known.insert((ns.cookie, index), (Instant::now(), all.clone()));
        Ok(all)
    }

    fn look_for_uppers(&self, ns: &Ns, index: u32) -> Result<Vec<(Ns, LinkState)>> {
        let mut spaces = vec![self.kernel.host()];
        for entry in self.kernel.list_ns(ns)? {
            // One that goes at this moment has nothing.
            spaces.extend(self.kernel.find_ns(&entry.name));
        }
        // And those that lost their names in this run. What is in limbo is made again if it has gone by then.
        spaces.extend(self.held.iter().filter(|held| self.limbo.as_ref() != Some(*held)).cloned());
        let mut seen = vec![ns.cookie];
        let mut out = Vec::new();
        for at in spaces {
            if seen.contains(&at.cookie) {
                continue;
            }
            seen.push(at.cookie);
            // Without a number for the namespace none of its links can name one there. One that went meanwhile has none.
            let Some(id) = self.kernel.nsid(&at, ns).ok().flatten() else { continue };
            let links = self.kernel.links(&at, false).unwrap_or_default();
            let on_it = links.into_iter().filter(|l| l.link_netnsid == Some(id) && l.state.lowers().contains(&index));
            out.extend(on_it.map(|info| (at.clone(), info.state)));
        }
        Ok(out)
    }

    /// Whether what was there before can follow this link of the run's own.
    pub(super) fn is_followed(&self, ns: &Ns, index: u32) -> bool {
        self.coupled.contains_key(&ns.cookie) || !self.coupled_elsewhere(ns, index).is_empty()
    }

    /// The links that follow a link, in other namespaces where the run's own have to do with what was there before: that
    /// does as they do.
    pub(super) fn coupled_elsewhere(&self, ns: &Ns, index: u32) -> Vec<Followers> {
        let mut spaces = vec![ns.clone()];
        spaces.extend(self.coupled.values().filter(|at| !at.is(ns)).cloned());
        let knows = |at: &Ns| self.kernel.nsid(at, ns).ok().flatten().is_some();
        if !spaces[1..].iter().any(knows) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for at in &spaces {
            // One that went meanwhile has none.
            all.push(self.kernel.links(at, false).unwrap_or_default());
        }
        let mut seen = vec![(0, index, true)];
        let mut next = 0;
        while let Some((here, index, goes)) = seen.get(next).copied() {
            next += 1;
            let mut found = Vec::new();
            for (at, links) in all.iter().enumerate() {
                let id = if at == here { None } else { self.kernel.nsid(&spaces[at], &spaces[here]).ok().flatten() };
                if at == here || id.is_some() {
                    let on_it = links.iter().filter(|l| l.link_netnsid == id && l.state.lowers().contains(&index));
                    found.extend(on_it.map(|l| (at, l.state.index, goes)));
                }
            }
            // The mtu and the MAC of a bridge follow its ports.
            let master = all[here].iter().find(|l| l.state.index == index).map_or(0, |l| l.state.master);
            if master != 0 {
                found.push((here, master, false));
            }
            found.retain(|f| !seen.iter().any(|s| (s.0, s.1) == (f.0, f.1) && (s.2 || !f.2)));
            seen.extend(found);
        }
        let mut out = Vec::new();
        for (at, space) in spaces.iter().enumerate().skip(1) {
            let mut links: Vec<(u32, bool)> = seen.iter().filter(|s| s.0 == at).map(|s| (s.1, s.2)).collect();
            // One that was found in both ways goes.
            links.sort_by_key(|(index, goes)| (*index, !goes));
            links.dedup_by_key(|(index, _)| *index);
            if !links.is_empty() {
                out.push((space.clone(), links));
            }
        }
        out
    }

    /// Whether a namespace is the run's own, and gone once it has lost this name.
    pub(super) fn ends_with_its_name(&self, ns: &Ns, since: u64) -> Result<bool> {
        // With what was moved into it from elsewhere it is kept: that would go with it. Also where that has gone on since: the
        // way back leads through it.
        if !self.fresh_ns(ns, since) || self.has_guests(ns, since) || self.is_passed(ns) || self.also_called(ns) {
            return Ok(false);
        }
        // One that lives on keeps the links that are elsewhere too.
        Ok(self.taken_along(ns)?.is_empty() || !self.lives_on(ns)?)
    }

    /// Whether the undo of a step leads a link through this namespace.
    pub(super) fn is_passed(&self, ns: &Ns) -> bool {
        let leads = |back: &Back| back.index != 0 && !back.parked() && (back.from.is(ns) || back.to.is(ns));
        self.entries.iter().any(|e| matches!(&e.undo, Undo::Restore { back, .. } if back.iter().any(leads)))
    }

    /// Whether a namespace has a name or a program besides this name.
    fn lives_on(&self, ns: &Ns) -> Result<bool> {
        let inode = self.kernel.inode(ns)?;
        let names = self.kernel.list_ns(&self.kernel.host())?;
        let named = names.iter().any(|entry| entry.name != ns.name && entry.inode == inode.1);
        Ok(named || self.kernel.is_inhabited(inode))
    }

    /// Whether the run itself gave it another name, which it still has.
    pub(super) fn also_called(&self, ns: &Ns) -> bool {
        let other = |name: &str| name != ns.name && self.kernel.find_ns(name).is_ok_and(|found| found.is(ns));
        self.entries.iter().any(|entry| match &entry.undo {
            Undo::Unbind { ns: known } | Undo::Rebind { ns: known } => known.is(ns) && other(&known.name),
            _ => false,
        })
    }

    /// Deletes a namespace, and before it those links that would go along, and are where they have to do with what was there
    /// before, or were there themselves. The kernel would delete them some time after the namespace's end: what is in their
    /// way then (a bridge's MAC, a route) would be taken for somebody else's doing, or be lost.
    pub(super) fn delete_with_ends(&mut self, verb: Verb, ends: &[(Ns, LinkState)]) -> Result<Outcome> {
        let first = self.next;
        let work = || {
            for (at, link) in ends {
                // With the one before it may have gone.
                if self.kernel.link(at, By::Index(link.index))?.is_some_and(|now| now.state.name == link.name) {
                    let link = LinkRef { index: link.index, name: link.name.clone() };
                    self.perform_alone(Verb::LinkDel { ns: at.clone(), link })?;
                }
            }
            self.perform_alone(verb)
        };
        work().map_err(|error| with_report(error, &self.undo_from(first, &mut |_| Ok(()))))
    }

    /// The links of the run's own that go with a namespace at this step, or at the commit until which it is kept, and are where
    /// what was there before may follow them. And those from before that were moved into one of the run's own, which would go
    /// at the commit by no step.
    pub(super) fn ends_along(&self, verb: &Verb) -> Result<Vec<(Ns, LinkState)>> {
        let Verb::NetnsDel { ns } = verb else { return Ok(Vec::new()) };
        let guests = self.guests_in(ns)?;
        if self.coupled.is_empty() && guests.is_empty() {
            return Ok(Vec::new());
        }
        let mut ends = self.taken_along(ns)?;
        ends.retain(|(at, link)| self.fresh_link(at, link.index, 1));
        ends.extend(guests);
        if ends.is_empty() || self.also_called(ns) || self.lives_on(ns)? {
            return Ok(Vec::new());
        }
        // What is on a veth's end in there before that veth.
        ends.sort_by_key(|(_, link)| link.kind == "veth");
        Ok(ends)
    }

    /// The links from before the run in a namespace of its own that go with that. A physical one goes to the host
    /// (`default_device_exit_net`, net/core/dev.c).
    fn guests_in(&self, ns: &Ns) -> Result<Vec<(Ns, LinkState)>> {
        let mut out = Vec::new();
        if !self.fresh_ns(ns, 1) || !self.has_guests(ns, 1) {
            return Ok(out);
        }
        let links = self.kernel.links(ns, false)?.into_iter().map(|info| info.state);
        out.extend(links.filter(|l| l.is_virtual() && !self.fresh_link(ns, l.index, 1)).map(|l| (ns.clone(), l)));
        Ok(out)
    }

    /// Of a step that deleted a link of the run's own with its other end, or what it was on, in a namespace that has gone since:
    /// what can't come back. That end stays in limbo, so that the other one can come back from there until an earlier step
    /// deletes it. Without limbo all of the run's own that went with it stays away.
    pub(super) fn stranded(
        &mut self,
        (entry, since): (&Entry, u64),
        changes: &[Change],
        back: &[Back],
        report: &mut Report,
    ) -> Vec<(u64, u32)> {
        if !matches!(entry.verb, Some(Verb::LinkDel { .. })) {
            return Vec::new();
        }
        let there = |ns: &Ns, index: u32| matches!(self.kernel.link(ns, By::Index(index)), Ok(Some(_)));
        let gone = |change: &&Change| {
            let look = self.kernel.link(&change.ns, By::Index(change.only.max(1)));
            let is_own = self.fresh(change.ns.cookie, change.only, since);
            is_own && (matches!(look, Ok(None)) || look.is_err_and(|error| error.kind == Kind::NotFound))
        };
        // What is on a link there is about to go too.
        let dying = changes.iter().filter(gone).any(|change| change.only != 0);
        let gone: Vec<&Ns> = changes.iter().filter(gone).map(|change| &change.ns).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let alive = |b: &Back| b.parked() && (there(&b.to, b.index) || there(&b.from, b.link.index));
        let alive = !dying && !back.is_empty() && back.iter().all(alive);
        let mut out = Vec::new();
        for change in changes.iter().filter(|change| !alive || gone.contains(&&change.ns)) {
            let stayed = |index: &u32| change.after.as_ref().is_some_and(|after| after.links.contains_key(index));
            let went = change.before.links.keys().filter(|index| !stayed(index));
            let own = went.filter(|index| self.fresh(change.ns.cookie, **index, since));
            out.extend(own.map(|index| (change.ns.cookie, *index)));
        }
        for back in back.iter().filter(|b| b.index != 0 && b.parked() && out.contains(&(b.from.cookie, b.link.index))) {
            let link = LinkRef { index: back.index, name: back.name.clone() };
            let was = changes.iter().find(|c| c.ns.is(&back.from)).and_then(|c| c.before.links.get(&back.link.index));
            let verb = if !alive {
                Verb::LinkDel { ns: back.to.clone(), link }
            } else if was.is_some_and(|was| was.up) {
                // The other end had carrier.
                let change = LinkChange { up: Some(true), ..LinkChange::default() };
                Verb::LinkSet { ns: back.to.clone(), link, change }
            } else {
                continue;
            };
            self.step(entry.seq, &verb, report, &[Kind::NotFound]);
        }
        out
    }

    /// The links that go with a namespace, and are where the run's own have to do with what was there before.
    fn taken_along(&self, ns: &Ns) -> Result<Vec<(Ns, LinkState)>> {
        let mut out = Vec::new();
        for at in self.coupled.values().filter(|at| !at.is(ns)) {
            let Some(id) = self.kernel.nsid(at, ns).ok().flatten() else { continue };
            let links = self.kernel.links(at, false)?.into_iter().filter(|link| link.link_netnsid == Some(id));
            out.extend(links.map(|link| (at.clone(), link.state)));
        }
        Ok(out)
    }
}

//! Links in other namespaces that have to do with one: a veth's other end, what is built on it, what follows it.

use super::log::Change;
use super::{Txn, peer_ns};
use crate::kernel::By;
use crate::plan::{Kind, LinkInfo, LinkRef, LinkState, Ns, Result, Verb, What};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// By a link's place: when it was looked up, and the links on it with their namespaces.
pub(super) type Uppers = HashMap<(u64, u32), (Instant, Vec<(Ns, LinkState)>)>;

/// A namespace, and its links that follow a link elsewhere, each with whether it would go with that.
pub(super) type Followers = (Ns, Vec<(u32, bool)>);

/// How long it is remembered what there is on a link in other namespaces: all of those have to be looked at.
const LOOKED: Duration = Duration::from_secs(1);

impl Txn {
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

    /// The links that go with a namespace of the run's own, and are in such namespaces.
    pub(super) fn taken_along(&self, ns: &Ns) -> Result<Vec<(Ns, LinkState)>> {
        let mut out = Vec::new();
        for at in self.coupled.values().filter(|at| !at.is(ns)) {
            let Some(id) = self.kernel.nsid(at, ns).ok().flatten() else { continue };
            let links = self.kernel.links(at, false)?.into_iter().filter(|link| link.link_netnsid == Some(id));
            out.extend(links.map(|link| (at.clone(), link.state)));
        }
        Ok(out)
    }

    /// Deletes those of them that are the run's own. The kernel would do so some time after the namespace's end, and what is
    /// in their way then (a bridge's MAC) would be taken for somebody else's doing.
    pub(super) fn delete_along(&self, ns: &Ns) -> Result<()> {
        for (at, link) in self.taken_along(ns)?.into_iter().filter(|(at, link)| self.fresh_link(at, link.index, 1)) {
            let link = LinkRef { index: link.index, name: link.name };
            match self.kernel.apply(&Verb::LinkDel { ns: at, link }) {
                Err(error) if error.kind != Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

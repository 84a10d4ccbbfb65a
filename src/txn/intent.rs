//! What will undo a verb, found out before it is done.

use super::log::{Back, Change, Content};
use super::{Entry, Txn, Undo, irreplaceable, nft, peer_ns, read};
use crate::kernel::By;
use crate::plan::attribute::V6_MIN_MTU;
use crate::plan::{Error, Kind, LinkChange, LinkRef, Ns, Result, Verb, What, restore};

/// What undoes a verb, and which objects of the run's own it is about.
type Planned = Result<(Undo, Vec<(u64, u32)>)>;

impl Txn {
    /// What undoes the verb, and which objects of the run's own it is about. Prior state is read only of what was
    /// there before: what the run made itself goes whole.
    pub(super) fn plan_undo(&mut self, verb: &Verb, since: u64) -> Planned {
        match verb {
            Verb::NetnsAdd { name, cookie } => {
                let ns = Ns { cookie: *cookie, name: name.clone() };
                Ok((Undo::Unbind { ns }, Vec::new()))
            }
            Verb::NetnsAttach { name, path } => {
                // The undo only unbinds, it ends nothing that runs inside.
                let cookie = self.kernel.cookie_at(path).map_err(|error| error.with_target(name))?;
                Ok((Undo::Rebind { ns: Ns { cookie, name: name.clone() } }, Vec::new()))
            }
            // With what was moved into it from elsewhere it is kept: that would go with it.
            Verb::NetnsDel { ns } if self.ends_with_its_name(ns, since)? => Ok(whole(vec![(ns.cookie, 0)])),
            Verb::NetnsDel { ns } => Ok((Undo::Rebind { ns: ns.clone() }, Vec::new())),
            Verb::NetnsSetId { at, target, .. } => {
                let fresh = self.fresh_ns(at, since) || self.fresh_ns(target, since);
                if fresh {
                    return Ok(whole(vec![(at.cookie, 0)]));
                }
                let what = format!(
                    "the nsid of namespace `{}` in {} stays: the kernel takes none back",
                    target.name,
                    at.label()
                );
                Ok((Undo::Lost { what }, Vec::new()))
            }
            Verb::LinkAdd { ns, spec } => {
                let mut places = vec![ns];
                places.extend(spec.peer.as_ref().map(|p| &p.0));
                // What is built on a link from before keeps that busy, and that is led back before namespaces go.
                let lower = spec.lower.as_ref().map(|(index, _)| (spec.lower_ns.as_ref().unwrap_or(ns), *index));
                let own = |since: u64| {
                    places.iter().all(|ns| self.fresh_ns(ns, since))
                        && lower.is_none_or(|(ns, index)| self.fresh_link(ns, index, since))
                };
                if own(since) {
                    return Ok(whole(vec![(ns.cookie, 0)]));
                }
                let link = LinkRef { index: spec.index, name: spec.name.clone().unwrap_or_default() };
                // Undone alone it is deleted; undone with the rest of the run it goes with its namespaces.
                let on = if own(1) { places.iter().map(|ns| (ns.cookie, 0)).collect() } else { Vec::new() };
                Ok((Undo::Delete { ns: ns.clone(), link }, on))
            }
            Verb::LinkDel { ns, link } => self.of_link_del(ns, link, since),
            Verb::LinkSet { ns, link, change } => self.of_link_set(ns, link, change, since),
            Verb::LinkMove { ns, link, to, name, .. } => self.of_link_move((ns, link), to, name.as_deref(), since),
            Verb::Ethtool { ns, link, .. } | Verb::LinkAltname { ns, link, .. } => {
                self.on_link(ns, &[link.index], since)
            }
            Verb::Wireguard { ns, link, .. } => {
                if self.fresh_link(ns, link.index, since) {
                    return Ok(whole(vec![(ns.cookie, link.index)]));
                }
                Err(Error::new(
                    Kind::Unsupported,
                    format!(
                        "the keys and peers of `{}` in {} can't be changed: it was there before, and no undo could bring its \
                         keys back, which are written down nowhere",
                        link.name,
                        ns.label()
                    ),
                )
                .with_ns(&ns.name)
                .with_target(&link.name)
                .with_hint("make the link in the same run (and in the same transaction), or use a command: exec_in(ns, \"wg set …\")"))
            }
            Verb::RecAdd { ns, rec, mode, .. } => {
                // What takes the place of something may take that of another link's, but for what is a link's own.
                let alone = *mode == crate::plan::AddMode::Create || matches!(rec.what, What::Addr | What::Neigh);
                self.on_link(ns, &if alone { rec.devices() } else { Vec::new() }, since)
            }
            // Deleting an address can take other addresses and routes along, on other links too.
            Verb::RecDel { ns, .. } => self.on_link(ns, &[], since),
            Verb::Sysctl { ns, key, .. } => {
                if self.fresh_ns(ns, since) {
                    return Ok(whole(vec![(ns.cookie, 0)]));
                }
                let mut sysctls = vec![key.clone()];
                // The same value under two names.
                if key == "net/ipv4/conf/all/forwarding" {
                    sysctls.push("net/ipv4/ip_forward".into());
                }
                if let Some((prefix, leaf)) = restore::related_prefix(key) {
                    let suffix = format!("/{leaf}");
                    sysctls.extend(self.kernel.sysctl_keys(ns, &prefix)?.into_iter().filter(|k| k.ends_with(&suffix)));
                }
                let changes = vec![self.read_before(ns, 0, sysctls)?];
                Ok((Undo::Restore { changes, back: Vec::new() }, vec![(ns.cookie, 0)]))
            }
            Verb::NftLoad { ns, .. } if self.fresh_ns(ns, since) => Ok(whole(vec![(ns.cookie, 0)])),
            Verb::NftLoad { ns, ruleset } => {
                let before = nft::tables(&*self.kernel, ns, ruleset)?;
                nft::check(&*self.kernel, ns, &before)?;
                Ok((Undo::Nft { ns: ns.clone(), before, after: None }, vec![(ns.cookie, 0)]))
            }
            Verb::ProcessStart { .. } | Verb::ProcessEnd { .. } => Ok(whole(Vec::new())),
            Verb::FileWrite { path, .. } | Verb::FileRemove { path, .. } => {
                let before = self.kernel.read_file(path)?.map(|(bytes, mode)| Content { bytes, mode });
                let wanted = matches!(verb, Verb::FileWrite { folders: true, .. });
                let folders = if wanted { self.kernel.missing_folders(path) } else { Vec::new() };
                Ok((Undo::File { path: path.clone(), before, folders, begun: false }, Vec::new()))
            }
        }
    }

    fn of_link_del(&mut self, ns: &Ns, link: &LinkRef, since: u64) -> Planned {
        // Deleting one end of a veth deletes the other: that one has to be fresh too.
        let places = self.ends(ns, link.index)?;
        let own = places.iter().all(|(ns, index)| self.fresh_link(ns, *index, since));
        let on: Vec<_> = places.iter().map(|(ns, index)| (ns.cookie, *index)).collect();
        let coupled = places.iter().any(|(ns, _)| self.coupled.contains_key(&ns.cookie));
        let mut further = Vec::new();
        let mut built_upon = false;
        // On a link of the run's own there is what the run put there: all namespaces are looked at only where it may have.
        let builds = |entry: &Entry| matches!(&entry.verb, Some(Verb::LinkAdd { spec, .. }) if spec.lower.is_some() || spec.kind == "vxlan");
        let carries = !own || self.entries.iter().any(builds);
        for (at, index) in &places {
            further.extend(self.coupled_elsewhere(at, *index));
            built_upon |= (!own || coupled) && carries && !self.all_uppers_elsewhere(at, *index)?.is_empty();
        }
        if own && !coupled && further.is_empty() {
            return Ok(whole(on));
        }
        let mut changes: Vec<Change> = Vec::new();
        for (at, (ns, _)) in places.iter().enumerate() {
            if places[..at].iter().any(|(n, _)| n.is(ns)) {
                continue;
            }
            // Both ends may be here.
            let mut sysctls = Vec::new();
            for (_, index) in places.iter().filter(|(n, _)| n.is(ns)) {
                sysctls.extend(self.device_sysctls(ns, *index)?);
                sysctls.extend(self.mtus(ns, &[*index])?);
            }
            changes.push(self.read_before(ns, 0, sysctls)?);
        }
        for (at, index) in places.iter().filter(|_| !own) {
            if let Some((elsewhere, upper)) = self.uppers_elsewhere(at, *index, since)?.first() {
                let what = format!("taken along by `{}`, on which it is", link.name);
                return Err(irreplaceable(elsewhere, upper, "it is in another namespace", &what));
            }
        }
        // What is built on it elsewhere would not go with one that only went to limbo.
        let back = if built_upon || !further.is_empty() { Vec::new() } else { self.parking(&places, &changes)? };
        for (at, links) in further {
            let stays = links.into_iter().filter(|(_, goes)| !goes && !changes.iter().any(|c| c.ns.is(&at)));
            for index in stays.map(|(index, _)| index).collect::<Vec<_>>() {
                changes.push(self.read_before(&at, index, self.mtus(&at, &[index])?)?);
            }
        }
        // Of one on a link of the run's own in another namespace: if that has gone by then, this one can't come back.
        if let Some(info) = self.kernel.link(ns, By::Index(link.index))?.filter(|info| info.state.lower != 0)
            && self.fresh_link(ns, link.index, 1)
            && let Some(at) = peer_ns(&*self.kernel, ns, &info)?
            && self.fresh_link(&at, info.state.lower, 1)
            && !changes.iter().any(|c| c.ns.is(&at))
        {
            changes.push(self.read_before(&at, info.state.lower, Vec::new())?);
        }
        if back.is_empty()
            && let Err(refused) = self.replaceable(ns, link, since)
        {
            return if own { Ok(whole(on)) } else { Err(refused) };
        }
        // What it takes along of what was there before comes back with it, and then it is deleted.
        // One from before a savepoint, too: at the outer undo it does not just go along.
        Ok((Undo::Restore { changes, back }, if own || coupled { Vec::new() } else { on }))
    }

    fn of_link_set(&mut self, ns: &Ns, link: &LinkRef, change: &LinkChange, since: u64) -> Planned {
        let mut on = vec![(ns.cookie, link.index)];
        let mut fresh = self.fresh_link(ns, link.index, since);
        if let Some((master, _)) = &change.master
            && *master != 0
        {
            on.push((ns.cookie, *master));
            if !self.fresh_link(ns, *master, since) {
                // A bridge of the run's own, from before the savepoint, gets a port that goes with the savepoint:
                // what it took over from that port (MAC, mtu) is all there is to set back.
                let info = self.kernel.link(ns, By::Index(*master))?;
                let bridge = self.fresh_link(ns, *master, 1) && info.is_some_and(|i| i.state.kind == "bridge");
                if fresh && bridge && !self.is_followed(ns, *master) {
                    let sysctls = match self.below_v6(ns, link.index, change.mtu)? {
                        true => self.sysctls_without_v6(ns, &[*master])?,
                        false => Vec::new(),
                    };
                    let mut changes = vec![self.read_before(ns, *master, sysctls)?];
                    if change.count() > 1 {
                        changes.push(self.read_before(ns, link.index, Vec::new())?);
                    }
                    return Ok((Undo::Restore { changes, back: Vec::new() }, on));
                }
                fresh = false;
            }
        }
        // A bridge from before follows the mtu and the MAC of its port, the device below a macvlan its MAC.
        let mut below = None;
        if fresh && (change.mtu.is_some() || change.mac.is_some()) {
            let info = self.kernel.link(ns, By::Index(link.index))?;
            let master = info.as_ref().map_or(0, |info| info.state.master);
            if master != 0 && !self.fresh_link(ns, master, since) {
                on.push((ns.cookie, master));
                fresh = false;
            }
            if let Some(info) = info.filter(|_| change.mac.is_some())
                && let Some((at, index)) = self.passes_through(ns, &info)?
                && !self.fresh_link(&at, index, since)
            {
                on.push((at.cookie, index));
                fresh = false;
                below = Some(at).filter(|at| !at.is(ns));
            }
        }
        // What was there before may hang on it by now, or follow it.
        let elsewhere = if tells(change) { self.coupled_elsewhere(ns, link.index) } else { Vec::new() };
        if (self.coupled.contains_key(&ns.cookie) && tells(change)) || !elsewhere.is_empty() {
            on.clear();
            fresh = false;
        }
        let carrier = if change.up == Some(false) && !(fresh && self.coupled.is_empty()) {
            self.peers_nexthops(ns, link.index, since)?
        } else {
            None
        };
        if carrier.is_some() {
            on.clear();
            fresh = false;
        }
        let mut sysctls = self.redirects(ns, link.index, change, since)?;
        if fresh && change.count() <= 1 && sysctls.is_empty() {
            return Ok(whole(on));
        }
        // What it does to its namespace does not go with the link.
        if !sysctls.is_empty() {
            on = vec![(ns.cookie, 0)];
        }
        if let Some(why) = change.irreversible().filter(|_| !self.fresh_in_script(ns, link.index)) {
            return Err(Error::new(
                Kind::Unsupported,
                format!("`{}` in {} was there before, and this could not be undone: {why}", link.name, ns.label()),
            )
            .with_ns(&ns.name)
            .with_target(&link.name)
            .with_hint(
                "do it by a command, whose effects nsscript does not claim to undo: exec_in(ns, \"ip link set …\")",
            ));
        }
        let only = if fresh { link.index } else { 0 };
        if !fresh && (change.mtu.is_some() || change.master.is_some()) {
            let new = change.master.as_ref().map_or(0, |(master, _)| *master);
            let touched = [link.index, new];
            sysctls.extend(self.mtus(ns, &touched)?);
            if self.below_v6(ns, link.index, change.mtu)? {
                sysctls.extend(self.sysctls_without_v6(ns, &touched)?);
            }
        }
        let mut changes = vec![self.read_before(ns, only, sysctls)?];
        if let Some(at) = &below {
            changes.push(self.read_before(at, 0, Vec::new())?);
        }
        changes.extend(carrier);
        let mut spaces: Vec<(Ns, Vec<u32>)> = Vec::new();
        for (at, links) in elsewhere {
            spaces.push((at, links.into_iter().map(|(index, _)| index).collect()));
        }
        if !fresh && (change.mtu.is_some() || change.mac.is_some() || change.up == Some(false)) {
            for (at, upper) in self.uppers_elsewhere(ns, link.index, since)? {
                match spaces.iter_mut().find(|(known, _)| known.is(&at)) {
                    Some((_, all)) => all.push(upper.index),
                    None => spaces.push((at, vec![upper.index])),
                }
            }
        }
        spaces.retain(|(at, _)| !changes.iter().any(|c: &Change| c.ns.is(at)));
        let low = change.mtu.is_some_and(|mtu| mtu < V6_MIN_MTU);
        for (at, uppers) in spaces {
            let mut sysctls = self.mtus(&at, &uppers)?;
            if low {
                sysctls.extend(self.sysctls_without_v6(&at, &uppers)?);
            }
            changes.push(self.read_before(&at, 0, sysctls)?);
        }
        Ok((Undo::Restore { changes, back: Vec::new() }, on))
    }

    fn of_link_move(&mut self, (ns, link): (&Ns, &LinkRef), to: &Ns, name: Option<&str>, since: u64) -> Planned {
        let own = self.fresh_link(ns, link.index, since);
        let mut elsewhere = self.coupled_elsewhere(ns, link.index);
        elsewhere.retain(|(at, _)| !at.is(to));
        // It goes down by a move, and takes the carrier from its other end.
        let carrier = if own && self.coupled.is_empty() { None } else { self.peers_nexthops(ns, link.index, since)? };
        if own && !self.coupled.contains_key(&ns.cookie) && elsewhere.is_empty() && carrier.is_none() {
            if self.fresh_ns(to, since) {
                return Ok(whole(vec![(ns.cookie, link.index)]));
            }
            return Ok((Undo::Delete { ns: ns.clone(), link: link.clone() }, Vec::new()));
        }
        self.replaceable_uppers(ns, link, since)?;
        for (elsewhere, upper) in self.uppers_elsewhere(ns, link.index, since)? {
            // vxlan_handle_lowerdev_unregister, drivers/net/vxlan/vxlan_core.c; macsec_notify, drivers/net/macsec.c
            if matches!(upper.kind.as_str(), "vxlan" | "macsec") {
                let what = format!("taken along by `{}`, on which it is and which is to be moved", link.name);
                return Err(irreplaceable(&elsewhere, &upper, "it is in another namespace", &what));
            }
        }
        let mut sysctls = self.device_sysctls(ns, link.index)?;
        sysctls.extend(self.mtus(ns, &[link.index])?);
        let mut changes = vec![self.read_before(ns, 0, sysctls)?, self.read_before(to, 0, Vec::new())?];
        changes.extend(carrier.into_iter().filter(|c| !c.ns.is(to)));
        for (at, _) in elsewhere {
            if !changes.iter().any(|c| c.ns.is(&at)) {
                changes.push(self.read_before(&at, 0, Vec::new())?);
            }
        }
        let name = name.unwrap_or_default().to_string();
        let back = Back { from: ns.clone(), link: link.clone(), to: to.clone(), index: 0, name };
        // One of the run's own is led back, and deleted there: it may be back already, by the undo of a savepoint.
        let on = if self.fresh_link(ns, link.index, 1) { Vec::new() } else { vec![(ns.cookie, link.index)] };
        Ok((Undo::Restore { changes, back: vec![back] }, on))
    }

    /// Of a change that concerns these links of `ns` only (none: the namespace).
    fn on_link(&self, ns: &Ns, links: &[u32], since: u64) -> Result<(Undo, Vec<(u64, u32)>)> {
        let on: Vec<_> =
            if links.is_empty() { vec![(ns.cookie, 0)] } else { links.iter().map(|i| (ns.cookie, *i)).collect() };
        let fresh =
            self.fresh_ns(ns, since) || (!links.is_empty() && links.iter().all(|i| self.fresh_link(ns, *i, since)));
        if fresh {
            return Ok((Undo::Whole, on));
        }
        let changes = vec![self.read_before(ns, 0, Vec::new())?];
        Ok((Undo::Restore { changes, back: Vec::new() }, on))
    }

    pub(super) fn read_before(&self, ns: &Ns, only: u32, sysctls: Vec<String>) -> Result<Change> {
        if only == 0 {
            self.end_dying(Some(ns));
        }
        let before = read(&*self.kernel, ns, only, &sysctls)?;
        Ok(Change { ns: ns.clone(), only, sysctls, before, after: None, lead: None })
    }

    /// Refuses to delete what was there before and could not be made again as it was, or takes such along.
    fn replaceable(&self, ns: &Ns, link: &LinkRef, since: u64) -> Result<()> {
        if let Some(info) = self.kernel.link(ns, By::Index(link.index))?
            && let Some(why) = info.state.irreplaceable()
        {
            return Err(irreplaceable(ns, &info.state, why, "deleted: the undo could not make it again"));
        }
        self.replaceable_uppers(ns, link, since)
    }

    /// The same of what is on a link, and goes with it.
    fn replaceable_uppers(&self, ns: &Ns, link: &LinkRef, since: u64) -> Result<()> {
        for info in self.kernel.links(ns, false)? {
            let upper = &info.state;
            if upper.needs().contains(&link.index)
                && !self.fresh_link(ns, upper.index, since)
                && let Some(why) = upper.irreplaceable()
            {
                let what = format!("taken along by `{}`, on which it is: the undo could not make it again", link.name);
                return Err(irreplaceable(ns, upper, why, &what));
            }
        }
        Ok(())
    }
}

/// Whether others notice such a change of a link: what hangs on it goes, or who leads or follows it does likewise.
fn tells(change: &LinkChange) -> bool {
    change.up == Some(false) || change.master.is_some() || change.mtu.is_some() || change.mac.is_some()
}

/// What the verb is about goes away whole, and it with that.
fn whole(on: Vec<(u64, u32)>) -> (Undo, Vec<(u64, u32)>) {
    (Undo::Whole, on)
}

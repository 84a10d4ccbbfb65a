//! The account of what the run made, where it is by now, and what it vacated.

use super::log::Back;
use super::{Change, Entry, Txn, Undo};
use crate::plan::{LinkRef, Ns, Outcome, Verb};
use std::collections::BTreeSet;

impl Txn {
    /// Something of the run's own came to be at this place, made by step `seq`.
    pub(super) fn came(&mut self, place: (u64, u32), seq: u64) {
        self.made.insert(place, seq);
        // The index of one that went: steps on that are still to be undone.
        if let Some(old) = self.ever.insert(place, seq).filter(|old| *old != seq) {
            self.formerly.entry(place).or_default().push(old);
        }
        self.keys.entry(seq).or_default().push(place);
    }

    /// Whether a link is in the namespace that was made before step `since`, or by somebody else, and was moved there.
    pub(super) fn has_guests(&self, ns: &Ns, since: u64) -> bool {
        let own = |place: &(u64, u32)| self.ever.get(place).is_some_and(|seq| *seq >= since);
        self.moved.iter().any(|((cookie, index), (to, _))| {
            to.is(ns) && *cookie != ns.cookie && !own(&(*cookie, *index)) && !own(&(*cookie, 0))
        })
    }

    /// What an undone step had taken away, or moved elsewhere, is the run's own again where it was.
    pub(super) fn regain(&mut self, changes: &[Change]) {
        for change in changes {
            for index in change.before.links.keys() {
                let place = (change.ns.cookie, *index);
                if let Some(seq) = self.ever.get(&place) {
                    self.made.entry(place).or_insert(*seq);
                }
            }
        }
    }

    /// Whether a step was done in one of these namespaces, or on one of these links.
    #[must_use]
    pub fn builds_on(&self, places: &BTreeSet<(u64, u32)>) -> bool {
        self.entries.iter().filter_map(|e| e.verb.as_ref()).flat_map(touched).any(|place| places.contains(&place))
    }

    /// A link that was moved is back where it came from.
    pub(super) fn returned(&mut self, back: &Back) {
        let place = (back.to.cookie, back.index);
        self.made.remove(&place);
        self.ever.remove(&place);
        // A link of the run's own had been there before.
        if self.guests.remove(&place)
            && let Some(old) = self.formerly.get_mut(&place).and_then(Vec::pop)
        {
            self.ever.insert(place, old);
        }
        self.moved.remove(&(back.from.cookie, back.link.index));
        for place in self.moved.values_mut() {
            if place.0.cookie == back.to.cookie && place.1 == back.index {
                *place = (back.from.clone(), back.link.index);
            }
        }
    }

    /// Of a step that made a link which goes with this namespace, where that is: a veth whose other end is in there by now, or
    /// what is on a link in there.
    fn goes_with(&self, entry: &Entry, ns: &Ns) -> Option<(Ns, u32)> {
        let Some(Verb::LinkAdd { ns: at, spec }) = &entry.verb else { return None };
        let outcome = entry.outcome.as_ref()?;
        let one = self.locate(at, outcome.link.as_ref()?.index);
        let place = if let (Some(peer), Some(end)) = (spec.peer.as_deref(), &outcome.peer) {
            let other = self.locate(&peer.0, end.index);
            match (one.0.is(ns), other.0.is(ns)) {
                (true, _) => other,
                (_, true) => one,
                _ => return None,
            }
        } else {
            let lower = self.locate(spec.lower_ns.as_ref().unwrap_or(at), spec.lower.as_ref()?.0);
            if !lower.0.is(ns) {
                return None;
            }
            one
        };
        // A later link may have its index.
        let is_it = !place.0.is(ns) && self.made.get(&(place.0.cookie, place.1)) == Some(&entry.seq);
        is_it.then_some(place)
    }

    /// The kind and the MAC that the run gave the link that is there now, if it made it.
    pub(super) fn made_as(&self, ns: &Ns, index: u32) -> Option<(String, Option<Vec<u8>>)> {
        let is_it = |at: &Ns, link: &LinkRef| {
            let (now, i) = self.locate(at, link.index);
            now.is(ns) && i == index
        };
        self.entries.iter().rev().find_map(|entry| match (&entry.verb, &entry.outcome) {
            (Some(Verb::LinkAdd { ns, spec }), Some(outcome)) => {
                if outcome.link.as_ref().is_some_and(|link| is_it(ns, link)) {
                    return Some((spec.kind.clone(), spec.mac.clone()));
                }
                let (at, peer) = spec.peer.as_deref()?;
                let found = outcome.peer.as_ref().is_some_and(|link| is_it(at, link));
                found.then(|| (spec.kind.clone(), peer.mac.clone()))
            }
            _ => None,
        })
    }

    /// A step may give a link another name or MAC, even where it fails: it is known by those too.
    pub(super) fn style(&mut self, verb: &Verb) {
        let Verb::LinkSet { ns, link, change } = verb else { return };
        let place = (ns.cookie, link.index);
        if change.mac.is_some() || change.name.is_some() {
            let style = self.styles.entry(place).or_default();
            style.macs.extend(change.mac.clone());
            style.names.extend(change.name.clone());
        }
    }

    /// Keeps account of what the run made and where it is.
    pub(super) fn note(&mut self, entry: &Entry, outcome: &Outcome) {
        if let Undo::Restore { changes, .. } = &entry.undo {
            // Of the run's own, made before a savepoint: it goes whole in the end.
            let own = !entry.on.is_empty() && entry.on.iter().all(|(cookie, index)| self.fresh(*cookie, *index, 1));
            for change in changes {
                let stays = |index: &u32| change.after.as_ref().is_none_or(|after| after.links.contains_key(index));
                let gone = change.before.links.keys().filter(|index| !stays(index));
                self.vacated.extend(gone.map(|index| (change.ns.cookie, *index)));
                let (before, cookie) = (&change.before, change.ns.cookie);
                if change.only == 0
                    && !own
                    && change.after.as_ref().is_none_or(|a| a.links != before.links || a.recs != before.recs)
                {
                    self.coupled.insert(cookie, change.ns.clone());
                }
                // The other end of a veth went along.
                if let Some(Verb::LinkDel { .. }) = &entry.verb {
                    self.made.retain(|(c, index), _| *c != cookie || !before.links.contains_key(index) || stays(index));
                }
            }
        }
        if matches!(
            entry.verb,
            Some(Verb::LinkAdd { .. } | Verb::LinkDel { .. } | Verb::LinkMove { .. } | Verb::NetnsAttach { .. })
        ) {
            self.uppers.borrow_mut().clear();
        }
        match &entry.verb {
            Some(Verb::NetnsAdd { .. }) => {
                if let Some(ns) = &outcome.ns {
                    self.came((ns.cookie, 0), entry.seq);
                }
            }
            Some(Verb::NetnsDel { ns }) => {
                if matches!(entry.undo, Undo::Rebind { .. }) {
                    // It lives on, and is the run's own still, if the run gave it another name.
                    if !self.also_called(ns) {
                        self.made.remove(&(ns.cookie, 0));
                    }
                    self.held.push(ns.clone());
                } else if self.made.remove(&(ns.cookie, 0)).is_some() {
                    // With what goes along.
                    let along: Vec<(Ns, u32)> = self.entries.iter().filter_map(|e| self.goes_with(e, ns)).collect();
                    self.made.retain(|place, _| !along.iter().any(|(at, index)| (at.cookie, *index) == *place));
                    self.remember_dying(ns, along);
                    self.made.retain(|(cookie, _), _| *cookie != ns.cookie);
                    if !self.held.iter().any(|h| h.is(ns)) {
                        self.kernel.release(ns);
                    }
                } else {
                    self.held.push(ns.clone());
                }
            }
            Some(Verb::LinkAdd { ns, spec }) => {
                if let Some(link) = &outcome.link {
                    self.came((ns.cookie, link.index), entry.seq);
                }
                if let (Some(peer), Some(spec)) = (&outcome.peer, &spec.peer) {
                    self.came((spec.0.cookie, peer.index), entry.seq);
                }
            }
            Some(Verb::LinkDel { ns, link }) => {
                self.made.remove(&(ns.cookie, link.index));
                // The other end of a veth went along.
                for end in &entry.on {
                    self.made.remove(end);
                }
            }
            Some(Verb::LinkMove { ns, link, to, .. }) => {
                if let Some(now) = &outcome.link {
                    if matches!(entry.undo, Undo::Restore { .. }) {
                        let place = (to.cookie, now.index);
                        self.guests.insert(place);
                        // A link of the run's own may have had it before.
                        self.made.remove(&place);
                        if let Some(old) = self.ever.remove(&place) {
                            self.formerly.entry(place).or_default().push(old);
                        }
                    }
                    // Undone it is where it was, and known by the same.
                    let old = self.styles.get(&(ns.cookie, link.index)).cloned().unwrap_or_default();
                    let style = self.styles.entry((to.cookie, now.index)).or_default();
                    style.macs.extend(old.macs);
                    style.names.extend(old.names);
                    style.names.insert(now.name.clone());
                    if let Some(seq) = self.made.remove(&(ns.cookie, link.index)) {
                        self.came((to.cookie, now.index), seq);
                    }
                    // One that was there, and went, is nowhere.
                    self.moved.retain(|_, place| (place.0.cookie, place.1) != (to.cookie, now.index));
                    for place in self.moved.values_mut() {
                        if place.0.cookie == ns.cookie && place.1 == link.index {
                            *place = (to.clone(), now.index);
                        }
                    }
                    self.moved.insert((ns.cookie, link.index), (to.clone(), now.index));
                    self.moved.remove(&(to.cookie, now.index));
                }
            }
            _ => {}
        }
    }
}

/// The namespaces (by cookie, and 0) in which a step is done, and the links that were there before it and that it is about.
pub(super) fn touched(verb: &Verb) -> Vec<(u64, u32)> {
    let mut out = Vec::new();
    let mut on = |ns: &Ns, indices: &[u32]| {
        out.push((ns.cookie, 0));
        out.extend(indices.iter().map(|index| (ns.cookie, *index)));
    };
    match verb {
        Verb::LinkAdd { ns, spec } => {
            on(ns, &[spec.master.as_ref().map_or(0, |(index, _)| *index)]);
            on(spec.lower_ns.as_ref().unwrap_or(ns), &[spec.lower.as_ref().map_or(0, |(index, _)| *index)]);
            if let Some(peer) = &spec.peer {
                on(&peer.0, &[]);
            }
        }
        Verb::LinkSet { ns, link, change } => {
            on(ns, &[link.index, change.master.as_ref().map_or(0, |(index, _)| *index)]);
        }
        Verb::LinkMove { ns, link, to, .. } => {
            on(ns, &[link.index]);
            on(to, &[]);
        }
        Verb::LinkDel { ns, link }
        | Verb::LinkAltname { ns, link, .. }
        | Verb::Wireguard { ns, link, .. }
        | Verb::Ethtool { ns, link, .. } => on(ns, &[link.index]),
        Verb::RecAdd { ns, rec, .. } | Verb::RecDel { ns, rec, .. } => on(ns, &rec.devices()),
        verb => {
            if let Some(ns) = verb.ns() {
                on(ns, &[]);
            }
        }
    }
    out
}

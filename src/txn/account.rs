//! The account of what the run made, where it is by now, and what it vacated.

use super::{Entry, Txn, Undo};
use crate::plan::{Ns, Outcome, Verb};

impl Txn {
    /// Something of the run's own came to be at this place, made by step `seq`.
    pub(super) fn came(&mut self, place: (u64, u32), seq: u64) {
        self.made.insert(place, seq);
        self.ever.insert(place, seq);
        self.keys.entry(seq).or_default().push(place);
    }

    /// Whether a link is in the namespace that was made before step `since`, or by somebody else, and was moved there.
    pub(super) fn has_guests(&self, ns: &Ns, since: u64) -> bool {
        let own = |place: &(u64, u32)| self.ever.get(place).is_some_and(|seq| *seq >= since);
        self.moved.iter().any(|((cookie, index), (to, _))| {
            to.is(ns) && *cookie != ns.cookie && !own(&(*cookie, *index)) && !own(&(*cookie, 0))
        })
    }

    /// Keeps account of what the run made and where it is.
    pub(super) fn note(&mut self, entry: &Entry, outcome: &Outcome) {
        if let Undo::Restore { changes, .. } = &entry.undo {
            for change in changes {
                let stays = |index: &u32| change.after.as_ref().is_none_or(|after| after.links.contains_key(index));
                let gone = change.before.links.keys().filter(|index| !stays(index));
                self.vacated.extend(gone.map(|index| (change.ns.cookie, *index)));
            }
        }
        match &entry.verb {
            Some(Verb::NetnsAdd { .. }) => {
                if let Some(ns) = &outcome.ns {
                    self.came((ns.cookie, 0), entry.seq);
                }
            }
            Some(Verb::NetnsDel { ns }) => {
                if self.made.remove(&(ns.cookie, 0)).is_some() && matches!(entry.undo, Undo::Whole) {
                    self.made.retain(|(cookie, _), _| *cookie != ns.cookie);
                    self.kernel.release(ns);
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
            Some(Verb::LinkSet { ns, link, change }) if change.mac.is_some() || change.master.is_some() => {
                self.restyled.insert((ns.cookie, link.index));
            }
            Some(Verb::LinkMove { ns, link, to, .. }) => {
                if let Some(now) = &outcome.link {
                    if matches!(entry.undo, Undo::Restore { .. }) {
                        self.guests.insert((to.cookie, now.index));
                    }
                    if self.restyled.remove(&(ns.cookie, link.index)) {
                        self.restyled.insert((to.cookie, now.index));
                    }
                    if let Some(seq) = self.made.remove(&(ns.cookie, link.index)) {
                        self.came((to.cookie, now.index), seq);
                    }
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

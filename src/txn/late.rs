//! Records that the kernel refuses on the way back until an earlier step is undone too, and those that get lost on it.

use super::rollback::{Expected, Report};
use super::{Change, Txn, Undo, read};
use crate::plan::attribute::same_slot;
use crate::plan::restore::Phase;
use crate::plan::state::merge;
use crate::plan::{Kind, Ns, Rec, State, Verb, What};
use std::collections::BTreeSet;

/// A record that was refused, to be tried again.
#[derive(Clone, Debug)]
pub(super) struct Late {
    /// The step at whose undo it was refused.
    pub seq: u64,
    pub verb: Verb,
    /// It was there before that step, and may have come by an earlier step of the run: a filter, say, whose target that
    /// step had deleted. Then only what was there before that one has to come back.
    pub passing: bool,
}

impl Expected {
    /// What is to be tried again. What only passed by is left out: it would stand in the way of what was there before.
    fn take_late(&mut self) -> Vec<Late> {
        let mut late = std::mem::take(&mut self.late);
        late.retain(|late| !late.passing || self.wants(late));
        // Steps are undone from the last to the first, so that of several routes to one destination the last may have been
        // refused first: they come in the order that they had.
        late.sort_by_key(|late| self.place(late));
        late
    }

    /// Where the record stands among those of its namespace; what is not known there comes last.
    fn place(&self, late: &Late) -> (u64, usize) {
        let Verb::RecAdd { ns, rec, .. } = &late.verb else { return (0, usize::MAX) };
        let known =
            self.states.get(&(ns.cookie, 0)).and_then(|(_, before, ..)| before.recs.iter().position(|r| r == rec));
        (ns.cookie, known.unwrap_or(usize::MAX))
    }

    /// Whether the record was there before all that is undone so far. A step after the one that it was refused at does not
    /// know: there it was missing because it was refused.
    fn wants(&self, late: &Late) -> bool {
        let Verb::RecAdd { ns, rec, .. } = &late.verb else { return true };
        let key = (ns.cookie, 0);
        let earlier = self.lowest.get(&key).is_some_and(|seq| *seq <= late.seq);
        !earlier || self.states.get(&key).is_none_or(|(_, before, ..)| before.recs.contains(rec))
    }
}

impl Txn {
    /// Tries again what was refused.
    pub(super) fn try_late(&mut self, expected: &mut Expected) {
        for late in expected.take_late() {
            let mut quiet = Report::default();
            if !self.step(late.seq, &late.verb, &mut quiet, &[Kind::Exists]) {
                expected.late.push(late);
            }
        }
    }

    /// The namespaces that steps are led back in, as they are before the first is.
    pub(super) fn found(&self, since: u64) -> Vec<(Ns, State)> {
        let mut out: Vec<(Ns, State)> = Vec::new();
        for entry in self.entries.iter().filter(|e| e.seq >= since) {
            let Undo::Restore { changes, .. } = &entry.undo else { continue };
            for change in changes.iter().filter(|c| c.only == 0) {
                if !out.iter().any(|(ns, _)| ns.is(&change.ns))
                    && let Ok(state) = read(&*self.kernel, &change.ns, 0, &[])
                {
                    out.push((change.ns.clone(), state));
                }
            }
        }
        out
    }

    /// The same namespaces as they are now.
    pub(super) fn again(&self, found: &[(Ns, State)]) -> Vec<(Ns, State)> {
        let look = |ns: &Ns| Some((ns.clone(), read(&*self.kernel, ns, 0, &[]).ok()?));
        found.iter().filter_map(|(ns, _)| look(ns)).collect()
    }

    /// What a compensation of the script's own took away since `before` is not lost.
    pub(super) fn leave_out(&self, found: &mut [(Ns, State)], expected: &mut Expected, before: &[(Ns, State)]) {
        let now = self.again(found);
        for (ns, state) in before {
            let Some((_, now)) = now.iter().find(|(n, _)| n.is(ns)) else { continue };
            let taken = |r: &Rec| state.recs.contains(r) && !now.recs.contains(r);
            for (_, first) in found.iter_mut().filter(|(n, _)| n.is(ns)) {
                first.recs.retain(|r| !taken(r));
            }
            expected.came.retain(|(cookie, r)| *cookie != ns.cookie || !taken(r));
        }
    }

    /// Brings back what got lost on the way back itself: it was there before the first of the steps, and when their undo began
    /// or came back in it, and is gone. A nexthop, say, that could not leave a link of the run's own in time took its routes along.
    pub(super) fn bring_back(&mut self, found: &[(Ns, State)], seq: u64, expected: &mut Expected, report: &mut Report) {
        for (ns, first) in found {
            let Some((_, before, touched, _)) = expected.states.get_mut(&(ns.cookie, 0)) else { continue };
            let Ok(mut now) = read(&*self.kernel, ns, 0, &[]) else { continue };
            let there: BTreeSet<(What, &[u8])> = now.recs.iter().map(|r| (r.what, r.body.as_slice())).collect();
            let came = |r: &Rec| expected.came.iter().any(|(cookie, came)| *cookie == ns.cookie && came == r);
            let lost = |r: &&Rec| {
                !there.contains(&(r.what, r.body.as_slice()))
                    && matches!(r.what, What::Addr | What::Nexthop | What::Route | What::Neigh | What::Rule)
                    && !crate::plan::state::made_by_kernel(r)
                    && r.devices().iter().all(|d| now.links.contains_key(d))
                    && (first.recs.contains(r) || came(r))
            };
            let lost: Vec<Rec> = before.recs.iter().filter(lost).cloned().collect();
            if lost.is_empty() {
                continue;
            }
            let with = |recs: Vec<Rec>| State { links: now.links.clone(), recs, ..State::default() };
            let before = with(before.recs.clone());
            let mut after = with(before.recs.iter().filter(|r| !lost.contains(r)).cloned().collect());
            // What is left of it is no stranger's: a group of nexthops without the one that went.
            let left = |r: &&Rec| r.what == What::Nexthop && lost.iter().any(|l| same_slot(l, r));
            after.recs.extend(now.recs.iter().filter(left).cloned());
            touched.extend(before.changed(&after));
            let (target, _) = merge(&before, &after, &now);
            let change =
                Change { ns: ns.clone(), only: 0, sysctls: Vec::new(), before, after: Some(after), lead: None };
            self.lead_back(seq, &change, &mut now, &target, &[Phase::Records], report, expected);
        }
    }

    /// At the end of the way back: what was refused is tried once more, and again as long as that helps, since one may build
    /// on another (a route on a group of nexthops). Gives what still is refused, and says it.
    pub(super) fn last_tries(&mut self, expected: &mut Expected, report: &mut Report) -> Vec<Late> {
        let mut rest = expected.take_late();
        loop {
            let (mut refused, before) = (Report::default(), rest.len());
            rest.retain(|late| !self.step(late.seq, &late.verb, &mut refused, &[Kind::Exists]));
            if rest.is_empty() || rest.len() == before {
                report.merge(refused);
                return rest;
            }
        }
    }
}

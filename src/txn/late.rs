//! Records that the kernel refuses on the way back until an earlier step is undone too.

use super::Txn;
use super::rollback::{Expected, Report};
use crate::plan::{Kind, Verb};

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

//! The names of namespaces on the way back: taken away from those of the run's own, and given again to those that were kept.

use super::rollback::{Expected, Report};
use super::{Entry, Txn, Undo};
use crate::plan::{Kind, Ns, Verb};

impl Txn {
    /// Unbinds the namespace of `first`, and those of the steps before it as far as nothing else is to be undone between
    /// them. They are let go of together at the end, so that the kernel ends them in one go, and not in our way.
    /// Returns the first step that is undone.
    pub(super) fn unbind_all(&mut self, first: Entry, since: u64, report: &mut Report, expected: &mut Expected) -> u64 {
        let mut lowest = first.seq;
        let mut gone = Vec::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            lowest = entry.seq;
            if let Undo::Unbind { ns } = &entry.undo {
                let errors = report.errors.len();
                self.unbind(entry.seq, ns, report);
                // A refusal of the moment gets a second try.
                if report.errors.len() > errors {
                    report.errors.truncate(errors);
                    self.unbind(entry.seq, ns, report);
                }
                // One of the run's own whose name could not be given back goes all the same.
                if self.held.iter().any(|h| h.is(ns)) {
                    self.held.retain(|h| !h.is(ns));
                    if let Some(path) = self.log.keep(ns.cookie) {
                        self.let_go(&path, report);
                    }
                }
                // Made, deleted and bound again by the undo just now: the earliest step counts.
                expected.bound.retain(|b| b != ns);
                expected.names.push(ns.clone());
                expected.gone.push(ns.clone());
                gone.push(ns.clone());
                // Killed in the midst, recover has not to look for all of them.
                if gone.len() % 64 == 0 {
                    self.undone(entry.seq, expected, report);
                }
            }
            self.forget(&entry);
            next = match self.entries.last() {
                Some(e) if e.seq >= since && (matches!(e.undo, Undo::Unbind { .. }) || self.goes_along(e, since)) => {
                    report.steps += 1;
                    self.entries.pop()
                }
                _ => None,
            };
        }
        for ns in &gone {
            self.kernel.release(ns);
        }
        lowest
    }

    /// Takes the name away; what is still held of the namespace is let go by the caller.
    pub(super) fn unbind(&mut self, seq: u64, ns: &Ns, report: &mut Report) {
        match self.kernel.find_ns(&ns.name) {
            Ok(found) if found.cookie == ns.cookie => {}
            Ok(_) => {
                report.differences.push(format!("namespace `{}` is another's now: left", ns.name));
                return;
            }
            Err(error) if error.kind == Kind::NotFound => {
                report.notes.push(format!("namespace `{}` was deleted already", ns.name));
                return;
            }
            // A file that nothing is bound to: an undo that was cut short left it.
            Err(error) => {
                self.kernel.drop_stub(&ns.name);
                if matches!(self.kernel.find_ns(&ns.name), Err(error) if error.kind == Kind::NotFound) {
                    return;
                }
                report.errors.push(error.to_string());
            }
        }
        self.step(seq, &Verb::NetnsDel { ns: ns.clone() }, report, &[]);
    }

    /// Binds a name again to the namespace that was kept. False: it is the run's own, goes anyway, and the name is taken.
    pub(super) fn rebind(&mut self, entry: &Entry, ns: &Ns, since: u64, report: &mut Report) -> bool {
        self.kernel.drop_stub(&ns.name);
        let there = self.kernel.find_ns(&ns.name).is_ok_and(|found| found.cookie == ns.cookie);
        if !there && let Err(error) = self.kernel.rebind(ns) {
            if self.fresh(ns.cookie, 0, since) {
                self.stuck.remove(&entry.seq);
                return false;
            }
            // It is still kept: better so than gone.
            report.errors.push(format!(
                "{error}; the namespace that had that name is kept: free the name, and undo again (`nsscript recover`, or `down` of a lab)"
            ));
            self.stuck.insert(entry.seq, entry.clone());
            return true;
        }
        self.stuck.remove(&entry.seq);
        if let Some(seq) = self.ever.get(&(ns.cookie, 0)) {
            self.made.entry((ns.cookie, 0)).or_insert(*seq);
        }
        self.held.retain(|h| h != ns);
        // Until the last of its names is back.
        if !self.held.iter().any(|h| h.is(ns))
            && let Some(path) = self.log.keep(ns.cookie)
        {
            self.let_go(&path, report);
        }
        true
    }

    /// Whether a namespace could not be given back the name that it had.
    pub(super) fn waits_for_name(&self, ns: &Ns) -> bool {
        let deleted =
            |e: &Entry| matches!((&e.verb, &e.undo), (Some(Verb::NetnsDel { .. }), Undo::Rebind { ns: n }) if n.is(ns));
        self.stuck.values().any(deleted)
    }

    /// Namespaces of the run's own that live on by another name.
    pub(super) fn live_on(&self, gone: &[Ns], report: &mut Report) {
        if gone.is_empty() {
            return;
        }
        for entry in self.kernel.list_ns(&self.kernel.host()).unwrap_or_default() {
            let Ok(found) = self.kernel.find_ns(&entry.name) else { continue };
            if let Some(ns) = gone.iter().find(|ns| ns.is(&found) && ns.name != entry.name) {
                report.differences.push(format!(
                    "namespace `{}` has the name `{}` by now, given by somebody else, and lives on: left",
                    ns.name, entry.name
                ));
            }
        }
    }
}

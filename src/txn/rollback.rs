//! The way back: every step in reverse order, none left out because another failed, and a look at the result.

use super::identity::{Found, Made};
use super::late::Late;
use super::log::{Back, Change, Content};
use super::{Entry, Txn, Undo, read};
use crate::kernel::{By, Cancel};
use crate::plan::attribute::{flushed, grown};
use crate::plan::nft::Table;
use crate::plan::restore::{self, Phase};
use crate::plan::state::{merge_beside, resume};
use crate::plan::{Error, Kind, LinkChange, LinkRef, LinkState, Ns, Rec, Result, State, Verb, What};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a state is led back: the kernel adds and removes some by itself each time, sets links up and down that are on
/// others, and gives a link that is made again options of its own.
pub(super) const ROUNDS: usize = 4;
/// The longest that an undo waits for duplicate address detection: 1.9 s with the kernel's defaults, and a second more
/// for each further probe (`dad_transmits`).
pub(super) const DAD_BOUND: Duration = Duration::from_secs(8);

/// The longest that an undo waits for links to follow their carrier: the kernel looks after them once a second.
const CARRIER_BOUND: Duration = Duration::from_secs(3);

/// What came of an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many steps were undone.
    pub steps: usize,
    pub elapsed: Duration,
    /// What could not be done.
    pub errors: Vec<String>,
    /// What is not as it was before.
    pub differences: Vec<String>,
    /// What was found on the way, and is no difference: somebody else had deleted it already.
    pub notes: Vec<String>,
}

impl Report {
    /// Everything is as it was.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.errors.is_empty() && self.differences.is_empty()
    }

    /// The log can't be written on the way back (its disk is full). The undo goes on: what it did is no less done, and
    /// done again it would change nothing. Said once.
    pub(super) fn unwritten(&mut self, error: &Error) {
        let note = format!("the undo goes on without its log: {error}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds another's findings.
    pub fn merge(&mut self, other: Report) {
        self.steps += other.steps;
        self.elapsed += other.elapsed;
        self.errors.extend(other.errors);
        self.differences.extend(other.differences);
        self.notes.extend(other.notes);
    }
}

/// A namespace, its first state, the facts that were touched, and the sysctls to be read.
pub(super) type Touched = (Ns, State, BTreeSet<String>, Vec<String>);

/// What is looked at again at the end.
#[derive(Default)]
pub(super) struct Expected {
    /// The first step that is undone.
    pub(super) since: u64,
    /// The first state of each namespace that was there before, and the facts that were touched.
    pub(super) states: BTreeMap<(u64, u32), Touched>,
    /// Links and names that must be gone.
    pub(super) links: Vec<(Ns, LinkRef, String)>,
    pub(super) names: Vec<Ns>,
    /// Namespaces that the run made, and that are no longer.
    pub(super) gone: Vec<Ns>,
    pub(super) bound: Vec<Ns>,
    pub(super) files: Vec<(String, Option<Content>)>,
    /// The steps whose files were begun to be written.
    pub(super) begun: BTreeSet<u64>,
    /// Tables of nft: the namespace, the table's name, and what it was.
    pub(super) nft: Vec<(Ns, String, Option<Table>)>,
    /// Namespaces whose IPv6 addresses may be tentative again.
    pub(super) dad: BTreeSet<Ns>,
    /// Records that the kernel refuses until an earlier step is undone too: a route that outlived the address by which
    /// its gateway is reached can only come back once that is back.
    pub(super) late: Vec<Late>,
    /// Records that came back on the way, and the namespace: what is lost again until the end comes once more.
    pub(super) came: Vec<(u64, Rec)>,
    /// The step whose state before is in `states`.
    pub(super) lowest: BTreeMap<(u64, u32), u64>,
}

impl Expected {
    /// What an earlier step knows of one link goes for what a later one knows of its whole namespace, and the other way
    /// round.
    fn same_for_one(&mut self, change: &Change) {
        let cookie = change.ns.cookie;
        if change.only != 0 {
            if let Some((_, before, ..)) = self.states.get_mut(&(cookie, 0))
                && before.links.contains_key(&change.only)
            {
                before.links.extend(change.before.links.clone());
                before.sysctls.extend(change.before.sysctls.clone());
            }
            return;
        }
        let (mut facts, mut keys) = (BTreeSet::new(), Vec::new());
        for index in change.before.links.keys() {
            if let Some((_, _, touched, sysctls)) = self.states.remove(&(cookie, *index)) {
                facts.extend(touched);
                keys.extend(sysctls);
            }
        }
        if let Some((_, before, touched, sysctls)) = self.states.get_mut(&(cookie, 0)) {
            // Of those it may not know what they were.
            let known = |key: &str| before.sysctls.contains_key(key);
            touched.extend(facts.into_iter().filter(|f| f.strip_prefix("sysctl ").is_none_or(known)));
            sysctls.extend(keys.into_iter().filter(|key| known(key)));
        }
    }

    /// A link of the run's own was deleted: states that were read while it was there are looked at without it.
    fn forget(&mut self, ns: &Ns, index: u32) {
        for (_, before, touched, _) in self.states.values_mut().filter(|(n, ..)| n.is(ns)) {
            let Some(link) = before.links.get(&index).cloned() else { continue };
            before.remove_link(index);
            let of_link = format!("link {index} ");
            touched.retain(|key| {
                let sysctl = key.strip_prefix("sysctl ").and_then(restore::device_of);
                !key.starts_with(&of_link) && sysctl != Some(link.name.as_str())
            });
        }
    }
}

impl Txn {
    /// Undoes everything since the savepoint. `hook` runs the script's own compensations.
    pub fn rollback_to(&mut self, savepoint: super::Savepoint, hook: &mut dyn FnMut(u64) -> Result<()>) -> Report {
        self.savepoints.truncate(savepoint.depth);
        self.undo_from(savepoint.at, hook)
    }

    /// Undoes the whole run. The log goes with it.
    pub fn rollback(&mut self, hook: &mut dyn FnMut(u64) -> Result<()>) -> Report {
        self.savepoints.clear();
        let mut report = self.undo_from(0, hook);
        report.errors.append(&mut self.early);
        report.merge(std::mem::take(&mut self.left));
        let mut said = BTreeSet::new();
        report.differences.retain(|text| said.insert(text.clone()));
        // With its log, or what that keeps, something would go that was there before.
        if self.stuck.is_empty() {
            self.sweep(&mut report);
            self.end_log(&mut report);
        }
        // A session goes on.
        self.reserve = super::reserve();
        report
    }

    /// Nothing of the run is left: the log goes.
    pub(super) fn end_log(&mut self, report: &mut Report) {
        if let Err(error) = self.log.end() {
            report.errors.push(error.to_string());
        }
    }

    /// Everything is undone: what is still kept is of an undo that was cut short between bringing it back and letting it go.
    fn sweep(&mut self, report: &mut Report) {
        for file in [self.stead(0), self.log.keep(0)].into_iter().flatten() {
            for kept in file.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten()
            {
                self.let_go(&kept.path(), report);
            }
        }
    }

    /// The run stands: the point of no return is written down, and what was held for its undo is let go. A run that
    /// changed nothing leaves no log, but may have cleared a lab away.
    ///
    /// # Errors
    /// The log can't be written; then nothing is committed, and the run has to be undone.
    ///
    /// `before_release` runs after the point of no return, while what was held is still there.
    pub fn commit(&mut self, before_release: impl FnOnce(&mut Report)) -> Result<Report> {
        let mut report = Report::default();
        if !self.stuck.is_empty() {
            let what: Vec<String> =
                self.stuck.values().filter_map(|e| Some(format!("`{}`", e.verb.as_ref()?.target()))).collect();
            return Err(Error::invalid(format!(
                "a transaction's undo could not bring back {}, which is kept for that: nothing of the run stands",
                what.join(", ")
            ))
            .with_hint("free the name or make room, as it was said, and run `nsscript recover`"));
        }
        let stands = self.stands();
        let ended: Vec<u64> = self
            .entries
            .iter()
            .filter(
                |e| matches!(&e.undo, Undo::Process { pid, start_time, tag } if !self.kernel.runs(*pid, *start_time, tag)),
            )
            .map(|e| e.seq)
            .collect();
        self.kernel.moment("commit")?;
        self.log.commit(&ended, !stands)?;
        let _ = self.kernel.moment("committed");
        before_release(&mut report);
        self.finish(&mut report);
        if !stands {
            self.end_log(&mut report);
        }
        self.entries.clear();
        self.made.clear();
        self.ever.clear();
        self.formerly.clear();
        self.keys.clear();
        self.savepoints.clear();
        Ok(report)
    }

    /// What comes after the point of no return: the namespaces that were kept go.
    pub(super) fn finish(&mut self, report: &mut Report) {
        self.empty_limbo();
        for ns in std::mem::take(&mut self.held) {
            if let Some(path) = self.log.keep(ns.cookie) {
                self.let_go(&path, report);
            }
            self.kernel.release(&ns);
        }
        self.limbo = None;
        if let Some(dir) = self.log.keep(0).as_deref().and_then(Path::parent) {
            let _ = std::fs::remove_dir(dir);
        }
    }

    pub(super) fn undo_from(&mut self, since: u64, hook: &mut dyn FnMut(u64) -> Result<()>) -> Report {
        let start = Instant::now();
        self.reserve.clear();
        self.end_dying(None);
        let mut report = Report::default();
        let mut expected = Expected { since, late: std::mem::take(&mut self.owed), ..Expected::default() };
        // What an undo within could not take back is tried again in its place.
        self.entries.extend(self.stuck.split_off(&since).into_values());
        self.entries.sort_by_key(|entry| entry.seq);
        self.end_processes(since, &mut report);
        let mut found = self.found(since);
        self.still_bridges(since);
        let mut lowest = None;
        while self.entries.last().is_some_and(|e| e.seq >= since) {
            let Some(entry) = self.entries.pop() else { break };
            lowest = Some(entry.seq);
            report.steps += 1;
            if self.goes_along(&entry, since) {
                self.forget(&entry);
                continue;
            }
            let (errors, differences) = (report.errors.len(), report.differences.len());
            if matches!(entry.undo, Undo::Unbind { .. }) {
                let first = self.unbind_all(entry, since, &mut report, &mut expected);
                if since > 0 {
                    self.left.errors.extend(report.errors.iter().skip(errors).cloned());
                    self.left.differences.extend(report.differences.iter().skip(differences).cloned());
                }
                lowest = Some(first);
                self.undone(first, &expected, &mut report);
                continue;
            }
            // What the script's compensations take away, and programs that tidy up at their end, is not lost.
            let tidies = match &entry.undo {
                Undo::Hook { .. } => true,
                Undo::Process { pid, start_time, tag } => self.kernel.runs(*pid, *start_time, tag),
                _ => false,
            };
            let tidied = tidies.then(|| self.again(&found));
            self.undo(&entry, since, hook, &mut report, &mut expected);
            if let Some(before) = tidied {
                self.leave_out(&mut found, &mut expected, &before);
            }
            // What is undone later builds on this: a refusal of the moment gets a second try, at once.
            if report.errors.len() > errors && !matches!(entry.undo, Undo::Hook { .. }) {
                report.errors.truncate(errors);
                report.differences.truncate(differences);
                self.undo(&entry, since, hook, &mut report, &mut expected);
            }
            // Of an undo in the midst of a run: what is not the run's own, and no outer undo looks at again.
            // What is stuck is tried again there.
            if since > 0 && self.outlasts(&entry) && !self.stuck.contains_key(&entry.seq) {
                self.left.errors.extend(report.errors.iter().skip(errors).cloned());
                self.left.differences.extend(report.differences.iter().skip(differences).cloned());
            }
            self.forget(&entry);
            self.undone(entry.seq, &expected, &mut report);
        }
        let late = !expected.late.is_empty();
        let mut rest = self.last_tries(&mut expected, &mut report);
        self.bring_back(&found, lowest.unwrap_or(since), &mut expected, &mut report);
        rest.extend(self.last_tries(&mut expected, &mut report));
        // What had been refused is there now: nothing of these steps is left to do.
        if let Some(seq) = lowest.filter(|_| late) {
            if rest.is_empty() {
                self.undone(seq, &expected, &mut report);
            } else if self.stuck.is_empty()
                && let Err(error) = self.log.owed(seq)
            {
                report.unwritten(&error);
            }
        }
        if since > 0 {
            self.owed.extend(rest);
        }
        let differences = report.differences.len();
        self.live_on(&expected.gone, &mut report);
        if since > 0 {
            self.left.differences.extend(report.differences.iter().skip(differences).cloned());
        }
        self.verify(&expected, &mut report);
        self.end_limbo(&mut report);
        // Of two steps on one thing each says the same.
        let mut said = BTreeSet::new();
        report.differences.retain(|text| said.insert(text.clone()));
        if since > 0 {
            self.reserve = super::reserve();
        }
        report.elapsed = start.elapsed();
        report
    }

    /// Killed from here on, recover goes on from the step before: what was undone is others' to change again, also where a later step
    /// is stuck.
    pub(super) fn undone(&mut self, seq: u64, expected: &Expected, report: &mut Report) {
        // What is still to come back is of a step that is not done with.
        if !expected.late.is_empty() {
            return;
        }
        let stuck: Vec<u64> = self.stuck.range(seq..).map(|(seq, _)| *seq).collect();
        if let Err(error) = self.log.undone(seq, &stuck) {
            report.unwritten(&error);
        }
    }

    /// Whether a step is about what does not go with the run.
    fn outlasts(&self, entry: &Entry) -> bool {
        let own = |ns: &Ns| self.fresh(ns.cookie, 0, 1);
        match &entry.undo {
            Undo::Hook { .. }
            | Undo::File { .. }
            | Undo::Process { .. }
            | Undo::Unbind { .. }
            | Undo::Rebind { .. } => true,
            Undo::Nft { ns, .. } | Undo::Delete { ns, .. } => !own(ns),
            Undo::Lost { .. } => match &entry.verb {
                Some(Verb::NetnsSetId { at, target, .. }) => !own(at) && !own(target),
                _ => true,
            },
            Undo::Restore { changes, .. } => changes.iter().any(|c| !own(&c.ns)),
            Undo::Whole => false,
        }
    }

    /// Whether a step needs no undo, since all that it is about goes away.
    pub(super) fn goes_along(&self, entry: &Entry, since: u64) -> bool {
        !matches!(entry.undo, Undo::Hook { .. } | Undo::File { .. } | Undo::Process { .. })
            && !entry.on.is_empty()
            && entry.on.iter().all(|(cookie, index)| self.fresh(*cookie, *index, since))
    }

    /// Sets the bridges down that are about to go with their namespaces: one that is up floods all its ports with what
    /// each of them multicasts at its end, and the kernel is busy with that for longer than with the deletion. If it
    /// can't be done, it only takes longer.
    fn still_bridges(&self, since: u64) {
        for entry in self.entries.iter().filter(|e| e.seq >= since) {
            if let (Some(Verb::LinkAdd { ns, spec }), Some(outcome)) = (&entry.verb, &entry.outcome)
                && spec.kind == "bridge"
                && let Some(link) = &outcome.link
                && self.ever.get(&(ns.cookie, 0)).is_some_and(|seq| *seq >= since)
                && let Ok(Some(info)) = self.kernel.link(ns, By::Index(link.index))
                && info.state.kind == "bridge"
                && info.state.up
            {
                let change = LinkChange { up: Some(false), ..LinkChange::default() };
                let _ = self.kernel.apply(&Verb::LinkSet { ns: ns.clone(), link: link.clone(), change });
            }
        }
    }

    /// What runs in the namespaces that are about to go, found by one look at all processes.
    fn end_processes(&mut self, since: u64, report: &mut Report) {
        let going: Vec<Ns> = self
            .entries
            .iter()
            .filter(|e| e.seq >= since)
            .filter_map(|e| match &e.undo {
                Undo::Unbind { ns } => Some(ns.clone()),
                _ => None,
            })
            .collect();
        if !going.is_empty()
            && let Err(error) = self.kernel.end_processes(&going)
        {
            report.errors.push(error.to_string());
        }
    }

    pub(super) fn fresh(&self, cookie: u64, index: u32, since: u64) -> bool {
        let made = |key: (u64, u32)| self.ever.get(&key).is_some_and(|seq| *seq >= since && *seq != 0);
        (made((cookie, 0)) && !self.guests.contains(&(cookie, index))) || made((cookie, index))
    }

    /// What the step made is no longer.
    pub(super) fn forget(&mut self, entry: &Entry) {
        for place in self.keys.remove(&entry.seq).unwrap_or_default() {
            for all in [&mut self.made, &mut self.ever] {
                if all.get(&place) == Some(&entry.seq) {
                    all.remove(&place);
                }
            }
            while let Some(seq) = self.formerly.get_mut(&place).and_then(Vec::pop) {
                if self.keys.contains_key(&seq) {
                    self.ever.entry(place).or_insert(seq);
                    break;
                }
            }
        }
    }

    pub(super) fn undo(
        &mut self,
        entry: &Entry,
        since: u64,
        hook: &mut dyn FnMut(u64) -> Result<()>,
        report: &mut Report,
        expected: &mut Expected,
    ) {
        match &entry.undo {
            Undo::Whole => {}
            // Done together with those beside it: `unbind_all`.
            Undo::Unbind { .. } => {}
            Undo::Rebind { ns } => match &entry.verb {
                Some(Verb::NetnsAttach { .. }) => {
                    if let Some(ns) = entry.outcome.as_ref().and_then(|o| o.ns.clone()) {
                        // It may be the last name, while the one from before is taken.
                        if self.waits_for_name(&ns) {
                            self.stuck.insert(entry.seq, entry.clone());
                            return;
                        }
                        self.stuck.remove(&entry.seq);
                        // Not let go of: what was done in it by its own name is still to be looked at.
                        self.unbind(entry.seq, &ns, report);
                        expected.bound.retain(|b| *b != ns);
                        expected.names.push(ns);
                    }
                }
                _ => {
                    let kept = self.log.keep(ns.cookie);
                    let path = kept.map_or_else(|| "/proc/self/fd/…".into(), |p| p.to_string_lossy().into_owned());
                    let verb = Verb::NetnsAttach { name: ns.name.clone(), path };
                    self.observer.step(entry.seq, &verb, true);
                    let bound = self.rebind(entry, ns, expected.since, report);
                    // Bound by a later step, and unbound by its undo: the earliest step counts.
                    expected.names.retain(|n| n != ns);
                    expected.bound.retain(|b| b != ns);
                    expected.bound.extend(bound.then(|| ns.clone()));
                }
            },
            Undo::Delete { ns, link } => {
                let kind = match &entry.verb {
                    Some(Verb::LinkAdd { spec, .. }) => spec.kind.clone(),
                    _ => String::new(),
                };
                let place = match (&entry.verb, &entry.outcome) {
                    (Some(Verb::LinkMove { to, .. }), Some(outcome)) => {
                        outcome.link.as_ref().map(|l| (to.clone(), l.index))
                    }
                    _ => None,
                };
                let (ns, index) = place.unwrap_or_else(|| (ns.clone(), link.index));
                let (ns, index) = self.locate(&ns, index);
                let name = entry.outcome.as_ref().and_then(|o| o.link.as_ref()).map_or(&link.name, |l| &l.name);
                let link = LinkRef { index, name: name.clone() };
                let (mac, peer) = match &entry.verb {
                    Some(Verb::LinkAdd { spec, .. }) => (spec.mac.clone(), spec.peer.as_deref()),
                    _ => (None, None),
                };
                // Of one that was moved, the step that made it knows.
                let (kind, mac) = match &entry.verb {
                    Some(Verb::LinkMove { .. }) => self.made_as(&ns, index).unwrap_or((kind, mac)),
                    _ => (kind, mac),
                };
                // A veth's other end went with it; or, where somebody moved the first away, it takes that along.
                let ends = peer.zip(entry.outcome.as_ref().and_then(|o| o.peer.as_ref()));
                let other =
                    ends.map(|((at, spec), peer)| (self.locate(at, peer.index), spec.mac.as_deref(), &peer.name));
                let mac = mac.as_deref();
                let end = other.as_ref().and_then(|((at, index), mac, _)| Some((at, *index, (*mac)?)));
                let made = Made { link: &link, kind: &kind, mac, other: end };
                let found = self.delete(entry.seq, &ns, made, report);
                expected.forget(&ns, index);
                if let Some(((at, there), other_mac, name)) = other {
                    if found == Found::Nothing {
                        let end = mac.map(|mac| (&ns, index, mac));
                        let link = LinkRef { index: there, name: name.clone() };
                        let made = Made { link: &link, kind: &kind, mac: other_mac, other: end };
                        self.delete(entry.seq, &at, made, report);
                    }
                    expected.forget(&at, there);
                }
                if found != Found::Anothers {
                    expected.links.push((ns, link, kind));
                }
            }
            Undo::Restore { changes, back } => {
                self.restore((entry, since), changes, back, report, expected);
                self.regain(changes);
            }
            Undo::File { path, before, folders, begun } => {
                let begun = *begun || expected.begun.contains(&entry.seq);
                self.restore_file((entry, begun), path, before.as_ref(), folders, report, expected);
            }
            Undo::Nft { ns, before, after } => {
                self.restore_nft(entry, ns, before, after.as_deref(), report, expected);
            }
            Undo::Process { pid, start_time, tag } => {
                let verb = Verb::ProcessEnd { pid: *pid, start_time: *start_time, tag: tag.clone() };
                self.step(entry.seq, &verb, report, &[]);
            }
            Undo::Hook { id } => {
                if let Err(error) = hook(*id) {
                    report.errors.push(format!("on_rollback: {error}"));
                }
            }
            Undo::Lost { what } => report.differences.push(what.clone()),
        }
    }

    /// Does a verb on the way back. Errors of the kinds `fine` mean that it is so already.
    pub(super) fn step(&mut self, seq: u64, verb: &Verb, report: &mut Report, fine: &[Kind]) -> bool {
        self.observer.step(seq, verb, true);
        // Without its log the undo goes on all the same.
        let log = &mut self.log;
        match self.kernel.apply_telling(verb, &mut |helper| log.helper(helper).or(Ok(()))) {
            Ok(_) => true,
            Err(error) if fine.contains(&error.kind) => true,
            Err(error) => {
                report.errors.push(error.to_string());
                false
            }
        }
    }

    fn restore(
        &mut self,
        (entry, since): (&Entry, u64),
        changes: &[Change],
        back: &[Back],
        report: &mut Report,
        expected: &mut Expected,
    ) {
        let seq = entry.seq;
        let mut lost = self.stranded((entry, since), changes, back, report);
        // One end of a veth after the other; the last that left comes first.
        for back in back.iter().rev().filter(|b| b.index != 0) {
            if lost.contains(&(back.from.cookie, back.link.index)) {
                continue;
            }
            let was = changes.iter().find(|c| c.ns.is(&back.from)).and_then(|c| c.before.links.get(&back.link.index));
            if !self.move_back((seq, since), back, was, report, expected) {
                lost.push((back.from.cookie, back.link.index));
            }
        }
        self.remake_pairs(seq, changes, report);
        // Before the state is read: what comes back here must not be taken for a stranger's.
        self.try_late(expected);
        let carriers: Vec<Option<BTreeSet<u32>>> =
            changes.iter().map(|c| super::carriers(&*self.kernel, entry.verb.as_ref(), c)).collect();
        let mut records = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            let key = (change.ns.cookie, change.only);
            let slot = expected
                .states
                .entry(key)
                .or_insert_with(|| (change.ns.clone(), State::default(), BTreeSet::new(), Vec::new()));
            // Undone later means done earlier: the earliest state is the one to come back to.
            let mut sysctls: BTreeMap<String, String> =
                slot.1.sysctls.clone().into_iter().chain(change.before.sysctls.clone()).collect();
            // A device that came later, or had another name then, has none.
            sysctls.retain(|key, _| {
                restore::device_of(key).is_none_or(|dev| change.before.links.values().any(|l| l.name == dev))
            });
            slot.1 = State { sysctls, ..change.before.clone() };
            expected.lowest.insert(key, seq);
            expected.same_for_one(change);
            let Some(slot) = expected.states.get_mut(&key) else { continue };
            let known: BTreeSet<String> = slot.1.sysctls.keys().map(|key| format!("sysctl {key}")).collect();
            slot.2.retain(|key| !key.starts_with("sysctl ") || known.contains(key));
            slot.3.extend(change.sysctls.iter().cloned());
            let mut now = match read(&*self.kernel, &change.ns, change.only, &change.sysctls) {
                Ok(now) => now,
                Err(error) if error.kind == Kind::NotFound => {
                    if !self.fresh(change.ns.cookie, 0, since) {
                        report
                            .notes
                            .push(format!("{} is gone: what was changed in it went with it", change.ns.label()));
                    }
                    expected.states.remove(&key);
                    continue;
                }
                Err(error) => {
                    report.errors.push(error.to_string());
                    continue;
                }
            };
            // Links of the run's own that went before are nothing to look for: nobody else deleted them.
            // But one that this very step deleted comes back, with what it had taken along.
            let deleted = entry.on.is_empty() && matches!(entry.verb, Some(Verb::LinkDel { .. }));
            let went = |index: &u32| deleted && change.after.as_ref().is_some_and(|a| !a.links.contains_key(index));
            let gone: Vec<u32> = change
                .before
                .links
                .keys()
                .filter(|index| {
                    lost.contains(&(change.ns.cookie, **index))
                        || !now.links.contains_key(index)
                            && !went(index)
                            && self.fresh(change.ns.cookie, **index, since)
                })
                .copied()
                .collect();
            let mut without = Cow::Borrowed(change);
            for index in gone {
                let change = without.to_mut();
                change.before.remove_link(index);
                change.after.iter_mut().for_each(|after| after.remove_link(index));
                slot.1.remove_link(index);
            }
            let trimmed = without.as_ref();
            let mut after = Cow::Borrowed(trimmed.after.as_ref().unwrap_or(&now));
            // The kernel may not have dropped yet what it is about to drop: then it is looked for at the end.
            if let Some(carrier) = &carriers[at] {
                after = Cow::Owned(flushed(&after, |index| carrier.contains(&index)));
            }
            let after = &grown(&after, &trimmed.before, &now);
            slot.2.extend(trimmed.before.changed(after).into_iter().filter(|key| {
                let device = key.strip_prefix("sysctl ").and_then(restore::device_of);
                device.is_none_or(|dev| trimmed.before.links.values().any(|l| l.name == dev))
            }));
            let target = if let Some(lead) = &change.lead {
                // An undo that was cut short goes on to where it was going.
                slot.2.extend(lead.0.changed(&lead.1));
                resume(&lead.0, &lead.1, &now)
            } else {
                if trimmed.before == *after && now == *after && carriers[at].is_none() {
                    continue;
                }
                // What is over a link of the run's own may be the run's own.
                let cookie = change.ns.cookie;
                let standing = !self.fresh(cookie, 0, since);
                let theirs = |r: &Rec| standing && r.devices().iter().all(|d| !self.fresh(cookie, *d, since));
                let (target, conflicts) = merge_beside(&trimmed.before, after, &now, &theirs);
                // What a link of the run's own has by now an own step gave it, which needed no undo: it goes.
                let lasts = |link: u32| link == 0 || !self.fresh(change.ns.cookie, link, since);
                report.differences.extend(conflicts.into_iter().filter(|c| lasts(c.link)).map(|c| c.text));
                if let Err(error) = self.log.lead(seq, at, &now, &target) {
                    report.unwritten(&error);
                }
                target
            };
            let theirs = self.settings_of_others(change, &now, since);
            self.lead_back(seq, change, &mut now, &target, &[Phase::Links, Phase::Up], report, expected);
            for (key, value) in theirs {
                if self.kernel.sysctl(&change.ns, &key).is_ok_and(|is| is != value) {
                    let verb = Verb::Sysctl { ns: change.ns.clone(), key, value };
                    self.step(seq, &verb, report, &[Kind::NotFound]);
                }
            }
            if target.recs.iter().any(|r| r.family() == crate::plan::record::AF_INET6) {
                expected.dad.insert(change.ns.clone());
            }
            records.push((change, target));
        }
        for (change, target) in &records {
            self.wait_for_carrier(change, target, report);
        }
        // Once both ends of every veth are up: at a loss of carrier the kernel forgets proxy entries, some time later
        // (neigh_carrier_down, by linkwatch), and would forget those that came back too early.
        for (change, target) in records {
            match read(&*self.kernel, &change.ns, change.only, &change.sysctls) {
                Ok(mut now) => self.lead_back(seq, change, &mut now, &target, &[Phase::Records], report, expected),
                Err(error) => report.errors.push(error.to_string()),
            }
        }
    }

    /// A nexthop is taken on a device with carrier only, and that of a bridge follows its ports some time later. And with the
    /// carrier comes the link-local address of a MAC that is another again by now.
    fn wait_for_carrier(&self, change: &Change, target: &State, report: &mut Report) {
        let ns = &change.ns;
        let had = |link: &LinkState| {
            let after = change.after.as_ref().and_then(|after| after.links.get(&link.index));
            after.is_some_and(|after| after.mac != link.mac)
        };
        if !target.recs.iter().any(|r| r.what == What::Nexthop) && !change.before.links.values().any(had) {
            return;
        }
        let up: Vec<u32> = target.links.values().filter(|l| l.up).map(|l| l.index).collect();
        let Ok(never) = Cancel::never() else { return };
        if let Err(error) = self.kernel.wait_links(ns, &up, CARRIER_BOUND, &never)
            && error.kind != Kind::NotFound
        {
            report.errors.push(error.to_string());
        }
    }

    /// From the state now to `target`, phase by phase; what the kernel undid by itself is done again.
    #[expect(clippy::too_many_arguments, reason = "of one undo, all of it")]
    pub(super) fn lead_back(
        &mut self,
        seq: u64,
        change: &Change,
        now: &mut State,
        target: &State,
        phases: &[Phase],
        report: &mut Report,
        expected: &mut Expected,
    ) {
        let ns = &change.ns;
        for &phase in phases {
            for round in 0..ROUNDS {
                let verbs = restore::steps(ns, now, target, phase);
                if verbs.is_empty() {
                    break;
                }
                let last = round + 1 == ROUNDS;
                for verb in &verbs {
                    // What is to go may be gone; what is to come has not come because its device is not ready.
                    let adds = matches!(verb, Verb::RecAdd { .. });
                    let fine: &[Kind] = if adds { &[Kind::Exists] } else { &[Kind::NotFound, Kind::Exists] };
                    // In the last round an error is one; before, the next round finds out.
                    let mut quiet = Report::default();
                    let done = self.step(seq, verb, &mut quiet, fine);
                    if done && let Verb::RecAdd { rec, .. } = verb {
                        expected.came.push((ns.cookie, rec.clone()));
                    }
                    if last && !done {
                        match verb {
                            Verb::RecAdd { rec, .. } => {
                                let passing = change.before.recs.contains(rec);
                                expected.late.push(Late { seq, verb: verb.clone(), passing });
                            }
                            _ => report.merge(quiet),
                        }
                    }
                }
                match read(&*self.kernel, ns, change.only, &change.sysctls) {
                    Ok(state) => *now = state,
                    Err(error) => {
                        report.errors.push(error.to_string());
                        return;
                    }
                }
            }
        }
    }
}

/// An error that carries what the undo of a failed function could not do.
#[must_use]
pub fn with_report(mut error: Error, report: &Report) -> Error {
    if let Some(first) = report.errors.first().or(report.differences.first()) {
        error.message += &format!("; and what was done of it could not be undone: {first}");
    }
    error
}

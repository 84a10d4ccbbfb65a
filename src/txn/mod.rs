//! Transactions: nothing is done before its undo is written down, and what is undone is looked at again.

mod account;
mod diff;
pub mod journal;
pub mod labs;
mod late;
mod limbo;
pub mod log;
mod nft;
pub mod papers;
mod recover;
mod rollback;
mod sysctls;
mod verify;

pub use log::{Entry, InMemory, Undo, UndoLog};
pub use rollback::{Report, with_report};

use crate::kernel::{By, Kernel};
use crate::plan::attribute::{flushed, takes_carrier};
use crate::plan::{Error, Kind, LinkRef, LinkState, Ns, Outcome, Result, State, Verb, What, restore};
use log::{Back, Change, Content};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// Who hears of each step.
pub trait Observer {
    /// A verb is about to be done; `undo` while rolling back.
    fn step(&mut self, index: u64, verb: &Verb, undo: bool);
}

/// A run: the steps done so far, with their undo.
pub struct Txn {
    kernel: Rc<dyn Kernel>,
    log: Box<dyn UndoLog>,
    observer: Box<dyn Observer>,
    entries: Vec<Entry>,
    next: u64,
    /// Where each open savepoint begins.
    savepoints: Vec<u64>,
    /// What the run made: (cookie, 0) a namespace, (cookie, ifindex) a link where it is now; and at which step.
    made: HashMap<(u64, u32), u64>,
    /// The same, but for good: also what was moved or deleted since, under every place that it had.
    ever: HashMap<(u64, u32), u64>,
    /// By step, what it put there.
    keys: HashMap<u64, Vec<(u64, u32)>>,
    /// Where links went that were moved: from (cookie, ifindex) as it was first known.
    moved: HashMap<(u64, u32), (Ns, u32)>,
    /// Places at which links arrived that were not the run's own: not even in a namespace of its own do they go with that.
    guests: HashSet<(u64, u32)>,
    /// Where links were that went with a step: their places are kept for the undo.
    vacated: HashSet<(u64, u32)>,
    /// Namespaces whose name was unbound, held open until the commit; and limbo.
    held: Vec<Ns>,
    /// Links of the run's own whose MAC it may have changed itself, by where they are.
    restyled: HashSet<(u64, u32)>,
    /// Records that the undo of a savepoint could not bring back as things were then: an outer undo tries again.
    owed: Vec<late::Late>,
    /// Where links are set aside that were there before and are deleted.
    limbo: Option<Ns>,
}

/// A place to come back to. Dropping it does nothing: it is given to [`Txn::rollback_to`] or [`Txn::release`].
#[must_use = "a savepoint is released or rolled back to"]
#[derive(Debug)]
pub struct Savepoint {
    /// The first step after it.
    at: u64,
    /// How many savepoints were open when it began. Two may begin at the same step.
    depth: usize,
}

impl Txn {
    #[must_use]
    pub fn new(kernel: Rc<dyn Kernel>, log: Box<dyn UndoLog>, observer: Box<dyn Observer>) -> Txn {
        Txn {
            kernel,
            log,
            observer,
            entries: Vec::new(),
            next: 1,
            savepoints: Vec::new(),
            made: HashMap::new(),
            ever: HashMap::new(),
            keys: HashMap::new(),
            moved: HashMap::new(),
            guests: HashSet::new(),
            vacated: HashSet::new(),
            restyled: HashSet::new(),
            owed: Vec::new(),
            held: Vec::new(),
            limbo: None,
        }
    }

    /// How many steps stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// (namespaces, links) that the run made and that stand.
    #[must_use]
    pub fn made(&self) -> (usize, usize) {
        let namespaces = self.made.keys().filter(|(_, index)| *index == 0).count();
        (namespaces, self.made.len() - namespaces)
    }

    /// Whether anything stands that could be taken down: what the run made and did not delete, changed and did not set
    /// back, started and did not end.
    #[must_use]
    pub fn stands(&self) -> bool {
        let bound = |ns: &Ns| self.kernel.find_ns(&ns.name).is_ok_and(|found| found.cookie == ns.cookie);
        self.entries.iter().any(|entry| match &entry.undo {
            Undo::Whole | Undo::Hook { .. } | Undo::Lost { .. } => false,
            Undo::Unbind { ns } => bound(ns),
            // Of a namespace that was there and was deleted nothing is left to take down.
            Undo::Rebind { .. } => {
                let attached = matches!(entry.verb, Some(Verb::NetnsAttach { .. }));
                attached && entry.outcome.as_ref().and_then(|o| o.ns.as_ref()).is_some_and(bound)
            }
            Undo::Delete { ns, link } => {
                let (ns, index) = self.locate(ns, link.index);
                matches!(self.kernel.link(&ns, By::Index(index)), Ok(Some(_)))
            }
            Undo::Restore { changes, .. } => {
                let own = !entry.on.is_empty() && entry.on.iter().all(|(cookie, index)| self.fresh(*cookie, *index, 1));
                !own && changes.iter().any(|c| c.after.as_ref() != Some(&c.before))
            }
            Undo::Nft { before, after, .. } => after.as_ref().is_none_or(|a| a != before),
            Undo::File { .. } => true,
            Undo::Process { pid, start_time, .. } => self.kernel.runs(*pid, *start_time),
        })
    }

    /// How many of the processes that the run started still run.
    #[must_use]
    pub fn running(&self) -> usize {
        let runs = |e: &&Entry| matches!(&e.undo, Undo::Process { pid, start_time, .. } if self.kernel.runs(*pid, *start_time));
        self.entries.iter().filter(runs).count()
    }

    /// Where a link is now that was once known as `index` in `ns`.
    #[must_use]
    pub fn locate(&self, ns: &Ns, index: u32) -> (Ns, u32) {
        self.moved.get(&(ns.cookie, index)).cloned().unwrap_or_else(|| (ns.clone(), index))
    }

    /// Begins a savepoint.
    pub fn savepoint(&mut self) -> Savepoint {
        let savepoint = Savepoint { at: self.next, depth: self.savepoints.len() };
        self.savepoints.push(self.next);
        savepoint
    }

    /// Ends a savepoint whose work stands: it is part of the outer one now.
    pub fn release(&mut self, savepoint: Savepoint) {
        self.savepoints.truncate(savepoint.depth);
    }

    /// Registers a compensation of the script's own.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn hook(&mut self, id: u64) -> Result<()> {
        let entry = self.entry(None, Undo::Hook { id }, Vec::new());
        self.log.intent(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Makes the log, for whoever wants to put something beside it.
    ///
    /// # Errors
    /// It can't be made, or the name is taken.
    pub fn begin(&mut self) -> Result<()> {
        self.log.begin()
    }

    /// Gives the lab another name, before it is committed.
    ///
    /// # Errors
    /// The name is taken.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        self.log.rename(name)
    }

    /// Goes on after a commit with a log of its own: what comes is another lab. Where links are is still known.
    pub fn renew(&mut self, log: Box<dyn UndoLog>) {
        self.log = log;
    }

    /// Writes down where the lab was set aside that this run replaces.
    ///
    /// # Errors
    /// The log can't be made.
    pub fn replaces(&mut self, aside: std::path::PathBuf) -> Result<()> {
        self.log.replaces(aside);
        self.log.begin()
    }

    /// Writes down that the steps so far only cleared the way.
    ///
    /// # Errors
    /// The log can't be written.
    pub fn cleared(&mut self) -> Result<()> {
        self.log.cleared(self.next)
    }

    /// Writes down a process that is set up and waits to be let go.
    ///
    /// # Errors
    /// The log can't be written: the process must not run.
    pub fn started(&mut self, ns: &Ns, pid: i32, start_time: u64, tag: &str, words: &str) -> Result<()> {
        let verb = Verb::ProcessStart { ns: ns.clone(), pid, words: words.into() };
        let undo = Undo::Process { pid, start_time, tag: tag.into() };
        let entry = self.entry(Some(verb), undo, Vec::new());
        self.log.intent(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    fn entry(&mut self, verb: Option<Verb>, undo: Undo, on: Vec<(u64, u32)>) -> Entry {
        let seq = self.next;
        self.next += 1;
        Entry { seq, verb, undo, on, outcome: None }
    }

    /// Whether the namespace was made since step `since`.
    fn fresh_ns(&self, ns: &Ns, since: u64) -> bool {
        self.made.get(&(ns.cookie, 0)).is_some_and(|seq| *seq >= since)
    }

    /// Whether the link was made since the last savepoint, so that it goes with what undoes it.
    #[must_use]
    pub fn owns(&self, ns: &Ns, index: u32) -> bool {
        self.fresh_link(ns, index, self.savepoints.last().copied().unwrap_or_default())
    }

    fn fresh_link(&self, ns: &Ns, index: u32, since: u64) -> bool {
        let place = (ns.cookie, index);
        let made = self.made.get(&place).is_some_and(|seq| *seq >= since);
        made || (self.fresh_ns(ns, since) && !self.guests.contains(&place))
    }

    /// Does one verb: its undo is written down, it is done, and what came of it is written down. A verb that fails has
    /// changed nothing.
    ///
    /// # Errors
    /// What the kernel refused, or that the log can't be written.
    pub fn perform(&mut self, mut verb: Verb) -> Result<Outcome> {
        let kernel = Rc::clone(&self.kernel);
        let given = match &verb {
            Verb::LinkAdd { spec, .. } => (spec.index, spec.peer.as_ref().map_or(0, |p| p.1.index)),
            _ => (0, 0),
        };
        kernel.prepare(&mut verb)?;
        self.avoid(&mut verb, given);
        let since = self.savepoints.last().copied().unwrap_or_default();
        let (undo, on) = self.plan_undo(&verb, since)?;
        let mut entry = self.entry(Some(verb), undo, on);
        self.log.intent(&entry)?;
        let Some(verb) = entry.verb.take() else { return Ok(Outcome::default()) };
        self.observer.step(entry.seq, &verb, false);
        if let (Verb::NetnsDel { ns }, Undo::Rebind { .. }) = (&verb, &entry.undo)
            && let Some(path) = self.log.keep(ns.cookie)
            && let Err(error) = kernel.hold(ns, &path)
        {
            self.log.undone(entry.seq)?;
            return Err(error);
        }
        if let Err(error) = self.hold_limbo(&entry) {
            self.log.undone(entry.seq)?;
            return Err(error);
        }
        let result = self.apply(&verb, &mut entry);
        entry.verb = Some(verb);
        match result {
            Ok(outcome) => {
                entry.outcome = Some(outcome.clone());
                self.note(&entry, &outcome);
                // A link of the run's own whose state was read only in case the set was done by halves.
                if let Undo::Restore { changes, back } = &entry.undo
                    && back.is_empty()
                    && changes.iter().all(|c| c.only != 0)
                    && entry.on.iter().all(|(cookie, index)| self.fresh(*cookie, *index, since))
                {
                    entry.undo = Undo::Whole;
                }
                let written = self.log.outcome(&entry);
                self.entries.push(entry);
                match written {
                    Ok(()) => Ok(outcome),
                    Err(error) => {
                        let last = self.next - 1;
                        self.undo_from(last, &mut |_| Ok(()));
                        Err(error)
                    }
                }
            }
            Err(mut error) => {
                // Netlink sets are not atomic: what was done by halves is taken back.
                if let Undo::Restore { .. } = &entry.undo {
                    let seq = entry.seq;
                    self.entries.push(entry);
                    let report = self.undo_from(seq, &mut |_| Ok(()));
                    if let Some(first) = report.errors.first().cloned().or_else(|| report.differences.first().cloned())
                    {
                        error.message += &format!("; and what was done of it could not be undone: {first}");
                    }
                } else {
                    match &entry.verb {
                        Some(Verb::NetnsAdd { cookie, name }) => {
                            kernel.release(&Ns { cookie: *cookie, name: name.clone() });
                        }
                        Some(Verb::NetnsDel { ns }) => {
                            if let Some(path) = self.log.keep(ns.cookie) {
                                let _ = kernel.unhold(&path);
                            }
                        }
                        _ => {}
                    }
                    // Nothing of it was done: recover must not look for it.
                    if let Err(second) = self.log.undone(entry.seq) {
                        error.message += &format!("; and the journal can't be written: {second}");
                        return Err(error);
                    }
                    // Of an own index the kernel says the one, of a peer's the other (dev_index_reserve, net/core/dev.c).
                    let taken = matches!(error.errno, libc::EEXIST | libc::EBUSY);
                    if let Some(verb) = entry.verb.filter(|_| taken).and_then(|verb| self.another(verb, given)) {
                        return self.perform(verb);
                    }
                }
                Err(error)
            }
        }
    }

    /// The same link by another index, if somebody else's link has the one that was chosen for it. `given`: those that the
    /// caller chose, which are not ours to change.
    fn another(&self, mut verb: Verb, given: (u32, u32)) -> Option<Verb> {
        let Verb::LinkAdd { ns, spec } = &mut verb else { return None };
        let taken = |ns: &Ns, index: u32| matches!(self.kernel.link(ns, By::Index(index)), Ok(Some(_)));
        let own = given.0 == 0 && taken(ns, spec.index);
        let peer = given.1 == 0 && spec.peer.as_ref().is_some_and(|p| taken(&p.0, p.1.index));
        if own {
            spec.index = 0;
        }
        if let Some(peer) = spec.peer.as_mut().filter(|_| peer) {
            peer.1.index = 0;
        }
        (own || peer).then_some(verb)
    }

    /// Keeps links out of the places that others left: what was known by index there must not be taken for them.
    fn avoid(&self, verb: &mut Verb, given: (u32, u32)) {
        let left = |ns: &Ns, index: u32| {
            let place = (ns.cookie, index);
            self.moved.contains_key(&place) || self.vacated.contains(&place)
        };
        let free = |ns: &Ns, from: u32| {
            let free = |i: &u32| !left(ns, *i) && matches!(self.kernel.link(ns, By::Index(*i)), Ok(None));
            (from.saturating_add(1)..i32::MAX.unsigned_abs()).find(free).unwrap_or(0)
        };
        match verb {
            Verb::LinkAdd { ns, spec } => {
                if given.0 == 0 && left(ns, spec.index) {
                    spec.index = free(ns, spec.index);
                }
                let own = (ns.cookie, spec.index);
                if let Some(peer) = &mut spec.peer
                    && given.1 == 0
                    && (left(&peer.0, peer.1.index) || own == (peer.0.cookie, peer.1.index))
                {
                    let from = if own.0 == peer.0.cookie { own.1.max(peer.1.index) } else { peer.1.index };
                    peer.1.index = free(&peer.0, from);
                }
            }
            // Unless it comes back to where it was.
            Verb::LinkMove { ns, link, to, index, .. }
                if *index == 0 && left(to, link.index) && self.locate(to, link.index) != (ns.clone(), link.index) =>
            {
                *index = free(to, link.index);
            }
            _ => {}
        }
    }

    /// Applies a verb and reads the state after it, where the undo needs one.
    fn apply(&mut self, verb: &Verb, entry: &mut Entry) -> Result<Outcome> {
        let result = match &mut entry.undo {
            Undo::Restore { back, .. } if matches!(verb, Verb::LinkDel { .. }) => {
                limbo::delete(&*self.kernel, verb, back)
            }
            _ => self.kernel.apply(verb),
        };
        if let (Undo::Nft { ns, after, .. }, Verb::NftLoad { ruleset, .. }, Ok(_)) = (&mut entry.undo, verb, &result) {
            *after = nft::tables(&*self.kernel, ns, ruleset).ok();
        }
        if let Undo::Restore { changes, back } = &mut entry.undo {
            let since = self.savepoints.last().copied().unwrap_or_default();
            let own = entry.on.iter().all(|(cookie, index)| {
                self.made.get(&(*cookie, 0)).or(self.made.get(&(*cookie, *index))).is_some_and(|seq| *seq >= since)
            });
            let fresh = own && changes.iter().all(|c| c.only != 0) && result.is_ok();
            if !fresh {
                for change in changes.iter_mut() {
                    change.after = read(&*self.kernel, &change.ns, change.only, &change.sysctls).ok();
                    if let Some(carrier) = carriers(&*self.kernel, Some(verb), change) {
                        change.after = change.after.as_ref().map(|a| flushed(a, |index| carrier.contains(&index)));
                    }
                }
            }
            if let Verb::LinkMove { .. } = verb {
                match (&result, back.first_mut()) {
                    (Ok(outcome), Some(back)) => back.index = outcome.link.as_ref().map_or(0, |l| l.index),
                    // Moved, but under its old name: a failed move may have been done (EEXIST of the new name).
                    (Err(_), Some(first)) => {
                        first.index = limbo::arrived(&*self.kernel, first, changes);
                        back.retain(|b| b.index != 0);
                    }
                    (_, None) => {}
                }
            }
        }
        result
    }

    /// What undoes the verb, and which objects of the run's own it is about. Prior state is read only of what was
    /// there before: what the run made itself goes whole.
    fn plan_undo(&mut self, verb: &Verb, since: u64) -> Result<(Undo, Vec<(u64, u32)>)> {
        let whole = |on: Vec<(u64, u32)>| Ok((Undo::Whole, on));
        match verb {
            Verb::NetnsAdd { name, cookie } => {
                let ns = Ns { cookie: *cookie, name: name.clone() };
                Ok((Undo::Unbind { ns }, Vec::new()))
            }
            Verb::NetnsAttach { name, .. } => {
                // The cookie is known once it is bound; the undo only unbinds, it ends nothing that runs inside.
                Ok((Undo::Rebind { ns: Ns { cookie: 0, name: name.clone() } }, Vec::new()))
            }
            // With what was moved into it from elsewhere it is kept: that would go with it.
            Verb::NetnsDel { ns } if self.fresh_ns(ns, since) && !self.has_guests(ns, since) => {
                whole(vec![(ns.cookie, 0)])
            }
            Verb::NetnsDel { ns } => Ok((Undo::Rebind { ns: ns.clone() }, Vec::new())),
            Verb::NetnsSetId { at, target, .. } => {
                let fresh = self.fresh_ns(at, since) || self.fresh_ns(target, since);
                if fresh {
                    return whole(vec![(at.cookie, 0)]);
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
                    return whole(vec![(ns.cookie, 0)]);
                }
                let link = LinkRef { index: spec.index, name: spec.name.clone().unwrap_or_default() };
                // Undone alone it is deleted; undone with the rest of the run it goes with its namespaces.
                let on = if own(1) { places.iter().map(|ns| (ns.cookie, 0)).collect() } else { Vec::new() };
                Ok((Undo::Delete { ns: ns.clone(), link }, on))
            }
            Verb::LinkDel { ns, link } => {
                // Deleting one end of a veth deletes the other: that one has to be fresh too.
                let places = self.ends(ns, link.index)?;
                if places.iter().all(|(ns, index)| self.fresh_link(ns, *index, since)) {
                    return whole(places.iter().map(|(ns, index)| (ns.cookie, *index)).collect());
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
                let on = places.iter().map(|(ns, index)| (ns.cookie, *index)).collect();
                let back = self.parking(&places, &changes)?;
                if back.is_empty() {
                    self.replaceable(ns, link, since)?;
                }
                Ok((Undo::Restore { changes, back }, on))
            }
            Verb::LinkSet { ns, link, change } => {
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
                        if fresh && self.fresh_link(ns, *master, 1) && info.is_some_and(|i| i.state.kind == "bridge") {
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
                // A bridge from before follows the mtu and the MAC of its port.
                if fresh && (change.mtu.is_some() || change.mac.is_some()) {
                    let info = self.kernel.link(ns, By::Index(link.index))?;
                    let master = info.map_or(0, |info| info.state.master);
                    if master != 0 && !self.fresh_link(ns, master, since) {
                        on.push((ns.cookie, master));
                        fresh = false;
                    }
                }
                let mut sysctls = self.redirects(ns, link.index, change, since)?;
                if fresh && change.count() <= 1 && sysctls.is_empty() {
                    return whole(on);
                }
                // What it does to its namespace does not go with the link.
                if !sysctls.is_empty() {
                    on = vec![(ns.cookie, 0)];
                }
                if let Some(why) = change.irreversible().filter(|_| !fresh) {
                    return Err(Error::new(
                        Kind::Unsupported,
                        format!("`{}` in {} was there before, and this could not be undone: {why}", link.name, ns.label()),
                    )
                    .with_ns(&ns.name)
                    .with_target(&link.name)
                    .with_hint("do it by a command, whose effects nsscript does not claim to undo: exec_in(ns, \"ip link set …\")"));
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
                if change.up == Some(false) && !fresh {
                    changes.extend(self.peers_nexthops(ns, link.index, since)?);
                }
                Ok((Undo::Restore { changes, back: Vec::new() }, on))
            }
            Verb::LinkMove { ns, link, to, name, .. } => {
                if self.fresh_link(ns, link.index, since) {
                    if self.fresh_ns(to, since) {
                        return whole(vec![(ns.cookie, link.index)]);
                    }
                    return Ok((Undo::Delete { ns: ns.clone(), link: link.clone() }, Vec::new()));
                }
                self.replaceable_uppers(ns, link, since)?;
                let mut sysctls = self.device_sysctls(ns, link.index)?;
                sysctls.extend(self.mtus(ns, &[link.index])?);
                let mut changes = vec![self.read_before(ns, 0, sysctls)?, self.read_before(to, 0, Vec::new())?];
                changes.extend(self.peers_nexthops(ns, link.index, since)?.into_iter().filter(|c| c.ns != *to));
                let name = name.clone().unwrap_or_default();
                let back = Back { from: ns.clone(), link: link.clone(), to: to.clone(), index: 0, name };
                Ok((Undo::Restore { changes, back: vec![back] }, vec![(ns.cookie, link.index)]))
            }
            Verb::Ethtool { ns, link, .. } | Verb::LinkAltname { ns, link, .. } => {
                self.on_link(ns, &[link.index], since)
            }
            Verb::Wireguard { ns, link, .. } => {
                if self.fresh_link(ns, link.index, since) {
                    return whole(vec![(ns.cookie, link.index)]);
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
                    return whole(vec![(ns.cookie, 0)]);
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
            Verb::NftLoad { ns, .. } if self.fresh_ns(ns, since) => whole(vec![(ns.cookie, 0)]),
            Verb::NftLoad { ns, ruleset } => {
                let before = nft::tables(&*self.kernel, ns, ruleset)?;
                nft::check(&*self.kernel, ns, &before)?;
                Ok((Undo::Nft { ns: ns.clone(), before, after: None }, vec![(ns.cookie, 0)]))
            }
            Verb::ProcessStart { .. } | Verb::ProcessEnd { .. } => whole(Vec::new()),
            Verb::FileWrite { path, .. } | Verb::FileRemove { path, .. } => {
                let before = self.kernel.read_file(path)?.map(|(bytes, mode)| Content { bytes, mode });
                let wanted = matches!(verb, Verb::FileWrite { folders: true, .. });
                let folders = if wanted { self.kernel.missing_folders(path) } else { Vec::new() };
                Ok((Undo::File { path: path.clone(), before, folders }, Vec::new()))
            }
        }
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

    /// The namespace of a veth's other end, which loses its carrier with this one: then the kernel drops the nexthop
    /// objects that are on it, and nothing else.
    fn peers_nexthops(&self, ns: &Ns, index: u32, since: u64) -> Result<Option<Change>> {
        let ends = self.ends(ns, index)?;
        let Some((peer, _)) = ends.iter().find(|(n, index)| n != ns && !self.fresh_link(n, *index, since)) else {
            return Ok(None);
        };
        if self.kernel.dump(peer, What::Nexthop)?.is_empty() {
            return Ok(None);
        }
        self.read_before(peer, 0, Vec::new()).map(Some)
    }

    fn read_before(&self, ns: &Ns, only: u32, sysctls: Vec<String>) -> Result<Change> {
        let before = read(&*self.kernel, ns, only, &sysctls)?;
        Ok(Change { ns: ns.clone(), only, sysctls, before, after: None, lead: None })
    }

    /// A link and, of a veth, its other end, wherever that is.
    fn ends(&self, ns: &Ns, index: u32) -> Result<Vec<(Ns, u32)>> {
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

/// The namespace of a veth's other end, among those that have a name and the host's. `None` where it has none: then
/// nobody can see it anyway.
///
/// # Errors
/// Netlink refuses.
pub fn peer_ns(kernel: &dyn Kernel, ns: &Ns, info: &crate::plan::LinkInfo) -> Result<Option<Ns>> {
    let Some(id) = info.link_netnsid else { return Ok(Some(ns.clone())) };
    let host = kernel.host();
    if kernel.nsid(ns, &host)? == Some(id) {
        return Ok(Some(host));
    }
    for entry in kernel.list_ns(ns)? {
        if entry.nsid == Some(id) {
            return kernel.find_ns(&entry.name).map(Some);
        }
    }
    Ok(None)
}

fn irreplaceable(ns: &Ns, link: &LinkState, why: &str, what: &str) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("{} `{}` in {} was there before and can't be {what}, since {why}", link.kind, link.name, ns.label()),
    )
    .with_ns(&ns.name)
    .with_target(&link.name)
    .with_hint("delete it by a command, whose effects nsscript does not claim to undo: exec_in(ns, \"ip link del …\")")
}

/// The links that have carrier, after a verb that can have taken it from some, where nexthop objects depend on it.
fn carriers(kernel: &dyn Kernel, verb: Option<&Verb>, change: &Change) -> Option<BTreeSet<u32>> {
    let matters = verb.is_some_and(takes_carrier) && change.before.recs.iter().any(|r| r.what == What::Nexthop);
    let links = if matters { kernel.links(&change.ns, false).ok()? } else { return None };
    Some(links.into_iter().filter(|l| l.carrier).map(|l| l.state.index).collect())
}

/// Reads a namespace, or one link of it.
fn read(kernel: &dyn Kernel, ns: &Ns, only: u32, sysctls: &[String]) -> Result<State> {
    if only == 0 {
        let mut state = kernel.state(ns, sysctls)?;
        // A link that sets its mtu after it was registered (geneve) leaves IPv6's own above it, where nobody can write it
        // (addrconf_sysctl_mtu), until the next change of the mtu.
        let mtus: HashMap<String, u32> =
            state.links.values().map(|l| (format!("net/ipv6/conf/{}/mtu", l.name), l.mtu)).collect();
        state
            .sysctls
            .retain(|key, value| mtus.get(key).is_none_or(|mtu| value.parse::<u32>().is_ok_and(|value| value <= *mtu)));
        return Ok(state);
    }
    let links = kernel.link(ns, By::Index(only))?.map(|info| (only, info.state));
    // Those of a device that has none now are not there.
    let values = sysctls.iter().filter_map(|key| Some((key.clone(), kernel.sysctl(ns, key).ok()?)));
    Ok(State { links: links.into_iter().collect(), sysctls: values.collect(), ..State::default() })
}

/// Whether two links are the same one for the purpose of deleting it: the index, and the kind.
fn same_link(a: &LinkState, kind: &str) -> bool {
    kind.is_empty() || a.kind == kind
}

//! Transactions: nothing is done before its undo is written down, and what is undone is looked at again.

mod account;
mod diff;
mod elsewhere;
mod files;
mod folders;
mod identity;
mod intent;
pub mod journal;
pub mod labs;
mod late;
mod limbo;
mod lock;
pub mod log;
mod naming;
mod nft;
pub mod papers;
mod recover;
mod rollback;
mod sysctls;
mod upon;
mod verify;

pub use log::{Entry, InMemory, Undo, UndoLog};
pub use rollback::{Report, with_report};

use crate::kernel::{By, Kernel, Lineage};
use crate::plan::attribute::{flushed, takes_carrier};
use crate::plan::{Error, Kind, LinkState, Ns, Outcome, Result, State, Verb, What};
use log::Change;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// How deep those are that are a function's own, and no transaction of the script.
    within: Vec<usize>,
    /// What the run made: (cookie, 0) a namespace, (cookie, ifindex) a link where it is now; and at which step.
    made: HashMap<(u64, u32), u64>,
    /// The same, but for good: also what was moved or deleted since, under every place that it had.
    ever: HashMap<(u64, u32), u64>,
    /// The steps that made what was there before it, where an index came again.
    formerly: HashMap<(u64, u32), Vec<u64>>,
    /// By step, what it put there.
    keys: HashMap<u64, Vec<(u64, u32)>>,
    /// Where links went that were moved: from (cookie, ifindex) as it was first known.
    moved: HashMap<(u64, u32), (Ns, u32)>,
    /// Places at which links arrived that were not the run's own: not even in a namespace of its own do they go with that.
    guests: HashSet<(u64, u32)>,
    /// Namespaces in which a step changed what was there before. From then on it may hang on links of the run's own: what
    /// those lose, or take along, is recorded too.
    coupled: BTreeMap<u64, Ns>,
    /// Where links were that went with a step: their places are kept for the undo.
    vacated: HashSet<(u64, u32)>,
    /// Namespaces whose name was unbound, held open until the commit; and limbo.
    held: Vec<Ns>,
    /// What the run gave links after they were made, by where they are.
    styles: HashMap<(u64, u32), identity::Style>,
    /// Records that the undo of a savepoint could not bring back as things were then: an outer undo tries again.
    owed: Vec<late::Late>,
    /// What there is on a link in other namespaces, as it was looked up a moment ago.
    uppers: RefCell<elsewhere::Uppers>,
    /// Links that go with a namespace of the run's own that was deleted, whenever the kernel gets round to it.
    dying: RefCell<Vec<elsewhere::Dying>>,
    /// Where links are set aside that were there before and are deleted.
    limbo: Option<Ns>,
    /// The steps that an undo could not take back as things are, by number: what they are about is kept, and the journal with it.
    stuck: BTreeMap<u64, Entry>,
    /// What the undo of savepoints and of single functions could not do, or left as somebody else's.
    left: Report,
    /// What could not be done before the undo began.
    early: Vec<String>,
    /// Descriptors that the undo finds free, should the limit of the process be reached.
    reserve: Vec<std::fs::File>,
}

/// How many descriptors are kept for the undo: it opens a few at a time, of each namespace and file that it comes to.
const RESERVE: usize = 12;

/// As many descriptors as there are to be had.
fn reserve() -> Vec<std::fs::File> {
    (0..RESERVE).map_while(|_| std::fs::File::open("/dev/null").ok()).collect()
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
            within: Vec::new(),
            made: HashMap::new(),
            ever: HashMap::new(),
            formerly: HashMap::new(),
            keys: HashMap::new(),
            moved: HashMap::new(),
            guests: HashSet::new(),
            coupled: BTreeMap::new(),
            vacated: HashSet::new(),
            styles: HashMap::new(),
            owed: Vec::new(),
            uppers: RefCell::default(),
            dying: RefCell::default(),
            held: Vec::new(),
            limbo: None,
            stuck: BTreeMap::new(),
            left: Report::default(),
            early: Vec::new(),
            reserve: reserve(),
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
        // What is in a namespace that lost its name goes with that.
        let gone = |cookie: &u64| self.ever.contains_key(&(*cookie, 0)) && !self.made.contains_key(&(*cookie, 0));
        let (links, namespaces): (Vec<_>, Vec<_>) = self.made.keys().partition(|(_, index)| *index != 0);
        (namespaces.len(), links.iter().filter(|(cookie, _)| !gone(cookie)).count())
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
            Undo::Process { pid, start_time, tag } => self.kernel.runs(*pid, *start_time, tag),
        })
    }

    /// How many of the processes that the run started still run.
    #[must_use]
    pub fn running(&self) -> usize {
        let runs = |e: &&Entry| matches!(&e.undo, Undo::Process { pid, start_time, tag } if self.kernel.runs(*pid, *start_time, tag));
        self.entries.iter().filter(runs).count()
    }

    /// Where a link is now that was once known as `index` in `ns`.
    #[must_use]
    pub fn locate(&self, ns: &Ns, index: u32) -> (Ns, u32) {
        self.moved.get(&(ns.cookie, index)).cloned().unwrap_or_else(|| (ns.clone(), index))
    }

    /// Begins a savepoint of one function.
    pub fn savepoint_within(&mut self) -> Savepoint {
        let savepoint = self.savepoint();
        self.within.push(savepoint.depth);
        savepoint
    }

    /// Begins a savepoint.
    pub fn savepoint(&mut self) -> Savepoint {
        let depth = self.savepoints.len();
        self.within.retain(|within| *within < depth);
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

    /// Writes down a program that is waited for, before it runs.
    ///
    /// # Errors
    /// The log can't be written: the program must not run.
    pub fn helper(&mut self, helper: &Lineage) -> Result<()> {
        self.log.helper(helper)
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

    /// Whether what a link takes over from its ports needs no undo: it was made since the last savepoint, so that it goes with
    /// what undoes it, and nothing that was there before can follow it.
    #[must_use]
    pub fn leads_alone(&self, ns: &Ns, index: u32) -> bool {
        self.fresh_link(ns, index, self.savepoints.last().copied().unwrap_or_default()) && !self.is_followed(ns, index)
    }

    /// Whether the link was made since the last transaction of the script's own began.
    fn fresh_in_script(&self, ns: &Ns, index: u32) -> bool {
        let outer = self.savepoints.iter().enumerate().rev().find(|(depth, _)| !self.within.contains(depth));
        self.fresh_link(ns, index, outer.map_or(0, |(_, since)| *since))
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
    pub fn perform(&mut self, verb: Verb) -> Result<Outcome> {
        match self.ends_along(&verb)? {
            ends if ends.is_empty() => self.perform_alone(verb),
            ends => self.delete_with_ends(verb, &ends),
        }
    }

    /// Whether it is about a link of the run's own, whose state was read only in case the set is done by halves: killed meanwhile,
    /// or once it is done, it goes whole.
    fn is_for_halves(&self, entry: &Entry, since: u64) -> bool {
        let read = |c: &Change| c.only != 0;
        matches!(&entry.undo, Undo::Restore { changes, back } if back.is_empty() && changes.iter().all(read))
            && !entry.on.is_empty()
            && entry.on.iter().all(|(cookie, index)| self.fresh(*cookie, *index, since))
    }

    fn perform_alone(&mut self, mut verb: Verb) -> Result<Outcome> {
        let kernel = Rc::clone(&self.kernel);
        let given = match &verb {
            Verb::LinkAdd { spec, .. } => (spec.index, spec.peer.as_ref().map_or(0, |p| p.1.index)),
            _ => (0, 0),
        };
        kernel.prepare(&mut verb).inspect_err(|error| {
            // A name or an index that is taken: it is that step that fails, though nothing is written down for it.
            if error.kind == Kind::Exists {
                self.observer.step(self.next, &verb, false);
            }
        })?;
        self.avoid(&mut verb, given);
        let since = self.savepoints.last().copied().unwrap_or_default();
        let (undo, on) = self.plan_undo(&verb, since)?;
        let mut entry = self.entry(Some(verb), undo, on);
        let undo = self.is_for_halves(&entry, since).then(|| std::mem::take(&mut entry.undo));
        self.log.intent(&entry)?;
        if let Some(undo) = undo {
            entry.undo = undo;
        }
        let Some(verb) = entry.verb.take() else { return Ok(Outcome::default()) };
        self.observer.step(entry.seq, &verb, false);
        if let (Verb::NetnsDel { ns }, Undo::Rebind { .. }) = (&verb, &entry.undo)
            && let Some(path) = self.log.keep(ns.cookie)
            && let Err(error) = kernel.hold(ns, &path)
        {
            self.log.undone(entry.seq, &[])?;
            return Err(error);
        }
        if let Err(error) = self.hold_limbo(&entry) {
            self.log.undone(entry.seq, &[])?;
            return Err(error);
        }
        self.style(&verb);
        let result = self.apply(&verb, &mut entry);
        entry.verb = Some(verb);
        match result {
            Ok(outcome) => {
                entry.outcome = Some(outcome.clone());
                self.note(&entry, &outcome);
                if self.is_for_halves(&entry, since) {
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
                // And a file may have been cut, and found no room for its content.
                // What nft was ended at may have got through.
                let loaded = error.kind == Kind::Timeout && matches!(entry.undo, Undo::Nft { .. });
                if loaded || matches!(entry.undo, Undo::Restore { .. } | Undo::File { .. }) {
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
                            if let Some(path) = self.log.keep(ns.cookie)
                                && !self.held.iter().any(|h| h.is(ns))
                            {
                                let _ = kernel.unhold(&path);
                            }
                        }
                        _ => {}
                    }
                    // Nothing of it was done: recover must not look for it.
                    if let Err(second) = self.log.undone(entry.seq, &[]) {
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
            _ => {
                let log = &mut self.log;
                self.kernel.apply_telling(verb, &mut |helper| log.helper(helper))
            }
        };
        if let (Undo::Nft { ns, after, .. }, Verb::NftLoad { ruleset, .. }, Ok(_)) = (&mut entry.undo, verb, &result) {
            *after = nft::tables(&*self.kernel, ns, ruleset).ok();
        }
        if let Undo::Restore { changes, back } = &mut entry.undo {
            let since = self.savepoints.last().copied().unwrap_or_default();
            let own = entry.on.iter().all(|(cookie, index)| {
                self.made.get(&(*cookie, 0)).or(self.made.get(&(*cookie, *index))).is_some_and(|seq| *seq >= since)
            });
            let fresh = own && !entry.on.is_empty() && changes.iter().all(|c| c.only != 0) && result.is_ok();
            if !fresh {
                for change in changes.iter_mut() {
                    let carrier = carriers(&*self.kernel, Some(verb), change);
                    change.after = read(&*self.kernel, &change.ns, change.only, &change.sysctls).ok();
                    if let Some(carrier) = carrier {
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

/// The links that have carrier, after a verb that can have taken it from some, where nexthop objects depend on it. To be called
/// before the namespace is read: asked for one link, a kernel of 6.8 or later has it follow its carrier, and drops at once what
/// it would drop within a second (`linkwatch_sync_dev` in `rtnl_getlink`, net/core/rtnetlink.c). A later step finds it gone then.
fn carriers(kernel: &dyn Kernel, verb: Option<&Verb>, change: &Change) -> Option<BTreeSet<u32>> {
    /// `IF_OPER_UP`, RFC 2863.
    const UP: u8 = 6;
    if !verb.is_some_and(takes_carrier) || !change.before.recs.iter().any(|r| r.what == What::Nexthop) {
        return None;
    }
    let mut asked = BTreeSet::new();
    loop {
        let links = kernel.links(&change.ns, false).ok()?;
        let behind = links.iter().filter(|l| !l.carrier && l.operstate == UP).map(|l| l.state.index);
        let behind: Vec<u32> = behind.filter(|index| asked.insert(*index)).collect();
        if behind.is_empty() {
            return Some(links.into_iter().filter(|l| l.carrier).map(|l| l.state.index).collect());
        }
        // A port that follows takes the carrier from its bridge, which is to follow in turn.
        for index in behind {
            let _ = kernel.link(&change.ns, By::Index(index));
        }
    }
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

//! Whole process trees: what belongs to one, and ending it.
//!
//! A tree is found by walking `/proc/PID/task/*/children`. What left it by forking twice is a child of ours (we are a
//! subreaper), and is told apart by the tag in its environment, by its mount namespace, or because nothing else could
//! have started it.

use super::child::{has_ended, open_pidfd, poll, reap, registry, send_signal};
use super::proc::{
    Id, check_proc, children, id, mount_namespace, own_pid, pids, process_start_time, stat, variables, with_descendants,
};
use super::pump::Pump;
use super::{MARK, TAG};
use crate::plan::{Error, Kind, Result};
use nix::poll::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long what got SIGKILL may take to go: only a process in an uninterruptible sleep takes longer.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The identity of a program that was started, and of all that it starts: written to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, clock ticks since boot.
    pub start_time: u64,
    /// 64 random bits in hex: the value of `NSSCRIPT_PROC` in the environment of the program and of all below it.
    /// Empty where it isn't known.
    pub tag: String,
    /// Inode of the mount namespace that was made for it. Reused by the kernel once its processes are gone, so it
    /// counts for children of ours only and is not written down.
    #[serde(skip)]
    pub mount_ns: Option<u64>,
}

impl Lineage {
    /// The lineage of a process of which only pid and start time are known. Its tag is read from it, and counts unless
    /// its parent or we ourselves carry the same: then the process is but a part of what was started with that tag.
    /// `None` when there is no such process (any more).
    #[must_use]
    pub fn of(pid: i32, start_time: u64) -> Option<Lineage> {
        let tag_of = |pid: i32| variables(pid, [TAG])[0].take();
        let parent = stat(pid)?.parent;
        let tag = tag_of(pid)
            .filter(|t| Some(t) != tag_of(parent).as_ref() && Some(OsStr::new(t)) != std::env::var_os(TAG).as_deref());
        (process_start_time(pid) == Some(start_time)).then(|| Lineage {
            pid,
            start_time,
            tag: tag.unwrap_or_default(),
            mount_ns: None,
        })
    }

    /// Whether `process`, a child of ours, belongs to this lineage: it is its root, or what the root started and
    /// left to us.
    #[must_use]
    pub fn owns(&self, process: &Process) -> bool {
        if process.pid == self.pid && process.start_time == self.start_time {
            return true;
        }
        match &process.tag {
            Some(tag) => *tag == self.tag,
            None => self.mount_ns.is_some() && process.mount_ns == self.mount_ns,
        }
    }

    fn is_root(&self, pid: i32) -> bool {
        pid == self.pid && process_start_time(pid) == Some(self.start_time)
    }
}

/// A child of ours, for the predicate of [`end_descendants`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// The program's name as the kernel shows it, at most 15 bytes.
    pub name: String,
    /// `NSSCRIPT_RUN` in its environment: the run that started it.
    pub mark: Option<String>,
    /// `NSSCRIPT_PROC` in its environment: the program that it descends from.
    pub tag: Option<String>,
    /// Inode of its mount namespace.
    pub mount_ns: Option<u64>,
    /// Its first thread has ended: the process too, unless other threads run.
    zombie: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let before = stat(pid)?;
        let [mark, tag] = variables(pid, [MARK, TAG]);
        let mount_ns = mount_namespace(pid);
        // All of it is of one process only if that is still there.
        (process_start_time(pid) == Some(before.start_time)).then_some(Process {
            pid,
            start_time: before.start_time,
            name: before.name,
            mark,
            tag,
            mount_ns,
            zombie: before.zombie,
        })
    }
}

/// A process that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedProcess {
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
    /// The program's name as the kernel shows it, at most 15 bytes.
    pub name: String,
    /// It did not end at SIGTERM within the grace, and got SIGKILL.
    pub killed: bool,
}

/// The children that we had before we started any: an `exec` in a shell script hands its background jobs to us.
static STRANGERS: OnceLock<BTreeSet<Id>> = OnceLock::new();

/// Makes this process the one that inherits what its descendants leave behind when they end
/// (`PR_SET_CHILD_SUBREAPER`): so a daemon that forks twice stays in reach. To be called once at the start, before any
/// program is started: children that exist by then are no business of ours.
///
/// # Errors
/// The kernel refuses (it doesn't since Linux 3.4).
pub fn become_subreaper() -> Result<()> {
    STRANGERS.get_or_init(|| children(own_pid()).into_iter().filter_map(id).collect());
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| Error::from_errno(e as i32, "become a subreaper"))
}

fn is_subreaper() -> bool {
    own_pid() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

fn is_stranger(id: Id) -> bool {
    STRANGERS.get().is_some_and(|s| s.contains(&id))
}

fn have_strangers() -> bool {
    STRANGERS.get().is_some_and(|s| !s.is_empty())
}

/// Children of ours that we did not start: what descends from ours and was left to us.
fn orphans() -> Vec<i32> {
    let all = children(own_pid());
    let registry = registry();
    all.into_iter().filter(|p| !registry.contains_key(p) && !id(*p).is_some_and(is_stranger)).collect()
}

/// Waits for the zombies among the orphans that were left to us (see [`become_subreaper`]); never blocks, and never
/// takes the status of a program that [`super::run`] or [`super::Started`] waits for. Children that anything else in
/// this process started are taken for orphans. The pids of those that are gone now.
pub fn reap_orphans() -> Vec<i32> {
    let mut gone = Vec::new();
    let candidates = children(own_pid());
    // Locked, no child of ours can be between its fork and its entry here.
    let registry = registry();
    for pid in candidates.into_iter().filter(|p| !registry.contains_key(p)) {
        if reap(libc::P_PID, pid.cast_unsigned()).is_some() {
            gone.push(pid);
        }
    }
    gone
}

/// What now belongs to a program that this process started.
pub(super) fn own_members(lineage: &Lineage) -> BTreeSet<i32> {
    if !is_subreaper() {
        return members(std::slice::from_ref(lineage));
    }
    // What left the tree is a child of ours; no need to search the whole of /proc.
    let mut roots: Vec<i32> = Some(lineage.pid).into_iter().filter(|p| lineage.is_root(*p)).collect();
    let orphans = orphans();
    let only_one = !have_strangers() && registry().keys().all(|p| *p == lineage.pid);
    for process in orphans.into_iter().filter_map(Process::read) {
        // Without a tag and with no other program of ours running, nothing else can have started it.
        let nobody_else =
            only_one && process.tag.is_none() && process.start_time >= lineage.start_time && lineage.mount_ns.is_none();
        // One that has ended no longer tells whose it was. Taken in, it is only reaped, and what it may have started
        // in its last moment is looked for once more.
        let has_ended = process.zombie && process.tag.is_none() && process.mount_ns.is_none();
        if lineage.owns(&process) || nobody_else || has_ended {
            roots.push(process.pid);
        }
    }
    with_descendants(roots)
}

/// What now belongs to these lineages, going by all of /proc.
fn members(lineages: &[Lineage]) -> BTreeSet<i32> {
    let tags: BTreeSet<&str> = lineages.iter().map(|l| l.tag.as_str()).filter(|t| !t.is_empty()).collect();
    let mut roots: BTreeSet<i32> = lineages.iter().filter(|l| l.is_root(l.pid)).map(|l| l.pid).collect();
    if !tags.is_empty() {
        roots.extend(pids().into_iter().filter(|p| {
            let [tag] = variables(*p, [TAG]);
            tag.is_some_and(|t| tags.contains(t.as_str()))
        }));
    }
    with_descendants(roots)
}

/// Ends whole trees that perhaps another nsscript started: SIGTERM to everything in them, SIGKILL to what is left
/// after `grace`. What double-forked out of a tree is found by the lineage's tag, also when the root has gone long
/// since. Returns when nothing is left, with what was ended; nothing is found: an empty list.
///
/// # Errors
/// [`Kind::Timeout`] or [`Kind::Permission`]: something is still there, and the message names it.
pub fn end_trees(lineages: &[Lineage], grace: Duration) -> Result<Vec<EndedProcess>> {
    check_proc()?;
    end_all(|| members(lineages), grace, None).into_result()
}

/// [`end_trees`] for one process, known by pid and start time only.
///
/// # Errors
/// As [`end_trees`].
pub fn end_tree(pid: i32, start_time: u64, grace: Duration) -> Result<Vec<EndedProcess>> {
    check_proc()?;
    match Lineage::of(pid, start_time) {
        Some(lineage) => end_trees(&[lineage], grace),
        None => Ok(Vec::new()),
    }
}

/// Ends what carries a run's mark, but for ourselves and what we descend from: a shell, say, that such a run left.
///
/// # Errors
/// As [`end_trees`].
pub fn end_marked(mark: &str, grace: Duration) -> Result<Vec<EndedProcess>> {
    check_proc()?;
    if mark.is_empty() {
        return Ok(Vec::new());
    }
    let mut above = BTreeSet::new();
    let mut pid = own_pid();
    while pid > 0 && above.insert(pid) {
        pid = super::proc::stat(pid).map_or(0, |s| s.parent);
    }
    end_all(|| super::proc::marked(mark).into_iter().filter(|pid| !above.contains(pid)).collect(), grace, None)
        .into_result()
}

/// Our children as they are now.
#[must_use]
pub fn own_children() -> Vec<Process> {
    children(own_pid()).into_iter().filter_map(Process::read).collect()
}

/// Ends everything that descends from us, but for the children (and what is below them) that `keep` names; see
/// [`Lineage::owns`]. Needs [`become_subreaper`] to reach what was left by its parent. What ended is reaped; who
/// holds a [`super::Started`] of it still learns its status.
///
/// # Errors
/// As [`end_trees`].
pub fn end_descendants(mut keep: impl FnMut(&Process) -> bool, grace: Duration) -> Result<Vec<EndedProcess>> {
    check_proc()?;
    let have_strangers = have_strangers();
    let scan = || {
        let mine = children(own_pid()).into_iter().filter_map(Process::read).filter(|p| {
            let started = || registry().contains_key(&p.pid);
            let strange = is_stranger(Id { pid: p.pid, start_time: p.start_time })
                // May be what a stranger left to us.
                || (have_strangers && p.mark.is_none() && p.tag.is_none() && !started());
            !strange && !keep(p)
        });
        with_descendants(mine.map(|p| p.pid).collect::<Vec<_>>())
    };
    let ended = end_all(scan, grace, None).into_result();
    reap_orphans();
    ended
}

/// Ends everything of which any thread is in one of these network namespaces (device and inode of their nsfs files),
/// except ourselves; see [`super::pids_in_netns`]. Whoever calls holds the namespaces open: inodes are used again.
///
/// # Errors
/// [`Kind::Invalid`] when this process itself lives in one of them; else as [`end_trees`].
pub fn end_in_netns(files: &[(u64, u64)], grace: Duration) -> Result<Vec<EndedProcess>> {
    check_proc()?;
    if std::fs::metadata("/proc/self/ns/net").is_ok_and(|m| files.contains(&(m.dev(), m.ino()))) {
        return Err(Error::invalid(
            "this process runs in that network namespace: what is in it can't be ended from inside",
        )
        .with_hint("run it from another namespace"));
    }
    let scan = || super::proc::pids_in_any_netns(files).into_iter().collect();
    end_all(scan, grace, None).into_result()
}

/// What came of [`end_all`].
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub ended: Vec<EndedProcess>,
    /// What is still there: pid, name, and the errno of the refused signal, 0 where the signal had no effect in time.
    left: Vec<(i32, String, i32)>,
    failure: Option<Error>,
}

impl Ending {
    /// The words for what is left, if anything.
    pub fn problem(&self) -> Option<Error> {
        if let Some(error) = &self.failure {
            return Some(error.clone());
        }
        let first = self.left.iter().find(|l| l.2 != 0).or(self.left.first())?;
        let names: Vec<String> = self.left.iter().map(|(pid, name, _)| format!("{pid} (`{name}`)")).collect();
        let names = names.join(", ");
        Some(match first.2 {
            0 => Error::new(Kind::Timeout, format!("still running after SIGKILL: process {names}")).with_hint(
                "a process that waits for a device or a dead file server can't be ended: see its `wchan` in /proc",
            ),
            errno => Error::from_errno(errno, format!("end process {names}"))
                .with_hint("it runs as another user: end it as root"),
        })
    }

    fn into_result(self) -> Result<Vec<EndedProcess>> {
        match self.problem() {
            Some(error) => Err(error),
            None => Ok(self.ended),
        }
    }
}

/// A process that is being ended.
struct Member {
    name: String,
    /// `None` once it has ended.
    pidfd: Option<OwnedFd>,
    killed: bool,
    refused: i32,
}

/// The processes that are being ended. A pidfd each: a signal reaches the very process or nobody.
#[derive(Default)]
struct Members {
    all: BTreeMap<Id, Member>,
    /// What had ended before it could be opened.
    missed: BTreeSet<Id>,
}

impl Members {
    /// Takes in what is new among `found` and sends it the signals, each as soon as it is seen: some live for less
    /// than a millisecond. Whether there was anything that had not been seen before: if so, there may be more.
    fn admit(&mut self, found: BTreeSet<i32>, signals: &[i32]) -> bool {
        let mut news = false;
        for pid in found.into_iter().filter(|p| *p != own_pid()) {
            let Some(before) = stat(pid) else {
                news = true;
                continue;
            };
            let id = Id { pid, start_time: before.start_time };
            if self.all.contains_key(&id) || self.missed.contains(&id) {
                continue;
            }
            news = true;
            let pidfd = match open_pidfd(pid) {
                Ok(pidfd) => pidfd,
                // Too many descriptors: there will be fewer when the first have ended.
                Err(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => break,
                Err(_) => continue,
            };
            // The pid may have become another's before it was opened.
            if process_start_time(pid) != Some(id.start_time) {
                continue;
            }
            if has_ended(pidfd.as_fd()) {
                reap_member(id, &pidfd);
                self.missed.insert(id);
                continue;
            }
            self.all.insert(id, Member { name: before.name, pidfd: Some(pidfd), killed: false, refused: 0 });
            for signal in signals {
                self.signal(&[id], *signal);
            }
        }
        news
    }

    /// Reaps what ended before its parent did, and was left to us only then.
    fn reap_late(&self) {
        for id in self.all.iter().filter(|(_, m)| m.pidfd.is_none()).map(|(id, _)| id).chain(&self.missed) {
            let ours = stat(id.pid).is_some_and(|s| s.start_time == id.start_time && s.parent == own_pid());
            // Ended and not waited for, so the pid is still its own.
            if ours && !registry().contains_key(&id.pid) {
                reap(libc::P_PID, id.pid.cast_unsigned());
            }
        }
    }

    fn signal(&mut self, ids: &[Id], signal: i32) {
        for id in ids {
            let Some(member) = self.all.get_mut(id) else { continue };
            let Some(pidfd) = &member.pidfd else { continue };
            member.killed |= signal == libc::SIGKILL;
            if let Err(errno) = send_signal(pidfd.as_fd(), signal)
                && errno != libc::ESRCH
            {
                member.refused = errno;
            }
        }
    }

    /// Those that have not ended and that we may signal.
    fn alive(&self) -> Vec<Id> {
        self.all.iter().filter(|(_, m)| m.pidfd.is_some() && m.refused == 0).map(|(id, _)| *id).collect()
    }

    /// Waits until all have ended or the deadline has passed, keeping the pump going: a process may have to get rid
    /// of its output before it ends.
    fn wait(&mut self, deadline: Instant, pump: &mut Option<&mut Pump<'_>>) -> Result<()> {
        loop {
            self.all.iter_mut().for_each(|(id, member)| {
                if let Some(pidfd) = member.pidfd.take_if(|fd| has_ended(fd.as_fd())) {
                    reap_member(*id, &pidfd);
                }
            });
            let waiting: Vec<&OwnedFd> =
                self.all.values().filter(|m| m.refused == 0).filter_map(|m| m.pidfd.as_ref()).collect();
            if waiting.is_empty() || Instant::now() >= deadline {
                return Ok(());
            }
            let mut fds: Vec<PollFd<'_>> =
                waiting.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
            match pump.as_deref_mut() {
                None => poll(&mut fds, Some(deadline))?,
                Some(pump) => {
                    let ready = {
                        fds.extend(pump.poll_fds());
                        poll(&mut fds, Some(deadline))?;
                        pump.ready(&fds)
                    };
                    drop(fds);
                    pump.read(ready);
                }
            }
        }
    }
}

/// Takes the status of a process that has ended, if it is ours to take.
fn reap_member(id: Id, pidfd: &OwnedFd) {
    let started = registry().get(&id.pid).filter(|c| c.id == id).cloned();
    match started {
        Some(child) => {
            child.try_wait();
        }
        None if has_ended(pidfd.as_fd()) => {
            reap(libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned());
        }
        None => {}
    }
}

/// SIGTERM to all that `scan` finds, then after `grace` SIGKILL; until `scan` finds nothing alive.
pub(super) fn end_all(
    mut scan: impl FnMut() -> BTreeSet<i32>,
    grace: Duration,
    mut pump: Option<&mut Pump<'_>>,
) -> Ending {
    let mut members = Members::default();
    let mut ending = Ending::default();
    if let Err(error) = terminate(&mut members, &mut scan, grace, &mut pump) {
        ending.failure = Some(error);
    }
    members.reap_late();
    for (id, member) in members.all {
        if member.pidfd.is_some() {
            ending.left.push((id.pid, member.name, member.refused));
        } else {
            let Id { pid, start_time } = id;
            ending.ended.push(EndedProcess { pid, start_time, name: member.name, killed: member.killed });
        }
    }
    ending
}

fn terminate(
    members: &mut Members,
    scan: &mut dyn FnMut() -> BTreeSet<i32>,
    grace: Duration,
    pump: &mut Option<&mut Pump<'_>>,
) -> Result<()> {
    let deadline = Instant::now() + grace;
    while Instant::now() < deadline {
        // A stopped process takes its SIGTERM only when it goes on.
        const SIGNALS: [i32; 2] = [libc::SIGTERM, libc::SIGCONT];
        // A list of children that is read while they end may lack one: nothing found means nothing found twice.
        let news = members.admit(scan(), &SIGNALS);
        if !news && members.alive().is_empty() && !members.admit(scan(), &SIGNALS) {
            return Ok(());
        }
        members.wait(deadline, pump)?;
    }
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        // Stopped, they can't fork while we look: what is found then is all there is.
        let alive = members.alive();
        members.signal(&alive, libc::SIGSTOP);
        let mut news = || members.admit(scan(), &[libc::SIGSTOP]);
        while (news() || news()) && Instant::now() < deadline {}
        let alive = members.alive();
        if alive.is_empty() || Instant::now() >= deadline {
            return Ok(());
        }
        members.signal(&alive, libc::SIGKILL);
        members.wait(deadline, pump)?;
    }
}

//! Rootless operation: without CAP_SYS_ADMIN and CAP_NET_ADMIN the whole run works in namespaces of its own,
//! in which it is root, and all of which go with it.
//!
//! Owns the user, network, mount, pid, UTS and IPC namespaces of that sandbox and the process that waits outside.
//! Makes nothing else: `/run/netns` is the business of whoever adds the first namespace.
//!
//! Three processes take part, because of what the kernel asks for:
//!
//! - the **caller** unshares all six namespaces in one call. An unshared pid namespace begins with the next child,
//!   so it forks, and from then on only waits, passes signals on and hands the exit code out ([`watch`]);
//! - the **mapper**, forked before that, stays in the old user namespace: only from there can `newuidmap(1)`, or
//!   root, map more ids than one (`user_namespaces(7)`);
//! - the **child** is pid 1 of the new pid namespace and goes on as the program.
//!
//! Being pid 1, the child inherits every orphan in the sandbox: whoever owns processes has to reap them with
//! `waitpid(-1)`, or they stay as zombies until the end. It also gets no signal that it has no handler for, not even
//! its own (`pid_namespaces(7)`), SIGKILL and SIGSTOP from outside excepted; [`watch`] makes up for that.

use crate::plan::{Error, Kind, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask, raise, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{
    AccessFlags, ForkResult, Pid, faccessat, fork, getegid, geteuid, getpgid, getpgrp, pipe2, tcgetpgrp, tcsetpgrp,
};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Whether the caller wants a sandbox: nothing said, `--sandbox`, `--host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A sandbox where the rights to work on the host are missing ([`privileged`]).
    Auto,
    /// A sandbox also for root.
    Always,
    /// No sandbox: what needs rights fails later, at the kernel.
    Never,
}

/// Where the program is after [`enter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In the namespaces that it was started in.
    Host,
    /// Pid 1 in a sandbox of its own.
    Inside(Info),
}

/// What the sandbox is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The effective user id that the program was started with, as the namespace outside numbers it.
    pub outer_uid: u32,
    /// The effective group id likewise.
    pub outer_gid: u32,
    /// How many user ids exist inside; at 1 nothing in it can drop its privileges.
    pub uids: u32,
    /// How many group ids exist inside.
    pub gids: u32,
    /// What would have been nice and could not be had (an entry of `/run`, a fresh `/sys`, subordinate ids), a
    /// sentence each: for a verbose run, or for the hint of a later error.
    pub missing: Vec<String>,
}

/// `CAP_NET_ADMIN` of `linux/capability.h`, as a bit of the masks in `/proc/PID/status`.
const CAP_NET_ADMIN: u64 = 1 << 12;
/// `CAP_SYS_ADMIN`.
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// `CAP_SETGID` and `CAP_SETUID`: what mapping ids other than one's own asks for.
const CAP_SETIDS: u64 = 1 << 6 | 1 << 7;

/// What of the old `/run` is not carried into the sandbox's: what nsscript and `ip netns` keep there must not be
/// shared with the host, locks belong to its root, and `user` holds FUSE mounts that nobody else may look at.
const LEFT_OUT: [&str; 5] = ["netns", "nsscript", "lock", "xtables.lock", "user"];

/// Whether the program may work on the host: CAP_SYS_ADMIN and CAP_NET_ADMIN are effective, the network and mount
/// namespaces that it is in belong to its user namespace or one below (`ioctl_ns(2)`: a mere `unshare -Ur` has the
/// capabilities, but not over these), and `/run/netns` is there or can be made.
#[must_use]
pub fn privileged() -> bool {
    let both = CAP_SYS_ADMIN | CAP_NET_ADMIN;
    capabilities() & both == both && owns("/proc/self/ns/net") && owns("/proc/self/ns/mnt") && run_is_writable()
}

/// The effective capabilities, of `/proc/self/status`; none where it can't be read.
fn capabilities() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |text| status_mask(&text, "CapEff").unwrap_or(0))
}

/// A mask of `/proc/PID/status` (`CapEff`, `SigCgt` …): hexadecimal, `proc_pid_status(5)`.
fn status_mask(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether the namespace behind `path` is owned by our user namespace or a descendant of it.
fn owns(path: &str) -> bool {
    let Ok(namespace) = File::open(path) else { return false };
    let request = nix::request_code_none!(0xb7, 0x1); // NS_GET_USERNS, linux/nsfs.h
    // SAFETY: the request takes no argument and returns a new descriptor; `namespace` is open for the whole call.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), request) };
    if owner >= 0 {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(owner) });
        return true;
    }
    // EPERM is the answer for an owner outside our user namespace; a kernel without the request says nothing.
    Errno::last() != Errno::EPERM
}

fn run_is_writable() -> bool {
    let writable = |path: &str| {
        let cwd = nix::fcntl::AT_FDCWD;
        faccessat(cwd, path, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)
    };
    match writable("/run/netns") {
        Err(Errno::ENOENT) => writable("/run").is_ok(),
        other => other.is_ok(),
    }
}

/// Makes the sandbox and goes on in it, where `wish` and the rights at hand ask for one. In `main`, before any
/// thread: the kernel lets only a process of one thread into a new user namespace.
///
/// With [`State::Inside`] it is a forked child that returns, as pid 1. The process that called never returns: it
/// waits, passes signals on, and exits with the child's code, or with 128 + n for signal n. Kill it, and the child
/// and all in the sandbox are killed with it (`PR_SET_PDEATHSIG`; the kernel forgets that when the child changes its
/// own uid, gid or capabilities, or runs a set-user-id program in its place). The child stays in the process group,
/// so that a terminal's signals reach it directly; what is buffered for stdout is written before the fork.
///
/// # Errors
/// The namespaces are not allowed or not there, `/proc` or `/run` can't be mounted: the message names the switch
/// that is off, the hint says how to turn it on. The process may then be half inside: it must do nothing but report
/// the error and exit (whichever process got the error does; the other one hands its exit code on).
pub fn enter(wish: Wish) -> Result<State> {
    match wish {
        Wish::Never => return Ok(State::Host),
        Wish::Auto if privileged() => return Ok(State::Host),
        Wish::Auto | Wish::Always => {}
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(Error::internal(format!("sandbox: asked for when the process already has {threads} threads")));
    }
    let held = HeldSignals::hold()?;
    let made = make(&held);
    // In the child as in a failed caller: signals are its own again.
    held.release();
    made.map(State::Inside)
}

/// [`enter`] without the decision.
fn make(held: &HeldSignals) -> Result<Info> {
    let (outer_uid, outer_gid) = (geteuid().as_raw(), getegid().as_raw());
    // The caller watches the child through the old /proc, where the child has a pid that the caller knows.
    let proc = open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| Error::from_errno(e as i32, "open `/proc`"))?;
    // Or both processes would write it.
    let _ = std::io::stdout().flush();

    let mapper = Mapper::start()?;
    unshare(
        CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC,
    )
    .map_err(|e| refused(e as i32, "make the sandbox's namespaces"))?;
    let mut missing = mapper.map()?;

    let (life, alive) = pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::from_errno(e as i32, "sandbox: pipe"))?;
    // SAFETY: there is one thread (checked in `enter`), so the child finds no lock held and no state half-changed.
    match unsafe { fork() }.map_err(|e| refused(e as i32, "start the sandbox's first process"))? {
        ForkResult::Parent { child } => {
            drop(life);
            let status =
                openat(&proc, format!("{child}/status").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
            watch(&Child { pid: child, status: status.ok().map(File::from) }, held)
        }
        ForkResult::Child => {
            drop(alive);
            drop(proc);
            held.release();
            die_with_parent(life)?;
            furnish(&mut missing)?;
            Ok(Info {
                outer_uid,
                outer_gid,
                uids: mapped("/proc/self/uid_map"),
                gids: mapped("/proc/self/gid_map"),
                missing,
            })
        }
    }
}

/// One line on what the sandbox is, for the user.
#[must_use]
pub fn describe(info: &Info) -> String {
    let ids = if info.uids == 1 { "; one user id" } else { "" };
    format!("in a sandbox of its own (user, network, mount and pid namespaces{ids}): all of it is gone at the end")
}

// ---------------------------------------------------------------------------------------------------------------
// Ids

/// The process that stays in the old user namespace and maps ids into the new one.
struct Mapper {
    pid: Pid,
    /// Written to once the namespace is there; closed without, it sends the mapper home.
    go: Option<std::os::unix::net::UnixStream>,
}

impl Mapper {
    fn start() -> Result<Mapper> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(|e| Error::from_io(&e, "sandbox: socket pair"))?;
        let target = std::process::id();
        // SAFETY: as in `make`, there is one thread.
        match unsafe { fork() }.map_err(|e| Error::from_errno(e as i32, "sandbox: fork"))? {
            ForkResult::Parent { child } => Ok(Mapper { pid: child, go: Some(ours) }),
            ForkResult::Child => {
                drop(ours);
                Mapper::work(theirs, target);
                // SAFETY: ends this process without running what the caller has registered for its own end.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The mapper's whole life.
    fn work(mut channel: std::os::unix::net::UnixStream, target: u32) {
        let mut go = [0u8];
        if channel.read_exact(&mut go).is_ok() {
            let answer = serde_json::to_vec(&map_ids(target)).unwrap_or_default();
            // If nobody reads it, the caller is gone, and its namespace with it.
            let _ = channel.write_all(&answer);
        }
    }

    /// Has the ids of this process mapped, once it is in its new user namespace; returns what was missing.
    fn map(mut self) -> Result<Vec<String>> {
        let lost = |e: &std::io::Error| Error::from_io(e, "sandbox: the process that maps ids");
        let mut channel = self.go.take().ok_or_else(|| Error::internal("sandbox: ids mapped twice"))?;
        channel.write_all(b"g").map_err(|e| lost(&e))?;
        let mut answer = Vec::new();
        channel.read_to_end(&mut answer).map_err(|e| lost(&e))?;
        let answer: Result<Mapped> = serde_json::from_slice(&answer)
            .map_err(|e| Error::internal(format!("sandbox: the process that maps ids: {e}")))?;
        answer.map(|mapped| mapped.missing)
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        self.go = None;
        let _ = waitpid(self.pid, None);
    }
}

/// The mapper's answer.
#[derive(Serialize, Deserialize)]
struct Mapped {
    missing: Vec<String>,
}

/// Runs of ids `(inside, outside, count)`, as a line of `uid_map` (`user_namespaces(7)`).
type Runs = Vec<(u32, u32, u32)>;

/// Writes the maps of `target`, a process of ours in a child user namespace.
fn map_ids(target: u32) -> Result<Mapped> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut missing = Vec::new();
    if uid == 0 && capabilities() & CAP_SETIDS == CAP_SETIDS {
        // Everything as it is here, so that what drops its privileges finds its user.
        write_map(target, "uid_map", &identity("/proc/self/uid_map")?)?;
        write_map(target, "gid_map", &identity("/proc/self/gid_map")?)?;
        return Ok(Mapped { missing });
    }
    let (uids, gids) = match subordinate(uid, gid) {
        Some((uids, gids)) => (
            map_by_program(target, "newuidmap", &uids).map_err(|e| missing.push(e)).is_ok(),
            map_by_program(target, "newgidmap", &gids).map_err(|e| missing.push(e)).is_ok(),
        ),
        None => (false, false),
    };
    if !uids {
        write_map(target, "uid_map", &vec![(0, uid, 1)])?;
    }
    if !gids {
        deny_setgroups(target)?;
        write_map(target, "gid_map", &vec![(0, gid, 1)])?;
    }
    Ok(Mapped { missing })
}

/// Everything that this user namespace has, each id as itself.
fn identity(path: &str) -> Result<Runs> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::from_io(&e, format!("read `{path}`")))?;
    // Run by run, not merged: each must lie within one run of the parent's map.
    Ok(parse_map(&text).into_iter().map(|(inside, _, count)| (inside, inside, count)).collect())
}

fn parse_map(text: &str) -> Runs {
    let mut runs = Runs::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::parse);
        if let (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count))) = (words.next(), words.next(), words.next()) {
            runs.push((inside, outside, count));
        }
    }
    runs
}

/// How many ids a map of this process has.
fn mapped(path: &str) -> u32 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    parse_map(&text).iter().fold(0, |sum: u32, (_, _, count)| sum.saturating_add(*count))
}

fn write_map(target: u32, file: &str, runs: &Runs) -> Result<()> {
    let path = format!("/proc/{target}/{file}");
    let text: String = runs.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect();
    std::fs::write(&path, text).map_err(|e| {
        let what = format!("map ids into the sandbox (`{file}`)");
        // Mapping root takes CAP_SETFCAP since Linux 5.12 (verify_root_map in kernel/user_namespace.c).
        if e.raw_os_error() == Some(libc::EPERM) && geteuid().is_root() && capabilities() & (1 << 31) == 0 {
            return Error::from_io(&e, what).with_hint("root needs CAP_SETFCAP for it: have the container keep that");
        }
        refused(e.raw_os_error().unwrap_or(libc::EIO), &what)
    })
}

/// Without CAP_SETGID a map of groups is only taken once `setgroups(2)` is off: else one could drop a group that
/// denies access (CVE-2014-8989).
fn deny_setgroups(target: u32) -> Result<()> {
    match std::fs::write(format!("/proc/{target}/setgroups"), "deny") {
        // Linux before 3.19 has no such file and asks for nothing.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(refused(e.raw_os_error().unwrap_or(libc::EIO), "switch `setgroups` off in the sandbox"))
        }
        _ => Ok(()),
    }
}

/// The maps that `/etc/subuid` and `/etc/subgid` allow this user (`subuid(5)`), if both have something.
fn subordinate(uid: u32, gid: u32) -> Option<(Runs, Runs)> {
    let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let read = |path: &str, own: u32| {
        let runs = subordinate_runs(&std::fs::read_to_string(path).ok()?, name.as_deref(), uid, own);
        (runs.len() > 1).then_some(runs)
    };
    // The lines of /etc/subgid too are those of a user, not of a group.
    Some((read("/etc/subuid", uid)?, read("/etc/subgid", gid)?))
}

/// The map of `own` to 0, then what `text` (`NAME-OR-UID:START:COUNT` lines) gives the user, one after another.
fn subordinate_runs(text: &str, name: Option<&str>, uid: u32, own: u32) -> Runs {
    let mut runs = vec![(0, own, 1)];
    let mut next: u32 = 1;
    for line in text.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [user, start, count] = fields[..] else { continue };
        if Some(user) != name && user.parse() != Ok(uid) {
            continue;
        }
        let (Ok(start), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>()) else { continue };
        let Some(end) = next.checked_add(count) else { break };
        if count > 0 {
            runs.push((next, start, count));
            next = end;
        }
    }
    runs
}

/// Maps by a set-user-id helper of shadow-utils; the error is a sentence for [`Info::missing`].
fn map_by_program(target: u32, program: &str, runs: &Runs) -> std::result::Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "before anything else runs, by the helper outside of the sandbox")]
    let mut command = std::process::Command::new(program);
    command.arg(target.to_string());
    for (inside, outside, count) in runs {
        command.args([inside.to_string(), outside.to_string(), count.to_string()]);
    }
    match command.stdin(std::process::Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("subordinate ids: {program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("subordinate ids: {program}: {}", Error::from_io(&e, "run"))),
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The child

/// Has the kernel kill this process when its parent ends, and ends it now if that has happened already. `life` is
/// the read end of a pipe that only the parent holds open: from inside a pid namespace `getppid` is 0 whoever lives.
/// A dying process closes its files before its children get their signal, so none of the two is ever missed.
fn die_with_parent(life: OwnedFd) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|e| Error::from_errno(e as i32, "tie the sandbox to the process that started it"))?;
    let mut fds = [PollFd::new(life.as_fd(), PollFlags::empty())];
    if poll(&mut fds, PollTimeout::ZERO) != Ok(0) {
        // SAFETY: ends this process at once, as the signal would have.
        unsafe { libc::_exit(128 + libc::SIGKILL) }
    }
    Ok(())
}

/// Mounts, loopback, and what programs expect to find, in the namespaces that this process is the first of.
fn furnish(missing: &mut Vec<String>) -> Result<()> {
    // Slave, not private: what the host unmounts must not live on in here.
    mount(NO, "/", NO, MsFlags::MS_REC | MsFlags::MS_SLAVE, NO)
        .map_err(|e| refused(e as i32, "cut the sandbox's mounts off from the host's"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), quiet, NO).map_err(|e| {
        refused(e as i32, "mount `/proc` in the sandbox").with_hint(
            "the kernel allows it only where nothing covers a part of the old `/proc`, as containers do: ask for an \
             unmasked one (podman: `--security-opt unmask=ALL`, docker: `--security-opt systempaths=unconfined`)",
        )
    })?;
    fresh_run(missing)?;
    // The links that the old one shows are the host's. Where that is read-only the new one has to be.
    let fresh_sys = |flags| mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NO);
    if let Err(e) = fresh_sys(quiet).or_else(|_| fresh_sys(quiet | MsFlags::MS_RDONLY)) {
        missing.push(sentence(e, "mount a fresh `/sys` in the sandbox"));
    }
    if let Err(e) = loopback_up() {
        missing.push(sentence(e, "bring `lo` up in the sandbox"));
    }
    allow_ping(missing);
    Ok(())
}

/// No source, file system or data for `mount`.
const NO: Option<&str> = None;

/// For [`Info::missing`].
fn sentence(errno: Errno, what: &str) -> String {
    Error::from_errno(errno as i32, what).to_string()
}

/// An empty `/run`, with the old one's entries bound back but for [`LEFT_OUT`].
fn fresh_run(missing: &mut Vec<String>) -> Result<()> {
    let failed = |e: Errno| refused(e as i32, "mount a tmpfs on the sandbox's `/run`");
    let old = open("/run", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
    let names: Vec<OsString> = std::fs::read_dir("/run")
        .map_err(|e| Error::from_io(&e, "read `/run`"))?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| !LEFT_OUT.iter().any(|left| name == left))
        .collect();
    mount(Some("nsscript"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .map_err(failed)?;
    for name in names {
        if let Err(e) = carry_over(&old, &name) {
            let path = Path::new("/run").join(&name);
            missing.push(sentence(e, &format!("bind `{}` into the sandbox", path.display())));
        }
    }
    let lock = std::fs::create_dir("/run/lock").map_err(|e| Error::from_io(&e, "make the sandbox's `/run/lock`"));
    if let Err(e) = lock {
        missing.push(e.to_string());
    }
    // Locks are anybody's; not in `mkdir`, where the umask would have a say.
    let _ = fchmodat(nix::fcntl::AT_FDCWD, "/run/lock", Mode::from_bits_truncate(0o1777), FchmodatFlags::FollowSymlink);
    // `/var/run` is a symlink to `/run` nearly everywhere; where it is a directory both are to be the same.
    let run = std::fs::canonicalize("/run").unwrap_or_else(|_| PathBuf::from("/run"));
    if std::fs::canonicalize("/var/run").is_ok_and(|var| var != run) {
        let bound = mount(Some("/run"), "/var/run", NO, MsFlags::MS_BIND | MsFlags::MS_REC, NO);
        if let Err(e) = bound {
            missing.push(sentence(e, "bind `/run` over `/var/run` in the sandbox"));
        }
    }
    Ok(())
}

/// Makes the entry `name` of the `old` `/run` in the new one.
fn carry_over(old: &OwnedFd, name: &OsStr) -> nix::Result<()> {
    let source = openat(old, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let target = Path::new("/run").join(name);
    let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let kind = SFlag::from_bits_truncate(fstat(&source)?.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFLNK {
        return std::os::unix::fs::symlink(readlinkat(old, name)?, &target).map_err(errno);
    }
    if kind == SFlag::S_IFDIR {
        std::fs::create_dir(&target).map_err(errno)?;
    } else {
        // Sockets and pipes too: anything but a directory may be bound over a file.
        File::create(&target).map_err(errno)?;
    }
    // The path is covered by now; the descriptor still leads there. Recursively, since the mounts below are locked
    // together in a user namespace (`mount_namespaces(7)`).
    let through = format!("/proc/self/fd/{}", source.as_raw_fd());
    let bound = mount(Some(through.as_str()), &target, NO, MsFlags::MS_BIND | MsFlags::MS_REC, NO);
    if bound.is_err() {
        // An empty one in its place would only mislead.
        let _ = if kind == SFlag::S_IFDIR { std::fs::remove_dir(&target) } else { std::fs::remove_file(&target) };
    }
    bound
}

/// Sets IFF_UP on `lo` (`netdevice(7)`): programs expect loopback, and the kernel then adds 127.0.0.1 and ::1.
fn loopback_up() -> nix::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeroes is a valid `ifreq`: numbers, and a union of numbers and a pointer that is not followed.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: both requests take a pointer to an `ifreq`, and it outlives the calls.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) })?;
    // SAFETY: the request before has filled in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: as above.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) }).map(drop)
}

/// Lets the groups that exist in here open ICMP datagram sockets (`icmp(7)`), as far as one range can say it: both
/// ends must be mapped, and in order outside as well.
fn allow_ping(missing: &mut Vec<String>) {
    let path = "/proc/sys/net/ipv4/ping_group_range";
    let groups = parse_map(&std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default());
    let count = groups.iter().find(|(inside, _, _)| *inside == 0).map_or(1, |(_, _, count)| *count);
    // The largest that the kernel takes (ip_ping_group_range_max).
    let last = count.saturating_sub(1).min(u32::MAX >> 1);
    if let Err(e) = std::fs::write(path, format!("0 {last}")) {
        missing.push(Error::from_io(&e, format!("write `{path}` in the sandbox")).to_string());
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The process outside

/// What the process outside passes on. SIGTTIN and SIGTTOU are there because the child, as pid 1, is not stopped by
/// them: it would ask the terminal again and again.
const PASSED_ON: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Signals that are blocked from before the first fork on, so that none is lost or kills one process of two.
struct HeldSignals {
    held: SigSet,
    before: SigSet,
}

impl HeldSignals {
    fn hold() -> Result<HeldSignals> {
        let failed = |e: Errno| Error::from_errno(e as i32, "sandbox: block signals");
        let ignored = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| status_mask(&text, "SigIgn"));
        let ignored = ignored.unwrap_or(0);
        let mut held = SigSet::empty();
        held.add(Signal::SIGCHLD);
        for signal in PASSED_ON {
            // What the caller was told to ignore (nohup, a shell without job control) it goes on ignoring.
            if ignored & bit(signal) == 0 {
                held.add(signal);
            }
        }
        if ignored & bit(Signal::SIGCHLD) != 0 {
            // SAFETY: the default handler; it stands for no code of ours. Ignored, exit codes would be thrown away.
            unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(failed)?;
        }
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before)).map_err(failed)?;
        Ok(HeldSignals { held, before })
    }

    fn release(&self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// The bit of a signal in the masks of `/proc/PID/status`.
fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

/// The first process in the sandbox, as the one outside sees it.
struct Child {
    pid: Pid,
    /// Its `/proc/PID/status`.
    status: Option<File>,
}

impl Child {
    /// Whether the child does something of its own about `signal`: handles, ignores or blocks it. If not, the kernel
    /// drops the signal, as pid 1 has no default actions. Assumed where it can't be known.
    fn takes(&self, signal: Signal) -> bool {
        let read = || {
            let mut text = [0u8; 8192];
            let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
            let text = String::from_utf8_lossy(text.get(..length)?);
            Some(status_mask(&text, "SigCgt")? | status_mask(&text, "SigIgn")? | status_mask(&text, "SigBlk")?)
        };
        read().is_none_or(|mask| mask & bit(signal) != 0)
    }

    fn send(&self, signal: Signal) {
        // The only error is that it has just ended, which SIGCHLD says.
        let _ = kill(self.pid, signal);
    }
}

/// Waits for the child and ends with its code; passes signals on meanwhile. Where the child leaves a signal to its
/// default action, that is done to it from here: ended by SIGKILL (and reported as the signal that it was),
/// or stopped by SIGSTOP, which do reach a pid 1 from outside.
fn watch(child: &Child, held: &HeldSignals) -> ! {
    let signals = SignalFd::with_flags(&held.held, SfdFlags::SFD_CLOEXEC);
    let mut ended_by = None;
    loop {
        let Ok(Ok(Some(info))) = signals.as_ref().map(SignalFd::read_signal) else {
            // No signals to be had: what is left to do is to wait.
            leave(waitpid(child.pid, None), ended_by);
            continue;
        };
        let Some(signal) = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) else {
            continue;
        };
        // What the terminal sends goes to the whole foreground process group, and so to the child too.
        let has_it = info.ssi_code == libc::SI_KERNEL && getpgid(Some(child.pid)) == Ok(getpgrp());
        match signal {
            Signal::SIGCHLD => leave(waitpid(child.pid, Some(WaitPidFlag::WNOHANG)), ended_by),
            Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => stop(child, signal, has_it),
            Signal::SIGCONT => child.send(signal),
            Signal::SIGWINCH if has_it => {}
            Signal::SIGWINCH => child.send(signal),
            _ if !child.takes(signal) => {
                ended_by = Some(signal);
                child.send(Signal::SIGKILL);
            }
            // A hang-up may come to the session's leader alone, and twice does no harm.
            Signal::SIGHUP => child.send(signal),
            _ if has_it => {}
            _ => child.send(signal),
        }
    }
}

/// Ends this process as the child ended, if it did; `ended_by` is the signal that we carried out in the kernel's stead.
fn leave(status: nix::Result<WaitStatus>, ended_by: Option<Signal>) {
    let code = match (status, ended_by) {
        (Ok(WaitStatus::Exited(_, code)), _) => code,
        (Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)), Some(signal)) => 128 + signal as i32,
        (Ok(WaitStatus::Signaled(_, signal, _)), _) => 128 + signal as i32,
        (Err(Errno::ECHILD), _) => 1,
        _ => return,
    };
    // SAFETY: ends this process without running what the program has registered for its own end, in the child.
    unsafe { libc::_exit(code) }
}

/// A stop signal of the terminal's: stops the child, then this process, so that the shell sees the job stopped; once
/// this process goes on, so does the child.
fn stop(child: &Child, signal: Signal, has_it: bool) {
    if matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU) && regain_terminal() {
        return;
    }
    if child.takes(signal) {
        if !has_it {
            child.send(signal);
        }
        return;
    }
    if stops(signal) {
        child.send(Signal::SIGSTOP);
        // Not `signal` itself: for that it had to be unblocked, and one that comes just as we are continued (a job
        // put in the background reads at once) would stop this process and leave the child running.
        let _ = raise(Signal::SIGSTOP);
        child.send(Signal::SIGCONT);
    }
}

/// Whether the kernel stops processes of our process group at `signal`: not if it is orphaned, since nobody would
/// continue them (`setpgid(2)`). Only the kernel knows, so a throw-away process tries it.
fn stops(signal: Signal) -> bool {
    let mut this = SigSet::empty();
    this.add(signal);
    // SAFETY: this process has one thread, and the child only makes system calls.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let _ = raise(signal);
            let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&this), None);
            // SAFETY: nothing of the caller's is to run here.
            unsafe { libc::_exit(0) }
        }
        Ok(ForkResult::Parent { child: probe }) => {
            let stopped = matches!(waitpid(probe, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(..)));
            if stopped {
                let _ = kill(probe, Signal::SIGKILL);
                let _ = waitpid(probe, None);
            }
            stopped
        }
        Err(_) => false,
    }
}

/// Whether the terminal is ours, or was left by a process group that is gone and now is ours again: an interactive
/// shell in the sandbox takes the terminal, but can't give it back to a process group that its pid namespace has no
/// number for.
fn regain_terminal() -> bool {
    let Ok(terminal) = open("/dev/tty", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) else { return false };
    let ours = getpgrp();
    match tcgetpgrp(&terminal) {
        Ok(group) if group == ours => true,
        // SIGTTOU, which this asks for, is held. If it is ignored instead, all the better.
        Ok(group) if killpg(group, None) == Err(Errno::ESRCH) => tcsetpgrp(&terminal, ours).is_ok(),
        _ => false,
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Why not

/// The error for `errno` when doing `what`, with the switch that is off.
pub(crate) fn refused(errno: i32, what: &str) -> Error {
    diagnose(errno, what, |path| std::fs::read_to_string(path).ok(), capabilities() & CAP_SYS_ADMIN != 0)
}

/// [`refused`] with the files and rights that it goes by.
fn diagnose(errno: i32, what: &str, read: impl Fn(&str) -> Option<String>, admin: bool) -> Error {
    let is = |path: &str, value: &str| read(path).is_some_and(|text| text.trim() == value);
    let error = Error::from_errno(errno, what).with_op("sandbox");
    let off = |reason: &str, hint: &str| {
        let message = format!("{what}: {}: {reason}", crate::plan::error::errno_words(errno));
        Error::new(Kind::Permission, message).with_op("sandbox").with_errno(errno).with_hint(hint)
    };
    match errno {
        libc::EPERM | libc::EACCES => {
            if !admin && is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
                return off(
                    "user namespaces are switched off for ordinary users here (kernel.unprivileged_userns_clone = 0)",
                    "run as root, or have the administrator run `sysctl -w kernel.unprivileged_userns_clone=1`",
                );
            }
            if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
                return off(
                    "AppArmor restricts user namespaces here (kernel.apparmor_restrict_unprivileged_userns = 1)",
                    "run as root, or have the administrator run \
                     `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or give nsscript an AppArmor profile with `userns,`",
                );
            }
            let filtered =
                read("/proc/self/status").and_then(|text| status_mask(&text, "Seccomp")).is_some_and(|mode| mode == 2);
            if filtered {
                return off(
                    "a seccomp filter is on, such as a container's",
                    "start the container with `--security-opt seccomp=unconfined`, or with CAP_SYS_ADMIN and CAP_NET_ADMIN",
                );
            }
            error.with_hint(
                "something forbids user namespaces here (a security module, a chroot, a container): \
                 run as root, or ask the administrator to allow them",
            )
        }
        libc::ENOSPC | libc::EUSERS => {
            for kind in ["user", "net", "mnt", "pid", "uts", "ipc"] {
                let name = format!("user/max_{kind}_namespaces");
                if is(&format!("/proc/sys/{name}"), "0") {
                    let name = name.replace('/', ".");
                    return off(
                        &format!("{kind} namespaces are switched off here ({name} = 0)"),
                        &format!("have the administrator run `sysctl -w {name}=10000`"),
                    );
                }
            }
            error.with_hint(
                "a limit on namespaces is reached: see `sysctl -a | grep user.max_`; they also nest only 32 deep",
            )
        }
        libc::EINVAL if read("/proc/self/uid_map").is_none() => {
            Error::new(Kind::Unsupported, format!("{what}: this kernel has no user namespaces (CONFIG_USER_NS)"))
                .with_op("sandbox")
                .with_errno(errno)
                .with_hint("run as root, or use a kernel that has them")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_proc_status() {
        let status =
            "Name:\tx\nSigBlk:\t0000000000000000\nSigCgt:\t0000000180004002\nCapEff:\t000001fffeffffff\nSeccomp:\t2\n";
        assert_eq!(status_mask(status, "CapEff"), Some(0x1ff_feff_ffff));
        assert_eq!(status_mask(status, "SigCgt").map(|mask| mask & bit(Signal::SIGINT)), Some(2));
        assert_eq!(status_mask(status, "Seccomp"), Some(2));
        assert_eq!(status_mask(status, "Sig"), None);
    }

    #[test]
    fn subordinate_ids_by_name_and_by_number() {
        let text =
            "# none\nroot:1:5\nann:100000:65536\nbob:165536:65536\n1000:300000:10\nann:4294967295:bad\nann:5:0\n";
        assert_eq!(
            subordinate_runs(text, Some("ann"), 1000, 1000),
            [(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 10)]
        );
        assert_eq!(subordinate_runs(text, None, 7, 8), [(0, 8, 1)]);
        // More than there are: the rest is left out rather than wrapped around.
        let text = "ann:100000:4294967295\nann:1:1";
        assert_eq!(subordinate_runs(text, Some("ann"), 1, 1), [(0, 1, 1)]);
    }

    #[test]
    fn maps_are_read() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(parse_map(text), [(0, 1000, 1), (1, 100_000, 65536)]);
    }

    #[test]
    fn the_switch_that_is_off_is_named() {
        let world = |file: &'static str, text: &'static str| move |path: &str| (path == file).then(|| text.to_string());
        let cases = [
            (libc::EPERM, "/proc/sys/kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone=1"),
            (
                libc::EACCES,
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
            (libc::ENOSPC, "/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces=10000"),
            (libc::ENOSPC, "/proc/sys/user/max_net_namespaces", "0\n", "user.max_net_namespaces=10000"),
            (libc::EPERM, "/proc/self/status", "NoNewPrivs:\t0\nSeccomp:\t2\n", "seccomp=unconfined"),
        ];
        for (errno, file, text, hint) in cases {
            let error = diagnose(errno, "make it", world(file, text), false);
            assert_eq!((error.kind, error.errno), (Kind::Permission, errno), "{file}");
            assert!(error.hint.as_deref().is_some_and(|h| h.contains(hint)), "{file}: {error:?}");
        }
        let nothing = |_: &str| None;
        assert_eq!(diagnose(libc::EINVAL, "make it", nothing, false).kind, Kind::Unsupported);
        assert_eq!(diagnose(libc::ENOSPC, "make it", nothing, false).kind, Kind::Limit);
        assert_eq!(diagnose(libc::EPERM, "make it", nothing, false).kind, Kind::Permission);
    }
}

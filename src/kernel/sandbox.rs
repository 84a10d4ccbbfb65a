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

mod furnish;
mod ids;
mod watch;

use crate::plan::{Error, Kind, Result};
use furnish::furnish;
pub(in crate::kernel) use furnish::own_etc;
pub use furnish::{hide_etc, share_etc};
use ids::{Mapper, mapped};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, ForkResult, faccessat, fork, getegid, geteuid, pipe2};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use watch::{Child, HeldSignals, die_with_parent, watch};

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
    use super::watch::bit;
    use super::*;
    use nix::sys::signal::Signal;

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

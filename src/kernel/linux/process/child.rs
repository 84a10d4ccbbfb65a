//! The children that we have started and not yet waited for, so that nobody else waits for them: a pid may be
//! waited for once. Also pidfds, and waiting with poll(2).

use super::proc::Id;
use crate::kernel::Cancel;
use crate::plan::{Error, Kind, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a process ended. Both are `None` where somebody else took its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The exit status, 0–255.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

/// A process that we started.
#[derive(Debug)]
pub(super) struct Child {
    pub id: Id,
    pub pidfd: OwnedFd,
    status: Mutex<Option<Ended>>,
}

type Registry = BTreeMap<i32, Arc<Child>>;
static REGISTRY: Mutex<Registry> = Mutex::new(BTreeMap::new());

/// The registry, locked: while it is held no child is started and no orphan reaped. Lock order: a child's status
/// first, then this.
pub(super) fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Child {
    pub fn new(id: Id, pidfd: OwnedFd) -> Arc<Child> {
        Arc::new(Child { id, pidfd, status: Mutex::new(None) })
    }

    /// How it ended, taking the status if it has; `None` while it runs.
    pub fn try_wait(&self) -> Option<Ended> {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_none() {
            *status = wait_pidfd(self.pidfd.as_fd());
            if status.is_some() {
                forget(self);
            }
        }
        *status
    }

    /// Waits until it ends, however long.
    pub fn wait(&self) -> Result<Ended> {
        loop {
            if let Some(ended) = self.try_wait() {
                return Ok(ended);
            }
            poll(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], None)?;
        }
    }
}

/// Its pid may be another process's from now on.
fn forget(child: &Child) {
    let mut registry = registry();
    if registry.get(&child.id.pid).is_some_and(|c| std::ptr::eq(Arc::as_ptr(c), child)) {
        registry.remove(&child.id.pid);
    }
}

/// The owner of a [`Child`]. Dropped, the process runs on, and is an orphan for [`super::reap_orphans`].
#[derive(Debug)]
pub(super) struct Handle(pub Arc<Child>);

impl Drop for Handle {
    fn drop(&mut self) {
        forget(&self.0);
    }
}

/// The status of a child that has ended, reaping it; `None` while it runs.
fn wait_pidfd(pidfd: BorrowedFd<'_>) -> Option<Ended> {
    reap(libc::P_PIDFD, pidfd.as_raw_fd().cast_unsigned())
}

/// `waitid(2)` without blocking. nix's wrapper would reap and then fail on a real-time signal, hence not used.
pub(super) fn reap(id_type: libc::idtype_t, id: libc::id_t) -> Option<Ended> {
    loop {
        // SAFETY: siginfo_t is plain data, for which zeroes are valid; waitid writes to it only.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` lives through the call.
        let result = unsafe { libc::waitid(id_type, id, &raw mut info, libc::WEXITED | libc::WNOHANG) };
        if result != 0 {
            match nix::errno::Errno::last_raw() {
                libc::EINTR => continue,
                // No child of ours (any more).
                _ => return Some(Ended { code: None, signal: None }),
            }
        }
        // SAFETY: after a successful waitid these fields hold what it filled in, or the zeroes from above.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        return match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Ended { code: Some(status), signal: None }),
            _ => Some(Ended { code: None, signal: Some(status) }),
        };
    }
}

/// A descriptor of a process, readable once all its threads have ended (`pidfd_open(2)`, Linux 5.3). Close-on-exec.
pub(super) fn open_pidfd(pid: i32) -> std::result::Result<OwnedFd, i32> {
    // SAFETY: takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: a new descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(nix::errno::Errno::last_raw()),
    }
}

/// `pidfd_send_signal(2)`: reaches the process that was opened, or nobody (ESRCH).
pub(super) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> std::result::Result<(), i32> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means what kill(2) would send.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) };
    if result == 0 { Ok(()) } else { Err(nix::errno::Errno::last_raw()) }
}

/// Whether the process of a pidfd has ended, all threads of it.
pub(super) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

/// poll(2) until something is ready or the deadline has passed. A signal also ends it, with nothing ready: callers
/// loop, and look at their flags each time.
pub(super) fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<()> {
    let timeout = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
        None => PollTimeout::NONE,
        // Rounded up, lest the last millisecond be spent in a busy loop; what is too long is polled for again.
        Some(left) => {
            let ms = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
            PollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
        }
    };
    match nix::poll::poll(fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Error::from_errno(errno as i32, "poll")),
    }
}

/// Whether any of the polled-for events, an error or the end of it was reported.
pub(super) fn ready(fd: &PollFd<'_>) -> bool {
    fd.revents().is_some_and(|r| !r.is_empty())
}

/// The signal that has come, given whether [`Cancel::fd`] was readable.
pub(super) fn cancelled(cancel: &Cancel, woken: bool) -> bool {
    if woken { cancel.confirm() != 0 } else { cancel.signal() != 0 }
}

/// The number of a signal given as `HUP`, `SIGHUP`, `hup`, `RTMIN+3` or `1`.
///
/// # Errors
/// [`Kind::Invalid`] when there is no such signal.
pub fn signal_by_name(name: &str) -> Result<i32> {
    let unknown = || {
        Error::new(Kind::Invalid, format!("unknown signal `{name}`"))
            .with_target(name)
            .with_hint("give a name such as TERM, HUP, INT or USR1, or a number from 1 to 64 (`kill -l` lists them)")
    };
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i32>().ok() };
    let real_time = short
        .strip_prefix("RTMIN")
        .and_then(offset)
        .map(|n| libc::SIGRTMIN() + n)
        .or_else(|| short.strip_prefix("RTMAX").and_then(offset).map(|n| libc::SIGRTMAX() + n));
    if let Some(number) = real_time {
        let valid = (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number);
        return if valid { Ok(number) } else { Err(unknown()) };
    }
    match short {
        "CLD" => Ok(libc::SIGCHLD),
        "IOT" => Ok(libc::SIGABRT),
        "POLL" => Ok(libc::SIGIO),
        _ => format!("SIG{short}").parse::<nix::sys::signal::Signal>().map(|s| s as i32).map_err(|_| unknown()),
    }
}

/// `SIGTERM` for 15; `signal 35` for what has no name.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_several_names() {
        for name in ["HUP", "SIGHUP", "hup", "1"] {
            assert_eq!(signal_by_name(name).unwrap(), 1);
        }
        assert_eq!(signal_by_name("KILL").unwrap(), 9);
        assert_eq!(signal_by_name("RTMIN+2").unwrap(), libc::SIGRTMIN() + 2);
        assert_eq!(signal_by_name("SIGRTMAX").unwrap(), 64);
        for name in ["", "0", "65", "-1", "SIG", "FOO", "RTMIN-1", "RTMAX+1", "SIGSIGHUP"] {
            let error = signal_by_name(name).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{name}");
        }
        assert_eq!(signal_name(15), "SIGTERM");
    }
}

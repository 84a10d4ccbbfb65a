//! The process outside, and what ties the two together: signals, the terminal, the exit status.

use super::status_mask;
use crate::plan::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, pthread_sigmask, raise, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpgid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Has the kernel kill this process when its parent ends, and ends it now if that has happened already. `life` is
/// the read end of a pipe that only the parent holds open: from inside a pid namespace `getppid` is 0 whoever lives.
/// A dying process closes its files before its children get their signal, so none of the two is ever missed.
pub(super) fn die_with_parent(life: OwnedFd) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(|e| Error::from_errno(e as i32, "tie the sandbox to the process that started it"))?;
    let mut fds = [PollFd::new(life.as_fd(), PollFlags::empty())];
    if poll(&mut fds, PollTimeout::ZERO) != Ok(0) {
        // SAFETY: ends this process at once, as the signal would have.
        unsafe { libc::_exit(128 + libc::SIGKILL) }
    }
    Ok(())
}

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
pub(super) struct HeldSignals {
    held: SigSet,
    before: SigSet,
}

impl HeldSignals {
    pub(super) fn hold() -> Result<HeldSignals> {
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

    pub(super) fn release(&self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// The bit of a signal in the masks of `/proc/PID/status`.
pub(super) fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

/// The first process in the sandbox, as the one outside sees it.
pub(super) struct Child {
    pub(super) pid: Pid,
    /// Its `/proc/PID/status`.
    pub(super) status: Option<File>,
}

impl Child {
    /// Whether the child does something of its own about `signal`: handles, ignores or blocks it. If not, the kernel
    /// drops the signal, as pid 1 has no default actions. Assumed where it can't be known.
    fn takes(&self, signal: Signal) -> bool {
        let read = || {
            let mut text = [0u8; 8192];
            let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
            let text = String::from_utf8_lossy(text.get(..length)?);
            // What one thread of several blocks, another may let in.
            let alone = status_mask(&text, "Threads")? == 1;
            let blocked = if alone { status_mask(&text, "SigBlk")? } else { 0 };
            Some(status_mask(&text, "SigCgt")? | status_mask(&text, "SigIgn")? | blocked)
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
pub(super) fn watch(child: &Child, held: &HeldSignals) -> ! {
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

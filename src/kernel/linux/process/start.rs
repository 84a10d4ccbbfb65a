//! Programs in the background.

use super::child::{Child, Ended, Handle, cancelled, has_ended, poll, ready, send_signal};
use super::spawn::{Sink, spawn};
use super::tree::{Lineage, end_all, own_members};
use super::{Spec, Stdin, signal_name};
use crate::kernel::{Cancel, cancel::interrupted};
use crate::plan::{Error, Kind, Result};
use nix::poll::{PollFd, PollFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A program that was started in the background. Dropped, it runs on.
#[derive(Debug)]
pub struct Started {
    child: Handle,
    lineage: Lineage,
    name: String,
    warnings: Vec<String>,
}

/// Starts a program in the background, in a session of its own, with its output appended to `log` (mode 0600) and
/// none of our other descriptors. Ignores the spec's `timeout` and `output`.
///
/// `before_exec` runs when the process exists and is set up, but before the program runs: the place to journal the
/// process. If it fails, or if we die before it is done, the program never runs.
///
/// # Errors
/// Those of `before_exec` and of [`super::run`]; [`Kind::Io`] and the like where the log can't be opened. A program
/// that isn't found is noticed after `before_exec`.
pub fn start(spec: &Spec, log: &Path, before_exec: impl FnOnce(&Lineage) -> Result<()>) -> Result<Started> {
    if spec.stdin == Stdin::Inherit {
        return Err(
            Error::invalid("a background process can't read our standard input").with_hint("give it bytes, or nothing")
        );
    }
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
        .map_err(|e| Error::from_io(&e, format!("open log `{}`", log.display())))?;
    let mut before_exec = Some(before_exec);
    let mut once = |lineage: &Lineage| before_exec.take().map_or(Ok(()), |f| f(lineage));
    let spawned = spawn(spec, &Sink::Background(file.into()), Some(&mut once))?;
    Ok(Started {
        child: spawned.child,
        lineage: spawned.lineage,
        name: spec.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default(),
        warnings: spawned.warnings,
    })
}

impl Started {
    fn child(&self) -> &Child {
        &self.child.0
    }

    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child().id.pid
    }

    /// Field 22 of `/proc/PID/stat`, clock ticks since boot.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.child().id.start_time
    }

    /// Readable once the program has ended; for poll(2) and the like.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child().pidfd.as_fd()
    }

    /// What identifies it and all that it starts.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// What went wrong at the start without stopping it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the program itself runs; what it left in the background doesn't count.
    #[must_use]
    pub fn running(&self) -> bool {
        self.ended().is_none()
    }

    /// How the program ended, `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.child().try_wait()
    }

    /// Waits until the program ends; `None` when `timeout` has passed before.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when `cancel` is raised.
    pub fn wait(&self, timeout: Option<Duration>, cancel: &Cancel) -> Result<Option<Ended>> {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let mut woken = false;
        loop {
            if let Some(ended) = self.ended() {
                return Ok(Some(ended));
            }
            if cancelled(cancel, woken) {
                return Err(interrupted(cancel.signal()));
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                return Ok(None);
            }
            let mut fds = [PollFd::new(self.pidfd(), PollFlags::POLLIN), PollFd::new(cancel.fd(), PollFlags::POLLIN)];
            poll(&mut fds, deadline)?;
            woken = ready(&fds[1]);
        }
    }

    /// Sends a signal to the program itself; see [`super::signal_by_name`].
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it has ended, [`Kind::Permission`] when it now runs as somebody else.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let (pid, name) = (self.pid(), &self.name);
        // A zombie would take the signal without a word.
        let sent = if has_ended(self.pidfd()) { Err(libc::ESRCH) } else { send_signal(self.pidfd(), signal) };
        sent.map_err(|errno| match errno {
            libc::ESRCH => Error::new(Kind::NotFound, format!("process {pid} (`{name}`) has ended"))
                .with_target(name)
                .with_errno(errno),
            _ => Error::from_errno(errno, format!("send {} to process {pid} (`{name}`)", signal_name(signal)))
                .with_target(name),
        })
    }

    /// Ends the program and all that it started: SIGTERM, after `grace` SIGKILL; returns when all have gone. Also
    /// when the program itself has ended, but not what it left behind.
    ///
    /// # Errors
    /// [`Kind::Timeout`] or [`Kind::Permission`] when something is still there.
    pub fn stop(&self, grace: Duration) -> Result<Ended> {
        super::proc::check_proc()?;
        let ending = end_all(|| own_members(&self.lineage), grace, None);
        match ending.problem() {
            Some(error) => Err(error.with_target(&self.name)),
            None => self.child().wait(),
        }
    }
}

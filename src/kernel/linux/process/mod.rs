//! Programs in network namespaces: running them, starting them in the background, and ending them with all that they
//! started.
//!
//! A program in a namespace sees it as with `ip netns exec`: its own mount namespace, `/sys` of the network namespace,
//! and `/etc/netns/NAME/*` over `/etc/*`. Every program carries `NSSCRIPT_RUN` (the run's mark) and `NSSCRIPT_PROC`
//! (a tag of its own) in its environment, so that what it leaves behind can be found.
//!
//! This is the only place that starts a program or waits for one: a child that something else in this process
//! started would be taken for an orphan. Needs Linux 5.4 (pidfds) and a `/proc` of the own pid namespace.

mod child;
mod proc;
mod pump;
mod replace;
mod spawn;
mod start;
#[cfg(test)]
mod tests;
mod tree;

pub use child::{Ended, signal_by_name, signal_name};
pub use proc::{lives, marked, pids_in_netns, process_start_time, tagged};
pub use pump::Tee;
pub use replace::replace;
pub use spawn::{BeforeExec, check, keep_limit};
pub use start::{Started, start};
pub use tree::{
    EndedProcess, Lineage, Process, become_subreaper, end_descendants, end_in_netns, end_marked, end_tree, end_trees,
    own_children, reap_orphans,
};

use crate::kernel::Cancel;
use crate::plan::Result;
use child::{cancelled, poll, ready};
use nix::poll::{PollFd, PollFlags};
use pump::Pump;
use spawn::{Sink, spawn};
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The environment variable with the run's mark.
pub const MARK: &str = "NSSCRIPT_RUN";
/// The environment variable with the tag of the program that was started: see [`Lineage`].
pub const TAG: &str = "NSSCRIPT_PROC";

/// How long a command may take to end after SIGTERM, at a timeout or Ctrl-C, before SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

/// How often another signal is looked for while a program has the terminal and a Ctrl-C was its own.
const LOOK: Duration = Duration::from_millis(100);

/// How much of each output is kept, in bytes: one that writes without an end would take all of the machine's memory.
pub const KEPT: usize = 64 << 20;

/// The longest that the handlers of one Ctrl-C are apart.
const CTRL_C: Duration = Duration::from_millis(100);

/// What a program reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// Our own standard input. Not for [`start`].
    Inherit,
    /// These bytes, then the end: a pipe up to 1 MiB, above that a file in memory.
    Bytes(Vec<u8>),
}

/// Where a program's output goes in [`run`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Into [`Finished`].
    #[default]
    Capture,
    /// To our own standard output and error: for an interactive shell, which wants a terminal.
    Inherit,
}

/// One of a program's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What to run, and how.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The program and its arguments. A program without `/` is looked up in the PATH of `env`, else in ours; one
    /// with `/` is taken from `cwd`.
    pub argv: Vec<OsString>,
    /// The nsfs file of the network namespace to enter; `None` stays, and leaves all mounts as they are.
    pub netns: Option<Arc<OwnedFd>>,
    /// Its name, for `/etc/netns/NAME` and for messages.
    pub netns_name: Option<String>,
    /// Changes to our environment, in order; `None` unsets.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Where it runs, as seen in its mount namespace; `None`: where we are.
    pub cwd: Option<PathBuf>,
    pub stdin: Stdin,
    pub output: Output,
    /// For [`run`]: when this has passed, the whole tree is ended.
    pub timeout: Option<Duration>,
    /// The run's mark, the value of `NSSCRIPT_RUN`.
    pub mark: String,
}

/// What became of a program that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    pub pid: i32,
    /// The exit status, 0–255.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Empty with [`Output::Inherit`].
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub timed_out: bool,
    /// It wrote more than [`KEPT`] bytes, and was ended for that.
    pub flooded: bool,
    /// A signal to us cut it short; [`Cancel::signal`] tells which.
    pub cancelled: bool,
    /// Ctrl-C was pressed while it had the terminal, and was its own.
    pub heard: bool,
    /// From before its start until after its end.
    pub elapsed: Duration,
    /// What went wrong beside it: binds over `/etc` that failed, processes that could not be ended.
    pub warnings: Vec<String>,
}

/// Runs a program and waits for it, or for its timeout, or for `cancel`, or until it has written more than [`KEPT`] bytes;
/// in the last three cases its whole tree is ended (SIGTERM, after at most 500 ms SIGKILL), also what has left the tree if
/// we are a subreaper. `tee` is called with each piece of output as it comes.
///
/// The program stays in our process group: the terminal's Ctrl-C reaches it too, and a shell may be interactive. One that
/// has the terminal ([`Stdin::Inherit`] and [`Output::Inherit`]) decides itself what a Ctrl-C is: unless it dies of it (or
/// ends with status 130, as a shell tells that), it was none for us, and is forgotten, as a shell does with its jobs. What
/// it leaves in the background when it ends runs on, without anybody who reads its output.
///
/// `before_exec` runs as that of [`start`].
///
/// # Errors
/// [`crate::plan::Kind::NotFound`] where there is no such program, interpreter or working directory,
/// [`crate::plan::Kind::Permission`] where it may not be run or the namespace not be entered,
/// [`crate::plan::Kind::Interrupted`] where `cancel` was raised already. How the program ended is never an error.
pub fn run(
    spec: &Spec,
    cancel: &Cancel,
    tee: Option<Tee<'_>>,
    before_exec: Option<BeforeExec<'_>>,
) -> Result<Finished> {
    cancel.check()?;
    let begun = Instant::now();
    let deadline = spec.timeout.and_then(|t| begun.checked_add(t));
    let sink = match spec.output {
        Output::Capture => Sink::Pipes,
        Output::Inherit => Sink::Ours,
    };
    // A Ctrl-C at this moment may end the child before the exec: then that is the error.
    let spawned = spawn(spec, &sink, before_exec).or_else(|error| cancel.check().and(Err(error)))?;
    let child = &spawned.child.0;
    let mut finished = Finished { pid: child.id.pid, warnings: spawned.warnings, ..Finished::default() };
    let mut pump = Pump::new(spawned.pipes, tee);
    let mut woken = false;
    let has_terminal = spec.stdin == Stdin::Inherit && spec.output == Output::Inherit;
    loop {
        finished.cancelled = cancelled(cancel, woken);
        // A Ctrl-C that is the program's own.
        let theirs = has_terminal && finished.cancelled && cancel.signal() == libc::SIGINT;
        finished.cancelled &= !theirs;
        finished.timed_out = !finished.cancelled && deadline.is_some_and(|d| Instant::now() >= d);
        finished.flooded = pump.data.iter().any(|data| data.len() > KEPT);
        if finished.cancelled || finished.timed_out || finished.flooded {
            let ending = tree::end_all(|| tree::own_members(&spawned.lineage), GRACE, Some(&mut pump));
            finished.warnings.extend(ending.problem().map(|e| e.to_string()));
            break;
        }
        let (ended, output) = {
            let mut fds =
                vec![PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN), PollFd::new(cancel.fd(), PollFlags::POLLIN)];
            fds.extend(pump.poll_fds());
            let mut until = deadline;
            if theirs {
                // The descriptor stays readable: whether another signal came is looked at now and then.
                fds[1] = PollFd::new(cancel.fd(), PollFlags::empty());
                let look = Instant::now() + LOOK;
                until = Some(deadline.map_or(look, |d| d.min(look)));
            }
            poll(&mut fds, until)?;
            woken = ready(&fds[1]);
            (ready(&fds[0]), pump.ready(&fds))
        };
        if ended {
            break;
        }
        pump.read(output);
    }
    pump.finish();
    if let Some(ended) = child.try_wait() {
        (finished.code, finished.signal) = (ended.code, ended.signal);
        if has_terminal && ended.code == Some(128 + libc::SIGINT) && cancel.signal() == libc::SIGINT {
            finished.cancelled = true;
        }
        // The terminal's Ctrl-C is for both of us: the child may have ended of it before our handler ran.
        if ended.signal == Some(libc::SIGINT) && !finished.cancelled {
            let mut fds = [PollFd::new(cancel.fd(), PollFlags::POLLIN)];
            poll(&mut fds, Instant::now().checked_add(CTRL_C))?;
            finished.cancelled = cancelled(cancel, ready(&fds[0]));
        }
    }
    if has_terminal && !finished.cancelled && cancel.signal() == libc::SIGINT {
        cancel.clear();
        finished.heard = true;
    }
    let [stdout, stderr] = pump.data;
    (finished.stdout, finished.stderr) = (stdout, stderr);
    finished.elapsed = begun.elapsed();
    Ok(finished)
}

//! Faults on purpose, for the tests of the undo, in debug builds only: `NSSCRIPT_FAULT=error@7` makes the seventh change
//! of the machine fail, `kill-before@7` and `kill-after@7` end the process by SIGKILL just before and just after it,
//! `int@7` sends it SIGINT before. Every change counts, also those of an undo, from 1.

use crate::plan::{Error, Kind, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Error,
    KillBefore,
    KillAfter,
    Interrupt,
}

static WISH: OnceLock<Option<(Mode, u64)>> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);

fn wish() -> Option<(Mode, u64)> {
    *WISH.get_or_init(|| {
        if !cfg!(debug_assertions) {
            return None;
        }
        let text = std::env::var("NSSCRIPT_FAULT").ok()?;
        let (mode, at) = text.split_once('@')?;
        let mode = match mode {
            "error" => Mode::Error,
            "kill-before" => Mode::KillBefore,
            "kill-after" => Mode::KillAfter,
            "int" => Mode::Interrupt,
            _ => return None,
        };
        Some((mode, at.parse().ok()?))
    })
}

fn send(signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), signal);
}

/// Just before a change; `what` names it.
///
/// # Errors
/// The fault that was wished for.
pub fn before(what: &str) -> Result<()> {
    let Some((mode, at)) = wish() else { return Ok(()) };
    if COUNT.fetch_add(1, Ordering::Relaxed) + 1 != at {
        return Ok(());
    }
    match mode {
        Mode::Error => Err(Error::new(Kind::Io, format!("{what}: a fault on purpose"))),
        Mode::KillBefore => {
            send(nix::sys::signal::Signal::SIGKILL);
            Ok(())
        }
        Mode::Interrupt => {
            send(nix::sys::signal::Signal::SIGINT);
            Ok(())
        }
        Mode::KillAfter => Ok(()),
    }
}

/// Just after a change.
pub fn after() {
    if let Some((Mode::KillAfter, at)) = wish()
        && COUNT.load(Ordering::Relaxed) == at
    {
        send(nix::sys::signal::Signal::SIGKILL);
    }
}

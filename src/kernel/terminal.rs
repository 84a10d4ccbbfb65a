//! The terminal that an interactive session is on: its size, its modes, and how its reader is woken when a signal asks the
//! session to end.

use super::Cancel;
use crate::plan::{Error, Result};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Columns and rows of the terminal on standard output; `None` where it is none (`ioctl_tty(2)`).
#[must_use]
pub fn size() -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a local of the type that TIOCGWINSZ fills.
    let done = unsafe { libc::ioctl(std::io::stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// The terminal as it was found. Dropped, it is so again.
pub struct Modes {
    terminal: OwnedFd,
    modes: Termios,
}

impl Modes {
    /// Those of standard input; `None` where it is no terminal.
    #[must_use]
    pub fn found() -> Option<Modes> {
        let terminal = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let modes = tcgetattr(&terminal).ok()?;
        Some(Modes { terminal, modes })
    }

    /// Sets them again: a program that was run may have left others.
    pub fn restore(&self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.modes);
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.restore();
    }
}

/// From now on a SIGTERM or SIGHUP that comes while the line editor waits ends its input, as if the terminal had gone:
/// the editor itself hears of no signal but the change of the window's size.
///
/// # Errors
/// No thread can be started.
pub fn end_input_on(cancel: &Cancel) -> Result<()> {
    let signals = [libc::SIGTERM, libc::SIGHUP];
    let mut heard =
        signal_hook::iterator::Signals::new(signals).map_err(|e| Error::from_io(&e, "listen for signals"))?;
    let cancel = cancel.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in heard.forever() {
                // Ignored from the start (nohup): then the flag was not raised either.
                if cancel.signal() == 0 {
                    continue;
                }
                if let Ok(null) = std::fs::File::open("/dev/null") {
                    // SAFETY: both are open descriptors; the editor finds the end of its input at the next look.
                    unsafe { libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO) };
                }
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGWINCH);
                let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGWINCH);
            }
        })
        .map(drop)
        .map_err(|e| Error::from_io(&e, "start a thread"))
}

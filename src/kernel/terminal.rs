//! The terminal that an interactive session is on: its size, its modes, and how its reader is woken when a signal asks the
//! session to end.

use super::Cancel;
use crate::plan::{Error, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::termios::{SetArg, SpecialCharacterIndices as Key, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

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

/// What standard input becomes when Ctrl-C is pressed while a line is edited; -1 while none is.
static INSTEAD: AtomicI32 = AtomicI32::new(-1);
/// The thread that edits the line (`gettid(2)`).
static EDITOR: AtomicI32 = AtomicI32::new(0);

/// Ctrl-C as a signal at every moment, while a line is edited too. As a mere byte it would be lost between Enter and the
/// beginning of what the line does, when the editor reads no more and the terminal's modes are still the editor's.
///
/// The editor hears of no signal: it finds the key in its input, which is something else from then on.
pub struct Interrupts {
    cancel: Cancel,
    terminal: OwnedFd,
    /// The key, and then the end of the input. Lives as long as the session: a handler may be late.
    key: File,
}

impl Interrupts {
    /// # Errors
    /// The handler can't be made, or no descriptor is left.
    pub fn new(cancel: &Cancel) -> Result<Interrupts> {
        let failed = |e: std::io::Error| Error::from_io(&e, "listen for Ctrl-C");
        let terminal = std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        let key = memfd_create(c"ctrl-c", MFdFlags::MFD_CLOEXEC).map_err(|e| failed(e.into()))?;
        let mut key = File::from(key);
        key.write_all(b"\x03").map_err(failed)?;
        if !super::cancel::ignored(libc::SIGINT) {
            // SAFETY: atomics, and calls that signal handlers may make (signal-safety(7)).
            let handler = || unsafe {
                let instead = INSTEAD.swap(-1, Ordering::SeqCst);
                if instead >= 0 {
                    libc::dup2(instead, libc::STDIN_FILENO);
                    // The editor has to look again, and the signal comes to any thread.
                    let editor = EDITOR.load(Ordering::SeqCst);
                    if libc::gettid() != editor {
                        libc::syscall(libc::SYS_tgkill, libc::getpid(), editor, libc::SIGINT);
                    }
                }
            };
            // SAFETY: see above.
            unsafe { signal_hook::low_level::register(libc::SIGINT, handler) }.map_err(failed)?;
        }
        Ok(Interrupts { cancel: cancel.clone(), terminal, key })
    }

    /// Edits a line, by an editor that leaves it to the terminal to make a signal of Ctrl-C. `None`: Ctrl-C was pressed
    /// before it was done. `keys`: whether the editor sets the terminal's modes; then Ctrl-Z and Ctrl-\ stay keys.
    ///
    /// # Errors
    /// The terminal can't be read.
    pub fn editing<T>(&mut self, keys: bool, edit: impl FnOnce() -> T) -> Result<Option<T>> {
        self.key.rewind().map_err(|e| Error::from_io(&e, "listen for Ctrl-C"))?;
        self.read_terminal();
        let modes = tcgetattr(&self.terminal).ok();
        if let Some(mut modes) = modes.clone().filter(|_| keys) {
            for key in [Key::VQUIT, Key::VSUSP] {
                if let Some(slot) = modes.control_chars.get_mut(key as usize) {
                    // `_POSIX_VDISABLE` of Linux.
                    *slot = 0;
                }
            }
            let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &modes);
        }
        EDITOR.store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
        INSTEAD.store(self.key.as_raw_fd(), Ordering::SeqCst);
        // One that came before is none for this line.
        self.forget();
        let done = edit();
        let pressed = INSTEAD.swap(-1, Ordering::SeqCst) < 0;
        self.read_terminal();
        if pressed {
            self.forget();
            // The editor could not say that pastes have no brackets any more; without one the line is still open.
            let rest: &[u8] = if keys { b"\x1b[?2004l" } else { b"\n" };
            let _ = std::io::stdout().write_all(rest).and_then(|()| std::io::stdout().flush());
        }
        if let Some(modes) = modes {
            let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &modes);
        }
        Ok((!pressed).then_some(done))
    }

    /// Standard input is the terminal, unless a signal has ended it.
    fn read_terminal(&self) {
        if matches!(self.cancel.signal(), 0 | libc::SIGINT) {
            // SAFETY: both are open descriptors.
            unsafe { libc::dup2(self.terminal.as_raw_fd(), libc::STDIN_FILENO) };
        }
    }

    fn forget(&self) {
        if self.cancel.signal() == libc::SIGINT {
            self.cancel.clear();
        }
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
            super::cancel::unheard();
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

//! The flag that a signal raises, and the descriptor that wakes whatever waits.
//!
//! Everything that blocks (a command, a ping, a sleep, a wait for the kernel) also waits on
//! [`Cancel::fd`], so that Ctrl-C ends it at once.

use crate::plan::{Error, Kind, Result};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by the signal handlers and all that waits. Cloning shares.
#[derive(Clone, Debug)]
pub struct Cancel {
    signal: Arc<AtomicUsize>,
    /// How many signals are not heard.
    deaf: Arc<AtomicUsize>,
    /// The one of them that came.
    missed: Arc<AtomicUsize>,
    wake: Arc<OwnedFd>,
    /// The other end of that.
    waker: Arc<OwnedFd>,
}

impl Cancel {
    /// Installs handlers for SIGINT, SIGTERM and SIGHUP that raise the flag and write to the wake pipe.
    ///
    /// # Errors
    /// The pipe or a handler can't be made.
    pub fn install() -> Result<Cancel> {
        let cancel = Cancel::quiet()?;
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // nohup(1) and background jobs of a script have it ignored: it stays so.
            if ignored(signal) {
                continue;
            }
            let number = usize::try_from(signal).unwrap_or_default();
            let raised = cancel.clone();
            let heard = move || {
                let less = |n: usize| n.checked_sub(1);
                match raised.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
                    Ok(_) => raised.missed.store(number, Ordering::Relaxed),
                    Err(_) => raised.raise(number),
                }
            };
            // SAFETY: it stores, and writes to a socket, which may both be done in a handler (signal-safety(7)).
            unsafe { signal_hook::low_level::register(signal, heard) }
                .map_err(|e| Error::from_io(&e, "signal handler"))?;
        }
        // A file above the limit for files (setrlimit(2)) is an error of the write, and undone as others are.
        // SAFETY: no handler is installed.
        let _ = unsafe { nix::sys::signal::signal(nix::sys::signal::SIGXFSZ, nix::sys::signal::SigHandler::SigIgn) };
        Ok(cancel)
    }

    /// A flag that no signal raises: for tests, and for the time of an undo, which nothing may cut short.
    ///
    /// # Errors
    /// The pipe can't be made.
    pub fn never() -> Result<Cancel> {
        static NEVER: std::sync::OnceLock<Cancel> = std::sync::OnceLock::new();
        if let Some(cancel) = NEVER.get() {
            return Ok(cancel.clone());
        }
        let cancel = Cancel::quiet()?;
        Ok(NEVER.get_or_init(|| cancel).clone())
    }

    fn quiet() -> Result<Cancel> {
        let (read, write) = std::os::unix::net::UnixStream::pair().map_err(|e| Error::from_io(&e, "signal pipe"))?;
        for end in [&read, &write] {
            end.set_nonblocking(true).map_err(|e| Error::from_io(&e, "signal pipe"))?;
        }
        Ok(Cancel {
            signal: Arc::default(),
            deaf: Arc::default(),
            missed: Arc::default(),
            wake: Arc::new(OwnedFd::from(read)),
            waker: Arc::new(OwnedFd::from(write)),
        })
    }

    /// Sets the flag, and wakes who waits. Runs in handlers: only what may be done there (signal-safety(7)).
    fn raise(&self, signal: usize) {
        self.signal.store(signal, Ordering::Relaxed);
        let errno = nix::errno::Errno::last_raw();
        // One that is full wakes as well.
        let _ = nix::sys::socket::send(
            self.waker.as_raw_fd(),
            b"!",
            nix::sys::socket::MsgFlags::MSG_DONTWAIT | nix::sys::socket::MsgFlags::MSG_NOSIGNAL,
        );
        nix::errno::Errno::set_raw(errno);
    }

    /// The signal that was received, 0 while there was none. Costs one atomic load.
    #[must_use]
    pub fn signal(&self) -> i32 {
        i32::try_from(self.signal.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Readable once a signal has come (and until [`Cancel::clear`]). Poll it, never read it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Waits until a signal has come. To be called within a tokio runtime; dropping it is fine.
    ///
    /// # Errors
    /// No descriptor is left.
    pub async fn raised(&self) -> Result<()> {
        let failed = |e: std::io::Error| Error::from_io(&e, "wait for a signal");
        let copy = self.wake.try_clone().map_err(failed)?;
        let stream = tokio::net::UnixStream::from_std(std::os::unix::net::UnixStream::from(copy)).map_err(failed)?;
        stream.readable().await.map_err(failed)
    }

    /// Does the work without hearing of a signal that came before, nor of the first one meanwhile: it undoes something. A further
    /// one is heard, so that what hangs can be ended. Afterwards what came is there.
    pub fn once_deaf<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.signal.swap(0, Ordering::Relaxed);
        self.drain();
        self.missed.store(0, Ordering::Relaxed);
        self.deaf.store(1, Ordering::Relaxed);
        let done = work();
        self.deaf.store(0, Ordering::Relaxed);
        let came = [before, self.missed.swap(0, Ordering::Relaxed)].into_iter().find(|signal| *signal != 0);
        if let Some(signal) = came
            && self.signal() == 0
        {
            self.raise(signal);
        }
        done
    }

    /// Forgets the signal: the undo has begun, or the REPL's line is cancelled.
    pub fn clear(&self) {
        self.signal.store(0, Ordering::Relaxed);
        self.drain();
    }

    /// The signal that was received, for who found [`Cancel::fd`] readable: a byte that arrived around a
    /// [`Cancel::clear`] without its signal is taken away, lest whoever polls spin on it. Loses no signal, as long as
    /// all that wait look at [`Cancel::signal`] before they poll: a handler sets the flag first, then writes.
    #[must_use]
    pub fn confirm(&self) -> i32 {
        if self.signal() == 0 {
            self.drain();
        }
        self.signal()
    }

    fn drain(&self) {
        let mut sink = [0u8; 64];
        // Drain without blocking: the descriptor is non-blocking where handlers write to it.
        while nix::sys::socket::recv(self.wake.as_raw_fd(), &mut sink, nix::sys::socket::MsgFlags::MSG_DONTWAIT)
            .is_ok_and(|n| n > 0)
        {}
    }

    /// A flag with what raises it as a handler would, without a signal: signals reach the whole test process.
    #[cfg(test)]
    pub fn for_test() -> (Cancel, impl Fn(i32) + Send + 'static) {
        let cancel = Cancel::quiet().unwrap();
        let raised = cancel.clone();
        let raise = move |signal: i32| raised.raise(usize::try_from(signal).unwrap());
        (cancel, raise)
    }

    /// An error of kind `interrupted` once a signal has come.
    ///
    /// # Errors
    /// When a signal has come.
    pub fn check(&self) -> Result<()> {
        match self.signal() {
            0 => Ok(()),
            signal => Err(interrupted(signal)),
        }
    }
}

/// From now on the calling thread hears none of these signals: the one that waits for programs has to hear them. It hears
/// the terminal's Ctrl-C then before it can see that a program ended of the same key; another thread may hear it when the next
/// line is being typed, which would be lost (`complete_signal` of kernel/signal.c prefers the main thread).
pub fn unheard() {
    let signals: nix::sys::signal::SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    let _ = signals.thread_block();
}

/// Whether the process was started with the signal ignored.
pub(super) fn ignored(signal: i32) -> bool {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action sigaction(2) only fills the old one, which is a local of its type.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) } == 0;
    // SAFETY: filled by the call that succeeded.
    known && unsafe { old.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// The error that whatever waited throws when `signal` came.
#[must_use]
pub fn interrupted(signal: i32) -> Error {
    let name = nix::sys::signal::Signal::try_from(signal).map_or("a signal", nix::sys::signal::Signal::as_str);
    Error::new(Kind::Interrupted, format!("interrupted by {name}"))
}

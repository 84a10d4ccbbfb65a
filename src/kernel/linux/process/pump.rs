//! Reading a program's two output pipes as they fill.

use super::Stream;
use nix::poll::{PollFd, PollFlags};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What is called with each piece of output, as it comes.
pub type Tee<'a> = &'a mut dyn FnMut(Stream, &[u8]);

/// Both pipes, and what has been read.
pub(super) struct Pump<'a> {
    pipes: [Option<File>; 2],
    pub data: [Vec<u8>; 2],
    tee: Option<Tee<'a>>,
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl<'a> Pump<'a> {
    /// Of the reading ends, which are non-blocking.
    pub fn new(pipes: [Option<OwnedFd>; 2], tee: Option<Tee<'a>>) -> Self {
        Pump { pipes: pipes.map(|p| p.map(File::from)), data: [Vec::new(), Vec::new()], tee }
    }

    /// What to poll: the pipes that are still open.
    pub fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.pipes.iter().flatten().map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN))
    }

    /// Which pipes have something to read or have ended, given what poll reported at the end of `fds`.
    pub fn ready(&self, fds: &[PollFd<'_>]) -> [bool; 2] {
        let open = self.pipes.iter().flatten().count();
        let mut reported = fds.iter().skip(fds.len().saturating_sub(open)).map(super::child::ready);
        [0, 1].map(|i| self.pipes[i].is_some() && reported.next().unwrap_or(false))
    }

    /// One read of each pipe that is ready.
    pub fn read(&mut self, ready: [bool; 2]) {
        for (i, ready) in ready.into_iter().enumerate() {
            if ready {
                self.read_some(i, usize::MAX);
            }
        }
    }

    /// Reads once, at most `limit` bytes; how many there were, 0 at the end.
    fn read_some(&mut self, i: usize, limit: usize) -> usize {
        let Some(pipe) = &mut self.pipes[i] else { return 0 };
        let mut buffer = [0u8; 1 << 14];
        let space = limit.min(buffer.len());
        match pipe.read(&mut buffer[..space]) {
            Ok(n) if n > 0 => {
                let bytes = &buffer[..n];
                // Past the limit it is being ended, and may say much yet.
                if self.data[i].len() <= super::KEPT {
                    self.data[i].extend_from_slice(bytes);
                }
                if let Some(tee) = &mut self.tee {
                    tee(STREAMS[i], bytes);
                }
                n
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => 0,
            // The end, or an error that a pipe doesn't have.
            _ => {
                self.pipes[i] = None;
                0
            }
        }
    }

    /// Reads what is in the pipes at this moment and no more: something in the background may write on for ever.
    pub fn finish(&mut self) {
        for i in 0..2 {
            let Some(pipe) = &self.pipes[i] else { continue };
            let mut filled: libc::c_int = 0;
            // SAFETY: FIONREAD stores an int.
            let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut filled) };
            let mut left = if result == 0 { usize::try_from(filled).unwrap_or(0) } else { 0 };
            while left > 0 {
                match self.read_some(i, left) {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
        }
    }
}

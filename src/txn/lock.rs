//! The lock on a journal, by which others see that its run lives: an open file description's own (`F_OFD_SETLK`,
//! fcntl(2)), so that it goes with the process, however that ends. Of these the kernel can be asked without taking one: who
//! only looks is in nobody's way, which no `flock` allows.

use crate::plan::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A file, locked until it is dropped.
#[derive(Debug)]
pub struct Locked(File);

/// The whole of a file.
fn whole(kind: libc::c_int) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "the C library's own constants for these fields")]
    let (kind, whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type: kind, l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 }
}

fn failed(e: Errno) -> Error {
    Error::from_errno(e as i32, "lock a journal")
}

impl Locked {
    /// Locks a file that is open for writing. `None`: somebody else has locked it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn try_new(file: File) -> Result<Option<Locked>> {
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
            Ok(_) => Ok(Some(Locked(file))),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    /// Locks a file that is open for writing, once whoever has locked it lets it go.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(file: File) -> Result<Locked> {
        loop {
            match fcntl(&file, FcntlArg::F_OFD_SETLKW(&whole(libc::F_WRLCK))) {
                Ok(_) => return Ok(Locked(file)),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }

    /// Whether this is the file that is at the path now: it may have been removed or renamed before it was locked.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        match (self.0.metadata(), std::fs::metadata(path)) {
            (Ok(own), Ok(there)) => (own.dev(), own.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

/// Whether somebody has locked the file.
///
/// # Errors
/// The kernel refuses.
pub fn held(file: &File) -> Result<bool> {
    let mut ask = whole(libc::F_RDLCK);
    let unlocked = whole(libc::F_UNLCK).l_type;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut ask)).map_err(failed)?;
    Ok(ask.l_type != unlocked)
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Locked {
    /// A child that was forked a moment ago has the description too, until it runs its program.
    fn drop(&mut self) {
        let _ = fcntl(&self.0, FcntlArg::F_OFD_SETLK(&whole(libc::F_UNLCK)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_in_nobodys_way() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let open = || std::fs::OpenOptions::new().read(true).write(true).open(file.path()).expect("open");
        let looker = File::open(file.path()).expect("open");
        assert!(!held(&looker).expect("asked"));
        let lock = Locked::try_new(open()).expect("locked").expect("free");
        assert!(held(&looker).expect("asked"));
        assert!(Locked::try_new(open()).expect("asked").is_none());
        assert!(lock.is_at(file.path()));
        drop(lock);
        assert!(!held(&looker).expect("asked"));
        let lock = Locked::wait(open()).expect("locked");
        std::fs::remove_file(file.path()).expect("removed");
        assert!(!lock.is_at(file.path()));
    }
}

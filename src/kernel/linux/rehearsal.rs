//! What stands in for the machine while a script is planned (`nsscript plan`): the network namespaces are real ones, in
//! a sandbox, but programs do not run, packets are not sent, and files are kept in memory.

use crate::plan::{Error, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Content and mode of a file.
type File = (Vec<u8>, u32);

/// Where the place-holder of a program in the background comes from: this program, with [`PLACEHOLDER`].
pub const PROGRAM: &str = "/proc/self/exe";
/// The command by which it does nothing until it is ended.
pub const PLACEHOLDER: &str = "placeholder";

/// The state of a rehearsal beside the kernel's.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// What was written (content and mode) and removed (`None`) so far.
    files: RefCell<BTreeMap<PathBuf, Option<File>>>,
}

/// One spelling for a file: its folder without symbolic links, and the file that it is a link to.
fn real(path: &str) -> PathBuf {
    let path = Path::new(path);
    if let Ok(whole) = std::fs::canonicalize(path) {
        return whole;
    }
    match (path.parent().map(std::fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}

fn allowed(path: &Path, access: AccessFlags) -> std::io::Result<()> {
    faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS).map_err(std::io::Error::from)
}

impl Rehearsal {
    /// A file as the script has left it; `None` where the script did nothing to it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Option<File>> {
        self.files.borrow().get(&real(path)).cloned()
    }

    /// Writes a file in memory, where writing the real one would succeed. An existing one keeps its mode.
    ///
    /// # Errors
    /// Those of writing it (`open(2)`): no such folder, not permitted, a folder of that name.
    pub fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let failed = |e: std::io::Error| Error::from_io(&e, format!("write `{path}`")).with_target(path);
        let key = real(path);
        let mut files = self.files.borrow_mut();
        let mode = match files.get(&key) {
            Some(Some((_, mode))) => *mode,
            Some(None) => mode,
            None => match std::fs::metadata(&key) {
                Ok(meta) if meta.is_dir() => return Err(failed(std::io::Error::from_raw_os_error(libc::EISDIR))),
                Ok(meta) => {
                    use std::os::unix::fs::MetadataExt as _;
                    allowed(&key, AccessFlags::W_OK).map_err(failed)?;
                    meta.mode() & 0o7777
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    let folder = key.parent().unwrap_or(Path::new("/"));
                    if !std::fs::metadata(folder).map_err(failed)?.is_dir() {
                        return Err(failed(std::io::Error::from_raw_os_error(libc::ENOTDIR)));
                    }
                    allowed(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(failed)?;
                    mode
                }
                Err(e) => return Err(failed(e)),
            },
        };
        files.insert(key, Some((content.to_vec(), mode)));
        Ok(())
    }

    /// Removes a file in memory, where removing the real one would succeed.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    pub fn remove(&self, path: &str) -> Result<()> {
        let failed = |e: std::io::Error| Error::from_io(&e, format!("remove `{path}`")).with_target(path);
        let key = real(path);
        let mut files = self.files.borrow_mut();
        match files.get(&key) {
            Some(Some(_)) => {}
            Some(None) => return Err(failed(std::io::Error::from_raw_os_error(libc::ENOENT))),
            None => {
                std::fs::symlink_metadata(&key).map_err(failed)?;
                let folder = key.parent().unwrap_or(Path::new("/"));
                allowed(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(failed)?;
            }
        }
        files.insert(key, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Kind;

    #[test]
    fn files_are_written_in_memory_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        std::fs::write(path("old"), "old").expect("written");
        let rehearsal = Rehearsal::default();
        assert_eq!(rehearsal.file(&path("old")), None);
        rehearsal.write(&path("old"), b"new", 0o600).expect("written");
        rehearsal.write(&path("fresh"), b"fresh", 0o600).expect("written");
        assert_eq!(rehearsal.file(&path("old")).flatten().map(|f| f.0), Some(b"new".to_vec()));
        assert_eq!(rehearsal.file(&path("fresh")), Some(Some((b"fresh".to_vec(), 0o600))));
        rehearsal.remove(&path("old")).expect("removed");
        assert_eq!(rehearsal.file(&path("old")), Some(None));
        assert_eq!(rehearsal.remove(&path("old")).map_err(|e| e.kind), Err(Kind::NotFound));
        assert_eq!(rehearsal.write(&path("no/such"), b"", 0).map_err(|e| e.kind), Err(Kind::NotFound));
        assert!(rehearsal.write(&path("."), b"", 0).is_err());
        assert_eq!(std::fs::read_to_string(path("old")).expect("read"), "old");
        assert!(!dir.path().join("fresh").exists());
    }
}

//! The folders below `/run/nsscript`: they come and go while others look, and are removed where they are empty. So each gets its
//! place by one rename, and leaves it by one.
//!
//! `new-MARK` is a journal's folder until its first line is written, `gone-MARK` one that is being removed. What dead runs left
//! of them is removed under the lock of the journal only, or where it is empty: a live run's never is, or is made once more.

use super::lock::Locked;
use crate::plan::{Error, Kind, Result};
use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where everything of nsscript's own is.
pub const ROOT: &str = "/run/nsscript";
/// How often a folder is made again that others removed while it was empty: each time they have to hit the same moment.
const TRIES: usize = 100;

/// The error of a file or folder, with what was tried.
pub(super) fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::from_io(e, format!("{what} `{}`", path.display())).with_op("journal");
    match error.kind {
        Kind::Permission => {
            error.with_hint("run it as root, or with `--sandbox`: a change that can't be journalled is not made")
        }
        Kind::Limit => error.with_hint("make room there: a change that can't be journalled is not made"),
        _ => error,
    }
}

/// Makes a folder that nobody else may look into, with those above it.
fn private(path: &Path) -> std::io::Result<()> {
    let mut made = Ok(());
    for _ in 0..TRIES {
        made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        // Removed in the midst: above it there is nothing now, or there was when it was looked at again.
        if !matches!(&made, Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)) {
            break;
        }
    }
    made
}

/// Gives a folder its place, where there is none yet, or an empty one.
pub(super) fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut placed = Ok(());
    for _ in 0..TRIES {
        if let Some(above) = to.parent() {
            private(above)?;
        }
        placed = std::fs::rename(from, to);
        if !matches!(&placed, Err(e) if e.kind() == ErrorKind::NotFound && from.exists()) {
            break;
        }
    }
    placed
}

/// Whether a folder could not be placed because another one is there.
pub(super) fn occupied(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists)
}

/// Where a run's journal is begun.
pub(super) fn young(mark: &str) -> PathBuf {
    Path::new(ROOT).join(format!("new-{mark}"))
}

/// A new journal in a folder of its own, locked.
pub(super) fn begin(folder: &Path) -> Result<Locked> {
    let path = folder.join("journal");
    for _ in 0..TRIES {
        private(folder).map_err(|e| failed("make", folder, &e))?;
        match OpenOptions::new().append(true).create(true).mode(0o600).open(&path) {
            Ok(file) => {
                // Who clears away what dead runs left may have been faster than the lock.
                let lock = Locked::wait(file)?;
                if lock.is_at(&path) {
                    return Ok(lock);
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed("make", &path, &e)),
        }
    }
    Err(Error::new(Kind::Busy, format!("`{}` is removed as often as it is made", folder.display()))
        .with_hint("end whatever removes it, and try again"))
}

/// Removes a folder whose journal the caller has locked: whoever looks finds it whole, or not at all.
pub(super) fn discard(folder: &Path, mark: &str) -> Result<()> {
    let gone = Path::new(ROOT).join(format!("gone-{mark}"));
    let folder = if std::fs::rename(folder, &gone).is_ok() { gone.as_path() } else { folder };
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", folder, &e)),
        _ => {
            tidy();
            Ok(())
        }
    }
}

/// Removes the folders that stand empty: no lab is left.
pub(super) fn tidy() {
    for part in ["labs", "aside"] {
        let _ = std::fs::remove_dir(Path::new(ROOT).join(part));
    }
    let _ = std::fs::remove_dir(ROOT);
}

/// The folders in one of ours, sorted. A file there is nobody's.
pub(super) fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<PathBuf> = folders.map(|e| e.path()).collect();
    all.sort();
    all
}

/// Removes what dead runs left of folders that they had begun, or were about to remove. One that still keeps a namespace stays:
/// it may be all that holds that.
pub(super) fn sweep() {
    for folder in inside(Path::new(ROOT)) {
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if (name.starts_with("new-") || name.starts_with("gone-")) && !keeps(&folder) {
            clear_away(&folder, name.starts_with("gone-"));
        }
    }
    tidy();
}

/// Whether a namespace is bound in the folder's `keep` or `stead`: a mount has another device than the folder that it is in.
fn keeps(folder: &Path) -> bool {
    let bound = |dir: &Path| {
        let Ok(own) = std::fs::metadata(dir) else { return false };
        let mut files = std::fs::read_dir(dir).into_iter().flatten().flatten();
        files.any(|file| std::fs::metadata(file.path()).is_ok_and(|meta| meta.dev() != own.dev()))
    };
    bound(&folder.join("keep")) || bound(&folder.join("stead"))
}

/// Removes a folder, unless its run lives. `gone`: it was on its way out, so without a journal it is nobody's any more.
fn clear_away(folder: &Path, gone: bool) {
    let path = folder.join("journal");
    let _ = match OpenOptions::new().append(true).open(&path) {
        Ok(file) => match Locked::try_new(file) {
            Ok(Some(lock)) if lock.is_at(&path) => std::fs::remove_dir_all(folder),
            _ => Ok(()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound && gone => std::fs::remove_dir_all(folder),
        // Empty, or it stays.
        Err(_) => std::fs::remove_dir(folder),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_journal_is_locked_from_the_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let (young, home) = (dir.path().join("new-m"), dir.path().join("labs/x"));
        let lock = begin(&young).expect("begun");
        clear_away(&young, false);
        assert!(lock.is_at(&young.join("journal")));
        place(&young, &home).expect("placed");
        assert!(lock.is_at(&home.join("journal")));
        // A lab's place is taken.
        let second = begin(&young).expect("begun");
        assert!(place(&young, &home).is_err_and(|e| occupied(&e)));
        drop(second);
        clear_away(&young, false);
        assert!(!young.exists() && lock.is_at(&home.join("journal")));
    }

    #[test]
    fn who_waits_for_the_lock_of_what_goes_begins_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let young = dir.path().join("new-m");
        // Somebody clears it away in the moment before it is locked.
        let clearing = begin(&young).expect("begun");
        std::thread::scope(|scope| {
            let again = scope.spawn(|| begin(&young).map(|lock| lock.is_at(&young.join("journal"))));
            std::fs::remove_dir_all(&young).expect("removed");
            drop(clearing);
            assert!(again.join().expect("no panic").expect("begun"));
        });
    }
}

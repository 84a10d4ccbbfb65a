//! Files that belong to a lab.

use crate::plan::{Error, Result};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes a file whole. An existing one keeps its inode, owner and mode; a new one gets `mode`, whatever the umask is, and
/// with `folders` those folders that are missing.
pub(super) fn write(path: &str, content: &[u8], mode: u32, folders: bool) -> Result<()> {
    if let Some(folder) = Path::new(path).parent().filter(|_| folders) {
        std::fs::create_dir_all(folder)
            .map_err(|e| Error::from_io(&e, format!("make the folder `{}`", folder.display())).with_target(path))?;
    }
    let failed = |e: std::io::Error| Error::from_io(&e, format!("write `{path}`")).with_target(path);
    let old = std::fs::metadata(path).ok().map(|meta| meta.permissions());
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path).map_err(failed)?;
    let written = file.write_all(content).map_err(failed);
    // Writing takes set-user-ID away (file_remove_privs, fs/inode.c); of somebody else's file it can't be given back.
    match old {
        Some(old) => drop(file.set_permissions(old)),
        None => file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?,
    }
    written
}

/// Whether a file that is made anew would have the same owner and group.
#[must_use]
pub fn own(data: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (data.uid(), data.gid()) == (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// Removes a file, and these folders where they are empty then.
pub(super) fn remove(path: &str, folders: &[String]) -> Result<()> {
    let done = std::fs::remove_file(path);
    for folder in folders {
        let _ = std::fs::remove_dir(folder);
    }
    done.map_err(|e| Error::from_io(&e, format!("remove `{path}`")).with_target(path))
}

/// The folders above a file that are not there, the innermost first.
pub(super) fn missing_folders(path: &str) -> Vec<String> {
    let above = Path::new(path).ancestors().skip(1);
    above.take_while(|p| !p.exists()).map(|p| p.to_string_lossy().into_owned()).collect()
}

//! `/run/netns`: names of namespaces, by the same files and mounts as iproute2 (ip/ipnetns.c), so that `ip netns` and
//! nsscript see each other's work.

use crate::plan::{Error, Kind, Result};
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the names are.
pub const DIR: &str = "/run/netns";
const NONE: Option<&str> = None;

/// The file of a name.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(DIR).join(name)
}

/// Makes the directory a shared mount, so that unbinding a name reaches every mount namespace. iproute2 does the same
/// at its first `ip netns add`.
///
/// # Errors
/// /run can't be written, or mounting is not allowed.
pub fn prepare() -> Result<()> {
    let failed = |e: nix::errno::Errno, what: &str| {
        let error = Error::from_errno(e as i32, format!("{what} `{DIR}`"));
        match e {
            nix::errno::Errno::EACCES | nix::errno::Errno::EPERM | nix::errno::Errno::EROFS => {
                error.with_hint("run it as root, or with `--sandbox`")
            }
            _ => error,
        }
    };
    match std::fs::create_dir(DIR) {
        Ok(()) => {
            use std::os::unix::fs::PermissionsExt as _;
            let _ = std::fs::set_permissions(DIR, std::fs::Permissions::from_mode(0o755));
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => {
            let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            return Err(failed(errno, "make"));
        }
    }
    let share = || mount(NONE, DIR, NONE, MsFlags::MS_SHARED | MsFlags::MS_REC, NONE);
    match share() {
        Ok(()) => Ok(()),
        // Not a mount point yet.
        Err(nix::errno::Errno::EINVAL) => {
            mount(Some(DIR), DIR, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).map_err(|e| failed(e, "mount"))?;
            share().map_err(|e| failed(e, "share"))
        }
        Err(e) => Err(failed(e, "share")),
    }
}

fn taken(name: &str) -> Error {
    Error::new(Kind::Exists, format!("namespace `{name}` exists already"))
        .with_target(name)
        .with_errno(libc::EEXIST)
        .with_hint(format!("choose another name, or delete it first: netns_del({name:?})"))
}

/// Refuses a name that is taken before anything is written down: after a kill, what is bound to a name that was free is known
/// to be the run's.
///
/// # Errors
/// `exists`.
pub fn check_free(name: &str) -> Result<()> {
    if std::fs::symlink_metadata(path(name)).is_ok() { Err(taken(name)) } else { Ok(()) }
}

/// Removes the file of a name that nothing is bound to: a kill between the two calls of [`bind`], or of [`unbind`], leaves it.
pub fn drop_stub(name: &str) {
    let path = path(name);
    if let Ok(file) = open(&path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
        && check(&file, DIR).is_err()
        && std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
    {
        let _ = std::fs::remove_file(&path);
    }
}

/// Binds `name` to the namespace of the nsfs file `source`, such as `/proc/self/fd/7`.
///
/// # Errors
/// `exists`, or what mounting refused; then the name is as free as before.
pub fn bind(name: &str, source: &str) -> Result<()> {
    let path = path(name);
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_CREAT | OFlag::O_EXCL;
    match open(&path, flags, Mode::empty()) {
        Ok(_file) => {}
        Err(nix::errno::Errno::EEXIST) => return Err(taken(name)),
        Err(e) => return Err(Error::from_errno(e as i32, format!("make `{}`", path.display())).with_target(name)),
    }
    mount(Some(source), &path, NONE, MsFlags::MS_BIND, NONE).map_err(|e| {
        let _ = std::fs::remove_file(&path);
        Error::from_errno(e as i32, format!("bind namespace `{name}` to {source}")).with_target(name)
    })
}

/// Unbinds a name and removes its file. The namespace lives on while anything holds it.
///
/// # Errors
/// `not_found`, or what unmounting refused.
pub fn unbind(name: &str) -> Result<()> {
    let path = path(name);
    match umount2(&path, MntFlags::MNT_DETACH) {
        // EINVAL: a file that nothing is mounted on, as an interrupted `ip netns add` leaves it; iproute2 removes it too.
        Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
        Err(nix::errno::Errno::ENOENT) => return Err(unknown(name)),
        Err(e) => return Err(Error::from_errno(e as i32, format!("unbind namespace `{name}`")).with_target(name)),
    }
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::from_io(&e, format!("remove `{}`", path.display())).with_target(name)),
    }
}

/// Keeps the namespace of an nsfs file by a bind mount at `path`, whose directory is made. No other namespace is ever kept at
/// that path.
///
/// # Errors
/// The file can't be made, or mounting is refused.
pub fn hold(source: &str, path: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let what = || format!("keep a namespace at `{}`", path.display());
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| Error::from_io(&e, what()))?;
    }
    // Kept already, by another of its names.
    if std::fs::File::open(path).is_ok_and(|file| check(&file.into(), DIR).is_ok()) {
        return Ok(());
    }
    std::fs::File::create(path).map_err(|e| Error::from_io(&e, what()))?;
    mount(Some(source), path, NONE, MsFlags::MS_BIND, NONE).map_err(|e| Error::from_errno(e as i32, what()))
}

/// Takes away what [`hold`] made.
///
/// # Errors
/// It is in use.
pub fn unhold(path: &std::path::Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
        Err(e) => return Err(Error::from_errno(e as i32, format!("unmount `{}`", path.display()))),
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from_io(&e, format!("remove `{}`", path.display())))
        }
        _ => Ok(()),
    }
}

/// `not_found`, with the nearest name that there is.
#[must_use]
pub fn unknown(name: &str) -> Error {
    let all = list();
    let near = crate::plan::nearest(name, all.iter().map(String::as_str));
    let error = Error::new(Kind::NotFound, format!("there is no namespace `{name}`"))
        .with_target(name)
        .with_errno(libc::ENOENT);
    match (near, all.is_empty()) {
        (Some(near), _) => error.with_hint(format!("did you mean `{near}`?")),
        (None, true) => error.with_hint(format!("there is none at all; make it first: netns_add({name:?})")),
        (None, false) => error.with_hint(format!("make it first: netns_add({name:?})")),
    }
}

/// Opens the namespace behind a name.
///
/// # Errors
/// `not_found`; `invalid` for a file that is no namespace.
pub fn open_name(name: &str) -> Result<OwnedFd> {
    let fd = open(&path(name), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(|e| match e {
        nix::errno::Errno::ENOENT => unknown(name),
        _ => Error::from_errno(e as i32, format!("open `{DIR}/{name}`")).with_target(name),
    })?;
    check(&fd, &format!("{DIR}/{name}")).map(|()| fd)
}

/// That a descriptor is a network namespace's.
///
/// # Errors
/// `invalid`, naming the file.
pub fn check(fd: &OwnedFd, path: &str) -> Result<()> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    // SAFETY: the request takes no argument (ioctl_nsfs(2)).
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    if kind == libc::CLONE_NEWNET {
        return Ok(());
    }
    let hint = if Path::new(path).parent() == Some(Path::new(DIR)) {
        "it is left from an interrupted `ip netns add`; `ip netns del` removes it"
    } else {
        "the file of a network namespace is one in /run/netns, or /proc/PID/ns/net"
    };
    Err(Error::invalid(format!("`{path}` is not a network namespace")).with_target(path).with_hint(hint))
}

/// All names, sorted.
#[must_use]
pub fn list() -> Vec<String> {
    let Ok(dir) = std::fs::read_dir(DIR) else { return Vec::new() };
    let mut names: Vec<String> = dir.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

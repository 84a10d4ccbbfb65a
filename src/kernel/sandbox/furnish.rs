//! What the sandbox is furnished with: mounts, loopback, and what programs expect to find.

use super::ids::parse_map;
use super::refused;
use crate::plan::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What of the old `/run` is not carried into the sandbox's: what nsscript and `ip netns` keep there must not be
/// shared with the host, locks belong to its root, and `user` holds FUSE mounts that nobody else may look at.
const LEFT_OUT: [&str; 5] = ["netns", "nsscript", "lock", "xtables.lock", "user"];

/// Mounts, loopback, and what programs expect to find, in the namespaces that this process is the first of.
pub(super) fn furnish(missing: &mut Vec<String>) -> Result<()> {
    // Slave, not private: what the host unmounts must not live on in here.
    mount(NO, "/", NO, MsFlags::MS_REC | MsFlags::MS_SLAVE, NO)
        .map_err(|e| refused(e as i32, "cut the sandbox's mounts off from the host's"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), quiet, NO).map_err(|e| {
        refused(e as i32, "mount `/proc` in the sandbox").with_hint(
            "the kernel allows it only where nothing covers a part of the old `/proc`, as containers do: ask for an \
             unmasked one (podman: `--security-opt unmask=ALL`, docker: `--security-opt systempaths=unconfined`)",
        )
    })?;
    fresh_run(missing)?;
    SHARES_ETC.store(true, Ordering::Relaxed);
    // The links that the old one shows are the host's. Where that is read-only the new one has to be.
    let fresh_sys = |flags| mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NO);
    if let Err(e) = fresh_sys(quiet).or_else(|_| fresh_sys(quiet | MsFlags::MS_RDONLY)) {
        missing.push(sentence(e, "mount a fresh `/sys` in the sandbox"));
    }
    if let Err(e) = loopback_up() {
        missing.push(sentence(e, "bring `lo` up in the sandbox"));
    }
    allow_ping(missing);
    Ok(())
}

/// No source, file system or data for `mount`.
const NO: Option<&str> = None;

/// For [`Info::missing`].
fn sentence(errno: Errno, what: &str) -> String {
    Error::from_errno(errno as i32, what).to_string()
}

/// Where `ip netns exec` looks for files of a namespace's own.
const ETC: &str = "/etc/netns";
/// We are in a sandbox, which has the host's [`ETC`], or none.
static SHARES_ETC: AtomicBool = AtomicBool::new(false);

/// In a sandbox for namespaces of its own, files of the host's are not for those.
///
/// # Errors
/// The mount is refused.
pub fn hide_etc() -> Result<()> {
    if Path::new(ETC).is_dir() { own_etc(ETC) } else { Ok(()) }
}

/// In a sandbox for a copy of the world, in which nothing is written: its namespaces have the host's files.
pub fn share_etc() {
    SHARES_ETC.store(false, Ordering::Relaxed);
}

/// Before a file is written or removed: in a sandbox the files of namespaces are its own, and go with it.
///
/// # Errors
/// The mounts are refused.
pub(in crate::kernel) fn own_etc(path: &str) -> Result<()> {
    if !Path::new(path).starts_with(ETC) || !SHARES_ETC.load(Ordering::Relaxed) {
        return Ok(());
    }
    let failed = |e: Errno| refused(e as i32, "mount a tmpfs on the sandbox's `/etc`");
    let made = |e: std::io::Error| Error::from_io(&e, format!("make the sandbox's `{ETC}`"));
    if Path::new(ETC).is_dir() {
        empty(ETC).map_err(failed)?;
    } else {
        // The host's can't be written, or is not to be.
        let mut missing = Vec::new();
        carried_over("/etc", &[], &mut missing)?;
        std::fs::create_dir(ETC).map_err(made)?;
    }
    SHARES_ETC.store(false, Ordering::Relaxed);
    Ok(())
}

/// An empty folder in the place of one.
fn empty(path: &str) -> nix::Result<()> {
    mount(Some("nsscript"), path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
}

/// An empty folder in the place of `path`, with the old one's entries bound back but for those left out.
fn carried_over(path: &str, left_out: &[&str], missing: &mut Vec<String>) -> Result<()> {
    let failed = |e: Errno| refused(e as i32, &format!("mount a tmpfs on the sandbox's `{path}`"));
    let old = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
    let names: Vec<OsString> = std::fs::read_dir(path)
        .map_err(|e| Error::from_io(&e, format!("read `{path}`")))?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| !left_out.iter().any(|left| name == left))
        .collect();
    empty(path).map_err(failed)?;
    for name in names {
        let target = Path::new(path).join(&name);
        if let Err(e) = carry_over(&old, &name, &target) {
            missing.push(sentence(e, &format!("bind `{}` into the sandbox", target.display())));
        }
    }
    Ok(())
}

/// An empty `/run`, with the old one's entries bound back but for [`LEFT_OUT`].
fn fresh_run(missing: &mut Vec<String>) -> Result<()> {
    carried_over("/run", &LEFT_OUT, missing)?;
    let lock = std::fs::create_dir("/run/lock").map_err(|e| Error::from_io(&e, "make the sandbox's `/run/lock`"));
    if let Err(e) = lock {
        missing.push(e.to_string());
    }
    // Locks are anybody's; not in `mkdir`, where the umask would have a say.
    let _ = fchmodat(nix::fcntl::AT_FDCWD, "/run/lock", Mode::from_bits_truncate(0o1777), FchmodatFlags::FollowSymlink);
    // `/var/run` is a symlink to `/run` nearly everywhere; where it is a directory both are to be the same.
    let run = std::fs::canonicalize("/run").unwrap_or_else(|_| PathBuf::from("/run"));
    if std::fs::canonicalize("/var/run").is_ok_and(|var| var != run) {
        let bound = mount(Some("/run"), "/var/run", NO, MsFlags::MS_BIND | MsFlags::MS_REC, NO);
        if let Err(e) = bound {
            missing.push(sentence(e, "bind `/run` over `/var/run` in the sandbox"));
        }
    }
    Ok(())
}

/// Makes the entry `name` of the `old` folder in the new one.
fn carry_over(old: &OwnedFd, name: &OsStr, target: &Path) -> nix::Result<()> {
    let source = openat(old, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let kind = SFlag::from_bits_truncate(fstat(&source)?.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFLNK {
        return std::os::unix::fs::symlink(readlinkat(old, name)?, target).map_err(errno);
    }
    if kind == SFlag::S_IFDIR {
        std::fs::create_dir(target).map_err(errno)?;
    } else {
        // Sockets and pipes too: anything but a directory may be bound over a file.
        File::create(target).map_err(errno)?;
    }
    // The path is covered by now; the descriptor still leads there. Recursively, since the mounts below are locked
    // together in a user namespace (`mount_namespaces(7)`).
    let through = format!("/proc/self/fd/{}", source.as_raw_fd());
    let bound = mount(Some(through.as_str()), target, NO, MsFlags::MS_BIND | MsFlags::MS_REC, NO);
    if bound.is_err() {
        // An empty one in its place would only mislead.
        let _ = if kind == SFlag::S_IFDIR { std::fs::remove_dir(target) } else { std::fs::remove_file(target) };
    }
    bound
}

/// Sets IFF_UP on `lo` (`netdevice(7)`): programs expect loopback, and the kernel then adds 127.0.0.1 and ::1.
fn loopback_up() -> nix::Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeroes is a valid `ifreq`: numbers, and a union of numbers and a pointer that is not followed.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: both requests take a pointer to an `ifreq`, and it outlives the calls.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) })?;
    // SAFETY: the request before has filled in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
    // SAFETY: as above.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) }).map(drop)
}

/// Lets the groups that exist in here open ICMP datagram sockets (`icmp(7)`), as far as one range can say it: both
/// ends must be mapped, and in order outside as well.
fn allow_ping(missing: &mut Vec<String>) {
    let path = "/proc/sys/net/ipv4/ping_group_range";
    let groups = parse_map(&std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default());
    let count = groups.iter().find(|(inside, _, _)| *inside == 0).map_or(1, |(_, _, count)| *count);
    // The largest that the kernel takes (ip_ping_group_range_max).
    let last = count.saturating_sub(1).min(u32::MAX >> 1);
    if let Err(e) = std::fs::write(path, format!("0 {last}")) {
        missing.push(Error::from_io(&e, format!("write `{path}` in the sandbox")).to_string());
    }
}

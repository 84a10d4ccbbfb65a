//! What stands in for the machine while a script is planned (`nsscript plan`): the network namespaces are real ones, in
//! a sandbox, but programs do not run, packets are not sent, and files are kept in memory.

use super::Linux;
use super::world::{Rebuilt, World};
use crate::kernel::{By, Kernel as _};
use crate::plan::{Error, LinkInfo, LinkRef, Ns, Result};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
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
    /// Sysctls (by cookie and key) that can't be written in a sandbox.
    sysctls: RefCell<BTreeMap<(u64, String), String>>,
    /// The links that others stand in for, by the ifindex of the stand-in's other end.
    stand_ins: RefCell<HashMap<u32, LinkInfo>>,
    /// Whether other ends of links are not copied.
    open_ended: Cell<bool>,
    /// What was simulated since it was last asked.
    notes: RefCell<Vec<String>>,
    /// The world outside, and its namespaces in here.
    copied: RefCell<Copied>,
}

#[derive(Debug, Default)]
struct Copied {
    /// The sysctls of each namespace that can be written outside; of all others those of a fresh one.
    writable: HashMap<u64, std::collections::BTreeSet<String>>,
    fresh: BTreeMap<String, (String, bool)>,
    processes: BTreeMap<i32, Ns>,
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

impl Linux {
    /// Whether a link is one in a plan that stands in for a device.
    pub(super) fn stands_for_device(&self, ns: &Ns, link: &LinkRef) -> Result<bool> {
        let Some(rehearsal) = self.rehearsal() else { return Ok(false) };
        Ok(self.link(ns, By::Index(link.index))?.is_some_and(|info| rehearsal.is_device(&info)))
    }
}

impl Rehearsal {
    /// Remembers of the world outside what the copy itself can't show.
    pub fn remember(&self, world: World, rebuilt: &Rebuilt) {
        let spaces = &rebuilt.spaces;
        let processes = world.processes.iter().filter_map(|(pid, at)| Some((*pid, spaces.get(*at)?.clone()))).collect();
        let writable = spaces.iter().zip(world.spaces).map(|(ns, captured)| (ns.cookie, captured.writable)).collect();
        self.copied.replace(Copied { writable, fresh: world.fresh, processes });
    }

    /// The namespace of a process of the world outside, as it is in here.
    #[must_use]
    pub fn outside(&self, pid: i32) -> Option<Ns> {
        // Processes in here have numbers of their own, and come first.
        if Path::new("/proc").join(pid.to_string()).exists() {
            return None;
        }
        self.copied.borrow().processes.get(&pid).cloned()
    }

    /// The processes of the world outside that are in a namespace.
    #[must_use]
    pub fn pids(&self, ns: &Ns) -> Vec<i32> {
        let copied = self.copied.borrow();
        copied.processes.iter().filter(|(_, at)| at.cookie == ns.cookie).map(|(pid, _)| *pid).collect()
    }

    /// What was simulated since it was last asked.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.borrow_mut())
    }

    /// Keeps a sysctl in mind that can't be copied.
    pub fn keep_sysctl(&self, cookie: u64, key: &str, value: &str) {
        self.sysctls.borrow_mut().insert((cookie, key.into()), value.into());
    }

    /// A sysctl that is kept in mind.
    #[must_use]
    pub fn sysctl(&self, cookie: u64, key: &str) -> Option<String> {
        self.sysctls.borrow().get(&(cookie, key.to_string())).cloned()
    }

    /// A sysctl that a sandbox does not show, and a namespace outside would.
    #[must_use]
    pub fn unseen_sysctl(&self, cookie: u64, key: &str) -> Option<String> {
        let copied = self.copied.borrow();
        if copied.writable.contains_key(&cookie) {
            return None;
        }
        copied.fresh.get(key).map(|(value, _)| value.clone())
    }

    /// The keys below `prefix` that are kept in mind.
    #[must_use]
    pub fn sysctl_keys(&self, cookie: u64, prefix: &str) -> Vec<String> {
        let all = self.sysctls.borrow();
        let below = |key: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        all.keys().filter(|(c, key)| *c == cookie && below(key)).map(|(_, key)| key.clone()).collect()
    }

    /// Takes a sysctl for written that the sandbox refuses; false where a run could not write it either.
    pub fn write_sysctl(&self, cookie: u64, key: &str, value: &str) -> bool {
        let may = {
            let copied = self.copied.borrow();
            match copied.writable.get(&cookie) {
                Some(writable) => writable.contains(key),
                None => copied.fresh.get(key).is_some_and(|(_, writable)| *writable),
            }
        };
        if may {
            self.keep_sysctl(cookie, key, value);
            self.notes.borrow_mut().push(format!("the kernel takes this value of {}", key.replace('/', ".")));
        }
        may
    }

    /// Remembers the link that another stands in for whose other end has this ifindex.
    pub fn stand_in(&self, other_end: u32, info: LinkInfo) {
        self.stand_ins.borrow_mut().insert(other_end, info);
        self.leave_open();
    }

    /// Whether there are links whose other ends are not copied.
    #[must_use]
    pub fn open_ended(&self) -> bool {
        self.open_ended.get()
    }

    /// From now on there are.
    pub fn leave_open(&self) {
        self.open_ended.set(true);
    }

    /// Whether a link only stands in for one that can't be deleted.
    #[must_use]
    pub fn is_device(&self, info: &LinkInfo) -> bool {
        info.link_netnsid.is_none() && info.state.kind.is_empty()
    }

    /// Shows a stand-in as the link that it stands in for.
    pub fn mask(&self, info: &mut LinkInfo) {
        if info.state.kind != "veth" || info.state.lower < super::world::OTHER_ENDS {
            return;
        }
        let all = self.stand_ins.borrow();
        let Some(original) = all.get(&info.state.lower) else { return };
        let (state, was) = (&mut info.state, &original.state);
        if was.mac.len() != 6 {
            state.mac.clone_from(&was.mac);
            state.broadcast.clone_from(&was.broadcast);
        }
        if was.mtu > state.mtu && state.mtu == super::world::ETH_MAX_MTU {
            state.mtu = was.mtu;
        }
        state.kind.clone_from(&was.kind);
        state.lower = was.lower;
        state.options.clone_from(&was.options);
        (state.tx_queues, state.rx_queues) = (was.tx_queues, was.rx_queues);
        // What of the flags nobody sets: broadcast, point to point.
        const BORN: u32 = crate::plan::link::IFF_BROADCAST | crate::plan::link::IFF_POINTOPOINT;
        info.flags = info.flags & !BORN | original.flags & BORN;
        info.arphrd = original.arphrd;
        info.link_netnsid = original.link_netnsid;
        info.qdisc.clone_from(&original.qdisc);
        (info.min_mtu, info.max_mtu) = (original.min_mtu, original.max_mtu);
        info.permaddr.clone_from(&original.permaddr);
        info.data.clone_from(&original.data);
    }

    /// A file as the script has left it; `None` where the script did nothing to it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Option<File>> {
        self.files.borrow().get(&real(path)).cloned()
    }

    /// Writes a file in memory, where writing the real one would succeed (with `folders` also where those above it are missing).
    /// An existing one keeps its mode.
    ///
    /// # Errors
    /// Those of writing it (`open(2)`): no such folder, not permitted, a folder of that name.
    pub fn write(&self, path: &str, content: &[u8], mode: u32, folders: bool) -> Result<()> {
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
                    let mut folder = key.parent().unwrap_or(Path::new("/"));
                    // Those that are missing are made.
                    while folders && !folder.exists() {
                        folder = folder.parent().unwrap_or(Path::new("/"));
                    }
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
        rehearsal.write(&path("old"), b"new", 0o600, false).expect("written");
        rehearsal.write(&path("fresh"), b"fresh", 0o600, false).expect("written");
        assert_eq!(rehearsal.file(&path("old")).flatten().map(|f| f.0), Some(b"new".to_vec()));
        assert_eq!(rehearsal.file(&path("fresh")), Some(Some((b"fresh".to_vec(), 0o600))));
        rehearsal.remove(&path("old")).expect("removed");
        assert_eq!(rehearsal.file(&path("old")), Some(None));
        assert_eq!(rehearsal.remove(&path("old")).map_err(|e| e.kind), Err(Kind::NotFound));
        assert_eq!(rehearsal.write(&path("no/such"), b"", 0, false).map_err(|e| e.kind), Err(Kind::NotFound));
        rehearsal.write(&path("no/such"), b"", 0, true).expect("the folder would be made");
        assert!(rehearsal.write(&path("."), b"", 0, false).is_err());
        assert_eq!(std::fs::read_to_string(path("old")).expect("read"), "old");
        assert!(!dir.path().join("fresh").exists());
    }
}

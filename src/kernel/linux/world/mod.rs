//! A copy of the world for a plan: everything that can be read of the network namespaces ([`World::capture`]), and the
//! same made again from nothing in a sandbox ([`rebuild`]).

mod rebuild;

pub(super) use rebuild::{ETH_MAX_MTU, OTHER_ENDS, OTHER_ENDS_NSID};
pub use rebuild::{Rebuilt, rebuild};

use super::space;
use super::{Linux, names};
use crate::kernel::Kernel;
use crate::plan::{Error, Kind, LinkInfo, Ns, Result, State};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A sysctl's value, and whether it can be written.
pub type Sysctl = (String, bool);

/// The world as it was found.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The host's namespace first, then those with a name, then those that only a process or a file holds.
    pub spaces: Vec<Captured>,
    /// Names of `/run/netns` by the namespace (its place in `spaces`); `None`: a file that no namespace is bound to.
    pub names: BTreeMap<String, Option<usize>>,
    /// The namespace of each process, as far as it may be known.
    pub processes: BTreeMap<i32, usize>,
    /// The sysctls below `net` of a namespace that was just made.
    pub fresh: BTreeMap<String, Sysctl>,
    /// What could not be read.
    pub missing: Vec<String>,
}

/// One namespace.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// As messages name it.
    pub ns: Ns,
    /// With every sysctl below `net`.
    pub state: State,
    /// Which of them can be written.
    pub writable: BTreeSet<String>,
    pub infos: BTreeMap<u32, LinkInfo>,
    /// The nsids that it has given, and the namespace of each (its place in `spaces`), where that could be found.
    pub nsids: BTreeMap<i32, Option<usize>>,
    /// The ruleset of nf_tables, in nft's language; empty where there is none.
    pub ruleset: String,
    /// Why it could not be read.
    pub unread: Option<String>,
}

impl World {
    /// Whether a script sees the namespace: by its name, or as the host's. Of others only what is linked to those matters.
    #[must_use]
    pub fn in_sight(&self, at: usize) -> bool {
        at == 0 || self.names.values().any(|name| *name == Some(at))
    }

    /// Reads everything. `kept`: files that hold namespaces, such as those of the journals, with their cookies. No thread
    /// and no descriptor is left afterwards.
    ///
    /// # Errors
    /// The host's own namespace can't be read; of others it is said in `missing`.
    pub fn capture(kept: &[(u64, PathBuf)]) -> Result<World> {
        let linux = Linux::new()?;
        let mut world = World::default();
        let mut found: Vec<Ns> = vec![linux.host()];
        let mut by_cookie: HashMap<u64, usize> = [(linux.host().cookie, 0)].into();
        let mut place = |ns: Ns, found: &mut Vec<Ns>| match by_cookie.get(&ns.cookie) {
            Some(at) => *at,
            None => {
                by_cookie.insert(ns.cookie, found.len());
                found.push(ns);
                found.len() - 1
            }
        };
        for name in names::list() {
            match linux.find_ns(&name) {
                Ok(ns) => {
                    world.names.insert(name, Some(place(ns, &mut found)));
                }
                Err(error) if error.kind == Kind::Invalid => {
                    world.names.insert(name, None);
                }
                Err(error) => world.missing.push(error.to_string()),
            }
        }
        for (cookie, path) in kept {
            let ns = Ns { cookie: *cookie, name: format!("kept as {}", path.display()) };
            match linux.reopen(&ns, Some(path)) {
                Ok(true) => drop(place(ns, &mut found)),
                Ok(false) => {}
                Err(error) => world.missing.push(error.to_string()),
            }
        }
        let mut by_inode: HashMap<(u64, u64), usize> = HashMap::new();
        for (at, ns) in found.iter().enumerate() {
            by_inode.insert(linux.inode(ns)?, at);
        }
        for pid in processes() {
            let file = PathBuf::from(format!("/proc/{pid}/ns/net"));
            // Of others' processes it may not be known, and those that end meanwhile are not there.
            let Ok(meta) = std::fs::metadata(&file) else { continue };
            let at = match by_inode.get(&(meta.dev(), meta.ino())) {
                Some(at) => *at,
                None => {
                    let Ok(ns) = linux.open_file(&file, &format!("of process {pid}")) else { continue };
                    let at = place(ns, &mut found);
                    by_inode.insert((meta.dev(), meta.ino()), at);
                    at
                }
            };
            world.processes.insert(pid, at);
        }
        for ns in &found {
            match captured(&linux, ns) {
                Ok(captured) => world.spaces.push(captured),
                Err(error) if ns.is_host() => return Err(error),
                Err(error) => {
                    if world.in_sight(world.spaces.len()) {
                        world.missing.push(error.to_string());
                    }
                    world.spaces.push(Captured { ns: ns.clone(), ..Captured::default() });
                }
            }
        }
        for (at, ns) in found.iter().enumerate() {
            let Some(here) = world.spaces.get_mut(at) else { continue };
            let mut open = here.nsids.len();
            for (to, target) in found.iter().enumerate() {
                if open == 0 {
                    break;
                }
                if let Some(id) = linux.nsid(ns, target)?
                    && let Some(slot) = here.nsids.get_mut(&id)
                {
                    *slot = Some(to);
                    open -= 1;
                }
            }
        }
        let template = linux.enterer().run(space::make)?;
        world.fresh = linux.enterer().enter(&template.fd, sysctls)?;
        Ok(world)
    }
}

fn captured(linux: &Linux, ns: &Ns) -> Result<Captured> {
    let infos: BTreeMap<u32, LinkInfo> = linux.links(ns, false)?.into_iter().map(|l| (l.state.index, l)).collect();
    let mut state = linux.state(ns, &[])?;
    let all = linux.inside(ns, sysctls)?;
    let writable = all.iter().filter(|(_, (_, writable))| *writable).map(|(key, _)| key.clone()).collect();
    state.sysctls = all.into_iter().map(|(key, (value, _))| (key, value)).collect();
    let nsids = linux.nsids(ns)?.into_iter().map(|id| (id, None)).collect();
    let (ruleset, unread) = match linux.nft(ns, &["list", "ruleset"], "") {
        Ok(text) => (text, None),
        Err(error) => (String::new(), Some(error.message)),
    };
    Ok(Captured { ns: ns.clone(), state, writable, infos, nsids, ruleset, unread })
}

/// Every sysctl below `net` of the calling thread's namespace that can be read.
pub(super) fn sysctls() -> Result<BTreeMap<String, Sysctl>> {
    let root = Path::new("/proc/sys");
    let mut out = BTreeMap::new();
    let mut todo = vec![root.join("net")];
    while let Some(folder) = todo.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A device that has just gone.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::from_io(&e, format!("read `{}`", folder.display()))),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                todo.push(path);
                continue;
            }
            let Ok(key) = path.strip_prefix(root).map(|p| p.to_string_lossy().into_owned()) else { continue };
            // Counts of the moment, and what does something when it is written or read.
            if key.ends_with("_count") || key.ends_with("/flush") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let writable = entry.metadata().is_ok_and(|m| m.mode() & 0o200 != 0);
            out.insert(key, (text.trim_end_matches('\n').to_string(), writable));
        }
    }
    Ok(out)
}

fn processes() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Waits until this process has a single thread again: one that was joined is in the kernel's list a moment longer.
pub fn wait_single() {
    let alone = || std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count) <= 1;
    for _ in 0..2000 {
        if alone() {
            return;
        }
        // There is no event for it, and it takes microseconds.
        let _ = nix::poll::poll(&mut [], 1u8);
    }
}

//! What `/proc` says of processes (`proc(5)`). Everything tolerates processes that vanish while they are read.

use crate::plan::{Error, Kind, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What identifies a process for as long as the machine runs: a pid alone is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_time: u64,
}

/// The fields of `/proc/PID/stat` that are needed here.
#[derive(Clone, Debug)]
pub(super) struct Stat {
    pub name: String,
    /// The first thread has ended.
    pub zombie: bool,
    pub parent: i32,
    pub start_time: u64,
}

/// Reads `/proc/PID/stat`; `None` when there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name (field 2) may hold spaces and parentheses: the last `)` ends it.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let name = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    // The first word here is field 3, the state.
    let mut fields = rest.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(Stat { name, zombie, parent, start_time })
}

/// When the process began: field 22 of `/proc/PID/stat`, in clock ticks (`sysconf(_SC_CLK_TCK)`, 100 a second)
/// since boot. With the pid it identifies a process. `None` when there is no such process (a zombie still has it).
#[must_use]
pub fn process_start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|s| s.start_time)
}

/// Whether the process that began then still runs: one that has ended and was not waited for yet (a zombie) does not.
#[must_use]
pub fn lives(pid: i32, start_time: u64) -> bool {
    stat(pid).is_some_and(|s| s.start_time == start_time && !s.zombie)
}

pub(super) fn id(pid: i32) -> Option<Id> {
    process_start_time(pid).map(|start_time| Id { pid, start_time })
}

/// The numbers among a folder's entries: the processes of `/proc`, the threads of `/proc/PID/task`.
fn numbers(folder: &str) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Every process that `/proc` shows, zombies too.
pub(super) fn pids() -> Vec<i32> {
    numbers("/proc")
}

/// Whether the kernel has `/proc/PID/task/TID/children` (`CONFIG_PROC_CHILDREN`).
fn has_children_files() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| std::path::Path::new("/proc/thread-self/children").exists())
}

/// The children of a process (of all its threads), zombies too. The kernel may leave out some while others are
/// ending, so who must see all of them looks again.
pub(super) fn children(pid: i32) -> Vec<i32> {
    if !has_children_files() {
        return pids().into_iter().filter(|p| stat(*p).is_some_and(|s| s.parent == pid)).collect();
    }
    let mut found = Vec::new();
    for thread in numbers(&format!("/proc/{pid}/task")) {
        if let Ok(list) = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")) {
            found.extend(list.split_ascii_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        }
    }
    found
}

/// `roots` and everything below them.
pub(super) fn with_descendants(roots: impl IntoIterator<Item = i32>) -> BTreeSet<i32> {
    let mut todo: Vec<i32> = roots.into_iter().collect();
    let mut all = BTreeSet::new();
    while let Some(pid) = todo.pop() {
        if all.insert(pid) {
            todo.extend(children(pid));
        }
    }
    all
}

/// The environment that a process was started with, as far as it has not overwritten it (servers that set their
/// title do). Empty where it can't be read, and for zombies.
fn environ(pid: i32) -> Vec<u8> {
    match std::fs::read(format!("/proc/{pid}/environ")) {
        Ok(bytes) if !bytes.is_empty() => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Vec::new(),
        // The first thread may have ended while others live; only they show the memory then.
        _ => numbers(&format!("/proc/{pid}/task"))
            .into_iter()
            .filter_map(|t| std::fs::read(format!("/proc/{pid}/task/{t}/environ")).ok())
            .find(|bytes| !bytes.is_empty())
            .unwrap_or_default(),
    }
}

/// The values of some variables in the process's environment, in the order asked for.
pub(super) fn variables<const N: usize>(pid: i32, names: [&str; N]) -> [Option<String>; N] {
    let environ = environ(pid);
    names.map(|name| {
        environ.split(|b| *b == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
        })
    })
}

/// The inode of the process's mount namespace.
pub(super) fn mount_namespace(pid: i32) -> Option<u64> {
    numbers(&format!("/proc/{pid}/task"))
        .into_iter()
        .find_map(|t| std::fs::metadata(format!("/proc/{pid}/task/{t}/ns/mnt")).ok())
        .map(|m| m.ino())
}

/// The processes of which any thread is in the network namespace with this device and inode number (of its nsfs
/// file), ascending; ourselves too if one of our threads is. A process that holds no more than a socket or a file
/// descriptor of the namespace isn't found.
#[must_use]
pub fn pids_in_netns(dev: u64, inode: u64) -> Vec<i32> {
    pids_in_any_netns(&[(dev, inode)])
}

/// Whether a thread is one by which nsscript looks into namespaces.
fn visits(pid: i32, thread: i32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/comm"));
    name.is_ok_and(|name| name.trim_end() == super::super::space::VISITOR)
}

/// [`pids_in_netns`] of several at once: one look at /proc, however many they are.
#[must_use]
pub fn pids_in_any_netns(files: &[(u64, u64)]) -> Vec<i32> {
    let files: BTreeSet<(u64, u64)> = files.iter().copied().collect();
    let inside = |path: PathBuf| std::fs::metadata(path).is_ok_and(|m| files.contains(&(m.dev(), m.ino())));
    let mut found: Vec<i32> = pids()
        .into_iter()
        .filter(|pid| {
            inside(format!("/proc/{pid}/ns/net").into())
                || numbers(&format!("/proc/{pid}/task"))
                    .into_iter()
                    .any(|t| t != *pid && inside(format!("/proc/{pid}/task/{t}/ns/net").into()) && !visits(*pid, t))
        })
        .collect();
    found.sort_unstable();
    found
}

/// The processes whose environment carries this run's mark (`NSSCRIPT_RUN=mark`), ascending, without ourselves.
/// One that overwrote or cleared its environment isn't found, nor one that we may not look into.
#[must_use]
pub fn marked(mark: &str) -> Vec<i32> {
    let own = own_pid();
    let mut found: Vec<i32> = pids()
        .into_iter()
        .filter(|pid| *pid != own && variables(*pid, [super::MARK])[0].as_deref() == Some(mark))
        .collect();
    found.sort_unstable();
    found
}

/// Whether anything carries the tag of a program that was started (`NSSCRIPT_PROC=tag`).
#[must_use]
pub fn tagged(tag: &str) -> bool {
    let own = own_pid();
    let carries = |pid: i32| variables(pid, [super::TAG])[0].as_deref() == Some(tag);
    !tag.is_empty() && pids().into_iter().any(|pid| pid != own && carries(pid) && !stat(pid).is_some_and(|s| s.zombie))
}

pub(super) fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Refuses to go by a `/proc` that shows another pid namespace: its numbers would name strangers to us.
///
/// # Errors
/// `/proc` is missing or another namespace's.
pub(super) fn check_proc() -> Result<()> {
    let shown = std::fs::read_link("/proc/self").ok().and_then(|l| l.to_str()?.parse::<i32>().ok());
    if shown == Some(own_pid()) {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, "/proc does not show this process's own pid namespace")
        .with_target("/proc")
        .with_hint("mount it after entering the pid namespace, as `unshare --pid --fork --mount-proc` does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let text = b"42 (a) S 7 (b)) R 41 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.name.as_str(), stat.parent, stat.start_time), ("a) S 7 (b)", 41, 987_654));
        assert!(parse_stat(b"").is_none());
        assert!(parse_stat(b"1 )(").is_none());
    }

    #[test]
    fn we_are_among_the_processes() {
        check_proc().unwrap();
        assert!(pids().contains(&own_pid()));
        assert!(process_start_time(own_pid()).unwrap() > 0);
        assert_eq!(process_start_time(-1), None);
    }
}

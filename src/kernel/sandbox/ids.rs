//! The ids of the sandbox: whose number outside is which inside, by `newuidmap(1)` or by root (`user_namespaces(7)`).

use super::{capabilities, refused};
use crate::plan::{Error, Result};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// `CAP_SETGID` and `CAP_SETUID`: what mapping ids other than one's own asks for.
const CAP_SETIDS: u64 = 1 << 6 | 1 << 7;

/// The process that stays in the old user namespace and maps ids into the new one.
pub(super) struct Mapper {
    pid: Pid,
    /// Written to once the namespace is there; closed without, it sends the mapper home.
    go: Option<std::os::unix::net::UnixStream>,
}

impl Mapper {
    pub(super) fn start() -> Result<Mapper> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(|e| Error::from_io(&e, "sandbox: socket pair"))?;
        let target = std::process::id();
        // SAFETY: as in `make`, there is one thread.
        match unsafe { fork() }.map_err(|e| Error::from_errno(e as i32, "sandbox: fork"))? {
            ForkResult::Parent { child } => Ok(Mapper { pid: child, go: Some(ours) }),
            ForkResult::Child => {
                drop(ours);
                Mapper::work(theirs, target);
                // SAFETY: ends this process without running what the caller has registered for its own end.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The mapper's whole life.
    fn work(mut channel: std::os::unix::net::UnixStream, target: u32) {
        let mut go = [0u8];
        if channel.read_exact(&mut go).is_ok() {
            let answer = serde_json::to_vec(&map_ids(target)).unwrap_or_default();
            // If nobody reads it, the caller is gone, and its namespace with it.
            let _ = channel.write_all(&answer);
        }
    }

    /// Has the ids of this process mapped, once it is in its new user namespace; returns what was missing.
    pub(super) fn map(mut self) -> Result<Vec<String>> {
        let lost = |e: &std::io::Error| Error::from_io(e, "sandbox: the process that maps ids");
        let mut channel = self.go.take().ok_or_else(|| Error::internal("sandbox: ids mapped twice"))?;
        channel.write_all(b"g").map_err(|e| lost(&e))?;
        let mut answer = Vec::new();
        channel.read_to_end(&mut answer).map_err(|e| lost(&e))?;
        let answer: Result<Mapped> = serde_json::from_slice(&answer)
            .map_err(|e| Error::internal(format!("sandbox: the process that maps ids: {e}")))?;
        answer.map(|mapped| mapped.missing)
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        self.go = None;
        let _ = waitpid(self.pid, None);
    }
}

/// The mapper's answer.
#[derive(Serialize, Deserialize)]
struct Mapped {
    missing: Vec<String>,
}

/// Runs of ids `(inside, outside, count)`, as a line of `uid_map` (`user_namespaces(7)`).
type Runs = Vec<(u32, u32, u32)>;

/// Writes the maps of `target`, a process of ours in a child user namespace.
fn map_ids(target: u32) -> Result<Mapped> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let mut missing = Vec::new();
    if uid == 0 && capabilities() & CAP_SETIDS == CAP_SETIDS {
        // Everything as it is here, so that what drops its privileges finds its user.
        write_map(target, "uid_map", &identity("/proc/self/uid_map")?)?;
        write_map(target, "gid_map", &identity("/proc/self/gid_map")?)?;
        return Ok(Mapped { missing });
    }
    let (uids, gids) = match subordinate(uid, gid) {
        Some((uids, gids)) => (
            map_by_program(target, "newuidmap", &uids).map_err(|e| missing.push(e)).is_ok(),
            map_by_program(target, "newgidmap", &gids).map_err(|e| missing.push(e)).is_ok(),
        ),
        None => (false, false),
    };
    if !uids {
        write_map(target, "uid_map", &vec![(0, uid, 1)])?;
    }
    if !gids {
        deny_setgroups(target)?;
        write_map(target, "gid_map", &vec![(0, gid, 1)])?;
    }
    Ok(Mapped { missing })
}

/// Everything that this user namespace has, each id as itself.
fn identity(path: &str) -> Result<Runs> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::from_io(&e, format!("read `{path}`")))?;
    // Run by run, not merged: each must lie within one run of the parent's map.
    Ok(parse_map(&text).into_iter().map(|(inside, _, count)| (inside, inside, count)).collect())
}

pub(super) fn parse_map(text: &str) -> Runs {
    let mut runs = Runs::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::parse);
        if let (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count))) = (words.next(), words.next(), words.next()) {
            runs.push((inside, outside, count));
        }
    }
    runs
}

/// How many ids a map of this process has.
pub(super) fn mapped(path: &str) -> u32 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    parse_map(&text).iter().fold(0, |sum: u32, (_, _, count)| sum.saturating_add(*count))
}

fn write_map(target: u32, file: &str, runs: &Runs) -> Result<()> {
    let path = format!("/proc/{target}/{file}");
    let text: String = runs.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect();
    std::fs::write(&path, text).map_err(|e| {
        let what = format!("map ids into the sandbox (`{file}`)");
        // Mapping root takes CAP_SETFCAP since Linux 5.12 (verify_root_map in kernel/user_namespace.c).
        if e.raw_os_error() == Some(libc::EPERM) && geteuid().is_root() && capabilities() & (1 << 31) == 0 {
            return Error::from_io(&e, what).with_hint("root needs CAP_SETFCAP for it: have the container keep that");
        }
        refused(e.raw_os_error().unwrap_or(libc::EIO), &what)
    })
}

/// Without CAP_SETGID a map of groups is only taken once `setgroups(2)` is off: else one could drop a group that
/// denies access (CVE-2014-8989).
fn deny_setgroups(target: u32) -> Result<()> {
    match std::fs::write(format!("/proc/{target}/setgroups"), "deny") {
        // Linux before 3.19 has no such file and asks for nothing.
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(refused(e.raw_os_error().unwrap_or(libc::EIO), "switch `setgroups` off in the sandbox"))
        }
        _ => Ok(()),
    }
}

/// The maps that `/etc/subuid` and `/etc/subgid` allow this user (`subuid(5)`), if both have something.
fn subordinate(uid: u32, gid: u32) -> Option<(Runs, Runs)> {
    let name = nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let read = |path: &str, own: u32| {
        let runs = subordinate_runs(&std::fs::read_to_string(path).ok()?, name.as_deref(), uid, own);
        (runs.len() > 1).then_some(runs)
    };
    // The lines of /etc/subgid too are those of a user, not of a group.
    Some((read("/etc/subuid", uid)?, read("/etc/subgid", gid)?))
}

/// The map of `own` to 0, then what `text` (`NAME-OR-UID:START:COUNT` lines) gives the user, one after another.
fn subordinate_runs(text: &str, name: Option<&str>, uid: u32, own: u32) -> Runs {
    let mut runs = vec![(0, own, 1)];
    let mut next: u32 = 1;
    for line in text.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [user, start, count] = fields[..] else { continue };
        if Some(user) != name && user.parse() != Ok(uid) {
            continue;
        }
        let (Ok(start), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>()) else { continue };
        let Some(end) = next.checked_add(count) else { break };
        if count > 0 {
            runs.push((next, start, count));
            next = end;
        }
    }
    runs
}

/// Maps by a set-user-id helper of shadow-utils; the error is a sentence for [`Info::missing`].
fn map_by_program(target: u32, program: &str, runs: &Runs) -> std::result::Result<(), String> {
    #[expect(clippy::disallowed_methods, reason = "before anything else runs, by the helper outside of the sandbox")]
    let mut command = std::process::Command::new(program);
    command.arg(target.to_string());
    for (inside, outside, count) in runs {
        command.args([inside.to_string(), outside.to_string(), count.to_string()]);
    }
    match command.stdin(std::process::Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("subordinate ids: {program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(e) => Err(format!("subordinate ids: {program}: {}", Error::from_io(&e, "run"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_by_name_and_by_number() {
        let text =
            "# none\nroot:1:5\nann:100000:65536\nbob:165536:65536\n1000:300000:10\nann:4294967295:bad\nann:5:0\n";
        assert_eq!(
            subordinate_runs(text, Some("ann"), 1000, 1000),
            [(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 10)]
        );
        assert_eq!(subordinate_runs(text, None, 7, 8), [(0, 8, 1)]);
        // More than there are: the rest is left out rather than wrapped around.
        let text = "ann:100000:4294967295\nann:1:1";
        assert_eq!(subordinate_runs(text, Some("ann"), 1, 1), [(0, 1, 1)]);
    }

    #[test]
    fn maps_are_read() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!(parse_map(text), [(0, 1000, 1), (1, 100_000, 65536)]);
    }
}

//! Becoming a program, as `ip netns exec` does: no process of ours stays to wait for it.

use super::Spec;
use super::spawn::{annotate, candidates, etc_binds, exec_error, limit_back};
use crate::plan::Error;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Goes on as the program of `spec`, in its namespace and with the mounts that [`super::run`] gives it; our standard
/// input and outputs stay. Of the environment only what `spec` says is changed: such a program is nobody's to find
/// again. `warn` is told what went wrong without stopping it. Returns only where that fails: the calling thread may then
/// be in the namespace already, and the process should end.
pub fn replace(spec: &Spec, warn: &mut dyn FnMut(String)) -> Error {
    let Some((program, arguments)) = spec.argv.split_first().filter(|(p, _)| !p.is_empty()) else {
        return Error::invalid("the command is empty").with_hint("give a program and its arguments");
    };
    if let Err(error) = enter(spec, warn) {
        return annotate(error, spec);
    }
    #[expect(clippy::disallowed_methods, reason = "it replaces us: nothing is started")]
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in &spec.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    limit_back();
    let error = command.exec();
    let found = candidates(program, std::env::var_os("PATH").as_ref());
    exec_error(spec, &found, error.raw_os_error().unwrap_or(libc::EIO))
}

/// As `netns_switch` in iproute2's `lib/namespace.c`.
fn enter(spec: &Spec, warn: &mut dyn FnMut(String)) -> Result<(), Error> {
    const NONE: Option<&str> = None;
    let Some(netns) = &spec.netns else { return Ok(()) };
    let name = spec.netns_name.as_deref().unwrap_or("sysfs");
    let failed = |what: &'static str| move |e: nix::errno::Errno| Error::from_errno(e as i32, what);
    #[expect(clippy::disallowed_methods, reason = "the process is about to become the program in that namespace")]
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(failed("enter the namespace"))?;
    // The mounts are the thread's own from here on.
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed("make a mount namespace"))?;
    mount(Some(""), "/", Some("none"), MsFlags::MS_SLAVE | MsFlags::MS_REC, NONE)
        .map_err(failed("make the mounts slaves of the host's"))?;
    let mut flags = MsFlags::empty();
    if umount2("/sys", MntFlags::MNT_DETACH).is_err()
        && statvfs("/sys").is_ok_and(|old| old.flags().contains(FsFlags::ST_RDONLY))
    {
        // Locked, in a user namespace: the new one covers it, and a read-only one may only be covered by another.
        flags = MsFlags::MS_RDONLY;
    }
    mount(Some(name), "/sys", Some("sysfs"), flags, NONE).map_err(failed("mount `/sys`"))?;
    for (source, target) in etc_binds(spec.netns_name.as_deref()) {
        if let Err(e) = mount(Some(source.as_c_str()), target.as_c_str(), NONE, MsFlags::MS_BIND, NONE) {
            let (source, target) = (lossy(source.as_bytes()), lossy(target.as_bytes()));
            warn(format!("bind `{source}` over `{target}`: {}", crate::plan::error::errno_words(e as i32)));
        }
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    OsStr::from_bytes(bytes).to_string_lossy().into_owned()
}

//! Starting a program: everything is prepared first, then fork, a child that makes nothing but system calls, and
//! exec. The child tells by a pipe how far it got; the exec closes that pipe.

use super::child::{Child, Handle, open_pidfd, registry, send_signal};
use super::proc::{Id, process_start_time};
use super::tree::Lineage;
use super::{MARK, Spec, Stdin, TAG};
use crate::plan::{Error, Kind, Result};
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::OnceLock;

/// Where the output goes.
pub(super) enum Sink {
    /// To two pipes that we read.
    Pipes,
    /// To our own standard output and error.
    Ours,
    /// To a file; the program gets a session of its own and none of our other descriptors.
    Background(OwnedFd),
}

/// Runs when the child waits for its go.
pub type BeforeExec<'a> = &'a mut dyn FnMut(&Lineage) -> Result<()>;

/// A program that has been started.
pub(super) struct Spawned {
    pub child: Handle,
    pub lineage: Lineage,
    /// The reading ends of its standard output and error, for [`Sink::Pipes`].
    pub pipes: [Option<OwnedFd>; 2],
    /// What went wrong without stopping it.
    pub warnings: Vec<String>,
}

/// What the child tells, and at which step it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Step {
    Stdio = 1,
    Session = 2,
    EnterNetns = 3,
    UnshareMounts = 4,
    SlaveMounts = 5,
    MountSysfs = 6,
    /// A warning only; the value is the index in the list of binds.
    BindEtc = 7,
    Cwd = 8,
    /// All is set up; the value is the inode of the mount namespace, 0 where it has none of its own.
    Ready = 9,
    Exec = 10,
}

impl Step {
    const ALL: [Step; 10] = [
        Step::Stdio,
        Step::Session,
        Step::EnterNetns,
        Step::UnshareMounts,
        Step::SlaveMounts,
        Step::MountSysfs,
        Step::BindEtc,
        Step::Cwd,
        Step::Ready,
        Step::Exec,
    ];
}

/// Step, errno and value, 16 bytes: written to a pipe in one piece (PIPE_BUF).
const RECORD: usize = 16;

/// The limit of open files that this process was started with: programs get that one, not ours, which is the highest. Some
/// close every descriptor up to it.
static FILES: OnceLock<(u64, u64)> = OnceLock::new();

/// Keeps the limit (soft, hard) for the programs that are started.
pub fn keep_limit(limit: (u64, u64)) {
    let _ = FILES.set(limit);
}

/// Sets the limit of open files to what it was.
pub(super) fn limit_back() {
    if let Some((soft, hard)) = FILES.get() {
        let limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
        // SAFETY: one system call, with a pointer to a local.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// What the child needs, as the system calls want it. The pointers point into the strings beside them.
struct Prepared {
    stdio: [Option<RawFd>; 3],
    status: RawFd,
    /// The end that the child reads before the exec, and the other, which it must not hold.
    gate: Option<(RawFd, RawFd)>,
    background: bool,
    netns: Option<RawFd>,
    sysfs: CString,
    binds: Vec<(CString, CString)>,
    cwd: Option<CString>,
    candidates: Vec<CString>,
    arguments: Vec<*const libc::c_char>,
    /// `/bin/sh`, a place for the script, the arguments: what execvp(3) does with a script without `#!`.
    shell_arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// What the pointers point to.
    _strings: Vec<CString>,
}

const SHELL: &std::ffi::CStr = c"/bin/sh";

fn c_string(bytes: &OsStr, what: &str) -> Result<CString> {
    CString::new(bytes.as_bytes())
        .map_err(|_| Error::invalid(format!("{what} `{}` contains a NUL byte", bytes.to_string_lossy())))
}

fn pipe(what: &str) -> Result<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| Error::from_errno(e as i32, what))
}

/// The environment: ours, changed by the spec, with the run's mark and the program's own tag.
fn environment(spec: &Spec, tag: &str) -> Result<BTreeMap<OsString, OsString>> {
    let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in &spec.env {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            let name = name.to_string_lossy();
            return Err(Error::invalid(format!("`{name}` can't name an environment variable"))
                .with_hint("a name is not empty and has no `=`"));
        }
        match value {
            Some(value) => all.insert(name.clone(), value.clone()),
            None => all.remove(name),
        };
    }
    all.insert(MARK.into(), spec.mark.clone().into());
    all.insert(TAG.into(), tag.into());
    Ok(all)
}

/// Where execvp(3) would look for the program, in order.
pub(super) fn candidates(program: &OsStr, path: Option<&OsString>) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = path.map_or(b"/bin:/usr/bin".as_slice(), |p| p.as_bytes());
    path.split(|b| *b == b':')
        .map(|folder| {
            // An empty element is the current folder.
            let mut full = if folder.is_empty() { b".".to_vec() } else { folder.to_vec() };
            full.push(b'/');
            full.extend_from_slice(program.as_bytes());
            OsString::from_vec(full)
        })
        .collect()
}

/// That the program of a spec would be found, without running it. One with a `/` is taken to be there: it may be made by
/// something that was not run either.
///
/// # Errors
/// That of [`super::run`] for a program that is not in `PATH`.
pub fn check(spec: &Spec) -> Result<()> {
    let environment = environment(spec, "")?;
    let Some(program) = spec.argv.first().filter(|p| !p.as_bytes().contains(&b'/')) else { return Ok(()) };
    let found = candidates(program, environment.get(OsStr::new("PATH")));
    let cwd = spec.cwd.as_deref().unwrap_or(Path::new(""));
    let there = |c: &OsString| {
        let access = nix::unistd::AccessFlags::X_OK;
        nix::unistd::faccessat(nix::fcntl::AT_FDCWD, &cwd.join(c), access, nix::fcntl::AtFlags::AT_EACCESS)
    };
    if found.iter().any(|c| there(c).is_ok()) {
        return Ok(());
    }
    let denied = found.iter().any(|c| there(c) == Err(nix::errno::Errno::EACCES));
    Err(exec_error(spec, &found, if denied { libc::EACCES } else { libc::ENOENT }))
}

/// `/etc/netns/NAME/x` over `/etc/x`, for all x, as `ip netns exec` does.
pub(super) fn etc_binds(name: Option<&str>) -> Vec<(CString, CString)> {
    let Some(name) = name.filter(|n| !n.is_empty() && !n.contains('/') && *n != "." && *n != "..") else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(Path::new("/etc/netns").join(name)) else { return Vec::new() };
    let mut binds: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let target = Path::new("/etc").join(entry.file_name());
            Some((
                CString::new(entry.path().into_os_string().into_vec()).ok()?,
                CString::new(target.into_os_string().into_vec()).ok()?,
            ))
        })
        .collect();
    binds.sort();
    binds
}

/// Opens what the program reads. Bytes are all there before it starts, so nobody has to feed it: in a pipe if they
/// fit, else in a memory file, which it sees as a file to read (as with `<` in a shell).
fn open_stdin(stdin: &Stdin) -> Result<Option<OwnedFd>> {
    let what = "standard input for the program";
    let bytes = match stdin {
        Stdin::Inherit => return Ok(None),
        Stdin::Null => {
            let null = std::fs::File::open("/dev/null").map_err(|e| Error::from_io(&e, "open `/dev/null`"))?;
            return Ok(Some(null.into()));
        }
        Stdin::Bytes(bytes) => bytes,
    };
    /// The largest pipe that an ordinary user may have (`/proc/sys/fs/pipe-max-size`).
    const LARGEST_PIPE: usize = 1 << 20;
    if bytes.len() <= LARGEST_PIPE {
        let (read, write) = pipe(what)?;
        let size = i32::try_from(bytes.len().max(4096)).unwrap_or(i32::MAX);
        // May fail, for a user over its limit on pipe pages: then what doesn't fit is found below.
        let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(size));
        nonblocking(&write)?;
        if std::fs::File::from(write).write_all(bytes).is_ok() {
            return Ok(Some(read));
        }
    }
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let memory = nix::sys::memfd::memfd_create(c"stdin", flags).map_err(|e| Error::from_errno(e as i32, what))?;
    let mut memory = std::fs::File::from(memory);
    std::io::Seek::rewind(&mut memory).map_err(|e| Error::from_io(&e, what))?;
    memory.write_all(bytes).map_err(|e| Error::from_io(&e, what))?;
    std::io::Seek::rewind(&mut memory).map_err(|e| Error::from_io(&e, what))?;
    Ok(Some(memory.into()))
}

pub(super) fn nonblocking(fd: &OwnedFd) -> Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map(drop)
        .map_err(|e| Error::from_errno(e as i32, "make a pipe non-blocking"))
}

/// 64 random bits in hex: tells what descends from one start from what descends from all others.
fn new_tag() -> Result<String> {
    let random = getrandom::u64().map_err(|e| Error::new(Kind::Io, format!("random number: {e}")))?;
    Ok(format!("{random:016x}"))
}

/// Starts the program. `before_exec`, if any, runs when the child is set up and waits; if it fails the child is
/// ended, and the program has not run.
pub(super) fn spawn(spec: &Spec, sink: &Sink, before_exec: Option<BeforeExec<'_>>) -> Result<Spawned> {
    let Some(program) = spec.argv.first().filter(|p| !p.is_empty()) else {
        return Err(Error::invalid("the command is empty").with_hint("give a program and its arguments"));
    };
    let tag = new_tag()?;
    let environment = environment(spec, &tag)?;
    let found = candidates(program, environment.get(OsStr::new("PATH")));
    let candidates = found.iter().map(|c| c_string(c, "program")).collect::<Result<Vec<_>>>()?;

    let mut strings = Vec::new();
    let mut arguments = Vec::new();
    for argument in &spec.argv {
        let argument = c_string(argument, "argument")?;
        arguments.push(argument.as_ptr());
        strings.push(argument);
    }
    arguments.push(std::ptr::null());
    let mut shell_arguments = vec![SHELL.as_ptr(), std::ptr::null()];
    shell_arguments.extend(arguments.iter().skip(1));
    let mut environment_pointers = Vec::new();
    for (name, value) in &environment {
        let mut entry = name.clone();
        entry.push("=");
        entry.push(value);
        let entry = c_string(&entry, "environment variable")?;
        environment_pointers.push(entry.as_ptr());
        strings.push(entry);
    }
    environment_pointers.push(std::ptr::null());

    let stdin = open_stdin(&spec.stdin)?;
    let mut reading = [None, None];
    let mut writing = [None, None];
    let mut output: [Option<RawFd>; 2] = [None, None];
    match sink {
        Sink::Ours => {}
        Sink::Background(file) => output = [Some(file.as_raw_fd()); 2],
        Sink::Pipes => {
            for i in 0..2 {
                let (read, write) = pipe("pipe for the program's output")?;
                nonblocking(&read)?;
                output[i] = Some(write.as_raw_fd());
                (reading[i], writing[i]) = (Some(read), Some(write));
            }
        }
    }
    let (status_read, status_write) = pipe("pipe to the program")?;
    let gate = before_exec.is_some().then(|| pipe("pipe to the program")).transpose()?;

    let mut prepared = Prepared {
        stdio: [stdin.as_ref().map(AsRawFd::as_raw_fd), output[0], output[1]],
        status: status_write.as_raw_fd(),
        gate: gate.as_ref().map(|(read, write)| (read.as_raw_fd(), write.as_raw_fd())),
        background: matches!(sink, Sink::Background(_)),
        netns: spec.netns.as_ref().map(AsRawFd::as_raw_fd),
        sysfs: c_string(OsStr::new(spec.netns_name.as_deref().unwrap_or("sysfs")), "namespace")?,
        binds: spec.netns.as_ref().map(|_| etc_binds(spec.netns_name.as_deref())).unwrap_or_default(),
        cwd: spec.cwd.as_ref().map(|c| c_string(c.as_os_str(), "working directory")).transpose()?,
        candidates,
        arguments,
        shell_arguments,
        environment: environment_pointers,
        _strings: strings,
    };
    let child = fork(&mut prepared)?;
    // Ours would keep the pipes open.
    drop((status_write, writing, stdin));
    let gate = gate.map(|(_, write)| write);
    let lineage = Lineage { pid: child.0.id.pid, start_time: child.0.id.start_time, tag, mount_ns: None };
    let mut spawned = Spawned { child, lineage, pipes: reading, warnings: Vec::new() };
    let outcome = follow(&mut spawned, &prepared, spec, &found, status_read, gate, before_exec);
    if let Err(error) = outcome {
        // It has ended by itself, or waits for a go that never comes.
        let _ = send_signal(spawned.child.0.pidfd.as_fd(), libc::SIGKILL);
        spawned.child.0.wait()?;
        return Err(error);
    }
    Ok(spawned)
}

/// Reads what the child tells until the exec has closed the pipe.
fn follow(
    spawned: &mut Spawned,
    prepared: &Prepared,
    spec: &Spec,
    found: &[OsString],
    status: OwnedFd,
    mut gate: Option<OwnedFd>,
    mut before_exec: Option<BeforeExec<'_>>,
) -> Result<()> {
    let mut status = std::fs::File::from(status);
    let mut is_ready = false;
    loop {
        let mut record = [0u8; RECORD];
        match status.read_exact(&mut record) {
            Ok(()) => {}
            // Without an exec the pipe closes when the child was killed from outside; the caller sees its status.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof && is_ready => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(describe(spec, "was killed before it ran").with_hint("see `dmesg`: was memory short?"));
            }
            Err(e) => return Err(Error::from_io(&e, "read how the program's start went")),
        }
        let [a, b, c, d, e, f, g, h, value @ ..] = record;
        let errno = i32::from_ne_bytes([e, f, g, h]);
        let value = u64::from_ne_bytes(value);
        let number = u32::from_ne_bytes([a, b, c, d]);
        let Some(step) = Step::ALL.into_iter().find(|s| *s as u32 == number) else {
            return Err(Error::internal(format!("the child told of step {number}")));
        };
        match step {
            Step::Ready => {
                is_ready = true;
                spawned.lineage.mount_ns = Some(value).filter(|v| *v != 0);
                if let Some(before_exec) = before_exec.take() {
                    before_exec(&spawned.lineage)?;
                }
                if let Some(gate) = gate.take() {
                    // It may have been killed meanwhile: then the pipe is closed, and the status tells.
                    let _ = nix::unistd::write(&gate, b"!");
                }
            }
            Step::BindEtc => {
                let index = usize::try_from(value).unwrap_or(usize::MAX);
                if let Some((source, target)) = prepared.binds.get(index) {
                    let (source, target) = (source.to_string_lossy(), target.to_string_lossy());
                    let words = crate::plan::error::errno_words(errno);
                    spawned.warnings.push(format!("bind `{source}` over `{target}`: {words}"));
                }
            }
            Step::Exec => return Err(exec_error(spec, found, errno)),
            step => return Err(step_error(spec, step, errno)),
        }
    }
}

fn describe(spec: &Spec, what: &str) -> Error {
    let program = program(spec);
    annotate(Error::new(Kind::Kernel, format!("`{program}` {what}")), spec)
}

fn program(spec: &Spec) -> String {
    spec.argv.first().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) fn annotate(error: Error, spec: &Spec) -> Error {
    error.with_ns(spec.netns_name.clone().unwrap_or_default()).with_target(program(spec))
}

fn step_error(spec: &Spec, step: Step, errno: i32) -> Error {
    let ns = spec.netns_name.as_ref().map_or_else(|| "the namespace".to_owned(), |n| format!("namespace `{n}`"));
    let program = program(spec);
    let error = match step {
        Step::Cwd => {
            let cwd = spec.cwd.as_ref().map(|c| c.display().to_string()).unwrap_or_default();
            Error::from_errno(errno, format!("working directory `{cwd}` for `{program}`"))
                .with_hint("`cwd` must be a folder that exists and may be entered")
        }
        Step::EnterNetns => Error::from_errno(errno, format!("enter {ns} to run `{program}`"))
            .with_hint("entering needs CAP_SYS_ADMIN in the user namespace that owns it: run as root, or in a sandbox"),
        Step::UnshareMounts | Step::SlaveMounts => {
            Error::from_errno(errno, format!("make a mount namespace to run `{program}` in {ns}"))
                .with_hint("this needs CAP_SYS_ADMIN: run as root, or in a sandbox")
        }
        Step::MountSysfs => Error::from_errno(errno, format!("mount /sys of {ns} to run `{program}`")).with_hint(
            "a container that hides parts of /sys forbids to mount it afresh: run on the host or in a privileged container",
        ),
        _ => Error::from_errno(errno, format!("start `{program}`")),
    };
    annotate(error, spec)
}

pub(super) fn exec_error(spec: &Spec, found: &[OsString], errno: i32) -> Error {
    let name = program(spec);
    let in_cwd = |c: &OsString| spec.cwd.as_deref().unwrap_or(Path::new("")).join(c);
    let present = found.iter().map(in_cwd).find(|p| p.exists());
    let error = match (errno, present) {
        (libc::ENOENT, Some(path)) => {
            Error::new(Kind::NotFound, format!("cannot run `{}`: its interpreter is missing", path.display()))
                .with_hint("see the first line of the script (`#!…`), or for a binary the loader (`file` names it)")
        }
        (libc::ENOENT | libc::ENOTDIR, _) => {
            let error = Error::new(Kind::NotFound, format!("command not found: `{name}`"));
            match name.contains('/') {
                true => error.with_hint("the path is taken from the working directory: does it exist?"),
                false if name.contains(char::is_whitespace) => error.with_hint(
                    "an array names the program and each argument by itself: [\"ip\", \"route\"]; a string is split at spaces",
                ),
                false => error.with_hint("is it installed, and its folder in PATH?"),
            }
        }
        (libc::EACCES, Some(path)) if path.is_dir() => {
            Error::new(Kind::Permission, format!("not executable: `{}` is a directory", path.display()))
                .with_hint("name a program in it")
        }
        (libc::EACCES, path) => {
            let path = path.map_or(name.clone(), |p| p.display().to_string());
            Error::new(Kind::Permission, format!("not executable: `{path}`"))
                .with_hint(format!("`chmod +x {path}`; or is it on a file system mounted noexec?"))
        }
        (libc::E2BIG, _) => Error::from_errno(errno, format!("run `{name}`"))
            .with_hint("arguments and environment are too long: give the data on standard input"),
        _ => Error::from_errno(errno, format!("run `{name}`")),
    };
    annotate(error.with_errno(errno), spec)
}

/// Forks; the child goes its way. All signals are held back until the child has our handlers out of its way: one
/// that came between would be lost to it, and would wake us in its place.
fn fork(prepared: &mut Prepared) -> Result<Handle> {
    let all = nix::sys::signal::SigSet::all();
    let mut registry = registry();
    let before = all
        .thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)
        .map_err(|e| Error::from_errno(e as i32, "block signals"))?;
    // SAFETY: the child calls only `child`, which allocates nothing, takes no lock and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: this is the child of a fork, with `prepared` whole and all its pointers valid.
        unsafe { child(prepared) }
    }
    let errno = nix::errno::Errno::last_raw();
    let _ = before.thread_set_mask();
    if pid < 0 {
        let mut error = Error::from_errno(errno, "start a process");
        error.kind = Kind::Limit;
        return Err(error.with_hint("too many processes (`ulimit -u`, pids cgroup) or too little memory"));
    }
    // Nobody else waits for it while the registry is locked, so the pid can't have become another's.
    let id = process_start_time(pid).map(|start_time| Id { pid, start_time });
    let failed = match (open_pidfd(pid), id) {
        (Ok(pidfd), Some(id)) => {
            let child = Child::new(id, pidfd);
            registry.insert(pid, child.clone());
            return Ok(Handle(child));
        }
        (Err(libc::ENOSYS), _) => Error::new(Kind::Unsupported, "this kernel has no pidfd_open")
            .with_hint("running programs needs Linux 5.4 or later"),
        (Err(errno), _) => Error::from_errno(errno, "open the new process"),
        (Ok(_), None) => Error::new(Kind::Unsupported, format!("/proc does not show the new process {pid}"))
            .with_hint("mount /proc of this pid namespace, as `unshare --mount-proc` does"),
    };
    // SAFETY: a signal to our own child, which nobody has waited for.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
    Err(failed)
}

/// Tells the parent; a record fits a pipe whole, and nobody is there to hear of a failure.
///
/// # Safety
/// Async-signal-safe: one write(2).
unsafe fn tell(fd: RawFd, step: Step, errno: i32, value: u64) {
    let mut record = [0u8; RECORD];
    let (head, tail) = record.split_at_mut(8);
    let (first, second) = head.split_at_mut(4);
    first.copy_from_slice(&(step as u32).to_ne_bytes());
    second.copy_from_slice(&errno.to_ne_bytes());
    tail.copy_from_slice(&value.to_ne_bytes());
    // SAFETY: the buffer is RECORD bytes long.
    unsafe { libc::write(fd, record.as_ptr().cast(), RECORD) };
}

fn errno() -> i32 {
    nix::errno::Errno::last_raw()
}

/// The child's way from fork to exec. Mount handling as `netns_switch` in iproute2's `lib/namespace.c`.
///
/// # Safety
/// Only in the child of a fork. Makes system calls only: no allocation, no lock, no panic.
unsafe fn child(p: &mut Prepared) -> ! {
    // SAFETY: system calls with pointers to `p`'s strings, to literals, or to locals, each NUL-terminated or of the
    // type that the call fills in; zeroes are valid for all those types.
    unsafe {
        let fail = |step: Step| -> ! {
            let errno = errno();
            tell(p.status, step, errno, 0);
            libc::_exit(127)
        };
        // Default dispositions first, then let the signals in. By the bare system call, as the C library's function
        // leaves out the two signals that it uses itself. The structure is four words, of which zero is the default.
        {
            let default = [0 as libc::c_ulong; 8];
            for signal in 1..=64 {
                let null = std::ptr::null_mut::<libc::c_void>();
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null, 8usize);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
        limit_back();
        // Our descriptors are above 2: the runtime opens 0, 1 and 2 where they were closed.
        for (number, fd) in (0..).zip(p.stdio) {
            if let Some(fd) = fd
                && libc::dup2(fd, number) < 0
            {
                fail(Step::Stdio);
            }
        }
        if let Some((_, write)) = p.gate {
            libc::close(write);
        }
        if p.background {
            // A process that outlives us must not hold our locks, nor, while it waits at the gate, other programs' pipes,
            // nor what our own caller left open (`flock 9`).
            close_all_but([Some(p.status), p.gate.map(|g| g.0), p.netns]);
            if libc::setsid() < 0 {
                fail(Step::Session);
            }
        }
        let mut mount_ns = 0;
        if let Some(netns) = p.netns {
            if libc::setns(netns, libc::CLONE_NEWNET) < 0 {
                fail(Step::EnterNetns);
            }
            libc::close(netns);
            if libc::unshare(libc::CLONE_NEWNS) < 0 {
                fail(Step::UnshareMounts);
            }
            let (none, null) = (c"none".as_ptr(), std::ptr::null());
            // What is mounted here stays here.
            if libc::mount(c"".as_ptr(), c"/".as_ptr(), none, libc::MS_SLAVE | libc::MS_REC, null) < 0 {
                fail(Step::SlaveMounts);
            }
            let mut flags = 0;
            if libc::umount2(c"/sys".as_ptr(), libc::MNT_DETACH) < 0 {
                // Not mounted, or locked (in a user namespace): then the new one covers it, and a read-only one may
                // only be covered by another.
                let mut old: libc::statvfs = std::mem::zeroed();
                if libc::statvfs(c"/sys".as_ptr(), &raw mut old) == 0 && old.f_flag & libc::ST_RDONLY != 0 {
                    flags = libc::MS_RDONLY;
                }
            }
            if libc::mount(p.sysfs.as_ptr(), c"/sys".as_ptr(), c"sysfs".as_ptr(), flags, null) < 0 {
                fail(Step::MountSysfs);
            }
            for (index, (source, target)) in (0..).zip(&p.binds) {
                if libc::mount(source.as_ptr(), target.as_ptr(), none, libc::MS_BIND, null) < 0 {
                    tell(p.status, Step::BindEtc, errno(), index);
                }
            }
            let mut file: libc::stat = std::mem::zeroed();
            if libc::stat(c"/proc/self/ns/mnt".as_ptr(), &raw mut file) == 0 {
                mount_ns = file.st_ino;
            }
        }
        if let Some(cwd) = &p.cwd
            && libc::chdir(cwd.as_ptr()) < 0
        {
            fail(Step::Cwd);
        }
        tell(p.status, Step::Ready, 0, mount_ns);
        if let Some((gate, _)) = p.gate {
            let mut byte = 0u8;
            loop {
                match libc::read(gate, (&raw mut byte).cast(), 1) {
                    1 => break,
                    n if n < 0 && errno() == libc::EINTR => {}
                    // The parent has died: nothing runs.
                    _ => libc::_exit(127),
                }
            }
        }
        // As execvp(3): what is not there is looked for further on, what may not be run is remembered.
        let mut result = libc::ENOENT;
        for candidate in &p.candidates {
            libc::execve(candidate.as_ptr(), p.arguments.as_ptr(), p.environment.as_ptr());
            match errno() {
                libc::ENOEXEC => {
                    if let Some(place) = p.shell_arguments.get_mut(1) {
                        *place = candidate.as_ptr();
                    }
                    libc::execve(SHELL.as_ptr(), p.shell_arguments.as_ptr(), p.environment.as_ptr());
                    result = errno();
                    break;
                }
                libc::EACCES => result = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
                other => {
                    result = other;
                    break;
                }
            }
        }
        tell(p.status, Step::Exec, result, 0);
        libc::_exit(127)
    }
}

/// Closes every descriptor above 2 but these (`close_range(2)`, Linux 5.9; before, close-on-exec has to do).
///
/// # Safety
/// Only in the child of a fork: closes what others own.
unsafe fn close_all_but(mut keep: [Option<RawFd>; 3]) {
    keep.sort_unstable();
    let mut first: libc::c_uint = 3;
    for fd in keep.into_iter().flatten() {
        let fd = fd.cast_unsigned();
        if fd > first {
            // SAFETY: takes integers only.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = first.max(fd.saturating_add(1));
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}

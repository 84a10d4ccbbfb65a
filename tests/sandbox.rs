//! The sandbox against the real kernel, as root and as an ordinary user.
//!
//! This binary is both the tests and, with `NSSCRIPT_SANDBOX_INNER` set, the program that goes into the sandbox:
//! that one must have a single thread, which no test harness leaves it.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

#[path = "sandbox/inner.rs"]
mod inner;

use inner::{inner, signal_ignore};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, setpgid, setsid, tcsetpgrp};
use nsscript::kernel::Cancel;
use nsscript::kernel::sandbox::{State, Wish, describe, enter, privileged};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const INNER: &str = "NSSCRIPT_SANDBOX_INNER";
const WISH: &str = "NSSCRIPT_SANDBOX_WISH";
const SCRIPT: &str = "NSSCRIPT_SANDBOX_SCRIPT";
/// Longer than anything takes here, by far.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets what a test starts hear signals: a shell without job control starts what runs in the background with SIGINT
/// ignored, and a program takes that over.
fn hear_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for which in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM] {
        // SAFETY: the default action is no handler.
        let _ = unsafe { signal(which, SigHandler::SigDfl) };
    }
}

fn main() -> ExitCode {
    match std::env::var(INNER) {
        // What its caller told it to ignore it goes on ignoring.
        Ok(part) => ExitCode::from(inner(&part)),
        Err(_) => {
            hear_signals();
            tests()
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The tests

/// Who runs the program, and which copy of it.
#[derive(Clone)]
struct World {
    exe: PathBuf,
    /// An ordinary user that the program becomes first.
    uid: Option<u32>,
}

type Case = (&'static str, fn(&World) -> Result<(), Failed>);

fn tests() -> ExitCode {
    let arguments = Arguments::from_args();
    // What a killed program leaves is ours to reap: not every machine's first process does.
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let root = nix::unistd::geteuid().is_root();
    // In a user namespace of one id there is no other user to become.
    let ids: u64 = std::fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok())
        .sum();
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("sandbox");
    std::fs::copy("/proc/self/exe", &exe).unwrap();
    for path in [folder.path(), &exe] {
        // The build folder may be closed to others.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let whoever: &[Case] = &[
        ("is_pid_1_and_root", is_pid_1_and_root),
        ("describes_itself", describes_itself),
        ("makes_namespaces_and_links", makes_namespaces_and_links),
        ("run_is_its_own", run_is_its_own),
        ("run_is_carried_over", run_is_carried_over),
        ("var_run_follows", var_run_follows),
        ("resolv_conf_is_readable", resolv_conf_is_readable),
        ("hostname_stays_inside", hostname_stays_inside),
        ("sees_only_its_own_links", sees_only_its_own_links),
        ("icmp_and_loopback", icmp_and_loopback),
        ("nests", nests),
        ("kill_of_the_outer_ends_all", kill_of_the_outer_ends_all),
        ("kill_while_starting_leaves_nothing", kill_while_starting_leaves_nothing),
        ("exit_codes_pass", exit_codes_pass),
        ("signals_are_forwarded", signals_are_forwarded),
        ("default_actions_hold", default_actions_hold),
        ("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
        ("ctrl_c_comes_once", ctrl_c_comes_once),
        ("ctrl_z_stops_the_job", ctrl_z_stops_the_job),
        ("background_reads_stop_the_job", background_reads_stop_the_job),
        ("orphaned_jobs_do_not_stop", orphaned_jobs_do_not_stop),
        ("terminal_comes_back", terminal_comes_back),
        ("switched_off_is_said", switched_off_is_said),
        ("masked_proc_is_said", masked_proc_is_said),
        ("never_means_never", never_means_never),
    ];
    let as_root: &[Case] =
        &[("auto_stays_on_the_host", auto_stays_on_the_host), ("drops_privileges", drops_privileges)];
    let as_user: &[Case] = &[
        ("auto_makes_a_sandbox", auto_makes_a_sandbox),
        ("capabilities_alone_are_no_rights", capabilities_alone_are_no_rights),
    ];

    let mut trials = Vec::new();
    let mut add = |who: &str, world: World, possible: bool, cases: &[Case]| {
        for &(name, case) in cases {
            let world = world.clone();
            trials.push(Trial::test(format!("{who}::{name}"), move || case(&world)).with_ignored_flag(!possible));
        }
    };
    let drop_to = 200_000 + random() % 1_000_000;
    let user = if root { Some(drop_to) } else { None };
    let enough = !root || ids > 1_200_000;
    add("user", World { exe: exe.clone(), uid: user }, enough, whoever);
    add("user", World { exe: exe.clone(), uid: user }, enough, as_user);
    add("root (needs root)", World { exe: exe.clone(), uid: None }, root, whoever);
    add("root (needs root and many ids)", World { exe: exe.clone(), uid: None }, root && enough, as_root);
    let helpers =
        has("newuidmap") && has("newgidmap") && Path::new("/etc/subuid").exists() && Path::new("/etc/subgid").exists();
    add(
        "user (needs root, newuidmap and /etc/subuid)",
        World { exe, uid: None },
        root && enough && helpers,
        &[("subordinate_ids_are_mapped", subordinate_ids_are_mapped)],
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    drop(folder);
    conclusion.exit_code()
}

fn has(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).exists())
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    u32::from_ne_bytes(bytes)
}

impl World {
    fn command(&self, part: &str) -> Command {
        let mut command = Command::new(&self.exe);
        command.env(INNER, part).env("EXE", &self.exe).current_dir("/").stdin(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    fn sh(&self, script: &str) -> Result<String, Failed> {
        let (status, text) = finish(self.command("sh").env(SCRIPT, format!("set -e\n{script}")))?;
        if status.success() { Ok(text) } else { Err(format!("{status}: {text}").into()) }
    }
}

/// Runs to the end, both outputs together; killed, and failed, if that takes too long.
fn finish(command: &mut Command) -> Result<(ExitStatus, String), Failed> {
    let (mut output, input) = std::io::pipe()?;
    let mut child = command.stdout(input.try_clone()?).stderr(input).spawn()?;
    // The command holds the pipe's other end too, and would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let guard = Guard::new(&child)?;
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    let status = child.wait()?;
    guard.done()?;
    Ok((status, text.trim().trim_start_matches("before").trim().to_string()))
}

/// Kills the process when it lives too long.
struct Guard {
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Guard {
    fn new(child: &Child) -> Result<Guard, Failed> {
        let (done, wait) = mpsc::channel();
        let process = pidfd(child.id())?;
        let thread = std::thread::spawn(move || match wait.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                signal_fd(&process, Signal::SIGKILL);
                true
            }
            _ => false,
        });
        Ok(Guard { done, thread })
    }

    fn done(self) -> Result<(), Failed> {
        drop(self.done);
        if self.thread.join().unwrap() { Err("took too long".into()) } else { Ok(()) }
    }
}

fn pidfd(pid: u32) -> std::io::Result<OwnedFd> {
    // SAFETY: takes numbers, gives a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) })
}

fn signal_fd(process: &OwnedFd, signal: Signal) {
    // SAFETY: a null pointer means no siginfo.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal as i32, std::ptr::null::<u8>(), 0)
    };
}

/// Waits until a process has ended; whether it did in time.
fn ends(process: &OwnedFd, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).unwrap();
    poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], timeout) == Ok(1)
}

/// The processes that have `word` among their arguments.
fn running(word: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.split(|b| *b == 0).any(|w| w == word.as_bytes()))
    })
    .collect()
}

/// Waits until no process has `word` among its arguments.
fn all_gone(word: &str) -> Result<(), Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = running(word);
        if left.is_empty() {
            return Ok(());
        }
        for pid in &left {
            if let Ok(process) = pidfd(*pid) {
                ends(&process, deadline.saturating_duration_since(Instant::now()));
            }
        }
        if Instant::now() > deadline {
            for process in left.iter().filter_map(|pid| pidfd(*pid).ok()) {
                signal_fd(&process, Signal::SIGKILL);
            }
            return Err(format!("still running: {left:?}").into());
        }
    }
}

/// A started program and its lines.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    seen: Vec<String>,
    guard: Guard,
}

impl Running {
    fn start(command: &mut Command) -> Result<Running, Failed> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().unwrap());
        let guard = Guard::new(&child)?;
        Ok(Running { child, lines, seen: Vec::new(), guard })
    }

    /// On a terminal of its own, whose other end comes back; `part` runs as the job of a shell, which puts it in the
    /// foreground once it has stopped `background` times and once more (at 0: from the start).
    fn on_terminal(world: &World, part: &str, background: u32) -> Result<(Running, File), Failed> {
        let pty = nix::pty::openpty(None, None)?;
        if let Some(uid) = world.uid {
            nix::unistd::fchown(&pty.slave, Some(uid.into()), None)?;
        }
        let mut command = world.command("job");
        command.arg(background.to_string());
        command.env("NSSCRIPT_SANDBOX_JOB", part).stdin(pty.slave.try_clone()?);
        // Neither end may stay open in the program.
        nix::fcntl::fcntl(&pty.master, nix::fcntl::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        nix::fcntl::fcntl(&pty.slave, nix::fcntl::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
        Ok((Running::start(&mut command)?, File::from(pty.master)))
    }

    /// The rest of the first line, of those not asked for before, that starts with `start`: what several processes
    /// write comes in any order.
    fn until(&mut self, start: &str) -> Result<String, Failed> {
        loop {
            if let Some(found) = self.seen.iter().position(|line| line.starts_with(start)) {
                return Ok(self.seen.remove(found)[start.len()..].trim().to_string());
            }
            let mut line = String::new();
            if self.lines.read_line(&mut line)? == 0 {
                return Err(format!("no `{start}` in: {:?}, {line}", self.seen).into());
            }
            self.seen.push(line.trim().trim_start_matches("before ").to_string());
        }
    }

    fn send(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    fn wait(mut self) -> Result<ExitStatus, Failed> {
        let status = self.child.wait()?;
        self.guard.done()?;
        Ok(status)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(left: T, right: T) -> Result<(), Failed> {
    if left == right { Ok(()) } else { Err(format!("{left:?} is not {right:?}").into()) }
}

fn contains(text: &str, part: &str) -> Result<(), Failed> {
    if text.contains(part) { Ok(()) } else { Err(format!("no `{part}` in: {text}").into()) }
}

fn is_pid_1_and_root(world: &World) -> Result<(), Failed> {
    same(world.sh("id -u; id -g; echo $PPID; cat /proc/1/comm")?.as_str(), "0\n0\n1\nsandbox")
}

fn describes_itself(world: &World) -> Result<(), Failed> {
    let (_, text) = finish(&mut world.command("info"))?;
    contains(&text, "in a sandbox of its own (user, network, mount and pid namespaces")?;
    let uid = world.uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
    contains(&text, &format!("outer_uid: {uid}, outer_gid: "))?;
    contains(&text, "missing: []")
}

fn makes_namespaces_and_links(world: &World) -> Result<(), Failed> {
    let text = world.sh(
        "ip netns add a; ip netns add b; ip link add v netns a type veth peer name v netns b
         ip -n a addr add 10.0.0.1/24 dev v; ip -n b addr add 10.0.0.2/24 dev v; ip -n a link set v up; ip -n b link set v up
         ip netns exec b ls /sys/class/net
         ip link add b0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master b0
         ip netns del a; ip netns del b; ls /run/netns | wc -l",
    )?;
    same(text.as_str(), "lo\nv\n0")
}

fn run_is_its_own(world: &World) -> Result<(), Failed> {
    let name = format!("sandbox-{:08x}", random());
    same(world.sh(&format!("test ! -e /run/netns; ip netns add {name}; ls /run/netns"))?.as_str(), name.as_str())?;
    same(
        world.sh("stat -c '%a %u' /run; stat -c %a /run/lock; touch /run/xtables.lock; test ! -e /run/user")?.as_str(),
        "755 0\n1777",
    )?;
    same(Path::new("/run/netns").join(&name).exists(), false)
}

/// Of a `/run` made for the purpose, inside a first sandbox.
fn run_is_carried_over(world: &World) -> Result<(), Failed> {
    let text = world.sh(
        "mount -t tmpfs old /run; cd /run; mkdir dir netns nsscript lock user mounted; touch xtables.lock
         echo file > file; echo deep > dir/deep; ln -s dir/deep link; ln -s /nowhere dangling; mkfifo pipe
         mount -t tmpfs below mounted; rm -rf mount; echo below > mounted/below; chmod 700 mounted
         export NSSCRIPT_SANDBOX_SCRIPT='cd /run; echo * ; ls lock; cat file link mounted/below; readlink dangling; test -p pipe
            echo more >> dir/deep; touch new; test ! -e netns'
         cd /; $EXE; cat /run/dir/deep; ls /run/new 2>&1 || true",
    )?;
    let lines: Vec<&str> = text.lines().collect();
    same(
        lines[..7].to_vec(),
        vec!["before dangling dir file link lock mounted pipe", "file", "deep", "below", "/nowhere", "deep", "more"],
    )?;
    contains(lines[7], "No such file")
}

fn var_run_follows(world: &World) -> Result<(), Failed> {
    let text = world.sh("mount -t tmpfs var /var; mkdir /var/run
         export NSSCRIPT_SANDBOX_SCRIPT='touch /run/new; ls /var/run/new'; $EXE; ls /var/run")?;
    same(text.as_str(), "before /var/run/new")
}

fn resolv_conf_is_readable(world: &World) -> Result<(), Failed> {
    let Ok(outside) = std::fs::read_to_string("/etc/resolv.conf") else { return Ok(()) };
    same(world.sh("cat /etc/resolv.conf")?.trim(), outside.trim())
}

fn hostname_stays_inside(world: &World) -> Result<(), Failed> {
    let name = format!("sandbox-{:08x}", random());
    same(finish(world.command("hostname").env(SCRIPT, &name))?.1, name.clone())?;
    same(nix::unistd::gethostname()?.to_string_lossy() == name, false)
}

fn sees_only_its_own_links(world: &World) -> Result<(), Failed> {
    same(
        world
            .sh("ls /sys/class/net; ls /proc/sys/net/ipv4/conf; ip -o link | wc -l; ps ax -o pid= | head -1")?
            .split_whitespace()
            .collect::<Vec<_>>(),
        vec!["lo", "all", "default", "lo", "1", "1"],
    )
}

fn icmp_and_loopback(world: &World) -> Result<(), Failed> {
    let (status, text) = finish(&mut world.command("icmp"))?;
    same((status.code(), text.as_str()), (Some(0), ""))
}

fn nests(world: &World) -> Result<(), Failed> {
    let text = world.sh(
        "export NSSCRIPT_SANDBOX_SCRIPT='id -u; ip netns add c; ls /run/netns'; ip netns add b; $EXE; ls /run/netns",
    )?;
    same(text.as_str(), "before 0\nc\nb")
}

fn kill_of_the_outer_ends_all(world: &World) -> Result<(), Failed> {
    let word = format!("86400.{}", random());
    let script = format!(
        "sleep {word} & (setsid sleep {word} &); (setsid sh -c 'trap \"\" TERM HUP; sleep {word}' &); sleep {word} & ip netns add x; echo ready; wait"
    );
    let mut run = Running::start(world.command("sh").env(SCRIPT, script))?;
    run.until("ready")?;
    let found = running(&word);
    run.send(Signal::SIGKILL)?;
    let status = run.wait()?;
    all_gone(&word)?;
    same((found.len() >= 2, status.signal()), (true, Some(9)))
}

/// Killed at many points of the way in, it leaves neither of its three processes.
fn kill_while_starting_leaves_nothing(world: &World) -> Result<(), Failed> {
    let word = format!("mark-{:08x}", random());
    for step in 0..40 {
        let mut child = world.command("plain").arg(&word).stdout(Stdio::null()).spawn()?;
        let process = pidfd(child.id())?;
        same(ends(&process, Duration::ZERO), false)?;
        // Not a sleep to wait for something: the point at which it is cut.
        let spot = Instant::now() + Duration::from_micros(step * 300);
        while Instant::now() < spot {}
        child.kill()?;
        child.wait()?;
        all_gone(&word)?;
    }
    Ok(())
}

fn exit_codes_pass(world: &World) -> Result<(), Failed> {
    for code in [0, 1, 42, 255] {
        let (status, _) = finish(world.command("sh").env(SCRIPT, format!("exit {code}")))?;
        same(status.code(), Some(code))?;
    }
    Ok(())
}

fn signals_are_forwarded(world: &World) -> Result<(), Failed> {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut run = Running::start(&mut world.command("cancel"))?;
        run.until("ready")?;
        run.send(signal)?;
        same(run.until("got")?, (signal as i32).to_string())?;
        same(run.wait()?.code(), Some(7))?;
    }
    Ok(())
}

/// A pid 1 is spared the default actions by the kernel: the process outside sees to them.
fn default_actions_hold(world: &World) -> Result<(), Failed> {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut run = Running::start(&mut world.command("plain"))?;
        run.until("ready")?;
        run.send(Signal::SIGWINCH)?;
        run.send(signal)?;
        same(run.wait()?.code(), Some(128 + signal as i32))?;
    }
    Ok(())
}

fn ignored_signals_stay_ignored(world: &World) -> Result<(), Failed> {
    let mut command = world.command("plain");
    // SAFETY: only a system call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            signal_ignore(Signal::SIGHUP);
            signal_ignore(Signal::SIGCHLD);
            Ok(())
        });
    }
    let mut run = Running::start(&mut command)?;
    run.until("ready")?;
    run.send(Signal::SIGHUP)?;
    run.send(Signal::SIGTERM)?;
    same(run.wait()?.code(), Some(128 + 15))
}

fn ctrl_c_comes_once(world: &World) -> Result<(), Failed> {
    let (mut run, mut terminal) = Running::on_terminal(world, "count", 0)?;
    let outer: i32 = run.until("pid")?.parse()?;
    run.until("ready")?;
    terminal.write_all(b"\x03")?;
    // After the interrupt, so that whoever passes it on has done so.
    let mut status = vec![PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    poll(&mut status, PollTimeout::try_from(PATIENCE)?)?; // the echo of ^C
    kill(Pid::from_raw(outer), Signal::SIGTERM)?;
    same(run.until("ints")?.as_str(), "1")?;
    same(run.until("exited")?.as_str(), "0")?;
    run.wait().map(drop)
}

fn ctrl_z_stops_the_job(world: &World) -> Result<(), Failed> {
    let (mut run, mut terminal) = Running::on_terminal(world, "cancel", 0)?;
    run.until("pid")?;
    run.until("ready")?;
    for _ in 0..2 {
        terminal.write_all(b"\x1a")?;
        same(run.until("stopped by")?.as_str(), "SIGSTOP")?;
    }
    // It goes on, and hears the next key.
    terminal.write_all(b"\x03")?;
    same(run.until("got")?.as_str(), "2")?;
    same(run.until("exited")?.as_str(), "7")?;
    run.wait().map(drop)
}

/// A read in the background stops the job, each time that it is continued there.
fn background_reads_stop_the_job(world: &World) -> Result<(), Failed> {
    let (mut run, mut terminal) = Running::on_terminal(world, "read", 3)?;
    run.until("ready")?;
    for _ in 0..4 {
        run.until("stopped by")?;
    }
    terminal.write_all(b"hello\n")?;
    same(run.until("read")?.as_str(), "hello")?;
    same(run.until("exited")?.as_str(), "0")?;
    run.wait().map(drop)
}

/// Where no shell could continue it, a program that stopped would hang for good.
fn orphaned_jobs_do_not_stop(world: &World) -> Result<(), Failed> {
    let mut command = world.command("cancel");
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
    let mut run = Running::start(&mut command)?;
    run.until("ready")?;
    run.send(Signal::SIGTSTP)?;
    run.send(Signal::SIGTERM)?;
    same(run.until("got")?.as_str(), "15")?;
    same(run.wait()?.code(), Some(7))
}

fn terminal_comes_back(world: &World) -> Result<(), Failed> {
    let (mut run, mut terminal) = Running::on_terminal(world, "steal", 0)?;
    run.until("ready")?;
    terminal.write_all(b"hello\n")?;
    same(run.until("read")?.as_str(), "hello")?;
    same(run.until("exited")?.as_str(), "0")?;
    same(run.seen.iter().any(|line| line.starts_with("stopped")), false)?;
    run.wait().map(drop)
}

fn switched_off_is_said(world: &World) -> Result<(), Failed> {
    let text = world.sh("echo 0 > /proc/sys/user/max_net_namespaces; $EXE || echo code $?")?;
    contains(
        &text,
        "Permission: make the sandbox's namespaces: no space left on device: net namespaces are switched off here",
    )?;
    contains(&text, "sysctl -w user.max_net_namespaces=")?;
    contains(&text, "code 99")
}

/// As in a container.
fn masked_proc_is_said(world: &World) -> Result<(), Failed> {
    let text = world.sh("mount --bind /dev/null /proc/cpuinfo; $EXE || echo code $?")?;
    contains(&text, "Permission: mount `/proc` in the sandbox: operation not permitted")?;
    contains(&text, "unmask=ALL")?;
    contains(&text, "code 99")
}

fn never_means_never(world: &World) -> Result<(), Failed> {
    same(finish(world.command("info").env(WISH, "never"))?.1.as_str(), "host")
}

fn auto_stays_on_the_host(world: &World) -> Result<(), Failed> {
    same(finish(world.command("info").env(WISH, "auto"))?.1.as_str(), "host")?;
    // Root of a sandbox has all it needs in there.
    same(world.sh("NSSCRIPT_SANDBOX_INNER=privileged $EXE")?.as_str(), "true")
}

fn auto_makes_a_sandbox(world: &World) -> Result<(), Failed> {
    contains(&finish(world.command("info").env(WISH, "auto"))?.1, "outer_uid")
}

/// `unshare -Ur` has every capability, but none over the host's network, nor a `/run` to write to.
fn capabilities_alone_are_no_rights(world: &World) -> Result<(), Failed> {
    for flags in ["-Ur", "-Urn", "-Urm"] {
        let mut command = Command::new("unshare");
        command.args([flags, "sh", "-c", "test $0 = -Ur || mount -t tmpfs x /run || true; exec $EXE", flags]);
        command.env(INNER, "privileged").env("EXE", &world.exe).current_dir("/");
        if let Some(uid) = world.uid {
            command.uid(uid).gid(uid);
        }
        same(finish(&mut command)?.1.lines().last().unwrap_or_default(), "false")?;
    }
    Ok(())
}

fn drops_privileges(world: &World) -> Result<(), Failed> {
    same(world.sh("setpriv --reuid 1000 --regid 1001 --clear-groups sh -c 'id -u; id -g'")?.as_str(), "1000\n1001")
}

/// With files of our own over `/etc/subuid` and `/etc/subgid`, in a mount namespace of its own.
fn subordinate_ids_are_mapped(world: &World) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sub");
    std::fs::write(&path, "nobody:300000:65536\n")?;
    let script = "mount --bind $0 /etc/subuid && mount --bind $0 /etc/subgid && \
        exec setpriv --reuid $(id -u nobody) --regid $(id -g nobody) --clear-groups $EXE";
    let run = |part: &str, script_inside: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script]).arg(&path);
        command.env(INNER, part).env(SCRIPT, script_inside).env("EXE", &world.exe).current_dir("/");
        finish(&mut command)
    };
    contains(&run("info", "")?.1, "uids: 65537, gids: 65537, missing: []")?;
    let (_, text) = run(
        "sh",
        "setpriv --reuid 1000 --regid 1000 --clear-groups id -u; touch /run/x; chown 5:5 /run/x; stat -c %u /run/x",
    )?;
    same(text.as_str(), "1000\n5")
}

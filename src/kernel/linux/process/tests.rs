//! Against the real kernel. What changes the process as a whole (subreaper, reaping, mounts) runs in a process of its
//! own: the test starts itself again, once as it is and once as root of a user namespace.

use super::proc::{children, own_pid};
use super::*;
use crate::plan::Kind;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const ISOLATED: &str = "NSSCRIPT_TEST_ISOLATED";
const HERE: &str = "kernel::linux::process::tests::";

/// A network namespace that lives as long as its descriptor.
fn netns() -> Arc<OwnedFd> {
    std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        Arc::new(OwnedFd::from(std::fs::File::open("/proc/thread-self/ns/net").unwrap()))
    })
    .join()
    .unwrap()
}

/// A mark that no other test has.
fn mark() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}-{}", own_pid(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn spec(argv: &[&str]) -> Spec {
    Spec { argv: argv.iter().map(Into::into).collect(), mark: mark(), ..Spec::default() }
}

fn sh(script: &str) -> Spec {
    spec(&["sh", "-c", script])
}

fn run_it(spec: &Spec) -> Finished {
    run(spec, &Cancel::never().unwrap(), None, None).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn output(spec: &Spec) -> String {
    let finished = run_it(spec);
    assert_eq!(finished.code, Some(0), "{}", String::from_utf8_lossy(&finished.stderr));
    text(&finished.stdout).trim_end().to_owned()
}

/// Runs the spec and cancels it when it has printed `up`.
fn cancel_when_up(spec: &Spec) -> Finished {
    let (cancel, raise) = Cancel::for_test();
    let mut seen = Vec::new();
    let mut raised = false;
    run(
        spec,
        &cancel,
        Some(&mut |_, bytes| {
            seen.extend_from_slice(bytes);
            if !raised && text(&seen).contains("up") {
                raised = true;
                raise(libc::SIGINT);
            }
        }),
        None,
    )
    .unwrap()
}

/// Runs `body` in a process of its own, in private mounts.
fn isolated(name: &str, body: impl FnOnce()) {
    if std::env::var(ISOLATED).is_ok_and(|n| n == name) {
        become_subreaper().unwrap();
        body();
        assert_eq!(children(own_pid()), Vec::<i32>::new(), "children are left behind");
        return;
    }
    if std::env::var_os(ISOLATED).is_some() {
        return;
    }
    for options in [["--mount", "--net"].as_slice(), &["-Urnmpf", "--mount-proc", "--kill-child"]] {
        if options.len() == 2 && !nix::unistd::geteuid().is_root() {
            continue;
        }
        let output = std::process::Command::new("unshare")
            .args(options)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{HERE}{name}"), "--nocapture", "--test-threads=1"])
            .env(ISOLATED, name)
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && stdout.contains("1 passed"), "{options:?}:\n{stdout}\n{stderr}");
    }
}

/// Waits until any child has ended, without taking its status.
fn until_a_child_ended() {
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
    assert_eq!(result, 0);
}

fn background(spec: &Spec, folder: &tempfile::TempDir) -> Started {
    start(spec, &folder.path().join("log"), |_| Ok(())).unwrap()
}

/// Waits until the log has this line.
fn until_logged(log: &Path, line: &str) {
    let watch = spec(&["tail", "-n", "+1", "-f", log.to_str().unwrap()]);
    let watch = Spec { timeout: Some(Duration::from_secs(30)), ..watch };
    let (cancel, raise) = Cancel::for_test();
    let mut seen = Vec::new();
    let mut raised = false;
    let finished = run(
        &watch,
        &cancel,
        Some(&mut |_, bytes| {
            seen.extend_from_slice(bytes);
            if !raised && text(&seen).lines().any(|l| l == line) {
                raised = true;
                raise(libc::SIGINT);
            }
        }),
        None,
    )
    .unwrap();
    assert!(finished.cancelled, "`{line}` was never logged, but {}", String::from_utf8_lossy(&finished.stdout));
}

#[test]
fn the_end_of_a_program_is_told() {
    assert_eq!(run_it(&spec(&["true"])).code, Some(0));
    let finished = run_it(&sh("echo out; echo err >&2; exit 7"));
    assert_eq!((finished.code, finished.signal), (Some(7), None));
    assert_eq!((text(&finished.stdout), text(&finished.stderr)), ("out\n", "err\n"));
    assert!(!finished.timed_out && !finished.cancelled && finished.pid > 0 && finished.warnings.is_empty());
    for signal in [9, 15, 11, 40] {
        let finished = run_it(&sh(&format!("ulimit -c 0; kill -{signal} $$")));
        assert_eq!((finished.code, finished.signal), (None, Some(signal)));
    }
}

#[test]
fn megabytes_go_both_ways() {
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| (i % 251) as u8).collect();
    for size in [0, 1, 4096, 65_536, 65_537, 1 << 20, (1 << 20) + 1, bytes.len()] {
        let sent = bytes[..size].to_vec();
        let finished = run_it(&Spec { stdin: Stdin::Bytes(sent.clone()), ..spec(&["tee", "/dev/stderr"]) });
        assert_eq!(finished.code, Some(0));
        assert!(finished.stdout == sent && finished.stderr == sent, "{size}");
        // A program that doesn't read.
        assert_eq!(run_it(&Spec { stdin: Stdin::Bytes(sent), ..spec(&["true"]) }).code, Some(0));
    }
    let piped = Spec { stdin: Stdin::Bytes(vec![b'x'; 100_000]), ..sh("test -p /dev/stdin") };
    assert_eq!(run_it(&piped).code, Some(0));
    assert_eq!(output(&sh("readlink /proc/self/fd/0")), "/dev/null");
}

#[test]
fn output_is_passed_on_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("go");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Held open for both, so that neither end waits to be opened nor sees the other close.
    let mut held = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    // The program goes on only when what it wrote has arrived.
    let mut go = spec(&[
        "sh",
        "-c",
        r#"echo one; read x <"$1"; echo two >&2; read x <"$1"; echo three; read x <"$1""#,
        "sh",
        fifo.to_str().unwrap(),
    ]);
    go.timeout = Some(Duration::from_secs(30));
    let mut seen = Vec::new();
    let finished = run(
        &go,
        &Cancel::never().unwrap(),
        Some(&mut |stream, bytes| {
            seen.push((stream, text(bytes).to_owned()));
            held.write_all(b"go\n").unwrap();
        }),
        None,
    )
    .unwrap();
    let expected = [(Stream::Stdout, "one\n"), (Stream::Stderr, "two\n"), (Stream::Stdout, "three\n")];
    assert_eq!(seen, expected.map(|(s, t)| (s, t.to_owned())));
    assert_eq!(text(&finished.stdout), "one\nthree\n");
}

#[test]
fn a_background_process_that_holds_the_output_is_not_waited_for() {
    for holder in ["sleep 1000", "yes"] {
        let finished = run_it(&sh(&format!("echo before; {holder} & echo $! >&2; exit 3")));
        assert_eq!(finished.code, Some(3));
        assert!(text(&finished.stdout).starts_with("before\n"));
        let pid: i32 = text(&finished.stderr).trim().parse().unwrap();
        // `yes` has ended, or does now, as nobody reads.
        if let Some(start_time) = process_start_time(pid) {
            end_tree(pid, start_time, Duration::from_secs(5)).unwrap();
        }
        assert!(process_start_time(pid).is_none() || stat_state(pid) == 'Z');
    }
}

fn stat_state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| "0 (x) Z".to_owned());
    stat[stat.rfind(')').unwrap() + 2..].chars().next().unwrap()
}

#[test]
fn a_timeout_ends_the_program() {
    let timeout = Some(Duration::from_millis(50));
    let finished = run_it(&Spec { timeout, ..spec(&["sleep", "1000"]) });
    assert!(finished.timed_out && !finished.cancelled && finished.warnings.is_empty());
    assert_eq!((finished.code, finished.signal), (None, Some(libc::SIGTERM)));
    // One that wants to say something before it ends, more than a pipe holds.
    let timeout = Some(Duration::from_millis(500));
    let last_words = "trap 'head -c 300000 /dev/zero; exit 5' TERM; while :; do sleep 0.01; done";
    let finished = run_it(&Spec { timeout, ..sh(last_words) });
    assert_eq!((finished.code, finished.stdout.len(), finished.timed_out), (Some(5), 300_000, true));
}

#[test]
fn cancelling_ends_the_program() {
    let finished = cancel_when_up(&sh("echo up; exec sleep 1000"));
    assert!(finished.cancelled && !finished.timed_out);
    assert_eq!(finished.signal, Some(libc::SIGTERM));
    // Deaf to SIGTERM, or stopped.
    let finished = cancel_when_up(&sh("trap '' TERM; echo up; while :; do sleep 1000; done"));
    assert_eq!((finished.cancelled, finished.signal), (true, Some(libc::SIGKILL)));
    let finished = cancel_when_up(&sh("echo up; kill -STOP $$; sleep 1000"));
    assert_eq!((finished.cancelled, finished.signal), (true, Some(libc::SIGTERM)));
    // Before it began.
    let (cancel, raise) = Cancel::for_test();
    raise(libc::SIGTERM);
    assert_eq!(run(&spec(&["true"]), &cancel, None, None).unwrap_err().kind, Kind::Interrupted);
}

#[test]
fn a_wake_up_without_a_signal_is_nothing() {
    let (cancel, raise) = Cancel::for_test();
    raise(0);
    let finished = run(&spec(&["true"]), &cancel, None, None).unwrap();
    assert_eq!((finished.code, finished.cancelled), (Some(0), false));
}

#[test]
fn errors_name_what_is_wrong() {
    let never = Cancel::never().unwrap();
    let fails = |spec: &Spec| {
        let error = run(spec, &never, None, None).unwrap_err();
        (error.kind, error.message.clone(), error)
    };
    let (kind, message, error) = fails(&spec(&["no-such-program-here"]));
    assert_eq!((kind, message.as_str()), (Kind::NotFound, "command not found: `no-such-program-here`"));
    assert!(error.hint.is_some_and(|h| h.contains("PATH")));
    assert_eq!(error.errno, libc::ENOENT);
    assert_eq!(fails(&spec(&["/no/such/program"])).1, "command not found: `/no/such/program`");
    assert_eq!(fails(&spec(&[])).0, Kind::Invalid);
    assert_eq!(fails(&spec(&["tr\0ue"])).0, Kind::Invalid);
    assert_eq!(fails(&Spec { env: vec![("A=B".into(), None)], ..spec(&["true"]) }).0, Kind::Invalid);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let (kind, message, _) = fails(&spec(&[path]));
    assert_eq!((kind, message), (Kind::Permission, format!("not executable: `{path}`")));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (kind, message, _) = fails(&spec(&[path]));
    assert_eq!((kind, message), (Kind::NotFound, format!("cannot run `{path}`: its interpreter is missing")));
    let (kind, message, _) = fails(&spec(&[folder.path().to_str().unwrap()]));
    assert_eq!(kind, Kind::Permission);
    assert!(message.ends_with("is a directory"), "{message}");

    let (kind, message, _) = fails(&Spec { cwd: Some("/no/such/folder".into()), ..spec(&["true"]) });
    assert_eq!(kind, Kind::NotFound);
    assert_eq!(message, "working directory `/no/such/folder` for `true`: no such file or directory");

    let null = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let (_, message, error) = fails(&Spec { netns: Some(null), netns_name: Some("x".into()), ..spec(&["true"]) });
    assert_eq!(message, "enter namespace `x` to run `true`: invalid argument");
    assert_eq!((error.ns.as_str(), error.target.as_str()), ("x", "true"));
}

/// Writes a program, by another process: one of our other threads' children would hold it open for writing until its exec, and
/// nobody could run it that long.
fn program(file: &std::path::Path, text: &str) {
    let write = r#"printf '%s\n' "$2" > "$1"; chmod 755 "$1""#;
    let written = std::process::Command::new("sh").args(["-c", write, "sh"]).arg(file).arg(text).status();
    assert!(written.unwrap().success());
}

#[test]
fn a_program_is_found_as_a_shell_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tool");
    // Without `#!`: the shell's.
    program(&file, "echo \"$0 $1\"");
    let path = format!("/no/such:{}:/bin", folder.path().display());
    let by_path = Spec { env: vec![("PATH".into(), Some(path.into()))], ..spec(&["tool", "a b"]) };
    assert_eq!(output(&by_path), format!("{} a b", file.display()));
    let by_cwd = Spec { cwd: Some(folder.path().into()), ..spec(&["./tool", "c"]) };
    assert_eq!(output(&by_cwd), "./tool c");
    let no_path = Spec { env: vec![("PATH".into(), None)], ..spec(&["echo", "default"]) };
    assert_eq!(output(&no_path), "default");
}

#[test]
fn environment_folder_and_signals_are_as_given() {
    let folder = tempfile::tempdir().unwrap();
    let env = vec![
        ("NSSCRIPT_A".into(), Some("1 2".into())),
        ("NSSCRIPT_B".into(), Some("x".into())),
        ("NSSCRIPT_B".into(), None),
    ];
    let given = Spec { env, cwd: Some(folder.path().into()), ..sh("env; pwd -P") };
    let seen = output(&given);
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines.contains(&"NSSCRIPT_A=1 2") && !seen.contains("NSSCRIPT_B"), "{seen}");
    assert!(lines.contains(&format!("NSSCRIPT_RUN={}", given.mark).as_str()), "{seen}");
    assert!(seen.contains("NSSCRIPT_PROC="));
    assert_eq!(lines.last().copied(), folder.path().canonicalize().unwrap().to_str());

    // SIGPIPE is ignored here by the runtime; SIGUSR1 is blocked in this thread.
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(nix::sys::signal::Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    let seen = output(&spec(&["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]));
    assert!(nix::sys::signal::SigSet::thread_get_mask().unwrap().contains(nix::sys::signal::Signal::SIGUSR1));
    assert_eq!(seen, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
    // The terminal's Ctrl-C must reach it.
    let group = output(&sh("cut -d' ' -f5 /proc/$$/stat"));
    assert_eq!(group, nix::unistd::getpgrp().to_string());
}

#[test]
fn a_program_sees_its_namespace_only() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ns = netns();
    let inside = |argv: &[&str]| Spec { netns: Some(ns.clone()), netns_name: Some("it".into()), ..spec(argv) };
    assert_eq!(output(&inside(&["ls", "/sys/class/net"])), "lo");
    assert_eq!(output(&Spec { cwd: Some("/sys/class/net".into()), ..inside(&["ls"]) }), "lo");
    let inode = std::fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&*ns))).unwrap().ino();
    assert_eq!(output(&inside(&["readlink", "/proc/self/ns/net"])), format!("net:[{inode}]"));
    let outside = output(&spec(&["readlink", "/proc/self/ns/mnt", "/proc/self/ns/net"]));
    let own = ["mnt", "net"].map(|n| std::fs::read_link(format!("/proc/self/ns/{n}")).unwrap().display().to_string());
    assert_eq!(outside, own.join("\n"));
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}

#[test]
fn a_hundred_runs_leave_nothing() {
    let one = spec(&["true"]);
    let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let never = Cancel::never().unwrap();
    let run_all = || (0..100).for_each(|_| assert_eq!(run(&one, &never, None, None).unwrap().code, Some(0)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(run_all);
        }
    });
    assert_eq!(marked(&one.mark), Vec::<i32>::new());
    // Other tests open some too: what leaked would be hundreds.
    assert!(fds() < 200, "{}", fds());
}

#[test]
fn a_background_program_logs() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let never = Cancel::never().unwrap();
    std::fs::write(&log, "before\n").unwrap();
    let started = background(&Spec { netns: Some(netns()), ..sh("echo out; echo err >&2; exit 4") }, &folder);
    assert_eq!(started.wait(None, &never).unwrap(), Some(Ended { code: Some(4), signal: None }));
    assert!(!started.running() && started.ended().is_some());
    assert_eq!(started.signal(15).unwrap_err().kind, Kind::NotFound);
    assert_eq!(started.stop(Duration::ZERO).unwrap().code, Some(4));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "before\nout\nerr\n");
    std::fs::remove_file(&log).unwrap();

    let bytes = vec![b'x'; 5_000_000];
    let started = background(&Spec { stdin: Stdin::Bytes(bytes.clone()), ..spec(&["cat"]) }, &folder);
    assert_eq!(started.wait(Some(Duration::from_secs(60)), &never).unwrap().unwrap().code, Some(0));
    assert!(std::fs::read(&log).unwrap() == bytes);
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(start(&Spec { stdin: Stdin::Inherit, ..sh("") }, &log, |_| Ok(())).unwrap_err().kind, Kind::Invalid);
    let nowhere = folder.path().join("no/log");
    assert_eq!(start(&sh(""), &nowhere, |_| Ok(())).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_background_program_is_signalled_and_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let never = Cancel::never().unwrap();
    let started = background(&sh("trap 'echo hup' HUP; echo up; while :; do sleep 1000 & wait; done"), &folder);
    assert!(started.running());
    assert_eq!(process_start_time(started.pid()), Some(started.start_time()));
    assert_eq!(nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(started.pid()))).unwrap().as_raw(), started.pid());
    until_logged(&log, "up");
    started.signal(libc::SIGHUP).unwrap();
    until_logged(&log, "hup");
    assert_eq!(started.wait(Some(Duration::from_millis(1)), &never).unwrap(), None);
    let (cancel, raise) = Cancel::for_test();
    std::thread::scope(|scope| {
        scope.spawn(|| raise(libc::SIGINT));
        assert_eq!(started.wait(None, &cancel).unwrap_err().kind, Kind::Interrupted);
    });
    assert!(marked(started_mark(&started).as_str()).len() >= 2);
    assert_eq!(started.stop(Duration::from_secs(5)).unwrap().signal, Some(libc::SIGTERM));
    assert_eq!(process_start_time(started.pid()), None);

    let deaf = sh("trap '' TERM; echo deaf; while :; do sleep 1000; done");
    let started = background(&deaf, &folder);
    until_logged(&log, "deaf");
    assert_eq!(started.stop(Duration::from_millis(20)).unwrap().signal, Some(libc::SIGKILL));
    assert_eq!(marked(&deaf.mark), Vec::<i32>::new());
}

fn started_mark(started: &Started) -> String {
    let [mark] = super::proc::variables(started.pid(), [MARK]);
    mark.unwrap()
}

#[test]
fn nothing_runs_before_the_go() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let proof = folder.path().join("proof");
    let touch = spec(&["touch", proof.to_str().unwrap()]);
    let mut pid = 0;
    let error = start(&touch, &log, |lineage| {
        pid = lineage.pid;
        assert_eq!(process_start_time(pid), Some(lineage.start_time));
        assert!(!proof.exists());
        Err(crate::plan::Error::new(Kind::Io, "the journal is full"))
    })
    .unwrap_err();
    assert_eq!(error.message, "the journal is full");
    assert_eq!(process_start_time(pid), None);
    assert!(!proof.exists());
    let mut seen = None;
    let started = start(&touch, &log, |lineage| {
        seen = Some(lineage.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(started.wait(None, &Cancel::never().unwrap()).unwrap().unwrap().code, Some(0));
    assert!(proof.exists());
    assert_eq!(seen.as_ref(), Some(started.lineage()));
    // Not found: told by `start`, after the journal had it.
    let mut called = false;
    let error = start(&spec(&["no-such-program-here"]), &log, |_| {
        called = true;
        Ok(())
    });
    assert_eq!((error.unwrap_err().kind, called), (Kind::NotFound, true));
    // Killed while it waited.
    let started = start(&touch, &log, |lineage| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(lineage.pid), nix::sys::signal::SIGKILL).unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(started.wait(None, &Cancel::never().unwrap()).unwrap().unwrap().signal, Some(9));
}

#[test]
fn what_is_in_a_namespace_is_found_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let ns = netns();
    let file = std::fs::File::from(ns.try_clone().unwrap()).metadata().unwrap();
    let (dev, inode) = (file.dev(), file.ino());
    assert_eq!(pids_in_netns(dev, inode), Vec::<i32>::new());
    let inside = |script: &str| Spec { netns: Some(ns.clone()), ..sh(script) };
    let first = background(&inside("sleep 1000"), &folder);
    let second = background(&inside("trap '' TERM; echo deaf; while :; do sleep 1000; done"), &folder);
    let outside = background(&sh("sleep 1000"), &folder);
    until_logged(&log, "deaf");
    // A thread of ours is inside too.
    let (stay, leave) = std::sync::mpsc::channel::<()>();
    let (entered, is_inside) = std::sync::mpsc::channel();
    let fd = ns.clone();
    let thread = std::thread::spawn(move || {
        nix::sched::setns(&*fd, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        entered.send(()).unwrap();
        let _ = leave.recv();
    });
    is_inside.recv().unwrap();
    let found = pids_in_netns(dev, inode);
    assert!([own_pid(), first.pid(), second.pid()].iter().all(|p| found.contains(p)), "{found:?}");
    assert!(!found.contains(&outside.pid()));
    let ended = end_in_netns(&[(dev, inode)], Duration::from_millis(100)).unwrap();
    assert!(ended.iter().any(|e| e.pid == first.pid() && !e.killed), "{ended:?}");
    assert!(ended.iter().any(|e| e.pid == second.pid() && e.killed), "{ended:?}");
    assert_eq!(pids_in_netns(dev, inode), vec![own_pid()]);
    assert!(!first.running() && !second.running() && outside.running());
    outside.stop(Duration::from_secs(5)).unwrap();
    drop(stay);
    thread.join().unwrap();
    let own = std::fs::metadata("/proc/self/ns/net").unwrap();
    assert_eq!(end_in_netns(&[(own.dev(), own.ino())], Duration::ZERO).unwrap_err().kind, Kind::Invalid);
}

#[test]
fn a_tree_is_ended_by_what_the_journal_has() {
    let folder = tempfile::tempdir().unwrap();
    // The root ends at once; what it left carries its tag.
    let daemon = sh("(setsid sh -c 'echo up; sleep 1000' &) ; exit 0");
    let started = background(&daemon, &folder);
    until_logged(&folder.path().join("log"), "up");
    started.wait(None, &Cancel::never().unwrap()).unwrap();
    let journalled = started.lineage().clone();
    drop(started);
    assert!(!marked(&daemon.mark).is_empty());
    let ended = end_trees(std::slice::from_ref(&journalled), Duration::from_secs(5)).unwrap();
    assert!(!ended.is_empty() && ended.iter().all(|e| !e.killed), "{ended:?}");
    assert_eq!(marked(&daemon.mark), Vec::<i32>::new());
    assert_eq!(end_trees(&[journalled], Duration::from_secs(5)).unwrap(), vec![]);
    // A pid that is another's by now is left alone.
    let other = background(&spec(&["sleep", "1000"]), &folder);
    assert_eq!(end_tree(other.pid(), other.start_time() + 1, Duration::ZERO).unwrap(), vec![]);
    assert!(other.running());
    let ended = end_tree(other.pid(), other.start_time(), Duration::from_secs(5)).unwrap();
    assert_eq!(ended.iter().map(|e| (e.pid, e.killed)).collect::<Vec<_>>(), [(other.pid(), false)]);
    assert_eq!(other.ended().unwrap().signal, Some(15));
}

#[test]
fn a_part_of_a_tree_is_ended_alone() {
    let folder = tempfile::tempdir().unwrap();
    let started = background(&sh("sleep 1000 & echo up; wait; exec sleep 1000"), &folder);
    until_logged(&folder.path().join("log"), "up");
    let part = children(started.pid())[0];
    let ended = end_tree(part, process_start_time(part).unwrap(), Duration::from_secs(5)).unwrap();
    assert_eq!(ended.iter().map(|e| e.pid).collect::<Vec<_>>(), [part]);
    assert!(started.running());
    started.stop(Duration::from_secs(5)).unwrap();
}

/// Everything that a program may do to get out of its tree.
const ESCAPES: &str = r#"
    (setsid sh -c 'sleep 1001 & sleep 1002' &)
    setsid sh -c '(sleep 1003 &) ; exec sleep 1004' &
    (env -i setsid sleep 1005 &)
    (env -i setsid sh -c 'trap "" TERM HUP; (sleep 1006 &); while :; do sleep 1007; done' &)
    trap '' TERM
    echo up
    while :; do sleep 1008; done
"#;

#[test]
fn nothing_escapes_a_cancelled_run() {
    isolated("nothing_escapes_a_cancelled_run", || {
        for netns in [None, Some(netns())] {
            let finished = cancel_when_up(&Spec { netns, ..sh(ESCAPES) });
            assert!(finished.cancelled && finished.warnings.is_empty(), "{:?}", finished.warnings);
            assert_eq!(finished.signal, Some(libc::SIGKILL));
            assert_eq!(children(own_pid()), Vec::<i32>::new());
        }
        // With others running, which stay.
        let folder = tempfile::tempdir().unwrap();
        let other = background(&sh("sleep 1000"), &folder);
        let finished = cancel_when_up(&Spec { netns: Some(netns()), ..sh(ESCAPES) });
        assert!(finished.cancelled && finished.warnings.is_empty());
        assert!(other.running());
        assert_eq!(children(own_pid()), vec![other.pid()]);
        other.stop(Duration::from_secs(5)).unwrap();
    });
}

#[test]
fn nothing_escapes_a_timeout() {
    isolated("nothing_escapes_a_timeout", || {
        let timeout = Some(Duration::from_millis(700));
        let finished = run_it(&Spec { timeout, ..sh(ESCAPES) });
        assert!(finished.timed_out && finished.warnings.is_empty());
        assert_eq!(text(&finished.stdout), "up\n");
        assert_eq!(children(own_pid()), Vec::<i32>::new());
    });
}

#[test]
fn what_forks_for_ever_is_ended() {
    isolated("what_forks_for_ever_is_ended", || {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let loops = "trap '' TERM; echo looping; while :; do (sleep 0.01 &) ; done";
        // Each lives just long enough to start the next.
        let comet = "trap '' TERM; echo flying; c() { (c) & }; c";
        for (script, line) in [(loops, "looping"), (comet, "flying")] {
            for netns in [None, Some(netns())] {
                let endless = Spec { netns, ..sh(script) };
                let started = background(&endless, &folder);
                until_logged(&log, line);
                started.stop(Duration::from_millis(20)).unwrap();
                assert_eq!(marked(&endless.mark), Vec::<i32>::new());
                std::fs::remove_file(&log).unwrap();
            }
        }
        reap_orphans();
    });
}

#[test]
fn descendants_are_ended_but_for_those_kept() {
    isolated("descendants_are_ended_but_for_those_kept", || {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let daemon = |line: &str| sh(&format!("(setsid sh -c 'echo {line}; sleep 1000' &); exec sleep 1000"));
        let kept = background(&Spec { netns: Some(netns()), ..daemon("one") }, &folder);
        let ended = background(&daemon("two"), &folder);
        until_logged(&log, "one");
        until_logged(&log, "two");
        let gone = end_descendants(|p| kept.lineage().owns(p), Duration::from_secs(5)).unwrap();
        assert!(gone.len() >= 2 && gone.iter().all(|e| !e.killed), "{gone:?}");
        assert!(kept.running());
        assert_eq!(ended.ended(), Some(Ended { code: None, signal: Some(15) }));
        // The kept one, and what it left to us.
        assert_eq!(children(own_pid()).len(), 2);
        let gone = end_descendants(|_| false, Duration::from_secs(5)).unwrap();
        assert!(gone.len() >= 2);
        assert_eq!(kept.ended(), Some(Ended { code: None, signal: Some(15) }));
    });
}

#[test]
fn children_from_before_are_left_alone() {
    isolated("children_from_before_are_left_alone", || {
        // As in a script that says `sleep & exec`: the sleep is a child of what is executed.
        let inner = std::env::var("NSSCRIPT_TEST_INNER").is_ok();
        if !inner {
            let exe = std::env::current_exe().unwrap();
            let exe = exe.to_str().unwrap();
            let name = format!("{HERE}children_from_before_are_left_alone");
            let script = r#"sleep 1000 & exec "$1" --exact "$2" --nocapture --test-threads=1"#;
            let mut outer = spec(&["sh", "-c", script, "sh", exe, &name]);
            outer.env.push(("NSSCRIPT_TEST_INNER".into(), Some("1".into())));
            let finished = run_it(&outer);
            assert_eq!(finished.code, Some(0), "{}", String::from_utf8_lossy(&finished.stderr));
            end_descendants(|_| false, Duration::from_secs(5)).unwrap();
            return;
        }
        let strangers = children(own_pid());
        assert_eq!(strangers.len(), 1);
        let started = background(&sh("sleep 1000"), &tempfile::tempdir().unwrap());
        end_descendants(|_| false, Duration::from_secs(5)).unwrap();
        assert!(!started.running());
        assert_eq!(children(own_pid()), strangers);
        // `isolated` wants none left.
        std::process::exit(0);
    });
}

#[test]
fn orphans_are_reaped_and_children_are_not() {
    isolated("orphans_are_reaped_and_children_are_not", || {
        let folder = tempfile::tempdir().unwrap();
        let started = background(&sh("exit 6"), &folder);
        until_a_child_ended();
        assert_eq!(reap_orphans(), Vec::<i32>::new());
        assert_eq!(started.ended(), Some(Ended { code: Some(6), signal: None }));
        // An orphan that ends only after its parent.
        let fifo = folder.path().join("go");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        run_it(&spec(&["sh", "-c", r#"sh -c 'read x <"$0"' "$1" & exit 0"#, "sh", fifo.to_str().unwrap()]));
        assert_eq!(reap_orphans(), Vec::<i32>::new());
        std::fs::OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"go\n").unwrap();
        until_a_child_ended();
        assert_eq!(reap_orphans().len(), 1);
        // A handle that was dropped leaves an orphan.
        drop(background(&spec(&["true"]), &folder));
        until_a_child_ended();
        assert_eq!(reap_orphans().len(), 1);
    });
}

#[test]
fn a_background_program_holds_no_descriptor_of_ours() {
    isolated("a_background_program_holds_no_descriptor_of_ours", || {
        let folder = tempfile::tempdir().unwrap();
        // Inherited without close-on-exec, as from `flock 9`.
        let file = std::fs::File::create(folder.path().join("lock")).unwrap();
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        let started = background(&Spec { netns: Some(netns()), ..sh("ls -l /proc/$$/fd") }, &folder);
        assert_eq!(started.wait(None, &Cancel::never().unwrap()).unwrap().unwrap().code, Some(0));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log.matches(" -> ").count(), 3, "{log}");
        assert!(!log.contains("lock"), "{log}");
        // What runs in the foreground keeps what our caller meant it to have, as with any shell.
        assert!(output(&sh("ls -l /proc/$$/fd")).contains("lock"));
    });
}

#[test]
fn files_of_the_namespace_cover_those_of_etc() {
    isolated("files_of_the_namespace_cover_those_of_etc", || {
        // An /etc of our own, in private mounts.
        let (none, flags) = (None::<&str>, nix::mount::MsFlags::empty());
        nix::mount::mount(Some("none"), "/etc", Some("tmpfs"), flags, none).unwrap();
        std::fs::create_dir_all("/etc/netns/it").unwrap();
        std::fs::create_dir_all("/etc/netns/it/folder").unwrap();
        std::fs::create_dir_all("/etc/folder").unwrap();
        for (file, text) in [
            ("/etc/resolv.conf", "ours"),
            ("/etc/netns/it/resolv.conf", "its"),
            ("/etc/netns/it/folder/file", "deep"),
            ("/etc/netns/it/missing", "no target"),
        ] {
            std::fs::write(file, text).unwrap();
        }
        let inside = |name: &str| Spec {
            netns: Some(netns()),
            netns_name: Some(name.into()),
            ..sh("cat /etc/resolv.conf /etc/folder/file 2>/dev/null; exit 0")
        };
        let finished = run_it(&inside("it"));
        assert_eq!(text(&finished.stdout), "itsdeep");
        let warning = "bind `/etc/netns/it/missing` over `/etc/missing`: no such file or directory";
        assert_eq!(finished.warnings, [warning]);
        let finished = run_it(&inside("other"));
        assert_eq!((text(&finished.stdout), finished.warnings.len()), ("ours", 0));
        // Not by a name that leads elsewhere.
        let finished = run_it(&inside("../netns/it"));
        assert_eq!((text(&finished.stdout), finished.warnings.len()), ("ours", 0));
        assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap(), "ours");
    });
}

#[test]
fn a_program_that_waits_for_the_go_ends_with_us() {
    isolated("a_program_that_waits_for_the_go_ends_with_us", || {
        let proof = std::env::var_os("NSSCRIPT_TEST_PROOF");
        if let Some(proof) = proof {
            // The one that is killed.
            let touch = spec(&["touch", proof.to_str().unwrap()]);
            let log = Path::new(&proof).with_extension("log");
            let _ = start(&touch, &log, |_| {
                nix::sys::signal::raise(nix::sys::signal::SIGKILL).unwrap();
                Ok(())
            });
            unreachable!();
        }
        let folder = tempfile::tempdir().unwrap();
        let proof = folder.path().join("proof");
        let exe = std::env::current_exe().unwrap();
        let name = format!("{HERE}a_program_that_waits_for_the_go_ends_with_us");
        let mut killed = spec(&[exe.to_str().unwrap(), "--exact", &name, "--nocapture", "--test-threads=1"]);
        killed.env.push(("NSSCRIPT_TEST_PROOF".into(), Some(proof.clone().into())));
        let finished = run_it(&killed);
        assert_eq!(finished.signal, Some(9), "{}", String::from_utf8_lossy(&finished.stdout));
        assert!(proof.with_extension("log").exists());
        // Left to us, it ends by itself.
        if !children(own_pid()).is_empty() {
            until_a_child_ended();
        }
        assert!(reap_orphans().len() <= 1);
        assert!(!proof.exists());
    });
}

#[test]
fn all_the_same_as_root_of_a_user_namespace() {
    if std::env::var_os(ISOLATED).is_some() {
        return;
    }
    let output = std::process::Command::new("unshare")
        .args(["-Urnmpf", "--mount-proc", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args([HERE, "--nocapture"])
        .env(ISOLATED, "not those that are isolated anyway")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

//! The command line, as a user meets it: the program itself, run in namespaces of its own.
//!
//! The whole test process first leaves the machine's namespaces: it starts itself again by `unshare` as root of new user,
//! network, mount and pid namespaces, with a fresh /run. Nothing here can touch what is outside.

#![allow(clippy::disallowed_methods, reason = "tests start programs by themselves")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nsscript");
const INSIDE: &str = "NSSCRIPT_TEST_CLI_INSIDE";

/// Runs the test again in namespaces of its own, unless this is that run. Returns whether it is.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some_and(|t| t == test) {
        return true;
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["-Urnmpf", "--mount-proc", "sh", "-c", "mount -t tmpfs none /run && exec \"$0\" \"$@\""])
        .arg(this)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .expect("unshare of util-linux");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the test did not run inside: {text}");
    false
}

/// Runs the rest of the test in namespaces of its own.
macro_rules! isolated {
    ($test:literal) => {
        if !inside($test) {
            return;
        }
    };
}

#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/honest.rs"]
mod honest;
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/labs.rs"]
mod labs;
#[path = "cli/monitor.rs"]
mod monitor;
#[path = "cli/stacked.rs"]
mod stacked;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    fn ends(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Ran {
        assert!(self.err.contains(part), "no {part:?} in stderr:\n{}", self.err);
        self
    }

    #[track_caller]
    fn prints(self, want: &str) -> Ran {
        assert_eq!(self.out, want, "stderr:\n{}", self.err);
        self
    }
}

/// Lets the programs that a test starts hear signals: a shell without job control starts what runs in the background with
/// SIGINT ignored, and a program takes that over.
fn hear_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for which in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM] {
        // SAFETY: the default action is no handler.
        let _ = unsafe { signal(which, SigHandler::SigDfl) };
    }
}

fn command(args: &[&str]) -> Command {
    hear_signals();
    let mut command = Command::new(PROGRAM);
    command.args(args).env_remove("NO_COLOR").env_remove("NSSCRIPT_PATH").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

/// The words of a line.
fn line(words: &str) -> Ran {
    run(&words.split_whitespace().collect::<Vec<_>>())
}

/// Waits until it holds, at most 20 s.
#[track_caller]
fn eventually(otherwise: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn with_stdin(args: &[&str], text: &str) -> Ran {
    let mut child = command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[track_caller]
fn ip(args: &str) {
    let status = Command::new("ip").args(args.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {args}");
}

/// A script in a file of its own.
struct Script(PathBuf);

impl Script {
    fn new(name: &str, text: &str) -> Script {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = std::env::temp_dir().join(format!(
            "nsscript-cli-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        Script(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// Every line is a JSON object.
#[track_caller]
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|l| {
            let value: Value = serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"));
            assert!(value.is_object(), "{l}");
            value
        })
        .collect()
}

// ---------------------------------------------------------------------------------------------------------------
// Usage

#[test]
fn wrong_usage_ends_with_2() {
    for args in [
        "--nosuch",
        "--verbose --quiet -e 1",
        "--json --explain -e 1",
        "-e",
        "check",
        "doc --markdown name",
        "netns set a",
        "netns list --all",
        "netns del",
        "netns del a --all",
        "--sandbox netns list",
        "netns list-id nsid",
        "netns list-id nsid x",
        "netns add a/b",
        "monitor --count 0",
        "monitor --timeout soon",
        "monitor nosuch",
        "completions nosuch",
        "--color sometimes -e 1",
        "/nosuch/script.rhai",
    ] {
        let ran = line(args);
        assert_eq!(ran.code, Some(2), "{args}: {}", ran.err);
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{args}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn the_version_is_said() {
    let want = format!("nsscript {}\n", env!("CARGO_PKG_VERSION"));
    line("--version").ends(0).prints(&want);
    line("-V").ends(0).prints(&want);
}

#[test]
fn help_mentions_every_command_and_option() {
    let ran = line("--help").ends(0);
    let words = "check doc doctor netns monitor completions ls show down recover --verbose --explain --json --quiet \
                 --color --sandbox --host -e --rm --name --version";
    for word in words.split_whitespace() {
        assert!(ran.out.contains(word), "{word} is not in\n{}", ran.out);
    }
    for command in ["check", "doc", "doctor", "netns", "monitor", "completions"] {
        let ran = run(&[command, "--help"]).ends(0);
        assert!(ran.out.contains("Usage: nsscript"), "{}", ran.out);
    }
    let ran = line("netns --help").ends(0);
    for verb in "list add attach set del delete identify pids exec monitor list-id --all".split_whitespace() {
        assert!(ran.out.contains(verb), "{verb} is not in\n{}", ran.out);
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell]).ends(0);
        for word in ["nsscript", "netns", "monitor", "doctor"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------
// doc

#[test]
fn doc_lists_and_explains() {
    let ran = line("doc").ends(0);
    for part in ["netns: ", "  netns_add ", "  ns.name ", "  netns_monitor "] {
        assert!(ran.out.contains(part), "{part}");
    }
    let ran = line("doc netns_add").ends(0);
    for part in ["netns_add(name)\nnetns_add(name, options)\n", "Makes a network namespace", "Example:"] {
        assert!(ran.out.contains(part), "{part}\n{}", ran.out);
    }
    assert!(!ran.out.contains('\x1b'), "no colours where there is no terminal");
    assert!(line("doc netns_add --color always").ends(0).out.contains("\x1b[1mnetns_add\x1b[0m(name)"));
    // A property by its last part, a family, and a function of the language itself.
    assert!(line("doc cookie").ends(0).out.starts_with("ns.cookie\n"));
    assert!(line("doc route").ends(0).out.contains("route(dst"));
    assert!(line("doc subnet").ends(0).out.contains("nth_cidr"));
    assert!(line("doc push").ends(0).out.contains("push(array, item)"));
    line("doc netns_ad").ends(1).prints("").says("did you mean `netns_add`?");
    line("doc frobnicate").ends(1).prints("").says("lists them all");
}

#[test]
fn doc_is_json_too() {
    let all: Value = serde_json::from_str(&line("doc --json").ends(0).out).unwrap();
    let families = all.as_array().unwrap();
    assert!(families.iter().any(|f| f["name"] == "netns"), "{families:?}");
    let one: Value = serde_json::from_str(&line("--json doc ping").ends(0).out).unwrap();
    assert_eq!(one[0]["name"], "ping");
}

#[test]
fn doc_writes_definitions_for_editors() {
    let place = Script::new("x", "");
    let dir = place.0.with_file_name("definitions");
    let ran = run(&["doc", "--definitions", dir.to_str().unwrap()]).ends(0);
    assert!(ran.out.lines().count() >= 3, "{}", ran.out);
    for path in ran.out.lines() {
        assert!(Path::new(path).is_file(), "{path}");
    }
    let text = std::fs::read_to_string(dir.join("__static__.d.rhai")).unwrap();
    assert!(text.contains("fn netns_add(name"), "{text}");
}

#[test]
fn a_reader_that_goes_early_is_no_error() {
    let mut child = command(&["doc", "--markdown"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    Ran::from(child.wait_with_output().unwrap()).ends(0).says("");
}

// ---------------------------------------------------------------------------------------------------------------
// netns

#[test]
fn netns_is_as_ip_netns() {
    isolated!("netns_is_as_ip_netns");
    let ip = |args: &str| Ran::from(Command::new("ip").args(args.split_whitespace()).output().unwrap());
    line("netns").ends(0).prints("");
    line("netns add h2 h1").ends(0).prints("");
    line("netns list").ends(0).prints("h1\nh2\n");
    assert_eq!(ip("netns list").ends(0).out.lines().count(), 2, "ip sees them");
    // All or nothing.
    line("netns add h3 h1").ends(1).prints("").says("`h1` exists already");
    line("netns ls").ends(0).prints("h1\nh2\n");
    line("netns set h1 7").ends(0);
    line("netns list").ends(0).prints("h1 (id: 7)\nh2\n");
    line("netns set h2 7").ends(1).says("nsid");
    line("netns set h2 auto").ends(0);
    line("netns set h2 nosuch").ends(2).says("nsid");
    line("--json netns list").ends(0).prints("[{\"id\":7,\"name\":\"h1\"},{\"id\":0,\"name\":\"h2\"}]\n");
    for args in ["netns list-id", "netns list-id nsid 7", "netns list-id target-nsid 7"] {
        line(args).ends(0).prints(&ip(args).ends(0).out);
    }
    line("netns list-id nsid 99").ends(1);
    let listed: Value = serde_json::from_str(&line("netns list-id nsid 7 --json").ends(0).out).unwrap();
    assert_eq!(listed, serde_json::json!([{ "nsid": 7, "name": "h1" }]));
    line("netns del h1 nosuch").ends(1).says("no namespace `nosuch`");
    line("netns list").ends(0).prints("h1 (id: 7)\nh2 (id: 0)\n");
    line("netns delete h1").ends(0);
    line("netns list").ends(0).prints("h2 (id: 0)\n");
    line("--explain netns add h3").ends(0).prints("ip netns add h3\n");
    objects(&line("--json netns add h4").ends(0).out);
    line("netns -all del").ends(0);
    line("netns").ends(0).prints("");
    assert!(!Path::new("/run/nsscript").exists(), "no lab is made");
}

#[test]
fn netns_knows_processes() {
    isolated!("netns_knows_processes");
    line("netns add h1").ends(0);
    line("netns identify").ends(0).prints("");
    line("netns identify 999999").ends(1).says("no such process");
    let mut sleeper = command(&["netns", "exec", "h1", "sleep", "100"]).spawn().unwrap();
    let pid = sleeper.id().to_string();
    // It becomes the program: the same process.
    let comm = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    eventually("it never became `sleep`", || comm() == "sleep\n");
    run(&["netns", "identify", &pid]).ends(0).prints("h1\n");
    line("netns pids h1").ends(0).prints(&format!("{pid}\n"));
    line("netns pids h1 --json").ends(0).prints(&format!("[{pid}]\n"));
    run(&["netns", "attach", "again", &pid]).ends(0);
    run(&["netns", "identify", &pid]).ends(0).prints("again\nh1\n");
    run(&["netns", "attach", "again", &pid]).ends(1).says("exists already");
    line("netns attach new 999999").ends(1);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn netns_exec_is_the_program() {
    isolated!("netns_exec_is_the_program");
    line("netns add h1 h2").ends(0);
    run(&["netns", "exec", "h1", "sh", "-c", "exit 7"]).ends(7);
    // Its namespace, its /sys, its standard input and its options.
    run(&["netns", "exec", "h1", "ls", "-1", "/sys/class/net"]).ends(0).prints("lo\n");
    with_stdin(&["netns", "exec", "h1", "cat"], "text").ends(0).prints("text");
    assert!(run(&["netns", "exec", "h1", "env"]).ends(0).out.lines().all(|l| !l.starts_with("NSSCRIPT_RUN")));
    line("netns exec h1 nosuch-program").ends(127).says("command not found");
    line("netns exec h1 /").ends(126).says("not executable");
    line("netns exec h1").ends(2);
    line("netns exec nosuch true").ends(1).says("no namespace");
    line("netns exec -all echo -all").ends(0).prints("\nnetns: h1\n-all\n\nnetns: h2\n-all\n");
    line("netns exec --all false").ends(1).prints("\nnetns: h1\n\nnetns: h2\n");
}

#[test]
fn netns_without_rights_says_so() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Script::new("x", "");
    let copy = place.0.with_file_name("nsscript");
    std::fs::copy(PROGRAM, &copy).unwrap();
    let as_nobody = |args: &[&str]| -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy).args(args);
        command.output().unwrap().into()
    };
    as_nobody(&["netns", "list"]).ends(0);
    for args in [&["netns", "add", "x"][..], &["netns", "del", "x"], &["netns", "exec", "x", "true"]] {
        as_nobody(args).ends(1).prints("").says("not allowed to you");
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Scripts

#[test]
fn check_finds_mistakes_without_running() {
    let good = Script::new("good.rhai", "let h = netns_add(\"h1\");\nprint(h.name);\n");
    let bad = Script::new("bad.rhai", "print(1);\nnetns_ad(\"h1\");\n");
    let broken = Script::new("broken.rhai", "let x = ;\n");
    run(&["check", good.path()]).ends(0).prints("");
    run(&["check", good.path(), bad.path()]).ends(1).prints("").says("did you mean `netns_add`?");
    run(&["check", broken.path()]).ends(1).prints("").says("broken.rhai");
    run(&["check", "/nosuch.rhai"]).ends(2).says("no such file");
    with_stdin(&["check", "-"], "nosuch()").ends(1).says("<stdin>");
    let errors = objects(&run(&["check", "--json", bad.path()]).ends(1).out);
    assert_eq!((&errors[0]["event"], &errors[0]["line"]), (&"error".into(), &2.into()));
}

#[test]
fn scripts_come_from_files_arguments_and_stdin() {
    run(&["-e", "print(1 + 1)"]).ends(0).prints("2\n");
    with_stdin(&["-"], "print(args().len())").ends(0).prints("0\n");
    with_stdin(&["-", "a", "-b", "--json"], "print(args())").ends(0).prints("[\"a\", \"-b\", \"--json\"]\n");
    let script = Script::new("args.rhai", "for a in args() { print(a); }\n");
    run(&[script.path(), "one", "--two", "check"]).ends(0).prints("one\n--two\ncheck\n");
}

#[test]
fn a_script_can_be_a_program() {
    use std::os::unix::fs::PermissionsExt as _;
    let script = Script::new("tool.rhai", &format!("#!{PROGRAM}\nprint(`${{args()[0]}}!`);\nexit(5);\n"));
    std::fs::set_permissions(&script.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    Ran::from(Command::new(&script.0).arg("x").output().unwrap()).ends(5).prints("x!\n");
}

#[test]
fn exit_codes_are_the_scripts() {
    for (text, code) in [
        ("", 0),
        ("exit()", 0),
        ("exit(0)", 0),
        ("exit(3)", 3),
        ("exit(255)", 255),
        ("exit(256)", 1),
        ("fail(\"no\")", 1),
        ("42", 0),
    ] {
        let ran = run(&["-e", text]);
        assert_eq!(ran.code, Some(code), "{text}: {}", ran.err);
    }
}

#[test]
fn events_are_json_lines() {
    isolated!("events_are_json_lines");
    let ran = run(&["--host", "--json", "--rm", "-e", "print(\"hi\"); netns_add(\"h1\");"]).ends(0);
    let all = objects(&ran.out);
    let named =
        |name: &str| all.iter().find(|o| o["event"] == name).unwrap_or_else(|| panic!("no {name} in {}", ran.out));
    assert_eq!(named("print")["text"], "hi");
    assert_eq!(named("step")["ip"], "ip netns add h1");
    assert_eq!(named("took_down")["verified"], true);
    assert_eq!(ran.err, "");
    let ran = run(&["--host", "--json", "-e", "netns_add(\"h1\"); fail(\"no\")"]).ends(1);
    let all = objects(&ran.out);
    assert!(all.iter().any(|o| o["event"] == "error" && o["kind"] == "fail"), "{}", ran.out);
    assert!(all.iter().any(|o| o["event"] == "rolled_back" && o["verified"] == true), "{}", ran.out);
}

#[test]
fn quiet_and_explain_change_what_is_said() {
    isolated!("quiet_and_explain_change_what_is_said");
    let text = "netns_add(\"h1\"); print(\"data\");";
    let ran = run(&["--host", "--rm", "-q", "-e", text]).ends(0).prints("data\n");
    assert_eq!(ran.err, "");
    run(&["--host", "--rm", "--explain", "-e", text]).ends(0).prints("ip netns add h1\nip netns del h1\n").says("data");
    run(&["--host", "--rm", "-v", "-e", text]).ends(0).prints("data\n").says("ip netns add h1");
    let ran = run(&["--host", "-q", "-e", "fail(\"no\")"]).ends(1);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let colours = |args: &[&str], no_color: &str| {
        let ran: Ran = command(args).env("NO_COLOR", no_color).output().unwrap().into();
        ran.err.contains("\x1b[")
    };
    assert!(!colours(&["-e", "fail(\"x\")"], ""), "stderr is no terminal");
    assert!(colours(&["--color", "always", "-e", "fail(\"x\")"], ""));
    assert!(colours(&["--color", "always", "-e", "fail(\"x\")"], "1"), "an option is stronger than the environment");
    assert!(!colours(&["--color", "never", "-e", "fail(\"x\")"], ""));
}

#[test]
fn a_full_disk_refuses_the_step_and_all_is_undone() {
    isolated!("a_full_disk_refuses_the_step_and_all_is_undone");
    std::fs::create_dir("/run/nsscript").unwrap();
    // The undo's lines are shorter than a step's and may just fit where that did not: with names of several lengths not always.
    let mut most = 0;
    for name in ["n", "nn", "nnn", "nnnn", "nnnnn", "nnnnnn"] {
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("none"), "/run/nsscript", Some("tmpfs"), flags, Some("size=32k")).unwrap();
        let ran = run(&["--host", "-e", &format!("for i in 0..2000 {{ netns_add(`{name}${{i}}`) }}")]);
        let ran =
            ran.ends(1).says("no space left on device").says("can't be journalled is not made").says(", verified");
        let said = ran.err.matches("no space left").count();
        assert!((1..=2).contains(&said), "the step, and once for the undo:\n{}", ran.err);
        most = most.max(said);
        nix::mount::umount("/run/nsscript").unwrap();
    }
    assert_eq!(most, 2, "that the undo could not be written down was said");
    line("netns list").ends(0).prints("");
}

#[test]
fn too_few_descriptors_refuse_the_step_and_all_is_undone() {
    isolated!("too_few_descriptors_refuse_the_step_and_all_is_undone");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 60, 60).unwrap();
    let ran = run(&["--host", "-e", "for i in 0..2000 { netns_add(`n${i}`) }"]);
    ran.ends(1).says("too many open files").says(", verified");
    line("netns list").ends(0).prints("");
}

#[test]
fn programs_get_the_limit_of_files_that_the_program_got() {
    isolated!("programs_get_the_limit_of_files_that_the_program_got");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 300, 900).unwrap();
    let script = r#"netns_add("a"); print(sh("a", "ulimit -S -n; ulimit -H -n").stdout);"#;
    run(&["--host", "--rm", "-e", script]).ends(0).prints("300\n900\n\n");
    line("netns add b").ends(0);
    run(&["netns", "exec", "b", "sh", "-c", "ulimit -S -n"]).ends(0).prints("300\n");
    // A lab that needs more than the lower one is built, and taken down.
    run(&["--host", "--name", "x", "-e", "for i in 0..200 { netns_add(`n${i}`) }"]).ends(0);
    line("down x").ends(0);
}

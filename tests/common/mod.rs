//! What the test programs share: running nsscript with a deadline, what this machine has, and differences as text.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests start programs, and pause between two looks")]

pub mod frame;
pub mod verbs;
pub mod world;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// The program under test.
pub const NSSCRIPT: &str = env!("CARGO_BIN_EXE_nsscript");
/// The environment variable by which the processes of one case are found again.
pub const MARK: &str = "NSSCRIPT_TEST_MARK";
/// The longest that one case may take, also on a machine that emulates another.
pub const LONG: Duration = Duration::from_secs(120);

/// The longest for a case that is many cases: in `just torture` they are many more.
pub fn long() -> Duration {
    if std::env::var_os("NSSCRIPT_TORTURE").is_some() { LONG * 30 } else { LONG * 3 }
}

/// The package's folder, which paths in the tests are relative to.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where everything is meant to be there: what is missing is a failure, not a reason to skip.
pub fn strict() -> bool {
    std::env::var("CI").is_ok_and(|v| !v.is_empty() && v != "false" && v != "0")
}

/// A word that no other case has.
pub fn mark() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

/// Asks until it holds or the time is over; says which.
pub fn poll(bound: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    let mut pause = Duration::from_millis(1);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// How a program ended, and what it wrote.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit status as a shell shows it: 128 + n for signal n.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// Lets the programs that a test starts hear signals: a shell without job control starts what runs in the background with
/// SIGINT ignored, and a program takes that over.
pub fn hear_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for which in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM] {
        // SAFETY: the default action is no handler.
        let _ = unsafe { signal(which, SigHandler::SigDfl) };
    }
}

/// Runs a command to its end. Its output is read while it runs.
///
/// # Errors
/// It can't be started, or is not done within `bound`: then it was killed.
pub fn run(command: &mut Command, bound: Duration) -> Result<Ended, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let mut status = None;
    let ended = poll(bound, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |handle: Option<thread::JoinHandle<String>>| handle.and_then(|h| h.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (text(out), text(err));
    match status {
        Some(status) => Ok(Ended { status, stdout, stderr }),
        None => Err(format!("not done after {} s; stdout:\n{stdout}\nstderr:\n{stderr}", bound.as_secs())),
    }
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The processes that carry `mark` in their environment: pid and command line.
pub fn marked(mark: &str) -> Vec<String> {
    let needle = format!("{MARK}={mark}");
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in all.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()).filter(|p| *p != std::process::id()) else {
            continue;
        };
        let Ok(environ) = std::fs::read(entry.path().join("environ")) else { continue };
        if environ.split(|b| *b == 0).any(|variable| variable == needle.as_bytes()) {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(format!("{pid} {}", String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

/// A run of nsscript in a sandbox of its own.
pub struct Case<'a> {
    /// What comes before the script: `--sandbox` is there already.
    pub flags: &'a [String],
    pub script: &'a Path,
    pub args: &'a [String],
}

/// Runs a script in a sandbox of its own, and looks whether anything of it is left: the sandbox's first process, or any
/// other of its processes. The script's environment has `CASE_DIR`, an empty folder that is removed afterwards.
///
/// # Errors
/// It did not end, or left something behind.
pub fn run_case(case: &Case<'_>) -> Result<Ended, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let mark = mark();
    let mut command = Command::new(NSSCRIPT);
    command
        .args(["--sandbox", "--color", "never"])
        .args(case.flags)
        .arg(case.script)
        .args(case.args)
        .env(MARK, &mark)
        .env("CASE_DIR", folder.path())
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", path())
        .env_remove("NSSCRIPT_PATH")
        .current_dir(root());
    let ended = run(&mut command, LONG);
    let mut left = Vec::new();
    let gone = poll(Duration::from_secs(10), || {
        left = marked(&mark);
        left.is_empty()
    });
    let ended = ended?;
    if gone { Ok(ended) } else { Err(format!("left running:\n{}", left.join("\n"))) }
}

/// Why nothing can be tested here, if so: found by one run of an empty script.
pub fn no_sandbox() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    FOUND
        .get_or_init(|| match run(Command::new(NSSCRIPT).args(["--sandbox", "--quiet", "-e", "exit(0)"]), LONG) {
            Ok(ended) if ended.code() == 0 => None,
            Ok(ended) => Some(format!("no sandbox here: {}", ended.stderr.trim())),
            Err(error) => Some(error),
        })
        .clone()
}

/// `PATH` without folders that can't be looked into: with one, a program that is nowhere is "permission denied", not
/// "not found" (execvp(3)).
fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin:/sbin:/bin"));
    let all: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_dir()).collect();
    std::env::join_paths(all).unwrap_or(path)
}

/// Whether a program is in `PATH`.
pub fn has_program(name: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(name).is_file())
}

/// How this kernel is asked whether it has a feature: a line of shell in a network namespace of its own.
const FEATURES: &[(&str, &str)] = &[
    ("action_gact", "tc qdisc add dev lo clsact && tc filter add dev lo ingress u32 match u32 0 0 action drop"),
    (
        "action_mirred",
        "tc qdisc add dev lo clsact && tc filter add dev lo ingress u32 match u32 0 0 action mirred egress redirect dev lo",
    ),
    (
        "action_police",
        "tc qdisc add dev lo clsact && tc filter add dev lo ingress u32 match u32 0 0 action police rate 1mbit burst 10kb conform-exceed drop",
    ),
    ("action_vlan", "tc qdisc add dev lo clsact && tc filter add dev lo ingress u32 match u32 0 0 action vlan pop"),
    ("bareudp", "ip link add x type bareudp dstport 6635 ethertype mpls_uc"),
    ("bond", "ip link add x type bond"),
    ("bridge", "ip link add x type bridge"),
    ("bridge_vlan", "ip link add x type bridge vlan_filtering 1"),
    ("cake", "tc qdisc add dev lo root cake"),
    ("choke", "tc qdisc add dev lo root choke limit 100 bandwidth 10mbit"),
    ("clsact", "tc qdisc add dev lo clsact"),
    ("codel", "tc qdisc add dev lo root codel"),
    ("drr", "tc qdisc add dev lo root drr"),
    ("dummy", "ip link add x type dummy"),
    ("erspan", "ip link add x type erspan local 127.0.0.1 remote 127.0.0.2 seq key 7"),
    ("filter_basic", "tc qdisc add dev lo clsact && tc filter add dev lo ingress basic action pass"),
    ("filter_flower", "tc qdisc add dev lo clsact && tc filter add dev lo ingress protocol ip flower action pass"),
    ("filter_fw", "tc qdisc add dev lo clsact && tc filter add dev lo ingress handle 7 fw action pass"),
    ("filter_matchall", "tc qdisc add dev lo clsact && tc filter add dev lo ingress matchall action pass"),
    ("filter_u32", "tc qdisc add dev lo clsact && tc filter add dev lo ingress u32 match u32 0 0"),
    ("fq", "tc qdisc add dev lo root fq"),
    ("fq_codel", "tc qdisc add dev lo root fq_codel"),
    ("geneve", "ip link add x type geneve id 5 remote 127.0.0.2"),
    ("gre", "ip link add x type gre local 127.0.0.1 remote 127.0.0.2"),
    ("gretap", "ip link add x type gretap local 127.0.0.1 remote 127.0.0.2"),
    ("hfsc", "tc qdisc add dev lo root handle 1: hfsc default 1"),
    ("htb", "tc qdisc add dev lo root handle 1: htb"),
    ("ifb", "ip link add x type ifb"),
    ("ingress", "tc qdisc add dev lo ingress"),
    ("ip6erspan", "ip link add x type ip6erspan local ::1 remote ::2 seq key 7"),
    ("ip6gre", "ip link add x type ip6gre local ::1 remote ::2"),
    ("ip6gretap", "ip link add x type ip6gretap local ::1 remote ::2"),
    ("ip6tnl", "ip link add x type ip6tnl local ::1 remote ::2"),
    ("ipip", "ip link add x type ipip local 127.0.0.1 remote 127.0.0.2"),
    ("ipvlan", "ip link add va type veth peer name vb && ip link add link va name x type ipvlan"),
    ("ipvtap", "ip link add va type veth peer name vb && ip link add link va name x type ipvtap"),
    ("macsec", "ip link add va type veth peer name vb && ip link add link va name x type macsec port 1"),
    ("macvlan", "ip link add va type veth peer name vb && ip link add link va name x type macvlan"),
    ("macvtap", "ip link add va type veth peer name vb && ip link add link va name x type macvtap"),
    ("mpls_routing", "ip link set lo up; ip route add 10.9.0.0/16 encap mpls 100 dev lo"),
    ("netem", "tc qdisc add dev lo root netem delay 1ms"),
    ("netkit", "ip link add x type netkit"),
    ("nexthop", "ip link set lo up && ip nexthop add id 1 dev lo"),
    ("nft", "nft add table inet t && nft add chain inet t c '{ type filter hook input priority 0; }'"),
    ("nlmon", "ip link add x type nlmon"),
    ("pie", "tc qdisc add dev lo root pie"),
    ("prio", "tc qdisc add dev lo root prio"),
    ("red", "tc qdisc add dev lo root red limit 100kb avpkt 1000 bandwidth 10mbit"),
    ("seg6", "ip link set lo up && ip -6 route add fd00:99::1 encap seg6local action End dev lo"),
    ("sfq", "tc qdisc add dev lo root sfq"),
    ("sit", "ip link add x type sit local 127.0.0.1 remote 127.0.0.2"),
    ("tap", "ip tuntap add x mode tap"),
    ("tbf", "tc qdisc add dev lo root tbf rate 1mbit burst 10kb latency 10ms"),
    ("team", "ip link add x type team"),
    ("tun", "ip tuntap add x mode tun"),
    ("veth", "ip link add va type veth peer name vb"),
    ("vlan", "ip link add va type veth peer name vb && ip link add link va name x type vlan id 5"),
    ("vrf", "ip link add x type vrf table 10"),
    ("vti", "ip link add x type vti local 127.0.0.1 remote 127.0.0.2"),
    ("vti6", "ip link add x type vti6 local ::1 remote ::2"),
    ("vxlan", "ip link add x type vxlan id 5 dstport 4789"),
    ("wireguard", "ip link add x type wireguard"),
    ("xfrm", "ip link add x type xfrm if_id 5"),
];

/// Whether this kernel has a feature, by one of the words above.
///
/// # Errors
/// The word is not known.
pub fn kernel_has(feature: &str) -> Result<bool, String> {
    static FOUND: OnceLock<Mutex<HashMap<String, bool>>> = OnceLock::new();
    let Some((_, line)) = FEATURES.iter().find(|(name, _)| *name == feature) else {
        let all = FEATURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        return Err(format!("`{feature}` is no feature that is asked for: {all}"));
    };
    let mut found = FOUND.get_or_init(Mutex::default).lock().expect("no case panics here");
    if let Some(has) = found.get(feature) {
        return Ok(*has);
    }
    let has = run(Command::new("unshare").args(["-Urn", "sh", "-c", line]), LONG)?.status.success();
    found.insert(feature.into(), has);
    Ok(has)
}

/// The features above that a text asks for by calling a function of their name.
pub fn features_called(text: &str) -> Vec<&'static str> {
    let called = |name: &str| {
        text.match_indices(&format!("{name}("))
            .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    FEATURES.iter().map(|(name, _)| *name).filter(|name| called(name)).collect()
}

/// Two lists of lines, those of one only marked by `-` (wanted) or `+` (got).
pub fn diff(wanted: &[String], got: &[String]) -> String {
    // The longest common subsequence, by the table; the lists are short.
    let (n, m) = (wanted.len(), got.len());
    if n * m > 4_000_000 {
        return format!("{n} lines were expected, {m} came");
    }
    let mut best = vec![vec![0u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            best[i][j] = if wanted[i] == got[j] { best[i + 1][j + 1] + 1 } else { best[i + 1][j].max(best[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = String::new();
    while i < n || j < m {
        if i < n && j < m && wanted[i] == got[j] {
            out += &format!("  {}\n", wanted[i]);
            i += 1;
            j += 1;
        } else if j == m || (i < n && best[i + 1][j] >= best[i][j + 1]) {
            out += &format!("- {}\n", wanted[i]);
            i += 1;
        } else {
            out += &format!("+ {}\n", got[j]);
            j += 1;
        }
    }
    out
}

/// A diagnostic's text on one line, without frames and line breaks: what a message is looked for in.
pub fn flat(text: &str) -> String {
    let plain: String = text.chars().map(|c| if "│·╭╰─├▶".contains(c) { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All files below `dir` whose names end with `.ext`, sorted.
pub fn files(dir: &Path, ext: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(all) = std::fs::read_dir(&folder) else { continue };
        for entry in all.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A ```` ```rhai ```` example of a doc comment.
#[derive(Clone, Debug)]
pub struct Example {
    /// Whose it is: a function, or a module and a function.
    pub name: String,
    pub code: String,
}

/// The examples in the text of one or more doc comments, whose lines may begin with `///`, `//!` or ` * `.
pub fn examples(name: &str, comments: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in comments.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line);
        match (&mut open, line.trim()) {
            (Some(_), "```") => found.extend(open.take().map(|code| Example { name: name.into(), code })),
            (Some(code), _) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, "```rhai") => open = Some(String::new()),
            (None, _) => {}
        }
    }
    found
}

/// A script function as the engine describes it.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub signature: String,
    pub comments: String,
}

/// All native script functions: what is registered, without Rhai's own.
pub fn functions() -> Vec<Function> {
    let mut engine = rhai::Engine::new_raw();
    nsscript::builtins::register(&mut engine);
    let text = engine.gen_fn_metadata_to_json(false).expect("metadata as JSON");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let word = |f: &serde_json::Value, key: &str| f[key].as_str().unwrap_or_default().to_string();
    let list = all["functions"].as_array().expect("a list of functions");
    list.iter()
        .map(|f| Function {
            name: word(f, "name"),
            signature: word(f, "signature"),
            comments: f["docComments"]
                .as_array()
                .map(|lines| lines.iter().filter_map(|l| l.as_str()).collect::<Vec<_>>().join("\n"))
                .unwrap_or_default(),
        })
        .collect()
}

/// Getters, operators and the like: they are described with their type, and need no example of their own.
pub fn is_plumbing(name: &str) -> bool {
    name.contains('$') || ["==", "!=", "to_string", "to_debug"].contains(&name)
}

/// The functions of the standard library: `module::function`, with the doc comment above each. Private ones are left out.
pub fn stdlib() -> Vec<Function> {
    let mut found = Vec::new();
    for file in files(&root().join("stdlib"), "rhai") {
        let module = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a module of the standard library");
        let mut comments = String::new();
        for line in text.lines() {
            if line.starts_with("///") {
                comments += line;
                comments.push('\n');
                continue;
            }
            if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split('(').next().unwrap_or_default().trim();
                found.push(Function {
                    name: format!("{module}::{name}"),
                    signature: line.trim_end_matches('{').trim().to_string(),
                    comments: std::mem::take(&mut comments),
                });
            }
            comments.clear();
        }
    }
    found
}

/// A file with this text, below `folder`.
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    let mut file = std::fs::File::create(&path).expect("a file in a temporary folder");
    file.write_all(text.as_bytes()).expect("to write it");
    path
}

//! The scripts that people read: the lessons of scripts/tutorial, each against the transcript beside it, the labs of
//! scripts/examples, each with its exit status and the lines that matter, and the tests of the standard library in
//! tests/stdlib. Each runs in a sandbox of its own.
//!
//! `ACCEPT=1 cargo test --test tutorial` writes the transcripts anew, from what the program really printed.

mod common;

use common::{Case, Ended, has_program, no_sandbox, root, strict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The lessons, in their order, and the exit status of each.
const LESSONS: &[(&str, i32)] =
    &[("01-ip-netns", 0), ("02-inside", 0), ("03-veth", 0), ("04-bridge", 0), ("05-undo", 1)];

/// What an example has to do.
struct Example {
    name: &'static str,
    args: &'static [&'static str],
    exit: i32,
    /// Lines of stdout, in this order; others may be between them.
    lines: &'static [&'static str],
    /// Texts in stderr.
    errors: &'static [&'static str],
    /// Programs, and `kernel FEATURE`.
    needs: &'static [&'static str],
}

const EXAMPLE: Example = Example { name: "", args: &[], exit: 0, lines: &[], errors: &[], needs: &[] };

const EXAMPLES: &[Example] = &[
    Example {
        name: "blackhole",
        lines: &["nothing listens: ECONNREFUSED", "no route: ENETUNREACH", "prohibit: EACCES", "mended"],
        needs: &["python3"],
        ..EXAMPLE
    },
    Example {
        name: "bond-failover",
        lines: &[
            "in order: by eth0",
            "one cable broken: by eth1, 10 of 10 pings answered",
            "mended: by eth0, 10 of 10 pings answered",
            "both broken: 0 of 1",
        ],
        needs: &["kernel bond"],
        ..EXAMPLE
    },
    Example {
        name: "bridge-four-hosts",
        lines: &[
            "inet: 12 of 12 pings answered",
            "inet6: 12 of 12 pings answered",
            "h1 to h2, both isolated: 0 of 1 pings answered",
            "all as it should be",
        ],
        ..EXAMPLE
    },
    Example {
        name: "daemon",
        lines: &[
            "python3 is ready",
            "status 200",
            "after the stop: failed: <urlopen error [Errno 111] Connection refused>",
        ],
        needs: &["python3"],
        ..EXAMPLE
    },
    Example {
        name: "ecmp",
        lines: &[r#"192.0.2.0/24 by group 10: ["p1", "p2"]"#, "by the second alone: still there"],
        ..EXAMPLE
    },
    Example {
        name: "failing",
        exit: 1,
        lines: &["h1 and h2 are up and talk to each other"],
        errors: &[
            "there is no device `eth1` in namespace `h1`",
            "did you mean `eth0`?",
            "rolled back 9 steps",
            "verified",
        ],
        ..EXAMPLE
    },
    Example {
        name: "failover",
        lines: &["in order: by a", "broken: by b", "both are broken: 0 replies", "mended by the undo"],
        ..EXAMPLE
    },
    Example {
        name: "mtu",
        lines: &["1400 bytes pass", "1401 bytes do not: 10.0.1.2 says too_big, mtu 1400", "in fragments they pass"],
        ..EXAMPLE
    },
    Example { name: "slow-link", ..EXAMPLE },
    Example {
        name: "vlan-trunk",
        lines: &[
            "s1 trunk: 10",
            "s1 blue1: 20 untagged",
            "red: 1 of 1 pings answered",
            "red1 in network 20: blue2 answers",
            "without 10 on the trunk: red is cut, blue is not",
        ],
        needs: &["kernel bridge_vlan"],
        ..EXAMPLE
    },
    Example {
        name: "vxlan-overlay",
        lines: &[
            "by flooding to the other end: 12 of 12 pings answered",
            "by the table: 12 of 12 pings answered",
            "without its entry h4 is not reached, h3 is",
        ],
        ..EXAMPLE
    },
    Example {
        name: "nat",
        lines: &[
            "echo requests from the router's address: 3, from the home network's: 0",
            "the forwarded port: status 200",
            "directly: unreachable",
        ],
        needs: &["nft", "python3"],
        ..EXAMPLE
    },
    Example {
        name: "policy-routing",
        lines: &["90: from all table 102", "101: from 10.1.0.2 table 102", "by the second provider: still there"],
        ..EXAMPLE
    },
    Example {
        name: "road-warrior",
        lines: &[
            "from home: 5 of 5, the gateway sees 198.51.100.2",
            "from the cafe: 5 of 5, the gateway sees 192.0.2.2",
            "the key taken away: 0 of 1",
        ],
        needs: &["kernel wireguard"],
        ..EXAMPLE
    },
    Example {
        name: "two-hosts",
        lines: &["10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.1 "],
        needs: &["ip"],
        ..EXAMPLE
    },
    Example {
        name: "two-routers",
        lines: &[r#"IPv4: ["10.0.1.2", "10.0.2.2", "10.0.3.2"]"#, r#"IPv6: ["fd00:1::2", "fd00:2::2", "fd00:3::2"]"#],
        ..EXAMPLE
    },
    Example {
        name: "vrf-leak",
        lines: &["apart: 0 of 3", "leaked: 3 of 3", "half leaked: 0 of 2"],
        needs: &["kernel vrf"],
        ..EXAMPLE
    },
    Example { name: "wan", needs: &["kernel netem"], ..EXAMPLE },
];

/// Programs that a lesson can do without, but then its transcript is another.
const WANTED: &[&str] = &["nft", "bridge", "ip"];

/// What differs from run to run, replaced by something of the same width, so that tables stay straight.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_string();
        for before in ["pid ", "kill ", "identify ", "attach adopted ", "/proc/"] {
            line = numbers(&line, before, "", "PID");
        }
        line = numbers(&line, "time=", " ms", "…");
        line = numbers(&line, " in ", " ms", "…");
        line = macs(&line);
        line = inodes(&line);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Replaces the number between two texts.
fn numbers(line: &str, before: &str, after: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(before) {
        let (head, tail) = rest.split_at(at + before.len());
        out.push_str(head);
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
        if end > 0 && tail[end..].starts_with(after) {
            out.push_str(by);
            rest = &tail[end..];
        } else {
            rest = tail;
        }
    }
    out + rest
}

/// Replaces MAC addresses, except for those that say something: all zeros, broadcast, and those that a script gave.
fn macs(line: &str) -> String {
    let is_mac = |text: &str| {
        text.len() == 17
            && text.bytes().enumerate().all(|(at, b)| if at % 3 == 2 { b == b':' } else { b.is_ascii_hexdigit() })
    };
    let told =
        |text: &str| text.starts_with("00:00:00") || text.starts_with("ff:ff:ff") || text.starts_with("02:00:00:00");
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        match rest.get(..17) {
            Some(text) if is_mac(text) => {
                out.push_str(if told(text) { text } else { "xx:xx:xx:xx:xx:xx" });
                rest = &rest[17..];
            }
            _ => {
                let end = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
    out
}

/// Replaces inodes of namespaces: ten digits, counted from 4,026,531,840 (`PROC_DYNAMIC_FIRST`, fs/proc/generic.c).
fn inodes(line: &str) -> String {
    line.split_inclusive(' ')
        .map(|word| {
            let number = word.trim_end();
            let inode = number.len() == 10 && number.starts_with("402") && number.bytes().all(|b| b.is_ascii_digit());
            if inode { word.replace(number, "40265#####") } else { word.to_string() }
        })
        .collect()
}

/// What a learner sees: stdout, and of a lesson that fails also stderr, without the word about the sandbox.
fn transcript(ended: &Ended) -> String {
    let mut text = ended.stdout.clone();
    if ended.code() != 0 {
        let talk = ended.stderr.lines().filter(|l| !l.starts_with("in a sandbox"));
        text.extend(talk.flat_map(|line| [line, "\n"]));
    }
    normal(&text)
}

fn run(script: &Path, args: &[&str], exit: i32) -> Result<Ended, Failed> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_string()).collect();
    let ended = common::run_case(&Case { flags: &[], script, args: &args })?;
    if ended.code() == exit {
        return Ok(ended);
    }
    let Ended { stdout, stderr, .. } = &ended;
    Err(format!("exit status {}, expected {exit}\nstdout:\n{stdout}\nstderr:\n{stderr}", ended.code()).into())
}

const NOT_IN_KERNEL: &str = "this kernel has no";

/// What can't be tested here, if so.
fn missing(needs: &[&str]) -> Option<String> {
    let lacks = |need: &&str| match need.strip_prefix("kernel ") {
        Some(feature) => match common::kernel_has(feature) {
            Ok(true) => None,
            Ok(false) => Some(format!("{NOT_IN_KERNEL} {feature}")),
            Err(error) => Some(error),
        },
        None => (!has_program(need)).then(|| format!("there is no program `{need}` here")),
    };
    no_sandbox().or_else(|| needs.iter().find_map(lacks))
}

/// A trial that is left out where something is missing. In CI everything has to be there but what the kernel truly lacks.
fn trial(name: String, needs: Vec<&'static str>, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match missing(&needs) {
        Some(reason) if strict() && !reason.starts_with(NOT_IN_KERNEL) => Err(reason.into()),
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => test().map(|()| Completion::Completed),
    })
}

fn lesson(name: &str, exit: i32) -> Result<(), Failed> {
    let script = PathBuf::from(format!("scripts/tutorial/{name}.rhai"));
    let file = root().join(script.with_extension("expected"));
    let got = transcript(&run(&script, &[], exit)?);
    if std::env::var_os("ACCEPT").is_some() {
        return std::fs::write(&file, got).map_err(|e| format!("{}: {e}", file.display()).into());
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    if wanted == got {
        return Ok(());
    }
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    Err(format!(
        "{} (- expected, + got):\n{}\nif this is as it should be: ACCEPT=1 cargo test --test tutorial -- tutorial/{name}",
        script.with_extension("expected").display(),
        common::diff(&lines(&wanted), &lines(&got)),
    )
    .into())
}

fn example(example: &Example) -> Result<(), Failed> {
    let script = PathBuf::from(format!("scripts/examples/{}.rhai", example.name));
    let ended = run(&script, example.args, example.exit)?;
    let mut lines = ended.stdout.lines();
    for wanted in example.lines {
        if !lines.any(|line| line == *wanted) {
            return Err(format!("stdout lacks, in this order: {wanted}\nstdout:\n{}", ended.stdout).into());
        }
    }
    let said = common::flat(&ended.stderr);
    for wanted in example.errors {
        if !said.contains(wanted) {
            return Err(format!("stderr lacks: {wanted}\nstderr:\n{}", ended.stderr).into());
        }
    }
    Ok(())
}

/// The names of the scripts in a folder, without what is a module for others (`_name.rhai`).
fn scripts(folder: &str, ext: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    common::files(&root().join(folder), ext).into_iter().map(stem).filter(|n| !n.starts_with('_')).collect()
}

/// Every script is tested, every test has its script, every lesson its transcript.
fn none_is_forgotten() -> Result<(), Failed> {
    let known = |names: Vec<&str>| names.into_iter().map(str::to_string).collect::<BTreeSet<_>>();
    let lessons = known(LESSONS.iter().map(|l| l.0).collect());
    let examples = known(EXAMPLES.iter().map(|e| e.name).collect());
    for (what, folder, ext, wanted) in [
        ("LESSONS", "scripts/tutorial", "rhai", &lessons),
        ("LESSONS (with ACCEPT=1)", "scripts/tutorial", "expected", &lessons),
        ("EXAMPLES", "scripts/examples", "rhai", &examples),
    ] {
        let there = scripts(folder, ext);
        if &there != wanted {
            return Err(
                format!("{folder}/*.{ext}: there are {there:?}, {what} in tests/tutorial.rs has {wanted:?}").into()
            );
        }
    }
    let numbers: Vec<String> = lessons.iter().map(|n| n.chars().take_while(char::is_ascii_digit).collect()).collect();
    let wanted: Vec<String> = (1..=lessons.len()).map(|n| format!("{n:02}")).collect();
    if numbers == wanted { Ok(()) } else { Err(format!("the lessons are numbered {numbers:?}").into()) }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // They mostly wait for the kernel, so more of them at a time than there are processors.
    arguments.test_threads.get_or_insert(6);
    let mut trials = vec![Trial::test("none_is_forgotten", none_is_forgotten)];
    for (name, exit) in LESSONS {
        trials.push(trial(format!("tutorial/{name}"), WANTED.to_vec(), || lesson(name, *exit)));
    }
    for one in EXAMPLES {
        trials.push(trial(format!("examples/{}", one.name), one.needs.to_vec(), || example(one)));
    }
    for name in scripts("tests/stdlib", "rhai") {
        let script = PathBuf::from(format!("tests/stdlib/{name}.rhai"));
        trials.push(trial(format!("stdlib/{name}"), Vec::new(), move || run(&script, &[], 0).map(|_| ())));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

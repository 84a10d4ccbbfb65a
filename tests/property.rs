//! Random scripts over a world with objects of its own, cut at a random point: by an error, by SIGKILL just before or just
//! after a change (then `recover`, which may be killed too), by SIGINT, by their own failure, or taken down as a lab.
//! Afterwards the world has to be what it was.
//!
//! - `NSSCRIPT_CASES`: how many (50 without it). Each is one seed; `NSSCRIPT_SEED` is the first one (1 without it).
//! - A seed that fails is shrunk: calls are taken out while it still fails. What is left is printed as a script, and
//!   `NSSCRIPT_REPLAY=FILE cargo test --test property` runs such a file again.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;
#[path = "property/generate.rs"]
mod generate;

use common::frame::{self, Frame};
use common::world::{self, Dump, nsscript};
use generate::{Generator, Node, Rng};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many seeds share one world: what a case left would be found by the next.
const BATCH: u64 = 25;
/// A shrink ends after this, however far it got.
const SHRINK: Duration = Duration::from_secs(150);
/// The first line of a script that is replayed.
const CUT: &str = "// cut: ";
/// What of a bridge's port shows its number.
const PORT_NUMBER: &[&str] = &["designated_port", "id", "no"];
/// What every script begins with. An error that the script catches must have left nothing, and be no mistake of nsscript's.
const PRELUDE: &str = r#"fn look(e) { if e.kind == "internal" || e.message.contains("could not be undone") { print(`BAD ${e.kind}: ${e.message}`); } }
"#;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

/// The case of a seed: its script, and how it is cut.
fn case(seed: u64) -> (Vec<Node>, String) {
    let mut rng = Rng::new(seed);
    let length = 1 + rng.below(14);
    let mode = *rng.pick(&[
        "end",
        "end",
        "exit",
        "savepoint",
        "savepoint",
        "rm",
        "down",
        "error",
        "error",
        "int",
        "kill-before",
        "kill-before",
        "kill-after",
        "kill-after",
        "kill-after",
        "kill-twice",
        "kill-twice",
    ]);
    let nodes = Generator::new(&mut rng, mode == "down").script(length);
    let at = 1 + rng.below(2 * length + 3);
    let cut = match mode {
        "error" | "int" | "kill-before" | "kill-after" => format!("{mode}@{at}"),
        "kill-twice" => format!("kill-after@{at}+{}", 1 + rng.below(at + 2)),
        plain => plain.to_string(),
    };
    (nodes, cut)
}

/// The script as it is run. Except for `rm` and `down` it fails at its end, if it gets there.
fn whole(nodes: &[Node], cut: &str) -> String {
    let body = generate::text(nodes);
    let framed = match cut {
        "savepoint" => {
            format!("try {{ transaction(|| {{\n{body}fail(\"on purpose\");\n}}); }} catch (e) {{ look(e); }}\n")
        }
        "rm" | "down" => body,
        "exit" => format!("{body}exit(7);\n"),
        _ => format!("{body}fail(\"on purpose\");\n"),
    };
    format!("{CUT}{cut}\n{PRELUDE}{framed}")
}

/// Runs a script that says itself how it is cut, and compares. What it found, if the world is not what it was.
fn run(path: &Path, before: &Dump) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let cut =
        text.lines().next().and_then(|l| l.strip_prefix(CUT)).ok_or("the first line doesn't say how it is cut")?;
    let (fault, again) = cut.split_once('+').unwrap_or((cut, ""));
    let fault = if fault.contains('@') { fault } else { "" };
    let script = path.to_string_lossy();
    let mut words = vec!["--host", "--name", "case"];
    if cut == "rm" {
        words.push("--rm");
    }
    words.push(&script);
    let ended = nsscript(&words, fault)?;
    let (mut said, mut problems) = (ended.stderr.clone(), Vec::new());
    let killed = ended.status.signal() == Some(9);
    let wanted: &[i32] = match cut {
        _ if killed => &[],
        "savepoint" => &[0],
        // A call outside of any `try` may have failed.
        "rm" | "down" => &[0, 1],
        "exit" => &[7, 1],
        _ if cut.starts_with("int") => &[130, 1],
        _ => &[1],
    };
    if !killed && !wanted.contains(&ended.code()) {
        problems.push(format!("exit status {}, expected one of {wanted:?}", ended.code()));
    }
    if cut == "down" && ended.code() == 0 && ended.stderr.contains("takes it away") {
        // Nobody but the script has changed anything.
        let shown = nsscript(&["show", "case"], "")?.stdout;
        problems.extend(shown.lines().filter(|l| l.starts_with("drift: ")).map(|l| format!("it says `{l}`")));
        let down = nsscript(&["down", "case"], "")?;
        said += &down.stderr;
        if down.code() != 0 {
            problems.push(format!("down: exit status {}", down.code()));
        }
    }
    if killed {
        if !again.is_empty() {
            said += &nsscript(&["recover"], &format!("kill-after@{again}"))?.stderr;
        }
        let recovered = nsscript(&["recover"], "")?;
        said += &recovered.stderr;
        if recovered.code() != 0 {
            problems.push(format!("recover: exit status {}", recovered.code()));
        }
    }
    // A route of several hops can't be made while one of them is down: an inner undo says so, and the outer one, or the
    // script's end, brings it back (the comparison below finds out).
    let flat = common::flat(&format!("{said}\n{}", ended.stdout));
    let honest = flat.contains("Nexthop has invalid gateway")
        || flat.contains("Nexthop device is not up")
        || flat.contains("Carrier for nexthop device is down")
        // Nor a group of nexthops that lost a member by that.
        || flat.contains("Invalid nexthop id")
        // Nor one by a gateway whose subnet went when IPv6 was switched off.
        || flat.split("via fd00::9 dev v1 ").skip(1).any(|t| t.contains("in namespace `w1`: no route to host"))
        // Nor a nexthop of IPv6 over a link whose mtu an earlier step took below IPv6's least.
        || flat.contains("via fd00::9 dev v1 in namespace `w1`: no such device")
        // Nor can the local route of a link that is down be put behind that of a link that came back.
        || flat.contains("the order of routes to 10.0.0.1 tos 0 metric 0 in table 255")
        // A filter that mirrors to a link which was gone already can't be made again.
        || flat.contains("act_mirred: Must specify device or block");
    for bad in ["BAD ", "panicked", "not as it was", "could not be undone"] {
        if !honest && (ended.stdout.contains(bad) || said.contains(bad)) {
            problems.push(format!("it says `{bad}`"));
        }
    }
    let mut differences = before.compare(Duration::from_secs(4))?;
    // A bridge gives its ports the lowest number that is free: where several were away, who was first is not known.
    if differences.iter().all(|line| PORT_NUMBER.iter().any(|what| line.contains(&format!("info_slave_data {what} ="))))
    {
        differences.clear();
    }
    // A table of nft that was made anew, because the undo in its place was refused, is behind the others.
    let (tables, others): (Vec<String>, Vec<String>) = differences.into_iter().partition(|l| l.contains(": nft: "));
    let side = |sign: &str| {
        let mut all: Vec<String> =
            tables.iter().filter(|l| l.contains(sign)).map(|l| l.replacen(sign, "", 1)).collect();
        all.sort();
        all
    };
    differences =
        if side(": nft: - ") == side(": nft: + ") { others } else { tables.into_iter().chain(others).collect() };
    if !differences.is_empty() {
        let more = differences.len().saturating_sub(30);
        problems.push(format!(
            "not as before (- before, + after), {more} more than these:\n{}",
            differences[..differences.len().min(30)].join("\n")
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nstdout:\n{}\nstderr:\n{}", problems.join("\n"), ended.stdout, abridged(&said)))
}

/// The first lines of what may be hundreds.
fn abridged(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match lines.len() {
        0..=40 => text.to_string(),
        many => format!("{}\n… and {} lines more\n", lines[..40].join("\n"), many - 40),
    }
}

/// One script in a world of its own.
fn replay(path: &Path) -> Result<(), String> {
    world::shell(world::WORLD)?;
    run(path, &Dump::settled()?)
}

/// The same in namespaces of its own below these.
fn fails(folder: &Path, nodes: &[Node], cut: &str) -> Option<String> {
    let path = common::write(folder, "shrunk.rhai", &whole(nodes, cut));
    let mark = std::env::var(common::MARK).unwrap_or_default();
    let ended = world::enter(&[&format!("replay:{}", path.display())], &mark, common::LONG).ok()?;
    (ended.code() != 0).then_some(ended.stderr)
}

/// Takes out what it fails without, until nothing more can be.
fn shrink(folder: &Path, nodes: Vec<Node>, cut: &str) -> (Vec<Node>, String, String) {
    let deadline = Instant::now() + SHRINK;
    let (mut nodes, mut cut) = (nodes, cut.to_string());
    let Some(mut said) = fails(folder, &nodes, &cut) else {
        return (nodes, cut, "it did not fail a second time, in a world of its own".into());
    };
    // The plainest way to fail is the script's own.
    for plain in ["end", "savepoint"] {
        if cut != plain
            && let Some(found) = fails(folder, &nodes, plain)
        {
            (cut, said) = (plain.into(), found);
            break;
        }
    }
    let mut smaller = true;
    while smaller && Instant::now() < deadline {
        smaller = false;
        let mut at = generate::size(&nodes);
        while at > 0 && Instant::now() < deadline {
            at -= 1;
            let less = generate::without(&nodes, at);
            // Without a call the changes are counted anew: the cut comes earlier.
            for cut_now in earlier(&cut) {
                if let Some(found) = fails(folder, &less, &cut_now) {
                    (nodes, cut, said, smaller) = (less, cut_now, found, true);
                    break;
                }
            }
            at = at.min(generate::size(&nodes));
        }
    }
    (nodes, cut, said)
}

/// A cut, and those up to three changes earlier.
fn earlier(cut: &str) -> Vec<String> {
    let Some((mode, rest)) = cut.split_once('@') else { return vec![cut.to_string()] };
    let (at, again) = rest.split_once('+').map_or((rest, None), |(a, b)| (a, Some(b)));
    let Ok(at) = at.parse::<u64>() else { return vec![cut.to_string()] };
    (0..=3)
        .filter(|less| at > *less)
        .map(|less| match again {
            Some(again) => format!("{mode}@{}+{again}", at - less),
            None => format!("{mode}@{}", at - less),
        })
        .collect()
}

fn inside(name: &str) -> Result<(), String> {
    if let Some(path) = name.strip_prefix("replay:") {
        return replay(Path::new(path));
    }
    let (first, last) = name
        .strip_prefix("seeds ")
        .and_then(|n| n.split_once('-'))
        .and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)))
        .ok_or("no such case")?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    world::shell(world::WORLD)?;
    let before = Dump::settled()?;
    let mut cuts: BTreeMap<String, usize> = BTreeMap::new();
    for seed in first..=last {
        let (nodes, cut) = case(seed);
        let path = common::write(folder.path(), "case.rhai", &whole(&nodes, &cut));
        if let Err(error) = run(&path, &before) {
            let (nodes, cut, said) = shrink(folder.path(), nodes, &cut);
            return Err(format!(
                "seed {seed}: {error}\n\nshrunk:\n{said}\n{}seeds {}-{last} were not tried",
                whole(&nodes, &cut),
                seed + 1
            ));
        }
        let mode = cut.split('@').next().unwrap_or_default();
        let mode = if cut.contains('+') { "killed twice" } else { mode };
        *cuts.entry(mode.into()).or_default() += 1;
    }
    let cuts: Vec<String> = cuts.iter().map(|(mode, n)| format!("{n} {mode}")).collect();
    println!("{name}: {} cases ({}), 0 differences", last - first + 1, cuts.join(", "));
    Ok(())
}

fn main() {
    // A batch that fails shrinks, which takes its time.
    let bound = common::long() + Duration::from_secs(60);
    let frame = Frame { program: "property", threads: 4, bound, needs: frame::faults, inside };
    if let Ok(path) = std::env::var("NSSCRIPT_REPLAY") {
        return frame.main([format!("replay:{path}")]);
    }
    let (first, cases) = (number("NSSCRIPT_SEED", 1), number("NSSCRIPT_CASES", 50));
    let batches = (0..cases.div_ceil(BATCH))
        .map(|batch| format!("seeds {}-{}", first + batch * BATCH, first + cases.min((batch + 1) * BATCH) - 1));
    frame.main(batches.collect::<Vec<_>>());
}

//! Every script of scripts/, cut at its steps: an error, SIGKILL before and after, SIGINT; SIGKILL on the way back, while
//! it is committed, and while it is recovered. Afterwards the machine is what it was, or, past the point of no return, the
//! lab stands whole, and goes with `down`.
//!
//! `just torture` cuts at every step; here it is a few of each script.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world::{self, Dump, nsscript};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

/// `error` … `int` cut a run with `--rm`, so that its way back is cut too; `commit` one that leaves a lab; `recover` cuts
/// the recovery of one that was killed.
const MODES: &[&str] = &["error", "kill-before", "kill-after", "int", "commit", "recover"];

fn torture() -> bool {
    std::env::var_os("NSSCRIPT_TORTURE").is_some()
}

/// From one step to the next that is tried: all of them in `just torture`. A recovery has few.
fn stride(mode: &str) -> usize {
    match (torture(), mode) {
        (true, _) => 1,
        (false, "recover") => 2,
        _ => 11,
    }
}

/// What stands of a script that was committed, without what is another's each time: MACs, what is made of them, and the
/// files that nsscript keeps.
fn standing() -> Result<BTreeMap<String, Vec<String>>, String> {
    let steady = |text: &str| {
        let mut out = String::new();
        for word in text.split_inclusive(['"', ' ', '/', ',']) {
            let (word, end) = word.split_at(word.len() - usize::from(word.ends_with(['"', ' ', '/', ','])));
            let mac = word.len() == 17 && word.split(':').count() == 6;
            let made_of_it = word.starts_with("fe80::") || word.starts_with("ff02::1:ff");
            out.push_str(if mac || made_of_it { "…" } else { word });
            out.push_str(end);
        }
        out
    };
    let dump = Dump::settled()?;
    // An end without carrier: whether its link-local address was through with DAD depends on when the carrier went.
    let mut dark = Vec::new();
    for (heading, lines) in &dump.0 {
        let Some(of) = heading.strip_suffix(": link") else { continue };
        // `3 up0 flags = ["NO-CARRIER", …`
        for line in lines.iter().filter(|l| l.contains(" flags = ") && l.contains("\"NO-CARRIER\"")) {
            dark.extend(line.split(' ').nth(1).map(|dev| (of, format!("\"{dev}\""))));
        }
    }
    let undecided = |heading: &str, line: &str| {
        line.contains("\"fe80::")
            && (line.contains("\"scope\":\"link\"") || line.contains("\"type\":\"local\""))
            && dark.iter().any(|(of, dev)| {
                heading.strip_prefix(of).is_some_and(|rest| rest.starts_with(": ")) && line.contains(dev.as_str())
            })
    };
    Ok(dump
        .0
        .iter()
        .filter(|(heading, _)| *heading != "files" && !heading.ends_with(": nsid"))
        .map(|(heading, lines)| {
            // A mount of a namespace begins with its inode.
            let plain = |l: &str| match l.split_once(']') {
                Some((inode, rest)) if inode.starts_with("net:[") => format!("net:[…]{rest}"),
                _ => steady(l),
            };
            let mut lines: Vec<String> = lines.iter().filter(|l| !undecided(heading, l)).map(|l| plain(l)).collect();
            lines.sort();
            (heading.clone(), lines)
        })
        .collect())
}

/// One cut. False: there is no such step. `whole`: what stands after a run that is not cut.
fn one(
    script: &str,
    (mode, step): (&str, usize),
    plain: i32,
    before: &Dump,
    whole: &BTreeMap<String, Vec<String>>,
    stood: &mut usize,
) -> Result<bool, String> {
    let mut problems = Vec::new();
    let (fault, rm) = match mode {
        "commit" => (format!("kill-after@{step}"), false),
        "recover" => ("kill-after@4".to_string(), false),
        mode => (format!("{mode}@{step}"), true),
    };
    let words: &[&str] =
        if rm { &["--host", "--name", "case", "--rm", script] } else { &["--host", "--name", "case", script] };
    let ended = nsscript(words, &fault)?;
    let killed = ended.status.signal() == Some(9);
    let mut said = ended.stderr.clone();
    let mut reached = killed || ended.stderr.contains("a fault on purpose") || ended.code() == 130;
    let wanted = match mode {
        "error" => vec![1, plain],
        "int" => vec![130, plain],
        _ => vec![plain],
    };
    if !killed && !wanted.contains(&ended.code()) {
        problems.push(format!("exit status {}, expected one of {wanted:?}", ended.code()));
    }
    if mode == "recover" {
        let cut = nsscript(&["recover"], &format!("kill-after@{step}"))?;
        said += &cut.stderr;
        reached = cut.status.signal() == Some(9);
    }
    let recovered = nsscript(&["recover"], "")?;
    said += &recovered.stderr;
    // Compensations of the script's own go with the process: recover says so, with status 3.
    let hooks = recovered.code() == 3
        && recovered.stderr.contains("but 1 thing differs")
        && recovered.stderr.contains("(on_rollback)");
    if recovered.code() != 0 && !hooks {
        problems.push(format!("recover: exit status {}", recovered.code()));
    }
    let labs = nsscript(&["--json", "ls"], "")?.stdout;
    if labs.contains("\"case\"") {
        if rm {
            problems.push(format!("a lab stands: {labs}"));
        }
        *stood += usize::from(killed);
        // Past the point of no return it is there whole; what ends by itself may have ended.
        let stands = standing()?;
        for (heading, lines) in whole {
            let is = stands.get(heading).cloned().unwrap_or_default();
            if is != *lines {
                problems.push(format!("{heading} is not as a run leaves it:\n{}", common::diff(lines, &is)));
            }
        }
        let ended_itself = script.contains("daemon");
        if !labs.contains("healthy") && !ended_itself {
            problems.push(format!("the lab is not whole: {labs}{}", nsscript(&["show", "case"], "")?.stdout));
        }
        let down = nsscript(&["down", "case"], "")?;
        said += &down.stderr;
        if down.code() != 0 {
            problems.push(format!("down: exit status {}", down.code()));
        }
    }
    let differences = before.compare(Duration::from_secs(6))?;
    if !differences.is_empty() {
        let shown = differences[..differences.len().min(40)].join("\n");
        problems.push(format!("not as before (- before, + after):\n{shown}"));
    }
    if problems.is_empty() {
        return Ok(reached);
    }
    Err(format!("step {step}: {}\n\nstderr:\n{said}", problems.join("\n")))
}

fn inside(name: &str) -> Result<(), String> {
    let (script, mode) = name.rsplit_once('/').ok_or("no such case")?;
    let path = format!("scripts/{script}.rhai");
    if !Path::new(&path).exists() {
        return Err(format!("there is no {path}"));
    }
    world::shell(world::WORLD)?;
    let before = Dump::settled()?;
    let plain = nsscript(&["--host", "--name", "case", "--rm", &path], "")?;
    let differences = before.compare(Duration::from_secs(6))?;
    if !differences.is_empty() {
        return Err(format!("without a cut: not as before:\n{}\n{}", differences.join("\n"), plain.stderr));
    }
    // Twice: what differs between the two is not the script's to say.
    let mut whole = BTreeMap::new();
    let mut leaves = false;
    if mode == "commit" && plain.code() == 0 {
        for round in 0..2 {
            nsscript(&["--host", "--name", "case", &path], "")?;
            let stands = standing()?;
            // A lesson that deletes all that it made leaves no lab.
            leaves = nsscript(&["--json", "ls"], "")?.stdout.contains("\"case\"");
            if round == 0 {
                whole = stands;
            } else {
                whole.retain(|heading, lines| stands.get(heading) == Some(lines));
            }
            if leaves {
                nsscript(&["down", "case"], "")?;
            }
            before.compare(Duration::from_secs(6))?;
        }
        if whole.is_empty() {
            return Err("no two runs leave the like".into());
        }
    }
    let (mut cases, mut missed, mut stood) = (0, 0, 0);
    let mut step = 1 + MODES.iter().position(|m| *m == mode).unwrap_or_default() % stride(mode);
    while missed < 4 && step < 1000 {
        if one(&path, (mode, step), plain.code(), &before, &whole, &mut stood)? {
            (cases, missed) = (cases + 1, 0);
        } else {
            missed += 1;
        }
        step += stride(mode);
    }
    // A script whose undo is short has none of the chosen ones.
    if cases == 0 {
        for step in 1..=3 {
            cases += usize::from(one(&path, (mode, step), plain.code(), &before, &whole, &mut stood)?);
        }
    }
    if cases == 0 && plain.code() == 0 {
        return Err("no step was reached".into());
    }
    if torture() && leaves && stood == 0 {
        return Err("no cut was past the point of no return".into());
    }
    if mode == "commit" && plain.code() == 0 && !leaves && stood > 0 {
        return Err("a lab stands, of a script that leaves none".into());
    }
    let stood = if stood > 0 { format!(" ({stood} with a lab that stands whole)") } else { String::new() };
    println!("{name}: {cases} cases{stood}, 0 differences");
    Ok(())
}

fn main() {
    let frame = Frame { program: "matrix", threads: 6, bound: common::long(), needs: frame::faults, inside };
    let dir = common::root().join("scripts");
    let names = common::files(&dir, "rhai").into_iter().flat_map(|path| {
        let name = path.strip_prefix(&dir).unwrap_or(&path).with_extension("").to_string_lossy().into_owned();
        MODES.iter().map(move |mode| format!("{name}/{mode}"))
    });
    frame.main(names.collect::<Vec<_>>());
}

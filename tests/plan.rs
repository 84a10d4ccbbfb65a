//! `nsscript plan`: what it says is what a run does, and it changes nothing.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;
#[path = "plan/copied.rs"]
mod copied;
#[path = "plan/sayings.rs"]
mod sayings;
#[path = "plan/sequences.rs"]
mod sequences;

use common::frame::{self, Frame};
use common::{Ended, root};
use copied::{COPY, MORE, copied, same_world};
use sayings::{SAYINGS, killed, says};
use sequences::{random, seeds};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A step as both tell it: verb, namespace, target, command, place, whether it takes something back.
type Step = (String, String, String, String, String, bool);

/// What a run or a plan told with `--json`.
struct Told {
    ended: Ended,
    steps: Vec<Step>,
    /// How many results the plan simulated.
    simulated: usize,
    /// The last event of a plan.
    planned: Option<Value>,
}

fn nsscript(words: &[&str]) -> Result<Ended, String> {
    with(&mut Command::new(common::NSSCRIPT), words)
}

fn with(command: &mut Command, words: &[&str]) -> Result<Ended, String> {
    command.args(["--color", "never"]).args(words).env("LC_ALL", "C.UTF-8").current_dir(root());
    common::run(command, common::LONG)
}

fn told(words: &[&str]) -> Result<Told, String> {
    let ended = nsscript(words)?;
    let mut told = Told { ended, steps: Vec::new(), simulated: 0, planned: None };
    for line in told.ended.stdout.lines() {
        let event: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        let word = |key: &str| event[key].as_str().unwrap_or_default().to_string();
        match event["event"].as_str() {
            Some("step") => {
                let place = format!("{}:{}", word("file"), event["line"]);
                let undo = event["undo"].as_bool().unwrap_or_default();
                let step = (word("op"), word("ns"), steady(&word("target")), steady(&word("ip")), place, undo);
                // `assert_ping` asks again where the first packet is lost.
                if told.steps.last() != Some(&step) {
                    told.steps.push(step);
                }
            }
            Some("simulated") if event["copy"] == false => told.simulated += 1,
            Some("planned") => told.planned = Some(event),
            _ => {}
        }
    }
    Ok(told)
}

/// Without what differs from one run to the next: numbers of processes, and MACs that were chosen.
fn steady(text: &str) -> String {
    let mut before = "";
    text.split(' ')
        .map(|word| match (std::mem::replace(&mut before, word), word) {
            // Of the kernel's choosing, counted up over all namespaces.
            ("handle" | "parent", handle) if handle.len() == 5 && handle.ends_with(':') => "HANDLE:".to_string(),
            ("identify" | "adopted", pid) if pid.parse::<u32>().is_ok() => "PID".to_string(),
            (_, word) => by_form(word),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn by_form(word: &str) -> String {
    match word {
        _ if word.len() == 17 && word.matches(':').count() == 5 => "MAC".to_string(),
        _ if word.starts_with("/proc/") || word.starts_with("/run/nsscript/") => "PATH".to_string(),
        _ => word.to_string(),
    }
}

fn shown(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|(op, ns, target, ip, place, undo)| {
            format!("{}{op} {ns} {target} | {ip} | {place}", if *undo { "-" } else { "" })
        })
        .collect()
}

/// Each script, run and planned: the same steps, the same end. Where a command's output decides, which a plan does not
/// know, the steps are the same as long as it goes.
fn same_steps(script: &Path) -> Result<(), String> {
    let path = script.to_string_lossy();
    let run = told(&["--sandbox", "--json", "--rm", &path])?;
    let plan = told(&["plan", "--sandbox", "--json", "--rm", &path])?;
    let planned =
        plan.planned.as_ref().ok_or_else(|| format!("no end:\n{}{}", plan.ended.stdout, plan.ended.stderr))?;
    let forward = |told: &Told| -> Vec<String> {
        let mut steps = told.steps.clone();
        // What takes everything back at the end is no part of the plan's list.
        while steps.last().is_some_and(|s| s.5) {
            steps.pop();
        }
        // Whether the kernel has made a link-local address anew before an undo looks for it is a matter of moments.
        let by_kernel = |s: &Step| s.5 && ["fe80::", "ff00::"].iter().any(|its| s.3.contains(its));
        steps.retain(|s| !by_kernel(s));
        shown(&steps)
    };
    let (mut ran, mut listed) = (forward(&run), forward(&plan));
    let (code, status) = (run.ended.code(), plan.ended.code());
    if planned["status"].as_i64() != Some(i64::from(status)) {
        return Err(format!("it says status {}, and ends with {status}", planned["status"]));
    }
    if (code, &ran) != (status, &listed) {
        if plan.simulated == 0 {
            let diff = common::diff(&ran, &listed);
            return Err(format!("a run ends with {code}, the plan says {status}; run (-) and plan (+):\n{diff}"));
        }
        let shorter = ran.len().min(listed.len());
        ran.truncate(shorter);
        listed.truncate(shorter);
        let same = ran.iter().zip(&listed).take_while(|(a, b)| a == b).count();
        if same < 5.min(shorter) {
            return Err(format!("only {same} steps are the same:\n{}", common::diff(&ran, &listed)));
        }
        println!("{path}: {same} steps alike, then what a command says decides");
    }
    Ok(())
}

/// A name, and what it does.
type Case = (&'static str, fn() -> Result<(), String>);

const CASES: &[Case] = &[("copy/world", || same_world("")), ("copy/more", || same_world(MORE)), ("killed", killed)];

/// Inside: one case, in a machine of its own.
fn inside(name: &str) -> Result<(), String> {
    if let Some(script) = name.strip_prefix("steps/") {
        return same_steps(Path::new(script));
    }
    if let Some(seed) = name.strip_prefix("random/") {
        return random(seed.parse().map_err(|_| "no such seed")?, seeds().1);
    }
    if let Some(name) = name.strip_prefix("says/") {
        return says(SAYINGS.iter().find(|s| s.name == name).ok_or("no such case")?);
    }
    let (_, case) = CASES.iter().find(|(n, _)| *n == name).ok_or("no such case")?;
    case()
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some(COPY) {
        if let Err(error) = copied() {
            eprintln!("{error}");
            std::process::exit(1);
        }
        return;
    }
    let scripts = common::files(&root().join("scripts"), "rhai");
    let scripts = scripts.iter().map(|s| format!("steps/{}", s.strip_prefix(root()).unwrap_or(s).display()));
    let (seeds, cases) = seeds();
    let bound = common::LONG * u32::try_from(1 + cases / 5).unwrap_or(1);
    let frame = Frame { program: "plan", threads: 4, bound, needs: frame::nothing, inside };
    let seeds = (1..=seeds).map(|seed| format!("random/{seed}"));
    let says = SAYINGS.iter().map(|s| format!("says/{}", s.name));
    frame.main(scripts.chain(says).chain(CASES.iter().map(|(name, _)| (*name).to_string())).chain(seeds));
}

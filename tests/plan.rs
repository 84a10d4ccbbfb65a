//! `nsscript plan`: what it says is what a run does, and it changes nothing.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::{Ended, root};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
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
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--color", "never"]).args(words).env("LC_ALL", "C.UTF-8").current_dir(root());
    common::run(&mut command, common::LONG)
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
            Some("simulated") => told.simulated += 1,
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

fn script_trial(script: &Path) -> Result<Completion, Failed> {
    if let Some(reason) = common::no_sandbox() {
        return if common::strict() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
    }
    same_steps(script)?;
    Ok(Completion::Completed)
}

fn main() {
    common::hear_signals();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(4);
    let mut trials = Vec::new();
    for script in common::files(&root().join("scripts"), "rhai") {
        let path = script.strip_prefix(root()).unwrap_or(&script).to_path_buf();
        trials.push(Trial::ignorable_test(format!("steps/{}", path.display()), move || script_trial(&path)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

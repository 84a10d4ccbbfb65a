//! The star by everybody who can build one.

use crate::NSSCRIPT;
use crate::measure::{Ended, quiet, run, well};
use std::process::Command;

/// What came of one build: milliseconds (and MB) by what was measured.
#[derive(Default)]
pub struct Outcome {
    pub times: Vec<(&'static str, f64)>,
    pub phases: Vec<(String, f64)>,
}

/// A program that builds the star.
pub enum Program {
    /// `limit.c` with what follows N.
    Limit(&'static str, &'static [&'static str]),
    /// A script with `up N` and `down N`.
    Shell(&'static str, &'static str),
    /// A Python program that prints its times.
    Python(&'static str, &'static str, &'static str),
    /// One of ours.
    Ours(&'static str, &'static str),
}

/// All of them. The first is the limit that the others are compared with, the second the tuned one.
pub fn all() -> Vec<Program> {
    vec![
        Program::Limit("C, straight-line", &[]),
        Program::Limit("C, tuned", &["2", "64", "tuned"]),
        Program::Limit("C, in a script's order", &["1", "1", "steps"]),
        Program::Ours("nsscript, one call a step", "steps"),
        Program::Ours("nsscript, in C's order", "order"),
        Program::Ours("nsscript, plain script", "plain"),
        Program::Ours("nsscript, stdlib's star", "star"),
        Program::Shell("ip -batch", "benches/peers/batch.sh"),
        Program::Shell("ip", "benches/peers/star.sh"),
        Program::Python("pyroute2", "target/peers/venv/bin/python3", "benches/peers/pyroute2_star.py"),
        Program::Python("Mininet", "/usr/bin/python3", "benches/peers/mininet_star.py"),
    ]
}

impl Program {
    pub fn name(&self) -> &'static str {
        match self {
            Program::Limit(name, _) | Program::Shell(name, _) | Program::Python(name, ..) | Program::Ours(name, _) => {
                name
            }
        }
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Program::Ours(..))
    }

    /// Whether it is done within seconds, not minutes.
    pub fn bearable(&self, n: usize) -> bool {
        match self {
            Program::Limit(..) | Program::Ours(..) => true,
            Program::Shell("ip -batch", _) => n <= 1000,
            Program::Shell(..) | Program::Python(..) => n <= 200,
        }
    }

    /// The slow ones are measured less often: what they need is far from the rest.
    pub fn due(&self, n: usize, round: usize) -> bool {
        match self {
            Program::Limit(..) | Program::Ours(..) => true,
            Program::Shell(..) | Program::Python(..) => round == 0 || (n <= 100 && round < 3),
        }
    }

    pub fn run(&self, n: usize) -> Result<Outcome, String> {
        match self {
            Program::Limit(_, more) => {
                let ended = well(Command::new("target/peers/limit").arg(n.to_string()).args(*more))
                    .map_err(|e| format!("{e} (benches/setup builds it)"))?;
                Ok(Outcome { times: printed(&ended)?, phases: Vec::new() })
            }
            Program::Shell(_, script) => {
                let up = well(Command::new("bash").arg(script).arg("up").arg(n.to_string()))?;
                let down = well(Command::new("bash").arg(script).arg("down").arg(n.to_string()))?;
                let times = vec![("build", up.ms), ("cpu", up.cpu), ("mb", up.mb), ("down", down.ms)];
                Ok(Outcome { times, phases: Vec::new() })
            }
            Program::Python(_, python, script) => {
                let ended = well(Command::new(python).arg(script).arg(n.to_string()))
                    .map_err(|e| format!("{} (benches/setup installs it)", last_line(&e)))?;
                Ok(Outcome { times: printed(&ended)?, phases: Vec::new() })
            }
            Program::Ours(_, script) => ours(script, n),
        }
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}

/// `build 12.3 delete 4.5`, as the peers print it.
fn printed(ended: &Ended) -> Result<Vec<(&'static str, f64)>, String> {
    let words: Vec<&str> = ended.out.split_whitespace().collect();
    let value = |key: &str| {
        let at = words.iter().position(|w| *w == key)?;
        words.get(at + 1)?.parse::<f64>().ok()
    };
    let (Some(build), Some(down)) = (value("build"), value("delete")) else {
        return Err(format!("printed {:?}", ended.out));
    };
    let mut times = vec![("build", build), ("down", down), ("mb", ended.mb)];
    times.extend(value("cpu").map(|cpu| ("cpu", cpu)));
    Ok(times)
}

fn nsscript(words: &[&str]) -> Command {
    let mut command = Command::new(NSSCRIPT);
    command.arg("--host").args(words);
    command
}

/// Builds and takes down; builds and fails; builds, is killed, and recovers. The whole program's time counts, from its
/// start to its end, but for the rollback, of which only the undo does.
fn ours(script: &str, n: usize) -> Result<Outcome, String> {
    let file = format!("benches/labs/{script}.rhai");
    let n = n.to_string();
    let mut times = Vec::new();
    let up = well(&mut nsscript(&["--quiet", &file, &n]))?;
    times.extend([("build", up.ms), ("cpu", up.cpu), ("mb", up.mb)]);
    let down = well(Command::new(NSSCRIPT).args(["down", "--quiet", script]))?;
    times.push(("down", down.ms));
    quiet();
    // The undo of a failed run says how long it took.
    let failed = run(&mut nsscript(&["--json", &file, &n, "fail"]))?;
    let ms = failed.out.lines().find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        (event["event"] == "rolled_back" && event["verified"] == true).then(|| event["ms"].as_f64())?
    });
    times.push(("rollback", ms.ok_or_else(|| format!("no rollback: {}{}", failed.out, failed.err))?));
    quiet();
    let killed = run(&mut nsscript(&["--quiet", &file, &n, "kill"]))?;
    if killed.code != 137 {
        return Err(format!("not killed but ended with {}: {}", killed.code, killed.err));
    }
    let recover = well(Command::new(NSSCRIPT).args(["recover", "--quiet"]))?;
    times.push(("recover", recover.ms));
    quiet();
    // The phases, in a run of their own: the stopwatch takes a little too.
    let ended = well(nsscript(&["--quiet", &file, &n]).env("NSSCRIPT_PROFILE", "1"))?;
    well(Command::new(NSSCRIPT).args(["down", "--quiet", script]))?;
    let report: serde_json::Value =
        serde_json::from_str(last_line(&ended.err)).map_err(|e| format!("{e}: {}", ended.err))?;
    let phases = report.as_object().into_iter().flatten();
    let phases = phases.filter_map(|(name, value)| Some((name.clone(), value["ms"].as_f64()?))).collect();
    Ok(Outcome { times, phases })
}

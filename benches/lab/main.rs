//! Labs by nsscript and by others, in turn and interleaved: `just bench`, or `cargo bench --bench lab -- -h`.
//!
//! It runs in network and mount namespaces of its own with an empty /run, so that nothing of the machine's is touched and
//! nothing is left. Before each measurement the kernel has finished deleting what the one before left: two canaries tell.
//! Medians, with the minimum beside them: on a machine that does other work too the minimum is the steadier.

#![allow(clippy::pedantic, clippy::disallowed_methods, clippy::unwrap_used)]

mod measure;
mod peers;
mod small;

use measure::{Series, isolate, load, quiet};
use peers::Program;
use std::collections::BTreeMap;

const NSSCRIPT: &str = env!("CARGO_BIN_EXE_nsscript");
const HELP: &str = "usage: cargo bench --bench lab -- [--n 10,100,1000] [--rounds 5] [--only star,small] [--slow]
  --n       sizes of the star
  --rounds  how often each program is measured
  --only    `star`: build, down, rollback, recover; `small`: start-up, exec, ping, script, links
  --slow    the slow peers also where they need minutes";

struct Wish {
    sizes: Vec<usize>,
    rounds: usize,
    star: bool,
    small: bool,
    slow: bool,
}

fn wish() -> Wish {
    let mut wish = Wish { sizes: vec![10, 100, 1000], rounds: 5, star: true, small: true, slow: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| usage());
        match arg.as_str() {
            "--bench" => {}
            "--n" => wish.sizes = value().split(',').map(|n| n.parse().unwrap_or_else(|_| usage())).collect(),
            "--rounds" => wish.rounds = value().parse().unwrap_or_else(|_| usage()),
            "--only" => {
                let only = value();
                wish.star = only.split(',').any(|o| o == "star");
                wish.small = only.split(',').any(|o| o == "small");
            }
            "--slow" => wish.slow = true,
            _ => usage(),
        }
    }
    wish
}

fn usage() -> ! {
    eprintln!("{HELP}");
    std::process::exit(2)
}

fn main() {
    let wish = wish();
    let words: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    println!("$ cargo bench --bench lab -- {}", words.join(" "));
    isolate();
    println!("{}; {} CPUs; load {}\n", measure::machine(), measure::cpus(), load());
    if wish.star {
        for n in &wish.sizes {
            star(*n, &wish);
        }
    }
    if wish.small {
        small::all(wish.rounds, wish.slow);
    }
    println!("load at the end {}", load());
}

/// The star of `n` hosts by every program.
fn star(n: usize, wish: &Wish) {
    let programs: Vec<Program> = peers::all().into_iter().filter(|p| p.bearable(n) || wish.slow).collect();
    // (program, what) → milliseconds
    let mut seen: BTreeMap<(usize, &'static str), Series> = BTreeMap::new();
    let mut phases: BTreeMap<(usize, String), Series> = BTreeMap::new();
    let mut absent = Vec::new();
    for round in 0..wish.rounds {
        for (at, program) in programs.iter().enumerate() {
            if absent.contains(&at) || !program.due(n, round) {
                continue;
            }
            quiet();
            match program.run(n) {
                Ok(result) => {
                    for (what, value) in result.times {
                        seen.entry((at, what)).or_default().push(value);
                    }
                    for (phase, value) in result.phases {
                        phases.entry((at, phase)).or_default().push(value);
                    }
                }
                Err(error) => {
                    println!("without {}: {error}", program.name());
                    absent.push(at);
                }
            }
        }
    }
    quiet();
    let get = |at: usize, what: &'static str| seen.get(&(at, what));
    let limit = get(0, "build").map_or(f64::NAN, Series::median);
    let delete = get(0, "down").map_or(f64::NAN, Series::median);
    let tuned = get(1, "build").map_or(f64::NAN, Series::median);
    println!("## Star of {n}: milliseconds, median (minimum); load {}\n", load());
    println!("| program | build | ÷ limit | ÷ tuned | CPU | down | ÷ C's delete | peak MB | runs |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (at, program) in programs.iter().enumerate().filter(|(at, _)| !absent.contains(at)) {
        let Some(build) = get(at, "build") else { continue };
        let shown = |what| get(at, what).map_or("–".into(), Series::show);
        let down = get(at, "down").map_or(f64::NAN, Series::median);
        println!(
            "| {} | {} | {:.2} | {:.2} | {} | {} | {:.2} | {} | {} |",
            program.name(),
            build.show(),
            build.median() / limit,
            build.median() / tuned,
            shown("cpu"),
            shown("down"),
            down / delete,
            get(at, "mb").map_or("–".into(), |s| format!("{:.1}", s.median())),
            build.len(),
        );
    }
    println!(
        "\n| nsscript | rollback after a failure at the last step | ÷ C's delete | recover after SIGKILL at the last step | ÷ C's delete |"
    );
    println!("|---|---|---|---|---|");
    for (at, program) in programs.iter().enumerate().filter(|(_, p)| p.is_ours()) {
        let (Some(rollback), Some(recover)) = (get(at, "rollback"), get(at, "recover")) else { continue };
        println!(
            "| {} | {} | {:.2} | {} | {:.2} |",
            program.name(),
            rollback.show(),
            rollback.median() / delete,
            recover.show(),
            recover.median() / delete
        );
    }
    println!("\nThe build by phase, in a run of its own with the stopwatch on:\n");
    let ours: Vec<(usize, &Program)> = programs.iter().enumerate().filter(|(_, p)| p.is_ours()).collect();
    let names: Vec<&String> =
        phases.keys().map(|(_, p)| p).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    println!("| nsscript | {} | journal's share |", names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(" | "));
    println!("|---|{}---|", "---|".repeat(names.len()));
    for (at, program) in ours {
        let of = |phase: &str| phases.get(&(at, phase.to_string())).map_or(0.0, Series::median);
        let all: f64 = names.iter().map(|n| of(n)).sum();
        let cells: Vec<String> = names.iter().map(|n| format!("{:.1}", of(n))).collect();
        println!("| {} | {} | {:.1} % |", program.name(), cells.join(" | "), 100.0 * of("journal") / all);
    }
    println!();
    if n == 100
        && let Some(ours) =
            programs.iter().position(|p| p.name() == "nsscript, plain script").and_then(|at| get(at, "build"))
    {
        for (at, program) in programs.iter().enumerate().filter(|(_, p)| !p.is_ours()) {
            if let Some(build) = get(at, "build") {
                println!("{} ÷ nsscript, plain script: {:.1}", program.name(), build.median() / ours.median());
            }
        }
        println!();
    }
}

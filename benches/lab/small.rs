//! The small things: start-up, programs run in a namespace, pings, the interpreter, lists.

use crate::NSSCRIPT;
use crate::measure::{Series, load, quiet, run, well};
use std::process::Command;

/// A row: its name, and how to measure it once, in milliseconds.
type Row<'a> = (&'a str, Box<dyn Fn() -> Result<f64, String> + 'a>);

/// A program's whole time.
fn whole<'a>(program: &'a str, words: &'a [&'a str]) -> Box<dyn Fn() -> Result<f64, String> + 'a> {
    Box::new(move || well(Command::new(program).args(words)).map(|e| e.ms))
}

/// The last number that it prints.
fn says<'a>(program: &'a str, words: &'a [&'a str]) -> Box<dyn Fn() -> Result<f64, String> + 'a> {
    Box::new(move || {
        let ended = well(Command::new(program).args(words))?;
        let word = ended.out.split_whitespace().next_back().unwrap_or_default();
        word.parse().map_err(|_| format!("printed {:?}", ended.out))
    })
}

/// Runs the rows interleaved; the first is what the others are compared with.
fn table(title: &str, rounds: usize, rows: &[Row]) {
    let mut seen = vec![Series::default(); rows.len()];
    let mut absent = vec![None; rows.len()];
    for _ in 0..rounds {
        for (at, (_, once)) in rows.iter().enumerate() {
            if absent[at].is_some() {
                continue;
            }
            match once() {
                Ok(ms) => seen[at].push(ms),
                Err(error) => absent[at] = Some(error),
            }
        }
    }
    println!("## {title}: milliseconds, median (minimum) of {rounds}; load {}\n", load());
    println!("| program | time | nsscript ÷ it |\n|---|---|---|");
    for (at, (name, _)) in rows.iter().enumerate() {
        match &absent[at] {
            Some(error) => println!("| {name} | {} | – |", error.lines().next_back().unwrap_or_default()),
            None => println!("| {name} | {} | {:.2} |", seen[at].show(), seen[0].median() / seen[at].median()),
        }
    }
    println!();
}

pub fn all(rounds: usize, slow: bool) {
    const PYTHON: &str = "/usr/bin/python3";
    table(
        "Start-up",
        rounds * 10,
        &[
            ("`nsscript -e 0`", whole(NSSCRIPT, &["-e", "0"])),
            ("`ip -V`", whole("ip", &["-V"])),
            ("`python3 -c 0`", whole(PYTHON, &["-c", "0"])),
        ],
    );
    let up = |script: &str, words: &[&str]| {
        let file = format!("benches/labs/{script}.rhai");
        if let Err(error) = well(Command::new(NSSCRIPT).args(["--host", "--quiet", &file]).args(words)) {
            println!("{script}: {error}");
        }
    };
    let down = |script: &str| {
        let _ = run(Command::new(NSSCRIPT).args(["down", "--quiet", script]));
        quiet();
    };
    up("plain", &["1"]);
    table(
        "`true` in a namespace, 1,000 times in a row",
        rounds,
        &[
            (
                "`exec_in(ns, [\"true\"])`",
                says(NSSCRIPT, &["--host", "--quiet", "benches/labs/exec.rhai", "p0", "1000"]),
            ),
            (
                "`nsenter`",
                whole("bash", &["-c", "for ((i = 0; i < 1000; i++)); do nsenter --net=/run/netns/p0 true; done"]),
            ),
            ("`ip netns exec`", whole("bash", &["-c", "for ((i = 0; i < 1000; i++)); do ip netns exec p0 true; done"])),
            (
                "`true` from a shell, in no namespace",
                whole("bash", &["-c", "for ((i = 0; i < 1000; i++)); do /bin/true; done"]),
            ),
        ],
    );
    down("plain");
    let hosts = if slow { "100" } else { "20" };
    table(
        "Ping, all to all, 100 hosts (9,900)",
        rounds.min(5),
        &[("`ping_all`", says(NSSCRIPT, &["--host", "--quiet", "--rm", "benches/labs/pings.rhai", "100"]))],
    );
    quiet();
    table(
        &format!("Ping, all to all, {hosts} hosts"),
        if slow { 1 } else { rounds.min(3) },
        &[
            ("`ping_all`", says(NSSCRIPT, &["--host", "--quiet", "--rm", "benches/labs/pings.rhai", hosts])),
            (
                "Mininet's `pingall`",
                Box::new(move || {
                    let ended = well(Command::new(PYTHON).args(["benches/peers/mininet_star.py", hosts, "pingall"]))?;
                    let words: Vec<&str> = ended.out.split_whitespace().collect();
                    let at = words.iter().position(|w| *w == "pingall").ok_or("no pingall")?;
                    words.get(at + 1).and_then(|w| w.parse().ok()).ok_or_else(|| ended.out.clone())
                }),
            ),
        ],
    );
    quiet();
    const LOOP: &str = "let x = 0; for i in 0..1000000 { x += i } if x != 499999500000 { fail(\"wrong\") }";
    table(
        "A script's loop of 1,000,000 turns, whole program",
        rounds,
        &[
            ("nsscript", whole(NSSCRIPT, &["-e", LOOP])),
            ("Python", whole(PYTHON, &["-c", "x = 0\nfor i in range(1000000): x += i\nassert x == 499999500000"])),
            (
                "bash",
                whole(
                    "bash",
                    &["-c", "x=0; for ((i = 0; i < 1000000; i++)); do ((x += i)); done; ((x == 499999500000))"],
                ),
            ),
        ],
    );
    up("star", &["1000"]);
    table(
        "The 1,001 links of a namespace",
        rounds,
        &[
            (
                "`links(ns)`",
                says(
                    NSSCRIPT,
                    &[
                        "-e",
                        "let t = timestamp(); let all = links(\"sw\"); let ms = t.elapsed * 1000.0; if all.len() < 1001 { fail(`${all.len()}`) } print(ms)",
                    ],
                ),
            ),
            ("nsscript, whole program", whole(NSSCRIPT, &["-e", "if links(\"sw\").len() < 1001 { fail(\"few\") }"])),
            ("`ip -j -d link`, whole program", whole("ip", &["-n", "sw", "-j", "-d", "link"])),
            ("`ip link`, whole program", whole("ip", &["-n", "sw", "link"])),
        ],
    );
    down("star");
}

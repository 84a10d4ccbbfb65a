//! Every command line of the tutorial that nsscript began with (seed.txt), pasted as it stands, beside the same done by
//! `ip` and `ping` themselves: each succeeds or fails as it does there, and leaves the same in the kernel.
//!
//! Two things in it can't be done as they stand, by nobody, and are shown to fail alike: a synopsis (`ip [-all] netns
//! delete [NAME]`), whose forms are done after it, and the last ping, to an address that the tutorial gives to nobody
//! (10.10.1.2); the address that it means, 10.0.1.2, answers.

use crate::common::{self, poll, world};
use crate::tty::*;
use serde_json::Value;
use std::process::Command;
use world::Dump;

const SEED: &str = include_str!("seed.txt");

/// The blocks of the tutorial, each as its lines.
fn blocks() -> Vec<Vec<&'static str>> {
    let lines: Vec<&str> = SEED.lines().filter(|l| !l.starts_with('#')).collect();
    lines.split(|l| *l == "-----").map(<[&str]>::to_vec).collect()
}

/// The heading of lines that belong into a namespace.
fn heading(line: &str) -> Option<&str> {
    line.strip_suffix(':')
}

/// A line of the tutorial as a shell can take it: without its comment.
fn bare(line: &str) -> &str {
    line.split("//").next().unwrap_or_default().trim()
}

/// The forms that a line of the synopsis stands for; none where it stands for itself.
fn forms(line: &str) -> Vec<String> {
    let line = bare(line).replace("cmd ...", "true");
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.contains("[-all]") {
        let one = line.replace("[-all]", "").replace("[NAME]", "NAME");
        return vec![plain(&one), plain(&line.replace("[-all]", "-all").replace("[NAME]", ""))];
    }
    if line.contains("[PID]") {
        return vec![plain(&line.replace("[PID]", "")), plain(&line.replace("[PID]", "1"))];
    }
    if line.contains("NETNSID") { vec![plain(&line.replace("NETNSID", "77"))] } else { Vec::new() }
}

/// What is there, without what differs from one making of it to the next: numbers, MACs, and whether a cable is known to
/// carry yet.
fn state() -> Result<Vec<String>, String> {
    let ask = |ns: &str, words: &str| -> Result<Vec<Value>, String> {
        let within = if ns.is_empty() { String::new() } else { format!("-n {ns}") };
        let text = world::shell(&format!("ip -j {within} {words}"))?;
        if text.trim().is_empty() {
            Ok(Vec::new())
        } else {
            serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
        }
    };
    let mut found = Vec::new();
    let names = ask("", "netns list")?;
    let mut all: Vec<&str> = names.iter().filter_map(|n| n["name"].as_str()).collect();
    all.sort_unstable();
    for ns in std::iter::once("").chain(all) {
        // The numbers that the kernel chose say nothing.
        let id = names.iter().find(|n| n["name"] == ns).and_then(|n| n["id"].as_u64()).filter(|id| *id > 50);
        found.push(format!("namespace {ns} {id:?}"));
        for link in ask(ns, "-d link")? {
            let up = link["flags"].as_array().is_some_and(|f| f.iter().any(|w| w == "UP"));
            let (kind, master) = (&link["linkinfo"]["info_kind"], &link["master"]);
            found.push(format!("{ns}: {} {kind} up {up} mtu {} master {master}", link["ifname"], link["mtu"]));
        }
        for link in ask(ns, "-4 addr")? {
            for addr in link["addr_info"].as_array().into_iter().flatten() {
                found.push(format!("{ns}: {} {}/{}", link["ifname"], addr["local"], addr["prefixlen"]));
            }
        }
        for route in ask(ns, "-4 route show table all")? {
            found.push(format!("{ns}: route {} {} {}", route["dst"], route["dev"], route["prefsrc"]));
        }
    }
    found.sort();
    Ok(found)
}

/// Done by the programs themselves: whether it went well.
fn by_ip(place: &str, line: &str) -> Result<bool, String> {
    let mut command = Command::new("sh");
    let within = if place.is_empty() { String::new() } else { format!("ip netns exec {place} ") };
    let line = match bare(line) {
        // It has no end of its own.
        "ip netns monitor" => "timeout --preserve-status -s INT 0.2 ip netns monitor; true",
        line => line,
    };
    Ok(common::run(command.args(["-c", &format!("{within}{line}")]), BOUND)?.code() == 0)
}

/// A thing that is typed: one line or several, and in the programs' own way each with its place.
struct Move {
    typed: String,
    lines: Vec<(String, String)>,
}

fn moves() -> Vec<Move> {
    let blocks = blocks();
    let one = |line: &str| Move { typed: line.into(), lines: vec![(String::new(), line.into())] };
    let mut all = Vec::new();
    for line in &blocks[0] {
        for form in std::iter::once((*line).to_owned()).chain(forms(line)) {
            // The namespace that the line is about, by the synopsis' own line.
            let (makes, takes) = (form.starts_with("ip netns add"), form.contains(" delete") && !form.contains('['));
            all.extend((!makes).then(|| one("ip netns add NAME")));
            all.push(one(&form));
            all.extend((!takes).then(|| one("ip netns delete NAME")));
        }
    }
    // It uses these without a line that makes them: `ip netns add NAME`.
    all.extend(["net1", "ns0", "ns1"].map(|name| one(&format!("ip netns add {name}"))));
    for block in &blocks[1..] {
        let mut place = "";
        let mut lines = Vec::new();
        for line in block.iter().filter(|l| !l.trim().is_empty()) {
            match heading(line) {
                // A device of the host's namespace.
                Some("br0") => place = "",
                Some(ns) => place = ns,
                None => lines.push((place.to_owned(), (*line).to_owned())),
            }
        }
        all.push(Move { typed: block.join("\n"), lines });
        all.push(one("")); // Nothing, from the host's namespace again.
    }
    all
}

fn seed() -> Done {
    let before = Dump::settled()?;
    let mut wanted = Vec::new();
    for step in moves() {
        let mut ok = true;
        for (place, line) in step.lines.iter().filter(|(_, line)| !line.is_empty()) {
            ok &= by_ip(place, line)?;
        }
        wanted.push((ok, state()?));
    }
    world::shell(
        "ip -all netns delete; for l in br0 vethfoo; do ip link delete $l; done; ip link delete veth0 || true",
    )?;
    same(&before)?;
    let mut tty = Tty::start()?;
    let (mut done, mut failed) = (0, Vec::new());
    for (step, (ok, state_by_ip)) in moves().iter().zip(&wanted) {
        if step.typed.is_empty() {
            tty.line(":use", "")?;
            continue;
        }
        if bare(&step.typed) == "ip netns monitor" {
            tty.keys(&format!("{}\r", step.typed))?;
            // It listens once it shows what happens.
            let heard = poll(BOUND, || {
                world::shell("ip netns add seen; ip netns delete seen").is_ok() && {
                    tty.read();
                    tty.since().contains("add seen")
                }
            });
            if !heard {
                return Err(format!("the monitor shows nothing:\n{}", tty.text()));
            }
            tty.send(CTRL_C)?;
            tty.any_prompt()?;
            tty.clear()?;
            done += 1;
            continue;
        }
        tty.keys(&format!("\x1b[200~{}\x1b[201~\r", step.typed))?;
        tty.any_prompt()?;
        let seen = tty.since();
        let went_well = !seen.contains("error:");
        if went_well != *ok {
            let word = |ok: bool| if ok { "succeeds" } else { "fails" };
            return Err(format!("{}\nby ip it {}, here it {}:\n{seen}", step.typed, word(*ok), word(went_well)));
        }
        let found = state()?;
        if found != *state_by_ip {
            let difference = common::diff(state_by_ip, &found);
            return Err(format!("{}\nthe state (- by ip, + here):\n{difference}", step.typed));
        }
        done += step.lines.len();
        if !ok {
            failed.push(step.typed.lines().last().unwrap_or_default().to_owned());
        }
        tty.clear()?;
    }
    // What can't be done as it stands, and nothing else: the synopsis, and the ping to nobody.
    let cannot = |line: &String| line.contains('[') || line.contains("NETNSID") || line.contains("10.10.1.2");
    if done < 40 || failed.len() != 5 || !failed.iter().all(cannot) {
        return Err(format!("{done} lines; failed: {failed:?}"));
    }
    if SEED.matches("10.10.1.2").count() != 1 {
        return Err("10.10.1.2 is somebody's address now".into());
    }
    // The address that was meant.
    tty.line("ns0:", "")?;
    has(&tty.line("ping -c 3 10.0.1.2", "")?, "3 received")?;
    tty.line(":use", "")?;
    has(&tty.line("ip netns exec ns0 ping -c 3 10.0.1.2", "")?, "3 received")?;
    tty.line(":rollback", "host> ")?;
    same_now(&before)?;
    tty.quit()?;
    same(&before)
}

pub const CASES: &[(&str, Case)] = &[("seed", seed)];

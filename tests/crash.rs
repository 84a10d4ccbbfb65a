//! Faults at every step: an error, SIGKILL just before and just after, SIGINT; and SIGKILL again while recovering. After
//! each, a world with objects of its own has to be what it was. The steps of the undo count too, so the way back is
//! cut at every step as well.
//!
//! nsscript makes the fault itself, in debug builds, by `NSSCRIPT_FAULT` (src/kernel/linux/fault.rs).

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::verbs::VERBS;
use common::world::{self, Dump, nsscript};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

/// Scripts by name: what they make, and what they change of the world.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "build",
        r#"
        let sw = netns_add("sw");
        let br = bridge("sw:br0", #{ up: true });
        for i in 0..2 {
            let h = netns_add(`c${i}`, #{ lo: true });
            veth(`sw:p${i}`, `c${i}:eth0`, #{ up: true, a: #{ master: br }, b: #{ addr: [nth_cidr("10.80.0.0/24", i + 1), nth_cidr("fd80::/64", i + 1)] } });
            route(h, "default", #{ via: "10.80.0.254" });
        }
        start("c0", "sleep 1234");
        write_file("/run/files/new", "new");
        "#,
    ),
    (
        "change",
        r#"
        link_set("w1:v1", #{ mtu: 1400, alias: "changed", txqueuelen: 77 });
        link_set("w1:v1", #{ master: "br0" });
        link_set("w1:v1", #{ nomaster: true });
        addr_del("w1:v1", "10.0.0.1/24");
        addr("w1:v1", ["10.90.0.1/24", "10.90.0.2/24"]);
        route_del("w1", "10.11.0.0/16");
        route("w1", "10.91.0.0/16", #{ type: "blackhole" });
        neigh_del("w1:v1", "10.0.0.50");
        rule("w1", #{ from: "10.90.0.1", table: 90 });
        rule_del("w1", #{ priority: 600 });
        nexthop_del("w1", 11);
        nexthop("w1", 12, #{ via: "10.5.0.8", dev: "q2", replace: true });
        route("w1", "10.13.0.0/16", #{ table: 100, via: "10.4.0.9", replace: true });
        link_down("w1:q2");
        link_rename("w1:q2", "renamed");
        sysctl("w1", "net.ipv4.ip_forward", 1);
        nft("w1", "add rule ip nat post oifname q2 masquerade; flush chain inet stranger more; add table ip fresh");
        masquerade("w1", "v1");
        write_file("/run/files/file", "changed");
        "#,
    ),
    (
        "delete",
        r#"
        link_set("w1:p2", #{ nomaster: true });
        link_del("w1:br0");
        link_move("w1:q2", host());
        link_del("h0");
        addr_flush("w1:v1");
        netns_del("w2");
        netns_add("w2");
        veth("w2:a", "more");
        link_move("more", "w1");
        remove_file("/run/files/file");
        "#,
    ),
];

/// Every change of the rollback tests is cut too. A process that was killed wrote nothing of what the kernel did along with
/// it: so it is these that show whether the recovery knows.
fn verb_modes() -> &'static [&'static str] {
    if torture() { &["kill-before", "kill-after", "kill-twice"] } else { &["kill-after"] }
}

fn torture() -> bool {
    std::env::var_os("NSSCRIPT_TORTURE").is_some()
}

const MODES: &[&str] = &["error", "kill-before", "kill-after", "int", "kill-twice"];

/// The most steps that a script here can have, on its way there and back.
const MOST: usize = 1000;

/// From one step to the next that is tried: all of them in `just torture`, fewer of an undo's many here.
fn stride(step: usize) -> usize {
    if step < 25 || torture() { 1 } else { 5 }
}

/// One step of one script in one mode. False: there is no such step.
fn one(script: &Path, mode: &str, step: usize, before: &Dump) -> Result<bool, String> {
    let path = script.to_string_lossy();
    let fault = if mode == "kill-twice" { "kill-after" } else { mode };
    let ended = nsscript(&["--host", "--rm", &path], &format!("{fault}@{step}"))?;
    let killed = ended.status.signal() == Some(9);
    let reached = killed || ended.stderr.contains("a fault on purpose") || ended.code() == 130;
    let mut said = ended.stderr.clone();
    if killed && mode == "kill-twice" {
        // The recovery is killed at its second step; it can be run again.
        said += &nsscript(&["recover"], "kill-after@2")?.stderr;
    }
    let recovered = nsscript(&["recover"], "")?;
    said += &recovered.stderr;
    let mut problems = Vec::new();
    if recovered.code() != 0 {
        problems.push(format!("recover: exit status {}", recovered.code()));
    }
    // A refused step is tried again by the undo, so that even a fault on the way back leaves nothing.
    let wanted = match (mode, reached) {
        (_, false) => vec![0],
        ("error", true) => vec![1, 0],
        ("int", true) => vec![130, 0],
        (_, true) => vec![],
    };
    if !killed && !wanted.contains(&ended.code()) {
        problems.push(format!("exit status {}, expected one of {wanted:?}", ended.code()));
    }
    let differences = before.compare(Duration::from_secs(6))?;
    if !differences.is_empty() {
        problems.push(format!(
            "not as before (- before, + after):\n{}",
            differences[..differences.len().min(40)].join("\n")
        ));
    }
    if problems.is_empty() {
        return Ok(reached);
    }
    Err(format!("step {step}: {}\n\nstderr:\n{said}", problems.join("\n")))
}

/// Inside: the world, then every step.
fn inside(name: &str) -> Result<(), String> {
    let (script, mode) = name.rsplit_once('/').ok_or("no such case")?;
    let verb = script.strip_prefix("verb/");
    let text = match verb {
        Some(verb) => VERBS.iter().find(|(n, _)| *n == verb),
        None => SCRIPTS.iter().find(|(n, _)| *n == script),
    };
    let (_, text) = text.ok_or("no such script")?;
    // The first steps of a verb are those forward.
    let most = if verb.is_some() && !torture() { 4 } else { MOST };
    world::shell(world::WORLD)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", text);
    let before = Dump::settled()?;
    let (mut cases, mut missed, mut step) = (0, 0, 1);
    // A step that has no moment after it is not reached by `kill-after`.
    while missed < 4 && step < most {
        if one(&path, mode, step, &before)? {
            (cases, missed) = (cases + 1, 0);
        } else {
            missed += 1;
        }
        step += stride(step);
    }
    // The signal of a step of the undo is not heard, so that mode ends with the last step forward.
    if cases < if verb.is_some() { 1 } else { 5 } {
        return Err(format!("only {cases} steps were reached"));
    }
    println!("{name}: {cases} cases, 0 differences");
    Ok(())
}

fn main() {
    // A hundred steps and more, each with a run, a recovery and a look at everything.
    let frame = Frame { program: "crash", threads: 6, bound: common::long(), needs: frame::faults, inside };
    let scripts = SCRIPTS.iter().flat_map(|(script, _)| MODES.iter().map(move |mode| format!("{script}/{mode}")));
    let verbs = VERBS.iter().flat_map(|(verb, _)| verb_modes().iter().map(move |mode| format!("verb/{verb}/{mode}")));
    frame.main(scripts.chain(verbs));
}

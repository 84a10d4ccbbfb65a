//! `nsscript plan`: what it says is what a run does, and it changes nothing.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world::{self, Dump};
use common::{Ended, root};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The argument by which the program knows that it is to make a copy of the world that it is in.
const COPY: &str = "__copy";

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

/// More of a world than every test has: two names of one namespace, a link whose lower device is
/// elsewhere, ends that nobody sees, nsids, kinds that are not made again, changed defaults, a process in a namespace.
const MORE: &str = r#"
ip netns add empty
touch /run/netns/alias
mount --bind /run/netns/w2 /run/netns/alias
ip netns set empty 4711
ip -n w2 netns set empty 12
ip -n w1 link add mv0 link v1 type macvlan mode bridge
ip -n w1 link set mv0 netns w2 name mv0 index 77
ip -n w2 link set mv0 up
ip -n w2 addr add 10.33.0.1/24 dev mv0
ip -n w1 link add vx0 type vxlan id 42 dstport 4789 local 10.0.0.1 dev v1
ip -n w1 link set vx0 up
ip netns add hidden
ip link add seen index 55 type veth peer name unseen netns hidden
ip -n hidden link set unseen up
ip link set seen up
ip addr add 10.34.0.1/24 dev seen
ip route add 10.35.0.0/16 via 10.34.0.9
sleep 1000 > /dev/null 2>&1 &
ip netns exec hidden sleep 1001 > /dev/null 2>&1 &
pid=$!
until [ "$(ip netns identify $pid)" = hidden ]; do :; done
umount /run/netns/hidden
rm /run/netns/hidden
sysctl -qw net.ipv4.ip_forward=1
ip netns exec w2 sysctl -qw net.ipv6.conf.all.forwarding=1
ip netns exec w2 sysctl -qw net.ipv4.conf.default.rp_filter=2
ip netns exec w2 sysctl -qw net.ipv6.conf.v2.accept_ra=2
ip link set lo up
"#;

/// The copy of this world, dumped: the program starts itself again for it, since only a process of one thread can make the
/// sandbox that the copy is in.
fn copy() -> Result<Dump, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let ended = common::run(Command::new(own).arg(COPY), common::LONG)?;
    if ended.code() != 0 {
        return Err(format!("no copy: {}{}", ended.stdout, ended.stderr));
    }
    let all = serde_json::from_str(&ended.stdout).map_err(|e| format!("{e}: {}", ended.stdout))?;
    Ok(Dump(all))
}

/// The other side of [`copy`].
fn copied() -> Result<(), String> {
    use nsscript::kernel::linux::Linux;
    use nsscript::kernel::linux::rehearsal::Rehearsal;
    use nsscript::kernel::linux::world::{self as copies, World};
    use nsscript::kernel::sandbox::{self, Wish};
    let world = World::capture(&[]).map_err(|e| e.to_string())?;
    copies::wait_single();
    sandbox::enter(Wish::Always).map_err(|e| e.to_string())?;
    let linux = Linux::new().map_err(|e| e.to_string())?;
    linux.rehearse(Rehearsal::default());
    let rebuilt = copies::rebuild(&linux, &world).map_err(|e| e.to_string())?;
    if !rebuilt.missing.is_empty() || !rebuilt.stand_ins.is_empty() {
        return Err(format!("missing: {:#?}\nstand-ins: {:#?}", rebuilt.missing, rebuilt.stand_ins));
    }
    let dump = Dump::settled()?;
    println!("{}", serde_json::to_string(&dump.0).map_err(|e| e.to_string())?);
    Ok(())
}

/// The original and its copy are the same, but for what no copy can have: cookies, mounts, processes.
fn same_world(lines: &str) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell(lines)?;
    let before = Dump::settled()?;
    let copy = copy()?;
    let networks = |dump: &Dump| {
        let mut dump = dump.clone();
        dump.0.retain(|heading, _| heading.contains(": ") && !heading.ends_with(": cookie"));
        // Ids of groups, which are others in another user namespace.
        dump.0.values_mut().for_each(|lines| lines.retain(|line| !line.contains("ping_group_range")));
        dump
    };
    let differences = networks(&before).differences(&networks(&copy));
    if !differences.is_empty() {
        return Err(format!("original (-) and copy (+):\n{}", differences.join("\n")));
    }
    let lines: usize = networks(&copy).0.values().map(Vec::len).sum();
    println!("{lines} lines alike");
    let differences = before.compare(Duration::from_secs(3))?;
    if differences.is_empty() { Ok(()) } else { Err(format!("the original changed:\n{}", differences.join("\n"))) }
}

const CASES: &[(&str, fn() -> Result<(), String>)] =
    &[("copy/world", || same_world("")), ("copy/more", || same_world(MORE))];

/// Inside: one case, in a machine of its own.
fn inside(name: &str) -> Result<(), String> {
    if let Some(script) = name.strip_prefix("steps/") {
        return same_steps(Path::new(script));
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
    let frame = Frame { program: "plan", threads: 4, bound: common::LONG, needs: frame::nothing, inside };
    frame.main(scripts.chain(CASES.iter().map(|(name, _)| (*name).to_string())));
}

//! Lines of `ip`, each done by iproute2's own program on one machine and by nsscript's `ip(…)` on another that is alike:
//! both have to succeed or to fail, and what `ip -d -j` then shows of links, addresses, routes, rules, neighbours,
//! nexthops and namespaces has to be the same. Nothing is written down here of what a line does: the program says it.
//!
//! Lines of which it is known that they differ are in `DIFFERS`, each with the reason; `docs/ip-syntax.md` lists them.
//! `ACCEPT=1` writes that page anew.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

#[path = "ipwords/lines.rs"]
mod lines;

use common::world;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use lines::{DIFFERS, Group, LINES};
use serde_json::{Map, Value};
use std::process::Command;
use std::sync::Mutex;

/// What is there before each line. The first two octets of its MACs tell them from random ones.
const SETUP: &str = r#"
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad
ip netns add blue
ip netns exec blue sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
ip -batch - <<E
link set lo up
link add v0 address 02:00:00:00:00:01 type veth peer name v1 address 02:00:00:00:00:02
link add v2 address 02:00:00:00:00:03 type veth peer name v3 address 02:00:00:00:00:04
link add w1 address 02:00:00:00:00:05 type veth peer name w0 netns blue address 02:00:00:00:00:06
link add br0 address 02:00:00:00:00:07 type bridge
link set v0 up
link set v1 up
link set w1 up
addr add 10.0.0.1/24 dev v0
addr add 10.0.0.2/24 dev v0
addr add fd00::1/64 dev v0
addr add 10.0.1.1/24 dev w1
route add 10.9.0.0/16 via 10.0.0.9
route add 10.9.1.0/24 via 10.0.0.9 metric 5 table 100
E
ip -n blue link set w0 up
ip -n blue addr add 10.0.1.2/24 dev w0
"#;

/// Which way a line is done.
const WAYS: [&str; 2] = ["ip", "nsscript"];

/// How a line went: whether it succeeded, what it said, and what is there after it.
#[derive(Debug)]
struct Went {
    ok: bool,
    said: String,
    state: Vec<String>,
}

/// Does a line on the machine that this process is root of; tells how it went on stdout.
fn inside(number: usize, way: &str) -> Result<(), String> {
    world::furnish()?;
    let (group, line) = nth(number);
    world::shell(SETUP)?;
    world::shell(group.given)?;
    let mut command = match way {
        "ip" => {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            command
        }
        _ => {
            let mut command = Command::new(common::NSSCRIPT);
            let script = "print(`${ip(env(\"LINE\"))}`)";
            command.args(["--host", "--quiet", "--color", "never", "--name", "l", "-e", script]).env("LINE", line);
            command
        }
    };
    let ended = common::run(&mut command, common::LONG)?;
    if !std::path::Path::new("/run/netns/blue").exists() {
        // A namespace ends some time after its name, and the other end of its cable with it.
        let w1 = std::path::Path::new("/proc/sys/net/ipv4/conf/w1");
        common::poll(std::time::Duration::from_secs(5), || !w1.exists());
    }
    let went = serde_json::json!({
        "ok": ended.code() == 0,
        "said": format!("{}{}", ended.stdout, ended.stderr),
        "state": state()?,
    });
    println!("{went}");
    Ok(())
}

/// What `ip -d -j` shows, here and in every namespace with a name, a line for each object, without what is momentary, or
/// of this machine alone.
fn state() -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let [names] = &ask(&[], "", &["netns list"])?[..] else { return Err("ip did not answer".into()) };
    for name in names {
        // An nsid that was chosen by the kernel says nothing.
        let id = name["id"].as_u64().filter(|id| *id >= 20);
        found.push(format!("netns {} {id:?}", name["name"]));
    }
    for ns in std::iter::once("").chain(names.iter().filter_map(|n| n["name"].as_str())) {
        let both =
            ["link", "addr", "route show table all", "rule", "neigh show nud all", "neigh show proxy", "nexthop"];
        let mut answers = ask(&["-d"], ns, &both)?;
        answers.append(&mut ask(&["-d", "-6"], ns, &["rule"])?);
        for (what, values) in both.iter().chain(&["rule6"]).zip(answers) {
            for mut value in values {
                if *what == "addr" {
                    let dev = value["ifname"].clone();
                    for mut addr in value["addr_info"].as_array().cloned().unwrap_or_default() {
                        plain(&mut addr);
                        keep(&mut found, ns, what, &dev.to_string(), &addr);
                    }
                } else {
                    plain(&mut value);
                    keep(&mut found, ns, what, "", &value);
                }
            }
        }
    }
    // IPv6 has no order among equals, and neighbours have none at all.
    found.sort();
    Ok(found)
}

fn keep(found: &mut Vec<String>, ns: &str, what: &str, dev: &str, value: &Value) {
    let text = value.to_string();
    let begins = |key: &str, with: &str| value[key].as_str().is_some_and(|v| v.starts_with(with));
    // The kernel's own of IPv6, which come and go with the carrier, some time after it; and the entries for groups.
    let own = match what {
        "addr" => begins("local", "fe80:"),
        "route show table all" => {
            // Only routes of IPv6 have a preference (RFC 4191).
            let kernels = value["protocol"] == "kernel" || begins("dst", "fe80:") || begins("dst", "multicast");
            value.get("pref").is_some() && (kernels || begins("dst", "ff00:"))
        }
        "neigh show nud all" => text.contains("\"NOARP\"") && (begins("dst", "ff") || begins("dst", "22")),
        _ => false,
    };
    if !own && text != "{}" {
        found.push(format!("{ns}:{what}: {dev}{text}"));
    }
}

/// Asks `ip` several questions at once, a line each, and gives the answer to each.
fn ask(options: &[&str], ns: &str, questions: &[&str]) -> Result<Vec<Vec<Value>>, String> {
    use std::io::{Seek as _, Write as _};
    let mut input = tempfile::tempfile().map_err(|e| e.to_string())?;
    let lines = questions.join("\n") + "\n";
    input.write_all(lines.as_bytes()).and_then(|()| input.rewind()).map_err(|e| e.to_string())?;
    let mut command = Command::new("ip");
    command.arg("-j").args(options);
    if !ns.is_empty() {
        command.args(["-n", ns]);
    }
    let output = command.args(["-batch", "-"]).stdin(input).output().map_err(|e| format!("ip: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("ip {questions:?} in `{ns}`: {}", String::from_utf8_lossy(&output.stderr)));
    }
    // Without a namespace `netns list` writes nothing at all.
    let all: Result<Vec<Vec<Value>>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
    let mut all = all.map_err(|e| format!("ip {questions:?}: {e}: {text}"))?;
    if all.is_empty() && questions.len() == 1 {
        all.push(Vec::new());
    }
    if all.len() == questions.len() {
        Ok(all)
    } else {
        Err(format!("ip {questions:?} gave {} answers: {text}", all.len()))
    }
}

/// Takes out what is momentary, counted, random or chosen.
fn plain(value: &mut Value) {
    const GONE: &[&str] = &[
        "ifindex",
        "link_index",
        "link_netnsid",
        "operstate",
        "used",
        "confirmed",
        "updated",
        "probes",
        "refcnt",
        "fdb_n_learned",
        "qdisc",
        "bridge_id",
        "root_id",
        "designated_root",
        "designated_bridge",
        "root_path_cost",
        "root_port",
        "promiscuity",
        "carrier",
        "topology_change",
        "topology_change_detected",
        "no",
        "port",
        "id_port",
        "designated_port",
        "topology_change_ack",
        "config_pending",
        "state",
        "linkmode",
        "tentative",
    ];
    match value {
        Value::Object(map) => {
            let neighbour = map.contains_key("lladdr") || map.contains_key("proxy");
            map.retain(|key, _| {
                !key.ends_with("_timer") && (!GONE.contains(&key.as_str()) || (neighbour && key == "state"))
            });
            momentary(map);
            map.values_mut().for_each(plain);
        }
        Value::Array(all) => {
            all.retain(|v| !["LOWER_UP", "NO-CARRIER", "linkdown", "dead", "M-DOWN"].iter().any(|w| v == w));
            all.iter_mut().for_each(plain);
        }
        Value::String(text) => {
            // A MAC that nobody gave.
            let mac = text.len() == 17 && text.matches(':').count() == 5;
            if mac && !text.starts_with("02:00:") && !text.starts_with("ff:ff") && !text.starts_with("00:00") {
                *text = "random".into();
            }
        }
        _ => {}
    }
}

/// A lifetime passes: that it has one, and about how long, stays.
fn momentary(map: &mut Map<String, Value>) {
    for key in ["valid_life_time", "preferred_life_time", "expires"] {
        if let Some(left) = map.get_mut(key) {
            let seconds = left.as_u64().unwrap_or_default();
            *left = match seconds > 4_000_000_000 {
                true => "forever".into(),
                false => format!("about {} min", (seconds + 100) / 600 * 10).into(),
            };
        }
    }
}

/// The lines, counted through all groups.
fn nth(number: usize) -> (&'static Group, &'static str) {
    let mut all = LINES.iter().flat_map(|group| group.lines.iter().map(move |line| (group, *line)));
    all.nth(number).expect("a line of that number")
}

fn count() -> usize {
    LINES.iter().map(|group| group.lines.len()).sum()
}

/// What came of the lines that were done: agreed or not.
static RESULTS: Mutex<Vec<bool>> = Mutex::new(Vec::new());

fn went(number: usize, way: &str) -> Result<Went, String> {
    let mark = common::mark();
    let ended = world::enter(&[&number.to_string(), way], &mark, common::LONG)?;
    if ended.code() != 0 {
        return Err(format!("{way}: {}{}", ended.stdout, ended.stderr));
    }
    let told: Value = serde_json::from_str(ended.stdout.lines().last().unwrap_or_default())
        .map_err(|e| format!("{way}: {e}: {}{}", ended.stdout, ended.stderr))?;
    Ok(Went {
        ok: told["ok"] == true,
        said: told["said"].as_str().unwrap_or_default().into(),
        state: told["state"].as_array().into_iter().flatten().filter_map(|l| l.as_str()).map(str::to_string).collect(),
    })
}

fn outside(number: usize) -> Result<Completion, Failed> {
    if let Some(reason) = world::impossible() {
        return if common::strict() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
    }
    let (group, line) = nth(number);
    if !group.needs.is_empty() && !common::kernel_has(group.needs)? {
        return Ok(Completion::ignored_with(format!("this kernel has no {}", group.needs)));
    }
    let [theirs, ours] = WAYS.map(|way| went(number, way));
    let (theirs, ours) = (theirs?, ours?);
    let word = |ok: bool| if ok { "succeeds" } else { "fails" };
    let difference = if theirs.ok != ours.ok {
        Some(format!("`ip` {}, nsscript {}", word(theirs.ok), word(ours.ok)))
    } else if theirs.state != ours.state {
        let lines = common::diff(&theirs.state, &ours.state);
        let lines: Vec<&str> = lines.lines().filter(|l| !l.starts_with("  ")).collect();
        Some(format!("afterwards (- ip, + nsscript):\n{}", lines.join("\n")))
    } else {
        None
    };
    RESULTS.lock().expect("no case panics here").push(difference.is_none());
    let known = DIFFERS.iter().find(|(l, _)| *l == line);
    match (difference, known) {
        (None, None) | (Some(_), Some(_)) => Ok(Completion::Completed),
        (None, Some(_)) => Err(format!("{line}: this agrees now: strike it out of DIFFERS").into()),
        (Some(difference), None) => {
            let said = format!("ip said: {}\nnsscript said: {}", theirs.said.trim(), ours.said.trim());
            Err(format!("{line}\n{difference}\n{said}").into())
        }
    }
}

/// The page of the docs.
fn page() -> Result<String, String> {
    let known: Vec<&str> = DIFFERS.iter().map(|(line, _)| *line).collect();
    let help = |object: &str| -> Result<String, String> {
        let script = format!("print(ip(\"{object} help\"))");
        let mut command = Command::new(common::NSSCRIPT);
        let ended = common::run(command.args(["--sandbox", "--quiet", "-e", &script]), common::LONG)?;
        Ok(ended.stdout.trim_end().to_string())
    };
    let mut out = String::from(
        "# The syntax of ip\n\n<!-- Generated by `ACCEPT=1 cargo test --test ipwords` from tests/ipwords: change that. -->\n\n\
         `ip(\"…\")` in scripts, and a line that begins with `ip` in the interactive session, are understood as iproute2\n\
         understands them, and done natively: no `ip` program is called, and everything is undone like the rest.\n\
         `nsscript doc ip` describes the function.\n\n\
         ## What is understood\n\n",
    );
    for object in ["netns", "link", "address", "route", "rule", "neighbour", "nexthop"] {
        out += &format!("```text\n{}\n```\n\n", help(object)?);
    }
    out += "Options of a kind are the words of `ip link help KIND`, as far as the kind's function has them (`nsscript doc vxlan`).\n\
            Keywords may be cut to their beginnings as with `ip`, which has its traps: `ip link add a …` reads `a` as\n\
            `address`, and `ip link add name a …` names the link.\n\n\
            `ip -batch FILE` does the lines of the file, all or nothing; with `-force` each is that by itself, and one that fails\n\
            is a warning. `-batch -` (standard input) is refused.\n\n\
            Not understood, and said with the word and its place: the families mpls (`-M`) and bridge (`-B`), `save`, `restore`\n\
            and `showdump` (`:save FILE` of a session writes a script instead), and the objects addrlabel, fou, ila, ioam,\n\
            l2tp, macsec, maddress, monitor, mptcp, mroute, mrule, netconf, ntable, sr, stats, tcp_metrics, token, tunnel,\n\
            tuntap, vrf, xfrm.\n\n";
    let share = 100.0 * (count() - known.len()) as f64 / count() as f64;
    out += &format!(
        "## How it was compared\n\n\
         {} lines, each done by `ip` on one machine and by nsscript on another that is alike: of {} ({share:.1} %) both succeed\n\
         or both fail, and `ip -d -j` shows the same afterwards. Lines that need what a kernel lacks are left out there.\n\n",
        count(),
        count() - known.len(),
    );
    out += "### Lines that differ\n\n";
    if known.is_empty() {
        out += "None.\n";
    }
    for (line, reason) in DIFFERS {
        out += &format!("- `{line}`: {reason}\n");
    }
    out += "\n### The lines\n";
    for group in LINES {
        let needs =
            if group.needs.is_empty() { String::new() } else { format!(" (where the kernel has {})", group.needs) };
        out += &format!("\n{}{needs}:\n\n```sh\n", group.name);
        let given: Vec<&str> = group.given.lines().filter(|l| !l.trim().is_empty()).map(str::trim).collect();
        if !given.is_empty() {
            out += &format!("# given: {}\n", given.join("; "));
        }
        out += &(group.lines.join("\n") + "\n```\n");
    }
    Ok(out)
}

fn docs() -> Result<Completion, Failed> {
    if let Some(reason) = common::no_sandbox() {
        return Ok(Completion::ignored_with(reason));
    }
    for (line, _) in DIFFERS {
        if !LINES.iter().any(|g| g.lines.contains(line)) {
            return Err(format!("DIFFERS has a line that is in no group: {line}").into());
        }
    }
    if count() < 150 {
        return Err(format!("only {} lines are left", count()).into());
    }
    if DIFFERS.len() * 20 > count() {
        return Err(format!("{} of {} lines differ: more than 5 %", DIFFERS.len(), count()).into());
    }
    let file = common::root().join("docs/ip-syntax.md");
    let page = page()?;
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::write(&file, &page).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    if there == page { Ok(Completion::Completed) } else { Err("docs/ip-syntax.md is old: ACCEPT=1 writes it".into()) }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|w| w == world::INSIDE) {
        let number = words.get(2).and_then(|n| n.parse().ok()).unwrap_or_default();
        if let Err(error) = inside(number, words.get(3).map_or("", String::as_str)) {
            eprintln!("{error}");
            std::process::exit(1);
        }
        return;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(4);
    let mut trials: Vec<Trial> = (0..count())
        .map(|number| {
            let (group, line) = nth(number);
            Trial::ignorable_test(format!("{}: {line}", group.name), move || outside(number))
        })
        .collect();
    trials.push(Trial::ignorable_test("docs", docs));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let results = RESULTS.lock().expect("no case panics here");
    if !results.is_empty() {
        let agreed = results.iter().filter(|agrees| **agrees).count();
        let share = 100.0 * agreed as f64 / results.len() as f64;
        println!("{agreed} of {} lines agree with ip: {share:.1} %", results.len());
    }
    conclusion.exit();
}

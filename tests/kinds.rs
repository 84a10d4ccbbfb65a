//! Each link kind against iproute2: made by nsscript it is what `ip link add` makes of the same words; what is shown is
//! what was given; what is changed is what `ip link set` changes; and undo brings back what `ip` had made.
//!
//! Undo is tried at each step of a script, too (`cut`). The same for qdiscs against `tc` (`queues`). What each case counts stands in docs/kinds.md (`page`).
//!
//! A kind that the kernel lacks is ignored with that reason; `tests/full-kernel/run` has a kernel that has (nearly) all of
//! them.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;
#[path = "kinds/cut.rs"]
mod cut;
#[path = "kinds/filters.rs"]
mod filters;
#[path = "kinds/links.rs"]
mod links;
#[path = "kinds/page.rs"]
mod page;
#[path = "kinds/queues.rs"]
mod queues;
#[path = "kinds/secrets.rs"]
mod secrets;

use common::frame::{self, Frame};
use common::world::shell;
use links::{KINDS, Kind, LINKED, ON_DEV, SECRET};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// A namespace as both sides find it.
fn namespace(name: &str) -> Result<(), String> {
    shell(&format!(
        "ip netns add {name}
        ip netns exec {name} sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip -batch -' <<E
link add e0 index 50 address 02:00:00:00:01:01 type veth peer name e1 index 51 address 02:00:00:00:01:02
link set e1 up
link set e0 up
addr add 10.0.0.1/24 dev e0
E"
    ))?;
    // The operational state follows the carrier some time later (linkwatch), and that of what is built upon them with it.
    let up = || shell(&format!("ip -n {name} -o link show up")).is_ok_and(|t| t.matches(" state UP ").count() >= 2);
    if common::poll(Duration::from_secs(20), up) { Ok(()) } else { Err(format!("the pair in {name} did not come up")) }
}

fn remove(name: &str) -> Result<(), String> {
    shell(&format!("ip netns del {name}")).map(|_| ())
}

/// The kernel's name of a kind here.
fn real(kind: &str) -> &str {
    match kind {
        "bridge_vlan" => "bridge",
        kind => kind,
    }
}

fn by_ip(ns: &str, kind: &str, words: &str) -> Result<(), String> {
    let below = if LINKED.contains(&kind) { "link e0" } else { "" };
    let line = match kind {
        // One queue, as nsscript makes it where it is not asked for more.
        "veth" => format!(
            "ip -n {ns} link add name x index 60 numtxqueues 1 numrxqueues 1 type veth peer name y index 61 {words}"
        ),
        "tap" | "tun" => format!("ip -n {ns} tuntap add name x mode {kind} {words}"),
        _ => format!("ip -n {ns} link add {below} name x index 60 type {} {words}", real(kind)),
    };
    shell(&line).map(|_| ())
}

fn call(ns: &str, kind: &str, options: &str) -> String {
    let below = if LINKED.contains(&kind) { "link: \"e0\", " } else { "" };
    match kind {
        "veth" => format!("veth(\"{ns}:x\", \"{ns}:y\", #{{ a: #{{ index: 60 }}, b: #{{ index: 61 }}, {options} }});"),
        // `ip tuntap` lets the kernel choose the index.
        "tap" | "tun" => format!("{kind}(\"{ns}:x\", #{{ {options} }});"),
        _ => format!("{}(\"{ns}:x\", #{{ {below}index: 60, {options} }});", real(kind)),
    }
}

fn nsscript(flags: &[&str], script: &str) -> Result<common::Ended, String> {
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--host", "--color", "never"]).args(flags).args(["-e", script]).env("LC_ALL", "C.UTF-8");
    common::run(&mut command, common::LONG)
}

fn works(flags: &[&str], script: &str) -> Result<String, String> {
    let ended = nsscript(flags, script)?;
    match ended.code() {
        0 => Ok(ended.stdout),
        code => Err(format!("status {code} of:\n{script}\n{}{}", ended.stdout, ended.stderr)),
    }
}

/// All links of a namespace as `ip` shows them, without what is momentary.
fn links(ns: &str) -> Result<Vec<Value>, String> {
    let text = shell(&format!("ip -n {ns} -d -j link show"))?;
    let mut all: Vec<Value> = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    for link in &mut all {
        momentary(link);
    }
    Ok(all)
}

fn momentary(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // The id of a bridge tells whether its MAC was random or set, which no undo knows.
            // The permanent address of an IPv6 tunnel is random.
            let left_out = ["fdb_n_learned", "bridge_id", "root_id", "permaddr"];
            map.retain(|key, _| !key.ends_with("_timer") && !left_out.contains(&key.as_str()));
            // A link that was up once has a queue, if only an empty one, for good (attach_default_qdiscs).
            if map.get("qdisc").is_some_and(|q| q == "noop") {
                map.insert("qdisc".into(), Value::from("noqueue"));
            }
            map.values_mut().for_each(momentary);
        }
        Value::Array(all) => all.iter_mut().for_each(momentary),
        _ => {}
    }
}

/// The link `x`, without its MAC where that is random, and what comes from that.
fn alike(ns: &str) -> Result<Value, String> {
    let mut link = links(ns)?.into_iter().find(|l| l["ifname"] == "x").ok_or("there is no link `x`")?;
    // `ip tuntap` takes no index, and which one the kernel takes is its own affair.
    if let Some(map) = link.as_object_mut()
        && map["linkinfo"]["info_kind"] == "tun"
    {
        map.remove("ifindex");
    }
    if let Some(map) = link.as_object_mut()
        && map.get("link_type").is_some_and(|t| t == "ether")
    {
        map.remove("address");
    }
    Ok(link)
}

fn same(what: &str, wanted: &Value, got: &Value) -> Result<(), String> {
    if wanted == got {
        return Ok(());
    }
    let lines =
        |v: &Value| serde_json::to_string_pretty(v).unwrap_or_default().lines().map(str::to_string).collect::<Vec<_>>();
    let diff = common::diff(&lines(wanted), &lines(got));
    let marked: Vec<&str> = diff.lines().filter(|l| !l.starts_with("  ")).collect();
    Err(format!("{what} (- by ip, + by nsscript):\n{}", marked.join("\n")))
}

/// Made alike, and shown as given.
fn made(kind: &Kind) -> Result<(usize, usize), String> {
    let (mut equal, mut shown) = (0, 0);
    let mut problems = Vec::new();
    // A wireguard made by `ip` has no keys yet, and another port.
    let alone = kind.name == "wireguard";
    for (words, options) in kind.made {
        namespace("i")?;
        namespace("n")?;
        let mut check = || -> Result<(), String> {
            by_ip("i", kind.name, words)?;
            works(&["--quiet"], &call("n", kind.name, options))?;
            same(&format!("{} {words}", kind.name), &alike("i")?, &alike("n")?)?;
            equal += 1;
            let script = format!(
                "let given = #{{ {options} }}; let i = link(\"i:x\").data; let n = link(\"n:x\").data;
                i.remove(\"sci\"); n.remove(\"sci\");
                if !{alone} && i != n {{ throw `i: ${{i}}, n: ${{n}}`; }}
                let count = 1;
                for key in given.keys() {{
                    let value = given[key];
                    // Those are told to root of the machine itself only (bond_fill_info, drivers/net/bonding).
                    if key.starts_with(\"ad_\") && key != \"ad_select\" && !i.contains(key) {{ continue; }}
                    if key in [\"sci\", \"port\"] || (key == \"miimon\" && type_of(value) == \"string\") {{ continue; }}
                    if !n.contains(key) || n[key] != value {{ throw `${{key}}: given ${{value}}, shown ${{n}}`; }}
                    count += 1;
                }}
                print(count);"
            );
            let count = works(&["--quiet"], &script)?;
            shown += count.trim().parse::<usize>().map_err(|e| format!("{e}: {count}"))?;
            Ok(())
        };
        if let Err(error) = check() {
            problems.push(error);
        }
        remove("i")?;
        remove("n")?;
    }
    if problems.is_empty() { Ok((equal, shown)) } else { Err(problems.join("\n\n")) }
}

/// Changed as `ip link set` changes it, and changed back by the undo.
fn changed(kind: &Kind) -> Result<usize, String> {
    let (base, _) = kind.made[0];
    let mut count = 0;
    let mut problems = Vec::new();
    for (words, options) in kind.changed {
        namespace("i")?;
        namespace("n")?;
        let mut check = || -> Result<(), String> {
            for ns in ["i", "n"] {
                by_ip(ns, kind.name, base)?;
            }
            let before = links("n")?;
            undone("n", &before, &format!("link_set(\"n:x\", #{{ {options} }});"))?;
            shell(&format!("ip -n i link set x type {} {words}", real(kind.name)))?;
            works(&["--quiet"], &format!("link_set(\"n:x\", #{{ {options} }});"))?;
            same(&format!("{} set {words}", kind.name), &alike("i")?, &alike("n")?)?;
            if Value::from(before) == Value::from(links("n")?) {
                return Err(format!("{} set {words} changes nothing", kind.name));
            }
            count += 2;
            Ok(())
        };
        if let Err(error) = check() {
            problems.push(error);
        }
        remove("i")?;
        remove("n")?;
    }
    if problems.is_empty() { Ok(count) } else { Err(problems.join("\n\n")) }
}

/// Runs a script that fails at its end, and compares.
fn undone(ns: &str, before: &[Value], body: &str) -> Result<(), String> {
    let ended = nsscript(&[], &format!("{body} throw \"on purpose\";"))?;
    if ended.code() != 1 || !ended.stderr.contains("verified") || !ended.stderr.contains("on purpose") {
        return Err(format!("status {} of: {body}\n{}", ended.code(), ended.stderr));
    }
    let wanted = Value::from(before.to_vec());
    common::poll(Duration::from_secs(10), || links(ns).is_ok_and(|now| Value::from(now) == wanted));
    same(&format!("undo of: {body}"), &wanted, &Value::from(links(ns)?))
}

/// What was there before comes back: from limbo, and from its record.
fn restored(kind: &Kind) -> Result<usize, String> {
    let mut count = 0;
    let mut problems = Vec::new();
    for (words, options) in kind.made {
        namespace("n")?;
        let mut check = || -> Result<(), String> {
            let empty = links("n")?;
            undone("n", &empty, &call("n", kind.name, options))?;
            by_ip("n", kind.name, words)?;
            let before = links("n")?;
            undone("n", &before, "link_del(\"n:x\");")?;
            count += 2;
            if LINKED.contains(&kind.name) || words.contains("dev e0") {
                if kind.name == "macsec" {
                    let ended = nsscript(&[], "link_del(\"n:e0\");")?;
                    if !ended.stderr.contains("can't be taken along") {
                        return Err(format!("macsec is not refused: {}", ended.stderr));
                    }
                    same("a refused link_del", &Value::from(before.clone()), &Value::from(links("n")?))?;
                } else {
                    undone("n", &before, "link_del(\"n:e0\");")?;
                }
                count += 1;
            }
            if !SECRET.contains(&kind.name) {
                // Limbo is empty after the commit: what comes back then comes from the record.
                works(&["--quiet", "--name", "gone"], "link_del(\"n:x\");")?;
                let down = common::run(
                    Command::new(common::NSSCRIPT).args(["--host", "--color", "never", "down", "gone"]),
                    common::LONG,
                )?;
                same(
                    &format!("made again from its record: {words}; {}", down.stderr),
                    &Value::from(before),
                    &Value::from(links("n")?),
                )?;
                count += 1;
            }
            Ok(())
        };
        if let Err(error) = check() {
            problems.push(error);
        }
        remove("n")?;
    }
    if kind.name == "wireguard" {
        match secrets::untold() {
            Ok(more) => count += more,
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(count) } else { Err(problems.join("\n\n")) }
}

/// Made over a link in another namespace, or with its other end there, as `ip` makes it; and undone.
fn across(kind: &Kind) -> Result<usize, String> {
    let (lower, apart) = ("i", "j");
    namespace("i")?;
    namespace("n")?;
    for ns in ["j", "m"] {
        shell(&format!(
            "ip netns add {ns}; ip netns exec {ns} sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'"
        ))?;
    }
    let (line, script) = match kind.name {
        "veth" => (
            format!(
                "ip -n {apart} link add name x index 60 numtxqueues 1 numrxqueues 1 type veth peer name y index 61 netns {lower}"
            ),
            "veth(\"m:x\", \"n:y\", #{ a: #{ index: 60 }, b: #{ index: 61 } });".to_string(),
        ),
        name if LINKED.contains(&name) => {
            let (words, options) = kind.made[0];
            (
                format!("ip -n {apart} link add link-netns {lower} link if50 name x index 60 type {name} {words}"),
                format!("{name}(\"m:x\", #{{ link: \"n:e0\", index: 60, {options} }});"),
            )
        }
        name => {
            let (_, words, options) = ON_DEV.iter().find(|(n, _, _)| *n == name).ok_or("no such kind")?;
            (
                format!("ip -n {apart} link add link-netns {lower} name x index 60 type {name} {words} dev if50"),
                format!("{name}(\"m:x\", #{{ dev: \"n:e0\", index: 60, {options} }});"),
            )
        }
    };
    let mut count = 0;
    let before = [links("m")?, links("n")?];
    undone("m", &before[0], &script)?;
    same("undo where the link below is", &Value::from(before[1].clone()), &Value::from(links("n")?))?;
    count += 1;
    shell(&line)?;
    works(&["--quiet"], &script)?;
    same(&line, &alike(apart)?, &alike("m")?)?;
    count += 1;
    let link = works(
        &["--quiet"],
        "let i = link(\"j:x\"); let n = link(\"m:x\"); if i.data != n.data || i.lower != n.lower || i.lower_nsid != n.lower_nsid { throw `${i} ${n}`; } print(n.lower_nsid);",
    )?;
    // Of an ipvtap the kernel does not tell it (ipvtap_link_ops has no get_link_net).
    if kind.name != "ipvtap" && link.trim().parse::<u32>().is_err() {
        return Err(format!("the other namespace's id is not shown: {link}"));
    }
    count += 1;
    // One of a stranger's comes back.
    let before = links(apart)?;
    undone(apart, &before, "link_del(\"j:x\");")?;
    count += 1;
    for ns in ["i", "j", "m", "n"] {
        remove(ns)?;
    }
    Ok(count)
}

/// The kinds of which a link can be in another namespace than what it is on, or than its other end.
fn is_across(kind: &Kind) -> bool {
    kind.name == "veth" || LINKED.contains(&kind.name) || ON_DEV.iter().any(|(name, _, _)| *name == kind.name)
}

fn inside(name: &str) -> Result<(), String> {
    let (what, name) = name.split_once('/').ok_or("a name without a part")?;
    let (table, name) = match (name.strip_prefix("qdisc_"), name.strip_prefix("filter_")) {
        (Some(queue), _) => (1, queue),
        (_, Some(filter)) => (2, filter),
        _ => (0, name),
    };
    let counts: Vec<(&str, usize)> = if table == 2 {
        let filter = filters::FILTERS.iter().find(|f| f.name == name).ok_or("no such filter")?;
        match what {
            "made" => {
                let (equal, shown) = filters::made(filter)?;
                vec![("made", equal), ("shown", shown)]
            }
            _ => vec![("undone", filters::restored(filter)?)],
        }
    } else if table == 1 {
        let queue = queues::QUEUES.iter().find(|q| q.name == name).ok_or("no such qdisc")?;
        match what {
            "made" => {
                let (equal, shown) = queues::made(queue)?;
                vec![("made", equal), ("shown", shown)]
            }
            "changed" => vec![("changed", queues::changed(queue)?)],
            _ => vec![("undone", queues::restored(queue)?)],
        }
    } else {
        let kind = KINDS.iter().find(|k| k.name == name).ok_or("no such kind")?;
        // The fallback links of tunnels come with the first namespace, not in the middle of a comparison.
        if what != "cut" {
            let _ =
                shell(&format!("ip netns add warm; ip -n warm link add x type {} {}", real(kind.name), kind.made[0].0));
        }
        match what {
            "cut" => {
                let cut = cut::CUTS.iter().find(|c| c.name == name).ok_or("no such kind")?;
                vec![("cut", cut::cut(cut)?)]
            }
            "made" => {
                let (equal, shown) = made(kind)?;
                vec![("made", equal), ("shown", shown)]
            }
            "changed" => vec![("changed", changed(kind)?)],
            "across" => vec![("across", across(kind)?)],
            _ => vec![("undone", restored(kind)?)],
        }
    };
    page::counted(table, name, &counts)
}

fn main() {
    let frame = Frame { program: "kinds", threads: 4, bound: common::LONG * 5, needs: frame::nothing, inside };
    let mut cases = Vec::new();
    for part in ["made", "changed", "undone", "across"] {
        for kind in KINDS {
            if (part != "changed" || !kind.changed.is_empty()) && (part != "across" || is_across(kind)) {
                cases.push((format!("{part}/{}", kind.name), vec![kind.name.to_string()]));
            }
        }
        for queue in queues::QUEUES {
            if part != "across" && (part != "changed" || !queue.changed.is_empty()) {
                let feature = queues::feature(queue.name).map(str::to_string);
                cases.push((format!("{part}/qdisc_{}", queue.name), feature.into_iter().collect()));
            }
        }
        for filter in filters::FILTERS.iter().filter(|_| ["made", "undone"].contains(&part)) {
            cases.push((format!("{part}/filter_{}", filter.name), vec![filter.feature.to_string()]));
        }
    }
    if frame::faults().is_none() {
        cases.extend(cut::CUTS.iter().map(|c| (format!("cut/{}", c.name), vec![c.name.to_string()])));
    }
    let rows: Vec<(usize, &str, Option<&str>)> = KINDS
        .iter()
        .map(|k| (0, k.name, Some(k.name)))
        .chain(queues::QUEUES.iter().map(|q| (1, q.name, queues::feature(q.name))))
        .chain(filters::FILTERS.iter().map(|f| (2, f.name, Some(f.feature))))
        .collect();
    frame.main_between(cases, page::begin, || page::end(&rows));
}

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
        // Of two names of one namespace `ip` shows the one that it finds first.
        dump.0.values_mut().flatten().for_each(|line| *line = line.replace("\"alias\"", "\"w2\""));
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

// ---------------------------------------------------------------------------------------------------------------
// The copy and the kernel held together

/// Pseudo-random numbers: xorshift64*, Vigna 2016.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[usize::try_from(self.next() >> 33).unwrap_or_default() % all.len()]
    }
}

/// What a statement may be about: what is there, what a statement before may have made, and what never is.
const SPACES: &[&str] = &["\"w1\"", "\"w2\"", "\"n1\"", "\"n2\"", "host()", "\"never\""];
const LINKS: &[&str] = &[
    "w1:v1", "w1:p1", "w1:p2", "w1:q2", "w1:br0", "w2:v2", "w2:e1", "h0", "h1", "n1:a", "n2:b", "w1:new", "w2:v1",
    "w1:lo", "h9",
];
const NAMES: &[&str] = &["v1", "v2", "new", "other", "br0", "h9", "much-too-long-a-name"];
const CIDRS: &[&str] = &[
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.77/24",
    "10.50.0.1/24",
    "fd00::1/64",
    "fd50::1/64",
    "10.0.0.0/33",
    "10.5.0.1/24",
];
const VIAS: &[&str] = &["10.0.0.9", "10.50.0.9", "10.4.0.9", "fd00::9", "10.200.0.1", "10.6.0.9"];
const NETS: &[&str] =
    &["default", "10.10.0.0/16", "10.11.0.0/16", "10.60.0.0/16", "fd10::/64", "10.12.0.0/16", "10.0.0.0/24"];
const KEYS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.v1.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv6.conf.v1.disable_ipv6",
    "net.core.somaxconn",
    "net.ipv4.no_such_key",
];

fn statement(random: &mut Random) -> String {
    let patterns = [
        "netns_add(NEW)",
        "netns_del(SPACE)",
        "netns_add(NEW, #{ lo: true })",
        "netns_attach(\"again\", \"/run/netns/w1\")",
        "netns_set(SPACE, NUMBER)",
        "link_set(LINK, #{ mtu: MTU })",
        "link_set(LINK, #{ alias: \"x\", txqueuelen: 7 })",
        "link_set(LINK, #{ master: DEV })",
        "link_set(LINK, #{ nomaster: true })",
        "link_set(LINK, #{ mac: \"02:00:00:00:99:01\" })",
        "link_up(LINK)",
        "link_down(LINK)",
        "link_rename(LINK, DEV)",
        "link_move(LINK, SPACE)",
        "link_del(LINK)",
        "altname_add(LINK, \"third\")",
        "altname_del(LINK, \"other-name\")",
        "veth(\"n1:a\", \"n2:b\", #{ up: true, addr: CIDR })",
        "veth(LINK, LINK)",
        "veth(\"w1:new\", LINK, #{ up: true })",
        "bridge(LINK, #{ up: true })",
        "addr(LINK, CIDR)",
        "addr(LINK, [CIDR, CIDR])",
        "addr_del(LINK, CIDR)",
        "addr_flush(LINK)",
        "addr(LINK, CIDR, #{ replace: true })",
        "route(SPACE, NET, #{ via: VIA })",
        "route(SPACE, NET, #{ via: VIA, metric: 50, append: true })",
        "route(SPACE, NET, #{ via: VIA, replace: true })",
        "route(SPACE, NET, #{ type: \"blackhole\", table: 77 })",
        "route_del(SPACE, NET)",
        "neigh(LINK, VIA, \"02:00:00:00:05:51\")",
        "neigh_del(LINK, \"10.0.0.50\")",
        "neigh(LINK, VIA, #{ proxy: true })",
        "sysctl(SPACE, KEY, 1)",
        "sysctl(SPACE, KEY)",
        "route_get(SPACE, VIA).dev",
        "transaction(|| { addr(LINK, CIDR); link_down(LINK); route(SPACE, NET, #{ via: VIA }); })",
        "transaction(|| { link_del(LINK); netns_del(SPACE); fail(\"x\"); })",
        "write_file(\"/run/files/file\", \"new\")",
        "read_file(\"/run/files/file\")",
        "remove_file(\"/run/files/file\")",
        "write_file(\"/run/no/such\", \"\")",
        "rule(SPACE, #{ from: CIDR, table: 100, priority: 700 })",
        "rule_del(SPACE, #{ priority: 500 })",
        "nexthop(SPACE, NUMBER, #{ via: VIA, dev: DEV })",
        "nexthop(SPACE, 99, #{ group: [11, 12] })",
        "nexthop_del(SPACE, 11)",
        "route(SPACE, NET, #{ nhid: 11 })",
        "qdisc(LINK, \"tbf\", #{ handle: \"5:\", rate: \"10mbit\", burst: \"32kb\", latency: \"50ms\" })",
        "qdisc(LINK, \"htb\", #{ handle: \"1:\" })",
        "tc_class(LINK, \"1:1\", #{ rate: \"20mbit\" })",
        "qdisc_del(LINK)",
        "macvlan(LINK, #{ link: LINK, mode: \"bridge\", up: true })",
        "vxlan(LINK, #{ id: 42, local: \"10.0.0.1\", dstport: 4789, up: true })",
        "ifb(LINK, #{ up: true })",
        "netns_list().map(|n| n.name)",
        // The kernel forgets that of a namespace that is gone some time later (cleanup_net, net/core/net_namespace.c).
        "netns_list_id().filter(|n| n.name != ()).map(|n| n.nsid)",
    ];
    let mut text = random.of(&patterns).to_string();
    for (word, choices) in [
        ("SPACE", SPACES),
        ("LINK", LINKS),
        ("DEV", NAMES),
        ("CIDR", CIDRS),
        ("VIA", VIAS),
        ("NET", NETS),
        ("KEY", KEYS),
        ("NEW", &["\"n1\"", "\"n2\"", "\"w1\"", "\"a/b\""]),
        ("NUMBER", &["0", "5", "4711", "-1"]),
        ("MTU", &["1400", "1280", "1000", "10", "70000"]),
    ] as [(&str, &[&str]); 10]
    {
        while let Some(at) = text.find(word).filter(|_| !text.contains(&format!("\"{word}"))) {
            let choice = random.of(choices);
            let quoted = if choice.contains('"') || choice.contains("()") || choice.parse::<i64>().is_ok() {
                choice.to_string()
            } else {
                format!("\"{choice}\"")
            };
            text.replace_range(at..at + word.len(), &quoted);
        }
    }
    text
}

/// Each statement on its own, with what comes of it; at the end what is seen of the world.
fn script(statements: &[String]) -> String {
    let mut text = String::new();
    for (n, statement) in statements.iter().enumerate() {
        text += &format!(
            "try {{ let x = {statement}; print(`{n} ${{if type_of(x) == \"array\" || type_of(x) == \"string\" {{ to_json(x) }} else {{ \"\" }}}}`); }} catch (e) {{ print(`{n} ${{e.kind}}: ${{e.message}}`); }}\n"
        );
    }
    text + r#"
        let all = netns_list().map(|n| netns(n.name));
        all.push(host());
        for ns in all {
            print(`${ns} links ${to_json(links(ns).map(|l| [l.index, l.name, l.kind, l.mtu, l.up, l.alias, l.master, l.altnames]))}`);
            print(`${ns} addrs ${to_json(addrs(ns).filter(|a| !a.local.starts_with("fe80")).map(|a| [a.dev, a.cidr, a.label, a.scope, a.secondary, a.nodad, a.permanent]))}`);
            for route in routes(ns).filter(|r| r.dst != "fe80::/64") {
                // Whether the carrier is there the kernel finds out some time later.
                route.remove("linkdown");
                // The second has turned meanwhile.
                if route.expires != () { route.expires = "soon"; }
                print(`${ns} route ${to_json(route)}`);
            }
            // The kernel has them in no order.
            let neighs = neighs(ns).filter(|n| n.state == "permanent" || n.proxy).map(|n| to_json(n));
            neighs.sort();
            print(`${ns} neighs ${neighs}`);
            print(`${ns} rules ${to_json(rules(ns))}`);
            print(`${ns} nexthops ${to_json(nexthops(ns))}`);
            // In the order in which the links were made; and that of a link that was up once shows for good.
            let queues = qdiscs(ns).filter(|q| q.kind != "noqueue").map(|q| to_json([q.dev, q.kind, q.handle, q.parent]));
            queues.sort();
            print(`${ns} qdiscs ${queues}`);
            print(`${ns} forwarding ${sysctl(ns, "net.ipv4.ip_forward")} ${sysctl(ns, "net.ipv6.conf.all.forwarding")}`);
        }
    "#
}

/// What a script prints when it is run, and what when it is planned, in this order; in the same world, which is made anew: what
/// an undo can't bring back is no business of these cases.
fn both(statements: &[String]) -> Result<(Vec<String>, Vec<String>), String> {
    world::shell("ip -all netns del; ip link del h0 2> /dev/null || true; rm -rf /run/files")?;
    world::shell(world::WORLD)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", &script(statements));
    let path = path.to_string_lossy();
    let printed = |command: &mut Command, words: &[&str]| -> Result<Vec<String>, String> {
        let ended = with(command, words)?;
        let mut out = vec![format!("exit status {}", ended.code())];
        for line in ended.stdout.lines() {
            let event: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
            let text = event["text"].as_str().unwrap_or_default();
            match event["event"].as_str() {
                Some("print" | "error") => out.push(text.to_string()),
                Some("warning") => out.push(format!("warning: {}", event["message"])),
                _ => {}
            }
        }
        Ok(out)
    };
    // Without the processes beside it, whose namespaces would be copied as well.
    let mut alone = Command::new("unshare");
    alone.args(["--pid", "--fork", "--mount-proc", common::NSSCRIPT]);
    let planned = printed(&mut alone, &["plan", "--host", "--json", "--rm", &path])?;
    let ran = printed(&mut Command::new(common::NSSCRIPT), &["--host", "--json", "--rm", &path])?;
    Ok((ran, planned))
}

/// Random sequences, run and planned from the same world: the same results, and the same errors. A sequence that differs is
/// halved as long as it does.
fn random(seed: u64, cases: usize) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut lines, mut found) = (0, Vec::new());
    for case in 0..cases {
        let mut statements: Vec<String> = (0..12).map(|_| statement(&mut random)).collect();
        let (ran, planned) = both(&statements)?;
        lines += ran.len();
        if ran == planned {
            continue;
        }
        let differing = |(ran, planned): (Vec<String>, Vec<String>)| -> String {
            common::diff(&ran, &planned).lines().filter(|l| !l.starts_with("  ")).collect::<Vec<_>>().join("\n")
        };
        let first = format!("{}\n{}", statements.join("\n"), differing((ran, planned)));
        let mut size = statements.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < statements.len() {
                let mut fewer = statements.clone();
                fewer.drain(at..(at + size).min(statements.len()));
                match both(&fewer)? {
                    (ran, planned) if ran != planned => statements = fewer,
                    _ => at += size,
                }
            }
            size /= 2;
        }
        found.push(format!(
            "seed {seed}, case {case}: run (-) and plan (+) of\n{}\n{}\nat first\n{first}",
            statements.join("\n"),
            differing(both(&statements)?)
        ));
    }
    if !found.is_empty() {
        return Err(format!("{} of {cases} sequences differ\n{}", found.len(), found.join("\n\n")));
    }
    println!("seed {seed}: {cases} sequences of 12, {lines} lines alike");
    Ok(())
}

/// The seeds, and how many sequences each has: `NSSCRIPT_CASES` is for all together.
fn seeds() -> (u64, usize) {
    let all = std::env::var("NSSCRIPT_CASES").ok().and_then(|n| n.parse::<u64>().ok()).unwrap_or(24);
    let seeds = all.div_ceil(50).max(6);
    (seeds, usize::try_from(all.div_ceil(seeds)).unwrap_or(1))
}

// ---------------------------------------------------------------------------------------------------------------
// What a plan says

/// One plan in the world of [`world::WORLD`].
struct Said {
    name: &'static str,
    /// Shell before, and after, which has to succeed.
    before: &'static str,
    after: &'static str,
    /// Words before the script.
    words: &'static [&'static str],
    script: &'static str,
    code: i32,
    /// What stdout and stderr have, each on one line; and what neither has.
    out: &'static [&'static str],
    err: &'static [&'static str],
    never: &'static [&'static str],
}

const SAID: Said = Said {
    name: "",
    before: "",
    after: "",
    words: &[],
    script: "",
    code: 0,
    out: &["nothing was changed"],
    err: &[],
    never: &["could not be copied"],
};

const SAYINGS: &[Said] = &[
    Said {
        name: "steps",
        script: r#"link_set("w1:v1", #{ mtu: 1400 }); netns_add("n1", #{ lo: true }); print("printed");"#,
        out: &[
            "1 link_set in w1: v1",
            "case.rhai:1 ip -n w1 link set v1 mtu 1400",
            "2 netns_add: n1",
            "ip netns add n1",
            "3 link_set in n1: lo",
            "plan of `case`: 3 steps: 1 namespace, 0 links, 0 processes would stand; nothing was changed",
        ],
        err: &["printed"],
        ..SAID
    },
    Said {
        name: "fails_after_a_step",
        script: r#"on_rollback(|| print("compensated")); defer(|| print("deferred")); link_down("w1:v1"); addr("w1:nowhere", "10.0.0.1/24");"#,
        code: 1,
        out: &["would fail after step 1: all undone, exit status 1; nothing was changed"],
        err: &["there is no device `nowhere` in namespace `w1`", "deferred", "compensated"],
        never: &["rolled back", "link set v1 up"],
        ..SAID
    },
    Said {
        name: "fails_at_a_step",
        script: r#"netns_add("n1"); netns_add("w1");"#,
        code: 1,
        out: &["would fail at step 2: all undone, exit status 1"],
        err: &["namespace `w1` exists already"],
        ..SAID
    },
    Said {
        name: "fails_as_the_kernel_would",
        script: r#"route("w1", "10.99.0.0/16", #{ via: "10.98.0.1" });"#,
        code: 1,
        out: &["would fail at step 1"],
        err: &["the gateway is not reachable", "Nexthop has invalid gateway"],
        ..SAID
    },
    Said {
        name: "fails_at_a_sysctl_of_a_device_that_went",
        script: r#"link_del("w2:v2"); sysctl("w1", "net.ipv4.conf.v1.rp_filter", 1);"#,
        code: 1,
        out: &["would fail at step 2"],
        err: &["open sysctl net.ipv4.conf.v1.rp_filter: no such file"],
        ..SAID
    },
    Said { name: "exit", script: "netns_add(\"n1\"); exit(4);", code: 4, out: &["exit status 4"], ..SAID },
    Said {
        name: "transaction",
        script: r#"try { transaction(|| { link_down("w1:v1"); fail("x"); }); } catch (e) {} assert(link("w1:v1").up, "it is up again");"#,
        out: &["1 link_set in w1: v1", "-1 link_set in w1: v1", "ip -n w1 link set v1 up", "1 step: 0 namespaces"],
        ..SAID
    },
    Said {
        name: "lab_that_stands",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#""$NSSCRIPT" --host down case"#,
        script: "netns_add(\"n2\");",
        code: 1,
        out: &["would fail before its first step"],
        err: &["lab `case` stands already", "nsscript down case"],
        ..SAID
    },
    Said {
        name: "lab_that_stands/replaced",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#"ip netns list | grep -q n1; "$NSSCRIPT" --host down case"#,
        words: &["--replace"],
        script: "netns_add(\"n1\");",
        out: &["1 netns_del in n1: n1", "2 netns_add: n1", "nothing was changed"],
        ..SAID
    },
    Said {
        name: "namespace_of_a_lab",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#""$NSSCRIPT" --host down case"#,
        words: &["--name", "other"],
        script: "netns_add(\"n1\");",
        code: 1,
        out: &["would fail at step 1"],
        err: &["namespace `n1` exists already", "it belongs to lab `case`"],
        ..SAID
    },
    Said {
        name: "run_under_way",
        before: r#"
            echo 'netns_add("n1"); sh("n1", "touch /run/files/started; exec sleep 1234");' > /run/files/case.rhai
            "$NSSCRIPT" --host -q /run/files/case.rhai > /dev/null 2>&1 &
            echo $! > /run/files/pid
            until [ -e /run/files/started ]; do sleep 0.01; done"#,
        after: r#"kill "$(cat /run/files/pid)"; while ip netns list | grep -q n1; do sleep 0.01; done"#,
        script: "netns_add(\"n2\");",
        code: 1,
        err: &["another run of `case` is under way"],
        ..SAID
    },
    Said {
        name: "simulated/programs",
        script: r#"
            let out = exec_in("w1", "ip link set v1 down");
            assert_eq(out.code, 0);
            assert_eq(out.text, "");
            assert(link("w1:v1").up, "it was not done");
            let p = start("w1", "sleep 1234", #{ ready: "tcp/80" });
            assert(p.running, "it seems to run");
            assert_eq(netns_pids("w1"), [p.pid]);
            wait_port("w1", 80);
            assert_eq(p.log(), "");
            assert_eq(p.wait().code, 0);
            wait_until(|| false, #{ what: "the impossible" });
        "#,
        out: &[
            "ip netns exec w1 ip link set v1 down simulated: not run: status 0, no output",
            "ip netns exec w1 sleep 1234 & simulated: not run: a process that does nothing stands for it",
            "simulated: something listens there",
            "simulated: `sleep` has ended with status 0",
            "simulated: the impossible came true",
            "5 results simulated; nothing was changed",
        ],
        ..SAID
    },
    Said {
        name: "simulated/no_such_program",
        script: "exec_in(\"w1\", \"no-such-program\");",
        code: 1,
        err: &["command not found: `no-such-program`"],
        ..SAID
    },
    Said {
        name: "simulated/files",
        script: r#"
            write_file("/run/files/file", "new");
            write_file("/run/files/../files/other", "other");
            assert_eq(read_file("/run/files/file"), "new");
            remove_file("/run/files/file");
            try { read_file("/run/files/file"); fail("it is there"); } catch (e) { assert_eq(e.kind, "not_found"); }
            assert_eq(read_file("/run/files/other"), "other");
        "#,
        after: r#"[ "$(cat /run/files/file)" = "old content" ]; [ ! -e /run/files/other ]"#,
        out: &["1 write_file: /run/files/file", "3 remove_file: /run/files/file"],
        ..SAID
    },
    Said {
        name: "pings",
        script: r#"
            assert_ping("w1", "10.0.0.9");
            assert_eq(ping("w1", "10.0.0.99", #{ timeout: "50ms" }).received, 0);
            try { ping("w2", "10.99.0.1"); fail("a reply"); } catch (e) { assert_eq(e.kind, "unreachable"); }
            exec_in("w2", "true");
            assert_eq(ping("w1", "10.0.0.99", #{ timeout: "50ms", count: 2 }).received, 2);
        "#,
        out: &[
            "in the copy: 1 of 1 answered",
            "in the copy: 0 of 1 answered",
            "simulated: every ping is answered",
            "2 results simulated",
        ],
        ..SAID
    },
    Said {
        name: "processes_outside",
        before: r#"ip netns exec w2 sleep 1234 > /dev/null 2>&1 & echo $! > /run/files/pid; until [ "$(ip netns identify $!)" = w2 ]; do sleep 0.01; done"#,
        after: r#"kill "$(cat /run/files/pid)""#,
        script: r#"
            let pid = read_file("/run/files/pid");
            pid.trim();
            pid = parse_int(pid);
            assert_eq(netns_pids("w2"), [pid]);
            assert_eq(netns_identify(pid), "w2");
            assert_eq(netns_attach("again", pid).cookie, netns("w2").cookie);
        "#,
        ..SAID
    },
    Said {
        name: "stand_in",
        before: r#"
            ip netns add hidden
            ip -n hidden link add far type veth peer name low
            ip -n hidden link set low up
            ip -n hidden link set far up
            ip -n hidden link add mv link low index 44 address 02:00:00:00:07:01 type macvlan mode bridge
            ip -n hidden link set mv netns w1
            ip -n w1 link set mv up
            ip -n w1 addr add 10.36.0.1/24 dev mv
            sleep 1234 9< /run/netns/hidden > /dev/null 2>&1 &
            echo $! > /run/files/pid
            umount -l /run/netns/hidden
            rm /run/netns/hidden"#,
        after: r#"ip -n w1 link del mv; kill "$(cat /run/files/pid)""#,
        script: r#"
            let mv = link("w1:mv");
            assert_eq([mv.index, mv.kind, mv.mac, mv.up, mv.carrier], [44, "macvlan", "02:00:00:00:07:01", true, true]);
            assert_ping("w1", "10.36.0.9", #{ timeout: "50ms" });
            link_del("w1:mv");
        "#,
        out: &["simulated: every ping is answered", "2 link_del in w1: mv"],
        err: &["others stand in for these links: `mv` in namespace `w1` (macvlan"],
        ..SAID
    },
    Said {
        name: "sandbox_sees_nothing",
        words: &["--sandbox"],
        script: "assert_eq(netns_list(), []); netns_add(\"w1\");",
        out: &["1 step: 1 namespace"],
        ..SAID
    },
];

/// The plan says what it should, and leaves the world as it is: networks, files, mounts and processes.
fn says(said: &Said) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell(said.before)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", said.script);
    let path = path.to_string_lossy();
    let before = Dump::settled()?;
    let mut words = vec!["plan"];
    if said.words != ["--sandbox"] {
        words.push("--host");
    }
    words.extend(said.words);
    words.push(&path);
    let ended = nsscript(&words)?;
    let (out, err) = (common::flat(&ended.stdout), common::flat(&ended.stderr));
    let mut problems = Vec::new();
    if ended.code() != said.code {
        problems.push(format!("exit status {}, expected {}", ended.code(), said.code));
    }
    for (text, wanted) in [(&out, said.out), (&err, said.err)] {
        problems.extend(wanted.iter().filter(|w| !text.contains(**w)).map(|w| format!("it does not say `{w}`")));
        problems.extend(said.never.iter().filter(|w| text.contains(**w)).map(|w| format!("it says `{w}`")));
    }
    problems.extend(before.compare(Duration::from_secs(3))?.into_iter().map(|d| format!("changed: {d}")));
    if let Err(error) = world::shell(said.after) {
        problems.push(error);
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\nstdout:\n{}\nstderr:\n{}", problems.join("\n"), ended.stdout, ended.stderr))
}

/// A run that was killed is recovered by a run of its name: in the plan too, and only there.
fn killed() -> Result<(), String> {
    world::shell(world::WORLD)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let text =
        r#"netns_add("n1"); link_set("w1:v1", #{ mtu: 1400 }); netns_del("w2"); link_del("w1:q2"); netns_add("n2");"#;
    let path = common::write(folder.path(), "case.rhai", text);
    let path = path.to_string_lossy();
    let before = Dump::settled()?;
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--host", &path]).env("NSSCRIPT_FAULT", "kill-after@4");
    common::run(&mut command, common::LONG)?;
    let broken = Dump::settled()?;
    if before.differences(&broken).is_empty() {
        return Err("nothing was left open".into());
    }
    let plan = nsscript(&["plan", "--host", &path])?;
    let err = common::flat(&plan.stderr);
    if plan.code() != 0 || !err.contains("run `case` was killed: its 3 steps are undone, verified") {
        return Err(format!("status {}\nstdout:\n{}\nstderr:\n{}", plan.code(), plan.stdout, plan.stderr));
    }
    let differences = broken.compare(Duration::from_secs(3))?;
    if !differences.is_empty() {
        return Err(format!("the plan changed:\n{}", differences.join("\n")));
    }
    let recovered = nsscript(&["recover"])?;
    let differences = before.compare(Duration::from_secs(6))?;
    if differences.is_empty() { Ok(()) } else { Err(format!("{}\n{}", recovered.stderr, differences.join("\n"))) }
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

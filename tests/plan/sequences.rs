//! The copy and the kernel held together: random sequences, run and planned.

use super::common::{self, world};
use super::with;
use serde_json::Value;
use std::process::Command;

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
pub fn random(seed: u64, cases: usize) -> Result<(), String> {
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
pub fn seeds() -> (u64, usize) {
    let all = std::env::var("NSSCRIPT_CASES").ok().and_then(|n| n.parse::<u64>().ok()).unwrap_or(24);
    let seeds = all.div_ceil(50).max(6);
    (seeds, usize::try_from(all.div_ceil(seeds)).unwrap_or(1))
}

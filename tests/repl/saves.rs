//! `:save`: the file builds the same in a fresh sandbox, whatever the session was like.

use crate::common::{self, world};
use crate::tty::*;
use std::process::Command;

/// What a lab is, without what differs from one making of it to the next: MAC addresses and what is made of them, the
/// handles that the kernel gives to queues, and what follows the carrier in its own time.
const FACTS: &str = r#"for ns in $(ls /run/netns | sort); do
  echo "== $ns"
  ip -n $ns -d -o link | sed -E 's/link\/[a-z]+ [^ ]+//; s/link-netns(id)? [^ ]+//; s/(bridge_id|designated_root|designated_bridge) [^ ]+//g; s/[a-z_]*timer +[0-9.]+//g; s/ state [A-Za-z]+//g; s/,(LOWER_UP|NO-CARRIER)|NO-CARRIER,//g'
  ip -n $ns -o addr | sed /fe80/d
  ip -n $ns route show table all | sed -E '/fe80|ff00/d; s/ linkdown//'
  ip -n $ns rule
  ip -n $ns nexthop
  ip -n $ns neigh show nud permanent
  ip netns exec $ns sh -c 'tc qdisc show | sed -E "s/(pfifo|htb) [0-9a-f]+:/\1/"; tc class show; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward'
done"#;

/// Sessions, each by its lines.
const SESSIONS: &[(&str, &str)] = &[
    (
        "rules of all sorts",
        r#"let names = ["h1", "h2"]
for n in names { netns_add(n, #{ lo: true }) }
let c = veth("h1:eth0", "h2:eth0", #{ up: true })
ip -n h1 addr add 10.0.0.1/24 dev eth0 // the first
ip -n h2 addr add 10.0.0.2/24 dev eth0
nft("h1", "table inet f {\nchain input {\ntype filter hook input priority 0; policy accept;\ntcp dport 22 drop\n}\n}")
masquerade("h1", "eth0")
qdisc("h1:eth0", "pfifo", #{ limit: 50 })
sysctl("h1", "net.ipv4.ip_forward", 1)
rule("h1", #{ from: "10.0.0.0/24", table: 100, priority: 1000 })
route("h1", "default", #{ via: "10.0.0.2", table: 100 })
ip -n h1 rule add fwmark 5 table 200
ip -n h1 route add 10.5.0.0/16 via 10.0.0.2 table 200 metric 7
nexthop("h1", 10, #{ via: "10.0.0.2", dev: "eth0" })
ip -n h1 route add 10.6.0.0/16 nhid 10
neigh("h1", "eth0", "10.0.0.77", "02:00:00:00:00:77")
ip netns exec h2 sysctl -qw net.ipv4.ip_forward=1
"#,
    ),
    (
        "what was deleted, renamed, moved, undone and done again",
        r#"fn leaf(n) { netns_add(`h${n}`, #{ lo: true }); veth(`h${n}:eth0`, `sw:p${n}`, #{ up: true }) }
netns_add("sw")
bridge("sw:br0", #{ up: true })
for n in 1..4 { leaf(n); link_set(`sw:p${n}`, #{ master: "br0" }) }
netns_add("dead")
netns_del("dead")
link_del("h3:eth0")
:use h1
link_rename("eth0", "lan0")
addr("lan0", "10.9.0.1/24")
addr_del("lan0", "10.9.0.1/24")
let x = links()
for l in x { if l.name != "lo" { link_set(l.name, #{ alias: "mine", mtu: 1400 }) } } // all of them
:use
veth("h2:d0", "h2:d1")
_.name
netns_add("tmp")
:undo
netns_add("twice")
:undo
:redo
let far = netns_add("far")
link_move("h2:d0", far)
netns_add("late")
:undo 1
"#,
    ),
    (
        "variables, constants, closures and results",
        r#"let a = 1; let b = a + 1
let cfg = #{ mtu: 1200 }
cfg.mtu = 1250
netns_add("n")
veth("n:a", "n:b")
:use n
let f = |d| link_set(d, cfg)
f.call("a")
cfg.mtu += 10; link_set("b", cfg)
let label = "by hand"
ip link set dev a alias "some alias" // ip has comments too
:use
"abc".len()
netns_add(`len${_}`)
let all = []
for i in 0..3 { all.push(i) }
all.filter(|v| v > 0)
for v in _ { netns_add(`v${v}`) }
const K = 5
switch K { 5 => netns_add("five"), _ => netns_add("other") }
while a < 3 { a += 1; netns_add(`w${a}`) }
"#,
    ),
    (
        "functions that are defined anew, and a commit between",
        r#"fn f(n) { netns_add("f" + n) }
fn g(n) { f(n); link_up(netns("f" + n), "lo") }
g(1)
fn f(n) { netns_add("f" + n); netns_add("ff" + n) }
g(2)
import "topology" as topo
fn pair() { topo::line(2) }
pair()
let before = netns_add("before")
:commit first
before.link_up("lo")
fn f(n) { netns_add("fff" + n) }
f(3)
"#,
    ),
];

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

pub const CASES: &[(&str, Case)] = &[
    ("saved_sessions", || {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let before = world::Dump::settled()?;
        for (what, session) in SESSIONS {
            let file = folder.path().join("saved.rhai");
            let _ = std::fs::remove_file(&file);
            let ended = piped(&[], &format!("{session}:save {}\n:commit second\n", file.display()))?;
            succeeds(&ended).map_err(|e| format!("{what}: {e}"))?;
            let typed = lines(&world::shell(FACTS)?);
            world::shell("for lab in second first; do $NSSCRIPT ls | grep -q $lab && $NSSCRIPT down $lab; done; true")?;
            same(&before)?;
            let script = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
            let facts = common::write(folder.path(), "facts.sh", FACTS);
            let shown = format!("{script}print(sh(host(), \"sh {}\").text);\n", facts.display());
            std::fs::write(&file, shown).map_err(|e| e.to_string())?;
            let ended = common::run(Command::new(common::NSSCRIPT).args(["--sandbox", "-q"]).arg(&file), BOUND)?;
            succeeds(&ended).map_err(|e| format!("{what}: {e}\n{script}"))?;
            let built = lines(&ended.stdout);
            if typed.len() < 20 || typed != built {
                return Err(format!("{what}:\n{}\n{script}", common::diff(&typed, &built)));
            }
        }
        Ok(())
    }),
    // What a loaded file imports is found from where the script is saved; a file of somebody's own is not written over.
    ("saved_files", || {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::create_dir(folder.path().join("other")).map_err(|e| e.to_string())?;
        common::write(folder.path(), "module.rhai", "fn name() { \"from-a-module\" }");
        let loaded = common::write(
            folder.path(),
            "loaded.rhai",
            "#!/usr/bin/env nsscript\nimport \"module\" as m;\n// Two.\nfor n in 0..2 { netns_add(m::name() + n) }\n",
        );
        let file = folder.path().join("other/saved.rhai");
        let session = format!(":load {}\n:save {}\n:save {}\n", loaded.display(), file.display(), file.display());
        succeeds(&piped(&[], &session)?)?;
        let script =
            format!("{}\nprint(netns_list().len());\n", std::fs::read_to_string(&file).map_err(|e| e.to_string())?);
        has(&script, "// Two.")?;
        let saved = common::write(&folder.path().join("other"), "with_print.rhai", &script);
        let ended = common::run(Command::new(common::NSSCRIPT).args(["--sandbox", "-q"]).arg(&saved), BOUND)?;
        succeeds(&ended).map_err(|e| format!("{e}\n{script}"))?;
        has(&ended.stdout, "2")?;
        let ended = piped(&[], &format!("netns_add(\"x\")\n:save {}\n", loaded.display()))?;
        has(&ended.stderr, "was not saved from a session")?;
        has(&ended.stderr, "<stdin>:2:1")?;
        if ended.code() != 1 || !std::fs::read_to_string(&loaded).is_ok_and(|text| text.contains("// Two.")) {
            return Err(format!("status {}\n{}", ended.code(), ended.stderr));
        }
        Ok(())
    }),
    // A program that only Ctrl-C ends would not let the script end.
    ("saved_without_what_was_stopped", || {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = folder.path().join("saved.rhai");
        let mut tty = Tty::start()?;
        tty.line("netns_add(\"h1\", #{ lo: true })", "host +1> ")?;
        tty.keys("ip netns exec h1 ping 127.0.0.1\r")?;
        tty.see("icmp_seq=1")?;
        tty.send(CTRL_C)?;
        tty.prompt("host +1> ")?;
        tty.line(&format!(":save {}", file.display()), "host +1> ")?;
        let script = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
        has(&script, "// left out, as it was ended by Ctrl-C: ip netns exec h1 ping 127.0.0.1")?;
        let ended = common::run(Command::new(common::NSSCRIPT).arg("--sandbox").arg(&file), BOUND)?;
        succeeds(&ended)?;
        tty.line(":rollback", "host> ")?;
        tty.quit()
    }),
];

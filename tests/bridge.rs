//! Undo of bridges' tables: VLANs, forwarding entries of bridges and vxlans, multicast groups. A world made by `ip` and
//! `bridge` is dumped, a script changes it and fails, fails within a transaction, or is killed at each of its steps; the
//! world has to be what it was.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world::{self, Dump, nsscript};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

/// `w1` has br0 with the ports p1, p2 and vx1, br1 without ports, and br2, which is down and looks at no multicast; vx0 is
/// a vxlan by itself.
const WORLD: &str = r#"
ip netns add w1
ip netns add w2
for ns in w1 w2; do ip netns exec $ns sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; done
ip -n w1 -batch - <<E
link set lo up
link add br0 address 02:00:00:00:04:01 type bridge
link add br1 address 02:00:00:00:04:02 type bridge
link add br2 address 02:00:00:00:04:03 type bridge
link add p1 address 02:00:00:00:02:01 type veth peer name q1 netns w2 address 02:00:00:00:02:02
link add p2 address 02:00:00:00:03:01 type veth peer name q2 netns w2 address 02:00:00:00:03:02
link add p3 address 02:00:00:00:05:01 type veth peer name q3 netns w2 address 02:00:00:00:05:02
link add vx0 address 02:00:00:00:06:01 type vxlan id 42 dstport 4789 local 10.9.0.1 remote 10.9.0.2
link add vx1 address 02:00:00:00:06:02 type vxlan id 43 dstport 4790 nolearning
link set p2 master br1
link set p1 master br0
link set p2 master br0
link set vx1 master br0
link set p3 master br2
link set br0 up
link set br2 up
link set p1 up
link set p2 up
link set p3 up
link set vx0 up
link set vx1 up
addr add 10.9.0.1/24 dev br0
E
ip -n w2 -batch - <<E
link set q1 up
link set q2 up
link set q3 up
E
vlans=no
if ip -n w1 link set br0 type bridge vlan_filtering 1 2>/dev/null; then vlans=yes
bridge -n w1 -batch - <<E
vlan add dev p1 vid 10 pvid untagged
vlan add dev p1 vid 20-22
vlan del dev p2 vid 1
vlan add dev p2 vid 10
vlan add dev p2 vid 30 untagged
vlan add dev br0 vid 10 self
E
fi
bridge -n w1 -batch - <<E
fdb add 02:00:00:00:07:01 dev p1 master static
fdb add 02:00:00:00:07:02 dev p1 master static sticky
fdb add 02:00:00:00:07:03 dev p2 master extern_learn
fdb add 02:00:00:00:07:04 dev p2 master permanent
fdb add 02:00:00:00:07:05 dev br0 self permanent
fdb add 02:00:00:00:07:11 dev vx0 dst 10.9.0.3
fdb add 02:00:00:00:07:12 dev vx0 dst 10.9.0.4 port 4791 vni 44 via br0
fdb append 00:00:00:00:00:00 dev vx0 dst 10.9.0.5
fdb append 00:00:00:00:00:00 dev vx0 dst 10.9.0.6 vni 45
fdb add 02:00:00:00:07:13 dev vx1 self dst 10.9.0.3 static
fdb add 02:00:00:00:07:14 dev vx1 master static
mdb add dev br0 port p1 grp 239.1.1.1 permanent
mdb add dev br0 port p2 grp 239.1.1.1 permanent
mdb add dev br0 port p2 grp 239.1.1.2 src 10.9.0.9 permanent
mdb add dev br0 port p2 grp ff05::7 permanent
mdb add dev br2 port p3 grp 239.1.1.3 permanent
E
ip -n w1 link set br2 type bridge mcast_snooping 0
ip -n w1 link set br2 down
if [ $vlans = yes ]; then
bridge -n w1 -batch - <<E
fdb add 02:00:00:00:07:21 dev p1 master static vlan 20
fdb add 02:00:00:00:07:21 dev p2 master static vlan 30
mdb add dev br0 port p1 grp 239.1.1.9 permanent vid 20
E
fi
"#;

/// By name: a script. Those that call `bridge_vlan` need it of the kernel.
const CASES: &[(&str, &str)] = &[
    (
        "fdb/add",
        r#"fdb("w1:p1", "02:00:00:00:08:01"); fdb("w1:br0", "02:00:00:00:08:02"); fdb("w1:p2", "02:00:00:00:08:03", #{ state: "permanent" })"#,
    ),
    (
        "fdb/extern_learn",
        r#"fdb("w1:p1", "02:00:00:00:08:01", #{ extern_learn: true, sticky: true }); fdb("w1:vx0", "02:00:00:00:08:02", #{ dst: "10.9.0.7", extern_learn: true })"#,
    ),
    ("fdb/replace_takes_it_from_another_port", r#"fdb("w1:p2", "02:00:00:00:07:01", #{ replace: true })"#),
    ("fdb/replace_changes_its_state", r#"fdb("w1:p1", "02:00:00:00:07:01", #{ replace: true, state: "permanent" })"#),
    (
        "fdb/vxlan",
        r#"fdb("w1:vx0", "02:00:00:00:08:01", #{ dst: "10.9.0.7", port: 4800, vni: 99, via: "br0" }); fdb("w1:vx1", "02:00:00:00:08:02", #{ dst: "10.9.0.8", state: "static" })"#,
    ),
    ("fdb/vxlan_append", r#"fdb("w1:vx0", "00:00:00:00:00:00", #{ dst: "10.9.0.7", append: true })"#),
    ("fdb/vxlan_replace", r#"fdb("w1:vx0", "02:00:00:00:07:12", #{ dst: "10.9.0.7", replace: true })"#),
    ("fdb_del/of_a_port", r#"fdb_del("w1:p1", "02:00:00:00:07:01"); fdb_del("w1:p1", "02:00:00:00:07:02")"#),
    (
        "fdb_del/other_kinds",
        r#"fdb_del("w1:p2", "02:00:00:00:07:03"); fdb_del("w1:p2", "02:00:00:00:07:04"); fdb_del("w1:br0", "02:00:00:00:07:05")"#,
    ),
    (
        "fdb_del/vxlan",
        r#"fdb_del("w1:vx0", "02:00:00:00:07:12"); fdb_del("w1:vx0", "00:00:00:00:00:00", #{ dst: "10.9.0.6" }); fdb_del("w1:vx1", "02:00:00:00:07:14")"#,
    ),
    (
        "fdb_del/vxlan_default",
        r#"fdb_del("w1:vx0", "00:00:00:00:00:00", #{ dst: "10.9.0.2" }); fdb_del("w1:vx0", "00:00:00:00:00:00")"#,
    ),
    ("fdb_del/and_add_elsewhere", r#"fdb_del("w1:p1", "02:00:00:00:07:01"); fdb("w1:p2", "02:00:00:00:07:01")"#),
    (
        "mdb/add",
        r#"mdb("w1:p1", "239.1.1.4"); mdb("w1:p2", "ff05::8", #{ src: "fd00::9" }); mdb("w1:p1", "01:00:5e:01:01:01")"#,
    ),
    (
        "mdb_del",
        r#"mdb_del("w1:p1", "239.1.1.1"); mdb_del("w1:p2", "239.1.1.2", #{ src: "10.9.0.9" }); mdb_del("w1:p2", "ff05::7")"#,
    ),
    // Of several that leave, the first to come back gets the first number (find_portno, net/bridge/br_if.c).
    ("port/leaves", r#"link_set("w1:p1", #{ nomaster: true })"#),
    ("port/leaves_with_other_tables", r#"link_set("w1:p2", #{ nomaster: true })"#),
    ("port/leaves_for_another", r#"link_set("w1:p2", #{ master: "br1" }); fdb("w1:p2", "02:00:00:00:08:01")"#),
    ("port/leaves_and_comes_back", r#"link_set("w1:p2", #{ nomaster: true }); link_set("w1:p2", #{ master: "br0" })"#),
    ("port/deleted", r#"link_del("w1:p1")"#),
    ("port/other_end_deleted", r#"link_del("w2:q2")"#),
    ("port/moved", r#"link_move("w1:p2", "w2")"#),
    ("port/mac", r#"link_set("w1:p1", #{ mac: "02:00:00:00:99:01" })"#),
    ("port/mac_of_an_entry", r#"link_set("w1:p1", #{ mac: "02:00:00:00:07:01" })"#),
    ("port/down", r#"link_down("w1:p1"); link_down("w2:q2")"#),
    (
        "port/new_one",
        r#"veth("w1:n1", "w2:n2", #{ up: true, a: #{ master: "br0" } }); fdb("w1:n1", "02:00:00:00:08:01"); mdb("w1:n1", "239.1.1.1")"#,
    ),
    (
        "port/of_a_new_bridge",
        r#"bridge("w1:br9", #{ up: true }); link_set("w1:p1", #{ master: "br9" }); mdb("w1:p1", "239.1.1.1")"#,
    ),
    (
        "port/settings",
        r#"link_set("w1:p1", #{ port: #{ cost: 9, priority: 3, hairpin: true, isolated: true, learning: false, flood: false, neigh_suppress: true, mcast_flood: false, bcast_flood: false, guard: true } })"#,
    ),
    ("bridge/deleted", r#"link_del("w1:br0")"#),
    ("bridge/down", r#"link_down("w1:br0")"#),
    ("bridge/no_snooping", r#"link_set("w1:br0", #{ mcast_snooping: false })"#),
    ("bridge/stp", r#"link_set("w1:br0", #{ stp: true, forward_delay: "2s" })"#),
    ("bridge/that_is_down_deleted", r#"link_del("w1:br2")"#),
    ("bridge/that_is_down_loses_its_port", r#"link_set("w1:p3", #{ nomaster: true })"#),
    ("vxlan/down", r#"link_down("w1:vx0"); link_down("w1:vx1")"#),
    ("vxlan/deleted", r#"link_del("w1:vx0"); link_del("w1:vx1")"#),
    ("vxlan/other_remote", r#"link_set("w1:vx0", #{ remote: "10.9.0.99" })"#),
    ("vxlan/leaves_the_bridge", r#"link_set("w1:vx1", #{ nomaster: true })"#),
    ("namespace", r#"netns_del("w1")"#),
    (
        "vlan/add",
        r#"bridge_vlan("w1:p1", #{ vid: 40 }); bridge_vlan("w1:p2", #{ vid: ["50-55", 60] }); bridge_vlan("w1:br0", #{ vid: 40 })"#,
    ),
    ("vlan/pvid_of_another", r#"bridge_vlan("w1:p1", #{ vid: 20, pvid: true, untagged: true })"#),
    ("vlan/flags", r#"bridge_vlan("w1:p1", #{ vid: 10 }); bridge_vlan("w1:p2", #{ vid: 30 })"#),
    (
        "vlan/del",
        r#"bridge_vlan("w1:p1", #{ vid: 41 }); bridge_vlan_del("w1:p1", #{ vid: [1, 10, "20-22", 41] }); bridge_vlan_del("w1:br0", #{ vid: 10 })"#,
    ),
    ("vlan/port_leaves", r#"bridge_vlan("w1:p1", #{ vid: 40 }); link_set("w1:p1", #{ nomaster: true })"#),
    ("vlan/port_with_fewer_leaves", r#"bridge_vlan("w1:p2", #{ vid: 40 }); link_set("w1:p2", #{ nomaster: true })"#),
    ("vlan/port_for_another_bridge", r#"link_set("w1:p2", #{ master: "br1" }); bridge_vlan("w1:p2", #{ vid: 40 })"#),
    ("vlan/bridge_deleted", r#"bridge_vlan("w1:p1", #{ vid: 40 }); link_del("w1:br0")"#),
    ("vlan/filtering_off", r#"bridge_vlan("w1:p1", #{ vid: 40 }); link_set("w1:br0", #{ vlan_filtering: false })"#),
    (
        "vlan/default_pvid",
        r#"bridge_vlan("w1:p1", #{ vid: 40 }); link_set("w1:br0", #{ vlan_filtering: false }); link_set("w1:br0", #{ vlan_default_pvid: 7 }); link_set("w1:br0", #{ vlan_filtering: true })"#,
    ),
    (
        "vlan/fdb",
        r#"bridge_vlan("w1:p1", #{ vid: 40 }); fdb("w1:p1", "02:00:00:00:08:01", #{ vlan: 40 }); fdb("w1:p1", "02:00:00:00:08:02"); fdb_del("w1:p1", "02:00:00:00:07:21", #{ vlan: 20 })"#,
    ),
    (
        "vlan/mdb",
        r#"bridge_vlan("w1:p1", #{ vid: 40 }); mdb("w1:p1", "239.1.1.5", #{ vid: 40 }); mdb_del("w1:p1", "239.1.1.9", #{ vid: 20 })"#,
    ),
];

/// The script fails after it, or a transaction around it does, or it is killed just before or after each step.
const MODES: &[&str] = &["fails", "savepoint", "kill-before", "kill-after"];

fn run(path: &Path, mode: &str, step: u32, before: &Dump) -> Result<bool, String> {
    let fault = if mode.starts_with("kill") { format!("{mode}@{step}") } else { String::new() };
    let file = path.to_string_lossy();
    let ended = nsscript(&["--host", &file], &fault)?;
    let killed = ended.status.signal() == Some(libc::SIGKILL);
    let mut problems = Vec::new();
    if killed {
        let recovered = nsscript(&["recover"], "")?;
        if recovered.code() != 0 {
            problems.push(format!("recover: exit status {}\n{}", recovered.code(), recovered.stderr));
        }
    } else {
        let wanted = i32::from(mode != "savepoint");
        if ended.code() != wanted {
            problems.push(format!("exit status {}, expected {wanted}", ended.code()));
        }
        if !ended.stderr.contains("verified") && mode == "fails" {
            problems.push("the undo is not said to be verified".into());
        }
    }
    let differences = before.compare(Duration::from_secs(6))?;
    if !differences.is_empty() {
        let shown = &differences[..differences.len().min(40)];
        problems.push(format!("not as before (- before, + after):\n{}", shown.join("\n")));
    }
    if problems.is_empty() {
        return Ok(killed);
    }
    let script = std::fs::read_to_string(path).unwrap_or_default();
    let said = format!("script:\n{script}\nstdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr);
    Err(format!("step {step}: {}\n\n{said}", problems.join("\n")))
}

fn inside(name: &str) -> Result<(), String> {
    let (mode, case) = name.split_once('/').ok_or("a name without a mode")?;
    let (_, body) = CASES.iter().find(|(n, _)| *n == case).ok_or("no such case")?;
    world::shell(WORLD)?;
    let script = if mode == "savepoint" {
        format!(
            "try {{ transaction(|| {{ {body};\nfail(\"on purpose\"); }}); }} catch (e) {{\n    if e.message != \"on purpose\" {{ throw e; }}\n}}\n"
        )
    } else {
        format!("{body};\nfail(\"on purpose\");\n")
    };
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", &script);
    let before = Dump::settled()?;
    if !mode.starts_with("kill") {
        return run(&path, mode, 0, &before).map(drop);
    }
    // A step that has no moment after it is not reached by `kill-after`; the steps of the undo count too.
    let (mut killed, mut missed, mut step) = (0, 0, 1);
    while missed < 3 {
        if run(&path, mode, step, &before)? {
            (killed, missed) = (killed + 1, 0);
        } else {
            missed += 1;
        }
        step += if step < 4 { 1 } else { 3 };
    }
    if killed == 0 {
        return Err("nothing was killed".into());
    }
    println!("{name}: {killed} times killed, 0 differences");
    Ok(())
}

fn main() {
    let frame = Frame { program: "bridge", threads: 6, bound: common::long(), needs: frame::nothing, inside };
    let modes = MODES.iter().filter(|mode| cfg!(debug_assertions) || !mode.starts_with("kill"));
    frame.main_with(modes.flat_map(|mode| {
        CASES.iter().map(move |(name, script)| {
            let needs = common::features_called(script).into_iter().filter(|f| *f == "bridge_vlan");
            (format!("{mode}/{name}"), needs.map(str::to_string).collect())
        })
    }));
}

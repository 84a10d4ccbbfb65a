//! Other programs work on the same machine: `ip` deletes, renames, replaces and moves what a script made or changed, while
//! the script runs (and then fails), under a standing lab before `down`, and after a kill before `recover`. Nothing of the
//! stranger's is touched, the report says what was found, and the exit status tells whether all is as it was.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::flat;
use common::frame::{self, Frame};
use common::world::{self, Dump, nsscript};
use std::process::Command;
use std::time::Duration;

struct Case {
    name: &'static str,
    script: &'static str,
    /// What the stranger does, in shell.
    foreign: &'static str,
    /// Whether undo finds everything as it was, but for what the stranger did: 0 (1 of a script that failed), else 3.
    equal: bool,
    /// What the report has to say.
    says: &'static [&'static str],
    /// Shell that succeeds while what the stranger did stands.
    stays: &'static str,
    /// Shell that takes it back; then the world is compared. Empty: it isn't.
    back: &'static str,
    /// Without what is gone since the commit, a lab's `down` finds another situation.
    down: bool,
}

const PLAIN: Case =
    Case { name: "", script: "", foreign: "", equal: true, says: &[], stays: "true", back: "true", down: true };

const CASES: &[Case] = &[
    Case {
        name: "link_deleted",
        script: r#"veth("w1:our0", "w1:our1", #{ up: true })"#,
        foreign: "ip -n w1 link del our0",
        ..PLAIN
    },
    Case {
        name: "link_replaced_by_a_namesake",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "ip -n w1 link del our0; ip -n w1 link add our0 index 4001 type veth peer name our1",
        stays: "ip -n w1 -o link show our0 | grep -q ^4001; ip -n w1 link show our1",
        back: "ip -n w1 link del our0",
        ..PLAIN
    },
    Case {
        name: "ifindex_taken",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "i=$(ip -n w1 -o link show our0 | cut -d: -f1); ip -n w1 link del our0; ip -n w1 link add theirs index $i type veth peer name theirs2",
        stays: "ip -n w1 link show theirs",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "both_ends_replaced_by_namesakes",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "i=$(ip -n w1 -o link show our0 | cut -d: -f1); j=$(ip -n w1 -o link show our1 | cut -d: -f1); ip -n w1 link del our0; ip -n w1 link add our0 index $i type veth peer name our1 index $j",
        equal: false,
        says: &["link `our0` in namespace `w1` was replaced, or given another MAC, by somebody else"],
        stays: "ip -n w1 link show our0; ip -n w1 link show our1",
        back: "ip -n w1 link del our0",
        ..PLAIN
    },
    Case {
        name: "both_ends_replaced_where_the_script_set_a_mac",
        script: r#"veth("w1:our0", "w1:our1"); link_set("w1:our0", #{ mac: "02:00:00:00:88:31" })"#,
        foreign: "i=$(ip -n w1 -o link show our0 | cut -d: -f1); j=$(ip -n w1 -o link show our1 | cut -d: -f1); ip -n w1 link del our0; ip -n w1 link add theirs index $i type veth peer name theirs2 index $j",
        stays: "ip -n w1 link show theirs; ip -n w1 link show theirs2",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "ifindex_of_a_bridge_taken_by_one",
        script: r#"bridge("w1:our0")"#,
        foreign: "i=$(ip -n w1 -o link show our0 | cut -d: -f1); ip -n w1 link del our0; ip -n w1 link add theirs index $i type bridge",
        equal: false,
        says: &["link `our0` in namespace `w1` was deleted or renamed by somebody else"],
        stays: "ip -n w1 link show theirs",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "bridge_that_the_script_renamed",
        script: r#"bridge("w1:our0"); link_rename("w1:our0", "our9")"#,
        foreign: "true",
        ..PLAIN
    },
    Case {
        name: "link_moved_away",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "ip -n w1 link set our0 netns w2",
        ..PLAIN
    },
    Case {
        name: "link_renamed",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "ip -n w1 link set our0 name theirs",
        ..PLAIN
    },
    Case {
        name: "mac_of_our_link_changed",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "ip -n w1 link set our0 address 02:00:00:00:88:01",
        ..PLAIN
    },
    Case {
        name: "address_on_our_link_changed",
        script: r#"veth("w1:our0", "w1:our1", #{ up: true, addr: "10.90.0.1/24" })"#,
        foreign: "ip -n w1 addr del 10.90.0.1/24 dev our0; ip -n w1 addr add 10.91.0.1/24 dev our0",
        ..PLAIN
    },
    Case {
        name: "our_address_replaced",
        script: r#"addr("w1:v1", "10.90.0.1/24")"#,
        foreign: "ip -n w1 addr del 10.90.0.1/24 dev v1; ip -n w1 addr add 10.91.0.1/24 dev v1",
        stays: "ip -n w1 addr show dev v1 | grep -q 10.91.0.1/24",
        back: "ip -n w1 addr del 10.91.0.1/24 dev v1",
        ..PLAIN
    },
    Case {
        name: "link_of_our_address_set_up",
        script: r#"link_down("w1:q2"); addr("w1:q2", "10.90.0.1/24"); addr("w1:q2", "2001:db8:90::1/64")"#,
        foreign: "ip -n w1 link set q2 up",
        ..PLAIN
    },
    Case {
        name: "link_of_our_address_set_up_with_one_beside_it",
        script: r#"link_down("w1:q2"); addr("w1:q2", "10.90.0.1/24")"#,
        foreign: "ip -n w1 addr add 10.90.0.2/24 dev q2; ip -n w1 link set q2 up",
        stays: "ip -n w1 addr show dev q2 | grep -q 10.90.0.2/24; ip -n w1 route show table local | grep -q 10.90.0.255.*src.10.90.0.2",
        back: "ip -n w1 addr del 10.90.0.2/24 dev q2",
        ..PLAIN
    },
    Case {
        name: "own_link_that_moved_replaced",
        script: r#"netns_add("a"); ifb("a:x1"); link_move("a:x1", "w1")"#,
        foreign: "i=$(ip -n w1 -o link show x1 | cut -d: -f1); ip -n w1 link del x1; ip -n w1 link add theirs index $i type bridge",
        stays: "ip -n w1 link show theirs",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "port_replaced_by_a_namesake_of_its_index",
        script: r#"veth("w1:our0", "w1:our1"); link_set("w1:our0", #{ master: "br0" })"#,
        foreign: "i=$(ip -n w1 -o link show our0 | cut -d: -f1); ip -n w1 link del our0; ip -n w1 link add theirs index $i type veth peer name theirs2",
        stays: "ip -n w1 link show theirs",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "link_that_moved_replaced_at_its_index",
        script: r#"link_move("w1:q2", "w2")"#,
        foreign: "i=$(ip -n w2 -o link show q2 | cut -d: -f1); ip -n w2 link del q2; ip -n w2 link add theirs index $i type ifb",
        equal: false,
        says: &["is gone from there; `theirs`, which has its index now, is another's: left"],
        stays: "ip -n w2 link show theirs",
        back: "",
        ..PLAIN
    },
    Case {
        name: "link_from_before_replaced_at_its_index",
        script: r#"link_down("w1:q2")"#,
        foreign: "i=$(ip -n w1 -o link show q2 | cut -d: -f1); ip -n w1 link del q2; ip -n w1 link add theirs index $i type ifb",
        equal: false,
        says: &["`theirs`, which has its index now, is another's: left"],
        stays: "ip -n w1 -br link show theirs | grep -q DOWN; ! ip -n w1 -br addr show theirs | grep -q 10.5",
        back: "",
        ..PLAIN
    },
    Case {
        name: "sysctl_of_a_device_that_is_another_now",
        script: r#"sysctl("w1", "net.ipv4.conf.v1.arp_filter", 0)"#,
        foreign: "ip -n w1 link del v1; ip -n w1 link add v1 type veth peer name v9",
        equal: false,
        says: &["was deleted by somebody else"],
        stays: "ip netns exec w1 grep -qx 0 /proc/sys/net/ipv4/conf/v1/arp_filter",
        back: "",
        ..PLAIN
    },
    Case {
        name: "forwarding_of_a_device_that_came_beside_all",
        script: r#"forwarding("w1", true)"#,
        foreign: "ip -n w1 link add theirs type bridge; ip netns exec w1 sh -c 'echo 1 > /proc/sys/net/ipv4/conf/theirs/forwarding'",
        stays: "ip netns exec w1 grep -qx 1 /proc/sys/net/ipv4/conf/theirs/forwarding",
        back: "ip -n w1 link del theirs",
        ..PLAIN
    },
    Case {
        name: "forwarding_of_a_device_switched_off_beside_all",
        script: r#"forwarding("w1", true)"#,
        foreign: "ip netns exec w1 sh -c 'echo 0 > /proc/sys/net/ipv4/conf/q2/forwarding'",
        stays: "ip netns exec w1 grep -qx 0 /proc/sys/net/ipv4/conf/q2/forwarding",
        back: "ip netns exec w1 sh -c 'echo 1 > /proc/sys/net/ipv4/conf/q2/forwarding'",
        ..PLAIN
    },
    Case {
        name: "file_written_where_we_removed_one",
        script: r#"remove_file("/run/files/file")"#,
        foreign: "echo theirs > /run/files/file",
        equal: false,
        says: &["was changed by somebody else: left"],
        stays: "grep -q theirs /run/files/file",
        back: "",
        ..PLAIN
    },
    Case {
        name: "address_beside_what_was_flushed",
        script: r#"addr_flush("w1:q2")"#,
        foreign: "ip -n w1 addr add 10.91.0.1/24 dev q2",
        stays: "ip -n w1 addr show dev q2 | grep -q 10.91.0.1/24",
        back: "ip -n w1 addr del 10.91.0.1/24 dev q2",
        ..PLAIN
    },
    Case {
        name: "same_value_changed",
        script: r#"link_set("w1:v1", #{ mtu: 1400 })"#,
        foreign: "ip -n w1 link set v1 mtu 1300",
        equal: false,
        says: &["somebody else changed its mtu: left"],
        stays: "ip -n w1 -o link show v1 | grep -q 'mtu 1300'",
        back: "ip -n w1 link set v1 mtu 1450",
        ..PLAIN
    },
    Case {
        name: "other_value_changed",
        script: r#"link_set("w1:v1", #{ alias: "ours" })"#,
        foreign: "ip -n w1 link set v1 txqueuelen 4",
        stays: "ip -n w1 -o link show v1 | grep -q 'qlen 4'",
        back: "ip -n w1 link set v1 txqueuelen 555",
        ..PLAIN
    },
    Case {
        name: "namespace_deleted",
        script: r#"netns_add("fresh"); veth("fresh:a", "fresh:b")"#,
        foreign: "ip netns del fresh",
        says: &["namespace `fresh` was deleted already"],
        ..PLAIN
    },
    Case {
        name: "namespace_replaced_by_a_namesake",
        script: r#"netns_add("fresh"); veth("fresh:a", "fresh:b")"#,
        foreign: "ip netns del fresh; ip netns add fresh; ip -n fresh link add theirs type veth peer name theirs2",
        equal: false,
        says: &["namespace `fresh` is another's now: left"],
        stays: "ip -n fresh link show theirs",
        back: "ip netns del fresh",
        ..PLAIN
    },
    Case {
        name: "deleted_namespace_has_a_namesake",
        script: r#"netns_del("w2")"#,
        foreign: "ip netns add w2; ip -n w2 link add theirs type veth peer name theirs2",
        equal: false,
        says: &["`w2`"],
        stays: "ip -n w2 link show theirs",
        back: "",
        down: false,
    },
    Case {
        name: "route_replaced",
        script: r#"route("w1", "10.92.0.0/16", #{ via: "10.0.0.9" })"#,
        foreign: "ip -n w1 route replace 10.92.0.0/16 via 10.0.0.8",
        stays: "ip -n w1 route show 10.92.0.0/16 | grep -q 10.0.0.8",
        back: "ip -n w1 route del 10.92.0.0/16",
        ..PLAIN
    },
    Case {
        name: "route_replaced_twice",
        script: r#"route("w1", "default", #{ via: "10.0.0.8", replace: true })"#,
        foreign: "ip -n w1 route replace default via 10.0.0.7",
        equal: false,
        says: &["can't come back: somebody else put"],
        stays: "ip -n w1 route show default | grep -q 10.0.0.7; ip -n w1 route show default | wc -l | grep -qx 1",
        back: "ip -n w1 route replace default via 10.0.0.9",
        ..PLAIN
    },
    Case {
        name: "route_of_ipv6_replaced_twice",
        script: r#"route("w1", "default", #{ via: "fd00::8", replace: true })"#,
        foreign: "ip -n w1 -6 route replace default via fd00::7",
        equal: false,
        says: &["can't come back: somebody else put"],
        stays: "ip -n w1 -6 route show default | grep -q fd00::7; ip -n w1 -6 route show default | wc -l | grep -qx 1",
        back: "ip -n w1 -6 route replace default via fd00::9",
        ..PLAIN
    },
    Case {
        name: "route_put_where_ours_deleted_one",
        script: r#"route_del("w1", "default")"#,
        foreign: "ip -n w1 route add default via 10.0.0.7",
        equal: false,
        says: &["can't come back: somebody else put"],
        stays: "ip -n w1 route show default | grep -q 10.0.0.7; ip -n w1 route show default | wc -l | grep -qx 1",
        back: "ip -n w1 route replace default via 10.0.0.9",
        ..PLAIN
    },
    Case {
        name: "nexthop_replaced_twice",
        script: r#"nexthop("w1", 12, #{ via: "10.5.0.8", dev: "q2", replace: true })"#,
        foreign: "ip -n w1 nexthop replace id 12 via 10.5.0.7 dev q2",
        equal: false,
        says: &["can't come back: somebody else put"],
        stays: "ip -n w1 nexthop show id 12 | grep -q 10.5.0.7",
        back: "ip -n w1 nexthop replace id 12 via 10.5.0.9 dev q2 proto static",
        ..PLAIN
    },
    Case {
        name: "neighbour_replaced_twice",
        script: r#"neigh("w1:v1", "10.0.0.50", "02:00:00:00:05:aa", #{ replace: true })"#,
        foreign: "ip -n w1 neigh replace 10.0.0.50 lladdr 02:00:00:00:05:99 dev v1 nud permanent",
        equal: false,
        says: &["can't come back: somebody else put"],
        stays: "ip -n w1 neigh show 10.0.0.50 dev v1 | grep -q 05:99",
        back: "ip -n w1 neigh replace 10.0.0.50 lladdr 02:00:00:00:05:01 dev v1 nud permanent",
        ..PLAIN
    },
    Case {
        name: "route_beside_ours",
        script: r#"route("w1", "10.92.0.0/16", #{ via: "10.0.0.9" })"#,
        foreign: "ip -n w1 route add 10.93.0.0/16 via 10.0.0.9",
        stays: "ip -n w1 route show 10.93.0.0/16 | grep -q 10.0.0.9",
        back: "ip -n w1 route del 10.93.0.0/16",
        ..PLAIN
    },
    Case {
        name: "neighbour_beside_ours",
        script: r#"neigh("w1:v1", "10.0.0.51", "02:00:00:00:05:51")"#,
        foreign: "ip -n w1 neigh replace 10.0.0.51 lladdr 02:00:00:00:05:99 dev v1 nud permanent",
        stays: "ip -n w1 neigh show 10.0.0.51 dev v1 | grep -q 05:99",
        back: "ip -n w1 neigh del 10.0.0.51 dev v1",
        ..PLAIN
    },
    Case {
        name: "sysctl_changed_again",
        script: r#"sysctl("w1", "net.ipv4.ip_local_port_range", "20000 30000")"#,
        foreign: "ip netns exec w1 sh -c 'echo 25000 30000 > /proc/sys/net/ipv4/ip_local_port_range'",
        equal: false,
        says: &["was changed to", "by somebody else: left"],
        stays: "ip netns exec w1 grep -q 25000 /proc/sys/net/ipv4/ip_local_port_range",
        back: "ip netns exec w1 sh -c 'echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range'",
        ..PLAIN
    },
    Case {
        name: "file_written_over",
        script: r#"write_file("/run/files/new", "ours")"#,
        foreign: "printf theirs > /run/files/new",
        equal: false,
        says: &["/run/files/new", "by somebody else: left"],
        stays: "grep -q theirs /run/files/new",
        back: "rm /run/files/new",
        ..PLAIN
    },
    Case {
        name: "file_removed",
        script: r#"write_file("/run/files/new", "ours")"#,
        foreign: "rm /run/files/new",
        ..PLAIN
    },
    Case {
        name: "process_ended_and_another_started",
        script: r#"let p = start("w1", "sleep 4001"); write_file("/run/files/pid", `${p.pid}`)"#,
        foreign: "kill -9 $(cat /run/files/pid); nsenter --net=/run/netns/w1 sleep 4002 >/dev/null 2>&1 & sleep 0.1",
        stays: "grep -qs 4002 /proc/[0-9]*/cmdline",
        back: "for p in /proc/[0-9]*; do if [ \"$(tr '\\0' ' ' < $p/cmdline)\" = 'sleep 4002 ' ]; then kill -9 ${p#/proc/}; fi; done",
        ..PLAIN
    },
    Case {
        name: "master_taken_away_again",
        script: r#"link_set("w1:q2", #{ master: "br0" })"#,
        foreign: "ip -n w1 link set q2 nomaster",
        ..PLAIN
    },
    Case {
        name: "name_changed_again",
        script: r#"link_rename("w1:q2", "ours")"#,
        foreign: "ip -n w1 link set ours down; ip -n w1 link set ours name theirs; ip -n w1 link set theirs up",
        equal: false,
        says: &["somebody else changed its name: left"],
        stays: "ip -n w1 link show theirs",
        // While it was down its nexthop went too, by the stranger's hand.
        back: "",
        ..PLAIN
    },
    Case {
        name: "port_in_our_bridge",
        script: r#"bridge("w1:br9", #{ up: true })"#,
        foreign: "ip -n w1 link add f1 type veth peer name f2; ip -n w1 link set f1 master br9",
        stays: "ip -n w1 link show f1; ip -n w1 link show f2",
        back: "ip -n w1 link del f1",
        ..PLAIN
    },
    Case {
        name: "moved_link_moved_on",
        script: r#"link_move("w1:q2", host())"#,
        foreign: "ip link set q2 netns w2 name theirs",
        equal: false,
        says: &["`q2`", "is gone"],
        stays: "ip -n w2 link show theirs",
        back: "",
        ..PLAIN
    },
    Case {
        name: "deleted_link_has_a_namesake",
        script: r#"link_del("w1:v1")"#,
        foreign: "ip -n w1 link add v1 index 4001 type veth peer name theirs",
        equal: false,
        says: &["v1"],
        stays: "ip -n w1 -o link show v1 | grep -q ^4001",
        back: "",
        down: false,
    },
    Case {
        name: "deleted_link_s_ifindex_is_taken",
        script: r#"link_del("w1:v1")"#,
        foreign: "ip -n w1 link add theirs index 100 type veth peer name theirs2",
        equal: false,
        says: &["100"],
        stays: "ip -n w1 link show theirs; ip -n w1 link show theirs2",
        back: "",
        down: false,
    },
    Case {
        name: "neighbour_learned_where_ours_was_deleted",
        script: r#"neigh_del("w1:v1", "10.0.0.50")"#,
        foreign: "ip -n w1 neigh replace 10.0.0.50 lladdr 02:00:00:00:05:99 dev v1 nud reachable",
        ..PLAIN
    },
    Case {
        name: "namespace_renamed",
        script: r#"netns_add("fresh")"#,
        foreign: "touch /run/netns/theirs; mount --bind /run/netns/fresh /run/netns/theirs; umount /run/netns/fresh; rm /run/netns/fresh; rm -rf /run/mount",
        equal: false,
        says: &["has the name `theirs` by now"],
        stays: "ip netns list | grep -q theirs",
        back: "ip netns del theirs",
        ..PLAIN
    },
    Case {
        name: "veth_given_other_macs",
        script: r#"veth("w1:our0", "w1:our1")"#,
        foreign: "ip -n w1 link set our0 address 02:00:00:00:88:01; ip -n w1 link set our1 address 02:00:00:00:88:02",
        equal: false,
        says: &["link `our0` in namespace `w1` was replaced, or given another MAC, by somebody else"],
        stays: "ip -n w1 link show our0",
        back: "ip -n w1 link del our0",
        ..PLAIN
    },
    Case {
        name: "namespace_given_a_second_name",
        script: r#"netns_add("fresh")"#,
        foreign: "touch /run/netns/theirs; mount --bind /run/netns/fresh /run/netns/theirs; rm -rf /run/mount",
        equal: false,
        says: &["namespace `fresh` has the name `theirs` by now"],
        stays: "ip netns list | grep -q theirs",
        back: "ip netns del theirs",
        ..PLAIN
    },
    Case {
        name: "file_replaced_by_a_pipe",
        script: r#"write_file("/run/files/new", "ours")"#,
        foreign: "rm /run/files/new; mkfifo /run/files/new",
        equal: false,
        says: &["file `/run/files/new` was changed by somebody else"],
        stays: "test -p /run/files/new",
        back: "rm /run/files/new",
        ..PLAIN
    },
    Case {
        name: "file_replaced_by_a_link",
        script: r#"write_file("/run/files/new", "ours")"#,
        foreign: "rm /run/files/new; ln -s nowhere /run/files/new",
        equal: false,
        says: &["file `/run/files/new` was changed by somebody else"],
        stays: "test -h /run/files/new",
        back: "rm /run/files/new",
        ..PLAIN
    },
    Case {
        name: "namespace_of_a_name_beside",
        script: r#"netns_add("fresh")"#,
        foreign: "ip netns add fresh2",
        stays: "ip netns list | grep -q fresh2",
        back: "ip netns del fresh2",
        ..PLAIN
    },
];

const MODES: &[&str] = &["run", "down", "recover"];

fn inside(name: &str) -> Result<(), String> {
    let (mode, name) = name.split_once('/').ok_or("a name without a mode")?;
    let case = CASES.iter().find(|c| c.name == name).ok_or("no such case")?;
    world::shell(world::WORLD)?;
    let before = Dump::settled()?;
    let foreign = format!("sh(host(), `{}`)", case.foreign);
    let (script, plain) = match mode {
        "run" => (format!("{}; {foreign}; fail(\"on purpose\");", case.script), 1),
        "down" => (case.script.to_string(), 0),
        // The process is killed between two steps of the script.
        _ => (format!("{}; sh(host(), `kill -9 ${{read_file(\"/run/files/own\")}}`);", case.script), 0),
    };
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", &script);
    let path = path.to_string_lossy();
    let ended = match mode {
        "run" => nsscript(&["--host", &path], "")?,
        "down" => {
            let run = nsscript(&["--host", &path], "")?;
            if run.code() != 0 {
                return Err(format!("the lab does not stand: {}", run.stderr));
            }
            world::shell(case.foreign)?;
            nsscript(&["down", "case"], "")?
        }
        _ => {
            // Its own pid is only known once it runs: the shell that becomes nsscript writes it down.
            let line = format!(
                "printf %s $$ > /run/files/own; exec \"$NSSCRIPT\" --color never --host {path} >/dev/null 2>&1"
            );
            let mut command = Command::new("sh");
            command.args(["-c", &line]).env("NSSCRIPT", common::NSSCRIPT).env_remove("NSSCRIPT_FAULT");
            let killed = common::run(&mut command, Duration::from_secs(60))?;
            if killed.code() != 137 {
                return Err(format!("it was to be killed, and ended with {}", killed.code()));
            }
            std::fs::remove_file("/run/files/own").map_err(|e| e.to_string())?;
            world::shell(case.foreign)?;
            nsscript(&["recover"], "")?
        }
    };
    let mut problems = Vec::new();
    let wanted = if case.equal { plain } else { 3 };
    if ended.code() != wanted {
        problems.push(format!("exit status {}, expected {wanted}", ended.code()));
    }
    let said = flat(&ended.stderr);
    for text in case.says.iter().filter(|t| !said.contains(*t)) {
        problems.push(format!("it does not say: {text}"));
    }
    if let Err(error) = world::shell(case.stays) {
        problems.push(format!("what the stranger did does not stand any more: {error}"));
    }
    if !case.back.is_empty() {
        world::shell(case.back)?;
        let differences = before.compare(Duration::from_secs(4))?;
        if !differences.is_empty() {
            let shown = differences[..differences.len().min(30)].join("\n");
            problems.push(format!("not as before (- before, + after):\n{shown}"));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\nscript:\n{script}\nstranger:\n{}\nstderr:\n{}", problems.join("\n"), case.foreign, ended.stderr))
}

fn main() {
    let frame = Frame { program: "foreign", threads: 6, bound: common::LONG, needs: frame::nothing, inside };
    let names = MODES.iter().flat_map(|mode| {
        CASES.iter().filter(move |c| c.down || *mode != "down").map(move |case| format!("{mode}/{}", case.name))
    });
    frame.main(names);
}

//! nsscript and iproute2 on one machine: what one makes the other sees, both ways. Each case is a line or more of shell in
//! namespaces of its own, in which it is root.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world;

/// What every case begins with: `ns` runs lines of script as on a host and `lab` leaves what they made, `eq` compares.
const BEGIN: &str = r#"
ns() { "$NSSCRIPT" --host --quiet --color never -e "$1"; }
lab() { "$NSSCRIPT" --host --quiet --color never --name "$1" -e "$2"; }
eq() { if [ "$1" != "$2" ]; then echo "got:      $1" >&2; echo "expected: $2" >&2; exit 1; fi; }
fails() { if "$@"; then echo "should have failed: $*" >&2; exit 1; fi; }
"#;

const CASES: &[(&str, &str)] = &[
    (
        "netns_add_is_seen_by_ip",
        r#"
        ns 'netns_add("a"); netns_add("b")'
        eq "$(ip netns list | sort | tr '\n' ' ')" "a b "
        ip -n a link show lo | grep -q LOOPBACK
        eq "$(stat -f -c %T /run/netns/a)" nsfs
        ip netns del a
        eq "$(ip netns list)" b
    "#,
    ),
    (
        "ip_netns_add_is_seen",
        r#"
        ip netns add a
        ip netns add b
        eq "$(ns 'print(netns_list().map(|n| n.name))')" '["a", "b"]'
        ns 'netns_del("a")'
        eq "$(ip netns list)" b
        test ! -e /run/netns/a
    "#,
    ),
    (
        "first_of_each_kind_of_machine",
        r#"
        # Whoever is first makes /run/netns a shared mount: the other can go on with it.
        ns 'netns_add("a")'
        grep ' /run/netns ' /proc/self/mountinfo | grep -q shared:
        ip netns add b
        ns 'netns_del("b")'
        ip netns del a
        eq "$(ls /run/netns)" ""
        eq "$(grep -c nsfs /proc/self/mountinfo || true)" 0
    "#,
    ),
    (
        "first_by_ip",
        r#"
        ip netns add a
        ns 'netns_add("b"); netns_del("a"); netns_del("b")'
        eq "$(ls /run/netns)" ""
        eq "$(grep -c nsfs /proc/self/mountinfo || true)" 0
    "#,
    ),
    (
        "links_by_us_are_seen_by_ip",
        r#"
        ns 'netns_add(["a", "b"]); veth("a:x", "b:y", #{ mtu: 1400, up: true, mac: "02:00:00:00:00:01", alias: "cable" }); bridge("a:br0", #{ stp: true })'
        ip -n a -o link show x | grep -q 'mtu 1400'
        ip -n a -o link show x | grep -q '02:00:00:00:00:01'
        ip -n a link show x | grep -q 'alias cable'
        ip -n b -o link show y | grep -q 'LOWER_UP'
        ip -n a -d link show br0 | grep -q 'stp_state 1'
    "#,
    ),
    (
        "links_by_ip_are_seen",
        r#"
        ip netns add a
        ip -n a link add x mtu 1300 address 02:00:00:00:00:01 type veth peer name y
        ip -n a link add br0 type bridge ageing_time 6000
        ip -n a link set x master br0
        ip -n a link property add dev x altname another
        eq "$(ns 'let l = link("a:another"); print([l.name, l.mtu, l.mac, l.kind, l.master, l.lower])')" '["x", 1300, "02:00:00:00:00:01", "veth", "br0", "y"]'
        eq "$(ns 'print(link("a:br0").data.ageing_time)')" 60.0
        ns 'link_set("a:x", #{ nomaster: true, alias: "ours" })'
        ip -n a link show x | grep -q 'alias ours'
        fails grep -q 'master' <<EOF
$(ip -n a -o link show x)
EOF
    "#,
    ),
    (
        "addresses_routes_neighbours_by_us",
        r#"
        ns 'netns_add("a"); veth("a:x", "a:y", #{ up: true });
            addr("a:x", "10.0.0.1/24", #{ label: "x:1", broadcast: "+" }); addr("a:x", "fd00::1/64", #{ nodad: true });
            route("a", "default", #{ via: "10.0.0.254", metric: 7 }); route("a", "10.1.0.0/16", #{ type: "blackhole", table: 100 });
            neigh("a:x", "10.0.0.2", "02:00:00:00:00:02"); neigh("a:x", "10.0.0.3", #{ proxy: true })'
        eq "$(ip -n a -4 -o addr show x | tr -s ' ' | cut -d' ' -f3-9)" "inet 10.0.0.1/24 brd 10.0.0.255 scope global x:1\\"
        ip -n a -6 -o addr show x | grep -q 'fd00::1/64'
        eq "$(ip -n a route show default)" "default via 10.0.0.254 dev x metric 7 "
        eq "$(ip -n a route show table 100)" "blackhole 10.1.0.0/16 "
        eq "$(ip -n a neigh show 10.0.0.2)" "10.0.0.2 dev x lladdr 02:00:00:00:00:02 PERMANENT "
        ip -n a neigh show proxy | grep -q 10.0.0.3
    "#,
    ),
    (
        "addresses_routes_neighbours_by_ip",
        r#"
        ip netns add a
        ip -n a link add x type veth peer name y
        ip -n a link set x up
        ip -n a link set y up
        ip -n a addr add 10.0.0.1/24 broadcast + dev x label x:1
        ip -n a route add 10.1.0.0/16 via 10.0.0.2 metric 5 mtu 1300
        ip -n a route add 10.2.0.0/16 nexthop via 10.0.0.2 weight 2 nexthop via 10.0.0.3
        ip -n a neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev x
        eq "$(ns 'let a = addrs("a:x").filter(|a| a.family == "inet")[0]; print([a.cidr, a.broadcast, a.label])')" '["10.0.0.1/24", "10.0.0.255", "x:1"]'
        eq "$(ns 'let r = routes("a").filter(|r| r.dst == "10.1.0.0/16")[0]; print([r.via, r.metric, r.mtu])')" '["10.0.0.2", 5, 1300]'
        eq "$(ns 'let r = routes("a").filter(|r| r.dst == "10.2.0.0/16")[0]; print(r.nexthops.map(|h| h.weight))')" '[2, 1]'
        eq "$(ns 'print(neighs("a:x").filter(|n| n.dst == "10.0.0.2").map(|n| n.state))')" '["permanent"]'
        # With its last address the kernel takes a link's neighbours too, the permanent ones included.
        ns 'route_del("a", "10.1.0.0/16"); neigh_del("a:x", "10.0.0.2"); addr_del("a:x", "10.0.0.1/24")'
        eq "$(ip -n a -4 route)" ""
    "#,
    ),
    (
        "exec_is_the_same",
        r#"
        ip netns add a
      
        eq "$(ns 'print(exec_in("a", "ip netns identify").text)')" a
        eq "$(ip netns exec a ip netns identify)" a
        eq "$(ip netns exec a ls /sys/class/net)" "$(ns 'print(exec_in("a", "ls /sys/class/net").text)')"
        eq "$(ip netns exec a readlink /proc/self/ns/net)" "$(ns 'print(exec_in("a", "readlink /proc/self/ns/net").text)')"
    "#,
    ),
    (
        "identify",
        r#"
        ip netns add a
        ip netns exec a sleep 1000 &
        pid=$!
        for try in 1 2 3 4 5 6 7 8 9 10; do [ "$(ip netns identify $pid)" = a ] && break; sleep 0.05; done
        eq "$(ip netns identify $pid)" a
        eq "$(ns "print(netns_identify($pid))")" a
        eq "$(ns "print(netns_pids(\"a\") == [$pid])")" true
        eq "$(ip netns pids a)" $pid
        eq "$(ns 'print(netns_identify() == ())')" true
        kill $pid
    "#,
    ),
    (
        "a_process_started_by_us",
        r#"
        lab l 'netns_add("a"); start("a", "sleep 1000")'
        pid=$(ip netns pids a)
        eq "$(ip netns identify $pid)" a
        "$NSSCRIPT" --host --quiet down l
        eq "$(ip netns list)" ""
        fails grep -qs '^State:.[^Z]' /proc/$pid/status
    "#,
    ),
    (
        "nsid_by_us",
        r#"
        ip netns add a
        eq "$(ns 'print(netns_set("a", 33))')" 33
        ip netns list | grep -q 'a (id: 33)'
        ip netns list-id | grep -q 'nsid 33 (iproute2 netns name: a)'
    "#,
    ),
    (
        "nsid_by_ip",
        r#"
        ip netns add a
        ip netns set a 44
        eq "$(ns 'print(netns("a").id); print(netns_list_id().map(|n| n.name))')" "44
[\"a\"]"
        fails ns 'netns_set("a", 45)'
    "#,
    ),
    (
        "attach_by_us",
        r#"
        unshare -n sleep 1000 &
        pid=$!
        own=$(readlink /proc/self/ns/net)
        for try in 1 2 3 4 5 6 7 8 9 10; do [ "$(readlink /proc/$pid/ns/net)" != "$own" ] && break; sleep 0.05; done
        ns "netns_attach(\"there\", $pid); veth(\"there:x\", \"y\")"
        eq "$(ip netns identify $pid)" there
        ip -n there link show x | grep -q x@
        nsenter -t $pid -n ip link show x | grep -q x@
        kill $pid
    "#,
    ),
    (
        "attach_by_ip",
        r#"
        unshare -n sleep 1000 &
        pid=$!
        own=$(readlink /proc/self/ns/net)
        for try in 1 2 3 4 5 6 7 8 9 10; do [ "$(readlink /proc/$pid/ns/net)" != "$own" ] && break; sleep 0.05; done
        ip netns attach there $pid
        eq "$(ns "print(netns_identify($pid)); print(links(\"there\").map(|l| l.name))")" "there
[\"lo\"]"
        kill $pid
    "#,
    ),
    (
        "a_link_that_ip_moved_away",
        r#"
        lab l 'netns_add(["a", "b"]); veth("a:x", "a:y", #{ up: true })'
        ip -n a link set x netns b
        eq "$(ns 'print(links("b").map(|l| l.name))')" '["lo", "x"]'
        eq "$(ns 'print(`${link_up("b:x").peer}`)')" a:y
    "#,
    ),
    (
        "a_link_that_ip_renamed_while_a_script_runs",
        r#"
        ns 'let v = veth("x", "y"); exec_in(host(), "ip link set x name z"); assert_eq(v.name, "z"); link_up(v); link_rename(v, "q")'
        ip -o link show q | grep -q q@y
    "#,
    ),
    (
        "what_ip_deleted_is_said",
        r#"
        ns 'let v = veth("x", "y"); exec_in(host(), "ip link del x");
            try { link_up(v); fail("not reached"); } catch (e) { assert_eq(e.kind, "not_found"); }'
        ns 'let n = netns_add("a"); exec_in(host(), "ip netns del a");
            let found = ""; try { netns("a"); } catch (e) { found = e.kind; } assert_eq(found, "not_found");'
    "#,
    ),
    (
        "a_lab_is_taken_down_after_ip_worked_in_it",
        r#"
        lab l 'netns_add(["a", "b"]); veth("a:x", "b:y", #{ up: true, addr: "10.0.0.1/24" }); route("a", "10.1.0.0/16", #{ via: "10.0.0.2" })'
        ip -n a link set x down
        ip -n a addr add 10.9.0.1/24 dev x
        ip -n a link add z type veth peer name zz
        "$NSSCRIPT" --host --quiet down l
        eq "$(ip netns list)" ""
        eq "$(ls /run/netns)" ""
    "#,
    ),
    (
        "ip_all_netns_delete",
        r#"
        lab l 'netns_add(["a", "b"]); veth("a:x", "b:y")'
        ip -all netns delete
        eq "$(ns 'print(netns_list())')" '[]'
        "$NSSCRIPT" --host --quiet down l
        eq "$(ls /run/netns)" ""
    "#,
    ),
];

fn inside(name: &str) -> Result<(), String> {
    let Some((_, lines)) = CASES.iter().find(|(n, _)| *n == name) else { return Ok(()) };
    world::shell(&format!("{BEGIN}\n{lines}")).map(|_| ())
}

fn main() {
    let frame = Frame { program: "interop", threads: 4, bound: common::LONG, needs: frame::nothing, inside };
    frame.main(CASES.iter().map(|(name, _)| (*name).to_string()));
}

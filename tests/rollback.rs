//! Undo that is true: a world is made by `ip`, dumped, a script changes it and fails, and the world has to be what it
//! was. Each case in namespaces of its own, in which it is root; nsscript runs in them as on a host (`--host`).
//!
//! What "equal" leaves out is in `common::world`: counters, ages, learned neighbours, nsids once given.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world::{self, Dump};
use common::{flat, poll};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What changes the world, by name. Each runs twice: the script fails after it, or a transaction around it does.
const VERBS: &[(&str, &str)] = &[
    ("link_set/mtu", r#"link_set("w1:v1", #{ mtu: 1400 })"#),
    ("link_set/mtu_below_v6", r#"link_set("w1:v1", #{ mtu: 1000 })"#),
    ("link_set/mac", r#"link_set("w1:v1", #{ mac: "02:00:00:00:99:01" })"#),
    ("link_set/broadcast", r#"link_set("w1:v1", #{ broadcast: "ff:ff:ff:ff:ff:fe" })"#),
    ("link_set/alias", r#"link_set("w1:v1", #{ alias: "another" })"#),
    ("link_set/no_alias", r#"link_set("w1:v1", #{ alias: "" })"#),
    ("link_set/txqueuelen", r#"link_set("w1:v1", #{ txqueuelen: 5 })"#),
    ("link_set/promisc", r#"link_set("w1:v1", #{ promisc: true })"#),
    ("link_set/group", r#"link_set("w1:v1", #{ group: 3 })"#),
    ("link_set/arp", r#"link_set("w1:v1", #{ arp: false })"#),
    ("link_set/multicast", r#"link_set("w1:v1", #{ multicast: false })"#),
    ("link_set/allmulticast", r#"link_set("w1:v1", #{ allmulticast: true })"#),
    ("link_set/dynamic", r#"link_set("w1:v1", #{ dynamic: true })"#),
    ("link_set/addrgenmode", r#"link_set("w1:v1", #{ addrgenmode: "none" })"#),
    ("link_set/down", r#"link_set("w1:v1", #{ up: false })"#),
    ("link_set/master", r#"link_set("w1:v1", #{ master: "br0" })"#),
    ("link_set/nomaster", r#"link_set("w1:p1", #{ nomaster: true })"#),
    ("link_set/port", r#"link_set("w1:p1", #{ port: #{ cost: 9, isolated: false, learning: true, hairpin: true } })"#),
    ("link_set/bridge", r#"link_set("w1:br0", #{ ageing_time: 77, stp: true, priority: 4096, mcast_snooping: true })"#),
    (
        "link_set/many",
        r#"link_set("w1:v1", #{ mtu: 1300, mac: "02:00:00:00:99:01", alias: "x", txqueuelen: 3, promisc: true, group: 1, arp: false, up: false })"#,
    ),
    ("link_up", r#"link_down("w1:v1"); link_up("w1:v1")"#),
    ("link_up/of_what_was_down", r#"link_up("w2:lo")"#),
    ("link_down", r#"link_down("w1:v1")"#),
    ("link_down/bridge", r#"link_down("w1:br0")"#),
    ("link_down/peer", r#"link_down("w2:v2")"#),
    ("link_down/port", r#"link_down("w1:p1")"#),
    ("link_rename", r#"link_rename("w1:v1", "renamed")"#),
    ("link_rename/swap", r#"link_rename("w1:v1", "tmp"); link_rename("w1:q2", "v1"); link_rename("w1:tmp", "q2")"#),
    ("link_move", r#"link_move("w1:v1", "w2")"#),
    ("link_move/there_and_back", r#"let v = link_up("w1:v1"); link_move(v, "w2"); link_move(v, "w1")"#),
    ("link_move/port", r#"link_move("w1:p1", "w2")"#),
    ("link_move/to_the_host", r#"link_move("w1:q2", host())"#),
    (
        "link_move/round",
        r#"let v = link_up("w1:v1"); link_move(v, host()); link_rename(v, "z"); link_move(v, "w2"); link_up(v); addr(v, "10.77.0.1/24")"#,
    ),
    ("link_move/to_a_new_one", r#"netns_add("fresh"); link_move("w1:v1", "fresh")"#),
    ("link_del/end", r#"link_del("w1:v1")"#),
    ("link_del/other_end", r#"link_del("w2:v2")"#),
    ("link_del/pair_in_one", r#"link_del("w1:q2")"#),
    ("link_del/host", r#"link_del("h0")"#),
    ("link_del/port", r#"link_del("w1:p1")"#),
    ("link_del/bridge", r#"link_del("w1:br0")"#),
    ("link_del/and_make_again", r#"link_del("w1:v1"); veth("w1:v1", "w2:v2", #{ up: true, addr: "10.0.0.1/24" })"#),
    ("altname_add", r#"altname_add("w1:v1", "third-name")"#),
    ("altname_del", r#"altname_del("w1:v1", "other-name")"#),
    ("altname_del/first", r#"altname_del("w1:v1", "v1-with-a-longer-name")"#),
    ("altname_del/after_an_add", r#"altname_add("w1:v1", "third-name"); altname_del("w1:v1", "other-name")"#),
    ("addr/v4", r#"addr("w1:v1", "10.0.0.4/24")"#),
    ("addr/v6", r#"addr("w1:v1", "fd00::3/64")"#),
    ("addr/several", r#"addr("w1:v1", ["10.20.0.1/24", "10.20.0.2/24", "fd20::1/64"])"#),
    ("addr/replace", r#"addr("w1:v1", "10.0.3.1/24", #{ valid: 100, preferred: 50, replace: true })"#),
    ("addr_del/primary", r#"addr_del("w1:v1", "10.0.0.1/24")"#),
    ("addr_del/secondary", r#"addr_del("w1:v1", "10.0.0.2/24")"#),
    ("addr_del/label", r#"addr_del("w1:v1", "10.0.0.3/24")"#),
    ("addr_del/peer", r#"addr_del("w1:v1", "10.0.2.1")"#),
    ("addr_del/lifetime", r#"addr_del("w1:v1", "10.0.3.1/24")"#),
    ("addr_del/v6", r#"addr_del("w1:v1", "fd00::1/64")"#),
    ("addr_del/v6_lifetime", r#"addr_del("w1:v1", "fd00::2/64")"#),
    ("addr_del/bridge", r#"addr_del("w1:br0", "10.4.0.1/24")"#),
    ("addr_flush", r#"addr_flush("w1:v1")"#),
    ("addr_flush/inet", r#"addr_flush("w1:v1", #{ family: "inet" })"#),
    ("addr_flush/inet6", r#"addr_flush("w1:v1", #{ family: "inet6" })"#),
    ("route/add", r#"route("w1", "10.30.0.0/16", #{ via: "10.0.0.9" })"#),
    ("route/multipath", r#"route("w1", "10.30.0.0/16", #{ nexthops: [#{ via: "10.0.0.9" }, #{ via: "10.4.0.9" }] })"#),
    ("route/blackhole", r#"route("w1", "10.30.0.0/16", #{ type: "blackhole", table: 77 })"#),
    ("route/v6", r#"route("w1", "fd30::/64", #{ via: "fd00::9" })"#),
    ("route/replace", r#"route("w1", "default", #{ via: "10.4.0.9", replace: true })"#),
    ("route/replace_multipath", r#"route("w1", "10.11.0.0/16", #{ via: "10.4.0.9", replace: true })"#),
    ("route/replace_v6", r#"route("w1", "fd10::/64", #{ via: "fd04::9", metric: 33, replace: true })"#),
    ("route/append", r#"route("w1", "10.11.0.0/16", #{ via: "10.4.0.9", append: true })"#),
    ("route/append_v6", r#"route("w1", "fd10::/64", #{ via: "fd04::9", metric: 33, append: true })"#),
    ("route_del/default", r#"route_del("w1", "default")"#),
    ("route_del/src", r#"route_del("w1", "10.10.0.0/16", #{ via: "10.0.0.9" })"#),
    ("route_del/second_of_two", r#"route_del("w1", "10.10.0.0/16", #{ via: "10.0.0.8" })"#),
    ("route_del/multipath", r#"route_del("w1", "10.11.0.0/16")"#),
    ("route_del/blackhole", r#"route_del("w1", "10.12.0.0/16")"#),
    ("route_del/table", r#"route_del("w1", "10.13.0.0/16", #{ table: 100 })"#),
    ("route_del/connected", r#"route_del("w1", "10.0.0.0/24")"#),
    ("route_del/v6", r#"route_del("w1", "fd10::/64")"#),
    ("route_del/v6_blackhole", r#"route_del("w1", "fd12::/64")"#),
    ("rule/add", r#"rule("w1", #{ from: "10.0.0.1", fwmark: "1/3", table: 77 })"#),
    ("rule/same_priority", r#"rule("w1", #{ from: "10.0.0.1", table: 77, priority: 600 })"#),
    ("rule/v6", r#"rule("w1", #{ to: "fd00::/64", type: "blackhole", priority: 5 })"#),
    ("rule_del/plain", r#"rule_del("w1", #{ priority: 500 }); rule_del("w1", #{ priority: 500, family: "inet6" })"#),
    ("rule_del/first_of_three", r#"rule_del("w1", #{ priority: 600 })"#),
    ("rule_del/middle_of_three", r#"rule_del("w1", #{ priority: 600, type: "prohibit" })"#),
    (
        "rule_del/the_kernels",
        r#"rule_del("w1", #{ priority: 32766 }); rule_del("w1", #{ priority: 0, table: "local" })"#,
    ),
    (
        "nexthop/add",
        r#"nexthop("w1", 30, #{ via: "10.0.0.8", dev: "v1" }); route("w1", "10.31.0.0/16", #{ nhid: 30 })"#,
    ),
    ("nexthop/group", r#"nexthop("w1", 30, #{ group: [11, #{ id: 12, weight: 7 }], type: "resilient", buckets: 8 })"#),
    ("nexthop/replace", r#"nexthop("w1", 11, #{ via: "10.0.0.8", dev: "v1", replace: true })"#),
    ("nexthop/replace_group", r#"nexthop("w1", 20, #{ group: [12], replace: true })"#),
    ("nexthop_del/single", r#"nexthop_del("w1", 11)"#),
    ("nexthop_del/group", r#"nexthop_del("w1", 20)"#),
    ("nexthop_del/last_of_a_group", r#"nexthop_del("w1", 11); nexthop_del("w1", 12)"#),
    ("nexthop_del/v6", r#"nexthop_del("w1", 13)"#),
    ("neigh/add", r#"neigh("w1:v1", "10.0.0.51", "02:00:00:00:05:51")"#),
    ("neigh/replace", r#"neigh("w1:v1", "10.0.0.50", "02:00:00:00:05:99", #{ replace: true })"#),
    ("neigh/proxy", r#"neigh("w1:v1", "10.0.0.61", #{ proxy: true })"#),
    ("neigh_del", r#"neigh_del("w1:v1", "10.0.0.50")"#),
    ("neigh_del/v6", r#"neigh_del("w1:v1", "fd00::50")"#),
    ("neigh_del/proxy", r#"neigh_del("w1:v1", "10.0.0.60")"#),
    ("neigh_flush", r#"neigh_flush("w1:v1", #{ all: true })"#),
    (
        "nft/new_table",
        r#"nft("w1", "add table ip fresh; add chain ip fresh c { type filter hook input priority 5; }"); masquerade("w1", "v1")"#,
    ),
    (
        "nft/rule_of_a_strangers",
        r#"nft("w1", "add rule ip nat post oifname q2 masquerade; flush chain inet stranger more")"#,
    ),
    (
        "nft/elements",
        r#"nft("w1", "add element inet stranger blocked { 10.66.0.3 }; delete element inet stranger ports { 80 : 10.0.0.9 }")"#,
    ),
    ("nft/delete_last_table", r#"nft("w1", "delete table ip nat")"#),
    (
        "nft/flush_ruleset",
        r#"nft("w1", "flush ruleset"); nft("w1", "add table inet stranger; add set inet stranger blocked { type ipv4_addr; }")"#,
    ),
    ("nft/dormant", r#"nft("w1", "add table ip nat { flags dormant; }")"#),
    ("nft/host", r#"drop(host(), #{ proto: "tcp", dport: 23 })"#),
    (
        "nft/refused",
        r#"try { nft("w1", "add table ip fresh; add rule ip nowhere c accept"); } catch (e) {} drop("w1", #{ proto: "icmp" })"#,
    ),
    (
        "route/encap",
        r#"route("w1", "10.30.0.0/16", #{ via: "10.0.0.9", encap: #{ type: "ip", id: 7, dst: "10.0.0.9" }, congctl: "lock reno", rto_min: "300ms" })"#,
    ),
    (
        "sysctl/tree",
        r#"sysctl("w1", #{ "net.ipv4": #{ ip_forward: 1, conf: #{ "v1.arp_filter": 0, "all.rp_filter": 1 } } })"#,
    ),
    ("sysctl/forwarding", r#"forwarding("w1", true)"#),
    ("qdisc/on_a_new_link", r#"veth("w1:a", "w2:b"); qdisc("w1:a", "tbf", #{ rate: "1mbit" })"#),
    ("qdisc/where_none_was", r#"qdisc("w2:v2", "tbf", #{ rate: "10mbit" })"#),
    (
        "qdisc/where_none_was_tree",
        r#"qdisc("w2:v2", "htb", #{ handle: "1:", default_class: "10" }); tc_class("w2:v2", "1:1", #{ rate: "10mbit" }); tc_class("w2:v2", "1:10", #{ parent: "1:1", rate: "1mbit" }); qdisc("w2:v2", "pfifo", #{ parent: "1:10" })"#,
    ),
    ("qdisc/replace_another_kind", r#"qdisc("w1:v1", "tbf", #{ rate: "10mbit", replace: true })"#),
    ("qdisc/replace_the_same_kind", r#"qdisc(":h0", "tbf", #{ rate: "10mbit", burst: "9kb", replace: true })"#),
    ("qdisc/change", r#"qdisc(":h0", "tbf", #{ rate: "10mbit", burst: "9kb", change: true })"#),
    ("qdisc/change_child", r#"qdisc("w1:v1", "tbf", #{ parent: "1:10", handle: "10:", rate: "9mbit", change: true })"#),
    ("qdisc/change_fifo", r#"qdisc("w1:p1", "bfifo", #{ limit: "10kb", change: true })"#),
    ("qdisc/child", r#"qdisc("w1:v1", "tbf", #{ parent: "1:30", rate: "9mbit", replace: true })"#),
    ("qdisc/clsact", r#"qdisc("w1:v1", "clsact")"#),
    ("qdisc_del/tree", r#"qdisc_del("w1:v1")"#),
    ("qdisc_del/child", r#"qdisc_del("w1:v1", #{ handle: "10:" })"#),
    ("qdisc_del/clsact", r#"qdisc_del("w1:q2", #{ parent: "ingress" })"#),
    ("qdisc_del/host", r#"qdisc_del(":h0")"#),
    (
        "qdisc_del/and_make_again",
        r#"qdisc_del("w1:v1"); qdisc("w1:v1", "htb", #{ handle: "1:" }); tc_class("w1:v1", "1:10", #{ rate: "1mbit" })"#,
    ),
    ("tc_class/add", r#"tc_class("w1:v1", "1:40", #{ parent: "1:1", rate: "3mbit" })"#),
    ("tc_class/change", r#"tc_class("w1:v1", "1:10", #{ parent: "1:1", rate: "3mbit", ceil: "4mbit", change: true })"#),
    ("tc_class/change_the_outer", r#"tc_class("w1:v1", "1:1", #{ rate: "30mbit", replace: true })"#),
    ("tc_class/del", r#"tc_filter_del("w1:v1", #{ parent: "1:" }); tc_class_del("w1:v1", "1:10")"#),
    (
        "tc_filter/add",
        r#"tc_filter("w1:v1", "u32", #{ parent: "1:", protocol: "ip", prio: 5, dst: "10.0.0.50", classid: "1:30" })"#,
    ),
    (
        "tc_filter/add_in_front",
        r#"tc_filter("w1:v1", "u32", #{ parent: "1:", protocol: "ip", prio: 1, dst: "10.0.0.50", classid: "1:30" })"#,
    ),
    (
        "tc_filter/add_mirred",
        r#"tc_filter("w1:q2", "u32", #{ parent: "ingress", action: #{ kind: "mirred", dev: "p1" } })"#,
    ),
    (
        "tc_filter_del/one",
        r#"tc_filter_del("w1:v1", #{ parent: "1:", protocol: "ip", prio: 5, kind: "u32", handle: "800::800" })"#,
    ),
    ("tc_filter_del/first_priority", r#"tc_filter_del("w1:v1", #{ parent: "1:", protocol: "ip", prio: 5 })"#),
    ("tc_filter_del/last_priority", r#"tc_filter_del("w1:v1", #{ parent: "1:", protocol: "ip", prio: 7 })"#),
    ("tc_filter_del/all", r#"tc_filter_del("w1:v1", #{ parent: "1:" })"#),
    ("tc_filter_del/egress", r#"tc_filter_del("w1:q2", #{ parent: "egress" })"#),
    ("tc_filter_del/ingress", r#"tc_filter_del("w1:q2", #{ parent: "ingress", protocol: "ip", prio: 3 })"#),
    ("sysctl/device", r#"sysctl("w1", "net.ipv4.conf.v1.arp_filter", 0)"#),
    ("sysctl/ip_forward", r#"sysctl("w1", "net.ipv4.ip_forward", 1)"#),
    ("sysctl/conf_all_forwarding", r#"sysctl("w1", "net.ipv4.conf.all.forwarding", 1)"#),
    ("sysctl/conf_all_v6_forwarding", r#"sysctl("w1", "net.ipv6.conf.all.forwarding", 1)"#),
    ("sysctl/conf_default", r#"sysctl("w1", "net.ipv4.conf.default.rp_filter", 2)"#),
    ("sysctl/conf_default_forwarding", r#"sysctl("w1", "net.ipv6.conf.default.forwarding", 1)"#),
    ("sysctl/disable_ipv6", r#"sysctl("w1", "net.ipv6.conf.v1.disable_ipv6", 1)"#),
    ("sysctl/disable_ipv6_all", r#"sysctl("w1", "net.ipv6.conf.all.disable_ipv6", 1)"#),
    ("sysctl/text", r#"sysctl("w1", "net.ipv4.ip_local_port_range", "20000 30000")"#),
    ("sysctl/host", r#"sysctl(host(), "net.ipv4.ip_forward", 1)"#),
    ("netns_del", r#"netns_del("w1")"#),
    ("netns_del/both", r#"netns_del("w1"); netns_del("w2")"#),
    ("netns_del/all", r#"netns_del_all()"#),
    ("netns_del/and_make_again", r#"netns_del("w1"); netns_add("w1"); veth("w1:v1", "w2:other")"#),
    ("netns_del/changed_before", r#"link_set("w1:v1", #{ mtu: 1400 }); addr_flush("w1:v1"); netns_del("w1")"#),
    ("netns_add", r#"netns_add("fresh", #{ lo: true })"#),
    (
        "netns_add/with_content",
        r#"netns_add("fresh"); veth("fresh:a", "w1:a", #{ up: true, b: #{ addr: "10.40.0.1/24", master: "br0" } })"#,
    ),
    ("netns_attach", r#"netns_attach("again", "/run/netns/w1")"#),
    (
        "netns_attach/changed_by_its_own_name",
        r#"netns_attach("again", "/run/netns/w1"); link_set("w1:v1", #{ alias: "x" })"#,
    ),
    ("netns_attach/host", r#"netns_attach("the-host", "/proc/self/ns/net")"#),
    ("netns_attach/after_a_change", r#"addr_del("w1:v1", "fd00::1/64"); netns_attach("again", "/run/netns/w1")"#),
    ("netns_attach/after_a_move", r#"link_move("w1:p2", host()); netns_attach("again", "/run/netns/w1")"#),
    (
        "sysctl/default_reaches_devices",
        r#"sysctl(host(), "net.ipv4.conf.default.rp_filter", 1); link_move("h1", "w1"); link_up("w1:h1")"#,
    ),
    (
        "sequence/a_new_link_after_another_left",
        r#"
        let e = link("w2:e1").index; link_move("w2:e1", "w1"); link_del("w2:v2");
        let x = veth("w2:x2", "w1:x3", #{ up: true });
        assert(x.index != e, "the place of a link that left is not taken"); assert_eq(x.name, "x2")"#,
    ),
    (
        "sequence/group_of_nexthops_by_their_devices",
        r#"addr_del("w1:v1", "10.0.0.1/24"); link_del("w1:q2"); link_del("w1:v1")"#,
    ),
    (
        "sequence/group_of_nexthops_and_one_step_before",
        r#"addr("w2:v2", "fd60::1/64", #{ nodad: true }); addr_del("w1:v1", "10.0.0.1/24"); link_del("w1:q2"); link_del("w1:v1")"#,
    ),
    // br0's mtu follows that of its port, and IPv6's follows br0's.
    (
        "sequence/mtu_of_a_port_then_of_its_bridge",
        r#"link_set("w1:p2", #{ mtu: 1280 }); link_set("w1:br0", #{ mtu: 1300 })"#,
    ),
    ("sequence/mtu_below_that_of_ipv6_then_down", r#"link_set("w1:v1", #{ mtu: 1000 }); link_down("w1:v1")"#),
    ("sequence/neighbour_in_a_subnet_that_is_local_for_a_time", r#"addr("w1:lo", "10.0.0.1/24"); link_down("w1:v1")"#),
    ("sequence/namespace_then_the_other_end_of_its_link", r#"netns_del("w1"); link_del("w2:v2")"#),
    // The filter on q2 mirrors to p1: without it, it can't be made again until p1 is back.
    ("sequence/target_of_a_filter_then_its_link", r#"link_del("w2:e1"); link_move("w1:q2", "w2")"#),
    ("sequence/multipath_route_down_then_delete", r#"link_down("w1:v1"); link_del("w1:v1")"#),
    ("sequence/multipath_route_bridge_down_then_delete", r#"link_down("w1:br0"); link_del("w1:br0")"#),
    ("sysctl/addrgenmode_before_a_move", r#"link_set("w1:v1", #{ addrgenmode: "none" }); link_move("w1:v1", host())"#),
    (
        "own/moved_after_a_step_beside_it",
        r#"veth("w2:x1", "x2", #{ up: true }); link_del("w1:v1"); link_move("w2:x1", host())"#,
    ),
    (
        "own/deleted_after_a_step_beside_it",
        r#"veth("x1", "w1:x2", #{ up: true, a: #{ addr: "10.62.0.5/24" } }); route(host(), "10.14.0.0/16", #{ dev: "h1" }); link_del("x1")"#,
    ),
    ("veth/in_w1", r#"veth("w1:a", "w1:b", #{ up: true, addr: ["10.40.0.1/24", "fd40::1/64"] })"#),
    (
        "veth/across",
        r#"veth("w1:a", "w2:b", #{ up: true, addr: "10.40.0.1/24" }); route("w1", "10.41.0.0/16", #{ via: "10.40.0.9" })"#,
    ),
    ("bridge/steals_a_port", r#"bridge("w1:br1", #{ up: true }); link_set("w1:p1", #{ master: "br1" })"#),
    ("write_file/over", r#"write_file("/run/files/file", "new content")"#),
    ("write_file/new", r#"write_file("/run/files/new", "new content")"#),
    ("remove_file", r#"remove_file("/run/files/file")"#),
    ("start", r#"start("w1", "sleep 1000"); start(host(), "sleep 1000")"#),
    (
        "sequence/address_then_route_then_down",
        r#"addr("w1:q2", "10.50.0.1/24"); route("w1", "10.51.0.0/16", #{ via: "10.50.0.9" }); link_down("w1:q2"); addr_flush("w1:q2")"#,
    ),
    ("sequence/rename_move_delete", r#"let v = link_rename("w1:v1", "x"); link_move(v, "w2"); link_del(v)"#),
    (
        "sequence/twice_the_same",
        r#"link_set("w1:v1", #{ mtu: 1400 }); link_set("w1:v1", #{ mtu: 1350 }); addr("w1:v1", "10.50.0.1/24"); addr_del("w1:v1", "10.50.0.1/24"); addr("w1:v1", "10.50.0.1/24")"#,
    ),
    (
        "sequence/twenty_namespaces",
        r#"
        for i in 0..20 {
            netns_add(`n${i}`, #{ lo: true });
            veth(`w1:n${i}`, `n${i}:eth0`, #{ up: true, a: #{ master: "br0" }, b: #{ addr: `10.4.0.${i + 20}/24` } });
        }
        link_set("w1:v1", #{ mtu: 1400 });
        addr_del("w1:v1", "10.0.0.1/24");
        addr("w1:v1", "10.60.0.1/24");
        route("w1", "10.61.0.0/16", #{ via: "10.60.0.9" });
        link_rename("w1:v1", "uplink")"#,
    ),
];

/// A case that is not one of [`VERBS`] in the usual frame.
struct Special {
    name: &'static str,
    script: &'static str,
    code: i32,
    /// What stderr has to have, on one line.
    says: &'static [&'static str],
    /// Shell that has to succeed afterwards, and take back what somebody else did.
    after: &'static str,
    /// Signals to send: the first when a `sleep 1234` runs, the others one after the other until the end.
    signals: &'static [i32],
    /// Whether stdout's reader goes away first.
    closed: bool,
    /// Whether a transaction in it can't be undone as it was, and says so.
    inner: bool,
}

const PLAIN: Special =
    Special { name: "", script: "", code: 1, says: &[], after: "", signals: &[], closed: false, inner: false };

const SPECIAL: &[Special] = &[
    Special {
        name: "says_that_it_was_verified",
        script: r#"netns_add("fresh"); link_set("w1:v1", #{ mtu: 1400 }); fail("on purpose");"#,
        says: &["on purpose", "rolled back 2 steps", "verified"],
        ..PLAIN
    },
    Special {
        name: "exit_code_of_the_script",
        script: r#"link_down("w1:v1"); exit(9);"#,
        code: 9,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "exit_3_where_it_is_not_as_before",
        script: r#"netns_set("w1", 4242); fail("x");"#,
        code: 3,
        says: &["the nsid of namespace `w1` in the host's namespace stays", "1 thing differs from before"],
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/veth",
        script: r#"
            try { veth("w1:a", "w2:b", #{ a: #{ addr: "10.40.0.1/24" }, b: #{ addr: ["10.41.0.1/24", "10.41.0.1/24"] } }); } catch (e) {
                if e.kind != "exists" { throw e; }
            }"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/link_set",
        script: r#"
            try { link_set("w1:v1", #{ mtu: 1300, alias: "new", txqueuelen: 5, promisc: true, addrgenmode: "stable_secret", master: "lo" }); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/netns_add",
        script: r#"try { netns_add(["a", "b", "w1"]); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/link_move_to_a_taken_name",
        script: r#"
            sh("w2", "ip link add q2 type veth peer name r2");
            try { link_move("w1:q2", "w2"); fail("moved"); } catch (e) { if e.kind != "exists" { throw e; } }"#,
        code: 0,
        after: "ip -n w2 link del q2",
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/addr",
        script: r#"try { addr("w1:v1", ["10.70.0.1/24", "10.0.0.1/24"]); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        // Only the same device has them: made again, it would have sent a handful.
        name: "limbo/counters_of_a_deleted_link",
        script: r#"ping("w1", "10.0.0.9", #{ count: 60, interval: "1ms" }); link_del("w1:v1"); link_del("w1:q2"); fail("x");"#,
        says: &["verified"],
        after: "[ $(ip netns exec w1 cat /sys/class/net/v1/statistics/tx_packets) -ge 60 ]; [ $(ip netns exec w2 cat /sys/class/net/v2/statistics/rx_packets) -ge 60 ]",
        ..PLAIN
    },
    Special {
        name: "limbo/deleted_twice_under_one_name",
        script: r#"
            for i in 0..2 {
                try { transaction(|| { link_del("w1:v1"); veth("w1:v1", "w2:other"); link_del("w1:v1"); fail("on purpose"); }); } catch (e) {
                    if e.message != "on purpose" { throw e; }
                }
            }"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "limbo/what_is_built_upon_goes_along",
        script: r#"
            sh("w1", "ip link add link q2 name upper type macvlan && ip addr add 10.77.0.1/24 dev upper");
            link_del("w1:q2");
            if links("w1").some(|l| l.name == "upper") { fail("upper is still there"); }
            fail("x");"#,
        after: "ip -n w1 addr show upper | grep -q 10.77.0.1/24; ip -n w1 link del upper",
        ..PLAIN
    },
    Special {
        // The route over v1 and br0 can't be made while v1 is down; a step in between does not make it forgotten.
        name: "owed/a_route_refused_by_an_inner_undo",
        script: r#"
            link_down("w1:v1");
            try { transaction(|| { link_move("w1:v1", host()); fail("inner"); }); } catch (e) {}
            sysctl("w1", "net.ipv4.ip_local_port_range", "20000 30000");
            fail("x");"#,
        says: &["undone, but not as it was before the transaction: route", "rolled back 2 steps", "verified"],
        inner: true,
        ..PLAIN
    },
    Special {
        name: "foreign/alternative_name",
        script: r#"altname_del("w1:v1", "v1-with-a-longer-name"); sh("w1", "ip link property add dev v1 altname a-strangers-name"); fail("x");"#,
        says: &["verified"],
        after: "ip -n w1 -d link show v1 | grep -q a-strangers-name; ip -n w1 link property del dev v1 altname a-strangers-name",
        ..PLAIN
    },
    Special {
        name: "foreign/address_on_the_same_link",
        script: r#"addr("w1:v1", "10.70.0.1/24"); sh("w1", "ip addr add 10.71.0.1/24 dev v1"); fail("x");"#,
        after: "ip -n w1 addr del 10.71.0.1/24 dev v1",
        ..PLAIN
    },
    Special {
        name: "foreign/route_by_our_address",
        script: r#"link_set("w1:v1", #{ alias: "x" }); sh("w1", "ip route add 10.71.0.0/16 via 10.0.0.9"); fail("x");"#,
        after: "ip -n w1 route del 10.71.0.0/16",
        ..PLAIN
    },
    Special {
        name: "foreign/link_in_the_same_namespace",
        script: r#"link_down("w1:v1"); sh("w1", "ip link add foreign type veth peer name foreign2; ip addr add 10.71.0.1/24 dev foreign"); fail("x");"#,
        after: "ip -n w1 addr show dev foreign | grep -q 10.71.0.1/24; ip -n w1 link del foreign",
        ..PLAIN
    },
    Special {
        name: "foreign/other_value_of_the_same_link",
        script: r#"link_set("w1:v1", #{ mtu: 1400 }); sh("w1", "ip link set v1 txqueuelen 4"); fail("x");"#,
        after: "ip -n w1 -o link show v1 | grep -q 'qlen 4'; ip -n w1 link set v1 txqueuelen 555",
        ..PLAIN
    },
    Special {
        name: "foreign/namespace",
        script: r#"netns_add("fresh"); sh(host(), "ip netns add foreign"); fail("x");"#,
        after: "ip netns del foreign",
        ..PLAIN
    },
    Special {
        name: "foreign/sysctl",
        script: r#"sysctl("w1", "net.ipv4.conf.v1.arp_filter", 0); sh("w1", "echo 1 > /proc/sys/net/ipv4/conf/v1/arp_ignore"); fail("x");"#,
        after: "ip netns exec w1 sh -c 'test $(cat /proc/sys/net/ipv4/conf/v1/arp_ignore) = 1; echo 0 > /proc/sys/net/ipv4/conf/v1/arp_ignore'",
        ..PLAIN
    },
    Special {
        name: "foreign/a_namesake_is_left_alone",
        script: r#"netns_add("fresh"); sh(host(), "ip netns del fresh; ip netns add fresh"); fail("x");"#,
        code: 3,
        says: &["namespace `fresh` is another's now: left"],
        after: "ip netns del fresh",
        ..PLAIN
    },
    Special {
        name: "foreign/process_in_a_namespace_that_was_there",
        script: r#"link_down("w1:v1"); sh("w1", "sleep 4321 >/dev/null 2>&1 &"); fail("x");"#,
        ..PLAIN
    },
    Special {
        name: "nested/inner_undone_outer_stands_then_undone",
        script: r#"
            link_set("w1:v1", #{ mtu: 1400 });
            try { transaction(|| { link_set("w1:v1", #{ mtu: 1300 }); link_move("w1:v1", "w2"); fail("inner"); }); } catch (e) {}
            assert_eq(link("w1:v1").mtu, 1400);
            transaction(|| { addr_flush("w1:v1"); link_rename("w1:v1", "z"); });
            fail("outer");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "nested/delete_in_the_inner_make_in_the_outer",
        script: r#"
            transaction(|| {
                netns_add("fresh");
                veth("fresh:a", "w1:a", #{ up: true, b: #{ addr: "10.40.0.1/24" } });
                try { transaction(|| { link_del("w1:a"); netns_del("fresh"); fail("inner"); }); } catch (e) {}
                assert_eq(addrs("w1:a")[0].cidr, "10.40.0.1/24");
                assert_eq(links("fresh").len(), 2);
            });
            fail("outer");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        // A route with a hop that is down can't be made: the inner undo says so, the outer one brings it back.
        name: "nested/what_the_inner_could_not_bring_back_the_outer_does",
        script: r#"
            transaction(|| {
                link_down("w1:v1");
                try { transaction(|| { link_del("w1:v1"); fail("inner"); }); } catch (e) {}
                fail("outer");
            });"#,
        says: &["outer"],
        inner: true,
        ..PLAIN
    },
    Special {
        name: "signal/int",
        script: r#"link_down("w1:v1"); netns_add("fresh"); exec_in("fresh", "sleep 1234");"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/term",
        script: r#"netns_del("w1"); exec_in("w2", "sleep 1234");"#,
        code: 143,
        says: &["verified"],
        signals: &[libc::SIGTERM],
        ..PLAIN
    },
    Special {
        name: "signal/hup",
        script: r#"link_del("w1:v1"); start(host(), "sleep 1000"); sh(host(), "sleep 1234 & wait");"#,
        code: 129,
        says: &["verified"],
        signals: &[libc::SIGHUP],
        ..PLAIN
    },
    Special {
        name: "signal/not_caught_by_the_script",
        script: r#"link_down("w1:v1"); try { exec_in("w1", "sleep 1234"); } catch (e) { print("caught"); } sleep(100);"#,
        code: 130,
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/in_a_loop_of_the_script",
        script: r#"link_down("w1:v1"); start("w1", "sleep 1234"); while true {}"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/in_sleep",
        script: r#"link_down("w1:v1"); start("w1", "sleep 1234"); sleep(1000);"#,
        code: 143,
        signals: &[libc::SIGTERM],
        ..PLAIN
    },
    Special {
        name: "signal/a_second_one_does_not_cut_the_undo_short",
        script: r#"
            for i in 0..30 { netns_add(`n${i}`, #{ lo: true }); veth(`w1:n${i}`, `n${i}:eth0`, #{ up: true, a: #{ master: "br0" } }); }
            link_del("w1:v1"); netns_del("w2"); exec_in("w1", "sleep 1234");"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT; 200],
        ..PLAIN
    },
    Special {
        name: "stdout_closed",
        script: r#"link_down("w1:v1"); for i in 0..100000 { print("a line that is long enough to fill what a pipe can hold"); } sleep(100);"#,
        code: 1,
        says: &["write to standard output", "verified"],
        closed: true,
        ..PLAIN
    },
    Special {
        name: "hooks_run_among_the_steps",
        script: r#"
            sh(host(), "ip -n w1 addr add 10.72.0.1/24 dev q2");
            on_rollback(|| sh(host(), "ip -n w1 addr del 10.72.0.1/24 dev q2"));
            link_down("w1:v1");
            fail("x");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        // Addresses that come back are looked for on the link first, which takes a second or two; undo waits for that.
        name: "duplicate_address_detection_is_waited_for",
        script: r#"sysctl(host(), "net.ipv6.conf.default.accept_dad", 1); link_del("h0"); fail("x");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special { name: "nothing_done_nothing_said", script: r#"print(links("w1").len()); fail("x");"#, ..PLAIN },
    Special {
        name: "rm_takes_all_down",
        script: r#"//--rm
            netns_add("fresh"); veth("fresh:a", "w1:a", #{ up: true }); link_set("w1:v1", #{ mtu: 1400 }); start("fresh", "sleep 1000");"#,
        code: 0,
        says: &["verified"],
        ..PLAIN
    },
];

/// What runs inside: the world, the script, the comparison.
fn inside(name: &str) -> Result<(), String> {
    // A process of its own in a namespace, which has to survive.
    let mut guest = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let found = compare(name);
    let _ = guest.kill();
    let _ = guest.wait();
    found
}

fn compare(name: &str) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell("ip netns exec w1 sleep 99999 >/dev/null 2>&1 &")?;
    poll(Duration::from_secs(5), || world::shell("ip netns pids w1 | grep -q .").is_ok());
    let special = SPECIAL.iter().find(|s| s.name == name);
    let framed;
    let (script, case) = match special {
        Some(special) => (special.script, special),
        None => {
            let (frame, verb) = name.split_once('/').ok_or("a name without a frame")?;
            let (_, body) = VERBS.iter().find(|(n, _)| *n == verb).ok_or("no such verb")?;
            framed = match frame {
                "fails" => format!("{body};\nfail(\"on purpose\");\n"),
                "savepoint" => format!(
                    "try {{ transaction(|| {{ {body};\nfail(\"on purpose\"); }}); }} catch (e) {{\n    if e.message != \"on purpose\" {{ throw e; }}\n}}\n"
                ),
                _ => return Err(format!("no frame {frame}")),
            };
            let code = i32::from(frame == "fails");
            (
                framed.as_str(),
                &Special { code, says: if code == 1 { &["on purpose", "verified"] } else { &[] }, ..PLAIN },
            )
        }
    };
    let before = Dump::settled()?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", script);
    let ended = run_script(case, &path)?;
    let said = flat(&ended.stderr);
    let mut problems = Vec::new();
    if ended.code() != case.code {
        problems.push(format!("exit status {}, expected {}", ended.code(), case.code));
    }
    for text in case.says.iter().filter(|t| !said.contains(*t)) {
        problems.push(format!("stderr lacks: {text}"));
    }
    if said.contains("undone, but not as it was") && !case.inner {
        problems.push("a transaction was not undone as it was".into());
    }
    if !case.after.is_empty()
        && let Err(error) = world::shell(case.after)
    {
        problems.push(format!("what somebody else did did not stay: {error}"));
    }
    let differences = before.compare(Duration::from_secs(4))?;
    if !differences.is_empty() {
        let many =
            if differences.len() > 60 { format!("\n… and {} more", differences.len() - 60) } else { String::new() };
        let shown: Vec<String> = differences.iter().take(60).cloned().collect();
        problems.push(format!("not as before (- before, + after):\n{}{many}", shown.join("\n")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\nscript:\n{script}\nstdout:\n{}\nstderr:\n{}", problems.join("\n"), ended.stdout, ended.stderr))
}

fn run_script(case: &Special, path: &std::path::Path) -> Result<common::Ended, String> {
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--host", "--color", "never"]);
    if std::fs::read_to_string(path).is_ok_and(|t| t.starts_with("//--rm")) {
        command.arg("--rm");
    }
    command.arg(path).env("LC_ALL", "C.UTF-8");
    if case.signals.is_empty() && !case.closed {
        return common::run(&mut command, Duration::from_secs(60));
    }
    let errors = tempfile::tempfile().map_err(|e| e.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors.try_clone().map_err(|e| e.to_string())?)
        .spawn()
        .map_err(|e| e.to_string())?;
    if case.closed {
        drop(child.stdout.take());
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).map_err(|e| e.to_string())?);
    let sleeping = || {
        std::fs::read_dir("/proc").is_ok_and(|all| {
            all.flatten().any(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|c| c == b"sleep\x001234\0"))
        })
    };
    let mut signals = case.signals.iter();
    if let Some(first) = signals.next() {
        if !poll(Duration::from_secs(30), sleeping) {
            let _ = child.kill();
            return Err("the script never came to its `sleep 1234`".into());
        }
        send(pid, *first)?;
    }
    let mut status = None;
    let ended = poll(Duration::from_secs(60), || {
        status = child.try_wait().ok().flatten();
        if status.is_none()
            && let Some(signal) = signals.next()
        {
            let _ = send(pid, *signal);
        }
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
    }
    let stderr = {
        use std::io::{Read as _, Seek as _};
        let mut errors = errors;
        let mut text = String::new();
        let _ = errors.rewind();
        let _ = errors.read_to_string(&mut text);
        text
    };
    let status = status.ok_or_else(|| format!("it did not end after the signal; stderr:\n{stderr}"))?;
    Ok(common::Ended { status, stdout: String::new(), stderr })
}

fn send(pid: nix::unistd::Pid, signal: i32) -> Result<(), String> {
    let signal = nix::sys::signal::Signal::try_from(signal).map_err(|e| e.to_string())?;
    nix::sys::signal::kill(pid, signal).map_err(|e| e.to_string())
}

fn main() {
    let frame = Frame { program: "rollback", threads: 6, bound: common::LONG, needs: frame::nothing, inside };
    let framed = ["fails", "savepoint"].iter().flat_map(|f| VERBS.iter().map(move |(name, _)| format!("{f}/{name}")));
    frame.main(framed.chain(SPECIAL.iter().map(|s| s.name.to_string())));
}

//! What changes the world of [`super::world::WORLD`]: cases for every test of the undo.

/// By name: a change of the world each.
pub const VERBS: &[(&str, &str)] = &[
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
    (
        "link_move/through_a_new_one",
        r#"netns_add("fresh", #{ lo: true }); link_move("h1", "fresh"); link_up("fresh:h1"); link_move("fresh:h1", "w1"); link_up("w1:h1")"#,
    ),
    (
        "link_move/to_a_new_one_with_a_macvlan_on_it",
        r#"netns_add("fresh"); link_move("w1:p2", "fresh"); link_up("fresh:p2"); macvlan("fresh:x2", #{ link: "p2", mode: "bridge" })"#,
    ),
    (
        "link_add/macvlan_in_a_new_one_on_a_port_that_left",
        r#"netns_add("fresh"); link_set("w1:p2", #{ nomaster: true }); macvlan("fresh:x2", #{ link: "w1:p2", mode: "bridge" })"#,
    ),
    (
        "link_move/through_a_new_one_and_back_and_that_deleted",
        r#"netns_add("fresh"); link_move("w1:v1", "fresh"); link_move("fresh:v1", "w1"); netns_del("fresh")"#,
    ),
    (
        "link_move/through_two_new_ones_and_those_deleted",
        r#"netns_add(["f1", "f2"]); link_move("h1", "f1"); link_move("f1:h1", "f2"); netns_del("f1"); netns_del("f2")"#,
    ),
    (
        "link_move/through_two_new_ones_and_deleted",
        r#"netns_add(["f1", "f2"]); link_move("h1", "f1"); link_move("f1:h1", "f2"); link_del("f2:h1")"#,
    ),
    (
        "link_move/to_a_new_one_changed_and_deleted_with_it",
        r#"netns_add("fresh"); link_move("w1:v1", "fresh"); link_set("fresh:v1", #{ mtu: 1000, up: true }); link_rename("fresh:v1", "z"); netns_del("fresh")"#,
    ),
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
    ("nexthop/route_by_a_blackhole", r#"route("w1", "10.31.0.0/16", #{ nhid: 14 })"#),
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
    (
        "nft/dynamic_elements_beside_others",
        r#"nft("w1", "add table ip fresh; add set ip fresh s { type ipv4_addr; size 9; flags dynamic; }; add element ip fresh s { 10.0.0.9 }");
        try { transaction(|| {
            nft("w1", "add element ip fresh s { 10.0.0.1 }; delete element ip fresh s { 10.0.0.9 }");
            sh("w1", "nft add element ip fresh s { 10.0.0.77 }");
            fail("inner");
        }); } catch (e) {}
        let all = sh("w1", "nft list set ip fresh s").stdout;
        assert_eq([all.contains("10.0.0.77"), all.contains("10.0.0.9"), all.contains("10.0.0.1,"), all.contains("10.0.0.1 ")], [true, true, false, false])"#,
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
    ("offload", r#"offload("w1:v1", #{ tx: false, gso: false }); offload("w1:br0", #{ tso: false, sg: false })"#),
    ("offload/and_delete", r#"offload("w1:br0", #{ tso: false }); link_del("w1:br0"); link_del("w1:v1")"#),
    ("fdb", r#"fdb("w1:p1", "02:00:00:00:08:01"); link_set("w1:p1", #{ nomaster: true })"#),
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
    ("netns_del/all", "netns_del_all()"),
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
        "sequence/a_link_comes_to_where_a_deleted_one_was",
        r#"
        let q = link("w1:q2").index; netns_add("fresh"); let x = veth("fresh:x1", "w1:x2", #{ up: true, a: #{ index: q } }); link_del("w1:q2");
        link_move(x, "w1"); assert(x.index != q, "the place of a deleted link is not taken")"#,
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
    (
        "sequence/mtu_below_that_of_ipv6_then_a_port",
        r#"link_set("w1:v1", #{ mtu: 1000, up: false }); link_rename("w1:v1", "y4"); link_set("w1:y4", #{ mtu: 1500, master: "br0" })"#,
    ),
    (
        "sequence/macvlan_on_a_bridge_then_that_deleted",
        r#"macvlan("w1:x1", #{ link: "br0", mode: "bridge", up: true }); link_del("w1:br0")"#,
    ),
    ("sequence/mtu_below_that_of_ipv6_then_down", r#"link_set("w1:v1", #{ mtu: 1000 }); link_down("w1:v1")"#),
    ("sequence/neighbour_in_a_subnet_that_is_local_for_a_time", r#"addr("w1:lo", "10.0.0.1/24"); link_down("w1:v1")"#),
    ("sequence/namespace_then_the_other_end_of_its_link", r#"netns_del("w1"); link_del("w2:v2")"#),
    // The filter on q2 mirrors to p1: without it, it can't be made again until p1 is back.
    ("sequence/target_of_a_filter_then_its_link", r#"link_del("w2:e1"); link_move("w1:q2", "w2")"#),
    ("sequence/multipath_route_down_then_delete", r#"link_down("w1:v1"); link_del("w1:v1")"#),
    ("sequence/multipath_route_bridge_down_then_delete", r#"link_down("w1:br0"); link_del("w1:br0")"#),
    ("sequence/moved_and_its_peer_deleted", r#"link_move("w1:p1", host()); link_del("w2:e1")"#),
    (
        "own/followed_a_mtu_and_was_given_another",
        r#"macvlan("w1:x1", #{ link: "br0", mode: "bridge", up: true }); veth("w1:x2", "w1:x3", #{ a: #{ master: "br0" }, mtu: 1400 }); link_set("w1:x1", #{ group: 17, mtu: 1000 })"#,
    ),
    (
        "link_set/port_leaves_with_a_mtu_below_v6",
        r#"link_set("w1:p1", #{ mac: "02:00:00:00:77:9e", nomaster: true, mtu: 1000 })"#,
    ),
    ("link_set/port_with_a_mtu_below_v6", r#"link_set("w1:p1", #{ mtu: 1000 })"#),
    (
        "own/port_with_a_mtu_below_v6",
        r#"veth("w1:x1", "w1:x2", #{ up: true, mtu: 1000 }); link_set("w1:x1", #{ master: "br0" })"#,
    ),
    (
        "own/port_with_a_mtu_below_v6_from_the_first",
        r#"veth("w1:x1", "w1:x2", #{ up: true, mtu: 1000, a: #{ master: "br0" } })"#,
    ),
    ("sequence/bridge_with_stp_then_deleted", r#"link_set("w1:br0", #{ stp: true }); link_del("w1:br0")"#),
    ("sequence/loopback_down_then_flushed", r#"link_down("w1:lo"); addr_flush("w1:lo")"#),
    ("sequence/link_down_then_flushed", r#"link_down("w1:v1"); addr_flush("w1:v1")"#),
    ("sysctl/addrgenmode_before_a_move", r#"link_set("w1:v1", #{ addrgenmode: "none" }); link_move("w1:v1", host())"#),
    (
        "own/set_up_with_an_address_that_was_replaced",
        r#"veth("w2:x1", "x2", #{ a: #{ addr: "10.62.0.3/24" } }); addr("w2:x1", "10.60.0.5/24", #{ label: "x1:0", replace: true }); link_up("w2:x1")"#,
    ),
    (
        "coupled/port_from_before_and_a_bridge_of_the_runs_own_deleted",
        r#"bridge("w1:br9", #{ up: true }); link_set("w1:p1", #{ master: "br9" }); link_del("w1:br9")"#,
    ),
    (
        "coupled/port_from_before_left_a_bridge_of_the_runs_own",
        r#"bridge("w1:br9", #{ up: true }); link_set("w1:p1", #{ master: "br9" }); link_set("w1:p1", #{ nomaster: true }); link_del("w1:br9")"#,
    ),
    (
        "coupled/guest_from_one_new_bridge_to_another",
        r#"netns_add("f"); bridge("f:b1"); bridge("f:b2"); link_move("w2:e1", "f"); link_set("f:e1", #{ master: "b1" }); link_set("f:e1", #{ master: "b2" }); link_del("f:b2")"#,
    ),
    (
        "coupled/nexthop_over_an_own_link_then_down",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "10.60.0.1/24" } }); nexthop("w1", 11, #{ via: "10.60.0.8", dev: "x1", replace: true }); link_down("w1:x1")"#,
    ),
    (
        "coupled/mtu_of_an_own_bridge_with_a_port_from_before",
        r#"bridge("w1:x1", #{ up: true, addr: "fd67::1/64" }); link_set("w1:v1", #{ master: "x1" }); transaction(|| { link_set("w1:x1", #{ mtu: 1400, mac: "02:00:00:00:77:22" }); })"#,
    ),
    (
        "coupled/bridge_of_the_runs_own_deleted_in_a_savepoint",
        r#"bridge("w1:x1", #{ up: true }); link_set("w1:p1", #{ master: "x1" }); transaction(|| { link_del("w1:x1"); })"#,
    ),
    (
        "coupled/nexthop_that_comes_back_late",
        r#"addr_del("w1:v1", "10.0.0.1/24"); veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "10.60.0.1/24" } }); nexthop("w1", 11, #{ via: "10.60.0.8", dev: "x1", replace: true })"#,
    ),
    (
        "coupled/port_of_a_bridge_below_a_macvlan_that_is_a_port",
        r#"bridge("w1:x1", #{ up: true }); macvlan("w1:x3", #{ link: "x1", mode: "bridge", up: true }); link_set("w1:x3", #{ master: "br0" }); veth("w1:x4", "w1:x5", #{ up: true, a: #{ master: "x1" }, mtu: 1400 })"#,
    ),
    (
        "coupled/port_of_a_bridge_below_a_macvlan_that_is_a_port_later",
        r#"bridge("w1:x1", #{ up: true }); macvlan("w1:x3", #{ link: "x1", mode: "bridge", up: true }); link_set("w1:x3", #{ master: "br0" }); transaction(|| { veth("w1:x4", "w1:x5", #{ up: true, mtu: 1400 }); link_set("w1:x4", #{ master: "x1" }) })"#,
    ),
    (
        "coupled/nexthop_over_an_own_link_whose_other_end_moves",
        r#"netns_add("n3"); veth("w1:x1", "n3:x2", #{ up: true, a: #{ addr: "10.69.0.1/24" } }); nexthop("w1", 11, #{ via: "10.69.0.8", dev: "x1", replace: true }); link_move("n3:x2", "w1")"#,
    ),
    (
        "coupled/nexthop_over_an_own_link_whose_other_end_moves_from_what_goes",
        r#"netns_add("n3"); veth("w1:x1", "n3:x2", #{ up: true, a: #{ addr: "10.69.0.1/24" } }); nexthop("w1", 11, #{ via: "10.69.0.8", dev: "x1", replace: true }); link_move("n3:x2", "w1"); netns_del("n3"); netns_add("n3")"#,
    ),
    (
        "coupled/nexthop_group_over_an_own_link_then_down",
        r#"addr_del("w1:q2", "10.5.0.1/24"); veth("w1:x5", "w1:x6", #{ up: true, a: #{ addr: "10.69.0.1/24" } }); nexthop("w1", 31, #{ via: "10.69.0.8", dev: "x5" }); nexthop("w1", 20, #{ group: [31], replace: true }); link_del("w1:q2"); link_down("w1:x5")"#,
    ),
    (
        "coupled/guest_at_the_place_of_an_own_bridge_that_went",
        r#"bridge("x2", #{ up: true }); link_set("x2", #{ nomaster: true }); link_set("h0", #{ nomaster: true }); link_del("x2"); link_move("w2:e1", host()); link_up("e1")"#,
    ),
    (
        "coupled/macvlan_renamed_and_moved",
        r#"link_set("h0", #{ alias: "x" }); macvlan("x7", #{ link: "h0", up: true }); link_rename("x7", "x8"); link_move("x8", "w2")"#,
    ),
    (
        "coupled/bridge_renamed",
        r#"bridge("w1:x2", #{ up: true }); link_set("w1:q2", #{ master: "x2" }); link_rename("w1:x2", "x5")"#,
    ),
    (
        "coupled/nexthop_of_a_group_that_comes_back_late",
        r#"veth("w1:x1", "w1:x2", #{ up: true }); route_del("w1", "10.5.0.0/24"); addr("w1:x1", "10.62.0.14/24"); nexthop("w1", 12, #{ via: "10.62.0.9", dev: "x1", replace: true })"#,
    ),
    (
        "coupled/route_over_an_own_link_where_one_was_deleted",
        r#"veth("w1:x5", "w1:x6", #{ up: true, a: #{ addr: "10.69.0.1/24" } }); route_del("w1", "10.11.0.0/16"); route("w1", "10.11.0.0/16", #{ via: "10.69.0.8" }); route_del("w1", "default"); route("w1", "default", #{ dev: "x5" })"#,
    ),
    (
        "coupled/nexthop_over_an_own_link_then_moved",
        r#"netns_add("f"); veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "10.60.0.1/24" } }); nexthop("w1", 11, #{ via: "10.60.0.8", dev: "x1", replace: true }); link_move("w1:x1", "f")"#,
    ),
    (
        "coupled/nexthop_group_over_an_own_link_then_deleted",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "10.60.0.1/24" } }); nexthop("w1", 30, #{ via: "10.60.0.8", dev: "x1" }); nexthop("w1", 20, #{ group: [30], replace: true }); link_del("w1:x1")"#,
    ),
    (
        "coupled/source_address_on_an_own_link_then_deleted",
        r#"veth("w1:x1", "w1:x2", #{ up: true }); addr("w1:x1", "10.0.0.2/32"); addr_del("w1:v1", "10.0.0.2/24"); link_del("w1:x1")"#,
    ),
    (
        "coupled/filter_to_an_own_link_then_deleted",
        r#"veth("w1:x1", "w1:x2", #{ up: true }); tc_filter("w1:q2", "u32", #{ parent: "ingress", prio: 77, protocol: "ip", src: "10.99.0.0/16", action: #{ kind: "mirred", dev: "x1" } }); link_del("w1:x1")"#,
    ),
    (
        "coupled/multipath_over_an_own_link_then_deleted",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "fd62::1/64" } }); route("w1", "fd30::/64", #{ nexthops: [#{ via: "fd00::9" }, #{ via: "fd62::9" }] }); link_del("w1:x1")"#,
    ),
    (
        "coupled/mtu_below_a_port_of_a_bridge_from_before",
        r#"veth("w1:x1", "w1:x2", #{ up: true }); macvlan("w1:m1", #{ link: "x1", mode: "bridge", up: true }); link_set("w1:m1", #{ master: "br0" }); link_set("w1:x1", #{ mtu: 1000 })"#,
    ),
    (
        "coupled/mac_of_a_macvlan_that_passes_through",
        r#"macvlan("w1:m1", #{ link: "v1", mode: "passthru", up: true }); link_set("w1:m1", #{ mac: "02:00:00:00:77:01" })"#,
    ),
    (
        "coupled/mac_of_both_where_it_passes_through",
        r#"macvlan("w1:m1", #{ link: "q2", mode: "passthru", up: true }); link_set("w1:m1", #{ mac: "02:00:00:00:77:01" }); link_set("w1:q2", #{ mac: "02:00:00:00:77:02" })"#,
    ),
    (
        "coupled/mac_of_a_macvlan_elsewhere_that_passes_through",
        r#"netns_add("f"); macvlan("f:m1", #{ link: "w1:v1", mode: "passthru", up: true }); link_set("f:m1", #{ mac: "02:00:00:00:77:01" })"#,
    ),
    (
        "coupled/mtu_of_a_port_beside_an_own_one",
        r#"veth("w1:x1", "w1:x2", #{ up: true, mtu: 1400 }); link_set("w1:x1", #{ master: "br0" }); link_set("w1:p1", #{ mtu: 1300 }); link_set("w1:x1", #{ nomaster: true })"#,
    ),
    (
        "coupled/moved_out_of_its_namespace_in_a_savepoint",
        r#"netns_add("a"); ifb("a:d2"); transaction(|| { link_move("a:d2", host()); })"#,
    ),
    (
        "coupled/moved_in_a_savepoint_and_deleted",
        r#"netns_add("f"); veth("y1", "y2"); transaction(|| { link_move("y1", "f"); }); transaction(|| { link_del("f:y1"); })"#,
    ),
    (
        "coupled/pair_moved_out_in_a_savepoint",
        r#"netns_add(["a", "b"]); veth("a:y1", "b:y2"); transaction(|| { link_move("a:y1", host()); link_move("b:y2", "w1"); })"#,
    ),
    (
        "coupled/guest_at_the_place_of_an_own_link",
        r#"ifb("w1:y1", #{ index: 200 }); netns_add("f"); link_move("w1:y1", "f"); link_del("f:y1"); link_move("w2:v2", "f"); link_del("f:v2")"#,
    ),
    (
        "coupled/guest_at_the_place_of_one_moved_in_a_savepoint",
        r#"ifb("w1:y1", #{ index: 200 }); netns_add("f"); try { transaction(|| { link_move("w1:y1", "f"); fail("inner"); }) } catch (e) {} link_move("w2:v2", "f"); link_del("f:v2")"#,
    ),
    (
        "coupled/own_one_after_a_savepoint_that_moved_it",
        r#"netns_add("f"); ifb("w1:y1"); try { transaction(|| { link_move("w1:y1", "f"); fail("inner"); }) } catch (e) {} link_up("w1:y1"); link_del("w1:y1")"#,
    ),
    (
        "own/moved_after_a_step_beside_it",
        r#"veth("w2:x1", "x2", #{ up: true }); link_del("w1:v1"); link_move("w2:x1", host())"#,
    ),
    (
        "own/deleted_after_a_step_beside_it",
        r#"veth("x1", "w1:x2", #{ up: true, a: #{ addr: "10.62.0.5/24" } }); route(host(), "10.14.0.0/16", #{ dev: "h1" }); link_del("x1")"#,
    ),
    (
        "own/port_of_a_bridge_that_goes",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ master: "br0" }, mtu: 1400 }); link_del("w1:br0")"#,
    ),
    (
        "own/port_whose_mtu_and_mac_a_bridge_from_before_follows",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ master: "br0" } }); link_set("w1:x1", #{ mtu: 1280 }); link_set("w1:x1", #{ mac: "00:00:00:00:00:02" });"#,
    ),
    (
        "own/port_of_a_bridge_whose_mtu_was_changed",
        r#"veth("w1:x1", "w1:x2", #{ up: true, a: #{ master: "br0" }, mtu: 1400 }); link_set("w1:v1", #{ master: "br0", mtu: 1000 })"#,
    ),
    ("sysctl/one_value_by_two_names", r#"sysctl("w1", "net.ipv4.conf.all.forwarding", 1); forwarding("w1", false)"#),
    (
        "sequence/routes_refused_in_the_wrong_order",
        r#"rule_del("w1", #{ priority: 32766 }); link_rename("w1:v1", "y2"); addr_flush("w1:y2")"#,
    ),
    (
        "own/namespace_deleted_with_a_link_that_was_moved_there",
        r#"netns_add("fresh"); link_move("w2:v2", "fresh"); netns_del("fresh")"#,
    ),
    (
        "own/namespace_deleted_with_a_link_of_a_namespace_of_its_name",
        r#"netns_del("w1"); netns_add("w1"); link_move("w2:v2", "w1"); link_up("w1:v2"); netns_del("w1")"#,
    ),
    (
        "own/namespace_deleted_with_a_link_from_before_the_transaction",
        r#"
        veth("w1:x1", "w1:x2", #{ up: true });
        try { transaction(|| { netns_add("fresh"); link_move("w1:x2", "fresh"); netns_del("fresh"); fail("inner"); }); } catch (e) {}
        assert_eq(link("w1:x2").kind, "veth")"#,
    ),
    (
        "netns_del/of_an_own_one_with_the_other_end_of_a_port",
        r#"netns_add("fresh"); veth("fresh:x1", "w1:x2", #{ up: true }); link_set("w1:x2", #{ mtu: 1300, master: "br0" }); netns_del("fresh")"#,
    ),
    (
        "link_set/of_an_own_link_elsewhere_under_a_port",
        r#"veth("w1:x2", "w1:x3", #{ up: true });
        macvlan("w1:x4", #{ link: "x2", mode: "bridge", up: true });
        link_set("w1:x4", #{ master: "br0" });
        link_move("w1:x2", host());
        link_set("x2", #{ mtu: 1300 });
        assert_eq(link("w1:br0").mtu, 1300)"#,
    ),
    (
        "link_del/of_an_own_link_elsewhere_under_a_port",
        r#"netns_add("fresh");
        veth("fresh:x1", "fresh:x2", #{ up: true });
        macvlan("fresh:x4", #{ link: "x1", mode: "bridge", up: true });
        link_move("fresh:x4", "w1");
        link_set("w1:x4", #{ mtu: 1300, master: "br0", up: true });
        link_set("fresh:x1", #{ mac: "02:00:00:00:99:01" });
        link_set("fresh:x1", #{ up: false });
        link_del("fresh:x1")"#,
    ),
    (
        "link_move/of_an_own_link_elsewhere_under_a_port",
        r#"netns_add(["f1", "f2"]);
        veth("f1:x1", "f1:x2", #{ up: true });
        macvlan("f1:x4", #{ link: "x1", mode: "bridge", up: true });
        link_move("f1:x4", "w1");
        link_set("w1:x4", #{ mtu: 1300, master: "br0", up: true });
        link_move("f1:x1", "f2");
        link_set("f2:x1", #{ mtu: 1200, up: true });
        netns_del("f2")"#,
    ),
    (
        "link_del/with_an_own_macvlan_on_it_elsewhere",
        r#"netns_add("fresh");
        macvlan("fresh:x4", #{ link: "w1:q2", mode: "bridge" });
        link_del("w1:q2");
        let there = true;
        try { link("fresh:x4") } catch (e) { there = false }
        assert_eq(there, false)"#,
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

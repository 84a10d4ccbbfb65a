//! The link kinds: what is made of each, and what is changed.

/// A kind: what is made (words of `ip link add`, options in a script) and what is changed of the first that is made (words
/// of `ip link set`, options in a script).
pub struct Kind {
    pub name: &'static str,
    pub made: &'static [(&'static str, &'static str)],
    pub changed: &'static [(&'static str, &'static str)],
}

/// What several tunnels have in common.
macro_rules! tunnel {
    ($name:literal, $local:literal, $remote:literal, [$($more:expr),*], [$($change:expr),*]) => {
        Kind {
            name: $name,
            made: &[
                (concat!("local ", $local, " remote ", $remote), concat!("local: \"", $local, "\", remote: \"", $remote, "\"")),
                (
                    concat!("local ", $local, " remote ", $remote, " dev e0 fwmark 7"),
                    concat!("local: \"", $local, "\", remote: \"", $remote, "\", dev: \"e0\", fwmark: 7"),
                ),
                $($more),*
            ],
            changed: &[$($change),*],
        }
    };
}

const GRE_MORE: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 ikey 5 okey 6 iseq ocsum ttl 9 tos 0x10",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", ikey: 5, okey: 6, iseq: true, ocsum: true, ttl: 9, tos: 16",
);
const GRE_KEY: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 key 7 seq csum ttl inherit tos inherit",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", key: 7, seq: true, csum: true, ttl: \"inherit\", tos: \"inherit\"",
);
const GRE_ENCAP: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 encap fou encap-sport 5555 encap-dport 6666 encap-csum",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", encap: \"fou\", encap_sport: 5555, encap_dport: 6666, encap_csum: true",
);
const NOPMTU: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 nopmtudisc ignore-df",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", pmtudisc: false, ignore_df: true",
);
const SIX_MORE: (&str, &str) = (
    "local fd00::1 remote fd00::2 hoplimit 9 encaplimit none tclass 0x20 flowlabel 0x12345 dscp inherit",
    "local: \"fd00::1\", remote: \"fd00::2\", ttl: 9, encaplimit: \"none\", tclass: 32, flowlabel: 0x12345, dscp_inherit: true",
);
const IP_MORE: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 ttl 9 tos inherit mode any",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", ttl: 9, tos: \"inherit\", mode: \"any\"",
);
const MACVLAN: &[(&str, &str)] = &[
    ("mode bridge", "mode: \"bridge\""),
    ("mode private bcqueuelen 2000", "mode: \"private\", bcqueuelen: 2000"),
    ("mode vepa", "mode: \"vepa\""),
    ("mode passthru flag nopromisc", "mode: \"passthru\", nopromisc: true"),
    ("mode source", "mode: \"source\""),
    (
        "mode source macaddr set 02:00:00:00:00:21 02:00:00:00:00:22 02:00:00:00:00:23",
        "mode: \"source\", macaddr: [\"02:00:00:00:00:21\", \"02:00:00:00:00:22\", \"02:00:00:00:00:23\"]",
    ),
    ("", ""),
];
const IPVLAN: &[(&str, &str)] = &[
    ("mode l2", "mode: \"l2\""),
    ("mode l3s private", "mode: \"l3s\", \"private\": true"),
    ("mode l3 vepa", "mode: \"l3\", vepa: true"),
    ("", ""),
];

/// What an ERSPAN can't be without, and what is special to its versions.
const MIRROR: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 seq key 7 erspan_ver 1 erspan 123",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", seq: true, key: 7, erspan_ver: 1, erspan: 123",
);
const MIRROR_2: (&str, &str) = (
    "local 10.0.0.1 remote 10.0.0.2 seq key 8 ttl 9 tos 0x10 erspan_ver 2 erspan_dir egress erspan_hwid 17",
    "local: \"10.0.0.1\", remote: \"10.0.0.2\", seq: true, key: 8, ttl: 9, tos: 16, erspan_ver: 2, erspan_dir: \"egress\", erspan_hwid: 17",
);
const MIRROR_6: (&str, &str) = (
    "local fd00::1 remote fd00::2 seq key 7 erspan_ver 1 erspan 123",
    "local: \"fd00::1\", remote: \"fd00::2\", seq: true, key: 7, erspan_ver: 1, erspan: 123",
);
const MIRROR_6_2: (&str, &str) = (
    "local fd00::1 remote fd00::2 seq key 8 hoplimit 9 erspan_ver 2 erspan_dir ingress erspan_hwid 17",
    "local: \"fd00::1\", remote: \"fd00::2\", seq: true, key: 8, ttl: 9, erspan_ver: 2, erspan_dir: \"ingress\", erspan_hwid: 17",
);

pub const KINDS: &[Kind] = &[
    Kind {
        name: "bareudp",
        made: &[
            ("dstport 6635 ethertype mpls_uc", "dstport: 6635, ethertype: \"mpls_uc\""),
            (
                "dstport 6636 ethertype mpls_uc srcportmin 4000 multiproto",
                "dstport: 6636, ethertype: \"mpls_uc\", srcportmin: 4000, multiproto: true",
            ),
            ("dstport 6637 ethertype ip", "dstport: 6637, ethertype: \"ipv4\""),
        ],
        changed: &[],
    },
    Kind {
        name: "bond",
        made: &[
            ("mode active-backup miimon 100", "mode: \"active-backup\", miimon: 100"),
            (
                "mode active-backup miimon 100 updelay 200 downdelay 300 primary_reselect better fail_over_mac active num_grat_arp 3 all_slaves_active 1 resend_igmp 2",
                "mode: \"active-backup\", miimon: \"100ms\", updelay: 200, downdelay: 300, primary_reselect: \"better\", fail_over_mac: \"active\", num_grat_arp: 3, all_slaves_active: true, resend_igmp: 2",
            ),
            (
                "mode 802.3ad lacp_rate fast ad_select bandwidth xmit_hash_policy layer3+4 min_links 2 ad_actor_sys_prio 100 ad_user_port_key 5 ad_actor_system 02:00:00:00:00:77",
                "mode: \"802.3ad\", lacp_rate: \"fast\", ad_select: \"bandwidth\", xmit_hash_policy: \"layer3+4\", min_links: 2, ad_actor_sys_prio: 100, ad_user_port_key: 5, ad_actor_system: \"02:00:00:00:00:77\"",
            ),
            ("mode balance-rr packets_per_slave 3", "mode: \"balance-rr\", packets_per_slave: 3"),
            (
                "mode balance-tlb tlb_dynamic_lb 0 lp_interval 7",
                "mode: \"balance-tlb\", tlb_dynamic_lb: false, lp_interval: 7",
            ),
            (
                "mode active-backup arp_interval 100 arp_ip_target 10.0.0.1,10.0.0.2 arp_validate active arp_all_targets all",
                "mode: \"active-backup\", arp_interval: 100, arp_ip_target: [\"10.0.0.1\", \"10.0.0.2\"], arp_validate: \"active\", arp_all_targets: \"all\"",
            ),
            (
                "mode balance-xor xmit_hash_policy vlan+srcmac",
                "mode: \"balance-xor\", xmit_hash_policy: \"vlan+srcmac\"",
            ),
            ("mode broadcast use_carrier 1", "mode: \"broadcast\", use_carrier: true"),
            ("", ""),
        ],
        changed: &[
            ("miimon 250", "miimon: 250"),
            ("updelay 500", "updelay: 500"),
            ("num_grat_arp 4", "num_grat_arp: 4"),
            ("mode balance-xor", "mode: \"balance-xor\""),
        ],
    },
    Kind {
        name: "bridge",
        made: &[
            ("", ""),
            (
                "forward_delay 400 hello_time 100 max_age 800 ageing_time 6000 stp_state 1 priority 4096 group_fwd_mask 8",
                "forward_delay: 4, hello_time: 1, max_age: 8, ageing_time: 60, stp: true, priority: 4096, group_fwd_mask: 8",
            ),
            ("mcast_snooping 0 nf_call_iptables 1", "mcast_snooping: false, nf_call_iptables: true"),
            (
                "mcast_querier 1 mcast_router 2 mcast_hash_max 512 mcast_igmp_version 3 mcast_mld_version 2",
                "mcast_querier: true, mcast_router: 2, mcast_hash_max: 512, mcast_igmp_version: 3, mcast_mld_version: 2",
            ),
            (
                "mcast_last_member_count 3 mcast_startup_query_count 4 mcast_last_member_interval 200 mcast_query_interval 13000 mcast_stats_enabled 1 mcast_query_use_ifaddr 1",
                "mcast_last_member_count: 3, mcast_startup_query_count: 4, mcast_last_member_interval: 2, mcast_query_interval: 130, mcast_stats_enabled: true, mcast_query_use_ifaddr: true",
            ),
        ],
        changed: &[
            ("ageing_time 7700", "ageing_time: 77"),
            ("stp_state 1", "stp: true"),
            ("mcast_querier 1", "mcast_querier: true"),
            ("group_address 01:80:c2:00:00:0d", "group_address: \"01:80:c2:00:00:0d\""),
        ],
    },
    Kind {
        name: "bridge_vlan",
        made: &[
            ("vlan_filtering 1", "vlan_filtering: true"),
            (
                "vlan_filtering 1 vlan_protocol 802.1ad vlan_default_pvid 5 vlan_stats_enabled 1",
                "vlan_filtering: true, vlan_protocol: \"802.1ad\", vlan_default_pvid: 5, vlan_stats_enabled: true",
            ),
        ],
        changed: &[("vlan_default_pvid 9", "vlan_default_pvid: 9"), ("vlan_filtering 0", "vlan_filtering: false")],
    },
    Kind { name: "dummy", made: &[("", "")], changed: &[] },
    Kind {
        name: "erspan",
        made: &[MIRROR, MIRROR_2, ("external", "external: true")],
        changed: &[("ttl 17", "ttl: 17"), ("erspan 99", "erspan: 99")],
    },
    Kind {
        name: "geneve",
        made: &[
            ("id 42 remote 10.0.0.2", "id: 42, remote: \"10.0.0.2\""),
            (
                "id 43 remote 10.0.0.2 ttl 7 tos 0x10 dstport 7777 noudpcsum df set",
                "id: 43, remote: \"10.0.0.2\", ttl: 7, tos: 16, dstport: 7777, udpcsum: false, df: \"set\"",
            ),
            (
                "id 44 remote fd00::2 ttl inherit udp6zerocsumtx udp6zerocsumrx flowlabel 0x123",
                "id: 44, remote: \"fd00::2\", ttl: \"inherit\", udp6zerocsumtx: true, udp6zerocsumrx: true, flowlabel: 0x123",
            ),
            ("external", "external: true"),
        ],
        changed: &[("id 42 remote 10.0.0.2 ttl 9", "ttl: 9"), ("id 42 remote 10.0.0.2 tos 0x20", "tos: 32")],
    },
    tunnel!(
        "gre",
        "10.0.0.1",
        "10.0.0.2",
        [GRE_MORE, GRE_KEY, NOPMTU, GRE_ENCAP, ("external", "external: true")],
        [("ttl 17", "ttl: 17"), ("key 9", "key: 9")]
    ),
    tunnel!(
        "gretap",
        "10.0.0.1",
        "10.0.0.2",
        [GRE_MORE, GRE_KEY, NOPMTU, GRE_ENCAP, ("external", "external: true")],
        [("ttl 17", "ttl: 17"), ("remote 10.0.0.3", "remote: \"10.0.0.3\"")]
    ),
    Kind { name: "ifb", made: &[("", "")], changed: &[] },
    Kind {
        name: "ip6erspan",
        made: &[MIRROR_6, MIRROR_6_2, ("external", "external: true")],
        changed: &[("hoplimit 17", "ttl: 17"), ("erspan 99", "erspan: 99")],
    },
    tunnel!(
        "ip6gre",
        "fd00::1",
        "fd00::2",
        [SIX_MORE, ("external", "external: true")],
        [("hoplimit 17", "ttl: 17"), ("key 9", "key: 9")]
    ),
    tunnel!(
        "ip6gretap",
        "fd00::1",
        "fd00::2",
        [SIX_MORE, ("external", "external: true")],
        [("hoplimit 17", "ttl: 17"), ("remote fd00::3", "remote: \"fd00::3\"")]
    ),
    tunnel!(
        "ip6tnl",
        "fd00::1",
        "fd00::2",
        [
            SIX_MORE,
            (
                "local fd00::1 remote fd00::2 mode ip6ip6 allow-localremote",
                "local: \"fd00::1\", remote: \"fd00::2\", mode: \"ip6ip6\", allow_localremote: true"
            ),
            ("external", "external: true")
        ],
        [("hoplimit 17", "ttl: 17"), ("remote fd00::3", "remote: \"fd00::3\"")]
    ),
    tunnel!(
        "ipip",
        "10.0.0.1",
        "10.0.0.2",
        [IP_MORE, GRE_ENCAP, ("external", "external: true")],
        [("ttl 17", "ttl: 17")]
    ),
    Kind {
        name: "ipvlan",
        made: IPVLAN,
        changed: &[("mode l3", "mode: \"l3\""), ("mode l2 private", "\"private\": true")],
    },
    Kind { name: "ipvtap", made: IPVLAN, changed: &[("mode l3", "mode: \"l3\"")] },
    Kind {
        name: "macsec",
        made: &[
            ("port 11", "port: 11"),
            (
                "port 12 cipher gcm-aes-256 icvlen 16 encrypt on send_sci on protect on replay on window 64 validate check encodingsa 1",
                "port: 12, cipher: \"gcm-aes-256\", icvlen: 16, encrypt: true, send_sci: true, protect: true, replay: true, window: 64, validate: \"check\", encodingsa: 1",
            ),
            ("sci 0200000000010001 encrypt off", "sci: \"0200000000010001\", encrypt: false"),
        ],
        changed: &[("encrypt on", "encrypt: true"), ("validate disabled", "validate: \"disabled\"")],
    },
    Kind {
        name: "macvlan",
        made: MACVLAN,
        changed: &[
            ("mode private", "mode: \"private\""),
            ("bcqueuelen 3000", "bcqueuelen: 3000"),
            (
                "mode source macaddr set 02:00:00:00:00:21 02:00:00:00:00:22",
                "mode: \"source\", macaddr: [\"02:00:00:00:00:21\", \"02:00:00:00:00:22\"]",
            ),
        ],
    },
    Kind { name: "macvtap", made: MACVLAN, changed: &[("mode private", "mode: \"private\"")] },
    Kind { name: "netkit", made: &[("", "")], changed: &[] },
    Kind { name: "nlmon", made: &[("", "")], changed: &[] },
    tunnel!(
        "sit",
        "10.0.0.1",
        "10.0.0.2",
        [
            IP_MORE,
            ("local 10.0.0.1 remote 10.0.0.2 mode ip6ip", "local: \"10.0.0.1\", remote: \"10.0.0.2\", mode: \"ip6ip\""),
            (
                "local 10.0.0.1 6rd-prefix 2001:db8::/32 6rd-relay_prefix 10.0.0.0/8",
                "local: \"10.0.0.1\", \"6rd_prefix\": \"2001:db8::/32\", \"6rd_relay_prefix\": \"10.0.0.0/8\""
            )
        ],
        [("ttl 17", "ttl: 17"), ("6rd-prefix 2001:db8::/32", "\"6rd_prefix\": \"2001:db8::/32\"")]
    ),
    Kind {
        name: "tap",
        made: &[
            ("", ""),
            ("user 0 group 0", "user: 0, user_group: 0"),
            ("vnet_hdr multi_queue", "vnet_hdr: true, multi_queue: true"),
        ],
        changed: &[],
    },
    Kind { name: "team", made: &[("", "")], changed: &[] },
    Kind {
        name: "tun",
        made: &[("", ""), ("user 0 group 0", "user: 0, user_group: 0"), ("pi", "pi: true")],
        changed: &[],
    },
    Kind { name: "veth", made: &[("", "")], changed: &[] },
    Kind {
        name: "vlan",
        made: &[
            ("id 7", "id: 7"),
            (
                "id 8 protocol 802.1ad reorder_hdr off gvrp on mvrp on loose_binding on ingress-qos-map 1:2 egress-qos-map 3:4",
                "id: 8, protocol: \"802.1ad\", reorder_hdr: false, gvrp: true, mvrp: true, loose_binding: true, ingress_qos_map: [\"1:2\"], egress_qos_map: [\"3:4\"]",
            ),
            ("id 9 bridge_binding on", "id: 9, bridge_binding: true"),
        ],
        changed: &[
            ("loose_binding on", "loose_binding: true"),
            ("reorder_hdr off", "reorder_hdr: false"),
            ("reorder_hdr off gvrp on", "reorder_hdr: false, gvrp: true"),
            ("egress-qos-map 3:5", "egress_qos_map: [\"3:5\"]"),
        ],
    },
    Kind { name: "vrf", made: &[("table 10", "table: 10"), ("table 4000", "table: 4000")], changed: &[] },
    tunnel!(
        "vti",
        "10.0.0.1",
        "10.0.0.2",
        [(
            "local 10.0.0.1 remote 10.0.0.2 ikey 5 okey 6",
            "local: \"10.0.0.1\", remote: \"10.0.0.2\", ikey: 5, okey: 6"
        )],
        [("key 9", "key: 9")]
    ),
    tunnel!(
        "vti6",
        "fd00::1",
        "fd00::2",
        [("local fd00::1 remote fd00::2 ikey 5 okey 6", "local: \"fd00::1\", remote: \"fd00::2\", ikey: 5, okey: 6")],
        [("key 9", "key: 9")]
    ),
    Kind {
        name: "vxlan",
        made: &[
            (
                "id 42 local 10.0.0.1 remote 10.0.0.2 dstport 4789",
                "id: 42, local: \"10.0.0.1\", remote: \"10.0.0.2\", dstport: 4789",
            ),
            (
                "id 43 group 239.1.1.1 dev e0 dstport 4789 ttl 5 tos 0x10 nolearning",
                "id: 43, group: \"239.1.1.1\", dev: \"e0\", dstport: 4789, ttl: 5, tos: 16, learning: false",
            ),
            (
                "id 44 local fd00::1 remote fd00::2 dstport 4789 udp6zerocsumtx udp6zerocsumrx flowlabel 0x123 ttl inherit tos inherit",
                "id: 44, local: \"fd00::1\", remote: \"fd00::2\", dstport: 4789, udp6zerocsumtx: true, udp6zerocsumrx: true, flowlabel: 0x123, ttl: \"inherit\", tos: \"inherit\"",
            ),
            (
                "id 45 dstport 4789 nolearning proxy rsc l2miss l3miss ageing 60 maxaddress 100 srcport 5000 6000 gbp noudpcsum df set",
                "id: 45, dstport: 4789, learning: false, proxy: true, rsc: true, l2miss: true, l3miss: true, ageing: 60, maxaddress: 100, srcport: [5000, 6000], gbp: true, udpcsum: false, df: \"set\"",
            ),
            (
                "id 46 group ff05::1 dev e0 dstport 4789 remcsumtx remcsumrx",
                "id: 46, group: \"ff05::1\", dev: \"e0\", dstport: 4789, remcsumtx: true, remcsumrx: true",
            ),
            ("dstport 4789 external", "dstport: 4789, external: true"),
            ("dstport 4789 external vnifilter", "dstport: 4789, external: true, vnifilter: true"),
            ("dstport 4790 external gpe", "dstport: 4790, external: true, gpe: true"),
        ],
        changed: &[
            ("ageing 77", "ageing: 77"),
            ("ttl 9", "ttl: 9"),
            ("nolearning", "learning: false"),
            ("remote 10.0.0.3", "remote: \"10.0.0.3\""),
        ],
    },
    Kind { name: "wireguard", made: &[("", ""), ("", "listen_port: 51820, fwmark: 7")], changed: &[] },
    Kind { name: "xfrm", made: &[("dev e0 if_id 7", "dev: \"e0\", if_id: 7"), ("if_id 8", "if_id: 8")], changed: &[] },
];

/// Kinds that are made on another link.
pub const LINKED: &[&str] = &["ipvlan", "ipvtap", "macsec", "macvlan", "macvtap", "vlan"];
/// Kinds that can be made on a link in another namespace by their option `dev`, and what else they are made of.
pub const ON_DEV: &[(&str, &str, &str)] = &[
    ("erspan", MIRROR.0, MIRROR.1),
    ("gre", "local 10.0.0.1 remote 10.0.0.2", "local: \"10.0.0.1\", remote: \"10.0.0.2\""),
    ("gretap", "local 10.0.0.1 remote 10.0.0.2", "local: \"10.0.0.1\", remote: \"10.0.0.2\""),
    ("ip6erspan", MIRROR_6.0, MIRROR_6.1),
    ("ip6gre", "local fd00::1 remote fd00::2", "local: \"fd00::1\", remote: \"fd00::2\""),
    ("ip6gretap", "local fd00::1 remote fd00::2", "local: \"fd00::1\", remote: \"fd00::2\""),
    ("ip6tnl", "local fd00::1 remote fd00::2", "local: \"fd00::1\", remote: \"fd00::2\""),
    ("ipip", "local 10.0.0.1 remote 10.0.0.2", "local: \"10.0.0.1\", remote: \"10.0.0.2\""),
    ("sit", "local 10.0.0.1 remote 10.0.0.2", "local: \"10.0.0.1\", remote: \"10.0.0.2\""),
    ("vti", "local 10.0.0.1 remote 10.0.0.2", "local: \"10.0.0.1\", remote: \"10.0.0.2\""),
    ("vti6", "local fd00::1 remote fd00::2", "local: \"fd00::1\", remote: \"fd00::2\""),
    ("vxlan", "id 42 group 239.1.1.1 dstport 4789", "id: 42, group: \"239.1.1.1\", dstport: 4789"),
    ("xfrm", "if_id 7", "if_id: 7"),
];
/// Kinds whose keys are kept nowhere but in the kernel.
pub const SECRET: &[&str] = &["macsec", "wireguard"];

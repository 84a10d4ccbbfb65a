//! What `plan/ip.rs` and the specs write is read back as the same.

use super::{Command, addr, link, neigh, nexthop, parse, route, rule, split};
use crate::plan::LinkSpec;
use crate::plan::addr::{AddrSpec, HopSpec, NeighSpec, RouteSpec, STATES};
use crate::plan::ip::equivalent;
use crate::plan::link::LinkChange;
use crate::plan::nexthop::{GroupKind, NexthopSpec};
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::rule::RuleSpec;
use crate::plan::verb::{AddMode, LinkRef, Ns, Verb};
use ipnet::IpNet;
use proptest::option::of;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn read(text: &str) -> Command {
    let words = split(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    parse(&words, &[]).unwrap_or_else(|e| panic!("{text}: {e}")).command
}

fn ip(six: bool) -> BoxedStrategy<IpAddr> {
    if six {
        any::<u128>().prop_map(|n| IpAddr::V6(Ipv6Addr::from(n))).boxed()
    } else {
        any::<u32>().prop_map(|n| IpAddr::V4(Ipv4Addr::from(n))).boxed()
    }
}

fn host(six: bool) -> BoxedStrategy<IpNet> {
    let max = if six { 128u8 } else { 32 };
    (ip(six), 1..=max).prop_map(|(ip, len)| IpNet::new(ip, len).expect("a length")).boxed()
}

fn net(six: bool) -> BoxedStrategy<IpNet> {
    host(six).prop_map(|n| n.trunc()).boxed()
}

fn dev() -> BoxedStrategy<(u32, String)> {
    prop_oneof![Just("eth0"), Just("a b"), Just("via"), Just("it's"), Just("veth-1.100")]
        .prop_map(|name| (0, name.to_string()))
        .boxed()
}

fn hop(six: bool) -> BoxedStrategy<HopSpec> {
    (ip(six), of(dev()), 1u32..=256, any::<bool>())
        .prop_map(|(via, dev, weight, onlink)| HopSpec { via: Some(via), dev, weight, onlink })
        .boxed()
}

fn routes(six: bool) -> BoxedStrategy<RouteSpec> {
    let kind = prop_oneof![Just(None), Just(Some(2u8)), Just(Some(6u8)), Just(Some(7u8)), Just(Some(9u8))];
    let metric = (prop_oneof![Just(2u16), Just(3), Just(4), Just(7), Just(8), Just(11), Just(14)], any::<u32>());
    (
        (net(six), of(ip(six)), of(dev()), of(any::<u32>()), of(1u32..9999), of(ip(six)), of(0u8..=255), of(0u8..=255)),
        (kind, 0u8..=255, any::<bool>(), of(metric), prop::collection::vec(hop(six), 0..3), of(any::<u32>())),
    )
        .prop_map(move |((dst, via, dev, metric, table, src, scope, proto), (kind, tos, onlink, m, hops, nhid))| {
            RouteSpec {
                family: if six { AF_INET6 } else { AF_INET },
                dst: Some(dst),
                via,
                dev,
                metric,
                table,
                src,
                scope,
                proto,
                kind,
                tos,
                onlink,
                metrics: m.into_iter().collect(),
                hops,
                nhid,
                ..RouteSpec::default()
            }
        })
        .boxed()
}

fn addrs(six: bool) -> BoxedStrategy<AddrSpec> {
    let flags =
        if six { prop_oneof![Just(0u32), Just(2), Just(0x12), Just(0x302)].boxed() } else { Just(0x200).boxed() };
    let label = if six { Just(None).boxed() } else { of(Just("eth0:1".to_string())).boxed() };
    (host(six), of(0u8..=255), label, flags, of(any::<u32>()), of((2u32.., 1u32..)))
        .prop_map(|(net, scope, label, flags, metric, lives)| AddrSpec {
            scope,
            label,
            flags,
            metric,
            lives: lives.map(|(a, b)| (a.max(b), a.min(b))),
            ..AddrSpec::new(net)
        })
        .boxed()
}

fn rules(six: bool) -> BoxedStrategy<RuleSpec> {
    let name = || of(Just("eth0".to_string()));
    (
        (
            of(net(six)),
            of(net(six)),
            name(),
            name(),
            of((any::<u32>(), of(any::<u32>()))),
            of(1u32..9999),
            of(any::<u32>()),
        ),
        (of(0u32..128), of((0u32..5, 5u32..9)), of(0u8..=255), of((1u16..9, 9u16..99)), 0u8..=255, any::<bool>()),
        (prop_oneof![Just(None), Just(Some(3u8)), Just(Some(6u8)), Just(Some(7u8)), Just(Some(8u8))], of(0u8..=255)),
    )
        .prop_map(
            move |(
                (from, to, iif, oif, fwmark, table, priority),
                (length, uids, ipproto, sport, tos, not),
                (action, proto),
            )| {
                RuleSpec {
                    family: if six { AF_INET6 } else { AF_INET },
                    from,
                    to,
                    iif,
                    oif,
                    fwmark,
                    table,
                    priority,
                    suppress_prefixlength: length,
                    uidrange: uids,
                    ipproto,
                    sport,
                    tos,
                    action,
                    not,
                    proto,
                    ..RuleSpec::default()
                }
            },
        )
        .boxed()
}

fn nexthops() -> BoxedStrategy<NexthopSpec> {
    let single =
        (1u32.., ip(false), of(dev()), any::<bool>(), of(0u8..=255)).prop_map(|(id, via, dev, onlink, proto)| {
            NexthopSpec { id, via: Some(via), dev, onlink, proto, ..NexthopSpec::default() }
        });
    let kind = prop_oneof![
        Just(GroupKind::Mpath),
        (of(1u16..), of(0u32..9999)).prop_map(|(buckets, idle)| GroupKind::Resilient {
            buckets,
            idle,
            unbalanced: None
        })
    ];
    let group = (1u32.., prop::collection::vec((1u32.., 1u32..=256), 1..4), kind)
        .prop_map(|(id, group, kind)| NexthopSpec { id, group, kind, ..NexthopSpec::default() });
    prop_oneof![single, group].boxed()
}

fn mac() -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), 6).boxed()
}

fn changes() -> BoxedStrategy<LinkChange> {
    let on = || of(any::<bool>());
    (
        (of(any::<u32>()), of(mac()), of(mac()), of("[a-z][a-z ']{0,5}[a-z]"), of(any::<u32>()), of(any::<u32>())),
        (on(), on(), on(), on(), on(), of(0u8..4), on()),
        prop_oneof![Just(None), Just(Some((0, String::new()))), dev().prop_map(Some)],
    )
        .prop_map(
            |((mtu, mac, broadcast, alias, len, group), (promisc, all, arp, multi, dynamic, mode, up), master)| {
                LinkChange {
                    up,
                    mtu,
                    mac,
                    broadcast,
                    master,
                    alias,
                    txqueuelen: len,
                    group,
                    promisc,
                    allmulticast: all,
                    arp,
                    multicast: multi,
                    dynamic,
                    addrgenmode: mode,
                    ..LinkChange::default()
                }
            },
        )
        .boxed()
}

fn here() -> Ns {
    Ns { cookie: 0, name: String::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn of_routes(spec in any::<bool>().prop_flat_map(routes)) {
        let text = format!("ip route add {}", spec.words());
        let Command::Route(route::Route::Add { spec: found, .. }) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(found.record(false), spec.record(false), "{}", text);
    }

    #[test]
    fn of_addresses(spec in any::<bool>().prop_flat_map(addrs)) {
        let text = format!("ip addr add {}", spec.words("eth0"));
        let Command::Addr(addr::Addr::Add { spec: found, .. }) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(found.record(7, 100), spec.record(7, 100), "{}", text);
    }

    #[test]
    fn of_neighbours(ip in any::<bool>().prop_flat_map(ip), mac in mac(), at in 0..STATES.len(), router in any::<bool>(), proxy in any::<bool>()) {
        let lladdr = (!proxy).then_some(mac);
        let spec = NeighSpec { ip, lladdr, state: STATES[at].0, proxy, router: router && !proxy };
        let text = format!("ip neigh add {}", spec.words("eth0"));
        let Command::Neigh(neigh::Neigh::Add { spec: found, .. }) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(found.record(7), spec.record(7), "{}", text);
    }

    #[test]
    fn of_rules(spec in any::<bool>().prop_flat_map(rules)) {
        let six = if spec.family == AF_INET6 { "-6 " } else { "" };
        let text = format!("ip {six}rule add {}", spec.words());
        let Command::Rule(rule::Rule::Add(found)) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(found.record(false), spec.record(false), "{}", text);
    }

    #[test]
    fn of_nexthops(spec in nexthops()) {
        let text = format!("ip nexthop add {}", spec.words());
        let Command::Nexthop(nexthop::Nexthop::Add { spec: found, mode }) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(found.record(), spec.record(), "{}", text);
        prop_assert_eq!(mode, AddMode::Create);
    }

    #[test]
    fn of_links_that_are_set(change in changes(), name in of(Just("other".to_string()))) {
        let link = LinkRef { index: 2, name: "eth0".into() };
        // An index makes a master of a name; words have none.
        let mut looked_up = change.clone();
        looked_up.master = looked_up.master.map(|(_, name)| (u32::from(!name.is_empty()), name));
        let text = equivalent(&Verb::LinkSet { ns: here(), link, change: LinkChange { name: name.clone(), ..looked_up } });
        let Command::Link(link::Link::Set(parts)) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(&parts.change, &change, "{}", text);
        prop_assert_eq!(parts.name.map(|w| w.text), name, "{}", text);
    }

    #[test]
    fn of_pairs_that_are_made(mtu in of(any::<u32>()), mac in of(mac()), peer in of(Just("b-end".to_string())), queues in of(1u32..9), place in any::<bool>()) {
        let other = LinkSpec { name: peer.clone(), mtu, ..LinkSpec::default() };
        let away = if place { Ns { cookie: 9, name: "n".into() } } else { here() };
        let spec = LinkSpec {
            name: Some("a-end".into()),
            kind: "veth".into(),
            given_mac: mac.is_some(),
            mac: mac.clone(),
            tx_queues: queues,
            peer: Some(Box::new((away, other))),
            ..LinkSpec::default()
        };
        let text = equivalent(&Verb::LinkAdd { ns: here(), spec });
        let Command::Link(link::Link::Add(parts)) = read(&text) else { panic!("{text}") };
        prop_assert_eq!(parts.change.mac.clone(), mac, "{}", &text);
        prop_assert_eq!(parts.tx_queues, queues, "{}", &text);
        let found = parts.peer.unwrap_or_default();
        prop_assert_eq!(found.name.map(|w| w.text), peer, "{}", &text);
        prop_assert_eq!(found.change.mtu, mtu, "{}", &text);
        prop_assert_eq!(found.netns.is_some(), place, "{}", &text);
    }
}

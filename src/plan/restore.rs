//! From the state that is to the state that was: the verbs that lead there, in the order that the kernel needs.

use super::attribute::V6_MIN_MTU;
use super::link::{
    IFF_ALLMULTI, IFF_DYNAMIC, IFF_MULTICAST, IFF_NOARP, IFF_PROMISC, IFLA_BOND_MODE, IFLA_BRPORT_STATE,
    IFLA_VLAN_MAPS, KindOption, LinkChange, LinkSpec, LinkState, complete, whole, written,
};
use super::offload;
use super::record::What;
use super::state::{State, record_steps, supersedes};
use super::verb::{AddMode, LinkRef, Ns, Verb};
use super::{nla, tc};
use std::collections::BTreeSet;

const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const BR_STATE_FORWARDING: u8 = 3;

/// Bytes of an Ethernet address.
const MAC: usize = 6;

/// The phases of [`steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Links: gone, made again, renamed, their attributes and masters.
    Links,
    /// Sysctls, then up and down.
    Up,
    /// Addresses, nexthops, routes, neighbours, rules. To be repeated: the kernel adds and removes some by itself.
    Records,
}

/// The verbs of one phase.
#[must_use]
pub fn steps(ns: &Ns, now: &State, target: &State, phase: Phase) -> Vec<Verb> {
    match phase {
        Phase::Links => links(ns, now, target),
        Phase::Up => ups(ns, now, target),
        Phase::Records => {
            // What the kernel had made by itself of a link that is to be down again can't be there, and was not. A route of
            // several hops outlives the loss of one: it is tried, and comes back once an earlier step has that up again.
            let down = |index: u32| target.links.get(&index).is_some_and(|l| !l.up);
            let refused = |r: &super::record::Rec| {
                r.what == What::Route && r.hops().is_empty() && r.devices().into_iter().any(down)
            };
            let (del, mut add) = record_steps(&now.recs, &target.recs, refused);
            add.retain(|r| !refused(r));
            add.retain(|r| super::bridge::has_place(r, &target.links));
            let words = |r: &super::record::Rec| r.describe(|i| target.name(i));
            let del = del.into_iter().map(|rec| Verb::RecDel { ns: ns.clone(), words: words(&rec), rec });
            let add = add.into_iter().map(|rec| Verb::RecAdd {
                ns: ns.clone(),
                words: words(&rec),
                mode: match rec.what {
                    // A second route to one destination with one metric needs to be appended.
                    What::Route => AddMode::Append,
                    // Of two equal rules `Create` would refuse the second.
                    What::Rule => AddMode::Append,
                    What::Fdb | What::Mdb => super::bridge::mode(&rec),
                    // Traffic has made one of its own meanwhile, that is resolved or not.
                    What::Neigh => AddMode::Replace,
                    What::Nexthop if now.recs.iter().any(|old| supersedes(&rec, old)) => AddMode::Replace,
                    _ => AddMode::Create,
                },
                rec,
            });
            members_while_up(ns, target, del.chain(add).chain(queues(ns, now, target)).collect())
        }
    }
}

/// The kernel takes members of multicast groups of a bridge only while that is up and looks at multicast (`br_mdb_add`,
/// net/bridge/br_mdb.c), and keeps them when it is not.
fn members_while_up(ns: &Ns, target: &State, verbs: Vec<Verb>) -> Vec<Verb> {
    let bridges: BTreeSet<u32> = verbs
        .iter()
        .filter_map(|v| match v {
            Verb::RecAdd { rec, .. } | Verb::RecDel { rec, .. } if rec.what == What::Mdb => {
                rec.devices().first().copied()
            }
            _ => None,
        })
        .collect();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for link in bridges.iter().filter_map(|index| target.links.get(index)) {
        let snoops = |on: bool| LinkChange {
            kind: Some((link.kind.clone(), options(&[(IFLA_BR_MCAST_SNOOPING, vec![u8::from(on)])]))),
            ..LinkChange::default()
        };
        if link.options.iter().any(|o| *o == (IFLA_BR_MCAST_SNOOPING, vec![0])) {
            first.push(set(ns, link, snoops(true)));
            last.push(set(ns, link, snoops(false)));
        }
        if !link.up {
            first.push(set(ns, link, LinkChange { up: Some(true), ..LinkChange::default() }));
            last.push(set(ns, link, LinkChange { up: Some(false), ..LinkChange::default() }));
        }
    }
    first.into_iter().chain(verbs).chain(last).collect()
}

/// Qdiscs, classes and filters.
fn queues(ns: &Ns, now: &State, target: &State) -> Vec<Verb> {
    let of = |state: &'_ State| state.recs.iter().filter(|r| r.is_tc()).cloned().collect::<Vec<_>>();
    let (have, want) = (of(now), of(target));
    let words = |r: &super::record::Rec| r.describe(|i| target.name(i));
    let add = |rec: super::record::Rec, mode| Verb::RecAdd { ns: ns.clone(), words: words(&rec), mode, rec };
    tc::steps(&have.iter().collect::<Vec<_>>(), &want.iter().collect::<Vec<_>>())
        .into_iter()
        .map(|step| match step {
            tc::Step::Del(rec) => Verb::RecDel { ns: ns.clone(), words: words(&rec), rec },
            tc::Step::Change(rec) => add(rec, AddMode::Replace),
            tc::Step::Add(rec) => add(rec, AddMode::Create),
        })
        .collect()
}

fn reference(link: &LinkState) -> LinkRef {
    LinkRef { index: link.index, name: link.name.clone() }
}

fn links(ns: &Ns, now: &State, target: &State) -> Vec<Verb> {
    let mut out = Vec::new();
    for (index, link) in &now.links {
        if !target.links.contains_key(index) {
            out.push(Verb::LinkDel { ns: ns.clone(), link: reference(link) });
        }
    }
    // Names that are taken by links that are to be renamed themselves are freed first.
    for (index, want) in &target.links {
        let Some(have) = now.links.get(index) else { continue };
        let taken = now.links.iter().any(|(i, l)| i != index && l.name == want.name && target.links.contains_key(i));
        if have.name != want.name && taken {
            out.push(set(ns, have, LinkChange { name: Some(format!("nss{index}")), ..LinkChange::default() }));
        }
    }
    for (index, want) in &target.links {
        if let Some(have) = now.links.get(index).filter(|have| have.name != want.name) {
            out.push(set(ns, have, LinkChange { name: Some(want.name.clone()), ..LinkChange::default() }));
        }
    }
    for want in in_order(now, target) {
        if want.irreplaceable().is_some() {
            // Left out rather than made again as something less: that it is gone is found, and said.
            continue;
        }
        // Both ends of a veth pair are made in one message, once.
        let peer = (want.kind == "veth").then(|| target.links.get(&want.lower)).flatten();
        if peer.is_some_and(|p| p.index < want.index && !now.links.contains_key(&p.index)) {
            continue;
        }
        let peer = peer.filter(|p| !now.links.contains_key(&p.index) && p.lower == want.index);
        let mut spec = remake(want, target);
        spec.peer = peer.map(|p| Box::new((ns.clone(), remake(p, target))));
        out.push(Verb::LinkAdd { ns: ns.clone(), spec });
    }
    // A port whose mtu is to be too small for IPv6 leaves its bridge before: that would follow, and lose all that IPv6 has there.
    let mut left_before = BTreeSet::new();
    for (index, want) in &target.links {
        let bridge = now.links.get(index).filter(|have| have.master != want.master && have.mtu >= V6_MIN_MTU);
        let bridge = bridge.and_then(|have| now.links.get(&have.master)).is_some_and(|master| master.kind == "bridge");
        if bridge && want.mtu < V6_MIN_MTU {
            left_before.insert(*index);
            out.push(set(ns, want, LinkChange { master: Some((0, String::new())), ..LinkChange::default() }));
        }
    }
    for (index, want) in &target.links {
        let fresh = remade(want);
        let have = now.links.get(index).unwrap_or(&fresh);
        // A bond keeps the MAC that a link has when it enters, and gives it its own.
        let enters = have.master != want.master && !want.own_mac.is_empty();
        let alone = enters.then(|| LinkState { mac: own_mac(want).to_vec(), ..want.clone() });
        if let Some(mut change) = attributes(have, alone.as_ref().unwrap_or(want)) {
            if want.kind == "bridge" && ports_to_come(*index, now, target) {
                (change.mtu, change.mac) = (None, None);
            }
            // IPv6 comes back only with an mtu of 1280 or more, so its own setting is a second message.
            let mode = LinkChange { addrgenmode: change.addrgenmode, ..LinkChange::default() };
            let rest = LinkChange { addrgenmode: None, ..change };
            out.extend([rest, mode].into_iter().filter(|c| !c.is_empty()).map(|c| set(ns, want, c)));
        }
        if let Some(change) = ethtool(have, want) {
            out.push(Verb::Ethtool { ns: ns.clone(), link: reference(want), change });
        }
        // A new one goes last (netdev_name_node_alt_create, net/core/dev.c): what comes after it is added again.
        let same = have.altnames.iter().zip(&want.altnames).take_while(|(a, b)| a == b).count();
        let names = have.altnames[same..].iter().map(|n| (n, false));
        for (name, add) in names.chain(want.altnames[same..].iter().map(|n| (n, true))) {
            out.push(Verb::LinkAltname { ns: ns.clone(), link: reference(want), name: name.clone(), add });
        }
    }
    // A master that is made again gets all its options first, in the next round: some are refused once it has ports.
    let ready = |master: u32| master == 0 || now.links.contains_key(&master);
    for (index, want) in &target.links {
        let have = now.links.get(index).filter(|_| !left_before.contains(index)).map_or(0, |l| l.master);
        if have != want.master && ready(want.master) {
            let master = (want.master, target.name(want.master));
            out.push(set(ns, want, LinkChange { master: Some(master), ..LinkChange::default() }));
        }
    }
    for (index, want) in &target.links {
        let have = now.links.get(index);
        let was_port = have.is_some_and(|l| l.master == want.master);
        let known = have.filter(|_| was_port).map(|l| l.port.as_slice()).unwrap_or_default();
        let port = differing(known, &want.port);
        if want.master != 0 && ready(want.master) && !port.is_empty() && has_port_options(&want.port_kind) {
            let change = LinkChange { port: Some((want.port_kind.clone(), port)), ..LinkChange::default() };
            out.push(set(ns, want, change));
        }
    }
    // Without STP a port forwards at once; one that was listening for it would go on to do so for twice the forward delay.
    let runs = |state: &State, bridge: u32| {
        let link = state.links.get(&bridge);
        link.is_some_and(|l| l.options.iter().any(|(code, v)| *code == IFLA_BR_STP_STATE && v.iter().any(|b| *b != 0)))
    };
    // It may have been stopped already by an undo that was cut short.
    let left = |l: &LinkState| !l.waits && now.links.get(&l.index).is_some_and(|n| n.waits && n.master == l.master);
    for want in target.links.values().filter(|l| l.up && l.port_kind == "bridge") {
        if (runs(now, want.master) || left(want)) && !runs(target, want.master) {
            let port = Some((want.port_kind.clone(), options(&[(IFLA_BRPORT_STATE, vec![BR_STATE_FORWARDING])])));
            out.push(set(ns, want, LinkChange { port, ..LinkChange::default() }));
        }
    }
    out
}

/// Whether ports of a bridge are still to be led back, whose mtu and MAC it follows. What it has by then may be what it is to
/// have: set by hand, it would not follow them any more (`br_change_mtu`, net/bridge/br_device.c).
fn ports_to_come(bridge: u32, now: &State, target: &State) -> bool {
    now.links.iter().any(|(index, have)| match target.links.get(index) {
        None => have.master == bridge,
        Some(want) => {
            let port = have.master == bridge || want.master == bridge;
            port && (have.master != want.master || have.mtu != want.mtu || have.mac != want.mac)
        }
    })
}

/// Whether the kernel takes options of a port (`rtnl_link_ops.slave_changelink`).
fn has_port_options(kind: &str) -> bool {
    matches!(kind, "bridge" | "bond")
}

/// The links that are to be made, those that others are on before them.
fn in_order<'t>(now: &State, target: &'t State) -> Vec<&'t LinkState> {
    let mut rest: Vec<&LinkState> = target.links.values().filter(|l| !now.links.contains_key(&l.index)).collect();
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |l: &LinkState| l.needs().iter().any(|need| rest.iter().any(|r| r.index == *need));
        let (later, ready): (Vec<&LinkState>, Vec<&LinkState>) = rest.iter().copied().partition(|l| waits(l));
        if ready.is_empty() {
            // A ring can't be: but if it were, the kernel would say what is wrong.
            out.extend(later);
            break;
        }
        out.extend(ready);
        rest = later;
    }
    out
}

/// `IN6_ADDR_GEN_MODE_STABLE_PRIVACY` (include/uapi/linux/if_link.h).
const STABLE_PRIVACY: u8 = 2;

fn ups(ns: &Ns, now: &State, target: &State) -> Vec<Verb> {
    let mut out = Vec::new();
    let differs = |key: &str| now.sysctls.get(key) != target.sysctls.get(key);
    // Writing one of `all` resets every device's own (devinet_conf_proc, addrconf_sysctl_forward), so it goes first,
    // and the devices' are written whether they seem to differ or not.
    let reset = target.sysctls.keys().any(|k| resets(k) && differs(k));
    let (first, rest): (Vec<_>, Vec<_>) = target.sysctls.iter().partition(|(k, _)| resets(k));
    // Those of `default` reach every device whose own was never written (devinet_copy_dflt_conf, neigh_copy_dflt_parms):
    // what they bring by themselves is not written too.
    let reaches =
        |key: &str| reaching(key).is_some_and(|default| target.sysctls.contains_key(&default) && differs(&default));
    for (key, value) in first.into_iter().chain(rest) {
        if !reset && reaches(key) {
            continue;
        }
        if differs(key) || (reset && !resets(key)) {
            out.push(Verb::Sysctl { ns: ns.clone(), key: key.clone(), value: value.clone() });
            // Its secret, once written, is what a device's addresses come from (addrconf_sysctl_stable_secret,
            // net/ipv6/addrconf.c); one whose addresses are random has a secret too.
            let secret = key.ends_with("/stable_secret").then(|| device_of(key)).flatten();
            let link = secret.and_then(|device| target.links.values().find(|l| l.name == device));
            if let Some(link) = link.filter(|l| l.addrgenmode.is_some_and(|m| m != STABLE_PRIVACY)) {
                out.push(set(ns, link, LinkChange { addrgenmode: link.addrgenmode, ..LinkChange::default() }));
            }
        }
    }
    for (index, want) in &target.links {
        let up = now.links.get(index).is_some_and(|l| l.up);
        if up != want.up {
            out.push(set(ns, want, LinkChange { up: Some(want.up), ..LinkChange::default() }));
        }
    }
    out
}

/// Whether writing the sysctl changes that of every device.
#[must_use]
pub fn resets(key: &str) -> bool {
    key.ends_with("/ip_forward") || key.contains("/conf/all/")
}

/// The verb that makes a veth pair again whose ends are in two namespaces.
#[must_use]
pub fn remake_pair(a: (&Ns, &State, &LinkState), b: (&Ns, &State, &LinkState)) -> Verb {
    let mut spec = remake(a.2, a.1);
    spec.peer = Some(Box::new((b.0.clone(), remake(b.2, b.1))));
    Verb::LinkAdd { ns: a.0.clone(), spec }
}

/// The sysctls whose values change when `key` is written: itself, and for those of `all` every device's, for most of
/// `default` those of the devices whose own was never written.
#[must_use]
pub fn related_prefix(key: &str) -> Option<(String, String)> {
    if key == "net/ipv4/ip_forward" {
        return Some(("net/ipv4/conf".into(), "forwarding".into()));
    }
    if let Some((prefix, leaf)) = key.split_once("/default/")
        && matches!(prefix, "net/ipv4/conf" | "net/ipv4/neigh" | "net/ipv6/neigh")
    {
        return Some((prefix.to_string(), leaf.to_string()));
    }
    let (prefix, leaf) = key.split_once("/all/")?;
    prefix.ends_with("/conf").then(|| (prefix.to_string(), leaf.to_string()))
}

/// The sysctl of `default` by which the kernel sets that of a device.
fn reaching(key: &str) -> Option<String> {
    let device = device_of(key)?;
    let (prefix, leaf) = key.split_once(&format!("/{device}/"))?;
    let default = format!("{prefix}/default/{leaf}");
    related_prefix(&default).map(|_| default)
}

/// The device that a sysctl is of: `eth0` of `net/ipv4/conf/eth0/forwarding`.
#[must_use]
pub fn device_of(key: &str) -> Option<&str> {
    let mut parts = key.strip_prefix("net/ipv")?.split('/').skip(1);
    let table = parts.next()?;
    let device = parts.next().filter(|d| !matches!(*d, "all" | "default"))?;
    (matches!(table, "conf" | "neigh") && parts.next().is_some()).then_some(device)
}

fn set(ns: &Ns, link: &LinkState, change: LinkChange) -> Verb {
    Verb::LinkSet { ns: ns.clone(), link: reference(link), change }
}

/// What to send to make a link again that is gone.
#[must_use]
pub fn remake(link: &LinkState, target: &State) -> LinkSpec {
    LinkSpec {
        name: Some(link.name.clone()),
        kind: link.kind.clone(),
        index: link.index,
        // That of a tunnel is its local address, and comes with its options.
        mac: (link.mac.len() == MAC && !mac_from_port(link, target)).then(|| own_mac(link).to_vec()),
        mtu: Some(link.mtu),
        txqueuelen: Some(link.txqueuelen),
        group: Some(link.group),
        lower: (link.kind != "veth" && link.lower != 0).then(|| (link.lower, target.name(link.lower))),
        lower_nsid: link.lower_nsid.filter(|_| link.kind != "veth"),
        tx_queues: (link.tx_queues > 0).then_some(link.tx_queues),
        rx_queues: (link.rx_queues > 0).then_some(link.rx_queues),
        options: if link.kind == "veth" { Vec::new() } else { made_with(link) },
        ..LinkSpec::default()
    }
}

/// The options that a link is made again with. A kernel without `CONFIG_BRIDGE_VLAN_FILTERING` shows some that it
/// refuses to be told, even with their only value: `IFLA_BR_VLAN_FILTERING` 7 (br_vlan_filter_toggle), and of
/// `IFLA_BR_MULTI_BOOLOPT` 46 (struct br_boolopt_multi: values, then a mask) `BR_BOOLOPT_MCAST_VLAN_SNOOPING`.
fn made_with(link: &LinkState) -> Vec<KindOption> {
    let spoken = |(code, value): &(u16, Vec<u8>)| match (link.kind.as_str(), *code) {
        // Most options of a bond are refused in most modes, even with the value that they have: those that differ from
        // the new bond's are set once it is there.
        ("bond", code) if code != IFLA_BOND_MODE => None,
        ("bridge", 7) if *value == [0] => None,
        // IFLA_GRE_REMOTE: none is refused where it is named (ipgre_tap_validate, ip6gre_tap_validate).
        ("erspan" | "gretap" | "ip6erspan" | "ip6gretap", 7) if value.iter().all(|b| *b == 0) => None,
        ("bridge", 46) => {
            let on = value.get(..4).filter(|on| **on != [0; 4])?;
            Some((*code, [on, on].concat()))
        }
        // IFLA_VXLAN_REMCSUM_TX and _RX: said at all, their bits of the header are in use, and IFLA_VXLAN_RESERVED_BITS has
        // them too (vxlan_nl2conf, drivers/net/vxlan/vxlan_core.c).
        ("vxlan", 21 | 22) if *value == [0] => None,
        _ => Some((*code, value.clone())),
    };
    written(&link.kind, options(&link.options.iter().filter_map(spoken).collect::<Vec<_>>()))
}

/// The state that [`remake`]'s message leads to, as far as it is known beforehand.
fn remade(link: &LinkState) -> LinkState {
    LinkState {
        up: false,
        master: 0,
        alias: String::new(),
        altnames: Vec::new(),
        flags: link.flags & IFF_MULTICAST,
        mac: own_mac(link).to_vec(),
        port: Vec::new(),
        port_kind: String::new(),
        addrgenmode: Some(0),
        ..link.clone()
    }
}

/// The MAC of a link without the bond that it is in.
fn own_mac(link: &LinkState) -> &[u8] {
    if link.own_mac.len() == MAC { &link.own_mac } else { &link.mac }
}

/// Whether a bridge's MAC is that of one of its ports: then it follows them, and is left to come from them again. Or it has
/// none, since its last port left: nobody can give it that.
fn mac_from_port(link: &LinkState, target: &State) -> bool {
    let of_port = || target.links.values().any(|l| l.master == link.index && l.mac == link.mac);
    link.kind == "bridge" && (none(&link.mac) || of_port())
}

fn none(mac: &[u8]) -> bool {
    mac.iter().all(|byte| *byte == 0)
}

fn options(all: &[(u16, Vec<u8>)]) -> Vec<KindOption> {
    all.iter().map(|(code, value)| KindOption { code: *code, value: value.clone(), words: String::new() }).collect()
}

fn differing(have: &[(u16, Vec<u8>)], want: &[(u16, Vec<u8>)]) -> Vec<KindOption> {
    let differ: Vec<_> = want.iter().filter(|o| !have.contains(o)).cloned().collect();
    options(&differ)
}

/// Features and channels that differ, where they are known of both.
fn ethtool(have: &LinkState, want: &LinkState) -> Option<offload::Change> {
    let differs = |(name, on): &(&String, &bool)| have.features.get(*name).is_some_and(|have| have != *on);
    let features = want.features.iter().filter(differs).map(|(name, on)| (name.clone(), *on)).collect();
    let channels = want.channels.filter(|c| have.channels.is_some_and(|have| have != *c));
    let change = offload::Change { features, channels };
    (change != offload::Change::default()).then_some(change)
}

/// What a vlan maps now and did not before: the kernel takes a mapping away where it is one to 0, and leaves those that are
/// not named (`vlan_dev_set_egress_priority`, net/8021q/vlan_dev.c).
fn forget_mappings(option: &mut KindOption, have: &[(u16, Vec<u8>)]) {
    // struct ifla_vlan_qos_mapping: from, to
    let from = |mapping: &[u8]| mapping.get(..4).map(<[u8]>::to_vec);
    let Some((_, now)) = have.iter().find(|(code, _)| *code == option.code && IFLA_VLAN_MAPS.contains(code)) else {
        return;
    };
    let wanted: Vec<_> = nla::attrs(&option.value).filter_map(|(_, mapping)| from(mapping)).collect();
    for (code, mapping) in nla::attrs(now) {
        if let Some(mut gone) = from(mapping).filter(|from| !wanted.contains(from)) {
            gone.extend([0; 4]);
            nla::put(&mut option.value, code, &gone);
        }
    }
}

/// Everything but name, master and up.
fn attributes(have: &LinkState, want: &LinkState) -> Option<LinkChange> {
    let flag = |bit: u32| (have.flags & bit != want.flags & bit).then_some(want.flags & bit != 0);
    let mut options = written(&want.kind, differing(&have.options, &want.options));
    if want.kind == "vlan" {
        options.iter_mut().for_each(|option| forget_mappings(option, &have.options));
    }
    if !options.is_empty() && whole(&want.kind) {
        complete(&mut options, &want.options);
    }
    let six = |mac: &[u8]| mac.len() == MAC;
    let change = LinkChange {
        mtu: (have.mtu != want.mtu).then_some(want.mtu),
        mac: (have.mac != want.mac && six(&want.mac) && !none(&want.mac)).then(|| want.mac.clone()),
        broadcast: (have.broadcast != want.broadcast && six(&want.broadcast)).then(|| want.broadcast.clone()),
        alias: (have.alias != want.alias).then(|| want.alias.clone()),
        txqueuelen: (have.txqueuelen != want.txqueuelen).then_some(want.txqueuelen),
        group: (have.group != want.group).then_some(want.group),
        promisc: flag(IFF_PROMISC),
        allmulticast: flag(IFF_ALLMULTI),
        arp: flag(IFF_NOARP).map(|noarp| !noarp),
        multicast: flag(IFF_MULTICAST),
        dynamic: flag(IFF_DYNAMIC),
        addrgenmode: want.addrgenmode.filter(|m| have.addrgenmode != Some(*m)),
        kind: (!options.is_empty()).then(|| (want.kind.clone(), options)),
        ..LinkChange::default()
    };
    (!change.is_empty()).then_some(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> Ns {
        Ns { cookie: 1, name: "a".into() }
    }

    fn link(index: u32, name: &str) -> LinkState {
        LinkState { index, name: name.into(), kind: "veth".into(), mtu: 1500, ..LinkState::default() }
    }

    fn state(links: &[LinkState]) -> State {
        State { links: links.iter().map(|l| (l.index, l.clone())).collect(), ..State::default() }
    }

    #[test]
    fn equal_states_need_nothing() {
        let a = state(&[link(2, "x")]);
        for phase in [Phase::Links, Phase::Up, Phase::Records] {
            assert!(steps(&ns(), &a, &a, phase).is_empty());
        }
    }

    #[test]
    fn names_that_were_swapped_are_swapped_back() {
        let verbs =
            steps(&ns(), &state(&[link(2, "b"), link(3, "a")]), &state(&[link(2, "a"), link(3, "b")]), Phase::Links);
        let names: Vec<_> = verbs
            .iter()
            .filter_map(|v| match v {
                Verb::LinkSet { change, .. } => change.name.clone(),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["nss2", "nss3", "a", "b"]);
    }

    #[test]
    fn a_bridge_waits_for_its_ports() {
        let with = |mtu: u32| {
            let bridge = LinkState { kind: "bridge".into(), mtu, ..link(2, "br0") };
            state(&[bridge, LinkState { master: 2, mtu, ..link(3, "p1") }])
        };
        let set = |now: &State, target: &State| -> Vec<u32> {
            let index = |v: &Verb| matches!(v, Verb::LinkSet { change, .. } if change.mtu.is_some());
            let verbs = steps(&ns(), now, target, Phase::Links);
            let set = verbs.iter().filter(|v| index(v));
            set.filter_map(|v| if let Verb::LinkSet { link, .. } = v { Some(link.index) } else { None }).collect()
        };
        assert_eq!(set(&with(1280), &with(1500)), [3]);
        let mut followed_not = with(1500);
        if let Some(bridge) = followed_not.links.get_mut(&2) {
            bridge.mtu = 1280;
        }
        assert_eq!(set(&followed_not, &with(1500)), [2]);
    }

    #[test]
    fn mappings_of_a_vlan_that_came_are_taken_away() {
        let mapping = |all: &[(u32, u32)]| {
            let mut out = Vec::new();
            for (from, to) in all {
                nla::put(&mut out, 1, &[from.to_ne_bytes(), to.to_ne_bytes()].concat());
            }
            out
        };
        let vlan = |egress: &[(u32, u32)]| LinkState {
            kind: "vlan".into(),
            options: vec![(3, mapping(egress)), (4, Vec::new())],
            ..link(2, "x")
        };
        let change = attributes(&vlan(&[(1, 2), (3, 5)]), &vlan(&[(1, 4)])).and_then(|c| c.kind).map(|(_, o)| o);
        assert_eq!(change.map(|o| (o[0].code, o[0].value.clone(), o.len())), Some((3, mapping(&[(1, 4), (3, 0)]), 1)));
        let none = attributes(&vlan(&[(3, 5)]), &vlan(&[])).and_then(|c| c.kind).map(|(_, o)| o[0].value.clone());
        assert_eq!(none, Some(mapping(&[(3, 0)])));
    }

    #[test]
    fn a_pair_is_made_again_at_once() {
        let (mut a, mut b) = (link(2, "x"), link(3, "y"));
        (a.lower, b.lower) = (3, 2);
        let verbs = steps(&ns(), &State::default(), &state(&[a, b]), Phase::Links);
        assert!(matches!(&verbs[..], [Verb::LinkAdd { spec, .. }] if spec.peer.is_some()), "{verbs:?}");
    }
}

//! What the kernel shows, as maps with the keys that `ip -j` has: a key is there only where `ip` writes it.

use super::Place;
use crate::builtins::link::{kind::decode, port_table, table};
use crate::builtins::show::{FLAGS, operstate};
use crate::engine::value::{put, put_int};
use crate::plan::addr::{METRICS, STATES, proto_name, scope_name, type_name};
use crate::plan::link::mac_text;
use crate::plan::nexthop::{NHA_BLACKHOLE, NHA_FDB, NHA_GATEWAY, NHA_GROUP, NHA_ID, members, resilient};
use crate::plan::record::{
    AF_INET, IFA_ADDRESS, IFA_BROADCAST, IFA_CACHEINFO, IFA_LABEL, IFA_RT_PRIORITY, NDA_DST, NDA_LLADDR, NTF_PROXY,
    NTF_ROUTER, RTA_IIF, RTA_METRICS, RTA_NH_ID, RTA_OIF, RTA_PREF, RTA_PREFSRC, RTA_PRIORITY, RTA_SRC, RTNH_F_ONLINK,
    table_name,
};
use crate::plan::rule::{RuleSpec, action_name, ip_proto_name};
use crate::plan::{LinkInfo, Rec, nla};
use ipnet::IpNet;
use rhai::{Array, Dynamic, INT, Map};
use std::collections::HashMap;
use std::net::IpAddr;

/// The names of a namespace's links, read when first needed.
pub struct Names<'p> {
    place: &'p Place<'p>,
    all: std::cell::OnceCell<HashMap<u32, String>>,
}

impl<'p> Names<'p> {
    pub fn new(place: &'p Place<'p>) -> Names<'p> {
        Names { place, all: std::cell::OnceCell::new() }
    }

    pub fn get(&self, index: u32) -> String {
        let all = self.all.get_or_init(|| {
            let links = self.place.session.kernel().links(&self.place.ns, false).unwrap_or_default();
            links.into_iter().map(|l| (l.state.index, l.state.name)).collect()
        });
        all.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
    }
}

fn words(all: impl IntoIterator<Item = String>) -> Dynamic {
    all.into_iter().map(Dynamic::from).collect::<Array>().into()
}

fn flags(info: &LinkInfo) -> Dynamic {
    let (up, running) = (info.flags & 1 != 0, info.flags & 0x1_0000 != 0);
    let first = (up && !running && info.flags & 0x40 == 0).then(|| "NO-CARRIER".to_string());
    let named = FLAGS.iter().filter(|(bit, _)| info.flags & bit != 0).map(|(_, name)| (*name).to_string());
    words(first.into_iter().chain(named))
}

/// The words of an ARPHRD_… (include/uapi/linux/if_arp.h).
fn link_type(arphrd: u16) -> String {
    match arphrd {
        1 => "ether".into(),
        772 => "loopback".into(),
        768 => "ipip".into(),
        769 => "tunnel6".into(),
        776 => "sit".into(),
        778 => "gre".into(),
        823 => "gre6".into(),
        0xfffe => "none".into(),
        n => n.to_string(),
    }
}

fn link(info: &LinkInfo, names: &Names<'_>, details: bool, stats: bool) -> Map {
    let state = &info.state;
    let mut map = Map::new();
    put_int(&mut map, "ifindex", state.index);
    put(&mut map, "ifname", state.name.clone());
    if state.lower != 0 {
        match info.link_netnsid {
            Some(id) => {
                put_int(&mut map, "link_index", state.lower);
                put(&mut map, "link_netnsid", INT::from(id));
            }
            None => put(&mut map, "link", names.get(state.lower)),
        }
    }
    put(&mut map, "flags", flags(info));
    put_int(&mut map, "mtu", state.mtu);
    put(&mut map, "qdisc", info.qdisc.clone());
    if state.master != 0 {
        put(&mut map, "master", names.get(state.master));
    }
    put(&mut map, "operstate", operstate(info.operstate).to_string());
    put(&mut map, "group", if state.group == 0 { "default".to_string() } else { state.group.to_string() });
    if state.txqueuelen != 0 {
        put_int(&mut map, "txqlen", state.txqueuelen);
    }
    put(&mut map, "link_type", link_type(info.arphrd));
    if !state.mac.is_empty() {
        put(&mut map, "address", mac_text(&state.mac));
        put(&mut map, "broadcast", mac_text(&state.broadcast));
    }
    if !state.alias.is_empty() {
        put(&mut map, "ifalias", state.alias.clone());
    }
    if !state.altnames.is_empty() {
        put(&mut map, "altnames", words(state.altnames.iter().cloned()));
    }
    if details {
        put_int(&mut map, "promiscuity", info.promiscuity);
        put_int(&mut map, "min_mtu", info.min_mtu);
        put_int(&mut map, "max_mtu", info.max_mtu);
        if let Some(mode) = state.addrgenmode {
            let name = ["eui64", "none", "stable_secret", "random"].get(usize::from(mode)).copied().unwrap_or("eui64");
            put(&mut map, "inet6_addr_gen_mode", name.to_string());
        }
        put_int(&mut map, "num_tx_queues", state.tx_queues);
        put_int(&mut map, "num_rx_queues", state.rx_queues);
        let mut linkinfo = Map::new();
        if !state.kind.is_empty() {
            put(&mut linkinfo, "info_kind", state.kind.clone());
            put(&mut linkinfo, "info_data", by_words(table(&state.kind), &info.data, names));
        }
        if !state.port_kind.is_empty() {
            put(&mut linkinfo, "info_slave_kind", state.port_kind.clone());
            put(&mut linkinfo, "info_slave_data", by_words(port_table(&state.port_kind), &info.port_data, names));
        }
        if !linkinfo.is_empty() {
            put(&mut map, "linkinfo", linkinfo);
        }
    }
    if stats {
        put(&mut map, "stats64", counters(&info.stats));
    }
    map
}

/// A kind's data by the keywords of `ip link`.
fn by_words(table: &[crate::builtins::link::kind::Choice], data: &[u8], names: &Names<'_>) -> Map {
    let mut map = decode(table, data, &|index| names.get(index));
    for choice in table.iter().filter(|c| c.key != c.word) {
        if let Some(value) = map.remove(choice.key) {
            map.insert(choice.word.rsplit(' ').next().unwrap_or(choice.word).into(), value);
        }
    }
    map
}

/// `rtnl_link_stats64` (include/uapi/linux/if_link.h).
fn counters(stats: &[u64]) -> Map {
    let side = |keys: &[(&str, usize)]| {
        let mut map = Map::new();
        for (key, at) in keys {
            put_int(&mut map, key, stats.get(*at).copied().unwrap_or_default());
        }
        map
    };
    let mut map = Map::new();
    let rx = [("bytes", 2), ("packets", 0), ("errors", 4), ("dropped", 6), ("over_errors", 11), ("multicast", 8)];
    let tx = [("bytes", 3), ("packets", 1), ("errors", 5), ("dropped", 7), ("carrier_errors", 17), ("collisions", 9)];
    put(&mut map, "rx", side(&rx));
    put(&mut map, "tx", side(&tx));
    map
}

/// `ip -j link`.
pub fn links(place: &Place<'_>, all: &[LinkInfo], details: bool) -> Array {
    let names = Names::new(place);
    all.iter().map(|info| link(info, &names, details, place.options.stats > 0).into()).collect()
}

fn family(rec: &Rec) -> &'static str {
    if rec.family() == AF_INET { "inet" } else { "inet6" }
}

fn addr(rec: &Rec) -> Map {
    let mut map = Map::new();
    let flags = rec.addr_flags();
    let six = rec.family() != AF_INET;
    let local = rec.local();
    put(&mut map, "family", family(rec).to_string());
    put(&mut map, "local", local.map(|ip| ip.to_string()).unwrap_or_default());
    if let Some(peer) = rec.ip(IFA_ADDRESS).filter(|ip| Some(*ip) != local) {
        put(&mut map, "address", peer.to_string());
    }
    put_int(&mut map, "prefixlen", rec.byte(1));
    if let Some(metric) = rec.attr_u32(IFA_RT_PRIORITY) {
        put_int(&mut map, "metric", metric);
    }
    if let Some(ip) = rec.ip(IFA_BROADCAST) {
        put(&mut map, "broadcast", ip.to_string());
    }
    put(&mut map, "scope", scope_name(rec.byte(3)));
    for (bit, name) in [
        (0x01, if six { "temporary" } else { "secondary" }),
        (0x02, "nodad"),
        (0x04, "optimistic"),
        (0x08, "dadfailed"),
        (0x10, "home"),
        (0x20, "deprecated"),
        (0x40, "tentative"),
        (0x100, "mngtmpaddr"),
        (0x200, "noprefixroute"),
        (0x400, "autojoin"),
        (0x800, "stable-privacy"),
    ] {
        if flags & bit != 0 {
            put(&mut map, name, true);
        }
    }
    if flags & 0x80 == 0 {
        put(&mut map, "dynamic", true);
    }
    if let Some(label) = rec.attr(IFA_LABEL) {
        put(&mut map, "label", nla::text(label));
    }
    let life = |at: usize| rec.attr(IFA_CACHEINFO).and_then(|c| c.get(at..)).and_then(nla::u32_of).unwrap_or(u32::MAX);
    put_int(&mut map, "valid_life_time", life(4));
    put_int(&mut map, "preferred_life_time", life(0));
    map
}

/// `ip -j address`. Of one family only links that have an address are shown.
pub fn addrs(place: &Place<'_>, links: &[LinkInfo], recs: &[Rec], only: bool) -> Array {
    let names = Names::new(place);
    let mut out = Array::new();
    for info in links {
        let own: Array = recs
            .iter()
            .filter(|rec| rec.devices().first() == Some(&info.state.index))
            .map(|rec| addr(rec).into())
            .collect();
        if only && own.is_empty() {
            continue;
        }
        let mut map = link(info, &names, place.options.details, place.options.stats > 0);
        put(&mut map, "addr_info", own);
        out.push(map.into());
    }
    out
}

fn ip(map: &mut Map, key: &str, value: Option<IpAddr>) {
    if let Some(ip) = value {
        put(map, key, ip.to_string());
    }
}

fn via(map: &mut Map, rec_family: u8, gateway: Option<IpAddr>) {
    match gateway {
        Some(ip) if crate::plan::addr::family(ip) != rec_family => {
            let mut other = Map::new();
            put(&mut other, "family", if ip.is_ipv4() { "inet" } else { "inet6" });
            put(&mut other, "host", ip.to_string());
            put(map, "via", other);
        }
        gateway => ip(map, "gateway", gateway),
    }
}

/// `RTNH_F_…` (include/uapi/linux/rtnetlink.h).
fn hop_flags(flags: u8) -> Dynamic {
    const NAMES: &[(u8, &str)] =
        &[(1, "dead"), (RTNH_F_ONLINK, "onlink"), (2, "pervasive"), (8, "offload"), (16, "linkdown")];
    words(NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_string()))
}

/// `ip -j route`; with the table's name where several are shown.
pub fn routes(place: &Place<'_>, recs: &[Rec], tables: bool) -> Array {
    let names = Names::new(place);
    recs.iter().map(|rec| route(rec, &names, tables || place.options.details, place.options.details).into()).collect()
}

fn route(rec: &Rec, names: &Names<'_>, table: bool, details: bool) -> Map {
    let mut map = Map::new();
    let kind = rec.byte(7);
    if kind != 1 || details {
        put(&mut map, "type", type_name(kind));
    }
    put(&mut map, "dst", rec.destination());
    ip(&mut map, "from", rec.ip(RTA_SRC));
    if rec.byte(3) != 0 {
        put(&mut map, "tos", format!("{:#04x}", rec.byte(3)));
    }
    if let Some(id) = rec.attr_u32(RTA_NH_ID) {
        put_int(&mut map, "nhid", id);
    }
    via(&mut map, rec.family(), rec.gateway());
    if let Some(dev) = rec.attr_u32(RTA_OIF) {
        put(&mut map, "dev", names.get(dev));
    }
    if table && rec.table() != 254 {
        put(&mut map, "table", table_name(rec.table()));
    }
    let (proto, scope) = (rec.byte(5), rec.byte(6));
    if (proto != 3 || details) && proto != 0 {
        put(&mut map, "protocol", proto_name(proto));
    }
    if scope != 0 || details {
        put(&mut map, "scope", scope_name(scope));
    }
    ip(&mut map, "prefsrc", rec.ip(RTA_PREFSRC));
    if let Some(metric) = rec.attr_u32(RTA_PRIORITY) {
        put_int(&mut map, "metric", metric);
    }
    if let Some(iif) = rec.attr_u32(RTA_IIF) {
        put(&mut map, "iif", names.get(iif));
    }
    put(&mut map, "flags", hop_flags(rec.byte(8)));
    if let Some(nest) = rec.attr(RTA_METRICS) {
        let mut metrics = Map::new();
        for (code, value) in nla::attrs(nest) {
            if let Some((name, _)) = METRICS.iter().find(|(_, c)| *c == code) {
                put_int(&mut metrics, name, nla::number(value).unwrap_or_default());
            }
        }
        let all: Array = vec![metrics.into()];
        put(&mut map, "metrics", all);
    }
    let hops = rec.hops();
    if !hops.is_empty() {
        let all: Array = hops
            .iter()
            .map(|hop| {
                let mut map = Map::new();
                via(&mut map, rec.family(), hop.via);
                if hop.index != 0 {
                    put(&mut map, "dev", names.get(hop.index));
                }
                put_int(&mut map, "weight", hop.weight);
                put(&mut map, "flags", hop_flags(hop.flags));
                map.into()
            })
            .collect();
        put(&mut map, "nexthops", all);
    }
    if let Some(pref) = rec.attr(RTA_PREF).and_then(|v| v.first()) {
        put(
            &mut map,
            "pref",
            match pref {
                3 => "low",
                1 => "high",
                _ => "medium",
            },
        );
    }
    map
}

/// `ip -j neighbour`.
pub fn neighs(place: &Place<'_>, recs: &[Rec]) -> Array {
    let names = Names::new(place);
    recs.iter()
        .map(|rec| {
            let mut map = Map::new();
            let state = u16::from_ne_bytes([rec.byte(8), rec.byte(9)]);
            ip(&mut map, "dst", rec.ip(NDA_DST));
            let index = rec.devices().first().copied().unwrap_or_default();
            if index != 0 {
                put(&mut map, "dev", names.get(index));
            }
            if let Some(mac) = rec.attr(NDA_LLADDR) {
                put(&mut map, "lladdr", mac_text(mac));
            }
            for (bit, name) in [(NTF_ROUTER, "router"), (NTF_PROXY, "proxy")] {
                if rec.byte(10) & bit != 0 {
                    put(&mut map, name, Dynamic::UNIT);
                }
            }
            let states = STATES.iter().filter(|(bit, _)| state & bit != 0).map(|(_, name)| name.to_uppercase());
            put(&mut map, "state", words(states));
            map.into()
        })
        .collect()
}

/// One rule of `ip -j rule`.
pub fn rule(rec: &Rec, rule: &RuleSpec) -> Map {
    let mut map = Map::new();
    put_int(&mut map, "priority", rule.priority.unwrap_or_default());
    if rule.not {
        put(&mut map, "not", Dynamic::UNIT);
    }
    let net = |map: &mut Map, key: &str, net: Option<IpNet>| match net {
        Some(net) => {
            put(map, key, net.addr().to_string());
            if net.prefix_len() != net.max_prefix_len() {
                put_int(map, &format!("{key}len"), net.prefix_len());
            }
        }
        None if key == "src" => put(map, key, "all"),
        None => {}
    };
    net(&mut map, "src", rule.from);
    net(&mut map, "dst", rule.to);
    if rule.tos != 0 {
        put(&mut map, "tos", format!("{:#x}", rule.tos));
    }
    if let Some((mark, mask)) = rule.fwmark {
        put(&mut map, "fwmark", format!("{mark:#x}"));
        if let Some(mask) = mask {
            put(&mut map, "fwmask", format!("{mask:#x}"));
        }
    }
    for (key, dev) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if let Some(dev) = dev {
            put(&mut map, key, dev.clone());
        }
    }
    if rule.l3mdev {
        put(&mut map, "l3mdev", Dynamic::UNIT);
    }
    if let Some((from, to)) = rule.uidrange {
        put_int(&mut map, "uid_start", from);
        put_int(&mut map, "uid_end", to);
    }
    if let Some(proto) = rule.ipproto {
        put(&mut map, "ipproto", ip_proto_name(proto));
    }
    for (key, range) in [("sport", rule.sport), ("dport", rule.dport)] {
        match range {
            Some((from, to)) if from == to => put_int(&mut map, key, from),
            Some((from, to)) => {
                put_int(&mut map, &format!("{key}_start"), from);
                put_int(&mut map, &format!("{key}_end"), to);
            }
            None => {}
        }
    }
    if let Some(id) = rule.tun_id {
        put_int(&mut map, "tun_id", id);
    }
    if let Some(table) = rule.table {
        put(&mut map, "table", table_name(table));
    }
    if let Some(length) = rule.suppress_prefixlength {
        put_int(&mut map, "suppress_prefixlen", length);
    }
    if let Some(group) = rule.suppress_ifgroup {
        put(&mut map, "suppress_ifgroup", group.to_string());
    }
    match rec.byte(7) {
        1 => {}
        2 => put_int(&mut map, "goto", rule.goto.unwrap_or_default()),
        3 => put(&mut map, "nop", Dynamic::UNIT),
        action => put(&mut map, "action", action_name(action)),
    }
    if let Some(proto) = rule.proto.filter(|p| *p != 2) {
        put(&mut map, "protocol", proto_name(proto));
    }
    map
}

/// `ip -j nexthop`.
pub fn nexthops(place: &Place<'_>, recs: &[Rec]) -> Array {
    let names = Names::new(place);
    recs.iter()
        .map(|rec| {
            let mut map = Map::new();
            put_int(&mut map, "id", rec.attr_u32(NHA_ID).unwrap_or_default());
            if rec.attr(NHA_GROUP).is_some() {
                let all: Array = members(rec)
                    .into_iter()
                    .map(|(id, weight)| {
                        let mut map = Map::new();
                        put_int(&mut map, "id", id);
                        if weight != 1 {
                            put_int(&mut map, "weight", weight);
                        }
                        map.into()
                    })
                    .collect();
                put(&mut map, "group", all);
                if let Some((buckets, idle, unbalanced)) = resilient(rec) {
                    put(&mut map, "type", "resilient");
                    let mut args = Map::new();
                    put_int(&mut args, "buckets", buckets);
                    put(&mut args, "idle_timer", f64::from(idle) / 100.0);
                    put(&mut args, "unbalanced_timer", f64::from(unbalanced) / 100.0);
                    put(&mut map, "resilient_args", args);
                }
            }
            ip(&mut map, "gateway", rec.ip(NHA_GATEWAY));
            if let Some(dev) = rec.devices().first() {
                put(&mut map, "dev", names.get(*dev));
            }
            if rec.byte(1) != 0 {
                put(&mut map, "scope", scope_name(rec.byte(1)));
            }
            for (code, key) in [(NHA_BLACKHOLE, "blackhole"), (NHA_FDB, "fdb")] {
                if rec.attr(code).is_some() {
                    put(&mut map, key, Dynamic::UNIT);
                }
            }
            if rec.byte(2) != 0 {
                put(&mut map, "protocol", proto_name(rec.byte(2)));
            }
            put(&mut map, "flags", hop_flags(rec.byte(4)));
            map.into()
        })
        .collect()
}

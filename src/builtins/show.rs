//! What the kernel shows, as maps for scripts. All keys of a map are always there.

use super::link::KINDS;
use super::link::kind::decode;
use super::route::encap;
use super::route::table::Tables;
use crate::engine::Session;
use crate::engine::value::{self, Device, LinkHandle, put, put_int};
use crate::kernel::By;
use crate::plan::addr::{
    METRICS, RTAX_CC_ALGO, RTAX_FEATURES, RTAX_LOCK, RTAX_RTO_MIN, RTAX_RTT, RTAX_RTTVAR, neigh_state_name, proto_name,
    scope_name, type_name,
};
use crate::plan::encap::{Encap, labels};
use crate::plan::link::mac_text;
use crate::plan::record::{
    FOREVER, IFA_BROADCAST, IFA_CACHEINFO, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_PERMANENT, IFA_F_TENTATIVE,
    IFA_LABEL, NDA_DST, NDA_LLADDR, NTF_PROXY, NTF_ROUTER, RTA_ENCAP, RTA_ENCAP_TYPE, RTA_METRICS, RTA_NEWDST,
    RTA_PREFSRC, RTA_PRIORITY, RTNH_F_ONLINK,
};
use crate::plan::{Error, Kind, LinkInfo, Ns, Rec, Result, What, nla};
use rhai::{Array, Dynamic, INT, Map};
use std::collections::HashMap;

/// The names of a namespace's links by index, read when first needed.
pub struct Names<'s> {
    session: &'s Session,
    ns: Ns,
    all: std::cell::OnceCell<HashMap<u32, String>>,
}

impl<'s> Names<'s> {
    pub fn new(session: &'s Session, ns: &Ns) -> Names<'s> {
        Names { session, ns: ns.clone(), all: std::cell::OnceCell::new() }
    }

    /// With the links read already.
    fn of(session: &'s Session, ns: &Ns, links: &[LinkInfo]) -> Names<'s> {
        let all: HashMap<u32, String> = links.iter().map(|l| (l.state.index, l.state.name.clone())).collect();
        Names { session, ns: ns.clone(), all: std::cell::OnceCell::from(all) }
    }

    /// The name, or `if7` for a link of another namespace.
    pub fn get(&self, index: u32) -> String {
        let all = self.all.get_or_init(|| {
            let links = self.session.kernel().links(&self.ns, false).unwrap_or_default();
            links.into_iter().map(|l| (l.state.index, l.state.name)).collect()
        });
        all.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
    }
}

/// The namespace of a list function's argument, and the device where it names one: a namespace, a link, or `"ns:dev"`.
pub fn place(session: &Session, value: &Dynamic) -> Result<(Ns, Option<u32>)> {
    let of_device = value.clone().try_cast::<LinkHandle>().is_some()
        || (value.is_string() && value::text(value, "a namespace")?.contains(':'));
    if of_device {
        let device = value::device(session, None, value)?;
        return Ok((device.ns, Some(device.link.index)));
    }
    Ok((value::ns(session, value)?, None))
}

/// RFC 2863, as `ip link` writes it.
pub fn operstate(state: u8) -> &'static str {
    ["UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"]
        .get(usize::from(state))
        .copied()
        .unwrap_or("UNKNOWN")
}

/// `IFF_…` as `ip link` writes them.
pub const FLAGS: &[(u32, &str)] = &[
    (1 << 3, "LOOPBACK"),
    (1 << 1, "BROADCAST"),
    (1 << 4, "POINTOPOINT"),
    (1 << 12, "MULTICAST"),
    (1 << 7, "NOARP"),
    (1 << 9, "ALLMULTI"),
    (1 << 8, "PROMISC"),
    (1 << 10, "MASTER"),
    (1 << 11, "SLAVE"),
    (1 << 2, "DEBUG"),
    (1 << 15, "DYNAMIC"),
    (1 << 14, "AUTOMEDIA"),
    (1 << 13, "PORTSEL"),
    (1 << 5, "NOTRAILERS"),
    (1, "UP"),
    (1 << 16, "LOWER_UP"),
    (1 << 17, "DORMANT"),
    (1 << 18, "ECHO"),
];

/// `rtnl_link_stats64` (include/uapi/linux/if_link.h).
const STATS: &[&str] = &[
    "rx_packets",
    "tx_packets",
    "rx_bytes",
    "tx_bytes",
    "rx_errors",
    "tx_errors",
    "rx_dropped",
    "tx_dropped",
    "multicast",
    "collisions",
];

const GEN_MODES: &[&str] = &["eui64", "none", "stable_secret", "random"];

fn or_unit(text: String) -> Dynamic {
    if text.is_empty() { Dynamic::UNIT } else { text.into() }
}

fn words(all: impl Iterator<Item = String>) -> Dynamic {
    all.map(Dynamic::from).collect::<Array>().into()
}

/// A link as a map.
fn link_map(info: &LinkInfo, names: &Names<'_>) -> Map {
    let state = &info.state;
    let mut map = Map::new();
    let named = |index: u32| if index == 0 { Dynamic::UNIT } else { names.get(index).into() };
    put(&mut map, "name", state.name.clone());
    put_int(&mut map, "index", state.index);
    put(&mut map, "kind", state.kind.clone());
    put(&mut map, "up", state.up);
    put(&mut map, "state", operstate(info.operstate).to_string());
    put(&mut map, "carrier", info.carrier);
    put_int(&mut map, "mtu", state.mtu);
    put(&mut map, "mac", mac_text(&state.mac));
    put(&mut map, "broadcast", mac_text(&state.broadcast));
    put(&mut map, "flags", words(FLAGS.iter().filter(|(bit, _)| info.flags & bit != 0).map(|(_, n)| (*n).into())));
    put(&mut map, "master", named(state.master));
    let lower = match info.link_netnsid {
        Some(_) if state.lower != 0 => format!("if{}", state.lower).into(),
        _ => named(state.lower),
    };
    put(&mut map, "lower", lower);
    put(&mut map, "lower_nsid", info.link_netnsid.map_or(Dynamic::UNIT, |id| INT::from(id).into()));
    put(&mut map, "qdisc", info.qdisc.clone());
    put_int(&mut map, "txqueuelen", state.txqueuelen);
    put_int(&mut map, "group", state.group);
    put(&mut map, "alias", or_unit(state.alias.clone()));
    put(&mut map, "altnames", words(state.altnames.iter().cloned()));
    put_int(&mut map, "promiscuity", info.promiscuity);
    put_int(&mut map, "min_mtu", info.min_mtu);
    put_int(&mut map, "max_mtu", info.max_mtu);
    put_int(&mut map, "tx_queues", state.tx_queues);
    put_int(&mut map, "rx_queues", state.rx_queues);
    let mode = state.addrgenmode.and_then(|m| GEN_MODES.get(usize::from(m)));
    put(&mut map, "addrgenmode", mode.map_or(Dynamic::UNIT, |m| (*m).to_string().into()));
    let tables = |kind: &str| KINDS.iter().find(|(name, _, _)| *name == kind);
    // Of a link in another namespace only the index is known.
    let named = |index: u32| if info.link_netnsid.is_some() { format!("if{index}") } else { names.get(index) };
    put(&mut map, "data", tables(&state.kind).map(|t| decode(t.1, &info.data, &named)).unwrap_or_default());
    let named = |index: u32| names.get(index);
    put(&mut map, "port", tables(&state.port_kind).map(|t| decode(t.2, &info.port_data, &named)).unwrap_or_default());
    map
}

/// A link as a map, with what other parts of the kernel know of it.
fn whole(session: &Session, ns: &Ns, info: &LinkInfo, names: &Names<'_>) -> Result<Map> {
    let mut map = link_map(info, names);
    if info.state.kind == "wireguard" {
        put(&mut map, "data", super::link::wireguard::shown(session, ns, info.state.index)?);
    }
    Ok(map)
}

/// The links of a namespace, or one of them.
pub fn links(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let all = session.kernel().links(ns, false)?;
    let names = Names::of(session, ns, &all);
    all.iter()
        .filter(|l| only.is_none_or(|only| only == l.state.index))
        .map(|l| Ok(whole(session, ns, l, &names)?.into()))
        .collect()
}

/// One link with its counters.
pub fn link(session: &Session, device: &Device) -> Result<Map> {
    let all = session.kernel().links(&device.ns, true)?;
    let info = all
        .iter()
        .find(|l| l.state.index == device.link.index)
        .ok_or_else(|| Error::internal("a link vanished while it was looked at"))?;
    let mut map = whole(session, &device.ns, info, &Names::of(session, &device.ns, &all))?;
    let mut stats = Map::new();
    for (at, name) in STATS.iter().enumerate() {
        put_int(&mut stats, name, info.stats.get(at).copied().unwrap_or_default());
    }
    put(&mut map, "stats", stats);
    Ok(map)
}

/// The other end of a veth.
pub fn peer(session: &Session, link: &LinkHandle) -> Result<LinkHandle> {
    if let Some(peer) = &link.peer {
        return Ok((**peer).clone());
    }
    let device = value::device(session, None, &Dynamic::from(link.clone()))?;
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    let info = info.ok_or_else(|| Error::internal("a link vanished while it was looked at"))?;
    if info.state.kind != "veth" {
        return Err(Error::invalid(format!("`{}` is no veth: it has no other end", device.link.name)));
    }
    let ns = crate::txn::peer_ns(session.kernel(), &device.ns, &info)?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("the other end of `{}` is in a namespace without a name", device.link.name))
            .with_hint("netns_attach gives it one")
    })?;
    Ok(LinkHandle { ns, index: info.state.lower, peer: Some(Box::new(device.handle())) })
}

pub fn family(rec: &Rec) -> String {
    match rec.family() {
        crate::plan::record::AF_INET => "inet".into(),
        crate::plan::record::AF_MPLS => "mpls".into(),
        _ => "inet6".into(),
    }
}

/// The bodies of a table's dump, as records that keep all that is momentary.
pub fn raw(session: &Session, ns: &Ns, what: What) -> Result<Vec<Rec>> {
    let all = session.kernel().dump(ns, what)?;
    Ok(all.into_iter().map(|body| Rec { what, body, ends: None }).collect())
}

pub fn ip_or_unit(ip: Option<std::net::IpAddr>) -> Dynamic {
    ip.map_or(Dynamic::UNIT, |ip| ip.to_string().into())
}

/// The addresses of a namespace, or of one link.
pub fn addrs(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let mut out = Array::new();
    for rec in raw(session, ns, What::Addr)? {
        let index = rec.devices().first().copied().unwrap_or_default();
        if only.is_some_and(|only| only != index) {
            continue;
        }
        let (local, length) = (rec.local(), rec.byte(1));
        let shown = rec.ip(crate::plan::record::IFA_ADDRESS);
        let flags = rec.addr_flags();
        let six = rec.family() == crate::plan::record::AF_INET6;
        let life = |at: usize| {
            let life = rec.attr(IFA_CACHEINFO).and_then(|c| c.get(at..)).and_then(nla::u32_of);
            life.filter(|l| *l != FOREVER).map_or(Dynamic::UNIT, |l| INT::from(l).into())
        };
        let mut map = Map::new();
        put(&mut map, "dev", names.get(index));
        put_int(&mut map, "index", index);
        put(&mut map, "family", family(&rec));
        let ip = local.map(|ip| ip.to_string()).unwrap_or_default();
        put(&mut map, "cidr", format!("{ip}/{length}"));
        put(&mut map, "local", ip);
        put_int(&mut map, "prefixlen", length);
        put(&mut map, "peer", ip_or_unit(shown.filter(|ip| Some(*ip) != local)));
        put(&mut map, "broadcast", ip_or_unit(rec.ip(IFA_BROADCAST)));
        put(&mut map, "scope", scope_name(rec.byte(3)));
        put(&mut map, "label", rec.attr(IFA_LABEL).map_or(Dynamic::UNIT, |l| nla::text(l).into()));
        put(&mut map, "secondary", !six && flags & 1 != 0);
        put(&mut map, "temporary", six && flags & 1 != 0);
        put(&mut map, "permanent", flags & IFA_F_PERMANENT != 0);
        put(&mut map, "tentative", flags & IFA_F_TENTATIVE != 0);
        put(&mut map, "dadfailed", flags & IFA_F_DADFAILED != 0);
        put(&mut map, "deprecated", flags & IFA_F_DEPRECATED != 0);
        put(&mut map, "nodad", flags & crate::plan::record::IFA_F_NODAD != 0);
        put(&mut map, "noprefixroute", flags & crate::plan::record::IFA_F_NOPREFIXROUTE != 0);
        put(&mut map, "valid", life(4));
        put(&mut map, "preferred", life(0));
        out.push(map.into());
    }
    Ok(out)
}

/// A route as a map.
pub fn route_map(rec: &Rec, names: &Names<'_>, tables: &Tables) -> Map {
    let mut map = Map::new();
    let number = |code: u16| rec.attr_u32(code).map_or(Dynamic::UNIT, |n| INT::from(n).into());
    let dev = rec.attr_u32(crate::plan::record::RTA_OIF);
    put(&mut map, "family", family(rec));
    put(&mut map, "dst", rec.destination());
    put(&mut map, "type", type_name(rec.byte(7)));
    put(&mut map, "via", ip_or_unit(rec.gateway()));
    put(&mut map, "dev", dev.map_or(Dynamic::UNIT, |index| names.get(index).into()));
    put(&mut map, "src", ip_or_unit(rec.ip(RTA_PREFSRC)));
    put(&mut map, "metric", number(RTA_PRIORITY));
    put(&mut map, "table", tables.name(rec.table()));
    put(&mut map, "proto", proto_name(rec.byte(5)));
    put(&mut map, "scope", scope_name(rec.byte(6)));
    put_int(&mut map, "tos", rec.byte(3));
    let flags = rec.byte(8);
    put(&mut map, "onlink", flags & RTNH_F_ONLINK != 0);
    put(&mut map, "linkdown", flags & 16 != 0);
    put(&mut map, "nhid", number(crate::plan::record::RTA_NH_ID));
    put(&mut map, "expires", rec.expires().map_or(Dynamic::UNIT, |n| INT::from(n).into()));
    let mut metrics = Map::new();
    if let Some(nest) = rec.attr(RTA_METRICS) {
        for (code, value) in nla::attrs(nest) {
            let number = nla::number(value).unwrap_or_default();
            let ms = |parts: f64| f64::from(u32::try_from(number).unwrap_or(u32::MAX)) / parts;
            let Some((name, _)) = METRICS.iter().find(|(_, c)| *c == code) else {
                if code == RTAX_CC_ALGO {
                    put(&mut metrics, "congctl", nla::text(value));
                }
                continue;
            };
            match code {
                RTAX_RTT => put(&mut metrics, name, ms(8.0)),
                RTAX_RTTVAR => put(&mut metrics, name, ms(4.0)),
                RTAX_RTO_MIN => put(&mut metrics, name, ms(1.0)),
                RTAX_FEATURES => put(&mut metrics, name, if number & 1 != 0 { "ecn" } else { "" }.to_string()),
                _ => put_int(&mut metrics, name, number),
            }
        }
    }
    let locked = rec.attr(RTA_METRICS).and_then(|n| nla::attr(n, RTAX_LOCK)).and_then(nla::u32_of).unwrap_or_default();
    let named = METRICS.iter().chain([&("congctl", RTAX_CC_ALGO)]);
    let locked = named.filter(|(_, code)| locked & (1 << code) != 0).map(|(name, _)| (*name).to_string());
    put(&mut map, "locked", words(locked));
    put(
        &mut map,
        "encap",
        encap::show(Encap::read(rec.attr(RTA_ENCAP_TYPE), rec.attr(RTA_ENCAP)).as_ref(), |i| names.get(i)),
    );
    put(&mut map, "swap", encap::labels_array(&labels(rec.attr(RTA_NEWDST).unwrap_or_default())));
    put(&mut map, "mtu", metrics.get("mtu").cloned().unwrap_or(Dynamic::UNIT));
    put(&mut map, "metrics", metrics);
    let hops: Array = rec
        .hops()
        .iter()
        .map(|hop| {
            let mut map = Map::new();
            put(&mut map, "via", ip_or_unit(hop.via));
            put(&mut map, "dev", names.get(hop.index));
            put_int(&mut map, "weight", hop.weight);
            put(&mut map, "onlink", hop.flags & RTNH_F_ONLINK != 0);
            map.into()
        })
        .collect();
    put(&mut map, "nexthops", hops);
    map
}

/// The routes of a namespace: of one table or of all, and of one link where asked for.
pub fn routes(session: &Session, ns: &Ns, only: Option<u32>, table: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let tables = Tables::read();
    let all = raw(session, ns, What::Route)?;
    Ok(all
        .iter()
        .filter(|r| u32::from_ne_bytes([r.byte(8), r.byte(9), r.byte(10), r.byte(11)]) & 0x200 == 0)
        .filter(|r| table.is_none_or(|t| t == r.table()))
        .filter(|r| only.is_none_or(|only| r.devices().contains(&only)))
        .map(|r| route_map(r, &names, &tables).into())
        .collect())
}

/// The neighbours of a namespace, or of one link.
pub fn neighs(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let mut out = Array::new();
    for rec in raw(session, ns, What::Neigh)? {
        let index = rec.devices().first().copied().unwrap_or_default();
        let state = u16::from_ne_bytes([rec.byte(8), rec.byte(9)]);
        // Those of the kernel's own for multicast and the loopback (NUD_NOARP) are left out, as `ip neigh` does.
        let proxy = rec.byte(10) & NTF_PROXY != 0;
        let shown = rec.family() == crate::plan::record::AF_INET || rec.family() == crate::plan::record::AF_INET6;
        if !shown || only.is_some_and(|only| only != index) || (!proxy && (state == 0x40 || state == 0)) {
            continue;
        }
        let mut map = Map::new();
        put(&mut map, "family", family(&rec));
        put(&mut map, "dst", ip_or_unit(rec.ip(NDA_DST)));
        put(&mut map, "dev", names.get(index));
        put(&mut map, "lladdr", rec.attr(NDA_LLADDR).map_or(Dynamic::UNIT, |m| mac_text(m).into()));
        put(&mut map, "state", neigh_state_name(state).to_string());
        put(&mut map, "proxy", proxy);
        put(&mut map, "router", rec.byte(10) & NTF_ROUTER != 0);
        out.push(map.into());
    }
    Ok(out)
}

//! Addresses, routes and neighbours as scripts ask for them, and the records that they become.

use super::encap::{Encap, labels_text, stack};
use super::error::{Error, Result};
use super::link::KindOption;
use super::nla;
use super::record::{
    AF_INET, AF_INET6, AF_MPLS, IFA_ADDRESS, IFA_BROADCAST, IFA_FLAGS, IFA_LABEL, IFA_LOCAL, IFA_RT_PRIORITY, NDA_DST,
    NDA_LLADDR, NTF_PROXY, NTF_ROUTER, RTA_DST, RTA_GATEWAY, RTA_METRICS, RTA_MULTIPATH, RTA_NEWDST, RTA_OIF, RTA_PREF,
    RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTA_VIA, RTNH_F_ONLINK, Rec, TICKS, What, table_name,
};
use super::{ip, link};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of an address.
#[must_use]
pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// `AF_INET` or `AF_INET6`.
#[must_use]
pub fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// Reads an address.
///
/// # Errors
/// `invalid`, showing what was written.
pub fn parse_ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| {
        let error = Error::invalid(format!("`{text}` is not an IP address")).with_target(text);
        if text.contains('/') {
            error.with_hint("without a prefix length here")
        } else {
            error.with_hint("for example 10.0.0.1 or fd00::1; names are not looked up")
        }
    })
}

/// Reads `address/length`. Without a length it is the address alone, as `ip` takes it.
///
/// # Errors
/// `invalid`, showing what was written.
pub fn parse_cidr(text: &str) -> Result<IpNet> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(net);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let error = Error::invalid(format!("`{text}` is not an address with a prefix length")).with_target(text);
    Err(match text.split_once('/') {
        Some((ip, len)) if ip.parse::<Ipv4Addr>().is_ok() => {
            error.with_hint(format!("the length must be 0 to 32, not `{len}`"))
        }
        Some((ip, len)) if ip.parse::<Ipv6Addr>().is_ok() => {
            error.with_hint(format!("the length must be 0 to 128, not `{len}`"))
        }
        _ => error.with_hint("for example 10.0.0.1/24 or fd00::1/64"),
    })
}

/// An address to be given to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrSpec {
    pub net: IpNet,
    pub peer: Option<IpNet>,
    pub broadcast: Option<IpAddr>,
    /// `rtm_scope`; `None`: host for 127.0.0.0/8, else global.
    pub scope: Option<u8>,
    pub label: Option<String>,
    /// `IFA_F_…` that are set by hand.
    pub flags: u32,
    pub metric: Option<u32>,
    /// Seconds from now (valid, preferred).
    pub lives: Option<(u32, u32)>,
}

impl AddrSpec {
    #[must_use]
    pub fn new(net: IpNet) -> AddrSpec {
        AddrSpec { net, peer: None, broadcast: None, scope: None, label: None, flags: 0, metric: None, lives: None }
    }

    /// The record on link `index`; `now` is seconds since boot.
    #[must_use]
    pub fn record(&self, index: u32, now: u64) -> Rec {
        let local = self.net.addr();
        let shown = self.peer.unwrap_or(self.net);
        let scope = self.scope.unwrap_or(match local {
            IpAddr::V4(ip) if ip.is_loopback() => 254,
            _ => 0,
        });
        let mut body = vec![family(local), shown.prefix_len(), (self.flags & 0xff) as u8, scope];
        body.extend_from_slice(&index.to_ne_bytes());
        nla::put(&mut body, IFA_LOCAL, &octets(local));
        nla::put(&mut body, IFA_ADDRESS, &octets(shown.addr()));
        if let Some(ip) = self.broadcast {
            nla::put(&mut body, IFA_BROADCAST, &octets(ip));
        }
        if let Some(label) = &self.label {
            let mut bytes = label.as_bytes().to_vec();
            bytes.push(0);
            nla::put(&mut body, IFA_LABEL, &bytes);
        }
        if self.flags > 0xff {
            nla::put(&mut body, IFA_FLAGS, &self.flags.to_ne_bytes());
        }
        if let Some(metric) = self.metric {
            nla::put(&mut body, IFA_RT_PRIORITY, &metric.to_ne_bytes());
        }
        let end = |life: u32| if life == u32::MAX { u64::MAX } else { now + u64::from(life) * TICKS };
        Rec { what: What::Addr, body, ends: self.lives.map(|(valid, preferred)| (end(valid), end(preferred))) }
    }

    /// What follows `ip addr add`.
    #[must_use]
    pub fn words(&self, dev: &str) -> String {
        let mut out = match self.peer {
            Some(peer) => format!("{} peer {peer}", self.net.addr()),
            None => self.net.to_string(),
        };
        if let Some(ip) = self.broadcast {
            out += &format!(" broadcast {ip}");
        }
        if let Some(scope) = self.scope {
            out += &format!(" scope {}", scope_name(scope));
        }
        if let Some(label) = &self.label {
            out += &format!(" label {}", ip::word(label));
        }
        out += &format!(" dev {}", ip::word(dev));
        if let Some((valid, preferred)) = self.lives {
            let text = |life: u32| if life == u32::MAX { "forever".into() } else { life.to_string() };
            out += &format!(" valid_lft {} preferred_lft {}", text(valid), text(preferred));
        }
        for (bit, word) in [(0x02, "nodad"), (0x10, "home"), (0x100, "mngtmpaddr"), (0x200, "noprefixroute")] {
            if self.flags & bit != 0 {
                out += &format!(" {word}");
            }
        }
        if let Some(metric) = self.metric {
            out += &format!(" metric {metric}");
        }
        out
    }
}

/// `rtm_scope` by name (`/etc/iproute2/rt_scopes`).
#[must_use]
pub fn scope_of(name: &str) -> Option<u8> {
    Some(match name {
        "global" | "universe" => 0,
        "site" => 200,
        "link" => 253,
        "host" => 254,
        "nowhere" => 255,
        n => return n.parse().ok(),
    })
}

#[must_use]
pub fn scope_name(scope: u8) -> String {
    match scope {
        0 => "global".into(),
        200 => "site".into(),
        253 => "link".into(),
        254 => "host".into(),
        255 => "nowhere".into(),
        n => n.to_string(),
    }
}

/// `rtm_protocol` by name (`/etc/iproute2/rt_protos`).
#[must_use]
pub fn proto_of(name: &str) -> Option<u8> {
    PROTOS.iter().find(|(_, n)| *n == name).map(|(p, _)| *p).or_else(|| name.parse().ok())
}

#[must_use]
pub fn proto_name(proto: u8) -> String {
    PROTOS.iter().find(|(p, _)| *p == proto).map_or_else(|| proto.to_string(), |(_, n)| (*n).to_string())
}

const PROTOS: &[(u8, &str)] = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// `rtm_type` by name.
const TYPES: &[(u8, &str)] = &[
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
    (9, "throw"),
    (10, "nat"),
];

#[must_use]
pub fn type_of(name: &str) -> Option<u8> {
    TYPES.iter().find(|(_, n)| *n == name).map(|(t, _)| *t)
}

#[must_use]
pub fn type_name(kind: u8) -> String {
    TYPES.iter().find(|(t, _)| *t == kind).map_or_else(|| kind.to_string(), |(_, n)| (*n).to_string())
}

/// A routing table by name or number.
#[must_use]
pub fn table_of(name: &str) -> Option<u32> {
    Some(match name {
        "main" => 254,
        "local" => 255,
        "default" => 253,
        n => n.parse().ok()?,
    })
}

/// The metrics of a route that can be given (`RTAX_…`, include/uapi/linux/rtnetlink.h), by the names that `ip` uses.
pub const METRICS: &[(&str, u16)] = &[
    ("mtu", 2),
    ("window", 3),
    ("rtt", 4),
    ("rttvar", 5),
    ("ssthresh", 6),
    ("cwnd", 7),
    ("advmss", 8),
    ("reordering", 9),
    ("hoplimit", 10),
    ("initcwnd", 11),
    ("features", 12),
    ("rto_min", 13),
    ("initrwnd", 14),
    ("quickack", 15),
    ("fastopen_no_cookie", 17),
];

/// `RTAX_LOCK`: which metrics are locked.
pub const RTAX_LOCK: u16 = 1;
pub const RTAX_RTT: u16 = 4;
pub const RTAX_RTTVAR: u16 = 5;
/// Bit 0: ECN.
pub const RTAX_FEATURES: u16 = 12;
/// Milliseconds; the rtt is in eighths, its variance in quarters of them.
pub const RTAX_RTO_MIN: u16 = 13;
pub const RTAX_CC_ALGO: u16 = 16;

/// One next hop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HopSpec {
    pub via: Option<IpAddr>,
    /// ifindex and name.
    pub dev: Option<(u32, String)>,
    /// From 1 to 256.
    pub weight: u32,
    pub onlink: bool,
}

/// A route to be added or deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// `None`: default.
    pub dst: Option<IpNet>,
    pub via: Option<IpAddr>,
    pub dev: Option<(u32, String)>,
    pub metric: Option<u32>,
    pub table: Option<u32>,
    pub src: Option<IpAddr>,
    pub scope: Option<u8>,
    pub proto: Option<u8>,
    /// `rtm_type`; `None`: unicast.
    pub kind: Option<u8>,
    pub tos: u8,
    pub onlink: bool,
    pub metrics: Vec<(u16, u32)>,
    pub hops: Vec<HopSpec>,
    /// low 3, medium 0, high 1 (RFC 4191).
    pub pref: Option<u8>,
    pub nhid: Option<u32>,
    pub encap: Option<Encap>,
    /// The congestion control of TCP (`RTAX_CC_ALGO`).
    pub congctl: Option<String>,
    /// The label of a route of MPLS (family 28), which has no `dst`.
    pub label: Option<u32>,
    /// The labels that take its place; none: it is popped.
    pub swap: Vec<u32>,
    /// Further attributes, with the words of `ip route` for them.
    pub more: Vec<KindOption>,
}

impl RouteSpec {
    /// A route of MPLS: the kernel takes nothing but what is here (rtm_to_route_config, net/mpls/af_mpls.c).
    fn mpls(&self, label: u32) -> Rec {
        let mut body = vec![AF_MPLS, 20, 0, 0, 254, self.proto.unwrap_or(3), 0, 1, 0, 0, 0, 0];
        nla::put(&mut body, RTA_DST, &stack(&[label]));
        if !self.swap.is_empty() {
            nla::put(&mut body, RTA_NEWDST, &stack(&self.swap));
        }
        if let Some(via) = self.via {
            put_gateway(&mut body, AF_MPLS, via);
        }
        if let Some((index, _)) = self.dev {
            nla::put(&mut body, RTA_OIF, &index.to_ne_bytes());
        }
        Rec { what: What::Route, body, ends: None }
    }

    /// The record for adding; `deleting` leaves open what was not given, as `ip route del` does.
    #[must_use]
    pub fn record(&self, deleting: bool) -> Rec {
        if let Some(label) = self.label {
            return self.mpls(label);
        }
        let table = self.table.unwrap_or(254);
        let kind = self.kind.unwrap_or(if deleting { 0 } else { 1 });
        let proto = self.proto.unwrap_or(if deleting { 0 } else { 3 });
        let gatewayed = self.via.is_some() || self.hops.iter().any(|h| h.via.is_some()) || self.nhid.is_some();
        let scope = self.scope.unwrap_or(match kind {
            _ if self.family == AF_INET6 => 0,
            _ if deleting => 255,
            2 | 10 => 254,
            3..=5 => 253,
            1 if !gatewayed && self.hops.is_empty() => 253,
            _ => 0,
        });
        let length = self.dst.map_or(0, |d| d.prefix_len());
        let small = u8::try_from(table).unwrap_or(0);
        let flags = if self.onlink { u32::from(RTNH_F_ONLINK) } else { 0 };
        let mut body = vec![self.family, length, 0, self.tos, small, proto, scope, kind];
        body.extend_from_slice(&flags.to_ne_bytes());
        if let Some(dst) = self.dst {
            nla::put(&mut body, RTA_DST, &octets(dst.network()));
        }
        nla::put(&mut body, RTA_TABLE, &table.to_ne_bytes());
        if let Some(via) = self.via {
            put_gateway(&mut body, self.family, via);
        }
        if let Some((index, _)) = self.dev {
            nla::put(&mut body, RTA_OIF, &index.to_ne_bytes());
        }
        if let Some(metric) = self.metric {
            nla::put(&mut body, RTA_PRIORITY, &metric.to_ne_bytes());
        }
        if let Some(src) = self.src {
            nla::put(&mut body, RTA_PREFSRC, &octets(src));
        }
        if !self.metrics.is_empty() || self.congctl.is_some() {
            nla::nest(&mut body, RTA_METRICS, |out| {
                if let Some(name) = &self.congctl {
                    let mut bytes = name.as_bytes().to_vec();
                    bytes.push(0);
                    nla::put(out, RTAX_CC_ALGO, &bytes);
                }
                for (code, value) in &self.metrics {
                    nla::put(out, *code, &value.to_ne_bytes());
                }
            });
        }
        if let Some(pref) = self.pref {
            nla::put(&mut body, RTA_PREF, &[pref]);
        }
        if let Some(id) = self.nhid {
            nla::put(&mut body, super::record::RTA_NH_ID, &id.to_ne_bytes());
        }
        if let Some(encap) = &self.encap {
            encap.put(&mut body, super::record::RTA_ENCAP_TYPE, super::record::RTA_ENCAP);
        }
        for option in &self.more {
            nla::put(&mut body, option.code, &option.value);
        }
        if !self.hops.is_empty() {
            let mut all = Vec::new();
            for hop in &self.hops {
                let mut attrs = Vec::new();
                if let Some(via) = hop.via {
                    put_gateway(&mut attrs, self.family, via);
                }
                // struct rtnexthop: length, flags, weight - 1, ifindex
                let len = u16::try_from(8 + attrs.len()).unwrap_or(u16::MAX);
                all.extend_from_slice(&len.to_ne_bytes());
                all.push(if hop.onlink { RTNH_F_ONLINK } else { 0 });
                all.push(u8::try_from(hop.weight.clamp(1, 256) - 1).unwrap_or(0));
                all.extend_from_slice(&hop.dev.as_ref().map_or(0, |d| d.0).to_ne_bytes());
                all.extend_from_slice(&attrs);
            }
            nla::put(&mut body, RTA_MULTIPATH, &all);
        }
        Rec { what: What::Route, body, ends: None }
    }

    /// What follows `ip route add`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut out = String::new();
        if let Some(kind) = self.kind.filter(|k| *k != 1) {
            out += &format!("{} ", type_name(kind));
        }
        if let Some(label) = self.label {
            out += &label.to_string();
            if !self.swap.is_empty() {
                out += &format!(" as {}", labels_text(&self.swap));
            }
            if let Some(via) = self.via {
                out += &format!(" via {} {via}", if via.is_ipv4() { "inet" } else { "inet6" });
            }
            if let Some((_, dev)) = &self.dev {
                out += &format!(" dev {}", ip::word(dev));
            }
            return out;
        }
        out += &self.dst.map_or_else(
            || "default".to_string(),
            |d| if d.prefix_len() == d.max_prefix_len() { d.addr().to_string() } else { d.to_string() },
        );
        let hop = |via: Option<IpAddr>, dev: &Option<(u32, String)>| {
            let mut out = String::new();
            if let Some(via) = via {
                let other = if family(via) == self.family { "" } else { "inet6 " };
                out += &format!(" via {other}{via}");
            }
            if let Some((_, dev)) = dev {
                out += &format!(" dev {}", ip::word(dev));
            }
            out
        };
        if self.tos != 0 {
            out += &format!(" tos {:#x}", self.tos);
        }
        if let Some(encap) = &self.encap {
            out += &format!(" encap {}", encap.words());
        }
        out += &hop(self.via, &self.dev);
        if let Some(id) = self.nhid {
            out += &format!(" nhid {id}");
        }
        // Without a table `ip` puts these types into table local.
        let local = matches!(self.kind, Some(2..=4 | 10));
        if let Some(table) = self.table.or(local.then_some(254)).filter(|t| *t != 254 || local) {
            out += &format!(" table {}", table_name(table));
        }
        if let Some(proto) = self.proto {
            out += &format!(" proto {}", proto_name(proto));
        }
        if let Some(scope) = self.scope {
            out += &format!(" scope {}", scope_name(scope));
        }
        if let Some(metric) = self.metric {
            out += &format!(" metric {metric}");
        }
        if let Some(src) = self.src {
            out += &format!(" src {src}");
        }
        for (code, value) in &self.metrics {
            if let Some((name, _)) = METRICS.iter().find(|(_, c)| c == code) {
                // `rto_min` is locked by itself; RTAX_LOCK is 1.
                let lock = self.metrics.iter().any(|(c, mask)| *c == 1 && mask & (1 << code) != 0) && *code != 13;
                out += &match code {
                    12 if *value == 1 => " features ecn".into(),
                    13 => format!(" rto_min {value}ms"),
                    _ => format!(" {name}{} {value}", if lock { " lock" } else { "" }),
                };
            }
        }
        if let Some(name) = &self.congctl {
            let lock = self.metrics.iter().any(|(c, mask)| *c == RTAX_LOCK && mask & (1 << RTAX_CC_ALGO) != 0);
            out += &format!(" congctl {}{name}", if lock { "lock " } else { "" });
        }
        for option in &self.more {
            out += &format!(" {}", option.words);
        }
        if self.onlink {
            out += " onlink";
        }
        for h in &self.hops {
            out += &format!(" nexthop{} weight {}", hop(h.via, &h.dev), h.weight.max(1));
            if h.onlink {
                out += " onlink";
            }
        }
        out
    }
}

/// A gateway of the route's family, or of the other (`RTA_VIA`: RFC 5549, IPv4 over an IPv6 next hop).
fn put_gateway(out: &mut Vec<u8>, route: u8, via: IpAddr) {
    if family(via) == route {
        nla::put(out, RTA_GATEWAY, &octets(via));
    } else {
        let mut value = u16::from(family(via)).to_ne_bytes().to_vec();
        value.extend_from_slice(&octets(via));
        nla::put(out, RTA_VIA, &value);
    }
}

/// An entry of the neighbour table: ARP for IPv4, NDP for IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighSpec {
    pub ip: IpAddr,
    pub lladdr: Option<Vec<u8>>,
    /// `NUD_…` (include/uapi/linux/neighbour.h).
    pub state: u16,
    pub proxy: bool,
    pub router: bool,
}

/// `NUD_…` by name.
pub const STATES: &[(u16, &str)] = &[
    (0x01, "incomplete"),
    (0x02, "reachable"),
    (0x04, "stale"),
    (0x08, "delay"),
    (0x10, "probe"),
    (0x20, "failed"),
    (0x40, "noarp"),
    (0x80, "permanent"),
];

#[must_use]
pub fn neigh_state_name(state: u16) -> &'static str {
    STATES.iter().find(|(bit, _)| state & bit != 0).map_or("none", |(_, name)| name)
}

impl NeighSpec {
    #[must_use]
    pub fn record(&self, index: u32) -> Rec {
        let flags = if self.proxy { NTF_PROXY } else { 0 } | if self.router { NTF_ROUTER } else { 0 };
        let mut body = vec![family(self.ip), 0, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        body.extend_from_slice(&if self.proxy { 0 } else { self.state }.to_ne_bytes());
        body.extend_from_slice(&[flags, 0]);
        nla::put(&mut body, NDA_DST, &octets(self.ip));
        if let Some(mac) = &self.lladdr {
            nla::put(&mut body, NDA_LLADDR, mac);
        }
        Rec { what: What::Neigh, body, ends: None }
    }

    /// What follows `ip neigh add`.
    #[must_use]
    pub fn words(&self, dev: &str) -> String {
        if self.proxy {
            return format!("proxy {} dev {}", self.ip, ip::word(dev));
        }
        let mut out = self.ip.to_string();
        if let Some(mac) = &self.lladdr {
            out += &format!(" lladdr {}", link::mac_text(mac));
        }
        out += &format!(" dev {}", ip::word(dev));
        if self.lladdr.is_some() && self.state != super::record::NUD_PERMANENT {
            out += &format!(" nud {}", neigh_state_name(self.state));
        }
        if self.router {
            out += " router";
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_ip_reads_them() {
        assert_eq!(parse_cidr("10.0.0.1").map(|n| n.to_string()).ok().as_deref(), Some("10.0.0.1/32"));
        assert_eq!(parse_cidr("fd00::1/64").map(|n| n.to_string()).ok().as_deref(), Some("fd00::1/64"));
        for bad in ["", "10.0.0", "10.0.0.1/33", "fd00::1/129", "x/24", "10.0.0.1/"] {
            assert!(parse_cidr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_in_words() {
        let route = RouteSpec {
            family: AF_INET,
            dst: "10.9.0.0/16".parse().ok(),
            via: "10.0.0.2".parse().ok(),
            dev: Some((3, "eth0".into())),
            metric: Some(50),
            metrics: vec![(2, 1400)],
            ..RouteSpec::default()
        };
        assert_eq!(route.words(), "10.9.0.0/16 via 10.0.0.2 dev eth0 metric 50 mtu 1400");
        let rec = route.record(false);
        assert_eq!(rec.destination(), "10.9.0.0/16");
        assert_eq!(rec.gateway(), "10.0.0.2".parse().ok());
        assert_eq!(rec.devices(), vec![3]);
    }

    #[test]
    fn a_multipath_route_is_read_back() {
        let hop = |ip: &str, index| HopSpec {
            via: ip.parse().ok(),
            dev: Some((index, format!("d{index}"))),
            weight: index,
            onlink: false,
        };
        let route =
            RouteSpec { family: AF_INET, hops: vec![hop("10.0.0.2", 2), hop("10.0.1.2", 3)], ..RouteSpec::default() };
        let rec = route.record(false);
        assert_eq!(rec.hops().iter().map(|h| (h.index, h.weight)).collect::<Vec<_>>(), vec![(2, 2), (3, 3)]);
        assert_eq!(route.words(), "default nexthop via 10.0.0.2 dev d2 weight 2 nexthop via 10.0.1.2 dev d3 weight 3");
    }
}

//! Addresses, routes, neighbours, rules and nexthops as the kernel dumps them, freed of what changes by itself.
//!
//! A record is the body of the kernel's own netlink message, normalised. Two records are equal when the kernel would
//! treat them alike, and sending a record back makes the same object again, whatever attributes it has: nothing is
//! lost for want of a field here. (`ip route save` and `restore` rest on the same property.)

use super::nla;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which table of the kernel a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Addr,
    Nexthop,
    Route,
    Neigh,
    Rule,
    Qdisc,
    Class,
    Filter,
    Vlan,
    Fdb,
    Mdb,
}

impl What {
    /// What messages call one of it.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            What::Addr => "address",
            What::Route => "route",
            What::Neigh => "neighbour",
            What::Rule => "rule",
            What::Nexthop => "nexthop",
            What::Qdisc => "qdisc",
            What::Class => "class",
            What::Filter => "filter",
            What::Vlan => "bridge vlan",
            What::Fdb => "fdb entry",
            What::Mdb => "mdb entry",
        }
    }
}

/// One object of the kernel: its message body, normalised, and when it ends.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct Rec {
    pub what: What,
    #[serde(with = "hex")]
    pub body: Vec<u8>,
    /// Absolute ends in hundredths of a second since boot (valid, preferred), for what has a limited life. Not part of the body,
    /// since the kernel counts them down.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends: Option<(u64, u64)>,
}

/// Lifetimes are counted in ticks of a hundredth of a second (`USER_HZ`).
pub const TICKS: u64 = 100;
/// Two ends as near as this are one: an undo sets whole seconds.
pub const CLOSE: u64 = 2 * TICKS;
/// `u32::MAX` seconds: for ever (`INFINITY_LIFE_TIME`, include/net/addrconf.h).
pub const FOREVER: u32 = u32::MAX;

// include/uapi/linux/if_addr.h
pub const IFA_ADDRESS: u16 = 1;
pub const IFA_LOCAL: u16 = 2;
pub const IFA_LABEL: u16 = 3;
pub const IFA_BROADCAST: u16 = 4;
pub const IFA_CACHEINFO: u16 = 6;
pub const IFA_FLAGS: u16 = 8;
pub const IFA_RT_PRIORITY: u16 = 9;
pub const IFA_PROTO: u16 = 11;
pub const IFA_F_TEMPORARY: u32 = 0x01;
pub const IFA_F_NODAD: u32 = 0x02;
pub const IFA_F_OPTIMISTIC: u32 = 0x04;
pub const IFA_F_DADFAILED: u32 = 0x08;
pub const IFA_F_DEPRECATED: u32 = 0x20;
pub const IFA_F_TENTATIVE: u32 = 0x40;
pub const IFA_F_PERMANENT: u32 = 0x80;
pub const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFA_F_STABLE_PRIVACY: u32 = 0x800;
// include/uapi/linux/rtnetlink.h
pub const RTA_DST: u16 = 1;
pub const RTA_SRC: u16 = 2;
pub const RTA_IIF: u16 = 3;
pub const RTA_OIF: u16 = 4;
pub const RTA_GATEWAY: u16 = 5;
pub const RTA_PRIORITY: u16 = 6;
pub const RTA_PREFSRC: u16 = 7;
pub const RTA_METRICS: u16 = 8;
pub const RTA_MULTIPATH: u16 = 9;
const RTA_CACHEINFO: u16 = 12;
pub const RTA_TABLE: u16 = 15;
pub const RTA_VIA: u16 = 18;
pub const RTA_NEWDST: u16 = 19;
pub const RTA_PREF: u16 = 20;
pub const RTA_ENCAP_TYPE: u16 = 21;
pub const RTA_ENCAP: u16 = 22;
pub const RTA_EXPIRES: u16 = 23;
pub const RTA_NH_ID: u16 = 30;
pub const RTNH_F_ONLINK: u8 = 4;
/// Of the next hop's flags, those that somebody set (onlink, pervasive); the others tell a momentary state.
const RTNH_SET: u8 = 2 | RTNH_F_ONLINK;
const RTM_F_CLONED: u32 = 0x200;
// include/uapi/linux/neighbour.h
pub const NDA_DST: u16 = 1;
pub const NDA_LLADDR: u16 = 2;
const NDA_CACHEINFO: u16 = 3;
const NDA_PROBES: u16 = 4;
pub const NTF_PROXY: u8 = 0x08;
pub const NTF_ROUTER: u8 = 0x80;
pub const NUD_PERMANENT: u16 = 0x80;
pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;
pub const AF_MPLS: u8 = 28;

impl PartialEq for Rec {
    fn eq(&self, other: &Rec) -> bool {
        // A lifetime is set in whole seconds, and counts from when the kernel comes to it.
        let close = |a: u64, b: u64| a.abs_diff(b) <= CLOSE;
        let ends = match (self.ends, other.ends) {
            (None, None) => true,
            (Some((v, p)), Some((w, q))) => close(v, w) && close(p, q),
            _ => false,
        };
        ends && self.what == other.what && self.body == other.body
    }
}

impl Rec {
    /// Normalises the body of a dumped message. `None` for what no undo can or should bring back: cloned and cached
    /// routes, learned neighbours, temporary addresses. `now` is in [`TICKS`] since boot.
    #[must_use]
    pub fn of(what: What, body: &[u8], now: u64) -> Option<Rec> {
        match what {
            What::Addr => addr(body, now),
            What::Route => route(body, now),
            What::Neigh => neigh(body),
            What::Rule => Some(Rec { what, body: super::rule::normalise(body)?, ends: None }),
            What::Nexthop => Some(Rec { what, body: super::nexthop::normalise(body)?, ends: None }),
            What::Qdisc | What::Class | What::Filter => super::tc::of(what, body),
            // Of a bridge's tables a message has several, and the links have a say: `bridge::records`.
            What::Vlan | What::Fdb | What::Mdb => None,
        }
    }

    /// Bytes of the fixed header before the attributes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        match self.what {
            What::Addr | What::Nexthop => 8,
            What::Route | What::Neigh | What::Rule => 12,
            What::Qdisc | What::Class | What::Filter => super::tc::HEADER,
            What::Vlan => super::bridge::vlan::HEADER,
            What::Fdb => super::bridge::fdb::HEADER,
            What::Mdb => super::bridge::mdb::HEADER,
        }
    }

    /// The attributes.
    #[must_use]
    pub fn attrs(&self) -> &[u8] {
        self.body.get(self.header_len()..).unwrap_or_default()
    }

    /// The value of attribute `code`.
    #[must_use]
    pub fn attr(&self, code: u16) -> Option<&[u8]> {
        nla::attr(self.attrs(), code)
    }

    /// The value of attribute `code` as a u32.
    #[must_use]
    pub fn attr_u32(&self, code: u16) -> Option<u32> {
        self.attr(code).and_then(nla::u32_of)
    }

    /// Byte `at` of the header.
    #[must_use]
    pub fn byte(&self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or_default()
    }

    /// The address family (`AF_INET`, `AF_INET6` …).
    #[must_use]
    pub fn family(&self) -> u8 {
        self.byte(0)
    }

    /// An address attribute.
    #[must_use]
    pub fn ip(&self, code: u16) -> Option<IpAddr> {
        self.attr(code).and_then(ip_of)
    }

    /// The flags of an address (`IFA_FLAGS`).
    #[must_use]
    pub fn addr_flags(&self) -> u32 {
        self.attr_u32(IFA_FLAGS).unwrap_or_else(|| u32::from(self.byte(2)))
    }

    /// The interface address itself (`IFA_LOCAL`, or `IFA_ADDRESS` for IPv6).
    #[must_use]
    pub fn local(&self) -> Option<IpAddr> {
        self.ip(IFA_LOCAL).or_else(|| self.ip(IFA_ADDRESS))
    }

    /// The table of a route.
    #[must_use]
    pub fn table(&self) -> u32 {
        self.attr_u32(RTA_TABLE).unwrap_or_else(|| u32::from(self.byte(4)))
    }

    /// The devices that the object is on: of an address, a neighbour, a nexthop one; of a multipath route several.
    #[must_use]
    pub fn devices(&self) -> Vec<u32> {
        match self.what {
            What::Addr => self.body.get(4..8).and_then(nla::u32_of).into_iter().collect(),
            What::Neigh => self.body.get(4..8).and_then(nla::u32_of).into_iter().collect(),
            What::Nexthop => self.attr_u32(5).into_iter().collect(),
            What::Route => {
                let mut all: Vec<u32> = self.attr_u32(RTA_OIF).into_iter().collect();
                all.extend(self.hops().iter().map(|h| h.index));
                all
            }
            What::Rule => Vec::new(),
            What::Vlan | What::Fdb | What::Mdb => super::bridge::devices(self),
            // The filters of a shared block are on no device.
            What::Qdisc | What::Class | What::Filter => {
                Some(self.tc_index()).filter(|i| *i != super::tc::SHARED_BLOCK).into_iter().collect()
            }
        }
    }

    /// The seconds after which the kernel drops a route that was just read.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        // struct rta_cacheinfo: clntref, lastuse, expires in ticks of 1/100 s
        let ticks = self.attr(RTA_CACHEINFO)?.get(8..12).and_then(nla::u32_of)?.cast_signed();
        u32::try_from(ticks).ok().filter(|t| *t > 0).map(|t| t.div_ceil(100))
    }

    /// The same route from another of its link's addresses.
    pub(super) fn sourced(&self, source: IpAddr) -> Option<Rec> {
        let octets = match source {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let keep = |code, value: &[u8]| Some(if code == RTA_PREFSRC { octets.clone() } else { value.to_vec() });
        Some(Rec { body: rewrite(&self.body, self.header_len(), keep)?, ..self.clone() })
    }

    /// The next hops of a multipath route.
    #[must_use]
    pub fn hops(&self) -> Vec<Hop> {
        let mut rest = self.attr(RTA_MULTIPATH).unwrap_or_default();
        let mut hops = Vec::new();
        while let Some(len) = rest.get(..2).and_then(nla::number).and_then(|n| usize::try_from(n).ok()) {
            let (Some(index), Some(attrs)) = (rest.get(4..8).and_then(nla::u32_of), rest.get(8..len)) else { break };
            let via = nla::attr(attrs, RTA_GATEWAY).and_then(ip_of).or_else(|| nla::attr(attrs, RTA_VIA).and_then(via));
            hops.push(Hop { index, weight: u32::from(rest[3]) + 1, via, flags: rest[2] });
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        hops
    }

    /// The gateway of a route, of the same family (`RTA_GATEWAY`) or the other (`RTA_VIA`).
    #[must_use]
    pub fn gateway(&self) -> Option<IpAddr> {
        self.ip(RTA_GATEWAY).or_else(|| self.attr(RTA_VIA).and_then(via))
    }

    /// The destination of a route as text: `default` or a prefix.
    #[must_use]
    pub fn destination(&self) -> String {
        if self.family() == AF_MPLS {
            return super::encap::labels_text(&super::encap::labels(self.attr(RTA_DST).unwrap_or_default()));
        }
        match self.ip(RTA_DST) {
            Some(ip) => {
                let full = if ip.is_ipv4() { 32 } else { 128 };
                match self.byte(1) {
                    len if len == full => ip.to_string(),
                    len => format!("{ip}/{len}"),
                }
            }
            None if self.byte(1) == 0 => "default".into(),
            None => format!("0/{}", self.byte(1)),
        }
    }

    /// A line for people: what it is, as `ip` writes it, with `name` giving devices their names.
    pub fn describe(&self, name: impl Fn(u32) -> String) -> String {
        let mut text = String::new();
        match self.what {
            What::Addr => {
                let dev = self.devices().first().copied().map(&name).unwrap_or_default();
                let local = self.local().map(|ip| ip.to_string()).unwrap_or_default();
                let _ = write!(text, "{local}/{} dev {dev}", self.byte(1));
            }
            What::Route => {
                let _ = write!(text, "{}", self.destination());
                if let Some(via) = self.gateway() {
                    let _ = write!(text, " via {via}");
                }
                for index in self.devices() {
                    let _ = write!(text, " dev {}", name(index));
                }
                if let Some(id) = self.attr_u32(RTA_NH_ID) {
                    let _ = write!(text, " nhid {id}");
                }
                if let Some(src) = self.ip(RTA_PREFSRC) {
                    let _ = write!(text, " src {src}");
                }
                if let Some(metric) = self.attr_u32(RTA_PRIORITY) {
                    let _ = write!(text, " metric {metric}");
                }
                let _ = write!(text, " table {}", table_name(self.table()));
            }
            What::Neigh => {
                let dev = self.devices().first().copied().map(&name).unwrap_or_default();
                let ip = self.ip(NDA_DST).map(|ip| ip.to_string()).unwrap_or_default();
                let _ = write!(text, "{ip} dev {dev}");
                if let Some(mac) = self.attr(NDA_LLADDR) {
                    let _ = write!(text, " lladdr {}", super::link::mac_text(mac));
                }
            }
            What::Rule => text = super::rule::describe(self),
            What::Nexthop => text = super::nexthop::describe(self, name),
            What::Qdisc | What::Class | What::Filter => text = super::tc::words(self, name),
            What::Vlan | What::Fdb | What::Mdb => text = super::bridge::words(self, name),
        }
        text
    }
}

/// One next hop of a multipath route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub index: u32,
    /// From 1.
    pub weight: u32,
    pub via: Option<IpAddr>,
    pub flags: u8,
}

/// An address of 4 or 16 bytes.
#[must_use]
pub fn ip_of(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))),
        _ => None,
    }
}

/// `struct rtvia`: a family, then the address.
fn via(value: &[u8]) -> Option<IpAddr> {
    ip_of(value.get(2..)?)
}

/// `main`, `local`, `default`, or the number.
#[must_use]
pub fn table_name(table: u32) -> String {
    match table {
        254 => "main".into(),
        255 => "local".into(),
        253 => "default".into(),
        n => n.to_string(),
    }
}

/// Copies `body`'s attributes, letting `keep` change or drop each.
fn rewrite(body: &[u8], header: usize, mut keep: impl FnMut(u16, &[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = body.get(..header)?.to_vec();
    for (code, value) in nla::attrs(&body[header..]) {
        if let Some(value) = keep(code, value) {
            nla::put(&mut out, code, &value);
        }
    }
    Some(out)
}

fn addr(body: &[u8], now: u64) -> Option<Rec> {
    let flags = nla::attr(body.get(8..)?, IFA_FLAGS).and_then(nla::u32_of).unwrap_or_else(|| u32::from(body[2]));
    if body[0] == AF_INET6 && flags & IFA_F_TEMPORARY != 0 {
        return None;
    }
    // Set by the kernel as time goes on, or (secondary) by the order of the addresses.
    let flags = flags
        & !(IFA_F_TEMPORARY
            | IFA_F_OPTIMISTIC
            | IFA_F_DADFAILED
            | IFA_F_DEPRECATED
            | IFA_F_TENTATIVE
            | IFA_F_STABLE_PRIVACY);
    let mut ends = None;
    let mut out = rewrite(body, 8, |code, value| match code {
        IFA_CACHEINFO => {
            // struct ifa_cacheinfo: preferred, valid, created, changed
            let (preferred, valid) = (nla::u32_of(value)?, value.get(4..).and_then(nla::u32_of)?);
            if valid != FOREVER || preferred != FOREVER {
                let stamp = u64::from(value.get(12..).and_then(nla::u32_of).unwrap_or_default());
                let end = |life: u32| if life == FOREVER { u64::MAX } else { end_of(life, stamp, now) };
                ends = Some((end(valid), end(preferred)));
            }
            None
        }
        IFA_FLAGS => Some(flags.to_ne_bytes().to_vec()),
        _ => Some(value.to_vec()),
    })?;
    out[2] = (flags & 0xff) as u8;
    Some(Rec { what: What::Addr, body: out, ends })
}

/// When a life ends of which `left` whole seconds are shown. The kernel rounds what has passed since `stamp` (when it was
/// set, for whole seconds) down, so the end is within the last of these seconds, and a whole number of them after `stamp`
/// (`inet6_fill_ifaddr`, net/ipv6/addrconf.c; `inet_fill_ifaddr`, net/ipv4/devinet.c).
fn end_of(left: u32, stamp: u64, now: u64) -> u64 {
    let latest = now + u64::from(left) * TICKS;
    latest.saturating_sub((latest % TICKS + TICKS - stamp % TICKS) % TICKS)
}

/// `RTPROT_KERNEL`, `RTN_LOCAL`, `RTN_ANYCAST` (include/uapi/linux/rtnetlink.h).
const PROTO_KERNEL: u8 = 2;
const RTN_LOCAL: u8 = 2;
const RTN_ANYCAST: u8 = 4;

fn route(body: &[u8], now: u64) -> Option<Rec> {
    let flags = nla::u32_of(body.get(8..12)?)?;
    if flags & RTM_F_CLONED != 0 {
        return None;
    }
    let attrs = &body[12..];
    // The kernel makes the local and anycast routes of IPv6 with the addresses, some time after them (DAD), and nobody can
    // ask for the like: without a metric it would be IP6_RT_PRIO_USER (ip6_route_info_create, net/ipv6/route.c).
    let priority = nla::attr(attrs, RTA_PRIORITY).and_then(nla::u32_of).unwrap_or_default();
    if body[0] == AF_INET6 && body[5] == PROTO_KERNEL && matches!(body[7], RTN_LOCAL | RTN_ANYCAST) && priority == 0 {
        return None;
    }
    // A route by nexthop object shows the object's gateway and device too, which can't be sent back.
    let by_object = nla::attr(attrs, RTA_NH_ID).is_some();
    let mut ends = None;
    let mut out = rewrite(body, 12, |code, value| match code {
        RTA_CACHEINFO => {
            // struct rta_cacheinfo: clntref, lastuse, expires (clock ticks of 1/100 s, 0 for never) …
            let expires = i64::from(nla::u32_of(value.get(8..12)?)?.cast_signed());
            if expires > 0 {
                let end = now + u64::try_from(expires).unwrap_or_default();
                ends = Some((end, end));
            }
            None
        }
        RTA_EXPIRES => None,
        RTA_OIF | RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH if by_object => None,
        RTA_MULTIPATH => Some(hop_flags(value)),
        RTA_ENCAP => Some(super::encap::without_counts(nla::attr(attrs, RTA_ENCAP_TYPE), value)),
        _ => Some(value.to_vec()),
    })?;
    let set = u32::from((flags & 0xff) as u8 & RTNH_SET);
    out[8..12].copy_from_slice(&set.to_ne_bytes());
    Some(Rec { what: What::Route, body: out, ends })
}

/// Takes the momentary flags out of each `struct rtnexthop`.
fn hop_flags(value: &[u8]) -> Vec<u8> {
    let mut out = value.to_vec();
    let mut at = 0;
    while let Some(len) = out.get(at..at + 2).and_then(nla::number).and_then(|n| usize::try_from(n).ok()) {
        if len < 8 {
            break;
        }
        out[at + 2] &= RTNH_SET;
        at += len.next_multiple_of(4);
    }
    out
}

fn neigh(body: &[u8]) -> Option<Rec> {
    let state = u16::from_ne_bytes(body.get(8..10)?.try_into().ok()?);
    let flags = body[10];
    let ours = state & NUD_PERMANENT != 0 || flags & NTF_PROXY != 0;
    if !ours || !(body[0] == AF_INET || body[0] == AF_INET6) {
        return None;
    }
    let mut out = rewrite(body, 12, |code, value| match code {
        NDA_CACHEINFO | NDA_PROBES => None,
        _ => Some(value.to_vec()),
    })?;
    // `ndm_type`: what the routes said of the address when the entry was made (arp_constructor), nothing that can be set.
    out[11] = 0;
    Some(Rec { what: What::Neigh, body: out, ends: None })
}

/// Bytes as hex digits in JSON.
pub mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::fmt::Write;

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for b in bytes {
            let _ = write!(text, "{b:02x}");
        }
        s.serialize_str(&text)
    }

    /// # Errors
    /// Text that is not pairs of hex digits.
    pub fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        let digits = text.as_bytes();
        if digits.len() % 2 != 0 {
            return Err(D::Error::custom("an odd number of hex digits"));
        }
        digits
            .chunks(2)
            .map(|pair| {
                let pair = std::str::from_utf8(pair).map_err(D::Error::custom)?;
                u8::from_str_radix(pair, 16).map_err(D::Error::custom)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(flags: u32, valid: u32) -> Vec<u8> {
        let mut body = vec![AF_INET, 24, (flags & 0xff) as u8, 0];
        body.extend_from_slice(&7u32.to_ne_bytes());
        nla::put(&mut body, IFA_LOCAL, &[10, 0, 1, 1]);
        nla::put(&mut body, IFA_FLAGS, &flags.to_ne_bytes());
        let mut cache = Vec::new();
        for n in [valid, valid, 5, 6] {
            cache.extend_from_slice(&n.to_ne_bytes());
        }
        nla::put(&mut body, IFA_CACHEINFO, &cache);
        body
    }

    #[test]
    fn momentary_state_does_not_count() {
        let a = Rec::of(What::Addr, &sample(IFA_F_PERMANENT, FOREVER), 10);
        let b = Rec::of(What::Addr, &sample(IFA_F_PERMANENT | IFA_F_TENTATIVE, FOREVER), 99);
        assert_eq!(a, b);
        let a = a.expect("an address");
        assert_eq!(a.devices(), vec![7]);
        assert_eq!(a.describe(|i| format!("if{i}")), "10.0.1.1/24 dev if7");
    }

    #[test]
    fn a_countdown_is_the_same_end() {
        let a = Rec::of(What::Addr, &sample(0, 100), 1010);
        let b = Rec::of(What::Addr, &sample(0, 90), 2010);
        let c = Rec::of(What::Addr, &sample(0, 50), 2010);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn an_end_is_the_same_at_each_moment() {
        // Set at 1,037 for 100 s; what is left is rounded as the kernel does.
        for now in 1037..1037 + 1000 {
            let left = 100 - u32::try_from((now - 1037) / TICKS).expect("a second");
            assert_eq!(end_of(left, 1037, now), 1037 + 100 * TICKS, "at {now}");
        }
    }

    #[test]
    fn json_keeps_it() {
        let a = Rec::of(What::Addr, &sample(0, 100), 10).expect("an address");
        let text = serde_json::to_string(&a).expect("json");
        assert_eq!(serde_json::from_str::<Rec>(&text).expect("json"), a);
    }
}

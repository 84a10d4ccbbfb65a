//! `ip route …` (ip-route(8)).

use super::words::{address, number, prefix};
use super::{Options, Word, Words, family_word, keyword};
use crate::plan::addr::{HopSpec, RTAX_CC_ALGO, RouteSpec, family, proto_of, scope_of, type_of};
use crate::plan::error::Result;
use crate::plan::link::KindOption;
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::verb::AddMode;
use ipnet::IpNet;
use std::net::IpAddr;

/// What is done with routes. Devices in a spec have the index 0, since they are not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Add { spec: Box<RouteSpec>, mode: AddMode, vrf: Option<Word> },
    Del { spec: Box<RouteSpec>, vrf: Option<Word> },
    Get(Box<Get>),
    Flush(Box<Filter>),
    Show(Box<Filter>),
}

/// `ip route get`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    pub dst: IpAddr,
    pub from: Option<IpAddr>,
    pub iif: Option<Word>,
    pub oif: Option<Word>,
    pub mark: Option<u32>,
    pub tos: u8,
    pub uid: Option<u32>,
    pub ipproto: Option<u8>,
    pub sport: Option<u16>,
    pub dport: Option<u16>,
    /// The route as it stands in the table, not as it is used.
    pub fibmatch: bool,
}

/// Which routes are shown or flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: Option<u8>,
    /// `None`: all tables.
    pub table: Option<u32>,
    pub vrf: Option<Word>,
    pub cloned: bool,
    pub dev: Option<Word>,
    pub proto: Option<u8>,
    pub scope: Option<u8>,
    pub kind: Option<u8>,
    pub tos: Option<u8>,
    pub metric: Option<u32>,
    pub via: Option<IpNet>,
    pub src: Option<IpNet>,
    /// Only routes to this network or a part of it (`root`); `Some(None)`: the whole space.
    pub root: Option<Option<IpNet>>,
    /// Only routes to a network that this one is part of (`match`); with `root` and the same network: exactly it.
    pub matched: Option<Option<IpNet>>,
}

pub(super) const VERBS: &[&str] = &[
    "add", "change", "replace", "prepend", "append", "test", "delete", "list", "show", "lst", "get", "flush", "save",
    "restore", "showdump", "help",
];

const WORDS: &[&str] = &[
    "via", "dev", "src", "metric", "table", "proto", "scope", "tos", "mtu", "advmss", "onlink", "nexthop", "nhid",
    "vrf", "pref", "encap", "congctl", "hoplimit", "initcwnd", "initrwnd", "window", "rtt", "quickack", "features",
];

/// The word of a plain metric, and its `RTAX_…`; `true`: it may be cut.
const METRICS: &[(&str, u16, bool)] = &[
    ("mtu", 2, false),
    ("hoplimit", 10, false),
    ("advmss", 8, false),
    ("reordering", 9, true),
    ("window", 3, true),
    ("cwnd", 7, true),
    ("initcwnd", 11, true),
    ("initrwnd", 14, true),
    ("ssthresh", 6, true),
];

/// `RTAX_LOCK`: a mask of the metrics that path discovery may not change.
const RTAX_LOCK: u16 = 1;

/// Reads what follows `ip route`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Route>> {
    let Some(verb) = words.next() else {
        return Ok(Some(Route::Show(Box::new(narrowed(Filter { table: Some(254), ..Filter::default() }, options)))));
    };
    let which = if verb.is("chg") { Some("change") } else { keyword(verb, VERBS) };
    let Some(which) = which else { return Err(verb.unknown("route", VERBS.iter().copied())) };
    let mode = match which {
        "add" => AddMode::Create,
        "change" => AddMode::Change,
        "replace" => AddMode::Replace,
        "prepend" => AddMode::Prepend,
        "append" => AddMode::Append,
        "delete" => {
            let found = modify(verb, &mut words, options)?;
            return Ok(found.map(|(spec, vrf)| Route::Del { spec: Box::new(spec), vrf }));
        }
        "get" => return get(verb, &mut words, options),
        "list" | "show" | "lst" => return Ok(filter(&mut words, options)?.map(|f| Route::Show(Box::new(f)))),
        "flush" if words.peek().is_none() => {
            return Err(verb.bad("it has to be said what is flushed").with_hint("ip route flush table 100"));
        }
        "flush" => return Ok(filter(&mut words, options)?.map(|f| Route::Flush(Box::new(f)))),
        "help" => return Ok(None),
        _ => return Err(super::no_dump(verb, "route")),
    };
    let found = modify(verb, &mut words, options)?;
    Ok(found.map(|(spec, vrf)| Route::Add { spec: Box::new(spec), mode, vrf }))
}

/// A device that is not looked up yet.
fn device(word: &Word) -> (u32, String) {
    (0, word.text.clone())
}

fn named<T>(word: &Word, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
    find(&word.text).ok_or_else(|| word.bad(format!("this is no {what}")))
}

/// Names of /etc/iproute2/rt_dsfield, or a number.
pub(super) fn dsfield(word: &Word) -> Result<u8> {
    let text = word.text.to_ascii_uppercase();
    let found = match text.as_str() {
        "DEFAULT" => Some(0),
        "EF" => Some(0xb8),
        _ => match text.as_bytes() {
            [b'C', b'S', n @ b'0'..=b'7'] => Some((n - b'0') << 5),
            [b'A', b'F', c @ b'1'..=b'4', p @ b'1'..=b'3'] => Some(((c - b'0') << 5) | ((p - b'0') << 3)),
            _ => None,
        },
    };
    match found {
        Some(tos) => Ok(tos),
        // rtnl_dsfield_a2n() reads numbers as hexadecimal.
        None => u8::from_str_radix(text.strip_prefix("0X").unwrap_or(&text), 16)
            .map_err(|_| word.bad("a type of service is a number up to 0xff, or a name as AF11, CS1, EF")),
    }
}

/// `via [FAMILY] ADDRESS`.
fn via(words: &mut Words<'_>, key: &Word, af: &mut Option<u8>) -> Result<IpAddr> {
    let mut word = words.value(key)?;
    let asked = family_word(word);
    if asked.is_some() {
        word = words.value(word)?;
    }
    let ip = address(word, asked.or(*af))?;
    af.get_or_insert(family(ip));
    Ok(ip)
}

/// A time for `rtt` and the like, in milliseconds, and whether it had no unit and so is the kernel's own number.
fn rtt(word: &Word) -> Result<(u32, bool)> {
    let bad = || word.bad("a time is expected here: 100ms");
    if let Some(raw) = super::words::parse_number(&word.text) {
        return u32::try_from(raw).map(|n| (n, true)).map_err(|_| bad());
    }
    let time = crate::plan::unit::duration(&word.text).map_err(|_| bad())?;
    u32::try_from(time.as_micros().div_ceil(1000)).map(|n| (n, false)).map_err(|_| bad())
}

fn modify(verb: &Word, words: &mut Words<'_>, options: &Options) -> Result<Option<(RouteSpec, Option<Word>)>> {
    let mut route = RouteSpec::default();
    let mut af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    let (mut dst_given, mut vrf, mut locked) = (false, None, 0u32);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "src" => {
                let ip = address(words.value(word)?, af)?;
                af.get_or_insert(family(ip));
                route.src = Some(ip);
            }
            "via" if route.via.is_some() => {
                return Err(word
                    .bad("more than one `via`")
                    .with_hint("several next hops: nexthop via … nexthop via …"));
            }
            "via" => route.via = Some(via(words, word, &mut af)?),
            "tos" => route.tos = dsfield(words.value(word)?)?,
            "preference" => route.metric = Some(words.u32(word)?),
            "scope" => route.scope = Some(named(words.value(word)?, "scope", scope_of)?),
            "onlink" => route.onlink = true,
            "nhid" => route.nhid = Some(words.u32(word)?),
            "dev" | "oif" => route.dev = Some(device(words.value(word)?)),
            "rtt" => {
                if words.take("lock") {
                    locked |= 1 << 4;
                }
                let (n, raw) = rtt(words.value(word)?)?;
                route.metrics.push((4, if raw { n } else { n.saturating_mul(8) }));
            }
            "rto_min" => {
                locked |= 1 << 13;
                route.metrics.push((13, rtt(words.value(word)?)?.0));
            }
            "nexthop" => {
                hops(word, words, &mut af, &mut route)?;
                break;
            }
            "expires" => {
                let seconds = words.u32(word)?;
                // RTA_EXPIRES
                route.more.push(more(23, &seconds.to_ne_bytes(), format!("expires {seconds}")));
            }
            "encap" => route.encap = Some(super::encap::parse(word, words)?),
            "as" | "from" | "ttl-propagate" => return Err(word.unsupported("route")),
            _ => {
                if metric(&mut route, &mut locked, words, word)? || long(&mut route, &mut vrf, words, word, options)? {
                    continue;
                }
                if destination(&mut route, &mut af, dst_given, words, word)? {
                    return Ok(None);
                }
                dst_given = true;
            }
        }
    }
    if !dst_given {
        return Err(verb.bad("no destination is given").with_hint("ip route add default via 10.0.0.1"));
    }
    if locked != 0 {
        route.metrics.push((RTAX_LOCK, locked));
    }
    route.family = af.unwrap_or(AF_INET);
    // Types that are of this host belong into table local (ip/iproute.c).
    if route.table.is_none() && vrf.is_none() && matches!(route.kind, Some(2 | 3 | 4 | 10)) {
        route.table = Some(255);
    }
    Ok(Some((route, vrf)))
}

/// A metric of the path.
fn metric(route: &mut RouteSpec, locked: &mut u32, words: &mut Words<'_>, word: &Word) -> Result<bool> {
    if word.matches("metric") || word.matches("priority") || word.matches("dsfield") {
        return Ok(false);
    }
    let found = METRICS.iter().find(|(name, _, cut)| if *cut { word.matches(name) } else { word.is(name) });
    if let Some((name, code, _)) = found {
        if words.take("lock") {
            *locked |= 1 << code;
        }
        let max = if *code == 10 { 255 } else { u64::from(u32::MAX) };
        let value = number(words.value(word)?, name, max)?;
        route.metrics.push((*code, u32::try_from(value).unwrap_or(u32::MAX)));
    } else if word.matches("features") {
        let value = words.value(word)?;
        if !value.is("ecn") {
            return Err(value.bad("the feature `ecn` is expected"));
        }
        route.metrics.push((12, 1));
    } else if word.matches("quickack") {
        let value = number(words.value(word)?, "quickack", 1)?;
        route.metrics.push((15, u32::try_from(value).unwrap_or(1)));
    } else if word.matches("congctl") {
        if words.take("lock") {
            *locked |= 1 << RTAX_CC_ALGO;
        }
        route.congctl = Some(words.value(word)?.text.clone());
    } else if word.matches("fastopen_no_cookie") {
        let value = number(words.value(word)?, "fastopen_no_cookie", 1)?;
        route.metrics.push((17, u32::try_from(value).unwrap_or(1)));
    } else if word.matches("rttvar") {
        if words.take("lock") {
            *locked |= 1 << 5;
        }
        let (n, raw) = rtt(words.value(word)?)?;
        route.metrics.push((5, if raw { n } else { n.saturating_mul(4) }));
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// An attribute with its words.
fn more(code: u16, value: &[u8], words: String) -> KindOption {
    KindOption { code, value: value.to_vec(), words }
}

/// `TO` or `FROM/TO`: a number of 16 bits each, the first in the upper half.
fn realms(word: &Word) -> Result<(String, u32)> {
    let part = |text: &str| {
        let found = super::words::parse_number(text).and_then(|n| u16::try_from(n).ok());
        found.map(u32::from).ok_or_else(|| word.bad("realms are numbers: TO, or FROM/TO"))
    };
    let both = match word.text.split_once('/') {
        Some((from, to)) => (part(from)? << 16) | part(to)?,
        None => part(&word.text)?,
    };
    Ok((word.text.clone(), both))
}

/// The other keywords that may be cut.
fn long(
    route: &mut RouteSpec,
    vrf: &mut Option<Word>,
    words: &mut Words<'_>,
    word: &Word,
    options: &Options,
) -> Result<bool> {
    if word.matches("dsfield") {
        route.tos = dsfield(words.value(word)?)?;
    } else if word.matches("metric") || word.matches("priority") {
        route.metric = Some(words.u32(word)?);
    } else if word.matches("realms") {
        let (text, realms) = realms(words.value(word)?)?;
        // RTA_FLOW
        route.more.push(more(11, &realms.to_ne_bytes(), format!("realms {text}")));
    } else if word.matches("protocol") {
        route.proto = Some(named(words.value(word)?, "protocol", proto_of)?);
    } else if word.matches("table") {
        route.table = Some(options.table(words.value(word)?)?);
    } else if word.matches("vrf") {
        *vrf = Some(words.value(word)?.clone());
    } else if word.matches("pref") {
        route.pref = Some(named(words.value(word)?, "preference", |w| match w {
            "low" => Some(3),
            "medium" => Some(0),
            "high" => Some(1),
            n => n.parse().ok(),
        })?);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// `[to] [TYPE] PREFIX`; true where help is asked for.
fn destination(
    route: &mut RouteSpec,
    af: &mut Option<u8>,
    again: bool,
    words: &mut Words<'_>,
    word: &Word,
) -> Result<bool> {
    let mut value = if word.is("to") { words.value(word)? } else { word };
    if let Some(kind) = type_of(&value.text) {
        route.kind = Some(kind);
        value = words.value(value)?;
    }
    if value.matches("help") {
        return Ok(true);
    }
    if again {
        return Err(value.unknown("route", WORDS.iter().copied()));
    }
    let (net, _) = prefix(value, *af)?;
    if let Some(net) = net {
        af.get_or_insert(family(net.addr()));
        if net.addr() != net.network() {
            return Err(value.bad("this has bits beyond its prefix length").with_hint(format!(
                "the network is {}/{}",
                net.network(),
                net.prefix_len()
            )));
        }
    }
    route.dst = net.filter(|n| n.prefix_len() > 0);
    Ok(false)
}

/// `nexthop via … dev … weight …`, to the end of the line.
fn hops(first: &Word, words: &mut Words<'_>, af: &mut Option<u8>, route: &mut RouteSpec) -> Result<()> {
    let mut hop = HopSpec { weight: 1, ..HopSpec::default() };
    if words.peek().is_none() {
        return Err(first.bad("the line ends where a next hop should be"));
    }
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "nexthop" => {
                route.hops.push(std::mem::replace(&mut hop, HopSpec { weight: 1, ..HopSpec::default() }));
                if words.peek().is_none() {
                    return Err(word.bad("the line ends where a next hop should be"));
                }
            }
            "via" => hop.via = Some(via(words, word, af)?),
            "dev" => hop.dev = Some(device(words.value(word)?)),
            "weight" => {
                let value = words.value(word)?;
                let weight = number(value, "weight", 256)?;
                if weight == 0 {
                    return Err(value.bad("a weight is 1 to 256"));
                }
                hop.weight = u32::try_from(weight).unwrap_or(1);
            }
            "onlink" => hop.onlink = true,
            "encap" | "as" => return Err(word.unsupported("route")),
            _ if word.matches("realms") => return Err(word.unsupported("route")),
            _ => return Err(word.unknown("route", ["nexthop", "via", "dev", "weight", "onlink"])),
        }
    }
    route.hops.push(hop);
    Ok(())
}

fn get(verb: &Word, words: &mut Words<'_>, options: &Options) -> Result<Option<Route>> {
    let mut af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    let mut dst = None;
    let mut get = Get {
        dst: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        from: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        uid: None,
        ipproto: None,
        sport: None,
        dport: None,
        fibmatch: false,
    };
    let narrow = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "tos" => get.tos = dsfield(words.value(word)?)?,
            "dev" => get.oif = Some(words.value(word)?.clone()),
            "as" | "flowlabel" => return Err(word.unsupported("route get")),
            _ if word.matches("dsfield") => get.tos = dsfield(words.value(word)?)?,
            _ if word.matches("from") => {
                let ip = single(words.value(word)?, af)?;
                af.get_or_insert(family(ip));
                get.from = Some(ip);
            }
            _ if word.matches("iif") => get.iif = Some(words.value(word)?.clone()),
            _ if word.matches("mark") => get.mark = Some(words.u32(word)?),
            _ if word.matches("oif") || word.matches("vrf") => get.oif = Some(words.value(word)?.clone()),
            _ if word.matches("notify") || word.matches("connected") => return Err(word.unsupported("route get")),
            _ if word.matches("uid") => get.uid = Some(words.u32(word)?),
            _ if word.matches("fibmatch") => get.fibmatch = true,
            _ if word.matches("sport") => get.sport = Some(narrow(words.number(word, 0xffff)?)),
            _ if word.matches("dport") => get.dport = Some(narrow(words.number(word, 0xffff)?)),
            _ if word.matches("ipproto") => {
                let value = words.value(word)?;
                get.ipproto = Some(protocol(value)?);
            }
            _ => {
                let value = if word.is("to") { words.value(word)? } else { word };
                if value.matches("help") {
                    return Ok(None);
                }
                let ip = single(value, af)?;
                af.get_or_insert(family(ip));
                dst = Some(ip);
            }
        }
    }
    get.dst = dst.ok_or_else(|| verb.bad("no destination is given").with_hint("ip route get 10.0.0.1"))?;
    Ok(Some(Route::Get(Box::new(get))))
}

/// An IP protocol by name or number (/etc/protocols has more names).
pub(super) fn protocol(word: &Word) -> Result<u8> {
    match word.text.as_str() {
        "icmp" => Ok(1),
        "igmp" => Ok(2),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        "gre" => Ok(47),
        "ipv6-icmp" | "icmpv6" => Ok(58),
        "sctp" => Ok(132),
        _ => number(word, "a protocol", 255).map(|n| u8::try_from(n).unwrap_or(255)),
    }
}

/// An address; a length that follows is taken and ignored, as `ip route get` does with a warning.
fn single(word: &Word, af: Option<u8>) -> Result<IpAddr> {
    match prefix(word, af)? {
        (Some(net), _) => Ok(net.addr()),
        (None, _) => address(word, af),
    }
}

fn narrowed(mut filter: Filter, options: &Options) -> Filter {
    filter.family = options.family;
    // Of all tables both families are shown, of one IPv4 alone.
    if filter.family.is_none() && (filter.table.is_some() || filter.vrf.is_some()) {
        filter.family = Some(AF_INET);
    }
    filter
}

fn filter(words: &mut Words<'_>, options: &Options) -> Result<Option<Filter>> {
    let mut filter = Filter { table: Some(254), ..Filter::default() };
    let af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "tos" => filter.tos = Some(dsfield(words.value(word)?)?),
            "dev" | "oif" => filter.dev = Some(words.value(word)?.clone()),
            "iif" | "mark" => return Err(word.unsupported("route show")),
            "preference" => filter.metric = Some(words.u32(word)?),
            "via" => {
                let mut value = words.value(word)?;
                let asked = family_word(value);
                if asked.is_some() {
                    value = words.value(value)?;
                }
                filter.via = prefix(value, asked.or(af))?.0;
            }
            "src" => filter.src = prefix(words.value(word)?, af)?.0,
            _ if word.matches("table") => {
                let value = words.value(word)?;
                match value.text.as_str() {
                    "all" => filter.table = None,
                    "cache" => filter.cloned = true,
                    "help" => return Ok(None),
                    _ => filter.table = Some(options.table(value)?),
                }
            }
            _ if word.matches("vrf") => filter.vrf = Some(words.value(word)?.clone()),
            _ if word.matches("cached") || word.matches("cloned") => filter.cloned = true,
            _ if word.matches("dsfield") => filter.tos = Some(dsfield(words.value(word)?)?),
            _ if word.matches("protocol") => {
                let value = words.value(word)?;
                filter.proto = if value.is("all") { None } else { Some(named(value, "protocol", proto_of)?) };
            }
            _ if word.matches("scope") => {
                let value = words.value(word)?;
                filter.scope = if value.is("all") { None } else { Some(named(value, "scope", scope_of)?) };
            }
            _ if word.matches("type") => filter.kind = Some(named(words.value(word)?, "type of route", type_of)?),
            _ if word.matches("metric") || word.matches("priority") => filter.metric = Some(words.u32(word)?),
            _ if word.matches("realms") || word.matches("from") => return Err(word.unsupported("route show")),
            _ => {
                let mut value = if word.matches("to") { words.value(word)? } else { word };
                if value.is("help") {
                    return Ok(None);
                }
                let (root, matched) = (value.matches("root"), value.matches("match"));
                if root || matched || value.matches("exact") {
                    value = words.value(value)?;
                }
                let (net, _) = prefix(value, af)?;
                if !matched {
                    filter.root = Some(net);
                }
                if !root {
                    filter.matched = Some(net);
                }
            }
        }
    }
    Ok(Some(narrowed(filter, options)))
}

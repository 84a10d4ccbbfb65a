//! Routes, as `ip route` writes them (ip-route(8)).

pub(super) mod encap;
pub(super) mod table;

use super::show::{self, Names};
use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, run, text};
use crate::plan::addr::{
    HopSpec, METRICS, RTAX_CC_ALGO, RTAX_FEATURES, RTAX_LOCK, RTAX_RTO_MIN, RTAX_RTT, RTAX_RTTVAR, RouteSpec, family,
    octets, parse_cidr, parse_ip, proto_of, scope_of, type_of,
};
use crate::plan::record::{AF_INET, AF_INET6, AF_MPLS, RTA_DST, RTA_EXPIRES, RTA_OIF, RTA_SRC};
use crate::plan::{AddMode, Error, Kind, KindOption, Ns, Rec, Result, Verb, What, nla};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use std::net::IpAddr;
use table::Tables;

const KNOWN: &[&str] = &[
    "via", "dev", "metric", "table", "vrf", "src", "scope", "proto", "type", "onlink", "nexthops", "tos", "pref",
    "nhid", "family", "replace", "append", "encap", "congctl", "to", "expires",
];

fn known() -> Vec<&'static str> {
    KNOWN.iter().copied().chain(METRICS.iter().map(|(name, _)| *name)).collect()
}

/// The option `family`: `"inet"` or `"inet6"`.
pub(super) fn family_option(opts: &Opts) -> Result<Option<u8>> {
    named(opts, "family", |w| match w {
        "inet" | "4" => Some(AF_INET),
        "inet6" | "6" => Some(AF_INET6),
        _ => None,
    })
}

/// A word or a number, looked up by `find`.
pub(super) fn named<T>(opts: &Opts, key: &str, find: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    let Some(value) = opts.get(key) else { return Ok(None) };
    let word = match value.as_int() {
        Ok(number) => number.to_string(),
        Err(_) => text(value, &format!("option `{key}`"))?,
    };
    find(&word).map(Some).ok_or_else(|| Error::invalid(format!("option `{key}` can't be `{word}`")).with_target(key))
}

pub(super) fn device(session: &Session, ns: &Ns, value: &Dynamic) -> Result<(u32, String)> {
    let device = value::device(session, Some(ns), value)?;
    Ok((device.link.index, device.link.name))
}

fn hop(session: &Session, ns: &Ns, map: Map) -> Result<HopSpec> {
    let opts = Opts::new("a next hop", map, &["via", "dev", "weight", "onlink"])?;
    Ok(HopSpec {
        via: opts.text("via")?.map(|v| parse_ip(&v)).transpose()?,
        dev: opts.get("dev").map(|d| device(session, ns, d)).transpose()?,
        weight: opts.int("weight", 1..=256)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        onlink: opts.bool("onlink")?.unwrap_or(false),
    })
}

/// A metric, and whether it is locked: a number, or as `ip` writes it `"lock 1400"`, `"200ms"`, `"ecn"`.
fn metric(opts: &Opts, name: &str, code: u16) -> Result<Option<(u32, bool)>> {
    let Some(value) = opts.get(name) else { return Ok(None) };
    if !value.is_string() {
        return Ok(opts.u32(name, u32::MAX)?.map(|n| (n, false)));
    }
    let word = text(value, name)?;
    let (lock, word) = word.strip_prefix("lock ").map_or((false, word.as_str()), |rest| (true, rest.trim()));
    let wrong = || Error::invalid(format!("option `{name}` can't be `{word}`")).with_target(name);
    let parts = match code {
        RTAX_RTT => 8,
        RTAX_RTTVAR => 4,
        RTAX_RTO_MIN => 1,
        RTAX_FEATURES if word == "ecn" => return Ok(Some((1, lock))),
        _ => 0,
    };
    if let Ok(number) = word.parse() {
        return Ok(Some((number, lock)));
    }
    if parts == 0 {
        return Err(wrong());
    }
    let time = crate::plan::unit::duration(word).map_err(|_| wrong().with_hint("a time such as \"200ms\""))?;
    u32::try_from(time.as_millis() * parts).map(|n| Some((n, lock))).map_err(|_| wrong())
}

/// A route of MPLS: from a label to others, or to none.
fn mpls(session: &Session, ns: &Ns, dst: &str, opts: &Opts) -> Result<RouteSpec> {
    let label = dst.parse::<u32>().ok().filter(|l| *l < 1 << 20).ok_or_else(|| {
        Error::invalid(format!("`{dst}` is no label of MPLS")).with_target(dst).with_hint("a number from 16 to 1048575")
    })?;
    if let Some(key) = known()
        .iter()
        .find(|k| !["family", "via", "dev", "to", "proto", "replace"].contains(k) && opts.get(k).is_some())
    {
        return Err(Error::invalid(format!("a route of MPLS has no option `{key}`"))
            .with_hint("its options are: via, dev, to, proto, replace"));
    }
    Ok(RouteSpec {
        family: AF_MPLS,
        label: Some(label),
        swap: opts.get("to").map(|v| encap::labels(v, "option `to`")).transpose()?.unwrap_or_default(),
        via: opts.text("via")?.map(|v| parse_ip(&v)).transpose()?,
        dev: opts.get("dev").map(|d| device(session, ns, d)).transpose()?,
        proto: named(opts, "proto", proto_of)?,
        ..RouteSpec::default()
    })
}

fn spec(session: &Session, ns: &Ns, dst: &str, opts: &Opts) -> Result<RouteSpec> {
    if opts.get("family").is_some_and(|f| f.clone().into_string().is_ok_and(|w| w == "mpls")) {
        return mpls(session, ns, dst, opts);
    }
    if opts.get("to").is_some() {
        return Err(Error::invalid("option `to` is of routes of MPLS").with_hint("family: \"mpls\""));
    }
    let mut route = RouteSpec {
        encap: opts.map("encap")?.map(|map| encap::read(session, ns, map)).transpose()?,
        via: opts.text("via")?.map(|v| parse_ip(&v)).transpose()?,
        dev: opts.get("dev").map(|d| device(session, ns, d)).transpose()?,
        metric: opts.u32("metric", u32::MAX)?,
        table: table::given(session, ns, opts)?,
        src: opts.text("src")?.map(|v| parse_ip(&v)).transpose()?,
        scope: named(opts, "scope", scope_of)?,
        proto: named(opts, "proto", proto_of)?,
        kind: named(opts, "type", type_of)?,
        onlink: opts.bool("onlink")?.unwrap_or(false),
        tos: opts.int("tos", 0..=255)?.and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
        pref: named(opts, "pref", |w| match w {
            "low" => Some(3),
            "medium" => Some(0),
            "high" => Some(1),
            _ => None,
        })?,
        nhid: opts.u32("nhid", u32::MAX)?,
        ..RouteSpec::default()
    };
    // `ip` locks rto_min whenever it is given.
    let mut locked = 0;
    for (name, code) in METRICS {
        let Some((value, lock)) = metric(opts, name, *code)? else { continue };
        route.metrics.push((*code, value));
        locked |= u32::from(lock || *code == RTAX_RTO_MIN) << code;
    }
    if let Some(word) = opts.text("congctl")? {
        let (lock, name) = word.strip_prefix("lock ").map_or((false, word.as_str()), |name| (true, name));
        route.congctl = Some(name.to_string());
        locked |= u32::from(lock) << RTAX_CC_ALGO;
    }
    if locked != 0 {
        route.metrics.push((RTAX_LOCK, locked));
    }
    for value in opts.array("nexthops")?.unwrap_or_default() {
        route.hops.push(hop(session, ns, value::map(&value, "a next hop")?)?);
    }
    let asked = family_option(opts)?;
    if dst == "default" {
        let via = route.via.or_else(|| route.hops.iter().find_map(|h| h.via)).or(route.src);
        route.family = asked.unwrap_or_else(|| via.map_or(AF_INET, family));
    } else {
        let net = parse_cidr(dst)?;
        if net.addr() != net.network() {
            return Err(Error::invalid(format!("`{dst}` has bits beyond its prefix length"))
                .with_target(dst)
                .with_hint(format!("the network is {}/{}", net.network(), net.prefix_len())));
        }
        route.family = family(net.addr());
        route.dst = (net.prefix_len() > 0).then_some(net);
        if asked.is_some_and(|f| f != route.family) {
            return Err(Error::invalid(format!("`{dst}` is not of the family asked for")));
        }
    }
    if let Some(time) = opts.duration("expires")? {
        if route.family != AF_INET6 {
            return Err(
                Error::invalid("option `expires` is of routes of IPv6: those of IPv4 stay").with_target("expires")
            );
        }
        let seconds = u32::try_from(time.as_secs())
            .ok()
            .filter(|s| *s > 0)
            .ok_or_else(|| Error::invalid("option `expires` must be a second or more").with_target("expires"))?;
        let words = format!("expires {seconds}");
        route.more.push(KindOption { code: RTA_EXPIRES, value: seconds.to_ne_bytes().to_vec(), words });
    }
    if let Some(via) = route.via
        && route.family == AF_INET6
        && via.is_ipv4()
    {
        return Err(Error::invalid(format!("an IPv6 route can't go via the IPv4 address {via}")));
    }
    Ok(route)
}

pub(super) fn place(session: &Session, ns: Option<&Dynamic>) -> Result<Ns> {
    ns.map_or_else(|| Ok(session.current()), |ns| value::ns(session, ns))
}

fn add(session: &Session, ns: Option<&Dynamic>, dst: &str, options: Map) -> Result<()> {
    let ns = place(session, ns)?;
    let opts = Opts::new("route", options, &known())?;
    let mode = match (opts.bool("replace")? == Some(true), opts.bool("append")? == Some(true)) {
        (true, true) => return Err(Error::invalid("route: `replace` and `append` exclude each other")),
        (true, _) => AddMode::Replace,
        (_, true) => AddMode::Append,
        _ => AddMode::Create,
    };
    let route = spec(session, &ns, dst, &opts)?;
    let plain = route.kind.is_none_or(|k| k == 1 || k == 2);
    if plain && route.via.is_none() && route.dev.is_none() && route.hops.is_empty() && route.nhid.is_none() {
        return Err(Error::invalid(format!("route {dst}: neither `via` nor `dev` is given"))
            .with_target(dst)
            .with_hint("route(ns, dst, #{ via: \"10.0.0.254\" }) or #{ dev: \"eth0\" }; or #{ type: \"blackhole\" }"));
    }
    if route.src.is_some_and(|src| src.is_ipv6()) {
        // An address that is still tentative can't be a source: the kernel says EINVAL (ip6_route_info_create).
        session.settle()?;
    }
    session.perform(Verb::RecAdd { ns, rec: route.record(false), words: route.words(), mode }).map(|_| ())
}

fn del(session: &Session, ns: Option<&Dynamic>, dst: &str, options: Map) -> Result<()> {
    let ns = place(session, ns)?;
    let opts = Opts::new("route_del", options, &known())?;
    let route = spec(session, &ns, dst, &opts)?;
    session.perform(Verb::RecDel { ns, rec: route.record(true), words: route.words() }).map(|_| ())
}

fn get(session: &Session, ns: Option<&Dynamic>, dst: &str, options: Map) -> Result<Map> {
    let ns = place(session, ns)?;
    let opts = Opts::new("route_get", options, &["from", "dev", "iif", "mark"])?;
    let dst = parse_ip(dst)?;
    let length = if dst.is_ipv4() { 32 } else { 128 };
    let mut body = vec![family(dst), length, 0, 0, 0, 0, 0, 0];
    // RTM_F_LOOKUP_TABLE: the table that the route is in, as `ip route get` asks
    body.extend_from_slice(&0x1000u32.to_ne_bytes());
    nla::put(&mut body, RTA_DST, &octets(dst));
    if let Some(from) = opts.text("from")? {
        let from = parse_ip(&from)?;
        body[2] = length;
        nla::put(&mut body, RTA_SRC, &octets(from));
    }
    for (key, code) in [("dev", RTA_OIF), ("iif", crate::plan::record::RTA_IIF)] {
        if let Some(value) = opts.get(key) {
            nla::put(&mut body, code, &device(session, &ns, value)?.0.to_ne_bytes());
        }
    }
    if let Some(mark) = opts.u32("mark", u32::MAX)? {
        nla::put(&mut body, 16, &mark.to_ne_bytes()); // RTA_MARK
    }
    let answer = session.kernel().route_get(&ns, &body).map_err(|e| {
        let errno = e.errno;
        match errno {
            libc::ENETUNREACH | libc::EHOSTUNREACH => {
                Error::new(Kind::Unreachable, format!("there is no route to {dst} in {}", ns.label()))
                    .with_errno(errno)
                    .with_ns(&ns.name)
                    .with_target(dst.to_string())
                    .with_hint("routes() lists those that there are; route(…) adds one")
            }
            _ => e,
        }
    })?;
    let rec = Rec { what: What::Route, body: answer, ends: None };
    Ok(show::route_map(&rec, &Names::new(session, &ns), &Tables::read()))
}

fn list(session: &Session, ns: Option<&Dynamic>, options: Map) -> Result<Array> {
    let opts = Opts::new("routes", options, &["table", "vrf"])?;
    let (ns, only) = match ns {
        Some(ns) => show::place(session, ns)?,
        None => (session.current(), None),
    };
    let table = match opts.get("table") {
        Some(value) if value.is_string() && text(value, "table")? == "all" => None,
        _ => Some(table::given(session, &ns, &opts)?.unwrap_or(254)),
    };
    show::routes(session, &ns, only, table)
}

/// Whether `10.0.0.1` is meant as a destination: for the error of a forgotten map.
fn looks_like_destination(word: &str) -> bool {
    word == "default" || word.parse::<IpAddr>().is_ok() || word.contains('/')
}

#[export_module]
pub mod functions {
    /// Adds a route, as `ip route add`. The destination is `"default"`, a subnet or an address.
    ///
    /// Options: `via`, `dev`, `metric`, `table` (a number, `"main"`, `"local"`, a name in `/etc/iproute2/rt_tables`), `vrf` (the
    /// table of that device), `src`, `scope`, `proto`, `type` (`"unicast"`,
    /// `"blackhole"`, `"unreachable"`, `"prohibit"`, `"throw"`, `"local"` …), `onlink`, `tos`, `pref`, `nhid` (a nexthop object),
    /// `family` (for a default route without a gateway), the metrics `mtu`, `advmss`, `initcwnd`, `initrwnd`, `hoplimit`,
    /// `window`, `rtt`, `rttvar`, `rto_min` (`"200ms"`), `cwnd`, `ssthresh`, `reordering`, `quickack`, `fastopen_no_cookie`,
    /// `features` (`"ecn"`), `congctl` (each also as `"lock 1400"`), `nexthops` (an array of maps with `via`, `dev`, `weight`,
    /// `onlink`), and `replace: true` or `append: true`.
    ///
    /// `expires` (`"60s"`, IPv6 only): the kernel drops the route then.
    ///
    /// `encap` puts something around the packets: `#{ type: "mpls", labels: [100, 200], ttl }`,
    /// `#{ type: "seg6", mode: "encap", segs: ["fc00::1"] }`, `#{ type: "ip", id, dst, src, ttl, tos }` (`"ip6"` too);
    /// `#{ type: "seg6local", action: "End.DX6", nh6: "fd00::2" }` is what a router does for a segment of its own (RFC 8986), with
    /// `nh4`, `nh6`, `table`, `vrftable`, `iif`, `oif`, `segs`, `count` as the action needs. A route
    /// of MPLS has `family: "mpls"`, a label as its destination, and `to`: the labels that take its place.
    ///
    /// Errors: `exists`, `unreachable` for a gateway that no subnet holds, `not_found` for the device, `invalid`.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// veth("h1:eth0", "h1:eth1", #{ up: true, addr: "10.0.0.1/24" });
    /// route(h, "default", #{ via: "10.0.0.254" });
    /// route(h, "10.9.0.0/16", #{ type: "blackhole" });
    /// assert_eq(routes(h).filter(|r| r.dst == "default")[0].via, "10.0.0.254");
    /// ```
    #[rhai_fn(name = "route", return_raw)]
    pub fn route(ctx: NativeCallContext, dst: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| {
            add(s, None, dst, options).map_err(|e| {
                if looks_like_destination(dst) {
                    e
                } else {
                    e.with_hint("route(dst, #{…}) or route(ns, dst, #{…})")
                }
            })
        })
    }

    #[rhai_fn(name = "route", return_raw)]
    pub fn route_in(ctx: NativeCallContext, ns: Dynamic, dst: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, Some(&ns), dst, options))
    }

    /// Deletes a route, as `ip route del`: the first that has the destination and what else is given (the options of
    /// `route`). Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// route("h1", "10.9.0.0/16", #{ type: "blackhole" });
    /// route_del("h1", "10.9.0.0/16");
    /// assert_eq(routes("h1"), []);
    /// ```
    #[rhai_fn(name = "route_del", return_raw)]
    pub fn route_del(ctx: NativeCallContext, dst: &str) -> Fallible<()> {
        run(&ctx, |s| del(s, None, dst, Map::new()))
    }

    #[rhai_fn(name = "route_del", return_raw)]
    pub fn route_del_with(ctx: NativeCallContext, dst: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| del(s, None, dst, options))
    }

    #[rhai_fn(name = "route_del", return_raw)]
    pub fn route_del_in(ctx: NativeCallContext, ns: Dynamic, dst: &str) -> Fallible<()> {
        run(&ctx, |s| del(s, Some(&ns), dst, Map::new()))
    }

    #[rhai_fn(name = "route_del", return_raw)]
    pub fn route_del_in_with(ctx: NativeCallContext, ns: Dynamic, dst: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| del(s, Some(&ns), dst, options))
    }

    /// The route that a packet to this address would take, as `ip route get`: a map like those of `routes`. Options:
    /// `from`, `dev`, `iif`, `mark`. Errors: `unreachable`.
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// assert_eq(route_get("h1", "127.0.0.1").dev, "lo");
    /// ```
    #[rhai_fn(name = "route_get", return_raw)]
    pub fn route_get(ctx: NativeCallContext, dst: &str) -> Fallible<Map> {
        run(&ctx, |s| get(s, None, dst, Map::new()))
    }

    #[rhai_fn(name = "route_get", return_raw)]
    pub fn route_get_with(ctx: NativeCallContext, dst: &str, options: Map) -> Fallible<Map> {
        run(&ctx, |s| get(s, None, dst, options))
    }

    #[rhai_fn(name = "route_get", return_raw)]
    pub fn route_get_in(ctx: NativeCallContext, ns: Dynamic, dst: &str) -> Fallible<Map> {
        run(&ctx, |s| get(s, Some(&ns), dst, Map::new()))
    }

    #[rhai_fn(name = "route_get", return_raw)]
    pub fn route_get_in_with(ctx: NativeCallContext, ns: Dynamic, dst: &str, options: Map) -> Fallible<Map> {
        run(&ctx, |s| get(s, Some(&ns), dst, options))
    }

    /// The routes of the current namespace, of `ns`, or of one device, IPv4 and IPv6: those of table main, or with
    /// `#{ table: "all" }` (or a number, `"local"`) of others. An array of maps with `family`, `dst`, `type`, `via`, `dev`,
    /// `src`, `metric`, `table`, `proto`, `scope`, `tos`, `onlink`, `linkdown`, `nhid`, `expires` (seconds, or `()`), `mtu`, `metrics` (times in milliseconds), `locked` (the names of locked
    /// metrics), `encap`, `swap` (of MPLS) and `nexthops`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// veth("h1:a", "h1:b", #{ up: true, addr: "10.0.0.1/24" });
    /// assert_eq(routes("h1:a").filter(|r| r.family == "inet").map(|r| r.dst), ["10.0.0.0/24"]);
    /// ```
    #[rhai_fn(name = "routes", return_raw)]
    pub fn routes(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None, Map::new()))
    }

    #[rhai_fn(name = "routes", return_raw)]
    pub fn routes_with(ctx: NativeCallContext, options: Map) -> Fallible<Array> {
        run(&ctx, |s| list(s, None, options))
    }

    #[rhai_fn(name = "routes", return_raw)]
    pub fn routes_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns), Map::new()))
    }

    #[rhai_fn(name = "routes", return_raw)]
    pub fn routes_in_with(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns), options))
    }
}

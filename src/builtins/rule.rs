//! Rules of policy routing: which routing table a packet is looked up in (ip-rule(8)).

use super::route::table::{self, Tables};
use super::route::{family_option, named, place};
use super::show;
use crate::engine::Session;
use crate::engine::value::{self, Fallible, LinkHandle, Opts, put, put_int, run, text};
use crate::plan::addr::{family, parse_cidr, proto_name, proto_of};
use crate::plan::name::check_ifname;
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::rule::{
    RuleSpec, action_name, action_of, ip_proto_name, ip_proto_of, parse_mark, parse_range, spec_of,
};
use crate::plan::{AddMode, Error, Ns, Result, Verb, What};
use ipnet::IpNet;
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

const KNOWN: &[&str] = &[
    "from",
    "to",
    "iif",
    "oif",
    "fwmark",
    "table",
    "vrf",
    "priority",
    "suppress_prefixlength",
    "suppress_ifgroup",
    "uidrange",
    "ipproto",
    "sport",
    "dport",
    "tos",
    "type",
    "jump",
    "l3mdev",
    "not",
    "proto",
    "tun_id",
    "family",
];

/// An address with or without a length; `"all"` is none.
fn net(opts: &Opts, key: &str) -> Result<Option<IpNet>> {
    let Some(word) = opts.text(key)?.filter(|w| !matches!(w.as_str(), "all" | "any" | "default")) else {
        return Ok(None);
    };
    let net = parse_cidr(&word)?;
    if net.addr() != net.network() {
        return Err(Error::invalid(format!("`{word}` has bits beyond its prefix length"))
            .with_target(&word)
            .with_hint(format!("the network is {}/{}", net.network(), net.prefix_len())));
    }
    Ok(Some(net))
}

/// A device by name, which need not be there yet, or by its handle.
fn device(session: &Session, ns: &Ns, opts: &Opts, key: &str) -> Result<Option<String>> {
    let Some(value) = opts.get(key) else { return Ok(None) };
    if value.clone().try_cast::<LinkHandle>().is_some() {
        return value::device(session, Some(ns), value).map(|d| Some(d.link.name));
    }
    let name = text(value, &format!("option `{key}`"))?;
    check_ifname(&name)?;
    Ok(Some(name))
}

/// `"80-90"`, `"80"` or 80.
fn range(opts: &Opts, key: &str, max: u32) -> Result<Option<(u32, u32)>> {
    let Some(value) = opts.get(key) else { return Ok(None) };
    let word = value.as_int().map_or_else(|_| text(value, &format!("option `{key}`")), |n| Ok(n.to_string()))?;
    parse_range(&word, &format!("option `{key}`"), max).map(Some)
}

fn ports(opts: &Opts, key: &str) -> Result<Option<(u16, u16)>> {
    let short = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Ok(range(opts, key, u32::from(u16::MAX))?.map(|(from, to)| (short(from), short(to))))
}

fn spec(session: &Session, ns: &Ns, function: &str, options: Map) -> Result<RuleSpec> {
    let opts = Opts::new(function, options, KNOWN)?;
    let (from, to) = (net(&opts, "from")?, net(&opts, "to")?);
    let given = from.or(to).map(|n| family(n.addr()));
    let asked = family_option(&opts)?;
    if let (Some(asked), Some(given)) = (asked, given)
        && asked != given
    {
        return Err(Error::invalid(format!("{function}: `from` or `to` is not of the family asked for")));
    }
    let fwmark = match opts.get("fwmark") {
        Some(value) => {
            let word = value.as_int().map_or_else(|_| text(value, "option `fwmark`"), |n| Ok(n.to_string()))?;
            Some(parse_mark(&word)?)
        }
        None => None,
    };
    let rule = RuleSpec {
        family: given.or(asked).unwrap_or(AF_INET),
        from,
        to,
        iif: device(session, ns, &opts, "iif")?,
        oif: device(session, ns, &opts, "oif")?,
        fwmark,
        table: table::given(session, ns, &opts)?,
        priority: opts.u32("priority", u32::MAX)?,
        suppress_prefixlength: opts.u32("suppress_prefixlength", 128)?,
        suppress_ifgroup: opts.u32("suppress_ifgroup", u32::MAX - 1)?,
        uidrange: range(&opts, "uidrange", u32::MAX - 1)?,
        ipproto: named(&opts, "ipproto", ip_proto_of)?,
        sport: ports(&opts, "sport")?,
        dport: ports(&opts, "dport")?,
        tos: opts.int("tos", 0..=255)?.and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
        action: named(&opts, "type", action_of)?,
        goto: opts.u32("jump", u32::MAX)?,
        l3mdev: opts.bool("l3mdev")?.unwrap_or(false),
        not: opts.bool("not")?.unwrap_or(false),
        proto: named(&opts, "proto", proto_of)?,
        tun_id: opts.int("tun_id", 0..=i64::MAX)?.and_then(|n| u64::try_from(n).ok()),
    };
    rule.check()?;
    Ok(rule)
}

fn add(session: &Session, ns: Option<&Dynamic>, options: Map) -> Result<()> {
    let ns = place(session, ns)?;
    let rule = spec(session, &ns, "rule", options)?;
    let verb = Verb::RecAdd { ns, rec: rule.record(false), words: rule.words(), mode: AddMode::Create };
    session.perform(verb).map(|_| ())
}

fn del(session: &Session, ns: Option<&Dynamic>, options: Map) -> Result<()> {
    let ns = place(session, ns)?;
    if options.is_empty() {
        return Err(Error::invalid("rule_del: which one? No option is given")
            .with_hint("rule_del(ns, #{ priority: 500 }), or any of what rules(ns) shows"));
    }
    let rule = spec(session, &ns, "rule_del", options)?;
    session.perform(Verb::RecDel { ns, rec: rule.record(true), words: rule.words() }).map(|_| ())
}

fn list(session: &Session, ns: Option<&Dynamic>, options: Map) -> Result<Array> {
    let ns = place(session, ns)?;
    let only = family_option(&Opts::new("rules", options, &["family"])?)?;
    let tables = Tables::read();
    let wanted = |f: u8| (f == AF_INET || f == AF_INET6) && only.is_none_or(|only| only == f);
    let all = show::raw(session, &ns, What::Rule)?;
    Ok(all.iter().filter(|r| wanted(r.family())).map(|r| map(r, &tables).into()).collect())
}

fn map(rec: &crate::plan::Rec, tables: &Tables) -> Map {
    let rule = spec_of(rec);
    let mut map = Map::new();
    let or_unit = |n: Option<u32>| n.map_or(Dynamic::UNIT, |n| INT::from(n).into());
    let text = |t: Option<String>| t.map_or(Dynamic::UNIT, Dynamic::from);
    let net = |n: Option<IpNet>| {
        n.map_or_else(
            || "all".to_string(),
            |n| if n.prefix_len() == n.max_prefix_len() { n.addr().to_string() } else { n.to_string() },
        )
    };
    let span = |from: u32, to: u32| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let ports = |p: Option<(u16, u16)>| text(p.map(|(from, to)| span(from.into(), to.into())));
    put(&mut map, "family", show::family(rec));
    put(&mut map, "priority", or_unit(rule.priority));
    put(&mut map, "from", net(rule.from));
    put(&mut map, "to", net(rule.to));
    put(&mut map, "iif", text(rule.iif));
    put(&mut map, "oif", text(rule.oif));
    put(&mut map, "fwmark", or_unit(rule.fwmark.map(|(mark, _)| mark)));
    put(&mut map, "fwmask", or_unit(rule.fwmark.and_then(|(_, mask)| mask)));
    put(&mut map, "table", text(rule.table.map(|t| tables.name(t))));
    put(&mut map, "type", action_name(rec.byte(7)));
    put(&mut map, "jump", or_unit(rule.goto));
    put(&mut map, "suppress_prefixlength", or_unit(rule.suppress_prefixlength));
    put(&mut map, "suppress_ifgroup", or_unit(rule.suppress_ifgroup));
    put(&mut map, "uidrange", text(rule.uidrange.map(|(from, to)| span(from, to))));
    put(&mut map, "ipproto", text(rule.ipproto.map(ip_proto_name)));
    put(&mut map, "sport", ports(rule.sport));
    put(&mut map, "dport", ports(rule.dport));
    put_int(&mut map, "tos", rule.tos);
    put(&mut map, "l3mdev", rule.l3mdev);
    put(&mut map, "not", rule.not);
    put(&mut map, "proto", proto_name(rule.proto.unwrap_or(0)));
    put(&mut map, "tun_id", rule.tun_id.map_or(Dynamic::UNIT, |id| INT::try_from(id).unwrap_or(INT::MAX).into()));
    // FIB_RULE_UNRESOLVED, _IIF_DETACHED, _OIF_DETACHED
    put(&mut map, "unresolved", rec.byte(8) & 4 != 0);
    put(&mut map, "detached", rec.byte(8) & 0x18 != 0);
    map
}

#[export_module]
pub mod functions {
    /// Adds a rule of policy routing, as `ip rule add`: packets that it describes are looked up in its table. IPv4, unless
    /// an address in it or `family: "inet6"` says IPv6; for both, add it twice.
    ///
    /// What it describes: `from`, `to` (addresses or subnets), `iif`, `oif` (device names; they need not be there yet),
    /// `fwmark` (a number, or `"0x1/0xff"` with a mask), `tos`, `uidrange` (`"0-1000"`), `ipproto` (`"tcp"`, a number),
    /// `sport`, `dport` (a port, or `"80-90"`), `tun_id`, `l3mdev: true`, and `not: true` for everything else.
    ///
    /// What is done: `table` (a number, `"main"` and so on, or a name in `/etc/iproute2/rt_tables`; default `"main"`),
    /// `vrf` (the table of that device), `type` (`"blackhole"`, `"unreachable"`, `"prohibit"`, `"nop"`), or `jump` (the priority
    /// to go on with: the `goto` of `ip`). `suppress_prefixlength` and `suppress_ifgroup` pass over results.
    /// `priority`: lower is earlier; without one the kernel puts it before those that there are. `proto`: who made it.
    ///
    /// Errors: `exists`, `invalid`.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// rule(h, #{ from: "10.1.0.0/24", table: 100, priority: 500 });
    /// rule(h, #{ fwmark: 7, ipproto: "tcp", dport: "80-90", type: "prohibit", priority: 400 });
    /// let ours = rules(h).filter(|r| r.priority in 1..1000);
    /// assert_eq(ours.map(|r| [r.priority, r.type, r.table]), [[400, "prohibit", ()], [500, "table", "100"]]);
    /// ```
    #[rhai_fn(name = "rule", return_raw)]
    pub fn rule(ctx: NativeCallContext, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, None, options))
    }

    #[rhai_fn(name = "rule", return_raw)]
    pub fn rule_in(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, Some(&ns), options))
    }

    /// Deletes a rule, as `ip rule del`: the first of its family that is as the options (those of `rule`) say. Errors:
    /// `not_found`.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// rule(h, #{ from: "10.1.0.0/24", table: 100, priority: 500 });
    /// rule_del(h, #{ priority: 500 });
    /// assert_eq(rules(h).filter(|r| r.table == "100"), []);
    /// ```
    #[rhai_fn(name = "rule_del", return_raw)]
    pub fn rule_del(ctx: NativeCallContext, options: Map) -> Fallible<()> {
        run(&ctx, |s| del(s, None, options))
    }

    #[rhai_fn(name = "rule_del", return_raw)]
    pub fn rule_del_in(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| del(s, Some(&ns), options))
    }

    /// The rules of the current namespace, or of `ns`, IPv4 and IPv6 (option `family` for one of them), in the order in which
    /// they are asked. An array of maps with `family`, `priority`, `from`, `to` (`"all"` for any), `iif`, `oif`, `fwmark`,
    /// `fwmask`, `table`, `type` (`"table"`, `"goto"`, `"blackhole"` …), `jump`, `suppress_prefixlength`, `suppress_ifgroup`,
    /// `uidrange`, `ipproto`, `sport`, `dport`, `tos`, `l3mdev`, `not`, `proto`, `tun_id`, `unresolved` (the target of a jump
    /// is not there) and `detached` (the device is not there).
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// assert_eq(rules(h, #{ family: "inet" }).map(|r| r.table), ["local", "main", "default"]);
    /// ```
    #[rhai_fn(name = "rules", return_raw)]
    pub fn rules(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None, Map::new()))
    }

    #[rhai_fn(name = "rules", return_raw)]
    pub fn rules_with(ctx: NativeCallContext, options: Map) -> Fallible<Array> {
        run(&ctx, |s| list(s, None, options))
    }

    #[rhai_fn(name = "rules", return_raw)]
    pub fn rules_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns), Map::new()))
    }

    #[rhai_fn(name = "rules", return_raw)]
    pub fn rules_in_with(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns), options))
    }
}

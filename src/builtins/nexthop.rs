//! Nexthop objects: gateways with an id of their own, and groups of them, which routes go by (ip-nexthop(8)).

use super::route::encap;
use super::route::{device, family_option, named, place};
use super::show::{self, Names};
use crate::engine::Session;
use crate::engine::value::{Fallible, Opts, put, put_int, run, what};
use crate::plan::addr::{parse_ip, proto_name, proto_of, scope_name};
use crate::plan::encap::Encap;
use crate::plan::nexthop::{
    GroupKind, NHA_BLACKHOLE, NHA_ENCAP, NHA_ENCAP_TYPE, NHA_FDB, NHA_GATEWAY, NHA_GROUP, NHA_ID, NexthopSpec, members,
    removal, resilient,
};
use crate::plan::{AddMode, Error, Kind, Rec, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

const KNOWN: &[&str] = &[
    "via",
    "dev",
    "blackhole",
    "group",
    "type",
    "buckets",
    "idle_timer",
    "unbalanced_timer",
    "onlink",
    "fdb",
    "proto",
    "encap",
    "family",
    "replace",
];

fn id_of(id: INT) -> Result<u32> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| Error::invalid(format!("a nexthop's id is 1 to {}, not {id}", u32::MAX)))
}

/// A member of a group: an id, or a map with `id` and `weight`.
fn member(value: &Dynamic) -> Result<(u32, u32)> {
    if let Ok(id) = value.as_int() {
        return Ok((id_of(id)?, 1));
    }
    let Some(map) = value.clone().try_cast::<Map>() else {
        return Err(Error::invalid(format!("a member of `group` is an id or #{{ id, weight }}, not {}", what(value))));
    };
    let opts = Opts::new("a member of `group`", map, &["id", "weight"])?;
    let id = opts.int("id", 1..=i64::from(u32::MAX))?.unwrap_or(0);
    let weight = opts.int("weight", 1..=256)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    Ok((id_of(id)?, weight))
}

/// A timer in hundredths of a second, which is what the kernel counts in (`clock_t`).
fn timer(opts: &Opts, key: &str) -> Result<Option<u32>> {
    let Some(time) = opts.duration(key)? else { return Ok(None) };
    u32::try_from(time.as_millis() / 10)
        .map(Some)
        .map_err(|_| Error::invalid(format!("option `{key}` of nexthop: too long")))
}

fn spec(session: &Session, ns: &crate::plan::Ns, id: u32, opts: &Opts) -> Result<NexthopSpec> {
    let group = opts.array("group")?.unwrap_or_default().iter().map(member).collect::<Result<Vec<_>>>()?;
    if opts.get("group").is_some() && group.is_empty() {
        return Err(Error::invalid(format!("nexthop {id}: the group is empty")));
    }
    let kind = match opts.text("type")?.as_deref() {
        None | Some("mpath") => GroupKind::Mpath,
        Some("resilient") => GroupKind::Resilient {
            buckets: opts.int("buckets", 1..=65535)?.and_then(|n| u16::try_from(n).ok()),
            idle: timer(opts, "idle_timer")?,
            unbalanced: timer(opts, "unbalanced_timer")?,
        },
        Some(word) => {
            return Err(Error::invalid(format!("nexthop {id}: `type` can't be `{word}`"))
                .with_hint("\"mpath\" or \"resilient\", of a group"));
        }
    };
    if kind == GroupKind::Mpath
        && let Some(key) = ["buckets", "idle_timer", "unbalanced_timer"].iter().find(|k| opts.get(k).is_some())
    {
        return Err(Error::invalid(format!("nexthop {id}: `{key}` is of resilient groups"))
            .with_hint("add type: \"resilient\""));
    }
    let spec = NexthopSpec {
        id,
        via: opts.text("via")?.map(|v| parse_ip(&v)).transpose()?,
        dev: opts.get("dev").map(|d| device(session, ns, d)).transpose()?,
        family: family_option(opts)?,
        blackhole: opts.bool("blackhole")?.unwrap_or(false),
        onlink: opts.bool("onlink")?.unwrap_or(false),
        fdb: opts.bool("fdb")?.unwrap_or(false),
        proto: named(opts, "proto", proto_of)?,
        encap: opts.map("encap")?.map(|map| encap::read(session, ns, map)).transpose()?,
        group,
        kind,
    };
    spec.check()?;
    Ok(spec)
}

fn add(session: &Session, ns: Option<&Dynamic>, id: INT, options: Map) -> Result<()> {
    let ns = place(session, ns)?;
    let opts = Opts::new("nexthop", options, KNOWN)?;
    let nexthop = spec(session, &ns, id_of(id)?, &opts)?;
    let mode = if opts.bool("replace")? == Some(true) { AddMode::Replace } else { AddMode::Create };
    session.perform(Verb::RecAdd { ns, rec: nexthop.record(), words: nexthop.words(), mode }).map(|_| ())
}

fn del(session: &Session, ns: Option<&Dynamic>, id: INT) -> Result<()> {
    let ns = place(session, ns)?;
    let id = id_of(id)?;
    let found = show::raw(session, &ns, What::Nexthop)?.into_iter().any(|r| r.attr_u32(NHA_ID) == Some(id));
    if !found {
        return Err(Error::new(Kind::NotFound, format!("there is no nexthop {id} in {}", ns.label()))
            .with_op("nexthop_del")
            .with_ns(&ns.name)
            .with_target(id.to_string())
            .with_errno(libc::ENOENT)
            .with_hint("nexthops(…) lists those that there are"));
    }
    session.perform(Verb::RecDel { ns, rec: removal(id), words: format!("id {id}") }).map(|_| ())
}

fn list(session: &Session, ns: Option<&Dynamic>) -> Result<Array> {
    let (ns, only) = match ns {
        Some(value) => show::place(session, value)?,
        None => (session.current(), None),
    };
    let names = Names::new(session, &ns);
    let all = show::raw(session, &ns, What::Nexthop)?;
    let wanted = |r: &&Rec| only.is_none_or(|only| r.devices().contains(&only));
    Ok(all.iter().filter(wanted).map(|r| map(r, &names).into()).collect())
}

fn map(rec: &Rec, names: &Names<'_>) -> Map {
    let mut map = Map::new();
    let flags = rec.byte(4);
    let group = rec.attr(NHA_GROUP).is_some();
    put_int(&mut map, "id", rec.attr_u32(NHA_ID).unwrap_or_default());
    put(&mut map, "family", if group { Dynamic::UNIT } else { show::family(rec).into() });
    put(&mut map, "via", show::ip_or_unit(rec.ip(NHA_GATEWAY)));
    let dev = rec.devices().first().copied();
    put(&mut map, "dev", dev.map_or(Dynamic::UNIT, |index| names.get(index).into()));
    put(&mut map, "blackhole", rec.attr(NHA_BLACKHOLE).is_some());
    put(&mut map, "scope", scope_name(rec.byte(1)));
    put(&mut map, "proto", proto_name(rec.byte(2)));
    put(&mut map, "onlink", flags & 4 != 0);
    put(&mut map, "linkdown", flags & 16 != 0);
    put(&mut map, "fdb", rec.attr(NHA_FDB).is_some());
    put(
        &mut map,
        "encap",
        encap::show(Encap::read(rec.attr(NHA_ENCAP_TYPE), rec.attr(NHA_ENCAP)).as_ref(), |i| names.get(i)),
    );
    let members: Array = members(rec)
        .into_iter()
        .map(|(id, weight)| {
            let mut member = Map::new();
            put_int(&mut member, "id", id);
            put_int(&mut member, "weight", weight);
            member.into()
        })
        .collect();
    put(&mut map, "group", members);
    let resilient = resilient(rec);
    let kind = match (group, resilient) {
        (false, _) => Dynamic::UNIT,
        (true, Some(_)) => "resilient".into(),
        (true, None) => "mpath".into(),
    };
    put(&mut map, "type", kind);
    put(&mut map, "buckets", resilient.map_or(Dynamic::UNIT, |(n, _, _)| INT::from(n).into()));
    // Hundredths of a second; scripts see milliseconds.
    let ms = |time: u32| Dynamic::from(f64::from(time) * 10.0);
    put(&mut map, "idle_timer", resilient.map_or(Dynamic::UNIT, |(_, t, _)| ms(t)));
    put(&mut map, "unbalanced_timer", resilient.map_or(Dynamic::UNIT, |(_, _, t)| ms(t)));
    map
}

#[export_module]
pub mod functions {
    /// Adds a nexthop object with an id of its own (from 1), as `ip nexthop add`: routes with `nhid` go by it. Options: `via`
    /// and `dev`; or `blackhole: true` (with the loopback up); or `group`, an array of ids or of maps with `id` and `weight` (1 to 256). Also
    /// `onlink`, `fdb`, `proto`, `encap` (as of `route`), `family` (for one without a gateway), `replace: true`.
    ///
    /// Groups are `type` `"mpath"` (by the hash of the flow), or `"resilient"` (by a table of `buckets` that keeps flows
    /// where they are, with `idle_timer` and `unbalanced_timer`: seconds, or `"100ms"`).
    ///
    /// Undo takes it away; of one that was replaced it brings the old one back. Errors: `exists`, `invalid`, `unreachable`.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// veth("h1:a", "h1:b", #{ up: true, addr: "10.0.0.1/24" });
    /// nexthop(h, 1, #{ via: "10.0.0.2", dev: "a" });
    /// nexthop(h, 2, #{ via: "10.0.0.3", dev: "a" });
    /// nexthop(h, 10, #{ group: [1, #{ id: 2, weight: 3 }] });
    /// route(h, "10.9.0.0/16", #{ nhid: 10 });
    /// assert_eq(nexthops(h).map(|n| n.id), [1, 2, 10]);
    /// assert_eq(routes(h).filter(|r| r.dst == "10.9.0.0/16")[0].nhid, 10);
    /// ```
    #[rhai_fn(name = "nexthop", return_raw)]
    pub fn nexthop(ctx: NativeCallContext, id: INT, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, None, id, options))
    }

    #[rhai_fn(name = "nexthop", return_raw)]
    pub fn nexthop_in(ctx: NativeCallContext, ns: Dynamic, id: INT, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, Some(&ns), id, options))
    }

    /// Deletes a nexthop object, as `ip nexthop del`. The kernel takes it out of its groups, and deletes the routes that go
    /// by it; undo brings all of it back. Errors: `not_found`.
    ///
    /// ```rhai
    /// let h = netns_add("h1", #{ lo: true });
    /// nexthop(h, 1, #{ blackhole: true });
    /// nexthop_del(h, 1);
    /// assert_eq(nexthops(h), []);
    /// ```
    #[rhai_fn(name = "nexthop_del", return_raw)]
    pub fn nexthop_del(ctx: NativeCallContext, id: INT) -> Fallible<()> {
        run(&ctx, |s| del(s, None, id))
    }

    #[rhai_fn(name = "nexthop_del", return_raw)]
    pub fn nexthop_del_in(ctx: NativeCallContext, ns: Dynamic, id: INT) -> Fallible<()> {
        run(&ctx, |s| del(s, Some(&ns), id))
    }

    /// The nexthop objects of the current namespace, of `ns`, or of one device, by id. An array of maps with `id`, `family`,
    /// `via`, `dev`, `blackhole`, `scope`, `proto`, `onlink`, `linkdown`, `fdb`, `encap`, `group` (an array of maps with `id`
    /// and `weight`), `type` (of groups), `buckets`, `idle_timer` and `unbalanced_timer` (milliseconds).
    ///
    /// ```rhai
    /// let h = netns_add("h1", #{ lo: true });
    /// nexthop(h, 7, #{ blackhole: true });
    /// assert_eq(nexthops(h).map(|n| [n.id, n.blackhole]), [[7, true]]);
    /// ```
    #[rhai_fn(name = "nexthops", return_raw)]
    pub fn nexthops(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None))
    }

    #[rhai_fn(name = "nexthops", return_raw)]
    pub fn nexthops_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns)))
    }
}

//! Queues: qdiscs, classes and filters, as `tc` writes them (tc(8)).

pub mod class;
pub mod filter;
pub mod qdisc;
pub mod shape;
pub mod throughput;

use crate::engine::Session;
use crate::engine::value::{self, Device, put, put_int, what};
use crate::plan::tc::{self, Params, TCA_STATS2, Value};
use crate::plan::{Error, Rec, Result, What, nla};
use rhai::{Array, Dynamic, INT, Map};
use std::collections::BTreeMap;

/// An option's value as the text that `tc` would be given: lists with blanks between.
fn word(key: &str, value: &Dynamic) -> Result<String> {
    if let Ok(flag) = value.as_bool() {
        return Ok(flag.to_string());
    }
    if let Ok(number) = value.as_int() {
        return Ok(number.to_string());
    }
    if let Ok(number) = value.as_float() {
        return Ok(number.to_string());
    }
    if let Ok(all) = value.clone().into_array() {
        return Ok(all.iter().map(|v| word(key, v)).collect::<Result<Vec<_>>>()?.join(" "));
    }
    value.clone().into_string().map_err(|_| {
        Error::invalid(format!("option `{key}` must be a string, a number or a boolean, not {}", what(value)))
            .with_target(key)
    })
}

/// The options of a call, all but `apart`, as texts.
fn params(kind: &str, options: &Map, apart: &[&'static str]) -> Result<Params> {
    let mut texts = BTreeMap::new();
    for (key, value) in options {
        if !value.is_unit() && !apart.contains(&key.as_str()) {
            texts.insert(key.to_string(), word(key, value)?);
        }
    }
    let mut params = Params::new(kind, texts);
    params.known(apart);
    Ok(params)
}

/// A value that the kernel shows, for scripts: rates in bits a second, times in milliseconds, sizes in bytes.
fn shown(value: Value) -> Dynamic {
    let int = |n: u64| Dynamic::from(INT::try_from(n).unwrap_or(INT::MAX));
    match value {
        Value::None => Dynamic::UNIT,
        Value::Bool(b) => b.into(),
        Value::Int(n) => n.into(),
        Value::Text(t) => t.into(),
        Value::List(all) => all.into_iter().map(shown).collect::<Array>().into(),
        Value::Map(all) => map_of(all).into(),
        Value::Rate(n) | Value::Size(n) => int(n),
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        Value::Time(ns) => (ns as f64 / 1e6).into(),
        Value::Percent(p) | Value::Share(p) => ((p * 1e6).round() / 1e6).into(),
    }
}

fn map_of(all: Vec<(&'static str, Value)>) -> Map {
    all.into_iter().map(|(key, value)| (key.into(), shown(value))).collect()
}

/// `TCA_STATS2`: bytes, packets, drops, overlimits, requeues, backlog (bytes) and qlen (packets).
fn put_stats(map: &mut Map, rec: &Rec) {
    let stats = rec.attr(TCA_STATS2).unwrap_or_default();
    // TCA_STATS_BASIC: bytes (u64), packets; TCA_STATS_QUEUE: qlen, backlog, drops, requeues, overlimits;
    // TCA_STATS_PKT64: packets beyond 32 bits
    let basic = nla::attr(stats, 1).unwrap_or_default();
    let queue = nla::attr(stats, 3).unwrap_or_default();
    let wide = nla::attr(stats, 8).and_then(nla::number);
    let word = |of: &[u8], at: usize| of.get(at..).and_then(nla::u32_of).unwrap_or_default();
    put_int(map, "bytes", basic.get(..8).and_then(nla::number).unwrap_or_default());
    put_int(map, "packets", wide.unwrap_or_else(|| u64::from(word(basic, 8))));
    for (name, at) in [("qlen", 0), ("backlog", 4), ("drops", 8), ("requeues", 12), ("overlimits", 16)] {
        put_int(map, name, word(queue, at));
    }
}

/// The handle as scripts get it; `()` for none.
fn handle(handle: u32) -> Dynamic {
    if handle == 0 { Dynamic::UNIT } else { tc::handle_text(handle).into() }
}

/// The raw messages of a table that are on one device.
fn on_device(session: &Session, device: &Device, what: What) -> Result<Vec<Rec>> {
    let all = session.kernel().dump(&device.ns, what)?;
    let recs = all.into_iter().map(|body| Rec { what, body, ends: None });
    Ok(recs.filter(|r| r.tc_index() == device.link.index).collect())
}

/// A device of a call, and the checks of `replace` and `change`.
fn mode(opts: &Map, function: &str) -> Result<crate::plan::AddMode> {
    use crate::plan::AddMode;
    let flag = |key: &str| match opts.get(key).filter(|v| !v.is_unit()) {
        Some(value) => value.as_bool().map_err(|_| {
            Error::invalid(format!("option `{key}` of {function} must be true or false")).with_target(key)
        }),
        None => Ok(false),
    };
    match (flag("replace")?, flag("change")?) {
        (true, true) => Err(Error::invalid(format!("{function}: `replace` and `change` exclude each other"))),
        (true, _) => Ok(AddMode::Replace),
        (_, true) => Ok(AddMode::Change),
        _ => Ok(AddMode::Create),
    }
}

/// A text option of the map itself.
fn text(opts: &Map, key: &str) -> Result<Option<String>> {
    opts.get(key).filter(|v| !v.is_unit()).map(|v| word(key, v)).transpose()
}

/// The namespace and device of a list function, and the names of links.
fn listed(
    session: &Session,
    place: Option<&Dynamic>,
    what: What,
    mut map: impl FnMut(&Rec, &mut Map),
) -> Result<Array> {
    let (ns, only) = match place {
        Some(place) => super::show::place(session, place)?,
        None => (session.current(), None),
    };
    let names = super::show::Names::new(session, &ns);
    let mut out = Array::new();
    for body in session.kernel().dump(&ns, what)? {
        let rec = Rec { what, body, ends: None };
        if only.is_some_and(|index| index != rec.tc_index()) {
            continue;
        }
        let mut one = Map::new();
        let dev = if rec.tc_index() == tc::SHARED_BLOCK { Dynamic::UNIT } else { names.get(rec.tc_index()).into() };
        put(&mut one, "dev", dev);
        put(&mut one, "kind", rec.tc_kind());
        put(&mut one, "handle", handle(rec.tc_handle()));
        put(&mut one, "parent", handle(rec.tc_parent()));
        map(&rec, &mut one);
        out.push(one.into());
    }
    Ok(out)
}

/// The device that a function is given, with its namespace in front or not.
fn device(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic) -> Result<Device> {
    let ns = ns.map(|ns| value::ns(session, ns)).transpose()?;
    value::device(session, ns.as_ref(), dev)
}

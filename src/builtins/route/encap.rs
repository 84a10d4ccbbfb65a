//! The option `encap` of routes and nexthops.

use crate::engine::Session;
use crate::engine::value::{Opts, put, put_int, text, what};
use crate::plan::Ns;
use crate::plan::addr::parse_ip;
use crate::plan::encap::{Encap, SEG6_ACTIONS, SEG6_MODES, SegLocal};
use crate::plan::{Error, Result};
use rhai::{Array, Dynamic, INT, Map};
use std::net::{IpAddr, Ipv6Addr};

/// Labels: one number, an array of them, or `"100/200"` as `ip` writes them.
pub fn labels(value: &Dynamic, option: &str) -> Result<Vec<u32>> {
    let wrong = |shown: String| {
        Error::invalid(format!("{option}: `{shown}` is no label of MPLS"))
            .with_hint("numbers from 16 to 1048575; below 16 they are reserved")
    };
    let one = |value: &Dynamic| -> Result<u32> {
        let number = value.as_int().map_err(|_| wrong(what(value)))?;
        u32::try_from(number).ok().filter(|n| *n < 1 << 20).ok_or_else(|| wrong(number.to_string()))
    };
    if value.is_string() {
        let words = text(value, option)?;
        return words
            .split('/')
            .map(|w| w.parse::<u32>().ok().filter(|n| *n < 1 << 20).ok_or_else(|| wrong(w.into())))
            .collect();
    }
    match value.clone().into_array() {
        Ok(all) if !all.is_empty() => all.iter().map(one).collect(),
        Ok(_) => Err(Error::invalid(format!("{option}: no label is given"))),
        Err(_) => Ok(vec![one(value)?]),
    }
}

/// Reads the map.
///
/// # Errors
/// `invalid`; `not_found` for a device that is named.
pub fn read(session: &Session, ns: &Ns, map: Map) -> Result<Encap> {
    let known = [
        "type", "labels", "ttl", "mode", "segs", "id", "dst", "src", "tos", "action", "nh4", "nh6", "table",
        "vrftable", "iif", "oif", "count",
    ];
    let opts = Opts::new("encap", map, &known)?;
    let byte = |key: &str| -> Result<Option<u8>> { Ok(opts.int(key, 0..=255)?.and_then(|n| u8::try_from(n).ok())) };
    let kind = opts.text("type")?.unwrap_or_default();
    let allowed: &[&str] = match kind.as_str() {
        "mpls" => &["labels", "ttl"],
        "seg6" => &["mode", "segs"],
        "seg6local" => &["action", "nh4", "nh6", "table", "vrftable", "iif", "oif", "segs", "count"],
        "ip" | "ip6" => &["id", "dst", "src", "ttl", "tos"],
        _ => {
            return Err(Error::invalid(format!("encap: `type` can't be `{kind}`"))
                .with_hint("\"mpls\", \"seg6\", \"seg6local\", \"ip\" or \"ip6\""));
        }
    };
    if let Some(key) = known.iter().find(|k| **k != "type" && opts.get(k).is_some() && !allowed.contains(k)) {
        return Err(Error::invalid(format!("encap {kind} has no option `{key}`"))
            .with_hint(format!("its options are: {}", allowed.join(", "))));
    }
    match kind.as_str() {
        "mpls" => {
            let value = opts.get("labels").ok_or_else(|| Error::invalid("encap mpls: `labels` are missing"))?;
            Ok(Encap::Mpls { labels: labels(value, "encap mpls")?, ttl: byte("ttl")? })
        }
        "seg6" => {
            let word = opts.text("mode")?.unwrap_or_else(|| "encap".into());
            let mode =
                SEG6_MODES.iter().position(|m| *m == word).and_then(|m| u32::try_from(m).ok()).ok_or_else(|| {
                    Error::invalid(format!("encap seg6: `mode` can't be `{word}`"))
                        .with_hint(format!("one of {}", SEG6_MODES.join(", ")))
                })?;
            let segs = segments(&opts)?;
            if segs.is_empty() || segs.len() > 126 {
                return Err(Error::invalid(format!("encap seg6: 1 to 126 segments, not {}", segs.len())));
            }
            Ok(Encap::Seg6 { mode, segs })
        }
        "seg6local" => local(session, ns, &opts),
        _ => {
            let six = kind == "ip6";
            let ip = |key: &str| -> Result<Option<IpAddr>> {
                let ip = opts.text(key)?.map(|w| parse_ip(&w)).transpose()?;
                match ip {
                    Some(ip) if ip.is_ipv6() != six => {
                        Err(Error::invalid(format!("encap {kind}: {ip} is of the other family")))
                    }
                    ip => Ok(ip),
                }
            };
            let id = opts.int("id", 0..=i64::MAX)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            Ok(Encap::Ip {
                id,
                dst: ip("dst")?,
                src: ip("src")?,
                ttl: byte("ttl")?.unwrap_or(0),
                tos: byte("tos")?.unwrap_or(0),
                six,
            })
        }
    }
}

/// The segments, in the order of travel.
fn segments(opts: &Opts) -> Result<Vec<Ipv6Addr>> {
    let one = |value: &Dynamic| match parse_ip(&text(value, "a segment")?)? {
        IpAddr::V6(ip) => Ok(ip),
        IpAddr::V4(ip) => Err(Error::invalid(format!("encap seg6: {ip} is no IPv6 address"))),
    };
    opts.array("segs")?.unwrap_or_default().iter().map(one).collect()
}

/// The action of one of the router's own segments.
fn local(session: &Session, ns: &Ns, opts: &Opts) -> Result<Encap> {
    let word = opts.text("action")?.ok_or_else(|| {
        Error::invalid("encap seg6local: the `action` is missing")
            .with_hint(format!("one of {}", SEG6_ACTIONS.join(", ")))
    })?;
    let action =
        SEG6_ACTIONS.iter().position(|a| a.eq_ignore_ascii_case(&word)).and_then(|n| u32::try_from(n + 1).ok());
    let action = action.ok_or_else(|| {
        let near = crate::plan::nearest(&word, SEG6_ACTIONS.iter().copied());
        let near = near.map_or_else(String::new, |n| format!("did you mean \"{n}\"? "));
        Error::invalid(format!("encap seg6local: `action` can't be `{word}`"))
            .with_hint(format!("{near}one of {}", SEG6_ACTIONS.join(", ")))
    })?;
    let ip = |key: &str| opts.text(key)?.map(|word| parse_ip(&word)).transpose();
    let wrong =
        |key: &str, ip: IpAddr| Error::invalid(format!("encap seg6local: `{key}` is of the other family: {ip}"));
    let nh4 = match ip("nh4")? {
        Some(IpAddr::V4(ip)) => Some(ip),
        Some(ip) => return Err(wrong("nh4", ip)),
        None => None,
    };
    let nh6 = match ip("nh6")? {
        Some(IpAddr::V6(ip)) => Some(ip),
        Some(ip) => return Err(wrong("nh6", ip)),
        None => None,
    };
    let dev = |key: &str| -> Result<Option<(u32, String)>> {
        let found = opts.get(key).map(|dev| crate::engine::value::device(session, Some(ns), dev)).transpose()?;
        Ok(found.map(|d| (d.link.index, d.link.name)))
    };
    let number = |key: &str| -> Result<Option<u32>> {
        match opts.get(key) {
            Some(value) if value.is_string() => {
                let word = text(value, key)?;
                let found = crate::plan::addr::table_of(&word);
                found.map(Some).ok_or_else(|| Error::invalid(format!("encap seg6local: there is no table `{word}`")))
            }
            _ => opts.u32(key, u32::MAX),
        }
    };
    Ok(Encap::SegLocal(SegLocal {
        action,
        nh4,
        nh6,
        table: number("table")?,
        vrftable: number("vrftable")?,
        iif: dev("iif")?,
        oif: dev("oif")?,
        segs: segments(opts)?,
        count: opts.bool("count")?.unwrap_or(false),
    }))
}

/// As scripts see it; `()` for none.
pub fn show(encap: Option<&Encap>, name: impl Fn(u32) -> String) -> Dynamic {
    let Some(encap) = encap else { return Dynamic::UNIT };
    let mut map = Map::new();
    put(&mut map, "type", encap.name());
    match encap {
        Encap::Mpls { labels, ttl } => {
            put(&mut map, "labels", labels_array(labels));
            put(&mut map, "ttl", ttl.map_or(Dynamic::UNIT, |t| INT::from(t).into()));
        }
        Encap::Seg6 { mode, segs } => {
            let mode = usize::try_from(*mode).ok().and_then(|m| SEG6_MODES.get(m)).copied().unwrap_or("encap");
            put(&mut map, "mode", mode.to_string());
            put(&mut map, "segs", segs.iter().map(|s| s.to_string().into()).collect::<Array>());
        }
        Encap::SegLocal(local) => {
            put(&mut map, "action", local.action_name());
            put(&mut map, "nh4", local.nh4.map_or(Dynamic::UNIT, |ip| ip.to_string().into()));
            put(&mut map, "nh6", local.nh6.map_or(Dynamic::UNIT, |ip| ip.to_string().into()));
            for (key, number) in [("table", local.table), ("vrftable", local.vrftable)] {
                put(&mut map, key, number.map_or(Dynamic::UNIT, |n| INT::from(n).into()));
            }
            for (key, dev) in [("iif", &local.iif), ("oif", &local.oif)] {
                put(&mut map, key, dev.as_ref().map_or(Dynamic::UNIT, |d| name(d.0).into()));
            }
            put(&mut map, "segs", local.segs.iter().map(|s| s.to_string().into()).collect::<Array>());
            put(&mut map, "count", local.count);
        }
        Encap::Ip { id, dst, src, ttl, tos, .. } => {
            put_int(&mut map, "id", *id);
            for (key, ip) in [("dst", dst), ("src", src)] {
                put(&mut map, key, ip.map_or(Dynamic::UNIT, |ip| ip.to_string().into()));
            }
            put_int(&mut map, "ttl", *ttl);
            put_int(&mut map, "tos", *tos);
        }
        Encap::Other(_) => {}
    }
    map.into()
}

/// Labels as an array of integers.
pub fn labels_array(labels: &[u32]) -> Array {
    labels.iter().map(|l| INT::from(*l).into()).collect()
}

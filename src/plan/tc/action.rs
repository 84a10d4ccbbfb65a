//! The actions of filters: gact, mirred, police, vlan (tc-actions(8) and the page of each).

use super::params::{Params, Value};
use super::qdisc::{bytes_in, put_u32, rate_of, ratespec, ticks, words_of};
use crate::plan::error::{Error, Result};
use crate::plan::nla;

/// What becomes of a packet (`TC_ACT_…`, include/uapi/linux/pkt_cls.h).
pub const VERDICTS: &[(&str, u32)] = &[
    ("pass", 0),
    ("ok", 0),
    ("reclassify", 1),
    ("drop", 2),
    ("shot", 2),
    ("pipe", 3),
    ("stolen", 4),
    ("continue", 0xffff_ffff),
];

/// The word of a verdict.
fn verdict_text(code: u32) -> String {
    match VERDICTS.iter().find(|(_, c)| *c == code) {
        Some((name, _)) => (*name).into(),
        None => code.to_string(),
    }
}

fn verdict(params: &mut Params, key: &'static str, default: u32) -> Result<u32> {
    let Some(text) = params.take(key) else { return Ok(default) };
    let names = VERDICTS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    let found = VERDICTS.iter().find(|(n, _)| *n == text).map(|(_, c)| *c);
    let found = found.ok_or_else(|| params.wrong(key, &text, &format!("one of {names}")))?;
    params.say(text);
    Ok(found)
}

/// `tc_gen`: index, capab, action, refcnt, bindcnt.
fn generic(action: u32) -> Vec<u8> {
    words_of(&[0, 0, action, 0, 0])
}

/// The kinds that a script can make. Alphabetical.
pub const KINDS: &[&str] = &["gact", "mirred", "police", "vlan"];

/// Adds one action at its place in the order (from 1). `target` is the ifindex of mirred's device.
///
/// # Errors
/// `invalid`.
pub fn encode(out: &mut Vec<u8>, order: u16, kind: &str, params: &mut Params, target: Option<u32>) -> Result<()> {
    let mut options = Vec::new();
    match kind {
        "gact" => {
            let code = verdict(params, "verdict", 0)?;
            nla::put(&mut options, 2, &generic(code));
        }
        "mirred" => {
            let index = target.ok_or_else(|| Error::internal("mirred without a device"))?;
            let mirror = params.flag("mirror", "", "")?.unwrap_or(false);
            let ingress = params.flag("ingress", "", "")?.unwrap_or(false);
            // A packet that was sent elsewhere is gone from here; a copy goes on its way.
            let mut parameters = generic(if mirror { 3 } else { 4 });
            // TCA_EGRESS_REDIR 1, TCA_EGRESS_MIRROR 2, TCA_INGRESS_REDIR 3, TCA_INGRESS_MIRROR 4
            parameters.extend(words_of(&[1 + u32::from(mirror) + 2 * u32::from(ingress), index]));
            nla::put(&mut options, 2, &parameters);
        }
        "police" => police(params, &mut options)?,
        "vlan" => vlan(params, &mut options)?,
        _ => {
            return Err(Error::invalid(format!("there is no action `{kind}` here"))
                .with_target(kind)
                .with_hint(format!("there are {} (of gact just a word: \"drop\", \"pass\" …)", KINDS.join(", "))));
        }
    }
    params.finish()?;
    nla::nest(out, order, |act| {
        nla::put(act, 1, format!("{kind}\0").as_bytes());
        nla::nest(act, 2, |o| o.extend_from_slice(&options));
    });
    Ok(())
}

fn police(params: &mut Params, out: &mut Vec<u8>) -> Result<()> {
    let need = |key: &'static str| Error::invalid(format!("police needs a {key}")).with_target(key);
    let rate = params.rate("rate")?.filter(|r| *r > 0).ok_or_else(|| need("rate"))?;
    let burst = params.size("burst")?.unwrap_or_else(|| {
        let burst = super::qdisc::default_burst(rate);
        params.say(format!("burst {burst}"));
        burst
    });
    // Where nothing is said the kernel takes what its rate table reaches to.
    let mtu = params.size("mtu")?.unwrap_or_default();
    let exceed = verdict(params, "exceed", 2)?;
    // struct tc_police: index, action, limit, burst, mtu, rate, peakrate, refcnt, bindcnt, capab
    let mut parameters = words_of(&[0, exceed, 0, ticks(rate, burst), mtu]);
    parameters.extend(ratespec(rate, 0, 0));
    parameters.extend(ratespec(0, 0, 0));
    parameters.extend(words_of(&[0, 0, 0]));
    nla::put(out, 1, &parameters);
    if rate > u64::from(u32::MAX) {
        nla::put(out, 8, &rate.to_ne_bytes());
    }
    Ok(())
}

/// The tags that a vlan action puts on a frame (IEEE 802.1Q).
const PROTOCOLS: &[(&str, u16)] = &[("802.1q", 0x8100), ("802.1ad", 0x88a8)];

fn vlan(params: &mut Params, out: &mut Vec<u8>) -> Result<()> {
    let what = params.one_of("vlan", &[("pop", 1_u32), ("push", 2), ("modify", 3)])?.ok_or_else(|| {
        Error::invalid("vlan needs to know what to do")
            .with_target("vlan")
            .with_hint("#{ kind: \"vlan\", vlan: \"pop\" }, or push or modify with an id")
    })?;
    let id = params.u32("id", 4094)?;
    let priority = params.u32("priority", 7)?;
    let protocol = params.one_of("protocol", PROTOCOLS)?;
    if what != 1 && id.is_none() {
        return Err(Error::invalid("vlan push and modify need an id").with_target("id"));
    }
    let mut parameters = generic(3);
    parameters.extend(words_of(&[what]));
    nla::put(out, 2, &parameters);
    if what != 1 {
        nla::put(out, 3, &u16::try_from(id.unwrap_or_default()).unwrap_or_default().to_ne_bytes());
        nla::put(out, 4, &protocol.unwrap_or(0x8100).to_be_bytes());
        if let Some(priority) = priority {
            nla::put(out, 6, &[u8::try_from(priority).unwrap_or_default()]);
        }
    }
    Ok(())
}

/// The actions in a list, as the kernel shows them.
#[must_use]
pub fn decode(list: &[u8]) -> Vec<Value> {
    nla::attrs(list).map(|(_, act)| Value::Map(one(act))).collect()
}

/// The devices that the actions in a list lead to, by ifindex (tc_mirred).
#[must_use]
pub fn targets(list: &[u8]) -> Vec<u32> {
    let mirred = nla::attrs(list).filter(|(_, act)| nla::attr(act, 1).map(nla::text).as_deref() == Some("mirred"));
    mirred.filter_map(|(_, act)| nla::attr(nla::attr(act, 2)?, 2)?.get(24..).and_then(nla::u32_of)).collect()
}

fn one(act: &[u8]) -> Vec<(&'static str, Value)> {
    let kind = nla::attr(act, 1).map(nla::text).unwrap_or_default();
    let options = nla::attr(act, 2).unwrap_or_default();
    let parameters = nla::attr(options, if kind == "police" { 1 } else { 2 }).unwrap_or_default();
    let word = |at: usize| parameters.get(at..).and_then(nla::u32_of).unwrap_or_default();
    let mut out = vec![("kind", Value::Text(kind.clone()))];
    match kind.as_str() {
        "gact" => out.push(("verdict", Value::Text(verdict_text(word(8))))),
        "mirred" => {
            let what = word(20);
            out.push(("mirror", Value::Bool(matches!(what, 2 | 4))));
            out.push(("ingress", Value::Bool(what >= 3)));
            out.push(("ifindex", Value::Int(i64::from(word(24)))));
        }
        "police" => {
            let rate = rate_of(parameters.get(20..).unwrap_or_default(), nla::attr(options, 8));
            out.push(("rate", Value::Rate(rate)));
            out.push(("burst", Value::Size(bytes_in(rate, word(12)))));
            out.push(("mtu", Value::Size(u64::from(word(16)))));
            out.push(("exceed", Value::Text(verdict_text(word(4)))));
        }
        "vlan" => {
            let what = ["", "pop", "push", "modify"].get(word(20) as usize).copied().unwrap_or("other");
            out.push(("vlan", Value::Text(what.into())));
            if let Some(id) = nla::attr(options, 3).and_then(nla::number) {
                out.push(("id", Value::Int(i64::try_from(id).unwrap_or_default())));
            }
            // TCA_VLAN_PUSH_VLAN_PROTOCOL 4, _PRIORITY 6
            if let Some(protocol) = nla::attr(options, 4).and_then(|v| v.try_into().ok()).map(u16::from_be_bytes) {
                let named = PROTOCOLS.iter().find(|(_, n)| *n == protocol);
                let text = named.map_or_else(|| format!("{protocol:#06x}"), |(name, _)| (*name).to_string());
                out.push(("protocol", Value::Text(text)));
            }
            if let Some(priority) = nla::attr(options, 6).and_then(nla::number) {
                out.push(("priority", Value::Int(i64::try_from(priority).unwrap_or_default())));
            }
        }
        _ => {}
    }
    out
}

/// Puts the class that a filter leads to.
pub fn put_class(out: &mut Vec<u8>, class: u32) {
    put_u32(out, 1, class);
}

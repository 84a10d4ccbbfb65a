//! The options of classes, by the names that `tc` uses (tc-htb(8), tc-hfsc(8), tc-drr(8)).

use super::params::{Params, Value};
use super::qdisc::{bytes_in, extra_of, put_u32, put_wide, rate_of, ratespec, ticks, words_of};
use crate::plan::error::{Error, Result};
use crate::plan::nla;

/// The content of `TCA_OPTIONS` that makes a class of this kind of qdisc.
///
/// # Errors
/// `invalid` for options that can't be, and for a kind that has no classes of one's own.
pub fn encode(kind: &str, params: &mut Params) -> Result<Vec<u8>> {
    let options = match kind {
        "htb" => htb(params)?,
        "hfsc" => hfsc(params)?,
        "drr" => params.size("quantum")?.map_or_else(Vec::new, |quantum| {
            let mut out = Vec::new();
            put_u32(&mut out, 1, quantum);
            out
        }),
        _ => {
            return Err(Error::invalid(format!("a qdisc of kind `{kind}` takes no classes"))
                .with_target(kind)
                .with_hint("htb, hfsc and drr do; the classes of prio, mq and the like come with them"));
        }
    };
    params.finish()?;
    Ok(options)
}

/// The options that the kernel shows.
#[must_use]
pub fn decode(kind: &str, options: &[u8]) -> Vec<(&'static str, Value)> {
    match kind {
        "htb" => htb_shown(options),
        "hfsc" => [("rt", 1), ("ls", 2), ("ul", 3)]
            .into_iter()
            .filter_map(|(name, code)| Some((name, curve_shown(nla::attr(options, code)?)?)))
            .collect(),
        "drr" => nla::attr(options, 1)
            .and_then(nla::u32_of)
            .map(|n| ("quantum", Value::Size(u64::from(n))))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

fn htb(params: &mut Params) -> Result<Vec<u8>> {
    /// A packet of Ethernet with room (htb_parse_class_opt, tc/q_htb.c).
    const MTU: u64 = 1600;
    let rate = params.rate("rate")?.filter(|r| *r > 0).ok_or_else(|| {
        Error::invalid("a class of htb needs a rate").with_target("rate").with_hint("#{ rate: \"10mbit\" }")
    })?;
    let ceil = params.rate("ceil")?.unwrap_or(rate);
    // tc adds what one period of the timer lets through, of 1 ns where timers are exact (get_hz, tc/tc_core.c).
    let least = |rate: u64| u32::try_from(rate / 1_000_000_000 + MTU).unwrap_or(u32::MAX);
    let burst = params.size("burst")?.unwrap_or_else(|| least(rate));
    let cburst = params.size("cburst")?.unwrap_or_else(|| least(ceil));
    let prio = params.u32("prio", 7)?.unwrap_or_default();
    let quantum = params.size("quantum")?.unwrap_or_default();
    let overhead = params.int("overhead", 0..=0xffff)?.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    let mpu = params.int("mpu", 0..=0xffff)?.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    // struct tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio
    let mut parameters = ratespec(rate, overhead, mpu);
    parameters.extend(ratespec(ceil, overhead, mpu));
    parameters.extend(words_of(&[ticks(rate, burst), ticks(ceil, cburst), quantum, 0, prio]));
    let mut out = Vec::new();
    nla::put(&mut out, 1, &parameters);
    put_wide(&mut out, 6, rate);
    put_wide(&mut out, 7, ceil);
    Ok(out)
}

fn htb_shown(options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(parameters) = nla::attr(options, 1).filter(|p| p.len() >= 44) else { return Vec::new() };
    let word = |at: usize| nla::u32_of(&parameters[at..]).unwrap_or_default();
    let rate = rate_of(parameters, nla::attr(options, 6));
    let ceil = rate_of(&parameters[12..], nla::attr(options, 7));
    let mut out = vec![
        ("rate", Value::Rate(rate)),
        ("ceil", Value::Rate(ceil)),
        ("burst", Value::Size(bytes_in(rate, word(24)))),
        ("cburst", Value::Size(bytes_in(ceil, word(28)))),
        ("prio", Value::Int(i64::from(word(40)))),
        ("quantum", Value::Size(u64::from(word(32)))),
    ];
    out.extend(extra_of(parameters));
    out
}

/// `struct tc_service_curve`: m1 (bytes a second), d (microseconds), m2.
fn curve(params: &mut Params, key: &'static str) -> Result<Option<Vec<u8>>> {
    let Some(text) = params.text(key) else { return Ok(None) };
    let wrong = || params.wrong(key, &text, "a rate, or a curve: \"m1 5mbit d 10ms m2 2mbit\"");
    let rate = |word: &str| crate::plan::unit::rate(word).ok().and_then(|r| u32::try_from(r).ok());
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut m1, mut d, mut m2) = (0, 0, 0);
    match words[..] {
        [one] => m2 = rate(one).ok_or_else(wrong)?,
        _ => {
            for pair in words.chunks(2) {
                let [name, value] = pair else { return Err(wrong()) };
                match *name {
                    "m1" => m1 = rate(value).ok_or_else(wrong)?,
                    "m2" | "rate" => m2 = rate(value).ok_or_else(wrong)?,
                    "d" => {
                        let ns = super::params::time(value).ok_or_else(wrong)?;
                        d = u32::try_from(ns / 1000).map_err(|_| wrong())?;
                    }
                    _ => return Err(wrong()),
                }
            }
        }
    }
    Ok(Some(words_of(&[m1, d, m2])))
}

fn curve_shown(value: &[u8]) -> Option<Value> {
    let word = |at: usize| value.get(at..).and_then(nla::u32_of);
    Some(Value::Map(vec![
        ("m1", Value::Rate(u64::from(word(0)?) * 8)),
        ("d", Value::Time(i64::from(word(4)?) * 1000)),
        ("m2", Value::Rate(u64::from(word(8)?) * 8)),
    ]))
}

fn hfsc(params: &mut Params) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let both = curve(params, "sc")?;
    let (rt, ls, ul) = (curve(params, "rt")?, curve(params, "ls")?, curve(params, "ul")?);
    if both.is_some() && (rt.is_some() || ls.is_some()) {
        return Err(Error::invalid("hfsc: `sc` is `rt` and `ls` at once").with_target("sc"));
    }
    if both.is_none() && rt.is_none() && ls.is_none() {
        return Err(Error::invalid("a class of hfsc needs a curve")
            .with_target("sc")
            .with_hint("#{ sc: \"10mbit\" }, or rt, ls and ul"));
    }
    for (code, value) in [(1, rt.or(both.clone())), (2, ls.or(both)), (3, ul)] {
        if let Some(value) = value {
            nla::put(&mut out, code, &value);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_shown_as_it_was_asked_for() {
        let all = [("rate", "10mbit"), ("ceil", "20mbit"), ("burst", "15kb"), ("prio", "3")];
        let mut p = Params::new("htb", all.map(|(k, v)| (k.to_string(), v.to_string())).into());
        let options = encode("htb", &mut p).expect("options");
        let shown = decode("htb", &options);
        assert_eq!(shown[0], ("rate", Value::Rate(10_000_000)));
        assert_eq!(shown[1], ("ceil", Value::Rate(20_000_000)));
        assert_eq!(shown[4], ("prio", Value::Int(3)));
    }
}

//! `red` and `choke`: packets are dropped or marked the more likely the longer the queue is on average (Floyd and
//! Jacobson, "Random Early Detection Gateways for Congestion Avoidance", 1993; tc-red(8), tc-choke(8)).

use super::params::{Params, Value};
use super::qdisc::{put_u32, ticks};
use crate::plan::error::{Error, Result};
use crate::plan::nla;

// TCA_RED_… and, where they are the same, TCA_CHOKE_… (include/uapi/linux/pkt_sched.h).
const PARMS: u16 = 1;
const STAB: u16 = 2;
const MAX_P: u16 = 3;
const FLAGS: u16 = 4;
// TC_RED_…
const ECN: u32 = 1;
const HARDDROP: u32 = 2;
const ADAPTIVE: u32 = 4;
const NODROP: u32 = 8;
/// Those that are in `struct tc_red_qopt` too (`TC_RED_HISTORIC_FLAGS`).
const HISTORIC: u32 = 7;

/// `struct tc_red_qopt`: limit, `qth_min`, `qth_max`, then a byte each of `Wlog`, `Plog`, `Scell_log` and flags.
const LENGTH: usize = 16;
const LOGS: usize = 12;

/// The weight of the average as a power of 2: the largest with which a burst from an empty queue does not reach the
/// lower threshold (`tc_red_eval_ewma`, tc/tc_red.c).
fn weight(min: u32, burst: u32, packet: u32) -> Option<u8> {
    let room = f64::from(burst) + 1.0 - f64::from(min) / f64::from(packet.max(1));
    if room < 1.0 {
        return None;
    }
    (1..32u8).find(|log| {
        let w = 0.5f64.powi(i32::from(*log));
        room <= (1.0 - (1.0 - w).powf(f64::from(burst))) / w
    })
}

/// The probability over the distance of the thresholds, as a power of 2 (`tc_red_eval_P`, tc/tc_red.c).
fn slope(min: u32, max: u32, probability: f64) -> Option<u8> {
    let distance = max.checked_sub(min).filter(|d| *d > 0)?;
    let each = probability / f64::from(distance);
    (0..32u8).find(|log| each * 2f64.powi(i32::from(*log)) > 1.0)
}

/// How much the average fades while the queue is empty: the logarithm of a cell's ticks, and the table of the cells
/// (`tc_red_eval_idle_damping`, tc/tc_red.c).
fn damping(weight: u8, packet_ticks: f64) -> Option<(u8, Vec<u8>)> {
    let fading = -(1.0 - 0.5f64.powi(i32::from(weight))).ln() / packet_ticks;
    let log = (0..32u8).find(|log| MOST / fading / 2f64.powi(i32::from(*log)) < 512.0)?;
    Some((log, cells(log, fading)))
}

/// The largest value of a cell (`red_check_params`, include/net/red.h).
const MOST: f64 = 31.0;

fn cells(log: u8, fading: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 31")]
    let cell = |at: u16| (f64::from(at) * 2f64.powi(i32::from(log)) * fading).min(MOST) as u8;
    let mut out: Vec<u8> = (0..255).map(cell).collect();
    out.push(31);
    out
}

/// What both kinds are made of.
struct Red {
    limit: u32,
    min: u32,
    max: u32,
    burst: u32,
    packet: u32,
    rate: u64,
    probability: f64,
}

/// `struct tc_red_qopt`, the table, and the probability.
fn attributes(kind: &str, red: &Red, flags: u8) -> Result<Vec<u8>> {
    let Red { limit, min, max, burst, packet, rate, probability } = *red;
    let bytes = if kind == "choke" { packet } else { 1 };
    let (low, high) = (min.saturating_mul(bytes), max.saturating_mul(bytes));
    if min >= max || max > limit {
        return Err(Error::invalid(format!("{kind}: min {min}, max {max} and limit {limit} must grow in this order"))
            .with_target("min")
            .with_hint("where they are not given, max is a quarter of the limit and min a third of max"));
    }
    let weight = weight(low, burst, packet).ok_or_else(|| {
        Error::invalid(format!("{kind}: a burst of {burst} packets is too small for min {min}"))
            .with_target("burst")
            .with_hint(format!("burst: {}", 1 + low / packet.max(1)))
    })?;
    let slope = slope(low, high, probability).ok_or_else(|| {
        Error::invalid(format!("{kind}: a probability of {probability} is too small for min {min} and max {max}"))
            .with_target("probability")
    })?;
    let (cell, table) = damping(weight, f64::from(ticks(rate, packet).max(1))).ok_or_else(|| {
        Error::invalid(format!("{kind}: the bandwidth is too low for packets of {packet} bytes"))
            .with_target("bandwidth")
    })?;
    let mut parameters = super::qdisc::words_of(&[limit, min, max]);
    parameters.extend([weight, slope, cell, flags]);
    let mut out = Vec::new();
    nla::put(&mut out, PARMS, &parameters);
    nla::put(&mut out, STAB, &table);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
    put_u32(&mut out, MAX_P, (probability * 2f64.powi(32)) as u32);
    Ok(out)
}

/// 10 Mbit/s, as tc takes it where no bandwidth is given.
const BANDWIDTH: u64 = 1_250_000;
const PROBABILITY: f64 = 0.02;

fn needs(kind: &str, key: &'static str, example: &str) -> Error {
    Error::invalid(format!("{kind} needs the option `{key}`")).with_target(key).with_hint(format!("{key}: {example}"))
}

/// `TCA_OPTIONS` of a `red`.
pub(super) fn red(params: &mut Params) -> Result<Vec<u8>> {
    let positive = |n: Option<u32>| n.filter(|n| *n > 0);
    let limit = positive(params.size("limit")?).ok_or_else(|| needs("red", "limit", "\"400kb\""))?;
    let packet = positive(params.size("avpkt")?).ok_or_else(|| needs("red", "avpkt", "1000"))?;
    let (min, max) = (positive(params.size("min")?), positive(params.size("max")?));
    let max = max.unwrap_or_else(|| min.map_or(limit / 4, |min| min.saturating_mul(3)));
    let min = min.unwrap_or(max / 3);
    let burst = positive(params.u32("burst", u32::MAX)?)
        .unwrap_or_else(|| min.saturating_mul(2).saturating_add(max) / packet.saturating_mul(3));
    let rate = params.rate("bandwidth")?.filter(|r| *r > 0).unwrap_or(BANDWIDTH);
    let probability = params.share("probability")?.unwrap_or(PROBABILITY);
    let mut flags = 0;
    for (key, bit) in [("ecn", ECN), ("harddrop", HARDDROP), ("adaptive", ADAPTIVE), ("nodrop", NODROP)] {
        if params.flag(key, key, "")? == Some(true) {
            flags |= bit;
        }
    }
    let mut out = attributes("red", &Red { limit, min, max, burst, packet, rate, probability }, 0)?;
    // struct nla_bitfield32: value, selector
    nla::put(&mut out, FLAGS, &super::qdisc::words_of(&[flags, HISTORIC | NODROP]));
    Ok(out)
}

/// Bytes of a packet on average, where choke is not told: it counts packets.
const PACKET: u32 = 1000;

/// `TCA_OPTIONS` of a `choke`.
pub(super) fn choke(params: &mut Params) -> Result<Vec<u8>> {
    let positive = |n: Option<u32>| n.filter(|n| *n > 0);
    let limit = positive(params.u32("limit", u32::MAX)?).ok_or_else(|| needs("choke", "limit", "1000"))?;
    let rate = params.rate("bandwidth")?.filter(|r| *r > 0);
    let rate = rate.ok_or_else(|| needs("choke", "bandwidth", "\"10mbit\""))?;
    let max = positive(params.u32("max", u32::MAX)?).unwrap_or(limit / 4);
    let min = positive(params.u32("min", u32::MAX)?).unwrap_or(max / 3);
    let burst = positive(params.u32("burst", u32::MAX)?);
    let burst = burst.unwrap_or_else(|| min.saturating_mul(2).saturating_add(max) / 3);
    let packet = positive(params.size("avpkt")?).unwrap_or(PACKET);
    let probability = params.share("probability")?.unwrap_or(PROBABILITY);
    let ecn = params.flag("ecn", "ecn", "")? == Some(true);
    attributes("choke", &Red { limit, min, max, burst, packet, rate, probability }, u8::from(ecn))
}

/// The options that the kernel shows.
pub(super) fn shown(kind: &str, options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(parameters) = nla::attr(options, PARMS).filter(|p| p.len() >= LENGTH) else { return Vec::new() };
    let word = |at: usize| nla::u32_of(&parameters[at * 4..]).unwrap_or_default();
    let byte = |at: usize| i64::from(parameters[LOGS + at]);
    let amount = |n: u32| if kind == "choke" { Value::Int(i64::from(n)) } else { Value::Size(u64::from(n)) };
    let flags = nla::attr(options, FLAGS).and_then(nla::u32_of).unwrap_or_else(|| u32::from(parameters[LOGS + 3]));
    let mut out = vec![("limit", amount(word(0))), ("min", amount(word(1))), ("max", amount(word(2)))];
    let names: &[_] = &[("ecn", ECN), ("harddrop", HARDDROP), ("adaptive", ADAPTIVE), ("nodrop", NODROP)];
    let names = if kind == "choke" { &names[..1] } else { names };
    out.extend(names.iter().map(|(name, bit)| (*name, Value::Bool(flags & bit != 0))));
    out.push(("ewma", Value::Int(byte(0))));
    match nla::attr(options, MAX_P).and_then(nla::u32_of).filter(|p| *p != 0) {
        Some(p) => out.push(("probability", Value::Share(f64::from(p) / 2f64.powi(32)))),
        None => out.push(("Plog", Value::Int(byte(1)))),
    }
    out.push(("Scell_log", Value::Int(byte(2))));
    out
}

/// The options as state: an adaptive one changes its probability by itself.
pub(super) fn state(options: &[u8]) -> Vec<u8> {
    let flags = nla::attr(options, FLAGS).and_then(nla::u32_of).unwrap_or_default();
    let mut out = Vec::new();
    for (code, value) in nla::attrs(options).filter(|(code, _)| *code != MAX_P || flags & ADAPTIVE == 0) {
        nla::put(&mut out, code, value);
    }
    out
}

/// The options as the kernel takes them: it shows the flags twice and takes them once (`red_get_flags`,
/// include/net/red.h), and shows no table. Of that it tells the scale, within a factor of two: its middle is taken.
pub(super) fn sendable(options: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let apart = nla::attr(options, FLAGS).is_some();
    for (code, value) in nla::attrs(options) {
        let mut value = value.to_vec();
        let logs = value.get(LOGS).copied().zip(value.get(LOGS + 2).copied());
        if code == PARMS
            && let Some((_, cell)) = logs
        {
            if apart && let Some(flags) = value.get_mut(LOGS + 3) {
                *flags = 0;
            }
            nla::put(&mut out, code, &value);
            nla::put(&mut out, STAB, &cells(cell, MOST / (384.0 * 2f64.powi(i32::from(cell.min(31))))));
        } else {
            nla::put(&mut out, code, &value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(all: &[(&str, &str)]) -> Params {
        Params::new("it", all.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect())
    }

    #[test]
    fn what_is_sent_again_is_what_was_shown() {
        let mut given = params(&[("limit", "400kb"), ("avpkt", "1000"), ("burst", "55"), ("ecn", "true")]);
        let made = red(&mut given).expect("options");
        // As the kernel shows them: the flags in both places, no table.
        let mut dump = Vec::new();
        for (code, value) in nla::attrs(&made).filter(|(code, _)| *code != STAB) {
            let mut value = value.to_vec();
            if code == PARMS {
                value[LOGS + 3] = 1;
            }
            nla::put(&mut dump, code, &value);
        }
        let again = sendable(&dump);
        assert_eq!(nla::attr(&again, PARMS), nla::attr(&made, PARMS));
        assert_eq!(nla::attr(&again, FLAGS), nla::attr(&made, FLAGS));
        let table = nla::attr(&again, STAB).expect("a table");
        assert!(table.len() == 256 && table.iter().all(|c| *c < 32) && table.is_sorted());
        assert_eq!(shown("red", &again), shown("red", &dump));
    }

    #[test]
    fn thresholds_that_can_not_be_are_said() {
        for all in [
            &[("limit", "400kb")][..],
            &[("limit", "400kb"), ("avpkt", "1000"), ("min", "30kb"), ("max", "20kb")],
            &[("limit", "400kb"), ("avpkt", "1000"), ("burst", "1")],
            &[("limit", "400kb"), ("avpkt", "1000"), ("probability", "1.5")],
        ] {
            assert!(red(&mut params(all)).is_err(), "{all:?}");
        }
    }
}

//! The options of qdiscs, by the names that `tc` uses (tc(8) and the page of each kind).

use super::params::{Params, Value, number};
use super::{TICK, parse_handle};
use crate::plan::error::{Error, Result};
use crate::plan::nla;

/// Kinds that a script can make, with the kernel option and module of each.
pub const KINDS: &[(&str, &str, &str)] = &[
    ("bfifo", "CONFIG_NET_SCHED", "sch_fifo"),
    ("cake", "CONFIG_NET_SCH_CAKE", "sch_cake"),
    ("choke", "CONFIG_NET_SCH_CHOKE", "sch_choke"),
    ("clsact", "CONFIG_NET_SCH_INGRESS", "sch_ingress"),
    ("codel", "CONFIG_NET_SCH_CODEL", "sch_codel"),
    ("drr", "CONFIG_NET_SCH_DRR", "sch_drr"),
    ("fq", "CONFIG_NET_SCH_FQ", "sch_fq"),
    ("fq_codel", "CONFIG_NET_SCH_FQ_CODEL", "sch_fq_codel"),
    ("hfsc", "CONFIG_NET_SCH_HFSC", "sch_hfsc"),
    ("htb", "CONFIG_NET_SCH_HTB", "sch_htb"),
    ("ingress", "CONFIG_NET_SCH_INGRESS", "sch_ingress"),
    ("mq", "CONFIG_NET_SCHED", "sch_mq"),
    ("netem", "CONFIG_NET_SCH_NETEM", "sch_netem"),
    ("noqueue", "CONFIG_NET_SCHED", "sch_generic"),
    ("pfifo", "CONFIG_NET_SCHED", "sch_fifo"),
    ("pfifo_fast", "CONFIG_NET_SCHED", "sch_generic"),
    ("pie", "CONFIG_NET_SCH_PIE", "sch_pie"),
    ("prio", "CONFIG_NET_SCH_PRIO", "sch_prio"),
    ("red", "CONFIG_NET_SCH_RED", "sch_red"),
    ("sfq", "CONFIG_NET_SCH_SFQ", "sch_sfq"),
    ("tbf", "CONFIG_NET_SCH_TBF", "sch_tbf"),
];

/// What an attribute holds.
#[derive(Clone, Copy)]
enum Holds {
    /// A number.
    U32,
    /// A number from 0 to that.
    UpTo(u32),
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
    /// Bytes.
    Size,
    /// Bytes a second, 32 bits; all ones is no limit.
    Rate,
    /// Bytes a second, 64 bits.
    Rate64,
    /// 0 or 1 in 32 bits; the words for either.
    Switch(&'static str, &'static str),
    /// A number in 32 bits by its name.
    Names(&'static [(&'static str, u32)]),
    /// A logarithm of 2 in 32 bits, given as the number.
    Log,
    /// Signed.
    I32,
}

/// Options that are an attribute each: name, code, content. From include/uapi/linux/pkt_sched.h.
fn table(kind: &str) -> Option<&'static [(&'static str, u16, Holds)]> {
    const FQ_CODEL: &[(&str, u16, Holds)] = &[
        ("limit", 2, Holds::U32),
        ("flows", 5, Holds::U32),
        ("quantum", 6, Holds::Size),
        ("target", 1, Holds::Micros),
        ("interval", 3, Holds::Micros),
        ("ce_threshold", 7, Holds::Micros),
        ("memory_limit", 9, Holds::Size),
        ("drop_batch", 8, Holds::U32),
        ("ecn", 4, Holds::Switch("ecn", "noecn")),
    ];
    const FQ: &[(&str, u16, Holds)] = &[
        ("limit", 1, Holds::U32),
        ("flow_limit", 2, Holds::U32),
        ("buckets", 8, Holds::Log),
        ("orphan_mask", 10, Holds::U32),
        ("quantum", 3, Holds::Size),
        ("initial_quantum", 4, Holds::Size),
        ("pacing", 5, Holds::Switch("pacing", "nopacing")),
        ("maxrate", 7, Holds::Rate),
        ("low_rate_threshold", 11, Holds::Rate),
        ("refill_delay", 9, Holds::Micros),
        ("timer_slack", 13, Holds::Nanos),
        ("ce_threshold", 12, Holds::Micros),
        ("horizon", 14, Holds::Micros),
    ];
    const CODEL: &[(&str, u16, Holds)] = &[
        ("limit", 2, Holds::U32),
        ("target", 1, Holds::Micros),
        ("interval", 3, Holds::Micros),
        ("ce_threshold", 5, Holds::Micros),
        ("ecn", 4, Holds::Switch("ecn", "noecn")),
    ];
    const PIE: &[(&str, u16, Holds)] = &[
        ("limit", 2, Holds::U32),
        ("target", 1, Holds::Micros),
        ("tupdate", 3, Holds::Micros),
        ("alpha", 4, Holds::UpTo(32)),
        ("beta", 5, Holds::UpTo(32)),
        ("ecn", 6, Holds::Switch("ecn", "noecn")),
        ("bytemode", 7, Holds::Switch("bytemode", "nobytemode")),
        ("dq_rate_estimator", 8, Holds::Switch("dq_rate_estimator", "no_dq_rate_estimator")),
    ];
    const CAKE: &[(&str, u16, Holds)] = &[
        ("bandwidth", 2, Holds::Rate64),
        (
            "diffserv",
            3,
            Holds::Names(&[("diffserv3", 0), ("diffserv4", 1), ("diffserv8", 2), ("besteffort", 3), ("precedence", 4)]),
        ),
        (
            "flowmode",
            5,
            Holds::Names(&[
                ("flowblind", 0),
                ("srchost", 1),
                ("dsthost", 2),
                ("hosts", 3),
                ("flows", 4),
                ("dual-srchost", 5),
                ("dual-dsthost", 6),
                ("triple-isolate", 7),
            ]),
        ),
        ("nat", 11, Holds::Switch("nat", "nonat")),
        ("wash", 13, Holds::Switch("wash", "nowash")),
        ("ingress", 15, Holds::Switch("ingress", "egress")),
        ("ack_filter", 16, Holds::Names(&[("no-ack-filter", 0), ("ack-filter", 1), ("ack-filter-aggressive", 2)])),
        ("split_gso", 17, Holds::Switch("split-gso", "no-split-gso")),
        ("rtt", 7, Holds::Micros),
        ("atm", 4, Holds::Names(&[("noatm", 0), ("atm", 1), ("ptm", 2)])),
        ("overhead", 6, Holds::I32),
        ("mpu", 14, Holds::U32),
        ("memlimit", 10, Holds::Size),
        ("fwmark", 18, Holds::U32),
    ];
    match kind {
        "fq_codel" => Some(FQ_CODEL),
        "codel" => Some(CODEL),
        "pie" => Some(PIE),
        "fq" => Some(FQ),
        "cake" => Some(CAKE),
        _ => None,
    }
}

/// The attributes of a table that were asked for.
fn from_table(table: &[(&'static str, u16, Holds)], params: &mut Params) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (name, code, holds) in table {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let micros = |ns: i64| narrow(u64::try_from(ns / 1000).unwrap_or_default());
        let value = match holds {
            Holds::U32 => params.u32(name, u32::MAX)?,
            Holds::UpTo(most) => params.u32(name, *most)?,
            Holds::Micros => params.time(name)?.map(micros),
            Holds::Nanos => params.time(name)?.map(|ns| narrow(u64::try_from(ns).unwrap_or_default())),
            Holds::Size => params.size(name)?,
            Holds::Rate => params.rate(name)?.map(narrow),
            Holds::Rate64 => {
                if let Some(rate) = params.rate(name)? {
                    nla::put(&mut out, *code, &rate.to_ne_bytes());
                }
                None
            }
            Holds::Switch(on, off) => params.flag(name, on, off)?.map(u32::from),
            Holds::Names(all) => {
                let before = params.take(name);
                let found = before.as_ref().map(|text| {
                    let value = all.iter().find(|(n, _)| n == text).map(|(_, v)| *v);
                    let words = all.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
                    value.ok_or_else(|| params.wrong(name, text, &format!("one of {words}")))
                });
                let found = found.transpose()?;
                if let Some(text) = before {
                    params.say(text);
                }
                found
            }
            Holds::Log => {
                let buckets = params.u32(name, 1 << 18)?;
                if buckets.is_some_and(|n| !n.is_power_of_two()) {
                    return Err(Error::invalid(format!("option `{name}` must be a power of 2")).with_target(*name));
                }
                buckets.map(u32::ilog2)
            }
            Holds::I32 => params.int(name, -64..=256)?.and_then(|n| i32::try_from(n).ok()).map(i32::cast_unsigned),
        };
        if let Some(value) = value {
            put_u32(&mut out, *code, value);
        }
    }
    Ok(out)
}

fn table_shown(table: &[(&'static str, u16, Holds)], options: &[u8]) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    for (name, code, holds) in table {
        let Some(raw) = nla::attr(options, *code).and_then(nla::number) else { continue };
        let int = i64::try_from(raw).unwrap_or(i64::MAX);
        let value = match holds {
            Holds::U32 | Holds::UpTo(_) => Value::Int(int),
            Holds::Micros => Value::Time(int.saturating_mul(1000)),
            Holds::Nanos => Value::Time(int),
            Holds::Size => Value::Size(raw),
            Holds::Rate if raw == u64::from(u32::MAX) => Value::None,
            Holds::Rate64 if raw == 0 => Value::None,
            Holds::Rate | Holds::Rate64 => Value::Rate(raw.saturating_mul(8)),
            Holds::Switch(..) => Value::Bool(raw != 0),
            Holds::Names(all) => match all.iter().find(|(_, n)| u64::from(*n) == raw) {
                Some((name, _)) => Value::Text((*name).into()),
                None => Value::Int(int),
            },
            Holds::Log => Value::Int(1_i64.checked_shl(u32::try_from(raw).unwrap_or(64)).unwrap_or_default()),
            Holds::I32 => Value::Int(i64::from(u32::try_from(raw).unwrap_or_default().cast_signed())),
        };
        out.push((*name, value));
    }
    out
}

/// `prio`: `struct tc_prio_qopt`, the number of bands and the band of each of 16 priorities.
fn prio(params: &mut Params) -> Result<Vec<u8>> {
    let bands = params.u32("bands", 16)?.unwrap_or(3);
    let mut map: Vec<u8> = vec![1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    if let Some(text) = params.take("priomap") {
        let wrong = || params.wrong("priomap", &text, "the band of each of 16 priorities, from 0");
        map = text.split_whitespace().map(|w| w.parse().ok()).collect::<Option<Vec<u8>>>().ok_or_else(wrong)?;
        if map.len() != 16 || map.iter().any(|b| u32::from(*b) >= bands) {
            return Err(wrong());
        }
        params.say(format!("priomap {text}"));
    } else if map.iter().any(|b| u32::from(*b) >= bands) {
        return Err(Error::invalid(format!("prio with {bands} bands needs a priomap")).with_target("priomap"));
    }
    let mut out = bands.to_ne_bytes().to_vec();
    out.extend(map);
    Ok(out)
}

fn prio_shown(options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(bands) = nla::u32_of(options) else { return Vec::new() };
    let map = options.get(4..20).unwrap_or_default().iter().map(|b| Value::Int(i64::from(*b))).collect();
    vec![("bands", Value::Int(i64::from(bands))), ("priomap", Value::List(map))]
}

/// `sfq`: `struct tc_sfq_qopt`, and with a depth `struct tc_sfq_qopt_v1`.
fn sfq(params: &mut Params) -> Result<Vec<u8>> {
    let quantum = params.size("quantum")?.unwrap_or_default();
    let perturb = match params.time("perturb")? {
        Some(ns) => u32::try_from(ns / 1_000_000_000).unwrap_or_default(),
        None => 0,
    };
    let limit = params.u32("limit", u32::MAX)?.unwrap_or_default();
    let divisor = params.u32("divisor", 65536)?.unwrap_or_default();
    let flows = params.u32("flows", u32::MAX)?.unwrap_or_default();
    let depth = params.u32("depth", 127)?;
    let head = params.flag("headdrop", "headdrop", "")?;
    let mut out = words_of(&[quantum, perturb, limit, divisor, flows]);
    if depth.is_some() || head.is_some() {
        out.extend(words_of(&[depth.unwrap_or_default(), u32::from(head.unwrap_or(false))]));
        out.resize(72, 0);
    }
    Ok(out)
}

fn sfq_shown(options: &[u8]) -> Vec<(&'static str, Value)> {
    let word = |at: usize| options.get(at * 4..).and_then(nla::u32_of).unwrap_or_default();
    let int = |at: usize| Value::Int(i64::from(word(at)));
    vec![
        ("limit", int(2)),
        ("quantum", Value::Size(u64::from(word(0)))),
        ("depth", int(5)),
        ("headdrop", Value::Bool(word(6) != 0)),
        ("flows", int(4)),
        ("divisor", int(3)),
        ("perturb", Value::Time(i64::from(word(1)) * 1_000_000_000)),
    ]
}

/// The kernel option and module of a kind.
#[must_use]
pub fn kernel_option(kind: &str) -> Option<(&'static str, &'static str)> {
    KINDS.iter().find(|(name, _, _)| *name == kind).map(|(_, option, module)| (*option, *module))
}

/// Packets of Ethernet, as `tc` takes them where nothing is said (`LINKLAYER_ETHERNET`).
const ETHERNET: u8 = 1;

/// `struct tc_ratespec`: of a rate in bytes a second, with overhead and the least size of a packet.
#[must_use]
pub fn ratespec(rate: u64, overhead: u16, mpu: u16) -> Vec<u8> {
    let mut out = vec![0, if rate == 0 { 0 } else { ETHERNET }];
    out.extend_from_slice(&overhead.to_ne_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&mpu.to_ne_bytes());
    out.extend_from_slice(&u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    out
}

/// The rate of a ratespec, or the 64-bit one beside it; bits a second.
#[must_use]
pub fn rate_of(spec: &[u8], wide: Option<&[u8]>) -> u64 {
    let narrow = spec.get(8..).and_then(nla::u32_of).map(u64::from).unwrap_or_default();
    wide.and_then(nla::number).unwrap_or(narrow).saturating_mul(8)
}

/// How long a number of bytes takes at a rate, in ticks (`tc_calc_xmittime`, tc/tc_core.c).
#[must_use]
pub fn ticks(rate: u64, bytes: u32) -> u32 {
    // In microseconds first, and as floating point: `tc`'s own way, whose rounding shows.
    #[expect(clippy::cast_precision_loss, reason = "as tc does")]
    let micros = 1e6 * (f64::from(bytes) / rate.max(1) as f64);
    let ticks = micros * (1000.0 / f64::from(u32::try_from(TICK).unwrap_or(64)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
    let ticks = ticks as u32;
    ticks
}

/// How many bytes go in some ticks at a rate in bits a second.
#[must_use]
pub fn bytes_in(bits: u64, ticks: u32) -> u64 {
    let bytes = u128::from(bits / 8) * u128::from(ticks) * u128::from(TICK) / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

pub(super) fn put_u32(out: &mut Vec<u8>, code: u16, value: u32) {
    nla::put(out, code, &value.to_ne_bytes());
}

/// Adds a rate that a ratespec has no room for.
pub(super) fn put_wide(out: &mut Vec<u8>, code: u16, rate: u64) {
    if rate > u64::from(u32::MAX) {
        nla::put(out, code, &rate.to_ne_bytes());
    }
}

pub(super) fn words_of(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// The content of `TCA_OPTIONS` that makes a qdisc of this kind; `None`: no such attribute.
///
/// # Errors
/// `invalid` for options that can't be; `unsupported` for a kind that is not known here.
pub fn encode(kind: &str, params: &mut Params) -> Result<Option<Vec<u8>>> {
    let options = match kind {
        "tbf" => Some(tbf(params)?),
        "htb" => Some(htb(params)?),
        "pfifo" => params.u32("limit", u32::MAX)?.map(|n| n.to_ne_bytes().to_vec()),
        "bfifo" => params.size("limit")?.map(|n| n.to_ne_bytes().to_vec()),
        "netem" => Some(super::netem::encode(params)?),
        "prio" => Some(prio(params)?),
        "sfq" => Some(sfq(params)?),
        "red" => Some(super::red::red(params)?),
        "choke" => Some(super::red::choke(params)?),
        // struct tc_hfsc_qopt
        "hfsc" => {
            let class = class_minor(params, "default_class")?.unwrap_or_default();
            params.say(format!("default {class:#x}"));
            Some(u16::try_from(class).unwrap_or_default().to_ne_bytes().to_vec())
        }
        "clsact" | "ingress" | "noqueue" | "mq" | "pfifo_fast" | "drr" => None,
        _ if table(kind).is_some() => Some(from_table(table(kind).unwrap_or_default(), params)?),
        _ => {
            let names = KINDS.iter().map(|(name, _, _)| *name);
            let error = Error::invalid(format!("there is no qdisc kind `{kind}` here")).with_target(kind);
            return Err(match crate::plan::nearest(kind, names.clone()) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(format!("there are: {}", names.collect::<Vec<_>>().join(", "))),
            });
        }
    };
    params.finish()?;
    Ok(options)
}

/// The options that the kernel shows, in the order in which `tc` writes them.
#[must_use]
pub fn decode(kind: &str, options: &[u8]) -> Vec<(&'static str, Value)> {
    match kind {
        "tbf" => tbf_shown(options),
        "htb" => htb_shown(options),
        "pfifo" => limit_shown(options, |n| Value::Int(i64::from(n))),
        "bfifo" => limit_shown(options, |n| Value::Size(u64::from(n))),
        "netem" => super::netem::decode(options),
        "prio" | "pfifo_fast" => prio_shown(options),
        "sfq" => sfq_shown(options),
        "red" | "choke" => super::red::shown(kind, options),
        "hfsc" => options
            .get(..2)
            .and_then(nla::number)
            .and_then(|n| i64::try_from(n).ok())
            .map(|n| ("default", Value::Int(n)))
            .into_iter()
            .collect(),
        _ if table(kind).is_some() => table_shown(table(kind).unwrap_or_default(), options),
        _ => Vec::new(),
    }
}

fn limit_shown(options: &[u8], value: impl Fn(u32) -> Value) -> Vec<(&'static str, Value)> {
    nla::u32_of(options).map(|n| ("limit", value(n))).into_iter().collect()
}

/// What a token bucket takes at once where nothing is said: ten milliseconds of its rate, and two full packets at
/// least.
#[must_use]
pub fn default_burst(rate: u64) -> u32 {
    u32::try_from(rate / 100).unwrap_or(u32::MAX).max(2 * 1514)
}

/// Where a queue's latency is not said: 50 ms.
const LATENCY: i64 = 50_000_000;

fn tbf(params: &mut Params) -> Result<Vec<u8>> {
    let rate = params
        .rate("rate")?
        .filter(|r| *r > 0)
        .ok_or_else(|| Error::invalid("tbf needs a rate").with_target("rate").with_hint("#{ rate: \"10mbit\" }"))?;
    let burst = match params.size("burst")? {
        Some(burst) => burst,
        None => {
            let burst = default_burst(rate);
            params.say(format!("burst {burst}"));
            burst
        }
    };
    let limit = params.size("limit")?;
    let latency = params.time("latency")?;
    let peak = params.rate("peakrate")?.unwrap_or_default();
    let mtu = params.size("mtu")?.unwrap_or_default();
    let overhead = params.int("overhead", 0..=0xffff)?.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    let mpu = params.int("mpu", 0..=0xffff)?.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    if peak > 0 && mtu == 0 {
        return Err(Error::invalid("tbf with a peakrate needs an mtu").with_target("mtu").with_hint("mtu: \"1540b\""));
    }
    let limit = match (limit, latency) {
        (Some(_), Some(_)) => return Err(Error::invalid("tbf: `limit` and `latency` exclude each other")),
        (Some(limit), None) => limit,
        (None, latency) => {
            let latency = latency.unwrap_or_else(|| {
                params.say("latency 50ms");
                LATENCY
            });
            let queued = |rate: u64, more: u32| {
                let bytes = i128::from(rate) * i128::from(latency) / 1_000_000_000 + i128::from(more);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            };
            let limit = queued(rate, burst);
            if peak > 0 { limit.min(queued(peak, mtu)) } else { limit }
        }
    };
    // struct tc_tbf_qopt: rate, peakrate, limit, buffer, mtu
    let mut parameters = ratespec(rate, overhead, mpu);
    parameters.extend(ratespec(peak, overhead, mpu));
    parameters.extend(words_of(&[limit, ticks(rate, burst), if peak > 0 { ticks(peak, mtu) } else { 0 }]));
    let mut out = Vec::new();
    nla::put(&mut out, 1, &parameters);
    put_u32(&mut out, 6, burst);
    put_wide(&mut out, 4, rate);
    if peak > 0 {
        put_wide(&mut out, 5, peak);
        put_u32(&mut out, 7, mtu);
    }
    Ok(out)
}

fn tbf_shown(options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(parameters) = nla::attr(options, 1).filter(|p| p.len() >= 36) else { return Vec::new() };
    let word = |at: usize| nla::u32_of(&parameters[at..]).unwrap_or_default();
    let rate = rate_of(parameters, nla::attr(options, 4));
    let mut out = vec![("rate", Value::Rate(rate)), ("burst", Value::Size(bytes_in(rate, word(28))))];
    let peak = rate_of(&parameters[12..], nla::attr(options, 5));
    if peak > 0 {
        out.push(("peakrate", Value::Rate(peak)));
        out.push(("mtu", Value::Size(bytes_in(peak, word(32)))));
    }
    out.push(("limit", Value::Size(u64::from(word(24)))));
    out.extend(extra_of(parameters));
    out
}

/// Overhead and mpu of a ratespec, where there are.
pub(super) fn extra_of(spec: &[u8]) -> Vec<(&'static str, Value)> {
    let half = |at: usize| spec.get(at..at + 2).and_then(nla::number).and_then(|n| i64::try_from(n).ok());
    [("overhead", half(2)), ("mpu", half(6))]
        .into_iter()
        .filter_map(|(name, n)| n.filter(|n| *n != 0).map(|n| (name, Value::Int(n))))
        .collect()
}

/// The class for what no filter gives another: `10` or `1:10`, hexadecimal.
fn class_minor(params: &mut Params, key: &'static str) -> Result<Option<u32>> {
    let Some(text) = params.take(key) else { return Ok(None) };
    let handle = match text.strip_prefix("0x") {
        Some(_) => number(&text).and_then(|n| u32::try_from(n).ok()),
        None if text.contains(':') => Some(super::minor(parse_handle(&text)?)),
        None => u32::from_str_radix(&text, 16).ok(),
    };
    let class = handle.filter(|h| *h <= 0xffff).ok_or_else(|| {
        params.wrong(
            key,
            &text,
            "the class for what no filter gives another, hexadecimal as in a handle: \"10\" or \"1:10\"",
        )
    })?;
    Ok(Some(class))
}

fn htb(params: &mut Params) -> Result<Vec<u8>> {
    // `default` is one of Rhai's own words.
    let class = class_minor(params, "default_class")?;
    if let Some(class) = class {
        params.say(format!("default {class:#x}"));
    }
    let r2q = params.u32("r2q", u32::MAX)?.unwrap_or(10);
    let direct = params.u32("direct_qlen", u32::MAX)?;
    let mut out = Vec::new();
    // struct tc_htb_glob: version 3, rate2quantum, defcls, debug, direct_pkts
    nla::put(&mut out, 2, &words_of(&[3, r2q, class.unwrap_or_default(), 0, 0]));
    if let Some(direct) = direct {
        put_u32(&mut out, 5, direct);
    }
    Ok(out)
}

fn htb_shown(options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(glob) = nla::attr(options, 2).filter(|g| g.len() >= 20) else { return Vec::new() };
    let word = |at: usize| Value::Int(nla::u32_of(&glob[at..]).map(i64::from).unwrap_or_default());
    let mut out = vec![("default", word(8)), ("r2q", word(4))];
    if let Some(direct) = nla::attr(options, 5).and_then(nla::u32_of) {
        out.push(("direct_qlen", Value::Int(i64::from(direct))));
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
    fn a_bucket_is_shown_as_it_was_asked_for() {
        let mut p = params(&[("rate", "10mbit"), ("burst", "32kb"), ("latency", "100ms")]);
        let options = encode("tbf", &mut p).ok().flatten().expect("options");
        assert_eq!(p.words(), " rate 10mbit burst 32kb latency 100ms");
        let shown = decode("tbf", &options);
        assert_eq!(shown[0], ("rate", Value::Rate(10_000_000)));
        assert_eq!(shown[2], ("limit", Value::Size(125_000 + 32768)));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (kind, all) in [("tbf", &[][..]), ("htb", &[("default", "10")]), ("htp", &[]), ("pfifo", &[("limit", "x")])]
        {
            assert!(encode(kind, &mut params(all)).is_err(), "{kind}");
        }
    }
}

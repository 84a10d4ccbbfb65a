//! netem: delay, loss and all that a wide area does to packets (tc-netem(8)).

use super::params::{Params, Value, time};
use super::qdisc::{put_u32, words_of};
use crate::plan::error::{Error, Result};
use crate::plan::{ip, nla, unit};

// include/uapi/linux/pkt_sched.h
const CORR: u16 = 1;
const DELAY_DIST: u16 = 2;
const REORDER: u16 = 3;
const CORRUPT: u16 = 4;
const LOSS: u16 = 5;
const RATE: u16 = 6;
const ECN: u16 = 7;
const RATE64: u16 = 8;
const LATENCY64: u16 = 10;
const JITTER64: u16 = 11;
const SLOT: u16 = 12;
const LOSS_GI: u16 = 1;
const LOSS_GE: u16 = 2;
/// Bytes of `struct tc_netem_qopt`: latency, limit, loss, gap, duplicate, jitter.
const HEADER: usize = 24;
/// What `NETEM_DIST_SCALE` stands for one standard deviation.
const SCALE: f64 = 8192.0;

/// The distributions of `delay` by name.
const DISTRIBUTIONS: &[(&str, Distribution)] = &[
    ("uniform", Distribution::Uniform),
    ("normal", Distribution::Normal),
    ("pareto", Distribution::Pareto),
    ("paretonormal", Distribution::ParetoNormal),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    /// The kernel's own, without a table.
    Uniform,
    Normal,
    Pareto,
    ParetoNormal,
}

/// Says `delay 10ms 2ms 25%` in one, as `tc` takes it.
fn said(words: &[Option<String>]) -> String {
    words.iter().map_while(|w| w.as_deref()).map(ip::word).collect::<Vec<_>>().join(" ")
}

/// Takes a percentage without saying it.
fn share(params: &mut Params, key: &'static str) -> Result<(u32, Option<String>)> {
    let Some(text) = params.take(key) else { return Ok((0, None)) };
    let value = unit::percent(&text).map_err(|_| params.wrong(key, &text, "a percentage: \"1%\", \"0.5%\""))?;
    Ok((value, Some(text)))
}

fn span(params: &mut Params, key: &'static str) -> Result<(i64, Option<String>)> {
    let Some(text) = params.take(key) else { return Ok((0, None)) };
    let value = time(&text).ok_or_else(|| params.wrong(key, &text, "a time with its unit: \"10ms\""))?;
    Ok((value, Some(text)))
}

fn ticks(ns: i64) -> u32 {
    u32::try_from(u64::try_from(ns).unwrap_or_default() / super::TICK).unwrap_or(u32::MAX)
}

/// `loss` that is not just a percentage: `state P13 P31 …`, `gemodel P R 1-H 1-K`.
fn loss_model(params: &Params, text: &str) -> Result<(u16, Vec<u8>)> {
    let wrong = || {
        params.wrong(
            "loss",
            text,
            "a percentage, \"state P13 [P31 [P32 [P23 [P14]]]]\" or \"gemodel P [R [1-H [1-K]]]\"",
        )
    };
    let mut words = text.split_whitespace();
    let model = words.next().unwrap_or_default();
    let given = words.map(unit::percent).collect::<Result<Vec<u32>>>().map_err(|_| wrong())?;
    let Some(first) = given.first().copied() else { return Err(wrong()) };
    let at = |n: usize, default: u32| given.get(n).copied().unwrap_or(default);
    match model {
        // struct tc_netem_gimodel: p13, p31, p32, p14, p23 (get_netem_state, parse_opt of tc/q_netem.c)
        "state" if given.len() <= 5 => {
            Ok((LOSS_GI, words_of(&[first, at(1, u32::MAX - first), at(2, 0), at(4, 0), at(3, u32::MAX)])))
        }
        // struct tc_netem_gemodel: p, r, h, k1; given as 1-h and 1-k
        "gemodel" if given.len() <= 4 => {
            Ok((LOSS_GE, words_of(&[first, at(1, u32::MAX - first), u32::MAX - at(2, u32::MAX), at(3, 0)])))
        }
        _ => Err(wrong()),
    }
}

/// The content of `TCA_OPTIONS`.
///
/// # Errors
/// `invalid`.
pub(super) fn encode(params: &mut Params) -> Result<Vec<u8>> {
    let limit = params.u32("limit", u32::MAX)?.unwrap_or(1000);
    let (delay, delay_said) = span(params, "delay")?;
    let (jitter, jitter_said) = span(params, "jitter")?;
    let (delay_corr, corr_said) = share(params, "delay_corr")?;
    let distribution = params.take("distribution");
    if jitter > 0 && delay == 0 {
        return Err(Error::invalid("netem: a jitter needs a delay to vary").with_target("jitter"));
    }
    if delay_corr > 0 && jitter == 0 {
        return Err(Error::invalid("netem: `delay_corr` needs a jitter").with_target("delay_corr"));
    }
    if delay_said.is_some() {
        params.say(format!("delay {}", said(&[delay_said, jitter_said, corr_said])));
    }
    let mut table = None;
    if let Some(name) = distribution {
        let found = DISTRIBUTIONS.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        let words = "uniform, normal, pareto or paretonormal";
        let kind = found.ok_or_else(|| params.wrong("distribution", &name, words))?;
        if jitter == 0 {
            return Err(Error::invalid("netem: a distribution needs a jitter").with_target("distribution"));
        }
        if kind != Distribution::Uniform {
            params.say(format!("distribution {name}"));
            table = Some(distribution_table(kind));
        }
    }
    let (mut loss, mut model) = (0, None);
    let loss_text = params.take("loss");
    let (loss_corr, loss_corr_said) = share(params, "loss_corr")?;
    if let Some(text) = loss_text {
        match unit::percent(&text) {
            Ok(value) => {
                loss = value;
                params.say(format!("loss {}", said(&[Some(text), loss_corr_said])));
            }
            Err(_) => {
                model = Some(loss_model(params, &text)?);
                params.say(format!("loss {text}"));
            }
        }
    }
    let mut pair = |key: &'static str, corr: &'static str| -> Result<(u32, u32)> {
        let (value, text) = share(params, key)?;
        let (corr, corr_text) = share(params, corr)?;
        if text.is_some() {
            params.say(format!("{key} {}", said(&[text, corr_text])));
        }
        Ok((value, corr))
    };
    let (duplicate, dup_corr) = pair("duplicate", "duplicate_corr")?;
    let corrupt = pair("corrupt", "corrupt_corr")?;
    let reorder = pair("reorder", "reorder_corr")?;
    let gap = params.u32("gap", u32::MAX)?;
    if (reorder.0 > 0 || gap.is_some()) && delay == 0 {
        return Err(Error::invalid("netem: to reorder needs a delay: what is sent at once overtakes the others")
            .with_target("reorder")
            .with_hint("#{ delay: \"10ms\", reorder: \"25%\" }"));
    }
    let gap = gap.unwrap_or(u32::from(reorder.0 > 0));
    let rate = params.rate("rate")?;
    let overhead = params.int("overhead", -1000..=1000)?.unwrap_or_default();
    let ecn = params.flag("ecn", "ecn", "")?.unwrap_or(false);
    if ecn && loss == 0 && model.is_none() {
        return Err(Error::invalid("netem: `ecn` marks what `loss` would lose: it needs a loss").with_target("ecn"));
    }
    let slot = params.text("slot").map(|text| slot_of(params, &text)).transpose()?;
    let mut out = words_of(&[ticks(delay), limit, loss, gap, duplicate, ticks(jitter)]);
    nla::put(&mut out, LATENCY64, &delay.to_ne_bytes());
    nla::put(&mut out, JITTER64, &jitter.to_ne_bytes());
    nla::put(&mut out, CORR, &words_of(&[delay_corr, loss_corr, dup_corr]));
    nla::put(&mut out, REORDER, &words_of(&[reorder.0, reorder.1]));
    nla::put(&mut out, CORRUPT, &words_of(&[corrupt.0, corrupt.1]));
    put_u32(&mut out, ECN, u32::from(ecn));
    // struct tc_netem_rate: rate, packet_overhead, cell_size, cell_overhead
    let bytes = rate.unwrap_or_default();
    super::qdisc::put_wide(&mut out, RATE64, bytes);
    let overhead = i32::try_from(overhead).unwrap_or_default().cast_unsigned();
    nla::put(&mut out, RATE, &words_of(&[u32::try_from(bytes).unwrap_or(u32::MAX), overhead, 0, 0]));
    if let Some((code, value)) = model {
        nla::nest(&mut out, LOSS, |loss| nla::put(loss, code, &value));
    }
    if let Some(slot) = slot {
        nla::put(&mut out, SLOT, &slot);
    }
    if let Some(table) = table {
        nla::put(&mut out, DELAY_DIST, &table);
    }
    Ok(out)
}

/// `slot MIN [MAX]`: `struct tc_netem_slot`.
fn slot_of(params: &Params, text: &str) -> Result<Vec<u8>> {
    let wrong = || params.wrong("slot", text, "the least and the longest time between bursts: \"800us 1ms\"");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (min, max) = match words[..] {
        [one] => (time(one), time(one)),
        [min, max] => (time(min), time(max)),
        _ => return Err(wrong()),
    };
    let (min, max) = min.zip(max).filter(|(a, b)| a <= b).ok_or_else(wrong)?;
    let mut out = Vec::new();
    out.extend_from_slice(&min.to_ne_bytes());
    out.extend_from_slice(&max.to_ne_bytes());
    out.extend_from_slice(&[0; 24]); // max_packets, max_bytes, dist_delay, dist_jitter
    Ok(out)
}

fn percent(value: u32) -> Value {
    if value == 0 { Value::None } else { Value::Percent(f64::from(value) / f64::from(u32::MAX) * 100.0) }
}

/// The options as the kernel shows them. It never shows a distribution.
pub(super) fn decode(options: &[u8]) -> Vec<(&'static str, Value)> {
    let Some(attrs) = options.get(HEADER..) else { return Vec::new() };
    let head = |at: usize| nla::u32_of(&options[at * 4..]).unwrap_or_default();
    let wide = |code: u16, or: u32| {
        nla::attr(attrs, code).and_then(nla::number).map_or(i64::from(or) * super::TICK.cast_signed(), u64::cast_signed)
    };
    let word = |code: u16, at: usize| {
        nla::attr(attrs, code).and_then(|v| v.get(at * 4..)).and_then(nla::u32_of).unwrap_or_default()
    };
    let span = |ns: i64| if ns == 0 { Value::None } else { Value::Time(ns) };
    let rate = nla::attr(attrs, RATE64).and_then(nla::number).unwrap_or_else(|| u64::from(word(RATE, 0)));
    let mut loss = percent(head(2));
    for (code, value) in nla::attr(attrs, LOSS).into_iter().flat_map(nla::attrs) {
        let word = |at: usize| nla::u32_of(value.get(at * 4..).unwrap_or_default()).unwrap_or_default();
        let share = |n: u32| if n == 0 { "0%".to_string() } else { percent(n).words("") };
        let all = match code {
            LOSS_GI => {
                vec!["state".into(), share(word(0)), share(word(1)), share(word(2)), share(word(4)), share(word(3))]
            }
            LOSS_GE => {
                vec!["gemodel".into(), share(word(0)), share(word(1)), share(u32::MAX - word(2)), share(word(3))]
            }
            _ => continue,
        };
        loss = Value::Text(all.join(" "));
    }
    vec![
        ("limit", Value::Int(i64::from(head(1)))),
        ("delay", span(wide(LATENCY64, head(0)))),
        ("jitter", span(wide(JITTER64, head(5)))),
        ("delay_corr", percent(word(CORR, 0))),
        ("loss", loss),
        ("loss_corr", percent(word(CORR, 1))),
        ("duplicate", percent(head(4))),
        ("duplicate_corr", percent(word(CORR, 2))),
        ("reorder", percent(word(REORDER, 0))),
        ("reorder_corr", percent(word(REORDER, 1))),
        ("corrupt", percent(word(CORRUPT, 0))),
        ("corrupt_corr", percent(word(CORRUPT, 1))),
        ("gap", if head(3) == 0 { Value::None } else { Value::Int(i64::from(head(3))) }),
        ("rate", if rate == 0 { Value::None } else { Value::Rate(rate.saturating_mul(8)) }),
        ("ecn", Value::Bool(word(ECN, 0) != 0)),
    ]
}

/// The standard normal's inverse distribution function (Acklam's rational approximation, relative error below 1.2e-9).
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let polynomial = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

/// 4096 values in units of the jitter times 8192, sorted: what iproute2's netem/normal.c, pareto.c and paretonormal.c
/// print into `/usr/lib/tc/*.dist`.
fn distribution_table(kind: Distribution) -> Vec<u8> {
    const SIZE: u32 = 4096;
    let normal = |i: u32| if i == 0 { -4.0 } else { inverse_normal(f64::from(i) / f64::from(SIZE)) };
    let pareto = |i: u32| {
        let share = f64::from(SIZE - i) / f64::from(SIZE);
        ((1.0 / share.powf(1.0 / 3.0) - 1.5) * (4.0 / 3.0)).min(32767.0 / SCALE)
    };
    (0..SIZE)
        .flat_map(|i| {
            let value = match kind {
                Distribution::Uniform | Distribution::Normal => normal(i),
                Distribution::Pareto => pareto(i),
                Distribution::ParetoNormal => (normal(i) + 3.0 * pareto(i)) / 4.0,
            };
            #[expect(clippy::cast_possible_truncation, reason = "a float saturates")]
            let value = (value * SCALE).round() as i16;
            value.to_ne_bytes()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(all: &[(&str, &str)]) -> Params {
        Params::new("netem", all.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect())
    }

    #[test]
    fn what_was_asked_for_is_shown() {
        let mut p = params(&[
            ("delay", "40ms"),
            ("jitter", "5ms"),
            ("loss", "1%"),
            ("rate", "20mbit"),
            ("duplicate", "0.5%"),
            ("distribution", "normal"),
        ]);
        let options = encode(&mut p).expect("options");
        assert_eq!(p.words(), " delay 40ms 5ms distribution normal loss 1% duplicate 0.5% rate 20mbit");
        let shown: std::collections::HashMap<_, _> = decode(&options).into_iter().collect();
        assert_eq!(shown["delay"], Value::Time(40_000_000));
        assert_eq!(shown["jitter"], Value::Time(5_000_000));
        assert_eq!(shown["rate"], Value::Rate(20_000_000));
        assert_eq!(shown["loss"].words(""), "1%");
        assert_eq!(shown["reorder"], Value::None);
    }

    #[test]
    fn models_of_loss_are_read_back() {
        for text in ["gemodel 1% 10% 70% 0.1%", "state 1% 99% 2% 50% 3%"] {
            let options = encode(&mut params(&[("loss", text)])).expect("options");
            let shown: std::collections::HashMap<_, _> = decode(&options).into_iter().collect();
            assert_eq!(shown["loss"], Value::Text(text.into()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for all in [
            &[("jitter", "1ms")][..],
            &[("reorder", "1%")],
            &[("ecn", "true")],
            &[("delay", "1ms"), ("distribution", "normal")],
            &[("loss", "gemodel")],
            &[("delay", "10")],
            &[("slot", "2ms 1ms")],
        ] {
            assert!(encode(&mut params(all)).is_err(), "{all:?}");
        }
    }

    #[test]
    fn the_normal_distribution_is_symmetric_and_scaled() {
        let table = distribution_table(Distribution::Normal);
        let at = |i: usize| i16::from_ne_bytes([table[i * 2], table[i * 2 + 1]]);
        assert_eq!(table.len(), 8192);
        assert_eq!(at(2048), 0);
        // One standard deviation: the share of 0.8413.
        assert!((i32::from(at(3446)) - 8192).abs() < 12, "{}", at(3446));
        assert_eq!(at(1024), -at(3072));
    }
}

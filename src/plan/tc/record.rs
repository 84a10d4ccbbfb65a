//! Qdiscs, classes and filters as the kernel dumps them, freed of what counts and what moves, and made whole again
//! for sending.

use super::{
    HEADER, TCA_CHAIN, TCA_EGRESS_BLOCK, TCA_INGRESS_BLOCK, TCA_KIND, TCA_OPTIONS, TCA_STAB, TICK, header, minor,
};
use crate::plan::nla;
use crate::plan::record::{Rec, What};

/// Kinds whose classes somebody makes. Those of the others are bands, queues and flows, made with the qdisc.
const CLASSFUL: &[&str] = &["htb", "hfsc", "drr", "qfq", "cbq"];

/// In which attribute a filter's actions are (`TCA_FLOWER_ACT` … in include/uapi/linux/pkt_cls.h).
pub(super) fn actions_in(kind: &str) -> Option<u16> {
    Some(match kind {
        "flower" | "basic" => 3,
        "matchall" => 2,
        "u32" => 7,
        "fw" => 4,
        "bpf" | "cgroup" => 1,
        "flow" => 9,
        _ => return None,
    })
}

/// In which attribute a filter's flags are, of which the kernel shows more than it takes.
fn flags_in(kind: &str) -> Option<u16> {
    Some(match kind {
        "flower" => 22,
        "matchall" => 3,
        "u32" => 11,
        "bpf" => 9,
        _ => return None,
    })
}

/// Counters among a filter's options (`TCA_U32_PCNT`, `TCA_MATCHALL_PCNT` …).
fn counters_in(kind: &str) -> &'static [u16] {
    match kind {
        "u32" => &[9],
        "matchall" => &[4],
        "basic" => &[5],
        // in_hw_count
        "flower" => &[79],
        _ => &[],
    }
}

/// (attribute of the parameters, of the times) of an action.
fn parameters_in(kind: &str) -> (u16, u16) {
    match kind {
        "nat" | "csum" | "connmark" | "ct" | "ctinfo" => (1, 2),
        "police" => (1, 6),
        _ => (2, 1),
    }
}

/// The record of a dumped message. `None` for what the kernel made by itself and takes no order for: qdiscs without a
/// handle (noqueue, mq, the default ones), classes that are bands or flows, the bare tables of filters.
#[must_use]
pub fn of(what: What, body: &[u8]) -> Option<Rec> {
    let raw = Rec { what, body: body.to_vec(), ends: None };
    let kind = raw.tc_kind();
    let (handle, parent) = (raw.tc_handle(), raw.tc_parent());
    let info = match what {
        What::Qdisc if handle == 0 => return None,
        What::Class if minor(handle) == 0 || !CLASSFUL.contains(&kind.as_str()) => return None,
        // `fw` without a mark is a filter that has no entry of its own (fw_change, net/sched/cls_fw.c).
        What::Filter if handle == 0 && kind != "fw" => return None,
        What::Filter if kind == "u32" && own_table(handle, raw.tc_options()) => return None,
        What::Filter => raw.body.get(16..20).and_then(nla::u32_of)?,
        _ => 0,
    };
    let mut out = header(raw.tc_index(), handle, parent, info);
    for (code, value) in nla::attrs(raw.attrs()) {
        match code {
            TCA_OPTIONS => nla::put(&mut out, code, &options(what, &kind, value)),
            TCA_KIND | TCA_STAB | TCA_CHAIN | TCA_INGRESS_BLOCK | TCA_EGRESS_BLOCK => nla::put(&mut out, code, value),
            _ => {}
        }
    }
    Some(Rec { what, body: out, ends: None })
}

/// Whether it is a hash table of u32 that comes with its priority: of one bucket, with a number that the kernel chose.
fn own_table(handle: u32, options: &[u8]) -> bool {
    let divisor = nla::attr(options, 4).and_then(nla::u32_of);
    handle.trailing_zeros() >= 20 && handle >= 0x8000_0000 && divisor == Some(1)
}

/// The options without what counts.
fn options(what: What, kind: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match (what, kind) {
        (What::Qdisc, "htb") => {
            for (code, value) in nla::attrs(value) {
                let mut value = value.to_vec();
                // struct tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts (a counter)
                if code == 2
                    && let Some(direct) = value.get_mut(16..20)
                {
                    direct.fill(0);
                }
                nla::put(&mut out, code, &value);
            }
        }
        (What::Class, "htb") => {
            for (code, value) in nla::attrs(value) {
                let mut value = value.to_vec();
                // struct tc_htb_opt: two rates of 12 bytes, buffer, cbuffer, quantum, level (follows from the tree), prio
                if code == 1
                    && let Some(level) = value.get_mut(36..40)
                {
                    level.fill(0);
                }
                nla::put(&mut out, code, &value);
            }
        }
        (What::Qdisc, "red") => out = super::red::state(value),
        (What::Filter, _) => {
            for (code, value) in nla::attrs(value) {
                if counters_in(kind).contains(&code) {
                } else if Some(code) == actions_in(kind) {
                    nla::nest(&mut out, code, |list| actions(list, value));
                } else if Some(code) == flags_in(kind) {
                    // Skip hardware, skip software, verbose; not whether it is in hardware (tc_flags_valid).
                    let flags = nla::u32_of(value).unwrap_or_default() & (1 | 2 | 16);
                    if flags != 0 {
                        nla::put(&mut out, code, &flags.to_ne_bytes());
                    }
                } else if kind == "u32" && code == 10 {
                    // struct tc_u32_mark: value, mask, how often
                    let mut mark = value.to_vec();
                    if let Some(success) = mark.get_mut(8..12) {
                        success.fill(0);
                    }
                    nla::put(&mut out, code, &mark);
                } else {
                    nla::put(&mut out, code, value);
                }
            }
        }
        _ => out = value.to_vec(),
    }
    out
}

/// Actions without times, counters and the number of their users.
fn actions(out: &mut Vec<u8>, list: &[u8]) {
    for (order, action) in nla::attrs(list) {
        let kind = nla::attr(action, 1).map(nla::text).unwrap_or_default();
        let (parameters, times) = parameters_in(&kind);
        nla::nest(out, order, |act| {
            for (code, value) in nla::attrs(action) {
                match code {
                    // TCA_ACT_OPTIONS
                    2 => nla::nest(act, code, |options| {
                        for (code, value) in nla::attrs(value).filter(|(code, _)| *code != times) {
                            let mut value = value.to_vec();
                            if code == parameters {
                                unnumber(&kind, &mut value);
                            }
                            nla::put(options, code, &value);
                        }
                    }),
                    // TCA_ACT_KIND, _COOKIE, _FLAGS, _HW_STATS
                    1 | 6 | 7 | 8 => nla::put(act, code, value),
                    _ => {}
                }
            }
        });
    }
}

/// An action's parameters without the number of its users. Its own number counts only where others share it, or where
/// it was made without a filter: sent back, it would bind the filter to one that is still there, and one that was
/// deleted a moment ago still is (it goes with an RCU grace period).
fn unnumber(kind: &str, parameters: &mut [u8]) {
    // struct tc_police has refcnt and bindcnt at its end, all others tc_gen in front: index, capab, action, both.
    let at = if kind == "police" { 44 } else { 12 };
    let Some(users) = parameters.get(at..at + 8) else { return };
    let (references, bound) = (nla::u32_of(users), users.get(4..).and_then(nla::u32_of));
    let alone = references == Some(1) && bound == Some(1);
    parameters[at..at + 8].fill(0);
    if alone {
        parameters[..4].fill(0);
    }
}

/// In which attribute the delay is from which packets are marked (`TCA_CODEL_CE_THRESHOLD`, `TCA_FQ_CODEL_CE_THRESHOLD`).
pub(super) fn threshold_in(kind: &str) -> Option<u16> {
    match kind {
        "codel" => Some(5),
        "fq_codel" => Some(7),
        _ => None,
    }
}

const ETH_TYPE: u16 = 8;

/// The microseconds that are `CODEL_DISABLED_THRESHOLD` (include/net/codel.h) in units of 1024 ns: no packet is marked.
pub(super) const NO_THRESHOLD: u32 = 2_199_023_255;

/// The body to send that makes the record again: with what the kernel wants to be told and does not show.
#[must_use]
pub fn sendable(rec: &Rec) -> Vec<u8> {
    let kind = rec.tc_kind();
    let mut handle = rec.tc_handle();
    let mut out = rec.body.get(..HEADER).unwrap_or_default().to_vec();
    let table = rec.what == What::Filter && kind == "u32";
    if table && handle & 0xf_ffff != 0 && handle >= 0x8000_0000 {
        // In its priority's own table, whose number the kernel chooses (u32_change, net/sched/cls_u32.c).
        handle &= 0xfff;
        out[8..12].copy_from_slice(&handle.to_ne_bytes());
    }
    for (code, value) in nla::attrs(rec.attrs()) {
        match code {
            TCA_OPTIONS if rec.what == What::Filter => nla::nest(&mut out, code, |options| {
                // TCA_FLOWER_KEY_ETH_TYPE: of frames with a tag it is shown without, or what the tag is in front of, but taken
                // for the tag (fl_set_key, fl_dump_key, net/sched/cls_flower.c).
                let protocol = rec.tc_prio().1;
                let tagged = kind == "flower" && matches!(protocol, 0x8100 | 0x88a8);
                if tagged {
                    nla::put(options, ETH_TYPE, &protocol.to_be_bytes());
                }
                for (code, value) in nla::attrs(value).filter(|(code, _)| !tagged || *code != ETH_TYPE) {
                    if table && code == 2 && nla::u32_of(value).is_some_and(|t| t >= 0x8000_0000) {
                        // TCA_U32_HASH of that table
                    } else if Some(code) == actions_in(&kind) {
                        nla::nest(options, code, |list| with_rate_tables(list, value));
                    } else {
                        nla::put(options, code, value);
                    }
                }
            }),
            TCA_STAB => nla::nest(&mut out, code, |stab| {
                for (code, value) in nla::attrs(value) {
                    nla::put(stab, code, value);
                    // TCA_STAB_BASE is shown, TCA_STAB_DATA is not.
                    if code == 1
                        && let Some(data) = size_table(value)
                    {
                        nla::put(stab, 2, &data);
                    }
                }
            }),
            // Kept in units of 1024 ns (of pie: in ticks) and shown in whole microseconds, rounded down: sent as shown, each
            // would lose one more (codel_time_t, fq_codel_change; pie_change). TCA_FQ_CODEL_TARGET 1, _INTERVAL 3; TCA_PIE_TARGET 1.
            TCA_OPTIONS if rec.what == What::Qdisc && matches!(kind.as_str(), "fq_codel" | "codel" | "pie") => {
                let threshold = threshold_in(&kind);
                let exact = if kind == "pie" { 8 } else { 128 };
                let time = |code: u16| code == 1 || kind != "pie" && code == 3 || Some(code) == threshold;
                nla::nest(&mut out, code, |options| {
                    for (code, value) in nla::attrs(value) {
                        match nla::u32_of(value).filter(|n| time(code) && n % exact != 0 && *n != NO_THRESHOLD) {
                            Some(micros) => nla::put(options, code, &(micros + 1).to_ne_bytes()),
                            None => nla::put(options, code, value),
                        }
                    }
                });
            }
            // struct tc_sfq_qopt: limit is its third word, flows its fifth. By default 127 and 128, but a limit that is given
            // caps the flows (sfq_init, sfq_change).
            TCA_OPTIONS if rec.what == What::Qdisc && kind == "sfq" => {
                let mut value = value.to_vec();
                let at = |at: usize| value.get(at..).and_then(nla::u32_of);
                if (at(8), at(16)) == (Some(127), Some(128)) {
                    value[8..12].fill(0);
                    value[16..20].fill(0);
                }
                nla::put(&mut out, code, &value);
            }
            TCA_OPTIONS if rec.what == What::Qdisc && matches!(kind.as_str(), "red" | "choke") => {
                nla::put(&mut out, code, &super::red::sendable(value));
            }
            // struct tc_netem_qopt, then attributes: TCA_NETEM_ECN 7 is shown only where it is on.
            TCA_OPTIONS if rec.what == What::Qdisc && kind == "netem" => {
                let mut value = value.to_vec();
                if value.get(24..).is_some_and(|attrs| nla::attr(attrs, 7).is_none()) {
                    nla::put(&mut value, 7, &0u32.to_ne_bytes());
                }
                nla::put(&mut out, code, &value);
            }
            // struct tc_htb_glob: the version is shown with its minor part, and taken without (htb_init, net/sched/sch_htb.c).
            TCA_OPTIONS if rec.what == What::Qdisc && kind == "htb" => nla::nest(&mut out, code, |options| {
                for (code, value) in nla::attrs(value) {
                    let mut value = value.to_vec();
                    if code == 2
                        && let Some(version) = value.get_mut(..4)
                        && let Some(shown) = nla::u32_of(version).filter(|v| *v > 0xffff)
                    {
                        version.copy_from_slice(&(shown >> 16).to_ne_bytes());
                    }
                    nla::put(options, code, &value);
                }
            }),
            _ => nla::put(&mut out, code, value),
        }
    }
    out
}

/// The police action wants its rate tables (tcf_police_init, net/sched/act_police.c), though it computes by itself.
fn with_rate_tables(out: &mut Vec<u8>, list: &[u8]) {
    for (order, action) in nla::attrs(list) {
        let police = nla::attr(action, 1).map(nla::text).as_deref() == Some("police");
        nla::nest(out, order, |act| {
            for (code, value) in nla::attrs(action) {
                if !police || code != 2 {
                    nla::put(act, code, value);
                    continue;
                }
                nla::nest(act, code, |options| {
                    for (code, value) in nla::attrs(value).filter(|(code, _)| !matches!(code, 2 | 3)) {
                        let mut value = value.to_vec();
                        let mut tables = Vec::new();
                        if code == 1 && value.len() >= 56 {
                            // struct tc_police: … burst 12, mtu 16, rate 20, peakrate 32; of a tc_ratespec the first
                            // byte is cell_log, the rate its last word
                            for (at, table) in [(20, 2), (32, 3)] {
                                let rate = nla::u32_of(&value[at + 8..]).unwrap_or_default();
                                if rate != 0 {
                                    value[at] = CELL_LOG;
                                    tables.push((table, rate_table(rate)));
                                }
                            }
                        }
                        nla::put(options, code, &value);
                        for (code, table) in tables {
                            nla::put(options, code, &table);
                        }
                    }
                });
            }
        });
    }
}

/// Of packets up to 2047 bytes in 256 cells (`tc_calc_rtable`, tc/tc_core.c).
const CELL_LOG: u8 = 3;

/// The time in ticks that each cell's size takes at a rate in bytes a second.
fn rate_table(rate: u32) -> Vec<u8> {
    let ticks = |cell: u64| ((cell + 1) << CELL_LOG) * 1_000_000_000 / u64::from(rate.max(1)) / TICK;
    (0..256).flat_map(|cell| u32::try_from(ticks(cell)).unwrap_or(u32::MAX).to_ne_bytes()).collect()
}

/// The table of a `struct tc_sizespec` (`tc_calc_size_table`, tc/tc_core.c); none where it has no cells.
fn size_table(spec: &[u8]) -> Option<Vec<u8>> {
    // cell_log, size_log, cell_align (2), overhead (4), linklayer (4), mpu (4), mtu (4), tsize (4)
    let word = |at: usize| spec.get(at..).and_then(nla::u32_of);
    let (cell_log, atm, mpu, cells) = (u32::from(*spec.first()?), word(8)? == 2, word(12)?, word(20)?);
    if cells == 0 || cell_log > 16 {
        return None;
    }
    let size = |cell: u32| {
        let size = ((cell + 1) << cell_log).max(mpu);
        // Cells of 48 bytes in 53 (tc_align_to_atm).
        if atm { size.div_ceil(48) * 53 } else { size }
    };
    Some((0..cells).flat_map(|cell| u16::try_from(size(cell)).unwrap_or(u16::MAX).to_ne_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tc::ROOT;

    fn message(what: What, handle: u32, kind: &str, fill: impl FnOnce(&mut Vec<u8>)) -> Option<Rec> {
        let mut body = header(7, handle, ROOT, 2);
        nla::put(&mut body, TCA_KIND, format!("{kind}\0").as_bytes());
        nla::nest(&mut body, TCA_OPTIONS, fill);
        nla::put(&mut body, 7, &[1, 2, 3, 4]); // counters
        of(what, &body)
    }

    #[test]
    fn what_the_kernel_made_by_itself_is_no_state() {
        assert_eq!(message(What::Qdisc, 0, "noqueue", |_| {}), None);
        assert_eq!(message(What::Class, 0x1_0001, "prio", |_| {}), None);
        assert_eq!(message(What::Filter, 0, "flower", |_| {}), None);
        assert!(message(What::Qdisc, 0x1_0000, "noqueue", |_| {}).is_some());
    }

    #[test]
    fn counters_do_not_count() {
        let glob = |direct: u32| {
            let words = [3, 10, 0x30, 0, direct];
            words.iter().flat_map(|w: &u32| w.to_ne_bytes()).collect::<Vec<u8>>()
        };
        let a = message(What::Qdisc, 0x1_0000, "htb", |o| nla::put(o, 2, &glob(0)));
        let b = message(What::Qdisc, 0x1_0000, "htb", |o| nla::put(o, 2, &glob(99)));
        assert_eq!(a, b);
        let a = a.expect("a qdisc");
        assert_eq!((a.tc_index(), a.tc_handle(), a.tc_parent()), (7, 0x1_0000, ROOT));
        assert_eq!(a.tc_kind(), "htb");
    }
}

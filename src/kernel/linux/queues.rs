//! Reading qdiscs, classes and filters, and refusals about them in words.

use super::message::rtm;
use super::socket::{Netlink, Refusal};
use crate::plan::tc::{self, EGRESS, INGRESS};
use crate::plan::{Error, Kind, Ns, Rec, Result, Verb, What, nla};

fn failed(ns: &Ns, refusal: Refusal) -> Error {
    refusal.error(format!("read the queues of {}", ns.label())).with_ns(&ns.name)
}

fn ask(netlink: &Netlink, ns: &Ns, kind: u16, index: u32, parent: u32) -> Result<Vec<Vec<u8>>> {
    match netlink.dump(kind, &tc::header(index, 0, parent, 0)) {
        Ok(all) => Ok(all),
        // The device, or its qdisc, went away meanwhile; or it takes no filters.
        Err(r) if matches!(r.errno, libc::ENODEV | libc::EINVAL | libc::ENOENT | libc::EOPNOTSUPP) => Ok(Vec::new()),
        Err(r) => Err(failed(ns, r)),
    }
}

/// (kind, ifindex, handle) of the qdiscs that have a handle; the others hold nothing that somebody made.
fn handled(qdiscs: &[Vec<u8>]) -> Vec<(String, u32, u32)> {
    let read = |body: &Vec<u8>| {
        let rec = Rec { what: What::Qdisc, body: body.clone(), ends: None };
        (rec.tc_kind(), rec.tc_index(), rec.tc_handle())
    };
    qdiscs.iter().map(read).filter(|(_, _, handle)| *handle != 0).collect()
}

fn qdiscs(netlink: &Netlink, ns: &Ns) -> Result<Vec<Vec<u8>>> {
    match netlink.dump(rtm::GETQDISC, &tc::header(0, 0, 0, 0)) {
        Ok(all) => Ok(all),
        // A kernel without traffic control (CONFIG_NET_SCHED).
        Err(r) if r.errno == libc::EOPNOTSUPP => Ok(Vec::new()),
        Err(r) => Err(failed(ns, r)),
    }
}

/// All classes of the devices that have a qdisc of somebody's making.
fn classes(netlink: &Netlink, ns: &Ns, qdiscs: &[(String, u32, u32)]) -> Result<Vec<Vec<u8>>> {
    let mut devices: Vec<u32> = qdiscs.iter().map(|(_, index, _)| *index).collect();
    devices.sort_unstable();
    devices.dedup();
    let mut out = Vec::new();
    for index in devices {
        out.extend(ask(netlink, ns, rtm::GETTCLASS, index, 0)?);
    }
    Ok(out)
}

/// All filters: of each qdisc, and of those classes that can have their own.
fn filters(netlink: &Netlink, ns: &Ns, qdiscs: &[(String, u32, u32)], classes: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    let mut add = |index: u32, parent: u32| -> Result<()> {
        for body in ask(netlink, ns, rtm::GETTFILTER, index, parent)? {
            // A shared block is seen from each of its devices.
            if !out.contains(&body) {
                out.push(body);
            }
        }
        Ok(())
    };
    for (kind, index, handle) in qdiscs {
        match kind.as_str() {
            "clsact" => {
                add(*index, INGRESS)?;
                add(*index, EGRESS)?;
            }
            "ingress" => add(*index, INGRESS)?,
            _ => add(*index, *handle)?,
        }
    }
    for class in classes {
        let rec = Rec { what: What::Class, body: class.clone(), ends: None };
        // The others share the filters of their qdisc, or have none.
        if matches!(rec.tc_kind().as_str(), "htb" | "hfsc") && tc::minor(rec.tc_handle()) != 0 {
            add(rec.tc_index(), rec.tc_handle())?;
        }
    }
    Ok(out)
}

/// One of the three tables, as the kernel gives it, momentary entries included.
///
/// # Errors
/// Netlink refuses.
pub fn dump(netlink: &Netlink, ns: &Ns, what: What) -> Result<Vec<Vec<u8>>> {
    let all = qdiscs(netlink, ns)?;
    if what == What::Qdisc {
        return Ok(all);
    }
    let own = handled(&all);
    let all = classes(netlink, ns, &own)?;
    if what == What::Class {
        return Ok(all);
    }
    filters(netlink, ns, &own, &all)
}

/// The records of all three.
///
/// # Errors
/// Netlink refuses.
pub fn records(netlink: &Netlink, ns: &Ns) -> Result<Vec<Rec>> {
    let all = qdiscs(netlink, ns)?;
    let own = handled(&all);
    let mut out: Vec<Rec> = all.iter().filter_map(|body| tc::of(What::Qdisc, body)).collect();
    if own.is_empty() {
        return Ok(out);
    }
    let all = classes(netlink, ns, &own)?;
    out.extend(all.iter().filter_map(|body| tc::of(What::Class, body)));
    out.extend(filters(netlink, ns, &own, &all)?.iter().filter_map(|body| tc::of(What::Filter, body)));
    Ok(out)
}

/// Why a verb about queues was refused.
#[must_use]
pub fn explain(verb: &Verb, rec: &Rec, place: &str, refusal: &Refusal) -> Error {
    let words = verb.target();
    let said = refusal.words.as_deref().unwrap_or_default();
    let kind = rec.tc_kind();
    let noun = match rec.what {
        What::Qdisc => "qdisc",
        What::Class => "class",
        _ => "filter",
    };
    let adds = matches!(verb, Verb::RecAdd { .. });
    // qdisc_create, tcf_proto_lookup_ops, tc_action_load_ops
    let unknown = ["qdisc kind is unknown", "Specified qdisc not found", "TC classifier not found"];
    if adds
        && refusal.errno == libc::ENOENT
        && (unknown.iter().any(|u| said.contains(u)) || said.is_empty() && rec.what != What::Class)
    {
        return missing(noun, &kind);
    }
    if adds && said.contains("TC action module") {
        let kinds = rec_actions(rec);
        let kind = kinds.first().map_or("gact", String::as_str);
        return missing("action", kind);
    }
    match (adds, refusal.errno) {
        (true, libc::EEXIST) => Error::new(Kind::Exists, format!("{noun} {words} exists already in {place}"))
            .with_hint("#{ replace: true } puts this one in its place, #{ change: true } changes it"),
        (true, _) if said.contains("Parent Qdisc doesn") => Error::new(
            Kind::NotFound,
            format!("{noun} {words} can't be added in {place}: what it hangs on is not there"),
        )
        .with_hint("qdiscs() and tc_classes() list those that there are"),
        (true, libc::ENOENT) => Error::new(
            Kind::NotFound,
            format!("{noun} {words} can't be added in {place}: what it hangs on is not there"),
        )
        .with_hint("qdiscs() and tc_classes() list those that there are"),
        (false, libc::ENOENT | libc::EINVAL | libc::ENODEV) => {
            Error::new(Kind::NotFound, format!("there is no {noun} {words} in {place}")).with_hint(match rec.what {
                What::Qdisc => {
                    "what the kernel put there by itself can't be deleted: qdiscs() shows it without a handle"
                }
                What::Class => "tc_classes() lists those that there are",
                _ => "tc_filters() lists those that there are",
            })
        }
        (false, libc::EBUSY) => Error::new(Kind::Busy, format!("{noun} {words} in {place} is in use"))
            .with_hint("its own classes and the filters that lead to it have to go first"),
        (true, libc::EINVAL | libc::EOPNOTSUPP) if said.contains("Change operation not supported") => {
            Error::new(Kind::Unsupported, format!("a {kind} qdisc can't be changed in place: {words} in {place}"))
                .with_hint("delete it and make it again, or change its classes")
        }
        (true, _) => Error::from_errno(refusal.errno, format!("add {noun} {words} in {place}")),
        (false, _) => Error::from_errno(refusal.errno, format!("delete {noun} {words} in {place}")),
    }
}

/// The kinds of a filter's actions: `TCA_ACT_KIND` of each, in whichever attribute they are.
fn rec_actions(rec: &Rec) -> Vec<String> {
    nla::attrs(rec.tc_options())
        .flat_map(|(_, list)| nla::attrs(list).filter(|(order, _)| (1..=32).contains(order)).collect::<Vec<_>>())
        .filter_map(|(_, act)| nla::attr(act, 1).map(nla::text))
        .filter(|kind| !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect()
}

/// The kernel lacks a qdisc, filter or action.
#[must_use]
pub fn missing(noun: &str, kind: &str) -> Error {
    let (option, module) = match noun {
        "qdisc" => match tc::qdisc::kernel_option(kind) {
            Some((option, module)) => (option.to_string(), module.to_string()),
            None => (format!("CONFIG_NET_SCH_{}", kind.to_uppercase()), format!("sch_{kind}")),
        },
        "filter" => (format!("CONFIG_NET_CLS_{}", kind.to_uppercase()), format!("cls_{kind}")),
        _ => (format!("CONFIG_NET_ACT_{}", kind.to_uppercase()), format!("act_{kind}")),
    };
    let mut hint = format!(
        "the kernel option {option} (module `{module}`) is missing: try `modprobe {module}`, or another kernel"
    );
    if kind == "netem" {
        hint += "; what works without: a rate, by tbf or htb: shape(dev, #{ rate: \"20mbit\" })";
    }
    Error::new(Kind::Unsupported, format!("this kernel has no {noun} `{kind}`")).with_hint(hint)
}

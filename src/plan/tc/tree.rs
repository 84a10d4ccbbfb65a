//! From one set of qdiscs, classes and filters to another: what goes with what, what can be changed in place, and the
//! order that the kernel needs.

use super::record::{NO_THRESHOLD, threshold_in};
use super::{CLSACT, CLSACT_HANDLE, ROOT, SHARED_BLOCK, TCA_CHAIN, TCA_KIND, TCA_OPTIONS, major};
use crate::plan::nla;
use crate::plan::record::{Rec, What};
use std::collections::{BTreeMap, BTreeSet};

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Del(Rec),
    /// In place: what is queued stays.
    Change(Rec),
    Add(Rec),
}

/// A qdisc or class: the device and the handle.
type Node = (u32, u32);

/// What is there, by node.
struct Tree<'r>(BTreeMap<Node, &'r Rec>);

impl<'r> Tree<'r> {
    fn new(recs: &[&'r Rec]) -> Tree<'r> {
        let nodes = recs.iter().filter(|r| r.what != What::Filter);
        Tree(nodes.map(|r| ((r.tc_index(), r.tc_handle()), *r)).collect())
    }

    /// What the record hangs on: a class, or a qdisc. `None`: the device.
    fn parent(&self, rec: &Rec) -> Option<Node> {
        let (index, parent) = (rec.tc_index(), rec.tc_parent());
        match rec.what {
            What::Qdisc if matches!(parent, ROOT | CLSACT) => None,
            What::Class if parent == ROOT => Some((index, major(rec.tc_handle()))),
            What::Filter if index == SHARED_BLOCK => None,
            // Bands of prio, the hooks of clsact: no class that has a record.
            _ if self.0.contains_key(&(index, parent)) => Some((index, parent)),
            _ => Some((index, major(parent))),
        }
    }

    /// From the record up to the device.
    fn above(&self, rec: &Rec) -> Vec<Node> {
        let mut out = Vec::new();
        let mut next = self.parent(rec);
        while let Some(node) = next {
            if out.contains(&node) {
                break;
            }
            out.push(node);
            next = self.0.get(&node).and_then(|r| self.parent(r));
        }
        out
    }
}

/// Whether two records would be in each other's place.
fn same_place(a: &Rec, b: &Rec) -> bool {
    a.what == b.what
        && a.tc_index() == b.tc_index()
        && match a.what {
            What::Qdisc => a.tc_parent() == b.tc_parent() || a.tc_handle() == b.tc_handle(),
            What::Class => a.tc_handle() == b.tc_handle(),
            _ => {
                a.tc_parent() == b.tc_parent()
                    && a.tc_prio().0 == b.tc_prio().0
                    && a.tc_handle() == b.tc_handle()
                    && a.attr(TCA_CHAIN) == b.attr(TCA_CHAIN)
            }
        }
}

/// The one of `kept` that is where `rec` was, and is another: somebody else put it there.
#[must_use]
pub fn clash<'r>(kept: &'r [Rec], rec: &Rec) -> Option<&'r Rec> {
    kept.iter().find(|k| rec.is_tc() && same_place(k, rec) && *k != rec)
}

/// Whether a filter has the place of one of `ours` that is not there now: the same one, made again with other numbers
/// (u32 counts its tables on).
#[must_use]
pub fn again(rec: &Rec, ours: &[Rec], now: &[Rec]) -> bool {
    let alike = |a: &Rec| {
        a.what == rec.what
            && a.tc_index() == rec.tc_index()
            && a.tc_parent() == rec.tc_parent()
            && a.tc_prio() == rec.tc_prio()
            && a.tc_kind() == rec.tc_kind()
    };
    rec.what == What::Filter && ours.iter().any(|a| alike(a) && !now.contains(a))
}

/// Takes out what hangs on a qdisc or class that is not among them.
pub fn orphans(recs: &mut Vec<Rec>) {
    loop {
        let all: Vec<&Rec> = recs.iter().filter(|r| r.is_tc()).collect();
        let tree = Tree::new(&all);
        let keep: Vec<bool> =
            recs.iter().map(|r| !r.is_tc() || tree.parent(r).is_none_or(|node| tree.0.contains_key(&node))).collect();
        if keep.iter().all(|k| *k) {
            return;
        }
        let mut keep = keep.into_iter();
        recs.retain(|_| keep.next().unwrap_or(true));
    }
}

/// The identity of a qdisc or class: the same one with other options can perhaps be changed in place.
fn same_node(a: &Rec, b: &Rec) -> bool {
    a.what == b.what
        && a.tc_index() == b.tc_index()
        && a.tc_handle() == b.tc_handle()
        && a.tc_parent() == b.tc_parent()
        && a.tc_kind() == b.tc_kind()
}

/// What to send so that `have` becomes `want` in place; `None` where the kernel can't.
fn change(have: &Rec, want: &Rec) -> Option<Rec> {
    if !same_node(have, want) {
        return None;
    }
    // Size tables and blocks are of the making.
    let rest =
        |r: &Rec| nla::attrs(r.attrs()).filter(|(c, _)| *c != TCA_OPTIONS).map(|(c, v)| (c, v.to_vec())).collect();
    let (a, b): (Vec<_>, Vec<_>) = (rest(have), rest(want));
    if a != b {
        return None;
    }
    if want.what == What::Class {
        return Some(want.clone());
    }
    match want.tc_kind().as_str() {
        // They have no `change` (htb_qdisc_ops, sfq_qdisc_ops, ingress_qdisc_ops, clsact_qdisc_ops, drr, qfq), or lose what
        // hangs on them by it (red_change).
        "htb" | "red" | "sfq" | "ingress" | "clsact" | "drr" | "qfq" | "mq" | "noqueue" => None,
        "fq_codel" => {
            // The number of flows is of the making, and must not even be said (fq_codel_change).
            let flows = |r: &Rec| nla::attr(r.tc_options(), 5).map(<[u8]>::to_vec);
            (flows(have) == flows(want)).then(|| unmarked(have, without_option(want, 5)))
        }
        "codel" => Some(unmarked(have, want.clone())),
        _ => Some(want.clone()),
    }
}

/// The change, with what takes the threshold for marks away where only `have` has one: what is not said stays.
fn unmarked(have: &Rec, mut change: Rec) -> Rec {
    let marks = |rec: &Rec, code: u16| nla::attr(rec.tc_options(), code).is_some();
    let code = threshold_in(&have.tc_kind()).filter(|code| marks(have, *code) && !marks(&change, *code));
    if let Some(code) = code {
        let mut options = change.tc_options().to_vec();
        nla::put(&mut options, code, &NO_THRESHOLD.to_ne_bytes());
        let at = super::HEADER;
        let kept: Vec<(u16, Vec<u8>)> = nla::attrs(&change.body[at..]).map(|(c, v)| (c, v.to_vec())).collect();
        change.body.truncate(at);
        for (code, value) in kept {
            nla::put(&mut change.body, code, if code == TCA_OPTIONS { &options } else { &value });
        }
    }
    change
}

/// The record without one of its options.
#[must_use]
pub fn without_option(rec: &Rec, option: u16) -> Rec {
    let mut body = rec.body.get(..super::HEADER).unwrap_or_default().to_vec();
    for (code, value) in nla::attrs(rec.attrs()) {
        if code == TCA_OPTIONS {
            nla::nest(&mut body, code, |out| {
                for (code, value) in nla::attrs(value).filter(|(code, _)| *code != option) {
                    nla::put(out, code, value);
                }
            });
        } else {
            nla::put(&mut body, code, value);
        }
    }
    Rec { what: rec.what, body, ends: None }
}

/// The class that a filter leads to.
fn leads_to(filter: &Rec) -> Option<Node> {
    // TCA_U32_CLASSID, TCA_FLOWER_CLASSID and so on are all 1; of bpf and cgroup it is something else.
    let classful = matches!(filter.tc_kind().as_str(), "u32" | "flower" | "matchall" | "fw" | "basic");
    let class = nla::attr(filter.tc_options(), 1).filter(|_| classful).and_then(nla::u32_of)?;
    Some((filter.tc_index(), class))
}

/// The group of u32 filters whose tables are numbered together: those of one qdisc, whatever class or hook they are on
/// (`tc_u_common_ptr`, net/sched/cls_u32.c).
fn numbering(rec: &Rec) -> Option<Node> {
    let u32 = rec.what == What::Filter && rec.tc_kind() == "u32";
    let parent = if rec.tc_parent() >= CLSACT_HANDLE { CLSACT_HANDLE } else { major(rec.tc_parent()) };
    u32.then(|| (rec.tc_index(), parent))
}

/// Where the filters of one priority are: device, hook or class, chain, priority and protocol.
type Priority = (u32, u32, Vec<u8>, (u32, u16));

fn priority(rec: &Rec) -> Option<Priority> {
    let chain = || rec.attr(TCA_CHAIN).unwrap_or_default().to_vec();
    (rec.what == What::Filter).then(|| (rec.tc_index(), rec.tc_parent(), chain(), rec.tc_prio()))
}

/// A whole priority, for deletion.
fn whole(rec: &Rec) -> Rec {
    let mut body = rec.body.get(..super::HEADER).unwrap_or_default().to_vec();
    body[8..12].fill(0);
    for (code, value) in nla::attrs(rec.attrs()).filter(|(code, _)| matches!(*code, TCA_KIND | TCA_CHAIN)) {
        nla::put(&mut body, code, value);
    }
    Rec { what: What::Filter, body, ends: None }
}

/// The first priority of placeholders.
const PLACEHOLDERS: u32 = 0xfd00;
const ETH_P_ALL: u16 = 3;

/// A u32 filter that matches nothing and takes the next number of a table, for as long as it is needed.
fn placeholder(like: &Rec, number: u32) -> Rec {
    let mut body = super::header(
        like.tc_index(),
        0,
        like.tc_parent(),
        (PLACEHOLDERS + number) << 16 | u32::from(ETH_P_ALL.to_be()),
    );
    nla::put(&mut body, TCA_KIND, b"u32\0");
    nla::nest(&mut body, TCA_OPTIONS, |options| {
        // struct tc_u32_sel of one key: the first word of the packet, which is never all ones in IPv4 or IPv6
        let mut selector = vec![1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        selector.extend_from_slice(&[0xff; 8]);
        selector.extend_from_slice(&[0; 8]);
        nla::put(options, 5, &selector);
    });
    Rec { what: What::Filter, body, ends: None }
}

/// Whether it is a [`placeholder`], left by an undo that was cut short.
#[must_use]
pub fn is_placeholder(rec: &Rec) -> bool {
    let (prio, protocol) = rec.tc_prio();
    let selector = || nla::attr(rec.tc_options(), 5).and_then(|s| s.get(16..24)).map(<[u8]>::to_vec);
    rec.what == What::Filter
        && rec.tc_kind() == "u32"
        && (PLACEHOLDERS..PLACEHOLDERS + 0x100).contains(&prio)
        && protocol == ETH_P_ALL
        && selector() == Some(vec![0xff; 8])
}

/// The steps from `have` to `want`.
#[must_use]
pub fn steps(have: &[&Rec], want: &[&Rec]) -> Vec<Step> {
    let tree = Tree::new(have);
    // Qdiscs and classes that go.
    let mut changes: Vec<Rec> = Vec::new();
    let mut going: BTreeSet<Node> = BTreeSet::new();
    for (node, rec) in &tree.0 {
        if want.contains(rec) {
            continue;
        }
        match want.iter().find(|w| same_node(rec, w)).and_then(|w| change(rec, w)) {
            Some(change) => changes.push(change),
            None => {
                going.insert(*node);
            }
        }
    }
    // What hangs on them goes along.
    let lost = |rec: &Rec| tree.above(rec).iter().any(|node| going.contains(node));
    let gone: BTreeSet<Node> = tree.0.iter().filter(|(n, r)| going.contains(n) || lost(r)).map(|(n, _)| *n).collect();
    let stays = |rec: &Rec| match rec.what {
        // A filter that leads to a class keeps it from being deleted.
        What::Filter => want.contains(&rec) && !lost(rec) && leads_to(rec).is_none_or(|class| !gone.contains(&class)),
        _ => !gone.contains(&(rec.tc_index(), rec.tc_handle())),
    };
    let mut left: Vec<&Rec> = have.iter().copied().filter(|r| stays(r)).collect();
    // The tables of u32 are numbered as they are made: where one is to be made again, all of them are, in order.
    let tables: BTreeSet<Priority> = left.iter().filter_map(|r| priority(r)).collect();
    let fresh = |w: &&&Rec| priority(w).is_some_and(|p| !tables.contains(&p));
    let again: BTreeSet<Node> = want.iter().filter(fresh).filter_map(|w| numbering(w)).collect();
    left.retain(|r| numbering(r).is_none_or(|n| !again.contains(&n)));
    // A qdisc takes all of it along; a class has to be empty, and nothing may lead to it.
    let with_qdisc = |rec: &Rec| {
        let of_qdisc = |node: &Node| going.contains(node) && tree.0.get(node).is_some_and(|r| r.what == What::Qdisc);
        tree.above(rec).iter().any(of_qdisc)
    };
    let mut del: Vec<&Rec> = have.iter().copied().filter(|r| !left.contains(r) && !with_qdisc(r)).collect();
    del.sort_by_key(|r| (r.what != What::Filter, std::cmp::Reverse(tree.above(r).len())));
    let wanted = Tree::new(want);
    let mut add: Vec<&Rec> =
        want.iter().copied().filter(|w| !left.contains(w) && !changes.iter().any(|c| same_node(c, w))).collect();
    let roots = own_tables(want);
    add.sort_by_key(|r| {
        let depth = if r.what == What::Filter { usize::MAX } else { wanted.above(r).len() };
        let table = priority(r).and_then(|p| roots.get(&p).copied()).unwrap_or_default();
        (depth, table, r.tc_handle() & 0xfff != 0)
    });
    let mut out: Vec<Step> = Vec::new();
    let stay: BTreeSet<Priority> = left.iter().filter_map(|r| priority(r)).collect();
    for rec in del {
        let rec = match priority(rec) {
            // Deleted one by one, the last would leave an empty priority behind (u32_delete, net/sched/cls_u32.c).
            Some(p) if !stay.contains(&p) => whole(rec),
            _ => rec.clone(),
        };
        if !out.contains(&Step::Del(rec.clone())) {
            out.push(Step::Del(rec));
        }
    }
    out.extend(changes.into_iter().map(Step::Change));
    let mut numbered: BTreeMap<Node, u32> = BTreeMap::new();
    let mut places: Vec<Rec> = Vec::new();
    for rec in add {
        let table = priority(rec).and_then(|p| roots.get(&p).copied());
        if let (Some(node), Some(table)) = (numbering(rec).filter(|n| again.contains(n)), table) {
            // The kernel counts on from 800; numbers that were lost on the way are taken by placeholders.
            let next = numbered.entry(node).or_insert(FIRST_TABLE);
            while *next < table && table - *next <= 64 {
                let place = placeholder(rec, *next - FIRST_TABLE);
                out.push(Step::Add(place.clone()));
                places.push(whole(&place));
                *next += 1;
            }
            *next = (*next).max(table + 1);
        }
        out.push(Step::Add(rec.clone()));
    }
    out.extend(places.into_iter().map(Step::Del));
    out
}

/// The first table of u32 that the kernel makes by itself.
const FIRST_TABLE: u32 = 0x800;

/// The number of each priority's own table.
fn own_tables(recs: &[&Rec]) -> BTreeMap<Priority, u32> {
    let mut out = BTreeMap::new();
    for rec in recs.iter().filter(|r| r.tc_kind() == "u32") {
        let table = rec.tc_handle() >> 20;
        if let Some(priority) = priority(rec).filter(|_| table >= FIRST_TABLE) {
            let first = out.entry(priority).or_insert(table);
            *first = table.min(*first);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tc::{INGRESS, header};

    fn rec(what: What, handle: u32, parent: u32, kind: &str, option: u32) -> Rec {
        let info = if what == What::Filter { 5 << 16 } else { 0 };
        let mut body = header(3, handle, parent, info);
        nla::put(&mut body, TCA_KIND, format!("{kind}\0").as_bytes());
        nla::nest(&mut body, TCA_OPTIONS, |o| nla::put(o, 1, &option.to_ne_bytes()));
        Rec { what, body, ends: None }
    }

    fn htb() -> Vec<Rec> {
        vec![
            rec(What::Qdisc, 0x1_0000, ROOT, "htb", 0),
            rec(What::Class, 0x1_0010, 0x1_0001, "htb", 3),
            rec(What::Class, 0x1_0001, ROOT, "htb", 3),
            rec(What::Qdisc, 0x10_0000, 0x1_0010, "tbf", 4),
            rec(What::Filter, 0x8000_0800, 0x1_0000, "u32", 0x1_0010),
        ]
    }

    fn way(have: &[Rec], want: &[Rec]) -> Vec<(&'static str, u32)> {
        let (have, want): (Vec<&Rec>, Vec<&Rec>) = (have.iter().collect(), want.iter().collect());
        let word = |step: &Step| match step {
            Step::Del(r) => ("del", r.tc_handle()),
            Step::Change(r) => ("change", r.tc_handle()),
            Step::Add(r) => ("add", r.tc_handle()),
        };
        steps(&have, &want).iter().map(word).collect()
    }

    #[test]
    fn a_tree_comes_back_from_its_root() {
        let all = ["add"; 5].into_iter().zip([0x1_0000, 0x1_0001, 0x1_0010, 0x10_0000, 0x8000_0800]);
        assert_eq!(way(&[], &htb()), all.collect::<Vec<_>>());
    }

    #[test]
    fn a_root_takes_all_along() {
        assert_eq!(way(&htb(), &[]), vec![("del", 0x1_0000)]);
    }

    #[test]
    fn a_class_goes_after_what_leads_to_it() {
        let want: Vec<Rec> = htb().into_iter().filter(|r| !matches!(r.tc_handle(), 0x1_0010 | 0x10_0000)).collect();
        let got = way(&htb(), &want);
        assert_eq!(got, vec![("del", 0), ("del", 0x10_0000), ("del", 0x1_0010), ("add", 0x8000_0800)]);
    }

    #[test]
    fn what_can_be_changed_is_not_made_anew() {
        let mut want = htb();
        want[3] = rec(What::Qdisc, 0x10_0000, 0x1_0010, "tbf", 5);
        want[2] = rec(What::Class, 0x1_0001, ROOT, "htb", 9);
        assert_eq!(way(&htb(), &want), vec![("change", 0x1_0001), ("change", 0x10_0000)]);
        // htb itself can't be: all of it is made again.
        want[0] = rec(What::Qdisc, 0x1_0000, ROOT, "htb", 1);
        assert_eq!(way(&htb(), &want).len(), 6);
    }

    #[test]
    fn tables_of_u32_are_made_again_in_order() {
        let mut have = vec![rec(What::Qdisc, CLSACT_HANDLE, CLSACT, "clsact", 0)];
        have.push(rec(What::Filter, 0x8010_0800, INGRESS, "u32", 0));
        let mut first = rec(What::Filter, 0x8000_0800, INGRESS, "u32", 0);
        first.body[18] = 9; // its priority
        let mut want = have.clone();
        want.push(first);
        assert_eq!(way(&have, &want), vec![("del", 0), ("add", 0x8000_0800), ("add", 0x8010_0800)]);
        // Alone it would be given the first number.
        want.pop();
        assert_eq!(way(&have[..1], &want), vec![("add", 0), ("add", 0x8010_0800), ("del", 0)]);
    }

    #[test]
    fn placeholders_are_known_again() {
        let filter = rec(What::Filter, 0, 0x1_0000, "u32", 0);
        assert!(is_placeholder(&placeholder(&filter, 1)));
        assert!(!is_placeholder(&filter));
    }

    #[test]
    fn what_has_no_parent_any_more_is_no_aim() {
        let mut all = htb();
        all.remove(0);
        orphans(&mut all);
        assert_eq!(all, vec![]);
    }
}

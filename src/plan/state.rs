//! The state of a namespace as undo sees it, what a step changed in it, and what differs afterwards.
//!
//! Undo is a three-way merge: `before` a step, `after` it, and the state now. What the step changed, side effects of
//! the kernel included, goes back to what it was; what somebody else changed meanwhile stays.

use super::attribute::{self, V6_MIN_MTU};
use super::link::{LinkState, mac_text};
use super::record::{CLOSE, Rec, TICKS, What};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Links, records (in the kernel's order of dumping) and those sysctls that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By ifindex. In JSON a list: a tagged enum around it would make its keys strings.
    #[serde(with = "list")]
    pub links: BTreeMap<u32, LinkState>,
    pub recs: Vec<Rec>,
    pub sysctls: BTreeMap<String, String>,
}

/// What the merge could not put back because it is no longer as the step left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// In words.
    pub text: String,
    /// The index of the link that it is about; 0: of none, or of one that is not there.
    pub link: u32,
}

impl State {
    /// The name of a link, or its number.
    #[must_use]
    pub fn name(&self, index: u32) -> String {
        self.links.get(&index).map_or_else(|| format!("if{index}"), |l| l.name.clone())
    }

    /// Forgets a link with all that hangs on it.
    pub fn remove_link(&mut self, index: u32) {
        let Some(link) = self.links.remove(&index) else { return };
        self.recs.retain(|r| !r.devices().contains(&index));
        self.sysctls.retain(|key, _| super::restore::device_of(key) != Some(link.name.as_str()));
        // Its ports are nobody's.
        for port in self.links.values_mut().filter(|l| l.master == index) {
            port.master = 0;
            port.port_kind.clear();
            port.port.clear();
        }
    }

    /// Every single fact as key and value, both readable.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (index, link) in &self.links {
            let mut put = |what: &str, value: String| {
                out.insert(format!("link {index} {what}"), value);
            };
            put("name", link.name.clone());
            put("kind", link.kind.clone());
            put("state", if link.up { "up" } else { "down" }.into());
            put("mtu", link.mtu.to_string());
            put("mac", mac_text(&link.mac));
            if !link.own_mac.is_empty() {
                put("own mac", mac_text(&link.own_mac));
            }
            put("broadcast", mac_text(&link.broadcast));
            put("master", if link.master == 0 { "none".into() } else { self.name(link.master) });
            put("lower device", link.lower.to_string());
            put("alias", link.alias.clone());
            put("txqueuelen", link.txqueuelen.to_string());
            put("group", link.group.to_string());
            put("flags", format!("{:#x}", link.flags));
            for name in &link.altnames {
                put(&format!("alternative name `{name}`"), "there".into());
            }
            for (name, on) in &link.features {
                put(&format!("feature {name}"), if *on { "on" } else { "off" }.into());
            }
            if let Some(channels) = &link.channels {
                put("channels", format!("{channels:?}"));
            }
            put("addrgenmode", link.addrgenmode.map_or_else(String::new, |m| m.to_string()));
            for (code, value) in &link.options {
                put(&format!("option {code}"), format!("{value:02x?}"));
            }
            for (code, value) in &link.port {
                put(&format!("port option {code}"), format!("{value:02x?}"));
            }
            if link.altnames.len() > 1 {
                out.insert(format!("order the alternative names of link {index}"), link.altnames.join("|"));
            }
        }
        for (group, recs) in groups(&self.recs) {
            for rec in &recs {
                let ends = rec.ends.map_or_else(String::new, |(v, _)| format!(" until {} s after boot", v / TICKS));
                out.insert(rec_key(rec), rec.describe(|i| self.name(i)) + ends.as_str());
            }
            if recs.len() > 1 && recs.first().is_some_and(|r| ordered(r)) {
                let order = recs.iter().map(|r| rec_key(r)).collect::<Vec<_>>().join("|");
                out.insert(format!("order {group}"), order);
            }
        }
        for (key, value) in &self.sysctls {
            out.insert(format!("sysctl {key}"), value.clone());
        }
        out
    }

    /// The keys of [`State::facts`] that differ between the two.
    #[must_use]
    pub fn changed(&self, other: &State) -> BTreeSet<String> {
        let (a, b) = (self.facts(), other.facts());
        // An order of which a part went away is to be looked at as well when it is back.
        let order = |k: &str| k.starts_with("order ") && a.get(k) != b.get(k);
        a.keys().chain(b.keys()).filter(|k| order(k) || !same(k, a.get(*k), b.get(*k))).cloned().collect()
    }

    /// In words, how `now` differs from `self` in the facts named by `keys`.
    #[must_use]
    pub fn differences(&self, now: &State, keys: &BTreeSet<String>) -> Vec<String> {
        let (a, b) = (self.facts(), now.facts());
        let mut out = Vec::new();
        let mut gone = BTreeSet::new();
        for key in keys {
            if same(key, a.get(key), b.get(key)) {
                continue;
            }
            if let Some(rest) = key.strip_prefix("link ") {
                let index: u32 = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
                let what = rest.split_once(' ').map_or("", |(_, w)| w);
                match (self.links.get(&index), now.links.get(&index)) {
                    (Some(was), None) => {
                        if gone.insert(index) {
                            out.push(format!("link `{}` (index {index}) is gone", was.name));
                        }
                    }
                    (None, Some(is)) => {
                        if gone.insert(index) {
                            out.push(format!("link `{}` (index {index}) is there and was not", is.name));
                        }
                    }
                    _ => out.push(format!(
                        "link `{}` {what}: was {}, is {}",
                        self.name(index),
                        shown(a.get(key)),
                        shown(b.get(key))
                    )),
                }
            } else if let Some(group) = key.strip_prefix("order ") {
                out.push(format!("the order of {group} is not as it was"));
            } else if let Some(name) = key.strip_prefix("sysctl ") {
                out.push(format!("sysctl {name}: was {}, is {}", shown(a.get(key)), shown(b.get(key))));
            } else {
                let what = key.split(' ').next().unwrap_or_default();
                match (a.get(key), b.get(key)) {
                    (Some(was), None) => out.push(format!("{what} {was} is gone")),
                    (None, Some(is)) => out.push(format!("{what} {is} is there and was not")),
                    (was, is) => out.push(format!("{what}: was {}, is {}", shown(was), shown(is))),
                }
            }
        }
        out
    }
}

fn shown(value: Option<&String>) -> String {
    match value {
        Some(v) if !v.is_empty() => v.clone(),
        _ => "nothing".into(),
    }
}

/// Whether two facts are the same. An order counts only among those that are in both.
fn same(key: &str, a: Option<&String>, b: Option<&String>) -> bool {
    if key.starts_with("order ") {
        let (Some(a), Some(b)) = (a, b) else { return true };
        let (a, b): (Vec<_>, Vec<_>) = (a.split('|').collect(), b.split('|').collect());
        return a.iter().filter(|x| b.contains(x)).eq(b.iter().filter(|x| a.contains(x)));
    }
    if key.starts_with("addr ") || key.starts_with("route ") {
        // Lifetimes are compared with a tolerance, by the record's own equality, and names may have changed.
        let end = |v: &String| v.rsplit_once(" until ").and_then(|(_, s)| s.split(' ').next()?.parse::<u64>().ok());
        return match (a, b) {
            (Some(a), Some(b)) => match (end(a), end(b)) {
                (None, None) => true,
                (Some(x), Some(y)) => x.abs_diff(y) <= CLOSE / TICKS,
                _ => false,
            },
            (None, None) => true,
            _ => false,
        };
    }
    a == b
}

/// The identity of a record among its like: the table and the whole body.
fn rec_key(rec: &Rec) -> String {
    let mut key = match rec.what {
        What::Addr => "addr ",
        What::Nexthop => "nexthop ",
        What::Route => "route ",
        What::Neigh => "neighbour ",
        What::Rule => "rule ",
        What::Qdisc => "qdisc ",
        What::Class => "class ",
        What::Filter => "filter ",
        What::Vlan => "vlan ",
        What::Fdb => "fdb ",
        What::Mdb => "mdb ",
    }
    .to_string();
    for byte in &rec.body {
        key += &format!("{byte:02x}");
    }
    key
}

/// Where order matters: addresses of one link, family and scope; routes to one destination in one table with one
/// metric. Everything else is a group of its own table.
#[must_use]
pub fn groups(recs: &[Rec]) -> BTreeMap<String, Vec<&Rec>> {
    let mut out: BTreeMap<String, Vec<&Rec>> = BTreeMap::new();
    for rec in recs {
        let group = match rec.what {
            What::Addr => format!(
                "addresses of link {}, family {}, scope {}",
                rec.devices().first().copied().unwrap_or_default(),
                rec.family(),
                rec.byte(3)
            ),
            What::Route => format!(
                "routes to {} tos {} metric {} in table {}, family {}",
                rec.destination(),
                rec.byte(3),
                rec.attr_u32(super::record::RTA_PRIORITY).unwrap_or_default(),
                rec.table(),
                rec.family()
            ),
            What::Neigh => "neighbours".into(),
            // What is added goes behind its like of the same priority (fib_nl_newrule, net/core/fib_rules.c).
            What::Rule => format!(
                "rules of family {}, priority {}",
                rec.family(),
                rec.attr_u32(super::rule::FRA_PRIORITY).unwrap_or_default()
            ),
            What::Nexthop => "nexthops".into(),
            What::Qdisc | What::Class | What::Filter => "queues".into(),
            What::Vlan | What::Fdb | What::Mdb => "bridge tables".into(),
        };
        out.entry(group).or_default().push(rec);
    }
    out
}

/// Whether the order within the record's group means something to the kernel. (The order of IPv6 routes that are
/// equal in prefix and metric can't be restored: the kernel merges them into one multipath route.)
fn ordered(rec: &Rec) -> bool {
    match rec.what {
        What::Addr | What::Rule => true,
        What::Route => rec.family() == super::record::AF_INET,
        _ => false,
    }
}

/// The state to bring about: `now`, with what changed from `before` to `after` taken back.
#[must_use]
pub fn merge(before: &State, after: &State, now: &State) -> (State, Vec<Conflict>) {
    merge_beside(before, after, now, &|_| false)
}

/// [`merge`], where `theirs` tells of a record that came since whether that must be somebody else's.
#[must_use]
pub fn merge_beside(
    before: &State,
    after: &State,
    now: &State,
    theirs: &dyn Fn(&Rec) -> bool,
) -> (State, Vec<Conflict>) {
    let mut target = now.clone();
    let mut conflicts = Vec::new();
    let known =
        |l: &LinkState, n: &LinkState| l.mac == n.mac || l.own_mac == n.mac || l.mac == n.own_mac || l.name == n.name;
    // Somebody else's link has its index by now.
    let anothers = |index: &u32| {
        let (Some(b), Some(a), Some(n)) = (before.links.get(index), after.links.get(index), now.links.get(index))
        else {
            return false;
        };
        a.kind != n.kind || !(known(a, n) || known(b, n))
    };
    let indices: BTreeSet<u32> = before.links.keys().chain(after.links.keys()).copied().collect();
    for index in indices {
        match (before.links.get(&index), after.links.get(&index), now.links.get(&index)) {
            (Some(b), Some(_), Some(n)) if anothers(&index) => {
                let text = format!(
                    "link `{}` was deleted by somebody else; `{}`, which has its index now, is another's: left",
                    b.name, n.name
                );
                conflicts.push(Conflict { text, link: index });
            }
            (Some(b), Some(a), Some(n)) => {
                let (link, mut lost) = merge_link(b, a, n);
                target.links.insert(index, link);
                conflicts.append(&mut lost);
            }
            (Some(b), None, None) => {
                target.links.insert(index, b.clone());
            }
            // Moved back or made again a moment ago: it gets all that it had.
            (Some(b), None, Some(n)) if b.kind == n.kind && (b.mac == n.mac || b.name == n.name) => {
                target.links.insert(index, b.clone());
            }
            (Some(b), None, Some(n)) => {
                let text = format!(
                    "link `{}` can't come back: index {index} is `{}` now, made by somebody else",
                    b.name, n.name
                );
                conflicts.push(Conflict { text, link: 0 });
            }
            (None, Some(a), Some(n)) if a.kind == n.kind && known(a, n) => {
                target.links.remove(&index);
            }
            (Some(b), Some(_), None) => {
                let text = format!("link `{}` was deleted by somebody else", b.name);
                conflicts.push(Conflict { text, link: 0 });
                target.recs.retain(|r| !r.devices().contains(&index));
            }
            _ => {}
        }
    }
    let lost: BTreeSet<u32> = before.links.keys().copied().filter(anothers).collect();
    if lost.is_empty() {
        merge_recs((before, after, now), theirs, &mut target, &mut conflicts);
    } else {
        // What hung on it is neither to come back nor to go.
        let hung = |r: &Rec| r.devices().iter().any(|d| lost.contains(d));
        let without = |s: &State| State { recs: s.recs.iter().filter(|r| !hung(r)).cloned().collect(), ..s.clone() };
        merge_recs((&without(before), &without(after), now), theirs, &mut target, &mut conflicts);
    }
    // A device of that name is another one.
    let replaced = |key: &str| {
        let device = super::restore::device_of(key);
        let was = device.and_then(|dev| before.links.values().find(|l| l.name == dev));
        was.is_some_and(|l| {
            lost.contains(&l.index) || (after.links.contains_key(&l.index) && !now.links.contains_key(&l.index))
        })
    };
    for key in before.sysctls.keys().chain(after.sysctls.keys()) {
        let (b, a, n) = (before.sysctls.get(key), after.sysctls.get(key), now.sysctls.get(key));
        if b == a || replaced(key) {
            continue;
        }
        match (b, n) {
            // Without one after: of a device that was away, and has the values of a new one now.
            (Some(b), _) if n == a || n.is_none() || a.is_none() => {
                target.sysctls.insert(key.clone(), b.clone());
            }
            (Some(b), Some(n)) if n != b => {
                let text = format!("sysctl {key} was changed to {n} by somebody else: left");
                let device = super::restore::device_of(key).and_then(|dev| now.links.values().find(|l| l.name == dev));
                conflicts.push(Conflict { text, link: device.map_or(0, |l| l.index) });
            }
            _ => {}
        }
    }
    // One of a device that had no IPv6 goes with that again.
    target.sysctls.retain(|key, _| before.sysctls.contains_key(key));
    (target, conflicts)
}

/// The state to bring about by an undo that was cut short on its way from `from` to `target`: `target`, and what is in
/// neither and so is somebody else's.
#[must_use]
pub fn resume(from: &State, target: &State, now: &State) -> State {
    let mut out = target.clone();
    for (index, link) in &now.links {
        if !from.links.contains_key(index) && !target.links.contains_key(index) {
            out.links.insert(*index, link.clone());
        }
    }
    let foreign = now.recs.iter().filter(|r| !from.recs.contains(r) && !target.recs.contains(r));
    // What hangs on links that are being led back is the kernel's own doing.
    let foreign = foreign.filter(|r| r.devices().iter().any(|d| !target.links.contains_key(d)) || !made_by_kernel(r));
    let foreign = foreign.filter(|r| !super::bridge::on_the_way(r, from, target));
    // Nor is what has the place of something that is to be there: a group of nexthops without one of its members yet, a filter
    // that the undo of an earlier step has led further.
    let displaces = |r: &Rec| {
        // An address that was set late lives longer.
        let instead = |t: &Rec| t.body == r.body || (r.what == What::Nexthop && nexthop_id(t) == nexthop_id(r));
        super::tc::clash(&target.recs, r).is_some() || target.recs.iter().any(|t| t.what == r.what && instead(t))
    };
    let foreign = foreign.filter(|r| !super::tc::is_placeholder(r) && !super::tc::again(r, &from.recs, &now.recs));
    let foreign = foreign.filter(|r| !displaces(r));
    out.recs.extend(foreign.cloned());
    out
}

/// Whether the kernel makes the like by itself (`RTPROT_KERNEL`, and link-local addresses).
#[must_use]
pub fn made_by_kernel(rec: &Rec) -> bool {
    match rec.what {
        What::Route => rec.byte(5) == 2,
        What::Addr => rec.byte(3) == 253,
        _ => false,
    }
}

fn merge_link(before: &LinkState, after: &LinkState, now: &LinkState) -> (LinkState, Vec<Conflict>) {
    // A bridge that lost its last port has a MAC of zeros, which nobody can give it again: on the way back it may have another.
    let zeros = LinkState { mac: now.mac.clone(), ..after.clone() };
    let none = |mac: &[u8]| mac.iter().all(|byte| *byte == 0);
    let after = if none(&after.mac) && !none(&before.mac) { &zeros } else { after };
    let mut link = LinkState { waits: before.waits, ..now.clone() };
    let mut conflicts = Vec::new();
    macro_rules! field {
        ($($name:ident),*) => {$(
            if before.$name != after.$name {
                if now.$name == after.$name {
                    link.$name = before.$name.clone();
                } else if now.$name != before.$name {
                    let text = format!("link `{}`: somebody else changed its {}: left", now.name, stringify!($name));
                    conflicts.push(Conflict { text, link: now.index });
                }
            }
        )*};
    }
    field!(name, up, mtu, mac, own_mac, broadcast, master, alias, txqueuelen, group, addrgenmode, channels);
    // Without IPv6 there is none, whatever it was while there was.
    if link.mtu < V6_MIN_MTU && before.mtu < V6_MIN_MTU {
        link.addrgenmode = before.addrgenmode;
    }
    for (name, on) in &mut link.features {
        if let (Some(b), Some(a)) = (before.features.get(name), after.features.get(name))
            && a != b
            && a == on
        {
            *on = *b;
        }
    }
    link.altnames = merge_names(&before.altnames, &after.altnames, &now.altnames);
    let changed = before.flags ^ after.flags;
    link.flags = (now.flags & !changed) | (before.flags & changed);
    link.options = merge_options(&before.options, &after.options, &now.options);
    if before.port_kind == after.port_kind {
        link.port = merge_options(&before.port, &after.port, &now.port);
    } else if now.port_kind == after.port_kind {
        link.port_kind.clone_from(&before.port_kind);
        link.port.clone_from(&before.port);
    }
    (link, conflicts)
}

/// Alternative names: what the step took away comes back, what it added goes, in the order of before; a stranger's stay.
fn merge_names(before: &[String], after: &[String], now: &[String]) -> Vec<String> {
    let added = |n: &String| after.contains(n) && !before.contains(n);
    let wanted = |n: &&String| now.contains(*n) || !after.contains(*n);
    let mut out: Vec<String> = before.iter().filter(wanted).cloned().collect();
    out.extend(now.iter().filter(|n| !before.contains(*n) && !added(n)).cloned());
    out
}

type Options = Vec<(u16, Vec<u8>)>;

fn merge_options(before: &Options, after: &Options, now: &Options) -> Options {
    let find = |all: &Options, code: u16| all.iter().find(|(c, _)| *c == code).map(|(_, v)| v.clone());
    now.iter()
        .map(|(code, value)| {
            let (b, a) = (find(before, *code), find(after, *code));
            match b {
                Some(b) if a.as_ref() != Some(&b) && a.as_ref() == Some(value) => (*code, b),
                _ => (*code, value.clone()),
            }
        })
        .collect()
}

/// Whether the two are the same but for how long they live.
fn same_but_life(a: &Rec, b: &Rec) -> bool {
    a.what == b.what && a.body == b.body && a.ends.is_some() == b.ends.is_some()
}

/// Records: what the step removed comes back, what it added goes, each at its place in the old order.
fn merge_recs(
    (before, after, now): (&State, &State, &State),
    theirs: &dyn Fn(&Rec) -> bool,
    target: &mut State,
    conflicts: &mut Vec<Conflict>,
) {
    let minus = |a: &[Rec], b: &[Rec]| {
        let mut rest: Vec<&Rec> = b.iter().collect();
        a.iter()
            .filter(|r| match rest.iter().position(|x| x == r) {
                Some(at) => {
                    rest.swap_remove(at);
                    false
                }
                None => true,
            })
            .cloned()
            .collect::<Vec<Rec>>()
    };
    let removed = minus(&before.recs, &after.recs);
    let added = minus(&after.recs, &before.recs);
    let mut kept = minus(&now.recs, &added);
    // A filter that was made again by the undo of a later step may have got other numbers.
    kept.retain(|r| before.recs.contains(r) || !super::tc::again(r, &added, &now.recs));
    // Objects on links that are gone can't come back.
    let possible = |r: &Rec| r.devices().iter().all(|d| target.links.contains_key(d));
    let mut want = kept.clone();
    // An address that somebody has set anew, with a life of its own, is there.
    let anew = |r: &Rec| r.ends.is_some() && kept.iter().any(|k| same_but_life(k, r));
    // What the step put in its place is gone, and something else is there: that was put in the place of both. Of routes the
    // kernel would take both, and the one from before would be in front.
    let taken = |r: &Rec| {
        let own = added.iter().find(|a| attribute::same_slot(a, r));
        let lost = own.is_some_and(|a| !now.recs.contains(a));
        let route = own.is_none() && r.what == What::Route && !made_by_kernel(r);
        let instead = |k: &&Rec| route && !made_by_kernel(k) && !after.recs.contains(k) && theirs(k);
        let mut others = kept.iter().filter(|k| attribute::same_slot(k, r) && !before.recs.contains(k));
        others.find(|k| lost || instead(k))
    };
    for rec in minus(&removed, &kept).into_iter().filter(|r| possible(r) && !anew(r)) {
        match super::tc::clash(&kept, &rec).or_else(|| taken(&rec)) {
            Some(other) => {
                let words = |r: &Rec| r.describe(|i| now.name(i));
                let (was, is) = (words(&rec), words(other));
                let text = format!("`{was}` can't come back: somebody else put `{is}` there");
                conflicts.push(Conflict { text, link: 0 });
            }
            None => want.push(rec),
        }
    }
    super::tc::orphans(&mut want);
    // What the kernel made of an address, its link being up by now, goes with that: it would not be taken without.
    let addrs = now.recs.iter().filter(|r| r.what == What::Addr);
    let (left, gone): (Vec<&Rec>, Vec<&Rec>) = addrs.partition(|a| want.iter().any(|w| same_but_life(w, a)));
    let left_of = |r: &Rec| if before.recs.contains(r) { Some(r.clone()) } else { attribute::left_of(r, &gone, &left) };
    let mut want = want.iter().filter_map(left_of).fold(Vec::new(), |mut all, r| {
        if !(r.what == What::Route && all.contains(&r)) {
            all.push(r);
        }
        all
    });
    // What the kernel makes of an address once its link is up is not somebody else's to have deleted while that is down.
    let rises = |d: &u32| {
        let up = |state: &BTreeMap<u32, LinkState>| state.get(d).is_some_and(|l| l.up);
        up(&target.links) && !up(&now.links)
    };
    let comes = |r: &&Rec| {
        r.what == What::Route
            && r.devices().iter().any(rises)
            && after.recs.contains(r)
            && !now.recs.contains(r)
            && want.iter().any(|a| attribute::comes_with(r, a))
    };
    let coming: Vec<Rec> = before.recs.iter().filter(comes).filter(|r| !want.contains(r)).cloned().collect();
    want.extend(coming);
    // In the order of before, then what came since.
    let mut pool: Vec<Option<Rec>> = want.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(pool.len());
    for rec in &before.recs {
        let at = pool.iter().position(|p| p.as_ref() == Some(rec));
        let at = at.or_else(|| pool.iter().position(|p| p.as_ref().is_some_and(|p| same_but_life(p, rec))));
        if let Some(slot) = at.and_then(|at| pool.get_mut(at)) {
            out.extend(slot.take());
        }
    }
    out.extend(pool.into_iter().flatten());
    target.recs = out;
}

/// What to delete and what to add, in order, so that `now` becomes `target`. Queues have a way of their own
/// ([`super::tc::steps`]). What is `stuck` the kernel would not take again as things are.
#[must_use]
pub fn record_steps(now: &[Rec], target: &[Rec], stuck: impl Fn(&Rec) -> bool) -> (Vec<Rec>, Vec<Rec>) {
    let others = |all: &[Rec]| all.iter().filter(|r| !r.is_tc()).cloned().collect::<Vec<Rec>>();
    let (now, target) = (others(now), others(target));
    let (have, want) = (groups(&now), groups(&target));
    let names: BTreeSet<&String> = have.keys().chain(want.keys()).collect();
    let (mut del, mut add) = (Vec::new(), Vec::new());
    for name in names {
        let mut have: Vec<&Rec> = have.get(name).cloned().unwrap_or_default();
        let mut want: Vec<&Rec> = want.get(name).cloned().unwrap_or_default();
        let Some(sample) = have.first().or(want.first()) else { continue };
        // What could not be made again keeps its place.
        if ordered(sample) && !have.iter().any(|r| stuck(r) && want.contains(r)) {
            // The kernel puts a new IPv6 address in front of its like (ipv6_link_dev_addr, net/ipv6/addrconf.c), a new
            // IPv4 address or appended route behind.
            if sample.what == What::Addr && sample.family() == super::record::AF_INET6 {
                have.reverse();
                want.reverse();
            }
            let common = have.iter().zip(&want).take_while(|(a, b)| a == b).count();
            del.extend(have[common..].iter().rev().copied().cloned());
            add.extend(want[common..].iter().copied().cloned());
        } else {
            del.extend(have.iter().filter(|r| !want.contains(r)).copied().cloned());
            add.extend(want.iter().filter(|r| !have.contains(r)).copied().cloned());
        }
    }
    // A nexthop that changed is replaced where the kernel can: deleted, it would take its routes along.
    del.retain(|old| old.what != What::Nexthop || !add.iter().any(|new| supersedes(new, old)));
    // A VLAN that is there changes as it is said again; deleted, it would take forwarding entries along.
    del.retain(|old| old.what != What::Vlan || !add.iter().any(|new| super::bridge::same_place(new, old)));
    // Nexthops before the groups of them, and both before the routes that use them; routes without a gateway before
    // those whose gateway they reach.
    let rank = |r: &Rec| {
        let later = match r.what {
            What::Route => r.gateway().is_some() || !r.hops().is_empty(),
            What::Nexthop => r.attr(super::nexthop::NHA_GROUP).is_some(),
            _ => false,
        };
        (r.what, later)
    };
    add.sort_by_key(rank);
    del.sort_by_key(|r| std::cmp::Reverse(rank(r)));
    (del, add)
}

/// Whether a nexthop can take the place of another by one message.
#[must_use]
pub fn supersedes(new: &Rec, old: &Rec) -> bool {
    new.what == What::Nexthop
        && old.what == What::Nexthop
        && nexthop_id(new) == nexthop_id(old)
        && super::nexthop::replaceable(new, old)
}

fn nexthop_id(rec: &Rec) -> Option<u32> {
    rec.attr_u32(super::nexthop::NHA_ID)
}

mod list {
    use super::{BTreeMap, LinkState};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(links: &BTreeMap<u32, LinkState>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(links.values())
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<BTreeMap<u32, LinkState>, D::Error> {
        Ok(Vec::<LinkState>::deserialize(d)?.into_iter().map(|l| (l.index, l)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::nla;
    use crate::plan::record::{AF_INET, IFA_LOCAL};

    fn addr(index: u32, last: u8) -> Rec {
        let mut body = vec![AF_INET, 24, 0, 0];
        body.extend_from_slice(&index.to_ne_bytes());
        nla::put(&mut body, IFA_LOCAL, &[10, 0, 0, last]);
        Rec { what: What::Addr, body, ends: None }
    }

    fn state(recs: &[Rec]) -> State {
        let link = LinkState { index: 2, name: "eth0".into(), mtu: 1500, ..LinkState::default() };
        State { links: [(2, link)].into(), recs: recs.to_vec(), ..State::default() }
    }

    #[test]
    fn a_strangers_change_stays() {
        let (a, b, c) = (addr(2, 1), addr(2, 2), addr(2, 3));
        let before = state(&[a.clone(), b.clone()]);
        let after = state(std::slice::from_ref(&b));
        let mut now = state(&[b.clone(), c.clone()]);
        if let Some(link) = now.links.get_mut(&2) {
            link.mtu = 9000;
        }
        let (target, conflicts) = merge(&before, &after, &now);
        assert_eq!(target.recs, vec![a, b, c]);
        assert_eq!(target.links[&2].mtu, 9000);
        assert!(conflicts.is_empty());
    }

    #[test]
    fn order_is_restored_by_adding_again() {
        let (a, b, c) = (addr(2, 1), addr(2, 2), addr(2, 3));
        let (del, add) = record_steps(&[b.clone(), c.clone()], &[a.clone(), b.clone(), c.clone()], |_| false);
        assert_eq!(del, vec![c.clone(), b.clone()]);
        assert_eq!(add, vec![a, b, c]);
    }

    #[test]
    fn an_order_is_looked_at_after_a_part_was_away() {
        let (a, b) = (addr(2, 1), addr(2, 2));
        let before = state(&[a.clone(), b.clone()]);
        let keys = before.changed(&state(std::slice::from_ref(&b)));
        assert_eq!(before.differences(&state(&[b, a]), &keys).len(), 1);
    }

    #[test]
    fn a_life_that_somebody_changed_keeps_its_place() {
        let lives = |rec: Rec, end: u64| Rec { ends: Some((end, end)), ..rec };
        let (a, b) = (addr(2, 1), addr(2, 2));
        let before = state(&[lives(a.clone(), 1000), b.clone()]);
        let now = state(&[lives(a.clone(), 9000), b.clone()]);
        // Neither changed by the step, nor taken away by it and made again since.
        for after in [before.clone(), state(std::slice::from_ref(&b))] {
            let (target, conflicts) = merge(&before, &after, &now);
            assert_eq!(target.recs, now.recs);
            assert!(conflicts.is_empty());
        }
    }

    #[test]
    fn differences_are_in_words() {
        let before = state(&[addr(2, 1)]);
        let mut after = state(&[]);
        if let Some(link) = after.links.get_mut(&2) {
            link.mtu = 1400;
        }
        let keys = before.changed(&after);
        assert_eq!(
            before.differences(&after, &keys),
            vec!["addr 10.0.0.1/24 dev eth0 is gone", "link `eth0` mtu: was 1500, is 1400"]
        );
        assert!(before.differences(&before, &keys).is_empty());
    }

    #[test]
    fn what_the_kernel_made_of_an_address_goes_with_it() {
        use crate::plan::record::{RTA_DST, RTA_OIF, RTA_PREFSRC};
        // To 10.0.0.0/24 in the main table, of proto kernel and scope link.
        let subnet = |last: u8| {
            let mut body = vec![AF_INET, 24, 0, 0, 254, 2, 253, 1, 0, 0, 0, 0];
            nla::put(&mut body, RTA_DST, &[10, 0, 0, 0]);
            nla::put(&mut body, RTA_OIF, &2_u32.to_ne_bytes());
            nla::put(&mut body, RTA_PREFSRC, &[10, 0, 0, last]);
            Rec { what: What::Route, body, ends: None }
        };
        let (a, b) = (addr(2, 1), addr(2, 2));
        let (before, after) = (state(&[]), state(std::slice::from_ref(&a)));
        // The link was set up since, by somebody else, or with an address of theirs.
        let (target, conflicts) = merge(&before, &after, &state(&[a.clone(), subnet(1)]));
        assert_eq!((target.recs, conflicts.len()), (vec![], 0));
        let (target, _) = merge(&before, &after, &state(&[a.clone(), b.clone(), subnet(1)]));
        assert_eq!(target.recs, vec![b.clone(), subnet(2)], "theirs comes to the front");
        let (target, _) = merge(&before, &after, &state(&[a, b.clone(), subnet(2)]));
        assert_eq!(target.recs, vec![b, subnet(2)]);
    }

    #[test]
    fn names_are_merged_one_by_one() {
        let names = |all: &str| all.split(' ').map(str::to_string).collect::<Vec<_>>();
        // `b` was taken away and is back at the end; `new` was added; `foreign` is somebody else's.
        let merged = merge_names(&names("a b"), &names("a b new"), &names("a new b foreign"));
        assert_eq!(merged, names("a b foreign"));
        assert_eq!(merge_names(&names("a b c"), &names("a c"), &names("a c")), names("a b c"));
        assert_eq!(
            merge_names(&names("a b"), &names("a"), &names("x")),
            names("b x"),
            "`a` was taken by somebody else"
        );
    }

    #[test]
    fn a_conflict_is_left_and_said() {
        let before = state(&[]);
        let mut after = before.clone();
        let mut now = before.clone();
        for (state, mtu) in [(&mut after, 1400), (&mut now, 1300)] {
            if let Some(link) = state.links.get_mut(&2) {
                link.mtu = mtu;
            }
        }
        let (target, conflicts) = merge(&before, &after, &now);
        assert_eq!(target.links[&2].mtu, 1300);
        assert_eq!(conflicts.len(), 1);
    }

    #[test]
    fn what_takes_the_place_of_something_is_on_the_way() {
        use crate::plan::nexthop::NexthopSpec;
        let group = |id: u32, ids: &[u32]| {
            NexthopSpec { id, group: ids.iter().map(|id| (*id, 1)).collect(), ..NexthopSpec::default() }.record()
        };
        let with = |recs: &[Rec]| State { recs: recs.to_vec(), ..State::default() };
        let target = with(&[group(9, &[1, 2])]);
        // The group came back before one of its members; another one is a stranger's.
        let now = with(&[group(9, &[1]), group(8, &[1])]);
        assert_eq!(resume(&State::default(), &target, &now).recs, [group(9, &[1, 2]), group(8, &[1])]);
    }
}

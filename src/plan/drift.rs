//! What a lab's steps said that is to be, and what of it is otherwise by now.
//!
//! Only what a step named itself is looked at, and the last word counts. What the kernel made of it, and what a later step can
//! have taken along as a side effect, is left out: nothing is called changed that a step may have changed. What a program did
//! that the lab started counts as somebody's. Options of kinds, of ports and of queues are not looked at.

use super::attribute::{V6_MIN_MTU, alike, replaced};
use super::link::{LinkSpec, mac_text};
use super::record::{
    AF_INET, AF_INET6, NTF_PROXY, NUD_PERMANENT, RTA_GATEWAY, RTA_MULTIPATH, RTA_NH_ID, RTA_PREFSRC, RTA_PRIORITY, Rec,
    What,
};
use super::state::State;
use super::verb::{AddMode, LinkRef, Ns, Outcome, Verb};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// A namespace's cookie and an ifindex in it.
type Place = (u64, u32);

/// What the steps said of a link.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The step that made it; `None`: it was there before.
    pub made: Option<u64>,
    pub name: String,
    pub kind: String,
    /// The MAC that it was made with.
    pub first_mac: Option<Vec<u8>>,
    /// The device that it is on, wherever that is.
    lower: Option<Place>,
    /// The other end of a veth.
    peer: Option<Place>,
    up: Option<bool>,
    mtu: Option<u32>,
    pub mac: Option<Vec<u8>>,
    pub master: Option<u32>,
    alias: Option<String>,
    txqueuelen: Option<u32>,
    group: Option<u32>,
}

/// What is to be, by the steps of a lab.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub links: BTreeMap<Place, Said>,
    pub recs: Vec<(u64, Rec)>,
    /// The names of namespaces that the lab gave: whether it made the namespace, and how many are left.
    names: BTreeMap<u64, (bool, usize)>,
    sysctls: BTreeMap<(u64, String), String>,
    /// Content by path; `None`: removed.
    pub files: BTreeMap<String, Option<Vec<u8>>>,
    /// The namespaces in which something is to be, by cookie.
    pub spaces: BTreeMap<u64, Ns>,
}

impl Account {
    /// Takes step `seq` into account, with what came of it.
    pub fn follow(&mut self, seq: u64, verb: &Verb, outcome: Option<&Outcome>) {
        if let Some(ns) = verb.ns() {
            self.spaces.entry(ns.cookie).or_insert_with(|| ns.clone());
        }
        match verb {
            Verb::NetnsAdd { .. } => {
                if let Some(ns) = outcome.and_then(|o| o.ns.as_ref()) {
                    self.names.insert(ns.cookie, (true, 1));
                }
            }
            Verb::NetnsAttach { .. } => {
                if let Some(ns) = outcome.and_then(|o| o.ns.as_ref()) {
                    self.names.entry(ns.cookie).or_default().1 += 1;
                }
            }
            Verb::NetnsDel { ns } => {
                let left = self.names.get_mut(&ns.cookie).map(|(made, count)| {
                    *count = count.saturating_sub(1);
                    (*made, *count)
                });
                // By another name it lives on, and where it lived before the lab gave it one.
                if left.is_none_or(|(made, count)| made && count == 0) {
                    self.ended(ns.cookie);
                }
            }
            Verb::LinkAdd { ns, spec } => {
                let Some(link) = outcome.and_then(|o| o.link.as_ref()) else { return };
                let other = outcome.and_then(|o| o.peer.as_ref()).zip(spec.peer.as_deref());
                let place = (ns.cookie, link.index);
                let end = other.map(|(l, (at, _))| (at.cookie, l.index));
                self.links.insert(place, said(seq, ns, spec, link, end));
                if let Some((link, (at, spec))) = other {
                    self.spaces.entry(at.cookie).or_insert_with(|| at.clone());
                    self.links.insert((at.cookie, link.index), said(seq, at, spec, link, Some(place)));
                }
                if spec.master.is_some() {
                    self.enslaved(place);
                }
            }
            Verb::LinkDel { ns, link } => self.gone((ns.cookie, link.index)),
            Verb::LinkSet { ns, link, change } => {
                let place = (ns.cookie, link.index);
                let entry =
                    self.links.entry(place).or_insert_with(|| Said { name: link.name.clone(), ..Said::default() });
                macro_rules! taken {
                    ($($field:ident),*) => {$(
                        if change.$field.is_some() {
                            entry.$field.clone_from(&change.$field);
                        }
                    )*};
                }
                taken!(up, mtu, mac, alias, txqueuelen, group);
                let old_master = entry.master.unwrap_or_default();
                if let Some((master, _)) = &change.master {
                    entry.master = Some(*master);
                }
                let device = entry.name.clone();
                if change.kind.is_some() {
                    // A tunnel's header makes its mtu, its ends its MAC.
                    (entry.mtu, entry.mac) = (change.mtu, change.mac.clone());
                }
                if let Some(name) = &change.name {
                    let old = std::mem::replace(&mut entry.name, name.clone());
                    self.forget_settings(ns.cookie, &old);
                }
                if let Some((master, _)) = &change.master {
                    self.enslaved(place);
                    // A bridge's mtu follows its ports, unless it was set (br_mtu_auto_adjust, net/bridge/br_if.c).
                    for index in [*master, old_master] {
                        if let Some(master) = self.links.get_mut(&(ns.cookie, index)) {
                            master.mtu = None;
                        }
                    }
                }
                if change.mac.is_some() || change.arp.is_some() {
                    // neigh_changeaddr, net/core/neighbour.c; arp_netdev_event, net/ipv4/arp.c
                    self.recs
                        .retain(|(c, r)| !(*c == ns.cookie && r.what == What::Neigh && r.devices() == [link.index]));
                }
                if change.mtu.is_some() {
                    self.sysctls.remove(&(ns.cookie, format!("net/ipv6/conf/{device}/mtu")));
                }
                self.spread(place, change.mtu.is_some(), change.mac.is_some(), change.up.is_some());
                if change.up == Some(false) {
                    self.fallen(place);
                }
                if change.mtu.is_some_and(|mtu| mtu < V6_MIN_MTU) {
                    self.recs.retain(|(c, r)| !(*c == ns.cookie && r.family() == AF_INET6));
                    self.sysctls.retain(|(c, key), _| *c != ns.cookie || !key.starts_with("net/ipv6/"));
                }
            }
            Verb::LinkMove { ns, link, to, .. } => {
                let place = (ns.cookie, link.index);
                let moved = self.links.get(&place).cloned();
                self.fallen(place);
                self.recs.retain(|(c, r)| !(*c == ns.cookie && r.devices().contains(&link.index)));
                self.forget_settings(ns.cookie, &link.name);
                self.links.remove(&place);
                let Some(now) = outcome.and_then(|o| o.link.as_ref()) else { return };
                self.spaces.entry(to.cookie).or_insert_with(|| to.clone());
                let new = (to.cookie, now.index);
                // Those that follow it stay on it; others go (vxlan_handle_lowerdev_unregister, macsec_notify).
                let on_it = |(at, l): (&Place, &Said)| (l.lower == Some(place)).then_some(*at);
                let upon: Vec<Place> = self.links.iter().filter_map(on_it).collect();
                for at in upon {
                    match self.links.get_mut(&at) {
                        Some(upper) if !matches!(upper.kind.as_str(), "vxlan" | "macsec") => upper.lower = Some(new),
                        _ => self.gone(at),
                    }
                }
                let moved = Said { name: now.name.clone(), up: None, master: None, ..moved.unwrap_or_default() };
                if let Some(peer) = moved.peer.and_then(|end| self.links.get_mut(&end)) {
                    peer.peer = Some(new);
                }
                self.links.insert(new, moved);
            }
            Verb::RecAdd { ns, rec, mode, .. } => self.added(ns.cookie, rec, *mode),
            Verb::RecDel { ns, rec, .. } => self.deleted(ns.cookie, rec),
            Verb::Sysctl { ns, key, value } => {
                let cookie = ns.cookie;
                let leaf = key.rsplit('/').next().unwrap_or_default();
                // Said of all devices, or of routing itself, it sets those of each (devinet_sysctl_forward, net/ipv4/devinet.c).
                if key.contains("/all/") || leaf == "ip_forward" {
                    let same = |k: &str| k.rsplit('/').next() == Some(leaf);
                    self.sysctls.retain(|(c, k), _| {
                        *c != cookie || !(same(k) || k.contains("forward") || k.contains("accept_redirects"))
                    });
                }
                if leaf == "disable_ipv6" || leaf == "addr_gen_mode" {
                    self.recs.retain(|(c, r)| !(*c == cookie && r.family() == AF_INET6));
                }
                // Times are rounded to the kernel's ticks.
                if !leaf.ends_with("_ms") {
                    self.sysctls.insert((cookie, key.clone()), value.clone());
                }
            }
            Verb::FileWrite { path, content, .. } => drop(self.files.insert(path.clone(), Some(content.clone()))),
            Verb::FileRemove { path, .. } => drop(self.files.insert(path.clone(), None)),
            _ => {}
        }
    }

    /// A link entered or left a master. Any but a bridge may set it down and up, and give it another MAC and mtu
    /// (`bond_enslave`, drivers/net/bonding/bond_main.c; `cycle_netdev`, drivers/net/vrf.c).
    fn enslaved(&mut self, place: Place) {
        self.recs.retain(|(cookie, rec)| {
            let of_bridge = matches!(rec.what, What::Fdb | What::Mdb | What::Vlan);
            !(of_bridge && *cookie == place.0 && rec.devices().contains(&place.1))
        });
        let master = self.links.get(&place).and_then(|l| l.master).unwrap_or_default();
        if self.links.get(&(place.0, master)).is_some_and(|l| l.kind == "bridge") {
            return;
        }
        if let Some(link) = self.links.get_mut(&place) {
            (link.up, link.mtu, link.mac) = (None, None, None);
        }
        self.fallen(place);
    }

    /// What follows a link in its mtu, its MAC, or its state: its ports, and what is on top of it or below.
    fn spread(&mut self, place: Place, mtu: bool, mac: bool, up: bool) {
        let (lower, own) = self.links.get(&place).map_or((None, 0), |l| (l.lower, l.master.unwrap_or_default()));
        for (at, link) in &mut self.links {
            let here = at.0 == place.0 && (link.master == Some(place.1) || at.1 == own);
            let near = link.lower == Some(place) || lower == Some(*at) || here;
            if *at == place || !near {
                continue;
            }
            if mtu {
                link.mtu = None;
            }
            if mac {
                link.mac = None;
            }
            if up && link.lower == Some(place) {
                link.up = None;
            }
        }
    }

    /// A link was set down: its addresses of IPv6 went, and routes and nexthops, those by its other end too.
    fn fallen(&mut self, place: Place) {
        let nets = self.subnets(place);
        self.recs.retain(|(cookie, rec)| match rec.what {
            What::Nexthop => false,
            What::Route => {
                rec.attr(RTA_NH_ID).is_none() && (*cookie != place.0 || !leads(rec, place.1, nets.as_deref()))
            }
            What::Addr => *cookie != place.0 || rec.family() == AF_INET || rec.devices() != [place.1],
            What::Neigh | What::Fdb | What::Mdb => *cookie != place.0 || !rec.devices().contains(&place.1),
            _ => true,
        });
    }

    /// The subnets of a link's addresses; `None` where it has others than those of the lab.
    fn subnets(&self, (cookie, index): Place) -> Option<Vec<IpNet>> {
        self.links.get(&(cookie, index)).filter(|link| link.made.is_some())?;
        let on_it = |(c, r): &&(u64, Rec)| *c == cookie && r.what == What::Addr && r.devices() == [index];
        Some(self.recs.iter().filter(on_it).filter_map(|(_, r)| subnet(r)).collect())
    }

    /// A link was deleted, with its other end and what is on top of it.
    pub fn gone(&mut self, place: Place) {
        let link = self.links.remove(&place);
        self.fallen(place);
        self.recs.retain(|(c, r)| !(*c == place.0 && r.devices().contains(&place.1)));
        if let Some(link) = &link {
            self.forget_settings(place.0, &link.name);
        }
        for ((cookie, _), other) in &mut self.links {
            if *cookie == place.0 && other.master == Some(place.1) {
                other.master = None;
            }
        }
        let on_it = |(at, l): (&Place, &Said)| (l.lower == Some(place)).then_some(*at);
        let mut along: Vec<Place> = self.links.iter().filter_map(on_it).collect();
        along.extend(link.and_then(|link| link.peer).filter(|end| self.links.contains_key(end)));
        along.into_iter().for_each(|at| self.gone(at));
    }

    /// A namespace ended, and with its links their other ends and what is on them elsewhere.
    fn ended(&mut self, cookie: u64) {
        self.spaces.remove(&cookie);
        let links: Vec<Place> = self.links.range((cookie, 0)..=(cookie, u32::MAX)).map(|(at, _)| *at).collect();
        links.into_iter().for_each(|at| self.gone(at));
        self.recs.retain(|(c, _)| *c != cookie);
        self.sysctls.retain(|(c, _), _| *c != cookie);
    }

    /// The settings of a device went with that.
    pub fn forget_settings(&mut self, cookie: u64, device: &str) {
        self.sysctls.retain(|(c, key), _| *c != cookie || super::restore::device_of(key) != Some(device));
    }

    fn added(&mut self, cookie: u64, rec: &Rec, mode: AddMode) {
        if rec.is_tc() && (mode != AddMode::Create || rec.what == What::Qdisc) {
            // With a queue goes what hung on the one in its place.
            self.recs.retain(|(c, r)| !(*c == cookie && r.is_tc() && r.devices() == rec.devices()));
        }
        let instead = |r: &Rec| match rec.what {
            What::Route => mode == AddMode::Replace && replaced(r, rec),
            _ => alike(r, rec),
        };
        let key = quick(rec);
        self.recs.retain(|(c, r)| !(*c == cookie && quick(r) == key && instead(r)));
        // struct ndmsg: state at 8, flags at 10
        let lasting = |r: &Rec| {
            let state = u16::from_ne_bytes([r.byte(8), r.byte(9)]);
            state & NUD_PERMANENT != 0 || r.byte(10) & NTF_PROXY != 0
        };
        if rec.ends.is_none() && (rec.what != What::Neigh || lasting(rec)) {
            self.recs.push((cookie, rec.clone()));
        }
    }

    fn deleted(&mut self, cookie: u64, rec: &Rec) {
        let index = rec.devices().first().copied().unwrap_or_default();
        let net = subnet(rec).map(|net| vec![net]);
        self.recs.retain(|(c, r)| {
            let goes = match rec.what {
                // Those behind it in its subnet may go with it, and the routes by that.
                What::Addr => {
                    (r.what == What::Addr && r.devices() == rec.devices() && subnet(r) == subnet(rec))
                        || (r.what == What::Route
                            && (r.attr(RTA_NH_ID).is_some()
                                || r.ip(RTA_PREFSRC) == rec.local()
                                || leads(r, index, net.as_deref())))
                        || r.what == What::Nexthop
                        // With the last address IPv4 is off there (fib_disable_ip, net/ipv4/fib_frontend.c).
                        || (r.what == What::Neigh && r.family() == AF_INET && r.devices() == rec.devices())
                }
                What::Route => {
                    r.what == What::Route && r.destination() == rec.destination() && r.table() == rec.table()
                }
                What::Nexthop => r.what == What::Nexthop || r.attr(RTA_NH_ID).is_some(),
                // The first that has what was named (fib_nl_delrule, net/core/fib_rules.c).
                What::Rule => r.what == What::Rule && r.family() == rec.family(),
                What::Qdisc | What::Class | What::Filter => r.is_tc() && r.devices() == rec.devices(),
                What::Vlan | What::Fdb | What::Mdb => r.what == rec.what && r.devices() == rec.devices(),
                What::Neigh => alike(r, rec),
            };
            *c != cookie || !goes
        });
    }

    /// The sysctls that are to be looked at in a namespace.
    #[must_use]
    pub fn settings(&self, cookie: u64) -> Vec<String> {
        self.sysctls.keys().filter(|(c, _)| *c == cookie).map(|(_, key)| key.clone()).collect()
    }

    /// In words, what in a namespace is not as the steps said.
    #[must_use]
    pub fn differences(&self, ns: &Ns, now: &State) -> Vec<String> {
        let mut out = Vec::new();
        let mut gone: BTreeSet<u32> = BTreeSet::new();
        let place = if ns.is_host() { String::new() } else { format!("{}:", ns.name) };
        for ((_, index), said) in self.links.range((ns.cookie, 0)..=(ns.cookie, u32::MAX)) {
            let Some(is) = now.links.get(index) else {
                gone.insert(*index);
                out.push(format!("link `{place}{}` is gone", said.name));
                continue;
            };
            let mut differs = |what: &str, was: String, is: String| {
                out.push(format!("link `{place}{}` {what}: was {was}, is {is}", said.name));
            };
            let state = |up: bool| if up { "up" } else { "down" }.to_string();
            let master = |m: u32| if m == 0 { "none".into() } else { now.name(m) };
            if said.name != is.name && !said.name.is_empty() {
                differs("name", said.name.clone(), is.name.clone());
            }
            if let Some(up) = said.up.filter(|up| *up != is.up) {
                differs("state", state(up), state(is.up));
            }
            if let Some(mtu) = said.mtu.filter(|mtu| *mtu != is.mtu) {
                differs("mtu", mtu.to_string(), is.mtu.to_string());
            }
            if let Some(mac) = said.mac.as_ref().filter(|mac| **mac != is.mac) {
                differs("mac", mac_text(mac), mac_text(&is.mac));
            }
            if let Some(m) = said.master.filter(|m| *m != is.master) {
                differs("master", master(m), master(is.master));
            }
            if let Some(alias) = said.alias.as_ref().filter(|a| **a != is.alias) {
                differs("alias", format!("`{alias}`"), format!("`{}`", is.alias));
            }
            if let Some(len) = said.txqueuelen.filter(|l| *l != is.txqueuelen) {
                differs("txqueuelen", len.to_string(), is.txqueuelen.to_string());
            }
            if let Some(group) = said.group.filter(|g| *g != is.group) {
                differs("group", group.to_string(), is.group.to_string());
            }
        }
        let here = if ns.is_host() { String::new() } else { format!(" in namespace `{}`", ns.name) };
        let mut there: HashMap<Quick<'_>, Vec<&Rec>> = HashMap::new();
        for rec in &now.recs {
            there.entry(quick(rec)).or_default().push(rec);
        }
        for (_, rec) in
            self.recs.iter().filter(|(c, r)| *c == ns.cookie && !r.devices().iter().any(|d| gone.contains(d)))
        {
            let same = |r: &Rec| alike(r, rec) && agrees(r, rec);
            if !there.get(&quick(rec)).is_some_and(|all| all.iter().any(|r| same(r))) {
                let what = rec.what.noun();
                out.push(format!("{what} {}{here} is gone or another one", rec.describe(|i| now.name(i))));
            }
        }
        for ((_, key), was) in
            self.sysctls.range((ns.cookie, String::new())..).take_while(|((c, _), _)| *c == ns.cookie)
        {
            if let Some(is) = now.sysctls.get(key).filter(|is| !same_value(is, was)) {
                out.push(format!("sysctl {}{here}: was {}, is {}", key.replace('/', "."), was.trim(), is.trim()));
            }
        }
        out
    }
}

fn said(seq: u64, ns: &Ns, spec: &LinkSpec, link: &LinkRef, peer: Option<Place>) -> Said {
    Said {
        made: Some(seq),
        name: link.name.clone(),
        kind: spec.kind.clone(),
        first_mac: spec.mac.clone(),
        lower: lower_of(spec).map(|index| (spec.lower_ns.as_ref().unwrap_or(ns).cookie, index)),
        peer,
        up: spec.up.then_some(true),
        mtu: spec.mtu,
        mac: spec.mac.clone().filter(|_| spec.given_mac),
        master: spec.master.as_ref().map(|(index, _)| *index),
        alias: None,
        txqueuelen: spec.txqueuelen,
        group: spec.group,
    }
}

/// What alike records have in common that is quickly told.
type Quick<'a> = (What, Option<&'a [u8]>);

fn quick(rec: &Rec) -> Quick<'_> {
    use super::record::{IFA_ADDRESS, IFA_LOCAL, RTA_DST};
    let value = match rec.what {
        What::Route => rec.attr(RTA_DST),
        What::Addr => rec.attr(IFA_LOCAL).or_else(|| rec.attr(IFA_ADDRESS)),
        _ => None,
    };
    (rec.what, value)
}

/// The index of the device that a link is made on: of a vxlan an option tells it.
fn lower_of(spec: &LinkSpec) -> Option<u32> {
    const IFLA_VXLAN_LINK: u16 = 3;
    let option = spec.options.iter().find(|o| spec.kind == "vxlan" && o.code == IFLA_VXLAN_LINK);
    spec.lower.as_ref().map(|(index, _)| *index).or_else(|| super::nla::u32_of(&option?.value))
}

fn subnet(addr: &Rec) -> Option<IpNet> {
    // The other end, where there is one (`IFA_ADDRESS`).
    let ip = addr.ip(super::record::IFA_ADDRESS).or_else(|| addr.local())?;
    IpNet::new(ip, addr.byte(1)).ok().map(|net| net.trunc())
}

/// The ifindex of `lo` in every namespace (`LOOPBACK_IFINDEX`, include/net/net_namespace.h).
const LOOPBACK: u32 = 1;

/// Whether a route can be by this link, whose subnets are these; without them any route that names no device.
fn leads(route: &Rec, index: u32, nets: Option<&[IpNet]>) -> bool {
    let devices: Vec<u32> = route.devices().into_iter().filter(|d| *d != 0).collect();
    if devices.contains(&index) {
        return true;
    }
    let hops = route.hops();
    let vias: Vec<IpAddr> = route.gateway().into_iter().chain(hops.iter().filter_map(|h| h.via)).collect();
    let near = |ip: &IpAddr| nets.is_none_or(|nets| nets.iter().any(|net| net.contains(ip)));
    // One of IPv6 that leads nowhere (blackhole, say) is by the loopback (ip6_route_info_create, net/ipv6/route.c).
    let nowhere = index == LOOPBACK && vias.is_empty() && route.family() != AF_INET;
    devices.is_empty() && (nowhere || vias.iter().any(near))
}

/// Whether a record that is there has what was asked of it, as far as it can be told: by where a route goes, and what a
/// neighbour's address is.
fn agrees(found: &Rec, asked: &Rec) -> bool {
    match asked.what {
        What::Route => {
            let via = |r: &Rec| match r.gateway() {
                Some(ip) => vec![ip],
                None => r.hops().iter().filter_map(|h| h.via).collect(),
            };
            let hops = |code: u16| asked.attr(code).is_none() || via(asked).iter().all(|ip| via(found).contains(ip));
            // By a nexthop it has that one's type.
            (asked.byte(7) == found.byte(7) || asked.attr(RTA_NH_ID).is_some())
                && hops(RTA_GATEWAY)
                && hops(RTA_MULTIPATH)
                && asked.attr_u32(RTA_NH_ID).is_none_or(|id| found.attr_u32(RTA_NH_ID) == Some(id))
                && asked.attr_u32(RTA_PRIORITY).is_none_or(|m| found.attr_u32(RTA_PRIORITY).unwrap_or_default() == m)
        }
        What::Nexthop => {
            // NHA_GROUP, NHA_BLACKHOLE, NHA_OIF, NHA_GATEWAY (include/uapi/linux/nexthop.h)
            [2, 4, 5, 6].into_iter().all(|code| asked.attr(code).is_none() || asked.attr(code) == found.attr(code))
        }
        What::Neigh => {
            use super::record::NDA_LLADDR;
            asked.attr(NDA_LLADDR).is_none_or(|mac| found.attr(NDA_LLADDR) == Some(mac))
        }
        _ => true,
    }
}

/// Whether the kernel shows a sysctl as it was written: it has its own blanks, and its own way to write numbers, lists and
/// addresses, of which nothing is claimed.
fn same_value(is: &str, was: &str) -> bool {
    let number = |w: &str| match w.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => w.parse::<i64>().ok(),
    };
    let plain = |w: &str| w.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let (is, was): (Vec<&str>, Vec<&str>) = (is.split_whitespace().collect(), was.split_whitespace().collect());
    let same = |(a, b): (&&str, &str)| match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => *a == b || !(plain(a) && plain(b)),
    };
    is.len() != was.len() && is.iter().chain(&was).any(|w| !plain(w) && number(w).is_none())
        || (is.len() == was.len() && is.iter().zip(was).all(same))
}

//! What a verb has done, where nobody was left to write it down: from the state before and the state now, only what
//! this verb can have done counts. What differs otherwise is somebody else's, and stays.

use super::link::LinkState;
use super::nexthop::{NHA_ID, members};
use super::record::{RTA_DST, RTA_NH_ID, RTA_PREFSRC, Rec};
use super::state::{State, made_by_kernel};
use super::verb::{Ns, Verb};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a wireguard device sets to 0 as it is set up (`wg_open`, drivers/net/wireguard/device.c).
pub const ALL_REDIRECTS: &str = "net/ipv4/conf/all/send_redirects";

/// IPv6's least mtu (`IPV6_MIN_MTU`, RFC 8200 section 5).
pub const V6_MIN_MTU: u32 = 1280;

/// The state after the verb, as far as it can have caused it: `before`, with what it was to change as it is now, and
/// without what it can have taken along and is gone now.
#[must_use]
pub fn attribute(verb: &Verb, ns: &Ns, before: &State, now: &State) -> State {
    let mut after = before.clone();
    let mut touched: Vec<u32> = Vec::new();
    // Elsewhere it takes along the other ends of veths, and what hangs on them; indices are other links' there.
    if verb.ns().is_some_and(|own| !own.is(ns)) {
        if let Verb::LinkDel { link, .. } | Verb::LinkMove { link, .. } = verb {
            let other = |l: &&LinkState| l.kind == "veth" && l.lower == link.index && l.lower_nsid.is_some();
            let gone = before.links.values().filter(other).map(|l| l.index);
            touched.extend(gone.filter(|index| !now.links.contains_key(index)));
            touched.iter().for_each(|index| drop(after.links.remove(index)));
        }
        // And the device below a macvlan that has it for itself gets its MAC (macvlan_set_mac_address, drivers/net/macvlan.c).
        if let Verb::LinkSet { change, .. } = verb
            && let Some(mac) = &change.mac
        {
            for (index, n) in now.links.iter().filter(|(_, n)| n.mac == *mac) {
                if let Some(a) = after.links.get_mut(index).filter(|a| a.mac != *mac) {
                    a.mac.clone_from(&n.mac);
                    touched.push(*index);
                }
            }
        }
        let masters = touched.iter().filter_map(|index| before.links.get(index)).map(|l| l.master).filter(|m| *m != 0);
        let mut followers: Vec<u32> = masters.collect();
        // What is here on a device that is there.
        if let Verb::LinkSet { link, change, .. } = verb
            && (change.mtu.is_some() || change.up.is_some())
        {
            let on_it = |l: &&LinkState| l.lower == link.index && l.lower_nsid.is_some() && follows(l);
            followers.extend(before.links.values().filter(on_it).flat_map(|l| [l.index, l.master]).filter(|i| *i != 0));
        }
        follow(&mut after, verb, before, now, &mut touched, followers);
        settings_of(&mut after, before, now, &touched);
        taken_along(&mut after, verb, before, now, &touched);
        aimless(&mut after, now, &touched);
        return after;
    }
    match verb {
        Verb::LinkSet { link, change, .. } => {
            touched.push(link.index);
            // The device below a macvlan that has it for itself gets its MAC (macvlan_set_mac_address, drivers/net/macvlan.c).
            if let Some(n) = now.links.get(&link.index)
                && change.mac.is_some()
                && matches!(n.kind.as_str(), "macvlan" | "macvtap")
                && n.lower_nsid.is_none()
                && let (Some(a), Some(n)) = (after.links.get_mut(&n.lower), now.links.get(&n.lower))
            {
                a.mac.clone_from(&n.mac);
                touched.push(a.index);
            }
            if let (Some(a), Some(n)) = (after.links.get_mut(&link.index), now.links.get(&link.index)) {
                let n = &mut n.clone();
                macro_rules! asked {
                    ($($field:ident),*) => {$(
                        if let Some(asked) = &change.$field
                            && n.$field != a.$field
                        {
                            n.$field.clone_from(asked);
                        }
                    )*};
                }
                macro_rules! taken {
                    ($($asked:ident => $field:ident),*) => {$(
                        if change.$asked.is_some() {
                            a.$field = n.$field.clone();
                        }
                    )*};
                }
                // Neither the old value nor the one that was asked for: somebody else's, and the undo says so. A master, and the
                // options of a kind, may have changed these by themselves.
                if change.master.is_none() && change.kind.is_none() {
                    asked!(up, name, mtu, mac, alias, txqueuelen, group);
                }
                taken!(up => up, name => name, mtu => mtu, mac => mac, broadcast => broadcast, master => master,
                    alias => alias, txqueuelen => txqueuelen, group => group, kind => options, port => port,
                    master => port, master => port_kind);
                // A tunnel's header makes its mtu, its ends its MAC and broadcast address (ip_tunnel_update, net/ipv4/ip_tunnel.c).
                if change.kind.is_some() {
                    (a.mtu, a.lower) = (n.mtu, n.lower);
                    // Without ARP in some modes of an ipvlan (ipvlan_set_port_mode, drivers/net/ipvlan/ipvlan_main.c).
                    a.flags = n.flags;
                    a.mac.clone_from(&n.mac);
                    a.broadcast.clone_from(&n.broadcast);
                }
                if change.addrgenmode.is_some() {
                    a.addrgenmode = n.addrgenmode;
                }
                let flags = [change.promisc, change.allmulticast, change.arp, change.multicast, change.dynamic];
                if flags.iter().any(Option::is_some) {
                    a.flags = n.flags;
                }
                if change.up == Some(true) && n.kind.is_empty() {
                    after.recs.extend(
                        now.recs.iter().filter(|r| loopbacks(r, link.index) && !before.recs.contains(r)).cloned(),
                    );
                }
            }
        }
        Verb::LinkDel { link, .. } | Verb::LinkMove { link, .. } => {
            touched.push(link.index);
            // The other end of a veth, and what is on top, go along.
            for (index, l) in &before.links {
                if (l.lower == link.index || *index == link.index) && !now.links.contains_key(index) {
                    touched.push(*index);
                    after.links.remove(index);
                }
                // Ports of a deleted bridge have no master now.
                if l.master == link.index
                    && let (Some(a), Some(n)) = (after.links.get_mut(index), now.links.get(index))
                {
                    a.master = n.master;
                    a.port_kind.clone_from(&n.port_kind);
                    a.port.clone_from(&n.port);
                }
            }
        }
        Verb::Ethtool { link, .. } => {
            if let (Some(a), Some(n)) = (after.links.get_mut(&link.index), now.links.get(&link.index)) {
                a.features.clone_from(&n.features);
                a.channels = n.channels;
            }
        }
        Verb::LinkAltname { link, name, .. } => {
            if let (Some(a), Some(n)) = (after.links.get_mut(&link.index), now.links.get(&link.index)) {
                a.altnames.retain(|other| other != name);
                a.altnames.extend(n.altnames.iter().filter(|other| *other == name).cloned());
            }
        }
        Verb::RecAdd { rec, mode, .. } => {
            use super::What::{Addr, Neigh, Route};
            if *mode != super::AddMode::Create || !matches!(rec.what, Addr | Route | Neigh) {
                touched.extend(rec.devices());
            }
            for added in now.recs.iter().filter(|r| alike(r, rec) && !before.recs.contains(r)) {
                after.recs.push(added.clone());
                // The routes that the kernel makes with an address go with it.
                let own = |r: &&Rec| !before.recs.contains(r) && comes_with(r, added);
                after.recs.extend(now.recs.iter().filter(own).cloned());
            }
        }
        Verb::RecDel { rec, .. } => {
            touched.extend(rec.devices());
            // Where the next address comes to the front (promote_secondaries), it gets the routes of the subnet.
            let addrs = before.recs.iter().filter(|a| a.what == super::What::Addr && a.devices() == rec.devices());
            let heirs: Vec<&Rec> = addrs.filter(|a| rec.what == a.what && now.recs.contains(a)).collect();
            let new = now.recs.iter().filter(|r| !before.recs.contains(r) && heirs.iter().any(|a| comes_with(r, a)));
            after.recs.extend(new.cloned());
        }
        Verb::Sysctl { key, value, .. } => {
            after.sysctls.clone_from(&now.sysctls);
            // Times are rounded to the kernel's ticks; any other number is what was written, or somebody else's.
            if let (Some(is), Ok(asked)) = (after.sysctls.get_mut(key), value.trim().parse::<i64>())
                && !rounded(key)
                && before.sysctls.get(key) != Some(is)
                && is.trim().parse() != Ok(asked)
            {
                value.trim().clone_into(is);
            }
            after.recs.retain(|r| now.recs.contains(r) || !dropped(r, key, before));
            if let Some(dev) = super::restore::device_of(key).filter(|_| key.ends_with("/addr_gen_mode")) {
                // A link that is up gets the address of its new mode at once (addrconf_sysctl_addr_gen_mode).
                let on = |r: &&Rec| r.devices().iter().any(|i| before.links.get(i).is_some_and(|l| l.name == dev));
                let new: Vec<&Rec> = now.recs.iter().filter(on).filter(|r| !before.recs.contains(r)).collect();
                let addrs = new.iter().filter(|r| made_by_kernel(r) && r.what == super::What::Addr);
                let addrs: Vec<&&Rec> = addrs.collect();
                let come = new.iter().filter(|r| addrs.iter().any(|a| a == r || comes_with(r, a)));
                after.recs.extend(come.map(|r| (*r).clone()));
            }
        }
        _ => {}
    }
    // All ipvlans of a device are of one mode.
    if let Verb::LinkSet { link, change, .. } = verb
        && change.kind.as_ref().is_some_and(|(kind, _)| matches!(kind.as_str(), "ipvlan" | "ipvtap"))
        && let Some(own) = before.links.get(&link.index)
    {
        let of_one = |l: &LinkState| {
            matches!(l.kind.as_str(), "ipvlan" | "ipvtap") && (l.lower, l.lower_nsid) == (own.lower, own.lower_nsid)
        };
        for a in after.links.values_mut().filter(|l| of_one(l)) {
            if let Some(n) = now.links.get(&a.index) {
                a.flags = n.flags;
                a.options.clone_from(&n.options);
            }
        }
    }
    // A bridge's MAC and mtu follow its ports (br_stp_recalculate_bridge_id, br_mtu_auto_adjust), those of a vlan or macvlan
    // its lower device, and IPv6's mtu follows.
    follow(&mut after, verb, before, now, &mut touched, followed(verb, before));
    // A link that enters a bond is set up and gets its MAC and mtu, and what it had before as it leaves, set down (bond_enslave,
    // __bond_release_one, drivers/net/bonding/bond_main.c).
    for port in led(verb, before, now) {
        if let (Some(a), Some(n)) = (after.links.get_mut(&port), now.links.get(&port)) {
            (a.up, a.mtu) = (n.up, n.mtu);
            a.mac.clone_from(&n.mac);
            a.own_mac.clone_from(&n.own_mac);
            touched.push(port);
        }
    }
    settings_of(&mut after, before, now, &touched);
    if let (Some(was), Some(is)) = (after.sysctls.get_mut(ALL_REDIRECTS), now.sysctls.get(ALL_REDIRECTS))
        && matches!(verb, Verb::LinkSet { change, .. } if change.up == Some(true))
    {
        was.clone_from(is);
    }
    taken_along(&mut after, verb, before, now, &touched);
    super::bridge::attribute(verb, before, now, &mut after);
    if matches!(verb, Verb::LinkDel { .. } | Verb::LinkMove { .. }) {
        aimless(&mut after, now, &touched);
    }
    // Of a link that was set up the kernel makes addresses and routes; they go when it is set down again.
    after
}

/// What follows a link has what it has now.
fn follow(after: &mut State, verb: &Verb, before: &State, now: &State, touched: &mut Vec<u32>, followers: Vec<u32>) {
    for follower in followers {
        // Below the minimum of IPv6 it loses what it has of that, also where the port leaves it in the same message.
        let low = |state: &State| state.links.get(&follower).is_some_and(|l| l.mtu < V6_MIN_MTU);
        let asked = matches!(verb, Verb::LinkSet { change, .. } if change.mtu.is_some_and(|mtu| mtu < V6_MIN_MTU));
        if asked || (low(now) && !low(before)) {
            touched.push(follower);
        }
        if let (Some(a), Some(n)) = (after.links.get_mut(&follower), now.links.get(&follower)) {
            a.mac.clone_from(&n.mac);
            a.mtu = n.mtu;
            // A vlan is set up and down with its device (vlan_device_event, net/8021q/vlan.c).
            if a.kind == "vlan" && matches!(verb, Verb::LinkSet { change, .. } if change.up.is_some()) {
                a.up = n.up;
                touched.push(follower);
            }
            let key = format!("net/ipv6/conf/{}/mtu", a.name);
            if let (Some(was), Some(is)) = (after.sysctls.get_mut(&key), now.sysctls.get(&key)) {
                was.clone_from(is);
            }
        }
    }
}

/// A device that left, or whose mtu was changed, has other sysctls now.
fn settings_of(after: &mut State, before: &State, now: &State, touched: &[u32]) {
    let names: Vec<&str> = touched.iter().filter_map(|i| before.links.get(i)).map(|l| l.name.as_str()).collect();
    after.sysctls.retain(|key, value| {
        if !super::restore::device_of(key).is_some_and(|d| names.contains(&d)) {
            return true;
        }
        let is = now.sysctls.get(key);
        value.clone_from(is.unwrap_or(&String::new()));
        is.is_some()
    });
}

/// What is gone of those records that hang on the links concerned, or that have a source address which is gone.
fn taken_along(after: &mut State, verb: &Verb, before: &State, now: &State, touched: &[u32]) {
    let deleted = match verb {
        Verb::RecDel { rec, .. } if rec.what == super::What::Nexthop => rec.attr_u32(NHA_ID),
        _ => None,
    };
    let on_links = before.recs.iter().filter(|r| r.what == super::What::Nexthop);
    let on_links = on_links.filter(|r| r.devices().iter().any(|d| touched.contains(d)));
    let ids = on_links.filter_map(|r| r.attr_u32(NHA_ID)).chain(deleted).collect();
    // Addresses that went, wherever they were a source.
    let addrs = before.recs.iter().filter(|a| a.what == super::What::Addr && !now.recs.contains(a));
    let lost: Vec<IpAddr> =
        addrs.filter(|a| a.devices().iter().any(|d| touched.contains(d))).filter_map(Rec::local).collect();
    let sourced = |r: &Rec| r.ip(RTA_PREFSRC).is_some_and(|ip| lost.contains(&ip));
    after.recs.retain(|r| now.recs.contains(r) || !(concerned(r, touched, verb) || sourced(r)));
    // Of an IPv6 route of several hops those are left that go elsewhere (fib6_ifdown, net/ipv6/route.c).
    let shrinks = |old: &Rec, new: &Rec| {
        replaced(old, new)
            && old.devices().iter().any(|d| touched.contains(d))
            && new.devices().iter().all(|d| old.devices().contains(d))
    };
    let whole = before.recs.iter().filter(|r| r.family() == super::record::AF_INET6 && r.hops().len() > 1);
    let whole: Vec<&Rec> = whole.filter(|r| r.what == super::What::Route && !now.recs.contains(r)).collect();
    let rest = now.recs.iter().filter(|r| r.what == super::What::Route && !before.recs.contains(r));
    after.recs.extend(rest.filter(|r| whole.iter().any(|old| shrinks(old, r))).cloned());
    lose(after, before, now, ids);
}

/// The links that a step on a link can have changed along with it: the masters that it had, and gets, and what is on top.
fn followed(verb: &Verb, before: &State) -> Vec<u32> {
    let had = |index: u32| before.links.get(&index).map_or(0, |l| l.master);
    let mut all = match verb {
        Verb::LinkSet { link, change, .. } => match &change.master {
            Some((new, _)) => vec![had(link.index), *new],
            None if change.mtu.is_some() || change.mac.is_some() => vec![had(link.index)],
            None => Vec::new(),
        },
        Verb::LinkDel { link, .. } | Verb::LinkMove { link, .. } => {
            // The other end of a veth may be a port too.
            let other = before.links.values().find(|l| l.kind == "veth" && l.lower == link.index);
            vec![had(link.index), other.map_or(0, |l| l.master)]
        }
        _ => Vec::new(),
    };
    if let Verb::LinkSet { link, change, .. } = verb
        && (change.mtu.is_some() || change.mac.is_some() || change.up.is_some() || change.master.is_some())
    {
        let mut below = vec![link.index];
        below.extend(&all);
        while let Some(lower) = below.pop() {
            let on_it = before.links.values().filter(|l| stacked(l) && l.lower == lower && !all.contains(&l.index));
            // And the bridges that these are ports of.
            let on_it: Vec<u32> = on_it.flat_map(|l| [l.index, l.master]).filter(|i| *i != 0).collect();
            below.extend(&on_it);
            all.extend(on_it);
        }
    }
    all.into_iter().filter(|index| *index != 0).collect()
}

/// The links that a step can have changed as ports of a bond: what enters or leaves one, and those of one that is changed
/// or deleted.
fn led(verb: &Verb, before: &State, now: &State) -> Vec<u32> {
    let in_bond = |state: &State, index: u32| {
        state.links.get(&index).is_some_and(|l| matches!(l.port_kind.as_str(), "bond" | "team"))
    };
    let all_of = |bond: u32| before.links.values().filter(move |l| l.master == bond).map(|l| l.index);
    let all: Vec<u32> = match verb {
        Verb::LinkSet { link, change, .. } => {
            let itself = change.master.is_some().then_some(link.index);
            let ports = (change.mtu.is_some() || change.mac.is_some()).then(|| all_of(link.index));
            itself.into_iter().chain(ports.into_iter().flatten()).collect()
        }
        Verb::LinkDel { link, .. } => all_of(link.index).collect(),
        _ => Vec::new(),
    };
    all.into_iter().filter(|port| in_bond(before, *port) || in_bond(now, *port)).collect()
}

/// Whether the kernel keeps another number than it was given: times in its ticks (`proc_dointvec_ms_jiffies`,
/// `proc_dointvec_userhz_jiffies`, kernel/time/jiffies.c; net/ipv6/{mcast,icmp}.c, net/core/neighbour.c), and whole pages of
/// buckets (`nf_conntrack_hash_sysctl`).
fn rounded(key: &str) -> bool {
    const LEAVES: [&str; 7] = [
        "mldv1_unsolicited_report_interval",
        "mldv2_unsolicited_report_interval",
        "retrans_time",
        "anycast_delay",
        "proxy_delay",
        "locktime",
        "nf_conntrack_buckets",
    ];
    let leaf = key.rsplit('/').next().unwrap_or(key);
    leaf.ends_with("_ms") || LEAVES.contains(&leaf) || key == "net/ipv6/icmp/ratelimit"
}

/// Whether a link follows the device that it is on, and that is in its namespace.
fn stacked(link: &LinkState) -> bool {
    link.lower_nsid.is_none() && follows(link)
}

/// Whether a link follows the device that it is on (`vlan_device_event`; `macvlan_device_event`).
fn follows(link: &LinkState) -> bool {
    matches!(link.kind.as_str(), "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" | "macsec")
}

/// Whether a record that is there now is the one that was to be added: same table, family and main address, whatever
/// the kernel filled in.
#[must_use]
pub fn alike(found: &Rec, asked: &Rec) -> bool {
    let same = found.what == asked.what;
    if same && found.what == super::What::Nexthop {
        return found.attr_u32(NHA_ID) == asked.attr_u32(NHA_ID);
    }
    same && found.family() == asked.family()
        && found.byte(1) == asked.byte(1)
        && match found.what {
            super::What::Addr => found.local() == asked.local() && found.devices() == asked.devices(),
            super::What::Route => {
                found.destination() == asked.destination()
                    && found.table() == asked.table()
                    && asked.devices().iter().all(|d| *d == 0 || found.devices().contains(d))
            }
            super::What::Neigh => {
                // A loopback or point-to-point device has one for all (arp_constructor, net/ipv4/arp.c).
                let all = found.ip(super::record::NDA_DST).is_some_and(|ip| ip.is_unspecified());
                found.devices() == asked.devices()
                    && (all || found.ip(super::record::NDA_DST) == asked.ip(super::record::NDA_DST))
            }
            super::What::Qdisc | super::What::Class | super::What::Filter => {
                // Handle and priority are the kernel's to choose where they are not given.
                let chosen = |asked: u32, found: u32| asked == 0 || asked == found;
                found.tc_index() == asked.tc_index()
                    && found.tc_kind() == asked.tc_kind()
                    && chosen(asked.tc_handle(), found.tc_handle())
                    && chosen(asked.tc_prio().0, found.tc_prio().0)
                    && (found.what == super::What::Class || found.tc_parent() == asked.tc_parent())
            }
            super::What::Rule => super::rule::alike(found, asked),
            super::What::Vlan | super::What::Fdb | super::What::Mdb => super::bridge::same_place(found, asked),
            super::What::Nexthop => false,
        }
}

/// Whether the record is an address that the kernel gives a loopback device with its first up (inetdev_event,
/// net/ipv4/devinet.c; init_loopback, net/ipv6/addrconf.c), or a route with it. They stay when it is set down.
fn loopbacks(rec: &Rec, index: u32) -> bool {
    let own = |ip: Option<IpAddr>| ip.is_some_and(|ip| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST);
    let kernels = rec.what == super::What::Route && rec.byte(5) == 2;
    rec.devices() == [index]
        && match rec.what {
            super::What::Addr => own(rec.local()),
            _ => kernels && (own(rec.ip(RTA_PREFSRC)) || own(rec.ip(RTA_DST))),
        }
}

/// Whether the kernel made this route (`RTPROT_KERNEL`) with that address: to it, from it, or to its subnet.
pub(super) fn comes_with(route: &Rec, addr: &Rec) -> bool {
    let kernels = route.what == super::What::Route && addr.what == super::What::Addr && route.byte(5) == 2;
    let on_it = route.devices() == addr.devices() && route.family() == addr.family();
    let subnet = addr.local().and_then(|ip| ipnet::IpNet::new(ip, addr.byte(1)).ok()).map(|n| n.network());
    kernels
        && on_it
        && (route.ip(RTA_PREFSRC) == addr.local() || route.ip(RTA_DST) == addr.local() || route.ip(RTA_DST) == subnet)
}

/// What is left of a route that the kernel made, once the addresses `gone` are, and `left` stay: nothing of what came with
/// one of them alone; where an address had been behind it in their subnet, the same from that one, which comes to the front
/// (`fib_del_ifaddr`, net/ipv4/fib_frontend.c).
pub(super) fn left_of(route: &Rec, gone: &[&Rec], left: &[&Rec]) -> Option<Rec> {
    let source = route.ip(RTA_PREFSRC);
    let stays = |a: &&&Rec| comes_with(route, a) && (source.is_none() || source == a.local());
    let Some(lost) = gone.iter().find(|a| comes_with(route, a)).filter(|_| !left.iter().any(|a| stays(&a))) else {
        return Some(route.clone());
    };
    let net = |a: &Rec| a.local().and_then(|ip| ipnet::IpNet::new(ip, a.byte(1)).ok()).map(|n| n.trunc());
    let heir = left.iter().find(|a| a.what == lost.what && a.devices() == lost.devices() && net(a) == net(lost))?;
    (source.is_some() && route.ip(RTA_DST) != lost.local()).then(|| route.sourced(heir.local()?)).flatten()
}

/// Whether the record is what another took the place of: of a route destination, table, metric and type of service count.
pub(super) fn replaced(old: &Rec, new: &Rec) -> bool {
    use super::record::RTA_PRIORITY;
    if old.what != super::What::Route {
        return alike(old, new);
    }
    let metric =
        |r: &Rec| r.attr_u32(RTA_PRIORITY).unwrap_or(if r.family() == super::record::AF_INET6 { 1024 } else { 0 });
    new.what == old.what
        && old.family() == new.family()
        && old.destination() == new.destination()
        && old.table() == new.table()
        && old.byte(3) == new.byte(3)
        && metric(old) == metric(new)
}

/// Whether only one of the two can be there, apart from queues ([`super::tc::clash`]).
#[must_use]
pub fn same_slot(a: &Rec, b: &Rec) -> bool {
    match a.what {
        super::What::Qdisc | super::What::Class | super::What::Filter | super::What::Rule => false,
        _ => replaced(a, b),
    }
}

/// Takes out of `after` what goes with nexthops that go: the groups that they were in, and the routes by either.
fn lose(after: &mut State, before: &State, now: &State, mut ids: Vec<u32>) {
    if ids.is_empty() {
        return;
    }
    let id = |r: &Rec| if r.what == super::What::Nexthop { r.attr_u32(NHA_ID) } else { None };
    let groups: Vec<&Rec> = before
        .recs
        .iter()
        .filter(|r| r.what == super::What::Nexthop && members(r).iter().any(|(id, _)| ids.contains(id)))
        .collect();
    ids.extend(groups.iter().filter_map(|r| id(r)));
    let by_one = |r: &Rec| id(r).or_else(|| r.attr_u32(RTA_NH_ID).filter(|_| r.what == super::What::Route));
    after.recs.retain(|r| now.recs.contains(r) || !by_one(r).is_some_and(|id| ids.contains(&id)));
    for group in groups {
        let shrunk = now.recs.iter().find(|r| id(r).is_some() && id(r) == id(group));
        after.recs.extend(shrunk.filter(|r| !after.recs.contains(r)).cloned());
    }
}

/// Filters that mirror or redirect to a device lose their target when it goes (`mirred_device_event`, net/sched/act_mirred.c).
fn aimless(after: &mut State, now: &State, links: &[u32]) {
    for filter in after.recs.iter_mut().filter(|r| r.what == super::What::Filter && !now.recs.contains(r)) {
        if super::tc::filter::targets(filter).iter().any(|index| links.contains(index))
            && let Some(is) = now.recs.iter().find(|r| r.what == filter.what && alike(r, filter))
        {
            filter.clone_from(is);
        }
    }
}

/// Whether the verb can take the carrier from devices elsewhere, which are told of it some time later.
#[must_use]
pub fn takes_carrier(verb: &Verb) -> bool {
    match verb {
        Verb::LinkSet { change, .. } => change.up == Some(false),
        Verb::LinkMove { .. } | Verb::LinkDel { .. } => true,
        _ => false,
    }
}

/// The state after a step, with what the kernel made of it later: link-local addresses of a MAC that the step gave, which
/// come when the device has its carrier (addrconf_dev_config, net/ipv6/addrconf.c), and groups of nexthops that have shrunk.
#[must_use]
pub fn grown(after: &State, before: &State, now: &State) -> State {
    let mut out = after.clone();
    for rec in now.recs.iter().filter(|r| r.what == super::What::Addr && !after.recs.contains(r)) {
        let Some(IpAddr::V6(ip)) = rec.local() else { continue };
        let given = |index: &u32| {
            let mac = &after.links.get(index)?.mac;
            (before.links.get(index)?.mac != *mac).then(|| of_mac(mac)).flatten()
        };
        if rec.devices().iter().filter_map(given).any(|own| own == ip) {
            out.recs.push(rec.clone());
        }
    }
    // A group loses the members whose devices lose their carrier (nh_netdev_event, net/ipv4/nexthop.c).
    for group in out.recs.iter_mut().filter(|r| r.what == super::What::Nexthop && !now.recs.contains(r)) {
        let ids: Vec<u32> = members(group).into_iter().map(|(id, _)| id).collect();
        let same = |r: &&Rec| r.what == super::What::Nexthop && r.attr_u32(NHA_ID) == group.attr_u32(NHA_ID);
        if let Some(is) = now.recs.iter().find(same) {
            let left: Vec<u32> = members(is).into_iter().map(|(id, _)| id).collect();
            if !left.is_empty() && left.len() < ids.len() && left.iter().all(|id| ids.contains(id)) {
                group.clone_from(is);
            }
        }
    }
    out
}

/// The link-local address of a MAC (RFC 4291, appendix A).
fn of_mac(mac: &[u8]) -> Option<Ipv6Addr> {
    let [a, b, c, d, e, f] = mac else { return None };
    let word = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Some(Ipv6Addr::new(0xfe80, 0, 0, 0, word(a ^ 2, *b), word(*c, 0xff), word(0xfe, *d), word(*e, *f)))
}

/// The state without the nexthop objects that the kernel drops when it finds their devices without carrier, which may be
/// some time later (nh_netdev_event, net/ipv4/nexthop.c), and without what hangs on them.
#[must_use]
pub fn flushed(state: &State, carrier: impl Fn(u32) -> bool) -> State {
    let id = |r: &Rec| if r.what == super::What::Nexthop { r.attr_u32(NHA_ID) } else { None };
    let lost = |r: &Rec| r.what == super::What::Nexthop && r.devices().iter().any(|d| !carrier(*d));
    let mut gone: Vec<u32> = state.recs.iter().filter(|r| lost(r)).filter_map(id).collect();
    let mut out = state.clone();
    if gone.is_empty() {
        return out;
    }
    let singles = gone.clone();
    out.recs.retain_mut(|r| {
        if r.what == super::What::Nexthop && members(r).iter().any(|(id, _)| singles.contains(id)) {
            match super::nexthop::without(r, &singles) {
                Some(rest) => *r = rest,
                None => {
                    gone.extend(id(r));
                    return false;
                }
            }
        }
        !id(r).is_some_and(|id| singles.contains(&id))
    });
    let by_one = |r: &Rec| r.what == super::What::Route && r.attr_u32(RTA_NH_ID).is_some_and(|id| gone.contains(&id));
    out.recs.retain(|r| !by_one(r));
    out
}

/// Whether the verb can have taken this record away.
fn concerned(rec: &Rec, links: &[u32], verb: &Verb) -> bool {
    if rec.devices().iter().any(|d| links.contains(d)) {
        return true;
    }
    match verb {
        Verb::RecDel { rec: deleted, .. } if deleted.what == super::What::Rule => {
            rec.what == deleted.what && super::rule::covers(deleted, rec)
        }
        Verb::RecDel { rec: deleted, .. } => {
            // Those of the addresses behind it in its subnet, too.
            alike(rec, deleted) || (deleted.what == super::What::Addr && rec.ip(RTA_PREFSRC).is_some())
        }
        // What was replaced may have been on another device.
        Verb::RecAdd { rec: new, mode: super::AddMode::Replace, .. } => replaced(rec, new),
        // An IPv6 route that is appended becomes a further hop of the one that is there.
        Verb::RecAdd { rec: new, mode: super::AddMode::Append, .. } => {
            new.family() == super::record::AF_INET6 && replaced(rec, new)
        }
        _ => false,
    }
}

/// Whether a sysctl can drop this record: IPv6 switched off takes all that is IPv6's (`addrconf_disable_ipv6`), a smaller
/// table of labels the routes beyond it (`resize_platform_label_table`).
fn dropped(rec: &Rec, key: &str, before: &State) -> bool {
    use super::record::{AF_INET6, AF_MPLS};
    if key == "net/mpls/platform_labels" {
        return rec.family() == AF_MPLS;
    }
    let Some(place) = key.strip_prefix("net/ipv6/conf/").and_then(|k| k.strip_suffix("/disable_ipv6")) else {
        return false;
    };
    let on = |index: &u32| before.links.get(index).is_some_and(|l| l.name == place);
    rec.family() == AF_INET6 && rec.what != super::What::Rule && (place == "all" || rec.devices().iter().any(on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LinkChange, LinkRef, LinkState, Ns};

    #[test]
    fn what_hangs_on_a_nexthop_goes_with_it() {
        use crate::plan::addr::RouteSpec;
        use crate::plan::nexthop::{NexthopSpec, removal};
        let single = |id: u32| NexthopSpec { id, dev: Some((2, "a".into())), ..NexthopSpec::default() }.record();
        let group = |ids: &[u32]| {
            NexthopSpec { id: 9, group: ids.iter().map(|id| (*id, 1)).collect(), ..NexthopSpec::default() }.record()
        };
        let route = RouteSpec { family: 2, nhid: Some(1), ..RouteSpec::default() }.record(false);
        let mut before = state(1500, true, "");
        before.recs = vec![single(1), single(2), group(&[1, 2]), route];
        let mut now = before.clone();
        now.recs = vec![single(2), group(&[2])];
        let verb = Verb::RecDel { ns: Ns { cookie: 1, name: "x".into() }, rec: removal(1), words: String::new() };
        assert_eq!(attribute(&verb, &Ns { cookie: 1, name: "x".into() }, &before, &now).recs, now.recs);
    }

    #[test]
    fn without_carrier_a_group_shrinks() {
        use crate::plan::addr::RouteSpec;
        use crate::plan::nexthop::NexthopSpec;
        let single = |id: u32| NexthopSpec { id, dev: Some((id, "a".into())), ..NexthopSpec::default() }.record();
        let group = |id: u32, ids: &[u32]| {
            NexthopSpec { id, group: ids.iter().map(|id| (*id, 1)).collect(), ..NexthopSpec::default() }.record()
        };
        let route = |id: u32| RouteSpec { family: 2, nhid: Some(id), ..RouteSpec::default() }.record(false);
        let all = vec![single(1), single(2), group(8, &[1]), group(9, &[1, 2]), route(1), route(8), route(9)];
        let before = State { recs: all, ..State::default() };
        assert_eq!(flushed(&before, |index| index == 2).recs, vec![single(2), group(9, &[2]), route(9)]);
        assert_eq!(flushed(&before, |_| true), before);
    }

    #[test]
    fn a_link_local_address_that_came_late_is_of_the_mac_that_was_given() {
        assert_eq!(of_mac(&[2, 0, 0, 0, 0x77, 0x15]), "fe80::ff:fe00:7715".parse().ok());
        let addr = |last: u16| {
            let mut body = vec![10, 64, 0, 253];
            body.extend_from_slice(&2_u32.to_ne_bytes());
            let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, last);
            crate::plan::nla::put(&mut body, crate::plan::record::IFA_ADDRESS, &ip.octets());
            Rec { what: super::super::What::Addr, body, ends: None }
        };
        let with = |mac: u8, recs: &[Rec]| {
            let mut state = state(1500, true, "");
            state.links.values_mut().for_each(|l| l.mac = vec![2, 0, 0, 0, 0x77, mac]);
            State { recs: recs.to_vec(), ..state }
        };
        let (before, after) = (with(0x14, &[]), with(0x15, &[]));
        let now = with(0x15, &[addr(0x7715), addr(0x7799)]);
        assert_eq!(grown(&after, &before, &now).recs, [addr(0x7715)]);
        assert_eq!(grown(&before, &before, &now).recs, []);
    }

    fn state(mtu: u32, up: bool, alias: &str) -> State {
        let link = LinkState { index: 2, name: "a".into(), mtu, up, alias: alias.into(), ..LinkState::default() };
        State { links: [(2, link)].into(), ..State::default() }
    }

    #[test]
    fn only_what_was_asked_for_is_the_verbs() {
        let verb = Verb::LinkSet {
            ns: Ns { cookie: 1, name: "x".into() },
            link: LinkRef { index: 2, name: "a".into() },
            change: LinkChange { mtu: Some(1400), ..LinkChange::default() },
        };
        let after = attribute(
            &verb,
            &Ns { cookie: 1, name: "x".into() },
            &state(1500, true, ""),
            &state(1400, true, "somebody"),
        );
        assert_eq!(after.links[&2].mtu, 1400);
        assert_eq!(after.links[&2].alias, "", "a stranger's change is not ours to undo");
    }
}

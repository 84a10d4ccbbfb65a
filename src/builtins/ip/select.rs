//! Which links and records of a namespace a command is about.

use super::Place;
use crate::plan::ipwords::link::Filter as LinkFilter;
use crate::plan::ipwords::{addr, neigh, route};
use crate::plan::record::{AF_INET, AF_INET6, IFA_ADDRESS, IFA_LABEL, NDA_DST, NTF_PROXY, RTA_PREFSRC, RTA_PRIORITY};
use crate::plan::{LinkInfo, Rec, Result, What, nla};
use ipnet::IpNet;
use std::net::IpAddr;

/// The links that a filter lets through, in the kernel's order.
pub fn links(place: &Place<'_>, filter: &LinkFilter) -> Result<Vec<LinkInfo>> {
    let only = filter.dev.as_ref().map(|dev| place.index(dev)).transpose()?.map(|(index, _)| index);
    let master = filter.master.as_ref().map(|m| place.index(m)).transpose()?.map(|(index, _)| index);
    let all = place.session.kernel().links(&place.ns, place.options.stats > 0)?;
    Ok(all
        .into_iter()
        .filter(|link| {
            let state = &link.state;
            only.is_none_or(|only| only == state.index)
                && filter.up.is_none_or(|up| up == state.up)
                && filter.group.is_none_or(|group| group == state.group)
                && master.is_none_or(|master| master == state.master)
                && !(filter.nomaster && state.master != 0)
                && filter.kind.as_ref().is_none_or(|kind| *kind == state.kind)
                && filter.slave_kind.as_ref().is_none_or(|kind| *kind == state.port_kind)
        })
        .collect())
}

/// The bodies of a table's dump, as records that keep what is momentary.
pub fn raw(place: &Place<'_>, what: What) -> Result<Vec<Rec>> {
    let all = place.session.kernel().dump(&place.ns, what)?;
    Ok(all.into_iter().map(|body| Rec { what, body, ends: None }).collect())
}

fn of_family(rec: &Rec, family: Option<u8>) -> bool {
    family.map_or(rec.family() == AF_INET || rec.family() == AF_INET6, |f| f == rec.family())
}

/// Whether an address is in a network.
fn within(ip: Option<IpAddr>, net: Option<IpNet>) -> bool {
    net.is_none_or(|net| ip.is_some_and(|ip| net.contains(&ip)))
}

/// A shell pattern with `*` and `?` (fnmatch(3)).
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|at| fits(rest, &text[at..])),
        Some((c, rest)) => text.split_first().is_some_and(|(t, more)| (*c == '?' || c == t) && fits(rest, more)),
    }
}

/// The addresses that a filter lets through, of those links.
pub fn addrs(place: &Place<'_>, filter: &addr::Filter, links: &[LinkInfo]) -> Result<Vec<Rec>> {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    Ok(raw(place, What::Addr)?
        .into_iter()
        .filter(|rec| {
            let index = rec.devices().first().copied().unwrap_or_default();
            let Some(link) = links.iter().find(|l| l.state.index == index) else { return false };
            let label = rec.attr(IFA_LABEL).map_or_else(|| link.state.name.clone(), nla::text);
            of_family(rec, filter.family)
                && filter.scope.is_none_or(|scope| scope == rec.byte(3))
                && rec.addr_flags() & filter.mask == filter.flags
                && within(rec.local().or_else(|| rec.ip(IFA_ADDRESS)), filter.to)
                && filter.label.as_ref().is_none_or(|pattern| fits(&chars(pattern), &chars(&label)))
        })
        .collect())
}

/// The network that a route leads to; the whole space for default.
fn network(rec: &Rec) -> Option<IpNet> {
    let length = rec.byte(1);
    match rec.ip(crate::plan::record::RTA_DST) {
        Some(ip) => IpNet::new(ip, length).ok(),
        None if rec.family() == AF_INET => "0.0.0.0/0".parse().ok(),
        None => "::/0".parse().ok(),
    }
}

/// The routes that a filter lets through. `vrf` is the table of the vrf that it names.
pub fn routes(place: &Place<'_>, filter: &route::Filter, vrf: Option<u32>) -> Result<Vec<Rec>> {
    if filter.cloned {
        return Ok(Vec::new());
    }
    let dev = filter.dev.as_ref().map(|dev| place.index(dev)).transpose()?.map(|(index, _)| index);
    let table = vrf.or(filter.table);
    Ok(raw(place, What::Route)?
        .into_iter()
        .filter(|rec| {
            let flags = rec.body.get(8..12).and_then(nla::u32_of).unwrap_or_default();
            let net = network(rec);
            let gateways =
                || rec.gateway().into_iter().chain(rec.hops().iter().filter_map(|h| h.via).collect::<Vec<_>>());
            // RTM_F_CLONED
            flags & 0x200 == 0
                && of_family(rec, filter.family)
                && table.is_none_or(|t| t == rec.table())
                && (vrf.is_none() || !matches!(rec.byte(7), 2 | 3))
                && dev.is_none_or(|dev| rec.devices().contains(&dev))
                && filter.proto.is_none_or(|p| p == rec.byte(5))
                && filter.scope.is_none_or(|s| s == rec.byte(6))
                && filter.kind.is_none_or(|k| k == rec.byte(7))
                && filter.tos.is_none_or(|t| t == rec.byte(3))
                && filter.metric.is_none_or(|m| m == rec.attr_u32(RTA_PRIORITY).unwrap_or_default())
                && filter.via.is_none_or(|via| gateways().any(|ip| via.contains(&ip)))
                && within(rec.ip(RTA_PREFSRC), filter.src)
                // Without an address (`default`, as `0/0`) the whole space is meant.
                && filter.root.is_none_or(|root| match root {
                    Some(root) => net.is_some_and(|net| root.contains(&net)),
                    None => true,
                })
                && filter.matched.is_none_or(|within| match within {
                    Some(within) => net.is_some_and(|net| net.contains(&within)),
                    None => rec.byte(1) == 0,
                })
        })
        .collect())
}

/// The neighbours that a filter lets through.
pub fn neighs(place: &Place<'_>, filter: &neigh::Filter) -> Result<Vec<Rec>> {
    let dev = filter.dev.as_ref().map(|dev| place.index(dev)).transpose()?.map(|(index, _)| index);
    let master = filter.master.as_ref().map(|m| place.index(m)).transpose()?.map(|(index, _)| index);
    let links = match (master, filter.nomaster) {
        (None, false) => Vec::new(),
        _ => place.session.kernel().links(&place.ns, false)?,
    };
    let enslaved = |index: u32| links.iter().find(|l| l.state.index == index).map_or(0, |l| l.state.master);
    Ok(raw(place, What::Neigh)?
        .into_iter()
        .filter(|rec| {
            let index = rec.devices().first().copied().unwrap_or_default();
            let state = u16::from_ne_bytes([rec.byte(8), rec.byte(9)]);
            let proxy = rec.byte(10) & NTF_PROXY != 0;
            of_family(rec, filter.family)
                && proxy == filter.proxy
                && (proxy || state & filter.states != 0 || (state == 0 && filter.states & 0x100 != 0))
                && dev.is_none_or(|dev| dev == index)
                && master.is_none_or(|master| enslaved(index) == master)
                && !(filter.nomaster && enslaved(index) != 0)
                && within(rec.ip(NDA_DST), filter.to)
        })
        .collect())
}

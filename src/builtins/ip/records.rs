//! `ip address`, `ip route`, `ip neighbour`.

use super::{Answer, Place, select, show, text};
use crate::plan::addr::{NeighSpec, RouteSpec, family, octets};
use crate::plan::ipwords::Word;
use crate::plan::ipwords::addr::{Addr, Removal};
use crate::plan::ipwords::neigh::Neigh;
use crate::plan::ipwords::route::{Get, Route};
use crate::plan::record::{
    AF_INET, IFA_ADDRESS, IFA_LABEL, NDA_DST, NTF_PROXY, NUD_PERMANENT, RTA_DST, RTA_IIF, RTA_OIF, RTA_SRC,
};
use crate::plan::{AddMode, Error, Kind, LinkRef, Rec, Result, Verb, What, nla};
use std::net::IpAddr;

pub fn text_or_data(place: &Place<'_>, maps: rhai::Array, write: impl Fn(&rhai::Array) -> String) -> Answer {
    if place.options.json { Answer::Data(maps) } else { Answer::Text(write(&maps)) }
}

pub fn addr(place: &Place<'_>, command: Addr) -> Result<Answer> {
    match command {
        Addr::Add { dev, spec, mode } => {
            let device = place.device(&dev)?;
            crate::builtins::addr::give(place.session, &place.ns, &device.link, &spec, mode)?;
        }
        Addr::Del { dev, what } => {
            let link = place.device(&dev)?.link;
            addr_del(place, &dev, &link, &what)?;
        }
        Addr::Flush(filter) => {
            let links = select::links(place, &filter.links)?;
            let delete = || -> Result<()> {
                // From the last: secondary addresses come after their primary, which would take them along.
                for rec in select::addrs(place, &filter, &links)?.into_iter().rev() {
                    let Some(link) = links.iter().find(|l| rec.devices().contains(&l.state.index)) else { continue };
                    remove_addr(place, rec, &link.state.name)?;
                }
                Ok(())
            };
            place.session.atomic(delete)?;
        }
        Addr::Show(filter) => {
            let links = select::links(place, &filter.links)?;
            let recs = select::addrs(place, &filter, &links)?;
            let maps = show::addrs(place, &links, &recs, filter.family.is_some() || filter.to.is_some());
            return Ok(text_or_data(place, maps, |maps| text::addrs(place, maps)));
        }
    }
    Ok(Answer::Nothing)
}

fn remove_addr(place: &Place<'_>, rec: Rec, dev: &str) -> Result<()> {
    // What is deleted is the record as undo knows it.
    let now = place.session.kernel().now();
    let rec = Rec::of(What::Addr, &rec.body, now).unwrap_or(rec);
    let words = rec.describe(|_| dev.to_string());
    place.session.perform(Verb::RecDel { ns: place.ns.clone(), rec, words }).map(|_| ())
}

/// Deletes the first address that is as asked, by the kernel's rule.
fn addr_del(place: &Place<'_>, word: &Word, link: &LinkRef, what: &Removal) -> Result<()> {
    let all = place.session.kernel().dump(&place.ns, What::Addr)?;
    let recs: Vec<Rec> = all
        .into_iter()
        .map(|body| Rec { what: What::Addr, body, ends: None })
        .filter(|rec| rec.devices().first() == Some(&link.index))
        .collect();
    let found = recs.iter().find(|rec| {
        rec.family() == what.family
            && what.local.is_none_or(|ip| rec.local() == Some(ip))
            && what.label.as_ref().is_none_or(|l| rec.attr(IFA_LABEL).map(nla::text).as_ref() == Some(l))
            && what.prefix.is_none_or(|net| {
                let shown = rec.ip(IFA_ADDRESS).or_else(|| rec.local());
                let inside = shown.is_some_and(|ip| net.trunc().contains(&ip));
                let exact = what.family == AF_INET || shown == Some(net.addr()) || rec.local() == Some(net.addr());
                net.prefix_len() == rec.byte(1) && inside && exact
            })
    });
    let Some(rec) = found else {
        let asked = what.prefix.map(|n| n.to_string()).or(what.local.map(|ip| ip.to_string())).unwrap_or_default();
        let there: Vec<String> =
            recs.iter().filter_map(|r| r.local().map(|ip| format!("{ip}/{}", r.byte(1)))).collect();
        let message = format!("`{}` in {} has no address {asked}", link.name, place.ns.label());
        return Err(Error::new(Kind::NotFound, message)
            .with_ns(&place.ns.name)
            .with_target(&word.text)
            .with_errno(libc::EADDRNOTAVAIL)
            .with_hint(if there.is_empty() { "it has none".into() } else { format!("it has {}", there.join(", ")) }));
    };
    remove_addr(place, rec.clone(), &link.name)
}

/// The table of a vrf.
fn vrf_table(place: &Place<'_>, word: &Word) -> Result<u32> {
    let device = place.device(word)?;
    let info = place.session.kernel().link(&place.ns, crate::kernel::By::Index(device.link.index))?;
    // IFLA_VRF_TABLE (include/uapi/linux/if_link.h)
    let table = info.filter(|i| i.state.kind == "vrf").and_then(|i| nla::attr(&i.data, 1).and_then(nla::u32_of));
    table.ok_or_else(|| word.bad("this is no vrf"))
}

/// Looks up the devices of a spec by their names.
fn resolve(place: &Place<'_>, spec: &mut RouteSpec, vrf: Option<&Word>) -> Result<()> {
    let find = |slot: &mut Option<(u32, String)>| -> Result<()> {
        if let Some((index, name)) = slot {
            let device = crate::engine::value::find(place.session, &place.ns, name)?;
            *index = device.link.index;
            *name = device.link.name;
        }
        Ok(())
    };
    find(&mut spec.dev)?;
    for hop in &mut spec.hops {
        find(&mut hop.dev)?;
    }
    if let Some(word) = vrf {
        spec.table = Some(vrf_table(place, word)?);
    }
    Ok(())
}

pub fn route(place: &Place<'_>, command: Route) -> Result<Answer> {
    let ns = place.ns.clone();
    match command {
        Route::Add { mut spec, mode, vrf } => {
            resolve(place, &mut spec, vrf.as_ref())?;
            if spec.src.is_some_and(|src| src.is_ipv6()) {
                // An address that is still tentative can't be a source.
                place.session.settle()?;
            }
            place.session.perform(Verb::RecAdd { ns, rec: spec.record(false), words: spec.words(), mode })?;
        }
        Route::Del { mut spec, vrf } => {
            resolve(place, &mut spec, vrf.as_ref())?;
            place.session.perform(Verb::RecDel { ns, rec: spec.record(true), words: spec.words() })?;
        }
        Route::Get(get) => {
            let rec = route_get(place, &get)?;
            let maps = show::routes(place, &[rec], true);
            return Ok(text_or_data(place, maps, |maps| text::routes(place, maps)));
        }
        Route::Flush(filter) => {
            let vrf = filter.vrf.as_ref().map(|word| vrf_table(place, word)).transpose()?;
            let names = show::Names::new(place);
            place.session.atomic(|| {
                for rec in select::routes(place, &filter, vrf)? {
                    let words = rec.describe(|index| names.get(index));
                    let now = place.session.kernel().now();
                    let rec = Rec::of(What::Route, &rec.body, now).unwrap_or(rec);
                    match place.session.perform(Verb::RecDel { ns: ns.clone(), rec, words }) {
                        Ok(_) => {}
                        // It went with one before it.
                        Err(error) if error.kind == Kind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })?;
        }
        Route::Show(filter) => {
            let vrf = filter.vrf.as_ref().map(|word| vrf_table(place, word)).transpose()?;
            let recs = select::routes(place, &filter, vrf)?;
            let maps = show::routes(place, &recs, vrf.is_none() && filter.table.is_none());
            return Ok(text_or_data(place, maps, |maps| text::routes(place, maps)));
        }
    }
    Ok(Answer::Nothing)
}

fn route_get(place: &Place<'_>, get: &Get) -> Result<Rec> {
    let length = if get.dst.is_ipv4() { 32 } else { 128 };
    let from = if get.from.is_some() { length } else { 0 };
    let mut body = vec![family(get.dst), length, from, get.tos, 0, 0, 0, 0];
    // RTM_F_LOOKUP_TABLE, RTM_F_FIB_MATCH (include/uapi/linux/rtnetlink.h)
    let flags = if get.dst.is_ipv4() { 0x1000u32 } else { 0 } | if get.fibmatch { 0x2000 } else { 0 };
    body.extend_from_slice(&flags.to_ne_bytes());
    nla::put(&mut body, RTA_DST, &octets(get.dst));
    if let Some(from) = get.from {
        if from.is_ipv4() != get.dst.is_ipv4() {
            return Err(Error::invalid(format!("{from} and {} are of two families", get.dst)));
        }
        nla::put(&mut body, RTA_SRC, &octets(from));
    }
    for (word, code) in [(&get.oif, RTA_OIF), (&get.iif, RTA_IIF)] {
        if let Some(word) = word {
            nla::put(&mut body, code, &place.index(word)?.0.to_ne_bytes());
        }
    }
    for (value, code) in [(get.mark, 16), (get.uid, 25)] {
        if let Some(value) = value {
            nla::put(&mut body, code, &value.to_ne_bytes());
        }
    }
    if let Some(proto) = get.ipproto {
        nla::put(&mut body, 27, &[proto]);
    }
    for (value, code) in [(get.sport, 28), (get.dport, 29)] {
        if let Some(value) = value {
            nla::put(&mut body, code, &value.to_be_bytes());
        }
    }
    let answer = place.session.kernel().route_get(&place.ns, &body).map_err(|e| match e.errno {
        libc::ENETUNREACH | libc::EHOSTUNREACH => Error {
            kind: Kind::Unreachable,
            message: format!("there is no route to {} in {}", get.dst, place.ns.label()),
            hint: Some("`ip route` lists those that there are".into()),
            target: get.dst.to_string(),
            ..e
        },
        _ => e,
    })?;
    Ok(Rec { what: What::Route, body: answer, ends: None })
}

/// The record of a proxy entry that is on no device.
fn neigh_index(place: &Place<'_>, dev: Option<&Word>) -> Result<(u32, String)> {
    dev.map_or(Ok((0, String::new())), |dev| place.index(dev))
}

pub fn neigh(place: &Place<'_>, command: Neigh) -> Result<Answer> {
    let ns = place.ns.clone();
    match command {
        Neigh::Add { dev, spec, mode } => {
            let (index, name) = neigh_index(place, dev.as_ref())?;
            let words = spec.words(&name);
            let mode = if spec.proxy && mode == AddMode::Change { AddMode::Replace } else { mode };
            place.session.perform(Verb::RecAdd { ns, rec: spec.record(index), words, mode })?;
        }
        Neigh::Del { dev, ip, proxy } => {
            let (index, name) = neigh_index(place, dev.as_ref())?;
            remove_neigh(place, ip, index, &name, proxy)?;
        }
        Neigh::Get { dev, ip, proxy } => {
            let (index, _) = neigh_index(place, dev.as_ref())?;
            let filter = crate::plan::ipwords::neigh::Filter { states: 0xffff, proxy, ..Default::default() };
            let recs: Vec<Rec> = select::neighs(place, &filter)?
                .into_iter()
                .filter(|r| r.ip(NDA_DST) == Some(ip) && (index == 0 || r.devices().first() == Some(&index)))
                .collect();
            if recs.is_empty() {
                return Err(Error::new(Kind::NotFound, format!("there is no neighbour {ip} in {}", ns.label()))
                    .with_ns(&ns.name)
                    .with_target(ip.to_string())
                    .with_errno(libc::ENOENT));
            }
            return Ok(text_or_data(place, show::neighs(place, &recs), text::neighs));
        }
        Neigh::Flush(filter) => {
            let names = show::Names::new(place);
            place.session.atomic(|| {
                for rec in select::neighs(place, &filter)? {
                    let Some(ip) = rec.ip(NDA_DST) else { continue };
                    let index = rec.devices().first().copied().unwrap_or_default();
                    match remove_neigh(place, ip, index, &names.get(index), rec.byte(10) & NTF_PROXY != 0) {
                        Ok(()) => {}
                        // A learned entry may go by itself at any moment.
                        Err(error) if error.kind == Kind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })?;
        }
        Neigh::Show(filter) => {
            let recs = select::neighs(place, &filter)?;
            return Ok(text_or_data(place, show::neighs(place, &recs), text::neighs));
        }
    }
    Ok(Answer::Nothing)
}

fn remove_neigh(place: &Place<'_>, ip: IpAddr, index: u32, name: &str, proxy: bool) -> Result<()> {
    let spec = NeighSpec { ip, lladdr: None, state: NUD_PERMANENT, proxy, router: false };
    let rec = spec.record(index);
    let words = spec.words(name);
    place.session.perform(Verb::RecDel { ns: place.ns.clone(), rec, words }).map(|_| ())
}

//! `ip rule` and `ip nexthop`.

use super::records::text_or_data;
use super::{Answer, Place, select, show, text};
use crate::plan::ipwords::nexthop::{Filter, Nexthop};
use crate::plan::ipwords::rule::{Filter as RuleFilter, Rule};
use crate::plan::nexthop::{NHA_FDB, NHA_GROUP, NHA_ID, removal};
use crate::plan::rule::{RuleSpec, spec_of};
use crate::plan::{Error, Kind, Rec, Result, Verb, What};

/// The rules that a filter lets through, each with what it says.
fn rules(place: &Place<'_>, filter: &RuleFilter) -> Result<Vec<(Rec, RuleSpec)>> {
    let all = select::raw(place, What::Rule)?;
    Ok(all
        .into_iter()
        .map(|rec| {
            let spec = spec_of(&rec);
            (rec, spec)
        })
        .filter(|(rec, rule)| {
            rec.family() == filter.family
                && filter.priority.is_none_or(|p| rule.priority == Some(p))
                && (!filter.not || rule.not)
                && filter.tos.is_none_or(|tos| tos == rule.tos)
                && filter.fwmark.is_none_or(|(mark, mask)| {
                    rule.fwmark.is_some_and(|(m, k)| m == mark && mask.is_none_or(|mask| k == Some(mask)))
                })
                && filter.iif.as_ref().is_none_or(|dev| rule.iif.as_ref() == Some(dev))
                && filter.oif.as_ref().is_none_or(|dev| rule.oif.as_ref() == Some(dev))
                && (!filter.l3mdev || rule.l3mdev)
                && filter.table.is_none_or(|table| rule.table == Some(table))
                && filter.from.is_none_or(|net| rule.from == Some(net))
                && filter.to.is_none_or(|net| rule.to == Some(net))
                && filter.proto.is_none_or(|proto| rule.proto == Some(proto))
                && filter.ipproto.is_none_or(|proto| rule.ipproto == Some(proto))
        })
        .collect())
}

pub fn rule(place: &Place<'_>, command: Rule) -> Result<Answer> {
    let ns = place.ns.clone();
    match command {
        Rule::Add(spec) => {
            spec.check()?;
            let verb =
                Verb::RecAdd { ns, rec: spec.record(false), words: spec.words(), mode: crate::plan::AddMode::Create };
            place.session.perform(verb)?;
        }
        Rule::Del(spec) => {
            spec.check()?;
            place.session.perform(Verb::RecDel { ns, rec: spec.record(true), words: spec.words() })?;
        }
        Rule::Flush(filter) => {
            let now = place.session.kernel().now();
            place.session.atomic(|| {
                for (rec, spec) in rules(place, &filter)? {
                    // That of priority 0, which finds the host's own addresses, stays.
                    if spec.priority.unwrap_or_default() == 0 {
                        continue;
                    }
                    let rec = Rec::of(What::Rule, &rec.body, now).unwrap_or(rec);
                    place.session.perform(Verb::RecDel { ns: ns.clone(), rec, words: spec.words() })?;
                }
                Ok(())
            })?;
        }
        Rule::Show(filter) => {
            let maps = rules(place, &filter)?.iter().map(|(rec, spec)| show::rule(rec, spec).into()).collect();
            return Ok(text_or_data(place, maps, text::rules));
        }
    }
    Ok(Answer::Nothing)
}

/// The nexthops that a filter lets through.
fn nexthops(place: &Place<'_>, filter: &Filter) -> Result<Vec<Rec>> {
    let dev = filter.dev.as_ref().map(|dev| place.index(dev)).transpose()?.map(|(index, _)| index);
    let master = filter.master.as_ref().map(|m| place.index(m)).transpose()?.map(|(index, _)| index);
    let links = if master.is_some() { place.session.kernel().links(&place.ns, false)? } else { Vec::new() };
    let enslaved = |index: u32| links.iter().find(|l| l.state.index == index).map_or(0, |l| l.state.master);
    let all = select::raw(place, What::Nexthop)?;
    Ok(all
        .into_iter()
        .filter(|rec| {
            let on = rec.devices();
            let is_group = rec.attr(NHA_GROUP).is_some();
            filter.id.is_none_or(|id| rec.attr_u32(NHA_ID) == Some(id))
                && filter.family.is_none_or(|family| is_group || family == rec.family())
                && dev.is_none_or(|dev| on.contains(&dev))
                && master.is_none_or(|master| on.iter().any(|dev| enslaved(*dev) == master))
                && (!filter.groups || is_group)
                && (!filter.fdb || rec.attr(NHA_FDB).is_some())
                && filter.proto.is_none_or(|proto| proto == rec.byte(2))
        })
        .collect())
}

fn missing(place: &Place<'_>, id: u32) -> Error {
    Error::new(Kind::NotFound, format!("there is no nexthop {id} in {}", place.ns.label()))
        .with_ns(&place.ns.name)
        .with_target(id.to_string())
        .with_errno(libc::ENOENT)
        .with_hint("`ip nexthop` lists those that there are")
}

fn remove(place: &Place<'_>, id: u32) -> Result<()> {
    let verb = Verb::RecDel { ns: place.ns.clone(), rec: removal(id), words: format!("id {id}") };
    place.session.perform(verb).map(|_| ())
}

pub fn nexthop(place: &Place<'_>, command: Nexthop) -> Result<Answer> {
    match command {
        Nexthop::Add { mut spec, mode } => {
            if let Some((index, name)) = &mut spec.dev {
                *index = crate::engine::value::find(place.session, &place.ns, name)?.link.index;
            }
            spec.check()?;
            let verb = Verb::RecAdd { ns: place.ns.clone(), rec: spec.record(), words: spec.words(), mode };
            place.session.perform(verb)?;
        }
        Nexthop::Del(id) => {
            if nexthops(place, &Filter { id: Some(id), ..Filter::default() })?.is_empty() {
                return Err(missing(place, id));
            }
            remove(place, id)?;
        }
        Nexthop::Flush(filter) => place.session.atomic(|| {
            for rec in nexthops(place, &filter)? {
                match remove(place, rec.attr_u32(NHA_ID).unwrap_or_default()) {
                    Ok(()) => {}
                    // A group went with its last member.
                    Err(error) if error.kind == Kind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?,
        Nexthop::Get(id) => {
            let recs = nexthops(place, &Filter { id: Some(id), ..Filter::default() })?;
            if recs.is_empty() {
                return Err(missing(place, id));
            }
            return Ok(text_or_data(place, show::nexthops(place, &recs), text::nexthops));
        }
        Nexthop::Show(filter) => {
            let recs = nexthops(place, &filter)?;
            if let (Some(id), true) = (filter.id, recs.is_empty()) {
                return Err(missing(place, id));
            }
            return Ok(text_or_data(place, show::nexthops(place, &recs), text::nexthops));
        }
    }
    Ok(Answer::Nothing)
}

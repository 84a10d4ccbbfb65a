//! `ip rule …` (ip-rule(8)).

use super::route::dsfield;
use super::words::prefix;
use super::{Options, Word, Words, keyword};
use crate::plan::addr::{proto_of, type_of};
use crate::plan::error::Result;
use crate::plan::name::check_ifname;
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::rule::{RuleSpec, ip_proto_of};
use ipnet::IpNet;

/// What is done with rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Add(Box<RuleSpec>),
    Del(Box<RuleSpec>),
    Flush(Box<Filter>),
    Show(Box<Filter>),
}

/// Which rules are shown or flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: u8,
    pub priority: Option<u32>,
    pub not: bool,
    pub tos: Option<u8>,
    /// Mark, and mask where it is given.
    pub fwmark: Option<(u32, Option<u32>)>,
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub l3mdev: bool,
    pub table: Option<u32>,
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    pub proto: Option<u8>,
    pub ipproto: Option<u8>,
}

const VERBS: &[&str] = &["list", "lst", "show", "save", "restore", "add", "delete", "flush", "help"];

const WORDS: &[&str] = &[
    "not",
    "from",
    "to",
    "priority",
    "tos",
    "fwmark",
    "table",
    "lookup",
    "iif",
    "oif",
    "l3mdev",
    "uidrange",
    "ipproto",
    "sport",
    "dport",
    "protocol",
    "tun_id",
    "suppress_prefixlength",
    "suppress_ifgroup",
    "goto",
    "nop",
    "blackhole",
    "unreachable",
    "prohibit",
];

/// `FR_ACT_GOTO`, `FR_ACT_NOP` (include/uapi/linux/fib_rules.h).
const GOTO: u8 = 2;
const NOP: u8 = 3;

/// Reads what follows `ip rule`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Rule>> {
    let family = options.family.filter(|f| *f == AF_INET6).unwrap_or(AF_INET);
    let Some(verb) = words.next() else {
        return Ok(Some(Rule::Show(Box::new(Filter { family, ..Filter::default() }))));
    };
    Ok(match keyword(verb, VERBS) {
        Some("list" | "lst" | "show") => Some(Rule::Show(Box::new(filter(&mut words, options, family)?))),
        Some("flush") => Some(Rule::Flush(Box::new(filter(&mut words, options, family)?))),
        Some("add" | "delete") if words.peek().is_none() => {
            return Err(verb.bad("which one? Nothing is said of it").with_hint("ip rule add from 10.0.0.1 table 100"));
        }
        Some("add") => modify(&mut words, options, family)?.map(|spec| Rule::Add(Box::new(spec))),
        Some("delete") => modify(&mut words, options, family)?.map(|spec| Rule::Del(Box::new(spec))),
        Some("help") => None,
        Some(_) => return Err(verb.unsupported("rule")),
        None => return Err(verb.unknown("rule", VERBS.iter().copied())),
    })
}

/// `MARK` or `MARK/MASK`.
fn mark(word: &Word) -> Result<(u32, Option<u32>)> {
    let part = |text: &str| {
        let n = super::words::parse_number(text).and_then(|n| u32::try_from(n).ok());
        n.ok_or_else(|| word.bad("a mark is a number, or MARK/MASK"))
    };
    match word.text.split_once('/') {
        Some((mark, mask)) => Ok((part(mark)?, Some(part(mask)?))),
        None => Ok((part(&word.text)?, None)),
    }
}

/// `PORT` or `FROM-TO`.
fn ports(word: &Word) -> Result<(u16, u16)> {
    let (from, to) = word.text.split_once('-').unwrap_or((&word.text, &word.text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) => Ok((from, to)),
        _ => Err(word.bad("a port, or FROM-TO, is expected here")),
    }
}

/// `FROM-TO`.
fn uids(word: &Word) -> Result<(u32, u32)> {
    let both = word.text.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    both.ok_or_else(|| word.bad("users are given as FROM-TO"))
}

fn device(word: &Word) -> Result<String> {
    check_ifname(&word.text).map_err(|e| super::words::place(word, e))?;
    Ok(word.text.clone())
}

fn ip_protocol(word: &Word) -> Result<u8> {
    ip_proto_of(&word.text).ok_or_else(|| word.bad("this is no protocol of IP"))
}

fn priority(word: &Word) -> bool {
    word.matches("preference") || word.matches("order") || word.matches("priority")
}

fn modify(words: &mut Words<'_>, options: &Options, family: u8) -> Result<Option<RuleSpec>> {
    let mut rule = RuleSpec { family, ..RuleSpec::default() };
    let af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "not" => rule.not = true,
            "from" => rule.from = prefix(words.value(word)?, af)?.0,
            "to" => rule.to = prefix(words.value(word)?, af)?.0,
            "tos" => rule.tos = dsfield(words.value(word)?)?,
            "fwmark" => rule.fwmark = Some(mark(words.value(word)?)?),
            "lookup" => rule.table = Some(options.table(words.value(word)?)?),
            "sup_pl" => rule.suppress_prefixlength = Some(words.u32(word)?),
            "sup_group" => rule.suppress_ifgroup = Some(words.u32(word)?),
            "dev" | "iif" => rule.iif = Some(device(words.value(word)?)?),
            "oif" => rule.oif = Some(device(words.value(word)?)?),
            "l3mdev" => rule.l3mdev = true,
            "uidrange" => rule.uidrange = Some(uids(words.value(word)?)?),
            "ipproto" => rule.ipproto = Some(ip_protocol(words.value(word)?)?),
            "sport" => rule.sport = Some(ports(words.value(word)?)?),
            "dport" => rule.dport = Some(ports(words.value(word)?)?),
            "nat" | "dscp" | "flowlabel" => return Err(word.unsupported("rule")),
            _ if priority(word) => rule.priority = Some(words.u32(word)?),
            _ if word.matches("dsfield") => rule.tos = dsfield(words.value(word)?)?,
            _ if word.matches("realms") || word.matches("map-to") => return Err(word.unsupported("rule")),
            _ if word.matches("protocol") => {
                let value = words.value(word)?;
                rule.proto = Some(proto_of(&value.text).ok_or_else(|| value.bad("this is no protocol"))?);
            }
            _ if word.matches("tun_id") => rule.tun_id = Some(words.number(word, u64::MAX)?),
            _ if word.matches("table") => rule.table = Some(options.table(words.value(word)?)?),
            _ if word.matches("suppress_prefixlength") => rule.suppress_prefixlength = Some(words.u32(word)?),
            _ if word.matches("suppress_ifgroup") => rule.suppress_ifgroup = Some(words.u32(word)?),
            _ => {
                let value = if word.is("type") { words.value(word)? } else { word };
                if value.matches("help") {
                    return Ok(None);
                }
                if value.matches("goto") {
                    rule.action = Some(GOTO);
                    rule.goto = Some(words.u32(value)?);
                } else if value.matches("nop") {
                    rule.action = Some(NOP);
                } else {
                    // The actions have the numbers of the types of routes.
                    let kind = type_of(&value.text).ok_or_else(|| value.unknown("rule", WORDS.iter().copied()))?;
                    rule.action = Some(kind);
                }
            }
        }
    }
    Ok(Some(rule))
}

fn filter(words: &mut Words<'_>, options: &Options, family: u8) -> Result<Filter> {
    let mut filter = Filter { family, ..Filter::default() };
    let af = Some(family);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "not" => filter.not = true,
            "tos" | "dsfield" => filter.tos = Some(dsfield(words.value(word)?)?),
            "fwmark" => filter.fwmark = Some(mark(words.value(word)?)?),
            "dev" | "iif" => filter.iif = Some(device(words.value(word)?)?),
            "oif" => filter.oif = Some(device(words.value(word)?)?),
            "l3mdev" => filter.l3mdev = true,
            "ipproto" => filter.ipproto = Some(ip_protocol(words.value(word)?)?),
            "uidrange" | "sport" | "dport" | "dscp" | "flowlabel" => return Err(word.unsupported("rule show")),
            _ if priority(word) => filter.priority = Some(words.u32(word)?),
            _ if word.matches("tun_id") => return Err(word.unsupported("rule show")),
            _ if word.matches("lookup") || word.matches("table") => {
                filter.table = Some(options.table(words.value(word)?)?);
            }
            _ if word.matches("from") || word.matches("src") => filter.from = prefix(words.value(word)?, af)?.0,
            _ if word.matches("protocol") => {
                let value = words.value(word)?;
                filter.proto = if value.is("all") {
                    None
                } else {
                    Some(proto_of(&value.text).ok_or_else(|| value.bad("this is no protocol"))?)
                };
            }
            _ => {
                let value = if word.matches("dst") || word.matches("to") { words.value(word)? } else { word };
                filter.to = prefix(value, af)?.0;
            }
        }
    }
    Ok(filter)
}

//! `ip nexthop …` (ip-nexthop(8)).

use super::words::{address, number};
use super::{Options, Word, Words, family_word, keyword};
use crate::plan::addr::{family, proto_of};
use crate::plan::error::Result;
use crate::plan::nexthop::{GroupKind, NexthopSpec};
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::verb::AddMode;

/// What is done with nexthops. A device has the index 0, since it is not looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nexthop {
    Add { spec: Box<NexthopSpec>, mode: AddMode },
    Del(u32),
    Get(u32),
    Flush(Filter),
    Show(Filter),
}

/// Which nexthops are shown or flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: Option<u8>,
    pub id: Option<u32>,
    pub dev: Option<Word>,
    pub master: Option<Word>,
    pub groups: bool,
    pub fdb: bool,
    pub proto: Option<u8>,
}

const VERBS: &[&str] = &["add", "replace", "delete", "list", "show", "lst", "get", "flush", "bucket", "help"];
const WORDS: &[&str] = &[
    "id",
    "dev",
    "via",
    "blackhole",
    "fdb",
    "onlink",
    "group",
    "type",
    "buckets",
    "idle_timer",
    "unbalanced_timer",
    "protocol",
];

/// Reads what follows `ip nexthop`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Nexthop>> {
    let Some(verb) = words.next() else {
        return Ok(Some(Nexthop::Show(Filter { family: options.family, ..Filter::default() })));
    };
    let Some(which) = keyword(verb, VERBS) else { return Err(verb.unknown("nexthop", VERBS.iter().copied())) };
    Ok(match which {
        "add" | "replace" => {
            let mode = if which == "add" { AddMode::Create } else { AddMode::Replace };
            modify(&mut words, options)?.map(|spec| Nexthop::Add { spec: Box::new(spec), mode })
        }
        "delete" | "get" => {
            let Some(spec) = modify(&mut words, options)? else { return Ok(None) };
            if spec.id == 0 {
                return Err(verb.bad("`id ID` is missing").with_hint("ip nexthop del id 7"));
            }
            Some(if which == "get" { Nexthop::Get(spec.id) } else { Nexthop::Del(spec.id) })
        }
        "list" | "show" | "lst" => filter(&mut words, options)?.map(Nexthop::Show),
        "flush" => filter(&mut words, options)?.map(Nexthop::Flush),
        "help" => None,
        _ => return Err(verb.unsupported("nexthop")),
    })
}

fn id(words: &mut Words<'_>, key: &Word) -> Result<u32> {
    words.u32(key)
}

/// `ID[,WEIGHT]/ID[,WEIGHT]…`.
fn group(word: &Word) -> Result<Vec<(u32, u32)>> {
    let member = |text: &str| -> Option<(u32, u32)> {
        let (id, weight) = text.split_once(',').unwrap_or((text, "1"));
        let weight = weight.parse().ok().filter(|w| (1..=256).contains(w))?;
        Some((id.parse().ok()?, weight))
    };
    let all: Option<Vec<(u32, u32)>> = word.text.split('/').map(member).collect();
    all.ok_or_else(|| word.bad("a group is ID[,WEIGHT]/ID[,WEIGHT]…, with weights from 1 to 256"))
}

/// Seconds, as hundredths.
fn timer(words: &mut Words<'_>, key: &Word) -> Result<Option<u32>> {
    let word = words.value(key)?;
    let bad = || word.bad("a number of seconds is expected here");
    let time = crate::plan::unit::duration(&word.text).map_err(|_| bad())?;
    u32::try_from(time.as_millis() / 10).map(Some).map_err(|_| bad())
}

fn modify(words: &mut Words<'_>, options: &Options) -> Result<Option<NexthopSpec>> {
    let mut spec =
        NexthopSpec { family: options.family.filter(|f| *f == AF_INET || *f == AF_INET6), ..Default::default() };
    let (mut buckets, mut idle, mut unbalanced, mut resilient) = (None, None, None, false);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "id" => spec.id = id(words, word)?,
            "dev" => {
                spec.dev = Some((0, words.value(word)?.text.clone()));
            }
            "via" => {
                let mut value = words.value(word)?;
                let asked = family_word(value);
                if asked.is_some() {
                    value = words.value(value)?;
                }
                let ip = address(value, asked.or(spec.family))?;
                spec.family = Some(family(ip));
                spec.via = Some(ip);
            }
            "blackhole" => spec.blackhole = true,
            "fdb" => spec.fdb = true,
            "onlink" => spec.onlink = true,
            "group" => spec.group = group(words.value(word)?)?,
            "type" => {
                let kind = words.value(word)?;
                resilient = match kind.text.as_str() {
                    "mpath" => false,
                    "resilient" => true,
                    _ => return Err(kind.bad("mpath or resilient is expected here")),
                };
            }
            "buckets" if resilient => {
                let value = number(words.value(word)?, "buckets", 0xffff)?;
                buckets = Some(u16::try_from(value).unwrap_or(u16::MAX));
            }
            "idle_timer" if resilient => idle = timer(words, word)?,
            "unbalanced_timer" if resilient => unbalanced = timer(words, word)?,
            "encap" => spec.encap = Some(super::encap::parse(word, words)?),
            "hw_stats" => return Err(word.unsupported("nexthop")),
            "help" => return Ok(None),
            _ if word.matches("protocol") => {
                let value = words.value(word)?;
                spec.proto = Some(proto_of(&value.text).ok_or_else(|| value.bad("this is no protocol"))?);
            }
            _ => return Err(word.unknown("nexthop", WORDS.iter().copied())),
        }
    }
    if resilient {
        spec.kind = GroupKind::Resilient { buckets, idle, unbalanced };
    }
    Ok(Some(spec))
}

fn filter(words: &mut Words<'_>, options: &Options) -> Result<Option<Filter>> {
    let mut filter = Filter { family: options.family, ..Filter::default() };
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "id" => filter.id = Some(id(words, word)?),
            _ if word.matches("dev") => filter.dev = Some(words.value(word)?.clone()),
            _ if word.matches("groups") => filter.groups = true,
            _ if word.matches("master") || word.matches("vrf") => filter.master = Some(words.value(word)?.clone()),
            _ if word.matches("protocol") => {
                let value = number(words.value(word)?, "protocol", 255)?;
                filter.proto = Some(u8::try_from(value).unwrap_or(255));
            }
            _ if word.matches("fdb") => filter.fdb = true,
            _ if word.matches("help") => return Ok(None),
            _ => return Err(word.unknown("nexthop show", ["id", "dev", "groups", "master", "vrf", "protocol", "fdb"])),
        }
    }
    Ok(Some(filter))
}

//! `ip neighbour …` (ip-neighbour(8)).

use super::words::{address, prefix};
use super::{Options, Word, Words, keyword};
use crate::plan::addr::{NeighSpec, STATES, family};
use crate::plan::error::Result;
use crate::plan::link::parse_mac;
use crate::plan::record::{AF_INET, AF_INET6, NUD_PERMANENT};
use crate::plan::verb::AddMode;
use ipnet::IpNet;
use std::net::IpAddr;

/// What is done with neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neigh {
    /// A proxy entry may be without a device.
    Add {
        dev: Option<Word>,
        spec: NeighSpec,
        mode: AddMode,
    },
    Del {
        dev: Option<Word>,
        ip: IpAddr,
        proxy: bool,
    },
    Get {
        dev: Option<Word>,
        ip: IpAddr,
        proxy: bool,
    },
    Flush(Filter),
    Show(Filter),
}

/// Which entries are shown or flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: Option<u8>,
    pub dev: Option<Word>,
    pub master: Option<Word>,
    pub nomaster: bool,
    pub to: Option<IpNet>,
    /// `NUD_…`, several; 0x100 is `none`.
    pub states: u16,
    pub proxy: bool,
}

const VERBS: &[&str] = &["add", "change", "replace", "delete", "get", "show", "lst", "list", "flush", "help"];
const WORDS: &[&str] = &["lladdr", "nud", "proxy", "router", "dev"];
const NONE: u16 = 0x100;
const NOARP: u16 = 0x40;

/// Reads what follows `ip neighbour`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Neigh>> {
    let Some(verb) = words.next() else { return Ok(filter(&mut words, options, false)?.map(Neigh::Show)) };
    let which = if verb.is("chg") { Some("change") } else { keyword(verb, VERBS) };
    let Some(which) = which else { return Err(verb.unknown("neighbour", VERBS.iter().copied())) };
    let mode = match which {
        "add" => AddMode::Create,
        "change" => AddMode::Change,
        "replace" => AddMode::Replace,
        "delete" => {
            let (dev, spec) = entry(verb, &mut words, options)?;
            return Ok(Some(Neigh::Del { dev, ip: spec.ip, proxy: spec.proxy }));
        }
        "get" => {
            let (dev, spec) = entry(verb, &mut words, options)?;
            return Ok(Some(Neigh::Get { dev, ip: spec.ip, proxy: spec.proxy }));
        }
        "show" | "lst" | "list" => return Ok(filter(&mut words, options, false)?.map(Neigh::Show)),
        "flush" if words.peek().is_none() => {
            return Err(verb.bad("it has to be said what is flushed").with_hint("ip neigh flush dev DEV"));
        }
        "flush" => return Ok(filter(&mut words, options, true)?.map(Neigh::Flush)),
        _ => return Ok(None),
    };
    let (dev, spec) = entry(verb, &mut words, options)?;
    Ok(Some(Neigh::Add { dev, spec, mode }))
}

fn entry(verb: &Word, words: &mut Words<'_>, options: &Options) -> Result<(Option<Word>, NeighSpec)> {
    let af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    let (mut dev, mut ip, mut lladdr) = (None, None, None);
    let (mut state, mut proxy, mut router) = (NUD_PERMANENT, false, false);
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "nud" => {
                let value = words.value(word)?;
                state = state_of(value)?;
            }
            "router" => router = true,
            "use" | "managed" | "extern_valid" => return Err(word.unsupported("neighbour")),
            "dev" => dev = Some(words.value(word)?.clone()),
            _ if word.matches("lladdr") => {
                let value = words.value(word)?;
                if !value.is("null") {
                    lladdr = Some(parse_mac(&value.text).ok_or_else(|| value.bad("this is no MAC address"))?);
                }
            }
            _ if word.matches("proxy") => {
                ip = Some(address(words.value(word)?, af)?);
                proxy = true;
            }
            _ if word.matches("extern_learn") || word.matches("protocol") => return Err(word.unsupported("neighbour")),
            _ => {
                let value = if word.is("to") { words.value(word)? } else { word };
                if ip.is_some() {
                    return Err(value.unknown("neighbour", WORDS.iter().copied()));
                }
                ip = Some(address(value, af)?);
            }
        }
    }
    let ip = ip.ok_or_else(|| verb.bad("no address is given"))?;
    if dev.is_none() && !proxy {
        return Err(verb
            .bad("`dev DEV` is missing")
            .with_hint("ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev eth0"));
    }
    Ok((dev, NeighSpec { ip, lladdr, state, proxy, router }))
}

/// A state by name (which may be cut) or number; `none` is 0.
fn state_of(word: &Word) -> Result<u16> {
    // nud_state_a2n() (ip/ipneigh.c) has its own order.
    const ORDER: &[&str] =
        &["permanent", "reachable", "noarp", "none", "stale", "incomplete", "delay", "probe", "failed"];
    match keyword(word, ORDER) {
        Some("none") => Ok(0),
        Some(name) => Ok(STATES.iter().find(|(_, n)| *n == name).map_or(0, |(bit, _)| *bit)),
        None => super::words::number(word, "a state", 0xff)
            .map(|n| u16::try_from(n).unwrap_or(0))
            .map_err(|e| e.with_hint(ORDER.join(", "))),
    }
}

fn filter(words: &mut Words<'_>, options: &Options, flush: bool) -> Result<Option<Filter>> {
    let states = if flush { !(NUD_PERMANENT | NOARP) } else { 0xff & !NOARP };
    let mut filter = Filter { family: options.family, states, ..Filter::default() };
    let mut given = false;
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "dev" => filter.dev = Some(words.value(word)?.clone()),
            "master" | "vrf" => filter.master = Some(words.value(word)?.clone()),
            "nomaster" => filter.nomaster = true,
            "unused" => return Err(word.unsupported("neighbour show")),
            "nud" => {
                if !given {
                    given = true;
                    filter.states = 0;
                }
                let value = words.value(word)?;
                filter.states |= match value.text.as_str() {
                    "all" if flush => !NOARP,
                    "all" => 0xffff,
                    _ => match state_of(value)? {
                        0 => NONE,
                        state => state,
                    },
                };
            }
            "proxy" => filter.proxy = true,
            "help" => return Ok(None),
            _ if word.matches("protocol") => return Err(word.unsupported("neighbour show")),
            _ => {
                let value = if word.is("to") { words.value(word)? } else { word };
                filter.to = prefix(value, filter.family)?.0;
                filter.family = filter.family.or(filter.to.map(|n| family(n.addr())));
            }
        }
    }
    Ok(Some(filter))
}

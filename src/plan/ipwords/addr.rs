//! `ip address …` (ip-address(8)).

use super::link::Filter as LinkFilter;
use super::words::{address, prefix};
use super::{Options, Word, Words, keyword};
use crate::plan::addr::{AddrSpec, family, scope_of};
use crate::plan::error::{Error, Result};
use crate::plan::record::{AF_INET, AF_INET6, FOREVER, IFA_F_NODAD, IFA_F_NOPREFIXROUTE};
use crate::plan::verb::AddMode;
use ipnet::IpNet;
use std::net::IpAddr;

/// What is done with addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    Add { dev: Word, spec: Box<AddrSpec>, mode: AddMode },
    Del { dev: Word, what: Box<Removal> },
    Flush(Box<Filter>),
    Show(Box<Filter>),
}

/// Which address is to be deleted: what is not given is not asked about (`inet_rtm_deladdr`, net/ipv4/devinet.c).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub local: Option<IpAddr>,
    /// The peer, or the address itself, with its length; `None`: any length (IPv4 only).
    pub prefix: Option<IpNet>,
    pub label: Option<String>,
    pub family: u8,
}

/// Which addresses are shown or flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub family: Option<u8>,
    pub links: LinkFilter,
    pub to: Option<IpNet>,
    pub scope: Option<u8>,
    /// A shell pattern.
    pub label: Option<String>,
    /// `IFA_F_…` that must be as in the second.
    pub mask: u32,
    pub flags: u32,
}

pub(super) const VERBS: &[&str] =
    &["add", "change", "replace", "delete", "list", "show", "lst", "flush", "save", "showdump", "restore", "help"];

/// Flags by name: bit, whether it can be set, whether it is for IPv6 only.
const FLAGS: &[(&str, u32, bool, bool)] = &[
    ("secondary", 0x01, false, false),
    ("temporary", 0x01, false, false),
    ("nodad", IFA_F_NODAD, true, true),
    ("optimistic", 0x04, true, true),
    ("dadfailed", 0x08, false, true),
    ("home", 0x10, true, true),
    ("deprecated", 0x20, false, true),
    ("tentative", 0x40, false, true),
    ("permanent", 0x80, false, true),
    ("mngtmpaddr", 0x100, true, true),
    ("noprefixroute", IFA_F_NOPREFIXROUTE, true, false),
    ("autojoin", 0x400, true, false),
    ("stable-privacy", 0x800, false, true),
];

const WORDS: &[&str] = &[
    "local",
    "peer",
    "broadcast",
    "brd",
    "anycast",
    "scope",
    "dev",
    "label",
    "metric",
    "valid_lft",
    "preferred_lft",
    "nodad",
    "home",
    "mngtmpaddr",
    "noprefixroute",
    "optimistic",
    "autojoin",
];

/// Reads what follows `ip address`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Addr>> {
    let Some(verb) = words.next() else {
        return Ok(Some(Addr::Show(Box::new(Filter { family: options.family, ..Filter::default() }))));
    };
    let which = if verb.is("chg") { Some("change") } else { keyword(verb, VERBS) };
    let Some(which) = which else { return Err(verb.unknown("address", VERBS.iter().copied())) };
    let mode = match which {
        "add" => AddMode::Create,
        "change" => AddMode::Change,
        "replace" => AddMode::Replace,
        "delete" => return modify(verb, &mut words, options, None),
        "list" | "show" | "lst" => return Ok(filter(&mut words, options)?.map(|f| Addr::Show(Box::new(f)))),
        "flush" if words.peek().is_none() => {
            return Err(verb.bad("it has to be said what is flushed").with_hint("ip addr flush dev DEV"));
        }
        "flush" => return Ok(filter(&mut words, options)?.map(|f| Addr::Flush(Box::new(f)))),
        "help" => return Ok(None),
        _ => return Err(super::no_dump(verb, "address")),
    };
    modify(verb, &mut words, options, Some(mode))
}

/// A lifetime in seconds, or `forever`.
fn life(word: &Word) -> Result<u32> {
    if word.matches("forever") {
        return Ok(FOREVER);
    }
    super::words::number(word, "a lifetime", u64::from(u32::MAX)).map(|n| u32::try_from(n).unwrap_or(FOREVER))
}

fn modify(verb: &Word, words: &mut Words<'_>, options: &Options, mode: Option<AddMode>) -> Result<Option<Addr>> {
    let mut af = options.family.filter(|f| *f == AF_INET || *f == AF_INET6);
    let (mut local, mut peer): (Option<(&Word, IpNet, bool)>, Option<IpNet>) = (None, None);
    let (mut dev, mut label, mut scope, mut metric) = (None, None, None, None);
    let (mut broadcast, mut flags): (Option<&Word>, u32) = (None, 0);
    let (mut valid, mut preferred) = (None, None);
    let net = |word: &Word, af: Option<u8>| -> Result<(IpNet, bool)> {
        match prefix(word, af)? {
            (Some(net), given) => Ok((net, given)),
            (None, _) => Err(word.bad("an address is expected here")),
        }
    };
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "peer" | "remote" => {
                let (net, _) = net(words.value(word)?, af)?;
                af = af.or(Some(family(net.addr())));
                peer = Some(net);
            }
            "brd" => broadcast = Some(words.value(word)?),
            "anycast" | "proto" => return Err(word.unsupported("address")),
            "scope" => {
                let value = words.value(word)?;
                scope = Some(scope_of(&value.text).ok_or_else(|| value.bad("this is no scope"))?);
            }
            "dev" => dev = Some(words.value(word)?.clone()),
            "label" => label = Some(words.value(word)?),
            "help" => return Ok(None),
            _ if word.matches("broadcast") => broadcast = Some(words.value(word)?),
            _ if word.matches("metric") || word.matches("priority") || word.matches("preference") => {
                metric = Some(words.u32(word)?);
            }
            _ if word.matches("valid_lft") => valid = Some(life(words.value(word)?)?),
            _ if word.matches("preferred_lft") => preferred = Some(life(words.value(word)?)?),
            name => {
                if let Some((_, bit, settable, six)) = FLAGS.iter().find(|(n, ..)| *n == name) {
                    // iproute2 warns of those that can't be set, and goes on.
                    if *settable && (!six || af == Some(AF_INET6)) {
                        flags |= bit;
                    }
                    continue;
                }
                let value = if name == "local" { words.value(word)? } else { word };
                if local.is_some() {
                    return Err(value.unknown("address", WORDS.iter().copied()));
                }
                let (found, given) = net(value, af)?;
                af = af.or(Some(family(found.addr())));
                local = Some((value, found, given));
            }
        }
    }
    let dev = dev.ok_or_else(|| verb.bad("`dev DEV` is missing").with_hint("ip addr add 10.0.0.1/24 dev eth0"))?;
    let Some(mode) = mode else {
        let what = Removal {
            local: local.map(|(_, net, _)| net.addr()),
            prefix: match (peer, local) {
                (Some(peer), _) => Some(peer),
                // Without a length any address of that value is meant, of IPv4.
                (None, Some((_, net, given))) => (given || net.addr().is_ipv6()).then_some(net),
                (None, None) => None,
            },
            label: label.map(|l| l.text.clone()),
            family: af.unwrap_or(AF_INET),
        };
        return Ok(Some(Addr::Del { dev, what: Box::new(what) }));
    };
    let Some((word, net, _)) = local.or_else(|| peer.map(|p| (verb, p, true))) else {
        return Err(verb.bad("no address is given").with_hint("ip addr add 10.0.0.1/24 dev eth0"));
    };
    let mut spec = AddrSpec { peer, scope, flags, metric, ..AddrSpec::new(net) };
    spec.label = label.map(|l| l.text.clone());
    spec.broadcast = broadcast.map(|b| broadcast_of(b, peer.unwrap_or(net))).transpose()?.flatten();
    if valid.is_some() || preferred.is_some() {
        let (valid, preferred) = (valid.unwrap_or(FOREVER), preferred.unwrap_or(FOREVER));
        if valid == 0 || preferred > valid {
            return Err(word.bad("an address is valid for some time, and preferred no longer than that"));
        }
        spec.lives = Some((valid, preferred));
    }
    if flags & 0x400 != 0 && !net.addr().is_multicast() {
        return Err(word.bad("`autojoin` is for multicast addresses"));
    }
    Ok(Some(Addr::Add { dev, spec: Box::new(spec), mode }))
}

/// An address, `+` (all host bits 1) or `-` (all 0), which are none for /31 and /32.
fn broadcast_of(word: &Word, net: IpNet) -> Result<Option<IpAddr>> {
    let set = match word.text.as_str() {
        "+" => true,
        "-" => false,
        _ => return address(word, Some(family(net.addr()))).map(Some),
    };
    match net {
        IpNet::V6(_) => Err(word.bad("IPv6 has no broadcast address")),
        IpNet::V4(net) if net.prefix_len() > 30 => Ok(None),
        IpNet::V4(net) => Ok(Some(IpAddr::V4(if set { net.broadcast() } else { net.network() }))),
    }
}

fn filter(words: &mut Words<'_>, options: &Options) -> Result<Option<Filter>> {
    let mut filter = Filter { family: options.family, ..Filter::default() };
    while let Some(word) = words.next() {
        let links = &mut filter.links;
        match word.text.as_str() {
            "to" => {
                let value = words.value(word)?;
                filter.to = prefix(value, filter.family)?.0;
                filter.family = filter.family.or(filter.to.map(|n| family(n.addr())));
            }
            "scope" => {
                let value = words.value(word)?;
                filter.scope = match value.text.as_str() {
                    "all" => None,
                    text => Some(scope_of(text).ok_or_else(|| value.bad("this is no scope"))?),
                };
            }
            "up" => links.up = Some(true),
            "down" => links.up = Some(false),
            "label" => filter.label = Some(words.value(word)?.text.clone()),
            "group" => links.group = Some(words.u32(word)?),
            "master" | "vrf" => links.master = Some(words.value(word)?.clone()),
            "nomaster" => links.nomaster = true,
            "type" => {
                let kind = words.value(word)?;
                match kind.text.strip_suffix("_slave") {
                    Some(of) => links.slave_kind = Some(of.into()),
                    None => links.kind = Some(kind.text.clone()),
                }
            }
            "novf" => {}
            "help" => return Ok(None),
            name => {
                if let Some((bit, on)) = flag_filter(name) {
                    filter.mask |= bit;
                    filter.flags = if on { filter.flags | bit } else { filter.flags & !bit };
                    continue;
                }
                let dev = if name == "dev" { words.value(word)? } else { word };
                if links.dev.is_some() {
                    return Err(unknown_filter(dev));
                }
                links.dev = Some(dev.clone());
            }
        }
    }
    Ok(Some(filter))
}

fn unknown_filter(word: &Word) -> Error {
    word.unknown("address show", ["dev", "to", "scope", "label", "up", "dynamic", "permanent", "primary", "secondary"])
}

/// `permanent`, `dynamic`, `-tentative` …: the bit, and whether it is to be set.
fn flag_filter(name: &str) -> Option<(u32, bool)> {
    let (name, on) = name.strip_prefix('-').map_or((name, true), |n| (n, false));
    let (name, on) = match name {
        "dynamic" => ("permanent", !on),
        "primary" => ("secondary", !on),
        name => (name, on),
    };
    FLAGS.iter().find(|(n, ..)| *n == name).map(|(_, bit, ..)| (*bit, on))
}

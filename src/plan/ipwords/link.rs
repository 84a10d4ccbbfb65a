//! `ip link …` (ip-link(8)). What follows `type KIND` is left as words: only the kinds' own tables know what it means.

use super::{Word, Words, keyword};
use crate::plan::error::Result;
use crate::plan::link::LinkChange;
use crate::plan::name::check_ifname;

/// What is done with links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    Add(Box<Parts>),
    Set(Box<Parts>),
    Del(Box<Parts>),
    /// `property add` and `property del`: the device, and its alternative names.
    Altnames {
        dev: Word,
        names: Vec<Word>,
        add: bool,
    },
    Show(Box<Filter>),
}

/// The words of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The device that is meant, or that is to be made.
    pub dev: Option<Word>,
    /// `name NAME`.
    pub name: Option<Word>,
    /// `index N`, 0 for none.
    pub index: u32,
    /// `link DEV`.
    pub lower: Option<Word>,
    /// `netns NAME`, a process's number, or a path.
    pub netns: Option<Word>,
    /// `link-netns NAME`.
    pub link_netns: Option<Word>,
    pub link_netnsid: Option<i32>,
    pub tx_queues: Option<u32>,
    pub rx_queues: Option<u32>,
    /// What the other words set. A master has the index 0, since it is not looked up; `nomaster` has no name.
    pub change: LinkChange,
    /// The word of the master, where one is given.
    pub master: Option<Word>,
    /// `group N` without a device: all of that group.
    pub whole_group: bool,
    /// `type KIND`, and what follows it.
    pub kind: Option<Word>,
    pub options: Vec<Word>,
    /// `peer …` of a kind that is a pair.
    pub peer: Option<Box<Parts>>,
}

/// Which links are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub dev: Option<Word>,
    pub up: Option<bool>,
    pub group: Option<u32>,
    pub master: Option<Word>,
    pub nomaster: bool,
    pub kind: Option<String>,
    pub slave_kind: Option<String>,
}

/// Kinds that are pairs, whose options may have a `peer`.
pub const PAIRS: &[&str] = &["veth", "vxcan", "netkit"];

const VERBS: &[&str] =
    &["add", "set", "change", "replace", "delete", "show", "lst", "list", "xstats", "afstats", "property", "help"];

/// Keywords, for proposals.
const WORDS: &[&str] = &[
    "up",
    "down",
    "name",
    "index",
    "link",
    "address",
    "broadcast",
    "txqueuelen",
    "mtu",
    "netns",
    "multicast",
    "allmulticast",
    "promisc",
    "arp",
    "master",
    "nomaster",
    "vrf",
    "dynamic",
    "type",
    "alias",
    "group",
    "numtxqueues",
    "numrxqueues",
    "addrgenmode",
    "link-netns",
    "link-netnsid",
    "dev",
];

/// What iproute2 knows and nsscript does not: it takes a value, or more.
const OTHERS: &[&str] = &[
    "trailers",
    "carrier",
    "vf",
    "xdp",
    "xdpgeneric",
    "xdpdrv",
    "xdpoffload",
    "mode",
    "state",
    "protodown",
    "protodown_reason",
    "gso_max_size",
    "gso_max_segs",
    "gro_max_size",
    "gso_ipv4_max_size",
    "gro_ipv4_max_size",
    "parentdev",
    "inet",
];

/// Reads what follows `ip link`; `None`: help is asked for.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(mut words: Words<'_>) -> Result<Option<Link>> {
    let Some(verb) = words.next() else { return Ok(Some(Link::Show(Box::default()))) };
    let Some(which) = keyword(verb, VERBS) else { return Err(verb.unknown("link", VERBS.iter().copied())) };
    Ok(Some(match which {
        "add" => {
            let Some(parts) = parts(&mut words)? else { return Ok(None) };
            Link::Add(Box::new(add(verb, parts)?))
        }
        "set" | "change" => {
            let Some(parts) = parts(&mut words)? else { return Ok(None) };
            Link::Set(Box::new(set(verb, parts)?))
        }
        "delete" => {
            let Some(mut parts) = parts(&mut words)? else { return Ok(None) };
            parts.whole_group = parts.dev.is_none() && parts.change.group.is_some();
            if parts.dev.is_none() && !parts.whole_group {
                return Err(verb.bad("no device is named").with_hint("ip link del DEV"));
            }
            Link::Del(Box::new(parts))
        }
        "show" | "lst" | "list" => match filter(&mut words)? {
            Some(filter) => Link::Show(Box::new(filter)),
            None => return Ok(None),
        },
        "property" => return property(verb, &mut words),
        "help" => return Ok(None),
        _ => return Err(verb.unsupported("link")),
    }))
}

fn add(verb: &Word, mut parts: Parts) -> Result<Parts> {
    if parts.kind.is_none() {
        return Err(verb.bad("`type KIND` is missing").with_hint("ip link add NAME type veth peer name OTHER"));
    }
    if let (Some(name), Some(dev)) = (&parts.name, &parts.dev)
        && name.text != dev.text
    {
        return Err(name.bad("a link that is to be made has one name: `name` or `dev`, not both"));
    }
    parts.name = parts.name.or(parts.dev.take());
    if let Some(name) = &parts.name {
        check_ifname(&name.text).map_err(|e| super::words::place(name, e))?;
    }
    if let Some(peer) = &mut parts.peer {
        peer.name = peer.name.take().or(peer.dev.take());
        if let Some(name) = &peer.name {
            check_ifname(&name.text).map_err(|e| super::words::place(name, e))?;
        }
    }
    Ok(parts)
}

fn set(verb: &Word, mut parts: Parts) -> Result<Parts> {
    if parts.dev.is_none() && parts.change.group.is_some() {
        if let Some(word) = parts.kind.as_ref() {
            return Err(word.bad("`group` without a device takes no `type`"));
        }
        parts.whole_group = true;
        return Ok(parts);
    }
    let Some(dev) = &parts.dev else {
        return Err(verb.bad("no device is named").with_hint("ip link set DEV …"));
    };
    if parts.index != 0 && parts.netns.is_none() {
        return Err(verb.bad("`index` is for links that are made or moved"));
    }
    // Renaming to the same name is nothing.
    if parts.name.as_ref().is_some_and(|name| name.text == dev.text) {
        parts.name = None;
    }
    if let Some(name) = &parts.name {
        check_ifname(&name.text).map_err(|e| super::words::place(name, e))?;
    }
    Ok(parts)
}

/// The words up to the end, or those of one end of a pair; `None`: help is asked for.
fn parts(words: &mut Words<'_>) -> Result<Option<Parts>> {
    let mut parts = Parts::default();
    while let Some(word) = words.next() {
        let change = &mut parts.change;
        match word.text.as_str() {
            "up" => change.up = Some(true),
            "down" => change.up = Some(false),
            "name" => {
                once(word, parts.name.is_some())?;
                let name = words.value(word)?.clone();
                // `name` alone says which device it is, too: a device named later is another.
                if parts.dev.is_none() {
                    parts.dev = Some(name.clone());
                }
                parts.name = Some(name);
            }
            "index" => {
                once(word, parts.index != 0)?;
                parts.index = u32::try_from(words.number(word, 0x7fff_ffff)?).unwrap_or_default();
                if parts.index == 0 {
                    return Err(word.bad("an index is at least 1"));
                }
            }
            "netns" => {
                once(word, parts.netns.is_some())?;
                parts.netns = Some(words.value(word)?.clone());
            }
            "mtu" => {
                once(word, change.mtu.is_some())?;
                change.mtu = Some(words.u32(word)?);
            }
            "qlen" => change.txqueuelen = Some(words.u32(word)?),
            "brd" => change.broadcast = Some(words.mac(word)?),
            "multicast" => change.multicast = Some(words.on_off(word)?),
            "allmulticast" => change.allmulticast = Some(words.on_off(word)?),
            "promisc" => change.promisc = Some(words.on_off(word)?),
            "arp" => change.arp = Some(words.on_off(word)?),
            "group" => {
                once(word, change.group.is_some())?;
                change.group = Some(group(words.value(word)?)?);
            }
            "vrf" => parts.enslave(words.value(word)?),
            other if OTHERS.contains(&other) => return Err(word.unsupported("link")),
            _ => {
                if long(&mut parts, words, word)? {
                    break;
                }
                if parts.kind.as_ref().is_some_and(|k| k.is("help")) {
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some(parts))
}

impl Parts {
    fn enslave(&mut self, master: &Word) {
        self.change.master = Some((0, master.text.clone()));
        self.master = Some(master.clone());
    }
}

/// The keywords that may be cut, in iproute2's order; true where the words end.
fn long(parts: &mut Parts, words: &mut Words<'_>, word: &Word) -> Result<bool> {
    let change = &mut parts.change;
    if word.matches("link") {
        parts.lower = Some(words.value(word)?.clone());
    } else if word.matches("address") {
        change.mac = Some(words.mac(word)?);
    } else if word.matches("broadcast") {
        change.broadcast = Some(words.mac(word)?);
    } else if word.matches("txqueuelen") || word.matches("txqlen") {
        change.txqueuelen = Some(words.u32(word)?);
    } else if word.matches("master") {
        parts.enslave(words.value(word)?);
    } else if word.matches("nomaster") {
        change.master = Some((0, String::new()));
    } else if word.matches("dynamic") {
        change.dynamic = Some(words.on_off(word)?);
    } else if word.matches("type") {
        let kind = words.value(word)?;
        parts.kind = Some(kind.clone());
        options(parts, words)?;
        return Ok(true);
    } else if word.matches("alias") {
        let alias = words.value(word)?;
        if alias.text.len() >= 256 {
            return Err(alias.bad("an alias has at most 255 bytes"));
        }
        change.alias = Some(alias.text.clone());
    } else if word.matches("numtxqueues") {
        parts.tx_queues = Some(words.u32(word)?);
    } else if word.matches("numrxqueues") {
        parts.rx_queues = Some(words.u32(word)?);
    } else if word.matches("addrgenmode") {
        let mode = words.value(word)?;
        let found = ["eui64", "none", "stable_secret", "random"].iter().position(|m| mode.is(m));
        let found = found.and_then(|n| u8::try_from(n).ok());
        change.addrgenmode = Some(found.ok_or_else(|| mode.bad("eui64, none, stable_secret or random is expected"))?);
    } else if word.matches("link-netns") {
        parts.link_netns = Some(words.value(word)?.clone());
    } else if word.matches("link-netnsid") {
        parts.link_netnsid = Some(i32::try_from(words.number(word, 0x7fff_ffff)?).unwrap_or_default());
    } else if word.matches("help") {
        parts.kind = Some(Word { text: "help".into(), ..word.clone() });
    } else {
        let dev = if word.is("dev") { words.value(word)? } else { word };
        // A second name may follow `name`, which names the device as it will be.
        let named = parts.dev.as_ref().is_some_and(|d| parts.name.as_ref() == Some(d));
        if parts.dev.is_some() && !named {
            return Err(dev.unknown("link", WORDS.iter().copied()));
        }
        parts.dev = Some(dev.clone());
    }
    Ok(false)
}

/// What follows `type KIND`: left as it is, but for the peer of a pair.
fn options(parts: &mut Parts, words: &mut Words<'_>) -> Result<()> {
    let pair = parts.kind.as_ref().is_some_and(|k| PAIRS.contains(&k.text.as_str()));
    while let Some(word) = words.next() {
        if pair && word.is("peer") {
            let Some(peer) = self::parts(words)? else { return Err(word.bad("help is not for here")) };
            if let Some(kind) = &peer.kind {
                return Err(kind.bad("a peer has no type of its own"));
            }
            parts.peer = Some(Box::new(peer));
        } else {
            parts.options.push(word.clone());
        }
    }
    Ok(())
}

fn once(word: &Word, given: bool) -> Result<()> {
    if given { Err(word.bad("this is given twice")) } else { Ok(()) }
}

/// A group by number; `default` is 0 (/etc/iproute2/group has no other name of its own).
fn group(word: &Word) -> Result<u32> {
    if word.is("default") {
        return Ok(0);
    }
    super::words::number(word, "group", u64::from(u32::MAX)).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn property(verb: &Word, words: &mut Words<'_>) -> Result<Option<Link>> {
    let Some(what) = words.next() else { return Err(verb.bad("`add` or `del` is missing")) };
    let add = match keyword(what, &["add", "delete", "help"]) {
        Some("add") => true,
        Some("delete") => false,
        Some(_) => return Ok(None),
        None => return Err(what.unknown("link property", ["add", "del"])),
    };
    let (mut dev, mut names) = (None, Vec::new());
    while let Some(word) = words.next() {
        if word.matches("altname") {
            names.push(words.value(word)?.clone());
        } else {
            let found = if word.is("dev") { words.value(word)? } else { word };
            once(found, dev.is_some())?;
            dev = Some(found.clone());
        }
    }
    let dev = dev.ok_or_else(|| what.bad("no device is named"))?;
    Ok(Some(Link::Altnames { dev, names, add }))
}

fn filter(words: &mut Words<'_>) -> Result<Option<Filter>> {
    let mut filter = Filter::default();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "up" => filter.up = Some(true),
            "down" => filter.up = Some(false),
            "group" => filter.group = Some(group(words.value(word)?)?),
            "master" | "vrf" => filter.master = Some(words.value(word)?.clone()),
            "nomaster" => filter.nomaster = true,
            "novf" => {}
            "type" => {
                let kind = words.value(word)?;
                match kind.text.strip_suffix("_slave") {
                    Some(of) => filter.slave_kind = Some(of.into()),
                    None => filter.kind = Some(kind.text.clone()),
                }
            }
            "help" => return Ok(None),
            _ => {
                let dev = if word.is("dev") { words.value(word)? } else { word };
                if filter.dev.is_some() {
                    return Err(dev.unknown("link show", ["dev", "group", "master", "vrf", "nomaster", "type", "up"]));
                }
                filter.dev = Some(dev.clone());
            }
        }
    }
    Ok(Some(filter))
}

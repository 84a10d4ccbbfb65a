//! What the words of an `ip` command mean, as iproute2 understands them (ip(8), ip-link(8), ip-address(8), ip-route(8),
//! ip-neighbour(8), ip-rule(8), ip-nexthop(8), ip-netns(8)): words become a command of specs, in which devices and
//! namespaces are still names. Nothing is looked up, and nothing is done.
//!
//! Keywords may be cut to any of their beginnings where iproute2 allows it, and the first in its order wins: `ip n` is
//! `ip neighbour`, `ip netn` is `ip netns`.

pub mod addr;
pub mod encap;
pub mod link;
pub mod neigh;
pub mod netns;
pub mod nexthop;
pub mod route;
pub mod rule;
pub mod words;

use super::addr::table_of;
use super::error::{Error, Result};
use super::record::{AF_INET, AF_INET6};
pub use words::{Word, Words, split};

/// The options before the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-n NS`.
    pub netns: Option<Word>,
    /// `-4`, `-6`, `-f inet`: `AF_…`.
    pub family: Option<u8>,
    pub details: bool,
    /// `-s`, once or more.
    pub stats: u8,
    pub brief: bool,
    pub json: bool,
    pub oneline: bool,
    /// `-all`: every namespace, of `netns exec` and `netns delete`.
    pub all: bool,
    /// `-batch FILE`.
    pub batch: Option<Word>,
    /// `-force`: a batch goes on behind a line that fails.
    pub force: bool,
    /// Routing tables that have names beside the kernel's own three (/etc/iproute2/rt_tables).
    pub tables: Vec<(u32, String)>,
}

impl Options {
    /// A routing table by name or number.
    ///
    /// # Errors
    /// `invalid`: there is none.
    pub fn table(&self, word: &Word) -> Result<u32> {
        let known = || self.tables.iter().find(|(_, name)| word.is(name)).map(|(number, _)| *number);
        let hex = || words::parse_number(&word.text).and_then(|n| u32::try_from(n).ok());
        table_of(&word.text).or_else(known).or_else(hex).ok_or_else(|| {
            word.bad("this is no routing table").with_hint("a number, main, local, default, or a name in rt_tables")
        })
    }
}

/// A whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub options: Options,
    pub command: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ip OBJECT help`, or `ip help` where it is empty.
    Help(&'static str),
    Version,
    /// The lines of a file: its name, and whether those after one that fails are done.
    Batch(Word, bool),
    Netns(netns::Netns),
    Link(link::Link),
    Addr(addr::Addr),
    Route(route::Route),
    Neigh(neigh::Neigh),
    Rule(rule::Rule),
    Nexthop(nexthop::Nexthop),
}

/// The objects in iproute2's order (ip/ip.c), by which a beginning finds the first. An empty second: none of ours.
const OBJECTS: &[(&str, &str)] = &[
    ("address", "addr"),
    ("addrlabel", ""),
    ("maddress", ""),
    ("route", "route"),
    ("rule", "rule"),
    ("neighbor", "neigh"),
    ("neighbour", "neigh"),
    ("ntable", ""),
    ("ntbl", ""),
    ("link", "link"),
    ("l2tp", ""),
    ("fou", ""),
    ("ila", ""),
    ("macsec", ""),
    ("tunnel", ""),
    ("tunl", ""),
    ("tuntap", ""),
    ("tap", ""),
    ("token", ""),
    ("tcpmetrics", ""),
    ("tcp_metrics", ""),
    ("monitor", ""),
    ("xfrm", ""),
    ("mroute", ""),
    ("mrule", ""),
    ("netns", "netns"),
    ("netconf", ""),
    ("vrf", ""),
    ("sr", ""),
    ("nexthop", "nexthop"),
    ("mptcp", ""),
    ("ioam", ""),
    ("help", "help"),
    ("stats", ""),
];

/// The options, in iproute2's order; `true`: a value follows.
const OPTIONS: &[(&str, bool)] = &[
    ("-loops", true),
    ("-family", true),
    ("-human", false),
    ("-human-readable", false),
    ("-iec", false),
    ("-stats", false),
    ("-statistics", false),
    ("-details", false),
    ("-resolve", false),
    ("-oneline", false),
    ("-timestamp", false),
    ("-tshort", false),
    ("-Version", false),
    ("-force", false),
    ("-batch", true),
    ("-brief", false),
    ("-json", false),
    ("-pretty", false),
    ("-rcvbuf", true),
    ("-color", false),
    ("-help", false),
    ("-netns", true),
    ("-Numeric", false),
    ("-all", false),
];

/// The objects that are understood.
pub fn objects() -> impl Iterator<Item = &'static str> {
    OBJECTS.iter().filter(|(_, ours)| !ours.is_empty()).map(|(name, _)| *name)
}

/// What can be done with an object, by its word.
#[must_use]
pub fn verbs(object: &str) -> &'static [&'static str] {
    let ours = OBJECTS.iter().find(|(name, _)| !object.is_empty() && name.starts_with(object)).map_or("", |(_, o)| *o);
    match ours {
        "netns" => netns::VERBS,
        "link" => &["add", "delete", "set", "show", "property", "help"],
        "addr" => addr::VERBS,
        "route" => route::VERBS,
        "neigh" => &["add", "change", "replace", "delete", "get", "show", "flush", "help"],
        "rule" => &["add", "delete", "show", "flush", "help"],
        "nexthop" => &["add", "replace", "delete", "get", "show", "flush", "help"],
        _ => &[],
    }
}

/// The keyword of `all` that a word is or begins, the first in order.
fn keyword<'k>(word: &Word, all: &[&'k str]) -> Option<&'k str> {
    all.iter().copied().find(|k| word.matches(k))
}

/// Reads the words of a line, without `ip` or with it. `tables` are the routing tables that have names.
///
/// # Errors
/// `invalid`: a word that can't stand where it stands; `unsupported`: one that only `ip` itself knows. Both name the
/// word and its place.
pub fn parse(all: &[Word], tables: &[(u32, String)]) -> Result<Line> {
    let all = match all.first() {
        Some(first) if first.is("ip") => &all[1..],
        _ => all,
    };
    let mut words = Words::new(all);
    let mut options = Options { tables: tables.to_vec(), ..Options::default() };
    if let Some(command) = read_options(&mut words, &mut options)? {
        return Ok(Line { options, command });
    }
    if let Some(file) = options.batch.clone() {
        let command = Command::Batch(file, options.force);
        return Ok(Line { options, command });
    }
    let command = read_command(words, &options)?;
    Ok(Line { options, command })
}

/// Reads a line of a batch: the same without options (`do_cmd`, ip/ip.c).
///
/// # Errors
/// As of [`parse`].
pub fn parse_command(all: &[Word], options: &Options) -> Result<Command> {
    match all.first() {
        Some(first) if first.is("ip") || first.text.starts_with('-') => {
            Err(first.bad("a line of a batch begins with its object").with_hint("link, addr, route …, without `ip`"))
        }
        _ => read_command(Words::new(all), options),
    }
}

fn read_command(mut words: Words<'_>, options: &Options) -> Result<Command> {
    let Some(object) = words.next() else {
        return Err(Error::invalid("`ip` without an object does nothing")
            .with_hint("ip link, ip addr, ip route, ip neigh, ip netns …; `ip help`"));
    };
    let Some((name, ours)) = OBJECTS.iter().find(|(name, _)| object.matches(name)) else {
        return Err(object.unknown("", OBJECTS.iter().filter(|(_, ours)| !ours.is_empty()).map(|(name, _)| *name)));
    };
    Ok(match *ours {
        "netns" => netns::parse(words, options)?.map_or(Command::Help("netns"), Command::Netns),
        "link" => link::parse(words)?.map_or(Command::Help("link"), Command::Link),
        "addr" => addr::parse(words, options)?.map_or(Command::Help("address"), Command::Addr),
        "route" => route::parse(words, options)?.map_or(Command::Help("route"), Command::Route),
        "neigh" => neigh::parse(words, options)?.map_or(Command::Help("neighbour"), Command::Neigh),
        "rule" => rule::parse(words, options)?.map_or(Command::Help("rule"), Command::Rule),
        "nexthop" => nexthop::parse(words, options)?.map_or(Command::Help("nexthop"), Command::Nexthop),
        "help" => Command::Help(""),
        _ => return Err(object.unsupported(name)),
    })
}

/// Reads the options; a command where one of them is a command by itself.
fn read_options(words: &mut Words<'_>, options: &mut Options) -> Result<Option<Command>> {
    while let Some(word) = words.peek().filter(|w| w.text.starts_with('-')) {
        words.next();
        let text = match word.text.as_str() {
            "--" => break,
            long if long.starts_with("--") => &long[1..],
            short => short,
        };
        match text {
            "-4" => options.family = Some(AF_INET),
            "-6" => options.family = Some(AF_INET6),
            "-0" => options.family = Some(17),
            "-M" => return Err(other_family(word, "mpls")),
            "-B" => return Err(other_family(word, "bridge")),
            // `-c` is brief's neighbour in no table: matches_color() takes `-c`, `-color` and `-color=WHEN`.
            text if text.starts_with("-c") && "-color".starts_with(text.split('=').next().unwrap_or_default()) => {}
            text => {
                let found = OPTIONS.iter().find(|(full, _)| full.starts_with(text) && text.len() > 1);
                let Some((name, valued)) = found else {
                    return Err(word.unknown("", OPTIONS.iter().map(|(name, _)| *name)));
                };
                let value = if *valued { Some(words.value(word)?) } else { None };
                match (*name, value) {
                    ("-family", Some(value)) => options.family = Some(family(value)?),
                    ("-netns", Some(value)) => options.netns = Some(value.clone()),
                    ("-batch", Some(value)) => options.batch = Some(value.clone()),
                    ("-force", _) => options.force = true,
                    ("-stats" | "-statistics", _) => options.stats += 1,
                    ("-details", _) => options.details = true,
                    ("-oneline", _) => options.oneline = true,
                    ("-brief", _) => options.brief = true,
                    ("-json", _) => options.json = true,
                    ("-all", _) => options.all = true,
                    ("-Version", _) => return Ok(Some(Command::Version)),
                    ("-help", _) => return Ok(Some(Command::Help(""))),
                    // -pretty, -Numeric, -human …: how text looks, which is nobody's state.
                    _ => {}
                }
            }
        }
    }
    Ok(None)
}

/// `save`, `restore` and `showdump`: dumps of netlink on standard output and input.
fn no_dump(verb: &Word, object: &str) -> Error {
    verb.unsupported(object).with_hint(format!(
        "what a script changes is restored by its undo; `ip -j {object} show` writes what is there for other programs, and \
         `:save` of a session a script that builds it again"
    ))
}

/// The families of which `ip` knows and these words do not.
fn other_family(word: &Word, name: &str) -> Error {
    let hint = match name {
        "mpls" => "route(100, #{ family: \"mpls\", to: 200, via: \"10.0.0.2\" }) makes a route of MPLS",
        _ => "fdb(…), bridge_vlan(…) and mdb(…) are for bridges; `ip link show type bridge` shows them",
    };
    word.unsupported(&format!("-f {name}")).with_hint(hint)
}

/// A family by name (`read_family`, lib/utils.c).
fn family(word: &Word) -> Result<u8> {
    match word.text.as_str() {
        "inet" => Ok(AF_INET),
        "inet6" => Ok(AF_INET6),
        "link" => Ok(17),
        "mpls" | "bridge" => Err(other_family(word, &word.text)),
        _ => Err(word.bad("this is no family").with_hint("inet, inet6 or link")),
    }
}

/// The family that a word in the line names, before an address (`via inet6 fe80::1`).
fn family_word(word: &Word) -> Option<u8> {
    match word.text.as_str() {
        "inet" => Some(AF_INET),
        "inet6" => Some(AF_INET6),
        _ => None,
    }
}

#[cfg(test)]
#[path = "round_trip/tests.rs"]
mod round_trip;
#[cfg(test)]
mod tests;

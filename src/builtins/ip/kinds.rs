//! The words after `type KIND`, by the kinds' own tables (`builtins/link/KIND.rs`): a kind that is added there is
//! understood here.

use crate::builtins::link::kind::{Base, Choice, Type, encode};
use crate::builtins::link::make::{NEEDED, fill};
use crate::builtins::link::{is_known, port_table, table};
use crate::engine::value::Opts;
use crate::plan::ipwords::{Word, Words, words::parse_number};
use crate::plan::{Error, KindOption, Result};
use rhai::{Array, Dynamic, INT, Map};

/// Other words of `ip link` for the same option.
const ALIASES: &[(&str, &str)] = &[
    ("vni", "id"),
    ("hlim", "ttl"),
    ("hoplimit", "ttl"),
    ("tclass", "tos"),
    ("dsfield", "tos"),
    ("proto", "protocol"),
    ("num_unsol_na", "num_grat_arp"),
    ("mcast_fast_leave", "fastleave"),
];

/// What the options are encoded against.
pub struct Given<'a> {
    /// Looks up a device that an option names.
    pub device: &'a dyn Fn(&str) -> Result<(u32, String)>,
    /// The attributes as they are, of a link that is there.
    pub now: &'a [(u16, Vec<u8>)],
    /// Whether the link is to be made: then `ip` gives some options by itself.
    pub making: bool,
}

/// The options of a kind, or (`bridge_slave`) of a port of a kind.
///
/// # Errors
/// `unsupported` for a kind without a table, `invalid` for words that are not in it.
pub fn options(kind: &Word, all: &[Word], given: &Given<'_>) -> Result<Vec<KindOption>> {
    let table = match kind.text.strip_suffix("_slave") {
        Some(of) => port_table(of),
        None => table(&kind.text),
    };
    let object = format!("link … type {}", kind.text);
    if table.is_empty() {
        return match all.first() {
            None => Ok(Vec::new()),
            Some(word) if is_known(&kind.text) => Err(word.unknown(&object, [])),
            Some(_) => Err(kind.unsupported("link")),
        };
    }
    let mut map = Map::new();
    let mut from: Vec<(&str, &Word)> = Vec::new();
    let mut words = Words::new(all);
    while let Some(word) = words.next() {
        let Some((choice, on)) = find(table, word, &mut words) else {
            return Err(word.unknown(&object, table.iter().map(|c| c.word)));
        };
        from.push((choice.key, words.peek().unwrap_or(word)));
        map.insert(choice.key.into(), value(&kind.text, choice, on, word, &mut words)?);
    }
    if given.making {
        fill(&kind.text, &mut map);
        for (of, key, _) in NEEDED {
            if kind.is(of) && !map.contains_key(*key) && !map.contains_key("external") {
                return Err(kind.bad(format!("the option `{key}` is missing")));
            }
        }
    }
    let known: Vec<&str> = table.iter().map(|c| c.key).collect();
    let device = |value: &Dynamic| -> Result<(u32, String)> {
        let name = value.clone().into_string().map_err(|_| Error::internal("a device that is no word"))?;
        (given.device)(&name)
    };
    let base = Base { now: given.now, device: &device };
    encode(table, &Opts::new(&kind.text, map, &known)?, &base).map_err(|error| {
        let word =
            from.iter().find(|(key, word)| *key == error.target || word.is(&error.target)).map(|(_, word)| *word);
        word.map_or(error.clone(), |word| super::placed(word, error))
    })
}

/// Whether any of the words names a device, such as `dev eth0` of a vxlan.
pub fn names_device(kind: &Word, all: &[Word]) -> bool {
    let table = table(&kind.text);
    all.iter().any(|word| table.iter().any(|c| matches!(c.kind, Type::Dev) && word.is(c.word)))
}

/// The row of a word, and whether it is switched on: as it is, else by another name, else the first that it begins. Of a
/// row of two words (`flag nodst`) the last may stand alone.
fn find<'t>(table: &'t [Choice], word: &Word, words: &mut Words<'_>) -> Option<(&'t Choice, bool)> {
    let exact = |text: &str| table.iter().find(|c| c.word == text);
    let alias = || ALIASES.iter().find(|(other, _)| word.is(other)).and_then(|(_, name)| exact(name));
    let two = || {
        let found = |c: &&Choice| {
            c.word.split_once(' ').is_some_and(|(first, last)| {
                word.is(last) || (word.matches(first) && words.peek().is_some_and(|w| w.is(last)))
            })
        };
        table.iter().find(found)
    };
    if let Some(choice) = exact(&word.text).or_else(alias) {
        return Some((choice, true));
    }
    if let Some(choice) = two() {
        if choice.word.split_once(' ').is_some_and(|(_, last)| !word.is(last)) {
            words.next();
        }
        return Some((choice, true));
    }
    let off = word.text.strip_prefix("no").and_then(exact);
    if let Some(choice) = off.filter(|c| matches!(c.kind, Type::Switch | Type::TunnelFlag(..) | Type::Flag)) {
        return Some((choice, false));
    }
    table.iter().find(|c| word.matches(c.word)).map(|c| (c, true))
}

fn integer(word: &Word, key: &str) -> Result<Dynamic> {
    let number = parse_number(&word.text).and_then(|n| INT::try_from(n).ok());
    number.map(Dynamic::from).ok_or_else(|| word.bad(format!("`{key}` needs a number")))
}

fn on_off(word: &Word, key: &str) -> Result<Dynamic> {
    match word.text.as_str() {
        "on" => Ok(true.into()),
        "off" => Ok(false.into()),
        _ => match parse_number(&word.text) {
            Some(n) => Ok((n != 0).into()),
            None => Err(word.bad(format!("`{key}` is on or off"))),
        },
    }
}

/// The value that follows, as a script would give it.
fn value(kind: &str, choice: &Choice, on: bool, key: &Word, words: &mut Words<'_>) -> Result<Dynamic> {
    let name = choice.word;
    // An integer where it is one: `inherit`, `none` and dotted quads stay text.
    let number_or_text = |word: &Word| integer(word, name).unwrap_or_else(|_| word.text.clone().into());
    Ok(match choice.kind {
        Type::Flag | Type::Switch | Type::TunnelFlag(..) | Type::Bit(..) => on.into(),
        Type::Bool | Type::Bool32 | Type::OnOff | Type::Masked(_) | Type::BoolOpt(_) => {
            on_off(words.value(key)?, name)?
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::Port | Type::Millis => integer(words.value(key)?, name)?,
        // The IPv6 tunnels read these as hexadecimal (ip/link_ip6tnl.c, ip/link_gre6.c).
        Type::FlowInfo(_) if kind.starts_with("ip6") => {
            let word = words.value(key)?;
            let digits = word.text.strip_prefix("0x").unwrap_or(&word.text);
            INT::from_str_radix(digits, 16).map_err(|_| word.bad(format!("`{name}` needs hex digits")))?.into()
        }
        Type::FlowInfo(_) => integer(words.value(key)?, name)?,
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, at most 2^32")]
        Type::Seconds | Type::Hundredths64 => {
            let word = words.value(key)?;
            (integer(word, name)?.as_int().unwrap_or_default() as f64 / 100.0).into()
        }
        Type::Ports => {
            let low = integer(words.value(key)?, name)?;
            let both: Array = vec![low, integer(words.value(key)?, name)?];
            both.into()
        }
        Type::Ips(_) => {
            let all: Array = words.value(key)?.text.split(',').map(|ip| ip.to_string().into()).collect();
            all.into()
        }
        Type::Macs(..) => {
            let mut all = Array::new();
            while words.peek().is_some_and(|w| w.text.contains(':')) {
                all.extend(words.next().map(|w| w.text.clone().into()));
            }
            all.into()
        }
        Type::Map => {
            let mut all: Array = vec![words.value(key)?.text.clone().into()];
            while words.peek().is_some_and(|w| w.text.contains(':')) {
                all.extend(words.next().map(|w| w.text.clone().into()));
            }
            all.into()
        }
        Type::Names(_, names) => {
            let word = words.value(key)?;
            let number = parse_number(&word.text).and_then(|n| names.iter().find(|(_, v)| *v == n));
            number.map_or_else(|| word.text.clone(), |(name, _)| (*name).to_string()).into()
        }
        Type::Ttl(..) | Type::Tos | Type::EncapLimit(_) | Type::Key(..) => number_or_text(words.value(key)?),
        _ => words.value(key)?.text.clone().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtins::link::KINDS;
    use crate::plan::ipwords::split;

    fn device(name: &str) -> Result<(u32, String)> {
        Ok((7, name.into()))
    }

    /// A value of the type, as a script gives it.
    fn sample(kind: Type) -> Dynamic {
        let list = |all: &[&str]| all.iter().map(|t| Dynamic::from((*t).to_string())).collect::<Array>().into();
        match kind {
            Type::Bool | Type::Bool32 | Type::OnOff | Type::Masked(_) => true.into(),
            Type::Switch | Type::Flag | Type::Bit(..) | Type::TunnelFlag(..) => true.into(),
            Type::Seconds => 2.5.into(),
            Type::Ports => vec![Dynamic::from(10 as INT), Dynamic::from(20 as INT)].into(),
            Type::Mac => "02:00:00:00:00:01".into(),
            Type::EtherType(names) => names[names.len() - 1].0.into(),
            Type::Macs(..) => list(&["02:00:00:00:00:01", "02:00:00:00:00:02"]),
            Type::Prefix(_, six) => if six { "2001:db8::/32" } else { "10.0.0.0/8" }.into(),
            Type::Names(_, names) => names[names.len() - 1].0.into(),
            Type::Ip(_) | Type::Remote(_) => "10.0.0.1".into(),
            Type::Group(_) => "239.0.0.1".into(),
            Type::Ip6 => "fd00::1".into(),
            Type::Ips(six) => list(if six { &["fd00::1", "fd00::2"] } else { &["10.0.0.1", "10.0.0.2"] }),
            Type::Dev => "eth0".into(),
            Type::Map => list(&["1:2", "3:4"]),
            Type::Hex64 => "0011223344556677".into(),
            _ => (5 as INT).into(),
        }
    }

    /// What the tables write of each option is read back as the same attributes.
    #[test]
    fn words_of_every_option_are_read_back() {
        let (mut tried, mut wrong) = (0, Vec::new());
        for (kind, options, port) in KINDS {
            for (name, table) in [((*kind).to_string(), *options), (format!("{kind}_slave"), *port)] {
                for choice in table {
                    let mut map = Map::new();
                    map.insert(choice.key.into(), sample(choice.kind));
                    let find = |v: &Dynamic| device(&v.clone().into_string().unwrap_or_default());
                    let opts = Opts::new(kind, map, &[choice.key]).expect("an option");
                    let made = encode(table, &opts, &Base { now: &[], device: &find }).expect("a value of the type");
                    let text: Vec<&str> = made.iter().map(|o| o.words.as_str()).collect();
                    let words = split(&text.join(" ")).expect("words");
                    let word = Word { text: name.clone(), column: 1, number: 1 };
                    let given = Given { device: &device, now: &[], making: false };
                    tried += 1;
                    match super::options(&word, &words, &given) {
                        Ok(read) if read == made => {}
                        other => wrong.push(format!("{name} {text:?}: {other:?}, not {made:?}")),
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(tried > 100, "only {tried} options");
    }
}

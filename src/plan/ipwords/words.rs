//! A line as words with their places, and the reading of values. `ip` is forgiving with keywords (most may be cut to
//! any of their beginnings) and so is this; what it does not know it names, with its place in the line.

use super::super::addr::{parse_cidr, parse_ip};
use super::super::error::{Error, Kind, Result};
use super::super::link::parse_mac;
use super::super::nearest;
use ipnet::IpNet;
use std::net::IpAddr;

/// A word, and where it begins in the line: from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub column: usize,
    /// Which word of the line it is, from 1.
    pub number: usize,
}

impl Word {
    /// Whether it is `full`, or a beginning of it.
    #[must_use]
    pub fn matches(&self, full: &str) -> bool {
        !self.text.is_empty() && full.starts_with(&self.text)
    }

    #[must_use]
    pub fn is(&self, full: &str) -> bool {
        self.text == full
    }

    /// An error about this word: `what` follows it and its place.
    #[must_use]
    pub fn bad(&self, what: impl std::fmt::Display) -> Error {
        self.error(Kind::Invalid, what)
    }

    /// A word that `ip` knows and nsscript does not.
    #[must_use]
    pub fn unsupported(&self, object: &str) -> Error {
        self.error(Kind::Unsupported, format!("`ip {object}` can't do this here yet")).with_hint(
            "exec_in(ns, \"ip …\") runs the program; in a namespace that the script made what it does is undone",
        )
    }

    /// An error of a kind about this word.
    #[must_use]
    pub fn error(&self, kind: Kind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("`{}` (word {}, column {}): {what}", self.text, self.number, self.column))
            .with_target(&self.text)
    }

    /// A word that nothing in the grammar of `object` takes; the nearest of `known` is proposed.
    #[must_use]
    pub fn unknown<'k>(&self, object: &str, known: impl IntoIterator<Item = &'k str>) -> Error {
        let known: Vec<&str> = known.into_iter().collect();
        let error = self.bad(format!("`ip {object}` knows no such word"));
        match nearest(&self.text, known.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => error,
            None => error.with_hint(format!("it knows: {}", known.join(" "))),
        }
    }
}

/// Splits a line as a shell splits words: white space; `'…'`, `"…"` and `\` keep it. What follows a word that begins with
/// `#` or `//` is a comment.
///
/// # Errors
/// `invalid`: an open quote, or a NUL.
pub fn split(line: &str) -> Result<Vec<Word>> {
    let mut all: Vec<Word> = Vec::new();
    let mut word: Option<(String, usize)> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut chars = line.chars().enumerate().map(|(at, c)| (at + 1, c)).peekable();
    let mut finish = |word: &mut Option<(String, usize)>| {
        if let Some((text, column)) = word.take() {
            let number = all.len() + 1;
            all.push(Word { text, column, number });
        }
    };
    while let Some((column, c)) = chars.next() {
        let begun = word.is_some();
        match (quote, c) {
            (_, '\0') => return Err(Error::invalid(format!("the line has a NUL at column {column}"))),
            (Some((q, _)), c) if c == q => quote = None,
            (Some(('"', _)) | None, '\\') => {
                let next = chars.next().map_or('\\', |(_, c)| c);
                word.get_or_insert_with(|| (String::new(), column)).0.push(next);
            }
            (None, '\'' | '"') => {
                quote = Some((c, column));
                word.get_or_insert_with(|| (String::new(), column));
            }
            (None, c) if c.is_whitespace() => finish(&mut word),
            (None, '#') if !begun => break,
            (None, '/') if !begun && chars.peek().is_some_and(|(_, c)| *c == '/') => break,
            (_, c) => word.get_or_insert_with(|| (String::new(), column)).0.push(c),
        }
    }
    if let Some((q, column)) = quote {
        return Err(Error::invalid(format!("the quote {q} at column {column} is not closed")));
    }
    finish(&mut word);
    Ok(all)
}

/// The words that are still to be read.
#[derive(Clone, Debug)]
pub struct Words<'w> {
    all: &'w [Word],
    at: usize,
}

impl<'w> Words<'w> {
    #[must_use]
    pub fn new(all: &'w [Word]) -> Words<'w> {
        Words { all, at: 0 }
    }

    #[must_use]
    pub fn peek(&self) -> Option<&'w Word> {
        self.all.get(self.at)
    }

    #[must_use]
    pub fn rest(&self) -> &'w [Word] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// The value after the keyword `key`.
    ///
    /// # Errors
    /// `invalid`: the line ends there.
    pub fn value(&mut self, key: &Word) -> Result<&'w Word> {
        self.next().ok_or_else(|| key.bad("the line ends where its value should be"))
    }

    /// Takes the next word if it is `full`.
    pub fn take(&mut self, full: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.is(full));
        if found {
            self.at += 1;
        }
        found
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// `invalid`, naming the word.
    pub fn end(&mut self, object: &str) -> Result<()> {
        self.next().map_or(Ok(()), |w| Err(w.unknown(object, [])))
    }

    /// A number after `key`, decimal, `0x…` or octal `0…` as strtoul(3) reads it.
    ///
    /// # Errors
    /// `invalid`: none, or beyond `max`.
    pub fn number(&mut self, key: &Word, max: u64) -> Result<u64> {
        let word = self.value(key)?;
        number(word, &key.text, max)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    /// As of [`Words::number`].
    pub fn u32(&mut self, key: &Word) -> Result<u32> {
        Ok(u32::try_from(self.number(key, u64::from(u32::MAX))?).unwrap_or(u32::MAX))
    }

    /// `on` or `off`.
    ///
    /// # Errors
    /// `invalid`.
    pub fn on_off(&mut self, key: &Word) -> Result<bool> {
        let word = self.value(key)?;
        match word.text.as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(word.bad(format!("`{}` is `on` or `off`", key.text))),
        }
    }

    /// A link-layer address.
    ///
    /// # Errors
    /// `invalid`.
    pub fn mac(&mut self, key: &Word) -> Result<Vec<u8>> {
        let word = self.value(key)?;
        parse_mac(&word.text).ok_or_else(|| {
            let error = word.bad("this is no MAC address: six pairs of hex digits");
            match key.text.as_str() {
                "address" | "broadcast" | "brd" | "lladdr" => error,
                // A device that is called `a` or `b`.
                cut => {
                    error.with_hint(format!("`{cut}` is read as a keyword, as `ip` reads it; `dev {cut}` is a device"))
                }
            }
        })
    }
}

impl<'w> Iterator for Words<'w> {
    type Item = &'w Word;

    fn next(&mut self) -> Option<&'w Word> {
        let word = self.all.get(self.at)?;
        self.at += 1;
        Some(word)
    }
}

/// A number as strtoul(3) reads it with base 0.
#[must_use]
pub fn parse_number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if lower.len() > 1 && lower.starts_with('0') => u64::from_str_radix(&lower, 8).ok(),
        None => lower.parse().ok(),
    }
    .filter(|_| !lower.contains('+'))
}

/// A number from 0 to `max`.
///
/// # Errors
/// `invalid`.
pub fn number(word: &Word, key: &str, max: u64) -> Result<u64> {
    match parse_number(&word.text) {
        Some(n) if n <= max => Ok(n),
        Some(_) => Err(word.bad(format!("`{key}` is at most {max}"))),
        None => Err(word.bad(format!("`{key}` needs a number"))),
    }
}

/// An address; of `family` where that is given (`AF_INET`, `AF_INET6`).
///
/// # Errors
/// `invalid`.
pub fn address(word: &Word, family: Option<u8>) -> Result<IpAddr> {
    if matches!(word.text.as_str(), "any" | "all" | "default") {
        let six = family == Some(super::super::record::AF_INET6);
        return Ok(if six {
            IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        });
    }
    let ip = loose_v4(&word.text).map_or_else(|| parse_ip(&word.text), |ip| Ok(IpAddr::V4(ip)));
    let ip = ip.map_err(|e| place(word, e))?;
    family_fits(word, ip, family)?;
    Ok(ip)
}

/// IPv4 addresses with fewer than four numbers, as `ip` takes them: `10.1` is 10.1.0.0.
fn loose_v4(text: &str) -> Option<std::net::Ipv4Addr> {
    let mut bytes = [0u8; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.is_empty() || parts.len() > 4 {
        return None;
    }
    for (slot, part) in bytes.iter_mut().zip(&parts) {
        *slot = u8::try_from(parse_number(part)?).ok()?;
    }
    Some(bytes.into())
}

/// An address with a prefix length, which is full where it is left out; the flag says whether it was given. `default`,
/// `any` and `all` are `None`.
///
/// # Errors
/// `invalid`.
pub fn prefix(word: &Word, family: Option<u8>) -> Result<(Option<IpNet>, bool)> {
    if matches!(word.text.as_str(), "any" | "all" | "default") {
        return Ok((None, false));
    }
    let (ip, length) = match word.text.split_once('/') {
        Some((ip, length)) => (ip, Some(length)),
        None => (word.text.as_str(), None),
    };
    // `10/8` and `10.1/16` are short forms of IPv4.
    let text = match (loose_v4(ip), length) {
        (Some(ip), Some(length)) => format!("{ip}/{}", mask_length(length).unwrap_or_else(|| length.to_string())),
        (Some(ip), None) => ip.to_string(),
        _ => word.text.clone(),
    };
    let net = parse_cidr(&text).map_err(|e| place(word, e))?;
    family_fits(word, net.addr(), family)?;
    Ok((Some(net), length.is_some()))
}

/// `255.255.0.0` as a length.
fn mask_length(text: &str) -> Option<String> {
    let bits = u32::from(text.parse::<std::net::Ipv4Addr>().ok()?);
    (bits.leading_ones() + bits.trailing_zeros() == 32).then(|| bits.leading_ones().to_string())
}

fn family_fits(word: &Word, ip: IpAddr, family: Option<u8>) -> Result<()> {
    match family {
        Some(family) if family != super::super::addr::family(ip) => {
            let wanted = if family == super::super::record::AF_INET6 { "IPv6" } else { "IPv4" };
            Err(word.bad(format!("{wanted} is expected here")))
        }
        _ => Ok(()),
    }
}

/// Gives an error about a value the place of its word.
#[must_use]
pub fn place(word: &Word, error: Error) -> Error {
    let mut placed = word.error(error.kind, &error.message);
    placed.hint = error.hint;
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let all = split(r#"ip  link set 'a b' alias "x \" y" \# up # down"#).expect("words");
        let texts: Vec<&str> = all.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["ip", "link", "set", "a b", "alias", "x \" y", "#", "up"]);
        assert_eq!((all[1].column, all[3].column, all[3].number), (5, 14, 4));
        let all = split("ip link set dev veth1 netns ns0  // namespace").expect("words");
        assert_eq!(all.last().map(|w| w.text.as_str()), Some("ns0"));
        assert!(split("alias 'x").is_err());
        assert!(split("a\0b").is_err());
    }

    #[test]
    fn numbers_and_prefixes_as_ip_reads_them() {
        for (text, wanted) in
            [("10", Some(10)), ("0x10", Some(16)), ("010", Some(8)), ("0", Some(0)), ("+1", None), ("1k", None)]
        {
            assert_eq!(parse_number(text), wanted, "{text}");
        }
        let word = |text: &str| Word { text: text.into(), column: 1, number: 1 };
        for (text, wanted) in [
            ("10/8", "10.0.0.0/8"),
            ("10.1/16", "10.1.0.0/16"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
            ("fd00::1/64", "fd00::1/64"),
        ] {
            assert_eq!(prefix(&word(text), None).expect(text).0.map(|n| n.to_string()).as_deref(), Some(wanted));
        }
        assert!(prefix(&word("fd00::1"), Some(2)).is_err());
        assert!(prefix(&word("10.0.0.1/33"), None).is_err());
    }
}

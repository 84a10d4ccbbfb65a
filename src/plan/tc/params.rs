//! The options of a qdisc, class, filter or action: texts by name, as a script or a command line gives them, and typed
//! values, as the kernel shows them.

use crate::plan::error::{Error, Result};
use crate::plan::{ip, nearest, unit};
use std::collections::BTreeMap;

/// A value that the kernel shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set.
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
    /// Bits a second.
    Rate(u64),
    /// Nanoseconds.
    Time(i64),
    /// Bytes.
    Size(u64),
    Percent(f64),
    /// A part of one.
    Share(f64),
}

impl Value {
    /// As `tc` takes it.
    #[must_use]
    pub fn words(&self, key: &str) -> String {
        match self {
            Value::None => String::new(),
            Value::Bool(b) => b.to_string(),
            // The class for the rest is read as hexadecimal (htb_parse_opt, tc/q_htb.c).
            Value::Int(n) if key == "default" => format!("{n:#x}"),
            Value::Int(n) => n.to_string(),
            Value::Text(t) => t.clone(),
            Value::List(all) => all.iter().map(|v| v.words(key)).collect::<Vec<_>>().join(" "),
            Value::Map(all) => all.iter().map(|(k, v)| format!("{k} {}", v.words(k))).collect::<Vec<_>>().join(" "),
            Value::Rate(bits) => unit::rate_text(*bits),
            Value::Time(ns) => unit::time_text(*ns),
            Value::Size(n) => format!("{n}b"),
            Value::Percent(p) => format!("{}%", (p * 1e4).round() / 1e4),
            Value::Share(p) => format!("{}", (p * 1e6).round() / 1e6),
        }
    }
}

/// Options by name. Each is asked for by the kind that knows it; what nobody asked for is an error that names the
/// nearest of those that were.
#[derive(Clone, Debug, Default)]
pub struct Params {
    map: BTreeMap<String, String>,
    asked: Vec<&'static str>,
    /// What the kind was told, as the words of `tc`.
    words: Vec<String>,
    what: String,
}

impl Params {
    /// `what` is for messages: `htb`.
    #[must_use]
    pub fn new(what: impl Into<String>, map: BTreeMap<String, String>) -> Params {
        Params { map, asked: Vec::new(), words: Vec::new(), what: what.into() }
    }

    /// Names that are read elsewhere.
    pub fn known(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// The text of an option; it is not asked for again.
    pub fn take(&mut self, key: &'static str) -> Option<String> {
        self.asked.push(key);
        self.map.remove(key)
    }

    /// Whether an option is given, now or before it is asked for.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Adds words to the equivalent command.
    pub fn say(&mut self, words: impl Into<String>) {
        self.words.push(words.into());
    }

    /// What follows the kind in the equivalent command, with a blank in front, or nothing.
    #[must_use]
    pub fn words(&self) -> String {
        self.words.iter().fold(String::new(), |all, w| all + " " + w.as_str())
    }

    /// The error of a value that can't be.
    #[must_use]
    pub fn wrong(&self, key: &str, value: &str, wanted: &str) -> Error {
        Error::invalid(format!("option `{key}` of {} can't be `{value}`: it is {wanted}", self.what)).with_target(key)
    }

    fn parsed<T>(&mut self, key: &'static str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let value = parse(&text).ok_or_else(|| self.wrong(key, &text, wanted))?;
        self.say(format!("{key} {}", ip::word(&text)));
        Ok(Some(value))
    }

    /// Text, said as it is.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let text = self.take(key)?;
        self.say(format!("{key} {}", ip::word(&text)));
        Some(text)
    }

    /// A rate, in bytes a second.
    ///
    /// # Errors
    /// `invalid`.
    pub fn rate(&mut self, key: &'static str) -> Result<Option<u64>> {
        self.parsed(key, "a rate: \"10mbit\", \"1.5gbit\", \"64kbps\" (bytes)", |t| unit::rate(t).ok())
    }

    /// A size in bytes.
    ///
    /// # Errors
    /// `invalid`.
    pub fn size(&mut self, key: &'static str) -> Result<Option<u32>> {
        self.parsed(key, "a size: \"1600b\", \"32kb\", \"1mb\", or bytes as a number", |t| {
            unit::size(t).ok().and_then(|n| u32::try_from(n).ok())
        })
    }

    /// A time in nanoseconds. A bare number is not taken: `tc` means microseconds by it, other functions seconds.
    ///
    /// # Errors
    /// `invalid`.
    pub fn time(&mut self, key: &'static str) -> Result<Option<i64>> {
        self.parsed(key, "a time with its unit: \"10ms\", \"1.5s\", \"200us\"", time)
    }

    /// A percentage as a fraction of `u32::MAX` (`set_percent`, tc/q_netem.c).
    ///
    /// # Errors
    /// `invalid`.
    pub fn percent(&mut self, key: &'static str) -> Result<Option<u32>> {
        self.parsed(key, "a percentage: \"1%\", \"0.5%\"", |t| unit::percent(t).ok())
    }

    /// A part of one: a number, or a percentage.
    ///
    /// # Errors
    /// `invalid`.
    pub fn share(&mut self, key: &'static str) -> Result<Option<f64>> {
        self.parsed(key, "a probability: 0.02, \"2%\"", |text| {
            let share = match text.strip_suffix('%') {
                Some(percent) => percent.parse::<f64>().ok()? / 100.0,
                None => text.parse().ok()?,
            };
            (share > 0.0 && share < 1.0).then_some(share)
        })
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// `invalid`.
    pub fn int(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(key, &wanted, |t| number(t).filter(|n| range.contains(n)))
    }

    /// A whole number from 0 to `max`.
    ///
    /// # Errors
    /// `invalid`.
    pub fn u32(&mut self, key: &'static str, max: u32) -> Result<Option<u32>> {
        Ok(self.int(key, 0..=i64::from(max))?.and_then(|n| u32::try_from(n).ok()))
    }

    /// True or false; said as `on` or `off`, the words of either.
    ///
    /// # Errors
    /// `invalid`.
    pub fn flag(&mut self, key: &'static str, on: &str, off: &str) -> Result<Option<bool>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let value = match text.as_str() {
            "true" | "on" | "1" => true,
            "false" | "off" | "0" => false,
            _ => return Err(self.wrong(key, &text, "true or false")),
        };
        let words = if value { on } else { off };
        if !words.is_empty() {
            self.say(words);
        }
        Ok(Some(value))
    }

    /// One of several words.
    ///
    /// # Errors
    /// `invalid`.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, all: &[(&str, T)]) -> Result<Option<T>> {
        let words = all.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
        self.parsed(key, &format!("one of {words}"), |t| all.iter().find(|(w, _)| *w == t).map(|(_, v)| *v))
    }

    /// Everything was asked for.
    ///
    /// # Errors
    /// `invalid` for an option that nobody knows.
    pub fn finish(&self) -> Result<()> {
        let Some(key) = self.map.keys().next() else { return Ok(()) };
        let error = Error::invalid(format!("{} has no option `{key}`", self.what)).with_target(key);
        Err(match nearest(key, self.asked.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None if self.asked.is_empty() => error.with_hint("it has no options"),
            None => {
                let mut asked = self.asked.clone();
                asked.sort_unstable();
                asked.dedup();
                error.with_hint(format!("its options are: {}", asked.join(", ")))
            }
        })
    }
}

/// A whole number, decimal or `0x…`.
#[must_use]
pub fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A time in nanoseconds, with its unit.
#[must_use]
pub fn time(text: &str) -> Option<i64> {
    if text.parse::<f64>().is_ok_and(|n| n != 0.0) {
        return None;
    }
    i64::try_from(unit::duration(text).ok()?.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_is_an_error() {
        let map = [("rate", "10mbit"), ("busrt", "5kb")].map(|(k, v)| (k.to_string(), v.to_string()));
        let mut params = Params::new("tbf", map.into());
        assert_eq!(params.rate("rate").ok(), Some(Some(1_250_000)));
        assert_eq!(params.size("burst").ok(), Some(None));
        let error = params.finish().expect_err("an unknown option");
        assert_eq!(error.hint.as_deref(), Some("did you mean `burst`?"));
        assert_eq!(params.words(), " rate 10mbit");
    }

    #[test]
    fn a_time_needs_a_unit() {
        assert_eq!(time("10ms"), Some(10_000_000));
        assert_eq!(time("0"), Some(0));
        assert_eq!(time("10"), None);
    }
}

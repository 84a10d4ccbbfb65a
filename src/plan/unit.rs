//! Values with units, as `tc` writes them (tc(8), "PARAMETERS").

use super::error::{Error, Result};
use std::time::Duration;

/// Splits a number from its unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim()))
}

/// A time: `10ms`, `1.5s`, `200us`, `2min`; a bare number is seconds.
///
/// # Errors
/// `invalid`: no number, or an unknown unit.
pub fn duration(text: &str) -> Result<Duration> {
    let bad = || {
        Error::invalid(format!("`{text}` is not a time"))
            .with_target(text)
            .with_hint("a number and ns, us, ms, s, min or h: \"100ms\"")
    };
    let (number, unit) = split(text).ok_or_else(bad)?;
    let factor = match unit {
        "ns" | "nsec" | "nsecs" => 1e-9,
        "us" | "usec" | "usecs" => 1e-6,
        "ms" | "msec" | "msecs" => 1e-3,
        "s" | "sec" | "secs" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(number * factor).map_err(|_| bad())
}

/// A rate in bytes a second: `10mbit`, `1.5gbit`, `64kbps` (bytes), `1mibit`; a bare number is bits a second
/// (`get_rate64`, lib/utils.c of iproute2).
///
/// # Errors
/// `invalid`: no number, or an unknown unit.
pub fn rate(text: &str) -> Result<u64> {
    let bad = || {
        Error::invalid(format!("`{text}` is not a rate"))
            .with_target(text)
            .with_hint("a number and kbit, mbit, gbit (bits a second) or kbps, mbps (bytes a second): \"10mbit\"")
    };
    let (number, unit) = split(text).ok_or_else(bad)?;
    let unit = unit.to_ascii_lowercase();
    let (prefix, bits) = if let Some(prefix) = unit.strip_suffix("bit") {
        (prefix, 1.0)
    } else if let Some(prefix) = unit.strip_suffix("bps") {
        (prefix, 8.0)
    } else {
        (unit.as_str(), 1.0)
    };
    let factor = match prefix {
        "" => 1.0,
        "k" => 1e3,
        "ki" => 1024.0,
        "m" => 1e6,
        "mi" => 1024.0 * 1024.0,
        "g" => 1e9,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        "t" => 1e12,
        "ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    // Whole bytes, as the kernel counts.
    whole(number * factor * bits / 8.0).ok_or_else(bad)
}

/// A size in bytes: `1600b`, `32kb`, `1mb`, `8kbit`; a bare number is bytes (`get_size`, lib/utils.c of iproute2).
///
/// # Errors
/// `invalid`: no number, or an unknown unit.
pub fn size(text: &str) -> Result<u64> {
    let bad = || {
        Error::invalid(format!("`{text}` is not a size"))
            .with_target(text)
            .with_hint("a number and b, kb, mb or gb (of 1024): \"32kb\"")
    };
    let (number, unit) = split(text).ok_or_else(bad)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1024.0,
        "m" | "mb" => 1024.0 * 1024.0,
        "g" | "gb" => 1024.0 * 1024.0 * 1024.0,
        "kbit" => 1024.0 / 8.0,
        "mbit" => 1024.0 * 1024.0 / 8.0,
        "gbit" => 1024.0 * 1024.0 * 1024.0 / 8.0,
        _ => return Err(bad()),
    };
    whole(number * factor).ok_or_else(bad)
}

/// A percentage as a fraction of `u32::MAX`: `1%`, `0.5%`, or just the number (`get_percent`, tc/q_netem.c).
///
/// # Errors
/// `invalid`: no number from 0 to 100.
pub fn percent(text: &str) -> Result<u32> {
    let bad = || {
        Error::invalid(format!("`{text}` is not a percentage")).with_target(text).with_hint("from \"0%\" to \"100%\"")
    };
    let (number, unit) = split(text).ok_or_else(bad)?;
    if !matches!(unit, "" | "%") || number > 100.0 {
        return Err(bad());
    }
    whole((number / 100.0 * f64::from(u32::MAX)).round()).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad)
}

fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (number.is_finite() && (0.0..1.8e19).contains(&number)).then_some(number as u64)
}

/// Bits a second as `tc` takes and shows them: `10mbit`, `1500kbit`, `8bit`.
#[must_use]
pub fn rate_text(bits: u64) -> String {
    for (unit, name) in [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")] {
        if bits >= unit && bits.is_multiple_of(unit) {
            return format!("{}{name}", bits / unit);
        }
    }
    format!("{bits}bit")
}

/// Nanoseconds in the largest unit that leaves them whole: `10ms`, `1500us`, `2s`.
#[must_use]
pub fn time_text(ns: i64) -> String {
    for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")] {
        if ns != 0 && ns % unit == 0 {
            return format!("{}{name}", ns / unit);
        }
    }
    format!("{ns}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(duration("100ms").ok(), Some(Duration::from_millis(100)));
        assert_eq!(duration("1.5s").ok(), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2").ok(), Some(Duration::from_secs(2)));
        for bad in ["", "ms", "1 parsec", "-1s", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_sizes_are_those_of_tc() {
        for (text, bytes) in [
            ("10mbit", 1_250_000),
            ("1.5gbit", 187_500_000),
            ("64kbps", 64_000),
            ("1000", 125),
            ("8kibit", 1024),
            ("1Mbit", 125_000),
            ("40gbit", 5_000_000_000),
        ] {
            assert_eq!(rate(text).ok(), Some(bytes), "{text}");
        }
        for (text, bytes) in [("1600b", 1600), ("32kb", 32768), ("1.5k", 1536), ("1mb", 1_048_576), ("7", 7)] {
            assert_eq!(size(text).ok(), Some(bytes), "{text}");
        }
        assert_eq!(percent("100%").ok(), Some(u32::MAX));
        assert_eq!(percent("50").ok(), Some(0x8000_0000));
        for bad in ["", "mbit", "10 parsec", "-1mbit", "101%"] {
            assert!(rate(bad).is_err() && size(bad).is_err() && percent(bad).is_err(), "{bad}");
        }
        assert_eq!(rate_text(10_000_000), "10mbit");
        assert_eq!(rate_text(1_500_000), "1500kbit");
        assert_eq!(time_text(1_500_000), "1500us");
    }
}

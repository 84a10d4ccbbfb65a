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
}

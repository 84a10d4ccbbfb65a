//! Traffic control: qdiscs, classes and filters as records, their options as `tc` names them, and the way from one
//! tree of them to another.

pub mod action;
pub mod class;
pub mod filter;
mod netem;
pub mod params;
pub mod qdisc;
mod record;
mod red;
mod tree;

pub use params::{Params, Value};
pub use record::{of, sendable};
pub use tree::{Step, again, clash, is_placeholder, orphans, steps};

use super::error::{Error, Result};
use super::record::{Rec, What};
use super::{ip, nla};

// include/uapi/linux/rtnetlink.h
pub const TCA_KIND: u16 = 1;
pub const TCA_OPTIONS: u16 = 2;
pub const TCA_XSTATS: u16 = 4;
pub const TCA_STATS2: u16 = 7;
pub const TCA_STAB: u16 = 8;
pub const TCA_CHAIN: u16 = 11;
pub const TCA_INGRESS_BLOCK: u16 = 13;
pub const TCA_EGRESS_BLOCK: u16 = 14;
// include/uapi/linux/pkt_sched.h
/// The parent of a device's outermost qdisc, and of an outermost class.
pub const ROOT: u32 = 0xffff_ffff;
/// The parent of `ingress` and `clsact`; their handle is always `ffff:`.
pub const CLSACT: u32 = 0xffff_fff1;
pub const CLSACT_HANDLE: u32 = 0xffff_0000;
/// What filters of `ingress` and `clsact` hang on.
pub const INGRESS: u32 = 0xffff_fff2;
pub const EGRESS: u32 = 0xffff_fff3;
/// `TCM_IFINDEX_MAGIC_BLOCK`: in place of an ifindex, of the filters of a shared block.
pub const SHARED_BLOCK: u32 = 0xffff_ffff;
/// One tick of the scheduler's clock in nanoseconds (`PSCHED_SHIFT`, include/net/pkt_sched.h).
pub const TICK: u64 = 64;

/// Bytes of `struct tcmsg`.
pub const HEADER: usize = 20;

/// `struct tcmsg`.
#[must_use]
pub fn header(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [index, handle, parent, info] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// The upper half of a handle: which qdisc.
#[must_use]
pub fn major(handle: u32) -> u32 {
    handle & 0xffff_0000
}

/// The lower half: which class of it.
#[must_use]
pub fn minor(handle: u32) -> u32 {
    handle & 0xffff
}

impl Rec {
    /// Whether it is a qdisc, a class or a filter.
    #[must_use]
    pub fn is_tc(&self) -> bool {
        matches!(self.what, What::Qdisc | What::Class | What::Filter)
    }

    fn word(&self, at: usize) -> u32 {
        self.body.get(at..at + 4).and_then(nla::u32_of).unwrap_or_default()
    }

    /// The device (`tcm_ifindex`).
    #[must_use]
    pub fn tc_index(&self) -> u32 {
        self.word(4)
    }

    /// The handle of a qdisc, class or filter.
    #[must_use]
    pub fn tc_handle(&self) -> u32 {
        self.word(8)
    }

    /// What it hangs on.
    #[must_use]
    pub fn tc_parent(&self) -> u32 {
        self.word(12)
    }

    /// Of a filter: its priority, and the protocol (host order).
    #[must_use]
    pub fn tc_prio(&self) -> (u32, u16) {
        let info = self.word(16);
        (info >> 16, u16::from_be((info & 0xffff) as u16))
    }

    /// The kind: `htb`, `u32` …
    #[must_use]
    pub fn tc_kind(&self) -> String {
        self.attr(TCA_KIND).map(nla::text).unwrap_or_default()
    }

    /// The kind's own options.
    #[must_use]
    pub fn tc_options(&self) -> &[u8] {
        self.attr(TCA_OPTIONS).unwrap_or_default()
    }
}

/// A handle as `tc` writes it: `1:`, `1:10`, `root`, `ingress`, `none`; hexadecimal.
#[must_use]
pub fn handle_text(handle: u32) -> String {
    match handle {
        ROOT => "root".into(),
        0 => "none".into(),
        CLSACT => "clsact".into(),
        INGRESS => "ingress".into(),
        EGRESS => "egress".into(),
        _ if minor(handle) == 0 => format!("{:x}:", handle >> 16),
        _ if major(handle) == 0 => format!(":{:x}", minor(handle)),
        _ => format!("{:x}:{:x}", handle >> 16, minor(handle)),
    }
}

/// Reads what [`handle_text`] writes.
///
/// # Errors
/// `invalid`.
pub fn parse_handle(text: &str) -> Result<u32> {
    let bad = || {
        Error::invalid(format!("`{text}` is not a handle")).with_target(text).with_hint(
            "as tc writes it, hexadecimal: \"1:\" for a qdisc, \"1:10\" for a class, or \"root\", \"ingress\"",
        )
    };
    let half = |digits: &str| match digits {
        "" => Some(0),
        _ if digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(digits, 16).ok(),
        _ => None,
    };
    match text {
        "root" => Ok(ROOT),
        "ingress" => Ok(INGRESS),
        "egress" => Ok(EGRESS),
        "clsact" => Ok(CLSACT),
        _ => {
            let (upper, lower) = text.split_once(':').ok_or_else(bad)?;
            if upper.is_empty() && lower.is_empty() {
                return Err(bad());
            }
            Ok(half(upper).ok_or_else(bad)? << 16 | half(lower).ok_or_else(bad)?)
        }
    }
}

/// The handle of a qdisc: `1:`, or just its number as `tc` takes it, hexadecimal.
///
/// # Errors
/// `invalid`.
pub fn parse_qdisc_handle(text: &str) -> Result<u32> {
    let handle = if text.contains(':') { parse_handle(text)? } else { parse_handle(&format!("{text}:"))? };
    if minor(handle) != 0 || handle == 0 {
        return Err(Error::invalid(format!("`{text}` is not the handle of a qdisc"))
            .with_target(text)
            .with_hint("a qdisc's handle has nothing after the colon: \"1:\""));
    }
    Ok(handle)
}

/// Where it is, as the words of `tc` say: `dev eth0 root handle 1:`.
#[must_use]
pub fn place_words(what: What, dev: &str, handle: u32, parent: u32) -> String {
    let mut out = if dev.is_empty() { String::new() } else { format!("dev {}", ip::word(dev)) };
    match (what, parent) {
        (What::Qdisc, CLSACT) => return out,
        (What::Class, ROOT) => out += &format!(" parent {:x}:", handle >> 16),
        (_, ROOT) => out += " root",
        (What::Filter, INGRESS) => out += " ingress",
        (What::Filter, EGRESS) => out += " egress",
        (What::Filter, CLSACT_HANDLE) => out += " parent ffff:",
        _ => out += &format!(" parent {}", handle_text(parent)),
    }
    match (what, handle) {
        (_, 0) | (What::Filter, _) => {}
        (What::Class, _) => out += &format!(" classid {}", handle_text(handle)),
        _ => out += &format!(" handle {}", handle_text(handle)),
    }
    out.trim_start().to_string()
}

/// What follows `tc qdisc add`, of a record; `name` gives devices their names.
#[must_use]
pub fn words(rec: &Rec, name: impl Fn(u32) -> String) -> String {
    let dev = if rec.tc_index() == SHARED_BLOCK { String::new() } else { name(rec.tc_index()) };
    let kind = rec.tc_kind();
    let mut out = place_words(rec.what, &dev, rec.tc_handle(), rec.tc_parent());
    let options = match rec.what {
        What::Qdisc => qdisc::decode(&kind, rec.tc_options()),
        What::Class => class::decode(&kind, rec.tc_options()),
        _ => {
            let (prio, protocol) = rec.tc_prio();
            out += &format!(" protocol {} pref {prio}", filter::protocol_text(protocol));
            filter::decode(&kind, rec.tc_handle(), rec.tc_options())
        }
    };
    out += &format!(" {kind}");
    for (key, value) in options {
        match value {
            Value::None | Value::Bool(false) => {}
            Value::Bool(true) => out += &format!(" {key}"),
            // netem's are told behind what they are of: delay 10ms 2ms 25%
            value if key == "jitter" || key.ends_with("_corr") => out += &format!(" {}", value.words(key)),
            value => out += &format!(" {key} {}", value.words(key)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_written_as_they_are_read() {
        for text in ["root", "ingress", "egress", "clsact", "1:", "1:10", "8001:", ":1", "ffff:", "a:ff"] {
            assert_eq!(parse_handle(text).map(handle_text).ok().as_deref(), Some(text));
        }
        for bad in ["", ":", "1", "x:", "1:10:", "12345:", "1:-1", "1: 2"] {
            assert!(parse_handle(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_qdisc_handle("10").ok(), Some(0x10_0000));
        assert!(parse_qdisc_handle("1:1").is_err());
    }
}

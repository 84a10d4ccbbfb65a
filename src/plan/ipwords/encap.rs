//! What follows `encap` of a route, a next hop or a nexthop (`lwt_parse_encap`, ip/iproute_lwtunnel.c).

use super::route::dsfield;
use super::words::{address, number};
use super::{Word, Words};
use crate::plan::encap::{Encap, SEG6_MODES};
use crate::plan::error::Result;
use crate::plan::record::{AF_INET, AF_INET6};
use std::net::{IpAddr, Ipv6Addr};

/// Types that `ip` has and nsscript has not.
const OTHERS: &[&str] = &["ila", "bpf", "seg6local", "rpl", "ioam6", "xfrm"];

/// Reads type and parameters, to the first word that is none of theirs.
///
/// # Errors
/// `invalid`, `unsupported`.
pub fn parse(key: &Word, words: &mut Words<'_>) -> Result<Encap> {
    let kind = words.value(key)?;
    match kind.text.as_str() {
        "mpls" => mpls(kind, words),
        "seg6" => seg6(kind, words),
        "ip" => tunnel(words, false),
        "ip6" => tunnel(words, true),
        other if OTHERS.contains(&other) => Err(kind.unsupported("route … encap")),
        _ => Err(kind.bad("this is no type of encapsulation").with_hint("mpls, seg6, ip or ip6")),
    }
}

fn small(word: &Word, key: &str) -> Result<u8> {
    number(word, key, 255).map(|n| u8::try_from(n).unwrap_or(u8::MAX))
}

/// `100/200`.
pub fn labels(word: &Word) -> Result<Vec<u32>> {
    let one = |text: &str| {
        let label = super::words::parse_number(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n < 1 << 20);
        label.ok_or_else(|| word.bad("labels of MPLS are numbers below 1048576: 100/200"))
    };
    word.text.split('/').map(one).collect()
}

fn mpls(kind: &Word, words: &mut Words<'_>) -> Result<Encap> {
    let labels = labels(words.value(kind)?)?;
    let mut ttl = None;
    if let Some(word) = words.peek().filter(|w| w.is("ttl")) {
        words.next();
        ttl = Some(small(words.value(word)?, "ttl")?);
    }
    Ok(Encap::Mpls { labels, ttl })
}

fn seg6(kind: &Word, words: &mut Words<'_>) -> Result<Encap> {
    let (mut mode, mut segs) = (None, Vec::new());
    while let Some(word) = words.peek() {
        match word.text.as_str() {
            "mode" => {
                words.next();
                let value = words.value(word)?;
                let found = SEG6_MODES.iter().position(|m| value.is(m)).and_then(|m| u32::try_from(m).ok());
                mode = Some(found.ok_or_else(|| {
                    value.bad("this is no mode of seg6").with_hint(format!("one of {}", SEG6_MODES.join(", ")))
                })?);
            }
            "segs" => {
                words.next();
                let value = words.value(word)?;
                if mode.is_none() {
                    return Err(value.bad("`mode` comes before `segs`"));
                }
                for text in value.text.split(',') {
                    let seg: Ipv6Addr = text.parse().map_err(|_| value.bad("segments are IPv6 addresses: A,B,C"))?;
                    segs.push(seg);
                }
            }
            "hmac" | "cleanup" => return Err(word.unsupported("route … encap seg6")),
            _ => break,
        }
    }
    match mode {
        Some(mode) if !segs.is_empty() && segs.len() < 127 => Ok(Encap::Seg6 { mode, segs }),
        _ => Err(kind.bad("1 to 126 segments are to be given: seg6 mode MODE segs A,B,C")),
    }
}

fn tunnel(words: &mut Words<'_>, six: bool) -> Result<Encap> {
    let family = Some(if six { AF_INET6 } else { AF_INET });
    let (mut id, mut ttl, mut tos) = (0, 0, 0);
    let (mut dst, mut src): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    while let Some(word) = words.peek() {
        let known = ["id", "dst", "src", if six { "hoplimit" } else { "ttl" }, if six { "tc" } else { "tos" }];
        let others = ["key", "csum", "seq", "geneve_opts", "vxlan_opts", "erspan_opts"];
        if others.iter().any(|o| word.is(o)) {
            return Err(word.unsupported("route … encap ip"));
        }
        if !known.iter().any(|k| word.is(k)) {
            break;
        }
        words.next();
        let value = words.value(word)?;
        match word.text.as_str() {
            "id" => id = number(value, "id", u64::MAX)?,
            "dst" => dst = Some(address(value, family)?),
            "src" => src = Some(address(value, family)?),
            "tos" | "tc" => tos = dsfield(value)?,
            _ => ttl = small(value, &word.text)?,
        }
    }
    Ok(Encap::Ip { id, dst, src, ttl, tos, six })
}

#[cfg(test)]
mod tests {
    use super::super::split;
    use super::*;

    /// What is written of an encapsulation is read back as it was, and the words behind it stay.
    #[test]
    fn words_of_an_encapsulation_are_read_back() {
        let ip = |text: &str| text.parse().ok();
        for encap in [
            Encap::Mpls { labels: vec![100, 200], ttl: Some(9) },
            Encap::Mpls { labels: vec![16], ttl: None },
            Encap::Seg6 { mode: 1, segs: vec![Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 2)] },
            Encap::Ip { id: 7, dst: ip("10.0.0.1"), src: ip("10.0.0.2"), ttl: 64, tos: 16, six: false },
            Encap::Ip { id: 1 << 40, dst: ip("fd00::1"), src: None, ttl: 0, tos: 0, six: true },
        ] {
            let text = format!("encap {} via 10.0.0.9", encap.words());
            let all = split(&text).expect("words");
            let mut words = Words::new(&all);
            let key = words.next().expect("a word");
            // tos is read as ip reads it, as hexadecimal digits.
            let read = parse(key, &mut words).expect(&text);
            let wanted = match encap {
                Encap::Ip { id, dst, src, ttl, tos: 16, six } => Encap::Ip { id, dst, src, ttl, tos: 0x16, six },
                other => other,
            };
            assert_eq!(read, wanted, "{text}");
            assert_eq!(words.peek().map(|w| w.text.as_str()), Some("via"), "{text}");
        }
    }

    #[test]
    fn what_is_no_encapsulation_is_named() {
        for (text, part) in [
            ("encap", "the line ends"),
            ("encap frob", "`frob`"),
            ("encap seg6local action End", "`seg6local`"),
            ("encap mpls 100/x", "`100/x`"),
            ("encap mpls 1048576", "`1048576`"),
            ("encap seg6 segs fc00::1 mode encap", "`mode` comes before"),
            ("encap seg6 mode frob", "`frob`"),
            ("encap seg6 mode encap", "segments"),
            ("encap ip id x", "`x`"),
            ("encap ip dst fd00::1", "`fd00::1`"),
            ("encap ip id 1 csum", "`csum`"),
        ] {
            let all = split(text).expect("words");
            let mut words = Words::new(&all);
            let key = words.next().expect("a word");
            let error = parse(key, &mut words).expect_err(text);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }
}

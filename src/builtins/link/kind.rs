//! The options of a link's kind as a table: the same rows encode what a script gives, decode what the kernel shows,
//! and write the words of `ip link`.

use crate::engine::value::{Opts, what};
use crate::plan::{Error, KindOption, Result, link};
use rhai::Dynamic;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::show::decode;

/// How an attribute is written.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A byte that is 0 or 1: `word 1`.
    Bool,
    /// A u32 that is 0 or 1: `word 1`.
    Bool32,
    /// A byte that is 0 or 1: `word on`.
    OnOff,
    /// A byte that is 0 or 1: `word` or `noword`.
    Switch,
    /// An attribute without a value, that is there or not (`NLA_FLAG`): `word`.
    Flag,
    /// A bit of `struct { u32 flags; u32 mask; }`, as of a vlan: `word on`.
    Masked(u32),
    /// A bit of a number of this many bytes, whose other bits stay: `word`.
    Bit(u8, u32),
    U8,
    U16,
    U32,
    U64,
    /// A u16 in network order: a port.
    Port,
    /// Two u16 in network order: `word LOW HIGH`; in a script `[low, high]`.
    Ports,
    /// Seconds in a script, hundredths in the kernel (`USER_HZ`).
    Seconds,
    /// The same as a u64.
    Hundredths64,
    /// A bit of `struct br_boolopt_multi { u32 values; u32 mask; }`: `word 1`.
    BoolOpt(u32),
    /// Milliseconds; in a script an integer, or text with a unit.
    Millis,
    /// Six bytes.
    Mac,
    /// MAC addresses, nested, each with this code; and the attribute with this value that says that they are all.
    Macs(u16, u16, u32),
    /// A u16 in network order, by one of these names, or as hex digits after `0x`: `vlan_protocol`.
    EtherType(&'static [(&'static str, u16)]),
    /// A number of this many bytes, by name.
    Names(u8, &'static [(&'static str, u64)]),
    /// An IPv4 address here, an IPv6 address in that attribute (0: none of those).
    Ip(u16),
    /// The same for a group: only multicast addresses (RFC 5771, RFC 4291) are meant.
    Group(u16),
    /// The same for one other end: no multicast address is meant.
    Remote(u16),
    /// An IPv6 address.
    Ip6,
    /// A list of IPv4 (or, where true, IPv6) addresses, each an attribute of its own: `word A,B`.
    Ips(bool),
    /// An IPv4 (or, where true, IPv6) prefix: its address here, its length in that u16.
    Prefix(u16, bool),
    /// The ifindex of a device.
    Dev,
    /// A byte, or `"inherit"`: that attribute with this value, or where it is 0 the value 0.
    Ttl(u16, &'static [u8]),
    /// A byte, or `"inherit"`: 1.
    Tos,
    /// A part of a u32 in network order, given by its mask: `flowlabel` and `tclass` of IPv6.
    FlowInfo(u32),
    /// The key of a tunnel in each of these attributes, in network order, and bit `GRE_KEY` of the flags' attributes.
    Key(&'static [u16], &'static [u16]),
    /// A bit in each of these u16 in network order, whose other bits stay: `word`.
    TunnelFlag(&'static [u16], u16),
    /// A byte, or `"none"`: bit 1 of that u32.
    EncapLimit(u16),
    /// Pairs `from:to`, nested: priorities of a vlan.
    Map,
    /// Eight bytes in network order, as hex digits.
    Hex64,
}

/// One option of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The key in scripts.
    pub key: &'static str,
    /// The attribute in `IFLA_INFO_DATA` (or `IFLA_INFO_SLAVE_DATA`).
    pub code: u16,
    pub kind: Type,
    /// The keyword of `ip link`.
    pub word: &'static str,
}

/// An option whose key in scripts is the keyword of `ip link`.
pub const fn same(key: &'static str, code: u16, kind: Type) -> Choice {
    Choice { key, code, kind, word: key }
}

/// An option whose keyword can't be a key as it is.
pub const fn choice(key: &'static str, code: u16, kind: Type, word: &'static str) -> Choice {
    Choice { key, code, kind, word }
}

pub(super) const VLAN_PROTOCOLS: &[(&str, u16)] = &[("802.1Q", 0x8100), ("802.1ad", 0x88a8)];
/// `GRE_KEY`, in the u16 of `IFLA_GRE_IFLAGS` (include/uapi/linux/if_tunnel.h).
pub(super) const GRE_KEY: u16 = 0x2000;
/// `IFLA_VLAN_QOS_MAPPING`, and of a bond's lists the index of an address.
pub(super) const MAPPING: u16 = 1;

/// What options are encoded against.
pub struct Base<'a> {
    /// The attributes as they are: bits of a number that are not given stay.
    pub now: &'a [(u16, Vec<u8>)],
    /// ifindex and name of a device that an option names.
    pub device: &'a dyn Fn(&Dynamic) -> Result<(u32, String)>,
}

/// The attributes so far.
struct Out<'a> {
    options: Vec<KindOption>,
    now: &'a [(u16, Vec<u8>)],
}

impl Out<'_> {
    /// Sets an attribute; a second option in the same attribute replaces the value and adds its words.
    fn put(&mut self, code: u16, value: Vec<u8>, words: &str) {
        match self.options.iter_mut().find(|o| o.code == code) {
            Some(option) => {
                option.value = value;
                if !words.is_empty() {
                    option.words = format!("{} {words}", option.words).trim_start().to_string();
                }
            }
            None => self.options.push(KindOption { code, value, words: words.into() }),
        }
    }

    /// The attribute so far, or as it is now.
    fn get(&self, code: u16) -> Option<&[u8]> {
        let given = self.options.iter().find(|o| o.code == code).map(|o| o.value.as_slice());
        given.or_else(|| self.now.iter().find(|(c, _)| *c == code).map(|(_, v)| v.as_slice()))
    }

    fn be16(&self, code: u16) -> u16 {
        self.get(code).and_then(|v| v.try_into().ok()).map_or(0, u16::from_be_bytes)
    }
}

/// The options given, as attributes.
///
/// # Errors
/// `invalid`: a value of the wrong type or out of range. `not_found`: a device that is named.
pub fn encode(table: &[Choice], opts: &Opts, base: &Base<'_>) -> Result<Vec<KindOption>> {
    let mut out = Out { options: Vec::new(), now: base.now };
    for choice in table {
        if let Some(value) = opts.get(choice.key) {
            put(&mut out, choice, value, base)?;
        }
    }
    Ok(out.options)
}

/// A number in `width` bytes of host order.
pub(super) fn sized(number: u64, width: u8) -> Vec<u8> {
    match width {
        1 => vec![(number & 0xff) as u8],
        2 => ((number & 0xffff) as u16).to_ne_bytes().to_vec(),
        4 => ((number & 0xffff_ffff) as u32).to_ne_bytes().to_vec(),
        _ => number.to_ne_bytes().to_vec(),
    }
}

fn put(out: &mut Out<'_>, choice: &Choice, value: &Dynamic, base: &Base<'_>) -> Result<()> {
    let key = choice.key;
    let word = choice.word;
    let bad = |text: String| {
        let gap = if text.starts_with(':') { "" } else { " " };
        Error::invalid(format!("option `{key}`{gap}{text}")).with_target(key)
    };
    let wrong = |wanted: &str| bad(format!("must be {wanted}, not {}", what(value)));
    let flag = || value.as_bool().or_else(|_| value.as_int().map(|n| n != 0)).map_err(|_| wrong("true or false"));
    let in_range = |n: i64, max: u64| -> Result<u64> {
        u64::try_from(n).ok().filter(|n| *n <= max).ok_or_else(|| bad(format!("must be 0 to {max}, not {n}")))
    };
    let number = |max: u64| in_range(value.as_int().map_err(|_| wrong("an integer"))?, max);
    let text = |wanted: &str| value.clone().into_string().map_err(|_| wrong(wanted));
    let list = || value.clone().into_array().map_err(|_| wrong("an array"));
    let inherits = || value.is_string() && value.clone().into_string().is_ok_and(|t| t == "inherit");
    let (bytes, words) = match choice.kind {
        Type::Bool | Type::Bool32 => {
            let on = flag()?;
            let width = if matches!(choice.kind, Type::Bool) { 1 } else { 4 };
            (sized(u64::from(on), width), format!("{word} {}", u8::from(on)))
        }
        Type::OnOff => {
            let on = flag()?;
            (vec![u8::from(on)], format!("{word} {}", if on { "on" } else { "off" }))
        }
        Type::Switch => {
            let on = flag()?;
            (vec![u8::from(on)], format!("{}{word}", if on { "" } else { "no" }))
        }
        Type::Flag => {
            if !flag()? {
                return Ok(());
            }
            (Vec::new(), word.to_string())
        }
        Type::Masked(bit) | Type::BoolOpt(bit) => {
            let on = flag()?;
            // Of a link that is there the mask says what is to change; those given before are in it too.
            let given = out.options.iter().find(|o| o.code == choice.code).map(|o| o.value.as_slice());
            let part = |at: usize| given.and_then(|v| v.get(at..at + 4)?.try_into().ok()).map_or(0, u32::from_ne_bytes);
            let flags = if on { part(0) | bit } else { part(0) & !bit };
            let bytes = [flags, part(4) | bit].iter().flat_map(|w| w.to_ne_bytes()).collect();
            let text = match (choice.kind, on) {
                (Type::BoolOpt(_), on) => u8::from(on).to_string(),
                (_, true) => "on".into(),
                (_, false) => "off".into(),
            };
            (bytes, format!("{word} {text}"))
        }
        Type::Bit(width, bit) => {
            let on = flag()?;
            let now = out.get(choice.code).and_then(crate::plan::nla::number).unwrap_or_default();
            let bit = u64::from(bit);
            (sized(if on { now | bit } else { now & !bit }, width), if on { word.into() } else { String::new() })
        }
        Type::U8 => {
            let n = number(u64::from(u8::MAX))?;
            (sized(n, 1), format!("{word} {n}"))
        }
        Type::U16 => {
            let n = number(u64::from(u16::MAX))?;
            (sized(n, 2), format!("{word} {n}"))
        }
        Type::U32 => {
            let n = number(u64::from(u32::MAX))?;
            (sized(n, 4), format!("{word} {n}"))
        }
        Type::U64 => {
            let n = number(u64::MAX)?;
            (sized(n, 8), format!("{word} {n}"))
        }
        Type::Port => {
            let n = number(u64::from(u16::MAX))?;
            ((n as u16).to_be_bytes().to_vec(), format!("{word} {n}"))
        }
        Type::Ports => {
            let all = value.clone().into_array().map_err(|_| wrong("two ports, [low, high]"))?;
            let ports: Vec<u64> = all
                .iter()
                .map(|p| in_range(p.as_int().map_err(|_| wrong("two ports, [low, high]"))?, u64::from(u16::MAX)))
                .collect::<Result<_>>()?;
            let [low, high] = ports[..] else { return Err(bad("must be two ports, [low, high]".into())) };
            let bytes = [low, high].iter().flat_map(|p| (*p as u16).to_be_bytes()).collect();
            (bytes, format!("{word} {low} {high}"))
        }
        Type::Seconds | Type::Hundredths64 => {
            let time = crate::engine::value::duration(value, &format!("option `{key}`"))?;
            let hundredths = u32::try_from(time.as_millis() / 10).map_err(|_| bad(": too long".into()))?;
            let width = if matches!(choice.kind, Type::Seconds) { 4 } else { 8 };
            (sized(u64::from(hundredths), width), format!("{word} {hundredths}"))
        }
        Type::Millis => {
            let millis = match value.as_int() {
                Ok(n) => in_range(n, u64::from(u32::MAX))?,
                Err(_) => {
                    let time = crate::engine::value::duration(value, &format!("option `{key}`"))?;
                    u64::from(u32::try_from(time.as_millis()).map_err(|_| bad(": too long".into()))?)
                }
            };
            (sized(millis, 4), format!("{word} {millis}"))
        }
        Type::Mac => {
            let text = text("a MAC address")?;
            (link::parse_mac(&text).ok_or_else(|| wrong("a MAC address"))?, format!("{word} {text}"))
        }
        Type::Macs(each, says, all) => {
            let mut bytes = Vec::new();
            let mut texts = Vec::new();
            for one in list()? {
                let text = one.into_string().map_err(|_| wrong("an array of MAC addresses"))?;
                let mac = link::parse_mac(&text).ok_or_else(|| bad(format!(": `{text}` is not a MAC address")))?;
                crate::plan::nla::put(&mut bytes, each, &mac);
                texts.push(text);
            }
            out.put(says, sized(u64::from(all), 4), "");
            (bytes, format!("{word} {}", texts.join(" ")).trim_end().to_string())
        }
        Type::EtherType(names) => {
            let all = names.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>();
            let wanted = all.join(" or ");
            let text = text(&wanted)?;
            let digits = text.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok());
            let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
            let number = found.map(|(_, number)| *number).or(digits);
            let number = number.ok_or_else(|| bad(format!("must be {wanted}, not \"{text}\"")))?;
            (number.to_be_bytes().to_vec(), format!("{word} {}", found.map_or(text.as_str(), |(name, _)| name)))
        }
        Type::Names(width, names) => {
            let text = text("a name")?;
            let found = names.iter().find(|(name, _)| *name == text);
            let (name, number) = found.ok_or_else(|| {
                let all = names.iter().map(|(n, _)| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
                let hint = match crate::plan::nearest(&text, names.iter().map(|(n, _)| *n)) {
                    Some(near) => format!("did you mean \"{near}\"? It is one of {all}"),
                    None => format!("one of {all}"),
                };
                bad(format!("can't be \"{text}\"")).with_hint(hint)
            })?;
            (sized(*number, width), format!("{word} {name}").trim_start().to_string())
        }
        Type::Ip(v6) | Type::Group(v6) | Type::Remote(v6) => {
            let text = text("an IP address")?;
            let ip: IpAddr = text.parse().map_err(|_| bad(format!(": `{text}` is not an IP address")))?;
            match choice.kind {
                Type::Group(_) if !ip.is_multicast() => {
                    return Err(bad(format!("must be a multicast address, not `{text}`"))
                        .with_hint("one other end is given by `remote`"));
                }
                Type::Remote(_) if ip.is_multicast() => {
                    return Err(
                        bad(format!("can't be a multicast address: `{text}`")).with_hint("a group is given by `group`")
                    );
                }
                _ => {}
            }
            match ip {
                IpAddr::V4(ip) => (ip.octets().to_vec(), format!("{word} {ip}")),
                IpAddr::V6(_) if v6 == 0 => return Err(bad(format!("must be an IPv4 address, not `{text}`"))),
                IpAddr::V6(ip) => {
                    out.put(v6, ip.octets().to_vec(), &format!("{word} {ip}"));
                    return Ok(());
                }
            }
        }
        Type::Ip6 => {
            let text = text("an IPv6 address")?;
            let ip: Ipv6Addr = text.parse().map_err(|_| bad(format!(": `{text}` is not an IPv6 address")))?;
            (ip.octets().to_vec(), format!("{word} {ip}"))
        }
        Type::Ips(six) => {
            let mut bytes = Vec::new();
            let mut texts = Vec::new();
            for (at, one) in (0..).zip(list()?) {
                let text = one.into_string().map_err(|_| wrong("an array of addresses"))?;
                let none = |_| bad(format!(": `{text}` is not an {} address", if six { "IPv6" } else { "IPv4" }));
                let octets = if six {
                    text.parse::<Ipv6Addr>().map_err(none)?.octets().to_vec()
                } else {
                    text.parse::<Ipv4Addr>().map_err(none)?.octets().to_vec()
                };
                crate::plan::nla::put(&mut bytes, at, &octets);
                texts.push(text);
            }
            (bytes, format!("{word} {}", texts.join(",")))
        }
        Type::Prefix(length, six) => {
            let wanted = if six { "an IPv6 prefix: \"2001:db8::/32\"" } else { "an IPv4 prefix: \"10.0.0.0/8\"" };
            let text = text(wanted)?;
            let net = text.parse::<ipnet::IpNet>().ok().filter(|net| net.addr().is_ipv6() == six);
            let net = net.ok_or_else(|| bad(format!(": `{text}` is not {wanted}")))?;
            if net.addr() != net.network() {
                return Err(bad(format!(": `{text}` has bits beyond its prefix")).with_hint(net.trunc().to_string()));
            }
            let bytes = match net.addr() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            out.put(choice.code, bytes, &format!("{word} {text}"));
            out.put(length, sized(u64::from(net.prefix_len()), 2), "");
            return Ok(());
        }
        Type::Dev => {
            let (index, name) = (base.device)(value)?;
            (index.to_ne_bytes().to_vec(), format!("{word} {name}"))
        }
        Type::Ttl(inherit, set) => {
            if inherits() {
                let (code, bytes) = if inherit == 0 { (choice.code, vec![0]) } else { (inherit, set.to_vec()) };
                out.put(code, bytes, &format!("{word} inherit"));
                return Ok(());
            }
            let n = value.as_int().map_err(|_| wrong("0 to 255 or \"inherit\""))?;
            let n = in_range(n, u64::from(u8::MAX))?;
            (sized(n, 1), format!("{word} {n}"))
        }
        Type::Tos => {
            if inherits() {
                (vec![1], format!("{word} inherit"))
            } else {
                let n = value.as_int().map_err(|_| wrong("0 to 255 or \"inherit\""))?;
                let n = in_range(n, u64::from(u8::MAX))?;
                (sized(n, 1), format!("{word} {n:#x}"))
            }
        }
        Type::FlowInfo(mask) => {
            let n = number(u64::from(mask >> mask.trailing_zeros()))?;
            let now = out.get(choice.code).and_then(|v| v.try_into().ok()).map_or(0, u32::from_be_bytes);
            let new = (now & !mask) | ((n as u32) << mask.trailing_zeros());
            (new.to_be_bytes().to_vec(), format!("{word} {n:#x}"))
        }
        Type::Key(keys, flags) => {
            let n = match value.as_int() {
                Ok(n) => in_range(n, u64::from(u32::MAX))? as u32,
                // As `ip` takes it too: a dotted quad.
                Err(_) => {
                    let text = text("a number or a dotted quad")?;
                    u32::from(text.parse::<Ipv4Addr>().map_err(|_| wrong("a number or a dotted quad"))?)
                }
            };
            for (at, code) in keys.iter().enumerate() {
                out.put(*code, n.to_be_bytes().to_vec(), &if at == 0 { format!("{word} {n}") } else { String::new() });
            }
            for code in flags {
                let new = out.be16(*code) | GRE_KEY;
                out.put(*code, new.to_be_bytes().to_vec(), "");
            }
            return Ok(());
        }
        Type::TunnelFlag(codes, bit) => {
            let on = flag()?;
            for (at, code) in codes.iter().enumerate() {
                let now = out.be16(*code);
                let new = if on { now | bit } else { now & !bit };
                let words = if at == 0 { format!("{}{word}", if on { "" } else { "no" }) } else { String::new() };
                out.put(*code, new.to_be_bytes().to_vec(), &words);
            }
            return Ok(());
        }
        Type::EncapLimit(flags) => {
            let none = value.is_string() && value.clone().into_string().is_ok_and(|t| t == "none");
            let now = out.get(flags).and_then(crate::plan::nla::number).unwrap_or_default();
            out.put(flags, sized(if none { now | 1 } else { now & !1 }, 4), "");
            if none {
                out.put(choice.code, vec![0], &format!("{word} none"));
                return Ok(());
            }
            let n = value.as_int().map_err(|_| wrong("0 to 255 or \"none\""))?;
            let n = in_range(n, u64::from(u8::MAX))?;
            (sized(n, 1), format!("{word} {n}"))
        }
        Type::Map => {
            let mut bytes = Vec::new();
            let mut texts = Vec::new();
            for one in list()? {
                let text = one.into_string().map_err(|_| wrong("an array of \"from:to\""))?;
                let pair = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                let (from, to): (u32, u32) = pair.ok_or_else(|| bad(format!(": `{text}` is not \"from:to\"")))?;
                let mapping: Vec<u8> = [from, to].iter().flat_map(|n| n.to_ne_bytes()).collect();
                crate::plan::nla::put(&mut bytes, MAPPING, &mapping);
                texts.push(text);
            }
            (bytes, format!("{word} {}", texts.join(" ")))
        }
        Type::Hex64 => {
            let text = text("hex digits")?;
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            let n = u64::from_str_radix(digits, 16).map_err(|_| bad(format!(": `{text}` are no hex digits")))?;
            (n.to_be_bytes().to_vec(), format!("{word} {n:016x}"))
        }
    };
    out.put(choice.code, bytes, &words);
    Ok(())
}

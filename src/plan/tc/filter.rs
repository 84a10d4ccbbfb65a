//! The matches of filters: u32, flower, matchall, fw, basic (tc-u32(8), tc-flower(8) …).

use super::action;
use super::params::{Params, Value, number};
use super::{ROOT, handle_text, parse_handle};
use crate::plan::addr::{octets, parse_cidr};
use crate::plan::error::{Error, Result};
use crate::plan::nla;
use crate::plan::record::{Rec, ip_of};

/// Protocols of packets by name (`ETH_P_…`, include/uapi/linux/if_ether.h).
const PROTOCOLS: &[(&str, u16)] = &[
    ("all", 0x0003),
    ("ip", 0x0800),
    ("ipv6", 0x86dd),
    ("arp", 0x0806),
    ("802.1q", 0x8100),
    ("802.1ad", 0x88a8),
    ("mpls_uc", 0x8847),
];

/// Protocols of IP by name.
const IP_PROTOCOLS: &[(&str, u8)] = &[("icmp", 1), ("tcp", 6), ("udp", 17), ("gre", 47), ("icmpv6", 58), ("sctp", 132)];

/// The protocol of a name or number.
#[must_use]
pub fn protocol(text: &str) -> Option<u16> {
    let named = PROTOCOLS.iter().find(|(n, _)| n.eq_ignore_ascii_case(text)).map(|(_, p)| *p);
    named.or_else(|| number(text).and_then(|n| u16::try_from(n).ok()))
}

/// Its name.
#[must_use]
pub fn protocol_text(code: u16) -> String {
    PROTOCOLS.iter().find(|(_, p)| *p == code).map_or_else(|| format!("{code:#06x}"), |(n, _)| (*n).into())
}

fn ip_protocol(params: &mut Params) -> Result<Option<u8>> {
    let Some(text) = params.take("ip_proto") else { return Ok(None) };
    let named = IP_PROTOCOLS.iter().find(|(n, _)| *n == text).map(|(_, p)| *p);
    let found = named.or_else(|| text.parse().ok());
    found.map(Some).ok_or_else(|| params.wrong("ip_proto", &text, "tcp, udp, icmp, icmpv6, sctp, or a number"))
}

fn prefix(params: &mut Params, key: &'static str) -> Result<Option<ipnet::IpNet>> {
    params.take(key).map(|text| parse_cidr(&text)).transpose()
}

fn port(params: &mut Params, key: &'static str) -> Result<Option<u16>> {
    let Some(text) = params.take(key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| params.wrong(key, &text, "a port"))
}

/// The attribute that a kind keeps its actions in.
#[must_use]
pub fn actions_in(kind: &str) -> Option<u16> {
    super::record::actions_in(kind)
}

/// The kinds that a script can make. Alphabetical.
pub const KINDS: &[&str] = &["basic", "flower", "fw", "matchall", "u32"];

/// The matches, as `TCA_OPTIONS` holds them, without class and actions.
///
/// # Errors
/// `invalid`.
pub fn encode(kind: &str, protocol: u16, params: &mut Params) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match kind {
        "u32" => u32_keys(protocol, params, &mut out)?,
        "flower" => flower(protocol, params, &mut out)?,
        "matchall" | "basic" => {}
        "fw" => {
            if let Some(mask) = params.u32("mask", u32::MAX)? {
                nla::put(&mut out, 5, &mask.to_ne_bytes());
            }
        }
        _ => {
            return Err(Error::invalid(format!("there is no filter kind `{kind}` here"))
                .with_target(kind)
                .with_hint(format!("there are {}", KINDS.join(", "))));
        }
    }
    params.finish()?;
    Ok(out)
}

/// One key of u32: mask, value (both as in the packet) and where from the network header.
struct Key(u32, u32, u32);

/// A prefix as words at an offset.
fn prefix_keys(keys: &mut Vec<Key>, net: &ipnet::IpNet, at: u32) {
    let (value, mask) = (octets(net.network()), octets(net.netmask()));
    let word = |of: &[u8]| u32::from_be_bytes([of[0], of[1], of[2], of[3]]);
    for (n, (v, m)) in (0_u32..).zip(value.chunks_exact(4).zip(mask.chunks_exact(4))) {
        if word(m) != 0 {
            keys.push(Key(word(m), word(v), at + 4 * n));
        }
    }
}

/// `TCA_U32_SEL`: the fields of IPv4 and IPv6 headers, and words at an offset.
fn u32_keys(protocol: u16, params: &mut Params, out: &mut Vec<u8>) -> Result<()> {
    let six = protocol == 0x86dd;
    let name = if six { "ip6" } else { "ip" };
    let mut keys: Vec<Key> = Vec::new();
    for (key, word, at4, at6) in [("src", "src", 12, 8), ("dst", "dst", 16, 24)] {
        if let Some(net) = prefix(params, key)? {
            if net.addr().is_ipv6() != six {
                return Err(Error::invalid(format!("u32: `{key}` is not of the protocol that the filter is for"))
                    .with_target(key)
                    .with_hint("#{ protocol: \"ip\" } or #{ protocol: \"ipv6\" }"));
            }
            params.say(format!("match {name} {word} {net}"));
            prefix_keys(&mut keys, &net, if six { at6 } else { at4 });
        }
    }
    if let Some(proto) = ip_protocol(params)? {
        params.say(format!("match {name} protocol {proto} 0xff"));
        // In IPv6 the next header is the third byte of the second word, in IPv4 the second of the third.
        let (shift, at) = if six { (8, 4) } else { (16, 8) };
        keys.push(Key(0xff << shift, u32::from(proto) << shift, at));
    }
    if let Some(tos) = params.u32("tos", 255)? {
        let shift = if six { 20 } else { 16 };
        keys.push(Key(0xff << shift, tos << shift, 0));
    }
    // The ports, where the header has no options.
    let at = if six { 40 } else { 20 };
    for (key, word, shift) in [("sport", "sport", 16), ("dport", "dport", 0)] {
        if let Some(port) = port(params, key)? {
            params.say(format!("match {name} {word} {port} 0xffff"));
            keys.push(Key(0xffff << shift, u32::from(port) << shift, at));
        }
    }
    if let Some(text) = params.take("words") {
        let wrong = || params.wrong("words", &text, "as tc: \"0x0a000000 0xff000000 at 12\"");
        let all: Vec<&str> = text.split_whitespace().collect();
        for one in all.chunks(4) {
            let [value, mask, "at", at] = one else { return Err(wrong()) };
            let word = |w: &str| number(w).and_then(|n| u32::try_from(n).ok());
            let (value, mask, at) = (word(value), word(mask), word(at));
            let (Some(value), Some(mask), Some(at)) = (value, mask, at) else { return Err(wrong()) };
            keys.push(Key(mask, value & mask, at));
        }
        for one in all.chunks(4) {
            params.say(format!("match u32 {}", one.join(" ")));
        }
    }
    if keys.is_empty() {
        params.say("match u32 0 0");
        keys.push(Key(0, 0, 0));
    }
    // Keys of one word are one, as tc packs them (pack_key, tc/f_u32.c).
    let mut packed: Vec<Key> = Vec::new();
    for key in keys {
        match packed.iter_mut().find(|k| k.2 == key.2 && (k.0 & key.0 & (k.1 ^ key.1)) == 0) {
            Some(same) => {
                same.0 |= key.0;
                same.1 |= key.1;
            }
            None => packed.push(key),
        }
    }
    // struct tc_u32_sel: flags (terminal where it leads to a class or an action, added by the caller), offshift, nkeys …
    let mut selector = vec![0, 0, u8::try_from(packed.len()).unwrap_or(u8::MAX), 0];
    selector.resize(16, 0);
    for Key(mask, value, at) in packed {
        selector.extend_from_slice(&mask.to_be_bytes());
        selector.extend_from_slice(&value.to_be_bytes());
        selector.extend_from_slice(&at.to_ne_bytes());
        selector.extend_from_slice(&0u32.to_ne_bytes());
    }
    nla::put(out, 5, &selector);
    Ok(())
}

/// `TC_U32_TERMINAL`: a match ends the search.
pub fn make_terminal(options: &mut [u8]) {
    // The selector is the first attribute, its flags the first byte.
    if let Some(flags) = options.get_mut(4) {
        *flags |= 1;
    }
}

/// flower (`TCA_FLOWER_KEY_…`).
fn flower(protocol: u16, params: &mut Params, out: &mut Vec<u8>) -> Result<()> {
    if protocol != 3 {
        nla::put(out, 8, &protocol.to_be_bytes()); // ETH_TYPE
    }
    for (key, value, mask) in [("src_mac", 6, 7), ("dst_mac", 4, 5)] {
        if let Some(text) = params.text(key) {
            let mac = crate::plan::link::parse_mac(&text).ok_or_else(|| params.wrong(key, &text, "a MAC address"))?;
            nla::put(out, value, &mac);
            nla::put(out, mask, &[0xff; 6]);
        }
    }
    let proto = ip_protocol(params)?;
    if let Some(proto) = proto {
        params.say(format!("ip_proto {proto}"));
        nla::put(out, 9, &[proto]);
    }
    // IPV4_SRC 10 and its mask 11, IPV4_DST 12, IPV6_SRC 14, IPV6_DST 16
    for (key, word, four, six) in [("src", "src_ip", 10, 14), ("dst", "dst_ip", 12, 16)] {
        if let Some(net) = prefix(params, key)? {
            if net.addr().is_ipv6() != (protocol == 0x86dd) {
                return Err(Error::invalid(format!("flower: `{key}` is not of the protocol that the filter is for"))
                    .with_target(key)
                    .with_hint("#{ protocol: \"ip\" } or #{ protocol: \"ipv6\" }"));
            }
            params.say(format!("{word} {net}"));
            let code = if net.addr().is_ipv6() { six } else { four };
            nla::put(out, code, &octets(net.network()));
            nla::put(out, code + 1, &octets(net.netmask()));
        }
    }
    // TCP_SRC 18, TCP_DST 19, their masks 35 and 36; UDP 20, 21, 37, 38; SCTP 41, 42, 39, 40
    for (key, word, codes) in [
        ("sport", "src_port", [(6_u8, 18, 35), (17, 20, 37), (132, 41, 39)]),
        ("dport", "dst_port", [(6, 19, 36), (17, 21, 38), (132, 42, 40)]),
    ] {
        if let Some(port) = port(params, key)? {
            let (_, value, mask) = codes.iter().find(|(p, _, _)| Some(*p) == proto).copied().ok_or_else(|| {
                Error::invalid(format!("flower: `{key}` needs an ip_proto that has ports"))
                    .with_target(key)
                    .with_hint("#{ ip_proto: \"tcp\", dport: 80 }")
            })?;
            params.say(format!("{word} {port}"));
            nla::put(out, value, &port.to_be_bytes());
            nla::put(out, mask, &[0xff, 0xff]);
        }
    }
    // VLAN_ID 23, VLAN_PRIO 24
    if let Some(id) = params.u32("vlan_id", 4094)? {
        nla::put(out, 23, &u16::try_from(id).unwrap_or_default().to_ne_bytes());
    }
    if let Some(prio) = params.u32("vlan_prio", 7)? {
        nla::put(out, 24, &[u8::try_from(prio).unwrap_or_default()]);
    }
    Ok(())
}

/// What the kernel shows of a filter, its class and actions included.
#[must_use]
pub fn decode(kind: &str, handle: u32, options: &[u8]) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    match kind {
        "u32" => {
            let mut keys = Vec::new();
            let selector = nla::attr(options, 5).unwrap_or_default();
            for key in selector.get(16..).unwrap_or_default().chunks_exact(16) {
                let big = |at: usize| u32::from_be_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]);
                let at = nla::u32_of(&key[8..]).unwrap_or_default();
                keys.push(Value::Text(format!("{:#010x} {:#010x} at {at}", big(4), big(0))));
            }
            out.push(("match", Value::List(keys)));
        }
        "flower" => {
            if let Some(proto) = nla::attr(options, 9).and_then(|v| v.first()) {
                let named = IP_PROTOCOLS.iter().find(|(_, p)| p == proto);
                out.push(("ip_proto", Value::Text(named.map_or_else(|| proto.to_string(), |(n, _)| (*n).into()))));
            }
            for (name, codes) in [("src", [10, 14]), ("dst", [12, 16])] {
                for code in codes {
                    let net =
                        nla::attr(options, code).and_then(ip_of).zip(nla::attr(options, code + 1).and_then(ip_of));
                    if let Some((ip, mask)) = net {
                        let text = match ipnet::IpNet::with_netmask(ip, mask) {
                            Ok(net) => net.to_string(),
                            Err(_) => format!("{ip}/{mask}"),
                        };
                        out.push((name, Value::Text(text)));
                    }
                }
            }
            for (name, codes) in [("sport", [18, 20, 41]), ("dport", [19, 21, 42])] {
                for value in codes.iter().filter_map(|code| nla::attr(options, *code)) {
                    if let [high, low] = value {
                        out.push((name, Value::Int(i64::from(u16::from_be_bytes([*high, *low])))));
                    }
                }
            }
            for (name, code) in [("src_mac", 6), ("dst_mac", 4)] {
                if let Some(mac) = nla::attr(options, code) {
                    let mac = crate::plan::link::mac_text(mac);
                    let mask = nla::attr(options, code + 1).filter(|mask| mask.iter().any(|b| *b != 0xff));
                    let mask = mask.map(|mask| format!("/{}", crate::plan::link::mac_text(mask)));
                    out.push((name, Value::Text(mac + mask.as_deref().unwrap_or_default())));
                }
            }
            for (name, code) in [("vlan_id", 23), ("vlan_prio", 24)] {
                if let Some(number) = nla::attr(options, code).and_then(nla::number) {
                    out.push((name, Value::Int(i64::try_from(number).unwrap_or_default())));
                }
            }
        }
        "fw" => out.push(("mark", Value::Int(i64::from(handle)))),
        _ => {}
    }
    if let Some(class) = nla::attr(options, 1).and_then(nla::u32_of).filter(|c| !matches!(*c, 0 | ROOT)) {
        out.push(("classid", Value::Text(handle_text(class))));
    }
    if let Some(list) = actions_in(kind).and_then(|code| nla::attr(options, code)) {
        out.push(("actions", Value::List(action::decode(list))));
    }
    out
}

/// The devices that a filter's actions lead to, by ifindex.
#[must_use]
pub fn targets(filter: &Rec) -> Vec<u32> {
    let actions = actions_in(&filter.tc_kind()).and_then(|code| nla::attr(filter.tc_options(), code));
    action::targets(actions.unwrap_or_default())
}

/// The class of a filter.
///
/// # Errors
/// `invalid`.
pub fn class(text: &str) -> Result<u32> {
    parse_handle(text)
}

//! ICMP and ICMPv6 on the wire: the echo request, and what may come back for it. Pure, no I/O.
//!
//! Sources: RFC 792 and RFC 4884 (ICMP), RFC 4443 (ICMPv6), `include/uapi/linux/icmp.h` and `icmpv6.h`.

use super::AnswerKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the ICMP header of an echo: type, code, checksum, identifier, sequence.
pub(super) const HEADER: usize = 8;

/// Random bytes at the start of each payload that tell our replies from those to another ping with the same
/// identifier. A payload shorter than this carries what fits.
pub(super) type Cookie = [u8; 8];

/// ICMP message types, IPv4.
pub(super) mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// ICMPv6 message types.
pub(super) mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
}

/// What one received datagram says about one of our requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen<'a> {
    pub id: u16,
    pub seq: u16,
    pub kind: AnswerKind,
    /// TTL of the datagram that arrived; `None` for IPv6, where it comes in a control message.
    pub ttl: Option<u8>,
    /// Length of the ICMP message, with its header.
    pub bytes: usize,
    /// The payload of the echo, as far as an error quotes it.
    pub payload: &'a [u8],
    /// Where the quoted request went to; `None` for a reply.
    pub quoted_dst: Option<IpAddr>,
}

/// Writes an echo request with `size` bytes of payload into `out`. The ICMPv6 checksum covers addresses that only the
/// kernel knows: it fills that one in itself (`rawv6_push_pending_frames`), and leaves IPv4's to us.
pub(super) fn echo_request(v6: bool, id: u16, seq: u16, cookie: Cookie, size: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend([if v6 { self::v6::ECHO_REQUEST } else { self::v4::ECHO_REQUEST }, 0, 0, 0]);
    out.extend(id.to_be_bytes());
    out.extend(seq.to_be_bytes());
    out.extend(cookie.iter().take(size));
    // The pattern that ping(8) fills with, so that a capture looks familiar.
    out.extend((cookie.len()..size).map(|i| (i % 256) as u8));
    if !v6 {
        let sum = checksum(out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The Internet checksum (RFC 1071); 0 over a message that carries its own right one.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Reads a datagram of an IPv4 raw socket, which begins with its IP header. `None` for what is no answer to an echo
/// request, and for a bad checksum: the kernel hands raw sockets their copy before it checks (`raw_local_deliver`).
pub(super) fn parse_v4(datagram: &[u8]) -> Option<Seen<'_>> {
    let ttl = *datagram.get(8)?;
    let message = datagram.get(usize::from(datagram.first()? & 0x0f) * 4..)?;
    if message.len() < HEADER || checksum(message) != 0 {
        return None;
    }
    let kind = match (message[0], message[1]) {
        (v4::ECHO_REPLY, _) => return Some(reply(message, Some(ttl))),
        (v4::UNREACHABLE, 4) => AnswerKind::TooBig { mtu: be16(message, 6)?.into() },
        (v4::UNREACHABLE, code) => AnswerKind::Unreachable(unreachable_v4(code)),
        (v4::TIME_EXCEEDED, _) => AnswerKind::TimeExceeded,
        (v4::PARAMETER_PROBLEM, _) => AnswerKind::ParameterProblem,
        _ => return None,
    };
    let quoted = &message[HEADER..];
    let first = *quoted.first()?;
    // A later fragment (offset not 0) of our request has no ICMP header to know it by.
    if first >> 4 != 4 || quoted.get(9) != Some(&1) || be16(quoted, 6)? & 0x1fff != 0 {
        return None;
    }
    let dst = Ipv4Addr::from(*quoted.get(16..)?.first_chunk::<4>()?);
    let echo = quoted.get(usize::from(first & 0x0f) * 4..)?;
    quoted_echo(v4::ECHO_REQUEST, echo, kind, Some(ttl), message.len(), dst.into())
}

/// Reads a message of an ICMPv6 raw socket, which comes without IP header and with its checksum verified
/// (`rawv6_rcv`). `None` for what is no answer to an echo request.
pub(super) fn parse_v6(message: &[u8]) -> Option<Seen<'_>> {
    if message.len() < HEADER {
        return None;
    }
    let kind = match (message[0], message[1]) {
        (v6::ECHO_REPLY, _) => return Some(reply(message, None)),
        (v6::UNREACHABLE, code) => AnswerKind::Unreachable(unreachable_v6(code)),
        (v6::TOO_BIG, _) => AnswerKind::TooBig { mtu: u32::from_be_bytes(*message[4..].first_chunk()?) },
        (v6::TIME_EXCEEDED, _) => AnswerKind::TimeExceeded,
        (v6::PARAMETER_PROBLEM, _) => AnswerKind::ParameterProblem,
        _ => return None,
    };
    let quoted = &message[HEADER..];
    if quoted.first()? >> 4 != 6 {
        return None;
    }
    let dst = Ipv6Addr::from(*quoted.get(24..)?.first_chunk::<16>()?);
    let mut next = *quoted.get(6)?;
    let mut rest = quoted.get(40..)?;
    // Our own extension headers, or those that a router on the way has put in.
    while next != 58 {
        let length = match next {
            // Hop-by-hop, routing, destination options: length in units of 8 bytes beyond the first.
            0 | 43 | 60 => 8 + usize::from(*rest.get(1)?) * 8,
            // Fragment: only the first one has the ICMPv6 header.
            44 if be16(rest, 2)? & 0xfff8 == 0 => 8,
            _ => return None,
        };
        next = *rest.first()?;
        rest = rest.get(length..)?;
    }
    quoted_echo(v6::ECHO_REQUEST, rest, kind, None, message.len(), dst.into())
}

fn reply(message: &[u8], ttl: Option<u8>) -> Seen<'_> {
    Seen {
        id: u16::from_be_bytes([message[4], message[5]]),
        seq: u16::from_be_bytes([message[6], message[7]]),
        kind: AnswerKind::Reply,
        ttl,
        bytes: message.len(),
        payload: &message[HEADER..],
        quoted_dst: None,
    }
}

fn quoted_echo(
    request: u8,
    echo: &[u8],
    kind: AnswerKind,
    ttl: Option<u8>,
    bytes: usize,
    dst: IpAddr,
) -> Option<Seen<'_>> {
    if *echo.first()? != request {
        return None;
    }
    let (id, seq) = (be16(echo, 4)?, be16(echo, 6)?);
    Some(Seen { id, seq, kind, ttl, bytes, payload: &echo[HEADER..], quoted_dst: Some(dst) })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
fn unreachable_v4(code: u8) -> &'static str {
    match code {
        0 => "network unreachable",
        1 => "host unreachable",
        2 => "protocol unreachable",
        3 => "port unreachable",
        5 => "source route failed",
        6 => "network unknown",
        7 => "host unknown",
        8 => "source host isolated",
        9 => "network administratively prohibited",
        10 => "host administratively prohibited",
        11 => "network unreachable for type of service",
        12 => "host unreachable for type of service",
        13 => "administratively prohibited",
        14 => "host precedence violation",
        15 => "precedence cutoff in effect",
        _ => "unreachable",
    }
}

/// RFC 4443 section 3.1.
fn unreachable_v6(code: u8) -> &'static str {
    match code {
        0 => "no route to destination",
        1 => "administratively prohibited",
        2 => "beyond scope of source address",
        3 => "address unreachable",
        4 => "port unreachable",
        5 => "source address failed policy",
        6 => "reject route to destination",
        _ => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: Cookie = *b"12345678";

    fn request(v6: bool, size: usize) -> Vec<u8> {
        let mut out = vec![0xff; 3];
        echo_request(v6, 0x1234, 0x0007, COOKIE, size, &mut out);
        out
    }

    /// An IPv4 packet around `payload`.
    fn ip4(ttl: u8, protocol: u8, dst: [u8; 4], options: usize, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0u8; 20 + options];
        packet[0] = 0x40 | ((20 + options) / 4) as u8;
        packet[8] = ttl;
        packet[9] = protocol;
        packet[16..20].copy_from_slice(&dst);
        packet.extend(payload);
        packet
    }

    fn icmp4(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, code, 0, 0];
        message.extend(rest);
        message.extend(payload);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    fn ip6(next: u8, dst: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0u8; 40];
        packet[0] = 0x60;
        packet[6] = next;
        packet[24..40].copy_from_slice(&dst.octets());
        packet.extend(payload);
        packet
    }

    #[test]
    fn the_checksum_of_a_request_sums_to_zero_for_odd_and_even_sizes() {
        for size in [0, 1, 7, 8, 9, 56, 1473] {
            let request = request(false, size);
            assert_eq!(request.len(), HEADER + size);
            assert_eq!(checksum(&request), 0);
            assert_eq!(request[HEADER..][..size.min(8)], COOKIE[..size.min(8)]);
        }
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn a_reply_is_read_past_ip_options_and_only_with_a_right_checksum() {
        let request = request(false, 16);
        let mut packet = ip4(63, 1, [10, 0, 0, 1], 8, &icmp4(0, 0, [0x12, 0x34, 0, 7], &request[8..]));
        let seen = parse_v4(&packet).unwrap();
        assert_eq!((seen.id, seen.seq, seen.kind, seen.ttl, seen.bytes), (0x1234, 7, AnswerKind::Reply, Some(63), 24));
        assert_eq!(&seen.payload[..8], COOKIE);
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(parse_v4(&packet), None);
    }

    #[test]
    fn errors_are_matched_by_the_quoted_request() {
        let dst = [10, 0, 0, 9];
        let quoted = ip4(1, 1, dst, 4, &request(false, 56));
        let parse = |kind, code, rest| {
            parse_v4(&ip4(64, 1, [10, 0, 0, 1], 0, &icmp4(kind, code, rest, &quoted))).map(|s| s.kind)
        };
        assert_eq!(parse(3, 1, [0; 4]), Some(AnswerKind::Unreachable("host unreachable")));
        assert_eq!(parse(3, 13, [0; 4]), Some(AnswerKind::Unreachable("administratively prohibited")));
        assert_eq!(parse(3, 4, [0, 0, 5, 20]), Some(AnswerKind::TooBig { mtu: 1300 }));
        assert_eq!(parse(11, 0, [0; 4]), Some(AnswerKind::TimeExceeded));
        assert_eq!(parse(12, 0, [20, 0, 0, 0]), Some(AnswerKind::ParameterProblem));
        assert_eq!(parse(5, 0, [0; 4]), None);

        // The least that RFC 792 asks a router to quote: 8 bytes behind the IP header.
        let packet = ip4(64, 1, [10, 0, 0, 1], 0, &icmp4(11, 0, [0; 4], &quoted[..32]));
        let seen = parse_v4(&packet).unwrap();
        assert_eq!((seen.id, seen.seq, seen.payload.len()), (0x1234, 7, 0));
        assert_eq!(seen.quoted_dst, Some(IpAddr::from(dst)));

        for not_ours in [
            ip4(1, 17, dst, 0, &request(false, 56)),
            ip4(1, 1, dst, 0, &icmp4(0, 0, [0x12, 0x34, 0, 7], &[])),
            ip4(1, 1, dst, 0, &request(false, 56)[..7]),
        ] {
            assert_eq!(parse_v4(&ip4(64, 1, dst, 0, &icmp4(11, 0, [0; 4], &not_ours))), None);
        }
        let mut fragment = quoted.clone();
        fragment[7] = 185;
        assert_eq!(parse_v4(&ip4(64, 1, dst, 0, &icmp4(11, 0, [0; 4], &fragment))), None);
    }

    #[test]
    fn icmpv6_errors_are_matched_through_extension_headers() {
        let dst: Ipv6Addr = "2001:db8::9".parse().unwrap();
        let request = request(true, 56);
        let fragment = |offset: u16| {
            let mut header = vec![58, 0];
            header.extend(((offset << 3) | 1).to_be_bytes());
            header.extend([0; 4]);
            header.extend(&request);
            header
        };
        let error = |kind: u8, code: u8, number: u32, quoted: Vec<u8>| {
            let mut message = vec![kind, code, 0, 0];
            message.extend(number.to_be_bytes());
            message.extend(quoted);
            message
        };
        let too_big = error(2, 0, 1280, ip6(58, dst, &request));
        let seen = parse_v6(&too_big).unwrap();
        assert_eq!((seen.id, seen.seq, seen.kind), (0x1234, 7, AnswerKind::TooBig { mtu: 1280 }));
        assert_eq!((seen.quoted_dst, &seen.payload[..8]), (Some(dst.into()), &COOKIE[..]));
        let first = error(1, 0, 0, ip6(44, dst, &fragment(0)));
        assert_eq!(parse_v6(&first).unwrap().kind, AnswerKind::Unreachable("no route to destination"));
        assert_eq!(parse_v6(&error(1, 0, 0, ip6(44, dst, &fragment(3)))), None);
        let mut options = vec![58, 1];
        options.extend([0; 14]);
        options.extend(&request);
        assert_eq!(parse_v6(&error(3, 0, 0, ip6(60, dst, &options))).unwrap().seq, 7);
        assert_eq!(parse_v6(&error(3, 0, 0, ip6(17, dst, &request))), None);
    }

    #[test]
    fn no_garbage_makes_the_parsers_panic() {
        let quoted = ip4(1, 1, [10, 0, 0, 9], 4, &request(false, 56));
        let whole = ip4(64, 1, [10, 0, 0, 1], 0, &icmp4(3, 1, [0; 4], &quoted));
        let mut error = vec![1, 0, 0, 0, 0, 0, 0, 0];
        error.extend(ip6(60, Ipv6Addr::LOCALHOST, &[58; 30]));
        for end in 0..whole.len() {
            let _ = parse_v4(&whole[..end]);
        }
        for end in 0..error.len() {
            let _ = parse_v6(&error[..end]);
        }
        for fill in [0u8, 3, 0x45, 0x4f, 0x60, 0xff] {
            for length in 0..100 {
                let _ = parse_v4(&vec![fill; length]);
                let _ = parse_v6(&vec![fill; length]);
            }
        }
    }
}

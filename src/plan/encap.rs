//! Encapsulation by routes and nexthops (`LWTUNNEL_ENCAP_…`, include/uapi/linux/lwtunnel.h; ip-route(8)).

use super::nla;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a route puts around a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encap {
    /// Pushes labels, the outermost first (net/mpls/mpls_iptunnel.c).
    Mpls { labels: Vec<u32>, ttl: Option<u8> },
    /// An IPv6 segment list, in the order of travel (net/ipv6/seg6_iptunnel.c).
    Seg6 { mode: u32, segs: Vec<Ipv6Addr> },
    /// What a router does with packets for one of its own segments (net/ipv6/seg6_local.c).
    SegLocal(SegLocal),
    /// The parameters of a tunnel device with collected metadata (net/ipv4/ip_tunnel_core.c).
    Ip { id: u64, dst: Option<IpAddr>, src: Option<IpAddr>, ttl: u8, tos: u8, six: bool },
    /// One that has no words here: its type.
    Other(u16),
}

/// `SEG6_LOCAL_ACTION_…` by the names of RFC 8986 and `ip route`, from 1.
pub const SEG6_ACTIONS: &[&str] = &[
    "End",
    "End.X",
    "End.T",
    "End.DX2",
    "End.DX6",
    "End.DX4",
    "End.DT6",
    "End.DT4",
    "End.B6",
    "End.B6.Encaps",
    "End.BM",
    "End.S",
    "End.AS",
    "End.AM",
    "End.BPF",
    "End.DT46",
];

/// An action of segment routing, with what it needs: each action takes some of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegLocal {
    /// A place in [`SEG6_ACTIONS`], from 1.
    pub action: u32,
    pub nh4: Option<Ipv4Addr>,
    pub nh6: Option<Ipv6Addr>,
    pub table: Option<u32>,
    pub vrftable: Option<u32>,
    /// ifindex and name.
    pub iif: Option<(u32, String)>,
    pub oif: Option<(u32, String)>,
    /// Of a binding segment.
    pub segs: Vec<Ipv6Addr>,
    /// Whether packets are counted.
    pub count: bool,
}

impl SegLocal {
    #[must_use]
    pub fn new(action: u32) -> SegLocal {
        SegLocal { action, ..SegLocal::default() }
    }

    /// `End.DT6` …
    #[must_use]
    pub fn action_name(&self) -> String {
        let at = usize::try_from(self.action).ok().and_then(|n| n.checked_sub(1));
        at.and_then(|n| SEG6_ACTIONS.get(n)).map_or_else(|| self.action.to_string(), |n| (*n).to_string())
    }

    /// `SEG6_LOCAL_…` (include/uapi/linux/seg6_local.h).
    fn put(&self, nest: &mut Vec<u8>) {
        nla::put(nest, 1, &self.action.to_ne_bytes());
        if !self.segs.is_empty() {
            // Without the mode: SEG6_LOCAL_SRH is the routing header alone.
            nla::put(nest, 2, &segment_header(1, &self.segs)[4..]);
        }
        for (code, number) in [(3, self.table), (9, self.vrftable)] {
            if let Some(number) = number {
                nla::put(nest, code, &number.to_ne_bytes());
            }
        }
        if let Some(ip) = self.nh4 {
            nla::put(nest, 4, &ip.octets());
        }
        if let Some(ip) = self.nh6 {
            nla::put(nest, 5, &ip.octets());
        }
        for (code, dev) in [(6, &self.iif), (7, &self.oif)] {
            if let Some((index, _)) = dev {
                nla::put(nest, code, &index.to_ne_bytes());
            }
        }
        if self.count {
            nla::nest(nest, 10, |counters| {
                // SEG6_LOCAL_CNT_PACKETS 2, _BYTES 3, _ERRORS 4: each 0 to begin with.
                for code in 2..=4 {
                    nla::put(counters, code, &0u64.to_ne_bytes());
                }
            });
        }
    }

    fn read(content: &[u8]) -> Option<SegLocal> {
        let number = |code: u16| nla::attr(content, code).and_then(nla::u32_of);
        let dev = |code: u16| number(code).map(|index| (index, String::new()));
        let header = nla::attr(content, 2).unwrap_or_default();
        let list = header.get(8..).unwrap_or_default().chunks_exact(16);
        let mut segs: Vec<Ipv6Addr> =
            list.filter_map(|s| Some(Ipv6Addr::from(<[u8; 16]>::try_from(s).ok()?))).collect();
        segs.reverse();
        Some(SegLocal {
            action: number(1)?,
            nh4: nla::attr(content, 4).and_then(|v| <[u8; 4]>::try_from(v).ok()).map(Ipv4Addr::from),
            nh6: nla::attr(content, 5).and_then(|v| <[u8; 16]>::try_from(v).ok()).map(Ipv6Addr::from),
            table: number(3),
            vrftable: number(9),
            iif: dev(6),
            oif: dev(7),
            segs,
            count: nla::attr(content, 10).is_some(),
        })
    }

    fn words(&self) -> String {
        let mut out = format!("seg6local action {}", self.action_name());
        let mut more = |word: &str, value: Option<String>| {
            if let Some(value) = value {
                out += &format!(" {word} {value}");
            }
        };
        more("nh4", self.nh4.map(|ip| ip.to_string()));
        more("nh6", self.nh6.map(|ip| ip.to_string()));
        more("table", self.table.map(super::record::table_name));
        more("vrftable", self.vrftable.map(super::record::table_name));
        more("iif", self.iif.as_ref().map(|d| d.1.clone()));
        more("oif", self.oif.as_ref().map(|d| d.1.clone()));
        let segs = self.segs.iter().map(Ipv6Addr::to_string).collect::<Vec<_>>().join(",");
        more("srh segs", (!segs.is_empty()).then_some(segs));
        if self.count { out + " count" } else { out }
    }
}

const MPLS: u16 = 1;
const IP: u16 = 2;
const IP6: u16 = 4;
const SEG6: u16 = 5;
const SEG6_LOCAL: u16 = 7;

/// `SEG6_IPTUN_MODE_…` by name.
pub const SEG6_MODES: &[&str] = &["inline", "encap", "l2encap", "encap.red", "l2encap.red"];

/// A stack of labels as it is on the wire (RFC 3032): 20 bits of label, the last with the bottom-of-stack bit.
#[must_use]
pub fn stack(labels: &[u32]) -> Vec<u8> {
    let last = labels.len().saturating_sub(1);
    let entry = |(at, label): (usize, &u32)| ((label & 0xf_ffff) << 12 | u32::from(at == last) << 8).to_be_bytes();
    labels.iter().enumerate().flat_map(entry).collect()
}

/// The labels of a stack.
#[must_use]
pub fn labels(stack: &[u8]) -> Vec<u32> {
    stack.chunks_exact(4).filter_map(|entry| Some(u32::from_be_bytes(entry.try_into().ok()?) >> 12)).collect()
}

/// Labels as `ip` writes them: `100/200`.
#[must_use]
pub fn labels_text(labels: &[u32]) -> String {
    labels.iter().map(u32::to_string).collect::<Vec<_>>().join("/")
}

impl Encap {
    /// `mpls`, `seg6` …, as `ip` calls it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Encap::Mpls { .. } => "mpls".into(),
            Encap::Seg6 { .. } => "seg6".into(),
            Encap::SegLocal(_) => "seg6local".into(),
            Encap::Ip { six: false, .. } => "ip".into(),
            Encap::Ip { .. } => "ip6".into(),
            Encap::Other(3) => "ila".into(),
            Encap::Other(6) => "bpf".into(),
            Encap::Other(8) => "rpl".into(),
            Encap::Other(9) => "ioam6".into(),
            Encap::Other(10) => "xfrm".into(),
            Encap::Other(n) => n.to_string(),
        }
    }

    /// Appends type and content under these codes.
    pub fn put(&self, out: &mut Vec<u8>, type_code: u16, code: u16) {
        let kind = match self {
            Encap::Mpls { .. } => MPLS,
            Encap::Seg6 { .. } => SEG6,
            Encap::SegLocal(_) => SEG6_LOCAL,
            Encap::Ip { six, .. } => {
                if *six {
                    IP6
                } else {
                    IP
                }
            }
            Encap::Other(kind) => *kind,
        };
        nla::put(out, type_code, &kind.to_ne_bytes());
        nla::nest(out, code, |nest| match self {
            Encap::Mpls { labels, ttl } => {
                nla::put(nest, 1, &stack(labels)); // MPLS_IPTUNNEL_DST
                if let Some(ttl) = ttl {
                    nla::put(nest, 2, &[*ttl]); // MPLS_IPTUNNEL_TTL
                }
            }
            Encap::Seg6 { mode, segs } => nla::put(nest, 1, &segment_header(*mode, segs)), // SEG6_IPTUNNEL_SRH
            Encap::SegLocal(local) => local.put(nest),
            Encap::Ip { id, dst, src, ttl, tos, .. } => {
                // LWTUNNEL_IP_ID 1, _DST 2, _SRC 3, _TTL 4 (hop limit), _TOS 5 (traffic class)
                nla::put(nest, 1, &id.to_be_bytes());
                for (code, ip) in [(2, dst), (3, src)] {
                    if let Some(ip) = ip {
                        nla::put(nest, code, &super::addr::octets(*ip));
                    }
                }
                nla::put(nest, 4, &[*ttl]);
                nla::put(nest, 5, &[*tos]);
            }
            Encap::Other(_) => {}
        });
    }

    /// Reads type and content as the kernel shows them.
    #[must_use]
    pub fn read(kind: Option<&[u8]>, content: Option<&[u8]>) -> Option<Encap> {
        let kind = u16::from_ne_bytes(kind?.try_into().ok()?);
        let content = content.unwrap_or_default();
        let byte = |code: u16| nla::attr(content, code).and_then(|v| v.first().copied());
        match kind {
            0 => None,
            MPLS => Some(Encap::Mpls { labels: labels(nla::attr(content, 1).unwrap_or_default()), ttl: byte(2) }),
            SEG6 => {
                let value = nla::attr(content, 1)?;
                let mode = nla::u32_of(value)?;
                // struct ipv6_sr_hdr: 8 bytes, then the segments from last to first
                let list = value.get(12..)?.chunks_exact(16);
                let mut segs: Vec<Ipv6Addr> =
                    list.filter_map(|s| Some(Ipv6Addr::from(<[u8; 16]>::try_from(s).ok()?))).collect();
                segs.reverse();
                // Of the inline mode the last is left open for the packet's own destination.
                if mode == 0 && segs.last().is_some_and(Ipv6Addr::is_unspecified) {
                    segs.pop();
                }
                Some(Encap::Seg6 { mode, segs })
            }
            SEG6_LOCAL => SegLocal::read(content).map(Encap::SegLocal),
            IP | IP6 => Some(Encap::Ip {
                id: nla::attr(content, 1).and_then(|v| v.try_into().ok()).map_or(0, u64::from_be_bytes),
                dst: nla::attr(content, 2).and_then(super::record::ip_of).filter(|ip| !ip.is_unspecified()),
                src: nla::attr(content, 3).and_then(super::record::ip_of).filter(|ip| !ip.is_unspecified()),
                ttl: byte(4).unwrap_or_default(),
                tos: byte(5).unwrap_or_default(),
                six: kind == IP6,
            }),
            other => Some(Encap::Other(other)),
        }
    }

    /// What follows `encap`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Encap::Mpls { labels, ttl } => {
                let ttl = ttl.map_or_else(String::new, |ttl| format!(" ttl {ttl}"));
                format!("mpls {}{ttl}", labels_text(labels))
            }
            Encap::Seg6 { mode, segs } => {
                let mode = usize::try_from(*mode).ok().and_then(|m| SEG6_MODES.get(m)).copied().unwrap_or("encap");
                let segs = segs.iter().map(Ipv6Addr::to_string).collect::<Vec<_>>().join(",");
                format!("seg6 mode {mode} segs {segs}")
            }
            Encap::SegLocal(local) => local.words(),
            Encap::Ip { id, dst, src, ttl, tos, .. } => {
                let mut out = format!("{} id {id}", self.name());
                for (word, ip) in [("dst", dst), ("src", src)] {
                    if let Some(ip) = ip {
                        out += &format!(" {word} {ip}");
                    }
                }
                let (hops, class) = if self.name() == "ip6" { ("hoplimit", "tc") } else { ("ttl", "tos") };
                for (word, value) in [(hops, ttl), (class, tos)] {
                    if *value != 0 {
                        out += &format!(" {word} {value}");
                    }
                }
                out
            }
            Encap::Other(_) => self.name(),
        }
    }
}

/// The content of an encapsulation as it was asked for: packets that were counted (`SEG6_LOCAL_COUNTERS`) are not part of it.
#[must_use]
pub fn without_counts(kind: Option<&[u8]>, content: &[u8]) -> Vec<u8> {
    const COUNTERS: u16 = 10;
    let counts = kind.is_some_and(|k| k == SEG6_LOCAL.to_ne_bytes()) && nla::attr(content, COUNTERS).is_some();
    if !counts {
        return content.to_vec();
    }
    let mut out = Vec::new();
    for (code, value) in nla::attrs(content) {
        let zeroes = nla::attrs(value).fold(Vec::new(), |mut all, (code, number)| {
            nla::put(&mut all, code, &vec![0; number.len()]);
            all
        });
        nla::put(&mut out, code, if code == COUNTERS { &zeroes } else { value });
    }
    out
}

/// `struct seg6_iptunnel_encap`: the mode, then the routing header of RFC 8754. In the inline mode the packet's own
/// destination comes last, and its place is left empty.
fn segment_header(mode: u32, segs: &[Ipv6Addr]) -> Vec<u8> {
    let mut all: Vec<Ipv6Addr> = segs.to_vec();
    if mode == 0 {
        all.push(Ipv6Addr::UNSPECIFIED);
    }
    all.reverse();
    let count = u8::try_from(all.len()).unwrap_or(u8::MAX);
    let last = count.saturating_sub(1);
    let mut out = mode.to_ne_bytes().to_vec();
    // next header 0, length in 8 bytes without the first, type 4, segments left, first segment, flags, tag
    out.extend_from_slice(&[0, count.saturating_mul(2), 4, last, last, 0, 0, 0]);
    for seg in all {
        out.extend_from_slice(&seg.octets());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_a_stack() {
        assert_eq!(stack(&[100, 200]), [0, 6, 64, 0, 0, 12, 129, 0]);
        assert_eq!(labels(&stack(&[100, 200, 16])), [100, 200, 16]);
    }

    #[test]
    fn what_is_put_is_read() {
        for encap in [
            Encap::Mpls { labels: vec![100, 200], ttl: Some(9) },
            Encap::Seg6 { mode: 1, segs: vec![Ipv6Addr::LOCALHOST, Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 2)] },
            Encap::Seg6 { mode: 0, segs: vec![Ipv6Addr::LOCALHOST] },
            Encap::SegLocal(SegLocal {
                nh6: Some(Ipv6Addr::LOCALHOST),
                table: Some(7),
                segs: vec![Ipv6Addr::LOCALHOST, Ipv6Addr::UNSPECIFIED],
                count: true,
                ..SegLocal::new(10)
            }),
            Encap::Ip { id: 7, dst: "10.0.0.1".parse().ok(), src: None, ttl: 64, tos: 0, six: false },
        ] {
            let mut out = Vec::new();
            encap.put(&mut out, 1, 2);
            assert_eq!(Encap::read(nla::attr(&out, 1), nla::attr(&out, 2)), Some(encap));
        }
    }
}

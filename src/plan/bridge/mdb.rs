//! Members of multicast groups behind a bridge's ports (net/bridge/br_mdb.c; bridge(8), "bridge mdb").

use super::AF_BRIDGE;
use crate::plan::link::{mac_text, parse_mac};
use crate::plan::nla;
use crate::plan::record::{Rec, What, ip_of};
use std::fmt::{self, Display};
use std::net::IpAddr;

/// `struct br_port_msg`.
pub const HEADER: usize = 8;
/// `struct br_mdb_entry`: ifindex, state, flags, vid, the address in 16 bytes, its protocol, padding.
const ENTRY: usize = 28;
// include/uapi/linux/if_bridge.h
const MDBA_MDB: u16 = 1;
const MDBA_MDB_ENTRY: u16 = 1;
const MDBA_MDB_ENTRY_INFO: u16 = 1;
const MDBA_MDB_EATTR_SRC_LIST: u16 = 2;
const MDBA_MDB_EATTR_GROUP_MODE: u16 = 3;
const MDBA_MDB_EATTR_SOURCE: u16 = 4;
const MDBA_MDB_EATTR_RTPROT: u16 = 5;
const MDBA_SET_ENTRY: u16 = 1;
const MDBA_SET_ENTRY_ATTRS: u16 = 2;
const MDBE_ATTR_SOURCE: u16 = 1;
const MDBE_ATTR_SRC_LIST: u16 = 2;
const MDBE_ATTR_GROUP_MODE: u16 = 3;
const MDBE_ATTR_RTPROT: u16 = 4;
const MDB_PERMANENT: u8 = 1;
/// The kernel made it of a member of the whole group (RFC 3376, EXCLUDE).
const MDB_FLAGS_STAR_EXCL: u8 = 4;
/// `MCAST_INCLUDE` (include/uapi/linux/in.h): only from the sources listed.
const INCLUDE: u8 = 1;
const PROTO_STATIC: u8 = 4;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;

/// The address of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Ip(IpAddr),
    Mac([u8; 6]),
}

impl Group {
    /// A multicast address of IPv4 or IPv6, or a MAC of a group.
    #[must_use]
    pub fn parse(text: &str) -> Option<Group> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return ip.is_multicast().then_some(Group::Ip(ip));
        }
        let mac: [u8; 6] = parse_mac(text)?.try_into().ok()?;
        (mac[0] & 1 != 0).then_some(Group::Mac(mac))
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Ip(ip) => ip.fmt(f),
            Group::Mac(mac) => f.write_str(&mac_text(mac)),
        }
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mdb {
    /// ifindexes of the bridge, and of the port (the bridge itself: it listens).
    pub bridge: u32,
    pub port: u32,
    pub group: Group,
    /// 0: none.
    pub vid: u16,
    /// Of members that want one source only.
    pub src: Option<IpAddr>,
    pub permanent: bool,
    pub flags: u8,
    /// `MCAST_INCLUDE` or `MCAST_EXCLUDE`, of members of the whole group on a bridge that has sources.
    pub mode: Option<u8>,
    pub sources: Vec<IpAddr>,
    /// `rtm_protocol`: who made it; 4 is static.
    pub proto: u8,
}

impl Mdb {
    /// A permanent member.
    #[must_use]
    pub fn new(bridge: u32, port: u32, group: Group) -> Mdb {
        Mdb {
            bridge,
            port,
            group,
            vid: 0,
            src: None,
            permanent: true,
            flags: 0,
            mode: None,
            sources: Vec::new(),
            proto: PROTO_STATIC,
        }
    }

    /// As `RTM_NEWMDB` takes it.
    #[must_use]
    pub fn record(&self) -> Rec {
        self.message(|out| {
            if let Some(src) = self.src {
                nla::put(out, MDBE_ATTR_SOURCE, &octets(src));
            }
            // Older kernels know neither, and a list without entries is the default.
            if let Some(mode) = self.mode.filter(|mode| *mode == INCLUDE || !self.sources.is_empty()) {
                nla::nest(out, MDBE_ATTR_SRC_LIST, |list| {
                    for ip in &self.sources {
                        nla::nest(list, 1, |entry| nla::put(entry, 1, &octets(*ip)));
                    }
                });
                nla::put(out, MDBE_ATTR_GROUP_MODE, &[mode]);
            }
            if self.proto != PROTO_STATIC {
                nla::put(out, MDBE_ATTR_RTPROT, &[self.proto]);
            }
        })
    }

    /// As `RTM_DELMDB` takes it.
    #[must_use]
    pub fn removal(&self) -> Rec {
        self.message(|out| {
            if let Some(src) = self.src {
                nla::put(out, MDBE_ATTR_SOURCE, &octets(src));
            }
        })
    }

    fn message(&self, attributes: impl FnOnce(&mut Vec<u8>)) -> Rec {
        let mut body = vec![AF_BRIDGE, 0, 0, 0];
        body.extend_from_slice(&self.bridge.to_ne_bytes());
        let mut entry = self.port.to_ne_bytes().to_vec();
        entry.extend_from_slice(&[u8::from(self.permanent), 0]);
        entry.extend_from_slice(&self.vid.to_ne_bytes());
        let (address, proto) = match self.group {
            Group::Ip(ip) => (octets(ip), if ip.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 }),
            Group::Mac(mac) => (mac.to_vec(), 0),
        };
        entry.extend_from_slice(&address);
        entry.resize(24, 0);
        entry.extend_from_slice(&proto.to_be_bytes());
        entry.resize(ENTRY, 0);
        nla::put(&mut body, MDBA_SET_ENTRY, &entry);
        let mut attrs = Vec::new();
        attributes(&mut attrs);
        if !attrs.is_empty() {
            nla::nest(&mut body, MDBA_SET_ENTRY_ATTRS, |out| out.extend_from_slice(&attrs));
        }
        Rec { what: What::Mdb, body, ends: None }
    }

    /// Reads a record back.
    #[must_use]
    pub fn of(rec: &Rec) -> Option<Mdb> {
        let bridge = nla::u32_of(rec.body.get(4..8)?)?;
        let attrs = rec.attr(MDBA_SET_ENTRY_ATTRS).unwrap_or_default();
        let mut entry = Mdb::entry(bridge, rec.attr(MDBA_SET_ENTRY)?)?;
        entry.src = nla::attr(attrs, MDBE_ATTR_SOURCE).and_then(ip_of);
        entry.mode = byte(attrs, MDBE_ATTR_GROUP_MODE);
        entry.sources = sources(nla::attr(attrs, MDBE_ATTR_SRC_LIST).unwrap_or_default());
        entry.proto = byte(attrs, MDBE_ATTR_RTPROT).unwrap_or(PROTO_STATIC);
        Some(entry)
    }

    /// `struct br_mdb_entry`.
    fn entry(bridge: u32, value: &[u8]) -> Option<Mdb> {
        let address = value.get(8..24)?;
        let group = match u16::from_be_bytes(value.get(24..26)?.try_into().ok()?) {
            ETH_P_IP => Group::Ip(ip_of(&address[..4])?),
            ETH_P_IPV6 => Group::Ip(ip_of(address)?),
            _ => Group::Mac(address.get(..6)?.try_into().ok()?),
        };
        let vid = u16::from_ne_bytes([value[6], value[7]]);
        let made = Mdb::new(bridge, nla::u32_of(value)?, group);
        Some(Mdb { vid, permanent: value[4] == MDB_PERMANENT, flags: value[5], ..made })
    }

    /// Whether it stays until somebody takes it away.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.permanent && self.flags & MDB_FLAGS_STAR_EXCL == 0
    }

    /// What there is one of.
    #[must_use]
    pub fn place(&self) -> (u32, u32, String, u16, Option<IpAddr>) {
        (self.bridge, self.port, self.group.to_string(), self.vid, self.src)
    }

    /// As `bridge mdb` writes it.
    #[must_use]
    pub fn words(&self, name: impl Fn(u32) -> String) -> String {
        let dev = |index: u32| crate::plan::ip::word(&name(index));
        let mut text = format!("dev {} port {} grp {}", dev(self.bridge), dev(self.port), self.group);
        text += self.src.map_or_else(String::new, |ip| format!(" src {ip}")).as_str();
        text += if self.permanent { " permanent" } else { " temp" };
        if self.vid != 0 {
            text += &format!(" vid {}", self.vid);
        }
        text
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn byte(attrs: &[u8], code: u16) -> Option<u8> {
    nla::attr(attrs, code).and_then(|v| v.first().copied())
}

fn sources(list: &[u8]) -> Vec<IpAddr> {
    nla::attrs(list).filter_map(|(_, entry)| nla::attr(entry, 1).and_then(ip_of)).collect()
}

/// The entries in one message of the dump: those of a bridge.
#[must_use]
pub fn read(body: &[u8]) -> Vec<Mdb> {
    let Some(bridge) = body.get(4..8).and_then(nla::u32_of) else { return Vec::new() };
    let all = nla::attr(body.get(HEADER..).unwrap_or_default(), MDBA_MDB).unwrap_or_default();
    let groups = nla::attrs(all).filter(|(code, _)| *code == MDBA_MDB_ENTRY);
    let infos = groups.flat_map(|(_, group)| nla::attrs(group)).filter(|(code, _)| *code == MDBA_MDB_ENTRY_INFO);
    infos
        .filter_map(|(_, info)| {
            let mut entry = Mdb::entry(bridge, info)?;
            let attrs = info.get(ENTRY..).unwrap_or_default();
            entry.src = nla::attr(attrs, MDBA_MDB_EATTR_SOURCE).and_then(ip_of);
            entry.mode = byte(attrs, MDBA_MDB_EATTR_GROUP_MODE);
            entry.sources = sources(nla::attr(attrs, MDBA_MDB_EATTR_SRC_LIST).unwrap_or_default());
            entry.proto = byte(attrs, MDBA_MDB_EATTR_RTPROT).unwrap_or(PROTO_STATIC);
            Some(entry)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (group, src) in [
            ("239.1.1.1", None),
            ("239.1.1.1", Some("10.0.0.5")),
            ("ff05::7", Some("fd00::5")),
            ("01:00:5e:11:22:33", None),
        ] {
            let group = Group::parse(group).expect("a group");
            let src = src.map(|ip| ip.parse().expect("an address"));
            let entry = Mdb { vid: 7, src, ..Mdb::new(9, 4, group) };
            assert_eq!(Mdb::of(&entry.record()), Some(entry));
        }
        let entry =
            Mdb { sources: vec![[10, 0, 0, 5].into()], mode: Some(INCLUDE), ..Mdb::new(9, 4, Group::Mac([1; 6])) };
        assert_eq!(Mdb::of(&entry.record()), Some(entry.clone()));
        assert_eq!(entry.words(|i| format!("if{i}")), "dev if9 port if4 grp 01:01:01:01:01:01 permanent");
    }

    #[test]
    fn only_groups_are_groups() {
        for bad in ["10.0.0.1", "fd00::1", "02:00:00:00:00:01", "x"] {
            assert_eq!(Group::parse(bad), None, "{bad}");
        }
    }
}

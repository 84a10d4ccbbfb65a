//! The VLANs of a bridge's ports and of the bridge itself (net/bridge/br_netlink.c; bridge(8), "bridge vlan").

use super::AF_BRIDGE;
use crate::plan::nla;
use crate::plan::record::{Rec, What};

/// `struct ifinfomsg`.
pub const HEADER: usize = 16;
const IFLA_MASTER: u16 = 10;
const IFLA_AF_SPEC: u16 = 26;
// include/uapi/linux/if_bridge.h
const IFLA_BRIDGE_FLAGS: u16 = 0;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const BRIDGE_FLAGS_SELF: u16 = 2;
/// `BRIDGE_VLAN_INFO_PVID`: what comes in untagged is in this one.
pub const PVID: u16 = 2;
/// `BRIDGE_VLAN_INFO_UNTAGGED`: it goes out without its tag.
pub const UNTAGGED: u16 = 4;

/// A VLAN of a port, or of the bridge itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// ifindex of the port, or of the bridge.
    pub index: u32,
    /// 1 to 4094.
    pub vid: u16,
    /// [`PVID`], [`UNTAGGED`].
    pub flags: u16,
    /// Of the bridge itself.
    pub own: bool,
}

impl Vlan {
    /// As `RTM_SETLINK` and `RTM_DELLINK` of `AF_BRIDGE` take it.
    #[must_use]
    pub fn record(&self) -> Rec {
        let mut body = vec![0; HEADER];
        body[0] = AF_BRIDGE;
        body[4..8].copy_from_slice(&self.index.to_ne_bytes());
        nla::nest(&mut body, IFLA_AF_SPEC, |spec| {
            if self.own {
                nla::put(spec, IFLA_BRIDGE_FLAGS, &BRIDGE_FLAGS_SELF.to_ne_bytes());
            }
            // struct bridge_vlan_info
            let info: Vec<u8> = [self.flags, self.vid].iter().flat_map(|n| n.to_ne_bytes()).collect();
            nla::put(spec, IFLA_BRIDGE_VLAN_INFO, &info);
        });
        Rec { what: What::Vlan, body, ends: None }
    }

    /// Reads it back.
    #[must_use]
    pub fn of(rec: &Rec) -> Option<Vlan> {
        let spec = rec.attr(IFLA_AF_SPEC)?;
        let (flags, vid) = info(nla::attr(spec, IFLA_BRIDGE_VLAN_INFO)?)?;
        let index = rec.body.get(4..8).and_then(nla::u32_of)?;
        Some(Vlan { index, vid, flags, own: nla::attr(spec, IFLA_BRIDGE_FLAGS).is_some() })
    }

    /// What there is one of.
    #[must_use]
    pub fn place(&self) -> (u32, u16) {
        (self.index, self.vid)
    }

    /// As `bridge vlan` writes it.
    #[must_use]
    pub fn words(&self, dev: &str) -> String {
        let mut text = format!("dev {} vid {}", crate::plan::ip::word(dev), self.vid);
        for (bit, word) in [(PVID, " pvid"), (UNTAGGED, " untagged")] {
            text += if self.flags & bit != 0 { word } else { "" };
        }
        text + if self.own { " self" } else { "" }
    }
}

fn info(value: &[u8]) -> Option<(u16, u16)> {
    let word = |at: usize| Some(u16::from_ne_bytes(value.get(at..at + 2)?.try_into().ok()?));
    Some((word(0)?, word(2)?))
}

/// The VLANs in one message of the dump of `AF_BRIDGE` links: of a port, or of a bridge itself.
#[must_use]
pub fn read(body: &[u8]) -> Vec<Vlan> {
    let Some(index) = body.get(4..8).and_then(nla::u32_of) else { return Vec::new() };
    let attrs = body.get(HEADER..).unwrap_or_default();
    let master = nla::attr(attrs, IFLA_MASTER).and_then(nla::u32_of);
    let spec = nla::attr(attrs, IFLA_AF_SPEC).unwrap_or_default();
    nla::attrs(spec)
        .filter(|(code, _)| *code == IFLA_BRIDGE_VLAN_INFO)
        .filter_map(|(_, value)| info(value))
        .map(|(flags, vid)| Vlan {
            index,
            vid,
            flags: flags & (PVID | UNTAGGED),
            own: master.is_none_or(|m| m == index),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let vlan = Vlan { index: 7, vid: 100, flags: PVID | UNTAGGED, own: true };
        assert_eq!(Vlan::of(&vlan.record()), Some(vlan));
        assert_eq!(vlan.words("br0"), "dev br0 vid 100 pvid untagged self");
        let port = Vlan { own: false, flags: 0, ..vlan };
        assert_eq!(Vlan::of(&port.record()), Some(port));
        assert_eq!(port.words("p1"), "dev p1 vid 100");
    }

    #[test]
    fn a_message_has_several() {
        let mut body = vec![0; HEADER];
        body[4] = 7;
        nla::put(&mut body, IFLA_MASTER, &9u32.to_ne_bytes());
        nla::nest(&mut body, IFLA_AF_SPEC, |spec| {
            nla::put(spec, IFLA_BRIDGE_VLAN_INFO, &[6, 0, 1, 0]);
            nla::put(spec, IFLA_BRIDGE_VLAN_INFO, &[0, 0, 10, 0]);
        });
        let found: Vec<_> = read(&body).iter().map(|v| (v.vid, v.flags, v.own)).collect();
        assert_eq!(found, [(1, PVID | UNTAGGED, false), (10, 0, false)]);
    }
}

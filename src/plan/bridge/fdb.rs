//! Entries of forwarding tables: of bridges (net/bridge/br_fdb.c) and vxlans (drivers/net/vxlan/vxlan_core.c); bridge(8),
//! "bridge fdb".

use super::AF_BRIDGE;
use crate::plan::link::{LinkState, mac_text};
use crate::plan::nla;
use crate::plan::record::{NDA_DST, NDA_LLADDR, NUD_PERMANENT, Rec, What, ip_of};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `struct ndmsg`.
pub const HEADER: usize = 12;
// include/uapi/linux/neighbour.h
const NDA_VLAN: u16 = 5;
const NDA_PORT: u16 = 6;
const NDA_VNI: u16 = 7;
const NDA_IFINDEX: u16 = 8;
const NDA_MASTER: u16 = 9;
const NDA_SRC_VNI: u16 = 11;
const NDA_NH_ID: u16 = 13;
/// In the device's own table.
pub const NTF_SELF: u8 = 0x02;
/// In the table of the bridge that the device is a port of.
pub const NTF_MASTER: u8 = 0x04;
/// Learned by a program, which says so: the kernel neither lets it age nor moves it.
pub const NTF_EXT_LEARNED: u8 = 0x10;
/// It does not move to another port.
pub const NTF_STICKY: u8 = 0x40;
pub const NUD_REACHABLE: u16 = 0x02;
pub const NUD_NOARP: u16 = 0x40;

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fdb {
    /// ifindex of the port, or of the bridge or vxlan itself.
    pub index: u32,
    pub mac: Vec<u8>,
    /// `NUD_PERMANENT`: for the bridge itself, or of a vxlan; `NUD_NOARP`: static; neither: it ages.
    pub state: u16,
    /// [`NTF_SELF`], [`NTF_MASTER`], [`NTF_STICKY`], [`NTF_EXT_LEARNED`].
    pub flags: u8,
    pub vlan: Option<u16>,
    /// Of a vxlan: the other end, its UDP port, its network, and the ifindex of the link by which it is reached.
    pub dst: Option<IpAddr>,
    pub port: Option<u16>,
    pub vni: Option<u32>,
    pub via: Option<u32>,
    /// Of a vxlan that has several networks: the one that the entry is of.
    pub src_vni: Option<u32>,
    /// The other ends as a group of nexthops.
    pub nhid: Option<u32>,
}

/// Whether a dumped entry is of the addresses that a device filters by (`ndo_dflt_fdb_dump`, net/core/rtnetlink.c): a bridge
/// shows there what links on top of it listen to, and its own entries with itself as the master.
#[must_use]
pub fn filtered(body: &[u8]) -> bool {
    let shown = |code: u16| body.get(HEADER..).and_then(|attrs| nla::attr(attrs, code)).is_some();
    let elsewhere = [NDA_DST, NDA_VNI, NDA_IFINDEX, NDA_NH_ID].into_iter().any(shown);
    body.get(10).is_some_and(|flags| flags & NTF_SELF != 0) && !shown(NDA_MASTER) && !elsewhere
}

impl Fdb {
    /// As `RTM_NEWNEIGH` and `RTM_DELNEIGH` take it.
    #[must_use]
    pub fn record(&self) -> Rec {
        let mut body = vec![0; HEADER];
        body[0] = AF_BRIDGE;
        body[4..8].copy_from_slice(&self.index.to_ne_bytes());
        body[8..10].copy_from_slice(&self.state.to_ne_bytes());
        body[10] = self.flags;
        nla::put(&mut body, NDA_LLADDR, &self.mac);
        match self.dst {
            Some(IpAddr::V4(ip)) => nla::put(&mut body, NDA_DST, &ip.octets()),
            Some(IpAddr::V6(ip)) => nla::put(&mut body, NDA_DST, &ip.octets()),
            None => {}
        }
        if let Some(port) = self.port {
            nla::put(&mut body, NDA_PORT, &port.to_be_bytes());
        }
        let words = [(NDA_VNI, self.vni), (NDA_IFINDEX, self.via), (NDA_SRC_VNI, self.src_vni), (NDA_NH_ID, self.nhid)];
        for (code, value) in words {
            if let Some(value) = value {
                nla::put(&mut body, code, &value.to_ne_bytes());
            }
        }
        if let Some(vlan) = self.vlan {
            nla::put(&mut body, NDA_VLAN, &vlan.to_ne_bytes());
        }
        Rec { what: What::Fdb, body, ends: None }
    }

    /// Reads an entry, as it is sent or as the kernel shows it, learned ones included.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Fdb> {
        if *body.first()? != AF_BRIDGE {
            return None;
        }
        let attrs = body.get(HEADER..)?;
        let find = |code: u16| nla::attr(attrs, code);
        let number = |code: u16| find(code).and_then(nla::u32_of);
        let index = nla::u32_of(body.get(4..8)?)?;
        let mut flags = body[10] & (NTF_SELF | NTF_MASTER | NTF_STICKY | NTF_EXT_LEARNED);
        // A bridge shows its entries without saying in whose table they are, but with itself as the master.
        if let Some(master) = number(NDA_MASTER) {
            flags |= if master == index { NTF_SELF } else { NTF_MASTER };
        }
        // A vxlan keeps the bits as they were sent, with which it makes no difference, and takes no `NUD_NOARP` alone; a
        // bridge shows one.
        let state = match u16::from_ne_bytes([body[8], body[9]]) {
            s if s & NUD_PERMANENT != 0 => NUD_PERMANENT,
            s if s & NUD_NOARP != 0 => NUD_NOARP | NUD_REACHABLE,
            s => s,
        };
        Some(Fdb {
            index,
            mac: find(NDA_LLADDR)?.to_vec(),
            state,
            flags,
            vlan: find(NDA_VLAN).and_then(|v| v.try_into().ok()).map(u16::from_ne_bytes),
            dst: find(NDA_DST).and_then(ip_of),
            port: find(NDA_PORT).and_then(|v| v.try_into().ok()).map(u16::from_be_bytes),
            vni: number(NDA_VNI),
            via: number(NDA_IFINDEX),
            src_vni: number(NDA_SRC_VNI),
            nhid: number(NDA_NH_ID),
        })
    }

    /// Whether the entry stays until somebody takes it away, and is of a bridge or a vxlan: devices show the addresses that
    /// they filter as entries of their own.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let fixed = self.state & (NUD_NOARP | NUD_PERMANENT) != 0 || self.flags & NTF_EXT_LEARNED != 0;
        let group = self.mac.first().is_some_and(|b| b & 1 != 0);
        let of_bridge = self.flags & NTF_MASTER != 0 || (self.flags & NTF_SELF != 0 && !group && !self.of_vxlan());
        fixed && (of_bridge || self.of_vxlan())
    }

    /// Whether it is of a vxlan's own table.
    #[must_use]
    pub fn of_vxlan(&self) -> bool {
        let elsewhere = self.dst.is_some() || self.vni.is_some() || self.via.is_some() || self.nhid.is_some();
        self.flags & NTF_SELF != 0 && elsewhere
    }

    /// Whether the kernel made it of a link's own address (`br_fdb_add_local`), or of one that a device filters
    /// (`ndo_dflt_fdb_dump`).
    #[must_use]
    pub fn is_own(&self, links: &BTreeMap<u32, LinkState>) -> bool {
        if self.of_vxlan() {
            return false;
        }
        let Some(link) = links.get(&self.index) else { return true };
        if self.flags & NTF_SELF != 0 && link.kind != "bridge" {
            return true;
        }
        let bridge =
            if link.kind == "bridge" && self.flags & NTF_SELF != 0 { Some(link) } else { links.get(&link.master) };
        let of = |l: &LinkState| l.mac == self.mac;
        self.state & NUD_PERMANENT != 0 && (of(link) || bridge.is_some_and(of))
    }

    /// What there is one of.
    #[must_use]
    pub fn place(&self) -> (u32, u8, Vec<u8>, Option<u16>, Option<IpAddr>, Option<u32>) {
        (self.index, self.flags & NTF_SELF, self.mac.clone(), self.vlan, self.dst, self.src_vni)
    }

    /// `permanent`, `static`, `extern_learn` or `dynamic`.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self.state {
            s if s & NUD_PERMANENT != 0 => "permanent",
            s if s & NUD_NOARP != 0 => "static",
            _ if self.flags & NTF_EXT_LEARNED != 0 => "extern_learn",
            _ => "dynamic",
        }
    }

    /// As `bridge fdb` writes it.
    #[must_use]
    pub fn words(&self, name: impl Fn(u32) -> String) -> String {
        let mut text = format!("{} dev {}", mac_text(&self.mac), crate::plan::ip::word(&name(self.index)));
        text += self.dst.map_or_else(String::new, |ip| format!(" dst {ip}")).as_str();
        text += self.port.map_or_else(String::new, |port| format!(" port {port}")).as_str();
        for (word, value) in [("vni", self.vni), ("src_vni", self.src_vni), ("nhid", self.nhid)] {
            text += value.map_or_else(String::new, |n| format!(" {word} {n}")).as_str();
        }
        text += self.via.map_or_else(String::new, |via| format!(" via {}", name(via))).as_str();
        text += self.vlan.map_or_else(String::new, |vlan| format!(" vlan {vlan}")).as_str();
        text += if self.flags & NTF_STICKY != 0 { " sticky" } else { "" };
        text += if self.flags & NTF_EXT_LEARNED != 0 { " extern_learn" } else { "" };
        text += if self.flags & NTF_SELF != 0 { " self" } else { " master" };
        match self.state_name() {
            state @ ("permanent" | "static") => text + " " + state,
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Vec<u8> {
        let mut body = Fdb { index: 7, mac: vec![2; 6], state: 2, ..Fdb::default() }.record().body;
        nla::put(&mut body, NDA_MASTER, &9u32.to_ne_bytes());
        body
    }

    #[test]
    fn what_is_written_is_read() {
        let fdb = Fdb {
            index: 7,
            mac: vec![2, 0, 0, 0, 0, 1],
            state: NUD_PERMANENT,
            flags: NTF_SELF,
            dst: Some([10, 0, 0, 1].into()),
            port: Some(4790),
            vni: Some(5),
            ..Fdb::default()
        };
        let record = fdb.record();
        assert_eq!(Fdb::read(&record.body), Some(fdb.clone()));
        assert!(fdb.is_kept() && fdb.of_vxlan());
        assert_eq!(
            fdb.words(|i| format!("vx{i}")),
            "02:00:00:00:00:01 dev vx7 dst 10.0.0.1 port 4790 vni 5 self permanent"
        );
    }

    #[test]
    fn what_is_learned_or_filtered_is_not_kept() {
        let entry = Fdb::read(&learned()).expect("an entry");
        assert_eq!((entry.flags, entry.state_name()), (NTF_MASTER, "dynamic"));
        assert!(!entry.is_kept());
        assert!(Fdb { flags: NTF_MASTER | NTF_EXT_LEARNED, ..entry.clone() }.is_kept());
        let filtered = Fdb { mac: vec![0x33, 0x33, 0, 0, 0, 1], state: NUD_PERMANENT, flags: NTF_SELF, ..entry };
        assert!(!filtered.is_kept());
    }

    #[test]
    fn the_links_own_addresses_are_the_kernels() {
        let link = |index: u32, kind: &str, master: u32| {
            let mac = vec![2, 0, 0, 0, 0, index as u8];
            (index, LinkState { index, kind: kind.into(), master, mac, ..LinkState::default() })
        };
        let links = BTreeMap::from([link(7, "veth", 9), link(9, "bridge", 0)]);
        let entry = |last: u8| Fdb {
            index: 7,
            mac: vec![2, 0, 0, 0, 0, last],
            state: NUD_PERMANENT,
            flags: NTF_MASTER,
            ..Fdb::default()
        };
        assert!(entry(7).is_own(&links) && entry(9).is_own(&links) && !entry(8).is_own(&links));
        assert!(!Fdb { state: NUD_NOARP, ..entry(7) }.is_own(&links));
    }
}

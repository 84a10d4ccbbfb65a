//! Links: what is asked for, and what the kernel shows.

use super::nla;
use super::record::hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

// include/uapi/linux/if_link.h
pub const IFLA_ADDRESS: u16 = 1;
pub const IFLA_BROADCAST: u16 = 2;
pub const IFLA_IFNAME: u16 = 3;
pub const IFLA_MTU: u16 = 4;
pub const IFLA_LINK: u16 = 5;
pub const IFLA_QDISC: u16 = 6;
pub const IFLA_MASTER: u16 = 10;
pub const IFLA_TXQLEN: u16 = 13;
pub const IFLA_OPERSTATE: u16 = 16;
pub const IFLA_LINKMODE: u16 = 17;
pub const IFLA_LINKINFO: u16 = 18;
pub const IFLA_IFALIAS: u16 = 20;
pub const IFLA_STATS64: u16 = 23;
pub const IFLA_AF_SPEC: u16 = 26;
pub const IFLA_GROUP: u16 = 27;
pub const IFLA_NET_NS_FD: u16 = 28;
pub const IFLA_EXT_MASK: u16 = 29;
pub const IFLA_PROMISCUITY: u16 = 30;
pub const IFLA_NUM_TX_QUEUES: u16 = 31;
pub const IFLA_NUM_RX_QUEUES: u16 = 32;
pub const IFLA_CARRIER: u16 = 33;
pub const IFLA_LINK_NETNSID: u16 = 37;
pub const IFLA_NEW_IFINDEX: u16 = 49;
pub const IFLA_MIN_MTU: u16 = 50;
pub const IFLA_MAX_MTU: u16 = 51;
pub const IFLA_PROP_LIST: u16 = 52;
pub const IFLA_ALT_IFNAME: u16 = 53;
pub const IFLA_PERM_ADDRESS: u16 = 54;
pub const IFLA_ALLMULTI: u16 = 61;
pub const IFLA_INFO_KIND: u16 = 1;
pub const IFLA_INFO_DATA: u16 = 2;
pub const IFLA_INFO_SLAVE_KIND: u16 = 4;
pub const IFLA_INFO_SLAVE_DATA: u16 = 5;
pub const VETH_INFO_PEER: u16 = 1;
pub const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IFLA_VLAN_FLAGS: u16 = 2;
/// The maps of a vlan between the priorities of packets and those of frames.
pub const IFLA_VLAN_MAPS: [u16; 2] = [3, 4]; // IFLA_VLAN_EGRESS_QOS, IFLA_VLAN_INGRESS_QOS
/// The bits of `IFLA_VLAN_FLAGS` that there are.
const VLAN_FLAGS: u32 = 0x1f;
/// The device of a vxlan.
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_TTL_INHERIT: u16 = 28;
/// `IFLA_MACVLAN_MACADDR_DATA`, written back as a whole by `IFLA_MACVLAN_MACADDR_MODE` `MACVLAN_MACADDR_SET`.
const IFLA_MACVLAN_MACADDR_DATA: u16 = 5;
const IFLA_MACVLAN_MACADDR_MODE: u16 = 3;
const MACVLAN_MACADDR_SET: u32 = 3;
const IFLA_MACVLAN_MACADDR: u16 = 4;
const IFLA_MACVLAN_MODE: u16 = 1;
const MACVLAN_MODE_SOURCE: u32 = 16;
pub const IFLA_BOND_MODE: u16 = 1;
/// Which of its links a bond uses: momentary, and left to it.
const IFLA_BOND_ACTIVE_SLAVE: u16 = 2;
const IFLA_BOND_SLAVE_PERM_HWADDR: u16 = 4;
const BR_STATE_LISTENING: u8 = 1;
const BR_STATE_LEARNING: u8 = 2;
pub const IFLA_TUN_OWNER: u16 = 1;
pub const IFLA_TUN_OWNER_GROUP: u16 = 2;
pub const IFLA_TUN_TYPE: u16 = 3;
pub const IFLA_TUN_PI: u16 = 4;
pub const IFLA_TUN_VNET_HDR: u16 = 5;
pub const IFLA_TUN_PERSIST: u16 = 6;
/// Momentary: of the port's carrier, and of STP.
pub const IFLA_BRPORT_STATE: u16 = 1;
pub const IFLA_TUN_MULTI_QUEUE: u16 = 7;
// include/uapi/linux/if.h
pub const IFF_UP: u32 = 1;
pub const IFF_BROADCAST: u32 = 2;
pub const IFF_LOOPBACK: u32 = 8;
pub const IFF_POINTOPOINT: u32 = 0x10;
pub const IFF_NOARP: u32 = 0x80;
pub const IFF_PROMISC: u32 = 0x100;
pub const IFF_ALLMULTI: u32 = 0x200;
pub const IFF_MULTICAST: u32 = 0x1000;
pub const IFF_DYNAMIC: u32 = 0x8000;
pub const IFF_LOWER_UP: u32 = 0x1_0000;
/// The flags that a link can be given, and that undo restores.
const IFF_SETTABLE: u32 = IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_DYNAMIC;

/// An option of a link's kind: the attribute in `IFLA_INFO_DATA`, its bytes, and the words of `ip link`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindOption {
    pub code: u16,
    #[serde(with = "hex")]
    pub value: Vec<u8>,
    /// As `ip link` writes it: `stp_state 1`.
    pub words: String,
}

/// A link to be made. Every kind gives the same: a new kind needs no verb and no undo of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// `None`: the kernel names it, `veth0`, `veth1` ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `IFLA_INFO_KIND`: `veth`, `bridge` …; empty for a peer, whose kind is the first end's.
    pub kind: String,
    /// The ifindex that we choose, so that a crash between asking and answer can be resolved; 0: the kernel's.
    pub index: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Vec<u8>>,
    /// The script gave the MAC; else it was chosen before the message is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_mac: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    pub up: bool,
    /// ifindex and name of the master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<(u32, String)>,
    /// ifindex and name of the lower device (`IFLA_LINK`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<(u32, String)>,
    /// The namespace of the lower device, or of what the kind's options name, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_ns: Option<super::verb::Ns>,
    /// The same as its nsid there (`IFLA_LINK_NETNSID`), once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_nsid: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Transmit and receive queues; `None`: the driver's number, for veth one for each CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<u32>,
    /// Of one direction, where it has a number of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_queues: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_queues: Option<u32>,
    pub options: Vec<KindOption>,
    /// The other end, and the namespace in which it is born.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Box<(super::verb::Ns, LinkSpec)>>,
}

impl LinkSpec {
    /// The link, to be made in `ns`, and its other end, each with its namespace.
    pub fn ends<'a>(&'a self, ns: &'a super::verb::Ns) -> impl Iterator<Item = (&'a super::verb::Ns, &'a LinkSpec)> {
        std::iter::once((ns, self)).chain(self.peer.as_deref().map(|(at, peer)| (at, peer)))
    }
}

/// What is to change on a link; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Vec<u8>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Vec<u8>>,
    /// ifindex and name; index 0: no master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<(u32, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txqueuelen: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promisc: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allmulticast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addrgenmode: Option<u8>,
    /// Options of the kind, and the kind itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<(String, Vec<KindOption>)>,
    /// Options of the link as a port of its master, and the master's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<(String, Vec<KindOption>)>,
}

impl LinkChange {
    /// How many things would change: a set of more than one may be done by halves, since the kernel does not undo the
    /// first when the second fails (`do_setlink`, net/core/rtnetlink.c).
    #[must_use]
    pub fn count(&self) -> usize {
        let flags = [self.promisc, self.allmulticast, self.arp, self.multicast, self.dynamic];
        usize::from(self.up.is_some())
            + usize::from(self.name.is_some())
            + usize::from(self.mtu.is_some())
            + usize::from(self.mac.is_some())
            + usize::from(self.broadcast.is_some())
            + usize::from(self.master.is_some())
            + usize::from(self.alias.is_some())
            + usize::from(self.txqueuelen.is_some())
            + usize::from(self.group.is_some())
            + usize::from(flags.iter().any(Option::is_some))
            + usize::from(self.addrgenmode.is_some())
            + self.kind.as_ref().map_or(0, |(_, o)| o.len())
            + self.port.as_ref().map_or(0, |(_, o)| o.len())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// What of it no undo could take back, if anything.
    #[must_use]
    pub fn irreversible(&self) -> Option<&'static str> {
        let asks = |of: &Option<(String, Vec<KindOption>)>, kind: &str, code: u16| {
            of.as_ref().is_some_and(|(k, options)| k == kind && options.iter().any(|o| o.code == code))
        };
        if asks(&self.kind, "bond", IFLA_BOND_ACTIVE_SLAVE) {
            return Some("which link a bond uses is its own choice of the moment");
        }
        asks(&self.port, "bridge", IFLA_BRPORT_STATE).then_some("a port's state follows its carrier and STP")
    }
}

/// A link as it is: everything that undo compares and restores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    pub index: u32,
    pub name: String,
    /// `IFLA_INFO_KIND`; empty for a physical device.
    pub kind: String,
    pub up: bool,
    pub mtu: u32,
    pub mac: Vec<u8>,
    pub broadcast: Vec<u8>,
    /// 0: none.
    pub master: u32,
    /// The lower device, or a veth's peer, as `IFLA_LINK`; 0: none.
    pub lower: u32,
    /// The nsid of the namespace that `lower` is in, if another (`IFLA_LINK_NETNSID`).
    #[serde(default)]
    pub lower_nsid: Option<i32>,
    pub alias: String,
    pub txqueuelen: u32,
    pub group: u32,
    /// Those of the flags that can be set, besides up.
    pub flags: u32,
    pub altnames: Vec<String>,
    pub addrgenmode: Option<u8>,
    /// Attributes of `IFLA_INFO_DATA` that can be written back, by code.
    #[serde(with = "pairs")]
    pub options: Vec<(u16, Vec<u8>)>,
    /// The master's kind and the port's attributes that can be written back.
    pub port_kind: String,
    #[serde(with = "pairs")]
    pub port: Vec<(u16, Vec<u8>)>,
    /// A port of a bridge that neither forwards nor blocks, as with STP before it knows (`BR_STATE_LISTENING`, `_LEARNING`):
    /// momentary, and not compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// The MAC that a port of a bond has when it leaves: its own, while it shows the bond's (`IFLA_BOND_SLAVE_PERM_HWADDR`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_mac: Vec<u8>,
    pub tx_queues: u32,
    pub rx_queues: u32,
    /// What was asked of the features that can be changed, by the kernel's names; empty where it was not read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<super::offload::Channels>,
}

/// The momentary and derived state of a link, which undo does not restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    pub state: LinkState,
    /// All of `ifi_flags`.
    pub flags: u32,
    /// `ifi_type`, ARPHRD_…: 1 is Ethernet, 772 loopback.
    pub arphrd: u16,
    /// RFC 2863: 0 unknown, 2 down, 3 lower layer down, 6 up ….
    pub operstate: u8,
    pub carrier: bool,
    pub qdisc: String,
    /// The nsid of the namespace that `lower` is in, if another.
    pub link_netnsid: Option<i32>,
    pub promiscuity: u32,
    pub min_mtu: u32,
    pub max_mtu: u32,
    pub permaddr: Vec<u8>,
    /// `rtnl_link_stats64`, as u64s in the kernel's order, where asked for.
    pub stats: Vec<u64>,
    /// All of `IFLA_INFO_DATA`.
    pub data: Vec<u8>,
    /// All of `IFLA_INFO_SLAVE_DATA`.
    pub port_data: Vec<u8>,
}

/// What of a kind's data the kernel computes by itself: it is no state to compare, and some of it is refused when sent
/// back (`br_policy`, net/bridge/br_netlink.c; `bond_policy`, drivers/net/bonding/bond_netlink.c …).
fn derived(kind: &str, code: u16) -> bool {
    match kind {
        // IFLA_BR_: ROOT_ID 10 to GC_TIMER 19, FDB_FLUSH 21, PAD 40, MCAST_QUERIER_STATE 47, FDB_N_LEARNED 48
        "bridge" => matches!(code, 10..=19 | 21 | 40 | 47 | 48),
        // IFLA_BOND_AD_INFO
        "bond" => matches!(code, IFLA_BOND_ACTIVE_SLAVE | 23),
        // IFLA_MACVLAN_MACADDR_COUNT, BC_QUEUE_LEN_USED (refused when sent)
        "macvlan" | "macvtap" => matches!(code, 6 | 8),
        // IFLA_TUN_NUM_QUEUES, NUM_DISABLED_QUEUES
        "tun" => matches!(code, 8 | 9),
        _ => false,
    }
}

/// Likewise of a port (`IFLA_BRPORT_`, `IFLA_BOND_SLAVE_`).
fn derived_port(kind: &str, code: u16) -> bool {
    match kind {
        // IFLA_BRPORT_: STATE 1 follows STP and the carrier, ROOT_ID 13 to FLUSH 24, PAD 26, MRP 35 and 36,
        // MCAST_EHT_HOSTS_CNT 38, MCAST_N_GROUPS 41
        "bridge" => matches!(code, 1 | 13..=24 | 26 | 35 | 36 | 38 | 41),
        // all but PRIO 9 and QUEUE_ID 5 are the kernel's
        "bond" => !matches!(code, 5 | 9),
        // IFLA_VRF_PORT_TABLE is the master's
        "vrf" => true,
        _ => false,
    }
}

/// The kinds that take what a change does not name for zero (`ipgre_netlink_parms`, net/ipv4/ip_gre.c, and its like).
#[must_use]
pub fn whole(kind: &str) -> bool {
    matches!(
        kind,
        "erspan" | "gre" | "gretap" | "ip6erspan" | "ip6gre" | "ip6gretap" | "ip6tnl" | "ipip" | "sit" | "vti" | "vti6"
    )
}

/// What has to be sent with these attributes so that the kernel takes them.
#[must_use]
pub fn written(kind: &str, mut options: Vec<KindOption>) -> Vec<KindOption> {
    if matches!(kind, "macvlan" | "macvtap") && options.iter().any(|o| o.code == IFLA_MACVLAN_MACADDR_DATA) {
        let value = MACVLAN_MACADDR_SET.to_ne_bytes().to_vec();
        options.push(KindOption { code: IFLA_MACVLAN_MACADDR_MODE, value, words: String::new() });
    }
    options
}

/// Adds the attributes that are to stay as they are `now`.
pub fn complete(options: &mut Vec<KindOption>, now: &[(u16, Vec<u8>)]) {
    for (code, value) in now {
        if !options.iter().any(|o| o.code == *code) {
            options.push(KindOption { code: *code, value: value.clone(), words: String::new() });
        }
    }
}

impl LinkInfo {
    /// Reads the body of an `RTM_NEWLINK` message (`struct ifinfomsg`, then attributes).
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<LinkInfo> {
        let mut info = LinkInfo { arphrd: u16::from_ne_bytes(body.get(2..4)?.try_into().ok()?), ..LinkInfo::default() };
        let state = &mut info.state;
        state.index = nla::u32_of(&body[4..])?;
        info.flags = nla::u32_of(body.get(8..)?)?;
        state.up = info.flags & IFF_UP != 0;
        state.flags = info.flags & IFF_SETTABLE;
        for (code, value) in nla::attrs(body.get(16..)?) {
            let number = || nla::u32_of(value).unwrap_or_default();
            match code {
                IFLA_ADDRESS => state.mac = value.to_vec(),
                IFLA_BROADCAST => state.broadcast = value.to_vec(),
                IFLA_IFNAME => state.name = nla::text(value),
                IFLA_MTU => state.mtu = number(),
                IFLA_LINK => state.lower = number(),
                IFLA_QDISC => info.qdisc = nla::text(value),
                IFLA_MASTER => state.master = number(),
                IFLA_TXQLEN => state.txqueuelen = number(),
                IFLA_OPERSTATE => info.operstate = value.first().copied().unwrap_or_default(),
                IFLA_IFALIAS => state.alias = nla::text(value),
                IFLA_GROUP => state.group = number(),
                IFLA_PROMISCUITY => info.promiscuity = number(),
                IFLA_NUM_TX_QUEUES => state.tx_queues = number(),
                IFLA_NUM_RX_QUEUES => state.rx_queues = number(),
                IFLA_CARRIER => info.carrier = value.first() == Some(&1),
                IFLA_LINK_NETNSID => {
                    info.link_netnsid = Some(number().cast_signed());
                    state.lower_nsid = info.link_netnsid.filter(|id| *id >= 0);
                }
                IFLA_MIN_MTU => info.min_mtu = number(),
                IFLA_MAX_MTU => info.max_mtu = number(),
                IFLA_PERM_ADDRESS => info.permaddr = value.to_vec(),
                IFLA_STATS64 => info.stats = value.chunks_exact(8).filter_map(nla::number).collect(),
                IFLA_PROP_LIST => {
                    state.altnames = nla::attrs(value)
                        .filter(|(code, _)| *code == IFLA_ALT_IFNAME)
                        .map(|(_, v)| nla::text(v))
                        .collect();
                }
                IFLA_AF_SPEC => {
                    state.addrgenmode = nla::attr(value, 10)
                        .and_then(|inet6| nla::attr(inet6, IFLA_INET6_ADDR_GEN_MODE))
                        .and_then(|v| v.first().copied());
                }
                IFLA_LINKINFO => {
                    for (code, value) in nla::attrs(value) {
                        match code {
                            IFLA_INFO_KIND => state.kind = nla::text(value),
                            IFLA_INFO_DATA => info.data = value.to_vec(),
                            IFLA_INFO_SLAVE_KIND => state.port_kind = nla::text(value),
                            IFLA_INFO_SLAVE_DATA => info.port_data = value.to_vec(),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let owned = |data: &[u8], derived: &dyn Fn(u16) -> bool| {
            nla::attrs(data).filter(|(c, _)| !derived(*c)).map(|(c, v)| (c, v.to_vec())).collect::<Vec<_>>()
        };
        state.options = owned(&info.data, &|c| derived(&state.kind, c));
        if state.kind == "vxlan" {
            // Shown as a byte, taken as a flag (vxlan_fill_info, vxlan_policy).
            state.options.retain(|(c, v)| *c != IFLA_VXLAN_TTL_INHERIT || *v != [0]);
            for (_, value) in state.options.iter_mut().filter(|(c, _)| *c == IFLA_VXLAN_TTL_INHERIT) {
                value.clear();
            }
        }
        if matches!(state.kind.as_str(), "macvlan" | "macvtap")
            && state.options.iter().any(|(c, v)| *c == IFLA_MACVLAN_MODE && nla::u32_of(v) == Some(MACVLAN_MODE_SOURCE))
        {
            // Shown in the order of a hash; an empty list is not shown (macvlan_fill_info), but undo may have to lead back to it.
            let list = state.options.iter_mut().find(|(code, _)| *code == IFLA_MACVLAN_MACADDR_DATA);
            match list {
                Some((_, list)) => {
                    let mut all: Vec<Vec<u8>> = nla::attrs(list).map(|(_, mac)| mac.to_vec()).collect();
                    all.sort();
                    list.clear();
                    all.iter().for_each(|mac| nla::put(list, IFLA_MACVLAN_MACADDR, mac));
                }
                None => state.options.push((IFLA_MACVLAN_MACADDR_DATA, Vec::new())),
            }
            state.options.sort_by_key(|(code, _)| *code);
        }
        if state.kind == "vlan" {
            // Shown with all bits of the mask, of which more than these are refused (vlan_dev_change_flags).
            for (_, value) in state.options.iter_mut().filter(|(c, v)| *c == IFLA_VLAN_FLAGS && v.len() == 8) {
                value[4..].copy_from_slice(&VLAN_FLAGS.to_ne_bytes());
            }
            // A map without entries is not shown (vlan_fill_info), but it is one: undo may have to lead back to it.
            for code in IFLA_VLAN_MAPS {
                if !state.options.iter().any(|(c, _)| *c == code) {
                    state.options.push((code, Vec::new()));
                }
            }
            // The same of the flags: none are not shown.
            if !state.options.iter().any(|(c, _)| *c == IFLA_VLAN_FLAGS) {
                let none = [0, VLAN_FLAGS].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
                state.options.push((IFLA_VLAN_FLAGS, none));
            }
            state.options.sort_by_key(|(code, _)| *code);
        }
        if state.port_kind == "bond" {
            state.own_mac =
                nla::attr(&info.port_data, IFLA_BOND_SLAVE_PERM_HWADDR).map_or_else(Vec::new, <[u8]>::to_vec);
        }
        if state.port_kind == "bridge" {
            let now = nla::attr(&info.port_data, IFLA_BRPORT_STATE).and_then(|v| v.first());
            state.waits = now.is_some_and(|now| matches!(*now, BR_STATE_LISTENING | BR_STATE_LEARNING));
        }
        state.port = owned(&info.port_data, &|c| derived_port(&state.port_kind, c));
        Some(info)
    }
}

impl LinkState {
    /// The links of the same namespace without which it can't be made.
    #[must_use]
    pub fn needs(&self) -> Vec<u32> {
        if self.lower_nsid.is_some() { Vec::new() } else { self.lowers() }
    }

    /// The links that it is on, in whichever namespace they are.
    #[must_use]
    pub fn lowers(&self) -> Vec<u32> {
        if self.kind == "veth" {
            return Vec::new();
        }
        let device = self.options.iter().find(|(code, _)| self.kind == "vxlan" && *code == IFLA_VXLAN_LINK);
        let device = device.and_then(|(_, value)| nla::u32_of(value)).unwrap_or_default();
        [self.lower, device].into_iter().filter(|index| *index != 0 && *index != self.index).collect()
    }

    /// Why it could not be made again as it was, if so.
    #[must_use]
    pub fn irreplaceable(&self) -> Option<&'static str> {
        let persistent = || self.options.iter().any(|(code, value)| *code == IFLA_TUN_PERSIST && *value == [1]);
        match self.kind.as_str() {
            "wireguard" => Some("its private key is kept nowhere but in the kernel"),
            "macsec" => Some("its keys can't be read back"),
            "netkit" => Some("its other end could not be made again"),
            "tun" if !persistent() => Some("a program holds it open"),
            _ => None,
        }
    }

    /// Whether the kernel can delete and make it: it has a kind, and is not the loopback.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        !self.kind.is_empty()
    }
}

/// `02:00:00:00:00:01`.
#[must_use]
pub fn mac_text(mac: &[u8]) -> String {
    let mut text = String::with_capacity(mac.len() * 3);
    for (i, byte) in mac.iter().enumerate() {
        let _ = write!(text, "{}{byte:02x}", if i == 0 { "" } else { ":" });
    }
    text
}

/// Reads six bytes written `02:00:00:00:00:01` (or with `-`).
#[must_use]
pub fn parse_mac(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|p| if p.is_empty() || p.len() > 2 { None } else { u8::from_str_radix(p, 16).ok() })
        .collect();
    bytes.filter(|b| b.len() == 6)
}

/// Attributes as pairs of code and hex digits in JSON.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Pair(u16, #[serde(with = "crate::plan::record::hex")] Vec<u8>);

    pub fn serialize<S: Serializer>(all: &[(u16, Vec<u8>)], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(all.iter().map(|(c, v)| Pair(*c, v.clone())))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Vec<(u16, Vec<u8>)>, D::Error> {
        Ok(Vec::<Pair>::deserialize(d)?.into_iter().map(|Pair(c, v)| (c, v)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_and_written() {
        assert_eq!(parse_mac("02:00:00:00:ab:0F").map(|m| mac_text(&m)).as_deref(), Some("02:00:00:00:ab:0f"));
        for bad in ["", "02:00", "02:00:00:00:00:zz", "02:00:00:00:00:00:00", "2:::::"] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}

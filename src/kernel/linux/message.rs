//! Verbs as route-netlink messages, and refusals in words.

use super::socket::{Netlink, Refusal};
use crate::plan::link::{
    IFF_ALLMULTI, IFF_DYNAMIC, IFF_MULTICAST, IFF_NOARP, IFF_PROMISC, IFF_UP, IFLA_ADDRESS, IFLA_AF_SPEC,
    IFLA_ALT_IFNAME, IFLA_BROADCAST, IFLA_EXT_MASK, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INET6_ADDR_GEN_MODE,
    IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND, IFLA_LINK, IFLA_LINK_NETNSID,
    IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_FD, IFLA_NEW_IFINDEX, IFLA_NUM_RX_QUEUES, IFLA_NUM_TX_QUEUES,
    IFLA_PROP_LIST, IFLA_TXQLEN, VETH_INFO_PEER,
};
use crate::plan::record::{FOREVER, IFA_CACHEINFO, NTF_PROXY, RTA_NH_ID, TICKS};
use crate::plan::{AddMode, Error, Kind, KindOption, LinkChange, LinkSpec, Ns, Rec, Verb, What, bridge, nla};
use std::os::fd::{AsRawFd, OwnedFd};

/// Message types and flags (include/uapi/linux/rtnetlink.h, netlink.h).
pub mod rtm {
    pub const NEWLINK: u16 = 16;
    pub const DELLINK: u16 = 17;
    pub const GETLINK: u16 = 18;
    pub const SETLINK: u16 = 19;
    pub const NEWADDR: u16 = 20;
    pub const DELADDR: u16 = 21;
    pub const GETADDR: u16 = 22;
    pub const NEWROUTE: u16 = 24;
    pub const DELROUTE: u16 = 25;
    pub const GETROUTE: u16 = 26;
    pub const NEWNEIGH: u16 = 28;
    pub const DELNEIGH: u16 = 29;
    pub const GETNEIGH: u16 = 30;
    pub const NEWRULE: u16 = 32;
    pub const DELRULE: u16 = 33;
    pub const GETRULE: u16 = 34;
    pub const NEWQDISC: u16 = 36;
    pub const DELQDISC: u16 = 37;
    pub const GETQDISC: u16 = 38;
    pub const NEWTCLASS: u16 = 40;
    pub const DELTCLASS: u16 = 41;
    pub const GETTCLASS: u16 = 42;
    pub const NEWTFILTER: u16 = 44;
    pub const DELTFILTER: u16 = 45;
    pub const GETTFILTER: u16 = 46;
    pub const NEWMDB: u16 = 84;
    pub const DELMDB: u16 = 85;
    pub const GETMDB: u16 = 86;
    pub const NEWNSID: u16 = 88;
    pub const GETNSID: u16 = 90;
    pub const NEWNEXTHOP: u16 = 104;
    pub const DELNEXTHOP: u16 = 105;
    pub const GETNEXTHOP: u16 = 106;
    pub const NEWLINKPROP: u16 = 108;
    pub const DELLINKPROP: u16 = 109;
    pub const REPLACE: u16 = 0x100;
    pub const EXCL: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
}

/// `RTEXT_FILTER_BRVLAN`: bridge ports with their VLANs, one by one.
const BRIDGE_VLANS: u32 = 2;
/// `RTEXT_FILTER_SKIP_STATS`: a link without its counters.
pub const SKIP_STATS: u32 = 8;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// `struct ifinfomsg`.
#[must_use]
pub fn ifinfo(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(128);
    body.extend_from_slice(&[0; 4]);
    for word in [index, flags, change] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    body
}

/// A text attribute with its NUL.
pub fn put_text(out: &mut Vec<u8>, code: u16, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    nla::put(out, code, &bytes);
}

fn put_u32(out: &mut Vec<u8>, code: u16, value: u32) {
    nla::put(out, code, &value.to_ne_bytes());
}

/// A random MAC that is locally administered and unicast.
#[must_use]
pub fn random_mac() -> Vec<u8> {
    let mut mac = vec![0u8; 6];
    // Without randomness of its own (which Linux always has once booted) the time serves.
    if getrandom::fill(&mut mac).is_err() {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        mac.copy_from_slice(&nanos.to_ne_bytes()[..6]);
    }
    mac[0] = (mac[0] & 0xfe) | 0x02;
    mac
}

fn put_spec(out: &mut Vec<u8>, spec: &LinkSpec) {
    if let Some(name) = &spec.name {
        put_text(out, IFLA_IFNAME, name);
    }
    if let Some(mac) = &spec.mac {
        nla::put(out, IFLA_ADDRESS, mac);
    }
    if let Some(mtu) = spec.mtu {
        put_u32(out, IFLA_MTU, mtu);
    }
    if let Some(len) = spec.txqueuelen {
        put_u32(out, IFLA_TXQLEN, len);
    }
    if let Some(group) = spec.group {
        put_u32(out, IFLA_GROUP, group);
    }
    if let Some(queues) = spec.tx_queues.or(spec.queues) {
        put_u32(out, IFLA_NUM_TX_QUEUES, queues);
    }
    if let Some(queues) = spec.rx_queues.or(spec.queues) {
        put_u32(out, IFLA_NUM_RX_QUEUES, queues);
    }
    if let Some((lower, _)) = spec.lower {
        put_u32(out, IFLA_LINK, lower);
    }
    if let Some(id) = spec.lower_nsid {
        nla::put(out, IFLA_LINK_NETNSID, &id.to_ne_bytes());
    }
    if let Some((master, _)) = spec.master {
        put_u32(out, IFLA_MASTER, master);
    }
}

fn put_options(out: &mut Vec<u8>, options: &[KindOption]) {
    for option in options {
        nla::put(out, option.code, &option.value);
    }
}

/// The body of `RTM_NEWLINK` that makes a link. One message makes a veth with both ends in their namespaces.
#[must_use]
pub fn link_add(spec: &LinkSpec, peer_fd: Option<u32>) -> Vec<u8> {
    let up = if spec.up { IFF_UP } else { 0 };
    let mut body = ifinfo(spec.index, up, up);
    put_spec(&mut body, spec);
    nla::nest(&mut body, IFLA_LINKINFO, |info| {
        put_text(info, IFLA_INFO_KIND, &spec.kind);
        if !spec.options.is_empty() || spec.peer.is_some() {
            nla::nest(info, IFLA_INFO_DATA, |data| {
                put_options(data, &spec.options);
                if let Some(peer) = &spec.peer {
                    let peer = &peer.1;
                    nla::nest(data, VETH_INFO_PEER, |out| {
                        // Up on the peer fails with ENOTCONN here: it is set afterwards.
                        out.extend_from_slice(&ifinfo(peer.index, 0, 0));
                        put_spec(out, peer);
                        if let Some(fd) = peer_fd {
                            put_u32(out, IFLA_NET_NS_FD, fd);
                        }
                    });
                }
            });
        }
    });
    body
}

/// The body of `RTM_NEWLINK` that is always refused, after the kernel has loaded what makes links of this kind.
#[must_use]
pub fn load_kind(kind: &str) -> Vec<u8> {
    let mut body = ifinfo(0, 0, 0);
    put_u32(&mut body, IFLA_NUM_TX_QUEUES, u32::MAX);
    nla::nest(&mut body, IFLA_LINKINFO, |info| put_text(info, IFLA_INFO_KIND, kind));
    body
}

/// The body of `RTM_NEWLINK` that changes a link.
#[must_use]
pub fn link_set(index: u32, change: &LinkChange) -> Vec<u8> {
    let (mut flags, mut mask) = (0, 0);
    for (bit, value) in [
        (IFF_UP, change.up),
        (IFF_PROMISC, change.promisc),
        (IFF_ALLMULTI, change.allmulticast),
        (IFF_NOARP, change.arp.map(|arp| !arp)),
        (IFF_MULTICAST, change.multicast),
        (IFF_DYNAMIC, change.dynamic),
    ] {
        if let Some(value) = value {
            mask |= bit;
            flags |= if value { bit } else { 0 };
        }
    }
    let mut body = ifinfo(index, flags, mask);
    if let Some(name) = &change.name {
        put_text(&mut body, IFLA_IFNAME, name);
    }
    if let Some(mac) = &change.mac {
        nla::put(&mut body, IFLA_ADDRESS, mac);
    }
    if let Some(mac) = &change.broadcast {
        nla::put(&mut body, IFLA_BROADCAST, mac);
    }
    if let Some(mtu) = change.mtu {
        put_u32(&mut body, IFLA_MTU, mtu);
    }
    if let Some((master, _)) = change.master {
        put_u32(&mut body, IFLA_MASTER, master);
    }
    if let Some(alias) = &change.alias {
        // An empty alias removes it.
        nla::put(&mut body, IFLA_IFALIAS, alias.as_bytes());
    }
    if let Some(len) = change.txqueuelen {
        put_u32(&mut body, IFLA_TXQLEN, len);
    }
    if let Some(group) = change.group {
        put_u32(&mut body, IFLA_GROUP, group);
    }
    if let Some(mode) = change.addrgenmode {
        nla::nest(&mut body, IFLA_AF_SPEC, |spec| {
            nla::nest(spec, u16::from(crate::plan::record::AF_INET6), |inet6| {
                nla::put(inet6, IFLA_INET6_ADDR_GEN_MODE, &[mode]);
            });
        });
    }
    if let Some((kind, options)) = &change.kind {
        nla::nest(&mut body, IFLA_LINKINFO, |info| {
            put_text(info, IFLA_INFO_KIND, kind);
            nla::nest(info, IFLA_INFO_DATA, |data| put_options(data, options));
        });
    }
    if let Some((kind, options)) = &change.port {
        nla::nest(&mut body, IFLA_LINKINFO, |info| {
            put_text(info, IFLA_INFO_SLAVE_KIND, kind);
            nla::nest(info, IFLA_INFO_SLAVE_DATA, |data| put_options(data, options));
        });
    }
    body
}

/// The body of `RTM_NEWLINK` that moves a link.
#[must_use]
pub fn link_move(index: u32, fd: u32, name: Option<&str>, new_index: u32) -> Vec<u8> {
    let mut body = ifinfo(index, 0, 0);
    if let Some(name) = name {
        put_text(&mut body, IFLA_IFNAME, name);
    }
    put_u32(&mut body, IFLA_NET_NS_FD, fd);
    if new_index != 0 {
        put_u32(&mut body, IFLA_NEW_IFINDEX, new_index);
    }
    body
}

/// The body of `RTM_NEWLINKPROP` and `RTM_DELLINKPROP`.
#[must_use]
pub fn altname(index: u32, name: &str) -> Vec<u8> {
    let mut body = ifinfo(index, 0, 0);
    nla::nest(&mut body, IFLA_PROP_LIST, |list| put_text(list, IFLA_ALT_IFNAME, name));
    body
}

#[must_use]
pub fn rec_new(what: What) -> u16 {
    match what {
        What::Addr => rtm::NEWADDR,
        What::Route => rtm::NEWROUTE,
        What::Neigh => rtm::NEWNEIGH,
        What::Rule => rtm::NEWRULE,
        What::Nexthop => rtm::NEWNEXTHOP,
        What::Qdisc => rtm::NEWQDISC,
        What::Class => rtm::NEWTCLASS,
        What::Filter => rtm::NEWTFILTER,
        What::Vlan => rtm::SETLINK,
        What::Fdb => rtm::NEWNEIGH,
        What::Mdb => rtm::NEWMDB,
    }
}

#[must_use]
pub fn rec_del(what: What) -> u16 {
    match what {
        What::Addr => rtm::DELADDR,
        What::Route => rtm::DELROUTE,
        What::Neigh => rtm::DELNEIGH,
        What::Rule => rtm::DELRULE,
        What::Nexthop => rtm::DELNEXTHOP,
        What::Qdisc => rtm::DELQDISC,
        What::Class => rtm::DELTCLASS,
        What::Filter => rtm::DELTFILTER,
        What::Vlan => rtm::DELLINK,
        What::Fdb => rtm::DELNEIGH,
        What::Mdb => rtm::DELMDB,
    }
}

#[must_use]
pub fn add_flags(mode: AddMode) -> u16 {
    match mode {
        AddMode::Create => rtm::CREATE | rtm::EXCL,
        AddMode::Replace => rtm::CREATE | rtm::REPLACE,
        AddMode::Change => rtm::REPLACE,
        AddMode::Append => rtm::CREATE | rtm::APPEND,
        AddMode::Prepend => rtm::CREATE,
    }
}

/// The type of a route to somewhere (include/uapi/linux/rtnetlink.h).
const RTN_UNICAST: u8 = 1;

/// The record's body as it is sent: with the seconds that are left of a limited life.
#[must_use]
pub fn rec_body(rec: &Rec, now: u64) -> Vec<u8> {
    if rec.is_tc() {
        return crate::plan::tc::sendable(rec);
    }
    let mut body = rec.body.clone();
    if rec.what == What::Neigh
        && rec.byte(10) & crate::plan::record::NTF_PROXY != 0
        && let Some(state) = body.get_mut(8..10)
    {
        // As `ip neigh add proxy`: what is not permanent goes with the carrier. A dump shows no state (pneigh_fill_info,
        // net/core/neighbour.c), so it can't come from what was read.
        state.copy_from_slice(&crate::plan::record::NUD_PERMANENT.to_ne_bytes());
    }
    as_made(rec, &mut body);
    if let Some((valid, preferred)) = rec.ends {
        let left = |end: u64| {
            if end == u64::MAX {
                return FOREVER;
            }
            // To the nearest second: the kernel takes no less.
            let seconds = (end.saturating_sub(now) + TICKS / 2) / TICKS;
            u32::try_from(seconds.max(1)).unwrap_or(FOREVER - 1)
        };
        match rec.what {
            What::Addr => {
                // The preferred life may be over (0: deprecated), the valid one not.
                let preferred = if preferred <= now { 0 } else { left(preferred) };
                let mut cache = Vec::with_capacity(16);
                for word in [preferred, left(valid), 0, 0] {
                    cache.extend_from_slice(&word.to_ne_bytes());
                }
                nla::put(&mut body, IFA_CACHEINFO, &cache);
            }
            What::Route => put_u32(&mut body, 23, left(valid)), // RTA_EXPIRES
            _ => {}
        }
    }
    body
}

/// A route by a blackhole nexthop is shown as one (`fib_dump_info`, net/ipv4/fib_semantics.c), but is found as what it was
/// made as only.
fn as_made(rec: &Rec, body: &mut [u8]) {
    if rec.what == What::Route
        && rec.attr(RTA_NH_ID).is_some()
        && let Some(kind) = body.get_mut(7)
    {
        *kind = RTN_UNICAST;
    }
}

/// What is sent to delete the record: of a nexthop its id alone.
#[must_use]
pub fn rec_del_body(rec: &Rec) -> Vec<u8> {
    match rec.what {
        What::Nexthop => {
            crate::plan::nexthop::removal(rec.attr_u32(crate::plan::nexthop::NHA_ID).unwrap_or_default()).body
        }
        What::Mdb => bridge::mdb::Mdb::of(rec).map_or_else(Vec::new, |m| m.removal().body),
        _ => {
            let mut body = rec.body.clone();
            as_made(rec, &mut body);
            body
        }
    }
}

/// The requests whose dumps together are a whole table.
#[must_use]
pub fn dump_requests(what: What) -> Vec<(u16, Vec<u8>)> {
    match what {
        What::Addr => vec![(rtm::GETADDR, vec![0; 8])],
        What::Route => vec![(rtm::GETROUTE, vec![0; 12])],
        What::Rule => vec![(rtm::GETRULE, vec![0; 12])],
        What::Nexthop => vec![(rtm::GETNEXTHOP, vec![0; 8])],
        What::Qdisc => vec![(rtm::GETQDISC, vec![0; crate::plan::tc::HEADER])],
        What::Vlan => {
            let mut body = ifinfo(0, 0, 0);
            body[0] = bridge::AF_BRIDGE;
            put_u32(&mut body, IFLA_EXT_MASK, BRIDGE_VLANS);
            vec![(rtm::GETLINK, body)]
        }
        What::Fdb => {
            let mut body = vec![0; bridge::fdb::HEADER];
            body[0] = bridge::AF_BRIDGE;
            vec![(rtm::GETNEIGH, body)]
        }
        What::Mdb => vec![(rtm::GETMDB, vec![bridge::AF_BRIDGE, 0, 0, 0, 0, 0, 0, 0])],
        // Asked for qdisc by qdisc (super::queues).
        What::Class | What::Filter => Vec::new(),
        What::Neigh => {
            // Proxy entries are a table of their own (neigh_dump_info, net/core/neighbour.c).
            let mut proxy = vec![0; 12];
            proxy[10] = NTF_PROXY;
            vec![(rtm::GETNEIGH, vec![0; 12]), (rtm::GETNEIGH, proxy)]
        }
    }
}

/// The body of `RTM_GETNSID` and `RTM_NEWNSID`.
#[must_use]
pub fn nsid_body(fd: Option<u32>, id: Option<i32>) -> Vec<u8> {
    let mut body = vec![0; 4];
    if let Some(fd) = fd {
        put_u32(&mut body, NETNSA_FD, fd);
    }
    if let Some(id) = id {
        nla::put(&mut body, NETNSA_NSID, &id.to_ne_bytes());
    }
    body
}

/// The nsid in an answer; -1 means that there is none.
#[must_use]
pub fn nsid_of(body: &[u8]) -> Option<i32> {
    nla::attr(body.get(4..)?, NETNSA_NSID).and_then(nla::u32_of).map(u32::cast_signed).filter(|id| *id >= 0)
}

/// The nsid that the socket's namespace has for the one of `fd`.
///
/// # Errors
/// What the kernel refused.
pub fn nsid(netlink: &Netlink, fd: &OwnedFd) -> std::result::Result<Option<i32>, Refusal> {
    let raw = u32::try_from(fd.as_raw_fd()).ok();
    let answer = netlink.request(rtm::GETNSID, 0, &nsid_body(raw, None))?;
    Ok(answer.as_deref().and_then(nsid_of))
}

/// The kernel option (and module) behind a link kind: what to look for where it is missing.
#[must_use]
pub fn kind_option(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "bareudp" => ("CONFIG_BAREUDP", "bareudp"),
        "bond" => ("CONFIG_BONDING", "bonding"),
        "bridge" => ("CONFIG_BRIDGE", "bridge"),
        "dummy" => ("CONFIG_DUMMY", "dummy"),
        "geneve" => ("CONFIG_GENEVE", "geneve"),
        "gre" | "gretap" | "erspan" => ("CONFIG_NET_IPGRE", "ip_gre"),
        "ip6erspan" | "ip6gre" | "ip6gretap" => ("CONFIG_IPV6_GRE", "ip6_gre"),
        "ifb" => ("CONFIG_IFB", "ifb"),
        "ip6tnl" => ("CONFIG_IPV6_TUNNEL", "ip6_tunnel"),
        "ipip" => ("CONFIG_NET_IPIP", "ipip"),
        "ipvlan" => ("CONFIG_IPVLAN", "ipvlan"),
        "ipvtap" => ("CONFIG_IPVTAP", "ipvtap"),
        "macsec" => ("CONFIG_MACSEC", "macsec"),
        "macvlan" => ("CONFIG_MACVLAN", "macvlan"),
        "macvtap" => ("CONFIG_MACVTAP", "macvtap"),
        "netkit" => ("CONFIG_NETKIT", "netkit"),
        "nlmon" => ("CONFIG_NLMON", "nlmon"),
        "sit" => ("CONFIG_IPV6_SIT", "sit"),
        "team" => ("CONFIG_NET_TEAM", "team"),
        "veth" => ("CONFIG_VETH", "veth"),
        "vlan" => ("CONFIG_VLAN_8021Q", "8021q"),
        "vrf" => ("CONFIG_NET_VRF", "vrf"),
        "tun" => ("CONFIG_TUN", "tun"),
        "vti" => ("CONFIG_NET_IPVTI", "ip_vti"),
        "vti6" => ("CONFIG_IPV6_VTI", "ip6_vti"),
        "vxlan" => ("CONFIG_VXLAN", "vxlan"),
        "wireguard" => ("CONFIG_WIREGUARD", "wireguard"),
        "xfrm" => ("CONFIG_XFRM_INTERFACE", "xfrm_interface"),
        _ => return None,
    })
}

/// The kernel's words for a link kind that it does not have (`rtnl_newlink`, net/core/rtnetlink.c).
const UNKNOWN_KIND: &str = "Unknown device type";

/// Why a link was not made.
#[must_use]
pub fn link_add_error(ns: &Ns, spec: &LinkSpec, refusal: Refusal) -> Error {
    let name = spec.name.clone().unwrap_or_else(|| format!("a {}", spec.kind));
    let peer = spec.peer.as_ref();
    let pair = match peer.and_then(|p| p.1.name.as_ref()) {
        Some(peer) => format!("`{name}` or its peer `{peer}`"),
        None => format!("`{name}`"),
    };
    let place = match peer.filter(|p| p.0 != *ns) {
        Some(peer) => format!("{} or {}", ns.label(), peer.0.label()),
        None => ns.label(),
    };
    let errno = refusal.errno;
    let base = match errno {
        libc::EEXIST => Error::new(Kind::Exists, format!("{pair} exists already in {place}")).with_hint(
            "choose another name, or another index where one is given, or delete the link first: link_del(…)",
        ),
        libc::EOPNOTSUPP if spec.master.is_some() && refusal.words.as_deref() != Some(UNKNOWN_KIND) => {
            let master = spec.master.as_ref().map_or("", |(_, name)| name.as_str());
            no_ports(master, &format!("`{name}` can't be made a port of it"))
        }
        // The kind is known, but not what was asked of it: such as vlan_filtering of a bridge.
        libc::EOPNOTSUPP if !spec.options.is_empty() && refusal.words.as_deref() != Some(UNKNOWN_KIND) => {
            let words: Vec<&str> = spec.options.iter().map(|o| o.words.as_str()).filter(|w| !w.is_empty()).collect();
            Error::new(
                Kind::Unsupported,
                format!("this kernel makes no {} links, or none with {}", spec.kind, words.join(", ")),
            )
            .with_hint(lacking_option(&spec.kind, &spec.options))
        }
        libc::EOPNOTSUPP => {
            let hint = match kind_option(&spec.kind) {
                Some((option, module)) => {
                    format!(
                        "the kernel option {option} (module `{module}`) is missing: try `modprobe {module}`, or another kernel"
                    )
                }
                None => "`nsscript doctor` lists what this kernel has".into(),
            };
            Error::new(Kind::Unsupported, format!("this kernel makes no {} links", spec.kind)).with_hint(hint)
        }
        _ => Error::from_errno(errno, format!("make {} {pair} in {place}", spec.kind)),
    };
    let mut error = base.with_op("link_add").with_ns(&ns.name).with_target(name).with_errno(errno);
    error.kernel = refusal.words;
    error
}

/// The error of a master that takes no ports (do_set_master, net/core/rtnetlink.c).
fn no_ports(master: &str, what: &str) -> Error {
    Error::new(Kind::Invalid, format!("`{master}` takes no ports: {what}"))
        .with_hint("a master is a bridge, a bond, a team or a vrf; and not every link can be a port of each")
}

/// The kernel option that a route's encapsulation needs.
fn missing_encap(rec: &Rec) -> Option<&'static str> {
    use crate::plan::nexthop::{NHA_ENCAP, NHA_ENCAP_TYPE};
    use crate::plan::record::{RTA_ENCAP, RTA_ENCAP_TYPE};
    let read = |kind: u16, content: u16| option_of_encap(rec.attr(kind), rec.attr(content));
    match rec.what {
        What::Route => read(RTA_ENCAP_TYPE, RTA_ENCAP),
        What::Nexthop => read(NHA_ENCAP_TYPE, NHA_ENCAP),
        _ => None,
    }
}

fn option_of_encap(kind: Option<&[u8]>, content: Option<&[u8]>) -> Option<&'static str> {
    use crate::plan::encap::Encap;
    match Encap::read(kind, content)? {
        Encap::Seg6 { .. } | Encap::SegLocal(_) => Some("CONFIG_IPV6_SEG6_LWTUNNEL"),
        Encap::Mpls { .. } => Some("CONFIG_MPLS_IPTUNNEL"),
        _ => Some("CONFIG_LWTUNNEL"),
    }
}

/// What the kernel lacks, of the options of a link that it refused.
pub(super) fn lacking_option(kind: &str, options: &[KindOption]) -> String {
    let any = |prefix: &str| options.iter().any(|o| o.words.starts_with(prefix));
    let option = match kind {
        "bridge" if any("vlan_") => "CONFIG_BRIDGE_VLAN_FILTERING",
        "bridge" if any("mcast_") => "CONFIG_BRIDGE_IGMP_SNOOPING",
        "bridge" if any("nf_call_") => "CONFIG_BRIDGE_NETFILTER",
        _ => return "leave the options out, one by one, to see which it is that the kernel lacks".into(),
    };
    format!("the kernel option {option} is missing: another kernel has it; `nsscript doctor` lists what this one has")
}

/// Why a verb was refused: the object, the namespace, the kernel's words, and what to do.
#[must_use]
pub fn explain(verb: &Verb, refusal: Refusal) -> Error {
    let errno = refusal.errno;
    let target = verb.target();
    let ns = verb.ns().cloned().unwrap_or(Ns { cookie: 0, name: String::new() });
    let place = ns.label();
    let plain = |what: String| Error::from_errno(errno, what);
    let gone = |name: &str| {
        Error::new(Kind::NotFound, format!("there is no device `{name}` in {place}"))
            .with_hint("links() lists those that there are")
    };
    let base = match (verb, errno) {
        (
            Verb::LinkSet { link, .. }
            | Verb::LinkDel { link, .. }
            | Verb::LinkMove { link, .. }
            | Verb::LinkAltname { link, .. },
            libc::ENODEV,
        ) => gone(&link.name),
        (Verb::LinkDel { link, .. }, libc::EOPNOTSUPP) => {
            Error::new(Kind::Unsupported, format!("`{}` in {place} can't be deleted", link.name))
                .with_hint("a physical device or the loopback; link_down takes it out of service")
        }
        (Verb::LinkMove { link, to, .. }, libc::EINVAL) => {
            Error::new(Kind::Invalid, format!("`{}` can't leave {place}", link.name))
                .with_hint(format!("bridges, bonds, vrfs and the loopback are bound to their namespace; make it in {} instead", to.label()))
        }
        (Verb::LinkMove { link, to, name, .. }, libc::EEXIST) => {
            let name = name.as_deref().unwrap_or(&link.name);
            Error::new(Kind::Exists, format!("`{name}` exists already in {}", to.label()))
                .with_hint("rename one of the two first: link_rename(…)")
        }
        (Verb::LinkSet { link, change, .. }, libc::EEXIST) if change.name.is_some() => {
            let name = change.name.as_deref().unwrap_or_default();
            Error::new(Kind::Exists, format!("`{}` can't be renamed: `{name}` exists already in {place}", link.name))
                .with_hint("choose another name")
        }
        (Verb::LinkSet { link, change, .. }, libc::EOPNOTSUPP) if change.master.as_ref().is_some_and(|m| m.0 != 0) => {
            let master = change.master.as_ref().map_or("", |(_, name)| name.as_str());
            no_ports(master, &format!("`{}` in {place} can't be made one of it", link.name))
        }
        (Verb::LinkSet { link, change, .. }, libc::EOPNOTSUPP) if change.kind.is_some() => {
            let (kind, options) = change.kind.clone().unwrap_or_default();
            plain(format!("set link `{}` in {place}", link.name)).with_hint(lacking_option(&kind, &options))
        }
        (Verb::LinkSet { link, change, .. }, libc::ERANGE) => {
            let said = |of: &Option<(String, Vec<KindOption>)>| {
                of.iter().flat_map(|(_, all)| all.iter().map(|o| format!("`{}`", o.words))).collect::<Vec<_>>()
            };
            let all = [said(&change.kind), said(&change.port)].concat().join(", ");
            let error = plain(format!("set link `{}` in {place}", link.name));
            if all.is_empty() { error } else { error.with_hint(format!("the kernel takes no such value of one of these: {all}")) }
        }
        (Verb::LinkSet { link, .. }, _) => plain(format!("set link `{}` in {place}", link.name)),
        (Verb::LinkDel { link, .. }, _) => plain(format!("delete link `{}` in {place}", link.name)),
        (Verb::LinkMove { link, to, .. }, _) => plain(format!("move link `{}` to {}", link.name, to.label())),
        (Verb::LinkAltname { link, name, add, .. }, _) => {
            let verb = if *add { "add" } else { "delete" };
            plain(format!("{verb} the alternative name `{name}` of link `{}` in {place}", link.name))
        }
        (Verb::Ethtool { link, .. }, _) => plain(format!("set features or channels of `{}` in {place}", link.name)),
        (Verb::Wireguard { link, .. }, _) => plain(format!("set keys and peers of `{}` in {place}", link.name)),
        (Verb::RecAdd { rec, .. } | Verb::RecDel { rec, .. }, _) if rec.is_tc() => {
            super::queues::explain(verb, rec, &place, &refusal)
        }
        (Verb::RecAdd { rec, .. } | Verb::RecDel { rec, .. }, _) if rec.is_bridge() => {
            super::switch::explain(verb, rec, &place, &refusal)
        }
        (Verb::RecAdd { rec, words, .. }, libc::EEXIST) => {
            Error::new(Kind::Exists, format!("{} {words} exists already in {place}", rec.what.noun()))
        }
        (Verb::RecAdd { rec, words, .. }, libc::EOPNOTSUPP) if missing_encap(rec).is_some() => {
            let option = missing_encap(rec).unwrap_or_default();
            Error::new(Kind::Unsupported, format!("{} {words} can't be added in {place}: this kernel lacks the encapsulation", rec.what.noun()))
                .with_hint(format!("the kernel option {option} is missing: another kernel has it; `nsscript doctor` lists what this one has"))
        }
        (Verb::RecAdd { rec, words, .. }, libc::EOPNOTSUPP) if rec.what == What::Route && rec.family() == crate::plan::record::AF_MPLS => {
            Error::new(Kind::Unsupported, format!("route {words} can't be added in {place}: this kernel has no MPLS"))
                .with_hint("the kernel option CONFIG_MPLS_ROUTING (module `mpls_router`) is missing: try `modprobe mpls_router`, or another kernel")
        }
        (Verb::RecAdd { rec, words, .. }, libc::ENETUNREACH) if rec.what == What::Route => {
            Error::new(Kind::Unreachable, format!("route {words} can't be added in {place}: the gateway is not reachable"))
                .with_hint("the gateway must lie in a subnet of an address on a device that is up: check addrs() and link_up(…), or give #{ onlink: true, dev: … }")
        }
        (Verb::RecAdd { rec, words, .. }, libc::ENETDOWN)
            if rec.what == What::Nexthop && rec.attr(crate::plan::nexthop::NHA_BLACKHOLE).is_some() =>
        {
            Error::new(Kind::Unreachable, format!("nexthop {words} can't be added in {place}: the loopback is down"))
                .with_hint("a blackhole is on the loopback: link_up(ns, \"lo\"), or netns_add(name, #{ lo: true })")
        }
        (Verb::RecAdd { rec, words, .. }, libc::ENETDOWN) => {
            Error::new(Kind::Unreachable, format!("{} {words} can't be added in {place}: the device is down", rec.what.noun()))
                .with_hint("bring it up first: link_up(…)")
        }
        (Verb::RecAdd { rec, words, .. }, libc::EACCES) if rec.family() == crate::plan::record::AF_INET6 => {
            Error::new(Kind::Unsupported, format!("{} {words} can't be added in {place}: IPv6 is off there", rec.what.noun()))
                .with_hint("sysctl(ns, \"net.ipv6.conf.all.disable_ipv6\", 0)")
        }
        (Verb::RecDel { rec, words, .. }, libc::EADDRNOTAVAIL | libc::ESRCH | libc::ENOENT) => {
            Error::new(Kind::NotFound, format!("there is no {} {words} in {place}", rec.what.noun()))
        }
        (Verb::RecAdd { rec, words, .. }, _) => plain(format!("add {} {words} in {place}", rec.what.noun())),
        (Verb::RecDel { rec, words, .. }, _) => plain(format!("delete {} {words} in {place}", rec.what.noun())),
        (Verb::NetnsSetId { at, target, id }, libc::EEXIST) => Error::new(
            Kind::Exists,
            format!("namespace `{}` has an nsid in {} already, or {} is taken", target.name, at.label(), id.unwrap_or(-1)),
        )
        .with_hint("an nsid once given stays: netns_list_id() shows them"),
        (Verb::NetnsSetId { target, .. }, _) => plain(format!("set the nsid of namespace `{}`", target.name)),
        _ => plain(format!("{} {target} in {place}", verb.word())),
    };
    let mut error = base.with_op(verb.word()).with_ns(&ns.name).with_target(target).with_errno(errno);
    error.kernel = refusal.words;
    error
}

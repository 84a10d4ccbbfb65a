//! What is found out with the links that were made: groups of bridges, segment routing, ethtool.

use super::{BRIDGE, ENDS, Finding, Room, State, UNKNOWN_TC};
use crate::kernel::linux::message::{put_text, rtm};
use crate::kernel::linux::socket::{Refusal, refusal_text};
use crate::plan::bridge::mdb::{Group, Mdb};
use crate::plan::encap::{Encap, SegLocal};
use crate::plan::link::{IFF_UP, IFLA_MASTER};
use crate::plan::nla;
use crate::plan::record::{RTA_DST, RTA_ENCAP, RTA_ENCAP_TYPE, RTA_OIF};
use std::net::Ipv6Addr;

impl Room<'_> {
    /// A permanent member of a group, behind a port of the bridge.
    pub(super) fn bridge_groups(&mut self) {
        let name = "bridge mdb";
        if !self.found.iter().any(|f| f.name == "bridge" && f.state == State::Yes) {
            self.found.push(Finding::new("link", name, State::Unknown).note("it needs a bridge to be tried on"));
            return;
        }
        let up = |index: u32| self.netlink.request(rtm::NEWLINK, 0, &super::ifinfo(index, IFF_UP, IFF_UP)).map(drop);
        let mut port = super::ifinfo(ENDS[3], 0, 0);
        nla::put(&mut port, IFLA_MASTER, &BRIDGE.to_ne_bytes());
        let group = Mdb::new(BRIDGE, ENDS[3], Group::Ip([239, 1, 1, 1].into())).record();
        let done = up(BRIDGE)
            .and_then(|()| self.netlink.request(rtm::NEWLINK, 0, &port).map(drop))
            .and_then(|()| up(ENDS[3]))
            .and_then(|()| self.netlink.request(rtm::NEWMDB, rtm::CREATE | rtm::EXCL, &group.body).map(drop));
        let mut alone = super::ifinfo(ENDS[3], 0, 0);
        nla::put(&mut alone, IFLA_MASTER, &0u32.to_ne_bytes());
        let _ = self.netlink.request(rtm::NEWLINK, 0, &alone);
        self.found.push(option("link", name, "CONFIG_BRIDGE_IGMP_SNOOPING", done));
    }

    /// Routes with an encapsulation of segment routing.
    pub(super) fn segments(&mut self) {
        let up = self.netlink.request(rtm::NEWLINK, 0, &super::ifinfo(ENDS[0], IFF_UP, IFF_UP));
        let segment = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        for (last, name, encap) in [
            (2, "seg6", Encap::Seg6 { mode: 1, segs: vec![segment] }),
            (3, "seg6local", Encap::SegLocal(SegLocal::new(1))),
        ] {
            let dst = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
            // struct rtmsg: the whole address, table main, RTPROT_STATIC, RTN_UNICAST.
            let mut body = vec![10, 128, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
            nla::put(&mut body, RTA_DST, &dst.octets());
            nla::put(&mut body, RTA_OIF, &ENDS[0].to_ne_bytes());
            encap.put(&mut body, RTA_ENCAP_TYPE, RTA_ENCAP);
            let done = up.clone().and_then(|_| self.netlink.request(rtm::NEWROUTE, rtm::CREATE | rtm::EXCL, &body));
            self.found.push(option("other", name, "CONFIG_IPV6_SEG6_LWTUNNEL", done.map(drop)));
        }
    }

    /// Actions, as part of a filter: one that is known wants to be told what to do.
    pub(super) fn actions(&mut self) {
        const TCA_U32_ACT: u16 = 7;
        const TCA_ACT_KIND: u16 = 1;
        for name in crate::plan::tc::action::KINDS {
            if !self.found.iter().any(|f| f.name == "u32" && f.state == State::Yes) {
                self.found.push(Finding::new("action", *name, State::Unknown).note("it needs a u32 to be tried in"));
                continue;
            }
            let mut options = super::match_all();
            nla::nest(&mut options, TCA_U32_ACT, |list| {
                nla::nest(list, 1, |action| put_text(action, TCA_ACT_KIND, name));
            });
            let done = known(self.filter(9, "u32", &options));
            let option = format!("CONFIG_NET_ACT_{}", name.to_uppercase());
            self.found.push(Room::judge("action", name, &option, &format!("act_{name}"), &UNKNOWN_TC, done));
        }
    }

    /// Routes that put MPLS labels on: of the family IPv4, which needs no labels to be let in.
    pub(super) fn mpls_routes(&mut self) {
        let mut body = vec![2, 32, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0];
        nla::put(&mut body, RTA_DST, &[192, 0, 2, 9]);
        nla::put(&mut body, RTA_OIF, &1u32.to_ne_bytes());
        Encap::Mpls { labels: vec![100], ttl: None }.put(&mut body, RTA_ENCAP_TYPE, RTA_ENCAP);
        let done = self.netlink.request(rtm::NEWROUTE, rtm::CREATE | rtm::EXCL, &body).map(drop);
        let unknown = [libc::EOPNOTSUPP];
        let name = "mpls encapsulation";
        self.found.push(Room::judge("other", name, "CONFIG_MPLS_IPTUNNEL", "mpls_iptunnel", &unknown, done));
    }

    /// Features of devices by generic netlink.
    pub(super) fn ethtool(&mut self) {
        let finding = match crate::kernel::linux::ethtool::there() {
            Ok(()) => Finding::new("other", "ethtool", State::Yes),
            Err(error) => Finding::new("other", "ethtool", State::No)
                .note(if error.kind == crate::plan::Kind::Unsupported {
                    "needs CONFIG_ETHTOOL_NETLINK".into()
                } else {
                    error.message
                })
                .hint("another kernel"),
        };
        self.found.push(finding);
    }
}

/// What became of asking for a kind without all that it wants: that is looked for first.
pub(super) fn known(done: Result<(), Refusal>) -> Result<(), Refusal> {
    match done {
        Err(r) if r.errno == libc::EINVAL => Ok(()),
        other => other,
    }
}

/// What became of a thing that needs an option that is no module.
fn option(area: &'static str, name: &'static str, option: &str, done: Result<(), Refusal>) -> Finding {
    match done {
        Ok(()) => Finding::new(area, name, State::Yes),
        Err(r) if r.errno == libc::EOPNOTSUPP => {
            Finding::new(area, name, State::No).note(format!("needs {option}")).hint("another kernel")
        }
        Err(r) => Finding::new(area, name, State::Unknown).note(refusal_text(&r)),
    }
}

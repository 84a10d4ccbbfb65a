//! Nexthop objects and their groups as scripts ask for them (ip-nexthop(8); `struct nhmsg` and `NHA_…` in
//! include/uapi/linux/nexthop.h), and the records that they become.

use super::addr::{family, octets, proto_name};
use super::encap::Encap;
use super::error::{Error, Result};
use super::record::{Rec, What, ip_of};
use super::{ip, nla};
use std::net::IpAddr;

pub const NHA_ID: u16 = 1;
pub const NHA_GROUP: u16 = 2;
pub const NHA_GROUP_TYPE: u16 = 3;
pub const NHA_BLACKHOLE: u16 = 4;
pub const NHA_OIF: u16 = 5;
pub const NHA_GATEWAY: u16 = 6;
pub const NHA_ENCAP_TYPE: u16 = 7;
pub const NHA_ENCAP: u16 = 8;
pub const NHA_FDB: u16 = 11;
pub const NHA_RES_GROUP: u16 = 12;
const RES_BUCKETS: u16 = 1;
const RES_IDLE_TIMER: u16 = 2;
const RES_UNBALANCED_TIMER: u16 = 3;
/// `RTNH_F_ONLINK`: the only flag that can be given.
const ONLINK: u32 = 4;

/// How packets are spread over a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupKind {
    /// By the hash of the flow alone.
    #[default]
    Mpath,
    /// By a table of buckets, which are moved only when they are idle. Times in hundredths of a second.
    Resilient { buckets: Option<u16>, idle: Option<u32>, unbalanced: Option<u32> },
}

/// A nexthop, or a group of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NexthopSpec {
    /// From 1; 0: the kernel chooses.
    pub id: u32,
    pub via: Option<IpAddr>,
    /// ifindex and name.
    pub dev: Option<(u32, String)>,
    /// `AF_INET` or `AF_INET6`, for those without a gateway; `None`: that of the gateway, else IPv4.
    pub family: Option<u8>,
    pub blackhole: bool,
    pub onlink: bool,
    /// For the forwarding database of vxlan devices.
    pub fdb: bool,
    pub proto: Option<u8>,
    pub encap: Option<Encap>,
    /// Ids and weights (from 1 to 256) of a group.
    pub group: Vec<(u32, u32)>,
    pub kind: GroupKind,
}

impl NexthopSpec {
    /// The record for adding.
    #[must_use]
    pub fn record(&self) -> Rec {
        let of = match (&self.group[..], self.via) {
            ([_, ..], _) => 0,
            (_, Some(via)) => family(via),
            _ => self.family.unwrap_or(super::record::AF_INET),
        };
        let mut body = vec![of, 0, self.proto.unwrap_or(0), 0];
        body.extend_from_slice(&if self.onlink { ONLINK } else { 0 }.to_ne_bytes());
        if self.id != 0 {
            nla::put(&mut body, NHA_ID, &self.id.to_ne_bytes());
        }
        if !self.group.is_empty() {
            let mut all = Vec::with_capacity(self.group.len() * 8);
            for (id, weight) in &self.group {
                // struct nexthop_grp: id, weight - 1, reserved
                all.extend_from_slice(&id.to_ne_bytes());
                all.extend_from_slice(&[u8::try_from(weight.clamp(&1, &256) - 1).unwrap_or(0), 0, 0, 0]);
            }
            nla::put(&mut body, NHA_GROUP, &all);
            if let GroupKind::Resilient { buckets, idle, unbalanced } = self.kind {
                nla::put(&mut body, NHA_GROUP_TYPE, &1u16.to_ne_bytes());
                nla::nest(&mut body, NHA_RES_GROUP, |out| {
                    if let Some(buckets) = buckets {
                        nla::put(out, RES_BUCKETS, &buckets.to_ne_bytes());
                    }
                    for (code, time) in [(RES_IDLE_TIMER, idle), (RES_UNBALANCED_TIMER, unbalanced)] {
                        if let Some(time) = time {
                            nla::put(out, code, &time.to_ne_bytes());
                        }
                    }
                });
            }
        }
        if self.blackhole {
            nla::put(&mut body, NHA_BLACKHOLE, &[]);
        }
        if let Some((index, _)) = self.dev {
            nla::put(&mut body, NHA_OIF, &index.to_ne_bytes());
        }
        if let Some(via) = self.via {
            nla::put(&mut body, NHA_GATEWAY, &octets(via));
        }
        if let Some(encap) = &self.encap {
            encap.put(&mut body, NHA_ENCAP_TYPE, NHA_ENCAP);
        }
        if self.fdb {
            nla::put(&mut body, NHA_FDB, &[]);
        }
        Rec { what: What::Nexthop, body, ends: None }
    }

    /// What follows `ip nexthop add`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut out = format!("id {}", self.id);
        if !self.group.is_empty() {
            let all = self.group.iter().map(|(id, weight)| match weight {
                1 => id.to_string(),
                weight => format!("{id},{weight}"),
            });
            out += &format!(" group {}", all.collect::<Vec<_>>().join("/"));
        }
        if let GroupKind::Resilient { buckets, idle, unbalanced } = self.kind {
            out += " type resilient";
            if let Some(buckets) = buckets {
                out += &format!(" buckets {buckets}");
            }
            for (word, time) in [("idle_timer", idle), ("unbalanced_timer", unbalanced)] {
                if let Some(time) = time {
                    out += &format!(" {word} {}", f64::from(time) / 100.0);
                }
            }
        }
        if let Some(encap) = &self.encap {
            out += &format!(" encap {}", encap.words());
        }
        if self.blackhole {
            out += " blackhole";
        }
        if let Some(via) = self.via {
            out += &format!(" via {via}");
        }
        if let Some((_, dev)) = &self.dev {
            out += &format!(" dev {}", ip::word(dev));
        }
        if self.onlink {
            out += " onlink";
        }
        if let Some(proto) = self.proto {
            out += &format!(" proto {}", proto_name(proto));
        }
        if self.fdb {
            out += " fdb";
        }
        out
    }

    /// Checks what does not go together.
    ///
    /// # Errors
    /// `invalid`.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::invalid(format!("nexthop {}: {why}", self.id)));
        if !self.group.is_empty() {
            if self.via.is_some() || self.dev.is_some() || self.blackhole || self.onlink || self.encap.is_some() {
                return refuse("a group has neither `via` nor `dev`, nor what else a single one has");
            }
            let mut ids: Vec<u32> = self.group.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            if ids.windows(2).any(|w| w[0] == w[1]) {
                return refuse("each nexthop can be in a group once; its weight says how much it counts");
            }
            if ids.contains(&self.id) {
                return refuse("a group can't hold itself");
            }
            return Ok(());
        }
        if self.kind != GroupKind::Mpath {
            return refuse("`buckets` and the like are of groups");
        }
        if self.blackhole {
            if self.via.is_some() || self.dev.is_some() || self.onlink || self.encap.is_some() {
                return refuse("a blackhole has neither `via` nor `dev`");
            }
            return Ok(());
        }
        if self.fdb {
            return if self.via.is_some() && self.dev.is_none() {
                Ok(())
            } else {
                refuse("with `fdb` it has `via` and no `dev`")
            };
        }
        if self.dev.is_none() {
            return Err(Error::invalid(format!("nexthop {}: `dev` is missing", self.id)).with_hint(
                "nexthop(ns, 1, #{ via: \"10.0.0.2\", dev: \"eth0\" }), #{ group: [1, 2] } or #{ blackhole: true }",
            ));
        }
        Ok(())
    }
}

/// What deletes the nexthop `id`: the kernel takes nothing else (nh_valid_get_del_req, net/ipv4/nexthop.c).
#[must_use]
pub fn removal(id: u32) -> Rec {
    let mut body = vec![0; 8];
    nla::put(&mut body, NHA_ID, &id.to_ne_bytes());
    Rec { what: What::Nexthop, body, ends: None }
}

/// The ids and weights of a group's record; empty for a single one.
#[must_use]
pub fn members(rec: &Rec) -> Vec<(u32, u32)> {
    let all = rec.attr(NHA_GROUP).unwrap_or_default();
    all.chunks_exact(8)
        .filter_map(|entry| {
            // Weights above 256 have their high byte beside them, from Linux 6.12 on.
            let weight = u32::from(entry[4]) + (u32::from(entry[5]) << 8) + 1;
            Some((nla::u32_of(entry)?, weight))
        })
        .collect()
}

/// A group without these members; `None`: nothing is left of it, and the kernel drops it.
#[must_use]
pub fn without(rec: &Rec, ids: &[u32]) -> Option<Rec> {
    let mut body = rec.body.get(..8)?.to_vec();
    for (code, value) in nla::attrs(rec.attrs()) {
        if code != NHA_GROUP {
            let nested = if code == NHA_RES_GROUP { netlink_packet_core::NLA_F_NESTED } else { 0 };
            nla::put(&mut body, code | nested, value);
            continue;
        }
        let stays = |entry: &&[u8]| nla::u32_of(entry).is_some_and(|id| !ids.contains(&id));
        let rest: Vec<u8> = value.chunks_exact(8).filter(stays).flatten().copied().collect();
        if rest.is_empty() {
            return None;
        }
        nla::put(&mut body, code, &rest);
    }
    Some(Rec { what: What::Nexthop, body, ends: None })
}

/// Whether two records are of one kind, so that the one can be replaced by the other: both single, or groups of one type.
#[must_use]
pub fn replaceable(a: &Rec, b: &Rec) -> bool {
    let group = |r: &Rec| r.attr(NHA_GROUP).is_some();
    let kind = |r: &Rec| r.attr(NHA_GROUP_TYPE).and_then(nla::number).unwrap_or_default();
    group(a) == group(b) && kind(a) == kind(b)
}

/// The buckets, idle timer and unbalanced timer (hundredths of a second) of a resilient group.
#[must_use]
pub fn resilient(rec: &Rec) -> Option<(u16, u32, u32)> {
    let nest = rec.attr(NHA_RES_GROUP)?;
    let get = |code: u16| nla::attr(nest, code).and_then(nla::number);
    let time = |code: u16| get(code).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    Some((u16::try_from(get(RES_BUCKETS)?).ok()?, time(RES_IDLE_TIMER), time(RES_UNBALANCED_TIMER)))
}

/// A nexthop in words, from its record.
#[must_use]
pub fn describe(rec: &Rec, name: impl Fn(u32) -> String) -> String {
    let spec = NexthopSpec {
        id: rec.attr_u32(NHA_ID).unwrap_or_default(),
        via: rec.attr(NHA_GATEWAY).and_then(ip_of),
        dev: rec.attr_u32(NHA_OIF).map(|index| (index, name(index))),
        blackhole: rec.attr(NHA_BLACKHOLE).is_some(),
        onlink: u32::from(rec.byte(4)) & ONLINK != 0,
        fdb: rec.attr(NHA_FDB).is_some(),
        proto: Some(rec.byte(2)).filter(|p| *p != 0),
        encap: Encap::read(rec.attr(NHA_ENCAP_TYPE), rec.attr(NHA_ENCAP)),
        group: members(rec),
        kind: match resilient(rec) {
            Some((buckets, idle, unbalanced)) => {
                GroupKind::Resilient { buckets: Some(buckets), idle: Some(idle), unbalanced: Some(unbalanced) }
            }
            None => GroupKind::Mpath,
        },
        ..NexthopSpec::default()
    };
    spec.words()
}

/// The record of a dumped nexthop: what can be sent back, and nothing else (rtm_to_nh_config, net/ipv4/nexthop.c, takes
/// neither the scope nor a flag but onlink; `NHA_OP_FLAGS` and the statistics only answer).
pub(super) fn normalise(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = body.get(..8)?.to_vec();
    out[1] = 0;
    let flags = nla::u32_of(&body[4..8])? & ONLINK;
    out[4..8].copy_from_slice(&flags.to_ne_bytes());
    for (code, value) in nla::attrs(&body[8..]) {
        match code {
            NHA_RES_GROUP => nla::nest(&mut out, code, |nest| {
                // Without how long it is unbalanced already.
                for (code, value) in nla::attrs(value).filter(|(c, _)| *c <= RES_UNBALANCED_TIMER && *c != 0) {
                    nla::put(nest, code, value);
                }
            }),
            NHA_GROUP_TYPE if value == [0, 0] => {}
            NHA_ENCAP => nla::put(&mut out, code | netlink_packet_core::NLA_F_NESTED, value),
            1..=9 | NHA_FDB => nla::put(&mut out, code, value),
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nexthop_in_words_and_back() {
        let single = NexthopSpec {
            id: 7,
            via: "10.0.0.2".parse().ok(),
            dev: Some((3, "eth0".into())),
            onlink: true,
            ..NexthopSpec::default()
        };
        assert_eq!(single.words(), "id 7 via 10.0.0.2 dev eth0 onlink");
        assert_eq!(describe(&single.record(), |_| "eth0".into()), single.words());
        let group = NexthopSpec {
            id: 9,
            group: vec![(7, 1), (8, 200)],
            kind: GroupKind::Resilient { buckets: Some(16), idle: Some(150), unbalanced: None },
            ..NexthopSpec::default()
        };
        assert_eq!(group.words(), "id 9 group 7/8,200 type resilient buckets 16 idle_timer 1.5");
        assert_eq!(members(&group.record()), group.group);
    }

    #[test]
    fn what_does_not_go_together() {
        let group = NexthopSpec { id: 1, group: vec![(2, 1)], ..NexthopSpec::default() };
        assert!(group.check().is_ok());
        assert!(NexthopSpec { blackhole: true, ..group.clone() }.check().is_err());
        assert!(NexthopSpec { group: vec![(2, 1), (2, 3)], ..group.clone() }.check().is_err());
        assert!(NexthopSpec { group: vec![(1, 1)], ..group }.check().is_err());
        assert!(NexthopSpec { id: 1, ..NexthopSpec::default() }.check().is_err());
    }
}

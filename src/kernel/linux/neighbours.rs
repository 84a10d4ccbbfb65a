//! The neighbour cache: one table for all namespaces together, which drops what does not fit in silence (`neigh_alloc`,
//! net/core/neighbour.c; its limit is `gc_thresh3`, 1024 by default).

use super::Linux;
use super::message::rtm;
use crate::kernel::Kernel as _;
use crate::plan::record::{AF_INET, AF_INET6};
use crate::plan::{Ns, Result, nla};
use std::collections::HashSet;
use std::net::IpAddr;

const RTM_GETNEIGHTBL: u16 = 66;
const NDTA_THRESH3: u16 = 4;
const NDTA_CONFIG: u16 = 5;
const NDA_DST: u16 = 1;
const NUD_PERMANENT: u16 = 0x80;
/// `struct ndmsg`.
const HEADER: usize = 12;

/// An entry: the device's index and the address.
pub type Entry = (u32, IpAddr);

impl Linux {
    /// How many entries of a family the table still takes, all namespaces together. `None`: the kernel does not tell.
    #[must_use]
    pub fn neighbour_room(&self, v6: bool) -> Option<usize> {
        let space = self.space(&self.host()).ok()?;
        let tables = space.netlink.dump(RTM_GETNEIGHTBL, &[if v6 { AF_INET6 } else { AF_INET }, 0, 0, 0]).ok()?;
        // The parameters of each device are told as messages of their own, without the limits.
        let table = tables.iter().find_map(|body| {
            let attrs = body.get(4..)?;
            let limit = nla::attr(attrs, NDTA_THRESH3).and_then(nla::u32_of)?;
            // struct ndt_config: two u16, then the number of entries.
            let entries = nla::attr(attrs, NDTA_CONFIG).and_then(|c| nla::u32_of(c.get(4..)?))?;
            Some(limit.saturating_sub(entries))
        })?;
        usize::try_from(table).ok()
    }

    /// The entries of a namespace that the kernel learned by itself.
    ///
    /// # Errors
    /// Netlink refuses.
    pub fn neighbours(&self, ns: &Ns, v6: bool) -> Result<HashSet<Entry>> {
        let space = self.space(ns)?;
        let mut request = [0; HEADER];
        request[0] = if v6 { AF_INET6 } else { AF_INET };
        let all = space
            .netlink
            .dump(rtm::GETNEIGH, &request)
            .map_err(|r| r.error(format!("read the neighbours of {}", ns.label())).with_ns(&ns.name))?;
        Ok(all.iter().filter_map(|body| learned(body)).collect())
    }

    /// Takes entries out of a namespace's cache; one that is not there any more is none.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn forget_neighbours(&self, ns: &Ns, entries: impl Iterator<Item = Entry>) -> Result<()> {
        let space = self.space(ns)?;
        for (index, ip) in entries {
            let mut body = vec![0; HEADER];
            body[0] = if ip.is_ipv6() { AF_INET6 } else { AF_INET };
            body[4..8].copy_from_slice(&index.to_ne_bytes());
            match ip {
                IpAddr::V4(ip) => nla::put(&mut body, NDA_DST, &ip.octets()),
                IpAddr::V6(ip) => nla::put(&mut body, NDA_DST, &ip.octets()),
            }
            let _ = space.netlink.request(rtm::DELNEIGH, 0, &body);
        }
        Ok(())
    }
}

/// The entry in a message, unless somebody made it for good.
fn learned(body: &[u8]) -> Option<Entry> {
    let state = u16::from_ne_bytes(body.get(8..10)?.try_into().ok()?);
    if state & NUD_PERMANENT != 0 {
        return None;
    }
    let dst = nla::attr(body.get(HEADER..)?, NDA_DST)?;
    let ip = match dst.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(dst).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(dst).ok()?),
        _ => return None,
    };
    Some((body.get(4..8).and_then(nla::u32_of)?, ip))
}

//! Generic netlink: families by name (net/netlink/genetlink.c; Documentation/networking/generic_netlink.rst).

use super::Linux;
use super::message::put_text;
use super::socket::{Netlink, Refusal};
use crate::plan::{Error, Kind, Ns, Result, nla};
use netlink_sys::protocols::NETLINK_GENERIC;

const CONTROLLER: u16 = 16; // GENL_ID_CTRL
const GETFAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `struct genlmsghdr`.
pub(super) const HEADER: usize = 4;

pub(super) fn message(command: u8, attributes: &[u8]) -> Vec<u8> {
    let mut body = vec![command, 1, 0, 0];
    body.extend_from_slice(attributes);
    body
}

/// A socket in the thread's namespace, and the number of the family.
pub(super) fn open(family: &str) -> Result<(Netlink, u16)> {
    let netlink = Netlink::open_to(NETLINK_GENERIC)?;
    let mut name = Vec::new();
    put_text(&mut name, FAMILY_NAME, family);
    let refused = |r: Refusal| match r.errno {
        libc::ENOENT => Error::new(Kind::Unsupported, format!("this kernel has no generic netlink family `{family}`")),
        _ => r.error(format!("look up the generic netlink family `{family}`")),
    };
    let answer = netlink.request(CONTROLLER, 0, &message(GETFAMILY, &name)).map_err(refused)?;
    let id = answer.as_deref().and_then(|body| nla::attr(body.get(HEADER..)?, FAMILY_ID)).and_then(nla::number);
    let id = id.and_then(|id| u16::try_from(id).ok());
    id.map(|id| (netlink, id)).ok_or_else(|| Error::internal("a generic netlink family without a number"))
}

impl Linux {
    /// Sends a command to a family, in a namespace.
    pub(super) fn genl_do(
        &self,
        ns: &Ns,
        family: &'static str,
        command: u8,
        attributes: &[u8],
    ) -> Result<std::result::Result<(), Refusal>> {
        let (netlink, id) = self.inside(ns, move || open(family))?;
        Ok(netlink.request(id, 0, &message(command, attributes)).map(drop))
    }

    /// The attributes of each message of a family's answer.
    pub(super) fn genl_dump(
        &self,
        ns: &Ns,
        family: &'static str,
        command: u8,
        attributes: &[u8],
    ) -> Result<Vec<Vec<u8>>> {
        let (netlink, id) = self.inside(ns, move || open(family))?;
        let all = netlink
            .dump(id, &message(command, attributes))
            .map_err(|r| r.error(format!("ask {family} in {}", ns.label())).with_ns(&ns.name))?;
        Ok(all.into_iter().map(|mut body| body.split_off(HEADER.min(body.len()))).collect())
    }
}

//! Why a verb about a bridge's tables was refused.

use super::message::noun;
use super::socket::Refusal;
use crate::plan::{Error, Kind, Rec, Verb, What};

/// The error in words.
#[must_use]
pub(super) fn explain(verb: &Verb, rec: &Rec, place: &str, refusal: &Refusal) -> Error {
    let (words, noun) = (verb.target(), noun(rec.what));
    let adds = matches!(verb, Verb::RecAdd { .. });
    let said = refusal.words.as_deref().unwrap_or_default();
    match (rec.what, refusal.errno) {
        (What::Vlan, libc::EOPNOTSUPP) => {
            Error::new(Kind::Unsupported, format!("this kernel's bridges have no VLANs: {words} in {place}"))
                .with_hint("the kernel option CONFIG_BRIDGE_VLAN_FILTERING is missing: another kernel has it")
        }
        (What::Mdb, libc::EOPNOTSUPP) => {
            Error::new(Kind::Unsupported, format!("this kernel's bridges have no groups: {words} in {place}"))
                .with_hint("the kernel option CONFIG_BRIDGE_IGMP_SNOOPING is missing: another kernel has it")
        }
        (_, libc::EEXIST) => Error::new(Kind::Exists, format!("{noun} {words} exists already in {place}")).with_hint(
            match rec.what {
                What::Fdb => "#{ replace: true } puts this one in its place; a vxlan's other ends are several by #{ append: true }",
                _ => "delete it first",
            },
        ),
        (_, libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL) if !adds => {
            Error::new(Kind::NotFound, format!("there is no {noun} {words} in {place}"))
        }
        (What::Mdb, libc::EINVAL) if adds && (said.contains("not running") || said.contains("disabled")) => {
            let what = format!("add {noun} {words} in {place}");
            Error::from_errno(refusal.errno, what)
                .with_hint("the bridge has to be up, with mcast_snooping on, and the port too: link_up(…)")
        }
        (_, errno) => {
            let verb = if adds { "add" } else { "delete" };
            Error::from_errno(errno, format!("{verb} {noun} {words} in {place}"))
        }
    }
}

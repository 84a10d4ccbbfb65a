//! Bridges: the state of a port, and why a verb about a bridge's tables was refused.

use super::Linux;
use super::message::{ifinfo, rtm};
use super::socket::Refusal;
use crate::kernel::{By, Kernel as _};
use crate::plan::link::{IFLA_BRPORT_STATE, LinkChange};
use crate::plan::{Error, Kind, LinkRef, Ns, Rec, Result, Verb, What, nla};
use std::borrow::Cow;

/// `BR_STATE_…` (include/uapi/linux/if_bridge.h), by number.
const STATES: [&str; 5] = ["disabled", "listening", "learning", "forwarding", "blocking"];

/// A change without the state of a bridge's port, and that.
pub(super) fn port_state(change: &LinkChange) -> (Cow<'_, LinkChange>, Option<u8>) {
    let Some((kind, options)) = change.port.as_ref().filter(|(kind, _)| kind == "bridge") else {
        return (Cow::Borrowed(change), None);
    };
    let state = options.iter().find(|o| o.code == IFLA_BRPORT_STATE).and_then(|o| o.value.first().copied());
    if state.is_none() {
        return (Cow::Borrowed(change), None);
    }
    let rest: Vec<_> = options.iter().filter(|o| o.code != IFLA_BRPORT_STATE).cloned().collect();
    let port = (!rest.is_empty()).then(|| (kind.clone(), rest));
    (Cow::Owned(LinkChange { port, ..change.clone() }), state)
}

impl Linux {
    /// Sets the state of a bridge's port by a message of its own: `RTM_NEWLINK` takes it too, but tells of the change, at which
    /// the bridge looks after the port's carrier and enables it again (`br_port_carrier_check`, net/bridge/br_if.c).
    pub(super) fn set_port_state(&self, verb: &Verb, ns: &Ns, link: &LinkRef, state: u8) -> Result<()> {
        const AF_BRIDGE: u8 = 7;
        const IFLA_PROTINFO: u16 = 12;
        let word = |state: u8| STATES.get(usize::from(state)).copied().unwrap_or("unknown");
        let mut body = ifinfo(link.index, 0, 0);
        body[0] = AF_BRIDGE;
        nla::nest(&mut body, IFLA_PROTINFO, |port| nla::put(port, IFLA_BRPORT_STATE, &[state]));
        let what = || format!("port `{}` in {} can't be made {}", link.name, ns.label(), word(state));
        self.space(ns)?.netlink.request(rtm::SETLINK, 0, &body).map_err(|r| match r.errno {
            libc::EBUSY => Error::from_errno(r.errno, what()).with_hint(
                "its bridge runs STP, which decides over the states of ports: link_set(bridge, #{ stp: false })",
            ),
            libc::ENETDOWN => Error::from_errno(r.errno, what())
                .with_hint("the port is down or has no carrier: link_up(…), of its other end too"),
            libc::EOPNOTSUPP => Error::from_errno(r.errno, what()).with_hint("it is no port of a bridge"),
            _ => Self::refused(verb, r),
        })?;
        // A bridge without STP decides at once, and lets no port block (br_port_state_selection, net/bridge/br_stp.c).
        let now = self.link(ns, By::Index(link.index))?;
        let now = now.and_then(|info| nla::attr(&info.port_data, IFLA_BRPORT_STATE)?.first().copied());
        match now {
            Some(now) if now != state => {
                let text = format!("{}: the bridge made it {} at once", what(), word(now));
                Err(Error::new(Kind::Unsupported, text).with_hint(
                    "without STP a port that is not `disabled` forwards; `disabled` holds until its carrier changes",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// The error in words.
#[must_use]
pub(super) fn explain(verb: &Verb, rec: &Rec, place: &str, refusal: &Refusal) -> Error {
    let (words, noun) = (verb.target(), rec.what.noun());
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

//! What the kernel needs before a link of some kinds is made: its module, and an nsid for the namespace of the link below.

use super::message::{self, rtm};
use super::{Linux, features};
use crate::kernel::Kernel as _;
use crate::plan::{Error, Ns, Result};

impl Linux {
    /// Has the kernel load what makes links of this kind, before an index is chosen: the modules of tunnels and some
    /// others make links of their own when they are loaded, those of tunnels in every namespace.
    pub(super) fn load_kind(&self, ns: &Ns, kind: &str) -> Result<()> {
        if !features::litters(kind) || !self.loaded.borrow_mut().insert(kind.to_string()) {
            return Ok(());
        }
        // Refused for its number of queues, once the kind is known (rtnl_create_link, net/core/rtnetlink.c).
        let refused = self.space(ns)?.netlink.request(rtm::NEWLINK, rtm::CREATE | rtm::EXCL, &message::load_kind(kind));
        if refused.is_ok() {
            return Err(Error::internal(format!("a {kind} was made that has more queues than there can be")));
        }
        for space in self.spaces.borrow().values() {
            space.next_index.set(0);
        }
        Ok(())
    }

    /// The nsid that `at` has for `target`; it gets one where it has none, as by the first look at a link whose lower
    /// device is there.
    pub(super) fn give_nsid(&self, at: &Ns, target: &Ns) -> Result<i32> {
        if let Some(id) = self.nsid(at, target)? {
            return Ok(id);
        }
        let body = message::nsid_body(Some(self.raw_fd(target)?), Some(-1));
        self.space(at)?
            .netlink
            .request(rtm::NEWNSID, 0, &body)
            .map_err(|r| r.error(format!("give {} an nsid in {}", target.label(), at.label())))?;
        self.nsid(at, target)?.ok_or_else(|| Error::internal("an nsid that was just given is not there"))
    }
}

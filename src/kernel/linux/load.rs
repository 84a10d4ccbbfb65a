//! What the kernel needs before a link of some kinds is made: its module, an index, and an nsid for the namespace of the link
//! below; and after it, where that is in another namespace.

use super::message::{self, rtm};
use super::{Linux, features};
use crate::kernel::Kernel as _;
use crate::plan::link::IFF_UP;
use crate::plan::{Error, LinkSpec, Ns, Result};

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

    /// The next ifindex to choose in a namespace, for a link on one in `below`. A kernel before 6.15 makes such a link in
    /// the namespace below and moves it then, so that the index has to be free in both (`rtnl_newlink_create`,
    /// net/core/rtnetlink.c).
    pub(super) fn choose_index(&self, ns: &Ns, below: Option<&Ns>) -> Result<u32> {
        let mut index = 0;
        for ns in [Some(ns), below].into_iter().flatten() {
            let space = self.space(ns)?;
            if space.next_index.get() == 0 {
                let highest = self.links(ns, false)?.iter().map(|l| l.state.index).max().unwrap_or(1);
                space.next_index.set(highest + 1);
            }
            index = index.max(space.next_index.get());
        }
        for ns in [Some(ns), below].into_iter().flatten() {
            self.space(ns)?.next_index.set(index + 1);
        }
        Ok(index)
    }

    /// Brings a link up that was to be so, where it is on one in another namespace: a kernel before 6.15 brings it up there
    /// and moves it then, which takes it down.
    pub(super) fn raise(&self, ns: &Ns, spec: &LinkSpec) -> Result<()> {
        if !spec.up || spec.lower_nsid.is_none() {
            return Ok(());
        }
        let space = self.space(ns)?;
        space.netlink.request(rtm::NEWLINK, 0, &message::ifinfo(spec.index, IFF_UP, IFF_UP)).map(drop).map_err(|r| {
            // As if it had been one message: no link that is down is left.
            let _ = space.netlink.request(rtm::DELLINK, 0, &message::ifinfo(spec.index, 0, 0));
            message::link_add_error(ns, spec, r)
        })
    }
}

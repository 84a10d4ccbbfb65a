//! What the kernel needs before a link of some kinds is made: its module, an index, and an nsid for the namespace of the link
//! below; after it, where that is in another namespace; and why it was refused.

use super::message::{self, rtm};
use super::socket::Refusal;
use super::{Linux, features};
use crate::kernel::{By, Kernel as _};
use crate::plan::link::IFF_UP;
use crate::plan::{Error, Kind, KindOption, LinkSpec, Ns, Result, nla};

/// Of a bridge: an order, which nothing shows (include/uapi/linux/if_link.h).
const IFLA_BR_FDB_FLUSH: u16 = 21;

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
        self.forget_indices();
        Ok(())
    }

    /// The next ifindex of each namespace is looked up again: links were made beside ours.
    pub(super) fn forget_indices(&self) {
        for space in self.spaces.borrow().values() {
            space.next_index.set(0);
        }
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

    /// What a link is to have and be that the message which makes it can leave undone. If that can't be, no link is left.
    pub(super) fn complete(&self, ns: &Ns, spec: &LinkSpec) -> Result<()> {
        let space = self.space(ns)?;
        let done = self.raise(ns, spec).and_then(|()| self.has_taken(ns, spec.index, &spec.kind, &spec.options));
        done.inspect_err(|_| drop(space.netlink.request(rtm::DELLINK, 0, &message::ifinfo(spec.index, 0, 0))))
    }

    /// Brings a link up that was to be so, where it is on one in another namespace: a kernel before 6.15 brings it up there
    /// and moves it then, which takes it down.
    fn raise(&self, ns: &Ns, spec: &LinkSpec) -> Result<()> {
        if !spec.up || spec.lower_nsid.is_none() {
            return Ok(());
        }
        let up = message::ifinfo(spec.index, IFF_UP, IFF_UP);
        let done = self.space(ns)?.netlink.request(rtm::NEWLINK, 0, &up);
        done.map(drop).map_err(|r| message::link_add_error(ns, spec, r))
    }

    /// Whether a bridge shows what it was to get: without the kernel's option for them it takes VLANs and groups for nothing,
    /// and says nothing (`br_changelink`, net/bridge/br_netlink.c).
    pub(super) fn has_taken(&self, ns: &Ns, index: u32, kind: &str, options: &[KindOption]) -> Result<()> {
        if kind != "bridge" || options.is_empty() {
            return Ok(());
        }
        let Some(info) = self.link(ns, By::Index(index))? else { return Ok(()) };
        let lost = |o: &&KindOption| o.code != IFLA_BR_FDB_FLUSH && nla::attr(&info.data, o.code).is_none();
        let Some(option) = options.iter().find(lost) else { return Ok(()) };
        let text = format!("this kernel's bridges have no `{}`: `{}` in {}", option.words, info.state.name, ns.label());
        Err(Error::new(Kind::Unsupported, text)
            .with_ns(&ns.name)
            .with_target(&info.state.name)
            .with_hint(message::lacking_option(kind, std::slice::from_ref(option))))
    }

    /// Refuses an index that is taken, and the name of a link that will be known by nothing else, before anything is written
    /// down: a kill between that and the kernel's answer would leave somebody else's link to be taken for the one that was to
    /// be made.
    pub(super) fn place_is_free(&self, ns: &Ns, spec: &LinkSpec) -> Result<()> {
        for (at, end) in spec.ends(ns).filter(|(_, end)| end.index != 0) {
            if self.link(at, By::Index(end.index))?.is_some() {
                return Err(self.not_made(ns, spec, Refusal { errno: libc::EEXIST, words: None }));
            }
        }
        if let (None, None, Some(name)) = (&spec.peer, &spec.mac, &spec.name)
            && self.link(ns, By::Name(name))?.is_some()
        {
            return Err(self.not_made(ns, spec, Refusal { errno: libc::EEXIST, words: None }));
        }
        Ok(())
    }

    /// Why a link was not made: `EEXIST` is of a name, an index, or of what its kind has only one of.
    pub(super) fn not_made(&self, ns: &Ns, spec: &LinkSpec, refusal: Refusal) -> Error {
        let there = |ns: &Ns, by: By<'_>| self.link(ns, by).is_ok_and(|found| found.is_some());
        let named = |ns: &Ns, spec: &LinkSpec| spec.name.as_ref().is_some_and(|name| there(ns, By::Name(name)));
        let name = spec.name.clone().unwrap_or_else(|| format!("a {}", spec.kind));
        let taken = spec.ends(ns).any(|(at, spec)| named(at, spec));
        if !matches!(refusal.errno, libc::EEXIST | libc::EBUSY) || taken {
            return message::link_add_error(ns, spec, refusal);
        }
        let index = spec.ends(ns).find(|(at, s)| s.index != 0 && there(at, By::Index(s.index)));
        let (errno, words) = (refusal.errno, refusal.words.clone());
        let mut error = match (index, words.is_some()) {
            (Some((at, s)), _) => Error::new(
                Kind::Exists,
                format!("`{name}` can't be made: index {} is taken in {}", s.index, at.label()),
            )
            .with_hint("choose another index, or leave it out: the kernel then chooses one"),
            (None, true) if errno == libc::EEXIST => Error::new(
                Kind::Exists,
                format!("`{name}` can't be made in {}: another link has what is to be its own", ns.label()),
            )
            .with_hint("choose another id (VNI, port, key …), or delete that link first: link_del(…)"),
            _ => return message::link_add_error(ns, spec, refusal),
        };
        error.kernel = words;
        error.with_op("link_add").with_ns(&ns.name).with_target(&name).with_errno(errno)
    }
}

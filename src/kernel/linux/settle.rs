//! Waiting, by the kernel's own events, for what it does by itself: duplicate address detection (RFC 4862, section
//! 5.4), and links that follow their carrier.

use super::Linux;
use crate::kernel::{By, Cancel, Dad, Kernel};
use crate::plan::link::IFF_LOWER_UP;
use crate::plan::record::{AF_INET6, IFA_ADDRESS, IFA_F_DADFAILED, IFA_F_TENTATIVE};
use crate::plan::{Error, LinkInfo, Ns, Rec, Result, What};
use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use std::collections::{BTreeSet, HashSet};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

type Only = Option<Vec<(u32, Ipv6Addr)>>;

/// `IF_OPER_DOWN`, RFC 2863.
const DOWN: u8 = 2;

/// Looks, and looks again at each event of these groups in `ns`, until `look` finds nothing to wait for or the bound is
/// reached. `look` gives what it found, and whether that is final.
fn watch<T>(
    linux: &Linux,
    ns: &Ns,
    groups: &'static [MulticastGroup],
    bound: Duration,
    cancel: &Cancel,
    mut look: impl FnMut() -> Result<(T, bool)>,
) -> Result<T> {
    let (first, done) = look()?;
    if done {
        return Ok(first);
    }
    let failed = |e: std::io::Error| Error::from_io(&e, "listen to the kernel's events");
    let deadline = Instant::now() + bound;
    let space = linux.space(ns)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // The socket is opened in the namespace, so on the thread that enters it.
    let handle = runtime.handle().clone();
    let (connection, _handle, mut events) = linux.enterer().enter(&space.fd, move || {
        let _entered = handle.enter();
        rtnetlink::new_multicast_connection(groups).map_err(failed)
    })?;
    runtime.spawn(connection);
    loop {
        // Between a look and the next event nothing is lost: the socket listens already.
        let (found, done) = look()?;
        let left = deadline.saturating_duration_since(Instant::now());
        if done || left.is_zero() {
            return Ok(found);
        }
        cancel.check()?;
        runtime.block_on(async {
            tokio::select! {
                raised = cancel.raised() => raised,
                _ = events.next() => Ok(()),
                () = tokio::time::sleep(left) => Ok(()),
            }
        })?;
    }
}

/// See [`Kernel::wait_links`].
pub fn links(linux: &Linux, ns: &Ns, indices: &[u32], bound: Duration, cancel: &Cancel) -> Result<()> {
    let late = |info: &LinkInfo| info.carrier && info.operstate == DOWN;
    // A kernel of 6.8 or later lets a link follow its carrier when it is asked for that one link (`linkwatch_sync_dev` in
    // `rtnl_getlink`, net/core/rtnetlink.c); left alone, it looks once a second. A port that follows can give its bridge
    // carrier, which then is to follow in turn.
    let follow = |mut behind: Vec<u32>| -> Result<bool> {
        loop {
            let before = behind.len();
            let mut still = Vec::new();
            for index in behind {
                if linux.link(ns, By::Index(index))?.is_some_and(|info| late(&info)) {
                    still.push(index);
                }
            }
            if still.is_empty() || still.len() == before {
                return Ok(still.is_empty());
            }
            behind = still;
        }
    };
    watch(linux, ns, &[MulticastGroup::Link], bound, cancel, || {
        // Of several, all in one answer.
        if indices.len() > 1 {
            let wanted: HashSet<u32> = indices.iter().copied().collect();
            let all = linux.links(ns, false)?;
            let behind = all.iter().filter(|l| wanted.contains(&l.state.index) && late(l)).map(|l| l.state.index);
            return Ok(((), follow(behind.collect())?));
        }
        Ok(((), follow(indices.to_vec())?))
    })
}

/// See [`Kernel::wait_ports`].
pub fn ports(linux: &Linux, ns: &Ns, bridge: u32, bound: Duration, cancel: &Cancel) -> Result<bool> {
    watch(linux, ns, &[MulticastGroup::Link], bound, cancel, || {
        let settled = |info: &LinkInfo| !info.state.up || !info.carrier || matches!(port_state(info), 3 | 4);
        let done = linux.links(ns, false)?.iter().filter(|l| l.state.master == bridge).all(settled);
        Ok((done, done))
    })
}

/// `BR_STATE_…` of a bridge's port: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking.
fn port_state(info: &LinkInfo) -> u8 {
    const IFLA_BRPORT_STATE: u16 = 1;
    let state = crate::plan::nla::attr(&info.port_data, IFLA_BRPORT_STATE);
    state.and_then(|v| v.first().copied()).unwrap_or_default()
}

/// What is tentative and what failed right now, of the addresses on links that have carrier: without carrier an
/// address stays tentative for ever.
fn look(linux: &Linux, ns: &Ns, only: &Only) -> Result<Dad> {
    let mut dad = Dad::default();
    let mut carriers: Option<BTreeSet<u32>> = None;
    for body in linux.dump(ns, What::Addr)? {
        if body.first() != Some(&AF_INET6) || body.len() < 8 {
            continue;
        }
        let rec = Rec { what: What::Addr, body, ends: None };
        let (Some(index), Some(std::net::IpAddr::V6(ip))) = (rec.devices().first().copied(), rec.ip(IFA_ADDRESS))
        else {
            continue;
        };
        let flags = rec.addr_flags();
        let wanted = match only {
            // The link-local address of the same link too: a router asks for its neighbours from there, and while it is
            // tentative, does not ask at all (`ndisc_send_ns`, net/ipv6/ndisc.c).
            Some(only) if ip.is_unicast_link_local() && flags & IFA_F_DADFAILED == 0 => {
                only.iter().any(|(with, _)| *with == index)
            }
            Some(only) => only.contains(&(index, ip)),
            None => true,
        };
        if !wanted || flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0 {
            continue;
        }
        if flags & IFA_F_DADFAILED != 0 {
            dad.failed.push((index, ip));
            continue;
        }
        if carriers.is_none() {
            let up = linux.links(ns, false)?;
            carriers = Some(up.iter().filter(|l| l.flags & IFF_LOWER_UP != 0).map(|l| l.state.index).collect());
        }
        if carriers.as_ref().is_some_and(|c| c.contains(&index)) {
            dad.pending.push((index, ip));
        }
    }
    Ok(dad)
}

/// See [`Kernel::wait_dad`].
pub fn dad(linux: &Linux, ns: &Ns, only: &Only, bound: Duration, cancel: &Cancel) -> Result<Dad> {
    watch(linux, ns, &[MulticastGroup::Ipv6Ifaddr, MulticastGroup::Link], bound, cancel, || {
        let dad = look(linux, ns, only)?;
        let done = dad.pending.is_empty();
        Ok((dad, done))
    })
}

//! Waiting for IPv6 duplicate address detection (RFC 4862, section 5.4) by the kernel's own events.

use super::Linux;
use crate::kernel::{Cancel, Dad, Kernel};
use crate::plan::link::IFF_LOWER_UP;
use crate::plan::record::{AF_INET6, IFA_ADDRESS, IFA_F_DADFAILED, IFA_F_TENTATIVE};
use crate::plan::{Error, Ns, Result, What};
use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

type Only = Option<Vec<(u32, Ipv6Addr)>>;

/// What is tentative and what failed right now, of the addresses on links that have carrier: without carrier an
/// address stays tentative for ever.
fn look(linux: &Linux, ns: &Ns, only: &Only) -> Result<Dad> {
    let mut dad = Dad::default();
    let mut carriers: Option<BTreeSet<u32>> = None;
    for body in linux.dump(ns, What::Addr)? {
        if body.first() != Some(&AF_INET6) || body.len() < 8 {
            continue;
        }
        let rec = crate::plan::Rec { what: What::Addr, body, ends: None };
        let (Some(index), Some(std::net::IpAddr::V6(ip))) = (rec.devices().first().copied(), rec.ip(IFA_ADDRESS)) else {
            continue;
        };
        let wanted = match only {
            Some(only) => only.contains(&(index, ip)),
            None => !ip.is_unicast_link_local(),
        };
        let flags = rec.addr_flags();
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
pub fn wait(linux: &Linux, ns: &Ns, only: Only, bound: Duration, cancel: &Cancel) -> Result<Dad> {
    let first = look(linux, ns, &only)?;
    if first.pending.is_empty() {
        return Ok(first);
    }
    let failed = |e: std::io::Error| Error::from_io(&e, "listen to the kernel's events");
    let deadline = Instant::now() + bound;
    let signal = cancel.clone();
    // The socket is opened in the namespace, so on the thread that enters it; the loop ends at each event.
    let space = linux.space(ns)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (connection, handle, mut events) = linux.enterer().enter(&space.fd, {
        let guard = runtime.handle().clone();
        move || {
            let _entered = guard.enter();
            rtnetlink::new_multicast_connection(&[MulticastGroup::Ipv6Ifaddr, MulticastGroup::Link])
                .map_err(|e| Error::from_io(&e, "listen to the kernel's events"))
        }
    })?;
    runtime.spawn(connection);
    let result = loop {
        // Between the look and the events nothing is lost: the socket listens already.
        let dad = look(linux, ns, &only)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if dad.pending.is_empty() || left.is_zero() {
            break Ok(dad);
        }
        let woken = runtime.block_on(async {
            tokio::select! {
                raised = signal.raised() => raised.map(|()| true),
                _ = events.next() => Ok(false),
                () = tokio::time::sleep(left) => Ok(false),
            }
        })?;
        if woken && let Err(e) = signal.check() {
            break Err(e);
        }
    };
    drop(handle);
    result
}

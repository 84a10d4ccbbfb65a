//! A namespace as undo compares it.

use super::{Linux, queues};
use crate::kernel::Kernel as _;
use crate::plan::record::TICKS;
use crate::plan::{Ns, Rec, Result, State, What, bridge};
use std::collections::BTreeMap;

/// A table, and the time at which it was read: lifetimes are told as what is left of them. On a machine that is too busy to
/// answer within a quarter of a second it is asked again.
fn timed(linux: &Linux, ns: &Ns, what: What) -> Result<(u64, Vec<Vec<u8>>)> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        let now = linux.now();
        let all = linux.dump(ns, what)?;
        if linux.now() <= now + TICKS / 4 {
            return Ok((now, all));
        }
    }
    Ok((linux.now(), linux.dump(ns, what)?))
}

/// See [`crate::kernel::Kernel::state`].
pub(super) fn read(linux: &Linux, ns: &Ns, sysctls: &[String]) -> Result<State> {
    let mut links: BTreeMap<_, _> = linux.links(ns, false)?.into_iter().map(|l| (l.state.index, l.state)).collect();
    for (index, device) in linux.ethtool_all(ns)? {
        if let Some(link) = links.get_mut(&index) {
            link.features = device.wanted();
            link.channels = device.channels.map(|(now, _)| now);
        }
    }
    let mut recs = Vec::new();
    for what in [What::Addr, What::Nexthop, What::Route, What::Neigh, What::Rule] {
        let (now, all) = timed(linux, ns, what)?;
        recs.extend(all.iter().filter_map(|body| Rec::of(what, body, now)));
    }
    recs.extend(queues::records(&linux.space(ns)?.netlink, ns)?);
    for what in bridge::tables(&links) {
        recs.extend(linux.dump(ns, what)?.iter().flat_map(|body| bridge::records(what, body, &links)));
    }
    let mut values = BTreeMap::new();
    for key in sysctls {
        if let Ok(value) = linux.sysctl(ns, key) {
            values.insert(key.clone(), value);
        }
    }
    Ok(State { links, recs, sysctls: values })
}

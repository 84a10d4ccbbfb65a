//! A namespace as undo compares it.

use super::{Linux, queues};
use crate::kernel::Kernel as _;
use crate::plan::{Ns, Rec, Result, State, What, bridge};
use std::collections::BTreeMap;

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
    let now = linux.now();
    for what in [What::Addr, What::Nexthop, What::Route, What::Neigh, What::Rule] {
        recs.extend(linux.dump(ns, what)?.iter().filter_map(|body| Rec::of(what, body, now)));
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

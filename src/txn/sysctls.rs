//! The sysctls that a step on a link changes along with it.

use super::{Change, Txn};
use crate::kernel::By;
use crate::plan::attribute::{ALL_REDIRECTS, V6_MIN_MTU};
use crate::plan::link::{LinkChange, LinkState};
use crate::plan::{Ns, Result, State, restore};
use std::collections::BTreeSet;

impl Txn {
    /// The sysctls that a device loses when it leaves its namespace.
    pub(super) fn device_sysctls(&self, ns: &Ns, index: u32) -> Result<Vec<String>> {
        let Some(info) = self.kernel.link(ns, By::Index(index))? else { return Ok(Vec::new()) };
        // In /proc/sys a `.` in a device's name stays, a `/` can't be in one.
        let name = &info.state.name;
        let mut out = Vec::new();
        for part in ["net/ipv4/conf", "net/ipv4/neigh", "net/ipv6/conf", "net/ipv6/neigh"] {
            out.extend(self.kernel.sysctl_keys(ns, &format!("{part}/{name}"))?);
        }
        // The link's own attribute by another name: it comes back with that.
        out.retain(|key| !key.ends_with("/addr_gen_mode"));
        Ok(out)
    }

    /// IPv6's mtus of these links and of those that follow them: every change of a link's mtu sets IPv6's anew
    /// (`addrconf_notify`, `NETDEV_CHANGEMTU`).
    pub(super) fn mtus(&self, ns: &Ns, links: &[u32]) -> Result<Vec<String>> {
        let names = self.followers(ns, links)?.into_iter().map(|link| link.name);
        Ok(names.map(|name| format!("net/ipv6/conf/{name}/mtu")).collect())
    }

    /// The sysctls of these links and of those that follow them, where a mtu below IPv6's least takes IPv6 from them: they
    /// come back with defaults (`addrconf_notify`, `addrconf_ifdown` with `unregister`).
    pub(super) fn sysctls_without_v6(&self, ns: &Ns, links: &[u32]) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for link in self.followers(ns, links)?.iter().filter(|link| link.mtu >= V6_MIN_MTU) {
            out.extend(self.device_sysctls(ns, link.index)?);
        }
        Ok(out)
    }

    /// A wireguard device that is set up ends ICMP redirects in its namespace, for good (`wg_open`,
    /// drivers/net/wireguard/device.c).
    pub(super) fn redirects(&self, ns: &Ns, index: u32, change: &LinkChange, since: u64) -> Result<Vec<String>> {
        if change.up != Some(true) || self.fresh_ns(ns, since) {
            return Ok(Vec::new());
        }
        let link = self.kernel.link(ns, By::Index(index))?;
        Ok(if link.is_some_and(|l| l.state.kind == "wireguard") { vec![ALL_REDIRECTS.into()] } else { Vec::new() })
    }

    /// Of devices that came since a step, and are not the run's own, what the undo of one of `all` would set anew.
    pub(super) fn settings_of_others(&self, change: &Change, now: &State, since: u64) -> Vec<(String, String)> {
        let others = now
            .links
            .values()
            .filter(|l| !change.before.links.contains_key(&l.index) && !self.fresh(change.ns.cookie, l.index, since));
        let others: Vec<&LinkState> = if change.only == 0 { others.collect() } else { Vec::new() };
        let reach =
            change.sysctls.iter().filter(|key| restore::resets(key)).filter_map(|key| restore::related_prefix(key));
        let keys = reach.flat_map(|(prefix, leaf)| others.iter().map(move |l| format!("{prefix}/{}/{leaf}", l.name)));
        keys.filter_map(|key| Some((key.clone(), self.kernel.sysctl(&change.ns, &key).ok()?))).collect()
    }

    /// Whether a link has, or gets, an mtu below IPv6's least.
    pub(super) fn below_v6(&self, ns: &Ns, index: u32, new: Option<u32>) -> Result<bool> {
        let mtu = match new {
            Some(mtu) => Some(mtu),
            None => self.kernel.link(ns, By::Index(index))?.map(|link| link.state.mtu),
        };
        Ok(mtu.is_some_and(|mtu| mtu < V6_MIN_MTU))
    }

    /// These links and those whose mtu follows one of them: a bridge's its ports (`br_mtu_auto_adjust`), that of a vlan or a
    /// macvlan its lower device, those of a bond's links the bond (`bond_change_mtu`; back as they leave,
    /// `__bond_release_one`).
    fn followers(&self, ns: &Ns, links: &[u32]) -> Result<Vec<LinkState>> {
        let all = self.kernel.links(ns, false)?;
        let mut seen: BTreeSet<u32> = links.iter().copied().filter(|index| *index != 0).collect();
        let leads =
            |index: u32| all.iter().any(|l| l.state.index == index && matches!(l.state.kind.as_str(), "bond" | "team"));
        loop {
            let known = seen.len();
            for link in all.iter().map(|l| &l.state) {
                if seen.contains(&link.index) && link.master != 0 {
                    seen.insert(link.master);
                }
                if seen.contains(&link.master) && leads(link.master) {
                    seen.insert(link.index);
                }
                if link.needs().iter().any(|lower| seen.contains(lower)) {
                    seen.insert(link.index);
                }
            }
            if seen.len() == known {
                break;
            }
        }
        Ok(all.into_iter().map(|l| l.state).filter(|l| seen.contains(&l.index)).collect())
    }
}

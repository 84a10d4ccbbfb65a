//! `bridge`: a switch in software (net/bridge; ip-link(8), "BRIDGE Type Support").

use super::kind::{Choice, Type, VLAN_PROTOCOLS, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_BR_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("forward_delay", 1, Type::Seconds),
    same("hello_time", 2, Type::Seconds),
    same("max_age", 3, Type::Seconds),
    same("ageing_time", 4, Type::Seconds),
    choice("stp", 5, Type::Bool32, "stp_state"),
    same("priority", 6, Type::U16),
    same("vlan_filtering", 7, Type::Bool),
    same("vlan_protocol", 8, Type::EtherType(VLAN_PROTOCOLS)),
    same("group_fwd_mask", 9, Type::U16),
    same("group_address", 20, Type::Mac),
    same("mcast_router", 22, Type::U8),
    same("mcast_snooping", 23, Type::Bool),
    same("mcast_query_use_ifaddr", 24, Type::Bool),
    same("mcast_querier", 25, Type::Bool),
    same("mcast_hash_elasticity", 26, Type::U32),
    same("mcast_hash_max", 27, Type::U32),
    same("mcast_last_member_count", 28, Type::U32),
    same("mcast_startup_query_count", 29, Type::U32),
    same("mcast_last_member_interval", 30, Type::Hundredths64),
    same("mcast_membership_interval", 31, Type::Hundredths64),
    same("mcast_querier_interval", 32, Type::Hundredths64),
    same("mcast_query_interval", 33, Type::Hundredths64),
    same("mcast_query_response_interval", 34, Type::Hundredths64),
    same("mcast_startup_query_interval", 35, Type::Hundredths64),
    same("nf_call_iptables", 36, Type::Bool),
    same("nf_call_ip6tables", 37, Type::Bool),
    same("nf_call_arptables", 38, Type::Bool),
    same("vlan_default_pvid", 39, Type::U16),
    same("vlan_stats_enabled", 41, Type::Bool),
    same("mcast_stats_enabled", 42, Type::Bool),
    same("mcast_igmp_version", 43, Type::U8),
    same("mcast_mld_version", 44, Type::U8),
    same("vlan_stats_per_port", 45, Type::Bool),
    same("no_linklocal_learn", 46, Type::BoolOpt(1)),
    same("mcast_vlan_snooping", 46, Type::BoolOpt(2)),
];

/// `BR_STATE_…` (include/uapi/linux/if_bridge.h). `ip link` takes the number.
const STATES: &[(&str, u64)] =
    &[("disabled", 0), ("listening", 1), ("learning", 2), ("forwarding", 3), ("blocking", 4)];

/// A bridge's port: `IFLA_BRPORT_…`.
pub const PORT: &[Choice] = &[
    same("state", 1, Type::Names(1, STATES)),
    same("priority", 2, Type::U16),
    same("cost", 3, Type::U32),
    same("hairpin", 4, Type::OnOff),
    same("guard", 5, Type::OnOff),
    same("root_block", 6, Type::OnOff),
    same("fastleave", 7, Type::OnOff),
    same("learning", 8, Type::OnOff),
    same("flood", 9, Type::OnOff),
    same("proxy_arp", 10, Type::OnOff),
    same("proxy_arp_wifi", 12, Type::OnOff),
    same("mcast_router", 25, Type::U8),
    same("mcast_flood", 27, Type::OnOff),
    same("mcast_to_unicast", 28, Type::OnOff),
    same("vlan_tunnel", 29, Type::OnOff),
    same("bcast_flood", 30, Type::OnOff),
    same("group_fwd_mask", 31, Type::U16),
    same("neigh_suppress", 32, Type::OnOff),
    same("isolated", 33, Type::OnOff),
    same("backup_port", 34, Type::Dev),
    same("mcast_eht_hosts_limit", 37, Type::U32),
    same("locked", 39, Type::OnOff),
];

#[export_module]
pub mod functions {
    /// Makes a bridge: a switch in software. Other links become its ports with `link_set(dev, #{ master: … })`.
    ///
    /// Options: those of every link (`up`, `mtu`, `mac`, `master`, `addr`, `index`, `alias`, `txqueuelen`, `group`), and
    /// `stp` (true or false), `forward_delay`, `hello_time`, `max_age`, `ageing_time` (times: `"15s"` or seconds),
    /// `priority`, `group_address`, `group_fwd_mask`, `no_linklocal_learn`, `vlan_filtering`, `vlan_protocol`,
    /// `vlan_default_pvid`, `vlan_stats_enabled`, `vlan_stats_per_port`, `mcast_snooping`, `mcast_vlan_snooping`,
    /// `mcast_router` (0 never, 1 by queries, 2 always), `mcast_querier`, `mcast_query_use_ifaddr`, `mcast_hash_max`,
    /// `mcast_hash_elasticity`, `mcast_last_member_count`, `mcast_startup_query_count`, `mcast_igmp_version`,
    /// `mcast_mld_version`, `mcast_stats_enabled`, the times `mcast_last_member_interval`, `mcast_membership_interval`,
    /// `mcast_querier_interval`, `mcast_query_interval`, `mcast_query_response_interval`, `mcast_startup_query_interval`,
    /// and `nf_call_iptables`, `nf_call_ip6tables`, `nf_call_arptables`.
    ///
    /// Returns the bridge. Errors: `exists`, `invalid`, `unsupported`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// let br = bridge("sw:br0", #{ stp: false, ageing_time: "60s", up: true });
    /// assert_eq(br.kind, "bridge");
    /// assert_eq(link(br).data.ageing_time, 60.0);
    /// ```
    #[rhai_fn(name = "bridge", return_raw)]
    pub fn bridge(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bridge", dev, Map::new()))
    }

    #[rhai_fn(name = "bridge", return_raw)]
    pub fn bridge_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bridge", dev, options))
    }
}

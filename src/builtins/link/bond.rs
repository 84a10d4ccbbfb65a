//! `bond`: several links as one (drivers/net/bonding; Documentation/networking/bonding.rst; ip-link(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

const MODES: &[(&str, u64)] = &[
    ("balance-rr", 0),
    ("active-backup", 1),
    ("balance-xor", 2),
    ("broadcast", 3),
    ("802.3ad", 4),
    ("balance-tlb", 5),
    ("balance-alb", 6),
];
const VALIDATE: &[(&str, u64)] =
    &[("none", 0), ("active", 1), ("backup", 2), ("all", 3), ("filter", 4), ("filter_active", 5), ("filter_backup", 6)];
const HASHES: &[(&str, u64)] =
    &[("layer2", 0), ("layer3+4", 1), ("layer2+3", 2), ("encap2+3", 3), ("encap3+4", 4), ("vlan+srcmac", 5)];

/// `IFLA_BOND_…` (include/uapi/linux/if_link.h). Their order is the one in which the kernel needs them.
pub const OPTIONS: &[Choice] = &[
    same("mode", 1, Type::Names(1, MODES)),
    same("active_slave", 2, Type::Dev),
    same("miimon", 3, Type::Millis),
    same("updelay", 4, Type::Millis),
    same("downdelay", 5, Type::Millis),
    same("peer_notify_delay", 28, Type::Millis),
    same("use_carrier", 6, Type::Bool),
    same("arp_interval", 7, Type::Millis),
    same("arp_ip_target", 8, Type::Ips(false)),
    same("ns_ip6_target", 31, Type::Ips(true)),
    same("arp_validate", 9, Type::Names(4, VALIDATE)),
    same("arp_all_targets", 10, Type::Names(4, &[("any", 0), ("all", 1)])),
    same("arp_missed_max", 30, Type::U8),
    same("primary", 11, Type::Dev),
    same("primary_reselect", 12, Type::Names(1, &[("always", 0), ("better", 1), ("failure", 2)])),
    same("fail_over_mac", 13, Type::Names(1, &[("none", 0), ("active", 1), ("follow", 2)])),
    same("xmit_hash_policy", 14, Type::Names(1, HASHES)),
    same("resend_igmp", 15, Type::U32),
    same("num_grat_arp", 16, Type::U8),
    same("all_slaves_active", 17, Type::Bool),
    same("min_links", 18, Type::U32),
    same("lp_interval", 19, Type::U32),
    same("packets_per_slave", 20, Type::U32),
    same("lacp_rate", 21, Type::Names(1, &[("slow", 0), ("fast", 1)])),
    same("ad_select", 22, Type::Names(1, &[("stable", 0), ("bandwidth", 1), ("count", 2)])),
    same("ad_actor_sys_prio", 24, Type::U16),
    same("ad_user_port_key", 25, Type::U16),
    same("ad_actor_system", 26, Type::Mac),
    same("tlb_dynamic_lb", 27, Type::Bool),
    same("lacp_active", 29, Type::OnOff),
];

/// A bond's port: `IFLA_BOND_SLAVE_…`. Only `queue_id` and `prio` can be set.
pub const PORT: &[Choice] = &[
    same("queue_id", 5, Type::U16),
    same("prio", 9, Type::U32),
    same("state", 1, Type::Names(1, &[("ACTIVE", 0), ("BACKUP", 1)])),
    same("mii_status", 2, Type::Names(1, &[("UP", 0), ("GOING_DOWN", 1), ("DOWN", 2), ("GOING_BACK", 3)])),
    same("link_failure_count", 3, Type::U32),
    same("perm_hwaddr", 4, Type::Mac),
    same("ad_aggregator_id", 6, Type::U16),
];

#[export_module]
pub mod functions {
    /// Makes a bond: several links as one. They enter it, while they are down, with `link_set(dev, #{ master: … })`.
    ///
    /// Options: those of every link (see `bridge`), and `mode` (`"balance-rr"`, `"active-backup"`, `"balance-xor"`,
    /// `"broadcast"`, `"802.3ad"`, `"balance-tlb"`, `"balance-alb"`), `miimon`, `updelay`, `downdelay`, `peer_notify_delay`,
    /// `arp_interval` (milliseconds, or text with a unit), `arp_ip_target`, `ns_ip6_target` (arrays of addresses),
    /// `arp_validate`, `arp_all_targets`, `arp_missed_max`, `primary` and `active_slave` (links in it), `primary_reselect`,
    /// `fail_over_mac`, `xmit_hash_policy`, `resend_igmp`, `num_grat_arp`, `all_slaves_active`, `min_links`, `lp_interval`,
    /// `packets_per_slave`, `lacp_rate`, `lacp_active`, `ad_select`, `ad_actor_sys_prio`, `ad_user_port_key`,
    /// `ad_actor_system`, `tlb_dynamic_lb`, `use_carrier`; and of a link in it, with `link_set(dev, #{ port: #{…} })`,
    /// `queue_id` and `prio`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let b = bond("h:bond0", #{ mode: "active-backup", miimon: 50 });
    /// veth("h:e0", "h:e1");
    /// link_set("h:e0", #{ master: b });
    /// assert_eq(link(b).data.mode, "active-backup");
    /// assert_eq(link("h:e0").master, "bond0");
    /// ```
    #[rhai_fn(name = "bond", return_raw)]
    pub fn bond(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bond", dev, Map::new()))
    }

    #[rhai_fn(name = "bond", return_raw)]
    pub fn bond_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bond", dev, options))
    }
}

//! `bridge`: a switch in software (net/bridge; ip-link(8), "BRIDGE Type Support").

use super::kind::{Choice, Type};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_BR_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    Choice { key: "forward_delay", code: 1, kind: Type::Seconds, word: "forward_delay" },
    Choice { key: "hello_time", code: 2, kind: Type::Seconds, word: "hello_time" },
    Choice { key: "max_age", code: 3, kind: Type::Seconds, word: "max_age" },
    Choice { key: "ageing_time", code: 4, kind: Type::Seconds, word: "ageing_time" },
    Choice { key: "stp", code: 5, kind: Type::Bool32, word: "stp_state" },
    Choice { key: "priority", code: 6, kind: Type::U16, word: "priority" },
    Choice { key: "vlan_filtering", code: 7, kind: Type::Bool, word: "vlan_filtering" },
    Choice { key: "vlan_protocol", code: 8, kind: Type::EtherType, word: "vlan_protocol" },
    Choice { key: "group_fwd_mask", code: 9, kind: Type::U16, word: "group_fwd_mask" },
    Choice { key: "mcast_snooping", code: 23, kind: Type::Bool, word: "mcast_snooping" },
    Choice { key: "mcast_querier", code: 25, kind: Type::Bool, word: "mcast_querier" },
    Choice { key: "nf_call_iptables", code: 36, kind: Type::Bool, word: "nf_call_iptables" },
    Choice { key: "nf_call_ip6tables", code: 37, kind: Type::Bool, word: "nf_call_ip6tables" },
    Choice { key: "nf_call_arptables", code: 38, kind: Type::Bool, word: "nf_call_arptables" },
    Choice { key: "vlan_default_pvid", code: 39, kind: Type::U16, word: "vlan_default_pvid" },
];

/// A bridge's port: `IFLA_BRPORT_…`.
pub const PORT: &[Choice] = &[
    Choice { key: "priority", code: 2, kind: Type::U16, word: "priority" },
    Choice { key: "cost", code: 3, kind: Type::U32, word: "cost" },
    Choice { key: "hairpin", code: 4, kind: Type::Bool, word: "hairpin" },
    Choice { key: "guard", code: 5, kind: Type::Bool, word: "guard" },
    Choice { key: "root_block", code: 6, kind: Type::Bool, word: "root_block" },
    Choice { key: "learning", code: 8, kind: Type::Bool, word: "learning" },
    Choice { key: "flood", code: 9, kind: Type::Bool, word: "flood" },
    Choice { key: "neigh_suppress", code: 32, kind: Type::Bool, word: "neigh_suppress" },
    Choice { key: "isolated", code: 33, kind: Type::Bool, word: "isolated" },
];

#[export_module]
pub mod functions {
    /// Makes a bridge: a switch in software. Other links become its ports with `link_set(dev, #{ master: … })`.
    ///
    /// Options: those of every link (`up`, `mtu`, `mac`, `master`, `addr`, `index`, `alias`, `txqueuelen`, `group`), and
    /// `stp` (true or false), `forward_delay`, `hello_time`, `max_age`, `ageing_time` (times: `"15s"` or seconds),
    /// `priority`, `vlan_filtering`, `vlan_protocol`, `vlan_default_pvid`, `group_fwd_mask`, `mcast_snooping`,
    /// `mcast_querier`, `nf_call_iptables`, `nf_call_ip6tables`, `nf_call_arptables`.
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

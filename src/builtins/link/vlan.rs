//! `vlan`: one tagged network on a link (net/8021q; ip-link(8), "VLAN Type Support").

use super::kind::{Choice, Type, VLAN_PROTOCOLS, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_VLAN_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("id", 1, Type::U16),
    same("protocol", 5, Type::EtherType(VLAN_PROTOCOLS)),
    same("reorder_hdr", 2, Type::Masked(1)),
    same("gvrp", 2, Type::Masked(2)),
    same("loose_binding", 2, Type::Masked(4)),
    same("mvrp", 2, Type::Masked(8)),
    same("bridge_binding", 2, Type::Masked(16)),
    choice("ingress_qos_map", 4, Type::Map, "ingress-qos-map"),
    choice("egress_qos_map", 3, Type::Map, "egress-qos-map"),
];

#[export_module]
pub mod functions {
    /// Makes a VLAN on a link: what is tagged with its id there arrives here without the tag, and goes out with it.
    ///
    /// Options: those of every link (see `bridge`), and `link` (the link below, needed; `"ns:dev"` for one in another
    /// namespace), `id` (needed, 0 to 4094), `protocol` (`"802.1Q"` or `"802.1ad"`), `reorder_hdr`, `gvrp`, `mvrp`,
    /// `loose_binding`, `bridge_binding`, `ingress_qos_map` and `egress_qos_map` (arrays of `"from:to"`). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true });
    /// vlan("a:v7", #{ link: "e", id: 7, up: true, addr: "10.7.0.1/24" });
    /// vlan("b:v7", #{ link: "e", id: 7, up: true, addr: "10.7.0.2/24" });
    /// assert_eq(link("a:v7").data.id, 7);
    /// assert_ping("a", "10.7.0.2");
    /// ```
    #[rhai_fn(name = "vlan", return_raw)]
    pub fn vlan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vlan", dev, Map::new()))
    }

    #[rhai_fn(name = "vlan", return_raw)]
    pub fn vlan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vlan", dev, options))
    }
}

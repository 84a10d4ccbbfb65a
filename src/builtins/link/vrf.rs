//! `vrf`: a routing domain of its own inside a namespace (drivers/net/vrf.c; ip-vrf(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_VRF_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[same("table", 1, Type::U32)];

/// `IFLA_VRF_PORT_…`: shown only.
pub const PORT: &[Choice] = &[same("table", 1, Type::U32)];

#[export_module]
pub mod functions {
    /// Makes a VRF: links whose master it is use its routing table, and no other.
    ///
    /// Options: those of every link (see `bridge`), and `table` (needed: its number). Links enter it with
    /// `link_set(dev, #{ master: … })`. The first one of a namespace adds the rule 1000 `l3mdev`, which stays as long as the
    /// namespace. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("r");
    /// let red = vrf("r:red", #{ table: 10, up: true });
    /// veth("r:e0", "r:e1", #{ up: true, master: red, addr: "10.1.0.1/24" });
    /// assert_eq(link("r:red").data.table, 10);
    /// assert_eq(link("r:e0").master, "red");
    /// ```
    #[rhai_fn(name = "vrf", return_raw)]
    pub fn vrf(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vrf", dev, Map::new()))
    }

    #[rhai_fn(name = "vrf", return_raw)]
    pub fn vrf_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vrf", dev, options))
    }
}

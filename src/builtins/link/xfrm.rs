//! `xfrm`: a link for IPsec policies of one number (net/xfrm/xfrm_interface_core.c; ip-link(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_XFRM_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] =
    &[same("dev", 1, Type::Dev), same("if_id", 2, Type::U32), same("external", 3, Type::Flag)];

#[export_module]
pub mod functions {
    /// Makes an XFRM interface: what goes through it is taken by the IPsec policies of its number.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `if_id` (its number, needed), `dev` (the link below; `"ns:dev"`
    /// for one in another namespace), `external`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let x = xfrm("h:ipsec0", #{ if_id: 7, up: true });
    /// assert_eq(link(x).data.if_id, 7);
    /// ```
    #[rhai_fn(name = "xfrm", return_raw)]
    pub fn xfrm(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "xfrm", dev, Map::new()))
    }

    #[rhai_fn(name = "xfrm", return_raw)]
    pub fn xfrm_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "xfrm", dev, options))
    }
}

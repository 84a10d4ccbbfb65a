//! `netkit`: a pair of links for BPF programs, in the kernel since 6.7 (drivers/net/netkit.c).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_NETKIT_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("mode", 5, Type::Names(4, &[("l2", 0), ("l3", 1)])),
    same("policy", 3, Type::Names(4, &[("forward", 0), ("blackhole", 2)])),
];

#[export_module]
pub mod functions {
    /// Makes a netkit: a pair of links for BPF programs. The kernel names the other end, in the same namespace.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `mode` (`"l2"`, `"l3"`), `policy` (`"forward"`,
    /// `"blackhole"`). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind: it is there
    /// since Linux 6.7.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let n = netkit("h:n0", #{ mode: "l3" });
    /// assert_eq(n.kind, "netkit");
    /// ```
    #[rhai_fn(name = "netkit", return_raw)]
    pub fn netkit(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "netkit", dev, Map::new()))
    }

    #[rhai_fn(name = "netkit", return_raw)]
    pub fn netkit_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "netkit", dev, options))
    }
}

//! `ipvlan` and `ipvtap`: several IP addresses on one MAC address (drivers/net/ipvlan; ip-link(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_IPVLAN_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("mode", 1, Type::Names(2, &[("l2", 0), ("l3", 1), ("l3s", 2)])),
    same("private", 2, Type::Bit(2, 1)),
    same("vepa", 2, Type::Bit(2, 2)),
];

#[export_module]
pub mod functions {
    /// Makes an ipvlan: a link with the MAC address of the one below and IP addresses of its own.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `link` (the link below, needed; `"ns:dev"` for one in another
    /// namespace), `mode` (`"l3"`, `"l3s"`, `"l2"`; all on one link have the same), `"private"` (in quotes: it is a word of the language), `vepa` (neither: bridge). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["router", "h1", "h2"]);
    /// veth("router:e0", "router:e1", #{ up: true });
    /// ipvlan("h1:eth0", #{ link: "router:e0", mode: "l2", up: true, addr: "10.3.0.1/24" });
    /// ipvlan("h2:eth0", #{ link: "router:e0", mode: "l2", up: true, addr: "10.3.0.2/24" });
    /// assert_eq(link("h1:eth0").data.mode, "l2");
    /// assert_ping("h1", "10.3.0.2");
    /// ```
    #[rhai_fn(name = "ipvlan", return_raw)]
    pub fn ipvlan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ipvlan", dev, Map::new()))
    }

    #[rhai_fn(name = "ipvlan", return_raw)]
    pub fn ipvlan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ipvlan", dev, options))
    }

    /// Makes an ipvtap: an ipvlan whose packets a program reads and writes, by `/dev/tapN`.
    ///
    /// Options: those of `ipvlan`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// veth("h:e0", "h:e1", #{ up: true });
    /// let t = ipvtap("h:t0", #{ link: "e0", mode: "l2" });
    /// assert_eq(t.kind, "ipvtap");
    /// ```
    #[rhai_fn(name = "ipvtap", return_raw)]
    pub fn ipvtap(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ipvtap", dev, Map::new()))
    }

    #[rhai_fn(name = "ipvtap", return_raw)]
    pub fn ipvtap_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ipvtap", dev, options))
    }
}

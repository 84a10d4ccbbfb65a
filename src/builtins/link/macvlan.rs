//! `macvlan` and `macvtap`: several MAC addresses on one link (drivers/net/macvlan.c; ip-link(8)).

use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_MACVLAN_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("mode", 1, Type::Names(4, &[("private", 1), ("vepa", 2), ("bridge", 4), ("passthru", 8), ("source", 16)])),
    choice("nopromisc", 2, Type::Bit(2, 1), "flag nopromisc"),
    choice("nodst", 2, Type::Bit(2, 2), "flag nodst"),
    same("bcqueuelen", 7, Type::U32),
    // IFLA_MACVLAN_MACADDR_DATA of IFLA_MACVLAN_MACADDR; IFLA_MACVLAN_MACADDR_MODE, MACVLAN_MACADDR_SET
    choice("macaddr", 5, Type::Macs(4, 3, 3), "macaddr set"),
];

#[export_module]
pub mod functions {
    /// Makes a macvlan: a link with a MAC address of its own on top of another.
    ///
    /// Options: those of every link (see `bridge`), and `link` (the link below, needed; `"ns:dev"` for one in another
    /// namespace), `mode` (`"private"`, `"vepa"`, `"bridge"`, `"passthru"`, `"source"`; as with `ip`, vepa if not given),
    /// `nopromisc`, `nodst` (of `passthru` and `source`), `macaddr` (of `source`: an array of the senders' MAC addresses, all
    /// that it takes packets from), `bcqueuelen`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["router", "h1", "h2"]);
    /// veth("router:e0", "router:e1", #{ up: true });
    /// macvlan("h1:eth0", #{ link: "router:e0", mode: "bridge", up: true, addr: "10.3.0.1/24" });
    /// macvlan("h2:eth0", #{ link: "router:e0", mode: "bridge", up: true, addr: "10.3.0.2/24" });
    /// assert_eq(link("h1:eth0").data.mode, "bridge");
    /// assert_ping("h1", "10.3.0.2");
    ///
    /// let s = macvlan("h1:eth1", #{ link: "router:e1", mode: "source", macaddr: ["02:00:00:00:00:01"] });
    /// link_set(s, #{ macaddr: ["02:00:00:00:00:01", "02:00:00:00:00:02"] });
    /// assert_eq(link(s).data.macaddr.len(), 2);
    /// ```
    #[rhai_fn(name = "macvlan", return_raw)]
    pub fn macvlan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macvlan", dev, Map::new()))
    }

    #[rhai_fn(name = "macvlan", return_raw)]
    pub fn macvlan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macvlan", dev, options))
    }

    /// Makes a macvtap: a macvlan whose packets a program reads and writes, by `/dev/tapN`.
    ///
    /// Options: those of `macvlan`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// veth("h:e0", "h:e1", #{ up: true });
    /// let t = macvtap("h:t0", #{ link: "e0", mode: "bridge" });
    /// assert_eq(t.kind, "macvtap");
    /// ```
    #[rhai_fn(name = "macvtap", return_raw)]
    pub fn macvtap(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macvtap", dev, Map::new()))
    }

    #[rhai_fn(name = "macvtap", return_raw)]
    pub fn macvtap_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macvtap", dev, options))
    }
}

//! `tun` and `tap`: links whose other side is a program (drivers/net/tun.c; ip-tuntap(8)). They stay until they are
//! deleted, as those of `ip tuntap add`.

use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_TUN_…` (include/uapi/linux/if_link.h), which the kernel only shows: they are set by requests on `/dev/net/tun`.
pub const OPTIONS: &[Choice] = &[
    same("mode", 3, Type::Names(1, &[("tun", 1), ("tap", 2)])),
    same("user", 1, Type::U32),
    choice("user_group", 2, Type::U32, "group"),
    same("pi", 4, Type::Bit(1, 1)),
    same("vnet_hdr", 5, Type::Bit(1, 1)),
    same("persist", 6, Type::Bit(1, 1)),
    same("multi_queue", 7, Type::Bit(1, 1)),
];

#[export_module]
pub mod functions {
    /// Makes a tun: a link whose packets a program reads and writes. It stays until it is deleted.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `user` and `user_group` (the ids of who may use it, beside
    /// root), `pi`, `vnet_hdr`, `multi_queue`. Returns the link. Errors: `exists`, `invalid`, `permission` where
    /// `/dev/net/tun` may not be opened, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let t = tun("h:tun0", #{ up: true, addr: "10.8.0.1/24" });
    /// assert_eq(link(t).data.mode, "tun");
    /// assert(link(t).data.persist, "it stays");
    /// ```
    #[rhai_fn(name = "tun", return_raw)]
    pub fn tun(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make::tuntap(s, "tun", dev, Map::new()))
    }

    #[rhai_fn(name = "tun", return_raw)]
    pub fn tun_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make::tuntap(s, "tun", dev, options))
    }

    /// Makes a tap: a link whose Ethernet frames a program reads and writes. It stays until it is deleted.
    ///
    /// Options: those of `tun`, and `mac`.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let t = tap("h:tap0", #{ user: 0, mac: "02:00:00:00:00:07" });
    /// assert_eq(link(t).data.mode, "tap");
    /// assert_eq(t.mac, "02:00:00:00:00:07");
    /// ```
    #[rhai_fn(name = "tap", return_raw)]
    pub fn tap(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make::tuntap(s, "tap", dev, Map::new()))
    }

    #[rhai_fn(name = "tap", return_raw)]
    pub fn tap_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make::tuntap(s, "tap", dev, options))
    }
}

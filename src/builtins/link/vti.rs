//! `vti` and `vti6`: what goes through is taken by an IPsec policy (net/ipv4/ip_vti.c, net/ipv6/ip6_vti.c).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_VTI_…` (include/uapi/linux/if_tunnel.h).
pub const OPTIONS: &[Choice] = &[
    same("local", 4, Type::Ip(0)),
    same("remote", 5, Type::Ip(0)),
    same("key", 2, Type::Key(&[2, 3], &[])),
    same("ikey", 2, Type::Key(&[2], &[])),
    same("okey", 3, Type::Key(&[3], &[])),
    same("dev", 1, Type::Dev),
    same("fwmark", 6, Type::U32),
];

/// The same over IPv6.
pub const OPTIONS6: &[Choice] = &[
    same("local", 4, Type::Ip6),
    same("remote", 5, Type::Ip6),
    same("key", 2, Type::Key(&[2, 3], &[])),
    same("ikey", 2, Type::Key(&[2], &[])),
    same("okey", 3, Type::Key(&[3], &[])),
    same("dev", 1, Type::Dev),
    same("fwmark", 6, Type::U32),
];

#[export_module]
pub mod functions {
    /// Makes a VTI: a link that takes packets to an IPsec policy, by its key as mark. `xfrm` is its successor.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `local`, `remote`, `key`, `ikey`, `okey` (a number or a dotted
    /// quad), `dev` (the link below; `"ns:dev"` for one in another namespace), `fwmark`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let v = vti("h:v0", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 5 });
    /// assert_eq(link(v).data.ikey, 5);
    /// ```
    #[rhai_fn(name = "vti", return_raw)]
    pub fn vti(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vti", dev, Map::new()))
    }

    #[rhai_fn(name = "vti", return_raw)]
    pub fn vti_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vti", dev, options))
    }

    /// Makes a VTI over IPv6.
    ///
    /// Options: those of `vti`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let v = vti6("h:v0", #{ local: "fd00::1", remote: "fd00::2", key: 5 });
    /// assert_eq(link(v).data.remote, "fd00::2");
    /// ```
    #[rhai_fn(name = "vti6", return_raw)]
    pub fn vti6(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vti6", dev, Map::new()))
    }

    #[rhai_fn(name = "vti6", return_raw)]
    pub fn vti6_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vti6", dev, options))
    }
}

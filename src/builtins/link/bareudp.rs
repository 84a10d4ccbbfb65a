//! `bareudp`: packets of one protocol over UDP, without a header of their own (drivers/net/bareudp.c; ip-link(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `ETH_P_…` (include/uapi/linux/if_ether.h), by the names of `ip link`.
const PROTOCOLS: &[(&str, u16)] =
    &[("ipv4", 0x0800), ("ip", 0x0800), ("ipv6", 0x86dd), ("mpls_uc", 0x8847), ("mpls_mc", 0x8848)];

/// `IFLA_BAREUDP_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("dstport", 1, Type::Port),
    same("ethertype", 2, Type::EtherType(PROTOCOLS)),
    same("srcportmin", 3, Type::U16),
    same("multiproto", 4, Type::Flag),
];

#[export_module]
pub mod functions {
    /// Makes a bareudp tunnel: packets as they are, in UDP. Where to, a route's `encap` or a filter says.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `dstport` and `ethertype` (both needed; `"ipv4"`, `"ipv6"`,
    /// `"mpls_uc"`, `"mpls_mc"`, or a number as text, `"0x88b5"`), `srcportmin`, `multiproto` (IPv6 beside IPv4, multicast MPLS beside unicast). The kernel
    /// changes none of them later. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("r");
    /// bareudp("r:u0", #{ dstport: 6635, ethertype: "mpls_uc", up: true });
    /// assert_eq([link("r:u0").data.dstport, link("r:u0").data.ethertype], [6635, "mpls_uc"]);
    /// ```
    #[rhai_fn(name = "bareudp", return_raw)]
    pub fn bareudp(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bareudp", dev, Map::new()))
    }

    #[rhai_fn(name = "bareudp", return_raw)]
    pub fn bareudp_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "bareudp", dev, options))
    }
}

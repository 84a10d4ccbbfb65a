//! `vxlan`: Ethernet over UDP (RFC 7348; drivers/net/vxlan; ip-link(8), "VXLAN Type Support").

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_VXLAN_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("id", 1, Type::U32),
    same("group", 2, Type::Group(16)),
    same("remote", 2, Type::Remote(16)),
    same("dev", 3, Type::Dev),
    same("local", 4, Type::Ip(17)),
    same("ttl", 5, Type::Ttl(28, &[])),
    same("tos", 6, Type::Tos),
    same("df", 29, Type::Names(1, &[("unset", 0), ("set", 1), ("inherit", 2)])),
    same("flowlabel", 26, Type::FlowInfo(0x000f_ffff)),
    same("learning", 7, Type::Switch),
    same("ageing", 8, Type::U32),
    same("maxaddress", 9, Type::U32),
    same("srcport", 10, Type::Ports),
    same("proxy", 11, Type::Switch),
    same("rsc", 12, Type::Switch),
    same("l2miss", 13, Type::Switch),
    same("l3miss", 14, Type::Switch),
    same("dstport", 15, Type::Port),
    same("udpcsum", 18, Type::Switch),
    same("udp6zerocsumtx", 19, Type::Switch),
    same("udp6zerocsumrx", 20, Type::Switch),
    same("remcsumtx", 21, Type::Switch),
    same("remcsumrx", 22, Type::Switch),
    same("gbp", 23, Type::Flag),
    same("external", 25, Type::Switch),
    same("gpe", 27, Type::Flag),
    same("vnifilter", 30, Type::Switch),
    same("localbypass", 31, Type::Switch),
];

#[export_module]
pub mod functions {
    /// Makes a VXLAN: an Ethernet that goes over UDP, to a multicast group, to one other end, or to those of its fdb.
    ///
    /// Options: those of every link (see `bridge`), and `id` (needed, 0 to 16777215), `group` or `remote` (an address), `local`,
    /// `dev` (the link below; needed with a group; `"ns:dev"` for one in another namespace), `dstport` (as with `ip`, 8472 if not
    /// given; 4789 is the registered one), `srcport` (`[low, high]`), `ttl` and `tos` (a number or `"inherit"`), `df` (`"unset"`,
    /// `"set"`, `"inherit"`), `flowlabel`, `learning`, `ageing` (seconds), `maxaddress`, `proxy`, `rsc`, `l2miss`, `l3miss`,
    /// `udpcsum`, `udp6zerocsumtx`, `udp6zerocsumrx`, `remcsumtx`, `remcsumrx`, `gbp`, `gpe`, `external`, `vnifilter`,
    /// `localbypass`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// vxlan("a:vx", #{ id: 42, local: "10.0.0.1", remote: "10.0.0.2", dstport: 4789, up: true, addr: "10.42.0.1/24" });
    /// vxlan("b:vx", #{ id: 42, local: "10.0.0.2", remote: "10.0.0.1", dstport: 4789, up: true, addr: "10.42.0.2/24" });
    /// assert_eq(link("a:vx").data.remote, "10.0.0.2");
    /// assert_ping("a", "10.42.0.2");
    /// ```
    #[rhai_fn(name = "vxlan", return_raw)]
    pub fn vxlan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vxlan", dev, Map::new()))
    }

    #[rhai_fn(name = "vxlan", return_raw)]
    pub fn vxlan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "vxlan", dev, options))
    }
}

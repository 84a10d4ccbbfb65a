//! `geneve`: Ethernet over UDP, with options (RFC 8926; drivers/net/geneve.c; ip-link(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_GENEVE_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("id", 1, Type::U32),
    same("remote", 2, Type::Ip(7)),
    same("ttl", 3, Type::Ttl(12, &[1])),
    same("tos", 4, Type::Tos),
    same("dstport", 5, Type::Port),
    same("external", 6, Type::Flag),
    same("udpcsum", 8, Type::Switch),
    same("udp6zerocsumtx", 9, Type::Switch),
    same("udp6zerocsumrx", 10, Type::Switch),
    same("flowlabel", 11, Type::FlowInfo(0x000f_ffff)),
    same("df", 13, Type::Names(1, &[("unset", 0), ("set", 1), ("inherit", 2)])),
    same("innerprotoinherit", 14, Type::Flag),
];

#[export_module]
pub mod functions {
    /// Makes a GENEVE tunnel: an Ethernet that goes over UDP to one other end.
    ///
    /// Options: those of every link (see `bridge`), and `id` (0 to 16777215) and `remote` (both needed, but with `external`),
    /// `dstport` (6081 if not given), `ttl` and `tos` (a number or `"inherit"`), `df` (`"unset"`, `"set"`, `"inherit"`),
    /// `flowlabel`, `udpcsum`, `udp6zerocsumtx`, `udp6zerocsumrx`, `external`, `innerprotoinherit`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// geneve("a:g", #{ id: 42, remote: "10.0.0.2", up: true, addr: "10.42.0.1/24" });
    /// geneve("b:g", #{ id: 42, remote: "10.0.0.1", up: true, addr: "10.42.0.2/24" });
    /// assert_eq(link("a:g").data.remote, "10.0.0.2");
    /// assert_ping("a", "10.42.0.2");
    /// ```
    #[rhai_fn(name = "geneve", return_raw)]
    pub fn geneve(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "geneve", dev, Map::new()))
    }

    #[rhai_fn(name = "geneve", return_raw)]
    pub fn geneve_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "geneve", dev, options))
    }
}

//! `ip6tnl`: IPv4 or IPv6 in IPv6 (RFC 2473; net/ipv6/ip6_tunnel.c; ip-link(8)).

use super::gre::ENCAPS;
use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_IPTUN_…` (include/uapi/linux/if_tunnel.h).
pub const OPTIONS: &[Choice] = &[
    same("local", 2, Type::Ip6),
    same("remote", 3, Type::Ip6),
    choice("ttl", 4, Type::Ttl(0, &[]), "hoplimit"),
    same("encaplimit", 6, Type::EncapLimit(8)),
    same("tclass", 7, Type::FlowInfo(0x0ff0_0000)),
    same("flowlabel", 7, Type::FlowInfo(0x000f_ffff)),
    choice("dscp_inherit", 8, Type::Bit(4, 0x10), "dscp inherit"),
    choice("allow_localremote", 8, Type::Bit(4, 0x40), "allow-localremote"),
    same("mode", 9, Type::Names(1, &[("any", 0), ("ip6ip6", 41), ("ipip6", 4)])),
    same("dev", 1, Type::Dev),
    same("fwmark", 20, Type::U32),
    same("external", 19, Type::Flag),
    same("encap", 15, Type::Names(2, ENCAPS)),
    choice("encap_sport", 17, Type::Port, "encap-sport"),
    choice("encap_dport", 18, Type::Port, "encap-dport"),
    choice("encap_csum", 16, Type::Bit(2, 1), "encap-csum"),
    choice("encap_csum6", 16, Type::Bit(2, 2), "encap-csum6"),
    choice("encap_remcsum", 16, Type::Bit(2, 4), "encap-remcsum"),
];

#[export_module]
pub mod functions {
    /// Makes a tunnel over IPv6, for IPv4 and IPv6.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `local`, `remote`, `ttl` (the hop limit, 64 if not given),
    /// `encaplimit` (a number or `"none"`), `tclass`, `flowlabel`, `allow_localremote`, `dscp_inherit`, `mode` (`"any"`, `"ip6ip6"`, `"ipip6"`),
    /// `dev` (the link below; `"ns:dev"` for one in another namespace), `fwmark`, `external`, `encap` (`"fou"`, `"gue"`, `"none"`), `encap_sport`, `encap_dport`, `encap_csum`,
    /// `encap_csum6`, `encap_remcsum`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "fd00::1/64" }, b: #{ addr: "fd00::2/64" } });
    /// ip6tnl("a:t", #{ local: "fd00::1", remote: "fd00::2", up: true, addr: "10.99.0.1/24" });
    /// ip6tnl("b:t", #{ local: "fd00::2", remote: "fd00::1", up: true, addr: "10.99.0.2/24" });
    /// assert_eq(link("a:t").data.remote, "fd00::2");
    /// assert_ping("a", "10.99.0.2");
    /// ```
    #[rhai_fn(name = "ip6tnl", return_raw)]
    pub fn ip6tnl(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6tnl", dev, Map::new()))
    }

    #[rhai_fn(name = "ip6tnl", return_raw)]
    pub fn ip6tnl_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6tnl", dev, options))
    }
}

//! `ip6gre` and `ip6gretap`: packets, or Ethernet frames, over IPv6 (RFC 7676; net/ipv6/ip6_gre.c; ip-link(8)).

use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

use super::gre::{CSUM, DIRECTIONS, ENCAPS, SEQ};

/// `IFLA_GRE_…` (include/uapi/linux/if_tunnel.h).
macro_rules! options {
    ($($more:expr),*) => {
        &[
            same("local", 6, Type::Ip6),
            same("remote", 7, Type::Ip6),
            same("key", 4, Type::Key(&[4, 5], &[2, 3])),
            same("ikey", 4, Type::Key(&[4], &[2])),
            same("okey", 5, Type::Key(&[5], &[3])),
            same("seq", 2, Type::TunnelFlag(&[2, 3], SEQ)),
            same("iseq", 2, Type::TunnelFlag(&[2], SEQ)),
            same("oseq", 3, Type::TunnelFlag(&[3], SEQ)),
            same("csum", 2, Type::TunnelFlag(&[2, 3], CSUM)),
            same("icsum", 2, Type::TunnelFlag(&[2], CSUM)),
            same("ocsum", 3, Type::TunnelFlag(&[3], CSUM)),
            same("dev", 1, Type::Dev),
            choice("ttl", 8, Type::Ttl(0, &[]), "hoplimit"),
            same("encaplimit", 11, Type::EncapLimit(13)),
            same("tclass", 12, Type::FlowInfo(0x0ff0_0000)),
            same("flowlabel", 12, Type::FlowInfo(0x000f_ffff)),
            choice("dscp_inherit", 13, Type::Bit(4, 0x10), "dscp inherit"),
            choice("allow_localremote", 13, Type::Bit(4, 0x40), "allow-localremote"),
            same("fwmark", 20, Type::U32),
            same("external", 18, Type::Flag),
            same("encap", 14, Type::Names(2, ENCAPS)),
            choice("encap_sport", 16, Type::Port, "encap-sport"),
            choice("encap_dport", 17, Type::Port, "encap-dport"),
            choice("encap_csum", 15, Type::Bit(2, 1), "encap-csum"),
            choice("encap_csum6", 15, Type::Bit(2, 2), "encap-csum6"),
            choice("encap_remcsum", 15, Type::Bit(2, 4), "encap-remcsum"),
            $($more),*
        ]
    };
}

pub const OPTIONS: &[Choice] = options!();

/// Those of an ERSPAN besides.
pub const ERSPAN: &[Choice] = options!(
    same("erspan_ver", 22, Type::U8),
    same("erspan", 21, Type::U32),
    same("erspan_dir", 23, Type::Names(1, DIRECTIONS)),
    same("erspan_hwid", 24, Type::U16)
);

#[export_module]
pub mod functions {
    /// Makes a GRE tunnel over IPv6.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `local`, `remote`, `key`, `ikey`, `okey` (a number or a dotted quad), `seq`, `iseq`, `oseq`,
    /// `csum`, `icsum`, `ocsum`, `ttl` (the hop limit),
    /// `encaplimit` (a number or `"none"`), `tclass`, `flowlabel`, `allow_localremote`, `dscp_inherit`, `dev` (the link below; `"ns:dev"` for one
    /// in another namespace), `fwmark`, `external`, `encap` (`"fou"`, `"gue"`, `"none"`), `encap_sport`, `encap_dport`, `encap_csum`,
    /// `encap_csum6`, `encap_remcsum`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "fd00::1/64" }, b: #{ addr: "fd00::2/64" } });
    /// ip6gre("a:t", #{ local: "fd00::1", remote: "fd00::2", up: true, addr: "10.99.0.1/24" });
    /// ip6gre("b:t", #{ local: "fd00::2", remote: "fd00::1", up: true, addr: "10.99.0.2/24" });
    /// assert_eq(link("a:t").data.remote, "fd00::2");
    /// assert_ping("a", "10.99.0.2");
    /// ```
    #[rhai_fn(name = "ip6gre", return_raw)]
    pub fn ip6gre(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6gre", dev, Map::new()))
    }

    #[rhai_fn(name = "ip6gre", return_raw)]
    pub fn ip6gre_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6gre", dev, options))
    }

    /// Makes a GRE tunnel over IPv6 that carries Ethernet, so that it can be a bridge's port.
    ///
    /// Options: those of `ip6gre`, and `mac`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "fd00::1/64" }, b: #{ addr: "fd00::2/64" } });
    /// ip6gretap("a:t", #{ local: "fd00::1", remote: "fd00::2", up: true, addr: "10.99.0.1/24" });
    /// ip6gretap("b:t", #{ local: "fd00::2", remote: "fd00::1", up: true, addr: "10.99.0.2/24" });
    /// assert_eq(link("a:t").data.remote, "fd00::2");
    /// assert_ping("a", "10.99.0.2");
    /// ```
    #[rhai_fn(name = "ip6gretap", return_raw)]
    pub fn ip6gretap(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6gretap", dev, Map::new()))
    }

    #[rhai_fn(name = "ip6gretap", return_raw)]
    pub fn ip6gretap_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6gretap", dev, options))
    }

    /// Makes an ERSPAN tunnel over IPv6: see `erspan`.
    ///
    /// Options: those of `ip6gretap`, and those of `erspan`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["sw", "look"]);
    /// veth("sw:e", "look:e", #{ up: true, a: #{ addr: "fd00::1/64" }, b: #{ addr: "fd00::2/64" } });
    /// ip6erspan("sw:m", #{ local: "fd00::1", remote: "fd00::2", seq: true, key: 7, erspan_ver: 2, erspan_dir: "egress", erspan_hwid: 5 });
    /// assert_eq(link("sw:m").data.erspan_dir, "egress");
    /// ```
    #[rhai_fn(name = "ip6erspan", return_raw)]
    pub fn ip6erspan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6erspan", dev, Map::new()))
    }

    #[rhai_fn(name = "ip6erspan", return_raw)]
    pub fn ip6erspan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ip6erspan", dev, options))
    }
}

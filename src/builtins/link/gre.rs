//! `gre`, `gretap` and `erspan`: packets, Ethernet frames, or mirrored ones, over IPv4 (RFC 2784, RFC 2890;
//! draft-foschiano-erspan-03; net/ipv4/ip_gre.c; ip-link(8)).

use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `TUNNEL_ENCAP_…` (include/uapi/linux/if_tunnel.h).
pub const ENCAPS: &[(&str, u64)] = &[("none", 0), ("fou", 1), ("gue", 2), ("mpls", 3)];
/// `GRE_SEQ` and `GRE_CSUM` (include/uapi/linux/if_tunnel.h).
pub const SEQ: u16 = 0x1000;
pub const CSUM: u16 = 0x8000;

/// `IFLA_GRE_…` (include/uapi/linux/if_tunnel.h).
macro_rules! options {
    ($($more:expr),*) => {
        &[
            same("local", 6, Type::Ip(0)),
            same("remote", 7, Type::Ip(0)),
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
            same("ttl", 8, Type::Ttl(0, &[])),
            same("tos", 9, Type::Tos),
            same("pmtudisc", 10, Type::Switch),
            choice("ignore_df", 19, Type::Switch, "ignore-df"),
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

/// The directions of what an ERSPAN mirrors.
pub const DIRECTIONS: &[(&str, u64)] = &[("ingress", 0), ("egress", 1)];

/// Those of an ERSPAN besides.
pub const ERSPAN: &[Choice] = options!(
    same("erspan_ver", 22, Type::U8),
    same("erspan", 21, Type::U32),
    same("erspan_dir", 23, Type::Names(1, DIRECTIONS)),
    same("erspan_hwid", 24, Type::U16)
);

#[export_module]
pub mod functions {
    /// Makes a GRE tunnel: packets in IPv4.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `local`, `remote`, `key`, `ikey`, `okey` (a number or a dotted quad), `seq`, `iseq`, `oseq`,
    /// `csum`, `icsum`, `ocsum`, `ttl` and `tos` (a number or
    /// `"inherit"`), `pmtudisc`, `ignore_df`, `dev` (the link below; `"ns:dev"` for one in another namespace), `fwmark`,
    /// `external`, `encap` (`"fou"`, `"gue"`, `"none"`), `encap_sport`, `encap_dport`, `encap_csum`,
    /// `encap_csum6`, `encap_remcsum`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// gre("a:t", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 7, up: true, addr: "10.99.0.1/24" });
    /// gre("b:t", #{ local: "10.0.0.2", remote: "10.0.0.1", key: 7, up: true, addr: "10.99.0.2/24" });
    /// assert_eq(link("a:t").data.remote, "10.0.0.2");
    /// assert_ping("a", "10.99.0.2");
    /// ```
    #[rhai_fn(name = "gre", return_raw)]
    pub fn gre(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "gre", dev, Map::new()))
    }

    #[rhai_fn(name = "gre", return_raw)]
    pub fn gre_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "gre", dev, options))
    }

    /// Makes a GRE tunnel that carries Ethernet, so that it can be a bridge's port.
    ///
    /// Options: those of `gre`, and `mac`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// gretap("a:t", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 7, up: true, addr: "10.99.0.1/24" });
    /// gretap("b:t", #{ local: "10.0.0.2", remote: "10.0.0.1", key: 7, up: true, addr: "10.99.0.2/24" });
    /// assert_eq(link("a:t").data.remote, "10.0.0.2");
    /// assert_ping("a", "10.99.0.2");
    /// ```
    #[rhai_fn(name = "gretap", return_raw)]
    pub fn gretap(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "gretap", dev, Map::new()))
    }

    #[rhai_fn(name = "gretap", return_raw)]
    pub fn gretap_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "gretap", dev, options))
    }

    /// Makes an ERSPAN tunnel: a `gretap` that carries mirrored frames to where they are looked at.
    ///
    /// Options: those of `gretap`, of which `seq` and `key` (0 to 1023: the session) are needed but with `external`; and
    /// `erspan_ver` (1, which is the default, or 2; 0 with none of the others), `erspan` (version 1: the index of the port, to 1048575), `erspan_dir` (version 2:
    /// `"ingress"`, `"egress"`), `erspan_hwid` (version 2: 0 to 63). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["sw", "look"]);
    /// veth("sw:e", "look:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// erspan("sw:m", #{ local: "10.0.0.1", remote: "10.0.0.2", seq: true, key: 7, erspan_ver: 1, erspan: 123, up: true });
    /// assert_eq(link("sw:m").data.erspan, 123);
    /// ```
    #[rhai_fn(name = "erspan", return_raw)]
    pub fn erspan(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "erspan", dev, Map::new()))
    }

    #[rhai_fn(name = "erspan", return_raw)]
    pub fn erspan_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "erspan", dev, options))
    }
}

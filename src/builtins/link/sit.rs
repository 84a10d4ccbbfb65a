//! `sit`: IPv6 in IPv4 (RFC 4213; net/ipv6/sit.c; ip-link(8)).

use super::gre::ENCAPS;
use super::kind::{Choice, Type, choice, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `IFLA_IPTUN_…` (include/uapi/linux/if_tunnel.h).
pub const OPTIONS: &[Choice] = &[
    same("local", 2, Type::Ip(0)),
    same("remote", 3, Type::Ip(0)),
    same("ttl", 4, Type::Ttl(0, &[])),
    same("tos", 5, Type::Tos),
    same("pmtudisc", 10, Type::Switch),
    same("mode", 9, Type::Names(1, &[("any", 0), ("ip6ip", 41), ("ipip", 4), ("mplsip", 137)])),
    same("dev", 1, Type::Dev),
    same("fwmark", 20, Type::U32),
    same("external", 19, Type::Flag),
    same("encap", 15, Type::Names(2, ENCAPS)),
    choice("encap_sport", 17, Type::Port, "encap-sport"),
    choice("encap_dport", 18, Type::Port, "encap-dport"),
    choice("encap_csum", 16, Type::Bit(2, 1), "encap-csum"),
    choice("encap_csum6", 16, Type::Bit(2, 2), "encap-csum6"),
    choice("encap_remcsum", 16, Type::Bit(2, 4), "encap-remcsum"),
    same("isatap", 8, Type::Bit(2, 1)),
    choice("6rd_prefix", 11, Type::Prefix(13, true), "6rd-prefix"),
    choice("6rd_relay_prefix", 12, Type::Prefix(14, false), "6rd-relay_prefix"),
];

#[export_module]
pub mod functions {
    /// Makes a SIT tunnel: IPv6 in IPv4.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `local`, `remote`, `ttl` and `tos` (a number or
    /// `"inherit"`), `pmtudisc`, `dev` (the link below; `"ns:dev"` for one in another namespace), `fwmark`, `external`,
    /// `encap` (`"fou"`, `"gue"`, `"none"`), `encap_sport`, `encap_dport`, `encap_csum`,
    /// `encap_csum6`, `encap_remcsum`, `mode` (`"ip6ip"`, `"ipip"`, `"mplsip"`, `"any"`),
    /// `isatap`, `"6rd_prefix"` (RFC 5969; `"2002::/16"`, which is 6to4, if not given) and `"6rd_relay_prefix"`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// sit("a:t", #{ local: "10.0.0.1", remote: "10.0.0.2", up: true, addr: "fd99::1/64" });
    /// sit("b:t", #{ local: "10.0.0.2", remote: "10.0.0.1", up: true, addr: "fd99::2/64" });
    /// assert_eq(link("a:t").data.remote, "10.0.0.2");
    /// assert_ping("a", "fd99::2");
    /// ```
    #[rhai_fn(name = "sit", return_raw)]
    pub fn sit(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "sit", dev, Map::new()))
    }

    #[rhai_fn(name = "sit", return_raw)]
    pub fn sit_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "sit", dev, options))
    }
}

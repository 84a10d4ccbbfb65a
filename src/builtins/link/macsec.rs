//! `macsec`: encrypted Ethernet (IEEE 802.1AE; drivers/net/macsec.c; ip-macsec(8)).

use super::kind::{Choice, Type, same};
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

const CIPHERS: &[(&str, u64)] = &[
    ("gcm-aes-128", 0x0080_c200_0100_0001),
    ("gcm-aes-256", 0x0080_c200_0100_0002),
    ("gcm-aes-xpn-128", 0x0080_c200_0100_0003),
    ("gcm-aes-xpn-256", 0x0080_c200_0100_0004),
];

/// `IFLA_MACSEC_…` (include/uapi/linux/if_link.h).
pub const OPTIONS: &[Choice] = &[
    same("sci", 1, Type::Hex64),
    same("port", 2, Type::Port),
    same("icvlen", 3, Type::U8),
    same("cipher", 4, Type::Names(8, CIPHERS)),
    same("replay", 12, Type::OnOff),
    same("window", 5, Type::U32),
    same("encodingsa", 6, Type::U8),
    same("encrypt", 7, Type::OnOff),
    same("protect", 8, Type::OnOff),
    same("send_sci", 9, Type::OnOff),
    same("end_station", 10, Type::OnOff),
    same("scb", 11, Type::OnOff),
    same("validate", 13, Type::Names(1, &[("disabled", 0), ("check", 1), ("strict", 2)])),
    same("offload", 15, Type::Names(1, &[("off", 0), ("phy", 1), ("mac", 2)])),
];

#[export_module]
pub mod functions {
    /// Makes a MACsec link on another: Ethernet that is signed, and encrypted if asked for.
    ///
    /// Its keys are added with the program: `exec_in(ns, "ip macsec add …")`.
    ///
    /// Options: those of every link (see `bridge`), and `link` (the link below, needed; `"ns:dev"` for one in another
    /// namespace), `port` or `sci` (hex digits), `cipher` (`"gcm-aes-128"`, `"gcm-aes-256"`, `"gcm-aes-xpn-128"`,
    /// `"gcm-aes-xpn-256"`), `icvlen`, `encrypt`, `protect`, `send_sci`, `end_station`, `scb`, `replay`, `window`, `validate`
    /// (`"strict"`, `"check"`, `"disabled"`), `encodingsa`, `offload`. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// veth("h:e0", "h:e1", #{ up: true });
    /// let m = macsec("h:m0", #{ link: "e0", port: 11, encrypt: true });
    /// assert(link(m).data.encrypt, "it encrypts");
    /// ```
    #[rhai_fn(name = "macsec", return_raw)]
    pub fn macsec(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macsec", dev, Map::new()))
    }

    #[rhai_fn(name = "macsec", return_raw)]
    pub fn macsec_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "macsec", dev, options))
    }
}

//! `wireguard`: an encrypted tunnel (drivers/net/wireguard; wg(8)). Its options are not the link's, but go by generic
//! netlink to the link that was made.

use super::{COMMON, finish_with, spec};
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, LinkHandle, Opts, put, put_int, run, text};
use crate::kernel::By;
use crate::plan::wireguard::{self, KEY, Peer, Secret, Wireguard};
use crate::plan::{Error, Kind, Ns, Result, Verb};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use std::net::SocketAddr;

const OWN: &[&str] = &["private_key", "listen_port", "fwmark", "peers"];
const PEER: &[&str] = &["public_key", "preshared_key", "endpoint", "allowed_ips", "keepalive"];

/// A key in base64. The text is not repeated in the error: it may be a secret that is nearly right.
fn key(opts: &Opts, name: &str) -> Result<Option<Vec<u8>>> {
    let Some(text) = opts.text(name)? else { return Ok(None) };
    wireguard::key(&text).map(Some).ok_or_else(|| {
        Error::invalid(format!("`{name}` is not a key"))
            .with_target(name)
            .with_hint("44 digits of base64, as `wg genkey` and `wg pubkey` write them")
    })
}

/// A new private key (RFC 7748, section 5: the kernel clamps it).
fn generate() -> Result<Vec<u8>> {
    let mut bytes = vec![0; KEY];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no randomness for a key: {e}")))?;
    Ok(bytes)
}

fn peer(options: Map) -> Result<Peer> {
    let opts = Opts::new("wireguard, peers", options, PEER)?;
    let public_key = key(&opts, "public_key")?
        .ok_or_else(|| Error::invalid("a peer needs its `public_key`").with_hint("link(\"ns:wg0\").data.public_key"))?;
    let endpoint = opts.text("endpoint")?.map(|text| {
        text.parse::<SocketAddr>().map_err(|_| {
            Error::invalid(format!("`{text}` is not an endpoint"))
                .with_target("endpoint")
                .with_hint("an address and a port: \"10.0.0.1:51820\", \"[fd00::1]:51820\"")
        })
    });
    let allowed_ips = opts.get("allowed_ips").map(|value| {
        let all = if value.is_string() { vec![value.clone()] } else { opts.array("allowed_ips")?.unwrap_or_default() };
        all.iter()
            .map(|one| {
                let text = text(one, "allowed_ips")?;
                let host = || text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from);
                let net =
                    text.parse().ok().or_else(host).ok_or_else(|| {
                        Error::invalid(format!("`{text}` is not a prefix")).with_target("allowed_ips")
                    })?;
                Ok(net)
            })
            .collect::<Result<Vec<ipnet::IpNet>>>()
    });
    Ok(Peer {
        public_key,
        preshared_key: key(&opts, "preshared_key")?.map(Secret),
        endpoint: endpoint.transpose()?,
        keepalive: opts.int("keepalive", 0..=65535)?.and_then(|n| u16::try_from(n).ok()),
        allowed_ips: allowed_ips.transpose()?,
        remove: false,
    })
}

fn config(opts: &Opts) -> Result<Wireguard> {
    let peers = opts.array("peers")?.unwrap_or_default();
    let peers = peers.iter().map(|p| peer(value::map(p, "a peer")?)).collect::<Result<_>>()?;
    Ok(Wireguard {
        private_key: key(opts, "private_key")?.map(Secret),
        listen_port: opts.int("listen_port", 0..=65535)?.and_then(|n| u16::try_from(n).ok()),
        fwmark: opts.u32("fwmark", u32::MAX)?,
        peers,
    })
}

fn make(session: &Session, dev: &str, options: Map) -> Result<LinkHandle> {
    let known: Vec<&str> = COMMON.iter().chain(OWN).copied().collect();
    let opts = Opts::new("wireguard", options, &known)?;
    let mut config = config(&opts)?;
    if config.private_key.is_none() {
        config.private_key = Some(Secret(generate()?));
    }
    let (ns, name) = value::new_device(session, None, dev)?;
    let (spec, extra) = spec(session, &ns, "wireguard", Some(name), &opts)?;
    finish_with(session, &ns, spec, &extra, None, Some(config))
}

/// The wireguard of a call.
fn target(session: &Session, dev: &Dynamic) -> Result<Device> {
    let device = value::device(session, None, dev)?;
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    if info.is_some_and(|info| info.state.kind == "wireguard") {
        return Ok(device);
    }
    Err(Error::invalid(format!("`{}` is no wireguard", device.link.name)).with_target(&device.link.name))
}

fn set(session: &Session, dev: &Dynamic, config: Wireguard) -> Result<LinkHandle> {
    let device = target(session, dev)?;
    session.perform(Verb::Wireguard { ns: device.ns.clone(), link: device.link.clone(), config })?;
    Ok(dev.clone().try_cast::<LinkHandle>().unwrap_or_else(|| device.handle()))
}

fn public(text: &str) -> Result<Vec<u8>> {
    wireguard::key(text).ok_or_else(|| {
        Error::invalid(format!("`{text}` is not a public key")).with_hint("link(\"ns:wg0\").data.public_key shows one")
    })
}

/// What is special to a wireguard, for `link(…).data`. Its private key is not.
pub fn shown(session: &Session, ns: &Ns, index: u32) -> Result<Map> {
    let question = wireguard::question(index);
    let answer = match session.kernel().genl(ns, "wireguard", 0, &question) {
        Ok(answer) => answer,
        // A model of the kernel, or one that may not be asked.
        Err(error) if matches!(error.kind, Kind::Unsupported | Kind::Permission) => return Ok(Map::new()),
        Err(error) => return Err(error),
    };
    let device = wireguard::shown(&answer);
    let mut map = Map::new();
    let key = |bytes: &[u8]| Dynamic::from(wireguard::base64(bytes));
    put(&mut map, "public_key", device.public_key.as_deref().map_or(Dynamic::UNIT, key));
    put_int(&mut map, "listen_port", device.listen_port);
    put_int(&mut map, "fwmark", device.fwmark);
    let peers: Array = device
        .peers
        .iter()
        .map(|peer| {
            let mut map = Map::new();
            put(&mut map, "public_key", key(&peer.public_key));
            put(&mut map, "preshared", peer.preshared);
            put(&mut map, "endpoint", peer.endpoint.map_or(Dynamic::UNIT, |e| e.to_string().into()));
            put_int(&mut map, "keepalive", peer.keepalive);
            let ips: Array = peer.allowed_ips.iter().map(|ip| ip.clone().into()).collect();
            put(&mut map, "allowed_ips", ips);
            put_int(&mut map, "last_handshake", peer.last_handshake);
            put_int(&mut map, "rx_bytes", peer.rx_bytes);
            put_int(&mut map, "tx_bytes", peer.tx_bytes);
            map.into()
        })
        .collect();
    put(&mut map, "peers", peers);
    Ok(map)
}

#[export_module]
pub mod functions {
    /// Makes a WireGuard tunnel: encrypted packets over UDP, between peers that know each other by public keys.
    ///
    /// Options: those of every link but `mac` (see `bridge`), and `private_key` (44 digits of base64; without one, one is
    /// made), `listen_port` (UDP; without one the kernel chooses), `fwmark`, and `peers`: an array of maps with `public_key`,
    /// `preshared_key`, `endpoint` (`"10.0.0.1:51820"`), `allowed_ips` (a prefix or an array), `keepalive` (seconds).
    ///
    /// `link(dev).data` has `public_key`, `listen_port`, `fwmark` and `peers`, each with `public_key`, `preshared` (whether it
    /// has such a key), `endpoint`, `allowed_ips`, `keepalive`, `last_handshake` (seconds since 1970, 0 for never),
    /// `rx_bytes`, `tx_bytes`. Private and preshared keys are shown and written nowhere. The tunnel's UDP socket stays in the
    /// namespace in which it was made, also when the link is moved.
    ///
    /// Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// veth("a:e", "b:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// wireguard("a:wg0", #{ listen_port: 51820, up: true, addr: "10.9.0.1/24" });
    /// wireguard("b:wg0", #{ up: true, addr: "10.9.0.2/24", peers: [#{
    ///     public_key: link("a:wg0").data.public_key, endpoint: "10.0.0.1:51820", allowed_ips: "10.9.0.0/24",
    /// }] });
    /// wireguard_peer("a:wg0", link("b:wg0").data.public_key, #{ allowed_ips: "10.9.0.2/32" });
    /// assert_ping("b", "10.9.0.1");
    /// ```
    #[rhai_fn(name = "wireguard", return_raw)]
    pub fn wireguard(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| make(s, dev, Map::new()))
    }

    #[rhai_fn(name = "wireguard", return_raw)]
    pub fn wireguard_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| make(s, dev, options))
    }

    /// Adds a peer to a wireguard, or changes it. Options: `endpoint`, `allowed_ips` (all of them: they replace those that it
    /// had), `keepalive`, `preshared_key`, as of `wireguard`. Returns the link.
    ///
    /// Only on a link that the run itself made, since no undo could bring keys back: on others the error is `unsupported`.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// wireguard("a:wg0");
    /// wireguard("b:wg0");
    /// wireguard_peer("a:wg0", link("b:wg0").data.public_key, #{ allowed_ips: ["10.9.0.2/32", "fd09::2/128"], keepalive: 25 });
    /// assert_eq(link("a:wg0").data.peers[0].allowed_ips, ["10.9.0.2/32", "fd09::2/128"]);
    /// ```
    #[rhai_fn(name = "wireguard_peer", return_raw)]
    pub fn wireguard_peer(
        ctx: NativeCallContext,
        dev: Dynamic,
        public_key: &str,
        options: Map,
    ) -> Fallible<LinkHandle> {
        run(&ctx, |s| {
            let mut options = options;
            options.insert("public_key".into(), public_key.to_string().into());
            set(s, &dev, Wireguard { peers: vec![peer(options)?], ..Wireguard::default() })
        })
    }

    /// Takes a peer away from a wireguard. Returns the link. Only on a link that the run itself made.
    ///
    /// ```rhai
    /// netns_add(["a", "b"]);
    /// wireguard("b:wg0");
    /// let key = link("b:wg0").data.public_key;
    /// wireguard("a:wg0", #{ peers: [#{ public_key: key }] });
    /// wireguard_peer_del("a:wg0", key);
    /// assert_eq(link("a:wg0").data.peers, []);
    /// ```
    #[rhai_fn(name = "wireguard_peer_del", return_raw)]
    pub fn wireguard_peer_del(ctx: NativeCallContext, dev: Dynamic, public_key: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| {
            let gone = Peer { public_key: public(public_key)?, remove: true, ..Peer::default() };
            set(s, &dev, Wireguard { peers: vec![gone], ..Wireguard::default() })
        })
    }

    /// Changes a wireguard: `private_key`, `listen_port`, `fwmark`, `peers` (which are added, or changed), as of `wireguard`.
    /// Returns the link. Only on a link that the run itself made.
    ///
    /// ```rhai
    /// netns_add("a");
    /// wireguard("a:wg0");
    /// wireguard_set("a:wg0", #{ listen_port: 51821, fwmark: 7 });
    /// assert_eq(link("a:wg0").data.listen_port, 51821);
    /// ```
    #[rhai_fn(name = "wireguard_set", return_raw)]
    pub fn wireguard_set(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| {
            let config = config(&Opts::new("wireguard_set", options, OWN)?)?;
            set(s, &dev, config)
        })
    }
}

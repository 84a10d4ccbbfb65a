//! WireGuard: what is to be set, and what the kernel shows (include/uapi/linux/wireguard.h). Private and preshared keys
//! are secrets: no journal, event or message ever holds them.

use super::nla;
use super::record::{hex, ip_of};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::net::{IpAddr, SocketAddr};

/// Bytes of a key (Curve25519).
pub const KEY: usize = 32;
// WGDEVICE_A_…, WGPEER_A_…, WGALLOWEDIP_A_…
const DEVICE_IFINDEX: u16 = 1;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_PUBLIC_KEY: u16 = 4;
const DEVICE_LISTEN_PORT: u16 = 6;
const DEVICE_FWMARK: u16 = 7;
const DEVICE_PEERS: u16 = 8;
const PEER_PUBLIC_KEY: u16 = 1;
const PEER_PRESHARED_KEY: u16 = 2;
const PEER_FLAGS: u16 = 3;
const PEER_ENDPOINT: u16 = 4;
const PEER_KEEPALIVE: u16 = 5;
const PEER_LAST_HANDSHAKE: u16 = 6;
const PEER_RX_BYTES: u16 = 7;
const PEER_TX_BYTES: u16 = 8;
const PEER_ALLOWED_IPS: u16 = 9;
const ALLOWED_FAMILY: u16 = 1;
const ALLOWED_ADDRESS: u16 = 2;
const ALLOWED_CIDR: u16 = 3;
/// `WGPEER_F_REMOVE_ME`, `WGPEER_F_REPLACE_ALLOWEDIPS`.
const REMOVE: u32 = 1;
const REPLACE: u32 = 2;

/// A key that is shown to nobody and written down nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("(hidden)")
    }
}

impl<'d> Deserialize<'d> for Secret {
    fn deserialize<D: Deserializer<'d>>(d: D) -> Result<Secret, D::Error> {
        String::deserialize(d).map(|_| Secret(Vec::new()))
    }
}

/// What is to be set on a device. Nothing in it could be read back and undone without its secrets, so it is set only on
/// links of the run's own, which go whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wireguard {
    pub private_key: Option<Secret>,
    /// UDP; 0: the kernel chooses.
    pub listen_port: Option<u16>,
    pub fwmark: Option<u32>,
    pub peers: Vec<Peer>,
}

/// Another end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    #[serde(with = "hex")]
    pub public_key: Vec<u8>,
    pub preshared_key: Option<Secret>,
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0: none.
    pub keepalive: Option<u16>,
    /// What may come from it, and goes to it; `None` leaves what there is.
    pub allowed_ips: Option<Vec<IpNet>>,
    /// It goes.
    pub remove: bool,
}

impl Wireguard {
    /// The attributes of `WG_CMD_SET_DEVICE`.
    #[must_use]
    pub fn attributes(&self, index: u32) -> Vec<u8> {
        let mut body = Vec::new();
        nla::put(&mut body, DEVICE_IFINDEX, &index.to_ne_bytes());
        if let Some(key) = &self.private_key {
            nla::put(&mut body, DEVICE_PRIVATE_KEY, &key.0);
        }
        if let Some(port) = self.listen_port {
            nla::put(&mut body, DEVICE_LISTEN_PORT, &port.to_ne_bytes());
        }
        if let Some(mark) = self.fwmark {
            nla::put(&mut body, DEVICE_FWMARK, &mark.to_ne_bytes());
        }
        if !self.peers.is_empty() {
            nla::nest(&mut body, DEVICE_PEERS, |peers| {
                for peer in &self.peers {
                    nla::nest(peers, 0, |out| peer.put(out));
                }
            });
        }
        body
    }

    /// The words that follow `wg set DEV`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut out = Vec::new();
        if let Some(port) = self.listen_port {
            out.push(format!("listen-port {port}"));
        }
        if let Some(mark) = self.fwmark {
            out.push(format!("fwmark {mark:#x}"));
        }
        if self.private_key.is_some() {
            out.push("private-key FILE".into());
        }
        for peer in &self.peers {
            out.push(format!("peer {}", base64(&peer.public_key)));
            if peer.remove {
                out.push("remove".into());
            }
            if peer.preshared_key.is_some() {
                out.push("preshared-key FILE".into());
            }
            if let Some(endpoint) = peer.endpoint {
                out.push(format!("endpoint {endpoint}"));
            }
            if let Some(seconds) = peer.keepalive {
                out.push(format!("persistent-keepalive {seconds}"));
            }
            if let Some(ips) = &peer.allowed_ips {
                let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
                out.push(format!("allowed-ips {}", ips.join(",")));
            }
        }
        out.join(" ")
    }
}

impl Peer {
    fn put(&self, out: &mut Vec<u8>) {
        nla::put(out, PEER_PUBLIC_KEY, &self.public_key);
        let replace = if self.allowed_ips.is_some() { REPLACE } else { 0 };
        let flags = if self.remove { REMOVE } else { replace };
        nla::put(out, PEER_FLAGS, &flags.to_ne_bytes());
        if let Some(key) = &self.preshared_key {
            nla::put(out, PEER_PRESHARED_KEY, &key.0);
        }
        if let Some(endpoint) = self.endpoint {
            nla::put(out, PEER_ENDPOINT, &sockaddr(endpoint));
        }
        if let Some(seconds) = self.keepalive {
            nla::put(out, PEER_KEEPALIVE, &seconds.to_ne_bytes());
        }
        if let Some(ips) = &self.allowed_ips {
            nla::nest(out, PEER_ALLOWED_IPS, |list| {
                for ip in ips {
                    nla::nest(list, 0, |one| {
                        let (family, bytes) = match ip.addr() {
                            IpAddr::V4(ip) => (super::record::AF_INET, ip.octets().to_vec()),
                            IpAddr::V6(ip) => (super::record::AF_INET6, ip.octets().to_vec()),
                        };
                        nla::put(one, ALLOWED_FAMILY, &u16::from(family).to_ne_bytes());
                        nla::put(one, ALLOWED_ADDRESS, &bytes);
                        nla::put(one, ALLOWED_CIDR, &[ip.prefix_len()]);
                    });
                }
            });
        }
    }
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn sockaddr(endpoint: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(28);
    match endpoint {
        SocketAddr::V4(v4) => {
            out.extend(u16::from(super::record::AF_INET).to_ne_bytes());
            out.extend(v4.port().to_be_bytes());
            out.extend(v4.ip().octets());
            out.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            out.extend(u16::from(super::record::AF_INET6).to_ne_bytes());
            out.extend(v6.port().to_be_bytes());
            out.extend(v6.flowinfo().to_be_bytes());
            out.extend(v6.ip().octets());
            out.extend(v6.scope_id().to_ne_bytes());
        }
    }
    out
}

fn endpoint_of(value: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(value.get(2..4)?.try_into().ok()?);
    let ip = match nla::number(value.get(..2)?)? {
        2 => ip_of(value.get(4..8)?)?,
        _ => ip_of(value.get(8..24)?)?,
    };
    Some(SocketAddr::new(ip, port))
}

/// A device as the kernel shows it, without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// `None` before it has a private key.
    pub public_key: Option<Vec<u8>>,
    pub listen_port: u16,
    pub fwmark: u32,
    pub peers: Vec<ShownPeer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownPeer {
    pub public_key: Vec<u8>,
    /// Whether it has a preshared key.
    pub preshared: bool,
    pub endpoint: Option<SocketAddr>,
    pub keepalive: u16,
    pub allowed_ips: Vec<String>,
    /// Seconds since the epoch; 0: never.
    pub last_handshake: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
}

/// The attributes with which `WG_CMD_GET_DEVICE` asks.
#[must_use]
pub fn question(index: u32) -> Vec<u8> {
    let mut body = Vec::new();
    nla::put(&mut body, DEVICE_IFINDEX, &index.to_ne_bytes());
    body
}

/// Reads the messages of an answer: a device with many peers takes several, and a peer with many addresses too.
#[must_use]
pub fn shown(messages: &[Vec<u8>]) -> Shown {
    let mut out = Shown::default();
    for message in messages {
        for (code, value) in nla::attrs(message) {
            match code {
                DEVICE_PUBLIC_KEY => out.public_key = Some(value.to_vec()),
                DEVICE_LISTEN_PORT => out.listen_port = nla::number(value).map_or(0, |n| n as u16),
                DEVICE_FWMARK => out.fwmark = nla::u32_of(value).unwrap_or_default(),
                DEVICE_PEERS => {
                    for (_, peer) in nla::attrs(value) {
                        let peer = shown_peer(peer);
                        match out.peers.last_mut().filter(|last| last.public_key == peer.public_key) {
                            Some(last) => last.allowed_ips.extend(peer.allowed_ips),
                            None => out.peers.push(peer),
                        }
                    }
                }
                _ => {}
            }
        }
    }
    out
}

fn shown_peer(attrs: &[u8]) -> ShownPeer {
    let mut out = ShownPeer::default();
    for (code, value) in nla::attrs(attrs) {
        let number = || nla::number(value).unwrap_or_default();
        match code {
            PEER_PUBLIC_KEY => out.public_key = value.to_vec(),
            PEER_PRESHARED_KEY => out.preshared = value.iter().any(|b| *b != 0),
            PEER_ENDPOINT => out.endpoint = endpoint_of(value),
            PEER_KEEPALIVE => out.keepalive = number() as u16,
            PEER_LAST_HANDSHAKE => out.last_handshake = value.get(..8).and_then(nla::number).unwrap_or_default(),
            PEER_RX_BYTES => out.rx_bytes = number(),
            PEER_TX_BYTES => out.tx_bytes = number(),
            PEER_ALLOWED_IPS => {
                out.allowed_ips = nla::attrs(value)
                    .filter_map(|(_, one)| {
                        let ip = ip_of(nla::attr(one, ALLOWED_ADDRESS)?)?;
                        Some(format!("{ip}/{}", nla::attr(one, ALLOWED_CIDR)?.first()?))
                    })
                    .collect();
            }
            _ => {}
        }
    }
    out
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A key as `wg` writes it (RFC 4648, base64 with padding).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().enumerate().fold(0u32, |word, (at, b)| word | u32::from(*b) << (16 - 8 * at));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// Reads a key as `wg` writes it: 44 digits of base64.
#[must_use]
pub fn key(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_suffix('=').filter(|d| d.len() == 43)?;
    let mut bytes = Vec::with_capacity(33);
    let (mut word, mut bits) = (0u32, 0);
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|d| *d == digit)?;
        word = word << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits & 0xff) as u8);
        }
    }
    // Two bits are left over: of a key they are zero.
    (bytes.len() == KEY && word.trailing_zeros() >= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
        let text = base64(&bytes);
        assert_eq!(text.len(), 44);
        assert_eq!(key(&text), Some(bytes));
        // RFC 4648, section 10
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64(b"fo"), "Zm8=");
        for bad in ["", "abc", &"A".repeat(44), &format!("{}=", "*".repeat(43)), &format!("{}B=", "A".repeat(42))] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_written_nowhere() {
        let secret = Secret(vec![0xab; KEY]);
        let config = Wireguard {
            private_key: Some(secret.clone()),
            peers: vec![Peer { preshared_key: Some(secret.clone()), public_key: vec![1; KEY], ..Peer::default() }],
            ..Wireguard::default()
        };
        let text = format!("{config:?} {} {}", serde_json::to_string(&config).unwrap_or_default(), config.words());
        assert!(!text.contains("abab") && !text.contains("171") && !text.contains(&base64(&secret.0)), "{text}");
        assert!(config.attributes(1).windows(KEY).filter(|w| *w == secret.0).count() == 2);
    }
}

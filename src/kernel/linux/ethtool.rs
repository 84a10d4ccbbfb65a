//! ethtool by generic netlink (net/ethtool; Documentation/networking/ethtool-netlink.rst).

use super::Linux;
use super::genl;
use super::message::put_text;
use super::socket::{Netlink, Refusal};
use super::space::Space;
use crate::plan::offload::{Change, Channels, Device, Feature};
use crate::plan::{Error, Kind, LinkRef, Ns, Result, nla};
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub(super) const FAMILY: &str = "ethtool";
// include/uapi/linux/ethtool_netlink.h
const STRSET_GET: u8 = 1;
const FEATURES_GET: u8 = 11;
const FEATURES_SET: u8 = 12;
const CHANNELS_GET: u8 = 17;
const CHANNELS_SET: u8 = 18;
const HEADER: u16 = 1;
const HEADER_DEV_INDEX: u16 = 1;
const HEADER_FLAGS: u16 = 3;
/// `ETHTOOL_FLAG_COMPACT_BITSETS`.
const COMPACT: u32 = 1;
const FEATURES_HW: u16 = 2;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const FEATURES_NOCHANGE: u16 = 5;
const BITSET_BITS: u16 = 3;
const BITSET_VALUE: u16 = 4;
/// `ETH_SS_FEATURES` (include/uapi/linux/ethtool.h).
const SS_FEATURES: u32 = 4;
/// `ETHTOOL_A_CHANNELS_RX_MAX`, and after TX, other and combined the counts in the same order.
const CHANNELS_MAX: u16 = 2;
const CHANNELS_COUNT: u16 = 6;

/// The names of the features, in the order of their bits: the same for all devices of a kernel.
static NAMES: OnceLock<Vec<String>> = OnceLock::new();

/// A socket in a namespace, and the number of the family.
pub(super) type Socket = (Netlink, u16);

/// Whether the kernel has it, in the thread's namespace.
///
/// # Errors
/// `unsupported`.
pub(super) fn there() -> Result<()> {
    genl::open(FAMILY).map(drop)
}

fn header(index: Option<u32>, flags: u32) -> Vec<u8> {
    let mut out = Vec::new();
    nla::nest(&mut out, HEADER, |header| {
        if let Some(index) = index {
            nla::put(header, HEADER_DEV_INDEX, &index.to_ne_bytes());
        }
        if flags != 0 {
            nla::put(header, HEADER_FLAGS, &flags.to_ne_bytes());
        }
    });
    out
}

/// The ifindex that an answer is of.
fn index_of(attrs: &[u8]) -> Option<u32> {
    nla::attr(nla::attr(attrs, HEADER)?, HEADER_DEV_INDEX).and_then(nla::u32_of)
}

fn read_names((netlink, id): &Socket) -> std::result::Result<Vec<String>, Refusal> {
    let mut request = header(None, 0);
    nla::nest(&mut request, 2, |sets| nla::nest(sets, 1, |set| nla::put(set, 1, &SS_FEATURES.to_ne_bytes())));
    let answer = netlink.request(*id, 0, &genl::message(STRSET_GET, &request))?.unwrap_or_default();
    let attrs = answer.get(genl::HEADER..).unwrap_or_default();
    // STRSET_STRINGSETS, STRINGSETS_STRINGSET, STRINGSET_STRINGS
    let strings = nla::attr(attrs, 2).and_then(|sets| nla::attr(sets, 1)).and_then(|set| nla::attr(set, 3));
    let mut names = Vec::new();
    for (_, string) in nla::attrs(strings.unwrap_or_default()) {
        let at = nla::attr(string, 1).and_then(nla::u32_of).and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
        names.resize(names.len().max(at + 1), String::new());
        names[at] = nla::attr(string, 2).map(nla::text).unwrap_or_default();
    }
    Ok(names)
}

fn names(socket: &Socket) -> std::result::Result<&'static [String], Refusal> {
    if let Some(names) = NAMES.get() {
        return Ok(names);
    }
    let names = read_names(socket)?;
    Ok(NAMES.get_or_init(|| names))
}

fn features(attrs: &[u8], names: &[String]) -> Vec<Feature> {
    let set = |code: u16| nla::attr(attrs, code).and_then(|set| nla::attr(set, BITSET_VALUE)).unwrap_or_default();
    let (hw, wanted, active, fixed) =
        (set(FEATURES_HW), set(FEATURES_WANTED), set(FEATURES_ACTIVE), set(FEATURES_NOCHANGE));
    // Words of 32 bits in host order.
    let bit = |set: &[u8], at: usize| {
        set.get(at / 32 * 4..).and_then(nla::u32_of).is_some_and(|word| word >> (at % 32) & 1 == 1)
    };
    let named = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    named
        .map(|(at, name)| Feature {
            name: name.clone(),
            active: bit(active, at),
            wanted: bit(wanted, at),
            changeable: bit(hw, at) && !bit(fixed, at),
        })
        .collect()
}

fn channels(attrs: &[u8]) -> (Channels, Channels) {
    let at = |first: u16| {
        let number = |n: u16| nla::attr(attrs, first + n).and_then(nla::u32_of).unwrap_or_default();
        Channels { rx: number(0), tx: number(1), other: number(2), combined: number(3) }
    };
    (at(CHANNELS_COUNT), at(CHANNELS_MAX))
}

/// Asks for one kind of thing, of one device or of all.
fn ask((netlink, id): &Socket, command: u8, index: Option<u32>) -> std::result::Result<Vec<Vec<u8>>, Refusal> {
    let body = genl::message(command, &header(index, COMPACT));
    let all = match index {
        Some(_) => netlink.request(*id, 0, &body)?.into_iter().collect(),
        None => netlink.dump(*id, &body)?,
    };
    Ok(all.into_iter().map(|mut body| body.split_off(genl::HEADER.min(body.len()))).collect())
}

fn devices(socket: &Socket, index: Option<u32>) -> std::result::Result<BTreeMap<u32, Device>, Refusal> {
    let names = names(socket)?;
    let mut out: BTreeMap<u32, Device> = BTreeMap::new();
    for body in ask(socket, FEATURES_GET, index)? {
        if let Some(index) = index_of(&body) {
            out.entry(index).or_default().features = features(&body, names);
        }
    }
    // Most devices have none, and say so.
    for body in ask(socket, CHANNELS_GET, index).unwrap_or_default() {
        if let Some(index) = index_of(&body) {
            out.entry(index).or_default().channels = Some(channels(&body));
        }
    }
    Ok(out)
}

impl Linux {
    fn ethtool_socket<'s>(&self, space: &'s Space) -> Option<&'s Socket> {
        let open = || self.enterer().enter(&space.fd, || genl::open(FAMILY)).ok();
        space.ethtool.get_or_init(open).as_ref()
    }

    /// All devices of a namespace, by ifindex; none where the kernel has no ethtool by netlink.
    pub(super) fn ethtool_all(&self, ns: &Ns) -> Result<BTreeMap<u32, Device>> {
        let space = self.space(ns)?;
        let Some(socket) = self.ethtool_socket(&space) else { return Ok(BTreeMap::new()) };
        devices(socket, None).map_err(|r| r.error(format!("read the features of devices in {}", ns.label())))
    }

    /// See [`crate::kernel::Kernel::ethtool`].
    pub(super) fn ethtool_one(&self, ns: &Ns, link: &LinkRef) -> Result<Device> {
        let space = self.space(ns)?;
        let socket = self.ethtool_socket(&space).ok_or_else(|| {
            Error::new(Kind::Unsupported, "this kernel has no generic netlink family `ethtool`".to_string())
                .with_hint("the kernel option CONFIG_ETHTOOL_NETLINK is missing: another kernel has it")
        })?;
        let found = devices(socket, Some(link.index))
            .map_err(|r| r.error(format!("read the features of `{}` in {}", link.name, ns.label())))?;
        Ok(found.into_values().next().unwrap_or_default())
    }

    /// Sets features and channels.
    pub(super) fn ethtool_set(&self, ns: &Ns, index: u32, change: &Change) -> Result<std::result::Result<(), Refusal>> {
        let mut requests = Vec::new();
        if !change.features.is_empty() {
            let mut body = header(Some(index), 0);
            nla::nest(&mut body, FEATURES_WANTED, |set| {
                nla::nest(set, BITSET_BITS, |bits| {
                    for (name, on) in &change.features {
                        nla::nest(bits, 1, |bit| {
                            put_text(bit, 2, name);
                            if *on {
                                nla::put(bit, 3, &[]);
                            }
                        });
                    }
                });
            });
            requests.push((FEATURES_SET, body));
        }
        if let Some(channels) = change.channels {
            let mut body = header(Some(index), 0);
            for (at, n) in (CHANNELS_COUNT..).zip([channels.rx, channels.tx, channels.other, channels.combined]) {
                // What a device has none of must not be said.
                if n != 0 {
                    nla::put(&mut body, at, &n.to_ne_bytes());
                }
            }
            requests.push((CHANNELS_SET, body));
        }
        for (command, body) in requests {
            if let Err(refusal) = self.genl_do(ns, FAMILY, command, &body)? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }
}

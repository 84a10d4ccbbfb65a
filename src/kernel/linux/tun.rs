//! `tun` and `tap`: made by a request on `/dev/net/tun`, not by a netlink message (Documentation/networking/tuntap.rst,
//! drivers/net/tun.c).

use super::Linux;
use super::message;
use crate::plan::link::{IFLA_TUN_MULTI_QUEUE, IFLA_TUN_OWNER, IFLA_TUN_OWNER_GROUP, IFLA_TUN_PI, IFLA_TUN_TYPE};
use crate::plan::link::{IFLA_TUN_VNET_HDR, LinkChange};
use crate::plan::{Error, Kind, LinkRef, LinkSpec, Ns, Outcome, Result, nla};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd as _, OwnedFd};

const DEVICE: &str = "/dev/net/tun";
// include/uapi/linux/if_tun.h
const TUNSETIFF: libc::Ioctl = 0x4004_54ca_u32 as libc::Ioctl;
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb_u32 as libc::Ioctl;
const TUNSETOWNER: libc::Ioctl = 0x4004_54cc_u32 as libc::Ioctl;
const TUNSETGROUP: libc::Ioctl = 0x4004_54ce_u32 as libc::Ioctl;
const TUNSETIFINDEX: libc::Ioctl = 0x4004_54da_u32 as libc::Ioctl;

fn refused(errno: Errno, what: &str, spec: &LinkSpec, ns: &Ns) -> Error {
    let name = spec.name.clone().unwrap_or_default();
    let error = match errno {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => {
            let (option, module) = message::kind_option("tun").unwrap_or(("CONFIG_TUN", "tun"));
            Error::new(Kind::Unsupported, "this kernel makes no tun links").with_hint(format!(
                "the kernel option {option} (module `{module}`) is missing: try `modprobe {module}`, or another kernel"
            ))
        }
        Errno::EBUSY | Errno::EEXIST => Error::new(Kind::Exists, format!("`{name}` exists already in {}", ns.label()))
            .with_hint("choose another name, or delete the link first: link_del(…)"),
        errno => {
            let error = Error::from_errno(errno as i32, format!("{what} for `{name}` in {}", ns.label()));
            if what.starts_with("open") { error.with_hint(format!("`chmod 666 {DEVICE}`")) } else { error }
        }
    };
    error.with_op("link_add").with_ns(&ns.name).with_target(name).with_errno(errno as i32)
}

/// A request whose argument is a number.
fn number(device: &OwnedFd, request: libc::Ioctl, value: libc::c_ulong) -> nix::Result<()> {
    // SAFETY: these requests take their argument by value, and the device is open.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), request, value) }).map(drop)
}

/// Makes it, not yet to stay.
fn make(spec: &LinkSpec, ns: &Ns) -> Result<OwnedFd> {
    let option = |code: u16| spec.options.iter().find(|o| o.code == code).and_then(|o| nla::number(&o.value));
    let set = |code: u16| option(code).is_some_and(|n| n != 0);
    let failed = |what: &'static str| move |errno: Errno| refused(errno, what, spec, ns);
    let device = open(DEVICE, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("open /dev/net/tun"))?;
    // The index that was chosen and written down.
    let index = libc::c_uint::from(spec.index);
    // SAFETY: the request takes a pointer to an unsigned int, which outlives the call; the device is open.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFINDEX, &raw const index) })
        .map_err(failed("choose the index"))?;
    // SAFETY: all zeroes is a valid `ifreq`: numbers, and a union of numbers and a pointer that is not followed.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(spec.name.as_deref().unwrap_or_default().bytes().take(15)) {
        *to = from.cast_signed();
    }
    let mut flags = if option(IFLA_TUN_TYPE) == Some(2) { libc::IFF_TAP } else { libc::IFF_TUN };
    for (code, bit) in [(IFLA_TUN_VNET_HDR, libc::IFF_VNET_HDR), (IFLA_TUN_MULTI_QUEUE, libc::IFF_MULTI_QUEUE)] {
        flags |= if set(code) { bit } else { 0 };
    }
    flags |= if set(IFLA_TUN_PI) { 0 } else { libc::IFF_NO_PI };
    // Not one that is there already.
    flags |= IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags = (flags & 0xffff) as libc::c_short;
    // SAFETY: the request takes a pointer to an `ifreq`, which outlives the call; the device is open.
    Errno::result(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &raw mut request) })
        .map_err(failed("make a tun link"))?;
    for (code, request, what) in [
        (IFLA_TUN_OWNER, TUNSETOWNER, "set the owner"),
        (IFLA_TUN_OWNER_GROUP, TUNSETGROUP, "set the group of the owner"),
    ] {
        if let Some(id) = option(code) {
            number(&device, request, id as libc::c_ulong).map_err(failed(what))?;
        }
    }
    Ok(device)
}

/// `IFF_TUN_EXCL`.
const IFF_TUN_EXCL: libc::c_int = 0x8000;

impl Linux {
    /// Makes a tun or tap link that stays, all or nothing: until everything is set, closing the device removes it.
    pub(super) fn tun_add(&self, ns: &Ns, spec: &LinkSpec) -> Result<Outcome> {
        let (wanted, place) = (spec.clone(), ns.clone());
        let device = self.inside(ns, move || make(&wanted, &place))?;
        let change = LinkChange {
            mac: spec.mac.clone(),
            mtu: spec.mtu,
            txqueuelen: spec.txqueuelen,
            group: spec.group,
            master: spec.master.clone(),
            up: spec.up.then_some(true),
            ..LinkChange::default()
        };
        if !change.is_empty() {
            self.space(ns)?
                .netlink
                .request(message::rtm::NEWLINK, 0, &message::link_set(spec.index, &change))
                .map_err(|r| message::link_add_error(ns, spec, r))?;
        }
        number(&device, TUNSETPERSIST, 1).map_err(|errno| refused(errno, "keep the link", spec, ns))?;
        let link = LinkRef { index: spec.index, name: spec.name.clone().unwrap_or_default() };
        Ok(Outcome { link: Some(link), ..Outcome::default() })
    }
}

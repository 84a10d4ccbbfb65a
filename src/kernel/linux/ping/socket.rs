//! A raw ICMP or ICMPv6 socket of one namespace.

use super::icmp;
use super::packet;
use crate::plan::{Error, Result};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Bytes asked for as socket buffers. Packets that wait for a neighbour stay charged to the sender until ARP gives up
/// (three seconds), and the default of 208 KiB holds only some 270 of them.
const BUFFER: usize = 8 << 20;

/// `ICMP_FILTER` of `include/uapi/linux/icmp.h`, an option of level `SOL_RAW` (255).
const ICMP_FILTER: libc::c_int = 1;

/// `ICMPV6_FILTER` of `include/uapi/linux/icmpv6.h`, an option of level `SOL_ICMPV6` (58).
const ICMPV6_FILTER: libc::c_int = 1;

nix::ioctl_readwrite_bad!(
    /// `netdevice(7)`: the index of a device's name, in the socket's namespace.
    siocgifindex,
    libc::SIOCGIFINDEX,
    libc::ifreq
);

nix::ioctl_none_bad!(
    /// `include/uapi/linux/sockios.h`: a descriptor of the socket's network namespace.
    siocgskns,
    0x894C
);

/// A raw ICMP or ICMPv6 socket of one namespace. It serves any number of pings with differing options, one
/// [`ping_many`] at a time.
#[derive(Debug)]
pub struct PingSocket {
    pub(super) fd: OwnedFd,
    pub(super) v6: bool,
}

impl PingSocket {
    /// Opens a socket in the network namespace of the **calling thread**; from then on it can be used from any thread.
    ///
    /// # Errors
    /// [`Kind::Permission`] without CAP_NET_RAW in the user namespace that owns the network namespace;
    /// [`Kind::Unsupported`] where the kernel has no IPv6; [`Kind::Limit`] when descriptors run out.
    pub fn open(v6: bool) -> Result<PingSocket> {
        Self::try_open(v6).map_err(|errno| {
            let error = Error::from_errno(errno as i32, format!("open a raw {} socket", icmp(v6))).with_op("ping");
            match errno {
                Errno::EPERM | Errno::EACCES => {
                    error.with_hint("ping needs CAP_NET_RAW: run as root or in a user namespace of your own")
                }
                Errno::EAFNOSUPPORT => error.with_hint("this kernel runs without IPv6 (`ipv6.disable=1`)"),
                Errno::EMFILE | Errno::ENFILE => error.with_hint("raise the limit of open files (`ulimit -n`)"),
                _ => error,
            }
        })
    }

    fn try_open(v6: bool) -> nix::Result<PingSocket> {
        let (family, protocol) = match v6 {
            false => (AddressFamily::Inet, SockProtocol::Icmp),
            true => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let fd = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
        // The filter comes first: until then the socket collects every ICMP message of the namespace.
        if v6 {
            // In ICMPv6 too a set bit blocks its type (`icmpv6(7)`, `rawv6_sock_filter`).
            let mut blocked = [u32::MAX; 8];
            for pass in [
                packet::v6::UNREACHABLE,
                packet::v6::TOO_BIG,
                packet::v6::TIME_EXCEEDED,
                packet::v6::PARAMETER_PROBLEM,
                packet::v6::ECHO_REPLY,
            ] {
                blocked[usize::from(pass / 32)] &= !(1 << (pass % 32));
            }
            set_option(&fd, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)?;
            setsockopt(&fd, sockopt::Ipv6RecvHopLimit, &true)?;
        } else {
            let mut blocked = u32::MAX;
            for pass in [
                packet::v4::ECHO_REPLY,
                packet::v4::UNREACHABLE,
                packet::v4::TIME_EXCEEDED,
                packet::v4::PARAMETER_PROBLEM,
            ] {
                blocked &= !(1 << pass);
            }
            set_option(&fd, libc::SOL_RAW, ICMP_FILTER, &blocked)?;
            setsockopt(&fd, sockopt::Broadcast, &true)?;
        }
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        // Past the system's limit only in the first user namespace; elsewhere as much as that limit allows.
        if setsockopt(&fd, sockopt::RcvBufForce, &BUFFER).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &BUFFER)?;
        }
        if setsockopt(&fd, sockopt::SndBufForce, &BUFFER).is_err() {
            setsockopt(&fd, sockopt::SndBuf, &BUFFER)?;
        }
        Ok(PingSocket { fd, v6 })
    }

    /// Whether it sends ICMPv6.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        self.v6
    }

    /// The index of `device` in the socket's namespace.
    pub(super) fn ifindex(&self, device: &str) -> nix::Result<u32> {
        // SAFETY: all of `ifreq` is plain integers and pointers that nobody reads here, for which zeros are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if device.is_empty() || device.len() >= request.ifr_name.len() {
            return Err(Errno::ENODEV);
        }
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from as libc::c_char;
        }
        // SAFETY: the descriptor is open and `request` a valid `ifreq` with a name that ends in a zero byte.
        unsafe { siocgifindex(self.fd.as_raw_fd(), &raw mut request) }?;
        // SAFETY: SIOCGIFINDEX has filled this member of the union.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        u32::try_from(index).map_err(|_| Errno::ENODEV)
    }

    /// A socket in the same namespace that sends and receives on one device only.
    pub(super) fn bound_to(&self, ifindex: u32) -> nix::Result<PingSocket> {
        // SAFETY: the descriptor is open, and SIOCGSKNS takes no argument.
        let ns = unsafe { siocgskns(self.fd.as_raw_fd()) }?;
        // SAFETY: SIOCGSKNS has just opened this descriptor, and nobody else knows of it.
        let ns = unsafe { OwnedFd::from_raw_fd(ns) };
        let open = || {
            #[expect(clippy::disallowed_methods, reason = "a thread of its own, for this socket only")]
            setns(&ns, CloneFlags::CLONE_NEWNET)?;
            let socket = PingSocket::try_open(self.v6)?;
            set_option(&socket.fd, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, &ifindex)?;
            Ok(socket)
        };
        // A thread of its own, so that nothing else ever runs in that namespace.
        let thread = || std::thread::Builder::new().name(super::super::space::VISITOR.into());
        std::thread::scope(|scope| match thread().spawn_scoped(scope, open) {
            Ok(thread) => thread.join().unwrap_or(Err(Errno::EIO)),
            Err(_) => Err(Errno::EAGAIN),
        })
    }

    /// Whether packets may be fragmented on their way. The option is read when a packet is sent (`ip_setup_cork`,
    /// `ip6_setup_cork`), so one socket serves both kinds.
    ///
    /// `PROBE` rather than `DO`: it also ignores what earlier "too big" errors taught the kernel about the path, so
    /// that each ping is answered by the router that is too narrow, and not by this host's memory of it.
    pub(super) fn set_dont_fragment(fd: BorrowedFd<'_>, v6: bool, on: bool) -> nix::Result<()> {
        if v6 {
            let mode = if on { libc::IPV6_PMTUDISC_PROBE } else { libc::IPV6_PMTUDISC_WANT };
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &mode)?;
            setsockopt(&fd, sockopt::Ipv6DontFrag, &on)
        } else {
            let mode = if on { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT };
            set_option(&fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &mode)
        }
    }
}

impl AsFd for PingSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `setsockopt(2)` for the options that nix lacks. `T` is an integer or an array of them.
fn set_option<T: Copy>(fd: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> nix::Result<()> {
    // SAFETY: the descriptor is borrowed and so open, and pointer and length are those of `value`.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

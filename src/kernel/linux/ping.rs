//! ICMP echo without a ping program: many pings at once over few raw sockets, one for each namespace and family.
//!
//! A socket stays in the namespace that it was opened in, so this module never enters one: the caller opens
//! [`PingSocket`]s where they belong, and [`ping_many`] then works from any thread.
//!
//! Answers are found by identifier and sequence number. The kernel's ICMP errors are read from the raw socket itself,
//! not from its error queue: thus errors that the namespace sends to itself (no neighbour) and those of far routers
//! come the same way, with the address of who sent them (`icmp(7)`, `raw(7)`).

mod packet;

use crate::plan::{Error, Kind, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike,
    SockaddrStorage, bind, recvmsg, sendmsg, setsockopt, socket, sockopt,
};
use packet::{Cookie, Seen};
use std::borrow::BorrowMut;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Bytes asked for as socket buffers. Packets that wait for a neighbour stay charged to the sender until ARP gives up
/// (three seconds), and the default of 208 KiB holds only some 270 of them.
const BUFFER: usize = 8 << 20;
/// Packets sent before replies are read again: fewer than fit into the smallest default receive buffer.
const BATCH: usize = 64;
/// Datagrams read from one socket in a row, so that a flood can't hold up everything else.
const DRAIN: usize = 4096;
/// How long a socket whose send buffer is full may stay so. A neighbour that does not answer frees it after three.
const STALL: Duration = Duration::from_secs(10);
/// The pause before another try where the kernel lacked memory, about which it tells nobody when that is over.
const MEMORY_PAUSE: Duration = Duration::from_millis(5);
/// How often a packet is tried again for lack of memory.
const MEMORY_TRIES: u32 = 20;
/// The largest payload: 65,535 bytes less the ICMP header. IPv4 takes 20 less, which the kernel tells.
const MAX_SIZE: usize = 65_527;
/// The longest interval and timeout: far from where adding them to the clock overflows.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Identifiers are 16 bits: so many pings can be told apart at once.
const MAX_AT_ONCE: usize = 1 << 16;

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
    fd: OwnedFd,
    v6: bool,
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
    fn ifindex(&self, device: &str) -> nix::Result<u32> {
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
    fn bound_to(&self, ifindex: u32) -> nix::Result<PingSocket> {
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
        std::thread::scope(|scope| scope.spawn(open).join().unwrap_or(Err(Errno::EIO)))
    }

    /// Whether packets may be fragmented on their way. The option is read when a packet is sent (`ip_setup_cork`,
    /// `ip6_setup_cork`), so one socket serves both kinds.
    ///
    /// `PROBE` rather than `DO`: it also ignores what earlier "too big" errors taught the kernel about the path, so
    /// that each ping is answered by the router that is too narrow, and not by this host's memory of it.
    fn set_dont_fragment(fd: BorrowedFd<'_>, v6: bool, on: bool) -> nix::Result<()> {
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

/// How to ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOpts {
    /// Requests to send, 1 to 65,535.
    pub count: u32,
    /// From one request to the next, whether or not an answer came; at most a day. 0 sends all at once.
    pub interval: Duration,
    /// How long to wait for each reply, at most a day; one that comes later counts as lost.
    pub timeout: Duration,
    /// Bytes of payload, without the 8 of the ICMP header; at most 65,527, and 65,507 for IPv4.
    pub size: usize,
    /// TTL or hop limit of the requests, 1 to 255; `None` for the namespace's default.
    pub ttl: Option<u8>,
    /// IPv4: set DF. IPv6: don't fragment at the source. A router with a smaller MTU then answers
    /// [`AnswerKind::TooBig`] each time; a packet that does not even fit the outgoing device is an error.
    /// Without it IPv4 routers fragment, and IPv6 fragments at the source once it knows the path's MTU, so
    /// that there the first large packet is answered by `TooBig` too (RFC 8201).
    pub dont_fragment: bool,
    /// The requests' source address; an address of the namespace.
    pub source: Option<IpAddr>,
    /// Send out of this device. IPv6 needs a route through it; IPv4 takes the destination for on-link where there is
    /// none.
    pub device: Option<String>,
    /// The same by index. A link-local IPv6 destination needs one of the two.
    pub ifindex: Option<u32>,
}

impl Default for PingOpts {
    fn default() -> Self {
        PingOpts {
            count: 1,
            interval: Duration::from_millis(100),
            timeout: Duration::from_secs(1),
            size: 56,
            ttl: None,
            dont_fragment: false,
            source: None,
            device: None,
            ifindex: None,
        }
    }
}

/// What sort of answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerKind {
    /// An echo reply.
    Reply,
    /// Destination unreachable, with its code in the words of RFC 1812 (`host unreachable`) or RFC 4443
    /// (`address unreachable`); a `prohibit` route gives `administratively prohibited` in both families.
    Unreachable(&'static str),
    /// TTL or hop limit ran out, or fragments did not all come in time.
    TimeExceeded,
    /// The packet is larger than the next link takes; `mtu` in bytes with IP header (0: a router that did not tell).
    TooBig { mtu: u32 },
    /// A router or the target could not make sense of the header.
    ParameterProblem,
}

impl AnswerKind {
    /// The word that scripts compare with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AnswerKind::Reply => "reply",
            AnswerKind::Unreachable(_) => "unreachable",
            AnswerKind::TimeExceeded => "time_exceeded",
            AnswerKind::TooBig { .. } => "too_big",
            AnswerKind::ParameterProblem => "parameter_problem",
        }
    }
}

impl fmt::Display for AnswerKind {
    /// For people: `host unreachable`, `packet too big (mtu 1300)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnswerKind::Reply => f.write_str("reply"),
            AnswerKind::Unreachable(what) => f.write_str(what),
            AnswerKind::TimeExceeded => f.write_str("time exceeded"),
            AnswerKind::TooBig { mtu } => write!(f, "packet too big (mtu {mtu})"),
            AnswerKind::ParameterProblem => f.write_str("parameter problem"),
        }
    }
}

/// One message that came back for one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which request, counted from 1.
    pub seq: u16,
    /// Who sent it: the target, or the router (or this host) that reports an error.
    pub from: IpAddr,
    /// Round trip in milliseconds, up to the kernel's own receive timestamp.
    pub rtt_ms: f64,
    /// TTL or hop limit with which it arrived here.
    pub ttl: Option<u8>,
    /// Length of the ICMP message with its header, as ping(8) prints it: 64 for the default size.
    pub bytes: usize,
    pub kind: AnswerKind,
    /// Another answer of its sort to the same request came before (several hosts behind one group address, a loop).
    pub duplicate: bool,
}

/// What became of one ping.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub dst: IpAddr,
    /// Requests sent. One that the kernel refused after an earlier one had gone counts as sent and lost, as in ping(8).
    pub sent: u32,
    /// Requests that a reply came for, in time. Duplicates do not count.
    pub received: u32,
    /// All that came, in order of arrival.
    pub answers: Vec<Answer>,
    /// Why the kernel refused to send a later request, if it did. (The first one refused is `Err`.)
    pub send_error: Option<Error>,
}

impl Report {
    /// The fraction of requests without a reply, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        if self.sent == 0 { 0.0 } else { 1.0 - f64::from(self.received) / f64::from(self.sent) }
    }

    /// Replies beyond the first to the same request.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.answers.iter().filter(|a| a.duplicate && a.kind == AnswerKind::Reply).count()
    }

    /// The shortest round trip in ms; `None` without a reply.
    #[must_use]
    pub fn rtt_min(&self) -> Option<f64> {
        self.rtts().reduce(f64::min)
    }

    /// The mean round trip in ms; `None` without a reply.
    #[must_use]
    pub fn rtt_avg(&self) -> Option<f64> {
        (self.received > 0).then(|| self.rtts().sum::<f64>() / f64::from(self.received))
    }

    /// The longest round trip in ms; `None` without a reply.
    #[must_use]
    pub fn rtt_max(&self) -> Option<f64> {
        self.rtts().reduce(f64::max)
    }

    /// The round trips' standard deviation in ms, as `finish` in iputils' `ping_common.c` defines `mdev`: the root of
    /// the mean of the squares less the square of the mean. `None` without a reply.
    #[must_use]
    pub fn rtt_mdev(&self) -> Option<f64> {
        // About the mean rather than by the difference of squares: the same number, without cancellation.
        let mean = self.rtt_avg()?;
        Some((self.rtts().map(|rtt| (rtt - mean).powi(2)).sum::<f64>() / f64::from(self.received)).sqrt())
    }

    fn rtts(&self) -> impl Iterator<Item = f64> + '_ {
        self.answers.iter().filter(|a| a.kind == AnswerKind::Reply && !a.duplicate).map(|a| a.rtt_ms)
    }
}

/// One ping of many.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Which of the sockets sends it.
    pub socket: usize,
    pub dst: IpAddr,
    pub opts: PingOpts,
}

/// Pings one address. See [`ping_many`].
///
/// # Errors
/// As each result of [`ping_many`].
pub async fn ping(socket: &mut PingSocket, dst: IpAddr, opts: PingOpts) -> Result<Report> {
    let mut results = ping_many(&mut [socket], vec![Probe { socket: 0, dst, opts }]).await;
    results.pop().unwrap_or_else(|| Err(Error::internal("ping gave no result")))
}

/// Runs all probes at once, and gives one result for each, in their order. Sockets may be of any namespaces; they are
/// borrowed mutably because whoever reads a socket takes away the answers of whoever else does.
///
/// A probe ends with the answer to its last request, or its `timeout` after that request was sent. Past 65,536 probes
/// (identifiers have 16 bits) the others wait for the first to end. Dropping the future ends everything: nothing is left
/// but late answers in the sockets, which the next call discards.
///
/// An ICMP error, also one from this host itself (no neighbour answered, after about 3 s), is an [`Answer`]. IPv4
/// broadcast and multicast addresses work; replies after the first are duplicates.
///
/// # Errors
/// Of one probe, whose first request could not be sent: [`Kind::Unreachable`] without a route or source address, or
/// with a route of type unreachable, prohibit or blackhole; [`Kind::Permission`] where a firewall drops it (EPERM);
/// [`Kind::Invalid`] for options that can't be right and for packets too large (EMSGSIZE); [`Kind::NotFound`] for a
/// `device` or `source` that the namespace lacks; [`Kind::Limit`] when the send buffer stays full for ten seconds.
///
/// # Panics
/// Outside a tokio runtime with I/O and time enabled.
pub async fn ping_many<S: BorrowMut<PingSocket>>(sockets: &mut [S], probes: Vec<Probe>) -> Vec<Result<Report>> {
    let sockets: Vec<&PingSocket> = sockets.iter_mut().map(|s| &*s.borrow_mut()).collect();
    let mut results = Vec::with_capacity(probes.len());
    let mut probes = probes.into_iter();
    loop {
        let some: Vec<Probe> = probes.by_ref().take(MAX_AT_ONCE).collect();
        if some.is_empty() {
            return results;
        }
        results.extend(run(&sockets, some).await);
    }
}

async fn run(sockets: &[&PingSocket], mut probes: Vec<Probe>) -> Vec<Result<Report>> {
    let start = Instant::now();
    let mut known = HashSet::new();
    let mut checked: Vec<Result<u32>> = probes.iter().map(|probe| check(sockets, probe, &mut known)).collect();
    let bound = bind_to_devices(sockets, &mut probes, &mut checked);
    let sockets: Vec<&PingSocket> = sockets.iter().copied().chain(&bound).collect();
    let count = probes.len();
    let mut flights = match Flights::new(&sockets, probes, checked, start) {
        Ok(flights) => flights,
        Err(error) => return vec![Err(error); count],
    };
    let mut fds: Vec<Option<AsyncFd<BorrowedFd<'_>>>> = Vec::with_capacity(sockets.len());
    for (index, socket) in sockets.iter().enumerate() {
        fds.push(None);
        if flights.lanes[index].active == 0 {
            continue;
        }
        // SAFETY: a `BorrowedFd` is an open descriptor for as long as it lives, and `AsyncFd` holds it that long.
        match unsafe { AsyncFd::register(socket.as_fd()) }.map_err(std::io::Error::from) {
            Ok(fd) => fds[index] = Some(fd),
            Err(e) => flights.fail_lane(index, &Error::from_io(&e, "watch a ping socket").with_op("ping")),
        }
        // What earlier pings left, or other programs' pings brought: it would take room from our own answers.
        flights.drain_whole(index);
    }
    while flights.unfinished > 0 {
        if flights.send_due() {
            // Let the runtime look at timers and signals, so that dropping this future takes effect between batches.
            tokio::task::yield_now().await;
            continue;
        }
        let Some(wake) = flights.next_wake() else { break };
        let answered = std::future::poll_fn(|cx| flights.poll(&fds, cx));
        // In a flood something is always ready, so that the time has to be looked at whatever woke us.
        let _ = tokio::time::timeout_at(wake, answered).await;
        if Instant::now() >= wake {
            // Answers may have come while this thread was kept waiting: their timestamps say whether in time.
            flights.drain_all();
            flights.expire(Instant::now());
        }
    }
    flights.into_results()
}

/// Gives probes that need it a socket bound to their device, and puts its index into them: beyond the end of `sockets`.
///
/// IPv6 takes the device of IPV6_PKTINFO as a mere wish where the source is given too, and sends by another device if
/// the routes say so (`ip6_route_output_flags`). Only a bound socket sends out of this device or not at all.
fn bind_to_devices(sockets: &[&PingSocket], probes: &mut [Probe], checked: &mut [Result<u32>]) -> Vec<PingSocket> {
    let mut bound = Vec::new();
    let mut indexes: HashMap<(usize, u32), usize> = HashMap::new();
    for (probe, checked) in probes.iter_mut().zip(checked) {
        let &mut Ok(ifindex @ 1..) = checked else { continue };
        // For addresses of one link the device is binding anyway (`rt6_need_strict`).
        if probe.opts.source.is_none() || !matches!(probe.dst, IpAddr::V6(dst) if !needs_scope(dst)) {
            continue;
        }
        let key = (probe.socket, ifindex);
        if !indexes.contains_key(&key) {
            match sockets[probe.socket].bound_to(ifindex) {
                Ok(socket) => bound.push(socket),
                Err(errno) => {
                    *checked = Err(Error::from_errno(errno as i32, format!("ping {}: bind to its device", probe.dst)));
                    continue;
                }
            }
        }
        probe.socket = *indexes.entry(key).or_insert(sockets.len() + bound.len() - 1);
    }
    bound
}

/// One request that was sent, or refused.
struct Packet {
    mono: Instant,
    wall: SystemTime,
    /// A reply or an error came, or it was never sent.
    ended: bool,
    replied: bool,
}

/// One ping under way.
struct Flight {
    socket: usize,
    to: SockaddrStorage,
    opts: PingOpts,
    /// The outgoing device, 0 for what the routes say.
    ifindex: u32,
    id: u16,
    cookie: Cookie,
    due: Instant,
    /// By sequence number, from 1.
    packets: Vec<Packet>,
    /// Packets sent that nothing has come for.
    waiting: u32,
    memory_tries: u32,
    report: Report,
    error: Option<Error>,
    finished: bool,
}

/// One socket's part of the traffic.
struct Lane {
    fd: RawFd,
    v6: bool,
    /// Unfinished flights.
    active: usize,
    /// Flights whose packet found the send buffer full.
    blocked: Vec<usize>,
    /// When a packet found the send buffer full, none having gone out since.
    full_since: Option<Instant>,
    /// What the don't-fragment option was last set to in this run.
    dont_fragment: Option<bool>,
}

/// All pings under way.
struct Flights<'a> {
    sockets: &'a [&'a PingSocket],
    lanes: Vec<Lane>,
    flights: Vec<Flight>,
    by_id: HashMap<u16, usize>,
    unfinished: usize,
    /// When which flight sends next.
    queue: BinaryHeap<Reverse<(Instant, usize)>>,
    /// When which flight that has sent all gives up, latest first.
    ends: BinaryHeap<(Instant, usize)>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    control: Vec<u8>,
}

enum Sent {
    Done,
    /// The send buffer is full.
    Blocked,
    /// Again after a pause.
    Later,
    Refused(Error),
}

impl<'a> Flights<'a> {
    /// Gives each probe its identifier; `checked` are their devices' indexes, or what is wrong with them. The error
    /// concerns all.
    fn new(
        sockets: &'a [&'a PingSocket],
        probes: Vec<Probe>,
        checked: Vec<Result<u32>>,
        start: Instant,
    ) -> Result<Flights<'a>> {
        let mut random = vec![0u8; 2 + probes.len() * size_of::<Cookie>()];
        getrandom::fill(&mut random)
            .map_err(|e| Error::new(Kind::Io, format!("random numbers for ping: {e}")).with_op("ping"))?;
        let (first, cookies) = random.split_at(2);
        let first_id = u16::from_ne_bytes([first[0], first[1]]);
        let lane = |socket: &&PingSocket| Lane {
            fd: socket.fd.as_raw_fd(),
            v6: socket.v6,
            active: 0,
            blocked: Vec::new(),
            full_since: None,
            dont_fragment: None,
        };
        let mut all = Flights {
            sockets,
            lanes: sockets.iter().map(lane).collect(),
            flights: Vec::with_capacity(probes.len()),
            by_id: HashMap::with_capacity(probes.len()),
            unfinished: 0,
            queue: BinaryHeap::with_capacity(probes.len()),
            ends: BinaryHeap::new(),
            outgoing: Vec::new(),
            incoming: vec![0; 1 << 16],
            control: nix::cmsg_space!(libc::timespec, libc::c_int),
        };
        for (index, (probe, checked)) in probes.into_iter().zip(checked).enumerate() {
            let id = first_id.wrapping_add(index as u16);
            let cookie = cookies.chunks_exact(size_of::<Cookie>()).nth(index).and_then(|c| c.first_chunk().copied());
            let ifindex = checked.as_ref().copied().unwrap_or(0);
            all.by_id.insert(id, index);
            all.flights.push(Flight {
                socket: probe.socket,
                to: SockaddrStorage::from(match probe.dst {
                    IpAddr::V4(_) => SocketAddr::new(probe.dst, 0),
                    IpAddr::V6(dst) => SocketAddrV6::new(dst, 0, 0, if needs_scope(dst) { ifindex } else { 0 }).into(),
                }),
                opts: probe.opts,
                ifindex,
                id,
                cookie: cookie.unwrap_or_default(),
                due: start,
                packets: Vec::new(),
                waiting: 0,
                memory_tries: 0,
                report: Report { dst: probe.dst, sent: 0, received: 0, answers: Vec::new(), send_error: None },
                finished: checked.is_err(),
                error: checked.err().map(|e| e.with_op("ping").with_target(probe.dst.to_string())),
            });
            if !all.flights[index].finished {
                all.unfinished += 1;
                all.lanes[probe.socket].active += 1;
                all.queue.push(Reverse((start, index)));
            }
        }
        Ok(all)
    }

    fn into_results(self) -> Vec<Result<Report>> {
        self.flights.into_iter().map(|flight| flight.error.map_or(Ok(flight.report), Err)).collect()
    }

    /// Sends up to [`BATCH`] of the packets that are due, and reads what came on their sockets. False if none was due.
    fn send_due(&mut self) -> bool {
        let now = Instant::now();
        let mut used = Vec::new();
        for _ in 0..BATCH {
            let Some(index) = self.queue.peek().filter(|next| next.0.0 <= now).map(|next| next.0.1) else { break };
            self.queue.pop();
            let socket = self.flights[index].socket;
            if used.last() != Some(&socket) {
                used.push(socket);
            }
            // The buffer is full: it waits behind those that wait already.
            if !self.lanes[socket].blocked.is_empty() {
                self.lanes[socket].blocked.push(index);
                continue;
            }
            match self.send(index) {
                Sent::Done => {}
                Sent::Blocked => self.lanes[socket].blocked.push(index),
                Sent::Later => self.queue.push(Reverse((now + MEMORY_PAUSE, index))),
                Sent::Refused(error) => self.refused(index, error),
            }
        }
        used.sort_unstable();
        used.dedup();
        for &socket in &used {
            self.drain(socket);
        }
        !used.is_empty()
    }

    /// Sends the next packet of a flight, and plans the one after it.
    fn send(&mut self, index: usize) -> Sent {
        let flight = &mut self.flights[index];
        let lane = &mut self.lanes[flight.socket];
        let opts = &flight.opts;
        if lane.dont_fragment != Some(opts.dont_fragment) {
            let fd = self.sockets[flight.socket].as_fd();
            if let Err(errno) = PingSocket::set_dont_fragment(fd, lane.v6, opts.dont_fragment) {
                return Sent::Refused(send_error(errno, flight));
            }
            lane.dont_fragment = Some(opts.dont_fragment);
        }
        // `count` is checked, so that this fits.
        let seq = (flight.packets.len() + 1) as u16;
        packet::echo_request(lane.v6, flight.id, seq, flight.cookie, opts.size, &mut self.outgoing);

        let ttl = libc::c_int::from(opts.ttl.unwrap_or_default());
        let v4_info = libc::in_pktinfo {
            ipi_ifindex: flight.ifindex as libc::c_int,
            ipi_spec_dst: libc::in_addr {
                s_addr: match opts.source {
                    Some(IpAddr::V4(source)) => u32::from_ne_bytes(source.octets()),
                    _ => 0,
                },
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let v6_info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: match opts.source {
                    Some(IpAddr::V6(source)) => source.octets(),
                    _ => [0; 16],
                },
            },
            ipi6_ifindex: flight.ifindex as _,
        };
        let mut control = Vec::with_capacity(2);
        if flight.ifindex != 0 || opts.source.is_some() {
            control.push(match lane.v6 {
                false => ControlMessage::Ipv4PacketInfo(&v4_info),
                true => ControlMessage::Ipv6PacketInfo(&v6_info),
            });
        }
        if opts.ttl.is_some() {
            control.push(match lane.v6 {
                false => ControlMessage::Ipv4Ttl(&ttl),
                true => ControlMessage::Ipv6HopLimit(&ttl),
            });
        }
        // Monotonic first: then it is never shorter than the time between the two wall clock readings.
        let (mono, wall) = (Instant::now(), SystemTime::now());
        let iov = [IoSlice::new(&self.outgoing)];
        let sent = loop {
            match sendmsg(lane.fd, &iov, &control, MsgFlags::MSG_DONTWAIT, Some(&flight.to)) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        match sent {
            Ok(_) => {
                lane.full_since = None;
                flight.memory_tries = 0;
                flight.waiting += 1;
                flight.packets.push(Packet { mono, wall, ended: false, replied: false });
                self.sent(index, mono);
                Sent::Done
            }
            // ENOBUFS of a raw socket says that its send buffer is full (`__ip_append_data`), for which others have
            // EAGAIN; if it is not, the kernel is short of memory. (A queue that dropped the packet does not say so
            // here: `raw_sendmsg` hides that without IP_RECVERR.)
            Err(Errno::EAGAIN | Errno::ENOBUFS) if !is_writable(self.sockets[flight.socket].as_fd()) => {
                lane.full_since.get_or_insert(mono);
                Sent::Blocked
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) if flight.memory_tries < MEMORY_TRIES => {
                flight.memory_tries += 1;
                Sent::Later
            }
            Err(errno) => Sent::Refused(send_error(errno, flight)),
        }
    }

    /// Books a packet that has gone (or was refused), and plans what comes next.
    fn sent(&mut self, index: usize, at: Instant) {
        let flight = &mut self.flights[index];
        flight.report.sent += 1;
        if flight.report.sent < flight.opts.count {
            flight.due += flight.opts.interval;
            self.queue.push(Reverse((flight.due, index)));
        } else {
            self.ends.push((at + flight.opts.timeout, index));
        }
    }

    /// The kernel did not take a packet: the end of a ping that has not begun, a lost packet otherwise.
    fn refused(&mut self, index: usize, error: Error) {
        let flight = &mut self.flights[index];
        flight.memory_tries = 0;
        if flight.packets.is_empty() {
            flight.error = Some(error);
            self.finish(index);
            return;
        }
        flight.report.send_error.get_or_insert(error);
        let now = Instant::now();
        flight.packets.push(Packet { mono: now, wall: SystemTime::now(), ended: true, replied: false });
        self.sent(index, now);
        self.finish_if_done(index);
    }

    fn finish_if_done(&mut self, index: usize) {
        let flight = &self.flights[index];
        if flight.waiting == 0 && flight.report.sent == flight.opts.count {
            self.finish(index);
        }
    }

    fn finish(&mut self, index: usize) {
        let flight = &mut self.flights[index];
        if !flight.finished {
            flight.finished = true;
            self.unfinished -= 1;
            self.lanes[flight.socket].active -= 1;
        }
    }

    /// Ends all flights of one socket.
    fn fail_lane(&mut self, socket: usize, error: &Error) {
        for index in 0..self.flights.len() {
            if self.flights[index].socket == socket && !self.flights[index].finished {
                self.flights[index].error = Some(error.clone());
                self.finish(index);
            }
        }
        self.lanes[socket].blocked.clear();
        self.queue.retain(|next| self.flights[next.0.1].socket != socket);
    }

    /// When to wake up if no answer comes: the next packet, the last moment for answers, or a send buffer's.
    fn next_wake(&mut self) -> Option<Instant> {
        let send = self.queue.peek().map(|next| next.0.0);
        let blocked = self.lanes.iter().filter(|lane| !lane.blocked.is_empty());
        let stall = blocked.filter_map(|lane| lane.full_since.map(|since| since + STALL)).min();
        while self.ends.peek().is_some_and(|&(_, index)| self.flights[index].finished) {
            self.ends.pop();
        }
        // While some have yet to send, nothing is gained by giving up on others: all results come together.
        send.into_iter().chain(stall).min().or_else(|| self.ends.peek().map(|end| end.0))
    }

    /// Gives up on what has waited too long.
    fn expire(&mut self, now: Instant) {
        for socket in 0..self.lanes.len() {
            if self.lanes[socket].full_since.is_none_or(|since| since + STALL > now) {
                continue;
            }
            for index in std::mem::take(&mut self.lanes[socket].blocked) {
                let error = Error::new(
                    Kind::Limit,
                    format!(
                        "the send buffer stayed full for {} s: ping {}",
                        STALL.as_secs(),
                        self.flights[index].report.dst
                    ),
                )
                .with_hint("the outgoing device takes no packets: is its queue stopped, or its rate limited?")
                .with_op("ping");
                self.refused(index, error);
            }
        }
        let waits = !self.queue.is_empty() || self.lanes.iter().any(|lane| !lane.blocked.is_empty());
        while !waits && self.ends.peek().is_some_and(|end| end.0 <= now) {
            // The latest of all has passed, so that all others have too.
            while let Some((_, index)) = self.ends.pop() {
                self.finish(index);
            }
        }
    }

    /// Reads whatever is ready, and puts those back into the queue that waited for room to send. Ready when anything
    /// happened.
    fn poll(&mut self, fds: &[Option<AsyncFd<BorrowedFd<'_>>>], cx: &mut Context<'_>) -> Poll<()> {
        let mut progress = false;
        for (socket, fd) in fds.iter().enumerate() {
            let Some(fd) = fd.as_ref().filter(|_| self.lanes[socket].active > 0) else { continue };
            loop {
                match fd.poll_read_ready(cx) {
                    Poll::Ready(Ok(mut guard)) => {
                        progress = true;
                        if self.drain(socket) < DRAIN {
                            guard.clear_ready();
                        } else {
                            break;
                        }
                    }
                    Poll::Ready(Err(e)) => {
                        self.fail_lane(socket, &Error::from_io(&e, "watch a ping socket").with_op("ping"));
                        progress = true;
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            if self.lanes[socket].blocked.is_empty() {
                continue;
            }
            if let Poll::Ready(Ok(mut guard)) = fd.poll_write_ready(cx) {
                guard.clear_ready();
                progress = true;
                for index in std::mem::take(&mut self.lanes[socket].blocked) {
                    self.queue.push(Reverse((self.flights[index].due, index)));
                }
            }
        }
        if progress { Poll::Ready(()) } else { Poll::Pending }
    }

    fn drain_all(&mut self) {
        for socket in 0..self.lanes.len() {
            if self.lanes[socket].active > 0 {
                self.drain_whole(socket);
            }
        }
    }

    /// Reads what a full receive buffer can hold, and not for ever where a flood refills it.
    fn drain_whole(&mut self, socket: usize) {
        for _ in 0..8 {
            if self.drain(socket) < DRAIN {
                break;
            }
        }
    }

    /// Reads up to [`DRAIN`] datagrams of a socket and books the answers among them; how many it read.
    fn drain(&mut self, socket: usize) -> usize {
        let lane = &self.lanes[socket];
        let (fd, v6) = (lane.fd, lane.v6);
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut control = std::mem::take(&mut self.control);
        let mut count = 0;
        while count < DRAIN {
            let mut iov = [IoSliceMut::new(&mut incoming)];
            let received = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control), MsgFlags::MSG_DONTWAIT);
            let (bytes, from, stamp, hops) = match received {
                Ok(message) => {
                    let (mut stamp, mut hops) = (None, None);
                    for control in message.cmsgs().into_iter().flatten() {
                        match control {
                            ControlMessageOwned::ScmTimestampns(time) => stamp = Some(Duration::from(time)),
                            ControlMessageOwned::Ipv6HopLimit(limit) => hops = u8::try_from(limit).ok(),
                            _ => {}
                        }
                    }
                    (message.bytes, message.address.as_ref().and_then(address), stamp, hops)
                }
                Err(Errno::EAGAIN) => break,
                // An error that was pending is reported once: the next call reads on.
                Err(_) => {
                    count += 1;
                    continue;
                }
            };
            count += 1;
            let datagram = &incoming[..bytes.min(incoming.len())];
            let seen = if v6 { packet::parse_v6(datagram) } else { packet::parse_v4(datagram) };
            if let (Some(mut seen), Some(from)) = (seen, from) {
                seen.ttl = seen.ttl.or(hops);
                self.book(socket, from, stamp, &seen);
            }
        }
        self.incoming = incoming;
        self.control = control;
        count
    }

    /// Books an answer, if it is one to a request of ours that is still awaited.
    fn book(&mut self, socket: usize, from: IpAddr, stamp: Option<Duration>, seen: &Seen<'_>) {
        let Some(&index) = self.by_id.get(&seen.id) else { return };
        let flight = &mut self.flights[index];
        let Some(packet) = usize::from(seen.seq).checked_sub(1).and_then(|i| flight.packets.get_mut(i)) else { return };
        // An error quotes as little as the ICMP header: then the address must do.
        let cookie = &flight.cookie[..flight.opts.size.min(flight.cookie.len())];
        let ours = match seen.quoted_dst {
            Some(dst) if seen.payload.len() < cookie.len() => dst == flight.report.dst,
            _ => seen.payload.starts_with(cookie),
        };
        if flight.socket != socket || !ours {
            return;
        }
        let elapsed = packet.mono.elapsed();
        // The kernel's timestamp is of the wall clock. If that was set in between, what we saw ourselves must do.
        let rtt = stamp
            .zip(packet.wall.duration_since(UNIX_EPOCH).ok())
            .and_then(|(received, sent)| received.checked_sub(sent))
            .filter(|rtt| *rtt <= elapsed)
            .unwrap_or(elapsed);
        if rtt > flight.opts.timeout {
            return;
        }
        let is_reply = seen.kind == AnswerKind::Reply;
        let duplicate = if is_reply { packet.replied } else { packet.ended };
        flight.report.answers.push(Answer {
            seq: seen.seq,
            from,
            rtt_ms: rtt.as_secs_f64() * 1000.0,
            ttl: seen.ttl,
            bytes: seen.bytes,
            kind: seen.kind,
            duplicate,
        });
        if is_reply && !packet.replied {
            packet.replied = true;
            flight.report.received += 1;
        }
        if !packet.ended {
            packet.ended = true;
            flight.waiting -= 1;
            self.finish_if_done(index);
        }
    }
}

/// Checks a probe before anything is sent, and finds its outgoing device's index (0 for none). `known` holds the
/// sources that were found to be right.
fn check(sockets: &[&PingSocket], probe: &Probe, known: &mut HashSet<(usize, IpAddr)>) -> Result<u32> {
    let (dst, opts) = (probe.dst, &probe.opts);
    let Some(socket) = sockets.get(probe.socket) else {
        return Err(Error::internal(format!("ping {dst}: no socket {}", probe.socket)));
    };
    if dst.is_ipv6() != socket.v6 {
        return Err(Error::internal(format!("ping {dst}: its socket is for {}", icmp(socket.v6))));
    }
    if !(1..=u32::from(u16::MAX)).contains(&opts.count) {
        return Err(Error::invalid(format!("ping {dst}: count {} is not within 1 and 65535", opts.count)));
    }
    if opts.size > MAX_SIZE {
        return Err(Error::invalid(format!("ping {dst}: size {} is not within 0 and {MAX_SIZE} bytes", opts.size)));
    }
    if opts.interval.max(opts.timeout) > LONGEST {
        return Err(Error::invalid(format!("ping {dst}: interval and timeout are at most a day")));
    }
    if opts.ttl == Some(0) {
        return Err(Error::invalid(format!("ping {dst}: ttl 0 is not within 1 and 255")));
    }
    let mut ifindex = opts.ifindex.unwrap_or(0);
    if let Some(device) = &opts.device {
        let index = socket.ifindex(device).map_err(|errno| match errno {
            Errno::ENODEV => Error::new(Kind::NotFound, format!("ping {dst}: no device `{device}` in the namespace"))
                .with_errno(libc::ENODEV),
            errno => Error::from_errno(errno as i32, format!("ping {dst}: device `{device}`")),
        })?;
        if ifindex != 0 && ifindex != index {
            return Err(Error::invalid(format!(
                "ping {dst}: device `{device}` has index {index}, not the scope's {ifindex}"
            )));
        }
        ifindex = index;
    }
    if let IpAddr::V6(address) = dst
        && ifindex == 0
        && needs_scope(address)
    {
        return Err(Error::invalid(format!("ping {dst}: a link-local address is one of each link"))
            .with_hint("say which link: `#{ device: \"eth0\" }`"));
    }
    if let Some(source) = opts.source
        && !known.contains(&(probe.socket, source))
    {
        check_source(socket, dst, source)?;
        known.insert((probe.socket, source));
    }
    Ok(ifindex)
}

/// Whether `source` is an address of the namespace. Sending would answer a mere EINVAL, as it does for a blackhole route.
fn check_source(socket: &PingSocket, dst: IpAddr, source: IpAddr) -> Result<()> {
    if source.is_ipv6() != socket.v6 {
        return Err(Error::invalid(format!("ping {dst}: source {source} is of the other family")));
    }
    // Binding to a link-local address would bind to its device too, for good.
    if matches!(source, IpAddr::V6(source) if needs_scope(source)) {
        return Ok(());
    }
    let any = if socket.v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let fd = socket.fd.as_raw_fd();
    let bound = bind(fd, &SockaddrStorage::from(SocketAddr::new(source, 0)));
    // Nothing is under way yet, so that no answer is missed in between.
    let released = bind(fd, &SockaddrStorage::from(SocketAddr::new(any, 0)));
    bound.and(released).map_err(|errno| match errno {
        Errno::EADDRNOTAVAIL => Error::new(
            Kind::NotFound,
            format!("ping {dst}: source {source} is no address of the namespace"),
        )
        .with_errno(errno as i32)
        .with_hint(
            "add it with `addr(ns, dev, …)`; an IPv6 address can't be used before duplicate address detection ends",
        ),
        errno => Error::from_errno(errno as i32, format!("ping {dst} from {source}")),
    })
}

/// The error of a probe whose packet the kernel refused.
fn send_error(errno: Errno, flight: &Flight) -> Error {
    let dst = flight.report.dst;
    let size = flight.opts.size;
    let unreachable = |message: String| Error::new(Kind::Unreachable, message);
    let error = match errno {
        Errno::ENETUNREACH | Errno::EADDRNOTAVAIL if dst.is_loopback() => {
            unreachable(format!("no route to {dst}")).with_hint("set the loopback device up: `link_up(ns, \"lo\")`")
        }
        Errno::ENETUNREACH => match &flight.opts.device {
            Some(device) => unreachable(format!("no route to {dst} through device `{device}`"))
                .with_hint("is the device up, and has it an address or a route for that subnet?"),
            None => unreachable(format!("no route to {dst}"))
                .with_hint("add one with `route(ns, …)`; a route through a device that is down does not count"),
        },
        Errno::EHOSTUNREACH => unreachable(format!("the route to {dst} is of type unreachable")),
        Errno::EACCES => unreachable(format!("the route to {dst} is of type prohibit")),
        Errno::EINVAL if matches!(flight.opts.source, Some(IpAddr::V6(source)) if needs_scope(source)) => unreachable(
            format!("no packet can go to {dst} from the given source"),
        )
        .with_hint("is the link-local source an address of the outgoing device, past duplicate address detection?"),
        Errno::EINVAL => unreachable(format!("the route to {dst} is of type blackhole")),
        Errno::ENETDOWN => unreachable(format!("the outgoing device to {dst} is down")),
        Errno::EADDRNOTAVAIL => unreachable(format!("no source address to reach {dst} from"))
            .with_hint("give the outgoing device an address with `addr(ns, dev, …)`"),
        Errno::EPERM => {
            Error::new(Kind::Permission, format!("a firewall rule of the namespace drops the ping to {dst}"))
                .with_hint("look at the rules for output: `nft list ruleset`")
        }
        Errno::EMSGSIZE if flight.opts.dont_fragment => {
            let whole = size + packet::HEADER + if dst.is_ipv6() { 40 } else { 20 };
            Error::invalid(format!(
                "ping {dst}: {size} bytes of payload ({whole} with headers) are more than the outgoing device's mtu"
            ))
            .with_hint("a smaller `size`, or let it be fragmented: without `dont_fragment`")
        }
        Errno::EMSGSIZE => Error::invalid(format!("ping {dst}: {size} bytes of payload don't fit into a packet"))
            .with_hint("`size` is at most 65507 for IPv4, and for IPv6 65527"),
        Errno::ENODEV | Errno::ENXIO => Error::new(Kind::NotFound, format!("ping {dst}: the outgoing device is gone")),
        errno => Error::from_errno(errno as i32, format!("ping {dst}")),
    };
    error.with_errno(errno as i32).with_op("ping").with_target(dst.to_string())
}

/// Whether an address means something on one link only (`__ipv6_addr_needs_scope_id`): link-local unicast, and
/// multicast of interface or link scope.
fn needs_scope(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.octets();
    (first == 0xfe && second & 0xc0 == 0x80) || (first == 0xff && matches!(second & 0x0f, 1 | 2))
}

fn is_writable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok() && fds[0].any().unwrap_or(false)
}

fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    match storage.family()? {
        AddressFamily::Inet => storage.as_sockaddr_in().map(|a| a.ip().into()),
        AddressFamily::Inet6 => storage.as_sockaddr_in6().map(|a| a.ip().into()),
        _ => None,
    }
}

fn icmp(v6: bool) -> &'static str {
    if v6 { "ICMPv6" } else { "ICMP" }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(seq: u16, rtt_ms: f64, kind: AnswerKind, duplicate: bool) -> Answer {
        Answer { seq, from: IpAddr::V4(Ipv4Addr::LOCALHOST), rtt_ms, ttl: Some(64), bytes: 64, kind, duplicate }
    }

    #[test]
    fn statistics_leave_out_errors_and_duplicates() {
        let report = Report {
            dst: IpAddr::V4(Ipv4Addr::LOCALHOST),
            sent: 4,
            received: 3,
            answers: vec![
                answer(1, 1.0, AnswerKind::Reply, false),
                answer(1, 50.0, AnswerKind::Reply, true),
                answer(2, 2.0, AnswerKind::Reply, false),
                answer(3, 70.0, AnswerKind::TimeExceeded, false),
                answer(4, 6.0, AnswerKind::Reply, false),
            ],
            send_error: None,
        };
        assert_eq!((report.loss(), report.duplicates()), (0.25, 1));
        assert_eq!((report.rtt_min(), report.rtt_avg(), report.rtt_max()), (Some(1.0), Some(3.0), Some(6.0)));
        // The formula of iputils: mean of the squares 41/3, less the square of the mean 9.
        assert!((report.rtt_mdev().unwrap() - (41.0f64 / 3.0 - 9.0).sqrt()).abs() < 1e-12);
        let none = Report { received: 0, answers: Vec::new(), ..report };
        assert_eq!((none.loss(), none.rtt_min(), none.rtt_avg(), none.rtt_mdev()), (1.0, None, None, None));
    }

    #[test]
    fn only_addresses_of_one_link_need_a_scope() {
        for (address, needs) in [
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", false),
            ("ff02::1", true),
            ("ff05::2", false),
            ("::1", false),
        ] {
            assert_eq!(needs_scope(address.parse().unwrap()), needs, "{address}");
        }
    }
}

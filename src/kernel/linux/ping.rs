//! ICMP echo without a ping program: many pings at once over few raw sockets, one for each namespace and family.
//!
//! A socket stays in the namespace that it was opened in, so this module never enters one: the caller opens
//! [`PingSocket`]s where they belong, and [`ping_many`] then works from any thread.
//!
//! Answers are found by identifier and sequence number. The kernel's ICMP errors are read from the raw socket itself,
//! not from its error queue: thus errors that the namespace sends to itself (no neighbour) and those of far routers
//! come the same way, with the address of who sent them (`icmp(7)`, `raw(7)`).

mod flights;
mod packet;
mod socket;

pub use socket::PingSocket;

use crate::plan::{Error, Kind, Result};
use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind};
use std::borrow::BorrowMut;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The largest payload: 65,535 bytes less the ICMP header. IPv4 takes 20 less, which the kernel tells.
const MAX_SIZE: usize = 65_527;
/// The longest interval and timeout: far from where adding them to the clock overflows.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Identifiers are 16 bits: so many pings can be told apart at once.
const MAX_AT_ONCE: usize = 1 << 16;

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
        results.extend(flights::run(&sockets, some).await);
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

/// Whether an address means something on one link only (`__ipv6_addr_needs_scope_id`): link-local unicast, and
/// multicast of interface or link scope.
fn needs_scope(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.octets();
    (first == 0xfe && second & 0xc0 == 0x80) || (first == 0xff && matches!(second & 0x0f, 1 | 2))
}

fn icmp(v6: bool) -> &'static str {
    if v6 { "ICMPv6" } else { "ICMP" }
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

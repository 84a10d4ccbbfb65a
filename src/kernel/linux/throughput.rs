//! How much goes from one namespace to another in a second: streams of TCP, or paced datagrams of UDP, with no program
//! but ourselves at both ends.
//!
//! Sockets are opened in their namespaces ([`receiver`] and [`senders`] are to be called in there) and stay there; the transfer runs on threads of its own, which all end before [`measure`] returns.

use crate::kernel::Cancel;
use crate::plan::{Error, Kind, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, accept4, bind,
    connect, getsockname, listen, recv, send, setsockopt, shutdown, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a socket's call blocks at most: how late a signal is heard.
const TICK: Duration = Duration::from_millis(100);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the receiver of datagrams waits for the last ones.
const DRAIN: Duration = Duration::from_secs(2);
/// What is written at once.
const CHUNK: usize = 64 << 10;
/// Asked for as buffers of datagrams.
const BUFFER: usize = 4 << 20;
/// Stream, sequence number, time of sending: three numbers of 8 bytes in front of each datagram.
const HEAD: usize = 24;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Plan {
    pub protocol: Protocol,
    pub time: Duration,
    /// Bytes of payload a second, over all streams; of UDP only.
    pub rate: u64,
    /// Bytes of payload of a datagram.
    pub size: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Bytes of payload that arrived.
    pub bytes: u64,
    /// From the first arrival to the last.
    pub time: Duration,
    /// Of payload, from the first arrival to the last.
    pub bits_per_second: u64,
    /// Datagrams; 0 of TCP.
    pub sent: u64,
    pub received: u64,
    /// Datagrams that came after one that was sent later.
    pub out_of_order: u64,
    /// Variation of the transit time (RFC 3550, 6.4.1), of the first stream, in milliseconds.
    pub jitter: f64,
    /// Segments that TCP sent again.
    pub retransmits: u64,
}

fn failed(what: &str) -> impl Fn(Errno) -> Error {
    move |e| Error::from_errno(e as i32, what)
}

fn open(protocol: Protocol, ip: IpAddr) -> Result<OwnedFd> {
    let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if protocol == Protocol::Tcp { SockType::Stream } else { SockType::Datagram };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map_err(failed("open a socket"))?;
    let tick = TimeVal::milliseconds(i64::try_from(TICK.as_millis()).unwrap_or(100));
    setsockopt(&fd, sockopt::ReceiveTimeout, &tick).map_err(failed("set a time-out"))?;
    setsockopt(&fd, sockopt::SendTimeout, &tick).map_err(failed("set a time-out"))?;
    if protocol == Protocol::Udp {
        // As much as is allowed: what the receiver has no room for counts as lost.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &BUFFER);
    }
    Ok(fd)
}

/// The receiving socket, and where it listens. To be called in the receiver's namespace.
///
/// # Errors
/// The address is not there.
pub fn receiver(protocol: Protocol, ip: IpAddr, streams: usize) -> Result<(OwnedFd, SocketAddr)> {
    let fd = open(protocol, ip)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(ip, 0))).map_err(|e| {
        let error = Error::from_errno(e as i32, format!("listen on {ip}")).with_target(ip.to_string());
        if e == Errno::EADDRNOTAVAIL {
            error.with_hint("it is no address of the receiver: addrs(ns) lists those")
        } else {
            error
        }
    })?;
    if protocol == Protocol::Tcp {
        let backlog =
            nix::sys::socket::Backlog::new(i32::try_from(streams).unwrap_or(128)).map_err(failed("listen"))?;
        listen(&fd, backlog).map_err(failed("listen"))?;
    }
    let name: SockaddrStorage = getsockname(fd.as_raw_fd()).map_err(failed("ask for a port"))?;
    let six = || name.as_sockaddr_in6().map(SockaddrIn6::port);
    let port = name.as_sockaddr_in().map(SockaddrIn::port).or_else(six);
    Ok((fd, SocketAddr::new(ip, port.unwrap_or_default())))
}

/// The sending sockets. To be called in the sender's namespace.
///
/// # Errors
/// No descriptor is left.
pub fn senders(protocol: Protocol, ip: IpAddr, streams: usize) -> Result<Vec<OwnedFd>> {
    (0..streams).map(|_| open(protocol, ip)).collect()
}

/// What the threads share.
struct Shared {
    stop: AtomicBool,
    start: Instant,
    /// Nanoseconds since `start` of the first and last arrival; bytes, and those of the first arrival.
    first: AtomicU64,
    last: AtomicU64,
    bytes: AtomicU64,
    head: AtomicU64,
    sent: AtomicU64,
    retransmits: AtomicU64,
    error: Mutex<Option<Error>>,
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn arrived(&self, bytes: usize) {
        let (now, bytes) = (self.now(), bytes as u64);
        if self.first.compare_exchange(u64::MAX, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.head.store(bytes, Ordering::Relaxed);
        }
        self.last.fetch_max(now, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, error: Error) {
        if let Ok(mut slot) = self.error.lock() {
            slot.get_or_insert(error);
        }
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether a call only ran out of time.
fn again(e: Errno) -> bool {
    matches!(e, Errno::EAGAIN | Errno::EINTR | Errno::EINPROGRESS | Errno::EALREADY | Errno::ENOBUFS)
}

/// Connects, however long it takes up to [`CONNECT`].
fn connected(fd: &OwnedFd, to: SocketAddr, shared: &Shared) -> Result<bool> {
    let until = Instant::now() + CONNECT;
    loop {
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EISCONN) => return Ok(true),
            Err(_) if shared.stopped() => return Ok(false),
            Err(e) if again(e) && Instant::now() < until => {}
            Err(e) => {
                let e = if again(e) { Errno::ETIMEDOUT } else { e };
                return Err(Error::from_errno(e as i32, format!("connect to {to}"))
                    .with_target(to.ip().to_string())
                    .with_hint("is there a way there and back? ping(a, address), routes(), and firewalls"));
            }
        }
    }
}

fn send_stream(fd: &OwnedFd, to: SocketAddr, plan: &Plan, shared: &Shared) -> Result<()> {
    if !connected(fd, to, shared)? {
        return Ok(());
    }
    let chunk = vec![0u8; CHUNK];
    let until = Instant::now() + plan.time;
    while Instant::now() < until && !shared.stopped() {
        match send(fd.as_raw_fd(), &chunk, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => {}
            Err(e) if again(e) => {}
            Err(e) => return Err(Error::from_errno(e as i32, format!("send to {to}"))),
        }
    }
    shared.retransmits.fetch_add(retransmits(fd), Ordering::Relaxed);
    let _ = shutdown(fd.as_raw_fd(), Shutdown::Write);
    Ok(())
}

/// `tcpi_total_retrans` (tcp(7)).
fn retransmits(fd: &OwnedFd) -> u64 {
    // SAFETY: all zeroes is a valid `tcp_info`, which is numbers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or_default();
    // SAFETY: the pointers are to locals, of the length given; the socket is open.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut info).cast(),
            &raw mut len,
        )
    };
    if done == 0 { u64::from(info.tcpi_total_retrans) } else { 0 }
}

/// Takes all connections, and reads each to its end.
fn receive_streams<'s>(
    fd: &OwnedFd,
    streams: usize,
    shared: &'s Shared,
    scope: &'s std::thread::Scope<'s, '_>,
) -> Result<()> {
    let mut taken = 0;
    while taken < streams && !shared.stopped() {
        match accept4(fd, SockFlag::SOCK_CLOEXEC) {
            Ok(stream) => {
                let tick = TimeVal::milliseconds(100);
                setsockopt(&stream, sockopt::ReceiveTimeout, &tick).map_err(failed("set a time-out"))?;
                taken += 1;
                scope.spawn(move || read_stream(&stream, shared));
            }
            Err(e) if again(e) => {}
            Err(e) => return Err(Error::from_errno(e as i32, "take a connection")),
        }
    }
    Ok(())
}

fn read_stream(fd: &OwnedFd, shared: &Shared) {
    let mut buffer = vec![0u8; CHUNK];
    while !shared.stopped() {
        match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => return,
            Ok(n) => shared.arrived(n),
            Err(e) if again(e) => {}
            Err(_) => return,
        }
    }
}

/// Datagrams at an even pace.
fn send_datagrams(fd: &OwnedFd, stream: u64, to: SocketAddr, plan: &Plan, streams: u64, shared: &Shared) -> Result<()> {
    connected(fd, to, shared)?;
    let mut packet = vec![0u8; plan.size.max(HEAD)];
    packet[..8].copy_from_slice(&stream.to_ne_bytes());
    let start = Instant::now();
    let per_second = (plan.rate / streams.max(1) / packet.len() as u64).max(1);
    let gap = Duration::from_nanos(1_000_000_000 / per_second);
    let mut sequence: u64 = 0;
    while start.elapsed() < plan.time && !shared.stopped() {
        let due = gap.saturating_mul(u32::try_from(sequence).unwrap_or(u32::MAX));
        if let Some(early) = due.checked_sub(start.elapsed()).filter(|e| *e > Duration::from_micros(200)) {
            // Nothing to poll: only the time.
            let _ = nix::poll::ppoll(&mut [], Some(nix::sys::time::TimeSpec::from(early.min(TICK))), None);
            continue;
        }
        packet[8..16].copy_from_slice(&sequence.to_ne_bytes());
        packet[16..24].copy_from_slice(&shared.now().to_ne_bytes());
        match send(fd.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => {
                shared.sent.fetch_add(1, Ordering::Relaxed);
                sequence += 1;
            }
            Err(e) if again(e) => {}
            Err(Errno::ECONNREFUSED) => {}
            Err(e) => return Err(Error::from_errno(e as i32, format!("send to {to}"))),
        }
    }
    Ok(())
}

/// What the receiver of datagrams found.
#[derive(Default)]
struct Datagrams {
    received: u64,
    out_of_order: u64,
    jitter: f64,
}

fn receive_datagrams(fd: &OwnedFd, shared: &Shared, done: &AtomicBool) -> Datagrams {
    let mut found = Datagrams::default();
    let mut buffer = vec![0u8; CHUNK];
    let mut highest: std::collections::HashMap<u64, u64> = std::collections::HashMap::new();
    let mut transit: Option<i64> = None;
    let mut quiet: Option<Instant> = None;
    while !shared.stopped() {
        match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(n) if n >= HEAD => {
                shared.arrived(n);
                let word = |at: usize| crate::plan::nla::number(&buffer[at..at + 8]).unwrap_or_default();
                let (stream, sequence, sent) = (word(0), word(8), word(16));
                found.received += 1;
                let seen = highest.entry(stream).or_default();
                if sequence < *seen {
                    found.out_of_order += 1;
                }
                *seen = sequence.max(*seen);
                if stream == 0 {
                    let now = shared.now().cast_signed() - sent.cast_signed();
                    if let Some(before) = transit {
                        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one transit")]
                        let change = (now - before).abs() as f64 / 1e6;
                        found.jitter += (change - found.jitter) / 16.0;
                    }
                    transit = Some(now);
                }
                quiet = None;
            }
            Ok(_) => {}
            Err(e) if again(e) => {
                // After the last was sent, nothing for some time: nothing more will come.
                if done.load(Ordering::Relaxed) && quiet.get_or_insert_with(Instant::now).elapsed() > DRAIN / 4 {
                    return found;
                }
            }
            Err(_) => return found,
        }
    }
    found
}

/// Runs the transfer to its end, or until a signal comes.
///
/// # Errors
/// `interrupted`; no way there; nothing arrived (`timeout`).
pub fn measure(
    receiver: &(OwnedFd, SocketAddr),
    senders: &[OwnedFd],
    plan: &Plan,
    cancel: &Cancel,
) -> Result<Measured> {
    let shared = Shared {
        stop: AtomicBool::new(false),
        start: Instant::now(),
        first: AtomicU64::new(u64::MAX),
        last: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        head: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        retransmits: AtomicU64::new(0),
        error: Mutex::new(None),
    };
    let (fd, to) = (&receiver.0, receiver.1);
    let streams = senders.len();
    let sending = AtomicU64::new(streams as u64);
    let sent = AtomicBool::new(false);
    let found = Mutex::new(Datagrams::default());
    let ended = AtomicBool::new(false);
    let bound = plan.time + CONNECT + DRAIN + DRAIN;
    std::thread::scope(|outer| {
        let (shared, sent, found, sending, ended) = (&shared, &sent, &found, &sending, &ended);
        outer.spawn(move || {
            std::thread::scope(|scope| match plan.protocol {
                Protocol::Tcp => {
                    // The connections live in a scope of their own, which waits for them.
                    let result = receive_streams(fd, streams, shared, scope);
                    if let Err(error) = result {
                        shared.fail(error);
                    }
                }
                Protocol::Udp => {
                    let all = receive_datagrams(fd, shared, sent);
                    if let Ok(mut slot) = found.lock() {
                        *slot = all;
                    }
                }
            });
            ended.store(true, Ordering::Relaxed);
        });
        for (stream, fd) in (0_u64..).zip(senders) {
            outer.spawn(move || {
                let result = match plan.protocol {
                    Protocol::Tcp => send_stream(fd, to, plan, shared),
                    Protocol::Udp => send_datagrams(fd, stream, to, plan, streams as u64, shared),
                };
                if let Err(error) = result {
                    shared.fail(error);
                }
                if sending.fetch_sub(1, Ordering::Relaxed) == 1 {
                    sent.store(true, Ordering::Relaxed);
                }
            });
        }
        while !ended.load(Ordering::Relaxed) && !shared.stopped() {
            let mut fds = [PollFd::new(cancel.fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(20_u8));
            if cancel.confirm() != 0 || shared.start.elapsed() > bound {
                shared.stop.store(true, Ordering::Relaxed);
            }
        }
    });
    cancel.check()?;
    if let Some(error) = shared.error.lock().ok().and_then(|mut e| e.take()) {
        return Err(error);
    }
    let load = |a: &AtomicU64| a.load(Ordering::Relaxed);
    let bytes = load(&shared.bytes);
    let time = Duration::from_nanos(load(&shared.last).saturating_sub(load(&shared.first)));
    if bytes == 0 {
        return Err(Error::new(Kind::Timeout, format!("nothing arrived at {to}"))
            .with_target(to.ip().to_string())
            .with_hint("is there a way there? ping(a, address), routes(), and firewalls"));
    }
    let nanos = time.as_nanos().max(1);
    // The first arrival began the clock: what it brought took no time that was measured.
    let bits = u128::from(bytes - load(&shared.head)) * 8 * 1_000_000_000 / nanos;
    let datagrams = found.into_inner().unwrap_or_default();
    Ok(Measured {
        bytes,
        time,
        bits_per_second: u64::try_from(bits).unwrap_or(u64::MAX),
        sent: load(&shared.sent),
        received: datagrams.received,
        out_of_order: datagrams.out_of_order,
        jitter: datagrams.jitter,
        retransmits: load(&shared.retransmits),
    })
}

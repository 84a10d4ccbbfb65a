//! Packets on their way: when each is sent, which answer is whose, and when it is given up.

use super::packet;
use super::packet::{Cookie, Seen};
use super::{Answer, AnswerKind, PingOpts, PingSocket, Probe, Report, check, needs_scope};
use crate::plan::{Error, Kind, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, recvmsg, sendmsg,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

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

pub(super) async fn run(sockets: &[&PingSocket], mut probes: Vec<Probe>) -> Vec<Result<Report>> {
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

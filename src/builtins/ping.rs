//! Ping, without a ping program: ICMP echo (RFC 792, RFC 4443) over raw sockets in the namespace.

use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, put, put_int, run};
use crate::kernel::linux::ping::{Answer, AnswerKind, PingOpts, PingSocket, Probe, Report, ping_many};
use crate::plan::addr::parse_ip;
use crate::plan::ipwords::{Word, Words};
use crate::plan::{Error, Kind, Ns, Result, ip};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

const KNOWN: &[&str] = &["count", "interval", "timeout", "size", "ttl", "dont_fragment", "source", "dev"];

/// Bytes of the header of an echo message (RFC 792).
const ICMP_HEADER: usize = 8;

/// An address, with the device of a link-local one: `fe80::1%eth0`.
fn target(session: &Session, ns: &Ns, text: &str) -> Result<(IpAddr, Option<u32>)> {
    match text.split_once('%') {
        Some((ip, dev)) => Ok((parse_ip(ip)?, Some(value::find(session, ns, dev)?.link.index))),
        None => Ok((parse_ip(text)?, None)),
    }
}

fn options(session: &Session, ns: &Ns, opts: &Opts) -> Result<PingOpts> {
    let mut out = PingOpts::default();
    if let Some(count) = opts.int("count", 1..=65_535)?.and_then(|n| u32::try_from(n).ok()) {
        out.count = count;
    }
    if let Some(interval) = opts.duration("interval")? {
        out.interval = interval;
    }
    if let Some(timeout) = opts.duration("timeout")? {
        out.timeout = timeout;
    }
    if let Some(size) = opts.int("size", 0..=65_507)?.and_then(|n| usize::try_from(n).ok()) {
        out.size = size;
    }
    out.ttl = opts.int("ttl", 1..=255)?.and_then(|n| u8::try_from(n).ok());
    out.dont_fragment = opts.bool("dont_fragment")?.unwrap_or(false);
    out.source = opts.text("source")?.map(|s| parse_ip(&s)).transpose()?;
    if let Some(dev) = opts.get("dev") {
        let device = value::device(session, Some(ns), dev)?;
        out.device = Some(device.link.name);
        out.ifindex = Some(device.link.index);
    }
    Ok(out)
}

/// The equivalent command.
fn command(ns: &Ns, dst: &str, opts: &PingOpts) -> String {
    let mut out = format!("ping -c {}", opts.count);
    if opts.interval != PingOpts::default().interval {
        out += &format!(" -i {}", opts.interval.as_secs_f64());
    }
    if opts.timeout != PingOpts::default().timeout {
        out += &format!(" -W {}", opts.timeout.as_secs_f64());
    }
    if opts.size != PingOpts::default().size {
        out += &format!(" -s {}", opts.size);
    }
    if let Some(ttl) = opts.ttl {
        out += &format!(" -t {ttl}");
    }
    if opts.dont_fragment {
        out += " -M do";
    }
    if let Some(source) = opts.device.clone().or_else(|| opts.source.map(|s| s.to_string())) {
        out += &format!(" -I {source}");
    }
    out += &format!(" {dst}");
    if ns.is_host() { out } else { format!("ip netns exec {} {out}", ip::word(&ns.name)) }
}

/// Opens a socket in a namespace.
fn socket(session: &Session, ns: &Ns, v6: bool) -> Result<PingSocket> {
    session.linux().inside(ns, move || PingSocket::open(v6)).map_err(|e| e.with_ns(&ns.name))
}

/// Sends the probes and waits for what comes back, or for a signal.
fn send(session: &Session, sockets: &mut [PingSocket], probes: Vec<Probe>) -> Result<Vec<Result<Report>>> {
    let cancel = session.cancel();
    cancel.check()?;
    session.runtime()?.block_on(async {
        tokio::select! {
            raised = cancel.raised() => {
                raised?;
                cancel.check()?;
                Err(Error::internal("woken without a signal"))
            }
            reports = ping_many(sockets, probes) => Ok(reports),
        }
    })
}

/// One ping.
fn ping_one(session: &Session, ns: &Ns, dst: &str, opts: PingOpts) -> Result<Report> {
    session.settle()?;
    let (address, scope) = target(session, ns, dst)?;
    let opts = PingOpts { ifindex: opts.ifindex.or(scope), ..opts };
    session.step_event("ping", ns, dst, || command(ns, dst, &opts));
    let socket = socket(session, ns, address.is_ipv6())?;
    let reports = send(session, &mut [socket], vec![Probe { socket: 0, dst: address, opts: opts.clone() }])?;
    let report = reports.into_iter().next().ok_or_else(|| Error::internal("ping gave no report"))?;
    let report = if session.planning() { planned(session, address, &opts, report)? } else { report };
    report.map_err(|e| e.with_ns(&ns.name))
}

/// What a plan makes of a ping that was sent in the copy of the world. What came back is believed; where nothing did, it may
/// be for want of what a program would have done, or because the way leads out of the copy: then it counts as answered.
fn planned(session: &Session, dst: IpAddr, opts: &PingOpts, report: Result<Report>) -> Result<Result<Report>> {
    let silent = match &report {
        // Of an address that nobody has the kernel says by itself that it is unreachable.
        Ok(report) => {
            let quiet = |a: &Answer| matches!(a.kind, AnswerKind::Reply | AnswerKind::Unreachable("host unreachable"));
            report.received < report.sent && report.answers.iter().all(quiet)
        }
        Err(error) => error.kind == Kind::Unreachable,
    };
    if !silent || !(session.guessing() || (report.is_ok() && session.beyond(dst)?)) {
        session.in_the_copy(&match &report {
            Ok(report) => format!("{} of {} answered", report.received, report.sent),
            Err(error) => error.message.clone(),
        });
        return Ok(report);
    }
    session.simulated("every ping is answered");
    let answer = |seq: u32| Answer {
        seq: u16::try_from(seq).unwrap_or(u16::MAX),
        from: dst,
        rtt_ms: 0.0,
        ttl: Some(64),
        bytes: opts.size + ICMP_HEADER,
        kind: AnswerKind::Reply,
        duplicate: false,
    };
    let answers = (1..=opts.count).map(answer).collect();
    Ok(Ok(Report { dst, sent: opts.count, received: opts.count, answers, send_error: None }))
}

fn optional(number: Option<f64>) -> Dynamic {
    number.map_or(Dynamic::UNIT, Into::into)
}

fn report_map(ns: &Ns, dst: &str, report: &Report) -> Map {
    let mut map = Map::new();
    put(&mut map, "ns", ns.name.clone());
    put(&mut map, "dst", dst.to_string());
    put_int(&mut map, "sent", report.sent);
    put_int(&mut map, "received", report.received);
    put(&mut map, "loss", report.loss() * 100.0);
    put(&mut map, "rtt_min", optional(report.rtt_min()));
    put(&mut map, "rtt_avg", optional(report.rtt_avg()));
    put(&mut map, "rtt_max", optional(report.rtt_max()));
    put(&mut map, "rtt_mdev", optional(report.rtt_mdev()));
    let replies: Array = report
        .answers
        .iter()
        .map(|answer| {
            let mut map = Map::new();
            put_int(&mut map, "seq", answer.seq);
            put(&mut map, "from", answer.from.to_string());
            put(&mut map, "kind", answer.kind.as_str().to_string());
            put(&mut map, "what", answer.kind.to_string());
            put(&mut map, "rtt", answer.rtt_ms);
            put(&mut map, "ttl", answer.ttl.map_or(Dynamic::UNIT, |t| rhai::INT::from(t).into()));
            put_int(&mut map, "bytes", answer.bytes);
            put(&mut map, "duplicate", answer.duplicate);
            let mtu = match answer.kind {
                AnswerKind::TooBig { mtu } => rhai::INT::from(mtu).into(),
                _ => Dynamic::UNIT,
            };
            put(&mut map, "mtu", mtu);
            map.into()
        })
        .collect();
    put(&mut map, "replies", replies);
    map
}

fn ping_map(session: &Session, ns: &Dynamic, dst: &str, given: Map) -> Result<Map> {
    let ns = value::ns(session, ns)?;
    let opts = options(session, &ns, &Opts::new("ping", given, KNOWN)?)?;
    Ok(report_map(&ns, dst, &ping_one(session, &ns, dst, opts)?))
}

/// `ping …` by its words (ping(8)): `-c`, `-i`, `-W`, `-s`, `-t`, `-I`, `-n`, `-q`, `-4`, `-6` and a destination. What it
/// would print; as with the program, no reply at all is an error.
///
/// # Errors
/// `invalid` for other words, `exit` where nothing came back.
pub(super) fn by_words(session: &Session, ns: &Ns, all: &[Word]) -> Result<String> {
    let mut given = Map::new();
    let mut dst = None;
    let mut words = Words::new(all.get(1..).unwrap_or_default());
    while let Some(word) = words.next() {
        let number = |w: &Word| w.text.parse::<f64>().map_err(|_| w.bad("a number is expected here"));
        match word.text.as_str() {
            "-c" | "-s" | "-t" => {
                let key = match word.text.as_str() {
                    "-c" => "count",
                    "-s" => "size",
                    _ => "ttl",
                };
                put_int(&mut given, key, words.number(word, 0xffff)?);
            }
            "-i" => put(&mut given, "interval", number(words.value(word)?)?),
            "-W" | "-w" => put(&mut given, "timeout", number(words.value(word)?)?),
            "-I" => {
                let from = words.value(word)?;
                let key = if from.text.parse::<IpAddr>().is_ok() { "source" } else { "dev" };
                put(&mut given, key, from.text.clone());
            }
            "-n" | "-q" | "-4" | "-6" => {}
            option if option.starts_with('-') => {
                return Err(word.bad("nsscript's own ping does not know this").with_hint("-c -i -W -s -t -I -n -q"));
            }
            _ => dst = Some(word.text.clone()),
        }
    }
    let Some(dst) = dst else { return Err(Error::invalid("ping: no destination is given")) };
    if !given.contains_key("count") {
        return Err(Error::invalid("ping without a count never ends").with_hint("ping -c 3 …"));
    }
    let opts = options(session, ns, &Opts::new("ping", given, KNOWN)?)?;
    let size = opts.size;
    let report = ping_one(session, ns, &dst, opts)?;
    let mut out = format!("PING {dst} {size} bytes of data");
    for answer in &report.answers {
        let what = match answer.kind {
            AnswerKind::Reply => format!("{} bytes from {}", answer.bytes, answer.from),
            _ => format!("from {}: {}", answer.from, answer.kind),
        };
        out += &format!("\n{what}: icmp_seq={} time={:.3} ms", answer.seq, answer.rtt_ms);
    }
    let loss = report.loss() * 100.0;
    out += &format!(
        "\n--- {dst} ping statistics ---\n{} packets transmitted, {} received, {loss:.0}% packet loss",
        report.sent, report.received
    );
    if report.received == 0 {
        return Err(Error::new(Kind::Exit, format!("`ping {dst}` in {}: {}", ns.label(), instead(&report)))
            .with_ns(&ns.name)
            .with_target(dst)
            .with_hint(out));
    }
    Ok(out)
}

/// What came back instead of a reply, in words.
fn instead(report: &Report) -> String {
    match report.answers.iter().find(|a| !matches!(a.kind, AnswerKind::Reply)) {
        Some(answer) => format!("{} says {}", answer.from, answer.kind),
        None => "nothing came back".into(),
    }
}

/// Without a count: one reply to up to three pings is enough. With one: every ping is answered.
fn assert_reply(session: &Session, ns: &Dynamic, dst: &str, given: Map) -> Result<Map> {
    let ns = value::ns(session, ns)?;
    let counted = given.contains_key("count");
    let opts = options(session, &ns, &Opts::new("assert_ping", given, KNOWN)?)?;
    let failure = |text: String| {
        Error::new(Kind::Assert, text).with_ns(&ns.name).with_target(dst).with_hint(
            "look at addrs(), routes(), neighs() and links() of both ends: is each device up, is there a way back?",
        )
    };
    let place = ns.label();
    for attempt in 1.. {
        let report = match ping_one(session, &ns, dst, opts.clone()) {
            Ok(report) => report,
            Err(error) if error.kind == Kind::Unreachable => {
                return Err(Error {
                    kind: Kind::Assert,
                    message: format!("no reply from {dst} in {place}: {}", error.message),
                    ..error
                });
            }
            Err(error) => return Err(error),
        };
        if report.received == report.sent {
            return Ok(report_map(&ns, dst, &report));
        }
        if counted || attempt == 3 {
            return Err(failure(format!(
                "{} of {} pings from {place} to {dst} were answered: {}",
                report.received,
                report.sent,
                instead(&report)
            )));
        }
    }
    Err(Error::internal("assert_ping never ends"))
}

/// The address that others ping: the first global one that is not on the loopback.
pub fn address(session: &Session, ns: &Ns, v6: bool) -> Result<IpAddr> {
    let wanted = if v6 { crate::plan::record::AF_INET6 } else { crate::plan::record::AF_INET };
    let all = session.kernel().dump(ns, crate::plan::What::Addr)?;
    all.into_iter()
        .map(|body| crate::plan::Rec { what: crate::plan::What::Addr, body, ends: None })
        .filter(|r| r.family() == wanted && r.byte(3) == 0)
        .find_map(|r| r.local())
        .ok_or_else(|| {
            let family = if v6 { "IPv6" } else { "IPv4" };
            Error::new(Kind::NotFound, format!("{} has no global {family} address to be pinged", ns.label()))
                .with_ns(&ns.name)
                .with_hint("give it one: addr(ns, dev, \"10.0.0.1/24\"); or ask for #{ family: \"inet6\" }")
        })
}

fn all_pairs(session: &Session, list: &Array, given: Map) -> Result<Map> {
    let known: Vec<&str> = KNOWN.iter().copied().filter(|k| !["source", "dev"].contains(k)).chain(["family"]).collect();
    let opts = Opts::new("ping_all", given, &known)?;
    let v6 = match opts.text("family")?.as_deref() {
        None | Some("inet" | "4") => false,
        Some("inet6" | "6") => true,
        Some(other) => return Err(Error::invalid(format!("`{other}` is no family")).with_hint("\"inet\" or \"inet6\"")),
    };
    session.settle()?;
    let spaces: Vec<Ns> = list.iter().map(|ns| value::ns(session, ns)).collect::<Result<_>>()?;
    let addresses: Vec<IpAddr> = spaces.iter().map(|ns| address(session, ns, v6)).collect::<Result<_>>()?;
    let host = session.kernel().host();
    let single = options(session, spaces.first().unwrap_or(&host), &opts)?;
    session.step_event("ping_all", &session.current(), "", || {
        format!("# {} pings, all pairs of {}", spaces.len() * spaces.len().saturating_sub(1), spaces.len())
    });
    let mut sockets: Vec<PingSocket> = spaces.iter().map(|ns| socket(session, ns, v6)).collect::<Result<_>>()?;
    // Both ways of two hosts together: they use the same two entries of the neighbour table.
    let pairs: Vec<(usize, usize)> =
        (0..spaces.len()).flat_map(|a| (0..a).flat_map(move |b| [(a, b), (b, a)])).collect();
    let probe = |(from, to): &(usize, usize)| Probe { socket: *from, dst: addresses[*to], opts: single.clone() };
    let mut reports = Vec::with_capacity(pairs.len());
    let rounds = Rounds::new(session, &spaces, &addresses, pairs.len(), v6)?;
    for some in pairs.chunks(rounds.size) {
        if !reports.is_empty() {
            rounds.make_room(session)?;
        }
        reports.extend(send(session, &mut sockets, some.iter().map(probe).collect())?);
    }
    if session.planning() {
        let all = pairs.iter().map(probe).zip(reports);
        reports = all.map(|(probe, report)| planned(session, probe.dst, &probe.opts, report)).collect::<Result<_>>()?;
    }
    let mut matrix = vec![vec![Dynamic::UNIT; spaces.len()]; spaces.len()];
    let (mut sent, mut received) = (0u64, 0u64);
    let mut failed = Array::new();
    let mut done: Vec<_> = pairs.iter().zip(&reports).collect();
    done.sort_unstable_by_key(|(pair, _)| **pair);
    for ((from, to), report) in done {
        let rtt = match report {
            Ok(report) => {
                sent += u64::from(report.sent);
                received += u64::from(report.received);
                report.rtt_avg()
            }
            Err(_) => {
                sent += u64::from(single.count);
                None
            }
        };
        match rtt {
            Some(rtt) => matrix[*from][*to] = rtt.into(),
            None => failed.push(format!("{} -> {} ({})", spaces[*from].name, spaces[*to].name, addresses[*to]).into()),
        }
    }
    let mut map = Map::new();
    put(&mut map, "names", spaces.iter().map(|n| n.name.clone().into()).collect::<Array>());
    put(&mut map, "rtt", matrix.into_iter().map(|row| row.into_iter().collect::<Array>().into()).collect::<Array>());
    put_int(&mut map, "sent", sent);
    put_int(&mut map, "received", received);
    #[expect(clippy::cast_precision_loss, reason = "counts of packets, for a percentage")]
    let loss = if sent == 0 { 0.0 } else { (sent - received) as f64 * 100.0 / sent as f64 };
    put(&mut map, "loss", loss);
    put(&mut map, "failed", failed);
    Ok(map)
}

/// All pairs, in as many rounds as the neighbour table needs: it is one for all namespaces, and what does not fit is lost
/// without a word from the kernel. Between two rounds the entries are taken out that the pings brought in.
struct Rounds<'a> {
    /// How many pings make a round.
    size: usize,
    spaces: &'a [Ns],
    addresses: HashSet<IpAddr>,
    /// What was in the table before, of each namespace; empty where one round is enough.
    before: Vec<HashSet<(u32, IpAddr)>>,
    v6: bool,
}

impl<'a> Rounds<'a> {
    /// Entries that are left to others, who also learn.
    const SPARE: usize = 128;
    /// However full the table is: pings of so many hosts find room by the kernel's own clearing.
    const LEAST: usize = 64;

    /// `pairs`: how many pings there will be. On one link each leaves one entry; of hosts behind routers, fewer.
    fn new(session: &Session, spaces: &'a [Ns], addresses: &[IpAddr], pairs: usize, v6: bool) -> Result<Self> {
        let linux = session.linux();
        let room = linux.neighbour_room(v6).map(|room| room.saturating_sub(Self::SPARE).max(Self::LEAST) & !1);
        let mut rounds = Rounds {
            size: pairs.max(1),
            spaces,
            addresses: addresses.iter().copied().collect(),
            before: Vec::new(),
            v6,
        };
        if let Some(room) = room.filter(|room| *room < pairs) {
            rounds.size = room;
            rounds.before = spaces.iter().map(|ns| linux.neighbours(ns, v6)).collect::<Result<_>>()?;
        }
        Ok(rounds)
    }

    fn make_room(&self, session: &Session) -> Result<()> {
        let linux = session.linux();
        for (ns, before) in self.spaces.iter().zip(&self.before) {
            let now = linux.neighbours(ns, self.v6)?;
            let ours = now.into_iter().filter(|e| self.addresses.contains(&e.1) && !before.contains(e));
            linux.forget_neighbours(ns, ours)?;
        }
        Ok(())
    }
}

/// Waits until a TCP port is open in a namespace.
fn wait_for_port(session: &Session, ns: &Dynamic, port: &Dynamic, given: Map) -> Result<()> {
    let ns = value::ns(session, ns)?;
    let opts = Opts::new("wait_port", given, &["timeout", "address"])?;
    let timeout = opts.duration("timeout")?.unwrap_or(Duration::from_secs(10));
    let text = match port.as_int() {
        Ok(number) => number.to_string(),
        Err(_) => value::text(port, "a port")?,
    };
    let (proto, number) = text.split_once('/').unwrap_or(("tcp", &text));
    let number: u16 = number.parse().map_err(|_| {
        Error::invalid(format!("`{text}` is no port")).with_hint("a number, or \"tcp/8080\", or \"udp/53\"")
    })?;
    let address = opts.text("address")?.map(|a| parse_ip(&a)).transpose()?;
    session.settle()?;
    session.step_event("wait_port", &ns, &text, || format!("# wait for {proto}/{number} in {}", ns.label()));
    super::exec::wait_listening(session, &ns, proto, number, address, timeout)
}

#[export_module]
pub mod functions {
    /// Sends ICMP echo requests from a namespace and waits for what comes back. Needs no ping program; the address may be
    /// IPv4 or IPv6 (a link-local one with its device: `"fe80::1%eth0"`).
    ///
    /// Options: `count` (default 1), `interval` (default `"100ms"`), `timeout` for each reply (default `"1s"`), `size` of the
    /// payload in bytes (default 56), `ttl`, `dont_fragment`, `source` (an address), `dev`.
    ///
    /// Returns a map with `ns`, `dst`, `sent`, `received`, `loss` (in percent), `rtt_min`, `rtt_avg`, `rtt_max`, `rtt_mdev` (in
    /// milliseconds, `()` without replies) and `replies`: an array of maps with `seq`, `from`, `kind` (`"reply"`,
    /// `"unreachable"`, `"time_exceeded"`, `"too_big"`, `"parameter_problem"`), `what` (in words), `rtt`, `ttl`, `bytes`,
    /// `duplicate` and `mtu` (of `"too_big"`). Without a reply `received` is 0; it throws only where a packet could not be
    /// sent. Errors: `unreachable` (no route), `invalid`.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:e", "h2:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// let r = ping("h1", "10.0.0.2", #{ count: 3, interval: "10ms" });
    /// print(`${r.received}/${r.sent} replies, ${r.rtt_avg} ms`);
    /// assert_eq(r.replies[0].kind, "reply");
    /// ```
    #[rhai_fn(name = "ping", return_raw)]
    pub fn ping(ctx: NativeCallContext, ns: Dynamic, dst: &str) -> Fallible<Map> {
        run(&ctx, |s| ping_map(s, &ns, dst, Map::new()))
    }

    #[rhai_fn(name = "ping", return_raw)]
    pub fn ping_with(ctx: NativeCallContext, ns: Dynamic, dst: &str, options: Map) -> Fallible<Map> {
        run(&ctx, |s| ping_map(s, &ns, dst, options))
    }

    /// Throws an error of kind `assert` unless the address answers: one reply to up to three pings is enough; with option
    /// `count` every ping must be answered. Other options as of `ping`. Returns what `ping` returns.
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// assert_ping("h1", "127.0.0.1");
    /// ```
    #[rhai_fn(name = "assert_ping", return_raw)]
    pub fn assert_ping(ctx: NativeCallContext, ns: Dynamic, dst: &str) -> Fallible<Map> {
        run(&ctx, |s| assert_reply(s, &ns, dst, Map::new()))
    }

    #[rhai_fn(name = "assert_ping", return_raw)]
    pub fn assert_ping_with(ctx: NativeCallContext, ns: Dynamic, dst: &str, options: Map) -> Fallible<Map> {
        run(&ctx, |s| assert_reply(s, &ns, dst, options))
    }

    /// Pings from each namespace to the first global address of each other, all at once; or, where that is more than the
    /// kernel's neighbour table holds (1,024 entries for all namespaces together, unless the host has another
    /// `gc_thresh3`), in rounds, between which the entries that the pings made are taken out again. Options: `family`
    /// (`"inet"`, `"inet6"`), and those of `ping` but `source` and `dev`.
    ///
    /// Returns a map with `names`, `rtt` (a matrix, row from, column to: milliseconds, or `()` where nothing came back and
    /// on the diagonal), `sent`, `received`, `loss` (in percent) and `failed` (`"h1 -> h2 (10.0.0.2)"` …).
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:e", "h2:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// let all = ping_all(["h1", "h2"]);
    /// assert_eq(all.received, 2);
    /// assert_eq(all.failed, []);
    /// ```
    #[rhai_fn(name = "ping_all", return_raw)]
    pub fn ping_all(ctx: NativeCallContext, namespaces: Array) -> Fallible<Map> {
        run(&ctx, |s| all_pairs(s, &namespaces, Map::new()))
    }

    #[rhai_fn(name = "ping_all", return_raw)]
    pub fn ping_all_with(ctx: NativeCallContext, namespaces: Array, options: Map) -> Fallible<Map> {
        run(&ctx, |s| all_pairs(s, &namespaces, options))
    }

    /// Waits until something listens on a port of a namespace: a number, `"tcp/8080"` or `"udp/53"`. Options: `timeout`
    /// (default 10 s), `address` (any by default). Errors: `timeout`.
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// start("h1", ["python3", "-m", "http.server", "8080"]);
    /// wait_port("h1", 8080);
    /// ```
    #[rhai_fn(name = "wait_port", return_raw)]
    pub fn wait_port(ctx: NativeCallContext, ns: Dynamic, port: Dynamic) -> Fallible<()> {
        run(&ctx, |s| wait_for_port(s, &ns, &port, Map::new()))
    }

    #[rhai_fn(name = "wait_port", return_raw)]
    pub fn wait_port_with(ctx: NativeCallContext, ns: Dynamic, port: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| wait_for_port(s, &ns, &port, options))
    }
}

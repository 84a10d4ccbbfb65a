//! ICMP echo against the real kernel: namespaces without a name, joined by veth pairs, gone when their descriptors close.
//!
//! The whole process first leaves the machine's namespace, so that no packet can get out of what a test made; without
//! root it does so inside a user namespace of its own.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recvfrom, sendto, setsockopt, socket,
    sockopt,
};
use nsscript::kernel::linux::ping::{AnswerKind, PingOpts, PingSocket, Probe, Report, ping, ping_many};
use nsscript::plan::{Error, Kind};
use std::fs::{self, File};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

type Outcome = Result<Completion, Failed>;
type Test = fn() -> Outcome;

fn main() {
    let mut arguments = Arguments::from_args();
    // Before any thread starts: a user namespace can't be entered later.
    let room = leave_the_machine();
    // Reported as ignored with the reason where it can't run; but a failure where everything is meant to run.
    let strict = std::env::var_os("CI").is_some();
    let tests: [(&str, Test); 19] = [
        ("loopback_answers", loopback_answers),
        ("what_cannot_be_sent_is_an_error", what_cannot_be_sent_is_an_error),
        ("wrong_options_are_errors", wrong_options_are_errors),
        ("two_hops_and_ttl", two_hops_and_ttl),
        ("too_big_each_time", too_big_each_time),
        ("fragments_without_dont_fragment", fragments_without_dont_fragment),
        ("routers_refuse", routers_refuse),
        ("nobody_there", nobody_there),
        ("source_and_device_by_packet", source_and_device_by_packet),
        ("link_local_needs_a_device", link_local_needs_a_device),
        ("group_answers_are_duplicates", group_answers_are_duplicates),
        ("forged_and_repeated_replies", forged_and_repeated_replies),
        ("late_replies_are_lost", late_replies_are_lost),
        ("a_later_refusal_is_a_loss", a_later_refusal_is_a_loss),
        ("a_firewall_drops", a_firewall_drops),
        ("thousands_at_once", thousands_at_once),
        ("a_small_send_buffer_only_delays", a_small_send_buffer_only_delays),
        ("dropped_in_flight", dropped_in_flight),
        ("all_pairs_over_many_sockets", all_pairs_over_many_sockets),
    ];
    let trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            let reason = room.as_ref().err().cloned();
            Trial::ignorable_test(name, move || match reason {
                Some(reason) if strict => Err(reason.into()),
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => test(),
            })
        })
        .collect();
    // Timings are part of what is tested, and the kernel's neighbour tables are common to all namespaces.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn leave_the_machine() -> Result<(), String> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if uid.is_root() {
        return unshare(CloneFlags::CLONE_NEWNET).map_err(|e| format!("no network namespace: {e}"));
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|e| format!("not root, and no user namespace: {e}"))?;
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")))
        .map_err(|e| format!("not root, and no map of users: {e}"))
}

/// A network namespace that lives as long as this.
struct Ns(OwnedFd);

impl Ns {
    /// As the kernel makes it.
    fn fresh() -> Ns {
        let fd = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())
        });
        Ns(fd.join().unwrap())
    }

    /// With loopback up, IPv6 addresses usable at once, and no limit on ICMP errors.
    fn new() -> Ns {
        let ns = Ns::fresh();
        ns.ip("link set lo up");
        for (key, value) in [
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
        ] {
            ns.sysctl(key, value);
        }
        ns
    }

    /// Runs `f` on a thread inside.
    fn enter<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                f()
            });
            inside.join().unwrap()
        })
    }

    fn run(&self, program: &str, arguments: &str) -> Result<(), String> {
        self.enter(|| {
            let output = Command::new(program).args(arguments.split_whitespace()).output();
            let output = output.map_err(|e| format!("{program}: {e}"))?;
            if output.status.success() {
                return Ok(());
            }
            Err(format!("{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr)))
        })
    }

    /// `ip …`, or the lines of a batch of it.
    fn ip(&self, arguments: &str) {
        for line in arguments.lines().filter(|line| !line.trim().is_empty()) {
            self.run("ip", line).unwrap();
        }
    }

    fn sysctl(&self, key: &str, value: &str) {
        self.enter(|| fs::write(format!("/proc/sys/net/{key}"), value).unwrap());
    }

    /// What `ip` takes as the name of this namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    fn socket(&self, v6: bool) -> PingSocket {
        self.enter(|| PingSocket::open(v6)).unwrap()
    }

    /// Pings `dst` with a socket of its own.
    fn ping(&self, dst: &str, opts: &PingOpts) -> nsscript::plan::Result<Report> {
        let dst: IpAddr = dst.parse().unwrap();
        let mut socket = self.socket(dst.is_ipv6());
        wait_for(ping(&mut socket, dst, opts.clone()))
    }
}

/// A veth pair, both ends up.
fn join(a: &Ns, a_device: &str, b: &Ns, b_device: &str) {
    a.ip(&format!("link add name {a_device} type veth peer name {b_device} netns {}", b.path()));
    a.ip(&format!("link set dev {a_device} up"));
    b.ip(&format!("link set dev {b_device} up"));
}

/// `a` and `b` with router `r` in between: 10.0.1.0/24 and fd00:1::/64, 10.0.2.0/24 and fd00:2::/64, each end 1 and the
/// router 254.
fn line() -> (Ns, Ns, Ns) {
    let (a, r, b) = (Ns::new(), Ns::new(), Ns::new());
    r.sysctl("ipv4/ip_forward", "1");
    r.sysctl("ipv6/conf/all/forwarding", "1");
    join(&a, "eth0", &r, "a");
    join(&b, "eth0", &r, "b");
    for (ns, net) in [(&a, 1), (&b, 2)] {
        ns.ip(&format!(
            "addr add 10.0.{net}.1/24 dev eth0
             addr add fd00:{net}::1/64 dev eth0 nodad
             route add default via 10.0.{net}.254
             route add default via fd00:{net}::fe"
        ));
    }
    for (device, net) in [("a", 1), ("b", 2)] {
        r.ip(&format!("addr add 10.0.{net}.254/24 dev {device}\naddr add fd00:{net}::fe/64 dev {device} nodad"));
    }
    (a, r, b)
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn kinds(report: &Report) -> Vec<AnswerKind> {
    report.answers.iter().map(|a| a.kind).collect()
}

#[track_caller]
fn refused(result: nsscript::plan::Result<Report>, kind: Kind, errno: i32, words: &str) -> Error {
    let error = result.expect_err("this was to be refused");
    assert_eq!((error.kind, error.errno), (kind, errno), "{error:?}");
    assert!(error.message.contains(words), "{error:?}");
    assert_eq!(error.op, "ping");
    error
}

fn loopback_answers() -> Outcome {
    let ns = Ns::new();
    for (dst, size) in
        [("127.0.0.1", 56), ("::1", 56), ("127.0.0.1", 0), ("::1", 0), ("127.0.0.1", 65_507), ("::1", 65_527)]
    {
        let (interval, timeout) = (Duration::from_millis(10), Duration::from_secs(30));
        let opts = PingOpts { count: 3, interval, timeout, size, ..PingOpts::default() };
        let begun = Instant::now();
        let report = ns.ping(dst, &opts).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "it ends with the last reply, not with its timeout");
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert_eq!((report.sent, report.received, report.loss(), report.duplicates()), (3, 3, 0.0, 0), "{report:?}");
        assert_eq!(report.answers.iter().map(|a| a.seq).collect::<Vec<_>>(), [1, 2, 3]);
        for answer in &report.answers {
            assert_eq!((answer.from.to_string().as_str(), answer.ttl, answer.bytes), (dst, Some(64), size + 8));
            assert!(answer.rtt_ms > 0.0 && answer.rtt_ms < 10_000.0, "{answer:?}");
        }
        assert!(report.rtt_min() <= report.rtt_avg() && report.rtt_avg() <= report.rtt_max());
    }
    Ok(Completion::Completed)
}

fn what_cannot_be_sent_is_an_error() -> Outcome {
    let ns = Ns::new();
    let opts = PingOpts::default();
    refused(ns.ping("10.0.0.1", &opts), Kind::Unreachable, libc::ENETUNREACH, "no route to 10.0.0.1");
    refused(ns.ping("fd00::1", &opts), Kind::Unreachable, libc::ENETUNREACH, "no route to fd00::1");
    for (kind, v4, v6, words) in [
        ("unreachable", libc::EHOSTUNREACH, libc::EHOSTUNREACH, "type unreachable"),
        ("prohibit", libc::EACCES, libc::EACCES, "type prohibit"),
        ("blackhole", libc::EINVAL, libc::EINVAL, "type blackhole"),
    ] {
        ns.ip(&format!("route replace {kind} 10.7.0.0/16\n-6 route replace {kind} fd07::/32"));
        refused(ns.ping("10.7.0.1", &opts), Kind::Unreachable, v4, words);
        refused(ns.ping("fd07::1", &opts), Kind::Unreachable, v6, words);
        ns.ip(&format!("route del {kind} 10.7.0.0/16\n-6 route del {kind} fd07::/32"));
    }
    let fresh = Ns::fresh();
    for (dst, errno) in [("127.0.0.1", libc::ENETUNREACH), ("::1", libc::EADDRNOTAVAIL)] {
        let error = refused(fresh.ping(dst, &opts), Kind::Unreachable, errno, &format!("no route to {dst}"));
        assert!(error.hint.unwrap().contains("lo"));
    }
    // One that fails takes nothing from the others.
    let mut sockets = [ns.socket(false), ns.socket(true)];
    let probe = |socket, dst: &str| Probe { socket, dst: dst.parse().unwrap(), opts: PingOpts::default() };
    let results = wait_for(ping_many(
        &mut sockets,
        vec![probe(0, "127.0.0.1"), probe(0, "10.0.0.1"), probe(1, "::1"), probe(2, "::1"), probe(0, "::1")],
    ));
    let received: Vec<Option<u32>> = results.iter().map(|r| r.as_ref().ok().map(|r| r.received)).collect();
    assert_eq!(received, [Some(1), None, Some(1), None, None]);
    assert!(wait_for(ping_many::<PingSocket>(&mut [], Vec::new())).is_empty());
    Ok(Completion::Completed)
}

fn wrong_options_are_errors() -> Outcome {
    let ns = Ns::new();
    let wrong = |opts: PingOpts, words: &str| refused(ns.ping("127.0.0.1", &opts), Kind::Invalid, 0, words);
    wrong(PingOpts { count: 0, ..PingOpts::default() }, "count 0");
    wrong(PingOpts { count: 70_000, ..PingOpts::default() }, "count 70000");
    wrong(PingOpts { size: 70_000, ..PingOpts::default() }, "size 70000");
    wrong(PingOpts { timeout: Duration::MAX, ..PingOpts::default() }, "at most a day");
    wrong(PingOpts { ttl: Some(0), ..PingOpts::default() }, "ttl 0");
    wrong(PingOpts { source: Some("::1".parse().unwrap()), ..PingOpts::default() }, "other family");
    wrong(PingOpts { device: Some("lo".into()), ifindex: Some(7), ..PingOpts::default() }, "has index 1");
    let size = PingOpts { size: 65_508, ..PingOpts::default() };
    refused(ns.ping("127.0.0.1", &size), Kind::Invalid, libc::EMSGSIZE, "65508 bytes");
    for device in ["nosuch", "", "a-name-much-too-long-for-one"] {
        let opts = PingOpts { device: Some(device.into()), ..PingOpts::default() };
        refused(ns.ping("127.0.0.1", &opts), Kind::NotFound, libc::ENODEV, "no device");
    }
    for (dst, source) in [("127.0.0.1", "10.9.9.9"), ("::1", "fd09::9")] {
        let opts = PingOpts { source: Some(source.parse().unwrap()), ..PingOpts::default() };
        refused(ns.ping(dst, &opts), Kind::NotFound, libc::EADDRNOTAVAIL, source);
    }
    Ok(Completion::Completed)
}

fn two_hops_and_ttl() -> Outcome {
    let (a, _r, _b) = line();
    for (dst, router) in [("10.0.2.1", "10.0.1.254"), ("fd00:2::1", "fd00:1::fe")] {
        let dst: IpAddr = dst.parse().unwrap();
        let mut socket = a.socket(dst.is_ipv6());
        let opts = || PingOpts { timeout: Duration::from_secs(5), ..PingOpts::default() };
        let with = |ttl| Probe { socket: 0, dst, opts: PingOpts { ttl, ..opts() } };
        // All over one socket at the same time: the TTL goes with each packet.
        let probes = vec![with(None), with(Some(1)), with(Some(2)), with(Some(255)), with(Some(1)), with(None)];
        let reports: Vec<Report> =
            wait_for(ping_many(&mut [&mut socket], probes)).into_iter().collect::<Result<_, _>>().unwrap();
        for (report, expired) in reports.iter().zip([false, true, false, false, true, false]) {
            let answer = &report.answers[0];
            assert_eq!(report.answers.len(), 1, "{report:?}");
            if expired {
                assert_eq!(
                    (report.received, answer.kind, answer.from),
                    (0, AnswerKind::TimeExceeded, router.parse().unwrap())
                );
                assert_eq!(answer.ttl, Some(64));
            } else {
                assert_eq!((report.received, answer.kind, answer.from), (1, AnswerKind::Reply, dst), "{report:?}");
                assert_eq!(answer.ttl, Some(63));
            }
        }
    }
    Ok(Completion::Completed)
}

fn too_big_each_time() -> Outcome {
    let (a, r, b) = line();
    r.ip("link set dev b mtu 1300");
    b.ip("link set eth0 mtu 1300");
    for (dst, headers) in [("10.0.2.1", 28), ("fd00:2::1", 48)] {
        for _ in 0..3 {
            let big = PingOpts { size: 1301 - headers, dont_fragment: true, ..PingOpts::default() };
            let report = a.ping(dst, &big).unwrap();
            assert_eq!(kinds(&report), [AnswerKind::TooBig { mtu: 1300 }], "{report:?}");
            assert_eq!(report.received, 0);
            let fits = PingOpts { size: 1300 - headers, dont_fragment: true, ..PingOpts::default() };
            assert_eq!(kinds(&a.ping(dst, &fits).unwrap()), [AnswerKind::Reply]);
        }
        let huge = PingOpts { size: 1501 - headers, dont_fragment: true, ..PingOpts::default() };
        refused(a.ping(dst, &huge), Kind::Invalid, libc::EMSGSIZE, "1501 with headers");
    }
    Ok(Completion::Completed)
}

fn fragments_without_dont_fragment() -> Outcome {
    let (a, r, b) = line();
    r.ip("link set dev b mtu 1300");
    b.ip("link set eth0 mtu 1300");
    for size in [1400, 5000] {
        let opts = PingOpts { size, ..PingOpts::default() };
        let report = a.ping("10.0.2.1", &opts).unwrap();
        assert_eq!((kinds(&report), report.answers[0].bytes), (vec![AnswerKind::Reply], size + 8));
    }
    // IPv6 learns the path's MTU from the first.
    let opts = PingOpts { size: 1400, ..PingOpts::default() };
    assert_eq!(kinds(&a.ping("fd00:2::1", &opts).unwrap()), [AnswerKind::TooBig { mtu: 1300 }]);
    assert_eq!(kinds(&a.ping("fd00:2::1", &opts).unwrap()), [AnswerKind::Reply]);
    // A socket that alternates sets the option anew for each packet that needs it.
    let mut socket = a.socket(false);
    let probe = |dont_fragment| Probe {
        socket: 0,
        dst: "10.0.2.1".parse().unwrap(),
        opts: PingOpts { size: 1400, dont_fragment, ..PingOpts::default() },
    };
    let results = wait_for(ping_many(&mut [&mut socket], vec![probe(true), probe(false), probe(true), probe(false)]));
    let received: Vec<u32> = results.iter().map(|r| r.as_ref().unwrap().received).collect();
    assert_eq!(received, [0, 1, 0, 1]);
    Ok(Completion::Completed)
}

fn routers_refuse() -> Outcome {
    let (a, r, _b) = line();
    let wait = PingOpts::default();
    let cases = [
        (
            "unreachable",
            vec![AnswerKind::Unreachable("host unreachable")],
            vec![AnswerKind::Unreachable("no route to destination")],
        ),
        (
            "prohibit",
            vec![AnswerKind::Unreachable("administratively prohibited")],
            vec![AnswerKind::Unreachable("administratively prohibited")],
        ),
        ("blackhole", vec![], vec![]),
    ];
    for (kind, v4, v6) in cases {
        r.ip(&format!("route add {kind} 10.7.0.0/16\n-6 route add {kind} fd07::/32"));
        for (dst, expected, router) in [("10.7.0.1", v4, "10.0.1.254"), ("fd07::1", v6, "fd00:1::fe")] {
            let report = a.ping(dst, &wait).unwrap();
            assert_eq!((kinds(&report), report.sent, report.received), (expected, 1, 0), "{kind}");
            assert!(report.answers.iter().all(|answer| answer.from.to_string() == router));
        }
        r.ip(&format!("route del {kind} 10.7.0.0/16\n-6 route del {kind} fd07::/32"));
    }
    // No route at all.
    assert_eq!(kinds(&a.ping("10.8.0.1", &wait).unwrap()), [AnswerKind::Unreachable("network unreachable")]);
    assert_eq!(kinds(&a.ping("fd08::1", &wait).unwrap()), [AnswerKind::Unreachable("no route to destination")]);
    Ok(Completion::Completed)
}

fn nobody_there() -> Outcome {
    let (a, _r, _b) = line();
    let begun = Instant::now();
    let opts = PingOpts {
        count: 2,
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(250),
        ..PingOpts::default()
    };
    for dst in ["10.0.1.99", "fd00:1::99"] {
        let report = a.ping(dst, &opts).unwrap();
        assert_eq!((report.sent, report.received, report.loss(), report.answers.len()), (2, 0, 1.0, 0), "{report:?}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(4));
    // When the kernel gives up on the neighbour, it tells its own host by ICMP.
    a.sysctl("ipv4/neigh/eth0/retrans_time_ms", "50");
    a.sysctl("ipv6/neigh/eth0/retrans_time_ms", "50");
    let patient = PingOpts { timeout: Duration::from_secs(8), ..PingOpts::default() };
    for (dst, own, kind) in
        [("10.0.1.98", "10.0.1.1", "host unreachable"), ("fd00:1::98", "fd00:1::1", "address unreachable")]
    {
        let report = a.ping(dst, &patient).unwrap();
        assert_eq!(kinds(&report), [AnswerKind::Unreachable(kind)]);
        assert_eq!(report.answers[0].from.to_string(), own);
    }
    Ok(Completion::Completed)
}

fn source_and_device_by_packet() -> Outcome {
    let (a, b) = (Ns::new(), Ns::new());
    join(&a, "eth0", &b, "eth0");
    join(&a, "eth1", &b, "eth1");
    a.ip("addr add 10.0.0.1/24 dev eth0\naddr add 10.0.0.7/24 dev eth0\naddr add fd00::1/64 dev eth0\naddr add fd00::7/64 dev eth0");
    b.ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0");
    // Only eth0 has the far address.
    b.sysctl("ipv4/conf/all/arp_ignore", "1");
    // The far side refuses one of the sources, so that only the other can get a reply.
    b.ip("rule add from 10.0.0.2 to 10.0.0.1 prohibit\n-6 rule add from fd00::2 to fd00::1 prohibit");
    for (dst, sources) in [("10.0.0.2", ["10.0.0.1", "10.0.0.7"]), ("fd00::2", ["fd00::1", "fd00::7"])] {
        let dst: IpAddr = dst.parse().unwrap();
        let mut socket = a.socket(dst.is_ipv6());
        let probe = |source: Option<&str>, device: Option<&str>| Probe {
            socket: 0,
            dst,
            opts: PingOpts {
                source: source.map(|s| s.parse().unwrap()),
                device: device.map(Into::into),
                ..PingOpts::default()
            },
        };
        let probes = vec![
            probe(Some(sources[0]), None),
            probe(Some(sources[1]), None),
            probe(Some(sources[1]), Some("eth0")),
            // Nobody has the address there.
            probe(Some(sources[1]), Some("eth1")),
            probe(Some(sources[1]), None),
        ];
        let results = wait_for(ping_many(&mut [&mut socket], probes));
        let received: Vec<u32> = results.iter().map(|r| r.as_ref().map_or(0, |r| r.received)).collect();
        assert_eq!(received, [0, 1, 1, 0, 1], "{results:?}");
        // IPv4 asks on the link for the address, IPv6 has no route through that device.
        assert!(if dst.is_ipv4() { results[3].is_ok() } else { results[3].is_err() });
    }
    Ok(Completion::Completed)
}

fn link_local_needs_a_device() -> Outcome {
    let (a, b) = (Ns::new(), Ns::new());
    join(&a, "eth0", &b, "eth0");
    join(&a, "eth1", &b, "eth1");
    a.ip("addr add fe80::a/64 dev eth1\naddr add fe80::a/64 dev eth0");
    b.ip("addr add fe80::b/64 dev eth1");
    refused(a.ping("fe80::b", &PingOpts::default()), Kind::Invalid, 0, "link-local");
    let by_name = PingOpts { device: Some("eth1".into()), ..PingOpts::default() };
    assert_eq!(a.ping("fe80::b", &by_name).unwrap().received, 1);
    let index = a.enter(|| nix::net::if_::if_nametoindex("eth1").unwrap());
    let by_index = PingOpts { ifindex: Some(index), source: Some("fe80::a".parse().unwrap()), ..PingOpts::default() };
    let report = a.ping("fe80::b", &by_index).unwrap();
    assert_eq!((report.received, report.answers[0].from.to_string().as_str()), (1, "fe80::b"));
    let other = PingOpts { device: Some("eth0".into()), timeout: Duration::from_millis(200), ..PingOpts::default() };
    assert_eq!(a.ping("fe80::b", &other).unwrap().received, 0);
    let wrong = PingOpts { source: Some("fe80::f".parse().unwrap()), ..by_name };
    refused(a.ping("fe80::b", &wrong), Kind::Unreachable, libc::EINVAL, "from the given source");
    Ok(Completion::Completed)
}

fn group_answers_are_duplicates() -> Outcome {
    let hub = Ns::new();
    hub.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up");
    let hosts: Vec<Ns> = (1..=3).map(|number| host(&hub, number)).collect();
    for host in &hosts {
        host.sysctl("ipv4/icmp_echo_ignore_broadcasts", "0");
    }
    let opts =
        PingOpts { count: 2, interval: Duration::from_millis(100), device: Some("eth0".into()), ..PingOpts::default() };
    for dst in ["10.1.255.255", "ff02::1"] {
        let report = hosts[0].ping(dst, &opts).unwrap();
        assert_eq!((report.sent, report.received, report.loss()), (2, 2, 0.0), "{report:?}");
        let first: Vec<_> = report.answers.iter().filter(|answer| answer.seq == 1).collect();
        assert!(first.len() >= 2 && !first[0].duplicate && first[1..].iter().all(|a| a.duplicate), "{report:?}");
        assert!(report.duplicates() >= first.len() - 1);
    }
    Ok(Completion::Completed)
}

/// A host with 10.1.0.`number`/16 and fd01::`number`/64 on the bridge of `hub`.
fn host(hub: &Ns, number: usize) -> Ns {
    let ns = Ns::new();
    join(hub, &format!("p{number}"), &ns, "eth0");
    hub.ip(&format!("link set p{number} master br0"));
    ns.ip(&format!("addr add 10.1.0.{number}/16 brd + dev eth0\naddr add fd01::{number:x}/64 dev eth0 nodad"));
    ns
}

/// In `ns`, whose kernel must not answer itself, calls `answer` with each ICMP echo request (from its type on) and its
/// sender, until it has had `count`.
fn responder<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    ns: &'scope Ns,
    count: usize,
    mut answer: impl FnMut(&dyn Fn(&[u8]), Vec<u8>) + Send + 'scope,
) {
    ns.sysctl("ipv4/icmp_echo_ignore_all", "1");
    let fd =
        ns.enter(|| socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)).unwrap();
    setsockopt(&fd, sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(5, 0)).unwrap();
    scope.spawn(move || {
        let mut buffer = vec![0; 4096];
        let mut seen = 0;
        while seen < count {
            let (length, from) = recvfrom::<SockaddrIn>(fd.as_raw_fd(), &mut buffer).expect("a request within 5 s");
            let message = buffer[20..length].to_vec();
            if message[0] == 8 {
                seen += 1;
                let send = |reply: &[u8]| {
                    sendto(fd.as_raw_fd(), reply, &from.unwrap(), MsgFlags::empty()).unwrap();
                };
                answer(&send, message);
            }
        }
    });
}

fn reply_to(mut request: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    request[0] = 0;
    change(&mut request);
    request[2..4].fill(0);
    let mut sum: u32 =
        request.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    request[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    request
}

fn forged_and_repeated_replies() -> Outcome {
    let (a, _r, b) = line();
    thread::scope(|scope| {
        responder(scope, &b, 2, |send, request| {
            // Another ping's payload; a sequence that was never sent; another's identifier; a broken checksum.
            send(&reply_to(request.clone(), |m| m[8] ^= 1));
            send(&reply_to(request.clone(), |m| m[7] += 100));
            send(&reply_to(request.clone(), |m| m[5] ^= 1));
            let mut broken = reply_to(request.clone(), |_| ());
            broken[30] ^= 1;
            send(&broken);
            send(&reply_to(request.clone(), |_| ()));
            send(&reply_to(request.clone(), |_| ()));
            send(&reply_to(request, |_| ()));
        });
        let opts = PingOpts { count: 2, interval: Duration::from_millis(500), ..PingOpts::default() };
        let report = a.ping("10.0.2.1", &opts).unwrap();
        assert_eq!((report.sent, report.received, report.loss()), (2, 2, 0.0));
        let first: Vec<bool> = report.answers.iter().filter(|a| a.seq == 1).map(|a| a.duplicate).collect();
        assert_eq!(first, [false, true, true], "{report:?}");
    });
    Ok(Completion::Completed)
}

fn late_replies_are_lost() -> Outcome {
    let (a, _r, b) = line();
    let mut held: Option<Vec<u8>> = None;
    thread::scope(|scope| {
        responder(scope, &b, 3, move |send, request| {
            // The first is answered once the third is there, the others at once.
            let seq = request[7];
            if seq == 1 {
                held = Some(request);
                return;
            }
            send(&reply_to(request, |_| ()));
            if seq == 3 {
                send(&reply_to(held.take().unwrap(), |_| ()));
            }
        });
        let opts = PingOpts {
            count: 3,
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(490),
            ..PingOpts::default()
        };
        let report = a.ping("10.0.2.1", &opts).unwrap();
        assert_eq!(report.answers.iter().map(|a| a.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((report.sent, report.received), (3, 2));
    });
    Ok(Completion::Completed)
}

fn a_later_refusal_is_a_loss() -> Outcome {
    let (a, _r, b) = line();
    thread::scope(|scope| {
        let a = &a;
        responder(scope, &b, 1, move |send, request| {
            a.ip("route add prohibit 10.0.2.1");
            send(&reply_to(request, |_| ()));
        });
        let opts = PingOpts { count: 3, interval: Duration::from_millis(500), ..PingOpts::default() };
        let report = a.ping("10.0.2.1", &opts).unwrap();
        assert_eq!((report.sent, report.received), (3, 1));
        assert_eq!(report.send_error.map(|e| (e.kind, e.errno)), Some((Kind::Unreachable, libc::EACCES)));
    });
    Ok(Completion::Completed)
}

fn a_firewall_drops() -> Outcome {
    let ns = Ns::new();
    let rules = "add table inet t; add chain inet t o { type filter hook output priority 0; }; add rule inet t o meta l4proto { icmp, ipv6-icmp } drop";
    for rule in rules.split("; add").map(|rule| format!("add {}", rule.trim_start_matches("add "))) {
        if let Err(e) = ns.run("nft", &rule) {
            return Ok(Completion::ignored_with(e));
        }
    }
    for dst in ["127.0.0.1", "::1"] {
        refused(ns.ping(dst, &PingOpts::default()), Kind::Permission, libc::EPERM, "firewall");
    }
    Ok(Completion::Completed)
}

fn thousands_at_once() -> Outcome {
    let ns = Ns::new();
    for v6 in [false, true] {
        let mut socket = ns.socket(v6);
        // As little room as a user namespace may have: the replies must be read while requests go out.
        setsockopt(&socket, sockopt::RcvBuf, &100_000).unwrap();
        let dst = |i: u32| match v6 {
            false => IpAddr::V4(Ipv4Addr::from(0x7f00_0001 + i)),
            true => "::1".parse().unwrap(),
        };
        let probes: Vec<Probe> = (0..5000)
            .map(|i| Probe { socket: 0, dst: dst(i), opts: PingOpts { count: 2, ..PingOpts::default() } })
            .collect();
        let begun = Instant::now();
        let results = wait_for(ping_many(&mut [&mut socket], probes));
        let took = begun.elapsed();
        assert_eq!(results.len(), 5000);
        for (i, result) in (0..).zip(&results) {
            let report = result.as_ref().unwrap();
            assert_eq!(
                (report.dst, report.sent, report.received, report.answers.len()),
                (dst(i), 2, 2, 2),
                "{report:?}"
            );
            assert_eq!(report.answers[0].from, dst(i));
        }
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    Ok(Completion::Completed)
}

fn all_pairs_over_many_sockets() -> Outcome {
    // A router with a subnet for each host: the hosts of one subnet would need a neighbour entry a pair, of which the
    // machine's limit (gc_thresh3) allows 1,024.
    let router = Ns::new();
    router.sysctl("ipv4/ip_forward", "1");
    router.sysctl("ipv6/conf/all/forwarding", "1");
    let count: usize = std::env::var("PING_ROOM_HOSTS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let hosts: Vec<Ns> = (0..count)
        .map(|number| {
            let ns = Ns::new();
            join(&router, &format!("p{number}"), &ns, "eth0");
            router.ip(&format!(
                "addr add 10.2.{number}.254/24 dev p{number}\naddr add fd02:{number}::fe/64 dev p{number} nodad"
            ));
            ns.ip(&format!(
                "addr add 10.2.{number}.1/24 dev eth0
                 addr add fd02:{number}::1/64 dev eth0 nodad
                 route add default via 10.2.{number}.254
                 route add default via fd02:{number}::fe"
            ));
            ns
        })
        .collect();
    for v6 in [false, true] {
        let mut sockets: Vec<PingSocket> = hosts.iter().map(|host| host.socket(v6)).collect();
        let mut probes = Vec::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let dst = if v6 { format!("fd02:{to}::1") } else { format!("10.2.{to}.1") };
                probes.push(Probe { socket: from, dst: dst.parse().unwrap(), opts: PingOpts::default() });
            }
        }
        let begun = Instant::now();
        let results = wait_for(ping_many(&mut sockets, probes));
        let took = begun.elapsed();
        let lost: Vec<_> = results.iter().filter(|r| r.as_ref().map_or(true, |r| r.received != 1)).collect();
        assert!(lost.is_empty(), "{} of {} lost in {took:?}, such as {:?}", lost.len(), results.len(), lost[0]);
        if std::env::var_os("PING_ROOM_HOSTS").is_some() {
            eprintln!("{} pairs, v6 {v6}: {took:?}", results.len());
        }
    }
    Ok(Completion::Completed)
}

fn a_small_send_buffer_only_delays() -> Outcome {
    let (a, _r, _b) = line();
    a.sysctl("ipv4/neigh/eth0/retrans_time_ms", "50");
    let mut socket = a.socket(false);
    // Packets for neighbours that are not there stay in the buffer until the kernel gives up: it holds only a few.
    setsockopt(&socket, sockopt::SndBuf, &4608).unwrap();
    let opts = PingOpts { timeout: Duration::from_millis(20), ..PingOpts::default() };
    let mut probes: Vec<Probe> = (100..160)
        .map(|i| Probe { socket: 0, dst: IpAddr::V4(Ipv4Addr::new(10, 0, 1, i)), opts: opts.clone() })
        .collect();
    probes.push(Probe { socket: 0, dst: "10.0.1.254".parse().unwrap(), opts: PingOpts::default() });
    let begun = Instant::now();
    let results = wait_for(ping_many(&mut [&mut socket], probes));
    assert!(begun.elapsed() > Duration::from_millis(150), "the buffer was never full");
    assert!(results.iter().take(60).all(|r| r.as_ref().is_ok_and(|r| (r.sent, r.received) == (1, 0))), "{results:?}");
    assert_eq!(results[60].as_ref().unwrap().received, 1);
    Ok(Completion::Completed)
}

fn dropped_in_flight() -> Outcome {
    let (a, _r, b) = line();
    thread::scope(|scope| {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let mut held = None;
        responder(scope, &b, 2, move |send, request| match tell.take() {
            Some(tell) => {
                held = Some(request);
                tell.send(()).unwrap();
            }
            None => {
                send(&reply_to(held.take().unwrap(), |_| ()));
                send(&reply_to(request, |_| ()));
            }
        });
        let mut socket = a.socket(false);
        let dst: IpAddr = "10.0.2.1".parse().unwrap();
        let long = PingOpts { timeout: Duration::from_secs(60), ..PingOpts::default() };
        wait_for(async {
            tokio::select! {
                _ = ping(&mut socket, dst, long.clone()) => panic!("nobody has answered yet"),
                told = told => told.unwrap(),
            }
            // The answer to the one that was dropped comes now, and is none of ours.
            let report = ping(&mut socket, dst, long).await.unwrap();
            assert_eq!((report.received, report.answers.len()), (1, 1));
        });
    });
    Ok(Completion::Completed)
}

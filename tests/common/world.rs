//! A machine in small: user, network, mount and pid namespaces in which a test is root, with a `/run` of its own. The
//! test program starts itself again in there ([`enter`]); what it finds before and after is compared ([`Dump`]).

use super::poll;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The argument by which the program knows that it is inside.
pub const INSIDE: &str = "__inside";
/// The case that does nothing: whether one can get inside at all.
pub const NOTHING: &str = "__nothing";

/// Two namespaces and the host's, with something of everything. `w1:v1` and `w2:v2` are a pair, as are `w1:p1` and
/// `w2:e1`, and `w1:p2` and `w1:q2`; `w1:br0` has the ports p1 and p2.
pub const WORLD: &str = r#"
ip netns add w1
ip netns add w2
for ns in w1 w2; do ip netns exec $ns sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; done
ip -n w1 -batch - <<E
link set lo up
link add v1 index 100 mtu 1450 address 02:00:00:00:01:01 type veth peer name v2 netns w2 index 200 address 02:00:00:00:01:02
link add p1 address 02:00:00:00:02:01 type veth peer name e1 netns w2 address 02:00:00:00:02:02
link add p2 address 02:00:00:00:03:01 type veth peer name q2 address 02:00:00:00:03:02
link add br0 address 02:00:00:00:04:01 type bridge ageing_time 12345 forward_delay 400 mcast_snooping 0
link set p1 master br0
link set p2 master br0
link set p1 type bridge_slave cost 77 priority 5 isolated on learning off
link set v1 alias "an alias" txqueuelen 555 group 9
link property add dev v1 altname v1-with-a-longer-name altname other-name
E
ip netns exec w1 sh -c 'echo 1 > /proc/sys/net/ipv4/conf/v1/arp_filter; echo 3 > /proc/sys/net/ipv6/conf/v1/dad_transmits; echo 123 > /proc/sys/net/ipv4/neigh/v1/gc_stale_time; echo 1390 > /proc/sys/net/ipv6/conf/v1/mtu; echo 1 > /proc/sys/net/ipv4/conf/q2/forwarding; echo 77 > /proc/sys/net/ipv6/conf/br0/hop_limit; echo 4321 > /proc/sys/net/ipv6/neigh/br0/gc_stale_time'
ip -n w1 -batch - <<E
link set v1 up
link set p1 up
link set p2 up
link set q2 up
link set br0 up
E
ip -n w2 -batch - <<E
link set v2 up
link set e1 up
E
ip -n w1 -batch - <<E
addr add 10.0.0.1/24 broadcast + dev v1
addr add 10.0.0.2/24 dev v1
addr add 10.0.0.3/24 dev v1 label v1:three
addr add 10.0.1.1/24 dev v1 scope link
addr add 10.0.2.1 peer 10.0.2.2 dev v1
addr add 10.0.3.1/24 dev v1 valid_lft 6480 preferred_lft 3480
addr add fd00::1/64 dev v1 nodad
addr add fd00::2/64 dev v1 nodad valid_lft 6480 preferred_lft 3480
addr add 10.4.0.1/24 dev br0
addr add fd04::1/64 dev br0 nodad
addr add 10.5.0.1/24 dev q2
E
ip -n w2 -batch - <<E
addr add 10.0.0.9/24 dev v2
addr add fd00::9/64 dev v2 nodad
addr add 10.4.0.9/24 dev e1
E
ip -n w1 -batch - <<E
route add default via 10.0.0.9
route add 10.10.0.0/16 via 10.0.0.9 src 10.0.0.2 metric 50 mtu 1300
route add 10.11.0.0/16 nexthop via 10.0.0.9 weight 3 nexthop via 10.4.0.9
route add blackhole 10.12.0.0/16
route add 10.13.0.0/16 dev v1 table 100 proto static
route add unreachable 10.14.0.0/16 table 100 metric 7
route append 10.10.0.0/16 via 10.0.0.8 metric 50
route add default via fd00::9
route add fd10::/64 via fd00::9 metric 33
route add blackhole fd12::/64
route add fd13::/64 dev v1 table 100
neigh add 10.0.0.50 lladdr 02:00:00:00:05:01 dev v1 nud permanent
neigh add fd00::50 lladdr 02:00:00:00:05:02 dev v1 nud permanent
neigh add proxy 10.0.0.60 dev v1
neigh add proxy fd00::60 dev v1
rule add from 10.0.0.2 table 100 priority 500
rule add from 10.0.0.3 fwmark 0x1/0xff iif v1 table 100 priority 600
rule add to 10.9.0.0/16 ipproto tcp dport 80-90 priority 600 prohibit
rule add from 10.0.0.3 table 101 priority 600 suppress_prefixlength 0
nexthop add id 11 via 10.0.0.9 dev v1
nexthop add id 12 via 10.5.0.9 dev q2 proto static
nexthop add id 13 via fd00::9 dev v1
nexthop add id 14 blackhole
nexthop add id 20 group 11/12,3
route add 10.17.0.0/16 nhid 20
route add 10.18.0.0/16 nhid 11 metric 5
route add fd17::/64 nhid 13
E
ip -n w1 -6 rule add from fd00::2 table 100 priority 500
ip -n w2 -batch - <<E
route add 10.5.0.0/16 via 10.0.0.1
E
tc -n w1 -batch - <<E
qdisc add dev v1 root handle 1: htb default 0x30 r2q 20
class add dev v1 parent 1: classid 1:1 htb rate 500mbit ceil 900mbit burst 20kb
class add dev v1 parent 1:1 classid 1:10 htb rate 100mbit prio 2
class add dev v1 parent 1:1 classid 1:30 htb rate 50mbit ceil 900mbit quantum 5000 cburst 30kb
qdisc add dev v1 parent 1:10 handle 10: tbf rate 80mbit burst 100kb latency 30ms
qdisc add dev v1 parent 1:30 pfifo limit 77
filter add dev v1 parent 1: protocol ip prio 5 u32 match ip dst 10.0.0.99 flowid 1:10
filter add dev v1 parent 1: protocol ip prio 5 u32 match ip dst 10.0.0.98 flowid 1:30
filter add dev v1 parent 1: protocol ip prio 6 u32 match ip dst 10.0.0.97 flowid 1:30
filter add dev v1 parent 1: protocol ip prio 7 u32 match ip dport 80 0xffff flowid 1:30
filter del dev v1 parent 1: protocol ip prio 6
qdisc add dev q2 clsact
filter add dev q2 ingress protocol ip prio 3 u32 match ip src 10.77.0.0/16
filter add dev q2 egress protocol ip prio 4 u32 match ip src 10.77.0.0/16 action mirred egress mirror dev p1
filter add dev q2 egress protocol all prio 9 handle 7: u32 divisor 16
filter add dev q2 egress protocol all prio 9 u32 ht 7:3: match ip src 10.78.0.0/16
filter add dev q2 egress protocol all prio 9 u32 match ip protocol 6 0xff link 7: hashkey mask 0x0f00 at 12
qdisc add dev p1 root bfifo limit 300kb
E
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link add h0 address 02:00:00:00:06:01 type veth peer name h1 address 02:00:00:00:06:02
ip link set h0 up
ip link set h1 up
tc qdisc add dev h0 root tbf rate 200mbit burst 200kb limit 500kb
ip addr add 10.6.0.1/24 dev h0
ip route add 10.16.0.0/16 via 10.6.0.9
if [ -n "$NFT" ]; then ip netns exec w1 nft -f - <<N
table inet stranger {
    set blocked {
        type ipv4_addr
        elements = { 10.66.0.1, 10.66.0.2 }
    }
    map ports {
        type inet_service : ipv4_addr
        elements = { 80 : 10.0.0.9 }
    }
    counter hits {
        packets 5 bytes 10
    }
    chain more {
        counter name hits accept
    }
    chain input {
        type filter hook input priority 0; policy accept;
        ip saddr @blocked counter packets 3 bytes 4 drop
        iifname "v1" udp dport 9 jump more
    }
}
table ip nat {
    chain post {
        type nat hook postrouting priority 100; policy accept;
        oifname "v1" ip saddr 10.4.0.0/24 masquerade
    }
}
N
fi
mkdir -p /run/files
printf 'old content' > /run/files/file
chmod 640 /run/files/file
"#;

/// Starts this program again in namespaces of its own, as root of them, with these words as its arguments. `unshare` is
/// waited for; what it started ends with it.
pub fn enter(words: &[&str], mark: &str, bound: Duration) -> Result<super::Ended, String> {
    let own = std::env::current_exe().map_err(|e| format!("the test program: {e}"))?;
    let mut command = Command::new("unshare");
    command
        .args([
            "-U",
            "-r",
            "-n",
            "-m",
            "-p",
            "-i",
            "-u",
            "--mount-proc",
            "--propagation",
            "slave",
            "--kill-child",
            "--",
        ])
        .arg(own)
        .arg(INSIDE)
        .args(words)
        .env(super::MARK, mark)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NSSCRIPT_PATH")
        .current_dir(super::root());
    super::run(&mut command, bound)
}

/// Why such namespaces can't be made here, if so.
pub fn impossible() -> Option<String> {
    static FOUND: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    FOUND
        .get_or_init(|| {
            for program in ["unshare", "ip"] {
                if !super::has_program(program) {
                    return Some(format!("there is no program `{program}` here"));
                }
            }
            match enter(&[NOTHING], "none", super::LONG) {
                Ok(ended) if ended.code() == 0 => None,
                Ok(ended) => Some(format!("no namespaces: {}", ended.stderr.trim())),
                Err(error) => Some(error),
            }
        })
        .clone()
}

/// What has to be done inside first: a `/run` of its own.
pub fn furnish() -> Result<(), String> {
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("tmpfs"), "/run", Some("tmpfs"), flags, Some("mode=755"))
        .map_err(|e| format!("mount a tmpfs on /run: {e}"))
}

/// Runs lines of shell, and stops at the first that fails.
///
/// # Errors
/// With what it said.
pub fn shell(lines: &str) -> Result<String, String> {
    let mut command = Command::new("sh");
    let nft = if super::has_program("nft") { "yes" } else { "" };
    command.args(["-euc", lines]).env("NSSCRIPT", super::NSSCRIPT).env("NFT", nft);
    let ended = super::run(&mut command, super::LONG)?;
    match ended.code() {
        0 => Ok(ended.stdout),
        code => Err(format!("status {code} of:\n{lines}\nstdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr)),
    }
}

/// Runs nsscript inside, with a fault (empty: none).
///
/// # Errors
/// It did not end within a minute.
pub fn nsscript(words: &[&str], fault: &str) -> Result<super::Ended, String> {
    let mut command = Command::new(super::NSSCRIPT);
    command.args(["--color", "never"]).args(words).env("LC_ALL", "C.UTF-8");
    if fault.is_empty() {
        command.env_remove("NSSCRIPT_FAULT");
    } else {
        command.env("NSSCRIPT_FAULT", fault);
    }
    super::run(&mut command, Duration::from_secs(60))
}

/// Everything that can be seen: a heading (`ns w1: addr`) and its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump(pub BTreeMap<String, Vec<String>>);

impl Dump {
    /// Takes it, once two in a row are alike: after duplicate address detection, and after what the kernel does behind.
    pub fn settled() -> Result<Dump, String> {
        let mut last = Dump::take()?;
        let mut error = None;
        poll(Duration::from_secs(10), || match Dump::take() {
            Ok(now) => {
                let same = now == last && !now.tentative();
                last = now;
                same
            }
            Err(e) => {
                error = Some(e);
                true
            }
        });
        error.map_or(Ok(last), Err)
    }

    /// Takes it until it equals `self` or the time is over; gives the differences.
    pub fn compare(&self, bound: Duration) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut error = None;
        poll(bound, || match Dump::take() {
            Ok(now) => {
                found = self.differences(&now);
                found.is_empty()
            }
            Err(e) => {
                error = Some(e);
                true
            }
        });
        error.map_or(Ok(found), Err)
    }

    /// Whether the kernel is still at it: duplicate address detection, and links whose state has not followed their
    /// carrier (linkwatch looks once a second).
    fn tentative(&self) -> bool {
        let behind = |line: &String| line.contains("\"NO-CARRIER\"") && line.contains("\"LOWER_UP\"");
        if self.0.iter().any(|(heading, lines)| heading.ends_with(": link") && lines.iter().any(behind)) {
            return true;
        }
        self.0.iter().any(|(heading, lines)| {
            heading.ends_with(": addr")
                && lines.iter().any(|l| l.contains("\"tentative\":true") && !l.contains("NO-CARRIER"))
        })
    }

    pub fn differences(&self, now: &Dump) -> Vec<String> {
        let none = Vec::new();
        let mut found = Vec::new();
        let headings: std::collections::BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        for heading in headings {
            let (before, after) = (self.0.get(heading).unwrap_or(&none), now.0.get(heading).unwrap_or(&none));
            if before == after {
                continue;
            }
            // nsids once given stay: those of before have to be there.
            if heading.ends_with(": nsid") && before.iter().all(|line| after.contains(line)) {
                continue;
            }
            for line in super::diff(before, after).lines().filter(|l| !l.starts_with("  ")) {
                // A router's subnet anycast address is counted up whenever an address is announced anew, which a link's change
                // may cause, and down only once (addrconf_join_anycast, net/ipv6/addrconf.c): it can outlive the router.
                if line.starts_with("+ ") && line.contains("\"type\":\"anycast\"") {
                    continue;
                }
                // The device below a macvlan of mode passthru keeps the count of its listeners to all groups, when that goes while it
                // is up (macvlan_stop, drivers/net/macvlan.c).
                if heading.ends_with(": link") && line.contains(" allmulti = ") {
                    continue;
                }
                found.push(format!("{heading}: {line}"));
            }
        }
        found
    }

    fn take() -> Result<Dump, String> {
        let mut dump = Dump::default();
        let mut spaces = vec![(String::new(), "/proc/self/ns/net".to_string())];
        let mut inodes = BTreeMap::new();
        if let Ok(own) = std::fs::metadata("/proc/self/ns/net") {
            inodes.insert(own.ino(), "host".to_string());
        }
        let mut names: Vec<String> = std::fs::read_dir("/run/netns")
            .map(|all| all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        for name in names {
            let path = format!("/run/netns/{name}");
            if let Ok(meta) = std::fs::metadata(&path) {
                inodes.insert(meta.ino(), name.clone());
            }
            spaces.push((name, path));
        }
        for (name, path) in spaces {
            let label = if name.is_empty() { "host".to_string() } else { format!("ns {name}") };
            let file = File::open(&path).map_err(|e| format!("{path}: {e}"))?;
            let found = std::thread::spawn(move || -> Result<Vec<(String, Vec<String>)>, String> {
                // A thread of its own, because a namespace is a thread's.
                nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(|e| format!("enter {path}: {e}"))?;
                space()
            })
            .join()
            .map_err(|_| "a dump panicked".to_string())??;
            for (what, lines) in found {
                dump.0.insert(format!("{label}: {what}"), lines);
            }
        }
        dump.0.insert("mounts".into(), mounts());
        dump.0.insert("processes".into(), processes(&inodes));
        dump.0.insert("files".into(), run_files());
        Ok(dump)
    }
}

/// The tables of the namespace that the thread is in.
fn space() -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found = vec![("cookie".to_string(), vec![cookie()?])];
    let four = json(
        &["-d"],
        "link show\naddr show\nroute show table all\nneigh show nud permanent\nneigh show proxy\nrule show\nnexthop show\nnetns list-id\n",
    )?;
    let six = json(&["-6"], "route show table all\nrule show\n")?;
    let (Ok([mut links, mut addrs, routes, neighs, proxies, rules, nexthops, ids]), Ok([routes6, rules6])) =
        (<[Vec<Value>; 8]>::try_from(four), <[Vec<Value>; 2]>::try_from(six))
    else {
        return Err("ip did not answer every question".into());
    };
    links.sort_by_key(|l| l["ifindex"].as_u64());
    let mut flat = Vec::new();
    for mut link in links {
        plain(&mut link);
        let name = format!("{} {}", link["ifindex"], link["ifname"].as_str().unwrap_or_default());
        flatten(&name, &link, &mut flat);
    }
    found.push(("link".into(), flat));
    addrs.sort_by_key(|l| l["ifindex"].as_u64());
    let mut given = Vec::new();
    for link in addrs {
        let carrier = !link["flags"].as_array().is_some_and(|f| f.iter().any(|w| w == "NO-CARRIER"));
        for addr in link["addr_info"].as_array().into_iter().flatten() {
            let mut addr = addr.clone();
            if let Some(map) = addr.as_object_mut() {
                map.insert("on".into(), link["ifname"].clone());
                if !carrier && map.contains_key("tentative") {
                    map.insert("tentative".into(), Value::from("NO-CARRIER"));
                }
            }
            given.push(addr);
        }
    }
    found.push(("addr".into(), lines(given)));
    // Without a family `ip` shows both; what has a preference (RFC 4191) is IPv6.
    found.push(("route".into(), lines(routes.into_iter().filter(|r| r.get("pref").is_none()).collect())));
    // Equal routes of IPv6 have no order that an undo could bring back; neighbours have none at all.
    for (what, all) in [("route6", routes6), ("neigh", neighs), ("proxy", proxies)] {
        let mut all = lines(all);
        all.sort();
        found.push((what.into(), all));
    }
    found.push(("rule".into(), lines(rules)));
    found.push(("rule6".into(), lines(rules6)));
    found.push(("nexthop".into(), lines(nexthops)));
    found.push(("tc".into(), queues()?));
    found.push(("bridge".into(), bridge_tables()?));
    let mut ids = ids.iter().map(|id| format!("{} {}", id["nsid"], id["name"])).collect::<Vec<_>>();
    ids.sort();
    found.push(("nsid".into(), ids));
    if super::has_program("nft") {
        found.push(("nft".into(), ruleset()?));
    }
    let mut sysctls = Vec::new();
    read_tree(Path::new("/proc/sys/net"), &mut sysctls);
    sysctls.sort();
    found.push(("sysctl".into(), sysctls));
    Ok(found)
}

/// The ruleset as nft tells it, without handles.
fn ruleset() -> Result<Vec<String>, String> {
    let output = Command::new("nft").args(["-j", "list", "ruleset"]).output().map_err(|e| format!("nft: {e}"))?;
    let all: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("nft: {e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let mut out = Vec::new();
    for object in all["nftables"].as_array().into_iter().flatten().filter(|o| o.get("metainfo").is_none()) {
        let mut object = object.clone();
        for value in object.as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
            if let Some(map) = value.as_object_mut() {
                map.remove("handle");
            }
        }
        out.push(object.to_string());
    }
    Ok(out)
}

/// The tables of bridges and vxlans without what was learned: VLANs, forwarding entries, multicast groups.
fn bridge_tables() -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    for (words, kept) in [
        (&["-j", "vlan", "show"], &[] as &[&str]),
        (&["fdb", "show", ""], &["permanent", "static", "extern_learn"]),
        (&["-d", "mdb", "show"], &["permanent"]),
    ] {
        let words: Vec<&str> = words.iter().copied().filter(|w| !w.is_empty()).collect();
        let output = Command::new("bridge").args(&words).output().map_err(|e| format!("bridge: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<String> = if kept.is_empty() {
            let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
            all.iter()
                .flat_map(|port| {
                    let dev = port["ifname"].as_str().unwrap_or_default().to_string();
                    port["vlans"].as_array().cloned().unwrap_or_default().into_iter().map(move |v| format!("{dev} {v}"))
                })
                .collect()
        } else {
            text.lines().filter(|l| kept.iter().any(|word| l.contains(word))).map(str::to_string).collect()
        };
        // What a device filters (`self` without another end) is of its addresses, which come and go by themselves.
        let filtered = |l: &String| l.contains(" self ") && !l.contains(" dst ") && !l.starts_with("02:");
        out.extend(
            lines.into_iter().filter(|l| !filtered(l)).map(|l| format!("{}: {}", words[words.len() - 2], l.trim_end())),
        );
    }
    // In the order of a hash that differs from one bridge to the next.
    out.sort();
    Ok(out)
}

/// Qdiscs that somebody made, and the classes and filters of their devices.
fn queues() -> Result<Vec<String>, String> {
    // Those that the kernel put there by itself have the handle 0.
    let tc = |words: &str| -> Result<Vec<String>, String> {
        let output = Command::new("tc").args(words.split(' ')).output().map_err(|e| format!("tc: {e}"))?;
        if !output.status.success() {
            return Err(format!("tc {words}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let plain = |line: &str| {
            // Counters of htb, how many use an action or a qdisc, and an action's number.
            let mut words = line.split_whitespace();
            let mut out = String::new();
            while let Some(word) = words.next() {
                if ["direct_packets_stat", "refcnt", "ref", "bind", "index"].contains(&word) {
                    words.next();
                } else {
                    out = out + " " + word;
                }
            }
            out.trim_start().to_string()
        };
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(plain).filter(|l| !l.is_empty()).collect())
    };
    let mut found: Vec<String> = tc("-d qdisc show")?.into_iter().filter(|l| !l.contains(" 0: ")).collect();
    let mut devices: Vec<String> =
        found.iter().filter_map(|l| l.split(' ').skip_while(|w| *w != "dev").nth(1)).map(str::to_string).collect();
    devices.sort();
    devices.dedup();
    found.sort();
    for dev in devices {
        let mut classes = tc(&format!("-d class show dev {dev}"))?;
        classes.sort();
        found.extend(classes);
        for hook in ["root", "ingress", "egress"] {
            // Of a hook that is not there it shows nothing.
            let lines = tc(&format!("-d filter show dev {dev} {hook}")).unwrap_or_default();
            found.extend(lines.into_iter().map(|l| format!("{dev} {hook}: {l}")));
        }
    }
    Ok(found)
}

/// `SO_NETNS_COOKIE`: what tells a namespace from every other that is or was.
fn cookie() -> Result<String, String> {
    use std::os::fd::AsRawFd as _;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(|e| format!("a socket: {e}"))?;
    let mut value = 0u64;
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: the pointers are to locals of the sizes that the option has (socket(7)), and the socket is open.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, 71, (&raw mut value).cast(), &raw mut len) };
    if done == 0 { Ok(value.to_string()) } else { Err("no SO_NETNS_COOKIE".into()) }
}

/// Asks `ip` several questions at once, a line each, and gives the answer to each.
fn json(options: &[&str], questions: &str) -> Result<Vec<Vec<Value>>, String> {
    use std::io::{Seek as _, Write as _};
    let mut input = tempfile::tempfile().map_err(|e| e.to_string())?;
    input.write_all(questions.as_bytes()).and_then(|()| input.rewind()).map_err(|e| e.to_string())?;
    let output = Command::new("ip")
        .arg("-j")
        .args(options)
        .args(["-batch", "-"])
        .stdin(input)
        .output()
        .map_err(|e| format!("ip: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("ip {options:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::Deserializer::from_str(&text)
        .into_iter::<Vec<Value>>()
        .collect::<Result<_, _>>()
        .map_err(|e| format!("ip {options:?}: {e}\n{text}"))
}

fn lines(all: Vec<Value>) -> Vec<String> {
    all.into_iter()
        .filter(|v| v.as_object().is_none_or(|m| !m.is_empty()))
        .map(|mut value| {
            plain(&mut value);
            value.to_string()
        })
        .collect()
}

/// One line for each value in it.
fn flatten(name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| flatten(&format!("{name} {key}"), inner, found)),
        plain => found.push(format!("{name} = {plain}")),
    }
}

/// When this process first looked.
static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();

/// Takes out what no undo brings back: counters, ages, timers; nsids, which the kernel gives by itself.
fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                !key.ends_with("_timer")
                    && ![
                        "link_netnsid",
                        "stats",
                        "stats64",
                        "used",
                        "confirmed",
                        "updated",
                        "probes",
                        "refcnt",
                        "fdb_n_learned",
                        "active_slave",
                        "link_failure_count",
                    ]
                    .contains(&key.as_str())
            });
            // Which port of a bond is in use is the bond's to choose.
            if map.contains_key("perm_hwaddr") {
                map.remove("state");
            }
            // A link that was up once has a queue, if only an empty one, for good (attach_default_qdiscs).
            if map.get("qdisc").is_some_and(|q| q == "noop") {
                map.insert("qdisc".into(), Value::from("noqueue"));
            }
            // A lifetime passes; that it has one, and about how long, stays.
            for key in ["valid_life_time", "preferred_life_time", "expires"] {
                if let Some(left) = map.get_mut(key) {
                    let seconds = left.as_u64().unwrap_or_default();
                    *left = Value::from(if seconds > 4_000_000_000 {
                        "forever".to_string()
                    } else {
                        // Counted from the first dump on: a case of many cuts takes minutes itself, and each undo sets it anew, to a
                        // second or two. Those of the world, 6480 and 3480, are in the middle of what counts as equal.
                        let since = FIRST.get_or_init(std::time::Instant::now).elapsed().as_secs();
                        format!("about {} min", (seconds + since + 420) / 600 * 10)
                    });
                }
            }
            for (_, inner) in map.iter_mut() {
                plain(inner);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(plain),
        _ => {}
    }
}

fn read_tree(dir: &Path, found: &mut Vec<String>) {
    let Ok(all) = std::fs::read_dir(dir) else { return };
    for entry in all.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => read_tree(&path, found),
            Ok(kind) if kind.is_file() => {
                // Write-only ones, and stable_secret before it is set, can't be read.
                if let Ok(text) = std::fs::read_to_string(&path)
                    && !path.ends_with("nf_conntrack_count")
                {
                    found.push(format!("{} = {}", path.display(), text.trim_end()));
                }
            }
            _ => {}
        }
    }
}

/// Mounts without their numbers. `/run/netns` becomes a mount of itself with the first namespace, for good. What is below
/// the machine's own `/run` is hidden under ours, and comes and goes with what else runs there.
fn mounts() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let field = |line: &str, at: usize| line.split(' ').nth(at).unwrap_or_default().to_string();
    let ours = text.lines().rfind(|line| field(line, 4) == "/run").map(|line| field(line, 0));
    let parents: BTreeMap<String, String> = text.lines().map(|line| (field(line, 0), field(line, 1))).collect();
    let below_ours = |line: &str| {
        let mut at = Some(field(line, 0));
        while at.is_some() && at != ours {
            at = at.and_then(|id| parents.get(&id).cloned());
        }
        at.is_some()
    };
    let mut all: Vec<String> = text
        .lines()
        .filter(|line| !field(line, 4).starts_with("/run/") || below_ours(line))
        .filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let plain: Vec<&str> = words
                .iter()
                .skip(3)
                .copied()
                .filter(|w| !w.starts_with("shared:") && !w.starts_with("master:") && !w.starts_with("propagate_from:"))
                .collect();
            (plain.get(1) != Some(&"/run/netns")).then(|| plain.join(" "))
        })
        .collect();
    all.sort();
    all
}

/// Processes by command line and network namespace, without ourselves.
fn processes(inodes: &BTreeMap<u64, String>) -> Vec<String> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in all.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        // What has ended and waits for its parent, which here may be the test itself as pid 1, runs no more.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z')) {
            continue;
        }
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let ns = std::fs::metadata(entry.path().join("ns/net")).map(|m| m.ino()).unwrap_or_default();
        let ns = inodes.get(&ns).map_or("another namespace", String::as_str);
        found.push(format!("{pid} in {ns}: {}", String::from_utf8_lossy(&words).replace('\0', " ")));
    }
    found.sort();
    found
}

/// Files below /run: kind, mode, content. The folder `/run/netns` stays once it is there.
fn run_files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/run")];
    while let Some(folder) = folders.pop() {
        let Ok(all) = std::fs::read_dir(&folder) else { continue };
        for entry in all.flatten() {
            let path = entry.path();
            let Ok(meta) = entry.metadata() else { continue };
            if path == Path::new("/run/netns") {
                folders.push(path);
                continue;
            }
            let mode = meta.permissions().mode();
            if meta.is_dir() {
                found.push(format!("{}/ {mode:o}", path.display()));
                folders.push(path);
            } else if meta.is_file() && !path.starts_with("/run/netns") {
                let bytes = std::fs::read(&path).unwrap_or_default();
                found.push(format!("{} {mode:o} {:?}", path.display(), String::from_utf8_lossy(&bytes)));
            } else {
                let kind = if meta.file_type().is_socket() { "socket" } else { "special" };
                found.push(format!("{} {mode:o} {kind}", path.display()));
            }
        }
    }
    found.sort();
    found
}

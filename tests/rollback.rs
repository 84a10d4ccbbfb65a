//! Undo that is true: a world is made by `ip`, dumped, a script changes it and fails, and the world has to be what it
//! was. Each case in namespaces of its own, in which it is root; nsscript runs in them as on a host (`--host`).
//!
//! What "equal" leaves out is in `common::world`: counters, ages, learned neighbours, nsids once given.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::verbs::VERBS;
use common::world::{self, Dump};
use common::{flat, poll};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A case that is not one of [`VERBS`] in the usual frame.
struct Special {
    name: &'static str,
    script: &'static str,
    code: i32,
    /// What stderr has to have, on one line.
    says: &'static [&'static str],
    /// Shell that has to succeed afterwards, and take back what somebody else did.
    after: &'static str,
    /// Signals to send: the first when a `sleep 1234` runs, the others one after the other until the end.
    signals: &'static [i32],
    /// Whether nft sleeps for long before it loads a ruleset.
    slow_nft: bool,
    /// Whether stdout's reader goes away first.
    closed: bool,
    /// How many bytes its memory may have; what the kernel or the allocator ends is recovered.
    memory: Option<u64>,
    /// Whether a transaction in it can't be undone as it was, and says so.
    inner: bool,
}

const PLAIN: Special = Special {
    name: "",
    script: "",
    code: 1,
    says: &[],
    after: "",
    signals: &[],
    slow_nft: false,
    closed: false,
    memory: None,
    inner: false,
};

/// A slow nft.
const SLOW_NFT: &str = r#"#!/bin/sh
case "$*" in "-f -") sleep 1234;; esac
PATH=$PATH:/usr/sbin:/sbin
exec "$(PATH=${PATH#*:} command -v nft)" "$@"
"#;

const SPECIAL: &[Special] = &[
    Special {
        name: "says_that_it_was_verified",
        script: r#"netns_add("fresh"); link_set("w1:v1", #{ mtu: 1400 }); fail("on purpose");"#,
        says: &["on purpose", "rolled back 2 steps", "verified"],
        ..PLAIN
    },
    Special {
        name: "exit_code_of_the_script",
        script: r#"link_down("w1:v1"); exit(9);"#,
        code: 9,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "exit_3_where_it_is_not_as_before",
        script: r#"netns_set("w1", 4242); fail("x");"#,
        code: 3,
        says: &["the nsid of namespace `w1` in the host's namespace stays", "1 thing differs from before"],
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/veth",
        script: r#"
            try { veth("w1:a", "w2:b", #{ a: #{ addr: "10.40.0.1/24" }, b: #{ addr: ["10.41.0.1/24", "10.41.0.1/24"] } }); } catch (e) {
                if e.kind != "exists" { throw e; }
            }"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/link_set",
        script: r#"
            try { link_set("w1:v1", #{ mtu: 1300, alias: "new", txqueuelen: 5, promisc: true, addrgenmode: "stable_secret", master: "lo" }); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/netns_add",
        script: r#"try { netns_add(["a", "b", "w1"]); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/link_move_to_a_taken_name",
        script: r#"
            sh("w2", "ip link add q2 type veth peer name r2");
            try { link_move("w1:q2", "w2"); fail("moved"); } catch (e) { if e.kind != "exists" { throw e; } }"#,
        code: 0,
        after: "ip -n w2 link del q2",
        ..PLAIN
    },
    Special {
        name: "half_of_a_call_is_none/addr",
        script: r#"try { addr("w1:v1", ["10.70.0.1/24", "10.0.0.1/24"]); } catch (e) {}"#,
        code: 0,
        ..PLAIN
    },
    Special {
        // Only the same device has them: made again, it would have sent a handful.
        name: "limbo/counters_of_a_deleted_link",
        script: r#"ping("w1", "10.0.0.9", #{ count: 60, interval: "1ms" }); link_del("w1:v1"); link_del("w1:q2"); fail("x");"#,
        says: &["verified"],
        after: "[ $(ip netns exec w1 cat /sys/class/net/v1/statistics/tx_packets) -ge 60 ]; [ $(ip netns exec w2 cat /sys/class/net/v2/statistics/rx_packets) -ge 60 ]",
        ..PLAIN
    },
    Special {
        name: "limbo/deleted_twice_under_one_name",
        script: r#"
            for i in 0..2 {
                try { transaction(|| { link_del("w1:v1"); veth("w1:v1", "w2:other"); link_del("w1:v1"); fail("on purpose"); }); } catch (e) {
                    if e.message != "on purpose" { throw e; }
                }
            }"#,
        code: 0,
        ..PLAIN
    },
    Special {
        name: "limbo/what_is_built_upon_goes_along",
        script: r#"
            sh("w1", "ip link add link q2 name upper type macvlan && ip addr add 10.77.0.1/24 dev upper");
            link_del("w1:q2");
            if links("w1").some(|l| l.name == "upper") { fail("upper is still there"); }
            fail("x");"#,
        after: "ip -n w1 addr show upper | grep -q 10.77.0.1/24; ip -n w1 link del upper",
        ..PLAIN
    },
    Special {
        // The route over v1 and br0 can't be made while v1 is down; a step in between does not make it forgotten.
        name: "owed/a_route_refused_by_an_inner_undo",
        script: r#"
            link_down("w1:v1");
            try { transaction(|| { link_move("w1:v1", host()); fail("inner"); }); } catch (e) {}
            sysctl("w1", "net.ipv4.ip_local_port_range", "20000 30000");
            fail("x");"#,
        says: &["undone, but not as it was before the transaction: route", "rolled back 2 steps", "verified"],
        inner: true,
        ..PLAIN
    },
    Special {
        // Its mtu was not set by hand on the way back: then it would not follow any more.
        name: "bridge_still_follows_its_ports",
        script: r#"link_set("w1:p1", #{ mtu: 1300 }); fail("x");"#,
        says: &["verified"],
        after: "ip -n w1 link set p1 mtu 1400; [ $(ip netns exec w1 cat /sys/class/net/br0/mtu) = 1400 ]; ip -n w1 link set p1 mtu 1500",
        ..PLAIN
    },
    Special {
        name: "foreign/alternative_name",
        script: r#"altname_del("w1:v1", "v1-with-a-longer-name"); sh("w1", "ip link property add dev v1 altname a-strangers-name"); fail("x");"#,
        says: &["verified"],
        after: "ip -n w1 -d link show v1 | grep -q a-strangers-name; ip -n w1 link property del dev v1 altname a-strangers-name",
        ..PLAIN
    },
    Special {
        name: "foreign/address_on_the_same_link",
        script: r#"addr("w1:v1", "10.70.0.1/24"); sh("w1", "ip addr add 10.71.0.1/24 dev v1"); fail("x");"#,
        after: "ip -n w1 addr del 10.71.0.1/24 dev v1",
        ..PLAIN
    },
    Special {
        name: "foreign/route_by_our_address",
        script: r#"link_set("w1:v1", #{ alias: "x" }); sh("w1", "ip route add 10.71.0.0/16 via 10.0.0.9"); fail("x");"#,
        after: "ip -n w1 route del 10.71.0.0/16",
        ..PLAIN
    },
    Special {
        name: "foreign/link_in_the_same_namespace",
        script: r#"link_down("w1:v1"); sh("w1", "ip link add foreign type veth peer name foreign2; ip addr add 10.71.0.1/24 dev foreign"); fail("x");"#,
        after: "ip -n w1 addr show dev foreign | grep -q 10.71.0.1/24; ip -n w1 link del foreign",
        ..PLAIN
    },
    Special {
        name: "foreign/other_value_of_the_same_link",
        script: r#"link_set("w1:v1", #{ mtu: 1400 }); sh("w1", "ip link set v1 txqueuelen 4"); fail("x");"#,
        after: "ip -n w1 -o link show v1 | grep -q 'qlen 4'; ip -n w1 link set v1 txqueuelen 555",
        ..PLAIN
    },
    Special {
        name: "foreign/namespace",
        script: r#"netns_add("fresh"); sh(host(), "ip netns add foreign"); fail("x");"#,
        after: "ip netns del foreign",
        ..PLAIN
    },
    Special {
        name: "foreign/sysctl",
        script: r#"sysctl("w1", "net.ipv4.conf.v1.arp_filter", 0); sh("w1", "echo 1 > /proc/sys/net/ipv4/conf/v1/arp_ignore"); fail("x");"#,
        after: "ip netns exec w1 sh -c 'test $(cat /proc/sys/net/ipv4/conf/v1/arp_ignore) = 1; echo 0 > /proc/sys/net/ipv4/conf/v1/arp_ignore'",
        ..PLAIN
    },
    Special {
        name: "foreign/a_namesake_is_left_alone",
        script: r#"netns_add("fresh"); sh(host(), "ip netns del fresh; ip netns add fresh"); fail("x");"#,
        code: 3,
        says: &["namespace `fresh` is another's now: left"],
        after: "ip netns del fresh",
        ..PLAIN
    },
    Special {
        name: "foreign/process_in_a_namespace_that_was_there",
        script: r#"link_down("w1:v1"); sh("w1", "sleep 4321 >/dev/null 2>&1 &"); fail("x");"#,
        ..PLAIN
    },
    Special {
        name: "nested/inner_undone_outer_stands_then_undone",
        script: r#"
            link_set("w1:v1", #{ mtu: 1400 });
            try { transaction(|| { link_set("w1:v1", #{ mtu: 1300 }); link_move("w1:v1", "w2"); fail("inner"); }); } catch (e) {}
            assert_eq(link("w1:v1").mtu, 1400);
            transaction(|| { addr_flush("w1:v1"); link_rename("w1:v1", "z"); });
            fail("outer");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "nested/delete_in_the_inner_make_in_the_outer",
        script: r#"
            transaction(|| {
                netns_add("fresh");
                veth("fresh:a", "w1:a", #{ up: true, b: #{ addr: "10.40.0.1/24" } });
                try { transaction(|| { link_del("w1:a"); netns_del("fresh"); fail("inner"); }); } catch (e) {}
                assert_eq(addrs("w1:a")[0].cidr, "10.40.0.1/24");
                assert_eq(links("fresh").len(), 2);
            });
            fail("outer");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        // A route with a hop that is down can't be made: the inner undo says so, the outer one brings it back.
        name: "nested/what_the_inner_could_not_bring_back_the_outer_does",
        script: r#"
            transaction(|| {
                link_down("w1:v1");
                try { transaction(|| { link_del("w1:v1"); fail("inner"); }); } catch (e) {}
                fail("outer");
            });"#,
        says: &["outer"],
        inner: true,
        ..PLAIN
    },
    Special {
        name: "signal/int",
        script: r#"link_down("w1:v1"); netns_add("fresh"); exec_in("fresh", "sleep 1234");"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/term",
        script: r#"netns_del("w1"); exec_in("w2", "sleep 1234");"#,
        code: 143,
        says: &["verified"],
        signals: &[libc::SIGTERM],
        ..PLAIN
    },
    Special {
        name: "signal/hup",
        script: r#"link_del("w1:v1"); start(host(), "sleep 1000"); sh(host(), "sleep 1234 & wait");"#,
        code: 129,
        says: &["verified"],
        signals: &[libc::SIGHUP],
        ..PLAIN
    },
    Special {
        name: "signal/not_caught_by_the_script",
        script: r#"link_down("w1:v1"); try { exec_in("w1", "sleep 1234"); } catch (e) { print("caught"); } sleep(100);"#,
        code: 130,
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/in_a_loop_of_the_script",
        script: r#"link_down("w1:v1"); start("w1", "sleep 1234"); while true {}"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT],
        ..PLAIN
    },
    Special {
        name: "signal/in_sleep",
        script: r#"link_down("w1:v1"); start("w1", "sleep 1234"); sleep(1000);"#,
        code: 143,
        signals: &[libc::SIGTERM],
        ..PLAIN
    },
    Special {
        name: "signal/a_second_one_does_not_cut_the_undo_short",
        script: r#"
            for i in 0..30 { netns_add(`n${i}`, #{ lo: true }); veth(`w1:n${i}`, `n${i}:eth0`, #{ up: true, a: #{ master: "br0" } }); }
            link_del("w1:v1"); netns_del("w2"); exec_in("w1", "sleep 1234");"#,
        code: 130,
        says: &["verified"],
        signals: &[libc::SIGINT; 200],
        ..PLAIN
    },
    Special {
        name: "stdout_closed",
        script: r#"link_down("w1:v1"); for i in 0..100000 { print("a line that is long enough to fill what a pipe can hold"); } sleep(100);"#,
        code: 1,
        says: &["write to standard output", "verified"],
        closed: true,
        ..PLAIN
    },
    Special {
        name: "hooks_run_among_the_steps",
        script: r#"
            sh(host(), "ip -n w1 addr add 10.72.0.1/24 dev q2");
            on_rollback(|| sh(host(), "ip -n w1 addr del 10.72.0.1/24 dev q2"));
            link_down("w1:v1");
            fail("x");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        // And what they take away stays away where something else came back late.
        name: "hooks_run_among_the_steps_that_come_back_late",
        script: r#"
            sh(host(), "ip -n w1 addr add 10.72.0.1/24 dev q2");
            on_rollback(|| sh(host(), "ip -n w1 addr del 10.72.0.1/24 dev q2"));
            addr_del("w1:v1", "10.0.0.1/24"); veth("w1:x1", "w1:x2", #{ up: true, a: #{ addr: "10.60.0.1/24" } });
            nexthop("w1", 11, #{ via: "10.60.0.8", dev: "x1", replace: true });
            fail("x");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        // Addresses that come back are looked for on the link first, which takes a second or two; undo waits for that.
        name: "duplicate_address_detection_is_waited_for",
        script: r#"sysctl(host(), "net.ipv6.conf.default.accept_dad", 1); link_del("h0"); fail("x");"#,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "limit/a_string_without_an_end",
        script: r#"link_down("w1:v1"); netns_del("w2"); let s = "x"; while true { s += s; }"#,
        says: &["too large", "case.rhai:1", "verified"],
        ..PLAIN
    },
    Special {
        name: "limit/an_array_without_an_end",
        script: r#"link_del("w1:q2"); let a = [1]; while true { a += a; }"#,
        says: &["too large", "verified"],
        ..PLAIN
    },
    Special {
        name: "limit/calls_without_an_end",
        script: r#"fn deep(n) { link_set("w1:v1", #{ alias: `${n}` }); deep(n + 1) } link_del("w1:br0"); deep(0);"#,
        says: &["nested more than 256 deep", "verified"],
        ..PLAIN
    },
    Special {
        name: "limit/operations",
        script: r#"//--max-operations 20000
            let n = 0;
            try { link_del("w1:v1"); while true { n += 1; } } catch (e) { netns_del("w1"); while true {} }"#,
        says: &["the script took more than 20000 operations", "is there a loop without an end?", "verified"],
        ..PLAIN
    },
    Special {
        name: "limit/operations_in_a_transaction",
        script: r#"//--max-operations 20000
            link_set("w1:v1", #{ mtu: 1400 });
            on_rollback(|| { let n = 0; while n < 1000 { n += 1; } });
            transaction(|| { transaction(|| { link_del("w1:v1"); while true {} }); });"#,
        says: &["the script took more than 20000 operations", "verified"],
        ..PLAIN
    },
    Special {
        // The allocator ends the process where it stands: what is left is for `recover`.
        name: "limit/memory",
        script: r#"link_del("w1:v1"); netns_del("w2"); netns_add("w2"); addr_flush("w1:br0");
            let s = "x"; s.pad(200000000, "x"); let a = s + "a"; let b = s + "b"; let c = s + "c"; let d = s + "d"; let e = s + "e"; let f = s + "f";"#,
        code: 128 + libc::SIGABRT,
        says: &["memory allocation of", "run `case` was killed", "verified"],
        memory: Some(1 << 30),
        ..PLAIN
    },
    Special {
        name: "killed_while_a_command_runs",
        script: r#"
            link_set("w1:v1", #{ mtu: 1400 });
            exec_in("w1", ["sh", "-c", "sleep 4321 >/dev/null 2>&1 & true"]);
            exec_in("w1", ["sh", "-c", "sleep 1234; true"]);"#,
        signals: &[libc::SIGKILL],
        code: 137,
        says: &["was killed", "verified"],
        ..PLAIN
    },
    Special {
        // What packets may add to and time takes from is the step's where the step changes it.
        name: "elements_of_a_set_with_timeouts",
        script: r#"
            sh("w1", "nft add table ip live; nft 'add set ip live s { type ipv4_addr; flags timeout; }'; nft 'add element ip live s { 10.0.0.1 }'");
            let listed = || sh("w1", "nft list table ip live").stdout;
            let handle = sh("w1", "nft -a list table ip live | awk 'NR == 1 { printf $NF }'").stdout;
            for text in ["flush set ip live s", "add element ip live s { 10.9.9.9 }", `delete table ip handle ${handle}`, "flush \\\nruleset"] {
                try { transaction(|| { nft("w1", text); fail("in it"); }); } catch (e) { assert_eq(e.message, "in it"); }
                assert(listed.call().contains("10.0.0.1") && !listed.call().contains("10.9.9.9"), text);
            }
            sh("w1", "nft delete table ip live");
            fail("done");"#,
        says: &["done"],
        ..PLAIN
    },
    Special {
        name: "files_that_find_no_room_and_modes",
        script: r#"
            sh(host(), "mkdir /run/small; mount -t tmpfs -o size=8k t /run/small; cd /run/small; echo old > f; chmod 4666 f");
            let long = ""; long.pad(20000, "y");
            for path in ["f", "new"] {
                let said = "";
                try { write_file("/run/small/" + path, long); } catch (e) { said = e.kind; }
                assert_eq(said, "limit");
            }
            try { transaction(|| { remove_file("/run/small/f"); fail("in it"); }); } catch (e) { assert_eq(e.message, "in it"); }
            assert_eq(read_file("/run/small/f"), "old\n");
            assert_eq(sh(host(), "stat -c %a /run/small/*").stdout, "4666\n");
            sh(host(), "umount /run/small; rmdir /run/small; rm -rf /run/mount");
            fail("done");"#,
        says: &["done"],
        ..PLAIN
    },
    Special {
        name: "devices_and_the_kernels_own_are_no_files",
        script: r#"
            link_down("w1:v1");
            for look in [|| read_file("/dev/zero"), || write_file("/dev/null", ""), || write_file("/proc/self/comm", "x")] {
                let said = "";
                try { look.call(); } catch (e) { said = e.kind; }
                assert(said == "invalid" || said == "unsupported", said);
            }
            fail("done");"#,
        says: &["done", "verified"],
        ..PLAIN
    },
    Special {
        name: "exit_in_what_was_deferred",
        script: r#"link_down("w1:v1"); on_rollback(|| exit(0)); defer(|| exit(4));"#,
        code: 4,
        says: &["verified"],
        ..PLAIN
    },
    Special {
        name: "both_names_of_a_namespace_deleted",
        script: r#"netns_attach("again", "/run/netns/w1"); netns_del("w1"); netns_del("again"); fail("done");"#,
        says: &["done", "verified"],
        ..PLAIN
    },
    Special {
        // A transaction whose own compensation fails is not undone, and the end says so.
        name: "what_a_transaction_left_counts",
        script: r#"try { transaction(|| { on_rollback(|| fail("boom")); link_down("w1:v1"); fail("in it"); }); } catch {} fail("done");"#,
        code: 3,
        inner: true,
        says: &["boom", "1 step failed"],
        ..PLAIN
    },
    Special {
        name: "killed_while_nft_loads",
        script: r#"nft("w1", "add table inet late");"#,
        slow_nft: true,
        signals: &[libc::SIGKILL],
        code: 137,
        says: &["was killed", "verified"],
        ..PLAIN
    },
    Special { name: "nothing_done_nothing_said", script: r#"print(links("w1").len()); fail("x");"#, ..PLAIN },
    Special {
        name: "rm_takes_all_down",
        script: r#"//--rm
            netns_add("fresh"); veth("fresh:a", "w1:a", #{ up: true }); link_set("w1:v1", #{ mtu: 1400 }); start("fresh", "sleep 1000");"#,
        code: 0,
        says: &["verified"],
        ..PLAIN
    },
];

/// What runs inside: the world, the script, the comparison.
fn inside(name: &str) -> Result<(), String> {
    // A process of its own in a namespace, which has to survive.
    let mut guest = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let found = compare(name);
    let _ = guest.kill();
    let _ = guest.wait();
    found
}

fn compare(name: &str) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell("ip netns exec w1 sleep 99999 >/dev/null 2>&1 &")?;
    poll(Duration::from_secs(5), || world::shell("ip netns pids w1 | grep -q .").is_ok());
    let special = SPECIAL.iter().find(|s| s.name == name);
    let framed;
    let (script, case) = match special {
        Some(special) => (special.script, special),
        None => {
            let (frame, verb) = name.split_once('/').ok_or("a name without a frame")?;
            let (_, body) = VERBS.iter().find(|(n, _)| *n == verb).ok_or("no such verb")?;
            framed = match frame {
                "fails" => format!("{body};\nfail(\"on purpose\");\n"),
                "savepoint" => format!(
                    "try {{ transaction(|| {{ {body};\nfail(\"on purpose\"); }}); }} catch (e) {{\n    if e.message != \"on purpose\" {{ throw e; }}\n}}\n"
                ),
                _ => return Err(format!("no frame {frame}")),
            };
            let code = i32::from(frame == "fails");
            (
                framed.as_str(),
                &Special { code, says: if code == 1 { &["on purpose", "verified"] } else { &[] }, ..PLAIN },
            )
        }
    };
    let before = Dump::settled()?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", script);
    let ended = run_script(case, &path)?;
    let said = flat(&ended.stderr);
    let mut problems = Vec::new();
    if ended.code() != case.code {
        problems.push(format!("exit status {}, expected {}", ended.code(), case.code));
    }
    for text in case.says.iter().filter(|t| !said.contains(*t)) {
        problems.push(format!("stderr lacks: {text}"));
    }
    if said.contains("undone, but not as it was") && !case.inner {
        problems.push("a transaction was not undone as it was".into());
    }
    if !case.after.is_empty()
        && let Err(error) = world::shell(case.after)
    {
        problems.push(format!("what somebody else did did not stay: {error}"));
    }
    let differences = before.compare(Duration::from_secs(4))?;
    if !differences.is_empty() {
        let many =
            if differences.len() > 60 { format!("\n… and {} more", differences.len() - 60) } else { String::new() };
        let shown: Vec<String> = differences.iter().take(60).cloned().collect();
        problems.push(format!("not as before (- before, + after):\n{}{many}", shown.join("\n")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\nscript:\n{script}\nstdout:\n{}\nstderr:\n{}", problems.join("\n"), ended.stdout, ended.stderr))
}

fn run_script(case: &Special, path: &std::path::Path) -> Result<common::Ended, String> {
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--host", "--color", "never"]);
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    command.args(
        text.lines()
            .next()
            .and_then(|l| l.strip_prefix("//--"))
            .into_iter()
            .flat_map(|words| format!("--{words}").split(' ').map(str::to_string).collect::<Vec<_>>()),
    );
    command.arg(path).env("LC_ALL", "C.UTF-8");
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    if case.slow_nft {
        use std::os::unix::fs::PermissionsExt as _;
        let nft = common::write(folder.path(), "nft", SLOW_NFT);
        std::fs::set_permissions(&nft, std::fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        let path = std::env::var("PATH").map_err(|e| e.to_string())?;
        command.env("PATH", format!("{}:{path}", folder.path().display()));
    }
    if let Some(bytes) = case.memory {
        let limited = move || {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, bytes, bytes)?;
            Ok(())
        };
        // SAFETY: it makes one system call, and allocates nothing.
        let ended = common::run(unsafe { command.pre_exec(limited) }, Duration::from_secs(60))?;
        return recovered(ended);
    }
    if case.signals.is_empty() && !case.closed {
        return common::run(&mut command, Duration::from_secs(60));
    }
    let errors = tempfile::tempfile().map_err(|e| e.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors.try_clone().map_err(|e| e.to_string())?)
        .spawn()
        .map_err(|e| e.to_string())?;
    if case.closed {
        drop(child.stdout.take());
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).map_err(|e| e.to_string())?);
    let sleeping = || {
        std::fs::read_dir("/proc").is_ok_and(|all| {
            all.flatten().any(|e| std::fs::read(e.path().join("cmdline")).is_ok_and(|c| c == b"sleep\x001234\0"))
        })
    };
    let mut signals = case.signals.iter();
    if let Some(first) = signals.next() {
        if !poll(Duration::from_secs(30), sleeping) {
            let _ = child.kill();
            return Err("the script never came to its `sleep 1234`".into());
        }
        send(pid, *first)?;
    }
    let mut status = None;
    let ended = poll(Duration::from_secs(60), || {
        status = child.try_wait().ok().flatten();
        if status.is_none()
            && let Some(signal) = signals.next()
        {
            let _ = send(pid, *signal);
        }
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
    }
    let stderr = {
        use std::io::{Read as _, Seek as _};
        let mut errors = errors;
        let mut text = String::new();
        let _ = errors.rewind();
        let _ = errors.read_to_string(&mut text);
        text
    };
    let status = status.ok_or_else(|| format!("it did not end after the signal; stderr:\n{stderr}"))?;
    let ended = common::Ended { status, stdout: String::new(), stderr };
    if case.signals.contains(&libc::SIGKILL) { recovered(ended) } else { Ok(ended) }
}

/// What a run that was killed left is undone, and what is said of it added.
fn recovered(ended: common::Ended) -> Result<common::Ended, String> {
    let recovered = world::nsscript(&["recover"], "")?;
    if recovered.code() != 0 {
        return Err(format!("recover: exit status {}\n{}", recovered.code(), recovered.stderr));
    }
    Ok(common::Ended { stderr: format!("{}{}", ended.stderr, recovered.stderr), ..ended })
}

fn send(pid: nix::unistd::Pid, signal: i32) -> Result<(), String> {
    let signal = nix::sys::signal::Signal::try_from(signal).map_err(|e| e.to_string())?;
    nix::sys::signal::kill(pid, signal).map_err(|e| e.to_string())
}

fn main() {
    let frame = Frame { program: "rollback", threads: 6, bound: common::LONG, needs: frame::nothing, inside };
    let framed = ["fails", "savepoint"].iter().flat_map(|f| VERBS.iter().map(move |(name, _)| format!("{f}/{name}")));
    frame.main(framed.chain(SPECIAL.iter().map(|s| s.name.to_string())));
}

//! What a plan says.

use super::common::world::{self, Dump};
use super::{common, nsscript};
use std::process::Command;
use std::time::Duration;

/// One plan in the world of [`world::WORLD`].
pub struct Said {
    pub name: &'static str,
    /// Shell before, and after, which has to succeed.
    before: &'static str,
    after: &'static str,
    /// Words before the script.
    words: &'static [&'static str],
    script: &'static str,
    code: i32,
    /// What stdout and stderr have, each on one line; and what neither has.
    out: &'static [&'static str],
    err: &'static [&'static str],
    never: &'static [&'static str],
}

const SAID: Said = Said {
    name: "",
    before: "",
    after: "",
    words: &[],
    script: "",
    code: 0,
    out: &["nothing was changed"],
    err: &[],
    never: &["could not be copied"],
};

pub const SAYINGS: &[Said] = &[
    Said {
        name: "steps",
        script: r#"link_set("w1:v1", #{ mtu: 1400 }); netns_add("n1", #{ lo: true }); print("printed");"#,
        out: &[
            "1 link_set in w1: v1",
            "case.rhai:1 ip -n w1 link set v1 mtu 1400",
            "2 netns_add: n1",
            "ip netns add n1",
            "3 link_set in n1: lo",
            "plan of `case`: 3 steps: 1 namespace, 0 links, 0 processes would stand; nothing was changed",
        ],
        err: &["printed"],
        ..SAID
    },
    Said {
        name: "fails_after_a_step",
        script: r#"on_rollback(|| print("compensated")); defer(|| print("deferred")); link_down("w1:v1"); addr("w1:nowhere", "10.0.0.1/24");"#,
        code: 1,
        out: &["would fail after step 1: all undone, exit status 1; nothing was changed"],
        err: &["there is no device `nowhere` in namespace `w1`", "deferred", "compensated"],
        never: &["rolled back", "link set v1 up"],
        ..SAID
    },
    Said {
        name: "fails_at_a_step",
        script: r#"netns_add("n1"); netns_add("w1");"#,
        code: 1,
        out: &["would fail at step 2: all undone, exit status 1"],
        err: &["namespace `w1` exists already"],
        ..SAID
    },
    Said {
        name: "fails_as_the_kernel_would",
        script: r#"route("w1", "10.99.0.0/16", #{ via: "10.98.0.1" });"#,
        code: 1,
        out: &["would fail at step 1"],
        err: &["the gateway is not reachable", "Nexthop has invalid gateway"],
        ..SAID
    },
    Said {
        name: "fails_at_a_sysctl_of_a_device_that_went",
        script: r#"link_del("w2:v2"); sysctl("w1", "net.ipv4.conf.v1.rp_filter", 1);"#,
        code: 1,
        out: &["would fail at step 2"],
        err: &["open sysctl net.ipv4.conf.v1.rp_filter: no such file"],
        ..SAID
    },
    Said { name: "exit", script: "netns_add(\"n1\"); exit(4);", code: 4, out: &["exit status 4"], ..SAID },
    Said {
        name: "transaction",
        script: r#"try { transaction(|| { link_down("w1:v1"); fail("x"); }); } catch (e) {} assert(link("w1:v1").up, "it is up again");"#,
        out: &["1 link_set in w1: v1", "-1 link_set in w1: v1", "ip -n w1 link set v1 up", "1 step: 0 namespaces"],
        ..SAID
    },
    Said {
        name: "lab_that_stands",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#""$NSSCRIPT" --host down case"#,
        script: "netns_add(\"n2\");",
        code: 1,
        out: &["would fail before its first step"],
        err: &["lab `case` stands already", "nsscript down case"],
        ..SAID
    },
    Said {
        name: "lab_that_stands/replaced",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#"ip netns list | grep -q n1; "$NSSCRIPT" --host down case"#,
        words: &["--replace"],
        script: "netns_add(\"n1\");",
        out: &["1 netns_del in n1: n1", "2 netns_add: n1", "nothing was changed"],
        ..SAID
    },
    Said {
        name: "namespace_of_a_lab",
        before: r#"echo 'netns_add("n1");' > /run/files/case.rhai; "$NSSCRIPT" --host -q /run/files/case.rhai"#,
        after: r#""$NSSCRIPT" --host down case"#,
        words: &["--name", "other"],
        script: "netns_add(\"n1\");",
        code: 1,
        out: &["would fail at step 1"],
        err: &["namespace `n1` exists already", "it belongs to lab `case`"],
        ..SAID
    },
    Said {
        name: "run_under_way",
        before: r#"
            echo 'netns_add("n1"); sh("n1", "touch /run/files/started; exec sleep 1234");' > /run/files/case.rhai
            "$NSSCRIPT" --host -q /run/files/case.rhai > /dev/null 2>&1 &
            echo $! > /run/files/pid
            until [ -e /run/files/started ]; do sleep 0.01; done"#,
        after: r#"kill "$(cat /run/files/pid)"; while ip netns list | grep -q n1; do sleep 0.01; done"#,
        script: "netns_add(\"n2\");",
        code: 1,
        err: &["another run of `case` is under way"],
        ..SAID
    },
    Said {
        name: "simulated/programs",
        script: r#"
            let out = exec_in("w1", "ip link set v1 down");
            assert_eq(out.code, 0);
            assert_eq(out.text, "");
            assert(link("w1:v1").up, "it was not done");
            let p = start("w1", "sleep 1234", #{ ready: "tcp/80" });
            assert(p.running, "it seems to run");
            assert_eq(netns_pids("w1"), [p.pid]);
            wait_port("w1", 80);
            assert_eq(p.log(), "");
            assert_eq(p.wait().code, 0);
            wait_until(|| false, #{ what: "the impossible" });
        "#,
        out: &[
            "ip netns exec w1 ip link set v1 down simulated: not run: status 0, no output",
            "ip netns exec w1 sleep 1234 & simulated: not run: a process that does nothing stands for it",
            "simulated: something listens there",
            "simulated: `sleep` has ended with status 0",
            "simulated: the impossible came true",
            "5 results simulated; nothing was changed",
        ],
        ..SAID
    },
    Said {
        name: "simulated/no_such_program",
        script: "exec_in(\"w1\", \"no-such-program\");",
        code: 1,
        err: &["command not found: `no-such-program`"],
        ..SAID
    },
    Said {
        name: "simulated/files",
        script: r#"
            write_file("/run/files/file", "new");
            write_file("/run/files/../files/other", "other");
            assert_eq(read_file("/run/files/file"), "new");
            remove_file("/run/files/file");
            try { read_file("/run/files/file"); fail("it is there"); } catch (e) { assert_eq(e.kind, "not_found"); }
            assert_eq(read_file("/run/files/other"), "other");
        "#,
        after: r#"[ "$(cat /run/files/file)" = "old content" ]; [ ! -e /run/files/other ]"#,
        out: &["1 write_file: /run/files/file", "3 remove_file: /run/files/file"],
        ..SAID
    },
    Said {
        name: "pings",
        script: r#"
            assert_ping("w1", "10.0.0.9");
            assert_eq(ping("w1", "10.0.0.99", #{ timeout: "50ms" }).received, 0);
            try { ping("w2", "10.99.0.1"); fail("a reply"); } catch (e) { assert_eq(e.kind, "unreachable"); }
            exec_in("w2", "true");
            assert_eq(ping("w1", "10.0.0.99", #{ timeout: "50ms", count: 2 }).received, 2);
        "#,
        out: &[
            "in the copy: 1 of 1 answered",
            "in the copy: 0 of 1 answered",
            "simulated: every ping is answered",
            "2 results simulated",
        ],
        ..SAID
    },
    Said {
        name: "processes_outside",
        before: r#"ip netns exec w2 sleep 1234 > /dev/null 2>&1 & echo $! > /run/files/pid; until [ "$(ip netns identify $!)" = w2 ]; do sleep 0.01; done"#,
        after: r#"kill "$(cat /run/files/pid)""#,
        script: r#"
            let pid = read_file("/run/files/pid");
            pid.trim();
            pid = parse_int(pid);
            assert_eq(netns_pids("w2"), [pid]);
            assert_eq(netns_identify(pid), "w2");
            assert_eq(netns_attach("again", pid).cookie, netns("w2").cookie);
        "#,
        ..SAID
    },
    Said {
        name: "stand_in",
        before: r#"
            ip netns add hidden
            ip -n hidden link add far type veth peer name low
            ip -n hidden link set low up
            ip -n hidden link set far up
            ip -n hidden link add mv link low index 44 address 02:00:00:00:07:01 type macvlan mode bridge
            ip -n hidden link set mv netns w1
            ip -n w1 link set mv up
            ip -n w1 addr add 10.36.0.1/24 dev mv
            sleep 1234 9< /run/netns/hidden > /dev/null 2>&1 &
            echo $! > /run/files/pid
            umount -l /run/netns/hidden
            rm /run/netns/hidden"#,
        after: r#"ip -n w1 link del mv; kill "$(cat /run/files/pid)""#,
        script: r#"
            let mv = link("w1:mv");
            assert_eq([mv.index, mv.kind, mv.mac, mv.up, mv.carrier], [44, "macvlan", "02:00:00:00:07:01", true, true]);
            assert_ping("w1", "10.36.0.9", #{ timeout: "50ms" });
            link_del("w1:mv");
        "#,
        out: &["simulated: every ping is answered", "2 link_del in w1: mv"],
        err: &["others stand in for these links: `mv` in namespace `w1` (macvlan"],
        ..SAID
    },
    Said {
        name: "sandbox_sees_nothing",
        words: &["--sandbox"],
        script: "assert_eq(netns_list(), []); netns_add(\"w1\");",
        out: &["1 step: 1 namespace"],
        ..SAID
    },
];

/// The plan says what it should, and leaves the world as it is: networks, files, mounts and processes.
pub fn says(said: &Said) -> Result<(), String> {
    world::shell(world::WORLD)?;
    world::shell(said.before)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", said.script);
    let path = path.to_string_lossy();
    let before = Dump::settled()?;
    let mut words = vec!["plan"];
    if said.words != ["--sandbox"] {
        words.push("--host");
    }
    words.extend(said.words);
    words.push(&path);
    let ended = nsscript(&words)?;
    let (out, err) = (common::flat(&ended.stdout), common::flat(&ended.stderr));
    let mut problems = Vec::new();
    if ended.code() != said.code {
        problems.push(format!("exit status {}, expected {}", ended.code(), said.code));
    }
    for (text, wanted) in [(&out, said.out), (&err, said.err)] {
        problems.extend(wanted.iter().filter(|w| !text.contains(**w)).map(|w| format!("it does not say `{w}`")));
        problems.extend(said.never.iter().filter(|w| text.contains(**w)).map(|w| format!("it says `{w}`")));
    }
    problems.extend(before.compare(Duration::from_secs(3))?.into_iter().map(|d| format!("changed: {d}")));
    if let Err(error) = world::shell(said.after) {
        problems.push(error);
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\nstdout:\n{}\nstderr:\n{}", problems.join("\n"), ended.stdout, ended.stderr))
}

/// A run that was killed is recovered by a run of its name: in the plan too, and only there.
pub fn killed() -> Result<(), String> {
    world::shell(world::WORLD)?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let text =
        r#"netns_add("n1"); link_set("w1:v1", #{ mtu: 1400 }); netns_del("w2"); link_del("w1:q2"); netns_add("n2");"#;
    let path = common::write(folder.path(), "case.rhai", text);
    let path = path.to_string_lossy();
    let before = Dump::settled()?;
    let mut command = Command::new(common::NSSCRIPT);
    command.args(["--host", &path]).env("NSSCRIPT_FAULT", "kill-after@4");
    common::run(&mut command, common::LONG)?;
    let broken = Dump::settled()?;
    if before.differences(&broken).is_empty() {
        return Err("nothing was left open".into());
    }
    let plan = nsscript(&["plan", "--host", &path])?;
    let err = common::flat(&plan.stderr);
    if plan.code() != 0 || !err.contains("run `case` was killed: its 3 steps are undone, verified") {
        return Err(format!("status {}\nstdout:\n{}\nstderr:\n{}", plan.code(), plan.stdout, plan.stderr));
    }
    let differences = broken.compare(Duration::from_secs(3))?;
    if !differences.is_empty() {
        return Err(format!("the plan changed:\n{}", differences.join("\n")));
    }
    let recovered = nsscript(&["recover"])?;
    let differences = before.compare(Duration::from_secs(6))?;
    if differences.is_empty() { Ok(()) } else { Err(format!("{}\n{}", recovered.stderr, differences.join("\n"))) }
}

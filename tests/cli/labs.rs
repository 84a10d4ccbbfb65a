//! Labs: what stands is listed, shown, replaced and taken down; what was killed is recovered.

use super::*;

/// Writes a script and gives its path.
pub(crate) fn lab(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn what_was_killed_at_its_commit_with_nothing_left_is_no_lab() {
    isolated!("labs::what_was_killed_at_its_commit_with_nothing_left_is_no_lab");
    let folder = tempfile::tempdir().unwrap();
    let gone = lab(folder.path(), "gone.rhai", r#"netns_add("a"); netns_del("a");"#);
    // Two changes, the moment before the commit is written down, and the one after.
    let killed = || {
        let ran = command(&["--host", &gone]).env("NSSCRIPT_FAULT", "kill-after@4").output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ran.status), Some(9));
    };
    killed();
    let listed = line("ls").ends(0).out;
    assert!(listed.contains("killed: nsscript recover"), "{listed}");
    line("recover").ends(0).says("run `gone` was killed when all was done: its commit is finished");
    assert!(!std::path::Path::new("/run/nsscript").exists());
    killed();
    run(&["--host", &gone]).ends(0).says("its commit is finished");
    line("ls").ends(0).prints("");
    assert!(!std::path::Path::new("/run/nsscript").exists());
}

#[test]
fn a_lab_stands_until_it_is_taken_down() {
    isolated!("labs::a_lab_stands_until_it_is_taken_down");
    let folder = tempfile::tempdir().unwrap();
    let pair =
        lab(folder.path(), "pair.rhai", r#"netns_add(["a", "b"]); veth("a:e", "b:e"); start("a", "sleep 1000");"#);
    run(&["--host", &pair]).ends(0).says("lab `pair` stands: 2 namespaces, 2 links, 1 process");
    let listed = line("ls").ends(0).out;
    assert!(listed.lines().any(|l| l.starts_with("pair ") && l.ends_with("healthy")), "{listed}");
    run(&["--host", &pair]).ends(1).says("lab `pair` stands already").says("nsscript down pair");
    run(&["--host", "-e", "netns_add(\"b\")"]).ends(1).says("it belongs to lab `pair`");
    ip("netns del b");
    assert!(line("ls").ends(0).out.contains("drifted"));
    assert!(line("show pair").ends(0).out.contains("drift: namespace `b` is gone"));
    line("down nosuch").ends(1).says("there is no lab `nosuch`");
    line("down pair").ends(0).says("namespace `b` was deleted already").says("took lab `pair` down").says("verified");
    line("netns list").ends(0).prints("");
    line("ls").ends(0).prints("");
    line("recover").ends(0).says("nothing to recover");
    assert!(!std::path::Path::new("/run/nsscript").exists());
}

#[test]
fn what_somebody_changed_of_a_lab_is_told() {
    isolated!("labs::what_somebody_changed_of_a_lab_is_told");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let nft = if Command::new("nft").arg("-v").output().is_ok() { r#"nft("a", "table inet t {}");"# } else { "" };
    let text = format!(
        r#"
        netns_add("a");
        veth("a:e", "hosta", #{{ up: true, mtu: 1400, a: #{{ addr: "10.99.0.1/24" }} }});
        bridge("a:br0", #{{ up: true }});
        veth("a:p", "a:q", #{{ up: true, a: #{{ master: "br0" }} }});
        route("a", "10.98.0.0/16", #{{ via: "10.99.0.2" }});
        neigh("a:e", "10.99.0.9", "02:00:00:00:00:09");
        rule("a", #{{ from: "10.99.0.0/24", table: 100 }});
        qdisc("a:e", "tbf", #{{ rate: "10mbit" }});
        sysctl("a", "net.ipv4.ip_local_port_range", "20000 30000");
        sysctl("a", "net.ipv4.conf.e.rp_filter", 2);
        write_file({file:?}, "x");
        {nft}
        addr("a:q", "10.97.0.1/24"); addr_del("a:q", "10.97.0.1/24"); link_set("a:q", #{{ mtu: 1300, alias: "one" }});
        "#
    );
    let script = lab(folder.path(), "whole.rhai", &text);
    run(&["--host", &script]).ends(0);
    let drift = || -> Vec<String> {
        let shown = line("show whole").ends(0).out;
        shown.lines().filter_map(|l| l.strip_prefix("drift: ")).map(str::to_string).collect()
    };
    assert_eq!(drift(), Vec::<String>::new());
    // A stranger's own things beside it are no drift.
    shell(
        "ip -n a link add own type bridge; ip -n a addr add 10.96.0.1/24 dev e; ip -n a route add 10.95.0.0/16 via 10.99.0.2",
    );
    assert_eq!(drift(), Vec::<String>::new());
    for (change, back, told) in [
        ("ip -n a link set e mtu 1300", "ip -n a link set e mtu 1400", "link `a:e` mtu: was 1400, is 1300"),
        ("ip link set hosta down", "ip link set hosta up", "link `hosta` state: was up, is down"),
        ("ip -n a link set p nomaster", "ip -n a link set p master br0", "link `a:p` master: was br0, is none"),
        ("ip -n a link set q alias two", "ip -n a link set q alias one", "link `a:q` alias: was `one`, is `two`"),
        (
            "ip -n a route replace 10.98.0.0/16 via 10.99.0.3",
            "ip -n a route replace 10.98.0.0/16 via 10.99.0.2",
            "route 10.98.0.0/16 via 10.99.0.2 table main in namespace `a` is gone or another one",
        ),
        (
            "ip -n a neigh replace 10.99.0.9 lladdr 02:00:00:00:00:08 dev e nud permanent",
            "ip -n a neigh replace 10.99.0.9 lladdr 02:00:00:00:00:09 dev e nud permanent",
            "neighbour 10.99.0.9 dev e lladdr 02:00:00:00:00:09 in namespace `a` is gone or another one",
        ),
        (
            "ip -n a rule del from 10.99.0.0/24",
            "ip -n a rule add from 10.99.0.0/24 table 100",
            "rule from 10.99.0.0/24",
        ),
        (
            "tc -n a qdisc del dev e root",
            "tc -n a qdisc add dev e root tbf rate 10mbit burst 20kb limit 75kb",
            "qdisc dev e root tbf",
        ),
        (
            "ip netns exec a sh -c 'echo 10000 20000 > /proc/sys/net/ipv4/ip_local_port_range'",
            "ip netns exec a sh -c 'echo 20000 30000 > /proc/sys/net/ipv4/ip_local_port_range'",
            "sysctl net.ipv4.ip_local_port_range in namespace `a`: was 20000 30000, is 10000",
        ),
        (
            "ip netns exec a sh -c 'echo 1 > /proc/sys/net/ipv4/conf/e/rp_filter'",
            "ip netns exec a sh -c 'echo 2 > /proc/sys/net/ipv4/conf/e/rp_filter'",
            "sysctl net.ipv4.conf.e.rp_filter in namespace `a`: was 2, is 1",
        ),
    ] {
        shell(change);
        let found = drift();
        assert!(found.len() == 1 && found[0].contains(told), "{change}: {found:?}");
        shell(back);
        assert_eq!(drift(), Vec::<String>::new(), "{back}");
    }
    std::fs::write(&file, "y").unwrap();
    assert!(drift()[0].contains("was changed or removed"));
    std::fs::write(&file, "x").unwrap();
    if !nft.is_empty() {
        shell("ip netns exec a nft delete table inet t");
        assert_eq!(drift(), ["namespace `a`: nft table `inet t` is gone"]);
    }
    shell("ip -n a link del e");
    assert!(line("ls").ends(0).out.contains("drifted"));
    assert!(drift().contains(&"link `a:e` is gone".to_string()), "{:?}", drift());
    line("down whole").ends(0).says("took lab `whole` down");
    line("netns list").ends(0).prints("");
}

/// What a step takes along by its side effects is nobody's doing.
#[test]
fn what_a_lab_changed_itself_is_no_drift() {
    isolated!("labs::what_a_lab_changed_itself_is_no_drift");
    let folder = tempfile::tempdir().unwrap();
    let own = r#"netns_add(["a", "b"]); veth("a:x", "a:y", #{ up: true });"#;
    shell("ip netns add old; ip link add ox type veth peer name oy netns old");
    for text in [
        r#"macvlan("m", #{ link: "ox" }); link_del("old:oy");"#,
        r#"addr("ox", "10.1.0.1/24"); sysctl(host(), "net.ipv4.conf.ox.arp_filter", 1); link_del("old:oy");"#,
        r#"netns_add("q"); veth("q:e", "b:f"); netns_del("q");"#,
        r#"macvlan("b:m", #{ link: "a:x", mtu: 1400 }); link_set("a:x", #{ mtu: 1300 });"#,
        r#"macvlan("b:m", #{ link: "a:x" }); link_del("a:x");"#,
        r#"vxlan("a:w", #{ id: 7, dev: "x", dstport: 4789 }); link_move("a:x", "b");"#,
        r#"bridge("a:br0"); bridge("a:br1"); link_set("a:x", #{ master: "br0" }); fdb("a:x", "02:00:00:00:00:99"); link_set("a:x", #{ master: "br1" });"#,
        r#"bridge("a:br", #{ mtu: 1400 }); link_set("a:x", #{ mtu: 1200 }); link_set("a:x", #{ master: "br" });"#,
        r#"addr("a:x", "10.1.0.1/24"); neigh("a:x", "10.1.0.9", "02:00:00:00:00:09"); link_set("a:x", #{ mac: "02:00:00:00:00:77" });"#,
        r#"sysctl("a", "net.ipv4.ip_local_reserved_ports", "1,2,3,7"); sysctl("a", "net.ipv6.conf.x.stable_secret", "2001:db8::1");"#,
        r#"sysctl("a", "net.ipv6.conf.x.mtu", 1400); link_set("a:x", #{ mtu: 1300 });"#,
        r#"sysctl("a", "net.ipv6.conf.x.accept_ra", 0); link_set("a:x", #{ mtu: 1000 }); link_set("a:x", #{ mtu: 1500 });"#,
        r#"addr("a:x", "10.1.0.1/24"); neigh("a:x", "10.1.0.9", "02:00:00:00:00:09"); link_set("a:x", #{ arp: false });"#,
        r#"rule("a", #{ to: "10.9.2.0/24", type: "blackhole", priority: 700 }); rule_del("a", #{ priority: 700 });"#,
        r#"netns_attach("n", "/run/netns/a"); netns_del("n"); addr("a:x", "10.1.0.1/24");"#,
        r#"addr("a:x", "10.1.0.1/24"); neigh("a:x", "10.1.0.9", "02:00:00:00:00:09"); addr_flush("a:x");"#,
    ] {
        let script = lab(folder.path(), "own.rhai", &format!("{own} {text}"));
        run(&["--host", &script]).ends(0);
        let shown = line("show own").ends(0).out;
        assert!(!shown.contains("drift: "), "{text}\n{shown}");
        line("down own").ends(0).says("verified");
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn what_a_killed_run_left_in_the_way_is_undone_first() {
    isolated!("labs::what_a_killed_run_left_in_the_way_is_undone_first");
    let folder = tempfile::tempdir().unwrap();
    let first = lab(folder.path(), "first.rhai", r#"veth("hosta", "hostb"); addr("lo", "10.99.0.1/32"); sleep(1);"#);
    for (text, recovered) in [
        (r#"bridge("hostb");"#, true),
        (r#"veth("hostc", "hostd"); link_rename("hostc", "hosta");"#, true),
        (r#"addr("lo", "10.99.0.1/32");"#, true),
        (r#"veth("hostc", "hostd"); addr("lo", "10.99.0.2/32");"#, false),
    ] {
        // Once both are there.
        let killed = command(&["--host", &first]).env("NSSCRIPT_FAULT", "kill-before@3").output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
        let second = lab(folder.path(), "second.rhai", text);
        let planned = run(&["--host", "plan", &second]).ends(0);
        assert_eq!(planned.err.contains("run `first` was killed"), recovered, "{}", planned.err);
        let ran = run(&["--host", &second]).ends(0);
        assert!(ran.err.contains("`first` was killed and left something open"), "{}", ran.err);
        assert_eq!(
            ran.err.contains("run `first` was killed: its 2 steps are undone, verified"),
            recovered,
            "{}",
            ran.err
        );
        line("down second").ends(0).says("verified");
        line("recover").ends(0);
        assert!(!std::path::Path::new("/run/nsscript").exists());
    }
    // Not where this one builds on what it left, and not for what is somebody else's by now.
    for (text, code) in [
        (r#"addr("hosta", "10.98.0.1/24"); bridge("hostb");"#, 1),
        (r#"try { bridge("theirs"); } catch (e) { print(e.kind); }"#, 0),
    ] {
        let given_up =
            r#"veth("theirs", "hostb"); link_rename("theirs", "hosta"); sleep(1); addr("lo", "10.99.0.1/32");"#;
        let first = lab(folder.path(), "first.rhai", given_up);
        let killed = command(&["--host", &first]).env("NSSCRIPT_FAULT", "kill-before@3").output().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
        shell("ip link add theirs type bridge");
        let second = lab(folder.path(), "second.rhai", text);
        let ran = run(&["--host", &second]).ends(code);
        assert!(!ran.err.contains("are undone"), "{}", ran.err);
        shell("ip link show hosta; ip link del theirs");
        line("recover").ends(0).says("verified");
    }
}

/// Runs a script of this name, killed before or after one of its changes.
fn killed_at(folder: &Path, name: &str, text: &str, at: &str) {
    let script = lab(folder, name, text);
    let killed = command(&["--host", &script]).env("NSSCRIPT_FAULT", format!("kill-{at}")).output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9), "{text}");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn an_index_that_a_killed_run_left_taken_is_made_free() {
    isolated!("labs::an_index_that_a_killed_run_left_taken_is_made_free");
    let folder = tempfile::tempdir().unwrap();
    for second in [
        r#"veth("y0", "y1", #{ index: 50 });"#,
        r#"veth("y1", "y0", #{ b: #{ index: 50 } });"#,
        r#"bridge("y1", #{ index: 50 });"#,
    ] {
        killed_at(folder.path(), "first.rhai", r#"veth("z0", "z1", #{ index: 50 });"#, "after@1");
        let script = lab(folder.path(), "second.rhai", second);
        run(&["--host", &script]).ends(0).says("run `first` was killed: its 1 steps are undone, verified");
        shell("ip link show y1; ! ip link show z0");
        line("down second").ends(0).says("verified");
        assert!(!Path::new("/run/nsscript").exists());
    }
    // Not where another link of somebody else's is at it.
    killed_at(folder.path(), "first.rhai", r#"netns_add("n"); veth("z0", "z1", #{ index: 50 });"#, "after@2");
    shell("ip link del z0; ip link add theirs index 51 type bridge");
    let script = lab(folder.path(), "second.rhai", r#"bridge("y1", #{ index: 51 });"#);
    let ran = run(&["--host", &script]).ends(1).says("index 51 is taken");
    assert!(!ran.err.contains("are undone"), "{}", ran.err);
    line("recover").ends(0).says("verified");
    shell("ip link show theirs");
}

/// Killed between the two calls by which a name is bound, or unbound: its file is there, and nothing bound to it.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_name_that_a_killed_run_left_half_bound_is_made_free() {
    isolated!("labs::a_name_that_a_killed_run_left_half_bound_is_made_free");
    let folder = tempfile::tempdir().unwrap();
    let second = lab(folder.path(), "second.rhai", r#"netns_add("foo");"#);
    shell("ip netns add foo; ip netns del foo");
    for (text, at, half) in [
        (r#"netns_add("foo");"#, "before@1", "touch /run/netns/foo"),
        (r#"netns_attach("foo", "/proc/self/ns/net");"#, "before@1", "touch /run/netns/foo"),
        // Killed in its undo.
        (r#"netns_add("foo"); netns_add("bar");"#, "before@2", "umount /run/netns/foo; test -f /run/netns/foo"),
    ] {
        killed_at(folder.path(), "first.rhai", text, at);
        shell(half);
        run(&["--host", &second]).ends(0).says("run `first` was killed: its").says("undone, verified");
        line("down second").ends(0).says("verified");
        line("netns list").ends(0).prints("");
        assert!(!Path::new("/run/nsscript").exists());
    }
    // What it had unbound is there again, and in the way as before.
    shell("ip netns add foo");
    killed_at(folder.path(), "first.rhai", r#"netns_add("bar"); netns_del("foo");"#, "before@2");
    run(&["--host", &second]).ends(1).says("namespace `foo` exists already");
    line("recover").ends(0);
    // A killed run's name that somebody took is no lab's.
    killed_at(folder.path(), "first.rhai", r#"netns_add("bar"); sleep(1); netns_add("baz");"#, "before@2");
    shell("ip netns del bar; ip netns add bar");
    let third = lab(folder.path(), "third.rhai", r#"netns_add("bar");"#);
    let ran = run(&["--host", &third]).ends(1).says("namespace `bar` exists already");
    assert!(!ran.err.contains("it belongs to lab"), "{}", ran.err);
    line("recover").ends(3).says("namespace `bar` is another's now: left");
    assert_eq!(line("netns list").ends(0).out.lines().count(), 2);
}

#[test]
fn files_of_namespaces_in_a_sandbox_go_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("of-a-sandbox-{}", std::process::id());
    let text = format!(
        r#"let h = netns_add("{name}"); hosts(h, #{{ server: "10.0.0.2/24" }}); print(exec_in(h, "cat /etc/hosts").stdout);
        print(exec_in(h, "ls /etc/netns").lines);"#
    );
    let script = lab(folder.path(), "hosts.rhai", &text);
    let ran = run(&["--sandbox", &script]).ends(0);
    assert!(ran.out.contains("10.0.0.2") && ran.out.contains(&format!("[\"{name}\"]")), "{}", ran.out);
    assert!(!std::path::Path::new("/etc/netns").join(&name).exists());
}

#[test]
fn what_follows_a_link_in_another_namespace_is_led_back() {
    isolated!("labs::what_follows_a_link_in_another_namespace_is_led_back");
    let folder = tempfile::tempdir().unwrap();
    shell(
        "ip netns add base; ip netns add other
        for ns in base other; do ip netns exec $ns sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; done
        ip -n base link add x type veth peer name y
        ip -n base link set x up; ip -n base link set y up
        ip -n base link add name upper link x netns other type macvlan mode bridge
        ip -n base link add name whole link y netns other type macvlan mode passthru
        ip -n other link set upper up; ip -n other link set whole up
        ip -n other addr add fd00::1/64 dev upper; ip -n other addr add 10.1.0.1/24 dev upper",
    );
    let look = || {
        shell(
            "for ns in base other; do ip -n $ns -o link | sed 's/ qdisc.*link/ link/'; ip -n $ns -o addr | grep -v fe80 || true; ip -n $ns route; done
            ip netns exec other cat /proc/sys/net/ipv6/conf/upper/mtu 2>&1 || true",
        )
    };
    let before = look();
    for change in [
        r#"link_set("base:x", #{ mtu: 1400 });"#,
        r#"link_set("base:x", #{ mtu: 1000 });"#,
        r#"link_set("base:x", #{ mtu: 1400, mac: "02:00:00:00:00:77" });"#,
        r#"link_set("other:whole", #{ mac: "02:00:00:00:00:77" });"#,
        r#"link_set("base:y", #{ mac: "02:00:00:00:00:77" });"#,
        r#"link_down("base:x");"#,
    ] {
        let script =
            lab(folder.path(), "one.rhai", &format!(r#"{change} if args().len() > 0 {{ fail("on purpose"); }}"#));
        run(&["--host", &script, "fail"]).ends(1).says(", verified");
        assert_eq!(look(), before, "{change}");
        if cfg!(debug_assertions) {
            for at in ["before", "after"] {
                let killed =
                    command(&["--host", &script]).env("NSSCRIPT_FAULT", format!("kill-{at}@1")).output().unwrap();
                assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
                line("recover").ends(0).says("verified");
                assert_eq!(look(), before, "{change}, killed {at} it");
            }
        }
        run(&["--host", &script]).ends(0);
        assert_ne!(look(), before, "{change}");
        line("down one").ends(0).says("verified");
        assert_eq!(look(), before, "{change}, taken down");
    }
    // Each of several, and its IPv6 settings too.
    shell(
        "ip -n base link add name second link x netns other type macvlan mode bridge; ip -n other link set second up
        ip netns exec other sh -c 'cd /proc/sys/net/ipv6/conf; for l in upper second; do echo 1300 >$l/mtu; echo 0 >$l/accept_ra; done'",
    );
    let settings = || {
        shell(
            "ip netns exec other sh -c 'cd /proc/sys/net/ipv6/conf; cat upper/mtu second/mtu upper/accept_ra second/accept_ra'",
        )
    };
    let before_settings = settings();
    run(&["--host", "-e", r#"link_set("base:x", #{ mtu: 1000 }); fail("on purpose")"#]).ends(1).says(", verified");
    assert_eq!(settings(), before_settings);
    shell("ip -n other link del second");
    // A vxlan goes with its device wherever that goes.
    shell(
        "ip netns add third; ip -n base link add z type veth peer name zz; ip -n base link add v type vxlan id 5 dev z dstport 4789; ip -n base link set v netns other",
    );
    for refused in [r#"link_del("base:z")"#, r#"link_move("base:z", "third")"#] {
        run(&["--host", "-e", refused]).ends(1).says("vxlan `v` in namespace `other` was there before and can't be");
        shell("ip -n other link show v");
    }
    shell("ip -n base link del z");
    let before = look();
    run(&["--host", "-e", r#"link_del("base:x")"#])
        .ends(1)
        .says("macvlan `upper` in namespace `other` was there before and can't be")
        .says("on which it is, since it is in another namespace");
    assert_eq!(look(), before);
}

#[test]
fn a_lab_is_replaced_all_or_nothing() {
    isolated!("labs::a_lab_is_replaced_all_or_nothing");
    let folder = tempfile::tempdir().unwrap();
    let cookie = r#"print(netns("a").cookie);"#;
    let old = format!(
        r#"netns_add("a"); veth("hosta", "hostb", #{{ addr: "10.99.0.1/24" }}); start("a", "sleep 1000"); {cookie}"#
    );
    let new =
        format!(r#"netns_add("a"); veth("hosta", "hostb"); {cookie} if args().len() > 0 {{ fail("on purpose"); }}"#);
    let (old, new) = (lab(folder.path(), "old.rhai", &old), lab(folder.path(), "new.rhai", &new));
    let first = run(&["--host", "--name", "x", &old]).ends(0).out;
    let pids = || line("netns pids a").ends(0).out;
    let running = pids();
    assert_eq!(running.lines().count(), 1);
    // The new one fails: the same namespace, process and address are back.
    run(&["--host", "--name", "x", "--replace", &new, "fail"]).ends(1).says("on purpose").says(", verified");
    assert_eq!(run(&["--host", "-q", "-e", cookie]).ends(0).out, first);
    assert_eq!(pids(), running);
    run(&[
        "--host",
        "-q",
        "-e",
        "assert_eq(addrs(\":hosta\").filter(|a| a.family == \"inet\")[0].cidr, \"10.99.0.1/24\")",
    ])
    .ends(0);
    assert!(line("ls").ends(0).out.contains("healthy"));
    // The new one stands: nothing of the old is left.
    let second = run(&["--host", "--name", "x", "--replace", &new]).ends(0).out;
    assert_ne!(second, first);
    assert_eq!(pids(), "");
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down x").ends(0).says("verified");
    line("netns list").ends(0).prints("");
    assert!(!std::path::Path::new("/run/nsscript").exists());
}

pub(crate) fn shell(text: &str) -> String {
    let done = Command::new("sh").args(["-ec", text]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_lab_that_changed_what_was_there_before_is_replaced() {
    isolated!("labs::a_lab_that_changed_what_was_there_before_is_replaced");
    let folder = tempfile::tempdir().unwrap();
    shell(
        "ip netns add base
        ip -n base link add x type veth peer name y
        ip -n base link set x up
        ip -n base link set y up
        ip -n base addr add 10.1.0.1/24 dev x
        ip -n base route add 10.9.0.0/16 dev x",
    );
    // IPv6's own addresses come when they like.
    let look = || {
        shell(
            "ip -n base -4 addr | grep -v valid_lft; ip -n base -4 route show table all; ip -n base rule; tc -n base qdisc
            ip netns exec base cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/x/forwarding; ls /run; ls /run/netns",
        )
    };
    let before = look();
    let script = r#"
        netns_add("q");
        netns_attach("other", "/run/netns/base");
        sysctl("base", "net.ipv4.ip_forward", 1);
        link_set("base:x", #{ mtu: 1400 });
        addr("base:x", "10.2.0.2/24");
        addr_del("base:x", "10.1.0.1/24");
        route("base", "10.8.0.0/16", #{ dev: "y" });
        rule("base", #{ from: "10.8.0.0/16", table: 100 });
        link_rename("base:y", "z");
        qdisc("base:x", "tbf", #{ handle: "5:", rate: "1mbit", burst: 5000, latency: "50ms" });
        write_file("/run/of-the-lab", "x\n");
        if args().len() > 0 { fail("on purpose"); }"#;
    let script = lab(folder.path(), "one.rhai", script);
    run(&["--host", &script]).ends(0);
    let stands = look();
    assert_ne!(stands, before);
    run(&["--host", "--replace", &script, "fail"]).ends(1).says("on purpose").says(", verified");
    assert_eq!(look(), stands);
    for _ in 0..2 {
        run(&["--host", "--replace", &script]).ends(0);
        assert_eq!(look(), stands);
        assert!(line("ls").ends(0).out.contains("healthy"));
    }
    line("down one").ends(0).says("verified");
    assert_eq!(look(), before);
    // So has one its own link there, moved out of a namespace of its own.
    let moved = r#"netns_add("q"); veth("q:moved", "q:other"); link_move("q:moved", "base"); addr("base:moved", "10.3.0.1/24");
        if args().len() > 0 { fail("on purpose"); }"#;
    let moved = lab(folder.path(), "moved.rhai", moved);
    run(&["--host", &moved]).ends(0);
    let stands = look();
    run(&["--host", "--replace", &moved, "fail"]).ends(1).says("on purpose").says(", verified");
    assert_eq!(look(), stands);
    run(&["--host", "--replace", &moved]).ends(0);
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down moved").ends(0).says("verified");
    assert_eq!(look(), before);
    // A link at the index of one that the lab had made is left, where it is somebody else's.
    let pair = lab(folder.path(), "pair.rhai", r#"if args().len() == 0 { veth("base:ours", "base:other"); }"#);
    run(&["--host", "--name", "pair", &pair]).ends(0);
    shell(
        "i=$(ip -n base -o link show ours | cut -d: -f1); ip -n base link del ours
        ip -n base link add theirs index $i type veth peer name theirs2 index 7002",
    );
    run(&["--host", "--name", "pair", "--replace", &pair, "nothing"]).ends(0);
    shell("ip -n base link show theirs");
}

#[test]
fn what_a_replaced_lab_had_deleted_of_its_own_stays_away() {
    isolated!("labs::what_a_replaced_lab_had_deleted_of_its_own_stays_away");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add br0 type bridge; ip link add br1 type bridge");
    let look = || shell("ip -o link show br0; ip -br link | wc -l");
    let before = look();
    let old = r#"addr("br1", "10.1.0.1/24"); bridge("x0"); link_del("x0");
        netns_add("a"); veth("va", "a:e0"); link_set("va", #{ master: "br0" }); netns_del("a");"#;
    run(&["--host", &lab(folder.path(), "t.rhai", old)]).ends(0);
    for text in [old, old, "netns_add(`n`);"] {
        let ran = run(&["--host", "--replace", &lab(folder.path(), "t.rhai", text)]).ends(0);
        assert!(!ran.err.contains("somebody else"), "{}", ran.err);
    }
    assert_eq!(look(), before);
    line("down t").ends(0).says("verified");
}

//! Runs on top of each other, killed or standing, and what others do before they are undone.

use super::labs::{lab, shell};
use super::*;

/// The end of a script that kills its run.
const KILL: &str = r#"exec_in(host(), ["sh", "-c", "kill -9 $PPID"]);"#;

/// Runs a script of this name, killed at its end.
fn killed(folder: &Path, name: &str, text: &str) {
    let script = lab(folder, &format!("{name}.rhai"), &format!("{text} {KILL}"));
    let ran = run(&["--host", &script]);
    assert_eq!(ran.code, None, "{text}: {}", ran.err);
}

fn stands(folder: &Path, name: &str, text: &str) {
    run(&["--host", &lab(folder, &format!("{name}.rhai"), text)]).ends(0);
}

fn mtu() -> String {
    std::fs::read_to_string("/sys/class/net/e0/mtu")
        .unwrap_or_else(|_| shell("ip -o link show e0 | sed 's/.* mtu //; s/ .*//'"))
        .trim()
        .to_string()
}

#[test]
fn the_last_is_undone_first() {
    isolated!("stacked::the_last_is_undone_first");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell("ip link add e0 type veth peer name e1");
    let (first, second) = (r#"link_set("e0", #{ mtu: 1400 });"#, r#"link_set("e0", #{ mtu: 1300 });"#);
    killed(folder, "a", &format!(r#"netns_add("n"); {first}"#));
    killed(folder, "b", &format!(r#"netns_del("n"); {second}"#));
    line("recover").ends(0);
    line("netns list").ends(0).prints("");
    assert_eq!(mtu(), "1500");
    stands(folder, "a", first);
    killed(folder, "b", second);
    line("down a").ends(0).says("run `b`, which was killed, is undone first").says("verified");
    assert_eq!(mtu(), "1500");
    stands(folder, "a", first);
    stands(folder, "b", second);
    line("down a b").ends(0).says("verified");
    assert_eq!(mtu(), "1500");
    // Of another's.
    stands(folder, "a", first);
    killed(folder, "b", r#"netns_add("m");"#);
    line("down a").ends(0).says("verified");
    assert!(line("netns list").ends(0).out.contains('m'));
    line("recover").ends(0).says("run `b` was killed");
}

#[test]
fn a_namespace_whose_name_is_taken_is_kept() {
    isolated!("stacked::a_namespace_whose_name_is_taken_is_kept");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add theirs; ip -n theirs link add x type veth peer name y");
    killed(folder.path(), "a", r#"netns_del("theirs");"#);
    shell("ip netns add theirs");
    for _ in 0..2 {
        line("recover").ends(3).says("is kept: free the name");
    }
    shell("ip netns del theirs");
    line("recover").ends(0).says("verified");
    shell("ip -n theirs link show x");
    assert!(!Path::new("/run/nsscript").exists());
}

#[test]
fn what_a_process_left_belongs_to_the_lab() {
    isolated!("stacked::what_a_process_left_belongs_to_the_lab");
    let folder = tempfile::tempdir().unwrap();
    stands(
        folder.path(),
        "a",
        r#"let p = start(host(), ["sh", "-c", "setsid sleep 4711 >/dev/null 2>&1 & exit 0"]); p.wait();"#,
    );
    let sleeps = || shell("pgrep -fxc 'sleep 4711' || true").trim().to_string();
    // The run may be over before what its shell left has become that program.
    eventually("no program was left", || sleeps() == "1");
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down a").ends(0).says("verified");
    assert_eq!(sleeps(), "0");
}

/// Between a kill before a step and `recover` somebody else changes what that step was about.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn what_a_step_did_not_do_is_somebody_elses() {
    isolated!("stacked::what_a_step_did_not_do_is_somebody_elses");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add e0 type veth peer name e1");
    let key = "/proc/sys/net/ipv4/ip_default_ttl";
    for (text, theirs, stays) in [
        (
            r#"link_set("e0", #{ mtu: 1400 });"#,
            "ip link set e0 mtu 1450".to_string(),
            "ip link show e0 | grep -q 'mtu 1450'".to_string(),
        ),
        (r#"sysctl(host(), "net.ipv4.ip_default_ttl", 99);"#, format!("echo 70 > {key}"), format!("grep -qx 70 {key}")),
        (r#"bridge("our0");"#, "ip link add theirs type bridge".into(), "ip link show theirs".into()),
    ] {
        let script = lab(folder.path(), "a.rhai", &format!(r#"netns_add("n"); {text}"#));
        let ran = Ran::from(command(&["--host", &script]).env("NSSCRIPT_FAULT", "kill-before@2").output().unwrap());
        assert_eq!(ran.code, None, "{text}");
        shell(&theirs);
        let ended = line("recover");
        assert!(matches!(ended.code, Some(0 | 3)), "{text}");
        shell(&stays);
        line("netns list").ends(0).prints("");
    }
}

/// A link from before that went into a lab's namespace would go with that.
#[test]
fn what_was_done_upon_a_lab_is_undone_before_it() {
    isolated!("stacked::what_was_done_upon_a_lab_is_undone_before_it");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    shell("ip link add e0 type veth peer name e1");
    let base = lab(folder, "base.rhai", r#"netns_add("labns"); veth("hosta", "hostb");"#);
    let builds = [
        r#"link_move("e0", "labns");"#,
        r#"netns_add("o"); link_move("e0", "o"); link_move("o:e0", "labns");"#,
        r#"veth("v0", "labns:v1");"#,
        r#"bridge("labns:d");"#,
        r#"addr("hosta", "10.9.0.1/24");"#,
        r#"macvlan("m", #{ link: "hosta" });"#,
        r#"bridge("br"); link_set("hosta", #{ master: "br" });"#,
        r#"netns_add("o"); link_move("hosta", "o");"#,
        r#"start("labns", "sleep 4711");"#,
    ];
    let links = || shell("ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | sort");
    let before = links();
    let gone = || {
        assert_eq!(links(), before);
        line("netns list").ends(0).prints("");
        assert!(!Path::new("/run/nsscript").exists());
    };
    for text in builds {
        // Killed: it is undone first.
        run(&["--host", &base]).ends(0);
        killed(folder, "b", text);
        line("down base").ends(0).says("run `b`, which was killed, is undone first").says("verified");
        gone();
        run(&["--host", &base]).ends(0);
        killed(folder, "b", text);
        run(&["--host", "--replace", &base]).ends(0).says("run `b`, which was killed, is undone first");
        line("down base").ends(0).says("verified");
        gone();
        // It stands: first that is taken down.
        run(&["--host", &base]).ends(0);
        stands(folder, "b", text);
        let (all, drifted) = (links(), line("ls").out.matches("drifted").count());
        for args in [vec!["down", "base"], vec!["--host", "--replace", &base]] {
            run(&args).ends(1).says("lab `b`, which stands, builds on `base`").says("`nsscript down b`");
            assert_eq!(links(), all, "{text}");
            assert_eq!(line("ls").ends(0).out.matches("drifted").count(), drifted, "{text}");
        }
        line("down base b").ends(0).says("verified");
        gone();
    }
    // What a killed run made is kept for a lab too that was built on it.
    killed(folder, "k", r#"netns_add("labns");"#);
    stands(folder, "b", builds[0]);
    line("recover").ends(1).says("lab `b`, which stands, builds on `k`");
    line("down b").ends(0).says("verified");
    line("recover").ends(0).says("verified");
    gone();
    // Gone already, nothing of it is built upon.
    run(&["--host", &base]).ends(0);
    stands(folder, "b", r#"link_set("hosta", #{ mtu: 1400 }); link_del("hosta"); netns_del("labns");"#);
    line("down base").ends(0).says("verified");
    line("recover").ends(0);
}

/// A session began before the lab upon which it builds later.
#[test]
fn who_builds_on_a_lab_may_have_begun_before_it() {
    isolated!("stacked::who_builds_on_a_lab_may_have_begun_before_it");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add e0 type veth peer name e1");
    let base = lab(folder.path(), "base.rhai", r#"netns_add("labns");"#);
    let text = format!(
        r#"netns_add("early"); exec_in(host(), ["{PROGRAM}", "--host", "{base}"]); link_move("e0", "labns");
        print(exec_in(host(), ["{PROGRAM}", "down", "base"], #{{ check: false }}).stderr);"#
    );
    let outer = lab(folder.path(), "outer.rhai", &text);
    let ran = run(&["--host", &outer]).ends(0);
    assert!(ran.out.contains("run `outer`, which is under way, builds on `base`"), "{}{}", ran.out, ran.err);
    line("down base").ends(1).says("lab `outer`, which stands, builds on `base`");
    line("down --all").ends(0).says("verified");
    shell("ip link show e0");
    assert!(!Path::new("/run/nsscript").exists());
}

/// The clock on the wall may be set back between two runs, the one since boot never goes back. What people are told is by the first.
#[test]
fn who_began_later_is_told_by_the_clock_since_boot() {
    isolated!("stacked::who_began_later_is_told_by_the_clock_since_boot");
    let folder = tempfile::tempdir().unwrap();
    let since_boot = || {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
        u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap()
    };
    let wall = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (began, started) = (since_boot(), wall());
    stands(folder.path(), "a", r#"netns_add("n");"#);
    let text = std::fs::read_to_string("/run/nsscript/labs/a/journal").unwrap();
    let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!((began..=since_boot()).contains(&header["began"].as_u64().unwrap()), "{header}");
    assert!((started..=wall()).contains(&header["started"].as_u64().unwrap()), "{header}");
    line("down a").ends(0).says("verified");
}

#[test]
fn labs_that_stand_on_each_other_in_a_ring_can_be_taken_down() {
    isolated!("stacked::labs_that_stand_on_each_other_in_a_ring_can_be_taken_down");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // `a` makes `n`, `b` is upon that and makes `m`, `c` upon that and makes `o`, where `a` then does something.
    let program = env!("CARGO_BIN_EXE_nsscript");
    let inner = |name: &str, text: &str| {
        let script = lab(folder, &format!("{name}.rhai"), text);
        format!(r#"exec_in(host(), [{program:?}, "--host", {script:?}]);"#)
    };
    let b = inner("b", r#"link_up("n:lo"); netns_add("m");"#);
    let c = inner("c", r#"link_up("m:lo"); netns_add("o");"#);
    stands(folder, "a", &format!(r#"netns_add("n"); {b} {c} link_up("o:lo");"#));
    line("down a").ends(1).says("builds on");
    line("down --all").ends(0);
    line("netns list").ends(0).prints("");
    assert!(!Path::new("/run/nsscript").exists());
}

//! What an undo could not bring back, or was cut short at: it is said at the end, and kept for recover.

use super::labs::{lab, shell};
use super::*;

/// Runs a script with a fault at each change in turn, until `reached`.
#[track_caller]
fn cut(script: &str, mode: &str, reached: impl Fn() -> bool) -> Ran {
    for at in 1..20 {
        let ran =
            Ran::from(command(&["--host", script]).env("NSSCRIPT_FAULT", format!("{mode}@{at}")).output().unwrap());
        if reached() {
            return ran;
        }
        line("recover");
    }
    panic!("it is never reached");
}

#[test]
fn a_namespace_whose_name_is_taken_is_kept_whatever_undoes_it() {
    isolated!("honest::a_namespace_whose_name_is_taken_is_kept_whatever_undoes_it");
    let folder = tempfile::tempdir().unwrap();
    let taken =
        r#"try { transaction(|| { netns_del("foo"); sh(host(), "ip netns add foo"); fail("x"); }); } catch (e) {}"#;
    for end in ["", "fail(\"end\");"] {
        shell("ip netns add foo; ip -n foo link add keepme type veth peer name km2");
        let script = lab(folder.path(), "t.rhai", &format!("{taken}{end}"));
        run(&["--host", &script]).ends(3).says("is kept");
        line("recover").ends(3).says("free the name");
        shell("ip netns del foo");
        line("recover").ends(0).says("verified");
        shell("ip -n foo link show keepme; ip netns del foo");
    }
    // Free by then, the name is given back at the end.
    shell("ip netns add foo; ip -n foo link add keepme type veth peer name km2");
    let script = lab(folder.path(), "t.rhai", &format!("{taken} sh(host(), \"ip netns del foo\"); fail(\"end\");"));
    run(&["--host", &script]).ends(1);
    shell("ip -n foo link show keepme");
    line("recover").ends(0).says("nothing to recover");
}

#[test]
fn what_an_inner_undo_left_counts_at_the_end() {
    isolated!("honest::what_an_inner_undo_left_counts_at_the_end");
    let folder = tempfile::tempdir().unwrap();
    let script = lab(
        folder.path(),
        "t.rhai",
        r#"try { transaction(|| { bridge("b0"); sh(host(), "ip link set b0 name zz"); fail("x"); }); } catch (e) {}
        veth("k0", "k1"); fail("end");"#,
    );
    run(&["--host", &script]).ends(3).says("`b0`").says("deleted or renamed by somebody else");
    shell("ip link show zz; ip link del zz; ip netns add old");
    let script = lab(
        folder.path(),
        "t.rhai",
        r#"try { transaction(|| { netns_set("old", 77); fail("x"); }); } catch (e) {} fail("end");"#,
    );
    run(&["--host", &script]).ends(3).says("the nsid of namespace `old`");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_file_that_an_undo_was_cut_short_at_comes_back() {
    isolated!("honest::a_file_that_an_undo_was_cut_short_at_comes_back");
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let mode = || file.metadata().unwrap().permissions().mode() & 0o7777;
    for step in ["write_file(FILE, `new`)", "remove_file(FILE)"] {
        let text = format!("{}; fail(\"x\");", step.replace("FILE", &format!("{:?}", file.to_string_lossy())));
        let script = lab(folder.path(), "t.rhai", &text);
        let begin = || {
            std::fs::write(&file, "what was there").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
            // The undo has said that it begins, and does no more.
            cut(&script, "kill-before", || {
                let journal = std::fs::read_to_string("/run/nsscript/labs/t/journal").unwrap_or_default();
                journal.contains("\"line\":\"lead\"")
            });
        };
        // As a kill in the midst of its writing leaves it.
        for left in ["", "what was", "what was there"] {
            begin();
            std::fs::write(&file, left).unwrap();
            if step.starts_with("remove") {
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
            line("recover").ends(0).says("verified");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "what was there");
            assert_eq!(mode(), 0o666);
        }
        begin();
        std::fs::write(&file, "somebody's").unwrap();
        line("recover").ends(3).says("was changed by somebody else: left");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's");
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_link_that_was_in_the_way_of_a_killed_run_stays() {
    isolated!("honest::a_link_that_was_in_the_way_of_a_killed_run_stays");
    let folder = tempfile::tempdir().unwrap();
    for make in [r#"bridge("b0")"#, r#"macvlan("b0", #{ link: "a0" })"#, r#"tap("b0")"#] {
        // Its index is the next that would be chosen.
        let text = format!(r#"veth("a0", "a1"); sh(host(), "ip link add b0 type bridge"); {make};"#);
        let script = lab(folder.path(), "t.rhai", &text);
        for at in 2..4 {
            let fault = format!("kill-after@{at}");
            let ran = Ran::from(command(&["--host", &script]).env("NSSCRIPT_FAULT", fault).output().unwrap());
            line("recover").ends(0);
            shell("ip link show b0; ip link del b0");
            if ran.code.is_some() {
                break;
            }
        }
    }
}

#[test]
fn a_file_that_finds_no_room_is_kept_until_there_is_some() {
    isolated!("honest::a_file_that_finds_no_room_is_kept_until_there_is_some");
    let folder = tempfile::tempdir().unwrap();
    shell("mkdir /run/small; mount -t tmpfs -o size=64k small /run/small");
    let old = "x".repeat(20000);
    let fill =
        r#"write_file("/run/small/f", "new"); sh(host(), "head -c 100000 /dev/zero > /run/small/filler || true");"#;
    for (end, code) in [("fail(\"x\");", Some(3)), (r#"sh(host(), "kill -9 $PPID");"#, None)] {
        std::fs::write("/run/small/f", &old).unwrap();
        let script = lab(folder.path(), "t.rhai", &format!("{fill}{end}"));
        let ran = run(&["--host", &script]);
        assert_eq!(ran.code, code, "{}", ran.err);
        line("recover").ends(3).says("no space left on device; what the file was is kept");
        std::fs::remove_file("/run/small/filler").unwrap();
        line("recover").ends(0).says("verified");
        assert_eq!(std::fs::read_to_string("/run/small/f").unwrap(), old);
        assert!(!Path::new("/run/nsscript").exists());
    }
}

#[test]
fn a_lab_that_is_not_replaced_after_all_has_its_files_and_folders() {
    isolated!("honest::a_lab_that_is_not_replaced_after_all_has_its_files_and_folders");
    let folder = tempfile::tempdir().unwrap();
    // Of the machine's names one that nobody else has.
    let name = folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_string();
    let text = format!(r#"netns_add("{name}"); hosts("{name}", #{{ a: "1.1.1.1" }});"#);
    run(&["--host", "--name", "x", &lab(folder.path(), "a.rhai", &text)]).ends(0);
    let hosts = format!("/etc/netns/{name}/hosts");
    let before = std::fs::read_to_string(&hosts).unwrap();
    let script = lab(folder.path(), "b.rhai", "fail(`x`);");
    run(&["--host", "--name", "x", "--replace", &script]).ends(1).says("verified");
    assert_eq!(std::fs::read_to_string(&hosts).unwrap(), before);
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down x").ends(0);
    assert!(!Path::new(&hosts).exists());
}

#[test]
fn what_a_commit_took_along_is_blamed_on_nobody() {
    isolated!("honest::what_a_commit_took_along_is_blamed_on_nobody");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add old; ip link add e0 type veth peer name e1 netns old; ip link add m0 link e0 type macvlan");
    let text = r#"addr("e0", "10.8.5.5/24"); link_set("m0", #{ mtu: 1400 }); netns_del("old");"#;
    run(&["--host", &lab(folder.path(), "t.rhai", text)]).ends(0);
    shell("for i in $(seq 500); do ip link show m0 2>/dev/null || exit 0; sleep 0.01; done; exit 1");
    line("down t")
        .ends(0)
        .says("link `m0` went with the namespace of the other end of what it was on")
        .says("verified");
}

#[test]
fn what_somebody_changed_of_a_lab_that_is_replaced_is_told_and_left() {
    isolated!("honest::what_somebody_changed_of_a_lab_that_is_replaced_is_told_and_left");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add e0 type veth peer name e1");
    let file = folder.path().join("file");
    let text = format!(r#"link_set("e0", #{{ mtu: 1400 }}); write_file({file:?}, "ours");"#);
    run(&["--host", "--name", "x", &lab(folder.path(), "a.rhai", &text)]).ends(0);
    shell("ip link set e0 mtu 1350");
    std::fs::write(&file, "theirs").unwrap();
    let script = lab(folder.path(), "b.rhai", r#"netns_add("n");"#);
    run(&["--host", "--name", "x", "--replace", &script])
        .ends(0)
        .says("link `e0`: somebody else changed its mtu")
        .says("was changed by somebody else: left");
    shell("ip -o link show e0 | grep -q 'mtu 1350'");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
    line("down x").ends(0);
}

#[test]
fn what_the_kernel_took_along_is_no_drift() {
    isolated!("honest::what_the_kernel_took_along_is_no_drift");
    let folder = tempfile::tempdir().unwrap();
    let text = r#"netns_add("n", #{ lo: true }); route("n", "fd72::/64", #{ type: "blackhole" }); link_down("n:lo");"#;
    run(&["--host", &lab(folder.path(), "t.rhai", text)]).ends(0);
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down t").ends(0).says("verified");
}

#[test]
fn a_compensation_is_not_cut_short_by_a_signal() {
    isolated!("honest::a_compensation_is_not_cut_short_by_a_signal");
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let signal = r#"sh(host(), "kill -INT $PPID");"#;
    let hook = format!(r#"on_rollback(|| {{ {signal} sh(host(), ["touch", {done:?}]); }});"#);
    let hook = hook.replace("sh(host(), [", "exec_in(host(), [");
    let quiet = format!(r#"on_rollback(|| exec_in(host(), ["touch", {done:?}]));"#);
    for (text, code) in [
        // In the undo of the run, of a transaction, and in that which the signal itself begins.
        (format!("{hook} fail(`x`);"), 1),
        (format!("try {{ transaction(|| {{ {hook} fail(`x`); }}); }} catch (e) {{}}"), 130),
        (format!("transaction(|| {{ {quiet} {signal} exec_in(host(), \"true\"); }});"), 130),
    ] {
        run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(code);
        assert!(done.exists(), "{text}");
        std::fs::remove_file(&done).unwrap();
    }
    // What hangs is ended by a second one.
    let text = format!("on_rollback(|| {{ {signal} {signal} loop {{}} }}); fail(`x`);");
    run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(3).says("on_rollback");
}

#[test]
fn files_that_could_not_be_brought_back_within_come_back_in_their_order() {
    isolated!("honest::files_that_could_not_be_brought_back_within_come_back_in_their_order");
    let folder = tempfile::tempdir().unwrap();
    shell("mkdir /run/small; mount -t tmpfs -o size=64k small /run/small");
    let of = |how: &str| format!(r#"sh(host(), "mount -o remount,{how} /run/small");"#);
    let (ro, rw) = (of("ro"), of("rw"));
    let write = |what: &str| format!(r#"write_file("/run/small/f", "{what}");"#);
    let within = |what: &str| format!("try {{ transaction(|| {{ {what} fail(`x`); }}); }} catch (e) {{}}");
    let (b, c) = (write("B"), write("C"));
    let stuck = |what: &str| format!("{} {rw}", within(&format!("{what} {ro}")));
    for text in [
        // Another undo of the file since; a step on it before; two steps within.
        format!("{} {} fail(`end`);", stuck(&b), within(&c)),
        format!("{b} {} fail(`end`);", stuck(&c)),
        format!("{} fail(`end`);", stuck(&format!("{b} {c}"))),
    ] {
        std::fs::write("/run/small/f", "A").unwrap();
        run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(1);
        assert_eq!(std::fs::read_to_string("/run/small/f").unwrap(), "A", "{text}");
        assert!(!Path::new("/run/nsscript").exists());
    }
    // It is never committed.
    run(&["--host", &lab(folder.path(), "t.rhai", &format!("{} {}", stuck(&b), within(&c)))])
        .ends(1)
        .says("could not bring back `/run/small/f`");
    assert_eq!(std::fs::read_to_string("/run/small/f").unwrap(), "A");
    // Written by halves for want of room, and then there is some; and one that was not there before.
    let old = "x".repeat(20000);
    std::fs::write("/run/small/f", &old).unwrap();
    let fill = r#"sh(host(), "head -c 100000 /dev/zero > /run/small/filler || true");"#;
    let text = format!(r#"{} sh(host(), "rm /run/small/filler"); fail(`end`);"#, within(&format!("{b} {fill}")));
    run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(1);
    assert_eq!(std::fs::read_to_string("/run/small/f").unwrap(), old);
    std::fs::remove_file("/run/small/f").unwrap();
    run(&["--host", &lab(folder.path(), "t.rhai", &format!("{b} {ro} fail(`end`);"))]).ends(3).says("is kept");
    shell("mount -o remount,rw /run/small");
    line("recover").ends(0).says("verified");
    assert!(!Path::new("/run/small/f").exists());
    // Not brought back at the end either, recover does it.
    std::fs::write("/run/small/f", "A").unwrap();
    run(&["--host", &lab(folder.path(), "t.rhai", &format!("{b} {c} {ro} fail(`end`);"))]).ends(3);
    shell("mount -o remount,rw /run/small");
    line("recover").ends(0).says("verified");
    assert_eq!(std::fs::read_to_string("/run/small/f").unwrap(), "A");
}

#[test]
fn the_name_of_an_end_that_went_with_its_namespace_is_free() {
    isolated!("honest::the_name_of_an_end_that_went_with_its_namespace_is_free");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add br0 type bridge; ip link set br0 up");
    let make = r#"netns_add("a"); veth("va", "a:e0"); link_set("va", #{ mtu: 1300, master: "br0" });"#;
    let text = format!(r#"addr("br0", "10.0.0.1/24"); {make} netns_del("a"); {make} netns_del("a"); {make}"#);
    let look = || {
        shell(
            "ip -o link show br0 | sed 's/NO-CARRIER,//; s/,LOWER_UP//; s/state [A-Z]*//'; ip addr show br0 | grep inet || true",
        )
    };
    let before = look();
    run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(0).says("1 namespace, 2 links");
    line("down t").ends(0).says("verified");
    assert_eq!(look(), before);
    run(&["--host", &lab(folder.path(), "t.rhai", &format!("{text} fail(`x`);"))]).ends(1).says("verified");
    assert_eq!(look(), before);
}

#[test]
fn what_a_program_takes_away_as_it_ends_stays_away() {
    isolated!("honest::what_a_program_takes_away_as_it_ends_stays_away");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add e0 type veth peer name e1; ip link set e0 up; ip addr add 10.0.0.1/24 dev e0");
    let program = "trap 'ip route del 10.9.0.0/24 dev e0; exit' TERM; ip route add 10.9.0.0/24 dev e0; echo ready; sleep 1000 & wait";
    let text = format!(
        r#"start(host(), ["sh", "-c", "{program}"], #{{ ready: "ready" }}); addr("e0", "10.0.1.1/24"); fail("x");"#
    );
    run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(1).says("verified");
    assert!(!shell("ip route").contains("10.9.0.0/24"));
}

#[test]
fn what_goes_with_a_namespace_is_brought_back_with_what_hung_on_it() {
    isolated!("honest::what_goes_with_a_namespace_is_brought_back_with_what_hung_on_it");
    let folder = tempfile::tempdir().unwrap();
    shell(
        "ip link add d0 type veth peer name d1; ip addr add 10.0.0.1/24 dev d0; ip link set d1 up; ip link set d0 up",
    );
    shell("ip nexthop add id 5 via 10.0.0.2 dev d0; ip route add 10.9.0.0/16 nhid 5; ip link add br0 type bridge");
    let look = || shell("ip route; ip nexthop; ip -o link show br0; ip netns list");
    let before = look();
    let taken = r#"netns_add("a"); veth("y", "a:x", #{ up: true }); addr("y", "10.1.0.1/24");
        nexthop(5, #{ via: "10.1.0.2", dev: "y", replace: true });"#;
    let port = r#"addr("d1", "10.2.0.1/24"); netns_add("a"); veth("y", "a:x"); link_set("y", #{ master: "br0" });"#;
    // In a namespace from before it is the same.
    shell("ip netns add old");
    let (old, port_old) = (taken.replace(r#"netns_add("a");"#, ""), port.replace(r#"netns_add("a");"#, ""));
    for text in [&old, &port_old].map(|text| text.replace("a:x", "old:x")) {
        run(&["--host", &lab(folder.path(), "t.rhai", &format!(r#"{text} netns_del("old"); fail(`x`);"#))])
            .ends(1)
            .says("verified");
        run(&["--host", &lab(folder.path(), "t.rhai", &format!(r#"{text} netns_del("old");"#))]).ends(0);
        shell("! ip -br link | grep -q ^y@");
        line("down t").ends(0).says("verified");
        shell("ip netns add old");
        let now = look();
        assert_eq!(now.replace("old\n", ""), before, "{text}");
    }
    shell("ip netns del old");
    let within = |text: &str| format!("transaction(|| {{ {text} }});");
    for text in [taken, port] {
        for end in [r#"netns_del("a");"#, r#"link_del("y"); netns_del("a");"#, r#"link_del("a:x"); netns_del("a");"#] {
            // The route went with the nexthop, and that with the link.
            for text in [format!("{text} {end}"), format!("{text} {}", within(end)), within(&format!("{text} {end}"))] {
                run(&["--host", &lab(folder.path(), "t.rhai", &format!("{text} fail(`x`);"))]).ends(1).says("verified");
                assert_eq!(look(), before, "{text}");
                run(&["--host", "--rm", &lab(folder.path(), "t.rhai", &text)]).ends(0).says("verified");
                assert_eq!(look(), before, "{text}");
            }
        }
        // What an inner transaction deletes of before it is gone at the commit at the latest.
        let inner = lab(folder.path(), "t.rhai", &format!("{text} {}", within(r#"netns_del("a");"#)));
        run(&["--host", &inner]).ends(0);
        shell("! ip -br link | grep -q ^y@");
        line("down t").ends(0).says("verified");
        assert_eq!(look(), before);
        // Killed at any moment.
        let script = lab(folder.path(), "t.rhai", &format!(r#"{text} netns_del("a");"#));
        cut(&script, "kill-after", || {
            line("recover").ends(0);
            let stands = line("ls").out.contains("healthy");
            assert!(stands || look() == before, "{text}");
            stands
        });
        line("down t").ends(0).says("verified");
        assert_eq!(look(), before);
    }
}

#[test]
fn a_namespace_that_has_another_name_or_a_program_lives_on_with_its_links() {
    isolated!("honest::a_namespace_that_has_another_name_or_a_program_lives_on_with_its_links");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add br0 type bridge");
    let look = || shell("ip -o link; ip netns list");
    let before = look();
    let make = r#"netns_add("a"); veth("va", "a:e0"); link_set("va", #{ master: "br0" });"#;
    let named = format!(r#"{make} netns_attach("b", "/run/netns/a"); netns_del("b"); veth("vb", "a:e1");"#);
    let script = |end: &str| lab(folder.path(), "t.rhai", end);
    run(&["--host", &script(&named)]).ends(0).says("1 namespace, 4 links");
    shell("ip -n a link show e0; ip -n a link show e1; ip link show va");
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down t").ends(0).says("verified");
    assert_eq!(look(), before);
    let lives = format!(r#"{make} start("a", "sleep 1000"); netns_del("a");"#);
    run(&["--host", &script(&lives)]).ends(0);
    shell("ip link show va");
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down t").ends(0);
    assert_eq!(look(), before);
    // By its second name at last, and by none; a link that is on one in there.
    let renamed = format!("{make} netns_attach(`b`, `/run/netns/a`); netns_del(`a`); netns_del(`b`);");
    let upper = format!(r#"addr("br0", "10.3.0.1/24"); {make} macvlan("mv", #{{ link: "a:e0" }}); netns_del("a");"#);
    let upper_first = upper.replace("netns_del", "link_del(`mv`); netns_del");
    let upper_within = upper.replace(r#"netns_del("a");"#, r#"transaction(|| { netns_del("a"); });"#);
    for text in [&renamed, &upper, &upper_first, &upper_within] {
        run(&["--host", &script(text)]).ends(0);
        assert!(!shell("ip -br link").contains("va@"), "{text}");
        line("down t").ends(0).says("verified");
        assert_eq!(look(), before, "{text}");
    }
    for text in [&named, &lives, &renamed, &upper, &upper_first, &upper_within] {
        run(&["--host", &script(&format!("{text} fail(`x`);"))]).ends(1).says("verified");
        assert_eq!(look(), before, "{text}");
    }
}

#[test]
fn a_file_that_could_not_be_made_is_in_nobodys_way() {
    isolated!("honest::a_file_that_could_not_be_made_is_in_nobodys_way");
    let folder = tempfile::tempdir().unwrap();
    shell("mkdir /run/ro; mount -t tmpfs -o ro ro /run/ro; touch /run/plain");
    let tried = |path: &str| format!(r#"try {{ write_file("{path}", "x") }} catch (e) {{}} netns_add("a");"#);
    for path in ["/run/ro/f", "/run/plain/f"] {
        run(&["--host", "--rm", &lab(folder.path(), "t.rhai", &tried(path))]).ends(0).says("verified");
        run(&["--host", "-e", &format!(r#"write_file("{path}", "x")"#)]).ends(1);
        assert!(!Path::new("/run/nsscript").exists());
    }
}

#[test]
fn what_was_undone_is_others_to_change_while_another_step_waits() {
    isolated!("honest::what_was_undone_is_others_to_change_while_another_step_waits");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add web; ip link add d0 type veth peer name d1");
    let taken = r#"netns_del("web"); sh(host(), "ip netns add web"); fail("x");"#;
    let text = format!(r#"link_set("d0", #{{ mtu: 1400 }}); addr("d0", "10.5.0.5/24"); {taken}"#);
    run(&["--host", &lab(folder.path(), "t.rhai", &text)]).ends(3).says("free the name");
    // By hand, since.
    shell("ip addr add 10.5.0.5/24 dev d0; ip link set d0 mtu 9000; ip link add d2 type veth peer name d3");
    line("recover").ends(3).says("free the name");
    shell("ip netns del web");
    line("recover").ends(0).says("verified");
    assert!(shell("ip -o addr show d0").contains("10.5.0.5/24"));
    assert!(shell("ip -o link show d0").contains("mtu 9000"));
    shell("ip link show d2; ip netns exec web true");
}

#[test]
fn a_namespace_that_a_lab_gave_another_name_gets_its_own_back() {
    isolated!("honest::a_namespace_that_a_lab_gave_another_name_gets_its_own_back");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add web; ip -n web link add keepme type veth peer name km2");
    let script = lab(folder.path(), "t.rhai", r#"netns_attach("b", "/run/netns/web"); netns_del("web");"#);
    let other = lab(folder.path(), "o.rhai", r#"netns_add("o");"#);
    let back = || {
        line("netns list").ends(0).prints("web\n");
        shell("ip -n web link show keepme");
    };
    run(&["--host", &script]).ends(0);
    line("down t").ends(0).says("verified");
    back();
    run(&["--host", &script]).ends(0);
    run(&["--host", "--name", "t", "--replace", &script]).ends(0);
    run(&["--host", "--name", "t", "--replace", &other]).ends(0);
    line("down t").ends(0).says("verified");
    back();
    // The name is taken meanwhile.
    run(&["--host", &script]).ends(0);
    shell("ip netns add web");
    line("down t").ends(3).says("free the name");
    shell("ip -n b link show keepme; ip netns del web");
    line("down t").ends(0).says("verified");
    back();
}

#[test]
fn a_namespace_of_the_runs_own_whose_name_is_taken_goes() {
    isolated!("honest::a_namespace_of_the_runs_own_whose_name_is_taken_goes");
    let folder = tempfile::tempdir().unwrap();
    let text =
        r#"netns_add("a"); transaction(|| { netns_del("a"); }); sh(host(), "ip netns add a; ip -n a link set lo up");"#;
    run(&["--host", &lab(folder.path(), "t.rhai", &format!("{text} fail(`x`);"))]).ends(3).says("another's now: left");
    assert!(shell("ip -n a link show lo").contains("UP"));
    shell("ip netns del a");
    line("recover").ends(0).says("nothing to recover");
    line("netns list").ends(0).prints("");
}

#[test]
fn a_file_that_somebody_removed_stays_away() {
    isolated!("honest::a_file_that_somebody_removed_stays_away");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write("/run/f", "old").unwrap();
    run(&["--host", &lab(folder.path(), "t.rhai", r#"write_file("/run/f", "new");"#)]).ends(0);
    std::fs::remove_file("/run/f").unwrap();
    line("down t").ends(3).says("file `/run/f` was removed by somebody else: left");
    assert!(!Path::new("/run/f").exists());
    // One that the run itself made, however often, is away as it was.
    let twice = r#"write_file("/run/f", "A"); write_file("/run/f", "B"); sh(host(), "rm /run/f"); fail("x");"#;
    run(&["--host", &lab(folder.path(), "t.rhai", twice)]).ends(1).says("verified");
}

/// On kernels before 6.8 it goes within a second.
#[test]
fn what_hangs_on_a_carrier_goes_in_the_step_that_takes_it() {
    isolated!("honest::what_hangs_on_a_carrier_goes_in_the_step_that_takes_it");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add w; ip link add x up type veth peer name y netns w; ip -n w link set y up");
    shell("ip -n w addr add 10.0.0.1/24 dev y; ip -n w nexthop add id 5 via 10.0.0.9 dev y");
    shell("ip -n w route add 10.9.0.0/16 nhid 5");
    let gone = if older_than(6, 8) { "wait_until(|| nexthops(`w`) == [])" } else { "assert_eq(nexthops(`w`), [])" };
    let script = lab(
        folder.path(),
        "t.rhai",
        &format!(
            r#"link_down("x"); {gone};
            try {{ addr("w:y", "10.0.0.1/24"); }} catch (e) {{ assert(!e.message.contains("undone"), e.message); }}
            fail("enough");"#
        ),
    );
    // The kernel hurries the first time only.
    for _ in 0..4 {
        run(&["--host", &script]).ends(1).says("enough").says("verified");
        assert!(shell("ip -n w route show 10.9.0.0/16").contains("nhid 5"));
    }
}

/// Whether the kernel that runs is older.
fn older_than(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) < (major, minor)
}

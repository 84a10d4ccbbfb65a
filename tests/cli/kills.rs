//! What runs that were killed leave of labs and folders, and what others do beside a run: nothing is lost, and nothing stays.

use super::labs::{lab, shell};
use super::*;

const ROOT: &str = "/run/nsscript";

fn there(path: &str) -> bool {
    Path::new(ROOT).join(path).exists()
}

/// Runs with a fault at each change in turn, until `reached` says that it was the one that is meant.
#[track_caller]
fn faulty(args: &[&str], mode: &str, reached: impl Fn(&Ran) -> bool) -> Ran {
    for at in 1..60 {
        let ran = Ran::from(command(args).env("NSSCRIPT_FAULT", format!("{mode}@{at}")).output().unwrap());
        if reached(&ran) {
            return ran;
        }
        assert_ne!(ran.code, Some(0), "it is never reached");
        line("recover");
    }
    panic!("it is never reached");
}

/// A lab `x` that has all: a namespace, a setting of what was there before, a process.
fn whole(folder: &Path) -> String {
    let text = r#"let a = netns_add("a"); sysctl(host(), "net.ipv4.ip_forward", 1); start(a, "sleep 1000");"#;
    lab(folder, "x.rhai", text)
}

fn forwarding() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim().to_string()
}

fn sleepers() -> usize {
    shell("pgrep -fxc 'sleep 1000' || true").trim().parse().unwrap()
}

/// The pid of what runs in namespace `a`.
fn inside_a() -> String {
    line("netns pids a").ends(0).out
}

fn header(folder: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(ROOT).join(folder).join("journal")).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

/// Locks a journal as a run does.
fn locked(folder: &str) -> std::fs::File {
    let path = Path::new(ROOT).join(folder).join("journal");
    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let whole = libc::flock { l_type: libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)).unwrap();
    file
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_commit_that_was_cut_short_is_finished_before_anything_else() {
    isolated!("kills::a_commit_that_was_cut_short_is_finished_before_anything_else");
    let folder = tempfile::tempdir().unwrap();
    let script = whole(folder.path());
    let before = forwarding();
    let replace = ["--host", "--replace", &script];
    let killed = || {
        run(&["--host", &script]).ends(0);
        faulty(&replace, "kill-after", |_| {
            let text = std::fs::read_to_string("/run/nsscript/labs/x/journal").unwrap();
            text.contains("\"line\":\"commit\"") && there("labs/x/keep")
        });
        assert_eq!(sleepers(), 2);
        assert!(line("ls").ends(0).out.contains("killed: nsscript recover"));
        let shown = line("show x").ends(0).out;
        assert!(shown.contains("killed in its commit") && !shown.contains("netns del"), "{shown}");
    };
    let ended = || {
        assert_eq!((sleepers(), forwarding()), (0, before.clone()));
        assert!(!there(""), "{}", shell("find /run/nsscript"));
        line("netns list").ends(0).prints("");
    };
    killed();
    line("down x").ends(0).says("took lab `x` down").says("verified");
    ended();
    killed();
    line("down --all").ends(0).says("took lab `x` down").says("verified");
    ended();
    killed();
    run(&replace).ends(0).says("its commit is finished");
    assert_eq!((sleepers(), forwarding()), (1, "1".into()));
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down x").ends(0).says("verified");
    ended();
}

#[test]
fn a_lab_of_processes_is_replaced_by_nothing() {
    isolated!("kills::a_lab_of_processes_is_replaced_by_nothing");
    let folder = tempfile::tempdir().unwrap();
    let script = lab(folder.path(), "x.rhai", r#"if args().len() == 0 { start(host(), "sleep 1000"); }"#);
    run(&["--host", &script]).ends(0);
    assert_eq!(sleepers(), 1);
    run(&["--host", "--replace", &script, "nothing"]).ends(0);
    assert_eq!(sleepers(), 0);
    assert!(!there(""), "{}", shell("find /run/nsscript"));
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_lab_is_back_when_what_replaces_it_can_not_be_committed() {
    isolated!("kills::a_lab_is_back_when_what_replaces_it_can_not_be_committed");
    let folder = tempfile::tempdir().unwrap();
    let script = whole(folder.path());
    run(&["--host", &script]).ends(0);
    let running = inside_a();
    faulty(&["--host", "--replace", &script], "error", |ran| ran.err.contains("commit: a fault on purpose"))
        .ends(1)
        .says(", verified");
    assert_eq!((inside_a(), sleepers()), (running, 1));
    assert!(line("ls").ends(0).out.contains("healthy"));
    assert!(!there("aside"));
    line("down x").ends(0).says("verified");
    assert!(!there(""));
}

#[test]
fn a_lab_that_a_dead_run_set_aside_is_put_back() {
    isolated!("kills::a_lab_that_a_dead_run_set_aside_is_put_back");
    let folder = tempfile::tempdir().unwrap();
    let script = whole(folder.path());
    run(&["--host", &script]).ends(0);
    let running = inside_a();
    // As it is before the run has a journal, and when that is gone already.
    let set_aside = || {
        let aside = format!("aside/x-{}", header("labs/x")["mark"].as_str().unwrap());
        shell(&format!("cd {ROOT}; mkdir -m 700 aside; mv labs/x {aside}; rmdir labs"));
        aside
    };
    let aside = set_aside();
    assert!(line("ls").ends(0).out.contains("set aside: nsscript recover"));
    line("down x").ends(1).says("`nsscript recover` puts it back");
    run(&["--host", "-e", "print(1)"]).ends(0).says("`x` was killed and left something open");
    // Not while somebody is at it.
    let lock = locked(&aside);
    line("recover").ends(0).says("nothing to recover");
    line("ls").ends(0).prints("");
    drop(lock);
    // Nor where its name is another's by now: that one stands.
    shell(&format!("cp -r {ROOT}/{aside} /run/other; mkdir {ROOT}/labs; mv /run/other {ROOT}/labs/x"));
    line("recover").ends(1).says("lab `x` can't be put back: its name is taken");
    assert!(there("labs/x") && there(&aside));
    shell(&format!("rm -r {ROOT}/labs"));
    line("recover").ends(0).says("lab `x` is put back");
    assert!(line("ls").ends(0).out.contains("healthy"));
    assert_eq!(inside_a(), running);
    set_aside();
    run(&["--host", &script]).ends(1).says("lab `x` is put back").says("lab `x` stands already");
    set_aside();
    run(&["--host", "--replace", &script]).ends(0).says("lab `x` is put back");
    assert_eq!(sleepers(), 1);
    assert_ne!(inside_a(), running);
    line("down x").ends(0).says("verified");
    assert!(!there(""));
}

#[test]
fn what_a_live_run_set_aside_is_left_alone() {
    isolated!("kills::what_a_live_run_set_aside_is_left_alone");
    let folder = tempfile::tempdir().unwrap();
    let text = r#"netns_add("a"); start("a", "sleep 1000"); if args().len() > 0 { print("now"); sleep(60); }"#;
    let script = lab(folder.path(), "x.rhai", text);
    run(&["--host", &script]).ends(0);
    let running = inside_a();
    let mut live = command(&["--host", "--replace", &script, "long"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(live.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "now\n");
    line("recover").ends(0).says("nothing to recover");
    line("down x").ends(1).says("another run of `x` is under way");
    assert!(there("aside"));
    shell(&format!("kill -INT {}", live.id()));
    assert_eq!(live.wait().unwrap().code(), Some(130));
    assert_eq!(inside_a(), running);
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down x").ends(0).says("verified");
    assert!(!there(""));
}

/// Labs of one session have one mark: a lab of it is as little to be taken for what a killed run left while it is set aside.
#[test]
fn the_processes_of_a_lab_that_is_set_aside_are_left_alone() {
    isolated!("kills::the_processes_of_a_lab_that_is_set_aside_are_left_alone");
    let folder = tempfile::tempdir().unwrap();
    shell("ip link add e0 type veth peer name e1");
    let typed = r#"start(host(), "sleep 1000");
:commit x
link_set("e0", #{ mtu: 1400 });
exec_in(host(), ["sh", "-c", "kill -9 $PPID"]);
"#;
    let killed = || {
        assert_eq!(with_stdin(&["--host", "repl"], typed).code, None);
        let session = line("ls").ends(0).out;
        assert!(session.contains("healthy") && session.contains("killed: nsscript recover"), "{session}");
    };
    killed();
    let text =
        format!(r#"netns_add("a"); print(exec_in(host(), ["{PROGRAM}", "recover"]).stderr); fail("on purpose");"#);
    let script = lab(folder.path(), "x.rhai", &text);
    run(&["--host", "--replace", &script]).ends(1).says(", verified");
    assert_eq!(sleepers(), 1);
    let after = line("ls").ends(0).out;
    assert!(after.contains("healthy") && !after.contains("killed"), "{after}");
    shell("ip link show e0 | grep -q 'mtu 1500'");
    line("down x").ends(0).says("verified");
    assert_eq!(sleepers(), 0);
    assert!(!there(""));
    // Nor in the moment in which somebody has it locked where it stands.
    killed();
    let lock = locked("labs/x");
    line("recover").ends(0).says("was killed").says("verified");
    assert_eq!(sleepers(), 1);
    drop(lock);
    line("down x").ends(0).says("verified");
    assert!(!there(""));
}

#[test]
fn a_look_removes_nothing() {
    isolated!("kills::a_look_removes_nothing");
    std::fs::create_dir_all("/run/nsscript/labs/young").unwrap();
    std::fs::create_dir_all("/run/nsscript/labs/younger").unwrap();
    std::fs::write("/run/nsscript/labs/young/journal", "").unwrap();
    line("ls").ends(0);
    run(&["--host", "-e", "print(1)"]).ends(0);
    assert!(there("labs/young/journal") && there("labs/younger"));
    // Neither is in the way of a run.
    for name in ["young", "younger"] {
        run(&["--host", "--name", name, "-e", "netns_add(\"a\")"]).ends(0);
        assert_eq!(header(&format!("labs/{name}"))["name"], name);
        line(&format!("down {name}")).ends(0).says("verified");
    }
    std::fs::create_dir_all("/run/nsscript/labs/young").unwrap();
    line("recover").ends(0);
    assert!(!there(""));
}

#[test]
fn folders_of_dead_runs_go_with_recover() {
    isolated!("kills::folders_of_dead_runs_go_with_recover");
    for name in ["new-dead", "new-live", "gone-dead", "gone-live", "gone-kept"] {
        std::fs::create_dir_all(format!("{ROOT}/{name}/log")).unwrap();
        std::fs::write(format!("{ROOT}/{name}/journal"), "").unwrap();
    }
    std::fs::create_dir(format!("{ROOT}/new-empty")).unwrap();
    std::fs::create_dir_all(format!("{ROOT}/gone-half/log")).unwrap();
    shell(&format!("cd {ROOT}/gone-kept; mkdir keep; touch keep/7; mount --bind /proc/self/ns/net keep/7"));
    let locks = ["new-live", "gone-live"].map(locked);
    line("ls").ends(0).prints("");
    line("recover").ends(0).says("nothing to recover");
    assert_eq!(shell(&format!("ls {ROOT}")), "gone-kept\ngone-live\nnew-live\n");
    drop(locks);
    shell(&format!("umount {ROOT}/gone-kept/keep/7"));
    line("recover").ends(0);
    assert!(!there(""));
}

#[test]
fn a_journal_that_could_not_be_begun_is_begun_again() {
    isolated!("kills::a_journal_that_could_not_be_begun_is_begun_again");
    let folder = tempfile::tempdir().unwrap();
    shell(&format!(
        "mkdir {ROOT}; mount -t tmpfs -o size=16k,nr_inodes=50 none {ROOT}; head -c 16384 /dev/zero > {ROOT}/fill"
    ));
    let text = r#"
        try { netns_add("a"); } catch (e) { print(e.kind); }
        exec_in(host(), ["rm", "/run/nsscript/fill"]);
        netns_add("b");
    "#;
    let script = lab(folder.path(), "full.rhai", text);
    run(&["--host", &script]).ends(0).prints("limit\n");
    assert_eq!(header("labs/full")["name"], "full");
    assert!(line("ls").ends(0).out.contains("healthy"));
    line("down full").ends(0).says("verified");
    line("netns list").ends(0).prints("");
    assert_eq!(shell(&format!("ls {ROOT}")), "");
}

/// The folders that runs have in common come and go with them.
#[test]
fn runs_do_not_trip_over_each_other() {
    isolated!("kills::runs_do_not_trip_over_each_other");
    let one = |lane: usize| {
        for at in 0..25 {
            let name = format!("n{lane}-{at}");
            run(&["--host", "--name", &name, "-e", &format!("netns_add(\"{name}\")")]).ends(0);
            line(&format!("down {name}")).ends(0).says("verified");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| one(0));
        scope.spawn(|| one(1));
        for _ in 0..100 {
            line("ls").ends(0);
        }
    });
    assert!(!there(""), "{}", shell("find /run/nsscript"));
}

#[test]
fn a_signal_ends_a_sandbox_whose_script_is_still_awaited() {
    isolated!("kills::a_signal_ends_a_sandbox_whose_script_is_still_awaited");
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGINT, 130), (libc::SIGHUP, 129)] {
        let mut child = command(&["--sandbox", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Once the sandbox stands, and its threads.
        let inner = || {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let inner = children.split_whitespace().next().map(str::to_owned)?;
            (std::fs::read_dir(format!("/proc/{inner}/task")).ok()?.count() > 1).then_some(())
        };
        eventually("the sandbox never stood", || inner().is_some());
        // SAFETY: a child of ours that was not waited for.
        unsafe { libc::kill(pid, signal) };
        let mut ended = None;
        eventually("it heard no signal", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.and_then(|e| e.code()), Some(code), "signal {signal}");
    }
}

/// What was moved into a namespace of the lab's own, and went with that, comes back; also if `down` is killed at it.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "faults are made by debug builds only")]
fn a_link_that_went_with_a_namespace_of_the_labs_own_comes_back() {
    isolated!("kills::a_link_that_went_with_a_namespace_of_the_labs_own_comes_back");
    let folder = tempfile::tempdir().unwrap();
    shell("ip netns add w1; ip netns add w2; ip -n w1 link add v1 type veth peer name v2 netns w2");
    // Without IPv6, whose duplicate address detection takes its time.
    shell("for n in w1 w2; do ip netns exec $n sysctl -wq net.ipv6.conf.default.disable_ipv6=1; done");
    shell("for n in w1 w2; do ip netns exec $n sysctl -wq net.ipv6.conf.all.disable_ipv6=1; done");
    shell("ip -n w1 link add v3 type veth peer name v4; ip -n w1 link set v3 up; ip -n w1 link set v4 up");
    shell("ip -n w1 link set v1 up mtu 1450; ip -n w2 link set v2 up mtu 1400; ip -n w1 addr add 10.9.0.1/24 dev v1");
    shell("ip -n w2 addr add 10.9.0.2/24 dev v2; ip -n w1 route add 10.8.0.0/24 via 10.9.0.2");
    let look = || {
        let one = "for n in w1 w2; do ip -n $n -br link; ip -n $n -br -4 addr; ip -n $n -o link | grep -o 'mtu [0-9]*'; \
                   ip -n $n route; done; ip netns list | cut -d' ' -f1 | sort";
        shell(one)
    };
    eventually("not up", || look().matches(" UP ").count() == 6);
    let before = look();
    for text in [
        r#"link_move("w1:v1", "n1"); link_up("n1:v1"); addr("n1:v1", "10.7.0.1/24"); link_set("w2:v2", #{ mtu: 1300 });
           bridge("n1:b", #{ up: true }); link_set("n1:v1", #{ master: "b" }); bridge("n1:c"); link_set("n1:v1", #{ master: "c" });"#,
        r#"link_move("w1:v1", "n1"); link_del("n1:v1");"#,
        r#"link_move("w1:v3", "n1");"#,
        r#"link_move("w1:v3", "n1"); link_move("w1:v4", "n1");"#,
        r#"link_move("w1:v3", "n1"); link_move("n1:v3", "w1");"#,
        r#"macvlan("w2:m", #{ link: "v2", up: true }); link_move("w2:v2", "n1");"#,
    ] {
        let script = lab(folder.path(), "t.rhai", &format!(r#"netns_add("n1"); {text} netns_del("n1");"#));
        let mut step = 0;
        loop {
            run(&["--host", &script]).ends(0);
            let fault = if step == 0 { String::new() } else { format!("kill-after@{step}") };
            let down = command(&["down", "t"]).env("NSSCRIPT_FAULT", fault).output().unwrap();
            let killed = std::os::unix::process::ExitStatusExt::signal(&down.status) == Some(9);
            if killed && Path::new("/run/nsscript").exists() {
                line("down t").ends(0).says("verified");
            } else if !killed {
                Ran::from(down).ends(0).says("verified");
            }
            eventually(&format!("{text}: killed at step {step}: {}\n not\n{before}", look()), || look() == before);
            eventually("the folder is left", || !Path::new("/run/nsscript").exists());
            assert!(!std::fs::read_to_string("/proc/mounts").unwrap().contains("/run/nsscript"));
            if step > 0 && !killed {
                break;
            }
            step += 3;
        }
        assert!(step > 6, "{text}: {step}");
    }
}

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

fn sleepers() -> usize {
    shell("pgrep -fxc 'sleep 1000' || true").trim().parse().unwrap()
}

/// The pid of what runs in namespace `a`.
fn inside_a() -> String {
    line("netns pids a").ends(0).out
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

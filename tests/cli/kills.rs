//! What runs that were killed leave of labs and folders, and what others do beside a run: nothing is lost, and nothing stays.

use super::labs::{lab, shell};
use super::*;

const ROOT: &str = "/run/nsscript";

fn there(path: &str) -> bool {
    Path::new(ROOT).join(path).exists()
}

fn sleepers() -> usize {
    shell("pgrep -fxc 'sleep 1000' || true").trim().parse().unwrap()
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

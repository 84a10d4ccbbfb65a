//! The tutorial, gone through.

use crate::common::world;
use crate::tty::*;

pub const CASES: &[(&str, Case)] = &[
    ("lessons", || {
        // Played to their ends; they leave nothing.
        let before = prepared()?;
        for lesson in ["1", "2", "3", "4", "5"] {
            let ended = piped(&["learn", lesson], "")?;
            succeeds(&ended)?;
            has(&ended.stderr, "verified")?;
            same(&before).map_err(|e| format!("lesson {lesson}: {e}"))?;
        }
        Ok(())
    }),
    ("learn", || {
        let before = prepared()?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut tty = Tty::start_with(&["--host", "learn", "1"], &[], home)?;
        tty.prompt("learn> ")?;
        // Offered, and taken.
        has(&tty.text(), "exec_in(host(), \"ip netns help\"")?;
        let seen = tty.line("", "learn> ")?;
        has(&seen, "Usage:")?;
        has(&seen, "$ ip netns list")?;
        // What only looks is to change nothing.
        let seen = tty.line("netns_add(\"sly\")", "learn> ")?;
        has(&seen, "too much: namespace sly")?;
        has(&seen, "taken back")?;
        same_now(&before)?;
        has(&tty.line("ip netns list", "learn> ")?, "that changes nothing, as it should")?;
        // Other words, the same state.
        let seen = tty.line("ip netns add net9", "learn> ")?;
        has(&seen, "missing: namespace net1")?;
        let seen = tty.line("nosuch(1)", "learn> ")?;
        has(&seen, "there is no function")?;
        let seen = tty.line("for n in [1] { netns_add(`net${n}`) }", "learn> ")?;
        has(&seen, "right: the kernel is as it should be")?;
        has(&world::shell("ip netns list")?, "net1")?;
        // Several commands, one by one.
        has(&tty.line("ip netns add net3", "learn> ")?, "so far; still to come")?;
        has(&tty.line("ip netns add net2", "learn> ")?, "right: the kernel is as it should be")?;
        tty.line("", "learn> ")?;
        // What is to fail has to fail.
        has(&tty.line("1", "learn> ")?, "that worked, but")?;
        has(&tty.line("ip netns add net2", "learn> ")?, "exists already")?;
        // Leaving takes back what was done.
        tty.keys(":quit\r")?;
        tty.end(0)?;
        has(&tty.text(), "verified")?;
        same(&before)
    }),
];

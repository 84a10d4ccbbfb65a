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
    // The commands that the lessons show, typed as they stand: all are right.
    ("learn_as_shown", || {
        // Without namespaces of somebody else's, which a lesson leaves alone.
        let before = world::Dump::settled()?;
        for lesson in ["1", "2", "3", "4", "5"] {
            let home = tempfile::tempdir().map_err(|e| e.to_string())?;
            let mut tty = Tty::start_with(&["--host", "learn", lesson], &[], home)?;
            tty.prompt("learn> ")?;
            let mut steps = 0;
            while !tty.text().ends_with("verified") {
                let shown = tty.text();
                let lines: Vec<&str> = shown.lines().collect();
                let end = lines.iter().rposition(|l| l.starts_with("  $ ")).ok_or(shown.clone())? + 1;
                let begin = lines[..end].iter().rposition(|l| !l.starts_with("  $ ")).map_or(0, |n| n + 1);
                tty.clear()?;
                let mut right = false;
                for line in &lines[begin..end] {
                    tty.keys(&format!("{}\r", &line[4..]))?;
                    tty.wait("the prompt, or the end", |tty| {
                        let row = usize::from(tty.screen.screen().cursor_position().0);
                        let text = tty.text();
                        (row > tty.row && text.ends_with("learn>")) || text.ends_with("verified")
                    })?;
                    let seen = tty.since();
                    right = [
                        "right: the kernel",
                        "that changes nothing, as",
                        "done, by what you typed",
                        "Type the command",
                    ]
                    .iter()
                    .any(|said| seen.contains(said))
                        || seen.ends_with("verified");
                    if right {
                        break;
                    }
                }
                if !right {
                    return Err(format!("lesson {lesson}: {:?}\n{}", &lines[begin..end], tty.since()));
                }
                steps += 1;
            }
            if steps < 8 {
                return Err(format!("lesson {lesson} has {steps} steps\n{}", tty.text()));
            }
            tty.end(0)?;
            same(&before).map_err(|e| format!("lesson {lesson}: {e}"))?;
        }
        Ok(())
    }),
    // What is offered names the lesson's variables: it can be typed as it stands, and completed.
    ("learn_variables", || {
        let before = prepared()?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut tty = Tty::start_with(&["--host", "learn", "3"], &[], home)?;
        tty.prompt("learn> ")?;
        for _ in 0..20 {
            if tty.text().contains("link_move(veth0, \"ns0\");") {
                break;
            }
            tty.line("", "learn> ")?;
        }
        tty.keys(&format!("link_move(vet{TAB}"))?;
        for variable in ["veth0", "veth1"] {
            tty.see(variable)?;
        }
        tty.cancel()?;
        has(&tty.line("link_move(veth0, \"ns0\")", "learn> ")?, "so far; still to come")?;
        has(&tty.line("link_move(veth1, \"ns1\")", "learn> ")?, "right: the kernel is as it should be")?;
        tty.keys(":quit\r")?;
        tty.end(0)?;
        same(&before)
    }),
];

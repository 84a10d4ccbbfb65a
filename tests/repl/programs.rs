//! Programs that a line runs: they are seen while they run, have the terminal where a shell would give it to them, and end
//! by Ctrl-C.

use crate::common::{poll, world};
use crate::tty::*;
use std::time::Duration;

pub const CASES: &[(&str, Case)] = &[
    ("programs_are_seen_while_they_run", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("netns_add(\"h1\", #{ lo: true })", "host +1> ")?;
        let middle = world::Dump::settled()?;
        // A call: what it writes is there while it runs, and not again at its end.
        tty.keys("exec_in(\"h1\", [\"sh\", \"-c\", \"echo fir''st; echo sec''ond >&2; sleep 1234\"])\r")?;
        tty.see("\nfirst")?;
        tty.see("\nsecond")?;
        tty.sleeps()?;
        tty.send(CTRL_C)?;
        tty.prompt("host +1> ")?;
        has(&tty.since(), "interrupted by SIGINT")?;
        if !poll(BOUND, || !sleeping()) {
            return Err("it sleeps on".into());
        }
        let seen = tty.line("sh(\"h1\", \"echo on''ce; exit 3\", #{ check: false })", "host +1> ")?;
        has(&seen, "(status 3)")?;
        if seen.matches("once").count() != 1 {
            return Err(seen);
        }
        has(&tty.line("_.lines", "host +1> ")?, "[\"once\"]")?;
        // A call that is a part of something is quiet.
        lacks(&tty.line("let out = sh(\"h1\", \"echo qui''et\")", "host +2> ")?, "\nquiet")?;
        has(&tty.line("out.text", "host +2> ")?, "\"quiet\"")?;
        // Of a line with more in it, all is undone, and nothing before it.
        tty.keys("netns_add(\"fresh\"); sh(\"fresh\", \"echo in''side; sleep 1234\")\r")?;
        tty.see("\ninside")?;
        world::shell("ip netns pids fresh")?;
        tty.send(CTRL_C)?;
        tty.prompt("host +2> ")?;
        same_now(&middle)?;
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
    ("commands_have_the_terminal", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("netns_add(\"h1\", #{ lo: true })", "host +1> ")?;
        // It asks, and is answered.
        tty.keys("ip netns exec h1 sh -c 'echo \"wh\"at; read x; echo got $x; test -t 0 && echo on a term\"in\"al'\r")?;
        tty.see("\nwhat")?;
        tty.send("that\r")?;
        tty.see("\ngot that")?;
        tty.see("\non a terminal")?;
        tty.prompt("host +1> ")?;
        // A Ctrl-C that it hears is its own.
        tty.keys("ip netns exec h1 sh -c 'trap \"echo ca''ught; exit 0\" INT; echo re\"a\"dy; read x'\r")?;
        tty.see("\nready")?;
        tty.send(CTRL_C)?;
        tty.see("caught")?;
        tty.prompt("host +1> ")?;
        lacks(&tty.since(), "error")?;
        tty.keys("ip netns exec h1 ping 127.0.0.1\r")?;
        tty.see("icmp_seq=1")?;
        tty.send(CTRL_C)?;
        tty.see("packets transmitted")?;
        tty.prompt("host +1> ")?;
        lacks(&tty.since(), "error")?;
        // One that does not hear it dies of it, and the line fails.
        tty.keys("ip netns exec h1 sleep 1234\r")?;
        tty.sleeps()?;
        tty.send(CTRL_C)?;
        tty.prompt("host +1> ")?;
        has(&tty.since(), "interrupted by SIGINT")?;
        has(&tty.line("ip netns exec h1 false", "host +1> ")?, "ended with status 1")?;
        has(&tty.line("ip -all netns exec echo he\"re\"", "host +1> ")?, "netns: h1\nhere")?;
        // In the current namespace.
        tty.line(":use h1", "h1 +1> ")?;
        has(&tty.line("ping -c 1 127.0.0.1 // itself", "h1 +1> ")?, "1 received")?;
        has(&tty.line("ping -c 1 10.255.0.1", "h1 +1> ")?, "nreachable")?;
        tty.line("host:", "")?;
        has(&tty.line("ping -c 1 10.255.0.1", "")?, "nreachable")?;
        has(&tty.line("nosuch:", "")?, "there is no namespace `nosuch`")?;
        tty.keys(CTRL_D)?;
        tty.see("[t]ake it down")?;
        tty.send("\r")?;
        tty.end(0)?;
        same(&before)
    }),
    // Who waits for a program has heard the Ctrl-C that ended it: heard by another thread, it may come when the next line is
    // typed, and be taken for that one's.
    ("ctrl_c_is_heard_by_one_thread", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("for i in 0..9 { netns_add(`h${i}`) }; sh(\"h1\", \"true\"); links(\"h1\")", "host +1> ")?;
        let threads = std::fs::read_dir(format!("/proc/{}/task", tty.pid())).map_err(|e| e.to_string())?;
        let (mut hear, mut all) = (Vec::new(), 0);
        for thread in threads.flatten() {
            let status = std::fs::read_to_string(thread.path().join("status")).map_err(|e| e.to_string())?;
            let value =
                |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
            let blocked = u64::from_str_radix(&value("SigBlk:"), 16).map_err(|e| e.to_string())?;
            all += 1;
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                if blocked >> (signal - 1) & 1 == 0 {
                    hear.push(value("Name:"));
                }
            }
        }
        if all < 4 || hear != ["script"; 3] {
            return Err(format!("of {all} threads: {hear:?}"));
        }
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
    // With a `&` behind it, as in a shell: it ends with the undo.
    ("in_the_background", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("netns_add(\"h1\", #{ lo: true })", "host +1> ")?;
        has(&tty.line("ip netns exec h1 sleep 1234 &", "host +2> ")?, "\nsleep (")?;
        has(&tty.line("_.running", "host +2> ")?, "true")?;
        if !sleeping() {
            return Err("it does not sleep".into());
        }
        tty.line(":undo", "host +1> ")?;
        if !poll(BOUND, || !sleeping()) {
            return Err("it sleeps on".into());
        }
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
    ("a_signal_ends_programs_and_session", || {
        let before = prepared()?;
        for line in ["ip netns exec w1 sleep 1234", "exec_in(\"w1\", \"sleep 1234\")", ":sh w1"] {
            let mut tty = Tty::start()?;
            tty.line(r#"netns_del("w2")"#, "host +1> ")?;
            tty.keys(&format!("{line}\r"))?;
            if line == ":sh w1" {
                tty.see("a shell in w1")?;
                tty.send("sleep 1234\r")?;
            }
            tty.sleeps().map_err(|e| format!("{line}: {e}"))?;
            tty.kill(libc::SIGTERM);
            tty.end(143).map_err(|e| format!("{line}: {e}"))?;
            if !poll(Duration::from_secs(5), || !sleeping()) {
                return Err(format!("{line}: it sleeps on"));
            }
            same(&before).map_err(|e| format!("{line}: {e}"))?;
        }
        Ok(())
    }),
];

//! What stands, what is undone, and how a session ends.

use crate::common;
use crate::common::world::{self, Dump};
use crate::tty::*;
use std::process::Command;

pub const CASES: &[(&str, Case)] = &[
    ("undo", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line(r#"link_set("w1:v1", #{ mtu: 1300 })"#, "host +1> ")?;
        let middle = Dump::settled()?;
        tty.line(r#"netns_add("fresh"); link_move("w1:v1", "fresh")"#, "host +2> ")?;
        let seen = tty.line(r#"links("fresh")"#, "host +2> ")?;
        has(&seen, "v1")?;
        let seen = tty.line(":undo", "host +1> ")?;
        has(&seen, "undone: netns_add(\"fresh\"); link_move")?;
        has(&seen, "verified")?;
        same_now(&middle)?;
        // What only looked is not counted, a variable is.
        tty.line("let a = 5", "host +2> ")?;
        tty.line("links(\"w1\")", "host +2> ")?;
        tty.line(":undo 2", "host> ")?;
        same_now(&before)?;
        let seen = tty.line("a", "host> ")?;
        has(&seen, "a")?;
        has(&seen, "error")?;
        let seen = tty.line(":undo", "host> ")?;
        has(&seen, "nothing to undo")?;
        // And again.
        tty.line(":redo", "host +1> ")?;
        same_now(&middle)?;
        tty.line(":rollback", "host> ")?;
        same_now(&before)?;
        tty.quit()?;
        same(&before)
    }),
    ("variables", || {
        let mut tty = Tty::start()?;
        tty.line("let a = [1, 2]; let f = || a.len()", "host +1> ")?;
        tty.line("fn twice(x) { x * 2 }", "host +2> ")?;
        tty.line("a.push(3)", "host +3> ")?;
        has(&tty.line("twice(f.call())", "host +3> ")?, "\n6")?;
        // A shared variable goes back too, for the closure as for the name.
        tty.line(":undo", "host +2> ")?;
        has(&tty.line("f.call() * 100", "host +2> ")?, "\n200")?;
        has(&tty.line("_ + a.len()", "host +2> ")?, "\n202")?;
        // A line that fails leaves nothing.
        has(&tty.line("let b = 1; a.push(9); fail(\"no\")", "host +2> ")?, "error: no")?;
        has(&tty.line("a.len()", "host +2> ")?, "\n2")?;
        has(&tty.line("b", "host +2> ")?, "error")?;
        tty.line("fn twice(x) { x * 3 }", "host +3> ")?;
        has(&tty.line("twice(1)", "host +3> ")?, "\n3")?;
        tty.line(":undo", "host +2> ")?;
        has(&tty.line("twice(1)", "host +2> ")?, "\n2")?;
        tty.line(":undo", "host +1> ")?;
        has(&tty.line("twice(1)", "host +1> ")?, "there is no function `twice`")?;
        tty.line("import \"topology\" as topo", "host +2> ")?;
        tty.line("fn ring(n) { topo::line(n) }", "host +3> ")?;
        has(&tty.line("topo::nosuch()", "host +3> ")?, "nosuch")?;
        has(&tty.line("switch 2 { 1 => \"one\", _ => \"other\" }", "host +3> ")?, "\"other\"")?;
        // An error in a function of an earlier line names that line.
        tty.line("fn breaks() {\r  fail(\"broken\")\r}", "host +4> ")?;
        let seen = tty.line("breaks()", "host +4> ")?;
        has(&seen, "error: broken")?;
        has(&seen, "fail(\"broken\")")?;
        // Variables alone are nothing that could be kept.
        tty.quit()
    }),
    ("commit", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        has(&tty.line(":commit", "host> ")?, "nothing to commit")?;
        tty.line(r#"netns_add("h1")"#, "host +1> ")?;
        tty.line(r#"link_set("w1:v1", #{ mtu: 1300 })"#, "host +2> ")?;
        tty.line(r#"start("h1", "sleep 1000", #{ name: "sleeper" })"#, "host +3> ")?;
        tty.line("let p = _", "host +4> ")?;
        let seen = tty.line(":commit lab1", "host> ")?;
        has(&seen, "lab `lab1` stands: 1 namespace, 0 links, 1 process")?;
        has(&tty.line(":undo", "host> ")?, "nothing to undo")?;
        // Handles of what was committed are still good.
        has(&tty.line("p.log()", "host> ")?, "\"\"")?;
        has(&world::shell("$NSSCRIPT ls")?, "lab1")?;
        let middle = Dump::settled()?;
        // What follows is another lab, or none.
        tty.line(r#"veth("h1:a", "h1:b")"#, "host +1> ")?;
        has(&tty.line(":commit lab1", "host +1> ")?, "lab `lab1` stands already")?;
        tty.line(r#"link_up("h1:a")"#, "host +2> ")?;
        tty.keys(CTRL_D)?;
        tty.see("2 lines stand: [k]eep it as a lab, or [t]ake it down?")?;
        tty.send("\r")?;
        tty.end(0)?;
        same_now(&middle)?;
        world::shell("$NSSCRIPT down lab1")?;
        same(&before)
    }),
    ("keep", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line(r#"veth("w1:new", "w2:new", #{ up: true })"#, "host +1> ")?;
        tty.keys(":quit\r")?;
        tty.see("[k]eep it as a lab, or [t]ake it down?")?;
        tty.send("what\r")?;
        tty.see("what\n")?;
        tty.send("k\r")?;
        tty.end(0)?;
        has(&tty.text(), "lab `session` stands: 0 namespaces, 2 links")?;
        world::shell("ip -n w1 link show new")?;
        has(&world::shell("$NSSCRIPT ls")?, "session")?;
        world::shell("$NSSCRIPT down session")?;
        same(&before)
    }),
    // In a sandbox the prompt says so, nothing is asked, and all goes.
    ("sandbox", || {
        let before = prepared()?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut tty = Tty::start_with(&["--sandbox"], &[], home)?;
        tty.line("netns_add([\"h1\", \"h2\"], #{ lo: true })", "sandbox:host +1> ")?;
        tty.line(
            "veth(\"h1:e\", \"h2:e\", #{ up: true, a: #{ addr: \"10.7.0.1/24\" }, b: #{ addr: \"10.7.0.2/24\" } })",
            "sandbox:host +2> ",
        )?;
        tty.line(":use h1", "sandbox:h1 +2> ")?;
        has(&tty.line("ping -c 1 10.7.0.2", "sandbox:h1 +2> ")?, "1 received")?;
        lacks(&tty.line("netns_list().len()", "sandbox:h1 +2> ")?, "3")?;
        tty.keys("exec_in(\"h1\", \"sleep 1234\")\r")?;
        tty.sleeps()?;
        tty.send(CTRL_C)?;
        tty.prompt("sandbox:h1 +2> ")?;
        has(&tty.since(), "interrupted by SIGINT")?;
        tty.keys("link_del(")?;
        tty.send(CTRL_C)?;
        tty.prompt("sandbox:h1 +2> ")?;
        same_now(&before)?;
        has(&tty.line(":commit here", "sandbox:h1> ")?, "in the sandbox, which goes when you leave")?;
        tty.line("netns_add(\"h3\")", "sandbox:h1 +1> ")?;
        tty.quit()?;
        lacks(&tty.text(), "[t]ake it down")?;
        same(&before)
    }),
    ("ctrl_c", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line(r#"link_down("w1:v1")"#, "host +1> ")?;
        let middle = Dump::settled()?;
        tty.keys("netns_add(\"fresh\"); exec_in(\"fresh\", \"sleep 1234\")\r")?;
        tty.sleeps()?;
        tty.send(CTRL_C)?;
        tty.prompt("host +1> ")?;
        has(&tty.since(), "interrupted by SIGINT")?;
        has(&tty.since(), "verified")?;
        if sleeping() {
            return Err("it sleeps on".into());
        }
        same_now(&middle)?;
        // A line that is being typed is forgotten, a loop ends.
        tty.keys("link_del(\"w1:v1\"")?;
        tty.see("link_del")?;
        tty.cancel()?;
        tty.keys("print(\"go\" + \"ing\"); loop { let a = 1; }\r")?;
        tty.see("going")?;
        tty.send(CTRL_C)?;
        tty.prompt("host +1> ")?;
        has(&tty.line("1 + 1", "host +1> ")?, "\n2")?;
        tty.keys(CTRL_D)?;
        tty.see("[t]ake it down")?;
        // Ctrl-C at the question is no yes.
        tty.send(CTRL_C)?;
        tty.end(0)?;
        same(&before)
    }),
    ("signals", || {
        let before = prepared()?;
        for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129)] {
            let mut tty = Tty::start()?;
            tty.line(r#"netns_del("w1")"#, "host +1> ")?;
            tty.kill(signal);
            tty.end(code)?;
            same(&before)?;
        }
        // During a call.
        let mut tty = Tty::start()?;
        tty.line(r#"netns_del("w1")"#, "host +1> ")?;
        tty.keys("exec_in(\"w2\", \"sleep 1234\")\r")?;
        tty.sleeps()?;
        tty.kill(libc::SIGTERM);
        tty.end(143)?;
        same(&before)?;
        // Killed: what is left is for recover.
        let mut tty = Tty::start()?;
        tty.line(r#"netns_del("w1"); netns_add("fresh")"#, "host +1> ")?;
        tty.line(r#"link_down("w2:v2")"#, "host +2> ")?;
        tty.kill(libc::SIGKILL);
        tty.end(137)?;
        world::shell("$NSSCRIPT recover")?;
        same(&before)?;
        // The terminal goes.
        let mut tty = Tty::start()?;
        tty.line(r#"link_down("w2:v2")"#, "host +1> ")?;
        drop(tty);
        same(&before)
    }),
    ("piped", || {
        let before = prepared()?;
        let ended = piped(
            &[],
            "let h = netns_add(\"fresh\")\n\n// a comment\nfor n in 0..2 {\n  netns_add(`n${n}`);\n}\nnetns_list().len()\nlink_up(h,\n  \"eth9\")\nprint(\"not reached\")\n",
        )?;
        if ended.code() != 1 || ended.stdout != "5\n" {
            return Err(format!("status {}, {:?}\n{}", ended.code(), ended.stdout, ended.stderr));
        }
        has(&ended.stderr, "<stdin>:8:1")?;
        has(&ended.stderr, "verified")?;
        same(&before)?;
        // To the end: taken down too, unless it was committed.
        let ended = piped(&[], "netns_add(\"fresh\")\nprint(netns_list().len())\n")?;
        succeeds(&ended)?;
        has(&ended.stdout, "3")?;
        same(&before)?;
        let ended = piped(&[], "netns_add(\"fresh\")\n:commit kept\n")?;
        succeeds(&ended)?;
        world::shell("ip netns pids fresh; $NSSCRIPT down kept")?;
        same(&before)?;
        // It ends within a bracket.
        let ended = piped(&[], "netns_add(\"fresh\")\nprint(\n")?;
        if ended.code() != 1 {
            return Err(format!("status {}\n{}", ended.code(), ended.stderr));
        }
        same(&before)?;
        // Commands and headings too, and what stands behind them.
        for (lines, place) in [
            ("1\n\n:nosuch\nprint(7)\n", "<stdin>:3:1"),
            ("1\n  nosuch:\nprint(7)\n", "<stdin>:2:3"),
            (":json [1]\n:json nosuch(1)\nprint(7)\n", "<stdin>:2:7"),
            (":time 1\n:undo\nprint(7)\n", "<stdin>:2:1"),
            (":use\nip link set nosuch up\nprint(7)\n", "<stdin>:2:13"),
            (":!true\n:!exit 4\nprint(7)\n", "<stdin>:2:1"),
        ] {
            let ended = piped(&[], lines)?;
            has(&ended.stderr, place)?;
            lacks(&ended.stdout, "7")?;
            if ended.code() != 1 {
                return Err(format!("status {}\n{}", ended.code(), ended.stderr));
            }
        }
        // exit(0) keeps, exit(7) does not.
        let ended = piped(&[], "netns_add(\"fresh\")\nexit(7)\nprint(1)\n")?;
        if ended.code() != 7 {
            return Err(format!("status {}\n{}", ended.code(), ended.stderr));
        }
        same(&before)?;
        succeeds(&piped(&[], "netns_add(\"fresh\")\nexit(0)\n")?)?;
        world::shell("$NSSCRIPT down session")?;
        same(&before)
    }),
    ("file_first", || {
        let before = prepared()?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        common::write(folder.path(), "module.rhai", "fn name() { \"from-a-module\" }");
        let file = common::write(
            folder.path(),
            "first.rhai",
            "#!/usr/bin/env nsscript\nimport \"module\" as m;\nlet h = netns_add(m::name());\nfn broken() {\n  fail(\"here\");\n}\nprint(args());\n",
        );
        let path = file.to_string_lossy().into_owned();
        let ended = piped(&["repl", &path, "one", "two"], "h\nm::name()\nbroken()\n")?;
        if ended.code() != 1 {
            return Err(format!("status {}\n{}", ended.code(), ended.stderr));
        }
        has(&ended.stdout, "[\"one\", \"two\"]")?;
        has(&ended.stdout, "\"from-a-module\"")?;
        has(&ended.stderr, "first.rhai:5:3")?;
        same(&before)?;
        common::write(folder.path(), "first.rhai", "netns_add(\"x\");\nnosuch();\n");
        let ended = piped(&["repl", &path], "print(1)\n")?;
        if ended.code() != 1 || !ended.stdout.is_empty() {
            return Err(format!("status {}\n{}{}", ended.code(), ended.stdout, ended.stderr));
        }
        same(&before)?;
        // Loaded, it is one line.
        common::write(folder.path(), "first.rhai", "netns_add(\"x\");\nnetns_add(\"y\");\n");
        let mut tty = Tty::start()?;
        tty.line(&format!(":load {path}"), "host +1> ")?;
        tty.line(":undo", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
    ("save", || {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let path = folder.path().join("saved.rhai");
        let lines = [
            "let names = [\"h1\", \"h2\", \"r\"]",
            "for n in names { netns_add(n, #{ lo: true }) }",
            "links(\"h1\")",
            "fn cable(a, b, x) { veth(a, b, #{ up: true, a: #{ addr: x } }) }",
            "cable(\"h1:eth0\", \"r:p1\", \"10.0.1.1/24\")",
            "_.mtu",
            "let far = cable(\"h2:eth0\", \"r:p2\", \"10.0.2.1/24\")",
            "nosuch(1)",
            "netns_add(\"gone\")",
            ":undo",
            ":use r",
            "addr(\"p1\", \"10.0.1.254/24\")",
            "let second = addr(\"p2\", \"10.0.2.254/24\")",
            ":use",
            "netns(\"h1\")",
            "route(_, \"default\", #{ via: \"10.0.1.254\" })",
            "route(\"h2\", \"default\", #{ via: \"10.0.2.254\" })",
            "sysctl(\"r\", \"net.ipv4.ip_forward\", 1)",
        ];
        let mut tty = Tty::start()?;
        for line in lines {
            tty.line(line, "")?;
        }
        let seen = tty.line(&format!(":save {}", path.display()), "host +10> ")?;
        has(&seen, "wrote")?;
        let typed = facts()?;
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        let script = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        lacks(&script, "gone")?;
        lacks(&script, "nosuch")?;
        lacks(&script, "links(\"h1\")")?;
        let ended = common::run(Command::new(common::NSSCRIPT).arg("--host").arg(&path), BOUND)?;
        succeeds(&ended).map_err(|e| format!("{e}\n{script}"))?;
        let run = facts()?;
        if typed != run {
            return Err(format!("{}\n{script}", common::diff(&typed, &run)));
        }
        world::shell("$NSSCRIPT down saved").map(drop)
    }),
];

/// What a lab is, without what differs from one making of it to the next: MAC addresses, and the addresses made of them.
fn facts() -> Result<Vec<String>, String> {
    let text = world::shell(
        "for ns in $(ls /run/netns | sort); do echo $ns; ip -n $ns -d -o link | sed -E 's/link\\/[a-z]+ [^ ]+//; s/link-netns(id)? [^ ]+//'; \
         ip -n $ns -o addr | grep -v fe80; ip -n $ns route; ip netns exec $ns cat /proc/sys/net/ipv4/ip_forward; done",
    )?;
    Ok(text.lines().map(str::to_owned).collect())
}

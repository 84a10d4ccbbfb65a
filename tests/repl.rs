//! The interactive session, on a pseudo-terminal as a person has it: what is typed, what is seen, and what the kernel has
//! afterwards. Each case in namespaces of its own, in which it is root; nsscript runs in them as on a host (`--host`).

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::frame::{self, Frame};
use common::world::{self, Dump};
use common::{flat, poll};
use expectrl::session::OsSession;
use expectrl::{Expect as _, Session};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(20);
/// Rows and columns of the terminal: nothing scrolls away.
const SIZE: (u16, u16) = (300, 100);
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const TAB: &str = "\t";
const UP: &str = "\x1b[A";
const ESCAPE: &str = "\x1b";

type Done = Result<(), String>;

/// A session, and what its terminal shows.
struct Tty {
    session: OsSession,
    screen: vt100::Parser,
    /// The row at which the last input began.
    row: usize,
    home: tempfile::TempDir,
}

impl Tty {
    fn start() -> Result<Tty, String> {
        Tty::start_with(&["--host"], &[], tempfile::tempdir().map_err(|e| e.to_string())?)
    }

    fn start_with(args: &[&str], env: &[(&str, &str)], home: tempfile::TempDir) -> Result<Tty, String> {
        let mut command = Command::new(common::NSSCRIPT);
        command
            .args(args)
            .args(["--color", "never"])
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("XDG_STATE_HOME")
            .env_remove("INPUTRC")
            .env_remove("NSSCRIPT_KEYS")
            .envs(env.iter().copied());
        let mut session = Session::spawn(command).map_err(|e| e.to_string())?;
        session.get_process_mut().set_window_size(SIZE.1, SIZE.0).map_err(|e| e.to_string())?;
        let mut tty = Tty { session, screen: vt100::Parser::new(SIZE.0, SIZE.1, 0), row: 0, home };
        if !args.contains(&"learn") {
            tty.see(">")?;
        }
        Ok(tty)
    }

    /// Takes what has come; false at the end of it.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.session.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => self.screen.process(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
                // A terminal whose other end is closed: EIO.
                Err(_) => return false,
            }
        }
    }

    fn text(&self) -> String {
        let rows: Vec<String> = self.screen.screen().rows(0, SIZE.1).map(|r| r.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// What came since the last input, with it.
    fn since(&self) -> String {
        self.text().lines().skip(self.row).collect::<Vec<_>>().join("\n")
    }

    fn wait(&mut self, what: &str, mut holds: impl FnMut(&Tty) -> bool) -> Done {
        let there = poll(BOUND, || {
            self.read();
            holds(self)
        });
        if there { Ok(()) } else { Err(format!("{what} never came; the terminal:\n{}", self.text())) }
    }

    /// Waits until a text is seen that came with the last input or after it.
    fn see(&mut self, text: &str) -> Done {
        self.wait(&format!("`{text}`"), |tty| tty.since().contains(text))
    }

    fn send(&mut self, keys: &str) -> Done {
        self.read();
        self.session.send(keys).map_err(|e| e.to_string())
    }

    /// Types keys at a prompt.
    fn keys(&mut self, keys: &str) -> Done {
        self.read();
        self.row = usize::from(self.screen.screen().cursor_position().0);
        self.send(keys)
    }

    /// Types a line and waits for the prompt that comes after it.
    fn line(&mut self, text: &str, prompt: &str) -> Result<String, String> {
        self.keys(&format!("{text}\r"))?;
        self.prompt(prompt)?;
        Ok(self.since())
    }

    /// Waits until the cursor is behind this prompt, on a line below that of the last input.
    fn prompt(&mut self, prompt: &str) -> Done {
        self.wait(&format!("the prompt `{prompt}`"), |tty| {
            let (row, column) = tty.screen.screen().cursor_position();
            let line = tty.text().lines().nth(usize::from(row)).unwrap_or_default().to_owned();
            usize::from(row) > tty.row && line.trim_end() == prompt.trim_end() && usize::from(column) == prompt.len()
        })
    }

    /// Forgets the line that is being typed.
    fn cancel(&mut self) -> Done {
        let (row, _) = self.screen.screen().cursor_position();
        self.send(CTRL_C)?;
        self.wait("the next prompt", |tty| {
            let (now, column) = tty.screen.screen().cursor_position();
            let line = tty.text().lines().nth(usize::from(now)).unwrap_or_default().to_owned();
            now > row && line.ends_with('>') && usize::from(column) == line.len() + 1
        })
    }

    /// Waits for the end; the exit status as a shell shows it.
    fn end(&mut self, code: i32) -> Done {
        let mut status = None;
        let pid = self.pid();
        poll(BOUND, || {
            self.read();
            let mut raw = 0;
            // SAFETY: a child of ours, and a local for its status.
            let done = unsafe { libc::waitpid(pid, &raw mut raw, libc::WNOHANG) };
            if done == pid {
                status = Some(if libc::WIFEXITED(raw) { libc::WEXITSTATUS(raw) } else { 128 + libc::WTERMSIG(raw) });
            }
            status.is_some()
        });
        self.read();
        match status {
            Some(found) if found == code => Ok(()),
            Some(found) => Err(format!("exit status {found}, expected {code}; the terminal:\n{}", self.text())),
            None => Err(format!("it did not end; the terminal:\n{}", self.text())),
        }
    }

    fn pid(&self) -> i32 {
        self.session.get_process().pid().as_raw()
    }

    fn kill(&self, signal: i32) {
        // SAFETY: takes two integers.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Leaves, taking down what stands.
    fn quit(&mut self) -> Done {
        self.keys(CTRL_D)?;
        self.end(0)
    }
}

fn has(text: &str, part: &str) -> Done {
    if flat(text).contains(&flat(part)) { Ok(()) } else { Err(format!("`{part}` is not in:\n{text}")) }
}

fn lacks(text: &str, part: &str) -> Done {
    if text.contains(part) { Err(format!("`{part}` should not be in:\n{text}")) } else { Ok(()) }
}

/// As before, while the session lives: but for its own journal.
fn same_now(before: &Dump) -> Done {
    let mut found = Vec::new();
    poll(Duration::from_secs(4), || {
        found = before.compare(Duration::ZERO).unwrap_or_else(|e| vec![e]);
        let own = |line: &str| line.starts_with("files: ") && line.contains("/run/nsscript");
        found.retain(|line| !own(line) && !line.contains("nsscript --host"));
        found.is_empty()
    });
    if found.is_empty() { Ok(()) } else { Err(format!("not as before (- before, + after):\n{}", found.join("\n"))) }
}

fn same(before: &Dump) -> Done {
    let found = before.compare(Duration::from_secs(4))?;
    if found.is_empty() { Ok(()) } else { Err(format!("not as before (- before, + after):\n{}", found.join("\n"))) }
}

fn prepared() -> Result<Dump, String> {
    world::shell(world::WORLD)?;
    Dump::settled()
}

/// Runs a session on lines from a pipe.
fn piped(args: &[&str], lines: &str) -> Result<common::Ended, String> {
    let mut input = tempfile::tempfile().map_err(|e| e.to_string())?;
    input.write_all(lines.as_bytes()).and_then(|()| input.rewind()).map_err(|e| e.to_string())?;
    let output = Command::new(common::NSSCRIPT)
        .args(["--host", "--color", "never"])
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::from(input))
        .output()
        .map_err(|e| e.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(common::Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) })
}

fn succeeds(ended: &common::Ended) -> Done {
    match ended.code() {
        0 => Ok(()),
        code => Err(format!("status {code}; stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr)),
    }
}

type Case = fn() -> Done;

const CASES: &[(&str, Case)] = &[
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
    ("ctrl_c", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line(r#"link_down("w1:v1")"#, "host +1> ")?;
        let middle = Dump::settled()?;
        tty.keys("netns_add(\"fresh\"); exec_in(\"fresh\", \"sleep 1234\")\r")?;
        let sleeping = || world::shell("grep -qsx 'sleep' /proc/[0-9]*/comm").is_ok();
        if !poll(BOUND, sleeping) {
            return Err("it never slept".into());
        }
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
        tty.keys("loop { let a = 1; }\r")?;
        tty.wait("the next line", |tty| usize::from(tty.screen.screen().cursor_position().0) > tty.row)?;
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
    ("multi_line", || {
        let mut tty = Tty::start()?;
        tty.line("for n in [\"a\", \"b\"] {\r  netns_add(n);\r}", "host +1> ")?;
        has(&world::shell("ip netns list")?, "b a")?;
        has(&tty.line("`x\ry`.len()", "host +1> ")?, "\n3")?;
        // A paste in brackets: each line by itself, and those of a block together.
        tty.keys("\x1b[200~netns_add(\"c\")\nfor n in [\"d\"] {\n  netns_add(n)\n}\nnetns_list().len()\x1b[201~\r")?;
        tty.prompt("host +3> ")?;
        has(&tty.since(), "\n4")?;
        // After one that fails nothing of the paste is run.
        tty.keys("\x1b[200~netns_add(\"e\")\nnosuch()\nnetns_add(\"f\")\x1b[201~\r")?;
        tty.prompt("host +4> ")?;
        has(&tty.since(), "the 1 lines after it were not run")?;
        tty.keys(CTRL_D)?;
        tty.see("[t]ake it down")?;
        tty.send("t\r")?;
        tty.end(0)?;
        has(&(world::shell("ip netns list")? + "none"), "none")
    }),
    ("completion", || {
        prepared()?;
        let mut tty = Tty::start()?;
        let mut complete = |typed: &str, seen: &[&str]| -> Done {
            tty.keys(&format!("{typed}{TAB}"))?;
            for text in seen {
                tty.see(text)?;
            }
            tty.cancel()
        };
        complete("netns_ad", &["netns_add("])?;
        complete("link_u", &["link_up("])?;
        complete("netns_", &["netns_add(name[, options])", "netns_list()"])?;
        // Devices of the namespace that is named, as the kernel has them.
        complete("link_up(\"w1\", \"", &["br0", "p1", "q2", "v1"])?;
        complete("link_up(\"w2:", &["w2:e1", "w2:v2"])?;
        complete("netns_del(\"", &["w1", "w2"])?;
        complete("link_set(\"w1:p1\", #{ master: \"b", &["master: \"br0"])?;
        // Options of the function that is called, those not yet given.
        complete("ping(\"w1\", \"10.0.0.9\", #{ co", &["count:"])?;
        complete("bridge(\"w1:b\", #{ ", &["ageing_time", "mtu", "stp"])?;
        complete("import \"topo", &["import \"topology"])?;
        complete(":und", &[":undo "])?;
        complete(":use w", &["w1", "w2"])?;
        complete(":help netns_a", &["netns_add", "netns_attach"])?;
        tty.line("let h = netns(\"w1\"); let result = links(h)[0]", "host +1> ")?;
        tty.keys(&format!("h.coo{TAB}"))?;
        tty.see("h.cookie")?;
        tty.cancel()?;
        tty.keys(&format!("resu{TAB}.mt{TAB}"))?;
        tty.see("result.mtu")?;
        tty.send("\r")?;
        tty.prompt("host +1> ")?;
        has(&tty.since(), "65536")?;
        // Behind a bracket the arguments are shown.
        tty.keys("ping(")?;
        tty.see("ns, dst")?;
        tty.cancel()?;
        tty.quit()
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
        poll(BOUND, || world::shell("grep -qsx 'sleep' /proc/[0-9]*/comm").is_ok());
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
            tty.keys(&format!("{line}\r"))?;
            tty.wait("a prompt", |tty| {
                let row = usize::from(tty.screen.screen().cursor_position().0);
                row > tty.row && tty.text().lines().nth(row).is_some_and(|l| l.trim_end().ends_with('>'))
            })?;
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
    ("history", || {
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut tty = Tty::start_with(&["--host"], &[], home)?;
        for line in ["1 + 1", "2 + 2", " \"secret\".len()", "1 + 1"] {
            tty.line(line, "host> ")?;
        }
        tty.line("fn f() {\r 3 }", "host +1> ")?;
        tty.keys(CTRL_D)?;
        tty.end(0)?;
        let home = std::mem::replace(&mut tty.home, tempfile::tempdir().map_err(|e| e.to_string())?);
        let file = home.path().join(".local/state/nsscript/history");
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let lines: Vec<&str> = text.lines().skip(1).collect();
        if lines != ["2 + 2", "1 + 1", "fn f() {\\n 3 }"] {
            return Err(format!("{lines:?}"));
        }
        use std::os::unix::fs::PermissionsExt as _;
        for path in [file.as_path(), file.parent().unwrap_or(Path::new("/"))] {
            let mode = std::fs::metadata(path).map_err(|e| e.to_string())?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(format!("{}: {mode:o}", path.display()));
            }
        }
        // The next session has them: back by the arrow, and by Ctrl-R.
        let mut tty = Tty::start_with(&["--host"], &[], home)?;
        tty.keys(&format!("{UP}{UP}{UP}\r"))?;
        tty.see("\n2")?;
        tty.keys(&format!("{CTRL_R}2 +"))?;
        tty.see("2 + 2")?;
        tty.send("\r")?;
        tty.see("\n4")?;
        // vi's keys.
        tty.line(":vi", "host> ")?;
        tty.keys(&format!("4 + 4{ESCAPE}"))?;
        tty.see("4 + 4")?;
        std::thread::sleep(Duration::from_millis(700));
        tty.send("0rx\r")?;
        tty.prompt("host> ")?;
        has(&tty.since(), "there is no variable `x`")?;
        tty.quit()
    }),
    ("terminals", || {
        // A terminal that knows nothing.
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut tty = Tty::start_with(&["--host"], &[("TERM", "dumb")], home)?;
        tty.keys("netns_add(\"a\")\r")?;
        tty.see("host +1>")?;
        tty.keys("1 + 1\r")?;
        tty.see("2")?;
        tty.keys(":quit\r")?;
        tty.see("[t]ake it down")?;
        tty.send("\r")?;
        tty.end(0)?;
        if tty.text().contains('\x1b') {
            return Err("escapes on a dumb terminal".into());
        }
        Ok(())
    }),
    ("ip_lines", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("ip netns add net1", "host +1> ")?;
        tty.line("ip netns exec net1 ip link set lo up", "host +2> ")?;
        has(&tty.line("ip -n net1 -br link show lo", "host +2> ")?, "LOOPBACK,UP")?;
        // In the namespace that is the current one; quotes and all.
        tty.line(":use net1", "net1 +2> ")?;
        tty.line("ip link add va type veth peer name vb", "net1 +3> ")?;
        tty.line("ip link set dev va alias \"an \\\"alias\\\"\"", "net1 +4> ")?;
        has(&world::shell("ip -n net1 link show va")?, "alias an")?;
        has(&tty.line("ip link set nosuch up", "net1 +4> ")?, "│ ip link set nosuch up")?;
        tty.line("ip link del va", "net1 +5> ")?;
        tty.line(":undo", "net1 +4> ")?;
        world::shell("ip -n net1 link show vb")?;
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
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
    // The session that the README shows. `ACCEPT=1 cargo test --test repl -- readme` writes it anew.
    ("readme", || {
        let mut tty = Tty::start()?;
        for (line, prompt) in [
            ("netns_add([\"h1\", \"h2\"], #{ lo: true })", "host +1> "),
            ("veth(\"h1:eth0\", \"h2:eth0\", #{ up: true, a: #{ addr: \"10.0.0.1/24\" } })", "host +2> "),
            ("ip -n h2 addr add 10.0.0.2/24 dev eth0", "host +3> "),
            ("ping(\"h1\", \"10.0.0.2\", #{ count: 2 }).received", "host +3> "),
            (":topology", "host +3> "),
            ("for n in 3..9 { netns_add(`h${n}`); link_up(`h${n}:eth0`) }", "host +3> "),
            ("routes(\"h1\").filter(|r| r.family == \"inet\")", "host +3> "),
            (":undo", "host +2> "),
            (":commit lab", "host> "),
        ] {
            tty.line(line, prompt)?;
        }
        tty.quit()?;
        world::shell("$NSSCRIPT down lab")?;
        let text = tty.text();
        let shown =
            format!("```console\n$ sudo nsscript\n{}\n```\n", text.trim_end().trim_end_matches("host>").trim_end());
        let path = common::root().join("README.md");
        let readme = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let (begin, end) = ("<!-- a session, by tests/repl.rs -->\n", "<!-- end -->");
        let (head, rest) = readme.split_once(begin).ok_or("the README has no place for a session")?;
        let (there, tail) = rest.split_once(end).ok_or("the README's session has no end")?;
        if std::env::var_os("ACCEPT").is_some() {
            return std::fs::write(&path, format!("{head}{begin}{shown}{end}{tail}")).map_err(|e| e.to_string());
        }
        // Times differ.
        let timeless = |text: &str| -> Vec<String> {
            let words = |l: &str| {
                l.split(' ').map(|w| if w.parse::<u64>().is_ok() { "N" } else { w }).collect::<Vec<_>>().join(" ")
            };
            text.lines().map(words).collect()
        };
        let (there, shown) = (timeless(there), timeless(&shown));
        if there == shown { Ok(()) } else { Err(common::diff(&there, &shown)) }
    }),
    ("commands", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line(":use w1", "w1> ")?;
        has(&tty.line("links().len() > 3", "w1> ")?, "true")?;
        tty.line("link_set(\"v1\", #{ mtu: 1300 })", "w1 +1> ")?;
        has(&tty.line(":diff", "w1 +1> ")?, "link `v1` mtu: was 1450, is 1300")?;
        let seen = tty.line(":history", "w1 +1> ")?;
        has(&seen, "1  link_set(\"v1\", #{ mtu: 1300 })")?;
        has(&seen, "ip -n w1 link set v1 mtu 1300")?;
        let seen = tty.line(":topology", "w1 +1> ")?;
        has(&seen, "br0 (bridge)")?;
        has(&seen, "p1 ── w2:e1")?;
        tty.line(":explain on", "w1 +1> ")?;
        has(&tty.line("link_up(\"v1\")", "w1 +2> ")?, "# ip -n w1 link set v1 up")?;
        tty.line(":explain off", "w1 +2> ")?;
        has(&tty.line(":json links(\"w1:v1\")[0].name", "w1 +2> ")?, "\"v1\"")?;
        has(&tty.line(":json netns_add(\"no\")", "w1 +2> ")?, "would change something")?;
        has(&tty.line(":time 1 + 1", "w1 +2> ")?, "ms")?;
        has(&tty.line(":help ping", "w1 +2> ")?, "ping(ns, dst, options)")?;
        has(&tty.line(":help pong", "w1 +2> ")?, "did you mean")?;
        has(&tty.line(":help", "w1 +2> ")?, ":undo [N]")?;
        has(&tty.line(":nosuch", "w1 +2> ")?, "there is no command `:nosuch`")?;
        tty.keys(":watch link(\"v1\").mtu\r")?;
        tty.wait("the value", |tty| tty.text().contains("(Ctrl-C ends it)\n1300"))?;
        tty.send(CTRL_C)?;
        tty.wait("the prompt", |tty| tty.text().trim_end().ends_with("w1 +2>"))?;
        // A shell within the namespace, on this terminal.
        tty.keys(":sh w2\r")?;
        tty.see("a shell in w2")?;
        tty.send("ip -br link show v2 | cut -c1-2; test -t 0 && echo on-a-terminal; exit\r")?;
        tty.see("\non-a-terminal")?;
        tty.prompt("w1 +2> ")?;
        tty.line(":use", "host +2> ")?;
        tty.keys(CTRL_D)?;
        tty.see("[t]ake it down")?;
        tty.send("\r")?;
        tty.end(0)?;
        same(&before)
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

fn inside(name: &str) -> Done {
    let (_, case) = CASES.iter().find(|(n, _)| *n == name).ok_or("no such case")?;
    case()
}

fn main() {
    let frame = Frame { program: "repl", threads: 4, bound: common::LONG, needs: frame::nothing, inside };
    frame.main(CASES.iter().map(|(name, _)| (*name).to_string()));
}

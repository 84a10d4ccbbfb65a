//! How lines are typed: several at once, completed, remembered, on terminals that know little.

use crate::common::world;
use crate::tty::*;
use std::path::Path;

pub const CASES: &[(&str, Case)] = &[
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
        // Options of several functions, of an end of a cable, and none twice.
        complete("exec_in(\"w1\", \"true\", #{ ", &["check", "cwd", "env", "stdin", "tee", "timeout"])?;
        complete("netns_add(\"x\", #{ l", &["lo:"])?;
        complete("veth(\"w1:x\", \"w2:y\", #{ up: true, a: #{ ad", &["addr:"])?;
        complete("route(\"w1\", \"default\", #{ vi", &["via:"])?;
        complete("vxlan(\"w1:x\", #{ re", &["remote"])?;
        complete("qdisc(\"w1:v1\", #{ ra", &["rate:"])?;
        complete("start(\"w1\", \"sleep 9\", #{ re", &["ready:"])?;
        complete("sysctl(\"", &["w1", "w2"])?;
        // Files, for what is imported and for what is run.
        complete("import \"scripts/tuto", &["import \"scripts/tutorial/"])?;
        complete("exec_in(\"w1\", \"cat /etc/host", &["hostname", "hosts"])?;
        // ip: objects, verbs, namespaces, devices of the one that is named, kinds.
        complete("ip ne", &["neighbour", "netns", "nexthop"])?;
        complete("ip netns ", &["add", "exec", "list-id", "monitor"])?;
        complete("ip netns exec ", &["w1", "w2"])?;
        complete("ip -n ", &["w1", "w2"])?;
        complete("ip -n w1 link set ", &["br0", "p1", "q2", "v1"])?;
        complete("ip -n w2 addr add 10.9.0.1/24 dev e", &["dev e1"])?;
        complete("ip netns exec w2 ip link set e", &["set e1"])?;
        complete("ip -n w1 link set p1 master b", &["master br0"])?;
        complete("ip link add x type vx", &["type vxlan"])?;
        complete(":help netns_a", &["netns_add", "netns_attach"])?;
        tty.line("let h = netns(\"w1\"); let result = links(h)[0]", "host +1> ")?;
        tty.keys(&format!("h.coo{TAB}"))?;
        tty.see("h.cookie")?;
        tty.cancel()?;
        tty.keys(&format!("links(h).fil{TAB}"))?;
        tty.see("links(h).filter(")?;
        tty.cancel()?;
        tty.keys(&format!("link_up(h, \"v{TAB}"))?;
        tty.see("link_up(h, \"v1")?;
        tty.cancel()?;
        tty.keys(&format!("resu{TAB}.mt{TAB}"))?;
        tty.see("result.mtu")?;
        tty.send("\r")?;
        tty.prompt("host +1> ")?;
        has(&tty.since(), "65536")?;
        // What expressions give that only look, also within closures and loops.
        for (typed, seen) in [
            ("links(h)[0].addrg", "links(h)[0].addrgenmode"),
            ("links(\"w1\").filter(|l| l.st", "l.state"),
            ("for r in routes(\"w1\") { r.sco", "r.scope"),
            ("link(\"w1:v1\").addrg", ".addrgenmode"),
            ("let r = routes(\"w1\"); r.order_d", "r.order_desc("),
            // A device as the first argument is no namespace, and the other way round.
            ("link_move(\"w1:v1\", \"w", "w1  w2"),
            ("link_up(h, \"v", "link_up(h, \"v1"),
            // Addresses that there are, programs, words of an object and of a kind, keys of sysctls.
            ("ping(\"w1\", \"10.0.", "10.0.0.2"),
            ("exec_in(h, \"hostna", "\"hostname"),
            (":!hostna", ":!hostname"),
            (":!cat /etc/hostna", "/etc/hostname"),
            ("ping -c 1 10.0.", "10.0.0.2"),
            ("ip -n w1 netns exec w1 hostna", "exec w1 hostname"),
            ("ip link add x type vlan reor", "vlan reorder_hdr"),
            ("ip link set v1 type bridge_slave hairp", "hairpin"),
            ("ip -n w1 rule add suppress_pre", "suppress_prefixlength"),
            ("ip -n w1 neigh add 10.0.0.5 llad", "lladdr"),
            ("ip -n w1 route add default via 10.0.", "10.0.0.2"),
            ("ip -stat", "ip -statistics"),
            ("sysctl(h, \"net.ipv4.conf.v", "conf.v1."),
            ("ip(\"-n w1 link set br", "set br0"),
        ] {
            tty.clear()?;
            tty.keys(&format!("{typed}{TAB}"))?;
            tty.see(seen).map_err(|e| format!("{typed}: {e}"))?;
            tty.cancel()?;
        }
        // Behind a bracket the arguments are shown.
        tty.keys("ping(")?;
        tty.see("ns, dst")?;
        tty.cancel()?;
        tty.quit()
    }),
    // A paste without brackets, or somebody who is faster than the program.
    ("typed_ahead", || {
        let mut tty = Tty::start()?;
        for running in ["", "sh(host(), \"sleep 0.3\")\r"] {
            tty.keys(&format!("{running}\"o\" + \"ne\"\r\"t\" + \"wo\"\rnetns_add(\"late\")\r"))?;
            tty.see("\n\"one\"")?;
            tty.see("\n\"two\"")?;
            tty.prompt("host +1> ")?;
            tty.line(":undo", "host> ")?;
        }
        // Ctrl-C forgets it.
        tty.keys("sh(host(), \"echo go''ing; sleep 1234\")\r\"th\" + \"ree\"\r")?;
        tty.see("\ngoing")?;
        tty.send(CTRL_C)?;
        tty.prompt("host> ")?;
        lacks(&tty.since(), "\"three\"")?;
        has(&tty.line("2 + 2", "host> ")?, "\n4")?;
        tty.quit()
    }),
    // Ctrl-C at any moment after Enter: before the line is read, before it begins, and once it runs.
    ("ctrl_c_at_once", || {
        for term in ["xterm", "dumb"] {
            let home = tempfile::tempdir().map_err(|e| e.to_string())?;
            let mut tty = Tty::start_with(&["--host"], &[("TERM", term)], home)?;
            for n in 0..60u64 {
                tty.clear_dumb(term)?;
                let lines = tty.text().lines().count();
                tty.keys("sleep(1234)\r")?;
                let begun = std::time::Instant::now();
                while begun.elapsed() < std::time::Duration::from_micros(n * n) {
                    std::hint::spin_loop();
                }
                tty.send(CTRL_C)?;
                // The terminal may drop what it was about to show: all of the line's echo.
                tty.wait("the prompt", |tty| tty.text().ends_with("host>") && tty.text().lines().count() > lines)
                    .map_err(|e| format!("{term}, {n}: {e}"))?;
                tty.keys(&format!("\"m\" + {n} + \"k\"\r"))?;
                tty.see(&format!("\"m{n}k\"")).map_err(|e| format!("{term}, {n}: {e}"))?;
                tty.wait("the prompt", |tty| tty.text().ends_with("host>"))?;
            }
            // What stands is left alone.
            tty.keys("netns_add(\"stays\")\r")?;
            tty.see("host +1>")?;
            tty.prompt("host +1> ")?;
            tty.keys("link_up(\"stays:lo\"")?;
            tty.send(CTRL_C)?;
            tty.prompt("host +1> ")?;
            world::shell("ip netns pids stays")?;
            tty.keys(":rollback\r")?;
            tty.see("verified")?;
            tty.quit()?;
        }
        Ok(())
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
        tty.keys("4 + 4")?;
        tty.see("4 + 4")?;
        // An escape is one once nothing follows it for a while: then the cursor goes one back.
        let column = tty.screen.screen().cursor_position().1;
        tty.send(ESCAPE)?;
        tty.wait("command mode", |tty| tty.screen.screen().cursor_position().1 + 1 == column)?;
        tty.send("0rx\r")?;
        tty.prompt("host> ")?;
        has(&tty.since(), "there is no variable `x`")?;
        tty.quit()
    }),
    // Colours and hints where they are wanted; what is long goes through the pager, what is wide is cut.
    ("screens", || {
        let before = prepared()?;
        let home = || tempfile::tempdir().map_err(|e| e.to_string());
        for (no_color, coloured) in [("", true), ("1", false)] {
            let env = [("NO_COLOR", no_color), ("PAGER", "sed s/^/paged:/")];
            let mut tty = Tty::start_with(&["--host", "--color", "auto"], &env, home()?)?;
            tty.line("let x = \"text\" // why", "host +1> ")?;
            if tty.is_coloured() != coloured {
                return Err(format!("NO_COLOR={no_color}\n{}", tty.text()));
            }
            // Behind the cursor stands what was typed before; the arrow takes it.
            tty.keys("let x")?;
            tty.see("let x = \"text\" // why")?;
            tty.send("\x1b[C\r")?;
            tty.prompt("host +2> ")?;
            has(&tty.line("x.len()", "host +2> ")?, "\n4")?;
            lacks(&tty.line("links(\"w1\")", "host +2> ")?, "paged:")?;
            tty.session.get_process_mut().set_window_size(60, 20).map_err(|e| e.to_string())?;
            tty.line("1", "host +2> ")?;
            let seen = tty.line("links(\"w1\").filter(|l| l.kind == \"veth\")", "host +2> ")?;
            has(&seen, "\nalso: ")?;
            let table = seen.lines().filter(|l| !l.starts_with("host"));
            if let Some(wide) = table.clone().find(|l| l.chars().count() > 60) {
                return Err(format!("too wide: {wide}\n{seen}"));
            }
            let seen = tty.line(":help", "host +2> ")?;
            has(&seen, "paged:A line is run as it is typed")?;
            has(&seen, "paged:  :undo [N]")?;
            tty.line(":rollback", "host> ")?;
            tty.quit()?;
        }
        same(&before)
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
];

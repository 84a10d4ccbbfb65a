//! What begins with `:`, lines of iproute2, and the session that the README shows.

use crate::common::{self, world};
use crate::tty::*;

pub const CASES: &[(&str, Case)] = &[
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
    // Who types a line of a shell is told how; errors in one point at the word.
    ("as_a_shell", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        has(&tty.line("ls -l /", "host> ")?, "help: `:!ls -l /` runs the program here")?;
        has(&tty.line("topology", "host> ")?, "begin with a colon: `:topology`")?;
        lacks(&tty.line("let ls = 1; ls - nosuch", "host> ")?, "runs the program")?;
        tty.line(":use w2", "w2> ")?;
        has(&tty.line("cat /etc/hosts", "w2> ")?, "help: `:!cat /etc/hosts` runs the program in `w2`")?;
        // In the current namespace, on the terminal, with what a shell does to a line.
        has(
            &tty.line(":!ip -br link show v2 | cut -c1-2; test -t 0 && echo on-a-\"t\"erminal", "w2> ")?,
            "\nv2\non-a-terminal",
        )?;
        has(&tty.line(":! exit 3", "w2> ")?, "ended with status 3")?;
        tty.line(":!ip link set v2 mtu 1300", "w2> ")?;
        has(&tty.line(":history", "w2> ")?, "(no undo)")?;
        world::shell("ip -n w2 link set v2 mtu 1500")?;
        tty.line(":use", "host> ")?;
        let seen = tty.line("ip  -n w1 link set nosuch9 up", "host> ")?;
        has(&seen, "error: there is no device `nosuch9` in namespace `w1`")?;
        has(&seen, "·                   ───────")?;
        for (line, said) in [
            ("ip addr save", "`save`: `ip address`"),
            ("ip route restore", "`restore`: `ip route`"),
            ("ip link set lo mtu many", "`many`: `mtu` needs a number"),
            ("ip tuntap add mode tap", "`tuntap`: `ip tuntap`"),
        ] {
            has(&tty.line(line, "host> ")?, &format!("error: {said}"))?;
        }
        // `:watch`, `:json` and `:time` take such lines too.
        has(&tty.line(":json ip -j -n w1 link show v1", "host> ")?, "\"ifname\": \"v1\"")?;
        has(&tty.line(":time ip -n w1 -br link show v1", "host> ")?, " ms")?;
        tty.keys(":watch ip -n w1 -br link show v1\r")?;
        tty.wait("the link", |tty| tty.text().contains("(Ctrl-C ends it)\nv1"))?;
        tty.send(CTRL_C)?;
        tty.wait("the prompt", |tty| tty.text().trim_end().ends_with("\nhost>"))?;
        // The monitor ends by Ctrl-C, and that is no error.
        tty.clear()?;
        tty.keys("ip netns monitor\r")?;
        if !crate::common::poll(BOUND, || {
            world::shell("ip netns add seen; ip netns delete seen").is_ok() && {
                tty.read();
                tty.since().contains("add seen")
            }
        }) {
            return Err(tty.text());
        }
        tty.send(CTRL_C)?;
        tty.prompt("host> ")?;
        lacks(&tty.since(), "error")?;
        tty.quit()?;
        same(&before)
    }),
    // As tutorials and shells have them: prompts, sudo, comments, several at once; what is for a shell is said.
    ("pasted_from_a_shell", || {
        let before = prepared()?;
        let mut tty = Tty::start()?;
        tty.line("$ sudo ip netns add s1", "host +1> ")?;
        tty.line("# a comment (of a shell", "host +1> ")?;
        tty.line("sudo ip netns add s2; ip netns add s3 && ip -n s3 link set lo up // all of it", "host +2> ")?;
        has(&tty.line("ip netns list; ip -n s3 -br link show lo", "host +2> ")?, "s1")?;
        has(&tty.since(), "LOOPBACK,UP")?;
        has(&tty.line("ip netns add s4; ip netns add s1", "host +2> ")?, "exists already")?;
        world::shell("ip netns pids s3; ! ip netns pids s4 2>/dev/null")?;
        has(&tty.line("ip netns exec s1 ls / | head -1", "host +2> ")?, "`|` is for a shell")?;
        has(&tty.since(), "help: `:!ip netns exec s1 ls / | head -1`")?;
        has(&tty.line("ip netns add s5; ls", "host +2> ")?, "`;` is for a shell")?;
        tty.line(":undo", "host +1> ")?;
        world::shell("! ip netns pids s2 2>/dev/null")?;
        tty.line(":rollback", "host> ")?;
        tty.quit()?;
        same(&before)
    }),
    // More is asked for than there is; what is shown is said.
    ("counts_and_switches", || {
        let mut tty = Tty::start()?;
        tty.line("netns_add(\"a\")", "host +1> ")?;
        has(&tty.line(":undo 2", "host +1> ")?, "only 1 line stands")?;
        world::shell("ip netns pids a")?;
        has(&tty.line(":time", "host +1> ")?, "the time of each line is shown")?;
        has(&tty.line("1 + 1", "host +1> ")?, " ms")?;
        has(&tty.line(":time off", "host +1> ")?, "no times")?;
        lacks(&tty.line("1 + 1", "host +1> ")?, " ms")?;
        has(&tty.line(":help undo", "host +1> ")?, "take back the last line")?;
        has(&tty.line("[1, (), |x| x]", "host +1> ")?, "[1, (), a closure]")?;
        has(&tty.line("link(\"lo\").name", "host +1> ")?, "\"lo\"")?;
        has(&tty.line("link_set(\"lo\", #{ mtu: 9000 })", "host +2> ")?, "\nlo  device")?;
        tty.line(":rollback", "host> ")?;
        tty.quit()
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
        let (begin, end) = ("<!-- a session, by tests/repl/commands.rs -->\n", "<!-- end -->");
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
];

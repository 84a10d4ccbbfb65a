//! Lines as one types them into a shell, and as tutorials have them: `ip …`, `ping …`, and the heading `ns0:` of the lines
//! that belong into a namespace.

use crate::engine::tokens::{self, Token, What};
use crate::plan::Ns;
use crate::plan::ipwords::split;

/// Whether a line is one of iproute2's.
#[must_use]
pub fn is_ip_line(line: &str) -> bool {
    is_command(line, "ip")
}

/// Whether a line is a ping.
#[must_use]
pub fn is_ping_line(line: &str) -> bool {
    is_command(line, "ping")
}

/// Whether a line is complete as it is, and not code that may go on.
#[must_use]
pub fn is_whole(line: &str) -> bool {
    line.trim_start().starts_with(':') || is_ip_line(line) || is_ping_line(line)
}

/// Whether a line is one of iproute2's as far as it goes.
#[must_use]
pub fn is_command_begun(line: &str) -> bool {
    line.trim_start().starts_with("ip ") && (is_ip_line(line) || line.trim() == "ip")
}

fn is_command(line: &str, name: &str) -> bool {
    let mut words = line.split_whitespace();
    // `ip = 5` and `ip.x` are code.
    words.next() == Some(name) && words.next().is_some_and(|w| !w.starts_with(['=', '+', '(', '.', ';', '*', '/']))
}

/// The call that an iproute2 line means: the rest of it as a raw string.
#[must_use]
pub fn ip_call(line: &str) -> String {
    let rest = line.trim();
    format!("ip({})", raw(rest.strip_prefix("ip").unwrap_or(rest).trim()))
}

/// The call that a ping in a namespace means. Where `ns` is the host's, the program is what there is.
#[must_use]
pub fn ping_call(line: &str, ns: &Ns) -> String {
    if !ns.is_host() {
        return format!("ip({})", raw(&format!("netns exec {} {}", ns.name, line.trim())));
    }
    // A comment behind it goes.
    let words = split(line).unwrap_or_default();
    let words: Vec<String> = words.iter().map(|w| format!("{:?}", w.text)).collect();
    format!("exec_in(host(), [{}])", words.join(", "))
}

fn raw(text: &str) -> String {
    let marks = "#".repeat(1 + text.matches('#').count());
    format!("{marks}\"{text}\"{marks}")
}

/// The call that a line with a `&` at its end means, of those that run a program in a namespace: it goes on in the background.
#[must_use]
pub fn background_call(line: &str, ns: &Ns) -> Option<String> {
    let line = line.trim().strip_suffix('&').filter(|rest| !rest.ends_with('&'))?;
    let words = split(line).ok()?;
    let words: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
    let (ns, command) = match words.as_slice() {
        ["ip", netns, exec, ns, command @ ..]
            if netns.len() > 1 && "netns".starts_with(netns) && !exec.is_empty() && "exec".starts_with(exec) =>
        {
            (format!("{ns:?}"), command)
        }
        ["ping", ..] if !ns.is_host() => (format!("{:?}", ns.name), words.as_slice()),
        ["ping", ..] => ("host()".to_owned(), words.as_slice()),
        _ => return None,
    };
    let command: Vec<String> = command.iter().map(|w| format!("{w:?}")).collect();
    (!command.is_empty()).then(|| format!("start({ns}, [{}])", command.join(", ")))
}

/// The call that a line of a shell means, in the current namespace.
#[must_use]
pub fn shell_call(line: &str, ns: &Ns) -> String {
    let ns = if ns.is_host() { "host()".to_owned() } else { format!("{:?}", ns.name) };
    format!("sh({ns}, {})", raw(line.trim()))
}

/// The first word of a line that may be a command of a shell: what is surely code has none.
#[must_use]
pub fn program(line: &str) -> Option<&str> {
    let word = line.split_whitespace().next()?;
    let rest = line.get(word.len()..)?.trim_start();
    let code = ["(", "=", ".", "+", "*", ";", "?", "["].iter().any(|mark| rest.starts_with(mark));
    let name = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c)) && !word.starts_with('.');
    (name && !code && !line.contains('\n')).then_some(word)
}

/// The name of a heading: `ns0:`.
#[must_use]
pub fn heading(line: &str) -> Option<&str> {
    let name = line.trim().strip_suffix(':')?;
    (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))).then_some(name)
}

/// Whether the last statement of a text is nothing but a call that runs a program, so that all it has to show is what the
/// program writes.
#[must_use]
pub fn only_runs(text: &str) -> bool {
    let all = tokens::tokens(text);
    let all: Vec<Token<'_>> = match all.split_last() {
        Some((last, rest)) if last.is(";") => rest.to_vec(),
        _ => all,
    };
    if !all.last().is_some_and(|t| t.is(")")) {
        return false;
    }
    let mut depth = 0usize;
    let mut bracket = None;
    // From the end: the bracket that belongs to the last one, then the beginning of the statement.
    for (at, token) in all.iter().enumerate().rev().filter(|(_, t)| t.what == What::Mark) {
        match token.text {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" | "#{" => {
                // A block around it: what it gives is not ours to know.
                let Some(less) = depth.checked_sub(1) else { return false };
                depth = less;
                if depth == 0 && bracket.is_none() {
                    bracket = Some(at);
                }
            }
            ";" if depth == 0 => break,
            "=" if depth == 0 => return false,
            _ => {}
        }
    }
    let name = bracket.and_then(|at| at.checked_sub(1)).and_then(|at| all.get(at));
    name.is_some_and(|n| ["exec_in", "exec_all", "sh"].iter().any(|f| n.is(f)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_code() {
        for line in ["ip link", "ip -n h1 addr show", "  ip netns exec h1 ip a"] {
            assert!(is_ip_line(line), "{line}");
        }
        for line in ["ip", "ip(\"link\")", "ip = 5", "ip.len()", "ipx link", "let ip = 1", "ping h1"] {
            assert!(!is_ip_line(line), "{line}");
        }
        assert!(is_ping_line("ping -c 3 10.0.1.2"));
        assert!(!is_ping_line("ping(\"h1\", \"10.0.1.2\")"));
        assert_eq!(ip_call("ip -n h1 link"), "ip(#\"-n h1 link\"#)");
        assert_eq!(ip_call("ip link set alias \"a#\""), "ip(##\"link set alias \"a#\"\"##)");
        let host = Ns { cookie: 1, name: String::new() };
        assert_eq!(
            background_call("ip netns exec h1 sleep '1 0' &", &host).as_deref(),
            Some("start(\"h1\", [\"sleep\", \"1 0\"])")
        );
        assert_eq!(background_call("ping h1&", &host).as_deref(), Some("start(host(), [\"ping\", \"h1\"])"));
        for line in ["ip link &", "ip netns exec h1 sleep 10", "f() &", "ip netns exec h1 a &&"] {
            assert_eq!(background_call(line, &host), None, "{line}");
        }
        assert_eq!(program("tcpdump -ni eth0"), Some("tcpdump"));
        assert_eq!(program("ls"), Some("ls"));
        for line in ["ls = 1", "ls(1)", "a.b()", "1 + 1 / 2 == x;\n2", "\"a\" b"] {
            assert_eq!(program(line).filter(|w| *w != "1"), None, "{line}");
        }
        assert_eq!(heading("ns0:"), Some("ns0"));
        assert_eq!(heading(" br-0.1: "), Some("br-0.1"));
        for line in [":", "a b:", "f(x):", "::"] {
            assert_eq!(heading(line), None, "{line}");
        }
    }

    #[test]
    fn lines_that_only_run_a_program() {
        for text in [
            "exec_in(\"h1\", \"ping 10.0.0.1\")",
            "sh(h, `a (b`);",
            "let a = 1; h.exec_in([\"a\", f(1)], #{ timeout: 3 })",
            "for n in x { y() } exec_all(\"true\")",
        ] {
            assert!(only_runs(text), "{text}");
        }
        for text in [
            "let a = exec_in(\"h1\", \"x\")",
            "exec_in(\"h1\", \"x\").text",
            "print(sh(\"h1\", \"x\"))",
            "a = sh(\"h1\", \"x\")",
            "for n in x { sh(n, \"x\") }",
            "exec_in",
            "f(1)",
        ] {
            assert!(!only_runs(text), "{text}");
        }
    }
}

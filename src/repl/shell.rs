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
    let line = bare(line);
    line.starts_with(':') || is_comment(line) || is_ip_line(line) || is_ping_line(line)
}

/// Whether a line is a comment of a shell, or the first line of a script: neither means anything in the language.
#[must_use]
pub fn is_comment(line: &str) -> bool {
    line == "#" || ["# ", "#!", "##"].iter().any(|begin| line.starts_with(begin))
}

/// A line without what a tutorial has before its `ip` or `ping`: a prompt's `$`, and `sudo`.
#[must_use]
pub fn bare(line: &str) -> &str {
    let line = line.trim();
    let rest = line.strip_prefix("$ ").map_or(line, str::trim_start);
    let rest = rest.strip_prefix("sudo ").map_or(rest, str::trim_start);
    if is_ip_line(rest) || is_ping_line(rest) { rest } else { line }
}

/// Where in a line a shell would find one of `;`, `&&`, `|`, `<`, `>`: outside of quotes, before a comment.
fn marks(line: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut quote = None;
    let mut chars = line.char_indices();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        let rest = line.get(at..).unwrap_or_default();
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some('"') | None, '\\') => drop(chars.next()),
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before.is_whitespace() => break,
            (None, '/') if before.is_whitespace() && rest.starts_with("//") => break,
            (None, ';' | '|' | '<' | '>') => found.extend(rest.get(..1).map(|mark| (at, mark))),
            (None, '&') if rest.starts_with("&&") => {
                found.extend(rest.get(..2).map(|mark| (at, mark)));
                chars.next();
            }
            _ => {}
        }
        before = c;
    }
    found
}

/// The lines of `ip` that a line holds, with `;` or `&&` between them.
#[must_use]
pub fn parts(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    for (at, mark) in marks(line).into_iter().filter(|(_, mark)| [";", "&&"].contains(mark)) {
        found.extend(line.get(begin..at));
        begin = at + mark.len();
    }
    found.extend(line.get(begin..));
    found.into_iter().map(bare).filter(|part| !part.is_empty()).collect()
}

/// What only a shell understands in a line of `ip`.
#[must_use]
pub fn only_a_shells(line: &str) -> Option<&str> {
    let marks = marks(line);
    let other = marks.iter().find(|(_, mark)| ["|", "<", ">"].contains(mark));
    let chained = marks.first().filter(|_| !parts(line).into_iter().all(is_ip_line));
    other.or(chained).map(|(_, mark)| *mark)
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

/// What a line of `ip` means, or several with `;` or `&&` between them: what the first ones show is printed.
#[must_use]
pub fn ip_code(line: &str) -> String {
    let mut calls: Vec<String> = parts(line).into_iter().map(ip_call).collect();
    let last = calls.pop().unwrap_or_default();
    let shown = |call: &String| {
        format!("for shown in [{call}] {{ if type_of(shown) == \"string\" && shown != \"\" {{ print(shown) }} }} ")
    };
    let mut code: String = calls.iter().map(shown).collect();
    code.push_str(&last);
    code
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
        assert_eq!(bare(" $ sudo ip link "), "ip link");
        assert_eq!(bare("sudo reboot"), "sudo reboot");
        assert_eq!(parts("ip a; sudo ip b && ip c 'x;y' # d;e"), ["ip a", "ip b", "ip c 'x;y' # d;e"]);
        assert_eq!(only_a_shells("ip a; ip b 'x|y'"), None);
        assert_eq!(only_a_shells("ip a; ls"), Some(";"));
        assert_eq!(only_a_shells("ip a | ls; ip b"), Some("|"));
        assert_eq!(only_a_shells("ip a // b > c"), None);
        assert!(is_comment("# one") && is_comment("#!/bin/sh") && !is_comment("#{ a: 1 }"));
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

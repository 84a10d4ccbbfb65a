//! Events as text for people: `print` on stdout, all talk on stderr.

use super::diagnostic::{Diagnostic, Severity, Style, place};
use super::event::{Event, Sink, Writer};
use std::io;

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors, in one line each, and what a rollback could not do.
    Quiet,
    /// And warnings, notes, and how the run ended.
    #[default]
    Normal,
    /// And every step, with the command that does the same.
    Verbose,
    /// The commands alone on stdout, to be read or run again; what the script prints goes to stderr.
    Explain,
    /// The steps of a plan on stdout, each with the command that does the same; what the script prints goes to stderr.
    Plan,
}

/// Writes events for a person to read. `O` is stdout, `E` stderr.
#[derive(Debug)]
pub struct Terminal<O, E> {
    out: Writer<O>,
    err: Writer<E>,
    level: Level,
    /// How to draw on stderr.
    style: Style,
}

impl Terminal<io::Stdout, io::Stderr> {
    /// To the process's stdout and stderr.
    #[must_use]
    pub fn standard(level: Level, style: Style) -> Self {
        Terminal::new(io::stdout(), io::stderr(), level, style)
    }
}

impl<O: io::Write, E: io::Write> Terminal<O, E> {
    /// To two writers; `style` is that of `err`.
    pub fn new(out: O, err: E, level: Level, style: Style) -> Self {
        Terminal { out: Writer::new(out), err: Writer::new(err), level, style }
    }

    /// A line of talk.
    fn say(&mut self, line: &str) {
        self.err.put(&format!("{line}\n"));
    }

    fn dim(&self, text: &str) -> String {
        self.style.paint("2", text)
    }

    /// The last lines of a plan; `fails` has the exit status, and whether the last step itself is refused.
    fn planned(
        &mut self,
        name: &str,
        counts: (usize, usize, usize, usize),
        simulated: usize,
        fails: Option<(i32, bool)>,
    ) {
        let (steps, namespaces, links, processes) = counts;
        let ending = match fails {
            Some((status, refused)) => {
                let at = match (steps, refused) {
                    (0, _) => "before its first step".to_owned(),
                    (n, true) => format!("at step {n}"),
                    (n, false) => format!("after step {n}"),
                };
                format!("would fail {at}: all undone, exit status {status}")
            }
            None => format!(
                "{}: {}, {}, {} would stand",
                plural(steps, "step", "steps"),
                plural(namespaces, "namespace", "namespaces"),
                plural(links, "link", "links"),
                plural(processes, "process", "processes")
            ),
        };
        let simulated = match simulated {
            0 => String::new(),
            1 if fails.is_some() => "; 1 result before it was simulated, which may be why".to_owned(),
            n if fails.is_some() => format!("; {n} results before it were simulated, which may be why"),
            n => format!("; {} simulated", plural(n, "result", "results")),
        };
        self.out.put(&format!("plan of `{name}`: {ending}{simulated}; nothing was changed\n"));
    }

    /// How an undo went: one line, and below it what is not as it was.
    fn undone(&mut self, what: &str, verified: bool, differences: &[String], errors: &[String]) {
        let fine = verified && differences.is_empty() && errors.is_empty();
        if fine {
            if self.level > Level::Quiet {
                self.say(&format!("{what}, verified"));
            }
            return;
        }
        let mut parts = Vec::new();
        if !errors.is_empty() {
            parts.push(format!("{} failed", plural(errors.len(), "step", "steps")));
        }
        match differences.len() {
            0 if verified => {}
            0 if errors.is_empty() => parts.push("what is there now could not be compared with before".to_owned()),
            0 => parts.push("what could be compared is as it was".to_owned()),
            1 => parts.push("1 thing differs from before".to_owned()),
            n => parts.push(format!("{n} things differ from before")),
        }
        let listed = !(differences.is_empty() && errors.is_empty());
        let mut text = format!("{what}, but {}{}\n", parts.join(", and "), if listed { ":" } else { "" });
        text = self.style.paint("1;33", text.trim_end()) + "\n";
        for line in errors.iter().chain(differences) {
            text.push_str(&format!("  {}\n", line.trim_end().replace('\n', "\n    ")));
        }
        self.err.put(&text);
    }
}

impl<O: io::Write, E: io::Write> Sink for Terminal<O, E> {
    fn event(&mut self, event: &Event) {
        let level = self.level;
        match event {
            Event::Print { text } if matches!(level, Level::Explain | Level::Plan) => self.say(text),
            Event::Print { text } => self.out.put(&format!("{text}\n")),
            Event::Debug { text, file, line } => {
                let at = self.dim(&match place(file.as_deref(), *line, 0) {
                    at if at.is_empty() => at,
                    at => at + ": ",
                });
                self.say(&format!("{at}{text}"));
            }
            Event::Step { index, op, ns, target, ip, file, line, undo } if level == Level::Plan => {
                let number = match (*undo, *index) {
                    // Of a run before, which is recovered.
                    (true, 0) => "-".to_owned(),
                    (true, index) => format!("-{index}"),
                    (false, index) => index.to_string(),
                };
                let ns = if ns.is_empty() { String::new() } else { format!(" in {ns}") };
                let what = format!("{op}{ns}: {target}");
                let what = what.trim_end_matches(": ");
                let at = place(file.as_deref(), *line, 0);
                self.out.put(format!("{number:>4}  {what:<54}  {at}").trim_end());
                self.out.put(&format!("\n        {ip}\n"));
            }
            Event::Step { ip, .. } if level == Level::Explain => self.out.put(&format!("{ip}\n")),
            Event::Step { index, ip, file, line, undo, .. } if level == Level::Verbose => {
                let number = if *undo { format!("-{index}") } else { index.to_string() };
                let number = self.dim(&format!("{number:>4}"));
                let at = place(file.as_deref(), *line, 0);
                if at.is_empty() {
                    self.say(&format!("{number}  {ip}"));
                } else {
                    let at = self.dim(&at);
                    self.say(&format!("{number}  {ip:<44}  {at}"));
                }
            }
            Event::Step { .. } => {}
            Event::Simulated { what, copy, .. } if level == Level::Plan => {
                let how = if *copy { "in the copy" } else { "simulated" };
                self.out.put(&format!("        {how}: {what}\n"));
            }
            Event::Planned { name, steps, namespaces, links, processes, simulated, status, fails, refused } => {
                self.planned(
                    name,
                    (*steps, *namespaces, *links, *processes),
                    *simulated,
                    fails.then_some((*status, *refused)),
                );
            }
            Event::Output { ns, text, .. } if level > Level::Quiet => {
                let who = if ns.is_empty() { "host" } else { ns };
                let prefix = self.dim(&format!("{who}| "));
                let mut lines = String::new();
                for line in text.lines() {
                    lines.push_str(&format!("{prefix}{line}\n"));
                }
                self.err.put(&lines);
            }
            Event::Note { message } if level > Level::Quiet => self.say(message),
            Event::Warning { message, hint } if level > Level::Quiet => {
                let warning = Diagnostic { hint: hint.clone(), ..Diagnostic::new("warning", message.as_str()) };
                self.err.put(&warning.render_as(Severity::Warning, self.style));
            }
            Event::Started { name, sandbox } if level == Level::Verbose => {
                let place = if *sandbox { " in a sandbox" } else { "" };
                self.say(&format!("lab `{name}` starts{place}"));
            }
            Event::Stands { name, namespaces, links, processes, ms, message } if level > Level::Quiet => {
                let n = plural(*namespaces, "namespace", "namespaces");
                let l = plural(*links, "link", "links");
                let p = plural(*processes, "process", "processes");
                let name = self.style.paint("1;32", &format!("lab `{name}` stands"));
                let more = if message.is_empty() { String::new() } else { format!("\n{message}") };
                self.say(&format!("{name}: {n}, {l}, {p}, in {ms} ms{more}"));
            }
            Event::TookDown { name, steps, ms, verified, differences, errors } => {
                let what = format!("took lab `{name}` down: {} in {ms} ms", plural(*steps, "step", "steps"));
                self.undone(&what, *verified, differences, errors);
            }
            Event::RolledBack { steps, ms, verified, differences, errors } => {
                let what = format!("rolled back {} in {ms} ms", plural(*steps, "step", "steps"));
                self.undone(&what, *verified, differences, errors);
            }
            Event::Error { text, .. } if level == Level::Quiet => self.say(text),
            Event::Error { diagnostic, .. } => {
                let text = diagnostic.render(self.style);
                self.err.put(&text);
            }
            Event::Output { .. }
            | Event::Simulated { .. }
            | Event::Note { .. }
            | Event::Warning { .. }
            | Event::Started { .. }
            | Event::Stands { .. } => {}
        }
    }

    fn broken(&self) -> Option<io::Error> {
        self.out.broken()
    }
}

#[cfg(test)]
impl Terminal<Vec<u8>, Vec<u8>> {
    /// What was written to the two.
    pub(crate) fn texts(&self) -> (String, String) {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        (text(self.out.inner()), text(self.err.inner()))
    }
}

/// `1 link`, `4 links`.
fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::super::event::Stream;
    use super::super::event::tests::Gone;
    use super::*;

    /// Stdout and stderr after the events.
    fn shown(level: Level, events: &[Event]) -> (String, String) {
        let mut sink = Terminal::new(Vec::new(), Vec::new(), level, Style::PLAIN);
        for event in events {
            sink.event(event);
        }
        assert!(sink.broken().is_none());
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        (text(sink.out.inner()), text(sink.err.inner()))
    }

    fn step(index: usize, ip: &str, line: usize, undo: bool) -> Event {
        let file = (line > 0).then(|| "lab.rhai".to_owned());
        Event::Step { index, op: "o".into(), ns: "h1".into(), target: "t".into(), ip: ip.into(), file, line, undo }
    }

    fn rolled_back(verified: bool, differences: &[&str], errors: &[&str]) -> Event {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Event::RolledBack { steps: 14, ms: 6, verified, differences: own(differences), errors: own(errors) }
    }

    fn all() -> Vec<Event> {
        vec![
            Event::Started { name: "two-hosts".into(), sandbox: true },
            step(12, "ip -n h1 addr add 10.0.1.1/24 dev eth0", 9, false),
            step(12, "ip -n h1 addr del 10.0.1.1/24 dev eth0", 0, true),
            Event::Print { text: "3/3 replies".into() },
            Event::Debug { text: "x = 1".into(), file: Some("lab.rhai".into()), line: 3 },
            Event::Output { stream: Stream::Stdout, ns: "h1".into(), text: "a\nb\n".into() },
            Event::Note { message: "waiting for DAD".into() },
            Event::Warning { message: "no ipv6".into(), hint: Some("load it".into()) },
            Event::Stands {
                name: "two-hosts".into(),
                namespaces: 3,
                links: 4,
                processes: 0,
                ms: 12,
                message: "`nsscript down two-hosts` takes it away".into(),
            },
            rolled_back(true, &[], &[]),
            Event::error(Diagnostic { file: Some("lab.rhai".into()), line: 9, ..Diagnostic::new("io", "no") }),
        ]
    }

    #[test]
    fn normal_says_how_it_went() {
        let (out, err) = shown(Level::Normal, &all());
        assert_eq!(out, "3/3 replies\n");
        assert_eq!(
            err,
            "lab.rhai:3: x = 1
h1| a
h1| b
waiting for DAD
  warning: no ipv6
  help: load it
lab `two-hosts` stands: 3 namespaces, 4 links, 0 processes, in 12 ms
`nsscript down two-hosts` takes it away
rolled back 14 steps in 6 ms, verified
  error: no
  at lab.rhai:9
"
        );
    }

    #[test]
    fn quiet_says_errors_only() {
        let (out, err) = shown(Level::Quiet, &all());
        assert_eq!(out, "3/3 replies\n");
        assert_eq!(err, "lab.rhai:3: x = 1\nlab.rhai:9: error: no\n");
    }

    #[test]
    fn verbose_shows_every_step() {
        let (_, err) = shown(Level::Verbose, &all());
        let want = "lab `two-hosts` starts in a sandbox
  12  ip -n h1 addr add 10.0.1.1/24 dev eth0        lab.rhai:9
 -12  ip -n h1 addr del 10.0.1.1/24 dev eth0
";
        assert!(err.starts_with(want), "{err}");
    }

    #[test]
    fn explain_has_the_commands_alone_on_stdout() {
        let (out, err) = shown(Level::Explain, &all());
        assert_eq!(out, "ip -n h1 addr add 10.0.1.1/24 dev eth0\nip -n h1 addr del 10.0.1.1/24 dev eth0\n");
        assert!(err.contains("3/3 replies\n"), "{err}");
    }

    #[test]
    fn an_undo_that_is_not_whole_is_said_even_when_quiet() {
        let two = ["h1: eth0: mtu 1400, was 1500", "host: route 10.0.0.0/8 is gone"];
        let (_, err) = shown(Level::Quiet, &[rolled_back(false, &two, &[])]);
        assert_eq!(
            err,
            "rolled back 14 steps in 6 ms, but 2 things differ from before:
  h1: eth0: mtu 1400, was 1500
  host: route 10.0.0.0/8 is gone
"
        );
        let (_, err) = shown(Level::Normal, &[rolled_back(false, &two[..1], &["link_del `a`: busy"])]);
        assert_eq!(
            err,
            "rolled back 14 steps in 6 ms, but 1 step failed, and 1 thing differs from before:
  link_del `a`: busy
  h1: eth0: mtu 1400, was 1500
"
        );
        let (_, err) = shown(Level::Normal, &[rolled_back(false, &[], &[])]);
        assert_eq!(err, "rolled back 14 steps in 6 ms, but what is there now could not be compared with before\n");
    }

    #[test]
    fn a_closed_stdout_is_remembered_and_stderr_goes_on() {
        let mut sink = Terminal::new(Gone, Vec::new(), Level::Normal, Style::PLAIN);
        sink.event(&Event::Print { text: "a".into() });
        sink.event(&Event::Note { message: "still here".into() });
        assert_eq!(sink.broken().unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sink.err.inner(), b"still here\n");
        let mut sink = Terminal::new(Vec::new(), Gone, Level::Normal, Style::PLAIN);
        sink.event(&Event::Note { message: "m".into() });
        assert!(sink.broken().is_none());
    }
}

//! What begins with `:`.

use super::interpreter::{Ended, Line};
use super::places::Input;
use super::show::cut;
use super::{Repl, Then, complete, shell, topology};
use crate::engine::docs::{self, Entry};
use crate::kernel::By;
use crate::kernel::linux::process::{self, Output, Spec, Stdin};
use crate::plan::{Error, Kind, Ns, Result};
use crate::report::diagnostic::wrap;
use std::fmt::Write as _;
use std::time::Duration;

/// A command.
pub struct Command {
    pub name: &'static str,
    /// As `:help` shows them.
    pub arguments: &'static str,
    pub text: &'static str,
}

/// All commands, in the order of `:help`.
pub const COMMANDS: &[Command] = &[
    Command { name: "help", arguments: "[NAME]", text: "explain a function, a family or a command" },
    Command { name: "undo", arguments: "[N]", text: "take back the last line (or N) that changed something" },
    Command { name: "redo", arguments: "[N]", text: "do again what was undone last" },
    Command { name: "rollback", arguments: "", text: "take back everything since the last commit" },
    Command { name: "commit", arguments: "[NAME]", text: "keep what stands, as a lab" },
    Command { name: "history", arguments: "", text: "the lines that stand, with what they did" },
    Command { name: "diff", arguments: "", text: "what is other than before the session" },
    Command { name: "use", arguments: "[NS]", text: "make a namespace the current one; without a name, the host's" },
    Command { name: "topology", arguments: "", text: "draw namespaces, links, bridges and addresses" },
    Command { name: "save", arguments: "FILE", text: "write the lines that stand as a script" },
    Command { name: "load", arguments: "FILE", text: "run a script as one line" },
    Command { name: "json", arguments: "EXPR", text: "show a result as JSON" },
    Command { name: "watch", arguments: "EXPR", text: "show a result again every second, until Ctrl-C" },
    Command { name: "time", arguments: "[on|off|LINE]", text: "show how long lines take" },
    Command { name: "explain", arguments: "[on|off]", text: "show the ip commands that do the same" },
    Command { name: "sh", arguments: "[NS]", text: "a shell in a namespace" },
    Command { name: "!", arguments: "LINE", text: "run a line of shell in the current namespace" },
    Command { name: "learn", arguments: "[LESSON]", text: "go through the tutorial, step by step" },
    Command {
        name: "vi",
        arguments: "",
        text: "edit lines with vi's keys (NSSCRIPT_KEYS=vi, or editing-mode in ~/.inputrc)",
    },
    Command { name: "emacs", arguments: "", text: "edit lines with emacs' keys" },
    Command { name: "quit", arguments: "", text: "leave" },
];

/// Short names.
const SHORT: &[(&str, &str)] = &[("q", "quit"), ("exit", "quit"), ("h", "help"), ("?", "help"), ("u", "undo")];

/// What `:help` says of lines that are no commands.
const LINES: &[(&str, &str)] = &[
    ("f(x); …", "code, as in a script; `_` is the last result"),
    ("ip …, ping …", "as in a shell; done natively, undone like the rest"),
    ("NS:", "as `:use NS`"),
];

/// Keys that not everybody knows.
const KEYS: &[(&str, &str)] = &[
    ("Tab", "complete: functions, options, namespaces, devices, files"),
    ("Ctrl-R", "look for an earlier line; → takes what is proposed"),
    ("Ctrl-C", "forget the line, or end the call that runs: it is undone"),
    ("Ctrl-D", "leave"),
];

/// Name and rest of a command's line.
fn split(line: &str) -> (&str, &str) {
    let text = line.trim().trim_start_matches(':').trim_start();
    if let Some(rest) = text.strip_prefix('!') {
        return ("!", rest.trim());
    }
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (name, rest.trim())
}

/// The command that a name means: an unambiguous beginning is enough.
fn find(name: &str) -> Option<&'static Command> {
    let full = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full);
    let mut begun = COMMANDS.iter().filter(|c| !full.is_empty() && c.name.starts_with(full));
    match (COMMANDS.iter().find(|c| c.name == full), begun.next(), begun.next()) {
        (Some(command), ..) | (None, Some(command), None) => Some(command),
        _ => None,
    }
}

/// Whether a command runs what stands behind it as a line of the session.
#[must_use]
pub fn is_line(line: &str) -> bool {
    let (name, rest) = split(line);
    match find(name).map_or("", |c| c.name) {
        "!" => !rest.is_empty(),
        "time" => !matches!(rest, "" | "on" | "off"),
        _ => false,
    }
}

impl Repl {
    /// Runs a command; the line begins with `:`.
    ///
    /// # Errors
    /// What it can't do.
    pub(super) fn command(&mut self, line: &str) -> Result<Then> {
        let (name, rest) = split(line);
        let Some(command) = find(name) else {
            let near = crate::plan::nearest(name, COMMANDS.iter().map(|c| c.name));
            let error = Error::new(Kind::NotFound, format!("there is no command `:{name}`"));
            return Err(match near {
                Some(near) => error.with_hint(format!("did you mean `:{near}`?")),
                None => error.with_hint("`:help` lists them"),
            });
        };
        if command.arguments.is_empty() && !rest.is_empty() {
            return Err(Error::invalid(format!("`:{}` takes nothing behind it", command.name)));
        }
        match command.name {
            "help" => self.help(rest)?,
            "undo" => self.undo(count(rest)?)?,
            "redo" => return self.redo(count(rest)?),
            "rollback" => self.rollback(),
            "commit" => self.commit(rest)?,
            "history" => self.history(),
            "diff" => self.diff()?,
            "use" => self.use_namespace(rest)?,
            "topology" => {
                let drawing = topology::draw(self.interpreter.borrow().session(), self.look().style);
                self.page(&drawing);
            }
            "save" => self.save(rest)?,
            "load" => return self.load(rest),
            "json" => return self.json(line, rest),
            "watch" => return self.watch(line, rest),
            "time" => return self.time(rest),
            "explain" => {
                self.explain = switch(rest, self.explain)?;
                let what =
                    if self.explain { "the ip commands of each line are shown" } else { "no ip commands any more" };
                self.say(what);
            }
            "sh" => self.shell(rest)?,
            "!" => return self.shell_line(line, rest),
            "learn" => self.learn(rest)?,
            "vi" | "emacs" => {
                self.keys(command.name == "vi");
                self.say(if command.name == "vi" {
                    "lines are edited with vi's keys"
                } else {
                    "lines are edited with emacs' keys"
                });
            }
            _ => return Ok(Then::Leave),
        }
        Ok(Then::On)
    }

    fn help(&mut self, name: &str) -> Result<()> {
        let style = self.look().style;
        if name.is_empty() {
            let mut out = String::from("A line is run as it is typed, all or nothing.\n\n");
            let mut row = |head: &str, text: &str| {
                let _ = writeln!(out, "  {}{text}", style.paint("33", &format!("{head:<22}")));
            };
            LINES.iter().for_each(|(head, text)| row(head, text));
            COMMANDS.iter().for_each(|c| row(&format!(":{} {}", c.name, c.arguments), c.text));
            KEYS.iter().for_each(|(head, text)| row(head, text));
            out += "\nFunctions, by family (`:help ping`, `:help link`):\n\n";
            for family in &self.reference.families {
                let names: Vec<&str> =
                    family.entries.iter().map(|e| e.name.as_str()).filter(|n| !n.contains('.')).collect();
                let lines = wrap(&names.join(" "), style.width.saturating_sub(13).max(30));
                for (n, line) in lines.iter().enumerate() {
                    let head = if n == 0 { family.name.as_str() } else { "" };
                    let _ = writeln!(out, "  {} {line}", style.paint("1", &format!("{head:<10}")));
                }
            }
            self.page(out.trim_end());
            return Ok(());
        }
        if let Some(command) = name.strip_prefix(':').and_then(|n| COMMANDS.iter().find(|c| c.name == n)) {
            self.say(&format!(":{} {}\n  {}", command.name, command.arguments, command.text));
            return Ok(());
        }
        let standard;
        let mut found: Vec<&Entry> = self.reference.find(name);
        let family = self.reference.family(name).filter(|_| found.is_empty());
        if let Some(family) = family {
            let mut out = style.paint("1", &family.heading()) + "\n";
            for entry in &family.entries {
                let room = style.width.saturating_sub(26).max(20);
                let _ = writeln!(out, "  {:<22}  {}", entry.name, cut(&entry.summary(), room, style.unicode));
            }
            self.page(out.trim_end());
            return Ok(());
        }
        if let Some(command) = COMMANDS.iter().find(|c| c.name == name).filter(|_| found.is_empty()) {
            self.say(&format!(":{} {}\n  {}", command.name, command.arguments, command.text));
            return Ok(());
        }
        if found.is_empty() {
            standard = docs::standard();
            found = standard.find(name);
        }
        if found.is_empty() {
            let error = Error::new(Kind::NotFound, format!("there is no function `{name}`")).with_target(name);
            return Err(match self.reference.nearest(name) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint("`:help` lists them all"),
            });
        }
        let text: Vec<String> = found.iter().map(|e| e.render(style)).collect();
        self.page(text.join("\n").trim_end());
        Ok(())
    }

    fn undo(&mut self, count: usize) -> Result<()> {
        let there = self.interpreter.borrow().uncommitted();
        if there > 0 && count > there {
            let lines = if there == 1 { "only 1 line stands".to_owned() } else { format!("only {there} lines stand") };
            return Err(Error::invalid(lines).with_hint("`:rollback` takes back all of them"));
        }
        let undone = self.interpreter.borrow_mut().undo(count);
        let Some((gone, report)) = undone else {
            let error = Error::invalid("there is nothing to undo");
            return Err(error.with_hint("what was committed is taken away by `nsscript down NAME`"));
        };
        self.told_undone(&gone);
        self.report_some(report);
        Ok(())
    }

    fn told_undone(&mut self, gone: &[Line]) {
        for line in gone.iter().rev().filter(|l| l.changed() || l.ran()) {
            let text = self.one_line(&line.input);
            if line.ran() {
                self.say(&format!("undone: {text}  (but not what its command did by itself)"));
            } else {
                self.say(&format!("undone: {text}"));
            }
        }
    }

    fn redo(&mut self, count: usize) -> Result<Then> {
        for n in 0..count {
            let redone = self.interpreter.borrow_mut().redo();
            let Some((input, ended)) = redone else {
                if n > 0 {
                    break;
                }
                return Err(Error::invalid("there is nothing to do again"));
            };
            let text = self.one_line(&input);
            self.say(&format!("again: {text}"));
            match self.ended(ended) {
                Then::On => {}
                other => return Ok(other),
            }
        }
        Ok(Then::On)
    }

    fn rollback(&mut self) {
        let (gone, report) = self.interpreter.borrow_mut().rollback();
        if gone.is_empty() && report.steps == 0 {
            self.say("nothing was done since the last commit");
            return;
        }
        self.report(report);
    }

    fn history(&mut self) {
        let style = self.look().style;
        let mut out = String::new();
        let interpreter = self.interpreter.borrow();
        let mut number = interpreter.uncommitted();
        for line in interpreter.lines() {
            let counted = line.changed();
            // The number is that of `:undo N`.
            let head = if counted { format!("{number:>3}") } else { "   ".into() };
            number -= usize::from(counted);
            let text = self.fit(&self.one_line(&line.input), 5);
            let _ = writeln!(out, "{}  {text}", style.paint("2", &head));
            for seen in &line.seen {
                let note = if seen.undoable { "" } else { "  (no undo)" };
                let text = self.fit(&format!("{}{note}", seen.ip), 7);
                let _ = writeln!(out, "       {}", style.paint("2", &text));
            }
        }
        drop(interpreter);
        if out.is_empty() {
            out = "nothing was done since the last commit".into();
        }
        self.page(out.trim_end());
    }

    fn diff(&mut self) -> Result<()> {
        let lines = self.interpreter.borrow().session().differences()?;
        let text = if lines.is_empty() { "nothing is other than before".to_owned() } else { lines.join("\n") };
        self.page(&text);
        Ok(())
    }

    fn namespace(&self, name: &str) -> Result<Ns> {
        let interpreter = self.interpreter.borrow();
        if let Some(handle) =
            interpreter.scope().get(name).and_then(|v| v.clone().try_cast::<crate::engine::value::NsHandle>())
        {
            return Ok(handle.0);
        }
        let kernel = interpreter.session().kernel();
        match name {
            "" | "host" if kernel.find_ns("host").is_err() => Ok(kernel.host()),
            "" => Ok(kernel.host()),
            _ => kernel.find_ns(name.trim_matches('"')),
        }
    }

    fn use_namespace(&mut self, name: &str) -> Result<()> {
        let ns = self.namespace(name)?;
        self.interpreter.borrow_mut().set_place(ns);
        Ok(())
    }

    /// The heading of lines that belong into a namespace; one that names a device of the host's namespace leads there.
    pub(super) fn go_to(&mut self, name: &str) -> Result<()> {
        let missing = match self.use_namespace(name) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let session = self.interpreter.borrow().session().clone();
        let host = session.kernel().host();
        if session.kernel().link(&host, By::Name(name))?.is_none() {
            return Err(missing);
        }
        self.interpreter.borrow_mut().set_place(host);
        self.say(&format!("`{name}` is a device of the host's namespace: the next lines are for there"));
        Ok(())
    }

    fn load(&mut self, file: &str) -> Result<Then> {
        if file.is_empty() {
            return Err(Error::invalid("which file?").with_hint(":load FILE"));
        }
        let path = expand(file);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::from_io(&e, format!("read `{path}`")))?;
        let ended = self.interpreter.borrow_mut().run(Input { file: Some(path), text, typed: None });
        Ok(self.ended(ended))
    }

    fn save(&mut self, file: &str) -> Result<()> {
        if file.is_empty() {
            return Err(Error::invalid("where to?").with_hint(":save FILE"));
        }
        let path = expand(file);
        let (text, count) = {
            let interpreter = self.interpreter.borrow();
            super::script::of(&interpreter)?
        };
        if std::fs::read(&path).is_ok_and(|old| !old.is_empty() && !old.starts_with(super::script::HEADING.as_bytes()))
        {
            let error = Error::new(Kind::Exists, format!("`{path}` is there, and was not saved from a session"));
            return Err(error.with_hint("take another name, or remove it first"));
        }
        std::fs::write(&path, text).map_err(|e| Error::from_io(&e, format!("write `{path}`")))?;
        let lines = if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
        self.say(&format!("wrote {lines} to {path}; `nsscript {path}` builds the same"));
        Ok(())
    }

    /// An expression behind a command, with its place in the line that was typed; lines of `ip` too.
    fn expression(&self, line: &str, text: &str) -> Input {
        let (code, ip) = self.code_of(text);
        if ip {
            return Input { typed: Some(text.to_owned()), ..Input::typed(&code) };
        }
        let before = line.strip_suffix(text).map_or(0, |head| head.chars().count());
        Input { file: None, text: format!("{}{code}", " ".repeat(before)), typed: None }
    }

    fn json(&mut self, line: &str, text: &str) -> Result<Then> {
        if text.is_empty() {
            return Err(Error::invalid("of what?").with_hint(":json EXPR"));
        }
        let input = self.expression(line, text);
        let ended = self.interpreter.borrow_mut().peek(input);
        match ended {
            Ended::Well(value) => {
                let text = self.interpreter.borrow().json(value)?;
                self.page(&text);
                Ok(Then::On)
            }
            other => Ok(self.ended(other)),
        }
    }

    fn watch(&mut self, line: &str, text: &str) -> Result<Then> {
        const EVERY: Duration = Duration::from_secs(1);
        if text.is_empty() {
            return Err(Error::invalid("what?").with_hint(":watch EXPR"));
        }
        let input = self.expression(line, text);
        loop {
            let ended = self.interpreter.borrow_mut().peek(input.clone());
            let value = match ended {
                Ended::Well(value) => value,
                // Ctrl-C while it was evaluated ends it as well.
                Ended::Signal(libc::SIGINT, _) if self.terminal => {
                    self.interrupted();
                    return Ok(Then::On);
                }
                other => return Ok(self.ended(other)),
            };
            let shown = match value.as_immutable_string_ref() {
                Ok(text) if input.typed.is_some() => text.trim_end().to_owned(),
                _ => super::show::show(&self.interpreter.borrow(), &value, self.look()),
            };
            if !self.terminal {
                self.put(&shown);
                return Ok(Then::On);
            }
            let dim = self.look().style.paint("2", &format!("{text}   (Ctrl-C ends it)"));
            if self.screen {
                self.put_raw(&format!("\x1b[H\x1b[2J{dim}\n{shown}\n"));
            } else {
                self.put(&format!("{dim}\n{shown}"));
            }
            let session = self.interpreter.borrow().session().clone();
            if session.pause(EVERY).is_err() {
                // SIGTERM is for the loop of the session.
                if session.cancel().signal() == libc::SIGINT {
                    session.cancel().clear();
                }
                return Ok(Then::On);
            }
        }
    }

    fn time(&mut self, text: &str) -> Result<Then> {
        match text {
            "" | "on" | "off" => {
                self.timing = switch(text, self.timing)?;
                self.say(if self.timing { "the time of each line is shown" } else { "no times any more" });
                Ok(Then::On)
            }
            line => {
                let before = std::mem::replace(&mut self.timing, true);
                let then = self.code_line(line);
                self.timing = before;
                Ok(then)
            }
        }
    }

    /// `:!LINE`: a line of the session like any other, with the terminal.
    fn shell_line(&mut self, line: &str, text: &str) -> Result<Then> {
        if text.is_empty() {
            return Err(Error::invalid("run what?").with_hint(":! LINE, or `:sh` for a shell"));
        }
        let code = shell::shell_call(text, &self.interpreter.borrow().place());
        let ended = self.run_line(Input { typed: Some(line.to_owned()), ..Input::typed(&code) }, true);
        Ok(self.ended(ended))
    }

    fn shell(&mut self, name: &str) -> Result<()> {
        if !self.terminal {
            return Err(Error::invalid("`:sh` needs a terminal").with_hint("sh(ns, \"…\") runs a line of shell"));
        }
        let ns = if name.is_empty() { self.interpreter.borrow().place() } else { self.namespace(name)? };
        let session = self.interpreter.borrow().session().clone();
        let shell = person_shell();
        let netns = std::sync::Arc::new(session.linux().file(&ns)?);
        let label = if ns.is_host() { "host".to_owned() } else { ns.name.clone() };
        let spec = Spec {
            argv: vec![shell],
            netns: (!ns.is_host()).then_some(netns),
            netns_name: (!ns.is_host()).then(|| ns.name.clone()),
            env: vec![("NSSCRIPT_NS".into(), Some(label.clone().into()))],
            stdin: Stdin::Inherit,
            output: Output::Inherit,
            mark: session.mark().into(),
            ..Spec::default()
        };
        self.say(&format!("a shell in {label}: `exit` comes back; what it changes is not undone"));
        // Ctrl-C is the shell's.
        let result = process::run(&spec, session.cancel(), None, None);
        self.restore_terminal();
        if session.cancel().signal() == libc::SIGINT {
            session.cancel().clear();
        }
        result.map(drop)
    }

    /// What the terminal has room for beside `margin` columns.
    fn fit(&self, text: &str, margin: usize) -> String {
        let look = self.look();
        let width = if look.cut { look.style.width.saturating_sub(margin) } else { usize::MAX };
        cut(text, width, look.style.unicode)
    }

    /// The first line of an input.
    pub(super) fn one_line(&self, input: &Input) -> String {
        if let Some(file) = &input.file {
            return format!(":load {file}");
        }
        let mut lines = input.shown().trim().lines();
        let first = lines.next().unwrap_or_default().to_owned();
        let dots = if self.look().style.unicode { " …" } else { " ..." };
        if lines.next().is_some() { first + dots } else { first }
    }
}

/// `~/x` as a shell has it.
fn expand(file: &str) -> String {
    match (file.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => file.trim_matches('"').to_owned(),
    }
}

/// `$SHELL`, unless it is one that lets nobody in; else bash, which knows jobs in a sandbox too; else what there is.
fn person_shell() -> std::ffi::OsString {
    let refuses = |path: &std::path::Path| path.ends_with("nologin") || path.ends_with("false");
    let own = std::env::var_os("SHELL").filter(|s| !s.is_empty() && !refuses(std::path::Path::new(s)));
    own.unwrap_or_else(|| {
        let bash = complete::programs("bash").iter().any(|p| p == "bash");
        if bash { "bash".into() } else { "/bin/sh".into() }
    })
}

fn count(text: &str) -> Result<usize> {
    if text.is_empty() {
        return Ok(1);
    }
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(Error::invalid(format!("`{text}` is no number of lines")).with_target(text)),
    }
}

/// `on`, `off`, or the other way round.
fn switch(text: &str, now: bool) -> Result<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        "" => Ok(!now),
        _ => Err(Error::invalid(format!("on or off, not `{text}`")).with_target(text)),
    }
}

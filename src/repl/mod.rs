//! The interactive session: `nsscript` alone on a terminal, `nsscript repl [FILE]`, and lines from a pipe.

mod commands;
mod complete;
mod interpreter;
mod learn;
mod picture;
mod places;
mod recorder;
mod script;
mod shell;
mod show;
mod terminal;
mod topology;

use crate::builtins;
use crate::engine::docs::Reference;
use crate::engine::modules::STDLIB;
use crate::engine::session::Listener;
use crate::engine::session::foreground::Foreground;
use crate::engine::{Setting, tokens};
use crate::kernel::Cancel;
use crate::kernel::linux::Linux;
use crate::kernel::linux::process::{self, Output, Spec, Stdin};
use crate::kernel::terminal::{self as screen, Modes};
use crate::plan::{Error, Result};
use crate::report::{Diagnostic, Event, Style};
use crate::txn::{Report, journal, labs};
use interpreter::{Ended, Interpreter};
use places::Input;
use rhai::Dynamic;
use show::Look;
use std::cell::RefCell;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};
use terminal::{Terminal, Typed};

/// What a session is given.
pub struct Start {
    pub setting: Setting,
    /// How to draw on standard output.
    pub style: Style,
    /// Whether it is in namespaces of its own, which go with it.
    pub sandbox: bool,
    /// The lab's name, where one was given.
    pub name: Option<String>,
    /// A script to be run first: its file and its text.
    pub file: Option<(String, String)>,
    /// A lesson of the tutorial instead of a session; empty: all of them.
    pub learn: Option<String>,
    /// Whether results are left out (`--quiet`).
    pub quiet: bool,
    /// Whether events are written as JSON (`--json`).
    pub json: bool,
}

/// How a session ended, with its exit status.
const NOT_EQUAL: i32 = 3;

/// What comes after a line.
enum Then {
    On,
    /// The line failed: what reads lines from a pipe ends here.
    Failed,
    Leave,
    /// `exit(n)`.
    Exit(i32),
}

struct Repl {
    interpreter: Rc<RefCell<Interpreter>>,
    reference: Rc<Reference>,
    style: Style,
    sandbox: bool,
    name: Option<String>,
    quiet: bool,
    /// Whether what programs write is written as it is.
    plain: bool,
    /// Whether a person sits there: standard input and output are a terminal.
    terminal: bool,
    /// Whether the cursor can be moved.
    screen: bool,
    explain: bool,
    timing: bool,
    editor: Option<Terminal>,
    linux: Rc<Linux>,
    listener: Listener,
    modes: Option<Modes>,
    status: i32,
}

/// Runs a session to its end; returns the exit status.
#[must_use]
pub fn run(start: Start) -> i32 {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let typed = if terminal { "repl" } else { "<stdin>" };
    let cancel = start.setting.cancel.clone();
    let (linux, listener) = (Rc::clone(&start.setting.linux), Rc::clone(&start.setting.listener));
    let interpreter = Interpreter::new(start.setting, typed, |_| {});
    interpreter.session().look_for_killed();
    let interpreter = Rc::new(RefCell::new(interpreter));
    let mut repl = Repl {
        interpreter,
        reference: Rc::new(Reference::of(builtins::modules(), STDLIB)),
        style: start.style,
        sandbox: start.sandbox,
        name: start.name,
        quiet: start.quiet,
        plain: !start.json,
        terminal,
        screen: terminal && std::env::var("TERM").is_ok_and(|t| t != "dumb"),
        explain: false,
        timing: false,
        editor: None,
        linux,
        listener,
        modes: Modes::found(),
        status: 0,
    };
    if let Some(lesson) = start.learn {
        return repl.only_learn(&cancel, &lesson);
    }
    let first = start.file.map(|(file, text)| {
        let ended = repl.interpreter.borrow_mut().run(Input { file: Some(file), text, typed: None });
        repl.ended(ended)
    });
    let then = match first {
        None | Some(Then::On) => {
            if terminal {
                repl.interactive(&cancel)
            } else {
                repl.piped()
            }
        }
        // A file that fails leaves nothing, and there is no session on it.
        Some(then) => then,
    };
    let status = repl.leave(&then);
    drop(repl.editor.take());
    status
}

/// The inputs of a text that was pasted: whatever is whole by itself.
fn inputs(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<String> = Vec::new();
    let mut now = String::new();
    for (n, line) in lines.iter().enumerate() {
        if !now.is_empty() {
            now.push('\n');
        }
        now.push_str(line);
        let command = shell::is_whole(&now);
        // A chain of methods, and what belongs to the block before.
        let next = lines.get(n + 1).map_or("", |l| l.trim_start());
        let goes_on = next.starts_with('.') || ["else", "catch", "while", "until"].iter().any(|w| next.starts_with(w));
        if command || (!tokens::is_open(&now) && !goes_on) {
            found.push(std::mem::take(&mut now));
        }
    }
    if !now.trim().is_empty() {
        found.push(now);
    }
    found.retain(|f| !f.trim().is_empty());
    found
}

impl Repl {
    /// How to show, at the size that the terminal has now.
    fn look(&self) -> Look {
        let width = screen::size().map_or(self.style.width, |(columns, _)| columns);
        Look { style: Style { width: width.max(20), ..self.style }, cut: self.terminal, told: false }
    }

    /// A line of data.
    fn put(&self, text: &str) {
        if !text.is_empty() {
            self.put_raw(&format!("{text}\n"));
        }
    }

    fn put_raw(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever read it may have gone: the next read finds that out.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A line of talk.
    fn say(&self, text: &str) {
        self.event(&Event::Note { message: text.to_owned() });
    }

    fn event(&self, event: &Event) {
        self.interpreter.borrow().session().event(event);
    }

    /// Data that may be long: through the pager where it does not fit.
    fn page(&self, text: &str) {
        let rows = screen::size().map_or(usize::MAX, |(_, rows)| rows);
        let pager = std::env::var("PAGER").unwrap_or_else(|_| "less -FRX".into());
        if !self.terminal || !self.screen || pager.trim().is_empty() || text.lines().count() + 2 < rows {
            self.put(text);
            return;
        }
        let spec = Spec {
            argv: vec!["sh".into(), "-c".into(), pager.into()],
            stdin: Stdin::Bytes(format!("{text}\n").into_bytes()),
            output: Output::Inherit,
            mark: self.interpreter.borrow().session().mark().into(),
            ..Spec::default()
        };
        let shown = Cancel::never().and_then(|never| process::run(&spec, &never, None, None));
        self.restore_terminal();
        self.interrupted();
        if !shown.is_ok_and(|f| f.code == Some(0)) {
            self.put(text);
        }
    }

    fn restore_terminal(&self) {
        if let Some(modes) = &self.modes {
            modes.restore();
        }
    }

    /// Forgets a Ctrl-C that was meant for something else. Other signals stay.
    fn interrupted(&self) {
        let cancel = self.interpreter.borrow().session().cancel().clone();
        if cancel.signal() == libc::SIGINT {
            cancel.clear();
        }
    }

    /// The prompt, as text and in colours: `h1 +3> `.
    fn prompt(&self) -> (String, String) {
        let interpreter = self.interpreter.borrow();
        let place = interpreter.place();
        let name = if place.is_host() { "host" } else { place.name.as_str() };
        let count = interpreter.uncommitted();
        let steps = if count > 0 { format!(" +{count}") } else { String::new() };
        let (mark, colour) = if self.sandbox { ("sandbox:", "32") } else { ("", "1;31") };
        let colour = if place.is_host() { colour } else { "36" };
        let plain = format!("{mark}{name}{steps}> ");
        let styled = format!(
            "{}{}{}> ",
            self.style.paint("32", mark),
            self.style.paint(colour, name),
            self.style.paint("33", &steps)
        );
        (plain, styled)
    }

    /// `nsscript learn`; returns the exit status.
    fn only_learn(&mut self, cancel: &Cancel, lesson: &str) -> i32 {
        if self.terminal && !self.open_terminal(cancel) {
            return 1;
        }
        let learnt = self.learn(lesson);
        if let Err(error) = &learnt {
            self.error(error);
        }
        let status = self.leave(&Then::Leave);
        drop(self.editor.take());
        if learnt.is_err() { 1 } else { status }
    }

    /// Makes the line editor. False, with the error said, where that can't be.
    fn open_terminal(&mut self, cancel: &Cancel) -> bool {
        let interrupts = match screen::Interrupts::new(cancel) {
            Ok(interrupts) => interrupts,
            Err(error) => {
                self.error(&error);
                return false;
            }
        };
        let (interpreter, reference) = (Rc::clone(&self.interpreter), Rc::clone(&self.reference));
        match Terminal::new(interpreter, reference, self.style, interrupts, self.screen) {
            Ok(editor) => self.editor = Some(editor),
            Err(error) => {
                self.error(&Error::new(crate::plan::Kind::Io, format!("the terminal can't be used: {error}")));
                return false;
            }
        }
        if let Err(error) = screen::end_input_on(cancel) {
            self.error(&error);
            return false;
        }
        true
    }

    fn interactive(&mut self, cancel: &Cancel) -> Then {
        if !self.open_terminal(cancel) {
            return Then::Failed;
        }
        if !self.quiet {
            let keys = ":help explains, Tab completes, Ctrl-D leaves";
            self.say(&format!("nsscript {}: {keys}", env!("CARGO_PKG_VERSION")));
        }
        loop {
            if !matches!(cancel.signal(), 0 | libc::SIGINT) {
                return Then::Leave;
            }
            let (plain, styled) = self.prompt();
            let Some(editor) = self.editor.as_mut() else { return Then::Leave };
            let text = match editor.read(&plain, &styled) {
                Ok(Typed::Line(text)) => text,
                Ok(Typed::Cancelled) => continue,
                Ok(Typed::End) => return Then::Leave,
                Err(error) => {
                    self.error(&Error::new(crate::plan::Kind::Io, format!("the terminal can't be read: {error}")));
                    return Then::Leave;
                }
            };
            let all = inputs(&text);
            let total = all.len();
            for (n, input) in all.into_iter().enumerate() {
                match self.line(&input) {
                    Then::On => {}
                    Then::Failed => {
                        if n + 1 < total {
                            self.say(&format!("the {} lines after it were not run", total - n - 1));
                        }
                        break;
                    }
                    other => return other,
                }
            }
        }
    }

    /// Lines from a pipe or a file, to the first that fails.
    fn piped(&mut self) -> Then {
        let mut lines = std::io::stdin().lock().lines();
        let mut now = String::new();
        loop {
            let line = match lines.next() {
                Some(Ok(line)) => line,
                Some(Err(error)) => {
                    self.error(&Error::from_io(&error, "read standard input"));
                    return Then::Failed;
                }
                None => break,
            };
            if !now.is_empty() {
                now.push('\n');
            }
            now.push_str(&line);
            let command = shell::is_whole(&now);
            if command || !tokens::is_open(&now) {
                match self.line(&std::mem::take(&mut now)) {
                    Then::On => {}
                    other => return other,
                }
            }
            if self.interpreter.borrow().session().cancel().signal() != 0 {
                return Then::Leave;
            }
        }
        if now.trim().is_empty() {
            return Then::Leave;
        }
        // It ends within a bracket: the error says where.
        match self.line(&now) {
            Then::On => Then::Leave,
            other => other,
        }
    }

    /// One input: a command or code.
    fn line(&mut self, text: &str) -> Then {
        let trimmed = text.trim();
        let trimmed = shell::bare(trimmed);
        let leaves = matches!(trimmed, "exit" | "quit") && self.interpreter.borrow().scope().get(trimmed).is_none();
        if trimmed.is_empty() || leaves || shell::is_comment(trimmed) {
            self.interpreter.borrow_mut().skip(text);
            return if leaves { Then::Leave } else { Then::On };
        }
        let done = if trimmed.starts_with(':') {
            self.command(trimmed)
        } else if let Some(name) = shell::heading(trimmed) {
            self.go_to(name).map(|()| Then::On)
        } else if let Some(mark) = self.only_a_shells(trimmed) {
            let error = Error::invalid(format!("`{mark}` is for a shell"));
            Err(error.with_hint(format!("`:!{trimmed}` gives the line to one, in the current namespace")))
        } else {
            return self.code_line(text);
        };
        if !commands::is_line(trimmed) {
            self.interpreter.borrow_mut().skip(text);
        }
        done.unwrap_or_else(|error| {
            let mut diagnostic = Diagnostic::from(&error);
            // Who typed it sees it above.
            if !self.terminal {
                self.interpreter.borrow().place_last(&mut diagnostic);
            }
            self.event(&Event::error(diagnostic));
            Then::Failed
        })
    }

    /// What only a shell understands in a line of `ip`, if it is one.
    fn only_a_shells<'l>(&self, line: &'l str) -> Option<&'l str> {
        let is_line = shell::is_ip_line(line) && self.interpreter.borrow().scope().get("ip").is_none();
        shell::only_a_shells(line).filter(|_| is_line)
    }

    /// Runs a line that is no command of the session, and shows what came of it.
    fn code_line(&mut self, text: &str) -> Then {
        let begun = Instant::now();
        let (code, ip) = self.code_of(text);
        let trimmed = shell::bare(text);
        let ended = self.run_line(Input { typed: ip.then(|| trimmed.to_owned()), ..Input::typed(&code) }, ip);
        let then = match ended {
            // What `ip` would print is shown as it would print it.
            Ended::Well(value) if ip && value.is_string() => {
                self.explained();
                self.page(value.into_string().unwrap_or_default().trim_end_matches('\n'));
                Then::On
            }
            Ended::Error(mut diagnostic, report) if !ip => {
                if let Some(hint) = self.meant(trimmed) {
                    diagnostic.hint = Some(hint);
                }
                self.ended(Ended::Error(diagnostic, report))
            }
            ended => self.ended(ended),
        };
        if self.timing {
            self.took(begun.elapsed());
        }
        then
    }

    /// What somebody may have meant who typed this into a session as into a shell, where it failed as code.
    fn meant(&self, line: &str) -> Option<String> {
        let word = shell::program(line)?;
        let interpreter = self.interpreter.borrow();
        let known = interpreter.scope().get(word).is_some()
            || !self.reference.find(word).is_empty()
            || tokens::KEYWORDS.contains(&word)
            || interpreter.functions().iter_functions().any(|f| f.name == word);
        if known {
            return None;
        }
        if commands::COMMANDS.iter().any(|c| c.name == word) {
            return Some(format!("the session's commands begin with a colon: `:{line}`"));
        }
        complete::programs(word).iter().any(|p| p == word).then(|| {
            let place = interpreter.place();
            let place = if place.is_host() { "here".to_owned() } else { format!("in `{}`", place.name) };
            format!("`:!{line}` runs the program {place}, `:sh` is a shell")
        })
    }

    /// The code that a line means, and whether it is other than what was typed: a command of a shell.
    fn code_of(&self, text: &str) -> (String, bool) {
        let interpreter = self.interpreter.borrow();
        let line = shell::bare(text);
        let variable = |name: &str| interpreter.scope().get(name).is_some();
        if let Some(code) = shell::background_call(line, &interpreter.place()).filter(|_| !variable("ip")) {
            (code, true)
        } else if shell::is_ip_line(line) && !variable("ip") {
            (shell::ip_code(line), true)
        } else if shell::is_ping_line(line) && !variable("ping") {
            (shell::ping_call(line, &interpreter.place()), true)
        } else {
            (text.to_owned(), false)
        }
    }

    /// Runs a line. A program that is all that it is about is seen while it runs: a shell's command has the terminal, of a
    /// call the output is shown as it comes.
    fn run_line(&self, input: Input, command: bool) -> Ended {
        let mut interpreter = self.interpreter.borrow_mut();
        let foreground = match (self.terminal, command) {
            (true, true) => Foreground::Terminal,
            (true, false) if shell::only_runs(&input.text) => Foreground::Shown,
            _ => Foreground::Captured,
        };
        interpreter.set_foreground(foreground, self.plain);
        let ended = interpreter.run(input);
        interpreter.set_foreground(Foreground::Captured, false);
        drop(interpreter);
        if foreground == Foreground::Terminal {
            self.restore_terminal();
        }
        ended
    }

    /// The ip commands that do what the last line did, where they are wanted.
    fn explained(&self) {
        if self.explain {
            let seen = self.interpreter.borrow().lines().last().map(|l| l.seen.clone()).unwrap_or_default();
            for step in seen {
                self.put(&self.style.paint("2", &format!("# {}", step.ip)));
            }
        }
    }

    /// Shows what came of a line.
    fn ended(&mut self, ended: Ended) -> Then {
        match ended {
            Ended::Well(value) => {
                self.explained();
                self.result(&value);
                Then::On
            }
            Ended::Error(diagnostic, report) => {
                self.event(&Event::error(*diagnostic));
                self.report_some(report);
                Then::Failed
            }
            Ended::Signal(signal, report) => {
                if signal == libc::SIGINT {
                    self.event(&Event::error(Diagnostic::from(&crate::kernel::cancel::interrupted(signal))));
                    self.report_some(report);
                    self.interrupted();
                    if let Some(editor) = &mut self.editor {
                        editor.forget_ahead();
                    }
                    // At a pipe nobody can go on.
                    return if self.terminal { Then::Failed } else { Then::Exit(128 + signal) };
                }
                self.report_some(report);
                Then::Exit(128 + signal)
            }
            Ended::Exit(code) => Then::Exit(code),
        }
    }

    fn result(&self, value: &Dynamic) {
        if self.quiet {
            return;
        }
        let told = self.interpreter.borrow().took_output();
        let text = show::show(&self.interpreter.borrow(), value, Look { told, ..self.look() });
        self.page(&text);
    }

    fn error(&self, error: &Error) {
        self.event(&Event::error(Diagnostic::from(error)));
    }

    fn took(&self, time: Duration) {
        self.say(&format!("{:.1} ms", time.as_secs_f64() * 1000.0));
    }

    /// How an undo went.
    fn report(&mut self, report: Report) {
        if !report.verified() {
            self.status = NOT_EQUAL;
        }
        for message in &report.notes {
            self.say(message);
        }
        self.event(&Event::RolledBack {
            steps: report.steps,
            ms: millis(report.elapsed),
            verified: report.verified(),
            differences: report.differences,
            errors: report.errors,
        });
    }

    /// The same, unless there was nothing to undo.
    fn report_some(&mut self, report: Report) {
        if report.steps > 0 || !report.verified() {
            self.report(report);
        }
    }

    /// What stands becomes a lab.
    fn commit(&mut self, name: &str) -> Result<()> {
        let session = self.interpreter.borrow().session().clone();
        if !session.changed() {
            return Err(Error::invalid("there is nothing to commit"));
        }
        let name = match name {
            "" => free_name(self.name.as_deref().unwrap_or("session"), self.name.is_some()),
            name => name.to_owned(),
        };
        journal::check_name(&name).map_err(|e| e.with_hint("letters, digits, `-`, `_`, `.`: `:commit NAME`"))?;
        if labs::to_recover(&name) {
            session.recover(&name)?;
        }
        match journal::standing(&name)? {
            journal::Standing::Free => {}
            journal::Standing::Void => journal::remove(&name)?,
            _ => return Err(journal::taken(&name).with_hint(format!("`:commit {name}-2` gives it another name"))),
        }
        let begun = Instant::now();
        let (namespaces, links, processes) = session.standing();
        let stands = session.stands();
        let report = self.interpreter.borrow_mut().commit(&name)?;
        for message in report.errors {
            self.event(&Event::Warning { message, hint: None });
        }
        if !stands {
            self.say("nothing of what was done stands: there is no lab");
            return Ok(());
        }
        let message = if self.sandbox {
            "in the sandbox, which goes when you leave".to_owned()
        } else {
            format!("`nsscript down {name}` takes it away")
        };
        self.event(&Event::Stands { name, namespaces, links, processes, ms: millis(begun.elapsed()), message });
        Ok(())
    }

    /// The end: what is not committed is kept if that is wanted, else taken down. Returns the exit status.
    fn leave(&mut self, then: &Then) -> i32 {
        let session = self.interpreter.borrow().session().clone();
        let errors = self.interpreter.borrow_mut().run_deferred();
        for diagnostic in errors {
            self.event(&Event::error(diagnostic));
        }
        let signal = session.cancel().signal();
        let code = match then {
            Then::Exit(code) => *code,
            Then::Failed => 1,
            Then::On | Then::Leave if signal != 0 => 128 + signal,
            Then::On | Then::Leave => 0,
        };
        let keep = match then {
            Then::Exit(0) => true,
            Then::Leave if signal == 0 && self.interpreter.borrow().stands() => self.wants_to_keep(),
            _ => false,
        };
        if keep && session.changed() {
            match self.commit("") {
                Ok(()) => return code,
                Err(error) => self.error(&error),
            }
        }
        self.status = 0;
        let changed = session.changed();
        let report = self.interpreter.borrow_mut().rollback().1;
        if changed || !report.verified() {
            self.report(report);
        }
        if self.status == 0 { code } else { self.status }
    }

    /// Asks, where somebody is there to answer.
    fn wants_to_keep(&mut self) -> bool {
        // What is in a sandbox goes with it.
        if self.sandbox || !self.terminal {
            return false;
        }
        let count = self.interpreter.borrow().uncommitted();
        let what = if count == 1 { "1 line stands".to_owned() } else { format!("{count} lines stand") };
        let question = format!("{what}: [k]eep it as a lab, or [t]ake it down? [t] ");
        let Some(editor) = self.editor.as_mut() else { return false };
        loop {
            // The end of the input and Ctrl-C are no yes.
            let Some(answer) = editor.ask(&question) else { return false };
            match answer.trim().to_lowercase().as_str() {
                "k" | "keep" => return true,
                "" | "t" | "take" | "down" | "take down" => return false,
                _ => {}
            }
        }
    }

    fn keys(&mut self, vi: bool) {
        if let Some(editor) = &mut self.editor {
            editor.set_vi(vi);
        }
    }
}

/// `session`, or with a number the first that is free; a name that was given stays.
fn free_name(name: &str, given: bool) -> String {
    let taken = |name: &str| !matches!(journal::standing(name), Ok(journal::Standing::Free | journal::Standing::Void));
    if given || !taken(name) {
        return name.to_owned();
    }
    (2..10_000).map(|n| format!("{name}-{n}")).find(|n| !taken(n)).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_lines_are_told_apart() {
        assert_eq!(inputs("a();\nb();"), ["a();", "b();"]);
        assert_eq!(inputs("for x in y {\n  z();\n}\nq()"), ["for x in y {\n  z();\n}", "q()"]);
        assert_eq!(inputs("a\n  .b()\n  .c()"), ["a\n  .b()\n  .c()"]);
        assert_eq!(
            inputs("ip link (\n:undo\n\nif a { 1 }\nelse { 2 }"),
            ["ip link (", ":undo", "if a { 1 }\nelse { 2 }"]
        );
        assert_eq!(inputs("f("), ["f("]);
    }
}

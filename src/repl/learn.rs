//! `nsscript learn`, `:learn`: the lessons of the tutorial, step by step. Each step waits for the learner, who types it or
//! takes what is offered. What was typed is judged by what it did to the kernel, not by its words: the step's own code is
//! done in its place, and both must have led to the same.

use super::Repl;
use super::complete::programs;
use super::interpreter::{Ended, Interpreter};
use super::picture::Picture;
use super::places::Input;
use super::shell;
use super::terminal::{Terminal, Typed, offset};
use crate::engine::modules::{Modules, STDLIB, Texts};
use crate::engine::tokens::{self, Token, What};
use crate::engine::{Session, Setting, Sources, diagnose};
use crate::plan::{Error, Kind, Ns, Result};
use crate::report::Event;
use crate::txn::Report;
use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, Module, ModuleResolver, NativeCallContext, Position, Scope, Shared};
use std::cell::RefCell;
use std::io::BufRead as _;
use std::rc::Rc;

/// The lessons: file and text.
const LESSONS: &[(&str, &str)] = &[
    ("01-ip-netns.rhai", include_str!("../../scripts/tutorial/01-ip-netns.rhai")),
    ("02-inside.rhai", include_str!("../../scripts/tutorial/02-inside.rhai")),
    ("03-veth.rhai", include_str!("../../scripts/tutorial/03-veth.rhai")),
    ("04-bridge.rhai", include_str!("../../scripts/tutorial/04-bridge.rhai")),
    ("05-undo.rhai", include_str!("../../scripts/tutorial/05-undo.rhai")),
];

type Failure = Box<EvalAltResult>;

/// The module `lesson`, whose steps ask the learner; all others as always.
struct Resolver {
    others: Modules,
    lesson: RefCell<Option<Shared<Module>>>,
}

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        name: &str,
        pos: Position,
    ) -> std::result::Result<Shared<Module>, Failure> {
        if name != "lesson" {
            return self.others.resolve(engine, source, name, pos);
        }
        if let Some(module) = &*self.lesson.borrow() {
            return Ok(Shared::clone(module));
        }
        let text = STDLIB.iter().find(|(n, _)| *n == "lesson").map_or("", |(_, text)| text);
        // The steps of the module run the closure: here the learner comes first.
        let text = text.replace("work.call()", "learner_turn(text, command, work)");
        let ast = engine.compile(text).map_err(|e| Box::new(EvalAltResult::ErrorParsing(*e.0, e.1)))?;
        let module = Shared::new(Module::eval_ast_as_new(Scope::new(), &ast, engine)?);
        *self.lesson.borrow_mut() = Some(Shared::clone(&module));
        Ok(module)
    }
}

/// A step of a lesson, as its text has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// What it says first, where that is a plain text.
    text: Option<String>,
    /// What it does.
    code: String,
    fails: bool,
    /// Whether it is about the number of a namespace.
    numbers: bool,
}

/// The steps of a lesson, in order.
fn steps(lesson: &str) -> Vec<Step> {
    let all = tokens::tokens(lesson);
    let mut found = Vec::new();
    for (n, window) in all.windows(4).enumerate() {
        let [module, colons, name, bracket] = window else { continue };
        let step = name.is("step") || name.is("fails");
        if !(module.is("lesson") && colons.is("::") && step && bracket.is("(")) {
            continue;
        }
        let arguments = arguments(lesson, all.get(n + 4..).unwrap_or_default());
        let text = arguments.first().filter(|t| !t.contains("${")).map(|t| plain_text(t));
        let code = arguments.get(2).map(|c| code_of(c)).unwrap_or_default();
        let numbers = arguments.get(1).is_some_and(|command| command.contains("netns set"));
        found.push(Step { text, code, fails: name.is("fails"), numbers });
    }
    found
}

/// The arguments of a call whose `(` comes just before these tokens.
fn arguments<'a>(text: &'a str, tokens: &[Token<'a>]) -> Vec<&'a str> {
    let Some(first) = tokens.first() else { return Vec::new() };
    let mut begin = offset(text, first);
    let mut depth = 0usize;
    let mut found = Vec::new();
    for token in tokens.iter().filter(|t| t.what == What::Mark) {
        let at = offset(text, token);
        match token.text {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" if depth == 0 => {
                found.push(text[begin..at].trim());
                break;
            }
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                found.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The lesson with the learner told of each variable that it makes, on the line where it does.
fn telling(lesson: &str) -> String {
    let all = tokens::tokens(lesson);
    let mut out = String::new();
    let (mut done, mut depth) = (0, 0usize);
    let mut name: Option<&str> = None;
    for (n, token) in all.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" | "#{" if token.what == What::Mark => depth += 1,
            ")" | "]" | "}" if token.what == What::Mark => depth = depth.saturating_sub(1),
            "let" if depth == 0 && token.what == What::Name => name = all.get(n + 1).map(|t| t.text),
            ";" if depth == 0 && token.what == What::Mark => {
                if let Some(name) = name.take() {
                    let end = offset(lesson, token) + token.text.len();
                    out += &lesson[done..end];
                    out += &format!(" learner_knows({name:?}, {name});");
                    done = end;
                }
            }
            _ => {}
        }
    }
    out + &lesson[done..]
}

/// What a text in quotes says.
fn plain_text(quoted: &str) -> String {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    inner.replace("``", "`").replace("\\\"", "\"")
}

/// The body of a closure, without the margin that it has in the lesson.
fn code_of(closure: &str) -> String {
    let body = closure.trim_start_matches("||").trim();
    let inner = body.strip_prefix('{').and_then(|b| b.strip_suffix('}')).unwrap_or(body);
    let lines: Vec<&str> = inner.lines().filter(|l| !l.trim().is_empty()).collect();
    let margin = lines.iter().skip(1).map(|l| l.len() - l.trim_start().len()).min().unwrap_or_default();
    let cut = |line: &&str| {
        line.get(margin..)
            .filter(|_| line.trim_start().len() + margin <= line.len())
            .unwrap_or(line.trim_start())
            .to_owned()
    };
    lines.iter().map(cut).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Where the learner types.
enum Source {
    Terminal(Box<Terminal>),
    Lines(Box<dyn Iterator<Item = std::io::Result<String>>>),
}

impl Source {
    fn read(&mut self, prompt: &str) -> Option<String> {
        match self {
            Source::Terminal(terminal) => loop {
                match terminal.read(prompt, prompt) {
                    Ok(Typed::Line(line)) => return Some(line),
                    // Ctrl-C forgets the line, not the lesson.
                    Ok(Typed::Cancelled) => {}
                    _ => return None,
                }
            },
            Source::Lines(lines) => Some(lines.next()?.ok()?),
        }
    }
}

/// The learner in a lesson.
struct Learner {
    steps: Vec<Step>,
    next: usize,
    source: Source,
    /// Whether the rest is played without asking: the input has ended.
    alone: bool,
    /// Whether the learner has left.
    left: bool,
    scope: Scope<'static>,
    terminal: bool,
    /// The session, whose completion is to know the lesson's variables.
    session: Rc<RefCell<Interpreter>>,
}

impl Learner {
    /// The lesson's own variable: what is offered names it.
    fn knows(&mut self, name: &str, value: Dynamic) {
        self.scope.set_or_push(name, value);
        self.lend();
    }

    /// Lets completion know the variables.
    fn lend(&self) {
        let all = self.scope.iter_raw().map(|(name, _, value)| (name.to_owned(), value.clone()));
        self.session.borrow_mut().lend(all.collect());
    }

    /// The step that says this.
    fn step(&mut self, text: &str) -> Step {
        let said = self.steps.iter().skip(self.next).position(|s| s.text.as_deref() == Some(text));
        let at = self.next + said.unwrap_or_default();
        self.next = at + 1;
        self.steps.get(at).cloned().unwrap_or(Step { text: None, code: String::new(), fails: false, numbers: false })
    }
}

fn say(session: &Session, text: &str) {
    session.event(&Event::Note { message: text.to_owned() });
}

/// One step: the learner's turn, then the step's own code in the place of what was typed.
fn turn(
    ctx: &NativeCallContext,
    learner: &Rc<RefCell<Learner>>,
    (text, command): (&str, &str),
    work: &FnPtr,
) -> std::result::Result<Dynamic, Failure> {
    let session = Session::of(ctx).map_err(|e| crate::engine::value::throw(ctx, e))?;
    let step = learner.borrow_mut().step(text);
    let own = || work.call_within_context::<Dynamic>(ctx, ());
    let mut offered = false;
    // A step of several commands may be typed one by one: what was typed so far.
    let several = command.trim().lines().count() > 1;
    let mut typed: Vec<String> = Vec::new();
    loop {
        let (alone, left) = (learner.borrow().alone, learner.borrow().left);
        if left || session.cancel().signal() != 0 {
            return Err(EvalAltResult::ErrorTerminated("left".into(), Position::NONE).into());
        }
        if alone {
            return own();
        }
        if !offered {
            let what = if several { "the commands" } else { "the command" };
            let shown = step.code.replace('\n', "\n      ");
            say(
                &session,
                &format!("\n  Type {what} above, or as nsscript has it; Enter does it for you:\n      {shown}"),
            );
            offered = true;
        }
        let read = learner.borrow_mut().source.read("learn> ");
        let Some(line) = read else {
            let mut learner = learner.borrow_mut();
            // Who leaves a terminal leaves the lesson; a pipe that ends has taken what is offered.
            if learner.terminal {
                learner.left = true;
            } else {
                learner.alone = true;
            }
            continue;
        };
        match line.trim() {
            "" => return own(),
            ":quit" | ":q" | "exit" | "quit" => {
                learner.borrow_mut().left = true;
                continue;
            }
            ":again" => {
                typed.clear();
                continue;
            }
            line if line.starts_with(':') => {
                say(&session, "in a lesson there are only `:quit` and `:again`");
                continue;
            }
            _ => {}
        }
        typed.push(line.trim().to_owned());
        match judge(ctx, &session, learner, &step, &typed, &own)? {
            Verdict::Done(result) => return result,
            // What can't be right is forgotten; of several commands the rest may be to come.
            Verdict::Refused => {
                typed.pop();
            }
            Verdict::NotYet(differences) => {
                say(
                    &session,
                    if several { "so far; still to come:" } else { "not what this step is about; it should be:" },
                );
                for difference in differences.iter().take(8) {
                    say(&session, &format!("  {difference}"));
                }
                if several {
                    say(&session, "go on, or press Enter; `:again` forgets what you typed");
                } else {
                    typed.clear();
                    say(&session, "it was taken back: try again, or press Enter");
                }
            }
        }
    }
}

/// What comes of what was typed.
enum Verdict {
    /// The step is done; what it gave.
    Done(std::result::Result<Dynamic, Failure>),
    /// It failed, or should have.
    Refused,
    /// The kernel is not as after the step: what is other.
    NotYet(Vec<String>),
}

/// What a learner's line does: code, or a line of a shell as the lesson shows it.
fn typed_call(line: &str, ns: &Ns) -> String {
    if let Some(code) = shell::background_call(line, ns) {
        return code;
    }
    if shell::is_ip_line(line) {
        return shell::ip_call(line);
    }
    if shell::is_ping_line(line) {
        return shell::ping_call(line, ns);
    }
    match shell::program(line) {
        Some(word) if programs(word).iter().any(|p| p == word) => match line.trim().strip_suffix('&') {
            Some(command) => format!("start(host(), {:?})", command.trim()),
            None => shell::shell_call(line, ns),
        },
        _ => line.to_owned(),
    }
}

/// Does what was typed, looks, takes it back, does the step itself, and compares.
fn judge(
    ctx: &NativeCallContext,
    session: &Session,
    learner: &Rc<RefCell<Learner>>,
    step: &Step,
    lines: &[String],
    own: &dyn Fn() -> std::result::Result<Dynamic, Failure>,
) -> std::result::Result<Verdict, Failure> {
    let engine = ctx.engine();
    let thrown = |e: Error| crate::engine::value::throw(ctx, e);
    let picture = || {
        let taken = Picture::take(session).map_err(thrown)?;
        Ok::<_, Failure>(if step.numbers { taken } else { taken.without_numbers() })
    };
    let before = picture()?;
    let savepoint = session.savepoint().map_err(thrown)?;
    let typed = {
        let mut learner = learner.borrow_mut();
        let mut result = Ok(Dynamic::UNIT);
        for line in lines {
            let code = typed_call(line, &session.current());
            result = engine
                .compile_with_scope(&learner.scope, &code)
                .map_err(|e| Box::new(EvalAltResult::ErrorParsing(*e.0, e.1)))
                .and_then(|ast| engine.eval_ast_with_scope::<Dynamic>(&mut learner.scope, &ast));
            if result.is_err() {
                break;
            }
        }
        result
    };
    if session.cancel().signal() == libc::SIGINT {
        session.cancel().clear();
        let _ = session.rollback_to(savepoint, &mut |_| Ok(()));
        say(session, "cancelled: what it did is undone");
        return Ok(Verdict::Refused);
    }
    let after = picture()?;
    let report = session.rollback_to(savepoint, &mut |_| Ok(()));
    match (&typed, step.fails) {
        (Err(error), false) if !is_status(engine, error, lines) => {
            let text = lines.last().map_or("", String::as_str);
            let sources = Sources::new("learn", text);
            session.event(&Event::error(diagnose(engine, error, &sources)));
            say(session, "nothing was changed: try again, or press Enter");
            return Ok(Verdict::Refused);
        }
        (Ok(_), true) => {
            say(
                session,
                "that worked, but this step is about what does not: it was taken back. Try again, or press Enter",
            );
            return Ok(Verdict::Refused);
        }
        _ => {}
    }
    // An nsid, and what a command did by itself, nobody takes back: then what was typed was the step.
    let back = picture()?;
    if !report.verified() || back != before {
        say(session, "done, by what you typed");
        return Ok(Verdict::Done(typed));
    }
    let savepoint = session.savepoint().map_err(thrown)?;
    let result = own();
    let wanted = picture()?;
    if after == wanted {
        session.release(savepoint);
        let looked = wanted == before && !step.fails;
        say(
            session,
            if looked { "that changes nothing, as it should" } else { "right: the kernel is as it should be" },
        );
        if let (true, Ok(value)) = (looked, &typed)
            && let Ok(text) = value.as_immutable_string_ref()
            && !text.trim().is_empty()
        {
            say(session, text.trim_end());
        }
        return Ok(Verdict::Done(result));
    }
    let _ = session.rollback_to(savepoint, &mut |_| Ok(()));
    Ok(Verdict::NotYet(wanted.differences(&after)))
}

/// Whether all that is wrong is the status of a program that was typed as into a shell: a ping that nobody answers may be
/// what the step is about.
fn is_status(engine: &Engine, error: &EvalAltResult, lines: &[String]) -> bool {
    let line = lines.last().map_or("", String::as_str);
    let typed = shell::is_ip_line(line) || shell::is_ping_line(line) || shell::program(line).is_some();
    typed && diagnose(engine, error, &Sources::new("learn", line)).kind == "exit"
}

/// The lesson of a number or of a part of its file's name.
fn find(name: &str) -> Result<Vec<usize>> {
    if name.is_empty() {
        return Ok((0..LESSONS.len()).collect());
    }
    if let Some(n) = name.parse::<usize>().ok().filter(|n| (1..=LESSONS.len()).contains(n)) {
        return Ok(vec![n - 1]);
    }
    match LESSONS.iter().position(|(file, _)| file.contains(name)) {
        Some(n) => Ok(vec![n]),
        None => {
            let all: Vec<String> = (0..LESSONS.len()).map(|n| format!("{} ({})", n + 1, title(n))).collect();
            let error = Error::new(Kind::NotFound, format!("there is no lesson `{name}`")).with_target(name);
            Err(error.with_hint(format!("there are {}", all.join(", "))))
        }
    }
}

/// What a lesson is about.
fn title(n: usize) -> String {
    let text = LESSONS.get(n).map_or("", |(_, text)| text);
    let line = text.lines().find_map(|l| l.trim().strip_prefix("lesson::title(\"")).unwrap_or_default();
    line.split('"').next().unwrap_or_default().split_once(": ").map_or("", |(_, title)| title).to_owned()
}

impl Repl {
    /// Goes through a lesson, or all of them.
    ///
    /// # Errors
    /// There is no such lesson.
    pub(super) fn learn(&mut self, name: &str) -> Result<()> {
        let lessons = find(name)?;
        let several = lessons.len() > 1;
        for n in lessons {
            if !self.lesson(n) {
                return Ok(());
            }
            if several && n + 1 < LESSONS.len() {
                let question = format!("Go on with lesson {}, {}? [y] ", n + 2, title(n + 1));
                let answer = match &mut self.editor {
                    Some(editor) => editor.ask(&question),
                    None => Some(String::new()),
                };
                if !answer.is_some_and(|a| matches!(a.trim().to_lowercase().as_str(), "" | "y" | "yes")) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One lesson, in a transaction of its own that is taken back at its end. False: the learner has left.
    fn lesson(&mut self, n: usize) -> bool {
        let Some((file, text)) = LESSONS.get(n) else { return false };
        let source = match self.editor.take() {
            Some(editor) => Source::Terminal(Box::new(editor)),
            None => Source::Lines(Box::new(std::io::stdin().lock().lines())),
        };
        let learner = Rc::new(RefCell::new(Learner {
            steps: steps(text),
            next: 0,
            source,
            alone: false,
            left: false,
            scope: Scope::new(),
            terminal: self.terminal,
            session: Rc::clone(&self.interpreter),
        }));
        let setting = {
            let interpreter = self.interpreter.borrow();
            let session = interpreter.session();
            Setting {
                linux: Rc::clone(&self.linux),
                cancel: session.cancel().clone(),
                listener: Rc::clone(&self.listener),
                steps: false,
                args: Vec::new(),
                name: format!("learn-{}", session.mark()),
                script: format!("lesson {}", n + 1),
                mark: session.mark().into(),
            }
        };
        let (turns, known) = (Rc::clone(&learner), Rc::clone(&learner));
        let mut lesson = Interpreter::new(setting, "learn", move |engine| {
            engine.set_module_resolver(Resolver {
                others: Modules::new(None, Texts::default()),
                lesson: RefCell::default(),
            });
            engine.register_fn(
                "learner_turn",
                move |ctx: NativeCallContext, text: &str, command: &str, work: FnPtr| {
                    turn(&ctx, &turns, (text, command), &work)
                },
            );
            engine.register_fn("learner_knows", move |name: &str, value: Dynamic| {
                known.borrow_mut().knows(name, value.flatten());
            });
        });
        if !self.quiet {
            self.say("In a lesson, `:quit` leaves. What it does is taken back at its end.\n");
        }
        let ended = lesson.run(Input { file: Some((*file).to_owned()), text: telling(text), typed: None });
        self.interpreter.borrow_mut().lend(Vec::new());
        let left = learner.borrow().left;
        let ended_by = match ended {
            Ended::Error(diagnostic, report) if !left => {
                self.event(&Event::error(*diagnostic));
                report
            }
            Ended::Error(_, report) | Ended::Signal(_, report) => report,
            Ended::Well(_) | Ended::Exit(_) => lesson.rollback().1,
        };
        let ended_by = Report { notes: Vec::new(), ..ended_by };
        for diagnostic in lesson.run_deferred() {
            self.event(&Event::error(diagnostic));
        }
        self.report_some(ended_by);
        let rest = lesson.rollback().1;
        self.report_some(rest);
        drop(lesson);
        if let Ok(learner) = Rc::try_unwrap(learner)
            && let Source::Terminal(editor) = learner.into_inner().source
        {
            self.editor = Some(*editor);
        }
        !left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_every_lesson_is_found_with_its_code() {
        for (n, (file, text)) in LESSONS.iter().enumerate() {
            let all = steps(text);
            assert_eq!(
                all.len(),
                text.matches("lesson::step(").count() + text.matches("lesson::fails(").count(),
                "{file}"
            );
            assert!(all.iter().all(|s| !s.code.is_empty()), "{file}: {all:?}");
            assert!(!title(n).is_empty(), "{file}");
        }
        let all = steps(LESSONS[0].1);
        assert!(all.iter().any(|s| s.text.as_deref() == Some("Make one.") && s.code == "netns_add(\"net1\")"));
    }

    #[test]
    fn the_module_asks_at_each_kind_of_step() {
        let text = STDLIB.iter().find(|(n, _)| *n == "lesson").unwrap().1;
        assert_eq!(text.matches("work.call()").count(), 3);
    }

    #[test]
    fn lessons_have_numbers_and_names() {
        assert_eq!(find("2").unwrap(), [1]);
        assert_eq!(find("veth").unwrap(), [2]);
        assert_eq!(find("").unwrap().len(), LESSONS.len());
        assert!(find("9").is_err());
    }
}

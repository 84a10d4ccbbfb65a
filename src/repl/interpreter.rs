//! A session: one transaction with a savepoint for each line, and the variables and functions that go back with it.

use super::places::{Input, Places};
use super::recorder::{Recorder, Seen};
use crate::builtins;
use crate::engine::session::foreground::Foreground;
use crate::engine::tokens::{self, Token, What};
use crate::engine::{Host, Session, Setting, diagnose};
use crate::plan::{Error, Ns, Result};
use crate::report::Diagnostic;
use crate::txn::{Report, Savepoint};
use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr, Position, Scope};
use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The name of the last result.
pub const LAST: &str = "_";

/// What came of a line.
pub enum Ended {
    Well(Dynamic),
    /// What it had done is undone.
    Error(Box<Diagnostic>, Report),
    /// The same, by a signal.
    Signal(i32, Report),
    /// It called `exit`.
    Exit(i32),
}

/// A line that stands.
pub struct Line {
    pub input: Input,
    /// Its steps.
    pub seen: Vec<Seen>,
    /// Whether it changed the kernel.
    pub acted: bool,
    /// Whether it had a result, which is `_` in the next.
    pub gave: bool,
    /// Whether it defined or changed variables or functions.
    pub defined: bool,
    /// Whether a program that it ran may have gone on for ever, but for a Ctrl-C.
    pub stopped: bool,
    /// Where it begins in the whole text.
    start: usize,
    /// Kept open, so that later lines know what was there before them.
    savepoint: Option<Savepoint>,
    before: Snapshot,
}

impl Line {
    /// Whether `:undo` counts it.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.acted || self.defined
    }

    /// The namespace that was the current one.
    #[must_use]
    pub fn place(&self) -> &Ns {
        &self.before.place
    }

    /// Whether it ran a program, of which nothing is known.
    #[must_use]
    pub fn ran(&self) -> bool {
        self.seen.iter().any(|s| !s.undoable && s.op != "ping")
    }
}

/// What a line may change beside the kernel.
#[derive(Clone)]
struct Snapshot {
    scope: Scope<'static>,
    /// Variables that closures share, with what they held.
    cells: Vec<(Dynamic, Dynamic)>,
    functions: AST,
    imports: Vec<String>,
    place: Ns,
    deferred: usize,
}

/// Where `_` is the last result and not the pattern of a `switch`, in the text that is being compiled.
type Marks = Rc<RefCell<HashSet<(usize, usize)>>>;

/// See above.
pub struct Interpreter {
    host: Host,
    recorder: Rc<RefCell<Recorder>>,
    marks: Marks,
    places: Places,
    scope: Scope<'static>,
    /// What the lines so far define.
    functions: AST,
    /// The imports of the lines so far, as statements.
    imports: Vec<String>,
    place: Ns,
    lines: Vec<Line>,
    /// Those that were committed: no undo takes them back.
    committed: Vec<Line>,
    /// What was undone, the last first to be done again.
    undone: Vec<Input>,
    /// Variables of a lesson, which completion knows beside its own.
    lent: Vec<(String, Dynamic)>,
}

impl Interpreter {
    /// `typed` is what typed input is called in errors. `steps`: whether the listener is to have each step.
    #[must_use]
    pub fn new(mut setting: Setting, typed: &str, extend: impl FnOnce(&mut Engine)) -> Interpreter {
        let recorder = Rc::new(RefCell::new(Recorder::new(Rc::clone(&setting.listener), setting.steps)));
        setting.listener = recorder.clone();
        setting.steps = true;
        let marks = Marks::default();
        let places = Rc::clone(&marks);
        let host = Host::new(Session::new(setting), |engine| {
            builtins::register(engine);
            extend(engine);
            #[expect(deprecated, reason = "not deprecated but volatile, as Rhai says")]
            engine.on_parse_token(move |token, position, _| match token {
                rhai::Token::Underscore if places.borrow().contains(&at(position)) => {
                    rhai::Token::Identifier(Box::new(LAST.into()))
                }
                token => token,
            });
        });
        let place = host.session().kernel().host();
        Interpreter {
            host,
            recorder,
            marks,
            places: Places::new(typed),
            scope: Scope::new(),
            functions: AST::empty(),
            imports: Vec::new(),
            place,
            lines: Vec::new(),
            committed: Vec::new(),
            undone: Vec::new(),
            lent: Vec::new(),
        }
    }

    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    #[must_use]
    pub fn session(&self) -> &Session {
        self.host.session()
    }

    #[must_use]
    pub fn scope(&self) -> &Scope<'static> {
        &self.scope
    }

    /// Sets the variables of the lesson that is gone through; none, when it is over.
    pub fn lend(&mut self, variables: Vec<(String, Dynamic)>) {
        self.lent = variables;
    }

    /// What can be named: the session's variables, and a lesson's.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let lent = self.lent.iter().map(|(name, _)| name.as_str());
        self.scope.iter_raw().map(|(name, ..)| name).filter(|name| *name != LAST).chain(lent)
    }

    /// The value of a variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Dynamic> {
        let lent = self.lent.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.flatten_clone());
        lent.or_else(|| self.scope.get(name).map(Dynamic::flatten_clone))
    }

    /// What the lines so far define.
    #[must_use]
    pub fn functions(&self) -> &AST {
        &self.functions
    }

    /// The imports so far, as statements.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// The current namespace, the host's where it has gone.
    #[must_use]
    pub fn place(&self) -> Ns {
        let kernel = self.session().kernel();
        let host = kernel.host();
        let there = self.place == host || kernel.find_ns(&self.place.name).is_ok_and(|n| n.cookie == self.place.cookie);
        if there { self.place.clone() } else { host }
    }

    /// Sets the current namespace.
    pub fn set_place(&mut self, place: Ns) {
        self.place = place;
    }

    /// The lines that stand and are not committed.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines that were committed.
    #[must_use]
    pub fn committed(&self) -> &[Line] {
        &self.committed
    }

    /// How many of those that are not `:undo` counts.
    #[must_use]
    pub fn uncommitted(&self) -> usize {
        self.lines.iter().filter(|l| l.changed()).count()
    }

    /// Whether anything stands that leaving would take down.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.session().changed()
    }

    /// The steps since it was last asked.
    pub fn seen(&self) -> Vec<Seen> {
        self.recorder.borrow_mut().take()
    }

    /// Whether any program's output was shown since it was last asked.
    pub fn took_output(&self) -> bool {
        self.recorder.borrow_mut().took_output()
    }

    /// Sets what the programs of the next lines have; `plain`: what they write is written as it is.
    pub fn set_foreground(&self, foreground: Foreground, plain: bool) {
        self.session().set_foreground(foreground);
        self.recorder.borrow_mut().set_plain(plain);
    }

    /// Input that is no part of the session, for the numbers of lines.
    pub fn skip(&mut self, text: &str) {
        self.places.skip(text);
    }

    /// Runs an input, all or nothing. After one that changes something what was undone before can't be done again.
    pub fn run(&mut self, input: Input) -> Ended {
        let ended = self.evaluate(input, true);
        if matches!(ended, Ended::Well(_)) && self.lines.last().is_some_and(Line::changed) {
            self.undone.clear();
        }
        ended
    }

    /// Gives an error about input that was skipped just now its place.
    pub fn place_last(&self, diagnostic: &mut Diagnostic) {
        self.places.place_last(diagnostic);
    }

    /// Evaluates an input that is no step of the session: what it changes is undone at once.
    pub fn peek(&mut self, input: Input) -> Ended {
        let start = self.places.add(&input).1;
        self.places.withdraw(start);
        let ended = self.evaluate(input, false);
        self.places.withdraw(start);
        ended
    }

    /// The value of an expression that only looks, in the current namespace.
    #[must_use]
    pub fn look(&self, text: &str) -> Option<Dynamic> {
        let mut scope = self.scope.clone();
        for (name, value) in &self.lent {
            scope.push_dynamic(name.clone(), value.clone());
        }
        let engine = self.host.engine();
        self.session().within(self.place(), || engine.eval_expression_with_scope(&mut scope, text)).ok()
    }

    /// A value as JSON, over several lines.
    ///
    /// # Errors
    /// What has no JSON: a function.
    pub fn json(&self, value: Dynamic) -> Result<String> {
        let mut scope = Scope::new();
        scope.push_dynamic("value", value);
        let text = self.host.engine().eval_with_scope::<String>(&mut scope, "to_json(value, #{ pretty: true })");
        text.map_err(|e| Error::invalid(diagnose(self.host.engine(), &e, &self.host.sources("", "")).message))
    }

    fn snapshot(&self) -> Snapshot {
        let mut cells = Vec::new();
        for (_, _, value) in self.scope.iter_raw() {
            shared(value, &mut cells, 0);
        }
        Snapshot {
            scope: self.scope.clone(),
            cells,
            functions: self.functions.clone(),
            imports: self.imports.clone(),
            place: self.place.clone(),
            deferred: self.session().deferred(),
        }
    }

    fn restore(&mut self, before: Snapshot) {
        for (mut cell, value) in before.cells {
            if let Some(mut cell) = cell.write_lock::<Dynamic>() {
                *cell = value;
            }
        }
        self.scope = before.scope;
        self.functions = before.functions;
        self.imports = before.imports;
        self.place = before.place;
        self.host.session().forget_defers(before.deferred);
        self.host.set_functions(&self.functions);
    }

    fn evaluate(&mut self, input: Input, keep: bool) -> Ended {
        let (name, start) = self.places.add(&input);
        let before = self.snapshot();
        let steps = self.session().steps_done();
        let savepoint = match self.session().savepoint() {
            Ok(savepoint) => savepoint,
            Err(error) => return Ended::Error(Box::new(Diagnostic::from(&error)), Report::default()),
        };
        self.seen();
        self.took_output();
        self.session().set_stopped(false);
        let result = self.evaluate_at(&name, start, &input.text);
        let exit = self.session().exit_code();
        self.session().forget_exit();
        let cancel = self.session().cancel();
        // What had the terminal heard it too, and ended as it does on a Ctrl-C.
        let late =
            result.is_ok() && cancel.signal() == libc::SIGINT && self.session().foreground() == Foreground::Terminal;
        if late {
            cancel.clear();
        }
        let stopped = late || self.session().stopped();
        match (result, exit, self.session().cancel().signal()) {
            (Ok(value), None, 0) if keep => {
                let acted = self.session().steps_done() != steps;
                let defined = self.redefined(&before, &input.text);
                if !value.is_unit() {
                    self.scope.set_or_push(LAST, value.clone());
                }
                let gave = !value.is_unit();
                let seen = self.seen();
                let savepoint = Some(savepoint);
                self.lines.push(Line { input, seen, acted, gave, defined, stopped, start, savepoint, before });
                Ended::Well(value)
            }
            (_, Some(code), 0) => {
                if code == 0 {
                    self.session().release(savepoint);
                } else {
                    self.host.undo_to(savepoint);
                    self.restore(before);
                    self.places.forget(start);
                }
                Ended::Exit(code)
            }
            (Ok(value), _, 0) => {
                let report = self.host.undo_to(savepoint);
                self.restore(before);
                self.places.forget(start);
                if report.steps > 0 {
                    let error = Error::invalid("this would change something: it is undone")
                        .with_hint("type it as a line of its own");
                    return Ended::Error(Box::new(Diagnostic::from(&error)), report);
                }
                Ended::Well(value)
            }
            (result, _, signal) => {
                let diagnostic = result.err().map(|e| self.diagnose(&name, &e));
                let report = self.host.undo_to(savepoint);
                self.restore(before);
                self.places.forget(start);
                match diagnostic {
                    Some(diagnostic) if signal == 0 => Ended::Error(diagnostic, report),
                    _ => Ended::Signal(signal, report),
                }
            }
        }
    }

    /// Compiles an input that begins at line `start` of the whole text, and runs it.
    fn evaluate_at(
        &mut self,
        name: &str,
        start: usize,
        text: &str,
    ) -> std::result::Result<Dynamic, Box<EvalAltResult>> {
        // The lines before it are empty, but for the imports, which each compilation needs: Rhai forgets them.
        let mut whole = if start > 1 { self.imports.join(" ") } else { String::new() };
        whole.extend(std::iter::repeat_n('\n', start - 1));
        whole += &crate::engine::blank_shebang(text);
        let marks = Rc::clone(&self.marks);
        let ast = self.host.compile_in(name, &self.scope, &whole, |text| {
            let tokens = tokens::tokens(text);
            *marks.borrow_mut() = last_results(&tokens);
        })?;
        let ast = self.functions.merge(&ast);
        let place = self.place();
        let session = self.session().clone();
        let value = session.within(place, || self.host.run_line(&mut self.scope, &ast))?;
        self.functions = ast.clone_functions_only();
        for import in imports(text, name) {
            if !self.imports.contains(&import) {
                self.imports.push(import);
            }
        }
        Ok(value.flatten())
    }

    fn diagnose(&self, name: &str, error: &EvalAltResult) -> Box<Diagnostic> {
        let mut sources = self.host.sources(name, &self.places.whole());
        for name in self.places.names() {
            sources.add(name, self.places.whole());
        }
        let mut diagnostic = diagnose(self.host.engine(), error, &sources);
        self.places.relate(&mut diagnostic);
        Box::new(diagnostic)
    }

    /// Whether a line has changed what can be named.
    fn redefined(&self, before: &Snapshot, text: &str) -> bool {
        let named = |f: &AST| f.iter_functions().filter(|f| !f.name.starts_with("anon$")).count();
        let values = |scope: &Scope<'_>| -> Vec<String> {
            scope
                .iter_raw()
                .filter(|(n, ..)| *n != LAST)
                .map(|(n, _, v)| format!("{n} {:?}", v.flatten_clone()))
                .collect()
        };
        let tokens = tokens::tokens(text);
        // What closures share is the same cell before and after.
        let moved = |(cell, value): &(Dynamic, Dynamic)| format!("{:?}", cell.flatten_clone()) != format!("{value:?}");
        before.cells.iter().any(moved)
            || tokens.iter().any(|t| t.is("fn"))
            || self.imports != before.imports
            || named(&self.functions) != named(&before.functions)
            || values(&self.scope) != values(&before.scope)
            || assigns(&tokens)
    }

    /// Undoes the last `count` lines that changed something, and what came after them. Returns them, the first first.
    pub fn undo(&mut self, count: usize) -> Option<(Vec<Line>, Report)> {
        let changed: Vec<usize> =
            self.lines.iter().enumerate().filter(|(_, l)| l.changed()).map(|(at, _)| at).collect();
        let at = *changed.get(changed.len().saturating_sub(count.max(1)))?;
        Some(self.undo_from(at))
    }

    /// Undoes everything since the last commit.
    pub fn rollback(&mut self) -> (Vec<Line>, Report) {
        if self.lines.is_empty() {
            return (Vec::new(), self.host.rollback());
        }
        let gone: Vec<Line> = std::mem::take(&mut self.lines);
        let report = self.host.rollback();
        if let Some(first) = gone.first() {
            self.restore(first.before.clone());
        }
        self.undone.extend(gone.iter().rev().map(|l| l.input.clone()));
        gone.iter().for_each(|line| self.places.forget(line.start));
        (gone, report)
    }

    fn undo_from(&mut self, at: usize) -> (Vec<Line>, Report) {
        let mut gone = self.lines.split_off(at);
        self.undone.extend(gone.iter().rev().map(|l| l.input.clone()));
        let mut report = Report::default();
        if let Some(first) = gone.first_mut() {
            if let Some(savepoint) = first.savepoint.take() {
                report = self.host.undo_to(savepoint);
            }
            let before = first.before.clone();
            self.restore(before);
        }
        gone.iter().for_each(|line| self.places.forget(line.start));
        (gone, report)
    }

    /// What stands becomes a lab; the session goes on with nothing done.
    ///
    /// # Errors
    /// The name can't be a lab's or is taken, or the journal can't be written: nothing is committed.
    pub fn commit(&mut self, name: &str) -> Result<Report> {
        let report = self.session().commit_as(name)?;
        self.committed.extend(self.lines.drain(..).map(|line| Line { savepoint: None, ..line }));
        self.undone.clear();
        Ok(report)
    }

    /// The session ends: what was deferred runs.
    pub fn run_deferred(&mut self) -> Vec<Diagnostic> {
        let errors = self.host.run_deferred(&self.functions);
        errors.iter().map(|e| *self.diagnose("repl", e)).collect()
    }

    /// Does the line again that was undone last. `None`: there is none.
    pub fn redo(&mut self) -> Option<(Input, Ended)> {
        let input = self.undone.pop()?;
        let ended = self.evaluate(input.clone(), true);
        if !matches!(ended, Ended::Well(_)) {
            self.undone.clear();
        }
        Some((input, ended))
    }
}

/// Line and column of a position, as tokens have them.
fn at(position: Position) -> (usize, usize) {
    (position.line().unwrap_or_default(), position.position().unwrap_or_default())
}

/// The variables' cells that closures share, with what they hold.
fn shared(value: &Dynamic, found: &mut Vec<(Dynamic, Dynamic)>, depth: usize) {
    // Closures may hold each other.
    const DEEPEST: usize = 8;
    if depth > DEEPEST {
        return;
    }
    if value.is_shared() {
        let inner = value.flatten_clone();
        shared(&inner, found, depth + 1);
        found.push((value.clone(), inner));
        return;
    }
    if let Ok(all) = value.as_array_ref() {
        all.iter().for_each(|v| shared(v, found, depth + 1));
    } else if let Ok(map) = value.as_map_ref() {
        map.values().for_each(|v| shared(v, found, depth + 1));
    } else if let Some(closure) = value.clone().try_cast::<FnPtr>() {
        closure.curry().iter().for_each(|v| shared(v, found, depth + 1));
    }
}

/// Where `_` stands for the last result: everywhere but before the `=>` of a `switch`.
pub(super) fn last_results(tokens: &[Token<'_>]) -> HashSet<(usize, usize)> {
    let mut found = HashSet::new();
    for (n, token) in tokens.iter().enumerate() {
        let arrow = |at: usize, mark: &str| tokens.get(at).is_some_and(|t| t.is(mark));
        let pattern = arrow(n + 1, "=") && arrow(n + 2, ">") || arrow(n + 1, "if");
        if token.what == What::Name && token.text == LAST && !pattern {
            found.insert(token.at());
        }
    }
    found
}

/// The file that an import of `source` means, without `.rhai` where it is written so: it is looked for beside it.
pub(super) fn beside(source: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(source).parent()?.join(path);
    let found = path.is_file() || path.with_extension("rhai").is_file();
    found.then_some(path)
}

/// The imports of a text, outside of all brackets, as statements that mean the same elsewhere.
fn imports(text: &str, source: &str) -> Vec<String> {
    let tokens = tokens::tokens(text);
    let mut depth = 0usize;
    let mut found = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" | "#{" if token.what == What::Mark => depth += 1,
            ")" | "]" | "}" if token.what == What::Mark => depth = depth.saturating_sub(1),
            _ => {}
        }
        let [import, path, keyword, name, ..] = tokens.get(n..).unwrap_or_default() else { continue };
        if depth == 0 && import.is("import") && path.what == What::Text && keyword.is("as") && !path.text.contains("${")
        {
            let bare = path.text.trim_matches(['"', '`']);
            let path = beside(source, bare).map_or_else(|| bare.to_owned(), |p| p.to_string_lossy().into_owned());
            found.push(format!("import {path:?} as {};", name.text));
        }
    }
    found
}

/// Whether a text assigns to something.
fn assigns(tokens: &[Token<'_>]) -> bool {
    tokens.windows(3).any(|w| {
        let [before, equals, after] = w else { return false };
        equals.is("=") && !after.is("=") && !after.is(">") && !["=", "!", "<", ">"].iter().any(|mark| before.is(mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_told_from_comparisons() {
        for text in ["let a = 1", "a = 2", "a += 2", "a.b = c"] {
            assert!(assigns(&tokens::tokens(text)), "{text}");
        }
        for text in ["a == 2", "a >= b", "a != b", "switch a { 1 => 2 }", "f(a)"] {
            assert!(!assigns(&tokens::tokens(text)), "{text}");
        }
    }

    #[test]
    fn imports_are_kept_as_statements() {
        let text = "import \"topology\" as topo; fn f() { import \"x\" as y; }";
        assert_eq!(imports(text, "repl"), ["import \"topology\" as topo;"]);
    }

    #[test]
    fn the_last_result_is_no_pattern() {
        let found = last_results(&tokens::tokens("switch _ { _ => _ + 1 }"));
        assert_eq!(found, HashSet::from([(1, 8), (1, 17)]));
    }
}

//! An engine with a session: runs a script to its end, and says how it ended.

use super::modules::{Modules, Texts};
use super::session::Session;
use super::session::foreground::Foreground;
use super::{Sources, diagnose, diagnose_parse};
use crate::phase::{self, Phase};
use crate::plan::{Error, Kind, Result};
use crate::report::{Diagnostic, Event};
use crate::txn::{Report, Savepoint};
use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr, Map, Position, Scope};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// To its last line, or with `exit(0)`.
    Well,
    /// With `exit(n)`, n ≠ 0.
    Exit(i32),
    /// With an error.
    Error(Box<Diagnostic>),
    /// By a signal.
    Signal(i32),
}

/// A script engine with all functions, and the session that they act through.
pub struct Host {
    engine: Engine,
    session: Session,
    texts: Texts,
    /// The script that runs: its closures are called again by the undo.
    ast: RefCell<AST>,
}

impl Host {
    /// The engine. `register` adds the functions.
    #[must_use]
    pub fn new(session: Session, register: impl FnOnce(&mut Engine)) -> Host {
        let texts = Texts::default();
        let mut engine = Engine::new();
        engine.set_default_tag(Dynamic::from(session.clone()));
        // Debug builds would stop at 8 calls and 32 levels; the process runs scripts on a stack that has room for these.
        engine.set_max_call_levels(256);
        engine.set_max_expr_depths(512, 256);
        engine.set_max_string_size(256 << 20);
        engine.set_max_array_size(16 << 20);
        engine.set_max_map_size(4 << 20);
        engine.set_fail_on_invalid_map_property(true);
        engine.set_strict_variables(true);
        let path = std::env::var("NSSCRIPT_PATH").ok();
        engine.set_module_resolver(Modules::new(path.as_deref(), Rc::clone(&texts)));
        register(&mut engine);
        let printer = session.clone();
        let stop = Rc::new(std::cell::Cell::new(false));
        let closed = Rc::clone(&stop);
        engine.on_print(move |text| {
            printer.event(&Event::Print { text: text.into() });
            // Whoever read the output has gone: the script ends, as by a signal.
            if printer.broken().is_some() {
                closed.set(true);
            }
        });
        let debugger = session.clone();
        engine.on_debug(move |text, source, position| {
            debugger.event(&Event::Debug {
                text: text.into(),
                file: source.map(Into::into),
                line: position.line().unwrap_or_default(),
            });
        });
        let cancel = session.cancel().clone();
        let watched = session.clone();
        engine.on_progress(move |_| {
            let signal = cancel.signal();
            // Whether a Ctrl-C is one for us too, a program that has the terminal has shown by how it ended.
            let late = signal == libc::SIGINT && watched.foreground() == Foreground::Terminal;
            ((signal != 0 && !late) || stop.get()).then_some(Dynamic::UNIT)
        });
        Host { engine, session, texts, ast: RefCell::new(AST::empty()) }
    }

    /// The same, with a script that ends in an error after so many operations of Rhai's (a statement, a call, a turn of a
    /// loop is some of them).
    #[must_use]
    pub fn bounded(mut self, operations: Option<u64>) -> Host {
        self.engine.set_max_operations(operations.unwrap_or(0));
        self
    }

    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Compiles a script.
    ///
    /// # Errors
    /// What can't be parsed, as a diagnostic.
    pub fn compile(&self, name: &str, text: &str) -> std::result::Result<AST, Box<Diagnostic>> {
        let text = blank_shebang(text);
        let mut ast = self
            .engine
            .compile(super::tokens::with_conversions(&text))
            .map_err(|e| Box::new(diagnose_parse(&self.engine, &e, name, &text)))?;
        ast.set_source(name);
        Ok(ast)
    }

    /// Runs a script to its end: its last line, then the wait for IPv6 addresses, then what it deferred. Nothing is
    /// committed or undone yet.
    pub fn run(&self, name: &str, text: &str) -> Ended {
        let ast = match self.compile(name, text) {
            Ok(ast) => ast,
            Err(diagnostic) => return Ended::Error(diagnostic),
        };
        *self.ast.borrow_mut() = ast.clone();
        let mut ended = self.evaluate(name, text, &ast);
        // What was deferred runs either way, also after a signal (a further one ends it); its error counts only where there is
        // none yet, and is said in any case.
        let first = self.session.cancel().signal();
        let defers = self.session.take_defers();
        if first != 0 && !defers.is_empty() {
            self.session.cancel().clear();
        }
        for work in defers {
            let result = self.guarded(|| work.call::<Dynamic>(&self.engine, &ast, ()).map(|_| ()));
            let Err(error) = result else { continue };
            if ends_it(&error) {
                let code = self.session.exit_code().unwrap_or_default();
                if first == 0 && matches!(ended, Ended::Well) && code != 0 {
                    ended = Ended::Exit(code);
                }
                continue;
            }
            if first == 0 && matches!(ended, Ended::Well) {
                ended = self.ended(name, text, &error);
            } else {
                let message = format!("what was deferred failed: {error}");
                self.session.event(&Event::Warning { message, hint: None });
            }
        }
        match (self.session.cancel().signal(), first) {
            (0, 0) => ended,
            (0, signal) | (signal, _) => Ended::Signal(signal),
        }
    }

    fn evaluate(&self, name: &str, text: &str, ast: &AST) -> Ended {
        let mut scope = Scope::new();
        let result = {
            let _phase = phase::enter(Phase::Script);
            self.guarded(|| self.engine.run_ast_with_scope(&mut scope, ast))
        };
        match result {
            Err(error) => self.ended(name, text, &error),
            Ok(()) => match self.session.exit_code() {
                Some(code) if code != 0 => Ended::Exit(code),
                _ => match self.session.settle() {
                    Ok(()) => Ended::Well,
                    Err(error) if error.kind == Kind::Interrupted => Ended::Signal(self.session.cancel().signal()),
                    Err(error) => Ended::Error(Box::new(Diagnostic::from(&error))),
                },
            },
        }
    }

    /// Compiles what was typed in a session: `scope` has its variables. `look` gets the text as it is compiled.
    ///
    /// # Errors
    /// What can't be parsed.
    pub fn compile_in(
        &self,
        source: &str,
        scope: &Scope<'_>,
        text: &str,
        look: impl FnOnce(&str),
    ) -> std::result::Result<AST, Box<EvalAltResult>> {
        let text = super::tokens::with_conversions(text);
        look(&text);
        let mut ast = self
            .engine
            .compile_with_scope(scope, text)
            .map_err(|e| Box::new(EvalAltResult::ErrorParsing(*e.0, e.1)))?;
        ast.set_source(source);
        Ok(ast)
    }

    /// Runs what was deferred. Returns the errors of it.
    pub fn run_deferred(&self, ast: &AST) -> Vec<Box<EvalAltResult>> {
        let run = |work: FnPtr| self.guarded(|| work.call::<Dynamic>(&self.engine, ast, ()).map(|_| ())).err();
        self.session.take_defers().into_iter().filter_map(run).collect()
    }

    /// Runs a line of a session. `ast` has the functions of the lines before it too. Nothing is undone here.
    ///
    /// # Errors
    /// What the line threw.
    pub fn run_line(&self, scope: &mut Scope<'_>, ast: &AST) -> std::result::Result<Dynamic, Box<EvalAltResult>> {
        // Also for the compensations of this very line, should it fail.
        self.set_functions(ast);
        let mut value = Dynamic::UNIT;
        let result = self.guarded(|| {
            value = self.engine.eval_ast_with_scope(scope, ast)?;
            Ok(())
        });
        result.map(|()| value)
    }

    /// The functions that compensations (`on_rollback`) may call from now on.
    pub fn set_functions(&self, ast: &AST) {
        *self.ast.borrow_mut() = ast.clone();
    }

    /// Undoes what was done since a savepoint, the script's own compensations included. A signal that came is forgotten
    /// first.
    pub fn undo_to(&self, savepoint: Savepoint) -> Report {
        self.undo(|session, hook| session.rollback_to(savepoint, hook))
    }

    /// Runs `work`; a panic becomes an error of kind `internal`.
    fn guarded(
        &self,
        work: impl FnOnce() -> std::result::Result<(), Box<EvalAltResult>>,
    ) -> std::result::Result<(), Box<EvalAltResult>> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string()))
                .unwrap_or_else(|| "no message".into());
            let error = Error::internal(format!("panic: {text}"));
            let mut map = Map::new();
            map.insert("kind".into(), error.kind.as_str().into());
            map.insert("message".into(), error.message.into());
            map.insert("hint".into(), error.hint.unwrap_or_default().into());
            Err(EvalAltResult::ErrorRuntime(map.into(), Position::NONE).into())
        })
    }

    fn ended(&self, name: &str, text: &str, error: &EvalAltResult) -> Ended {
        match self.session.cancel().signal() {
            0 => Ended::Error(Box::new(self.diagnose(name, text, error))),
            signal => Ended::Signal(signal),
        }
    }

    /// The diagnostic of a Rhai error.
    #[must_use]
    pub fn diagnose(&self, name: &str, text: &str, error: &EvalAltResult) -> Diagnostic {
        diagnose(&self.engine, error, &self.sources(name, text))
    }

    /// The texts known so far.
    #[must_use]
    pub fn sources(&self, name: &str, text: &str) -> Sources {
        let mut sources = Sources::new(name, blank_shebang(text));
        for (path, text) in self.texts.borrow().iter() {
            sources.add(path.clone(), Arc::clone(text));
        }
        sources
    }

    /// Looks for mistakes without running.
    #[must_use]
    pub fn check(&self, name: &str, text: &str) -> Vec<Diagnostic> {
        super::check(&self.engine, name, &blank_shebang(text), &[])
    }

    /// Undoes the whole run, the script's own compensations included. A signal that came is forgotten first: nothing
    /// cuts an undo short.
    pub fn rollback(&self) -> Report {
        self.undo(Session::rollback)
    }

    fn undo(&self, work: impl FnOnce(&Session, &mut dyn FnMut(u64) -> Result<()>) -> Report) -> Report {
        self.session.cancel().clear();
        // `on_rollback(|| …)` lives in the script: without it the closure is a name of nothing.
        let ast = self.ast.borrow().clone();
        let report = work(&self.session, &mut |id| {
            let Some(hook) = self.session.hook(id) else { return Ok(()) };
            let run = || {
                let mut failed = None;
                let result = self.guarded(|| match hook.call::<Dynamic>(&self.engine, &ast, ()) {
                    Ok(_) => Ok(()),
                    // `exit` in it ends only that.
                    Err(error) if ends_it(&error) => Ok(()),
                    Err(error) => {
                        failed = Some(words_of(&error));
                        Err(error)
                    }
                });
                result.map_err(|e| Error::new(Kind::Fail, failed.unwrap_or_else(|| e.to_string())))
            };
            self.session.cancel().once_deaf(run)
        });
        // What it would have ended is undone by now.
        if self.session.cancel().signal() == libc::SIGINT {
            self.session.cancel().clear();
        }
        report
    }
}

/// Whether it is no error, but `exit(…)`.
#[must_use]
pub fn ends_it(error: &EvalAltResult) -> bool {
    matches!(error.unwrap_inner(), EvalAltResult::Exit(..))
}

/// An error in one line: the message of one of ours, Rhai's own words of another.
#[must_use]
pub fn words_of(error: &EvalAltResult) -> String {
    let inner = error.unwrap_inner();
    let ours = match inner {
        EvalAltResult::ErrorRuntime(value, _) => {
            let map = value.read_lock::<Map>();
            map.and_then(|map| map.get("message")?.clone().into_string().ok())
        }
        _ => None,
    };
    let at = inner.position().line().map_or_else(String::new, |line| format!(" (line {line})"));
    ours.map_or_else(|| inner.to_string(), |message| format!("{message}{at}"))
}

/// A first line `#!…` as an empty one: Rhai does not know it. The line numbers stay.
#[must_use]
pub fn blank_shebang(text: &str) -> String {
    // Some editors put a mark of the byte order in front of UTF-8.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.strip_prefix("#!").filter(|rest| !rest.starts_with('{')) {
        Some(rest) => rest.find('\n').map_or_else(String::new, |end| rest[end..].to_string()),
        None => text.to_string(),
    }
}

//! From Rhai's error to a [`Diagnostic`]: the true place, the way there, human words, and what to do about it.
//!
//! Rhai wraps an error once for each call and each module it passes through, and `position()` is that of the outermost
//! call: the place of the mistake is the innermost. It says what it expected in the words of its grammar, and a function
//! that it does not find by the types of the call: here both get the names that the script's author knows.

use super::explain::Here;
use super::kind::kind_of;
use super::signatures;
use super::tokens;
use crate::report::{Diagnostic, Frame};
use rhai::{Engine, EvalAltResult, Map, ParseError, Position};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// The texts of the scripts that an error may point into, by the name that their AST was given (`set_source`).
#[derive(Clone, Debug, Default)]
pub struct Sources {
    main: String,
    texts: BTreeMap<String, Arc<str>>,
}

impl Sources {
    /// The main script: its file as it was named, or `-e`, with its text.
    #[must_use]
    pub fn new(main: impl Into<String>, text: impl Into<Arc<str>>) -> Sources {
        let main = main.into();
        let texts = BTreeMap::from([(main.clone(), text.into())]);
        Sources { main, texts }
    }

    /// And a module, or a line of the REPL.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) {
        self.texts.insert(name.into(), text.into());
    }

    /// The main script's name.
    #[must_use]
    pub fn main(&self) -> &str {
        &self.main
    }

    /// The text of `name`, and the name to show it under. Rhai's file resolver calls a module what the `import` called
    /// it, without folder and ending: so a name that was not added is also looked for as a file, as it is and beside the
    /// script `from` that named it, each also with `.rhai` behind it.
    #[must_use]
    pub fn get(&self, name: &str, from: Option<&str>) -> Option<(String, Arc<str>)> {
        let beside = from.and_then(|from| Path::new(from).parent()).map(|dir| dir.join(name).display().to_string());
        let candidates: Vec<String> = std::iter::once(name.to_owned())
            .chain(beside)
            .flat_map(|name| {
                if Path::new(&name).extension().is_some_and(|e| e == "rhai") {
                    vec![name]
                } else {
                    vec![name.clone(), name + ".rhai"]
                }
            })
            .collect();
        if let Some(name) = candidates.iter().find(|name| self.texts.contains_key(*name)) {
            return self.texts.get(name).map(|text| (name.clone(), Arc::clone(text)));
        }
        candidates.into_iter().find_map(|name| {
            if !Path::new(&name).is_file() {
                return None;
            }
            let text = std::fs::read_to_string(&name).ok()?;
            Some((name, text.into()))
        })
    }
}

/// The error as it is shown: walks calls and modules to the innermost error, and says where and what in human words.
///
/// What functions there are is collected from `engine` only for the errors whose hint needs it.
#[must_use]
pub fn diagnose(engine: &Engine, error: &EvalAltResult, sources: &Sources) -> Diagnostic {
    use EvalAltResult as E;
    let mut error = error;
    let mut way = Way::new(engine, sources);
    // Outermost first, until the end.
    let mut chain: Vec<Frame> = Vec::new();
    let mut evaluated = false;
    loop {
        let (function, inside, inner, position) = match error {
            E::ErrorInFunctionCall(name, source, inner, position) => (name.as_str(), source, inner, *position),
            E::ErrorInModule(path, inner, position) => (Frame::IMPORT, path, inner, *position),
            _ => break,
        };
        let (line, column) = way.written(place_of(position));
        let shown = if signatures::is_anonymous(function) { Frame::CLOSURE } else { function };
        let frame = Frame { function: shown.to_owned(), file: Some(way.file.clone()), line, column };
        // `list.map(|x| …)`: the call of `map` and that of the closure are one place.
        let same = |last: &Frame| (last.line, last.column, &last.file) == (frame.line, frame.column, &frame.file);
        if shown == Frame::CLOSURE && chain.last().is_some_and(same) {
            chain.pop();
        }
        // Rhai leaves out some positions; a frame without one says nothing.
        if line > 0 {
            chain.push(frame);
        }
        error = inner;
        match function {
            "eval" => {
                // Places within the evaluated text are in no file: the call of `eval` is where to look.
                evaluated = true;
                break;
            }
            Frame::IMPORT => way.enter(inside),
            _ => way.enter_function(function, inside),
        }
    }

    let mut diagnostic = Diagnostic { kind: kind_of(error).to_owned(), ..Diagnostic::default() };
    let mut place = way.written(place_of(error.position()));
    if evaluated && let Some(frame) = chain.pop() {
        place = (frame.line, frame.column);
    } else if place.0 == 0
        && let Some(frame) = chain.pop_if(|frame| frame.file.as_deref() == Some(way.file.as_str()))
    {
        place = (frame.line, frame.column);
    }

    // A caught error that is thrown again brings its first place with it.
    if let E::ErrorRuntime(value, _) = error
        && let Ok(map) = value.as_map_ref()
        && let Some(line) = number_of(&map, "line").filter(|line| *line > 0)
    {
        let (_, column) = way.written((line, number_of(&map, "position").unwrap_or_default()));
        if (line, column) != place {
            chain.push(Frame {
                function: Frame::THROW.to_owned(),
                file: Some(way.file.clone()),
                line: place.0,
                column: place.1,
            });
            place = (line, column);
            way.enter(&text_of(&map, "source").unwrap_or_default());
        }
    }

    let source = way.text.clone().unwrap_or_default();
    let tokens = tokens::tokens(&source);
    // Of an evaluated text only the error is known: the words around the call of `eval` would mislead.
    let around = if evaluated { &[][..] } else { tokens.as_slice() };
    let found = Here { engine, tokens: around, line: place.0, column: place.1 }.explain(error);
    (diagnostic.message, diagnostic.hint) = (found.message, found.hint);
    let place = found.place.unwrap_or(place);
    if evaluated {
        diagnostic.message = format!("in the text given to `eval`: {}", diagnostic.message);
    }
    if let Some(thrown) = found.thrown {
        thrown.fill(&mut diagnostic);
    }
    (diagnostic.line, diagnostic.column) = place;
    if place.0 > 0 {
        diagnostic.len = if found.caret { 0 } else { tokens::length_at(&tokens, place.0, place.1) };
        diagnostic.source = way.text;
    }
    diagnostic.file = Some(way.file);
    chain.reverse();
    diagnostic.chain = chain;
    diagnostic
}

/// The file that the walk from the outermost error to the innermost is in.
struct Way<'a> {
    engine: &'a Engine,
    sources: &'a Sources,
    file: String,
    /// None where it is not known.
    text: Option<Arc<str>>,
    /// Where the walk came through.
    visited: Vec<(String, Arc<str>)>,
    /// The closures of a file, by the names that Rhai gives them.
    closures: BTreeMap<String, BTreeSet<String>>,
}

impl Way<'_> {
    /// A place of the compiled text as a place of what was written.
    fn written(&self, (line, column): (usize, usize)) -> (usize, usize) {
        (line, self.text.as_deref().map_or(column, |text| tokens::written_column(text, line, column)))
    }
}

impl<'a> Way<'a> {
    fn new(engine: &'a Engine, sources: &'a Sources) -> Way<'a> {
        let (file, text) = (sources.main.clone(), sources.texts.get(&sources.main).cloned());
        let mut way = Way { engine, sources, file, text: None, visited: Vec::new(), closures: BTreeMap::new() };
        way.go(way.file.clone(), text);
        way
    }

    fn go(&mut self, file: String, text: Option<Arc<str>>) {
        if let Some(text) = &text {
            self.visited.push((file.clone(), Arc::clone(text)));
        }
        (self.file, self.text) = (file, text);
    }

    /// Into the module or script `name`.
    fn enter(&mut self, name: &str) {
        if name.is_empty() || name == self.file {
            return;
        }
        match self.sources.get(name, Some(&self.file)) {
            Some((file, text)) => self.go(file, Some(text)),
            None => self.go(name.to_owned(), None),
        }
    }

    /// Into the function `name`, which Rhai says is in `source`. It says so of whatever is called while a function of
    /// `source` runs, also of the caller's closures and of native functions: so it is believed only where the text of
    /// `source` defines the function.
    fn enter_function(&mut self, name: &str, source: &str) {
        let said = if source.is_empty() { None } else { self.sources.get(source, Some(&self.file)) };
        let is_unknown = !source.is_empty() && said.is_none();
        if is_unknown && !signatures::is_anonymous(name) {
            self.enter(source);
            return;
        }
        let here = self.text.clone().map(|text| (self.file.clone(), text));
        let candidates: Vec<_> = said.into_iter().chain(here).chain(self.visited.iter().rev().cloned()).collect();
        if let Some((file, text)) = candidates.into_iter().find(|(file, text)| self.defines(file, text, name)) {
            self.go(file, Some(text));
        } else if is_unknown {
            self.enter(source);
        }
        // Else it is native, and has no text to go to.
    }

    fn defines(&mut self, file: &str, text: &str, name: &str) -> bool {
        if !signatures::is_anonymous(name) {
            return tokens::functions(&tokens::tokens(text)).iter().any(|f| f.name == name);
        }
        // A closure's name is made from its code: compiling the text gives the same names again.
        let engine = self.engine;
        let closures = self.closures.entry(file.to_owned()).or_insert_with(|| {
            let ast = engine.compile(tokens::without_shebang(text)).unwrap_or_default();
            ast.iter_functions().map(|f| f.name.to_owned()).collect()
        });
        closures.contains(name)
    }
}

/// The diagnostic of a text that can't be parsed; `file` names it.
#[must_use]
pub fn diagnose_parse(engine: &Engine, error: &ParseError, file: &str, text: &str) -> Diagnostic {
    let error = EvalAltResult::ErrorParsing(error.err_type().clone(), error.position());
    diagnose(engine, &error, &Sources::new(file, text))
}

/// Line and column from 1, 0 where unknown.
pub(super) fn place_of(position: Position) -> (usize, usize) {
    match position.line() {
        // A position at the beginning of a line has no column: it is before the first character.
        Some(line) => (line, position.position().unwrap_or(1)),
        None => (0, 0),
    }
}

pub(super) fn text_of(map: &Map, key: &str) -> Option<String> {
    let value = map.get(key)?;
    if value.is_unit() { None } else { Some(value.to_string()).filter(|text| !text.is_empty()) }
}

fn number_of(map: &Map, key: &str) -> Option<usize> {
    usize::try_from(map.get(key)?.as_int().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::Style;
    use rhai::Dynamic;

    /// Runs `text` as `main.rhai`, with modules beside it, and returns what it fails with.
    fn fail_with(engine: &Engine, text: &str) -> Diagnostic {
        let sources = Sources::new("main.rhai", text);
        let result = engine.compile(text).map_err(|error| Box::new(EvalAltResult::from(error))).and_then(|mut ast| {
            ast.set_source("main.rhai");
            engine.eval_ast::<Dynamic>(&ast)
        });
        match result {
            Ok(value) => panic!("{text:?} gave {value:?}"),
            Err(error) => {
                let diagnostic = diagnose(engine, &error, &sources);
                if !matches!(error.as_ref(), EvalAltResult::ErrorRuntime(..)) && !diagnostic.op.is_empty() {
                    assert_eq!(diagnostic.kind, kind_of(&error), "{text}");
                }
                diagnostic
            }
        }
    }

    fn fail(text: &str) -> Diagnostic {
        fail_with(&sample::engine(), text)
    }

    /// Script, kind, line, column, underlined characters, message, hint (or its beginning).
    type Case = (&'static str, &'static str, usize, usize, usize, &'static str, &'static str);

    fn run(table: &[Case]) {
        for (text, kind, line, column, len, message, hint) in table {
            let d = fail(text);
            assert_eq!((d.kind.as_str(), d.message.as_str()), (*kind, *message), "{text}");
            assert_eq!((d.line, d.column, d.len), (*line, *column, *len), "{text}");
            let found = d.hint.unwrap_or_default();
            assert!(found.starts_with(hint) && found.is_empty() == hint.is_empty(), "{text}: {found}");
        }
    }

    #[test]
    fn what_does_not_parse() {
        run(&[
            ("let a = 1\nlet b = 2;", "syntax", 1, 10, 0, "`;` is missing at the end of this statement", ""),
            ("let a = 1 // x\n\n/* y */ f();", "syntax", 1, 10, 0, "`;` is missing at the end of this statement", ""),
            ("let x = 5 5;", "syntax", 1, 11, 1, "`;` is missing at the end of this statement", ""),
            (
                "def f(x) { x }",
                "syntax",
                1,
                5,
                1,
                "`;` is missing at the end of this statement",
                "a function is defined by `fn`, not `def`",
            ),
            ("let default = 1;", "syntax", 1, 5, 7, "`default` is a reserved word", "choose another name"),
            ("#{ default: 1 }", "syntax", 1, 4, 7, "`default` is a reserved word", "as a key it stands in quotes"),
            (
                "let m = #{}; m.new",
                "syntax",
                1,
                16,
                3,
                "`new` is a reserved word",
                "as a key it stands in quotes: [\"new\"]",
            ),
            (
                "#{ if: 1 }",
                "syntax",
                1,
                4,
                2,
                "`if` is a word of the language and can't be a bare key",
                "write it in quotes",
            ),
            (
                "let fn = 1;",
                "syntax",
                1,
                5,
                2,
                "`fn` is a word of the language and can't be a name",
                "choose another name",
            ),
            ("let x = null;", "syntax", 1, 9, 4, "`null` is a reserved word", "nothing is `()`"),
            ("var x = 1;", "syntax", 1, 1, 3, "`var` is a reserved word", "a variable is declared by `let`"),
            (
                "let x = 'abc';",
                "syntax",
                1,
                9,
                5,
                "'abc' is not one character",
                "single quotes hold one character; a string is written \"abc\"",
            ),
            ("let x = \"abc\nlet y = 1;", "syntax", 1, 9, 4, "the string is never closed", "a string of several lines"),
            (
                "foo(1",
                "syntax",
                1,
                6,
                0,
                "`)` is missing to close the call of `foo`",
                "the `(` of line 1 is never closed",
            ),
            (
                "if true {\n  foo(1);\n\n",
                "syntax",
                2,
                10,
                0,
                "`}` is missing at the end of this block",
                "the `{` of line 1 is never closed",
            ),
            ("let a = (1 + 2;", "syntax", 1, 15, 1, "`)` is missing to close this expression", ""),
            ("#{ a: 1 b: 2 }", "syntax", 1, 9, 1, "`,` is missing between the items of this map", ""),
            ("foo(1 2)", "syntax", 1, 7, 1, "`,` is missing between the arguments of `foo`", ""),
            ("let a = 1 === 2;", "syntax", 1, 11, 1, "`===` is no symbol of the language", "did you mean `==`?"),
            ("let a = 1; if a = 2 { }", "syntax", 1, 17, 1, "`=` can't stand here", "did you mean `==`?"),
            (
                "fn f() { fn g() {} }",
                "syntax",
                1,
                10,
                2,
                "a function can't be defined inside a block or another function",
                "move it to the top level",
            ),
            ("const X = 1; X = 2;", "syntax", 1, 14, 1, "`X` is a constant", "what changes is declared by `let`"),
            ("fn f(a, a) {}", "syntax", 1, 9, 1, "function `f` has the parameter `a` twice", ""),
            ("break;", "syntax", 1, 1, 5, "`break` or `continue` outside a loop", ""),
        ]);
    }

    #[test]
    fn functions_that_are_not_there_or_take_something_else() {
        let addr = "`addr` takes (dev, cidr) or (ns, dev, cidr), each with options last";
        run(&[
            ("adr(\"a\", \"b\");", "not_found", 1, 1, 3, "there is no function `adr`", "did you mean `addr`?"),
            (
                "add_netns(\"a\");",
                "not_found",
                1,
                1,
                9,
                "there is no function `add_netns`",
                "did you mean `netns_add`?",
            ),
            ("type_of(1, 2);", "not_found", 1, 1, 7, "`type_of` does not take (i64, i64)", ""),
            ("frobnicate();", "not_found", 1, 1, 10, "there is no function `frobnicate`", "`nsscript doc`"),
            (
                "fn build(x) { x }\nbiuld(1);",
                "not_found",
                2,
                1,
                5,
                "there is no function `biuld`",
                "did you mean `build`?",
            ),
            ("addr(\"a\");", "not_found", 1, 1, 4, "`addr` does not take (string)", addr),
            (
                "let m = #{};\naddr(m, 5);",
                "not_found",
                2,
                1,
                4,
                "`addr` does not take (map, i64)",
                "`addr` takes (dev, cidr) or (ns, dev, cidr), each with options last; `cidr` must be a string, not an i64",
            ),
            (
                "veth(\"a\", 'b');",
                "not_found",
                1,
                1,
                4,
                "`veth` does not take (string, char)",
                "`veth` takes (a, b); `b` must be a string, not a char; 'x' is a character, a string is \"x\"",
            ),
            (
                "topo::sta(\"a\");",
                "not_found",
                1,
                7,
                3,
                "there is no function `topo::sta`",
                "did you mean `topo::star`?",
            ),
            ("star(\"a\", []);", "not_found", 1, 1, 4, "there is no function `star`", "did you mean `topo::star`?"),
            (
                "topo::star(\"a\");",
                "not_found",
                1,
                7,
                4,
                "`topo::star` does not take (string)",
                "`topo::star` takes (hub, names)",
            ),
            ("topu::star(\"a\");", "not_found", 1, 1, 10, "there is no module `topu`", "did you mean `topo`?"),
            ("m::f(1);", "not_found", 1, 1, 4, "there is no module `m`", "import it first: import \"…\" as m;"),
            (
                "let f = |x| x; f(2);",
                "not_found",
                1,
                16,
                1,
                "there is no function `f`",
                "`f` is a variable: what it holds is called by `f.call(…)`",
            ),
            (
                "fn f(x) { x } let a = 1; a.f();",
                "not_found",
                1,
                28,
                1,
                "`f` does not take (i64)",
                "call it as a function: f(x)",
            ),
            ("let b = \"x\" - #{};", "not_found", 1, 13, 1, "`-` does not work between a string and a map", ""),
            ("let b = -\"x\";", "not_found", 1, 9, 1, "`-` does not work on a string", ""),
            ("let a = \"x\" in 5;", "not_found", 1, 13, 2, "`in` can't look for a string in an i64", ""),
            (
                "import \"nope\" as n;",
                "not_found",
                1,
                8,
                6,
                "there is no module \"nope\" to import",
                "a file is looked for beside",
            ),
        ]);
    }

    #[test]
    fn variables_that_are_not_there() {
        run(&[
            (
                "let hosts = 1; print(host);",
                "not_found",
                1,
                22,
                4,
                "there is no variable `host`",
                "did you mean `hosts`?",
            ),
            ("a = 1;", "not_found", 1, 1, 1, "there is no variable `a`", "declare it: let a = …;"),
            (
                "print(eth0);",
                "not_found",
                1,
                7,
                4,
                "there is no variable `eth0`",
                "declare it before: let eth0 = …; (a text stands in quotes: \"eth0\")",
            ),
            (
                "let y = 1;\nfn f(x) { x + y }\nf(2);",
                "not_found",
                2,
                15,
                1,
                "there is no variable `y`",
                "a `fn` does not see variables outside it: pass `y` to `f` as an argument, or use a closure",
            ),
            (
                "const Y = 1;\nfn f() { Y }\nf();",
                "not_found",
                2,
                10,
                1,
                "there is no variable `Y`",
                "a `fn` does not see what is outside it: write `global::Y`",
            ),
            (
                "if true { let a = 1; }\nprint(a);",
                "not_found",
                2,
                7,
                1,
                "there is no variable `a`",
                "that of line 1 ends with its block",
            ),
            (
                "print(a);\nlet a = 1;",
                "not_found",
                1,
                7,
                1,
                "there is no variable `a`",
                "it is declared only in line 2",
            ),
            ("print(link_up);", "not_found", 1, 7, 7, "there is no variable `link_up`", "`link_up` is a function"),
            ("let f = || yy; f.call();", "not_found", 1, 12, 2, "there is no variable `yy`", "declare it before"),
            ("print(`a${nope}b`);", "not_found", 1, 11, 4, "there is no variable `nope`", "declare it before"),
            ("global::X;", "not_found", 1, 1, 9, "there is no `global::X`", "`global::` reaches"),
        ]);
    }

    #[test]
    fn what_goes_wrong_while_running() {
        run(&[
            ("throw \"x\";", "script", 1, 1, 5, "x", ""),
            ("throw #{ a: 1 };", "script", 1, 1, 5, "#{\"a\": 1}", ""),
            ("throw;", "script", 1, 1, 5, "the script threw an error", ""),
            ("throw #{ kind: \"mine\", message: \"m\", hint: \"h\" };", "mine", 1, 1, 5, "m", "h"),
            ("let m = #{}; m.x", "not_found", 1, 16, 1, "the map has no key `x`", "ask first"),
            (
                "let l = veth(\"a\", \"b\"); l.nam",
                "not_found",
                1,
                27,
                3,
                "a Link has no property `nam`",
                "did you mean `name`?",
            ),
            (
                "let l = veth(\"a\", \"b\"); l.link_up",
                "not_found",
                1,
                27,
                7,
                "a Link has no property `link_up`",
                "`link_up` is a function: .link_up()",
            ),
            ("let a = (); a.foo", "not_found", 1, 15, 3, "`()` has no property `foo`", "`()` is nothing"),
            ("let a = 1; a[\"x\"]", "type", 1, 14, 3, "an i64 is wanted here, not a string", ""),
            ("[1][7]", "bounds", 1, 5, 1, "the array has no index 7: it has 1 element", ""),
            ("1/0", "arithmetic", 1, 2, 1, "division by zero: 1 / 0", ""),
            ("let q = 5; for x in q {}", "type", 1, 21, 1, "`for` can't go through this value", "it goes through"),
            ("5.call()", "type", 1, 3, 4, "a Fn is wanted here, not an i64", "a closure is written"),
            (
                "fn r(x) { r(x + 1) }\nr(0)",
                "limit",
                2,
                1,
                1,
                "calls are nested more than 32 deep",
                "does a function call itself",
            ),
            (
                "let h = #{};\nh.within(|| h)",
                "data_race",
                2,
                3,
                6,
                "`within` can't be called on an object that its arguments or closure use too",
                "call it as a function: within(h, || …)",
            ),
            (
                "eval(\"nope(1)\")",
                "not_found",
                1,
                1 + 5,
                9,
                "in the text given to `eval`: there is no function `nope`",
                "`nsscript doc`",
            ),
            ("fn f() { this.x }\nf()", "invalid", 1, 10, 4, "`this` is nothing here", "a function has a `this`"),
        ]);
        let mut engine = sample::engine();
        engine.set_max_operations(100);
        let d = fail_with(&engine, "loop { }");
        assert_eq!((d.kind.as_str(), d.message.as_str()), ("limit", "the script took more than 100 operations"));
        engine.on_progress(|n| (n > 5).then(|| "interrupted by SIGINT".into()));
        let d = fail_with(&engine, "loop { }");
        assert_eq!((d.kind.as_str(), d.message.as_str()), ("interrupted", "interrupted by SIGINT"));
    }

    #[test]
    fn what_nsscript_throws_is_taken_apart() {
        let d = fail("let h = 1;\nnetns_del(\"h1\");");
        assert_eq!((d.kind.as_str(), d.errno, d.op.as_str(), d.ns.as_str()), ("busy", 16, "netns_del", "h1"));
        let want = "  error: namespace `h1` is in use
   ,-[main.rhai:2:1]
 2 | netns_del(\"h1\");
   : ^^^^^^^^^
   `----
  kernel: device or resource busy
  help: end what runs in it
";
        assert_eq!(d.render(Style::PLAIN), want);
        let d = fail("system(\"/run/x\");");
        assert_eq!(
            (d.kind.as_str(), d.errno, d.message.as_str()),
            ("not_found", 2, "open `/run/x`: no such file or directory")
        );
    }

    #[test]
    fn the_way_there_is_told() {
        let d = fail("fn g(x) { h(x) }\nfn h(x) { [x].map(|y| adr(y)) }\n\ng(1);");
        let want = "  error: there is no function `adr`
   ,-[main.rhai:2:23]
 2 | fn h(x) { [x].map(|y| adr(y)) }
   :                       ^^^
   `----
  in a closure, called from main.rhai:2:15
  in `h`, called from main.rhai:1:11
  in `g`, called from main.rhai:4:1
  help: did you mean `addr`?
";
        assert_eq!(d.render(Style::PLAIN), want);
        let d = fail("let h = #{};\nwithin(h, || {\n    nope(1);\n});");
        assert_eq!((d.line, d.column), (3, 5));
        assert_eq!(d.chain.len(), 1);
        assert_eq!((d.chain[0].function.as_str(), d.chain[0].line), (Frame::CLOSURE, 2));
    }

    #[test]
    fn an_error_thrown_again_keeps_its_first_place() {
        let d = fail("try {\n    adr(1);\n} catch (e) {\n    throw e;\n}");
        let want = "  error: there is no function `adr`
   ,-[main.rhai:2:5]
 2 |     adr(1);
   :     ^^^
   `----
  thrown again at main.rhai:4:5
  help: did you mean `addr`?
";
        assert_eq!(d.render(Style::PLAIN), want);
        assert_eq!(d.kind, "not_found");
        let d = fail("try { let m = #{}; m.x } catch (e) { throw e; }");
        assert_eq!((d.kind.as_str(), d.message.as_str()), ("not_found", "the map has no key `x`"));
    }

    #[test]
    fn kinds_are_those_of_the_innermost_error() {
        let engine = sample::engine();
        for (text, want) in [
            ("netns_del(\"a\")", "busy"),
            ("fn f() { netns_del(\"a\") } f()", "busy"),
            ("throw \"x\"", "script"),
            ("throw #{ kind: \"mine\" }", "script"),
            ("try { nope() } catch (e) { throw e }", "not_found"),
            ("system(\"a\")", "not_found"),
            ("let a = (); a.b", "not_found"),
        ] {
            let error = engine.eval::<Dynamic>(text).unwrap_err();
            assert_eq!(kind_of(&error), want, "{text}");
        }
        for kind in ["exists", "dad", "unreachable", "assert"] {
            let error = engine.eval::<Dynamic>(&format!("throw #{{ kind: \"{kind}\" }}")).unwrap_err();
            assert_eq!(kind_of(&error), kind);
        }
    }

    #[test]
    fn modules_have_their_own_names_and_texts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("good.rhai", "fn build(n) {\n    adr(n);\n}\nfn each(f) {\n    f.call(1)\n}\n");
        write("bad.rhai", "let a = 1\nlet b = 2;\n");
        write("fails.rhai", "\nthrow \"at load\";\n");
        let engine = sample::engine();
        let main = dir.path().join("main.rhai").display().to_string();
        let run = |text: &str| {
            let mut ast = engine.compile(text).unwrap();
            ast.set_source(main.clone());
            let error = engine.eval_ast::<Dynamic>(&ast).unwrap_err();
            let d = diagnose(&engine, &error, &Sources::new(main.clone(), text));
            d.render(Style { width: 400, ..Style::PLAIN }).replace(&format!("{}/", dir.path().display()), "")
        };
        let want = "  error: there is no function `adr`
   ,-[good.rhai:2:5]
 2 |     adr(n);
   :     ^^^
   `----
  in `build`, called from main.rhai:2:4
  help: did you mean `addr`?
";
        assert_eq!(run("import \"good\" as g;\ng::build(3);"), want);
        let want = "  error: there is no function `nope`
   ,-[main.rhai:2:13]
 2 | g::each(|x| nope(x));
   :             ^^^^
   `----
  in a closure, called from good.rhai:5:7
  in `each`, called from main.rhai:2:4
  help: `nsscript doc` lists the functions that there are
";
        assert_eq!(run("import \"good\" as g;\ng::each(|x| nope(x));"), want);
        let want = "  error: there is no function `nope`
   ,-[main.rhai:2:11]
 2 | fn h(x) { nope(x) }
   :           ^^^^
   `----
  in `h`, called from main.rhai:3:25
  in a closure, called from main.rhai:3:17
  in a closure, called from good.rhai:5:7
  in `each`, called from main.rhai:3:4
  help: `nsscript doc` lists the functions that there are
";
        assert_eq!(run("import \"good\" as g;\nfn h(x) { nope(x) }\ng::each(|x| [x].map(|y| h(y)));"), want);
        let want = "  error: `;` is missing at the end of this statement
   ,-[bad.rhai:1:10]
 1 | let a = 1
   :          ^
   `----
  imported from main.rhai:1:8
";
        assert_eq!(run("import \"bad\" as b;"), want);
        let want = "  error: at load
   ,-[fails.rhai:2:1]
 2 | throw \"at load\";
   : ^^^^^
   `----
  imported from main.rhai:1:8
";
        assert_eq!(run("import \"fails\" as f;"), want);
    }

    #[test]
    fn strict_engines_are_told_the_same() {
        let mut engine = sample::engine();
        engine.set_strict_variables(true);
        let d = fail_with(&engine, "let hosts = 1; print(host);");
        assert_eq!((d.kind.as_str(), d.message.as_str(), d.column), ("syntax", "there is no variable `host`", 22));
        assert_eq!(d.hint.as_deref(), Some("did you mean `hosts`?"));
        let d = fail_with(&engine, "topu::star(1);");
        assert_eq!(
            (d.message.as_str(), d.hint.as_deref()),
            ("there is no module `topu`", Some("did you mean `topo`?"))
        );
    }
}

//! From Rhai's error to a [`Diagnostic`]: the true place, the way there, human words, and what to do about it.
//!
//! Rhai wraps an error once for each call and each module it passes through, and `position()` is that of the outermost
//! call: the place of the mistake is the innermost. It says what it expected in the words of its grammar, and a function
//! that it does not find by the types of the call: here both get the names that the script's author knows.

use super::kind::{UNKNOWN_PROPERTY, caught_kind, key_hint, kind_of};
use super::signatures::{self, Signatures};
use super::tokens::{self, KEYWORDS, Token, What};
use crate::plan::{self, nearest};
use crate::report::{Diagnostic, Frame};
use rhai::{Dynamic, Engine, EvalAltResult, LexError, Map, ParseError, ParseErrorType, Position};
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

/// What a thrown map says beside message and hint.
#[derive(Default)]
struct Thrown {
    kind: Option<String>,
    kernel: Option<String>,
    op: String,
    ns: String,
    target: String,
    errno: i32,
}

impl Thrown {
    fn fill(self, diagnostic: &mut Diagnostic) {
        if let Some(kind) = self.kind {
            diagnostic.kind = kind;
        }
        diagnostic.kernel = self.kernel;
        (diagnostic.op, diagnostic.ns, diagnostic.target) = (self.op, self.ns, self.target);
        diagnostic.errno = self.errno;
    }
}

/// An error in human words.
#[derive(Default)]
struct Found {
    message: String,
    hint: Option<String>,
    /// A better place than Rhai's.
    place: Option<(usize, usize)>,
    /// The place is between two words: nothing to underline.
    caret: bool,
    thrown: Option<Thrown>,
}

impl Found {
    fn new(message: impl Into<String>) -> Found {
        Found { message: message.into(), ..Found::default() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Found {
        self.hint = Some(hint.into());
        self
    }
}

/// The surroundings of the error.
#[derive(Clone, Copy)]
struct Here<'a> {
    engine: &'a Engine,
    tokens: &'a [Token<'a>],
    line: usize,
    column: usize,
}

impl Here<'_> {
    fn token(&self) -> Option<&Token<'_>> {
        tokens::token_at(self.tokens, self.line, self.column)
    }

    fn before(&self) -> Option<&Token<'_>> {
        tokens::token_before(self.tokens, self.line, self.column)
    }

    fn explain(&self, error: &EvalAltResult) -> Found {
        use EvalAltResult as E;
        match error {
            E::ErrorSystem(what, inner) => match inner.downcast_ref::<plan::Error>() {
                Some(error) => Found {
                    message: error.message.clone(),
                    hint: error.hint.clone(),
                    thrown: Some(Thrown {
                        kind: None,
                        kernel: error.kernel.clone(),
                        op: error.op.clone(),
                        ns: error.ns.clone(),
                        target: error.target.clone(),
                        errno: error.errno,
                    }),
                    ..Found::default()
                },
                None if what.is_empty() => Found::new(lower(&inner.to_string())),
                None => Found::new(lower(&format!("{what}: {inner}"))),
            },
            E::ErrorParsing(kind, _) => self.syntax(kind),
            E::ErrorRuntime(value, _) => self.caught(value).unwrap_or_else(|| thrown(value)),
            E::ErrorTerminated(value, _) => match thrown(value) {
                _ if value.is_unit() => Found::new("interrupted"),
                found => found,
            },
            E::ErrorVariableExists(name, _) => {
                Found::new(format!("`{name}` is declared already")).hint("give the second one another name")
            }
            E::ErrorForbiddenVariable(name, _) => {
                Found::new(format!("`{name}` can't be the name of a variable")).hint("choose another name")
            }
            E::ErrorVariableNotFound(name, _) => {
                let mut signatures = Signatures::of_engine(self.engine);
                signatures.add_text(self.tokens);
                let (message, hint) = missing_variable(&signatures, name, self.tokens, (self.line, self.column));
                Found { message, hint, ..Found::default() }
            }
            E::ErrorFunctionNotFound(signature, _) => self.function(signature),
            E::ErrorModuleNotFound(name, _) => self.module(name),
            E::ErrorPropertyNotFound(name, _) => {
                Found::new(format!("the map has no key `{name}`")).hint(key_hint(name))
            }
            E::ErrorIndexNotFound(index, _) => Found::new(format!("there is no index {index}")),
            E::ErrorDotExpr(text, _) => self.property(text),
            E::ErrorIndexingType(text, _) => match text.split_once(" [") {
                Some((kind, index)) => {
                    let index = index.split(']').next().unwrap_or_default();
                    let found = Found::new(format!("{} can't be indexed by {}", a(kind), a(index)));
                    if kind == "()" { found.hint(NOTHING) } else { found }
                }
                None => Found::new(format!("{} can't be indexed", a(text))),
            },
            E::ErrorUnboundThis(_) => Found::new("`this` is nothing here")
                .hint("a function has a `this` only when it is called on an object: object.function()"),
            E::ErrorMismatchDataType(want, got, _) | E::ErrorMismatchOutputType(want, got, _) => mismatch(want, got),
            E::ErrorArrayBounds(count, index, _) => Found::new(bounds("the array", "element", *count, *index)),
            E::ErrorStringBounds(count, index, _) => Found::new(bounds("the string", "character", *count, *index)),
            E::ErrorBitFieldBounds(count, index, _) => Found::new(bounds("the number", "bit", *count, *index)),
            E::ErrorFor(_) => Found::new("`for` can't go through this value")
                .hint("it goes through arrays, ranges (0..5), strings and map.keys()"),
            E::ErrorDataRace(what, _) => self.race(what),
            E::ErrorNonPureMethodCallOnConstant(name, _) => {
                let name = name.rsplit('$').next().unwrap_or(name);
                Found::new(format!("`{name}` would change a constant")).hint("declare it by `let` instead of `const`")
            }
            E::ErrorAssignmentToConstant(name, _) => constant(name),
            E::ErrorArithmetic(text, _) if text.is_empty() => Found::new("arithmetic error"),
            E::ErrorArithmetic(text, _) => Found::new(backticks(&lower(text))),
            E::ErrorTooManyOperations(_) => {
                let limit = self.engine.max_operations();
                Found::new(format!("the script took more than {limit} operations"))
                    .hint("is there a loop without an end?")
            }
            E::ErrorTooManyVariables(_) => Found::new("the script has too many variables"),
            E::ErrorTooManyModules(_) => Found::new("the script imports too many modules"),
            E::ErrorStackOverflow(_) => {
                let limit = self.engine.max_call_levels();
                Found::new(format!("calls are nested more than {limit} deep"))
                    .hint("does a function call itself without an end?")
            }
            E::ErrorDataTooLarge(what, _) => Found::new(format!("{} is too large", lower(what))),
            E::ErrorCustomSyntax(text, words, _) => Found::new(lower(&format!("{text}: {}", words.join(" ")))),
            E::LoopBreak(leave, _, _) => {
                let word = if *leave { "break" } else { "continue" };
                Found::new(format!("`{word}` outside a loop"))
            }
            other => Found::new(lower(&other.to_string())),
        }
    }

    /// An error of Rhai's own that was caught and is thrown again, if it can be told what it was.
    fn caught(&self, value: &Dynamic) -> Option<Found> {
        let map = value.as_map_ref().ok()?;
        // A script may have added a `kind` or a message of its own: then it is the script's error.
        let kind = caught_kind(&map)?;
        let mut found = match text_of(&map, "error")?.as_str() {
            "ErrorFunctionNotFound" => self.function(&text_of(&map, "function")?),
            "ErrorVariableNotFound" => Found::new(format!("there is no variable `{}`", text_of(&map, "variable")?)),
            "ErrorPropertyNotFound" => Found::new(format!("the map has no key `{}`", text_of(&map, "variable")?)),
            "ErrorDotExpr" => self.property(&text_of(&map, "message")?),
            _ => Found::new(backticks(&lower(&text_of(&map, "message")?))),
        };
        found.thrown = Some(Thrown { kind: Some(kind.to_owned()), ..Thrown::default() });
        Some(found)
    }

    /// `addr (map, i64)`, `topo::star (i64)`, `- (map)`.
    fn function(&self, signature: &str) -> Found {
        let signature = signature.replace("&str | ImmutableString | String", "string");
        let (path, types) = signature.split_once(" (").unwrap_or((&signature, ")"));
        let types = types.strip_suffix(')').unwrap_or(types);
        let types: Vec<String> =
            if types.is_empty() { Vec::new() } else { types.split(", ").map(str::to_owned).collect() };
        let in_operator = path == "contains" && self.token().is_some_and(|t| matches!(t.text, "in" | "!"));
        if !path.ends_with(|c: char| c.is_alphanumeric() || c == '_') || in_operator {
            let operator = if in_operator { "in" } else { path };
            let found = match types.as_slice() {
                [left, right] if in_operator => Found::new(format!("`in` can't look for {} in {}", a(right), a(left))),
                [left, right] => Found::new(format!("`{operator}` does not work between {} and {}", a(left), a(right))),
                _ => Found::new(format!("`{operator}` does not work on {}", a(&types.join(", ")))),
            };
            return if types.iter().any(|t| t == "()") { found.hint(NOTHING) } else { found };
        }
        let (namespace, name) = path.rsplit_once("::").unwrap_or(("", path));
        let mut signatures = Signatures::of_engine(self.engine);
        signatures.add_text(self.tokens);
        let call = Call {
            namespace,
            name,
            count: types.len(),
            types: Some(&types),
            method: tokens::is_method_call(self.tokens, self.line, self.column),
        };
        let (message, hint) = missing_function(&signatures, &call, self.tokens);
        Found { message, hint, ..Found::default() }
    }

    fn module(&self, name: &str) -> Found {
        if self.token().is_some_and(|t| t.what == What::Text) || self.before().is_some_and(|t| t.text == "import") {
            return Found::new(format!("there is no module \"{name}\" to import"))
                .hint("a file is looked for beside the script that imports it, and named without its .rhai");
        }
        let (message, hint) = missing_module(&Signatures::of_engine(self.engine), name);
        Found { message, hint, ..Found::default() }
    }

    /// Rhai's words on a property that a type doesn't have.
    fn property(&self, text: &str) -> Found {
        let quoted = quoted(text);
        match quoted.as_slice() {
            [name, kind] if text.starts_with(UNKNOWN_PROPERTY) => {
                let found = Found::new(format!("{} has no property `{name}`", a(kind)));
                let mut signatures = Signatures::of_engine(self.engine);
                if *kind == "()" {
                    return found.hint(NOTHING);
                }
                if let Some(near) = signatures.nearest_property(kind, name) {
                    return found.hint(format!("did you mean `{near}`?"));
                }
                signatures.add_text(self.tokens);
                if signatures.of("", name).iter().any(|s| s.params.len() == 1) {
                    return found.hint(format!("`{name}` is a function: .{name}()"));
                }
                found
            }
            [name, kind, _] => Found::new(format!("property `{name}` of {} can't be set so", a(kind))),
            _ if text.is_empty() => Found::new("this can't stand behind a dot"),
            _ => Found::new(backticks(&lower(text))),
        }
    }

    /// `argument #1 of function 'within'`.
    fn race(&self, what: &str) -> Found {
        let quoted = quoted(what);
        let Some(name) = quoted.first() else {
            return Found::new("a value is used while it is being changed");
        };
        Found {
            message: format!("`{name}` can't be called on an object that its arguments or closure use too"),
            hint: Some(format!("call it as a function: {name}(h, || …)")),
            // Rhai knows no position for this one.
            place: (self.line == 0).then(|| tokens::only_method_call(self.tokens, name)).flatten(),
            ..Found::default()
        }
    }

    /// What the parser stumbled over.
    fn syntax(&self, kind: &ParseErrorType) -> Found {
        use ParseErrorType as P;
        match kind {
            P::BadInput(error) => self.lexical(error),
            P::UnexpectedEOF => self.at_the_end(Found::new("the script ends too early")),
            P::UnknownOperator(operator) => Found::new(format!("there is no operator `{operator}`")),
            P::MissingToken(token, why) => self.missing(token, why),
            P::MissingSymbol(text) | P::MalformedIndexExpr(text) | P::MalformedCapture(text) if !text.is_empty() => {
                Found::new(backticks(&lower(text)))
            }
            P::DuplicatedProperty(name) => Found::new(format!("the map has the key `{name}` twice")),
            P::DuplicatedVariable(name) => Found::new(format!("the name `{name}` is there twice")),
            P::VariableExpected => match self.keyword() {
                Some(word) => Found::new(format!("`{word}` is a word of the language and can't be a name"))
                    .hint("choose another name"),
                None => Found::new("the name of a variable is missing"),
            },
            P::PropertyExpected => match self.keyword() {
                Some(word) => Found::new(format!("`{word}` is a word of the language and can't be a bare key"))
                    .hint(format!("write it in quotes: \"{word}\": …")),
                None => Found::new("the name of a property is missing"),
            },
            P::ForbiddenVariable(name) => {
                Found::new(format!("`{name}` can't be the name of a variable")).hint("choose another name")
            }
            P::Reserved(word) => self.reserved(word),
            P::MismatchedType(want, got) => Found::new(format!("{want} is wanted here, not {got}")),
            P::ExprExpected(what) => self.at_the_end(Found::new(format!("{what} expression is missing"))),
            P::WrongDocComment => Found::new("a doc comment must stand right in front of a function")
                .hint("a plain comment begins with two slashes, not three"),
            P::WrongFnDefinition => Found::new("a function can't be defined inside a block or another function")
                .hint("move it to the top level, or use a closure: let f = |x| …; f.call(1)"),
            P::FnDuplicatedDefinition(name, count) => {
                let params = if *count == 1 { "1 parameter".to_owned() } else { format!("{count} parameters") };
                Found::new(format!("function `{name}` with {params} is defined twice"))
            }
            P::FnMissingName => {
                Found::new("the function's name is missing").hint("a function without a name is a closure: |x| x + 1")
            }
            P::FnMissingParams(name) => Found::new(format!("the parameters of function `{name}` are missing"))
                .hint(format!("fn {name}() {{ … }}")),
            P::FnDuplicatedParam(name, param) if name.is_empty() => {
                Found::new(format!("the closure has the parameter `{param}` twice"))
            }
            P::FnDuplicatedParam(name, param) => {
                Found::new(format!("function `{name}` has the parameter `{param}` twice"))
            }
            P::FnMissingBody(name) if name.is_empty() => Found::new("the closure's body is missing"),
            P::FnMissingBody(name) => Found::new(format!("the body of function `{name}` is missing")),
            P::WrongExport => Found::new("`export` stands at the top level only"),
            P::AssignmentToConstant(name) => constant(name),
            P::AssignmentToInvalidLHS(text) => {
                let found = Found::new("this can't be assigned to");
                match text.split_once("typo of '") {
                    Some((_, word)) => found.hint(format!("did you mean `{}`?", word.trim_end_matches("'?"))),
                    None => found,
                }
            }
            P::VariableExists(name) => Found::new(format!("`{name}` is declared already")),
            P::VariableUndefined(name) => {
                let mut signatures = Signatures::of_engine(self.engine);
                signatures.add_text(self.tokens);
                let (message, hint) = missing_variable(&signatures, name, self.tokens, (self.line, self.column));
                Found { message, hint, ..Found::default() }
            }
            P::ModuleUndefined(name) => {
                let (message, hint) = missing_module(&Signatures::of_engine(self.engine), name);
                Found { message, hint, ..Found::default() }
            }
            P::ExprTooDeep => Found::new("this is nested too deep").hint("put parts of it into variables"),
            P::TooManyFunctions => Found::new("the script defines too many functions"),
            P::LiteralTooLarge(what, limit) => Found::new(format!("{} is over the limit of {limit}", lower(what))),
            P::LoopBreak => Found::new("`break` or `continue` outside a loop"),
            P::WrongSwitchDefaultCase => Found::new("the case `_` must be the last of a `switch`"),
            other => Found::new(backticks(&lower(&other.to_string()))),
        }
    }

    fn lexical(&self, error: &LexError) -> Found {
        match error {
            LexError::UnexpectedInput(text) => Found::new(format!("`{text}` is unexpected here")),
            LexError::UnterminatedString => {
                let found = Found::new("the string is never closed");
                match self.token() {
                    Some(t) if t.what == What::Char => {
                        found.hint("a string stands in double quotes, a character in single ones")
                    }
                    Some(t) if t.text.starts_with('"') => {
                        found.hint("a string of several lines stands in backquotes: `…`")
                    }
                    _ => found,
                }
            }
            LexError::MalformedChar(text) if text.is_empty() => {
                Found::new("the character is missing").hint("single quotes hold one character; an empty string is \"\"")
            }
            LexError::MalformedChar(text) => Found::new(format!("'{text}' is not one character"))
                .hint(format!("single quotes hold one character; a string is written \"{text}\"")),
            LexError::MalformedEscapeSequence(text) => Found::new(format!("`{text}` stands for no character"))
                .hint("a backslash itself is written `\\\\`; in #\"…\"# it needs no care"),
            LexError::MalformedNumber(text) if text.is_empty() => Found::new("the number has no digits"),
            LexError::MalformedNumber(text) => Found::new(format!("`{text}` is no number")),
            LexError::ImproperSymbol(symbol, text) => {
                let found = if symbol == "=" {
                    Found::new("`=` can't stand here")
                } else {
                    Found::new(format!("`{symbol}` is no symbol of the language"))
                };
                let guess = text.split_once("Should it be ").or_else(|| text.split_once("typo of "));
                match guess.and_then(|(_, word)| quoted(word).first().copied()) {
                    Some(word) => found.hint(format!("did you mean `{word}`?")),
                    None if text.starts_with("'!'") => Found::new("`!` can't be used with a module's function"),
                    None => found,
                }
            }
            other => Found::new(backticks(&lower(&other.to_string()))),
        }
    }

    /// The keyword that stands at the place.
    fn keyword(&self) -> Option<&str> {
        self.token().map(|t| t.text).filter(|word| KEYWORDS.contains(word))
    }

    /// A word that Rhai keeps for itself.
    fn reserved(&self, word: &str) -> Found {
        if !signatures::is_word(word) {
            return Found::new(format!("`{word}` is no symbol of the language"));
        }
        let found = Found::new(format!("`{word}` is a reserved word"));
        let next = self.tokens.iter().find(|t| t.at() > (self.line, self.column)).map(|t| t.text);
        let before = self.before().map(|t| t.text);
        match (word, before, next) {
            (_, Some("#{" | ","), Some(":")) => found.hint(format!("as a key it stands in quotes: \"{word}\": …")),
            (_, Some("."), Some("(")) => found.hint("it can't be the name of a function"),
            (_, Some("."), _) => found.hint(format!("as a key it stands in quotes: [\"{word}\"]")),
            ("var" | "static", _, _) => found.hint("a variable is declared by `let`, a constant by `const`"),
            ("null" | "nil" | "void", _, _) => found.hint("nothing is `()`"),
            ("match" | "case", _, _) => found.hint("the choice among cases is `switch x { 1 => …, _ => … }`"),
            _ => found.hint("choose another name"),
        }
    }

    /// `token` is missing; `why` is Rhai's, such as `to terminate this statement`.
    fn missing(&self, token: &str, why: &str) -> Found {
        let found = Found::new(format!("`{token}` is missing {}", purpose(why)));
        let found = match (self.keyword(), token) {
            (_, ";") => match self.before().map(|t| t.text) {
                Some(word @ ("def" | "func" | "function")) => {
                    found.hint(format!("a function is defined by `fn`, not `{word}`"))
                }
                Some(word @ ("elif" | "elsif" | "elseif")) => found.hint(format!("`{word}` is written `else if`")),
                _ => found,
            },
            (Some(word), "}") if why.contains("object map") => {
                Found::new(format!("`{word}` is a word of the language and can't be a bare key"))
                    .hint(format!("write it in quotes: \"{word}\": …"))
            }
            _ => found,
        };
        if self.token().is_none() {
            return self.at_the_end(found);
        }
        match self.before() {
            // What is missing belongs behind the last word, not in front of the one that Rhai met on a later line.
            Some(last) if found.hint.is_none() && last.end.0 < self.line => {
                Found { place: Some(last.end), caret: true, ..found }
            }
            _ => found,
        }
    }

    /// For a text that ends too early: names what was left open.
    fn at_the_end(&self, mut found: Found) -> Found {
        if self.token().is_some() {
            return found;
        }
        if let Some(open) = tokens::unclosed(self.tokens) {
            found.hint = Some(format!("the `{}` of line {} is never closed", open.text, open.line));
        }
        if let Some(last) = self.before() {
            (found.place, found.caret) = (Some(last.end), true);
        }
        found
    }
}

/// Rhai's words on what the missing symbol is for, shorter.
fn purpose(why: &str) -> String {
    let table = [
        ("for a matching ( in this expression", "to close this expression"),
        ("for a matching [ in this index expression", "to close this index"),
        ("to terminate this ", "at the end of this "),
        ("to end this ", "at the end of this "),
        ("to separate the ", "between the "),
        ("to close the arguments list of this function call", "to close the call of"),
        ("arguments to function call", "arguments of"),
        ("object map literal", "map"),
        ("array literal", "array"),
    ];
    let text = table.iter().fold(why.to_owned(), |text, (from, to)| text.replace(from, to));
    backticks(&text)
}

const NOTHING: &str = "`()` is nothing: what a function gives that gives no value, or an `if` that was not taken";

/// A call that finds no function.
pub(super) struct Call<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// Arguments, with the object of a call in method style.
    pub count: usize,
    /// Their types, where the script has run.
    pub types: Option<&'a [String]>,
    /// Written `object.name(…)`.
    pub method: bool,
}

/// Message and hint for a function that does not exist, or not with these arguments.
pub(super) fn missing_function(
    signatures: &Signatures,
    call: &Call<'_>,
    tokens: &[Token<'_>],
) -> (String, Option<String>) {
    let Call { namespace, name, count, types, method } = *call;
    let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") };
    let forms = signatures.of(namespace, name);
    if forms.is_empty() && namespace.is_empty() && signatures::BUILT_IN.contains(&name) {
        // Part of the language, and registered nowhere.
        let takes = types.map_or_else(|| plural(count, "argument"), |types| format!("({})", types.join(", ")));
        return (format!("`{name}` does not take {takes}"), None);
    }
    if forms.is_empty() {
        let message = format!("there is no function `{full}`");
        // A call in method style looks the closure up in the object, not among the variables.
        let held = namespace.is_empty() && !method && tokens::variables(tokens).iter().any(|v| v.name == name);
        let hint = if held {
            let arguments = if count == 0 { "" } else { "…" };
            Some(format!("`{name}` is a variable: what it holds is called by `{name}.call({arguments})`"))
        } else {
            signatures.nearest(namespace, name).map(|near| format!("did you mean `{near}`?"))
        };
        return (message, hint);
    }
    let message = match types {
        Some(types) => format!("`{full}` does not take ({})", types.join(", ")),
        // The object in front of the dot is not what its writer counts.
        None => format!("`{full}` does not take {}", plural(count - usize::from(method), "argument")),
    };
    let in_script = |s: &&signatures::Signature| s.script && s.params.len() == count;
    if method && namespace.is_empty() && forms.iter().any(in_script) {
        let hint = format!(
            "call it as a function: {name}({}); a script's own function that is called on an object gets it as `this`",
            if count == 1 { "x" } else { "x, …" }
        );
        return (message, Some(hint));
    }
    let mut hint = format!("`{full}` takes {}", signatures::forms(&forms));
    if let Some(types) = types {
        let culprits: Vec<(usize, &str, &str)> = forms
            .iter()
            .filter(|s| s.params.len() == types.len())
            .filter_map(|s| {
                let mut wrong = s.params.iter().zip(types).enumerate().filter_map(|(index, (param, got))| {
                    let want = param.kind.as_deref()?;
                    (want != got).then_some((index, param.name.as_deref().unwrap_or_default(), want))
                });
                let first = wrong.next()?;
                wrong.next().is_none().then_some(first)
            })
            .collect();
        if let [(index, label, want)] = culprits.as_slice()
            && let Some(got) = types.get(*index)
        {
            let label = if label.is_empty() { format!("argument {}", index + 1) } else { format!("`{label}`") };
            hint.push_str(&format!("; {label} must be {}, not {}", a(want), a(got)));
        }
        if types.iter().any(|t| t == "char") {
            hint.push_str("; 'x' is a character, a string is \"x\"");
        }
        if types.iter().any(|t| t == "()") {
            hint.push_str("; ");
            hint.push_str(NOTHING);
        }
    } else if method {
        hint.push_str("; what stands in front of the dot is the first");
    }
    (message, Some(hint))
}

/// Message and hint for a variable that does not exist where it is used.
pub(super) fn missing_variable(
    signatures: &Signatures,
    name: &str,
    tokens: &[Token<'_>],
    at: (usize, usize),
) -> (String, Option<String>) {
    if let Some((module, variable)) = name.rsplit_once("::") {
        let hint = match module {
            "global" => format!("`global::` reaches the constants of the script's top level: const {variable} = …;"),
            _ => format!("a module gives away what it exports: export const {variable} = …;"),
        };
        return (format!("there is no `{name}`"), Some(hint));
    }
    let message = format!("there is no variable `{name}`");
    let declared = tokens::variables(tokens);
    let functions = tokens::functions(tokens);
    let around = functions.iter().find(|f| f.from <= at && at < f.to);
    let is_inside =
        |v: &&tokens::Variable<'_>| around.is_none_or(|f| f.from <= (v.line, v.column) && (v.line, v.column) < f.to);
    let same: Vec<_> = declared.iter().filter(|v| v.name == name).collect();
    if let Some(function) = around
        && let Some(outside) = same.iter().find(|v| !is_inside(v) && !functions.iter().any(|f| f.holds(v)))
    {
        let hint = if outside.constant {
            format!("a `fn` does not see what is outside it: write `global::{name}`")
        } else {
            let function = function.name;
            format!(
                "a `fn` does not see variables outside it: pass `{name}` to `{function}` as an argument, or use a closure"
            )
        };
        return (message, Some(hint));
    }
    let seen: Vec<_> = same.iter().filter(|v| is_inside(v)).collect();
    if let Some(later) = seen.first().filter(|v| (v.line, v.column) > at) {
        return (message, Some(format!("it is declared only in line {}", later.line)));
    }
    if let Some(ended) = seen.last() {
        let hint = format!("that of line {} ends with its block: declare it before the block", ended.line);
        return (message, Some(hint));
    }
    if !signatures.of("", name).is_empty() {
        return (message, Some(format!("`{name}` is a function: {name}(…); as a value it is Fn(\"{name}\")")));
    }
    let candidates = declared.iter().filter(is_inside).map(|v| v.name);
    let hint = match nearest(name, candidates) {
        Some(near) => format!("did you mean `{near}`?"),
        None if tokens::token_at(tokens, at.0, at.1).is_some() && is_statement_start(tokens, at) => {
            format!("declare it: let {name} = …;")
        }
        None => format!("declare it before: let {name} = …; (a text stands in quotes: \"{name}\")"),
    };
    (message, Some(hint))
}

/// Whether the word at the place is the first of a statement `name = …`.
fn is_statement_start(tokens: &[Token<'_>], at: (usize, usize)) -> bool {
    let mut rest = tokens.iter().skip_while(|t| t.at() != at).skip(1);
    rest.next().is_some_and(|t| t.text == "=") && rest.next().is_some_and(|t| t.text != "=")
}

impl tokens::Function<'_> {
    fn holds(&self, variable: &tokens::Variable<'_>) -> bool {
        let at = (variable.line, variable.column);
        self.from <= at && at < self.to
    }
}

/// Message and hint for `name::…` where there is no module of that name.
pub(super) fn missing_module(signatures: &Signatures, name: &str) -> (String, Option<String>) {
    let root = name.split("::").next().unwrap_or(name);
    let hint = match nearest(root, signatures.namespaces().into_iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("import it first: import \"…\" as {root};"),
    };
    (format!("there is no module `{name}`"), Some(hint))
}

/// What `throw` threw.
fn thrown(value: &Dynamic) -> Found {
    let Ok(map) = value.as_map_ref() else {
        let text = value.to_string();
        return Found::new(if value.is_unit() || text.is_empty() {
            "the script threw an error".to_owned()
        } else {
            text
        });
    };
    let message = text_of(&map, "message");
    let is_error = message.is_some();
    let kind = text_of(&map, "kind").or_else(|| caught_kind(&map).map(str::to_owned));
    let errno = map.get("errno").and_then(|n| n.as_int().ok()).and_then(|n| i32::try_from(n).ok());
    Found {
        // A map that is no error is shown as it is.
        message: message.unwrap_or_else(|| value.to_string()),
        hint: text_of(&map, "hint"),
        thrown: is_error.then(|| Thrown {
            kind,
            kernel: text_of(&map, "kernel"),
            op: text_of(&map, "op").unwrap_or_default(),
            ns: text_of(&map, "ns").unwrap_or_default(),
            target: text_of(&map, "target").unwrap_or_default(),
            errno: errno.unwrap_or_default(),
        }),
        ..Found::default()
    }
}

fn constant(name: &str) -> Found {
    let found = if name.is_empty() {
        Found::new("a constant can't be assigned to")
    } else {
        Found::new(format!("`{name}` is a constant"))
    };
    found.hint("what changes is declared by `let`")
}

fn mismatch(want: &str, got: &str) -> Found {
    let found = match (want, got) {
        ("", got) => Found::new(format!("{} can't be used here", a(got))),
        (want, "") => Found::new(format!("{} is wanted here", a(want))),
        (want, got) => Found::new(format!("{} is wanted here, not {}", a(want), a(got))),
    };
    match (want, got) {
        (_, "()") => found.hint(NOTHING),
        ("string", "char") => found.hint("'x' is a character, a string is \"x\""),
        ("Fn", _) => found.hint("a closure is written |x| …, a function as a value Fn(\"name\")"),
        _ => found,
    }
}

fn bounds(what: &str, part: &str, count: usize, index: i64) -> String {
    format!("{what} has no index {index}: it has {}", plural(count, part))
}

fn plural(count: usize, one: &str) -> String {
    match count {
        0 => format!("no {one}s"),
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// A type with its article: `a string`, `an array`, `()`.
fn a(kind: &str) -> String {
    match kind.chars().next() {
        None => String::new(),
        Some('(') => format!("`{kind}`"),
        // `i64` is spoken with a vowel, and so is `f64`.
        Some(c) if "aeioAEIO".contains(c) || kind == "f64" => format!("an {kind}"),
        Some(_) => format!("a {kind}"),
    }
}

/// The first letter in lower case, unless the first word is all capitals.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(_), Some(second)) if second.is_uppercase() => text.to_owned(),
        (Some(first), _) => first.to_lowercase().chain(chars).collect(),
        _ => String::new(),
    }
}

/// What stands in single quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}

/// `'x'` as `` `x` ``, the way names are marked here.
fn backticks(text: &str) -> String {
    if text.matches('\'').count().is_multiple_of(2) { text.replace('\'', "`") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::Style;

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
            ("frobnicate();", "not_found", 1, 1, 10, "there is no function `frobnicate`", ""),
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
                "",
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
  help: did you mean `none`?
";
        let want = want.replace("  help: did you mean `none`?\n", "");
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

//! What an error of Rhai's says, in words that the script's author knows, and what to do about it: from the error and
//! the words of the script around it.

use super::diagnose::text_of;
use super::kind::{UNKNOWN_PROPERTY, caught_kind, key_hint};
use super::signatures::{self, Signatures};
use super::tokens::{self, KEYWORDS, Token, What};
use crate::plan::{self, nearest};
use crate::report::Diagnostic;
use rhai::{Dynamic, Engine, EvalAltResult, LexError, ParseErrorType};

/// What a thrown map says beside message and hint.
#[derive(Default)]
pub(super) struct Thrown {
    kind: Option<String>,
    kernel: Option<String>,
    op: String,
    ns: String,
    target: String,
    errno: i32,
}

impl Thrown {
    pub(super) fn fill(self, diagnostic: &mut Diagnostic) {
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
pub(super) struct Found {
    pub message: String,
    pub hint: Option<String>,
    /// A better place than Rhai's.
    pub place: Option<(usize, usize)>,
    /// The place is between two words: nothing to underline.
    pub caret: bool,
    pub thrown: Option<Thrown>,
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
pub(super) struct Here<'a> {
    pub engine: &'a Engine,
    pub tokens: &'a [Token<'a>],
    pub line: usize,
    pub column: usize,
}

impl Here<'_> {
    fn token(&self) -> Option<&Token<'_>> {
        tokens::token_at(self.tokens, self.line, self.column)
    }

    fn before(&self) -> Option<&Token<'_>> {
        tokens::token_before(self.tokens, self.line, self.column)
    }

    pub(super) fn explain(&self, error: &EvalAltResult) -> Found {
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
            let near = signatures.nearest(namespace, name).map(|near| format!("did you mean `{near}`?"));
            Some(near.unwrap_or_else(|| "`nsscript doc` lists the functions that there are".into()))
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

//! `nsscript check FILE`: what can be known to be wrong without running the script.
//!
//! Reports what is certain and nothing else: text that does not parse, imports that are not there, functions that do not
//! exist or take another number of arguments, modules and variables that are declared nowhere. Types are known only when
//! the script runs. A script with `eval` may declare variables that its text does not show: there they are not checked.

use super::diagnose::{Sources, diagnose, place_of};
use super::explain::{Call, missing_function, missing_module, missing_variable};
use super::signatures::{BUILT_IN, Signatures, is_anonymous, is_word};
use super::tokens::{self, Token};
use crate::report::{Diagnostic, Frame};
use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, FnCallExpr, FnPtr, Map, Position, Scope, Stmt};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Checks the script `name` with its `text`, and the scripts it imports; in the order of their places.
///
/// `globals` are variables that will be there when it runs. Nothing is run, and no module is loaded: imported scripts
/// are read from beside the importing one, or come from the engine's module resolver by its `resolve_ast`. A resolver
/// without that (for modules made in Rust) is taken at its word: what comes from it is not checked.
///
/// An empty answer means that nothing wrong was found, not that nothing is wrong.
#[must_use]
pub fn check(engine: &Engine, name: &str, text: &str, globals: &[&str]) -> Vec<Diagnostic> {
    let mut checker = Checker {
        engine,
        globals,
        registered: Signatures::of_engine(engine),
        scripts: Vec::new(),
        names: BTreeMap::new(),
        members: Members::default(),
        found: Vec::new(),
    };
    checker.load(name, text, &[]);
    for script in &checker.scripts {
        checker.members.collect(&script.ast);
    }
    for index in 0..checker.scripts.len() {
        let found = checker.script(index);
        checker.found.extend(found);
    }
    let mut found = checker.found;
    // The main script first; a closure's captured variable is seen twice, in it and around it.
    found.sort_by(|a, b| {
        let key = |d: &Diagnostic| (d.file.as_deref() != Some(name), d.file.clone(), d.line, d.column);
        key(a).cmp(&key(b))
    });
    found.dedup_by(|a, b| (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message));
    found
}

/// A script that parses.
struct Script {
    name: String,
    /// Empty where the resolver gave only the AST.
    text: Arc<str>,
    ast: AST,
    /// How it came to be imported, innermost first.
    chain: Vec<Frame>,
    /// What `alias::` reaches; more than one where an alias is used for several modules.
    imports: BTreeMap<String, Vec<Import>>,
}

/// What an `import` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Import {
    /// A script, by its index.
    Script(usize),
    /// A module that can't be looked into, or one whose name is computed.
    Opaque,
    /// It is not there or does not parse, which has been reported.
    Broken,
}

struct Checker<'a> {
    engine: &'a Engine,
    globals: &'a [&'a str],
    registered: Signatures,
    scripts: Vec<Script>,
    /// Of every script that was begun: its index, or none while it is being read or does not parse.
    names: BTreeMap<String, Option<usize>>,
    members: Members,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    /// Parses a script and what it imports.
    fn load(&mut self, name: &str, text: &str, chain: &[Frame]) -> Import {
        if let Some(known) = self.names.get(name) {
            // Two scripts that import each other: fine to check, and for the run to complain about.
            return known.map_or(Import::Broken, Import::Script);
        }
        let text = tokens::without_shebang(text);
        self.names.insert(name.to_owned(), None);
        let mut scope = Scope::new();
        for global in self.globals {
            scope.push(*global, ());
        }
        match self.engine.compile_with_scope(&scope, &text) {
            Ok(ast) => self.add(name, text.into(), ast, chain),
            Err(error) => {
                let error = EvalAltResult::ErrorParsing(error.err_type().clone(), error.position());
                let mut diagnostic = diagnose(self.engine, &error, &Sources::new(name, text));
                diagnostic.chain = chain.to_vec();
                self.found.push(diagnostic);
                Import::Broken
            }
        }
    }

    fn add(&mut self, name: &str, text: Arc<str>, ast: AST, chain: &[Frame]) -> Import {
        let mut literal = Vec::new();
        let mut imports: BTreeMap<String, Vec<Import>> = BTreeMap::new();
        ast.walk(&mut |path| {
            if let Some(ASTNode::Stmt(Stmt::Import(import, _))) = path.last() {
                let alias = import.1.name.to_string();
                match &import.0 {
                    Expr::StringConstant(path, position) => literal.push((path.to_string(), *position, alias)),
                    _ => imports.entry(alias).or_default().push(Import::Opaque),
                }
            }
            true
        });
        let index = self.scripts.len();
        self.names.insert(name.to_owned(), Some(index));
        let script = Script { name: name.to_owned(), text, ast, chain: chain.to_vec(), imports: BTreeMap::new() };
        self.scripts.push(script);
        for (path, position, alias) in literal {
            let import = self.import(index, &path, position);
            imports.entry(alias).or_default().push(import);
        }
        if let Some(script) = self.scripts.get_mut(index) {
            script.imports = imports;
        }
        Import::Script(index)
    }

    /// Finds and parses what `import "path"` names.
    fn import(&mut self, from: usize, path: &str, position: Position) -> Import {
        let Some(importer) = self.scripts.get(from) else { return Import::Opaque };
        let (line, column) = place_of(position);
        let frame = Frame { function: Frame::IMPORT.to_owned(), file: Some(importer.name.clone()), line, column };
        let mut chain = vec![frame];
        chain.extend(importer.chain.iter().cloned());

        let local = file_beside(&importer.name, path);
        if let Some((name, text)) = &local {
            // First, since Rhai's collection of resolvers panics on a module that does not parse.
            let import = self.load(name, text, &chain);
            if import == Import::Broken {
                return import;
            }
        }
        let (engine, source) = (self.engine, self.scripts.get(from).map(|s| s.name.clone()));
        let resolve = || engine.module_resolver().resolve_ast(engine, source.as_deref(), path, position);
        let resolved = catch_unwind(AssertUnwindSafe(resolve)).unwrap_or(None);
        match (resolved, local) {
            // The resolver and we found the same file: ours has a text to show.
            (Some(Ok(ast)), Some((name, _))) if self.is_same(&ast, &name) => {
                self.names.get(&name).copied().flatten().map_or(Import::Broken, Import::Script)
            }
            (Some(Ok(ast)), _) => {
                let name = ast.source().unwrap_or(path).to_owned();
                match self.names.get(&name) {
                    Some(known) => known.map_or(Import::Broken, Import::Script),
                    None => self.add(&name, "".into(), ast, &chain),
                }
            }
            (_, Some((name, _))) => self.names.get(&name).copied().flatten().map_or(Import::Broken, Import::Script),
            (Some(Err(error)), None) => {
                let sources = self.scripts.get(from).map(|s| Sources::new(s.name.clone(), Arc::clone(&s.text)));
                let mut diagnostic = diagnose(self.engine, &error, &sources.unwrap_or_default());
                diagnostic.chain.extend(chain.into_iter().skip(1));
                self.found.push(diagnostic);
                Import::Broken
            }
            (None, None) => Import::Opaque,
        }
    }

    /// Whether a script that we read defines what the resolver's does.
    fn is_same(&self, ast: &AST, name: &str) -> bool {
        let functions = |ast: &AST| {
            let mut all: Vec<_> = ast.iter_functions().map(|f| (f.name.to_owned(), f.params.len())).collect();
            all.sort();
            all
        };
        let ours = self.names.get(name).copied().flatten().and_then(|index| self.scripts.get(index));
        ours.is_some_and(|script| functions(&script.ast) == functions(ast))
    }

    /// All findings in one script.
    fn script(&self, index: usize) -> Vec<Diagnostic> {
        let Some(script) = self.scripts.get(index) else { return Vec::new() };
        let tokens = tokens::tokens(&script.text);
        let mut signatures = self.registered.clone();
        signatures.add_ast("", &script.ast);
        if index > 0 {
            // A module's functions are looked up among those of the scripts around it, too.
            for other in self.scripts.iter().filter(|other| other.name != script.name) {
                signatures.add_ast("", &other.ast);
            }
        }
        for (alias, imports) in &script.imports {
            for import in imports {
                if let Import::Script(module) = import
                    && let Some(module) = self.scripts.get(*module)
                {
                    signatures.add_ast(alias, &module.ast);
                }
            }
        }
        let file = File { checker: self, script, tokens: &tokens, signatures, variables: Variables::of(&tokens) };
        let mut found = Vec::new();
        let mut evaluates = script.text.is_empty();
        script.ast.walk(&mut |path| {
            let calls = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => call,
                _ => return true,
            };
            // `f!(x)` lets `f` see the caller's variables.
            evaluates |= matches!(calls.name.as_str(), "eval" | "is_def_var") || calls.capture_parent_scope;
            true
        });
        script.ast.walk(&mut |path| {
            found.extend(match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position))) => {
                    file.call(call, *position)
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, position))) => file.method(call, *position),
                Some(ASTNode::Expr(Expr::Variable(variable, _, position))) if variable.2.is_empty() => {
                    if evaluates {
                        None
                    } else {
                        file.variable(&variable.1, *position)
                    }
                }
                Some(ASTNode::Expr(Expr::Variable(variable, ..))) => file.module(&variable.2),
                _ => None,
            });
            true
        });
        found
    }

    /// Whether the engine itself knows a variable: a constant of a registered module, or one that its resolver of
    /// variables makes up. A bare name does nothing when it is evaluated.
    fn engine_has(&self, name: &str) -> bool {
        let result = self.engine.eval_expression::<Dynamic>(name).map_err(|error| *error);
        !matches!(
            result,
            Err(EvalAltResult::ErrorVariableNotFound(..)
                | EvalAltResult::ErrorParsing(rhai::ParseErrorType::VariableUndefined(_), _))
        )
    }

    /// Whether the engine knows a module, which may hold constants only.
    fn engine_has_module(&self, root: &str) -> bool {
        let result = self.engine.eval_expression::<Dynamic>(&format!("{root}::a")).map_err(|error| *error);
        !matches!(
            result,
            Err(EvalAltResult::ErrorModuleNotFound(..)
                | EvalAltResult::ErrorParsing(rhai::ParseErrorType::ModuleUndefined(_), _))
        )
    }
}

/// The file that an `import` in the script `from` means: Rhai's own rule.
fn file_beside(from: &str, path: &str) -> Option<(String, String)> {
    let mut file = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
    file.set_extension("rhai");
    if super::modules::is_standard(path) && file == Path::new(from) {
        return None;
    }
    let text = if file.is_file() { std::fs::read_to_string(&file).ok()? } else { return None };
    Some((file.display().to_string(), text))
}

/// One script with what is known of it.
struct File<'a> {
    checker: &'a Checker<'a>,
    script: &'a Script,
    tokens: &'a [Token<'a>],
    signatures: Signatures,
    variables: Variables<'a>,
}

impl File<'_> {
    fn diagnostic(&self, position: Position, (message, hint): (String, Option<String>)) -> Diagnostic {
        let (line, column) = place_of(position);
        let has_text = !self.script.text.is_empty();
        Diagnostic {
            hint,
            file: Some(self.script.name.clone()),
            source: has_text.then(|| Arc::clone(&self.script.text)),
            line,
            column,
            len: tokens::length_at(self.tokens, line, column),
            chain: self.script.chain.clone(),
            ..Diagnostic::new("not_found", message)
        }
    }

    /// `name(…)` or `module::name(…)`.
    fn call(&self, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
        let (name, count) = (call.name.as_str(), call.args.len());
        if call.is_operator_call() || !is_word(name) {
            return None;
        }
        let namespace = call.namespace.to_string();
        if namespace.is_empty() {
            if BUILT_IN.contains(&name) || is_anonymous(name) {
                return None;
            }
        } else if let Some(found) = self.module(&call.namespace) {
            return Some(found);
        } else if !self.is_open(&call.namespace) {
            return None;
        }
        let forms = self.signatures.of(&namespace, name);
        if forms.iter().any(|form| form.params.len() == count) {
            return None;
        }
        let call = Call { namespace: &namespace, name, count, types: None, method: false };
        Some(self.diagnostic(position, missing_function(&self.signatures, &call, self.tokens)))
    }

    /// `object.name(…)`.
    fn method(&self, call: &FnCallExpr, position: Position) -> Option<Diagnostic> {
        let (name, count) = (call.name.as_str(), call.args.len());
        if BUILT_IN.contains(&name) || !is_word(name) || self.checker.members.may_hold(name) || self.is_any_unknown() {
            return None;
        }
        // A native function counts the object, and a script's gets it as `this`.
        let fits = |form: &&super::signatures::Signature| {
            form.params.len() == count + usize::from(!form.script)
                // One of a module that Rhai may call by its name alone counts as native there.
                || (form.script && !form.namespace.is_empty() && form.params.len() == count + 1)
        };
        if self.signatures.of("", name).iter().any(fits) {
            return None;
        }
        let call = Call { namespace: "", name, count: count + 1, types: None, method: true };
        Some(self.diagnostic(position, missing_function(&self.signatures, &call, self.tokens)))
    }

    /// The root of `module::…`, where there is none.
    fn module(&self, namespace: &rhai::Namespace) -> Option<Diagnostic> {
        let root = namespace.root();
        let known = root == "global"
            || self.is_imported(root)
            || self.signatures.has_namespace(root)
            || self.checker.engine_has_module(root);
        (!known).then(|| self.diagnostic(namespace.position(), missing_module(&self.signatures, root)))
    }

    /// Whether all functions of a module are known.
    fn is_open(&self, namespace: &rhai::Namespace) -> bool {
        let root = namespace.root();
        if self.is_imported(root) {
            // What a module imports itself can be reached through it; that is left alone.
            let imports = self.script.imports.get(root).map(Vec::as_slice).unwrap_or_default();
            return namespace.path.len() == 1 && matches!(imports, [Import::Script(_)]);
        }
        self.signatures.has_namespace(&namespace.to_string())
    }

    /// By this script, or by one that it is a module of, whose imports a function may reach.
    fn is_imported(&self, alias: &str) -> bool {
        self.script.imports.contains_key(alias)
            || (self.script.name != self.checker.main() && self.checker.any_imports(alias))
    }

    fn is_any_unknown(&self) -> bool {
        self.checker.scripts.iter().flat_map(|s| s.imports.values().flatten()).any(|i| !matches!(i, Import::Script(_)))
    }

    fn variable(&self, name: &str, position: Position) -> Option<Diagnostic> {
        let (line, column) = place_of(position);
        let known = self.variables.may_see(name, (line, column))
            || self.checker.globals.contains(&name)
            // A script's function is a value by its name.
            || self.script.ast.iter_functions().any(|f| f.name == name)
            || self.checker.engine_has(name);
        if known {
            return None;
        }
        let words = missing_variable(&self.signatures, name, self.tokens, (line, column));
        Some(self.diagnostic(position, words))
    }
}

impl Checker<'_> {
    fn main(&self) -> &str {
        self.scripts.first().map_or("", |s| s.name.as_str())
    }

    fn any_imports(&self, alias: &str) -> bool {
        self.scripts.iter().any(|s| s.imports.contains_key(alias))
    }
}

/// The variables that a script's text declares: by function, since a function sees no others.
struct Variables<'a> {
    declared: Vec<tokens::Variable<'a>>,
    functions: Vec<tokens::Function<'a>>,
}

impl<'a> Variables<'a> {
    fn of(tokens: &[Token<'a>]) -> Self {
        Variables { declared: tokens::variables(tokens), functions: tokens::functions(tokens) }
    }

    /// The function (by its place) around a place.
    fn around(&self, at: (usize, usize)) -> Option<(usize, usize)> {
        self.functions.iter().find(|f| f.from <= at && at < f.to).map(|f| f.from)
    }

    /// Whether `name` is declared anywhere in the function that the place is in, or anywhere outside functions: before
    /// or after, in this block or another. Less would be to know Rhai's rules better than Rhai does.
    fn may_see(&self, name: &str, at: (usize, usize)) -> bool {
        let around = self.around(at);
        self.declared.iter().any(|v| v.name == name && self.around((v.line, v.column)) == around)
    }
}

/// What maps may hold by name: `object.name(…)` calls a closure in a map as well as a function.
#[derive(Default)]
struct Members {
    names: BTreeSet<String>,
    /// A closure may have been put under a name that is computed.
    any: bool,
}

impl Members {
    fn may_hold(&self, name: &str) -> bool {
        self.any || self.names.contains(name)
    }

    /// Every text and every key of a script could be such a name.
    fn collect(&mut self, ast: &AST) {
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(expr)) => self.expression(expr),
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                    let target = &assignment.1;
                    self.any |= has_computed_index(&target.lhs) && may_be_closure(&target.rhs);
                }
                _ => {}
            }
            true
        });
    }

    fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::Map(map, _) => {
                self.names.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
                self.names.extend(map.1.keys().map(ToString::to_string));
            }
            Expr::StringConstant(text, _) => {
                self.names.insert(text.to_string());
            }
            Expr::Property(property, _) => {
                self.names.insert(property.2.to_string());
            }
            Expr::DynamicConstant(value, _) => self.value(value),
            // map.set(key, closure)
            Expr::MethodCall(call, _) if call.name == "set" && call.args.len() == 2 => {
                let computed = !matches!(call.args.first(), Some(Expr::StringConstant(..) | Expr::IntegerConstant(..)));
                self.any |= computed && call.args.last().is_some_and(may_be_closure);
            }
            _ => {}
        }
    }

    fn value(&mut self, value: &Dynamic) {
        if let Some(map) = value.read_lock::<Map>() {
            for (key, value) in map.iter() {
                self.names.insert(key.to_string());
                self.value(value);
            }
        } else if let Some(array) = value.read_lock::<rhai::Array>() {
            array.iter().for_each(|value| self.value(value));
        } else if value.is_string() {
            self.names.insert(value.to_string());
        }
    }
}

fn has_computed_index(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut Vec::new(), &mut |path| {
        if let Some(ASTNode::Expr(Expr::Index(index, ..))) = path.last() {
            // A chain `a[i].b` holds the index first and the rest behind it.
            let first = match &index.rhs {
                Expr::Index(rest, ..) | Expr::Dot(rest, ..) => &rest.lhs,
                index => index,
            };
            found |= !matches!(first, Expr::StringConstant(..) | Expr::IntegerConstant(..));
        }
        true
    });
    found
}

fn may_be_closure(expr: &Expr) -> bool {
    match expr {
        Expr::Stmt(_) | Expr::Variable(..) | Expr::Index(..) | Expr::Dot(..) => true,
        Expr::DynamicConstant(value, _) => value.is::<FnPtr>(),
        Expr::FnCall(call, _) => matches!(call.name.as_str(), "Fn" | "curry"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::Style;

    fn found(text: &str) -> Vec<String> {
        check(&sample::engine(), "main.rhai", text, &["args"]).iter().map(Diagnostic::plain).collect()
    }

    #[test]
    fn what_is_certainly_wrong_is_found() {
        let table: [(&str, &[&str]); 22] = [
            ("let a = 1\nlet b = 2;", &["main.rhai:1:10: error: `;` is missing at the end of this statement"]),
            ("adr(1);", &["main.rhai:1:1: error: there is no function `adr`"]),
            ("addr(1);", &["main.rhai:1:1: error: `addr` does not take 1 argument"]),
            ("if false {} else { let x = 1; x.adr(2); }", &["main.rhai:1:33: error: there is no function `adr`"]),
            ("let x = 1; x.addr();", &["main.rhai:1:14: error: `addr` does not take no arguments"]),
            ("fn f(a) { adr(a) }", &["main.rhai:1:11: error: there is no function `adr`"]),
            ("fn f(a) { a } f(1, 2);", &["main.rhai:1:15: error: `f` does not take 2 arguments"]),
            ("fn f(a) { a } let x = 1; x.f();", &["main.rhai:1:28: error: `f` does not take no arguments"]),
            ("let f = |x| adr(x);", &["main.rhai:1:13: error: there is no function `adr`"]),
            ("let f = |x| x; f(1);", &["main.rhai:1:16: error: there is no function `f`"]),
            ("topo::star(1);", &["main.rhai:1:7: error: `topo::star` does not take 1 argument"]),
            ("topo::ring([]);", &["main.rhai:1:7: error: there is no function `topo::ring`"]),
            ("topu::ring([]);", &["main.rhai:1:1: error: there is no module `topu`"]),
            ("print(x);", &["main.rhai:1:7: error: there is no variable `x`"]),
            ("let hosts = []; for h in host { print(h); }", &["main.rhai:1:26: error: there is no variable `host`"]),
            ("let y = 1; fn f(x) { x + y }", &["main.rhai:1:26: error: there is no variable `y`"]),
            ("const Y = 1; fn f(x) { x + Y }", &["main.rhai:1:28: error: there is no variable `Y`"]),
            ("let f = || { nope + 1 };", &["main.rhai:1:14: error: there is no variable `nope`"]),
            ("let f = || || nope;", &["main.rhai:1:15: error: there is no variable `nope`"]),
            ("print(`${nope}`);", &["main.rhai:1:10: error: there is no variable `nope`"]),
            (
                "import \"no_such_file\" as n; n::f();",
                &["main.rhai:1:8: error: there is no module \"no_such_file\" to import"],
            ),
            (
                "foo(\n  bar(baz));",
                &[
                    "main.rhai:1:1: error: there is no function `foo`",
                    "main.rhai:2:3: error: there is no function `bar`",
                    "main.rhai:2:7: error: there is no variable `baz`",
                ],
            ),
        ];
        for (text, want) in table {
            assert_eq!(found(text), want, "{text}");
        }
    }

    #[test]
    fn honest_scripts_are_left_alone() {
        let scripts = [
            "#!/usr/bin/env nsscript\nlet a = 1; print(a + 1); debug(a);",
            "print(args); print(LIMIT); limits::LIMIT; print(type_of(1) == \"i64\");",
            "let a = [1, 2]; a.push(3); a.map(|x| x * 2).filter(|x| x > 2).for_each(|x| print(x)); a.len(); a.len;",
            "let a = [3, 1]; a.sort(|x, y| x - y); let b = a.map(|x, i| x + i); let s = a.reduce(|s, v| s + v, 0); b; s;",
            "let m = #{ run: |x| x + 1 }; m.run(2); let n = #{}; n.go2 = || 1; n.go2(); n[\"up\"] = || 2; n.up();",
            "let m = #{}; let k = \"x\"; m[k] = || 1; m.x(); m.anything(1, 2);",
            "let m = #{}; m.set(\"later\", || 1); m.later();",
            "fn f() { this + 1 } let x = 1; x.f(); fn g(a) { this + a } x.g(2);",
            "fn f(a) { g(a) } fn g(a) { if a > 0 { f(a - 1) } } f(3);",
            "fn f(x) { x } let p = f; p.call(1); let q = Fn(\"f\"); q.call(2); call(q, 3); let c = curry(q, 1); c.call();",
            "let q = Fn(\"veth\").curry(\"a\"); q.call(\"b\");",
            "let x = 5; x += 1; x = -x; let y = !true || x in 0..9; let s = `a${x}b${`c${x}`}`; s += \"x\"; y;",
            "const C = 1; fn f() { global::C } f(); print(C);",
            "try { throw 1; } catch (e) { print(e); } try { throw 2 } catch { }",
            "for (v, i) in [1, 2] { print(v + i); } for j in 0..3 { if j == 1 { continue; } break; }",
            "switch 5 { 1 => print(1), 3 if args == () => print(3), 2..5 => print(2), _ => () }",
            "let x = if true { let t = 1; t } else { 2 }; let y = { let t = 2; t }; do { x += y; } while x < 9;",
            "let c = 0; let inc = || { c += 1; c }; inc.call(); let nest = || { let d = 1; || d + c }; nest.call().call();",
            "eval(\"let z = 1;\"); print(z);",
            "fn f(x) { x + y } let y = 1; f!(2);",
            "if is_def_var(\"w\") { print(w); } is_def_fn(\"f\", 1);",
            "let l = veth(\"a\", \"b\"); l.addr(\"10.0.0.1/8\"); l.addr(\"10.0.0.1/8\", #{}); l.link_up(); l.name; addr(l, \"x\");",
            "topo::star(\"a\", []); topo::chain([\"a\"]);",
            "let t = timestamp(); t.elapsed; let p = parse_int(\"1\"); p.abs(); PI(); sin(1.0); \"a\".len(); \"a\".contains(\"b\");",
            "let a = [1]; let v = a?.foo; let w = a?[0]; let z = v ?? w; z; a[0] = 2; a[0] += 1; a[-1];",
            "export const X = 1; export let y = 2; let z = 3; export z as zz;",
            "let f = |x, y| { let z = x + y; return z; }; f.call(1, 2); loop { break 5; }",
            "private fn hidden(x) { x } hidden(1); fn i64.twice() { this * 2 } let n = 2; n.twice();",
            "let x = 1; let x = \"shadow\"; x.len(); { let x = []; x.push(1); }",
            "fn f(ns) { within(ns, || { link_up(ns); let q = 1; q }) } f(#{});",
            "",
        ];
        for text in scripts {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    /// What is reported must fail when it is run, and with the same words: the check knows no more than the engine.
    #[test]
    fn the_run_agrees() {
        use super::super::diagnose::diagnose;
        let engine = sample::engine();
        for text in [
            "adr(1);",
            "let f = |x| x; f(1);",
            "topu::ring([]);",
            "topo::ring([]);",
            "print(x);",
            "const Y = 1; fn f(x) { x + Y } f(1);",
            "let y = 1; fn f(x) { x + y } f(1);",
            "let hosts = []; for h in host { print(h); }",
            "let f = || { nope + 1 }; f.call();",
            "let f = || || nope; f.call();",
            "let x = 1; x.adr(2);",
        ] {
            let checked = check(&engine, "main.rhai", text, &[]);
            let mut ast = engine.compile(text).unwrap();
            ast.set_source("main.rhai");
            let error = engine.eval_ast::<Dynamic>(&ast).unwrap_err();
            let ran = diagnose(&engine, &error, &Sources::new("main.rhai", text));
            let [checked] = checked.as_slice() else { panic!("{text}: {checked:?}") };
            assert_eq!(checked.plain(), ran.plain(), "{text}");
            assert_eq!((checked.len, &checked.hint, &checked.kind), (ran.len, &ran.hint, &ran.kind), "{text}");
        }
    }

    #[test]
    fn imported_scripts_are_checked_too() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir(dir.path().join("lib")).unwrap();
        write(
            "lib/good.rhai",
            "import \"other\" as o;\nfn build(n) { o::each(n); inner(n) }\nprivate fn inner(n) { n }\nexport const N = 1;",
        );
        write("lib/other.rhai", "import \"good\" as g;\nfn each(n) { adr(n) }\nfn back(n) { g::build(n) }");
        write("bad.rhai", "let a = ;");
        let engine = sample::engine();
        let main = dir.path().join("main.rhai").display().to_string();
        let run = |text: &str| -> Vec<String> {
            let all = check(&engine, &main, text, &[]);
            all.iter().map(|d| d.plain().replace(&format!("{}/", dir.path().display()), "")).collect()
        };
        let other = "lib/other.rhai:2:14: error: there is no function `adr`";
        assert_eq!(run("import \"lib/good\" as g; g::build(1); print(g::N);"), [other]);
        let want = ["main.rhai:1:28: error: there is no function `g::biuld`", other];
        assert_eq!(run("import \"lib/good\" as g; g::biuld(1);"), want);
        let want = ["main.rhai:1:28: error: `g::build` does not take 2 arguments", other];
        assert_eq!(run("import \"lib/good\" as g; g::build(1, 2);"), want);
        let want = ["main.rhai:1:28: error: there is no function `g::inner`", other];
        assert_eq!(run("import \"lib/good\" as g; g::inner(1);"), want);
        assert_eq!(run("import \"bad\" as b; b::f(1); b::X;").len(), 1);
        let shown = check(&engine, &main, "\nimport \"bad\" as b;", &[]);
        let shown = shown[0].render(Style { width: 400, ..Style::PLAIN });
        let shown = shown.replace(&format!("{}/", dir.path().display()), "");
        assert!(shown.starts_with("  error: ") && shown.contains("[bad.rhai:1:9]"), "{shown}");
        assert!(shown.contains("  imported from main.rhai:2:8\n"), "{shown}");
        // An import whose name is computed can't be looked into.
        assert_eq!(run("let p = \"x\"; import p as q; q::f(1); q::X; let m = #{}; m.f2(1);"), Vec::<String>::new());
    }

    #[test]
    fn a_resolver_of_the_engines_own_is_asked() {
        use rhai::module_resolvers::{FileModuleResolver, ModuleResolversCollection, StaticModuleResolver};
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lib.rhai"), "fn f(x) { adr(x) }").unwrap();
        std::fs::write(dir.path().join("bad.rhai"), "let = ;").unwrap();
        let mut engine = sample::engine();
        let mut all = ModuleResolversCollection::new();
        all.push(FileModuleResolver::new_with_path(dir.path()));
        let mut fixed = StaticModuleResolver::new();
        fixed.insert("native", rhai::Module::new());
        all.push(fixed);
        engine.set_module_resolver(all);
        let run =
            |text: &str| -> Vec<String> { check(&engine, "-e", text, &[]).iter().map(Diagnostic::plain).collect() };
        let want = ["-e:1:27: error: there is no function `l::g`", "lib:1:11: error: there is no function `adr`"];
        assert_eq!(run("import \"lib\" as l; l::f(1); l::g(1);").len(), 2);
        assert_eq!(run("import \"lib\" as l;     l::g(1);"), want);
        assert_eq!(run("import \"native\" as n; n::anything();"), Vec::<String>::new());
        // Rhai's collection panics on this one; it must not take the check with it.
        assert_eq!(run("import \"bad\" as b;"), Vec::<String>::new());
    }

    #[test]
    fn a_strict_engine_names_the_first() {
        let mut engine = sample::engine();
        engine.set_strict_variables(true);
        let all = check(&engine, "main.rhai", "print(args); print(x); print(y);", &["args"]);
        assert_eq!(
            all.iter().map(Diagnostic::plain).collect::<Vec<_>>(),
            ["main.rhai:1:20: error: there is no variable `x`"]
        );
    }
}

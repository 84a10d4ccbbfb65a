//! Where `import "topology" as topo;` looks: beside the importing script, in the directories of `NSSCRIPT_PATH`, and
//! in the standard library that is part of the program.

use rhai::{AST, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// The standard library: name and text.
pub const STDLIB: &[(&str, &str)] = &[
    ("assert", include_str!("../../stdlib/assert.rhai")),
    ("lesson", include_str!("../../stdlib/lesson.rhai")),
    ("topology", include_str!("../../stdlib/topology.rhai")),
];

/// Whether the standard library has a module of this name.
#[must_use]
pub fn is_standard(name: &str) -> bool {
    STDLIB.iter().any(|(known, _)| *known == name)
}

/// The texts of the modules that were loaded, for diagnostics.
pub type Texts = Rc<RefCell<Vec<(String, Arc<str>)>>>;

/// The resolver.
pub struct Modules {
    texts: Texts,
    /// By the file's path or the standard library's name.
    loaded: RefCell<HashMap<String, Shared<Module>>>,
    /// Being loaded now: an import of one of these would never end.
    loading: RefCell<Vec<String>>,
    path: Vec<PathBuf>,
}

type Failure = Box<EvalAltResult>;

impl Modules {
    /// `path` is the value of `NSSCRIPT_PATH`, directories with `:` between them.
    #[must_use]
    pub fn new(path: Option<&str>, texts: Texts) -> Modules {
        let path = path.unwrap_or_default().split(':').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
        Modules { texts, loaded: RefCell::default(), loading: RefCell::default(), path }
    }

    /// The name (a path, or `<std>/topology`) and the text of a module.
    fn find(&self, source: Option<&str>, name: &str, pos: Position) -> Result<(String, String), Failure> {
        let file = if Path::new(name).extension().is_some_and(|e| e == "rhai") {
            PathBuf::from(name)
        } else {
            PathBuf::from(format!("{name}.rhai"))
        };
        let beside = source.and_then(|s| Path::new(s).parent()).unwrap_or(Path::new(""));
        let mut tried = vec![beside.join(&file)];
        // A script that is called as a module of the standard library means that one, not itself.
        if is_standard(name) && source.is_some_and(|s| Path::new(s) == tried[0]) {
            tried.clear();
        }
        tried.extend(self.path.iter().map(|dir| dir.join(&file)));
        for candidate in &tried {
            match std::fs::read_to_string(candidate) {
                Ok(text) => return Ok((candidate.to_string_lossy().into_owned(), text)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {}
                Err(e) => {
                    let message = format!("{}: {e}", candidate.display());
                    return Err(EvalAltResult::ErrorInModule(
                        name.into(),
                        EvalAltResult::ErrorRuntime(message.into(), pos).into(),
                        pos,
                    )
                    .into());
                }
            }
        }
        match STDLIB.iter().find(|(known, _)| *known == name) {
            Some((known, text)) => Ok((format!("<std>/{known}.rhai"), (*text).to_string())),
            None => Err(EvalAltResult::ErrorModuleNotFound(name.into(), pos).into()),
        }
    }

    fn compile(&self, engine: &Engine, name: &str, path: &str, text: &str, pos: Position) -> Result<AST, Failure> {
        let text = super::host::blank_shebang(text);
        self.texts.borrow_mut().push((path.to_string(), Arc::from(text.as_str())));
        let mut ast = engine.compile(super::tokens::with_conversions(&text)).map_err(|e| {
            let inner = EvalAltResult::ErrorParsing(*e.0, e.1);
            Box::new(EvalAltResult::ErrorInModule(name.into(), inner.into(), pos))
        })?;
        ast.set_source(path);
        Ok(ast)
    }
}

impl ModuleResolver for Modules {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        name: &str,
        pos: Position,
    ) -> Result<Shared<Module>, Failure> {
        let (path, text) = self.find(source, name, pos)?;
        if let Some(module) = self.loaded.borrow().get(&path) {
            return Ok(Shared::clone(module));
        }
        if self.loading.borrow().contains(&path) {
            let message = format!("module `{name}` imports itself, by {}", self.loading.borrow().join(" → "));
            return Err(EvalAltResult::ErrorRuntime(message.into(), pos).into());
        }
        let ast = self.compile(engine, name, &path, &text, pos)?;
        self.loading.borrow_mut().push(path.clone());
        let made = Module::eval_ast_as_new(Scope::new(), &ast, engine);
        self.loading.borrow_mut().pop();
        let module = made.map_err(|e| Box::new(EvalAltResult::ErrorInModule(name.into(), e, pos)))?;
        let module = Shared::new(module);
        self.loaded.borrow_mut().insert(path, Shared::clone(&module));
        Ok(module)
    }

    fn resolve_ast(
        &self,
        engine: &Engine,
        source: Option<&str>,
        name: &str,
        pos: Position,
    ) -> Option<Result<AST, Failure>> {
        Some(self.find(source, name, pos).and_then(|(path, text)| self.compile(engine, name, &path, &text, pos)))
    }
}

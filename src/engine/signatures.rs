//! What functions there are, by name: collected from the engine when an error message or a check asks for it.

use super::tokens::{self, Token};
use crate::plan::nearest;
use rhai::{Engine, FnAccess, FnNamespace};
use std::collections::BTreeSet;

/// Functions that are built into the language and take what they take.
pub(super) const BUILT_IN: [&str; 10] =
    ["Fn", "call", "curry", "eval", "type_of", "is_shared", "is_def_var", "is_def_fn", "print", "debug"];

/// One form of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The module it is called through, `topo` or `a::b`; empty for a function that is called by its name alone.
    pub namespace: String,
    pub name: String,
    pub params: Vec<Param>,
    /// Written in the script: a call in method style does not count its object.
    pub script: bool,
    /// A function of a module that may also be called by its name alone.
    pub global: bool,
}

/// A parameter, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub name: Option<String>,
    /// As `type_of` says it (`string`, `i64`, `map`); none where anything goes.
    pub kind: Option<String>,
}

impl Param {
    fn label(&self) -> &str {
        self.name.as_deref().or(self.kind.as_deref()).unwrap_or("_")
    }

    /// Named as the house names its map of options.
    fn is_options(&self) -> bool {
        matches!(self.name.as_deref(), Some("options" | "opts"))
    }
}

/// All functions that are known at a place.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    all: Vec<Signature>,
}

impl Signatures {
    /// What is registered with the engine, standard packages and static modules included.
    pub fn of_engine(engine: &Engine) -> Signatures {
        let all = engine.collect_fn_metadata(
            None,
            |info| {
                let meta = info.metadata;
                let infos = meta.params_info.iter().map(|text| param(engine, text));
                let unknown = std::iter::repeat_with(|| Param { name: None, kind: None });
                Some(Signature {
                    namespace: info.namespace.to_string(),
                    name: meta.name.to_string(),
                    params: infos.chain(unknown).take(meta.num_params).collect(),
                    script: info.script.is_some(),
                    global: meta.namespace == FnNamespace::Global,
                })
            },
            true,
        );
        Signatures { all }
    }

    /// And what a script's text defines.
    pub(super) fn add_text(&mut self, text: &[Token<'_>]) {
        for function in tokens::functions(text) {
            self.all.push(Signature::script("", function.name, &function.params));
        }
    }

    /// And what a compiled script defines, under a module's name (or none). A module gives away no private functions.
    pub(super) fn add_ast(&mut self, namespace: &str, ast: &rhai::AST) {
        for function in ast.iter_functions() {
            let hidden = !namespace.is_empty() && function.access == FnAccess::Private;
            if !hidden && !is_anonymous(function.name) {
                self.all.push(Signature::script(namespace, function.name, &function.params));
            }
        }
    }

    /// All forms of a function.
    pub(super) fn of(&self, namespace: &str, name: &str) -> Vec<&Signature> {
        self.all.iter().filter(|s| s.name == name && s.is_in(namespace)).collect()
    }

    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        self.all.iter().any(|s| s.namespace == namespace)
    }

    /// The modules that can be called through without an import.
    pub(super) fn namespaces(&self) -> BTreeSet<&str> {
        self.all.iter().map(|s| s.namespace.as_str()).filter(|n| !n.is_empty()).collect()
    }

    /// The function whose name is nearest to `name`, as it is written: with its module.
    pub(super) fn nearest(&self, namespace: &str, name: &str) -> Option<String> {
        let full = |namespace: &str, name: &str| {
            if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
        };
        // The right name in another place is nearer than any other name.
        if let Some(elsewhere) = self.all.iter().find(|s| s.name == name && !s.is_in(namespace)) {
            return Some(full(&elsewhere.namespace, name));
        }
        let names = self.all.iter().filter(|s| s.is_in(namespace)).map(|s| s.name.as_str());
        nearest(name, names.filter(|n| is_word(n))).map(|found| full(namespace, found))
    }

    /// The property of `kind` (a type as `type_of` says it) whose name is nearest to `name`.
    pub(super) fn nearest_property(&self, kind: &str, name: &str) -> Option<&str> {
        let getters = self.all.iter().filter_map(|s| {
            let property = s.name.strip_prefix("get$")?;
            let of = s.params.first()?.kind.as_deref();
            (of.is_none() || of == Some(kind)).then_some(property)
        });
        nearest(name, getters)
    }
}

impl Signature {
    fn script(namespace: &str, name: &str, params: &[&str]) -> Signature {
        Signature {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            params: params.iter().map(|p| Param { name: Some((*p).to_owned()), kind: None }).collect(),
            script: true,
            global: false,
        }
    }

    fn is_in(&self, namespace: &str) -> bool {
        self.namespace == namespace || (namespace.is_empty() && self.global)
    }

    fn labels(&self) -> Vec<&str> {
        self.params.iter().map(Param::label).collect()
    }
}

/// `dev: &mut Link`, `_: i64`, `cidr` …
fn param(engine: &Engine, text: &str) -> Param {
    let (name, kind) = match text.split_once(':') {
        // `rhai::Map` is a type and not the name `rhai`.
        Some((name, kind)) if !kind.starts_with(':') => (name.trim(), kind.trim()),
        Some(_) => ("_", text.trim()),
        None => (text.trim(), ""),
    };
    let name = (!matches!(name, "" | "_" | "?")).then(|| name.trim_start_matches('_').to_owned());
    let kind = kind.trim_start_matches('&').trim_start_matches("mut ").trim();
    let kind = match kind.strip_prefix("rhai::").unwrap_or(kind) {
        "" | "_" | "?" | "Dynamic" => None,
        "INT" => Some("i64".to_owned()),
        "FLOAT" => Some("f64".to_owned()),
        "str" | "String" | "ImmutableString" => Some("string".to_owned()),
        other => Some(engine.map_type_name(other).to_owned()),
    };
    Param { name, kind }
}

/// A closure's name, which Rhai makes up.
pub fn is_anonymous(name: &str) -> bool {
    name.starts_with("anon$")
}

/// A name that a script can write: no operator, getter or closure.
pub fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// What forms there are: `(dev, cidr) or (ns, dev, cidr), each with options last`.
pub(super) fn forms(signatures: &[&Signature]) -> String {
    const SHOWN: usize = 5;
    let mut all: Vec<Vec<&str>> = Vec::new();
    let mut with_options: Vec<Vec<&str>> = Vec::new();
    for signature in signatures {
        let mut labels = signature.labels();
        let list = if signature.params.last().is_some_and(Param::is_options) {
            labels.pop();
            &mut with_options
        } else {
            &mut all
        };
        if !list.contains(&labels) {
            list.push(labels);
        }
    }
    all.sort_by_key(|labels| (labels.len(), labels.concat()));
    let each = !with_options.is_empty() && all.iter().all(|labels| with_options.contains(labels));
    let each = each && with_options.iter().all(|labels| all.contains(labels));
    let mut shown: Vec<String> = all
        .iter()
        .map(|labels| {
            let list = labels.join(", ");
            match !each && with_options.contains(labels) {
                true if list.is_empty() => "([options])".to_owned(),
                true => format!("({list}[, options])"),
                false => format!("({list})"),
            }
        })
        .collect();
    for labels in with_options.iter().filter(|labels| !all.contains(labels)) {
        let list: Vec<&str> = labels.iter().copied().chain(["options"]).collect();
        shown.push(format!("({})", list.join(", ")));
    }
    let more = shown.len() > SHOWN;
    shown.truncate(SHOWN);
    let mut text = match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() && !more => format!("{} or {last}", rest.join(", ")),
        _ => shown.join(", "),
    };
    if more {
        text.push_str(" …");
    } else if each {
        text.push_str(if all.len() == 1 { ", with options last" } else { ", each with options last" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(params: &str) -> Signature {
        let params: Vec<_> = params.split(' ').filter(|p| !p.is_empty()).collect();
        Signature::script("", "f", &params)
    }

    #[test]
    fn forms_are_short() {
        let table: [(&[&str], &str); 7] = [
            (&["dev cidr", "ns dev cidr"], "(dev, cidr) or (ns, dev, cidr)"),
            (
                &["dev cidr options", "dev cidr", "ns dev cidr", "ns dev cidr options"],
                "(dev, cidr) or (ns, dev, cidr), each with options last",
            ),
            (&["name", "name options"], "(name), with options last"),
            (&["a", "b c", "b c options"], "(a) or (b, c[, options])"),
            (&["", "options"], "(), with options last"),
            (&["ns options"], "(ns, options)"),
            (&["a", "b", "c", "d", "e", "g"], "(a), (b), (c), (d), (e) …"),
        ];
        for (signatures, want) in table {
            let signatures: Vec<_> = signatures.iter().map(|s| signature(s)).collect();
            assert_eq!(forms(&signatures.iter().collect::<Vec<_>>()), want);
        }
    }

    #[test]
    fn parameters_are_read_from_metadata() {
        let engine = Engine::new();
        let table = [
            ("dev: &mut Link", Some("dev"), Some("Link")),
            ("_: i64", None, Some("i64")),
            ("options: rhai::Map", Some("options"), Some("map")),
            ("cidr: &str", Some("cidr"), Some("string")),
            ("x: Dynamic", Some("x"), None),
            ("rhai::Array", None, Some("array")),
            ("a", Some("a"), None),
        ];
        for (text, name, kind) in table {
            let found = param(&engine, text);
            assert_eq!((found.name.as_deref(), found.kind.as_deref()), (name, kind), "{text}");
        }
    }
}

//! The reference: what the functions' own doc comments say, collected from the engine's metadata. `nsscript doc`, the
//! reference page, `:help` and completion all read it from here.

use super::signatures::is_word;
use crate::plan::nearest;
use crate::report::Style;
use crate::report::diagnostic::wrap;
use rhai::{Engine, FnAccess, Module};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that a script can call, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// Sorted by name; the modules of the standard library, which need an `import`, last.
    pub families: Vec<Family>,
}

/// The functions of one room of `src/builtins`, or of one module of the standard library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Family {
    /// `netns`, `addr` …; of the standard library what is imported: `topology`.
    pub name: String,
    /// What it is about, a few words; may be empty.
    pub title: String,
    /// Whether its functions need `import "name" as name;`.
    pub import: bool,
    /// Sorted by name.
    pub entries: Vec<Entry>,
}

/// A function with all its forms, or a property.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// As it is written: `netns_add`, `ns.name` (a property of a handle), `topology::star` (of an imported module).
    pub name: String,
    /// `netns_add(name)`, `netns_add(name, options)`; shortest first.
    pub signatures: Vec<String>,
    /// The doc comment without its examples, as Markdown.
    pub text: String,
    /// Rhai code.
    pub examples: Vec<String>,
}

/// What the families are about.
const TITLES: &[(&str, &str)] = &[
    ("addr", "addresses of links"),
    ("bridge", "tables of bridges: VLANs, forwarding entries, multicast groups; the wait for their ports"),
    ("etc", "files of a namespace's own under /etc"),
    ("exec", "running programs"),
    ("file", "reading and writing files"),
    ("flow", "what steers a script"),
    ("ip", "the commands of iproute2"),
    ("link", "making and setting links"),
    ("monitor", "watching the kernel"),
    ("neigh", "neighbours"),
    ("netns", "namespaces"),
    ("ping", "echo requests, and waiting for ports"),
    ("route", "routes"),
    ("rule", "rules of policy routing"),
    ("nexthop", "nexthop objects"),
    ("nft", "packet filters and NAT"),
    ("subnet", "subnets and the addresses in them"),
    ("sysctl", "sysctls of a namespace"),
    ("tc", "queues: qdiscs, classes, filters"),
];

/// The name of the family of Rhai's own functions, see [`standard`].
pub const RHAI: &str = "rhai";

impl Reference {
    /// Collects from the modules that are registered with the engine, whose ids are the families' names, and from the
    /// modules of the standard library, as (name, text).
    #[must_use]
    pub fn of(modules: impl IntoIterator<Item = Module>, stdlib: &[(&str, &str)]) -> Reference {
        let mut native: BTreeMap<String, Forms> = BTreeMap::new();
        for module in modules {
            let family = module.id().unwrap_or_default().to_owned();
            let mut engine = Engine::new_raw();
            engine.register_global_module(module.into());
            native.entry(family).or_default().add_engine(&engine, false);
        }
        let mut families: Vec<Family> = native
            .into_iter()
            .map(|(name, forms)| {
                let title = TITLES.iter().find(|(n, _)| *n == name).map_or("", |(_, t)| t);
                Family { title: title.to_owned(), import: false, entries: forms.entries(""), name }
            })
            .collect();
        let mut imported: Vec<Family> = stdlib.iter().filter_map(|(name, text)| of_script(name, text)).collect();
        imported.sort_by(|a, b| a.name.cmp(&b.name));
        families.append(&mut imported);
        families.retain(|f| !f.entries.is_empty());
        Reference { families }
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.families.iter().flat_map(|f| &f.entries)
    }

    /// The entries that `name` means: by their whole name, or by its last part (`name` for `ns.name` and `link.name`,
    /// `star` for `topology::star`).
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<&Entry> {
        let name = name.trim_end_matches("()");
        let exact: Vec<&Entry> = self.entries().filter(|e| e.name == name).collect();
        if !exact.is_empty() {
            return exact;
        }
        self.entries().filter(|e| e.short() == name).collect()
    }

    /// The family of a name.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|f| f.name == name)
    }

    /// The known name that is nearest to `name`.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let whole = self.entries().map(|e| e.name.as_str());
        nearest(name, whole.chain(self.entries().map(Entry::short)))
    }

    /// The whole reference as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::from(
            "# Reference\n\n<!-- Generated by `nsscript doc --markdown` from the functions' own comments: change those. -->\n\n\
             All functions that a script can call. `nsscript doc NAME` shows one of them in the terminal.\n\n",
        );
        for family in &self.families {
            let names: Vec<String> =
                family.entries.iter().map(|e| format!("[`{0}`](#{1})", e.name, anchor(&e.name))).collect();
            let _ = writeln!(out, "- {}: {}", family.heading(), names.join(", "));
        }
        for family in &self.families {
            let _ = writeln!(out, "\n## {}", family.heading());
            if family.import {
                let _ = writeln!(out, "\n```rhai\nimport \"{0}\" as {0};\n```", family.name);
            }
            for entry in &family.entries {
                let _ = writeln!(out, "\n### {}\n\n```rhai\n{}\n```", entry.name, entry.signatures.join("\n"));
                if !entry.text.is_empty() {
                    let _ = writeln!(out, "\n{}", entry.text);
                }
                for example in &entry.examples {
                    let _ = writeln!(out, "\nExample:\n\n```rhai\n{example}\n```");
                }
            }
        }
        out
    }
}

impl Family {
    /// `netns: namespaces`.
    #[must_use]
    pub fn heading(&self) -> String {
        if self.title.is_empty() { self.name.clone() } else { format!("{}: {}", self.name, self.title) }
    }
}

impl Entry {
    /// The name without what stands before it: `name` of `ns.name`.
    #[must_use]
    pub fn short(&self) -> &str {
        self.name.rsplit("::").next().and_then(|n| n.rsplit('.').next()).unwrap_or(&self.name)
    }

    /// Its forms, its text, its examples, as text for a terminal.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let mut out = String::new();
        for signature in &self.signatures {
            let rest = signature.strip_prefix(&self.name).unwrap_or_default();
            let _ = writeln!(out, "{}{rest}", style.paint("1", &self.name));
        }
        for paragraph in self.text.split("\n\n").filter(|p| !p.is_empty()) {
            out.push('\n');
            // Lists and tables keep their lines.
            let kept = paragraph.lines().any(|l| l.starts_with(['-', '*', '|']) || l.starts_with("  "));
            let lines = if kept {
                paragraph.lines().map(str::to_owned).collect()
            } else {
                wrap(&paragraph.replace('\n', " "), style.width.min(100).saturating_sub(2))
            };
            for line in lines {
                let _ = writeln!(out, "  {line}");
            }
        }
        for example in &self.examples {
            out.push_str("\n  Example:\n");
            for line in example.lines() {
                let line = format!("    {}", style.paint("36", line));
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
        out
    }

    /// The first sentence of the text, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let line = self.text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let mut code = false;
        let mut previous = ' ';
        for (at, c) in line.char_indices() {
            match c {
                '`' => code = !code,
                ' ' if previous == '.' && !code => return line[..at].trim_end_matches('.').to_owned(),
                _ => {}
            }
            previous = c;
        }
        line.trim_end_matches(['.', ':']).to_owned()
    }
}

/// As GitHub makes anchors of headings.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect()
}

/// The functions of the language itself (`len`, `push`, `split` …) that have a doc comment: not part of the reference,
/// but to be looked up.
#[must_use]
pub fn standard() -> Reference {
    let mut forms = Forms::default();
    forms.add_engine(&Engine::new(), true);
    let mut entries = forms.entries("");
    entries.retain(|e| !e.text.is_empty());
    let title = "functions of the language itself".to_owned();
    Reference { families: vec![Family { name: RHAI.to_owned(), title, import: false, entries }] }
}

/// The forms of functions, by name: (signature, comment) each.
#[derive(Default)]
struct Forms(BTreeMap<String, Vec<(String, String)>>);

impl Forms {
    fn add_engine(&mut self, engine: &Engine, packages: bool) {
        let all = engine.collect_fn_metadata(
            None,
            |info| {
                let meta = info.metadata;
                let params: Vec<String> = meta
                    .params_info
                    .iter()
                    .map(|p| p.split(':').next().unwrap_or_default().trim().to_owned())
                    .collect();
                Some((meta.name.to_string(), params, meta.num_params, comment(&meta.comments)))
            },
            packages,
        );
        for (name, mut params, count, text) in all {
            params.resize(count, String::new());
            for param in &mut params {
                *param = match param.trim_start_matches('_') {
                    "" | "?" => "value".to_owned(),
                    name => name.to_owned(),
                };
            }
            if let Some(property) = name.strip_prefix("get$") {
                let of = params.first().map_or("value", String::as_str);
                let full = format!("{of}.{property}");
                self.0.entry(full.clone()).or_default().push((full, text));
            } else if is_word(&name) && !matches!(name.as_str(), "to_string" | "to_debug") {
                let signature = format!("{name}({})", params.join(", "));
                self.0.entry(name).or_default().push((signature, text));
            }
        }
    }

    fn entries(self, prefix: &str) -> Vec<Entry> {
        let entry = |(name, mut forms): (String, Vec<(String, String)>)| {
            forms.sort_by_key(|(signature, _)| (signature.matches(", ").count(), signature.clone()));
            let mut entry = Entry { name: format!("{prefix}{name}"), ..Entry::default() };
            let mut texts: Vec<String> = Vec::new();
            for (signature, text) in forms {
                let signature = format!("{prefix}{signature}");
                if !entry.signatures.contains(&signature) {
                    entry.signatures.push(signature);
                }
                let (text, examples) = split(&text);
                if !text.is_empty() && !texts.contains(&text) {
                    texts.push(text);
                    entry.examples.extend(examples);
                }
            }
            entry.text = texts.join("\n\n");
            entry
        };
        self.0.into_iter().map(entry).collect()
    }
}

/// A module of the standard library; `None` where it can't be parsed, which its own tests notice.
fn of_script(name: &str, text: &str) -> Option<Family> {
    let ast = Engine::new().compile(text).ok()?;
    let mut forms = Forms::default();
    for function in ast.iter_functions() {
        if function.access == FnAccess::Private || !is_word(function.name) {
            continue;
        }
        let signature = format!("{}({})", function.name, function.params.join(", "));
        let entry = forms.0.entry(function.name.to_owned()).or_default();
        entry.push((signature, comment(&function.comments)));
    }
    // The head of the file: `//!` lines, of which the first sentence is the title.
    let head: Vec<&str> = text.lines().map_while(|l| l.strip_prefix("//!")).map(str::trim).collect();
    let title = Entry { text: head.join("\n"), ..Entry::default() }.summary();
    Some(Family { name: name.to_owned(), title, import: true, entries: forms.entries(&format!("{name}::")) })
}

/// The lines of a doc comment without their marks.
fn comment<S: AsRef<str>>(comments: &[S]) -> String {
    let mut lines = Vec::new();
    for line in comments.iter().flat_map(|c| c.as_ref().lines()) {
        let line = line.trim_start();
        let line = line.strip_prefix("///").unwrap_or(line);
        lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
    lines.join("\n")
}

/// The text, and the code blocks in it.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut rest, mut examples) = (Vec::new(), Vec::new());
    let mut code: Option<Vec<&str>> = None;
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        match (&mut code, fence) {
            (Some(lines), true) => {
                examples.push(lines.join("\n"));
                code = None;
            }
            (Some(lines), false) => lines.push(line),
            (None, true) => code = Some(Vec::new()),
            // The headings that Rhai's own comments have before their code.
            (None, false) if line.trim_start().starts_with("# Example") => {}
            (None, false) => rest.push(line),
        }
    }
    let mut text = rest.join("\n").trim().to_owned();
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    (text, examples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::plugin::*;

    #[export_module]
    mod sample {
        /// Makes a thing. And more.
        ///
        /// It is `a. b`.
        ///
        /// ```rhai
        /// thing("x");
        /// ```
        #[rhai_fn(name = "thing", return_raw)]
        pub fn thing(ctx: NativeCallContext, name: &str) -> std::result::Result<(), Box<rhai::EvalAltResult>> {
            let _ = (ctx, name);
            Ok(())
        }
        #[rhai_fn(name = "thing")]
        pub fn thing_with(name: &str, options: rhai::Map) {
            let _ = (name, options);
        }
        /// How long it is.
        #[rhai_fn(get = "length", pure)]
        pub fn length(thing: &mut String) -> i64 {
            i64::try_from(thing.len()).unwrap_or_default()
        }
        #[rhai_fn(name = "==", pure)]
        pub fn same(a: &mut String, b: &str) -> bool {
            a == b
        }
    }

    fn reference() -> Reference {
        let mut module = rhai::exported_module!(sample);
        module.set_id("things");
        let script = "//! Stars and rings. More.\n\n/// A star.\n/// ```rhai\n/// 1\n/// ```\nfn star(hub, names) { inner() }\nprivate fn inner() {}\n";
        Reference::of([module], &[("topology", script)])
    }

    #[test]
    fn functions_are_collected_with_all_their_forms() {
        let reference = reference();
        let names: Vec<&str> = reference.entries().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["thing", "thing.length", "topology::star"]);
        let thing = reference.find("thing")[0];
        assert_eq!(thing.signatures, ["thing(name)", "thing(name, options)"]);
        assert_eq!(thing.text, "Makes a thing. And more.\n\nIt is `a. b`.");
        assert_eq!(thing.examples, ["thing(\"x\");"]);
        assert_eq!(thing.summary(), "Makes a thing");
        assert_eq!(reference.families[1].heading(), "topology: Stars and rings");
        assert_eq!(reference.find("star")[0].signatures, ["topology::star(hub, names)"]);
        assert_eq!(reference.find("length").len(), 1);
        assert!(reference.find("nothing").is_empty());
        assert_eq!(reference.nearest("thnig"), Some("thing"));
    }

    #[test]
    fn markdown_has_every_name() {
        let text = reference().markdown();
        for part in [
            "### thing\n",
            "thing(name, options)",
            "## topology",
            "import \"topology\" as topology;",
            "(#topologystar)",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn the_language_itself_can_be_looked_up() {
        let all = standard();
        let len = all.find("len");
        assert!(len.iter().any(|e| e.signatures.contains(&"len(array)".to_owned())), "{len:?}");
    }
}

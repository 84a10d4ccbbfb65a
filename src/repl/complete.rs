//! Completion by meaning: what may stand at the cursor is told from the call that it is in, and asked of the kernel.

mod line;
mod value;

use super::commands::COMMANDS;
use super::interpreter::Interpreter;
use super::shell;
use super::terminal::offset;
use crate::builtins::link::{COMMON, KINDS};
use crate::engine::docs::{Entry, Reference};
use crate::engine::modules::STDLIB;
use crate::engine::tokens::{self, KEYWORDS, Token, What};
use crate::engine::value::{LinkHandle, NsHandle};
use crate::plan::Ns;
use rhai::Dynamic;
use std::path::Path;

/// Something that may stand there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// What replaces the word that was begun.
    pub text: String,
    /// What a list of several shows.
    pub shown: String,
}

fn plain(text: impl Into<String>) -> Candidate {
    let text = text.into();
    Candidate { shown: text.clone(), text }
}

/// A call or a bracket that is open at the cursor.
#[derive(Clone, Debug)]
struct Open {
    /// `(`, `[`, `{` or `#{`.
    mark: String,
    /// The function of a `(`, with its module.
    function: String,
    /// Whether it is called as a method; then the receiver is its first argument.
    method: bool,
    /// The token that is the first argument or the receiver, where it is one word.
    first: Option<(What, String)>,
    /// Commas so far.
    commas: usize,
    /// The key whose value is being written, in a map.
    key: Option<String>,
}

/// What is open at the end of a text, outermost first.
fn open(tokens: &[Token<'_>]) -> Vec<Open> {
    let mut stack: Vec<Open> = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        if token.what != What::Mark {
            continue;
        }
        match token.text {
            "(" | "[" | "{" | "#{" => {
                let mut item = Open {
                    mark: token.text.into(),
                    function: String::new(),
                    method: false,
                    first: None,
                    commas: 0,
                    key: None,
                };
                let name = n.checked_sub(1).and_then(|at| tokens.get(at)).filter(|t| t.what == What::Name);
                if let (true, Some(name)) = (token.text == "(", name) {
                    item.function = name.text.into();
                    let before = |back: usize| n.checked_sub(back).and_then(|at| tokens.get(at));
                    if before(2).is_some_and(|t| t.is("::"))
                        && let Some(module) = before(3)
                    {
                        item.function = format!("{}::{}", module.text, name.text);
                    }
                    item.method = before(2).is_some_and(|t| t.is("."));
                    let first = if item.method { before(3) } else { tokens.get(n + 1) };
                    item.first = first.map(|t| (t.what, t.text.to_owned()));
                }
                stack.push(item);
            }
            ")" | "]" | "}" => {
                stack.pop();
            }
            "," => {
                if let Some(top) = stack.last_mut() {
                    top.commas += 1;
                    top.key = None;
                }
            }
            ":" => {
                let key = n.checked_sub(1).and_then(|at| tokens.get(at));
                if let (Some(top), Some(key)) = (stack.last_mut(), key)
                    && top.mark == "#{"
                {
                    top.key = Some(key.text.trim_matches('"').to_owned());
                }
            }
            _ => {}
        }
    }
    stack
}

/// Where the word at the cursor begins, and what it may become.
#[must_use]
pub fn complete(interpreter: &Interpreter, reference: &Reference, line: &str, pos: usize) -> (usize, Vec<Candidate>) {
    let head = line.get(..pos).unwrap_or(line);
    let at = Place { interpreter, reference };
    let blanks = head.len() - head.trim_start().len();
    let (start, mut found) = if head.trim_start().starts_with(':') {
        at.command(head, blanks)
    } else if shell::is_command_begun(head)
        && interpreter.variable(head.split_whitespace().next().unwrap_or_default()).is_none()
    {
        at.ip_line(head)
    } else if head.trim_start().starts_with("ping ") && interpreter.variable("ping").is_none() {
        at.program_line(head)
    } else {
        at.code(head, 0)
    };
    found.sort();
    found.dedup();
    // `name(` before a `(` that is there already.
    if line.get(pos..).is_some_and(|rest| rest.starts_with('(')) {
        for candidate in &mut found {
            candidate.text = candidate.text.trim_end_matches('(').to_owned();
        }
    }
    (start, found)
}

struct Place<'a> {
    interpreter: &'a Interpreter,
    reference: &'a Reference,
}

impl Place<'_> {
    fn command(&self, head: &str, blanks: usize) -> (usize, Vec<Candidate>) {
        let text = &head[blanks..];
        if text.starts_with(":!") {
            return self.program_line(head);
        }
        let Some((name, rest)) = text.split_once(char::is_whitespace) else {
            let known = COMMANDS.iter().filter(|c| c.name.starts_with(&text[1..]));
            let found = known.map(|c| Candidate {
                text: format!(":{}{}", c.name, if c.arguments.is_empty() { "" } else { " " }),
                shown: format!(":{} {}", c.name, c.arguments).trim_end().to_owned(),
            });
            return (blanks, found.collect());
        };
        let start = head.len() - rest.trim_start().len();
        let word = rest.trim_start();
        let words =
            |all: Vec<String>| all.into_iter().filter(|w| w.starts_with(word)).map(plain).collect::<Vec<Candidate>>();
        let name = COMMANDS.iter().find(|c| c.name == &name[1..]).map_or("", |c| c.name);
        match name {
            "use" | "sh" => (start, words(self.namespaces())),
            "load" | "save" => (start, files(word, name == "load")),
            "explain" | "time" => (start, words(vec!["on".into(), "off".into()])),
            "help" => {
                let commands = COMMANDS.iter().map(|c| format!(":{}", c.name));
                (start, words(self.reference.entries().map(|e| e.name.clone()).chain(commands).collect()))
            }
            "json" | "watch" => self.code(head, start),
            _ => (start, Vec::new()),
        }
    }

    /// Script code that begins at `from`.
    fn code(&self, head: &str, from: usize) -> (usize, Vec<Candidate>) {
        let text = &head[from..];
        let all = tokens::tokens(text);
        let open = open(&all);
        if let Some(last) = all.last()
            && last.what == What::Text
            && offset(text, last) + last.text.len() == text.len()
            && is_unclosed(last.text)
        {
            let before = all.get(..all.len() - 1).unwrap_or_default();
            let begun = last.text.trim_start_matches(['"', '`']);
            let start = head.len() - begun.len();
            let (skip, found) = self.text(before, &open, begun, last.text.chars().next().unwrap_or('"'));
            return (start + skip, found);
        }
        let word = head.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let start = head.len() - word.len();
        let before: Vec<Token<'_>> = all.iter().filter(|t| from + offset(text, t) < start).copied().collect();
        let last = before.last();
        let found = if last.is_some_and(|t| t.is(".")) {
            self.methods(text, &before, word)
        } else if last.is_some_and(|t| t.is("::")) {
            let module = before.get(before.len().wrapping_sub(2)).map(|t| t.text).unwrap_or_default();
            self.of_module(module, word)
        } else if let Some(map) = open.last().filter(|o| o.mark == "#{" && o.key.is_none()) {
            let _ = map;
            self.options(&open, &before, word)
        } else if last.is_some_and(|t| t.what == What::Number && t.text == word) {
            Vec::new()
        } else {
            self.names(word)
        };
        (start, found)
    }

    /// Functions, variables and keywords.
    fn names(&self, word: &str) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for family in self.reference.families.iter().filter(|f| !f.import) {
            found.extend(
                family.entries.iter().filter(|e| e.name.starts_with(word) && !e.name.contains('.')).map(function),
            );
        }
        for own in self.interpreter.functions().iter_functions().filter(|f| f.name.starts_with(word)) {
            if !own.name.starts_with("anon$") {
                let shown = format!("{}({})", own.name, own.params.join(", "));
                found.push(Candidate { text: format!("{}(", own.name), shown });
            }
        }
        found.extend(self.interpreter.variables().filter(|name| name.starts_with(word)).map(plain));
        for import in self.interpreter.imports() {
            if let Some(name) = import.trim_end_matches(';').rsplit(' ').next()
                && name.starts_with(word)
            {
                found.push(plain(format!("{name}::")));
            }
        }
        if !word.is_empty() {
            found.extend(KEYWORDS.iter().filter(|k| k.starts_with(word)).map(|k| plain(*k)));
        }
        found
    }

    /// Functions of a module that was imported.
    fn of_module(&self, alias: &str, word: &str) -> Vec<Candidate> {
        let import = self.interpreter.imports().iter().find(|i| i.ends_with(&format!(" as {alias};")));
        let module = import.and_then(|i| i.split('"').nth(1)).unwrap_or(alias);
        let prefix = format!("{module}::{word}");
        let entries = self.reference.entries().filter(|e| e.name.starts_with(&prefix));
        entries.map(|e| Candidate { text: format!("{}(", e.short()), shown: signature(e) }).collect()
    }

    /// The value of an expression that is one word.
    fn value(&self, what: What, text: &str) -> Option<Dynamic> {
        match what {
            What::Name => self.interpreter.variable(text),
            What::Text => Some(text.trim_matches(['"', '`']).to_owned().into()),
            _ => None,
        }
    }

    /// Properties and methods of what stands before the last `.`.
    fn methods(&self, text: &str, before: &[Token<'_>], word: &str) -> Vec<Candidate> {
        let receiver = before.get(before.len().wrapping_sub(2));
        let value = self.receiver(text, before);
        let mut found = Vec::new();
        if let Some(map) = value.as_ref().and_then(|v| v.as_map_ref().ok()) {
            found.extend(map.keys().filter(|k| k.starts_with(word)).map(|k| plain(k.as_str())));
        }
        // What a call gives: told by its function.
        let called = receiver.filter(|t| t.is(")")).map(|_| called(before)).unwrap_or_default();
        let kind = match &value {
            Some(v) if v.is::<NsHandle>() => "ns",
            Some(v) if v.is::<LinkHandle>() => "link",
            Some(v) if v.is_array() => "array",
            Some(v) if v.is_string() => "text",
            Some(v) if v.is_map() => "map",
            Some(v) if self.interpreter.host().engine().map_type_name(v.type_name()).ends_with("Process") => "process",
            Some(_) => return found,
            None => match called.as_str() {
                "netns_add" | "netns" | "host" | "netns_attach" => "ns",
                "start" => "process",
                "links" | "routes" | "addrs" | "neighs" | "netns_list" => "array",
                name if name == "link" || KINDS.iter().any(|(k, ..)| *k == name) || name.starts_with("link_") => "link",
                _ => return found,
            },
        };
        let first: &[&str] = match kind {
            "ns" => &["ns"],
            "link" => &["dev", "link", "a"],
            "process" => &["process"],
            other => return self.standard(other, word, found),
        };
        for entry in self.reference.entries() {
            if let Some((of, property)) = entry.name.split_once('.') {
                if (of == kind || first.contains(&of)) && property.starts_with(word) {
                    found.push(plain(property));
                }
            } else if entry.name.starts_with(word) && !entry.name.contains("::") && !makes(kind, &entry.name) {
                let form =
                    entry.signatures.iter().find(|s| first.contains(&parameters(s).first().copied().unwrap_or("")));
                if let Some(form) = form {
                    let rest = parameters(form).get(1..).unwrap_or_default().join(", ");
                    found
                        .push(Candidate { text: format!("{}(", entry.name), shown: format!("{}({rest})", entry.name) });
                }
            }
        }
        found
    }

    /// Methods of the language's own types.
    fn standard(&self, kind: &str, word: &str, mut found: Vec<Candidate>) -> Vec<Candidate> {
        let of = match kind {
            "text" => &["string", "text"][..],
            "array" => &["array"][..],
            _ => &["map"][..],
        };
        for entry in crate::engine::docs::standard().entries().filter(|e| e.name.starts_with(word)) {
            let form = entry.signatures.iter().find(|s| of.contains(&parameters(s).first().copied().unwrap_or("")));
            if let Some(form) = form {
                let rest = parameters(form).get(1..).unwrap_or_default().join(", ");
                found.push(Candidate { text: format!("{}(", entry.name), shown: format!("{}({rest})", entry.name) });
            }
        }
        found
    }

    /// Keys of the map of options that is being written, without those that stand there.
    fn options(&self, open: &[Open], before: &[Token<'_>], word: &str) -> Vec<Candidate> {
        let Some(at) = open.iter().rposition(|o| o.mark == "(" && !o.function.is_empty()) else { return Vec::new() };
        let Some(call) = open.get(at) else { return Vec::new() };
        let nested = open.get(at + 1..).unwrap_or_default().iter().filter(|o| o.mark == "#{").count() > 1;
        let keys = match nested {
            // The ends of a veth: `a: #{ … }`.
            true if call.function == "veth" => COMMON.iter().map(|k| (*k).to_owned()).collect(),
            true => Vec::new(),
            false => option_keys(self.reference, &call.function),
        };
        let depth = before.iter().rposition(|t| t.is("#{")).unwrap_or_default();
        let given: Vec<&str> =
            before.get(depth..).unwrap_or_default().windows(2).filter(|w| w[1].is(":")).map(|w| w[0].text).collect();
        keys.into_iter()
            .filter(|k| k.starts_with(word) && !given.contains(&k.as_str()))
            .map(|k| Candidate { text: format!("{k}: "), shown: k })
            .collect()
    }

    /// The inside of a string: how much of it stays, and what the rest may become.
    fn text(&self, before: &[Token<'_>], open: &[Open], begun: &str, quote: char) -> (usize, Vec<Candidate>) {
        if before.last().is_some_and(|t| t.is("import")) {
            let mut found = files(begun, true);
            for candidate in &mut found {
                candidate.text = candidate.text.trim_end_matches(".rhai").to_owned();
            }
            found.extend(STDLIB.iter().filter(|(n, _)| n.starts_with(begun)).map(|(n, _)| plain(*n)));
            return (0, found);
        }
        let call = open.iter().rev().find(|o| o.mark == "(" && !o.function.is_empty());
        let Some(call) = call else { return (0, self.places(begun, None)) };
        let argument = call.commas + usize::from(call.method);
        let key = open.last().filter(|o| o.mark == "#{").and_then(|o| o.key.clone());
        if let Some(key) = key {
            return match key.as_str() {
                "master" | "dev" | "link" | "lower" => (0, self.places(begun, self.concerned(call).as_ref())),
                "via" | "src" => {
                    (0, self.addresses().into_iter().filter(|a| a.starts_with(begun)).map(plain).collect())
                }
                "cwd" | "stdin" => (0, files(begun, false)),
                _ => (0, Vec::new()),
            };
        }
        let first = if argument > 0 { self.first(call) } else { None };
        let entries = self.reference.find(&call.function);
        let mut forms: Vec<Vec<&str>> = entries.iter().flat_map(|e| &e.signatures).map(|s| parameters(s)).collect();
        // A device is no namespace.
        if let Some(is_device) = first
            && forms.iter().any(|f| f.first().is_some_and(|p| (*p != "ns") == is_device))
        {
            forms.retain(|f| f.first().is_some_and(|p| (*p != "ns") == is_device));
        }
        let names: Vec<&str> = forms.iter().filter_map(|f| f.get(argument).copied()).collect();
        let is = |wanted: &[&str]| names.iter().any(|n| wanted.contains(n));
        if is(&["command", "line", "argv"]) {
            // The last word of the command.
            let word = begun.rsplit([' ', quote]).next().unwrap_or_default();
            let skip = begun.len() - word.len();
            if call.function == "ip" {
                let line = format!("ip {}", begun.strip_prefix("ip ").unwrap_or(begun));
                return (skip, self.ip_line(&line).1);
            }
            return (skip, self.words_of_program(&begun[..skip], word));
        }
        if is(&["dst", "ip"]) {
            return (0, self.addresses().into_iter().filter(|a| a.starts_with(begun)).map(plain).collect());
        }
        if is(&["key"]) && call.function == "sysctl" {
            let ns = if argument > 0 { self.concerned(call) } else { None };
            return (0, self.sysctls(begun, &ns.unwrap_or_else(|| self.interpreter.place())));
        }
        if is(&["path"]) && !call.function.starts_with("sysctl") {
            return (0, files(begun, false));
        }
        let mut found = Vec::new();
        if is(&["dev", "a", "b", "link"]) || names.is_empty() {
            found.extend(self.places(begun, self.concerned(call).as_ref().filter(|_| argument > 0)));
        }
        if is(&["ns", "at", "target", "namespaces"]) || (is(&["name"]) && call.function.starts_with("netns_")) {
            found.extend(self.namespaces().into_iter().filter(|n| n.starts_with(begun)).map(plain));
        }
        (0, found)
    }

    /// Whether the first argument of a call is a device (`true`) or a namespace; `None` where that is not known.
    fn first(&self, call: &Open) -> Option<bool> {
        let (what, text) = call.first.as_ref()?;
        let value = self.value(*what, text)?;
        if value.is::<NsHandle>() || value.is::<LinkHandle>() {
            return Some(value.is::<LinkHandle>());
        }
        let text = value.into_string().ok()?;
        if text.contains(':') {
            return Some(true);
        }
        let spaces = self.namespaces();
        spaces.contains(&text).then_some(false)
    }

    /// The namespace that the call is about: that of its first argument, else the current one.
    fn concerned(&self, call: &Open) -> Option<Ns> {
        let (what, text) = call.first.as_ref()?;
        let value = self.value(*what, text)?;
        if let Some(NsHandle(ns)) = value.clone().try_cast::<NsHandle>() {
            return Some(ns);
        }
        if let Some(link) = value.clone().try_cast::<LinkHandle>() {
            return Some(link.ns);
        }
        let text = value.into_string().ok()?;
        let name = text.rsplit_once(':').map_or(text.as_str(), |(ns, _)| ns);
        self.interpreter.session().kernel().find_ns(name).ok()
    }

    fn namespaces(&self) -> Vec<String> {
        let kernel = self.interpreter.session().kernel();
        kernel.list_ns(&kernel.host()).map(|all| all.into_iter().map(|e| e.name).collect()).unwrap_or_default()
    }

    fn devices(&self, ns: &Ns) -> Vec<String> {
        let all = self.interpreter.session().kernel().links(ns, false).unwrap_or_default();
        all.into_iter().map(|l| l.state.name).collect()
    }

    /// Devices: of `ns`, or by `ns:dev` of any.
    fn places(&self, begun: &str, ns: Option<&Ns>) -> Vec<Candidate> {
        if let Some((place, _)) = begun.rsplit_once(':') {
            let kernel = self.interpreter.session().kernel();
            let ns = if place.is_empty() { Ok(kernel.host()) } else { kernel.find_ns(place) };
            let Ok(ns) = ns else { return Vec::new() };
            let all = self.devices(&ns).into_iter().map(|dev| format!("{place}:{dev}"));
            return all.filter(|d| d.starts_with(begun)).map(plain).collect();
        }
        let current = self.interpreter.place();
        let mut found: Vec<Candidate> =
            self.devices(ns.unwrap_or(&current)).into_iter().filter(|d| d.starts_with(begun)).map(plain).collect();
        if ns.is_none() {
            found.extend(
                self.namespaces().into_iter().map(|n| format!("{n}:")).filter(|n| n.starts_with(begun)).map(plain),
            );
        }
        found
    }
}

/// Whether a text token lacks its closing quote.
fn is_unclosed(text: &str) -> bool {
    let Some(quote) = text.chars().next() else { return false };
    text.len() == quote.len_utf8() || !text.ends_with(quote) || text.ends_with("\\\"")
}

/// The function whose call ends with the `)` before the last `.`.
fn called(before: &[Token<'_>]) -> String {
    let mut depth = 0usize;
    for (n, token) in before.iter().enumerate().rev().skip(1) {
        if token.is(")") {
            depth += 1;
        } else if token.is("(") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return n.checked_sub(1).and_then(|at| before.get(at)).map(|t| t.text.to_owned()).unwrap_or_default();
            }
        }
    }
    String::new()
}

/// The names between the brackets of a signature.
fn parameters(signature: &str) -> Vec<&str> {
    let inside = signature.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
    inside.split(", ").filter(|p| !p.is_empty()).collect()
}

/// All forms of a function in one: `addr([ns, ]dev, cidr[, options])`, as far as that is possible; else the first.
fn signature(entry: &Entry) -> String {
    let Some(first) = entry.signatures.first() else { return entry.name.clone() };
    let more = entry.signatures.len() - 1;
    let with_options = format!("{}, options)", first.trim_end_matches(')'));
    let alone = format!("{}options)", first.trim_end_matches(')'));
    if entry.signatures.contains(&with_options) {
        let text = format!("{}[, options])", first.trim_end_matches(')'));
        return if more > 1 { text + " …" } else { text };
    }
    if entry.signatures.contains(&alone) && more == 1 {
        return format!("{}[options])", first.trim_end_matches(')'));
    }
    if more > 0 { format!("{first} …") } else { first.clone() }
}

fn function(entry: &Entry) -> Candidate {
    Candidate { text: format!("{}(", entry.name), shown: signature(entry) }
}

/// The options of a function: those of the tables of link kinds, and those that its reference names.
#[must_use]
pub fn option_keys(reference: &Reference, function: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut add = |key: &str| {
        if !keys.iter().any(|k| k == key) {
            keys.push(key.to_owned());
        }
    };
    if let Some((_, table, _)) = KINDS.iter().find(|(kind, ..)| *kind == function) {
        COMMON.iter().for_each(|k| add(k));
        table.iter().for_each(|c| add(c.key));
    }
    for entry in reference.find(function) {
        if !entry.signatures.iter().any(|s| s.contains("options")) {
            continue;
        }
        for key in named_options(&entry.text) {
            match key.strip_prefix('@') {
                Some(other) if other != function => option_keys(reference, other).iter().for_each(|k| add(k)),
                _ => add(key.trim_start_matches('@')),
            }
        }
    }
    keys
}

/// What a reference text calls options: words in backticks from `Option` to the end of the paragraph, its errors or its
/// result. `@name` where it says that the options are as of another function.
fn named_options(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for paragraph in text.split("\n\n") {
        let flat = paragraph.replace('\n', " ");
        let Some(at) = flat.find("Option").or_else(|| flat.find("option")) else { continue };
        let rest = flat[at..].split("Returns").next().unwrap_or_default();
        let rest = rest.split("Errors").next().unwrap_or_default();
        let mut before = "";
        for (n, part) in rest.split('`').enumerate() {
            if n % 2 == 0 {
                before = part;
                continue;
            }
            let word = part.split(':').next().unwrap_or_default();
            let is_key = !word.is_empty()
                && word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if !is_key {
                continue;
            }
            if before.trim_end().ends_with("as of") || before.trim_end().ends_with("those of") {
                found.push(format!("@{word}"));
            } else if !before.trim_end().ends_with(" of") && !before.trim_end().ends_with("means") {
                found.push(word.to_owned());
            }
        }
    }
    found
}

/// The call that is being written, as a hint behind the cursor.
#[must_use]
pub fn signature_hint(reference: &Reference, line: &str) -> Option<String> {
    if line.trim_start().starts_with(':') {
        let word = line.trim_start().trim_start_matches(':').split_once(' ').filter(|(_, rest)| rest.is_empty())?.0;
        return COMMANDS.iter().find(|c| c.name == word).map(|c| c.arguments.to_owned()).filter(|a| !a.is_empty());
    }
    let all = tokens::tokens(line);
    let open = open(&all);
    let call = open.last().filter(|o| o.mark == "(" && !o.function.is_empty())?;
    // Only where an argument begins: behind a word it would be in the way.
    let last = all.last()?;
    if !last.is("(") && !last.is(",") {
        return None;
    }
    let entry = reference.find(&call.function).into_iter().find(|e| !e.name.contains('.'))?;
    let wanted = call.commas + usize::from(call.method) + usize::from(last.is("("));
    // The first form that has an argument here.
    let form = entry.signatures.iter().find(|s| parameters(s).len() > call.commas + usize::from(call.method));
    let _ = wanted;
    form.map(|f| {
        let rest = parameters(f);
        let rest = rest.get(call.commas + usize::from(call.method)..).unwrap_or_default();
        format!("{}   {}", rest.join(", "), entry.name)
    })
}

/// Whether a function makes what a handle of this kind is already of.
fn makes(kind: &str, function: &str) -> bool {
    kind == "link" && KINDS.iter().any(|(of, ..)| *of == function)
}

/// The programs whose names begin so, of those that `$PATH` has.
#[must_use]
pub fn programs(begun: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter_map(|folder| std::fs::read_dir(folder).ok());
    let mut found: Vec<String> = folders
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(begun)))
        .filter(|entry| entry.path().metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Files and folders that a path may become; `scripts`: only scripts and folders.
fn files(begun: &str, scripts: bool) -> Vec<Candidate> {
    let (folder, prefix) = match begun.rsplit_once('/') {
        Some(("", name)) => ("/".to_owned(), name),
        Some((folder, name)) => (folder.to_owned(), name),
        None => (".".to_owned(), begun),
    };
    let shown_folder = &begun[..begun.len() - prefix.len()];
    let Ok(all) = std::fs::read_dir(Path::new(&folder)) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in all.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !prefix.starts_with('.');
        if !name.starts_with(prefix) || hidden {
            continue;
        }
        let is_folder = entry.path().is_dir();
        if is_folder {
            found.push(Candidate { text: format!("{shown_folder}{name}/"), shown: format!("{name}/") });
        } else if !scripts || Path::new(&name).extension().is_some_and(|e| e == "rhai") {
            found.push(Candidate { text: format!("{shown_folder}{name}"), shown: name });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str) -> Vec<Open> {
        open(&tokens::tokens(text))
    }

    #[test]
    fn the_call_at_the_cursor_is_known() {
        let all = opened("let a = addr(\"h1\", #{ x: link(\"b\"), master: ");
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].function.as_str(), all[0].commas), ("addr", 1));
        assert_eq!(all[0].first, Some((What::Text, "\"h1\"".to_owned())));
        assert_eq!(all[1].key.as_deref(), Some("master"));
        let all = opened("h.addr(\"eth0\", ");
        assert!(all[0].method);
        assert_eq!(all[0].first, Some((What::Name, "h".to_owned())));
        assert_eq!(opened("topo::star(")[0].function, "topo::star");
        assert!(opened("f(a)").is_empty());
    }

    #[test]
    fn options_are_read_from_the_reference() {
        let text = "Waits. More.\n\nOptions: `timeout` (default 10 s) and `what`, which\nthe error names. Errors: `timeout`, `bad`.";
        assert_eq!(named_options(text), ["timeout", "what"]);
        assert_eq!(named_options("Options as of `exec_in`. Returns `x`."), ["@exec_in"]);
        assert_eq!(named_options("Option `pretty: true` spreads it."), ["pretty"]);
    }

    /// What a function says when it is given an option that it does not have is the truth of it.
    #[test]
    fn options_are_those_that_functions_take() {
        let reference = Reference::of(crate::builtins::modules(), STDLIB);
        for (function, some) in [
            ("ping", &["count", "timeout", "size"][..]),
            ("exec_in", &["stdin", "env", "cwd", "timeout", "check"]),
            ("sh", &["stdin", "timeout"]),
            ("bridge", &["up", "mtu", "stp", "ageing_time"]),
            ("veth", &["a", "b", "up"]),
            ("netns_add", &["lo"]),
            ("route", &["via", "dev", "metric"]),
        ] {
            let keys = option_keys(&reference, function);
            for key in some {
                assert!(keys.iter().any(|k| k == key), "{function} {key}: {keys:?}");
            }
        }
    }

    #[test]
    fn signatures_are_short() {
        let entry = |forms: &[&str]| Entry {
            name: "f".into(),
            signatures: forms.iter().map(|f| (*f).to_owned()).collect(),
            ..Entry::default()
        };
        assert_eq!(signature(&entry(&["f(a)", "f(a, options)"])), "f(a[, options])");
        assert_eq!(signature(&entry(&["f()", "f(options)"])), "f([options])");
        assert_eq!(signature(&entry(&["f(a)", "f(a, b)"])), "f(a) …");
        assert_eq!(parameters("f(a, b)"), ["a", "b"]);
    }
}

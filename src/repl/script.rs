//! `:save`: the lines that stand, as a script that does the same.

use super::interpreter::{Interpreter, LAST, Line, beside};
use super::terminal::offset;
use crate::engine::tokens::{self, Token, What};
use crate::plan::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What a saved script begins with.
pub const HEADING: &str = "// Saved from a session: `nsscript` with this file builds the same.\n";

/// The script, and how many lines of the session are in it: of those that stand, committed or not, all that did something.
/// What only looked is left out.
///
/// # Errors
/// Nothing stands.
pub fn of(interpreter: &Interpreter) -> Result<(String, usize)> {
    let lines: Vec<&Line> = interpreter.committed().iter().chain(interpreter.lines()).collect();
    let mut wanted: BTreeSet<usize> =
        lines.iter().enumerate().filter(|(_, l)| l.changed() || l.ran()).map(|(n, _)| n).collect();
    // `_` is the result of the line before it that had one.
    let mut results: BTreeMap<usize, usize> = BTreeMap::new();
    for n in (0..lines.len()).rev() {
        if wanted.contains(&n)
            && lines.get(n).is_some_and(|l| with_name(&l.input.text, "") != l.input.text)
            && let Some(from) = (0..n).rev().find(|at| lines.get(*at).is_some_and(|l| l.gave))
        {
            wanted.insert(from);
            results.insert(n, from);
        }
    }
    if wanted.is_empty() {
        return Err(Error::invalid("nothing stands that a script could do"));
    }
    let texts: BTreeMap<usize, String> =
        wanted.iter().filter_map(|n| Some((*n, text_of(lines.get(*n)?, results.get(n).copied())))).collect();
    let mut definitions = Definitions::of(&texts);
    let mut out = String::from(HEADING);
    for (n, text) in &texts {
        let Some(line) = lines.get(*n) else { continue };
        if line.stopped {
            // It may go on until somebody stops it again.
            let text = line.input.shown().trim().replace('\n', "\n// ");
            let _ = writeln!(out, "// left out, as it was ended by Ctrl-C: {text}");
            continue;
        }
        let (copies, rename) = definitions.before(*n, text);
        copies.iter().for_each(|copy| out += &format!("{copy}\n"));
        let wrap = Wrap {
            place: (!line.place().is_host()).then(|| line.place().name.clone()),
            result: results.values().any(|from| from == n).then(|| format!("last_{n}")),
            rename,
        };
        for statement in wrap.statements(text, &|piece| definitions.is_old(*n, piece)) {
            out += &statement;
            out.push('\n');
        }
    }
    Ok((out, texts.len()))
}

/// What a line says, where `_` is the result of line `from`, and imports are found from anywhere.
fn text_of(line: &Line, from: Option<usize>) -> String {
    let mut text = line.input.text.clone();
    if line.input.file.is_some() {
        text = crate::engine::blank_shebang(&text);
    }
    if let Some(from) = from {
        text = with_name(&text, &format!("last_{from}"));
    }
    let source = line.input.file.as_deref().unwrap_or("repl");
    let paths: Vec<(usize, usize, String)> = tokens::tokens(&text)
        .windows(2)
        .filter(|w| w[0].is("import") && w[1].what == What::Text && !w[1].text.contains("${"))
        .filter_map(|w| {
            let path = beside(source, w[1].text.trim_matches(['"', '`']))?;
            let start = offset(&text, &w[1]);
            let whole = std::path::absolute(path).ok()?.to_string_lossy().into_owned();
            Some((start, start + w[1].text.len(), format!("{whole:?}")))
        })
        .collect();
    replaced(&text, paths).trim().to_owned()
}

/// The text with something else at some places: from, to, what.
fn replaced(text: &str, places: Vec<(usize, usize, String)>) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (from, to, what) in places {
        out.push_str(text.get(done..from).unwrap_or_default());
        out.push_str(&what);
        done = to;
    }
    out + text.get(done..).unwrap_or_default()
}

/// The text with the last result under another name.
fn with_name(text: &str, name: &str) -> String {
    let all = tokens::tokens(text);
    let marks = super::interpreter::last_results(&all);
    let last = all.iter().filter(|t| t.text == LAST && marks.contains(&t.at()));
    let places = last.map(|t| (offset(text, t), offset(text, t) + t.text.len(), name.to_owned()));
    replaced(text, places.collect())
}

/// A statement's place in a text, in bytes: without the comments around it and the `;` behind it, and where the next may begin.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    after: usize,
}

/// The statements of a text: split at `;` outside of brackets, and behind a function.
fn pieces(text: &str) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut now: Option<(Piece, bool)> = None;
    let mut depth = 0usize;
    for token in tokens::tokens(text) {
        let start = offset(text, &token);
        let after = start + token.text.len();
        if depth == 0 && token.is(";") {
            found.extend(now.take().map(|(piece, _)| Piece { after, ..piece }));
            continue;
        }
        let function = token.is("fn") || token.is("private");
        let (piece, function) = now.get_or_insert((Piece { start, end: after, after }, function));
        (piece.end, piece.after) = (after, after);
        if token.what != What::Mark {
            continue;
        }
        match token.text {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && token.text == "}" && *function {
            found.extend(now.take().map(|(piece, _)| piece));
        }
    }
    found.extend(now.map(|(piece, _)| piece));
    found
}

/// A function that a line defines.
#[derive(Clone, Debug)]
struct Definition {
    line: usize,
    name: String,
    /// Name and number of parameters: what a later one takes the place of.
    key: (String, usize),
    text: String,
}

impl Definition {
    /// The function that a statement is.
    fn of(line: usize, text: &str) -> Option<Definition> {
        let all = tokens::tokens(text);
        let at = usize::from(all.first()?.is("private"));
        if !all.get(at)?.is("fn") {
            return None;
        }
        let open = all.iter().position(|t| t.is("("))?;
        let close = all.iter().position(|t| t.is(")"))?;
        let parameters = all.get(open + 1..close)?.iter().filter(|t| t.what == What::Name).count();
        let name = all.get(open.checked_sub(1)?)?.text.to_owned();
        let whole: String = all.get(at + 1..open)?.iter().map(|t| t.text).collect();
        Some(Definition { line, name, key: (whole, parameters), text: text.to_owned() })
    }
}

/// All functions of the lines. A script has one of a name, and from its beginning: what was defined anew later has a name of
/// its own where lines before that call it, and so have those that call it.
struct Definitions {
    all: Vec<Definition>,
    written: BTreeSet<String>,
}

/// Names, and what stands for them.
type Names = BTreeMap<String, String>;

impl Definitions {
    fn of(texts: &BTreeMap<usize, String>) -> Definitions {
        let mut all = Vec::new();
        for (n, text) in texts {
            all.extend(pieces(text).iter().filter_map(|p| Definition::of(*n, text.get(p.start..p.end)?)));
        }
        Definitions { all, written: BTreeSet::new() }
    }

    /// Whether one is defined anew by a later line.
    fn is_replaced(&self, one: &Definition) -> bool {
        self.all.iter().any(|other| other.key == one.key && other.line > one.line)
    }

    /// Whether a statement of line `n` is a function that is defined anew later.
    fn is_old(&self, n: usize, statement: &str) -> bool {
        Definition::of(n, statement).is_some_and(|d| self.is_replaced(&d))
    }

    /// For line `n`: the functions that have to stand before it under names of their own, and these names.
    fn before(&mut self, n: usize, text: &str) -> (Vec<String>, Names) {
        let known: Vec<&Definition> = self.all.iter().filter(|d| d.line <= n).collect();
        // What the name meant then: the last so far.
        let then: Vec<&Definition> = known
            .iter()
            .filter(|d| !known.iter().any(|other| other.key == d.key && other.line > d.line))
            .copied()
            .collect();
        let mut other: BTreeSet<&str> = then.iter().filter(|d| self.is_replaced(d)).map(|d| d.name.as_str()).collect();
        loop {
            let more: Vec<&str> = then
                .iter()
                .filter(|d| !other.contains(d.name.as_str()) && calls(&d.text).iter().any(|c| other.contains(c)))
                .map(|d| d.name.as_str())
                .collect();
            if more.is_empty() {
                break;
            }
            other.extend(more);
        }
        let epoch = known.len() - then.len() + 1;
        let name = |name: &str| {
            let mut name = format!("{name}_{epoch}");
            while self.all.iter().any(|d| d.name == name) {
                name.push('_');
            }
            name
        };
        let names: Names = other.iter().map(|n| ((*n).to_owned(), name(n))).collect();
        let mut wanted: Vec<String> = Vec::new();
        let plain = pieces(text).into_iter().filter_map(|p| text.get(p.start..p.end));
        for statement in plain.filter(|s| Definition::of(n, s).is_none()) {
            wanted.extend(calls(statement).into_iter().filter(|c| names.contains_key(*c)).map(str::to_owned));
        }
        let mut copies = Vec::new();
        let mut written = std::mem::take(&mut self.written);
        while let Some(one) = wanted.pop() {
            if !names.get(&one).is_some_and(|new| written.insert(new.clone())) {
                continue;
            }
            for definition in then.iter().filter(|d| d.name == one) {
                copies.push(renamed(&definition.text, &names));
                wanted
                    .extend(calls(&definition.text).into_iter().filter(|c| names.contains_key(*c)).map(str::to_owned));
            }
        }
        self.written = written;
        (copies, names)
    }
}

/// The functions that a text calls by name, as methods too, and as `Fn("name")`.
fn calls(text: &str) -> Vec<&str> {
    places_of_calls(text).into_iter().map(|(_, name)| name).collect()
}

/// The same, with the place of each name in bytes.
fn places_of_calls(text: &str) -> Vec<(usize, &str)> {
    let all = tokens::tokens(text);
    let mut found = Vec::new();
    for (n, token) in all.iter().enumerate() {
        let start = offset(text, token);
        if token.what == What::Name && all.get(n + 1).is_some_and(|t| t.is("(")) {
            found.push((start, token.text));
        }
        let named = n > 1 && all.get(n - 1).is_some_and(|t| t.is("(")) && all.get(n - 2).is_some_and(|t| t.is("Fn"));
        if named && token.what == What::Text {
            found.push((start + 1, token.text.trim_matches(['"', '`'])));
        }
    }
    found
}

fn renamed(text: &str, names: &Names) -> String {
    let places = places_of_calls(text).into_iter();
    let new = places.filter_map(|(at, name)| Some((at, at + name.len(), names.get(name)?.clone())));
    replaced(text, new.collect())
}

/// What becomes of the statements of a line.
struct Wrap {
    /// The namespace that was the current one, unless that was the host's.
    place: Option<String>,
    /// The name that the value of the last one gets.
    result: Option<String>,
    rename: Names,
}

impl Wrap {
    /// The statements, each ended; without those of which `old` says so.
    fn statements(&self, text: &str, old: &dyn Fn(&str) -> bool) -> Vec<String> {
        let all = pieces(text);
        let any_old = all.iter().any(|p| text.get(p.start..p.end).is_some_and(old));
        let other_names = calls(text).iter().any(|c| self.rename.contains_key(*c));
        if self.place.is_none() && self.result.is_none() && !any_old && !other_names {
            return vec![ended(text)];
        }
        let mut found: Vec<String> = Vec::new();
        let mut done = 0;
        for (n, piece) in all.iter().enumerate() {
            let between = text.get(done..piece.start).unwrap_or_default().trim();
            done = piece.after;
            let statement = text.get(piece.start..piece.end).unwrap_or_default();
            if old(statement) {
                continue;
            }
            if !between.is_empty() {
                found.push(between.to_owned());
            }
            let result = self.result.as_deref().filter(|_| n + 1 == all.len());
            found.push(self.statement(statement, result));
        }
        // A comment behind the last.
        let rest = text.get(done..).unwrap_or_default().trim();
        match found.last_mut() {
            Some(last) if !rest.is_empty() => {
                last.push(' ');
                last.push_str(rest);
            }
            _ => {}
        }
        found
    }

    fn statement(&self, statement: &str, result: Option<&str>) -> String {
        let words = tokens::tokens(statement);
        let first = words.first().map_or("", |t| t.text);
        if matches!(first, "fn" | "private" | "import" | "export") {
            return ended(statement);
        }
        let statement = renamed(statement, &self.rename);
        let words = tokens::tokens(&statement);
        let called = words.iter().any(|t| t.is("("));
        let within = |code: &str| match &self.place {
            Some(place) if called => format!("within({place:?}, || {code})"),
            _ => code.to_owned(),
        };
        if matches!(first, "let" | "const") {
            let Some(equals) = words.iter().find(|t| t.is("=")) else { return ended(&statement) };
            let (head, value) = statement.split_at(offset(&statement, equals) + 1);
            return ended(&format!("{head} {}", within(value.trim())));
        }
        let alone = self.place.is_none() || !called || is_expression(&words);
        let code = if alone { within(&statement) } else { within(&format!("{{ {} }}", ended(&statement))) };
        ended(&result.map_or_else(|| code.clone(), |name| format!("let {name} = {code}")))
    }
}

/// Whether a closure may be this alone.
fn is_expression(words: &[Token<'_>]) -> bool {
    let statement = ["for", "while", "loop", "do", "if", "switch", "try", "return", "throw"];
    let assigns = words.iter().any(|t| t.is("="));
    !words.first().is_some_and(|t| statement.contains(&t.text)) && !assigns
}

/// With a `;` unless it ends with a block; before the comment behind it.
fn ended(text: &str) -> String {
    let text = text.trim();
    let all = tokens::tokens(text);
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return text.to_owned() };
    let blocks = ["fn", "private", "for", "while", "loop", "if", "try"];
    if last.is(";") || (last.is("}") && blocks.contains(&first.text)) {
        return text.to_owned();
    }
    let end = offset(text, last) + last.text.len();
    let (code, comment) = text.split_at(end);
    format!("{code};{comment}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        pieces(text).into_iter().map(|p| &text[p.start..p.end]).collect()
    }

    #[test]
    fn statements_are_told_apart() {
        assert_eq!(split("let a = f(1; 2); g()"), ["let a = f(1; 2)", "g()"]);
        assert_eq!(split("fn f() { 1; } f();"), ["fn f() { 1; }", "f()"]);
        assert_eq!(split("a() // one;\n; /* two */ b(\";\") // three"), ["a()", "b(\";\")"]);
        assert_eq!(ended("f()"), "f();");
        assert_eq!(ended("f() // why"), "f(); // why");
        assert_eq!(ended("f(); // why"), "f(); // why");
        assert_eq!(ended("fn f() {}"), "fn f() {}");
        assert_eq!(ended("let a = #{}"), "let a = #{};");
    }

    #[test]
    fn the_last_result_gets_a_name() {
        assert_eq!(
            with_name("f(_, `${_}`); switch x { _ => 1 }", "last_1"),
            "f(last_1, `${last_1}`); switch x { _ => 1 }"
        );
    }

    #[test]
    fn a_current_namespace_is_around_what_calls() {
        let wrap = Wrap { place: Some("h1".into()), result: Some("last_3".into()), rename: Names::new() };
        let text = "let a = 1; link_up(\"lo\"); // why\nfor x in y { f(x) } g()";
        assert_eq!(
            wrap.statements(text, &|_| false),
            [
                "let a = 1;",
                "within(\"h1\", || link_up(\"lo\"));",
                "// why",
                "let last_3 = within(\"h1\", || { for x in y { f(x) } g(); });"
            ]
        );
    }

    #[test]
    fn what_is_defined_anew_has_a_name_of_its_own_before() {
        let texts = BTreeMap::from([
            (0, "fn f(x) { x + 1 }".to_owned()),
            (1, "fn g(x) { f(x) } fn other() { 1 }".to_owned()),
            (2, "let a = g(1) + other()".to_owned()),
            (3, "fn f(x) { x + 2 }".to_owned()),
            (4, "let b = g(1)".to_owned()),
        ]);
        let mut definitions = Definitions::of(&texts);
        let mut out = Vec::new();
        for (n, text) in &texts {
            let (copies, rename) = definitions.before(*n, text);
            out.extend(copies);
            let wrap = Wrap { place: None, result: None, rename };
            out.extend(wrap.statements(text, &|piece| definitions.is_old(*n, piece)));
        }
        assert_eq!(
            out,
            [
                "fn g(x) { f(x) }",
                "fn other() { 1 }",
                "fn g_1(x) { f_1(x) }",
                "fn f_1(x) { x + 1 }",
                "let a = g_1(1) + other();",
                "fn f(x) { x + 2 }",
                "let b = g(1);"
            ]
        );
    }
}

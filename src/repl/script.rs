//! `:save`: the lines that stand, as a script that does the same.

use super::interpreter::{Interpreter, LAST, Line};
use super::terminal::offset;
use crate::engine::tokens::{self, Token, What};
use crate::plan::{Error, Result};
use std::collections::BTreeSet;

/// The script, and how many lines of the session are in it. What only looked is left out.
///
/// # Errors
/// Nothing stands.
pub fn of(interpreter: &Interpreter) -> Result<(String, usize)> {
    let lines = interpreter.lines();
    let mut wanted: BTreeSet<usize> =
        lines.iter().enumerate().filter(|(_, l)| l.changed() || l.ran()).map(|(n, _)| n).collect();
    // `_` is the result of the line before it that had one.
    let mut results: Vec<(usize, usize)> = Vec::new();
    for n in (0..lines.len()).rev() {
        if wanted.contains(&n)
            && uses_last(lines.get(n))
            && let Some(from) = (0..n).rev().find(|at| lines.get(*at).is_some_and(|l| l.gave))
        {
            wanted.insert(from);
            results.push((n, from));
        }
    }
    if wanted.is_empty() {
        return Err(
            Error::invalid("nothing stands that a script could do").with_hint("what was committed is a lab already")
        );
    }
    let mut out = String::from("// Saved from a session: `nsscript` with this file builds the same.\n");
    for n in &wanted {
        let Some(line) = lines.get(*n) else { continue };
        let mut text = line.input.text.clone();
        if line.input.file.is_some() {
            text = crate::engine::blank_shebang(&text);
        }
        if let Some((_, from)) = results.iter().find(|(user, _)| user == n) {
            text = with_name(&text, &format!("last_{from}"));
        }
        let text = text.trim();
        let named = results.iter().any(|(_, from)| from == n);
        for statement in statements(text, line, named.then(|| format!("last_{n}")).as_deref()) {
            out += &statement;
            out.push('\n');
        }
    }
    Ok((out, wanted.len()))
}

fn uses_last(line: Option<&Line>) -> bool {
    line.is_some_and(|l| with_name(&l.input.text, "") != l.input.text)
}

/// The text with the last result under another name.
fn with_name(text: &str, name: &str) -> String {
    let all = tokens::tokens(text);
    let marks = super::interpreter::last_results(&all);
    let mut out = String::new();
    let mut done = 0;
    for token in all.iter().filter(|t| t.text == LAST && marks.contains(&t.at())) {
        let start = offset(text, token);
        out.push_str(&text[done..start]);
        out.push_str(name);
        done = start + token.text.len();
    }
    out + &text[done..]
}

/// Its statements, each ended, and within the namespace that was the current one. The value of the last gets a name.
fn statements(text: &str, line: &Line, name: Option<&str>) -> Vec<String> {
    let place = line.place();
    if place.is_host() && name.is_none() {
        return vec![ended(text)];
    }
    let all = split(text);
    let count = all.len();
    all.into_iter()
        .enumerate()
        .map(|(n, statement)| {
            let words = tokens::tokens(&statement);
            let first = words.first().map_or("", |t| t.text);
            let within = |code: &str| {
                if place.is_host() { code.to_owned() } else { format!("within({:?}, || {code})", place.name) }
            };
            let name = name.filter(|_| n + 1 == count);
            match first {
                "fn" | "private" | "import" => ended(&statement),
                "let" | "const" => match words.iter().find(|t| t.is("=")) {
                    Some(equals) => {
                        let at = offset(&statement, equals) + 1;
                        let (head, value) = statement.split_at(at);
                        ended(&format!("{head} {}", within(value.trim())))
                    }
                    None => ended(&statement),
                },
                _ => {
                    let code = if place.is_host() || is_expression(&words) {
                        within(&statement)
                    } else {
                        within(&format!("{{ {} }}", ended(&statement)))
                    };
                    ended(&name.map_or_else(|| code.clone(), |name| format!("let {name} = {code}")))
                }
            }
        })
        .collect()
}

/// Whether a closure may be this alone.
fn is_expression(words: &[Token<'_>]) -> bool {
    let statement = ["for", "while", "loop", "do", "if", "switch", "try", "return", "throw"];
    let assigns = words.iter().any(|t| t.is("="));
    !words.first().is_some_and(|t| statement.contains(&t.text)) && !assigns
}

/// The statements of a text: split at `;` outside of brackets, and behind a block that begins a statement.
fn split(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut depth = 0usize;
    let mut first: Option<&str> = None;
    for token in tokens::tokens(text) {
        let end = offset(text, &token) + token.text.len();
        first = first.or(Some(token.text));
        if token.what != What::Mark {
            continue;
        }
        match token.text {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let block = token.text == "}" && matches!(first, Some("fn" | "private"));
        if depth == 0 && (token.text == ";" || block) {
            found.push(text[begin..end].trim().trim_end_matches(';').trim().to_owned());
            (begin, first) = (end, None);
        }
    }
    found.push(text[begin..].trim().to_owned());
    found.retain(|s| !s.is_empty());
    found
}

/// With a `;` unless it ends with a block.
fn ended(text: &str) -> String {
    let text = text.trim();
    let block = ["fn", "private", "for", "while", "loop", "if", "try"]
        .iter()
        .any(|w| tokens::tokens(text).first().is_some_and(|t| t.text == *w));
    if text.ends_with(';') || (block && text.ends_with('}')) { text.to_owned() } else { format!("{text};") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        assert_eq!(split("let a = f(1; 2); g()"), ["let a = f(1; 2)", "g()"]);
        assert_eq!(split("fn f() { 1; } f();"), ["fn f() { 1; }", "f()"]);
        assert_eq!(ended("f()"), "f();");
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
}

//! Where in which input an error is. All inputs of a session are compiled as parts of one text, so that a place tells the
//! input too: functions of earlier lines keep theirs.

use crate::report::Diagnostic;
use std::sync::Arc;

/// What was typed or loaded at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The file it is from; `None`: typed.
    pub file: Option<String>,
    pub text: String,
    /// What was typed, where that is other than the code that it means: a line of `ip`.
    pub typed: Option<String>,
}

impl Input {
    /// Code that was typed.
    #[must_use]
    pub fn typed(text: &str) -> Input {
        Input { file: None, text: text.to_owned(), typed: None }
    }

    /// What people read of it.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.typed.as_deref().unwrap_or(&self.text)
    }
}

struct Part {
    /// Its first line in the whole text, from 1.
    start: usize,
    lines: usize,
    /// Its name, and the first line there.
    name: String,
    first: usize,
    /// The line that was typed, where that is other than the code that it means.
    typed: Option<String>,
}

/// The inputs so far.
pub struct Places {
    /// What typed input is called: `repl`, `<stdin>`.
    typed: String,
    parts: Vec<Part>,
    /// The lines of the whole text.
    whole: Vec<String>,
    /// By name, the text that the lines of diagnostics count in.
    texts: Vec<(String, String)>,
}

impl Places {
    #[must_use]
    pub fn new(typed: &str) -> Places {
        Places { typed: typed.into(), parts: Vec::new(), whole: Vec::new(), texts: Vec::new() }
    }

    /// Adds an input. Returns its name, and the line at which it begins in the whole text.
    pub fn add(&mut self, input: &Input) -> (String, usize) {
        let start = self.whole.len() + 1;
        let text = input.text.trim_end_matches('\n');
        let lines = text.matches('\n').count() + 1;
        self.whole.extend(text.split('\n').map(str::to_owned));
        let text = input.shown().trim_end_matches('\n');
        let name = input.file.clone().unwrap_or_else(|| self.typed.clone());
        let known = self.texts.iter_mut().find(|(n, _)| *n == name);
        let first = match known {
            // A file that is loaded again may have changed.
            Some((_, known)) if input.file.is_some() => {
                *known = format!("{text}\n");
                1
            }
            Some((_, known)) => {
                let first = known.matches('\n').count() + 1;
                *known += text;
                known.push('\n');
                first
            }
            None => {
                self.texts.push((name.clone(), format!("{text}\n")));
                1
            }
        };
        self.parts.push(Part { start, lines, name: name.clone(), first, typed: input.typed.clone() });
        (name, start)
    }

    /// Lines of typed input that were given before and are no part of what is evaluated (empty ones, commands): so that the
    /// numbers of lines stay those of the input.
    pub fn skip(&mut self, text: &str) {
        let (_, start) = self.add(&Input::typed(text));
        self.forget(start);
    }

    /// Takes the last input away, as if it had never been.
    pub fn withdraw(&mut self, start: usize) {
        let Some(part) = self.parts.pop_if(|p| p.start == start) else { return };
        self.whole.truncate(start - 1);
        if let Some((_, text)) = self.texts.iter_mut().find(|(name, _)| *name == part.name) {
            *text = text.split_inclusive('\n').take(part.first - 1).collect();
        }
    }

    /// Gives an error about an input that was skipped just now its place.
    pub fn place_last(&self, diagnostic: &mut Diagnostic) {
        if let Some(part) = self.parts.last() {
            let text = self.texts.iter().find(|(n, _)| *n == part.name).map(|(_, text)| text.as_str());
            (diagnostic.file, diagnostic.line) = (Some(part.name.clone()), part.first);
            diagnostic.source = text.map(Arc::from);
            let line = text.and_then(|t| t.lines().nth(part.first - 1)).unwrap_or_default();
            diagnostic.column = line.chars().take_while(|c| c.is_whitespace()).count() + 1;
            diagnostic.len = line.trim().chars().count();
        }
    }

    /// What begins at this line of the whole text is no part of the session any more: it failed or was undone. Its lines
    /// stay, empty, and diagnostics do not find its names.
    pub fn forget(&mut self, start: usize) {
        let lines = self.parts.iter().find(|p| p.start == start).map_or(0, |p| p.lines);
        self.whole.iter_mut().skip(start - 1).take(lines).for_each(String::clear);
    }

    /// The whole text.
    #[must_use]
    pub fn whole(&self) -> Arc<str> {
        Arc::from(self.whole.join("\n"))
    }

    /// The names of all inputs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|(name, _)| name.as_str())
    }

    /// The input that a line of the whole text is of, and the line there.
    fn place(&self, line: usize) -> Option<(&Part, usize)> {
        let part = self.parts.iter().rev().find(|p| p.start <= line && line < p.start + p.lines)?;
        Some((part, part.first + line - part.start))
    }

    /// Gives a diagnostic the places that a reader knows.
    pub fn relate(&self, diagnostic: &mut Diagnostic) {
        let ours = |file: &Option<String>| file.as_ref().is_some_and(|f| self.texts.iter().any(|(name, _)| name == f));
        if ours(&diagnostic.file)
            && let Some((part, line)) = self.place(diagnostic.line)
        {
            (diagnostic.file, diagnostic.line) = (Some(part.name.clone()), line);
            let text = self.texts.iter().find(|(n, _)| *n == part.name).map(|(_, text)| text.as_str());
            diagnostic.source = text.map(Arc::from);
            if let Some(typed) = &part.typed {
                point(diagnostic, typed);
            }
        }
        for frame in &mut diagnostic.chain {
            if ours(&frame.file)
                && let Some((part, line)) = self.place(frame.line)
            {
                (frame.file, frame.line) = (Some(part.name.clone()), line);
            }
        }
    }
}

/// Points at what an error is about in a line of a shell: the word of which the message tells the place, else all of it.
fn point(diagnostic: &mut Diagnostic, typed: &str) {
    let whole = (1, typed.trim_end().chars().count());
    let words = typed.strip_prefix("ip").map(|rest| 2 + rest.chars().take_while(|c| c.is_whitespace()).count());
    let words = words.filter(|_| super::shell::parts(typed).len() == 1);
    let told = told_place(&diagnostic.message).zip(words).map(|((word, column, message), before)| {
        let place = (before + column, word.chars().count());
        (place, message)
    });
    if let Some((place, message)) = told {
        diagnostic.message = message;
        (diagnostic.column, diagnostic.len) = place;
    } else {
        (diagnostic.column, diagnostic.len) = whole;
    }
}

/// `` `WORD` (word 5, column 29): what`` as the word, its column, and the message without its place.
fn told_place(message: &str) -> Option<(&str, usize, String)> {
    let (word, rest) = message.strip_prefix('`')?.split_once("` (word ")?;
    let (place, what) = rest.split_once("): ")?;
    let column = place.split_once(", column ")?.1.parse().ok()?;
    // What names the word by itself does it once.
    let message = if what.contains(&format!("`{word}`")) { what.to_owned() } else { format!("`{word}`: {what}") };
    Some((word, column, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Input {
        Input::typed(text)
    }

    #[test]
    fn errors_of_shell_lines_point_at_the_word() {
        let line = "ip  link set eth9 up";
        let mut error = Diagnostic::new("x", "`eth9` (word 3, column 10): there is no device `eth9`");
        point(&mut error, line);
        assert_eq!((error.message.as_str(), error.column, error.len), ("there is no device `eth9`", 14, 4));
        let mut error = Diagnostic::new("x", "`up` (word 4, column 15): no");
        point(&mut error, line);
        assert_eq!((error.message.as_str(), error.column, error.len), ("`up`: no", 19, 2));
        let mut error = Diagnostic::new("x", "no route");
        point(&mut error, line);
        assert_eq!((error.message.as_str(), error.column, error.len), ("no route", 1, 20));
        let mut error = Diagnostic::new("x", "`a/b` (word 1, column 1): `a/b` is no address");
        point(&mut error, "ip a/b");
        assert_eq!(error.message, "`a/b` is no address");
    }

    #[test]
    fn what_is_withdrawn_leaves_nothing() {
        let mut places = Places::new("repl");
        places.skip(":a");
        let (_, start) = places.add(&typed("x\ny"));
        places.withdraw(start);
        assert_eq!(places.add(&typed("z")), ("repl".into(), 2));
        assert_eq!(&*places.whole(), "\nz");
        assert_eq!(places.texts[0].1, ":a\nz\n");
    }

    #[test]
    fn places_are_those_of_the_inputs() {
        let mut places = Places::new("repl");
        let file = Input { file: Some("a.rhai".into()), text: "one\ntwo\n".into(), typed: None };
        assert_eq!(places.add(&file), ("a.rhai".into(), 1));
        assert_eq!(places.add(&typed("x")), ("repl".into(), 3));
        places.skip(":history");
        assert_eq!(places.add(&typed("y(\n)")), ("repl".into(), 5));
        for (line, want) in [(2, ("a.rhai", 2)), (3, ("repl", 1)), (5, ("repl", 3)), (6, ("repl", 4))] {
            let mut diagnostic = Diagnostic { file: Some("repl".into()), line, ..Diagnostic::new("x", "y") };
            places.relate(&mut diagnostic);
            assert_eq!((diagnostic.file.as_deref(), diagnostic.line), (Some(want.0), want.1), "{line}");
        }
        let mut other = Diagnostic { file: Some("module.rhai".into()), line: 2, ..Diagnostic::new("x", "y") };
        places.relate(&mut other);
        assert_eq!((other.file.as_deref(), other.line), (Some("module.rhai"), 2));
    }
}

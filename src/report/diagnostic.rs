//! One error or warning, with everything that its reader needs, and how it looks: the message, the line of the script
//! with the place underlined, how the script came there, the kernel's own words, and what to do about it.

use crate::plan;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode};
use miette::{SourceSpan, SpanContents, ThemeCharacters, ThemeStyles};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// How to draw: passed in, so that what decides (a terminal, `NO_COLOR`, the locale) is elsewhere and tests are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Box drawing characters; else ASCII.
    pub unicode: bool,
    /// Columns of the terminal; text is wrapped there. Below [`Style::NARROWEST`] counts as that.
    pub width: usize,
}

impl Style {
    /// The narrowest width that is still drawn for.
    pub const NARROWEST: usize = 24;
    /// No colours, ASCII, 80 columns: for files and tests.
    pub const PLAIN: Style = Style { color: false, unicode: false, width: 80 };

    fn columns(self) -> usize {
        self.width.max(Style::NARROWEST)
    }

    /// `text` in the colour of the ANSI code (`"1;31"`), or as it is.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One step of the way to the error: `function` was called from `file:line:column`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function; [`Frame::CLOSURE`], [`Frame::IMPORT`] and [`Frame::THROW`] are no functions, and no function can be
    /// called so.
    pub function: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1; 0 where unknown.
    pub line: usize,
    /// In characters, from 1; 0 where unknown.
    pub column: usize,
}

impl Frame {
    /// A closure has no name.
    pub const CLOSURE: &'static str = "|…|";
    /// A module that was being loaded.
    pub const IMPORT: &'static str = "import";
    /// The error was caught, and thrown again there.
    pub const THROW: &'static str = "throw";

    /// `called from lab.rhai:30` and the like.
    fn words(&self) -> String {
        let place = place(self.file.as_deref(), self.line, self.column);
        match self.function.as_str() {
            Frame::IMPORT => format!("imported from {place}"),
            Frame::THROW => format!("thrown again at {place}"),
            Frame::CLOSURE => format!("in a closure, called from {place}"),
            name => format!("in `{name}`, called from {place}"),
        }
    }
}

/// An error (or a warning, see [`Diagnostic::render_as`]) as it is shown. Serializes to the fields of a JSON event,
/// without the source text and without what is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The `kind` that a script sees when it catches the error.
    pub kind: String,
    /// Lower case, without a full stop.
    pub message: String,
    /// The kernel's own words (`NETLINK_EXT_ACK`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The script's file as it was named, or `-e`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The whole text of that file, of which one line is shown.
    #[serde(skip)]
    pub source: Option<Arc<str>>,
    /// From 1; 0 where the error has no place in a script.
    pub line: usize,
    /// In characters, from 1; 0 where only the line is known.
    pub column: usize,
    /// Characters to underline; 0 marks the place with one caret.
    pub len: usize,
    /// How the script came there, innermost call first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Frame>,
    /// The script function or kernel verb that failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ns: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// `errno(3)`, 0 where the kernel was not asked.
    #[serde(skip_serializing_if = "is_zero")]
    pub errno: i32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(n: &i32) -> bool {
    *n == 0
}

/// The word in front of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

impl From<&plan::Error> for Diagnostic {
    /// Of an error that has no place in a script.
    fn from(error: &plan::Error) -> Self {
        Diagnostic {
            kind: error.kind.to_string(),
            message: error.message.clone(),
            kernel: error.kernel.clone(),
            hint: error.hint.clone(),
            op: error.op.clone(),
            ns: error.ns.clone(),
            target: error.target.clone(),
            errno: error.errno,
            ..Diagnostic::default()
        }
    }
}

impl Diagnostic {
    /// A diagnostic with a kind and a message, and nothing else yet.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic { kind: kind.into(), message: message.into(), ..Diagnostic::default() }
    }

    /// One line: `lab.rhai:12:5: error: no namespace "h9" (the kernel says: …)`; what is unknown of the place is left
    /// out. Line breaks in the message become spaces.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = match place(self.file.as_deref(), self.line, self.column) {
            place if place.is_empty() => String::new(),
            place => place + ": ",
        };
        text.push_str("error: ");
        text.push_str(&one_line(&self.message));
        if let Some(kernel) = &self.kernel {
            text.push_str(&format!(" (the kernel says: {})", one_line(kernel)));
        }
        text
    }

    /// The whole picture, as an error; ends with a line break.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        self.render_as(Severity::Error, style)
    }

    /// The whole picture; ends with a line break.
    #[must_use]
    pub fn render_as(&self, severity: Severity, style: Style) -> String {
        let mut text = String::new();
        let shown = Shown { diagnostic: self, severity, excerpt: Excerpt::of(self, style) };
        if handler(style).render_report(&mut text, &shown).is_err() {
            // Only a source text that does not hold the place can fail: the words are still worth showing.
            text = format!("  {}\n", self.plain());
        } else if shown.excerpt.is_none() && !place(self.file.as_deref(), self.line, self.column).is_empty() {
            let at = format!("at {}", place(self.file.as_deref(), self.line, self.column));
            push_wrapped(&mut text, "", "", &at, style);
        }
        for frame in brief(&self.chain) {
            match frame {
                Ok(frame) => push_wrapped(&mut text, "", "", &frame.words(), style),
                Err(left_out) => push_wrapped(&mut text, "", "", &format!("… {left_out} calls more …"), style),
            }
        }
        if let Some(kernel) = &self.kernel {
            push_wrapped(&mut text, "kernel: ", "1;33", kernel, style);
        }
        if let Some(hint) = &self.hint {
            push_wrapped(&mut text, "help: ", "36", hint, style);
        }
        let mut drawn = String::with_capacity(text.len());
        for line in text.lines() {
            drawn.push_str(line.trim_end());
            drawn.push('\n');
        }
        if style.unicode { drawn } else { drawn.replace('…', "...") }
    }
}

/// `lab.rhai:12:5`, with what is known.
pub(crate) fn place(file: Option<&str>, line: usize, column: usize) -> String {
    match (file, line, column) {
        (None, 0, _) => String::new(),
        (None, line, 0) => format!("line {line}"),
        (None, line, column) => format!("{line}:{column}"),
        (Some(file), 0, _) => file.to_owned(),
        (Some(file), line, 0) => format!("{file}:{line}"),
        (Some(file), line, column) => format!("{file}:{line}:{column}"),
    }
}

/// All frames, or the first and last few of a runaway recursion around the number of those left out.
fn brief(chain: &[Frame]) -> Vec<Result<&Frame, usize>> {
    const HEAD: usize = 6;
    const TAIL: usize = 4;
    if chain.len() <= HEAD + TAIL + 1 {
        return chain.iter().map(Ok).collect();
    }
    let left_out = chain.len() - HEAD - TAIL;
    let head = chain.iter().take(HEAD).map(Ok);
    let tail = chain.iter().skip(HEAD + left_out).map(Ok);
    head.chain(std::iter::once(Err(left_out))).chain(tail).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Adds `title` and `text` two columns in, wrapped at the width, following lines under the first.
fn push_wrapped(out: &mut String, title: &str, color: &str, text: &str, style: Style) {
    let indent = 2 + title.chars().count();
    let room = style.columns().saturating_sub(indent).max(10);
    let mut first = true;
    for line in text.lines() {
        for piece in wrap(line, room) {
            if first {
                out.push_str("  ");
                out.push_str(&style.paint(color, title));
            } else {
                out.push_str(&" ".repeat(indent));
            }
            out.push_str(&piece);
            out.push('\n');
            first = false;
        }
    }
}

/// `line` in pieces of at most `room` characters, broken at spaces; a word longer than that is left whole, since it is
/// often a path or a command to copy.
pub(crate) fn wrap(line: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for word in line.split(' ') {
        let count = word.chars().count();
        if used > 0 && used + 1 + count > room {
            pieces.push(String::new());
            used = 0;
        }
        if let Some(piece) = pieces.last_mut() {
            if used > 0 {
                piece.push(' ');
                used += 1;
            }
            piece.push_str(word);
            used += count;
        }
    }
    pieces
}

fn handler(style: Style) -> GraphicalReportHandler {
    let mut characters = if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
    characters.error = "error:".into();
    characters.warning = "warning:".into();
    let styles = if style.color { ThemeStyles::ansi() } else { ThemeStyles::none() };
    GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
        .with_width(style.columns())
        .with_context_lines(0)
        .with_urls(false)
        // A path or a command that is cut in two can't be copied.
        .with_break_words(false)
        .without_syntax_highlighting()
}

/// What miette is given: the message and the one line.
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    severity: Severity,
    excerpt: Option<Excerpt>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.diagnostic.message.trim_end())
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|e| e as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, excerpt.mark))))
    }
}

/// The line of the place, cut to what a narrow terminal shows around it. A source of its own for miette, which would
/// let a long line overflow, and its underline with it.
#[derive(Debug)]
struct Excerpt {
    name: String,
    text: String,
    /// Bytes of `text`.
    mark: SourceSpan,
    /// From 1.
    line: usize,
    column: usize,
}

impl Excerpt {
    fn of(diagnostic: &Diagnostic, style: Style) -> Option<Excerpt> {
        let (source, name) = (diagnostic.source.as_deref()?, diagnostic.file.as_deref()?);
        let line = source.split('\n').nth(diagnostic.line.checked_sub(1)?)?.trim_end();
        // Tabs become the spaces they are shown as; anything else that moves the cursor becomes a blank.
        let mut cells: Vec<char> = Vec::new();
        let (mut from, mut to) = (None, None);
        let start = diagnostic.column.saturating_sub(1);
        let end = start + diagnostic.len;
        for (index, c) in line.chars().enumerate() {
            if index == start {
                from = Some(cells.len());
            }
            if index == end {
                to = Some(cells.len());
            }
            match c {
                '\t' => cells.extend(std::iter::repeat_n(' ', 4 - cells.len() % 4)),
                c if c.is_control() => cells.push(' '),
                c => cells.push(c),
            }
        }
        // The end of a line, and past it, is just behind its last character.
        let mut from = from.unwrap_or(cells.len());
        let mut to = to.unwrap_or(cells.len()).max(from);
        if diagnostic.column == 0 {
            // Only the line is known: all of it.
            from = cells.iter().take_while(|c| **c == ' ').count();
            to = cells.len();
        }

        let gutter = 4 + diagnostic.line.to_string().len();
        let room = style.columns().saturating_sub(gutter).max(12);
        if cells.len() > room {
            let keep = (to - from).min(room / 2);
            let skip = (from + keep + room / 4).saturating_sub(room).min(from);
            let skip = if from + keep < room { 0 } else { skip.max(1) };
            let mut cut: Vec<char> = cells.iter().copied().skip(skip).take(room).collect();
            let dots = if style.unicode { "…" } else { "..." };
            let count = dots.chars().count();
            if skip > 0 {
                cut.iter_mut().zip(dots.chars()).for_each(|(cell, dot)| *cell = dot);
            }
            if skip + room < cells.len() {
                cut.iter_mut().rev().take(count).zip(dots.chars()).for_each(|(cell, dot)| *cell = dot);
            }
            from -= skip;
            to = (to - skip).min(cut.len());
            cells = cut;
        }
        if from >= cells.len() {
            // miette draws no caret behind the last character, and no line without one.
            cells.push(' ');
        }
        let bytes = |n: usize| cells.iter().take(n).map(|c| c.len_utf8()).sum::<usize>();
        let mark = SourceSpan::from((bytes(from), bytes(to) - bytes(from)));
        let text = cells.iter().collect();
        Some(Excerpt { name: name.to_owned(), text, mark, line: diagnostic.line, column: diagnostic.column.max(1) })
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        _span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let whole = SourceSpan::from((0, self.text.len()));
        let (line, column) = (self.line - 1, self.column - 1);
        let name = self.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, self.text.as_bytes(), whole, line, column, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Diagnostic {
        Diagnostic {
            kind: "exists".into(),
            message: "address 10.0.1.1/24 is on `h1:eth0` already".into(),
            kernel: Some("IPv4: Address already assigned".into()),
            hint: Some("take it off first: addr_del(\"h1:eth0\", \"10.0.1.1/24\")".into()),
            file: Some("lab.rhai".into()),
            source: Some("let h = 1;\nfor i in 0..2 {\n    addr(h, \"eth0\");\n}\n".into()),
            line: 3,
            column: 5,
            len: 4,
            chain: vec![
                Frame { function: "build".into(), file: Some("net.rhai".into()), line: 7, column: 3 },
                Frame { function: Frame::CLOSURE.into(), file: Some("lab.rhai".into()), line: 9, column: 1 },
                Frame { function: Frame::IMPORT.into(), file: Some("lab.rhai".into()), line: 1, column: 8 },
            ],
            errno: 17,
            ..Diagnostic::default()
        }
    }

    #[test]
    fn everything_is_shown_in_order() {
        let want = "  error: address 10.0.1.1/24 is on `h1:eth0` already
   ,-[lab.rhai:3:5]
 3 |     addr(h, \"eth0\");
   :     ^^^^
   `----
  in `build`, called from net.rhai:7:3
  in a closure, called from lab.rhai:9:1
  imported from lab.rhai:1:8
  kernel: IPv4: Address already assigned
  help: take it off first: addr_del(\"h1:eth0\", \"10.0.1.1/24\")
";
        assert_eq!(sample().render(Style::PLAIN), want);
    }

    #[test]
    fn unicode_and_colour_are_asked_for() {
        let text = sample().render(Style { unicode: true, ..Style::PLAIN });
        assert!(text.contains(" 3 │     addr(h, \"eth0\");\n   ·     ────\n   ╰────\n"), "{text}");
        assert!(!text.contains('\x1b'));
        let text = sample().render(Style { color: true, ..Style::PLAIN });
        assert!(text.contains("\x1b[36mhelp: \x1b[0mtake it off"), "{text}");
        assert!(sample().render(Style::PLAIN).is_ascii());
    }

    #[test]
    fn a_narrow_terminal_wraps_words_and_cuts_the_line_around_the_place() {
        let mut d = sample();
        d.chain.clear();
        d.source =
            Some("let r = ping(\"a\", \"b\"); let q = route(\"h1\", \"10.0.0.0/8\", #{ via: \"10.0.1.1\" });".into());
        (d.line, d.column, d.len) = (1, 33, 5);
        let want = "  error: address 10.0.1.1/24 is on
  | `h1:eth0` already
   ,-[lab.rhai:1:33]
 1 | ...\"a\", \"b\"); let q = route(\"h1\"...
   :                       ^^^^^
   `----
  kernel: IPv4: Address already assigned
  help: take it off first:
        addr_del(\"h1:eth0\",
        \"10.0.1.1/24\")
";
        let text = d.render(Style { width: 40, unicode: true, color: false });
        assert!(text.lines().all(|l| l.chars().count() <= 40), "{text}");
        let text = d.render(Style { width: 40, ..Style::PLAIN });
        assert_eq!(text, want);
        let column = |line: usize, what: &str| text.lines().nth(line).and_then(|l| l.find(what));
        assert_eq!(column(3, "route"), column(4, "^^^^^"));
    }

    #[test]
    fn a_place_past_the_end_or_without_a_text_does_no_harm() {
        for (line, column, len) in
            [(1, 11, 0), (1, 60, 9), (2, 1, 0), (4, 1, 1), (9, 9, 9), (0, 0, 0), (3, 0, 0), (1, 1, 900)]
        {
            let text = Diagnostic { line, column, len, ..sample() }.render(Style::PLAIN);
            assert!(text.starts_with("  error: address"), "{text}");
        }
        let lost = Diagnostic { source: None, chain: Vec::new(), kernel: None, hint: None, ..sample() };
        assert_eq!(
            lost.render(Style::PLAIN),
            "  error: address 10.0.1.1/24 is on `h1:eth0` already\n  at lab.rhai:3:5\n"
        );
        assert_eq!(Diagnostic::new("io", "no such file").render(Style::PLAIN), "  error: no such file\n");
    }

    #[test]
    fn tabs_and_wide_text_keep_the_underline_in_place() {
        let d = Diagnostic {
            message: "m".into(),
            file: Some("-e".into()),
            source: Some("\tlet é = foo(1);\r\n".into()),
            line: 1,
            column: 10,
            len: 3,
            ..Diagnostic::default()
        };
        let want = "  error: m\n   ,-[-e:1:10]\n 1 |     let é = foo(1);\n   :             ^^^\n   `----\n";
        assert_eq!(d.render(Style::PLAIN), want);
    }

    #[test]
    fn a_runaway_chain_is_cut() {
        let frame = Frame { function: "f".into(), file: Some("a".into()), line: 1, column: 1 };
        let d = Diagnostic { chain: vec![frame; 60], ..Diagnostic::new("limit", "m") };
        let text = d.render(Style::PLAIN);
        assert_eq!(text.lines().count(), 12, "{text}");
        assert!(text.contains("  ... 50 calls more ...\n"), "{text}");
    }

    #[test]
    fn one_line_says_where_and_what() {
        let plain = sample().plain();
        let want = "lab.rhai:3:5: error: address 10.0.1.1/24 is on `h1:eth0` already (the kernel says: IPv4: Address already assigned)";
        assert_eq!(plain, want);
        assert_eq!(Diagnostic::new("io", "two\nlines").plain(), "error: two lines");
    }
}

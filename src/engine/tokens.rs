//! The words of a script's text with their places, for what an error message needs to know around the place of the
//! error. Rhai's own tokenizer stops at the first mistake and is driven by its parser through interpolated strings:
//! this one never fails, which is what an error message is about.

/// What sort of word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An identifier or a keyword.
    Name,
    Number,
    /// A string, or a piece of one between interpolations.
    Text,
    /// In single quotes.
    Char,
    /// Anything else: one character, or one of `::` and `#{`.
    Mark,
}

/// A word with its place in the file: line and column from 1, in characters.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub what: What,
    pub text: &'a str,
    pub line: usize,
    pub column: usize,
    /// Line and column just behind it.
    pub end: (usize, usize),
}

impl Token<'_> {
    #[must_use]
    pub fn at(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// Whether it is this word or mark; a string never is.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        // A string that holds `{` is no bracket.
        !matches!(self.what, What::Text | What::Char) && self.text == text
    }
}

/// Words that Rhai's grammar uses: never a name, and no bare key of a map.
pub const KEYWORDS: [&str; 26] = [
    "if", "else", "while", "loop", "for", "in", "do", "until", "switch", "break", "continue", "return", "throw", "try",
    "catch", "let", "const", "fn", "private", "import", "export", "as", "true", "false", "this", "global",
];

/// The text with a `#!` line blanked, which Rhai does not know: every other place stays what it is.
pub(super) fn without_shebang(text: &str) -> String {
    let first = if text.starts_with("#!") { text.find('\n').unwrap_or(text.len()) } else { 0 };
    " ".repeat(first) + text.get(first..).unwrap_or_default()
}

/// Each `catch (e) {`: the place just behind the `{`, and the variable's name.
fn catches<'a>(tokens: &[Token<'a>]) -> Vec<(usize, usize, &'a str)> {
    tokens
        .windows(5)
        .filter(|w| w[0].is("catch") && w[1].is("(") && w[2].what == What::Name && w[3].is(")") && w[4].is("{"))
        .map(|w| (w[4].end.0, w[4].end.1, w[2].text))
        .collect()
}

/// What is put behind the `{` of a `catch (e) {`, so that Rhai's own errors have a `kind` too: Rhai itself gives them a
/// map without one, and has no hook there.
fn conversion(name: &str) -> String {
    format!("{name}=caught({name});")
}

/// The text as it is compiled: with the conversions, on the same lines.
pub(super) fn with_conversions(text: &str) -> String {
    if !text.contains("catch") {
        return text.to_string();
    }
    let tokens = tokens(text);
    let places = catches(&tokens);
    let mut out = String::with_capacity(text.len() + 32 * places.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let mut here = places.iter().filter(|(l, _, _)| *l == number + 1).peekable();
        for (column, c) in (1..).zip(line.chars()) {
            if let Some((_, _, name)) = here.next_if(|(_, at, _)| *at == column) {
                out += conversion(name).as_str();
            }
            out.push(c);
        }
        if let Some((_, _, name)) = here.next() {
            out += conversion(name).as_str();
        }
    }
    out
}

/// A column of the compiled text as the column of what was written.
pub(super) fn written_column(text: &str, line: usize, column: usize) -> usize {
    if !text.contains("catch") {
        return column;
    }
    let tokens = tokens(text);
    let mut added = 0;
    for (l, at, name) in catches(&tokens) {
        let length = conversion(name).chars().count();
        if l == line && column > at + added {
            added += length;
        }
    }
    // A place within a conversion itself is that of the `{`.
    column.saturating_sub(added).max(usize::from(column > 0))
}

/// All words of `text`, without comments.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut reader = Reader { text, offset: 0, line: 1, column: 1, tokens: Vec::new(), open: false };
    // A `}` too many ends the code of an interpolation that was never begun: go on behind it.
    while reader.offset < text.len() {
        reader.code(false);
    }
    reader.tokens
}

struct Reader<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    column: usize,
    tokens: Vec<Token<'a>>,
    /// The text ends within a string of several lines or a comment.
    open: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.offset += c.len_utf8();
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.rest().starts_with(&keep) {
            self.next();
        }
    }

    /// Reads one token by `read` and keeps it.
    fn token(&mut self, what: What, read: impl FnOnce(&mut Self)) {
        let (start, line, column) = (self.offset, self.line, self.column);
        read(self);
        let text = self.text.get(start..self.offset).unwrap_or_default();
        self.tokens.push(Token { what, text, line, column, end: (self.line, self.column) });
    }

    /// Reads code to the end of the text; `interpolated`: or to the `}` that ends the interpolation.
    fn code(&mut self, interpolated: bool) {
        let mut depth = 0usize;
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            if c.is_whitespace() {
                self.next();
            } else if rest.starts_with("//") || (rest.starts_with("#!") && self.offset == 0) {
                self.skip_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                self.comment();
            } else if c == '"' {
                self.token(What::Text, Reader::quoted);
            } else if c == '`' {
                self.interpolation();
            } else if c == '#' && rest.trim_start_matches('#').starts_with('"') {
                self.token(What::Text, Reader::raw);
            } else if c == '\'' {
                self.token(What::Char, Reader::single);
            } else if c.is_ascii_digit() {
                self.token(What::Number, Reader::number);
            } else if c.is_alphabetic() || c == '_' {
                self.token(What::Name, |r| r.skip_while(|c| c.is_alphanumeric() || c == '_'));
            } else if rest.starts_with("::") || rest.starts_with("#{") {
                depth += usize::from(c == '#');
                self.token(What::Mark, |r| r.skip(2));
            } else {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 && interpolated => return,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                self.token(What::Mark, |r| r.skip(1));
            }
        }
    }

    /// `/* … */`, which nests.
    fn comment(&mut self) {
        let mut depth = 0usize;
        loop {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else if self.next().is_none() {
                self.open = true;
                return;
            }
        }
    }

    /// `"…"`, which ends with its line unless a `\` stands there.
    fn quoted(&mut self) {
        self.next();
        while let Some(c) = self.rest().chars().next() {
            match c {
                '"' => {
                    self.next();
                    return;
                }
                '\n' => return,
                '\\' => self.skip(2),
                _ => self.skip(1),
            }
        }
    }

    /// `'…'`: usually a character, sometimes a string by mistake. Ends with its line.
    fn single(&mut self) {
        self.next();
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\'' => {
                    self.next();
                    return;
                }
                '\n' => return,
                '\\' => self.skip(2),
                _ => self.skip(1),
            }
        }
    }

    /// `#"…"#`, with any number of `#`.
    fn raw(&mut self) {
        let marks = self.rest().chars().take_while(|c| *c == '#').count();
        self.skip(marks + 1);
        let end = format!("\"{}", "#".repeat(marks));
        while !self.rest().starts_with(&end) {
            if self.next().is_none() {
                self.open = true;
                return;
            }
        }
        self.skip(marks + 1);
    }

    fn number(&mut self) {
        self.skip_while(|c| c.is_alphanumeric() || c == '_');
        // `1.5`, but not `1..5` nor `1.max(2)`.
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            self.next();
            self.skip_while(|c| c.is_alphanumeric() || c == '_');
        }
    }

    /// `` `…${code}…` ``: the pieces of text and the code between them.
    fn interpolation(&mut self) {
        let mut first = true;
        loop {
            let mut ended = true;
            self.token(What::Text, |r| {
                if first {
                    r.next();
                }
                loop {
                    if r.rest().starts_with("``") {
                        r.skip(2);
                    } else if r.rest().starts_with("${") {
                        r.skip(2);
                        ended = false;
                        return;
                    } else {
                        match r.next() {
                            Some('`') => return,
                            Some(_) => {}
                            None => {
                                r.open = true;
                                return;
                            }
                        }
                    }
                }
            });
            if ended {
                return;
            }
            first = false;
            self.code(true);
            if self.next().is_none() {
                self.open = true;
                return;
            }
        }
    }
}

/// The token that begins at a place, or that covers it.
pub(super) fn token_at<'t, 'a>(tokens: &'t [Token<'a>], line: usize, column: usize) -> Option<&'t Token<'a>> {
    tokens.iter().find(|t| t.at() <= (line, column) && (line, column) < t.end)
}

/// How many characters to underline at a place: the word there (with its module: `topo::star`), or one.
pub(super) fn length_at(tokens: &[Token<'_>], line: usize, column: usize) -> usize {
    let Some(index) = tokens.iter().position(|t| t.at() <= (line, column) && (line, column) < t.end) else { return 1 };
    let mut last = index;
    while let [name, colons, next, ..] = tokens.get(last..).unwrap_or_default()
        && name.what == What::Name
        && colons.is("::")
        && next.what == What::Name
    {
        last += 2;
    }
    // A string of many lines is marked to the end of its first.
    match tokens.get(last) {
        Some(t) if t.end.0 == line => t.end.1 - column,
        _ => tokens.get(index).map_or(1, |t| t.text.lines().next().unwrap_or_default().chars().count()),
    }
}

/// The last word before a place.
pub(super) fn token_before<'t, 'a>(tokens: &'t [Token<'a>], line: usize, column: usize) -> Option<&'t Token<'a>> {
    tokens.iter().rev().find(|t| t.at() < (line, column))
}

/// The innermost bracket that is never closed.
pub(super) fn unclosed<'t, 'a>(tokens: &'t [Token<'a>]) -> Option<&'t Token<'a>> {
    let mut open = Vec::new();
    for token in tokens.iter().filter(|t| t.what == What::Mark) {
        match token.text {
            "(" | "[" | "{" | "#{" => open.push(token),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// Whether more has to come before the text can mean anything: a bracket, a string in backticks or `#"…"#`, or a comment
/// is open.
#[must_use]
pub fn is_open(text: &str) -> bool {
    let mut reader = Reader { text, offset: 0, line: 1, column: 1, tokens: Vec::new(), open: false };
    while reader.offset < text.len() {
        reader.code(false);
    }
    reader.open || unclosed(&reader.tokens).is_some()
}

/// A `fn` of the text.
#[derive(Debug)]
pub struct Function<'a> {
    pub name: &'a str,
    pub params: Vec<&'a str>,
    /// From the `fn` to the `}`; to the end of the text where that is missing.
    pub from: (usize, usize),
    pub to: (usize, usize),
}

/// The functions that the text defines.
#[must_use]
pub fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (index, window) in tokens.windows(3).enumerate() {
        let [keyword, name, open] = window else { continue };
        if !keyword.is("fn") || name.what != What::Name || !open.is("(") {
            continue;
        }
        let rest = tokens.get(index + 3..).unwrap_or_default();
        let end = rest.iter().position(|t| t.is(")")).unwrap_or(rest.len());
        let params = rest.iter().take(end).filter(|t| t.what == What::Name).map(|t| t.text).collect();
        let mut depth = 0usize;
        let mut to = (usize::MAX, 0);
        for token in rest.iter().skip(end) {
            if token.is("{") || token.is("#{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    to = token.end;
                    break;
                }
            }
        }
        found.push(Function { name: name.text, params, from: keyword.at(), to });
    }
    found
}

/// A variable that the text declares: name, place, and whether by `const`.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'a> {
    pub name: &'a str,
    pub line: usize,
    pub column: usize,
    pub constant: bool,
}

/// What `let`, `const`, `for`, `catch`, a closure's or a function's parameters declare.
#[must_use]
pub fn variables<'a>(tokens: &[Token<'a>]) -> Vec<Variable<'a>> {
    let mut found = Vec::new();
    let mut push = |token: &Token<'a>, constant: bool| {
        if token.what == What::Name && !KEYWORDS.contains(&token.text) {
            found.push(Variable { name: token.text, line: token.line, column: token.column, constant });
        }
    };
    for (index, token) in tokens.iter().enumerate() {
        let rest = tokens.get(index + 1..).unwrap_or_default();
        if token.is("let") || token.is("const") {
            rest.iter().take(1).for_each(|t| push(t, token.is("const")));
        } else if token.is("for") || token.is("catch") {
            rest.iter().take_while(|t| !t.is("in") && !t.is("{")).for_each(|t| push(t, false));
        } else if token.is("fn") {
            rest.iter().skip(1).take_while(|t| !t.is("{")).for_each(|t| push(t, false));
        } else if token.is("|") {
            // A closure's parameters are names and commas up to the next bar.
            let names: Vec<_> = rest.iter().take_while(|t| t.what == What::Name || t.is(",")).collect();
            if rest.get(names.len()).is_some_and(|t| t.is("|")) {
                names.into_iter().for_each(|t| push(t, false));
            }
        }
    }
    found
}

/// Whether the name at `column` of `line` is the name of a call that is written `object.name(…)`.
pub(super) fn is_method_call(tokens: &[Token<'_>], line: usize, column: usize) -> bool {
    let before = token_before(tokens, line, column);
    before.is_some_and(|t| t.is("."))
}

/// Where `object.name(` stands, if it does so exactly once.
pub(super) fn only_method_call(tokens: &[Token<'_>], name: &str) -> Option<(usize, usize)> {
    let mut places = tokens.windows(3).filter_map(|w| match w {
        [dot, method, open] if dot.is(".") && method.is(name) && open.is("(") => Some(method.at()),
        _ => None,
    });
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|t| t.text).collect()
    }

    #[test]
    fn words_strings_comments_and_interpolations() {
        assert_eq!(
            words("let a = `x${b + `y${c}`}z`; // d\n/* e /* f */ */ g"),
            ["let", "a", "=", "`x${", "b", "+", "`y${", "c", "`", "z`", ";", "g"]
        );
        assert_eq!(words("a::b(#{k: 'c', \"d\\\"e\": 1.5})").len(), 14);
        assert_eq!(words("##\"raw \"# \"## x"), ["##\"raw \"# \"##", "x"]);
        assert_eq!(
            words("1..5 2.max(3) \"open\nx"),
            ["1", ".", ".", "5", "2", ".", "max", "(", "3", ")", "\"open", "x"]
        );
        assert_eq!(words("}} a `${ } b"), ["}", "}", "a", "`${", " b"]);
        assert_eq!(words("#!/usr/bin/env nsscript\nlet"), ["let"]);
    }

    #[test]
    fn open_texts_wait_for_more() {
        for text in ["f(", "#{ a: 1,", "`a", "`a ${b", "`a ${b}", "/* a", "/* a /* b */", "#\"a", "fn f() {", "[1,\n2"]
        {
            assert!(is_open(text), "{text}");
        }
        for text in
            ["", "f()", "`a ${b} c`", "\"a", "/* a */", "#\"a\"#", "fn f() { 1 }", "f)", "let x = '{';", "\"(\""]
        {
            assert!(!is_open(text), "{text}");
        }
    }

    #[test]
    fn never_fails() {
        let text = "fn f(a, { \"\\";
        for end in 0..=text.len() {
            let tokens = tokens(&text[..end]);
            let _ = (functions(&tokens), variables(&tokens));
            unclosed(&tokens);
        }
        for text in ["`${", "'", "#\"", "/*", "é", "\\", "|", "fn", "for", "::"] {
            let _ = tokens(text);
        }
    }

    #[test]
    fn places_functions_and_variables() {
        let text = "fn f(a, b) {\n  let c = |d, e| d;\n}\nconst G = 1;\nfor (x, i) in y { topo::star(1); }";
        let tokens = tokens(text);
        let functions = functions(&tokens);
        assert_eq!((functions[0].name, functions[0].from, functions[0].to), ("f", (1, 1), (3, 2)));
        assert_eq!(functions[0].params, ["a", "b"]);
        let names: Vec<_> = variables(&tokens).iter().map(|v| v.name).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e", "G", "x", "i"]);
        assert_eq!(length_at(&tokens, 5, 19), 10);
        assert_eq!(length_at(&tokens, 2, 3), 3);
        assert_eq!(length_at(&tokens, 9, 9), 1);
    }
}

//! The line editor: history, highlighting, hints, and input of several lines.

use super::complete;
use super::interpreter::Interpreter;
use crate::engine::docs::Reference;
use crate::engine::tokens::{self, KEYWORDS, Token, What};
use crate::kernel::terminal::Interrupts;
use crate::report::Style;
use rustyline::completion::{Completer, Pair};
use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::history::{FileHistory, History as _};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, ColorMode, CompletionType, Config, Context, EditMode, Editor, Helper, KeyEvent};
use std::borrow::Cow;
use std::cell::RefCell;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How many lines are remembered.
const REMEMBERED: usize = 5000;

/// What came from the terminal.
pub enum Typed {
    Line(String),
    /// Ctrl-C: the line is forgotten.
    Cancelled,
    /// Ctrl-D, or the terminal has gone.
    End,
}

/// The editor with its history.
pub struct Terminal {
    editor: Editor<Assistant, FileHistory>,
    interrupts: Interrupts,
    file: Option<PathBuf>,
    style: Style,
    /// Whether the terminal can be edited on.
    screen: bool,
    /// The keys, where they were chosen in the session.
    vi: Option<bool>,
}

impl Terminal {
    /// # Errors
    /// The terminal can't be used.
    pub fn new(
        interpreter: Rc<RefCell<Interpreter>>,
        reference: Rc<Reference>,
        style: Style,
        interrupts: Interrupts,
        screen: bool,
    ) -> std::result::Result<Terminal, ReadlineError> {
        let config = config(style)?;
        let mut history = FileHistory::with_config(&config);
        let file = history_file();
        if let Some(file) = &file {
            let _ = history.load(file);
        }
        let assistant = Assistant { interpreter, reference, style };
        let editor = editor(config, history, assistant)?;
        Ok(Terminal { editor, interrupts, file, style, screen, vi: None })
    }

    /// Forgets what was typed ahead: Ctrl-C is for all of it.
    pub fn forget_ahead(&mut self) {
        let Ok(config) = config(self.style) else { return };
        let history = std::mem::replace(self.editor.history_mut(), FileHistory::with_config(&config));
        let Some(assistant) = self.editor.helper().cloned() else { return };
        if let Ok(fresh) = editor(config, history, assistant) {
            self.editor = fresh;
            if let Some(vi) = self.vi {
                self.set_vi(vi);
            }
        }
    }

    /// Has a line edited. Ctrl-C is [`ReadlineError::Interrupted`], and was for this line alone.
    fn edit(
        &mut self,
        edit: impl FnOnce(&mut Editor<Assistant, FileHistory>) -> rustyline::Result<String>,
    ) -> rustyline::Result<String> {
        let done = self.interrupts.editing(self.screen, || edit(&mut self.editor));
        match done {
            Ok(Some(done)) => done,
            Ok(None) => Err(ReadlineError::Interrupted),
            Err(error) => Err(ReadlineError::Io(std::io::Error::other(error.message))),
        }
    }

    /// Reads an input: a line, or several until all brackets are closed.
    ///
    /// # Errors
    /// The terminal can't be read.
    pub fn read(&mut self, prompt: &str, styled: &str) -> std::result::Result<Typed, ReadlineError> {
        loop {
            let coloured = self.style.color;
            let read = self.edit(|editor| match coloured {
                true => editor.readline(&(prompt, styled)),
                false => editor.readline(prompt),
            });
            return match read {
                Ok(line) => {
                    self.remember(&line);
                    Ok(Typed::Line(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Typed::Cancelled),
                Err(ReadlineError::Eof) => Ok(Typed::End),
                // The window has another size.
                Err(ReadlineError::Signal(_)) => continue,
                Err(ReadlineError::Io(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Typed::End),
                Err(ReadlineError::Errno(_) | ReadlineError::Io(_)) => Ok(Typed::End),
                Err(error) => Err(error),
            };
        }
    }

    /// Asks for a word that is no part of the history.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        self.edit(|editor| editor.readline(question)).ok()
    }

    /// Chooses the keys.
    pub fn set_vi(&mut self, vi: bool) {
        self.vi = Some(vi);
        self.editor.set_edit_mode(if vi { EditMode::Vi } else { EditMode::Emacs });
    }

    /// Adds a line to the history, in the place of an equal one. What other sessions added meanwhile stays.
    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || line.starts_with(char::is_whitespace) {
            return;
        }
        let add = |history: &mut FileHistory| {
            let others: Vec<String> = history.iter().filter(|l| *l != line).cloned().collect();
            let _ = history.clear();
            for other in others {
                let _ = history.add(&other);
            }
            let _ = history.add(line);
        };
        add(self.editor.history_mut());
        if let Some(file) = &self.file {
            let Ok(config) = config(self.style) else { return };
            let mut all = FileHistory::with_config(&config);
            let _ = all.load(file);
            add(&mut all);
            let _ = all.save(file);
        }
    }
}

fn config(style: Style) -> std::result::Result<Config, ReadlineError> {
    let config = Config::builder()
        .max_history_size(REMEMBERED)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .edit_mode(edit_mode())
        .color_mode(if style.color { ColorMode::Enabled } else { ColorMode::Disabled })
        // Ctrl-C is one: see `Interrupts`.
        .enable_signals(true)
        .bracketed_paste(true);
    Ok(config.build())
}

fn editor(
    config: Config,
    history: FileHistory,
    assistant: Assistant,
) -> rustyline::Result<Editor<Assistant, FileHistory>> {
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(assistant));
    // The terminal has no keys for these while a line is edited, and calls that Ctrl-@.
    editor.bind_sequence(KeyEvent::ctrl('Z'), Cmd::Suspend);
    editor.bind_sequence(KeyEvent::ctrl('\\'), Cmd::Interrupt);
    editor.bind_sequence(KeyEvent::ctrl('@'), Cmd::Noop);
    Ok(editor)
}

/// `$XDG_STATE_HOME/nsscript/history` (XDG Base Directory Specification); its folder is made, for its owner only.
fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    let folder = state.join("nsscript");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    let file = folder.join("history");
    private(&file).ok()?;
    Some(file)
}

/// Makes the file, readable by its owner only.
fn private(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

/// `NSSCRIPT_KEYS=vi|emacs`, else what readline(3) was told in its file, else emacs.
fn edit_mode() -> EditMode {
    if let Ok(keys) = std::env::var("NSSCRIPT_KEYS") {
        return if keys == "vi" { EditMode::Vi } else { EditMode::Emacs };
    }
    let file = std::env::var_os("INPUTRC")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".inputrc")));
    let text = file.and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
    let vi = text.lines().any(|l| l.split_whitespace().eq(["set", "editing-mode", "vi"]));
    if vi { EditMode::Vi } else { EditMode::Emacs }
}

/// What helps while a line is typed.
#[derive(Clone)]
pub struct Assistant {
    interpreter: Rc<RefCell<Interpreter>>,
    reference: Rc<Reference>,
    style: Style,
}

impl Helper for Assistant {}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = complete::complete(&self.interpreter.borrow(), &self.reference, line, pos);
        let pairs = found.into_iter().map(|c| Pair { display: c.shown, replacement: c.text }).collect();
        Ok((start, pairs))
    }
}

/// Text behind the cursor.
pub struct Hint {
    shown: String,
    /// What the right arrow takes over: nothing of a signature.
    taken: Option<String>,
}

impl rustyline::hint::Hint for Hint {
    fn display(&self) -> &str {
        &self.shown
    }

    fn completion(&self) -> Option<&str> {
        self.taken.as_deref()
    }
}

impl Hinter for Assistant {
    type Hint = Hint;

    fn hint(&self, line: &str, pos: usize, ctx: &Context<'_>) -> Option<Hint> {
        if pos < line.len() {
            return None;
        }
        if let Some(text) = HistoryHinter::new().hint(line, pos, ctx) {
            return Some(Hint { shown: text.clone(), taken: Some(text) });
        }
        let shown = complete::signature_hint(&self.reference, line)?;
        Some(Hint { shown: format!("  {shown}"), taken: None })
    }
}

impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = ctx.input();
        Ok(if !super::shell::is_whole(text) && tokens::is_open(text) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.style.color || line.is_empty() {
            return Cow::Borrowed(line);
        }
        Cow::Owned(highlight(line, &|name| !self.reference.find(name).is_empty()))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.style.paint("2", hint))
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.style.color
    }
}

/// A text in colours. `known` says which names are functions.
#[must_use]
pub fn highlight(text: &str, known: &dyn Fn(&str) -> bool) -> String {
    if text.trim_start().starts_with(':') {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (command, rest) = text.split_at(end.max(1));
        return format!("\x1b[1;33m{command}\x1b[0m{rest}");
    }
    let all = tokens::tokens(text);
    let mut out = String::with_capacity(text.len() * 2);
    let mut done = 0;
    let gap = |out: &mut String, from: usize, to: usize| {
        let between = text.get(from..to).unwrap_or_default();
        // What is no token is blank or a comment.
        if between.trim().is_empty() {
            out.push_str(between);
        } else {
            out.push_str(&format!("\x1b[2m{between}\x1b[0m"));
        }
    };
    for (n, token) in all.iter().enumerate() {
        let start = offset(text, token);
        gap(&mut out, done, start);
        done = start + token.text.len();
        let call = all.get(n + 1).is_some_and(|t| t.is("("));
        let code = match token.what {
            What::Text | What::Char => "32",
            What::Number => "36",
            What::Name if KEYWORDS.contains(&token.text) => "35",
            What::Name if call && known(token.text) => "34",
            _ => "",
        };
        if code.is_empty() {
            out.push_str(token.text);
        } else {
            out.push_str(&format!("\x1b[{code}m{}\x1b[0m", token.text));
        }
    }
    gap(&mut out, done, text.len());
    out
}

/// Where a token of `text` begins, in bytes.
#[must_use]
pub fn offset(text: &str, token: &Token<'_>) -> usize {
    token.text.as_ptr() as usize - text.as_ptr() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_add_nothing_and_lose_nothing() {
        let plain = |text: &str| {
            let mut out = String::new();
            let mut rest = text;
            while let Some(at) = rest.find('\x1b') {
                out.push_str(&rest[..at]);
                rest = &rest[at..];
                rest = &rest[rest.find('m').unwrap() + 1..];
            }
            out + rest
        };
        for text in [
            "let a = netns_add(\"h1\"); // one",
            "`a ${b + 1} c`",
            ":undo 2",
            "  x",
            "f(",
            "é + 'x' /* c */ 1.5",
            "\"open",
        ] {
            let coloured = highlight(text, &|name| name == "netns_add");
            assert_eq!(plain(&coloured), text);
        }
        assert!(highlight("netns_add(1)", &|_| true).starts_with("\x1b[34mnetns_add\x1b[0m("));
    }
}

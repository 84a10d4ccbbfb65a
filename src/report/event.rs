//! What happens, as data: one event for each thing that a reader may want to know. [`Sink`]s show or write them.

use super::diagnostic::Diagnostic;
use serde::Serialize;
use std::io;

/// Which of a program's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Something that happened. As JSON an object whose `event` is the name in snake case: `{"event":"print","text":"…"}`.
///
/// Empty names mean: the host's namespace (`ns`), nothing of note (`target`). Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The kernel was (or, in a plan, would be) asked for one thing.
    Step {
        /// Number of the step in this run, from 1.
        index: usize,
        /// The verb.
        op: String,
        ns: String,
        target: String,
        /// The `ip` (or `tc`, `bridge`, `sysctl` …) command that does the same.
        ip: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// From 1; 0 where unknown.
        line: usize,
        /// It takes step `index` back.
        undo: bool,
    },
    /// In a plan: the result of the last step was simulated; with `copy` it was found out, but in the copy of the world.
    Simulated {
        what: String,
        copy: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// From 1; 0 where unknown.
        line: usize,
    },
    /// A plan is whole. Nothing of it was done.
    Planned {
        name: String,
        /// How many steps it has.
        steps: usize,
        /// What would stand afterwards.
        namespaces: usize,
        links: usize,
        processes: usize,
        /// How many results were simulated.
        simulated: usize,
        /// The exit status of a run.
        status: i32,
        /// The script would fail: all of it would be undone.
        fails: bool,
        /// It is the last step itself that would fail; otherwise what comes after it.
        refused: bool,
    },
    /// The script's `print`: data.
    Print { text: String },
    /// The script's `debug`.
    Debug {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// From 1; 0 where unknown.
        line: usize,
    },
    /// What a command wrote, one or more whole lines.
    Output { stream: Stream, ns: String, text: String },
    /// Talk.
    Note { message: String },
    /// Something to look at that is no error.
    Warning {
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A run began.
    Started {
        name: String,
        /// In namespaces of its own, without privileges.
        sandbox: bool,
    },
    /// A lab was committed. `message` is what else there is to say, such as how to take it down; may be empty.
    Stands { name: String, namespaces: usize, links: usize, processes: usize, ms: u64, message: String },
    /// A lab was taken away.
    TookDown {
        name: String,
        steps: usize,
        ms: u64,
        /// What it touched was read again, and equals what was there before it.
        verified: bool,
        differences: Vec<String>,
        errors: Vec<String>,
    },
    /// A failed run was taken back.
    RolledBack { steps: usize, ms: u64, verified: bool, differences: Vec<String>, errors: Vec<String> },
    /// The error that ended the run. `text` is [`Diagnostic::plain`]; the diagnostic's fields stand beside it.
    Error {
        text: String,
        #[serde(flatten)]
        diagnostic: Box<Diagnostic>,
    },
}

impl Event {
    /// The event of an error.
    #[must_use]
    pub fn error(diagnostic: Diagnostic) -> Event {
        Event::Error { text: diagnostic.plain(), diagnostic: Box::new(diagnostic) }
    }
}

/// Where events go.
pub trait Sink {
    /// Shows or writes the event at once. Never fails: what went wrong is kept for [`Sink::broken`].
    fn event(&mut self, event: &Event);

    /// The first error of writing to stdout (mostly `BrokenPipe`: the reader has gone), as often as it is asked for.
    /// Nothing is written there after it. That stderr can't be written is no reason to stop, and is not kept.
    fn broken(&self) -> Option<io::Error>;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn event(&mut self, event: &Event) {
        (**self).event(event);
    }

    fn broken(&self) -> Option<io::Error> {
        (**self).broken()
    }
}

/// A writer that remembers its first error and writes no more after it.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    out: W,
    broken: Option<io::Error>,
}

impl<W: io::Write> Writer<W> {
    pub(crate) fn new(out: W) -> Self {
        Writer { out, broken: None }
    }

    /// Writes `text` in one piece, so that the lines of two processes on one terminal do not mix, and flushes.
    pub(crate) fn put(&mut self, text: &str) {
        if self.broken.is_none() {
            self.broken = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).err();
        }
    }

    /// The error again: [`io::Error`] can't be cloned, but its errno, kind and words can.
    pub(crate) fn broken(&self) -> Option<io::Error> {
        let error = self.broken.as_ref()?;
        Some(match error.raw_os_error() {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &W {
        &self.out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a pipe is whose reader has gone.
    pub(crate) struct Gone;

    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(32))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_are_tagged_objects() {
        let event = Event::Stands {
            name: "two-hosts".into(),
            namespaces: 3,
            links: 4,
            processes: 0,
            ms: 12,
            message: String::new(),
        };
        let want =
            r#"{"event":"stands","name":"two-hosts","namespaces":3,"links":4,"processes":0,"ms":12,"message":""}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), want);
        let event = Event::Output { stream: Stream::Stderr, ns: "h1".into(), text: "x".into() };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"output","stream":"stderr","ns":"h1","text":"x"}"#
        );
        let diagnostic = Diagnostic {
            file: Some("a.rhai".into()),
            line: 1,
            column: 2,
            len: 3,
            ..Diagnostic::new("not_found", "no link")
        };
        let want = r#"{"event":"error","text":"a.rhai:1:2: error: no link","kind":"not_found","message":"no link","file":"a.rhai","line":1,"column":2,"len":3}"#;
        assert_eq!(serde_json::to_string(&Event::error(diagnostic)).unwrap(), want);
    }
}

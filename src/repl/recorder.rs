//! The listener of a session: gives every event on, and keeps the steps of the line that runs.

use crate::engine::session::Listener;
use crate::report::event::Stream;
use crate::report::{Event, Sink};
use std::io::{self, Write as _};

/// A step as `:history` and `:explain` show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The verb, or `exec`, `ping` and the like, which have no undo.
    pub op: String,
    /// The `ip` command that does the same.
    pub ip: String,
    /// Whether it stands in the journal: then undo takes it back.
    pub undoable: bool,
}

/// See above.
pub struct Recorder {
    inner: Listener,
    seen: Vec<Seen>,
    /// Whether the listener is to have the steps too.
    steps: bool,
    /// Whether what programs write is written as it is, and not as an event.
    plain: bool,
    /// Whether any program's output was seen.
    output: bool,
}

impl Recorder {
    #[must_use]
    pub fn new(inner: Listener, steps: bool) -> Recorder {
        Recorder { inner, seen: Vec::new(), steps, plain: false, output: false }
    }

    /// Whether what programs write is written as it is from now on.
    pub fn set_plain(&mut self, plain: bool) {
        self.plain = plain;
    }

    /// Whether any program's output was seen since it was last asked.
    pub fn took_output(&mut self) -> bool {
        std::mem::take(&mut self.output)
    }

    /// The steps since it was last asked.
    pub fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event) {
        if let Event::Step { index, op, ip, undo, .. } = event {
            if !undo {
                self.seen.push(Seen { op: op.clone(), ip: ip.clone(), undoable: *index > 0 });
            }
            if !self.steps {
                return;
            }
            // Places in a session are those of its lines: the line itself has just been typed.
            let mut event = event.clone();
            if let Event::Step { file, line, .. } = &mut event {
                (*file, *line) = (None, 0);
            }
            self.inner.borrow_mut().event(&event);
            return;
        }
        if let Event::Output { stream, text, .. } = event {
            self.output = true;
            if self.plain {
                let text = format!("{text}\n");
                // Whoever read it may have gone.
                let _ = match stream {
                    Stream::Stdout => io::stdout().lock().write_all(text.as_bytes()),
                    Stream::Stderr => io::stderr().lock().write_all(text.as_bytes()),
                };
                return;
            }
        }
        self.inner.borrow_mut().event(event);
    }

    fn broken(&self) -> Option<io::Error> {
        self.inner.borrow().broken()
    }
}

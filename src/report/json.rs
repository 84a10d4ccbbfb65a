//! Events as JSON lines: one object a line, all on stdout.

use super::event::{Event, Sink, Writer};
use std::io;

/// Writes every event as one line of JSON.
#[derive(Debug)]
pub struct JsonLines<O> {
    out: Writer<O>,
}

impl JsonLines<io::Stdout> {
    /// To the process's stdout.
    #[must_use]
    pub fn stdout() -> Self {
        JsonLines::new(io::stdout())
    }
}

impl<O: io::Write> JsonLines<O> {
    /// To `out`.
    pub fn new(out: O) -> Self {
        JsonLines { out: Writer::new(out) }
    }
}

impl<O: io::Write> Sink for JsonLines<O> {
    fn event(&mut self, event: &Event) {
        // An event holds strings and numbers only: it always serializes.
        if let Ok(mut line) = serde_json::to_string(event) {
            line.push('\n');
            self.out.put(&line);
        }
    }

    fn broken(&self) -> Option<io::Error> {
        self.out.broken()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::tests::Gone;
    use super::*;

    #[test]
    fn one_line_an_event() {
        let mut sink = JsonLines::new(Vec::new());
        sink.event(&Event::Print { text: "a\nb \"c\"".into() });
        sink.event(&Event::Warning { message: "m".into(), hint: None });
        let text = String::from_utf8(sink.out.inner().clone()).unwrap();
        let want = "{\"event\":\"print\",\"text\":\"a\\nb \\\"c\\\"\"}\n{\"event\":\"warning\",\"message\":\"m\"}\n";
        assert_eq!(text, want);
        assert!(sink.broken().is_none());
    }

    #[test]
    fn a_reader_that_has_gone_is_remembered() {
        let mut sink = JsonLines::new(Gone);
        sink.event(&Event::Print { text: "a".into() });
        sink.event(&Event::Print { text: "b".into() });
        assert_eq!(sink.broken().unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sink.broken().unwrap().raw_os_error(), Some(32));
    }
}

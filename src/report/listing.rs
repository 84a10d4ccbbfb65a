//! The events of a plan, with its steps numbered and counted.

use super::event::{Event, Sink};
use std::collections::HashMap;
use std::io;

/// Gives events on to another sink, the steps numbered from 1: also those that are no verb, and have no number in a run.
#[derive(Debug)]
pub struct Listing<S> {
    inner: S,
    steps: usize,
    simulated: usize,
    /// Of a verb's number in the transaction, that in the list.
    numbers: HashMap<usize, usize>,
    /// Whether the steps that take others back are told.
    undo: bool,
}

impl<S: Sink> Listing<S> {
    pub fn new(inner: S) -> Self {
        Listing { inner, steps: 0, simulated: 0, numbers: HashMap::new(), undo: true }
    }

    /// How many steps came so far, and how many results were simulated.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.steps, self.simulated)
    }

    /// From now on what is taken back is not told: it is the end of the plan.
    pub fn close(&mut self) {
        self.undo = false;
    }
}

impl<S: Sink> Sink for Listing<S> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step { undo: true, .. } if !self.undo => return,
            Event::Step { index, undo, .. } => {
                let number = if *undo {
                    self.numbers.get(index).copied().unwrap_or_default()
                } else {
                    self.steps += 1;
                    self.numbers.insert(*index, self.steps);
                    self.steps
                };
                let mut event = event.clone();
                if let Event::Step { index, .. } = &mut event {
                    *index = number;
                }
                return self.inner.event(&event);
            }
            Event::Simulated { copy: false, .. } => self.simulated += 1,
            _ => {}
        }
        self.inner.event(event);
    }

    fn broken(&self) -> Option<io::Error> {
        self.inner.broken()
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::Terminal;
    use super::super::{Level, Style};
    use super::*;

    fn step(index: usize, op: &str, undo: bool) -> Event {
        let file = Some("lab.rhai".to_owned());
        Event::Step {
            index,
            op: op.into(),
            ns: "h1".into(),
            target: "t".into(),
            ip: format!("do {op}"),
            file,
            line: 4,
            undo,
        }
    }

    #[test]
    fn steps_are_numbered_whatever_they_are() {
        let mut sink = Listing::new(Terminal::new(Vec::new(), Vec::new(), Level::Plan, Style::PLAIN));
        sink.event(&step(1, "netns_add", false));
        sink.event(&step(0, "ping", false));
        sink.event(&Event::Simulated { what: "it answers".into(), copy: false, file: None, line: 0 });
        sink.event(&step(2, "link_add", false));
        sink.event(&step(2, "link_del", true));
        sink.close();
        sink.event(&step(1, "netns_del", true));
        assert_eq!(sink.counts(), (3, 1));
        let (out, _) = sink.inner.texts();
        let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            [
                "   1  netns_add in h1: t                                      lab.rhai:4",
                "        do netns_add",
                "   2  ping in h1: t                                           lab.rhai:4",
                "        do ping",
                "        simulated: it answers",
                "   3  link_add in h1: t                                       lab.rhai:4",
                "        do link_add",
                "  -3  link_del in h1: t                                       lab.rhai:4",
                "        do link_del",
            ]
        );
    }
}

//! Where a run's time goes: a stopwatch that is always in one phase. Off (a look at a flag) unless the environment has
//! `NSSCRIPT_PROFILE`; then one line of JSON on stderr at the end, which the benchmark reads.
//!
//! Only the thread that started it is timed: what helper threads do counts as far as that one waits for it.

use std::cell::{Cell, RefCell};
use std::time::Instant;

/// What the time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// From the start of the program to that of the script, and after its end.
    Start,
    /// The interpreter.
    Script,
    /// Functions: checks, lowering to verbs, undo, bookkeeping.
    Lower,
    /// The undo log.
    Journal,
    /// Netlink requests.
    Netlink,
    /// Namespaces made, opened, named and unnamed.
    Namespace,
    /// Programs run.
    Process,
    /// Waiting for the kernel: links that follow their carrier, duplicate address detection.
    Wait,
}

const NAMES: [&str; 8] = ["start", "script", "lower", "journal", "netlink", "namespace", "process", "wait"];

struct Watch {
    now: Cell<usize>,
    since: Cell<Instant>,
    /// Nanoseconds, and how often it was entered.
    spent: RefCell<[(u64, u64); NAMES.len()]>,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static WATCH: Watch = Watch {
        now: Cell::new(Phase::Start as usize),
        since: Cell::new(Instant::now()),
        spent: RefCell::default(),
    };
}

/// Begins to measure on this thread, if the environment asks for it.
pub fn start() {
    if std::env::var_os("NSSCRIPT_PROFILE").is_some() {
        ON.set(true);
        WATCH.with(|w| w.since.set(Instant::now()));
    }
}

impl Watch {
    fn turn(&self, to: usize) -> usize {
        let now = Instant::now();
        let spent = now.duration_since(self.since.replace(now));
        let from = self.now.replace(to);
        self.spent.borrow_mut()[from].0 += u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        from
    }
}

/// A stretch of time in one phase; at its end the phase before goes on.
#[must_use = "the phase ends with it"]
pub struct Span(Option<usize>);

/// Begins a phase.
#[inline]
pub fn enter(phase: Phase) -> Span {
    if !ON.get() {
        return Span(None);
    }
    WATCH.with(|w| {
        w.spent.borrow_mut()[phase as usize].1 += 1;
        Span(Some(w.turn(phase as usize)))
    })
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(back) = self.0 {
            WATCH.with(|w| w.turn(back));
        }
    }
}

/// What was measured: milliseconds of each phase, and how often it was entered. `None`: nothing was.
#[must_use]
pub fn report() -> Option<serde_json::Value> {
    if !ON.get() {
        return None;
    }
    WATCH.with(|w| w.turn(w.now.get()));
    let spent = WATCH.with(|w| *w.spent.borrow());
    let mut out = serde_json::Map::new();
    for (name, (nanos, times)) in NAMES.iter().zip(spent) {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
        let ms = (nanos / 1000) as f64 / 1000.0;
        out.insert((*name).into(), serde_json::json!({ "ms": ms, "times": times }));
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_nothing_is_measured() {
        drop(enter(Phase::Netlink));
        assert_eq!(report(), None);
    }

    #[test]
    fn the_inner_phase_is_not_the_outer_ones() {
        ON.set(true);
        WATCH.with(|w| w.since.set(Instant::now()));
        let outer = enter(Phase::Script);
        let inner = enter(Phase::Netlink);
        let start = Instant::now();
        while start.elapsed().as_millis() < 3 {}
        drop(inner);
        drop(outer);
        let report = report().unwrap();
        assert!(report["netlink"]["ms"].as_f64().unwrap() >= 3.0, "{report}");
        assert!(report["script"]["ms"].as_f64().unwrap() < 3.0, "{report}");
        assert_eq!(report["netlink"]["times"], 1);
        ON.set(false);
    }
}

//! Words and colours: how errors and events look, on a terminal and as JSON lines. Nothing here acts.
//!
//! stdout is data, stderr is talk: what a script prints goes to stdout, everything else to stderr; with `--json`
//! everything is one JSON object a line on stdout.

pub mod diagnostic;
pub mod event;
pub mod json;
pub mod listing;
pub mod text;

pub use diagnostic::{Diagnostic, Frame, Style};
pub use event::{Event, Sink};
pub use json::JsonLines;
pub use listing::Listing;
pub use text::{Level, Terminal};

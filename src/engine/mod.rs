//! Rhai: its set-up, its limits, its modules, and the way from its values and errors to ours.

pub mod check;
pub mod diagnose;
pub mod docs;
mod explain;
mod host;
mod kind;
pub mod modules;
#[cfg(test)]
mod sample;
pub mod session;
pub mod signatures;
pub mod tokens;
pub mod value;

pub use check::check;
pub use diagnose::{Sources, diagnose, diagnose_parse};
pub use host::{Ended, Host, blank_shebang, ends_it, words_of};
pub use kind::{caught, kind_of};
pub use session::{Session, Setting};

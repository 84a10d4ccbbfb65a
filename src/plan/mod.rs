//! Verbs, their checks and their inverses: pure data and pure functions, no I/O.

pub mod error;
pub mod nearest;
pub use error::{Error, Kind, Result};
pub use nearest::nearest;

//! nsscript: scripts that build Linux network-namespace labs over netlink, all or nothing.

// The code that Rhai's plugin macros write unwraps; our own does not (tests/tidy.rs looks).
#[allow(clippy::unwrap_used)]
pub mod builtins;
pub mod cli;
pub mod engine;
pub mod kernel;
pub mod plan;
pub mod report;
pub mod txn;

//! nsscript: scripts that build Linux network-namespace labs over netlink, all or nothing.

#![cfg_attr(
    test,
    allow(
        clippy::pedantic,
        clippy::ptr_arg,
        clippy::disallowed_methods,
        clippy::undocumented_unsafe_blocks,
        clippy::unwrap_used
    )
)]

// The code that Rhai's plugin macros write unwraps; our own does not (tests/tidy.rs looks).
#[allow(clippy::unwrap_used)]
pub mod builtins;
pub mod cli;
pub mod engine;
pub mod kernel;
pub mod phase;
pub mod plan;
pub mod repl;
pub mod report;
pub mod txn;

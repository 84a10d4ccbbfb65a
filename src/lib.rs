//! nsscript: scripts that build Linux network-namespace labs over netlink, all or nothing.

// An error names the object, the namespace, the kernel's words and what to do: it is large, and rare.
#![allow(clippy::result_large_err)]

pub mod builtins;
pub mod cli;
pub mod engine;
pub mod kernel;
pub mod plan;
pub mod report;
pub mod txn;

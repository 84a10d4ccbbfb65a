//! nsscript: scripts that build Linux network-namespace labs over netlink, all or nothing.

pub mod builtins;
pub mod cli;
pub mod engine;
pub mod kernel;
pub mod plan;
pub mod report;
pub mod txn;

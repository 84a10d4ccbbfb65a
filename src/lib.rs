//! nsscript: scripts that build Linux network-namespace labs over netlink, all or nothing.

pub mod kernel;
pub mod plan;
pub mod txn;

//! The only room that enters a namespace, opens a socket or starts a process.

pub mod cancel;
pub mod sandbox;
pub use cancel::Cancel;

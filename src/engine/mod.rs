//! The script language's side: Rhai, its errors, its checks. Never touches the kernel.

pub mod check;
pub mod diagnose;
#[cfg(test)]
mod sample;
mod signatures;
mod tokens;

pub use check::check;
pub use diagnose::{Sources, diagnose, diagnose_parse, kind_of};

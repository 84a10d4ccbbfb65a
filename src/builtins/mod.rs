//! The script functions, one family a file. A function checks its arguments and lowers to verbs; it never performs
//! anything itself.

pub mod addr;
pub mod exec;
pub mod file;
pub mod flow;
pub mod link;
pub mod neigh;
pub mod netns;
pub mod ping;
pub mod route;
mod show;
pub mod subnet;
pub mod sysctl;

use rhai::Engine;
use rhai::plugin::*;

/// Registers every family, in alphabetical order.
pub fn register(engine: &mut Engine) {
    for module in [
        exported_module!(addr::functions),
        exported_module!(exec::functions),
        exported_module!(file::functions),
        exported_module!(flow::functions),
        exported_module!(link::functions),
        exported_module!(link::bridge::functions),
        exported_module!(link::veth::functions),
        exported_module!(neigh::functions),
        exported_module!(netns::functions),
        exported_module!(ping::functions),
        exported_module!(route::functions),
        exported_module!(subnet::functions),
        exported_module!(sysctl::functions),
    ] {
        engine.register_global_module(module.into());
    }
}

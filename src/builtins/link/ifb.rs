//! `ifb`: an intermediate functional block, on which what comes in can be queued (drivers/net/ifb.c).

use super::kind::Choice;
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// None of its own.
pub const OPTIONS: &[Choice] = &[];

#[export_module]
pub mod functions {
    /// Makes an intermediate functional block: a link to which incoming packets are redirected so that they can be queued.
    ///
    /// Options: those of every link (see `bridge`). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let i = ifb("h:i0", #{ up: true, queues: 1 });
    /// assert_eq(i.kind, "ifb");
    /// ```
    #[rhai_fn(name = "ifb", return_raw)]
    pub fn ifb(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ifb", dev, Map::new()))
    }

    #[rhai_fn(name = "ifb", return_raw)]
    pub fn ifb_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "ifb", dev, options))
    }
}

//! `dummy`: a link that takes all and gives nothing (drivers/net/dummy.c).

use super::kind::Choice;
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// None of its own.
pub const OPTIONS: &[Choice] = &[];

#[export_module]
pub mod functions {
    /// Makes a dummy: a link that drops what it is sent. Good for addresses that are always there.
    ///
    /// Options: those of every link (see `bridge`). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let d = dummy("h:d0", #{ up: true, addr: "10.9.9.9/32" });
    /// assert_eq(d.kind, "dummy");
    /// assert_ping("h", "10.9.9.9");
    /// ```
    #[rhai_fn(name = "dummy", return_raw)]
    pub fn dummy(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "dummy", dev, Map::new()))
    }

    #[rhai_fn(name = "dummy", return_raw)]
    pub fn dummy_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "dummy", dev, options))
    }
}

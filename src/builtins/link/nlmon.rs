//! `nlmon`: a copy of what goes over netlink, for tcpdump (drivers/net/nlmon.c).

use super::kind::Choice;
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// None of its own.
pub const OPTIONS: &[Choice] = &[];

#[export_module]
pub mod functions {
    /// Makes a monitor of netlink: what programs and the kernel tell each other there can be read from it with tcpdump.
    ///
    /// Options: those of every link but `mac` (see `bridge`). Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let n = nlmon("h:nl0", #{ up: true });
    /// assert_eq(n.kind, "nlmon");
    /// ```
    #[rhai_fn(name = "nlmon", return_raw)]
    pub fn nlmon(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "nlmon", dev, Map::new()))
    }

    #[rhai_fn(name = "nlmon", return_raw)]
    pub fn nlmon_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "nlmon", dev, options))
    }
}

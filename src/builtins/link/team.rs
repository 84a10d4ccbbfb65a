//! `team`: several links as one, led by a program, teamd (drivers/net/team).

use super::kind::Choice;
use crate::engine::value::{Fallible, LinkHandle, run};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// None that `ip link` sets: teamd speaks generic netlink.
pub const OPTIONS: &[Choice] = &[];

#[export_module]
pub mod functions {
    /// Makes a team: several links as one, led by the program `teamd`. `bond` needs no program.
    ///
    /// Options: those of every link (see `bridge`). Ports are added with `link_set(dev, #{ master: … })`, while they are
    /// down. Returns the link. Errors: `exists`, `invalid`, `unsupported` where the kernel lacks the kind.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let t = team("h:t0");
    /// assert_eq(t.kind, "team");
    /// ```
    #[rhai_fn(name = "team", return_raw)]
    pub fn team(ctx: NativeCallContext, dev: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "team", dev, Map::new()))
    }

    #[rhai_fn(name = "team", return_raw)]
    pub fn team_with(ctx: NativeCallContext, dev: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::make(s, "team", dev, options))
    }
}

//! The wait for a bridge's ports (STP: IEEE 802.1D; net/bridge/br_stp.c).

use super::{bridge, handle};
use crate::engine::Session;
use crate::engine::value::{Fallible, LinkHandle, Opts, run};
use crate::plan::{Error, Kind, Result};
use rhai::plugin::*;
use rhai::{Dynamic, Map, NativeCallContext};
use std::time::Duration;

/// Twice the default forward delay of 15 s, the default hello time, the default max age, and room.
const BOUND: Duration = Duration::from_secs(60);

fn wait(session: &Session, dev: &Dynamic, options: Map) -> Result<LinkHandle> {
    let opts = Opts::new("wait_forwarding", options, &["timeout"])?;
    let bound = opts.duration("timeout")?.unwrap_or(BOUND);
    let device = bridge(session, dev)?;
    if session.kernel().wait_ports(&device.ns, device.link.index, bound, session.cancel())? {
        return Ok(handle(&device, dev));
    }
    let what = format!("ports of `{}` in {} do not forward after {bound:?}", device.link.name, device.ns.label());
    Err(Error::new(Kind::Timeout, what)
        .with_ns(&device.ns.name)
        .with_target(&device.link.name)
        .with_hint("STP takes twice the bridge's forward_delay: #{ forward_delay: \"2s\" } is the least, #{ timeout: \"2m\" } waits longer"))
}

#[export_module]
pub mod functions {
    /// Waits until the ports of a bridge forward or, where STP found a loop, block: with `stp: true` a port listens and learns
    /// first, for twice the `forward_delay`. Ports that are down or have no carrier are not waited for.
    ///
    /// The kernel tells when a port's state changes. Option: `timeout` (`"60s"`). Returns the bridge. Errors: `timeout`,
    /// `invalid`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// let br = bridge("sw:br0", #{ stp: true, forward_delay: "2s", up: true });
    /// veth("sw:p1", "sw:q1", #{ up: true, a: #{ master: "br0" } });
    /// wait_forwarding(br);
    /// assert_eq(link("sw:p1").port.state, "forwarding");
    /// ```
    #[rhai_fn(name = "wait_forwarding", return_raw)]
    pub fn wait_forwarding(ctx: NativeCallContext, dev: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| wait(s, &dev, Map::new()))
    }

    #[rhai_fn(name = "wait_forwarding", return_raw)]
    pub fn wait_forwarding_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| wait(s, &dev, options))
    }
}

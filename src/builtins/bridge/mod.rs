//! A bridge's tables: VLANs, forwarding entries and multicast groups (bridge(8)), and the wait for its ports.

pub mod fdb;
pub mod mdb;
pub mod stp;
pub mod vlan;

use crate::engine::Session;
use crate::engine::value::{self, Device, LinkHandle};
use crate::kernel::By;
use crate::plan::{Error, LinkState, Result};
use rhai::Dynamic;

/// The device of a call, and what it is.
fn device(session: &Session, dev: &Dynamic) -> Result<(Device, LinkState)> {
    let device = value::device(session, None, dev)?;
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    let state = info.ok_or_else(|| Error::internal("a link vanished while it was looked at"))?.state;
    Ok((device, state))
}

/// The same of a bridge.
fn bridge(session: &Session, dev: &Dynamic) -> Result<Device> {
    let (device, state) = device(session, dev)?;
    if state.kind == "bridge" {
        return Ok(device);
    }
    Err(Error::invalid(format!("`{}` in {} is no bridge", device.link.name, device.ns.label()))
        .with_target(&device.link.name))
}

fn no_port(device: &Device) -> Error {
    Error::invalid(format!("`{}` in {} is no port of a bridge", device.link.name, device.ns.label()))
        .with_target(&device.link.name)
        .with_hint("give it a master first: link_set(dev, #{ master: \"br0\" })")
}

fn handle(device: &Device, given: &Dynamic) -> LinkHandle {
    given.clone().try_cast::<LinkHandle>().unwrap_or_else(|| device.handle())
}

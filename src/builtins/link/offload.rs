//! Features and channels of devices, as `ethtool` shows and sets them (ethtool(8)).

use super::{handle, target};
use crate::engine::Session;
use crate::engine::value::{Fallible, LinkHandle, Opts, put, put_int, run, what};
use crate::plan::offload::{Change, Channels, GROUPS};
use crate::plan::{Error, Kind, Result, Verb};
use rhai::plugin::*;
use rhai::{Dynamic, Map, NativeCallContext};

fn set(session: &Session, dev: &Dynamic, options: &Map) -> Result<LinkHandle> {
    let device = target(session, None, dev)?;
    let there = session.kernel().ethtool(&device.ns, &device.link)?;
    let mut change = Change::default();
    for (key, value) in options {
        let on = value.as_bool().map_err(|_| {
            Error::invalid(format!("option `{key}` of offload must be true or false, not {}", what(value)))
                .with_target(key.as_str())
        })?;
        let found = there.named(key).map_err(|near| {
            let error = Error::invalid(format!("ethtool knows no feature `{key}`")).with_target(key.as_str());
            match near {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint("offloads(dev) lists them"),
            }
        })?;
        let changeable: Vec<_> = found.iter().filter(|f| f.changeable).collect();
        // One that is fixed as it is wanted needs nothing.
        if changeable.is_empty() && found.iter().any(|f| f.active != on) {
            let state = if on { "off" } else { "on" };
            return Err(Error::new(
                Kind::Unsupported,
                format!("`{}` in {} has `{key}` fixed {state}", device.link.name, device.ns.label()),
            )
            .with_ns(&device.ns.name)
            .with_target(key.as_str())
            .with_hint("it is the driver's: another kind of link may be able to"));
        }
        change.features.extend(changeable.iter().map(|f| (f.name.clone(), on)));
    }
    if options.is_empty() {
        return Err(Error::invalid("offload: nothing to set").with_hint("offload(dev, #{ tx: false })"));
    }
    if !change.features.is_empty() {
        session.perform(Verb::Ethtool { ns: device.ns.clone(), link: device.link.clone(), change })?;
    }
    Ok(handle(&device, dev))
}

fn show(session: &Session, dev: &Dynamic) -> Result<Map> {
    let device = target(session, None, dev)?;
    let there = session.kernel().ethtool(&device.ns, &device.link)?;
    let mut map = Map::new();
    for feature in &there.features {
        put(&mut map, &feature.name, feature.active);
    }
    for (short, _, _) in GROUPS {
        if let Ok(found) = there.named(short) {
            put(&mut map, short, found.iter().any(|f| f.active));
        }
    }
    Ok(map)
}

/// The channels of a device that has some.
fn present(session: &Session, dev: &Dynamic) -> Result<(crate::engine::value::Device, Channels, Channels)> {
    let device = target(session, None, dev)?;
    let there = session.kernel().ethtool(&device.ns, &device.link)?;
    let (now, most) = there.channels.ok_or_else(|| {
        Error::new(Kind::Unsupported, format!("`{}` in {} has no channels", device.link.name, device.ns.label()))
            .with_ns(&device.ns.name)
            .with_target(&device.link.name)
            .with_hint("a veth has some: veth(a, b, #{ queues: 4 })")
    })?;
    Ok((device, now, most))
}

fn set_channels(session: &Session, dev: &Dynamic, options: Map) -> Result<LinkHandle> {
    let opts = Opts::new("channels", options, &["rx", "tx", "other", "combined"])?;
    let (device, mut channels, most) = present(session, dev)?;
    for (key, slot, most) in [
        ("rx", &mut channels.rx, most.rx),
        ("tx", &mut channels.tx, most.tx),
        ("other", &mut channels.other, most.other),
        ("combined", &mut channels.combined, most.combined),
    ] {
        if let Some(n) = opts.u32(key, u32::MAX)? {
            if n == 0 || n > most {
                let what = format!(
                    "`{}` in {} can have 1 to {most} channels of `{key}`, not {n}",
                    device.link.name,
                    device.ns.label()
                );
                let what = if most == 0 { format!("`{}` has no channels of `{key}`", device.link.name) } else { what };
                return Err(Error::invalid(what)
                    .with_target(key)
                    .with_hint("a link is made with room for more: veth(a, b, #{ queues: 4 })"));
            }
            *slot = n;
        }
    }
    let change = Change { channels: Some(channels), ..Change::default() };
    session.perform(Verb::Ethtool { ns: device.ns.clone(), link: device.link.clone(), change })?;
    Ok(handle(&device, dev))
}

fn channels_map(session: &Session, dev: &Dynamic) -> Result<Map> {
    let (_, now, most) = present(session, dev)?;
    let map = |c: Channels| {
        let mut map = Map::new();
        for (key, n) in [("rx", c.rx), ("tx", c.tx), ("other", c.other), ("combined", c.combined)] {
            put_int(&mut map, key, n);
        }
        map
    };
    let mut out = map(now);
    put(&mut out, "max", map(most));
    Ok(out)
}

#[export_module]
pub mod functions {
    /// Switches features of a device on or off, as `ethtool -K`: `offload(dev, #{ tx: false, gso: false })`. Programs that read
    /// packets from user space see right checksums without `tx` on the sending side, and packets as they are on a wire
    /// without `tso`, `gso` and `gro`.
    ///
    /// The keys are ethtool's: `rx`, `tx`, `sg`, `tso`, `ufo`, `gso`, `gro`, `lro`, `rxvlan`, `txvlan`, `ntuple`, `rxhash`, their long
    /// names (`"tx-checksumming"`), or the kernel's names of single features (`"tx-checksum-ip-generic"`). Undo brings back
    /// what was asked of each. Returns the link. Errors: `invalid` with the nearest name; `unsupported` where the driver has
    /// it fixed, or the kernel lacks CONFIG_ETHTOOL_NETLINK.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let v = veth("h:a", "h:b");
    /// assert(offloads(v).tx, "a veth leaves checksums out");
    /// offload(v, #{ tx: false, gso: false });
    /// assert(!offloads(v).tx && !offloads(v).gso, "now it does not");
    /// ```
    #[rhai_fn(name = "offload", return_raw)]
    pub fn offload(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| set(s, &dev, &options))
    }

    /// The features of a device, as `ethtool -k`: a map of every name to whether it is active, the kernel's names and the short
    /// ones of `offload` (of a group: whether any is).
    ///
    /// ```rhai
    /// netns_add("h");
    /// veth("h:a", "h:b");
    /// assert(offloads("h:a")["tx-checksum-ip-generic"], "of a veth");
    /// ```
    #[rhai_fn(name = "offloads", return_raw)]
    pub fn offloads(ctx: NativeCallContext, dev: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| show(s, &dev))
    }

    /// Sets how many queues of a device are in use, as `ethtool -L`: options `rx`, `tx`, `other`, `combined`. Returns the link.
    /// Errors: `invalid` for more than there can be; `unsupported` where the device has no channels.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let v = veth("h:a", "h:b", #{ queues: 4 });
    /// channels(v, #{ tx: 2 });
    /// assert_eq(channels(v).tx, 2);
    /// assert_eq(channels(v).max.tx, 4);
    /// ```
    #[rhai_fn(name = "channels", return_raw)]
    pub fn channels(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| set_channels(s, &dev, options))
    }

    /// With a device alone, the queues in use, as `ethtool -l`: a map with `rx`, `tx`, `other`, `combined`, and `max`, the same
    /// for the most that there can be.
    #[rhai_fn(name = "channels", return_raw)]
    pub fn channels_of(ctx: NativeCallContext, dev: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| channels_map(s, &dev))
    }
}

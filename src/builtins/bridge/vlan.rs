//! The VLANs of a bridge's ports (bridge(8), "bridge vlan").

use super::super::show::{Names, place};
use super::{device, handle, no_port};
use crate::engine::Session;
use crate::engine::value::{self, Fallible, LinkHandle, Opts, put, put_int, run};
use crate::plan::bridge::vlan::{PVID, UNTAGGED, Vlan, read};
use crate::plan::{AddMode, Error, Kind, Ns, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

/// The numbers of `vid`: `10`, `"10-20"`, or an array of these.
fn vids(value: &Dynamic) -> Result<Vec<u16>> {
    let bad = |text: &str| {
        Error::invalid(format!("`{text}` is no VLAN id"))
            .with_target("vid")
            .with_hint("1 to 4094, a range \"10-20\", or an array of these")
    };
    let one = |n: i64, text: &str| u16::try_from(n).ok().filter(|n| (1..=4094).contains(n)).ok_or_else(|| bad(text));
    if let Ok(n) = value.as_int() {
        return Ok(vec![one(n, &n.to_string())?]);
    }
    if let Ok(all) = value.clone().into_array() {
        return all.iter().map(vids).collect::<Result<Vec<_>>>().map(|all| all.concat());
    }
    let text = value::text(value, "option `vid`")?;
    let (low, high) = text.split_once('-').unwrap_or((&text, &text));
    let number = |part: &str| part.trim().parse::<i64>().map_err(|_| bad(&text)).and_then(|n| one(n, &text));
    let (low, high) = (number(low)?, number(high)?);
    if low > high {
        return Err(bad(&text));
    }
    Ok((low..=high).collect())
}

fn change(session: &Session, dev: &Dynamic, options: Map, add: bool) -> Result<LinkHandle> {
    let function = if add { "bridge_vlan" } else { "bridge_vlan_del" };
    let known: &[&str] = if add { &["vid", "pvid", "untagged", "self"] } else { &["vid", "self"] };
    let opts = Opts::new(function, options, known)?;
    let (device, state) = device(session, dev)?;
    let own = opts.bool("self")?.unwrap_or(state.kind == "bridge");
    if own && state.kind != "bridge" {
        return Err(Error::invalid(format!("option `self`: `{}` is no bridge", device.link.name)).with_target("self"));
    }
    if !own && state.port_kind != "bridge" {
        return Err(no_port(&device));
    }
    let given = opts.get("vid").ok_or_else(|| {
        Error::invalid(format!("{function}: the option `vid` is missing")).with_target("vid").with_hint("#{ vid: 10 }")
    })?;
    let vids = vids(given)?;
    let bit = |key: &str, bit: u16| Ok::<_, Error>(if opts.bool(key)? == Some(true) { bit } else { 0 });
    let flags = if add { bit("pvid", PVID)? | bit("untagged", UNTAGGED)? } else { 0 };
    if flags & PVID != 0 && vids.len() > 1 {
        return Err(Error::invalid("a port has one pvid, and here are several VLANs").with_target("pvid"));
    }
    let present = list(session, &device.ns, Some(device.link.index))?;
    let perform = |vid: u16| -> Result<()> {
        let vlan = Vlan { index: device.link.index, vid, flags, own };
        let (ns, rec, words) = (device.ns.clone(), vlan.record(), vlan.words(&device.link.name));
        if add {
            return session.perform(Verb::RecAdd { ns, rec, words, mode: AddMode::Create }).map(drop);
        }
        // The kernel deletes what is not there without a word.
        if !present.iter().any(|v| v.vid == vid) {
            let what = format!("`{}` in {} has no VLAN {vid}", device.link.name, device.ns.label());
            return Err(Error::new(Kind::NotFound, what)
                .with_ns(&device.ns.name)
                .with_target(vid.to_string())
                .with_errno(libc::ENOENT)
                .with_hint("bridge_vlans(…) lists those that there are"));
        }
        session.perform(Verb::RecDel { ns, rec, words }).map(drop)
    };
    match vids[..] {
        [vid] => perform(vid)?,
        _ => session.atomic(|| vids.iter().try_for_each(|vid| perform(*vid)))?,
    }
    Ok(handle(&device, dev))
}

fn list(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Vec<Vlan>> {
    let all = session.kernel().dump(ns, What::Vlan)?;
    Ok(all.iter().flat_map(|body| read(body)).filter(|v| only.is_none_or(|only| only == v.index)).collect())
}

fn shown(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let map = |vlan: &Vlan| {
        let mut map = Map::new();
        put(&mut map, "dev", names.get(vlan.index));
        put_int(&mut map, "vid", vlan.vid);
        put(&mut map, "pvid", vlan.flags & PVID != 0);
        put(&mut map, "untagged", vlan.flags & UNTAGGED != 0);
        put(&mut map, "self", vlan.own);
        map.into()
    };
    Ok(list(session, ns, only)?.iter().map(map).collect())
}

#[export_module]
pub mod functions {
    /// Lets a bridge's port take part in VLANs, as `bridge vlan add`. It counts once the bridge has `vlan_filtering: true`.
    ///
    /// Options: `vid` (needed: a number, a range `"10-20"`, or an array of these), `pvid` (what comes in without a tag is in
    /// this one), `untagged` (it goes out without its tag), `self` (of the bridge itself, which is so where `dev` is a bridge).
    /// A VLAN that the port has already gets the options anew. Undo brings back what the port had, also what the pvid was.
    /// Returns the link. Errors: `invalid`; `unsupported` where the kernel lacks CONFIG_BRIDGE_VLAN_FILTERING.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// bridge("sw:br0", #{ vlan_filtering: true, up: true });
    /// veth("sw:p1", "sw:q1", #{ up: true, a: #{ master: "br0" } });
    /// bridge_vlan("sw:p1", #{ vid: 10, pvid: true, untagged: true });
    /// bridge_vlan("sw:p1", #{ vid: "20-22" });
    /// assert_eq(bridge_vlans("sw:p1").filter(|v| v.pvid).map(|v| v.vid), [10]);
    /// ```
    #[rhai_fn(name = "bridge_vlan", return_raw)]
    pub fn bridge_vlan(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| change(s, &dev, options, true))
    }

    /// Takes VLANs from a bridge's port, as `bridge vlan del`. Options: `vid` and `self`, as of `bridge_vlan`. Static entries of
    /// the forwarding table that are of this VLAN go along; undo brings them back. Returns the link. Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// bridge("sw:br0", #{ vlan_filtering: true });
    /// veth("sw:p1", "sw:q1", #{ a: #{ master: "br0" } });
    /// bridge_vlan("sw:p1", #{ vid: [5, 6] });
    /// bridge_vlan_del("sw:p1", #{ vid: 1 });
    /// assert_eq(bridge_vlans("sw:p1").map(|v| v.vid), [5, 6]);
    /// ```
    #[rhai_fn(name = "bridge_vlan_del", return_raw)]
    pub fn bridge_vlan_del(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| change(s, &dev, options, false))
    }

    /// The VLANs of a namespace's bridges and their ports, or of one link: an array of maps with `dev`, `vid`, `pvid`,
    /// `untagged`, `self`. Empty where the kernel lacks CONFIG_BRIDGE_VLAN_FILTERING.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// assert_eq(bridge_vlans("sw"), []);
    /// ```
    #[rhai_fn(name = "bridge_vlans", return_raw)]
    pub fn bridge_vlans(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = place(s, &ns)?;
            shown(s, &ns, only)
        })
    }
}

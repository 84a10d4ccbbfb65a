//! Multicast groups behind a bridge's ports (bridge(8), "bridge mdb").

use super::super::show::{Names, place};
use super::{device, handle, no_port};
use crate::engine::Session;
use crate::engine::value::{Device, Fallible, LinkHandle, Opts, put, put_int, run};
use crate::plan::addr::{parse_ip, proto_name};
use crate::plan::bridge::mdb::{Group, Mdb, read};
use crate::plan::{AddMode, Error, Kind, Ns, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

fn asked(session: &Session, function: &str, dev: &Dynamic, group: &str, options: Map) -> Result<(Device, Mdb)> {
    let opts = Opts::new(function, options, &["src", "vid"])?;
    let (device, state) = device(session, dev)?;
    if state.port_kind != "bridge" {
        return Err(no_port(&device));
    }
    let group = Group::parse(group).ok_or_else(|| {
        Error::invalid(format!("`{group}` is no multicast group"))
            .with_target(group)
            .with_hint("an address like 239.1.1.1 or ff05::1, or a MAC like 01:00:5e:01:01:01")
    })?;
    let src = opts.text("src")?.map(|ip| parse_ip(&ip)).transpose()?;
    if let (Group::Ip(ip), Some(src)) = (group, src)
        && ip.is_ipv4() != src.is_ipv4()
    {
        return Err(
            Error::invalid(format!("{src} can't be a source of {ip}: it is of the other family")).with_target("src")
        );
    }
    let vid = opts.int("vid", 0..=4094)?.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    Ok((device.clone(), Mdb { vid, src, ..Mdb::new(state.master, device.link.index, group) }))
}

fn add(session: &Session, dev: &Dynamic, group: &str, options: Map) -> Result<LinkHandle> {
    let (device, entry) = asked(session, "mdb", dev, group, options)?;
    let names = Names::new(session, &device.ns);
    let words = entry.words(|index| names.get(index));
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec: entry.record(), words, mode: AddMode::Create })?;
    Ok(handle(&device, dev))
}

fn del(session: &Session, dev: &Dynamic, group: &str, options: Map) -> Result<LinkHandle> {
    let (device, entry) = asked(session, "mdb_del", dev, group, options)?;
    let (all, vid) = (session.kernel().dump(&device.ns, What::Mdb)?, entry.vid);
    // Where VLANs are filtered, one without a VLAN was made in each that the port has, and they go together.
    let same = |e: &Mdb| e.place() == Mdb { vid: if vid == 0 { e.vid } else { vid }, ..entry.clone() }.place();
    let found = all.iter().flat_map(|body| read(body)).find(same).map(|e| Mdb { vid, ..e });
    let found = found.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("`{}` in {} is in no group {group}", device.link.name, device.ns.label()))
            .with_ns(&device.ns.name)
            .with_target(group)
            .with_errno(libc::ENOENT)
            .with_hint("mdbs(…) lists those that there are")
    })?;
    let names = Names::new(session, &device.ns);
    let words = found.words(|index| names.get(index));
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec: found.record(), words })?;
    Ok(handle(&device, dev))
}

fn list(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let all = session.kernel().dump(ns, What::Mdb)?;
    let map = |entry: Mdb| {
        let mut map = Map::new();
        put(&mut map, "bridge", names.get(entry.bridge));
        put(&mut map, "port", names.get(entry.port));
        put(&mut map, "group", entry.group.to_string());
        put(&mut map, "src", entry.src.map_or(Dynamic::UNIT, |ip| ip.to_string().into()));
        put_int(&mut map, "vid", entry.vid);
        put(&mut map, "permanent", entry.permanent);
        put(&mut map, "proto", proto_name(entry.proto));
        map.into()
    };
    let of = |e: &Mdb| only.is_none_or(|only| e.bridge == only || e.port == only);
    Ok(all.iter().flat_map(|body| read(body)).filter(of).map(map).collect())
}

#[export_module]
pub mod functions {
    /// Makes a bridge's port a member of a multicast group for good, as `bridge mdb add … permanent`: what is sent to the
    /// group leaves by it. The bridge has to be up, with `mcast_snooping`.
    ///
    /// `group` is an address (`"239.1.1.1"`, `"ff05::1"`) or a MAC. Options: `src` (from this source only), `vid` (without one, and
    /// where VLANs are filtered: in every VLAN that the port has). Returns the
    /// link. Errors: `exists`, `invalid`; `unsupported` where the kernel lacks CONFIG_BRIDGE_IGMP_SNOOPING.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// bridge("sw:br0", #{ up: true });
    /// veth("sw:p1", "sw:q1", #{ up: true, a: #{ master: "br0" } });
    /// mdb("sw:p1", "239.1.1.1");
    /// mdb("sw:p1", "ff05::7");
    /// assert_eq(mdbs("sw:p1").filter(|m| m.permanent).len(), 2);
    /// ```
    #[rhai_fn(name = "mdb", return_raw)]
    pub fn mdb(ctx: NativeCallContext, dev: Dynamic, group: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, &dev, group, Map::new()))
    }

    #[rhai_fn(name = "mdb", return_raw)]
    pub fn mdb_with(ctx: NativeCallContext, dev: Dynamic, group: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, &dev, group, options))
    }

    /// Takes a bridge's port out of a multicast group, as `bridge mdb del`. Options: `src`, `vid`. Returns the link. Errors:
    /// `not_found`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// bridge("sw:br0", #{ up: true });
    /// veth("sw:p1", "sw:q1", #{ up: true, a: #{ master: "br0" } });
    /// mdb("sw:p1", "239.1.1.1");
    /// mdb_del("sw:p1", "239.1.1.1");
    /// assert_eq(mdbs("sw:p1").filter(|m| m.permanent), []);
    /// ```
    #[rhai_fn(name = "mdb_del", return_raw)]
    pub fn mdb_del(ctx: NativeCallContext, dev: Dynamic, group: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, &dev, group, Map::new()))
    }

    #[rhai_fn(name = "mdb_del", return_raw)]
    pub fn mdb_del_with(ctx: NativeCallContext, dev: Dynamic, group: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, &dev, group, options))
    }

    /// The multicast groups of a namespace's bridges, of one bridge or of one port, as `bridge mdb`: an array of maps with
    /// `bridge`, `port` (the bridge itself where it listens), `group`, `src`, `vid` (0: none), `permanent` (else it was learned),
    /// `proto`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// assert_eq(mdbs("sw"), []);
    /// ```
    #[rhai_fn(name = "mdbs", return_raw)]
    pub fn mdbs(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = place(s, &ns)?;
            list(s, &ns, only)
        })
    }
}

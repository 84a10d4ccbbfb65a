//! Forwarding tables of bridges and vxlans (bridge(8), "bridge fdb").

use super::super::show::{Names, place};
use super::{device, handle, no_port};
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, LinkHandle, Opts, put, run};
use crate::plan::addr::parse_ip;
use crate::plan::bridge::fdb::{Fdb, NTF_EXT_LEARNED, NTF_MASTER, NTF_SELF, NTF_STICKY, NUD_NOARP, NUD_REACHABLE};
use crate::plan::link::{mac_text, parse_mac};
use crate::plan::record::NUD_PERMANENT;
use crate::plan::{AddMode, Error, Kind, LinkState, Ns, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

const VXLAN: &[&str] = &["dst", "port", "vni", "src_vni", "via", "nhid"];

fn mac(text: &str) -> Result<Vec<u8>> {
    parse_mac(text).ok_or_else(|| {
        Error::invalid(format!("`{text}` is not a MAC address"))
            .with_target(text)
            .with_hint("six pairs of hex digits: 02:00:00:00:00:01; of a vxlan all zeroes for what is not known")
    })
}

/// Whether the entry is in the device's own table (`self`), not in that of its bridge.
fn own_table(opts: &Opts, device: &Device, state: &LinkState) -> Result<bool> {
    let (own, master) = (opts.bool("self")?, opts.bool("master")?);
    if own == Some(true) && master == Some(true) {
        return Err(Error::invalid("the options `self` and `master` exclude each other").with_target("self"));
    }
    let vxlan = state.kind == "vxlan";
    let port = state.port_kind == "bridge";
    let named = VXLAN.iter().any(|key| opts.get(key).is_some());
    let own = own.or(master.map(|m| !m)).unwrap_or(state.kind == "bridge" || (vxlan && (named || !port)));
    if !own && !port {
        return Err(no_port(device));
    }
    if own && !vxlan && state.kind != "bridge" {
        return Err(Error::invalid(format!(
            "`{}` is no bridge and no vxlan: it has no table of its own",
            device.link.name
        ))
        .with_target("self")
        .with_hint("a bridge's port is told of without `self`"));
    }
    if let Some(key) = VXLAN.iter().find(|key| opts.get(key).is_some() && !(own && vxlan)) {
        return Err(Error::invalid(format!("the option `{key}` is of the entries of a vxlan")).with_target(*key));
    }
    Ok(own)
}

fn number<T: TryFrom<i64>>(opts: &Opts, key: &str, max: i64) -> Result<Option<T>> {
    Ok(opts.int(key, 0..=max)?.and_then(|n| T::try_from(n).ok()))
}

fn entry(session: &Session, dev: &Dynamic, text: &str, options: Map) -> Result<LinkHandle> {
    let known = [
        "state",
        "extern_learn",
        "sticky",
        "vlan",
        "self",
        "master",
        "dst",
        "port",
        "vni",
        "src_vni",
        "via",
        "nhid",
        "append",
        "replace",
    ];
    let opts = Opts::new("fdb", options, &known)?;
    let (device, state) = device(session, dev)?;
    let own = own_table(&opts, &device, &state)?;
    let vxlan = own && state.kind == "vxlan";
    let mac = mac(text)?;
    if vxlan && ["dst", "nhid"].iter().all(|key| opts.get(key).is_none()) {
        return Err(Error::invalid("an entry of a vxlan needs the option `dst`: the address of the other end")
            .with_target("dst")
            .with_hint("fdb(dev, \"02:00:00:00:00:01\", #{ dst: \"10.0.0.2\" })"));
    }
    let learned = opts.bool("extern_learn")? == Some(true);
    let nud = match opts.text("state")?.as_deref() {
        Some("permanent" | "local") => NUD_PERMANENT,
        Some("static") if own && !vxlan => {
            return Err(Error::invalid("an entry of the bridge itself is permanent").with_target("state"));
        }
        // As `bridge fdb` sends it: a vxlan does not take the one without the other.
        Some("static") => NUD_NOARP | NUD_REACHABLE,
        Some(word @ ("dynamic" | "temp")) => {
            return Err(Error::invalid(format!("fdb makes no {word} entries: they age, and no undo could be true"))
                .with_target("state")
                .with_hint("\"static\" or \"permanent\"; what the hosts send is learned by itself"));
        }
        Some(word) => {
            return Err(Error::invalid(format!("`{word}` is no state of an fdb entry"))
                .with_target("state")
                .with_hint("\"static\" or \"permanent\""));
        }
        None if learned => NUD_REACHABLE,
        None if own => NUD_PERMANENT,
        None => NUD_NOARP | NUD_REACHABLE,
    };
    let bit = |key: &str, bit: u8| Ok::<_, Error>(if opts.bool(key)? == Some(true) { bit } else { 0 });
    let flags = bit("sticky", NTF_STICKY)? | bit("extern_learn", NTF_EXT_LEARNED)?;
    let via = opts.get("via").map(|via| value::device(session, Some(&device.ns), via)).transpose()?;
    let fdb = Fdb {
        index: device.link.index,
        mac,
        state: nud,
        flags: flags | if own { NTF_SELF } else { NTF_MASTER },
        vlan: number(&opts, "vlan", 4094)?,
        dst: opts.text("dst")?.map(|ip| parse_ip(&ip)).transpose()?,
        port: number(&opts, "port", 65535)?,
        vni: number(&opts, "vni", 0xff_ffff)?,
        src_vni: number(&opts, "src_vni", 0xff_ffff)?,
        via: via.map(|via| via.link.index),
        nhid: number(&opts, "nhid", i64::from(u32::MAX))?,
    };
    let mode = match (opts.bool("append")?, opts.bool("replace")?) {
        (Some(true), Some(true)) => {
            return Err(Error::invalid("the options `append` and `replace` exclude each other").with_target("append"));
        }
        (Some(true), _) => AddMode::Append,
        (_, Some(true)) => AddMode::Replace,
        _ => AddMode::Create,
    };
    let words = words(session, &device.ns, &fdb);
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec: fdb.record(), words, mode })?;
    Ok(handle(&device, dev))
}

fn words(session: &Session, ns: &Ns, fdb: &Fdb) -> String {
    let names = Names::new(session, ns);
    fdb.words(|index| names.get(index))
}

fn del(session: &Session, dev: &Dynamic, text: &str, options: Map) -> Result<LinkHandle> {
    let opts = Opts::new("fdb_del", options, &["dst", "vlan", "self", "master"])?;
    let (device, state) = device(session, dev)?;
    let wanted = mac(text)?;
    // Of a vxlan that is a port both tables are looked through, unless one is named.
    let named = ["self", "master"].iter().any(|key| opts.get(key).is_some());
    let own = if named { Some(own_table(&opts, &device, &state)?) } else { None };
    let vlan: Option<u16> = number(&opts, "vlan", 4094)?;
    let dst = opts.text("dst")?.map(|ip| parse_ip(&ip)).transpose()?;
    let links = session.kernel().links(&device.ns, false)?.into_iter().map(|l| (l.state.index, l.state)).collect();
    let found = all(session, &device.ns, Some(device.link.index))?.into_iter().filter(|f| {
        f.mac == wanted
            && own.is_none_or(|own| (f.flags & NTF_SELF != 0) == own)
            && (vlan.is_none() || f.vlan == vlan)
            && (dst.is_none() || f.dst == dst)
    });
    // One that somebody added before one that was learned.
    let fdb = found.max_by_key(Fdb::is_kept).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("`{}` in {} has no entry {text}", device.link.name, device.ns.label()))
            .with_ns(&device.ns.name)
            .with_target(text)
            .with_errno(libc::ENOENT)
            .with_hint("fdbs(…) lists those that there are")
    })?;
    if fdb.is_own(&links) {
        return Err(Error::invalid(format!("{text} is the link's own address: its entry is the kernel's, and stays"))
            .with_ns(&device.ns.name)
            .with_target(text));
    }
    // Added without a VLAN there is one for each that the port is in (br_fdb_add, net/bridge/br_fdb.c), and so they go.
    let fdb = Fdb { vlan, ..fdb };
    let words = words(session, &device.ns, &fdb);
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec: fdb.record(), words })?;
    Ok(handle(&device, dev))
}

fn all(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Vec<Fdb>> {
    let bodies = session.kernel().dump(ns, What::Fdb)?;
    Ok(bodies.iter().filter_map(|b| Fdb::read(b)).filter(|f| only.is_none_or(|only| only == f.index)).collect())
}

fn list(session: &Session, ns: &Ns, only: Option<u32>) -> Result<Array> {
    let names = Names::new(session, ns);
    let map = |fdb: Fdb| {
        let mut map = Map::new();
        let mut number = |key: &str, n: Option<u32>| {
            put(&mut map, key, n.map_or(Dynamic::UNIT, |n| INT::from(n).into()));
        };
        number("vlan", fdb.vlan.map(u32::from));
        number("port", fdb.port.map(u32::from));
        number("vni", fdb.vni);
        number("src_vni", fdb.src_vni);
        number("nhid", fdb.nhid);
        put(&mut map, "dev", names.get(fdb.index));
        put(&mut map, "mac", mac_text(&fdb.mac));
        put(&mut map, "state", fdb.state_name());
        put(&mut map, "self", fdb.flags & NTF_SELF != 0);
        put(&mut map, "sticky", fdb.flags & NTF_STICKY != 0);
        put(&mut map, "extern_learn", fdb.flags & NTF_EXT_LEARNED != 0);
        put(&mut map, "dst", fdb.dst.map_or(Dynamic::UNIT, |ip| ip.to_string().into()));
        put(&mut map, "via", fdb.via.map_or(Dynamic::UNIT, |index| names.get(index).into()));
        map.into()
    };
    Ok(all(session, ns, only)?.into_iter().map(map).collect())
}

#[export_module]
pub mod functions {
    /// Adds an entry to a forwarding table, as `bridge fdb add`: what is sent to `mac` leaves by the port `dev`; or, where
    /// `dev` is a vxlan, goes to the other end `dst`.
    ///
    /// Options: `state` (`"static"`, which is so for ports; `"permanent"`: the bridge takes it itself, and so for vxlans),
    /// `extern_learn`, `sticky` (it does not move to another port), `vlan`; for vxlans `dst`, `port`, `vni`, `src_vni`, `via` (a
    /// link), `nhid` (a group of nexthops). `self: true` means the device's own table, `master: true` its bridge's, where
    /// that is not plain. Without `vlan` the entry is in every VLAN that the port has. `replace: true` overwrites; `append: true` adds another end for a group, or for
    /// `"00:00:00:00:00:00"`: what a vxlan does not know. Returns the link. Errors: `exists`, `invalid`.
    ///
    /// ```rhai
    /// netns_add("h");
    /// let vx = vxlan("h:vx", #{ id: 42, dstport: 4789, learning: false });
    /// fdb(vx, "02:00:00:00:00:01", #{ dst: "10.0.0.2" });
    /// fdb(vx, "00:00:00:00:00:00", #{ dst: "10.0.0.2", append: true });
    /// fdb(vx, "00:00:00:00:00:00", #{ dst: "10.0.0.3", append: true });
    /// assert_eq(fdbs(vx).filter(|f| f.dst != ()).len(), 3);
    /// ```
    #[rhai_fn(name = "fdb", return_raw)]
    pub fn fdb(ctx: NativeCallContext, dev: Dynamic, mac: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| entry(s, &dev, mac, Map::new()))
    }

    #[rhai_fn(name = "fdb", return_raw)]
    pub fn fdb_with(ctx: NativeCallContext, dev: Dynamic, mac: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| entry(s, &dev, mac, options))
    }

    /// Takes an entry from a forwarding table, as `bridge fdb del`. Options: `dst`, `vlan`, `self`, `master`, where there are
    /// several. Returns the link. Errors: `not_found`; `invalid` for a link's own address.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// bridge("sw:br0", #{ up: true });
    /// veth("sw:p1", "sw:q1", #{ up: true, a: #{ master: "br0" } });
    /// fdb("sw:p1", "02:00:00:00:00:01");
    /// assert_eq(fdbs("sw:p1").filter(|f| f.state == "static" && f.vlan == ()).map(|f| f.mac), ["02:00:00:00:00:01"]);
    /// fdb_del("sw:p1", "02:00:00:00:00:01");
    /// assert_eq(fdbs("sw:p1").filter(|f| f.state == "static"), []);
    /// ```
    #[rhai_fn(name = "fdb_del", return_raw)]
    pub fn fdb_del(ctx: NativeCallContext, dev: Dynamic, mac: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, &dev, mac, Map::new()))
    }

    #[rhai_fn(name = "fdb_del", return_raw)]
    pub fn fdb_del_with(ctx: NativeCallContext, dev: Dynamic, mac: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, &dev, mac, options))
    }

    /// The forwarding tables of a namespace, or of one link, as `bridge fdb`: an array of maps with `dev`, `mac`, `state`
    /// (`"static"`, `"permanent"`, `"extern_learn"`, `"dynamic"`: learned), `self` (the device's own table, not its bridge's),
    /// `sticky`, `extern_learn`, `vlan`, `dst`, `port`, `vni`, `src_vni`, `via`, `nhid`.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// let br = bridge("sw:br0");
    /// assert(fdbs(br).some(|f| f.mac == link(br).mac), "a bridge has its own address in it");
    /// ```
    #[rhai_fn(name = "fdbs", return_raw)]
    pub fn fdbs(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = place(s, &ns)?;
            list(s, &ns, only)
        })
    }
}

//! Links: what every kind has in common, and one file for each kind.

pub mod bareudp;
pub mod bond;
pub mod bridge;
pub mod dummy;
pub mod geneve;
pub mod gre;
pub mod ifb;
pub mod ip6gre;
pub mod ip6tnl;
pub mod ipip;
pub mod ipvlan;
pub mod kind;
pub mod macsec;
pub mod macvlan;
pub mod make;
pub mod netkit;
pub mod nlmon;
pub mod offload;
mod show;
pub mod sit;
pub mod team;
pub mod tun;
pub mod veth;
pub mod vlan;
pub mod vrf;
pub mod vti;
pub mod vxlan;
pub mod wireguard;
pub mod xfrm;

use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, LinkHandle, Opts, run, text};
use crate::kernel::By;
use crate::plan::wireguard::Wireguard;
use crate::plan::{AddMode, Error, LinkChange, LinkRef, LinkSpec, Ns, Result, Verb, link, name};
use kind::{Base, Choice};
pub use make::make;
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

/// The kinds, by name, with their options and, for those that have ports, the ports' options. Alphabetical.
pub const KINDS: &[(&str, &[Choice], &[Choice])] = &[
    ("bareudp", bareudp::OPTIONS, &[]),
    ("bond", bond::OPTIONS, bond::PORT),
    ("bridge", bridge::OPTIONS, bridge::PORT),
    ("dummy", dummy::OPTIONS, &[]),
    ("erspan", gre::ERSPAN, &[]),
    ("geneve", geneve::OPTIONS, &[]),
    ("gre", gre::OPTIONS, &[]),
    ("gretap", gre::OPTIONS, &[]),
    ("ifb", ifb::OPTIONS, &[]),
    ("ip6erspan", ip6gre::ERSPAN, &[]),
    ("ip6gre", ip6gre::OPTIONS, &[]),
    ("ip6gretap", ip6gre::OPTIONS, &[]),
    ("ip6tnl", ip6tnl::OPTIONS, &[]),
    ("ipip", ipip::OPTIONS, &[]),
    ("ipvlan", ipvlan::OPTIONS, &[]),
    ("ipvtap", ipvlan::OPTIONS, &[]),
    ("macsec", macsec::OPTIONS, &[]),
    ("macvlan", macvlan::OPTIONS, &[]),
    ("macvtap", macvlan::OPTIONS, &[]),
    ("netkit", netkit::OPTIONS, &[]),
    ("nlmon", nlmon::OPTIONS, &[]),
    ("sit", sit::OPTIONS, &[]),
    ("team", team::OPTIONS, &[]),
    ("tun", tun::OPTIONS, &[]),
    ("veth", &[], &[]),
    ("vlan", vlan::OPTIONS, &[]),
    ("vrf", vrf::OPTIONS, vrf::PORT),
    ("vti", vti::OPTIONS, &[]),
    ("vti6", vti::OPTIONS6, &[]),
    ("vxlan", vxlan::OPTIONS, &[]),
    ("wireguard", &[], &[]),
    ("xfrm", xfrm::OPTIONS, &[]),
];

/// The options that every function that makes a link takes.
pub const COMMON: &[&str] = &["up", "mtu", "mac", "master", "addr", "index", "alias", "txqueuelen", "group", "queues"];

/// The options of a kind's table.
pub(super) fn table(kind: &str) -> &'static [Choice] {
    KINDS.iter().find(|(name, _, _)| *name == kind).map_or(&[], |(_, options, _)| options)
}

/// Whether a kind has a table here, be it empty.
pub(super) fn is_known(kind: &str) -> bool {
    KINDS.iter().any(|(name, _, _)| *name == kind)
}

pub(super) fn port_table(kind: &str) -> &'static [Choice] {
    KINDS.iter().find(|(name, _, _)| *name == kind).map_or(&[], |(_, _, port)| port)
}

/// What a link gets that can't be in the message that makes it.
#[derive(Clone, Default)]
pub struct Extra {
    alias: Option<String>,
    addrs: Vec<crate::plan::addr::AddrSpec>,
    /// Of a veth's other end, and of a port of a bridge that was there before.
    up: bool,
    master: Option<(u32, String)>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.alias.is_none() && self.addrs.is_empty() && !self.up && self.master.is_none()
    }
}

/// A master by handle or name, looked up in the namespace of the link that gets it.
fn master(session: &Session, ns: &Ns, value: &Dynamic) -> Result<(u32, String)> {
    let device = value::device(session, Some(ns), value)?;
    Ok((device.link.index, device.link.name))
}

/// The common options as a spec, and what comes after.
pub fn spec(session: &Session, ns: &Ns, kind: &str, name: Option<String>, opts: &Opts) -> Result<(LinkSpec, Extra)> {
    let index = opts.int("index", 1..=i64::from(i32::MAX))?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let spec = LinkSpec {
        name,
        kind: kind.into(),
        index,
        mac: opts.mac("mac")?,
        given_mac: opts.get("mac").is_some(),
        mtu: opts.u32("mtu", u32::MAX)?,
        up: opts.bool("up")?.unwrap_or(false),
        master: opts.get("master").map(|m| master(session, ns, m)).transpose()?,
        txqueuelen: opts.u32("txqueuelen", u32::MAX)?,
        group: opts.u32("group", u32::MAX)?,
        queues: opts.int("queues", 1..=4096)?.and_then(|n| u32::try_from(n).ok()),
        ..LinkSpec::default()
    };
    let addrs = match opts.get("addr") {
        Some(one) if one.is_string() => vec![super::addr::simple(&text(one, "addr")?)?],
        Some(_) => opts
            .array("addr")?
            .unwrap_or_default()
            .iter()
            .map(|a| super::addr::simple(&text(a, "addr")?))
            .collect::<Result<_>>()?,
        None => Vec::new(),
    };
    Ok((spec, Extra { alias: opts.text("alias")?, addrs, up: false, master: None }))
}

/// What of a new link is for a step of its own, whose undo knows what the step takes along: a bridge that was there before, or
/// that what was there follows, takes over from its port (MAC, mtu), and a wireguard that is set up changes a sysctl of its namespace (`wg_open`).
///
/// # Errors
/// `invalid` while the run is being undone.
pub fn joins(session: &Session, ns: &Ns, spec: &mut LinkSpec) -> Result<LinkChange> {
    match spec.master {
        Some((index, _)) if !session.txn(|txn| Ok(txn.leads_alone(ns, index)))? => Ok(LinkChange {
            master: spec.master.take(),
            up: std::mem::take(&mut spec.up).then_some(true),
            ..LinkChange::default()
        }),
        _ if spec.kind == "wireguard" && spec.up => {
            spec.up = false;
            Ok(LinkChange { up: Some(true), ..LinkChange::default() })
        }
        _ => Ok(LinkChange::default()),
    }
}

/// Makes the link; one message where one is enough, else all or nothing.
pub fn finish(
    session: &Session,
    ns: &Ns,
    spec: LinkSpec,
    extra: &Extra,
    peer: Option<(&Ns, &Extra)>,
) -> Result<LinkHandle> {
    finish_with(session, ns, spec, extra, peer, None)
}

/// The same for a wireguard, with its keys and peers.
pub fn finish_with(
    session: &Session,
    ns: &Ns,
    mut spec: LinkSpec,
    extra: &Extra,
    peer: Option<(&Ns, &Extra)>,
    keys: Option<Wireguard>,
) -> Result<LinkHandle> {
    let mut extra = extra.clone();
    let later = joins(session, ns, &mut spec)?;
    extra.master = extra.master.or(later.master);
    extra.up |= later.up == Some(true);
    let extra = &extra;
    let add = || -> Result<(LinkRef, Option<LinkRef>)> {
        let outcome = session.perform(Verb::LinkAdd { ns: ns.clone(), spec })?;
        let link = outcome.link.ok_or_else(|| Error::internal("link_add gave no link"))?;
        Ok((link, outcome.peer))
    };
    let more = |ns: &Ns, link: &LinkRef, extra: &Extra| -> Result<()> {
        let change = LinkChange {
            alias: extra.alias.clone(),
            up: extra.up.then_some(true),
            master: extra.master.clone(),
            ..LinkChange::default()
        };
        if !change.is_empty() {
            session.perform(Verb::LinkSet { ns: ns.clone(), link: link.clone(), change })?;
        }
        for addr in &extra.addrs {
            super::addr::give(session, ns, link, addr, AddMode::Create)?;
        }
        Ok(())
    };
    let simple = keys.is_none() && extra.is_empty() && peer.is_none_or(|(_, extra)| extra.is_empty());
    let all = || -> Result<(LinkRef, Option<LinkRef>)> {
        let (link, other) = add()?;
        if let Some(config) = keys {
            session.perform(Verb::Wireguard { ns: ns.clone(), link: link.clone(), config })?;
        }
        if !simple {
            more(ns, &link, extra)?;
            if let (Some((ns, extra)), Some(other)) = (peer, &other) {
                more(ns, other, extra)?;
            }
        }
        Ok((link, other))
    };
    let (link, other) = if simple { all()? } else { session.atomic(all)? };
    let mut handle = LinkHandle { ns: ns.clone(), index: link.index, peer: None };
    if let (Some((peer_ns, _)), Some(other)) = (peer, other) {
        let back = handle.clone();
        handle.peer =
            Some(Box::new(LinkHandle { ns: peer_ns.clone(), index: other.index, peer: Some(Box::new(back)) }));
    }
    Ok(handle)
}

/// Sets a link up or down.
pub fn set_up(session: &Session, device: &Device, up: bool) -> Result<()> {
    let change = LinkChange { up: Some(up), ..LinkChange::default() };
    session.perform(Verb::LinkSet { ns: device.ns.clone(), link: device.link.clone(), change }).map(|_| ())
}

/// The device of a call `f(dev)` or `f(ns, dev)`.
fn target(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic) -> Result<Device> {
    let given = ns.map(|ns| value::ns(session, ns)).transpose()?;
    value::device(session, given.as_ref(), dev)
}

/// The handle that a call returns: the one it was given, with its peer, or a new one.
fn handle(device: &Device, given: &Dynamic) -> LinkHandle {
    given.clone().try_cast::<LinkHandle>().unwrap_or_else(|| device.handle())
}

fn up_or_down(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, up: bool) -> Result<LinkHandle> {
    let device = target(session, ns, dev)?;
    set_up(session, &device, up)?;
    Ok(handle(&device, dev))
}

fn delete(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic) -> Result<()> {
    let device = target(session, ns, dev)?;
    session.perform(Verb::LinkDel { ns: device.ns, link: device.link }).map(|_| ())
}

const SETTABLE: &[&str] = &[
    "up",
    "mtu",
    "mac",
    "broadcast",
    "master",
    "nomaster",
    "alias",
    "txqueuelen",
    "promisc",
    "group",
    "arp",
    "multicast",
    "allmulticast",
    "dynamic",
    "addrgenmode",
    "port",
];

const GEN_MODES: &[&str] = &["eui64", "none", "stable_secret", "random"];

fn set(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, options: Map) -> Result<LinkHandle> {
    let device = target(session, ns, dev)?;
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    let info = info.ok_or_else(|| Error::internal("a link vanished while it was looked at"))?;
    let table = table(&info.state.kind);
    let known: Vec<&str> = SETTABLE.iter().copied().chain(table.iter().map(|c| c.key)).collect();
    let opts = Opts::new("link_set", options, &known)?;
    let named = |value: &Dynamic| master(session, &device.ns, value);
    let master = match (opts.get("master"), opts.bool("nomaster")?) {
        (Some(_), Some(true)) => return Err(Error::invalid("link_set: `master` and `nomaster` exclude each other")),
        (Some(value), _) => Some(named(value)?),
        (None, Some(true)) => Some((0, String::new())),
        (None, _) => None,
    };
    let addrgenmode = match opts.text("addrgenmode")? {
        Some(mode) => {
            Some(GEN_MODES.iter().position(|m| *m == mode).and_then(|n| u8::try_from(n).ok()).ok_or_else(|| {
                Error::invalid(format!("addrgenmode can't be \"{mode}\""))
                    .with_hint(format!("one of {}", GEN_MODES.join(", ")))
            })?)
        }
        None => None,
    };
    let (mine, opts) = make::split(&opts, table, "link_set", &known)?;
    // Tunnels take what is not given for zero: what stays has to be said too.
    let now = info.state.options.as_slice();
    let mut kind_options = kind::encode(table, &mine, &Base { now, device: &named })?;
    if !kind_options.is_empty() && link::whole(&info.state.kind) {
        link::complete(&mut kind_options, now);
    }
    let port = match opts.map("port")? {
        Some(port) => {
            // The port's options are those of the master's kind: the one that it has, or the one that it gets.
            let kind = match &master {
                Some((index, _)) if *index != 0 => {
                    session.kernel().link(&device.ns, By::Index(*index))?.map(|m| m.state.kind).unwrap_or_default()
                }
                _ => info.state.port_kind.clone(),
            };
            let table = port_table(&kind);
            if table.is_empty() {
                return Err(Error::invalid(format!("`{}` is no port of a bridge or bond", device.link.name))
                    .with_hint("give it a master first: link_set(dev, #{ master: \"br0\" })"));
            }
            let known: Vec<&str> = table.iter().map(|c| c.key).collect();
            Some((
                kind,
                kind::encode(
                    table,
                    &Opts::new("link_set, port", port, &known)?,
                    &Base { now: &info.state.port, device: &named },
                )?,
            ))
        }
        None => None,
    };
    let change = LinkChange {
        up: opts.bool("up")?,
        mtu: opts.u32("mtu", u32::MAX)?,
        mac: opts.mac("mac")?,
        broadcast: opts.mac("broadcast")?,
        master,
        alias: opts.text("alias")?,
        txqueuelen: opts.u32("txqueuelen", u32::MAX)?,
        group: opts.u32("group", u32::MAX)?,
        promisc: opts.bool("promisc")?,
        allmulticast: opts.bool("allmulticast")?,
        arp: opts.bool("arp")?,
        multicast: opts.bool("multicast")?,
        dynamic: opts.bool("dynamic")?,
        addrgenmode,
        kind: (!kind_options.is_empty()).then(|| (info.state.kind.clone(), kind_options)),
        ..LinkChange::default()
    };
    let verb = |change| Verb::LinkSet { ns: device.ns.clone(), link: device.link.clone(), change };
    match port {
        // A port's options come with a message of their own: the master has to be there first.
        Some(port) => session.atomic(|| {
            if !change.is_empty() {
                session.perform(verb(change))?;
            }
            session.perform(verb(LinkChange { port: Some(port), ..LinkChange::default() }))
        })?,
        None if change.is_empty() => {
            return Err(Error::invalid("link_set: nothing to set")
                .with_hint("give at least one option: link_set(dev, #{ mtu: 1400 })"));
        }
        None => session.perform(verb(change))?,
    };
    Ok(handle(&device, dev))
}

fn rename(session: &Session, dev: &Dynamic, new: &str) -> Result<LinkHandle> {
    let device = value::device(session, None, dev)?;
    let (place, new) = value::split(new);
    if place.is_some_and(|p| p != device.ns.name) {
        return Err(Error::invalid("link_rename changes the name only").with_hint("link_move(dev, ns) moves a link"));
    }
    name::check_ifname(new)?;
    let verb = |change| Verb::LinkSet { ns: device.ns.clone(), link: device.link.clone(), change };
    let rename = verb(LinkChange { name: Some(new.into()), ..LinkChange::default() });
    match session.perform(rename.clone()) {
        Ok(_) => {}
        // Kernels before 6.2 rename only what is down: down, rename, up, as one.
        Err(error) if error.errno == libc::EBUSY => {
            session.atomic(|| {
                session.perform(verb(LinkChange { up: Some(false), ..LinkChange::default() }))?;
                session.perform(rename)?;
                session.perform(verb(LinkChange { up: Some(true), ..LinkChange::default() }))
            })?;
        }
        Err(error) => return Err(error),
    }
    Ok(handle(&device, dev))
}

fn relocate(session: &Session, dev: &Dynamic, ns: &Dynamic) -> Result<LinkHandle> {
    let device = value::device(session, None, dev)?;
    let to = value::ns(session, ns)?;
    if to.cookie == device.ns.cookie {
        return Ok(handle(&device, dev));
    }
    let outcome = session.perform(Verb::LinkMove {
        ns: device.ns.clone(),
        link: device.link.clone(),
        to: to.clone(),
        name: None,
        index: 0,
    })?;
    // A handle that was given stays true: the session knows where the link went.
    Ok(dev.clone().try_cast::<LinkHandle>().unwrap_or_else(|| LinkHandle {
        ns: to,
        index: outcome.link.map_or(0, |l| l.index),
        peer: None,
    }))
}

fn altname(session: &Session, dev: &Dynamic, name: &str, add: bool) -> Result<LinkHandle> {
    let device = value::device(session, None, dev)?;
    // Alternative names may have 127 bytes (ALTIFNAMSIZ - 1, include/uapi/linux/if.h).
    if name.is_empty() || name.len() > 127 || name.contains(['/', ':', '\0']) || name.contains(char::is_whitespace) {
        return Err(Error::invalid(format!("`{}` can't be an alternative name", name.escape_debug()))
            .with_hint("1 to 127 bytes, without `/`, `:` and white space"));
    }
    session.perform(Verb::LinkAltname { ns: device.ns.clone(), link: device.link.clone(), name: name.into(), add })?;
    Ok(handle(&device, dev))
}

/// What a getter of a handle reads.
fn read(session: &Session, link: &LinkHandle) -> Result<(Ns, crate::plan::LinkInfo)> {
    let device = value::device(session, None, &Dynamic::from(link.clone()))?;
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    info.map(|info| (device.ns, info)).ok_or_else(|| Error::internal("a link vanished while it was looked at"))
}

#[export_module]
pub mod functions {
    /// A link: what `veth`, `bridge` and the like return. It stays true to the device through a rename and a move.
    pub type Link = LinkHandle;

    /// Brings a link up, as `ip link set DEV up`. Returns the link.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// link_up(h, "lo");
    /// assert(link("h1:lo").up, "lo is up");
    /// ```
    #[rhai_fn(name = "link_up", return_raw)]
    pub fn link_up(ctx: NativeCallContext, dev: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| up_or_down(s, None, &dev, true))
    }

    #[rhai_fn(name = "link_up", return_raw)]
    pub fn link_up_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| up_or_down(s, Some(&ns), &dev, true))
    }

    /// Takes a link down, as `ip link set DEV down`. The kernel drops its IPv6 addresses, its routes and its permanent
    /// neighbours; undo brings them back. Returns the link.
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// link_down("h1:lo");
    /// assert(!link("h1:lo").up, "lo is down");
    /// ```
    #[rhai_fn(name = "link_down", return_raw)]
    pub fn link_down(ctx: NativeCallContext, dev: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| up_or_down(s, None, &dev, false))
    }

    #[rhai_fn(name = "link_down", return_raw)]
    pub fn link_down_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| up_or_down(s, Some(&ns), &dev, false))
    }

    /// Deletes a link, as `ip link del`. Of a veth pair the other end goes too, wherever it is. Undo makes it again, with
    /// addresses, routes and all.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:a", "h2:b");
    /// link_del("h1:a");
    /// assert_eq(links("h2").len(), 1);
    /// ```
    #[rhai_fn(name = "link_del", return_raw)]
    pub fn link_del(ctx: NativeCallContext, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| delete(s, None, &dev))
    }

    #[rhai_fn(name = "link_del", return_raw)]
    pub fn link_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| delete(s, Some(&ns), &dev))
    }

    /// Renames a link, as `ip link set DEV name NEW`. Returns the link; handles to it stay true.
    ///
    /// ```rhai
    /// let cable = veth("left", "right");
    /// link_rename("left", "eth9");
    /// assert_eq(cable.name, "eth9");
    /// ```
    #[rhai_fn(name = "link_rename", return_raw)]
    pub fn link_rename(ctx: NativeCallContext, dev: Dynamic, new_name: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| rename(s, &dev, new_name))
    }

    /// Moves a link to another namespace, as `ip link set DEV netns NS`. It arrives down and without addresses. Returns the
    /// link; handles to it stay true.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// let cable = veth("left", "right");
    /// link_move(cable, h);
    /// assert_eq(cable.ns.name, "h1");
    /// ```
    #[rhai_fn(name = "link_move", return_raw)]
    pub fn link_move(ctx: NativeCallContext, dev: Dynamic, ns: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| relocate(s, &dev, &ns))
    }

    /// Changes a link, as `ip link set`. Options: `up`, `mtu`, `mac`, `broadcast`, `master` (a device of the same
    /// namespace), `nomaster: true`, `alias`, `txqueuelen`, `promisc`, `group`, `arp`, `multicast`, `allmulticast`,
    /// `dynamic`, `addrgenmode` (`"eui64"`, `"none"`, `"stable_secret"`, `"random"`), the options of its kind (`stp` of a
    /// bridge …), and `port: #{…}` with those of a bridge's port (`priority`, `cost`, `hairpin`, `guard`, `root_block`,
    /// `learning`, `flood`, `neigh_suppress`, `isolated`). Returns the link.
    ///
    /// ```rhai
    /// netns_add("sw");
    /// let br = bridge("sw:br0", #{ up: true });
    /// let p = veth("sw:p1", "sw:p2");
    /// link_set(p, #{ master: br, up: true, mtu: 1400, port: #{ isolated: true } });
    /// assert_eq(p.master, "br0");
    /// assert(link(p).port.isolated, "the port is isolated");
    /// ```
    #[rhai_fn(name = "link_set", return_raw)]
    pub fn link_set(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| set(s, None, &dev, options))
    }

    #[rhai_fn(name = "link_set", return_raw)]
    pub fn link_set_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| set(s, Some(&ns), &dev, options))
    }

    /// One link with all that `ip -d -s link show DEV` shows, as a map: that of `links()`, and `stats`.
    ///
    /// ```rhai
    /// let lo = link("lo");
    /// assert_eq(lo.index, 1);
    /// assert(lo.stats.rx_packets >= 0, "counters are numbers");
    /// ```
    #[rhai_fn(name = "link", return_raw)]
    pub fn link(ctx: NativeCallContext, dev: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| super::super::show::link(s, &target(s, None, &dev)?))
    }

    #[rhai_fn(name = "link", return_raw)]
    pub fn link_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| super::super::show::link(s, &target(s, Some(&ns), &dev)?))
    }

    /// The links of the current namespace, or of `ns`: an array of maps with `name`, `index`, `kind`, `up`, `state`
    /// (`"UP"`, `"DOWN"`, `"UNKNOWN"`, `"LOWERLAYERDOWN"` …), `carrier`, `mtu`, `mac`, `broadcast`, `flags`, `master`, `lower`,
    /// `lower_nsid`, `qdisc`, `txqueuelen`, `group`, `alias`, `altnames`, `promiscuity`, `min_mtu`, `max_mtu`, `tx_queues`,
    /// `rx_queues`, `addrgenmode`, `data` (what is special to the kind) and `port` (what is special to a bridge's port).
    ///
    /// ```rhai
    /// netns_add("h1");
    /// assert_eq(links("h1").map(|l| l.name), ["lo"]);
    /// ```
    #[rhai_fn(name = "links", return_raw)]
    pub fn links(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| super::super::show::links(s, &s.current(), None))
    }

    #[rhai_fn(name = "links", return_raw)]
    pub fn links_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = super::super::show::place(s, &ns)?;
            super::super::show::links(s, &ns, only)
        })
    }

    /// Gives a link an alternative name of up to 127 bytes, as `ip link property add altname`. Returns the link.
    ///
    /// ```rhai
    /// veth("left", "right");
    /// altname_add("left", "cable-to-the-switch");
    /// assert_eq(link("cable-to-the-switch").name, "left");
    /// ```
    #[rhai_fn(name = "altname_add", return_raw)]
    pub fn altname_add(ctx: NativeCallContext, dev: Dynamic, name: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| altname(s, &dev, name, true))
    }

    /// Takes an alternative name away, as `ip link property del altname`. Returns the link.
    ///
    /// ```rhai
    /// veth("left", "right");
    /// altname_add("left", "other");
    /// altname_del("left", "other");
    /// assert_eq(link("left").altnames, []);
    /// ```
    #[rhai_fn(name = "altname_del", return_raw)]
    pub fn altname_del(ctx: NativeCallContext, dev: Dynamic, name: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| altname(s, &dev, name, false))
    }

    /// The link's name now.
    #[rhai_fn(get = "name", pure, return_raw)]
    pub fn get_name(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| Ok(read(s, link)?.1.state.name))
    }

    /// The ifindex now.
    #[rhai_fn(get = "index", pure, return_raw)]
    pub fn get_index(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<INT> {
        run(&ctx, |s| Ok(INT::from(read(s, link)?.1.state.index)))
    }

    /// The namespace that it is in now.
    #[rhai_fn(get = "ns", pure, return_raw)]
    pub fn get_ns(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<crate::engine::value::NsHandle> {
        run(&ctx, |s| Ok(crate::engine::value::NsHandle(read(s, link)?.0)))
    }

    /// `"veth"`, `"bridge"` …; empty for a physical device.
    #[rhai_fn(get = "kind", pure, return_raw)]
    pub fn get_kind(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| Ok(read(s, link)?.1.state.kind))
    }

    /// The MTU in bytes.
    #[rhai_fn(get = "mtu", pure, return_raw)]
    pub fn get_mtu(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<INT> {
        run(&ctx, |s| Ok(INT::from(read(s, link)?.1.state.mtu)))
    }

    /// The MAC address.
    #[rhai_fn(get = "mac", pure, return_raw)]
    pub fn get_mac(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| Ok(crate::plan::link::mac_text(&read(s, link)?.1.state.mac)))
    }

    /// The operational state: `"UP"`, `"DOWN"`, `"UNKNOWN"`, `"LOWERLAYERDOWN"` … (RFC 2863).
    #[rhai_fn(get = "state", pure, return_raw)]
    pub fn get_state(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| Ok(super::super::show::operstate(read(s, link)?.1.operstate).to_string()))
    }

    /// The master's name, or `()`.
    #[rhai_fn(get = "master", pure, return_raw)]
    pub fn get_master(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<Dynamic> {
        run(&ctx, |s| {
            let (ns, info) = read(s, link)?;
            if info.state.master == 0 {
                return Ok(Dynamic::UNIT);
            }
            let master = s.kernel().link(&ns, By::Index(info.state.master))?;
            Ok(master.map_or(Dynamic::UNIT, |m| m.state.name.into()))
        })
    }

    /// The counters, as in `link(dev).stats`.
    #[rhai_fn(get = "stats", pure, return_raw)]
    pub fn get_stats(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<Dynamic> {
        run(&ctx, |s| {
            let device = value::device(s, None, &Dynamic::from(link.clone()))?;
            Ok(super::super::show::link(s, &device)?.remove("stats").unwrap_or(Dynamic::UNIT))
        })
    }

    /// The other end of a veth.
    #[rhai_fn(get = "peer", pure, return_raw)]
    pub fn get_peer(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<LinkHandle> {
        run(&ctx, |s| super::super::show::peer(s, link))
    }

    #[rhai_fn(name = "to_string", pure, return_raw)]
    pub fn to_string(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| {
            Ok(read(s, link).map_or_else(
                |_| format!("link {} (gone)", link.index),
                |(ns, info)| if ns.is_host() { info.state.name } else { format!("{}:{}", ns.name, info.state.name) },
            ))
        })
    }

    #[rhai_fn(name = "to_debug", pure, return_raw)]
    pub fn to_debug(ctx: NativeCallContext, link: &mut LinkHandle) -> Fallible<String> {
        run(&ctx, |s| {
            Ok(read(s, link).map_or_else(
                |_| format!("link {} (gone)", link.index),
                |(ns, info)| format!("link({:?})", format!("{}:{}", ns.name, info.state.name)),
            ))
        })
    }

    #[rhai_fn(name = "==", pure, return_raw)]
    pub fn equals(ctx: NativeCallContext, a: &mut LinkHandle, b: LinkHandle) -> Fallible<bool> {
        run(&ctx, |s| s.txn(|t| Ok(t.locate(&a.ns, a.index) == t.locate(&b.ns, b.index))))
    }

    #[rhai_fn(name = "!=", pure, return_raw)]
    pub fn differs(ctx: NativeCallContext, a: &mut LinkHandle, b: LinkHandle) -> Fallible<bool> {
        run(&ctx, |s| s.txn(|t| Ok(t.locate(&a.ns, a.index) != t.locate(&b.ns, b.index))))
    }
}

//! Addresses, as `ip addr` gives and takes them (ip-address(8)).

use super::show;
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, LinkHandle, Opts, run, text};
use crate::plan::addr::{AddrSpec, parse_cidr, parse_ip, scope_of};
use crate::plan::name::IFNAME_MAX;
use crate::plan::record::{FOREVER, IFA_F_NODAD, IFA_F_NOPREFIXROUTE};
use crate::plan::{AddMode, Error, Kind, LinkRef, Ns, Rec, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};
use std::net::IpAddr;

const KNOWN: &[&str] = &[
    "peer",
    "broadcast",
    "scope",
    "label",
    "valid",
    "preferred",
    "nodad",
    "noprefixroute",
    "home",
    "mngtmpaddr",
    "metric",
    "replace",
];

/// An address without options.
pub fn simple(cidr: &str) -> Result<AddrSpec> {
    parse_cidr(cidr).map(AddrSpec::new)
}

/// Gives an address to a link.
pub fn give(session: &Session, ns: &Ns, link: &LinkRef, addr: &AddrSpec, mode: AddMode) -> Result<()> {
    let rec = addr.record(link.index, session.kernel().now());
    session.perform(Verb::RecAdd { ns: ns.clone(), rec, words: addr.words(&link.name), mode })?;
    if let IpAddr::V6(ip) = addr.net.addr()
        && addr.flags & IFA_F_NODAD == 0
    {
        session.expect_dad(ns, link.index, ip);
    }
    Ok(())
}

/// A lifetime: seconds, a time with a unit, or `"forever"`.
fn life(opts: &Opts, key: &str) -> Result<Option<u32>> {
    match opts.get(key) {
        Some(value) if value.is_string() && text(value, key)? == "forever" => Ok(Some(FOREVER)),
        Some(_) => {
            let seconds = opts.duration(key)?.map(|d| d.as_secs()).unwrap_or_default();
            u32::try_from(seconds).map(Some).map_err(|_| Error::invalid(format!("option `{key}` is too long")))
        }
        None => Ok(None),
    }
}

/// A word or a number.
fn word(opts: &Opts, key: &str) -> Result<Option<String>> {
    match opts.get(key).and_then(|v| v.as_int().ok()) {
        Some(number) => Ok(Some(number.to_string())),
        None => opts.text(key),
    }
}

fn with_options(cidr: &str, opts: &Opts) -> Result<AddrSpec> {
    let mut addr = simple(cidr)?;
    let full = |ip: IpAddr| ip.is_ipv4() == addr.net.addr().is_ipv4();
    if let Some(peer) = opts.text("peer")? {
        let peer = parse_cidr(&peer)?;
        if !full(peer.addr()) {
            return Err(Error::invalid(format!("the peer {peer} is of another family than {cidr}")));
        }
        addr.peer = Some(peer);
    }
    addr.broadcast = match opts.text("broadcast")?.as_deref() {
        Some("+") => match addr.net {
            ipnet::IpNet::V4(net) => Some(IpAddr::V4(net.broadcast())),
            ipnet::IpNet::V6(_) => return Err(Error::invalid("IPv6 has no broadcast address")),
        },
        Some(ip) => Some(parse_ip(ip)?),
        None => None,
    };
    if let Some(scope) = word(opts, "scope")? {
        addr.scope = Some(scope_of(&scope).ok_or_else(|| {
            Error::invalid(format!("`{scope}` is no scope"))
                .with_hint("global, site, link, host, or a number up to 255")
        })?);
    }
    addr.label = opts.text("label")?;
    if let Some(label) = addr.label.as_ref().filter(|label| label.len() > IFNAME_MAX) {
        return Err(Error::invalid(format!("the label `{label}` is too long"))
            .with_target("label")
            .with_hint(format!("{IFNAME_MAX} bytes at most, as a device's name: \"eth0:1\"")));
    }
    addr.metric = opts.u32("metric", u32::MAX)?;
    let (valid, preferred) = (life(opts, "valid")?, life(opts, "preferred")?);
    if valid.is_some() || preferred.is_some() {
        let valid = valid.unwrap_or(FOREVER);
        let preferred = preferred.unwrap_or(valid);
        if valid == 0 || preferred > valid {
            return Err(Error::invalid("an address must be valid for some time, and preferred no longer than that"));
        }
        addr.lives = Some((valid, preferred));
    }
    for (key, bit) in
        [("nodad", IFA_F_NODAD), ("noprefixroute", IFA_F_NOPREFIXROUTE), ("home", 0x10), ("mngtmpaddr", 0x100)]
    {
        if opts.bool(key)? == Some(true) {
            addr.flags |= bit;
        }
    }
    Ok(addr)
}

/// The device of `f(dev, …)` or `f(ns, dev, …)`.
fn device(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic) -> Result<Device> {
    let given = ns.map(|ns| value::ns(session, ns)).transpose()?;
    value::device(session, given.as_ref(), dev)
}

fn handle(device: &Device, given: &Dynamic) -> LinkHandle {
    given.clone().try_cast::<LinkHandle>().unwrap_or_else(|| device.handle())
}

/// One address, or an array of them.
fn add(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, cidr: &Dynamic, options: Map) -> Result<LinkHandle> {
    let device = device(session, ns, dev)?;
    let opts = Opts::new("addr", options, KNOWN)?;
    let mode = if opts.bool("replace")? == Some(true) { AddMode::Replace } else { AddMode::Create };
    let all: Vec<AddrSpec> = if cidr.is_array() {
        let all = cidr.clone().into_array().unwrap_or_default();
        all.iter().map(|c| with_options(&text(c, "an address")?, &opts)).collect::<Result<_>>()?
    } else {
        vec![with_options(&text(cidr, "an address")?, &opts)?]
    };
    let work = || -> Result<()> {
        for addr in &all {
            give(session, &device.ns, &device.link, addr, mode)?;
        }
        Ok(())
    };
    if all.len() == 1 {
        work()?;
    } else {
        session.atomic(work)?;
    }
    Ok(handle(&device, dev))
}

/// The records of a link's addresses as they are, so that what is deleted is exactly what is there.
fn present(session: &Session, device: &Device) -> Result<Vec<Rec>> {
    let now = session.kernel().now();
    let all = session.kernel().dump(&device.ns, What::Addr)?;
    Ok(all
        .iter()
        .filter_map(|body| Rec::of(What::Addr, body, now))
        .filter(|r| r.devices().first() == Some(&device.link.index))
        .collect())
}

fn del(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, cidr: &str) -> Result<LinkHandle> {
    let device = device(session, ns, dev)?;
    let wanted = parse_cidr(cidr)?;
    // Without a length any address of that value is meant, as `ip addr del` takes it (with a warning).
    let any = !cidr.contains('/');
    let found = present(session, &device)?
        .into_iter()
        .find(|r| r.local() == Some(wanted.addr()) && (any || r.byte(1) == wanted.prefix_len()));
    let Some(rec) = found else {
        let there = present(session, &device)?;
        let list: Vec<String> =
            there.iter().filter_map(|r| r.local().map(|ip| format!("{ip}/{}", r.byte(1)))).collect();
        return Err(Error::new(
            Kind::NotFound,
            format!("`{}` in {} has no address {cidr}", device.link.name, device.ns.label()),
        )
        .with_ns(&device.ns.name)
        .with_target(cidr)
        .with_errno(libc::EADDRNOTAVAIL)
        .with_hint(if list.is_empty() { "it has none".into() } else { format!("it has {}", list.join(", ")) }));
    };
    let words = rec.describe(|_| device.link.name.clone());
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec, words })?;
    Ok(handle(&device, dev))
}

fn flush(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, options: Map) -> Result<INT> {
    let device = device(session, ns, dev)?;
    let opts = Opts::new("addr_flush", options, &["family", "scope"])?;
    let family = match opts.text("family")?.as_deref() {
        None => None,
        Some("inet" | "4" | "ipv4") => Some(crate::plan::record::AF_INET),
        Some("inet6" | "6" | "ipv6") => Some(crate::plan::record::AF_INET6),
        Some(other) => return Err(Error::invalid(format!("`{other}` is no family")).with_hint("\"inet\" or \"inet6\"")),
    };
    let scope = match word(&opts, "scope")? {
        Some(scope) => Some(scope_of(&scope).ok_or_else(|| Error::invalid(format!("`{scope}` is no scope")))?),
        None => None,
    };
    session.atomic(|| {
        let mut count = 0;
        // From the last: secondary addresses come after their primary, which would take them along.
        for rec in present(session, &device)?.into_iter().rev() {
            if family.is_some_and(|f| f != rec.family()) || scope.is_some_and(|s| s != rec.byte(3)) {
                continue;
            }
            let words = rec.describe(|_| device.link.name.clone());
            session.perform(Verb::RecDel { ns: device.ns.clone(), rec, words })?;
            count += 1;
        }
        Ok(count)
    })
}

#[export_module]
pub mod functions {
    /// Gives a link an address (or an array of them), as `ip addr add`. Without a prefix length it is a /32 or /128.
    ///
    /// Options: `peer`, `broadcast` (an address or `"+"`), `scope`, `label`, `valid` and `preferred` (seconds, a time as
    /// `"1h"`, or `"forever"`), `nodad`, `noprefixroute`, `home`, `mngtmpaddr`, `metric`, `replace: true` (as
    /// `ip addr replace`).
    ///
    /// An IPv6 address is not waited for here: the next `ping`, command or `wait_…`, or the end of the script, waits
    /// once for all of them (duplicate address detection). Returns the link.
    /// Errors: `exists`, `not_found` for the device, `invalid`.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// veth("h1:eth0", "h1:eth1");
    /// addr(h, "eth0", "10.0.0.1/24");
    /// addr("h1:eth0", ["10.0.0.2/24", "fd00::1/64"]);
    /// addr(h, "eth1", "10.1.0.1/24", #{ label: "eth1:1", broadcast: "+" });
    /// assert_eq(addrs("h1:eth1")[0].broadcast, "10.1.0.255");
    /// ```
    #[rhai_fn(name = "addr", return_raw)]
    pub fn addr(ctx: NativeCallContext, dev: Dynamic, cidr: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, None, &dev, &cidr, Map::new()))
    }

    #[rhai_fn(name = "addr", return_raw)]
    pub fn addr_with(ctx: NativeCallContext, dev: Dynamic, cidr: Dynamic, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, None, &dev, &cidr, options))
    }

    #[rhai_fn(name = "addr", return_raw)]
    pub fn addr_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, cidr: Dynamic) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, Some(&ns), &dev, &cidr, Map::new()))
    }

    #[rhai_fn(name = "addr", return_raw)]
    pub fn addr_in_with(
        ctx: NativeCallContext,
        ns: Dynamic,
        dev: Dynamic,
        cidr: Dynamic,
        options: Map,
    ) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, Some(&ns), &dev, &cidr, options))
    }

    /// Takes an address away, as `ip addr del`. The kernel takes along the secondary addresses of the same subnet and
    /// the routes that need it; undo brings all of them back. Returns the link. Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// addr("h1:lo", "10.0.0.1/32");
    /// addr_del("h1", "lo", "10.0.0.1");
    /// assert_eq(addrs("h1:lo"), []);
    /// ```
    #[rhai_fn(name = "addr_del", return_raw)]
    pub fn addr_del(ctx: NativeCallContext, dev: Dynamic, cidr: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, None, &dev, cidr))
    }

    #[rhai_fn(name = "addr_del", return_raw)]
    pub fn addr_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, cidr: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, Some(&ns), &dev, cidr))
    }

    /// Takes all addresses of a link away, as `ip addr flush dev DEV`. Options: `family` (`"inet"`, `"inet6"`), `scope`.
    /// Returns how many.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// addr("h1:lo", ["10.0.0.1/32", "10.0.0.2/32"]);
    /// assert_eq(addr_flush("h1:lo"), 2);
    /// ```
    #[rhai_fn(name = "addr_flush", return_raw)]
    pub fn addr_flush(ctx: NativeCallContext, dev: Dynamic) -> Fallible<INT> {
        run(&ctx, |s| flush(s, None, &dev, Map::new()))
    }

    #[rhai_fn(name = "addr_flush", return_raw)]
    pub fn addr_flush_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<INT> {
        run(&ctx, |s| flush(s, None, &dev, options))
    }

    #[rhai_fn(name = "addr_flush", return_raw)]
    pub fn addr_flush_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<INT> {
        run(&ctx, |s| flush(s, Some(&ns), &dev, Map::new()))
    }

    #[rhai_fn(name = "addr_flush", return_raw)]
    pub fn addr_flush_in_with(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<INT> {
        run(&ctx, |s| flush(s, Some(&ns), &dev, options))
    }

    /// The addresses of the current namespace, of `ns`, or of one device (`"ns:dev"` or a link): an array of maps with
    /// `dev`, `index`, `family` (`"inet"`, `"inet6"`), `cidr`, `local`, `prefixlen`, `peer`, `broadcast`, `scope`, `label`,
    /// `secondary`, `temporary`, `permanent`, `tentative`, `dadfailed`, `deprecated`, `nodad`, `noprefixroute`, `valid` and
    /// `preferred` (seconds left, `()` for ever).
    ///
    /// ```rhai
    /// netns_add("h1");
    /// addr("h1:lo", "10.0.0.1/32");
    /// assert_eq(addrs("h1").map(|a| a.cidr), ["10.0.0.1/32"]);
    /// ```
    #[rhai_fn(name = "addrs", return_raw)]
    pub fn addrs(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| show::addrs(s, &s.current(), None))
    }

    #[rhai_fn(name = "addrs", return_raw)]
    pub fn addrs_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = show::place(s, &ns)?;
            show::addrs(s, &ns, only)
        })
    }
}

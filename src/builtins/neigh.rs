//! Neighbours: the ARP table of IPv4 and the neighbour cache of IPv6 (ip-neighbour(8)).

use super::show;
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, LinkHandle, Opts, run};
use crate::plan::addr::{NeighSpec, STATES, parse_ip};
use crate::plan::link::parse_mac;
use crate::plan::record::{AF_INET, AF_INET6, NDA_DST, NTF_PROXY, NUD_PERMANENT};
use crate::plan::{AddMode, Error, Kind, Rec, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

fn device(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic) -> Result<Device> {
    let given = ns.map(|ns| value::ns(session, ns)).transpose()?;
    value::device(session, given.as_ref(), dev)
}

fn handle(device: &Device, given: &Dynamic) -> LinkHandle {
    given.clone().try_cast::<LinkHandle>().unwrap_or_else(|| device.handle())
}

fn add(
    session: &Session,
    ns: Option<&Dynamic>,
    dev: &Dynamic,
    ip: &str,
    mac: Option<&str>,
    options: Map,
) -> Result<LinkHandle> {
    let device = device(session, ns, dev)?;
    let opts = Opts::new("neigh", options, &["state", "proxy", "router", "replace"])?;
    let state = match opts.text("state")? {
        Some(word) => STATES.iter().find(|(_, n)| *n == word).map(|(s, _)| *s).ok_or_else(|| {
            let all = STATES.iter().map(|(_, n)| *n).collect::<Vec<_>>().join(", ");
            Error::invalid(format!("`{word}` is no state of a neighbour")).with_hint(format!("one of {all}"))
        })?,
        None => NUD_PERMANENT,
    };
    let lladdr = mac
        .map(|mac| {
            parse_mac(mac).ok_or_else(|| {
                Error::invalid(format!("`{mac}` is not a MAC address"))
                    .with_target(mac)
                    .with_hint("six pairs of hex digits: 02:00:00:00:00:01")
            })
        })
        .transpose()?;
    let neigh = NeighSpec {
        ip: parse_ip(ip)?,
        lladdr,
        state,
        proxy: opts.bool("proxy")?.unwrap_or(false),
        router: opts.bool("router")?.unwrap_or(false),
    };
    if neigh.lladdr.is_none() && !neigh.proxy {
        return Err(Error::invalid(format!("neigh {ip}: the MAC address is missing"))
            .with_hint("neigh(dev, ip, \"02:00:00:00:00:01\"), or #{ proxy: true } to answer for it"));
    }
    let mode = if opts.bool("replace")? == Some(true) { AddMode::Replace } else { AddMode::Create };
    let words = neigh.words(&device.link.name);
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec: neigh.record(device.link.index), words, mode })?;
    Ok(handle(&device, dev))
}

/// The entries of a link, learned ones included.
fn present(session: &Session, device: &Device) -> Result<Vec<Rec>> {
    let all = session.kernel().dump(&device.ns, What::Neigh)?;
    Ok(all
        .into_iter()
        .map(|body| Rec { what: What::Neigh, body, ends: None })
        .filter(|r| {
            (r.family() == AF_INET || r.family() == AF_INET6) && r.devices().first() == Some(&device.link.index)
        })
        .collect())
}

/// The verb that deletes an entry: by address, device and whether it is a proxy.
fn removal(device: &Device, rec: &Rec) -> Option<Verb> {
    let ip = rec.ip(NDA_DST)?;
    let proxy = rec.byte(10) & NTF_PROXY != 0;
    let spec = NeighSpec { ip, lladdr: None, state: 0, proxy, router: false };
    let words = spec.words(&device.link.name);
    Some(Verb::RecDel { ns: device.ns.clone(), rec: spec.record(device.link.index), words })
}

fn del(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, ip: &str) -> Result<LinkHandle> {
    let device = device(session, ns, dev)?;
    let wanted = parse_ip(ip)?;
    let found = present(session, &device)?.into_iter().find(|r| r.ip(NDA_DST) == Some(wanted));
    let verb = found.and_then(|rec| removal(&device, &rec)).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("`{}` in {} has no neighbour {ip}", device.link.name, device.ns.label()))
            .with_ns(&device.ns.name)
            .with_target(ip)
            .with_errno(libc::ENOENT)
            .with_hint("neighs(…) lists those that there are")
    })?;
    session.perform(verb)?;
    Ok(handle(&device, dev))
}

fn flush(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, options: Map) -> Result<INT> {
    let device = device(session, ns, dev)?;
    let all = Opts::new("neigh_flush", options, &["all"])?.bool("all")?.unwrap_or(false);
    session.atomic(|| {
        let mut count = 0;
        for rec in present(session, &device)? {
            let state = u16::from_ne_bytes([rec.byte(8), rec.byte(9)]);
            let kept = state & 0x40 != 0 || (!all && (state & NUD_PERMANENT != 0 || rec.byte(10) & NTF_PROXY != 0));
            if kept {
                continue;
            }
            if let Some(verb) = removal(&device, &rec) {
                match session.perform(verb) {
                    Ok(_) => count += 1,
                    // A learned entry may go by itself at any moment.
                    Err(error) if error.kind == Kind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(count)
    })
}

#[export_module]
pub mod functions {
    /// Adds an entry to the neighbour table, as `ip neigh add`: ARP for IPv4, NDP for IPv6. The entry is permanent unless
    /// option `state` (`"reachable"`, `"stale"`, `"noarp"` …) says otherwise; `router: true` marks a router; `replace: true`
    /// overwrites; without a MAC and with `proxy: true` the kernel answers for the address. Returns the link.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// veth("h1:eth0", "h1:eth1", #{ up: true });
    /// neigh("h1:eth0", "10.0.0.2", "02:00:00:00:00:02");
    /// neigh("h1", "eth0", "10.0.0.9", #{ proxy: true });
    /// assert_eq(neighs("h1:eth0").filter(|n| !n.proxy)[0].lladdr, "02:00:00:00:00:02");
    /// ```
    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh(ctx: NativeCallContext, dev: Dynamic, ip: &str, mac: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, None, &dev, ip, Some(mac), Map::new()))
    }

    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh_with(ctx: NativeCallContext, dev: Dynamic, ip: &str, mac: &str, options: Map) -> Fallible<LinkHandle> {
        // Three strings and a map are (dev, ip, mac, options) or, of a proxy, (ns, dev, ip, options): a device is no address.
        run(&ctx, |s| {
            if ip.parse::<std::net::IpAddr>().is_err() && mac.parse::<std::net::IpAddr>().is_ok() {
                return add(s, Some(&dev), &Dynamic::from(ip.to_string()), mac, None, options);
            }
            add(s, None, &dev, ip, Some(mac), options)
        })
    }

    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh_proxy(ctx: NativeCallContext, dev: Dynamic, ip: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, None, &dev, ip, None, options))
    }

    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh_proxy_in(
        ctx: NativeCallContext,
        ns: Dynamic,
        dev: Dynamic,
        ip: &str,
        options: Map,
    ) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, Some(&ns), &dev, ip, None, options))
    }

    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, ip: &str, mac: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, Some(&ns), &dev, ip, Some(mac), Map::new()))
    }

    #[rhai_fn(name = "neigh", return_raw)]
    pub fn neigh_in_with(
        ctx: NativeCallContext,
        ns: Dynamic,
        dev: Dynamic,
        ip: &str,
        mac: &str,
        options: Map,
    ) -> Fallible<LinkHandle> {
        run(&ctx, |s| add(s, Some(&ns), &dev, ip, Some(mac), options))
    }

    /// Deletes an entry of the neighbour table, as `ip neigh del`. Returns the link. Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// veth("h1:eth0", "h1:eth1", #{ up: true });
    /// neigh("h1:eth0", "10.0.0.2", "02:00:00:00:00:02");
    /// neigh_del("h1:eth0", "10.0.0.2");
    /// assert_eq(neighs("h1:eth0"), []);
    /// ```
    #[rhai_fn(name = "neigh_del", return_raw)]
    pub fn neigh_del(ctx: NativeCallContext, dev: Dynamic, ip: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, None, &dev, ip))
    }

    #[rhai_fn(name = "neigh_del", return_raw)]
    pub fn neigh_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, ip: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| del(s, Some(&ns), &dev, ip))
    }

    /// Deletes the learned entries of a link, as `ip neigh flush dev DEV`; with `all: true` the permanent and the proxy
    /// entries too. Undo brings those back; what was learned is learned again. Returns how many.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// veth("h1:eth0", "h1:eth1", #{ up: true });
    /// neigh("h1:eth0", "10.0.0.2", "02:00:00:00:00:02");
    /// assert_eq(neigh_flush("h1:eth0", #{ all: true }), 1);
    /// ```
    #[rhai_fn(name = "neigh_flush", return_raw)]
    pub fn neigh_flush(ctx: NativeCallContext, dev: Dynamic) -> Fallible<INT> {
        run(&ctx, |s| flush(s, None, &dev, Map::new()))
    }

    #[rhai_fn(name = "neigh_flush", return_raw)]
    pub fn neigh_flush_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<INT> {
        run(&ctx, |s| flush(s, None, &dev, options))
    }

    #[rhai_fn(name = "neigh_flush", return_raw)]
    pub fn neigh_flush_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<INT> {
        run(&ctx, |s| flush(s, Some(&ns), &dev, Map::new()))
    }

    #[rhai_fn(name = "neigh_flush", return_raw)]
    pub fn neigh_flush_in_with(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<INT> {
        run(&ctx, |s| flush(s, Some(&ns), &dev, options))
    }

    /// The neighbours of the current namespace, of `ns`, or of one device: an array of maps with `family`, `dst`, `dev`,
    /// `lladdr` (the MAC, or `()`), `state`, `proxy` and `router`.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:e", "h2:e", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// assert_ping("h1", "10.0.0.2");
    /// assert_eq(neighs("h1").filter(|n| n.dst == "10.0.0.2")[0].lladdr, link("h2:e").mac);
    /// ```
    #[rhai_fn(name = "neighs", return_raw)]
    pub fn neighs(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| show::neighs(s, &s.current(), None))
    }

    #[rhai_fn(name = "neighs", return_raw)]
    pub fn neighs_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| {
            let (ns, only) = show::place(s, &ns)?;
            show::neighs(s, &ns, only)
        })
    }
}

//! Impairment of a link in one go: what a cable, a radio or a wide area does to packets.

use super::{on_device, text};
use crate::engine::Session;
use crate::engine::value::{Device, Fallible, LinkHandle, Opts, run};
use crate::kernel::By;
use crate::plan::tc::{CLSACT, CLSACT_HANDLE, ROOT};
use crate::plan::{Error, Kind, LinkChange, LinkRef, LinkSpec, Result, Verb, What};
use rhai::plugin::*;
use rhai::{Dynamic, Map, NativeCallContext};

const KNOWN: &[&str] = &[
    "rate",
    "delay",
    "jitter",
    "delay_corr",
    "distribution",
    "loss",
    "loss_corr",
    "duplicate",
    "corrupt",
    "reorder",
    "limit",
    "ecn",
    "burst",
    "direction",
];
/// What a token bucket can do: anything else needs netem.
const BUCKET: &[&str] = &["rate", "burst", "limit", "direction"];
/// The priority of the filter that leads what comes in to the ifb: the last one.
const PRIO: i64 = 0xfff0;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Out,
    In,
    Both,
}

fn way(opts: &Map, default: Way) -> Result<Way> {
    Ok(match text(opts, "direction")?.as_deref() {
        None => default,
        Some("out") => Way::Out,
        Some("in") => Way::In,
        Some("both") => Way::Both,
        Some(other) => {
            return Err(Error::invalid(format!("option `direction` can't be `{other}`: it is out, in or both"))
                .with_target("direction"));
        }
    })
}

/// The ifb that the packets coming in to a device go through.
fn ifb_name(device: &Device) -> String {
    format!("ifb{}", device.link.index)
}

/// The other end of a veth, where it can be reached: what leaves it is what comes in here.
fn peer(session: &Session, device: &Device) -> Result<Option<Device>> {
    let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
    if info.is_none_or(|i| i.state.kind != "veth") {
        return Ok(None);
    }
    let handle = LinkHandle { ns: device.ns.clone(), index: device.link.index, peer: None };
    let Ok(other) = super::super::show::peer(session, &handle) else { return Ok(None) };
    let name = session.kernel().link(&other.ns, By::Index(other.index))?.map(|i| i.state.name);
    Ok(name.map(|name| Device { ns: other.ns, link: LinkRef { index: other.index, name } }))
}

/// (kind, handle) of the root qdisc that somebody made.
fn root(session: &Session, device: &Device) -> Result<Option<(String, u32)>> {
    let all = on_device(session, device, What::Qdisc)?;
    let root = all.iter().find(|r| r.tc_parent() == ROOT && r.tc_handle() != 0);
    Ok(root.map(|r| (r.tc_kind(), r.tc_handle())))
}

/// Impairs what leaves a device. A running impairment of the same kind is changed: what is queued stays.
fn impair(session: &Session, device: &Device, opts: &Map) -> Result<()> {
    let there = root(session, device)?;
    let simple = opts.keys().all(|k| BUCKET.contains(&k.as_str()));
    let kind = match there.as_ref().map(|(kind, _)| kind.as_str()) {
        Some("netem") => "netem",
        None | Some("tbf") if simple => "tbf",
        None | Some("tbf") => "netem",
        Some(other) => {
            return Err(Error::new(
                Kind::Exists,
                format!("`{}` in {} has a queue of its own already: {other}", device.link.name, device.ns.label()),
            )
            .with_ns(&device.ns.name)
            .with_target(&device.link.name)
            .with_hint("qdisc_del(dev) takes it away; or put the impairment below it: qdisc(dev, \"netem\", #{ parent: \"1:10\", … })"));
        }
    };
    let mut asked = opts.clone();
    asked.remove("direction");
    if kind == "netem" {
        asked.remove("burst");
    } else if let Some(limit) = text(opts, "limit")? {
        // Packets, as of netem; the bucket counts bytes.
        let packets: u64 = limit.parse().map_err(|_| {
            Error::invalid(format!("option `limit` of shape is a number of packets, not `{limit}`"))
                .with_target("limit")
        })?;
        asked.insert("limit".into(), (packets * 1514).to_string().into());
    }
    if let Some((old, _)) = &there {
        asked.insert(if old == kind { "change" } else { "replace" }.into(), true.into());
    }
    super::qdisc::add(session, device, kind, &asked).map(|_| ())
}

/// The ifb for what comes in, made where it is not there yet.
fn ifb(session: &Session, device: &Device) -> Result<Device> {
    let name = ifb_name(device);
    let all = on_device(session, device, What::Qdisc)?;
    let hook = all.iter().any(|r| r.tc_handle() == CLSACT_HANDLE);
    if let Some(info) = session.kernel().link(&device.ns, By::Name(&name))? {
        return Ok(Device { ns: device.ns.clone(), link: LinkRef { index: info.state.index, name } });
    }
    let spec = LinkSpec { name: Some(name.clone()), kind: "ifb".into(), ..LinkSpec::default() };
    let made = session.perform(Verb::LinkAdd { ns: device.ns.clone(), spec })?;
    let link = made.link.ok_or_else(|| Error::internal("an ifb without an index"))?;
    let change = LinkChange { up: Some(true), ..LinkChange::default() };
    session.perform(Verb::LinkSet { ns: device.ns.clone(), link: link.clone(), change })?;
    if !hook {
        super::qdisc::add(session, device, "clsact", &Map::new())?;
    }
    let action = Map::from([("kind".into(), "mirred".into()), ("dev".into(), name.into())]);
    let filter = Map::from([
        ("parent".into(), "ingress".into()),
        ("prio".into(), PRIO.into()),
        ("protocol".into(), "all".into()),
        ("action".into(), action.into()),
    ]);
    super::filter::add(session, device, "u32", &filter)?;
    Ok(Device { ns: device.ns.clone(), link })
}

fn shape(session: &Session, device: &Device, options: Map) -> Result<()> {
    Opts::new("shape", options.clone(), KNOWN)?;
    let way = way(&options, Way::Out)?;
    if options.keys().all(|k| matches!(k.as_str(), "direction" | "limit" | "burst" | "ecn")) {
        return Err(Error::invalid("shape: what is it to do to the packets?")
            .with_hint("#{ rate: \"20mbit\", delay: \"20ms\", loss: \"1%\" }; unshape(dev) takes it away"));
    }
    // Both ways or neither.
    session.atomic(|| {
        if way != Way::In {
            impair(session, device, &options)?;
        }
        if way != Way::Out {
            let other = match peer(session, device)? {
                Some(peer) => peer,
                None => ifb(session, device)?,
            };
            impair(session, &other, &options)?;
        }
        Ok(())
    })
}

fn clear(session: &Session, device: &Device) -> Result<bool> {
    match root(session, device)? {
        Some((kind, handle)) if matches!(kind.as_str(), "netem" | "tbf") => {
            super::qdisc::del(session, device, ROOT, handle)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn unshape(session: &Session, device: &Device, options: Map) -> Result<()> {
    Opts::new("unshape", options.clone(), &["direction"])?;
    let way = way(&options, Way::Both)?;
    session.atomic(|| {
        let mut found = false;
        if way != Way::In {
            found |= clear(session, device)?;
        }
        if way != Way::Out {
            if let Some(peer) = peer(session, device)? {
                found |= clear(session, &peer)?;
            } else if let Some(info) = session.kernel().link(&device.ns, By::Name(&ifb_name(device)))? {
                let ours = Map::from([
                    ("parent".into(), Dynamic::from("ingress")),
                    ("prio".into(), PRIO.into()),
                    ("protocol".into(), "all".into()),
                ]);
                super::filter::remove(session, device, ours)?;
                let rest = session.kernel().dump(&device.ns, What::Filter)?;
                let used = rest.iter().any(|body| {
                    let rec = crate::plan::Rec { what: What::Filter, body: body.clone(), ends: None };
                    rec.tc_index() == device.link.index && rec.tc_parent() >= CLSACT_HANDLE && rec.tc_parent() != ROOT
                });
                if !used {
                    super::qdisc::del(session, device, CLSACT, CLSACT_HANDLE)?;
                }
                let link = LinkRef { index: info.state.index, name: info.state.name };
                session.perform(Verb::LinkDel { ns: device.ns.clone(), link })?;
                found = true;
            }
        }
        if found {
            return Ok(());
        }
        Err(Error::new(Kind::NotFound, format!("`{}` in {} is not shaped", device.link.name, device.ns.label()))
            .with_ns(&device.ns.name)
            .with_target(&device.link.name)
            .with_hint("qdiscs() shows what is there"))
    })
}

#[export_module]
pub mod functions {
    /// Makes a link slow, late or lossy: `rate`, `delay`, `jitter`, `delay_corr`, `distribution`, `loss`, `loss_corr`, `duplicate`,
    /// `corrupt`, `reorder`, `limit` (packets in the queue), `ecn`, and `burst` (of a rate alone), as `qdisc` has them.
    /// `direction` is `"out"` (what the device sends, the default), `"in"` (what it gets) or `"both"`; a delay both ways is in
    /// the round trip twice. What comes in is impaired at the other end of a veth, else through an ifb.
    ///
    /// A rate alone is a `tbf`; all else is a `netem`. Called again, it changes what runs: what is queued stays (from a rate
    /// alone to a delay it is another kind, and the queue is lost). Errors: `unsupported` where the kernel has no netem
    /// (CONFIG_NET_SCH_NETEM): a rate works there too; `exists` where the device has another queue.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:eth0", "h2:eth0", #{ up: true });
    /// shape("h1:eth0", #{ rate: "20mbit", direction: "both" });
    /// assert_eq(qdiscs("h2:eth0")[0].options.rate, 20_000_000);
    /// shape("h1:eth0", #{ rate: "10mbit" });
    /// unshape("h1:eth0");
    /// ```
    #[rhai_fn(name = "shape", return_raw)]
    pub fn shape_dev(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| shape(s, &super::super::device(s, None, &dev)?, options))
    }

    #[rhai_fn(name = "shape", return_raw)]
    pub fn shape_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| shape(s, &super::super::device(s, Some(&ns), &dev)?, options))
    }

    /// Takes away what `shape` did to a link, both ways, or with `#{ direction: "out" }` or `"in"` one. Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:eth0", "h2:eth0", #{ up: true });
    /// shape("h1:eth0", #{ rate: "20mbit" });
    /// unshape("h1:eth0");
    /// assert_eq(qdiscs("h1:eth0")[0].kind, "noqueue");
    /// ```
    #[rhai_fn(name = "unshape", return_raw)]
    pub fn unshape_dev(ctx: NativeCallContext, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| unshape(s, &super::super::device(s, None, &dev)?, Map::new()))
    }

    #[rhai_fn(name = "unshape", return_raw)]
    pub fn unshape_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| unshape(s, &super::super::device(s, None, &dev)?, options))
    }

    #[rhai_fn(name = "unshape", return_raw)]
    pub fn unshape_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| unshape(s, &super::super::device(s, Some(&ns), &dev)?, Map::new()))
    }

    #[rhai_fn(name = "unshape", return_raw)]
    pub fn unshape_in_with(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| unshape(s, &super::super::device(s, Some(&ns), &dev)?, options))
    }
}

//! Qdiscs (tc(8)).

use super::{listed, mode, on_device, params, put_stats, shown, text};
use crate::engine::Session;
use crate::engine::value::{Device, Fallible, Opts, put, run};
use crate::kernel::By;
use crate::plan::tc::{self, CLSACT, CLSACT_HANDLE, ROOT, TCA_KIND, TCA_OPTIONS};
use crate::plan::{Error, Kind, Rec, Result, Verb, What, nla};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

/// Options of every kind.
const COMMON: &[&str] = &["parent", "handle", "replace", "change"];

/// Where a qdisc is to be: its parent, and its handle (0: the kernel chooses).
fn place(kind: &str, opts: &Map) -> Result<(u32, u32)> {
    let asked = text(opts, "handle")?.map(|h| tc::parse_qdisc_handle(&h)).transpose()?;
    let parent = text(opts, "parent")?.map(|p| tc::parse_handle(&p)).transpose()?;
    if matches!(kind, "ingress" | "clsact") {
        if parent.is_some_and(|p| p != CLSACT && p != tc::INGRESS) || asked.is_some_and(|h| h != CLSACT_HANDLE) {
            return Err(Error::invalid(format!("{kind} has its own place, `ffff:`: it takes no parent and no handle")));
        }
        return Ok((CLSACT, CLSACT_HANDLE));
    }
    let parent = parent.unwrap_or(ROOT);
    if matches!(parent, CLSACT | tc::INGRESS | tc::EGRESS) {
        return Err(Error::invalid(format!("{kind} can't be on ingress"))
            .with_target(kind)
            .with_hint("only packets that leave are queued; to shape those that come in, send them through an ifb: shape(dev, #{ direction: \"in\" })"));
    }
    Ok((parent, asked.unwrap_or_default()))
}

/// Makes a qdisc; returns its handle.
pub fn add(session: &Session, device: &Device, kind: &str, opts: &Map) -> Result<u32> {
    let (parent, handle) = place(kind, opts)?;
    let mode = mode(opts, "qdisc")?;
    let opts = &bucket(session, device, kind, opts)?;
    let mut params = params(kind, opts, COMMON)?;
    let options = tc::qdisc::encode(kind, &mut params)?;
    let mut body = tc::header(device.link.index, handle, parent, 0);
    nla::put(&mut body, TCA_KIND, format!("{kind}\0").as_bytes());
    if let Some(options) = options {
        nla::put(&mut body, TCA_OPTIONS, &options);
    }
    let mut words = tc::place_words(What::Qdisc, &device.link.name, handle, parent);
    words += &format!(" {kind}{}", params.words());
    let rec = Rec { what: What::Qdisc, body, ends: None };
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec, words, mode })?;
    if handle != 0 {
        return Ok(handle);
    }
    let found = on_device(session, device, What::Qdisc)?.into_iter().find(|r| r.tc_parent() == parent);
    Ok(found.map(|r| r.tc_handle()).unwrap_or_default())
}

/// A token bucket drops what is larger than its burst: where none is given, it holds a frame of the link at least, with an
/// Ethernet header and a VLAN's tag.
fn bucket(session: &Session, device: &Device, kind: &str, opts: &Map) -> Result<Map> {
    let mut opts = opts.clone();
    if kind == "tbf" && !opts.contains_key("burst") {
        let info = session.kernel().link(&device.ns, By::Index(device.link.index))?;
        let frame = info.map_or(0, |info| info.state.mtu.saturating_add(18));
        let rate = params(kind, &opts, COMMON)?.rate("rate")?.unwrap_or_default();
        if frame > tc::qdisc::default_burst(rate) {
            opts.insert("burst".into(), frame.to_string().into());
        }
    }
    Ok(opts)
}

/// Deletes the qdisc at `parent` (with that handle, where one is given).
pub fn del(session: &Session, device: &Device, parent: u32, handle: u32) -> Result<()> {
    let words = tc::place_words(What::Qdisc, &device.link.name, handle, parent);
    let words = if parent == CLSACT { format!("{words} clsact") } else { words };
    let rec = Rec { what: What::Qdisc, body: tc::header(device.link.index, handle, parent, 0), ends: None };
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec, words }).map(|_| ())
}

fn remove(session: &Session, device: &Device, options: Map) -> Result<()> {
    let opts = Opts::new("qdisc_del", options.clone(), &["parent", "handle"])?;
    let handle = text(&options, "handle")?.map(|h| tc::parse_qdisc_handle(&h)).transpose()?;
    let parent = match opts.get("parent") {
        Some(_) => tc::parse_handle(&text(&options, "parent")?.unwrap_or_default())?,
        // By its handle alone: where it is, the kernel tells.
        None => match handle {
            Some(handle) => {
                let found = on_device(session, device, What::Qdisc)?.into_iter().find(|r| r.tc_handle() == handle);
                found.map(|r| r.tc_parent()).ok_or_else(|| {
                    Error::new(
                        Kind::NotFound,
                        format!(
                            "there is no qdisc {} on `{}` in {}",
                            tc::handle_text(handle),
                            device.link.name,
                            device.ns.label()
                        ),
                    )
                    .with_ns(&device.ns.name)
                    .with_hint("qdiscs() lists those that there are")
                })?
            }
            None => ROOT,
        },
    };
    let parent = if matches!(parent, tc::INGRESS | tc::EGRESS) { CLSACT } else { parent };
    del(session, device, parent, handle.unwrap_or_default())
}

fn list(session: &Session, place: Option<&Dynamic>) -> Result<Array> {
    listed(session, place, What::Qdisc, |rec, map| {
        let options = tc::qdisc::decode(&rec.tc_kind(), rec.tc_options());
        put(map, "options", options.into_iter().map(|(k, v)| (k.into(), shown(v))).collect::<Map>());
        put_stats(map, rec);
    })
}

#[export_module]
pub mod functions {
    /// Puts a qdisc on a device, as `tc qdisc add`. Returns its handle, such as `"1:"` or `"8001:"`.
    ///
    /// Options of all kinds: `parent` (`"root"`, which is the default, or a class such as `"1:10"`), `handle` (`"1:"`; else
    /// the kernel chooses), `replace: true` (in place of the one that is there; the same kind is changed), `change: true`
    /// (only one that is there: what is queued stays). Rates are as tc writes them (`"10mbit"`, `"64kbps"`), sizes too
    /// (`"32kb"`), times have their unit (`"10ms"`).
    ///
    /// | kind | options |
    /// |---|---|
    /// | `tbf` | `rate`, `burst` (default: 10 ms of the rate, and a frame of the link's mtu at least), `latency` (default: 50 ms) or `limit`, `peakrate`, `mtu`, `overhead`, `mpu` |
    /// | `htb` | `default_class` (hexadecimal, as in a handle), `r2q`, `direct_qlen`; classes by `tc_class` |
    /// | `netem` | `delay`, `jitter`, `delay_corr`, `distribution` (`uniform`, `normal`, `pareto`, `paretonormal`), `loss` (a percentage, or `"gemodel P R 1-H 1-K"`, `"state P13 P31 P32 P23 P14"`), `loss_corr`, `duplicate`, `duplicate_corr`, `corrupt`, `corrupt_corr`, `reorder`, `reorder_corr`, `gap`, `rate`, `overhead`, `limit` (packets; 1000), `ecn`, `slot` |
    /// | `fq_codel` | `limit`, `flows`, `quantum`, `target`, `interval`, `ce_threshold`, `memory_limit`, `drop_batch`, `ecn` |
    /// | `codel` | `limit`, `target`, `interval`, `ce_threshold`, `ecn` |
    /// | `pie` | `limit`, `target`, `tupdate`, `alpha`, `beta`, `ecn`, `bytemode`, `dq_rate_estimator` |
    /// | `red` | `limit`, `min`, `max` (bytes), `avpkt` (needed), `burst` (packets), `bandwidth`, `probability` (0.02), `ecn`, `harddrop`, `nodrop`, `adaptive` |
    /// | `choke` | `limit`, `bandwidth` (both needed), `min`, `max`, `burst` (packets), `avpkt`, `probability`, `ecn` |
    /// | `fq` | `limit`, `flow_limit`, `buckets`, `orphan_mask`, `quantum`, `initial_quantum`, `pacing`, `maxrate`, `low_rate_threshold`, `refill_delay`, `timer_slack`, `ce_threshold`, `horizon` |
    /// | `cake` | `bandwidth`, `diffserv`, `flowmode`, `nat`, `wash`, `ingress`, `ack_filter`, `split_gso`, `rtt`, `atm`, `overhead`, `mpu`, `memlimit`, `fwmark` |
    /// | `sfq` | `quantum`, `perturb`, `limit`, `divisor`, `flows`, `depth`, `headdrop` |
    /// | `prio` | `bands`, `priomap` (an array of 16) |
    /// | `hfsc`, `drr` | `default_class`; none; classes by `tc_class` |
    /// | `pfifo`, `bfifo` | `limit` (packets, bytes) |
    /// | `ingress`, `clsact` | none; they hold filters, see `tc_filter` |
    /// | `noqueue`, `mq`, `pfifo_fast` | none |
    ///
    /// Undone with the run; what was there before comes back with its classes and filters. (The kernel never tells a netem's
    /// distribution, so that of a netem that somebody else made is lost when it is deleted; of how the average of a red or
    /// choke fades it tells the scale only.) Errors: `exists`, `unsupported` (naming the kernel option), `not_found`, `invalid`.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "tbf", #{ rate: "10mbit", burst: "32kb", latency: "50ms" });
    /// assert_eq(qdiscs(a)[0].options.rate, 10_000_000);
    /// ```
    #[rhai_fn(name = "qdisc", return_raw)]
    pub fn qdisc(ctx: NativeCallContext, dev: Dynamic, kind: &str) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, None, &dev)?, kind, &Map::new()).map(tc::handle_text))
    }

    #[rhai_fn(name = "qdisc", return_raw)]
    pub fn qdisc_with(ctx: NativeCallContext, dev: Dynamic, kind: &str, options: Map) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, None, &dev)?, kind, &options).map(tc::handle_text))
    }

    #[rhai_fn(name = "qdisc", return_raw)]
    pub fn qdisc_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, kind: &str) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, Some(&ns), &dev)?, kind, &Map::new()).map(tc::handle_text))
    }

    #[rhai_fn(name = "qdisc", return_raw)]
    pub fn qdisc_in_with(
        ctx: NativeCallContext,
        ns: Dynamic,
        dev: Dynamic,
        kind: &str,
        options: Map,
    ) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, Some(&ns), &dev)?, kind, &options).map(tc::handle_text))
    }

    /// Deletes a qdisc with its classes and filters, as `tc qdisc del`: the root, or with `#{ parent: … }` or
    /// `#{ handle: … }` another (`#{ parent: "ingress" }` for `ingress` and `clsact`). The kernel puts its default in place
    /// of a root. Errors: `not_found`.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "htb", #{ handle: "1:" });
    /// qdisc_del("a");
    /// assert_eq(qdiscs(a)[0].kind, "noqueue");
    /// ```
    #[rhai_fn(name = "qdisc_del", return_raw)]
    pub fn qdisc_del(ctx: NativeCallContext, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, None, &dev)?, Map::new()))
    }

    #[rhai_fn(name = "qdisc_del", return_raw)]
    pub fn qdisc_del_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, None, &dev)?, options))
    }

    #[rhai_fn(name = "qdisc_del", return_raw)]
    pub fn qdisc_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, Some(&ns), &dev)?, Map::new()))
    }

    #[rhai_fn(name = "qdisc_del", return_raw)]
    pub fn qdisc_del_in_with(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, Some(&ns), &dev)?, options))
    }

    /// The qdiscs of the current namespace, of `ns`, or of one device (a link, `"ns:dev"`), those that the kernel put there
    /// by itself included (their `handle` is `()`). An array of maps with `dev`, `kind`, `handle`, `parent`, `options`
    /// (rates in bits a second, sizes in bytes, times in milliseconds), `bytes`, `packets`, `drops`, `overlimits`,
    /// `requeues`, `backlog` (bytes) and `qlen` (packets).
    ///
    /// ```rhai
    /// netns_add("h1");
    /// veth("h1:a", "h1:b", #{ up: true });
    /// qdisc("h1:a", "pfifo", #{ limit: 50 });
    /// let q = qdiscs("h1:a")[0];
    /// assert_eq([q.kind, q.parent, q.options.limit], ["pfifo", "root", 50]);
    /// ```
    #[rhai_fn(name = "qdiscs", return_raw)]
    pub fn qdiscs(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None))
    }

    #[rhai_fn(name = "qdiscs", return_raw)]
    pub fn qdiscs_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns)))
    }
}

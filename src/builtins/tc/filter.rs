//! Filters and their actions (tc(8), tc-u32(8), tc-flower(8), tc-mirred(8) …).

use super::{listed, mode, params, put, shown, text};
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, Opts, put_int, run};
use crate::plan::tc::{self, CLSACT_HANDLE, EGRESS, INGRESS, TCA_CHAIN, TCA_KIND, TCA_OPTIONS, Value, action, filter};
use crate::plan::{Error, Rec, Result, Verb, What, nla};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

const COMMON: &[&str] =
    &["parent", "prio", "protocol", "handle", "chain", "classid", "action", "actions", "replace", "change"];

/// Where a filter is: what it hangs on, its priority (0: the kernel chooses), protocol, handle and chain.
struct Place {
    parent: u32,
    prio: u32,
    protocol: u16,
    handle: u32,
    chain: Option<u32>,
}

fn number(opts: &Map, key: &str, max: i64) -> Result<Option<u32>> {
    let Some(text) = text(opts, key)? else { return Ok(None) };
    let found = tc::params::number(&text).filter(|n| (0..=max).contains(n)).and_then(|n| u32::try_from(n).ok());
    found.map(Some).ok_or_else(|| {
        Error::invalid(format!("option `{key}` of tc_filter must be a number from 0 to {max}, not `{text}`"))
            .with_target(key)
    })
}

/// The handle of a filter: `801::800` of u32 (table, bucket, entry), a mark of fw, a number.
fn handle_of(opts: &Map) -> Result<u32> {
    let Some(text) = text(opts, "handle")? else { return Ok(0) };
    let parts: Vec<&str> = text.split(':').collect();
    let hex = |t: &str| if t.is_empty() { Some(0) } else { u32::from_str_radix(t, 16).ok() };
    let found = match parts[..] {
        [one] => tc::params::number(one).and_then(|n| u32::try_from(n).ok()),
        [table, bucket, entry] => match (hex(table), hex(bucket), hex(entry)) {
            (Some(t @ ..=0xfff), Some(b @ ..=0xff), Some(e @ ..=0xfff)) => Some(t << 20 | b << 12 | e),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| Error::invalid(format!("`{text}` is not the handle of a filter")).with_target("handle"))
}

/// A handle of u32 as `tc` writes it: table, bucket, entry.
fn entry(handle: u32) -> String {
    let hex = |n: u32| if n == 0 { String::new() } else { format!("{n:x}") };
    format!("{:x}:{}:{}", handle >> 20, hex(handle >> 12 & 0xff), hex(handle & 0xfff))
}

fn place(opts: &Map) -> Result<Place> {
    let parent = text(opts, "parent")?.ok_or_else(|| {
        Error::invalid("a filter hangs on a qdisc or class: which is its `parent`?")
            .with_target("parent")
            .with_hint("\"1:\" for a qdisc of that handle, \"ingress\" or \"egress\" for those of clsact")
    })?;
    let parent = tc::parse_handle(&parent)?;
    let protocol = match text(opts, "protocol")? {
        Some(text) => filter::protocol(&text).ok_or_else(|| {
            Error::invalid(format!("`{text}` is not a protocol"))
                .with_target("protocol")
                .with_hint("ip, ipv6, arp, 802.1q, all, or a number such as 0x0800")
        })?,
        None => 3,
    };
    Ok(Place {
        parent,
        prio: number(opts, "prio", 0xffff)?.unwrap_or_default(),
        protocol,
        handle: handle_of(opts)?,
        chain: number(opts, "chain", i64::from(u32::MAX))?,
    })
}

impl Place {
    fn header(&self, device: &Device, kind: &str) -> Vec<u8> {
        let info = self.prio << 16 | u32::from(self.protocol.to_be());
        let mut body = tc::header(device.link.index, self.handle, self.parent, info);
        if !kind.is_empty() {
            nla::put(&mut body, TCA_KIND, format!("{kind}\0").as_bytes());
        }
        if let Some(chain) = self.chain {
            nla::put(&mut body, TCA_CHAIN, &chain.to_ne_bytes());
        }
        body
    }

    fn words(&self, device: &Device, kind: &str) -> String {
        let mut out = tc::place_words(What::Filter, &device.link.name, 0, self.parent);
        out += &format!(" protocol {}", filter::protocol_text(self.protocol));
        if self.prio != 0 {
            out += &format!(" pref {}", self.prio);
        }
        if let Some(chain) = self.chain {
            out += &format!(" chain {chain}");
        }
        if self.handle != 0 {
            out += &match kind {
                "u32" => format!(" handle {}", entry(self.handle)),
                _ => format!(" handle {:#x}", self.handle),
            };
        }
        if kind.is_empty() { out } else { out + " " + kind }
    }
}

/// One action: a verdict (`"drop"`), or a map.
fn act(session: &Session, device: &Device, list: &mut Vec<u8>, order: u16, value: &Dynamic) -> Result<String> {
    if value.is_string() {
        let verdict = value::text(value, "an action")?;
        let map = Map::from([("verdict".into(), verdict.clone().into())]);
        let mut params = params("gact", &map, &[])?;
        action::encode(list, order, "gact", &mut params, None)?;
        return Ok(format!(" action {verdict}"));
    }
    let map = value::map(value, "an action")?;
    let kind = text(&map, "kind")?.ok_or_else(|| {
        Error::invalid("an action needs its kind")
            .with_target("kind")
            .with_hint("\"drop\", or #{ kind: \"mirred\", dev: \"ifb0\" }, #{ kind: \"police\", rate: \"1mbit\" }")
    })?;
    let mut params = params(&kind, &map, &["kind", "dev"])?;
    let target = map.get("dev").map(|dev| value::device(session, Some(&device.ns), dev)).transpose()?;
    if kind == "mirred" && target.is_none() {
        return Err(Error::invalid("mirred needs a device to send to").with_target("dev"));
    }
    if kind != "mirred" && target.is_some() {
        return Err(Error::invalid(format!("{kind} has no option `dev`")).with_target("dev"));
    }
    let set = |key: &str| map.get(key).is_some_and(|v| v.as_bool().unwrap_or(false));
    action::encode(list, order, &kind, &mut params, target.as_ref().map(|d| d.link.index))?;
    Ok(match target {
        Some(to) => format!(
            " action mirred {} {} dev {}",
            if set("ingress") { "ingress" } else { "egress" },
            if set("mirror") { "mirror" } else { "redirect" },
            crate::plan::ip::word(&to.link.name)
        ),
        None if kind == "vlan" => format!(" action vlan{}", params.words().replacen(" vlan", "", 1)),
        None => format!(" action {kind}{}", params.words()),
    })
}

/// Adds a filter.
pub fn add(session: &Session, device: &Device, kind: &str, opts: &Map) -> Result<()> {
    let place = place(opts)?;
    let mode = mode(opts, "tc_filter")?;
    let mut params = params(kind, opts, COMMON)?;
    let mut options = filter::encode(kind, place.protocol, &mut params)?;
    let mut words = place.words(device, kind) + params.words().as_str();
    let class = text(opts, "classid")?.map(|c| filter::class(&c)).transpose()?;
    let actions: Vec<Dynamic> = match (opts.get("action"), opts.get("actions")) {
        (Some(_), Some(_)) => return Err(Error::invalid("tc_filter: `action` and `actions` exclude each other")),
        (Some(one), None) => vec![one.clone()],
        (None, Some(all)) => all
            .clone()
            .into_array()
            .map_err(|_| Error::invalid("option `actions` of tc_filter must be an array").with_target("actions"))?,
        (None, None) => Vec::new(),
    };
    if kind == "u32" && (class.is_some() || !actions.is_empty()) {
        filter::make_terminal(&mut options);
    }
    if let Some(class) = class {
        action::put_class(&mut options, class);
        words += format!(" classid {}", tc::handle_text(class)).as_str();
    }
    if !actions.is_empty() {
        let mut list = Vec::new();
        for (order, value) in (1_u16..).zip(&actions) {
            words += act(session, device, &mut list, order, value)?.as_str();
        }
        let code = filter::actions_in(kind).ok_or_else(|| Error::internal("a filter without actions"))?;
        nla::nest(&mut options, code, |out| out.extend_from_slice(&list));
    }
    let mut body = place.header(device, kind);
    if kind != "fw" || place.handle != 0 || !options.is_empty() {
        nla::nest(&mut body, TCA_OPTIONS, |out| out.extend_from_slice(&options));
    }
    let rec = Rec { what: What::Filter, body, ends: None };
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec, words, mode }).map(|_| ())
}

pub fn remove(session: &Session, device: &Device, options: Map) -> Result<()> {
    let known = ["parent", "prio", "protocol", "handle", "chain", "kind"];
    Opts::new("tc_filter_del", options.clone(), &known)?;
    let mut place = place(&options)?;
    let kind = text(&options, "kind")?.unwrap_or_default();
    if place.prio == 0 && text(&options, "protocol")?.is_none() {
        // All of them: the kernel wants no protocol then.
        place.protocol = 0;
    }
    if place.handle != 0 && (place.prio == 0 || kind.is_empty()) {
        return Err(Error::invalid("a single filter is told by its `prio`, `protocol`, `kind` and `handle`")
            .with_target("handle")
            .with_hint("tc_filters() shows them"));
    }
    let words = place.words(device, &kind);
    let rec = Rec { what: What::Filter, body: place.header(device, &kind), ends: None };
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec, words }).map(|_| ())
}

fn list(session: &Session, at: Option<&Dynamic>) -> Result<Array> {
    let ns = match at {
        Some(at) => super::super::show::place(session, at)?.0,
        None => session.current(),
    };
    let links = super::super::show::Names::new(session, &ns);
    let mut all = listed(session, at, What::Filter, |rec, map| {
        let (prio, protocol) = rec.tc_prio();
        put_int(map, "prio", prio);
        put(map, "protocol", filter::protocol_text(protocol));
        let handle = rec.tc_handle();
        let text = match rec.tc_kind().as_str() {
            "u32" => entry(handle),
            _ => format!("{handle:#x}"),
        };
        put(map, "handle", text);
        let parent = match rec.tc_parent() {
            CLSACT_HANDLE | INGRESS => "ingress".to_string(),
            EGRESS => "egress".to_string(),
            other => tc::handle_text(other),
        };
        put(map, "parent", parent);
        put_int(map, "chain", rec.attr_u32(TCA_CHAIN).unwrap_or_default());
        let mut options = filter::decode(&rec.tc_kind(), handle, rec.tc_options());
        let take = |all: &mut Vec<(&'static str, Value)>, key: &str| {
            all.iter().position(|(k, _)| *k == key).map(|at| all.remove(at).1)
        };
        let class = take(&mut options, "classid").unwrap_or(Value::None);
        let actions = take(&mut options, "actions").unwrap_or(Value::List(Vec::new()));
        put(map, "classid", shown(class));
        let mut actions = shown(actions).into_array().unwrap_or_default();
        for one in &mut actions {
            // A device by its name.
            if let Some(mut one) = one.write_lock::<Map>()
                && let Some(index) = one.remove("ifindex").and_then(|i| u32::try_from(i.as_int().ok()?).ok())
            {
                one.insert("dev".into(), links.get(index).into());
            }
        }
        put(map, "actions", actions);
        put(map, "options", options.into_iter().map(|(k, v)| (k.into(), shown(v))).collect::<Map>());
    })?;
    // The head of a priority and u32's own tables are no filters. Of fw the head is one where it stands alone: it takes the
    // mark for the class (fw_classify, net/sched/cls_fw.c).
    let place = |map: &Map| -> String {
        ["dev", "parent", "chain", "prio"]
            .iter()
            .map(|key| format!("{} ", map.get(*key).cloned().unwrap_or_default()))
            .collect()
    };
    let marked: Vec<String> = all
        .iter()
        .filter_map(Dynamic::read_lock::<Map>)
        .filter(|map| {
            let text = |key: &str| map.get(key).and_then(|v| v.clone().into_string().ok()).unwrap_or_default();
            text("kind") == "fw" && text("handle") != "0x0"
        })
        .map(|map| place(&map))
        .collect();
    all.retain(|one| {
        let Some(map) = one.read_lock::<Map>() else { return true };
        let text = |key: &str| map.get(key).and_then(|v| v.clone().into_string().ok()).unwrap_or_default();
        let (kind, handle) = (text("kind"), text("handle"));
        match kind.as_str() {
            "u32" => !handle.ends_with(':'),
            "fw" => handle != "0x0" || !marked.contains(&place(&map)),
            _ => handle != "0x0",
        }
    });
    Ok(all)
}

#[export_module]
pub mod functions {
    /// Adds a filter to a qdisc, as `tc filter add`.
    ///
    /// Options of all kinds: `parent` (a qdisc `"1:"`, a class, or `"ingress"`, `"egress"` of a clsact), `protocol` (`"all"`, which
    /// is the default, `"ip"`, `"ipv6"`, `"arp"`, `"802.1q"`), `prio` (lower first; else the kernel chooses), `handle`, `chain`,
    /// `classid` (the class that it leads to), `action` or `actions`, `replace: true`, `change: true`.
    ///
    /// | kind | options |
    /// |---|---|
    /// | `u32` | `src`, `dst` (prefixes), `ip_proto`, `sport`, `dport`, `tos`, `words` (`"0x0a000000 0xff000000 at 12"`); none: everything |
    /// | `flower` | `src`, `dst`, `ip_proto`, `sport`, `dport`, `src_mac`, `dst_mac`, `vlan_id`, `vlan_prio` |
    /// | `matchall`, `basic` | none: everything |
    /// | `fw` | `handle` is the firewall's mark; `mask` |
    ///
    /// An action is a word (`"drop"`, `"pass"`, `"pipe"`, `"continue"`, `"reclassify"`) or a map with its `kind`: `mirred` (`dev`;
    /// `mirror: true` for a copy, `ingress: true` to come in there), `police` (`rate`, `burst`, `mtu`, `exceed`), `vlan` (`vlan`:
    /// `"pop"`, `"push"`, `"modify"`; `id`, `priority`, `protocol`), `gact` (`verdict`).
    ///
    /// Errors: `unsupported` (naming the kernel option), `not_found`, `exists`, `invalid`.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "htb", #{ handle: "1:" });
    /// tc_class("a", "1:10", #{ rate: "1mbit" });
    /// tc_filter("a", "u32", #{ parent: "1:", protocol: "ip", prio: 5, dst: "10.0.0.0/8", classid: "1:10" });
    /// assert_eq(tc_filters(a)[0].classid, "1:10");
    /// ```
    #[rhai_fn(name = "tc_filter", return_raw)]
    pub fn tc_filter(ctx: NativeCallContext, dev: Dynamic, kind: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, &super::super::device(s, None, &dev)?, kind, &options))
    }

    #[rhai_fn(name = "tc_filter", return_raw)]
    pub fn tc_filter_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, kind: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| add(s, &super::super::device(s, Some(&ns), &dev)?, kind, &options))
    }

    /// Deletes filters, as `tc filter del`: all of a `parent`, those of a `prio` there, or one by `prio`, `protocol`, `kind` and
    /// `handle`. Errors: `not_found`.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "clsact");
    /// tc_filter("a", "u32", #{ parent: "ingress", protocol: "ip", prio: 5, src: "10.0.0.0/8" });
    /// tc_filter_del("a", #{ parent: "ingress", protocol: "ip", prio: 5 });
    /// assert_eq(tc_filters(a), []);
    /// ```
    #[rhai_fn(name = "tc_filter_del", return_raw)]
    pub fn tc_filter_del(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, None, &dev)?, options))
    }

    #[rhai_fn(name = "tc_filter_del", return_raw)]
    pub fn tc_filter_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, Some(&ns), &dev)?, options))
    }

    /// The filters of the current namespace, of `ns`, or of one device. An array of maps with `dev`, `kind`, `parent`, `prio`,
    /// `protocol`, `handle`, `chain`, `classid`, `actions` (maps with `kind` and what the kind has) and `options` (the matches).
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "clsact");
    /// tc_filter("a", "u32", #{ parent: "egress", protocol: "ip", prio: 5, action: #{ kind: "mirred", dev: "b", mirror: true } });
    /// let f = tc_filters(a)[0];
    /// assert_eq([f.parent, f.prio, f.actions[0].dev], ["egress", 5, "b"]);
    /// ```
    #[rhai_fn(name = "tc_filters", return_raw)]
    pub fn tc_filters(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None))
    }

    #[rhai_fn(name = "tc_filters", return_raw)]
    pub fn tc_filters_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns)))
    }
}

//! Classes of htb, hfsc and drr (tc-htb(8), tc-hfsc(8), tc-drr(8)).

use super::{listed, mode, on_device, params, put_stats, shown, text};
use crate::engine::Session;
use crate::engine::value::{Device, Fallible, put, run};
use crate::plan::tc::{self, ROOT, TCA_KIND, TCA_OPTIONS, major};
use crate::plan::{Error, Kind, Rec, Result, Verb, What, nla};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

const COMMON: &[&str] = &["parent", "replace", "change"];

fn class_id(text: &str) -> Result<u32> {
    let handle = tc::parse_handle(text)?;
    if tc::minor(handle) == 0 || major(handle) == 0 || major(handle) == 0xffff_0000 {
        return Err(Error::invalid(format!("`{text}` is not a class"))
            .with_target(text)
            .with_hint("the qdisc's number, a colon and the class's, hexadecimal: \"1:10\""));
    }
    Ok(handle)
}

/// The kind of the qdisc that a class is of.
fn kind_of(session: &Session, device: &Device, class: u32) -> Result<String> {
    let all = on_device(session, device, What::Qdisc)?;
    all.iter().find(|r| r.tc_handle() == major(class)).map(Rec::tc_kind).ok_or_else(|| {
        Error::new(
            Kind::NotFound,
            format!(
                "there is no qdisc {} on `{}` in {}",
                tc::handle_text(major(class)),
                device.link.name,
                device.ns.label()
            ),
        )
        .with_ns(&device.ns.name)
        .with_target(tc::handle_text(class))
        .with_hint("make it first: qdisc(dev, \"htb\", #{ handle: \"1:\" })")
    })
}

/// Makes a class.
pub fn add(session: &Session, device: &Device, class: &str, opts: &Map) -> Result<()> {
    let handle = class_id(class)?;
    let kind = kind_of(session, device, handle)?;
    let parent = match text(opts, "parent")?.map(|p| tc::parse_handle(&p)).transpose()? {
        // The qdisc itself
        Some(parent) if tc::minor(parent) == 0 => ROOT,
        Some(parent) => parent,
        None => ROOT,
    };
    let mode = mode(opts, "tc_class")?;
    let mut params = params(&format!("a class of {kind}"), opts, COMMON)?;
    let options = tc::class::encode(&kind, &mut params)?;
    // hfsc knows its outermost class by the handle of the qdisc.
    let sent = if parent == ROOT && kind != "htb" { major(handle) } else { parent };
    let mut body = tc::header(device.link.index, handle, sent, 0);
    nla::put(&mut body, TCA_KIND, format!("{kind}\0").as_bytes());
    nla::put(&mut body, TCA_OPTIONS, &options);
    let mut words = tc::place_words(What::Class, &device.link.name, handle, parent);
    words += &format!(" {kind}{}", params.words());
    let rec = Rec { what: What::Class, body, ends: None };
    session.perform(Verb::RecAdd { ns: device.ns.clone(), rec, words, mode }).map(|_| ())
}

fn remove(session: &Session, device: &Device, class: &str) -> Result<()> {
    let handle = class_id(class)?;
    let words = format!("dev {} classid {}", crate::plan::ip::word(&device.link.name), tc::handle_text(handle));
    let rec = Rec { what: What::Class, body: tc::header(device.link.index, handle, 0, 0), ends: None };
    session.perform(Verb::RecDel { ns: device.ns.clone(), rec, words }).map(|_| ())
}

fn list(session: &Session, place: Option<&Dynamic>) -> Result<Array> {
    listed(session, place, What::Class, |rec, map| {
        let options = tc::class::decode(&rec.tc_kind(), rec.tc_options());
        put(map, "options", options.into_iter().map(|(k, v)| (k.into(), shown(v))).collect::<Map>());
        put_stats(map, rec);
    })
}

#[export_module]
pub mod functions {
    /// Makes a class of an htb, hfsc or drr qdisc, as `tc class add`. Returns its id.
    ///
    /// Options of all: `parent` (another class; else the qdisc), `replace: true`, `change: true`. Of htb: `rate`, `ceil`,
    /// `burst`, `cburst`, `prio`, `quantum`, `overhead`, `mpu`. Of hfsc: `sc` or `rt`, `ls`, `ul`, each a rate or a curve
    /// (`"m1 5mbit d 10ms m2 2mbit"`). Of drr: `quantum`. What has no class by a filter goes to the `default_class` of the
    /// qdisc. Errors: `not_found` for the qdisc, `exists`, `invalid`.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "htb", #{ handle: "1:", default_class: "20" });
    /// tc_class("a", "1:1", #{ rate: "20mbit" });
    /// tc_class("a", "1:10", #{ parent: "1:1", rate: "15mbit", ceil: "20mbit" });
    /// tc_class("a", "1:20", #{ parent: "1:1", rate: "5mbit", ceil: "20mbit" });
    /// assert_eq(tc_classes(a).len(), 3);
    /// ```
    #[rhai_fn(name = "tc_class", return_raw)]
    pub fn tc_class(ctx: NativeCallContext, dev: Dynamic, class: &str, options: Map) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, None, &dev)?, class, &options).map(|()| class.to_string()))
    }

    #[rhai_fn(name = "tc_class", return_raw)]
    pub fn tc_class_in(
        ctx: NativeCallContext,
        ns: Dynamic,
        dev: Dynamic,
        class: &str,
        options: Map,
    ) -> Fallible<String> {
        run(&ctx, |s| add(s, &super::super::device(s, Some(&ns), &dev)?, class, &options).map(|()| class.to_string()))
    }

    /// Deletes a class, as `tc class del`. Errors: `not_found`; `busy` where it has classes of its own or a filter leads to
    /// it.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "htb", #{ handle: "1:" });
    /// tc_class("a", "1:1", #{ rate: "20mbit" });
    /// tc_class_del("a", "1:1");
    /// assert_eq(tc_classes(a), []);
    /// ```
    #[rhai_fn(name = "tc_class_del", return_raw)]
    pub fn tc_class_del(ctx: NativeCallContext, dev: Dynamic, class: &str) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, None, &dev)?, class))
    }

    #[rhai_fn(name = "tc_class_del", return_raw)]
    pub fn tc_class_del_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, class: &str) -> Fallible<()> {
        run(&ctx, |s| remove(s, &super::super::device(s, Some(&ns), &dev)?, class))
    }

    /// The classes of the current namespace, of `ns`, or of one device: those of qdiscs that somebody made. An array of maps
    /// with the keys of `qdiscs`; `handle` is the class's id.
    ///
    /// ```rhai
    /// let a = veth("a", "b", #{ up: true });
    /// qdisc("a", "htb", #{ handle: "1:" });
    /// tc_class("a", "1:1", #{ rate: "20mbit", ceil: "30mbit" });
    /// let c = tc_classes(a)[0];
    /// assert_eq([c.handle, c.options.rate, c.options.ceil], ["1:1", 20_000_000, 30_000_000]);
    /// ```
    #[rhai_fn(name = "tc_classes", return_raw)]
    pub fn tc_classes(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list(s, None))
    }

    #[rhai_fn(name = "tc_classes", return_raw)]
    pub fn tc_classes_in(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| list(s, Some(&ns)))
    }
}

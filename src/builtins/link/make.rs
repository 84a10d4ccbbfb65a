//! What makes a link of a kind that is one device: `bridge`, `dummy`, `vlan` ….

use super::kind::{self, Base};
use super::{COMMON, finish, spec, table};
use crate::engine::Session;
use crate::engine::value::{self, LinkHandle, Opts};
use crate::plan::{Error, Ns, Result};
use rhai::{Dynamic, Map};
use std::cell::RefCell;

/// The kinds that are made on a link, which they can't be without: `ip link add link DEV …`.
pub const LINKED: &[&str] = &["ipvlan", "ipvtap", "macsec", "macvlan", "macvtap", "vlan"];

/// Options without which a kind can't be made, each with a value for the hint.
pub const NEEDED: &[(&str, &str, &str)] = &[
    ("bareudp", "dstport", "6635"),
    ("bareudp", "ethertype", "\"mpls_uc\""),
    ("vlan", "id", "7"),
    ("vrf", "table", "10"),
    ("vxlan", "id", "42"),
    ("xfrm", "if_id", "7"),
];

/// What `ip link` gives where nothing is given, and the kernel would take for something else.
const DEFAULTS: &[(&[&str], &str, Default)] = &[
    (&["ip6erspan", "ip6gre", "ip6gretap", "ip6tnl"], "ttl", Default::Number(64)),
    (&["ip6erspan", "ip6gre", "ip6gretap", "ip6tnl"], "encaplimit", Default::Number(4)),
    (&["sit"], "ttl", Default::Text("inherit")),
    (&["ipip", "sit"], "mode", Default::Text("any")),
    (&["ip6erspan", "ip6gre", "ip6gretap", "ip6tnl"], "encap_csum6", Default::On),
];

/// A value where none is given.
enum Default {
    Number(i64),
    Text(&'static str),
    On,
}

/// Adds to the options of a link that is to be made what `ip link` gives where nothing is given.
pub fn fill(kind: &str, options: &mut Map) {
    for (kinds, key, value) in DEFAULTS {
        if kinds.contains(&kind) && (*key == "mode" || !options.contains_key("external")) {
            options.entry((*key).into()).or_insert_with(|| match value {
                Default::Number(n) => (*n).into(),
                Default::Text(text) => (*text).into(),
                Default::On => true.into(),
            });
        }
    }
    if kind == "vxlan" && options.get("external").is_some_and(|on| on.as_bool().unwrap_or(false)) {
        // Where the other ends come with each packet there is nothing to learn.
        options.entry("learning".into()).or_insert_with(|| false.into());
    }
}

/// Makes it.
pub fn make(session: &Session, kind: &str, dev: &str, mut options: Map) -> Result<LinkHandle> {
    let table = table(kind);
    let linked = LINKED.contains(&kind);
    let own = table.iter().map(|c| c.key).chain(linked.then_some("link"));
    let known: Vec<&str> = COMMON.iter().copied().chain(own).collect();
    fill(kind, &mut options);
    let opts = Opts::new(kind, options, &known)?;
    for (of, key, example) in NEEDED {
        if *of == kind && opts.get(key).is_none() && opts.get("external").is_none() {
            return Err(Error::invalid(format!("{kind} needs the option `{key}`"))
                .with_target(*key)
                .with_hint(format!("{kind}(dev, #{{ {key}: {example} }})")));
        }
    }
    let (ns, name) = value::new_device(session, None, dev)?;
    let (mine, common) = split(&opts, table, kind, &known)?;
    let (mut spec, extra) = spec(session, &ns, kind, Some(name), &common)?;
    // The link below, by `link` or by an option of the kind, may be in another namespace; all of them in the same one.
    let below: RefCell<Option<Ns>> = RefCell::new(None);
    let device = |value: &Dynamic| lower(session, &ns, value, &below);
    spec.options = kind::encode(table, &mine, &Base { now: &[], device: &device })?;
    if linked {
        let value = opts.get("link").ok_or_else(|| {
            Error::invalid(format!("{kind} needs the option `link`: the link that it is on"))
                .with_target("link")
                .with_hint(format!("{kind}(dev, #{{ link: \"eth0\" }})"))
        })?;
        spec.lower = Some(device(value)?);
    }
    spec.lower_ns = below.into_inner().filter(|below| below.cookie != ns.cookie);
    finish(session, &ns, spec, &extra, None)
}

/// Makes a tun (`mode` `"tun"`) or a tap, which are one kind of the kernel's.
pub fn tuntap(session: &Session, mode: &str, dev: &str, mut options: Map) -> Result<LinkHandle> {
    for (key, value) in [("mode", Dynamic::from(mode.to_string())), ("persist", true.into())] {
        if options.insert(key.into(), value).is_some() {
            return Err(Error::invalid(format!("{mode} has no option `{key}`")).with_target(key));
        }
    }
    make(session, "tun", dev, options)
}

/// `group` is an option of every link, a number, and of vxlan, an address: the value tells which is meant.
pub(super) fn split(opts: &Opts, table: &[kind::Choice], kind: &str, known: &[&str]) -> Result<(Opts, Opts)> {
    let both = |key: &&str| COMMON.contains(key) && table.iter().any(|c| c.key == *key);
    let (mut mine, mut common) = (opts.all().clone(), opts.all().clone());
    for key in known.iter().filter(|k| both(k)) {
        let drop = if opts.get(key).is_some_and(Dynamic::is_int) { &mut mine } else { &mut common };
        drop.remove(*key);
    }
    Ok((Opts::new(kind, mine, known)?, Opts::new(kind, common, known)?))
}

/// A device that is named in an option: of the link's own namespace, or `"ns:dev"`.
fn lower(session: &Session, ns: &Ns, value: &Dynamic, below: &RefCell<Option<Ns>>) -> Result<(u32, String)> {
    let elsewhere = !value.is_string() || value.clone().into_string().is_ok_and(|text| text.contains(':'));
    let device = value::device(session, (!elsewhere).then_some(ns), value)?;
    let mut below = below.borrow_mut();
    if let Some(other) = below.as_ref().filter(|other| other.cookie != device.ns.cookie) {
        return Err(Error::invalid(format!(
            "`{}` is in {}, but another link below is in {}",
            device.link.name,
            device.ns.label(),
            other.label()
        )));
    }
    *below = Some(device.ns);
    Ok((device.link.index, device.link.name))
}

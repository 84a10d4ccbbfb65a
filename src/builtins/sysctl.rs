//! Sysctls of a network namespace (Documentation/networking/ip-sysctl.rst, sysctl(8)).

use crate::engine::Session;
use crate::engine::value::{self, Fallible, run, what};
use crate::plan::{Error, Kind, Ns, Result, Verb};
use rhai::plugin::*;
use rhai::{Dynamic, Map, NativeCallContext};

/// `net.ipv4.conf.eth0.forwarding` as a path below /proc/sys. With a `/` in it the key is a path already, as sysctl(8)
/// takes it: for devices whose names have dots.
fn path(key: &str) -> String {
    if key.contains('/') { key.trim_start_matches('/').into() } else { key.replace('.', "/") }
}

fn read(session: &Session, ns: &Dynamic, key: &str) -> Result<String> {
    let ns = value::ns(session, ns)?;
    session.kernel().sysctl(&ns, &path(key))
}

fn write(session: &Session, ns: &Dynamic, key: &str, value: &Dynamic) -> Result<()> {
    let ns: Ns = value::ns(session, ns)?;
    let path = path(key);
    if !path.starts_with("net/") {
        return Err(Error::invalid(format!(
            "sysctl {key} is not of a network namespace: it would change the whole machine"
        ))
        .with_target(key)
        .with_hint("keys start with net.; for others run sysctl(8) by exec_in, and take it back by on_rollback"));
    }
    let value = match (value.as_int(), value.as_bool()) {
        (Ok(n), _) => n.to_string(),
        (_, Ok(on)) => u8::from(on).to_string(),
        _ if value.is_string() => value::text(value, "a sysctl's value")?,
        _ => return Err(Error::invalid(format!("a sysctl's value is an integer or a string, not {}", what(value)))),
    };
    session.perform(Verb::Sysctl { ns, key: path, value }).map(|_| ())
}

/// The leaves of nested maps, with their whole keys. Keys may have dots, or be paths with `/`.
fn leaves(prefix: &str, map: Map, out: &mut Vec<(String, Dynamic)>) {
    for (key, value) in map {
        let separator = if prefix.contains('/') || key.contains('/') { "/" } else { "." };
        let key = match prefix {
            "" => key.to_string(),
            prefix if separator == "/" => format!("{}/{}", path(prefix), path(&key)),
            prefix => format!("{prefix}.{key}"),
        };
        if value.is_map() {
            leaves(&key, value.try_cast::<Map>().unwrap_or_default(), out);
        } else {
            out.push((key, value));
        }
    }
}

/// Whether writing the key changes others of the same map: those of all devices go first.
fn comes_first(key: &str) -> bool {
    let key = path(key);
    key.ends_with("/ip_forward") || key.contains("/conf/all/") || key.contains("/conf/default/")
}

fn write_all(session: &Session, ns: &Dynamic, map: Map) -> Result<()> {
    let mut all = Vec::new();
    leaves("", map, &mut all);
    if all.is_empty() {
        return Err(Error::invalid("sysctl: the map is empty"));
    }
    all.sort_by_key(|(key, _)| !comes_first(key));
    session.atomic(|| all.iter().try_for_each(|(key, value)| write(session, ns, key, value)))
}

fn forward(session: &Session, ns: &Dynamic, on: bool) -> Result<()> {
    session.atomic(|| {
        write(session, ns, "net.ipv4.ip_forward", &on.into())?;
        match write(session, ns, "net.ipv6.conf.all.forwarding", &on.into()) {
            // A kernel without IPv6 forwards none.
            Err(error) if error.kind == Kind::NotFound => Ok(()),
            done => done,
        }
    })
}

#[export_module]
pub mod functions {
    /// The value of a sysctl as seen in a namespace, as text. Errors: `not_found`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// assert_eq(sysctl("h1", "net.ipv4.ip_forward"), "0");
    /// ```
    #[rhai_fn(name = "sysctl", return_raw)]
    pub fn sysctl(ctx: NativeCallContext, ns: Dynamic, key: &str) -> Fallible<String> {
        run(&ctx, |s| read(s, &ns, key))
    }

    /// Sets a sysctl of a network namespace (`net.…`) to an integer, a boolean or a string. Undo restores it, and what the
    /// kernel changed along with it (`ip_forward` and `conf.all.*` reset every device's own). Errors: `not_found`, `invalid`.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// sysctl(r, "net.ipv4.ip_forward", 1);
    /// assert_eq(sysctl(r, "net.ipv4.conf.lo.forwarding"), "1");
    /// ```
    #[rhai_fn(name = "sysctl", return_raw)]
    pub fn sysctl_set(ctx: NativeCallContext, ns: Dynamic, key: &str, value: Dynamic) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, key, &value))
    }

    /// Sets many sysctls at once, all or none: a map from keys to values. Maps nest, and keys may have dots: what is inside
    /// is put behind. Keys of all devices (`conf.all`, `conf.default`, `ip_forward`) are set before those of one. Undo and
    /// errors are as with one.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// sysctl(r, #{ "net.ipv4": #{ ip_forward: 1, conf: #{ "all.rp_filter": 0, lo: #{ rp_filter: 2 } } }, "net.ipv6.conf.all.forwarding": true });
    /// assert_eq(sysctl(r, "net.ipv4.conf.lo.rp_filter"), "2");
    /// ```
    #[rhai_fn(name = "sysctl", return_raw)]
    pub fn sysctl_all(ctx: NativeCallContext, ns: Dynamic, values: Map) -> Fallible<()> {
        run(&ctx, |s| write_all(s, &ns, values))
    }

    /// Makes a namespace a router, or takes that back: `net.ipv4.ip_forward` and `net.ipv6.conf.all.forwarding` together.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// forwarding(r, true);
    /// assert_eq([sysctl(r, "net.ipv4.ip_forward"), sysctl(r, "net.ipv6.conf.all.forwarding")], ["1", "1"]);
    /// ```
    #[rhai_fn(name = "forwarding", return_raw)]
    pub fn forwarding(ctx: NativeCallContext, ns: Dynamic, on: bool) -> Fallible<()> {
        run(&ctx, |s| forward(s, &ns, on))
    }
}

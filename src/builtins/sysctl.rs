//! Sysctls of a network namespace (Documentation/networking/ip-sysctl.rst, sysctl(8)).

use crate::engine::Session;
use crate::engine::value::{self, Fallible, run, what};
use crate::plan::{Error, Ns, Result, Verb};
use rhai::plugin::*;
use rhai::{Dynamic, NativeCallContext};

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
}

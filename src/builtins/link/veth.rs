//! `veth`: two links joined like the ends of a cable (drivers/net/veth.c; veth(4)).

use super::{COMMON, Extra, finish, spec};
use crate::engine::Session;
use crate::engine::value::{self, Fallible, LinkHandle, Opts, run};
use crate::plan::{LinkSpec, Ns, Result};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// Makes a pair. What is common to both ends (`up`, `mtu`, `queues`) may stand at the top.
fn pair(session: &Session, a: Option<&str>, b: Option<&str>, options: Map) -> Result<LinkHandle> {
    let known: Vec<&str> = COMMON.iter().copied().chain(["a", "b"]).collect();
    let top = Opts::new("veth", options, &known)?;
    let here = session.current();
    let place = |text: Option<&str>| -> Result<(Ns, Option<String>)> {
        match text {
            Some(text) => value::new_device(session, None, text).map(|(ns, name)| (ns, Some(name))),
            None => Ok((here.clone(), None)),
        }
    };
    let (ns_a, name_a) = place(a)?;
    let (ns_b, name_b) = if b.is_none() { (ns_a.clone(), None) } else { place(b)? };
    let end = |key: &str, first: bool| -> Result<Opts> {
        let mut map = top.map(key)?.unwrap_or_default();
        // Both ends share these; everything else at the top is the first end's.
        for shared in ["up", "mtu", "queues", "txqueuelen", "group"] {
            if let Some(value) = top.get(shared) {
                map.entry(shared.into()).or_insert_with(|| value.clone());
            }
        }
        if first {
            for own in COMMON {
                if let Some(value) = top.get(own) {
                    map.entry((*own).into()).or_insert_with(|| value.clone());
                }
            }
        }
        Opts::new("veth", map, COMMON)
    };
    let (mut spec_a, extra_a): (LinkSpec, Extra) = spec(session, &ns_a, "veth", name_a, &end("a", true)?)?;
    let (mut spec_b, mut extra_b) = spec(session, &ns_b, "", name_b, &end("b", false)?)?;
    // The peer can't be set up, nor given a master, in the message that makes the pair.
    extra_b.up = spec_b.up;
    spec_b.up = false;
    extra_b.master = spec_b.master.take();
    // The kernel's own choice is a queue for each CPU, which a lab's cable has no use for, and which takes time to make.
    let queues = spec_a.queues.or(spec_b.queues).unwrap_or(1);
    spec_a.queues.get_or_insert(queues);
    spec_b.queues.get_or_insert(queues);
    spec_a.peer = Some(Box::new((ns_b.clone(), spec_b)));
    finish(session, &ns_a, spec_a, &extra_a, Some((&ns_b, &extra_b)))
}

#[export_module]
pub mod functions {
    /// Makes a pair of virtual Ethernet devices: what goes into one end comes out of the other.
    ///
    /// Each end may be `"ns:dev"`, and is then born in that namespace. With one name the kernel names the other end,
    /// with none both: `veth0`, `veth1` …, as `ip link add type veth` does (the other end gets the lower number).
    ///
    /// Options: `up`, `mtu`, `queues` (1 where not given), `txqueuelen`, `group` for both ends; `mac`, `master`, `addr` (a
    /// string or an array), `index`, `alias` for the first; and `a: #{…}`, `b: #{…}` with all of these for one end.
    ///
    /// Returns the first end; `.peer` is the other. Errors: `exists`, `not_found` for a namespace, `invalid` for a name.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// let cable = veth("h1:eth0", "h2:eth0", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// assert_eq(cable.peer.name, "eth0");
    /// assert_ping("h1", "10.0.0.2");
    /// let unnamed = veth();
    /// assert_eq(unnamed.name + " " + unnamed.peer.name, "veth1 veth0");
    /// ```
    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth(ctx: NativeCallContext) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, None, None, Map::new()))
    }

    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth_with(ctx: NativeCallContext, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, None, None, options))
    }

    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth_one(ctx: NativeCallContext, a: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, Some(a), None, Map::new()))
    }

    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth_one_with(ctx: NativeCallContext, a: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, Some(a), None, options))
    }

    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth_two(ctx: NativeCallContext, a: &str, b: &str) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, Some(a), Some(b), Map::new()))
    }

    #[rhai_fn(name = "veth", return_raw)]
    pub fn veth_two_with(ctx: NativeCallContext, a: &str, b: &str, options: Map) -> Fallible<LinkHandle> {
        run(&ctx, |s| pair(s, Some(a), Some(b), options))
    }
}

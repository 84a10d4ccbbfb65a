//! Measuring what goes from one namespace to another.

use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, put, put_int, run};
use crate::kernel::linux::throughput::{Plan, Protocol, measure, receiver, senders};
use crate::plan::addr::parse_ip;
use crate::plan::{Error, Result, unit};
use rhai::plugin::*;
use rhai::{Dynamic, Map, NativeCallContext};
use std::time::Duration;

const KNOWN: &[&str] = &["seconds", "proto", "streams", "rate", "size", "to", "family"];
/// What UDP sends where nothing is said: 10 Mbit/s.
const RATE: u64 = 1_250_000;

fn between(session: &Session, from: &Dynamic, to: &Dynamic, options: Map) -> Result<Map> {
    let (from, to) = (value::ns(session, from)?, value::ns(session, to)?);
    let opts = Opts::new("throughput", options, KNOWN)?;
    let protocol = match opts.text("proto")?.as_deref() {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some(other) => {
            return Err(Error::invalid(format!("option `proto` of throughput can't be `{other}`: it is tcp or udp"))
                .with_target("proto"));
        }
    };
    let time = opts.duration("seconds")?.unwrap_or(Duration::from_secs(2));
    if time < Duration::from_millis(100) || time > Duration::from_secs(3600) {
        return Err(
            Error::invalid("option `seconds` of throughput is a time from 0.1 to 3600 s").with_target("seconds")
        );
    }
    let streams = opts.int("streams", 1..=128)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    let rate = match opts.text("rate")? {
        Some(_) if protocol == Protocol::Tcp => {
            return Err(Error::invalid("throughput: `rate` is of UDP; TCP finds its own").with_target("rate"));
        }
        Some(text) => unit::rate(&text)?.max(1),
        None => RATE,
    };
    let size = opts.int("size", 24..=65_507)?.and_then(|n| usize::try_from(n).ok()).unwrap_or(1400);
    let v6 = match opts.text("family")?.as_deref() {
        None | Some("inet" | "4") => false,
        Some("inet6" | "6") => true,
        Some(other) => {
            return Err(Error::invalid(format!("option `family` can't be `{other}`: it is inet or inet6"))
                .with_target("family"));
        }
    };
    let address = match opts.text("to")? {
        Some(text) => parse_ip(&text)?,
        None => super::super::ping::address(session, &to, v6)?,
    };
    session.settle()?;
    session.step_event("throughput", &from, &address.to_string(), || {
        let udp = if protocol == Protocol::Udp { " -u" } else { "" };
        let words = format!("iperf3 -c {address}{udp} -t {} -P {streams}", time.as_secs_f64());
        super::super::exec::equivalent(&from, &words.split(' ').map(str::to_string).collect::<Vec<_>>())
    });
    let linux = session.linux();
    let listener = linux.inside(&to, move || receiver(protocol, address, streams)).map_err(|e| e.with_ns(&to.name))?;
    let sockets =
        linux.inside(&from, move || senders(protocol, address, streams)).map_err(|e| e.with_ns(&from.name))?;
    let plan = Plan { protocol, time, rate, size };
    let found = measure(&listener, &sockets, &plan, session.cancel()).map_err(|e| e.with_ns(&from.name))?;
    let mut map = Map::new();
    put(&mut map, "proto", if protocol == Protocol::Tcp { "tcp" } else { "udp" });
    put(&mut map, "seconds", found.time.as_secs_f64());
    put_int(&mut map, "streams", streams);
    put_int(&mut map, "bytes", found.bytes);
    put_int(&mut map, "rate", found.bits_per_second);
    put_int(&mut map, "sent", found.sent);
    put_int(&mut map, "received", found.received);
    let lost = found.sent.saturating_sub(found.received);
    put_int(&mut map, "lost", lost);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    put(&mut map, "loss", if found.sent == 0 { 0.0 } else { lost as f64 / found.sent as f64 });
    put_int(&mut map, "out_of_order", found.out_of_order);
    put(&mut map, "jitter", found.jitter);
    put_int(&mut map, "retransmits", found.retransmits);
    Ok(map)
}

#[export_module]
pub mod functions {
    /// Measures what goes from one namespace to another, with no program at either end: over TCP, or with
    /// `#{ proto: "udp" }` by datagrams at an even pace. Options: `seconds` (2; or `"500ms"`), `streams` (1), `to` (an address of
    /// the receiver; else its first global one, of `family` `"inet"` or `"inet6"`), and of UDP `rate` (of payload; `"10mbit"`)
    /// and `size` (bytes of payload a datagram; 1400).
    ///
    /// A map: `rate` (bits of payload a second that arrived), `bytes`, `seconds` (from the first arrival to the last), `proto`,
    /// `streams`; of UDP `sent`, `received`, `lost` (datagrams), `loss` (a share, 0.0 to 1.0), `out_of_order`, `jitter` (ms, as of RFC
    /// 3550); of TCP `retransmits`. What is not of the protocol is 0. Errors: `timeout` or `unreachable` where nothing gets
    /// there, `not_found` for an address.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:eth0", "h2:eth0", #{ up: true, a: #{ addr: "10.0.0.1/24" }, b: #{ addr: "10.0.0.2/24" } });
    /// shape("h1:eth0", #{ rate: "20mbit" });
    /// let t = throughput("h1", "h2", #{ seconds: 0.5 });
    /// assert(t.rate < 25_000_000, `not faster than the link: ${t.rate}`);
    /// ```
    #[rhai_fn(name = "throughput", return_raw)]
    pub fn throughput(ctx: NativeCallContext, from: Dynamic, to: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| between(s, &from, &to, Map::new()))
    }

    #[rhai_fn(name = "throughput", return_raw)]
    pub fn throughput_with(ctx: NativeCallContext, from: Dynamic, to: Dynamic, options: Map) -> Fallible<Map> {
        run(&ctx, |s| between(s, &from, &to, options))
    }
}

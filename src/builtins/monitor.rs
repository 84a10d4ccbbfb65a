//! Watching the names of namespaces, as `ip netns monitor` does.

use crate::engine::Session;
use crate::engine::value::{Fallible, Opts, put, throw};
use crate::kernel::linux::monitor::{Live, NameEvent, Names};
use crate::plan::Result;
use rhai::plugin::*;
use rhai::{Dynamic, FnPtr, INT, Map, NativeCallContext};
use std::collections::VecDeque;
use std::time::Instant;

/// Waits for the next events; none once the deadline has passed.
fn next(session: &Session, names: &mut Live<Names>, deadline: Option<Instant>) -> Result<Vec<NameEvent>> {
    let cancel = session.cancel();
    loop {
        cancel.check()?;
        let events = names.source().read()?;
        if !events.is_empty() {
            return Ok(events);
        }
        let timed_out = session.runtime()?.block_on(async {
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                raised = cancel.raised() => raised.map(|()| false),
                ready = names.ready() => ready.map(|()| false),
                () = timeout => Ok(true),
            }
        })?;
        if timed_out {
            return Ok(Vec::new());
        }
    }
}

/// Calls `tell` for each event until a signal comes.
pub(super) fn follow(session: &Session, mut tell: impl FnMut(&NameEvent)) -> Result<()> {
    let names = Names::watch()?;
    let mut names = {
        let _entered = session.runtime()?.enter();
        Live::new(names)?
    };
    loop {
        next(session, &mut names, None)?.iter().for_each(&mut tell);
    }
}

fn watch(ctx: &NativeCallContext, work: &FnPtr, options: Map) -> Fallible<INT> {
    let prepare = || -> Result<(Session, Live<Names>, Option<Instant>)> {
        let session = Session::of(ctx)?;
        let opts = Opts::new("netns_monitor", options, &["timeout"])?;
        let deadline = opts.duration("timeout")?.and_then(|t| Instant::now().checked_add(t));
        let names = Names::watch()?;
        let names = {
            let _entered = session.runtime()?.enter();
            Live::new(names)?
        };
        Ok((session, names, deadline))
    };
    let (session, mut names, deadline) = prepare().map_err(|e| throw(ctx, e))?;
    let mut count = 0;
    let mut waiting: VecDeque<NameEvent> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            waiting.extend(next(&session, &mut names, deadline).map_err(|e| throw(ctx, e))?);
        }
        let Some(event) = waiting.pop_front() else { return Ok(count) };
        count += 1;
        let mut map = Map::new();
        put(&mut map, "event", if event.added { "add" } else { "delete" });
        put(&mut map, "name", event.name);
        let answer = work.call_within_context::<Dynamic>(ctx, (map,))?;
        // A closure that says nothing wants to hear more.
        if answer.as_bool() == Ok(false) {
            return Ok(count);
        }
    }
}

#[export_module]
pub mod functions {
    /// Calls a closure for each name that comes to `/run/netns` or goes from it, whoever made it, as `ip netns monitor`.
    /// The closure gets a map: `event` (`"add"` or `"delete"`) and `name`. It ends when the closure returns `false`, or
    /// when the option `timeout` has passed; without that it waits for ever, or for Ctrl-C. Names that are there already
    /// are not told of.
    ///
    /// Returns the number of events.
    ///
    /// ```rhai
    /// let seen = netns_monitor(|event| {
    ///     print(`${event.event} ${event.name}`);
    ///     event.name != "last"
    /// }, #{ timeout: "10ms" });
    /// assert_eq(seen, 0);
    /// ```
    #[rhai_fn(name = "netns_monitor", return_raw)]
    pub fn netns_monitor(ctx: NativeCallContext, work: FnPtr) -> Fallible<INT> {
        watch(&ctx, &work, Map::new())
    }

    #[rhai_fn(name = "netns_monitor", return_raw)]
    pub fn netns_monitor_with(ctx: NativeCallContext, work: FnPtr, options: Map) -> Fallible<INT> {
        watch(&ctx, &work, options)
    }
}

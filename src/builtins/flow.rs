//! What steers a script: places, savepoints, assertions, its end.

use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, run, throw};
use crate::plan::{Error, Kind, Result};
use crate::report::Event;
use rhai::plugin::*;
use rhai::{Array, Dynamic, EvalAltResult, FnPtr, INT, Map, NativeCallContext};
use std::time::{Duration, Instant};

/// How often `wait_until` asks: from the first to the second, doubling.
const ASK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// How long a plan waits for what the kernel by itself may bring about, before it takes it for granted; and the longest
/// that it sleeps.
const GUESS: Duration = Duration::from_secs(2);

fn pause(session: &Session, time: &Dynamic) -> Result<()> {
    let time = value::duration(time, "sleep")?;
    session.pause(if session.planning() { time.min(GUESS) } else { time })
}

/// Runs a closure in the script's own context.
fn call(ctx: &NativeCallContext, work: &FnPtr) -> Fallible<Dynamic> {
    work.call_within_context::<Dynamic>(ctx, ())
}

fn savepoint(ctx: &NativeCallContext, work: &FnPtr) -> Fallible<Dynamic> {
    let session = Session::of(ctx).map_err(|e| throw(ctx, e))?;
    let savepoint = session.savepoint().map_err(|e| throw(ctx, e))?;
    match call(ctx, work) {
        Ok(value) => {
            session.release(savepoint);
            Ok(value)
        }
        Err(error) => {
            // `exit(0)` inside keeps what was done, as at the top.
            if session.exit_code() == Some(0) {
                session.release(savepoint);
                return Err(error);
            }
            let hooks = session.clone();
            let report = session.rollback_to(savepoint, &mut |id| match hooks.hook(id) {
                Some(hook) => match hooks.cancel().once_deaf(|| call(ctx, &hook)) {
                    Err(error) if !crate::engine::ends_it(&error) => {
                        Err(Error::new(Kind::Fail, crate::engine::words_of(&error)))
                    }
                    _ => Ok(()),
                },
                None => Ok(()),
            });
            if !report.verified() {
                for text in report.errors.iter().chain(&report.differences) {
                    session.event(&Event::Warning {
                        message: format!("undone, but not as it was before the transaction: {text}"),
                        hint: None,
                    });
                }
            }
            Err(error)
        }
    }
}

fn wait(ctx: &NativeCallContext, condition: &FnPtr, options: Map) -> Fallible<()> {
    let session = Session::of(ctx).map_err(|e| throw(ctx, e))?;
    let prepare = || -> Result<(Duration, String)> {
        let opts = Opts::new("wait_until", options, &["timeout", "what"])?;
        session.settle()?;
        let timeout = opts.duration("timeout")?.unwrap_or(Duration::from_secs(10));
        Ok((timeout, opts.text("what")?.unwrap_or_else(|| "the condition".into())))
    };
    let (timeout, what) = prepare().map_err(|e| throw(ctx, e))?;
    let deadline = Instant::now() + timeout;
    let mut pause = ASK.0;
    loop {
        let value = call(ctx, condition)?;
        let held = value.as_bool().map_err(|_| {
            throw(
                ctx,
                Error::invalid(format!(
                    "the closure of wait_until must give true or false, not {}",
                    value::what(&value)
                )),
            )
        })?;
        if held {
            return Ok(());
        }
        // What a program that is only planned would have brought about does not come true by itself.
        if session.guessing() && Instant::now() + timeout >= deadline + GUESS {
            session.simulated(&format!("{what} came true"));
            return Ok(());
        }
        if Instant::now() >= deadline {
            let error =
                Error::new(Kind::Timeout, format!("{what} did not come true within {} s", timeout.as_secs_f64()));
            return Err(throw(ctx, error.with_target(what)));
        }
        session.pause(pause.min(deadline.saturating_duration_since(Instant::now()))).map_err(|e| throw(ctx, e))?;
        pause = (pause * 2).min(ASK.1);
    }
}

fn failed(kind: Kind, message: String) -> Error {
    Error::new(kind, message)
}

/// Two values, compared as the script's `==` does.
fn equal(ctx: &NativeCallContext, a: &Dynamic, b: &Dynamic) -> Fallible<bool> {
    if a.type_id() != b.type_id() && !(a.is_int() && b.is_float()) && !(a.is_float() && b.is_int()) {
        return Ok(false);
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    ctx.call_native_fn_raw("==", true, &mut [&mut a, &mut b]).map(|v| v.as_bool().unwrap_or(false))
}

fn shown(ctx: &NativeCallContext, value: &Dynamic) -> String {
    let mut copy = value.clone();
    ctx.call_native_fn_raw("to_debug", true, &mut [&mut copy])
        .ok()
        .and_then(|v| v.into_string().ok())
        .unwrap_or_else(|| format!("{value:?}"))
}

fn compare(ctx: &NativeCallContext, a: &Dynamic, b: &Dynamic, message: Option<&str>) -> Fallible<()> {
    if equal(ctx, a, b)? {
        return Ok(());
    }
    let (left, right) = (shown(ctx, a), shown(ctx, b));
    let text = match message {
        Some(message) => format!("{message}: got {left}, expected {right}"),
        None => format!("got {left}, expected {right}"),
    };
    Err(throw(ctx, failed(Kind::Assert, text)))
}

/// A value as JSON. Handles are their names.
fn json(value: &Dynamic) -> Result<serde_json::Value> {
    use serde_json::Value;
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(b) = value.as_bool() {
        return Ok(b.into());
    }
    if let Ok(n) = value.as_int() {
        return Ok(n.into());
    }
    if let Ok(x) = value.as_float() {
        return Ok(serde_json::Number::from_f64(x).map_or(Value::Null, Value::Number));
    }
    if value.is_string() || value.is_char() {
        return Ok(value.to_string().into());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(json).collect::<Result<Vec<_>>>().map(Value::Array);
    }
    if let Ok(map) = value.as_map_ref() {
        let all: Result<serde_json::Map<String, Value>> =
            map.iter().map(|(k, v)| Ok((k.to_string(), json(v)?))).collect();
        return all.map(Value::Object);
    }
    if let Some(ns) = value.clone().try_cast::<value::NsHandle>() {
        return Ok(ns.0.name.into());
    }
    if let Some(link) = value.clone().try_cast::<value::LinkHandle>() {
        return Ok(serde_json::json!({ "ns": link.ns.name, "index": link.index }));
    }
    Err(Error::invalid(format!("{} can't be JSON", value::what(value))))
}

pub fn from_json(value: &serde_json::Value) -> Dynamic {
    use serde_json::Value;
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => n.into(),
            (_, Some(x)) => x.into(),
            _ => Dynamic::UNIT,
        },
        Value::String(s) => s.clone().into(),
        Value::Array(all) => all.iter().map(from_json).collect::<Array>().into(),
        Value::Object(all) => all.iter().map(|(k, v)| (k.as_str().into(), from_json(v))).collect::<Map>().into(),
    }
}

#[export_module]
pub mod functions {
    /// Runs a closure with `ns` as the current namespace: bare device names, `routes()`, `links()` and the like mean
    /// that one. Returns what the closure returns.
    ///
    /// ```rhai
    /// let h = netns_add("h1");
    /// within(h, || link_up("lo"));
    /// assert(link("h1:lo").up, "lo of h1 is up");
    /// ```
    #[rhai_fn(name = "within", return_raw)]
    pub fn within(ctx: NativeCallContext, ns: Dynamic, work: FnPtr) -> Fallible<Dynamic> {
        let session = Session::of(&ctx).map_err(|e| throw(&ctx, e))?;
        let ns = value::ns(&session, &ns).map_err(|e| throw(&ctx, e))?;
        session.within(ns, || call(&ctx, &work))
    }

    /// Runs a closure all or nothing: if it throws, what it did is undone, and the error goes on. Transactions nest.
    /// Returns what the closure returns.
    ///
    /// ```rhai
    /// netns_add("kept");
    /// try {
    ///     transaction(|| {
    ///         netns_add("gone");
    ///         fail("on purpose");
    ///     });
    /// } catch (e) {
    ///     assert_eq(e.kind, "fail");
    /// }
    /// assert_eq(netns_list().map(|n| n.name), ["kept"]);
    /// ```
    #[rhai_fn(name = "transaction", return_raw)]
    pub fn transaction(ctx: NativeCallContext, work: FnPtr) -> Fallible<Dynamic> {
        savepoint(&ctx, &work)
    }

    /// Registers a closure that runs if the script (or the transaction) is undone: for what no function of nsscript
    /// covers, such as files that a command wrote. It may run commands, but change nothing by nsscript's functions. A signal does
    /// not end it; a second one does.
    ///
    /// ```rhai
    /// let path = `/tmp/nsscript-example-${host().cookie}`;
    /// exec_in(host(), ["touch", path]);
    /// on_rollback(|| exec_in(host(), ["rm", path]));
    /// exec_in(host(), ["rm", path]);
    /// ```
    #[rhai_fn(name = "on_rollback", return_raw)]
    pub fn on_rollback(ctx: NativeCallContext, work: FnPtr) -> Fallible<()> {
        run(&ctx, |s| s.add_hook(work))
    }

    /// Registers a closure that runs when the script ends, well or not, before anything is undone; the last first.
    ///
    /// ```rhai
    /// defer(|| print("the end"));
    /// print("the beginning");
    /// ```
    #[rhai_fn(name = "defer", return_raw)]
    pub fn defer(ctx: NativeCallContext, work: FnPtr) -> Fallible<()> {
        run(&ctx, |s| {
            s.add_defer(work);
            Ok(())
        })
    }

    /// Throws an error of kind `assert` unless the condition is true.
    ///
    /// ```rhai
    /// assert(1 + 1 == 2, "arithmetic works");
    /// ```
    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_bare(ctx: NativeCallContext, condition: bool) -> Fallible<()> {
        if condition { Ok(()) } else { Err(throw(&ctx, failed(Kind::Assert, "assertion failed".into()))) }
    }

    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_with(ctx: NativeCallContext, condition: bool, message: &str) -> Fallible<()> {
        if condition { Ok(()) } else { Err(throw(&ctx, failed(Kind::Assert, format!("assertion failed: {message}")))) }
    }

    /// Throws an error of kind `assert`, showing both, unless the two values are equal. A third argument says what it is
    /// about.
    ///
    /// ```rhai
    /// assert_eq([1, 2].len(), 2);
    /// assert_eq(nth("10.0.0.0/24", 1), "10.0.0.1", "the first address");
    /// ```
    #[rhai_fn(name = "assert_eq", return_raw)]
    pub fn assert_eq(ctx: NativeCallContext, got: Dynamic, expected: Dynamic) -> Fallible<()> {
        compare(&ctx, &got, &expected, None)
    }

    #[rhai_fn(name = "assert_eq", return_raw)]
    pub fn assert_eq_with(ctx: NativeCallContext, got: Dynamic, expected: Dynamic, message: &str) -> Fallible<()> {
        compare(&ctx, &got, &expected, Some(message))
    }

    /// A caught error with all the keys that errors have: `kind`, `message`, `hint`, `op`, `ns`, `target`, `errno`, `kernel`,
    /// `line`, `position`. Every `catch (e)` does this by itself; whatever else was thrown stays as it is.
    ///
    /// ```rhai
    /// try { 1 / 0 } catch (e) { assert_eq(e.kind, "arithmetic"); }
    /// try { throw "as it is"; } catch (e) { assert_eq(e, "as it is"); }
    /// ```
    #[rhai_fn(name = "caught")]
    pub fn caught(error: Dynamic) -> Dynamic {
        crate::engine::caught(error)
    }

    /// Ends the script with an error of kind `fail`: everything is undone.
    ///
    /// ```rhai
    /// try { fail("not today"); } catch (e) { assert_eq(e.message, "not today"); }
    /// ```
    #[rhai_fn(name = "fail", return_raw)]
    pub fn fail(ctx: NativeCallContext, message: &str) -> Fallible<Dynamic> {
        Err(throw(&ctx, failed(Kind::Fail, message.into())))
    }

    /// Ends the script with an exit status of 0 to 255: 0 keeps what was done, anything else undoes it.
    ///
    /// ```rhai
    /// if netns_list().is_empty() { exit(0); }
    /// fail("never reached");
    /// ```
    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit(ctx: NativeCallContext) -> Fallible<Dynamic> {
        leave(&ctx, 0)
    }

    #[rhai_fn(name = "exit", return_raw)]
    pub fn exit_with(ctx: NativeCallContext, code: INT) -> Fallible<Dynamic> {
        leave(&ctx, code)
    }

    /// The script's arguments, an array of strings.
    ///
    /// ```rhai
    /// let count = if args().len() > 0 { parse_int(args()[0]) } else { 3 };
    /// assert_eq(count, 3);
    /// ```
    #[rhai_fn(name = "args", return_raw)]
    pub fn arguments(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| Ok(s.args().iter().map(|a| a.clone().into()).collect()))
    }

    /// An environment variable, or `()`.
    ///
    /// ```rhai
    /// assert_eq(env("NO_SUCH_VARIABLE"), ());
    /// ```
    #[rhai_fn(name = "env")]
    pub fn env(name: &str) -> Dynamic {
        std::env::var(name).map_or(Dynamic::UNIT, Into::into)
    }

    /// Waits for a time: `"100ms"`, `"2s"`, or a number of seconds. Ends at once on a signal. There is hardly ever need
    /// of it: `wait_until`, `wait_port` and the option `ready` of `start` wait for what really matters.
    ///
    /// ```rhai
    /// sleep("1ms");
    /// ```
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep(ctx: NativeCallContext, time: Dynamic) -> Fallible<()> {
        run(&ctx, |s| pause(s, &time))
    }

    // Rhai has a sleep of its own for these two, which no signal ends.
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_seconds(ctx: NativeCallContext, seconds: INT) -> Fallible<()> {
        run(&ctx, |s| pause(s, &seconds.into()))
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_fraction(ctx: NativeCallContext, seconds: f64) -> Fallible<()> {
        run(&ctx, |s| pause(s, &seconds.into()))
    }

    /// Waits until a closure gives true. Options: `timeout` (default 10 s) and `what`, which the error names. Errors:
    /// `timeout`.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// veth("h1:e", "h2:e", #{ up: true });
    /// wait_until(|| link("h1:e").carrier, #{ timeout: "2s", what: "carrier of h1:e" });
    /// ```
    #[rhai_fn(name = "wait_until", return_raw)]
    pub fn wait_until(ctx: NativeCallContext, condition: FnPtr) -> Fallible<()> {
        wait(&ctx, &condition, Map::new())
    }

    #[rhai_fn(name = "wait_until", return_raw)]
    pub fn wait_until_with(ctx: NativeCallContext, condition: FnPtr, options: Map) -> Fallible<()> {
        wait(&ctx, &condition, options)
    }

    /// A value as JSON text on one line. Option `pretty: true` spreads it over several.
    ///
    /// ```rhai
    /// assert_eq(to_json(#{ a: [1, 2.5, true, ()] }), `{"a":[1,2.5,true,null]}`);
    /// ```
    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json(ctx: NativeCallContext, value: Dynamic) -> Fallible<String> {
        run(&ctx, |_| Ok(json(&value)?.to_string()))
    }

    #[rhai_fn(name = "to_json", return_raw)]
    pub fn to_json_with(ctx: NativeCallContext, value: Dynamic, options: Map) -> Fallible<String> {
        run(&ctx, |_| {
            let pretty = Opts::new("to_json", options, &["pretty"])?.bool("pretty")?.unwrap_or(false);
            let value = json(&value)?;
            Ok(if pretty { format!("{value:#}") } else { value.to_string() })
        })
    }

    /// The value of a JSON text. Errors: `invalid`.
    ///
    /// ```rhai
    /// assert_eq(parse_json(`{"a":[1,2]}`).a[1], 2);
    /// ```
    #[rhai_fn(name = "parse_json", return_raw)]
    pub fn parse_json(ctx: NativeCallContext, text: &str) -> Fallible<Dynamic> {
        run(&ctx, |_| {
            serde_json::from_str::<serde_json::Value>(text)
                .map(|v| from_json(&v))
                .map_err(|e| Error::invalid(format!("not JSON: {e}")))
        })
    }
}

fn leave(ctx: &NativeCallContext, code: INT) -> Fallible<Dynamic> {
    let session = Session::of(ctx).map_err(|e| throw(ctx, e))?;
    let status = i32::try_from(code)
        .ok()
        .filter(|c| (0..=255).contains(c))
        .ok_or_else(|| throw(ctx, Error::invalid(format!("exit({code}): an exit status is 0 to 255"))))?;
    session.set_exit(status);
    Err(EvalAltResult::Exit(Dynamic::UNIT, ctx.call_position()).into())
}

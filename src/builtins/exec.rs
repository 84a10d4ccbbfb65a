//! Running programs in namespaces, as `ip netns exec` does, in the foreground and in the background.

use crate::engine::Session;
use crate::engine::session::foreground::Foreground;
use crate::engine::value::{self, Fallible, Opts, put, run, text, throw};
use crate::kernel::linux::process::{Finished, KEPT, Output, Spec, Started, Stdin, Stream, signal_by_name};
use crate::plan::{Error, Kind, Ns, Result, ip};
use crate::report::Event;
use rhai::plugin::*;
use rhai::{Array, Dynamic, FnPtr, INT, Map, NativeCallContext};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long `stop` waits between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often a port or a log is looked at, from the first to the second, doubling: neither has events.
const LOOK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// A program in the background, as a script holds it.
#[derive(Clone)]
pub struct ProcessHandle(Rc<Background>);

struct Background {
    started: Started,
    ns: Ns,
    name: String,
    log: PathBuf,
}

/// The words of a command: an array as it is, a string split as a shell splits words.
fn words(command: &Dynamic) -> Result<Vec<String>> {
    let all: Vec<String> = if command.is_array() {
        let all = command.clone().into_array().unwrap_or_default();
        all.iter()
            .map(|w| match w.as_int() {
                Ok(n) => Ok(n.to_string()),
                Err(_) => text(w, "a word of the command"),
            })
            .collect::<Result<_>>()?
    } else {
        let line = text(command, "the command")?;
        shlex::split(&line).ok_or_else(|| {
            Error::invalid(format!("the command `{line}` has an open quote")).with_hint("or give an array of words")
        })?
    };
    if all.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("the command is empty"));
    }
    if let Some(word) = all.iter().find(|w| w.contains('\0')) {
        return Err(Error::invalid(format!("the word `{}` has a NUL", word.escape_debug())));
    }
    Ok(all)
}

fn shell(line: &str) -> Vec<String> {
    vec!["sh".into(), "-c".into(), line.into()]
}

/// The command as one would type it.
pub(super) fn equivalent(ns: &Ns, argv: &[String]) -> String {
    let line = argv.iter().map(|w| ip::word(w)).collect::<Vec<_>>().join(" ");
    if ns.is_host() { line } else { format!("ip netns exec {} {line}", ip::word(&ns.name)) }
}

fn spec(session: &Session, ns: &Ns, argv: &[String], opts: &Opts) -> Result<Spec> {
    let env = opts.map("env")?.unwrap_or_default();
    let env = env
        .into_iter()
        .map(|(key, value)| {
            let value = match value.as_int() {
                _ if value.is_unit() => None,
                Ok(n) => Some(n.to_string()),
                Err(_) => Some(text(&value, &format!("the environment variable {key}"))?),
            };
            if key.is_empty() || key.contains(['=', '\0']) {
                return Err(Error::invalid(format!("`{}` can't be an environment variable", key.escape_debug())));
            }
            Ok((OsString::from(key.as_str()), value.map(OsString::from)))
        })
        .collect::<Result<_>>()?;
    let interactive = opts.bool("interactive")?.unwrap_or(false);
    let stdin = match opts.text("stdin")? {
        Some(_) if interactive => {
            return Err(Error::invalid("`stdin` and `interactive` exclude each other"));
        }
        Some(text) => Stdin::Bytes(text.into_bytes()),
        None if interactive => Stdin::Inherit,
        None => Stdin::Null,
    };
    // The host's own namespace needs no entering, and keeps its mounts.
    let netns =
        if ns.cookie == session.kernel().host().cookie { None } else { Some(Arc::new(session.linux().file(ns)?)) };
    Ok(Spec {
        argv: argv.iter().map(OsString::from).collect(),
        netns_name: netns.is_some().then(|| ns.name.clone()),
        netns,
        env,
        cwd: opts.text("cwd")?.map(PathBuf::from),
        stdin,
        output: if interactive { Output::Inherit } else { Output::Capture },
        timeout: opts.duration("timeout")?,
        mark: session.mark().into(),
    })
}

/// Gives whole lines to the listener as they come.
struct Lines<'s> {
    session: &'s Session,
    ns: &'s Ns,
    rest: [Vec<u8>; 2],
}

impl Lines<'_> {
    fn more(&mut self, stream: Stream, bytes: &[u8]) {
        let rest = &mut self.rest[usize::from(stream == Stream::Stderr)];
        rest.extend_from_slice(bytes);
        if let Some(end) = rest.iter().rposition(|b| *b == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            self.emit(stream, &whole);
        }
    }

    fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.rest[usize::from(stream == Stream::Stderr)]);
            if !rest.is_empty() {
                self.emit(stream, &rest);
            }
        }
    }

    fn emit(&self, stream: Stream, bytes: &[u8]) {
        let stream = match stream {
            Stream::Stdout => crate::report::event::Stream::Stdout,
            Stream::Stderr => crate::report::event::Stream::Stderr,
        };
        let text = String::from_utf8_lossy(bytes).trim_end_matches('\n').to_string();
        self.session.event(&Event::Output { stream, ns: self.ns.name.clone(), text });
    }
}

const KNOWN: &[&str] = &["stdin", "env", "cwd", "timeout", "check", "tee", "interactive"];

/// Runs a program to its end.
pub(super) fn execute(session: &Session, ns: &Ns, argv: &[String], mut options: Map) -> Result<Map> {
    let said = |key: &str| options.contains_key(key);
    match session.foreground() {
        _ if said("tee") || said("interactive") => {}
        Foreground::Terminal if !said("stdin") => put(&mut options, "interactive", true),
        Foreground::Shown => put(&mut options, "tee", true),
        _ => {}
    }
    let opts = Opts::new("exec_in", options, KNOWN)?;
    let spec = spec(session, ns, argv, &opts)?;
    let check = opts.bool("check")?.unwrap_or(true);
    session.settle()?;
    session.step_event("exec_in", ns, &argv.join(" "), || equivalent(ns, argv));
    let mut lines = Lines { session, ns, rest: [Vec::new(), Vec::new()] };
    let finished = if opts.bool("tee")?.unwrap_or(false) {
        let mut tee = |stream: Stream, bytes: &[u8]| lines.more(stream, bytes);
        let finished = session.run_program(&spec, Some(&mut tee));
        lines.finish();
        finished
    } else {
        session.run_program(&spec, None)
    };
    let finished = finished.map_err(|e| e.with_ns(&ns.name))?;
    for warning in &finished.warnings {
        session.event(&Event::Warning { message: warning.clone(), hint: None });
    }
    if finished.cancelled {
        session.cancel().check()?;
    }
    if finished.heard {
        session.set_stopped(true);
    }
    if finished.flooded {
        return Err(flooded(ns, argv));
    }
    if check && finished.code != Some(0) {
        return Err(unsuccessful(ns, argv, &finished));
    }
    Ok(result(ns, &finished))
}

/// The error of a command that would have filled the memory.
fn flooded(ns: &Ns, argv: &[String]) -> Error {
    let line = argv.iter().map(|w| ip::word(w)).collect::<Vec<_>>().join(" ");
    let most = KEPT >> 20;
    Error::new(Kind::Limit, format!("`{line}` in {} wrote more than {most} MiB, and was ended", ns.label()))
        .with_ns(&ns.name)
        .with_target(line)
        .with_hint("let it write into a file: sh(ns, \"… > FILE\")")
}

/// The error of a command that did not end well: with the last lines that it wrote.
fn unsuccessful(ns: &Ns, argv: &[String], finished: &Finished) -> Error {
    let line = argv.iter().map(|w| ip::word(w)).collect::<Vec<_>>().join(" ");
    let how = match (finished.timed_out, finished.code, finished.signal) {
        (true, ..) => format!("ran longer than its timeout, and was ended after {} s", finished.elapsed.as_secs_f32()),
        (_, Some(code), _) => format!("ended with status {code}"),
        (_, _, Some(signal)) => format!("was killed by {}", crate::kernel::linux::process::signal_name(signal)),
        _ => "ended".into(),
    };
    let kind = if finished.timed_out { Kind::Timeout } else { Kind::Exit };
    let error = Error::new(kind, format!("`{line}` in {} {how}", ns.label())).with_ns(&ns.name).with_target(line);
    let said = String::from_utf8_lossy(if finished.stderr.is_empty() { &finished.stdout } else { &finished.stderr });
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    let hint = if last.is_empty() {
        "#{ check: false } takes any status as a result".to_string()
    } else {
        let said = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        format!("it said:\n{said}")
    };
    error.with_hint(hint)
}

/// What a finished program gives, as a map.
fn result(ns: &Ns, finished: &Finished) -> Map {
    let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
    let text = stdout.strip_suffix('\n').unwrap_or(&stdout).to_string();
    let lines: Array =
        if text.is_empty() { Array::new() } else { text.split('\n').map(|l| l.to_string().into()).collect() };
    let mut map = Map::new();
    put(&mut map, "ns", ns.name.clone());
    put(&mut map, "code", finished.code.map_or(Dynamic::UNIT, |c| INT::from(c).into()));
    put(&mut map, "ok", finished.code == Some(0));
    put(&mut map, "signal", finished.signal.map_or(Dynamic::UNIT, |s| INT::from(s).into()));
    put(&mut map, "timed_out", finished.timed_out);
    put(&mut map, "stderr", String::from_utf8_lossy(&finished.stderr).into_owned());
    put(&mut map, "stdout", stdout);
    put(&mut map, "text", text);
    put(&mut map, "lines", lines);
    put(&mut map, "ms", finished.elapsed.as_secs_f64() * 1000.0);
    map
}

fn run_all(session: &Session, command: &Dynamic, options: &Map) -> Result<Array> {
    let argv = words(command)?;
    let mut out = Array::new();
    for entry in session.kernel().list_ns(&session.current())? {
        let ns = session.kernel().find_ns(&entry.name)?;
        out.push(execute(session, &ns, &argv, options.clone())?.into());
    }
    Ok(out)
}

/// What `start` waits for before it returns.
enum Ready {
    Now,
    Port(String),
    Line(String),
    Closure(FnPtr),
}

/// A name for the log: the program's, made unique.
fn log_path(session: &Session, ns: &Ns, name: &str) -> Result<PathBuf> {
    let folder = session.log_folder()?;
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let place = if ns.is_host() { "host" } else { &ns.name };
    for n in 0.. {
        let suffix = if n == 0 { String::new() } else { format!("-{n}") };
        let path = folder.join(format!("{place}-{plain}{suffix}.log"));
        // Also not that of a lab that this session committed: handles of it go by the name.
        if !session.log_file(&path).exists() {
            return Ok(path);
        }
    }
    Err(Error::internal("no name for a log"))
}

fn background(
    ctx: &NativeCallContext,
    ns: &Dynamic,
    argv: Result<Vec<String>>,
    options: Map,
) -> Fallible<ProcessHandle> {
    let prepare = || -> Result<(Session, ProcessHandle, Ready, Duration)> {
        let session = Session::of(ctx)?;
        let ns = value::ns(&session, ns)?;
        let argv = argv?;
        let opts = Opts::new("start", options, &["stdin", "env", "cwd", "ready", "timeout", "name"])?;
        let ready = match opts.get("ready") {
            None => Ready::Now,
            Some(value) => match value.clone().try_cast::<FnPtr>() {
                Some(closure) => Ready::Closure(closure),
                None => {
                    let word = text(value, "option `ready`")?;
                    let port =
                        word.split_once('/').filter(|(proto, _)| matches!(*proto, "tcp" | "udp")).map(|(_, port)| port);
                    match port.filter(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())) {
                        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ready::Port(word),
                        Some(_) => {
                            return Err(Error::invalid(format!("`{word}` is no port"))
                                .with_target("ready")
                                .with_hint("1 to 65535: \"tcp/8080\", \"udp/53\""));
                        }
                        None => Ready::Line(word),
                    }
                }
            },
        };
        let timeout = opts.duration("timeout")?.unwrap_or(Duration::from_secs(10));
        let program = argv.first().map(|p| p.rsplit('/').next().unwrap_or(p).to_string()).unwrap_or_default();
        let name = opts.text("name")?.unwrap_or(program);
        let spec = Spec { timeout: None, ..spec(&session, &ns, &argv, &opts)? };
        session.settle()?;
        session.step_event("start", &ns, &argv.join(" "), || format!("{} &", equivalent(&ns, &argv)));
        let log = log_path(&session, &ns, &name)?;
        let started = session.start_program(&ns, &spec, &log, &argv.join(" ")).map_err(|e| e.with_ns(&ns.name))?;
        for warning in started.warnings() {
            session.event(&Event::Warning { message: warning.clone(), hint: None });
        }
        Ok((session, ProcessHandle(Rc::new(Background { started, ns, name, log })), ready, timeout))
    };
    let (session, process, ready, timeout) = prepare().map_err(|e| throw(ctx, e))?;
    match await_ready(ctx, &session, &process, &ready, timeout) {
        Ok(()) => Ok(process),
        Err(error) => {
            // A call that fails has changed nothing.
            let _ = process.0.started.stop(GRACE);
            Err(error)
        }
    }
}

fn await_ready(
    ctx: &NativeCallContext,
    session: &Session,
    process: &ProcessHandle,
    ready: &Ready,
    timeout: Duration,
) -> Fallible<()> {
    let what = match ready {
        Ready::Now => return Ok(()),
        // Nothing runs that could become ready.
        Ready::Port(_) | Ready::Line(_) | Ready::Closure(_) if session.planning() => return Ok(()),
        Ready::Port(port) => format!("port {port}"),
        Ready::Line(line) => format!("`{line}` in its output"),
        Ready::Closure(_) => "its closure `ready`".into(),
    };
    let deadline = Instant::now() + timeout;
    let mut pause = LOOK.0;
    loop {
        let there = match ready {
            Ready::Now => true,
            Ready::Port(port) => {
                let (proto, number) = port.split_once('/').unwrap_or(("tcp", port));
                listening(session, &process.0.ns, proto, number.parse().unwrap_or(0), None)
                    .map_err(|e| throw(ctx, e))?
            }
            Ready::Line(line) => read_log(session, process).map_err(|e| throw(ctx, e))?.contains(line.as_str()),
            Ready::Closure(closure) => closure.call_within_context::<Dynamic>(ctx, ())?.as_bool().unwrap_or(false),
        };
        if there {
            return Ok(());
        }
        if let Some(ended) = process.0.started.ended() {
            let log = read_log(session, process).unwrap_or_default();
            let last = log.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            let how = match (ended.code, ended.signal) {
                (Some(code), _) => format!("with status {code}"),
                (_, Some(signal)) => format!("by {}", crate::kernel::linux::process::signal_name(signal)),
                _ => "at once".into(),
            };
            let error = Error::new(
                Kind::Exit,
                format!("`{}` in {} ended {how} before {what}", process.0.name, process.0.ns.label()),
            )
            .with_ns(&process.0.ns.name)
            .with_target(&process.0.name);
            return Err(throw(ctx, if last.is_empty() { error } else { error.with_hint(format!("it said:\n{last}")) }));
        }
        if Instant::now() >= deadline {
            let error = Error::new(
                Kind::Timeout,
                format!(
                    "`{}` in {} was not ready within {} s: {what}",
                    process.0.name,
                    process.0.ns.label(),
                    timeout.as_secs_f64()
                ),
            );
            return Err(throw(ctx, error.with_ns(&process.0.ns.name).with_target(&process.0.name)));
        }
        session.pause(pause).map_err(|e| throw(ctx, e))?;
        pause = (pause * 2).min(LOOK.1);
    }
}

fn read_log(session: &Session, process: &ProcessHandle) -> Result<String> {
    let bytes = std::fs::read(session.log_file(&process.0.log))
        .map_err(|e| Error::from_io(&e, format!("read the log of `{}`", process.0.name)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether something listens on a port of a namespace, as `ss -ln` finds it out: /proc/net of a thread inside.
fn listening(session: &Session, ns: &Ns, proto: &str, port: u16, address: Option<IpAddr>) -> Result<bool> {
    // Local address and state in columns 1 and 3 (Documentation/networking/proc_net_tcp.rst): 0A listens, a UDP socket
    // that is bound and not connected is in 07.
    let (files, state) = match proto {
        "tcp" => (["tcp", "tcp6"], "0A"),
        "udp" => (["udp", "udp6"], "07"),
        other => {
            return Err(Error::invalid(format!("`{other}` is no protocol with ports")).with_hint("tcp or udp"));
        }
    };
    let tables = session.linux().inside(ns, move || {
        Ok(files.map(|f| std::fs::read_to_string(format!("/proc/thread-self/net/{f}")).unwrap_or_default()))
    })?;
    let suffix = format!(":{port:04X}");
    let wanted = address.map(|ip| match ip {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => {
            ip.octets().chunks(4).map(|c| format!("{:08X}", u32::from_ne_bytes([c[0], c[1], c[2], c[3]]))).collect()
        }
    });
    Ok(tables.iter().flat_map(|t| t.lines().skip(1)).any(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (local, _, found) = (columns.next().unwrap_or(""), columns.next(), columns.next().unwrap_or(""));
        let any = local.split(':').next().is_some_and(|a| a.bytes().all(|b| b == b'0'));
        found == state
            && local.ends_with(&suffix)
            && wanted.as_ref().is_none_or(|w| any || local.split(':').next() == Some(w))
    }))
}

/// Waits until something listens on a port.
///
/// # Errors
/// `timeout`, `interrupted`.
pub fn wait_listening(
    session: &Session,
    ns: &Ns,
    proto: &str,
    port: u16,
    address: Option<IpAddr>,
    timeout: Duration,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut pause = LOOK.0;
    while !listening(session, ns, proto, port, address)? {
        if session.guessing() {
            session.simulated("something listens there");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::new(
                Kind::Timeout,
                format!("nothing listens on {proto} port {port} in {} after {} s", ns.label(), timeout.as_secs_f64()),
            )
            .with_ns(&ns.name)
            .with_target(format!("{proto}/{port}")));
        }
        session.pause(pause)?;
        pause = (pause * 2).min(LOOK.1);
    }
    Ok(())
}

/// Waits for the end of a process; in a plan it is taken to have ended well.
fn await_end(session: &Session, process: &ProcessHandle, time: Option<Duration>) -> Result<Dynamic> {
    if session.planning() && process.0.started.running() {
        process.0.started.stop(Duration::ZERO)?;
        session.simulated(&format!("`{}` has ended with status 0", process.0.name));
        return Ok(ended_map(Some(crate::kernel::linux::process::Ended { code: Some(0), signal: None })));
    }
    process.0.started.wait(time, session.cancel()).map(ended_map)
}

/// The status of a process that has ended, or `()`.
fn ended_map(ended: Option<crate::kernel::linux::process::Ended>) -> Dynamic {
    let Some(ended) = ended else { return Dynamic::UNIT };
    let mut map = Map::new();
    put(&mut map, "code", ended.code.map_or(Dynamic::UNIT, |c| INT::from(c).into()));
    put(&mut map, "ok", ended.code == Some(0));
    put(&mut map, "signal", ended.signal.map_or(Dynamic::UNIT, |s| INT::from(s).into()));
    map.into()
}

#[export_module]
pub mod functions {
    /// A program in the background: what `start` returns.
    pub type Process = ProcessHandle;

    /// Runs a program in a namespace and waits for its end, as `ip netns exec`: with `/sys` of that namespace, and
    /// `/etc/netns/NAME/*` over `/etc`. The command is an array, or a string that is split as a shell splits words; no
    /// shell is run (`sh` runs one). What a command does to files is not undone.
    ///
    /// Options: `stdin` (text), `env` (a map; `()` unsets), `cwd`, `timeout` (then the whole process tree is ended),
    /// `check: false` (any status is a result), `tee: true` (its output is shown as it comes), `interactive: true` (it gets
    /// the terminal).
    ///
    /// Returns a map with `code`, `ok`, `stdout`, `stderr`, `text` (stdout without the last newline), `lines`, `signal`,
    /// `timed_out`, `ms` and `ns`. Errors: `exit` for a status other than 0, `timeout`, `not_found`, `limit` for one that
    /// writes more than 64 MiB (it is ended).
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// let out = exec_in("h1", "ip -o link show lo");
    /// assert(out.text.contains("LOOPBACK"), out.text);
    /// assert_eq(exec_in("h1", ["cat"], #{ stdin: "a\nb\n" }).lines, ["a", "b"]);
    /// assert_eq(exec_in("h1", "false", #{ check: false }).code, 1);
    /// ```
    #[rhai_fn(name = "exec_in", return_raw)]
    pub fn exec_in(ctx: NativeCallContext, ns: Dynamic, command: Dynamic) -> Fallible<Map> {
        run(&ctx, |s| execute(s, &value::ns(s, &ns)?, &words(&command)?, Map::new()))
    }

    #[rhai_fn(name = "exec_in", return_raw)]
    pub fn exec_in_with(ctx: NativeCallContext, ns: Dynamic, command: Dynamic, options: Map) -> Fallible<Map> {
        run(&ctx, |s| execute(s, &value::ns(s, &ns)?, &words(&command)?, options))
    }

    /// Runs a program in every namespace of `/run/netns` in turn, as `ip -all netns exec`. Options as of `exec_in`. Returns
    /// an array of its results.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// assert_eq(exec_all("true").map(|r| r.ns), ["h1", "h2"]);
    /// ```
    #[rhai_fn(name = "exec_all", return_raw)]
    pub fn exec_all(ctx: NativeCallContext, command: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| run_all(s, &command, &Map::new()))
    }

    #[rhai_fn(name = "exec_all", return_raw)]
    pub fn exec_all_with(ctx: NativeCallContext, command: Dynamic, options: Map) -> Fallible<Array> {
        run(&ctx, |s| run_all(s, &command, &options))
    }

    /// Runs a line of shell (`sh -c`) in a namespace. Options and result as of `exec_in`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// assert_eq(sh("h1", "echo one; echo two | tr a-z A-Z").lines, ["one", "TWO"]);
    /// ```
    #[rhai_fn(name = "sh", return_raw)]
    pub fn sh(ctx: NativeCallContext, ns: Dynamic, line: &str) -> Fallible<Map> {
        run(&ctx, |s| execute(s, &value::ns(s, &ns)?, &shell(line), Map::new()))
    }

    #[rhai_fn(name = "sh", return_raw)]
    pub fn sh_with(ctx: NativeCallContext, ns: Dynamic, line: &str, options: Map) -> Fallible<Map> {
        run(&ctx, |s| execute(s, &value::ns(s, &ns)?, &shell(line), options))
    }

    /// Starts a program in the background. It ends with the undo and with `--rm`; with a lab that stands it stays. Its output
    /// goes to a log.
    ///
    /// Options: `stdin`, `env`, `cwd`, `name` (default: the program's), `ready`: wait for a port (`"tcp/8080"`), for a text in
    /// its output, or for a closure to give true; `timeout` for that (default 10 s).
    ///
    /// Returns a handle: `.pid`, `.name`, `.ns`, `.running`, `.log()`, `.wait()`, `.stop()`, `.kill("HUP")`. Errors: `not_found`,
    /// `exit` where it ended before it was ready, `timeout`.
    ///
    /// ```rhai
    /// netns_add("h1", #{ lo: true });
    /// let p = start("h1", ["sh", "-c", "echo ready; sleep 100"], #{ ready: "ready" });
    /// assert(p.running, "it runs");
    /// assert_eq(p.log(), "ready\n");
    /// p.stop();
    /// assert(!p.running, "it has ended");
    /// ```
    #[rhai_fn(name = "start", return_raw)]
    pub fn start(ctx: NativeCallContext, ns: Dynamic, command: Dynamic) -> Fallible<ProcessHandle> {
        background(&ctx, &ns, words(&command), Map::new())
    }

    #[rhai_fn(name = "start", return_raw)]
    pub fn start_with(ctx: NativeCallContext, ns: Dynamic, command: Dynamic, options: Map) -> Fallible<ProcessHandle> {
        background(&ctx, &ns, words(&command), options)
    }

    /// The process id.
    #[rhai_fn(get = "pid", pure)]
    pub fn get_pid(process: &mut ProcessHandle) -> INT {
        INT::from(process.0.started.pid())
    }

    /// The name: the option's, or the program's.
    #[rhai_fn(get = "name", pure)]
    pub fn get_process_name(process: &mut ProcessHandle) -> String {
        process.0.name.clone()
    }

    /// The namespace that it was started in.
    #[rhai_fn(get = "ns", pure)]
    pub fn get_process_ns(process: &mut ProcessHandle) -> value::NsHandle {
        value::NsHandle(process.0.ns.clone())
    }

    /// Whether it runs.
    #[rhai_fn(get = "running", pure)]
    pub fn get_running(process: &mut ProcessHandle) -> bool {
        process.0.started.running()
    }

    /// What a background process has written so far.
    ///
    /// ```rhai
    /// let p = start(host(), ["echo", "hello"]);
    /// p.wait();
    /// assert_eq(p.log(), "hello\n");
    /// ```
    #[rhai_fn(name = "log", pure, return_raw)]
    pub fn process_log(ctx: NativeCallContext, process: &mut ProcessHandle) -> Fallible<String> {
        run(&ctx, |s| read_log(s, process))
    }

    /// Waits for a background process to end: for ever, or for a time; then `()` where it still runs. Returns a map with
    /// `code`, `ok` and `signal`.
    ///
    /// ```rhai
    /// let p = start(host(), ["sh", "-c", "exit 3"]);
    /// assert_eq(p.wait().code, 3);
    /// assert_eq(start(host(), "sleep 100").wait("1ms"), ());
    /// ```
    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn process_wait(ctx: NativeCallContext, process: &mut ProcessHandle) -> Fallible<Dynamic> {
        run(&ctx, |s| await_end(s, process, None))
    }

    #[rhai_fn(name = "wait", pure, return_raw)]
    pub fn process_wait_for(ctx: NativeCallContext, process: &mut ProcessHandle, time: Dynamic) -> Fallible<Dynamic> {
        run(&ctx, |s| await_end(s, process, Some(value::duration(&time, "wait")?)))
    }

    /// Ends a background process with all that it started: SIGTERM, and after 2 s SIGKILL. Returns how it ended, as `wait`.
    ///
    /// ```rhai
    /// let p = start(host(), "sleep 100");
    /// assert_eq(p.stop().signal, 15);
    /// ```
    #[rhai_fn(name = "stop", pure, return_raw)]
    pub fn process_stop(ctx: NativeCallContext, process: &mut ProcessHandle) -> Fallible<Dynamic> {
        run(&ctx, |_| process.0.started.stop(GRACE).map(|e| ended_map(Some(e))))
    }

    /// Sends a background process a signal, by name (`"HUP"`, `"SIGHUP"`) or number.
    ///
    /// ```rhai
    /// let p = start(host(), "sleep 100");
    /// p.kill("KILL");
    /// assert_eq(p.wait().signal, 9);
    /// ```
    #[rhai_fn(name = "kill", pure, return_raw)]
    pub fn process_kill(ctx: NativeCallContext, process: &mut ProcessHandle, signal: Dynamic) -> Fallible<()> {
        run(&ctx, |_| {
            let word = match signal.as_int() {
                Ok(number) => number.to_string(),
                Err(_) => text(&signal, "a signal")?,
            };
            process.0.started.signal(signal_by_name(&word)?)
        })
    }

    /// The pids of the processes in a namespace, as `ip netns pids`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// let p = start("h1", "sleep 100");
    /// assert_eq(netns_pids("h1"), [p.pid]);
    /// ```
    #[rhai_fn(name = "netns_pids", return_raw)]
    pub fn netns_pids(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Array> {
        run(&ctx, |s| pids(s, &value::ns(s, &ns)?))
    }

    /// The pids of the processes in it.
    #[rhai_fn(get = "pids", pure, return_raw)]
    pub fn get_pids(ctx: NativeCallContext, ns: &mut value::NsHandle) -> Fallible<Array> {
        run(&ctx, |s| pids(s, &ns.0))
    }

    #[rhai_fn(name = "to_string", pure)]
    pub fn process_to_string(process: &mut ProcessHandle) -> String {
        format!("{} ({})", process.0.name, process.0.started.pid())
    }

    #[rhai_fn(name = "to_debug", pure)]
    pub fn process_to_debug(process: &mut ProcessHandle) -> String {
        format!("process({:?}, {})", process.0.name, process.0.started.pid())
    }

    #[rhai_fn(name = "==", pure)]
    pub fn process_equals(a: &mut ProcessHandle, b: ProcessHandle) -> bool {
        Rc::ptr_eq(&a.0, &b.0)
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn process_differs(a: &mut ProcessHandle, b: ProcessHandle) -> bool {
        !Rc::ptr_eq(&a.0, &b.0)
    }
}

/// The processes whose namespace it is, without ourselves.
pub(super) fn pids(session: &Session, ns: &Ns) -> Result<Array> {
    let (dev, inode) = session.kernel().inode(ns)?;
    let own = INT::from(std::process::id());
    let mut all = crate::kernel::linux::process::pids_in_netns(dev, inode);
    all.extend(session.linux().rehearsal().map(|r| r.pids(ns)).unwrap_or_default());
    Ok(all.into_iter().map(INT::from).filter(|p| *p != own).map(Dynamic::from).collect())
}

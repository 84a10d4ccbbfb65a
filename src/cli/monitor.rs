//! `nsscript monitor`: a line for each change of names, links, addresses, routes and neighbours.

use super::{Global, report_error, status};
use crate::kernel::linux::Linux;
use crate::kernel::linux::monitor::{Heard, Live, Names, Objects, Source, Topic};
use crate::kernel::{Cancel, Kernel as _};
use crate::plan::{Error, Result, unit};
use crate::report::{Event, Style};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::future::pending;
use std::io::Write as _;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, Args)]
pub struct MonitorArgs {
    /// What to show; all of it by default (of a namespace: all but `netns`)
    pub what: Vec<Kind>,
    /// Links, addresses … of this namespace; by default of the one that nsscript is in
    #[arg(long, value_name = "NAME")]
    pub ns: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time: `2s`, `500ms`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Names in /run/netns
    Netns,
    Link,
    #[value(alias = "address")]
    Addr,
    Route,
    #[value(aliases = ["neighbour", "neighbor"])]
    Neigh,
    Rule,
    Nexthop,
}

fn time(text: &str) -> std::result::Result<Duration, String> {
    unit::duration(text).map_err(|e| format!("{}: {}", e.message, e.hint.unwrap_or_default()))
}

impl Kind {
    fn topic(self) -> Option<Topic> {
        Some(match self {
            Kind::Netns => return None,
            Kind::Link => Topic::Link,
            Kind::Addr => Topic::Addr,
            Kind::Route => Topic::Route,
            Kind::Neigh => Topic::Neigh,
            Kind::Rule => Topic::Rule,
            Kind::Nexthop => Topic::Nexthop,
        })
    }
}

/// An event as JSON.
#[derive(Serialize)]
struct Line<'e> {
    event: &'e str,
    action: &'e str,
    /// The name of the namespace that came or went.
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'e str,
    /// The namespace that it happened in; empty for the one that nsscript is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<&'e str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    dev: &'e str,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'e str,
}

/// How lines are written.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Text(Style),
    /// As `ip netns monitor`: `add h1`.
    Ip,
    Json,
}

/// What is listened to, and until when.
pub(super) struct Wanted<'w> {
    pub names: bool,
    pub topics: Vec<Topic>,
    pub ns: Option<&'w str>,
    pub count: Option<u64>,
    pub timeout: Option<Duration>,
    pub format: Format,
}

/// Runs the command; returns the exit status.
pub fn run(global: &Global, args: &MonitorArgs) -> i32 {
    let all = args.what.is_empty();
    let topics = if all { Topic::ALL.to_vec() } else { args.what.iter().filter_map(|k| k.topic()).collect() };
    let wanted = Wanted {
        names: if all { args.ns.is_none() } else { args.what.contains(&Kind::Netns) },
        topics,
        ns: args.ns.as_deref(),
        count: args.count,
        timeout: args.timeout,
        format: if global.json { Format::Json } else { Format::Text(global.style_on(&std::io::stdout())) },
    };
    watch(global, &wanted)
}

/// Shows events until it is enough; returns the exit status.
pub(super) fn watch(global: &Global, wanted: &Wanted<'_>) -> i32 {
    match Cancel::install().and_then(|cancel| listen(global, wanted, &cancel).map(|()| cancel)) {
        // As a program that Ctrl-C ends.
        Ok(cancel) => match cancel.signal() {
            0 => status::DONE,
            signal => 128 + signal,
        },
        Err(error) => report_error(global, &error),
    }
}

fn listen(global: &Global, wanted: &Wanted<'_>, cancel: &Cancel) -> Result<()> {
    let failed = |e: std::io::Error| Error::from_io(&e, "listen to the kernel's events");
    let names = if wanted.names { Some(Names::watch()?) } else { None };
    let objects = if wanted.topics.is_empty() {
        None
    } else {
        let linux = Linux::new()?;
        let ns = wanted.ns.map_or_else(|| Ok(linux.host()), |name| linux.find_ns(name))?;
        Some(Objects::listen(&linux, &ns, &wanted.topics)?)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let deadline = wanted.timeout.and_then(|t| Instant::now().checked_add(t));
    runtime.block_on(async {
        let mut names = names.map(Live::new).transpose()?;
        let mut objects = objects.map(Live::new).transpose()?;
        let mut left = wanted.count.unwrap_or(u64::MAX);
        loop {
            let mut lines = Vec::new();
            if let Some(names) = &mut names {
                for event in names.source().read()? {
                    let action = if event.added { "add" } else { "delete" };
                    lines.push(line(wanted, "netns", action, &event.name, "", ""));
                }
            }
            if let Some(objects) = &mut objects {
                for heard in objects.source().read()? {
                    match heard {
                        Heard::Event(e) => {
                            lines.push(line(wanted, e.topic.as_str(), e.action.as_str(), "", &e.dev, &e.text));
                        }
                        Heard::Lost => {
                            let message = "events were lost: more came at once than the kernel keeps".into();
                            global.listener().borrow_mut().event(&Event::Warning { message, hint: None });
                        }
                    }
                }
            }
            lines.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= u64::try_from(lines.len()).unwrap_or_default();
            if !write(&lines.concat())? || left == 0 {
                return Ok(());
            }
            let timeout = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                raised = cancel.raised() => return raised,
                found = ready(names.as_ref()) => found?,
                found = ready(objects.as_ref()) => found?,
                () = timeout => return Ok(()),
            }
        }
    })
}

/// Waits for a source, if there is one.
async fn ready<S: Source>(source: Option<&Live<S>>) -> Result<()> {
    match source {
        Some(source) => source.ready().await,
        None => pending().await,
    }
}

fn line(wanted: &Wanted<'_>, event: &str, action: &str, name: &str, dev: &str, text: &str) -> String {
    match wanted.format {
        Format::Ip => format!("{action} {name}\n"),
        Format::Text(style) => {
            let color = match action {
                "add" => "32",
                "delete" => "31",
                _ => "33",
            };
            format!("{event:<7} {} {name}{text}\n", style.paint(color, &format!("{action:<6}")))
        }
        Format::Json => {
            let ns = (event != "netns").then(|| wanted.ns.unwrap_or_default());
            let line = Line { event, action, name, ns, dev, text };
            // Strings only: it always serializes.
            serde_json::to_string(&line).unwrap_or_default() + "\n"
        }
    }
}

/// False once the reader has gone.
fn write(text: &str) -> Result<bool> {
    if text.is_empty() {
        return Ok(true);
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::from_io(&e, "write to standard output")),
    }
}

//! `nsscript netns …`: what `ip netns` does, by the same verbs as scripts, so that each command is all or nothing.

use super::monitor::{Format, Wanted, watch};
use super::{Global, put, report_error, status};
use crate::engine::session::{Listener, observer};
use crate::kernel::linux::Linux;
use crate::kernel::linux::process::{self, Output, Spec, Stdin};
use crate::kernel::{Cancel, Kernel, sandbox};
use crate::plan::{Error, Kind, Ns, Result, Verb, ip, name};
use crate::report::{Diagnostic, Event};
use crate::txn::{InMemory, Txn, with_report};
use clap::{Args, Subcommand};
use serde_json::json;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Debug, Args)]
#[command(infer_subcommands = true)]
pub struct NetnsArgs {
    /// With `del` and `exec`: every namespace that has a name (`-all` is understood too)
    #[arg(short, long, global = true)]
    pub all: bool,
    #[command(subcommand)]
    pub verb: Option<Netns>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Netns {
    /// List the names (what `nsscript netns` alone does)
    #[command(aliases = ["ls", "show"])]
    List,
    /// Make namespaces
    Add {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Give a name to the namespace of a process
    Attach { name: String, pid: u32 },
    /// Give a namespace an nsid
    Set {
        name: String,
        /// A number, or `auto`
        #[arg(value_name = "NSID")]
        id: String,
    },
    /// Delete names
    #[command(visible_alias = "delete")]
    Del {
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Print the names of the namespace that a process is in; without PID, of our own
    Identify { pid: Option<u32> },
    /// Print the processes in a namespace
    Pids { name: String },
    /// Run a program in a namespace, with its /sys and /etc/netns/NAME
    Exec {
        /// NAME, program, arguments; with --all no NAME
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["NAME", "CMD"])]
        words: Vec<OsString>,
    },
    /// Show names as they come and go
    Monitor,
    /// List nsids: of our namespace, or of the one with `target-nsid N`; one of them with `nsid N`
    ListId {
        #[arg(value_name = "target-nsid N|nsid N")]
        words: Vec<String>,
    },
}

/// The arguments with `-all`, as iproute2 writes it, as `--all`: before and right after the verb of `netns`.
pub fn dashes(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words = 0;
    let mut value = false;
    let mut is_netns = false;
    args.enumerate()
        .map(|(at, arg)| {
            let dash = arg.to_string_lossy().starts_with('-');
            if at == 0 || std::mem::take(&mut value) {
                return arg;
            }
            if is_netns && words <= 2 && arg == "-all" {
                return "--all".into();
            }
            if dash {
                value = arg == "--color";
            } else {
                words += 1;
                is_netns |= words == 1 && arg == "netns";
            }
            arg
        })
        .collect()
}

/// Runs the command; returns the exit status.
pub fn run(global: &Global, args: NetnsArgs) -> i32 {
    let verb = args.verb.unwrap_or(Netns::List);
    if args.all && !matches!(verb, Netns::Del { .. } | Netns::Exec { .. }) {
        let error = Error::invalid("`--all` goes with `netns del` and `netns exec`");
        report_error(global, &error);
        return status::USAGE;
    }
    if global.sandbox {
        let error = Error::invalid("`netns` works on the namespaces that there are: a sandbox has none")
            .with_hint("`nsscript --sandbox FILE` runs a script in one");
        report_error(global, &error);
        return status::USAGE;
    }
    if let Netns::Monitor = verb {
        let format = if global.json { Format::Json } else { Format::Ip };
        return watch(
            global,
            &Wanted { names: true, topics: Vec::new(), ns: None, count: None, timeout: None, format },
        );
    }
    let needs_root = matches!(
        verb,
        Netns::Add { .. } | Netns::Attach { .. } | Netns::Set { .. } | Netns::Del { .. } | Netns::Exec { .. }
    );
    if needs_root && !sandbox::privileged() {
        let error = Error::new(Kind::Permission, "changing or entering namespaces is not allowed to you")
            .with_hint("run it as root; a script needs no root, it gets a sandbox of its own");
        return report_error(global, &error);
    }
    let done = Cancel::install().and_then(|cancel| {
        let linux = Rc::new(Linux::new()?);
        act(&Here { global, linux, cancel, listener: global.listener() }, verb, args.all)
    });
    match done {
        Ok(status) => status,
        Err(error) if error.kind == Kind::Invalid && error.errno == 0 => {
            report_error(global, &error);
            status::USAGE
        }
        Err(error) => report_error(global, &error),
    }
}

/// The machine, and who is told.
struct Here<'g> {
    global: &'g Global,
    linux: Rc<Linux>,
    cancel: Cancel,
    listener: Listener,
}

impl Here<'_> {
    /// Does verbs, all or nothing, and lets them stand. They make no lab: what `ip netns` makes is nobody's either.
    fn change(&self, mut work: impl FnMut(&mut dyn FnMut(Verb) -> Result<()>) -> Result<()>) -> Result<i32> {
        let kernel: Rc<dyn Kernel> = Rc::clone(&self.linux) as Rc<dyn Kernel>;
        let steps = observer(&self.listener, self.global.wants_steps());
        let mut txn = Txn::new(kernel, Box::new(InMemory), steps);
        let done = work(&mut |verb| {
            self.cancel.check()?;
            txn.perform(verb).map(drop)
        });
        match done.and_then(|()| txn.commit(|_| ())) {
            Ok(report) => {
                for message in report.errors {
                    self.event(&Event::Warning { message, hint: None });
                }
                Ok(status::DONE)
            }
            Err(error) => Err(with_report(error, &txn.rollback(&mut |_| Ok(())))),
        }
    }

    fn event(&self, event: &Event) {
        self.listener.borrow_mut().event(event);
    }

    /// All names, sorted.
    fn every(&self) -> Result<Vec<String>> {
        Ok(self.linux.list_ns(&self.linux.host())?.into_iter().map(|e| e.name).collect())
    }
}

fn act(here: &Here<'_>, verb: Netns, all: bool) -> Result<i32> {
    match verb {
        Netns::List => list(here),
        Netns::Add { names } => here.change(|perform| {
            names.iter().try_for_each(|n| {
                name::check_nsname(n)?;
                perform(Verb::NetnsAdd { name: n.clone(), cookie: 0 })
            })
        }),
        Netns::Attach { name: n, pid } => here.change(|perform| {
            name::check_nsname(&n)?;
            perform(Verb::NetnsAttach { name: n.clone(), path: format!("/proc/{pid}/ns/net") })
        }),
        Netns::Set { name: n, id } => {
            let id = match id.as_str() {
                "auto" => None,
                text => Some(nsid(text)?),
            };
            let target = here.linux.find_ns(&n)?;
            here.change(|perform| perform(Verb::NetnsSetId { at: here.linux.host(), target: target.clone(), id }))
        }
        Netns::Del { names } if names.is_empty() != all => Err(Error::invalid("`netns del` takes names, or `--all`")),
        Netns::Del { names } => {
            let names = if all { here.every()? } else { names };
            here.change(|perform| names.iter().try_for_each(|n| perform(Verb::NetnsDel { ns: here.linux.find_ns(n)? })))
        }
        Netns::Identify { pid } => identify(here, pid),
        Netns::Pids { name } => pids(here, &name),
        Netns::Exec { words } if all => exec_all(here, &words),
        Netns::Exec { words } => exec(here, words),
        Netns::ListId { words } => list_id(here, &words),
        Netns::Monitor => Ok(status::DONE), // done above
    }
}

fn nsid(text: &str) -> Result<i32> {
    text.parse::<i32>().ok().filter(|n| *n >= 0).ok_or_else(|| {
        Error::invalid(format!("`{text}` can't be an nsid"))
            .with_hint(format!("0 to {}, or `auto` with `netns set`", i32::MAX))
    })
}

fn list(here: &Here<'_>) -> Result<i32> {
    let all = here.linux.list_ns(&here.linux.host())?;
    if here.global.json {
        let all: Vec<_> = all
            .iter()
            .map(|e| match e.nsid {
                Some(id) => json!({ "name": e.name, "id": id }),
                None => json!({ "name": e.name }),
            })
            .collect();
        return Ok(put(&format!("{}\n", json!(all))));
    }
    let mut out = String::new();
    for entry in all {
        let _ = match entry.nsid {
            Some(id) => writeln!(out, "{} (id: {id})", entry.name),
            None => writeln!(out, "{}", entry.name),
        };
    }
    Ok(put(&out))
}

fn identify(here: &Here<'_>, pid: Option<u32>) -> Result<i32> {
    use std::os::unix::fs::MetadataExt as _;
    let path = format!("/proc/{}/ns/net", pid.map_or("self".into(), |p| p.to_string()));
    let meta = std::fs::metadata(&path).map_err(|e| {
        let error = Error::from_io(&e, format!("read `{path}`"));
        match error.kind {
            Kind::NotFound => error.with_hint("there is no such process"),
            Kind::Permission => error.with_hint("another user's process: run it as root"),
            _ => error,
        }
    })?;
    let all = here.linux.list_ns(&here.linux.host())?;
    let names: Vec<&str> = all.iter().filter(|e| e.inode == meta.ino()).map(|e| e.name.as_str()).collect();
    Ok(if here.global.json { put(&format!("{}\n", json!(names))) } else { put(&lines(&names)) })
}

fn pids(here: &Here<'_>, name: &str) -> Result<i32> {
    let ns = here.linux.find_ns(name)?;
    let (dev, inode) = here.linux.inode(&ns)?;
    // A thread of ours has just been in there.
    let mut pids = process::pids_in_netns(dev, inode);
    pids.retain(|pid| u32::try_from(*pid) != Ok(std::process::id()));
    Ok(if here.global.json { put(&format!("{}\n", json!(pids))) } else { put(&lines(&pids)) })
}

fn lines<T: std::fmt::Display>(all: &[T]) -> String {
    all.iter().fold(String::new(), |mut out, item| {
        let _ = writeln!(out, "{item}");
        out
    })
}

fn list_id(here: &Here<'_>, words: &[String]) -> Result<i32> {
    let (mut target, mut only) = (None, None);
    for pair in words.chunks(2) {
        match pair {
            [word, number] if word == "target-nsid" => target = Some(nsid(number)?),
            [word, number] if word == "nsid" => only = Some(nsid(number)?),
            _ => return Err(Error::invalid("`netns list-id` takes `target-nsid N` and `nsid N`")),
        }
    }
    let host = here.linux.host();
    let all = here.linux.list_nsids(&host, target, only)?;
    let named = here.linux.list_ns(&host)?;
    let mut out = String::new();
    let mut objects = Vec::new();
    for entry in all {
        let ours = if target.is_some() { entry.current } else { Some(entry.nsid) };
        let name = ours.and_then(|id| named.iter().find(|e| e.nsid == Some(id))).map(|e| e.name.as_str());
        let mut object = json!({ "nsid": entry.nsid });
        let _ = write!(out, "nsid {}", entry.nsid);
        if let (Some(current), Some(_)) = (entry.current, target) {
            object["current-nsid"] = json!(current);
            let _ = write!(out, " current-nsid {current}");
        }
        if let Some(name) = name {
            object["name"] = json!(name);
            let _ = write!(out, " (iproute2 netns name: {name})");
        }
        out.push('\n');
        objects.push(object);
    }
    Ok(if here.global.json { put(&format!("{}\n", json!(objects))) } else { put(&out) })
}

fn spec(here: &Here<'_>, ns: &Ns, argv: &[OsString]) -> Result<Spec> {
    Ok(Spec {
        argv: argv.to_vec(),
        netns: Some(Arc::new(here.linux.file(ns)?)),
        netns_name: Some(ns.name.clone()),
        stdin: Stdin::Inherit,
        output: Output::Inherit,
        ..Spec::default()
    })
}

/// For `-v` and `--explain`.
fn tell(here: &Here<'_>, ns: &Ns, argv: &[OsString]) {
    if !here.global.wants_steps() {
        return;
    }
    let line = argv.iter().map(|w| ip::word(&w.to_string_lossy())).collect::<Vec<_>>().join(" ");
    here.event(&Event::Step {
        index: 0,
        op: "exec_in".into(),
        ns: ns.name.clone(),
        ip: format!("ip netns exec {} {line}", ip::word(&ns.name)),
        target: line,
        file: None,
        line: 0,
        undo: false,
    });
}

/// Becomes the program. Comes back only where that fails, with the status of a shell: 127 for a program that is not
/// there, 126 for one that can't be run.
fn exec(here: &Here<'_>, mut words: Vec<OsString>) -> Result<i32> {
    let argv = words.split_off(1);
    let name = words.pop().unwrap_or_default();
    if argv.is_empty() {
        return Err(
            Error::invalid("`netns exec` takes a name and a command").with_hint("nsscript netns exec NAME CMD…")
        );
    }
    let ns = here.linux.find_ns(&name.to_string_lossy())?;
    tell(here, &ns, &argv);
    let error = process::replace(&spec(here, &ns, &argv)?, &mut |message| {
        here.event(&Event::Warning { message, hint: None });
    });
    here.event(&Event::error(Diagnostic::from(&error)));
    Ok(failure(&error))
}

fn failure(error: &Error) -> i32 {
    match error.kind {
        Kind::NotFound => 127,
        Kind::Permission => 126,
        _ => status::FAILED,
    }
}

/// Runs a program in each namespace, one after the other, all of them whatever comes of it; the status is the first that
/// is not 0.
fn exec_all(here: &Here<'_>, argv: &[OsString]) -> Result<i32> {
    let mut result = status::DONE;
    for name in here.every()? {
        let ns = here.linux.find_ns(&name)?;
        tell(here, &ns, argv);
        put(&format!("\nnetns: {name}\n"));
        let code = match process::run(&spec(here, &ns, argv)?, &here.cancel, None, None) {
            Ok(finished) => {
                if finished.cancelled {
                    return Ok(128 + here.cancel.signal());
                }
                finished.code.or(finished.signal.map(|s| 128 + s)).unwrap_or(status::FAILED)
            }
            Err(error) => {
                here.event(&Event::error(Diagnostic::from(&error)));
                failure(&error)
            }
        };
        if result == status::DONE {
            result = code;
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dash_is_understood_where_iproute2_has_it() {
        for (given, want) in [
            ("nsscript netns -all del", "nsscript netns --all del"),
            ("nsscript netns del -all", "nsscript netns del --all"),
            ("nsscript --color never netns exec -all ls -all", "nsscript --color never netns exec --all ls -all"),
            ("nsscript lab.rhai netns -all", "nsscript lab.rhai netns -all"),
            ("nsscript netns exec h1 ls -all", "nsscript netns exec h1 ls -all"),
        ] {
            let words = dashes(given.split(' ').map(OsString::from));
            let words: Vec<_> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
            assert_eq!(words.join(" "), want);
        }
    }
}

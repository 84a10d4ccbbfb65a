//! `nsscript FILE`, `-e`, `check`: a script from its text to its end.

use super::{Global, RunArgs, report_error, status};
use crate::builtins;
use crate::engine::session::Listener;
use crate::engine::{Ended, Host, Session, Setting};
use crate::kernel::Cancel;
use crate::kernel::linux::Linux;
use crate::kernel::sandbox::{self, State};
use crate::plan::{Error, Kind, Result};
use crate::report::{Diagnostic, Event};
use crate::txn::Report;
use crate::txn::journal::{self, Standing};
use crate::txn::labs;
use std::io::Read as _;
use std::rc::Rc;
use std::time::Instant;

/// A script's name for diagnostics, its lab's name, and its text.
pub(super) struct Script {
    pub source: String,
    pub lab: String,
    pub text: String,
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(file: &str) -> Result<String> {
    let failed = |e: std::io::Error| {
        let error = Error::from_io(&e, format!("read `{file}`")).with_target(file);
        match e.kind() {
            std::io::ErrorKind::NotFound => error.with_hint("`nsscript --help` lists the commands"),
            std::io::ErrorKind::InvalidData => Error::invalid(format!("`{file}` is not UTF-8 text")).with_target(file),
            _ => error,
        }
    };
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(failed)
}

pub(super) fn script(args: &RunArgs) -> Result<Script> {
    let own = || format!("run-{}", std::process::id());
    let (source, lab, text) = match (&args.execute, args.file.as_deref()) {
        (Some(code), _) => ("-e".to_string(), own(), code.clone()),
        (None, Some("-")) => ("<stdin>".to_string(), own(), read("-")?),
        (None, Some(file)) => {
            let stem = std::path::Path::new(file).file_stem().map(|s| s.to_string_lossy().into_owned());
            (file.to_string(), stem.unwrap_or_else(own), read(file)?)
        }
        (None, None) => return Err(Error::invalid("there is no script").with_hint("nsscript FILE, or -e CODE")),
    };
    Ok(Script { source, lab: args.name.clone().unwrap_or(lab), text })
}

/// A mark that no other run has: the run's processes carry it.
pub(super) fn mark() -> String {
    let mut bytes = [0u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = u64::from(std::process::id()).to_ne_bytes();
    }
    format!("{:016x}", u64::from_ne_bytes(bytes))
}

/// Every descriptor that the process may have: a lab of a thousand namespaces holds two for each. And room for them in the
/// table of descriptors, while there is one thread: with several each doubling waits for RCU (`expand_fdtable`, fs/file.c).
pub(super) fn raise_limit() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use std::os::fd::{FromRawFd as _, OwnedFd};
    const ROOM: i32 = 4095;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        crate::kernel::linux::process::keep_limit((soft, hard));
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    if let Ok(root) = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())
        && let Ok(high) = fcntl(&root, FcntlArg::F_DUPFD_CLOEXEC(ROOM))
    {
        // SAFETY: the descriptor was made just now, and is nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(high) });
    }
}

/// The engine with its session.
fn host(global: &Global, args: Vec<String>, names: (&str, &str), listener: Listener, cancel: Cancel) -> Result<Host> {
    let mark = mark();
    let setting = Setting {
        linux: Rc::new(Linux::new()?),
        cancel,
        listener,
        steps: global.wants_steps(),
        args,
        name: names.0.into(),
        script: names.1.into(),
        mark,
    };
    Ok(Host::new(Session::new(setting), builtins::register))
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a script; returns the exit status.
pub fn run(global: &Global, args: RunArgs, state: &State) -> i32 {
    let start = Instant::now();
    let listener = global.listener();
    let script = match script(&args) {
        Ok(script) => script,
        Err(error) => {
            report_error(global, &error);
            return status::USAGE;
        }
    };
    if let Err(error) = crate::kernel::linux::process::become_subreaper() {
        return report_error(global, &error);
    }
    let prepared = Cancel::install()
        .and_then(|cancel| host(global, args.args, (&script.lab, &script.source), Rc::clone(&listener), cancel))
        .map(|host| host.bounded(args.max_operations));
    let host = match prepared {
        Ok(host) => host,
        Err(error) => return report_error(global, &error),
    };
    let session = host.session().clone();
    let inside = match state {
        State::Host => false,
        State::Inside(info) => {
            session.event(&Event::Note { message: sandbox::describe(info) });
            if let Err(error) = sandbox::hide_etc() {
                return report_error(global, &error);
            }
            true
        }
    };
    if let Err(error) = clear_the_way(&session, &script.lab, args.replace) {
        return report_error(global, &error);
    }
    session.event(&Event::Started { name: script.lab.clone(), sandbox: inside });
    let mut ended = host.run(&script.source, &script.text);
    if let Some(error) = session.broken()
        && matches!(ended, Ended::Well | Ended::Error(_))
    {
        let error = Error::from_io(&error, "write to standard output").with_hint("whoever read it has gone");
        ended = Ended::Error(Box::new(Diagnostic::from(&Error { kind: Kind::Io, ..error })));
    }
    match ended {
        Ended::Well if args.rm => {
            let report = host.rollback();
            let verified = report.verified();
            session.event(&took_down(&script.lab, report));
            if verified { status::DONE } else { status::NOT_EQUAL }
        }
        Ended::Well => {
            let (namespaces, links, processes) = session.standing();
            let changed = session.stands();
            match session.commit() {
                Ok(report) => {
                    for message in report.errors {
                        session.event(&Event::Warning { message, hint: None });
                    }
                }
                Err(error) => {
                    session.event(&Event::error(Diagnostic::from(&error)));
                    return undo(&host, status::FAILED);
                }
            }
            if changed {
                let message = if inside {
                    "in the sandbox, which is gone now".to_string()
                } else {
                    format!("`nsscript down {}` takes it away", script.lab)
                };
                session.event(&Event::Stands {
                    name: script.lab,
                    namespaces,
                    links,
                    processes,
                    ms: millis(start.elapsed()),
                    message,
                });
            }
            status::DONE
        }
        Ended::Exit(code) => undo(&host, code),
        Ended::Error(diagnostic) => {
            session.event(&Event::error(*diagnostic));
            undo(&host, status::FAILED)
        }
        Ended::Signal(signal) => {
            let error = crate::kernel::cancel::interrupted(signal);
            session.event(&Event::error(Diagnostic::from(&error)));
            undo(&host, 128 + signal)
        }
    }
}

/// The name must be free before anything is done. A run of that name that was killed is recovered; others that were
/// are said.
pub(super) fn clear_the_way(session: &Session, lab: &str, replace: bool) -> Result<()> {
    journal::check_name(lab)?;
    if labs::to_recover(lab) {
        session.recover(lab)?;
    }
    match journal::standing(lab)? {
        Standing::Free => {}
        Standing::Void => journal::remove(lab)?,
        Standing::Committed(story) if replace && !labs::unfinished(&story) => session.replace(&story)?,
        Standing::Running(_) | Standing::Committed(_) | Standing::Broken(_) => return Err(journal::taken(lab)),
    }
    session.look_for_killed();
    Ok(())
}

/// Takes everything back; the status is `code`, unless something differs from before.
fn undo(host: &Host, code: i32) -> i32 {
    let changed = host.session().changed();
    let report = host.rollback();
    let verified = report.verified();
    for message in &report.notes {
        host.session().event(&Event::Note { message: message.clone() });
    }
    if changed || !verified {
        host.session().event(&rolled_back(report));
    }
    if verified { code } else { status::NOT_EQUAL }
}

pub(super) fn rolled_back(report: Report) -> Event {
    Event::RolledBack {
        steps: report.steps,
        ms: millis(report.elapsed),
        verified: report.verified(),
        differences: report.differences,
        errors: report.errors,
    }
}

pub(super) fn took_down(name: &str, report: Report) -> Event {
    Event::TookDown {
        name: name.into(),
        steps: report.steps,
        ms: millis(report.elapsed),
        verified: report.verified(),
        differences: report.differences,
        errors: report.errors,
    }
}

/// Looks for mistakes in scripts without running them; 1 where there are some.
pub fn check(global: &Global, files: &[String]) -> i32 {
    let listener = global.listener();
    let host = match Cancel::never()
        .and_then(|cancel| host(global, Vec::new(), ("check", ""), Rc::clone(&listener), cancel))
    {
        Ok(host) => host,
        Err(error) => return report_error(global, &error),
    };
    let mut result = status::DONE;
    for file in files {
        let text = match read(file) {
            Ok(text) => text,
            Err(error) => {
                report_error(global, &error);
                result = status::USAGE;
                continue;
            }
        };
        let name = if file == "-" { "<stdin>" } else { file };
        for diagnostic in host.check(name, &text) {
            listener.borrow_mut().event(&Event::error(diagnostic));
            result = result.max(status::FAILED);
        }
    }
    result
}

//! `nsscript plan`: a script run in a copy of the world, to say what it would do.

use super::run::{Script, clear_the_way, mark, rolled_back};
use super::{Global, RunArgs, report_error, status};
use crate::builtins;
use crate::engine::{Ended, Host, Session, Setting};
use crate::kernel::linux::Linux;
use crate::kernel::linux::process::become_subreaper;
use crate::kernel::linux::rehearsal::Rehearsal;
use crate::kernel::linux::world::{self, World};
use crate::kernel::sandbox::{self, Wish};
use crate::kernel::{Cancel, Kernel as _};
use crate::plan::{Error, Kind, Result};
use crate::report::{Diagnostic, Event, JsonLines, Level, Listing, Sink, Terminal};
use crate::txn::papers::{Laid, Papers};
use std::cell::RefCell;
use std::rc::Rc;

type List = Rc<RefCell<Listing<Box<dyn Sink>>>>;

/// What was read before the sandbox was made.
pub struct Prepared {
    script: Script,
    /// The world that a run would work on; without one a run would be in a sandbox itself, where nothing is.
    world: Option<(World, Papers)>,
    /// A run would fail for want of rights, if not before.
    powerless: bool,
}

/// Reads the script, and the world while it is in sight. Leaves no thread behind.
///
/// # Errors
/// The exit status, once the error is shown.
pub fn prepare(global: &Global, args: &RunArgs) -> std::result::Result<Prepared, i32> {
    let script = super::run::script(args).map_err(|error| {
        report_error(global, &error);
        status::USAGE
    })?;
    let powerless = global.host && !sandbox::privileged();
    let on_host = match global.wish() {
        Wish::Always => false,
        Wish::Never => true,
        Wish::Auto => sandbox::privileged(),
    };
    let read = || -> Result<(World, Papers)> {
        let papers = Papers::capture();
        Ok((World::capture(&papers.kept)?, papers))
    };
    let world = on_host.then(read).transpose().map_err(|error| report_error(global, &error))?;
    world::wait_single();
    Ok(Prepared { script, world, powerless })
}

/// Makes the world again, and says what is not as it is outside.
fn copy(session: &Session, world: World, papers: &Papers) -> Result<Laid> {
    let linux = session.linux();
    let rebuilt = world::rebuild(linux, &world)?;
    let cookies = world.spaces.iter().zip(&rebuilt.spaces).map(|(was, is)| (was.ns.cookie, is.cookie)).collect();
    let laid = papers.lay_down(&cookies, |cookie, path| {
        let ns = rebuilt.spaces.iter().find(|ns| ns.cookie == cookie);
        ns.map_or(Ok(()), |ns| linux.hold(ns, path))
    })?;
    if !rebuilt.stand_ins.is_empty() {
        let message = format!("plan: others stand in for these links: {}", rebuilt.stand_ins.join(", "));
        session.event(&Event::Note { message });
    }
    for what in rebuilt.missing.iter().chain(&papers.missing) {
        session.event(&Event::Warning { message: format!("plan: could not be copied: {what}"), hint: None });
    }
    if let Some(rehearsal) = linux.rehearsal() {
        rehearsal.remember(world, &rebuilt);
    }
    Ok(laid)
}

fn list(global: &Global) -> List {
    let inner: Box<dyn Sink> = if global.json {
        Box::new(JsonLines::stdout())
    } else {
        Box::new(Terminal::standard(if global.quiet { Level::Quiet } else { Level::Plan }, global.style()))
    };
    Rc::new(RefCell::new(Listing::new(inner)))
}

fn host(args: Vec<String>, script: &Script, list: &List, cancel: Cancel) -> Result<Host> {
    let linux = Rc::new(Linux::new()?);
    linux.rehearse(Rehearsal::default());
    sandbox::share_etc();
    let setting = Setting {
        linux,
        cancel,
        listener: Rc::clone(list) as Rc<RefCell<dyn Sink>>,
        steps: true,
        args,
        name: script.lab.clone(),
        script: script.source.clone(),
        mark: mark(),
    };
    Ok(Host::new(Session::new(setting), builtins::register))
}

/// Plans a script, inside the sandbox; returns the exit status that a run would have.
pub fn run(global: &Global, args: RunArgs, prepared: Prepared) -> i32 {
    let list = list(global);
    let script = prepared.script;
    if let Err(error) = become_subreaper() {
        return report_error(global, &error);
    }
    let host = match Cancel::install().and_then(|cancel| host(args.args, &script, &list, cancel)) {
        Ok(host) => host,
        Err(error) => return report_error(global, &error),
    };
    let host = host.bounded(args.max_operations);
    let session = host.session().clone();
    // Held to the end: the locks of runs that are under way outside.
    let mut laid = Laid::default();
    if let Some((world, papers)) = prepared.world {
        match copy(&session, world, &papers) {
            Ok(locks) => laid = locks,
            Err(error) => return report_error(global, &error),
        }
    }
    if prepared.powerless {
        session.event(&Event::Warning {
            message: "plan: a run with --host has no rights on this machine: what changes it would fail".into(),
            hint: Some("run it as root, or without --host in a sandbox".into()),
        });
    }
    let ended = match clear_the_way(&session, &script.lab, args.replace) {
        Ok(()) => host.run(&script.source, &script.text),
        Err(error) => Ended::Error(Box::new(Diagnostic::from(&error))),
    };
    let ended = match (session.broken(), ended) {
        (Some(error), Ended::Well | Ended::Error(_)) => {
            let error = Error::from_io(&error, "write to standard output").with_hint("whoever read it has gone");
            Ended::Error(Box::new(Diagnostic::from(&Error { kind: Kind::Io, ..error })))
        }
        (_, ended) => ended,
    };
    let mut refused = false;
    let code = match ended {
        Ended::Well => status::DONE,
        Ended::Exit(code) => code,
        Ended::Error(diagnostic) => {
            refused = session.refusal().is_some_and(|words| diagnostic.message.contains(&words));
            session.event(&Event::error(*diagnostic));
            status::FAILED
        }
        Ended::Signal(signal) => {
            session.event(&Event::error(Diagnostic::from(&crate::kernel::cancel::interrupted(signal))));
            128 + signal
        }
    };
    let (namespaces, links, processes) = if code == status::DONE { session.standing() } else { (0, 0, 0) };
    let (steps, simulated) = list.borrow().counts();
    // What a run would take back is taken back here, `on_rollback` and all; and what would stand ends with the sandbox.
    let status = if code == status::DONE && !args.rm { code } else { undo(&host, &list, code) };
    session.event(&Event::Planned {
        name: script.lab,
        steps,
        namespaces,
        links,
        processes,
        simulated,
        status,
        fails: code != status::DONE,
        refused,
    });
    drop(laid);
    status
}

/// Takes it back; the status is `code`, unless something differs from before.
fn undo(host: &Host, list: &List, code: i32) -> i32 {
    list.borrow_mut().close();
    let report = host.rollback();
    for message in &report.notes {
        host.session().event(&Event::Note { message: message.clone() });
    }
    if report.verified() {
        return code;
    }
    host.session().event(&rolled_back(report));
    status::NOT_EQUAL
}

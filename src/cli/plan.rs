//! `nsscript plan`: a script run in a copy of the world, to say what it would do.

use super::run::{Script, clear_the_way, mark, raise_limit, rolled_back};
use super::{Global, RunArgs, report_error, status};
use crate::builtins;
use crate::engine::{Ended, Host, Session, Setting};
use crate::kernel::Cancel;
use crate::kernel::linux::Linux;
use crate::kernel::linux::process::become_subreaper;
use crate::kernel::linux::rehearsal::Rehearsal;
use crate::plan::{Error, Kind, Result};
use crate::report::{Diagnostic, Event, JsonLines, Level, Listing, Sink, Terminal};
use std::cell::RefCell;
use std::rc::Rc;

type List = Rc<RefCell<Listing<Box<dyn Sink>>>>;

/// What was read before the sandbox was made.
pub struct Prepared {
    script: Script,
    /// A run would work on the machine itself.
    privileged: bool,
}

/// Reads the script, while the world is still in sight. Leaves no thread behind.
///
/// # Errors
/// The exit status, once the error is shown.
pub fn prepare(global: &Global, args: &RunArgs) -> std::result::Result<Prepared, i32> {
    let script = super::run::script(args).map_err(|error| {
        report_error(global, &error);
        status::USAGE
    })?;
    Ok(Prepared { script, privileged: global.host || crate::kernel::sandbox::privileged() })
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
    raise_limit();
    if let Err(error) = become_subreaper() {
        return report_error(global, &error);
    }
    let host = match Cancel::install().and_then(|cancel| host(args.args, &script, &list, cancel)) {
        Ok(host) => host,
        Err(error) => return report_error(global, &error),
    };
    let session = host.session().clone();
    if !global.sandbox && prepared.privileged {
        session.event(&Event::Warning {
            message: "plan: the machine's own namespaces, links and labs are not copied yet: the world is empty".into(),
            hint: None,
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

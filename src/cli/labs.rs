//! `ls`, `show`, `down`, `recover`: labs that stand, and what runs that were killed left.

use super::run::{rolled_back, took_down};
use super::{Global, report_error, status};
use crate::engine::session::observer;
use crate::kernel::Kernel;
use crate::kernel::linux::Linux;
use crate::plan::{Error, Kind, Result, ip};
use crate::report::{Diagnostic, Event};
use crate::txn::journal::{self, Standing, Story};
use crate::txn::labs::{self, Done, Health};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

/// The kernel, after a look at whether the folder of the labs may be read at all.
fn kernel() -> Result<Rc<dyn Kernel>> {
    match std::fs::read_dir(Path::new(journal::ROOT).join("labs")) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Error::new(Kind::Permission, format!("`{}` can't be read", journal::ROOT)).with_hint(
                "labs on the host are root's; what an ordinary user runs stands in a sandbox and goes with it",
            ))
        }
        _ => Ok(Rc::new(Linux::new()?)),
    }
}

/// Writes data to stdout; a reader that has gone is no error.
fn out(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Seconds as people say them.
fn ago(seconds: u64) -> String {
    match journal::seconds_now().saturating_sub(seconds) {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// One line of `ls`.
struct Row {
    name: String,
    since: String,
    counts: [usize; 3],
    state: String,
}

/// `None`: it has gone since it was listed.
fn row(kernel: &dyn Kernel, name: &str) -> Option<Row> {
    let plain = |state: String| Row { name: name.into(), since: "-".into(), counts: [0; 3], state };
    Some(match journal::standing(name) {
        // Until its commit is finished its journal tells also of what it replaced.
        Ok(Standing::Committed(story)) if labs::unfinished(&story) => {
            Row { since: ago(story.header.started), ..plain("killed: nsscript recover".into()) }
        }
        Ok(Standing::Committed(story)) => {
            let health = labs::health(kernel, &story);
            let state = match health.drift.len() {
                0 => "healthy".to_string(),
                n => format!("drifted ({n})"),
            };
            let counts = [health.namespaces.len(), health.links.len(), health.processes.len()];
            Row { name: name.into(), since: ago(story.committed.unwrap_or_default()), counts, state }
        }
        Ok(Standing::Running(header)) => {
            Row { since: header.as_ref().map_or_else(|| "-".into(), |h| ago(h.started)), ..plain("running".into()) }
        }
        Ok(Standing::Broken(story)) => {
            Row { since: ago(story.header.started), ..plain("killed: nsscript recover".into()) }
        }
        Ok(Standing::Void) => plain("of another boot".into()),
        Ok(Standing::Free) => return None,
        Err(error) => plain(error.to_string()),
    })
}

/// `nsscript ls`.
pub fn ls(global: &Global) -> i32 {
    let kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(error) => return report_error(global, &error),
    };
    let mut rows: Vec<Row> = journal::names().iter().filter_map(|name| row(&*kernel, name)).collect();
    rows.extend(labs::set_aside().into_iter().map(|name| Row {
        name,
        since: "-".into(),
        counts: [0; 3],
        state: "set aside: nsscript recover".into(),
    }));
    if global.json {
        for row in rows {
            let [namespaces, links, processes] = row.counts;
            out(&format!(
                "{}\n",
                json!({ "name": row.name, "since": row.since, "namespaces": namespaces, "links": links,
                        "processes": processes, "state": row.state })
            ));
        }
        return status::DONE;
    }
    if rows.is_empty() {
        if !global.quiet {
            eprintln!("no lab stands");
        }
        return status::DONE;
    }
    let width = rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0).max(4);
    out(&format!(
        "{:width$}  {:>7}  {:>10}  {:>5}  {:>9}  STATE\n",
        "NAME", "SINCE", "NAMESPACES", "LINKS", "PROCESSES"
    ));
    for row in rows {
        let [namespaces, links, processes] = row.counts;
        out(&format!(
            "{:width$}  {:>7}  {namespaces:>10}  {links:>5}  {processes:>9}  {}\n",
            row.name, row.since, row.state
        ));
    }
    status::DONE
}

fn story(name: &str) -> Result<Box<Story>> {
    journal::check_name(name)?;
    match journal::standing(name)? {
        Standing::Committed(story) | Standing::Broken(story) => Ok(story),
        Standing::Running(_) => Err(journal::taken(name)),
        Standing::Free | Standing::Void => {
            let all = journal::names();
            let error = Error::new(Kind::NotFound, format!("there is no lab `{name}`")).with_target(name);
            Err(match crate::plan::nearest(name, all.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint("`nsscript ls` lists those that stand"),
            })
        }
    }
}

/// `nsscript show NAME`.
pub fn show(global: &Global, name: &str) -> i32 {
    let prepared = kernel().and_then(|kernel| story(name).map(|story| (kernel, story)));
    let (kernel, story) = match prepared {
        Ok(both) => both,
        Err(error) => return report_error(global, &error),
    };
    let mut story = story;
    let unfinished = story.committed.is_some() && labs::unfinished(&story);
    if unfinished {
        // What cleared the way is nothing that the lab did.
        story.entries.retain(|e| e.seq >= story.cleared);
    }
    let health: Health = labs::health(&*kernel, &story);
    let steps: Vec<String> = story.entries.iter().filter_map(|e| e.verb.as_ref()).map(ip::equivalent).collect();
    if global.json {
        let processes: Vec<_> =
            health.processes.iter().map(|(pid, words)| json!({ "pid": pid, "command": words })).collect();
        out(&format!(
            "{}\n",
            json!({ "name": story.header.name, "script": story.header.script, "started": story.header.started,
                    "committed": story.committed, "namespaces": health.namespaces, "links": health.links,
                    "processes": processes, "drift": health.drift, "steps": steps })
        ));
        return status::DONE;
    }
    out(&format!("lab `{}` from {}, since {}\n", story.header.name, story.header.script, ago(story.header.started)));
    let list = |title: &str, all: &[String]| {
        if !all.is_empty() {
            out(&format!("{title}: {}\n", all.join(" ")));
        }
    };
    list("namespaces", &health.namespaces);
    list("links", &health.links);
    for (pid, words) in &health.processes {
        out(&format!("process {pid}: {words}\n"));
    }
    if unfinished {
        out("killed in its commit: `nsscript recover` finishes it\n");
    }
    for drift in &health.drift {
        out(&format!("drift: {drift}\n"));
    }
    out("steps:\n");
    for step in steps {
        out(&format!("  {step}\n"));
    }
    status::DONE
}

/// `nsscript down NAME…`.
pub fn down(global: &Global, names: &[String], all: bool) -> i32 {
    let listener = global.listener();
    let kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(error) => return report_error(global, &error),
    };
    let mut names = if all { standing_names() } else { names.to_vec() };
    // What came later may build on what came before.
    labs::in_order(&*kernel, &mut names);
    let mut result = status::DONE;
    for name in names {
        match labs::down(&kernel, &name, &mut || observer(&listener, global.wants_steps())) {
            Ok(report) => {
                for message in &report.notes {
                    listener.borrow_mut().event(&Event::Note { message: message.clone() });
                }
                if !report.verified() {
                    result = status::NOT_EQUAL;
                }
                listener.borrow_mut().event(&took_down(&name, report));
            }
            Err(error) => {
                listener.borrow_mut().event(&Event::error(Diagnostic::from(&error)));
                result = result.max(status::FAILED);
            }
        }
    }
    result
}

/// Labs that were committed.
fn standing_names() -> Vec<String> {
    let stands = |name: &String| matches!(journal::standing(name), Ok(Standing::Committed(_) | Standing::Void));
    journal::names().into_iter().filter(stands).collect()
}

/// `nsscript recover`.
pub fn recover(global: &Global) -> i32 {
    let listener = global.listener();
    let kernel = match kernel() {
        Ok(kernel) => kernel,
        Err(error) => return report_error(global, &error),
    };
    let mut result = status::DONE;
    let done = labs::recover(&kernel, None, &mut || observer(&listener, global.wants_steps()));
    if done.is_empty() {
        listener.borrow_mut().event(&Event::Note { message: "nothing to recover".into() });
    }
    for one in done {
        let words = one.words();
        match one.report {
            Ok(report) => {
                for message in &report.notes {
                    listener.borrow_mut().event(&Event::Note { message: message.clone() });
                }
                if !report.verified() {
                    result = status::NOT_EQUAL;
                }
                let mut listener = listener.borrow_mut();
                if one.done != Done::Undone && report.verified() {
                    listener.event(&Event::Note { message: words });
                    continue;
                }
                listener.event(&Event::Note { message: format!("run `{}` was killed", one.name) });
                listener.event(&rolled_back(report));
            }
            Err(error) => {
                listener.borrow_mut().event(&Event::error(Diagnostic::from(&error)));
                result = result.max(status::FAILED);
            }
        }
    }
    result
}

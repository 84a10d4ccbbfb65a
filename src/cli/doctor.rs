//! `nsscript doctor`: what this kernel and this user can do, as a table or as JSON.

use super::{Global, put, status};
use crate::kernel::linux::features::{Finding, State, Survey, survey};
use crate::report::Style;
use crate::report::diagnostic::wrap;
use std::fmt::Write as _;

/// Runs the command; returns the exit status. Leaves the process's namespaces: before any thread, and as the last thing.
pub fn run(global: &Global) -> i32 {
    let style = global.style_on(&std::io::stdout());
    let survey = survey();
    let text = if global.json {
        // Strings only: it always serializes.
        serde_json::to_string(&survey).unwrap_or_default() + "\n"
    } else {
        table(&survey, style)
    };
    match put(&text) {
        status::DONE if !survey.ok => status::FAILED,
        status => status,
    }
}

const AREAS: [(&str, &str); 7] = [
    ("base", "machine"),
    ("link", "link kinds"),
    ("qdisc", "queueing disciplines"),
    ("filter", "traffic filters"),
    ("action", "actions of filters"),
    ("other", "other"),
    ("program", "programs that help"),
];

fn table(survey: &Survey, style: Style) -> String {
    let mut out = String::new();
    for (area, title) in AREAS {
        let all: Vec<&Finding> = survey.findings.iter().filter(|f| f.area == area).collect();
        if all.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{}", style.paint("1", title));
        for finding in all {
            out.push_str(&line(finding, style));
        }
    }
    if survey.findings.iter().any(needs_option) {
        out.push_str("a missing option: `modprobe` its module as root, or boot another kernel\n");
    }
    let (color, verdict) = if survey.ok {
        ("1;32", "labs can be built here")
    } else {
        ("1;31", "labs can't be built here: see what says no above")
    };
    let _ = writeln!(out, "{}", style.paint(color, verdict));
    out
}

fn needs_option(finding: &Finding) -> bool {
    finding.note.starts_with("needs CONFIG_")
}

fn line(finding: &Finding, style: Style) -> String {
    const NAME: usize = 22;
    const STATE: usize = 8;
    let color = match finding.state {
        State::Yes => "32",
        State::Module | State::Unknown => "33",
        State::No => "31",
    };
    let state = style.paint(color, &format!("{:<STATE$}", finding.state.as_str()));
    let text = match (finding.note.is_empty(), finding.hint.is_empty()) {
        (_, true) => finding.note.clone(),
        // The same for all of them: said once, at the end.
        _ if needs_option(finding) => finding.note.clone(),
        (true, false) => finding.hint.clone(),
        (false, false) => format!("{}: {}", finding.note, finding.hint),
    };
    let indent = 2 + NAME + 1 + STATE;
    let pieces = wrap(&text, style.width.saturating_sub(indent).max(24));
    let mut out = format!("  {:<NAME$} {state}", finding.name);
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            let _ = write!(out, "\n{:indent$}", "");
        }
        out.push_str(piece);
    }
    format!("{}\n", out.trim_end())
}

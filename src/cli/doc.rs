//! `nsscript doc`: the reference in the terminal, as Markdown, and as definitions for editors.

use super::{Global, put, report_error, status};
use crate::builtins;
use crate::engine::docs::{self, Family, Reference};
use crate::engine::modules::STDLIB;
use crate::plan::{Error, Kind};
use crate::report::Style;
use clap::Args;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Args)]
pub struct DocArgs {
    /// A function (`netns_add`), a property (`link.mtu`) or a family (`route`); all without it
    pub name: Option<String>,
    /// The whole reference as Markdown
    #[arg(long, conflicts_with_all = ["name", "definitions"])]
    pub markdown: bool,
    /// Write definition files (`.d.rhai`) for editors into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub definitions: Option<PathBuf>,
}

/// The reference of this program.
#[must_use]
pub fn reference() -> Reference {
    Reference::of(builtins::modules(), STDLIB)
}

/// Runs the command; returns the exit status.
#[must_use]
pub fn run(global: &Global, args: &DocArgs) -> i32 {
    if let Some(dir) = &args.definitions {
        return match definitions(dir) {
            Ok(files) => put(&files),
            Err(error) => report_error(global, &error),
        };
    }
    let reference = reference();
    if args.markdown {
        return put(&reference.markdown());
    }
    let style = global.style_on(&std::io::stdout());
    let Some(name) = &args.name else {
        if global.json {
            return json(&reference.families);
        }
        // To be searched, a line is better whole.
        let width = if std::io::stdout().is_terminal() { style.width } else { usize::MAX };
        let lists: Vec<String> = reference.families.iter().map(|f| list(f, style, width)).collect();
        return put(&lists.join("\n"));
    };
    let standard;
    let mut found = reference.find(name);
    if found.is_empty()
        && let Some(family) = reference.family(name)
    {
        return if global.json { json(family) } else { put(&list(family, style, style.width)) };
    }
    if found.is_empty() {
        standard = docs::standard();
        found = standard.find(name);
    }
    if found.is_empty() {
        let error = Error::new(Kind::NotFound, format!("there is no function `{name}`")).with_target(name);
        let error = match reference.nearest(name) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("`nsscript doc` lists them all"),
        };
        report_error(global, &error);
        return status::FAILED;
    }
    if global.json {
        return json(&found);
    }
    let shown: Vec<String> = found.iter().map(|e| e.render(style)).collect();
    put(&shown.join("\n"))
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> i32 {
    // Strings only: it always serializes.
    put(&(serde_json::to_string(value).unwrap_or_default() + "\n"))
}

/// A family: its name, and one line for each function.
fn list(family: &Family, style: Style, width: usize) -> String {
    let mut out = style.paint("1", &family.heading()) + "\n";
    let column = family.entries.iter().map(|e| e.name.chars().count()).max().unwrap_or_default().min(24);
    for entry in &family.entries {
        let summary = entry.summary();
        let room = width.saturating_sub(column + 4);
        let summary = if summary.chars().count() > room {
            let dots = if style.unicode { "…" } else { "..." };
            let kept: String = summary.chars().take(room.saturating_sub(dots.chars().count())).collect();
            kept.trim_end().to_owned() + dots
        } else {
            summary
        };
        let line = format!("  {:<column$}  {summary}", entry.name);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Writes what editors read; returns the files' names, a line each.
fn definitions(dir: &Path) -> crate::plan::Result<String> {
    let failed = |path: &Path, e: std::io::Error| {
        Error::from_io(&e, format!("write `{}`", path.display())).with_target(path.display().to_string())
    };
    let mut engine = rhai::Engine::new();
    builtins::register(&mut engine);
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let mut names = String::new();
    for (name, text) in engine.definitions().iter_files() {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
        let _ = writeln!(names, "{}", path.display());
    }
    Ok(names)
}

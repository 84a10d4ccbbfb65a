//! The cases of tests/suite: each file a script, each script a process and a sandbox of its own.
//!
//! Comments in a case say what is expected; without any it has to exit with 0.
//!
//! | comment | meaning |
//! |---|---|
//! | `// expect: LINE` | the exact lines of stdout, in order; all of them |
//! | `// exit: 1` | the exit status; by default 0, or 1 where an error is expected |
//! | `// error: TEXT` | stderr has this text, whatever the line breaks (several) |
//! | `// no-error: TEXT` | stderr does not have it (several) |
//! | `// error-at: 7` | the first place that stderr names is line 7 of the case; or `module.rhai:7` |
//! | `// args: a b` | the script's arguments |
//! | `// flags: --rm` | more options of nsscript |
//! | `// needs: nft` | ignored where the program is missing (under CI=true a failure) |
//! | `// needs-kernel: vlan` | ignored where the kernel lacks the feature |
//!
//! Files whose names begin with `_` are modules that cases import. `cargo test --test suite -- netns/` runs one folder;
//! with `UPDATE=1` a failed case shows its whole output as `// expect:` lines, and writes nothing.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::{Case, flat, has_program, kernel_has, no_sandbox, strict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::path::{Path, PathBuf};

/// What the comments of a case say.
#[derive(Debug, Default)]
struct Wanted {
    lines: Vec<String>,
    exit: Option<i32>,
    errors: Vec<String>,
    no_errors: Vec<String>,
    error_at: Option<String>,
    args: Vec<String>,
    flags: Vec<String>,
    needs: Vec<String>,
    kernel: Vec<String>,
}

impl Wanted {
    fn read(text: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        for line in text.lines() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else { continue };
            let Some((key, value)) = comment.split_once(':') else { continue };
            // One blank after the colon; what follows is exact.
            let exact = value.strip_prefix(' ').unwrap_or(value);
            let words = || value.split_whitespace().map(str::to_string);
            match key {
                "expect" => wanted.lines.push(exact.to_string()),
                "exit" => {
                    wanted.exit = Some(exact.trim().parse().map_err(|_| format!("`{line}`: not a number"))?);
                }
                "error" => wanted.errors.push(flat(exact)),
                "no-error" => wanted.no_errors.push(flat(exact)),
                "error-at" => wanted.error_at = Some(exact.trim().to_string()),
                "args" => wanted.args.extend(words()),
                "flags" => wanted.flags.extend(words()),
                "needs" => wanted.needs.extend(words()),
                "needs-kernel" => wanted.kernel.extend(words()),
                _ => {}
            }
        }
        Ok(wanted)
    }

    fn code(&self) -> i32 {
        let fails = !self.errors.is_empty() || self.error_at.is_some();
        self.exit.unwrap_or_else(|| i32::from(fails))
    }
}

/// The first place that a diagnostic names: `tests/suite/a.rhai:3`.
fn place(stderr: &str) -> Option<String> {
    stderr.lines().find_map(|line| {
        let framed = line.trim_start().strip_prefix("╭─[").and_then(|rest| rest.split(']').next());
        let plain = || line.trim_start().strip_prefix("at ");
        let place = framed.or_else(plain)?;
        let mut parts = place.split(':');
        Some(format!("{}:{}", parts.next()?, parts.next()?.trim()))
    })
}

fn run(path: &Path, name: &str) -> Result<Completion, Failed> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let wanted = Wanted::read(&text)?;
    let missing: Vec<&String> = wanted.needs.iter().filter(|program| !has_program(program)).collect();
    if let Some(program) = missing.first() {
        let reason = format!("there is no program `{program}` here");
        return if strict() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
    }
    for feature in &wanted.kernel {
        if !kernel_has(feature)? {
            return Ok(Completion::ignored_with(format!("this kernel has no {feature}")));
        }
    }
    let relative = path.strip_prefix(common::root()).unwrap_or(path);
    let ended = common::run_case(&Case { flags: &wanted.flags, script: relative, args: &wanted.args })?;
    let mut problems = Vec::new();
    if ended.code() != wanted.code() {
        problems.push(format!("exit status {}, expected {}", ended.code(), wanted.code()));
    }
    let got: Vec<String> = ended.stdout.lines().map(str::to_string).collect();
    if !wanted.lines.is_empty() && wanted.lines != got {
        problems.push(format!("stdout (- expected, + got):\n{}", common::diff(&wanted.lines, &got)));
    }
    let said = flat(&ended.stderr);
    for error in wanted.errors.iter().filter(|e| !said.contains(e.as_str())) {
        problems.push(format!("stderr lacks: {error}"));
    }
    for error in wanted.no_errors.iter().filter(|e| said.contains(e.as_str())) {
        problems.push(format!("stderr should not have: {error}"));
    }
    if let Some(at) = &wanted.error_at {
        let full = match at.contains(':') {
            true => relative.with_file_name(at).to_string_lossy().into_owned(),
            false => format!("{}:{at}", relative.display()),
        };
        let found = place(&ended.stderr);
        if found.as_ref() != Some(&full) {
            problems.push(format!("the error is at {}, expected {full}", found.as_deref().unwrap_or("no place")));
        }
    }
    if problems.is_empty() {
        return Ok(Completion::Completed);
    }
    let mut report = problems.join("\n");
    if std::env::var_os("UPDATE").is_some() {
        report += "\n\nwhat came, as comments:\n";
        for line in &got {
            report += &format!("// expect: {line}\n");
        }
    } else if !got.is_empty() && wanted.lines.is_empty() {
        report += &format!("\nstdout:\n{}", ended.stdout);
    }
    report += &format!("\nstderr:\n{}", ended.stderr);
    let mut words = vec!["nsscript", "--sandbox"];
    words.extend(wanted.flags.iter().map(String::as_str));
    let script = relative.to_string_lossy();
    words.push(&script);
    words.extend(wanted.args.iter().map(String::as_str));
    report += &format!(
        "\nrun it alone: cargo test --test suite -- --exact {name}\nor: CASE_DIR=$(mktemp -d) target/debug/{}",
        words.join(" ")
    );
    Err(report.into())
}

/// The cases by name: the path below tests/suite without `.rhai`.
fn cases() -> Vec<(String, PathBuf)> {
    let dir = common::root().join("tests/suite");
    common::files(&dir, "rhai")
        .into_iter()
        .filter(|path| !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('_')))
        .map(|path| {
            let name = path.strip_prefix(&dir).unwrap_or(&path).with_extension("");
            (name.to_string_lossy().into_owned(), path)
        })
        .collect()
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Cases mostly wait for the kernel, so more of them at a time than there are processors.
    arguments.test_threads.get_or_insert(6);
    let trials = cases()
        .into_iter()
        .map(|(name, path)| {
            let case = name.clone();
            Trial::ignorable_test(name, move || match no_sandbox() {
                Some(reason) if strict() => Err(reason.into()),
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => run(&path, &case),
            })
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

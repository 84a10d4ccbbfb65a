//! Every example in the doc comments of the script functions, native and of the standard library, run in a sandbox of
//! its own: it has to exit with 0.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use common::{Case, Example, examples, no_sandbox, strict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::collections::BTreeMap;

/// Programs that examples run.
const PROGRAMS: &[&str] =
    &["bridge", "dig", "iperf3", "ip", "nc", "nft", "ping", "python3", "ss", "tc", "tcpdump", "wg"];

/// Whether the code runs a program: as the first word of a command, or in a line of shell.
fn runs(code: &str, program: &str) -> bool {
    ["exec_in(", "exec_all(", "start(", "sh("].iter().any(|call| {
        code.lines().filter(|l| l.contains(call)).any(|line| {
            [format!("\"{program} "), format!("\"{program}\""), format!("`{program} "), format!("| {program} ")]
                .iter()
                .any(|word| line.contains(word.as_str()))
        })
    })
}

fn run(example: &Example) -> Result<Completion, Failed> {
    let missing = PROGRAMS.iter().find(|p| runs(&example.code, p) && !common::has_program(p));
    if let Some(program) = missing {
        let reason = format!("there is no program `{program}` here");
        return if strict() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
    }
    for feature in common::features_called(&example.code) {
        if !common::kernel_has(feature)? {
            return Ok(Completion::ignored_with(format!("this kernel has no {feature}")));
        }
    }
    let folder = tempfile::tempdir().map_err(|e| format!("no temporary folder: {e}"))?;
    let script = common::write(folder.path(), "example.rhai", &example.code);
    let ended = common::run_case(&Case { flags: &[], script: &script, args: &[] })?;
    if ended.code() == 0 {
        return Ok(Completion::Completed);
    }
    Err(format!(
        "the example of `{}` ends with {}:\n\n{}\nstdout:\n{}\nstderr:\n{}",
        example.name,
        ended.code(),
        example.code,
        ended.stdout,
        ended.stderr
    )
    .into())
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(6);
    let mut by_name: BTreeMap<String, Vec<Example>> = BTreeMap::new();
    for function in common::functions().into_iter().chain(common::stdlib()) {
        let found = examples(&function.name, &function.comments);
        by_name.entry(function.name.replace('$', "_")).or_default().extend(found);
    }
    let mut trials = Vec::new();
    for (name, all) in by_name {
        let several = all.len() > 1;
        for (n, example) in all.into_iter().enumerate() {
            let name = if several { format!("{name}/{}", n + 1) } else { name.clone() };
            trials.push(Trial::ignorable_test(name, move || match no_sandbox() {
                Some(reason) if strict() => Err(reason.into()),
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => run(&example),
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

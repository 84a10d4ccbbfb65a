//! `nsscript` alone, and `nsscript repl`: an interactive session.

use super::run::{mark, read};
use super::{Global, report_error, status};
use crate::engine::Setting;
use crate::kernel::Cancel;
use crate::kernel::linux::Linux;
use crate::kernel::sandbox::{self, State};
use crate::plan::Result;
use crate::report::Event;
use clap::Args;
use std::rc::Rc;

/// What a session is given.
#[derive(Clone, Debug, Args)]
pub struct ReplArgs {
    /// The name of the lab that `:commit` makes
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A script to run first
    pub file: Option<String>,
    /// Its arguments, `args()` in the session
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// What is learnt.
#[derive(Clone, Debug, Args)]
pub struct LearnArgs {
    /// The lesson: a number, or a part of its name; all of them without it
    pub lesson: Option<String>,
}

/// Goes through the tutorial; returns the exit status.
pub fn learn(global: &Global, args: LearnArgs, state: &State) -> i32 {
    let none = ReplArgs { name: None, file: None, args: Vec::new() };
    start(global, none, Some(args.lesson.unwrap_or_default()), state)
}

/// Runs a session; returns the exit status.
pub fn run(global: &Global, args: ReplArgs, state: &State) -> i32 {
    start(global, args, None, state)
}

fn start(global: &Global, args: ReplArgs, learn: Option<String>, state: &State) -> i32 {
    let file = match args.file.map(|file| read(&file).map(|text| (file, text))).transpose() {
        Ok(file) => file,
        Err(error) => {
            report_error(global, &error);
            return status::USAGE;
        }
    };
    let inside = matches!(state, State::Inside(_));
    let prepare = || -> Result<crate::repl::Start> {
        crate::kernel::linux::process::become_subreaper()?;
        let mark = mark();
        let setting = Setting {
            linux: Rc::new(Linux::new()?),
            cancel: Cancel::install()?,
            listener: global.listener(),
            steps: global.wants_steps(),
            args: args.args,
            script: "an interactive session".into(),
            // A pid comes again: a session that was killed may have left its journal under this one's.
            name: format!("repl-{}-{}", std::process::id(), mark.get(..4).unwrap_or_default()),
            mark,
        };
        if let State::Inside(info) = state {
            setting.listener.borrow_mut().event(&Event::Note { message: sandbox::describe(info) });
            sandbox::hide_etc()?;
        }
        Ok(crate::repl::Start {
            style: global.style_on(&std::io::stdout()),
            sandbox: inside,
            name: args.name,
            file,
            learn,
            quiet: global.quiet,
            json: global.json,
            setting,
        })
    };
    match prepare() {
        Ok(start) => crate::repl::run(start),
        Err(error) => report_error(global, &error),
    }
}

//! The interactive session, on a pseudo-terminal as a person has it: what is typed, what is seen, and what the kernel has
//! afterwards. Each case in namespaces of its own, in which it is root; nsscript runs in them as on a host (`--host`).

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

#[path = "repl/commands.rs"]
mod commands;
#[path = "repl/lessons.rs"]
mod lessons;
#[path = "repl/programs.rs"]
mod programs;
#[path = "repl/saves.rs"]
mod saves;
#[path = "repl/seed.rs"]
mod seed;
#[path = "repl/session.rs"]
mod session;
#[path = "repl/tty.rs"]
mod tty;
#[path = "repl/typing.rs"]
mod typing;

use common::frame::{self, Frame};
use tty::{Case, Done};

fn cases() -> impl Iterator<Item = &'static (&'static str, Case)> {
    [session::CASES, typing::CASES, commands::CASES, lessons::CASES, seed::CASES, programs::CASES, saves::CASES]
        .into_iter()
        .flatten()
}

fn inside(name: &str) -> Done {
    let (_, case) = cases().find(|(n, _)| *n == name).ok_or("no such case")?;
    case()
}

fn main() {
    let frame = Frame { program: "repl", threads: 4, bound: common::LONG, needs: frame::nothing, inside };
    frame.main(cases().map(|(name, _)| (*name).to_string()));
}

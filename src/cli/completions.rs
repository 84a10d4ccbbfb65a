//! `nsscript completions`: scripts that complete the command line, from the same source as its help.

use super::{Cli, put};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the script; returns the exit status.
pub fn run(args: &CompletionsArgs) -> i32 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nsscript", &mut script);
    put(&String::from_utf8_lossy(&script))
}

//! The command line: arguments, exit codes, and what each command does.

mod completions;
pub mod doc;
mod doctor;
mod labs;
mod monitor;
mod netns;
mod plan;
mod repl;
mod run;

use crate::kernel::sandbox::{self, State, Wish};
use crate::plan::Error;
use crate::report::{Diagnostic, Event, JsonLines, Level, Sink, Style, Terminal};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Exit statuses (README, "Exit codes").
pub mod status {
    pub const DONE: i32 = 0;
    pub const FAILED: i32 = 1;
    pub const USAGE: i32 = 2;
    pub const NOT_EQUAL: i32 = 3;
}

/// Runs scripts that build network-namespace labs, all or nothing.
///
/// `nsscript lab.rhai` builds the lab and leaves it standing; any error on the way takes everything back. `nsscript` alone
/// is an interactive session.
#[derive(Debug, Parser)]
#[command(name = "nsscript", version, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Show each step as it happens, with the `ip` command that does the same
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Run, and print only the equivalent `ip` commands
    #[arg(long, global = true, conflicts_with = "verbose")]
    pub explain: bool,
    /// Events as JSON lines on stdout
    #[arg(long, global = true, conflicts_with_all = ["explain", "quiet"])]
    pub json: bool,
    /// Only errors and what the script prints
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "explain"])]
    pub quiet: bool,
    /// Colours on stderr
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Run in user, network, mount and pid namespaces of its own, also as root: gone at the end
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// Never run in a sandbox
    #[arg(long, global = true, conflicts_with = "sandbox")]
    pub host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// What is run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Run this text
    #[arg(short, value_name = "CODE", conflicts_with = "file")]
    pub execute: Option<String>,
    /// Take everything down when the script has ended
    #[arg(long)]
    pub rm: bool,
    /// Put the lab in the place of the one of its name that stands; if the script fails, that one stands as before
    #[arg(long)]
    pub replace: bool,
    /// The lab's name; by default the file's, without `.rhai`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// End the script with an error, and undo it, after so many operations of its own (a loop without an end); none by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_operations: Option<u64>,
    /// The script; `-` is standard input
    pub file: Option<String>,
    /// Its arguments, `args()` in the script
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Look for mistakes without running: syntax, imports, unknown functions, wrong argument counts
    Check {
        /// The scripts; `-` is standard input
        #[arg(required = true)]
        files: Vec<String>,
    },
    /// Say what a script would do, and change nothing: every step with its `ip` command, and what would fail
    ///
    /// The script runs in a copy of the world: a sandbox with the same namespaces, links, addresses, routes and labs. Programs
    /// do not run there (they are taken to end with status 0), and files are written in memory only; each such
    /// result is marked as simulated. The exit status is that of a run.
    Plan(RunArgs),
    /// Does nothing until it is ended: what stands for a program in a plan
    #[command(hide = true)]
    Placeholder,
    /// List the labs that stand
    Ls,
    /// Show one lab: what it made, what runs in it, what has changed since
    Show { name: String },
    /// Take labs down: what they made goes, what they changed is set back
    Down {
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All labs that stand, the last first
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Undo what runs that were killed left open
    Recover,
    /// Explain a function, or list them all
    Doc(doc::DocArgs),
    /// An interactive session, after a script where one is given; also what `nsscript` alone is
    Repl(repl::ReplArgs),
    /// Go through the tutorial step by step, in a sandbox unless `--host` is given
    Learn(repl::LearnArgs),
    /// Find out what this kernel and this user can do
    Doctor,
    /// Do what `ip netns` does, all or nothing
    Netns(netns::NetnsArgs),
    /// Show namespaces, links, addresses, routes and neighbours as they change
    Monitor(monitor::MonitorArgs),
    /// Print a shell's completion script
    Completions(completions::CompletionsArgs),
}

impl Global {
    /// How to draw on stderr.
    fn style(&self) -> Style {
        self.style_on(&std::io::stderr())
    }

    /// How to draw on one of our outputs.
    fn style_on(&self, output: &(impl std::io::IsTerminal + AsRawFd)) -> Style {
        let terminal = output.is_terminal();
        let dumb = std::env::var("TERM").is_ok_and(|t| t == "dumb");
        let color = match self.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org
            Color::Auto => terminal && !dumb && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        let utf8 = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .is_some_and(|v| v.to_lowercase().contains("utf"));
        Style { color, unicode: utf8 && !dumb, width: width(output) }
    }

    fn level(&self) -> Level {
        match (self.quiet, self.verbose, self.explain) {
            (true, ..) => Level::Quiet,
            (_, true, _) => Level::Verbose,
            (_, _, true) => Level::Explain,
            _ => Level::Normal,
        }
    }

    /// Whether each step is to be told.
    fn wants_steps(&self) -> bool {
        self.verbose || self.explain || self.json
    }

    /// Where events go.
    fn listener(&self) -> Rc<RefCell<dyn Sink>> {
        if self.json {
            Rc::new(RefCell::new(JsonLines::stdout()))
        } else {
            Rc::new(RefCell::new(Terminal::standard(self.level(), self.style())))
        }
    }

    fn wish(&self) -> Wish {
        match (self.sandbox, self.host) {
            (true, _) => Wish::Always,
            (_, true) => Wish::Never,
            _ => Wish::Auto,
        }
    }
}

/// Columns of the terminal; 80 elsewhere.
fn width(output: &impl AsRawFd) -> usize {
    terminal_columns(output).filter(|c| *c >= 20).unwrap_or(80)
}

fn terminal_columns(output: &impl AsRawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the pointer is to a local of the type that TIOCGWINSZ fills (ioctl_tty(2)).
    let done = unsafe { libc::ioctl(output.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (done == 0).then(|| usize::from(size.ws_col))
}

/// The arguments with the options of every command behind the command: `--json netns list` as `netns --json list`. In
/// front of it clap would take the command for a file, since a script's own arguments may be called like commands.
fn arguments(mut args: Vec<OsString>) -> Vec<OsString> {
    const FLAGS: [&str; 8] = ["-v", "--verbose", "--explain", "--json", "-q", "--quiet", "--sandbox", "--host"];
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|a| a.to_str()) {
        at += match arg {
            "--color" => 2,
            _ if FLAGS.contains(&arg) || arg.starts_with("--color=") => 1,
            _ => break,
        };
    }
    if let Some(word) = args.get(at).filter(|_| at > 1)
        && Cli::command().get_subcommands().any(|c| word == c.get_name())
    {
        args[1..=at].rotate_right(1);
    }
    netns::dashes(args.into_iter())
}

/// Runs the command line and returns the exit status. Called before any thread exists: a sandbox needs that.
#[must_use]
pub fn main() -> i32 {
    let cli = Cli::parse_from(arguments(std::env::args_os().collect()));
    let global = cli.global.clone();
    // Leaves our namespaces, which a process with threads may not.
    if matches!(cli.command, Some(Command::Doctor)) {
        return doctor::run(&global);
    }
    if matches!(cli.command, Some(Command::Placeholder)) {
        return placeholder();
    }
    let planned = match &cli.command {
        Some(Command::Plan(args)) => match plan::prepare(&global, args) {
            Ok(prepared) => Some(prepared),
            Err(status) => return status,
        },
        _ => None,
    };
    let needs_sandbox = matches!(cli.command, None | Some(Command::Repl(_) | Command::Learn(_)));
    let state = if needs_sandbox || planned.is_some() {
        let learn = matches!(cli.command, Some(Command::Learn(_))) && !global.host;
        let wish = if planned.is_some() || learn { Wish::Always } else { global.wish() };
        match sandbox::enter(wish) {
            Ok(state) => state,
            Err(error) => return report_error(&global, &error),
        }
    } else {
        State::Host
    };
    run::raise_limit();
    // Scripts may nest deeply: they run on a stack of their own, of which only what is used costs memory.
    let thread = std::thread::Builder::new().name("script".into()).stack_size(256 << 20).spawn(move || {
        crate::phase::start();
        let status = match cli.command {
            Some(Command::Check { files }) => run::check(&global, &files),
            Some(Command::Completions(args)) => completions::run(&args),
            Some(Command::Doc(args)) => doc::run(&global, &args),
            Some(Command::Doctor) => status::DONE, // done above
            Some(Command::Ls) => labs::ls(&global),
            Some(Command::Monitor(args)) => monitor::run(&global, &args),
            Some(Command::Netns(args)) => netns::run(&global, args),
            Some(Command::Learn(args)) => repl::learn(&global, args, &state),
            Some(Command::Repl(args)) => repl::run(&global, args, &state),
            Some(Command::Placeholder) => status::DONE, // done above
            Some(Command::Plan(args)) => planned.map_or(status::FAILED, |prepared| plan::run(&global, args, prepared)),
            Some(Command::Show { name }) => labs::show(&global, &name),
            Some(Command::Down { names, all }) => labs::down(&global, &names, all),
            Some(Command::Recover) => labs::recover(&global),
            None if cli.run.file.is_none() && cli.run.execute.is_none() => {
                repl::run(&global, repl::ReplArgs { name: cli.run.name, file: None, args: Vec::new() }, &state)
            }
            None => run::run(&global, cli.run, &state),
        };
        if let Some(report) = crate::phase::report() {
            eprintln!("{report}");
        }
        status
    });
    crate::kernel::cancel::unheard();
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        Ok(Err(_)) => {
            eprintln!("nsscript: panicked, which is a mistake in nsscript: please report it");
            status::FAILED
        }
        Err(error) => {
            eprintln!("nsscript: no thread can be started: {error}");
            status::FAILED
        }
    }
}

/// Waits for the end.
fn placeholder() -> i32 {
    loop {
        nix::unistd::pause();
    }
}

/// Writes data to stdout; returns the exit status. A reader that has gone (`| head`) has read what it wanted.
fn put(text: &str) -> i32 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("nsscript: write to standard output: {e}");
            status::FAILED
        }
        _ => status::DONE,
    }
}

/// Shows an error of before the run; returns the exit status.
fn report_error(global: &Global, error: &Error) -> i32 {
    global.listener().borrow_mut().event(&Event::error(Diagnostic::from(error)));
    status::FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_may_stand_before_the_command() {
        for (given, want) in [
            ("nsscript --json netns list", "nsscript netns --json list"),
            ("nsscript -v --color never check a.rhai", "nsscript check -v --color never a.rhai"),
            ("nsscript -v lab.rhai check", "nsscript -v lab.rhai check"),
            ("nsscript -e 1 check", "nsscript -e 1 check"),
            ("nsscript netns -all del", "nsscript netns --all del"),
            ("nsscript -v netns -all del", "nsscript netns -v --all del"),
            ("nsscript -v", "nsscript -v"),
            ("nsscript", "nsscript"),
        ] {
            let words = arguments(given.split(' ').map(OsString::from).collect());
            let words: Vec<_> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
            assert_eq!(words.join(" "), want);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

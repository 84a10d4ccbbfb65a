//! `ip`: the commands of iproute2, understood and done here (no `ip` program is called), so that undo covers them.

mod kinds;
mod link;
mod netns;
mod policy;
mod records;
mod select;
mod show;
mod text;

pub use text::keywords;

use super::route::table;
use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, Opts, run};
use crate::plan::ipwords::{Command, Line, Options, Word, parse, parse_command, split, words};
use crate::plan::{Error, Kind, Ns, Result};
use crate::report::Event;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

/// What a command gives back.
pub enum Answer {
    /// It changed something, or would have.
    Nothing,
    /// As `ip` prints it.
    Text(String),
    /// As of `-j`.
    Data(Array),
}

impl Answer {
    fn value(self) -> Dynamic {
        match self {
            Answer::Nothing => Dynamic::UNIT,
            Answer::Text(text) => text.into(),
            Answer::Data(all) => all.into(),
        }
    }
}

/// Where a command works, and how it shows.
pub struct Place<'s> {
    pub session: &'s Session,
    pub ns: Ns,
    pub options: Options,
    /// Whether programs write to where nsscript writes, as they run.
    pub tee: bool,
}

impl Place<'_> {
    /// A device by its word.
    pub fn device(&self, word: &Word) -> Result<Device> {
        device(self.session, &self.ns, word)
    }

    /// ifindex and name.
    pub fn index(&self, word: &Word) -> Result<(u32, String)> {
        self.device(word).map(|d| (d.link.index, d.link.name))
    }
}

/// A device of a namespace by its word; an error has the word's place.
fn device(session: &Session, ns: &Ns, word: &Word) -> Result<Device> {
    value::find(session, ns, &word.text).map_err(|e| placed(word, e))
}

/// An error about a word, with its place in the line; namespace, errno and hint stay.
fn placed(word: &Word, error: Error) -> Error {
    Error { message: words::place(word, error.clone()).message, ..error }
}

/// A namespace as `ip` takes one: a name, a process's number, or a path.
fn namespace(session: &Session, word: &Word) -> Result<Ns> {
    let text = word.text.as_str();
    let error = match (text.starts_with('/'), session.kernel().find_ns(text)) {
        (false, Ok(ns)) => return Ok(ns),
        (false, Err(error)) => Some(error),
        (true, _) => None,
    };
    let path = match text.parse::<u32>() {
        Ok(pid) => format!("/proc/{pid}/ns/net"),
        Err(_) if error.is_none() => text.to_string(),
        Err(_) => return Err(placed(word, error.unwrap_or_else(|| Error::internal("no error")))),
    };
    let found = netns::by_file(session, &path)
        .map_err(|e| placed(word, Error::new(Kind::NotFound, format!("no namespace: {}", e.message))))?;
    found.ok_or_else(|| word.bad("that namespace has no name here").with_hint("netns_attach(name, pid) gives it one"))
}

/// Understands a line and does it.
fn line(session: &Session, ns: Option<&Dynamic>, text: &str, options: Map) -> Result<Dynamic> {
    let tee = Opts::new("ip", options, &["tee"])?.bool("tee")?.unwrap_or(false);
    let all = split(text)?;
    let ns = match ns {
        Some(ns) => value::ns(session, ns)?,
        None => session.current(),
    };
    perform(session, ns, &all, tee).map(Answer::value)
}

/// Understands words and does them in `ns`.
fn perform(session: &Session, ns: Ns, all: &[Word], tee: bool) -> Result<Answer> {
    let tables = if all.iter().any(|w| w.matches("table") || w.is("lookup")) { table::names() } else { Vec::new() };
    let Line { options, command } = parse(all, &tables)?;
    let ns = match &options.netns {
        Some(word) => namespace(session, word)?,
        None => ns,
    };
    let place = Place { session, ns: ns.clone(), options, tee };
    session.within(ns, || match command {
        Command::Batch(file, force) => batch(&place, &file, force),
        other => command_of(&place, other),
    })
}

/// A command that is no batch.
fn command_of(place: &Place<'_>, command: Command) -> Result<Answer> {
    match command {
        Command::Batch(..) => Err(Error::internal("a batch within a batch")),
        Command::Help(object) => Ok(Answer::Text(text::help(object).into())),
        Command::Version => Ok(Answer::Text(format!("nsscript {}", env!("CARGO_PKG_VERSION")))),
        Command::Netns(command) => netns::perform(place, command),
        Command::Link(command) => link::perform(place, command),
        Command::Addr(command) => records::addr(place, command),
        Command::Route(command) => records::route(place, command),
        Command::Neigh(command) => records::neigh(place, command),
        Command::Rule(command) => policy::rule(place, command),
        Command::Nexthop(command) => policy::nexthop(place, command),
    }
}

/// The lines of a batch, with the number of each (`do_batch`, ip/ip.c): `\` at the end of a line goes on in the next.
fn batch_lines(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (n, line) in text.lines().enumerate() {
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |l| (l, true));
        match found.last_mut().filter(|_| open) {
            Some((_, begun)) => *begun += part,
            None => found.push((n + 1, part.to_owned())),
        }
        open = more;
    }
    found
}

/// `-batch FILE`: its lines, all or nothing. With `-force` each is that by itself, and the error of one that fails is a
/// warning.
fn batch(place: &Place<'_>, file: &Word, force: bool) -> Result<Answer> {
    if file.is("-") {
        return Err(file
            .error(Kind::Unsupported, "standard input is not read here")
            .with_hint("give a file, or the lines themselves, each as a line of its own"));
    }
    let text = std::fs::read_to_string(&file.text)
        .map_err(|e| placed(file, Error::from_io(&e, format!("read `{}`", file.text))))?;
    let (mut texts, mut data) = (Vec::new(), Array::new());
    let mut one = |number: usize, line: &str| -> Result<()> {
        let work = || {
            let all = split(line)?;
            if all.is_empty() {
                return Ok(Answer::Nothing);
            }
            let named = all.iter().any(|w| w.matches("table") || w.is("lookup"));
            let tables = if named { table::names() } else { Vec::new() };
            command_of(place, parse_command(&all, &Options { tables, ..place.options.clone() })?)
        };
        let done = if force { place.session.atomic(work) } else { work() };
        match done.map_err(|e| Error { message: format!("{}:{number}: {}", file.text, e.message), ..e })? {
            Answer::Nothing => {}
            Answer::Text(text) => texts.push(text),
            Answer::Data(mut all) => data.append(&mut all),
        }
        Ok(())
    };
    let lines = batch_lines(&text);
    if force {
        for (number, line) in &lines {
            match one(*number, line) {
                Err(error) if error.kind != Kind::Interrupted => {
                    place.session.event(&Event::Warning { message: error.message, hint: error.hint });
                }
                done => done?,
            }
        }
    } else {
        place.session.atomic(|| lines.iter().try_for_each(|(number, line)| one(*number, line)))?;
    }
    Ok(match (texts.is_empty(), data.is_empty()) {
        (true, true) => Answer::Nothing,
        (_, false) => Answer::Data(data),
        _ => Answer::Text(texts.join("\n")),
    })
}

#[export_module]
pub mod functions {
    /// Does what the words of an `ip` command say, as iproute2 understands them (ip(8)), but natively: no `ip` program is
    /// called, and what it changes is undone like everything else. The word `ip` at the front may be there or not;
    /// keywords may be cut to their beginnings as with `ip` (`ip a`, `ip r s`); what follows a word that begins with `#` or
    /// `//` is a comment.
    ///
    /// Understood: `ip netns` with all of its commands, `link`, `address`, `route`, `neighbour`, `rule`, `nexthop` with `add`, `change`,
    /// `replace`, `delete`, `show`, `flush` and `get`, and the options `-n NS`, `-4`, `-6`, `-f`, `-d`, `-s`, `-br`, `-j`, `-o`,
    /// `-all`, `-batch FILE` (all of its lines or none; with `-force` what fails is a warning). `docs/ip-syntax.md` says how it was compared with `ip`, and what differs.
    ///
    /// Works in the current namespace, or in `ns`; `-n` in the line goes before. Returns `()` where something was changed;
    /// for `show`, `get` and the like a text as `ip` prints it, or with `-j` an array of maps with the keys of `ip -j` (a key
    /// is there only where `ip` writes it). `netns exec` returns the command's output, without the last newline; with option
    /// `tee: true` the output is also shown while the command runs. A command that is itself `ip …` is done natively, in that
    /// namespace; `ping` is, where there is no ping program.
    ///
    /// Errors: `invalid` for a word that can't stand where it stands, `unsupported` for what only `ip` itself knows: both
    /// name the word and its place, and nothing was changed; else those of the functions that do the same.
    ///
    /// ```rhai
    /// ip("netns add h1");
    /// ip("link add veth0 type veth peer name veth1 netns h1");
    /// ip("ip -n h1 addr add 10.0.1.2/24 dev veth1");
    /// ip("ip netns exec h1 ip link set veth1 up");
    /// ip("h1", "link set lo up");
    /// assert_eq(ip("h1", "-j addr show veth1")[0].addr_info[0].local, "10.0.1.2");
    /// assert_eq(ip("-n h1 -br link show lo").split(" ")[0], "lo");
    /// ```
    #[rhai_fn(name = "ip", return_raw)]
    pub fn ip(ctx: NativeCallContext, line: &str) -> Fallible<Dynamic> {
        run(&ctx, |s| super::line(s, None, line, Map::new()))
    }

    #[rhai_fn(name = "ip", return_raw)]
    pub fn ip_with(ctx: NativeCallContext, line: &str, options: Map) -> Fallible<Dynamic> {
        run(&ctx, |s| super::line(s, None, line, options))
    }

    #[rhai_fn(name = "ip", return_raw)]
    pub fn ip_in(ctx: NativeCallContext, ns: Dynamic, line: &str) -> Fallible<Dynamic> {
        run(&ctx, |s| super::line(s, Some(&ns), line, Map::new()))
    }

    #[rhai_fn(name = "ip", return_raw)]
    pub fn ip_in_with(ctx: NativeCallContext, ns: Dynamic, line: &str, options: Map) -> Fallible<Dynamic> {
        run(&ctx, |s| super::line(s, Some(&ns), line, options))
    }
}

//! `ip netns …` (ip-netns(8)).

use super::{Options, Word, Words, keyword};
use crate::plan::error::Result;

/// What is done with namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netns {
    List,
    Add(Word),
    /// A name, and a process.
    Attach(Word, u32),
    /// A name, and the nsid; `None`: `auto`.
    Set(Word, Option<i32>),
    Delete(Word),
    DeleteAll,
    /// `None`: the caller's own.
    Identify(Option<u32>),
    Pids(Word),
    /// A name, and the words of the command.
    Exec(Word, Vec<Word>),
    ExecAll(Vec<Word>),
    Monitor,
    /// `target-nsid`, `nsid`.
    ListId(Option<u32>, Option<u32>),
}

pub(super) const VERBS: &[&str] = &[
    "list", "show", "lst", "list-id", "help", "add", "set", "delete", "identify", "pids", "exec", "monitor", "attach",
];

fn name<'w>(words: &mut Words<'w>, verb: &Word) -> Result<&'w Word> {
    words.next().ok_or_else(|| verb.bad("no namespace is named").with_hint("ip netns VERB NAME"))
}

fn pid(word: &Word) -> Result<u32> {
    word.text.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| word.bad("a process's number is expected here"))
}

/// Reads what follows `ip netns`; `None`: help is asked for.
///
/// # Errors
/// `invalid`.
pub fn parse(mut words: Words<'_>, options: &Options) -> Result<Option<Netns>> {
    let Some(verb) = words.next() else { return Ok(Some(Netns::List)) };
    let Some(which) = keyword(verb, VERBS) else { return Err(verb.unknown("netns", VERBS.iter().copied())) };
    let command = match which {
        "list" | "show" | "lst" => Netns::List,
        "help" => return Ok(None),
        "add" => Netns::Add(name(&mut words, verb)?.clone()),
        "attach" => {
            let name = name(&mut words, verb)?.clone();
            let process = words.next().ok_or_else(|| verb.bad("no process is given"))?;
            Netns::Attach(name, pid(process)?)
        }
        "set" => {
            let name = name(&mut words, verb)?.clone();
            let id = words.next().ok_or_else(|| verb.bad("no nsid is given"))?;
            let number = match id.text.as_str() {
                "auto" => None,
                _ => Some(id.text.parse().ok().filter(|n| *n >= 0).ok_or_else(|| id.bad("this is no nsid"))?),
            };
            Netns::Set(name, number)
        }
        "delete" if options.all => Netns::DeleteAll,
        "delete" => Netns::Delete(name(&mut words, verb)?.clone()),
        "identify" => Netns::Identify(words.next().map(pid).transpose()?),
        "pids" => Netns::Pids(name(&mut words, verb)?.clone()),
        "exec" => {
            let name = if options.all { None } else { Some(name(&mut words, verb)?.clone()) };
            let command = words.rest().to_vec();
            if command.is_empty() {
                return Err(verb.bad("no command is given").with_hint("ip netns exec NAME COMMAND …"));
            }
            return Ok(Some(name.map_or_else(|| Netns::ExecAll(command.clone()), |n| Netns::Exec(n, command.clone()))));
        }
        "monitor" => Netns::Monitor,
        _ => {
            let (mut target, mut only) = (None, None);
            while let Some(word) = words.next() {
                match word.text.as_str() {
                    "target-nsid" => target = Some(words.u32(word)?),
                    "nsid" => only = Some(words.u32(word)?),
                    _ => return Err(word.unknown("netns list-id", ["target-nsid", "nsid"])),
                }
            }
            Netns::ListId(target, only)
        }
    };
    words.end("netns")?;
    Ok(Some(command))
}

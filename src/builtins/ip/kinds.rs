//! The words after `type KIND`, by the kinds' own tables (`builtins/link/KIND.rs`): a kind that is added there is
//! understood here.

use crate::builtins::link::kind::{Choice, Type, encode};
use crate::builtins::link::{port_table, table};
use crate::engine::value::Opts;
use crate::plan::ipwords::{Word, Words, words::parse_number};
use crate::plan::{KindOption, Result};
use rhai::{Dynamic, INT, Map};

/// The options of a kind, or (`bridge_slave`) of a port of a kind.
///
/// # Errors
/// `unsupported` for a kind without a table, `invalid` for words that are not in it.
pub fn options(kind: &Word, all: &[Word]) -> Result<Vec<KindOption>> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let table = match kind.text.strip_suffix("_slave") {
        Some(of) => port_table(of),
        None => table(&kind.text),
    };
    if table.is_empty() {
        return match all.first() {
            Some(word) if crate::builtins::link::is_known(&kind.text) => {
                Err(word.unknown(&format!("link … type {}", kind.text), []))
            }
            _ => Err(kind.unsupported("link")),
        };
    }
    let mut map = Map::new();
    let mut from: Vec<(&str, &Word)> = Vec::new();
    let mut words = Words::new(all);
    while let Some(word) = words.next() {
        let Some(choice) = find(table, word) else {
            return Err(word.unknown(&format!("link … type {}", kind.text), table.iter().map(|c| c.word)));
        };
        let value = words.value(word)?;
        map.insert(choice.key.into(), given(choice, value)?);
        from.push((choice.key, value));
    }
    let known: Vec<&str> = table.iter().map(|c| c.key).collect();
    encode(table, &Opts::new(&kind.text, map, &known)?).map_err(|error| {
        let word = from.iter().find(|(key, _)| *key == error.target).map(|(_, word)| *word);
        word.map_or(error.clone(), |word| super::placed(word, error))
    })
}

/// The row of a word: as it is, else the first that it begins.
fn find<'t>(table: &'t [Choice], word: &Word) -> Option<&'t Choice> {
    table.iter().find(|c| word.is(c.word)).or_else(|| table.iter().find(|c| word.matches(c.word)))
}

/// A value as a script would give it.
fn given(choice: &Choice, word: &Word) -> Result<Dynamic> {
    let number = || {
        parse_number(&word.text)
            .and_then(|n| INT::try_from(n).ok())
            .ok_or_else(|| word.bad(format!("`{}` needs a number", choice.word)))
    };
    Ok(match choice.kind {
        Type::Bool | Type::Bool32 => match word.text.as_str() {
            "on" => true.into(),
            "off" => false.into(),
            _ => (number()? != 0).into(),
        },
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => number()?.into(),
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, at most 2^32")]
        Type::Seconds => (number()? as f64 / 100.0).into(),
        _ => word.text.clone().into(),
    })
}

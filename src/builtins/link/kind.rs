//! The options of a link's kind as a table: the same rows encode what a script gives, decode what the kernel shows,
//! and write the words of `ip link`.

use crate::engine::value::{Opts, what};
use crate::plan::{Error, KindOption, Result, link, nla};
use rhai::{Dynamic, INT, Map};

/// How an attribute is written.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A byte that is 0 or 1.
    Bool,
    /// A u32 that is 0 or 1.
    Bool32,
    U8,
    U16,
    U32,
    U64,
    /// Seconds in a script, hundredths in the kernel (`USER_HZ`).
    Seconds,
    /// Six bytes.
    Mac,
    /// A u16 in network order, by name: `vlan_protocol`.
    EtherType,
    /// A byte, by name.
    Names8(&'static [(&'static str, u8)]),
}

/// One option of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The key in scripts.
    pub key: &'static str,
    /// The attribute in `IFLA_INFO_DATA` (or `IFLA_INFO_SLAVE_DATA`).
    pub code: u16,
    pub kind: Type,
    /// The keyword of `ip link`.
    pub word: &'static str,
}

const ETHER_TYPES: &[(&str, u16)] = &[("802.1Q", 0x8100), ("802.1ad", 0x88a8)];

/// The options given, as attributes.
///
/// # Errors
/// `invalid`: a value of the wrong type or out of range.
pub fn encode(table: &[Choice], opts: &Opts) -> Result<Vec<KindOption>> {
    let mut out = Vec::new();
    for choice in table {
        if let Some(value) = opts.get(choice.key) {
            let (bytes, text) = encode_one(choice, value)?;
            out.push(KindOption { code: choice.code, value: bytes, words: format!("{} {text}", choice.word) });
        }
    }
    Ok(out)
}

fn encode_one(choice: &Choice, value: &Dynamic) -> Result<(Vec<u8>, String)> {
    let key = choice.key;
    let wrong =
        |wanted: &str| Error::invalid(format!("option `{key}` must be {wanted}, not {}", what(value))).with_target(key);
    let flag = || value.as_bool().or_else(|_| value.as_int().map(|n| n != 0)).map_err(|_| wrong("true or false"));
    let number = |max: u64| -> Result<u64> {
        let n = value.as_int().map_err(|_| wrong("an integer"))?;
        u64::try_from(n)
            .ok()
            .filter(|n| *n <= max)
            .ok_or_else(|| Error::invalid(format!("option `{key}` must be 0 to {max}, not {n}")).with_target(key))
    };
    Ok(match choice.kind {
        Type::Bool => {
            let on = flag()?;
            (vec![u8::from(on)], u8::from(on).to_string())
        }
        Type::Bool32 => {
            let on = flag()?;
            (u32::from(on).to_ne_bytes().to_vec(), u8::from(on).to_string())
        }
        Type::U8 => {
            let n = number(u64::from(u8::MAX))?;
            (vec![u8::try_from(n).unwrap_or(u8::MAX)], n.to_string())
        }
        Type::U16 => {
            let n = number(u64::from(u16::MAX))?;
            (u16::try_from(n).unwrap_or(u16::MAX).to_ne_bytes().to_vec(), n.to_string())
        }
        Type::U32 => {
            let n = number(u64::from(u32::MAX))?;
            (u32::try_from(n).unwrap_or(u32::MAX).to_ne_bytes().to_vec(), n.to_string())
        }
        Type::U64 => {
            let n = number(u64::MAX)?;
            (n.to_ne_bytes().to_vec(), n.to_string())
        }
        Type::Seconds => {
            let time = crate::engine::value::duration(value, &format!("option `{key}`"))?;
            let hundredths = u32::try_from(time.as_millis() / 10)
                .map_err(|_| Error::invalid(format!("option `{key}`: too long")).with_target(key))?;
            (hundredths.to_ne_bytes().to_vec(), hundredths.to_string())
        }
        Type::Mac => {
            let text = value.clone().into_string().map_err(|_| wrong("a MAC address"))?;
            (link::parse_mac(&text).ok_or_else(|| wrong("a MAC address"))?, text)
        }
        Type::EtherType => {
            let text = value.clone().into_string().map_err(|_| wrong("\"802.1Q\" or \"802.1ad\""))?;
            let found = ETHER_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
            let (name, number) = found.ok_or_else(|| wrong("\"802.1Q\" or \"802.1ad\""))?;
            (number.to_be_bytes().to_vec(), (*name).to_string())
        }
        Type::Names8(names) => {
            let text = value.clone().into_string().map_err(|_| wrong("a name"))?;
            let found = names.iter().find(|(name, _)| *name == text);
            let all = || names.iter().map(|(n, _)| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
            let (name, number) = found.ok_or_else(|| {
                Error::invalid(format!("option `{key}` can't be \"{text}\""))
                    .with_target(key)
                    .with_hint(format!("one of {}", all()))
            })?;
            (vec![*number], (*name).to_string())
        }
    })
}

/// What the kernel shows, by the keys of the table; attributes that are not in it are left out.
#[must_use]
pub fn decode(table: &[Choice], data: &[u8]) -> Map {
    let mut map = Map::new();
    for choice in table {
        let Some(value) = nla::attr(data, choice.code) else { continue };
        let number = nla::number(value).unwrap_or_default();
        let shown: Dynamic = match choice.kind {
            Type::Bool | Type::Bool32 => (number != 0).into(),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => INT::try_from(number).unwrap_or(INT::MAX).into(),
            #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, at most 2^32")]
            Type::Seconds => (number as f64 / 100.0).into(),
            Type::Mac => link::mac_text(value).into(),
            Type::EtherType => {
                let proto = value.try_into().map_or(0, u16::from_be_bytes);
                ETHER_TYPES
                    .iter()
                    .find(|(_, n)| *n == proto)
                    .map_or_else(|| format!("{proto:#06x}"), |(name, _)| (*name).to_string())
                    .into()
            }
            Type::Names8(names) => names
                .iter()
                .find(|(_, n)| u64::from(*n) == number)
                .map_or_else(|| number.to_string(), |(name, _)| (*name).to_string())
                .into(),
        };
        map.insert(choice.key.into(), shown);
    }
    map
}

//! What the kernel shows of a kind, by the keys of its table.

use super::kind::{Choice, GRE_KEY, Type};
use crate::plan::record::ip_of;
use crate::plan::{link, nla};
use rhai::{Array, Dynamic, INT, Map};

fn int(number: u64) -> Dynamic {
    INT::try_from(number).unwrap_or(INT::MAX).into()
}

fn be16(value: &[u8]) -> u16 {
    value.get(..2).and_then(|v| v.try_into().ok()).map_or(0, u16::from_be_bytes)
}

fn be32(value: &[u8]) -> u32 {
    value.get(..4).and_then(|v| v.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// What the kernel shows, by the keys of the table; attributes that are not in it are left out. `name` gives a device
/// its name.
#[must_use]
pub fn decode(table: &[Choice], data: &[u8], name: &dyn Fn(u32) -> String) -> Map {
    let mut map = Map::new();
    for choice in table {
        if let Some(shown) = one(choice, data, name) {
            map.insert(choice.key.into(), shown);
        }
    }
    map
}

fn one(choice: &Choice, data: &[u8], name: &dyn Fn(u32) -> String) -> Option<Dynamic> {
    let found = nla::attr(data, choice.code);
    // Those whose value is not, or not only, in the attribute itself.
    match choice.kind {
        Type::Flag => return Some(found.is_some().into()),
        Type::Ip(v6) | Type::Group(v6) | Type::Remote(v6) => {
            let value = found.or_else(|| nla::attr(data, v6).filter(|_| v6 != 0))?;
            let ip = ip_of(value)?;
            let meant = match choice.kind {
                Type::Group(_) => ip.is_multicast(),
                Type::Remote(_) => !ip.is_multicast(),
                _ => true,
            };
            return (meant && !ip.is_unspecified()).then(|| ip.to_string().into());
        }
        Type::Ttl(inherit, _) if inherit != 0 => {
            let on = nla::attr(data, inherit).is_some_and(|v| v.is_empty() || v == [1]);
            return if on { Some("inherit".into()) } else { found.and_then(nla::number).map(int) };
        }
        Type::Key(keys, flags) => {
            let set = |code: &u16| nla::attr(data, *code).is_some_and(|v| be16(v) & GRE_KEY != 0);
            let given = flags.iter().all(set);
            let value = be32(nla::attr(data, *keys.first()?)?);
            let alike = keys.iter().all(|code| nla::attr(data, *code).is_some_and(|v| be32(v) == value));
            return (given && alike && (!flags.is_empty() || value != 0)).then(|| int(u64::from(value)));
        }
        Type::TunnelFlag(codes, bit) => {
            let values: Option<Vec<bool>> = codes.iter().map(|c| Some(be16(nla::attr(data, *c)?) & bit != 0)).collect();
            return Some(values?.iter().all(|on| *on).into());
        }
        Type::EncapLimit(flags) => {
            let none = nla::attr(data, flags).and_then(nla::number).is_some_and(|f| f & 1 != 0);
            return if none { Some("none".into()) } else { found.and_then(nla::number).map(int) };
        }
        _ => {}
    }
    let value = found?;
    let number = nla::number(value).unwrap_or_default();
    Some(match choice.kind {
        Type::Bool | Type::Bool32 | Type::OnOff | Type::Switch => (number != 0).into(),
        Type::Masked(bit) | Type::BoolOpt(bit) => (nla::u32_of(value).unwrap_or_default() & bit != 0).into(),
        Type::Bit(_, bit) => (number & u64::from(bit) != 0).into(),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::Millis => int(number),
        Type::Port => int(u64::from(be16(value))),
        Type::Ports => {
            let ports = [be16(value), be16(value.get(2..).unwrap_or_default())];
            ports.iter().map(|p| int(u64::from(*p))).collect::<Array>().into()
        }
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second, at most 2^32")]
        Type::Seconds | Type::Hundredths64 => (number as f64 / 100.0).into(),
        Type::Mac => link::mac_text(value).into(),
        Type::Macs(each, ..) => {
            let all = nla::attrs(value).filter(|(code, _)| *code == each);
            // They come in the order of a hash.
            let mut all: Vec<String> = all.map(|(_, mac)| link::mac_text(mac)).collect();
            all.sort();
            all.into_iter().map(Dynamic::from).collect::<Array>().into()
        }
        Type::EtherType(names) => {
            let proto = be16(value);
            let found = names.iter().find(|(_, n)| *n == proto);
            found.map_or_else(|| format!("{proto:#06x}"), |(name, _)| (*name).to_string()).into()
        }
        Type::Names(_, names) => {
            let found = names.iter().find(|(_, n)| *n == number);
            found.map_or_else(|| number.to_string(), |(name, _)| (*name).to_string()).into()
        }
        Type::Ip6 => ip_of(value)?.to_string().into(),
        Type::Prefix(length, _) => {
            let length = nla::attr(data, length).and_then(nla::number).filter(|n| *n > 0)?;
            format!("{}/{length}", ip_of(value)?).into()
        }
        Type::Ips(_) => {
            let all = nla::attrs(value).filter_map(|(_, v)| ip_of(v)).map(|ip| ip.to_string().into());
            all.collect::<Array>().into()
        }
        Type::Dev => match nla::u32_of(value)? {
            0 => return None,
            index => name(index).into(),
        },
        Type::Ttl(..) if number == 0 => "inherit".into(),
        Type::Tos if number == 1 => "inherit".into(),
        Type::Ttl(..) | Type::Tos => int(number),
        Type::FlowInfo(mask) => int(u64::from((be32(value) & mask) >> mask.trailing_zeros())),
        Type::Map => {
            let pair = |v: &[u8]| Some(format!("{}:{}", nla::u32_of(v)?, nla::u32_of(v.get(4..)?)?));
            nla::attrs(value).filter_map(|(_, v)| pair(v)).map(Dynamic::from).collect::<Array>().into()
        }
        Type::Hex64 => value.iter().map(|b| format!("{b:02x}")).collect::<String>().into(),
        Type::Flag
        | Type::Ip(_)
        | Type::Group(_)
        | Type::Remote(_)
        | Type::Key(..)
        | Type::TunnelFlag(..)
        | Type::EncapLimit(_) => return None,
    })
}

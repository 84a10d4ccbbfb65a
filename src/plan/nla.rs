//! Netlink attributes as bytes: reading without ever failing on what is unknown, and writing.

use netlink_packet_core::NlasIterator;

/// The attributes in `buf` as (code without flags, value). Ends at the first malformed one.
pub fn attrs(buf: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    // The library's iterator checks the lengths; its buffers borrow from a local, so the slices are cut here.
    let mut at = 0;
    let mut lengths = NlasIterator::new(buf);
    std::iter::from_fn(move || {
        let attr = lengths.next()?.ok()?;
        let (code, len) = (attr.kind(), usize::from(attr.length()));
        let value = buf.get(at + 4..at + len)?;
        at += len.next_multiple_of(4);
        Some((code, value))
    })
}

/// The value of the first attribute `code`.
#[must_use]
pub fn attr(buf: &[u8], code: u16) -> Option<&[u8]> {
    attrs(buf).find(|(c, _)| *c == code).map(|(_, v)| v)
}

/// A value of 1, 2, 4 or 8 bytes in host order, as a number.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    match value.len() {
        1 => Some(u64::from(value[0])),
        2 => Some(u64::from(u16::from_ne_bytes(value.try_into().ok()?))),
        4 => Some(u64::from(u32::from_ne_bytes(value.try_into().ok()?))),
        8 => Some(u64::from_ne_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// A u32 in host order.
#[must_use]
pub fn u32_of(value: &[u8]) -> Option<u32> {
    value.get(..4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Text up to the first NUL.
#[must_use]
pub fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Appends an attribute with its padding.
pub fn put(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&code.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends a nested attribute whose content `fill` writes.
pub fn nest(out: &mut Vec<u8>, code: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    put(out, code | netlink_packet_core::NLA_F_NESTED, &inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let mut buf = Vec::new();
        put(&mut buf, 3, b"eth0\0");
        nest(&mut buf, 18, |b| put(b, 1, b"veth"));
        put(&mut buf, 4, &1500u32.to_ne_bytes());
        let all: Vec<_> = attrs(&buf).map(|(c, v)| (c, v.len())).collect();
        assert_eq!(all, vec![(3, 5), (18, 8), (4, 4)]);
        assert_eq!(text(attr(&buf, 3).unwrap_or_default()), "eth0");
        assert_eq!(attr(&buf, 4).and_then(u32_of), Some(1500));
    }

    #[test]
    fn nonsense_ends_the_walk() {
        assert_eq!(attrs(&[200, 0, 1, 0, 9, 9]).count(), 0);
        assert_eq!(attrs(&[1]).count(), 0);
    }
}

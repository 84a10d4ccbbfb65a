//! Names, checked before the kernel sees them.

use super::error::{Error, Result};

/// The longest name of a device in bytes (`IFNAMSIZ - 1`, include/uapi/linux/if.h).
pub const IFNAME_MAX: usize = 15;

/// Checks a device's name by the kernel's rule (`dev_valid_name`, net/core/dev.c): 1 to 15 bytes, neither `.` nor
/// `..`, without `/`, `:` or white space. `%` is refused too: the kernel takes it as a pattern.
///
/// # Errors
/// `invalid`, with the rule that was broken.
pub fn check_ifname(name: &str) -> Result<()> {
    let bad = |why: String| {
        Err(Error::invalid(format!("`{}` can't be a device's name: {why}", name.escape_debug())).with_target(name))
    };
    if name.is_empty() {
        return bad("it is empty".into());
    }
    if name.len() > IFNAME_MAX {
        return bad(format!("{} bytes, the kernel's limit is {IFNAME_MAX}", name.len()))
            .map_err(|e: Error| e.with_hint(format!("shorten it, for example to `{}`", shorten(name))));
    }
    if name == "." || name == ".." {
        return bad("`.` and `..` are directories".into());
    }
    if let Some(c) = name.chars().find(|c| *c == '/' || *c == ':' || *c == '%' || c.is_whitespace() || c.is_control()) {
        return bad(format!("it has the character {c:?}")).map_err(|e: Error| {
            e.with_hint("1 to 15 bytes, without `/`, `:`, `%`, white space and control characters")
        });
    }
    Ok(())
}

/// The first 15 bytes of a name, cut at a character boundary.
fn shorten(name: &str) -> String {
    let mut end = IFNAME_MAX.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_string()
}

/// Checks a namespace's name: one path component of at most 255 bytes, since it is a file in `/run/netns`.
///
/// # Errors
/// `invalid`, with the rule that was broken.
pub fn check_nsname(name: &str) -> Result<()> {
    let bad = |why: &str| {
        Err(Error::invalid(format!("`{}` can't be a namespace's name: {why}", name.escape_debug()))
            .with_target(name)
            .with_hint("a namespace's name is one file name in /run/netns: letters, digits, `-`, `_`, `.`"))
    };
    if name.is_empty() {
        return bad("it is empty");
    }
    if name == "." || name == ".." {
        return bad("`.` and `..` are directories");
    }
    if name.len() > 255 {
        return bad("it is longer than 255 bytes");
    }
    if name.contains('/') {
        return bad("it has a `/`");
    }
    if name.contains(':') {
        return bad("it has a `:`, which separates namespace and device");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return bad("it has white space or a control character");
    }
    if name.starts_with('-') {
        return bad("a name that starts with `-` would be taken for an option by every other program");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_kernel_does() {
        for good in ["a", "eth0", "br-lan.10", "x@y", "fifteen-bytes-x"] {
            assert!(check_ifname(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\0b", "sixteen-bytes-xx", "veth%d"] {
            assert!(check_ifname(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a:b", "a\0b", "-x"] {
            assert!(check_nsname(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_limit_is_explained() {
        let error = check_ifname("sixteen-bytes-xx").expect_err("too long");
        assert_eq!(error.message, "`sixteen-bytes-xx` can't be a device's name: 16 bytes, the kernel's limit is 15");
        assert_eq!(error.hint.as_deref(), Some("shorten it, for example to `sixteen-bytes-x`"));
    }
}

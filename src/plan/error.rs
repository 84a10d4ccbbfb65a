//! The one error of the house: what went wrong, on what, in which namespace, in the kernel's own words,
//! and what to do about it. Every layer returns it; the edge (`report`) renders it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What sort of failure it is: the `kind` that a script sees when it catches one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// It is there already (EEXIST).
    Exists,
    /// A namespace, link, address, route … that does not exist.
    NotFound,
    /// An argument that can't be right, found before the kernel saw it or by the kernel (EINVAL).
    Invalid,
    /// This kernel or this user's sandbox lacks the feature; the message names the kernel option.
    Unsupported,
    /// Not allowed (EPERM, EACCES).
    Permission,
    /// In use (EBUSY).
    Busy,
    /// A command ended with a non-zero status.
    Exit,
    /// A deadline passed.
    Timeout,
    /// The packet could not be sent (ENETUNREACH, EHOSTUNREACH).
    Unreachable,
    /// `assert…` failed.
    Assert,
    /// The script called `fail`.
    Fail,
    /// Reading or writing a file or a socket failed.
    Io,
    /// A signal ended it (Ctrl-C, SIGTERM, SIGHUP).
    Interrupted,
    /// Duplicate address detection found the address in use elsewhere.
    Dad,
    /// A limit was reached (file descriptors, memory, operations).
    Limit,
    /// The kernel answered with an errno that has no kind of its own.
    Kernel,
    /// A mistake in nsscript itself.
    Internal,
}

impl Kind {
    /// The word that scripts compare with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Exists => "exists",
            Kind::NotFound => "not_found",
            Kind::Invalid => "invalid",
            Kind::Unsupported => "unsupported",
            Kind::Permission => "permission",
            Kind::Busy => "busy",
            Kind::Exit => "exit",
            Kind::Timeout => "timeout",
            Kind::Unreachable => "unreachable",
            Kind::Assert => "assert",
            Kind::Fail => "fail",
            Kind::Io => "io",
            Kind::Interrupted => "interrupted",
            Kind::Dad => "dad",
            Kind::Limit => "limit",
            Kind::Kernel => "kernel",
            Kind::Internal => "internal",
        }
    }

    /// The kind of a bare errno (`errno(3)`).
    #[must_use]
    pub fn of_errno(errno: i32) -> Kind {
        match errno {
            libc::EEXIST | libc::EADDRINUSE => Kind::Exists,
            libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::ENXIO | libc::EADDRNOTAVAIL => Kind::NotFound,
            libc::EINVAL | libc::EISDIR | libc::ERANGE | libc::ENAMETOOLONG | libc::EMSGSIZE => Kind::Invalid,
            libc::EOPNOTSUPP | libc::ENOSYS | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT => Kind::Unsupported,
            libc::EPERM | libc::EACCES => Kind::Permission,
            libc::EBUSY => Kind::Busy,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => Kind::Unreachable,
            libc::ETIMEDOUT => Kind::Timeout,
            libc::EINTR => Kind::Interrupted,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOSPC | libc::ENOBUFS => Kind::Limit,
            _ => Kind::Kernel,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error with everything that its reader needs. `message` is lower case, without a full stop, and names the
/// object and the namespace; `hint` says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The script function or kernel verb, such as `veth` or `link_set`.
    pub op: String,
    /// The namespace's name; empty for the host's or where none is concerned.
    pub ns: String,
    /// The object: a device, an address, a route.
    pub target: String,
    /// The kernel's errno, 0 where the kernel was not asked.
    pub errno: i32,
    /// The kernel's own words (NETLINK_EXT_ACK), where it gave any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` with a message; the rest is added by the `with_…` methods.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            hint: None,
            op: String::new(),
            ns: String::new(),
            target: String::new(),
            errno: 0,
            kernel: None,
        }
    }

    /// [`Kind::Invalid`]: an argument that can't be right.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, message)
    }

    /// [`Kind::Internal`]: a mistake in nsscript itself.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Kind::Internal, message)
            .with_hint("this is a mistake in nsscript: please report it with the script that shows it")
    }

    /// The kind and words of `errno`; `what` says what was being done, such as ``open `/run/netns/a` ``.
    #[must_use]
    pub fn from_errno(errno: i32, what: impl fmt::Display) -> Self {
        let words = errno_words(errno);
        let mut error = Error::new(Kind::of_errno(errno), format!("{what}: {words}"));
        error.errno = errno;
        error
    }

    /// Of an I/O error, keeping its errno.
    #[must_use]
    pub fn from_io(error: &std::io::Error, what: impl fmt::Display) -> Self {
        match error.raw_os_error() {
            Some(errno) => Error::from_errno(errno, what),
            None => Error::new(Kind::Io, format!("{what}: {error}")),
        }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn with_op(mut self, op: impl Into<String>) -> Self {
        self.op = op.into();
        self
    }

    #[must_use]
    pub fn with_ns(mut self, ns: impl Into<String>) -> Self {
        self.ns = ns.into();
        self
    }

    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    #[must_use]
    pub fn with_errno(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }
}

/// The C library's words for an errno, in lower case, as `strerror(3)`: `file exists`.
#[must_use]
pub fn errno_words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().collect::<String>() + chars.as_str(),
        None => format!("errno {errno}"),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(kernel) = &self.kernel {
            write!(f, " (the kernel says: {kernel})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_keeps_its_kind_and_words() {
        let error = Error::from_errno(libc::EEXIST, "add namespace `a`");
        assert_eq!(error.kind, Kind::Exists);
        assert_eq!(error.to_string(), "add namespace `a`: file exists");
    }
}

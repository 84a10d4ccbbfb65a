//! A route-netlink socket: one request, one answer.
//!
//! The kernel answers before `send` returns, so there is nothing to wait for and no need of an event loop here.

use crate::phase::{self, Phase};
use crate::plan::error::errno_words;
use crate::plan::{Error, Kind, Result, nla};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use std::cell::Cell;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The most that the kernel puts into one datagram of a dump (`netlink_dump`, net/netlink/af_netlink.c).
const DATAGRAM: usize = 32 * 1024;
/// How often a dump is begun again that the kernel marked as interrupted by a change.
const RETRIES: usize = 20;

/// What the kernel refused: an errno and, where it gave one, its extended ack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub errno: i32,
    pub words: Option<String>,
}

impl Refusal {
    /// An error that says what was being done.
    #[must_use]
    pub fn error(self, what: impl std::fmt::Display) -> Error {
        let mut error = Error::from_errno(self.errno, what);
        error.kernel = self.words;
        error
    }
}

impl From<std::io::Error> for Refusal {
    fn from(e: std::io::Error) -> Refusal {
        Refusal { errno: e.raw_os_error().unwrap_or(libc::EIO), words: None }
    }
}

/// A socket that stays in the namespace in which it was opened, whatever thread uses it.
pub struct Netlink {
    socket: Socket,
    sequence: Cell<u32>,
}

thread_local! {
    /// What answers are read into. A buffer for each of a thousand namespaces would be most of the program's memory.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// No descriptor left, or no netlink in this kernel.
    pub fn open() -> Result<Netlink> {
        Netlink::open_to(NETLINK_ROUTE)
    }

    /// Opens one to another part of the kernel (`NETLINK_…`).
    ///
    /// # Errors
    /// Those of [`Netlink::open`].
    pub fn open_to(protocol: isize) -> Result<Netlink> {
        let failed = |e: std::io::Error| {
            let error = Error::from_io(&e, "open a netlink socket");
            match error.kind {
                Kind::Limit => error.with_hint("raise the limit of open files: `ulimit -n 65536`"),
                _ => error,
            }
        };
        let socket = Socket::new(protocol).map_err(failed)?;
        // Extended acks in the kernel's own words, and acks that do not repeat the request.
        socket.set_ext_ack(true).map_err(failed)?;
        socket.set_cap_ack(true).map_err(failed)?;
        // Filters in dump requests are honoured; kernels before 4.20 lack it, and then we filter ourselves.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Netlink { socket, sequence: Cell::new(0) })
    }

    /// The descriptor, for socket options.
    #[must_use]
    pub fn raw(&self) -> i32 {
        std::os::fd::AsRawFd::as_raw_fd(&self.socket)
    }

    fn send(&self, kind: u16, flags: u16, body: &[u8]) -> std::result::Result<u32, Refusal> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let len = u32::try_from(16 + body.len()).map_err(|_| Refusal { errno: libc::EMSGSIZE, words: None })?;
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend_from_slice(&len.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        message.extend_from_slice(&sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(body);
        loop {
            match self.socket.send(&message, 0) {
                Ok(_) => return Ok(sequence),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Receives until the answer to `sequence` is whole; `each` gets every message (type, flags, body).
    fn receive(&self, sequence: u32, mut each: impl FnMut(u16, u16, &[u8])) -> std::result::Result<(), Refusal> {
        self.receive_until(sequence, |kind, flags, body| {
            each(kind, flags, body);
            false
        })
    }

    /// The same, or until `each` has seen enough.
    fn receive_until(
        &self,
        sequence: u32,
        each: impl FnMut(u16, u16, &[u8]) -> bool,
    ) -> std::result::Result<(), Refusal> {
        let mut buffer = BUFFER.take();
        buffer.clear();
        buffer.reserve(DATAGRAM);
        let done = self.receive_into(&mut buffer, sequence, each);
        BUFFER.set(buffer);
        done
    }

    fn receive_into(
        &self,
        buffer: &mut Vec<u8>,
        sequence: u32,
        mut each: impl FnMut(u16, u16, &[u8]) -> bool,
    ) -> std::result::Result<(), Refusal> {
        loop {
            buffer.clear();
            match self.socket.recv(buffer, 0) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.into()),
            }
            let mut rest = buffer.as_slice();
            while let Some(len) = rest.get(..4).and_then(nla::u32_of).and_then(|l| usize::try_from(l).ok()) {
                let Some(message) = rest.get(..len).filter(|m| m.len() >= 16) else { break };
                let kind = u16::from_ne_bytes([message[4], message[5]]);
                let flags = u16::from_ne_bytes([message[6], message[7]]);
                let body = &message[16..];
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                if nla::u32_of(&message[8..]) != Some(sequence) {
                    continue; // of a request that was given up
                }
                match kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        let errno = body.get(..4).and_then(nla::u32_of).unwrap_or_default().cast_signed();
                        if errno < 0 {
                            return Err(Refusal { errno: -errno, words: words(kind, flags, body) });
                        }
                        return Ok(());
                    }
                    _ if each(kind, flags, body) => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Sends a request and waits for its ack. Returns the body of the last message that came before the ack, if any
    /// (of a GET, or of a NEW with `NLM_F_ECHO`).
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn request(&self, kind: u16, flags: u16, body: &[u8]) -> std::result::Result<Option<Vec<u8>>, Refusal> {
        let _phase = phase::enter(Phase::Netlink);
        let sequence = self.send(kind, flags | NLM_F_ACK, body)?;
        let mut answer = None;
        self.receive(sequence, |_, _, body| answer = Some(body.to_vec()))?;
        Ok(answer)
    }

    /// Asks for one object: its body, which is the whole answer.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn get(&self, kind: u16, body: &[u8]) -> std::result::Result<Vec<u8>, Refusal> {
        let _phase = phase::enter(Phase::Netlink);
        let sequence = self.send(kind, 0, body)?;
        let mut answer = None;
        self.receive_until(sequence, |_, _, body| {
            answer = Some(body.to_vec());
            true
        })?;
        answer.ok_or(Refusal { errno: libc::ENODATA, words: None })
    }

    /// Asks for a dump and returns the messages' bodies. A dump that a change interrupted is begun again.
    ///
    /// # Errors
    /// What the kernel refused; EAGAIN where the table never held still.
    pub fn dump(&self, kind: u16, body: &[u8]) -> std::result::Result<Vec<Vec<u8>>, Refusal> {
        let _phase = phase::enter(Phase::Netlink);
        for _ in 0..RETRIES {
            let sequence = self.send(kind, NLM_F_DUMP, body)?;
            let (mut all, mut interrupted) = (Vec::new(), false);
            self.receive(sequence, |_, flags, body| {
                interrupted |= flags & NLM_F_DUMP_INTR != 0;
                all.push(body.to_vec());
            })?;
            if !interrupted {
                return Ok(all);
            }
        }
        Err(Refusal { errno: libc::EAGAIN, words: Some(format!("the table changed during {RETRIES} dumps")) })
    }
}

/// The extended ack of an error message (Documentation/userspace-api/netlink/intro.rst, "Extended ACK").
fn words(kind: u16, flags: u16, body: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    // struct nlmsgerr: the errno, the request's header, and unless capped the request itself
    let mut at = if kind == NLMSG_DONE { 4 } else { 20 };
    if kind == NLMSG_ERROR && flags & NLM_F_CAPPED == 0 {
        let len = body.get(4..8).and_then(nla::u32_of).and_then(|l| usize::try_from(l).ok())?;
        at = 4 + len.next_multiple_of(4);
    }
    let text = nla::text(nla::attr(body.get(at..)?, NLMSGERR_ATTR_MSG)?);
    (!text.is_empty()).then_some(text)
}

/// The words of an errno and an extended ack together, for notes.
#[must_use]
pub fn refusal_text(refusal: &Refusal) -> String {
    match &refusal.words {
        Some(words) => format!("{} ({words})", errno_words(refusal.errno)),
        None => errno_words(refusal.errno),
    }
}

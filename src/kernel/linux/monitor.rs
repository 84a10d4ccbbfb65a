//! What changes, as it changes: the names in `/run/netns` by inotify, as `ip netns monitor` does it, and the objects of a
//! namespace by route-netlink's multicast groups.
//!
//! Both give a descriptor that becomes readable, and a `read` that never blocks.

use super::Linux;
use super::names::DIR;
use crate::kernel::Kernel as _;
use crate::plan::addr::neigh_state_name;
use crate::plan::link::mac_text;
use crate::plan::record::{AF_INET, AF_INET6, IFA_F_DADFAILED, IFA_F_TENTATIVE, NDA_LLADDR};
use crate::plan::{Error, LinkInfo, Ns, Rec, Result, What, nla};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// What owns one descriptor, the same for all its life.
pub trait Source: AsRawFd + sealed::Owner {}

mod sealed {
    pub trait Owner {}
    impl Owner for super::Names {}
    impl Owner for super::Objects {}
}

/// A source that a tokio runtime can wait for.
pub struct Live<S: Source>(AsyncFd<S>);

impl<S: Source> Live<S> {
    /// To be called within a runtime.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(source: S) -> Result<Live<S>> {
        // SAFETY: a `Source` holds its descriptor open until it is dropped, and the `AsyncFd` owns it until then.
        unsafe { AsyncFd::register(source) }
            .map(Live)
            .map_err(|e| Error::from_io(&e.into(), "wait for the kernel's events"))
    }

    /// Waits until there may be something to read. Dropping it is fine.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn ready(&self) -> Result<()> {
        let ready = self.0.readable().await;
        ready.map(|mut guard| guard.clear_ready()).map_err(|e| Error::from_io(&e, "wait for the kernel's events"))
    }

    /// The source, to be read until it is empty.
    pub fn source(&mut self) -> &mut S {
        self.0.get_mut()
    }
}

/// A name that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEvent {
    pub added: bool,
    pub name: String,
}

/// Watches the names of namespaces.
pub struct Names {
    inotify: Inotify,
    folder: PathBuf,
    /// Of the folder, while it is there; else of its parent, until it is made.
    watch: Watch,
    /// Names that were listed when the folder was found: their events may still come.
    listed: BTreeSet<String>,
}

#[derive(Clone, Copy)]
enum Watch {
    Folder(WatchDescriptor),
    Parent(WatchDescriptor),
}

impl Names {
    /// Begins to watch `/run/netns`, which need not be there yet.
    ///
    /// # Errors
    /// No inotify instance or watch is left (`fs.inotify.max_user_instances`), or there is no `/run`.
    pub fn watch() -> Result<Names> {
        Names::watch_folder(Path::new(DIR))
    }

    fn watch_folder(folder: &Path) -> Result<Names> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|e| {
            let error = Error::from_errno(e as i32, "watch for namespaces");
            match e {
                Errno::EMFILE => error.with_hint("raise `fs.inotify.max_user_instances`, or the limit of open files"),
                _ => error,
            }
        })?;
        let (watch, _) = begin(&inotify, folder)?;
        Ok(Names { inotify, folder: folder.to_owned(), watch, listed: BTreeSet::new() })
    }

    /// What has happened since the last time; empty where nothing has.
    ///
    /// # Errors
    /// The folder can't be watched any more.
    pub fn read(&mut self) -> Result<Vec<NameEvent>> {
        let mut out = Vec::new();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(out),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(Error::from_errno(e as i32, "watch for namespaces")),
            };
            for event in events {
                let name = event.name.as_ref().map(|n| n.to_string_lossy().into_owned());
                match self.watch {
                    // It was removed, with all names in it.
                    Watch::Folder(wd) if event.wd == wd && event.mask.contains(AddWatchFlags::IN_IGNORED) => {
                        self.look(&mut out)?;
                    }
                    Watch::Folder(wd) if event.wd == wd => {
                        let Some(name) = name else { continue };
                        let added = event.mask.contains(AddWatchFlags::IN_CREATE);
                        // Listed already, or deleted before it was listed and made again: the list told of it.
                        let known = self.listed.remove(&name);
                        if !(known && added) {
                            out.push(NameEvent { added, name });
                        }
                    }
                    Watch::Parent(wd)
                        if event.wd == wd && name.as_deref() == self.folder.file_name().and_then(|n| n.to_str()) =>
                    {
                        self.look(&mut out)?;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Watches the folder from now on if it is there, else for it.
    fn look(&mut self, out: &mut Vec<NameEvent>) -> Result<()> {
        if let Watch::Parent(wd) = self.watch {
            let _ = self.inotify.rm_watch(wd);
        }
        let (watch, names) = begin(&self.inotify, &self.folder)?;
        self.watch = watch;
        out.extend(names.iter().map(|name| NameEvent { added: true, name: name.clone() }));
        self.listed = names;
        Ok(())
    }
}

/// Watches the folder, or its parent where there is none yet; with the names that are in it already.
fn begin(inotify: &Inotify, folder: &Path) -> Result<(Watch, BTreeSet<String>)> {
    let failed = |e: Errno, path: &Path| {
        let error = Error::from_errno(e as i32, format!("watch `{}`", path.display()));
        match e {
            Errno::ENOSPC => error.with_hint("raise `fs.inotify.max_user_watches`"),
            _ => error,
        }
    };
    let inside = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
    // The folder may come between the two attempts: then the second look finds it.
    let mut parent = None;
    loop {
        match inotify.add_watch(folder, inside | AddWatchFlags::IN_ONLYDIR) {
            Ok(wd) => {
                if let Some(parent) = parent {
                    let _ = inotify.rm_watch(parent);
                }
                let names = std::fs::read_dir(folder).map(|dir| {
                    dir.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect::<BTreeSet<String>>()
                });
                return Ok((Watch::Folder(wd), names.unwrap_or_default()));
            }
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(failed(e, folder)),
        }
        if let Some(parent) = parent {
            return Ok((Watch::Parent(parent), BTreeSet::new()));
        }
        let above = folder.parent().unwrap_or(Path::new("/"));
        let wd = inotify.add_watch(above, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        parent = Some(wd.map_err(|e| failed(e, above))?);
    }
}

impl Source for Names {}

impl AsRawFd for Names {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

/// What can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Link,
    Addr,
    Route,
    Neigh,
    Rule,
    Nexthop,
}

impl Topic {
    pub const ALL: [Topic; 6] = [Topic::Link, Topic::Addr, Topic::Route, Topic::Neigh, Topic::Rule, Topic::Nexthop];

    /// The word of `ip monitor`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Link => "link",
            Topic::Addr => "addr",
            Topic::Route => "route",
            Topic::Neigh => "neigh",
            Topic::Rule => "rule",
            Topic::Nexthop => "nexthop",
        }
    }

    /// `RTNLGRP_…` (include/uapi/linux/rtnetlink.h).
    fn groups(self) -> &'static [u32] {
        match self {
            Topic::Link => &[1],
            Topic::Neigh => &[3],
            Topic::Addr => &[5, 9],
            Topic::Route => &[7, 11],
            Topic::Rule => &[8, 19],
            Topic::Nexthop => &[32],
        }
    }
}

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Of all but links also: it was changed.
    Add,
    Change,
    Delete,
}

impl Action {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Add => "add",
            Action::Change => "change",
            Action::Delete => "delete",
        }
    }
}

/// An object that came, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEvent {
    pub topic: Topic,
    pub action: Action,
    /// The device that it is about or on; empty where none.
    pub dev: String,
    /// What it is, on one line, as `ip` writes it.
    pub text: String,
}

/// What [`Objects::read`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Event(ObjectEvent),
    /// The kernel had more to tell than the buffer holds: some events are lost.
    Lost,
}

/// Listens to the objects of one namespace.
pub struct Objects {
    socket: Socket,
    /// Names of links by ifindex; those that are gone too, for what is told of them later.
    names: HashMap<u32, String>,
    /// The links that are there.
    links: BTreeSet<u32>,
}

impl Objects {
    /// Begins to listen in `ns`.
    ///
    /// # Errors
    /// The namespace is gone, or there is no descriptor left.
    pub fn listen(linux: &Linux, ns: &Ns, topics: &[Topic]) -> Result<Objects> {
        let topics = topics.to_vec();
        // The socket belongs to the namespace in which it is opened.
        let socket = linux.inside(ns, move || {
            let failed = |e: std::io::Error| Error::from_io(&e, "listen to the kernel's events");
            let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
            socket.bind(&SocketAddr::new(0, 0)).map_err(failed)?;
            socket.set_non_blocking(true).map_err(failed)?;
            // As much as an ordinary user may have; a burst then loses nothing.
            let _ = socket.set_rx_buf_sz(1 << 20);
            for group in topics.iter().flat_map(|t| t.groups()) {
                match socket.add_membership(*group) {
                    Ok(()) => {}
                    // A group that this kernel does not have tells nothing.
                    Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
                    Err(e) => return Err(failed(e)),
                }
            }
            Ok(socket)
        })?;
        let links = linux.links(ns, false)?;
        let names = links.iter().map(|l| (l.state.index, l.state.name.clone())).collect();
        let links = links.iter().map(|l| l.state.index).collect();
        Ok(Objects { socket, names, links })
    }

    /// What has happened since the last time; empty where nothing has.
    ///
    /// # Errors
    /// The socket fails.
    pub fn read(&mut self) -> Result<Vec<Heard>> {
        let mut out = Vec::new();
        let mut buffer = Vec::with_capacity(64 << 10);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => self.messages(&buffer, &mut out),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Ok(out),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => out.push(Heard::Lost),
                Err(e) => return Err(Error::from_io(&e, "listen to the kernel's events")),
            }
        }
    }

    fn messages(&mut self, mut rest: &[u8], out: &mut Vec<Heard>) {
        while let Some(len) = rest.get(..4).and_then(nla::u32_of).and_then(|l| usize::try_from(l).ok()) {
            let Some(message) = rest.get(..len).filter(|m| m.len() >= 16) else { return };
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            if let Some(event) = self.message(kind, &message[16..]) {
                out.push(Heard::Event(event));
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    fn message(&mut self, kind: u16, body: &[u8]) -> Option<ObjectEvent> {
        use super::message::rtm;
        let (topic, what) = match kind {
            rtm::NEWLINK | rtm::DELLINK => return self.link(kind == rtm::DELLINK, body),
            rtm::NEWADDR | rtm::DELADDR => (Topic::Addr, What::Addr),
            rtm::NEWROUTE | rtm::DELROUTE => (Topic::Route, What::Route),
            rtm::NEWNEIGH | rtm::DELNEIGH => (Topic::Neigh, What::Neigh),
            rtm::NEWRULE | rtm::DELRULE => (Topic::Rule, What::Rule),
            rtm::NEWNEXTHOP | rtm::DELNEXTHOP => (Topic::Nexthop, What::Nexthop),
            _ => return None,
        };
        // The odd numbers delete.
        let action = if kind & 1 == 1 { Action::Delete } else { Action::Add };
        let rec = Rec { what, body: body.to_vec(), ends: None };
        let name = |index: u32| self.names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"));
        let dev = rec.devices().first().map(|i| name(*i)).unwrap_or_default();
        let mut text = match (what, rec.family()) {
            (_, AF_INET | AF_INET6) | (What::Nexthop, _) => rec.describe(name),
            // A bridge's forwarding entry.
            (What::Neigh, 7) => {
                let mac = rec.attr(NDA_LLADDR).map(mac_text).unwrap_or_default();
                format!("fdb {mac} dev {dev}")
            }
            _ => return None,
        };
        match what {
            What::Neigh => {
                let state = neigh_state_name(u16::from_ne_bytes([rec.byte(8), rec.byte(9)]));
                text += &format!(" {state}");
            }
            What::Addr => {
                let flags = rec.addr_flags();
                for (flag, word) in [(IFA_F_TENTATIVE, " tentative"), (IFA_F_DADFAILED, " dadfailed")] {
                    text += if flags & flag != 0 { word } else { "" };
                }
            }
            _ => {}
        }
        Some(ObjectEvent { topic, action, dev, text })
    }

    fn link(&mut self, deleted: bool, body: &[u8]) -> Option<ObjectEvent> {
        // A bridge tells of its ports in messages of its own family, whose deletion is not the link's.
        if body.first() != Some(&0) {
            return None;
        }
        let info = LinkInfo::parse(body)?;
        let state = &info.state;
        self.names.insert(state.index, state.name.clone());
        let action = match (deleted, self.links.contains(&state.index)) {
            (true, _) => Action::Delete,
            (false, true) => Action::Change,
            (false, false) => Action::Add,
        };
        if deleted {
            self.links.remove(&state.index);
        } else {
            self.links.insert(state.index);
        }
        let mut text = format!("{}: {}", state.index, state.name);
        if !state.kind.is_empty() {
            text += &format!(" {}", state.kind);
        }
        text += if state.up { " up" } else { " down" };
        if info.carrier {
            text += " carrier";
        }
        text += &format!(" mtu {}", state.mtu);
        if !state.mac.is_empty() {
            text += &format!(" mac {}", mac_text(&state.mac));
        }
        if state.master != 0 {
            let master = self.names.get(&state.master).cloned().unwrap_or_else(|| format!("if{}", state.master));
            text += &format!(" master {master}");
        }
        Some(ObjectEvent { topic: Topic::Link, action, dev: state.name.clone(), text })
    }
}

impl Source for Objects {}

impl AsRawFd for Objects {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn event(added: bool, name: &str) -> NameEvent {
        NameEvent { added, name: name.into() }
    }

    #[test]
    fn names_are_seen_as_they_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("before"), "").unwrap();
        let mut names = Names::watch_folder(dir.path()).unwrap();
        assert!(names.read().unwrap().is_empty());
        fs::write(dir.path().join("a"), "").unwrap();
        fs::remove_file(dir.path().join("before")).unwrap();
        fs::write(dir.path().join("a"), "changed").unwrap();
        assert_eq!(names.read().unwrap(), [event(true, "a"), event(false, "before")]);
        assert!(names.read().unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_comes_later_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("netns");
        let mut names = Names::watch_folder(&folder).unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        assert!(names.read().unwrap().is_empty());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("early"), "").unwrap();
        assert_eq!(names.read().unwrap(), [event(true, "early")]);
        fs::write(folder.join("late"), "").unwrap();
        fs::remove_file(folder.join("early")).unwrap();
        assert_eq!(names.read().unwrap(), [event(true, "late"), event(false, "early")]);
        // Gone, and made again.
        fs::remove_file(folder.join("late")).unwrap();
        fs::remove_dir(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("again"), "").unwrap();
        let mut seen = names.read().unwrap();
        seen.extend(names.read().unwrap());
        assert_eq!(seen, [event(false, "late"), event(true, "again")]);
    }
}

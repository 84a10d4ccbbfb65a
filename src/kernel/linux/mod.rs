//! The real kernel.

mod clock;
mod ethtool;
pub mod fault;
pub mod features;
pub mod file;
mod genl;
mod load;
pub mod maker;
pub mod message;
pub mod monitor;
pub mod names;
mod naming;
mod neighbours;
mod nft;
pub mod nsid;
pub mod ping;
pub mod process;
pub mod queues;
pub mod rehearsal;
pub mod settle;
mod snapshot;
pub mod socket;
pub mod space;
mod switch;
pub mod throughput;
mod tun;
pub mod world;

use super::{By, Cancel, Dad, Kernel, NsEntry};
use crate::phase::{self, Phase};
use crate::plan::link::{IFLA_ALT_IFNAME, IFLA_EXT_MASK, IFLA_IFNAME};
use crate::plan::record::TICKS;
use crate::plan::{Error, Kind, LinkInfo, LinkRef, Ns, Outcome, Result, State, Verb, What, nla};
use maker::Maker;
use message::{ifinfo, rtm};
use rehearsal::Rehearsal;
use socket::Refusal;
use space::{Enterer, Opened, Space};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// How long what an undo ends has between SIGTERM and SIGKILL.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// The real kernel, seen from the namespace in which the process was started.
pub struct Linux {
    enterer: Enterer,
    host: Ns,
    /// Namespaces that are held open, by cookie.
    spaces: RefCell<HashMap<u64, Rc<Space>>>,
    /// Names looked up before: valid while the inode is the same, since we hold the namespace.
    names: RefCell<HashMap<String, u64>>,
    shared: Cell<bool>,
    maker: Maker,
    /// Link kinds that were asked to be loaded.
    loaded: RefCell<std::collections::HashSet<String>>,
    /// Where a script is planned, not run.
    rehearsal: std::cell::OnceCell<Rehearsal>,
}

impl Linux {
    /// Opens the namespace of the calling thread as the host's.
    ///
    /// # Errors
    /// No netlink, no /proc, a kernel before 5.14.
    pub fn new() -> Result<Linux> {
        let enterer = Enterer::start()?;
        let opened = space::open_current()?;
        let host = Ns { cookie: opened.cookie, name: String::new() };
        let linux = Linux {
            enterer,
            host: host.clone(),
            spaces: RefCell::default(),
            names: RefCell::default(),
            shared: Cell::new(false),
            maker: Maker::default(),
            loaded: RefCell::default(),
            rehearsal: std::cell::OnceCell::new(),
        };
        linux.keep(host, opened);
        Ok(linux)
    }

    /// From now on what is done only seems so, as far as it is not in a network namespace: for a plan.
    pub fn rehearse(&self, rehearsal: Rehearsal) {
        let _ = self.rehearsal.set(rehearsal);
    }

    /// What a plan keeps in mind instead of doing it; `None` in a run.
    #[must_use]
    pub fn rehearsal(&self) -> Option<&Rehearsal> {
        self.rehearsal.get()
    }

    fn keep(&self, ns: Ns, opened: Opened) -> Rc<Space> {
        let space = Rc::new(Space {
            inode: opened.inode,
            fd: opened.fd,
            netlink: opened.netlink,
            next_index: Cell::new(opened.next_index),
            ethtool: std::cell::OnceCell::new(),
            ns,
        });
        self.spaces.borrow_mut().insert(space.ns.cookie, Rc::clone(&space));
        space
    }

    /// The open namespace.
    ///
    /// # Errors
    /// `not_found` once it was deleted.
    pub fn space(&self, ns: &Ns) -> Result<Rc<Space>> {
        self.spaces.borrow().get(&ns.cookie).cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{} is gone", ns.label()))
                .with_ns(&ns.name)
                .with_errno(libc::ENOENT)
                .with_hint("it was deleted; make it again, or look at netns_list()")
        })
    }

    /// Opens a namespace by descriptor and keeps it under `name`.
    fn adopt(&self, name: &str, fd: &OwnedFd) -> Result<Rc<Space>> {
        let mut opened = self.enterer.enter(fd, space::open_current)?;
        if let Some(space) = self.spaces.borrow().get(&opened.cookie)
            && (space.ns.name == name || space.ns.is_host())
        {
            return Ok(Rc::clone(space));
        }
        opened.next_index = self.spaces.borrow().get(&opened.cookie).map_or(0, |s| s.next_index.get());
        Ok(self.keep(Ns { cookie: opened.cookie, name: name.into() }, opened))
    }

    /// Runs `work` in a namespace, on the thread that enters them.
    ///
    /// # Errors
    /// The namespace is gone, or those of `work`.
    pub fn inside<T: Send + 'static>(&self, ns: &Ns, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let space = self.space(ns)?;
        self.enterer.enter(&space.fd, work)
    }

    /// The thread that enters namespaces.
    #[must_use]
    pub fn enterer(&self) -> &Enterer {
        &self.enterer
    }

    /// A descriptor of the namespace's file, to be given to a child.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn file(&self, ns: &Ns) -> Result<OwnedFd> {
        self.space(ns)?.fd.try_clone().map_err(|e| Error::from_io(&e, "copy a namespace's descriptor"))
    }

    /// Reads a link; in a plan a stand-in shows as what it stands in for.
    fn parse(&self, body: &[u8]) -> Option<LinkInfo> {
        let mut info = LinkInfo::parse(body)?;
        if let Some(rehearsal) = self.rehearsal() {
            rehearsal.mask(&mut info);
        }
        Some(info)
    }

    /// Opens the namespace behind a file and holds it, under a name for messages.
    ///
    /// # Errors
    /// The file is gone or no namespace's.
    pub fn open_file(&self, path: &std::path::Path, name: &str) -> Result<Ns> {
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())
            .map_err(|e| Error::from_errno(e as i32, format!("open `{}`", path.display())))?;
        names::check(&fd, &path.to_string_lossy())?;
        Ok(self.adopt(name, &fd)?.ns.clone())
    }

    fn raw_fd(&self, ns: &Ns) -> Result<u32> {
        u32::try_from(self.space(ns)?.fd.as_raw_fd()).map_err(|_| Error::internal("a negative descriptor"))
    }

    fn link_add(&self, ns: &Ns, spec: &crate::plan::LinkSpec) -> Result<Outcome> {
        let space = self.space(ns)?;
        let peer_fd = spec.peer.as_ref().map(|p| self.raw_fd(&p.0)).transpose()?;
        let body = message::link_add(spec, peer_fd);
        space.netlink.request(rtm::NEWLINK, rtm::CREATE | rtm::EXCL, &body).map_err(|r| {
            // It may be the index: a program made a link since ours were last looked up.
            if matches!(r.errno, libc::EEXIST | libc::EBUSY) {
                let peer = spec.peer.as_ref().and_then(|p| self.space(&p.0).ok());
                [Some(&space), peer.as_ref()].into_iter().flatten().for_each(|s| s.next_index.set(0));
            }
            self.not_made(ns, spec, r)
        })?;
        self.complete(ns, spec)?;
        let name = match &spec.name {
            Some(name) => name.clone(),
            None => self.name_of(ns, spec.index)?,
        };
        let peer = match &spec.peer {
            Some(peer) => {
                let (peer_ns, peer) = &**peer;
                let name = match &peer.name {
                    Some(name) => name.clone(),
                    None => self.name_of(peer_ns, peer.index)?,
                };
                Some(LinkRef { index: peer.index, name })
            }
            None => None,
        };
        Ok(Outcome { ns: None, link: Some(LinkRef { index: spec.index, name }), peer })
    }

    fn name_of(&self, ns: &Ns, index: u32) -> Result<String> {
        let info = self.link(ns, By::Index(index))?;
        info.map(|i| i.state.name)
            .ok_or_else(|| Error::internal(format!("the link of index {index} that was just made is not there")))
    }

    fn shared_dir(&self) -> Result<()> {
        if !self.shared.get() {
            names::prepare()?;
            self.shared.set(true);
        }
        Ok(())
    }

    fn sysctl_write(&self, ns: &Ns, key: &str, value: &str) -> Result<()> {
        let Some(rehearsal) = self.rehearsal() else { return self.sysctl_put(ns, key, value) };
        let orphaned = self.is_orphaned(ns, key)?;
        if !orphaned && rehearsal.sysctl(ns.cookie, key).is_some() && rehearsal.write_sysctl(ns.cookie, key, value) {
            return Ok(());
        }
        self.sysctl_put(ns, key, value).or_else(|error| {
            let refused = matches!(error.kind, Kind::NotFound | Kind::Permission);
            if refused && !orphaned && rehearsal.write_sysctl(ns.cookie, key, value) { Ok(()) } else { Err(error) }
        })
    }

    /// Whether a sysctl's device is gone: then it is too, whatever is kept in mind of it.
    fn is_orphaned(&self, ns: &Ns, key: &str) -> Result<bool> {
        let Some(device) = crate::plan::restore::device_of(key) else { return Ok(false) };
        Ok(self.link(ns, By::Name(device))?.is_none())
    }

    fn sysctl_put(&self, ns: &Ns, key: &str, value: &str) -> Result<()> {
        let path = sysctl_path(key)?;
        let (shown, text) = (key.replace('/', "."), value.to_string());
        self.inside(ns, move || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(|e| sysctl_error(&e, &format!("open sysctl {shown}")))?;
            file.write_all(text.as_bytes()).map_err(|e| sysctl_error(&e, &format!("write {text:?} to sysctl {shown}")))
        })
        .map_err(|e| e.with_ns(&ns.name).with_target(key))
    }

    fn refused(verb: &Verb, refusal: Refusal) -> Error {
        message::explain(verb, refusal)
    }
}

/// The file of a sysctl; a key that leaves /proc/sys is refused.
fn sysctl_path(key: &str) -> Result<std::path::PathBuf> {
    let bad = key.is_empty() || key.split('/').any(|p| p.is_empty() || p == "." || p == "..") || key.contains('\0');
    if bad {
        return Err(Error::invalid(format!("`{}` can't be a sysctl", key.escape_debug()))
            .with_hint("write it as sysctl(8) does: net.ipv4.ip_forward"));
    }
    Ok(std::path::Path::new("/proc/sys").join(key))
}

fn sysctl_error(e: &std::io::Error, what: &str) -> Error {
    let error = Error::from_io(e, what);
    match e.raw_os_error() {
        Some(libc::ENOENT) => error.with_hint("this kernel has no such key in this namespace; `sysctl -a` lists them"),
        Some(libc::EACCES | libc::EPERM) => {
            error.with_hint("the key is not of this network namespace, or needs root on the host itself")
        }
        Some(libc::EINVAL) => error.with_hint("the kernel does not take this value"),
        _ => error,
    }
}

impl Kernel for Linux {
    fn moment(&self, what: &str) -> Result<()> {
        fault::before(what)?;
        fault::after();
        Ok(())
    }

    fn host(&self) -> Ns {
        self.host.clone()
    }

    fn find_ns(&self, name: &str) -> Result<Ns> {
        let _phase = phase::enter(Phase::Namespace);
        crate::plan::name::check_nsname(name)?;
        let fd = names::open_name(name)?;
        let stat = nix::sys::stat::fstat(&fd).map_err(|e| Error::from_errno(e as i32, "stat a namespace"))?;
        let known = self.names.borrow().get(name).copied();
        if let Some(cookie) = known
            && let Some(space) = self.spaces.borrow().get(&cookie)
            && space.inode == (stat.st_dev, stat.st_ino)
        {
            return Ok(Ns { cookie, name: name.into() });
        }
        let space = self.adopt(name, &fd)?;
        self.names.borrow_mut().insert(name.into(), space.ns.cookie);
        Ok(Ns { cookie: space.ns.cookie, name: name.into() })
    }

    fn cookie_at(&self, path: &str) -> Result<u64> {
        let fd = self.open_at(path)?;
        Ok(self.enterer.enter(&fd, space::open_current)?.cookie)
    }

    fn drop_stub(&self, name: &str) {
        names::drop_stub(name);
    }

    fn list_ns(&self, from: &Ns) -> Result<Vec<NsEntry>> {
        let space = self.space(from)?;
        let mut out = Vec::new();
        for name in names::list() {
            let Ok(fd) = names::open_name(&name) else { continue };
            let Ok(stat) = nix::sys::stat::fstat(&fd) else { continue };
            let nsid = message::nsid(&space.netlink, &fd).map_err(|r| r.error("ask for an nsid"))?;
            out.push(NsEntry { name, inode: stat.st_ino, nsid });
        }
        Ok(out)
    }

    fn inode(&self, ns: &Ns) -> Result<(u64, u64)> {
        Ok(self.space(ns)?.inode)
    }

    fn prepare(&self, verb: &mut Verb) -> Result<()> {
        match verb {
            Verb::FileWrite { path, .. } | Verb::FileRemove { path, .. } => super::sandbox::own_etc(path)?,
            Verb::NetnsAttach { name, .. } => names::check_free(name)?,
            Verb::NetnsAdd { name, cookie } if *cookie == 0 => {
                names::check_free(name)?;
                let _phase = phase::enter(Phase::Namespace);
                let opened = match self.maker.take() {
                    Some(opened) => opened,
                    None => self.enterer.run(space::make)?,
                };
                *cookie = opened.cookie;
                self.keep(Ns { cookie: *cookie, name: name.clone() }, opened);
            }
            Verb::LinkAdd { ns, spec } => {
                self.load_kind(ns, &spec.kind)?;
                self.place_is_free(ns, spec)?;
                if let (Some(below), None) = (&spec.lower_ns, spec.lower_nsid) {
                    spec.lower_nsid = Some(self.give_nsid(ns, below)?);
                }
                if spec.index == 0 {
                    spec.index = self.choose_index(ns, spec.lower_ns.as_ref())?;
                }
                if let Some(peer) = &mut spec.peer {
                    let (peer_ns, peer) = &mut **peer;
                    if peer.index == 0 {
                        peer.index = self.choose_index(peer_ns, None)?;
                    }
                    peer.mac.get_or_insert_with(message::random_mac);
                    // Given at creation, a MAC is left alone by udev and its like.
                    spec.mac.get_or_insert_with(message::random_mac);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&self, verb: &Verb) -> Result<Outcome> {
        self.apply_telling(verb, &mut |_| Ok(()))
    }

    fn apply_telling(&self, verb: &Verb, told: process::BeforeExec<'_>) -> Result<Outcome> {
        fault::before(verb.word())?;
        let outcome = match verb {
            Verb::NftLoad { ns, ruleset } => nft::load(self, ns, ruleset, told),
            _ => self.act(verb),
        };
        fault::after();
        outcome
    }

    fn state(&self, ns: &Ns, sysctls: &[String]) -> Result<State> {
        snapshot::read(self, ns, sysctls)
    }

    fn link(&self, ns: &Ns, by: By<'_>) -> Result<Option<LinkInfo>> {
        let space = self.space(ns)?;
        let body = match by {
            By::Index(index) => ifinfo(index, 0, 0),
            By::Name(name) => {
                let mut body = ifinfo(0, 0, 0);
                let code = if name.len() <= crate::plan::name::IFNAME_MAX { IFLA_IFNAME } else { IFLA_ALT_IFNAME };
                message::put_text(&mut body, code, name);
                body
            }
        };
        let mut body = body;
        nla::put(&mut body, IFLA_EXT_MASK, &message::SKIP_STATS.to_ne_bytes());
        match space.netlink.get(rtm::GETLINK, &body) {
            Ok(answer) => Ok(self.parse(&answer)),
            Err(r) if r.errno == libc::ENODEV => match by {
                // A short alternative name is not found as a name.
                By::Name(name) if name.len() <= crate::plan::name::IFNAME_MAX => self.by_altname(&space, name),
                _ => Ok(None),
            },
            Err(r) => Err(r.error(format!("read a link in {}", ns.label())).with_ns(&ns.name)),
        }
    }

    fn links(&self, ns: &Ns, stats: bool) -> Result<Vec<LinkInfo>> {
        let space = self.space(ns)?;
        let mut body = ifinfo(0, 0, 0);
        let mask = if stats { 0 } else { message::SKIP_STATS };
        nla::put(&mut body, IFLA_EXT_MASK, &mask.to_ne_bytes());
        let all = space
            .netlink
            .dump(rtm::GETLINK, &body)
            .map_err(|r| r.error(format!("list the links of {}", ns.label())).with_ns(&ns.name))?;
        Ok(all.iter().filter_map(|body| self.parse(body)).collect())
    }

    fn dump(&self, ns: &Ns, what: What) -> Result<Vec<Vec<u8>>> {
        let space = self.space(ns)?;
        if matches!(what, What::Class | What::Filter) {
            return queues::dump(&space.netlink, ns, what);
        }
        let mut out = Vec::new();
        for (kind, body) in message::dump_requests(what) {
            match space.netlink.dump(kind, &body) {
                Ok(mut all) => out.append(&mut all),
                // A family or table that this kernel does not have holds nothing.
                Err(r) if matches!(r.errno, libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => {}
                Err(r) => {
                    return Err(r.error(format!("read the {what:?} table of {}", ns.label())).with_ns(&ns.name));
                }
            }
        }
        Ok(out)
    }

    fn route_get(&self, ns: &Ns, body: &[u8]) -> Result<Vec<u8>> {
        let space = self.space(ns)?;
        let answer = space
            .netlink
            .request(rtm::GETROUTE, 0, body)
            .map_err(|r| r.error(format!("ask for a route in {}", ns.label())).with_ns(&ns.name))?;
        answer.ok_or_else(|| Error::internal("the kernel answered without a route"))
    }

    fn genl(&self, ns: &Ns, family: &'static str, command: u8, attributes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.genl_dump(ns, family, command, attributes)
    }

    fn ethtool(&self, ns: &Ns, link: &LinkRef) -> Result<crate::plan::offload::Device> {
        self.ethtool_one(ns, link)
    }

    fn nsid(&self, at: &Ns, target: &Ns) -> Result<Option<i32>> {
        let (at, target) = (self.space(at)?, self.space(target)?);
        message::nsid(&at.netlink, &target.fd).map_err(|r| r.error("ask for an nsid"))
    }

    fn nsids(&self, at: &Ns) -> Result<Vec<i32>> {
        let space = self.space(at)?;
        let all = space
            .netlink
            .dump(rtm::GETNSID, &[0; 4])
            .map_err(|r| r.error(format!("list the nsids of {}", at.label())))?;
        let seen = |id: &i32| self.rehearsal().is_none() || *id != world::OTHER_ENDS_NSID;
        Ok(all.iter().filter_map(|body| message::nsid_of(body)).filter(seen).collect())
    }

    fn sysctl(&self, ns: &Ns, key: &str) -> Result<String> {
        let path = sysctl_path(key)?;
        if let Some(value) = self.rehearsal().and_then(|r| r.sysctl(ns.cookie, key))
            && !self.is_orphaned(ns, key)?
        {
            return Ok(value);
        }
        let shown = key.replace('/', ".");
        self.inside(ns, move || {
            let mut text = String::new();
            std::fs::File::open(&path)
                .and_then(|mut f| f.read_to_string(&mut text))
                .map_err(|e| sysctl_error(&e, &format!("read sysctl {shown}")))?;
            Ok(text.trim_end_matches('\n').to_string())
        })
        .or_else(|e| self.rehearsal().and_then(|r| r.unseen_sysctl(ns.cookie, key)).ok_or(e))
        .map_err(|e| e.with_ns(&ns.name).with_target(key))
    }

    fn sysctl_keys(&self, ns: &Ns, prefix: &str) -> Result<Vec<String>> {
        let root = sysctl_path(prefix)?;
        let kept = self.rehearsal().map_or_else(Vec::new, |r| r.sysctl_keys(ns.cookie, prefix));
        self.inside(ns, move || {
            let mut out = Vec::new();
            let mut todo = vec![root];
            while let Some(dir) = todo.pop() {
                let Ok(entries) = std::fs::read_dir(&dir) else { continue };
                for entry in entries.flatten() {
                    match entry.file_type() {
                        Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                        _ => {
                            if let Ok(path) = entry.path().strip_prefix("/proc/sys") {
                                out.push(path.to_string_lossy().into_owned());
                            }
                        }
                    }
                }
            }
            out.extend(kept);
            out.sort();
            out.dedup();
            Ok(out)
        })
    }

    fn nft(&self, ns: &Ns, args: &[&str], input: &str) -> Result<String> {
        nft::run(self, ns, args, input, None)
    }

    fn now(&self) -> u64 {
        clock::ticks()
    }

    fn rebind(&self, ns: &Ns) -> Result<()> {
        fault::before("rebind")?;
        let done = self.netns_add(&ns.name, ns.cookie);
        fault::after();
        done.map(|_| ())
    }

    fn reopen(&self, ns: &Ns, kept: Option<&std::path::Path>) -> Result<bool> {
        let _phase = phase::enter(Phase::Namespace);
        if ns.cookie == self.host.cookie || self.spaces.borrow().contains_key(&ns.cookie) {
            return Ok(true);
        }
        let mut seen = std::collections::HashSet::new();
        let mut look = |file: &std::path::Path| -> bool {
            use std::os::unix::fs::MetadataExt as _;
            let Ok(meta) = std::fs::metadata(file) else { return false };
            if !seen.insert((meta.dev(), meta.ino())) {
                return false;
            }
            let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC;
            let Ok(fd) = nix::fcntl::open(file, flags, nix::sys::stat::Mode::empty()) else { return false };
            if names::check(&fd, "").is_err() {
                return false;
            }
            let Ok(opened) = self.enterer.enter(&fd, space::open_current) else { return false };
            let found = opened.cookie == ns.cookie;
            if found {
                self.keep(ns.clone(), opened);
            }
            found
        };
        if !ns.name.is_empty() && look(&names::path(&ns.name)) || kept.is_some_and(&mut look) {
            return Ok(true);
        }
        if names::list().iter().any(|name| look(&names::path(name))) {
            return Ok(true);
        }
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut numbers = processes.filter(|e| e.file_name().as_encoded_bytes()[0].is_ascii_digit());
        if numbers.any(|e| look(&e.path().join("ns/net"))) {
            return Ok(true);
        }
        Ok(false)
    }

    fn reopen_named(&self, all: &[Ns]) {
        let _phase = phase::enter(Phase::Namespace);
        let closed = |ns: &&Ns| !ns.name.is_empty() && !self.spaces.borrow().contains_key(&ns.cookie);
        let (spaces, files): (Vec<Ns>, Vec<OwnedFd>) = all
            .iter()
            .filter(closed)
            .filter(|ns| crate::plan::name::check_nsname(&ns.name).is_ok())
            .filter_map(|ns| Some((ns.clone(), names::open_name(&ns.name).ok()?)))
            .unzip();
        let Ok(opened) = self.enterer.enter_all(files) else { return };
        for (ns, opened) in spaces.into_iter().zip(opened) {
            if let Some(opened) = opened.filter(|o| o.cookie == ns.cookie) {
                self.keep(ns, opened);
            }
        }
    }

    fn expect_namespaces(&self, n: usize) {
        self.maker.foresee(n);
    }

    fn hold(&self, ns: &Ns, path: &std::path::Path) -> Result<()> {
        fault::before("hold")?;
        let fd = self.raw_fd(ns)?;
        let done = names::hold(&format!("/proc/self/fd/{fd}"), path);
        fault::after();
        done
    }

    fn stand_in(&self, ns: &Ns, path: &std::path::Path) -> Result<()> {
        self.take_place(ns, path)
    }

    fn unhold(&self, path: &std::path::Path) -> Result<()> {
        fault::before("unhold")?;
        let done = names::unhold(path);
        fault::after();
        done
    }

    fn runs(&self, pid: i32, start_time: u64, tag: &str) -> bool {
        process::lives(pid, start_time) || process::tagged(tag)
    }

    fn end_marked(&self, mark: &str) -> Result<()> {
        process::end_marked(mark, GRACE).map(drop)
    }

    fn wait_dad(
        &self,
        ns: &Ns,
        only: Option<&[(u32, std::net::Ipv6Addr)]>,
        bound: std::time::Duration,
        cancel: &Cancel,
    ) -> Result<Dad> {
        let _phase = phase::enter(Phase::Wait);
        let only = only.map(<[_]>::to_vec);
        settle::dad(self, ns, &only, bound, cancel)
    }

    fn wait_links(&self, ns: &Ns, links: &[u32], bound: std::time::Duration, cancel: &Cancel) -> Result<()> {
        let _phase = phase::enter(Phase::Wait);
        settle::links(self, ns, links, bound, cancel)
    }

    fn wait_ports(&self, ns: &Ns, bridge: u32, bound: std::time::Duration, cancel: &Cancel) -> Result<bool> {
        let _phase = phase::enter(Phase::Wait);
        settle::ports(self, ns, bridge, bound, cancel)
    }

    fn end_processes(&self, spaces: &[Ns]) -> Result<usize> {
        let _phase = phase::enter(Phase::Process);
        let inodes: Vec<(u64, u64)> = spaces.iter().filter_map(|ns| self.inode(ns).ok()).collect();
        Ok(process::end_in_netns(&inodes, GRACE)?.len())
    }

    fn is_inhabited(&self, (dev, inode): (u64, u64)) -> bool {
        !process::pids_in_netns(dev, inode).is_empty()
    }

    fn read_file(&self, path: &str) -> Result<Option<(Vec<u8>, u32)>> {
        if let Some(file) = self.rehearsal().and_then(|r| r.file(path)) {
            return Ok(file);
        }
        use std::os::unix::fs::MetadataExt as _;
        match std::fs::symlink_metadata(path) {
            Ok(meta) if meta.is_file() => {
                let content = std::fs::read(path).map_err(|e| Error::from_io(&e, format!("read `{path}`")))?;
                Ok(Some((content, meta.mode() & 0o7777)))
            }
            Ok(_) => Err(Error::invalid(format!("`{path}` is not a regular file")).with_target(path)),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::from_io(&e, format!("read `{path}`")).with_target(path)),
        }
    }

    fn missing_folders(&self, path: &str) -> Vec<String> {
        file::missing_folders(path)
    }

    fn release(&self, ns: &Ns) {
        // A second name of the host's own namespace may go; the namespace itself stays.
        if ns.cookie != self.host.cookie {
            let _phase = phase::enter(Phase::Namespace);
            self.spaces.borrow_mut().remove(&ns.cookie);
        }
    }
}

impl Linux {
    fn act(&self, verb: &Verb) -> Result<Outcome> {
        let send = |ns: &Ns, kind: u16, flags: u16, body: &[u8]| -> Result<()> {
            self.space(ns)?.netlink.request(kind, flags, body).map(|_| ()).map_err(|r| Self::refused(verb, r))
        };
        match verb {
            Verb::NetnsAdd { name, cookie } => return self.netns_add(name, *cookie),
            Verb::NetnsAttach { name, path } => return self.netns_attach(name, path),
            Verb::NetnsDel { ns } => {
                let _phase = phase::enter(Phase::Namespace);
                names::unbind(&ns.name)?;
                self.names.borrow_mut().remove(&ns.name);
            }
            Verb::NetnsSetId { at, target, id } => {
                let body = message::nsid_body(Some(self.raw_fd(target)?), Some(id.unwrap_or(-1)));
                send(at, rtm::NEWNSID, 0, &body)?;
            }
            Verb::LinkAdd { ns, spec } if spec.kind == "tun" => return self.tun_add(ns, spec),
            Verb::LinkAdd { ns, spec } => return self.link_add(ns, spec),
            Verb::Wireguard { ns, link, config } => {
                const SET_DEVICE: u8 = 1; // WG_CMD_SET_DEVICE
                self.genl_do(ns, "wireguard", SET_DEVICE, &config.attributes(link.index))?
                    .map_err(|r| Self::refused(verb, r))?;
            }
            Verb::Ethtool { ns, link, change } => {
                self.ethtool_set(ns, link.index, change)?.map_err(|r| Self::refused(verb, r))?;
            }
            Verb::LinkDel { ns, link } if self.stands_for_device(ns, link)? => {
                // As rtnl_delete_link (net/core/rtnetlink.c) answers for hardware.
                return Err(Self::refused(verb, Refusal { errno: libc::EOPNOTSUPP, words: None }));
            }
            Verb::LinkDel { ns, link } => send(ns, rtm::DELLINK, 0, &ifinfo(link.index, 0, 0))?,
            Verb::LinkSet { ns, link, change } => {
                let (change, state) = switch::port_state(change);
                if state.is_none() || !change.is_empty() {
                    send(ns, rtm::NEWLINK, 0, &message::link_set(link.index, &change))?;
                }
                change.kind.as_ref().map_or(Ok(()), |(kind, all)| self.has_taken(ns, link.index, kind, all))?;
                state.map_or(Ok(()), |state| self.set_port_state(verb, ns, link, state))?;
            }
            Verb::LinkMove { ns, link, to, name, index } => {
                let body = message::link_move(link.index, self.raw_fd(to)?, name.as_deref(), *index);
                send(ns, rtm::NEWLINK, 0, &body)?;
                let name = name.clone().unwrap_or_else(|| link.name.clone());
                // A chosen index is silently ignored by kernels before 5.17: read back.
                let info = self
                    .link(to, By::Name(&name))?
                    .ok_or_else(|| Error::internal(format!("`{name}` was moved, but is not in {}", to.label())))?;
                let link = LinkRef { index: info.state.index, name };
                return Ok(Outcome { link: Some(link), ..Outcome::default() });
            }
            Verb::LinkAltname { ns, link, name, add } => {
                let (kind, flags) = if *add {
                    (rtm::NEWLINKPROP, rtm::CREATE | rtm::EXCL | rtm::APPEND)
                } else {
                    (rtm::DELLINKPROP, 0)
                };
                send(ns, kind, flags, &message::altname(link.index, name))?;
            }
            Verb::RecAdd { ns, rec, mode, .. } => {
                const TRIES: usize = 4;
                let mut now = self.now();
                send(ns, message::rec_new(rec.what), message::add_flags(*mode), &message::rec_body(rec, now))?;
                // On a busy machine it was set some time later, and would live that much longer.
                for _ in 0..TRIES {
                    let done = self.now();
                    if rec.what != What::Addr || rec.ends.is_none() || done <= now + TICKS / 2 {
                        break;
                    }
                    now = done;
                    send(ns, rtm::NEWADDR, rtm::REPLACE, &message::rec_body(rec, now))?;
                }
            }
            Verb::RecDel { ns, rec, .. } => {
                send(ns, message::rec_del(rec.what), 0, &message::rec_del_body(rec))?;
            }
            Verb::Sysctl { ns, key, value } => self.sysctl_write(ns, key, value)?,
            Verb::FileWrite { path, content, mode, folders } => match self.rehearsal() {
                Some(rehearsal) => rehearsal.write(path, content, *mode, *folders)?,
                None => file::write(path, content, *mode, *folders)?,
            },
            // Running it is the process room's, which asks for this to be written down first; that of nft is in `apply_telling`.
            Verb::ProcessStart { .. } | Verb::NftLoad { .. } => {}
            Verb::ProcessEnd { pid, start_time, tag } => {
                let lineage = process::Lineage { pid: *pid, start_time: *start_time, tag: tag.clone(), mount_ns: None };
                process::end_trees(&[lineage], GRACE)?;
            }
            Verb::FileRemove { path, folders } => match self.rehearsal() {
                Some(rehearsal) => rehearsal.remove(path)?,
                None => file::remove(path, folders)?,
            },
        }
        Ok(Outcome::default())
    }

    fn by_altname(&self, space: &Space, name: &str) -> Result<Option<LinkInfo>> {
        let mut body = ifinfo(0, 0, 0);
        message::put_text(&mut body, IFLA_ALT_IFNAME, name);
        match space.netlink.get(rtm::GETLINK, &body) {
            Ok(answer) => Ok(self.parse(&answer)),
            Err(r) if matches!(r.errno, libc::ENODEV | libc::EINVAL) => Ok(None),
            Err(r) => Err(r.error(format!("read link `{name}`"))),
        }
    }
}

//! Names are bound to namespaces: new ones, and those of processes and other files.

use super::{Linux, names, space};
use crate::kernel::Kernel as _;
use crate::phase::{self, Phase};
use crate::plan::{Error, Ns, Outcome, Result};
use std::os::fd::{AsRawFd as _, OwnedFd};

impl Linux {
    pub(super) fn netns_add(&self, name: &str, cookie: u64) -> Result<Outcome> {
        let _phase = phase::enter(Phase::Namespace);
        self.shared_dir()?;
        let ns = Ns { cookie, name: name.into() };
        let fd = self.raw_fd(&ns)?;
        names::bind(name, &format!("/proc/self/fd/{fd}"))?;
        self.names.borrow_mut().insert(name.into(), cookie);
        Ok(Outcome { ns: Some(ns), ..Outcome::default() })
    }

    pub(super) fn netns_attach(&self, name: &str, path: &str) -> Result<Outcome> {
        let fd = self.open_at(path).map_err(|error| error.with_target(name))?;
        self.shared_dir()?;
        names::bind(name, &format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        let space = self.adopt(name, &fd)?;
        let ns = Ns { cookie: space.ns.cookie, name: name.into() };
        self.names.borrow_mut().insert(name.into(), ns.cookie);
        Ok(Outcome { ns: Some(ns), ..Outcome::default() })
    }

    /// Keeps a new namespace under the cookie of one that is gone, or the one that is kept at the path.
    pub(super) fn take_place(&self, ns: &Ns, path: &std::path::Path) -> Result<()> {
        let _phase = phase::enter(Phase::Namespace);
        let kept = self.open_at(&path.to_string_lossy());
        let opened = match &kept {
            Ok(fd) => self.enterer.enter(fd, space::open_current)?,
            Err(_) => self.enterer.run(space::make)?,
        };
        self.keep(ns.clone(), opened);
        self.hold(ns, path)
    }

    /// Opens the file of a network namespace.
    pub(super) fn open_at(&self, path: &str) -> Result<OwnedFd> {
        // In a plan processes of the world outside are out of sight; their namespaces are there.
        let outside = path.strip_prefix("/proc/").and_then(|p| p.strip_suffix("/ns/net")?.parse().ok());
        let copied = match outside.and_then(|pid| self.rehearsal()?.outside(pid)) {
            Some(ns) => Some(format!("/proc/self/fd/{}", self.raw_fd(&ns)?)),
            None => None,
        };
        let path = copied.as_deref().unwrap_or(path);
        let fd = nix::fcntl::open(
            path,
            nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_CLOEXEC,
            nix::sys::stat::Mode::empty(),
        )
        .map_err(|e| {
            let error = Error::from_errno(e as i32, format!("open `{path}`"));
            if path.starts_with("/proc/") { error.with_hint("is the process still there?") } else { error }
        })?;
        names::check(&fd, path)?;
        Ok(fd)
    }
}

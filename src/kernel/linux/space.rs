//! Entering namespaces. A network namespace belongs to a thread: one thread of our own enters them, and hands out
//! sockets and descriptors; no other thread ever leaves the namespace that it was born in.

use super::message::{ifinfo, rtm};
use super::socket::Netlink;
use crate::plan::{Error, Ns, Result, nla};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc;

/// The one place of the control path that enters a namespace: on this thread only.
pub(super) fn setns(fd: impl AsFd) -> nix::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this is the thread that enters namespaces")]
    nix::sched::setns(fd, CloneFlags::CLONE_NEWNET)
}

type Job = Box<dyn FnOnce() + Send>;

/// The name of our threads that enter namespaces (at most 15 bytes, `TASK_COMM_LEN`). They are there for a moment only: who ends
/// what is in a namespace that goes leaves them alone, or one run would end another that just looks in.
pub(super) const VISITOR: &str = "nsscript-netns";

/// The thread that enters namespaces. It runs one job at a time, and the caller waits for it.
pub struct Enterer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Enterer {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start() -> Result<Enterer> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name(VISITOR.into())
            .spawn(move || {
                crate::kernel::cancel::unheard();
                // It goes home after each job: a thread that stays in a namespace would keep it from ending.
                let home = open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
                for job in inbox {
                    job();
                    if let Ok(home) = &home {
                        let _ = setns(home);
                    }
                }
            })
            .map_err(|e| Error::from_io(&e, "start a thread"))?;
        Ok(Enterer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` on the thread, in whatever namespace that is in.
    ///
    /// # Errors
    /// Those of `work`; `internal` if it panicked.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let _ = reply.send(result.unwrap_or_else(|_| Err(Error::internal("the netns thread panicked"))));
        });
        let gone = || Error::internal("the netns thread is gone");
        self.jobs.as_ref().ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    /// Runs `work` in the network namespace of the nsfs descriptor `fd`.
    ///
    /// # Errors
    /// The namespace can't be entered, or those of `work`.
    pub fn enter<T: Send + 'static>(
        &self,
        fd: &impl AsFd,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let raw: RawFd = fd.as_fd().as_raw_fd();
        self.run(move || {
            // SAFETY: the caller holds the descriptor open until `run` returns, which is after this.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(raw) };
            setns(fd).map_err(|e| Error::from_errno(e as i32, "enter the network namespace"))?;
            work()
        })
    }
}

impl Enterer {
    /// Opens what is needed of each of these namespaces; `None` where that fails.
    ///
    /// # Errors
    /// `internal`: the thread is gone.
    pub fn enter_all(&self, files: Vec<OwnedFd>) -> Result<Vec<Option<Opened>>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        self.run(move || {
            let open = |fd: &OwnedFd| setns(fd).ok().and_then(|()| open_current().ok());
            Ok(files.iter().map(open).collect())
        })
    }
}

impl Drop for Enterer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A namespace that is held open: while we hold it, neither its inode nor its cookie can be another's.
pub struct Space {
    pub ns: Ns,
    /// (device, inode) of the nsfs file.
    pub inode: (u64, u64),
    pub fd: OwnedFd,
    pub netlink: Netlink,
    /// The next ifindex to choose for a link that we make; 0: not known yet.
    pub next_index: Cell<u32>,
    /// A socket for ethtool, once it was needed; `None` inside: the kernel has none.
    pub ethtool: std::cell::OnceCell<Option<super::ethtool::Socket>>,
}

/// The parts of a [`Space`] that are made in the namespace.
pub struct Opened {
    pub cookie: u64,
    pub inode: (u64, u64),
    pub fd: OwnedFd,
    pub netlink: Netlink,
    /// The next ifindex to choose there; 0: not known yet.
    pub next_index: u32,
}

/// Opens what is needed of the calling thread's namespace.
///
/// # Errors
/// /proc is missing, or there is no descriptor left.
pub fn open_current() -> Result<Opened> {
    let netlink = Netlink::open()?;
    let cookie = cookie(netlink.raw())?;
    let fd = open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|e| Error::from_errno(e as i32, "open `/proc/thread-self/ns/net`"))?;
    let stat = nix::sys::stat::fstat(&fd).map_err(|e| Error::from_errno(e as i32, "stat a namespace"))?;
    Ok(Opened { cookie, inode: (stat.st_dev, stat.st_ino), fd, netlink, next_index: 0 })
}

/// Makes a namespace, which ends with its descriptors unless it is bound to a name.
///
/// # Errors
/// Not allowed, or the limit of namespaces (`/proc/sys/user/max_net_namespaces`) is reached.
pub fn make() -> Result<Opened> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|e| {
        let error = Error::from_errno(e as i32, "make a network namespace");
        match e {
            nix::errno::Errno::EPERM => error.with_hint("it needs CAP_SYS_ADMIN: run it with `--sandbox`, or as root"),
            nix::errno::Errno::ENOSPC => {
                error.with_hint("the limit of namespaces is reached: `sysctl -w user.max_net_namespaces=65536`")
            }
            _ => error,
        }
    })?;
    let mut opened = open_current()?;
    // It holds the loopback, index 1, and where tunnels are loaded their fallback links.
    let links = opened.netlink.dump(rtm::GETLINK, &ifinfo(0, 0, 0)).unwrap_or_default();
    opened.next_index =
        links.iter().filter_map(|body| nla::u32_of(body.get(4..8)?)).max().map_or(0, |highest| highest + 1);
    Ok(opened)
}

/// `SO_NETNS_COOKIE` (Linux 5.14): a number that no other namespace of this boot has or had.
fn cookie(fd: RawFd) -> Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0u64;
    let mut len = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or(8);
    // SAFETY: the pointers are to locals of the sizes given.
    let done = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, SO_NETNS_COOKIE, std::ptr::from_mut(&mut cookie).cast(), &raw mut len)
    };
    if done == 0 {
        Ok(cookie)
    } else {
        let error = Error::from_io(&std::io::Error::last_os_error(), "read the namespace's cookie");
        Err(error.with_hint("nsscript needs Linux 5.14 or later"))
    }
}

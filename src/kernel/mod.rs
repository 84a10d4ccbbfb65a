//! The only room that enters a namespace, opens a socket or starts a process.

pub mod cancel;
pub mod linux;
pub mod sandbox;
pub mod terminal;

pub use cancel::Cancel;
pub use linux::process::{BeforeExec, Lineage};

use crate::plan::offload::Device;
use crate::plan::{Error, Kind, LinkInfo, LinkRef, Ns, Outcome, Result, State, Verb, What};

/// A name in `/run/netns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsEntry {
    pub name: String,
    pub inode: u64,
    /// As seen from the asking namespace, if it has one.
    pub nsid: Option<i32>,
}

/// How a link is asked for.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    Index(u32),
    /// Its name or an alternative name.
    Name(&'a str),
}

/// What came of waiting for duplicate address detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dad {
    /// Addresses that are in use elsewhere (`dadfailed`), with their ifindex.
    pub failed: Vec<(u32, std::net::Ipv6Addr)>,
    /// Still tentative when the bound was reached.
    pub pending: Vec<(u32, std::net::Ipv6Addr)>,
}

/// The machine: real, or a model of it. Verbs change it; everything else reads.
///
/// Every method's errors name what was being done; a namespace that is gone is `not_found`.
pub trait Kernel {
    /// A moment of a run that is no change of the machine, and that tests can cut nevertheless.
    ///
    /// # Errors
    /// A fault on purpose.
    fn moment(&self, _what: &str) -> Result<()> {
        Ok(())
    }

    /// The namespace that nsscript was started in.
    fn host(&self) -> Ns;

    /// The namespace behind a name of `/run/netns`.
    ///
    /// # Errors
    /// `not_found`, with the nearest name.
    fn find_ns(&self, name: &str) -> Result<Ns>;

    /// All names of `/run/netns`, sorted, with the nsids that `from` has for them.
    ///
    /// # Errors
    /// Netlink refuses.
    fn list_ns(&self, from: &Ns) -> Result<Vec<NsEntry>>;

    /// (device, inode) of a namespace's file.
    ///
    /// # Errors
    /// It is gone.
    fn inode(&self, ns: &Ns) -> Result<(u64, u64)>;

    /// Completes a verb with the identities that are chosen before it is done: the cookie of a namespace, the ifindex
    /// and MAC of a link.
    ///
    /// # Errors
    /// A namespace can't be made.
    fn prepare(&self, verb: &mut Verb) -> Result<()>;

    /// Does it.
    ///
    /// # Errors
    /// What the kernel refused, in its own words.
    fn apply(&self, verb: &Verb) -> Result<Outcome>;

    /// [`Kernel::apply`], where `told` hears of a program that does it, before that begins.
    ///
    /// # Errors
    /// Those of the verb and of `told`; then nothing was changed.
    fn apply_telling(&self, verb: &Verb, told: BeforeExec<'_>) -> Result<Outcome>;

    /// Everything that undo compares: links, addresses, nexthops, routes of all tables, permanent neighbours, rules,
    /// and the sysctls named.
    ///
    /// # Errors
    /// Netlink refuses.
    fn state(&self, ns: &Ns, sysctls: &[String]) -> Result<State>;

    /// One link.
    ///
    /// # Errors
    /// Netlink refuses; a link that is not there is `None`.
    fn link(&self, ns: &Ns, by: By<'_>) -> Result<Option<LinkInfo>>;

    /// All links; with counters where asked for.
    ///
    /// # Errors
    /// Netlink refuses.
    fn links(&self, ns: &Ns, stats: bool) -> Result<Vec<LinkInfo>>;

    /// The bodies of a table's dump as the kernel gives them, momentary entries included.
    ///
    /// # Errors
    /// Netlink refuses.
    fn dump(&self, ns: &Ns, what: What) -> Result<Vec<Vec<u8>>>;

    /// The route that a packet would take: the body of the answer to `RTM_GETROUTE` with `body`.
    ///
    /// # Errors
    /// `unreachable` where there is none.
    fn route_get(&self, ns: &Ns, body: &[u8]) -> Result<Vec<u8>>;

    /// Asks a family of generic netlink: the attributes of each message of the answer.
    ///
    /// # Errors
    /// `unsupported` where there is no such family; what it refuses.
    fn genl(&self, _ns: &Ns, family: &'static str, _command: u8, _attributes: &[u8]) -> Result<Vec<Vec<u8>>> {
        Err(Error::new(Kind::Unsupported, format!("there is no generic netlink family `{family}`")))
    }

    /// What ethtool knows of a link.
    ///
    /// # Errors
    /// `unsupported` where the kernel has no ethtool by netlink.
    fn ethtool(&self, ns: &Ns, link: &LinkRef) -> Result<Device>;

    /// The nsid that `at` has for `target`.
    ///
    /// # Errors
    /// Netlink refuses.
    fn nsid(&self, at: &Ns, target: &Ns) -> Result<Option<i32>>;

    /// All nsids that `at` has given.
    ///
    /// # Errors
    /// Netlink refuses.
    fn nsids(&self, at: &Ns) -> Result<Vec<i32>>;

    /// The value of `/proc/sys/KEY` as seen in `ns`, without the last newline.
    ///
    /// # Errors
    /// `not_found` for an unknown key.
    fn sysctl(&self, ns: &Ns, key: &str) -> Result<String>;

    /// The keys below `/proc/sys/PREFIX`, as seen in `ns`.
    ///
    /// # Errors
    /// The namespace can't be entered.
    fn sysctl_keys(&self, ns: &Ns, prefix: &str) -> Result<Vec<String>>;

    /// Runs `nft` in the namespace with these arguments and this input; gives what it prints.
    ///
    /// # Errors
    /// `not_found` without the program, with how to get it; else in its own words.
    fn nft(&self, ns: &Ns, args: &[&str], input: &str) -> Result<String>;

    /// Hundredths of a second since boot, without the time in suspend: as the kernel counts lifetimes down.
    fn now(&self) -> u64;

    /// The cookie of the namespace that a file is of.
    ///
    /// # Errors
    /// It can't be opened, or is no network namespace.
    fn cookie_at(&self, path: &str) -> Result<u64>;

    /// Removes the file of a name in `/run/netns` that nothing is bound to, as a kill in the midst of binding leaves it.
    fn drop_stub(&self, name: &str);

    /// Binds the name of a namespace that is held open again: what takes `netns_del` back.
    ///
    /// # Errors
    /// The name is taken.
    fn rebind(&self, ns: &Ns) -> Result<()>;

    /// Opens a namespace of which only the cookie is known for sure: behind its name, behind the file `kept`, or wherever
    /// else it is found. False where it is gone.
    ///
    /// # Errors
    /// /proc or /run/netns can't be read.
    fn reopen(&self, ns: &Ns, kept: Option<&std::path::Path>) -> Result<bool>;

    /// Opens those of these namespaces that are behind their names, all at once: [`Kernel::reopen`] then has less to do.
    fn reopen_named(&self, _: &[Ns]) {}

    /// So many namespaces are about to be made.
    fn expect_namespaces(&self, _: usize) {}

    /// Keeps a namespace by a bind mount at `path`.
    ///
    /// # Errors
    /// Mounting is refused.
    fn hold(&self, ns: &Ns, path: &std::path::Path) -> Result<()>;

    /// A new namespace takes the place of one that is gone, under its cookie, and is kept at a path; or the one does that is kept
    /// there.
    ///
    /// # Errors
    /// It can't be made, or can't be kept.
    fn stand_in(&self, ns: &Ns, path: &std::path::Path) -> Result<()>;

    /// Takes such a mount away. Removing the file drops it in every mount namespace.
    ///
    /// # Errors
    /// It is in use.
    fn unhold(&self, path: &std::path::Path) -> Result<()>;

    /// Whether the process runs that has this pid and start time, or anything that it started: that carries its tag.
    fn runs(&self, pid: i32, start_time: u64, tag: &str) -> bool;

    /// Ends what carries a run's mark: what its commands started and left.
    ///
    /// # Errors
    /// Something is still there.
    fn end_marked(&self, mark: &str) -> Result<()>;

    /// Waits, by the kernel's events and at most `bound`, until duplicate address detection is done for the IPv6
    /// addresses of those links of `ns` that have carrier. `only` limits it to these (ifindex, address). Returns the
    /// duplicates found, and what was still tentative at the end.
    ///
    /// # Errors
    /// `interrupted`, or netlink refuses.
    fn wait_dad(
        &self,
        ns: &Ns,
        only: Option<&[(u32, std::net::Ipv6Addr)]>,
        bound: std::time::Duration,
        cancel: &Cancel,
    ) -> Result<Dad>;

    /// Waits, by the kernel's events and at most `bound`, until the operational state of these links has followed their
    /// carrier: before, bridges and routes do not use them, and packets are lost.
    ///
    /// # Errors
    /// `interrupted`, or netlink refuses.
    fn wait_links(&self, ns: &Ns, links: &[u32], bound: std::time::Duration, cancel: &Cancel) -> Result<()>;

    /// Waits, by the kernel's events and at most `bound`, until no port of a bridge listens or learns (STP) that is up and has
    /// carrier. False: the bound was reached.
    ///
    /// # Errors
    /// `interrupted`, or netlink refuses.
    fn wait_ports(&self, ns: &Ns, bridge: u32, bound: std::time::Duration, cancel: &Cancel) -> Result<bool>;

    /// Ends the processes that are in one of these namespaces, and waits until they are gone. Returns how many.
    ///
    /// # Errors
    /// Some would not end.
    fn end_processes(&self, spaces: &[Ns]) -> Result<usize>;

    /// Whether a process is in the namespace with this device and inode number.
    fn is_inhabited(&self, inode: (u64, u64)) -> bool;

    /// Content and mode of a file; `None` where there is none.
    ///
    /// # Errors
    /// It can't be read.
    fn read_file(&self, path: &str) -> Result<Option<(Vec<u8>, u32)>>;

    /// The folders above a file that are not there, the innermost first.
    fn missing_folders(&self, path: &str) -> Vec<String>;

    /// Forgets a namespace: nothing here holds it any more.
    fn release(&self, ns: &Ns);
}

//! What this kernel and this user can do, found out by doing it in a namespace that is thrown away.
//!
//! Nothing of the machine's own is touched. Asking for a link kind that is not there makes the kernel load its module,
//! which is fine, except for those modules that make devices when they are loaded (`dummy0`, `tunl0`, `ifb0` …, in the
//! machine's own namespace): such a kind is asked for only where it is registered already.

mod more;

use super::message::{ifinfo, kind_option, put_text, rtm};
use super::socket::{Netlink, Refusal, refusal_text};
use crate::kernel::sandbox;
use crate::plan::link::{
    IFF_UP, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINKINFO, VETH_INFO_PEER,
};
use crate::plan::{LinkInfo, nla};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::Mode;
use serde::Serialize;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// The first kernel that has all that nsscript builds on (`SO_NETNS_COOKIE`).
const OLDEST: (u32, u32) = (5, 14);

/// Whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was done.
    Yes,
    /// Not loaded yet; there is a module that the kernel loads at the first use.
    Module,
    No,
    /// It could not be tried.
    Unknown,
}

impl State {
    /// `yes`, `module`, `no`, `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Yes => "yes",
            State::Module => "module",
            State::No => "no",
            State::Unknown => "unknown",
        }
    }
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `base`, `link`, `qdisc`, `filter`, `action`, `other`, `program`.
    pub area: &'static str,
    pub name: String,
    pub state: State,
    /// What is missing, or what there is to know; may be empty.
    pub note: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Finding {
    fn new(area: &'static str, name: impl Into<String>, state: State) -> Finding {
        Finding { area, name: name.into(), state, note: String::new(), hint: String::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Finding {
        self.note = note.into();
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = hint.into();
        self
    }
}

/// Everything that was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// As `uname -r` prints it.
    pub kernel: String,
    /// Scripts work on the host, without a sandbox.
    pub privileged: bool,
    /// What no lab can do without is there.
    pub ok: bool,
    pub findings: Vec<Finding>,
}

/// What no lab can do without: (area, name).
const ESSENTIAL: [(&str, &str); 5] =
    [("base", "kernel"), ("base", "network namespaces"), ("base", "privileges"), ("link", "veth"), ("link", "bridge")];

/// Finds everything out. **The calling process leaves its network namespace for one of its own, and its user namespace
/// too**: it must have a single thread, and do nothing afterwards but show what was found.
#[must_use]
pub fn survey() -> Survey {
    let kernel = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let privileged = sandbox::privileged();
    let mut findings = vec![version(&kernel)];
    let mut programs = programs();
    let mut rest = Vec::new();
    match leave(privileged) {
        Ok(()) => {
            findings.push(Finding::new("base", "network namespaces", State::Yes));
            match Netlink::open() {
                Ok(netlink) => rest = Room::new(netlink, &kernel).probe(),
                Err(e) => findings.push(Finding::new("base", "netlink", State::No).note(e.message)),
            }
            findings.push(user_namespaces(privileged));
        }
        Err(e) => {
            // Without privileges it is the user namespace that was refused: the network namespace needs one.
            let name = if privileged { "network namespaces" } else { "user namespaces" };
            findings.push(Finding::new(
                "base",
                "network namespaces",
                if privileged { State::No } else { State::Unknown },
            ));
            findings.retain(|f| f.name != name);
            findings.push(Finding::new("base", name, State::No).note(e.message).hint(e.hint.unwrap_or_default()));
        }
    }
    findings.push(privileges(privileged, &findings));
    findings.append(&mut rest);
    findings.append(&mut programs);
    let there = |area: &str, name: &str| {
        findings.iter().any(|f| f.area == area && f.name == name && matches!(f.state, State::Yes | State::Module))
    };
    let ok = ESSENTIAL.iter().all(|(area, name)| there(area, name));
    Survey { kernel, privileged, ok, findings }
}

fn version(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let finding = Finding::new("base", "kernel", if found >= OLDEST { State::Yes } else { State::No });
    let finding = finding.note(format!("Linux {release}; {}.{} or later is needed", OLDEST.0, OLDEST.1));
    if found >= OLDEST { finding } else { finding.hint("boot a newer kernel") }
}

/// Enters a network namespace of our own, by way of a user namespace where that needs one.
fn leave(privileged: bool) -> crate::plan::Result<()> {
    if privileged {
        return unshare(CloneFlags::CLONE_NEWNET).map_err(|e| sandbox::refused(e as i32, "make a network namespace"));
    }
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|e| sandbox::refused(e as i32, "make a user namespace"))?;
    for (file, text) in
        [("setgroups", "deny".to_owned()), ("uid_map", format!("0 {uid} 1")), ("gid_map", format!("0 {gid} 1"))]
    {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|e| sandbox::refused(e.raw_os_error().unwrap_or(libc::EIO), "map ids into a user namespace"))?;
    }
    Ok(())
}

/// After everything else: a privileged process has not needed one so far.
fn user_namespaces(privileged: bool) -> Finding {
    let finding = |state| Finding::new("base", "user namespaces", state);
    if !privileged {
        return finding(State::Yes);
    }
    if let Err(e) = unshare(CloneFlags::CLONE_NEWUSER) {
        let error = sandbox::refused(e as i32, "make a user namespace");
        return finding(State::No).note(error.message).hint(error.hint.unwrap_or_default());
    }
    for (switch, off) in
        [("kernel/unprivileged_userns_clone", "0"), ("kernel/apparmor_restrict_unprivileged_userns", "1")]
    {
        let value = std::fs::read_to_string(format!("/proc/sys/{switch}")).unwrap_or_default();
        if value.trim() == off {
            let name = switch.replace('/', ".");
            let on = u8::from(off == "0");
            return finding(State::No)
                .note(format!("for root only: {name} = {off}"))
                .hint(format!("for scripts of ordinary users: `sysctl -w {name}={on}`"));
        }
    }
    finding(State::Yes)
}

fn privileges(privileged: bool, so_far: &[Finding]) -> Finding {
    let finding = |state| Finding::new("base", "privileges", state);
    if privileged {
        return finding(State::Yes).note("scripts work on the host; `--sandbox` gives them a sandbox of their own");
    }
    if so_far.iter().any(|f| f.name == "user namespaces" && f.state == State::Yes) {
        return finding(State::Yes).note("none: scripts work in a sandbox of their own, gone at their end");
    }
    finding(State::No).note("none, and no sandbox can be made").hint("run as root")
}

// ---------------------------------------------------------------------------------------------------------------
// Programs

fn programs() -> Vec<Finding> {
    // (program, what for, packages: Debian, Fedora, Arch, Alpine, SUSE)
    const PROGRAMS: [(&str, &str, [&str; 5]); 3] = [
        ("nft", "packet filters and NAT", ["nftables"; 5]),
        ("tcpdump", "packets on the wire", ["tcpdump"; 5]),
        (
            "newuidmap",
            "more than one user id in a sandbox",
            ["uidmap", "shadow-utils", "shadow", "shadow-subids", "shadow"],
        ),
    ];
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    PROGRAMS
        .iter()
        .map(|(name, purpose, packages)| {
            let finding = |state| Finding::new("program", *name, state).note(*purpose);
            if on_path(name) { finding(State::Yes) } else { finding(State::No).hint(install(&release, packages)) }
        })
        .collect()
}

fn on_path(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var("PATH").unwrap_or_default();
    // Where they are, though an ordinary user's PATH often lacks it.
    path.split(':').chain(["/usr/sbin", "/sbin"]).filter(|dir| !dir.is_empty()).any(|dir| {
        let file = Path::new(dir).join(program);
        std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

/// How this distribution installs nft.
pub fn install_nft() -> String {
    install(&std::fs::read_to_string("/etc/os-release").unwrap_or_default(), &["nftables"; 5])
}

/// How this distribution installs a package (`os-release(5)`).
fn install(release: &str, packages: &[&str; 5]) -> String {
    let field = |name: &str| {
        let line = release.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
    };
    let ids = format!("{} {}", field("ID"), field("ID_LIKE"));
    let is = |names: &[&str]| ids.split_whitespace().any(|id| names.contains(&id));
    let [debian, fedora, arch, alpine, suse] = packages;
    if is(&["debian", "ubuntu"]) {
        format!("`apt install {debian}`")
    } else if is(&["fedora", "rhel", "centos"]) {
        format!("`dnf install {fedora}`")
    } else if is(&["arch"]) {
        format!("`pacman -S {arch}`")
    } else if is(&["alpine"]) {
        format!("`apk add {alpine}`")
    } else if is(&["suse", "opensuse"]) {
        format!("`zypper install {suse}`")
    } else {
        format!("install the package `{debian}`")
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The namespace that is thrown away

/// What a link kind needs below it.
#[derive(Clone, Copy)]
enum Lower {
    Nothing,
    /// One of the veth ends: macvlan, ipvlan and macsec each want one for themselves.
    End(u32),
}

/// A link kind, and the attributes of `IFLA_INFO_DATA` that it can't do without.
struct LinkKind {
    name: &'static str,
    lower: Lower,
    data: &'static [(u16, &'static [u8])],
    /// Its module makes devices when it is loaded.
    litters: bool,
}

/// ifindexes of the veth ends: far above what modules make by themselves.
const ENDS: [u32; 4] = [1001, 1002, 1003, 1004];
/// The bridge.
const BRIDGE: u32 = 1010;
/// The others, counted from here.
const FIRST: u32 = 1100;
/// 192.0.2.1 and 2001:db8::1 (RFC 5737, RFC 3849): nobody's.
const REMOTE: &[u8] = &[192, 0, 2, 1];
const REMOTE6: &[u8] = &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

const fn kind(name: &'static str, lower: Lower, data: &'static [(u16, &'static [u8])]) -> LinkKind {
    LinkKind { name, lower, data, litters: false }
}

const fn littering(name: &'static str, data: &'static [(u16, &'static [u8])]) -> LinkKind {
    LinkKind { name, lower: Lower::Nothing, data, litters: true }
}

// Attribute numbers: include/uapi/linux/if_link.h, if_tunnel.h.
/// `IFLA_GRE_IFLAGS`, `_OFLAGS`: `GRE_SEQ` and `GRE_KEY`, which they need; `IFLA_GRE_REMOTE`.
const ERSPAN: &[(u16, &[u8])] = &[(2, &[0x30, 0]), (3, &[0x30, 0]), (7, REMOTE)];
const ERSPAN6: &[(u16, &[u8])] = &[(2, &[0x30, 0]), (3, &[0x30, 0]), (7, REMOTE6)];

const KINDS: [LinkKind; 29] = [
    kind("vlan", Lower::End(ENDS[0]), &[(1, &7u16.to_ne_bytes())]), // IFLA_VLAN_ID
    kind("vxlan", Lower::Nothing, &[(1, &7u32.to_ne_bytes())]),     // IFLA_VXLAN_ID
    kind("macvlan", Lower::End(ENDS[0]), &[]),
    kind("macvtap", Lower::End(ENDS[0]), &[]),
    kind("ipvlan", Lower::End(ENDS[1]), &[]),
    kind("ipvtap", Lower::End(ENDS[1]), &[]),
    littering("dummy", &[]),
    littering("ifb", &[]),
    kind("vrf", Lower::Nothing, &[(1, &7u32.to_ne_bytes())]), // IFLA_VRF_TABLE
    littering("bond", &[]),
    littering("gre", &[(7, REMOTE)]),    // IFLA_GRE_REMOTE
    littering("gretap", &[(7, REMOTE)]), // IFLA_GRE_REMOTE
    littering("erspan", ERSPAN),
    littering("ip6gre", &[(7, REMOTE6)]),    // IFLA_GRE_REMOTE
    littering("ip6gretap", &[(7, REMOTE6)]), // IFLA_GRE_REMOTE
    littering("ip6erspan", ERSPAN6),
    littering("ipip", &[(3, REMOTE)]),    // IFLA_IPTUN_REMOTE
    littering("sit", &[(3, REMOTE)]),     // IFLA_IPTUN_REMOTE
    littering("ip6tnl", &[(3, REMOTE6)]), // IFLA_IPTUN_REMOTE
    littering("vti", &[(5, REMOTE)]),     // IFLA_VTI_REMOTE
    littering("vti6", &[(5, REMOTE6)]),   // IFLA_VTI_REMOTE
    kind("bareudp", Lower::Nothing, &[(1, &[0x19, 0xeb]), (2, &[0x88, 0x47])]), // IFLA_BAREUDP_PORT 6635, _ETHERTYPE mpls
    kind("geneve", Lower::Nothing, &[(1, &7u32.to_ne_bytes()), (2, REMOTE)]),   // IFLA_GENEVE_ID, _REMOTE
    kind("wireguard", Lower::Nothing, &[]),
    kind("macsec", Lower::End(ENDS[2]), &[]),
    kind("xfrm", Lower::Nothing, &[(2, &7u32.to_ne_bytes())]), // IFLA_XFRM_IF_ID
    kind("netkit", Lower::Nothing, &[]),
    kind("nlmon", Lower::Nothing, &[]),
    kind("team", Lower::Nothing, &[]),
];

/// Whether the module of this link kind makes devices when it is loaded.
#[must_use]
pub fn litters(name: &str) -> bool {
    KINDS.iter().any(|k| k.name == name && k.litters)
}

// include/uapi/linux/rtnetlink.h, pkt_sched.h
const NEWQDISC: u16 = 36;
const NEWTFILTER: u16 = 44;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TC_H_ROOT: u32 = 0xffff_ffff;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
/// `TC_H_INGRESS` and `TC_H_CLSACT`.
const TC_H_CLSACT: u32 = 0xffff_fff1;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)`.
const CLSACT_INGRESS: u32 = 0xffff_fff2;

/// What `RTM_NEWLINK` answers where the kind is unknown: EOPNOTSUPP, or ENOTSUPP of some drivers.
const UNKNOWN_KIND: [i32; 2] = [libc::EOPNOTSUPP, 524];
/// And `RTM_NEWQDISC` and `RTM_NEWTFILTER`.
const UNKNOWN_TC: [i32; 2] = [libc::ENOENT, libc::EOPNOTSUPP];

struct Room<'k> {
    netlink: Netlink,
    release: &'k str,
    /// The modules that could be loaded; none where nothing tells.
    modules: OnceCell<Option<BTreeSet<String>>>,
    found: Vec<Finding>,
}

impl<'k> Room<'k> {
    fn new(netlink: Netlink, release: &'k str) -> Room<'k> {
        Room { netlink, release, modules: OnceCell::new(), found: Vec::new() }
    }

    fn probe(mut self) -> Vec<Finding> {
        let veth = self.links();
        self.tun();
        self.bridge_vlans();
        self.bridge_groups();
        if veth {
            self.qdiscs();
            self.filters();
            self.actions();
            self.rename();
            self.segments();
        }
        self.ethtool();
        self.nexthops();
        self.mpls();
        self.mpls_routes();
        self.nf_tables();
        self.raw_icmp();
        self.found
    }

    /// The modules of this kernel (`modules.dep(5)`), as far as they can be seen from here.
    fn modules(&self) -> Option<&BTreeSet<String>> {
        let read = || {
            let text = std::fs::read_to_string(format!("/lib/modules/{}/modules.dep", self.release)).ok()?;
            Some(
                text.lines()
                    .filter_map(|line| line.split(':').next()?.rsplit('/').next()?.split(".ko").next())
                    .map(|name| name.replace('-', "_"))
                    .collect(),
            )
        };
        self.modules.get_or_init(read).as_ref()
    }

    /// Makes a link.
    fn make(&self, index: u32, kind: &LinkKind) -> Result<(), Refusal> {
        let mut body = ifinfo(index, 0, 0);
        put_text(&mut body, IFLA_IFNAME, &format!("probe{index}"));
        if let Lower::End(lower) = kind.lower {
            nla::put(&mut body, IFLA_LINK, &lower.to_ne_bytes());
        }
        nla::nest(&mut body, IFLA_LINKINFO, |info| {
            put_text(info, IFLA_INFO_KIND, kind.name);
            if !kind.data.is_empty() {
                nla::nest(info, IFLA_INFO_DATA, |data| {
                    for (code, value) in kind.data {
                        nla::put(data, *code, value);
                    }
                });
            }
        });
        self.netlink.request(rtm::NEWLINK, rtm::CREATE | rtm::EXCL, &body).map(drop)
    }

    /// Makes a veth pair, with both ifindexes chosen.
    fn pair(&self, a: u32, b: u32) -> Result<(), Refusal> {
        let mut body = ifinfo(a, 0, 0);
        put_text(&mut body, IFLA_IFNAME, &format!("probe{a}"));
        nla::nest(&mut body, IFLA_LINKINFO, |info| {
            put_text(info, IFLA_INFO_KIND, "veth");
            nla::nest(info, IFLA_INFO_DATA, |data| {
                nla::nest(data, VETH_INFO_PEER, |peer| {
                    peer.extend_from_slice(&ifinfo(b, 0, 0));
                    put_text(peer, IFLA_IFNAME, &format!("probe{b}"));
                });
            });
        });
        self.netlink.request(rtm::NEWLINK, rtm::CREATE | rtm::EXCL, &body).map(drop)
    }

    /// Whether a kind is registered, without loading anything: a dump that is limited to a kind shows all links where the
    /// kernel does not know the kind (`linkinfo_to_kind_ops`, net/core/rtnetlink.c).
    fn registered(&self, kind: &str) -> bool {
        let mut body = ifinfo(0, 0, 0);
        nla::nest(&mut body, IFLA_LINKINFO, |info| put_text(info, IFLA_INFO_KIND, kind));
        let all = self.netlink.dump(rtm::GETLINK, &body).unwrap_or_default();
        !all.iter().filter_map(|body| LinkInfo::parse(body)).any(|l| l.state.index == 1)
    }

    fn missing(area: &'static str, name: &str, option: &str, module: &str) -> Finding {
        Finding::new(area, name, State::No)
            .note(format!("needs {option}, module `{module}`"))
            .hint(format!("`modprobe {module}`, or another kernel"))
    }

    /// What became of making something; `unknown` are the errnos for a kind that the kernel does not know.
    fn judge(
        area: &'static str,
        name: &str,
        option: &str,
        module: &str,
        unknown: &[i32],
        done: Result<(), Refusal>,
    ) -> Finding {
        match done {
            Ok(()) => Finding::new(area, name, State::Yes),
            Err(r) if unknown.contains(&r.errno) => Room::missing(area, name, option, module),
            Err(r) if matches!(r.errno, libc::EPERM | libc::EACCES) => {
                Finding::new(area, name, State::No).note(format!("not allowed here: {}", refusal_text(&r)))
            }
            Err(r) => Finding::new(area, name, State::Unknown).note(refusal_text(&r)),
        }
    }

    fn link(&self, index: u32, kind: &LinkKind) -> Finding {
        let (option, module) = kind_option(kind.name).unwrap_or(("an option of the kernel", kind.name));
        if kind.litters && !self.registered(kind.name) {
            // CONFIG_MODULES=n has no such file: nothing is loaded by asking.
            let loads = Path::new("/proc/sys/kernel/modprobe").exists();
            match self.modules() {
                _ if !loads => {}
                Some(all) if all.contains(module) => {
                    return Finding::new("link", kind.name, State::Module)
                        .note(format!("module `{module}`, loaded at the first use"));
                }
                Some(_) => return Room::missing("link", kind.name, option, module),
                None => {
                    return Finding::new("link", kind.name, State::Unknown)
                        .note(format!("module `{module}` is not loaded"))
                        .hint(format!("`modprobe {module}` on the machine tells"));
                }
            }
        }
        Room::judge("link", kind.name, option, module, &UNKNOWN_KIND, self.make(index, kind))
    }

    /// Whether there are veth pairs to go on with.
    fn links(&mut self) -> bool {
        let made: Result<(), Refusal> = ENDS.chunks(2).try_for_each(|pair| self.pair(pair[0], pair[1]));
        let there = made.is_ok();
        self.found.push(Room::judge("link", "veth", "CONFIG_VETH", "veth", &UNKNOWN_KIND, made));
        let bridge = self.link(BRIDGE, &kind("bridge", Lower::Nothing, &[]));
        self.found.push(bridge);
        for (index, kind) in (FIRST..).zip(&KINDS) {
            let finding = match kind.lower {
                Lower::End(_) if !there => {
                    Finding::new("link", kind.name, State::Unknown).note("it needs a veth to be tried on")
                }
                _ => self.link(index, kind),
            };
            self.found.push(finding);
        }
        there
    }

    /// `TUNSETIFF` (Documentation/networking/tuntap.rst): the device is made in the namespace of the caller.
    fn tun(&mut self) {
        const DEVICE: &str = "/dev/net/tun";
        let finding = |state| Finding::new("link", "tun", state);
        let device = match open(DEVICE, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(device) => device,
            Err(e @ (Errno::EACCES | Errno::EPERM)) => {
                let words = crate::plan::error::errno_words(e as i32);
                self.found
                    .push(finding(State::No).note(format!("{DEVICE}: {words}")).hint(format!("`chmod 666 {DEVICE}`")));
                return;
            }
            Err(_) => {
                self.found.push(Room::missing("link", "tun", "CONFIG_TUN", "tun"));
                return;
            }
        };
        // SAFETY: all zeroes is a valid `ifreq`: numbers, and a union of numbers and a pointer that is not followed.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TAP | libc::IFF_NO_PI).unwrap_or(2);
        // SAFETY: the request takes a pointer to an `ifreq`, which outlives the call; the device is open.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
        self.found.push(if done == 0 {
            finding(State::Yes)
        } else {
            finding(State::No).note(format!("{DEVICE}: {}", crate::plan::error::errno_words(Errno::last_raw())))
        });
    }

    fn bridge_vlans(&mut self) {
        let name = "bridge vlan_filtering";
        if !self.found.iter().any(|f| f.name == "bridge" && f.state == State::Yes) {
            self.found.push(Finding::new("link", name, State::Unknown).note("it needs a bridge to be tried on"));
            return;
        }
        let mut body = ifinfo(BRIDGE, 0, 0);
        nla::nest(&mut body, IFLA_LINKINFO, |info| {
            put_text(info, IFLA_INFO_KIND, "bridge");
            nla::nest(info, IFLA_INFO_DATA, |data| nla::put(data, IFLA_BR_VLAN_FILTERING, &[1]));
        });
        let set = self.netlink.request(rtm::NEWLINK, 0, &body);
        let answer = self.netlink.request(rtm::GETLINK, 0, &ifinfo(BRIDGE, 0, 0));
        let info = answer.ok().flatten().and_then(|body| LinkInfo::parse(&body));
        let on = info.is_some_and(|info| nla::attr(&info.data, IFLA_BR_VLAN_FILTERING) == Some(&[1]));
        self.found.push(if set.is_ok() && on {
            Finding::new("link", name, State::Yes)
        } else {
            Finding::new("link", name, State::No).note("needs CONFIG_BRIDGE_VLAN_FILTERING").hint("another kernel")
        });
    }

    fn qdisc(&self, index: u32, kind: &str, parent: u32, options: Option<&[u8]>) -> Result<(), Refusal> {
        let handle = if parent == TC_H_ROOT { 0 } else { 0xffff_0000 };
        let mut body = tcmsg(index, handle, parent, 0);
        put_text(&mut body, TCA_KIND, kind);
        if let Some(options) = options {
            nla::put(&mut body, TCA_OPTIONS, options);
        }
        self.netlink.request(NEWQDISC, rtm::CREATE | rtm::REPLACE, &body).map(drop)
    }

    fn qdiscs(&mut self) {
        let netem = words(&[0, 1000, 0, 0, 0, 0]); // struct tc_netem_qopt: limit 1000
        let mut tbf = Vec::new();
        // struct tc_tbf_qopt: 10 Mbit/s as tc_ratespec, no peak rate, limit, 10 ms of 64 ns, mtu
        let mut parameters = vec![0, 1, 0, 0, 0, 0, 0, 0];
        parameters.extend(words(&[1_250_000, 0, 0, 0, 10_000, 156_250, 0]));
        nla::put(&mut tbf, 1, &parameters);
        let mut htb = Vec::new();
        nla::put(&mut htb, 2, &words(&[3, 10, 0, 0, 0])); // TCA_HTB_INIT, struct tc_htb_glob: version 3
        let mut prio = 3u32.to_ne_bytes().to_vec(); // struct tc_prio_qopt
        prio.extend([1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        // TCA_RED_PARMS, struct tc_red_qopt: limit and thresholds, then a byte each of Wlog, Plog, Scell_log and flags; and
        // TCA_RED_STAB. The same of choke, in packets.
        let mut red = Vec::new();
        let mut parameters = words(&[400_000, 30_000, 90_000]);
        parameters.extend([9, 12, 10, 0]);
        nla::put(&mut red, 1, &parameters);
        nla::put(&mut red, 2, &[0; 256]);
        let all: [(&str, Option<&[u8]>); 14] = [
            ("netem", Some(&netem)),
            ("tbf", Some(&tbf)),
            ("htb", Some(&htb)),
            ("fq_codel", None),
            ("codel", None),
            ("pie", None),
            ("red", Some(&red)),
            ("choke", Some(&red)),
            ("fq", None),
            ("sfq", None),
            ("prio", Some(&prio)),
            ("cake", None),
            ("drr", None),
            ("hfsc", Some(&[0, 0])), // struct tc_hfsc_qopt
        ];
        for (name, options) in all {
            let done = self.qdisc(ENDS[0], name, TC_H_ROOT, options);
            let option = format!("CONFIG_NET_SCH_{}", name.to_uppercase());
            self.found.push(Room::judge("qdisc", name, &option, &format!("sch_{name}"), &UNKNOWN_TC, done));
        }
        for (name, index) in [("ingress", ENDS[0]), ("clsact", ENDS[2])] {
            let done = self.qdisc(index, name, TC_H_CLSACT, None);
            self.found.push(Room::judge("qdisc", name, "CONFIG_NET_SCH_INGRESS", "sch_ingress", &UNKNOWN_TC, done));
        }
    }

    fn filters(&mut self) {
        let place = self.found.iter().any(|f| f.name == "clsact" && f.state == State::Yes);
        // The last two want something to match, which they ask for once they are there.
        let empty = Vec::new;
        for (priority, name, options) in [
            (1, "flower", empty()),
            (2, "u32", match_all()),
            (3, "matchall", empty()),
            (4, "basic", empty()),
            (5, "fw", empty()),
        ] {
            let option = format!("CONFIG_NET_CLS_{}", name.to_uppercase());
            if !place {
                self.found.push(Finding::new("filter", name, State::Unknown).note("it needs a clsact to be tried on"));
                continue;
            }
            let done = self.filter(priority, name, &options);
            let done = if priority > 3 { more::known(done) } else { done };
            self.found.push(Room::judge("filter", name, &option, &format!("cls_{name}"), &UNKNOWN_TC, done));
        }
    }

    /// Makes a filter behind the clsact.
    fn filter(&self, priority: u32, kind: &str, options: &[u8]) -> Result<(), Refusal> {
        let all_protocols = u32::from(0x0003u16.to_be()); // ETH_P_ALL
        let mut body = tcmsg(ENDS[2], 0, CLSACT_INGRESS, priority << 16 | all_protocols);
        put_text(&mut body, TCA_KIND, kind);
        nla::nest(&mut body, TCA_OPTIONS, |out| out.extend_from_slice(options));
        self.netlink.request(NEWTFILTER, rtm::CREATE | rtm::EXCL, &body).map(drop)
    }

    /// Since 6.2 a link may be renamed while it is up.
    fn rename(&mut self) {
        let up = self.netlink.request(rtm::NEWLINK, 0, &ifinfo(ENDS[3], IFF_UP, IFF_UP));
        let mut body = ifinfo(ENDS[3], 0, 0);
        put_text(&mut body, IFLA_IFNAME, "probe-renamed");
        let done = up.and_then(|_| self.netlink.request(rtm::NEWLINK, 0, &body)).map(drop);
        let name = "rename while up";
        let finding = match done {
            Ok(()) => Finding::new("other", name, State::Yes),
            Err(r) if r.errno == libc::EBUSY => Finding::new("other", name, State::No)
                .note("since Linux 6.2; until then a rename takes the link down for a moment"),
            Err(r) => Finding::new("other", name, State::Unknown).note(refusal_text(&r)),
        };
        self.found.push(finding);
    }

    fn nexthops(&mut self) {
        // A blackhole is on the loopback.
        let _ = self.netlink.request(rtm::NEWLINK, 0, &ifinfo(1, IFF_UP, IFF_UP));
        let family = u8::try_from(libc::AF_INET).unwrap_or(2);
        let mut body = vec![family, 0, 0, 0, 0, 0, 0, 0]; // struct nhmsg
        nla::put(&mut body, 1, &7u32.to_ne_bytes()); // NHA_ID
        nla::put(&mut body, 4, &[]); // NHA_BLACKHOLE
        let name = "nexthop objects";
        let finding = match self.netlink.request(rtm::NEWNEXTHOP, rtm::CREATE | rtm::EXCL, &body) {
            Ok(_) => Finding::new("other", name, State::Yes),
            Err(r) => Finding::new("other", name, State::No).note(refusal_text(&r)),
        };
        self.found.push(finding);
    }

    fn mpls(&mut self) {
        let finding = if Path::new("/proc/sys/net/mpls").exists() {
            Finding::new("other", "mpls", State::Yes)
        } else if self.modules().is_some_and(|all| all.contains("mpls_router")) {
            Finding::new("other", "mpls", State::Module).note("module `mpls_router`").hint("`modprobe mpls_router`")
        } else {
            Room::missing("other", "mpls", "CONFIG_MPLS_ROUTING", "mpls_router")
        };
        self.found.push(finding);
    }

    /// Asks for the generation of the rule set (`NFT_MSG_GETGEN`).
    fn nf_tables(&mut self) {
        let ask = || -> std::io::Result<i32> {
            let socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
            let mut message = 20u32.to_ne_bytes().to_vec();
            message.extend((10u16 << 8 | 16).to_ne_bytes()); // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
            message.extend(1u16.to_ne_bytes()); // NLM_F_REQUEST
            message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
            message.extend([0; 4]); // struct nfgenmsg
            socket.send(&message, 0)?;
            let mut answer = Vec::with_capacity(4096);
            socket.recv(&mut answer, 0)?;
            let kind = answer.get(4..6).map_or(0, |k| u16::from_ne_bytes([k[0], k[1]]));
            let errno = answer.get(16..).and_then(nla::u32_of).unwrap_or_default().cast_signed();
            Ok(if kind == 2 { -errno } else { 0 })
        };
        let finding = match ask() {
            Ok(0) => Finding::new("other", "nf_tables", State::Yes),
            Ok(errno @ (libc::EPERM | libc::EACCES)) => {
                Finding::new("other", "nf_tables", State::No).note(crate::plan::error::errno_words(errno))
            }
            _ => Room::missing("other", "nf_tables", "CONFIG_NF_TABLES", "nf_tables"),
        };
        self.found.push(finding);
    }

    fn raw_icmp(&mut self) {
        for (name, family, protocol) in [
            ("raw ICMP", AddressFamily::Inet, SockProtocol::Icmp),
            ("raw ICMPv6", AddressFamily::Inet6, SockProtocol::IcmpV6),
        ] {
            let finding = match socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol) {
                Ok(_) => Finding::new("other", name, State::Yes),
                Err(e) => Finding::new("other", name, State::No)
                    .note(crate::plan::error::errno_words(e as i32))
                    .hint("ping needs CAP_NET_RAW"),
            };
            self.found.push(finding);
        }
    }
}

/// `TCA_U32_SEL`: struct `tc_u32_sel`, terminal, with the one key that is always true.
fn match_all() -> Vec<u8> {
    let mut selector = vec![1u8, 0, 1, 0];
    selector.resize(32, 0);
    let mut options = Vec::new();
    nla::put(&mut options, 5, &selector);
    options
}

/// `struct tcmsg`.
fn tcmsg(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(words(&[index, handle, parent, info]));
    body
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, state) in [
            ("5.14.0-rc1", State::Yes),
            ("6.1.0-13-amd64", State::Yes),
            ("5.4.0-42-generic", State::No),
            ("4.19", State::No),
            ("", State::No),
        ] {
            assert_eq!(version(release).state, state, "{release}");
        }
    }

    #[test]
    fn distributions_are_known() {
        let packages = ["uidmap", "shadow-utils", "shadow", "shadow-subids", "shadow"];
        for (release, want) in [
            ("ID=debian\n", "`apt install uidmap`"),
            ("NAME=x\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "`dnf install shadow-utils`"),
            ("ID=alpine\n", "`apk add shadow-subids`"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "`zypper install shadow`"),
            ("", "install the package `uidmap`"),
        ] {
            assert_eq!(install(release, &packages), want);
        }
    }
}

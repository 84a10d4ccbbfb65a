//! The same world again, in a sandbox. What the kernel does not make again is stood in for or said.

use super::{Captured, Sysctl, World, sysctls};
use crate::kernel::linux::{Linux, names};
use crate::kernel::{Cancel, Kernel};
use crate::plan::link::LinkInfo;
use crate::plan::record::{AF_INET, AF_INET6, RTA_DST, RTA_OIF};
use crate::plan::restore::{self, Phase};
use crate::plan::{AddMode, Error, LinkChange, LinkRef, LinkSpec, Ns, Rec, Result, State, Verb, What, nla};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// How often links and records are led towards what they were: each time some become possible by those before, and the
/// kernel adds and removes some by itself.
const ROUNDS: usize = 8;
/// The first ifindex of the other ends of stand-ins: no other link has one that high.
pub(crate) const OTHER_ENDS: u32 = 0x4000_0000;
/// What a link is told by that stands in for another: the nsid of its other end, which no other namespace gets.
pub(crate) const OTHER_ENDS_NSID: i32 = 0x7fff_fff0;
/// `ARPHRD_LOOPBACK` (include/uapi/linux/if_arp.h).
const LOOPBACK: u16 = 772;
/// The longest wait for links to follow their carrier (`linkwatch`).
const LINK_BOUND: Duration = Duration::from_secs(3);
/// The most that a veth takes (`ETH_MAX_MTU`).
pub(crate) const ETH_MAX_MTU: u32 = 65_535;

/// The copy.
#[derive(Debug, Default)]
pub struct Rebuilt {
    /// The namespaces in the order of [`World::spaces`].
    pub spaces: Vec<Ns>,
    /// Links that others stand in for, and why.
    pub stand_ins: Vec<String>,
    /// What could not be copied.
    pub missing: Vec<String>,
}

struct Builder<'a> {
    linux: &'a Linux,
    world: &'a World,
    out: Rebuilt,
    /// What each namespace is to become, as far as it is tried.
    targets: Vec<State>,
    /// Namespaces that nothing but an nsid or the other end of a link is known of.
    hidden: HashMap<(usize, i32), Ns>,
    /// Where the other ends of stand-ins are.
    others: Ns,
    stood: BTreeSet<(usize, u32)>,
    /// Other ends that are to be up.
    up: Vec<(Ns, u32)>,
    refused: BTreeMap<(usize, u32), Error>,
}

/// Makes the world again. `linux` is in a sandbox and has nothing but its own first namespace; it rehearses already.
///
/// # Errors
/// A namespace can't be made or read.
pub fn rebuild(linux: &Linux, world: &World) -> Result<Rebuilt> {
    let mut builder = Builder {
        linux,
        world,
        out: Rebuilt { missing: world.missing.clone(), ..Rebuilt::default() },
        targets: world.spaces.iter().map(|s| State { sysctls: BTreeMap::new(), ..s.state.clone() }).collect(),
        hidden: HashMap::new(),
        others: unnamed(linux, "of stand-ins")?,
        stood: BTreeSet::new(),
        up: Vec::new(),
        refused: BTreeMap::new(),
    };
    builder.namespaces()?;
    builder.sysctls_of_new()?;
    builder.nsids()?;
    builder.links()?;
    builder.sysctls_of_new()?;
    builder.bring_up()?;
    builder.records()?;
    builder.rulesets();
    let sysctls = builder.sysctls()?;
    builder.verify(&sysctls)?;
    // The copies have their indices given.
    linux.forget_indices();
    Ok(builder.out)
}

/// A namespace without a name, held by us.
fn unnamed(linux: &Linux, label: &str) -> Result<Ns> {
    let mut verb = Verb::NetnsAdd { name: label.into(), cookie: 0 };
    linux.prepare(&mut verb)?;
    match verb {
        Verb::NetnsAdd { cookie, name } => Ok(Ns { cookie, name }),
        _ => Err(Error::internal("another verb was prepared")),
    }
}

impl<'a> Builder<'a> {
    fn spaces(&self) -> Vec<(usize, Ns, &'a Captured)> {
        let all = self.out.spaces.iter().cloned().zip(&self.world.spaces).enumerate();
        all.map(|(at, (ns, captured))| (at, ns, captured)).collect()
    }

    fn namespaces(&mut self) -> Result<()> {
        for captured in &self.world.spaces {
            let ns = if captured.ns.is_host() { self.linux.host() } else { unnamed(self.linux, &captured.ns.name)? };
            self.out.spaces.push(ns);
        }
        for (name, at) in &self.world.names {
            match at.and_then(|at| self.out.spaces.get(at)) {
                Some(ns) => drop(self.linux.netns_add(name, ns.cookie)?),
                None => {
                    self.linux.shared_dir()?;
                    let path = names::path(name);
                    std::fs::File::create(&path)
                        .map_err(|e| Error::from_io(&e, format!("make `{}`", path.display())))?;
                }
            }
        }
        Ok(())
    }

    fn nsids(&mut self) -> Result<()> {
        for (at, ns, captured) in self.spaces() {
            for (id, target) in &captured.nsids {
                let target = match target.and_then(|to| self.out.spaces.get(to)) {
                    Some(target) => target.clone(),
                    None => {
                        let hidden = unnamed(self.linux, "that is out of sight")?;
                        self.hidden.insert((at, *id), hidden.clone());
                        hidden
                    }
                };
                // What is refused is seen when all is compared.
                let _ = self.linux.act(&Verb::NetnsSetId { at: ns.clone(), target, id: Some(*id) });
            }
        }
        Ok(())
    }

    // -----------------------------------------------------------------------------------------------------------
    // Links

    fn links(&mut self) -> Result<()> {
        for (at, ns, captured) in self.spaces() {
            for info in captured.infos.values() {
                let link = &info.state;
                match (link.kind.as_str(), info.link_netnsid) {
                    ("", _) if info.arphrd != LOOPBACK => self.stand_in(at, &ns, info),
                    ("veth", Some(id)) => self.half_of_a_pair(at, &ns, info, id),
                    _ => {}
                }
                if let Some(why) = link.irreplaceable().filter(|_| self.world.in_sight(at)) {
                    self.out.missing.push(format!("{}: link `{}` as it is: {why}", ns.label(), link.name));
                }
            }
        }
        // Twice: a lower device may be in a namespace that comes later.
        self.lead(Phase::Links)?;
        self.lead(Phase::Links)?;
        let mut more = false;
        for (at, ns, captured) in self.spaces() {
            let there: BTreeSet<u32> = self.linux.links(&ns, false)?.iter().map(|l| l.state.index).collect();
            for (_, info) in captured.infos.iter().filter(|(index, _)| !there.contains(index)) {
                self.stand_in(at, &ns, info);
                more = true;
            }
        }
        if more { self.lead(Phase::Links) } else { Ok(()) }
    }

    /// Both ends of a veth whose other end is in another namespace, once.
    fn half_of_a_pair(&mut self, at: usize, ns: &Ns, info: &LinkInfo, id: i32) {
        let link = &info.state;
        let Some(state) = self.targets.get(at) else { return };
        let to = self.world.spaces.get(at).and_then(|s| *s.nsids.get(&id)?);
        let verb = match to.and_then(|to| Some((to, self.out.spaces.get(to)?, self.targets.get(to)?))) {
            Some((to, other, there)) => {
                let Some(peer) = there.links.get(&link.lower).filter(|_| (at, link.index) < (to, link.lower)) else {
                    return;
                };
                restore::remake_pair((ns, state, link), (other, there, peer))
            }
            None => {
                let Some(other) = self.hidden.get(&(at, id)).cloned() else { return };
                if let Some(rehearsal) = self.linux.rehearsal() {
                    rehearsal.leave_open();
                }
                let end = LinkSpec {
                    name: Some(format!("end{}", link.index)),
                    index: link.lower,
                    mac: Some(super::super::message::random_mac()),
                    ..LinkSpec::default()
                };
                if info.carrier {
                    self.up.push((other.clone(), link.lower));
                }
                let mut spec = restore::remake(link, state);
                spec.peer = Some(Box::new((other, end)));
                Verb::LinkAdd { ns: ns.clone(), spec }
            }
        };
        if let Err(error) = self.linux.act(&verb) {
            self.refused.insert((at, link.index), error);
        }
    }

    /// A veth in the place of a link that can't be made again; its other end is out of sight.
    fn stand_in(&mut self, at: usize, ns: &Ns, info: &LinkInfo) {
        let link = &info.state;
        if !self.stood.insert((at, link.index)) {
            return;
        }
        let others = self.others.clone();
        let id = Verb::NetnsSetId { at: ns.clone(), target: others.clone(), id: Some(OTHER_ENDS_NSID) };
        let _ = self.linux.act(&id);
        let number = OTHER_ENDS + u32::try_from(self.stood.len()).unwrap_or_default();
        let random = super::super::message::random_mac;
        let end = LinkSpec {
            name: Some(format!("end{}", self.stood.len())),
            index: number,
            mac: Some(random()),
            mtu: Some(link.mtu.clamp(68, ETH_MAX_MTU)),
            ..LinkSpec::default()
        };
        let spec = LinkSpec {
            name: Some(link.name.clone()),
            kind: "veth".into(),
            index: link.index,
            mac: Some(if link.mac.len() == 6 { link.mac.clone() } else { random() }),
            mtu: Some(link.mtu.clamp(68, ETH_MAX_MTU)),
            txqueuelen: Some(link.txqueuelen),
            group: Some(link.group),
            peer: Some(Box::new((others.clone(), end))),
            ..LinkSpec::default()
        };
        let mut why = match (self.refused.remove(&(at, link.index)), link.kind.as_str()) {
            (_, "") => String::new(),
            (Some(error), kind) => format!(" ({kind}: {error})"),
            (None, kind) => format!(" ({kind})"),
        };
        if let Some(rehearsal) = self.linux.rehearsal() {
            rehearsal.stand_in(number, info.clone());
        }
        match self.linux.act(&Verb::LinkAdd { ns: ns.clone(), spec }) {
            Ok(_) => {
                if !ns.is_host() {
                    why = format!(" in {}{why}", ns.label());
                }
                if self.world.in_sight(at) {
                    self.out.stand_ins.push(format!("`{}`{why}", link.name));
                }
                if info.carrier {
                    self.up.push((others, number));
                }
            }
            Err(error) => self.out.missing.push(format!("link `{}` in {}: {error}", link.name, ns.label())),
        }
    }

    /// Towards the targets, round by round: what needs something else comes after it.
    fn lead(&mut self, phase: Phase) -> Result<()> {
        for (at, ns, _) in self.spaces() {
            let mut last = Vec::new();
            for _ in 0..ROUNDS {
                let Some(target) = self.targets.get(at) else { break };
                let now = self.linux.state(&ns, &[])?;
                let verbs = restore::steps(&ns, &now, target, phase);
                if verbs.is_empty() || verbs == last {
                    break;
                }
                for verb in &verbs {
                    if let Err(error) = self.linux.act(verb)
                        && let Verb::LinkAdd { spec, .. } = verb
                    {
                        self.refused.insert((at, spec.index), error);
                    }
                }
                last = verbs;
            }
        }
        Ok(())
    }

    fn bring_up(&mut self) -> Result<()> {
        for (ns, index) in std::mem::take(&mut self.up) {
            let link = LinkRef { index, name: String::new() };
            let change = LinkChange { up: Some(true), ..LinkChange::default() };
            let _ = self.linux.act(&Verb::LinkSet { ns, link, change });
        }
        self.lead(Phase::Up)?;
        // At a loss of carrier the kernel forgets neighbours, some time later: before records come, links have to be at rest.
        let never = Cancel::never()?;
        for (_, ns, captured) in self.spaces() {
            let up: Vec<u32> = captured.state.links.values().filter(|l| l.up).map(|l| l.index).collect();
            self.linux.wait_links(&ns, &up, LINK_BOUND, &never)?;
        }
        Ok(())
    }

    fn records(&mut self) -> Result<()> {
        self.lead(Phase::Records)?;
        // What outlived the way to its gateway is only taken while there is one.
        for (at, ns, _) in self.spaces() {
            let Some(target) = self.targets.get(at) else { continue };
            let now = self.linux.state(&ns, &[])?;
            for verb in restore::steps(&ns, &now, target, Phase::Records) {
                let Verb::RecAdd { rec, .. } = &verb else { continue };
                let ways = ways(rec);
                let done: Vec<&Rec> = ways.iter().filter(|way| self.linux.act(&add(&ns, way)).is_ok()).collect();
                if !done.is_empty() {
                    let _ = self.linux.act(&verb);
                }
                for rec in done {
                    let way = Verb::RecDel { ns: ns.clone(), rec: rec.clone(), words: String::new() };
                    let _ = self.linux.act(&way);
                }
            }
        }
        Ok(())
    }

    // -----------------------------------------------------------------------------------------------------------
    // Sysctls

    /// Writes what differs from what a new namespace and a new device have, without duplicate address detection, so that
    /// addresses are there at once. Not read first: reading all sysctls is what takes longest, and is done at the end.
    fn sysctls_of_new(&self) -> Result<()> {
        for (_, ns, captured) in self.spaces() {
            let all = &captured.state.sysctls;
            let mut want: Vec<(String, String)> = Vec::new();
            for (key, value) in all.iter().filter(|(key, _)| captured.writable.contains(*key)) {
                if key.starts_with("net/ipv6/conf/") && key.ends_with("/accept_dad") {
                    want.push((key.clone(), "0".into()));
                    continue;
                }
                let born = match restore::device_of(key) {
                    Some(device) => all.get(&key.replacen(&format!("/{device}/"), "/default/", 1)),
                    None => self.world.fresh.get(key).map(|(value, _)| value),
                };
                if born != Some(value) {
                    want.push((key.clone(), value.clone()));
                }
            }
            // Writing one of `all` resets the devices' own.
            want.sort_by_key(|(key, _)| !restore::resets(key));
            self.linux.inside(&ns, move || {
                for (key, value) in &want {
                    // What is refused or not there is seen at the end.
                    let _ = write(key, value);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The rulesets of nf_tables, as `nft` prints and reads them.
    fn rulesets(&mut self) {
        let mut unread = BTreeSet::new();
        for (at, ns, captured) in self.spaces().into_iter().filter(|(at, ..)| self.world.in_sight(*at)) {
            if let Some(why) = &captured.unread {
                // Without nft the same of every namespace: said once.
                if unread.insert(why.clone()) {
                    self.out.missing.push(format!("firewall rules of {}: {why}", self.world.spaces[at].ns.label()));
                }
                continue;
            }
            if !captured.ruleset.is_empty()
                && let Err(error) = self.linux.nft(&ns, &["-f", "-"], &captured.ruleset)
            {
                self.out.missing.push(format!("firewall rules of {}: {}", ns.label(), error.message));
            }
        }
    }

    /// Leads the sysctls of every namespace to what they were, and gives what they are then.
    fn sysctls(&self) -> Result<Vec<BTreeMap<String, Sysctl>>> {
        let mut found = Vec::new();
        for (_, ns, captured) in self.spaces() {
            let writable = captured.state.sysctls.iter().filter(|(key, _)| captured.writable.contains(*key));
            let mut want: Vec<(String, String)> = writable.map(|(key, value)| (key.clone(), value.clone())).collect();
            want.sort_by_key(|(key, _)| !restore::resets(key));
            found.push(self.linux.inside(&ns, move || {
                for (key, value) in want.iter().filter(|(key, _)| key.ends_with("/accept_dad")) {
                    let _ = write(key, value);
                }
                let mut now = sysctls()?;
                for _ in 0..2 {
                    let mut wrote = false;
                    for (key, value) in &want {
                        if now.get(key).is_some_and(|(have, writable)| *writable && have != value) {
                            wrote |= write(key, value).is_ok();
                        }
                    }
                    if !wrote {
                        break;
                    }
                    now = sysctls()?;
                }
                Ok(now)
            })?);
        }
        Ok(found)
    }

    // -----------------------------------------------------------------------------------------------------------
    // The copy beside the original

    /// `sysctls`: what each namespace has.
    fn verify(&mut self, sysctls: &[BTreeMap<String, Sysctl>]) -> Result<()> {
        let mut missing = Vec::new();
        for (at, ns, captured) in self.spaces().into_iter().filter(|(at, ..)| self.world.in_sight(*at)) {
            let mut now = self.linux.state(&ns, &[])?;
            let Some(have) = sysctls.get(at) else { continue };
            now.sysctls = have.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
            let mut before = captured.state.clone();
            // Of the machine or out of reach in a sandbox: in mind only.
            let apart: Vec<(String, String)> = before
                .sysctls
                .iter()
                .filter(|(key, value)| {
                    let seen = now.sysctls.get(*key);
                    seen != Some(*value) && (seen.is_none() || restore::device_of(key).is_none())
                })
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            for (key, value) in apart {
                before.sysctls.remove(&key);
                if let Some(rehearsal) = self.linux.rehearsal() {
                    rehearsal.keep_sysctl(ns.cookie, &key, &value);
                }
            }
            now.sysctls.retain(|key, _| before.sysctls.contains_key(key));
            // What stands in for a device has the features of a veth.
            for was in before.links.values_mut() {
                let Some(is) = now.links.get_mut(&was.index) else { continue };
                if !was.features.keys().eq(is.features.keys()) {
                    was.features.clear();
                    is.features.clear();
                }
                if was.channels.is_none() || is.channels.is_none() {
                    (was.channels, is.channels) = (None, None);
                }
            }
            let keys = before.changed(&now);
            missing.extend(before.differences(&now, &keys).into_iter().map(|d| format!("{}: {d}", ns.label())));
            let ids: BTreeSet<i32> = self.linux.nsids(&ns)?.into_iter().collect();
            for id in captured.nsids.keys().filter(|id| !ids.contains(id)) {
                missing.push(format!("{}: nsid {id}", ns.label()));
            }
            for info in self.linux.links(&ns, false)? {
                let Some(original) = captured.infos.get(&info.state.index) else { continue };
                let plain = |q: &str| matches!(q, "" | "noop" | "noqueue");
                if original.qdisc != info.qdisc && !(plain(&original.qdisc) && plain(&info.qdisc)) {
                    missing.push(format!("{}: qdisc {} of `{}`", ns.label(), original.qdisc, info.state.name));
                }
            }
        }
        self.out.missing.extend(missing);
        Ok(())
    }
}

fn add(ns: &Ns, rec: &Rec) -> Verb {
    Verb::RecAdd { ns: ns.clone(), rec: rec.clone(), words: String::new(), mode: AddMode::Create }
}

/// Routes by which the gateways of a route or nexthop are on their links.
fn ways(rec: &Rec) -> Vec<Rec> {
    let device = |rec: &Rec| rec.devices().first().copied();
    let gateways: Vec<(IpAddr, u32)> = match rec.what {
        What::Route if rec.hops().is_empty() => rec.gateway().zip(device(rec)).into_iter().collect(),
        What::Route => rec.hops().iter().filter_map(|hop| Some((hop.via?, hop.index))).collect(),
        // NHA_GATEWAY
        What::Nexthop => rec.ip(6).zip(device(rec)).into_iter().collect(),
        _ => Vec::new(),
    };
    let way = |(ip, index): (IpAddr, u32)| {
        let (family, bytes) = match ip {
            IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
        };
        // struct rtmsg: the whole address, table main, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST.
        let bits = if family == AF_INET { 32 } else { 128 };
        let mut body = vec![family, bits, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0];
        nla::put(&mut body, RTA_DST, &bytes);
        nla::put(&mut body, RTA_OIF, &index.to_ne_bytes());
        Rec { what: What::Route, body, ends: None }
    };
    gateways.into_iter().map(way).collect()
}

/// Writes a sysctl of the calling thread's namespace.
fn write(key: &str, value: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(Path::new("/proc/sys").join(key))?.write_all(value.as_bytes())
}

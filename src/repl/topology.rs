//! `:topology`: a drawing in text of namespaces, links, bridges and addresses.

use crate::engine::Session;
use crate::kernel::{By, Kernel};
use crate::plan::record::AF_INET6;
use crate::plan::{LinkInfo, Ns, Rec, What};
use crate::report::Style;
use std::fmt::Write as _;

/// (ifindex, address with length) of a namespace; link-local ones of IPv6 are left out, every link has one.
#[must_use]
pub fn addresses(session: &Session, ns: &Ns) -> Vec<(u32, String)> {
    let all = session.kernel().dump(ns, What::Addr).unwrap_or_default();
    all.into_iter()
        .map(|body| Rec { what: What::Addr, body, ends: None })
        .filter_map(|rec| {
            let index = *rec.devices().first()?;
            let ip = rec.local()?;
            let local = rec.family() == AF_INET6 && rec.byte(3) == LINK_SCOPE;
            (!local).then(|| (index, format!("{ip}/{}", rec.byte(1))))
        })
        .collect()
}

/// `RT_SCOPE_LINK` (include/uapi/linux/rtnetlink.h).
const LINK_SCOPE: u8 = 253;

/// What the lines are drawn with.
struct Strokes {
    branch: &'static str,
    last: &'static str,
    pass: &'static str,
    cable: &'static str,
}

/// The drawing of all namespaces that have a name, and the host's.
#[must_use]
pub fn draw(session: &Session, style: Style) -> String {
    let kernel = session.kernel();
    let host = kernel.host();
    let mut spaces = vec![host.clone()];
    for entry in kernel.list_ns(&host).unwrap_or_default() {
        spaces.extend(kernel.find_ns(&entry.name));
    }
    let strokes = if style.unicode {
        Strokes { branch: "├─ ", last: "└─ ", pass: "│  ", cable: "──" }
    } else {
        Strokes { branch: "|- ", last: "`- ", pass: "|  ", cable: "--" }
    };
    let mut out = String::new();
    for ns in spaces {
        let name = if ns == host { "host" } else { ns.name.as_str() };
        let _ = writeln!(out, "{}", style.paint("1", name));
        let links = kernel.links(&ns, false).unwrap_or_default();
        let drawing =
            Drawing { session, ns: &ns, links: &links, addresses: addresses(session, &ns), style, strokes: &strokes };
        let top: Vec<&LinkInfo> = links.iter().filter(|l| drawing.above(l).is_none()).collect();
        drawing.links(&top, "", &mut out);
    }
    out.trim_end_matches('\n').to_owned()
}

struct Drawing<'a> {
    session: &'a Session,
    ns: &'a Ns,
    links: &'a [LinkInfo],
    addresses: Vec<(u32, String)>,
    style: Style,
    strokes: &'a Strokes,
}

impl Drawing<'_> {
    /// The link under which one is drawn: its master, or what it is on top of (a vlan's, a macvlan's device).
    fn above(&self, link: &LinkInfo) -> Option<u32> {
        if link.state.master != 0 {
            return self.links.iter().find(|l| l.state.index == link.state.master).map(|l| l.state.index);
        }
        let on = link.state.lower != 0 && link.state.kind != "veth" && link.link_netnsid.is_none();
        on.then_some(link.state.lower)
            .filter(|lower| *lower != link.state.index && self.links.iter().any(|l| l.state.index == *lower))
    }

    fn links(&self, all: &[&LinkInfo], indent: &str, out: &mut String) {
        for (n, link) in all.iter().enumerate() {
            let last = n + 1 == all.len();
            let branch = if last { self.strokes.last } else { self.strokes.branch };
            let _ = writeln!(out, "{indent}{branch}{}", self.label(link));
            let below: Vec<&LinkInfo> = self.links.iter().filter(|l| self.above(l) == Some(link.state.index)).collect();
            let deeper = format!("{indent}{}", if last { "   " } else { self.strokes.pass });
            self.links(&below, &deeper, out);
        }
    }

    /// `eth0 ── sw:p1  up  10.0.0.1/24`.
    fn label(&self, link: &LinkInfo) -> String {
        let mut text = self.style.paint("36", &link.state.name);
        if link.state.kind == "veth" {
            let _ = write!(text, " {} {}", self.strokes.cable, self.peer(link));
        } else if !link.state.kind.is_empty() {
            let _ = write!(text, " ({})", link.state.kind);
        }
        let state = match (link.state.up, link.carrier) {
            (true, true) => self.style.paint("32", "up"),
            (true, false) => self.style.paint("33", "up, no carrier"),
            (false, _) => self.style.paint("31", "down"),
        };
        let _ = write!(text, "  {state}");
        for (_, address) in self.addresses.iter().filter(|(index, _)| *index == link.state.index) {
            let _ = write!(text, "  {address}");
        }
        text
    }

    fn peer(&self, link: &LinkInfo) -> String {
        let kernel: &dyn Kernel = self.session.kernel();
        let Ok(Some(ns)) = crate::txn::peer_ns(kernel, self.ns, link) else { return "?".into() };
        let name = match kernel.link(&ns, By::Index(link.state.lower)) {
            Ok(Some(peer)) => peer.state.name,
            _ => format!("if{}", link.state.lower),
        };
        if ns == *self.ns { name } else { format!("{}:{name}", if ns.is_host() { "host" } else { &ns.name }) }
    }
}

//! `ip link`.

use super::kinds::{self, Given};
use super::{Answer, Place, namespace, select, show, text};
use crate::engine::Session;
use crate::kernel::By;
use crate::plan::ipwords::Word;
use crate::plan::ipwords::link::{Link, PAIRS, Parts};
use crate::plan::{Error, Kind, LinkChange, LinkRef, LinkSpec, Ns, Result, Verb};

pub fn perform(place: &Place<'_>, command: Link) -> Result<Answer> {
    match command {
        Link::Add(parts) => add(place, &parts)?,
        Link::Set(parts) => set(place, &parts)?,
        Link::Del(parts) => del(place, &parts)?,
        Link::Altnames { dev, names, add } => altnames(place, &dev, &names, add)?,
        Link::Show(filter) => {
            let links = select::links(place, &filter)?;
            if place.options.json {
                return Ok(Answer::Data(show::links(place, &links, place.options.details)));
            }
            return Ok(Answer::Text(text::links(place, &show::links(place, &links, true))));
        }
    }
    Ok(Answer::Nothing)
}

/// Name, numbers and addresses of one link, which the message that makes it can hold.
fn spec(place: &Place<'_>, ns: &Ns, parts: &Parts) -> Result<LinkSpec> {
    let change = &parts.change;
    let master = match (&change.master, &parts.master) {
        (Some(_), Some(word)) => Some(super::device(place.session, ns, word)?),
        _ => None,
    };
    Ok(LinkSpec {
        name: parts.name.as_ref().map(|w| w.text.clone()),
        index: parts.index,
        mac: change.mac.clone(),
        given_mac: change.mac.is_some(),
        mtu: change.mtu,
        up: change.up == Some(true),
        master: master.map(|d| (d.link.index, d.link.name)),
        txqueuelen: change.txqueuelen,
        group: change.group,
        tx_queues: parts.tx_queues,
        rx_queues: parts.rx_queues,
        ..LinkSpec::default()
    })
}

/// What of the words the message that makes a link does not hold.
fn later(change: &LinkChange) -> LinkChange {
    LinkChange { up: None, mtu: None, mac: None, master: None, txqueuelen: None, group: None, ..change.clone() }
}

fn add(place: &Place<'_>, parts: &Parts) -> Result<()> {
    let Some(kind) = &parts.kind else { return Err(Error::internal("a link without a kind")) };
    if kind.text.ends_with("_slave") {
        return Err(kind.bad("this is no kind of link"));
    }
    let session = place.session;
    let target = match &parts.netns {
        Some(word) => namespace(session, word)?,
        None => place.ns.clone(),
    };
    // The namespace of what the link is on: the one that is named, else that of the command.
    let below = match (&parts.link_netns, parts.link_netnsid) {
        (Some(word), _) => namespace(session, word)?,
        (None, Some(id)) => by_nsid(place, &target, id)?,
        (None, None) => place.ns.clone(),
    };
    let mut spec = spec(place, &target, parts)?;
    spec.kind.clone_from(&kind.text);
    if let Some(lower) = &parts.lower {
        let device = super::device(session, &below, lower)?;
        spec.lower = Some((device.link.index, device.link.name));
    }
    let rests = parts.lower.is_some() || TUNNELS.contains(&kind.text.as_str()) || parts.link_netns.is_some();
    if below.cookie != target.cookie && (rests || kinds::names_device(kind, &parts.options)) {
        spec.lower_ns = Some(below.clone());
    }
    spec.options =
        kinds::options(kind, &parts.options, &Given { device: &finder(session, &below), now: &[], making: true })?;
    let mut peer_later = None;
    if PAIRS.contains(&kind.text.as_str()) {
        let words = parts.peer.as_deref().cloned().unwrap_or_default();
        let ns = match &words.netns {
            Some(word) => namespace(session, word)?,
            None => place.ns.clone(),
        };
        let mut peer = self::spec(place, &ns, &words)?;
        let mut change = later(&words.change);
        // Neither can be in the message that makes the pair.
        change.up = peer.up.then_some(true);
        change.master = peer.master.take();
        peer.up = false;
        peer_later = (!change.is_empty()).then(|| (ns.clone(), change));
        spec.peer = Some(Box::new((ns, peer)));
    }
    let joining = crate::builtins::link::joins(session, &target, &mut spec)?;
    let mut change = later(&parts.change);
    change.master = change.master.or(joining.master);
    change.up = change.up.or(joining.up);
    let work = || -> Result<()> {
        let outcome = session.perform(Verb::LinkAdd { ns: target.clone(), spec })?;
        let link = outcome.link.ok_or_else(|| Error::internal("link_add gave no link"))?;
        change_link(place, &target, &link, change.clone())?;
        if let (Some((ns, change)), Some(peer)) = (&peer_later, &outcome.peer) {
            change_link(place, ns, peer, change.clone())?;
        }
        Ok(())
    };
    if !change.is_empty() || peer_later.is_some() { session.atomic(work) } else { work() }
}

/// Looks up the devices of a namespace.
fn finder<'a>(session: &'a Session, ns: &'a Ns) -> impl Fn(&str) -> Result<(u32, String)> + 'a {
    move |name| {
        let found = crate::engine::value::find(session, ns, name)?;
        Ok((found.link.index, found.link.name))
    }
}

/// Kinds whose packets go out in another namespace than the link's own, if it was made from there.
const TUNNELS: &[&str] = &[
    "bareudp",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "sit",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
    "xfrm",
];

/// The namespace that `at` knows by a number.
fn by_nsid(place: &Place<'_>, at: &Ns, id: i32) -> Result<Ns> {
    let all = place.session.kernel().list_ns(at)?;
    let name = all.into_iter().find(|e| e.nsid == Some(id)).map(|e| e.name);
    let name = name.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("no namespace with a name has the nsid {id} in {}", at.label()))
    })?;
    place.session.kernel().find_ns(&name)
}

fn change_link(place: &Place<'_>, ns: &Ns, link: &LinkRef, change: LinkChange) -> Result<()> {
    if change.is_empty() && change.kind.is_none() {
        return Ok(());
    }
    place.session.perform(Verb::LinkSet { ns: ns.clone(), link: link.clone(), change }).map(|_| ())
}

fn moved(place: &Place<'_>, ns: &Ns, link: &LinkRef, to: &Ns, name: Option<String>, index: u32) -> Result<LinkRef> {
    let verb = Verb::LinkMove { ns: ns.clone(), link: link.clone(), to: to.clone(), name, index };
    place.session.perform(verb)?.link.ok_or_else(|| Error::internal("link_move gave no link"))
}

/// The devices that are meant: one, or all of a group.
fn targets(place: &Place<'_>, parts: &Parts) -> Result<Vec<LinkRef>> {
    if let Some(dev) = &parts.dev {
        return Ok(vec![place.device(dev)?.link]);
    }
    let group = parts.change.group;
    let all = place.session.kernel().links(&place.ns, false)?;
    Ok(all
        .into_iter()
        .filter(|l| Some(l.state.group) == group)
        .map(|l| LinkRef { index: l.state.index, name: l.state.name })
        .collect())
}

fn set(place: &Place<'_>, parts: &Parts) -> Result<()> {
    let session = place.session;
    let links = targets(place, parts)?;
    let to = parts.netns.as_ref().map(|word| namespace(session, word)).transpose()?;
    let to = to.filter(|to| to.cookie != place.ns.cookie);
    let mut change = parts.change.clone();
    if parts.whole_group {
        change.group = None;
    }
    let here = to.as_ref().unwrap_or(&place.ns);
    if let Some(word) = &parts.master {
        let master = super::device(session, here, word)?;
        change.master = Some((master.link.index, master.link.name));
    }
    if let Some(kind) = &parts.kind {
        let slave = kind.text.ends_with("_slave");
        // Bits of a number that the words do not name stay as they are.
        let info = match &links[..] {
            [link] => session.kernel().link(&place.ns, By::Index(link.index))?,
            _ => None,
        };
        let now = info.map(|i| if slave { i.state.port } else { i.state.options }).unwrap_or_default();
        let options =
            kinds::options(kind, &parts.options, &Given { device: &finder(session, here), now: &now, making: false })?;
        match kind.text.strip_suffix("_slave") {
            _ if options.is_empty() => {}
            Some(of) => change.port = Some((of.into(), options)),
            None => change.kind = Some((kind.text.clone(), options)),
        }
        if let Some(peer) = &parts.peer {
            return Err(peer.dev.as_ref().unwrap_or(kind).bad("a pair's other end is given when it is made"));
        }
    }
    if let Some(word) = &parts.link_netns {
        return Err(word.unsupported("link set"));
    }
    let name = parts.name.as_ref().map(|w| w.text.clone());
    if to.is_none() {
        change.name.clone_from(&name);
    }
    let work = || -> Result<()> {
        for link in &links {
            let link = match &to {
                Some(to) => moved(place, &place.ns, link, to, name.clone(), parts.index)?,
                None => link.clone(),
            };
            change_link(place, here, &link, change.clone())?;
        }
        Ok(())
    };
    if links.len() > 1 || to.is_some() { session.atomic(work) } else { work() }
}

fn del(place: &Place<'_>, parts: &Parts) -> Result<()> {
    let links = targets(place, parts)?;
    let delete =
        |link: &LinkRef| place.session.perform(Verb::LinkDel { ns: place.ns.clone(), link: link.clone() }).map(|_| ());
    match &links[..] {
        [link] => delete(link),
        all => place.session.atomic(|| {
            all.iter().try_for_each(|link| {
                // The other end of a pair is of the group too, and went with the first.
                match place.session.kernel().link(&place.ns, By::Index(link.index))? {
                    Some(_) => delete(link),
                    None => Ok(()),
                }
            })
        }),
    }
}

fn altnames(place: &Place<'_>, dev: &Word, names: &[Word], add: bool) -> Result<()> {
    let link = place.device(dev)?.link;
    place.session.atomic(|| {
        for name in names {
            if name.text.is_empty() || name.text.len() > 127 || name.text.contains(['/', ':']) {
                return Err(name.bad("an alternative name has 1 to 127 bytes, without `/` and `:`"));
            }
            place.session.perform(Verb::LinkAltname {
                ns: place.ns.clone(),
                link: link.clone(),
                name: name.text.clone(),
                add,
            })?;
        }
        Ok(())
    })
}

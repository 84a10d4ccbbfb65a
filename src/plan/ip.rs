//! The equivalent `ip` command of each verb: what `-v`, `--explain` and the tutorial show.

use super::link::{LinkChange, LinkSpec, mac_text};
use super::record::{AF_INET6, What};
use super::verb::{AddMode, Ns, Verb};

/// The command that does what the verb does, as one would type it. Several commands are joined by `; `.
#[must_use]
pub fn equivalent(verb: &Verb) -> String {
    match verb {
        Verb::NetnsAdd { name, .. } => format!("ip netns add {}", word(name)),
        Verb::NetnsAttach { name, path } => match path.strip_prefix("/proc/").and_then(|p| p.strip_suffix("/ns/net")) {
            Some(pid) => format!("ip netns attach {} {pid}", word(name)),
            None => format!("touch /run/netns/{0}; mount --bind {1} /run/netns/{0}", word(name), word(path)),
        },
        Verb::NetnsDel { ns } => format!("ip netns del {}", word(&ns.name)),
        Verb::NetnsSetId { at, target, id } => {
            let id = id.map_or_else(|| "auto".to_string(), |id| id.to_string());
            format!("{} netns set {} {id}", ip(at), word(&target.name))
        }
        Verb::LinkAdd { ns, spec } => link_add(ns, spec),
        Verb::LinkDel { ns, link } => format!("{} link del {}", ip(ns), word(&link.name)),
        Verb::LinkSet { ns, link, change } => {
            format!("{} link set {} {}", ip(ns), word(&link.name), changes(change)).trim_end().to_string()
        }
        Verb::LinkMove { ns, link, to, name, .. } => {
            let name =
                name.as_deref().filter(|n| *n != link.name).map_or(String::new(), |n| format!(" name {}", word(n)));
            let to = if to.is_host() { "1".to_string() } else { word(&to.name) };
            format!("{} link set {} netns {to}{name}", ip(ns), word(&link.name))
        }
        Verb::LinkAltname { ns, link, name, add } => {
            let verb = if *add { "add" } else { "del" };
            format!("{} link property {verb} dev {} altname {}", ip(ns), word(&link.name), word(name))
        }
        Verb::Wireguard { ns, link, config } => {
            let command = format!("wg set {} {}", word(&link.name), config.words());
            if ns.is_host() { command } else { format!("ip netns exec {} {command}", word(&ns.name)) }
        }
        Verb::Ethtool { ns, link, change } => {
            let command = change.words(&link.name);
            let inside = |c: &str| format!("ip netns exec {} {c}", word(&ns.name));
            if ns.is_host() { command } else { command.split("; ").map(inside).collect::<Vec<_>>().join("; ") }
        }
        Verb::RecAdd { ns, rec, words, mode } => {
            let verb = match mode {
                AddMode::Create => "add",
                AddMode::Replace => "replace",
                AddMode::Change => "change",
                AddMode::Append => "append",
                AddMode::Prepend => "prepend",
            };
            format!("{} {verb} {words}", object(ns, rec.what, rec.family()))
        }
        Verb::RecDel { ns, rec, words } => format!("{} del {words}", object(ns, rec.what, rec.family())),
        Verb::Sysctl { ns, key, value } => {
            let command = format!("sysctl -w {}={}", key.replace('/', "."), word(value));
            if ns.is_host() { command } else { format!("ip netns exec {} {command}", word(&ns.name)) }
        }
        Verb::NftLoad { ns, ruleset } => {
            let command = format!("nft {}", word(ruleset.trim()));
            if ns.is_host() { command } else { format!("ip netns exec {} {command}", word(&ns.name)) }
        }
        Verb::FileWrite { path, content, .. } => format!("cat > {} # {} bytes", word(path), content.len()),
        Verb::FileRemove { path, .. } => format!("rm {}", word(path)),
        Verb::ProcessStart { ns, words, .. } if ns.is_host() => format!("{words} &"),
        Verb::ProcessStart { ns, words, .. } => format!("ip netns exec {} {words} &", word(&ns.name)),
        Verb::ProcessEnd { pid, .. } => format!("kill {pid}"),
    }
}

/// `ip`, or `ip -n NS`.
#[must_use]
pub fn ip(ns: &Ns) -> String {
    if ns.is_host() { "ip".into() } else { format!("ip -n {}", word(&ns.name)) }
}

/// `tc`, or `tc -n NS`.
fn tc(ns: &Ns) -> String {
    if ns.is_host() { "tc".into() } else { format!("tc -n {}", word(&ns.name)) }
}

/// `bridge`, or `bridge -n NS`.
fn bridge(ns: &Ns) -> String {
    if ns.is_host() { "bridge".into() } else { format!("bridge -n {}", word(&ns.name)) }
}

/// A word as a shell would have to be given it.
#[must_use]
pub fn word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| format!("{text:?}"), std::borrow::Cow::into_owned)
}

fn object(ns: &Ns, what: What, family: u8) -> String {
    let ip = ip(ns);
    match what {
        What::Addr => format!("{ip} addr"),
        What::Nexthop => format!("{ip} nexthop"),
        What::Route if family == super::record::AF_MPLS => format!("{ip} -f mpls route"),
        What::Route if family == AF_INET6 => format!("{ip} -6 route"),
        What::Route => format!("{ip} route"),
        What::Neigh => format!("{ip} neigh"),
        What::Rule if family == AF_INET6 => format!("{ip} -6 rule"),
        What::Rule => format!("{ip} rule"),
        What::Qdisc => format!("{} qdisc", tc(ns)),
        What::Class => format!("{} class", tc(ns)),
        What::Filter => format!("{} filter", tc(ns)),
        What::Vlan => format!("{} vlan", bridge(ns)),
        What::Fdb => format!("{} fdb", bridge(ns)),
        What::Mdb => format!("{} mdb", bridge(ns)),
    }
}

fn common(spec: &LinkSpec) -> String {
    let mut out = String::new();
    if let Some(mtu) = spec.mtu {
        out += &format!(" mtu {mtu}");
    }
    if let Some(len) = spec.txqueuelen {
        out += &format!(" txqueuelen {len}");
    }
    // One is what a veth gets where nothing is said: it says nothing.
    let both = spec.queues.filter(|n| *n != 1);
    if let Some(queues) = spec.tx_queues.or(both) {
        out += &format!(" numtxqueues {queues}");
    }
    if let Some(queues) = spec.rx_queues.or(both) {
        out += &format!(" numrxqueues {queues}");
    }
    if let Some(group) = spec.group {
        out += &format!(" group {group}");
    }
    out
}

/// The MAC, where it was given or `always`: one that was chosen says nothing.
fn address(spec: &LinkSpec, always: bool) -> String {
    match spec.mac.as_ref().filter(|_| always || spec.given_mac) {
        Some(mac) => format!(" address {}", mac_text(mac)),
        None => String::new(),
    }
}

fn link_add(ns: &Ns, spec: &LinkSpec) -> String {
    if spec.kind == "tun" {
        return tuntap_add(ns, spec);
    }
    let mut out = format!("{} link add", ip(ns));
    if let Some(other) = &spec.lower_ns {
        out += &format!(" link-netns {}", if other.is_host() { "1".to_string() } else { word(&other.name) });
    }
    match (&spec.lower, spec.lower_nsid) {
        // The name of its index there is another one's.
        (Some((index, _)), Some(id)) if spec.lower_ns.is_none() => {
            out += &format!(" link-netnsid {id} link if{index}");
        }
        (Some((_, lower)), _) => out += &format!(" link {}", word(lower)),
        (None, _) => {}
    }
    if let Some(name) = &spec.name {
        out += &format!(" {}", word(name));
    }
    out += &common(spec);
    out += &address(spec, spec.peer.is_none());
    out += &format!(" type {}", spec.kind);
    for option in spec.options.iter().filter(|o| !o.words.is_empty()) {
        out += &format!(" {}", option.words);
    }
    if let Some(peer) = &spec.peer {
        let (peer_ns, peer) = &**peer;
        let elsewhere = peer_ns != ns;
        if peer.name.is_some() || elsewhere || peer.given_mac || !common(peer).is_empty() {
            out += " peer";
        }
        if let Some(name) = &peer.name {
            out += &format!(" name {}", word(name));
        }
        out += &common(peer);
        out += &address(peer, false);
        if elsewhere {
            out += &format!(" netns {}", if peer_ns.is_host() { "1".to_string() } else { word(&peer_ns.name) });
        }
    }
    // `ip link add` takes neither a master nor a state
    out + after(ns, spec, String::new()).as_str()
}

/// `ip tuntap add`, which takes nothing but its own options.
fn tuntap_add(ns: &Ns, spec: &LinkSpec) -> String {
    let mut out = format!("{} tuntap add dev {}", ip(ns), spec.name.as_deref().map_or_else(|| "DEV".into(), word));
    for option in spec.options.iter().filter(|o| !o.words.is_empty() && o.code != super::link::IFLA_TUN_PERSIST) {
        out += &format!(" {}", option.words);
    }
    out + after(ns, spec, format!("{}{}", common(spec), address(spec, true))).as_str()
}

/// What `ip link add` does not take.
fn after(ns: &Ns, spec: &LinkSpec, mut after: String) -> String {
    if let Some((_, master)) = &spec.master {
        after += &format!(" master {}", word(master));
    }
    if spec.up {
        after += " up";
    }
    if after.is_empty() {
        return after;
    }
    format!("; {} link set {}{after}", ip(ns), spec.name.as_deref().map_or_else(|| "DEV".into(), word))
}

fn changes(change: &LinkChange) -> String {
    let mut out: Vec<String> = Vec::new();
    let on = |b: bool| if b { "on" } else { "off" };
    if let Some(mtu) = change.mtu {
        out.push(format!("mtu {mtu}"));
    }
    if let Some(mac) = &change.mac {
        out.push(format!("address {}", mac_text(mac)));
    }
    if let Some(mac) = &change.broadcast {
        out.push(format!("broadcast {}", mac_text(mac)));
    }
    if let Some(name) = &change.name {
        out.push(format!("name {}", word(name)));
    }
    if let Some(alias) = &change.alias {
        out.push(format!("alias {}", word(alias)));
    }
    if let Some(len) = change.txqueuelen {
        out.push(format!("txqueuelen {len}"));
    }
    if let Some(group) = change.group {
        out.push(format!("group {group}"));
    }
    for (flag, name) in [
        (change.promisc, "promisc"),
        (change.allmulticast, "allmulticast"),
        (change.arp, "arp"),
        (change.multicast, "multicast"),
        (change.dynamic, "dynamic"),
    ] {
        if let Some(value) = flag {
            out.push(format!("{name} {}", on(value)));
        }
    }
    if let Some(mode) = change.addrgenmode {
        let name = ["eui64", "none", "stable_secret", "random"].get(usize::from(mode)).copied().unwrap_or("eui64");
        out.push(format!("addrgenmode {name}"));
    }
    match &change.master {
        Some((0, _)) => out.push("nomaster".into()),
        Some((_, name)) => out.push(format!("master {}", word(name))),
        None => {}
    }
    if let Some(up) = change.up {
        out.push(if up { "up".into() } else { "down".into() });
    }
    for (options, suffix) in [(&change.kind, ""), (&change.port, "_slave")] {
        if let Some((kind, options)) = options {
            out.push(format!("type {kind}{suffix}"));
            out.extend(options.iter().filter(|o| !o.words.is_empty()).map(|o| o.words.clone()));
        }
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::verb::LinkRef;

    fn ns(name: &str) -> Ns {
        Ns { cookie: 1, name: name.into() }
    }

    #[test]
    fn the_seeds_commands() {
        let veth = LinkSpec { kind: "veth".into(), ..LinkSpec::default() };
        let pair = LinkSpec {
            peer: Some(Box::new((ns(""), LinkSpec { name: Some("vethbar".into()), ..LinkSpec::default() }))),
            name: Some("vethfoo".into()),
            ..veth.clone()
        };
        let link = |name: &str| LinkRef { index: 2, name: name.into() };
        for (verb, expected) in [
            (Verb::NetnsAdd { name: "net1".into(), cookie: 0 }, "ip netns add net1"),
            (Verb::LinkAdd { ns: ns(""), spec: veth }, "ip link add type veth"),
            (Verb::LinkAdd { ns: ns(""), spec: pair }, "ip link add vethfoo type veth peer name vethbar"),
            (
                Verb::LinkMove { ns: ns(""), link: link("veth0"), to: ns("ns0"), name: None, index: 0 },
                "ip link set veth0 netns ns0",
            ),
            (
                Verb::LinkSet {
                    ns: ns("ns0"),
                    link: link("veth1"),
                    change: LinkChange { name: Some("eth0".into()), ..LinkChange::default() },
                },
                "ip -n ns0 link set veth1 name eth0",
            ),
            (
                Verb::LinkSet {
                    ns: ns(""),
                    link: link("veth0"),
                    change: LinkChange { master: Some((3, "br0".into())), up: Some(true), ..LinkChange::default() },
                },
                "ip link set veth0 master br0 up",
            ),
        ] {
            assert_eq!(equivalent(&verb), expected);
        }
    }
}

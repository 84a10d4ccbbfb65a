//! Random scripts over the world of `common::world`. The generator keeps a rough account of what there is, so that most
//! calls succeed; those that don't are caught by the script, and have to have changed nothing.

mod scenes;

use std::fmt::Write as _;

/// SplitMix64: a seed is a sequence, on every machine.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A script as a tree: what a shrink takes out is a whole node.
#[derive(Clone, Debug)]
pub enum Node {
    Line(String),
    /// `transaction(|| …)`, caught; whether it fails at its end.
    Savepoint(Vec<Node>, bool),
}

/// The text of a script.
pub fn text(nodes: &[Node]) -> String {
    fn write(nodes: &[Node], depth: usize, out: &mut String) {
        let indent = "    ".repeat(depth);
        for node in nodes {
            match node {
                Node::Line(line) => writeln!(out, "{indent}{line}").expect("a string"),
                Node::Savepoint(inner, fails) => {
                    writeln!(out, "{indent}try {{ transaction(|| {{").expect("a string");
                    write(inner, depth + 1, out);
                    if *fails {
                        writeln!(out, "{indent}    fail(\"inner\");").expect("a string");
                    }
                    writeln!(out, "{indent}}}); }} catch (e) {{ look(e); }}").expect("a string");
                }
            }
        }
    }
    let mut out = String::new();
    write(nodes, 0, &mut out);
    out
}

/// How many nodes there are, in all depths.
pub fn size(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| match node {
            Node::Line(_) => 1,
            Node::Savepoint(inner, _) => 1 + size(inner),
        })
        .sum()
}

/// Without node number `at` (in the order of the text); a savepoint is first replaced by what is in it.
pub fn without(nodes: &[Node], at: usize) -> Vec<Node> {
    fn walk(nodes: &[Node], at: usize, count: &mut usize, out: &mut Vec<Node>) {
        for node in nodes {
            let own = *count;
            *count += 1;
            match node {
                Node::Line(_) if own == at => {}
                Node::Line(_) => out.push(node.clone()),
                Node::Savepoint(inner, fails) => {
                    let mut kept = Vec::new();
                    walk(inner, at, count, &mut kept);
                    if own == at || kept.is_empty() {
                        out.extend(kept);
                    } else {
                        out.push(Node::Savepoint(kept, *fails));
                    }
                }
            }
        }
    }
    let mut out = Vec::new();
    walk(nodes, at, &mut 0, &mut out);
    out
}

#[derive(Clone)]
struct Link {
    space: String,
    name: String,
    kind: &'static str,
}

impl Link {
    fn dev(&self) -> String {
        if self.space.is_empty() { format!("{:?}", self.name) } else { format!("\"{}:{}\"", self.space, self.name) }
    }
}

pub struct Generator<'a> {
    pub rng: &'a mut Rng,
    /// Whether there is an nft.
    nft: bool,
    /// Deletes nothing that was there: what a committed lab deleted, nobody brings back.
    gentle: bool,
    spaces: Vec<String>,
    links: Vec<Link>,
    addrs: Vec<(String, String)>,
    made: usize,
    /// A link of the script's own that something from before was put on: what comes next has an eye on it.
    coupled: Option<(String, String)>,
}

const GATEWAYS: &[&str] = &["10.0.0.9", "10.4.0.9", "10.5.0.9", "10.6.0.9", "10.60.0.9", "10.61.0.9"];
const GATEWAYS6: &[&str] = &["fd00::9", "fd04::9", "fd60::9"];
const ROUTES: &[&str] =
    &["default", "10.10.0.0/16", "10.11.0.0/16", "10.12.0.0/16", "10.13.0.0/16", "10.14.0.0/16", "10.16.0.0/16"];
const ROUTES6: &[&str] = &["default", "fd10::/64", "fd12::/64", "fd13::/64"];

impl<'a> Generator<'a> {
    pub fn new(rng: &'a mut Rng, gentle: bool) -> Generator<'a> {
        let links = [
            ("w1", "v1", "veth"),
            ("w1", "p1", "veth"),
            ("w1", "p2", "veth"),
            ("w1", "q2", "veth"),
            ("w1", "br0", "bridge"),
            ("w1", "lo", ""),
            ("w2", "v2", "veth"),
            ("w2", "e1", "veth"),
            ("", "h0", "veth"),
            ("", "h1", "veth"),
        ];
        let addrs = [
            ("w1:v1", "10.0.0.1/24"),
            ("w1:v1", "10.0.0.2/24"),
            ("w1:v1", "10.0.0.3/24"),
            ("w1:v1", "10.0.1.1/24"),
            ("w1:v1", "10.0.2.1"),
            ("w1:v1", "10.0.3.1/24"),
            ("w1:v1", "fd00::1/64"),
            ("w1:v1", "fd00::2/64"),
            ("w1:br0", "10.4.0.1/24"),
            ("w1:br0", "fd04::1/64"),
            ("w1:q2", "10.5.0.1/24"),
            ("w2:v2", "10.0.0.9/24"),
            ("w2:v2", "fd00::9/64"),
            ("w2:e1", "10.4.0.9/24"),
            ("h0", "10.6.0.1/24"),
        ];
        Generator {
            rng,
            nft: super::common::has_program("nft"),
            gentle,
            spaces: vec!["w1".into(), "w2".into(), String::new()],
            links: links.iter().map(|(s, n, k)| Link { space: (*s).into(), name: (*n).into(), kind: k }).collect(),
            addrs: addrs.iter().map(|(d, c)| (format!("{d:?}"), (*c).into())).collect(),
            made: 0,
            coupled: None,
        }
    }

    /// A sequence of about `length` calls, some of them in savepoints.
    pub fn script(&mut self, length: usize) -> Vec<Node> {
        let mut out = Vec::new();
        let mut left = length;
        let scene = if self.rng.one_in(3) { self.rng.below(length) } else { length };
        while left > 0 {
            if left == length - scene && scene < length {
                let calls = if self.rng.one_in(4) { self.journey() } else { self.scene() };
                out.extend(
                    calls.into_iter().map(|call| Node::Line(format!("try {{ {call}; }} catch (e) {{ look(e); }}"))),
                );
            }
            if left > 2 && self.rng.one_in(9) {
                let many = 1 + self.rng.below(left.min(5));
                left -= many;
                let fails = self.rng.one_in(2);
                // What a failed one made is not there afterwards.
                let saved = (self.spaces.clone(), self.links.clone(), self.addrs.clone());
                let inner = self.script(many);
                if fails {
                    (self.spaces, self.links, self.addrs) = saved;
                }
                out.push(Node::Savepoint(inner, fails));
            } else {
                left -= 1;
                let call = self.call();
                let line = if self.rng.one_in(25) {
                    format!("{call};")
                } else {
                    format!("try {{ {call}; }} catch (e) {{ look(e); }}")
                };
                out.push(Node::Line(line));
            }
        }
        out
    }

    fn name(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }

    fn space(&mut self) -> String {
        // Where most of the world is.
        if self.rng.one_in(3) && self.spaces.iter().any(|s| s == "w1") {
            return "w1".into();
        }
        let all = self.spaces.clone();
        self.rng.pick(&all).clone()
    }

    fn expression(space: &str) -> String {
        if space.is_empty() { "host()".into() } else { format!("{space:?}") }
    }

    fn link(&mut self) -> Link {
        if let Some((space, name)) = &self.coupled
            && let Some(found) = self.links.iter().find(|l| l.space == *space && l.name == *name).cloned()
            && self.rng.one_in(3)
        {
            return found;
        }
        // The link with the most on it.
        if self.rng.one_in(4)
            && let Some(found) = self.links.iter().find(|l| l.name == "v1")
        {
            return found.clone();
        }
        let all = self.links.clone();
        self.rng.pick(&all).clone()
    }

    fn bridge_in(&mut self, space: &str) -> Option<String> {
        let all: Vec<String> =
            self.links.iter().filter(|l| l.space == space && l.kind == "bridge").map(|l| l.name.clone()).collect();
        if all.is_empty() { None } else { Some(self.rng.pick(&all).clone()) }
    }

    fn call(&mut self) -> String {
        loop {
            let made = match self.rng.below(128) {
                0..=4 => self.netns(),
                5..=11 => self.make_link(),
                12..=25 => Some(self.link_set()),
                26..=31 => {
                    let word = *self.rng.pick(&["link_up", "link_down"]);
                    Some(format!("{word}({})", self.link().dev()))
                }
                32..=35 => self.rename(),
                36..=40 => self.change_space(),
                41..=45 => self.delete_link(),
                46..=48 => Some(self.altname()),
                49..=60 => Some(self.addr()),
                61..=66 => Some(self.addr_del()),
                67..=75 => Some(self.route()),
                76..=80 => Some(self.route_del()),
                81..=85 => Some(self.neigh()),
                86..=91 => Some(self.sysctl()),
                92..=93 => Some(self.file()),
                94 => Some(format!("start({}, \"sleep 1000\")", Self::expression(&self.space()))),
                95..=104 => self.couple(),
                _ => self.more(),
            };
            if let Some(call) = made {
                return call;
            }
        }
    }

    fn netns(&mut self) -> Option<String> {
        let own: Vec<String> = self.spaces.iter().filter(|s| !s.is_empty()).cloned().collect();
        match self.rng.below(6) {
            0..=2 => {
                let name = self.name("n");
                self.spaces.push(name.clone());
                let lo = if self.rng.one_in(2) { ", #{ lo: true }" } else { "" };
                Some(format!("netns_add({name:?}{lo})"))
            }
            3 if !own.is_empty() => {
                let name = self.name("t");
                let which = self.rng.pick(&own).clone();
                // A second name is as good as the first, from now on.
                self.spaces.push(name.clone());
                Some(format!("netns_attach({name:?}, \"/run/netns/{which}\")"))
            }
            _ => {
                let own: Vec<String> = own.into_iter().filter(|s| !self.gentle || (s != "w1" && s != "w2")).collect();
                if own.is_empty() {
                    return None;
                }
                let which = self.rng.pick(&own).clone();
                self.spaces.retain(|s| *s != which);
                self.links.retain(|l| l.space != which);
                if self.links.is_empty() {
                    self.links.push(Link { space: String::new(), name: "lo".into(), kind: "" });
                }
                if self.rng.one_in(2) {
                    self.spaces.push(which.clone());
                    return Some(format!("netns_del({which:?}); netns_add({which:?})"));
                }
                Some(format!("netns_del({which:?})"))
            }
        }
    }

    fn make_link(&mut self) -> Option<String> {
        let (a, b) = (self.space(), self.space());
        let one = Link { space: a.clone(), name: self.name("x"), kind: "veth" };
        if self.rng.one_in(4) {
            let bridge = Link { kind: "bridge", ..one };
            let mut options = vec!["up: true".to_string()];
            if self.rng.one_in(2) {
                options.push("mcast_snooping: false".into());
            }
            if self.rng.one_in(3) {
                options.push(format!("addr: \"10.6{}.0.1/24\"", self.rng.below(3)));
            }
            self.links.push(bridge.clone());
            return Some(format!("bridge({}, #{{ {} }})", bridge.dev(), options.join(", ")));
        }
        let two = Link { space: b, name: self.name("x"), kind: "veth" };
        let mut options = Vec::new();
        if !self.rng.one_in(4) {
            options.push("up: true".to_string());
        }
        if self.rng.one_in(3) {
            options.push(format!("a: #{{ addr: \"10.6{}.0.{}/24\" }}", self.rng.below(3), 1 + self.rng.below(5)));
        } else if self.rng.one_in(3)
            && let Some(master) = self.bridge_in(&a)
        {
            options.push(format!("a: #{{ master: {master:?} }}"));
        }
        if self.rng.one_in(3) {
            options.push("mtu: 1400".into());
        }
        let text = format!("veth({}, {}, #{{ {} }})", one.dev(), two.dev(), options.join(", "));
        self.links.push(one);
        self.links.push(two);
        Some(text)
    }

    fn link_set(&mut self) -> String {
        let link = self.link();
        let mut options: Vec<String> = Vec::new();
        for _ in 0..=self.rng.below(3) {
            let option = match self.rng.below(18) {
                0 | 1 => format!("mtu: {}", self.rng.pick(&[1300, 1400, 1450, 1500, 1280, 9000, 1000])),
                // No all-zero MAC, which lo has, can be set again (eth_prepare_mac_addr_change): undo says so, with status 3.
                2 if link.kind.is_empty() => continue,
                2 => format!("mac: \"02:00:00:00:77:{:02x}\"", self.rng.below(250)),
                3 => format!("alias: {:?}", self.rng.pick(&["", "one", "another alias"])),
                4 => format!("txqueuelen: {}", self.rng.below(2000)),
                5 => format!("promisc: {}", self.rng.one_in(2)),
                6 => format!("group: {}", self.rng.below(20)),
                7 => format!("arp: {}", self.rng.one_in(2)),
                8 => format!("multicast: {}", self.rng.one_in(2)),
                9 => format!("allmulticast: {}", self.rng.one_in(2)),
                10 => format!("addrgenmode: {:?}", self.rng.pick(&["none", "eui64"])),
                11 | 12 => format!("up: {}", self.rng.one_in(2)),
                13 | 14 => match self.bridge_in(&link.space) {
                    Some(master) if link.kind != "bridge" => format!("master: {master:?}"),
                    _ => continue,
                },
                15 => "nomaster: true".into(),
                16 => {
                    let port = self.rng.pick(&[
                        "cost: 9",
                        "priority: 7",
                        "isolated: false",
                        "learning: true",
                        "hairpin: true",
                    ]);
                    format!("port: #{{ {port} }}")
                }
                _ if link.kind == "bridge" => (*self.rng.pick(&[
                    "ageing_time: 77",
                    "stp: true",
                    "priority: 4096",
                    "mcast_snooping: true",
                    "forward_delay: 5",
                ]))
                .into(),
                _ => continue,
            };
            let key = option.split(':').next().unwrap_or_default().to_string();
            let clash = |o: &String| {
                o.starts_with(&format!("{key}:"))
                    || (key.ends_with("master") && o.split(':').next().is_some_and(|k| k.ends_with("master")))
            };
            if !options.iter().any(clash) {
                options.push(option);
            }
        }
        if options.is_empty() {
            options.push("alias: \"x\"".into());
        }
        format!("link_set({}, #{{ {} }})", link.dev(), options.join(", "))
    }

    fn rename(&mut self) -> Option<String> {
        let link = self.link();
        if link.kind.is_empty() {
            return None;
        }
        // By its first letter one tells whose it is.
        let new = self.name(if link.name.starts_with('x') { "x" } else { "y" });
        let old = link.dev();
        for known in self.links.iter_mut().filter(|l| l.space == link.space && l.name == link.name) {
            known.name.clone_from(&new);
        }
        if self.coupled.as_ref().is_some_and(|(s, n)| *s == link.space && *n == link.name) {
            self.coupled = Some((link.space.clone(), new.clone()));
        }
        let now = Link { name: new.clone(), ..link };
        self.follow(&old, &now.dev());
        Some(format!("link_rename({old}, {new:?})"))
    }

    fn follow(&mut self, old: &str, new: &str) {
        for (dev, _) in self.addrs.iter_mut().filter(|(d, _)| d == old) {
            *dev = new.into();
        }
    }

    fn change_space(&mut self) -> Option<String> {
        let link = self.link();
        let to = self.space();
        if link.kind.is_empty() || link.kind == "bridge" || to == link.space {
            return None;
        }
        let old = link.dev();
        for known in self.links.iter_mut().filter(|l| l.space == link.space && l.name == link.name) {
            known.space.clone_from(&to);
        }
        if self.coupled.as_ref().is_some_and(|(s, n)| *s == link.space && *n == link.name) {
            self.coupled = Some((to.clone(), link.name.clone()));
        }
        let now = Link { space: to.clone(), ..link };
        self.addrs.retain(|(dev, _)| *dev != old);
        let mut call = format!("link_move({old}, {})", Self::expression(&to));
        if self.rng.one_in(2) {
            let _ = write!(call, "; link_up({})", now.dev());
        }
        Some(call)
    }

    fn delete_link(&mut self) -> Option<String> {
        let link = self.link();
        if link.kind.is_empty() || (self.gentle && !link.name.starts_with('x')) {
            return None;
        }
        if self.links.len() > 3 {
            self.links.retain(|l| !(l.space == link.space && l.name == link.name));
        }
        Some(format!("link_del({})", link.dev()))
    }

    fn altname(&mut self) -> String {
        let dev = self.link().dev();
        if self.rng.one_in(3) {
            return format!("altname_del({dev}, \"other-name\")");
        }
        let name = self.name("another-name-that-is-longer-");
        format!("altname_add({dev}, {name:?})")
    }

    fn addr(&mut self) -> String {
        let link = self.link();
        let dev = link.dev();
        let mut options = Vec::new();
        let cidr = if self.rng.one_in(3) {
            if self.rng.one_in(3) {
                options.push("nodad: true".to_string());
            }
            format!("fd6{}::{}/64", self.rng.below(2), 1 + self.rng.below(6))
        } else {
            match self.rng.below(8) {
                0 => {
                    options.push("peer: \"10.62.0.2\"".into());
                    "10.62.0.1".into()
                }
                1 => "10.0.0.1/24".into(),
                2 => "10.0.0.2/24".into(),
                _ => format!("10.6{}.0.{}/24", self.rng.below(2), 1 + self.rng.below(6)),
            }
        };
        let v4 = !cidr.contains("::");
        match self.rng.below(9) {
            0 if v4 => options.push(format!("label: \"{}:{}\"", link.name, self.rng.below(3))),
            1 => options.push(format!("valid: {}, preferred: {}", 7080, 4080)),
            2 if v4 => options.push("scope: \"link\"".into()),
            3 => options.push("noprefixroute: true".into()),
            4 => options.push("metric: 77".into()),
            5 if v4 && cidr.contains('/') => options.push("broadcast: \"+\"".into()),
            _ => {}
        }
        if self.rng.one_in(6) {
            options.push("replace: true".into());
        }
        self.addrs.push((dev.clone(), cidr.clone()));
        if options.is_empty() && self.rng.one_in(3) {
            return format!("addr({dev}, [{cidr:?}, \"10.63.0.{}/24\"])", 1 + self.rng.below(5));
        }
        if options.is_empty() {
            return format!("addr({dev}, {cidr:?})");
        }
        format!("addr({dev}, {cidr:?}, #{{ {} }})", options.join(", "))
    }

    fn addr_del(&mut self) -> String {
        if self.rng.one_in(4) || self.addrs.is_empty() {
            let dev = self.link().dev();
            self.addrs.retain(|(d, _)| *d != dev);
            return match self.rng.below(3) {
                0 => format!("addr_flush({dev})"),
                1 => format!("addr_flush({dev}, #{{ family: \"inet\" }})"),
                _ => format!("addr_flush({dev}, #{{ family: \"inet6\" }})"),
            };
        }
        let at = self.rng.below(self.addrs.len());
        let (dev, cidr) = self.addrs.remove(at);
        format!("addr_del({dev}, {cidr:?})")
    }

    fn destination(&mut self, six: bool) -> String {
        if six {
            if self.rng.one_in(2) {
                return (*self.rng.pick(ROUTES6)).into();
            }
            return format!("fd7{}::/64", self.rng.below(3));
        }
        if self.rng.one_in(2) { (*self.rng.pick(ROUTES)).into() } else { format!("10.7{}.0.0/16", self.rng.below(4)) }
    }

    fn route(&mut self) -> String {
        let space = self.space();
        let six = self.rng.one_in(3);
        let dst = self.destination(six);
        let gateways = if six { GATEWAYS6 } else { GATEWAYS };
        let mut options = Vec::new();
        match self.rng.below(10) {
            0 => options.push(format!("type: {:?}", self.rng.pick(&["blackhole", "unreachable", "prohibit", "throw"]))),
            1 | 2 => {
                let (a, b) = (*self.rng.pick(gateways), *self.rng.pick(gateways));
                options.push(format!(
                    "nexthops: [#{{ via: {a:?}, weight: {} }}, #{{ via: {b:?} }}]",
                    1 + self.rng.below(4)
                ));
            }
            3 => {
                let names: Vec<String> =
                    self.links.iter().filter(|l| l.space == space).map(|l| l.name.clone()).collect();
                if names.is_empty() {
                    options.push("dev: \"lo\"".into());
                } else {
                    options.push(format!("dev: {:?}", self.rng.pick(&names)));
                }
            }
            _ => options.push(format!("via: {:?}", self.rng.pick(gateways))),
        }
        if dst == "default" && !options.iter().any(|o| o.starts_with("via") || o.starts_with("nexthops")) && six {
            options.push("family: \"inet6\"".into());
        }
        match self.rng.below(8) {
            0 => options.push(format!("metric: {}", self.rng.pick(&[33, 50, 7, 1024]))),
            1 => options.push("table: 100".into()),
            2 => options.push("mtu: 1300".into()),
            3 if !six => options.push("src: \"10.0.0.2\"".into()),
            4 => options.push("proto: \"static\"".into()),
            5 => options.push("onlink: true".into()),
            _ => {}
        }
        match self.rng.below(6) {
            0 | 1 => options.push("replace: true".into()),
            2 => options.push("append: true".into()),
            _ => {}
        }
        format!("route({}, {dst:?}, #{{ {} }})", Self::expression(&space), options.join(", "))
    }

    fn route_del(&mut self) -> String {
        let space = Self::expression(&self.space());
        let six = self.rng.one_in(3);
        let dst = match self.rng.below(5) {
            0 if six => "fd00::/64".to_string(),
            0 => (*self.rng.pick(&["10.0.0.0/24", "10.4.0.0/24", "10.5.0.0/24"])).to_string(),
            _ => self.destination(six),
        };
        let options = match self.rng.below(6) {
            0 => ", #{ table: 100 }".to_string(),
            1 if dst == "default" && six => ", #{ family: \"inet6\" }".into(),
            1 if !six => format!(", #{{ via: {:?} }}", self.rng.pick(GATEWAYS)),
            _ => String::new(),
        };
        format!("route_del({space}, {dst:?}{options})")
    }

    fn neigh(&mut self) -> String {
        let dev = self.link().dev();
        let ip = *self.rng.pick(&["10.0.0.50", "10.0.0.51", "10.60.0.50", "fd00::50", "fd60::50"]);
        match self.rng.below(7) {
            0 => format!("neigh_del({dev}, {ip:?})"),
            1 => format!("neigh_flush({dev}, #{{ all: true }})"),
            2 => format!(
                "neigh({dev}, {:?}, #{{ proxy: true }})",
                self.rng.pick(&["10.0.0.60", "10.0.0.61", "fd00::61"])
            ),
            3 => format!("neigh_del({dev}, {:?})", self.rng.pick(&["10.0.0.60", "fd00::60"])),
            4 => format!("neigh({dev}, {ip:?}, \"02:00:00:00:05:aa\", #{{ replace: true }})"),
            _ => format!("neigh({dev}, {ip:?}, \"02:00:00:00:05:{:02x}\")", self.rng.below(200)),
        }
    }

    fn sysctl(&mut self) -> String {
        let space = Self::expression(&self.space());
        let link = self.link();
        let on = Self::expression(&link.space);
        let name = &link.name;
        let bit = self.rng.below(2);
        match self.rng.below(14) {
            0 => format!("sysctl({space}, \"net.ipv4.ip_forward\", {bit})"),
            1 => format!("sysctl({space}, \"net.ipv4.conf.all.forwarding\", {bit})"),
            2 => format!("sysctl({space}, \"net.ipv6.conf.all.forwarding\", {bit})"),
            3 => format!("sysctl({space}, \"net.ipv4.conf.default.rp_filter\", {})", self.rng.below(3)),
            4 => format!("sysctl({space}, \"net.ipv4.ip_local_port_range\", \"20000 30000\")"),
            5 => format!("sysctl({space}, \"net.ipv6.conf.default.hop_limit\", 33)"),
            6 => format!("sysctl({on}, \"net.ipv4.conf.{name}.arp_filter\", {bit})"),
            7 => format!("sysctl({on}, \"net.ipv4.conf.{name}.forwarding\", {bit})"),
            8 => format!("sysctl({on}, \"net.ipv6.conf.{name}.forwarding\", {bit})"),
            9 => format!("sysctl({on}, \"net.ipv6.conf.{name}.disable_ipv6\", {bit})"),
            10 => format!("sysctl({space}, \"net.ipv6.conf.all.disable_ipv6\", {bit})"),
            11 => format!("sysctl({on}, \"net.ipv4.neigh.{name}.gc_stale_time\", {})", 60 + self.rng.below(100)),
            12 => format!("sysctl({on}, \"net.ipv6.conf.{name}.accept_ra\", {})", self.rng.below(3)),
            _ => format!("sysctl({on}, \"net.ipv4.conf.{name}.rp_filter\", {})", self.rng.below(3)),
        }
    }

    fn file(&mut self) -> String {
        match self.rng.below(3) {
            0 => "write_file(\"/run/files/file\", \"changed\")".into(),
            1 => format!("write_file(\"/run/files/new{}\", \"new\")", self.rng.below(3)),
            _ => "remove_file(\"/run/files/file\")".into(),
        }
    }

    /// Rules, nexthops, queues, the firewall, and links of other kinds.
    fn more(&mut self) -> Option<String> {
        match self.rng.below(24) {
            0..=2 => Some(self.rule()),
            3 | 4 => {
                let space = Self::expression(&self.space());
                let by = *self.rng.pick(&[
                    "priority: 500",
                    "priority: 600",
                    "priority: 600, type: \"prohibit\"",
                    "priority: 500, family: \"inet6\"",
                    "priority: 32766",
                    "priority: 700",
                ]);
                Some(format!("rule_del({space}, #{{ {by} }})"))
            }
            5..=8 => Some(self.nexthop()),
            9 => {
                let space = Self::expression(&self.space());
                Some(format!("nexthop_del({space}, {})", self.rng.pick(&[11, 12, 13, 14, 20, 31, 32, 33])))
            }
            10 => {
                let space = Self::expression(&self.space());
                let dst = self.destination(false);
                Some(format!("route({space}, {dst:?}, #{{ nhid: {} }})", self.rng.pick(&[11, 12, 14, 20, 31, 32, 33])))
            }
            11..=15 => Some(self.queue()),
            16 | 17 if self.nft => Some(self.firewall()),
            18 => Some(format!("forwarding({}, {})", Self::expression(&self.space()), self.rng.one_in(2))),
            19..=23 => Some(self.other_kind()),
            _ => None,
        }
    }

    fn rule(&mut self) -> String {
        let space = Self::expression(&self.space());
        let what = match self.rng.below(5) {
            0 => "from: \"fd00::1\", table: 100".to_string(),
            1 => format!("to: \"10.9.{}.0/24\", type: \"blackhole\"", self.rng.below(4)),
            2 => format!("fwmark: {}, table: 100", 1 + self.rng.below(3)),
            3 => format!("iif: \"{}\", table: 77", self.link().name),
            _ => format!("from: \"10.0.0.{}\", table: 100", self.rng.below(9)),
        };
        let priority = self.rng.pick(&["", ", priority: 500", ", priority: 600", ", priority: 700"]);
        format!("rule({space}, #{{ {what}{priority} }})")
    }

    fn nexthop(&mut self) -> String {
        let link = self.link();
        let space = Self::expression(&link.space);
        let id = *self.rng.pick(&[11, 12, 13, 20, 31, 32, 33]);
        let replace = if self.rng.one_in(2) { ", replace: true" } else { "" };
        let what = match self.rng.below(5) {
            0 => "blackhole: true".to_string(),
            1 | 2 => format!("group: [{}, {}]", self.rng.pick(&[11, 12, 31]), self.rng.pick(&[14, 32, 12])),
            3 => format!("via: {:?}, dev: {:?}", self.rng.pick(GATEWAYS6), link.name),
            _ => format!("via: {:?}, dev: {:?}", self.rng.pick(GATEWAYS), link.name),
        };
        format!("nexthop({space}, {id}, #{{ {what}{replace} }})")
    }

    fn queue(&mut self) -> String {
        let dev = if self.rng.one_in(3) { "\"w1:v1\"".to_string() } else { self.link().dev() };
        let replace = if self.rng.one_in(2) { ", replace: true" } else { "" };
        let mbit = 1 + self.rng.below(90);
        match self.rng.below(12) {
            0 | 1 => format!("qdisc({dev}, \"tbf\", #{{ rate: \"{mbit}mbit\"{replace} }})"),
            2 => format!("qdisc({dev}, \"htb\", #{{ handle: \"1:\"{replace} }})"),
            3 => format!("qdisc({dev}, \"pfifo\", #{{ limit: {mbit}{replace} }})"),
            4 => format!("qdisc({dev}, \"clsact\")"),
            5 => format!("qdisc_del({dev})"),
            6 => format!("qdisc_del({dev}, #{{ parent: \"ingress\" }})"),
            7 => {
                format!(
                    "tc_class({dev}, \"1:{:x}\", #{{ rate: \"{mbit}mbit\"{replace} }})",
                    16 * (1 + self.rng.below(6))
                )
            }
            8 => format!("tc_class_del({dev}, \"1:{:x}\")", 16 * (1 + self.rng.below(4))),
            9 => format!(
                "tc_filter({dev}, \"u32\", #{{ parent: \"1:\", prio: {}, dst: \"10.0.0.{mbit}\", classid: \"1:30\" }})",
                1 + self.rng.below(9)
            ),
            10 => {
                let target = self.link().name;
                format!(
                    "tc_filter({dev}, \"u32\", #{{ parent: \"ingress\", action: #{{ kind: \"mirred\", dev: {target:?} }} }})"
                )
            }
            _ => format!("tc_filter_del({dev}, #{{ parent: \"{}\" }})", self.rng.pick(&["1:", "ingress", "egress"])),
        }
    }

    fn firewall(&mut self) -> String {
        let space = Self::expression(&self.space());
        match self.rng.below(6) {
            0 => format!("masquerade({space}, {:?})", self.link().name),
            1 => format!("drop({space}, #{{ proto: \"tcp\", dport: {} }})", 1 + self.rng.below(99)),
            2 => format!("nft({space}, \"add element inet stranger blocked {{ 10.66.0.{} }}\")", self.rng.below(9)),
            3 => format!("nft({space}, \"flush chain inet stranger more\")"),
            4 => format!("nft({space}, \"add table ip fresh{}\")", self.rng.below(2)),
            _ => format!("nft({space}, \"delete table ip {}\")", self.rng.pick(&["nat", "fresh0", "fresh1"])),
        }
    }

    /// A link on top of another, or one that stands alone.
    fn other_kind(&mut self) -> String {
        let below = self.link();
        let up = self.rng.one_in(2);
        let made = Link { space: below.space.clone(), name: self.name("x"), kind: "other" };
        let dev = made.dev();
        self.links.push(made);
        let lower = &below.name;
        let id = 1 + self.rng.below(50);
        match self.rng.below(6) {
            0..=2 => format!("macvlan({dev}, #{{ link: {lower:?}, mode: \"bridge\", up: {up} }})"),
            3 => {
                format!("vxlan({dev}, #{{ id: {id}, dev: {lower:?}, group: \"239.1.1.1\", dstport: 4789, up: {up} }})")
            }
            4 => format!("tap({dev}, #{{ up: {up} }})"),
            _ => format!("ifb({dev}, #{{ up: {up} }})"),
        }
    }
}

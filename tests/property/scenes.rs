//! What comes of things from before that hang on the script's own links.

use super::{GATEWAYS, Generator, Link, ROUTES};

impl Generator<'_> {
    /// A link of the script's own, something from before that is put onto it, and then what befalls it.
    pub(super) fn scene(&mut self) -> Vec<String> {
        let space = (*self.rng.pick(&["w1", "w1", "w1", "w2", ""])).to_string();
        let (ns, net) = (Self::expression(&space), 7 + self.rng.below(3));
        let one = Link {
            space: space.clone(),
            name: self.name("x"),
            kind: if self.rng.one_in(3) { "bridge" } else { "veth" },
        };
        let mut two = Link { name: self.name("x"), kind: "veth", ..one.clone() };
        let (dev, name) = (one.dev(), one.name.clone());
        let old: &[&str] = match space.as_str() {
            "w1" => &["w1:v1", "w1:p1", "w1:p2", "w1:q2"],
            "w2" => &["w2:v2", "w2:e1"],
            _ => &["h0", "h1"],
        };
        let old = (*self.rng.pick(old)).to_string();
        let mut out = Vec::new();
        // With its other end in a namespace of the script's own, which may go.
        let away = one.kind == "veth" && self.rng.one_in(3);
        if away {
            two.space = self.name("n");
            self.spaces.push(two.space.clone());
            out.push(format!("netns_add({:?})", two.space));
        }
        let cidr = format!("[\"10.6{net}.0.1/24\", \"fd6{net}::1/64\"]");
        if one.kind == "bridge" {
            out.push(format!("bridge({dev}, #{{ up: true, addr: {cidr} }})"));
        } else {
            out.push(format!("veth({dev}, {}, #{{ up: true, a: #{{ addr: {cidr} }} }})", two.dev()));
            self.links.push(two.clone());
        }
        self.links.push(one.clone());
        self.coupled = Some((space.clone(), name.clone()));
        let via = format!("10.6{net}.0.8");
        for _ in 0..=self.rng.below(2) {
            let id = *self.rng.pick(&[11, 12, 13, 31]);
            out.push(match self.rng.below(11) {
                0..=2 if one.kind == "bridge" => format!("link_set({old:?}, #{{ master: {name:?} }})"),
                0 => format!("nexthop({ns}, {id}, #{{ via: {via:?}, dev: {name:?}, replace: true }})"),
                1 => format!(
                    "nexthop({ns}, 31, #{{ via: {via:?}, dev: {name:?} }}); nexthop({ns}, 20, #{{ group: [31], replace: true }})"
                ),
                2 => format!("route({ns}, {:?}, #{{ via: {via:?}, replace: true }})", self.rng.pick(ROUTES)),
                3 => format!(
                    "route({ns}, \"10.11.0.0/16\", #{{ nexthops: [#{{ via: {via:?} }}, #{{ via: {:?} }}], replace: true }})",
                    self.rng.pick(GATEWAYS)
                ),
                4 => format!(
                    "route({ns}, \"fd10::/64\", #{{ nexthops: [#{{ via: \"fd00::9\" }}, #{{ via: \"fd6{net}::9\" }}], replace: true }})"
                ),
                5 => format!("addr({dev}, \"10.0.0.2/32\"); addr_del(\"w1:v1\", \"10.0.0.2/24\")"),
                6 => format!(
                    "tc_filter(\"w1:q2\", \"u32\", #{{ parent: \"{}\", prio: 77, protocol: \"ip\", src: \"10.99.0.0/16\", action: #{{ kind: \"mirred\", dev: {name:?} }} }})",
                    self.rng.pick(&["ingress", "egress"])
                ),
                7 => {
                    let made = Link { name: self.name("x"), kind: "other", ..one.clone() };
                    let up = format!(
                        "macvlan({}, #{{ link: {name:?}, mode: \"bridge\", up: true }}); link_set({}, #{{ master: \"br0\" }})",
                        made.dev(),
                        made.dev()
                    );
                    self.links.push(made);
                    up
                }
                8 => {
                    let made = Link { name: self.name("x"), kind: "other", ..one.clone() };
                    let lower = old.rsplit(':').next().unwrap_or_default();
                    let up = format!("macvlan({}, #{{ link: {lower:?}, mode: \"passthru\", up: true }})", made.dev());
                    self.coupled = Some((space.clone(), made.name.clone()));
                    self.links.push(made);
                    up
                }
                9 => format!("link_set({dev}, #{{ master: \"br0\" }}); link_set({old:?}, #{{ mtu: 1300 }})"),
                _ => format!("link_move({old:?}, {})", Self::expression(&self.space())),
            });
        }
        for _ in 0..self.rng.below(3) {
            out.push(self.call());
        }
        // What it is called by now.
        let (space, name) = self.coupled.clone().unwrap_or_default();
        let now = Link { space, name, kind: "" }.dev();
        for _ in 0..=self.rng.below(2) {
            let end = &two.space;
            out.push(match self.rng.below(if away { 14 } else { 9 }) {
                9..=11 => format!("netns_del({end:?})"),
                12 => {
                    let name = self.name("t");
                    let text = format!("netns_attach({name:?}, \"/run/netns/{end}\"); netns_del({end:?})");
                    self.spaces.push(name);
                    text
                }
                13 => format!("start({end:?}, \"sleep 1000\"); netns_del({end:?})"),
                0..=2 => format!("link_del({now})"),
                3 => format!("link_down({now})"),
                4 => format!("link_move({now}, {})", Self::expression(&self.space())),
                5 => format!("link_set({now}, #{{ mtu: {} }})", self.rng.pick(&[1000, 1300, 1280])),
                6 => format!("link_set({now}, #{{ mac: \"02:00:00:00:77:{:02x}\" }})", self.rng.below(250)),
                7 => format!("link_set({now}, #{{ nomaster: true }}); link_set({old:?}, #{{ nomaster: true }})"),
                _ => format!("link_del({})", two.dev()),
            });
        }
        out
    }

    /// A link from before goes through a namespace of the script's own, which then goes.
    pub(super) fn journey(&mut self) -> Vec<String> {
        let (at, dev) = *self.rng.pick(&[
            ("w1", "v1"),
            ("w1", "v1"),
            ("w1", "p1"),
            ("w1", "p2"),
            ("w1", "q2"),
            ("w2", "v2"),
            ("w2", "e1"),
            ("", "h0"),
        ]);
        let place = |space: &str| Link { space: space.into(), name: dev.into(), kind: "veth" }.dev();
        let own = self.name("n");
        self.spaces.push(own.clone());
        let mut out = vec![format!("netns_add({own:?})"), format!("link_move({}, {own:?})", place(at))];
        self.links.retain(|l| (l.space.as_str(), l.name.as_str()) != (at, dev));
        let mut now = own.clone();
        for _ in 0..self.rng.below(4) {
            let here = place(&now);
            out.push(match self.rng.below(9) {
                0 => format!("link_up({here})"),
                1 => format!("addr({here}, \"10.77.0.1/24\")"),
                2 => format!("link_set({here}, #{{ mtu: 1300, alias: \"far away\" }})"),
                3 => {
                    let bridge = self.name("x");
                    let made = Link { space: now.clone(), name: bridge.clone(), kind: "bridge" }.dev();
                    format!("bridge({made}, #{{ up: true }}); link_set({here}, #{{ master: {bridge:?} }})")
                }
                4 => {
                    let made = Link { space: now.clone(), name: self.name("x"), kind: "other" }.dev();
                    format!("macvlan({made}, #{{ link: {dev:?}, mode: \"bridge\", up: true }})")
                }
                5 | 6 => {
                    let to = if self.rng.one_in(2) { at.to_string() } else { self.space() };
                    let text = format!("link_move({here}, {})", Self::expression(&to));
                    now = to;
                    text
                }
                7 => self.call(),
                _ => format!("link_del({here})"),
            });
        }
        out.push(format!("netns_del({own:?})"));
        out
    }

    /// Puts something that was there before onto a link of the script's own: what becomes of that link from then on,
    /// becomes of what was there before.
    pub(super) fn couple(&mut self) -> Option<String> {
        let own: Vec<Link> = self
            .links
            .iter()
            .filter(|l| l.name.starts_with('x') && ["w1", "w2", ""].contains(&l.space.as_str()))
            .cloned()
            .collect();
        if own.is_empty() {
            return self.make_link();
        }
        let own = self.rng.pick(&own).clone();
        self.coupled = Some((own.space.clone(), own.name.clone()));
        let (space, dev, name) = (Self::expression(&own.space), own.dev(), own.name.clone());
        let old: Vec<Link> = self
            .links
            .iter()
            .filter(|l| l.space == own.space && !l.name.starts_with('x') && l.kind == "veth")
            .cloned()
            .collect();
        let net = self.rng.below(3);
        let by = format!("10.6{net}.0.9");
        let with_address = format!("addr({dev}, \"10.6{net}.0.{}/24\"); link_up({dev})", 11 + self.rng.below(5));
        match self.rng.below(9) {
            0..=2 if own.kind == "bridge" && !old.is_empty() => {
                let port = self.rng.pick(&old).clone();
                Some(format!("link_set({}, #{{ master: {name:?} }})", port.dev()))
            }
            0 => Some(format!("{with_address}; link_set({dev}, #{{ master: {:?} }})", self.bridge_in(&own.space)?)),
            1 => {
                let id = self.rng.pick(&[11, 12, 13, 20]);
                Some(format!(
                    "{with_address}; nexthop({space}, {id}, #{{ via: {by:?}, dev: {name:?}, replace: true }})"
                ))
            }
            2 => {
                let dst = *self.rng.pick(ROUTES);
                let src = if self.rng.one_in(3) { ", src: \"10.0.0.2\"" } else { "" };
                Some(format!("{with_address}; route({space}, {dst:?}, #{{ via: {by:?}, replace: true{src} }})"))
            }
            3 => {
                let six = self.rng.one_in(2);
                let dst = self.destination(six);
                let family = match (dst.as_str(), six) {
                    ("default", true) => ", family: \"inet6\"",
                    ("default", false) => ", family: \"inet\"",
                    _ => "",
                };
                Some(format!("link_up({dev}); route({space}, {dst:?}, #{{ dev: {name:?}, replace: true{family} }})"))
            }
            4 => {
                let other = *self.rng.pick(GATEWAYS);
                Some(format!(
                    "{with_address}; route({space}, \"10.11.0.0/16\", #{{ nexthops: [#{{ via: {by:?} }}, #{{ via: {other:?} }}], replace: true }})"
                ))
            }
            5 => Some(format!(
                "tc_filter(\"w1:q2\", \"u32\", #{{ parent: \"egress\", prio: 4, replace: true, action: #{{ kind: \"mirred\", dev: {name:?} }} }})"
            )),
            6 => {
                // On a link from before, or on this one.
                let lower =
                    if old.is_empty() || self.rng.one_in(2) { own.clone() } else { self.rng.pick(&old).clone() };
                let made = Link { space: own.space.clone(), name: self.name("x"), kind: "other" };
                let call = format!("macvlan({}, #{{ link: {:?}, up: true }})", made.dev(), lower.name);
                self.coupled = Some((made.space.clone(), made.name.clone()));
                self.links.push(made);
                Some(call)
            }
            7 => {
                // An address that routes have as their source.
                let cidr = *self.rng.pick(&["10.0.0.2/24", "10.0.0.1/24", "10.4.0.1/24"]);
                self.addrs.push((dev.clone(), cidr.into()));
                Some(format!("addr({dev}, {cidr:?}); link_up({dev})"))
            }
            _ => {
                let ip = *self.rng.pick(&["10.0.0.50", "fd00::50"]);
                Some(format!("neigh({dev}, {ip:?}, \"02:00:00:00:05:bb\"); neigh_flush({dev}, #{{ all: true }})"))
            }
        }
    }
}

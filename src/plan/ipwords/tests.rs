use super::*;
use crate::plan::verb::AddMode;

fn line(text: &str) -> Result<Line> {
    parse(&split(text)?, &[])
}

fn command(text: &str) -> Command {
    line(text).unwrap_or_else(|e| panic!("{text}: {e}")).command
}

#[test]
fn beginnings_find_the_first_in_order() {
    for (short, long) in [
        ("ip a", "ip address"),
        ("ip r", "ip route"),
        ("ip ro", "ip route"),
        ("ip n", "ip neighbour"),
        ("ip ne", "ip neighbour"),
        ("ip net", "ip netns"),
        ("ip netn", "ip netns"),
        ("ip l", "ip link"),
        ("ip l s", "ip link set"),
        ("ip a s", "ip address show"),
        ("ip a sh x", "ip address show dev x"),
        ("ip r s", "ip route show"),
        ("ip a a 10.0.0.1/24 dev x", "ip address add 10.0.0.1/24 dev x"),
        ("ip a d 10.0.0.1/24 dev x", "ip address delete 10.0.0.1/24 dev x"),
        ("ip -br l", "ip -brief link"),
        ("ip -s -s -d l", "ip -stats -statistics -details link"),
        ("ip l set x up", "ip link change x up"),
        ("ip netns a x", "ip netns add x"),
        ("ip netns d x", "ip netns delete x"),
    ] {
        let (short_is, long_is) = (line(short), line(long));
        match (short_is, long_is) {
            (Ok(a), Ok(b)) => assert_eq!(without_places(&a), without_places(&b), "{short}"),
            (Err(_), Err(_)) => {}
            (a, b) => panic!("{short}: {a:?}\n{long}: {b:?}"),
        }
    }
}

/// Words compare with their places, which differ.
fn without_places(line: &Line) -> String {
    let text = format!("{line:?}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("column: ") {
        out += &rest[..at];
        rest = rest[at..].split_once('}').map_or("", |(_, after)| after);
    }
    out + rest
}

#[test]
fn errors_name_the_word_and_its_place() {
    for (text, wanted) in [
        ("ip link set x mtuu 1400", "`mtuu` (word 5, column 15)"),
        ("ip lnk", "`lnk` (word 2, column 4)"),
        ("ip link set x mtu", "`mtu` (word 5, column 15): the line ends"),
        ("ip link add x type veth peer y mtu a", "`a` (word 10, column 36)"),
        ("ip addr add 10.0.0.1/33 dev x", "`10.0.0.1/33` (word 4, column 13)"),
        ("ip route add 10.0.0.0/8 via 10.0.0.1 foo", "`foo` (word 7, column 38)"),
        ("ip xfrm state", "`xfrm` (word 2, column 4)"),
        ("ip -wrong link", "`-wrong` (word 2, column 4)"),
        ("ip link set x vf 0 mac 02:00:00:00:00:01", "`vf` (word 5, column 15)"),
    ] {
        let error = line(text).expect_err(text);
        assert!(error.message.starts_with(wanted), "{text}: {}", error.message);
    }
    assert_eq!(line("ip xfrm state").expect_err("not ours").kind, crate::plan::Kind::Unsupported);
    assert_eq!(line("ip lnk").expect_err("no object").hint.as_deref(), Some("did you mean `link`?"));
}

#[test]
fn a_pair_with_its_peer() {
    let Command::Link(link::Link::Add(parts)) =
        command("ip link add x mtu 1400 type veth peer name b netns n index 7 address 02:00:00:00:00:01")
    else {
        panic!("not a link")
    };
    assert_eq!(parts.name.as_ref().map(|w| w.text.as_str()), Some("x"));
    assert_eq!(parts.change.mtu, Some(1400));
    assert!(parts.options.is_empty());
    let peer = parts.peer.expect("a peer");
    assert_eq!(peer.name.map(|w| w.text).as_deref(), Some("b"));
    assert_eq!((peer.index, peer.netns.map(|w| w.text).as_deref()), (7, Some("n")));
}

#[test]
fn names_and_renames() {
    let dev = |text: &str| match command(text) {
        Command::Link(link::Link::Set(p)) => (p.dev.map(|w| w.text), p.name.map(|w| w.text)),
        other => panic!("{other:?}"),
    };
    let pair = |a: &str, b: Option<&str>| (Some(a.to_string()), b.map(str::to_string));
    assert_eq!(dev("ip link set veth1 name eth0"), pair("veth1", Some("eth0")));
    assert_eq!(dev("ip link set dev veth1 name eth0"), pair("veth1", Some("eth0")));
    assert_eq!(dev("ip link set name eth0 dev veth1"), pair("veth1", Some("eth0")));
    assert_eq!(dev("ip link set up veth1"), pair("veth1", None));
    assert_eq!(dev("ip link set veth1 name veth1"), pair("veth1", None));
    assert!(line("ip link set a b").is_err());
    assert!(line("ip link add a name b type bridge").is_err());
}

#[test]
fn routes() {
    let spec = |text: &str| match command(text) {
        Command::Route(route::Route::Add { spec, mode, .. }) => (*spec, mode),
        other => panic!("{other:?}"),
    };
    let (r, mode) =
        spec("ip route replace default via 10.0.0.1 dev eth0 table 100 metric 5 proto static mtu lock 1400");
    assert_eq!(r.words(), "default via 10.0.0.1 dev eth0 table 100 proto static metric 5 mtu lock 1400");
    assert_eq!(mode, AddMode::Replace);
    let (r, _) = spec("ip route add 10.9/16 nexthop via 10.0.0.2 dev a weight 2 nexthop via 10.0.1.2 dev b");
    assert_eq!(r.words(), "10.9.0.0/16 nexthop via 10.0.0.2 dev a weight 2 nexthop via 10.0.1.2 dev b weight 1");
    let (r, _) = spec("ip -6 route add default dev eth0");
    assert_eq!((r.family, r.dst), (AF_INET6, None));
    let (r, _) = spec("ip route add local 10.0.0.0/24 dev lo");
    assert_eq!((r.kind, r.table), (Some(2), Some(255)));
    let (r, _) = spec("ip route add 10.0.0.0/24 via inet6 fe80::1 dev eth0");
    assert_eq!((r.family, r.via), (AF_INET, "fe80::1".parse().ok()));
    let (r, _) = spec("ip route add 10.0.0.0/24 via 10.1.0.1 tos AF11 rtt 100ms features ecn quickack 1");
    assert_eq!((r.tos, r.metrics), (0x28, vec![(4, 800), (12, 1), (15, 1)]));
    for bad in [
        "ip route add",
        "ip route add via 10.0.0.1",
        "ip route add 10.0.0.1/24 dev x",
        "ip route add default via 10.0.0.1 via 10.0.0.2",
        "ip route add default nexthop",
        "ip route add default nexthop via 10.0.0.1 weight 0",
        "ip -6 route add 10.0.0.0/8 dev x",
        "ip route flush",
    ] {
        assert!(line(bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses() {
    let words = |text: &str| match command(text) {
        Command::Addr(addr::Addr::Add { dev, spec, .. }) => spec.words(&dev.text),
        other => panic!("{other:?}"),
    };
    assert_eq!(words("ip addr add 10.0.0.1/24 brd + dev x"), "10.0.0.1/24 broadcast 10.0.0.255 dev x");
    assert_eq!(words("ip addr add 10.0.0.1 peer 10.0.0.2/32 dev x"), "10.0.0.1 peer 10.0.0.2/32 dev x");
    assert_eq!(words("ip addr add fd00::1/64 nodad dev x"), "fd00::1/64 dev x nodad");
    assert_eq!(words("ip addr add 10.0.0.1/24 dev x nodad"), "10.0.0.1/24 dev x");
    for bad in ["ip addr add 10.0.0.1/24", "ip addr add dev x", "ip addr flush"] {
        assert!(line(bad).is_err(), "{bad}");
    }
}

#[test]
fn namespaces() {
    assert!(matches!(command("ip netns"), Command::Netns(netns::Netns::List)));
    assert!(matches!(command("ip -all netns delete"), Command::Netns(netns::Netns::DeleteAll)));
    assert!(matches!(command("ip -all netns exec ip link"), Command::Netns(netns::Netns::ExecAll(w)) if w.len() == 2));
    assert!(
        matches!(command("ip netns exec a sh -c 'x y'"), Command::Netns(netns::Netns::Exec(_, w)) if w[2].text == "x y")
    );
    assert!(matches!(command("ip netns set a auto"), Command::Netns(netns::Netns::Set(_, None))));
    for bad in ["ip netns add", "ip netns exec a", "ip netns set a", "ip netns set a -5", "ip netns frob"] {
        assert!(line(bad).is_err(), "{bad}");
    }
}

//! `nsscript doctor`.

use super::*;

/// (area, name) → state.
fn states(survey: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    survey["findings"].as_array().unwrap().iter().map(|f| (text(&f["name"]), text(&f["state"]))).collect()
}

/// The interfaces of our namespace.
fn interfaces() -> String {
    std::fs::read_to_string("/proc/self/net/dev")
        .unwrap()
        .lines()
        .map(|l| l.split(':').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_doctor_finds_what_there_is_and_changes_nothing() {
    let before = interfaces();
    let ran = line("doctor --json");
    let survey: Value = serde_json::from_str(&ran.out).unwrap();
    let states = states(&survey);
    let state = |name: &str| states.iter().find(|(n, _)| n == name).map(|(_, s)| s.as_str());
    assert_eq!(ran.code, Some(if survey["ok"] == true { 0 } else { 1 }));
    for name in [
        "kernel",
        "network namespaces",
        "user namespaces",
        "privileges",
        "veth",
        "bridge",
        "vlan",
        "vxlan",
        "macvlan",
        "ipvlan",
        "dummy",
        "ifb",
        "vrf",
        "bond",
        "gre",
        "gretap",
        "ipip",
        "sit",
        "ip6tnl",
        "vti",
        "geneve",
        "bareudp",
        "erspan",
        "wireguard",
        "macsec",
        "tun",
        "xfrm",
        "netkit",
        "nlmon",
        "team",
        "bridge vlan_filtering",
        "netem",
        "drr",
        "hfsc",
        "basic",
        "fw",
        "gact",
        "mirred",
        "police",
        "mpls encapsulation",
        "tbf",
        "htb",
        "fq_codel",
        "codel",
        "pie",
        "red",
        "choke",
        "fq",
        "sfq",
        "prio",
        "cake",
        "ingress",
        "clsact",
        "flower",
        "u32",
        "matchall",
        "nexthop objects",
        "mpls",
        "nf_tables",
        "rename while up",
        "raw ICMP",
        "nft",
        "tcpdump",
        "newuidmap",
    ] {
        assert!(state(name).is_some(), "{name} is not in {states:?}");
    }
    // The tests of this project need these, so they are there; and what `ip` can make, the doctor can.
    assert_eq!((state("network namespaces"), state("veth")), (Some("yes"), Some("yes")));
    let table = line("doctor");
    for part in ["machine\n", "link kinds\n", "  veth ", "programs that help\n"] {
        assert!(table.out.contains(part), "{part}\n{}", table.out);
    }
    assert_eq!(interfaces(), before);
}

#[test]
fn the_doctor_agrees_with_ip() {
    isolated!("doctor::the_doctor_agrees_with_ip");
    // A full kernel loads modules that make devices by themselves: only what is registered is compared.
    let survey: Value = serde_json::from_str(&line("doctor --json").out).unwrap();
    let states = states(&survey);
    for kind in
        ["bridge", "dummy", "ifb", "vxlan", "wireguard", "vrf", "bond", "macsec", "geneve", "gre", "vti", "netkit"]
    {
        let more = match kind {
            "vxlan" | "geneve" => "id 7 remote 192.0.2.1 dstport 4789",
            "vrf" => "table 7",
            "gre" | "vti" => "remote 192.0.2.1",
            "macsec" => continue,
            _ => "",
        };
        let mut ip = Command::new("ip");
        ip.args(["link", "add", "probed", "type", kind]).args(more.split_whitespace());
        let Ok(made) = ip.output() else { return };
        let said = String::from_utf8_lossy(&made.stderr);
        let doctor = states.iter().find(|(n, _)| n == kind).map(|(_, s)| s.as_str()).unwrap();
        match doctor {
            "yes" => assert!(
                made.status.success() || said.contains("ip link help") || said.contains("nknown"),
                "{kind}: {said}"
            ),
            "no" => assert!(!made.status.success(), "{kind}: ip makes it"),
            _ => {}
        }
        let _ = Command::new("ip").args(["link", "del", "probed"]).output();
    }
}

/// How a script makes what the doctor looks for, on `h:e0`, whose other end is `h:e1`, and on `h:e2`.
fn call(area: &str, name: &str) -> Option<String> {
    let four = "local: \"10.0.0.1\", remote: \"10.0.0.2\"";
    let six = "local: \"fd00::1\", remote: \"fd00::2\"";
    let options = match name {
        "bridge vlan_filtering" => return Some("bridge(\"h:x\", #{ vlan_filtering: true })".into()),
        // Both ends at once; it is what every lab needs.
        "veth" => return Some("veth(\"h:x\", \"h:y\")".into()),
        // It needs a device that a sandbox may not have.
        "tun" => return None,
        "bareudp" => "dstport: 6635, ethertype: \"mpls_uc\"".into(),
        "vlan" => "link: \"e0\", id: 7".into(),
        "vxlan" => "id: 7, dstport: 4789".into(),
        "macvlan" | "macvtap" => "link: \"e0\", mode: \"bridge\"".into(),
        "ipvlan" | "ipvtap" => "link: \"e1\"".into(),
        "macsec" => "link: \"e2\", port: 7".into(),
        "vrf" => "table: 7".into(),
        "erspan" => format!("{four}, seq: true, key: 7"),
        "ip6erspan" => format!("{six}, seq: true, key: 7"),
        "gre" | "gretap" | "ipip" | "sit" | "vti" => four.into(),
        "ip6gre" | "ip6gretap" | "ip6tnl" | "vti6" => six.into(),
        "geneve" => "id: 7, remote: \"10.0.0.2\"".into(),
        "xfrm" => "if_id: 7".into(),
        "tbf" => "rate: \"10mbit\"".into(),
        "red" => "limit: \"400kb\", avpkt: 1000".into(),
        "choke" => "limit: 1000, bandwidth: \"10mbit\"".into(),
        _ => String::new(),
    };
    match area {
        "link" if !name.contains(' ') => Some(format!("{name}(\"h:x\", #{{ {options} }})")),
        "qdisc" => Some(format!("qdisc(\"h:e0\", \"{name}\", #{{ {options} }})")),
        "filter" => Some(format!(
            "qdisc(\"h:e2\", \"clsact\"); tc_filter(\"h:e2\", \"{name}\", #{{ parent: \"ingress\", protocol: \"ip\" }})"
        )),
        _ => None,
    }
}

/// What the doctor finds, a script can make; what it does not find is refused with the kernel option that it names.
#[test]
fn the_doctor_agrees_with_the_errors() {
    let survey: Value = serde_json::from_str(&line("doctor --json").out).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let mut script = String::from("netns_add(\"h\"); veth(\"h:e0\", \"h:e1\"); veth(\"h:e2\", \"h:e3\");\n");
    let mut wanted = Vec::new();
    for finding in survey["findings"].as_array().unwrap() {
        let (area, name, state) = (text(&finding["area"]), text(&finding["name"]), text(&finding["state"]));
        let Some(call) = call(&area, &name).filter(|_| state != "unknown") else { continue };
        // All of it is taken back, so that each has the place for itself.
        script += &format!(
            "try {{ transaction(|| {{ {call}; throw \"made\"; }}); }} catch (e) {{
                print(if type_of(e) == \"string\" {{ e }} else {{ `${{e.kind}} ${{e.message}} ${{e.hint}}` }});
            }}\n"
        );
        let note = text(&finding["note"]);
        let option = note.split([' ', ',']).find(|w| w.starts_with("CONFIG_")).map(str::to_owned);
        wanted.push((name, state, option));
    }
    let script = Script::new("agrees", &script);
    let ran: Ran =
        Command::new(PROGRAM).args(["--sandbox", "--rm", "--color", "never"]).arg(&script.0).output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said: Vec<&str> = ran.out.lines().collect();
    assert!(wanted.len() > 30, "only {} findings", wanted.len());
    assert_eq!(said.len(), wanted.len(), "{}", ran.out);
    for ((name, state, option), said) in wanted.iter().zip(said) {
        match (state.as_str(), option) {
            ("no", Some(option)) => {
                assert!(said.starts_with("unsupported ") && said.contains(option), "{name}, no {option}: {said}");
            }
            ("no", None) => assert!(said.starts_with("unsupported "), "{name}: {said}"),
            _ => assert_eq!(said, "made", "{name} is {state}"),
        }
    }
}

#[test]
fn the_doctor_serves_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        return; // then every test here is that one
    }
    // The program may lie where that user can't go.
    let place = Script::new("x", "");
    let copy = place.0.with_file_name("nsscript");
    std::fs::copy(PROGRAM, &copy).unwrap();
    let ran: Ran = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&copy)
        .args(["doctor", "--json"])
        .output()
        .unwrap()
        .into();
    let survey: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    assert_eq!(survey["privileged"], false);
    let states = states(&survey);
    let state = |name: &str| states.iter().find(|(n, _)| n == name).map(|(_, s)| s.as_str());
    if state("user namespaces") == Some("yes") {
        assert_eq!((state("privileges"), state("veth"), state("raw ICMP")), (Some("yes"), Some("yes"), Some("yes")));
    } else {
        assert_eq!((ran.code, state("privileges")), (Some(1), Some("no")));
    }
}

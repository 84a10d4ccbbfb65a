//! Links of each kind that were there before, with addresses, routes and neighbours; a script that does everything to
//! them; and that script cut at each of its steps: by an error, by SIGKILL before the step and after it. Afterwards
//! (where it was killed: after `recover`) the machine is what it was.

use super::common;
use super::common::world::{Dump, nsscript, shell};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

/// What is there before (`ip -batch` in namespace `k`, which has the pair `e0` and `e1`, and `p0` and `p1`), and the
/// script's steps of its own, before those that every kind gets.
pub struct Cut {
    pub name: &'static str,
    there: &'static str,
    steps: &'static str,
    /// What of the steps of every kind can't be: its lower link deleted, or (of a kind whose keys are kept nowhere)
    /// anything that would need it to be made again.
    lasting: bool,
}

const CUT: Cut = Cut { name: "", there: "", steps: "", lasting: false };
const TUNNEL: &str = "link set e0 up\nlink add name x index 70 type KIND local 10.0.0.1 remote 10.0.0.9 ttl 9";
const TUNNEL6: &str = "link add name x index 70 type KIND local fd00::1 remote fd00::9 hoplimit 9";

pub const CUTS: &[Cut] = &[
    Cut {
        name: "bareudp",
        there: "link add name x index 70 type bareudp dstport 6635 ethertype ipv4",
        steps: r#"bareudp("k:new", #{ dstport: 6636, ethertype: "mpls_uc", up: true });"#,
        ..CUT
    },
    Cut {
        name: "bond",
        there: "link add name x index 70 type bond mode active-backup miimon 100\nlink set p0 master x\nlink set e1 down\nlink set e1 master x",
        steps: r#"link_set("k:x", #{ miimon: 250 }); link_set("k:p0", #{ nomaster: true }); bond("k:new", #{ mode: "balance-xor" }); veth("k:n0", "k:n1"); link_set("k:n0", #{ master: "new" });"#,
        ..CUT
    },
    Cut {
        name: "bridge",
        there: "link add name x index 70 address 02:00:00:00:07:01 type bridge ageing_time 7000\nlink set p0 master x\nlink set p0 type bridge_slave cost 7",
        steps: r#"link_set("k:x", #{ ageing_time: 50, stp: true }); link_set("k:p0", #{ port: #{ cost: 9, hairpin: true } }); link_set("k:p0", #{ nomaster: true });"#,
        ..CUT
    },
    Cut {
        name: "dummy",
        there: "link add name x index 70 type dummy",
        steps: r#"dummy("k:new", #{ up: true });"#,
        ..CUT
    },
    Cut {
        name: "erspan",
        there: "link add name x index 70 type erspan local 10.0.0.1 remote 10.0.0.9 seq key 7 erspan_ver 1 erspan 5",
        steps: r#"link_set("k:x", #{ erspan: 9 });"#,
        ..CUT
    },
    Cut {
        name: "geneve",
        there: "link add name x index 70 type geneve id 7 remote 10.0.0.9 ttl 5",
        steps: r#"link_set("k:x", #{ ttl: 9 }); geneve("k:new", #{ id: 8, remote: "10.0.0.9" });"#,
        ..CUT
    },
    Cut {
        name: "gre",
        there: TUNNEL,
        steps: r#"link_set("k:x", #{ ttl: 7, key: 5 }); gre("k:new", #{ local: "10.0.0.1", remote: "10.0.0.8" });"#,
        ..CUT
    },
    Cut { name: "gretap", there: TUNNEL, steps: r#"link_set("k:x", #{ remote: "10.0.0.7" });"#, ..CUT },
    Cut { name: "ifb", there: "link add name x index 70 type ifb", steps: r#"ifb("k:new");"#, ..CUT },
    Cut {
        name: "ip6erspan",
        there: "link add name x index 70 type ip6erspan local fd00::1 remote fd00::9 seq key 7 erspan_ver 1 erspan 5",
        steps: r#"link_set("k:x", #{ erspan: 9 });"#,
        ..CUT
    },
    Cut { name: "ip6gre", there: TUNNEL6, steps: r#"link_set("k:x", #{ ttl: 7 });"#, ..CUT },
    Cut { name: "ip6gretap", there: TUNNEL6, steps: r#"link_set("k:x", #{ ttl: 7 });"#, ..CUT },
    Cut { name: "ip6tnl", there: TUNNEL6, steps: r#"link_set("k:x", #{ ttl: 7 });"#, ..CUT },
    Cut { name: "ipip", there: TUNNEL, steps: r#"link_set("k:x", #{ ttl: 7 });"#, ..CUT },
    Cut {
        name: "ipvlan",
        there: "link add link e0 name x index 70 type ipvlan mode l3",
        steps: r#"link_set("k:x", #{ mode: "l2" }); ipvlan("k:new", #{ link: "e0", mode: "l3" });"#,
        ..CUT
    },
    Cut { name: "ipvtap", there: "link add link e0 name x index 70 type ipvtap mode l2", ..CUT },
    Cut {
        name: "macsec",
        there: "link add link e0 name x index 70 type macsec port 11 encrypt on",
        steps: r#"link_set("k:x", #{ encrypt: false }); macsec("k:new", #{ link: "e0", port: 12 });"#,
        lasting: true,
    },
    Cut {
        name: "macvlan",
        there: "link add link e0 name x index 70 address 02:00:00:00:07:01 type macvlan mode bridge",
        steps: r#"link_set("k:x", #{ mode: "private" }); macvlan("k:new", #{ link: "e0", mode: "bridge" });"#,
        ..CUT
    },
    Cut {
        name: "macvtap",
        there: "link add link e0 name x index 70 address 02:00:00:00:07:01 type macvtap mode bridge",
        steps: r#"link_set("k:x", #{ mode: "private" });"#,
        ..CUT
    },
    Cut { name: "nlmon", there: "link add name x index 70 type nlmon", steps: r#"nlmon("k:new");"#, ..CUT },
    Cut { name: "sit", there: TUNNEL, steps: r#"link_set("k:x", #{ ttl: 7 });"#, ..CUT },
    Cut { name: "tap", there: "tuntap add name x mode tap", steps: r#"tap("k:new");"#, ..CUT },
    Cut { name: "team", there: "link add name x index 70 type team", steps: r#"team("k:new");"#, ..CUT },
    Cut { name: "tun", there: "tuntap add name x mode tun", steps: r#"tun("k:new");"#, ..CUT },
    Cut {
        name: "veth",
        there: "link add name x index 70 address 02:00:00:00:07:01 type veth peer name y address 02:00:00:00:07:02\nlink set y up",
        steps: r#"link_down("k:y"); veth("k:new", "k:new2", #{ up: true });"#,
        ..CUT
    },
    Cut {
        name: "vlan",
        there: "link add link e0 name x index 70 type vlan id 7 egress-qos-map 1:2\nlink add link x name inner type vlan id 8 protocol 802.1ad\nlink set x up\nlink set inner up\naddr add 10.8.0.1/24 dev inner",
        steps: r#"link_set("k:x", #{ reorder_hdr: false }); vlan("k:new", #{ link: "e0", id: 9, up: true, addr: "10.9.0.1/24" });"#,
        ..CUT
    },
    Cut {
        name: "vrf",
        there: "link add name x index 70 type vrf table 10\nlink set x up\nlink set p0 master x\nlink set p0 up\naddr add 10.8.0.1/24 dev p0\nroute add 10.81.0.0/16 via 10.8.0.9 table 10\nroute add unreachable default metric 9999 table 10",
        steps: r#"vrf("k:new", #{ table: 20, up: true }); link_set("k:p0", #{ master: "new" }); route("k", "10.82.0.0/16", #{ dev: "p0", table: 20 });"#,
        ..CUT
    },
    Cut {
        name: "vti",
        there: "link add name x index 70 type vti local 10.0.0.1 remote 10.0.0.9 key 5",
        steps: r#"link_set("k:x", #{ key: 9 });"#,
        ..CUT
    },
    Cut { name: "vti6", there: "link add name x index 70 type vti6 local fd00::1 remote fd00::9 key 5", ..CUT },
    Cut {
        name: "vxlan",
        there: "link add name x index 70 address 02:00:00:00:07:01 type vxlan id 7 dev e0 remote 10.0.0.9 dstport 4789",
        steps: r#"link_set("k:x", #{ ageing: 77 }); vxlan("k:new", #{ id: 8, dstport: 4789 });"#,
        ..CUT
    },
    Cut {
        name: "wireguard",
        there: "link add name x index 70 type wireguard",
        steps: r#"wireguard("k:new", #{ listen_port: 51821, up: true }); wireguard_set("k:new", #{ fwmark: 7 });"#,
        ..CUT
    },
    Cut {
        name: "xfrm",
        there: "link add name x index 70 type xfrm dev e0 if_id 7",
        steps: r#"xfrm("k:new", #{ if_id: 8 });"#,
        ..CUT
    },
];

/// What is there before, of every kind.
const BASE: &str = "\
link set lo up
link add e0 index 50 address 02:00:00:00:01:01 type veth peer name e1 index 51 address 02:00:00:00:01:02
link add p0 index 52 address 02:00:00:00:02:01 type veth peer name p1 index 53 address 02:00:00:00:02:02
link set e1 up
link set p1 up
link set e0 up
addr add 10.0.0.1/24 dev e0
addr add fd00::1/64 dev e0 nodad
route add default via 10.0.0.254
";
/// What is on the link.
const UPON: &str = "\
link set x up
addr add 10.5.0.1/24 dev x
addr add 10.5.0.2/24 dev x
route add 10.6.0.0/16 dev x
";

fn build(cut: &Cut) -> Result<(), String> {
    let there = cut.there.replace("KIND", cut.name);
    let upon = match cut.name {
        "nlmon" => "link set x up\n".to_string(),
        // Its operational state is unknown until its lower device's carrier has changed once.
        "ipvlan" | "ipvtap" => format!("{UPON}link set e1 down\nlink set e1 up\n"),
        _ => UPON.to_string(),
    };
    shell(&format!(
        "for ns in k l; do ip netns add $ns; ip netns exec $ns sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'; done
        ip -n k -batch - <<E\n{BASE}{there}\n{upon}E\n"
    ))
    .map(drop)
}

fn script(cut: &Cut) -> String {
    let mut lines = String::from(cut.steps);
    lines += r#" link_set("k:x", #{ mtu: 1300, alias: "an alias" });"#;
    if cut.name != "nlmon" {
        lines += r#" addr("k:x", "10.7.0.1/24"); route("k", "10.71.0.0/16", #{ dev: "x" }); addr_del("k:x", "10.5.0.1/24");"#;
    }
    lines += r#" link_down("k:x"); link_rename("k:x", "z");"#;
    // Those that can't leave their namespace are deleted right away.
    if !matches!(cut.name, "bond" | "bridge" | "vrf" | "team" | "macsec") {
        lines += r#" let z = link_move("k:z", "l"); link_up("l:z"); link_move(z, "k");"#;
    }
    lines += if cut.lasting {
        r#" link_down("k:e0");"#
    } else {
        r#" link_down("k:e0"); link_del("k:z"); link_del("k:e0");"#
    };
    lines
}

/// Cuts the script at each step, each time in another way; in torture in all ways.
///
/// # Errors
/// Something is not as it was.
pub fn cut(cut: &Cut) -> Result<usize, String> {
    build(cut)?;
    let before = Dump::settled()?;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).map_err(|e| e.to_string())?;
    let path = common::write(folder.path(), "case.rhai", &script(cut));
    let path = path.to_string_lossy();
    let torture = std::env::var_os("NSSCRIPT_TORTURE").is_some();
    let ways = ["error", "kill-after", "kill-before"];
    // To the end, and back.
    let whole = nsscript(&["--host", "--name", "case", "--rm", &path], "")?;
    if whole.code() != 0 {
        return Err(format!("status {} of the whole:\n{}\n{}", whole.code(), script(cut), whole.stderr));
    }
    as_before(&before, "the whole, with --rm", &whole.stderr)?;
    let mut count = 1;
    for step in 1..100 {
        let some = if torture { &ways[..] } else { &ways[step % 3..=step % 3] };
        let mut reached = false;
        for way in some {
            let ended = nsscript(&["--host", "--name", "case", "--rm", &path], &format!("{way}@{step}"))?;
            let killed = ended.status.signal() == Some(9);
            if !killed && !ended.stderr.contains("a fault on purpose") {
                as_before(&before, &format!("no step {step}"), &ended.stderr)?;
                continue;
            }
            reached = true;
            let recovered = if killed { Some(nsscript(&["recover"], "")?) } else { None };
            let said = format!("{}{}", ended.stderr, recovered.as_ref().map_or("", |r| r.stderr.as_str()));
            if recovered.is_some_and(|r| r.code() != 0) || (!killed && ended.code() != 1) {
                return Err(format!("{way}@{step}: status {}\n{said}", ended.code()));
            }
            as_before(&before, &format!("{way}@{step}"), &said)?;
            count += 1;
        }
        if !reached {
            break;
        }
    }
    if count < 5 { Err(format!("only {count} cuts")) } else { Ok(count) }
}

fn as_before(before: &Dump, what: &str, said: &str) -> Result<(), String> {
    let differences = before.compare(Duration::from_secs(10))?;
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences[..differences.len().min(40)].join("\n");
    Err(format!("{what}: not as before (- before, + after):\n{shown}\n{said}"))
}

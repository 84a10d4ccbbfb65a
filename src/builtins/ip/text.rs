//! Maps of `ip -j` as the text that `ip` prints: for people, and near enough for scripts that cut it into words.

use super::Place;
use rhai::{Array, Dynamic, Map};

/// A value as text; empty where it is not there.
fn text(map: &Map, key: &str) -> String {
    map.get(key).map(ToString::to_string).unwrap_or_default()
}

fn list(map: &Map, key: &str) -> Vec<String> {
    let all = map.get(key).and_then(|v| v.clone().into_array().ok()).unwrap_or_default();
    all.iter().map(ToString::to_string).collect()
}

fn maps(all: &Array) -> impl Iterator<Item = Map> {
    all.iter().filter_map(|v| v.clone().try_cast::<Map>())
}

fn inner(map: &Map, key: &str) -> Option<Map> {
    map.get(key)?.clone().try_cast::<Map>()
}

/// ` word value` for each key that is there.
fn pairs(map: &Map, keys: &[(&str, &str)]) -> String {
    keys.iter()
        .filter(|(key, _)| map.contains_key(*key))
        .map(
            |(key, word)| {
                if word.is_empty() { format!(" {}", text(map, key)) } else { format!(" {word} {}", text(map, key)) }
            },
        )
        .collect()
}

/// `eth0@peer`, `eth0@if7`.
fn name(map: &Map) -> String {
    let name = text(map, "ifname");
    match (map.get("link"), map.get("link_index")) {
        (Some(lower), _) => format!("{name}@{lower}"),
        (_, Some(index)) => format!("{name}@if{index}"),
        _ => name,
    }
}

/// The lines of a link.
fn link(place: &Place<'_>, map: &Map) -> Vec<String> {
    let mut first = format!("{}: {}: <{}>", text(map, "ifindex"), name(map), list(map, "flags").join(","));
    first += &pairs(
        map,
        &[
            ("mtu", "mtu"),
            ("qdisc", "qdisc"),
            ("master", "master"),
            ("operstate", "state"),
            ("group", "group"),
            ("txqlen", "qlen"),
        ],
    );
    let mut second = format!("    link/{}", text(map, "link_type"));
    second += &pairs(map, &[("address", ""), ("broadcast", "brd"), ("link_netnsid", "link-netnsid")]);
    if place.options.details {
        second += &pairs(map, &[("promiscuity", "promiscuity"), ("min_mtu", "minmtu"), ("max_mtu", "maxmtu")]);
    }
    let mut out = vec![first, second];
    if place.options.details {
        if let Some(info) = inner(map, "linkinfo") {
            for (kind, data, suffix) in
                [("info_kind", "info_data", ""), ("info_slave_kind", "info_slave_data", "_slave")]
            {
                if info.contains_key(kind) {
                    let data = inner(&info, data).unwrap_or_default();
                    let words: String =
                        data.iter().map(|(key, value)| format!(" {key} {}", value_text(value))).collect();
                    out.push(format!("    {}{suffix}{words}", text(&info, kind)));
                }
            }
        }
        let words = pairs(
            map,
            &[
                ("inet6_addr_gen_mode", "addrgenmode"),
                ("num_tx_queues", "numtxqueues"),
                ("num_rx_queues", "numrxqueues"),
            ],
        );
        out.push(format!("   {words}"));
    }
    if map.contains_key("ifalias") {
        out.push(format!("    alias {}", text(map, "ifalias")));
    }
    out.extend(list(map, "altnames").into_iter().map(|n| format!("    altname {n}")));
    out
}

fn value_text(value: &Dynamic) -> String {
    match value.as_bool() {
        Ok(on) => u8::from(on).to_string(),
        Err(_) => value.to_string(),
    }
}

fn counters(map: &Map) -> Vec<String> {
    let mut out = Vec::new();
    let Some(stats) = inner(map, "stats64") else { return out };
    for (side, keys) in [
        ("rx", ["bytes", "packets", "errors", "dropped", "over_errors", "multicast"]),
        ("tx", ["bytes", "packets", "errors", "dropped", "carrier_errors", "collisions"]),
    ] {
        let Some(side_map) = inner(&stats, side) else { continue };
        let heads: Vec<String> = keys.iter().map(|k| k.trim_end_matches("_errors").to_string()).collect();
        let values: Vec<String> = keys.iter().map(|k| text(&side_map, k)).collect();
        let row = |cells: &[String]| -> String {
            cells
                .iter()
                .enumerate()
                .map(|(at, c)| format!("{c:>w$} ", w = heads[at].len().max(values[at].len())))
                .collect()
        };
        out.push(format!("    {}: {}", side.to_uppercase(), row(&heads).trim_end()));
        out.push(format!("        {}", row(&values).trim_end()));
    }
    out
}

/// Joined as `-o` wants it, or by lines.
fn join(place: &Place<'_>, lines: Vec<String>) -> String {
    lines.join(if place.options.oneline { "\\" } else { "\n" })
}

/// `ip link`.
pub fn links(place: &Place<'_>, all: &Array) -> String {
    let rows: Vec<String> = maps(all)
        .map(|map| {
            if place.options.brief {
                return format!(
                    "{:<16} {:<14} {:<17} <{}>",
                    name(&map),
                    text(&map, "operstate"),
                    text(&map, "address"),
                    list(&map, "flags").join(",")
                );
            }
            let mut lines = link(place, &map);
            lines.extend(counters(&map));
            join(place, lines)
        })
        .collect();
    rows.join("\n")
}

fn lifetime(map: &Map, key: &str) -> String {
    match text(map, key).as_str() {
        "4294967295" => "forever".into(),
        seconds => format!("{seconds}sec"),
    }
}

fn addr(map: &Map) -> (String, String) {
    let mut first = format!("{} {}", text(map, "family"), text(map, "local"));
    first += &pairs(map, &[("address", "peer")]);
    first += &format!("/{}", text(map, "prefixlen"));
    first += &pairs(map, &[("metric", "metric"), ("broadcast", "brd"), ("scope", "scope")]);
    for flag in [
        "secondary",
        "temporary",
        "nodad",
        "optimistic",
        "dadfailed",
        "home",
        "deprecated",
        "tentative",
        "mngtmpaddr",
        "noprefixroute",
        "autojoin",
        "stable-privacy",
        "dynamic",
    ] {
        if map.contains_key(flag) {
            first += &format!(" {flag}");
        }
    }
    first += &pairs(map, &[("label", "")]);
    let second = format!(
        "valid_lft {} preferred_lft {}",
        lifetime(map, "valid_life_time"),
        lifetime(map, "preferred_life_time")
    );
    (first, second)
}

/// `ip address`.
pub fn addrs(place: &Place<'_>, all: &Array) -> String {
    let mut out = Vec::new();
    for map in maps(all) {
        let own = map.get("addr_info").and_then(|v| v.clone().into_array().ok()).unwrap_or_default();
        if place.options.brief {
            let list: Vec<String> = maps(&own)
                .map(|a| {
                    let peer = pairs(&a, &[("address", "peer")]);
                    format!("{}{peer}/{}", text(&a, "local"), text(&a, "prefixlen"))
                })
                .collect();
            out.push(
                format!("{:<16} {:<14} {}", name(&map), text(&map, "operstate"), list.join(" ")).trim_end().into(),
            );
            continue;
        }
        if place.options.oneline {
            for a in maps(&own) {
                let (first, second) = addr(&a);
                out.push(format!("{}: {}    {first}\\       {second}", text(&map, "ifindex"), text(&map, "ifname")));
            }
            continue;
        }
        out.extend(link(place, &map));
        for a in maps(&own) {
            let (first, second) = addr(&a);
            out.push(format!("    {first}"));
            out.push(format!("       {second}"));
        }
        out.extend(counters(&map));
    }
    out.join("\n")
}

fn hop(map: &Map) -> String {
    let mut out = pairs(map, &[("gateway", "via")]);
    if let Some(via) = inner(map, "via") {
        out += &format!(" via {} {}", text(&via, "family"), text(&via, "host"));
    }
    out += &pairs(map, &[("dev", "dev"), ("weight", "weight")]);
    out
}

/// `ip route`.
pub fn routes(place: &Place<'_>, all: &Array) -> String {
    let rows: Vec<String> = maps(all)
        .map(|map| {
            let mut out = pairs(&map, &[("type", ""), ("dst", ""), ("from", "from"), ("tos", "tos"), ("nhid", "nhid")]);
            out += &hop(&map);
            out += &pairs(
                &map,
                &[
                    ("table", "table"),
                    ("protocol", "proto"),
                    ("scope", "scope"),
                    ("prefsrc", "src"),
                    ("metric", "metric"),
                    ("iif", "iif"),
                ],
            );
            for flag in list(&map, "flags") {
                out += &format!(" {flag}");
            }
            for metrics in map.get("metrics").and_then(|v| v.clone().into_array().ok()).iter().flat_map(maps) {
                out += &metrics.iter().map(|(key, value)| format!(" {key} {value}")).collect::<String>();
            }
            let mut lines = vec![out.trim_start().to_string()];
            for h in map.get("nexthops").and_then(|v| v.clone().into_array().ok()).iter().flat_map(maps) {
                let flags: String = list(&h, "flags").iter().map(|f| format!(" {f}")).collect();
                lines.push(format!("\tnexthop{}{flags}", hop(&h)));
            }
            lines[0] += &pairs(&map, &[("pref", "pref")]);
            join(place, lines)
        })
        .collect();
    rows.join("\n")
}

/// `ip neighbour`.
pub fn neighs(all: &Array) -> String {
    let rows: Vec<String> = maps(all)
        .map(|map| {
            let mut out = pairs(&map, &[("dst", ""), ("dev", "dev"), ("lladdr", "lladdr")]);
            for flag in ["router", "proxy"] {
                if map.contains_key(flag) {
                    out += &format!(" {flag}");
                }
            }
            out += &list(&map, "state").iter().map(|s| format!(" {s}")).collect::<String>();
            out.trim_start().to_string()
        })
        .collect();
    rows.join("\n")
}

/// A network whose length is beside it, unless it is full: `10.0.0.0/24`.
fn network(map: &Map, key: &str) -> String {
    let length = map.get(format!("{key}len").as_str());
    format!("{}{}", text(map, key), length.map_or_else(String::new, |length| format!("/{length}")))
}

/// `ip rule`.
pub fn rules(all: &Array) -> String {
    let rows: Vec<String> = maps(all)
        .map(|map| {
            let mut out = format!("{}:\t", text(&map, "priority"));
            if map.contains_key("not") {
                out += "not ";
            }
            out += &format!("from {}", network(&map, "src"));
            if map.contains_key("dst") {
                out += &format!(" to {}", network(&map, "dst"));
            }
            out += &pairs(&map, &[("tos", "tos")]);
            if map.contains_key("fwmark") {
                out += &format!(" fwmark {}", text(&map, "fwmark"));
                out += &map.get("fwmask").map_or_else(String::new, |mask| format!("/{mask}"));
            }
            out += &pairs(&map, &[("iif", "iif"), ("oif", "oif")]);
            if map.contains_key("uid_start") {
                out += &format!(" uidrange {}-{}", text(&map, "uid_start"), text(&map, "uid_end"));
            }
            out += &pairs(&map, &[("ipproto", "ipproto")]);
            for key in ["sport", "dport"] {
                out += &pairs(&map, &[(key, key)]);
                if map.contains_key(format!("{key}_start").as_str()) {
                    let end = |which: &str| text(&map, &format!("{key}_{which}"));
                    out += &format!(" {key} {}-{}", end("start"), end("end"));
                }
            }
            out += &pairs(&map, &[("tun_id", "tun_id")]);
            for flag in ["l3mdev", "nop"] {
                if map.contains_key(flag) {
                    out += &format!(" {flag}");
                }
            }
            out += &pairs(
                &map,
                &[
                    ("table", "lookup"),
                    ("suppress_prefixlen", "suppress_prefixlength"),
                    ("suppress_ifgroup", "suppress_ifgroup"),
                    ("goto", "goto"),
                    ("action", ""),
                    ("protocol", "proto"),
                ],
            );
            out
        })
        .collect();
    rows.join("\n")
}

/// `ip nexthop`.
pub fn nexthops(all: &Array) -> String {
    let rows: Vec<String> = maps(all)
        .map(|map| {
            let mut out = pairs(&map, &[("id", "id")]);
            if let Some(group) = map.get("group").and_then(|v| v.clone().into_array().ok()) {
                let members: Vec<String> = maps(&group)
                    .map(|m| m.get("weight").map_or_else(|| text(&m, "id"), |w| format!("{},{w}", text(&m, "id"))))
                    .collect();
                out += &format!(" group {}", members.join("/"));
            }
            out += &pairs(&map, &[("type", "type")]);
            if let Some(args) = inner(&map, "resilient_args") {
                out += &pairs(
                    &args,
                    &[("buckets", "buckets"), ("idle_timer", "idle_timer"), ("unbalanced_timer", "unbalanced_timer")],
                );
            }
            if map.contains_key("blackhole") {
                out += " blackhole";
            }
            out += &pairs(&map, &[("gateway", "via"), ("dev", "dev"), ("scope", "scope"), ("protocol", "proto")]);
            if map.contains_key("fdb") {
                out += " fdb";
            }
            for flag in list(&map, "flags") {
                out += &format!(" {flag}");
            }
            out.trim_start().to_string()
        })
        .collect();
    rows.join("\n")
}

/// An output under its namespace's name, as `ip -all netns exec` writes it.
pub fn under(ns: &str, text: &str) -> String {
    let text = if text.is_empty() { String::new() } else { format!("\n{text}") };
    format!("\nnetns: {ns}{text}")
}

/// The keywords that may follow a verb of an object, by the grammar of [`help`]; all of the object's where the verb has none.
pub fn keywords(object: &str, verb: &str) -> Vec<&'static str> {
    let mut entries: Vec<Vec<&'static str>> = Vec::new();
    for line in help(object).lines() {
        let words = line.split(|c: char| c.is_whitespace() || "[]{}|,".contains(c)).filter(|w| !w.is_empty());
        match entries.last_mut().filter(|_| line.starts_with(' ')) {
            Some(entry) => entry.extend(words),
            None => entries.push(words.collect()),
        }
    }
    let is_keyword = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_lowercase())
            && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let mut found: Vec<&'static str> = Vec::new();
    let mut of_verb = false;
    for entry in &entries {
        // `ip [-all] OBJECT { VERB | VERB } …`: what stands in capitals ends the verbs.
        let body = entry.iter().skip_while(|w| **w == "ip" || w.starts_with('-')).skip(1);
        let verbs: Vec<&str> = body
            .clone()
            .copied()
            .take_while(|w| crate::plan::ipwords::verbs(object).contains(w) || *w == "del")
            .collect();
        let here = !verb.is_empty() && verbs.iter().any(|v| v.starts_with(verb) || verb.starts_with(v));
        if here && !of_verb {
            found.clear();
        }
        of_verb |= here;
        if here || !of_verb {
            found.extend(body.skip(verbs.len()).filter(|w| is_keyword(w)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What is understood of an object.
pub fn help(object: &str) -> &'static str {
    match object {
        "netns" => {
            "ip netns list
ip netns add NAME
ip netns attach NAME PID
ip netns set NAME NETNSID
ip [-all] netns delete [NAME]
ip netns identify [PID]
ip netns pids NAME
ip [-all] netns exec [NAME] cmd ...
ip netns monitor
ip netns list-id [target-nsid POSITIVE-INT] [nsid POSITIVE-INT]
NETNSID := auto | POSITIVE-INT"
        }
        "link" => {
            "ip link add [link DEV] [name] NAME [txqueuelen N] [address LLADDR] [broadcast LLADDR] [mtu MTU] [index N]
    [numtxqueues N numrxqueues N] [netns { PID | NAME }] [master DEV] [up] type KIND [OPTIONS]
ip link delete { DEV | dev DEV | group N } [type KIND]
ip link set { DEV | dev DEV | group N } [up | down] [name NEW] [mtu MTU] [address LLADDR] [broadcast LLADDR]
    [txqueuelen N] [alias TEXT] [group N] [master DEV | nomaster | vrf DEV] [netns { PID | NAME }] [addrgenmode MODE]
    [arp | multicast | allmulticast | promisc | dynamic { on | off }] [type { KIND | KIND_slave } OPTIONS]
ip link property { add | del } dev DEV altname NAME ...
ip link show [DEV | group N] [up] [master DEV | nomaster] [type KIND]"
        }
        "address" => {
            "ip address { add | change | replace } ADDRESS [peer ADDRESS] [broadcast { ADDRESS | + | - }] [scope SCOPE]
    [label LABEL] [metric N] [valid_lft SECONDS] [preferred_lft SECONDS] [nodad | home | mngtmpaddr | noprefixroute |
    optimistic | autojoin] dev DEV
ip address delete ADDRESS [peer ADDRESS] [label LABEL] dev DEV
ip address { show | flush } [dev] DEV [scope SCOPE] [to PREFIX] [label PATTERN] [up] [FLAG | -FLAG] [type KIND]"
        }
        "route" => {
            "ip route { add | del | change | append | prepend | replace } [TYPE] PREFIX [via ADDRESS] [dev DEV] [src ADDRESS]
    [metric N] [table TABLE | vrf NAME] [proto PROTO] [scope SCOPE] [tos TOS] [onlink] [nhid ID] [pref PREF]
    [mtu | advmss | hoplimit | window | cwnd | initcwnd | initrwnd | ssthresh | rtt | rttvar | rto_min [lock] N]
    [features ecn] [quickack BOOL] [fastopen_no_cookie BOOL] [congctl [lock] NAME] [encap ENCAP] [nexthop [via ADDRESS] [dev DEV] [weight N] [onlink]] ...
ip route { show | flush } [[root | match | exact] PREFIX] [table TABLE | vrf NAME] [dev DEV] [via PREFIX] [src PREFIX]
    [proto PROTO] [scope SCOPE] [type TYPE] [metric N]
ip route get ADDRESS [from ADDRESS iif DEV] [oif DEV] [mark N] [tos TOS] [uid N] [ipproto P] [sport N] [dport N] [fibmatch]
ENCAP := mpls LABEL[/LABEL ...] [ttl N] | seg6 mode MODE segs ADDRESS[,ADDRESS ...] |
    ip [id N] [dst ADDRESS] [src ADDRESS] [ttl N] [tos TOS] | ip6 [id N] [dst ADDRESS] [src ADDRESS] [hoplimit N] [tc N]"
        }
        "neighbour" => {
            "ip neighbour { add | del | change | replace } { ADDRESS [lladdr LLADDR] [nud STATE] [router] | proxy ADDRESS } dev DEV
ip neighbour get { ADDRESS | proxy ADDRESS } dev DEV
ip neighbour { show | flush } [[to] PREFIX] [dev DEV] [nud STATE] [proxy] [master DEV | nomaster]"
        }
        "rule" => {
            "ip rule { add | del } [not] [from PREFIX] [to PREFIX] [priority N] [tos TOS] [fwmark MARK[/MASK]] [iif DEV] [oif DEV]
    [uidrange FROM-TO] [ipproto PROTO] [sport PORT[-PORT]] [dport PORT[-PORT]] [tun_id ID] [l3mdev] [protocol PROTO]
    [suppress_prefixlength N] [suppress_ifgroup N] [table TABLE | goto N | nop | blackhole | unreachable | prohibit]
ip rule { show | flush } [priority N] [from PREFIX] [to PREFIX] [table TABLE] [fwmark MARK] [iif DEV] [oif DEV] ..."
        }
        "nexthop" => {
            "ip nexthop { add | replace } id ID { [via ADDRESS] [dev DEV] [onlink] [encap ENCAP] | blackhole |
    group ID[,WEIGHT]/... [type { mpath | resilient [buckets N] [idle_timer N] [unbalanced_timer N] }] } [fdb] [protocol PROTO]
ip nexthop { del | get } id ID
ip nexthop { show | flush } [id ID] [dev DEV] [vrf NAME | master DEV] [groups] [fdb] [protocol N]"
        }
        _ => {
            "ip [OPTIONS] OBJECT { COMMAND | help }
OBJECT := { address | link | neighbour | netns | nexthop | route | rule }
OPTIONS := { -n[etns] NAME | -4 | -6 | -f[amily] { inet | inet6 | link } | -d[etails] | -s[tatistics] | -br[ief] |
             -j[son] | -o[neline] | -a[ll] | -b[atch] FILE | -force }"
        }
    }
}

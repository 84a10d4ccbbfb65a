//! Each filter and action against `tc`: made, shown and undone as the queues are.

use super::{namespace, nsscript, remove, works};
use crate::common::{self, world::shell};

/// A filter, or an action of one: what is made, as the hook, the words of `tc filter add` after it and the options of
/// `tc_filter`. The name of the filter is the word that says the kind.
pub struct Filter {
    pub name: &'static str,
    /// By the words of `kernel_has`.
    pub feature: &'static str,
    made: &'static [(&'static str, &'static str, &'static str)],
}

pub const FILTERS: &[Filter] = &[
    Filter {
        name: "basic",
        feature: "filter_basic",
        made: &[("ingress", "protocol all prio 3 basic action pass", "prio: 3, action: \"pass\"")],
    },
    Filter {
        name: "flower",
        feature: "filter_flower",
        made: &[
            (
                "ingress",
                "protocol ip prio 5 flower src_ip 10.1.0.0/16 dst_ip 10.2.0.9 ip_proto tcp dst_port 443 action drop",
                "protocol: \"ip\", prio: 5, src: \"10.1.0.0/16\", dst: \"10.2.0.9/32\", ip_proto: \"tcp\", dport: 443, action: \"drop\"",
            ),
            (
                "egress",
                "protocol ipv6 prio 6 flower src_ip fd00::/64 ip_proto udp src_port 53 action pass",
                "protocol: \"ipv6\", prio: 6, src: \"fd00::/64\", ip_proto: \"udp\", sport: 53, action: \"pass\"",
            ),
            (
                "ingress",
                "protocol 802.1q prio 7 flower vlan_id 7 vlan_prio 3 src_mac 02:00:00:00:00:09 action drop",
                "protocol: \"802.1q\", prio: 7, vlan_id: 7, vlan_prio: 3, src_mac: \"02:00:00:00:00:09\", action: \"drop\"",
            ),
        ],
    },
    Filter {
        name: "fw",
        feature: "filter_fw",
        made: &[("egress", "protocol all prio 4 handle 7 fw action drop", "prio: 4, handle: 7, action: \"drop\"")],
    },
    Filter {
        name: "matchall",
        feature: "filter_matchall",
        made: &[
            ("ingress", "protocol all prio 9 matchall action pass", "prio: 9, action: \"pass\""),
            (
                "egress",
                "protocol ip prio 2 chain 3 matchall action drop",
                "protocol: \"ip\", prio: 2, chain: 3, action: \"drop\"",
            ),
        ],
    },
    Filter {
        name: "u32",
        feature: "filter_u32",
        made: &[
            (
                "ingress",
                "protocol ip prio 5 u32 match ip src 10.1.0.0/16 match ip dport 80 0xffff",
                "protocol: \"ip\", prio: 5, src: \"10.1.0.0/16\", dport: 80",
            ),
            (
                "ingress",
                "protocol ip prio 6 u32 match u32 0x0a000000 0xff000000 at 12",
                "protocol: \"ip\", prio: 6, words: \"0x0a000000 0xff000000 at 12\"",
            ),
        ],
    },
    Filter {
        name: "action gact",
        feature: "action_gact",
        made: &[
            ("ingress", "protocol all prio 1 u32 match u32 0 0 action drop", "prio: 1, action: \"drop\""),
            (
                "ingress",
                "protocol all prio 2 u32 match u32 0 0 action pipe action pass",
                "prio: 2, actions: [\"pipe\", #{ kind: \"gact\", verdict: \"pass\" }]",
            ),
        ],
    },
    Filter {
        name: "action mirred",
        feature: "action_mirred",
        made: &[
            (
                "ingress",
                "protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev e1",
                "prio: 1, action: #{ kind: \"mirred\", dev: \"e1\" }",
            ),
            (
                "egress",
                "protocol ip prio 2 u32 match u32 0 0 action mirred egress mirror dev e1",
                "protocol: \"ip\", prio: 2, action: #{ kind: \"mirred\", dev: \"e1\", mirror: true }",
            ),
        ],
    },
    Filter {
        name: "action police",
        feature: "action_police",
        made: &[(
            "ingress",
            "protocol all prio 1 u32 match u32 0 0 action police rate 2mbit burst 20kb conform-exceed drop",
            "prio: 1, action: #{ kind: \"police\", rate: \"2mbit\", burst: \"20kb\", exceed: \"drop\" }",
        )],
    },
    Filter {
        name: "action vlan",
        feature: "action_vlan",
        made: &[
            (
                "egress",
                "protocol all prio 1 u32 match u32 0 0 action vlan push id 7 protocol 802.1ad priority 3",
                "prio: 1, action: #{ kind: \"vlan\", vlan: \"push\", id: 7, protocol: \"802.1ad\", priority: 3 }",
            ),
            (
                "ingress",
                "protocol all prio 2 u32 match u32 0 0 action vlan pop",
                "prio: 2, action: #{ kind: \"vlan\", vlan: \"pop\" }",
            ),
            (
                "ingress",
                "protocol all prio 3 u32 match u32 0 0 action vlan modify id 9",
                "prio: 3, action: #{ kind: \"vlan\", vlan: \"modify\", id: 9 }",
            ),
        ],
    },
];

/// The kind of the filter that carries it.
fn kind(filter: &Filter) -> &'static str {
    if filter.name.starts_with("action ") { "u32" } else { filter.name }
}

fn by_tc(ns: &str, hook: &str, words: &str) -> Result<(), String> {
    shell(&format!("tc -n {ns} filter add dev e0 {hook} {words}")).map(drop)
}

fn by_script(ns: &str, filter: &Filter, hook: &str, options: &str) -> String {
    format!("tc_filter(\"{ns}:e0\", \"{}\", #{{ parent: \"{hook}\", {options} }});", kind(filter))
}

/// What tc shows of the device, without counters and the numbers of actions.
fn shown_by_tc(ns: &str) -> Result<Vec<String>, String> {
    let text = shell(&format!(
        "tc -n {ns} qdisc show dev e0; for hook in ingress egress; do tc -n {ns} -d filter show dev e0 $hook; done"
    ))?;
    let plain = |line: &str| {
        let mut words = line.split_whitespace();
        let mut out = Vec::new();
        while let Some(word) = words.next() {
            if ["ref", "bind", "index", "refcnt"].contains(&word) {
                words.next();
            } else if word == "noqueue" {
                // Its handle is any.
                out.push(word);
                words.next();
            } else {
                out.push(word);
            }
        }
        out.join(" ")
    };
    Ok(text.lines().map(plain).filter(|line| !line.is_empty()).collect())
}

fn same(what: &str, wanted: &[String], got: &[String]) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("{what} (- by tc, + by nsscript):\n{}", common::diff(wanted, got))) }
}

/// Each case in namespaces of its own, with a clsact; the problems of all cases at once.
fn each(filter: &Filter, mut check: impl FnMut(&str, &str, &str) -> Result<(), String>) -> Result<(), String> {
    let mut problems = Vec::new();
    for (hook, words, options) in filter.made {
        for ns in ["i", "n"] {
            namespace(ns)?;
            shell(&format!("tc -n {ns} qdisc add dev e0 clsact"))?;
        }
        if let Err(error) = check(hook, words, options) {
            problems.push(error);
        }
        remove("i")?;
        remove("n")?;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n\n")) }
}

/// Made alike, and shown alike: what is given, too.
pub fn made(filter: &Filter) -> Result<(usize, usize), String> {
    let (mut equal, mut shown) = (0, 0);
    each(filter, |hook, words, options| {
        by_tc("i", hook, words)?;
        works(&["--quiet"], &by_script("n", filter, hook, options))?;
        let by_tc = shown_by_tc("i")?;
        if by_tc.len() < 3 {
            return Err(format!("tc shows nothing of {words}: {by_tc:?}"));
        }
        same(words, &by_tc, &shown_by_tc("n")?)?;
        equal += 1;
        let script = format!(
            "let given = #{{ {options} }};
            let i = tc_filters(\"i:e0\"); let n = tc_filters(\"n:e0\");
            // Each action has a number of its own.
            fn plain(all) {{ all.map(|f| {{ f.actions = f.actions.map(|a| {{ a.remove(\"index\"); a }}); f }}) }}
            if plain(i) != plain(n) || n.len() != 1 {{ throw `i: ${{i}}, n: ${{n}}`; }}
            let f = n[0];
            let count = 1;
            if given.contains(\"action\") {{ given.actions = [given.action]; given.remove(\"action\"); }}
            if given.contains(\"actions\") {{
                if f.actions.len() != given.actions.len() {{ throw `actions: ${{f}}`; }}
                for (action, at) in given.actions {{
                    let there = f.actions[at];
                    let wanted = if type_of(action) == \"string\" {{ \"gact\" }} else {{ action.kind }};
                    if there.kind != wanted {{ throw `given ${{action}}, shown ${{there}}`; }}
                    count += 1;
                    if type_of(action) == \"string\" {{ continue; }}
                    for key in action.keys() {{
                        if key in [\"kind\", \"rate\", \"burst\"] {{ continue; }}
                        if !there.contains(key) || there[key] != action[key] {{ throw `${{key}}: given ${{action}}, shown ${{there}}`; }}
                        count += 1;
                    }}
                }}
                given.remove(\"actions\");
            }}
            for key in given.keys() {{
                // u32 knows keys of a packet's words, no names.
                if f.kind == \"u32\" && !(key in [\"protocol\", \"prio\"]) {{ continue; }}
                let there = if key in [\"protocol\", \"prio\", \"chain\"] {{ f[key] }} else if key == \"handle\" {{ continue; }} else {{ f.options[key] }};
                if there != given[key] {{ throw `${{key}}: given ${{given[key]}}, shown ${{f}}`; }}
                count += 1;
            }}
            print(count);"
        );
        let count = works(&["--quiet"], &script)?;
        shown += count.trim().parse::<usize>().map_err(|e| format!("{e}: {count}"))?;
        Ok(())
    })?;
    Ok((equal, shown))
}

/// Runs a script that fails at its end, and compares.
fn undone(before: &[String], body: &str) -> Result<(), String> {
    let ended = nsscript(&[], &format!("{body} throw \"on purpose\";"))?;
    if ended.code() != 1 || !ended.stderr.contains("verified") || !ended.stderr.contains("on purpose") {
        return Err(format!("status {} of: {body}\n{}", ended.code(), ended.stderr));
    }
    same(&format!("undo of: {body}"), before, &shown_by_tc("n")?)
}

/// What was there before comes back: nothing; the filter after it, its clsact or its device was deleted; and from its
/// record, by `down`.
pub fn restored(filter: &Filter) -> Result<usize, String> {
    let mut count = 0;
    each(filter, |hook, words, options| {
        undone(&shown_by_tc("n")?, &by_script("n", filter, hook, options))?;
        by_tc("n", hook, words)?;
        let before = shown_by_tc("n")?;
        let delete = format!("tc_filter_del(\"n:e0\", #{{ parent: \"{hook}\" }});");
        for body in [delete.as_str(), "qdisc_del(\"n:e0\", #{ parent: \"ingress\" });", "link_del(\"n:e0\");"] {
            undone(&before, body)?;
        }
        works(&["--quiet", "--name", "gone"], &delete)?;
        let down = common::run(
            std::process::Command::new(common::NSSCRIPT).args(["--host", "--color", "never", "down", "gone"]),
            common::LONG,
        )?;
        same(&format!("made again from its record: {words}; {}", down.stderr), &before, &shown_by_tc("n")?)?;
        count += 5;
        Ok(())
    })?;
    Ok(count)
}

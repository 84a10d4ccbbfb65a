//! Each qdisc against `tc`: made, shown, changed and undone as the link kinds are.

use super::{namespace, remove, works};
use crate::common::{self, world::shell};

/// A qdisc: what is made (words of `tc qdisc add`, options in a script, and for those that have some: classes, as words of
/// `tc class add` and arguments of `tc_class`), and what is changed of the first that is made.
pub struct Queue {
    pub name: &'static str,
    pub made: &'static [(&'static str, &'static str)],
    pub classes: &'static [(&'static str, &'static str)],
    pub changed: &'static [(&'static str, &'static str)],
}

const NONE: Queue = Queue { name: "", made: &[("", "")], classes: &[], changed: &[] };

pub const QUEUES: &[Queue] = &[
    Queue {
        name: "bfifo",
        made: &[("limit 30000", "limit: 30_000"), ("", "")],
        changed: &[("limit 50000", "limit: 50_000")],
        ..NONE
    },
    Queue {
        name: "cake",
        made: &[
            ("bandwidth 20mbit", "bandwidth: \"20mbit\""),
            (
                "bandwidth 50mbit diffserv4 dual-srchost nat wash ack-filter rtt 50ms overhead 18 mpu 64 noatm memlimit 4mb",
                "bandwidth: \"50mbit\", diffserv: \"diffserv4\", flowmode: \"dual-srchost\", nat: true, wash: true, ack_filter: \"ack-filter\", rtt: \"50ms\", overhead: 18, mpu: 64, atm: \"noatm\", memlimit: \"4mb\"",
            ),
            ("besteffort flows ingress", "diffserv: \"besteffort\", flowmode: \"flows\", ingress: true"),
            ("", ""),
        ],
        changed: &[
            ("bandwidth 30mbit", "bandwidth: \"30mbit\""),
            ("bandwidth 20mbit rtt 20ms besteffort", "bandwidth: \"20mbit\", rtt: \"20ms\", diffserv: \"besteffort\""),
        ],
        ..NONE
    },
    Queue {
        name: "choke",
        made: &[
            ("limit 1000 bandwidth 10mbit", "limit: 1000, bandwidth: \"10mbit\""),
            (
                "limit 900 min 60 max 200 burst 120 bandwidth 50mbit probability 0.05 ecn",
                "limit: 900, min: 60, max: 200, burst: 120, bandwidth: \"50mbit\", probability: 0.05, ecn: true",
            ),
        ],
        changed: &[
            ("limit 800 bandwidth 10mbit", "limit: 800, bandwidth: \"10mbit\""),
            ("limit 1000 bandwidth 10mbit ecn", "limit: 1000, bandwidth: \"10mbit\", ecn: true"),
        ],
        ..NONE
    },
    Queue { name: "clsact", ..NONE },
    Queue {
        name: "codel",
        made: &[
            ("limit 600 target 4ms", "limit: 600, target: \"4ms\""),
            (
                "limit 700 target 10ms interval 200ms ecn ce_threshold 2ms",
                "limit: 700, target: \"10ms\", interval: \"200ms\", ecn: true, ce_threshold: \"2ms\"",
            ),
            ("", ""),
        ],
        changed: &[
            ("limit 500 ecn", "limit: 500, ecn: true"),
            ("target 7ms interval 70ms", "target: \"7ms\", interval: \"70ms\""),
            ("ce_threshold 3ms", "ce_threshold: \"3ms\""),
        ],
        ..NONE
    },
    Queue {
        name: "drr",
        classes: &[
            ("classid 1:1 drr quantum 3000", "\"1:1\", #{ quantum: 3000 }"),
            ("classid 1:2 drr", "\"1:2\", #{}"),
        ],
        ..NONE
    },
    Queue {
        name: "fq",
        made: &[
            ("limit 5000 flow_limit 50", "limit: 5000, flow_limit: 50"),
            (
                "limit 7000 quantum 2000 initial_quantum 9000 maxrate 40mbit buckets 512 orphan_mask 255 nopacing refill_delay 40ms",
                "limit: 7000, quantum: 2000, initial_quantum: 9000, maxrate: \"40mbit\", buckets: 512, orphan_mask: 255, pacing: false, refill_delay: \"40ms\"",
            ),
            ("ce_threshold 4ms timer_slack 20us", "ce_threshold: \"4ms\", timer_slack: \"20us\""),
            ("", ""),
        ],
        changed: &[("limit 6000", "limit: 6000"), ("maxrate 10mbit", "maxrate: \"10mbit\"")],
        ..NONE
    },
    Queue {
        name: "fq_codel",
        made: &[
            ("limit 600 target 4ms", "limit: 600, target: \"4ms\""),
            (
                "limit 700 flows 128 quantum 300 target 10ms interval 200ms memory_limit 2mb drop_batch 32 noecn",
                "limit: 700, flows: 128, quantum: 300, target: \"10ms\", interval: \"200ms\", memory_limit: \"2mb\", drop_batch: 32, ecn: false",
            ),
            ("ce_threshold 2ms", "ce_threshold: \"2ms\""),
            ("", ""),
        ],
        changed: &[
            ("limit 500", "limit: 500"),
            ("target 7ms interval 70ms", "target: \"7ms\", interval: \"70ms\""),
            ("ce_threshold 3ms", "ce_threshold: \"3ms\""),
        ],
        ..NONE
    },
    Queue {
        name: "hfsc",
        made: &[("default 2", "default_class: \"2\"")],
        classes: &[
            ("classid 1:1 hfsc ls rate 5mbit ul rate 8mbit", "\"1:1\", #{ ls: \"5mbit\", ul: \"8mbit\" }"),
            (
                "parent 1:1 classid 1:2 hfsc sc m1 4mbit d 10ms m2 2mbit",
                "\"1:2\", #{ parent: \"1:1\", sc: \"m1 4mbit d 10ms m2 2mbit\" }",
            ),
        ],
        changed: &[("default 1", "default_class: \"1\"")],
    },
    Queue {
        name: "htb",
        made: &[("default 0x10 r2q 20", "default_class: \"10\", r2q: 20"), ("direct_qlen 77", "direct_qlen: 77")],
        classes: &[
            ("classid 1:1 htb rate 20mbit burst 20kb", "\"1:1\", #{ rate: \"20mbit\", burst: \"20kb\" }"),
            (
                "parent 1:1 classid 1:10 htb rate 5mbit ceil 20mbit prio 2 quantum 4000",
                "\"1:10\", #{ parent: \"1:1\", rate: \"5mbit\", ceil: \"20mbit\", prio: 2, quantum: 4000 }",
            ),
        ],
        ..NONE
    },
    Queue { name: "ingress", ..NONE },
    Queue { name: "mq", ..NONE },
    Queue {
        name: "netem",
        made: &[
            ("delay 20ms", "delay: \"20ms\""),
            (
                "limit 2000 delay 30ms 5ms 25% loss 2% 10% duplicate 1% corrupt 0.5% rate 10mbit",
                "limit: 2000, delay: \"30ms\", jitter: \"5ms\", delay_corr: \"25%\", loss: \"2%\", loss_corr: \"10%\", duplicate: \"1%\", corrupt: \"0.5%\", rate: \"10mbit\"",
            ),
            (
                "delay 10ms reorder 25% 50% gap 5 loss 1% ecn",
                "delay: \"10ms\", reorder: \"25%\", reorder_corr: \"50%\", gap: 5, loss: \"1%\", ecn: true",
            ),
            ("loss gemodel 1% 10% 70% 0.1%", "loss: \"gemodel 1% 10% 70% 0.1%\""),
            ("loss state 1% 2% 3% 4% 5%", "loss: \"state 1% 2% 3% 4% 5%\""),
            ("rate 5gbit", "rate: \"5gbit\""),
            ("", ""),
        ],
        changed: &[
            ("delay 50ms", "delay: \"50ms\""),
            ("delay 20ms 2ms loss 3%", "delay: \"20ms\", jitter: \"2ms\", loss: \"3%\""),
            ("rate 1mbit", "rate: \"1mbit\""),
        ],
        ..NONE
    },
    Queue { name: "noqueue", ..NONE },
    Queue {
        name: "pfifo",
        made: &[("limit 30", "limit: 30"), ("", "")],
        changed: &[("limit 50", "limit: 50")],
        ..NONE
    },
    Queue { name: "pfifo_fast", ..NONE },
    Queue {
        name: "pie",
        made: &[
            ("limit 600 target 20ms", "limit: 600, target: \"20ms\""),
            (
                "limit 700 target 13ms tupdate 32ms alpha 4 beta 24 ecn bytemode dq_rate_estimator",
                "limit: 700, target: \"13ms\", tupdate: \"32ms\", alpha: 4, beta: 24, ecn: true, bytemode: true, dq_rate_estimator: true",
            ),
            ("", ""),
        ],
        changed: &[
            ("limit 500 target 9ms", "limit: 500, target: \"9ms\""),
            ("ecn bytemode", "ecn: true, bytemode: true"),
        ],
        ..NONE
    },
    Queue {
        name: "prio",
        made: &[
            ("bands 3", "bands: 3"),
            (
                "bands 5 priomap 0 1 2 3 4 0 1 2 3 4 0 1 2 3 4 0",
                "bands: 5, priomap: [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]",
            ),
            ("", ""),
        ],
        changed: &[("bands 4", "bands: 4")],
        ..NONE
    },
    Queue {
        name: "red",
        made: &[
            (
                "limit 400kb avpkt 1000 burst 55 bandwidth 10mbit",
                "limit: \"400kb\", avpkt: 1000, burst: 55, bandwidth: \"10mbit\"",
            ),
            (
                "limit 300kb min 20kb max 60kb avpkt 900 burst 40 bandwidth 50mbit probability 0.05 ecn harddrop nodrop",
                "limit: \"300kb\", min: \"20kb\", max: \"60kb\", avpkt: 900, burst: 40, bandwidth: \"50mbit\", probability: 0.05, ecn: true, harddrop: true, nodrop: true",
            ),
            (
                "limit 200kb avpkt 1000 bandwidth 100mbit adaptive",
                "limit: \"200kb\", avpkt: 1000, bandwidth: \"100mbit\", adaptive: true",
            ),
        ],
        changed: &[
            (
                "limit 300kb avpkt 1000 burst 55 bandwidth 10mbit",
                "limit: \"300kb\", avpkt: 1000, burst: 55, bandwidth: \"10mbit\"",
            ),
            (
                "limit 400kb avpkt 1000 burst 55 bandwidth 10mbit ecn probability 0.1",
                "limit: \"400kb\", avpkt: 1000, burst: 55, bandwidth: \"10mbit\", ecn: true, probability: 0.1",
            ),
        ],
        ..NONE
    },
    Queue {
        name: "sfq",
        made: &[
            ("quantum 2000", "quantum: 2000"),
            (
                "quantum 3000 perturb 10 limit 100 divisor 512 flows 64 depth 50 headdrop",
                "quantum: 3000, perturb: \"10s\", limit: 100, divisor: 512, flows: 64, depth: 50, headdrop: true",
            ),
            ("", ""),
        ],
        // It has no `change` (sfq_qdisc_ops, net/sched/sch_sfq.c).
        changed: &[],
        ..NONE
    },
    Queue {
        name: "tbf",
        made: &[
            ("rate 10mbit burst 32kb latency 50ms", "rate: \"10mbit\", burst: \"32kb\", latency: \"50ms\""),
            (
                "rate 8mbit burst 20kb limit 60kb peakrate 12mbit mtu 1600 overhead 14 mpu 64",
                "rate: \"8mbit\", burst: \"20kb\", limit: \"60kb\", peakrate: \"12mbit\", mtu: 1600, overhead: 14, mpu: 64",
            ),
            ("rate 40gbit burst 10mb limit 20mb", "rate: \"40gbit\", burst: \"10mb\", limit: \"20mb\""),
        ],
        changed: &[
            ("rate 5mbit burst 16kb latency 20ms", "rate: \"5mbit\", burst: \"16kb\", latency: \"20ms\""),
            ("rate 10mbit burst 32kb limit 9kb", "rate: \"10mbit\", burst: \"32kb\", limit: \"9kb\""),
        ],
        ..NONE
    },
];

/// What the kernel has to have for a kind, by the words of `kernel_has`; the first ones are in every kernel with queues.
pub fn feature(name: &str) -> Option<&str> {
    (!["bfifo", "mq", "noqueue", "pfifo", "pfifo_fast"].contains(&name)).then_some(name)
}

/// The device that it is put on: `mq` needs several queues.
fn device(queue: &Queue) -> &'static str {
    if queue.name == "mq" { "many" } else { "e0" }
}

fn space(name: &str) -> Result<(), String> {
    namespace(name)?;
    // With the mac given, so that both are alike.
    shell(&format!(
        "ip -n {name} link add many index 60 address 02:00:00:00:03:01 numtxqueues 4 numrxqueues 4 type veth peer name other index 61 address 02:00:00:00:03:02
        ip -n {name} link set other up; ip -n {name} link set many up"
    ))
    .map(drop)
}

/// Where it is put: `ingress` and `clsact` have a place of their own, and these two can't be given a handle.
fn place(queue: &Queue) -> (&'static str, &'static str) {
    match queue.name {
        "clsact" => ("", ""),
        "ingress" => ("ingress", ""),
        "noqueue" => ("root", ""),
        _ => ("root handle 1:", "handle: \"1:\", "),
    }
}

fn by_tc(ns: &str, queue: &Queue, words: &str, classes: bool) -> Result<(), String> {
    let dev = device(queue);
    let (place, _) = place(queue);
    let kind = if queue.name == "ingress" { "" } else { queue.name };
    let mut lines = format!("tc -n {ns} qdisc add dev {dev} {place} {kind} {words}\n");
    if classes {
        for (words, _) in queue.classes {
            let parent = if words.contains("parent") { "" } else { "parent 1:" };
            lines += &format!("tc -n {ns} class add dev {dev} {parent} {words}\n");
        }
    }
    shell(&lines).map(drop)
}

fn by_script(ns: &str, queue: &Queue, options: &str, classes: bool) -> String {
    let dev = device(queue);
    let (_, place) = place(queue);
    let mut lines = format!("qdisc(\"{ns}:{dev}\", \"{}\", #{{ {place}{options} }});", queue.name);
    if classes {
        for (_, arguments) in queue.classes {
            lines += &format!("tc_class(\"{ns}:{dev}\", {arguments});");
        }
    }
    lines
}

/// What tc shows of the device: qdiscs, classes, without counters.
fn shown_by_tc(ns: &str, queue: &Queue) -> Result<Vec<String>, String> {
    let dev = device(queue);
    let text = shell(&format!("tc -n {ns} -d qdisc show dev {dev}; tc -n {ns} -d class show dev {dev}"))?;
    let plain = |line: &str| {
        // An adaptive red changes its probability by itself, twice a second (red_adaptative_timer).
        let adaptive = line.contains(" adaptive ");
        let mut words = line.split_whitespace();
        let mut out = Vec::new();
        while let Some(word) = words.next() {
            if ["direct_packets_stat", "refcnt"].contains(&word) || (adaptive && word == "probability") {
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
    let mut lines: Vec<String> = text.lines().map(plain).collect();
    // Flows come and go; classes come in the order of a hash.
    lines.retain(|l| !["class cake", "class fq_codel", "class sfq"].iter().any(|flow| l.starts_with(flow)));
    lines.sort();
    Ok(lines)
}

fn same(what: &str, wanted: &[String], got: &[String]) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("{what} (- by tc, + by nsscript):\n{}", common::diff(wanted, got))) }
}

/// Each case in namespaces of its own, both as they were made; the problems of all cases at once.
fn each(cases: &[(&str, &str)], mut check: impl FnMut(&str, &str) -> Result<(), String>) -> Result<(), String> {
    let mut problems = Vec::new();
    for (words, options) in cases {
        space("i")?;
        space("n")?;
        if let Err(error) = check(words, options) {
            problems.push(error);
        }
        remove("i")?;
        remove("n")?;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n\n")) }
}

/// Made alike, and shown as given. What is given as text with a unit is shown as a number: bits a second, bytes,
/// milliseconds, per cent.
pub fn made(queue: &Queue) -> Result<(usize, usize), String> {
    let (mut equal, mut shown) = (0, 0);
    each(queue.made, |words, options| {
        by_tc("i", queue, words, true)?;
        works(&["--quiet"], &by_script("n", queue, options, true))?;
        same(&format!("{} {words}", queue.name), &shown_by_tc("i", queue)?, &shown_by_tc("n", queue)?)?;
        equal += 1;
        let dev = device(queue);
        let script = format!(
            "fn told(v) {{
                if type_of(v) != \"string\" {{ return v; }}
                for unit in [[\"gbit\", 1e9], [\"mbit\", 1e6], [\"kb\", 1024.0], [\"mb\", 1048576.0], [\"ms\", 1.0], [\"us\", 0.001], [\"%\", 1.0], [\"s\", 1000.0]] {{
                    if v.ends_with(unit[0]) {{
                        let number = v.sub_string(0, v.len() - unit[0].len());
                        if number != \"\" && number[0] >= '0' && number[0] <= '9' && !number.contains(' ') {{ return parse_float(number) * unit[1]; }}
                    }}
                }}
                v
            }}
            let given = #{{ {options} }};
            fn of(ns) {{ qdiscs(`${{ns}}:{dev}`).filter(|q| q.kind == \"{kind}\")[0] }}
            let i = of(\"i\"); let n = of(\"n\");
            if {any} {{ i.handle = (); n.handle = (); }}
            // Sizes pass through a number of ticks, which counts a packet's overhead in; shares through 32 bits, times through
            // units of 1024 ns.
            fn near(a, b) {{
                a == b || type_of(a) in [\"f64\", \"i64\"] && type_of(b) in [\"f64\", \"i64\"]
                    && (a.to_float() - b.to_float()).abs() <= a.to_float().abs() / 100.0
            }}
            if i.options.contains(\"adaptive\") && i.options.adaptive {{
                i.options.remove(\"probability\");
                n.options.remove(\"probability\");
            }}
            let alike = i.options.keys() == n.options.keys();
            for key in i.options.keys() {{ if alike && !near(i.options[key], n.options[key]) {{ alike = false; }} }}
            if !alike || [i.handle, i.parent] != [n.handle, n.parent] {{ throw `i: ${{i}}, n: ${{n}}`; }}
            // The flows of these come and go.
            fn classes(ns) {{ tc_classes(`${{ns}}:{dev}`).filter(|c| !(c.kind in [\"cake\", \"fq_codel\", \"sfq\"])).map(|c| [c.handle, c.parent, c.options]) }}
            if classes(\"i\") != classes(\"n\") {{ throw `i: ${{classes(\"i\")}} n: ${{classes(\"n\")}}`; }}
            let count = 1 + tc_classes(\"n:{dev}\").len();
            for key in given.keys() {{
                // The class for the rest is a handle; a latency becomes a limit of bytes; of these the averages come.
                if key in [\"default_class\", \"latency\", \"avpkt\"] {{ continue; }}
                if key in [\"burst\", \"bandwidth\"] && n.kind in [\"red\", \"choke\"] {{ continue; }}
                if !n.options.contains(key) {{ throw `${{key}} is not shown: ${{n}}`; }}
                let wanted = told(given[key]); let got = n.options[key];
                if !near(wanted, got) {{ throw `${{key}}: given ${{given[key]}}, shown ${{n}}`; }}
                count += 1;
            }}
            print(count);",
            kind = queue.name,
            any = queue.name == "noqueue",
        );
        let count = works(&["--quiet"], &script)?;
        shown += count.trim().parse::<usize>().map_err(|e| format!("{e}: {count}"))?;
        Ok(())
    })?;
    Ok((equal, shown))
}

/// Changed as `tc qdisc change` changes it, and changed back by the undo.
pub fn changed(queue: &Queue) -> Result<usize, String> {
    let mut count = 0;
    let dev = device(queue);
    each(queue.changed, |words, options| {
        for ns in ["i", "n"] {
            by_tc(ns, queue, queue.made[0].0, true)?;
        }
        let before = shown_by_tc("n", queue)?;
        let change = format!("qdisc(\"n:{dev}\", \"{}\", #{{ handle: \"1:\", change: true, {options} }});", queue.name);
        undone(queue, &before, &change)?;
        shell(&format!("tc -n i qdisc change dev {dev} root handle 1: {} {words}", queue.name))?;
        works(&["--quiet"], &change)?;
        let after = shown_by_tc("n", queue)?;
        same(&format!("{} change {words}", queue.name), &shown_by_tc("i", queue)?, &after)?;
        if before == after {
            return Err(format!("{} change {words} changes nothing", queue.name));
        }
        count += 2;
        Ok(())
    })?;
    Ok(count)
}

/// Runs a script that fails at its end, and compares.
fn undone(queue: &Queue, before: &[String], body: &str) -> Result<(), String> {
    let ended = super::nsscript(&[], &format!("{body} throw \"on purpose\";"))?;
    if ended.code() != 1 || !ended.stderr.contains("verified") || !ended.stderr.contains("on purpose") {
        return Err(format!("status {} of: {body}\n{}", ended.code(), ended.stderr));
    }
    same(&format!("undo of: {body}"), before, &shown_by_tc("n", queue)?)
}

/// What was there before comes back: nothing; the same after it was deleted or replaced; and from its record, by `down`.
pub fn restored(queue: &Queue) -> Result<usize, String> {
    let mut count = 0;
    let dev = device(queue);
    each(queue.made, |words, options| {
        let empty = shown_by_tc("n", queue)?;
        undone(queue, &empty, &by_script("n", queue, options, true))?;
        count += 1;
        by_tc("n", queue, words, true)?;
        let before = shown_by_tc("n", queue)?;
        let delete = match queue.name {
            "clsact" | "ingress" => format!("qdisc_del(\"n:{dev}\", #{{ parent: \"ingress\" }});"),
            // The kernel's own: there is nothing to delete.
            "noqueue" => return Ok(()),
            _ => format!("qdisc_del(\"n:{dev}\");"),
        };
        undone(queue, &before, &delete)?;
        count += 1;
        if !matches!(queue.name, "clsact" | "ingress") {
            let other = if queue.name == "pfifo" { "bfifo" } else { "pfifo" };
            undone(queue, &before, &format!("qdisc(\"n:{dev}\", \"{other}\", #{{ replace: true }});"))?;
            count += 1;
        }
        undone(queue, &before, &format!("link_del(\"n:{dev}\");"))?;
        works(&["--quiet", "--name", "gone"], &delete)?;
        let down = common::run(
            std::process::Command::new(common::NSSCRIPT).args(["--host", "--color", "never", "down", "gone"]),
            common::LONG,
        )?;
        same(&format!("made again from its record: {words}; {}", down.stderr), &before, &shown_by_tc("n", queue)?)?;
        count += 2;
        Ok(())
    })?;
    Ok(count)
}

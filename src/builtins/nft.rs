//! Packet filters and NAT by nf_tables, in nft's own language (nft(8)).

use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, run, text};
use crate::plan::addr::{parse_cidr, parse_ip};
use crate::plan::name::check_ifname;
use crate::plan::rule::parse_range;
use crate::plan::{Error, Kind, Ns, Result, Verb};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};
use std::fmt::Write as _;
use std::net::IpAddr;

/// The table that the helpers put their rules into: one for IPv4 and IPv6 together.
const TABLE: &str = "inet nsscript";

fn load(session: &Session, ns: Ns, ruleset: String) -> Result<()> {
    session.perform(Verb::NftLoad { ns, ruleset }).map(|_| ())
}

fn given(session: &Session, ns: &Dynamic, ruleset: &str) -> Result<()> {
    let ns = value::ns(session, ns)?;
    if ruleset.trim().is_empty() {
        return Err(Error::invalid("nft: the ruleset is empty").with_hint("\"flush ruleset\" removes all tables"));
    }
    load(session, ns, ruleset.to_string())
}

/// `list ruleset`, or `list table FAMILY NAME`.
fn listing(session: &Session, ns: &Dynamic, options: Map) -> Result<Dynamic> {
    let ns = value::ns(session, ns)?;
    let opts = Opts::new("nft_list", options, &["table", "json", "stateless"])?;
    let table = opts.text("table")?;
    let mut args: Vec<&str> = Vec::new();
    let json = opts.bool("json")? == Some(true);
    if json {
        args.push("-j");
    }
    if opts.bool("stateless")? == Some(true) {
        args.push("-s");
    }
    match &table {
        Some(name) => {
            let words: Vec<&str> = name.split_whitespace().collect();
            if !(1..=2).contains(&words.len()) {
                return Err(Error::invalid(format!("nft_list: `{name}` is no table")).with_hint("\"inet filter\""));
            }
            args.extend(["list", "table"]);
            args.extend(words);
        }
        None => args.extend(["list", "ruleset"]),
    }
    let printed = session.kernel().nft(&ns, &args, "").map_err(|error| match &table {
        Some(name)
            if error.kind == Kind::NotFound && error.target == "nft" && error.message.contains("No such file") =>
        {
            Error::new(Kind::NotFound, format!("there is no nft table `{name}` in {}", ns.label()))
                .with_ns(&ns.name)
                .with_target(name)
                .with_hint("nft_list(ns) shows all")
        }
        _ => error,
    })?;
    if !json {
        return Ok(printed.trim_end().to_string().into());
    }
    let parsed: serde_json::Value =
        serde_json::from_str(&printed).map_err(|e| Error::internal(format!("nft printed what is not JSON: {e}")))?;
    let all = parsed.get("nftables").and_then(|a| a.as_array()).cloned().unwrap_or_default();
    let objects: Array = all.iter().filter(|o| o.get("metainfo").is_none()).map(super::flow::from_json).collect();
    Ok(objects.into())
}

/// A device's name as nft is to be given it: it need not be there.
fn quoted(session: &Session, ns: &Ns, value: &Dynamic) -> Result<String> {
    let name = if value.is_string() {
        let word = text(value, "a device")?;
        // `ns:dev` is looked up, a bare name stays what it is.
        if word.contains(':') { value::device(session, Some(ns), value)?.link.name } else { word }
    } else {
        value::device(session, Some(ns), value)?.link.name
    };
    check_ifname(&name)?;
    if name.contains(['"', '*', '\\']) {
        return Err(Error::invalid(format!("nft can't be told of a device `{name}`")).with_target(&name));
    }
    Ok(format!("\"{name}\""))
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

/// What a rule of the helpers describes, in nft's words, each with a blank behind.
fn matches(session: &Session, ns: &Ns, opts: &Opts) -> Result<String> {
    let mut out = String::new();
    for (key, word) in [("iif", "iifname"), ("oif", "oifname")] {
        if let Some(value) = opts.get(key) {
            let _ = write!(out, "{word} {} ", quoted(session, ns, value)?);
        }
    }
    for (key, word) in [("from", "saddr"), ("to_addr", "daddr")] {
        if let Some(net) = opts.text(key)? {
            let net = parse_cidr(&net)?;
            let _ = write!(out, "{} {word} {net} ", family(net.addr()));
        }
    }
    let ports = ["sport", "dport"].into_iter().any(|key| opts.get(key).is_some());
    match opts.text("proto")? {
        Some(proto) if matches!(proto.as_str(), "tcp" | "udp" | "sctp" | "dccp" | "udplite") && ports => {
            for key in ["sport", "dport"] {
                let Some(value) = opts.get(key) else { continue };
                let word =
                    value.as_int().map_or_else(|_| text(value, &format!("option `{key}`")), |n| Ok(n.to_string()))?;
                let (from, to) = parse_range(&word, &format!("option `{key}`"), 65535)?;
                let _ = if from == to {
                    write!(out, "{proto} {key} {from} ")
                } else {
                    write!(out, "{proto} {key} {from}-{to} ")
                };
            }
        }
        Some(proto) if ports => {
            return Err(Error::invalid(format!(
                "`{proto}` has no ports: `sport` and `dport` are of tcp, udp, sctp, dccp"
            )));
        }
        Some(proto) => {
            if proto.is_empty() || !proto.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(Error::invalid(format!("`{proto}` is no protocol")).with_target(&proto));
            }
            let _ = write!(out, "meta l4proto {proto} ");
        }
        None if ports => {
            return Err(Error::invalid("ports need a protocol").with_hint("proto: \"tcp\" or \"udp\""));
        }
        None => {}
    }
    Ok(out)
}

/// A base chain of the helpers' table, and one rule more in it. What is there already is left as it is.
fn add(session: &Session, ns: Ns, chain: &str, base: &str, rule: &str) -> Result<()> {
    let ruleset = format!(
        "table {TABLE} {{\n\tchain {chain} {{\n\t\ttype {base}; policy accept;\n\t}}\n}}\nadd rule {TABLE} {chain} {rule}\n"
    );
    load(session, ns, ruleset)
}

fn masquerade(session: &Session, ns: Option<&Dynamic>, dev: &Dynamic, options: Map) -> Result<()> {
    let opts = Opts::new("masquerade", options, &["from", "iif", "family"])?;
    let ns = match ns {
        Some(ns) => value::ns(session, ns)?,
        None => value::device(session, None, dev)?.ns,
    };
    let out = quoted(session, &ns, dev)?;
    let only = match opts.text("family")?.as_deref() {
        None => "",
        Some("inet") => "meta nfproto ipv4 ",
        Some("inet6") => "meta nfproto ipv6 ",
        Some(word) => return Err(Error::invalid(format!("option `family` can't be `{word}`"))),
    };
    let rule = format!("{only}oifname {out} {}masquerade", matches(session, &ns, &opts)?);
    add(session, ns, "postrouting", "nat hook postrouting priority srcnat", &rule)
}

/// `10.0.0.2`, `10.0.0.2:80`, `fd00::2`, `[fd00::2]:80`.
fn target(word: &str) -> Result<(IpAddr, Option<u16>)> {
    if let Ok(socket) = word.parse::<std::net::SocketAddr>() {
        return Ok((socket.ip(), Some(socket.port())));
    }
    Ok((parse_ip(word)?, None))
}

fn dnat(session: &Session, ns: &Dynamic, options: Map) -> Result<()> {
    let known = ["to", "proto", "dport", "sport", "iif", "from", "to_addr", "output"];
    let opts = Opts::new("dnat", options, &known)?;
    let ns = value::ns(session, ns)?;
    let to = opts.text("to")?.ok_or_else(|| {
        Error::invalid("dnat: `to` is missing")
            .with_hint("dnat(ns, #{ iif: \"eth0\", proto: \"tcp\", dport: 8080, to: \"10.0.0.2:80\" })")
    })?;
    let (ip, port) = target(&to)?;
    if port.is_some() && opts.text("proto")?.is_none() {
        return Err(Error::invalid("dnat: a port needs a protocol").with_hint("proto: \"tcp\" or \"udp\""));
    }
    let shown = match (ip, port) {
        (IpAddr::V6(ip), Some(port)) => format!("[{ip}]:{port}"),
        (ip, Some(port)) => format!("{ip}:{port}"),
        (ip, None) => ip.to_string(),
    };
    let own = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    let rule = format!("meta nfproto {own} {}dnat {} to {shown}", matches(session, &ns, &opts)?, family(ip));
    if opts.bool("output")? == Some(true) {
        add(session, ns, "output_nat", "nat hook output priority -100", &rule)
    } else {
        add(session, ns, "prerouting", "nat hook prerouting priority dstnat", &rule)
    }
}

fn drop_packets(session: &Session, ns: &Dynamic, options: Map) -> Result<()> {
    let known = ["chain", "iif", "oif", "from", "to", "proto", "sport", "dport", "reject"];
    let mut options = options;
    // `to` is the destination here; `dnat` has another use for the word.
    Opts::new("drop", options.clone(), &known)?;
    if let Some(to) = options.remove("to") {
        options.insert("to_addr".into(), to);
    }
    let all: Vec<&str> = known.iter().copied().chain(["to_addr"]).collect();
    let opts = Opts::new("drop", options, &all)?;
    let ns = value::ns(session, ns)?;
    let chain =
        opts.text("chain")?.unwrap_or_else(|| if opts.get("oif").is_some() { "forward" } else { "input" }.into());
    if !matches!(chain.as_str(), "input" | "forward" | "output") {
        return Err(Error::invalid(format!("drop: `chain` can't be `{chain}`"))
            .with_hint("\"input\", \"forward\" or \"output\""));
    }
    let verdict = if opts.bool("reject")? == Some(true) { "reject" } else { "drop" };
    let rule = format!("{}counter {verdict}", matches(session, &ns, &opts)?);
    add(session, ns, &chain, &format!("filter hook {chain} priority filter"), &rule)
}

#[export_module]
pub mod functions {
    /// Loads a ruleset in nft's own language into a namespace, as `nft -f`: all of it or nothing, as one transaction. The
    /// program nft comes from the distribution.
    ///
    /// Undo brings back the tables that the text can have changed: those that it names (all of them for `flush ruleset`,
    /// `include` and variables), each unless somebody else changed it since. Counters come back as they were before the
    /// load, elements of dynamic sets too. A table whose listing nft can't read again (made by iptables-nft with extensions
    /// of its own) is refused beforehand. A table that was deleted comes back behind the others.
    ///
    /// Errors: `not_found` without nft, with how to get it, or for what the text refers to; `invalid` in nft's own words;
    /// `exists`; `unsupported`.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// nft(r, `
    ///     table inet filter {
    ///         chain input {
    ///             type filter hook input priority 0; policy accept;
    ///             tcp dport 23 counter drop
    ///         }
    ///     }
    /// `);
    /// assert(nft_list(r).contains("tcp dport 23"), "the rule is there");
    /// ```
    #[rhai_fn(name = "nft", return_raw)]
    pub fn nft(ctx: NativeCallContext, ns: Dynamic, ruleset: &str) -> Fallible<()> {
        run(&ctx, |s| given(s, &ns, ruleset))
    }

    /// The ruleset of a namespace as `nft list ruleset` prints it. Options: `table` (`"inet filter"`) for one table,
    /// `stateless: true` without counters, and `json: true` for an array of maps as of `nft -j`, each with one key: `table`,
    /// `chain`, `rule`, `set` … Errors: `not_found` for the table, or without nft.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// nft(r, "add table ip t; add chain ip t c");
    /// assert_eq(nft_list(r, #{ table: "ip t" }), "table ip t {\n\tchain c {\n\t}\n}");
    /// assert_eq(nft_list(r, #{ json: true }).map(|o| o.keys()[0]), ["table", "chain"]);
    /// ```
    #[rhai_fn(name = "nft_list", return_raw)]
    pub fn nft_list(ctx: NativeCallContext, ns: Dynamic) -> Fallible<Dynamic> {
        run(&ctx, |s| listing(s, &ns, Map::new()))
    }

    #[rhai_fn(name = "nft_list", return_raw)]
    pub fn nft_list_with(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<Dynamic> {
        run(&ctx, |s| listing(s, &ns, options))
    }

    /// Gives packets that leave by a device the device's own address (source NAT, IPv4 and IPv6): a rule in the table
    /// `inet nsscript`. Options: `from` (a subnet), `iif`, `family` (`"inet"`, `"inet6"`: only that). Forwarding is another
    /// matter: `forwarding(ns, true)`. Errors: as of `nft`.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// masquerade(r, "wan", #{ from: "10.0.0.0/24" });
    /// assert(nft_list(r).contains("ip saddr 10.0.0.0/24 masquerade"), "the rule is there");
    /// ```
    #[rhai_fn(name = "masquerade", return_raw)]
    pub fn masquerade_of(ctx: NativeCallContext, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| masquerade(s, None, &dev, Map::new()))
    }

    #[rhai_fn(name = "masquerade", return_raw)]
    pub fn masquerade_of_with(ctx: NativeCallContext, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| masquerade(s, None, &dev, options))
    }

    #[rhai_fn(name = "masquerade", return_raw)]
    pub fn masquerade_in(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic) -> Fallible<()> {
        run(&ctx, |s| masquerade(s, Some(&ns), &dev, Map::new()))
    }

    #[rhai_fn(name = "masquerade", return_raw)]
    pub fn masquerade_in_with(ctx: NativeCallContext, ns: Dynamic, dev: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| masquerade(s, Some(&ns), &dev, options))
    }

    /// Sends packets that arrive elsewhere (destination NAT, port forwarding): a rule in the table `inet nsscript`. Options:
    /// `to` (`"10.0.0.2"`, `"10.0.0.2:80"`, `"[fd00::2]:80"`), and what it is about: `iif`, `proto`, `dport`, `sport` (a port
    /// or `"80-90"`), `from`, `to_addr` (subnets); `output: true` for packets that the namespace itself sends. Errors: as of
    /// `nft`.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// dnat(r, #{ iif: "wan", proto: "tcp", dport: 8080, to: "10.0.0.2:80" });
    /// assert(nft_list(r).contains("tcp dport 8080 dnat ip to 10.0.0.2:80"), "the rule is there");
    /// ```
    #[rhai_fn(name = "dnat", return_raw)]
    pub fn dnat_in(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| dnat(s, &ns, options))
    }

    /// Drops packets, or with `reject: true` refuses them: a rule with a counter in the table `inet nsscript`. Options: `chain`
    /// (`"input"`, `"forward"` or `"output"`; by default `"input"`, with `oif` `"forward"`), `iif`, `oif`, `from`, `to`
    /// (subnets), `proto`, `sport`, `dport` (a port or `"80-90"`). Without any all packets of the chain. Errors: as of `nft`.
    ///
    /// ```rhai
    /// let r = netns_add("r");
    /// drop(r, #{ from: "10.0.0.0/24", proto: "tcp", dport: 23 });
    /// assert(nft_list(r).contains("tcp dport 23 counter"), "the rule is there");
    /// ```
    #[rhai_fn(name = "drop", return_raw)]
    pub fn drop_in(ctx: NativeCallContext, ns: Dynamic, options: Map) -> Fallible<()> {
        run(&ctx, |s| drop_packets(s, &ns, options))
    }
}

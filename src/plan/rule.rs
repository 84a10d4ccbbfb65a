//! Rules of policy routing as scripts ask for them (ip-rule(8); `struct fib_rule_hdr` and `FRA_…` in
//! include/uapi/linux/fib_rules.h), and the records that they become.

use super::addr::{octets, proto_name};
use super::error::{Error, Result};
use super::record::{AF_INET, AF_INET6, Rec, What, table_name};
use super::{ip, nla};
use ipnet::IpNet;

pub const FRA_DST: u16 = 1;
pub const FRA_SRC: u16 = 2;
pub const FRA_IIFNAME: u16 = 3;
pub const FRA_GOTO: u16 = 4;
pub const FRA_PRIORITY: u16 = 6;
pub const FRA_FWMARK: u16 = 10;
pub const FRA_FLOW: u16 = 11;
pub const FRA_TUN_ID: u16 = 12;
pub const FRA_SUPPRESS_IFGROUP: u16 = 13;
pub const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
pub const FRA_TABLE: u16 = 15;
pub const FRA_FWMASK: u16 = 16;
pub const FRA_OIFNAME: u16 = 17;
pub const FRA_L3MDEV: u16 = 19;
pub const FRA_UID_RANGE: u16 = 20;
pub const FRA_PROTOCOL: u16 = 21;
pub const FRA_IP_PROTO: u16 = 22;
pub const FRA_SPORT_RANGE: u16 = 23;
pub const FRA_DPORT_RANGE: u16 = 24;
/// `FIB_RULE_INVERT`.
pub const INVERT: u32 = 2;
/// `FIB_RULE_PERMANENT` and `FIB_RULE_INVERT`; the others tell whether devices and targets are there at the moment.
pub(super) const FLAGS_SET: u32 = 1 | INVERT;

/// `FR_ACT_…` by name.
pub const ACTIONS: &[(u8, &str)] =
    &[(1, "table"), (2, "goto"), (3, "nop"), (6, "blackhole"), (7, "unreachable"), (8, "prohibit")];

/// A protocol of IP by number, as /etc/protocols names those that rules are made for.
pub const IP_PROTOS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (89, "ospf"),
    (132, "sctp"),
    (136, "udplite"),
];

/// `FR_ACT_…` of a name.
#[must_use]
pub fn action_of(name: &str) -> Option<u8> {
    ACTIONS.iter().find(|(_, n)| *n == name).map(|(a, _)| *a)
}

/// The name of an action, or its number.
#[must_use]
pub fn action_name(action: u8) -> String {
    ACTIONS.iter().find(|(a, _)| *a == action).map_or_else(|| action.to_string(), |(_, n)| (*n).to_string())
}

/// An IP protocol by name or number.
#[must_use]
pub fn ip_proto_of(name: &str) -> Option<u8> {
    IP_PROTOS.iter().find(|(_, n)| *n == name).map(|(p, _)| *p).or_else(|| name.parse().ok())
}

#[must_use]
pub fn ip_proto_name(proto: u8) -> String {
    IP_PROTOS.iter().find(|(p, _)| *p == proto).map_or_else(|| proto.to_string(), |(_, n)| (*n).to_string())
}

/// A number as `ip` reads them: decimal, or hexadecimal after `0x`.
///
/// # Errors
/// `invalid`, naming `what` it is.
pub fn number(text: &str, what: &str) -> Result<u32> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| {
        Error::invalid(format!("{what} can't be `{text}`"))
            .with_target(text)
            .with_hint("a number from 0 to 4294967295, or 0x…")
    })
}

/// `MARK` or `MARK/MASK`.
///
/// # Errors
/// `invalid`.
pub fn parse_mark(text: &str) -> Result<(u32, Option<u32>)> {
    match text.split_once('/') {
        Some((mark, mask)) => Ok((number(mark, "the mark")?, Some(number(mask, "the mask")?))),
        None => Ok((number(text, "the mark")?, None)),
    }
}

/// `FROM-TO`, or one number for both.
///
/// # Errors
/// `invalid`, where it is neither, or ends before it begins, or goes above `max`.
pub fn parse_range(text: &str, what: &str, max: u32) -> Result<(u32, u32)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = (number(from, what)?, number(to, what)?);
    if range.0 > range.1 || range.1 > max {
        return Err(Error::invalid(format!("{what} can't be `{text}`"))
            .with_target(text)
            .with_hint(format!("FROM-TO, from the lower to the higher, at most {max}")));
    }
    Ok(range)
}

/// A rule to be added or deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// `None`: all.
    pub from: Option<IpNet>,
    pub to: Option<IpNet>,
    /// Names: a rule holds for devices that come later, too.
    pub iif: Option<String>,
    pub oif: Option<String>,
    /// Mark and mask; without a mask the kernel's is all ones.
    pub fwmark: Option<(u32, Option<u32>)>,
    pub table: Option<u32>,
    /// `None`: the kernel takes one before those that there are.
    pub priority: Option<u32>,
    pub suppress_prefixlength: Option<u32>,
    pub suppress_ifgroup: Option<u32>,
    pub uidrange: Option<(u32, u32)>,
    pub ipproto: Option<u8>,
    pub sport: Option<(u16, u16)>,
    pub dport: Option<(u16, u16)>,
    pub tos: u8,
    /// `FR_ACT_…`; `None`: look into the table, or with `goto` go there.
    pub action: Option<u8>,
    /// The priority of the rule to go on with.
    pub goto: Option<u32>,
    /// The table of the vrf that the packet's device belongs to.
    pub l3mdev: bool,
    /// Whether it holds for all but what it describes.
    pub not: bool,
    pub proto: Option<u8>,
    pub tun_id: Option<u64>,
}

impl RuleSpec {
    fn act(&self) -> u8 {
        self.action.unwrap_or(if self.goto.is_some() { 2 } else { 1 })
    }

    /// The record for adding; `deleting` leaves open what was not given, as `ip rule del` does.
    #[must_use]
    pub fn record(&self, deleting: bool) -> Rec {
        let length = |net: Option<IpNet>| net.map_or(0, |n| n.prefix_len());
        let to_table = self.act() == 1 && !self.l3mdev;
        let table = self.table.unwrap_or(if to_table && !deleting { 254 } else { 0 });
        let action = if deleting && self.action.is_none() && self.goto.is_none() { 0 } else { self.act() };
        let small = u8::try_from(table).unwrap_or(0);
        let mut body = vec![self.family, length(self.to), length(self.from), self.tos, small, 0, 0, action];
        body.extend_from_slice(&if self.not { INVERT } else { 0 }.to_ne_bytes());
        let mut put = |code: u16, value: &[u8]| nla::put(&mut body, code, value);
        if let Some(net) = self.to.filter(|n| n.prefix_len() > 0) {
            put(FRA_DST, &octets(net.network()));
        }
        if let Some(net) = self.from.filter(|n| n.prefix_len() > 0) {
            put(FRA_SRC, &octets(net.network()));
        }
        for (code, name) in [(FRA_IIFNAME, &self.iif), (FRA_OIFNAME, &self.oif)] {
            if let Some(name) = name {
                let mut bytes = name.as_bytes().to_vec();
                bytes.push(0);
                put(code, &bytes);
            }
        }
        if let Some((mark, mask)) = self.fwmark {
            put(FRA_FWMARK, &mark.to_ne_bytes());
            if let Some(mask) = mask {
                put(FRA_FWMASK, &mask.to_ne_bytes());
            }
        }
        for (code, value) in [
            (FRA_PRIORITY, self.priority),
            (FRA_GOTO, self.goto),
            (FRA_SUPPRESS_PREFIXLEN, self.suppress_prefixlength),
            (FRA_SUPPRESS_IFGROUP, self.suppress_ifgroup),
            (FRA_TABLE, (table != 0).then_some(table)),
        ] {
            if let Some(value) = value {
                put(code, &value.to_ne_bytes());
            }
        }
        if let Some((from, to)) = self.uidrange {
            put(FRA_UID_RANGE, &[from.to_ne_bytes(), to.to_ne_bytes()].concat());
        }
        for (code, range) in [(FRA_SPORT_RANGE, self.sport), (FRA_DPORT_RANGE, self.dport)] {
            if let Some((from, to)) = range {
                put(code, &[from.to_ne_bytes(), to.to_ne_bytes()].concat());
            }
        }
        for (code, value) in
            [(FRA_IP_PROTO, self.ipproto), (FRA_PROTOCOL, self.proto), (FRA_L3MDEV, self.l3mdev.then_some(1))]
        {
            if let Some(value) = value {
                put(code, &[value]);
            }
        }
        if let Some(id) = self.tun_id {
            put(FRA_TUN_ID, &id.to_be_bytes());
        }
        Rec { what: What::Rule, body, ends: None }
    }

    /// What follows `ip rule add`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut out = String::new();
        if self.not {
            out += "not ";
        }
        let net = |n: IpNet| if n.prefix_len() == n.max_prefix_len() { n.addr().to_string() } else { n.to_string() };
        out += &format!("from {}", self.from.map_or_else(|| "all".into(), net));
        if let Some(to) = self.to {
            out += &format!(" to {}", net(to));
        }
        if self.tos != 0 {
            out += &format!(" tos {:#x}", self.tos);
        }
        match self.fwmark {
            Some((mark, Some(mask))) => out += &format!(" fwmark {mark:#x}/{mask:#x}"),
            Some((mark, None)) => out += &format!(" fwmark {mark:#x}"),
            None => {}
        }
        for (word, name) in [("iif", &self.iif), ("oif", &self.oif)] {
            if let Some(name) = name {
                out += &format!(" {word} {}", ip::word(name));
            }
        }
        if let Some((from, to)) = self.uidrange {
            out += &format!(" uidrange {from}-{to}");
        }
        if let Some(proto) = self.ipproto {
            out += &format!(" ipproto {}", ip_proto_name(proto));
        }
        for (word, range) in [("sport", self.sport), ("dport", self.dport)] {
            match range {
                Some((from, to)) if from == to => out += &format!(" {word} {from}"),
                Some((from, to)) => out += &format!(" {word} {from}-{to}"),
                None => {}
            }
        }
        if let Some(id) = self.tun_id {
            out += &format!(" tun_id {id}");
        }
        if let Some(priority) = self.priority {
            out += &format!(" priority {priority}");
        }
        if let Some(proto) = self.proto {
            out += &format!(" protocol {}", proto_name(proto));
        }
        if self.l3mdev {
            out += " l3mdev";
        }
        if let Some(table) = self.table {
            out += &format!(" table {}", table_name(table));
        }
        if let Some(length) = self.suppress_prefixlength {
            out += &format!(" suppress_prefixlength {length}");
        }
        if let Some(group) = self.suppress_ifgroup {
            out += &format!(" suppress_ifgroup {group}");
        }
        if let Some(priority) = self.goto {
            out += &format!(" goto {priority}");
        }
        if let Some(action) = self.action.filter(|a| *a > 2) {
            out += &format!(" {}", action_name(action));
        }
        out
    }

    /// Checks what the kernel would refuse without saying why.
    ///
    /// # Errors
    /// `invalid`.
    pub fn check(&self) -> Result<()> {
        let of = |net: &IpNet| if net.addr().is_ipv4() { AF_INET } else { AF_INET6 };
        for net in [self.from, self.to].iter().flatten() {
            if of(net) != self.family {
                return Err(Error::invalid(format!("rule {}: `{net}` is of the other family", self.words())));
            }
        }
        if self.l3mdev && self.table.is_some() {
            return Err(Error::invalid("rule: `l3mdev` takes the table from the vrf; `table` can't be given too"));
        }
        if self.act() == 2 && self.goto.is_none() {
            return Err(
                Error::invalid("rule: with type \"goto\" the priority to go to is missing").with_hint("jump: 500")
            );
        }
        if let (Some(to), Some(priority)) = (self.goto, self.priority)
            && to <= priority
        {
            return Err(Error::invalid(format!("rule: it can't go back from priority {priority} to {to}")));
        }
        Ok(())
    }
}

/// A rule in words, from its record: as `ip rule` lists it.
#[must_use]
pub fn describe(rec: &Rec) -> String {
    spec_of(rec).words()
}

/// The parts of a rule's record that have a name here.
#[must_use]
pub fn spec_of(rec: &Rec) -> RuleSpec {
    let net = |code: u16, length: u8| rec.ip(code).and_then(|ip| IpNet::new(ip, length).ok());
    let byte = |code: u16| rec.attr(code).and_then(|v| v.first().copied());
    let pair32 = |code: u16| {
        let value = rec.attr(code)?;
        Some((nla::u32_of(value)?, value.get(4..).and_then(nla::u32_of)?))
    };
    let pair16 = |code: u16| {
        let value: [u8; 4] = rec.attr(code)?.try_into().ok()?;
        Some((u16::from_ne_bytes([value[0], value[1]]), u16::from_ne_bytes([value[2], value[3]])))
    };
    let set = |code: u16| rec.attr_u32(code).filter(|n| *n != u32::MAX);
    let action = rec.byte(7);
    RuleSpec {
        family: rec.family(),
        from: net(FRA_SRC, rec.byte(2)),
        to: net(FRA_DST, rec.byte(1)),
        iif: rec.attr(FRA_IIFNAME).map(nla::text),
        oif: rec.attr(FRA_OIFNAME).map(nla::text),
        fwmark: rec
            .attr_u32(FRA_FWMARK)
            .map(|m| (m, rec.attr_u32(FRA_FWMASK).filter(|m| *m != u32::MAX)))
            .or_else(|| rec.attr_u32(FRA_FWMASK).map(|mask| (0, Some(mask)))),
        table: Some(rec.table()).filter(|t| *t != 0),
        priority: Some(rec.attr_u32(FRA_PRIORITY).unwrap_or_default()),
        suppress_prefixlength: set(FRA_SUPPRESS_PREFIXLEN),
        suppress_ifgroup: set(FRA_SUPPRESS_IFGROUP),
        uidrange: pair32(FRA_UID_RANGE),
        ipproto: byte(FRA_IP_PROTO),
        sport: pair16(FRA_SPORT_RANGE),
        dport: pair16(FRA_DPORT_RANGE),
        tos: rec.byte(3),
        action: (action != 1).then_some(action),
        goto: rec.attr_u32(FRA_GOTO),
        l3mdev: byte(FRA_L3MDEV).is_some_and(|b| b != 0),
        not: rec.byte(8) & 2 != 0,
        proto: byte(FRA_PROTOCOL).filter(|p| *p != 0),
        tun_id: rec.attr(FRA_TUN_ID).and_then(|v| v.try_into().ok()).map(u64::from_be_bytes),
    }
}

/// The record of a dumped rule: momentary flags taken out, and the priority spelt out where it is 0, since one that is not
/// given is chosen by the kernel (fib_nl2rule, net/core/fib_rules.c).
pub(super) fn normalise(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = body.to_vec();
    let flags = nla::u32_of(body.get(8..12)?)? & FLAGS_SET;
    out[8..12].copy_from_slice(&flags.to_ne_bytes());
    if nla::attr(&body[12..], FRA_PRIORITY).is_none() {
        nla::put(&mut out, FRA_PRIORITY, &0u32.to_ne_bytes());
    }
    Some(out)
}

/// Whether a rule that is there can be the one that was asked for: all that was given is as given.
pub(super) fn alike(found: &Rec, asked: &Rec) -> bool {
    let header = (1..4).all(|at| found.byte(at) == asked.byte(at)) && found.table() == asked.table();
    let action = asked.byte(7) == 0 || asked.byte(7) == found.byte(7);
    header && action && nla::attrs(asked.attrs()).all(|(code, value)| found.attr(code) == Some(value))
}

/// Whether `rule del` with `asked` can have meant this rule: what was not given is open.
pub(super) fn covers(asked: &Rec, rule: &Rec) -> bool {
    let open = |a: u32, b: u32| a == 0 || a == b;
    asked.family() == rule.family()
        && [1, 2, 3, 7].into_iter().all(|at| open(asked.byte(at).into(), rule.byte(at).into()))
        && open(asked.table(), rule.table())
        && nla::attrs(asked.attrs()).all(|(code, value)| rule.attr(code) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_in_words_and_back() {
        let rule = RuleSpec {
            family: AF_INET,
            from: "10.0.0.0/24".parse().ok(),
            iif: Some("eth0".into()),
            fwmark: Some((1, Some(0xff))),
            table: Some(100),
            priority: Some(500),
            uidrange: Some((0, 1000)),
            ipproto: Some(6),
            dport: Some((80, 90)),
            sport: Some((53, 53)),
            suppress_prefixlength: Some(0),
            ..RuleSpec::default()
        };
        assert_eq!(
            rule.words(),
            "from 10.0.0.0/24 fwmark 0x1/0xff iif eth0 uidrange 0-1000 ipproto tcp sport 53 dport 80-90 priority 500 \
             table 100 suppress_prefixlength 0"
        );
        assert_eq!(spec_of(&rule.record(false)), rule);
        let refusal =
            RuleSpec { family: AF_INET6, action: Some(6), priority: Some(7), not: true, ..RuleSpec::default() };
        assert_eq!(refusal.words(), "not from all priority 7 blackhole");
        assert_eq!(spec_of(&refusal.record(false)), refusal);
    }

    #[test]
    fn ranges_and_marks_are_read() {
        assert_eq!(parse_range("80-90", "a port", 65535).ok(), Some((80, 90)));
        assert_eq!(parse_range("80", "a port", 65535).ok(), Some((80, 80)));
        for bad in ["90-80", "70000", "x", "", "1-", "-1"] {
            assert!(parse_range(bad, "a port", 65535).is_err(), "{bad}");
        }
        assert_eq!(parse_mark("0x10/0xf0").ok(), Some((16, Some(240))));
        assert!(parse_mark("ten").is_err());
    }

    #[test]
    fn what_the_kernel_added_is_the_same_rule() {
        let asked = RuleSpec { family: AF_INET, table: Some(7), ..RuleSpec::default() };
        let found = RuleSpec { priority: Some(32765), proto: Some(3), ..asked.clone() };
        assert!(alike(&found.record(false), &asked.record(false)));
        let other = RuleSpec { iif: Some("x".into()), ..found.clone() };
        assert!(!alike(&found.record(false), &other.record(false)));
    }
}

//! Rulesets of nf_tables as text in nft's own language (nft(8)): told apart by table, compared, and led back.
//!
//! The kernel's messages for rulesets have no stable inverse of their own; what `nft list ruleset` prints, `nft -f` reads.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One table as nft lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Family and name: `inet filter`.
    pub name: String,
    /// As it is to be loaded again, counters, quotas and dynamic elements included.
    pub text: String,
    /// Without what moves by itself: what tables are compared by.
    pub plain: String,
    /// The same, with the elements that packets add and time removes: a step may change those as well.
    #[serde(default)]
    pub elements: String,
}

/// A conflict, a table that has to be led back, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Back {
    /// (what it is now, what it was); one of them is there.
    pub tables: Vec<(Option<Table>, Option<Table>)>,
    /// What nft is to be told to take out of sets that packets and time change, and to put in again.
    pub elements: String,
    pub conflicts: Vec<String>,
}

/// Splits a listing into tables: (name, text).
fn split(listing: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in listing.lines() {
        if !open && let Some(rest) = line.strip_prefix("table ") {
            let name: Vec<&str> = rest.split_whitespace().take_while(|w| *w != "{").take(2).collect();
            out.push((name.join(" "), String::new()));
            open = true;
        }
        if open && let Some((_, text)) = out.last_mut() {
            *text += line;
            text.push('\n');
            // What is inside is indented.
            open = line != "}";
        }
    }
    out
}

/// The tables of two listings of one ruleset: with what moves by itself, and without (`nft --stateless`).
#[must_use]
pub fn tables(listing: &str, stateless: &str) -> Vec<Table> {
    let plain = split(stateless);
    let find = |name: &str| plain.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone()).unwrap_or_default();
    split(listing)
        .into_iter()
        .map(|(name, text)| {
            let elements = find(&name);
            Table { plain: still(&elements), elements, name, text }
        })
        .collect()
}

/// A table's text without the elements that packets add and time removes.
fn still(text: &str) -> String {
    let mut out = String::new();
    let (mut moving, mut inside) = (false, false);
    for line in text.lines() {
        let word = line.trim_start();
        if line.starts_with('\t') && !line.starts_with("\t\t") {
            (moving, inside) = (false, false);
        }
        moving |= word.strip_prefix("flags ").is_some_and(|f| f.contains("dynamic") || f.contains("timeout"));
        inside |= moving && word.starts_with("elements = {");
        if !inside {
            out += line;
            out.push('\n');
        }
        inside &= !line.ends_with('}');
    }
    out
}

/// Whether a text in nft's language can change this table. With parts that are elsewhere (`include`, variables) it can
/// change any.
#[must_use]
pub fn touches(ruleset: &str, table: &str) -> bool {
    // A line ends behind a backslash as little as for nft.
    let ruleset = ruleset.replace("\\\n", " ");
    let words: Vec<&str> =
        ruleset.split(|c: char| c.is_whitespace() || ";{}\"'".contains(c)).filter(|w| !w.is_empty()).collect();
    let by_number = words.windows(3).any(|w| matches!(w, ["table", "handle", _] | ["table", _, "handle"]));
    let elsewhere =
        by_number || ruleset.contains('$') || words.iter().any(|w| matches!(*w, "include" | "define" | "redefine"));
    let all = words.windows(2).any(|w| w == ["flush", "ruleset"]);
    let name = table.split_once(' ').map_or(table, |(_, name)| name);
    elsewhere || all || words.contains(&name)
}

/// Follows what a text says of tables: those that it makes are in `known`, those that it deletes no more.
pub fn follow(ruleset: &str, known: &mut BTreeSet<String>) {
    let ruleset = ruleset.replace("\\\n", " ");
    let words: Vec<&str> = ruleset
        .lines()
        .flat_map(|line| {
            line.split('#').next().unwrap_or_default().split(|c: char| c.is_whitespace() || ";{}".contains(c))
        })
        .filter(|w| !w.is_empty())
        .collect();
    if ruleset.contains('$') || words.iter().any(|w| matches!(*w, "include" | "define" | "redefine" | "handle")) {
        // What it does can't be told from here.
        known.clear();
        return;
    }
    for (at, pair) in words.windows(2).enumerate() {
        if pair == ["flush", "ruleset"] {
            known.clear();
        }
        let (["table", name], before) = (pair, at.checked_sub(1).and_then(|i| words.get(i))) else { continue };
        // Without a family it is that of IPv4 (nft(8), TABLES).
        let families = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
        let table = match words.get(at + 2) {
            Some(second) if families.contains(name) => format!("{name} {second}"),
            _ => format!("ip {name}"),
        };
        match before {
            Some(&"delete" | &"destroy") => drop(known.remove(&table)),
            Some(&"flush" | &"list" | &"reset") => {}
            _ => drop(known.insert(table)),
        }
    }
}

/// What leads back: of the tables that the step changed, those that are still as it left them.
#[must_use]
pub fn back(before: &[Table], after: &[Table], now: &[Table]) -> Back {
    let find = |all: &[Table], name: &str| all.iter().find(|t| t.name == name).cloned();
    let plain = |t: &Option<Table>| t.as_ref().map(|t| t.plain.clone());
    let elements = |t: &Option<Table>| t.as_ref().map(|t| t.elements.clone());
    let mut out = Back::default();
    let mut seen: Vec<&str> = Vec::new();
    for table in before.iter().chain(after) {
        if seen.contains(&table.name.as_str()) {
            continue;
        }
        seen.push(&table.name);
        let (b, a, n) = (find(before, &table.name), find(after, &table.name), find(now, &table.name));
        // Elements that packets add, or time removes, are nobody's change, but for what the step itself did to them.
        let same = if plain(&b) == plain(&a) { elements } else { plain };
        if same(&b) == same(&a) || same(&b) == same(&n) {
            continue;
        }
        if plain(&b) == plain(&a) {
            if let (Some(b), Some(a), Some(n)) = (&b, &a, &n) {
                out.elements += &exchange(b, a, n);
            }
            continue;
        }
        if plain(&a) == plain(&n) {
            out.tables.push((n, b));
        } else {
            out.conflicts.push(format!("nft table `{}` was changed by somebody else: left", table.name));
        }
    }
    out
}

/// What leads the elements back that a step added, deleted or changed: those of others stay.
fn exchange(before: &Table, after: &Table, now: &Table) -> String {
    let mut out = String::new();
    let (before, after, listed) = (sets(&before.text), sets(&after.text), sets(&now.text));
    for (set, is) in &listed {
        let none = Vec::new();
        let (was, left) = (before.get(set).unwrap_or(&none), after.get(set).unwrap_or(&none));
        let has = |all: &[String], key: &str| all.iter().any(|e| key_of(e) == key);
        let same = |e: &String| is.iter().any(|n| lasting(n) == lasting(e));
        for element in left.iter().filter(|e| !was.iter().any(|w| lasting(w) == lasting(e)) && same(e)) {
            out += &format!("delete element {} {set} {{ {} }}\n", now.name, key_of(element));
        }
        for element in was.iter().filter(|e| !left.iter().any(|l| lasting(l) == lasting(e))) {
            // In its place may be what somebody else added.
            let free = !has(is, key_of(element)) || left.iter().any(|l| key_of(l) == key_of(element) && same(l));
            if free {
                out += &format!("add element {} {set} {{ {element} }}\n", now.name);
            }
        }
    }
    out
}

/// By the names of a table's sets and maps, their elements as they are listed.
fn sets(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    let mut set = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let word = line.trim();
        if line.starts_with('\t') && !line.starts_with("\t\t") {
            set = word.strip_suffix(" {").and_then(|w| w.strip_prefix("set ").or_else(|| w.strip_prefix("map ")));
        }
        let Some(name) = set else { continue };
        let all: &mut Vec<String> = out.entry(name.to_string()).or_default();
        let Some(first) = word.strip_prefix("elements = {") else { continue };
        let (mut element, mut quoted, mut depth) = (String::new(), false, 1);
        let mut part = first;
        loop {
            for c in part.trim().chars() {
                match c {
                    '"' => quoted = !quoted,
                    '{' if !quoted => depth += 1,
                    '}' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (c == ',' && depth == 1 && !quoted) {
                    let done = std::mem::take(&mut element);
                    all.extend(Some(done.trim().to_string()).filter(|e| !e.is_empty()));
                } else {
                    element.push(c);
                }
            }
            if depth == 0 {
                break;
            }
            let Some(next) = lines.next() else { break };
            part = next;
            element.push(' ');
        }
    }
    out
}

/// An element's key: what it is found by.
fn key_of(element: &str) -> &str {
    const REST: [&str; 8] = [" timeout ", " expires ", " counter ", " comment ", " limit ", " quota ", " last ", " : "];
    let end = REST.iter().filter_map(|word| element.find(word)).min();
    end.map_or(element, |end| &element[..end])
}

/// An element without what moves by itself: its key, its value, and how long it may live.
fn lasting(element: &str) -> (&str, Option<&str>, Option<&str>) {
    let after = |word: &str| element.split_once(word).map(|(_, rest)| rest);
    let timeout = after(" timeout ").and_then(|rest| rest.split_whitespace().next());
    (key_of(element), timeout, after(" : "))
}

/// The objects of a table, by the first word or words of their blocks: (kind, name).
fn objects(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|l| l.starts_with('\t') && !l.starts_with("\t\t"))
        .filter_map(|l| {
            let head = l.trim().strip_suffix('{')?.trim();
            let (kind, name) = head.rsplit_once(' ')?;
            Some((kind.to_string(), name.to_string()))
        })
        .collect()
}

/// One transaction that leads these tables back. `in_place` keeps a table that is there and empties it, so that its place
/// among the others stays; else it is deleted and made again.
#[must_use]
pub fn script(tables: &[(Option<Table>, Option<Table>)], in_place: bool) -> String {
    let mut out = String::new();
    for (now, was) in tables {
        let Some(name) = now.as_ref().or(was.as_ref()).map(|t| &t.name) else { continue };
        match (now, was) {
            (Some(now), Some(_)) if in_place => {
                out += &format!("flush table {name}\n");
                let mut all = objects(&now.text);
                // Maps hold chains and objects; chains hold sets, and each other only by rules, which are gone.
                let rank = |kind: &str| match kind {
                    "map" => 0,
                    "chain" => 1,
                    "set" => 2,
                    _ => 3,
                };
                all.sort_by_key(|(kind, _)| rank(kind));
                for (kind, object) in all {
                    out += &format!("delete {kind} {name} {object}\n");
                }
            }
            (Some(_), _) => out += &format!("delete table {name}\n"),
            _ => {}
        }
        if let Some(was) = was {
            out += &was.text;
        }
    }
    out
}

/// What [`check`](script) of a listing needs: the tables made anew, whatever is there.
#[must_use]
pub fn anew(tables: &[&Table]) -> String {
    tables.iter().map(|t| format!("table {0}\ndelete table {0}\n{1}", t.name, t.text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet a {\n\tcounter c {\n\t\tpackets 5 bytes 10\n\t}\n\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags \
                           dynamic,timeout\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n\t}\n\n\tchain x {\n\t\ttype filter \
                           hook input priority filter; policy accept;\n\t}\n}\ntable ip b {\n}\n";

    fn table(name: &str, plain: &str) -> Table {
        Table { name: name.into(), text: format!("{plain} with counters"), plain: plain.into(), elements: plain.into() }
    }

    #[test]
    fn a_listing_is_told_apart() {
        let all = tables(LISTING, LISTING);
        assert_eq!(all.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["inet a", "ip b"]);
        assert_eq!(all.iter().map(|t| t.text.as_str()).collect::<String>(), LISTING);
        assert!(!all[0].plain.contains("10.0.0.2"), "dynamic elements come and go: {}", all[0].plain);
        assert!(all[0].plain.contains("chain x"));
        let script = script(&[(Some(all[0].clone()), Some(all[0].clone()))], true);
        assert!(
            script.starts_with(
                "flush table inet a\ndelete chain inet a x\ndelete set inet a s\ndelete counter inet a c\n"
            )
        );
    }

    #[test]
    fn only_what_the_step_changed_goes_back() {
        let (a, b, c) = (table("ip a", "1"), table("ip b", "1"), table("ip c", "1"));
        let (a2, c2) = (table("ip a", "2"), table("ip c", "3"));
        let back = back(
            &[a.clone(), b.clone(), c.clone()],
            &[a2.clone(), b.clone(), table("ip c", "2")],
            &[a2.clone(), table("ip b", "strange"), c2],
        );
        assert_eq!(back.tables, vec![(Some(a2), Some(a))]);
        assert_eq!(back.conflicts.len(), 1);
        assert!(back.conflicts[0].contains("`ip c`"));
    }

    #[test]
    fn of_a_set_that_moves_only_the_steps_own_elements_go_back() {
        let with = |elements: &str| {
            let text = format!(
                "table ip f {{\n\tset s {{\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\telements = {{ {elements} }}\n\t}}\n}}\n"
            );
            tables(&text, &text).remove(0)
        };
        let before = with("10.0.0.1 timeout 1h expires 9m comment \"a, b\",\n\t\t\t     10.0.0.2");
        let after = with("10.0.0.2, 10.0.0.3");
        let now = with("10.0.0.2,\n\t\t\t     10.0.0.3, 10.0.0.77");
        let (before, after) = ([before], [after]);
        let found = back(&before, &after, &[now]);
        assert!(found.tables.is_empty() && found.conflicts.is_empty());
        assert_eq!(
            found.elements,
            "delete element ip f s { 10.0.0.3 }\nadd element ip f s { 10.0.0.1 timeout 1h expires 9m comment \"a, b\" }\n"
        );
        let found = back(&before, &after, &[with("10.0.0.2, 10.0.0.1 timeout 5m")]);
        assert_eq!(found.elements, "", "what somebody else put in its place stays");
    }

    #[test]
    fn which_tables_a_ruleset_can_touch() {
        assert!(touches("add rule inet filter input accept", "inet filter"));
        assert!(!touches("add rule inet filter input accept", "ip nat"));
        assert!(touches("flush ruleset", "ip nat"));
        assert!(touches("include \"x\"", "ip nat"));
        assert!(touches("table ip nat{chain x{}}", "ip nat"));
    }
}

//! `docs/coverage.md`: what `ip link help` knows of each kind of link, beside what nsscript takes. The table comes from the
//! help of the `ip` at hand and from the program's own tables of options: `ACCEPT=1 cargo test --test coverage` writes it.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

use nsscript::builtins::link::KINDS;
use nsscript::builtins::link::kind::Choice;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// What `ip` prints, on either stream.
fn ip(args: &[&str]) -> Option<String> {
    let output = Command::new("ip").args(args).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr))
}

/// The kinds in the help of `ip link`: what is between the braces of `TYPE :=`.
fn types(help: &str) -> Vec<String> {
    let list = help.split("TYPE := {").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
    list.split('|').map(|word| word.trim().to_string()).filter(|word| !word.is_empty()).collect()
}

/// The names of options in the help of a kind. A name is a word in small letters at the place of one: at the beginning, after
/// a bracket, a bar or a value. What follows a name, or is in braces behind one, is its value.
fn options(kind: &str, help: &str) -> Vec<String> {
    let Some(rest) = help.split(&format!("Usage: ... {kind}")).nth(1) else { return Vec::new() };
    let (usage, more) = rest.split_once("\n\n").unwrap_or((rest, ""));
    // `[no][i|o]key`: three names; `no…` is the same option.
    let mut text = String::new();
    for word in usage.split_whitespace() {
        let plain = word.replace("[no]", "");
        let plain = plain.strip_prefix("no[").map_or(plain.clone(), |rest| format!("[{rest}"));
        match plain.strip_prefix("[i|o]") {
            Some(name) => write!(text, " {name} | i{name} | o{name} ").unwrap(),
            None => write!(text, " {plain} ").unwrap(),
        }
    }
    for mark in ["[", "]", "{", "}", "|"] {
        text = text.replace(mark, &format!(" {mark} "));
    }
    let is_name = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
            && word.chars().any(|c| c.is_ascii_lowercase())
    };
    let mut found: Vec<String> = Vec::new();
    let (mut after_name, mut values) = (false, 0);
    for word in text.split_whitespace() {
        match word {
            "{" if values > 0 || after_name => values += 1,
            "}" if values > 0 => {
                values -= 1;
                after_name = false;
            }
            _ if values > 0 => {}
            "[" | "]" | "{" | "}" | "|" => after_name = false,
            _ if !after_name && is_name(word) => {
                found.push(word.to_string());
                after_name = true;
            }
            _ => after_name = false,
        }
    }
    // Options of one mode are told of below.
    for line in more.lines().filter(|l| l.starts_with(char::is_whitespace)) {
        found.extend(line.split_whitespace().next().filter(|w| is_name(w)).map(str::to_string));
    }
    found.sort();
    found.dedup();
    found
}

/// Our table of a kind as `ip` names it; `None` where there is no such kind.
fn table(kind: &str) -> Option<&'static [Choice]> {
    match kind.strip_suffix("_slave") {
        Some(master) => KINDS.iter().find(|(name, _, port)| *name == master && !port.is_empty()).map(|(_, _, p)| *p),
        None => KINDS.iter().find(|(name, _, _)| *name == kind).map(|(_, options, _)| *options),
    }
}

/// Other words for an option (ip/iplink_bond.c, ip/iplink_bridge_slave.c).
const ALIASES: &[(&str, &str)] = &[("num_unsol_na", "num_grat_arp"), ("mcast_fast_leave", "fastleave")];

/// What the help of a kind names, but `ip` sends for another kind only (ip/link_iptnl.c: of `sit`; ip/link_gre6.c: of
/// `ip6erspan`).
const IDLE: &[(&str, &[&str])] = &[
    ("ipip", &["6rd-prefix", "6rd-relay_prefix", "6rd-reset"]),
    ("ip6gre", &["erspan", "erspan_dir", "erspan_hwid", "erspan_ver"]),
    ("ip6gretap", &["erspan", "erspan_dir", "erspan_hwid", "erspan_ver"]),
];

fn is_idle(kind: &str, option: &str) -> bool {
    IDLE.iter().any(|(name, options)| *name == kind && options.contains(&option))
}

/// Whether an option of `ip` is one of ours, by its word or by the key in scripts.
fn takes(table: &[Choice], option: &str) -> bool {
    let option = ALIASES.iter().find(|(other, _)| *other == option).map_or(option, |(_, name)| *name);
    let plain = |text: &str| text.replace('-', "_");
    let has = |option: &str| {
        table.iter().any(|c| c.word.split(' ').any(|w| plain(w) == plain(option)) || plain(c.key) == plain(option))
    };
    has(option) || option.strip_prefix("no").is_some_and(has)
}

/// The page, of kinds with their options.
fn page(version: &str, kinds: &BTreeMap<String, Vec<String>>) -> String {
    let mut rows = String::new();
    let (mut done, mut all) = (0, 0);
    for (kind, options) in kinds {
        let Some(table) = table(kind) else {
            let names = options.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(" ");
            all += options.len();
            writeln!(rows, "| {kind} | no | | {names} | |").unwrap();
            continue;
        };
        let (idle, options): (Vec<&String>, Vec<&String>) = options.iter().partition(|o| is_idle(kind, o));
        let (yes, no): (Vec<&String>, Vec<&String>) = options.iter().partition(|o| takes(table, o));
        let names = |all: &[&String]| all.iter().map(|o| format!("`{o}`")).collect::<Vec<_>>().join(" ");
        done += yes.len();
        all += options.len();
        writeln!(rows, "| {kind} | yes | {} | {} | {} |", names(&yes), names(&no), names(&idle)).unwrap();
    }
    let made = kinds.keys().filter(|kind| table(kind).is_some()).count();
    format!(
        "# Links, beside those of iproute2\n\n\
         Kinds and options in the help of `ip link` ({version}), and whether scripts have them. Written by \
         `ACCEPT=1 cargo test --test coverage`, which otherwise fails where the table is not what the program can do.\n\n\
         {made} of {} kinds, {done} of {all} options. Some the help names for a kind of which `ip` sends nothing for them.\n\n\
         | kind | made | options | not yet | without effect in `ip` |\n|---|---|---|---|---|\n{rows}",
        kinds.len()
    )
}

/// The kinds and options in a page.
fn read(page: &str) -> BTreeMap<String, Vec<String>> {
    let rows = page.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| kind"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let kind = cells.first().map_or("", |c| c.trim()).to_string();
        let mut options: Vec<String> =
            cells.iter().skip(2).flat_map(|c| c.split('`').skip(1).step_by(2)).map(str::to_string).collect();
        options.sort();
        (kind, options)
    })
    .collect()
}

fn version_of(page: &str) -> String {
    page.split("`ip link` (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default().to_string()
}

#[test]
fn the_table_is_true() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/coverage.md");
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    let version = ip(&["-V"]).unwrap_or_default();
    let version = version.split([',', ' ']).find(|w| w.starts_with("iproute2-")).unwrap_or_default().to_string();
    let help = ip(&["link", "help"]).unwrap_or_default();
    if std::env::var_os("ACCEPT").is_some() || version == version_of(&there) {
        let kinds = types(&help)
            .into_iter()
            .map(|kind| {
                let options = options(&kind, &ip(&["link", "help", &kind]).unwrap_or_default());
                (kind, options)
            })
            .collect();
        let wanted = page(&version, &kinds);
        if std::env::var_os("ACCEPT").is_some() {
            std::fs::write(&file, wanted).unwrap();
            return;
        }
        assert!(kinds.len() > 20 && kinds["bridge"].len() > 20, "the help of ip was not understood");
        assert_eq!(there, wanted, "docs/coverage.md is out of date: ACCEPT=1 cargo test --test coverage");
    }
    // Of another iproute2 the names are those in the page.
    let known = read(&there);
    assert!(known.len() > 20, "docs/coverage.md can't be read");
    assert_eq!(there, page(&version_of(&there), &known), "docs/coverage.md is not what the program can do");
}

#[test]
fn help_is_understood() {
    let help = "Usage: ... x id VNI\n\t[ { group | remote } IP ]\n\t[ [no]learning ]\n\t[ [no][i|o]seq ]\n\t[ [i|o]key KEY | no[i|o]key ]\n\t\
                [ guard {on | off} ]\n\t[ dscp inherit ]\n\t[ replay { on | off} window { 0..2^32-1 } ]\n\t[ a|b A|B ]\n\nWhere:\tVNI := 0-1\n";
    let found = options("x", help);
    let wanted = [
        "a", "b", "dscp", "group", "guard", "id", "ikey", "iseq", "key", "learning", "okey", "oseq", "remote",
        "replay", "seq", "window",
    ];
    assert_eq!(found, wanted);
}

//! The house rules that a compiler does not hold: which room may use what, what may not stand in `src`, that no case
//! and no script is forgotten, that every script function is described with an example.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

mod common;

use std::path::{Path, PathBuf};

/// A source file: its path below the package, and its text without comments and without the module of its tests.
struct Source {
    path: String,
    code: String,
}

fn sources() -> Vec<Source> {
    common::files(&common::root().join("src"), "rs")
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let relative = path.strip_prefix(common::root()).unwrap_or(&path).to_string_lossy().into_owned();
            Source { code: plain(&text), path: relative }
        })
        .filter(|s| !s.path.ends_with("/tests.rs") && !s.path.ends_with("/sample.rs"))
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The text without comments and without what is for tests only, line for line.
fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<&str> = Vec::new();
    // What is for tests only goes to the line that closes it: a `}` as far to the left as the attribute.
    let mut within: Option<usize> = None;
    for line in lines {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if trimmed.starts_with("#[cfg(test)]") {
            within = Some(depth);
        }
        let test_only = within.is_some();
        let closes = trimmed == "}" || (trimmed.starts_with("mod ") && trimmed.ends_with(';'));
        if within.is_some_and(|d| closes && depth == d) {
            within = None;
        }
        out.push(match test_only || trimmed.starts_with("//") {
            true => "",
            false => line.split(" // ").next().unwrap_or(line),
        });
    }
    while out.last().is_some_and(|l| l.is_empty()) {
        out.pop();
    }
    out.join("\n")
}

/// Whether `code` names a path such as `tokio` or `std::fs`: the word, and not as a part of another.
fn names(code: &str, word: &str) -> Option<usize> {
    code.lines().enumerate().find_map(|(n, line)| {
        let found = line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
            // `self::nix` or a field `.tokio` are other things; a string is none either.
            apart(before)
                && before != Some('.')
                && before != Some('`')
                && before != Some('"')
                && apart(after)
                && (word.contains("::")
                    || word.ends_with('!')
                    || line[at + word.len()..].starts_with("::")
                    || line.trim_start().starts_with("use "))
        });
        found.then_some(n + 1)
    })
}

/// A file, what it uses all the same, and the reason.
type Exception = (&'static str, &'static str, &'static str);

/// The rooms, what they never touch, and the exceptions.
const ROOMS: &[(&str, &[&str], &[Exception])] = &[
    (
        "src/plan/",
        &[
            "rhai",
            "tokio",
            "nix",
            "rtnetlink",
            "netlink_sys",
            "std::fs",
            "std::process",
            "std::thread",
            "std::net::UdpSocket",
            "std::net::TcpStream",
            "println!",
            "eprintln!",
            "crate::kernel",
            "crate::txn",
            "crate::engine",
            "crate::builtins",
            "crate::report",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/txn/",
        &[
            "rhai",
            "rtnetlink",
            "netlink_sys",
            "println!",
            "eprintln!",
            "crate::engine",
            "crate::builtins",
            "crate::report",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/kernel/",
        &[
            "rhai",
            "println!",
            "eprintln!",
            "crate::txn",
            "crate::report",
            "crate::engine",
            "crate::builtins",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/report/",
        &[
            "rhai",
            "nix",
            "tokio",
            "rtnetlink",
            "netlink_sys",
            "std::process",
            "crate::kernel",
            "crate::txn",
            "crate::engine",
            "crate::builtins",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/builtins/",
        &[
            "nix",
            "rtnetlink",
            "netlink_sys",
            "netlink_packet_route",
            "netlink_packet_core",
            "println!",
            "eprintln!",
            "std::process::Command",
            "crate::txn",
            "crate::cli",
        ],
        &[("src/builtins/show.rs", "crate::txn", "where a veth's other end is: the same question as the undo's")],
    ),
    (
        "src/engine/",
        &[
            "nix",
            "rtnetlink",
            "netlink_sys",
            "println!",
            "eprintln!",
            "std::process::Command",
            "crate::builtins",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/repl/",
        &[
            "nix",
            "rtnetlink",
            "netlink_sys",
            "netlink_packet_route",
            "netlink_packet_core",
            "tokio",
            "println!",
            "eprintln!",
            "std::process::Command",
            "crate::cli",
        ],
        &[],
    ),
    (
        "src/engine/",
        &["crate::txn"],
        &[
            ("src/engine/session.rs", "crate::txn", "the session is where kernel, transaction and report meet"),
            ("src/engine/host.rs", "crate::txn", "gives the report of an undo on"),
        ],
    ),
];

#[test]
fn rooms_keep_to_themselves() {
    let mut found = Vec::new();
    for source in sources() {
        for (room, never, but) in ROOMS {
            if !source.path.starts_with(room) {
                continue;
            }
            for word in *never {
                let allowed = but.iter().any(|(path, may, _)| source.path == *path && may == word);
                if let Some(line) = names(&source.code, word).filter(|_| !allowed) {
                    found.push(format!("{}:{line}: {room} never touches {word}", source.path));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn exceptions_are_still_needed() {
    let all = sources();
    for (_, _, but) in ROOMS {
        for (path, word, reason) in *but {
            let source = all.iter().find(|s| s.path == *path);
            assert!(
                source.is_some_and(|s| names(&s.code, word).is_some()),
                "{path} uses {word} no more ({reason}): strike it out"
            );
        }
    }
}

#[test]
fn nothing_panics_on_purpose() {
    let mut found = Vec::new();
    for source in sources() {
        for (n, line) in source.code.lines().enumerate() {
            for word in ["todo!(", "unimplemented!(", "dbg!(", ".unwrap()", ".expect(", "panic!("] {
                if line.contains(word) {
                    found.push(format!("{}:{}: {word}", source.path, n + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A file is one room: as much as a reader takes in.
const MOST_LINES: usize = 800;

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.code.lines().count();
        if lines > MOST_LINES {
            found.push(format!("{}: {lines} lines without its tests, at most {MOST_LINES}", source.path));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_is_explained() {
    let mut found = Vec::new();
    for path in common::files(&common::root().join("src"), "rs") {
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !(code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")) {
                continue;
            }
            let near = lines[n.saturating_sub(6)..=n].iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety"));
            if !near {
                found.push(format!("{}:{}", path.display(), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "no SAFETY comment at:\n{}", found.join("\n"));
}

/// What the comments of a case may say: a misspelt key would say nothing.
const KEYS: &[&str] = &["expect", "exit", "error", "no-error", "error-at", "args", "flags", "needs", "needs-kernel"];

#[test]
fn every_case_is_run_and_expects_something_known() {
    let dir = common::root().join("tests/suite");
    let mut found = Vec::new();
    let mut stack = vec![dir.clone()];
    let mut cases = 0;
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the suite").flatten() {
            let path = entry.path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_none_or(|e| e != "rhai") {
                found.push(format!("{}: not a case, so it is never run", path.display()));
            } else {
                cases += 1;
                for line in read(&path).lines() {
                    let Some((key, _)) = line.trim_start().strip_prefix("// ").and_then(|l| l.split_once(": ")) else {
                        continue;
                    };
                    // A key is one word; prose with a colon has more of them.
                    let like = KEYS.iter().any(|k| *k != key && strsim::levenshtein(k, key) <= 2);
                    if !KEYS.contains(&key) && like {
                        found.push(format!("{}: `{key}:` is no expectation", path.display()));
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(cases >= 200, "only {cases} cases are left");
}

#[test]
fn modules_of_the_suite_are_imported() {
    let dir = common::root().join("tests/suite");
    let all: Vec<(PathBuf, String)> = common::files(&dir, "rhai").into_iter().map(|p| (p.clone(), read(&p))).collect();
    for (path, _) in &all {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem.starts_with('_') {
            assert!(
                all.iter().any(|(_, text)| text.contains(&format!("import \"{stem}"))),
                "nobody imports {}",
                path.display()
            );
        }
    }
}

#[test]
fn folders_of_the_suite_are_families() {
    for entry in std::fs::read_dir(common::root().join("tests/suite")).expect("the suite").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let family = common::root().join(format!("src/builtins/{name}.rs")).is_file()
            || common::root().join(format!("src/builtins/{name}/mod.rs")).is_file();
        let other = ["errors", "import", "lang", "modules", "undo"].contains(&name.as_str());
        assert!(family || other, "tests/suite/{name} is neither a file of src/builtins nor one of those above");
    }
    for path in common::files(&common::root().join("src/builtins"), "rs") {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let here = path.parent().is_some_and(|p| p.ends_with("builtins"));
        if here && stem != "mod" && stem != "show" {
            let folder = common::root().join("tests/suite").join(&stem);
            assert!(folder.is_dir(), "there are no cases of src/builtins/{stem}.rs: make tests/suite/{stem}/");
        }
    }
}

/// Every script that users get is run by some test: its name, its folder, or the whole tree stands in a test program.
#[test]
fn every_script_is_known_to_a_test() {
    let tests: String = common::files(&common::root().join("tests"), "rs").iter().map(|p| read(p)).collect();
    let mut found = Vec::new();
    for dir in ["scripts", "stdlib"] {
        for path in common::files(&common::root().join(dir), "rhai") {
            let relative = path.strip_prefix(common::root()).unwrap_or(&path);
            let known = std::iter::successors(Some(relative), |p| p.parent()).any(|part| {
                let word = part.to_string_lossy();
                !word.is_empty() && tests.contains(&format!("\"{word}\""))
            });
            if !known {
                found.push(relative.display().to_string());
            }
        }
    }
    assert!(found.is_empty(), "no test runs:\n{}", found.join("\n"));
}

#[test]
fn every_function_is_described_with_an_example() {
    let mut documented = std::collections::BTreeMap::new();
    for function in common::functions().into_iter().chain(common::stdlib()) {
        if common::is_plumbing(&function.name) {
            continue;
        }
        let examples = common::examples(&function.name, &function.comments).len();
        let entry = documented.entry(function.name).or_insert((0usize, 0usize));
        entry.0 += function.comments.len();
        entry.1 += examples;
    }
    let bare: Vec<&String> =
        documented.iter().filter(|(_, (_, examples))| *examples == 0).map(|(name, _)| name).collect();
    assert!(bare.is_empty(), "no ```rhai example at: {bare:?}");
    assert!(documented.len() > 70, "only {} functions were found", documented.len());
}

/// docs/kinds.md has a row for each link kind, qdisc, filter and action that there is, and no others. Its counts are compared by
/// tests/kinds.rs.
#[test]
fn the_page_of_kinds_has_them_all() {
    let text = read(&common::root().join("docs/kinds.md"));
    let (links, queues) = text.split_once("## Queues").expect("a table of queues");
    let (queues, filters) = queues.split_once("## Filters").expect("a table of filters");
    let rows = |part: &str| -> Vec<String> {
        let row = |line: &str| line.strip_prefix("| `").and_then(|l| l.split('`').next()).map(str::to_string);
        part.lines().filter_map(row).collect()
    };
    // A tap is a tun of another mode, and a bridge that tells vlans apart needs more of the kernel than one that does not.
    let mut wanted: Vec<String> = nsscript::builtins::link::KINDS.iter().map(|(name, _, _)| name.to_string()).collect();
    wanted.extend(["bridge_vlan", "tap"].map(str::to_string));
    wanted.sort();
    assert_eq!(
        rows(links),
        wanted,
        "ACCEPT=1 cargo test --test kinds writes docs/kinds.md; new kinds go into tests/kinds.rs"
    );
    let wanted: Vec<String> = nsscript::plan::tc::qdisc::KINDS.iter().map(|(name, _, _)| name.to_string()).collect();
    assert_eq!(
        rows(queues),
        wanted,
        "ACCEPT=1 cargo test --test kinds writes docs/kinds.md; new qdiscs go into tests/kinds/queues.rs"
    );
    let actions = nsscript::plan::tc::action::KINDS.iter().map(|kind| format!("action {kind}"));
    let wanted: Vec<String> =
        actions.chain(nsscript::plan::tc::filter::KINDS.iter().map(ToString::to_string)).collect();
    assert_eq!(
        rows(filters),
        wanted,
        "ACCEPT=1 cargo test --test kinds writes docs/kinds.md; new filters go into tests/kinds/filters.rs"
    );
}

/// `use` lines and words that would tie the tree to one machine.
#[test]
fn nothing_names_this_machine() {
    let mut found = Vec::new();
    for dir in ["src", "tests", "scripts", "stdlib", "docs"] {
        for ext in ["rs", "rhai", "md"] {
            for path in common::files(&common::root().join(dir), ext) {
                let text = read(&path);
                let home = ["/ho", "me/"].concat();
                for (n, line) in
                    text.lines().enumerate().filter(|(_, l)| l.contains(&home) || l.contains(&["/wo", "rk/"].concat()))
                {
                    found.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

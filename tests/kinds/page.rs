//! docs/kinds.md: what was tested of each kind, in this kernel and in the full one. With `ACCEPT=1` the counts of a run
//! take the place of those that are there; without, each case's count has to be the one of the page.

use super::common::{self, root};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The columns, for each kernel.
pub const PARTS: [&str; 6] = ["made", "shown", "changed", "undone", "across", "cut"];
/// The first of them are those of a queue or a filter, which is on one link.
const QUEUE_PARTS: usize = 4;
const PAGE: &str = "docs/kinds.md";
/// Not in the kernel.
const MISSING: &str = "–";
/// Nothing to test: a kind without options that could be changed, or that is in one namespace.
const NOTHING: &str = "";

/// 0: an ordinary kernel; 1: the full one of tests/full-kernel, which says so.
fn column() -> usize {
    usize::from(std::env::var_os("FULL_KERNEL").is_some())
}

pub fn accepting() -> bool {
    std::env::var_os("ACCEPT").is_some()
}

/// Where the cases of a run, each a process, leave their counts.
fn counts() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kinds-{}.tsv", column()))
}

/// A table of the page: by name the cells, first those of one kernel, then those of the other.
type Table = BTreeMap<String, Vec<String>>;

/// The tables, in their order.
pub const TITLES: [&str; 3] = ["Links", "Queues", "Filters and actions"];

/// The page: the kernels' names and the tables.
struct Page {
    kernels: [String; 2],
    tables: [Table; TITLES.len()],
}

fn blank() -> Vec<String> {
    vec![NOTHING.to_string(); 2 * PARTS.len()]
}

fn read() -> Page {
    let text = std::fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    let mut page = Page { kernels: [String::new(), String::new()], tables: [const { Table::new() }; TITLES.len()] };
    let mut at = 0;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            at = TITLES.iter().position(|t| *t == title).unwrap_or_default();
        }
        for (n, what) in ["here: Linux ", "full: Linux "].iter().enumerate() {
            if let Some(version) = line.strip_prefix("- ").and_then(|l| l.strip_prefix(what)) {
                page.kernels[n] = version.split(',').next().unwrap_or_default().to_string();
            }
        }
        let Some(name) = line.strip_prefix("| `").and_then(|l| l.split('`').next()) else { continue };
        let cells: Vec<String> = line.split('|').skip(2).map(|c| c.trim().to_string()).collect();
        let mut row = blank();
        row.iter_mut().zip(cells).for_each(|(to, from)| *to = from);
        page.tables[at].insert(name.to_string(), row);
    }
    page
}

fn write(page: &Page) -> String {
    let mut out = String::from(
        "# Link kinds and queues, tested\n\n\
        Made by the tests, not by hand: `ACCEPT=1 cargo test --test kinds` writes the counts of the kernel that runs it,\n\
        `tests/full-kernel/run kinds --accept` those of the full one. A test compares them with what it counts.\n\n",
    );
    let _ = writeln!(out, "- here: Linux {}, as it runs on the machine that tests", page.kernels[0]);
    let _ = writeln!(out, "- full: Linux {}, Debian's, in a machine of its own (tests/full-kernel)\n", page.kernels[1]);
    out += "**made**: nsscript's and `ip`'s (`tc`'s) show as equal in all that `ip -d -j` (`tc -d`) tells. **shown**: options that\n\
        `links()` and `qdiscs()` show as they were given. **changed**: as `ip link set` and `tc qdisc change` do, and back by the\n\
        undo. **undone**: made by nsscript and gone; made by others, deleted or replaced by nsscript and back as it was, within the\n\
        run and later by `down`. **across**: made over a link in another namespace, or with its other end there, as `ip` makes it,\n\
        and undone. **cut**: a script that does everything to such a link, cut at each of its steps by an error or by SIGKILL, and
\
        all is as it was. The numbers count the checks; – stands for a kernel without the kind. Where\n\
        nothing stands, there is nothing to test, or it has not been counted on that kernel yet.\n";
    for (title, table) in TITLES.iter().zip(&page.tables) {
        let parts = if *title == "Links" { PARTS.len() } else { QUEUE_PARTS };
        let head = |kernel: &str| PARTS[..parts].iter().map(|p| format!(" {kernel} {p} |")).collect::<String>();
        let _ = write!(out, "\n## {title}\n\n| kind |{}{}\n|---|", head("here:"), head("full:"));
        out += &"---:|".repeat(2 * parts);
        out.push('\n');
        for (name, row) in table {
            let cells = row.chunks(PARTS.len()).flat_map(|half| &half[..parts]);
            let _ = writeln!(out, "| `{name}` |{}", cells.map(|c| format!(" {c} |")).collect::<String>());
        }
    }
    out
}

/// The cells of a row of the other tables than the links' are fewer: here they stand where they stand in all.
fn spread(page: &mut Page) {
    let parts = QUEUE_PARTS;
    for row in page.tables[1..].iter_mut().flat_map(BTreeMap::values_mut) {
        let cells: Vec<String> = row[..2 * parts].to_vec();
        *row = blank();
        for half in 0..2 {
            row[half * PARTS.len()..half * PARTS.len() + parts]
                .clone_from_slice(&cells[half * parts..(half + 1) * parts]);
        }
    }
}

fn there() -> Page {
    let mut page = read();
    spread(&mut page);
    page
}

/// What a case counted: to be written into the page, or to be as it is there.
///
/// # Errors
/// It is not.
pub fn counted(table: usize, name: &str, found: &[(&str, usize)]) -> Result<(), String> {
    if accepting() {
        use std::io::Write as _;
        let mut lines = String::new();
        for (part, count) in found {
            let _ = writeln!(lines, "{table}\t{name}\t{part}\t{count}");
        }
        let path = counts();
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
        return file.and_then(|mut f| f.write_all(lines.as_bytes())).map_err(|e| format!("{}: {e}", path.display()));
    }
    let page = there();
    let row = page.tables[table].get(name).ok_or_else(|| format!("{PAGE} has no row for `{name}`"))?;
    for (part, count) in found {
        let at = PARTS.iter().position(|p| p == part).ok_or("no such column")?;
        // A kernel that has more than the one of the page is no mistake: the other one's count holds too.
        let told = [&row[at], &row[at + PARTS.len()]];
        // Where nobody has counted yet, there is nothing to compare with.
        if told.iter().all(|t| **t == NOTHING || **t == MISSING) {
            continue;
        }
        if told.iter().all(|t| **t != count.to_string()) {
            return Err(format!(
                "{name}: {count} checks of what is {part}, but {PAGE} tells {told:?}: ACCEPT=1 writes it anew"
            ));
        }
    }
    Ok(())
}

/// Before a run: no counts of an earlier one.
pub fn begin() {
    if accepting() {
        let _ = std::fs::remove_file(counts());
    }
}

/// After a run: its counts into the page, with what `kinds` tells of each kind: its table, its name, and
/// the feature that the kernel needs for it.
///
/// # Errors
/// The page can't be written.
pub fn end(kinds: &[(usize, &str, Option<&str>)]) -> Result<(), String> {
    if !accepting() {
        return Ok(());
    }
    let mut page = there();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    page.kernels[column()] = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let from = column() * PARTS.len();
    for (n, table) in page.tables.iter_mut().enumerate() {
        table.retain(|name, _| kinds.iter().any(|(of, kind, _)| *of == n && kind == name));
    }
    for (table, name, feature) in kinds {
        let row = page.tables[*table].entry((*name).to_string()).or_insert_with(blank);
        let has = feature.map_or(Ok(true), common::kernel_has)?;
        for cell in &mut row[from..from + PARTS.len()] {
            if !has {
                *cell = MISSING.into();
            } else if *cell == MISSING {
                *cell = NOTHING.into();
            }
        }
    }
    for line in std::fs::read_to_string(counts()).unwrap_or_default().lines() {
        let [table, name, part, count] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let at = PARTS.iter().position(|p| *p == part).ok_or("no such column")?;
        let table: usize = table.parse().map_err(|e| format!("{e}: {line}"))?;
        let row = page.tables.get_mut(table).and_then(|t| t.get_mut(name)).ok_or("no such kind")?;
        row[from + at] = count.to_string();
    }
    let path = root().join(PAGE);
    std::fs::write(&path, write(&page)).map_err(|e| format!("{}: {e}", path.display()))
}

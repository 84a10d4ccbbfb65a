//! Rulesets of nft in the undo: read before and after, and led back table by table.

use super::journal::Story;
use super::rollback::Expected;
use super::{Entry, Report, Txn, Undo};
use crate::kernel::Kernel;
use crate::plan::nft::{self, Table};
use crate::plan::{Error, Kind, Ns, Result, Verb};
use std::collections::{BTreeMap, BTreeSet};

/// The tables that are there and that the text can change.
///
/// # Errors
/// There is no nft, or it can't read the ruleset.
pub(super) fn tables(kernel: &dyn Kernel, ns: &Ns, ruleset: &str) -> Result<Vec<Table>> {
    let listing = kernel.nft(ns, &["list", "ruleset"], "")?;
    if listing.trim().is_empty() {
        return Ok(Vec::new());
    }
    let stateless = kernel.nft(ns, &["-s", "list", "ruleset"], "")?;
    let mut all = nft::tables(&listing, &stateless);
    all.retain(|t| nft::touches(ruleset, &t.name));
    Ok(all)
}

/// Whether what was listed can be loaded again: nft tries it, without doing it.
///
/// # Errors
/// `unsupported`: the step could not be undone.
pub(super) fn check(kernel: &dyn Kernel, ns: &Ns, before: &[Table]) -> Result<()> {
    for table in before {
        if let Err(error) = kernel.nft(ns, &["-c", "-f", "-"], &nft::anew(&[table])) {
            let mut refusal = Error::new(
                Kind::Unsupported,
                format!(
                    "nft table `{}` in {} was there before, and a change of it could not be undone: nft can't read back \
                     what it lists of it",
                    table.name,
                    ns.label()
                ),
            )
            .with_op("nft")
            .with_ns(&ns.name)
            .with_target(&table.name)
            .with_hint("put your rules into a table of another name; or run nft by exec_in(ns, …), which is not undone");
            refusal.kernel = error.kernel;
            return Err(refusal);
        }
    }
    Ok(())
}

/// The tables that the text names, as they are once it was loaded over those of `before`. Whether it was, the comparison with
/// what is there tells; and where that is neither, somebody else has changed them since.
pub(super) fn loaded(kernel: &dyn Kernel, ns: &Ns, before: &[Table], ruleset: &str) -> Option<Vec<Table>> {
    let now = tables(kernel, ns, ruleset).ok()?;
    let same = |a: &Table, b: &Table| a.name == b.name && a.plain == b.plain;
    if now.len() == before.len() && now.iter().zip(before).all(|(a, b)| same(a, b)) {
        return Some(now);
    }
    // Tried in a namespace without a name. Where that can't take it (a device is missing there) it is taken for loaded.
    let mut verb = Verb::NetnsAdd { name: "/trial".into(), cookie: 0 };
    let Ok(Verb::NetnsAdd { name, cookie }) = kernel.prepare(&mut verb).map(|()| verb) else { return Some(now) };
    let trial = Ns { cookie, name };
    let text = nft::anew(&before.iter().collect::<Vec<_>>());
    let tried = kernel
        .nft(&trial, &["-f", "-"], &text)
        .and_then(|_| kernel.nft(&trial, &["-f", "-"], ruleset))
        .and_then(|_| tables(kernel, &trial, ruleset));
    kernel.release(&trial);
    Some(tried.unwrap_or(now))
}

/// In words, the tables of a lab that are not as it left them: gone, or, where their text was written down, another one.
pub(super) fn drift(kernel: &dyn Kernel, story: &Story) -> Vec<String> {
    type Tables = (Ns, BTreeSet<String>, BTreeMap<String, Option<String>>);
    let mut spaces: BTreeMap<u64, Tables> = BTreeMap::new();
    for entry in story.entries.iter().filter(|e| !story.owed.contains(&e.seq)) {
        if let Some(Verb::NetnsDel { ns }) = &entry.verb {
            spaces.remove(&ns.cookie);
        }
        let Some(Verb::NftLoad { ns, ruleset }) = &entry.verb else { continue };
        let (_, made, written) =
            spaces.entry(ns.cookie).or_insert_with(|| (ns.clone(), BTreeSet::new(), BTreeMap::new()));
        nft::follow(ruleset, made);
        if let Undo::Nft { before, after: Some(after), .. } = &entry.undo {
            written.extend(before.iter().map(|t| (t.name.clone(), None)));
            written.extend(after.iter().map(|t| (t.name.clone(), Some(t.plain.clone()))));
        }
    }
    let mut out = Vec::new();
    for (ns, made, written) in spaces.values() {
        let Ok(true) = kernel.reopen(ns, None) else { continue };
        // All of them.
        let Ok(now) = tables(kernel, ns, "flush ruleset") else { continue };
        let find = |name: &str| now.iter().find(|t| t.name == name);
        for name in made.iter().filter(|name| find(name).is_none()) {
            out.push(format!("{}: nft table `{name}` is gone", ns.label()));
        }
        for (name, was) in written.iter().filter(|(name, _)| find(name).is_some() || !made.contains(*name)) {
            if find(name).map(|t| &t.plain) != was.as_ref() {
                out.push(format!("{}: nft table `{name}` was changed", ns.label()));
            }
        }
    }
    out
}

impl Txn {
    pub(super) fn restore_nft(
        &mut self,
        entry: &Entry,
        ns: &Ns,
        before: &[Table],
        after: Option<&[Table]>,
        report: &mut Report,
        expected: &mut Expected,
    ) {
        let ruleset = match &entry.verb {
            Some(Verb::NftLoad { ruleset, .. }) => ruleset.as_str(),
            _ => "",
        };
        let now = match tables(&*self.kernel, ns, ruleset) {
            Ok(now) => now,
            Err(error) if error.kind == Kind::NotFound && self.kernel.inode(ns).is_err() => {
                report.notes.push(format!("{} is gone: its ruleset went with it", ns.label()));
                return;
            }
            Err(error) => {
                report.errors.push(error.to_string());
                return;
            }
        };
        let back = nft::back(before, after.unwrap_or(&now), &now);
        report.differences.extend(back.conflicts.iter().map(|c| format!("{}: {c}", ns.label())));
        if !back.elements.is_empty() {
            let ruleset = back.elements.clone();
            self.step(entry.seq, &Verb::NftLoad { ns: ns.clone(), ruleset }, report, &[]);
        }
        if back.tables.is_empty() {
            return;
        }
        let load = |in_place: bool| Verb::NftLoad { ns: ns.clone(), ruleset: nft::script(&back.tables, in_place) };
        // Emptied and filled again a table keeps its place; where that is refused (its flags differ) it is made anew.
        let mut first = Report::default();
        if !self.step(entry.seq, &load(true), &mut first, &[]) {
            self.step(entry.seq, &load(false), report, &[]);
        }
        for (now, was) in back.tables {
            let Some(name) = now.as_ref().or(was.as_ref()).map(|t| t.name.clone()) else { continue };
            // Undone later means done earlier: what was before the first step counts.
            expected.nft.retain(|(n, t, _)| !n.is(ns) || *t != name);
            expected.nft.push((ns.clone(), name, was));
        }
    }

    /// Looks again at the tables that were led back.
    pub(super) fn verify_nft(&self, wanted: &[(Ns, String, Option<Table>)], report: &mut Report) {
        for (ns, name, was) in wanted {
            let short = name.split_once(' ').map_or(name.as_str(), |(_, n)| n);
            match tables(&*self.kernel, ns, short) {
                Ok(now) => {
                    let is = now.iter().find(|t| t.name == *name).map(|t| &t.plain);
                    if is != was.as_ref().map(|t| &t.plain) {
                        report.differences.push(format!("{}: nft table `{name}` is not as it was", ns.label()));
                    }
                }
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => report.errors.push(error.to_string()),
            }
        }
    }
}

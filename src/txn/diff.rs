//! What a run has changed so far, in words.

use super::{Txn, Undo};
use crate::kernel::By;
use crate::plan::nft::Table;
use crate::plan::{Ns, Result, State, Verb, What};
use std::collections::{BTreeMap, BTreeSet};

impl Txn {
    /// What is other than before the run, by what the run did; a stranger's changes to the same facts show too. A namespace
    /// of the run's own is told by what is in it.
    ///
    /// # Errors
    /// Netlink refuses.
    pub fn differences(&self) -> Result<Vec<String>> {
        let mut made: Vec<&Ns> = Vec::new();
        let mut unbound: Vec<&Ns> = Vec::new();
        // The first state that was read of each namespace, and what the steps changed in it.
        let mut places: BTreeMap<u64, (&Ns, &State, BTreeSet<String>)> = BTreeMap::new();
        let mut links: Vec<(Ns, u32)> = Vec::new();
        let mut other: Vec<String> = Vec::new();
        for entry in &self.entries {
            match (&entry.undo, &entry.verb) {
                (Undo::Unbind { ns }, _) => made.push(ns),
                (Undo::Rebind { .. }, Some(Verb::NetnsAttach { .. })) => {
                    if let Some(ns) = entry.outcome.as_ref().and_then(|o| o.ns.as_ref()) {
                        other.push(format!("namespace `{}` is a new name", ns.name));
                    }
                }
                (Undo::Rebind { ns }, _) => unbound.push(ns),
                (Undo::Delete { ns, link }, _) => links.push(self.locate(ns, link.index)),
                (Undo::Restore { changes, .. }, _) => {
                    for change in changes.iter().filter(|c| c.only == 0) {
                        let place = places
                            .entry(change.ns.cookie)
                            .or_insert_with(|| (&change.ns, &change.before, BTreeSet::new()));
                        if let Some(after) = &change.after {
                            place.2.extend(change.before.changed(after));
                        }
                    }
                }
                (Undo::Nft { ns, before, after }, _) => {
                    let after = after.as_deref().unwrap_or_default();
                    let both = || before.iter().chain(after);
                    let differs = |t: &Table| {
                        let all: Vec<&Table> = both().filter(|o| o.name == t.name).collect();
                        all.len() == 1 || all.iter().any(|o| o.plain != t.plain)
                    };
                    let mut names: Vec<&str> = both().filter(|t| differs(t)).map(|t| t.name.as_str()).collect();
                    names.sort_unstable();
                    names.dedup();
                    other.extend(names.iter().map(|n| format!("{}: nft table `{n}` is changed", ns.label())));
                }
                (Undo::File { path, before, .. }, _) => {
                    let what = if before.is_some() { "changed" } else { "new" };
                    other.push(format!("file `{path}` is {what}"));
                }
                (Undo::Process { pid, start_time, tag }, Some(Verb::ProcessStart { words, .. }))
                    if self.kernel.runs(*pid, *start_time, tag) =>
                {
                    other.push(format!("process {pid} runs: {words}"));
                }
                (Undo::Lost { what }, _) => other.push(what.clone()),
                _ => {}
            }
        }
        let mut out = Vec::new();
        let bound = |ns: &Ns| self.kernel.find_ns(&ns.name).is_ok_and(|found| found.cookie == ns.cookie);
        for ns in made.iter().copied().filter(|ns| bound(ns)) {
            let state = self.kernel.state(ns, &[])?;
            let names: Vec<&str> = state.links.values().map(|l| l.name.as_str()).collect();
            let count = |what: What| state.recs.iter().filter(|r| r.what == what).count();
            out.push(format!(
                "namespace `{}` is new: {} ({} addresses, {} routes)",
                ns.name,
                names.join(" "),
                count(What::Addr),
                count(What::Route)
            ));
        }
        out.extend(unbound.iter().map(|ns| format!("namespace `{}` is gone", ns.name)));
        for (cookie, (ns, before, keys)) in places {
            if made.iter().any(|m| m.cookie == cookie) || unbound.iter().any(|u| u.cookie == cookie) {
                continue;
            }
            let now = self.kernel.state(ns, &[])?;
            let keys: BTreeSet<String> = keys.into_iter().filter(|k| !k.starts_with("sysctl ")).collect();
            out.extend(before.differences(&now, &keys).into_iter().map(|d| format!("{}: {d}", ns.label())));
        }
        for (ns, index) in links {
            if made.iter().any(|m| m.cookie == ns.cookie) {
                continue;
            }
            if let Some(info) = self.kernel.link(&ns, By::Index(index))? {
                let text = format!("{}: link `{}` (index {index}) is there and was not", ns.label(), info.state.name);
                if !out.contains(&text) {
                    out.push(text);
                }
            }
        }
        out.extend(other);
        Ok(out)
    }
}

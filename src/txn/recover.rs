//! From a journal back to a transaction: to undo what a run that was killed left open, to finish a commit that was
//! begun, and to take down a lab that stands.

use super::identity::known;
use super::journal::{self, Story, Taken};
use super::log::{Entry, Undo};
use super::{Observer, Report, Txn, carriers, limbo, read, same_link};
use crate::kernel::{By, Kernel};
use crate::plan::attribute::{attribute, flushed};
use crate::plan::{Kind, LinkState, Ns, Result, Verb};
use std::rc::Rc;

impl Txn {
    /// The transaction of a journal that was taken over, as it was when its last line was written. What was begun and perhaps not done is
    /// resolved by looking at the kernel.
    ///
    /// # Errors
    /// A namespace can't be entered.
    pub fn replay(kernel: Rc<dyn Kernel>, taken: Taken, observer: Box<dyn Observer>) -> Result<Txn> {
        let (story, journal) = taken.parts();
        let mut txn = Txn::new(kernel, Box::new(journal), observer);
        if story.committed.is_none() {
            txn.end_left(&story);
        }
        story.styles.iter().for_each(|verb| txn.style(verb));
        txn.next = story.entries.last().map_or(1, |e| e.seq + 1);
        let all: std::collections::BTreeSet<Ns> = story.entries.iter().flat_map(spaces).collect();
        txn.kernel.reopen_named(&all.into_iter().collect::<Vec<_>>());
        let mut tried = std::collections::HashSet::new();
        for entry in &story.entries {
            for ns in spaces(entry).into_iter().filter(|ns| tried.insert(ns.cookie)) {
                let kept = txn.log.keep(ns.cookie);
                txn.kernel.reopen(&ns, kept.as_deref())?;
            }
        }
        for entry in &story.entries {
            let mut entry = entry.clone();
            txn.know_limbo(&entry);
            match &entry.outcome {
                Some(outcome) => {
                    let outcome = outcome.clone();
                    txn.remember(&entry, &outcome);
                }
                None => {
                    txn.resolve(&mut entry);
                    // Found out once: a recover that is cut short leaves neither the old nor the new state to find it
                    // out from again. If it can't be written the undo goes on without, as every undo does.
                    if matches!(entry.undo, Undo::Restore { .. }) {
                        entry.outcome.get_or_insert_default();
                        let _ = txn.log.outcome(&entry);
                    }
                }
            }
            txn.entries.push(entry);
        }
        Ok(txn)
    }

    /// Ends what a run that was killed waited for, which may still be at it (nft changes rulesets), and what its commands left.
    fn end_left(&mut self, story: &Story) {
        let helper = story.helper.clone().map_or(Ok(()), |(pid, start_time, tag)| {
            self.kernel.apply(&Verb::ProcessEnd { pid, start_time, tag }).map(drop)
        });
        // Labs of one session have one mark: what carries it may belong to one that stands, or is set aside.
        let marked = if journal::shares_mark(story) { Ok(()) } else { self.kernel.end_marked(&story.header.mark) };
        self.early.extend([helper, marked].into_iter().filter_map(Result::err).map(|e| e.to_string()));
    }

    /// [`Txn::note`] without letting go of anything.
    fn remember(&mut self, entry: &Entry, outcome: &crate::plan::Outcome) {
        match &entry.verb {
            Some(Verb::NetnsDel { ns }) if matches!(entry.undo, Undo::Rebind { .. }) => self.held.push(ns.clone()),
            Some(Verb::NetnsDel { ns }) => self.made.retain(|(cookie, _), _| *cookie != ns.cookie),
            _ => self.note(entry, outcome),
        }
    }

    /// What was begun: was it done? The kernel tells.
    fn resolve(&mut self, entry: &mut Entry) {
        let Some(verb) = entry.verb.clone() else { return };
        if let Undo::Restore { changes, back } = &mut entry.undo {
            for back in back.iter_mut() {
                back.index = limbo::arrived(&*self.kernel, back, changes);
                if let (Verb::LinkMove { link, name, .. }, index @ 1..) = (&verb, back.index) {
                    let name = name.clone().unwrap_or_else(|| link.name.clone());
                    let link = crate::plan::LinkRef { index, name };
                    entry.outcome = Some(crate::plan::Outcome { link: Some(link), ..Default::default() });
                }
            }
            for change in changes.iter_mut().filter(|change| change.after.is_none()) {
                let carrier = carriers(&*self.kernel, Some(&verb), change);
                if let Ok(now) = read(&*self.kernel, &change.ns, change.only, &change.sysctls) {
                    let mut after = attribute(&verb, &change.ns, &change.before, &now);
                    if let Some(carrier) = carrier {
                        after = flushed(&after, |index| carrier.contains(&index));
                    }
                    change.after = Some(after);
                }
            }
        }
        if let (Verb::LinkMove { .. }, Some(outcome)) = (&verb, entry.outcome.clone()) {
            self.note(entry, &outcome);
        }
        if let (Undo::Nft { ns, before, after }, Verb::NftLoad { ruleset, .. }) = (&mut entry.undo, &verb)
            && after.is_none()
        {
            *after = super::nft::loaded(&*self.kernel, ns, before, ruleset);
        }
        // A link of the run's own on its way: where did it get to?
        if let Verb::LinkMove { ns, link, to, name, .. } = &verb
            && !matches!(entry.undo, Undo::Restore { .. })
            && matches!(self.kernel.link(ns, By::Index(link.index)), Ok(None))
        {
            let names = [name.as_deref(), Some(link.name.as_str())];
            let found = names.iter().flatten().find_map(|n| self.kernel.link(to, By::Name(n)).ok().flatten());
            if let Some(info) = found {
                let link = crate::plan::LinkRef { index: info.state.index, name: info.state.name };
                let outcome = crate::plan::Outcome { link: Some(link), ..Default::default() };
                self.note(entry, &outcome);
                entry.outcome = Some(outcome);
            }
        }
        // What has the index is not what was to be made.
        if let (Verb::LinkAdd { ns, spec }, Undo::Delete { link, .. }) = (&verb, &entry.undo)
            && let Ok(Some(info)) = self.kernel.link(ns, By::Index(link.index))
            && (!same_link(&info.state, &spec.kind)
                || !known(&info.state, spec.mac.as_deref().as_slice(), &[&link.name]))
        {
            entry.undo = Undo::Whole;
        }
        // The name was taken before, perhaps by the run itself: it was refused, and nothing of it was done.
        if let Verb::NetnsAdd { name, cookie } = &verb
            && self.kernel.find_ns(name).is_ok_and(|found| found.cookie != *cookie)
        {
            entry.undo = Undo::Whole;
        }
        if let Verb::NetnsDel { ns } = &verb
            && matches!(entry.undo, Undo::Rebind { .. })
        {
            self.held.push(ns.clone());
        }
        // Killed between the two calls by which a name is bound, or unbound.
        if let Verb::NetnsAdd { name, .. } | Verb::NetnsAttach { name, .. } | Verb::NetnsDel { ns: Ns { name, .. } } =
            &verb
        {
            self.kernel.drop_stub(name);
        }
        if let (Verb::NetnsAttach { name, .. }, Undo::Rebind { ns: target }) = (&verb, &entry.undo)
            && let Ok(ns) = self.kernel.find_ns(name)
            && ns.cookie == target.cookie
        {
            // Bound a moment before the end: by us, since the name was free when it was begun.
            entry.outcome = Some(crate::plan::Outcome { ns: Some(ns), ..Default::default() });
        }
    }

    /// Finishes a commit that was begun: what was kept goes. `empty`: the log does too.
    pub fn finish_commit(&mut self, empty: bool) -> Report {
        let mut report = Report::default();
        self.finish(&mut report);
        if empty {
            self.end_log(&mut report);
        }
        report
    }

    /// Takes a lab down: what it deleted is gone since its commit, and is said; everything else is undone.
    pub fn down(&mut self) -> Report {
        let mut notes = Vec::new();
        let lost_a_name = self.entries.iter().filter_map(|entry| match (&entry.verb, &entry.undo) {
            (Some(Verb::NetnsDel { ns }), Undo::Rebind { .. }) => Some(ns.clone()),
            _ => None,
        });
        let (lives_on, gone): (Vec<Ns>, Vec<Ns>) = lost_a_name.partition(|ns| self.also_called(ns));
        let own: Vec<Ns> = gone.iter().filter(|ns| self.fresh(ns.cookie, 0, 1)).cloned().collect();
        self.entries.retain(|entry| match (&entry.verb, &entry.undo) {
            (Some(Verb::NetnsDel { ns }), Undo::Rebind { .. }) => {
                let lives = lives_on.contains(ns);
                if !lives && !own.contains(ns) {
                    notes.push(format!("namespace `{}`, which the lab deleted, is gone since its commit", ns.name));
                }
                lives
            }
            (_, Undo::Hook { .. }) => false,
            _ => true,
        });
        if !notes.is_empty() {
            self.leave_pairs(&mut notes);
        }
        let mut first = Report::default();
        self.stand_in(&own, &mut first);
        let mut report = self.rollback(&mut |_| Ok(()));
        report.errors.extend(first.errors);
        report.notes.extend(notes);
        report
    }

    /// A namespace of the lab's own that it deleted is gone since the commit, and the links from before that had been moved into
    /// it were deleted with it. They come back by the way that they went: through a new namespace in its place, which goes at
    /// the end as it would have. Killed meanwhile, the next try finds it where it is kept.
    fn stand_in(&mut self, deleted: &[Ns], report: &mut Report) {
        let unbound = self.entries.iter().filter_map(|entry| match &entry.undo {
            Undo::Unbind { ns } => Some(ns.clone()),
            _ => None,
        });
        let wanted: Vec<Ns> = unbound
            .filter(|ns| deleted.iter().any(|d| d.is(ns)) || self.stead(ns.cookie).is_some_and(|path| path.exists()))
            .filter(|ns| {
                self.is_passed(ns) && matches!(self.kernel.inode(ns), Err(error) if error.kind == Kind::NotFound)
            })
            .collect();
        for ns in wanted {
            let Some(path) = self.stead(ns.cookie) else { continue };
            if let Err(error) = self.kernel.stand_in(&ns, &path) {
                report.errors.push(error.to_string());
                continue;
            }
            // What is on them elsewhere knows them by the number that the namespace had there. The one that is gone may still
            // have that for a moment: then it is another.
            for (at, old) in self.numbers(&ns) {
                let set = |id| self.kernel.apply(&Verb::NetnsSetId { at: at.clone(), target: ns.clone(), id });
                let _ = set(Some(old)).or_else(|_| set(None));
                if let Ok(Some(new)) = self.kernel.nsid(&at, &ns) {
                    self.renumber_ns(&at, &ns, (old, new));
                }
            }
        }
    }

    /// The numbers that a namespace had elsewhere, told by what is on the links that had been moved into it.
    fn numbers(&self, ns: &Ns) -> Vec<(Ns, i32)> {
        let restores = || {
            self.entries.iter().filter_map(|entry| match &entry.undo {
                Undo::Restore { changes, .. } => Some(changes),
                _ => None,
            })
        };
        let moved = self.moved_into(ns);
        let mut out = Vec::new();
        for change in restores().flatten().filter(|c| !c.ns.is(ns)) {
            let on_it = change.before.links.values().filter(|link| link.lowers().iter().any(|l| moved.contains(l)));
            out.extend(on_it.filter_map(|link| Some((change.ns.clone(), link.lower_nsid?))));
        }
        out.sort();
        out.dedup();
        // Another's, that is there.
        let taken = |at: &Ns, id: i32| {
            let named = self.kernel.list_ns(at).unwrap_or_default().iter().any(|entry| entry.nsid == Some(id));
            named || self.kernel.nsid(at, &self.kernel.host()).is_ok_and(|host| host == Some(id))
        };
        out.retain(|(at, id)| !taken(at, *id));
        out
    }

    /// The places of links that were moved into a namespace.
    fn moved_into(&self, ns: &Ns) -> Vec<u32> {
        let backs = self.entries.iter().filter_map(|entry| match &entry.undo {
            Undo::Restore { back, .. } => Some(back),
            _ => None,
        });
        backs.flatten().filter(|b| b.to.is(ns)).map(|b| b.index).collect()
    }

    /// What is on the links that were moved into a namespace knows that by another number now.
    fn renumber_ns(&mut self, at: &Ns, ns: &Ns, (old, new): (i32, i32)) {
        let moved = self.moved_into(ns);
        for entry in &mut self.entries {
            let Undo::Restore { changes, .. } = &mut entry.undo else { continue };
            for change in changes.iter_mut().filter(|c| c.ns.is(at)) {
                for state in [Some(&mut change.before), change.after.as_mut()].into_iter().flatten() {
                    let on_it =
                        |l: &&mut LinkState| l.lower_nsid == Some(old) && l.lowers().iter().any(|i| moved.contains(i));
                    state.links.values_mut().filter(on_it).for_each(|link| link.lower_nsid = Some(new));
                }
            }
        }
    }

    /// Where a namespace is kept that stands in for one that is gone. Not among those that are kept until the commit: what is
    /// there tells of a commit that was not finished.
    pub(super) fn stead(&self, cookie: u64) -> Option<std::path::PathBuf> {
        let kept = self.log.keep(cookie)?;
        Some(kept.parent()?.parent()?.join("stead").join(kept.file_name()?))
    }

    /// With a namespace that the lab deleted went, at its commit, the ends of veths whose other ends were in there.
    fn leave_pairs(&mut self, notes: &mut Vec<String>) {
        let kernel = Rc::clone(&self.kernel);
        for entry in &mut self.entries {
            let Undo::Restore { changes, .. } = &mut entry.undo else { continue };
            for change in changes {
                let Some(after) = &mut change.after else { continue };
                let elsewhere = |l: &&LinkState| {
                    l.kind == "veth" && (l.lower_nsid.is_some() || !after.links.contains_key(&l.lower))
                };
                let gone = |index: &u32| matches!(kernel.link(&change.ns, By::Index(*index)), Ok(None));
                let mut lost: Vec<u32> = after.links.values().filter(elsewhere).map(|l| l.index).filter(gone).collect();
                // With what was on them.
                let mut at = 0;
                while let Some(lower) = lost.get(at).copied() {
                    at += 1;
                    let on_it = after.links.values().filter(|l| l.lower_nsid.is_none() && l.lowers().contains(&lower));
                    let new: Vec<u32> = on_it.map(|l| l.index).filter(gone).filter(|i| !lost.contains(i)).collect();
                    lost.extend(new);
                }
                for index in lost {
                    let veth = after.links.get(&index).is_some_and(|l| l.kind == "veth");
                    let whose = if veth { "of its other end" } else { "of the other end of what it was on" };
                    let note = format!("link `{}` went with the namespace {whose}", after.name(index));
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                    after.remove_link(index);
                    change.before.remove_link(index);
                }
            }
        }
    }

    /// Undoes what a run that is no longer alive left open.
    pub fn recover(&mut self) -> Report {
        let hooks = self.entries.iter().filter(|e| matches!(e.undo, Undo::Hook { .. })).count();
        let mut report = self.rollback(&mut |_| Ok(()));
        if hooks > 0 {
            report.differences.push(format!(
                "{hooks} compensation(s) of the script's own (on_rollback) could not be run: they went with the process"
            ));
        }
        report
    }
}

/// The namespaces that an entry is about.
fn spaces(entry: &Entry) -> Vec<Ns> {
    let mut out = Vec::new();
    if let Some(verb) = &entry.verb {
        out.extend(verb.ns().cloned());
        match verb {
            Verb::NetnsAdd { name, cookie } => out.push(Ns { cookie: *cookie, name: name.clone() }),
            Verb::LinkMove { to, .. } => out.push(to.clone()),
            Verb::LinkAdd { spec, .. } => out.extend(spec.peer.as_ref().map(|p| p.0.clone())),
            _ => {}
        }
    }
    out.extend(entry.outcome.as_ref().and_then(|o| o.ns.clone()));
    match &entry.undo {
        Undo::Nft { ns, .. } | Undo::Unbind { ns } | Undo::Rebind { ns } | Undo::Delete { ns, .. } => {
            out.push(ns.clone());
        }
        Undo::Restore { changes, back } => {
            out.extend(changes.iter().map(|c| c.ns.clone()));
            out.extend(back.iter().map(|b| b.to.clone()));
        }
        _ => {}
    }
    out.retain(|ns| ns.cookie != 0);
    out.sort();
    out.dedup();
    out
}

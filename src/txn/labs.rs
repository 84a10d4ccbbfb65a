//! Labs: committed runs that stand, each with its journal as the record of what it made.

use super::journal::{self, Standing, Story, Taken};
use super::log::{Change, Entry, Undo};
use super::upon::upon;
use super::{Observer, Report, Txn, folders, identity, same_link};
use crate::kernel::{By, Kernel};
use crate::plan::attribute;
use crate::plan::drift::Account;
use crate::plan::restore::{self, Phase};
use crate::plan::state::merge;
use crate::plan::{Error, Kind, LinkRef, LinkState, Ns, Result, State, Verb};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

pub use super::upon::in_order;

/// What of a lab is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Names of the namespaces that it made.
    pub namespaces: Vec<String>,
    /// `ns:dev` of the links that it made.
    pub links: Vec<String>,
    /// pid and command of what it started and that runs.
    pub processes: Vec<(i32, String)>,
    /// What somebody changed or deleted since.
    pub drift: Vec<String>,
}

/// What is to be by the steps of a lab that stand.
pub(super) fn account(story: &Story) -> Account {
    let mut account = Account::default();
    for entry in story.entries.iter().filter(|e| !story.owed.contains(&e.seq)) {
        if let Some(verb) = &entry.verb {
            account.follow(entry.seq, verb, entry.outcome.as_ref());
        }
        // Of a link from before no step said where its other end is.
        if let (Some(Verb::LinkDel { .. }), Undo::Restore { changes, .. }) = (&entry.verb, &entry.undo) {
            for change in changes {
                let Some(after) = &change.after else { continue };
                for link in change.before.links.values().filter(|link| !after.links.contains_key(&link.index)) {
                    account.gone((change.ns.cookie, link.index));
                    account.forget_settings(change.ns.cookie, &link.name);
                }
            }
        }
    }
    account
}

/// Looks at what a lab made and changed, as far as its steps said what is to be.
#[must_use]
pub fn health(kernel: &dyn Kernel, story: &Story) -> Health {
    let mut out = Health::default();
    let account = account(story);
    for entry in story.entries.iter().filter(|e| !story.owed.contains(&e.seq)) {
        match (&entry.verb, &entry.outcome, &entry.undo) {
            (Some(Verb::NetnsAdd { .. } | Verb::NetnsAttach { .. }), Some(outcome), _) => {
                let Some(ns) = &outcome.ns else { continue };
                if story.entries.iter().any(|e| matches!(&e.verb, Some(Verb::NetnsDel { ns: n }) if n == ns)) {
                    continue;
                }
                out.namespaces.push(ns.name.clone());
                match kernel.find_ns(&ns.name) {
                    Ok(found) if found.cookie == ns.cookie => {}
                    Ok(_) => out.drift.push(format!("namespace `{}` is another one now", ns.name)),
                    Err(_) => out.drift.push(format!("namespace `{}` is gone", ns.name)),
                }
            }
            (Some(Verb::ProcessStart { words, .. }), _, Undo::Process { pid, start_time, tag }) => {
                if kernel.runs(*pid, *start_time, tag) {
                    out.processes.push((*pid, words.clone()));
                } else {
                    out.drift.push(format!("process {pid} (`{words}`) has ended"));
                }
            }
            _ => {}
        }
    }
    for (cookie, ns) in &account.spaces {
        let state = match kernel.reopen(ns, None) {
            Ok(true) => kernel.state(ns, &account.settings(*cookie)).unwrap_or_default(),
            _ => State::default(),
        };
        for ((_, index), said) in account.links.iter().filter(|((c, _), said)| c == cookie && said.made.is_some()) {
            let name = state.links.get(index).map_or(&said.name, |link| &link.name);
            out.links.push(if ns.is_host() { name.clone() } else { format!("{}:{name}", ns.name) });
        }
        out.drift.extend(account.differences(ns, &state));
    }
    for (path, content) in &account.files {
        if kernel.read_file(path).is_ok_and(|now| now.map(|(bytes, _)| bytes) != *content) {
            out.drift.push(match content {
                Some(_) => format!("file `{path}` was changed or removed"),
                None => format!("file `{path}` is there again"),
            });
        }
    }
    out.drift.extend(super::nft::drift(kernel, story));
    out
}

/// Takes a standing lab down. If its run was killed in its commit, that is finished first: until then its journal tells also of
/// what it replaced.
///
/// # Errors
/// `not_found`, `busy`, or a journal that can't be read.
pub fn down(kernel: &Rc<dyn Kernel>, name: &str, observer: &mut dyn FnMut() -> Box<dyn Observer>) -> Result<Report> {
    journal::check_name(name)?;
    match journal::standing(name)? {
        Standing::Committed(story) if unfinished(&story) => {
            let report = finish(kernel, &story, observer)?;
            if let Some(first) = report.errors.first() {
                return Err(Error::new(Kind::Busy, format!("the commit of lab `{name}` can't be finished: {first}"))
                    .with_target(name)
                    .with_hint("remove what is in its way, and try again"));
            }
            if story.empty { Ok(report) } else { down(kernel, name, observer) }
        }
        Standing::Committed(story) => {
            let mut first = clear_upon(kernel, name, observer)?;
            let mut txn = Txn::replay(Rc::clone(kernel), Taken::over(&story)?, observer())?;
            first.merge(txn.down());
            Ok(first)
        }
        Standing::Void => {
            journal::remove(name)?;
            Ok(Report::default())
        }
        Standing::Broken(_) => {
            Err(Error::new(Kind::Invalid, format!("lab `{name}` was never finished: its run was killed"))
                .with_target(name)
                .with_hint("`nsscript recover` undoes what it left"))
        }
        Standing::Running(_) => Err(journal::taken(name)),
        Standing::Free if stranded().iter().any(|s| s.header.name == name) => {
            Err(Error::new(Kind::Invalid, format!("lab `{name}` was set aside by a run that was killed"))
                .with_target(name)
                .with_hint("`nsscript recover` puts it back"))
        }
        Standing::Free => {
            let all = journal::names();
            let error = Error::new(Kind::NotFound, format!("there is no lab `{name}`")).with_target(name);
            Err(match crate::plan::nearest(name, all.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None if all.is_empty() => error.with_hint("no lab stands"),
                None => error.with_hint(format!("those that stand: {}", all.join(", "))),
            })
        }
    }
}

/// Undoes what killed runs did upon a lab, and left open: before the lab goes, or it would go with that.
///
/// # Errors
/// A lab that stands, or a run under way, builds on it; or what is upon it can't be undone.
pub fn clear_upon(
    kernel: &Rc<dyn Kernel>,
    name: &str,
    observer: &mut dyn FnMut() -> Box<dyn Observer>,
) -> Result<Report> {
    let mut first = Report::default();
    for killed in upon(&**kernel, name)? {
        first.notes.push(format!("run `{killed}`, which was killed, is undone first"));
        for done in recover(kernel, Some(&killed), observer) {
            let report = done.report?;
            if let Some(error) = report.errors.first() {
                return Err(Error::new(
                    Kind::Busy,
                    format!("run `{killed}`, which was killed, builds on `{name}` and can't be undone: {error}"),
                )
                .with_target(name)
                .with_hint("remove what is in its way, and try again"));
            }
            first.merge(report);
        }
    }
    Ok(first)
}

/// Sets a lab aside, alive: its namespaces lose their names, its links elsewhere are deleted, and what it changed of what was
/// there before is led back. Done by the run that replaces it, all of that is undone with it. Gives, in words, what somebody else
/// changed since, which is left.
///
/// # Errors
/// A step is refused; what was done until then is for the caller to undo.
pub fn clear(kernel: &dyn Kernel, story: &Story, perform: &mut dyn FnMut(Verb) -> Result<()>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let own = |ns: &Ns| story.entries.iter().any(|e| matches!(&e.undo, Undo::Unbind { ns: n } if n.is(ns)));
    let there = |ns: &Ns| kernel.reopen(ns, None).unwrap_or(false);
    let account = account(story);
    let made = made(story);
    for entry in story.entries.iter().rev() {
        // Where the links are by now that the step made: in a namespace of the lab's they stay with that.
        for ((cookie, index), said) in account.links.iter().filter(|(_, said)| said.made == Some(entry.seq)) {
            let Some(ns) = account.spaces.get(cookie).filter(|ns| !own(ns) && there(ns)) else { continue };
            // Somebody else's may have its index by now.
            let ours = |now: &LinkState| {
                let led = now.master != 0 && said.master == Some(now.master) && now.name == said.name;
                let macs: Vec<&[u8]> = said.first_mac.iter().chain(&said.mac).map(Vec::as_slice).collect();
                same_link(now, &said.kind) && (led || identity::known(now, &macs, &[&said.name]))
            };
            if let Ok(Some(info)) = kernel.link(ns, By::Index(*index))
                && ours(&info.state)
            {
                let link = LinkRef { index: *index, name: info.state.name };
                perform(Verb::LinkDel { ns: ns.clone(), link })?;
            }
        }
        match &entry.undo {
            Undo::Unbind { ns } if kernel.find_ns(&ns.name).is_ok_and(|found| found.cookie == ns.cookie) => {
                perform(Verb::NetnsDel { ns: ns.clone() })?;
            }
            // One from before that lives on by a name of the lab's.
            Undo::Rebind { ns } if matches!(entry.verb, Some(Verb::NetnsDel { .. })) && !own(ns) => {
                let named = |e: &Entry| match (&e.verb, &e.outcome) {
                    (Some(Verb::NetnsAttach { name, .. }), Some(_)) => {
                        kernel.find_ns(name).is_ok_and(|found| found.is(ns)).then(|| name.clone())
                    }
                    _ => None,
                };
                if let Some(name) = story.entries.iter().find_map(named) {
                    perform(Verb::NetnsAttach { name: ns.name.clone(), path: format!("/run/netns/{name}") })?;
                }
            }
            Undo::Rebind { .. } if matches!(entry.verb, Some(Verb::NetnsAttach { .. })) => {
                let bound = entry.outcome.as_ref().and_then(|o| o.ns.as_ref());
                if let Some(ns) = bound.filter(|ns| kernel.find_ns(&ns.name).is_ok_and(|found| found.is(ns))) {
                    perform(Verb::NetnsDel { ns: ns.clone() })?;
                }
            }
            Undo::Restore { changes, back } => {
                for back in back.iter().rev().filter(|b| !b.parked() && b.index != 0 && there(&b.to)) {
                    let from = changes.iter().find(|c| c.ns.is(&back.from));
                    let was = from.and_then(|c| c.before.links.get(&back.link.index));
                    if let Ok(Some(info)) = kernel.link(&back.to, By::Index(back.index))
                        && !was.is_some_and(|was| identity::replaced(back, was, &info.state))
                    {
                        perform(Verb::LinkMove {
                            ns: back.to.clone(),
                            link: LinkRef { index: back.index, name: info.state.name },
                            to: back.from.clone(),
                            name: Some(back.link.name.clone()),
                            index: back.link.index,
                        })?;
                    }
                }
                for change in changes.iter().filter(|c| !own(&c.ns) && there(&c.ns)) {
                    left.extend(lead_back(kernel, &without_own(kernel, change, &made), perform)?);
                }
            }
            Undo::Nft { ns, before, after } if !own(ns) && there(ns) => {
                let Some(Verb::NftLoad { ruleset, .. }) = &entry.verb else { continue };
                let now = super::nft::tables(kernel, ns, ruleset)?;
                let back = crate::plan::nft::back(before, after.as_deref().unwrap_or(&now), &now);
                left.extend(back.conflicts.iter().map(|c| format!("{}: {c}", ns.label())));
                if !(back.tables.is_empty() && back.elements.is_empty()) {
                    let ruleset = format!("{}{}", back.elements, crate::plan::nft::script(&back.tables, true));
                    perform(Verb::NftLoad { ns: ns.clone(), ruleset })?;
                }
            }
            Undo::File { path, before, folders, .. } => {
                let now = kernel.read_file(path);
                let written = match &entry.verb {
                    Some(Verb::FileWrite { content, .. }) => Some(content),
                    _ => None,
                };
                if !now.as_ref().is_ok_and(|now| now.as_ref().map(|(bytes, _)| bytes) == written) {
                    // Gone, or as it was before: nothing is left to lead back.
                    let back =
                        now.is_ok_and(|now| now.is_none() || super::files::same_file(now.as_ref(), before.as_ref()));
                    left.extend((!back).then(|| format!("file `{path}` was changed by somebody else: left")));
                    continue;
                }
                let path = path.clone();
                perform(match before {
                    Some(was) => Verb::FileWrite { path, content: was.bytes.clone(), mode: was.mode, folders: false },
                    None => Verb::FileRemove { path, folders: folders.clone() },
                })?;
            }
            _ => {}
        }
    }
    Ok(left)
}

/// Where the links have been that a lab made.
fn made(story: &Story) -> BTreeSet<(u64, u32)> {
    let mut made = BTreeSet::new();
    for entry in &story.entries {
        let Some(outcome) = &entry.outcome else { continue };
        match &entry.verb {
            Some(Verb::LinkAdd { ns, spec }) => {
                made.extend(outcome.link.as_ref().map(|link| (ns.cookie, link.index)));
                made.extend(
                    outcome.peer.as_ref().zip(spec.peer.as_deref()).map(|(link, (at, _))| (at.cookie, link.index)),
                );
            }
            Some(Verb::LinkMove { ns, link, to, .. }) if made.contains(&(ns.cookie, link.index)) => {
                made.extend(outcome.link.as_ref().map(|link| (to.cookie, link.index)));
            }
            _ => {}
        }
    }
    made
}

/// A change without the lab's own links that have gone: nobody is to bring those back, nor to look for them.
fn without_own<'a>(kernel: &dyn Kernel, change: &'a Change, made: &BTreeSet<(u64, u32)>) -> Cow<'a, Change> {
    let mut out = Cow::Borrowed(change);
    for index in change.before.links.keys().filter(|index| made.contains(&(change.ns.cookie, **index))) {
        if matches!(kernel.link(&change.ns, By::Index(*index)), Ok(None)) {
            let change = out.to_mut();
            change.before.remove_link(*index);
            change.after.iter_mut().for_each(|after| after.remove_link(*index));
        }
    }
    out
}

/// Leads back what a step of a lab changed of what was there before, but for what somebody else changed since: that it gives
/// in words.
fn lead_back(kernel: &dyn Kernel, change: &Change, perform: &mut dyn FnMut(Verb) -> Result<()>) -> Result<Vec<String>> {
    let look = || super::read(kernel, &change.ns, change.only, &change.sysctls);
    let Some(after) = &change.after else { return Ok(Vec::new()) };
    let mut now = look()?;
    let (target, conflicts) = merge(&change.before, after, &now);
    for phase in [Phase::Links, Phase::Up, Phase::Records] {
        for _ in 0..super::rollback::ROUNDS {
            let verbs = restore::steps(&change.ns, &now, &target, phase);
            if verbs.is_empty() {
                break;
            }
            for verb in verbs {
                // What is to go may have gone with something else, what is to come have come.
                match perform(verb) {
                    Err(error) if !matches!(error.kind, Kind::NotFound | Kind::Exists) => return Err(error),
                    _ => {}
                }
            }
            now = look()?;
        }
    }
    Ok(conflicts.into_iter().map(|c| c.text).collect())
}

/// Ends a lab that was set aside: its processes, and what runs in its namespaces.
///
/// # Errors
/// What its own run waited for can't be ended.
pub fn retire(kernel: Rc<dyn Kernel>, aside: Taken, observer: Box<dyn Observer>) -> Result<Report> {
    let story = aside.story().clone();
    let mut txn = Txn::replay(Rc::clone(&kernel), aside, observer)?;
    let spaces: Vec<Ns> = story
        .entries
        .iter()
        .filter_map(|e| match &e.undo {
            Undo::Unbind { ns } => Some(ns.clone()),
            _ => None,
        })
        .collect();
    // The rest was led back when it was set aside.
    txn.entries.retain(|e| matches!(e.undo, Undo::Process { .. }));
    let mut report = txn.down();
    if !spaces.is_empty()
        && let Err(error) = kernel.end_processes(&spaces)
    {
        report.errors.push(error.to_string());
    }
    Ok(report)
}

/// What was done to recover one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// What it did was undone.
    Undone,
    /// It was past the point of no return: nothing was undone, its commit was brought to its end.
    Finished,
    /// The lab that it had set aside was put back.
    PutBack,
}

/// What came of recovering one run.
#[derive(Debug)]
pub struct Recovered {
    pub name: String,
    pub done: Done,
    pub report: Result<Report>,
}

impl Recovered {
    /// It in one line.
    #[must_use]
    pub fn words(&self) -> String {
        let name = &self.name;
        match (&self.report, self.done) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Done::PutBack) => format!("lab `{name}` is put back: a run that was killed had set it aside"),
            (Ok(report), Done::Finished) => match report.errors.first() {
                None => format!("run `{name}` was killed when all was done: its commit is finished"),
                Some(first) => {
                    format!("run `{name}` was killed when all was done: its commit is not finished: {first}")
                }
            },
            (Ok(report), Done::Undone) => {
                let how = if report.verified() { "verified" } else { "but not everything is as it was before" };
                format!("run `{name}` was killed: its {} steps are undone, {how}", report.steps)
            }
        }
    }
}

/// Undoes, the last first, what runs that are no longer alive left open, finishes commits that were begun, puts back labs that were set aside, and
/// removes what is left of another boot. `only` limits it to one name.
pub fn recover(
    kernel: &Rc<dyn Kernel>,
    only: Option<&str>,
    observer: &mut dyn FnMut() -> Box<dyn Observer>,
) -> Vec<Recovered> {
    let mut out = Vec::new();
    let mut wanted = match only {
        // Who builds on it may be one that stands: then that is said below.
        Some(name) => upon(&**kernel, name).unwrap_or_default().into_iter().chain([name.to_string()]).collect(),
        None => journal::names(),
    };
    if only.is_none() {
        in_order(&**kernel, &mut wanted);
    }
    for name in wanted {
        let (done, report) = match journal::standing(&name) {
            Ok(Standing::Broken(story)) => {
                (Done::Undone, upon(&**kernel, &name).and_then(|_| undo(kernel, &story, observer)))
            }
            // Killed between the point of no return and the end.
            Ok(Standing::Committed(story)) if unfinished(&story) => (Done::Finished, finish(kernel, &story, observer)),
            Ok(Standing::Void) => (Done::Undone, journal::remove(&name).map(|()| Report::default())),
            Ok(Standing::Free) => {
                // Nobody's, if it is empty: a run's folder never is.
                let _ = std::fs::remove_dir(journal::folder(&name));
                continue;
            }
            Ok(_) => continue,
            Err(error) => (Done::Undone, Err(error)),
        };
        out.push(Recovered { name, done, report });
    }
    for story in stranded().into_iter().filter(|s| only.is_none_or(|o| o == s.header.name)) {
        let report = put_back(&story).map(|()| Report::default());
        out.push(Recovered { name: story.header.name, done: Done::PutBack, report });
    }
    folders::sweep();
    out
}

/// Undoes what a dead run did, and puts the lab back that it was to replace.
fn undo(kernel: &Rc<dyn Kernel>, story: &Story, observer: &mut dyn FnMut() -> Box<dyn Observer>) -> Result<Report> {
    let taken = Taken::over(story)?;
    // Held from before its name is free until it is back: nobody is to take it for one that was left alone.
    let aside = story.header.aside.as_ref().map(|aside| Taken::over(&journal::story_in(aside)?));
    let mut report = Txn::replay(Rc::clone(kernel), taken, observer())?.recover();
    let back = aside.map(|aside| aside.and_then(|mut aside| aside.relocate(&story.folder)));
    report.errors.extend(back.and_then(Result::err).map(|error| error.to_string()));
    Ok(report)
}

/// Brings a commit to its end that was begun: the lab that was replaced is ended, and what was kept for the undo goes.
fn finish(kernel: &Rc<dyn Kernel>, story: &Story, observer: &mut dyn FnMut() -> Box<dyn Observer>) -> Result<Report> {
    let mut txn = Txn::replay(Rc::clone(kernel), Taken::over(story)?, observer())?;
    let mut report = Report::default();
    if let Some(aside) = story.header.aside.as_ref().filter(|a| a.exists()) {
        let old = journal::story_in(aside).and_then(|old| Taken::over(&old));
        match old.and_then(|old| retire(Rc::clone(kernel), old, observer())) {
            Ok(old) => report.errors.extend(old.errors),
            Err(error) => report.errors.push(error.to_string()),
        }
    }
    report.merge(txn.finish_commit(story.empty));
    let keep = story.folder.join("keep");
    let _ = std::fs::remove_dir(&keep);
    if keep.exists() {
        report.errors.push(format!("`{}` still keeps something", keep.display()));
    }
    Ok(report)
}

/// Whether a commit was begun and not brought to its end.
#[must_use]
pub fn unfinished(story: &Story) -> bool {
    story.empty || story.folder.join("keep").exists() || story.header.aside.as_ref().is_some_and(|a| a.exists())
}

/// Labs that were set aside by runs that are dead, and that no journal names: their run was killed before it had one, or when it
/// had undone all but this.
fn stranded() -> Vec<Story> {
    let folders = journal::set_aside();
    if folders.is_empty() {
        return Vec::new();
    }
    // First those who name one, then whether it is locked: who puts one back holds its lock until it is back.
    let named: Vec<_> = journal::names().iter().filter_map(|name| journal::header_of(name)?.aside).collect();
    let left = folders.into_iter().filter(|folder| !named.contains(folder) && !journal::is_held(folder));
    left.filter_map(|folder| journal::story_in(&folder).ok()).collect()
}

/// Puts a lab back that was set aside. One of another boot goes.
fn put_back(story: &Story) -> Result<()> {
    let mut taken = Taken::over(story)?;
    if story.header.boot == journal::boot_id() {
        taken.relocate(&journal::folder(&story.header.name))
    } else {
        taken.remove()
    }
}

/// The names of runs that were killed and left something open. Cheap: a look at the folders that there are.
#[must_use]
pub fn broken() -> Vec<String> {
    let mut all: Vec<String> = journal::newest_first().into_iter().filter(|name| left(name)).collect();
    all.extend(set_aside());
    all
}

/// The names of labs that were set aside by runs that were killed, and that are to be put back.
#[must_use]
pub fn set_aside() -> Vec<String> {
    stranded().into_iter().map(|story| story.header.name).collect()
}

/// Whether the run of a name was killed and left something open.
fn left(name: &str) -> bool {
    match journal::standing(name) {
        Ok(Standing::Broken(_)) => true,
        Ok(Standing::Committed(story)) => unfinished(&story),
        _ => false,
    }
}

/// Whether something of this name is to be recovered before anything else is done with it.
#[must_use]
pub fn to_recover(name: &str) -> bool {
    left(name) || set_aside().iter().any(|n| n == name)
}

/// What to say of runs that were killed and left something open.
#[must_use]
pub fn left_open() -> Option<String> {
    let all = broken();
    let names = all.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let verb = if all.len() > 1 { "were" } else { "was" };
    (!names.is_empty()).then(|| format!("{names} {verb} killed and left something open"))
}

/// The run that was killed and left what is in the way of this step, as it is there by now: a namespace, a link, a record.
#[must_use]
pub fn in_the_way(kernel: &dyn Kernel, verb: &Verb) -> Option<(String, Box<Story>)> {
    broken().into_iter().find_map(|name| {
        let Ok(Standing::Broken(story) | Standing::Committed(story)) = journal::standing(&name) else { return None };
        let traces = traces(&story);
        let index = |ns: &Ns, index: u32| {
            index != 0
                && traces.contains(&(ns.cookie, index))
                && matches!(kernel.link(ns, By::Index(index)), Ok(Some(_)))
        };
        let link = |ns: &Ns, name: &str| match kernel.link(ns, By::Name(name)) {
            Ok(Some(info)) => traces.contains(&(ns.cookie, info.state.index)),
            _ => false,
        };
        let found = match verb {
            Verb::NetnsAdd { name, .. } | Verb::NetnsAttach { name, .. } => {
                match kernel.find_ns(name) {
                    Ok(ns) => traces.contains(&(ns.cookie, 0)),
                    // A file that nothing is bound to: left between the two calls by which the name is bound, or unbound.
                    Err(_) => story.entries.iter().filter_map(|e| e.verb.as_ref()).any(|verb| names(verb, name)),
                }
            }
            Verb::LinkAdd { ns, spec } => spec
                .ends(ns)
                .any(|(at, spec)| index(at, spec.index) || spec.name.as_ref().is_some_and(|name| link(at, name))),
            Verb::LinkMove { link: moved, to, name, index: wanted, .. } => {
                index(to, *wanted) || link(to, name.as_deref().unwrap_or(&moved.name))
            }
            Verb::LinkSet { ns, change, .. } => change.name.as_ref().is_some_and(|name| link(ns, name)),
            Verb::LinkAltname { ns, name, add: true, .. } => link(ns, name),
            Verb::RecAdd { ns, rec, .. } => story.entries.iter().any(
                |e| matches!(&e.verb, Some(Verb::RecAdd { ns: n, rec: r, .. }) if n.is(ns) && attribute::alike(r, rec)),
            ),
            _ => false,
        };
        found.then_some((name, story))
    })
}

/// The namespaces (by cookie, and 0) and links that a run made or changed: where they are by now, as far as it knew.
#[must_use]
pub fn traces(story: &Story) -> BTreeSet<(u64, u32)> {
    let account = account(story);
    let mut out: BTreeSet<(u64, u32)> = account.links.keys().copied().collect();
    for entry in &story.entries {
        match (&entry.verb, &entry.outcome) {
            (Some(Verb::NetnsAdd { cookie, .. }), _) => drop(out.insert((*cookie, 0))),
            (Some(Verb::NetnsAttach { .. }), Some(outcome)) => out.extend(outcome.ns.as_ref().map(|ns| (ns.cookie, 0))),
            // Killed in the midst.
            (Some(Verb::LinkAdd { ns, spec }), None) => {
                out.extend(spec.ends(ns).map(|(at, spec)| (at.cookie, spec.index)));
            }
            (Some(Verb::LinkAltname { ns, link, .. }), _) => drop(out.insert((ns.cookie, link.index))),
            _ => {}
        }
    }
    out
}

/// Whether a step binds or unbinds this name of a namespace.
fn names(verb: &Verb, wanted: &str) -> bool {
    match verb {
        Verb::NetnsAdd { name, .. } | Verb::NetnsAttach { name, .. } | Verb::NetnsDel { ns: Ns { name, .. } } => {
            name == wanted
        }
        _ => false,
    }
}

/// The lab that a namespace name belongs to.
#[must_use]
pub fn owner(namespace: &str) -> Option<String> {
    journal::names().into_iter().find(|name| {
        let Ok(Standing::Committed(story)) = journal::standing(name) else { return false };
        story.entries.iter().any(|e| matches!(&e.verb, Some(Verb::NetnsAdd { name, .. }) if name == namespace))
    })
}

/// The error that a namespace's name is taken, with the run under way that made it, if another than `own` did.
#[must_use]
pub fn with_maker(error: Error, namespace: &str, own: &str) -> Error {
    // Its journal may end in the middle of a line.
    let made = journal::names().into_iter().find(|name| {
        name != own
            && matches!(journal::standing(name), Ok(Standing::Running(_)))
            && journal::story_in(&journal::folder(name)).is_ok_and(|story| {
                story.entries.iter().any(|e| matches!(&e.verb, Some(Verb::NetnsAdd { name, .. }) if name == namespace))
            })
    });
    match made {
        Some(run) => error.with_hint(format!(
            "run `{run}`, which is under way, made it: wait until it has ended, or choose another name"
        )),
        None => error,
    }
}

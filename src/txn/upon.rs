//! What runs and labs did upon each other: who built on what another made is undone before that goes.

use super::account::touched;
use super::journal::{self, Standing, Story};
use super::labs::{account, traces, unfinished};
use super::log::Entry;
use crate::kernel::{By, Kernel};
use crate::plan::{Error, Kind, Ns, Result, Verb};
use std::collections::BTreeSet;

/// A namespace's cookie with 0, or with the ifindex of a link in it.
type Places = BTreeSet<(u64, u32)>;

/// What a run or a lab made, and what it did something with.
struct Reach {
    story: Story,
    made: Places,
    /// But for the host's namespace, in which all are.
    touched: Places,
}

impl Reach {
    fn of(kernel: &dyn Kernel, story: Story) -> Reach {
        let verbs = story.entries.iter().filter_map(|e| e.verb.as_ref());
        let mut places: Places = verbs.flat_map(touched).collect();
        places.remove(&(kernel.host().cookie, 0));
        Reach { made: made(&story), touched: places, story }
    }

    /// Whether it was begun after the other.
    fn is_later(&self, other: &Reach) -> bool {
        let age = |reach: &Reach| journal::age(&reach.story.header.name, Some(&reach.story.header));
        age(self) > age(other)
    }

    /// Whether it did something with what the other made and what is still there, or is where it moved it.
    fn uses(&self, kernel: &dyn Kernel, other: &Reach) -> bool {
        let moved = |(cookie, index): (u64, u32)| {
            let from = |e: &Entry| matches!(&e.verb, Some(Verb::LinkMove { ns, link, .. }) if (ns.cookie, link.index) == (cookie, index));
            self.story.entries.iter().any(from)
        };
        let mut places = self.touched.intersection(&other.made);
        places.any(|place| is_there(kernel, &other.story, *place) || moved(*place))
    }

    /// Whether it is to be undone before the other: it did something with what that made. Of two that did so to each other,
    /// only the later one is.
    fn stands_on(&self, kernel: &dyn Kernel, other: &Reach) -> bool {
        self.uses(kernel, other) && (self.is_later(other) || !other.uses(kernel, self))
    }

    /// All places at which something of it may have been done.
    fn places(&self) -> Places {
        let mut all = traces(&self.story);
        all.extend(&self.touched);
        all
    }
}

/// The namespaces and links that a run made, where they are by now, as far as it knew.
fn made(story: &Story) -> Places {
    let account = account(story);
    let mut out: Places = account.links.iter().filter(|(_, said)| said.made.is_some()).map(|(at, _)| *at).collect();
    for entry in &story.entries {
        match &entry.verb {
            Some(Verb::NetnsAdd { cookie, .. }) => drop(out.insert((*cookie, 0))),
            // Killed in the midst.
            Some(Verb::LinkAdd { ns, spec }) if entry.outcome.is_none() => {
                out.extend(spec.ends(ns).map(|(at, spec)| (at.cookie, spec.index)));
            }
            _ => {}
        }
    }
    out
}

/// Whether there is still something at a place where a run made it: another may have deleted it since.
fn is_there(kernel: &dyn Kernel, story: &Story, (cookie, index): (u64, u32)) -> bool {
    let ns = story.entries.iter().find_map(|e| match &e.verb {
        Some(Verb::NetnsAdd { name, cookie: c }) if *c == cookie => Some(Ns { cookie, name: name.clone() }),
        Some(Verb::LinkMove { to, .. }) if to.cookie == cookie => Some(to.clone()),
        Some(Verb::LinkAdd { ns, spec }) => spec.ends(ns).find(|(at, _)| at.cookie == cookie).map(|(at, _)| at.clone()),
        _ => None,
    });
    let Some(ns) = ns else { return false };
    kernel.reopen(&ns, None).unwrap_or(false)
        && (index == 0 || matches!(kernel.link(&ns, By::Index(index)), Ok(Some(_))))
}

/// The runs that were killed and are to be undone before a run or lab, the last first: those that did something with what that
/// made, and those that came later and were at the same namespaces and links.
///
/// # Errors
/// A lab that stands, or a run under way, builds on it.
pub(super) fn upon(kernel: &dyn Kernel, name: &str) -> Result<Vec<String>> {
    let (Standing::Broken(own) | Standing::Committed(own)) = journal::standing(name)? else { return Ok(Vec::new()) };
    let own = Reach::of(kernel, *own);
    let places = own.places();
    let stands = |lab: &str| {
        Err(Error::new(Kind::Busy, format!("lab `{lab}`, which stands, builds on `{name}`"))
            .with_target(name)
            .with_hint(format!("take that down first: `nsscript down {lab}`")))
    };
    // One that is locked is the business of the run that set it aside.
    for folder in journal::set_aside().into_iter().filter(|folder| !journal::is_held(folder)) {
        let Ok(story) = journal::story_in(&folder) else { continue };
        let lab = story.header.name.clone();
        if Reach::of(kernel, story).stands_on(kernel, &own) {
            return stands(&lab);
        }
    }
    let mut killed = Vec::new();
    for other in journal::newest_first().into_iter().filter(|other| other != name) {
        let (story, lives) = match journal::standing(&other) {
            Ok(Standing::Broken(story) | Standing::Committed(story)) => (*story, false),
            // Its journal may end in the middle of a line.
            Ok(Standing::Running(_)) => match journal::story_in(&journal::folder(&other)) {
                Ok(story) => (story, true),
                Err(_) => continue,
            },
            _ => continue,
        };
        let reach = Reach::of(kernel, story);
        let builds = reach.stands_on(kernel, &own);
        if builds && lives {
            return Err(Error::new(Kind::Busy, format!("run `{other}`, which is under way, builds on `{name}`"))
                .with_target(name)
                .with_hint("wait until it has ended, and try again"));
        }
        if builds && reach.story.committed.is_some() && !reach.story.empty {
            // In a ring the last may go first.
            if own.is_later(&reach) && rests_on(kernel, &own, &reach) {
                continue;
            }
            return stands(&other);
        }
        let open = !lives && (reach.story.committed.is_none() || unfinished(&reach.story));
        if builds || open && reach.is_later(&own) && !places.is_disjoint(&reach.places()) {
            killed.push(other);
        }
    }
    Ok(killed)
}

/// Whether a lab uses what another made, or what one made that does so, and so on.
fn rests_on(kernel: &dyn Kernel, own: &Reach, other: &Reach) -> bool {
    let story = |name: &String| match journal::standing(name) {
        Ok(Standing::Broken(story) | Standing::Committed(story)) => Some(Reach::of(kernel, *story)),
        _ => None,
    };
    let all: Vec<Reach> = journal::names().iter().filter_map(story).collect();
    let mut found: Vec<&Reach> = vec![own];
    let mut next = 0;
    while let Some(here) = found.get(next).copied() {
        next += 1;
        if here.uses(kernel, other) {
            return true;
        }
        for lab in all.iter().filter(|lab| here.uses(kernel, lab)) {
            if !found.iter().any(|known| known.story.folder == lab.story.folder) {
                found.push(lab);
            }
        }
    }
    false
}

/// Sorts names in the order in which they are to be undone: those that began last first, but who built on another before that.
pub fn in_order(kernel: &dyn Kernel, names: &mut Vec<String>) {
    journal::by_age(names);
    let mut rest: Vec<(String, Option<Reach>)> = Vec::new();
    for name in names.drain(..) {
        let reach = match journal::standing(&name) {
            Ok(Standing::Broken(story) | Standing::Committed(story)) => Some(Reach::of(kernel, *story)),
            _ => None,
        };
        rest.push((name, reach));
    }
    let held = |own: &Option<Reach>, rest: &[(String, Option<Reach>)]| {
        let Some(own) = own else { return false };
        let others = rest.iter().filter_map(|(_, other)| other.as_ref());
        others.filter(|other| other.story.folder != own.story.folder).any(|other| other.stands_on(kernel, own))
    };
    while !rest.is_empty() {
        let next = rest.iter().position(|(_, own)| !held(own, &rest)).unwrap_or_default();
        names.push(rest.remove(next).0);
    }
}

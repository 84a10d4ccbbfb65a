//! Limbo: where a link that was there before goes when it is deleted, alive, until the commit. Undo moves it back: its
//! counters, keys, filters and whatever else no record holds are as they were.
//!
//! A namespace of the run's own without a name, held by a bind mount in the journal's folder. A link that can't leave
//! its namespace (the kernel's netns-immutable: bridge, bond, vrf …) or that others are built upon (some of which a move
//! would not delete, as its deletion does) is really deleted, and made again from its record.

use super::log::{Back, Change};
use super::{Entry, Report, Txn, Undo};
use crate::kernel::{By, Kernel};
use crate::plan::{LinkRef, Ns, Outcome, Result, Verb};
use std::path::Path;

/// How limbo is called in messages and in the journal. No name of `/run/netns` has a slash in it.
const NAME: &str = "/limbo";

impl Back {
    /// Whether the link went to limbo: its step was to delete it.
    #[must_use]
    pub fn parked(&self) -> bool {
        self.to.name == NAME
    }
}

impl Txn {
    /// The links that deleting `link` deletes, as they would go to limbo: none where it is really to be deleted.
    /// `places` are its ends.
    pub(super) fn parking(&mut self, places: &[(Ns, u32)], changes: &[Change]) -> Result<Vec<Back>> {
        let mut backs = Vec::new();
        for (at, (ns, index)) in places.iter().enumerate() {
            let Some(state) = changes.iter().find(|c| c.ns.is(ns)).map(|c| &c.before) else { return Ok(Vec::new()) };
            let Some(link) = state.links.get(index) else { return Ok(Vec::new()) };
            let ends = |l: u32| places.iter().any(|(n, i)| n.is(ns) && *i == l);
            let built_upon =
                state.links.values().any(|l| (l.needs().contains(index) && !ends(l.index)) || l.master == *index);
            if !link.is_virtual() || built_upon {
                return Ok(Vec::new());
            }
            let link = LinkRef { index: *index, name: link.name.clone() };
            // Of a name of its own, since limbo may hold another link of the same name.
            let name = format!("nss{}.{at}", self.next);
            backs.push(Back { from: ns.clone(), link, to: self.limbo()?, index: 0, name });
        }
        Ok(backs)
    }

    /// Limbo, made when first needed. It is held once the step that needs it is written down.
    fn limbo(&mut self) -> Result<Ns> {
        if let Some(limbo) = &self.limbo {
            return Ok(limbo.clone());
        }
        let mut verb = Verb::NetnsAdd { name: NAME.into(), cookie: 0 };
        self.kernel.prepare(&mut verb)?;
        let cookie = match verb {
            Verb::NetnsAdd { cookie, .. } => cookie,
            _ => 0,
        };
        let limbo = Ns { cookie, name: NAME.into() };
        self.limbo = Some(limbo.clone());
        Ok(limbo)
    }

    /// Keeps limbo beyond our own end.
    pub(super) fn hold_limbo(&mut self, entry: &Entry) -> Result<()> {
        let Undo::Restore { back, .. } = &entry.undo else { return Ok(()) };
        let Some(limbo) = back.iter().find(|b| b.parked()).map(|b| b.to.clone()) else { return Ok(()) };
        if self.held.contains(&limbo) {
            return Ok(());
        }
        if let Some(path) = self.log.keep(limbo.cookie) {
            self.kernel.hold(&limbo, &path)?;
        }
        self.held.push(limbo);
        Ok(())
    }

    /// Of a journal's entry: limbo is known again.
    pub(super) fn know_limbo(&mut self, entry: &Entry) {
        let Undo::Restore { back, .. } = &entry.undo else { return };
        if let Some(limbo) = back.iter().find(|b| b.parked()).map(|b| &b.to) {
            if !self.held.contains(limbo) {
                self.held.push(limbo.clone());
            }
            self.limbo = Some(limbo.clone());
        }
    }

    /// Limbo goes once nothing is in it any more that a step would bring back.
    pub(super) fn end_limbo(&mut self, report: &mut Report) {
        let needed = |e: &Entry| matches!(&e.undo, Undo::Restore { back, .. } if back.iter().any(Back::parked));
        if self.entries.iter().any(needed) {
            return;
        }
        let Some(limbo) = self.limbo.take() else { return };
        if self.held.contains(&limbo)
            && let Some(path) = self.log.keep(limbo.cookie)
        {
            self.let_go(&path, report);
        }
        self.held.retain(|ns| *ns != limbo);
        self.kernel.release(&limbo);
    }

    /// A namespace that was kept at this path of the journal's folder is kept no longer. The folder can only go without it, so a
    /// refusal of the moment gets a second try.
    pub(super) fn let_go(&self, path: &Path, report: &mut Report) {
        if let Err(error) = self.kernel.unhold(path).or_else(|_| self.kernel.unhold(path)) {
            report.errors.push(error.to_string());
        }
    }

    /// The run stands: what is in limbo is deleted. At once, so that its other ends are gone when we are.
    pub(super) fn empty_limbo(&self) {
        let Some(limbo) = &self.limbo else { return };
        // What can't be deleted here goes with the namespace.
        for info in self.kernel.links(limbo, false).unwrap_or_default() {
            if info.state.is_virtual() {
                let link = LinkRef { index: info.state.index, name: info.state.name };
                let _ = self.kernel.apply(&Verb::LinkDel { ns: limbo.clone(), link });
            }
        }
    }
}

/// Deletes a link: into limbo where `backs` says so, else really. `backs` holds afterwards what is in limbo.
pub(super) fn delete(kernel: &dyn Kernel, verb: &Verb, backs: &mut Vec<Back>) -> Result<Outcome> {
    for at in 0..backs.len() {
        let back = &mut backs[at];
        let aside = Verb::LinkMove {
            ns: back.from.clone(),
            link: back.link.clone(),
            to: back.to.clone(),
            name: Some(back.name.clone()),
            index: 0,
        };
        match kernel.apply(&aside) {
            Ok(outcome) => back.index = outcome.link.map_or(0, |l| l.index),
            // It can't leave its namespace (dev_change_net_namespace, net/core/dev.c).
            Err(error) if at == 0 && error.errno == libc::EINVAL => {
                backs.clear();
                return kernel.apply(verb);
            }
            Err(error) => return Err(error),
        }
    }
    if backs.is_empty() { kernel.apply(verb) } else { Ok(Outcome::default()) }
}

/// Where a link of an unfinished step got to: its index there, 0 where it did not leave.
pub(super) fn arrived(kernel: &dyn Kernel, back: &Back, changes: &[Change]) -> u32 {
    let was = changes.iter().find(|c| c.ns.is(&back.to)).map(|c| &c.before);
    let new = |index: u32| back.parked() || was.is_some_and(|b| !b.links.contains_key(&index));
    [&back.name, &back.link.name]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| kernel.link(&back.to, By::Name(name)).ok().flatten().filter(|l| new(l.state.index)))
        .map_or(0, |l| l.state.index)
}

//! On the way back: is what is there now still what the step was about? Indices, names and paths may be another's by now.

use super::log::{Back, Change};
use super::rollback::{Expected, Report};
use super::{Txn, same_link};
use crate::kernel::By;
use crate::plan::{Error, Kind, LinkInfo, LinkRef, LinkState, Ns, Verb, restore};
use std::collections::BTreeSet;

/// What is at the place of a link of the run's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The link, or what can't be told.
    Ours,
    /// Nothing, or what is of another kind.
    Nothing,
    Anothers,
}

/// The names and MACs that steps gave a link since it was made: it is known by those too.
#[derive(Clone, Debug, Default)]
pub(super) struct Style {
    pub names: BTreeSet<String>,
    pub macs: BTreeSet<Vec<u8>>,
}

/// What a link of the run's own is known by.
pub(super) struct Made<'a> {
    pub link: &'a LinkRef,
    pub kind: &'a str,
    /// The MAC that it was made with, where one was chosen.
    pub mac: Option<&'a [u8]>,
    /// A veth's other end: where it is, and its MAC.
    pub other: Option<(&'a Ns, u32, &'a [u8])>,
}

impl Txn {
    /// Deletes a link of the run's own, if it is still that: the index alone may be another's by now.
    pub(super) fn delete(
        &mut self,
        seq: u64,
        ns: &Ns,
        Made { link, kind, mac, other }: Made<'_>,
        report: &mut Report,
    ) -> Found {
        match self.kernel.link(ns, By::Index(link.index)) {
            Ok(Some(info)) if same_link(&info.state, kind) => {
                let style = self.styles.get(&(ns.cookie, link.index)).cloned().unwrap_or_default();
                let macs: Vec<&[u8]> = mac.into_iter().chain(style.macs.iter().map(Vec::as_slice)).collect();
                let names: Vec<&str> =
                    [link.name.as_str()].into_iter().chain(style.names.iter().map(String::as_str)).collect();
                let known = known(&info.state, &macs, &names)
                    || self.led(ns, &info, &names)
                    || self.ends_at(&info.state, other);
                if !known {
                    let text = |what: &str| {
                        format!(
                            "link `{}` in {} was {what}; `{}`, which has its index now, is taken for another's: left",
                            link.name,
                            ns.label(),
                            info.state.name
                        )
                    };
                    // Of the kind, and of no MAC that it would be known by.
                    if names.contains(&info.state.name.as_str()) {
                        report.differences.push(text("replaced, or given another MAC, by somebody else"));
                    } else if mac.is_some() {
                        report.notes.push(text("deleted already"));
                    } else {
                        report.differences.push(text("deleted or renamed by somebody else"));
                    }
                    return Found::Anothers;
                }
                let link = LinkRef { index: link.index, name: info.state.name };
                self.step(seq, &Verb::LinkDel { ns: ns.clone(), link }, report, &[Kind::NotFound]);
                Found::Ours
            }
            // Gone already (with its peer, or by somebody else's hand), or not ours: nothing to do.
            Ok(_) => Found::Nothing,
            Err(error) if error.kind == Kind::NotFound => Found::Nothing,
            Err(error) => {
                report.errors.push(error.to_string());
                Found::Ours
            }
        }
    }

    /// Whether a veth's other end is the one that it was made with.
    fn ends_at(&self, now: &LinkState, other: Option<(&Ns, u32, &[u8])>) -> bool {
        let Some((at, index, mac)) = other.filter(|(_, index, _)| now.kind == "veth" && now.lower == *index) else {
            return false;
        };
        matches!(self.kernel.link(at, By::Index(index)), Ok(Some(end)) if end.state.kind == "veth" && end.state.mac == mac)
    }

    /// Whether a bond or team gives the link its MAC, so that it is known by its name alone.
    fn led(&self, ns: &Ns, info: &LinkInfo, names: &[&str]) -> bool {
        let master = info.state.master;
        master != 0
            && names.contains(&info.state.name.as_str())
            && matches!(self.kernel.link(ns, By::Index(master)), Ok(Some(m)) if matches!(m.state.kind.as_str(), "bond" | "team"))
    }

    /// False: somebody else has the link now.
    pub(super) fn move_back(
        &mut self,
        (seq, since): (u64, u64),
        back: &Back,
        was: Option<&LinkState>,
        report: &mut Report,
        expected: &mut Expected,
    ) -> bool {
        let own = self.fresh(back.from.cookie, back.link.index, since);
        let info = match self.kernel.link(&back.to, By::Index(back.index)) {
            Ok(Some(info)) => info,
            // Back already, perhaps from a namespace that has gone since: an undo that was cut short got this far.
            Ok(None) | Err(Error { kind: Kind::NotFound, .. })
                if matches!(self.kernel.link(&back.from, By::Index(back.link.index)), Ok(Some(_))) =>
            {
                self.returned(back);
                return true;
            }
            // Limbo is empty once the run was committed: it is made again.
            Ok(None) if back.parked() => return true,
            Err(error) if back.parked() && error.kind == Kind::NotFound => return true,
            // One of the run's own, deleted by a later step or somebody else, is not missed.
            Ok(None) if own => return false,
            // Or went with a namespace of the run's own.
            Err(error) if own && error.kind == Kind::NotFound => return false,
            Ok(None) => {
                let to = back.to.label();
                report
                    .differences
                    .push(format!("link `{}` was moved to {to} and is gone from there: left", back.link.name));
                return false;
            }
            Err(error) => {
                report.errors.push(error.to_string());
                return true;
            }
        };
        if was.is_some_and(|was| replaced(back, was, &info.state)) {
            if own {
                return false;
            }
            report.differences.push(format!(
                "link `{}` was moved to {} and is gone from there; `{}`, which has its index now, is another's: left",
                back.link.name,
                back.to.label(),
                info.state.name
            ));
            return false;
        }
        let verb = Verb::LinkMove {
            ns: back.to.clone(),
            link: LinkRef { index: back.index, name: info.state.name },
            to: back.from.clone(),
            name: Some(back.link.name.clone()),
            index: back.link.index,
        };
        // Left at a refusal, a link that is missing would be made anew.
        if self.step_twice(seq, &verb, report) {
            expected.renumber(&*self.kernel, back.index, back.link.index);
            self.returned(back);
        }
        true
    }

    /// A verb on the way back that is tried again at once where it is refused: what comes next builds on it.
    fn step_twice(&mut self, seq: u64, verb: &Verb, report: &mut Report) -> bool {
        self.step(seq, verb, &mut Report::default(), &[]) || self.step(seq, verb, report, &[])
    }

    /// Veth pairs whose ends were in two namespaces, both gone: made again in one message.
    pub(super) fn remake_pairs(&mut self, seq: u64, changes: &[Change], report: &mut Report) {
        let [a, b, ..] = changes else { return };
        let missing = |kernel: &dyn crate::kernel::Kernel, c: &Change| -> Vec<u32> {
            let Some(after) = &c.after else { return Vec::new() };
            c.before
                .links
                .values()
                .filter(|l| l.kind == "veth" && !after.links.contains_key(&l.index))
                .filter(|l| matches!(kernel.link(&c.ns, By::Index(l.index)), Ok(None)))
                .map(|l| l.index)
                .collect()
        };
        let (here, there) = (missing(&*self.kernel, a), missing(&*self.kernel, b));
        for index in here {
            let Some(link) = a.before.links.get(&index) else { continue };
            let peer = b.before.links.get(&link.lower).filter(|p| there.contains(&p.index) && p.lower == index);
            if let Some(peer) = peer {
                let verb = restore::remake_pair((&a.ns, &a.before, link), (&b.ns, &b.before, peer));
                // Left at a refusal, each end would be made with another one.
                self.step_twice(seq, &verb, report);
            }
        }
    }
}

/// Whether a link at the index of one of the run's own is that: an index is soon given again. A MAC that was given to it tells, or
/// else its name; of a veth that has one, the name alone does not, since its other end tells as well. Of other kinds what is on
/// them may have changed the MAC (a macvlan that passes all through).
pub(super) fn known(now: &LinkState, macs: &[&[u8]], names: &[&str]) -> bool {
    let by_name = macs.is_empty() || now.kind != "veth";
    macs.contains(&now.mac.as_slice()) || (by_name && names.contains(&now.name.as_str()))
}

/// Whether another link is now at the place where one was moved.
pub(super) fn replaced(back: &Back, was: &LinkState, now: &LinkState) -> bool {
    was.kind != now.kind || (was.mac != now.mac && ![&back.name, &back.link.name].contains(&&now.name))
}

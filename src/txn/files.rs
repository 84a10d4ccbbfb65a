//! Files of the run on the way back: known by their content, written as they were, and kept where that can't be done now.

use super::log::Content;
use super::rollback::{Expected, Report};
use super::{Entry, Txn, Undo};
use crate::plan::{Kind, State, Verb};

impl Txn {
    /// Whether a file that the step wrote, or removed, has another content by now, is no regular file, or was removed: not the
    /// old content either, or, as an undo that was `begun` and cut short leaves it, its beginning.
    pub(super) fn foreign_file(&self, entry: &Entry, path: &str, before: Option<&Content>, begun: bool) -> bool {
        let new = match &entry.verb {
            Some(Verb::FileWrite { content, .. }) => Some(content),
            Some(Verb::FileRemove { .. }) => None,
            _ => return false,
        };
        let old = |now: &Vec<u8>| before.is_some_and(|b| b.bytes == *now || (begun && b.bytes.starts_with(now)));
        // Killed while it wrote, the beginning is there.
        let ours = |now: &Vec<u8>| match entry.outcome {
            Some(_) => new == Some(now),
            None => new.is_some_and(|new| new.starts_with(now)),
        };
        match self.kernel.read_file(path) {
            Ok(Some((now, _))) => !ours(&now) && !old(&now),
            // No undo takes away what was there before.
            Ok(None) => before.is_some() && new.is_some() && entry.outcome.is_some(),
            Err(error) => error.kind == Kind::Invalid,
        }
    }

    /// Brings back what a file was, unless somebody else changed it since. What can't be written now is kept for recover.
    pub(super) fn restore_file(
        &mut self,
        (entry, begun): (&Entry, bool),
        path: &str,
        before: Option<&Content>,
        folders: &[String],
        report: &mut Report,
        expected: &mut Expected,
    ) {
        // What a later step wrote is still there: of what this one did nothing can be told.
        let waits =
            |stuck: &Entry| stuck.seq > entry.seq && matches!(&stuck.undo, Undo::File { path: p, .. } if p == path);
        if self.stuck.values().any(waits) {
            self.stuck.insert(entry.seq, entry.clone());
            return;
        }
        if self.foreign_file(entry, path, before, begun) {
            self.stuck.remove(&entry.seq);
            let away = matches!(self.kernel.read_file(path), Ok(None));
            // What it was before the first step on it counts.
            let on_it =
                |e: &Entry| e.seq >= expected.since && matches!(&e.undo, Undo::File { path: p, .. } if p == path);
            if away && self.entries.iter().any(on_it) {
                return;
            }
            let how = if away { "removed" } else { "changed" };
            report.differences.push(format!("file `{path}` was {how} by somebody else: left"));
            return;
        }
        // Written again by an earlier step: the first content counts.
        expected.files.retain(|(p, _)| p != path);
        expected.files.push((path.into(), before.cloned()));
        // One that could not even be opened is as it was.
        let now = self.kernel.read_file(path);
        if before.is_some() && now.as_ref().is_ok_and(|now| same_file(now.as_ref(), before)) {
            self.stuck.remove(&entry.seq);
            return;
        }
        // Cut short it leaves a file that is neither the old nor the new one.
        if let Err(error) = self.log.lead(entry.seq, 0, &State::default(), &State::default()) {
            report.unwritten(&error);
        }
        expected.begun.insert(entry.seq);
        let removed = match &entry.verb {
            Some(Verb::FileRemove { folders, .. }) => Some(folders),
            _ => None,
        };
        // One that was removed got a mode of the moment by an undo that was cut short.
        let moded = |was: &Content| matches!(&now, Ok(Some((_, mode))) if *mode != was.mode);
        if begun && removed.is_some() && before.is_some_and(moded) {
            let away = Verb::FileRemove { path: path.into(), folders: Vec::new() };
            self.step(entry.seq, &away, report, &[Kind::NotFound]);
        }
        let back = match before {
            Some(was) => Verb::FileWrite {
                path: path.into(),
                content: was.bytes.clone(),
                mode: was.mode,
                // Its folders went with it.
                folders: removed.is_some_and(|folders| !folders.is_empty()),
            },
            None => Verb::FileRemove { path: path.into(), folders: folders.to_vec() },
        };
        self.observer.step(entry.seq, &back, true);
        self.stuck.remove(&entry.seq);
        match self.kernel.apply(&back) {
            Ok(_) => {}
            // On a file system that can't be written there is an error of its own for what isn't there.
            Err(_) if before.is_none() && matches!(self.kernel.read_file(path), Ok(None)) => {}
            Err(error) if error.kind == Kind::NotFound => report.errors.push(error.to_string()),
            Err(error) => {
                report.errors.push(format!(
                    "{error}; what the file was is kept: put that right, and undo again (`nsscript recover`, or `down` of a lab)"
                ));
                let mut entry = entry.clone();
                if let Undo::File { begun, .. } = &mut entry.undo {
                    *begun = true;
                }
                self.stuck.insert(entry.seq, entry);
            }
        }
    }
}

/// Whether a file that was read has this content and this mode, or is not there.
pub(super) fn same_file(now: Option<&(Vec<u8>, u32)>, content: Option<&Content>) -> bool {
    match (now, content) {
        (Some((bytes, mode)), Some(was)) => *bytes == was.bytes && *mode == was.mode,
        (None, None) => true,
        _ => false,
    }
}

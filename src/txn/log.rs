//! The undo log: what is written down before a step is done, and what after.

use crate::kernel::Lineage;
use crate::plan::nft::Table;
use crate::plan::{LinkRef, Ns, Outcome, Result, State, Verb};
use serde::{Deserialize, Serialize};

/// How a step is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// It goes with what it is part of, which the run made itself. Most are that: the journal leaves it out.
    #[default]
    Whole,
    /// The name is unbound, and what runs in the namespace ended.
    Unbind { ns: Ns },
    /// The name is bound again to the namespace, which is held open until the commit.
    Rebind { ns: Ns },
    /// The link is deleted, wherever it is now.
    Delete { ns: Ns, link: LinkRef },
    /// The namespaces are led back: what differs between `before` and `after` is taken back, the rest is left.
    /// `back` first moves links to where they came from.
    Restore { changes: Vec<Change>, back: Vec<Back> },
    /// The file gets its old content and mode, or is removed.
    File {
        path: String,
        before: Option<Content>,
        /// The folders that were missing, the innermost first: they go with the file.
        #[serde(default)]
        folders: Vec<String>,
        /// The undo was begun once: cut short, it leaves a beginning of what was before.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        begun: bool,
    },
    /// The tables of a ruleset that the step changed are led back, each where it is still as the step left it. Only the tables
    /// that the text can have changed are in here.
    Nft { ns: Ns, before: Vec<Table>, after: Option<Vec<Table>> },
    /// The process is ended, with all that it started. The tag is in its environment.
    Process { pid: i32, start_time: u64, tag: String },
    /// A compensation of the script's own (`on_rollback`), by number.
    Hook { id: u64 },
    /// Nothing brings it back; the undo says so.
    Lost { what: String },
}

impl Undo {
    fn is_whole(&self) -> bool {
        *self == Undo::Whole
    }
}

/// Content and mode of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    #[serde(with = "crate::plan::record::hex")]
    pub bytes: Vec<u8>,
    pub mode: u32,
}

/// A namespace before and after a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub ns: Ns,
    /// Only this link was read, not the whole namespace; 0: everything.
    pub only: u32,
    pub sysctls: Vec<String>,
    pub before: State,
    pub after: Option<State>,
    /// Of an undo that was begun: the state that it found, and the one that it was to bring about. Cut short, it left
    /// neither, and what it took away on its way must not be taken for a stranger's doing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lead: Option<Box<(State, State)>>,
}

/// Where a link came from that was moved, or set aside instead of deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    pub from: Ns,
    pub link: LinkRef,
    pub to: Ns,
    /// Its index there, once known.
    pub index: u32,
    /// The name that it was given there, where it got a new one.
    pub name: String,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    pub verb: Option<Verb>,
    #[serde(skip_serializing_if = "Undo::is_whole", default)]
    pub undo: Undo,
    /// The objects of the run's own that it is about: (cookie, 0) a namespace, (cookie, ifindex) a link. Where all of
    /// them go away with the undo, the step itself needs none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub on: Vec<(u64, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Where the log is kept. An entry is written before its verb is done; its outcome after.
pub trait UndoLog {
    /// Notes where the lab was set aside that this run replaces. Before anything else.
    fn replaces(&mut self, aside: std::path::PathBuf);
    /// The steps before `seq` cleared the way for this run: once it is committed, they are nothing that it did.
    ///
    /// # Errors
    /// It can't be written.
    fn cleared(&mut self, seq: u64) -> Result<()>;
    /// Makes the log, if it is not there yet: the first intent does so too.
    ///
    /// # Errors
    /// It can't be made, or the name is taken.
    fn begin(&mut self) -> Result<()>;
    /// A program is about to run that is waited for: killed meanwhile, we leave it behind. Where there is no log yet, nothing
    /// was changed, and none is made for it.
    ///
    /// # Errors
    /// It can't be written: the program is then not run.
    fn helper(&mut self, _: &Lineage) -> Result<()> {
        Ok(())
    }
    /// # Errors
    /// It can't be written: the step is then not done.
    fn intent(&mut self, entry: &Entry) -> Result<()>;
    /// # Errors
    /// It can't be written: the step is then undone.
    fn outcome(&mut self, entry: &Entry) -> Result<()>;
    /// All entries from `seq` on were undone, but for these.
    ///
    /// # Errors
    /// It can't be written.
    fn undone(&mut self, seq: u64, but: &[u64]) -> Result<()>;
    /// All entries from `seq` on were undone but for something that could not come back yet: they are kept for that.
    ///
    /// # Errors
    /// It can't be written.
    fn owed(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    /// The undo of entry `seq` is about to lead its change number `at` from one state to another.
    ///
    /// # Errors
    /// It can't be written.
    fn lead(&mut self, seq: u64, at: usize, from: &State, target: &State) -> Result<()>;
    /// The point of no return. `ended` are the steps whose processes have ended by then: nothing of them stands.
    /// `empty`: nothing of the run does.
    ///
    /// # Errors
    /// It can't be written: the run has to be undone.
    fn commit(&mut self, ended: &[u64], empty: bool) -> Result<()>;
    /// Where a namespace is kept by a bind mount until the commit; `None`: only by our own descriptor.
    fn keep(&self, cookie: u64) -> Option<std::path::PathBuf>;
    /// The lab gets another name: that of the log's folder.
    ///
    /// # Errors
    /// The name is taken.
    fn rename(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
    /// Nothing of the run is left: the log goes too.
    ///
    /// # Errors
    /// It can't be removed.
    fn end(&mut self) -> Result<()>;
}

/// A log that lives as long as the process: the entries are in the transaction itself.
#[derive(Debug, Default)]
pub struct InMemory;

impl UndoLog for InMemory {
    fn replaces(&mut self, _: std::path::PathBuf) {}
    fn cleared(&mut self, _: u64) -> Result<()> {
        Ok(())
    }
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }
    fn intent(&mut self, _: &Entry) -> Result<()> {
        Ok(())
    }
    fn outcome(&mut self, _: &Entry) -> Result<()> {
        Ok(())
    }
    fn undone(&mut self, _: u64, _: &[u64]) -> Result<()> {
        Ok(())
    }
    fn lead(&mut self, _: u64, _: usize, _: &State, _: &State) -> Result<()> {
        Ok(())
    }
    fn commit(&mut self, _: &[u64], _: bool) -> Result<()> {
        Ok(())
    }
    fn keep(&self, _: u64) -> Option<std::path::PathBuf> {
        None
    }
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

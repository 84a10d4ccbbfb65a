//! The undo log on disk: JSON lines in `/run/nsscript/labs/NAME/journal`, beside the namespaces and as short-lived as
//! they are.
//!
//! The intent is written before the verb is done, the outcome after; nothing is synced, since the file only has to
//! survive the process. Whether a run lives is told by a lock on the journal, not by a pid. It gets its place with its first
//! line written and locked, and leaves it locked (`folders.rs`): what is found there unlocked is a lab's, or a dead run's. A torn
//! last line is normal; a journal that can't be read is refused and left alone.

pub use super::folders::ROOT;
use super::folders::{self, failed};
use super::lock::{self, Locked};
use super::log::{Entry, Undo, UndoLog};
use crate::kernel::Lineage;
use crate::phase::{self, Phase};
use crate::plan::{Error, Kind, Outcome, Result, State, Verb};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The format of the lines below.
const VERSION: u32 = 5;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version; the key marks the file as one of ours.
    pub nsscript: u32,
    pub name: String,
    /// Of the boot in which it was written: namespaces do not outlive the kernel.
    pub boot: String,
    /// What the run's processes carry in their environment.
    pub mark: String,
    /// Seconds since 1970.
    pub started: u64,
    /// When its first step was about to be done, nanoseconds since boot: what came later is undone first. Not by the clock on the
    /// wall, which may be set back between two runs; journals are of one boot.
    pub began: u64,
    pub pid: u32,
    /// The script, for people.
    pub script: String,
    /// Where the lab was set aside that this run is to replace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub aside: Option<PathBuf>,
}

#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to or from the file")]
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line<'a> {
    Intent {
        entry: Cow<'a, Entry>,
    },
    Outcome {
        seq: u64,
        #[serde(skip_serializing_if = "Outcome::is_empty", default)]
        outcome: Cow<'a, Outcome>,
        #[serde(skip_serializing_if = "Option::is_none")]
        undo: Option<Cow<'a, Undo>>,
    },
    /// A program begins that is waited for.
    Helper {
        pid: i32,
        start_time: u64,
        tag: Cow<'a, str>,
    },
    /// The steps from here on are undone, but for these, which can't be for now.
    Undone {
        since: u64,
        #[serde(default, skip_serializing_if = "<[u64]>::is_empty")]
        but: Cow<'a, [u64]>,
    },
    /// The steps from here on are undone as far as they can be for now; what was refused is for an earlier step's undo to bring.
    Owed {
        since: u64,
    },
    /// The undo of a step is about to lead a namespace from one state to another.
    Lead {
        seq: u64,
        at: usize,
        from: Cow<'a, State>,
        target: Cow<'a, State>,
    },
    /// The steps before this one only cleared the way.
    Cleared {
        before: u64,
    },
    /// The point of no return: before it recover undoes, after it recover finishes.
    Commit {
        seconds: u64,
        #[serde(default)]
        ended: Cow<'a, [u64]>,
        /// Nothing is left of what the run made: the journal goes once the commit is finished.
        #[serde(default)]
        empty: bool,
    },
}

/// What a journal says.
#[derive(Clone, Debug)]
pub struct Story {
    pub header: Header,
    /// What stands, in order; an entry without outcome may or may not have been done.
    pub entries: Vec<Entry>,
    /// Those of them that are undone, but for something that could not come back yet: they made nothing that stands.
    pub owed: Vec<u64>,
    /// The steps that gave a link a name or a MAC, also those that are undone: it may be known by those.
    pub styles: Vec<Verb>,
    /// The last program that was waited for: its pid, its start time, and the tag in its environment. Perhaps it still runs.
    pub helper: Option<(i32, u64, String)>,
    /// When it was committed, seconds since 1970.
    pub committed: Option<u64>,
    /// It was committed with nothing left of what it made: no lab.
    pub empty: bool,
    /// The steps before this one cleared the way. Of a commit that is not finished they are still among the entries.
    pub cleared: u64,
    pub folder: PathBuf,
}

/// How a lab's folder stands.
#[derive(Debug)]
pub enum Standing {
    /// There is none.
    Free,
    /// A run is under way; its header, where it can be read yet.
    Running(Option<Box<Header>>),
    /// A run that ended without a word: there is something to recover.
    Broken(Box<Story>),
    /// A lab that stands.
    Committed(Box<Story>),
    /// Of another boot, or with not even a first line: nothing of it is left.
    Void,
}

/// The journal of a run. The folder and the file are made when the first step is written down.
pub struct Journal {
    header: Header,
    folder: PathBuf,
    file: Option<Locked>,
    length: u64,
    /// What is to be written next. Kept, since to make room for each line anew cost as much as to write it.
    lines: Vec<u8>,
}

/// The journal of a lab or a dead run that was taken over: nobody else is at it from here on, and this is what it says.
pub struct Taken {
    journal: Journal,
    story: Story,
}

/// The folder of a lab.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    Path::new(ROOT).join("labs").join(name)
}

/// This boot's id.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_string()
}

/// Seconds since 1970.
#[must_use]
pub fn seconds_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Nanoseconds since boot, those that the machine slept included.
fn since_boot() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or_default())
}

impl Journal {
    /// A journal for a run of this name; nothing is written yet.
    #[must_use]
    pub fn new(name: &str, mark: &str, script: &str) -> Journal {
        let header = Header {
            nsscript: VERSION,
            name: name.into(),
            boot: boot_id(),
            mark: mark.into(),
            started: seconds_now(),
            began: 0,
            pid: std::process::id(),
            script: script.into(),
            aside: None,
        };
        Journal { folder: folder(name), header, file: None, length: 0, lines: Vec::new() }
    }

    /// Makes the folder and the file, locked. A folder of that name that stands is an error.
    fn open(&mut self) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let young = folders::young(&self.header.mark);
        let made = self.make(&young);
        if made.is_err() {
            // Half a journal would be refused later on: the next step begins anew.
            let _ = std::fs::remove_dir_all(&young);
            self.file = None;
            folders::tidy();
        }
        made
    }

    /// Makes the journal beside, and puts it in its place once its first line is written: nobody ever finds a young one there.
    fn make(&mut self, young: &Path) -> Result<()> {
        self.file = Some(folders::begin(young)?);
        self.length = 0;
        self.header.began = since_boot();
        let header = self.header.clone();
        self.write(&header)?;
        folders::place(young, &self.folder).map_err(|e| {
            if folders::occupied(&e) { taken(&self.header.name) } else { failed("make", &self.folder, &e) }
        })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let waiting = self.lines.len();
        self.add(line)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let done = file.write_all(&self.lines);
        if let Err(e) = done {
            // Half a line must not be glued to the next one.
            let _ = file.set_len(self.length);
            self.lines.truncate(waiting);
            return Err(failed("write", &self.folder.join("journal"), &e));
        }
        self.length += self.lines.len() as u64;
        self.lines.clear();
        Ok(())
    }

    /// Adds a line to what is to be written next.
    fn add(&mut self, line: &impl Serialize) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let waiting = self.lines.len();
        let done = serde_json::to_writer(&mut self.lines, line);
        if let Err(e) = done {
            self.lines.truncate(waiting);
            return Err(Error::internal(format!("journal: {e}")));
        }
        self.lines.push(b'\n');
        Ok(())
    }
}

impl Taken {
    /// Takes over the journal of a story, locked, and reads it again: others may have been at it since the story was read.
    ///
    /// # Errors
    /// Another process is at it, or was, and it tells of something else now.
    pub fn over(story: &Story) -> Result<Taken> {
        let path = story.folder.join("journal");
        let busy = || in_use(&story.header.name);
        let file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(busy()),
            Err(e) => return Err(failed("open", &path, &e)),
        };
        let mut lock = Locked::try_new(file)?.filter(|lock| lock.is_at(&path)).ok_or_else(busy)?;
        // A torn last line is cut off, or the next would be glued to it.
        let length = whole_lines(&mut lock).map_err(|e| failed("read", &path, &e))?;
        lock.set_len(length).map_err(|e| failed("cut", &path, &e))?;
        let now = read_from(&mut lock, &story.folder)?.ok_or_else(busy)?;
        if now.header != story.header || now.committed.is_some() != story.committed.is_some() {
            return Err(busy());
        }
        let (header, folder) = (now.header.clone(), now.folder.clone());
        let journal = Journal { header, folder, file: Some(lock), length, lines: Vec::new() };
        Ok(Taken { journal, story: now })
    }

    /// What it says.
    #[must_use]
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// Sets the lab's folder aside, or puts it back: one rename. It stays locked.
    ///
    /// # Errors
    /// It can't be renamed.
    pub fn relocate(&mut self, to: &Path) -> Result<()> {
        let from = self.story.folder.clone();
        folders::place(&from, to).map_err(|e| {
            if folders::occupied(&e) {
                Error::new(
                    Kind::Exists,
                    format!("lab `{}` can't be put back: its name is taken", self.story.header.name),
                )
                .with_target(&self.story.header.name)
                .with_hint("take down what has it by now, then `nsscript recover` puts it back")
            } else {
                failed("rename", &from, &e)
            }
        })?;
        self.story.folder = to.to_path_buf();
        self.journal.folder = to.to_path_buf();
        folders::tidy();
        Ok(())
    }

    /// The story, and the journal to go on with.
    #[must_use]
    pub fn parts(self) -> (Story, Journal) {
        (self.story, self.journal)
    }

    /// Removes it: nothing of the run is left.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn remove(mut self) -> Result<()> {
        self.journal.end()
    }
}

/// The error of a journal that another process is at.
fn in_use(name: &str) -> Error {
    Error::new(Kind::Busy, format!("lab `{name}` is in use by another nsscript"))
        .with_target(name)
        .with_hint("wait for it to end, and try again")
}

/// The length of the file up to its last newline.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    let bytes = all_of(file)?;
    Ok(bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1))
}

fn all_of(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error of a name that is in use, naming who uses it.
#[must_use]
pub fn taken(name: &str) -> Error {
    let (kind, text, hint) = match standing(name) {
        Ok(Standing::Running(header)) => (
            Kind::Busy,
            match header {
                Some(header) => format!("another run of `{name}` is under way (pid {})", header.pid),
                None => format!("another run of `{name}` is under way"),
            },
            format!("wait for it to end, or give this one a name of its own: --name {name}-2"),
        ),
        _ => (
            Kind::Exists,
            format!("lab `{name}` stands already"),
            format!("take it down first: `nsscript down {name}`; or put this one in its place: --replace; or --name"),
        ),
    };
    Error::new(kind, text).with_target(name).with_hint(hint)
}

impl UndoLog for Journal {
    fn replaces(&mut self, aside: PathBuf) {
        self.header.aside = Some(aside);
    }

    fn cleared(&mut self, seq: u64) -> Result<()> {
        self.write(&Line::Cleared { before: seq })
    }

    fn begin(&mut self) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.open()
    }

    fn intent(&mut self, entry: &Entry) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.open()?;
        self.write(&Line::Intent { entry: Cow::Borrowed(entry) })
    }

    fn outcome(&mut self, entry: &Entry) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        let undo = matches!(entry.undo, Undo::Restore { .. } | Undo::Nft { .. }).then_some(Cow::Borrowed(&entry.undo));
        let outcome = entry.outcome.as_ref().map_or_else(Cow::default, Cow::Borrowed);
        // Such a step goes with what it was done to, whether it was done or not: that it was can wait for the next line.
        let waits = entry.undo == Undo::Whole && outcome.is_empty();
        let line = Line::Outcome { seq: entry.seq, outcome, undo };
        if waits { self.add(&line) } else { self.write(&line) }
    }

    fn helper(&mut self, of: &Lineage) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.write(&Line::Helper { pid: of.pid, start_time: of.start_time, tag: Cow::Borrowed(&of.tag) })
    }

    fn undone(&mut self, since: u64, but: &[u64]) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.write(&Line::Undone { since, but: Cow::Borrowed(but) })
    }

    fn owed(&mut self, since: u64) -> Result<()> {
        self.write(&Line::Owed { since })
    }

    fn lead(&mut self, seq: u64, at: usize, from: &State, target: &State) -> Result<()> {
        self.write(&Line::Lead { seq, at, from: Cow::Borrowed(from), target: Cow::Borrowed(target) })
    }

    fn commit(&mut self, ended: &[u64], empty: bool) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.write(&Line::Commit { seconds: seconds_now(), ended: Cow::Borrowed(ended), empty })
    }

    fn keep(&self, cookie: u64) -> Option<PathBuf> {
        self.file.is_some().then(|| self.folder.join("keep").join(cookie.to_string()))
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let to = folder(name);
        if self.file.is_some() {
            // An empty folder of that name would be replaced, a lab's is not: rename(2).
            std::fs::rename(&self.folder, &to)
                .map_err(|e| if folders::occupied(&e) { taken(name) } else { failed("rename", &self.folder, &e) })?;
        }
        self.folder = to;
        self.header.name = name.into();
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        let Some(lock) = self.file.take() else { return Ok(()) };
        // Let go only when nothing is there under its name any more: whoever waits for it must not take another lab for it.
        let done = folders::discard(&self.folder, &self.header.mark);
        drop(lock);
        done
    }
}

/// How the lab of a name stands.
///
/// # Errors
/// A journal that can't be read: it is left alone.
pub fn standing(name: &str) -> Result<Standing> {
    let folder = folder(name);
    let path = folder.join("journal");
    let meta = match std::fs::metadata(&folder) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Standing::Free),
        Err(e) => return Err(failed("look at", &folder, &e)),
    };
    if meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(Error::new(Kind::Permission, format!("`{}` belongs to user {}", folder.display(), meta.uid()))
            .with_hint("it is left alone"));
    }
    let mut file = match File::open(&path) {
        Ok(file) => file,
        // A folder without is nobody's: a run's has it from the first.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Standing::Free),
        Err(e) => return Err(failed("open", &path, &e)),
    };
    if lock::held(&file)? {
        return Ok(Standing::Running(header(&path).map(Box::new)));
    }
    Ok(match read_from(&mut file, &folder)? {
        Some(story) if story.header.boot != boot_id() => Standing::Void,
        Some(story) if story.committed.is_some() => Standing::Committed(Box::new(story)),
        Some(story) => Standing::Broken(Box::new(story)),
        None => Standing::Void,
    })
}

fn header(path: &Path) -> Option<Header> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The first line of the journal of this name, whoever is at it.
#[must_use]
pub fn header_of(name: &str) -> Option<Header> {
    header(&folder(name).join("journal"))
}

/// All names, of those that began last first.
#[must_use]
pub fn newest_first() -> Vec<String> {
    let mut all = names();
    by_age(&mut all);
    all
}

/// Sorts names: those that began last first.
pub fn by_age(names: &mut [String]) {
    names.sort_by_cached_key(|name| Reverse(age(name, header_of(name).as_ref())));
}

/// What a run or lab is later by than another. Of those that began at the same moment the first by name is.
#[must_use]
pub fn age(name: &str, header: Option<&Header>) -> (u64, Reverse<String>) {
    (header.map_or(0, |header| header.began), Reverse(name.to_owned()))
}

/// The folders of labs that are set aside.
#[must_use]
pub fn set_aside() -> Vec<PathBuf> {
    folders::inside(&Path::new(ROOT).join("aside"))
}

/// Whether somebody is at the journal in a folder.
#[must_use]
pub fn is_held(folder: &Path) -> bool {
    File::open(folder.join("journal")).is_ok_and(|file| lock::held(&file).unwrap_or(true))
}

/// The story in a folder, whoever is at it.
///
/// # Errors
/// It can't be read.
pub fn story_in(folder: &Path) -> Result<Story> {
    read(folder)?.ok_or_else(|| Error::internal(format!("`{}` holds no journal", folder.display())))
}

/// Whether a journal other than this story's has its mark, and is of a lab or of somebody who is at it: labs of one session
/// share it. One that a run sets aside, or puts back, meanwhile is found in one of both places: those of labs are looked at twice.
#[must_use]
pub fn shares_mark(story: &Story) -> bool {
    let labs = || folders::inside(&Path::new(ROOT).join("labs")).into_iter();
    labs().chain(std::iter::once_with(set_aside).flatten()).chain(std::iter::once_with(labs).flatten()).any(|folder| {
        let marked =
            header(&folder.join("journal")).is_some_and(|h| h.mark == story.header.mark && h.boot == boot_id());
        marked
            && folder != story.folder
            && (is_held(&folder) || story_in(&folder).is_ok_and(|other| other.committed.is_some()))
    })
}

/// Where a lab is set aside.
#[must_use]
pub fn aside(name: &str, mark: &str) -> PathBuf {
    Path::new(ROOT).join("aside").join(format!("{name}-{mark}"))
}

/// The name of the lab in a folder: an interactive session's gets it when it is committed, and only the folder has it.
fn lab_name(folder: &Path, header: &Header) -> Option<String> {
    let (name, above) = (folder.file_name()?.to_str()?, folder.parent()?);
    if above == Path::new(ROOT).join("labs") {
        return Some(name.to_owned());
    }
    let aside = above == Path::new(ROOT).join("aside");
    name.strip_suffix(&format!("-{}", header.mark)).filter(|_| aside).map(str::to_owned)
}

/// Reads a journal whole. `None`: not even its first line is.
fn read(folder: &Path) -> Result<Option<Story>> {
    let path = folder.join("journal");
    let mut file = File::open(&path).map_err(|e| failed("open", &path, &e))?;
    read_from(&mut file, folder)
}

/// Reads the journal of a folder from its file, wherever that is by now.
fn read_from(file: &mut File, folder: &Path) -> Result<Option<Story>> {
    let _phase = phase::enter(Phase::Journal);
    let path = folder.join("journal");
    let bytes = all_of(file).map_err(|e| failed("read", &path, &e))?;
    let refuse = |number: usize, why: String| {
        Error::new(Kind::Invalid, format!("journal `{}`, line {number}: {why}", path.display()))
            .with_hint("it is left alone; if nothing of it matters any more, remove its folder")
    };
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| refuse(0, e.to_string()))?;
    let mut lines = text.lines().enumerate();
    let Some((_, first)) = lines.next() else { return Ok(None) };
    let mut header: Header =
        serde_json::from_str(first).map_err(|e| refuse(1, format!("not a journal of nsscript: {e}")))?;
    if header.nsscript != VERSION {
        return Err(refuse(1, format!("its version is {}, this program reads {VERSION}", header.nsscript)));
    }
    if let Some(name) = lab_name(folder, &header) {
        header.name = name;
    }
    let mut story = Story {
        header,
        entries: Vec::new(),
        owed: Vec::new(),
        styles: Vec::new(),
        helper: None,
        committed: None,
        empty: false,
        cleared: 0,
        folder: folder.to_path_buf(),
    };
    for (at, line) in lines {
        match serde_json::from_str(line).map_err(|e| refuse(at + 1, e.to_string()))? {
            Line::Intent { entry } => {
                let style = |v: &&Verb| matches!(v, Verb::LinkSet { change, .. } if change.name.is_some() || change.mac.is_some());
                story.styles.extend(entry.verb.as_ref().filter(style).cloned());
                story.entries.push(entry.into_owned());
            }
            Line::Outcome { seq, outcome, undo } => {
                // It is mostly the last one.
                if let Some(entry) = story.entries.iter_mut().rfind(|e| e.seq == seq) {
                    entry.outcome = Some(outcome.into_owned());
                    if let Some(undo) = undo {
                        entry.undo = undo.into_owned();
                    }
                }
            }
            Line::Lead { seq, at, from, target } => {
                match story.entries.iter_mut().find(|e| e.seq == seq).map(|e| &mut e.undo) {
                    Some(Undo::Restore { changes, .. }) => {
                        if let Some(change) = changes.get_mut(at) {
                            change.lead.get_or_insert_with(|| Box::new((from.into_owned(), target.into_owned())));
                        }
                    }
                    Some(Undo::File { begun, .. }) => *begun = true,
                    _ => {}
                }
            }
            Line::Helper { pid, start_time, tag } => story.helper = Some((pid, start_time, tag.into_owned())),
            Line::Owed { since } => {
                story.owed.extend(story.entries.iter().map(|e| e.seq).filter(|seq| *seq >= since));
            }
            Line::Undone { since, but } if but.is_empty() => {
                while story.entries.pop_if(|e| e.seq >= since).is_some() {}
            }
            Line::Undone { since, but } => story.entries.retain(|e| e.seq < since || but.contains(&e.seq)),
            Line::Cleared { before } => story.cleared = before,
            Line::Commit { seconds, ended, empty } => {
                story.committed = Some(seconds);
                story.empty = empty;
                story.entries.retain(|e| !ended.contains(&e.seq));
            }
        }
    }
    // While the commit is not finished what was cleared away is still kept, and is needed to let go of it.
    if story.committed.is_some() && !folder.join("keep").exists() {
        story.entries.retain(|e| e.seq >= story.cleared);
    }
    Ok(Some(story))
}

/// The names of all labs, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let folders = folders::inside(&Path::new(ROOT).join("labs"));
    folders.iter().filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned())).collect()
}

/// Removes what is left of a lab of another boot.
///
/// # Errors
/// It can't be removed, or is something else by now.
pub fn remove(name: &str) -> Result<()> {
    let folder = folder(name);
    let path = folder.join("journal");
    let file = match OpenOptions::new().read(true).append(true).open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("open", &path, &e)),
    };
    let mut lock = Locked::try_new(file)?.filter(|lock| lock.is_at(&path)).ok_or_else(|| in_use(name))?;
    match read_from(&mut lock, &folder)? {
        Some(story) if story.header.boot == boot_id() => Err(in_use(name)),
        Some(story) => folders::discard(&folder, &story.header.mark),
        None => folders::discard(&folder, name),
    }
}

/// Checks a lab's name: it is a folder's.
///
/// # Errors
/// `invalid`.
pub fn check_name(name: &str) -> Result<()> {
    let bad = name.is_empty()
        || name.len() > 100
        || name.starts_with(['.', '-'])
        || name.chars().any(|c| c == '/' || c.is_control() || c.is_whitespace());
    if bad {
        return Err(Error::invalid(format!("`{}` can't be a lab's name", name.escape_debug()))
            .with_target(name)
            .with_hint("letters, digits, `-`, `_`, `.`; give one with --name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

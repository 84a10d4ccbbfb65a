//! The undo log on disk: JSON lines in `/run/nsscript/labs/NAME/journal`, beside the namespaces and as short-lived as
//! they are.
//!
//! The intent is written before the verb is done, the outcome after; nothing is synced, since the file only has to
//! survive the process. Whether a run lives is told by a lock on the journal, not by a pid. A torn last line is normal;
//! a journal that can't be read is refused and left alone.

use super::log::{Entry, Undo, UndoLog};
use crate::kernel::Lineage;
use crate::phase::{self, Phase};
use crate::plan::{Error, Kind, Outcome, Result, State};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where everything of nsscript's own is.
pub const ROOT: &str = "/run/nsscript";
/// The format of the lines below.
const VERSION: u32 = 2;

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
    Undone {
        since: u64,
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
#[derive(Debug)]
pub struct Story {
    pub header: Header,
    /// What stands, in order; an entry without outcome may or may not have been done.
    pub entries: Vec<Entry>,
    /// Those of them that are undone, but for something that could not come back yet: they made nothing that stands.
    pub owed: Vec<u64>,
    /// The last program that was waited for: its pid, its start time, and the tag in its environment. Perhaps it still runs.
    pub helper: Option<(i32, u64, String)>,
    /// When it was committed, seconds since 1970.
    pub committed: Option<u64>,
    /// It was committed with nothing left of what it made: no lab.
    pub empty: bool,
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
    /// Of another boot: nothing of it is left.
    Void,
}

/// The journal of a run. The folder and the file are made when the first step is written down.
pub struct Journal {
    header: Header,
    folder: PathBuf,
    file: Option<Flock<File>>,
    length: u64,
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

fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::from_io(e, format!("{what} `{}`", path.display())).with_op("journal");
    match error.kind {
        Kind::Permission => {
            error.with_hint("run it as root, or with `--sandbox`: a change that can't be journalled is not made")
        }
        Kind::Limit => error.with_hint("make room there: a change that can't be journalled is not made"),
        _ => error,
    }
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
            pid: std::process::id(),
            script: script.into(),
            aside: None,
        };
        Journal { folder: folder(name), header, file: None, length: 0 }
    }

    /// Makes the folder and the file, locked. A folder of that name that stands is an error.
    fn open(&mut self) -> Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let labs = Path::new(ROOT).join("labs");
        let private =
            |path: &Path, recursive: bool| std::fs::DirBuilder::new().recursive(recursive).mode(0o700).create(path);
        private(&labs, true).map_err(|e| failed("make", &labs, &e))?;
        if let Err(e) = private(&self.folder, false) {
            if e.kind() == std::io::ErrorKind::AlreadyExists {
                return Err(taken(&self.header.name));
            }
            return Err(failed("make", &self.folder, &e));
        }
        let path = self.folder.join("journal");
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed("make", &path, &e))?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, e)| Error::from_errno(e as i32, format!("lock `{}`", path.display())))?;
        self.file = Some(file);
        let header = self.header.clone();
        self.write(&header)
    }

    /// Takes over the journal of a story, locked, to undo it.
    ///
    /// # Errors
    /// Another process is at it.
    pub fn take_over(story: &Story) -> Result<Journal> {
        let path = story.folder.join("journal");
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| failed("open", &path, &e))?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, _)| {
            Error::new(Kind::Busy, format!("lab `{}` is in use by another nsscript", story.header.name))
                .with_target(&story.header.name)
                .with_hint("wait for it to end, and try again")
        })?;
        // A torn last line is cut off, or the next would be glued to it.
        let length = whole_lines(&path)?;
        file.set_len(length).map_err(|e| failed("cut", &path, &e))?;
        Ok(Journal { header: story.header.clone(), folder: story.folder.clone(), file: Some(file), length })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = serde_json::to_vec(line).map_err(|e| Error::internal(format!("journal: {e}")))?;
        bytes.push(b'\n');
        let done = file.write_all(&bytes);
        if let Err(e) = done {
            // Half a line must not be glued to the next one.
            let _ = file.set_len(self.length);
            return Err(failed("write", &self.folder.join("journal"), &e));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The length of the file up to its last newline.
fn whole_lines(path: &Path) -> Result<u64> {
    let mut file = File::open(path).map_err(|e| failed("open", path, &e))?;
    let mut bytes = Vec::new();
    file.rewind().map_err(|e| failed("read", path, &e))?;
    file.read_to_end(&mut bytes).map_err(|e| failed("read", path, &e))?;
    Ok(bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at as u64 + 1))
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
        self.write(&Line::Outcome { seq: entry.seq, outcome, undo })
    }

    fn helper(&mut self, of: &Lineage) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.write(&Line::Helper { pid: of.pid, start_time: of.start_time, tag: Cow::Borrowed(&of.tag) })
    }

    fn undone(&mut self, since: u64) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        self.write(&Line::Undone { since })
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
            std::fs::rename(&self.folder, &to).map_err(|e| match e.kind() {
                std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => taken(name),
                _ => failed("rename", &self.folder, &e),
            })?;
        }
        self.folder = to;
        self.header.name = name.into();
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let _phase = phase::enter(Phase::Journal);
        if self.file.take().is_none() {
            return Ok(());
        }
        // The lock is let go with the file; the folder goes after it, in one step for whoever looks: renamed first.
        let gone = Path::new(ROOT).join(format!("gone-{}", self.header.mark));
        let folder = if std::fs::rename(&self.folder, &gone).is_ok() { gone } else { self.folder.clone() };
        std::fs::remove_dir_all(&folder).map_err(|e| failed("remove", &folder, &e))?;
        // Directories that are empty now leave no trace.
        tidy();
        Ok(())
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
    let file = match File::open(&path) {
        Ok(file) => file,
        // Made a moment ago, or by a run that died in that moment: an empty folder holds nothing to undo.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(if std::fs::remove_dir(&folder).is_ok() { Standing::Free } else { Standing::Running(None) });
        }
        Err(e) => return Err(failed("open", &path, &e)),
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(lock) => {
            let story = read(&folder)?;
            drop(lock);
            match story {
                None => {
                    // Died before its first line was whole: nothing was done yet.
                    let _ = std::fs::remove_dir_all(&folder);
                    Ok(Standing::Free)
                }
                Some(story) if story.header.boot != boot_id() => Ok(Standing::Void),
                Some(story) if story.committed.is_some() => Ok(Standing::Committed(Box::new(story))),
                Some(story) => Ok(Standing::Broken(Box::new(story))),
            }
        }
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(Standing::Running(header(&path).map(Box::new))),
        Err((_, e)) => Err(Error::from_errno(e as i32, format!("lock `{}`", path.display()))),
    }
}

fn header(path: &Path) -> Option<Header> {
    let text = std::fs::read_to_string(path).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

/// The story in a folder that nobody else looks into: that of a lab that was set aside.
///
/// # Errors
/// It can't be read.
pub fn story_in(folder: &Path) -> Result<Story> {
    read(folder)?.ok_or_else(|| Error::internal(format!("`{}` holds no journal", folder.display())))
}

/// Where a lab is set aside.
#[must_use]
pub fn aside(name: &str, mark: &str) -> PathBuf {
    Path::new(ROOT).join("aside").join(format!("{name}-{mark}"))
}

/// Sets a lab's folder aside, or puts it back: one rename.
///
/// # Errors
/// It can't be renamed.
pub fn relocate(from: &Path, to: &Path) -> Result<()> {
    if let Some(dir) = to.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| failed("make", dir, &e))?;
    }
    std::fs::rename(from, to).map_err(|e| failed("rename", from, &e))?;
    // Empty directories leave no trace.
    for dir in [from.parent(), Some(Path::new(ROOT))].into_iter().flatten() {
        let _ = std::fs::remove_dir(dir);
    }
    Ok(())
}

/// Reads a journal whole. `None`: not even its first line is.
fn read(folder: &Path) -> Result<Option<Story>> {
    let _phase = phase::enter(Phase::Journal);
    let path = folder.join("journal");
    let bytes = std::fs::read(&path).map_err(|e| failed("read", &path, &e))?;
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
    // An interactive session's lab gets its name when it is committed: the folder has it.
    let labs = Path::new(ROOT).join("labs");
    if let (Some(name), true) = (folder.file_name(), folder.parent() == Some(labs.as_path())) {
        header.name = name.to_string_lossy().into_owned();
    }
    let mut story = Story {
        header,
        entries: Vec::new(),
        owed: Vec::new(),
        helper: None,
        committed: None,
        empty: false,
        folder: folder.to_path_buf(),
    };
    let mut cleared = 0;
    for (at, line) in lines {
        match serde_json::from_str(line).map_err(|e| refuse(at + 1, e.to_string()))? {
            Line::Intent { entry } => story.entries.push(entry.into_owned()),
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
                let entry = story.entries.iter_mut().find(|e| e.seq == seq);
                if let Some(Undo::Restore { changes, .. }) = entry.map(|e| &mut e.undo)
                    && let Some(change) = changes.get_mut(at)
                {
                    change.lead.get_or_insert_with(|| Box::new((from.into_owned(), target.into_owned())));
                }
            }
            Line::Helper { pid, start_time, tag } => story.helper = Some((pid, start_time, tag.into_owned())),
            Line::Owed { since } => {
                story.owed.extend(story.entries.iter().map(|e| e.seq).filter(|seq| *seq >= since));
            }
            Line::Undone { since } => while story.entries.pop_if(|e| e.seq >= since).is_some() {},
            Line::Cleared { before } => cleared = before,
            Line::Commit { seconds, ended, empty } => {
                story.committed = Some(seconds);
                story.empty = empty;
                story.entries.retain(|e| !ended.contains(&e.seq));
            }
        }
    }
    // While the commit is not finished what was cleared away is still kept, and is needed to let go of it.
    if story.committed.is_some() && !folder.join("keep").exists() {
        story.entries.retain(|e| e.seq >= cleared);
    }
    Ok(Some(story))
}

/// The names of all labs, sorted.
#[must_use]
pub fn names() -> Vec<String> {
    let Ok(dir) = std::fs::read_dir(Path::new(ROOT).join("labs")) else { return Vec::new() };
    // A file there is nobody's lab.
    let folders = dir.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<String> = folders.filter_map(|e| e.file_name().into_string().ok()).collect();
    all.sort();
    all
}

/// Removes what is left of a lab of another boot, or of a run that left nothing.
///
/// # Errors
/// It can't be removed.
pub fn remove(name: &str) -> Result<()> {
    let folder = folder(name);
    std::fs::remove_dir_all(&folder).map_err(|e| failed("remove", &folder, &e))?;
    tidy();
    Ok(())
}

/// Removes the folders that stand empty: no lab is left.
fn tidy() {
    let _ = std::fs::remove_dir(Path::new(ROOT).join("labs"));
    let _ = std::fs::remove_dir(Path::new(ROOT).join("aside"));
    let _ = std::fs::remove_dir(ROOT);
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
mod tests {
    use super::*;
    use crate::plan::{Ns, Verb};

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            verb: Some(Verb::NetnsAdd { name: "a".into(), cookie: 9 }),
            undo: Undo::Unbind { ns: Ns { cookie: 9, name: "a".into() } },
            on: Vec::new(),
            outcome: None,
        }
    }

    fn write(folder: &Path, lines: &[String], torn: &str) {
        std::fs::write(folder.join("journal"), lines.join("\n") + "\n" + torn).expect("written");
    }

    fn header() -> String {
        let header = Header {
            nsscript: VERSION,
            name: "x".into(),
            boot: boot_id(),
            mark: "m".into(),
            started: 1,
            pid: 1,
            script: "x.rhai".into(),
            aside: None,
        };
        serde_json::to_string(&header).expect("json")
    }

    fn line(line: &Line) -> String {
        serde_json::to_string(line).expect("json")
    }

    #[test]
    fn a_torn_last_line_is_normal() {
        let dir = tempfile::tempdir().expect("a folder");
        let lines = [header(), line(&Line::Intent { entry: Cow::Owned(entry(1)) })];
        write(dir.path(), &lines, r#"{"line":"outc"#);
        let story = read(dir.path()).expect("read").expect("a story");
        assert_eq!(story.entries, vec![entry(1)]);
        assert_eq!(story.committed, None);
    }

    #[test]
    fn what_was_undone_does_not_stand() {
        let dir = tempfile::tempdir().expect("a folder");
        let lines = [
            header(),
            line(&Line::Intent { entry: Cow::Owned(entry(1)) }),
            line(&Line::Outcome { seq: 1, outcome: Cow::default(), undo: None }),
            line(&Line::Intent { entry: Cow::Owned(entry(2)) }),
            line(&Line::Undone { since: 2 }),
            line(&Line::Commit { seconds: 7, ended: Cow::default(), empty: false }),
        ];
        write(dir.path(), &lines, "");
        let story = read(dir.path()).expect("read").expect("a story");
        assert_eq!(story.entries.len(), 1);
        assert!(story.entries[0].outcome.is_some());
        assert_eq!(story.committed, Some(7));
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        for bad in [
            vec!["{}".to_string()],
            vec![header(), "nonsense".into()],
            vec![header().replace(&format!(":{VERSION},"), ":99,")],
        ] {
            write(dir.path(), &bad, "");
            assert!(read(dir.path()).is_err(), "{bad:?}");
        }
    }
}

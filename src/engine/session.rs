//! A run: what script functions act through. It holds the transaction, the machine and the listener, and is the only
//! place where the three meet; functions lower to verbs and hand them over here.

pub mod foreground;
mod plan;

use crate::kernel::linux::Linux;
use crate::kernel::linux::process::{self, Finished, Spec, Started, Tee};
use crate::kernel::linux::rehearsal::{self, Rehearsal};
use crate::kernel::{By, Cancel, Kernel};
use crate::phase::{self, Phase};
use crate::plan::{Error, Kind, LinkInfo, Ns, Outcome, Result, Verb, ip};
use crate::report::{Event, Sink};
use crate::txn::journal::{self, Journal, Taken};
use crate::txn::{Observer, Report, Savepoint, Txn, labs};
use rhai::{FnPtr, NativeCallContext, Position};
use std::cell::{Cell, OnceCell, RefCell};
use std::net::Ipv6Addr;
use std::rc::Rc;
use std::time::Duration;

/// The longest that a script waits for duplicate address detection: three times what the defaults take.
const DAD_BOUND: Duration = Duration::from_secs(6);

/// The longest that a script waits for links to follow: the kernel looks after them once a second (`linkwatch`,
/// net/core/link_watch.c).
const LINK_BOUND: Duration = Duration::from_secs(3);
/// How long what the run left running has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// A run, shared by the functions of its engine.
#[derive(Clone)]
pub struct Session(Rc<Inner>);

/// Where events go; shared with the observer of the transaction.
pub type Listener = Rc<RefCell<dyn Sink>>;

/// What a run is given.
pub struct Setting {
    pub linux: Rc<Linux>,
    pub cancel: Cancel,
    pub listener: Listener,
    /// Whether the listener wants every step.
    pub steps: bool,
    /// The script's arguments.
    pub args: Vec<String>,
    /// The lab's name.
    pub name: String,
    /// The script, for people.
    pub script: String,
    /// What the run's processes carry in their environment.
    pub mark: String,
}

struct Inner {
    setting: Setting,
    kernel: Rc<dyn Kernel>,
    txn: RefCell<Option<Txn>>,
    place: Rc<Place>,
    within: RefCell<Vec<Ns>>,
    /// IPv6 addresses that the script gave and that are not yet known to be unique.
    tentative: RefCell<Vec<(Ns, u32, Ipv6Addr)>>,
    /// Links that the script set up, and that may not have followed yet.
    rising: RefCell<Vec<(Ns, u32)>>,
    hooks: RefCell<Vec<FnPtr>>,
    defers: RefCell<Vec<FnPtr>>,
    /// The lab that this run replaces, locked, and where it belongs.
    aside: RefCell<Option<(Taken, std::path::PathBuf)>>,
    exit: Cell<Option<i32>>,
    /// Folders of logs that were renamed since handles of them were given out.
    renamed: RefCell<Vec<(std::path::PathBuf, std::path::PathBuf)>>,
    /// What runs for labs that this session committed.
    committed: RefCell<Vec<process::Process>>,
    /// Whether any program was run.
    ran: Cell<bool>,
    foreground: Cell<foreground::Foreground>,
    stopped: Cell<bool>,
    /// What the last step was refused with, where it was.
    refusal: RefCell<Option<String>>,
    /// A run that was killed left something open.
    killed: Cell<bool>,
    runtime: OnceCell<tokio::runtime::Runtime>,
}

/// Where the script is: for the events of its steps.
#[derive(Default)]
struct Place {
    file: RefCell<String>,
    line: Cell<usize>,
}

struct Steps {
    listener: Listener,
    place: Rc<Place>,
    wanted: bool,
}

impl Observer for Steps {
    fn step(&mut self, index: u64, verb: &Verb, undo: bool) {
        if !self.wanted {
            return;
        }
        let file = self.place.file.borrow();
        let event = Event::Step {
            index: usize::try_from(index).unwrap_or_default(),
            op: verb.word().into(),
            ns: verb.ns().map(|ns| ns.name.clone()).unwrap_or_default(),
            target: verb.target(),
            ip: ip::equivalent(verb),
            file: (!file.is_empty()).then(|| file.clone()),
            line: self.place.line.get(),
            undo,
        };
        self.listener.borrow_mut().event(&event);
    }
}

/// The link that a verb sets up.
fn rising(verb: &Verb) -> Option<(Ns, u32)> {
    match verb {
        Verb::LinkAdd { ns, spec } if spec.up => Some((ns.clone(), spec.index)),
        Verb::LinkSet { ns, link, change } if change.up == Some(true) => Some((ns.clone(), link.index)),
        _ => None,
    }
}

/// An observer for undos outside of a run: each step goes to the listener if it is wanted.
#[must_use]
pub fn observer(listener: &Listener, wanted: bool) -> Box<dyn Observer> {
    Box::new(Steps { listener: Rc::clone(listener), place: Rc::new(Place::default()), wanted })
}

impl Session {
    #[must_use]
    pub fn new(setting: Setting) -> Session {
        let kernel: Rc<dyn Kernel> = Rc::clone(&setting.linux) as Rc<dyn Kernel>;
        let place = Rc::new(Place::default());
        let journal = Journal::new(&setting.name, &setting.mark, &setting.script);
        let steps = Steps { listener: Rc::clone(&setting.listener), place: Rc::clone(&place), wanted: setting.steps };
        let txn = Txn::new(Rc::clone(&kernel), Box::new(journal), Box::new(steps));
        Session(Rc::new(Inner {
            setting,
            kernel,
            txn: RefCell::new(Some(txn)),
            place,
            within: RefCell::default(),
            tentative: RefCell::default(),
            rising: RefCell::default(),
            hooks: RefCell::default(),
            defers: RefCell::default(),
            aside: RefCell::default(),
            exit: Cell::new(None),
            renamed: RefCell::default(),
            committed: RefCell::default(),
            killed: Cell::default(),
            ran: Cell::new(false),
            foreground: Cell::default(),
            stopped: Cell::default(),
            refusal: RefCell::default(),
            runtime: OnceCell::new(),
        }))
    }

    /// The session of a call, and where the call is.
    ///
    /// # Errors
    /// The engine was not made by [`crate::engine::Host`].
    pub fn of(ctx: &NativeCallContext) -> Result<Session> {
        let session = ctx
            .tag()
            .and_then(|tag| tag.clone().try_cast::<Session>())
            .ok_or_else(|| Error::internal("a function was called outside of a session"))?;
        session.at(ctx.call_source(), ctx.call_position());
        Ok(session)
    }

    fn at(&self, source: Option<&str>, position: Position) {
        if let Some(line) = position.line() {
            self.0.place.line.set(line);
            if self.0.setting.steps {
                *self.0.place.file.borrow_mut() = source.unwrap_or_default().to_string();
            }
        }
    }

    #[must_use]
    pub fn kernel(&self) -> &dyn Kernel {
        &*self.0.kernel
    }

    /// The real machine, for what a model can't do: running programs, sending packets.
    #[must_use]
    pub fn linux(&self) -> &Linux {
        &self.0.setting.linux
    }

    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.0.setting.cancel
    }

    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.0.setting.args
    }

    #[must_use]
    pub fn mark(&self) -> &str {
        &self.0.setting.mark
    }

    /// Where the logs of background processes go; it is made.
    ///
    /// # Errors
    /// It can't be made.
    pub fn log_folder(&self) -> Result<std::path::PathBuf> {
        self.txn(Txn::begin)?;
        let folder = crate::txn::journal::folder(&self.0.setting.name).join("log");
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(Error::from_io(&e, format!("make `{}`", folder.display())))
            }
            _ => Ok(folder),
        }
    }

    /// Tells the listener.
    pub fn event(&self, event: &Event) {
        self.0.setting.listener.borrow_mut().event(event);
    }

    /// A step that is no verb (a command, a ping), with the equivalent command.
    pub fn step_event(&self, op: &str, ns: &Ns, target: &str, ip: impl FnOnce() -> String) {
        if !self.0.setting.steps {
            return;
        }
        let file = self.0.place.file.borrow().clone();
        self.event(&Event::Step {
            index: 0,
            op: op.into(),
            ns: ns.name.clone(),
            target: target.into(),
            ip: ip(),
            file: (!file.is_empty()).then_some(file),
            line: self.0.place.line.get(),
            undo: false,
        });
    }

    /// The runtime for what really waits. Made when first needed.
    ///
    /// # Errors
    /// No descriptor is left for it.
    pub fn runtime(&self) -> Result<&tokio::runtime::Runtime> {
        if let Some(runtime) = self.0.runtime.get() {
            return Ok(runtime);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::from_io(&e, "start the event loop"))?;
        Ok(self.0.runtime.get_or_init(|| runtime))
    }

    /// Waits for a time, or until a signal comes.
    ///
    /// # Errors
    /// `interrupted`.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let cancel = self.cancel();
        cancel.check()?;
        self.runtime()?.block_on(async {
            tokio::select! {
                raised = cancel.raised() => raised,
                () = tokio::time::sleep(time) => Ok(()),
            }
        })?;
        cancel.check()
    }

    /// Runs a program to its end, its timeout, or a signal.
    ///
    /// # Errors
    /// It can't be run.
    pub fn run_program(&self, spec: &Spec, tee: Option<Tee<'_>>) -> Result<Finished> {
        let _phase = phase::enter(Phase::Process);
        if self.planning() {
            process::check(spec)?;
            self.0.ran.set(true);
            self.simulated("not run: status 0, no output");
            return Ok(Finished { code: Some(0), ..Finished::default() });
        }
        self.0.ran.set(true);
        // Killed meanwhile, we leave it to recover to end. While the run is being undone there is no log to write to.
        let mut told = |helper: &process::Lineage| match self.0.txn.try_borrow_mut() {
            Ok(mut slot) => slot.as_mut().map_or(Ok(()), |txn| txn.helper(helper)),
            Err(_) => Ok(()),
        };
        process::run(spec, self.cancel(), tee, Some(&mut told))
    }

    /// Starts a program in the background: it is written down before it runs, and ended by the undo.
    ///
    /// # Errors
    /// It can't be run, or not be written down.
    pub fn start_program(&self, ns: &Ns, spec: &Spec, log: &std::path::Path, words: &str) -> Result<Started> {
        let placeholder;
        let spec = if self.planning() {
            process::check(spec)?;
            self.simulated("not run: a process that does nothing stands for it");
            placeholder = Spec {
                argv: vec![rehearsal::PROGRAM.into(), rehearsal::PLACEHOLDER.into()],
                stdin: process::Stdin::Null,
                ..spec.clone()
            };
            &placeholder
        } else {
            spec
        };
        self.0.ran.set(true);
        let started = process::start(spec, log, |lineage| {
            self.txn(|txn| txn.started(ns, lineage.pid, lineage.start_time, &lineage.tag, words))
        })?;
        Ok(started)
    }

    /// The current namespace: the host's, or that of the innermost `within`.
    #[must_use]
    pub fn current(&self) -> Ns {
        self.0.within.borrow().last().cloned().unwrap_or_else(|| self.0.kernel.host())
    }

    /// Runs `work` with `ns` as the current namespace.
    pub fn within<T>(&self, ns: Ns, work: impl FnOnce() -> T) -> T {
        self.0.within.borrow_mut().push(ns);
        let result = work();
        self.0.within.borrow_mut().pop();
        result
    }

    /// The error of writing to standard output, once there was one.
    #[must_use]
    pub fn broken(&self) -> Option<std::io::Error> {
        self.0.setting.listener.borrow().broken()
    }

    /// (namespaces, links, processes) that the run made and that stand.
    #[must_use]
    pub fn standing(&self) -> (usize, usize, usize) {
        let (namespaces, links) = self.txn(|txn| Ok(txn.made())).unwrap_or_default();
        let processes = self.txn(|txn| Ok(txn.running())).unwrap_or_default();
        (namespaces, links, processes)
    }

    /// Whether anything of the run stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.txn(|txn| Ok(txn.stands())).unwrap_or(true)
    }

    /// Whether the run changed anything that stands.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.txn(|txn| Ok(!txn.is_empty())).unwrap_or(true)
    }

    /// Runs `work` on the transaction.
    ///
    /// # Errors
    /// `invalid` while the run is being undone, or those of `work`.
    pub fn txn<T>(&self, work: impl FnOnce(&mut Txn) -> Result<T>) -> Result<T> {
        let mut slot = self.0.txn.try_borrow_mut().map_err(|_| Error::internal("the transaction is in use"))?;
        match slot.as_mut() {
            Some(txn) => work(txn),
            None => Err(Error::invalid("the run is being undone: nothing can be changed any more").with_hint(
                "on_rollback may run commands and write to other systems; what nsscript changed is undone by itself",
            )),
        }
    }

    /// Does one verb. A signal that came is heard before.
    ///
    /// # Errors
    /// `interrupted`, or what the kernel refused.
    pub fn perform(&self, verb: Verb) -> Result<Outcome> {
        self.cancel().check()?;
        let up = rising(&verb);
        let again = (self.0.killed.get() || matches!(verb, Verb::NetnsAdd { .. })).then(|| verb.clone());
        let result = match (self.txn(|txn| txn.perform(verb)), again) {
            (Err(error), Some(verb)) if error.kind == Kind::Exists => self.collided(verb, error),
            (result, _) => result,
        };
        for note in self.linux().rehearsal().map(Rehearsal::notes).unwrap_or_default() {
            self.simulated(&note);
        }
        *self.0.refusal.borrow_mut() = result.as_ref().err().map(|e| e.message.clone());
        let outcome = result?;
        if let Some((ns, index)) = up {
            let index = outcome.link.as_ref().map_or(index, |l| l.index);
            self.0.rising.borrow_mut().push((ns, index));
        }
        Ok(outcome)
    }

    /// What the last step was refused with, where it was.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.0.refusal.borrow().clone()
    }

    /// Says what runs that were killed left open, and is ready to undo it where a step of this one runs into it.
    pub fn look_for_killed(&self) {
        if let Some(warning) = labs::left_open() {
            self.0.killed.set(true);
            let hint = Some("`nsscript recover` undoes it".into());
            self.event(&Event::Warning { message: warning, hint });
        }
    }

    /// What a step was to make is there. By a run that was killed: it is recovered, and the step done, unless this run builds on
    /// what that left. By a lab that stands, or a run under way: the error of a namespace names it.
    fn collided(&self, verb: Verb, mut error: Error) -> Result<Outcome> {
        let name = match &verb {
            Verb::NetnsAdd { name, .. } => Some(name.clone()),
            _ => None,
        };
        if let Some((killed, story)) = labs::in_the_way(self.kernel(), &verb) {
            if self.txn(|txn| Ok(txn.builds_on(&labs::traces(&story))))? {
                return Err(error.with_hint(format!(
                    "run `{killed}`, which was killed, left it, and this one builds on more of that: `nsscript recover` undoes it"
                )));
            }
            self.recover(&killed)?;
            match self.txn(|txn| txn.perform(verb)) {
                Err(again) if again.kind == Kind::Exists => error = again,
                done => return done,
            }
        }
        let Some(name) = name else { return Err(error) };
        let Some(lab) = labs::owner(&name) else { return Err(labs::with_maker(error, &name, &self.0.setting.name)) };
        Err(error.with_hint(format!(
            "it belongs to lab `{lab}`: `nsscript down {lab}` takes that down; or choose another name"
        )))
    }

    /// Undoes what a killed run of this name left, with one line said.
    ///
    /// # Errors
    /// What could not be undone.
    pub fn recover(&self, lab: &str) -> Result<()> {
        let mut steps = || observer(&self.0.setting.listener, self.0.setting.steps);
        for done in labs::recover(&self.0.kernel, Some(lab), &mut steps) {
            let message = done.words();
            let report = done.report?;
            self.event(&Event::Note { message });
            for text in report.errors.iter().chain(&report.differences) {
                self.event(&Event::Warning { message: text.clone(), hint: None });
            }
        }
        Ok(())
    }

    /// Does several verbs, all or nothing.
    ///
    /// # Errors
    /// That of `work`; then what it did is undone.
    pub fn atomic<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let savepoint = self.txn(|txn| Ok(txn.savepoint_within()))?;
        match work() {
            Ok(value) => {
                self.txn(|txn| {
                    txn.release(savepoint);
                    Ok(())
                })?;
                Ok(value)
            }
            Err(error) => {
                let report = self.rollback_to(savepoint, &mut |_| Ok(()));
                Err(crate::txn::with_report(error, &report))
            }
        }
    }

    /// Begins a savepoint of the script's own.
    ///
    /// # Errors
    /// `invalid` while the run is being undone.
    pub fn savepoint(&self) -> Result<Savepoint> {
        self.txn(|txn| Ok(txn.savepoint()))
    }

    /// Its work stands.
    pub fn release(&self, savepoint: Savepoint) {
        let _ = self.txn(|txn| {
            txn.release(savepoint);
            Ok(())
        });
    }

    /// Undoes what was done since the savepoint. While it runs, nothing else can be changed.
    pub fn rollback_to(&self, savepoint: Savepoint, hook: &mut dyn FnMut(u64) -> Result<()>) -> Report {
        self.undo(|txn, hook| txn.rollback_to(savepoint, hook), hook)
    }

    /// Undoes the whole run.
    pub fn rollback(&self, hook: &mut dyn FnMut(u64) -> Result<()>) -> Report {
        let mut report = self.undo(|txn, hook| txn.rollback(hook), hook);
        // What a command left in the background, in whatever namespace.
        if self.0.ran.get()
            && let Err(error) = process::end_descendants(|p| self.is_committed(p), GRACE)
        {
            report.errors.push(error.to_string());
        }
        if let Some((mut aside, home)) = self.0.aside.borrow_mut().take()
            && let Err(error) = aside.relocate(&home)
        {
            report.errors.push(error.to_string());
        }
        report
    }

    fn undo(
        &self,
        work: impl FnOnce(&mut Txn, &mut dyn FnMut(u64) -> Result<()>) -> Report,
        hook: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Report {
        let taken = self.0.txn.try_borrow_mut().ok().and_then(|mut slot| slot.take());
        let Some(mut txn) = taken else {
            return Report { errors: vec!["the transaction is in use".into()], ..Report::default() };
        };
        let _phase = phase::enter(Phase::Lower);
        let report = work(&mut txn, hook);
        *self.0.txn.borrow_mut() = Some(txn);
        self.0.tentative.borrow_mut().retain(|(ns, _, _)| self.0.kernel.inode(ns).is_ok());
        report
    }

    /// The run stands.
    ///
    /// # Errors
    /// The journal can't be written: nothing is committed.
    pub fn commit(&self) -> Result<Report> {
        // Past the point of no return only: until then the lab may have to be put back.
        let retire = |report: &mut Report| {
            let Some((aside, _)) = self.0.aside.borrow_mut().take() else { return };
            match labs::retire(Rc::clone(&self.0.kernel), aside, self.steps()) {
                Ok(old) => report.merge(old),
                Err(error) => report.errors.push(error.to_string()),
            }
        };
        let _phase = phase::enter(Phase::Lower);
        self.txn(|txn| txn.commit(retire))
    }

    /// What stands becomes a lab of this name, and the session goes on with nothing done.
    ///
    /// # Errors
    /// The name is taken, an IPv6 address is a duplicate, or the journal can't be written: nothing is committed.
    pub fn commit_as(&self, name: &str) -> Result<Report> {
        self.settle()?;
        let own = &self.0.setting.name;
        let (from, to) = (journal::folder(own), journal::folder(name));
        self.txn(|txn| txn.rename(name))?;
        let report = match self.commit() {
            Ok(report) => report,
            Err(error) => {
                self.txn(|txn| txn.rename(own))?;
                return Err(error);
            }
        };
        let journal = Journal::new(own, &self.0.setting.mark, &self.0.setting.script);
        self.txn(|txn| {
            txn.renew(Box::new(journal));
            Ok(())
        })?;
        self.0.renamed.borrow_mut().push((from, to));
        self.0.committed.borrow_mut().extend(process::own_children());
        Ok(report)
    }

    /// Whether a process is of a lab that this session committed: the same one, or what it left to us.
    fn is_committed(&self, process: &process::Process) -> bool {
        self.0.committed.borrow().iter().any(|c| {
            (c.pid, c.start_time) == (process.pid, process.start_time) || (c.tag.is_some() && c.tag == process.tag)
        })
    }

    /// Where a log is now that was once known as `path`: its folder may have been renamed.
    #[must_use]
    pub fn log_file(&self, path: &std::path::Path) -> std::path::PathBuf {
        let renamed = self.0.renamed.borrow();
        let mut now = renamed.iter().filter_map(|(from, to)| Some(to.join(path.strip_prefix(from).ok()?)));
        now.find(|p| p.exists()).unwrap_or_else(|| path.to_path_buf())
    }

    /// How many closures `defer` has registered.
    #[must_use]
    pub fn deferred(&self) -> usize {
        self.0.defers.borrow().len()
    }

    /// Forgets what `defer` registered after there were `count`: it belongs to what was undone.
    pub fn forget_defers(&self, count: usize) {
        self.0.defers.borrow_mut().truncate(count);
    }

    /// Forgets that `exit` was called.
    pub fn forget_exit(&self) {
        self.0.exit.set(None);
    }

    /// What is other than before the run, in words.
    ///
    /// # Errors
    /// Netlink refuses.
    pub fn differences(&self) -> Result<Vec<String>> {
        self.txn(|txn| txn.differences())
    }

    /// How many steps stand in the journal.
    #[must_use]
    pub fn steps_done(&self) -> usize {
        self.txn(|txn| Ok(txn.len())).unwrap_or_default()
    }

    fn steps(&self) -> Box<dyn Observer> {
        observer(&self.0.setting.listener, self.0.setting.steps)
    }

    /// Sets the lab of this name that stands aside, alive: it is put back if this run fails, and ended when it commits. It is
    /// locked until then, so that nobody takes it for one whose run was killed.
    ///
    /// # Errors
    /// It can't be set aside; then it stands as before.
    pub fn replace(&self, story: &journal::Story) -> Result<()> {
        let first = labs::clear_upon(&self.0.kernel, &story.header.name, &mut || self.steps())?;
        first.notes.into_iter().for_each(|message| self.event(&Event::Note { message }));
        first.differences.into_iter().for_each(|message| self.event(&Event::Warning { message, hint: None }));
        let mut taken = Taken::over(story)?;
        let story = taken.story().clone();
        let aside = journal::aside(&story.header.name, &story.header.mark);
        taken.relocate(&aside)?;
        self.0.aside.replace(Some((taken, story.folder.clone())));
        let clear = || -> Result<()> {
            self.txn(|txn| txn.replaces(aside))?;
            let left = labs::clear(self.kernel(), &story, &mut |verb| self.perform(verb).map(drop))?;
            left.into_iter().for_each(|message| self.event(&Event::Warning { message, hint: None }));
            self.txn(Txn::cleared)
        };
        clear().map_err(|error| {
            let report = self.rollback(&mut |_| Ok(()));
            crate::txn::with_report(error, &report)
        })
    }

    /// Remembers an IPv6 address that is to be waited for before it matters.
    pub fn expect_dad(&self, ns: &Ns, index: u32, ip: Ipv6Addr) {
        self.0.tentative.borrow_mut().push((ns.clone(), index, ip));
    }

    /// What has to be waited for before packets flow: links that were set up, and the script's IPv6 addresses. To be
    /// called before a ping, a command, a wait, and at the end of the script.
    ///
    /// # Errors
    /// `dad` for a duplicate; `interrupted`.
    pub fn settle(&self) -> Result<()> {
        let mut rising = std::mem::take(&mut *self.0.rising.borrow_mut());
        rising.sort();
        rising.dedup();
        for links in rising.chunk_by(|a, b| a.0 == b.0) {
            let Some((ns, _)) = links.first() else { continue };
            let indices: Vec<u32> = links.iter().map(|(_, index)| *index).collect();
            match self.0.kernel.wait_links(ns, &indices, LINK_BOUND, self.cancel()) {
                Ok(()) => {}
                Err(error) if error.kind == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.wait_dad()
    }

    /// The one wait for duplicate address detection: covers all IPv6 addresses that the script gave to links with
    /// carrier. Those without carrier are asked about again the next time.
    ///
    /// # Errors
    /// `dad` for a duplicate; `interrupted`.
    fn wait_dad(&self) -> Result<()> {
        if self.0.tentative.borrow().is_empty() {
            return Ok(());
        }
        let all = std::mem::take(&mut *self.0.tentative.borrow_mut());
        let mut spaces: Vec<Ns> = all.iter().map(|(ns, _, _)| ns.clone()).collect();
        spaces.sort();
        spaces.dedup();
        for ns in spaces {
            let only: Vec<(u32, Ipv6Addr)> =
                all.iter().filter(|(n, _, _)| n.is(&ns)).map(|(_, index, ip)| (*index, *ip)).collect();
            let dad = match self.0.kernel.wait_dad(&ns, Some(&only), DAD_BOUND, self.cancel()) {
                Ok(dad) => dad,
                Err(error) if error.kind == Kind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if let Some((index, ip)) = dad.failed.first() {
                let name = self.link_name(&ns, *index);
                return Err(Error::new(
                    Kind::Dad,
                    format!("address {ip} of `{name}` in {} is in use elsewhere on its link", ns.label()),
                )
                .with_ns(&ns.name)
                .with_target(ip.to_string())
                .with_hint("give another address, or #{ nodad: true } where the same address is meant to be twice"));
            }
            for (index, ip) in dad.pending {
                let name = self.link_name(&ns, index);
                self.event(&Event::Warning {
                    message: format!("address {ip} of `{name}` in {} is still tentative", ns.label()),
                    hint: Some("packets from it are not sent yet".into()),
                });
            }
        }
        // Without carrier there was nothing to wait for; with it, later, there is.
        let mut later = self.0.tentative.borrow_mut();
        for (ns, index, ip) in all {
            let carrier = self.0.kernel.link(&ns, By::Index(index)).ok().flatten().is_some_and(|l| l.carrier);
            if !carrier && self.0.kernel.inode(&ns).is_ok() {
                later.push((ns, index, ip));
            }
        }
        Ok(())
    }

    fn link_name(&self, ns: &Ns, index: u32) -> String {
        self.link_info(ns, index).map_or_else(|| format!("if{index}"), |l| l.state.name)
    }

    fn link_info(&self, ns: &Ns, index: u32) -> Option<LinkInfo> {
        self.0.kernel.link(ns, By::Index(index)).ok().flatten()
    }

    /// Registers `on_rollback`.
    ///
    /// # Errors
    /// `invalid` while the run is being undone.
    pub fn add_hook(&self, hook: FnPtr) -> Result<()> {
        let id = self.0.hooks.borrow().len() as u64;
        self.0.hooks.borrow_mut().push(hook);
        self.txn(|txn| txn.hook(id))
    }

    /// The compensation of a number.
    #[must_use]
    pub fn hook(&self, id: u64) -> Option<FnPtr> {
        self.0.hooks.borrow().get(usize::try_from(id).ok()?).cloned()
    }

    /// Registers `defer`.
    pub fn add_defer(&self, work: FnPtr) {
        self.0.defers.borrow_mut().push(work);
    }

    /// The deferred closures, last first.
    #[must_use]
    pub fn take_defers(&self) -> Vec<FnPtr> {
        let mut all = std::mem::take(&mut *self.0.defers.borrow_mut());
        all.reverse();
        all
    }

    /// The script called `exit`.
    pub fn set_exit(&self, code: i32) {
        self.0.exit.set(Some(code));
    }

    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.0.exit.get()
    }
}

//! The frame of a test program whose cases each run in a machine of their own: the program starts itself again in there
//! ([`world::enter`]), and looks afterwards whether anything is left running.

use super::{poll, world};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::time::Duration;

/// A test program.
pub struct Frame {
    /// Its name, as `cargo test --test` knows it.
    pub program: &'static str,
    /// How many cases run at a time: they mostly wait for the kernel.
    pub threads: usize,
    /// The longest that one case may take.
    pub bound: Duration,
    /// Why none of the cases can run, beside what [`world::impossible`] finds.
    pub needs: fn() -> Option<&'static str>,
    /// A case, inside.
    pub inside: fn(&str) -> Result<(), String>,
}

impl Frame {
    /// The program's `main`: inside it runs one case, outside it starts those that were asked for.
    pub fn main(self, names: impl IntoIterator<Item = String>) {
        self.main_with(names.into_iter().map(|name| (name, Vec::new())));
    }

    /// The same with what each case needs of the kernel, by the words of [`super::kernel_has`].
    pub fn main_with(self, cases: impl IntoIterator<Item = (String, Vec<String>)>) {
        self.main_between(cases, || (), || Ok(()));
    }

    /// The same, with something to do before all cases and after them.
    pub fn main_between(
        self,
        cases: impl IntoIterator<Item = (String, Vec<String>)>,
        before: impl FnOnce(),
        after: impl FnOnce() -> Result<(), String>,
    ) {
        super::hear_signals();
        let words: Vec<String> = std::env::args().collect();
        if words.get(1).is_some_and(|w| w == world::INSIDE) {
            match words.get(2).map_or(world::NOTHING, String::as_str) {
                world::NOTHING => {}
                name => {
                    if let Err(error) = world::furnish().and_then(|()| (self.inside)(name)) {
                        eprintln!("{error}");
                        std::process::exit(1);
                    }
                }
            }
            return;
        }
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(self.threads);
        let frame = std::sync::Arc::new(self);
        let trials = cases
            .into_iter()
            .map(|(name, features)| {
                let frame = std::sync::Arc::clone(&frame);
                Trial::ignorable_test(name.clone(), move || frame.outside(&name, &features))
            })
            .collect();
        if arguments.list {
            libtest_mimic::run(&arguments, trials).exit();
        }
        before();
        let conclusion = libtest_mimic::run(&arguments, trials);
        if let Err(error) = after() {
            eprintln!("{error}");
            std::process::exit(1);
        }
        conclusion.exit();
    }

    fn outside(&self, name: &str, features: &[String]) -> Result<Completion, Failed> {
        if let Some(reason) = world::impossible() {
            return if super::strict() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
        }
        if let Some(reason) = (self.needs)() {
            return Ok(Completion::ignored_with(reason));
        }
        for feature in features {
            if !super::kernel_has(feature)? {
                return Ok(Completion::ignored_with(format!("this kernel has no {feature}")));
            }
        }
        let mark = super::mark();
        let ended = world::enter(&[name], &mark, self.bound)?;
        let gone = poll(Duration::from_secs(10), || super::marked(&mark).is_empty());
        if ended.code() != 0 {
            let again = format!("run it alone: cargo test --test {} -- --exact '{name}'", self.program);
            return Err(format!("{}{}\n{again}", ended.stdout, ended.stderr).into());
        }
        print!("{}", ended.stdout);
        if gone {
            Ok(Completion::Completed)
        } else {
            Err(format!("left running:\n{}", super::marked(&mark).join("\n")).into())
        }
    }
}

/// For [`Frame::needs`]: nothing.
pub fn nothing() -> Option<&'static str> {
    None
}

/// For [`Frame::needs`]: faults on purpose.
pub fn faults() -> Option<&'static str> {
    (!cfg!(debug_assertions)).then_some("faults are made by debug builds only")
}

//! What a session says and knows where its script is planned, not run.

use super::Session;
use crate::kernel::linux::rehearsal::Rehearsal;
use crate::plan::{Rec, Result, What};
use crate::report::Event;

impl Session {
    /// Whether the script is planned, not run: in a copy of the world, with programs that only seem to run.
    #[must_use]
    pub fn planning(&self) -> bool {
        self.linux().rehearsal().is_some()
    }

    /// Whether a program would have run by now, so that what is seen may not be what a run would see.
    #[must_use]
    pub fn guessing(&self) -> bool {
        self.planning() && self.0.ran.get()
    }

    /// Whether in a plan the way to an address leads out of the copy: to none of its namespaces, and there are links whose
    /// other ends are not copied.
    ///
    /// # Errors
    /// A namespace can't be read.
    pub fn beyond(&self, ip: std::net::IpAddr) -> Result<bool> {
        if !self.linux().rehearsal().is_some_and(Rehearsal::open_ended) {
            return Ok(false);
        }
        let kernel = self.kernel();
        let mut spaces = vec![kernel.host()];
        for entry in kernel.list_ns(&kernel.host())? {
            spaces.extend(kernel.find_ns(&entry.name));
        }
        for ns in spaces {
            let all = kernel.dump(&ns, What::Addr)?;
            if all.into_iter().any(|body| Rec { what: What::Addr, body, ends: None }.local() == Some(ip)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// In a plan: says that a result was simulated, and what.
    pub fn simulated(&self, what: &str) {
        self.said_of_step(what, false);
    }

    /// In a plan: says that a result was found out, but in the copy of the world.
    pub fn in_the_copy(&self, what: &str) {
        self.said_of_step(what, true);
    }

    fn said_of_step(&self, what: &str, copy: bool) {
        let file = self.0.place.file.borrow().clone();
        self.event(&Event::Simulated {
            what: what.into(),
            copy,
            file: (!file.is_empty()).then_some(file),
            line: self.0.place.line.get(),
        });
    }
}

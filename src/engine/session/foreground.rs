//! What the programs of a session have while it waits for them.

use super::Session;

/// What a program in the foreground has, where its call says nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreground {
    /// Its output is the call's result.
    #[default]
    Captured,
    /// The same, and its output is shown as it comes (`tee`).
    Shown,
    /// The terminal (`interactive`): the person who typed the command has it, as in a shell.
    Terminal,
}

impl Session {
    /// What programs in the foreground have.
    #[must_use]
    pub fn foreground(&self) -> Foreground {
        self.0.foreground.get()
    }

    /// Whether Ctrl-C was pressed in a program that had the terminal: it may have gone on for ever.
    pub fn stopped(&self) -> bool {
        self.0.stopped.get()
    }

    /// Says so, or forgets it.
    pub fn set_stopped(&self, stopped: bool) {
        self.0.stopped.set(stopped);
    }

    /// Sets what programs in the foreground have from now on.
    pub fn set_foreground(&self, foreground: Foreground) {
        self.0.foreground.set(foreground);
    }
}

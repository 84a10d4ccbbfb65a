//! Namespaces made ahead, by threads of their own, once a run is seen to make several: making one takes the kernel about as
//! long as making a link, and the two can be done side by side.
//!
//! What was made ahead and is not needed has no name and no process in it: it ends with its descriptors, also after a kill.

use super::space::{Opened, make, setns};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The most that are ready and not taken: each holds two descriptors.
const MOST: usize = 32;
/// How many are asked for one by one before more are made ahead.
const SEVERAL: usize = 3;
/// The most of those that nobody has said will be needed: the script makes links meanwhile, which takes as long.
const GUESS: usize = 4;

#[derive(Default)]
struct Stock {
    ready: VecDeque<Opened>,
    /// How many are being made just now.
    under_way: usize,
    /// How many there should be, those under way included.
    wanted: usize,
    /// One could not be made, or the run is over: no more are.
    closed: bool,
}

#[derive(Default)]
struct Shared {
    stock: Mutex<Stock>,
    /// More are wanted, or it is over.
    asked: Condvar,
    /// One is ready, or no more will be.
    made: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn work(&self) {
        // It goes home after each, lest it keep one from ending.
        let Ok(home) = open("/proc/thread-self/ns/net", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
            return self.close();
        };
        let mut stock = self.lock();
        loop {
            while !stock.closed && stock.ready.len() + stock.under_way >= stock.wanted {
                stock = self.asked.wait(stock).unwrap_or_else(PoisonError::into_inner);
            }
            if stock.closed {
                return;
            }
            stock.under_way += 1;
            drop(stock);
            let opened = make();
            let back = setns(&home);
            stock = self.lock();
            stock.under_way -= 1;
            match (opened, back) {
                (Ok(opened), Ok(())) if !stock.closed => stock.ready.push_back(opened),
                // Whoever asks next makes one itself, and sees the error.
                _ => stock.closed = true,
            }
            self.made.notify_all();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
        self.made.notify_all();
    }
}

/// Gives namespaces that were made ahead.
#[derive(Default)]
pub struct Maker {
    shared: Arc<Shared>,
    threads: Cell<usize>,
    /// How many were asked for that nobody had said before.
    unforeseen: Cell<usize>,
    /// How many are still to be asked for, of those that were foreseen.
    foreseen: Cell<usize>,
}

impl Maker {
    /// So many are about to be asked for.
    pub fn foresee(&self, n: usize) {
        if n < 2 {
            return;
        }
        self.foreseen.set(n);
        self.want(n);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads(if n < 8 { 1 } else { cpus.min(2) });
    }

    fn threads(&self, n: usize) {
        while self.threads.get() < n {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("netns-ahead".into()).stack_size(256 << 10);
            let work = move || {
                crate::kernel::cancel::unheard();
                shared.work();
            };
            if thread.spawn(work).is_err() {
                return;
            }
            self.threads.set(self.threads.get() + 1);
        }
    }

    fn want(&self, n: usize) {
        self.shared.lock().wanted = n.min(MOST);
        self.shared.asked.notify_all();
    }

    /// One that was made ahead. `None`: make one yourself.
    pub fn take(&self) -> Option<Opened> {
        let foreseen = self.foreseen.get();
        if foreseen > 0 {
            self.foreseen.set(foreseen - 1);
        } else {
            self.unforeseen.set(self.unforeseen.get() + 1);
            if self.unforeseen.get() < SEVERAL {
                return None;
            }
            self.threads(1);
        }
        if self.threads.get() == 0 {
            return None;
        }
        // Foreseen ones are still needed; the more of others there were, the more there will be, and what is made in
        // vain is less than what was needed.
        let later = match foreseen {
            0 => (self.unforeseen.get() / 2).min(GUESS),
            n => n - 1,
        };
        let mut stock = self.shared.lock();
        // This one too, if none is ready.
        stock.wanted = (later + usize::from(stock.ready.is_empty())).min(MOST);
        self.shared.asked.notify_all();
        loop {
            if let Some(opened) = stock.ready.pop_front() {
                stock.wanted = later.min(MOST);
                self.shared.asked.notify_all();
                return Some(opened);
            }
            if stock.closed {
                return None;
            }
            stock = self.shared.made.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.lock().ready.clear();
    }
}

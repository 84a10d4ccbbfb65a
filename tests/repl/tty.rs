//! A session on a pseudo-terminal, and one on lines from a pipe.

use crate::common::world::{self, Dump};
use crate::common::{self, flat, poll};
use expectrl::session::OsSession;
use expectrl::{Expect as _, Session};
use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

pub const BOUND: Duration = Duration::from_secs(20);
/// Rows and columns of the terminal: nothing scrolls away.
pub const SIZE: (u16, u16) = (300, 100);
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const CTRL_R: &str = "\x12";
pub const TAB: &str = "\t";
pub const UP: &str = "\x1b[A";
pub const ESCAPE: &str = "\x1b";

pub type Done = Result<(), String>;

/// A session, and what its terminal shows.
pub struct Tty {
    pub session: OsSession,
    pub screen: vt100::Parser,
    /// The row at which the last input began.
    pub row: usize,
    pub home: tempfile::TempDir,
}

impl Tty {
    pub fn start() -> Result<Tty, String> {
        Tty::start_with(&["--host"], &[], tempfile::tempdir().map_err(|e| e.to_string())?)
    }

    pub fn start_with(args: &[&str], env: &[(&str, &str)], home: tempfile::TempDir) -> Result<Tty, String> {
        let mut command = Command::new(common::NSSCRIPT);
        command
            .args(args)
            .args(if args.contains(&"--color") { &[][..] } else { &["--color", "never"][..] })
            .env_remove("NO_COLOR")
            .env_remove("PAGER")
            .env("HOME", home.path())
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("XDG_STATE_HOME")
            .env_remove("INPUTRC")
            .env_remove("NSSCRIPT_KEYS")
            .envs(env.iter().copied());
        // What a lesson has one type writes files.
        if args.contains(&"learn") {
            command.current_dir(home.path());
        }
        let mut session = Session::spawn(command).map_err(|e| e.to_string())?;
        session.get_process_mut().set_window_size(SIZE.1, SIZE.0).map_err(|e| e.to_string())?;
        let mut tty = Tty { session, screen: vt100::Parser::new(SIZE.0, SIZE.1, 0), row: 0, home };
        if !args.contains(&"learn") {
            tty.see(">")?;
        }
        Ok(tty)
    }

    /// Takes what has come; false at the end of it.
    pub fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.session.try_read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => self.screen.process(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return true,
                // A terminal whose other end is closed: EIO.
                Err(_) => return false,
            }
        }
    }

    pub fn text(&self) -> String {
        let rows: Vec<String> = self.screen.screen().rows(0, SIZE.1).map(|r| r.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// What came since the last input, with it.
    pub fn since(&self) -> String {
        self.text().lines().skip(self.row).collect::<Vec<_>>().join("\n")
    }

    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&Tty) -> bool) -> Done {
        let there = poll(BOUND, || {
            self.read();
            holds(self)
        });
        if there { Ok(()) } else { Err(format!("{what} never came; the terminal:\n{}", self.text())) }
    }

    /// Waits until a text is seen that came with the last input or after it.
    pub fn see(&mut self, text: &str) -> Done {
        self.wait(&format!("`{text}`"), |tty| tty.since().contains(text))
    }

    pub fn send(&mut self, keys: &str) -> Done {
        self.read();
        self.session.send(keys).map_err(|e| e.to_string())
    }

    /// Types keys at a prompt.
    pub fn keys(&mut self, keys: &str) -> Done {
        self.read();
        self.row = usize::from(self.screen.screen().cursor_position().0);
        self.send(keys)
    }

    /// Types a line and waits for the prompt that comes after it.
    pub fn line(&mut self, text: &str, prompt: &str) -> Result<String, String> {
        self.keys(&format!("{text}\r"))?;
        self.prompt(prompt)?;
        Ok(self.since())
    }

    /// Waits for a prompt, whatever stands in it.
    pub fn any_prompt(&mut self) -> Done {
        self.wait("a prompt", |tty| {
            let (row, column) = tty.screen.screen().cursor_position();
            let line = tty.text().lines().nth(usize::from(row)).unwrap_or_default().to_owned();
            usize::from(row) > tty.row && line.ends_with('>') && usize::from(column) == line.chars().count() + 1
        })
    }

    /// Clears the screen, as Ctrl-L does; a screen that is full would scroll.
    pub fn clear(&mut self) -> Done {
        self.send("\x0c")?;
        self.wait("a clear screen", |tty| tty.screen.screen().cursor_position().0 == 0)
    }

    /// The same, on a terminal that may know nothing: there the screen is just taken as empty.
    pub fn clear_dumb(&mut self, term: &str) -> Done {
        if term != "dumb" {
            return self.clear();
        }
        self.read();
        self.screen = vt100::Parser::new(SIZE.0, SIZE.1, 0);
        Ok(())
    }

    /// Waits until the cursor is behind this prompt, on a line below that of the last input; any prompt, if it is empty.
    pub fn prompt(&mut self, prompt: &str) -> Done {
        if prompt.is_empty() {
            return self.any_prompt();
        }
        self.wait(&format!("the prompt `{prompt}`"), |tty| {
            let (row, column) = tty.screen.screen().cursor_position();
            let line = tty.text().lines().nth(usize::from(row)).unwrap_or_default().to_owned();
            usize::from(row) > tty.row && line.trim_end() == prompt.trim_end() && usize::from(column) == prompt.len()
        })
    }

    /// Waits until a `sleep` runs that the last input began.
    pub fn sleeps(&mut self) -> Done {
        self.wait("the program `sleep`", |_| sleeping())
    }

    /// Forgets the line that is being typed.
    pub fn cancel(&mut self) -> Done {
        let (row, _) = self.screen.screen().cursor_position();
        self.send(CTRL_C)?;
        self.wait("the next prompt", |tty| {
            let (now, column) = tty.screen.screen().cursor_position();
            let line = tty.text().lines().nth(usize::from(now)).unwrap_or_default().to_owned();
            now > row && line.ends_with('>') && usize::from(column) == line.len() + 1
        })
    }

    /// Waits for the end; the exit status as a shell shows it.
    pub fn end(&mut self, code: i32) -> Done {
        let mut status = None;
        let pid = self.pid();
        poll(BOUND, || {
            self.read();
            let mut raw = 0;
            // SAFETY: a child of ours, and a local for its status.
            let done = unsafe { libc::waitpid(pid, &raw mut raw, libc::WNOHANG) };
            if done == pid {
                status = Some(if libc::WIFEXITED(raw) { libc::WEXITSTATUS(raw) } else { 128 + libc::WTERMSIG(raw) });
            }
            status.is_some()
        });
        self.read();
        match status {
            Some(found) if found == code => Ok(()),
            Some(found) => Err(format!("exit status {found}, expected {code}; the terminal:\n{}", self.text())),
            None => Err(format!("it did not end; the terminal:\n{}", self.text())),
        }
    }

    /// Whether anything on the screen has a colour.
    pub fn is_coloured(&self) -> bool {
        let screen = self.screen.screen();
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.filter_map(|(row, column)| screen.cell(row, column)).any(|c| c.fgcolor() != vt100::Color::Default)
    }

    pub fn pid(&self) -> i32 {
        self.session.get_process().pid().as_raw()
    }

    pub fn kill(&self, signal: i32) {
        // SAFETY: takes two integers.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Leaves, taking down what stands. Before its prompt the terminal would take the key for the end of a line of its own, and
    /// the editor would get a NUL in its place (`n_tty_set_termios` of drivers/tty/n_tty.c).
    pub fn quit(&mut self) -> Done {
        self.wait("a prompt", |tty| {
            let (row, column) = tty.screen.screen().cursor_position();
            let text = tty.text();
            let line = text.lines().nth(usize::from(row)).unwrap_or_default();
            line.ends_with('>') && usize::from(column) == line.chars().count() + 1
        })?;
        self.keys(CTRL_D)?;
        self.end(0)
    }
}

/// Whether a program of that name runs; the processes are the test's own.
pub fn sleeping() -> bool {
    world::shell("grep -qsx 'sleep' /proc/[0-9]*/comm").is_ok()
}

pub fn has(text: &str, part: &str) -> Done {
    if flat(text).contains(&flat(part)) { Ok(()) } else { Err(format!("`{part}` is not in:\n{text}")) }
}

pub fn lacks(text: &str, part: &str) -> Done {
    if text.contains(part) { Err(format!("`{part}` should not be in:\n{text}")) } else { Ok(()) }
}

/// As before, while the session lives: but for its own journal.
pub fn same_now(before: &Dump) -> Done {
    let mut found = Vec::new();
    poll(Duration::from_secs(4), || {
        found = before.compare(Duration::ZERO).unwrap_or_else(|e| vec![e]);
        let own = |line: &str| line.starts_with("files: ") && line.contains("/run/nsscript");
        found.retain(|line| !own(line) && !line.contains("nsscript --host") && !line.contains("nsscript --sandbox"));
        found.is_empty()
    });
    if found.is_empty() { Ok(()) } else { Err(format!("not as before (- before, + after):\n{}", found.join("\n"))) }
}

pub fn same(before: &Dump) -> Done {
    let found = before.compare(Duration::from_secs(4))?;
    if found.is_empty() { Ok(()) } else { Err(format!("not as before (- before, + after):\n{}", found.join("\n"))) }
}

pub fn prepared() -> Result<Dump, String> {
    world::shell(world::WORLD)?;
    Dump::settled()
}

/// Runs a session on lines from a pipe.
pub fn piped(args: &[&str], lines: &str) -> Result<common::Ended, String> {
    let mut input = tempfile::tempfile().map_err(|e| e.to_string())?;
    input.write_all(lines.as_bytes()).and_then(|()| input.rewind()).map_err(|e| e.to_string())?;
    let output = Command::new(common::NSSCRIPT)
        .args(["--host", "--color", "never"])
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::from(input))
        .output()
        .map_err(|e| e.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(common::Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) })
}

pub fn succeeds(ended: &common::Ended) -> Done {
    match ended.code() {
        0 => Ok(()),
        code => Err(format!("status {code}; stdout:\n{}\nstderr:\n{}", ended.stdout, ended.stderr)),
    }
}

pub type Case = fn() -> Done;

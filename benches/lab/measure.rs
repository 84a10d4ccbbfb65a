//! What a measurement needs: a place of its own, rest before it, a program's time and resources.

use std::ffi::CString;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Numbers of one kind.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn median(&self) -> f64 {
        let mut all = self.0.clone();
        all.sort_by(f64::total_cmp);
        match all.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => all[n / 2],
            n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
        }
    }
    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
    pub fn show(&self) -> String {
        format!("{:.1} ({:.1})", self.median(), self.least())
    }
}

/// A program that has ended.
pub struct Ended {
    pub ms: f64,
    /// User and system time, of what it waited for too.
    pub cpu: f64,
    /// The largest resident set of it or of one that it waited for.
    pub mb: f64,
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a program to its end, and says what it took.
pub fn run(command: &mut Command) -> Result<Ended, String> {
    let what = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|e| format!("{what}: {e}"))?;
    let mut err = child.stderr.take().unwrap();
    let talk = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = err.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).map_err(|e| e.to_string())?;
    let mut status = 0;
    // SAFETY: a struct of plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointers are to locals; the child is ours and not waited for elsewhere.
    let got = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    let ms = millis(start.elapsed());
    if got < 0 {
        return Err(format!("{what}: {}", std::io::Error::last_os_error()));
    }
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    let time = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    let (out, err) = (String::from_utf8_lossy(&out).into_owned(), talk.join().unwrap());
    Ok(Ended { ms, cpu, mb: usage.ru_maxrss as f64 / 1024.0, code, out, err })
}

/// The same, of a program that has to end well.
pub fn well(command: &mut Command) -> Result<Ended, String> {
    let ended = run(command)?;
    if ended.code == 0 {
        return Ok(ended);
    }
    Err(format!("{} ended with {}: {}{}", command.get_program().to_string_lossy(), ended.code, ended.out, ended.err))
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn must(done: nix::Result<()>, what: &str) {
    if let Err(e) = done {
        eprintln!("{what}: {e}; the benchmark needs root");
        std::process::exit(1);
    }
}

/// Network and mount namespaces of its own, an empty /run, and a /sys that shows them. Before any thread.
pub fn isolate() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    const NONE: Option<&str> = None;
    must(unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS), "leave the machine's namespaces");
    must(mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE), "make mounts private");
    must(mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), NONE), "mount /run");
    must(mount(Some("none"), "/sys", Some("sysfs"), MsFlags::empty(), NONE), "mount /sys");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::set_current_dir(folder).expect("the package's folder");
    ip("link set lo up");
}

/// `ip` with these words.
pub fn ip(words: &str) {
    if let Err(error) = well(Command::new("ip").args(words.split(' '))) {
        eprintln!("ip {words}: {error}");
        std::process::exit(1);
    }
}

/// Waits until the kernel has finished deleting: namespaces end one batch after the other, so that a canary, the end of a
/// veth, goes after what was deleted before it, or with it; after a second one the first batch is done with.
pub fn quiet() {
    let name = CString::new("canary").unwrap();
    for _ in 0..2 {
        ip("netns add canary");
        ip("link add canary type veth peer name song netns canary");
        ip("netns del canary");
        let start = Instant::now();
        // SAFETY: a string that ends with NUL.
        while unsafe { libc::if_nametoindex(name.as_ptr()) } != 0 {
            assert!(start.elapsed() < Duration::from_secs(120), "the canary lives on");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The load averages.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", kernel.trim())
}

//! The program in the sandbox.

use super::*;

pub fn inner(part: &str) -> u8 {
    if part == "job" {
        return job();
    }
    if part == "privileged" {
        println!("{}", privileged());
        return 0;
    }
    let wish = match std::env::var(WISH).as_deref() {
        Ok("auto") => Wish::Auto,
        Ok("never") => Wish::Never,
        _ => Wish::Always,
    };
    // Still in the buffer when the sandbox is made: must come out once.
    print!("before ");
    let state = match enter(wish) {
        Ok(state) => state,
        Err(e) => {
            println!("{:?}: {e}; {}", e.kind, e.hint.as_deref().unwrap_or_default());
            return 99;
        }
    };
    match part {
        "sh" => {
            let status = Command::new("sh").args(["-c", &std::env::var(SCRIPT).unwrap()]).status().unwrap();
            u8::try_from(status.code().unwrap_or_else(|| 128 + status.signal().unwrap())).unwrap()
        }
        "info" => {
            match state {
                State::Host => println!("host"),
                State::Inside(info) => println!("{info:?}\n{}", describe(&info)),
            }
            0
        }
        "hostname" => {
            nix::unistd::sethostname(std::env::var(SCRIPT).unwrap()).unwrap();
            println!("{}", nix::unistd::gethostname().unwrap().display());
            0
        }
        "icmp" => {
            for kind in [libc::SOCK_RAW, libc::SOCK_DGRAM] {
                // SAFETY: no pointers; the descriptor is left to the end of the process.
                assert!(unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_ICMP) } >= 0, "{kind}");
            }
            // lo is up, or nothing could be bound and connected there.
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            0
        }
        "cancel" => {
            let cancel = Cancel::install().unwrap();
            say("ready");
            poll(&mut [PollFd::new(cancel.fd(), PollFlags::POLLIN)], PollTimeout::NONE).ok();
            while cancel.signal() == 0 {}
            say(&format!("got {}", cancel.signal()));
            7
        }
        // Without any handler.
        "plain" => {
            say("ready");
            loop {
                nix::unistd::pause();
            }
        }
        // Reads a line from the terminal.
        "read" => {
            say("ready");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            say(&format!("read {}", line.trim()));
            0
        }
        // Says how often SIGINT came, once SIGTERM comes.
        "count" => {
            let (mut ints, int) = std::os::unix::net::UnixStream::pair().unwrap();
            let (mut terms, term) = std::os::unix::net::UnixStream::pair().unwrap();
            signal_hook::low_level::pipe::register(libc::SIGINT, int).unwrap();
            signal_hook::low_level::pipe::register(libc::SIGTERM, term).unwrap();
            say("ready");
            terms.read_exact(&mut [0]).unwrap();
            ints.set_nonblocking(true).unwrap();
            say(&format!("ints {}", ints.read(&mut [0; 64]).unwrap_or(0)));
            0
        }
        // As an interactive shell does: takes the terminal for a process group of its own, and ends.
        "steal" => {
            let mut thief = Command::new("true");
            // SAFETY: only system calls between fork and exec.
            unsafe {
                thief.pre_exec(|| {
                    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
                    signal_ignore(Signal::SIGTTOU);
                    tcsetpgrp(std::io::stdin(), getpgrp())?;
                    Ok(())
                });
            }
            assert!(thief.status().unwrap().success());
            say("ready");
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            say(&format!("read {}", line.trim()));
            0
        }
        other => panic!("no part {other}"),
    }
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

pub fn signal_ignore(signal: Signal) {
    // SAFETY: no handler of ours.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) }.unwrap();
}

/// A shell with job control, as small as can be: runs the part in `NSSCRIPT_SANDBOX_JOB` in the foreground of the
/// terminal on stdin, and tells when it stops (after which it continues it) and ends.
fn job() -> u8 {
    setsid().unwrap();
    // SAFETY: makes stdin the controlling terminal; takes a number.
    assert!(unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } == 0);
    signal_ignore(Signal::SIGTTOU);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(INNER, std::env::var("NSSCRIPT_SANDBOX_JOB").unwrap()).process_group(0);
    let child = Pid::from_raw(command.spawn().unwrap().id().cast_signed());
    // With a second argument, the job starts in the background, and is put there again when it stops.
    let mut rounds_in_background = std::env::args().nth(1).map_or(0, |rounds| rounds.parse().unwrap());
    if rounds_in_background == 0 {
        tcsetpgrp(std::io::stdin(), child).unwrap();
    }
    say(&format!("pid {child}"));
    loop {
        match waitpid(child, Some(WaitPidFlag::WUNTRACED)).unwrap() {
            WaitStatus::Stopped(_, signal) => {
                // The program inside too, or it would go on in the background.
                let deadline = Instant::now() + PATIENCE;
                while !all_children_stopped(child) {
                    assert!(Instant::now() < deadline, "the program in the sandbox is not stopped");
                }
                if rounds_in_background > 0 {
                    rounds_in_background -= 1;
                } else {
                    tcsetpgrp(std::io::stdin(), child).unwrap();
                }
                killpg(child, Signal::SIGCONT).unwrap();
                // Not before: SIGCONT discards the stop that the reader of this line may ask for next.
                say(&format!("stopped by {signal}"));
            }
            WaitStatus::Exited(_, code) => {
                say(&format!("exited {code}"));
                return 0;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whether every child of `parent` is in state T (`proc_pid_stat(5)`).
fn all_children_stopped(parent: Pid) -> bool {
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let mut words = stat.rsplit_once(')')?.1.split_whitespace();
            Some((words.next()?.to_string(), words.next()?.parse::<i32>().ok()?))
        })
        .filter(|(_, ppid)| *ppid == parent.as_raw())
        .all(|(state, _)| state == "T")
}

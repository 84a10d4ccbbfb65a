//! `nsscript monitor`.

use super::*;

/// Starts a monitor and waits until it listens: a first event that the test makes again and again.
fn monitor(args: &[&str], poke: fn(), is_poke: fn(&str) -> bool) -> (std::process::Child, impl FnMut() -> String) {
    let mut child = command(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        while reader.read_line(&mut text).is_ok_and(|n| n > 0) {
            let _ = sender.send(std::mem::take(&mut text));
        }
    });
    let wait = std::time::Duration::from_millis(50);
    for _ in 0..200 {
        poke();
        if lines.recv_timeout(wait).is_ok() {
            break;
        }
    }
    let next = move || loop {
        let line = lines.recv_timeout(std::time::Duration::from_secs(10)).expect("no event came");
        if !is_poke(&line) {
            return line.trim_end().to_owned();
        }
    };
    (child, next)
}

/// An event of names.
fn poke_names() {
    std::fs::create_dir_all("/run/netns").unwrap();
    std::fs::write("/run/netns/poke", "").unwrap();
    std::fs::remove_file("/run/netns/poke").unwrap();
}

fn end(mut child: std::process::Child, signal: nix::sys::signal::Signal) -> Option<i32> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
    child.wait().unwrap().code()
}

#[test]
fn the_monitor_shows_names() {
    isolated!("monitor::the_monitor_shows_names");
    use nix::sys::signal::Signal;
    // /run/netns is not there yet.
    let (child, mut next) = monitor(&["netns", "monitor"], poke_names, |l| l.contains("poke"));
    line("netns add h1").ends(0);
    assert_eq!(next(), "add h1");
    ip("netns add h2");
    assert_eq!(next(), "add h2");
    line("netns del h1").ends(0);
    assert_eq!(next(), "delete h1");
    assert_eq!(end(child, Signal::SIGINT), Some(130));
    let (child, mut next) = monitor(&["--json", "monitor", "netns"], poke_names, |l| l.contains("poke"));
    ip("netns del h2");
    let event = &objects(&next())[0];
    assert_eq!(event, &serde_json::json!({ "event": "netns", "action": "delete", "name": "h2" }));
    assert_eq!(end(child, Signal::SIGTERM), Some(143));
}

#[test]
fn the_monitor_shows_objects() {
    isolated!("monitor::the_monitor_shows_objects");
    line("netns add h1").ends(0);
    let poke = || {
        ip("-n h1 link set lo up");
        ip("-n h1 link set lo down");
    };
    let is_poke: fn(&str) -> bool =
        |l| l.contains(": lo") || l.contains("127.0.0") || l.contains("::1") || l.contains("dev lo");
    let what = ["monitor", "--ns", "h1", "link", "addr", "route", "neigh"];
    let (child, mut next) = monitor(&what, poke, is_poke);
    ip("-n h1 link add va type veth peer vb");
    let (first, second) = (next(), next());
    assert!(first.starts_with("link    add    ") && first.contains("veth down mtu 1500 mac "), "{first}");
    assert!(second.starts_with("link    add    "), "{second}");
    ip("-n h1 link set va up");
    ip("-n h1 link set vb up");
    ip("-n h1 addr add 10.0.0.1/24 dev va");
    ip("-n h1 route add 10.9.0.0/16 dev va");
    ip("-n h1 neigh add 10.0.0.2 dev va lladdr 02:00:00:00:00:01");
    ip("-n h1 link del va");
    let mut all: Vec<String> = Vec::new();
    loop {
        all.push(next());
        if all.iter().filter(|l| l.starts_with("link    delete")).count() == 2 {
            break;
        }
    }
    for want in [
        "link    change ",
        "addr    add    10.0.0.1/24 dev va",
        "route   add    10.9.0.0/16 dev va",
        "neigh   add    10.0.0.2 dev va lladdr 02:00:00:00:00:01 ",
    ] {
        assert!(all.iter().any(|l| l.starts_with(want)), "no {want:?} in {all:#?}");
    }
    end(child, nix::sys::signal::Signal::SIGINT);
    line("monitor --ns nosuch link").ends(1).says("no namespace");
}

#[test]
fn the_monitor_ends_by_itself() {
    isolated!("monitor::the_monitor_ends_by_itself");
    line("monitor --timeout 10ms").ends(0).prints("");
    let (mut child, _) = monitor(&["monitor", "netns", "--count", "1"], poke_names, |_| false);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = "let n = netns_monitor(|e| fail(\"no\"), #{ timeout: \"10ms\" }); print(n);";
    run(&["--host", "-e", text]).ends(0).prints("0\n");
    // A script hears of what others do: of what it started itself.
    let text = r#"
        start(host(), ["sh", "-c", "while sleep 0.02; do ip netns add a; ip netns del a; done"]);
        let seen = [];
        let n = netns_monitor(|e| { seen.push(e); seen.len() < 3 }, #{ timeout: "10s" });
        print(`${n} ${seen[0].name} ${seen[0].event != seen[1].event} ${seen[0].event == seen[2].event}`);
        exit(0);
    "#;
    run(&["--host", "--rm", "-e", text]).ends(0).prints("3 a true true\n");
    let text = "netns_monitor(|e| true, #{ timeuot: 1 });";
    run(&["--host", "-e", text]).ends(1).says("did you mean `timeout`?");
}

//! Words of the lines that one types into a shell: `ip …`, `ping …`, and what runs a program.

use super::{Candidate, Place, files, plain, programs};
use crate::builtins::ip::keywords;
use crate::builtins::link::KINDS;
use crate::plan::Ns;
use crate::plan::ipwords::{objects, verbs};

/// The options of `ip` that are understood.
const OPTIONS: &[&str] = &[
    "-n",
    "-netns",
    "-4",
    "-6",
    "-family",
    "-all",
    "-batch",
    "-brief",
    "-details",
    "-force",
    "-json",
    "-oneline",
    "-statistics",
];

/// What `ip` has and only says that it is not understood here.
const ONLY_IP: &[&str] = &["save", "restore", "showdump"];

/// The word after the last `key`.
fn after<'a>(all: &[&'a str], key: &str) -> Option<&'a str> {
    let at = all.iter().rposition(|w| *w == key)?;
    all.get(at + 1).copied()
}

/// The object that a word begins, as the help of `ip` has it.
fn object(word: &str) -> &'static str {
    match objects().find(|o| !word.is_empty() && o.starts_with(word)) {
        Some("neighbor") => "neighbour",
        found => found.unwrap_or_default(),
    }
}

/// The words after `type KIND`.
fn of_kind(kind: &str) -> Vec<String> {
    let (name, port) = kind.strip_suffix("_slave").map_or((kind, false), |of| (of, true));
    let found = KINDS.iter().find(|(of, ..)| *of == name);
    let table = found.map_or(&[][..], |(_, options, ports)| if port { ports } else { options });
    let mut all: Vec<String> = table.iter().map(|c| c.word.to_owned()).filter(|w| !w.is_empty()).collect();
    if kind == "veth" {
        all.extend(["peer", "name", "netns"].map(str::to_owned));
    }
    all
}

impl Place<'_> {
    /// A word of an `ip` command: its objects and verbs, then namespaces, devices and keywords where they stand.
    pub(super) fn ip_line(&self, head: &str) -> (usize, Vec<Candidate>) {
        let word = head.rsplit(char::is_whitespace).next().unwrap_or_default();
        let start = head.len() - word.len();
        let words: Vec<&str> = head[..start].split_whitespace().collect();
        // From the last `ip`: `ip netns exec h1 ip link`.
        let inner = words.iter().rposition(|w| *w == "ip").unwrap_or_default();
        let words_of_it = words.get(inner + 1..).unwrap_or_default();
        let named = after(words_of_it, "-n").or_else(|| after(words_of_it, "-netns"));
        let ns = named.or_else(|| after(words.get(..inner).unwrap_or_default(), "exec"));
        let ns = ns.and_then(|name| self.interpreter.session().kernel().find_ns(name).ok());
        let ns = ns.unwrap_or_else(|| self.interpreter.place());
        let mut plain_words: Vec<&str> = Vec::new();
        let mut rest = words_of_it.iter();
        while let Some(word) = rest.next() {
            match *word {
                "-n" | "-netns" | "-f" | "-family" | "-b" | "-batch" => drop(rest.next()),
                option if option.starts_with('-') => {}
                word => plain_words.push(word),
            }
        }
        if let ["netns", "exec", _, program @ ..] = plain_words.as_slice() {
            let before = program.join(" ");
            let mut found = self.words_of_program(&before, word);
            if program.is_empty() {
                found.extend(["ip", "ping"].into_iter().filter(|w| w.starts_with(word)).map(plain));
            }
            return (start, found);
        }
        let of = object(plain_words.first().copied().unwrap_or_default());
        let last = words.last().copied().unwrap_or_default();
        let all: Vec<String> = match (last, plain_words.as_slice()) {
            ("-n" | "-netns" | "netns", _) if last != "netns" || plain_words.len() > 1 => self.namespaces(),
            ("-b" | "-batch", _) => return (start, files(word, false)),
            ("ip", _) | (_, []) if word.starts_with('-') => OPTIONS.iter().map(|o| (*o).to_owned()).collect(),
            ("ip", _) | (_, []) => objects().map(str::to_owned).collect(),
            (_, [_]) => verbs(of).iter().filter(|v| !ONLY_IP.contains(v)).map(|v| (*v).to_owned()).collect(),
            ("type", _) if of == "link" => {
                let kinds = KINDS.iter().map(|(kind, ..)| (*kind).to_owned());
                let ports = KINDS.iter().filter(|(.., ports)| !ports.is_empty() && !plain_words.contains(&"add"));
                kinds.chain(ports.map(|(kind, ..)| format!("{kind}_slave"))).collect()
            }
            ("dev" | "master" | "link" | "oif" | "iif" | "vrf", [_, _, ..]) => self.devices(&ns),
            ("via" | "src" | "get" | "local" | "remote", [_, _, ..]) if of != "link" => self.addresses(),
            (_, ["netns", verb]) if !["list", "add", "monitor", "identify", "list-id"].contains(verb) => {
                self.namespaces()
            }
            (_, ["netns", ..]) => Vec::new(),
            (_, ["link", "set" | "show" | "delete" | "del" | "s"]) => self.devices_of(of, "set", &ns),
            (_, ["neigh" | "n" | "neighbour" | "neighbor" | "a" | "addr" | "address", "show" | "flush"]) => {
                self.devices_of(of, "show", &ns)
            }
            (_, [_, verb, ..]) => match after(&plain_words, "type").filter(|_| of == "link") {
                Some(kind) => of_kind(kind),
                None => keywords(of, verb).into_iter().map(str::to_owned).collect(),
            },
        };
        (start, all.into_iter().filter(|w| w.starts_with(word)).map(plain).collect())
    }

    fn devices_of(&self, object: &str, verb: &str, ns: &Ns) -> Vec<String> {
        let mut all = self.devices(ns);
        all.extend(
            keywords(object, verb)
                .into_iter()
                .filter(|w| ["dev", "group", "type", "up"].contains(w))
                .map(str::to_owned),
        );
        all
    }

    /// A word of a line that runs a program: `ping …`, `:!…`.
    pub(super) fn program_line(&self, head: &str) -> (usize, Vec<Candidate>) {
        let line = head.trim_start().trim_start_matches(":!").trim_start();
        let word = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        let start = head.len() - word.len();
        (start, self.words_of_program(&line[..line.len() - word.len()], word))
    }

    /// What a word of a program's command may become: the program, then files, for `ping` addresses.
    pub(super) fn words_of_program(&self, before: &str, word: &str) -> Vec<Candidate> {
        let mut words = before.split_whitespace();
        match words.next() {
            None if word.is_empty() => Vec::new(),
            None if word.contains('/') => files(word, false),
            None => programs(word).into_iter().map(plain).collect(),
            Some("ping") if !word.contains('/') => {
                self.addresses().into_iter().filter(|a| a.starts_with(word)).map(plain).collect()
            }
            Some(_) => files(word, false),
        }
    }

    /// The addresses that there are, in all namespaces, without those of the loopback.
    pub(super) fn addresses(&self) -> Vec<String> {
        let session = self.interpreter.session();
        let host = session.kernel().host();
        let mut spaces = vec![host.clone()];
        spaces.extend(self.namespaces().iter().filter_map(|name| session.kernel().find_ns(name).ok()));
        let all = spaces.iter().flat_map(|ns| super::super::topology::addresses(session, ns));
        let bare = all.filter_map(|(_, address)| address.split_once('/').map(|(ip, _)| ip.to_owned()));
        bare.filter(|ip| !ip.starts_with("127.") && ip != "::1").collect()
    }

    /// Keys of sysctls, a part at a time: those of the running kernel, with the devices of `ns`.
    pub(super) fn sysctls(&self, begun: &str, ns: &Ns) -> Vec<Candidate> {
        let (folder, part) = begun.rsplit_once('.').map_or(("", begun), |(folder, part)| (folder, part));
        let path = std::path::Path::new("/proc/sys").join(folder.replace('.', "/"));
        let per_device = folder.rsplit('.').next().is_some_and(|last| last == "conf" || last == "neigh");
        let shown = if folder.is_empty() { String::new() } else { format!("{folder}.") };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let device = per_device && !["all", "default"].contains(&name.as_str());
            if name.starts_with(part) && !device && !name.contains('.') {
                let more = if entry.path().is_dir() { "." } else { "" };
                found.push(Candidate { text: format!("{shown}{name}{more}"), shown: format!("{name}{more}") });
            }
        }
        if per_device {
            let devices = self.devices(ns).into_iter().filter(|d| d.starts_with(part) && !d.contains('.'));
            found.extend(devices.map(|d| Candidate { text: format!("{shown}{d}."), shown: format!("{d}.") }));
        }
        found
    }
}

//! `ip netns`.

use super::{Answer, Place, perform as perform_words, text};
use crate::builtins::{exec, monitor, netns, ping};
use crate::engine::Session;
use crate::engine::session::foreground::Foreground;
use crate::engine::value::{self, put};
use crate::plan::ipwords::Word;
use crate::plan::ipwords::netns::Netns;
use crate::plan::{Error, Kind, Ns, Result};
use crate::report::Event;
use rhai::{Array, Dynamic, INT, Map};
use std::os::unix::fs::MetadataExt as _;

/// The namespace behind a file, if it has a name or is the host's.
pub fn by_file(session: &Session, path: &str) -> Result<Option<Ns>> {
    let meta = std::fs::metadata(path).map_err(|e| Error::from_io(&e, format!("read `{path}`")))?;
    let kernel = session.kernel();
    let host = kernel.host();
    if kernel.inode(&host)?.1 == meta.ino() {
        return Ok(Some(host));
    }
    let found = kernel.list_ns(&session.current())?.into_iter().find(|e| e.inode == meta.ino());
    found.map(|e| kernel.find_ns(&e.name)).transpose()
}

fn name(word: &Word) -> Dynamic {
    word.text.clone().into()
}

pub fn perform(place: &Place<'_>, command: Netns) -> Result<Answer> {
    let session = place.session;
    match command {
        Netns::List => return list(place),
        Netns::Add(word) => {
            let _ = netns::add(session, &name(&word), Map::new()).map_err(|e| super::placed(&word, e))?;
        }
        Netns::Attach(word, pid) => {
            netns::attach(session, &word.text, &INT::from(pid).into()).map_err(|e| super::placed(&word, e))?;
        }
        Netns::Set(word, id) => {
            let id = id.map_or_else(|| "auto".into(), |id| INT::from(id).into());
            netns::set_id(session, &name(&word), &id).map_err(|e| super::placed(&word, e))?;
        }
        Netns::Delete(word) => netns::delete(session, &name(&word)).map_err(|e| super::placed(&word, e))?,
        Netns::DeleteAll => {
            netns::delete_all(session)?;
        }
        Netns::Identify(pid) => {
            // In the namespace that the command is in, not that of nsscript itself.
            let found = match pid {
                Some(pid) => netns::identify(session, &format!("/proc/{pid}/ns/net"))?,
                None => place.ns.name.clone().into(),
            };
            return Ok(Answer::Text(found.into_string().unwrap_or_default()));
        }
        Netns::Pids(word) => {
            let ns = value::ns(session, &name(&word)).map_err(|e| super::placed(&word, e))?;
            let pids = exec::pids(session, &ns)?;
            return Ok(Answer::Text(pids.iter().map(Dynamic::to_string).collect::<Vec<_>>().join("\n")));
        }
        Netns::Exec(word, command) => {
            let ns = session.kernel().find_ns(&word.text).map_err(|e| super::placed(&word, e))?;
            return run(place, &ns, &command);
        }
        Netns::ExecAll(command) => return run_all(place, &command),
        Netns::Monitor => {
            let followed = monitor::follow(session, |event| {
                let what = if event.added { "add" } else { "delete" };
                session.event(&Event::Print { text: format!("{what} {}", event.name) });
            });
            // Who typed it ends it so.
            let typed = session.foreground() == Foreground::Terminal && session.cancel().signal() == libc::SIGINT;
            match followed {
                Err(error) if !typed => return Err(error),
                _ => {}
            }
        }
        Netns::ListId(target, only) => return list_id(place, target, only),
    }
    Ok(Answer::Nothing)
}

fn list(place: &Place<'_>) -> Result<Answer> {
    let all = place.session.kernel().list_ns(&place.ns)?;
    if place.options.json {
        let maps = all.into_iter().map(|entry| {
            let mut map = Map::new();
            put(&mut map, "name", entry.name);
            if let Some(id) = entry.nsid {
                put(&mut map, "id", INT::from(id));
            }
            map.into()
        });
        return Ok(Answer::Data(maps.collect()));
    }
    let lines: Vec<String> =
        all.into_iter().map(|e| e.nsid.map_or_else(|| e.name.clone(), |id| format!("{} (id: {id})", e.name))).collect();
    Ok(Answer::Text(lines.join("\n")))
}

fn list_id(place: &Place<'_>, target: Option<u32>, only: Option<u32>) -> Result<Answer> {
    let mut options = Map::new();
    for (key, value) in [("target_nsid", target), ("nsid", only)] {
        if let Some(value) = value {
            put(&mut options, key, INT::from(value));
        }
    }
    let all = netns::list_id(place.session, options)?;
    let mut lines = Vec::new();
    let mut maps = Array::new();
    for entry in all {
        let mut map = entry.try_cast::<Map>().unwrap_or_default();
        let id = map.get("nsid").map(ToString::to_string).unwrap_or_default();
        match map.get("name").filter(|n| !n.is_unit()) {
            Some(name) => lines.push(format!("nsid {id} (iproute2 netns name: {name})")),
            None => {
                lines.push(format!("nsid {id}"));
                map.remove("name");
            }
        }
        maps.push(map.into());
    }
    Ok(if place.options.json { Answer::Data(maps) } else { Answer::Text(lines.join("\n")) })
}

/// One command in a namespace: `ip` natively, everything else as a program.
fn run(place: &Place<'_>, ns: &Ns, command: &[Word]) -> Result<Answer> {
    let session = place.session;
    let argv: Vec<String> = command.iter().map(|w| w.text.clone()).collect();
    let program = argv.first().map(|p| p.rsplit('/').next().unwrap_or(p).to_string()).unwrap_or_default();
    if program == "ip" {
        return perform_words(session, ns.clone(), &command[1..], place.tee);
    }
    let mut options = Map::new();
    if place.tee {
        put(&mut options, "tee", true);
    }
    match exec::execute(session, ns, &argv, options) {
        Ok(_) if session.foreground() == Foreground::Terminal && !place.tee => Ok(Answer::Nothing),
        Ok(result) => Ok(Answer::Text(result.get("text").map(ToString::to_string).unwrap_or_default())),
        Err(error) if error.kind == Kind::NotFound && program == "ping" => {
            let text = ping::by_words(session, ns, command)?;
            session.event(&Event::Note { message: "there is no program `ping`: nsscript pings by itself".into() });
            Ok(Answer::Text(text))
        }
        // A status is no result here.
        Err(error) => Err(Error { hint: error.hint.filter(|h| !h.contains("check: false")), ..error }),
    }
}

/// In every namespace in turn; each output under the namespace's name, as `ip` writes it.
fn run_all(place: &Place<'_>, command: &[Word]) -> Result<Answer> {
    let session = place.session;
    let mut out = Vec::new();
    let mut data = Array::new();
    let all = session.kernel().list_ns(&place.ns)?;
    session.atomic(|| {
        for entry in &all {
            let ns = session.kernel().find_ns(&entry.name)?;
            if session.foreground() == Foreground::Terminal {
                // What a program writes comes at once: its heading goes before.
                let show = |text: &str| session.event(&Event::Print { text: text.to_owned() });
                show(&format!("\nnetns: {}", entry.name));
                if let Answer::Text(text) = run(place, &ns, command)? {
                    show(&text);
                }
                continue;
            }
            match run(place, &ns, command)? {
                Answer::Data(mut more) => data.append(&mut more),
                Answer::Text(text) => out.push(text::under(&entry.name, &text)),
                Answer::Nothing => out.push(text::under(&entry.name, "")),
            }
        }
        Ok(())
    })?;
    Ok(if data.is_empty() { Answer::Text(out.join("\n")) } else { Answer::Data(data) })
}

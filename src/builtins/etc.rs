//! Files of a namespace's own under /etc: those in `/etc/netns/NAME`, which programs in it see over the machine's
//! (ip-netns(8)).

use crate::engine::Session;
use crate::engine::value::{self, Fallible, Opts, run, text, what};
use crate::plan::addr::parse_ip;
use crate::plan::{Error, Ns, Result, Verb};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Map, NativeCallContext};

/// `/etc/netns/NAME/FILE`.
fn path(session: &Session, ns: &Dynamic, file: &str) -> Result<(Ns, String)> {
    let ns = value::ns(session, ns)?;
    if ns.is_host() {
        return Err(Error::invalid(format!("the host's namespace has no /etc/{file} of its own"))
            .with_hint("write_file changes the machine's"));
    }
    let path = format!("/etc/netns/{}/{file}", ns.name);
    Ok((ns, path))
}

fn write(session: &Session, ns: &Dynamic, file: &str, content: String) -> Result<()> {
    let (_, path) = path(session, ns, file)?;
    let path = super::file::behind(&path)?;
    super::file::kept(&path)?;
    session.perform(Verb::FileWrite { path, content: content.into_bytes(), mode: 0o644, folders: true }).map(|_| ())
}

/// One text, or an array of them.
fn several(value: &Dynamic, argument: &str) -> Result<Vec<String>> {
    match value.clone().into_array() {
        Ok(all) => all.iter().map(|v| text(v, argument)).collect(),
        Err(_) => Ok(vec![text(value, argument)?]),
    }
}

/// A word of these files: nothing that would begin another word or line.
fn word(text: &str, argument: &str) -> Result<String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(Error::invalid(format!("{argument} can't be `{}`", text.escape_debug())).with_target(text));
    }
    Ok(text.to_string())
}

fn resolver(servers: Array, options: Map) -> Result<String> {
    let opts = Opts::new("resolv_conf", options, &["search", "options"])?;
    let mut out = String::new();
    for server in &servers {
        out += &format!("nameserver {}\n", parse_ip(&text(server, "a name server")?)?);
    }
    for key in ["search", "options"] {
        if let Some(value) = opts.get(key) {
            let words: Result<Vec<String>> = several(value, &format!("option `{key}`"))?
                .iter()
                .map(|w| word(w, &format!("option `{key}`")))
                .collect();
            out += &format!("{key} {}\n", words?.join(" "));
        }
    }
    Ok(out)
}

fn names(all: Map) -> Result<String> {
    let mut out = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost\n");
    for (name, value) in all {
        let name = word(&name, "a host's name")?;
        if !value.is_array() && !value.is_string() {
            return Err(Error::invalid(format!(
                "hosts: `{name}` is an address or an array of them, not {}",
                what(&value)
            )));
        }
        for ip in several(&value, &format!("the address of `{name}`"))? {
            // As addr() takes it: with a length, too.
            let ip = parse_ip(ip.split('/').next().unwrap_or_default())?;
            out += &format!("{ip}\t{name}\n");
        }
    }
    Ok(out)
}

#[export_module]
pub mod functions {
    /// Gives a namespace a resolver configuration of its own: the file `/etc/netns/NAME/resolv.conf`, which programs in it
    /// see as `/etc/resolv.conf`. An array of name servers' addresses, with options `search` and `options` (words, or arrays
    /// of them, resolv.conf(5)); or the whole text. Undo restores the file, or removes it and the folders that were made
    /// for it.
    ///
    /// Errors: `invalid`, `permission`.
    ///
    /// ```rhai
    /// let h = netns_add(`h-${host().cookie}`);
    /// resolv_conf(h, ["10.0.0.53"], #{ search: "lab.example", options: ["ndots:2", "timeout:1"] });
    /// assert_eq(exec_in(h, "cat /etc/resolv.conf").lines[0], "nameserver 10.0.0.53");
    /// ```
    #[rhai_fn(name = "resolv_conf", return_raw)]
    pub fn resolv_conf(ctx: NativeCallContext, ns: Dynamic, servers: Array) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, "resolv.conf", resolver(servers, Map::new())?))
    }

    #[rhai_fn(name = "resolv_conf", return_raw)]
    pub fn resolv_conf_with(ctx: NativeCallContext, ns: Dynamic, servers: Array, options: Map) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, "resolv.conf", resolver(servers, options)?))
    }

    #[rhai_fn(name = "resolv_conf", return_raw)]
    pub fn resolv_conf_text(ctx: NativeCallContext, ns: Dynamic, text: &str) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, "resolv.conf", text.to_string()))
    }

    /// Gives a namespace host names of its own: the file `/etc/netns/NAME/hosts`, which programs in it see as `/etc/hosts`. A
    /// map from names to addresses (or arrays of them; a prefix length is left out), besides `localhost`; or the whole text.
    /// Undo restores the file, or removes it and the folders that were made for it.
    ///
    /// Errors: `invalid`, `permission`.
    ///
    /// ```rhai
    /// let h = netns_add(`h-${host().cookie}`);
    /// hosts(h, #{ server: "10.0.0.2/24", both: ["10.0.0.3", "fd00::3"] });
    /// assert(exec_in(h, "cat /etc/hosts").text.contains("10.0.0.2\tserver"), "the name is there");
    /// ```
    #[rhai_fn(name = "hosts", return_raw)]
    pub fn hosts(ctx: NativeCallContext, ns: Dynamic, names: Map) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, "hosts", super::names(names)?))
    }

    #[rhai_fn(name = "hosts", return_raw)]
    pub fn hosts_text(ctx: NativeCallContext, ns: Dynamic, text: &str) -> Fallible<()> {
        run(&ctx, |s| write(s, &ns, "hosts", text.to_string()))
    }
}

//! Namespaces: everything that `ip netns` does.

use crate::engine::Session;
use crate::engine::value::{self, Device, Fallible, NsHandle, Opts, put, run};
use crate::plan::{Error, Kind, LinkRef, Ns, Result, Verb, name};
use rhai::plugin::*;
use rhai::{Array, Dynamic, INT, Map, NativeCallContext};

/// Makes one namespace, with the loopback up where asked for.
fn make(session: &Session, name: &str, opts: &Opts) -> Result<NsHandle> {
    name::check_nsname(name)?;
    let lo = opts.bool("lo")?.unwrap_or(false);
    let add = || {
        let verb = Verb::NetnsAdd { name: name.into(), cookie: 0 };
        session.perform(verb)?.ns.ok_or_else(|| Error::internal("netns_add gave no namespace"))
    };
    if !lo {
        return add().map(NsHandle);
    }
    session.atomic(|| {
        let ns = add()?;
        // `LOOPBACK_IFINDEX`, include/net/net_namespace.h: the first link of every namespace.
        let lo = Device { ns: ns.clone(), link: LinkRef { index: 1, name: "lo".into() } };
        super::link::set_up(session, &lo, true)?;
        Ok(NsHandle(ns))
    })
}

/// Makes one (a name) or several (an array of names).
pub(super) fn add(session: &Session, names: &Dynamic, opts: Map) -> Result<Dynamic> {
    let opts = Opts::new("netns_add", opts, &["lo"])?;
    if names.is_array() {
        let names: Result<Vec<String>> = names
            .clone()
            .into_array()
            .unwrap_or_default()
            .iter()
            .map(|n| value::text(n, "a namespace's name"))
            .collect();
        let names = names?;
        session.kernel().expect_namespaces(names.len());
        return session.atomic(|| {
            let all: Result<Array> = names.iter().map(|n| make(session, n, &opts).map(Dynamic::from)).collect();
            all.map(Dynamic::from)
        });
    }
    make(session, &value::text(names, "a namespace's name")?, &opts).map(Dynamic::from)
}

/// The namespace that a name argument means, which has to be one with a name.
fn named(session: &Session, ns: &Dynamic) -> Result<Ns> {
    let ns = value::ns(session, ns)?;
    if ns.is_host() {
        return Err(Error::invalid("the host's namespace has no name that could be deleted or set"));
    }
    Ok(ns)
}

pub(super) fn delete(session: &Session, ns: &Dynamic) -> Result<()> {
    session.perform(Verb::NetnsDel { ns: named(session, ns)? }).map(|_| ())
}

/// Deletes every name, all or nothing. Returns how many.
pub(super) fn delete_all(session: &Session) -> Result<INT> {
    let names = session.kernel().list_ns(&session.current())?;
    session.atomic(|| {
        for entry in &names {
            delete(session, &entry.name.clone().into())?;
        }
        Ok(INT::try_from(names.len()).unwrap_or(INT::MAX))
    })
}

fn entries(session: &Session) -> Result<Array> {
    let from = session.current();
    let all = session.kernel().list_ns(&from)?;
    Ok(all
        .into_iter()
        .map(|entry| {
            let mut map = Map::new();
            put(&mut map, "name", entry.name);
            put(&mut map, "id", entry.nsid.map_or(Dynamic::UNIT, |id| INT::from(id).into()));
            value::put_int(&mut map, "inode", entry.inode);
            Dynamic::from(map)
        })
        .collect())
}

/// The name of the namespace that a process is in; `()` where it has none.
pub(super) fn identify(session: &Session, path: &str) -> Result<Dynamic> {
    use std::os::unix::fs::MetadataExt as _;
    // In a plan a process of the world outside is out of sight, but where it is is known.
    let outside = path.strip_prefix("/proc/").and_then(|p| p.strip_suffix("/ns/net")?.parse().ok());
    if let Some(ns) = outside.and_then(|pid| session.linux().rehearsal()?.outside(pid)) {
        let all = session.kernel().list_ns(&session.current())?;
        let inode = session.kernel().inode(&ns)?.1;
        return Ok(all.into_iter().find(|e| e.inode == inode).map_or(Dynamic::UNIT, |e| e.name.into()));
    }
    let meta = std::fs::metadata(path).map_err(|e| {
        let error = Error::from_io(&e, format!("read `{path}`"));
        if error.kind == Kind::NotFound { error.with_hint("there is no such process") } else { error }
    })?;
    let found = session.kernel().list_ns(&session.current())?.into_iter().find(|e| e.inode == meta.ino());
    Ok(found.map_or(Dynamic::UNIT, |e| e.name.into()))
}

pub(super) fn attach(session: &Session, name: &str, source: &Dynamic) -> Result<NsHandle> {
    name::check_nsname(name)?;
    let path = match source.as_int() {
        Ok(pid) if pid > 0 => format!("/proc/{pid}/ns/net"),
        Ok(pid) => return Err(Error::invalid(format!("{pid} is no process"))),
        Err(_) => value::text(source, "the process or file")?,
    };
    let outcome = session.perform(Verb::NetnsAttach { name: name.into(), path })?;
    outcome.ns.map(NsHandle).ok_or_else(|| Error::internal("netns_attach gave no namespace"))
}

pub(super) fn set_id(session: &Session, ns: &Dynamic, id: &Dynamic) -> Result<INT> {
    let target = named(session, ns)?;
    let at = session.current();
    let wanted = match (id.as_int(), id.is_string()) {
        (Ok(id), _) => Some(
            i32::try_from(id)
                .ok()
                .filter(|id| *id >= 0)
                .ok_or_else(|| Error::invalid(format!("{id} can't be an nsid: 0 to {}", i32::MAX)))?,
        ),
        (_, true) if value::text(id, "id")? == "auto" => None,
        _ => return Err(Error::invalid("the id is a number or \"auto\"")),
    };
    session.perform(Verb::NetnsSetId { at: at.clone(), target: target.clone(), id: wanted })?;
    let given = session.kernel().nsid(&at, &target)?;
    given.map(INT::from).ok_or_else(|| Error::internal("the nsid is not there after it was set"))
}

pub(super) fn list_id(session: &Session, opts: Map) -> Result<Array> {
    let opts = Opts::new("netns_list_id", opts, &["target_nsid", "nsid"])?;
    let at = session.current();
    if opts.get("target_nsid").is_some() {
        return Err(Error::new(Kind::Unsupported, "target_nsid: not looked up from here")
            .with_hint("within(ns, || netns_list_id()) lists what another namespace has"));
    }
    let only = opts.int("nsid", 0..=i64::from(i32::MAX))?;
    let named = session.kernel().list_ns(&at)?;
    let mut out = Array::new();
    for id in session.kernel().nsids(&at)? {
        if only.is_some_and(|only| only != i64::from(id)) {
            continue;
        }
        let name = named.iter().find(|e| e.nsid == Some(id)).map_or(Dynamic::UNIT, |e| e.name.clone().into());
        let mut map = Map::new();
        put(&mut map, "nsid", INT::from(id));
        put(&mut map, "name", name);
        out.push(map.into());
    }
    out.sort_by_key(|m| m.clone().try_cast::<Map>().and_then(|m| m.get("nsid")?.as_int().ok()));
    Ok(out)
}

#[export_module]
pub mod functions {
    /// A network namespace: what `netns_add` returns.
    pub type Netns = NsHandle;

    /// Makes a network namespace: its own links, addresses, routes and sysctls, with only a loopback that is down.
    /// An array of names makes several. Option `lo: true` brings the loopback up.
    ///
    /// The name is a file in `/run/netns`, as of `ip netns add`. Undo deletes the namespace and what is in it.
    ///
    /// Returns the namespace's handle (an array of handles for an array). Errors: `exists`, `invalid` for a name that
    /// can't be, `permission`.
    ///
    /// ```rhai
    /// let h1 = netns_add("h1");
    /// let all = netns_add(["h2", "h3"], #{ lo: true });
    /// assert_eq(all[1].name, "h3");
    /// assert(link("h2:lo").up, "lo is up");
    /// ```
    #[rhai_fn(name = "netns_add", return_raw)]
    pub fn netns_add(ctx: NativeCallContext, name: Dynamic) -> Fallible<Dynamic> {
        run(&ctx, |s| add(s, &name, Map::new()))
    }

    #[rhai_fn(name = "netns_add", return_raw)]
    pub fn netns_add_with(ctx: NativeCallContext, name: Dynamic, options: Map) -> Fallible<Dynamic> {
        run(&ctx, |s| add(s, &name, options))
    }

    /// Deletes a namespace's name, as `ip netns del`. The namespace itself ends when no process and no descriptor
    /// holds it any more, and takes along what of its links ends elsewhere. Undo binds the name to the same namespace again, with
    /// all that is in it. A link that was there before, and was moved into a namespace of the script's own, is deleted first, as
    /// by `link_del`: `nsscript down` can then bring it back.
    ///
    /// Errors: `not_found`; `unsupported` where `link_del` refuses such a link.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// netns_del("h1");
    /// assert_eq(netns_list().len(), 0);
    /// ```
    #[rhai_fn(name = "netns_del", return_raw)]
    pub fn netns_del(ctx: NativeCallContext, ns: Dynamic) -> Fallible<()> {
        run(&ctx, |s| delete(s, &ns))
    }

    /// Deletes every name in `/run/netns`, as `ip -all netns del`: also those that others made. Returns how many.
    /// Undo brings them all back.
    ///
    /// ```rhai
    /// netns_add(["h1", "h2"]);
    /// assert_eq(netns_del_all(), 2);
    /// ```
    #[rhai_fn(name = "netns_del_all", return_raw)]
    pub fn netns_del_all(ctx: NativeCallContext) -> Fallible<INT> {
        run(&ctx, delete_all)
    }

    /// The namespaces in `/run/netns`, sorted by name, as `ip netns list`: an array of maps with `name`, `id` (the
    /// nsid that the current namespace has for it, or `()`) and `inode`.
    ///
    /// ```rhai
    /// netns_add(["b", "a"]);
    /// let all = netns_list();
    /// assert_eq(all.map(|n| n.name), ["a", "b"]);
    /// assert_eq(all[0].id, ());
    /// ```
    #[rhai_fn(name = "netns_list", return_raw)]
    pub fn netns_list(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, entries)
    }

    /// Gives a name to a namespace that was made elsewhere: that of a process (a pid), or behind a file such as
    /// `"/proc/4711/ns/net"`. As `ip netns attach`. Undo takes the name away and leaves the namespace.
    ///
    /// Returns the namespace's handle. Errors: `exists`, `not_found` for the process, `invalid` for a file that is no
    /// network namespace.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// let p = start("h1", "sleep 100");
    /// let same = netns_attach("also-h1", p.pid);
    /// assert_eq(same.cookie, netns("h1").cookie);
    /// ```
    #[rhai_fn(name = "netns_attach", return_raw)]
    pub fn netns_attach(ctx: NativeCallContext, name: &str, source: Dynamic) -> Fallible<NsHandle> {
        run(&ctx, |s| attach(s, name, &source))
    }

    /// Gives a namespace an nsid as seen from the current one, as `ip netns set`: a number, or `"auto"`. Returns the
    /// nsid. The kernel has no way to take an nsid back: for namespaces that were there before, undo says so.
    ///
    /// Errors: `exists` where it has one already.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// assert_eq(netns_set("h1", 12), 12);
    /// assert_eq(netns_list()[0].id, 12);
    /// ```
    #[rhai_fn(name = "netns_set", return_raw)]
    pub fn netns_set(ctx: NativeCallContext, ns: Dynamic, id: Dynamic) -> Fallible<INT> {
        run(&ctx, |s| set_id(s, &ns, &id))
    }

    /// The nsids that the current namespace has given, as `ip netns list-id`: an array of maps with `nsid` and `name`
    /// (`()` where it has none). Option `nsid` shows only that one.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// netns_set("h1", 7);
    /// assert_eq(netns_list_id(#{ nsid: 7 })[0].name, "h1");
    /// ```
    #[rhai_fn(name = "netns_list_id", return_raw)]
    pub fn netns_list_id(ctx: NativeCallContext) -> Fallible<Array> {
        run(&ctx, |s| list_id(s, Map::new()))
    }

    #[rhai_fn(name = "netns_list_id", return_raw)]
    pub fn netns_list_id_with(ctx: NativeCallContext, options: Map) -> Fallible<Array> {
        run(&ctx, |s| list_id(s, options))
    }

    /// The name of the namespace that a process is in, or that nsscript is in; `()` where it has none. As
    /// `ip netns identify`.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// let p = start("h1", "sleep 100");
    /// assert_eq(netns_identify(p.pid), "h1");
    /// assert_eq(netns_identify(), ());
    /// ```
    #[rhai_fn(name = "netns_identify", return_raw)]
    pub fn netns_identify(ctx: NativeCallContext) -> Fallible<Dynamic> {
        run(&ctx, |s| identify(s, "/proc/self/ns/net"))
    }

    #[rhai_fn(name = "netns_identify", return_raw)]
    pub fn netns_identify_pid(ctx: NativeCallContext, pid: INT) -> Fallible<Dynamic> {
        run(&ctx, |s| identify(s, &format!("/proc/{pid}/ns/net")))
    }

    /// The handle of a namespace that exists. Errors: `not_found`, with the nearest name.
    ///
    /// ```rhai
    /// netns_add("h1");
    /// assert_eq(netns("h1").name, "h1");
    /// ```
    #[rhai_fn(name = "netns", return_raw)]
    pub fn netns(ctx: NativeCallContext, name: &str) -> Fallible<NsHandle> {
        run(&ctx, |s| s.kernel().find_ns(name).map(NsHandle))
    }

    /// The namespace that nsscript was started in; in a sandbox the sandbox's first.
    ///
    /// ```rhai
    /// assert_eq(host().name, "");
    /// assert(link(host(), "lo").index == 1, "the loopback is the first link");
    /// ```
    #[rhai_fn(name = "host", return_raw)]
    pub fn host(ctx: NativeCallContext) -> Fallible<NsHandle> {
        run(&ctx, |s| Ok(NsHandle(s.kernel().host())))
    }

    /// The namespace's name; empty for the host's.
    #[rhai_fn(get = "name", pure)]
    pub fn get_name(ns: &mut NsHandle) -> String {
        ns.0.name.clone()
    }

    /// The nsid that the current namespace has for it, or `()`.
    #[rhai_fn(get = "id", pure, return_raw)]
    pub fn get_id(ctx: NativeCallContext, ns: &mut NsHandle) -> Fallible<Dynamic> {
        run(&ctx, |s| {
            let id = s.kernel().nsid(&s.current(), &ns.0)?;
            Ok(id.map_or(Dynamic::UNIT, |id| INT::from(id).into()))
        })
    }

    /// The inode of its file, as `readlink /proc/PID/ns/net` shows it. The kernel uses inodes again.
    #[rhai_fn(get = "inode", pure, return_raw)]
    pub fn get_inode(ctx: NativeCallContext, ns: &mut NsHandle) -> Fallible<INT> {
        run(&ctx, |s| Ok(INT::try_from(s.kernel().inode(&ns.0)?.1).unwrap_or(INT::MAX)))
    }

    /// The number that no other namespace has or had since boot (`SO_NETNS_COOKIE`).
    #[rhai_fn(get = "cookie", pure)]
    pub fn get_cookie(ns: &mut NsHandle) -> INT {
        INT::try_from(ns.0.cookie).unwrap_or(INT::MAX)
    }

    /// Its links, as `links(ns)`.
    #[rhai_fn(get = "links", pure, return_raw)]
    pub fn get_links(ctx: NativeCallContext, ns: &mut NsHandle) -> Fallible<Array> {
        run(&ctx, |s| super::super::show::links(s, &ns.0, None))
    }

    #[rhai_fn(name = "to_string", pure)]
    pub fn to_string(ns: &mut NsHandle) -> String {
        if ns.0.is_host() { "host()".into() } else { ns.0.name.clone() }
    }

    #[rhai_fn(name = "to_debug", pure)]
    pub fn to_debug(ns: &mut NsHandle) -> String {
        if ns.0.is_host() { "host()".into() } else { format!("netns({:?})", ns.0.name) }
    }

    #[rhai_fn(name = "==", pure)]
    pub fn equals(a: &mut NsHandle, b: NsHandle) -> bool {
        a.0.cookie == b.0.cookie
    }

    #[rhai_fn(name = "!=", pure)]
    pub fn differs(a: &mut NsHandle, b: NsHandle) -> bool {
        a.0.cookie != b.0.cookie
    }
}

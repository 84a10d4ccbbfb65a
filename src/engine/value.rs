//! From the values of a script to the plan's, and back: handles, references to namespaces and devices, options.

use super::session::Session;
use crate::kernel::By;
use crate::phase::{self, Phase};
use crate::plan::{Error, Kind, LinkRef, Ns, Result, name, unit};
use rhai::{Array, Dynamic, EvalAltResult, INT, Map, NativeCallContext};
use std::time::Duration;

/// What a script function returns.
pub type Fallible<T> = std::result::Result<T, Box<EvalAltResult>>;

/// A namespace as a script holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsHandle(pub Ns);

/// A link as a script holds it: by namespace and ifindex as they were first known; a rename or a move by nsscript does
/// not make it stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHandle {
    pub ns: Ns,
    pub index: u32,
    /// The other end, of a veth that was made here.
    pub peer: Option<Box<LinkHandle>>,
}

/// A device that was found.
#[derive(Clone, Debug)]
pub struct Device {
    pub ns: Ns,
    pub link: LinkRef,
}

impl Device {
    #[must_use]
    pub fn handle(&self) -> LinkHandle {
        LinkHandle { ns: self.ns.clone(), index: self.link.index, peer: None }
    }
}

/// Throws an error as the map that scripts catch. A signal can't be caught.
#[must_use]
pub fn throw(ctx: &NativeCallContext, error: Error) -> Box<EvalAltResult> {
    let position = ctx.call_position();
    if error.kind == Kind::Interrupted {
        return EvalAltResult::ErrorTerminated(error.message.into(), position).into();
    }
    EvalAltResult::ErrorRuntime(error_map(ctx, error).into(), position).into()
}

/// What every script function does: the session of the call, the work, and the error as scripts catch it.
///
/// # Errors
/// Those of `work`, thrown.
pub fn run<T>(ctx: &NativeCallContext, work: impl FnOnce(&Session) -> Result<T>) -> Fallible<T> {
    let _phase = phase::enter(Phase::Lower);
    Session::of(ctx).and_then(|session| work(&session)).map_err(|error| throw(ctx, error))
}

/// The map of an error. All keys are always there.
fn error_map(ctx: &NativeCallContext, error: Error) -> Map {
    let position = ctx.call_position();
    let or_unit = |text: Option<String>| text.map_or(Dynamic::UNIT, Dynamic::from);
    let op = if error.op.is_empty() { ctx.fn_name().to_string() } else { error.op };
    let mut map = Map::new();
    map.insert("kind".into(), error.kind.as_str().into());
    map.insert("message".into(), error.message.into());
    map.insert("hint".into(), or_unit(error.hint));
    map.insert("op".into(), op.into());
    map.insert("ns".into(), error.ns.into());
    map.insert("target".into(), error.target.into());
    map.insert("errno".into(), INT::from(error.errno).into());
    map.insert("kernel".into(), or_unit(error.kernel));
    let number = |n: Option<usize>| n.and_then(|n| INT::try_from(n).ok()).unwrap_or_default();
    map.insert("line".into(), number(position.line()).into());
    map.insert("position".into(), number(position.position()).into());
    map
}

/// What a value is, for messages: `a string`, `an integer`.
#[must_use]
pub fn what(value: &Dynamic) -> String {
    match value.type_name() {
        "string" => "a string".into(),
        "i64" => "an integer".into(),
        "f64" => "a number".into(),
        "bool" => "a boolean".into(),
        "array" => "an array".into(),
        "map" => "a map".into(),
        "()" => "nothing, ()".into(),
        "char" => "a character (single quotes; a string has double quotes)".into(),
        "Fn" => "a function".into(),
        name if name.ends_with("NsHandle") => "a namespace".into(),
        name if name.ends_with("LinkHandle") => "a link".into(),
        name => format!("a {}", name.rsplit("::").next().unwrap_or(name)),
    }
}

/// Text, of a string.
///
/// # Errors
/// `invalid`, naming the argument.
pub fn text(value: &Dynamic, argument: &str) -> Result<String> {
    value.clone().into_string().map_err(|_| Error::invalid(format!("{argument} must be a string, not {}", what(value))))
}

/// A map of options.
///
/// # Errors
/// `invalid`.
pub fn map(value: &Dynamic, argument: &str) -> Result<Map> {
    value
        .clone()
        .try_cast::<Map>()
        .ok_or_else(|| Error::invalid(format!("{argument} must be a map #{{…}}, not {}", what(value))))
}

/// A namespace: a handle, or a name.
///
/// # Errors
/// `not_found`, `invalid`.
pub fn ns(session: &Session, value: &Dynamic) -> Result<Ns> {
    if let Some(handle) = value.clone().try_cast::<NsHandle>() {
        session.kernel().inode(&handle.0)?;
        return Ok(handle.0);
    }
    if value.is_string() {
        let name = text(value, "a namespace")?;
        return session.kernel().find_ns(&name);
    }
    Err(Error::invalid(format!("a namespace is a name, a handle of netns_add(…), or host(), not {}", what(value))))
}

/// Splits `"ns:dev"` at the last colon. `":dev"` is the host's.
#[must_use]
pub fn split(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once(':') {
        Some((ns, dev)) => (Some(ns), dev),
        None => (None, text),
    }
}

/// The namespace and name of a device that is to be made. `given` is the namespace from elsewhere, if any.
///
/// # Errors
/// `invalid` for a name that can't be; `not_found` for the namespace.
pub fn new_device(session: &Session, given: Option<&Ns>, text: &str) -> Result<(Ns, String)> {
    let (place, dev) = split(text);
    let ns = match place {
        Some("") => session.kernel().host(),
        Some(place) => session.kernel().find_ns(place)?,
        None => given.cloned().unwrap_or_else(|| session.current()),
    };
    if let Some(given) = given
        && place.is_some()
        && ns.cookie != given.cookie
    {
        return Err(two_namespaces(given, &ns, text));
    }
    name::check_ifname(dev)?;
    Ok((ns, dev.to_string()))
}

fn two_namespaces(given: &Ns, other: &Ns, text: &str) -> Error {
    Error::invalid(format!("`{text}` is in {}, but {} was given too", other.label(), given.label()))
        .with_hint("leave out one of the two")
}

/// A device that exists: a link handle, a name, or `"ns:dev"`; looked up in `given` or the current namespace.
///
/// # Errors
/// `not_found`, with the nearest name; `invalid`.
pub fn device(session: &Session, given: Option<&Ns>, value: &Dynamic) -> Result<Device> {
    if let Some(handle) = value.clone().try_cast::<LinkHandle>() {
        let (ns, index) = session.txn(|txn| Ok(txn.locate(&handle.ns, handle.index)))?;
        if let Some(given) = given
            && ns.cookie != given.cookie
        {
            return Err(two_namespaces(given, &ns, "the link"));
        }
        let info = session.kernel().link(&ns, By::Index(index))?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the link of index {index} in {} is gone", ns.label()))
                .with_ns(&ns.name)
                .with_hint("it was deleted; deleting one end of a veth deletes the other too")
        })?;
        return Ok(Device { ns, link: LinkRef { index, name: info.state.name } });
    }
    let dev = text(value, "a device")?;
    let (ns, dev) = device_name(session, given, &dev)?;
    find(session, &ns, &dev)
}

/// The namespace and the bare name of a device reference; the name may be an alternative one, so it may be long.
fn device_name(session: &Session, given: Option<&Ns>, text: &str) -> Result<(Ns, String)> {
    let (place, dev) = split(text);
    if dev.is_empty() || dev.contains('\0') || dev.contains('/') {
        name::check_ifname(dev)?;
    }
    let ns = match place {
        Some("") => session.kernel().host(),
        Some(place) => session.kernel().find_ns(place)?,
        None => given.cloned().unwrap_or_else(|| session.current()),
    };
    match given {
        Some(given) if place.is_some() && ns.cookie != given.cookie => Err(two_namespaces(given, &ns, text)),
        _ => Ok((ns, dev.to_string())),
    }
}

/// The device of this name (or alternative name) in `ns`.
///
/// # Errors
/// `not_found`, with the nearest name or the namespace where it is.
pub fn find(session: &Session, ns: &Ns, dev: &str) -> Result<Device> {
    match session.kernel().link(ns, By::Name(dev))? {
        Some(info) => Ok(Device { ns: ns.clone(), link: LinkRef { index: info.state.index, name: info.state.name } }),
        None => {
            let names: Vec<String> = session.kernel().links(ns, false)?.into_iter().map(|l| l.state.name).collect();
            let error = Error::new(Kind::NotFound, format!("there is no device `{dev}` in {}", ns.label()))
                .with_ns(&ns.name)
                .with_target(dev)
                .with_errno(libc::ENODEV);
            Err(match crate::plan::nearest(dev, names.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None if dev.len() > name::IFNAME_MAX => {
                    error.with_hint(format!("{} bytes: a device's name has at most {}", dev.len(), name::IFNAME_MAX))
                }
                None => {
                    let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                    error.with_hint(format!("there are: {list}"))
                }
            })
        }
    }
}

/// The options of a call: one map, last. Every key is known, or the call fails.
pub struct Opts {
    map: Map,
    function: String,
}

impl Opts {
    /// Checks the keys against `known`.
    ///
    /// # Errors
    /// `invalid`, with the nearest known key.
    pub fn new(function: &str, map: Map, known: &[&str]) -> Result<Opts> {
        for key in map.keys() {
            if !known.contains(&key.as_str()) {
                let error = Error::invalid(format!("{function} has no option `{key}`")).with_target(key.as_str());
                return Err(match crate::plan::nearest(key, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                    None => error.with_hint(format!("its options are: {}", known.join(", "))),
                });
            }
        }
        Ok(Opts { map, function: function.into() })
    }

    /// All that was given.
    #[must_use]
    pub fn all(&self) -> &Map {
        &self.map
    }

    /// The value of a key; `()` counts as not given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Dynamic> {
        self.map.get(key).filter(|v| !v.is_unit())
    }

    fn wrong(&self, key: &str, wanted: &str, value: &Dynamic) -> Error {
        Error::invalid(format!("option `{key}` of {} must be {wanted}, not {}", self.function, what(value)))
            .with_target(key)
    }

    /// # Errors
    /// Not a boolean.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.get(key).map(|v| v.as_bool().map_err(|_| self.wrong(key, "true or false", v))).transpose()
    }

    /// # Errors
    /// Not an integer within `range`.
    pub fn int(&self, key: &str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_int().map_err(|_| self.wrong(key, "an integer", value))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(Error::invalid(format!(
            "option `{key}` of {} must be {} to {}, not {number}",
            self.function,
            range.start(),
            range.end()
        ))
        .with_target(key))
    }

    /// # Errors
    /// Not an integer from 0 to `max`.
    pub fn u32(&self, key: &str, max: u32) -> Result<Option<u32>> {
        Ok(self.int(key, 0..=i64::from(max))?.and_then(|n| u32::try_from(n).ok()))
    }

    /// # Errors
    /// Not a string.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|v| v.clone().into_string().map_err(|_| self.wrong(key, "a string", v))).transpose()
    }

    /// A time: `"100ms"`, or a number of seconds.
    ///
    /// # Errors
    /// Neither.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.get(key).map(|v| duration(v, &format!("option `{key}` of {}", self.function))).transpose()
    }

    /// A MAC address.
    ///
    /// # Errors
    /// Not one.
    pub fn mac(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let mac = crate::plan::link::parse_mac(&text).ok_or_else(|| {
            Error::invalid(format!("`{text}` is not a MAC address"))
                .with_target(key)
                .with_hint("six pairs of hex digits: 02:00:00:00:00:01")
        })?;
        // The kernel's words for these are "cannot assign requested address" (is_valid_ether_addr, etherdevice.h).
        if key == "mac" && (mac.iter().all(|b| *b == 0) || mac.first().is_some_and(|b| b & 1 != 0)) {
            return Err(Error::invalid(format!(
                "`{text}` can't be a link's own MAC address: it is zero or of a group"
            ))
            .with_target(key)
            .with_hint("the second hex digit must be even: 02:00:00:00:00:01"));
        }
        Ok(Some(mac))
    }

    /// A map or array of maps, texts …: as it is.
    ///
    /// # Errors
    /// Not an array.
    pub fn array(&self, key: &str) -> Result<Option<Array>> {
        self.get(key).map(|v| v.clone().into_array().map_err(|_| self.wrong(key, "an array", v))).transpose()
    }

    /// A nested map of options.
    ///
    /// # Errors
    /// Not a map.
    pub fn map(&self, key: &str) -> Result<Option<Map>> {
        self.get(key).map(|v| v.clone().try_cast::<Map>().ok_or_else(|| self.wrong(key, "a map #{…}", v))).transpose()
    }
}

/// A time: `"100ms"`, `"2s"`, or a number of seconds.
///
/// # Errors
/// `invalid`, naming the argument.
pub fn duration(value: &Dynamic, argument: &str) -> Result<Duration> {
    let seconds = match (value.as_int(), value.as_float()) {
        (Ok(seconds), _) => {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a time-out")]
            let seconds = seconds as f64;
            Some(seconds)
        }
        (_, Ok(seconds)) => Some(seconds),
        _ => None,
    };
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::invalid(format!("{argument}: {seconds} seconds is no time that can pass")));
    }
    let text = text(value, argument)?;
    unit::duration(&text)
        .map_err(|e| Error::invalid(format!("{argument}: {}", e.message)).with_hint(e.hint.unwrap_or_default()))
}

/// A boolean in a map of results.
pub fn put(map: &mut Map, key: &str, value: impl Into<Dynamic>) {
    map.insert(key.into(), value.into());
}

/// An integer in a map of results.
pub fn put_int(map: &mut Map, key: &str, value: impl TryInto<INT>) {
    map.insert(key.into(), value.try_into().unwrap_or(INT::MAX).into());
}

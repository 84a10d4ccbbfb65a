//! Results as people want them: tables, handles with what they name, nested maps indented.

use super::interpreter::Interpreter;
use crate::engine::value::{LinkHandle, NsHandle};
use crate::kernel::By;
use crate::report::Style;
use rhai::{Array, Dynamic, FnPtr, Map, Scope};
use std::fmt::Write as _;

/// How to show.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub style: Style,
    /// Whether what is wider than the terminal is cut: not where a program reads it.
    pub cut: bool,
    /// Whether what programs wrote was shown as it came: then it is not shown again.
    pub told: bool,
}

/// What a table shows first, as far as it has it; the rest follows by name.
const FIRST: &[&str] = &[
    "ns", "name", "pid", "dev", "dst", "type", "index", "seq", "from", "kind", "cidr", "via", "up", "state", "carrier",
    "mtu", "mac", "lladdr", "master", "src", "metric", "table", "proto", "scope", "family", "id", "inode", "rtt",
    "ttl", "size",
];

/// The widest that a cell is where tables are cut.
const CELL: usize = 40;

/// A value as text without a last newline; nothing for `()`.
#[must_use]
pub fn show(interpreter: &Interpreter, value: &Dynamic, look: Look) -> String {
    Shower { interpreter, look }.whole(value, look.style.width)
}

struct Shower<'a> {
    interpreter: &'a Interpreter,
    look: Look,
}

impl Shower<'_> {
    fn dim(&self, text: &str) -> String {
        self.look.style.paint("2", text)
    }

    fn whole(&self, value: &Dynamic, width: usize) -> String {
        if value.is_unit() {
            return String::new();
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            // What has lines is to be read as lines.
            return if text.contains('\n') {
                text.trim_end_matches('\n').to_owned()
            } else {
                format!("{:?}", text.as_str())
            };
        }
        if let Ok(all) = value.as_array_ref() {
            return self.list(&all, width);
        }
        if let Ok(map) = value.as_map_ref() {
            return if is_command(&map) { self.command(&map) } else { self.map(&map, width) };
        }
        self.handle(value)
    }

    /// What a command wrote, and how it ended unless well.
    fn command(&self, map: &Map) -> String {
        let text = |key: &str| map.get(key).and_then(|v| v.clone().into_string().ok()).unwrap_or_default();
        let mut lines: Vec<String> = Vec::new();
        for part in [text("stdout"), text("stderr")] {
            if !self.look.told && !part.trim_end().is_empty() {
                lines.push(part.trim_end_matches('\n').to_owned());
            }
        }
        let code = map.get("code").and_then(|c| c.as_int().ok());
        if code != Some(0) {
            let signal = text("signal");
            let how = match code {
                Some(code) => format!("status {code}"),
                None if signal.is_empty() => "it did not end by itself".to_owned(),
                None => format!("ended by {signal}"),
            };
            lines.push(self.look.style.paint("33", &format!("({how})")));
        }
        lines.join("\n")
    }

    fn list(&self, all: &Array, width: usize) -> String {
        if !all.is_empty() && all.iter().all(Dynamic::is_map) {
            let rows: Vec<Map> = all.iter().filter_map(|v| v.clone().try_cast::<Map>()).collect();
            if self.look.told && rows.iter().all(is_command) {
                return String::new();
            }
            return self.table(&rows, width);
        }
        let cells: Vec<String> = all.iter().map(|v| self.quoted(v)).collect();
        let line = format!("[{}]", cells.join(", "));
        if cells.iter().any(|c| c.contains('\n')) || (line.chars().count() > width && cells.len() > 1) {
            return cells.join("\n");
        }
        line
    }

    fn map(&self, map: &Map, width: usize) -> String {
        if map.is_empty() {
            return "#{}".into();
        }
        let column = map.keys().map(|k| k.chars().count()).max().unwrap_or_default().min(20);
        let mut out = String::new();
        for key in ordered(map.keys().map(smartstring)) {
            let Some(value) = map.get(key.as_str()) else { continue };
            let nested = (value.is_map() || value.as_array_ref().is_ok_and(|a| a.iter().any(Dynamic::is_map)))
                && !value.as_map_ref().is_ok_and(|m| m.is_empty());
            let name = self.look.style.paint("36", &key);
            if nested {
                let _ = writeln!(out, "{name}");
                for line in self.whole(value, width.saturating_sub(2)).lines() {
                    let _ = writeln!(out, "  {line}");
                }
                continue;
            }
            let pad = " ".repeat(column.saturating_sub(key.chars().count()));
            let mut text = if value.is_unit() { self.dim("()") } else { self.quoted(value) };
            if self.look.cut && !self.look.style.color {
                text = cut(&text, width.saturating_sub(column + 2), self.look.style.unicode);
            }
            let _ = writeln!(out, "{name}{pad}  {}", text.replace('\n', &format!("\n{}", " ".repeat(column + 2))));
        }
        out.trim_end_matches('\n').to_owned()
    }

    fn table(&self, rows: &[Map], width: usize) -> String {
        let mut keys: Vec<String> = Vec::new();
        for key in rows.iter().flat_map(|r| r.keys()) {
            if !keys.iter().any(|k| k == key.as_str()) {
                keys.push(key.to_string());
            }
        }
        let keys = ordered(keys.into_iter());
        let mut columns: Vec<(String, Vec<String>, usize)> = Vec::new();
        for key in keys {
            let cells: Vec<String> = rows
                .iter()
                .map(|r| {
                    let text = r.get(key.as_str()).map(|v| self.cell(v)).unwrap_or_default();
                    if self.look.cut { cut(&text, CELL, self.look.style.unicode) } else { text }
                })
                .collect();
            // A column of nothing says nothing.
            if self.look.cut && rows.len() + key.len() > 1 && cells.iter().all(|c| c == "-" || c.is_empty()) {
                continue;
            }
            let wide = cells.iter().map(|c| c.chars().count()).chain([key.chars().count()]).max().unwrap_or_default();
            columns.push((key, cells, wide));
        }
        let mut left = Vec::new();
        if self.look.cut {
            let mut room = width;
            let mut kept = Vec::new();
            for column in columns {
                let need = column.2 + if kept.is_empty() { 0 } else { 2 };
                // Once one does not fit, none of those after it does: the order is that of their weight.
                if left.is_empty() && (need <= room || kept.is_empty()) {
                    room = room.saturating_sub(need);
                    kept.push(column);
                } else {
                    left.push(column.0);
                }
            }
            columns = kept;
        }
        let mut out = String::new();
        let heading: Vec<String> = columns.iter().map(|(key, _, wide)| format!("{key:<wide$}", wide = *wide)).collect();
        let _ = writeln!(out, "{}", self.look.style.paint("1", heading.join("  ").trim_end()));
        for n in 0..rows.len() {
            let line: Vec<String> = columns
                .iter()
                .map(|(_, cells, wide)| format!("{:<wide$}", cells.get(n).map_or("", String::as_str), wide = *wide))
                .collect();
            let _ = writeln!(out, "{}", line.join("  ").trim_end());
        }
        if !left.is_empty() {
            let text = format!("also: {}", left.join(", "));
            let _ = writeln!(out, "{}", self.dim(&cut(&text, width, self.look.style.unicode)));
        }
        out.trim_end_matches('\n').to_owned()
    }

    /// In a cell: no quotes, one line.
    fn cell(&self, value: &Dynamic) -> String {
        if value.is_unit() {
            return "-".into();
        }
        if let Ok(all) = value.as_array_ref() {
            return all.iter().map(|v| self.cell(v)).collect::<Vec<_>>().join(" ");
        }
        if let Ok(map) = value.as_map_ref() {
            return map.iter().map(|(k, v)| format!("{k}={}", self.cell(v))).collect::<Vec<_>>().join(" ");
        }
        self.scalar(value).replace('\n', " ")
    }

    /// In a list or a map: texts in quotes.
    fn quoted(&self, value: &Dynamic) -> String {
        if value.is_unit() {
            return "()".into();
        }
        if value.is_string() {
            return format!("{:?}", value.clone().into_string().unwrap_or_default());
        }
        if let Ok(all) = value.as_array_ref() {
            return format!("[{}]", all.iter().map(|v| self.quoted(v)).collect::<Vec<_>>().join(", "));
        }
        if let Ok(map) = value.as_map_ref() {
            let inner: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", self.quoted(v))).collect();
            return format!("#{{{}}}", inner.join(", "));
        }
        self.handle(value)
    }

    fn scalar(&self, value: &Dynamic) -> String {
        value.clone().into_string().unwrap_or_else(|_| match value.as_float() {
            Ok(number) => short(number),
            Err(_) => self.text(value),
        })
    }

    /// What a value's own `to_string` says.
    fn text(&self, value: &Dynamic) -> String {
        if let Some(function) = value.clone().try_cast::<FnPtr>() {
            return if function.is_anonymous() { "a closure".into() } else { format!("Fn({})", function.fn_name()) };
        }
        let mut scope = Scope::new();
        scope.push_dynamic("value", value.clone());
        self.interpreter
            .host()
            .engine()
            .eval_with_scope::<String>(&mut scope, "value.to_string()")
            .unwrap_or_else(|_| value.to_string())
    }

    /// A handle, with what the kernel says of it.
    fn handle(&self, value: &Dynamic) -> String {
        let session = self.interpreter.session();
        if let Some(NsHandle(ns)) = value.clone().try_cast::<NsHandle>() {
            if session.kernel().inode(&ns).is_err() {
                return format!("{} {}", ns.label(), self.dim("(gone)"));
            }
            let names: Vec<String> = session
                .kernel()
                .links(&ns, false)
                .map(|all| all.into_iter().map(|l| l.state.name).collect())
                .unwrap_or_default();
            return format!("{}  {}", ns.label(), self.dim(&names.join(" ")));
        }
        if let Some(link) = value.clone().try_cast::<LinkHandle>() {
            let place = session.txn(|txn| Ok(txn.locate(&link.ns, link.index)));
            let (ns, index) = place.unwrap_or_else(|_| (link.ns.clone(), link.index));
            let Ok(Some(info)) = session.kernel().link(&ns, By::Index(index)) else {
                return format!("link {index} of {} {}", ns.label(), self.dim("(gone)"));
            };
            let mut more = vec![if info.state.kind.is_empty() { "device".to_owned() } else { info.state.kind.clone() }];
            more.push(if info.state.up { "up" } else { "down" }.into());
            more.push(format!("mtu {}", info.state.mtu));
            more.extend(
                super::topology::addresses(session, &ns).into_iter().filter(|(i, _)| *i == index).map(|(_, a)| a),
            );
            let place = if ns.is_host() { String::new() } else { format!("{}:", ns.name) };
            return format!("{place}{}  {}", info.state.name, self.dim(&more.join(" ")));
        }
        if let Ok(number) = value.as_float() {
            return short(number);
        }
        self.text(value)
    }
}

/// What `exec_in` and the like return.
fn is_command(map: &Map) -> bool {
    ["stdout", "stderr", "code", "timed_out"].iter().all(|key| map.contains_key(*key))
}

fn smartstring(key: &rhai::Identifier) -> String {
    key.to_string()
}

/// Keys: those of [`FIRST`] in its order, then the rest.
fn ordered(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut keys: Vec<String> = keys.collect();
    keys.sort_by_key(|k| (FIRST.iter().position(|f| f == k).unwrap_or(FIRST.len()), k.clone()));
    keys
}

/// A float without the noise of its last digits.
fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// At most `width` characters.
#[must_use]
pub fn cut(text: &str, width: usize, unicode: bool) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let dots = if unicode { "…" } else { "..." };
    text.chars().take(width.saturating_sub(dots.chars().count())).collect::<String>() + dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_comes_first() {
        let keys = ["alias", "mtu", "name", "zeta", "kind"].map(str::to_owned);
        assert_eq!(ordered(keys.into_iter()), ["name", "kind", "mtu", "alias", "zeta"]);
    }

    #[test]
    fn floats_and_texts_are_short() {
        assert_eq!(short(0.123_456), "0.123");
        assert_eq!(short(2.0), "2.0");
        assert_eq!(cut("abcdef", 4, true), "abc…");
        assert_eq!(cut("abcdef", 4, false), "a...");
        assert_eq!(cut("abc", 4, false), "abc");
    }
}

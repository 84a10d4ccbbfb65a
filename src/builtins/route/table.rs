//! Routing tables by name: the kernel's three, and those that iproute2 knows (`/etc/iproute2/rt_tables`, ip-route(8)).

use crate::engine::Session;
use crate::engine::value::{self, Opts, text, what};
use crate::kernel::By;
use crate::plan::record::table_name;
use crate::plan::{Error, Ns, Result, addr, nla};
use rhai::Dynamic;
use std::path::PathBuf;

/// `IFLA_VRF_TABLE` (include/uapi/linux/if_link.h).
const VRF_TABLE: u16 = 1;

/// The files in which iproute2 looks, the first found of the two places, then what is dropped in beside it.
fn files() -> Vec<PathBuf> {
    let places = ["/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"];
    let main = places.iter().map(|p| PathBuf::from(p).join("rt_tables")).find(|f| f.is_file());
    let mut out: Vec<PathBuf> = main.into_iter().collect();
    for place in places {
        let Ok(entries) = std::fs::read_dir(PathBuf::from(place).join("rt_tables.d")) else { continue };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
        found.sort();
        out.extend(found);
    }
    out
}

/// The lines `NUMBER NAME` of those files.
pub fn names() -> Vec<(u32, String)> {
    let mut out = Vec::new();
    for file in files() {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            if let (Some(number), Some(name)) = (words.next(), words.next())
                && let Ok(number) = crate::plan::rule::number(number, "a table")
            {
                out.push((number, name.to_string()));
            }
        }
    }
    out
}

/// The names of tables beside the kernel's own three, read once for a list.
pub struct Tables(Vec<(u32, String)>);

impl Tables {
    pub fn read() -> Tables {
        Tables(names())
    }

    /// The name, or the number.
    pub fn name(&self, table: u32) -> String {
        let kernels = table_name(table);
        if kernels.parse::<u32>().is_err() {
            return kernels;
        }
        self.0.iter().find(|(n, _)| *n == table).map_or(kernels, |(_, name)| name.clone())
    }
}

/// A table by name or number.
pub fn of(value: &Dynamic) -> Result<u32> {
    if let Ok(number) = value.as_int() {
        return u32::try_from(number)
            .map_err(|_| Error::invalid(format!("option `table` can't be {number}: 1 to {}", u32::MAX)));
    }
    if !value.is_string() {
        return Err(Error::invalid(format!("option `table` is a name or a number, not {}", what(value))));
    }
    let word = text(value, "option `table`")?;
    if let Some(number) = addr::table_of(&word) {
        return Ok(number);
    }
    let known = names();
    known.iter().find(|(_, name)| *name == word).map(|(n, _)| *n).ok_or_else(|| {
        let error = Error::invalid(format!("there is no routing table `{word}`")).with_target(&word);
        let all = ["main", "local", "default"].into_iter().chain(known.iter().map(|(_, name)| name.as_str()));
        match crate::plan::nearest(&word, all) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint("a number, \"main\", \"local\", \"default\", or a name in /etc/iproute2/rt_tables"),
        }
    })
}

/// The table that the options `table` or `vrf` name.
pub fn given(session: &Session, ns: &Ns, opts: &Opts) -> Result<Option<u32>> {
    let table = opts.get("table").map(of).transpose()?;
    let Some(vrf) = opts.get("vrf") else { return Ok(table) };
    if table.is_some() {
        return Err(Error::invalid("`table` and `vrf` exclude each other: a vrf has a table of its own"));
    }
    let device = value::device(session, Some(ns), vrf)?;
    let info = session.kernel().link(ns, By::Index(device.link.index))?;
    let table =
        info.filter(|i| i.state.kind == "vrf").and_then(|i| nla::attr(&i.data, VRF_TABLE).and_then(nla::u32_of));
    table.map(Some).ok_or_else(|| {
        Error::invalid(format!("`{}` in {} is no vrf", device.link.name, ns.label())).with_target(&device.link.name)
    })
}

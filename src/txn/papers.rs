//! The journals of other runs, copied for a plan: labs that stand, runs that are under way or were killed stand in the way of
//! a plan as they do of a run.

use super::folders::{ROOT, inside};
use super::lock::{self, Locked};
use crate::plan::{Error, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What lies below `/run/nsscript`.
#[derive(Clone, Debug, Default)]
pub struct Papers {
    journals: Vec<Journal>,
    /// The files by which namespaces are kept, with their cookies.
    pub kept: Vec<(u64, PathBuf)>,
    /// What could not be read.
    pub missing: Vec<String>,
}

#[derive(Clone, Debug)]
struct Journal {
    folder: PathBuf,
    text: String,
    /// Its run is under way.
    runs: bool,
}

/// Journals laid down, and the locks of those whose runs are under way: to be held.
#[derive(Debug, Default)]
pub struct Laid(Vec<Locked>);

impl Papers {
    /// Reads them all. Nothing is touched.
    #[must_use]
    pub fn capture() -> Papers {
        let mut papers = Papers::default();
        for part in ["labs", "aside"] {
            for folder in inside(&Path::new(ROOT).join(part)) {
                match read(&folder) {
                    Ok(Some((text, runs))) => papers.journals.push(Journal { folder: folder.clone(), text, runs }),
                    Ok(None) => {}
                    Err(e) => papers.missing.push(format!("the journal in `{}`: {e}", folder.display())),
                }
                for kept in std::fs::read_dir(folder.join("keep")).into_iter().flatten().flatten() {
                    if let Some(cookie) = kept.file_name().to_str().and_then(|n| n.parse().ok()) {
                        papers.kept.push((cookie, kept.path()));
                    }
                }
            }
        }
        papers
    }

    /// Lays them down in a sandbox, where every namespace has another cookie. `hold` keeps a namespace by a file, as it was kept.
    ///
    /// # Errors
    /// A file can't be made.
    pub fn lay_down(
        &self,
        cookies: &HashMap<u64, u64>,
        mut hold: impl FnMut(u64, &Path) -> Result<()>,
    ) -> Result<Laid> {
        let mut laid = Laid::default();
        for journal in &self.journals {
            let failed = |e: std::io::Error| Error::from_io(&e, format!("make `{}`", journal.folder.display()));
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&journal.folder).map_err(failed)?;
            let path = journal.folder.join("journal");
            let mut text = String::new();
            for line in journal.text.split_inclusive('\n') {
                text += &translated(line, cookies);
            }
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
            std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
            if journal.runs {
                laid.0.extend(Locked::try_new(file)?);
            }
        }
        for (cookie, path) in &self.kept {
            if let (Some(now), Some(folder)) = (cookies.get(cookie), path.parent()) {
                hold(*now, &folder.join(now.to_string()))?;
            }
        }
        Ok(laid)
    }
}

/// The text of a journal, and whether its run is under way. `None`: there is none yet.
fn read(folder: &Path) -> std::io::Result<Option<(String, bool)>> {
    let path = folder.join("journal");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let runs = lock::held(&file).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(Some((std::fs::read_to_string(&path)?, runs)))
}

/// A line of a journal with the cookies of the copy. What is no JSON (a torn last line) stays as it is.
fn translated(line: &str, cookies: &HashMap<u64, u64>) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            translate(&mut value, cookies);
            format!("{value}{end}")
        }
        Err(_) => line.to_string(),
    }
}

fn translate(value: &mut Value, cookies: &HashMap<u64, u64>) {
    let swap = |slot: &mut Value| {
        if let Some(now) = slot.as_u64().and_then(|cookie| cookies.get(&cookie)) {
            *slot = (*now).into();
        }
    };
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                match (key.as_str(), &mut *inner) {
                    ("cookie", slot) => swap(slot),
                    // Pairs of a cookie and an ifindex.
                    ("on", Value::Array(pairs)) => pairs.iter_mut().filter_map(|p| p.get_mut(0)).for_each(swap),
                    (_, inner) => translate(inner, cookies),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|v| translate(v, cookies)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_translated_and_nothing_else() {
        let cookies = HashMap::from([(7, 70), (8, 80)]);
        let line = "{\"line\":\"intent\",\"entry\":{\"seq\":7,\"on\":[[7,8],[9,8]],\"undo\":{\"ns\":{\"cookie\":8,\"name\":\"7\"}}}}\n";
        let want: Value = serde_json::from_str(
            r#"{"line":"intent","entry":{"seq":7,"on":[[70,8],[9,8]],"undo":{"ns":{"cookie":80,"name":"7"}}}}"#,
        )
        .expect("JSON");
        let got = translated(line, &cookies);
        assert!(got.ends_with('\n'));
        assert_eq!(serde_json::from_str::<Value>(&got).expect("JSON"), want);
        assert_eq!(translated("{\"line\":\"out", &cookies), "{\"line\":\"out");
    }
}

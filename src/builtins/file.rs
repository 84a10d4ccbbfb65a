//! Files that belong to a lab: written, and restored by the undo.

use crate::engine::Session;
use crate::engine::value::{Fallible, Opts, run};
use crate::plan::{Error, Kind, Result, Verb};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `ENOENT` of errno(3).
const ENOENT: i32 = 2;

/// The path from the root, as the undo needs it, whatever the current directory is then.
fn absolute(path: &str) -> Result<String> {
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid(format!("`{}` is not a path", path.escape_debug())));
    }
    std::path::absolute(path)
        .map(|p| p.to_string_lossy().into_owned())
        .map_err(|e| Error::from_io(&e, format!("find the current directory for `{path}`")))
}

fn write(session: &Session, path: &str, text: &str, options: Map) -> Result<()> {
    let opts = Opts::new("write_file", options, &["mode"])?;
    let mode = opts.int("mode", 0..=0o7777)?.and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644);
    let path = absolute(path)?;
    session.perform(Verb::FileWrite { path, content: text.as_bytes().to_vec(), mode }).map(|_| ())
}

#[export_module]
pub mod functions {
    /// Writes a file, whole. An existing one keeps its owner and mode; a new one gets option `mode` (default `0o644`).
    /// Undo restores the old content, or removes the file.
    ///
    /// Errors: `not_found` for the directory, `permission`.
    ///
    /// ```rhai
    /// let path = `/tmp/nsscript-file-${host().cookie}`;
    /// write_file(path, "hello\n");
    /// assert_eq(read_file(path), "hello\n");
    /// remove_file(path);
    /// ```
    #[rhai_fn(name = "write_file", return_raw)]
    pub fn write_file(ctx: NativeCallContext, path: &str, text: &str) -> Fallible<()> {
        run(&ctx, |s| write(s, path, text, Map::new()))
    }

    #[rhai_fn(name = "write_file", return_raw)]
    pub fn write_file_with(ctx: NativeCallContext, path: &str, text: &str, options: Map) -> Fallible<()> {
        run(&ctx, |s| write(s, path, text, options))
    }

    /// The text of a file. Errors: `not_found`, `permission`, `invalid` where it is not UTF-8.
    ///
    /// ```rhai
    /// assert(read_file("/proc/version").contains("Linux"), "this is Linux");
    /// ```
    #[rhai_fn(name = "read_file", return_raw)]
    pub fn read_file(ctx: NativeCallContext, path: &str) -> Fallible<String> {
        run(&ctx, |s| {
            // In a plan: as the script has left it.
            let bytes = match s.linux().rehearsal().and_then(|r| r.file(path)) {
                Some(file) => file.map(|(bytes, _)| bytes).ok_or_else(|| std::io::Error::from_raw_os_error(ENOENT)),
                None => std::fs::read(path),
            };
            let bytes = bytes.map_err(|e| Error::from_io(&e, format!("read `{path}`")).with_target(path))?;
            String::from_utf8(bytes)
                .map_err(|_| Error::invalid(format!("`{path}` is not UTF-8 text")).with_target(path))
        })
    }

    /// Removes a file. Undo writes it again, with its content and mode. Errors: `not_found`.
    ///
    /// ```rhai
    /// let path = `/tmp/nsscript-gone-${host().cookie}`;
    /// write_file(path, "");
    /// remove_file(path);
    /// ```
    #[rhai_fn(name = "remove_file", return_raw)]
    pub fn remove_file(ctx: NativeCallContext, path: &str) -> Fallible<()> {
        run(&ctx, |s| {
            let path = absolute(path)?;
            if s.kernel().read_file(&path)?.is_none() {
                return Err(Error::new(Kind::NotFound, format!("there is no file `{path}`")).with_target(path));
            }
            s.perform(Verb::FileRemove { path }).map(|_| ())
        })
    }
}

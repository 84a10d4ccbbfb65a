//! Files that belong to a lab: written, and restored by the undo.

use crate::engine::Session;
use crate::engine::value::{Fallible, Opts, run};
use crate::plan::{Error, Kind, Result, Verb};
use rhai::plugin::*;
use rhai::{Map, NativeCallContext};

/// `ENOENT` of errno(3).
const ENOENT: i32 = 2;
/// `O_NONBLOCK` of open(2).
const NONBLOCK: i32 = 0o4000;

/// The path from the root, as the undo needs it, whatever the current directory is then.
fn absolute(path: &str) -> Result<String> {
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid(format!("`{}` is not a path", path.escape_debug())));
    }
    std::path::absolute(path)
        .map(|p| p.to_string_lossy().into_owned())
        .map_err(|e| Error::from_io(&e, format!("find the current directory for `{path}`")))
}

/// The file behind a path: of a symbolic link that which it leads to.
pub(super) fn behind(path: &str) -> Result<String> {
    let path = absolute(path)?;
    let Ok(data) = std::fs::symlink_metadata(&path) else { return Ok(path) };
    if data.is_symlink() {
        let real = std::fs::canonicalize(&path)
            .map_err(|e| Error::from_io(&e, format!("follow the symbolic link `{path}`")).with_target(path.clone()))?;
        return behind(&real.to_string_lossy());
    }
    plain(&path, &data)?;
    Ok(path)
}

/// Refuses what would wait for somebody at its other end, or is no file.
fn plain(path: &str, data: &std::fs::Metadata) -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = data.file_type();
    let what = if kind.is_fifo() || kind.is_socket() {
        "a pipe or a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("`{path}` is {what}, no file"))
        .with_target(path)
        .with_hint("read or write it by a command: exec_in(host(), …)"))
}

/// Refuses what the kernel makes of what is written there: read again it may be something else, and no undo could tell.
pub(super) fn kept(path: &str) -> Result<()> {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if ["/proc", "/sys"].iter().any(|root| real.starts_with(root)) {
        return Err(Error::new(
            Kind::Unsupported,
            format!("`{path}` is the kernel's, no file: what is written there can't be undone"),
        )
        .with_target(path)
        .with_hint("sysctl(ns, key, value) sets those of net. and undoes them; else a command: exec_in(host(), …)"));
    }
    Ok(())
}

/// Reads a file, whole. Nothing is waited for: some of /proc has nothing to say yet.
fn read(path: &str) -> Result<Vec<u8>> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let limit = crate::kernel::linux::process::KEPT as u64;
    let failed = |e: std::io::Error| Error::from_io(&e, format!("read `{path}`")).with_target(path);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    if file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)? as u64 > limit {
        let text = format!("read `{path}`: it is larger than {} MiB", limit >> 20);
        return Err(Error::new(Kind::Limit, text).with_target(path));
    }
    Ok(bytes)
}

/// Refuses to remove what the undo could not bring back as it was.
fn removable(path: &str) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let why = if data.is_symlink() {
        "it is a symbolic link"
    } else if !data.is_file() {
        "it is no regular file"
    } else if data.nlink() > 1 {
        "it has another name, too (a hard link)"
    } else if !crate::kernel::linux::file::own(&data) {
        "it is somebody else's"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Unsupported, format!("`{path}` can't be removed so that the undo brings it back: {why}"))
        .with_target(path)
        .with_hint(
            "remove it by a command, whose effects nsscript does not claim to undo: exec_in(host(), [\"rm\", …])",
        ))
}

fn write(session: &Session, path: &str, text: &str, options: Map) -> Result<()> {
    let opts = Opts::new("write_file", options, &["mode"])?;
    let mode = opts.int("mode", 0..=0o7777)?.and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644);
    let path = behind(path)?;
    kept(&path)?;
    let verb = Verb::FileWrite { path, content: text.as_bytes().to_vec(), mode, folders: false };
    let hint = "make its directory first, which no undo takes away again: exec_in(host(), [\"mkdir\", \"-p\", …])";
    session.perform(verb).map(|_| ()).map_err(|e| if e.kind == Kind::NotFound { e.with_hint(hint) } else { e })
}

#[export_module]
pub mod functions {
    /// Writes a file, whole. An existing one keeps its owner and mode; a new one gets option `mode` (default `0o644`).
    /// Undo restores the old content, or removes the file. Of a symbolic link it is the file that it leads to.
    ///
    /// Errors: `not_found` for the directory, `permission`, `invalid` for a pipe, a socket or a device, `unsupported` below
    /// `/proc` and `/sys`.
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

    /// The text of a file. Errors: `not_found`, `permission`, `invalid` where it is not UTF-8, or a pipe, socket or device,
    /// `limit` above 64 MiB.
    ///
    /// ```rhai
    /// assert(read_file("/proc/version").contains("Linux"), "this is Linux");
    /// ```
    #[rhai_fn(name = "read_file", return_raw)]
    pub fn read_file(ctx: NativeCallContext, path: &str) -> Fallible<String> {
        run(&ctx, |s| {
            // In a plan: as the script has left it.
            let bytes = match s.linux().rehearsal().and_then(|r| r.file(path)) {
                Some(file) => file
                    .map(|(bytes, _)| bytes)
                    .ok_or_else(|| Error::from_errno(ENOENT, format!("read `{path}`")).with_target(path)),
                None => {
                    if let Ok(data) = std::fs::metadata(path) {
                        plain(path, &data)?;
                    }
                    read(path)
                }
            };
            String::from_utf8(bytes?)
                .map_err(|_| Error::invalid(format!("`{path}` is not UTF-8 text")).with_target(path))
        })
    }

    /// Removes a file. Undo writes it again, with its content and mode. Errors: `not_found`, `unsupported` for a symbolic link,
    /// a file that is somebody else's or has further hard links: they could not be brought back.
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
            removable(&path)?;
            if s.kernel().read_file(&path)?.is_none() {
                return Err(Error::new(Kind::NotFound, format!("there is no file `{path}`")).with_target(path));
            }
            s.perform(Verb::FileRemove { path, folders: Vec::new() }).map(|_| ())
        })
    }
}

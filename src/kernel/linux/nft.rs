//! The program nft, run in a namespace: the kernel's messages for rulesets are its to write (nft(8)).

use super::Linux;
use super::process::{self, BeforeExec, Spec, Stdin};
use crate::kernel::Cancel;
use crate::plan::{Error, Kind, Ns, Outcome, Result};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// The longest that a ruleset may take to load: far more than 100,000 elements do.
const BOUND: Duration = Duration::from_secs(60);

/// Loads a ruleset. `told` hears of nft before that begins: killed, we leave one behind that goes on.
pub(super) fn load(linux: &Linux, ns: &Ns, ruleset: &str, told: BeforeExec<'_>) -> Result<Outcome> {
    run(linux, ns, &["-f", "-"], ruleset, Some(told)).map(|_| Outcome::default())
}

/// Runs nft with these arguments and this input, and gives what it prints.
pub(super) fn run(linux: &Linux, ns: &Ns, args: &[&str], input: &str, told: Option<BeforeExec<'_>>) -> Result<String> {
    // Where it is, though an ordinary user's PATH often lacks it.
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:/usr/sbin:/sbin:/usr/local/sbin");
    let host = ns.is_host();
    let spec = Spec {
        argv: std::iter::once("nft").chain(args.iter().copied()).map(OsString::from).collect(),
        netns: if host { None } else { Some(Arc::new(linux.file(ns)?)) },
        env: vec![("PATH".into(), Some(path.into())), ("LC_ALL".into(), Some("C.UTF-8".into()))],
        stdin: Stdin::Bytes(input.as_bytes().to_vec()),
        timeout: Some(BOUND),
        ..Spec::default()
    };
    let finished = process::run(&spec, &Cancel::never()?, None, told).map_err(|error| {
        if error.kind != Kind::NotFound {
            return error.with_op("nft").with_ns(&ns.name);
        }
        Error::new(Kind::NotFound, "there is no program `nft` here, which rulesets are loaded by")
            .with_op("nft")
            .with_ns(&ns.name)
            .with_target("nft")
            .with_hint(super::features::install_nft())
    })?;
    if finished.code == Some(0) {
        return String::from_utf8(finished.stdout)
            .map_err(|_| Error::new(Kind::Io, "nft printed what is not UTF-8").with_op("nft").with_ns(&ns.name));
    }
    if finished.flooded {
        let text = format!("nft printed more than {} MiB", process::KEPT >> 20);
        return Err(Error::new(Kind::Limit, text).with_op("nft").with_ns(&ns.name));
    }
    if finished.timed_out {
        return Err(Error::new(Kind::Timeout, format!("nft did not end within {} s", BOUND.as_secs())).with_op("nft"));
    }
    Err(refusal(ns, &String::from_utf8_lossy(&finished.stderr)))
}

/// What nft said, as an error: its lines are counted within the text that it was given.
fn refusal(ns: &Ns, stderr: &str) -> Error {
    // A set's elements are often one line, and nft repeats it, with a mark below as far out.
    const WIDTH: usize = 240;
    let short = |line: &str| match line.char_indices().nth(WIDTH) {
        Some(_) if line.trim_start().starts_with(['^', '~']) => String::new(),
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line.to_string(),
    };
    let said = stderr.replace("/dev/stdin:", "line ").lines().map(short).collect::<Vec<_>>().join("\n");
    let first = said.lines().find(|l| !l.trim().is_empty()).unwrap_or("nft failed without a word").trim().to_string();
    let (kind, hint) = if first.contains("Operation not permitted") {
        (Kind::Permission, Some("run it as root, or with `--sandbox`".to_string()))
    } else if first.contains("Operation not supported") || first.contains("Protocol not supported") {
        let hint = "the kernel lacks something that the ruleset uses: CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, \
                    CONFIG_NFT_MASQ …; `nsscript doctor` tries the usual ones";
        (Kind::Unsupported, Some(hint.to_string()))
    } else if first.contains("File exists") {
        (Kind::Exists, None)
    } else if first.contains("No such file or directory") {
        let hint = "a table, chain or set that is named is not there, or the kernel lacks the expression";
        (Kind::NotFound, Some(hint.to_string()))
    } else if first.contains("Device or resource busy") {
        (Kind::Busy, Some("something still refers to it".to_string()))
    } else {
        (Kind::Invalid, None)
    };
    let error = Error::new(kind, format!("nft refuses the ruleset in {}: {first}", ns.label()));
    let mut error = error.with_op("nft").with_ns(&ns.name).with_target("nft");
    error.hint = hint;
    let rest: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).skip(1).take(4).collect();
    error.kernel = (!rest.is_empty()).then(|| rest.join("\n"));
    error
}

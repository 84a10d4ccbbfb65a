//! The keys of a wireguard are told nowhere.

use super::{namespace, nsscript, remove};
use crate::common::world::shell;

/// Keys that a script has from a file are in no output and in no file of ours, whatever way the run ends.
pub fn untold() -> Result<usize, String> {
    let mut count = 0;
    namespace("n")?;
    // As `wg genkey` writes them; bytes that stand nowhere else.
    let (private, preshared) =
        ("qKqsrrCytLa4ury+wMLExsjKzM7Q0tTW2Nrc3uDi5OY=", "+Pr8/gACBAYICgwOEBIUFhgaHB4gIiQmKCosLjAyNDY=");
    shell(&format!("printf '%s' '{private}' > /run/private; printf '%s' '{preshared}' > /run/preshared"))?;
    let script = "let mine = read_file(\"/run/private\"); let both = read_file(\"/run/preshared\");
        let theirs = \"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=\";
        wireguard(\"n:x\", #{ private_key: mine, peers: [#{ public_key: theirs, preshared_key: both }] });
        wireguard(\"n:y\");
        wireguard_peer(\"n:x\", link(\"n:y\").data.public_key, #{ preshared_key: both });
        wireguard_set(\"n:y\", #{ private_key: mine });
        print(links(\"n\"));";
    let forms = |key: &str| {
        let bytes = nsscript::plan::wireguard::key(key).unwrap_or_default();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let list = |sep: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(sep);
        [hex, list(","), list(", ")]
    };
    let mut told: Vec<String> = [private, preshared].into_iter().flat_map(forms).collect();
    told.extend([private, preshared].map(str::to_string));
    let fault = format!("{script} wireguard(\"n:z\", #{{ private_key: mine + \"!\" }});");
    for (flags, script, code) in [
        (&["--name", "lab"][..], script, 0),
        (&["-v"], fault.as_str(), 1),
        (&["--explain"], &fault, 1),
        (&["--json", "-v"], &fault, 1),
        (&["--json"], &fault, 1),
    ] {
        let ended = nsscript(flags, script)?;
        let files = shell("find /run/nsscript -type f | while read f; do cat \"$f\"; done")?;
        let all = format!("{}{}{files}", ended.stdout, ended.stderr);
        if ended.code() != code {
            return Err(format!("{flags:?}: status {}: {}", ended.code(), ended.stderr));
        }
        if code == 0 && !files.contains("\"x\"") {
            return Err(format!("no journal tells of it: {files}"));
        }
        if let Some(form) = told.iter().find(|form| all.contains(form.as_str())) {
            return Err(format!("{flags:?}: a secret is told, as {form}:\n{all}"));
        }
        count += 1;
        if code == 0 {
            let down = shell("$NSSCRIPT --host -v down lab 2>&1")?;
            if told.iter().any(|form| down.contains(form.as_str())) {
                return Err(format!("down tells a secret: {down}"));
            }
            count += 1;
        }
    }
    shell("rm /run/private /run/preshared")?;
    remove("n")?;
    Ok(count)
}

//! What kind an error is: of Rhai's own, of ours, and of whatever a script throws.

use super::diagnose::text_of;
use crate::plan::{self, nearest};
use rhai::{Dynamic, EvalAltResult, Map};

/// How Rhai begins the error of a property that there is not.
pub(super) const UNKNOWN_PROPERTY: &str = "Unknown property";

/// The `kind` of an error, as a script that catches it sees it. Of a thrown map it is the map's own `kind` where that is
/// one of nsscript's, and `script` for whatever else a script throws. Calls and modules around the error don't matter.
///
/// | kind | errors of Rhai |
/// |---|---|
/// | `syntax` | the parser's, and `break` outside a loop |
/// | `not_found` | function, variable, property, key, module |
/// | `type` | a value of another type than wanted, what can't be indexed or looped over |
/// | `bounds` | array, string and bit-field index |
/// | `arithmetic` | overflow, division by zero, text that is no number |
/// | `constant` | assigning to a constant |
/// | `data_race` | an object that is locked by its own method call |
/// | `exists`, `invalid` | a variable declared twice where that is forbidden; `this` where there is none |
/// | `limit` | operations, variables, modules, depth of calls, size of data |
/// | `interrupted` | ended from outside |
/// | `io` | a system error |
/// | `internal` | what is no error at all (`return`, `exit`) |
#[must_use]
pub fn kind_of(error: &EvalAltResult) -> &'static str {
    use EvalAltResult as E;
    match error {
        E::ErrorInFunctionCall(_, _, inner, _) | E::ErrorInModule(_, inner, _) => kind_of(inner),
        E::ErrorSystem(_, inner) => inner.downcast_ref::<plan::Error>().map_or("io", |error| error.kind.as_str()),
        E::ErrorParsing(..) | E::ErrorCustomSyntax(..) | E::LoopBreak(..) => "syntax",
        E::ErrorVariableExists(..) => "exists",
        E::ErrorForbiddenVariable(..) | E::ErrorUnboundThis(..) => "invalid",
        E::ErrorVariableNotFound(..)
        | E::ErrorPropertyNotFound(..)
        | E::ErrorIndexNotFound(..)
        | E::ErrorFunctionNotFound(..)
        | E::ErrorModuleNotFound(..) => "not_found",
        E::ErrorDotExpr(text, _) if text.starts_with(UNKNOWN_PROPERTY) => "not_found",
        E::ErrorMismatchDataType(..)
        | E::ErrorMismatchOutputType(..)
        | E::ErrorIndexingType(..)
        | E::ErrorFor(..)
        | E::ErrorDotExpr(..) => "type",
        E::ErrorArrayBounds(..) | E::ErrorStringBounds(..) | E::ErrorBitFieldBounds(..) => "bounds",
        E::ErrorDataRace(..) => "data_race",
        E::ErrorNonPureMethodCallOnConstant(..) | E::ErrorAssignmentToConstant(..) => "constant",
        E::ErrorArithmetic(..) => "arithmetic",
        E::ErrorTooManyOperations(..)
        | E::ErrorTooManyVariables(..)
        | E::ErrorTooManyModules(..)
        | E::ErrorStackOverflow(..)
        | E::ErrorDataTooLarge(..) => "limit",
        E::ErrorTerminated(..) => "interrupted",
        E::ErrorRuntime(value, _) => thrown_kind(value),
        // `Return` and `Exit`, and what a later Rhai may add.
        _ => "internal",
    }
}

/// The keys of the maps that nsscript's functions return: a misspelt one is most likely one of these.
const RESULT_KEYS: &str = "\
    addrgenmode alias altnames broadcast bytes carrier cidr code data dadfailed deprecated dev dst \
    duplicate failed family flags from group hint id index inode kernel kind label lines linkdown lladdr \
    local loss lower mac master max_mtu message metric metrics min_mtu mtu name names nexthops nodad \
    noprefixroute onlink peer permanent port preferred prefixlen promiscuity proto proxy qdisc received \
    replies router rtt rtt_avg rtt_max rtt_mdev rtt_min rx_queues scope secondary sent signal src state \
    stats stderr stdout table target temporary tentative text timed_out tx_queues txqueuelen type valid \
    what";

/// The hint for a key that a map does not have.
#[must_use]
pub(super) fn key_hint(name: &str) -> String {
    match nearest(name, RESULT_KEYS.split_whitespace().filter(|k| *k != name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("ask first whether it is there: \"{name}\" in map"),
    }
}

/// Every kind that [`kind_of`] can give, nsscript's own first.
const KINDS: [&str; 24] = [
    "exists",
    "not_found",
    "invalid",
    "unsupported",
    "permission",
    "busy",
    "exit",
    "timeout",
    "unreachable",
    "assert",
    "fail",
    "io",
    "interrupted",
    "dad",
    "limit",
    "kernel",
    "internal",
    "syntax",
    "type",
    "bounds",
    "arithmetic",
    "constant",
    "data_race",
    "script",
];

/// The kind of the map that Rhai gives to `catch` for an error of its own: `error` is the name of the variant.
pub(super) fn caught_kind(map: &Map) -> Option<&'static str> {
    Some(match text_of(map, "error")?.as_str() {
        "ErrorDotExpr" if text_of(map, "message").is_some_and(|m| m.starts_with(UNKNOWN_PROPERTY)) => "not_found",
        "ErrorSystem" => "io",
        "ErrorParsing" | "ErrorCustomSyntax" => "syntax",
        "ErrorVariableExists" => "exists",
        "ErrorForbiddenVariable" | "ErrorUnboundThis" => "invalid",
        "ErrorVariableNotFound"
        | "ErrorPropertyNotFound"
        | "ErrorIndexNotFound"
        | "ErrorFunctionNotFound"
        | "ErrorModuleNotFound" => "not_found",
        "ErrorMismatchDataType" | "ErrorMismatchOutputType" | "ErrorIndexingType" | "ErrorFor" | "ErrorDotExpr" => {
            "type"
        }
        "ErrorArrayBounds" | "ErrorStringBounds" | "ErrorBitFieldBounds" => "bounds",
        "ErrorDataRace" => "data_race",
        "ErrorNonPureMethodCallOnConstant" | "ErrorAssignmentToConstant" => "constant",
        "ErrorArithmetic" => "arithmetic",
        _ => return None,
    })
}

fn thrown_kind(value: &Dynamic) -> &'static str {
    let Ok(map) = value.as_map_ref() else { return "script" };
    let kind = match text_of(&map, "kind") {
        Some(kind) => kind,
        // What Rhai gives to `catch` for an error of its own, thrown again.
        None => caught_kind(&map).unwrap_or_default().to_owned(),
    };
    KINDS.into_iter().find(|known| *known == kind).unwrap_or("script")
}

/// A caught error as scripts see it: Rhai's own are maps without a kind, and get one here; so do all keys that
/// nsscript's errors have.
pub fn caught(error: Dynamic) -> Dynamic {
    let Some(mut map) = error.clone().try_cast::<Map>() else { return error };
    let Some(name) = map.get("error").and_then(|e| e.clone().into_string().ok()) else { return error };
    if map.contains_key("kind") {
        return error;
    }
    // Of an error within a function or a closure only the words are left.
    let words = map.get("message").and_then(|m| m.clone().into_string().ok()).unwrap_or_default();
    let kind =
        if name == "ErrorInFunctionCall" { kind_of_words(&words) } else { caught_kind(&map).unwrap_or("script") };
    map.insert("kind".into(), kind.into());
    let missing = map.get("variable").and_then(|v| v.clone().into_string().ok());
    if name == "ErrorPropertyNotFound"
        && let Some(key) = missing
    {
        map.insert("hint".into(), key_hint(&key).into());
    }
    for (key, value) in [
        ("hint", Dynamic::UNIT),
        ("op", "".into()),
        ("ns", "".into()),
        ("target", "".into()),
        ("errno", 0.into()),
        ("kernel", Dynamic::UNIT),
    ] {
        map.entry(key.into()).or_insert(value);
    }
    map.into()
}

/// The kind of a caught error of Rhai's own that came out of a function: by the words with which Rhai begins it
/// (`impl Display for EvalAltResult`).
fn kind_of_words(words: &str) -> &'static str {
    let begins = |all: &[&str]| all.iter().any(|w| words.starts_with(w));
    if begins(&[
        "Function not found",
        "Variable not found",
        "Module not found",
        "Property not found",
        "Index not found",
    ]) {
        "not_found"
    } else if begins(&["Array index", "String index", "Bit-field index"]) || words.contains(" out of bounds") {
        "bounds"
    } else if begins(&["Data type incorrect", "Output type incorrect", "Invalid indexing", "For loop expects"]) {
        "type"
    } else if begins(&[
        "Division by zero",
        "Modulo division",
        "Addition",
        "Subtraction",
        "Multiplication",
        "Division",
        "Exponential",
    ]) {
        "arithmetic"
    } else if begins(&["Stack overflow", "Too many", "Too deep"]) || words.contains("too large") {
        "limit"
    } else {
        "script"
    }
}

//! "Did you mean": the known word that is nearest to a misspelt one.

/// The word of `known` that `word` most likely stands for, or none where nothing is near enough.
///
/// Near enough is one edit for up to four characters, two up to eight, three beyond (an edit is a character added, left
/// out, changed, or swapped with its neighbour: Damerau–Levenshtein). Where that finds nothing, the same words in another
/// order count (`add_netns` for `netns_add`). Letter case costs nothing; at equal distance the earlier in the alphabet wins,
/// so that the answer does not depend on the order of `known`. `word` itself is never the answer.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = word.to_lowercase();
    let count = wanted.chars().count();
    let limit = match count {
        0 => return None,
        1..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in known {
        if candidate == word {
            continue;
        }
        let lower = candidate.to_lowercase();
        // One letter changed turns any short name into many others: there only another case, a letter more or less, or
        // two letters swapped is a likeness.
        let is_other = count <= 2 && lower.chars().count() == count && !same_letters(&wanted, &lower);
        let close = if is_other { 0 } else { limit };
        let mut distance = strsim::damerau_levenshtein(&wanted, &lower);
        if distance > close && same_parts(&wanted, &lower) {
            distance = limit;
        } else if distance > close {
            continue;
        }
        if best.is_none_or(|b| (distance, candidate) < b) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn same_letters(a: &str, b: &str) -> bool {
    let letters = |s: &str| {
        let mut letters: Vec<char> = s.chars().collect();
        letters.sort_unstable();
        letters
    };
    letters(a) == letters(b)
}

/// Whether both are made of the same parts between underscores, in any order (and there is more than one part).
fn same_parts(a: &str, b: &str) -> bool {
    let parts = |s: &str| {
        let mut parts: Vec<String> = s.split('_').map(str::to_owned).collect();
        parts.sort();
        parts
    };
    a.contains('_') && a.len() == b.len() && parts(a) == parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_nothing_far() {
        let known = ["addr", "addrs", "addr_del", "netns_add", "netns_del", "veth", "mtu", "up", "link_up"];
        let table = [
            ("adr", Some("addr")),
            ("addrr", Some("addr")),
            ("vteh", Some("veth")),
            ("MTU", Some("mtu")),
            ("add_netns", Some("netns_add")),
            ("netns_ad", Some("netns_add")),
            ("netnsadd", Some("netns_add")),
            ("linkup", Some("link_up")),
            ("frobnicate", None),
            ("x", None),
            ("uq", None),
            ("pu", Some("up")),
            ("", None),
            ("addr", Some("addrs")),
        ];
        for (word, want) in table {
            assert_eq!(nearest(word, known.into_iter()), want, "{word}");
        }
        assert_eq!(nearest("h", ["i", "j"].into_iter()), None);
    }
}

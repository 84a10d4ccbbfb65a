//! The value of what stands before a `.`: of variables, and of expressions that only look, which are evaluated.

use super::Place;
use crate::engine::tokens::{Token, What};
use crate::repl::terminal::offset;
use rhai::Dynamic;

/// Functions that only look, and that answer at once.
const LOOKS: &[&str] = &[
    "addrs",
    "bridge_vlans",
    "channels",
    "fdbs",
    "host",
    "link",
    "links",
    "mdbs",
    "neighs",
    "netns",
    "netns_list",
    "netns_list_id",
    "nexthops",
    "nft_list",
    "offloads",
    "qdiscs",
    "routes",
    "rules",
    "tc_classes",
    "tc_filters",
];

/// Methods that give an array of the same things: their closures are not run.
const SAME: &[&str] = &["filter", "order", "order_by", "reverse", "sort", "sort_by"];

/// Methods whose closure gets one thing of the array.
const EACH: &[&str] = &["filter", "map", "some", "all", "find", "find_map", "for_each", "index_of", "retain", "drain"];

impl Place<'_> {
    /// The value before the `.` that the tokens end with.
    pub(super) fn receiver(&self, text: &str, before: &[Token<'_>]) -> Option<Dynamic> {
        let (_, all) = before.split_last()?;
        self.value_of(text, all, 0)
    }

    /// The value of the expression at the end of some tokens.
    fn value_of(&self, text: &str, all: &[Token<'_>], depth: usize) -> Option<Dynamic> {
        // `x` of `|x|` of `|x|` …
        const DEEPEST: usize = 4;
        let begin = begin(all);
        let expression = all.get(begin..).filter(|e| !e.is_empty())?;
        if let [one] = expression {
            return self
                .value(one.what, one.text)
                .or_else(|| self.local(text, all.get(..begin)?, one.text, depth + 1).filter(|_| depth < DEEPEST));
        }
        // `list.filter(…)` is as good as `list` here.
        if let Some(open) = expression.last().filter(|t| t.is(")")).and_then(|_| opening(expression))
            && open > 2
            && SAME.iter().any(|m| expression[open - 1].is(m))
            && expression[open - 2].is(".")
        {
            return self.value_of(text, all.get(..begin + open - 2)?, depth);
        }
        if !self.only_looks(expression) {
            return None;
        }
        let (first, last) = (expression.first()?, expression.last()?);
        self.interpreter.look(text.get(offset(text, first)..offset(text, last) + last.text.len())?)
    }

    /// What a name stands for that is no variable of the session: the parameter of a closure, of a `for`, or of a `let`.
    fn local(&self, text: &str, before: &[Token<'_>], name: &str, depth: usize) -> Option<Dynamic> {
        let one_of = |value: Dynamic| value.into_array().ok()?.into_iter().next();
        for (n, token) in before.iter().enumerate().rev().filter(|(_, t)| t.is(name)) {
            let at = |back: usize| n.checked_sub(back).and_then(|at| before.get(at));
            let closure = at(1).is_some_and(|t| t.is("|")) && before.get(n + 1).is_some_and(|t| t.is("|"));
            let method = at(2).is_some_and(|t| t.is("(")) && at(4).is_some_and(|t| t.is("."));
            if closure && method && at(3).is_some_and(|t| EACH.contains(&t.text)) {
                return self.value_of(text, before.get(..n - 4)?, depth).and_then(one_of);
            }
            let rest = before.get(n + 2..)?;
            let value = |end: &str| {
                let length = rest.iter().position(|t| t.is(end))?;
                self.value_of(text, before.get(..n + 2 + length)?, depth)
            };
            if at(1).is_some_and(|t| t.is("for")) && before.get(n + 1).is_some_and(|t| t.is("in")) {
                return value("{").and_then(one_of);
            }
            if at(1).is_some_and(|t| t.is("let")) && before.get(n + 1).is_some_and(|t| t.is("=")) {
                return value(";");
            }
            let _ = token;
        }
        None
    }

    /// Whether evaluating it changes nothing and takes no time.
    fn only_looks(&self, expression: &[Token<'_>]) -> bool {
        expression.iter().enumerate().all(|(n, token)| {
            let before = n.checked_sub(1).and_then(|at| expression.get(at));
            let call = expression.get(n + 1).is_some_and(|t| t.is("("));
            let property = before.is_some_and(|t| t.is("."));
            match token.what {
                What::Number | What::Char => true,
                What::Text => !token.text.contains("${"),
                What::Name if call => LOOKS.contains(&token.text),
                What::Name => property || self.interpreter.variable(token.text).is_some(),
                What::Mark => ["(", ")", "[", "]", ",", "."].iter().any(|m| token.is(m)),
            }
        })
    }
}

/// Where the bracket opens that the last token closes.
fn opening(all: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0usize;
    for (n, token) in all.iter().enumerate().rev() {
        if [")", "]", "}"].iter().any(|m| token.is(m)) {
            depth += 1;
        } else if ["(", "[", "{", "#{"].iter().any(|m| token.is(m)) {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(n);
            }
        }
    }
    None
}

/// Where the expression begins that the tokens end with: a name or a text, with its calls, indices and properties.
fn begin(all: &[Token<'_>]) -> usize {
    let mut end = all.len();
    loop {
        let Some(last) = end.checked_sub(1).and_then(|at| all.get(at)) else { return end };
        let start = if last.is(")") || last.is("]") {
            let Some(open) = opening(&all[..end]) else { return end };
            match open.checked_sub(1).and_then(|at| all.get(at)) {
                // What is called or indexed.
                Some(t) if t.what == What::Name => open - 1,
                Some(t) if t.is(")") || t.is("]") => {
                    end = open;
                    continue;
                }
                _ => open,
            }
        } else {
            end - 1
        };
        match start.checked_sub(1).and_then(|at| all.get(at)) {
            Some(t) if t.is(".") => end = start - 1,
            _ => return start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tokens::tokens;

    #[test]
    fn expressions_are_found_from_their_end() {
        for (text, expression) in [
            ("let a = links", "links"),
            ("f(links()[0]", "links()[0]"),
            ("x + h.links(1, [2])[0].peer", "h.links(1, [2])[0].peer"),
            ("a; f(b)(c)", "f(b)(c)"),
            ("links().filter(|l| l", "l"),
            ("(1 + 2)", "(1 + 2)"),
        ] {
            let all = tokens(text);
            let at = begin(&all);
            assert_eq!(&text[offset(text, &all[at])..], expression, "{text}");
        }
    }
}

//! The reference page is generated, and has to be as the functions' comments say it.

#![allow(clippy::pedantic, clippy::unwrap_used, clippy::disallowed_methods, clippy::undocumented_unsafe_blocks)]

use nsscript::cli::doc::reference;

#[test]
fn the_page_is_as_generated() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let wanted = reference().markdown();
    let differs = page.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = differs.map_or(page.lines().count().min(wanted.lines().count()), |n| n) + 1;
    assert!(
        page == wanted,
        "docs/reference.md is stale from line {line} on; write it again:\n\n    cargo run -- doc --markdown > docs/reference.md\n"
    );
}

#[test]
fn every_function_is_explained_and_shown() {
    let reference = reference();
    let mut lacking = Vec::new();
    for entry in reference.entries() {
        if entry.text.is_empty() {
            lacking.push(format!("{}: no text", entry.name));
        }
        // A property is shown by its name.
        let is_property = entry.signatures.iter().all(|s| !s.contains('('));
        if entry.examples.is_empty() && !is_property {
            lacking.push(format!("{}: no example", entry.name));
        }
    }
    assert!(lacking.is_empty(), "doc comments are incomplete:\n{}", lacking.join("\n"));
}

#[test]
fn every_family_has_a_name_and_a_title() {
    for family in &reference().families {
        assert!(!family.name.is_empty(), "a module of src/builtins/mod.rs is registered without `family!`");
        assert!(!family.title.is_empty(), "family `{}` has no title in src/engine/docs.rs", family.name);
    }
}

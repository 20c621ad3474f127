//! Words that have no place here: paths of one machine, promises instead of code, code that must not be.

use super::{Finding, Text};

/// Parts that are put together here, so that this file does not hold what it forbids.
const NOWHERE: [(&str, &str); 9] = [
    (concat!("/", "work/"), "is a path of one machine"),
    (concat!("/", "root/"), "is a path of one machine"),
    (concat!("/ho", "me/"), "is a path of one machine"),
    (concat!("/Us", "ers/"), "is a path of one machine"),
    (concat!("../", "shared"), "lies outside of the project"),
    (concat!("FIX", "ME"), "is a promise; do it or open an issue"),
    (concat!("TO", "DO"), "is a promise; do it or open an issue"),
    (concat!("XX", "X"), "is a promise; do it or open an issue"),
    (concat!("lorem ", "ipsum"), "is no content"),
];

/// What no Rust of ours outside of tests holds.
const NOT_IN_RUST: [(&str, &str); 4] = [
    (concat!("to", "do!("), "is a promise"),
    (concat!("unimpl", "emented!("), "is a promise"),
    (concat!("dbg", "!("), "is for the moment"),
    (concat!("allow(", "warnings)"), "hides what should be read"),
];

pub(super) fn check(file: &Text) -> Vec<Finding> {
    // What others wrote and we only test with, or what a tool wrote, is not ours to word.
    if file.path == "openapi.json" || file.path.ends_with(".lock") {
        return Vec::new();
    }
    let rust: &[_] = if file.is_rust() { &NOT_IN_RUST } else { &[] };
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for (word, why) in NOWHERE.iter().chain(rust) {
            if holds(line, word) {
                findings.push(file.finding(at + 1, format!("`{word}` {why}")));
            }
        }
    }
    findings
}

/// Whether a line holds the word, and not as a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let ends_open = word.ends_with(|c: char| !c.is_alphanumeric());
        let starts_open = word.starts_with(['/', '.']);
        let before = line[..at].chars().next_back();
        let starts_path = starts_open && before.is_some_and(|c| c.is_alphanumeric() || "}.*_-".contains(c));
        !(starts_path
            || (!starts_open && joined(before))
            || (!ends_open && joined(line[at + word.len()..].chars().next())))
    })
}

//! Files: how each opens, how long it may be, what it may be called.

use std::collections::BTreeSet;

use super::{Finding, Text};

/// The longest file, in lines.
const LONGEST: usize = 400;
/// The highest median of all files, in lines; near 120 is the aim.
const HIGHEST_MEDIAN: usize = 200;
/// Names that say nothing.
const SAY_NOTHING: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "types", "misc", "shared", "stuff", "mod"];

pub(super) fn check(file: &Text) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(file.finding(1, "must open with `//!` and say what it holds"));
    }
    let lines = file.text.lines().count();
    if lines > LONGEST && !file.is_test() {
        findings.push(file.finding(LONGEST, format!("has {lines} lines; {LONGEST} is the most: part it by meaning")));
    }
    findings
}

pub(super) fn check_names(house: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for file in house.iter().filter(|file| file.is_rust()) {
        let inside = file.path.trim_end_matches(".rs");
        for name in inside.split('/').filter(|name| SAY_NOTHING.contains(name)) {
            if seen.insert((file.path.clone(), name.to_owned())) {
                findings.push(file.finding(1, format!("`{name}` says nothing of what is inside")));
            }
        }
    }
    let median = median(house);
    if median > HIGHEST_MEDIAN {
        let says = format!("the median file has {median} lines; {HIGHEST_MEDIAN} is the most");
        findings.push(Finding { path: ".".to_owned(), line: 1, says });
    }
    findings
}

fn median(house: &[Text]) -> usize {
    let files = house.iter().filter(|file| file.is_rust() && !file.is_test());
    let mut sizes: Vec<usize> = files.map(|file| file.text.lines().count()).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied().unwrap_or(0)
}

/// One line on the size of the house.
pub(super) fn measure(house: &[Text]) -> String {
    let rust = || house.iter().filter(|file| file.is_rust());
    let lines: usize = rust().map(|file| file.text.lines().count()).sum();
    format!("{} files of Rust, {lines} lines, median {}", rust().count(), median(house))
}

//! Documents: ARCHITECTURE.md names only what exists, every document's links lead somewhere, and each plugin has
//! its rooms.

use std::collections::BTreeSet;

use super::{Finding, Text};

/// The rooms of a plugin's folder.
const ROOMS: [&str; 4] = ["Cargo.toml", "README.md", "src/lib.rs", "tests"];

pub(super) fn check(house: &[Text], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = check_rooms(house, &exists);
    let tops: BTreeSet<&str> = house.iter().filter_map(|text| text.path.split_once('/').map(|(top, _)| top)).collect();
    match house.iter().find(|text| text.path == "ARCHITECTURE.md") {
        Some(document) => findings.extend(check_paths(document, &tops, &exists)),
        None => findings.push(Finding {
            path: "ARCHITECTURE.md".to_owned(),
            line: 1,
            says: "is missing: the bird's eye view of the house".to_owned(),
        }),
    }
    let documents = house.iter().filter(|text| text.path.ends_with(".md"));
    findings.extend(documents.flat_map(|document| check_links(document, &exists)));
    findings
}

fn check_rooms(house: &[Text], exists: &impl Fn(&str) -> bool) -> Vec<Finding> {
    let plugins: BTreeSet<&str> = house
        .iter()
        .filter_map(|text| text.path.strip_prefix("plugins/").and_then(|rest| rest.split_once('/')))
        .map(|(plugin, _)| plugin)
        .collect();
    let missing = |plugin: &str, room: &str| Finding {
        path: format!("plugins/{plugin}"),
        line: 1,
        says: format!("has no {room}; every plugin has {}", ROOMS.join(", ")),
    };
    plugins
        .iter()
        .flat_map(|plugin| ROOMS.iter().map(move |room| (plugin, room)))
        .filter(|(plugin, room)| !exists(&format!("plugins/{plugin}/{room}")))
        .map(|(plugin, room)| missing(plugin, room))
        .collect()
}

/// Paths in backquotes that begin with a folder of the project must exist.
fn check_paths(document: &Text, tops: &BTreeSet<&str>, exists: &impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in document.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let top = quoted.split('/').next().unwrap_or_default();
            let plain = quoted.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if plain && quoted.contains('/') && tops.contains(top) && !exists(quoted) {
                findings.push(document.finding(at + 1, format!("names `{quoted}`, which does not exist")));
            }
        }
    }
    findings
}

/// `[text](path)` within the project must lead to a file or folder.
fn check_links(document: &Text, exists: &impl Fn(&str) -> bool) -> Vec<Finding> {
    let folder = document.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (at, line) in document.text.lines().enumerate() {
        for (start, _) in line.match_indices("](") {
            let Some((target, _)) = line[start + 2..].split_once(')') else { continue };
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains(':') || target.starts_with('<') || target.contains(' ') {
                continue;
            }
            if !exists(&joined(folder, target)) {
                findings.push(document.finding(at + 1, format!("links to {target}, which does not exist")));
            }
        }
    }
    findings
}

/// `docs/guide` and `../adr/x.md` make `docs/adr/x.md`.
fn joined(folder: &str, target: &str) -> String {
    let base = if target.starts_with('/') { "" } else { folder };
    let mut steps: Vec<&str> = base.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(steps.pop()),
            name => steps.push(name),
        }
    }
    steps.join("/")
}

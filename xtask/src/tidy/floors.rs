//! Floors: which crate may stand on which, who may name which framework, and module order where a crate declares it.

use std::collections::BTreeSet;

use super::{Finding, Text};

/// Each package folder with the packages of ours that it may stand on. Tests may look sideways, never engine's.
const EDGES: [(&str, &[&str]); 12] = [
    ("core/model", &[]),
    ("core/log", &["model"]),
    ("core/store", &["model", "migrations"]),
    ("core/engine", &["model", "log", "store"]),
    ("core/plugin", &["model", "engine"]),
    ("core/api", &["model", "log", "store", "engine", "plugin"]),
    ("core/hub", &["model", "log", "store", "engine", "plugin", "api"]),
    ("core/testkit", &["model", "log", "store", "engine", "plugin", "api", "hub", "sdk", "webhook"]),
    ("migrations", &[]),
    ("sdk/rust", &["sdk-macros"]),
    ("examples/quickstart", &["model"]),
    ("xtask", &[]),
];

/// Each framework with the folders that may name it.
const FRAMEWORKS: [(&str, &[&str]); 10] = [
    ("sea-orm", &["core/store"]),
    ("sea-orm-migration", &["migrations"]),
    ("wasmtime", &["core/plugin"]),
    ("axum", &["core/api"]),
    ("utoipa", &["core/model", "core/api"]),
    ("fjall", &["core/log"]),
    ("figment", &["core/hub"]),
    ("clap", &["core/hub", "core/testkit", "examples/quickstart", "xtask"]),
    ("fuser", &["core/testkit"]),
    ("anyhow", &["core/hub", "xtask"]),
];

pub(super) fn check(house: &[Text]) -> Vec<Finding> {
    let manifests = house.iter().filter(|text| text.file_name() == "Cargo.toml" && text.path != "Cargo.toml");
    manifests.flat_map(check_manifest).chain(check_order(house)).collect()
}

fn check_manifest(manifest: &Text) -> Vec<Finding> {
    let folder = manifest.path.trim_end_matches("/Cargo.toml");
    let Ok(table) = manifest.text.parse::<toml::Table>() else {
        return vec![manifest.finding(1, "is no TOML")];
    };
    let named = |section: &str| -> BTreeSet<String> {
        table.get(section).and_then(toml::Value::as_table).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    };
    let mut direct = named("dependencies");
    direct.extend(named("build-dependencies"));
    let tested = named("dev-dependencies");
    let line = |name: &str| manifest.text.lines().position(|line| line.starts_with(name)).map_or(1, |at| at + 1);
    let mut findings = Vec::new();
    let allowed = EDGES.iter().find(|(at, _)| *at == folder).map(|(_, allowed)| *allowed);
    let allowed = allowed.or_else(|| folder.starts_with("plugins/").then_some(&["sdk"] as &[&str]));
    for name in &direct {
        let Some(ours) = name.strip_prefix("rialto-") else { continue };
        if allowed.is_some_and(|allowed| !allowed.contains(&ours)) {
            findings.push(manifest.finding(line(name), format!("{folder} may not stand on {name}")));
        }
    }
    for (framework, owners) in FRAMEWORKS {
        if direct.contains(framework) && !owners.contains(&folder) && folder.starts_with("core/") {
            findings
                .push(manifest.finding(line(framework), format!("only {} may name {framework}", owners.join(", "))));
        }
    }
    // The engine's tests are fast because they never link the plugin runtime.
    if folder == "core/engine" {
        for name in
            tested.iter().filter(|name| ["rialto-plugin", "rialto-testkit", "wasmtime"].contains(&name.as_str()))
        {
            findings.push(manifest.finding(line(name), format!("the engine's tests may not link {name}")));
        }
    }
    findings
}

/// A crate may declare its own floors in the documentation of lib.rs: `//! Order: clock < accept < engine.` Then no
/// module names one that stands later.
fn check_order(house: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for lib in house.iter().filter(|text| text.path.ends_with("/src/lib.rs")) {
        let Some(order) = declared_order(&lib.text) else { continue };
        let source = lib.path.trim_end_matches("lib.rs");
        for file in house.iter().filter(|file| file.is_rust() && file.path.starts_with(source)) {
            let inside = &file.path[source.len()..];
            let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
            let Some(own) = order.iter().position(|name| name == module) else { continue };
            for (at, text) in file.text.lines().enumerate() {
                for later in order.iter().skip(own + 1).filter(|name| names(text, name)) {
                    findings.push(file.finding(at + 1, format!("{module} stands below {later} and may not name it")));
                }
            }
        }
    }
    findings
}

fn declared_order(text: &str) -> Option<Vec<String>> {
    let line = text.lines().find_map(|line| line.strip_prefix("//! Order: "))?;
    Some(line.trim_end_matches('.').split('<').map(|name| name.trim().to_owned()).collect())
}

fn names(line: &str, module: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    [format!("crate::{module}::"), format!("crate::{module};")].iter().any(|path| code.contains(path.as_str()))
}

//! Each rule on a breach made for it, and the project itself.

use super::*;

fn text(path: &str, text: &str) -> Text {
    Text { path: path.to_owned(), text: text.to_owned() }
}

fn said(findings: Vec<Finding>) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

#[test]
fn the_house_is_tidy() {
    let house = read(&root()).expect("readable");
    assert!(house.len() > 50, "only {} files were found", house.len());
    let found = said(findings(&house, &root()));
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_floor_that_stands_on_a_higher_one_is_found() {
    let breach = text("core/log/Cargo.toml", "[dependencies]\nrialto-model.workspace = true\nrialto-engine = \"1\"\n");
    assert_eq!(said(floors::check(&[breach])), ["core/log/Cargo.toml:3: core/log may not stand on rialto-engine"]);
}

#[test]
fn a_framework_out_of_its_crate_is_found() {
    let breach = text("core/engine/Cargo.toml", "[dependencies]\nsea-orm.workspace = true\n");
    assert_eq!(said(floors::check(&[breach])), ["core/engine/Cargo.toml:2: only core/store may name sea-orm"]);
    let breach = text("core/engine/Cargo.toml", "[dev-dependencies]\nrialto-plugin.workspace = true\n");
    assert_eq!(floors::check(&[breach]).len(), 1);
}

#[test]
fn a_module_that_names_a_later_one_is_found_where_the_order_is_declared() {
    let lib = text("core/engine/src/lib.rs", "//! It.\n//! Order: clock < accept < engine.\n");
    let good = text("core/engine/src/engine.rs", "use crate::clock::Clock;\n");
    let breach = text("core/engine/src/clock.rs", "//! Time.\nuse crate::engine::Engine;\n");
    let found = said(floors::check(&[lib, good, breach]));
    assert_eq!(found, ["core/engine/src/clock.rs:2: clock stands below engine and may not name it"]);
}

#[test]
fn files_are_held_to_opening_length_and_name() {
    let long = format!("//! Long.\n{}", "\n".repeat(400));
    assert_eq!(files::check(&text("core/log/src/a.rs", &long)).len(), 1);
    assert_eq!(files::check(&text("core/log/src/a/tests.rs", &long)).len(), 0);
    assert_eq!(files::check(&text("core/log/src/a.rs", "fn main() {}")).len(), 1);
    let named = [text("core/log/src/util.rs", "//! x"), text("core/log/src/a/mod.rs", "//! x")];
    assert_eq!(files::check_names(&named).len(), 2);
}

#[test]
fn a_long_function_is_found_and_a_long_test_is_not() {
    let body = "        step();\n".repeat(70);
    let breach = format!("//! x\nimpl A {{\n    pub async fn long(&self) {{\n{body}    }}\n}}\n");
    let found = said(functions::check(&text("core/log/src/a.rs", &breach)));
    assert_eq!(found, ["core/log/src/a.rs:3: `long` has 72 lines; under 70 is the rule"]);
    let tested = format!("//! x\nmod tests {{\n    fn long() {{\n{body}    }}\n}}\n");
    assert_eq!(functions::check(&text("core/log/src/a.rs", &tested)), []);
    let declared = format!("//! x\ntrait A {{\n    fn short();\n    fn other() {{\n    }}\n{body}}}\n");
    assert_eq!(functions::check(&text("core/log/src/a.rs", &declared)), []);
}

#[test]
fn paths_of_one_machine_are_found_and_paths_that_only_look_alike_are_not() {
    let breach = format!("see /{}main and /{}me", "work/", "root/");
    assert_eq!(words::check(&text("README.md", &breach)).len(), 2);
    assert_eq!(words::check(&text("README.md", "a frame/work/of, node/root/x, target/root/")), []);
    assert_eq!(words::check(&text("a.rs", &format!("{}x)", concat!("to", "do!(")))).len(), 1);
}

#[test]
fn documents_that_lead_nowhere_are_found() {
    let house = [
        text("ARCHITECTURE.md", "`core/log/src/lib.rs` and `core/gone.rs`, `a/b`"),
        text("docs/guide/a.md", "[one](../adr/1.md) [two](2.md) [web](https://example.com) [here](#x)"),
        text("core/log/src/lib.rs", "//! x"),
        text("plugins/webhook/Cargo.toml", ""),
    ];
    let there = ["core/log/src/lib.rs", "docs/adr/1.md", "plugins/webhook/Cargo.toml", "plugins/webhook/src/lib.rs"];
    let found = said(documents::check(&house, |path| there.contains(&path)));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|says| says.contains("core/gone.rs")), "{found:#?}");
    assert!(found.iter().any(|says| says.contains("2.md")), "{found:#?}");
    assert!(found.iter().any(|says| says.contains("has no README.md")), "{found:#?}");
    assert!(found.iter().any(|says| says.contains("has no tests")), "{found:#?}");
}

//! The story, walked as a newcomer's machine walks it: a hub of its own process, real ports, real plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;

use rialto_quickstart::hub::{Hub, text};
use rialto_quickstart::process::{HubProcess, Start};
use rialto_quickstart::story::Desk;
use rialto_quickstart::{Trouble, report, story};
use tempfile::TempDir;

/// Where cargo puts what it builds: two folders above this test's program.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a program");
    test.ancestors().nth(2).expect("below target/debug/deps").to_path_buf()
}

fn cargo(arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    // Set by cargo for this test alone; handed on they would make the build start over.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_CRATE_NAME" {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "cargo {} failed", arguments.join(" "));
}

/// The hub's program, of the code as it is now: cargo is asked each time, and has nothing to do after `cargo xtask test`.
fn hub() -> PathBuf {
    static BUILT: Once = Once::new();
    let folder = built();
    BUILT.call_once(|| {
        let profile = folder.file_name().and_then(|name| name.to_str()).expect("a folder of a profile");
        let profile = if profile == "debug" { "dev" } else { profile };
        // The same set of features as the test command's, or one build would undo the other.
        cargo(&["build", "--workspace", "--bins", "--profile", profile]);
    });
    folder.join("rialto")
}

fn plugins() -> PathBuf {
    let plugins = built().parent().expect("target").join("plugins");
    if !plugins.join("rialto-webhook.wasm").is_file() {
        cargo(&["xtask", "plugins"]);
    }
    plugins
}

fn tell(plugins: &Path) -> Output {
    let data = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_rialto-quickstart"))
        .arg("--once")
        .args(["--listen", "127.0.0.1:0"])
        .arg("--hub-binary")
        .arg(hub())
        .arg("--plugins")
        .arg(plugins)
        .arg("--data")
        .arg(data.path().join("demo"))
        .env("RIALTO__PLUGINS__CACHE_DIR", built().parent().expect("target").join("test-plugin-cache"))
        .output()
        .expect("the story starts")
}

#[test]
fn the_story_is_told_to_its_end() {
    let output = tell(&plugins());
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    for part in ["Two devices, one person", "phone-7f3a", "Deliveries by tenant", "/api/v1/live", "/explain"] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn a_story_that_misses_a_part_fails_and_names_it() {
    let empty = tempfile::tempdir().expect("a folder");
    let output = tell(empty.path());
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(complained.contains("no such connector is installed"), "{complained}");
}

/// What the report says is missing from a story.
async fn missing(told: &story::Told) -> Vec<String> {
    match report::print(told).await {
        Ok(()) => Vec::new(),
        Err(Trouble::Missing(lines)) => lines,
        Err(other) => panic!("{other}"),
    }
}

/// The first call of a shop that it wants delivered, or does not want.
fn call(desk: &Desk, wanted: bool) -> (String, String) {
    let call = desk.calls.iter().find(|call| desk.shop.wants(call) == wanted).expect("the shop has such a call");
    (desk.shop.slug.to_owned(), text(&call.body, "/messageId").to_owned())
}

#[tokio::test]
async fn an_arrival_too_few_or_too_many_is_missing_from_the_story() {
    let folder = TempDir::new().expect("a folder");
    let start = Start {
        binary: hub(),
        plugins: plugins(),
        data: folder.path().join("demo"),
        listen: ([127, 0, 0, 1], 0).into(),
    };
    let process = HubProcess::start(&start).await.expect("the hub starts");
    let operator = Hub::new(process.url.clone(), &process.operator_token);
    let mut told = story::tell(&operator).await.expect("the story is told");
    assert_eq!(missing(&told).await, Vec::<String>::new());

    for shop in 0..told.desks.len() {
        let lost = call(&told.desks[shop], true);
        let count = told.arrived.events.remove(&lost).expect("it arrived");
        let lines = missing(&told).await;
        let named = |line: &String| line.contains(told.desks[shop].shop.name) && line.contains(&lost.1);
        assert!(lines.len() == 1 && lines.iter().all(named), "{lost:?}: {lines:?}");
        told.arrived.events.insert(lost, count);
    }
    let unwanted = call(&told.desks[0], false);
    told.arrived.events.insert(unwanted.clone(), 1);
    let lines = missing(&told).await;
    assert!(lines.len() == 1 && lines[0].contains(&unwanted.1), "{lines:?}");
    process.stop().await.expect("the hub ends well");
}

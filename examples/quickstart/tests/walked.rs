//! The story, walked as a newcomer's machine walks it: a hub of its own process, real ports, real plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where cargo puts what it builds: two folders above this test's program.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a program");
    test.ancestors().nth(2).expect("below target/debug/deps").to_path_buf()
}

fn cargo(arguments: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()
        .expect("cargo starts");
    assert!(status.success(), "cargo {} failed", arguments.join(" "));
}

/// `cargo xtask test` has built both already; `cargo test` alone has not.
fn story(plugins: &Path) -> Output {
    let hub = built().join("rialto");
    if !hub.is_file() {
        cargo(&["build", "--package", "rialto-hub", "--bin", "rialto"]);
    }
    let data = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_rialto-quickstart"))
        .arg("--once")
        .args(["--listen", "127.0.0.1:0"])
        .arg("--hub-binary")
        .arg(hub)
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
    let plugins = built().parent().expect("target").join("plugins");
    if !plugins.join("rialto-webhook.wasm").is_file() {
        cargo(&["xtask", "plugins"]);
    }
    let output = story(&plugins);
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
    let output = story(empty.path());
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(complained.contains("no such connector is installed"), "{complained}");
}

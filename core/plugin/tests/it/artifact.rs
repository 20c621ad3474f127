//! Built guests. They are made by `cargo xtask plugins`, which the tests run if one is missing or older than its source.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// The webhook connector, as a hub installs it.
pub(crate) fn webhook() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| built("plugins/rialto-webhook.wasm", "plugins/webhook/src", &["plugins"]))
}

/// The JSON webhook connector, as a hub installs it.
pub(crate) fn json_webhook() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| built("plugins/rialto-json-webhook.wasm", "plugins/json-webhook/src", &["plugins"]))
}

/// The connector that does with each webhook what that says.
pub(crate) fn hostile_webhook() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let source = "core/plugin/tests/guests/hostile-webhook/src";
    BYTES.get_or_init(|| built("test-guests/rialto-hostile-webhook.wasm", source, &["plugins", "--test-guests"]))
}

/// The connector that means harm.
pub(crate) fn hostile() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let source = "core/plugin/tests/guests/hostile/src";
    BYTES.get_or_init(|| built("test-guests/rialto-hostile.wasm", source, &["plugins", "--test-guests"]))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn built(file: &str, source: &str, task: &[&str]) -> Vec<u8> {
    let root = root();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let path = target.join(file);
    let sources = [source, "sdk/rust/src", "sdk/rust-macros/src", "sdk/wit", "xtask/src/plugins.rs"];
    let newest = sources.iter().filter_map(|source| newest(&root.join(source))).max();
    let made = path.metadata().and_then(|file| file.modified()).ok();
    if made.is_none() || made < newest {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["run", "--quiet", "--package", "xtask", "--"])
            .args(task)
            .current_dir(&root)
            .status();
        let done = status.is_ok_and(|status| status.success());
        assert!(done, "{} is missing or old, and `cargo xtask {}` failed", path.display(), task.join(" "));
    }
    std::fs::read(&path).unwrap_or_else(|e| panic!("{} cannot be read: {e}", path.display()))
}

/// When anything in a folder last changed.
fn newest(path: &Path) -> Option<SystemTime> {
    let own = path.metadata().and_then(|found| found.modified()).ok();
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten().filter_map(|entry| newest(&entry.path()));
    inside.chain(own).max()
}

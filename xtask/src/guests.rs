//! The plugins of this repository, built for the Wasm target and wrapped as components.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::{Done, Fault};
use crate::plugins;
use crate::process::{cargo, find, quietly, root, run, target};

const TARGET: &str = "wasm32-unknown-unknown";

/// Where built plugins lie.
pub(crate) fn folder() -> PathBuf {
    target().join("plugins")
}

/// Builds every plugin; adds the Wasm target first where the toolchain has it not.
///
/// # Errors
/// When the target cannot be had or a plugin does not build.
pub(crate) fn build() -> Done {
    ensure_target()?;
    let built = plugins::build_all(&root(), &folder(), &mut |line: &str| println!("  {line}"))?;
    println!("  {} in {}", built.len(), folder().display());
    Ok(())
}

/// Builds the guests of the plugin host's tests, into a folder of their own.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_test_guests() -> Done {
    ensure_target()?;
    let folder = target().join("test-guests");
    let built = plugins::build_test_guests(&root(), &folder, &mut |line: &str| println!("  {line}"))?;
    println!("  {} in {}", built.len(), folder.display());
    Ok(())
}

/// Adds the Wasm target to the pinned toolchain if it is not there.
fn ensure_target() -> Done {
    // Of the same toolchain, for another may have the target.
    let rustc = Path::new(cargo().get_program()).with_file_name("rustc");
    let ask = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).current_dir(root()).output();
    let there = ask.is_ok_and(|said| PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()).is_dir());
    if there {
        return Ok(());
    }
    if find("rustup").is_none() {
        return Err(Fault::new(format!("the toolchain has no {TARGET}, and there is no rustup to add it"))
            .fix("install Rust by https://rustup.rs, or the Wasm standard library from your system's packages"));
    }
    println!("  adding the target {TARGET}, for which plugins are built");
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()))
}

/// Whether the toolchain knows a subcommand, such as `deny`.
pub(crate) fn has_subcommand(name: &str) -> bool {
    quietly(cargo().args([name, "--version"])).is_ok()
}

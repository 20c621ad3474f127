//! How a test says that it could not be run: aloud, and never in CI.

/// Prints that a test is skipped and why, in the form that `cargo xtask test` collects.
///
/// # Panics
/// In CI (`CI` is set), where nothing may be skipped.
#[allow(clippy::print_stdout, reason = "the line is what the test command reads")]
pub fn skip(name: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped, but {name}: {why}");
    println!("skipped: {name}: {why}");
}

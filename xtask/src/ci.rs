//! `cargo xtask ci`: everything that must be green. Goes on after a failure, so that one run tells all.

use crate::fault::{Done, Fault};
use crate::guests::has_subcommand;
use crate::process::{cargo, run};
use crate::suite::TestArgs;
use crate::terminal::{Phases, red};
use crate::{demo, suite, tidy};

/// Runs all checks; the tests come last, so that their count is the last line.
///
/// # Errors
/// When any of them fails.
pub(crate) fn run_all(phases: &mut Phases) -> Done {
    let mut failed = Vec::new();
    let mut check = |name, outcome: Done| {
        if let Err(fault) = outcome {
            println!("{} {fault}", red("failed:"));
            failed.push(name);
        }
    };
    check("formatting", phases.run("formatting", formatting));
    check("house rules", phases.run("house rules", tidy::run));
    let mut unchecked = Vec::new();
    if has_subcommand("deny") {
        check("advisories and licences", phases.run("advisories and licences", deny));
    } else {
        // What needs no list of advisories is a house rule and was checked with them.
        unchecked.push("advisories: cargo-deny is not installed (cargo install --locked cargo-deny)");
    }
    check("lints", phases.run("lints", lints));
    check("demo", demo::once(phases));
    let tests = suite::test_after(&TestArgs::default(), phases, &failed, &unchecked);
    match (failed.is_empty(), tests) {
        (true, outcome) => outcome,
        (false, _) => Err(Fault::new(format!("failed: {}", failed.join(", ")))),
    }
}

fn formatting() -> Done {
    run(cargo().args(["fmt", "--all", "--check"])).map_err(|fault| fault.fix("cargo fmt --all"))
}

fn lints() -> Done {
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn deny() -> Done {
    run(cargo().args(["deny", "check"]))
}

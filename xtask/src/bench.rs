//! `cargo xtask bench`: builds for release and measures. The load, the receiver and the yardsticks are testkit's
//! binary `rialto-bench`; what its figures mean is in docs/performance.md.

mod cold_build;

use std::process::Command;

use clap::Subcommand;

use crate::fault::Done;
use crate::guests;
use crate::process::{cargo, root, run, target};
use crate::terminal::Phases;

/// What is measured.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    other: Option<Other>,
    /// What to measure: accept, pipeline, delay, tenants, wasm, idle; everything if nothing is named.
    names: Vec<String>,
    /// One short round: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// How many rounds; figures are their median.
    #[arg(long)]
    rounds: Option<u32>,
    /// Also samples the hub with `perf` while events go the whole way, and tells where its time goes.
    #[arg(long)]
    profile: bool,
    /// A setting for the measured hub, as RIALTO__SECTION__KEY=value.
    #[arg(long = "set", value_name = "SETTING")]
    settings: Vec<String>,
}

#[derive(Subcommand)]
enum Other {
    /// Clones HEAD into an empty folder and times each step of the demo's build there.
    ColdBuild(cold_build::ColdBuildArgs),
}

/// Builds and measures.
///
/// # Errors
/// When something does not build, or a measurement fails. A bar that is not met is told, and is no error.
pub(crate) fn run_bench(arguments: &BenchArgs, phases: &mut Phases) -> Done {
    if let Some(Other::ColdBuild(arguments)) = &arguments.other {
        return cold_build::measure(arguments, phases);
    }
    phases.run("build the plugins", guests::build)?;
    // The whole workspace, for a part of it would unify features differently and build the world again.
    phases.run("build for release", || run(cargo().args(["build", "--release", "--workspace", "--bins"])))?;
    let built = target().join("release");
    let mut bench = Command::new(built.join("rialto-bench"));
    bench.args(&arguments.names).current_dir(root());
    bench.arg("--hub").arg(built.join("rialto")).arg("--plugins").arg(guests::folder());
    bench.arg("--scratch").arg(target().join("bench"));
    bench.args(arguments.rounds.map(|rounds| format!("--rounds={rounds}")));
    bench.args(arguments.settings.iter().map(|setting| format!("--set={setting}")));
    bench.args(
        [(arguments.quick, "--quick"), (arguments.profile, "--profile")].iter().filter(|(on, _)| *on).map(|f| f.1),
    );
    phases.run("measure", || run(&mut bench))
}

//! `cargo xtask bench cold-build`: what a newcomer waits for. The last commit is cloned, and the demo's steps run
//! there with nothing built; what the registry has to send is fetched first and timed apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fault::{Done, During as _, Fault};
use crate::process::{quietly, root, run, target};
use crate::terminal::{Phases, time};

/// How many crates are named as the slowest.
const NAMED: usize = 15;

/// Where it is built.
#[derive(clap::Args)]
pub(crate) struct ColdBuildArgs {
    /// An empty or missing folder for the clone and its build, about 4 GB; removed afterwards.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Measures a cold build of the demo.
///
/// # Errors
/// When a step fails, or the folder is not empty.
pub(crate) fn measure(arguments: &ColdBuildArgs, phases: &mut Phases) -> Done {
    let folder = arguments.folder.clone().unwrap_or_else(|| target().join("bench/cold-build"));
    if folder.read_dir().is_ok_and(|mut inside| inside.next().is_some()) {
        return Err(Fault::new(format!("{} is not empty", folder.display())).fix("remove it, or name another folder"));
    }
    let clone = folder.join("rialto");
    fs::create_dir_all(&folder).during(format!("{} cannot be made", folder.display()))?;
    quietly(Command::new("git").args(["clone", "--quiet", "--local"]).arg(root()).arg(&clone))?;
    let outcome = steps(&clone, phases);
    fs::remove_dir_all(&folder).during(format!("{} cannot be removed", folder.display()))?;
    let (steps, crates) = outcome?;
    tell(&steps, &crates)
}

type Step = (&'static str, Duration);
type Crate = (String, f64);

/// Runs the demo's steps in the clone; then tells what each took and how long each crate was compiled.
fn steps(clone: &Path, phases: &mut Phases) -> Done<(Vec<Step>, Vec<Crate>)> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(clone);
        // The clone builds into its own empty folder, with its own pinned toolchain.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_") && text != "CARGO_HOME"
                || text.starts_with("RUSTUP_TOOLCHAIN")
                || text == "CARGO"
            {
                command.env_remove(&name);
            }
        }
        command
    };
    let plan: [(&str, &[&str]); 5] = [
        ("fetch what the registry has (not counted)", &["fetch", "--locked"]),
        ("build xtask", &["build", "--locked", "--package", "xtask"]),
        ("build the plugins", &["xtask", "plugins"]),
        ("build the hub and the story", &["build", "--locked", "--timings", "--workspace", "--bins"]),
        ("run the demo, built", &["xtask", "demo", "--once"]),
    ];
    let mut taken = Vec::new();
    for (name, arguments) in plan {
        let begun = Instant::now();
        phases.run(name, || run(&mut cargo(arguments)))?;
        taken.push((name, begun.elapsed()));
    }
    Ok((taken, slowest(&clone.join("target/cargo-timings/cargo-timing.html"))?))
}

/// The crates that were compiled longest, from cargo's own report: its units lie in it as JSON.
fn slowest(report: &Path) -> Done<Vec<Crate>> {
    let text = fs::read_to_string(report).during(format!("{} cannot be read", report.display()))?;
    let units = text
        .split_once("UNIT_DATA = ")
        .and_then(|(_, rest)| rest.split_once(";\n"))
        .and_then(|(units, _)| serde_json::from_str::<Vec<Value>>(units).ok())
        .ok_or_else(|| Fault::new("cargo's report of timings is not of the known form"))?;
    let mut crates: BTreeMap<String, f64> = BTreeMap::new();
    for unit in &units {
        let name = format!("{} {}", unit["name"].as_str().unwrap_or("?"), unit["version"].as_str().unwrap_or(""));
        *crates.entry(name).or_default() += unit["duration"].as_f64().unwrap_or(0.0);
    }
    let mut crates: Vec<Crate> = crates.into_iter().collect();
    crates.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(crates)
}

fn tell(steps: &[Step], crates: &[Crate]) -> Done {
    let counted: Duration = steps.iter().skip(1).map(|step| step.1).sum();
    let all: f64 = crates.iter().map(|one| one.1).sum();
    println!("\ncold build of the demo: {} (bar: 8 min on two idle cores)", time(counted));
    println!("the hub's {} crates took {all:.0} s of one core each; the longest:", crates.len());
    for (name, seconds) in crates.iter().take(NAMED) {
        println!("  {seconds:>6.1} s  {name}");
    }
    let results = json!({
        "seconds": counted.as_secs_f64(),
        "steps": steps.iter().map(|(name, took)| json!({"step": name, "seconds": took.as_secs_f64()})).collect::<Vec<_>>(),
        "crates": crates.iter().take(50).map(|(name, took)| json!({"crate": name, "seconds": took})).collect::<Vec<_>>(),
    });
    let path = target().join("bench");
    fs::create_dir_all(&path).during("target/bench cannot be made")?;
    fs::write(path.join("cold-build.json"), results.to_string()).during("the results cannot be written")
}

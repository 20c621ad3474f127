//! The measurements of `cargo xtask bench`: prints a table and writes it as JSON. Never a test: the figures say
//! how fast this machine was just now, and what they are worth is in docs/performance.md.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod accept;
mod fleet;
mod hub;
mod latency;
mod load;
mod log;
mod machine;
mod pipeline;
mod profile;
mod raw_file;
mod receiver;
mod report;
mod template;
mod tenants;
mod wasm;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::hub::Places;
use crate::machine::{Machine, load_average, machine_time};
use crate::report::{Figure, say, table};

/// What a measurement gives, or why it could not be made.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures a release build of the hub.
#[derive(Parser)]
#[command(name = "rialto-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Internal>,
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    names: Vec<Name>,
    /// Shorter and fewer rounds: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// How many rounds; figures are their median.
    #[arg(long)]
    rounds: Option<usize>,
    /// Samples the hub with perf during each measurement's first round, and tells where its time went.
    #[arg(long)]
    profile: bool,
    /// The binary to measure.
    #[arg(long, default_value = "target/release/rialto")]
    hub: PathBuf,
    /// The folder with the built connectors.
    #[arg(long, default_value = "target/plugins")]
    plugins: PathBuf,
    /// Scratch space; must be on a disk.
    #[arg(long, default_value = "target/bench")]
    scratch: PathBuf,
    /// A setting for the hub, as RIALTO__SECTION__KEY=value.
    #[arg(long = "set")]
    settings: Vec<String>,
}

#[derive(Subcommand)]
enum Internal {
    /// Runs the receiver; the measurements start it themselves.
    #[command(hide = true)]
    Receive,
}

/// The measurements, in the order they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Name {
    /// The log alone against a raw file.
    Log,
    /// Durable accept against a raw file, and its latency at half load.
    Accept,
    /// Accept → profile → route → Wasm → HTTP, events a second.
    Pipeline,
    /// The same way's latency, at half of that load.
    Delay,
    /// The same events over 10, 100, 1,000 and 10,000 tenants.
    Tenants,
    /// The webhook connector in Wasm against the same code native.
    Wasm,
    /// 10,000 idle tenants: memory, threads, wake-ups; and the time to start.
    Idle,
}

/// What every measurement is given.
pub(crate) struct Bench {
    pub(crate) places: Places,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    profile: bool,
}

impl Bench {
    /// Samples a hub if that is asked for and the round is the first.
    pub(crate) fn profiled(&self, hub: &hub::Hub, round: usize) -> Outcome<Option<profile::Recording>> {
        let wanted = self.profile && round == 1;
        wanted.then(|| profile::Recording::start(hub.pid(), &self.places.scratch)).transpose()
    }

    /// Writes down what was sampled, and shows it.
    pub(crate) fn tell_profile(&self, recording: Option<profile::Recording>, what: &str) -> Outcome<()> {
        let Some(recording) = recording else { return Ok(()) };
        let path = self.places.scratch.join(format!("profile-{what}.txt"));
        std::fs::write(&path, recording.finish()?)?;
        say(format!("    where the hub's time went: {}", path.display()));
        Ok(())
    }
}

/// What is written as JSON.
#[derive(Serialize)]
struct Results {
    machine: Machine,
    quick: bool,
    rounds: usize,
    load_average_before: f64,
    load_average_after: f64,
    /// Share of all cores' time that the machine's host took away.
    stolen: f64,
    figures: Vec<Figure>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::task::LocalSet::new()
        .run_until(async {
            match arguments.command {
                Some(Internal::Receive) => receiver::serve().await,
                None => measure(arguments).await,
            }
        })
        .await;
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            say(format!("error: {error}"));
            std::process::ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: Arguments) -> Outcome<()> {
    std::fs::create_dir_all(&arguments.scratch)?;
    let machine = Machine::read(&arguments.scratch)?;
    let settings: Option<Vec<(String, String)>> = arguments
        .settings
        .iter()
        .map(|text| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let bench = Bench {
        places: Places {
            hub: arguments.hub.canonicalize().map_err(|_| format!("{} is not built", arguments.hub.display()))?,
            plugins: arguments.plugins.canonicalize().map_err(|_| "the connectors are not built")?,
            scratch: arguments.scratch.canonicalize()?,
            settings: settings.ok_or("--set wants NAME=value")?,
        },
        quick: arguments.quick,
        profile: arguments.profile,
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 1 } else { 3 }),
    };
    let mut names = if arguments.names.is_empty() { Name::value_variants().to_vec() } else { arguments.names };
    names.sort_unstable();
    names.dedup();
    let load_average_before = load_average();
    let (start, before) = (Instant::now(), machine_time()?);
    let figures = run_all(&bench, &names).await?;
    let stolen = machine_time()?.1.saturating_sub(before.1);
    let results = Results {
        stolen: share(stolen, start.elapsed(), machine.cores),
        machine,
        quick: bench.quick,
        rounds: bench.rounds,
        load_average_before,
        load_average_after: load_average(),
        figures,
    };
    std::fs::write(bench.places.scratch.join("results.json"), serde_json::to_vec_pretty(&results)?)?;
    print(&results);
    Ok(())
}

async fn run_all(bench: &Bench, names: &[Name]) -> Outcome<Vec<Figure>> {
    let mut figures: Vec<Figure> = Vec::new();
    for name in names {
        let start = Instant::now();
        say(format!("  {name:?}"));
        let more = match name {
            Name::Log => log::measure(bench).await?,
            Name::Accept => accept::measure(bench).await?,
            Name::Pipeline => pipeline::throughput(bench).await?,
            Name::Delay => {
                // Half of what was just measured; alone, half of what is asked of the whole way.
                let full = figures.iter().find(|f| f.measurement == "pipeline").map_or(20_000.0, |f| f.value);
                pipeline::delay(bench, full).await?
            }
            Name::Tenants => tenants::spread(bench).await?,
            Name::Wasm => wasm::measure(bench)?,
            Name::Idle => tenants::idle(bench).await?,
        };
        say(format!("  {name:?}: {:.0} s", start.elapsed().as_secs_f64()));
        figures.extend(more);
    }
    Ok(figures)
}

fn print(results: &Results) {
    println!("{}", table(&results.figures));
    for figure in results.figures.iter().filter(|figure| !figure.note.is_empty()) {
        println!("{}: {}", figure.figure, figure.note);
    }
    let machine = &results.machine;
    println!(
        "\n{}, {} cores shared by hub, generator and receiver; {} GiB; {}; Linux {}\n\
         load average {:.2} before and {:.2} after; {:.1} % of the cores' time stolen; median of {} rounds{}",
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.file_system,
        machine.kernel,
        results.load_average_before,
        results.load_average_after,
        results.stolen * 100.0,
        results.rounds,
        if results.quick { "; a quick run, not to be quoted" } else { "" },
    );
}

fn share(part: Duration, wall: Duration, cores: usize) -> f64 {
    part.as_secs_f64() / (wall.as_secs_f64() * cores as f64)
}

//! `cargo xtask test`: brings what the tests need, runs all of them on both databases, and sums up.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::Command;
use std::time::Instant;

use crate::fault::{Done, During as _};
use crate::process::{cargo, in_ci, line};
use crate::services::{POSTGRES, Postgres};
use crate::suite::report::{Event, Reader, Report};
use crate::terminal::{Phases, bold, dim, green, red, time, yellow};
use crate::{clients, guests};

pub(crate) mod report;

/// What is to be tested, and how.
#[derive(clap::Args)]
pub(crate) struct TestArgs {
    /// Run only the tests whose name holds one of these.
    pub(crate) filters: Vec<String>,
    /// Run only the tests of this package; may be given more than once.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) package: Vec<String>,
    /// How many tests run at a time in one suite.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: usize,
}

impl Default for TestArgs {
    fn default() -> Self {
        Self { filters: Vec::new(), package: Vec::new(), threads: 2 }
    }
}

/// Runs the tests with what they need, and prints the summary, whose last line is `N passed, N failed, N skipped`.
///
/// # Errors
/// When something needed cannot be had, a build or a test fails, or in CI a test is skipped.
pub(crate) fn test(arguments: &TestArgs, phases: &mut Phases) -> Done {
    test_after(arguments, phases, &[], &[])
}

/// As [`test`], after other checks of which these failed and those could not be made: the summary names them.
///
/// # Errors
/// As [`test`].
pub(crate) fn test_after(arguments: &TestArgs, phases: &mut Phases, failed: &[&str], unchecked: &[&str]) -> Done {
    let mut report = Report::default();
    let outcome = prepare(phases).and_then(|ground| {
        phases.run("build the tests", || build(arguments, &ground))?;
        phases.run("run the tests", || {
            report = run(arguments, &ground)?;
            report.verdict(in_ci())
        })
    });
    phases.print();
    if let Err(fault) = &outcome {
        println!("\n{} {fault}", red("not passed:"));
        report.broken = true;
    }
    if !failed.is_empty() {
        println!("\n{} {}", red("not passed:"), failed.join(", "));
    }
    print_summary(&report, unchecked);
    outcome
}

/// What the tests stand on.
struct Ground {
    /// Held while the tests run: the private server ends with it.
    _postgres: Option<Postgres>,
    variables: BTreeMap<&'static str, String>,
}

fn prepare(phases: &mut Phases) -> Done<Ground> {
    let mut variables = BTreeMap::new();
    let postgres = phases.run("bring PostgreSQL", Postgres::bring)?;
    if let Some(server) = &postgres {
        variables.insert(POSTGRES, server.url.clone());
    }
    let folder = phases.run("install the real clients", clients::install)?;
    variables.insert(clients::CLIENTS, folder.display().to_string());
    phases.run("build the plugins", guests::build)?;
    phases.run("build the test guests", guests::build_test_guests)?;
    Ok(Ground { _postgres: postgres, variables })
}

fn command(arguments: &TestArgs, ground: &Ground) -> Command {
    let mut command = cargo();
    command.arg("test").envs(&ground.variables);
    // One word for all: what CI means is judged in one place.
    if in_ci() {
        command.env("CI", "true")
    } else {
        command.env_remove("CI")
    };
    if arguments.package.is_empty() {
        command.arg("--workspace");
    }
    for package in &arguments.package {
        command.args(["--package", package]);
    }
    command
}

/// Builds first and apart, so that cargo's own progress is seen and the time of the build is known.
fn build(arguments: &TestArgs, ground: &Ground) -> Done {
    let mut command = command(arguments, ground);
    crate::process::run(command.arg("--no-run"))?;
    let mut hub = cargo();
    // Crash tests kill a hub of flesh and blood.
    crate::process::run(hub.args(["build", "--workspace", "--bins"]))
}

fn run(arguments: &TestArgs, ground: &Ground) -> Done<Report> {
    let mut command = command(arguments, ground);
    command.args(["--no-fail-fast", "--color=never", "--", "--show-output"]);
    command.arg(format!("--test-threads={}", arguments.threads)).args(&arguments.filters);
    println!("  {}", dim(line(&command)));
    // One pipe for both streams: cargo names the suite on one, the suite its tests on the other, in order.
    let (reader, writer) = std::io::pipe().during("no pipe")?;
    command.stdout(writer.try_clone().during("no pipe")?).stderr(writer);
    let mut child = command.spawn().during("cargo did not start")?;
    drop(command);
    let mut events = Reader::default();
    let mut show = Show { begun: Instant::now(), live: std::io::stdout().is_terminal() };
    for text in BufReader::new(reader).split(b'\n') {
        let text = text.during("the tests' output")?;
        for event in events.line(&String::from_utf8_lossy(&text)) {
            show.event(&event);
        }
    }
    let status = child.wait().during("cargo")?;
    Ok(events.finish(status.success()))
}

struct Show {
    begun: Instant,
    live: bool,
}

impl Show {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Suite(name) if self.live => self.over(&dim(format!("  … {name}"))),
            Event::Test(name) if self.live => self.over(&dim(format!("  … {name}"))),
            Event::Suite(_) | Event::Test(_) => {}
            Event::Slow(text) => println!("  {}", dim(text)),
            Event::Failed(name) => {
                self.over("");
                println!("  {} {name}", red("✗"));
            }
            Event::Said(text) => println!("    {text}"),
            Event::Ended(suite) => {
                self.over("");
                let mark = if suite.failed == 0 { green("✓") } else { red("✗") };
                let took = dim(format!("({})", time(self.begun.elapsed())));
                let skipped =
                    if suite.skipped > 0 { yellow(format!(", {} skipped", suite.skipped)) } else { String::new() };
                println!("  {mark} {} {} passed{skipped} {took}", suite.name, suite.passed);
                self.begun = Instant::now();
            }
        }
    }

    /// Writes over the line that tells what runs now.
    fn over(&self, text: &str) {
        if self.live {
            print!("\r\x1b[2K{text}");
            let _ = std::io::stdout().flush();
        }
    }
}

fn print_summary(report: &Report, unchecked: &[&str]) {
    if !report.skips.is_empty() {
        println!("\n{}", bold("skipped, and why"));
        for (name, why) in &report.skips {
            println!("  {} {name}: {why}", yellow("–"));
        }
    }
    if !report.failures.is_empty() {
        println!("\n{}", bold("failed"));
        for name in &report.failures {
            println!("  {} {name}", red("✗"));
        }
    }
    if !unchecked.is_empty() {
        println!("\n{} {}", yellow("not checked:"), unchecked.join(", "));
    }
    println!("\n{} passed, {} failed, {} skipped", report.passed(), report.failed(), report.skipped());
}

//! The project's own commands. `cargo xtask --help` lists them.
// The terminal is what these commands speak through.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::fault::Done;
use crate::terminal::{Phases, red};

mod bench;
mod ci;
mod clients;
mod demo;
mod fault;
mod guests;
mod mutants;
mod openapi;
mod plugins;
mod process;
mod services;
mod suite;
mod terminal;
mod tidy;

/// What one does with Rialto's source: try it, test it, build its parts.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows the whole thing at work: builds the hub and its plugins, makes three tenants, sends a day of shopping
    /// through them and shows what became of it. Stays up until Ctrl-C.
    Demo(demo::DemoArgs),
    /// Runs the tests on SQLite and PostgreSQL, with what they need brought along, and sums up.
    Test(suite::TestArgs),
    /// Everything that must be green before a change is taken: formatting, lints, house rules, demo, tests.
    Ci,
    /// Checks the house rules: floors, who names what, file sizes and names, documents that lead somewhere, licences
    /// and sources of dependencies.
    Tidy,
    /// Builds the plugins into target/plugins, as components that a hub takes.
    Plugins {
        /// Builds the guests of the plugin host's tests into target/test-guests instead.
        #[arg(long)]
        test_guests: bool,
    },
    /// Writes openapi.json from the code.
    Openapi,
    /// Starts a private PostgreSQL and runs a command with it; without one, waits for Ctrl-C.
    Services(services::ServicesArgs),
    /// Measures, in a release build, and prints the table of docs/performance.md.
    Bench(bench::BenchArgs),
    /// Breaks the code on purpose, one line at a time, and checks that the tests notice.
    Mutants(mutants::MutantsArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut phases = Phases::default();
    let outcome = match &arguments.task {
        Task::Demo(arguments) => demo::run_in_place(arguments, &mut phases),
        // The last line of these is their count, so they tell of faults themselves.
        Task::Test(arguments) => return code(&suite::test(arguments, &mut phases)),
        Task::Ci => return code(&ci::run_all(&mut phases)),
        Task::Tidy => tidy::run(),
        Task::Plugins { test_guests: true } => phases.run("build the test guests", guests::build_test_guests),
        Task::Plugins { test_guests: false } => phases.run("build the plugins", guests::build),
        Task::Openapi => openapi::write(),
        Task::Services(arguments) => services::serve(arguments),
        Task::Bench(arguments) => bench::run_bench(arguments, &mut phases),
        Task::Mutants(arguments) => mutants::run(arguments),
    };
    if let Err(fault) = &outcome {
        eprintln!("{} {fault}", red("error:"));
    }
    code(&outcome)
}

fn code(outcome: &Done) -> ExitCode {
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

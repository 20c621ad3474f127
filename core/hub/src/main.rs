//! The binary rialto.

use std::process::ExitCode;

use clap::Parser as _;
use rialto_hub::command::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The terminal, and not the log: whoever typed the command is told.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

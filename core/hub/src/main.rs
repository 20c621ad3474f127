//! The binary rialto.

use std::process::ExitCode;

use clap::Parser as _;
use rialto_hub::command::Arguments;

/// Events are many small texts, made on one thread and let go of on another: the system's allocator takes an eighth of
/// the hub's time with them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

//! Starts a hub on a fresh folder, tells the story, and stays up for whoever wants to try the lines it printed.
// The terminal is what the story is told through.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rialto_quickstart::hub::Hub;
use rialto_quickstart::paint::{bold, dim};
use rialto_quickstart::process::{HubProcess, Start};
use rialto_quickstart::story::{self, Told};
use rialto_quickstart::{Trouble, report};

/// Three shops, a hub between, one receiver. `cargo xtask demo` builds what it needs and starts it.
#[derive(Parser)]
#[command(name = "rialto-quickstart", max_term_width = 100)]
struct Arguments {
    /// The program `rialto`.
    #[arg(long, value_name = "FILE")]
    hub_binary: PathBuf,
    /// The folder of built plugins.
    #[arg(long, value_name = "FOLDER")]
    plugins: PathBuf,
    /// The hub's data folder. The story begins anew each time, so what an earlier one left there is removed.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Where the hub listens; any free port is taken if it is busy.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Leave when the story is told; fails if anything in it is missing.
    #[arg(long)]
    once: bool,
}

/// Marks a folder as the story's own, so that no other is ever removed.
const MARK: &str = "made-by-the-demo";

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("\nerror: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Trouble> {
    fresh(&arguments.data)?;
    println!("{} {}", bold("Rialto"), dim(format!("on SQLite and an embedded log in {}", arguments.data.display())));
    let process = HubProcess::start(&Start {
        binary: arguments.hub_binary,
        plugins: arguments.plugins,
        data: arguments.data,
        listen: arguments.listen,
    })
    .await?;
    println!("  {} {}", process.url, dim(format!("its log: {}", process.log.display())));
    let operator = Hub::new(process.url.clone(), &process.operator_token);
    let outcome = tokio::select! {
        outcome = told(&operator, arguments.once) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let stopped = process.stop().await;
    outcome.and(stopped)
}

async fn told(operator: &Hub, once: bool) -> Result<(), Trouble> {
    let mut told = story::tell(operator).await?;
    let outcome = report::print(&told).await;
    if once {
        println!("\n{}", dim("The story is told; the hub is ended."));
        return outcome;
    }
    if let Err(trouble) = outcome {
        println!("\n{trouble}");
    }
    println!("\n{}", dim("Everything stays up until Ctrl-C; what arrives is shown below."));
    stay(&mut told).await;
    Ok(())
}

async fn stay(told: &mut Told) {
    while let Some(arrival) = told.arrivals.recv().await {
        story::show(&arrival);
    }
}

/// A folder of our own, empty but for compiled plugins: to compile them again takes longer than the story.
fn fresh(folder: &Path) -> Result<(), Trouble> {
    let entries = || folder.read_dir().into_iter().flatten().flatten();
    if entries().next().is_some() && !folder.join(MARK).is_file() {
        let why = format!("{} holds something that is not the demo's; name another with --data", folder.display());
        return Err(Trouble::NoHub(why));
    }
    for entry in entries().filter(|entry| entry.file_name() != "plugin-cache") {
        let path = entry.path();
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    std::fs::create_dir_all(folder)?;
    Ok(std::fs::write(folder.join(MARK), "Each demo empties this folder and begins anew.\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_the_story_is_emptied() {
        let folder = tempfile::tempdir().expect("a folder");
        let theirs = folder.path().join("theirs");
        std::fs::create_dir_all(&theirs).expect("made");
        std::fs::write(theirs.join("rialto.db"), "precious").expect("written");
        assert!(fresh(&theirs).is_err());
        assert!(theirs.join("rialto.db").is_file());
        let ours = folder.path().join("ours");
        fresh(&ours).expect("new");
        std::fs::create_dir_all(ours.join("log")).expect("made");
        std::fs::create_dir_all(ours.join("plugin-cache")).expect("made");
        fresh(&ours).expect("ours");
        assert!(!ours.join("log").exists() && ours.join("plugin-cache").exists() && ours.join(MARK).exists());
    }
}

//! The commands of `rialto`, and the flags that are settings.
// The terminal is what commands speak through.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use figment::value::Value;

use crate::config::{Config, ConfigError, DEFAULTS};
use crate::hub::HubError;
use crate::patience::have_patience;
use crate::telemetry::FilterError;

mod health;
mod serve;
mod token;

/// One hub for many clients' customer data: events in, one profile a person, routed out through sandboxed connectors.
#[derive(Debug, Parser)]
#[command(name = "rialto", version, max_term_width = 100, after_help = AFTER)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
A first walk:
  rialto serve                    starts a hub in ./rialto-data and prints the operator's token, once
  curl 127.0.0.1:8080/readyz      says whether it takes events
  curl 127.0.0.1:8080/openapi.json   describes every operation";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the hub, on SQLite and a log in one folder unless told otherwise.
    Serve(#[command(flatten)] Settings),
    /// Makes a new operator token and prints it, alone. The hub need not run; older tokens stay good.
    OperatorToken(#[command(flatten)] Settings),
    /// Shows the settings in force, or says what is wrong with them. Secrets are not shown.
    Config {
        #[command(flatten)]
        settings: Settings,
        /// Print the manual instead: every setting with its default and a sentence.
        #[arg(long)]
        manual: bool,
    },
    /// Prints the OpenAPI description of the API.
    Openapi,
    /// Asks a running hub whether it is ready; fails if it is not. For container health checks.
    Healthcheck {
        /// The hub's address.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "RIALTO__SERVER__LISTEN")]
        address: SocketAddr,
    },
}

/// Where settings come from. Each flag stands over the environment, that over the file, that over the defaults.
#[derive(Debug, Args)]
struct Settings {
    /// A file with the settings that differ from the defaults (see `rialto config --manual`).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder. [setting: data_dir]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// The address to listen on; port 0 takes any free one. [setting: server.listen]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A folder with connectors (*.wasm); may be given more than once. [setting: plugins.dirs]
    #[arg(long, value_name = "FOLDER")]
    plugins: Vec<PathBuf>,
    /// For a machine of one's own: connectors may call plain http and this machine. [setting: development]
    #[arg(long)]
    dev: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The hub did not start.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The database did not take the token.
    #[error("the token was not kept: {0}")]
    Store(#[from] rialto_store::StoreError),
    /// The hub is not ready, or not there.
    #[error("{0}")]
    NotReady(String),
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// What was to be printed cannot be.
    #[error("the settings cannot be printed: {0}")]
    Print(#[source] toml::ser::Error),
}

impl Arguments {
    /// Does what was asked, and returns when it is done.
    ///
    /// # Errors
    /// Says what did not work and, where that is known, what to do.
    pub fn run(self) -> Result<(), CommandError> {
        match self.command {
            Command::Serve(settings) => serve::run(settings.load()?),
            Command::OperatorToken(settings) => token::run(settings.load()?),
            Command::Config { manual: true, .. } => {
                print!("{DEFAULTS}");
                Ok(())
            }
            Command::Config { settings, manual: false } => {
                print!("{}", toml::to_string(&settings.load()?).map_err(CommandError::Print)?);
                Ok(())
            }
            Command::Openapi => {
                println!("{:#}", rialto_api::openapi());
                Ok(())
            }
            Command::Healthcheck { address } => health::run(address),
        }
    }
}

impl Settings {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut flags = BTreeMap::<&str, Value>::new();
        if let Some(data) = &self.data {
            flags.insert("data_dir", data.to_string_lossy().into_owned().into());
        }
        if let Some(listen) = &self.listen {
            flags.insert("server.listen", listen.to_string().into());
        }
        if !self.plugins.is_empty() {
            let folders: Vec<Value> =
                self.plugins.iter().map(|dir| dir.to_string_lossy().into_owned().into()).collect();
            flags.insert("plugins.dirs", folders.into());
        }
        if self.dev {
            flags.insert("development", true.into());
        }
        Config::load(self.config.as_deref(), &flags)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("rialto").build()
}

/// A runtime for what no client waits for. Its threads, and those that they make, leave the processor to others when
/// there is not enough of it: what came in is processed later rather than refused now.
fn patient_runtime() -> Result<tokio::runtime::Runtime, std::io::Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("rialto-work").on_thread_start(have_patience);
    builder.build()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let words =
            ["rialto", "serve", "--data", "d", "--listen", "127.0.0.1:0", "--plugins", "a", "--plugins", "b", "--dev"];
        let Command::Serve(settings) = Arguments::parse_from(words).command else { panic!("serve") };
        let config = settings.load().expect("sound");
        assert_eq!(config.plugins.dirs, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!((config.data_dir, config.server.listen.port(), config.development), ("d".into(), 0, true));
    }
}

//! The binary rialto: config, telemetry, wiring, shutdown, commands. It holds no rule of the business.

pub mod command;
pub mod config;
mod hub;
mod master_secret;
mod patience;
mod retention;
pub mod telemetry;
mod withdrawal;

pub use config::Config;
pub use hub::{Hub, HubError, RunningHub};
pub use master_secret::MasterSecretError;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

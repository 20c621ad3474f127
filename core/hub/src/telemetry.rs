//! Log lines: what is written and how. Ids yes, personal data never.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};

/// Libraries whose own news below a warning is for their authors.
const QUIET: &str =
    "wasmtime=warn,cranelift=warn,sqlx=warn,sea_orm=warn,sea_orm_migration=warn,hyper=warn,fjall=warn,lsm_tree=warn";

/// The filter cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.filter = {given:?}: {source}")]
pub struct FilterError {
    given: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Begins to log, to standard error. Once in a process; a second call changes nothing.
///
/// # Errors
/// When the filter is none.
pub fn init(settings: &Telemetry) -> Result<(), FilterError> {
    let wanted = format!("{QUIET},{}", settings.filter);
    let filter = EnvFilter::try_new(wanted).map_err(|source| FilterError { given: settings.filter.clone(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = match settings.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    // The error says only that a subscriber is there already.
    let _ = if pretty {
        lines.with_ansi(terminal).with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    Ok(())
}

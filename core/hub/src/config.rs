//! The settings: the compiled-in `rialto.default.toml`, under a file, under the environment, under flags.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};

pub use secret::{DatabaseUrl, Hidden};

mod secret;
#[cfg(test)]
mod tests;

/// The manual of every setting, and its defaults.
pub const DEFAULTS: &str = include_str!("../../../rialto.default.toml");

/// What environment variables of settings begin with; section and key are parted by two underscores.
pub const ENVIRONMENT: &str = "RIALTO__";

/// Every setting. `rialto.default.toml` says what each means.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the manual is rialto.default.toml, and one text cannot contradict itself")]
pub struct Config {
    pub data_dir: PathBuf,
    pub master_secret: Hidden,
    pub development: bool,
    pub shutdown_seconds: u64,
    pub server: Server,
    pub quota: Quota,
    pub store: Store,
    pub log: Log,
    pub engine: Engine,
    pub plugins: Plugins,
    pub egress: Egress,
    pub telemetry: Telemetry,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Server {
    pub listen: SocketAddr,
    pub trusted_proxies: Vec<String>,
    pub max_body_kib: usize,
    pub max_bodies_mib: usize,
    pub max_connections: usize,
    pub header_timeout_seconds: u64,
    pub body_idle_timeout_seconds: u64,
}

/// `[quota]`
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Quota {
    pub events_per_second: u32,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Store {
    pub url: DatabaseUrl,
    pub max_connections: u32,
    pub acquire_timeout_seconds: u64,
    pub statement_timeout_seconds: u64,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Log {
    pub dir: PathBuf,
    pub retention_days: u64,
    pub window_hours: u64,
    pub max_queued_mib: usize,
    pub recent_mib: usize,
}

/// `[engine]`
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Engine {
    pub processing: bool,
    pub workers: usize,
    pub cache_mib: usize,
    pub feed_mib: usize,
}

/// `[plugins]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Plugins {
    pub dirs: Vec<PathBuf>,
    pub cache_dir: PathBuf,
}

/// `[egress]`
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Egress {
    pub allow_loopback: bool,
    pub allow_http: bool,
    pub connections: usize,
    pub connections_per_tenant: usize,
    pub lookups: usize,
    pub lookups_per_tenant: usize,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "as above")]
pub struct Telemetry {
    pub filter: String,
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that is no setting, a value of the wrong kind, a file that cannot be read.
    #[error("the settings cannot be read: {0}\n  every setting and its meaning: rialto config --manual")]
    Unreadable(Box<figment::Error>),
    /// The file that was named is not there.
    #[error("there is no settings file {0}")]
    NoFile(PathBuf),
    /// A value of the right kind that makes no sense.
    #[error("{setting} = {given}: {why}")]
    Senseless {
        /// Its name, with its section.
        setting: &'static str,
        /// What it is.
        given: String,
        /// What it must be.
        why: &'static str,
    },
}

impl Config {
    /// The settings in force: defaults, then the file, then the environment, then `flags` by name (`server.listen`).
    ///
    /// # Errors
    /// When a file is missing, a name is unknown, or a value cannot be.
    pub fn load(file: Option<&Path>, flags: &BTreeMap<&str, figment::value::Value>) -> Result<Self, ConfigError> {
        let mut layers = Figment::from(Toml::string(DEFAULTS));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(ConfigError::NoFile(file.to_path_buf()));
            }
            layers = layers.merge(Toml::file_exact(file));
        }
        Self::finish(layers.merge(Env::prefixed(ENVIRONMENT).split("__")), flags)
    }

    /// The defaults with `flags` by name over them, whatever the environment says: for tests.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn only(flags: &BTreeMap<&str, figment::value::Value>) -> Result<Self, ConfigError> {
        Self::finish(Figment::from(Toml::string(DEFAULTS)), flags)
    }

    fn finish(mut layers: Figment, flags: &BTreeMap<&str, figment::value::Value>) -> Result<Self, ConfigError> {
        for (name, value) in flags {
            layers = layers.merge(Serialized::default(name, value));
        }
        let config: Self = layers.extract().map_err(|error| ConfigError::Unreadable(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("server.max_connections", self.server.max_connections as u64),
            ("server.max_body_kib", self.server.max_body_kib as u64),
            ("server.max_bodies_mib", self.server.max_bodies_mib as u64),
            ("server.header_timeout_seconds", self.server.header_timeout_seconds),
            ("server.body_idle_timeout_seconds", self.server.body_idle_timeout_seconds),
            ("store.max_connections", u64::from(self.store.max_connections)),
            ("store.acquire_timeout_seconds", self.store.acquire_timeout_seconds),
            ("store.statement_timeout_seconds", self.store.statement_timeout_seconds),
            ("log.retention_days", self.log.retention_days),
            ("log.window_hours", self.log.window_hours),
            ("log.max_queued_mib", self.log.max_queued_mib as u64),
            ("engine.workers", self.engine.workers as u64),
            ("egress.connections", self.egress.connections as u64),
            ("egress.connections_per_tenant", self.egress.connections_per_tenant as u64),
            ("egress.lookups", self.egress.lookups as u64),
            ("egress.lookups_per_tenant", self.egress.lookups_per_tenant as u64),
            ("shutdown_seconds", self.shutdown_seconds),
        ];
        for (setting, value) in positive {
            if value == 0 {
                return Err(ConfigError::Senseless { setting, given: "0".to_owned(), why: "must be at least 1" });
            }
        }
        if !self.store.url.is_known() {
            let given = self.store.url.to_string();
            let why = "must begin with sqlite://, postgres:// or postgresql://, or be empty";
            return Err(ConfigError::Senseless { setting: "store.url", given, why });
        }
        Ok(())
    }

    /// The database's URL: as set, or SQLite in the data folder.
    pub fn store_url(&self) -> String {
        match self.store.url.reveal() {
            "" => format!("sqlite://{}", absolute(&self.data_dir).join("rialto.db").display()),
            url => url.to_owned(),
        }
    }

    /// Where the log lies.
    pub fn log_dir(&self) -> PathBuf {
        self.within(&self.log.dir, "log")
    }

    /// Where compiled plugins are kept.
    pub fn cache_dir(&self) -> PathBuf {
        self.within(&self.plugins.cache_dir, "plugin-cache")
    }

    /// How long payloads are kept.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(self.log.retention_days.saturating_mul(24 * 60 * 60))
    }

    fn within(&self, set: &Path, name: &str) -> PathBuf {
        if set.as_os_str().is_empty() { self.data_dir.join(name) } else { set.to_path_buf() }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

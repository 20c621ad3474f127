//! Why a plugin is not taken.

use std::path::PathBuf;

use rialto_model::manifest::InvalidManifest;

/// Why a plugin is not taken, or the host cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The component is too large.
    #[error("the component has {bytes} bytes; at most {limit} are taken")]
    TooLarge {
        /// How large it is, in bytes.
        bytes: usize,
        /// How large it may be, in bytes.
        limit: usize,
    },
    /// A core module, which nobody wrapped.
    #[error("this is a core Wasm module and no component; wrap it with `cargo xtask plugins`")]
    NotAComponent,
    /// Not Wasm, or broken.
    #[error("the component is malformed: {why}")]
    Malformed {
        /// Where and how.
        why: String,
    },
    /// It wants something that no host gives.
    #[error("the component imports {name}; a connector may import rialto:plugin/log and nothing else")]
    ForbiddenImport {
        /// The import.
        name: String,
    },
    /// It can do nothing that connectors do.
    #[error("the component exports neither rialto:plugin/destination@0.1.0 nor rialto:plugin/webhook@0.1.0")]
    NoAbility,
    /// It cannot do what its manifest says.
    #[error("the manifest has '{part}', but the component does not export {name}")]
    MissingExport {
        /// The export.
        name: &'static str,
        /// The part of the manifest.
        part: &'static str,
    },
    /// It can do what its manifest says nothing of.
    #[error("the component exports {name}, but its manifest has no '{part}'")]
    Untold {
        /// The export.
        name: &'static str,
        /// The part of the manifest.
        part: &'static str,
    },
    /// There is not exactly one manifest.
    #[error("the component has {count} sections rialto:manifest; it needs one")]
    Manifests {
        /// How many there are.
        count: usize,
    },
    /// The manifest cannot be read.
    #[error("the manifest cannot be read: {source}")]
    ManifestJson {
        /// Where and why.
        source: serde_json::Error,
    },
    /// The manifest makes no sense.
    #[error("the manifest makes no sense: {source}")]
    Manifest {
        /// The first fault.
        #[from]
        source: InvalidManifest,
    },
    /// It could not be compiled.
    #[error("the component does not compile: {why}")]
    Compile {
        /// What the compiler says.
        why: String,
    },
    /// It could not be instantiated within the limits.
    #[error("the component cannot be instantiated: {why}")]
    Instantiate {
        /// What stood in the way.
        why: String,
    },
    /// Two files hold connectors of one id.
    #[error("there is a connector {id} already")]
    Twice {
        /// The id.
        id: String,
    },
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder for compiled plugins cannot be used.
    #[error("the folder for compiled plugins {path} cannot be used: {why}")]
    Cache {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The runtime does not start on this machine.
    #[error("the Wasm runtime does not start: {why}")]
    Runtime {
        /// Why.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {source}")]
    Tls {
        /// Why.
        #[from]
        source: rustls::Error,
    },
}

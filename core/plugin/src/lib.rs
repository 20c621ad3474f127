//! Who may run inside: connectors as WebAssembly components, each call in a fresh and bounded instance, and the
//! requests that they ask for, made by the host alone. The only crate that names wasmtime.
//!
//! The floors of this crate, lowest first: what is refused ([`PluginError`]), what is allowed ([`PluginOptions`]),
//! the sandbox (`admission`, `cache`, `runtime`, `shares`, `compute`), the way out ([`egress`]), one delivery (`prepared`,
//! `round`, `delivery`), one webhook (`reception`), and the whole ([`PluginHost`]).

mod admission;
mod bindings;
mod cache;
mod compute;
mod credential;
mod delivery;
pub mod egress;
mod error;
mod guest;
mod host;
mod options;
mod outcome;
mod prepared;
mod reception;
mod round;
mod runtime;
mod scrub;
mod shares;
mod verdict;

pub use error::PluginError;
pub use host::{Busy, PluginHost, Refused};
pub use options::{CallLimits, EgressPolicy, PluginOptions};
pub use verdict::default_verdict;

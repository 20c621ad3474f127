//! The way out. A request goes where the manifest and the operator allow, to an address that was looked at before it
//! is connected to, and what comes back is bounded in size and time. Nothing is followed and nothing is decompressed.

mod address;
mod client;
mod connect;
mod lookups;
mod resolve;
mod target;

pub use client::{Egress, Incoming, Outgoing};
pub use resolve::{Resolve, SystemResolver};
pub use target::{Allowed, Target};

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The request is not allowed to go there, or to say that.
    #[error("{0}")]
    Refused(String),
    /// The host has no address.
    #[error("the host's address was not found")]
    Dns,
    /// Nobody took the connection.
    #[error("the connection was not taken")]
    Connect,
    /// TLS was not agreed on, or the certificate is not to be trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no whole answer came in time")]
    Timeout,
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke or spoke no HTTP")]
    Protocol,
    /// All connections are in use, or all that the tenant may have.
    #[error("too many connections are in use")]
    Busy,
}

impl EgressError {
    /// The word for it on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "egress_refused",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Busy => "busy",
        }
    }
}

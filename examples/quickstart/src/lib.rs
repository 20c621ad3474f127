//! The story of the demo, told over HTTP alone: three shops, their customers, a hub between, one receiver.
//!
//! Read [`story`] for what happens, in order, and [`shops`] for who takes part. Nothing here knows the hub from
//! inside: whatever it does, anyone can do with curl.
// The terminal is what the story is told through.
#![allow(clippy::print_stdout)]

pub mod hub;
pub mod paint;
pub mod process;
pub mod receiver;
pub mod report;
pub mod shops;
pub mod signature;
pub mod story;

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The hub did not start, or ended.
    #[error("the hub did not start: {0}")]
    NoHub(String),
    /// The hub answered otherwise than it should.
    #[error("{method} {path} was answered {status}: {body}")]
    Answer {
        /// What was asked.
        method: String,
        /// Where.
        path: String,
        /// What came back.
        status: u16,
        /// And with which words.
        body: String,
    },
    /// No connection, or no JSON.
    #[error("{path}: {reason}")]
    Http {
        /// Where.
        path: String,
        /// What happened.
        reason: String,
    },
    /// Something that the story promises is not there.
    #[error("missing from the story:\n{}", .0.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<String>),
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

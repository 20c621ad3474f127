//! How events last, in order: the [`EventLog`] trait and its embedded form on fjall.
//!
//! A *stream* is one tenant's events in the order they were accepted; a *position* counts them from 1 and is never
//! given twice. The log knows nothing of meaning: a body is bytes.
//!
//! What holds for every implementation is written as code in [`conformance`]; [`EmbeddedLog`] passes it. Its
//! second implementation keeps streams in NATS JetStream (one message carries a whole accepted batch, and nothing
//! is acknowledged that the server has not confirmed as stored); it takes its seat beside `embedded`.

mod embedded;
mod error;
mod event_log;
mod tail;

pub mod conformance;

pub use embedded::{EmbeddedLog, EmbeddedOptions};
pub use error::LogError;
pub use event_log::{Entry, EventLog, Health, Held, Trimmed};
pub use rialto_model::{Position, TenantId, Timestamp};
pub use tail::{Tail, Tails};

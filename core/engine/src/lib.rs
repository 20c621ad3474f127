//! What happens to an event: pure steps and the loops that run them.
//!
//! [`accept`] makes events of a request; [`Engine::accept`] makes them durable. The processor takes each tenant's
//! stream in order, finds whose event it is (`facts`, `resolve`, `merge`), folds its traits (`fold`) and plans its
//! routes (`plan`): all of that is `step`, which does no I/O. What it decided is written in one transaction and
//! handed to the [`lane`]s, which deliver it through a [`Connector`]. [`explain`] tells of one event what happened.
//!
//! Two planes: a pseudonymous profile becomes a known one, or part of one, as soon as an event shows them to be one
//! person. Whether consent stands against that is not asked yet.

pub mod clock;
pub mod connector;
pub mod derive;
pub mod error;
pub mod faults;
pub mod receiver;

mod members;

pub mod accept;

mod config;
mod facts;
mod fold;
mod merge;
mod notice;
mod people;
mod plan;
mod resolve;
mod step;
mod suppress;

pub mod lane;

pub mod live;
mod turns;

mod processor;
pub mod status;

mod run;

pub mod engine;
pub mod explain;
mod withdrawal;

pub use accept::{Envelope, Form, Refusal, Stamp};
pub use clock::{Clock, ManualClock, SystemClock};
pub use connector::{Connector, Failure, FailureKind, HELD, Job, JobEvent};
pub use derive::ENGINE_SOURCE;
pub use engine::{AcceptError, Accepted, Engine, EngineOptions, EngineParts};
pub use error::EngineError;
pub use explain::ExplainError;
pub use live::LiveTail;
pub use processor::Stepped;
pub use receiver::{NotRead, Received, Receiver, Webhook};
pub use status::EngineStatus;

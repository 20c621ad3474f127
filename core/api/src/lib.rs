//! How the world speaks to us: the only crate that names axum.
//!
//! [`router`] is everything that can be asked; [`serve`] puts it on a socket. Ingest (`/v1/…`) is the Segment
//! tracking API and stays lean: key, body, log, answer. Management (`/api/v1/…`) is in the OpenAPI document, which
//! is made from the handlers' own types. Errors become answers in `problem` and nowhere else.

mod answer;
mod auth;
mod check;
mod client_ip;
mod extract;
mod ingest;
mod manage;
mod metrics;
mod openapi;
mod patience;
mod precondition;
mod probe;
mod problem;
mod router;
mod serve;
mod state;

pub use client_ip::{InvalidIpRange, IpRange};
pub use router::{openapi, router};
pub use serve::{Peer, ServeOptions, serve};
pub use state::{ApiOptions, ApiState, Connectors};

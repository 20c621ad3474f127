//! The API as its callers see it: requests in, answers out, each answer checked against the document.

#[path = "api/harness.rs"]
#[macro_use]
mod harness;

#[path = "api/access.rs"]
mod access;
#[path = "api/document.rs"]
mod document;
#[path = "api/hostile.rs"]
mod hostile;
#[path = "api/ingest.rs"]
mod ingest;
#[path = "api/management.rs"]
mod management;
#[path = "api/pipeline.rs"]
mod pipeline;
#[path = "api/quota.rs"]
mod quota;
#[path = "api/socket.rs"]
mod socket;
#[path = "api/suppression.rs"]
mod suppression;
#[path = "api/webhook.rs"]
mod webhook;
#[path = "api/world.rs"]
mod world;

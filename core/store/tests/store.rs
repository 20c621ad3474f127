//! The store on both databases: every test runs on SQLite and, where one is named, on PostgreSQL.
#![allow(clippy::disallowed_methods, reason = "tests look at the database around the store")]

#[path = "store/harness.rs"]
#[macro_use]
mod harness;

#[path = "store/configuration.rs"]
mod configuration;
#[path = "store/delivery.rs"]
mod delivery;
#[path = "store/durability.rs"]
mod durability;
#[path = "store/erasure.rs"]
mod erasure;
#[path = "store/isolation.rs"]
mod isolation;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/passed_over.rs"]
mod passed_over;
#[path = "store/rights.rs"]
mod rights;
#[path = "store/secrets.rs"]
mod secrets;
#[path = "store/steps.rs"]
mod steps;
#[path = "store/tenancy.rs"]
mod tenancy;
#[path = "store/together.rs"]
mod together;

//! How records last: the only crate that names sea-orm. One tenant at a time.
//!
//! A [`TenantScope`] is the right to act on one tenant, and the only thing with methods on tenant tables. It comes
//! from authentication, from a lease, or from an audited operator action; nothing else can make one.
//!
//! Configuration goes through sea-orm's entities; what the engine writes goes through a statement or a few for
//! all rows of a table, over the same connections. Both go through the doors of `tx`, which put the tenant in.

mod error;
mod fault;

mod dialect;
mod options;

mod change;
mod write;

mod key;
mod seal;

mod connect;
mod group;
mod tx;

mod bulk;
mod page;

mod grant;
mod store;

mod audit;
mod mark;
mod operator;
mod scope;
mod tenant;

mod api_key;
mod destination;
mod route;
mod secret;
mod source;
mod webhook;
mod write_key;

mod suppression;

mod config;
mod idempotency;

mod dead;
mod document;
mod inbox;
mod lane;
mod load;
mod merge;
mod parked;
mod passed_over;
mod profile;
mod settle;
mod standing;
mod step;
mod timeline;

mod erase;

pub use audit::AuditEntry;
pub use change::{
    DeliveryFilter, DestinationChange, NewDestination, NewRoute, NewSource, RouteChange, RouteFilter, SourceChange,
    TenantChange, TenantConfig,
};
pub use error::{Result, StoreError};
pub use grant::{IdKey, WebhookSource, WriteGrant};
pub use operator::Operator;
pub use options::StoreOptions;
pub use scope::TenantScope;
pub use store::Store;
pub use write::{
    Heads, LaneWrite, Loaded, OutboxEvent, Remembered, Settle, Sighting, Skip, Standing, StepWrite, Wanted,
};

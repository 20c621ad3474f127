//! Write a Rialto connector: a WebAssembly component that never does I/O.
//!
//! A connector says which HTTP requests it wants; the hub performs them, with the credentials that only the hub
//! knows, and hands back the replies. You write straight-line `async`; each `.await` of a request becomes a *round*:
//! the instance ends, the hub makes the requests, and a fresh instance replays your code over the journal of replies
//! up to where it stood. So between two requests nothing may depend on anything but settings, payloads, replies and
//! what [`Cx`] offers: no clock, no randomness, no statics.
//!
//! ```
//! use rialto_sdk::prelude::*;
//!
//! #[derive(Settings)]
//! struct Acme {
//!     /// The account to write to.
//!     #[field(label = "Account", pattern = r"\d+")]
//!     account: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Purchase {
//!     message_id: String,
//! }
//!
//! #[destination(id = "acme/orders", name = "Acme", hosts = ["api.acme.com"], auth(token = bearer(required)))]
//! impl Acme {
//!     /// Send a purchase.
//!     #[action]
//!     async fn purchase(cx: &Cx<Self>, batch: Batch<Purchase>) -> Result<Outcomes> {
//!         let ids: Vec<&str> = batch.iter().map(|item| item.message_id.as_str()).collect();
//!         let reply = cx
//!             .post(format!("https://api.acme.com/{}/orders", cx.settings().account))
//!             .auth("token")
//!             .json(&json!({ "ids": ids }))
//!             .send()
//!             .await?;
//!         Ok(batch.outcomes(&reply))
//!     }
//! }
//! ```
//!
//! A connector that reads webhooks is one function, which asks for nothing: what came in becomes records.
//!
//! ```
//! use rialto_sdk::prelude::*;
//!
//! #[derive(Settings)]
//! struct Shop {}
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     id: String,
//!     customer: String,
//! }
//!
//! #[webhook(id = "acme/shop", name = "Acme shop", verify(signing = standard_webhooks))]
//! impl Shop {
//!     /// Each order is a track call.
//!     fn receive(_: &Cx<Self>, webhook: Incoming) -> Result<Accepted> {
//!         let order: Order = webhook.json()?;
//!         Ok(Accepted::nothing().record(&json!({
//!             "type": "track", "event": "Order Placed", "userId": order.customer, "messageId": order.id,
//!         })))
//!     }
//! }
//! ```
//!
//! [`testing`] runs such an action offline against scripted replies, in milliseconds and without Wasm.

pub mod batch;
pub mod bindings;
pub mod cx;
pub mod error;
pub mod executor;
pub mod headers;
mod journal;
pub mod log;
pub mod outcome;
pub mod reply;
pub mod section;
pub mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod webhook;

pub use rialto_sdk_macros::{Choice, Settings, destination, webhook};

pub use crate::{
    batch::{Batch, Item, Payload, Raw},
    bindings::rialto::plugin::types::Verdict,
    cx::{Cx, Request},
    error::{Error, Result},
    executor::Destination,
    outcome::Outcomes,
    reply::Reply,
    webhook::{Accepted, Incoming, Receiver},
};

/// All that a connector usually needs.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::json;

    pub use crate::{
        Accepted, Batch, Choice, Cx, Error, Incoming, Item, Outcomes, Raw, Reply, Request, Result, Settings, Verdict,
        destination,
        settings::{Headers, Url},
        webhook,
    };
}

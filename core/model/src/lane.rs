//! How a lane goes: whether it moves, and if not, why not and when it tries again.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// What a lane does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LaneState {
    /// It delivers, or has nothing to deliver.
    Running,
    /// The destination or its tenant is disabled: it stands still and loses nothing.
    Disabled,
    /// No such connector is installed: it stands still until there is one.
    NoConnector,
    /// So many deliveries wait for another try that it takes no new events until some are settled.
    Full {
        /// How many are parked.
        parked: u64,
    },
    /// It stands still after failures and tries a little from time to time.
    Standing {
        /// What failed.
        because: StandReason,
        /// The last failure's code.
        code: String,
        /// The last failure, in a sentence.
        message: String,
        /// Since when.
        since: Timestamp,
        /// When it tries again.
        until: Timestamp,
    },
    /// The hub itself cannot read or write its records at the moment.
    HubUnavailable {
        /// When it tries again.
        until: Timestamp,
    },
}

/// Why a lane stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StandReason {
    /// Nobody's events got through: the destination is down or throttles.
    Outage,
    /// The destination refuses the credentials.
    Unauthorized,
    /// The destination is set up wrongly.
    Misconfigured,
    /// The connector's code fails on too many events.
    Plugin,
    /// The hub cannot write down what came of deliveries, and sends nothing that it would have to send again.
    Unwritable,
}

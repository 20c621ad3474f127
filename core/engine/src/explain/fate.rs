//! What became of an event at each destination.

use std::collections::HashMap;

use rialto_model::decision::{RouteDecision, RouteVerdict, TimelineEntry};
use rialto_model::delivery::{Attempt, DeadLetter, Lane, Parked};
use rialto_model::explain::{Fate, FateStatus};
use rialto_model::lane::{LaneState, StandReason};
use rialto_model::page::PageRequest;
use rialto_model::{DestinationId, Timestamp};
use rialto_store::{DeliveryFilter, TenantScope};

use super::ExplainError;
use crate::engine::Engine;

/// What is open for an event, and how its lanes stand.
struct Records {
    lanes: HashMap<DestinationId, Lane>,
    names: HashMap<DestinationId, (String, bool)>,
    parked: Vec<Parked>,
    dead: Vec<DeadLetter>,
}

impl Engine {
    /// Judges every route that was decided on.
    pub(super) async fn fates(&self, scope: &TenantScope, row: &TimelineEntry) -> Result<Vec<Fate>, ExplainError> {
        if row.decision.routes.is_empty() {
            return Ok(Vec::new());
        }
        // The lanes first: what is parked between the two reads was not yet behind the cursor then.
        let lanes = scope.lanes().await?.into_iter().map(|lane| (lane.destination_id, lane)).collect();
        let filter = DeliveryFilter { position: Some(row.position), ..DeliveryFilter::default() };
        let all = PageRequest { limit: Some(rialto_model::page::MAX_LIMIT), after: None };
        let config = scope.config().await?;
        let enabled = config.tenant.enabled;
        let names = config.destinations.into_iter().map(|(d, _)| (d.id, (d.name, d.enabled && enabled))).collect();
        let parked = scope.parked(&filter, &all).await?.items;
        let dead = scope.dead_letters(&filter, &all).await?.items;
        let records = Records { lanes, names, parked, dead };
        Ok(row.decision.routes.iter().map(|route| self.fate(scope, row, route, &records)).collect())
    }

    fn fate(&self, scope: &TenantScope, row: &TimelineEntry, route: &RouteDecision, records: &Records) -> Fate {
        let known = records.names.get(&route.destination_id);
        let mut fate = Fate {
            route_id: route.route_id,
            destination_id: route.destination_id,
            destination: known.map(|(name, _)| name.clone()),
            action: route.action.clone(),
            status: FateStatus::NotTaken,
            said: not_taken(&route.verdict),
            attempts: Vec::new(),
            due_at: None,
        };
        if route.verdict != RouteVerdict::Taken {
            return fate;
        }
        let action = route.action.as_deref().unwrap_or_default();
        let here = |destination: DestinationId, its: &str| destination == route.destination_id && its == action;
        let Some(lane) = records.lanes.get(&route.destination_id) else {
            (fate.status, fate.said) = (FateStatus::Gone, "The destination was deleted.".to_owned());
            return fate;
        };
        if let Some(parked) = records.parked.iter().find(|one| here(one.destination_id, &one.action)) {
            (fate.status, fate.said) = parked_words(parked);
            (fate.attempts, fate.due_at) = (parked.history.clone(), parked.due_at);
            return fate;
        }
        if let Some(dead) = records.dead.iter().find(|one| here(one.destination_id, &one.action)) {
            (fate.status, fate.said) = (FateStatus::Dead, dead_words(dead));
            fate.attempts.clone_from(&dead.history);
            return fate;
        }
        // A lane writes its cursor down when it has something to write with it; in memory it may be further.
        let seen = self.lane_cursor(scope.tenant_id(), route.destination_id).unwrap_or(0);
        if lane.cursor.max(seen) >= row.position {
            (fate.status, fate.said) = done_words(lane);
            return fate;
        }
        let state = self.lane_state(scope.tenant_id(), route.destination_id);
        let enabled = known.is_some_and(|(_, enabled)| *enabled);
        (fate.status, fate.said) = waiting_words(row, lane, state.as_ref(), enabled);
        fate
    }
}

fn not_taken(verdict: &RouteVerdict) -> String {
    match verdict {
        RouteVerdict::Taken => String::new(),
        RouteVerdict::ConditionFalse(test) => format!("The route's condition does not hold: {test}."),
        RouteVerdict::IntegrationsExcluded => {
            "The client's 'integrations' object leaves this destination out.".to_owned()
        }
        RouteVerdict::RouteDisabled => "The route was closed when the event was processed.".to_owned(),
        RouteVerdict::AlreadyTaken => {
            "Another route had already taken it to the same destination and action.".to_owned()
        }
    }
}

fn last_words(history: &[Attempt]) -> String {
    match history.last() {
        Some(last) => format!("the last attempt ended in {}: {}", last.outcome.code, last.outcome.message),
        None => "no attempt was made yet".to_owned(),
    }
}

fn parked_words(parked: &Parked) -> (FateStatus, String) {
    match parked.due_at {
        Some(due) => {
            let said = format!(
                "Failed attempts: {}; it is tried again at {due}; {}.",
                parked.attempts,
                last_words(&parked.history)
            );
            (FateStatus::Parked, said)
        }
        None => {
            let said = "It waits behind an earlier event of the same person, so that their order is kept.";
            (FateStatus::HeldBehind, said.to_owned())
        }
    }
}

fn dead_words(dead: &DeadLetter) -> String {
    format!("It was given up at {} (attempts: {}): {}. It can be retried.", dead.died_at, dead.attempts, dead.reason)
}

/// The lane is past it and nothing is open. A lane that never skipped or gave up anything delivered all of it.
fn done_words(lane: &Lane) -> (FateStatus, String) {
    match (lane.skipped, lane.dead) {
        (0, 0) => (FateStatus::Delivered, "The destination took it.".to_owned()),
        (_, 0) => {
            let said = "The destination took it, or the connector had nothing to send for it; a lane counts these and keeps no row for each.";
            (FateStatus::Settled, said.to_owned())
        }
        _ => {
            let said = "The destination took it, or the connector had nothing to send for it, or it was given up and discarded since; a lane counts these and keeps no row for each.";
            (FateStatus::Settled, said.to_owned())
        }
    }
}

fn waiting_words(row: &TimelineEntry, lane: &Lane, state: Option<&LaneState>, enabled: bool) -> (FateStatus, String) {
    let stopped = |said: String| (FateStatus::LaneStopped, said);
    match state {
        _ if !enabled => {
            stopped("The destination or its tenant is disabled; the event waits and is not lost.".to_owned())
        }
        Some(LaneState::NoConnector) => stopped("Its connector is not installed; the event waits.".to_owned()),
        Some(LaneState::Full { parked }) => stopped(format!(
            "{parked} deliveries to this destination wait for another try; it takes no new ones until some are settled."
        )),
        Some(LaneState::Standing { because, code, message, since, until }) => stopped(format!(
            "The lane stands still since {since} and tries again at {until}: {} ({code}: {message}).",
            why(*because)
        )),
        Some(LaneState::HubUnavailable { until }) => waiting_until(*until),
        _ => {
            let ahead = row.position.saturating_sub(lane.cursor + 1);
            (FateStatus::Waiting, format!("The lane has not come to it; at most {ahead} events are before it."))
        }
    }
}

fn waiting_until(until: Timestamp) -> (FateStatus, String) {
    (FateStatus::LaneStopped, format!("The hub cannot read or write its records; it tries again at {until}."))
}

fn why(because: StandReason) -> &'static str {
    match because {
        StandReason::Outage => "nobody's events got through",
        StandReason::Unauthorized => "the destination refuses the credentials",
        StandReason::Misconfigured => "the destination is set up wrongly",
        StandReason::Plugin => "the connector's code fails on too many events",
        StandReason::Unwritable => "what came of deliveries cannot be written down",
    }
}

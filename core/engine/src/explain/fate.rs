//! What became of an event at each destination.

use std::collections::HashMap;

use rialto_model::decision::{RouteDecision, RouteVerdict, TimelineEntry};
use rialto_model::delivery::{Attempt, DeadLetter, Lane, Parked, PassedOver, Passing};
use rialto_model::explain::{Fate, FateStatus};
use rialto_model::lane::{LaneState, StandReason};
use rialto_model::{DestinationId, Position, Timestamp};
use rialto_store::{Standing, TenantScope};

use super::ExplainError;
use crate::engine::Engine;

/// What is known of an event at its destinations.
struct Records {
    names: HashMap<DestinationId, (String, bool)>,
    /// Up to where lanes were done, which may be ahead of what is written down, before `standing` was read.
    seen: HashMap<DestinationId, Position>,
    standing: Standing,
}

impl Engine {
    /// Judges every route that was decided on.
    pub(super) async fn fates(&self, scope: &TenantScope, row: &TimelineEntry) -> Result<Vec<Fate>, ExplainError> {
        if row.decision.routes.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<DestinationId> = row.decision.routes.iter().map(|route| route.destination_id).collect();
        // The cursors in memory first: whatever they had passed by then has its rows, if it has any, in what is read
        // after, and a delivery is said to be done only by what was seen of it.
        let seen = ids.iter().filter_map(|id| Some((*id, self.lane_cursor(scope.tenant_id(), *id)?))).collect();
        let standing = scope.standing(row.position, &row.message_id, &ids).await?;
        let config = scope.config().await?;
        let enabled = config.tenant.enabled;
        let names = config.destinations.into_iter().map(|(d, _)| (d.id, (d.name, d.enabled && enabled))).collect();
        let records = Records { names, seen, standing };
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
        let Standing { lanes, parked, dead, passed_over } = &records.standing;
        let Some(lane) = lanes.iter().find(|lane| lane.destination_id == route.destination_id) else {
            (fate.status, fate.said) = (FateStatus::Gone, "The destination was deleted.".to_owned());
            return fate;
        };
        if let Some(parked) = parked.iter().find(|one| here(one.destination_id, &one.action)) {
            (fate.status, fate.said) = parked_words(parked);
            (fate.attempts, fate.due_at) = (parked.history.clone(), parked.due_at);
            return fate;
        }
        if let Some(dead) = dead.iter().find(|one| here(one.destination_id, &one.action)) {
            (fate.status, fate.said) = (FateStatus::Dead, dead_words(dead));
            fate.attempts.clone_from(&dead.history);
            return fate;
        }
        if let Some(passed) = passed_over.iter().find(|one| here(one.destination_id, &one.action)) {
            (fate.status, fate.said) = passed_words(passed);
            return fate;
        }
        let seen = records.seen.get(&route.destination_id).copied().unwrap_or(0);
        if lane.cursor.max(seen) >= row.position {
            (fate.status, fate.said) = (FateStatus::Delivered, "The destination took it.".to_owned());
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

fn passed_words(passed: &PassedOver) -> (FateStatus, String) {
    let PassedOver { code, message, at, .. } = passed;
    match passed.what {
        Passing::Skipped => {
            let why = match (code.as_str(), message.as_str()) {
                ("", "") => "it did not say why".to_owned(),
                (why, "") | ("", why) => why.to_owned(),
                (code, message) => format!("{code}: {message}"),
            };
            (FateStatus::Skipped, format!("At {at} the connector had nothing to send for it: {why}."))
        }
        Passing::Discarded => {
            let said = format!("It had been given up ({message}) and was discarded at {at}.");
            (FateStatus::Discarded, said)
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

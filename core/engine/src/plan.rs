//! Where an event goes: which of the tenant's routes take it, and why the others do not.

mod view;

use std::collections::BTreeMap;

use rialto_model::decision::{RouteDecision, RouteVerdict};
use rialto_model::event::Event;
use rialto_model::profile::Profile;
use serde_json::Value;

use crate::config::{Config, ReadyRoute};
use crate::derive::ENGINE_SOURCE;
use view::View;

/// Judges every route from the event's source, oldest route first.
pub(crate) fn plan(config: &Config, event: &Event, profile: Option<&Profile>) -> Vec<RouteDecision> {
    let view = View::new(event, profile);
    let integrations = integrations(event);
    let mut decisions: Vec<RouteDecision> = Vec::new();
    for ready in config.routes.iter().filter(|ready| starts_at(ready, event)) {
        let route = &ready.route;
        let mut verdict = judge(ready, &view, &integrations);
        let again = |other: &RouteDecision| {
            other.verdict == RouteVerdict::Taken
                && other.destination_id == route.destination_id
                && other.action == route.action
        };
        if verdict == RouteVerdict::Taken && decisions.iter().any(again) {
            verdict = RouteVerdict::AlreadyTaken;
        }
        let (route_id, destination_id) = (route.id, route.destination_id);
        decisions.push(RouteDecision { route_id, destination_id, action: route.action.clone(), verdict });
    }
    decisions
}

fn starts_at(ready: &ReadyRoute, event: &Event) -> bool {
    match ready.route.source_id {
        Some(source) => source == event.source_id && source != ENGINE_SOURCE,
        None => true,
    }
}

fn judge(ready: &ReadyRoute, view: &View<'_>, integrations: &BTreeMap<String, Value>) -> RouteVerdict {
    if !ready.route.enabled {
        return RouteVerdict::RouteDisabled;
    }
    if excluded(integrations, &ready.destination) {
        return RouteVerdict::IntegrationsExcluded;
    }
    match &ready.condition {
        Ok(None) => RouteVerdict::Taken,
        Ok(Some(condition)) if condition.holds(view) => RouteVerdict::Taken,
        Ok(Some(condition)) => RouteVerdict::ConditionFalse(condition.why_not(view).unwrap_or_default()),
        Err(fault) => RouteVerdict::ConditionFalse(format!("the condition cannot be read: {fault}")),
    }
}

fn integrations(event: &Event) -> BTreeMap<String, Value> {
    match event.integrations.as_deref() {
        Some(raw) if raw.get().len() > 2 => serde_json::from_str(raw.get()).unwrap_or_default(),
        _ => BTreeMap::new(),
    }
}

/// `{"All": false}` leaves out whoever is not named; `{"Name": false}` leaves that one out; anything else but
/// false lets it in.
fn excluded(integrations: &BTreeMap<String, Value>, destination: &str) -> bool {
    let off = |name: &str| integrations.get(name).map(|value| *value == Value::Bool(false));
    off(destination).unwrap_or_else(|| off("All") == Some(true))
}

#[cfg(test)]
mod tests;

//! Which routes take an event, and what is said of the others.

use rialto_model::profile::{Provenance, TraitValue};
use rialto_model::route::Route;
use rialto_model::tenant::Tenant;
use rialto_model::{DestinationId, ProfileId, RouteId, SourceId, TenantId, Timestamp};
use serde_json::json;

use super::*;

const AT: Timestamp = Timestamp(0);

fn source(n: u8) -> SourceId {
    SourceId::from_parts(1, &[n; 10])
}

fn event(body: Value) -> Event {
    let mut whole =
        json!({"message_id": "m", "type": "track", "source_id": source(1), "timestamp": AT, "received_at": AT});
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    // By way of a text, as it comes from the log: raw parts are not read out of a value.
    serde_json::from_str(&whole.to_string()).expect("an event")
}

fn route(n: u8, change: impl FnOnce(&mut Route)) -> ReadyRoute {
    let mut route = Route {
        id: RouteId::from_parts(1, &[n; 10]),
        name: format!("route {n}"),
        source_id: None,
        destination_id: DestinationId::from_parts(1, &[n; 10]),
        action: None,
        condition: None,
        enabled: true,
        created_at: AT,
        updated_at: AT,
    };
    change(&mut route);
    let condition = route.condition.as_ref().map(rialto_model::condition::Condition::compile).transpose();
    ReadyRoute { route, destination: format!("Destination {n}"), condition }
}

fn verdicts(routes: Vec<ReadyRoute>, event: &Event, profile: Option<&Profile>) -> Vec<RouteVerdict> {
    let tenant = Tenant {
        id: TenantId::from_parts(1, &[1; 10]),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        created_at: AT,
        updated_at: AT,
        enabled: true,
        identity: Default::default(),
        quota: Default::default(),
    };
    let config = Config { version: 1, tenant, routes, suppresses: false };
    plan(&config, event, profile).into_iter().map(|decision| decision.verdict).collect()
}

fn given(condition: Value) -> impl FnOnce(&mut Route) {
    move |route| route.condition = Some(serde_json::from_value(condition).expect("a condition"))
}

#[test]
fn only_routes_from_its_source_are_judged() {
    let routes = || {
        vec![route(1, |r| r.source_id = Some(source(1))), route(2, |r| r.source_id = Some(source(2))), route(3, |_| {})]
    };
    assert_eq!(verdicts(routes(), &event(json!({})), None).len(), 2);
    let own = event(json!({"source_id": ENGINE_SOURCE}));
    assert_eq!(verdicts(routes(), &own, None), [RouteVerdict::Taken]);
}

#[test]
fn a_closed_route_and_a_second_one_to_the_same_place_do_not_take_it() {
    let to_first = |r: &mut Route| r.destination_id = DestinationId::from_parts(1, &[1; 10]);
    let routes = vec![
        route(1, |r| r.enabled = false),
        route(1, |_| {}),
        route(2, to_first),
        route(3, |r| {
            to_first(r);
            r.action = Some("purchase".to_owned());
        }),
    ];
    let expected = [RouteVerdict::RouteDisabled, RouteVerdict::Taken, RouteVerdict::AlreadyTaken, RouteVerdict::Taken];
    assert_eq!(verdicts(routes, &event(json!({})), None), expected);
}

#[test]
fn conditions_see_the_event_as_it_is_named_and_the_profile() {
    let event = event(json!({"event": "Order", "properties": {"total": 12}, "context": {"page": {"path": "/x"}},
        "extra": {"channel": {"name": "web"}}}));
    let mut profile = Profile::new(ProfileId::from_parts(1, &[1; 10]), AT);
    let provenance = Provenance { source_id: source(1), message_id: "m".to_owned(), at: AT };
    profile.traits.insert("plan".to_owned(), TraitValue { value: json!({"tier": "gold"}), provenance });
    for (condition, taken) in [
        (json!({"field": "event.event", "eq": "Order"}), true),
        (json!({"field": "event.type", "eq": "page"}), false),
        (json!({"field": "event.properties.total", "gte": 12}), true),
        (json!({"field": "event.context.page.path", "starts_with": "/x"}), true),
        (json!({"field": "event.extra.channel.name", "eq": "web"}), true),
        (json!({"field": "event.source_id", "eq": source(1)}), true),
        (json!({"field": "event.user_id", "exists": true}), false),
        (json!({"field": "profile.traits.plan.tier", "eq": "gold"}), true),
        (json!({"field": "profile.traits.none", "exists": true}), false),
    ] {
        let verdict = verdicts(vec![route(1, given(condition.clone()))], &event, Some(&profile)).remove(0);
        assert_eq!(verdict == RouteVerdict::Taken, taken, "{condition}: {verdict:?}");
    }
    let no = verdicts(vec![route(1, given(json!({"field": "event.properties.total", "gt": 99})))], &event, None);
    assert_eq!(no, [RouteVerdict::ConditionFalse("event.properties.total gt 99".to_owned())]);
}

#[test]
fn the_clients_word_on_destinations_is_honoured() {
    for (integrations, taken) in [
        (json!({}), true),
        (json!({"All": true}), true),
        (json!({"All": false}), false),
        (json!({"All": false, "Destination 1": true}), true),
        (json!({"All": false, "Destination 1": {"option": 1}}), true),
        (json!({"All": false, "Destination 2": true}), false),
        (json!({"Destination 1": false}), false),
        (json!({"All": true, "Destination 1": false}), false),
        (json!({"All": "false"}), true),
    ] {
        let verdict = verdicts(vec![route(1, |_| {})], &event(json!({"integrations": integrations})), None).remove(0);
        let expected = if taken { RouteVerdict::Taken } else { RouteVerdict::IntegrationsExcluded };
        assert_eq!(verdict, expected, "{integrations}");
    }
}

//! The truth table of conditions.

use serde_json::json;

use super::*;

struct Given {
    event: Value,
    traits: Value,
}

impl Facts for Given {
    fn event(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        crate::json::reach(&self.event, path).map(Cow::Borrowed)
    }
    fn profile_trait(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        crate::json::reach(&self.traits, path).map(Cow::Borrowed)
    }
}

fn given() -> Given {
    Given {
        event: json!({"type": "track", "event": "Order Completed",
            "properties": {"total": 99.5, "coupon": null, "tags": ["sale", 7], "a.b": 1}}),
        traits: json!({"plan": "pro", "seats": 3}),
    }
}

fn holds(condition: Value) -> bool {
    let condition: Condition = serde_json::from_value(condition).expect("is a condition");
    condition.compile().expect("compiles").holds(&given())
}

#[test]
fn every_operator_says_yes_and_no() {
    let f = "event.properties.total";
    for (condition, expected) in [
        (json!({"field": "event.type", "eq": "track"}), true),
        (json!({"field": "event.type", "eq": "page"}), false),
        (json!({"field": f, "eq": 99.5}), true),
        (json!({"field": "profile.traits.seats", "eq": 3.0}), true),
        (json!({"field": "event.type", "ne": "page"}), true),
        (json!({"field": "event.missing", "ne": "page"}), true),
        (json!({"field": "event.type", "ne": "track"}), false),
        (json!({"field": "profile.traits.plan", "in": ["free", "pro"]}), true),
        (json!({"field": "profile.traits.plan", "in": []}), false),
        (json!({"field": f, "gt": 99}), true),
        (json!({"field": f, "gt": 99.5}), false),
        (json!({"field": f, "gte": 99.5}), true),
        (json!({"field": f, "lt": 100}), true),
        (json!({"field": f, "lte": 99}), false),
        (json!({"field": f, "gt": "9"}), false),
        (json!({"field": "event.event", "gt": "Order"}), true),
        (json!({"field": f, "exists": true}), true),
        (json!({"field": "event.properties.coupon", "exists": true}), false),
        (json!({"field": "event.properties.coupon", "exists": false}), true),
        (json!({"field": "event.event", "contains": "Comp"}), true),
        (json!({"field": "event.properties.tags", "contains": 7}), true),
        (json!({"field": "event.properties.tags", "contains": "7"}), false),
        (json!({"field": "event.event", "starts_with": "Order"}), true),
        (json!({"field": "event.event", "starts_with": "order"}), false),
        (json!({"field": "event.event", "matches": "^Order (Completed|Updated)$"}), true),
        (json!({"field": f, "matches": "99"}), false),
        (json!({"field": "event.properties.a\\.b", "eq": 1}), true),
        (json!({"all": []}), true),
        (json!({"any": []}), false),
        (json!({"not": {"field": "event.type", "eq": "page"}}), true),
        (
            json!({"all": [{"field": "event.type", "eq": "track"}, {"any": [{"field": f, "lt": 1}, {"field": f, "gt": 1}]}]}),
            true,
        ),
    ] {
        assert_eq!(holds(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn a_fault_is_named_with_its_place() {
    for (condition, place) in [
        (json!({"field": "traits.plan", "eq": 1}), "/field"),
        (json!({"all": [{"field": "event.type", "eq": 1}, {"field": "event.", "eq": 1}]}), "/all/1/field"),
        (json!({"field": "event.type", "matches": "("}), "/matches"),
        (json!({"not": {"field": "event.type", "gt": [1]}}), "/not"),
    ] {
        let parsed: Condition = serde_json::from_value(condition).expect("is a condition");
        assert_eq!(parsed.compile().expect_err("is faulty").at, place);
    }
    assert!(serde_json::from_value::<Condition>(json!({"field": "event.type"})).is_err());
    assert!(serde_json::from_value::<Condition>(json!({"field": "event.type", "like": 1})).is_err());
    assert!(serde_json::from_value::<Condition>(json!({"all": [], "any": []})).is_err());
}

#[test]
fn a_no_is_explained_without_the_values_of_the_event() {
    let condition: Condition = serde_json::from_value(json!({"all": [
        {"field": "event.type", "eq": "track"}, {"field": "event.properties.total", "gte": 100}]}))
    .expect("is a condition");
    let why = condition.compile().expect("compiles").why_not(&given());
    assert_eq!(why.as_deref(), Some("event.properties.total gte 100"));
}

#[test]
fn deep_and_wide_conditions_are_refused() {
    let mut deep = json!({"field": "event.type", "eq": 1});
    for _ in 0..MAX_DEPTH {
        deep = json!({"not": deep});
    }
    let deep: Condition = serde_json::from_value(deep).expect("is a condition");
    assert!(deep.compile().is_err());
    let wide = Condition::All(All {
        all: vec![Condition::Test(Test { field: "event.type".into(), op: Operator::Exists(true) }); MAX_TESTS + 1],
    });
    assert!(wide.compile().is_err());
}

//! The JSON webhook connector offline.

use rialto_json_webhook::JsonWebhook;
use rialto_sdk::testing::{Post, Taken};
use serde_json::{Value, json};

fn receive(settings: &Value, body: &Value) -> Taken {
    let mut whole = json!({ "user_id_pointer": "/user" });
    whole.as_object_mut().expect("an object").extend(settings.as_object().cloned().unwrap_or_default());
    Post::<JsonWebhook>::json(whole, body).receive()
}

#[test]
fn the_example_is_what_the_manifest_takes() {
    let example: Value = serde_json::from_str(include_str!("../examples/source.json")).expect("JSON");
    let manifest: Value =
        serde_json::from_slice(<JsonWebhook as rialto_sdk::Receiver>::MANIFEST).expect("the manifest is JSON");
    assert_eq!(example["connector"], manifest["id"]);
    for (part, field) in [("settings", &manifest["settings"]), ("secrets", &manifest["webhook"]["verify"])] {
        let known: Vec<_> = field.as_array().expect("a list").iter().map(|f| f["name"].as_str()).collect();
        for name in example[part].as_object().expect("an object").keys() {
            assert!(known.contains(&Some(name.as_str())), "{part}.{name}");
        }
    }
    let body = json!({
        "id": "evt_1", "type": "invoice.paid", "created": 1_700_000_000, "data": { "customer": "c-7", "total": 5 },
    });
    let taken = Post::<JsonWebhook>::json(example["settings"].clone(), &body).receive();
    let expected = json!({
        "type": "track", "event": "invoice.paid", "userId": "c-7", "messageId": "evt_1",
        "timestamp": "2023-11-14T22:13:20.000Z", "properties": { "customer": "c-7", "total": 5 },
    });
    assert_eq!(taken.records, [expected]);
}

#[test]
fn a_list_is_many_events_in_order_wherever_it_stands() {
    let items = json!([{ "user": "a", "n": 1 }, { "user": 2, "n": 2 }]);
    for (settings, body) in
        [(json!({}), items.clone()), (json!({ "items": "/all/of" }), json!({ "all": { "of": items } }))]
    {
        let taken = receive(&settings, &body);
        let seen: Vec<_> = taken.records.iter().map(|record| (&record["userId"], &record["properties"]["n"])).collect();
        assert_eq!(seen, [(&json!("a"), &json!(1)), (&json!(2), &json!(2))]);
        assert!(taken.records.iter().all(|record| record["event"] == "Webhook Received"));
    }
    assert!(receive(&json!({}), &json!([])).records.is_empty(), "an empty list is no fault");
    let nowhere = receive(&json!({ "items": "/all" }), &json!({})).failure.expect("refused");
    assert_eq!((nowhere.code.as_str(), nowhere.retryable), ("no_items", false));
}

#[test]
fn what_is_of_nobody_is_refused_or_skipped() {
    let body = json!([{ "user": "a" }, { "user": null }, {}, { "user": " " }]);
    let refused = receive(&json!({}), &body).failure.expect("refused");
    assert_eq!(refused.code, "no_person");
    assert!(refused.message.contains("/user"), "{refused:?}");
    let skipped = receive(&json!({ "nobody": "skip" }), &body);
    assert_eq!(skipped.records.len(), 1);
    let anonymous = receive(&json!({ "anonymous_id_pointer": "/device" }), &json!({ "device": "d" }));
    assert_eq!((&anonymous.records[0]["anonymousId"], anonymous.records[0].get("userId")), (&json!("d"), None));
    let unset = Post::<JsonWebhook>::json(json!({}), &body).receive().failure.expect("refused");
    assert_eq!(unset.field.as_deref(), Some("user_id_pointer"));
}

#[test]
fn names_properties_and_odd_items_are_taken_as_they_stand() {
    let named = receive(&json!({ "event": "Order", "event_pointer": "/kind" }), &json!({ "user": 1, "kind": "Paid" }));
    assert_eq!(named.records[0]["event"], "Paid");
    let constant = receive(&json!({ "event": "Order", "event_pointer": "/kind" }), &json!({ "user": 1 }));
    assert_eq!(constant.records[0]["event"], "Order");
    let part = receive(&json!({ "properties_pointer": "/part" }), &json!({ "user": 1, "part": [1, 2] }));
    assert_eq!(part.records[0]["properties"], json!({ "value": [1, 2] }));
    let none = receive(&json!({ "properties_pointer": "/part" }), &json!({ "user": 1 }));
    assert_eq!(none.records[0].get("properties"), None);
}

#[test]
fn a_challenge_is_sent_back_and_makes_no_event() {
    let settings = json!({ "challenge_pointer": "/challenge" });
    let taken = receive(&settings, &json!({ "challenge": "abc" }));
    let answer = taken.answer.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice(), taken.records.len()), (200, &b"abc"[..], 0));
    assert_eq!(receive(&settings, &json!({ "user": "a" })).answer, None);
}

#[test]
fn what_is_no_json_is_refused() {
    for body in ["", "{", "a=b"] {
        let failure = Post::<JsonWebhook>::new(json!({}), body).unsigned().receive().failure.expect("refused");
        assert_eq!((failure.code.as_str(), failure.retryable), ("invalid_json", false), "{body}");
    }
}

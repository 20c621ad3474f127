//! The whole way in one story: two devices that turn out to be one person, routed by a condition, explained.

use std::time::Duration;

use rialto_testkit::receiver::{Received, Receiver};
use serde_json::json;

use crate::ground::{Backend, Ground, on_both};

on_both!(two_devices_become_one_person_and_leave_by_the_right_route, told);

async fn told(backend: Backend, test: &str) {
    let Some(ground) = Ground::on(backend, test).await else { return };
    let receiver = Receiver::kind().await;
    let acme = &ground.acme;
    acme.webhook("everything", &receiver.url("/all")).await;
    let orders = json!({"name": "orders", "connector": "rialto/webhook", "settings": {"url": receiver.url("/orders")}});
    let orders = acme.api().post("/api/v1/destinations", &orders).await.expect(201).json();
    let condition = json!({"all": [
        {"field": "event.event", "eq": "Order Completed"},
        {"field": "event.properties.total", "gte": 20},
    ]});
    let route = json!({"name": "large orders", "destination_id": orders["id"], "condition": condition});
    acme.api().post("/api/v1/routes", &route).await.expect(201);

    let phone = json!({"type": "track", "event": "Viewed", "anonymousId": "phone", "messageId": "s-1"});
    let laptop = json!({"type": "page", "name": "Home", "anonymousId": "laptop", "messageId": "s-2"});
    acme.accept(&phone).await;
    acme.accept(&laptop).await;
    let before = [acme.profile("anonymous_id", "phone").await, acme.profile("anonymous_id", "laptop").await];
    assert_ne!(before[0]["id"], before[1]["id"], "two devices are two persons at first");
    for (n, device) in ["phone", "laptop"].iter().enumerate() {
        let traits = json!({"email": "Jane@Example.com", "device": device});
        let identify = json!({
            "type": "identify", "userId": "jane", "anonymousId": device, "traits": traits, "messageId": format!("s-{}", n + 3),
        });
        acme.accept(&identify).await;
    }
    let order = |total: u32, id: &str| json!({"type": "track", "event": "Order Completed", "userId": "jane", "messageId": id, "properties": {"total": total}});
    acme.accept(&order(12, "s-5")).await;
    acme.accept(&order(99, "s-6")).await;
    // Six of ours and what the hub itself tells of the merge at the one, the large order at the other.
    let all = |received: &[Received]| received.iter().flat_map(Received::events).count() >= 8;
    receiver.until("all that is to come", Duration::from_secs(20), all).await;

    let jane = acme.profile("email", "jane@example.com").await;
    assert_eq!(jane["id"], before[0]["id"], "the older profile lives on");
    assert_eq!(acme.profile("anonymous_id", "laptop").await["id"], jane["id"]);
    let merged = before[1]["id"].as_str().expect("a profile has an id");
    let by_old_id = acme.api().get(&format!("/api/v1/profiles/{merged}")).await.expect(200).json();
    assert_eq!(by_old_id["id"], jane["id"], "the other's id leads to it for ever");
    assert_eq!((&jane["merges"], &jane["events"]), (&json!(1), &json!(6)), "{jane}");
    assert_eq!(jane["traits"]["device"]["value"], json!("laptop"), "the last writer wins: {jane}");
    assert_eq!(jane["traits"]["device"]["message_id"], json!("s-4"), "and it is known who that was: {jane}");

    let large: Vec<_> = receiver.events().into_iter().filter(|(received, _)| received.path == "/orders").collect();
    assert_eq!(large.len(), 1, "{large:?}");
    assert_eq!(large[0].1["message_id"], json!("s-6"));
    let delivered = |said: &serde_json::Value| {
        said["destinations"]
            .as_array()
            .is_some_and(|fates| fates.len() == 2 && fates.iter().all(|fate| fate["status"] == json!("delivered")))
    };
    acme.explained("s-6", "both destinations took the large order", delivered).await;
    let small = acme.explained("s-5", "an explanation", |_| true).await;
    let fates = small["destinations"].as_array().expect("fates");
    let kept_back = fates.iter().find(|fate| fate["destination_id"] == orders["id"]).expect("the orders' fate");
    assert_eq!(kept_back["status"], json!("not_taken"), "{kept_back}");
    assert!(
        kept_back["said"].as_str().is_some_and(|said| said.contains("total")),
        "says which test failed: {kept_back}"
    );
}

//! Suppressions as an admin sees them: made, found, lifted; and what an event's sender and reader see.

use serde_json::{Value, json};

use crate::harness::Hub;
use crate::world::text;

const LIST: &str = "/api/v1/suppressions";

fn count(page: &Value) -> usize {
    page["items"].as_array().map_or(0, Vec::len)
}

async fn a_suppression_is_made_once_found_by_its_identifier_and_lifted(hub: &Hub) {
    let (acme, globex) = (hub.tenant("acme").await, hub.tenant("globex").await);
    let jane = json!({"kind": "email", "value": " Jane@Example.com ", "reason": "  ticket 4711 "});
    let made = hub.post(LIST, &acme.admin, &jane).await;
    let location = made.header("location").to_owned();
    let made = made.expect(201);
    let id = text(&made, "id");
    assert!(id.starts_with("sup_"), "{made}");
    assert_eq!(location, format!("{LIST}/{id}"));
    assert_eq!((&made["kind"], &made["reason"]), (&json!("email"), &json!("ticket 4711")));
    let again = json!({"kind": "email", "value": "JANE@example.com", "reason": "another"});
    assert_eq!(hub.post(LIST, &acme.admin, &again).await.expect(201), made, "it stays as it is");
    hub.post(LIST, &acme.admin, &json!({"kind": "crm_id", "value": "7"})).await.expect(201);

    let listed = hub.get(LIST, &acme.admin).await;
    assert!(!listed.text().to_lowercase().contains("jane"), "{}", listed.text());
    assert_eq!(count(&listed.expect(200)), 2);
    let first = hub.get(&format!("{LIST}?limit=1"), &acme.admin).await.expect(200);
    assert_eq!((&first["items"][0], count(&first)), (&made, 1));
    let rest = hub.get(&format!("{LIST}?after={}", text(&first, "next")), &acme.admin).await.expect(200);
    assert_eq!((count(&rest), rest.get("next")), (1, None));
    let by = |tenant: &str, value: &str| (format!("{LIST}?kind=email&value={value}"), tenant.to_owned());
    for (path, key, found) in [
        (by(&acme.admin, "jane%40EXAMPLE.com"), 1),
        (by(&acme.admin, "joe%40example.com"), 0),
        (by(&globex.admin, "jane%40example.com"), 0),
    ]
    .map(|((path, key), found)| (path, key, found))
    {
        assert_eq!(count(&hub.get(&path, &key).await.expect(200)), found, "{path}");
    }
    assert_eq!(hub.get(&format!("{LIST}/{id}"), &acme.admin).await.expect(200), made);

    hub.call("DELETE", &format!("{LIST}/{id}"), &acme.admin, None).await.expect(204);
    hub.call("DELETE", &format!("{LIST}/{id}"), &acme.admin, None).await.expect(404);
    hub.get(&format!("{LIST}/{id}"), &acme.admin).await.expect(404);
}

async fn what_cannot_name_a_person_cannot_be_suppressed(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    for (given, at) in [
        (json!({"kind": "user_id", "value": "guest"}), "/value"),
        (json!({"kind": "user_id", "value": "   "}), "/value"),
        (json!({"kind": "user_id", "value": "x".repeat(257)}), "/value"),
        (json!({"kind": "  ", "value": "u"}), "/kind"),
        (json!({"kind": "user_id"}), "/value"),
        (json!({"kind": "user_id", "value": "u", "reason": "x".repeat(501)}), "/reason"),
        (json!({"kind": "user_id", "value": "u", "note": "x"}), "/note"),
    ] {
        let answer = hub.post(LIST, &acme.admin, &given).await;
        assert_eq!((answer.status.as_u16(), answer.faults()), (422, vec![at.to_owned()]), "{given}");
    }
    assert_eq!(hub.get(&format!("{LIST}?kind=email"), &acme.admin).await.expect(400)["type"], "/problems/malformed");
    assert_eq!(count(&hub.get(LIST, &acme.admin).await.expect(200)), 0);
}

async fn its_events_are_answered_200_and_go_nowhere_until_it_is_lifted(hub: &Hub) {
    let acme = hub.tenant("acme").await;
    hub.destination(&acme, "works", "deliver").await;
    let made = hub.post(LIST, &acme.admin, &json!({"kind": "user_id", "value": "jane"})).await.expect(201);
    let event = |id: &str, user: &str| json!({"messageId": id, "userId": user, "event": "canary sings"});
    hub.track(&acme, &event("m1", "jane")).await.expect(200);
    hub.track(&acme, &event("m2", "joe")).await.expect(200);
    hub.until("/api/v1/lanes", &acme.viewer, |lanes| lanes["items"][0]["delivered"] == 1).await;

    let told = hub.get("/api/v1/events/m1/explain", &acme.viewer).await.expect(200);
    let said = format!("Its person is suppressed since {}; it went nowhere.", text(&made, "created_at"));
    assert_eq!(told["said"], said);
    assert!(told["steps"][2]["detail"][0].as_str().is_some_and(|detail| detail.contains(&text(&made, "id"))), "{told}");
    let read = hub.get("/api/v1/events/m1", &acme.viewer).await;
    assert!(!read.text().contains("canary") && !read.text().contains("jane"), "{}", read.text());
    let read = read.expect(200);
    assert_eq!(read.get("event"), None, "{read}");
    assert_eq!(read["decisions"][0]["decision"]["suppressed"]["suppression_id"], made["id"]);
    hub.get("/api/v1/profiles/by/user_id/jane", &acme.viewer).await.expect(404);
    let metrics = hub.get("/metrics", "").await.text();
    assert!(metrics.lines().any(|line| line == "rialto_events_suppressed_total 1"), "{metrics}");

    hub.call("DELETE", &format!("{LIST}/{}", text(&made, "id")), &acme.admin, None).await.expect(204);
    hub.track(&acme, &event("m3", "jane")).await.expect(200);
    hub.until("/api/v1/lanes", &acme.viewer, |lanes| lanes["items"][0]["delivered"] == 2).await;
    let jane = hub.get("/api/v1/profiles/by/user_id/jane", &acme.viewer).await.expect(200);
    assert_eq!(jane["events"], 1);
}

on_both!(
    a_suppression_is_made_once_found_by_its_identifier_and_lifted,
    what_cannot_name_a_person_cannot_be_suppressed,
    its_events_are_answered_200_and_go_nowhere_until_it_is_lifted,
);

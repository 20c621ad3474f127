//! A hub within the test's own process, whose log and store can be looked into at the very moment of an answer.

use rialto_model::{Position, TenantId};
use rialto_testkit::on_both;
use rialto_testkit::persona::Persona;
use rialto_testkit::test_hub::TestHub;
use serde_json::json;

async fn head(hub: &TestHub, persona: &Persona) -> Position {
    let tenant: TenantId = persona.tenant_id.parse().expect("an id");
    hub.log().head(tenant).await.expect("the log can be read")
}

on_both! {
    async fn an_event_is_in_the_log_when_its_sender_is_told_so(hub, acme, globex, stranger) {
        for number in 1..=20 {
            acme.accept(&json!({"type": "track", "event": "Seen", "userId": "u", "messageId": format!("m-{number}")})).await;
            assert_eq!(head(&hub, &acme).await, number, "told, and not in the log");
        }
        assert_eq!(head(&hub, &globex).await, 0, "the other tenant's stream");
        stranger.post("/v1/track", &json!({"userId": "u", "event": "Seen"})).await.expect(401);
        assert_eq!(head(&hub, &acme).await, 20);
        hub.stop().await;
    }

    async fn a_restart_in_order_keeps_everything_and_everyone_goes_on(mut hub, acme, globex, _stranger) {
        for (persona, city) in [(&acme, "Utrecht"), (&globex, "Gent")] {
            let traits = json!({"email": "one@shop.example", "city": city});
            persona.accept(&json!({"type": "identify", "userId": "u", "traits": traits, "messageId": "m-1"})).await;
        }
        let before = acme.profile("email", "one@shop.example").await;
        hub.restart().await;
        assert_eq!(acme.profile("email", "one@shop.example").await, before);
        assert_eq!(globex.profile("user_id", "u").await["traits"]["city"]["value"], json!("Gent"));
        acme.accept(&json!({"type": "track", "event": "Back", "userId": "u", "messageId": "m-2"})).await;
        assert_eq!(head(&hub, &acme).await, 2, "positions go on where they were");
        acme.stored("m-2").await;
        assert_eq!(acme.profile("user_id", "u").await["events"], json!(2));
    }
}

//! Quotas at the edge, by a clock that is moved by hand: what is let in, what is answered to the rest, and whom it
//! concerns.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use rialto_api::ApiOptions;
use rialto_engine::ManualClock;
use rialto_model::Timestamp;
use rialto_model::tenant::Quota;
use serde_json::{Value, json};

use crate::harness::{Answer, Choices, Database, Hub};
use crate::world::{HOOKS, Tenant, text};

/// A hub and the clock that it goes by.
struct Timed {
    hub: Hub,
    clock: Arc<ManualClock>,
}

impl Timed {
    async fn with(database: Option<Database>, quota: Quota) -> Self {
        // Not long ago, so that nothing else minds.
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_790_000_000_000)));
        let options = ApiOptions { quota, ..ApiOptions::default() };
        let choices =
            Choices { options, clock: Arc::<ManualClock>::clone(&clock), processing: false, ..Choices::default() };
        Self { hub: Hub::with(database, choices).await, clock }
    }

    async fn limit(&self, tenant: &Tenant, quota: Value) {
        let path = format!("/api/v1/tenants/{}", tenant.id);
        let change = json!({ "quota": quota });
        let changed = self.hub.call("PATCH", &path, &self.hub.operator, Some(&change)).await.expect(200);
        assert_eq!(changed["quota"]["events_per_second"], quota["events_per_second"]);
        let read = self.hub.get(&path, &self.hub.operator).await.expect(200);
        assert_eq!(read["quota"], changed["quota"]);
    }

    async fn one(&self, tenant: &Tenant) -> Answer {
        self.hub.track(tenant, &json!({"userId": "u", "event": "E"})).await
    }

    async fn batch(&self, tenant: &Tenant, events: usize) -> Answer {
        let event = json!({"type": "track", "userId": "u", "event": "E"});
        let body = json!({"batch": vec![event; events]}).to_string();
        self.hub.ingest("/v1/batch", &[("x-write-key", &tenant.write_key)], body).await
    }

    fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

/// Runs tests on both databases.
macro_rules! on_both_with_a_clock {
    ($($name:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Timed::with(None, super::Quota::default()).await).await;
            }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                let Some(database) = crate::harness::Database::create(test).await else { return };
                super::$name(super::Timed::with(Some(database), super::Quota::default()).await).await;
            }
        )*}
    };
}

on_both_with_a_clock!(
    who_is_over_the_quota_is_told_when_to_come_again_and_nothing_of_the_request_is_kept,
    one_tenant_at_its_quota_is_not_felt_by_another_and_a_change_holds_at_once,
    a_large_batch_passes_and_is_made_up_for,
    who_is_over_the_quota_gets_no_work_of_a_connector_either,
);

/// The seconds that a refusal says, on which its two headers and its words agree.
#[track_caller]
fn told(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait = answer.header("retry-after").to_owned();
    assert_eq!(answer.header("x-ratelimit-reset"), wait);
    let body = answer.json();
    assert_eq!(body["code"], "over_quota");
    assert_eq!(
        body["message"],
        format!("the tenant is over its quota of 5 events a second, over ten seconds; send this again in {wait} s")
    );
    wait.parse().expect("seconds")
}

async fn who_is_over_the_quota_is_told_when_to_come_again_and_nothing_of_the_request_is_kept(on: Timed) {
    let acme = on.hub.tenant("acme").await;
    on.limit(&acme, json!({"events_per_second": 5})).await;
    on.batch(&acme, 40).await.expect(200);
    for _ in 0..10 {
        on.one(&acme).await.expect(200);
    }
    assert_eq!(told(&on.one(&acme).await), 1);
    assert_eq!(told(&on.batch(&acme, 11).await), 3, "eleven events are there after 2.2 seconds");
    let pixel = format!("/v1/pixel/track?writeKey={}&userId=u&event=E", acme.write_key);
    let see = async || {
        let seen = on.hub.send(Request::builder().uri(&pixel).body(Body::empty()).expect("a request")).await;
        assert_eq!((seen.status.as_u16(), seen.header("content-type")), (200, "image/gif"));
    };
    see().await;
    assert_eq!(on.hub.events(acme.id).await.len(), 50, "a batch costs its events, and a refused one is not kept");
    let metrics = on.hub.get("/metrics", "").await.text();
    assert!(metrics.contains("rialto_ingest_requests_refused_total{code=\"over_quota\"} 3"), "{metrics}");

    on.pass(199);
    assert_eq!(told(&on.one(&acme).await), 1, "not yet");
    on.pass(1);
    see().await;
    assert_eq!(told(&on.one(&acme).await), 1);
    on.pass(200);
    // What is refused for its content takes nothing from what follows.
    on.hub.track(&acme, &json!({"event": "nobody's"})).await.expect(400);
    on.one(&acme).await.expect(200);
    on.pass(1_000_000);
    for _ in 0..50 {
        on.one(&acme).await.expect(200);
    }
    told(&on.one(&acme).await);
    assert_eq!(on.hub.events(acme.id).await.len(), 102);
}

async fn one_tenant_at_its_quota_is_not_felt_by_another_and_a_change_holds_at_once(on: Timed) {
    let (acme, globex) = (on.hub.tenant("acme").await, on.hub.tenant("globex").await);
    on.batch(&acme, 2_500).await.expect(200);
    on.limit(&acme, json!({"events_per_second": 5})).await;
    on.limit(&globex, json!({"events_per_second": 5})).await;
    on.batch(&acme, 50).await.expect(200);
    told(&on.one(&acme).await);
    on.batch(&globex, 50).await.expect(200);
    told(&on.one(&globex).await);
    on.limit(&acme, json!({"events_per_second": 500})).await;
    on.batch(&acme, 2_500).await.expect(200);
    told(&on.one(&globex).await);
    on.limit(&acme, json!({})).await;
    on.batch(&acme, 2_500).await.expect(200);
    on.batch(&acme, 2_500).await.expect(200);
    let refused = json!({"quota": {"events_per_second": 0}});
    let path = format!("/api/v1/tenants/{}", acme.id);
    let answer = on.hub.call("PATCH", &path, &on.hub.operator, Some(&refused)).await;
    assert_eq!((answer.status.as_u16(), answer.faults()), (422, vec!["/quota/events_per_second".to_owned()]));
    let own = on.hub.get("/api/v1/tenant", &globex.viewer).await.expect(200);
    assert_eq!(own["quota"]["events_per_second"], 5, "a tenant can see what it has");
}

async fn a_large_batch_passes_and_is_made_up_for(on: Timed) {
    let made = json!({"slug": "umbrella", "name": "Umbrella", "quota": {"events_per_second": 5}});
    let made = on.hub.post("/api/v1/tenants", &on.hub.operator, &made).await.expect(201);
    assert_eq!(made["quota"]["events_per_second"], 5, "from the first moment");
    let acme = on.hub.tenant("acme").await;
    on.limit(&acme, json!({"events_per_second": 5})).await;
    on.one(&acme).await.expect(200);
    assert_eq!(told(&on.batch(&acme, 500).await), 1, "only when it is full");
    on.pass(200);
    on.batch(&acme, 500).await.expect(200);
    assert_eq!(told(&on.one(&acme).await), 91, "450 events are owed");
    on.pass(90_199);
    told(&on.one(&acme).await);
    on.pass(1);
    on.one(&acme).await.expect(200);
}

#[tokio::test]
async fn the_hub_s_own_limit_holds_for_each_tenant_that_has_none() {
    let on = Timed::with(None, Quota { events_per_second: Some(5) }).await;
    let (acme, globex) = (on.hub.tenant("acme").await, on.hub.tenant("globex").await);
    on.limit(&globex, json!({"events_per_second": 500})).await;
    on.batch(&acme, 50).await.expect(200);
    told(&on.one(&acme).await);
    on.batch(&globex, 2_500).await.expect(200);
    on.batch(&globex, 2_500).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_get_no_more_than_one() {
    let on = Timed::with(None, Quota { events_per_second: Some(5) }).await;
    let acme = on.hub.tenant("acme").await;
    let answers = futures::future::join_all((0..200).map(|_| on.one(&acme))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 50);
    assert_eq!(on.hub.events(acme.id).await.len(), 50);
}

async fn who_is_over_the_quota_gets_no_work_of_a_connector_either(timed: Timed) {
    let acme = timed.hub.tenant("acme").await;
    let new = json!({"name": "hooks", "connector": HOOKS});
    let source = text(&timed.hub.post("/api/v1/sources", &acme.editor, &new).await.expect(201), "id");
    let key = timed.hub.post(&format!("/api/v1/sources/{source}/write_keys"), &acme.admin, &json!({})).await;
    let key = text(&key.expect(201), "key");
    timed.limit(&acme, json!({"events_per_second": 1})).await;
    let webhook = async |body: Value| {
        let path = format!("/v1/webhook/{source}");
        timed.hub.ingest(&path, &[("x-write-key", &key)], body.to_string()).await.status.as_u16()
    };
    for _ in 0..20 {
        assert_eq!(webhook(json!({"odd": true})).await, 400, "what is not kept is given back");
    }
    let event = json!({"type": "track", "userId": "u", "event": "E"});
    assert_eq!(webhook(Value::from(vec![event; 100])).await, 200, "as large as a batch may be");
    assert_eq!(webhook(json!({"odd": true})).await, 429, "the connector would refuse it");
    timed.pass(200_000);
    assert_eq!(webhook(json!({"odd": true})).await, 400);
}

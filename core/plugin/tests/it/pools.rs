//! What all tenants share on the way out: one whose destinations hang leaves connections and look-ups for the others.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use rialto_model::{TenantId, manifest::Manifest};
use rialto_plugin::{
    EgressPolicy,
    egress::{Allowed, Egress, EgressError, Incoming, Outgoing, Resolve, Target},
};
use serde_json::json;

use crate::receiver::{Answer, Receiver};

/// Nobody answers for names that begin with `hole`; all others lead to an address that is refused.
#[derive(Default)]
struct Holes {
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Holes {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        self.asked.fetch_add(1, SeqCst);
        if host.starts_with("hole") {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    }
}

fn tenant(number: u8) -> TenantId {
    TenantId::from_parts(1, &[number; 10])
}

fn egress(policy: EgressPolicy) -> (Egress, Arc<Holes>) {
    let holes = Arc::new(Holes::default());
    let policy = EgressPolicy { allow_loopback: true, connect_timeout: Duration::from_millis(500), ..policy };
    (Egress::new(policy, Arc::clone(&holes) as Arc<dyn Resolve>).expect("TLS"), holes)
}

async fn fetch(egress: &Egress, tenant: TenantId, url: &str) -> Result<Incoming, EgressError> {
    let manifest: Manifest = serde_json::from_value(json!({
        "id": "test/any", "version": "0.1.0", "name": "Any",
        "settings": [{ "name": "url", "type": "url" }],
        "hosts": ["{settings.url}"], "actions": [{ "name": "send" }],
    }))
    .expect("a manifest");
    let allowed = Allowed::of(&manifest, &[("url".into(), json!(url))].into());
    let target = &Target::check(url, &allowed, egress.policy())?;
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    egress.send(Outgoing { tenant, method: Method::GET, target, headers, body, most: 1 << 20, beyond: 0 }).await
}

/// Begins requests and gives them a moment to get stuck.
async fn begin(egress: &Egress, of: TenantId, urls: impl Iterator<Item = String>) {
    for url in urls {
        let egress = egress.clone();
        tokio::spawn(async move { fetch(&egress, of, &url).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn one_tenant_s_names_that_nobody_answers_leave_look_ups_for_the_others() {
    let (egress, holes) = egress(EgressPolicy { lookups: 4, lookups_per_tenant: 2, ..EgressPolicy::default() });
    begin(&egress, tenant(1), (0..20).map(|n| format!("https://hole{n}.example/"))).await;
    assert_eq!(holes.asked.load(SeqCst), 2);
    let other = fetch(&egress, tenant(2), "https://inside.example/").await;
    assert!(matches!(other, Err(EgressError::Refused(_))), "its name was looked up: {other:?}");
    // Those who asked have long gone; their look-ups have not, and still count.
    tokio::time::sleep(Duration::from_millis(600)).await;
    begin(&egress, tenant(1), (20..40).map(|n| format!("https://hole{n}.example/"))).await;
    assert_eq!(holes.asked.load(SeqCst), 3);
    let other = fetch(&egress, tenant(2), "https://inside.example/").await;
    assert!(matches!(other, Err(EgressError::Refused(_))), "its name was looked up: {other:?}");
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_all_of_a_tenant_who_wait_for_it() {
    let (egress, holes) = egress(EgressPolicy { lookups_per_tenant: 2, ..EgressPolicy::default() });
    begin(&egress, tenant(1), (0..20).map(|n| format!("https://hole.example/{n}"))).await;
    assert_eq!(holes.asked.load(SeqCst), 1);
    let beside = fetch(&egress, tenant(1), "https://inside.example/").await;
    assert!(matches!(beside, Err(EgressError::Refused(_))), "there is room for another name: {beside:?}");
    fetch(&egress, tenant(2), "https://hole.example/").await.expect_err("it hangs");
    assert_eq!(holes.asked.load(SeqCst), 3, "another tenant asks for itself");
    for _ in 0..2 {
        fetch(&egress, tenant(1), "https://inside.example/").await.expect_err("it is inside");
    }
    assert_eq!(holes.asked.load(SeqCst), 5, "an answer is not kept");
}

#[tokio::test]
async fn one_tenant_s_silent_destinations_leave_connections_for_the_others() {
    let (silent, willing) = (Receiver::start(|_| Answer::Silence).await, Receiver::willing().await);
    let (egress, _) = egress(EgressPolicy { connections: 4, connections_per_tenant: 2, ..EgressPolicy::default() });
    begin(&egress, tenant(1), (0..20).map(|_| silent.url())).await;
    assert_eq!(silent.connections(), 2);
    assert_eq!(fetch(&egress, tenant(1), &willing.url()).await, Err(EgressError::Busy));
    let begun = Instant::now();
    assert_eq!(fetch(&egress, tenant(2), &willing.url()).await.map(|reply| reply.status), Ok(200));
    assert!(begun.elapsed() < Duration::from_millis(400));
}

#[tokio::test]
async fn idle_connections_keep_nobody_out_and_do_not_pile_up() {
    let (egress, _) = egress(EgressPolicy { connections: 2, ..EgressPolicy::default() });
    let mut receivers = Vec::new();
    for _ in 0..6 {
        receivers.push(Receiver::willing().await);
    }
    for receiver in &receivers {
        assert_eq!(fetch(&egress, tenant(1), &receiver.url()).await.map(|reply| reply.status), Ok(200));
    }
    let kept: Vec<bool> = receivers.iter().map(|r| r.received()[0].header("connection").is_none()).collect();
    assert_eq!(kept, [true, true, false, false, false, false]);
    // The first two are used again, and make room as they are.
    for receiver in &receivers[..2] {
        fetch(&egress, tenant(1), &receiver.url()).await.expect("a reply");
        assert_eq!(receiver.connections(), 1);
    }
}

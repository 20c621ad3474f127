//! A host with a connector and a destination, and jobs for it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use rialto_engine::{Connector, Failure, Job, JobEvent};
use rialto_model::{
    DestinationId, ProfileId, TenantId, Timestamp,
    delivery::{Outcome, Verdict},
    destination::{Destination, Secrets},
};
use rialto_plugin::{CallLimits, EgressPolicy, PluginHost, PluginOptions};
use serde_json::{Value, json};

use crate::artifact;

/// When the tests' deliveries happen.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A host whose compiled guests are kept between tests, in the target folder.
pub(crate) fn host(component: &[u8], limits: CallLimits, egress: EgressPolicy) -> PluginHost {
    let kept = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let options = PluginOptions { cache_dir: Some(kept), egress, limits, ..PluginOptions::default() };
    let host = PluginHost::open(options).expect("a host");
    host.install(component).expect("the guest is admitted");
    host
}

/// For a receiver on this machine.
pub(crate) fn local() -> EgressPolicy {
    EgressPolicy { allow_loopback: true, ..EgressPolicy::default() }
}

/// A destination and how it is delivered to.
pub(crate) struct Bench {
    pub(crate) host: PluginHost,
    tenant: TenantId,
    destination: Arc<Destination>,
    secrets: Arc<Secrets>,
}

impl Bench {
    pub(crate) fn new(host: PluginHost, connector: &str, settings: Value, secrets: &[(&str, &str)]) -> Self {
        let secrets = Secrets(secrets.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        let settings: BTreeMap<String, Value> = serde_json::from_value(settings).expect("an object");
        let destination = Destination {
            id: DestinationId::from_parts(1_767_225_600_000, &rand_bytes()),
            name: "here".into(),
            connector: connector.into(),
            settings,
            secrets: secrets.0.keys().cloned().collect(),
            enabled: true,
            created_at: NOW,
            updated_at: NOW,
        };
        let tenant = TenantId::from_parts(1, &[1; 10]);
        Self { host, tenant, destination: Arc::new(destination), secrets: Arc::new(secrets) }
    }

    /// The hostile guest with its ordinary limits, calling a receiver.
    pub(crate) fn hostile(url: &str) -> Self {
        Self::hostile_within(url, CallLimits::default())
    }

    pub(crate) fn hostile_within(url: &str, limits: CallLimits) -> Self {
        Self::new(host(artifact::hostile(), limits, local()), "test/hostile", json!({ "url": url }), &[])
    }

    /// Another tenant's destination on the same host.
    pub(crate) fn of_tenant(&self, number: u8) -> Self {
        let tenant = TenantId::from_parts(1, &[number; 10]);
        let destination =
            Destination { id: DestinationId::from_parts(2, &[number; 10]), ..(*self.destination).clone() };
        let (host, secrets) = (self.host.clone(), Arc::clone(&self.secrets));
        Self { host, tenant, destination: Arc::new(destination), secrets }
    }

    pub(crate) async fn deliver(&self, action: &str, events: Vec<JobEvent>) -> Result<Vec<Outcome>, Failure> {
        self.host
            .deliver(Job {
                tenant_id: self.tenant,
                destination: Arc::clone(&self.destination),
                secrets: Arc::clone(&self.secrets),
                action: action.into(),
                events,
                attempt: 1,
                now: NOW,
            })
            .await
    }

    /// Delivers one event that says nothing.
    pub(crate) async fn one(&self, action: &str) -> Result<Vec<Outcome>, Failure> {
        self.deliver(action, vec![event(1, 1, &json!({}))]).await
    }
}

fn rand_bytes() -> [u8; 10] {
    *uuid::Uuid::from_u128(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos()),
    )
    .as_bytes()
    .last_chunk()
    .expect("ten of sixteen")
}

/// Event `n` of a person.
pub(crate) fn event(n: u32, person: u8, body: &Value) -> JobEvent {
    JobEvent {
        delivery_id: format!("delivery-{n}"),
        order_key: ProfileId::from_parts(1, &[person; 10]),
        body: Bytes::from(body.to_string()),
    }
}

/// The verdicts and codes of outcomes.
pub(crate) fn said(outcomes: &[Outcome]) -> Vec<(Verdict, &str)> {
    outcomes.iter().map(|outcome| (outcome.verdict, outcome.code.as_str())).collect()
}

//! What the sandbox costs: the webhook connector in fresh Wasm instances, through the host's own path but for the
//! network, against the same source compiled to native code.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rialto_engine::{Job, JobEvent};
use rialto_model::destination::{Destination, Secrets};
use rialto_model::{DestinationId, ProfileId, TenantId, Timestamp};
use rialto_plugin::{EgressPolicy, PluginHost, PluginOptions};
use rialto_sdk::bindings::exports::rialto::plugin::destination as guest;
use rialto_sdk::bindings::rialto::plugin::types::{Context, HttpResponse};
use rialto_sdk::executor;
use rialto_webhook::Webhook;
use serde_json::json;

use crate::latency::median;
use crate::machine::processor_time;
use crate::report::{Bar, Figure, amount, say};
use crate::template::{Packing, event_bytes};
use crate::{Bench, Outcome};

const NAME: &str = "wasm";
const BATCH: usize = 100;

/// Nanoseconds of processor time an event, both ways.
pub(crate) fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let options = PluginOptions {
        dirs: vec![bench.places.plugins.clone()],
        egress: EgressPolicy { allow_loopback: true, allow_http: true, ..EgressPolicy::default() },
        ..PluginOptions::default()
    };
    let host = PluginHost::open(options)?;
    let job = job();
    let calls = host.rehearse(job.clone()).map_err(|failure| failure.message)?;
    let length = Duration::from_secs(if bench.quick { 1 } else { 4 });
    let (mut wasm, mut native) = (Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        native.push(nanos_an_event(length, || run_native(&job))?);
        wasm.push(nanos_an_event(length, || Ok(host.rehearse(job.clone()).map(drop).map_err(|f| f.message)?))?);
        say(format!(
            "    round {round}: Wasm {:.0} ns/event, native {:.0} ns/event",
            wasm[round - 1],
            native[round - 1]
        ));
    }
    Ok(vec![
        Figure::new(NAME, format!("webhook connector, batch of {BATCH}, fresh instances"), "ns/event", &wasm)
            .against("the same code native", median(&native))
            .bar(Bar::RatioAtMost(1.8))
            .note(format!(
                "{calls} calls a batch, each in an instance of its own, the host's part but the network included; \
                 {} through one core",
                amount(1e9 / median(&wasm), "events/s")
            )),
    ])
}

fn nanos_an_event(length: Duration, mut batch: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let before = processor_time(std::process::id())?;
    let start = Instant::now();
    let mut events = 0;
    while start.elapsed() < length {
        batch()?;
        events += BATCH;
    }
    let spent = processor_time(std::process::id())?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e9 / events as f64)
}

/// The connector's rounds natively, from the same bytes.
fn run_native(job: &Job) -> Outcome<()> {
    let items = job.events.iter().map(|event| {
        Ok(guest::Item { id: event.delivery_id.clone(), payload: std::str::from_utf8(&event.body)?.to_owned() })
    });
    let events = items.collect::<Outcome<Vec<_>>>()?;
    let wanted = guest::Job { action: "send".to_owned(), events };
    let settings = serde_json::to_string(&job.destination.settings)?;
    let context = Context { now_ms: 1, seed: 1, attempt: 1, settings, ext: Vec::new() };
    let mut step = executor::prepare::<Webhook>(&context, wanted.clone());
    loop {
        match step.map_err(|failure| failure.message)? {
            guest::Step::Done(_) | guest::Step::Send(_) => return Ok(()),
            guest::Step::Call(calls) => {
                let ext = vec![("verdict".to_owned(), "delivered".to_owned())];
                let reply = HttpResponse { status: 200, headers: Vec::new(), body: Vec::new(), ext };
                let replies = calls.requests.iter().map(|_| Ok(reply.clone())).collect();
                let again = calls.replay.then(|| wanted.clone());
                step = executor::resume::<Webhook>(&context, again, &calls.state, replies);
            }
        }
    }
}

fn job() -> Job {
    let now = Timestamp::from_millis(1_772_366_400_000);
    let settings = json!({"url": "http://127.0.0.1:9/bench", "mode": "batch"});
    let destination = Destination {
        id: DestinationId::from_parts(1, &[3; 10]),
        name: "bench".to_owned(),
        connector: "rialto/webhook".to_owned(),
        settings: settings.as_object().cloned().unwrap_or_default().into_iter().collect(),
        secrets: Default::default(),
        enabled: true,
        created_at: now,
        updated_at: now,
    };
    let body = Bytes::from(event_bytes(Packing::Single));
    let event = |n: usize| JobEvent {
        delivery_id: format!("{n:032x}"),
        order_key: ProfileId::from_parts(n as u64, &[5; 10]),
        body: body.clone(),
    };
    Job {
        tenant_id: TenantId::from_parts(1, &[1; 10]),
        destination: Arc::new(destination),
        secrets: Arc::new(Secrets::default()),
        action: "send".to_owned(),
        events: (0..BATCH).map(event).collect(),
        attempt: 1,
        now,
    }
}

//! What the sandbox costs: the same connector code native, and as a component in a fresh instance a batch, over
//! events of about 1.3 kB. Prints one JSON line a batch size, in nanoseconds of processor time an event; build with
//! `--release`. Takes the path of the built guest: `cargo xtask plugins --test-guests` makes
//! target/test-guests/rialto-hostile.wasm, whose action `measure` reads and writes JSON and asks for no request.
#![allow(clippy::print_stdout)]

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use cpu_time::ProcessTime;
use rialto_engine::{Connector, Job, JobEvent};
use rialto_hostile::Hostile;
use rialto_model::{
    DestinationId, ProfileId, TenantId, Timestamp,
    destination::{Destination, Secrets},
};
use rialto_plugin::{CallLimits, PluginHost, PluginOptions};
use rialto_sdk::{
    bindings::{
        exports::rialto::plugin::destination::{Item, Job as GuestJob},
        rialto::plugin::types::Context,
    },
    executor,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

const SETTINGS: &str = r#"{"url":"https://a.example/"}"#;
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn main() -> Result<(), Failure> {
    let path = std::env::args().nth(1).ok_or("usage: wasm_cost <rialto-hostile.wasm> [events]")?;
    let events: usize = std::env::args().nth(2).map_or(Ok(100_000), |n| n.parse())?;
    let limits = CallLimits { time: Duration::from_secs(5), ..CallLimits::default() };
    let host = PluginHost::open(PluginOptions { limits, ..PluginOptions::default() })?;
    host.install(&std::fs::read(path)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for batch in [1, 10, 100] {
        let rounds = (events / batch).max(1);
        let native = cost(rounds * batch, || {
            for _ in 0..rounds {
                black_box(natively(batch));
            }
            Ok(())
        })?;
        let wasm = cost(rounds * batch, || {
            for _ in 0..rounds {
                black_box(runtime.block_on(host.deliver(job(batch)))?);
            }
            Ok(())
        })?;
        let ratio = wasm / native;
        println!("{}", json!({ "batch": batch, "native_ns": native.round(), "wasm_ns": wasm.round(), "ratio": ratio }));
    }
    Ok(())
}

/// Nanoseconds of processor time an event.
fn cost(events: usize, run: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = ProcessTime::now();
    run()?;
    Ok(begun.elapsed().as_nanos() as f64 / events as f64)
}

fn natively(batch: usize) -> bool {
    let events = (0..batch).map(|n| Item { id: format!("delivery-{n}"), payload: event(n).to_string() }).collect();
    let (settings, ext) = (SETTINGS.to_owned(), Vec::new());
    let context = Context { now_ms: 0, seed: 0, attempt: 1, settings, ext };
    executor::prepare::<Hostile>(&context, GuestJob { action: "measure".into(), events }).is_ok()
}

fn job(batch: usize) -> Job {
    thread_local! {
        static PARTS: (Arc<Destination>, Arc<Secrets>) = (Arc::new(destination()), Arc::default());
    }
    let (destination, secrets) = PARTS.with(Clone::clone);
    let events = (0..batch).map(|n| JobEvent {
        delivery_id: format!("delivery-{n}"),
        order_key: ProfileId::from_parts(1, &[1; 10]),
        body: Bytes::from(event(n).to_string()),
    });
    let tenant_id = TenantId::from_parts(1, &[1; 10]);
    Job { tenant_id, destination, secrets, action: "measure".into(), events: events.collect(), attempt: 1, now: NOW }
}

fn destination() -> Destination {
    Destination {
        id: DestinationId::from_parts(1, &[1; 10]),
        name: "measured".into(),
        connector: "test/hostile".into(),
        settings: serde_json::from_str(SETTINGS).unwrap_or_default(),
        secrets: Default::default(),
        enabled: true,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// An order of about 1.3 kB.
fn event(n: usize) -> Value {
    let products: Vec<_> = (0..6)
        .map(|p| json!({ "product_id": format!("prod-{p}"), "sku": format!("SKU-{p}-{n}"), "name": "A mug of stoneware", "price": 18.5, "quantity": 2, "category": "kitchen" }))
        .collect();
    json!({
        "message_id": format!("message-{n}"), "type": "track", "event": "Order Completed", "user_id": format!("user-{n}"),
        "timestamp": "2026-01-01T00:00:00.000Z", "received_at": "2026-01-01T00:00:00.100Z",
        "context": { "library": { "name": "analytics-node", "version": "2.1.0" }, "ip": "198.51.100.7", "userAgent": "Mozilla/5.0 (X11; Linux x86_64)" },
        "properties": { "order_id": format!("order-{n}"), "currency": "EUR", "total": 118.2, "products": products },
    })
}

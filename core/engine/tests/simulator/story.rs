//! What clients send: twenty persons with several devices, shared addresses, late and repeated events.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rialto_engine::accept::{Envelope, Form, Stamp};
use rialto_model::event::Event;
use rialto_model::{SourceId, Timestamp};
use serde_json::{Map, Value, json};

const PERSONS: u32 = 20;

/// Tells events.
#[derive(Default)]
pub(crate) struct Story {
    told: u64,
    /// What was sent before, to be sent again.
    sent: Vec<Value>,
}

impl Story {
    /// A request of a few events, as a client writes it and the hub takes it in.
    pub(crate) fn request(&mut self, rng: &mut StdRng, source_id: SourceId, now: Timestamp) -> Vec<Event> {
        let count = rng.random_range(1..=25);
        let items: Vec<Value> = (0..count)
            .map(|_| match rng.random_bool(0.05) && !self.sent.is_empty() {
                true => self.sent[rng.random_range(0..self.sent.len())].clone(),
                false => {
                    let event = self.event(rng, now);
                    self.sent.push(event.clone());
                    event
                }
            })
            .collect();
        let body = json!({ "batch": items }).to_string();
        let envelope = Envelope::parse(body.as_bytes(), Form::Batch).expect("a batch");
        let stamp =
            Stamp { source_id, now, ip: None, new_id: &mut || unreachable!("every event has its id"), given_id: None };
        envelope.stamp(stamp).expect("events")
    }

    fn event(&mut self, rng: &mut StdRng, now: Timestamp) -> Value {
        self.told += 1;
        let person = rng.random_range(0..PERSONS);
        let mut event = Map::new();
        event.insert("messageId".into(), json!(format!("m{}", self.told)));
        // No two events happened at the same microsecond, so that the last writer is never in doubt.
        let late = Duration::from_millis(if rng.random_bool(0.3) { rng.random_range(0..600_000) } else { 0 });
        let at = Timestamp(
            now.before(late).millis() * 1_000 - 1_000_000 + i64::try_from(self.told % 1_000_000).expect("small"),
        );
        event.insert("timestamp".into(), json!(at));
        let kind = ["track", "track", "identify", "page", "alias"][rng.random_range(0..5)];
        event.insert("type".into(), json!(kind));
        let known = kind == "identify" || kind == "alias" || rng.random_bool(0.4);
        if known {
            event.insert("userId".into(), json!(format!("u{person}")));
        }
        if !known || rng.random_bool(0.7) {
            event.insert("anonymousId".into(), json!(anonymous(rng, person)));
        }
        if kind == "alias" {
            event.insert("previousId".into(), json!(anonymous(rng, person)));
        }
        if kind == "identify" {
            event.insert("traits".into(), traits(rng, person));
        } else if kind == "track" {
            event.insert("event".into(), json!("Bought"));
            let mut properties = json!({"n": rng.random_range(0..100)});
            if rng.random_bool(0.01) {
                properties["poison"] = json!(true);
            }
            event.insert("properties".into(), properties);
        }
        if rng.random_bool(0.05) {
            event.insert("integrations".into(), json!({"All": false, "Everything": rng.random_bool(0.5)}));
        }
        Value::Object(event)
    }
}

/// Mostly one of the person's own three devices; sometimes one that many share, or a value that names nobody.
fn anonymous(rng: &mut StdRng, person: u32) -> String {
    match rng.random_range(0..20) {
        0 => "guest".to_owned(),
        1 => format!("shared{}", rng.random_range(0..3)),
        _ => format!("a{person}-{}", rng.random_range(0..3)),
    }
}

fn traits(rng: &mut StdRng, person: u32) -> Value {
    let mut traits = Map::new();
    for _ in 0..rng.random_range(0..4) {
        let value = match rng.random_range(0..6) {
            0 => Value::Null,
            1 => json!(""),
            n => json!(n * 100 + rng.random_range(0..100)),
        };
        traits.insert(format!("t{}", rng.random_range(0..6)), value);
    }
    if rng.random_bool(0.4) {
        // Two persons of a household share an address.
        traits.insert("email".into(), json!(format!("home{}@example.org", person / 2)));
    }
    Value::Object(traits)
}

//! A connector that does everything a connector can do wrong, and remembers what reached the destination.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rialto_engine::{Connector, Failure, FailureKind, Job, JobEvent};
use rialto_model::DestinationId;
use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::event::Event;
use rialto_model::manifest::Limits;

pub(crate) struct Script(Mutex<Inner>);

/// What reached a destination.
#[derive(Default)]
pub(crate) struct Reached {
    /// Message ids in the order in which they arrived, repeats included.
    pub(crate) arrived: Vec<String>,
    /// Message ids that the connector had nothing to send for.
    pub(crate) skipped: BTreeSet<String>,
    /// Message ids that the destination said it would never take.
    pub(crate) refused: BTreeSet<String>,
    /// Delivery ids, with how often each arrived.
    pub(crate) deliveries: BTreeMap<String, u32>,
    /// Every attempt on an event, told for those who have to find out what went wrong.
    pub(crate) told: BTreeMap<String, Vec<String>>,
}

struct Inner {
    rng: StdRng,
    calm: bool,
    down: HashSet<DestinationId>,
    reached: BTreeMap<DestinationId, Reached>,
    /// Deliveries that arrived at a destination since its lane last came to rest, and may not be written down.
    fresh: BTreeMap<DestinationId, Vec<String>>,
    /// Deliveries that may arrive again: their answer was lost, or the hub crashed before it was written.
    repeatable: BTreeSet<String>,
    failures: u64,
    calls: u64,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Inner {
            rng: StdRng::seed_from_u64(seed),
            calm: false,
            down: HashSet::new(),
            reached: BTreeMap::new(),
            fresh: BTreeMap::new(),
            repeatable: BTreeSet::new(),
            failures: 0,
            calls: 0,
        }))
    }

    /// From now on only poison fails.
    pub(crate) fn calm(&self) {
        let mut inner = self.0.lock();
        inner.calm = true;
        inner.down.clear();
    }

    /// Turns a destination off or on.
    pub(crate) fn toggle(&self, destination: DestinationId) {
        let mut inner = self.0.lock();
        if !inner.down.remove(&destination) {
            inner.down.insert(destination);
        }
    }

    /// A lane has come to rest: what arrived is written down.
    pub(crate) fn rested(&self, destination: DestinationId) {
        self.0.lock().fresh.remove(&destination);
    }

    /// A step of a lane crashed: what arrived may not have been written down.
    pub(crate) fn step_crashed(&self, destination: DestinationId) {
        let mut inner = self.0.lock();
        let fresh = inner.fresh.remove(&destination).unwrap_or_default();
        inner.repeatable.extend(fresh);
    }

    /// The process died, all of its lanes with it.
    pub(crate) fn died(&self) {
        let mut inner = self.0.lock();
        let fresh = std::mem::take(&mut inner.fresh);
        inner.repeatable.extend(fresh.into_values().flatten());
    }

    pub(crate) fn failures(&self) -> u64 {
        self.0.lock().failures
    }

    /// What reached the destinations, and what may have done so twice.
    pub(crate) fn reached(&self) -> (BTreeMap<DestinationId, Reached>, BTreeSet<String>) {
        let mut inner = self.0.lock();
        (std::mem::take(&mut inner.reached), inner.repeatable.clone())
    }
}

#[async_trait]
impl Connector for Script {
    fn limits(&self, connector: &str) -> Option<Limits> {
        (connector == "test/script").then_some(Limits { batch_events: 8, batch_bytes: 1 << 20, concurrency: 4 })
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        assert!((1..=8).contains(&job.events.len()), "a job within the limits");
        let result = self.0.lock().deliver(&job);
        self.0.lock().tell(&job, &result);
        result
    }
}

fn failure(kind: FailureKind, code: &str) -> Failure {
    Failure { kind, code: code.to_owned(), message: "as the script says".to_owned() }
}

fn outcome(verdict: Verdict, code: &str) -> Outcome {
    Outcome { verdict, code: code.to_owned(), message: String::new(), retry_after_ms: None }
}

impl Inner {
    fn deliver(&mut self, job: &Job) -> Result<Vec<Outcome>, Failure> {
        let events: Vec<(Event, bool)> = job.events.iter().map(read).collect();
        if events.iter().any(|(_, poison)| *poison) {
            self.failures += 1;
            return Err(failure(FailureKind::Plugin, "plugin_trap"));
        }
        if self.down.contains(&job.destination.id) {
            self.failures += 1;
            return Err(failure(FailureKind::Retryable, "connect"));
        }
        if !self.calm {
            let dice = self.rng.random_range(0..1000);
            self.failures += u64::from(dice < 80);
            match dice {
                0..20 => return Err(failure(FailureKind::Retryable, "timeout")),
                20..30 => return Err(failure(FailureKind::Plugin, "plugin_deadline")),
                30..40 => {
                    // All of it arrived, and then the code failed.
                    for (one, (event, _)) in job.events.iter().zip(&events) {
                        self.arrive(job.destination.id, one, event);
                        self.repeatable.insert(one.delivery_id.clone());
                    }
                    return Err(failure(FailureKind::Plugin, "plugin_memory"));
                }
                40..50 => return Ok(Vec::new()),
                // Without the hook, which would print it.
                50..60 => std::panic::resume_unwind(Box::new("the script says so")),
                60..65 => return Err(failure(FailureKind::Fatal, "setting_missing")),
                _ => {}
            }
        }
        let mut blocked = HashSet::new();
        Ok(job.events.iter().zip(&events).map(|(one, (event, _))| self.one(job, one, event, &mut blocked)).collect())
    }

    fn one(
        &mut self,
        job: &Job,
        one: &JobEvent,
        event: &Event,
        blocked: &mut HashSet<rialto_model::ProfileId>,
    ) -> Outcome {
        if blocked.contains(&one.order_key) {
            return Outcome::held();
        }
        let dice = if self.calm { 1000 } else { self.rng.random_range(0..1000) };
        match dice {
            0..40 => {
                blocked.insert(one.order_key);
                Outcome { retry_after_ms: (dice < 5).then_some(90_000), ..Outcome::retry("http_503", "busy") }
            }
            40..50 => {
                // It arrived, but the answer was lost.
                self.arrive(job.destination.id, one, event);
                self.repeatable.insert(one.delivery_id.clone());
                blocked.insert(one.order_key);
                Outcome::retry("timeout", "no answer")
            }
            50..55 => {
                blocked.insert(one.order_key);
                outcome(Verdict::Unauthorized, "http_401")
            }
            55..65 => {
                let reached = self.reached.entry(job.destination.id).or_default();
                reached.refused.insert(event.message_id.clone());
                // Some answer with what no database can hold.
                let message = if dice < 58 { "no\0t".to_owned() } else { String::new() };
                Outcome { message, ..outcome(Verdict::Rejected, "http_400") }
            }
            65..75 => {
                let reached = self.reached.entry(job.destination.id).or_default();
                reached.skipped.insert(event.message_id.clone());
                // Some say what no database can hold.
                let message = if dice < 68 { "no\0t".to_owned() } else { String::new() };
                Outcome { message, ..outcome(Verdict::Skipped, "") }
            }
            _ => {
                self.arrive(job.destination.id, one, event);
                outcome(Verdict::Delivered, "http_200")
            }
        }
    }

    fn tell(&mut self, job: &Job, result: &Result<Vec<Outcome>, Failure>) {
        self.calls += 1;
        for (index, one) in job.events.iter().enumerate() {
            let outcome = match result {
                Ok(outcomes) => outcomes.get(index).map(|one| format!("{:?} {}", one.verdict, one.code)),
                Err(failure) => Some(failure.to_string()),
            };
            let said = format!("call {} at {}: {} as {:?}", self.calls, job.now, one.order_key, outcome);
            let reached = self.reached.entry(job.destination.id).or_default();
            reached.told.entry(read(one).0.message_id).or_default().push(said);
        }
    }

    fn arrive(&mut self, destination: DestinationId, one: &JobEvent, event: &Event) {
        let reached = self.reached.entry(destination).or_default();
        reached.arrived.push(event.message_id.clone());
        *reached.deliveries.entry(one.delivery_id.clone()).or_default() += 1;
        self.fresh.entry(destination).or_default().push(one.delivery_id.clone());
    }
}

/// The event, checked to be whole, and whether it is poison.
fn read(one: &JobEvent) -> (Event, bool) {
    let event: Event = serde_json::from_slice(&one.body).expect("the payload is an event");
    let whole: serde_json::Value = serde_json::from_slice(&one.body).expect("the payload is JSON");
    if let Some(id) = whole.get("profile_id") {
        assert!(id.as_str().is_some_and(|id| id.starts_with("prf_")), "the payload says whose it is: {id}");
    }
    let poison = whole.pointer("/properties/poison") == Some(&serde_json::Value::Bool(true));
    (event, poison)
}

//! Sending a window, against scripted connectors.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use rialto_model::{DestinationId, Timestamp};

use super::*;
use crate::clock::ManualClock;
use crate::connector::HELD;

/// Fails on some bodies, and notes what it was asked to deliver.
struct Script {
    limits: Limits,
    traps_on: &'static [u8],
    refuses: &'static [u8],
    calls: Mutex<Vec<Vec<u8>>>,
}

#[async_trait]
impl Connector for Script {
    fn limits(&self, _: &str) -> Option<Limits> {
        Some(self.limits)
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        let marks: Vec<u8> = job.events.iter().map(|event| event.body[0]).collect();
        self.calls.lock().push(marks.clone());
        if marks.iter().any(|mark| self.traps_on.contains(mark)) {
            let message = "unreachable".to_owned();
            return Err(Failure { kind: FailureKind::Plugin, code: "plugin_trap".to_owned(), message });
        }
        let mut blocked = HashSet::new();
        let judge = |(event, mark): (&JobEvent, &u8)| {
            if blocked.contains(&event.order_key) {
                return Outcome::held();
            }
            if self.refuses.contains(mark) {
                blocked.insert(event.order_key);
                return Outcome::retry("http_503", "busy");
            }
            Outcome { verdict: Verdict::Delivered, code: String::new(), message: String::new(), retry_after_ms: None }
        };
        Ok(job.events.iter().zip(&marks).map(judge).collect())
    }
}

fn parcel(position: u64, person: u8, mark: u8) -> Parcel {
    Parcel {
        waiting: Waiting {
            position,
            message_id: format!("m{position}"),
            action: String::new(),
            profile_id: ProfileId::from_parts(1, &[person; 10]),
            delivery_id: format!("d{position}"),
            attempts: 0,
            parked_at: None,
            history: Vec::new(),
        },
        body: Bytes::from(vec![mark]),
    }
}

async fn run(script: Script, parcels: Vec<Parcel>) -> (Arc<Script>, Vec<(u64, Outcome)>) {
    let script = Arc::new(script);
    let now = Timestamp::from_millis(1);
    let target = Target {
        tenant_id: TenantId::from_parts(1, &[1; 10]),
        destination: Arc::new(Destination {
            id: DestinationId::from_parts(1, &[1; 10]),
            name: "d".into(),
            connector: "test/script".into(),
            settings: BTreeMap::new(),
            secrets: Default::default(),
            enabled: true,
            created_at: now,
            updated_at: now,
        }),
        secrets: Arc::default(),
        limits: script.limits,
        connector: Arc::<Script>::clone(&script),
        clock: Arc::new(ManualClock::new(now)),
    };
    let sent = send(&target, parcels).await;
    (script, sent.outcomes.into_iter().map(|(waiting, outcome)| (waiting.position, outcome)).collect())
}

fn script(batch_events: u32, traps_on: &'static [u8], refuses: &'static [u8]) -> Script {
    let limits = Limits { batch_events, batch_bytes: 1 << 20, concurrency: 4 };
    Script { limits, traps_on, refuses, calls: Mutex::default() }
}

#[tokio::test]
async fn the_poison_is_found_and_everyone_else_is_served() {
    let parcels = (1..=64).map(|n| parcel(n, u8::try_from(n).expect("small"), if n == 37 { 9 } else { 0 })).collect();
    let (script, outcomes) = run(script(64, &[9], &[]), parcels).await;
    for (position, outcome) in outcomes {
        let expected = if position == 37 { Verdict::Retry } else { Verdict::Delivered };
        assert_eq!(outcome.verdict, expected, "{position}: {}", outcome.code);
    }
    assert!(script.calls.lock().len() <= 14, "halving, not one by one: {}", script.calls.lock().len());
}

#[tokio::test]
async fn a_connector_that_always_fails_is_not_called_for_every_event() {
    let parcels = (1..=256).map(|n| parcel(n, u8::try_from(n % 250).expect("small"), 9)).collect();
    let (script, outcomes) = run(script(256, &[9], &[]), parcels).await;
    assert!(outcomes.iter().all(|(_, outcome)| outcome.verdict == Verdict::Retry));
    assert!(script.calls.lock().len() < 30, "{}", script.calls.lock().len());
}

#[tokio::test]
async fn what_comes_behind_a_failure_of_its_person_is_held_over_batches_and_halves() {
    let parcels = vec![parcel(1, 1, 8), parcel(2, 2, 0), parcel(3, 1, 0), parcel(4, 1, 0), parcel(5, 2, 0)];
    let (_, outcomes) = run(script(2, &[], &[8]), parcels).await;
    let codes: Vec<(u64, &str)> =
        outcomes.iter().map(|(position, outcome)| (*position, outcome.code.as_str())).collect();
    assert_eq!(codes, [(1, "http_503"), (2, ""), (3, HELD), (4, HELD), (5, "")]);
}

#[tokio::test]
async fn one_person_is_never_in_two_calls_at_once_and_stays_in_order() {
    let parcels =
        (1..=100).map(|n| parcel(n, u8::try_from(n % 3).expect("small"), u8::try_from(n).expect("small"))).collect();
    let (script, outcomes) = run(script(10, &[], &[]), parcels).await;
    assert!(outcomes.iter().all(|(_, outcome)| outcome.verdict == Verdict::Delivered));
    for person in 0..3u8 {
        let seen: Vec<u8> = script.calls.lock().iter().flatten().copied().filter(|mark| mark % 3 == person).collect();
        assert!(seen.is_sorted(), "person {person}: {seen:?}");
    }
}

//! Sending a window: events are split by person into shards that run side by side; within a shard they go in order,
//! in batches. A batch on which the connector fails is halved until the event that breaks it stands alone.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::destination::{Destination, Secrets};
use rialto_model::manifest::Limits;
use rialto_model::{ProfileId, TenantId};

use super::judge::{FAULT_CODES, Waiting};
use crate::clock::Clock;
use crate::connector::{Connector, Failure, FailureKind, Job, JobEvent};

/// After so many single events in a row on which the connector failed, the rest of a shard is left for later.
const FAULTS_IN_A_ROW: u32 = 5;

/// The most calls to one destination at a time, whatever its connector says.
const MAX_CONCURRENCY: u32 = 16;

/// Where a window goes, and by what.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) tenant_id: TenantId,
    pub(super) destination: Arc<Destination>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) limits: Limits,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Target {
    /// How many calls may run at a time.
    pub(super) fn concurrency(&self) -> usize {
        self.limits.concurrency.clamp(1, MAX_CONCURRENCY) as usize
    }

    /// How many events a window may hold.
    pub(super) fn window(&self) -> usize {
        (self.batch_events() * self.concurrency()).clamp(1, 1_000)
    }

    fn batch_events(&self) -> usize {
        self.limits.batch_events.clamp(1, 1_000) as usize
    }
}

/// An event with its payload.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) waiting: Waiting,
    pub(super) body: Bytes,
}

/// A window's outcomes, in the window's order, and a failure that concerns all of it.
pub(super) struct Sent {
    pub(super) outcomes: Vec<(Waiting, Outcome)>,
    pub(super) fatal: Option<Failure>,
}

/// Sends a window and returns one outcome an event.
pub(super) async fn send(target: &Target, parcels: Vec<Parcel>) -> Sent {
    let count = parcels.len();
    let shards = split(parcels, target);
    let mut outcomes: Vec<Option<(Waiting, Outcome)>> = (0..count).map(|_| None).collect();
    let mut fatal = None;
    for done in join_all(shards.into_iter().map(|shard| Shard::new(target, shard).run())).await {
        for (index, waiting, outcome) in done.outcomes {
            outcomes[index] = Some((waiting, outcome));
        }
        fatal = fatal.or(done.fatal);
    }
    Sent { outcomes: outcomes.into_iter().flatten().collect(), fatal }
}

type Numbered = (usize, Parcel);

/// Splits by person; no more shards than there are batches.
fn split(parcels: Vec<Parcel>, target: &Target) -> Vec<Vec<Numbered>> {
    let batches = parcels.len().div_ceil(target.batch_events());
    let count = batches.clamp(1, target.concurrency());
    let mut shards: Vec<Vec<Numbered>> = (0..count).map(|_| Vec::new()).collect();
    // A hasher without a random seed: the same window is split the same way in every run.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    for (index, parcel) in parcels.into_iter().enumerate() {
        let shard = hasher.hash_one(parcel.waiting.profile_id) % count as u64;
        shards[usize::try_from(shard).unwrap_or(0)].push((index, parcel));
    }
    shards
}

struct Shard<'t> {
    target: &'t Target,
    /// What is to be sent, the next part last.
    stack: Vec<Vec<Numbered>>,
    blocked: HashSet<ProfileId>,
    outcomes: Vec<(usize, Waiting, Outcome)>,
    fatal: Option<Failure>,
    faults: u32,
    given_up: bool,
}

impl<'t> Shard<'t> {
    fn new(target: &'t Target, parcels: Vec<Numbered>) -> Self {
        let mut stack = batches(parcels, target);
        stack.reverse();
        Self { target, stack, blocked: HashSet::new(), outcomes: Vec::new(), fatal: None, faults: 0, given_up: false }
    }

    async fn run(mut self) -> Self {
        while let Some(batch) = self.stack.pop() {
            let (batch, held): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .partition(|(_, parcel)| !self.given_up && !self.blocked.contains(&parcel.waiting.profile_id));
            for parcel in held {
                self.settle(parcel, Outcome::held());
            }
            if !batch.is_empty() {
                self.deliver(batch).await;
            }
        }
        self
    }

    async fn deliver(&mut self, batch: Vec<Numbered>) {
        let job = self.job(&batch);
        let delivered = AssertUnwindSafe(self.target.connector.deliver(job)).catch_unwind().await;
        let panicked = |_| {
            let message = "the connector panicked".to_owned();
            Err(Failure { kind: FailureKind::Plugin, code: "plugin_panic".to_owned(), message })
        };
        match delivered.unwrap_or_else(panicked) {
            Ok(outcomes) if outcomes.len() == batch.len() => self.settle_all(batch, outcomes),
            Ok(outcomes) => {
                let message = format!("the connector gave {} outcomes for {} events", outcomes.len(), batch.len());
                self.fault(batch, "plugin_outcomes", message);
            }
            Err(failure) => match failure.kind {
                FailureKind::Plugin => self.fault(batch, &failure.code, failure.message),
                FailureKind::Retryable => {
                    self.given_up = true;
                    for parcel in batch {
                        self.settle(parcel, Outcome::retry(&failure.code, &failure.message));
                    }
                }
                FailureKind::Fatal => {
                    self.given_up = true;
                    self.fatal = Some(failure);
                    for parcel in batch {
                        self.settle(parcel, Outcome::held());
                    }
                }
            },
        }
    }

    fn job(&self, batch: &[Numbered]) -> Job {
        let attempt = batch.iter().map(|(_, parcel)| parcel.waiting.attempts).max().unwrap_or(0) + 1;
        let events = batch.iter().map(|(_, Parcel { waiting, body })| JobEvent {
            delivery_id: waiting.delivery_id.clone(),
            order_key: waiting.profile_id,
            body: body.clone(),
        });
        Job {
            tenant_id: self.target.tenant_id,
            destination: Arc::clone(&self.target.destination),
            secrets: Arc::clone(&self.target.secrets),
            action: batch.first().map(|(_, parcel)| parcel.waiting.action.clone()).unwrap_or_default(),
            events: events.collect(),
            attempt,
            now: self.target.clock.now(),
        }
    }

    fn settle_all(&mut self, batch: Vec<Numbered>, outcomes: Vec<Outcome>) {
        // A batch of which nothing got through, and nothing was judged, says that the next would not either.
        let nothing = outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Retry | Verdict::Unauthorized));
        self.given_up |= nothing && batch.len() > 1;
        self.faults = 0;
        for (parcel, outcome) in batch.into_iter().zip(outcomes) {
            self.settle(parcel, outcome);
        }
    }

    /// The connector failed on a batch: halve it, or, if it is one event, that is the one.
    fn fault(&mut self, mut batch: Vec<Numbered>, code: &str, message: String) {
        if batch.len() > 1 {
            let second = batch.split_off(batch.len() / 2);
            self.stack.push(second);
            self.stack.push(batch);
            return;
        }
        self.faults += 1;
        self.given_up |= self.faults >= FAULTS_IN_A_ROW;
        let code = if code.starts_with(FAULT_CODES) { code.to_owned() } else { format!("{FAULT_CODES}{code}") };
        for parcel in batch {
            self.settle(parcel, Outcome::retry(&code, &message));
        }
    }

    fn settle(&mut self, (index, parcel): Numbered, outcome: Outcome) {
        if matches!(outcome.verdict, Verdict::Retry | Verdict::Unauthorized) {
            self.blocked.insert(parcel.waiting.profile_id);
        }
        self.outcomes.push((index, parcel.waiting, outcome));
    }
}

/// Cuts a shard into batches: one action each, within the connector's limits.
fn batches(parcels: Vec<Numbered>, target: &Target) -> Vec<Vec<Numbered>> {
    let (most, most_bytes) = (target.batch_events(), target.limits.batch_bytes as usize);
    let mut batches: Vec<Vec<Numbered>> = Vec::new();
    let mut bytes = 0;
    for parcel in parcels {
        let size = parcel.1.body.len();
        match batches.last_mut() {
            Some(batch)
                if batch.len() < most
                    && bytes + size <= most_bytes
                    && batch[0].1.waiting.action == parcel.1.waiting.action =>
            {
                bytes += size;
                batch.push(parcel);
            }
            _ => {
                bytes = size;
                batches.push(vec![parcel]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests;

//! A log in memory that behaves as a durable one may: an append that failed may have happened all the same.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rialto_log::{Entry, EventLog, Health, LogError, Tail, Tails, Trimmed};
use rialto_model::{Position, TenantId, Timestamp};

/// One tenant's stream.
pub(crate) struct MemoryLog {
    tenant: TenantId,
    inner: Mutex<Inner>,
    tails: Tails,
}

struct Inner {
    rng: StdRng,
    flaky: bool,
    entries: Vec<Entry>,
    failed: u64,
}

impl MemoryLog {
    pub(crate) fn new(tenant: TenantId, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let inner = Inner { rng, flaky: true, entries: Vec::new(), failed: 0 };
        Self { tenant, inner: Mutex::new(inner), tails: Tails::default() }
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&self) {
        self.inner.lock().flaky = false;
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.inner.lock().entries.clone()
    }

    /// How many appends and reads failed.
    pub(crate) fn failed(&self) -> u64 {
        self.inner.lock().failed
    }

    fn stream(&self, tenant: TenantId) {
        assert_eq!(tenant, self.tenant, "the engine asked for another tenant's stream");
    }
}

fn gone() -> LogError {
    LogError::Unavailable { reason: "the disk is away".to_owned(), source: None }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(
        &self,
        tenant: TenantId,
        now: Timestamp,
        bodies: Vec<Bytes>,
    ) -> Result<RangeInclusive<Position>, LogError> {
        self.stream(tenant);
        let mut inner = self.inner.lock();
        let (fails, happens) = match inner.flaky {
            true => (inner.rng.random_bool(0.06), inner.rng.random_bool(0.5)),
            false => (false, true),
        };
        inner.failed += u64::from(fails);
        if fails && !happens {
            return Err(LogError::Full);
        }
        let first = inner.entries.len() as Position + 1;
        for (index, body) in bodies.into_iter().enumerate() {
            inner.entries.push(Entry { position: first + index as Position, appended_at: now, body });
        }
        let last = inner.entries.len() as Position;
        self.tails.grown(&[(tenant, last)]);
        if fails { Err(gone()) } else { Ok(first..=last) }
    }

    async fn read(
        &self,
        tenant: TenantId,
        after: Position,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.stream(tenant);
        let mut inner = self.inner.lock();
        if inner.flaky && inner.rng.random_bool(0.02) {
            inner.failed += 1;
            return Err(gone());
        }
        let mut bytes = 0;
        let rest = inner.entries.iter().skip(usize::try_from(after).expect("small")).take(limit);
        let within = rest.take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.body.len();
            first || bytes <= max_bytes
        });
        Ok(within.cloned().collect())
    }

    async fn get_many(&self, tenant: TenantId, positions: &[Position]) -> Result<Vec<Entry>, LogError> {
        self.stream(tenant);
        let inner = self.inner.lock();
        let at = |position: &Position| inner.entries.get(usize::try_from(*position).ok()?.checked_sub(1)?).cloned();
        Ok(positions.iter().filter_map(at).collect())
    }

    async fn head(&self, tenant: TenantId) -> Result<Position, LogError> {
        self.stream(tenant);
        Ok(self.inner.lock().entries.len() as Position)
    }

    async fn oldest(&self, _: TenantId) -> Result<Position, LogError> {
        Ok(1)
    }

    fn tail(&self) -> Tail {
        self.tails.subscribe()
    }

    async fn tenants(&self) -> Result<Vec<(TenantId, Position)>, LogError> {
        Ok(vec![(self.tenant, self.inner.lock().entries.len() as Position)])
    }

    async fn trim(&self, _: Timestamp, _: Duration, _: &HashMap<TenantId, Position>) -> Result<Trimmed, LogError> {
        Ok(Trimmed::default())
    }

    async fn erase(&self, _: TenantId, _: &[Position]) -> Result<usize, LogError> {
        unreachable!("the engine never erases")
    }

    async fn drop_tenant(&self, _: TenantId) -> Result<(), LogError> {
        unreachable!("the engine never drops a stream")
    }

    async fn health(&self) -> Health {
        Health { writable: true, reason: None }
    }

    async fn close(&self) {}
}

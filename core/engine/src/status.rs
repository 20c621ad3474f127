//! What the engine counts, for metrics and readiness.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start, over all tenants of this node, and how it stands now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Events made durable.
    pub accepted: u64,
    /// Events processed, duplicates and refused ones among them.
    pub processed: u64,
    /// Events dropped as duplicates.
    pub duplicates: u64,
    /// Events that could not be processed.
    pub refused: u64,
    /// Events of persons who are suppressed, repeats among them.
    pub suppressed: u64,
    /// Merges of two profiles.
    pub merges: u64,
    /// Steps of the processor.
    pub steps: u64,
    /// Steps that were abandoned and tried again.
    pub failed_steps: u64,
    /// Events that a destination took.
    pub delivered: u64,
    /// Events that a connector had nothing to send for.
    pub skipped: u64,
    /// Times that an event was parked.
    pub parked: u64,
    /// Events that were given up.
    pub dead: u64,
    /// Events in the log that wait to be processed, as far as is known.
    pub backlog: u64,
    /// Tenants that have such.
    pub waiting_tenants: u64,
    /// Why processing waits, if the database or the log is not there.
    pub unavailable: Option<String>,
}

/// The processor's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) processed: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) suppressed: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) failed_steps: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

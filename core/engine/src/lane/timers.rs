//! One timer for all lanes: which lane is to be woken when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use rialto_model::{DestinationId, TenantId, Timestamp};
use tokio::sync::Notify;

type Alarm = Reverse<(Timestamp, TenantId, DestinationId)>;

/// A heap of alarms, and one sleeper that takes them.
#[derive(Debug, Default)]
pub(super) struct Timers {
    alarms: Mutex<BinaryHeap<Alarm>>,
    earlier: Notify,
}

impl Timers {
    /// Wakes a lane at a moment.
    pub(super) fn set(&self, at: Timestamp, tenant: TenantId, destination: DestinationId) {
        let mut alarms = self.alarms.lock();
        let first = alarms.peek().is_none_or(|Reverse((first, ..))| at < *first);
        alarms.push(Reverse((at, tenant, destination)));
        drop(alarms);
        if first {
            self.earlier.notify_one();
        }
    }

    /// The lanes whose moment has come; waits for the first. Safe to cancel.
    pub(super) async fn next(&self, clock: &dyn crate::clock::Clock) -> Vec<(TenantId, DestinationId)> {
        loop {
            let first = self.alarms.lock().peek().map(|Reverse((at, ..))| *at);
            match first {
                Some(at) if at <= clock.now() => return self.due(clock.now()),
                Some(at) => {
                    tokio::select! {
                        () = clock.sleep_until(at) => {}
                        () = self.earlier.notified() => {}
                    }
                }
                None => self.earlier.notified().await,
            }
        }
    }

    fn due(&self, now: Timestamp) -> Vec<(TenantId, DestinationId)> {
        let mut alarms = self.alarms.lock();
        let mut due = Vec::new();
        while alarms.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            due.extend(alarms.pop().map(|Reverse((_, tenant, destination))| (tenant, destination)));
        }
        due
    }
}

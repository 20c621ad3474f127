//! A lane's seat in the dispatcher: who may step it, whether it was woken meanwhile, and how it looks from outside.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rialto_model::lane::LaneState;
use rialto_model::{DestinationId, Position, ProfileId, TenantId, Timestamp};

use super::config::LaneConfig;
use super::step::{Lane, Next};

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const WOKEN: u8 = 2;

/// The wait after a step that panicked; doubled with each in a row, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One lane.
pub(super) struct Slot {
    pub(super) tenant: TenantId,
    pub(super) destination: DestinationId,
    lane: tokio::sync::Mutex<Lane>,
    run: AtomicU8,
    refresh: AtomicBool,
    merged: Mutex<Vec<(ProfileId, ProfileId)>>,
    alarm: Mutex<Option<Timestamp>>,
    seen: Mutex<(LaneState, Option<Position>)>,
    /// How many steps in a row panicked.
    panics: AtomicU32,
}

impl Slot {
    pub(super) fn new(tenant: TenantId, destination: DestinationId, lane: Lane) -> Self {
        Self {
            tenant,
            destination,
            lane: tokio::sync::Mutex::new(lane),
            run: AtomicU8::new(IDLE),
            refresh: AtomicBool::new(false),
            merged: Mutex::default(),
            alarm: Mutex::default(),
            seen: Mutex::new((LaneState::Running, None)),
            panics: AtomicU32::new(0),
        }
    }

    /// Makes one step. Two never run at a time.
    pub(super) async fn step(&self, config: &LaneConfig) -> Next {
        let mut lane = self.lane.lock().await;
        if self.refresh.swap(false, Ordering::AcqRel) {
            lane.refresh();
        }
        let merged = std::mem::take(&mut *self.merged.lock());
        lane.merged(&merged);
        let next = lane.step(config).await;
        *self.seen.lock() = (lane.state(), lane.cursor());
        self.panics.store(0, Ordering::Release);
        next
    }

    /// Writes down how far it has come: no step follows for now.
    pub(super) async fn flush(&self) {
        self.lane.lock().await.end().await;
    }

    /// A step panicked: nothing that it held can be trusted. Until when the lane is to rest.
    pub(super) fn panicked(&self, now: Timestamp) -> Timestamp {
        self.refresh();
        let before = self.panics.fetch_add(1, Ordering::AcqRel);
        let until = now.after(FIRST_WAIT.saturating_mul(1 << before.min(10)).min(LONGEST_WAIT));
        *self.seen.lock() = (LaneState::HubUnavailable { until }, None);
        until
    }

    /// Whether it is in a step, or about to make one.
    pub(super) fn is_busy(&self) -> bool {
        self.run.load(Ordering::Acquire) != IDLE || self.lane.try_lock().is_err()
    }

    /// Marks it woken; true if the caller has to run it.
    pub(super) fn wake(&self) -> bool {
        self.run
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(if now == IDLE { RUNNING } else { WOKEN }))
            .is_ok_and(|before| before == IDLE)
    }

    /// The runner is done; true if it has to go on, for the lane was woken meanwhile.
    pub(super) fn rest(&self) -> bool {
        let woken = self.run.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err();
        if woken {
            self.run.store(RUNNING, Ordering::Release);
        }
        woken
    }

    /// At the next step, everything is read again.
    pub(super) fn refresh(&self) {
        self.refresh.store(true, Ordering::Release);
    }

    /// Tells of merges before the next step.
    pub(super) fn merged(&self, absorbed: &[(ProfileId, ProfileId)]) {
        if !absorbed.is_empty() {
            self.merged.lock().extend_from_slice(absorbed);
        }
    }

    /// Whether an alarm at `at` is news: none is set that comes as early.
    pub(super) fn set_alarm(&self, at: Timestamp, now: Timestamp) -> bool {
        let mut alarm = self.alarm.lock();
        let news = alarm.is_none_or(|set| at < set || set <= now);
        if news {
            *alarm = Some(at);
        }
        news
    }

    /// Whether it reads what comes in, or is about to: one that has not stepped yet is.
    pub(super) fn moves(&self) -> bool {
        self.seen.lock().0 == LaneState::Running
    }

    /// How it goes, and how far it is.
    pub(super) fn seen(&self) -> (LaneState, Option<Position>) {
        self.seen.lock().clone()
    }
}

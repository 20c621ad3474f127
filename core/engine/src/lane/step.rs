//! One step of a lane: what is due again first, then the next window. The cursor moves in one transaction with what
//! is parked, skipped and given up; nothing is written for an event that simply went through.

mod record;
mod save;
mod tell;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rialto_model::delivery::Parked;
use rialto_model::lane::LaneState;
use rialto_model::{DestinationId, Position, ProfileId, Timestamp};
use rialto_store::{StoreError, TenantScope};

use self::save::Saving;
use super::config::LaneConfig;
use super::feed::Feed;
use super::health::Health;
use super::judge::{Judged, Waiting};
use super::send::{Parcel, Target, send};
use super::window::{ReadError, Reader, Window};
use super::{LaneParts, MAX_PARKED};
use crate::faults::{Crash, Point};

/// A cursor that moved past nothing of its own is written this often, not at every step.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The wait after the hub's own database or log failed.
const HUB_WAIT: Duration = Duration::from_millis(500);
/// How many parked deliveries one step tries again.
const RETRIES: usize = 200;
/// Of so few persons what waits behind is tried in the same step.
const CHAINS: usize = 10;

/// What to do with a lane after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    Again,
    /// Nothing to do before this moment, unless it is woken; with none, only when it is woken.
    Wait(Option<Timestamp>),
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Crash(#[from] Crash),
    /// What came of events cannot be written down, whatever is left out of it.
    #[error("what came of deliveries cannot be written down: {0}")]
    Unwritable(StoreError),
}

/// One destination of one tenant.
pub(super) struct Lane {
    parts: Arc<LaneParts>,
    scope: TenantScope,
    feed: Arc<Feed>,
    destination: DestinationId,
    memory: Option<Memory>,
    saving: Option<Saving>,
    /// What is in memory is to be read again.
    stale: bool,
    health: Health,
    state: LaneState,
}

/// What a lane holds between steps; read again after any failure.
struct Memory {
    /// Everything up to here is done with.
    cursor: Position,
    /// Where the cursor stands in the store.
    saved: Position,
    saved_at: Timestamp,
    /// How many events went through that no write of the cursor tells of, not even one that is under way.
    unsaved: u64,
    /// Persons of whom something is parked.
    held: HashSet<ProfileId>,
    next_due: Option<Timestamp>,
    parked: u64,
}

impl Memory {
    /// Who held the one back holds back the other.
    fn merge<'m>(&mut self, absorbed: impl Iterator<Item = (&'m ProfileId, &'m ProfileId)>) {
        for (gone, survivor) in absorbed {
            if self.held.remove(gone) {
                self.held.insert(*survivor);
            }
        }
    }
}

impl Lane {
    pub(super) fn new(parts: Arc<LaneParts>, scope: TenantScope, feed: Arc<Feed>, destination: DestinationId) -> Self {
        Self {
            parts,
            scope,
            feed,
            destination,
            memory: None,
            saving: None,
            stale: false,
            health: Health::default(),
            state: LaneState::Running,
        }
    }

    /// How it goes.
    pub(super) fn state(&self) -> LaneState {
        self.state.clone()
    }

    /// All events up to here are done with; `None` before the first step.
    pub(super) fn cursor(&self) -> Option<Position> {
        self.memory.as_ref().map(|memory| memory.cursor)
    }

    /// Someone changed something: look again at what was read before, and try at once.
    pub(super) fn refresh(&mut self) {
        self.stale = true;
        self.health = Health::default();
    }

    /// Two persons became one: who held the one back holds back the other.
    pub(super) fn merged(&mut self, absorbed: &[(ProfileId, ProfileId)]) {
        if let Some(memory) = &mut self.memory {
            memory.merge(absorbed.iter().map(|(gone, survivor)| (gone, survivor)));
        }
    }

    /// Makes one step.
    pub(super) async fn step(&mut self, config: &LaneConfig) -> Next {
        let now = self.parts.clock.now();
        let stepped = match self.try_step(config, now).await {
            // It may be long until the next one.
            Ok(next @ Next::Wait(_)) => self.flush(self.parts.clock.now()).await.map(|()| next),
            other => other,
        };
        match stepped {
            Ok(next) => next,
            Err(StepError::Store(StoreError::Fenced) | StepError::Crash(_)) => {
                self.memory = None;
                Next::Again
            }
            Err(error) => {
                // What went through did so whatever went wrong since, and need not be sent again.
                self.end().await;
                self.failed(error, now)
            }
        }
    }

    fn failed(&mut self, error: StepError, now: Timestamp) -> Next {
        match error {
            StepError::Store(StoreError::NotFound { .. }) => {
                self.memory = None;
                Next::Wait(None)
            }
            StepError::Unwritable(error) => {
                tracing::error!(tenant = %self.scope.tenant_id(), destination = %self.destination, %error, "lane stops");
                self.memory = None;
                self.health.unwritable(now, &error.to_string());
                self.state = self.health.state();
                Next::Wait(self.health.closed_until(now))
            }
            error => {
                let until = now.after(HUB_WAIT);
                tracing::warn!(tenant = %self.scope.tenant_id(), destination = %self.destination, %error, "lane waits");
                self.memory = None;
                self.state = LaneState::HubUnavailable { until };
                Next::Wait(Some(until))
            }
        }
    }

    async fn try_step(&mut self, config: &LaneConfig, now: Timestamp) -> Result<Next, StepError> {
        let target = match self.target(config) {
            Ok(target) => target,
            Err(state) => {
                self.state = state;
                return Ok(Next::Wait(None));
            }
        };
        if std::mem::take(&mut self.stale) {
            self.flush(now).await?;
            self.memory = None;
        }
        if self.memory.is_none() {
            // Else it would be read from before what a failed step has left behind.
            if let Err(error @ StepError::Crash(_)) = self.saved().await {
                return Err(error);
            }
            self.memory = Some(self.load(now).await?);
        }
        if let Some(until) = self.health.closed_until(now) {
            self.state = self.health.state();
            return Ok(Next::Wait(Some(until)));
        }
        let (due, parked) = self.memory.as_ref().map_or((None, 0), |memory| (memory.next_due, memory.parked));
        if due.is_some_and(|due| due <= now) {
            self.flush(now).await?;
            if self.retry(&target, now).await? {
                self.state = self.health.state();
                return Ok(Next::Again);
            }
        }
        if parked >= MAX_PARKED {
            self.state = LaneState::Full { parked };
            return Ok(Next::Wait(due));
        }
        let next = self.forward(&target, now).await?;
        self.state = self.health.state();
        Ok(next)
    }

    fn target(&self, config: &LaneConfig) -> Result<Target, LaneState> {
        if !config.enabled {
            return Err(LaneState::Disabled);
        }
        let connector = &self.parts.connector;
        let limits = connector.limits(&config.destination.connector).ok_or(LaneState::NoConnector)?;
        Ok(Target {
            tenant_id: self.scope.tenant_id(),
            destination: Arc::clone(&config.destination),
            secrets: Arc::clone(&config.secrets),
            limits,
            connector: Arc::clone(connector),
            clock: Arc::clone(&self.parts.clock),
        })
    }

    async fn load(&self, now: Timestamp) -> Result<Memory, StepError> {
        let _quiet = self.feed.merges.read().await;
        let lane = self.scope.lane(self.destination).await?;
        Ok(Memory {
            cursor: lane.cursor,
            saved: lane.cursor,
            saved_at: now,
            unsaved: 0,
            held: if lane.parked == 0 { HashSet::new() } else { self.scope.held_profiles(self.destination).await? },
            next_due: if lane.parked == 0 { None } else { self.scope.next_due(self.destination).await? },
            parked: lane.parked,
        })
    }

    fn reader(&self) -> Reader<'_> {
        Reader { scope: &self.scope, log: &*self.parts.log, feed: &self.feed, destination: self.destination }
    }

    /// Tries again what is due; false if nothing was, after all.
    async fn retry(&mut self, target: &Target, now: Timestamp) -> Result<bool, StepError> {
        let most = if self.health.is_open() { RETRIES.min(target.window()) } else { 1 };
        let mut due = self.scope.due(self.destination, now, most).await?;
        let found = !due.is_empty();
        if (1..=CHAINS).contains(&due.len()) && most > 1 {
            due = self.with_those_behind(due, most).await?;
        }
        let (parcels, lost) = self.reader().fetch(due.into_iter().map(Waiting::from).collect()).await?;
        self.parts.faults.reach(Point::BeforeDeliver)?;
        let sent = send(target, parcels).await;
        self.parts.faults.reach(Point::AfterDeliver)?;
        let now = self.parts.clock.now();
        let judged = self.judge(now, sent, Vec::new(), lost);
        if found {
            self.settle(&judged, now).await?;
            self.parts.faults.reach(Point::AfterCommitLane)?;
            self.tell(now, &judged);
        }
        let _quiet = self.feed.merges.read().await;
        let lane = self.scope.lane(self.destination).await?;
        let held = self.scope.held_profiles(self.destination).await?;
        let next_due = self.scope.next_due(self.destination).await?;
        if let Some(memory) = &mut self.memory {
            (memory.held, memory.next_due, memory.parked) = (held, next_due, lane.parked);
        }
        Ok(found)
    }

    /// The events that wait behind those that are due, so that a person of whom much waits is done with in a few
    /// steps and not in one for each.
    async fn with_those_behind(&self, due: Vec<Parked>, most: usize) -> Result<Vec<Parked>, StepError> {
        let each = most / due.len();
        let mut all = Vec::with_capacity(most);
        for head in due {
            let behind = self.scope.held_behind(self.destination, head.profile_id, each.saturating_sub(1)).await?;
            all.push(head);
            all.extend(behind);
        }
        Ok(each_once(all))
    }

    /// Delivers the next window.
    async fn forward(&mut self, target: &Target, now: Timestamp) -> Result<Next, StepError> {
        let Some(memory) = &self.memory else { return Ok(Next::Again) };
        let probing = !self.health.is_open();
        let most = if probing { 1 } else { target.window() };
        let window = self.reader().next(memory.cursor, most, &memory.held).await?;
        let Some(memory) = &mut self.memory else { return Ok(Next::Again) };
        memory.merge(window.canonical.iter());
        if window.parcels.is_empty() && window.lost.is_empty() {
            return self.pass_by(window, now).await;
        }
        let (behind, parcels): (Vec<Parcel>, Vec<Parcel>) =
            window.parcels.into_iter().partition(|parcel| memory.held.contains(&parcel.waiting.profile_id));
        self.parts.faults.reach(Point::BeforeDeliver)?;
        let sent = send(target, parcels).await;
        self.parts.faults.reach(Point::AfterDeliver)?;
        let now = self.parts.clock.now();
        let judged = self.judge(now, sent, behind, window.lost);
        let went_through = !(judged.delivered.is_empty() && judged.skipped.is_empty() && judged.dead.is_empty());
        if let Some(until) = self.health.closed_until(now).filter(|_| !went_through && !probing) {
            // Nothing got through and nothing was written: the whole window stays where it is, in order.
            return Ok(Next::Wait(Some(until)));
        }
        if judged.all_went_through() {
            self.passed(window.to, judged, now).await?;
        } else {
            self.commit(window.to, judged, now).await?;
        }
        Ok(Next::Again)
    }

    /// A window without anything for this destination: move on, and write that down only now and then.
    async fn pass_by(&mut self, window: Window, now: Timestamp) -> Result<Next, StepError> {
        let Some(memory) = &mut self.memory else { return Ok(Next::Again) };
        memory.cursor = window.to.max(memory.cursor);
        if !window.any {
            self.flush(now).await?;
        }
        let Some(memory) = &mut self.memory else { return Ok(Next::Again) };
        if memory.cursor > memory.saved && now.since(memory.saved_at) >= SAVE_EVERY {
            let to = memory.cursor;
            self.commit(to, Judged::default(), now).await?;
        }
        let Some(memory) = &self.memory else { return Ok(Next::Again) };
        if window.any {
            return Ok(Next::Again);
        }
        let save = (memory.cursor > memory.saved).then(|| memory.saved_at.after(SAVE_EVERY));
        Ok(Next::Wait([save, memory.next_due].into_iter().flatten().min()))
    }
}

/// Deliveries in the order of the stream. Two that are due may be of one person, and what waits behind the one waits
/// behind the other: it must not go out twice.
fn each_once(mut parked: Vec<Parked>) -> Vec<Parked> {
    parked.sort_by(|a, b| (a.position, &a.action).cmp(&(b.position, &b.action)));
    parked.dedup_by(|a, b| (a.position, &a.action) == (b.position, &b.action));
    parked
}

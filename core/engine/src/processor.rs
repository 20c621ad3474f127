//! The processor: one tenant's stream, in order, in micro-batches, each written in one transaction.
//!
//! A batch takes what has come in since the last one: under load it fills itself, with a moment's wait for company;
//! when little comes in nothing waits.

mod owned;
mod poison;
mod repeats;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use rialto_log::EventLog;
use rialto_model::decision::{RouteVerdict, TimelineEntry};
use rialto_model::live::LiveEvent;
use rialto_model::{Position, TenantId};
use rialto_store::{Store, StoreError};

use crate::clock::Clock;
use crate::config::Config;
use crate::error::EngineError;
use crate::faults::{Faults, Point};
use crate::lane::{Dispatcher, Ready, Witness};
use crate::live::Live;
use crate::status::{Counters, count};
use crate::step::{Decided, Incoming, Step, read, wanted};
use crate::turns::Turn;
use owned::{Owned, State};
use poison::Sick;

/// The most events of a step.
const MAX_EVENTS: usize = 1_000;
/// A tenant that was processed a moment ago waits this long for more events to come, unless many have: a step of
/// few events costs nearly as much as one of many. Who has few events at all never waits.
const COMPANY: Duration = Duration::from_millis(10);
/// So many events are company enough.
const ENOUGH: u64 = 500;
/// How many of the hub's own events are put into the stream at once.
const RELAY: usize = 500;
/// How many tenants are kept at hand.
const MAX_OWNED: usize = 1_024;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// How many events it processed; 0 if none waited.
    pub events: usize,
    /// What it cost, in bytes of events and a little for each.
    pub cost: usize,
    /// Up to where the tenant's events are processed now.
    pub to: Position,
}

/// Processes the tenants of this node.
pub(crate) struct Processor {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Arc<dyn Faults>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) live: Arc<Live>,
    pub(crate) counters: Counters,
    pub(crate) tenants: Mutex<LruCache<TenantId, Arc<Owned>>>,
    /// Bytes of persons in memory, over all tenants, and how many there may be.
    pub(crate) cached: AtomicUsize,
    pub(crate) cache_bytes: usize,
}

impl Processor {
    /// Processes the next events of a tenant, at most about `bytes` of them.
    ///
    /// # Errors
    /// What the store or the log did not do. Nothing of the step counts then.
    pub(crate) async fn step(&self, tenant: TenantId, bytes: usize) -> Result<Stepped, EngineError> {
        let owned = self.owned(tenant);
        let mut state = owned.state.lock().await;
        let cached = state.people.bytes();
        let result = loop {
            match self.try_step(&owned, &mut state, bytes).await {
                Err(Trouble::Sick(sick)) => {
                    state.reset();
                    poison::isolate(&mut state, sick, tenant);
                }
                Err(Trouble::Engine(error)) => {
                    state.reset();
                    break Err(error);
                }
                Ok(stepped) => break Ok(stepped),
            }
        };
        let now_cached = state.people.bytes();
        if result.as_ref().is_ok_and(|stepped| stepped.events > 0) {
            owned.stepped(state.position);
        }
        drop(state);
        self.cached.fetch_add(now_cached, Ordering::Relaxed);
        self.cached.fetch_sub(cached, Ordering::Relaxed);
        self.make_room(&owned);
        count(if result.is_ok() { &self.counters.steps } else { &self.counters.failed_steps }, 1);
        result
    }

    /// How long a turn is to wait for more events before it is taken.
    pub(crate) fn company(&self, turn: &Turn) -> Duration {
        let last = self.owned(turn.tenant).last_step();
        last.map_or(Duration::ZERO, |(ended, position)| company(turn.head.saturating_sub(position), ended.elapsed()))
    }

    async fn try_step(&self, owned: &Owned, state: &mut State, bytes: usize) -> Result<Stepped, Trouble> {
        let tenant = owned.scope.tenant_id();
        let from = self.look(owned, state).await?;
        let Some(config) = state.config.clone() else { return Ok(Stepped { events: 0, cost: 0, to: from }) };
        let entries = self.log.read(tenant, from, state.most, bytes).await.map_err(EngineError::from)?;
        if entries.is_empty() {
            self.relay(owned, state).await?;
            return Ok(Stepped { events: 0, cost: 0, to: from });
        }
        let cost = entries.iter().map(|entry| entry.body.len() + 256).sum();
        let incoming: Vec<Incoming> = entries
            .into_iter()
            .map(|entry| {
                let refuse = state.refuse.get(&entry.position).cloned();
                read(entry, &config, refuse)
            })
            .collect();
        let events = incoming.len();
        let decided = self.decide(owned, state, &config, from, incoming).await?;
        let to = decided.write.to;
        let merging = match decided.write.absorbed.is_empty() {
            true => None,
            false => Some(self.dispatcher.merging(tenant).await),
        };
        self.commit(owned, state, &decided).await?;
        state.recovered(to, MAX_EVENTS);
        self.tell(tenant, &decided);
        self.feed(tenant, decided);
        drop(merging);
        self.relay(owned, state).await?;
        Ok(Stepped { events, cost, to })
    }

    /// Where the tenant stands, with its configuration as it is now.
    async fn look(&self, owned: &Owned, state: &mut State) -> Result<Position, EngineError> {
        let heads = owned.scope.heads().await?;
        if state.position != Some(heads.processor) {
            // The first step, or another owner was at work: nothing that is in memory can be trusted.
            state.reset();
            state.position = Some(heads.processor);
            self.dispatcher.unsure(owned.scope.tenant_id());
        }
        if state.config.as_ref().is_none_or(|config| config.version != heads.config_version) {
            let given = owned.scope.config().await?;
            self.dispatcher.configure(owned.scope.tenant_id(), &given);
            state.config = Some(Arc::new(Config::new(given)));
            self.dispatcher.wake_tenant(owned.scope.tenant_id());
        }
        Ok(heads.processor)
    }

    async fn decide(
        &self,
        owned: &Owned,
        state: &mut State,
        config: &Config,
        from: Position,
        incoming: Vec<Incoming>,
    ) -> Result<Decided, Trouble> {
        let wanted = wanted(&incoming, &state.people);
        let mut loaded = owned.scope.load(&wanted).await.map_err(|error| sick_or(error, &incoming))?;
        let asked = wanted.profile_ids.iter();
        let aliases = asked.filter_map(|id| loaded.profiles.get(id).map(|profile| (*id, profile.id))).collect();
        let repeats = repeats::repeats(&owned.scope, &incoming, &loaded.seen, wanted.dedupe_since).await;
        let repeats = repeats.map_err(|error| sick_or(error, &incoming))?;
        for (_, profile) in loaded.profiles.drain() {
            state.people.learn(profile);
        }
        let step = Step {
            tenant: owned.scope.tenant_id(),
            config,
            people: &mut state.people,
            repeats,
            aliases,
            now: self.clock.now(),
        };
        Ok(step.decide(from, incoming))
    }

    async fn commit(&self, owned: &Owned, state: &mut State, decided: &Decided) -> Result<(), Trouble> {
        self.faults.reach(Point::BeforeCommitStep).map_err(EngineError::from)?;
        let written = owned.scope.commit_step(&decided.write).await;
        written.map_err(|error| match error {
            StoreError::Poison { message_id, reason } => {
                Trouble::Sick(Sick::of_rows(&decided.write, message_id, reason))
            }
            other => Trouble::Engine(other.into()),
        })?;
        self.faults.reach(Point::AfterCommitStep).map_err(EngineError::from)?;
        state.position = Some(decided.write.to);
        state.outbox |= !decided.write.outbox.is_empty();
        state.people.committed(self.cache_bytes / 8);
        count(&self.counters.processed, decided.bodies.len() as u64);
        count(&self.counters.duplicates, decided.duplicates);
        count(&self.counters.refused, decided.refused);
        count(&self.counters.merges, decided.write.merges.len() as u64);
        Ok(())
    }

    fn feed(&self, tenant: TenantId, decided: Decided) {
        let Decided { write, bodies, .. } = decided;
        let ready = |(entry, body): (TimelineEntry, Bytes)| Ready { entry: Arc::new(entry), body };
        let ready = write.timeline.into_iter().zip(bodies).map(ready).collect();
        self.dispatcher.fed(tenant, ready, write.to, &write.absorbed);
    }

    fn tell(&self, tenant: TenantId, decided: &Decided) {
        if !self.live.listens(tenant) {
            return;
        }
        for entry in &decided.write.timeline {
            let taken = entry.decision.routes.iter().filter(|route| route.verdict == RouteVerdict::Taken);
            self.live.saw(
                tenant,
                LiveEvent::Decided {
                    at: decided.write.now,
                    position: entry.position,
                    message_id: entry.message_id.clone(),
                    profile_id: entry.profile_id,
                    duplicate: entry.decision.duplicate_of.is_some(),
                    destinations: taken.map(|route| route.destination_id).collect(),
                },
            );
        }
    }

    /// Puts what steps had to say into the stream. A crash between log and outbox says it twice, and the second is
    /// dropped as a duplicate.
    async fn relay(&self, owned: &Owned, state: &mut State) -> Result<(), EngineError> {
        while state.outbox {
            let said = owned.scope.outbox(RELAY).await?;
            state.outbox = said.len() == RELAY;
            if said.is_empty() {
                return Ok(());
            }
            let (ids, bodies) = said.into_iter().map(|one| (one.message_id, Bytes::from(one.body))).unzip();
            let ids: Vec<String> = ids;
            let appended = self.log.append(owned.scope.tenant_id(), self.clock.now(), bodies).await;
            // Stays true on failure: the next step tries again.
            state.outbox |= appended.is_err();
            appended?;
            self.faults.reach(Point::AfterRelay)?;
            owned.scope.outbox_done(&ids).await?;
        }
        Ok(())
    }
}

/// How long to wait when `waiting` events wait and the last step ended `rested` ago.
fn company(waiting: u64, rested: Duration) -> Duration {
    if waiting >= ENOUGH { Duration::ZERO } else { COMPANY.saturating_sub(rested) }
}

/// Why a step was not made.
enum Trouble {
    /// Some event of it cannot be stored.
    Sick(Sick),
    Engine(EngineError),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

fn sick_or(error: StoreError, incoming: &[Incoming]) -> Trouble {
    match error {
        StoreError::Poison { message_id, reason } => {
            let ids =
                incoming.iter().map(|one| (one.position, one.read.as_ref().ok().map(|(e, _)| e.message_id.as_str())));
            Trouble::Sick(Sick::new(ids, message_id, reason))
        }
        other => Trouble::Engine(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_just_processed_and_has_little_waits_for_company() {
        assert_eq!(company(1, COMPANY * 3), Duration::ZERO, "an event now and then goes at once");
        assert_eq!(company(ENOUGH, Duration::ZERO), Duration::ZERO, "enough have come");
        assert_eq!(company(ENOUGH - 1, COMPANY / 4), COMPANY * 3 / 4);
    }
}

//! The processor: one tenant's stream, in order, in micro-batches, each written in one transaction.
//!
//! A batch takes what has come in since the last one: under load it fills itself, with a moment's wait for company;
//! when little comes in nothing waits.

mod ahead;
mod known;
mod owned;
mod poison;
mod repeats;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use rialto_log::{Entry, EventLog};
use rialto_model::decision::{RouteVerdict, TimelineEntry};
use rialto_model::live::LiveEvent;
use rialto_model::{Position, TenantId};
use rialto_store::{Loaded, Store, Wanted};

use crate::clock::Clock;
use crate::config::Config;
use crate::error::EngineError;
use crate::faults::{Faults, Point};
use crate::lane::{Dispatcher, Merging, Ready, Witness};
use crate::live::Live;
use crate::status::{Counters, count};
use crate::step::{Decided, Fresh, Incoming, Step, read};
use crate::turns::Turn;
use ahead::{Ahead, Plan};
use owned::{Owned, State};
use trouble::Trouble;

/// The most events of a step.
const MAX_EVENTS: usize = 4_000;
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
    /// So many events have to wait for a step to be read ahead.
    pub(crate) read_ahead_from: u64,
    /// The most bytes of persons' documents that a step of several events reads.
    pub(crate) step_bytes: usize,
    /// Bytes of events that are read ahead, and of their persons, over all tenants.
    pub(crate) ahead: Arc<AtomicUsize>,
}

impl Processor {
    /// Processes the next events of a tenant, at most about `bytes` of them.
    ///
    /// # Errors
    /// What the store or the log did not do. Nothing of the step counts then.
    pub(crate) async fn step(&self, tenant: TenantId, bytes: usize) -> Result<Stepped, EngineError> {
        let owned = self.owned(tenant);
        let mut state = owned.state.lock().await;
        let result = loop {
            match self.try_step(&owned, &mut state, bytes).await {
                Err(Trouble::Sick(sick)) => {
                    state.reset();
                    if let Err(error) = poison::isolate(&mut state, sick, tenant) {
                        break Err(error);
                    }
                }
                Err(Trouble::Large(events)) => state.most = (events / 2).max(1),
                Err(Trouble::Engine(error)) => {
                    state.reset();
                    break Err(error);
                }
                Ok(stepped) => break Ok(stepped),
            }
        };
        self.account(&owned, state.people.bytes());
        if result.as_ref().is_ok_and(|stepped| stepped.events > 0) {
            owned.stepped(state.position);
        }
        drop(state);
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
        let ahead = state.ahead.take().filter(|ahead| state.refuse.is_empty() && ahead.fits(from, &config));
        let (incoming, known) = match ahead {
            Some(Ahead { incoming, wanted, loaded, .. }) => (incoming, loaded.map(|loaded| (wanted, loaded))),
            None => {
                let entries = self.log.read(tenant, from, state.most, bytes).await.map_err(EngineError::from)?;
                (read_all(entries, &config, |position| state.refuse.get(&position).cloned()), None)
            }
        };
        if incoming.is_empty() {
            self.relay(owned, state).await?;
            return Ok(Stepped { events: 0, cost: 0, to: from });
        }
        if let Some(first) = incoming.first().filter(|first| first.position > from + 1) {
            self.missed(tenant, from, first.position).await;
        }
        let came = incoming.len();
        let mut decided = self.decide(owned, state, &config, from, incoming, known).await?;
        let (to, events) = (decided.write.to, decided.bodies.len());
        let cost = decided.bodies.iter().map(|body| body.len() + 256).sum();
        if events < came {
            // What was read in vain has to be read again.
            state.most = events;
        }
        let merging = match decided.write.absorbed.is_empty() {
            true => None,
            false => Some(self.dispatcher.merging(tenant).await),
        };
        let plan = Plan {
            scope: &owned.scope,
            config: &config,
            after: to,
            most: state.most,
            bytes,
            ask: decided.write.absorbed.is_empty(),
        };
        let look_ahead =
            async { if state.refuse.is_empty() { self.look_ahead(plan, &state.people).await } else { None } };
        let (committed, ahead) = tokio::join!(self.commit(owned, &decided), look_ahead);
        committed?;
        self.committed(state, &decided);
        state.before = if ahead.is_some() { std::mem::take(&mut decided.fresh) } else { Fresh::new() };
        state.ahead = ahead;
        state.recovered(to, if events < came { events } else { MAX_EVENTS });
        self.tell(tenant, &decided);
        self.feed(tenant, decided);
        merging.into_iter().for_each(Merging::told);
        self.relay(owned, state).await?;
        Ok(Stepped { events, cost, to })
    }

    /// Says so when events were trimmed that nobody had processed. Those that were erased are missing by right.
    async fn missed(&self, tenant: TenantId, from: Position, next: Position) {
        if self.log.oldest(tenant).await.is_ok_and(|oldest| oldest > from + 1) {
            tracing::error!(%tenant, from, next, "events left the log before they were processed");
        }
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
        known: Option<(Wanted, Loaded)>,
    ) -> Result<Decided, Trouble> {
        let (wanted, mut loaded) = self.known(owned, &state.people, config, &incoming, known).await?;
        let repeats = repeats::repeats(&owned.scope, &incoming, &loaded.seen, wanted.dedupe_since).await;
        let repeats = repeats.map_err(|error| Trouble::of_reading(error, &incoming))?;
        for (_, profile) in loaded.profiles.drain() {
            state.people.learn(profile);
        }
        let step = Step {
            tenant: owned.scope.tenant_id(),
            config,
            people: &mut state.people,
            repeats,
            before: std::mem::take(&mut state.before),
            aliases: loaded.aliases,
            suppressions: loaded.suppressed,
            now: self.clock.now(),
        };
        Ok(step.decide(from, incoming))
    }

    async fn commit(&self, owned: &Owned, decided: &Decided) -> Result<(), Trouble> {
        self.faults.reach(Point::BeforeCommitStep).map_err(EngineError::from)?;
        let written = owned.scope.commit_step(&decided.write).await;
        written.map_err(|error| Trouble::of_write(error, &decided.write))?;
        Ok(self.faults.reach(Point::AfterCommitStep).map_err(EngineError::from)?)
    }

    fn committed(&self, state: &mut State, decided: &Decided) {
        state.position = Some(decided.write.to);
        state.outbox |= !decided.write.outbox.is_empty();
        state.people.committed(self.cache_bytes / 2);
        count(&self.counters.processed, decided.bodies.len() as u64);
        count(&self.counters.duplicates, decided.duplicates);
        count(&self.counters.refused, decided.refused);
        count(&self.counters.suppressed, decided.suppressed);
        count(&self.counters.merges, decided.write.merges.len() as u64);
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

/// Reads entries by a tenant's rules.
fn read_all(
    entries: Vec<Entry>,
    config: &Config,
    refuse: impl Fn(Position) -> Option<(String, bool)>,
) -> Vec<Incoming> {
    let read = |entry: Entry| {
        let refuse = refuse(entry.position);
        read(entry, config, refuse)
    };
    entries.into_iter().map(read).collect()
}

/// How long to wait when `waiting` events wait and the last step ended `rested` ago.
fn company(waiting: u64, rested: Duration) -> Duration {
    if waiting >= ENOUGH { Duration::ZERO } else { COMPANY.saturating_sub(rested) }
}

#[cfg(test)]
mod tests;

//! One run: a tenant, its clients, its destinations, and a hub that keeps crashing.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rialto_engine::clock::{Clock as _, ManualClock};
use rialto_engine::lane::Next;
use rialto_engine::{Engine, EngineError, EngineOptions, EngineParts};
use rialto_model::page::PageRequest;
use rialto_model::source::Source;
use rialto_model::{DestinationId, Position, TenantId, Timestamp};
use rialto_store::{DeliveryFilter, DestinationChange, NewDestination, NewRoute, Store, TenantScope, WriteGrant};
use serde_json::json;

use crate::connector::Script;
use crate::fault::Dice;
use crate::log::MemoryLog;
use crate::story::Story;

/// All that waits, in bytes.
const WHOLE: usize = 4 << 20;
/// Where there is little memory: bytes of persons that stay between steps, some of the twenty,
const CACHE: usize = 8_000;
/// and bytes of their documents that a step reads.
const STEP: usize = 4_000;

const START: Timestamp = Timestamp::from_millis(1_769_860_800_000);
/// How much happens before the world calms down.
const DEEDS: u32 = 110;
/// After so many rounds it has to have come to rest.
const PATIENCE: u32 = 6_000;
/// The order of so many pairs of events has to be looked at in a seed, on average.
const ORDERED: u64 = 3_000;

pub(crate) struct World {
    rng: StdRng,
    store: Store,
    pub(crate) scope: TenantScope,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) script: Arc<Script>,
    dice: Arc<Dice>,
    clock: Arc<ManualClock>,
    engine: Engine,
    /// How the engine runs, and every one after it.
    options: EngineOptions,
    story: Story,
    pub(crate) sources: Vec<Source>,
    /// Takes all; takes purchases of 50 and more; takes what the first source sends.
    pub(crate) destinations: [DestinationId; 3],
    /// Message ids that the client was told are safe.
    pub(crate) acknowledged: Vec<String>,
    /// What was tried again after it had been given up: at which destination, which event.
    pub(crate) redriven: Vec<(usize, Position)>,
    tally: Tally,
}

/// What happened, over all seeds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) duplicates: u64,
    pub(crate) merges: u64,
    pub(crate) crashes: u64,
    pub(crate) lane_crashes: u64,
    pub(crate) restarts: u64,
    pub(crate) log_failures: u64,
    pub(crate) connector_failures: u64,
    pub(crate) repeats: u64,
    pub(crate) dead: u64,
    pub(crate) delivered: u64,
    pub(crate) redriven: u64,
    /// Pairs of events of one person whose order at a destination was looked at.
    pub(crate) ordered: u64,
    /// How many seeds that was over.
    pub(crate) seeds: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            events,
            duplicates,
            merges,
            crashes,
            lane_crashes,
            restarts,
            log_failures,
            connector_failures,
            repeats,
            dead,
            delivered,
            redriven,
            ordered,
            seeds,
        } = other;
        self.events += events;
        self.duplicates += duplicates;
        self.merges += merges;
        self.crashes += crashes;
        self.lane_crashes += lane_crashes;
        self.restarts += restarts;
        self.log_failures += log_failures;
        self.connector_failures += connector_failures;
        self.repeats += repeats;
        self.dead += dead;
        self.delivered += delivered;
        self.redriven += redriven;
        self.ordered += ordered;
        self.seeds += seeds;
    }

    /// A simulation in which nothing goes wrong shows nothing.
    pub(crate) fn assert_everything_happened(&self) {
        let Self {
            events,
            duplicates,
            merges,
            crashes,
            lane_crashes,
            restarts,
            log_failures,
            connector_failures,
            repeats,
            dead,
            delivered,
            redriven,
            ordered,
            seeds,
        } = self;
        for count in [
            events,
            duplicates,
            merges,
            crashes,
            lane_crashes,
            restarts,
            log_failures,
            connector_failures,
            repeats,
            dead,
            delivered,
            redriven,
        ] {
            assert!(*count > 0, "something never happened: {self:?}");
        }
        assert!(*ordered >= ORDERED * seeds, "the order of too little was looked at: {self:?}");
    }
}

impl World {
    pub(crate) async fn new(store: &Store, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // Of the seed too, for other ids follow from it.
        let id = TenantId::from_parts(seed, &rng.random());
        let operator = store.operator();
        let tenant = operator.create_tenant_as(id, &format!("sim-{seed}"), "Simulated", START).await.expect("a tenant");
        let scope = store.lease(tenant.id);
        let sources = vec![
            scope.create_source("web", START).await.expect("a source"),
            scope.create_source("app", START).await.expect("a source"),
        ];
        let mut destinations = Vec::new();
        for name in ["Everything", "Purchases", "Web"] {
            let new = NewDestination {
                name: name.to_owned(),
                connector: "test/script".to_owned(),
                settings: Default::default(),
                secrets: Default::default(),
                enabled: true,
            };
            let destination = scope.create_destination(new, START).await.expect("a destination");
            let condition = (name == "Purchases").then(
                || json!({"all": [{"field": "event.type", "eq": "track"}, {"field": "event.properties.n", "gte": 50}]}),
            );
            let route = NewRoute {
                name: name.to_owned(),
                source_id: (name == "Web").then_some(sources[0].id),
                destination_id: destination.id,
                action: None,
                condition: condition.map(|condition| serde_json::from_value(condition).expect("a condition")),
                enabled: true,
            };
            scope.create_route(route, START).await.expect("a route");
            destinations.push(destination.id);
        }
        let log = Arc::new(MemoryLog::new(tenant.id, rng.random()));
        let (script, dice) = (Arc::new(Script::new(rng.random())), Dice::new(rng.random()));
        let clock = Arc::new(ManualClock::new(START));
        let options = options(seed, &dice);
        let engine = engine(store, &log, &script, &options, &clock);
        Self {
            rng,
            store: store.clone(),
            scope,
            log,
            script,
            dice,
            clock,
            engine,
            options,
            story: Story::default(),
            sources,
            destinations: destinations.try_into().expect("three"),
            acknowledged: Vec::new(),
            redriven: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Lives through the seed and comes to rest; then everything has to be right.
    pub(crate) async fn run(mut self) -> Result<Tally, String> {
        for _ in 0..DEEDS {
            match self.rng.random_range(0..100) {
                0..35 => self.send().await,
                35..55 => self.process().await?,
                55..85 => {
                    let which = self.rng.random_range(0..3);
                    self.dispatch(which).await?;
                }
                85..91 => self.pass_time(),
                91..93 => self.restart(),
                93..95 => self.script.toggle(self.destinations[self.rng.random_range(0..3)]),
                95..97 => self.disable_or_enable().await,
                97..99 => self.redrive().await,
                _ => self.retry_something().await,
            }
        }
        self.come_to_rest().await?;
        let mut tally = std::mem::take(&mut self.tally);
        tally.seeds = 1;
        tally.log_failures = self.log.failed();
        tally.connector_failures = self.script.failures();
        crate::check::check(&self, &mut tally).await?;
        Ok(tally)
    }

    async fn send(&mut self) {
        let source = self.sources[self.rng.random_range(0..2)].clone();
        let events = self.story.request(&mut self.rng, source.id, self.clock.now());
        let ids: Vec<String> = events.iter().map(|event| event.message_id.clone()).collect();
        let grant = WriteGrant { tenant_id: self.scope.tenant_id(), source, quota: Default::default() };
        // A client that was refused sends the same again, whether it was kept or not.
        for _ in 0..10 {
            if self.engine.accept(&grant, events.clone()).await.is_ok() {
                self.acknowledged.extend(ids);
                return;
            }
        }
    }

    async fn process(&mut self) -> Result<(), String> {
        // Small ones leave something, which is then read ahead.
        let bytes = if self.rng.random_ratio(3, 4) { self.rng.random_range(1..6_000) } else { WHOLE };
        let result = self.engine.process(self.scope.tenant_id(), bytes).await;
        self.tally.crashes += self.dice.take().len() as u64;
        match result {
            Ok(_) | Err(EngineError::Crashed(_) | EngineError::Log(_)) => Ok(()),
            Err(error) => Err(format!("a step failed for no reason: {error:?}")),
        }
    }

    /// One step of a lane; when it would go on.
    async fn dispatch(&mut self, which: usize) -> Result<Next, String> {
        let destination = self.destinations[which];
        let next = self.engine.dispatch(self.scope.tenant_id(), destination).await;
        let struck = self.dice.take().len() as u64;
        if struck > 0 {
            self.tally.lane_crashes += struck;
            self.script.step_crashed(destination);
        } else if matches!(next, Ok(Next::Wait(_))) {
            self.script.rested(destination);
        }
        next.map_err(|error| format!("a lane failed for no reason: {error:?}"))
    }

    fn pass_time(&mut self) {
        let millis = match self.rng.random_range(0..30) {
            0 => 25 * 3_600_000,
            1..6 => self.rng.random_range(60_000..600_000),
            _ => self.rng.random_range(1..10_000),
        };
        self.clock.advance(Duration::from_millis(millis));
    }

    /// The process dies and another one begins: whatever was in memory is gone.
    fn restart(&mut self) {
        self.tally.restarts += 1;
        self.script.died();
        self.engine = engine(&self.store, &self.log, &self.script, &self.options, &self.clock);
    }

    async fn disable_or_enable(&mut self) {
        let id = self.destinations[self.rng.random_range(0..3)];
        let enabled = self.scope.destination(id).await.expect("is there").enabled;
        self.enable(id, !enabled).await;
    }

    async fn enable(&mut self, id: DestinationId, enabled: bool) {
        let change = DestinationChange { enabled: Some(enabled), ..DestinationChange::default() };
        self.scope.update_destination(id, change, None, self.clock.now()).await.expect("is changed");
        self.engine.config_changed(self.scope.tenant_id());
    }

    /// Somebody looks through the inbox and tries one again.
    async fn redrive(&mut self) {
        let mut letters = self.scope.dead_letters(&DeliveryFilter::default(), &all()).await.expect("a page").items;
        letters.sort_by_key(|letter| (letter.position, self.place(letter.destination_id)));
        if let Some(letter) = letters.first() {
            self.scope.redrive(letter.id, self.clock.now()).await.expect("is parked again");
            self.engine.wake_lane(self.scope.tenant_id(), letter.destination_id);
            self.redriven.push((self.place(letter.destination_id), letter.position));
            self.tally.redriven += 1;
        }
    }

    async fn retry_something(&mut self) {
        let mut parked = self.scope.parked(&DeliveryFilter::default(), &all()).await.expect("a page").items;
        parked.sort_by_key(|one| (one.position, self.place(one.destination_id)));
        if let Some(one) = parked.first() {
            let now = self.clock.now();
            // Refused for one that waits behind another.
            let _ = self.scope.retry_parked(one.destination_id, one.position, &one.action, now).await;
            self.engine.wake_lane(self.scope.tenant_id(), one.destination_id);
        }
    }

    fn place(&self, destination: DestinationId) -> usize {
        self.destinations.iter().position(|id| *id == destination).expect("one of the three")
    }

    /// Nothing fails any more but poison: everything has to be done with, sooner or later.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.dice.disarm();
        self.log.calm();
        self.script.calm();
        for id in self.destinations {
            self.enable(id, true).await;
        }
        for _ in 0..PATIENCE {
            let stepped =
                self.engine.process(self.scope.tenant_id(), WHOLE).await.map_err(|error| error.to_string())?;
            let mut wake: Option<Timestamp> = None;
            let head = self.log.entries().len() as u64;
            let mut busy = stepped.to < head;
            for which in 0..3 {
                match self.dispatch(which).await? {
                    Next::Again => busy = true,
                    Next::Wait(until) => wake = [wake, until].into_iter().flatten().min(),
                }
            }
            if busy {
                continue;
            }
            let lanes = self.scope.lanes().await.map_err(|error| error.to_string())?;
            if lanes.iter().all(|lane| lane.parked == 0 && lane.cursor == head) {
                return Ok(());
            }
            match wake {
                Some(at) => self.clock.advance_to(at),
                None => {
                    let states = self.destinations.map(|id| self.engine.lane_state(self.scope.tenant_id(), id));
                    return Err(format!("nothing moves and nobody waits: {lanes:?}, {states:?}, head {head}"));
                }
            }
        }
        let lanes = self.scope.lanes().await.map_err(|error| error.to_string())?;
        Err(format!("it does not come to rest: {lanes:?}"))
    }
}

fn all() -> PageRequest {
    PageRequest { limit: Some(200), after: None }
}

/// Every other seed has so little memory that persons come and go with every step, and steps fall short for them.
fn options(seed: u64, dice: &Arc<Dice>) -> EngineOptions {
    let options = EngineOptions { faults: Arc::<Dice>::clone(dice), read_ahead_from: 1, ..EngineOptions::default() };
    match seed.is_multiple_of(2) {
        true => EngineOptions { cache_bytes: 2 * CACHE, step_bytes: STEP, ..options },
        false => options,
    }
}

fn engine(
    store: &Store,
    log: &Arc<MemoryLog>,
    script: &Arc<Script>,
    options: &EngineOptions,
    clock: &Arc<ManualClock>,
) -> Engine {
    Engine::by_hand(EngineParts {
        log: Arc::<MemoryLog>::clone(log),
        store: store.clone(),
        connector: Arc::<Script>::clone(script),
        clock: Arc::<ManualClock>::clone(clock),
        options: options.clone(),
    })
}

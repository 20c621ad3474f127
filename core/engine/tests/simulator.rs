//! The seeded simulator: a real store, a log that loses and repeats, connectors that fail in every way, crashes
//! around every effect, and events that come late, twice and out of order. Whatever the seed, the end has to be right.
//!
//! `RIALTO_SIM_SEEDS` says how many seeds are run; a seed that fails prints itself and is run again alone by
//! `RIALTO_SIM_SEED=<seed>`.

#![allow(clippy::print_stdout, reason = "what was skipped and what happened is for the one who runs the tests")]

#[path = "simulator/check.rs"]
mod check;
#[path = "simulator/connector.rs"]
mod connector;
#[path = "simulator/database.rs"]
mod database;
#[path = "simulator/fault.rs"]
mod fault;
#[path = "simulator/log.rs"]
mod log;
#[path = "simulator/reference.rs"]
mod reference;
#[path = "simulator/story.rs"]
mod story;
#[path = "simulator/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rialto_store::Store;
use world::{Tally, World};

/// How many seeds are run where nothing else is said; on PostgreSQL a tenth of them.
const SEEDS: u64 = 200;
/// How many run side by side.
const LANES: usize = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Runs seeds on a store and adds up what happened, so that a simulator that simulates nothing is noticed.
async fn run(store: Store, database: &'static str, seeds: std::ops::Range<u64>) {
    let (next, end) = (Arc::new(AtomicU64::new(seeds.start)), seeds.end);
    let runners: Vec<_> = (0..LANES)
        .map(|_| {
            let (store, next) = (store.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return tally;
                    }
                    match World::new(&store, seed).await.run().await {
                        Ok(more) => tally.add(&more),
                        Err(fault) => panic!(
                            "seed {seed} on {database}: {fault}\nagain with: RIALTO_SIM_SEED={seed} cargo test -p rialto-engine --test simulator"
                        ),
                    }
                }
            })
        })
        .collect();
    let mut tally = Tally::default();
    for runner in runners {
        match runner.await {
            Ok(more) => tally.add(&more),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    println!("{database}: {} seeds, {tally:?}", end - seeds.start);
    if end - seeds.start >= 100 {
        tally.assert_everything_happened();
    }
    store.close().await;
}

fn seeds(share: u64) -> std::ops::Range<u64> {
    match number("RIALTO_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RIALTO_SIM_SEEDS").unwrap_or(SEEDS).div_ceil(share),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_right_on_sqlite() {
    let database = database::sqlite().await;
    run(database.store.clone(), "SQLite", seeds(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_right_on_postgresql() {
    let Some(database) = database::postgres("the_end_is_right_on_postgresql").await else { return };
    run(database.store.clone(), "PostgreSQL", seeds(10)).await;
    database.drop().await;
}

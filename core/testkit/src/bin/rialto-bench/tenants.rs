//! What tenants cost: the same events spread over ever more of them; ten thousand that lie idle; and starting up
//! with a thousand.

use std::time::Duration;

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::load::{self, Plan, Until};
use crate::machine::Footprint;
use crate::receiver::{Receiver, now_micros};
use crate::report::{Bar, Figure, amount, say};
use crate::template::Packing;
use crate::{Bench, Outcome};

/// Throughput over 10, 100, 1,000 and 10,000 tenants of one hub, a webhook each.
pub(crate) async fn spread(bench: &Bench) -> Outcome<Vec<Figure>> {
    const NAME: &str = "tenants";
    let events: u64 = if bench.quick { 40_000 } else { 200_000 };
    let steps: &[usize] = if bench.quick { &[10, 100, 1_000] } else { &[10, 100, 1_000, 10_000] };
    let data = bench.places.fresh(NAME)?;
    let hub = Hub::start(&bench.places, &data).await?;
    let mut receiver = Receiver::start().await?;
    let fleet = Fleet::of(hub.address, &data, Some(receiver.address)).await?;
    let (mut rates, mut figures, mut first) = (Vec::new(), Vec::new(), 0);
    for &tenants in steps {
        fleet.grow(tenants).await?;
        let mut rounds = Vec::new();
        for round in 1..=bench.rounds {
            hub.settle().await?;
            receiver.reset().await?;
            let before = hub.processor_time()?;
            let start = now_micros();
            let sent = load::run(spread_plan(&hub, &fleet, tenants, events, first)).await?;
            first += sent.events;
            let tally = receiver.wait_for(sent.events).await?;
            let wall = Duration::from_micros(tally.last_moment.saturating_sub(start)).as_secs_f64();
            let spent = hub.processor_time()?.saturating_sub(before).as_secs_f64() * 1e6 / sent.events as f64;
            rounds.push(sent.events as f64 / wall);
            say(format!(
                "    {tenants} tenants, round {round}: {} ({}, {:.1} events a delivery, put off {})",
                amount(sent.events as f64 / wall, "events/s"),
                amount(spent, "µs/event"),
                sent.events as f64 / tally.requests as f64,
                sent.put_off,
            ));
        }
        let figure =
            Figure::new(NAME, format!("{events} events over {tenants} tenants, end to end"), "events/s", &rounds);
        rates.push(figure.value);
        figures.push(figure);
    }
    hub.stop().await?;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = rates.iter().copied().fold(0.0, f64::max);
    figures.push(
        Figure::new(NAME, "the slowest of these against the fastest", "events/s", &[slowest])
            .against("the fastest", fastest)
            .bar(Bar::RatioAtLeast(0.8))
            .note("20 events a request at every step, round robin over the tenants; RudderStack: 0.12"),
    );
    Ok(figures)
}

fn spread_plan(hub: &Hub, fleet: &Fleet, tenants: usize, events: u64, first: u64) -> Plan {
    Plan {
        address: hub.address,
        keys: fleet.keys(tenants),
        clients: 16,
        packing: Packing::Batch(20),
        persons: 20_000,
        first,
        until: Until::Events(events),
        pace: None,
    }
}

/// Memory, threads and wake-ups with 10,000 idle tenants, and how long the start with 1,000 takes.
pub(crate) async fn idle(bench: &Bench) -> Outcome<Vec<Figure>> {
    const NAME: &str = "idle";
    let many = if bench.quick { 2_000 } else { 10_000 };
    let data = bench.places.fresh(NAME)?;
    let hub = Hub::start(&bench.places, &data).await?;
    let receiver = Receiver::start().await?;
    let fleet = Fleet::of(hub.address, &data, Some(receiver.address)).await?;
    fleet.grow(1).await?;
    let alone = watch(&hub).await?;
    fleet.grow(1_000).await?;
    hub.stop().await?;
    let mut starts = Vec::new();
    for round in 1..=bench.rounds.max(5) {
        let hub = Hub::start(&bench.places, &data).await?;
        starts.push(hub.ready_in.as_secs_f64());
        say(format!("    start {round} with 1,000 tenants: ready in {:.3} s", hub.ready_in.as_secs_f64()));
        hub.stop().await?;
    }
    let hub = Hub::start(&bench.places, &data).await?;
    let fleet = fleet.moved_to(hub.address);
    fleet.grow(many).await?;
    let made = watch(&hub).await?;
    hub.stop().await?;
    let hub = Hub::start(&bench.places, &data).await?;
    let again = hub.ready_in;
    let started = watch(&hub).await?;
    hub.stop().await?;
    Ok(idle_figures(NAME, many, &starts, again, [alone, made, started]))
}

/// What a hub holds at rest and how often it wakes.
#[derive(Clone, Copy)]
struct Rest {
    footprint: Footprint,
    wakes_a_second: f64,
    /// Share of one core.
    busy: f64,
}

async fn watch(hub: &Hub) -> Outcome<Rest> {
    hub.settle().await?;
    let length = Duration::from_secs(10);
    let (before, spent) = (hub.footprint()?, hub.processor_time()?);
    tokio::time::sleep(length).await;
    let footprint = hub.footprint()?;
    let wakes = footprint.sleeps.saturating_sub(before.sleeps);
    let busy = hub.processor_time()?.saturating_sub(spent).as_secs_f64() / length.as_secs_f64();
    Ok(Rest { footprint, wakes_a_second: wakes as f64 / length.as_secs_f64(), busy })
}

fn idle_figures(
    name: &'static str,
    many: usize,
    starts: &[f64],
    again: Duration,
    [alone, made, started]: [Rest; 3],
) -> Vec<Figure> {
    const MB: f64 = 1e6;
    let memory = |rest: Rest| rest.footprint.resident as f64 / MB;
    vec![
        Figure::new(name, "start to ready, embedded, 1,000 tenants", "s", starts)
            .bar(Bar::AtMost(1.0))
            .note(format!("with {many} tenants {:.2} s", again.as_secs_f64())),
        Figure::new(name, format!("{many} idle tenants, resident memory after a start"), "MB", &[memory(started)])
            .bar(Bar::AtMost(300.0))
            .note(format!(
                "{} not backed by files; just after making them all {}; with 1 tenant {}",
                amount(started.footprint.anonymous as f64 / MB, "MB"),
                amount(memory(made), "MB"),
                amount(memory(alone), "MB"),
            )),
        Figure::new(name, format!("{many} idle tenants, threads"), "threads", &[started.footprint.threads as f64])
            .against("with 1 tenant", alone.footprint.threads as f64)
            .bar(Bar::RatioAtMost(2.0)),
        Figure::new(name, format!("{many} idle tenants, wake-ups"), "wakes/s", &[started.wakes_a_second])
            .against("with 1 tenant", alone.wakes_a_second)
            .bar(Bar::RatioAtMost(2.0))
            .note(format!(
                "a timer a tenant would show here; {:.2} % of a core, with 1 tenant {:.2} %",
                started.busy * 100.0,
                alone.busy * 100.0
            )),
    ]
}

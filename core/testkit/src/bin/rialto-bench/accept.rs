//! Accepting: from the client's bytes to a durable event and its 200, against a raw file on the same disk.

use std::time::Duration;

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::latency::median;
use crate::load::{self, Plan, Sent, Until};
use crate::raw_file;
use crate::report::{Bar, Figure, amount, say};
use crate::template::Packing;
use crate::{Bench, Outcome};

const NAME: &str = "accept";

/// One way to send.
struct Shape {
    what: &'static str,
    clients: usize,
    packing: Packing,
    bar: f64,
}

const SHAPES: [Shape; 2] = [
    Shape { what: "accept, 1 event a request, 64 clients", clients: 64, packing: Packing::Single, bar: 0.5 },
    Shape { what: "accept, batches of 100, 16 clients", clients: 16, packing: Packing::Batch(100), bar: 0.4 },
];

/// What the rounds of one shape gave.
#[derive(Default)]
struct Rounds {
    hub: Vec<f64>,
    hub_micros: Vec<f64>,
    sender_micros: Vec<f64>,
    file: Vec<f64>,
    file_micros: Vec<f64>,
    p99: Vec<f64>,
    put_off: u64,
}

/// What the hub does beside accepting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// Nothing: events wait in the log.
    Nothing,
    /// All that it always does: it makes profiles of what comes in at the same time.
    Processing,
}

/// Measures accepting: what the way in can do by itself, and what is left of that while the same two cores process
/// what came in.
pub(crate) async fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let mut figures = Vec::new();
    for beside in [Beside::Nothing, Beside::Processing] {
        let mut places = bench.places.clone();
        if beside == Beside::Nothing {
            places.settings.push(("RIALTO__ENGINE__PROCESSING".to_owned(), "false".to_owned()));
        }
        let data = bench.places.fresh(NAME)?;
        let hub = Hub::start(&places, &data).await?;
        let fleet = Fleet::of(hub.address, &data, None).await?;
        fleet.grow(1).await?;
        let mut first = 0;
        for shape in &SHAPES {
            let rounds = measure_shape(bench, &hub, &fleet, shape, &mut first).await?;
            figures.extend(figures_of(shape, beside, &rounds));
            if shape.packing == Packing::Single && beside == Beside::Nothing {
                figures.push(half_load(bench, &hub, &fleet, shape, median(&rounds.hub), &mut first).await?);
            }
        }
        hub.stop().await?;
    }
    Ok(figures)
}

fn figures_of(shape: &Shape, beside: Beside, rounds: &Rounds) -> Vec<Figure> {
    let what = match beside {
        Beside::Nothing => shape.what.to_owned(),
        Beside::Processing => format!("{}, while processing them", shape.what),
    };
    let bar = if beside == Beside::Nothing { Bar::RatioAtLeast(shape.bar) } else { Bar::None };
    let rate = Figure::new(NAME, &what, "events/s", &rounds.hub)
        .against("raw file, same group commit", median(&rounds.file))
        .bar(bar)
        .note(format!("p99 {} at full load; put off {}", amount(median(&rounds.p99), "ms"), rounds.put_off));
    let spent = Figure::new(NAME, format!("{what}: processor time"), "µs/event", &rounds.hub_micros)
        .against("raw file, producers and all", median(&rounds.file_micros))
        .note(format!("the hub alone; the generator took {}", amount(median(&rounds.sender_micros), "µs/event")));
    vec![rate, spent]
}

async fn measure_shape(bench: &Bench, hub: &Hub, fleet: &Fleet, shape: &Shape, first: &mut u64) -> Outcome<Rounds> {
    let length = Duration::from_secs(if bench.quick { 2 } else { 6 });
    let mut rounds = Rounds::default();
    send(hub, fleet, shape, first, Duration::from_millis(500), None).await?;
    for round in 1..=bench.rounds {
        let file = raw_file::run(&bench.places.scratch, shape.clients, shape.packing, length).await?;
        hub.settle().await?;
        let recording = bench.profiled(hub, round)?;
        let before = (hub.processor_time()?, crate::machine::processor_time(std::process::id())?);
        let mut sent = send(hub, fleet, shape, first, length, None).await?;
        let per_event = |spent: Duration| spent.as_secs_f64() * 1e6 / sent.events as f64;
        let spent = per_event(hub.processor_time()?.saturating_sub(before.0));
        rounds.hub_micros.push(spent);
        let sender = crate::machine::processor_time(std::process::id())?.saturating_sub(before.1);
        rounds.sender_micros.push(per_event(sender));
        bench.tell_profile(recording, &format!("{NAME}-{}", shape.packing.events()))?;
        rounds.hub.push(sent.rate());
        rounds.file.push(file.rate);
        rounds.file_micros.push(file.micros);
        rounds.p99.push(sent.latencies.per_mille(990));
        rounds.put_off += sent.put_off;
        say(format!(
            "    {}, round {round}: {} ({}), raw file {} ({})",
            shape.what,
            amount(sent.rate(), "events/s"),
            amount(spent, "µs/event"),
            amount(file.rate, "events/s"),
            amount(file.micros, "µs/event"),
        ));
    }
    Ok(rounds)
}

/// The latency at half of the load that was just reached, by due times.
async fn half_load(
    bench: &Bench,
    hub: &Hub,
    fleet: &Fleet,
    shape: &Shape,
    full: f64,
    first: &mut u64,
) -> Outcome<Figure> {
    let length = Duration::from_secs(if bench.quick { 3 } else { 10 });
    let (mut p99, mut p50, mut rate) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=bench.rounds {
        hub.settle().await?;
        let mut sent = send(hub, fleet, shape, first, length, Some(full / 2.0)).await?;
        p99.push(sent.latencies.per_mille(990));
        p50.push(sent.latencies.per_mille(500));
        rate.push(sent.rate());
        let longest = sent.latencies.per_mille(1_000);
        say(format!(
            "    half load, round {round}: p50 {}, p99 {}, longest {} at {}",
            amount(sent.latencies.per_mille(500), "ms"),
            amount(sent.latencies.per_mille(990), "ms"),
            amount(longest, "ms"),
            amount(sent.rate(), "events/s"),
        ));
    }
    Ok(Figure::new(NAME, "accept latency p99 at half that load", "ms", &p99).bar(Bar::AtMost(25.0)).note(format!(
        "p50 {}; open loop at {}, from due times, which a timer of 1 ms adds to",
        amount(median(&p50), "ms"),
        amount(median(&rate), "events/s"),
    )))
}

async fn send(
    hub: &Hub,
    fleet: &Fleet,
    shape: &Shape,
    first: &mut u64,
    length: Duration,
    pace: Option<f64>,
) -> Outcome<Sent> {
    let plan = Plan {
        address: hub.address,
        keys: fleet.keys(1),
        clients: shape.clients,
        packing: shape.packing,
        persons: 20_000,
        first: *first,
        until: Until::Elapsed(length),
        pace,
    };
    let sent = load::run(plan).await?;
    *first += sent.events;
    Ok(sent)
}

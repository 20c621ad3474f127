//! The whole way, one tenant: accept → profile → one route → the Wasm webhook connector → HTTP in batches.

use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::hub::Hub;
use crate::latency::median;
use crate::load::{self, Plan, Until};
use crate::machine::processor_time;
use crate::receiver::{Receiver, now_micros};
use crate::report::{Bar, Figure, amount, say};
use crate::template::Packing;
use crate::{Bench, Outcome};

/// What RudderStack documents for its server on two cores, in events a second.
pub(crate) const RUDDERSTACK: f64 = 1_700.0;

const PERSONS: u64 = 20_000;

/// What one burst cost, in microseconds of processor time an event.
#[derive(Default)]
struct Costs {
    hub: Vec<f64>,
    sender: Vec<f64>,
    receiver: Vec<f64>,
}

/// Throughput of the whole way.
pub(crate) async fn throughput(bench: &Bench) -> Outcome<Vec<Figure>> {
    const NAME: &str = "pipeline";
    let events: u64 = if bench.quick { 50_000 } else { 200_000 };
    let (mut rates, mut costs, mut batches, mut repeats) = (Vec::new(), Costs::default(), Vec::new(), 0);
    for round in 1..=bench.rounds {
        // A fresh hub each round, so that each makes its profiles anew and none finds them made.
        let data = bench.places.fresh(NAME)?;
        let hub = Hub::start(&bench.places, &data).await?;
        let mut receiver = Receiver::start().await?;
        let fleet = Fleet::of(hub.address, &data, Some(receiver.address)).await?;
        fleet.grow(1).await?;
        // One batch goes first: code is compiled and connections are made.
        let warm_up = load::run(plan(&hub, &fleet, Packing::Batch(100), Until::Events(100), None, 0)).await?;
        receiver.wait_for(warm_up.events).await?;
        receiver.reset().await?;
        hub.settle().await?;
        let pids = [hub.pid(), std::process::id(), receiver.pid()];
        let recording = bench.profiled(&hub, round)?;
        let before = pids.map(processor_time);
        let start = now_micros();
        let sent = load::run(plan(&hub, &fleet, Packing::Batch(100), Until::Events(events), None, 1_000)).await?;
        let tally = receiver.wait_for(sent.events).await?;
        bench.tell_profile(recording, NAME)?;
        let wall = Duration::from_micros(tally.last_moment.saturating_sub(start));
        let rate = sent.events as f64 / wall.as_secs_f64();
        for ((before, pid), cost) in
            before.into_iter().zip(pids).zip([&mut costs.hub, &mut costs.sender, &mut costs.receiver])
        {
            let spent = processor_time(pid)?.saturating_sub(before?);
            cost.push(spent.as_secs_f64() * 1e6 / sent.events as f64);
        }
        rates.push(rate);
        batches.push(sent.events as f64 / tally.requests as f64);
        repeats += tally.repeats;
        say(format!(
            "    round {round}: {} end to end; accepted at {}, put off {}; {:.1} events a delivery; hub {}",
            amount(rate, "events/s"),
            amount(sent.rate(), "events/s"),
            sent.put_off,
            sent.events as f64 / tally.requests as f64,
            amount(costs.hub.last().copied().unwrap_or(f64::NAN), "µs/event"),
        ));
        hub.stop().await?;
    }
    let note = format!(
        "{events} events of {PERSONS} persons drawn evenly, batches of 100, 16 clients; {:.0} events a delivery, \
         {repeats} delivered twice; processor time an event: hub {}, generator {}, receiver {}",
        median(&batches),
        amount(median(&costs.hub), "µs"),
        amount(median(&costs.sender), "µs"),
        amount(median(&costs.receiver), "µs"),
    );
    Ok(vec![
        Figure::new(NAME, "end to end, one tenant", "events/s", &rates)
            .against("RudderStack's documented figure, not run here", RUDDERSTACK)
            .bar(Bar::AtLeast(20_000.0))
            .note(note),
        Figure::new(NAME, "end to end: the hub's processor time", "µs/event", &costs.hub),
    ])
}

/// From the moment an event is due to be sent to its arrival at the destination, at half the load the whole way
/// takes.
pub(crate) async fn delay(bench: &Bench, full: f64) -> Outcome<Vec<Figure>> {
    const NAME: &str = "delay";
    let length = Duration::from_secs(if bench.quick { 5 } else { 20 });
    let data = bench.places.fresh(NAME)?;
    let hub = Hub::start(&bench.places, &data).await?;
    let mut receiver = Receiver::start().await?;
    let fleet = Fleet::of(hub.address, &data, Some(receiver.address)).await?;
    fleet.grow(1).await?;
    let (mut p50s, mut p99s, mut longest, mut first) = (Vec::new(), Vec::new(), 0f64, 0);
    for round in 0..=bench.rounds {
        // Round 0 fills the caches and is not counted.
        let length = if round == 0 { Duration::from_secs(2) } else { length };
        receiver.reset().await?;
        let start = Instant::now();
        let plan = plan(&hub, &fleet, Packing::Batch(10), Until::Elapsed(length), Some(full / 2.0), first);
        let sent = load::run(plan).await?;
        first += sent.events;
        receiver.wait_for(sent.events).await?;
        if round == 0 {
            continue;
        }
        let delays = receiver.delays().await?;
        p50s.push(delays.p50);
        p99s.push(delays.p99);
        longest = longest.max(delays.longest);
        say(format!(
            "    round {round}: p50 {}, p99 {}, longest {}; {} over {:.1} s",
            amount(delays.p50, "ms"),
            amount(delays.p99, "ms"),
            amount(delays.longest, "ms"),
            amount(sent.rate(), "events/s"),
            start.elapsed().as_secs_f64(),
        ));
    }
    hub.stop().await?;
    let what = format!("accepted → delivered, p99 at half load ({})", amount(full / 2.0, "events/s"));
    Ok(vec![Figure::new(NAME, what, "ms", &p99s).bar(Bar::AtMost(250.0)).note(format!(
        "p50 {}, longest {}; counted from the client's due time; 10 events a request, 16 clients",
        amount(median(&p50s), "ms"),
        amount(longest, "ms"),
    ))])
}

fn plan(hub: &Hub, fleet: &Fleet, packing: Packing, until: Until, pace: Option<f64>, first: u64) -> Plan {
    Plan { address: hub.address, keys: fleet.keys(1), clients: 16, packing, persons: PERSONS, first, until, pace }
}

//! The log alone, in this process and without HTTP: what of accepting is the log's, against the same raw file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog};
use rialto_model::{TenantId, Timestamp};

use crate::latency::{Latencies, median};
use crate::machine::processor_time;
use crate::raw_file::{self, Appended};
use crate::receiver::now_micros;
use crate::report::{Figure, amount, say};
use crate::template::{Packing, event_bytes};
use crate::{Bench, Outcome};

const NAME: &str = "log";

/// Measures appending, 64 × 1 and 16 × 100 events.
pub(crate) async fn measure(bench: &Bench) -> Outcome<Vec<Figure>> {
    let length = Duration::from_secs(if bench.quick { 2 } else { 6 });
    let mut figures = Vec::new();
    for (producers, packing) in [(64, Packing::Single), (16, Packing::Batch(100))] {
        let (mut rates, mut micros, mut p99s, mut files) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 1..=bench.rounds {
            let file = raw_file::run(&bench.places.scratch, producers, packing, length).await?;
            let (log, p99) = append(bench, producers, packing, length).await?;
            say(format!(
                "    {producers} × {}, round {round}: log {} ({}), raw file {} ({})",
                packing.events(),
                amount(log.rate, "events/s"),
                amount(log.micros, "µs/event"),
                amount(file.rate, "events/s"),
                amount(file.micros, "µs/event"),
            ));
            rates.push(log.rate);
            micros.push(log.micros);
            p99s.push(p99);
            files.push(file.rate);
        }
        let what = format!("log alone, {producers} producers × {}", packing.events());
        figures.push(
            Figure::new(NAME, what, "events/s", &rates).against("raw file, same group commit", median(&files)).note(
                format!(
                    "p99 {}; {} of processor time",
                    amount(median(&p99s), "ms"),
                    amount(median(&micros), "µs/event")
                ),
            ),
        );
    }
    Ok(figures)
}

async fn append(bench: &Bench, producers: usize, packing: Packing, length: Duration) -> Outcome<(Appended, f64)> {
    let log = Arc::new(EmbeddedLog::open(bench.places.fresh(NAME)?, EmbeddedOptions::default())?);
    let tenant = TenantId::from_parts(1, &[7; 10]);
    let events = packing.events();
    let body = Bytes::from(event_bytes(Packing::Single));
    let before = processor_time(std::process::id())?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (log, body) = (Arc::clone(&log), body.clone());
            tokio::task::spawn_local(async move {
                let (mut appended, mut latencies) = (0u64, Latencies::default());
                while start.elapsed() < length {
                    let begun = Instant::now();
                    let now = Timestamp(i64::try_from(now_micros())?);
                    log.append(tenant, now, vec![body.clone(); events]).await?;
                    latencies.add(begun.elapsed());
                    appended += events as u64;
                }
                Outcome::Ok((appended, latencies))
            })
        })
        .collect();
    let (mut appended, mut latencies) = (0, Latencies::default());
    for task in tasks {
        let (more, theirs) = task.await??;
        appended += more;
        latencies.merge(&theirs);
    }
    let wall = start.elapsed();
    let spent = processor_time(std::process::id())?.saturating_sub(before);
    log.close().await;
    let figures = Appended {
        rate: appended as f64 / wall.as_secs_f64(),
        micros: spent.as_secs_f64() * 1e6 / appended.max(1) as f64,
    };
    Ok((figures, latencies.per_mille(990)))
}

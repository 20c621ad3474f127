//! The yardstick of accepting: a plain file to which one thread appends whatever has come, with one fdatasync for
//! all of it, answering each producer only then. No HTTP, no checks, no index: what the disk alone allows.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::Outcome;
use crate::machine::processor_time;
use crate::template::{Packing, event_bytes};

/// The most bytes that one group holds, as a log bounds it.
const LARGEST_GROUP: usize = 4 << 20;

/// What the file did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appended {
    /// Events a second.
    pub(crate) rate: f64,
    /// Processor time an event, producers and all, in microseconds.
    pub(crate) micros: f64,
}

struct Append {
    bytes: std::sync::Arc<[u8]>,
    durable: oneshot::Sender<()>,
}

/// Appends for so long from so many producers, each with one request's events under way. Must run inside
/// a `LocalSet`.
pub(crate) async fn run(folder: &Path, producers: usize, packing: Packing, length: Duration) -> Outcome<Appended> {
    let path = folder.join("raw-file");
    let (sender, receiver) = mpsc::channel::<Append>();
    let file = File::create(&path)?;
    let writer = std::thread::spawn(move || write_groups(file, &receiver));
    let bytes: std::sync::Arc<[u8]> = event_bytes(packing).into();
    let events = packing.events() as u64;
    let before = processor_time(std::process::id())?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (sender, bytes) = (sender.clone(), bytes.clone());
            tokio::task::spawn_local(async move {
                let mut appended = 0u64;
                while start.elapsed() < length {
                    let (durable, wait) = oneshot::channel();
                    if sender.send(Append { bytes: bytes.clone(), durable }).is_err() || wait.await.is_err() {
                        break;
                    }
                    appended += events;
                }
                appended
            })
        })
        .collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await?;
    }
    let wall = start.elapsed();
    let spent = processor_time(std::process::id())?.saturating_sub(before);
    drop(sender);
    writer.join().map_err(|_| "the writer of the raw file panicked")??;
    std::fs::remove_file(&path)?;
    Ok(Appended {
        rate: appended as f64 / wall.as_secs_f64(),
        micros: spent.as_secs_f64() * 1e6 / appended.max(1) as f64,
    })
}

fn write_groups(mut file: File, appends: &mpsc::Receiver<Append>) -> std::io::Result<()> {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    let mut waiting = Vec::new();
    while let Ok(first) = appends.recv() {
        let mut next = Some(first);
        while let Some(append) = next {
            group.extend_from_slice(&append.bytes);
            waiting.push(append.durable);
            next = if group.len() < LARGEST_GROUP { appends.try_recv().ok() } else { None };
        }
        file.write_all(&group)?;
        file.sync_data()?;
        group.clear();
        for durable in waiting.drain(..) {
            // A producer that gave up wants no answer.
            let _ = durable.send(());
        }
    }
    Ok(())
}

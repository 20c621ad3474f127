//! How fast the log takes events, against a plain file with the same group commit: `cargo run --release -p rialto-log
//! --example append_bench [seconds a round]`. Rounds alternate, and medians and their ratio are printed.

use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, TenantId, Timestamp};
use tokio::sync::oneshot;

const ROUNDS: usize = 5;
const BODY: usize = 1024;
/// Clients and events an append, as on the scorecard.
const LOADS: [(u64, usize); 2] = [(64, 1), (16, 100)];

/// What both are asked.
#[derive(Clone)]
enum Target {
    Log(Arc<EmbeddedLog>),
    File(mpsc::Sender<(Vec<Bytes>, oneshot::Sender<()>)>),
}

impl Target {
    async fn append(&self, client: u64, bodies: Vec<Bytes>) {
        match self {
            Self::Log(log) => {
                let tenant = TenantId::from_parts(1, &[(client % 10) as u8; 10]);
                log.append(tenant, Timestamp(1), bodies).await.expect("append");
            }
            Self::File(file) => {
                let (done, wait) = oneshot::channel();
                file.send((bodies, done)).expect("the writer is there");
                wait.await.expect("the writer answers");
            }
        }
    }
}

/// A writer that takes all that has come, writes it, flushes once and answers all.
fn plain_file(file: File) -> Target {
    let (send, receive) = mpsc::channel::<(Vec<Bytes>, oneshot::Sender<()>)>();
    std::thread::spawn(move || {
        let mut file = file;
        while let Ok(first) = receive.recv() {
            let group: Vec<_> = std::iter::once(first).chain(receive.try_iter()).collect();
            let mut content = Vec::new();
            for body in group.iter().flat_map(|(bodies, _)| bodies) {
                content.extend_from_slice(body);
            }
            file.write_all(&content).and_then(|()| file.sync_data()).expect("written");
            for (_, done) in group {
                done.send(()).expect("somebody waits");
            }
        }
    });
    Target::File(send)
}

/// Events a second.
async fn measure(target: Target, clients: u64, batch: usize, length: Duration) -> f64 {
    let events = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (target, events) = (target.clone(), events.clone());
            tokio::spawn(async move {
                let body = Bytes::from(vec![b'x'; BODY]);
                while started.elapsed() < length {
                    target.append(client, vec![body.clone(); batch]).await;
                    events.fetch_add(batch as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client");
    }
    events.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Events a second that one reader takes, a thousand at a time.
async fn read(log: &EmbeddedLog) -> f64 {
    let (mut events, started) = (0, Instant::now());
    for (tenant, _) in log.tenants().await.expect("tenants") {
        let mut cursor = 0;
        loop {
            let entries = log.read(tenant, cursor, 1000, 8 << 20).await.expect("read");
            let Some(last) = entries.last() else { break };
            cursor = last.position;
            events += entries.len();
        }
    }
    events as f64 / started.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(3.0, |seconds| seconds.parse().expect("seconds"));
    let length = Duration::from_secs_f64(seconds);
    let out = &mut std::io::stdout();
    for (clients, batch) in LOADS {
        let (mut files, mut logs, mut reads, mut opens) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let folder = tempfile::tempdir_in(".").expect("a folder");
            let file = File::create(folder.path().join("plain")).expect("a file");
            files.push(measure(plain_file(file), clients, batch, length).await);
            let options = EmbeddedOptions::default();
            let log = Arc::new(EmbeddedLog::open(folder.path().join("log"), options.clone()).expect("open"));
            logs.push(measure(Target::Log(log.clone()), clients, batch, length).await);
            log.close().await;
            drop(log);
            let started = Instant::now();
            let log = EmbeddedLog::open(folder.path().join("log"), options).expect("open");
            opens.push(started.elapsed().as_secs_f64());
            reads.push(read(&log).await);
            log.close().await;
        }
        let (file, log, read, open) = (median(files), median(logs), median(reads), median(opens));
        let ratio = log / file;
        writeln!(out, "{clients} clients × {batch}: file {file:.0}/s, log {log:.0}/s, ratio {ratio:.2}")
            .expect("printed");
        writeln!(out, "  opened again in {open:.2} s, read back from disk at {read:.0}/s").expect("printed");
    }
}

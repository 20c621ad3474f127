//! Retention: lets go of payloads that are older than the operator wants them kept, and processed.
//!
//! What a lane has not delivered by then is not waited for: it ends as a dead letter that says so, and a destination
//! that never answers does not fill the disk. What is not processed is waited for, whoever's it is: that is told.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rialto_engine::Clock;
use rialto_log::{EventLog, Held};
use rialto_model::{Position, TenantId, Timestamp};
use rialto_store::{Store, StoreError};

/// How often it is looked at. Windows end hours apart, so this is soon enough.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// The first look waits until the start is over.
const FIRST: Duration = Duration::from_secs(60);

/// Trims the log until `stop`: what was appended longer than `kept` ago goes once it is processed, by whole windows.
/// `held` tells how many windows are old enough and stay, since a tenant's events in them wait to be processed.
pub(crate) async fn keep(
    log: Arc<dyn EventLog>,
    store: Store,
    clock: Arc<dyn Clock>,
    kept: Duration,
    held: Arc<AtomicU64>,
    stop: impl Future<Output = ()> + Send,
) {
    let round = |now| round(Arc::clone(&log), store.clone(), kept, now, Arc::clone(&held));
    rounds(clock.as_ref(), round, stop).await;
}

/// Makes rounds until `stop`, which waits for none of them.
async fn rounds<R: Future<Output = ()>>(
    clock: &dyn Clock,
    round: impl Fn(Timestamp) -> R,
    stop: impl Future<Output = ()>,
) {
    let work = async {
        let mut next = clock.now().after(FIRST);
        loop {
            clock.sleep_until(next).await;
            let now = clock.now();
            round(now).await;
            next = now.after(EVERY);
        }
    };
    tokio::select! {
        biased;
        () = stop => {}
        () = work => {}
    }
}

async fn round(log: Arc<dyn EventLog>, store: Store, kept: Duration, now: Timestamp, held: Arc<AtomicU64>) {
    let done = match processed(&store).await {
        Ok(done) => done,
        Err(error) => {
            tracing::warn!(%error, "retention cannot ask how far events are processed");
            return;
        }
    };
    match log.trim(now, kept, &done).await {
        Ok(trimmed) => {
            if trimmed.windows > 0 {
                tracing::info!(windows = trimmed.windows, bytes = trimmed.bytes, "retention let payloads go");
            }
            held.store(trimmed.held.map_or(0, |held| held.windows as u64), Ordering::Relaxed);
            if let Some(Held { tenant, ended, windows }) = trimmed.held {
                tracing::warn!(
                    %tenant, %ended, windows,
                    "retention lets nothing go from this window on: events of this tenant in it wait to be processed"
                );
            }
        }
        // The next look tries again; meanwhile the log only grows.
        Err(error) => tracing::warn!(%error, "retention could not trim the log"),
    }
}

/// Up to where each tenant's events are processed. One that is removed meanwhile has nothing to lose.
async fn processed(store: &Store) -> Result<HashMap<TenantId, Position>, StoreError> {
    let mut done = HashMap::new();
    for tenant in store.operator().all_tenants().await? {
        match store.lease(tenant).heads().await {
            Ok(heads) => drop(done.insert(tenant, heads.processor)),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_engine::ManualClock;
    use rialto_log::{EmbeddedLog, EmbeddedOptions};
    use rialto_store::{StepWrite, StoreOptions};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn becomes(log: &dyn EventLog, tenant: TenantId, oldest: Position) {
        let gone = async {
            while log.oldest(tenant).await.expect("readable") != oldest {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the old window goes");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn payloads_go_when_their_time_is_over_and_they_are_processed_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("rialto.db").display());
        let store = Store::open(StoreOptions::new(url, [7; 32])).await.expect("SQLite opens");
        let options = EmbeddedOptions { window: HOUR, ..EmbeddedOptions::default() };
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(folder.path().join("log"), options).expect("opens"));
        let start = Timestamp::from_millis(1_700_000_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let tenant = store.operator().create_tenant("acme", "Acme", start).await.expect("a tenant").id;
        let nobody = TenantId::from_parts(1, &[1; 10]);
        log.append(nobody, start, vec!["of one who is gone".into()]).await.expect("durable");
        log.append(tenant, start, vec!["old".into()]).await.expect("durable");
        log.append(tenant, start.after(10 * HOUR), vec!["new".into()]).await.expect("durable");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let held = Arc::new(AtomicU64::new(0));
        let stopped = async {
            let _ = stopped.await;
        };
        let (log_too, held_too) = (Arc::clone(&log), Arc::clone(&held));
        let task = tokio::spawn(keep(log_too, store.clone(), clock.clone(), 5 * HOUR, held_too, stopped));
        clock.advance(FIRST);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 1, "nothing is old yet");
        clock.advance(10 * HOUR);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 1, "it is old, and nobody has processed it");
        assert_eq!(held.load(Ordering::Relaxed), 1, "and that is told");
        let step = StepWrite { to: 2, now: start, ..StepWrite::default() };
        store.lease(tenant).commit_step(&step).await.expect("processed");
        clock.advance(EVERY);
        becomes(&*log, tenant, 2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(held.load(Ordering::Relaxed), 0);
        clock.advance(1_000 * HOUR);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 2, "the clock ran ahead and nothing came since");
        let _ = stop.send(());
        task.await.expect("ends when told");
    }

    #[tokio::test]
    async fn a_round_that_takes_long_holds_up_no_shutdown() {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let round = |_| {
            let _ = begun.send(());
            std::future::pending()
        };
        let stop = async {
            // The first round has its time by then.
            tokio::task::yield_now().await;
            clock.advance(FIRST);
            begins.recv().await;
        };
        let ended = tokio::time::timeout(Duration::from_secs(5), rounds(&clock, round, stop)).await;
        assert!(ended.is_ok(), "it waited for the round");
    }
}

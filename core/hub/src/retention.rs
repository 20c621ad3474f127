//! Retention: lets go of payloads that are older than the operator wants them kept, and processed.
//!
//! What a lane has not delivered by then is not waited for: it ends as a dead letter that says so, and a destination
//! that never answers does not fill the disk.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rialto_engine::Clock;
use rialto_log::EventLog;
use rialto_model::{Position, TenantId};
use rialto_store::{Store, StoreError};

/// How often it is looked at. Windows end hours apart, so this is soon enough.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// The first look waits until the start is over.
const FIRST: Duration = Duration::from_secs(60);

/// Trims the log until `stop`: what was appended longer than `kept` ago goes once it is processed, by whole windows.
pub(crate) async fn keep(
    log: Arc<dyn EventLog>,
    store: Store,
    clock: Arc<dyn Clock>,
    kept: Duration,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = pin!(stop);
    let mut next = clock.now().after(FIRST);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = clock.sleep_until(next) => {}
        }
        let now = clock.now();
        let done = match processed(&store).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(%error, "retention cannot ask how far events are processed");
                next = now.after(EVERY);
                continue;
            }
        };
        match log.trim(now, kept, &done).await {
            Ok(trimmed) if trimmed.windows > 0 => {
                tracing::info!(windows = trimmed.windows, bytes = trimmed.bytes, "retention let payloads go");
            }
            Ok(_) => {}
            // The next look tries again; meanwhile the log only grows.
            Err(error) => tracing::warn!(%error, "retention could not trim the log"),
        }
        next = now.after(EVERY);
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
    use rialto_model::Timestamp;
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
        let task = tokio::spawn(keep(Arc::clone(&log), store.clone(), clock.clone(), 5 * HOUR, async {
            let _ = stopped.await;
        }));
        clock.advance(FIRST);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 1, "nothing is old yet");
        clock.advance(10 * HOUR);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 1, "it is old, and nobody has processed it");
        let step = StepWrite { to: 2, now: start, ..StepWrite::default() };
        store.lease(tenant).commit_step(&step).await.expect("processed");
        clock.advance(EVERY);
        becomes(&*log, tenant, 2).await;
        clock.advance(1_000 * HOUR);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 2, "the clock ran ahead and nothing came since");
        let _ = stop.send(());
        task.await.expect("ends when told");
    }
}

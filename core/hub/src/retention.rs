//! Retention: lets go of payloads that are older than the operator wants them kept.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rialto_engine::Clock;
use rialto_log::EventLog;

/// How often it is looked at. Windows end hours apart, so this is soon enough.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// The first look waits until the start is over.
const FIRST: Duration = Duration::from_secs(60);

/// Trims the log until `stop`: everything appended longer than `kept` ago goes, by whole windows.
pub(crate) async fn keep(
    log: Arc<dyn EventLog>,
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
        match log.trim(now.before(kept)).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_engine::ManualClock;
    use rialto_log::{EmbeddedLog, EmbeddedOptions};
    use rialto_model::{TenantId, Timestamp};

    #[tokio::test(flavor = "multi_thread")]
    async fn payloads_go_when_their_time_is_over_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let hour = Duration::from_secs(3600);
        let options = EmbeddedOptions { window: hour, ..EmbeddedOptions::default() };
        let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(folder.path(), options).expect("opens"));
        let start = Timestamp::from_millis(1_700_000_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let tenant = TenantId::from_parts(1, &[1; 10]);
        log.append(tenant, start, vec!["old".into()]).await.expect("durable");
        log.append(tenant, start.after(10 * hour), vec!["new".into()]).await.expect("durable");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(keep(Arc::clone(&log), clock.clone(), 5 * hour, async {
            let _ = stopped.await;
        }));
        clock.advance(FIRST);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(log.oldest(tenant).await.expect("readable"), 1, "nothing is old yet");
        clock.advance(10 * hour);
        let gone = async {
            while log.oldest(tenant).await.expect("readable") != 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the old window goes");
        let _ = stop.send(());
        task.await.expect("ends when told");
    }
}

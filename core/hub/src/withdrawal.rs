//! Withdrawal: has the payloads of suppressed persons' events leave the files of the log, for all tenants at once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rialto_engine::{Clock, Engine};
use rialto_store::Store;

/// How often. The log rewrites the windows that hold such payloads, a day's events at the most for each day concerned:
/// too much for every event, little for every hour.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// The first time waits until the start is over.
const FIRST: Duration = Duration::from_secs(60);

/// Withdraws until `stop`. What an earlier run owed is found too.
pub(crate) async fn keep(engine: Engine, store: Store, clock: Arc<dyn Clock>, stop: impl Future<Output = ()> + Send) {
    let mut stop = pin!(stop);
    let mut next = clock.now().after(FIRST);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = clock.sleep_until(next) => {}
        }
        // A stop waits for no rewriting: what is cut off is still owed.
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = once(&engine, &store) => {}
        }
        next = clock.now().after(EVERY);
    }
}

async fn once(engine: &Engine, store: &Store) {
    let tenants = match store.operator().all_tenants().await {
        Ok(tenants) => tenants,
        Err(error) => {
            tracing::warn!(%error, "it cannot be asked which payloads are to be withdrawn");
            return;
        }
    };
    match engine.withdraw(&tenants).await {
        Ok(0) => {}
        Ok(payloads) => tracing::info!(payloads, "payloads of suppressed persons left the log"),
        // The next time tries again.
        Err(error) => tracing::warn!(%error, "payloads could not be withdrawn from the log"),
    }
}

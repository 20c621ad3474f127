//! The embedded log keeps every promise, with its newest entries in memory and without.

use std::sync::Arc;

use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, conformance};

async fn conforms(options: EmbeddedOptions) {
    let folder = tempfile::tempdir().expect("a folder");
    conformance::run(async |place| {
        let log = EmbeddedLog::open(folder.path().join(place), options.clone()).expect("open");
        Arc::new(log) as Arc<dyn EventLog>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_conforms() {
    conforms(EmbeddedOptions::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_log_conforms_when_every_read_goes_to_disk() {
    conforms(EmbeddedOptions { recent_bytes: 0, ..EmbeddedOptions::default() }).await;
}

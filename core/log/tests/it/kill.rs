//! A process that is killed at any moment loses nothing that it acknowledged.

use std::time::Duration;

use rand::Rng;
use rialto_log::{EmbeddedLog, EventLog};

use crate::clients::{Acknowledged, Clients, options};

/// `RIALTO_KILLS` sets how often; the suite's bar is 50, the scorecard's 1,000. A folder serves ten kills, so that
/// the time it takes does not grow with their square.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_random() {
    let kills: u64 = std::env::var("RIALTO_KILLS").map_or(50, |kills| kills.parse().expect("RIALTO_KILLS is a number"));
    let mut entries = 0;
    for life in 0..kills.div_ceil(10) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut acknowledged = Acknowledged::default();
        for round in life * 10..(life * 10 + 10).min(kills) {
            let mut clients = Clients::start(folder.path(), round);
            std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..120)));
            clients.child.kill().expect("SIGKILL");
            clients.child.wait().expect("the child's end");
            clients.collect(&mut acknowledged);
        }
        let log = EmbeddedLog::open(folder.path(), options()).expect("the log opens after a kill");
        acknowledged.check(&log).await;
        entries += acknowledged.entries();
        log.close().await;
    }
    assert!(entries > kills * 100, "only {entries} entries in {kills} lives");
}

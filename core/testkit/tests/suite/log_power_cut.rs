//! The log on a disk whose power is cut at random: what was acknowledged is there, appends are whole.

#[path = "../../../log/tests/it/clients.rs"]
mod clients;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rand::Rng;
use rialto_log::{EmbeddedLog, EventLog, LogError};
use rialto_testkit::{
    powercut::{PowerCutDisk, Survivors},
    skip::skip,
};

use clients::{Acknowledged, Clients, now, options, tenant};

/// Lets clients append for a moment, cuts the power, and returns with the disk as the cut left it.
fn live_and_cut(disk: &PowerCutDisk, at: &Path, round: u64, survivors: Survivors, acknowledged: &mut Acknowledged) {
    let powered = disk.power_on(at).expect("it could be mounted before");
    let mut clients = Clients::start(&at.join("log"), round);
    std::thread::sleep(Duration::from_millis(rand::rng().random_range(20..700)));
    powered.cut();
    clients.child.kill().expect("SIGKILL");
    clients.child.wait().expect("the child's end");
    clients.collect(acknowledged);
    powered.power_off(survivors).expect("nobody uses the disk any more");
}

/// A mount point, or a skip with its reason.
fn mount_point(test: &str) -> Option<tempfile::TempDir> {
    let at = tempfile::tempdir().expect("a folder");
    match PowerCutDisk::new().power_on(at.path()) {
        Ok(powered) => {
            powered.power_off(Survivors::FlushedOnly).expect("nobody uses the disk");
            Some(at)
        }
        Err(error) => {
            skip(test, &format!("FUSE cannot be mounted: {error}"));
            None
        }
    }
}

/// `RIALTO_CUTS` sets how often. A disk serves five cuts, so that the time it takes does not grow with their square.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_is_cut_at_random() {
    let Some(at) = mount_point("nothing_acknowledged_is_lost_when_the_power_is_cut_at_random") else { return };
    let cuts: u64 = std::env::var("RIALTO_CUTS").map_or(20, |cuts| cuts.parse().expect("RIALTO_CUTS is a number"));
    let mut entries = 0;
    for life in 0..cuts.div_ceil(5) {
        let disk = PowerCutDisk::new();
        let mut acknowledged = Acknowledged::default();
        for round in life * 5..(life * 5 + 5).min(cuts) {
            let survivors = if round % 2 == 0 { Survivors::FlushedOnly } else { Survivors::Some { seed: round } };
            live_and_cut(&disk, at.path(), round, survivors, &mut acknowledged);
        }
        let powered = disk.power_on(at.path()).expect("it could be mounted before");
        let log = EmbeddedLog::open(at.path().join("log"), options()).expect("the log opens after a cut");
        acknowledged.check(&log).await;
        entries += acknowledged.entries();
        log.close().await;
        drop(log);
        powered.power_off(Survivors::FlushedOnly).expect("nobody uses the disk any more");
    }
    assert!(entries > cuts * 100, "only {entries} entries in {cuts} lives");
}

/// Holds the test above to account: on a disk whose flushes are lies it would not pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_does_not_flush_the_loss_is_seen() {
    let Some(at) = mount_point("on_a_disk_that_does_not_flush_the_loss_is_seen") else { return };
    let disk = PowerCutDisk::that_does_not_flush();
    let mut acknowledged = Acknowledged::default();
    live_and_cut(&disk, at.path(), 0, Survivors::FlushedOnly, &mut acknowledged);
    let powered = disk.power_on(at.path()).expect("it could be mounted before");
    let log = EmbeddedLog::open(at.path().join("log"), options()).expect("a log that has lost all opens as a new one");
    let mut there = 0;
    for n in 0..5 {
        there += log.head(tenant(n)).await.expect("head");
    }
    assert!(there < acknowledged.entries(), "{there} of {} entries are there", acknowledged.entries());
    log.close().await;
    drop(log);
    powered.power_off(Survivors::FlushedOnly).expect("nobody uses the disk any more");
}

/// A flush fails, the log heals, goes on, and the power is cut: nothing acknowledged rests on the failed flush.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_is_not_trusted_afterwards() {
    let Some(at) = mount_point("a_failed_flush_is_not_trusted_afterwards") else { return };
    let disk = PowerCutDisk::new();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for round in 0..3_u64 {
        let powered = disk.power_on(at.path()).expect("it could be mounted before");
        let log = EmbeddedLog::open(at.path().join("log"), options()).expect("the log opens after a cut");
        for n in 0..60_u64 {
            if n % 20 == 10 {
                powered.fail_next_flush();
            }
            let text = format!("{round} {n} {}", "e".repeat(9000));
            let asked = Instant::now();
            loop {
                match log.append(tenant(1), now(), vec![text.clone().into()]).await {
                    Ok(range) => break acknowledged.push((*range.start(), text)),
                    Err(LogError::Unavailable { .. }) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
                assert!(asked.elapsed() < Duration::from_secs(5), "not healed in 5 s: {:?}", log.health().await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        powered.cut();
        drop(log);
        powered.power_off(Survivors::FlushedOnly).expect("nobody uses the disk any more");
    }
    assert!(refused >= 9, "a flush failed and nobody was told");
    let powered = disk.power_on(at.path()).expect("it could be mounted before");
    let log = EmbeddedLog::open(at.path().join("log"), options()).expect("the log opens after a cut");
    let there = log.read(tenant(1), 0, usize::MAX, 1 << 30).await.expect("read");
    let there: Vec<_> =
        there.into_iter().map(|e| (e.position, String::from_utf8_lossy(&e.body).into_owned())).collect();
    assert!(there == acknowledged, "what is there is not what was acknowledged");
    log.close().await;
    drop(log);
    powered.power_off(Survivors::FlushedOnly).expect("nobody uses the disk any more");
}

//! A full disk: refused at once, readable throughout, healed by itself, nothing lost.

use std::{
    io::Write,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rialto_log::{EmbeddedLog, EventLog, LogError};

use crate::clients::{now, options, tenant};

/// A file system of 200 MB of its own; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `Err` says why there can be none here.
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=200m", "rialto-test"]).arg(folder.path());
        let done = mount.output().map_err(|error| error.to_string())?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).trim().to_string());
        }
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves not one byte free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("ballast")).expect("a file");
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![1; size]).is_err() {
                size /= 2;
            }
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

async fn append(log: &EmbeddedLog, n: u64) -> Result<u64, LogError> {
    let body = Bytes::from(format!("{n} {}", "d".repeat(20_000)));
    log.append(tenant(1), now(), vec![body]).await.map(|range| *range.end())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_at_once_and_overcome_without_loss() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: {why}");
            #[allow(clippy::print_stdout, reason = "the line is what the test command reads")]
            {
                println!("skipped: a_full_disk_is_said_at_once_and_overcome_without_loss: cannot mount: {why}");
            }
            return;
        }
    };
    let log = Arc::new(EmbeddedLog::open(disk.path().join("log"), options()).expect("open"));
    let mut acknowledged = Vec::new();
    let mut n = 0;
    for round in 0..3 {
        for _ in 0..100 {
            n += 1;
            acknowledged.push((append(&log, n).await.expect("there is room"), n));
        }
        disk.fill();
        let (mut refused, started) = (0, Instant::now());
        while refused < 20 {
            n += 1;
            let asked = Instant::now();
            match append(&log, n).await {
                Ok(position) => acknowledged.push((position, n)),
                Err(LogError::Unavailable { .. }) => {
                    refused += 1;
                    assert!(asked.elapsed() < Duration::from_secs(1), "refused after {:?}", asked.elapsed());
                }
                Err(other) => panic!("{other}"),
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the full disk was never noticed");
        }
        assert!(!log.health().await.writable);
        assert!(log.health().await.reason.is_some_and(|reason| reason.contains("space")), "it says why");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        check(&log, &acknowledged).await;
        disk.empty();
        let freed = Instant::now();
        loop {
            n += 1;
            match append(&log, n).await {
                Ok(position) => break acknowledged.push((position, n)),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(freed.elapsed() < Duration::from_secs(5), "not healed in 5 s: {:?}", log.health().await);
        }
        eprintln!("round {round}: healed {:?} after there was room again", freed.elapsed());
        check(&log, &acknowledged).await;
    }
    log.close().await;
    drop(log);
    let log = EmbeddedLog::open(disk.path().join("log"), options()).expect("open");
    check(&log, &acknowledged).await;
    log.close().await;
}

/// What was acknowledged is there, at its place.
async fn check(log: &EmbeddedLog, acknowledged: &[(u64, u64)]) {
    for some in acknowledged.chunks(500) {
        let positions: Vec<_> = some.iter().map(|(position, _)| *position).collect();
        let entries = log.get_many(tenant(1), &positions).await.expect("reads stay up");
        assert_eq!(entries.len(), some.len(), "an acknowledged entry is lost");
        for (entry, (position, n)) in entries.iter().zip(some) {
            assert!(entry.body.starts_with(format!("{n} d").as_bytes()), "position {position} holds something else");
        }
    }
}

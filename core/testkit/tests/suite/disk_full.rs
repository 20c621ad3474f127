//! A full disk: 503 at once, reads go on, and it heals by itself when there is room again; nothing acknowledged is
//! lost.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rialto_testkit::child::{ChildHub, Setup};
use rialto_testkit::client::Client;
use rialto_testkit::persona::{Operator, ingest};
use rialto_testkit::receiver::Receiver;
use rialto_testkit::skip::skip;
use serde_json::json;
use tempfile::TempDir;

use crate::ground::{alone, eventually};
use crate::load::{Load, Pace};

const SIZE: &str = "200m";

/// A small file system of its own, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = File::create(&path).expect("a file can be made");
        let block = vec![1_u8; 1 << 16];
        while filler.write_all(&block).is_ok() {}
        while filler.write_all(&[1]).is_ok() {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_at_once_and_heals() {
    let test = "disk_full::a_full_disk_is_told_at_once_and_heals";
    let folder = TempDir::new().expect("a scratch folder can be made");
    let mount = match Mount::new(&folder.path().join("disk")) {
        Ok(mount) => mount,
        Err(why) => return skip(test, &format!("a small file system cannot be mounted here: {why}")),
    };
    let _turn = alone().await;
    let mut setup = Setup::new(&mount.0.join("data"));
    setup.output = folder.path().join("output");
    let hub = ChildHub::start(setup).await;
    let acme = Operator::new(hub.address, &hub.operator_token()).tenant("acme").await;
    let receiver = Receiver::kind().await;
    acme.webhook("receiver", &receiver.url("/")).await;
    let load = Load::start(&[&acme], Pace { clients: 8, pause: Duration::from_millis(20) });
    tokio::time::sleep(Duration::from_secs(1)).await;

    let filler = mount.fill();
    let full = Instant::now();
    let probe = Client::new(hub.address);
    // Large ones: they are the first that the disk has no room for.
    let event = |id: &str| {
        let properties = json!({"pad": "x".repeat(8_000)});
        let event = json!({"type": "track", "event": "Probe", "anonymousId": "probe", "messageId": id, "properties": properties});
        ingest(&acme.write_key, "/v1/track", event.to_string())
    };
    let mut taken = Vec::new();
    let answer = loop {
        let id = format!("probe-{}", taken.len());
        let answer = probe.send(event(&id)).await.expect("an answer");
        if answer.status == 503 {
            break answer;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        taken.push(id);
        assert!(full.elapsed() < Duration::from_secs(20), "the disk is full and nobody says so");
    };
    let told = full.elapsed();
    assert!(answer.header("retry-after").is_some(), "503 says when to try again");
    // Reads go on, and the hub says of itself that it is not well.
    for path in ["/api/v1/events", "/api/v1/profiles/by/user_id/p-0", "/api/v1/lanes", "/healthz", "/metrics"] {
        acme.api().get(path).await.expect(200);
    }
    assert_eq!(probe.get("/readyz").await.status, 503);
    tokio::time::sleep(Duration::from_secs(2)).await;

    std::fs::remove_file(filler).expect("the filler can go");
    let healed = eventually("it heals", Duration::from_secs(5), async || {
        let answer = probe.send(event("probe-healed")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let book = load.stop().await;
    println!("told after {told:?}, healed after {healed:?}, {} requests", book.answers.len());
    let slow = book.answers.iter().filter(|answer| answer.took > Duration::from_secs(1)).map(|answer| answer.took);
    assert_eq!(slow.collect::<Vec<_>>(), Vec::<Duration>::new(), "nobody waits longer than a second to be told");
    for answered in &book.answers {
        assert!(matches!(answered.status, Some(200 | 503)), "{answered:?}");
        assert!(answered.status == Some(200) || answered.retry_after, "{answered:?}");
    }
    assert!(book.answers.iter().any(|answer| answer.status == Some(503)), "the clients met the full disk");

    let probes = taken.iter().map(String::as_str).chain(["probe-healed"]);
    let wanted: BTreeSet<&str> = book.acknowledged("acme").chain(probes).collect();
    eventually("every acknowledged event arrives", Duration::from_secs(60), async || {
        let events = receiver.events();
        let there: BTreeSet<&str> = events.iter().filter_map(|(_, event)| event["message_id"].as_str()).collect();
        wanted.is_subset(&there)
    })
    .await;
    eventually("it is well again", Duration::from_secs(10), async || probe.get("/readyz").await.status == 200).await;
}

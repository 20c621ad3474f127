//! What is believed of the disk after a failure is what is found there.

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// A trim that reached the disk and failed before memory was told.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_trim_reads_end_and_healing_finds_what_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { window: DAY, recent_bytes: 0, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(folder.path(), options).expect("opens");
    let (tenant, start) = (TenantId::from_parts(1, &[1; 10]), Timestamp(0));
    log.append(tenant, start, vec!["old".into()]).await.expect("durable");
    log.append(tenant, start.after(10 * DAY), vec!["new".into()]).await.expect("durable");

    let known = log.shared.streams.view(tenant, |stream| (stream.head, stream.segments.clone())).expect("known");
    let mut stream = streams::Stream::default();
    (stream.head, stream.segments) = known;
    let copy = Streams::new(HashMap::from([(tenant, stream)]), 0);
    let trimmed = match log.shared.place.write().as_mut() {
        Some(place) => place.trim(&copy, start.after(10 * DAY), DAY, &HashMap::new()),
        None => Err(fjall::Error::Poisoned),
    };
    assert_eq!(trimmed.expect("storage works").windows, 1);

    assert!(matches!(log.read(tenant, 0, 10, 1 << 20).await, Err(LogError::Unavailable { .. })));
    assert!(matches!(log.get_many(tenant, &[1]).await, Err(LogError::Unavailable { .. })));
    log.shared.heal().expect("well again");
    let read = log.read(tenant, 0, 10, 1 << 20).await.expect("read");
    assert_eq!(read.iter().map(|entry| entry.position).collect::<Vec<_>>(), [2]);
    assert_eq!(log.get_many(tenant, &[1, 2]).await.expect("read").len(), 1);
    assert_eq!(log.oldest(tenant).await.expect("known"), 2);
}

//! What any [`EventLog`] must do, as code that any implementation's tests can run.
//!
//! ```text
//! rialto_log::conformance::run(async |place| open_the_log_kept_under(place).await).await;
//! ```

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rialto_model::{Position, TenantId, Timestamp};

use crate::{Entry, EventLog, LogError, Trimmed};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PLENTY: usize = 1 << 30;

/// Runs every case. `make` opens the log that is kept under a name, empty at first; called again with a name, after
/// that log was closed, it opens what was left there. Time windows must be of a day or less.
///
/// # Panics
/// At the first promise that is not kept, saying which.
pub async fn run(make: impl AsyncFn(&'static str) -> Arc<dyn EventLog>) {
    positions_count_from_one_without_a_gap(&*make("positions").await).await;
    bodies_come_back_byte_for_byte(&*make("bodies").await).await;
    tenants_see_nothing_of_each_other(&*make("tenants").await).await;
    a_read_keeps_to_its_limits(&*make("limits").await).await;
    a_cursor_crosses_time_windows(&*make("windows").await).await;
    single_entries_are_found(&*make("get").await).await;
    every_tail_hears_of_growth(&*make("tails").await).await;
    sixty_four_appenders_do_not_mix(make("appenders").await).await;
    trimming_takes_whole_windows_and_no_position(&make).await;
    trimming_takes_nothing_that_is_still_wanted(&*make("wanted").await).await;
    an_erased_entry_is_gone_and_its_place_stays(&make).await;
    a_dropped_tenant_is_gone_and_the_others_stay(&make).await;
    everything_is_there_after_reopening(&make).await;
    a_closed_log_says_so(&*make("closed").await).await;
}

/// The first append stands at 1, the next follow, and an append's entries stand together in its order.
pub async fn positions_count_from_one_without_a_gap(log: &dyn EventLog) {
    let tenant = tenant(1);
    assert_eq!(log.head(tenant).await.expect("head"), 0, "a stream that never was has head 0");
    assert_eq!(log.oldest(tenant).await.expect("oldest"), 1, "nothing retained: oldest is head + 1");
    assert_eq!(append(log, tenant, day(0), &["a"]).await, 1..=1);
    assert_eq!(append(log, tenant, day(0), &["b", "c", "d"]).await, 2..=4);
    let nothing = log.append(tenant, day(0), Vec::new()).await.expect("an append of nothing");
    assert!(nothing.is_empty(), "an append of nothing takes no position");
    assert_eq!(append(log, tenant, day(0), &["e"]).await, 5..=5);
    let all = read_all(log, tenant, 0).await;
    assert_eq!(texts(&all), ["a", "b", "c", "d", "e"]);
    assert_eq!(positions(&all), [1, 2, 3, 4, 5]);
    assert!(all.iter().all(|entry| entry.appended_at == day(0)), "entries carry the time of their append");
    assert_eq!((log.head(tenant).await.expect("head"), log.oldest(tenant).await.expect("oldest")), (5, 1));
}

/// Empty bodies, every byte there is, and bodies larger than any page.
pub async fn bodies_come_back_byte_for_byte(log: &dyn EventLog) {
    let every_byte = Bytes::from_iter(0..=255);
    let large = Bytes::from_iter((0..700_000_u32).map(|n| (n % 251) as u8));
    let bodies = vec![Bytes::new(), every_byte, large, Bytes::from_static(b"\0")];
    log.append(tenant(1), day(0), bodies.clone()).await.expect("append");
    let read: Vec<_> = read_all(log, tenant(1), 0).await.into_iter().map(|entry| entry.body).collect();
    assert!(read == bodies, "a body has changed");
}

/// Streams with the same positions and neighbouring ids are apart.
pub async fn tenants_see_nothing_of_each_other(log: &dyn EventLog) {
    for n in 1..=3 {
        for text in ["x", "y"] {
            append(log, tenant(n), day(0), &[&format!("{n}{text}")]).await;
        }
    }
    for n in 1..=3 {
        assert_eq!(texts(&read_all(log, tenant(n), 0).await), [format!("{n}x"), format!("{n}y")]);
    }
    assert!(read_all(log, tenant(4), 0).await.is_empty());
    assert!(log.get(tenant(4), 1).await.expect("get").is_none());
    let mut tenants = log.tenants().await.expect("tenants");
    tenants.sort_unstable();
    assert_eq!(tenants, [(tenant(1), 2), (tenant(2), 2), (tenant(3), 2)]);
}

/// Count and bytes bound a read, which still brings one entry however large.
pub async fn a_read_keeps_to_its_limits(log: &dyn EventLog) {
    let tenant = tenant(1);
    let body = "1234567890".repeat(10);
    for _ in 0..10 {
        append(log, tenant, day(0), &[&body, &body]).await;
    }
    assert_eq!(positions(&log.read(tenant, 3, 4, PLENTY).await.expect("read")), [4, 5, 6, 7]);
    assert!(log.read(tenant, 3, 0, PLENTY).await.expect("read").is_empty(), "a limit of 0 brings nothing");
    assert_eq!(positions(&log.read(tenant, 3, 100, 1).await.expect("read")), [4], "one entry, however large");
    let some = log.read(tenant, 0, 100, 500).await.expect("read");
    assert!((1..=10).contains(&some.len()), "about 500 bytes were wanted, not {} entries of 100", some.len());
    assert!(log.read(tenant, 20, 10, PLENTY).await.expect("read").is_empty(), "nothing after the head");
    assert!(log.read(tenant, Position::MAX, 10, PLENTY).await.expect("read").is_empty());
}

/// Reading goes on over the boundary of time windows, in order, whatever the clock did.
pub async fn a_cursor_crosses_time_windows(log: &dyn EventLog) {
    let tenant = tenant(1);
    for (n, at) in [0, 1, 1, 2, 30, 2, 3, 400, 4].into_iter().enumerate() {
        append(log, tenant, day(at), &[&format!("{n}a"), &format!("{n}b")]).await;
    }
    assert_eq!(positions(&read_all(log, tenant, 0).await), (1..=18).collect::<Vec<_>>());
    assert_eq!(positions(&log.read(tenant, 1, 4, PLENTY).await.expect("read")), [2, 3, 4, 5]);
    let mut cursor = 0;
    while let Some(entry) = log.read(tenant, cursor, 1, PLENTY).await.expect("read").pop() {
        assert_eq!(entry.position, cursor + 1, "one by one, none is skipped");
        cursor = entry.position;
    }
    assert_eq!(cursor, 18);
}

/// By position, in the order asked, without those that are not there.
pub async fn single_entries_are_found(log: &dyn EventLog) {
    for at in 0..4 {
        append(log, tenant(1), day(at), &[&format!("{at}x"), &format!("{at}y")]).await;
    }
    let found = log.get_many(tenant(1), &[7, 2, 99, 0, 3]).await.expect("get_many");
    assert_eq!(positions(&found), [7, 2, 3]);
    assert_eq!(texts(&found), ["3x", "0y", "1x"]);
    assert_eq!(log.get(tenant(1), 8).await.expect("get").map(|entry| entry.appended_at), Some(day(3)));
    assert_eq!(log.get(tenant(1), 9).await.expect("get"), None);
}

/// A tail learns of what is appended after it was taken: the head, once a tenant.
pub async fn every_tail_hears_of_growth(log: &dyn EventLog) {
    append(log, tenant(1), day(0), &["before"]).await;
    let (mut one, mut two) = (log.tail(), log.tail());
    for _ in 0..50 {
        append(log, tenant(1), day(0), &["a", "b"]).await;
    }
    append(log, tenant(2), day(0), &["c"]).await;
    for tail in [&mut one, &mut two] {
        let mut heard = std::collections::HashMap::new();
        while heard.get(&tenant(1)) != Some(&101) || heard.get(&tenant(2)) != Some(&1) {
            let grown = tokio::time::timeout(Duration::from_secs(10), tail.next()).await;
            heard.extend(grown.expect("a tail was not told within 10 s that a stream has grown"));
        }
        for (tenant, head) in heard {
            let there = log.head(tenant).await.expect("head");
            assert!(head <= there, "a tail was told of {head} when the head was {there}");
        }
    }
}

/// Appenders at the same time, on few streams: every append stands together, in its order, exactly once.
pub async fn sixty_four_appenders_do_not_mix(log: Arc<dyn EventLog>) {
    let appenders: Vec<_> = (0..64_u64)
        .map(|appender| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut ranges = Vec::new();
                for turn in 0..20_u64 {
                    let count = 1 + (appender + turn) % 5;
                    let bodies = (0..count).map(|n| Bytes::from(format!("{appender} {turn} {n}"))).collect();
                    let tenant = tenant((appender % 3) as u8);
                    let range = log.append(tenant, day(turn as i64 / 10), bodies).await.expect("append");
                    ranges.push((tenant, turn, range));
                }
                (appender, ranges)
            })
        })
        .collect();
    let mut seen = std::collections::HashMap::new();
    for n in 0..3 {
        let all = read_all(&*log, tenant(n), 0).await;
        assert_eq!(positions(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    }
    for appender in appenders {
        let (appender, ranges) = appender.await.expect("an appender failed");
        let mut last = 0;
        for (tenant, turn, range) in ranges {
            assert!(*range.start() > last, "what one appender sent one after the other stands so");
            last = *range.end();
            let wanted: Vec<_> = range.clone().collect();
            let entries = log.get_many(tenant, &wanted).await.expect("get_many");
            let expected: Vec<_> = (0..wanted.len()).map(|n| format!("{appender} {turn} {n}")).collect();
            assert_eq!(texts(&entries), expected);
            for position in range {
                assert_eq!(seen.insert((tenant, position), appender), None, "a position was given twice");
            }
        }
    }
    for n in 0..3 {
        let all = read_all(&*log, tenant(n), 0).await;
        let given = seen.keys().filter(|(whose, _)| *whose == tenant(n)).count();
        assert_eq!(all.len(), given, "what is there is what was acknowledged");
    }
}

/// Trimming drops what is old, no more, and positions go on where they were, also after reopening.
pub async fn trimming_takes_whole_windows_and_no_position(make: &impl AsyncFn(&'static str) -> Arc<dyn EventLog>) {
    let (old, busy) = (tenant(1), tenant(2));
    let log = make("trim").await;
    append(&*log, old, day(0), &["a", "b"]).await;
    for at in [0, 10, 20] {
        append(&*log, busy, day(at), &["c", "d"]).await;
    }
    assert_eq!(trim(&*log, day(-5), &[]).await, Trimmed::default(), "nothing is so old");
    assert_eq!(trim(&*log, day(10), &[]).await.windows, 1);
    for reopened in [false, true] {
        let log = if reopened {
            log.close().await;
            make("trim").await
        } else {
            log.clone()
        };
        assert_eq!((head(&*log, old).await, oldest(&*log, old).await), (2, 3));
        assert_eq!((head(&*log, busy).await, oldest(&*log, busy).await), (6, 3));
        assert!(read_all(&*log, old, 0).await.is_empty());
        assert_eq!(positions(&read_all(&*log, busy, 0).await), [3, 4, 5, 6]);
        assert_eq!(log.get(busy, 2).await.expect("get"), None);
        let mut tenants = log.tenants().await.expect("tenants");
        tenants.sort_unstable();
        assert_eq!(tenants, [(old, 2), (busy, 6)]);
        if reopened {
            assert_eq!(append(&*log, old, day(21), &["e"]).await, 3..=3, "a position was given twice");
            assert_eq!(trim(&*log, day(100), &[]).await.windows, 3);
            assert_eq!(append(&*log, busy, day(100), &["f"]).await, 7..=7, "a position was given twice");
            assert_eq!(positions(&read_all(&*log, busy, 0).await), [7]);
            log.close().await;
        }
    }
}

/// Trimming stops before what is not done with, and a clock that runs ahead while nothing comes takes nothing.
pub async fn trimming_takes_nothing_that_is_still_wanted(log: &dyn EventLog) {
    let (done, lagging) = (tenant(1), tenant(2));
    for at in [0, 10, 20] {
        append(log, done, day(at), &["a", "b"]).await;
        append(log, lagging, day(at), &["c", "d"]).await;
    }
    for (at, windows, held) in [(0, 0, 3), (3, 1, 2)] {
        let trimmed = trim(log, day(100), &[(done, 6), (lagging, at)]).await;
        assert_eq!(trimmed.windows, windows, "the lagging one is done up to {at}");
        assert_eq!(trimmed.held.map(|held| (held.tenant, held.windows)), Some((lagging, held)), "it is named");
    }
    assert_eq!((oldest(log, done).await, oldest(log, lagging).await), (3, 3));
    let kept = 5 * DAY;
    let ahead = log.trim(day(1_000), kept, &HashMap::from([(done, 6), (lagging, 6)])).await.expect("trim");
    assert_eq!((ahead.windows, ahead.held), (1, None), "the newest window is not old, whatever the clock says");
    assert_eq!(positions(&read_all(log, lagging, 0).await), [5, 6]);
}

/// Erasing takes single entries out of every way to read, for good, and leaves the rest as it was.
pub async fn an_erased_entry_is_gone_and_its_place_stays(make: &impl AsyncFn(&'static str) -> Arc<dyn EventLog>) {
    let tenant = tenant(1);
    let log = make("erase").await;
    append(&*log, tenant, day(0), &["a", "b", "c"]).await;
    append(&*log, tenant, day(10), &["d", "e"]).await;
    assert_eq!(log.erase(tenant, &[2, 4, 77]).await.expect("erase"), 2);
    assert_eq!(log.erase(tenant, &[2]).await.expect("erase"), 0, "it is gone already");
    append(&*log, tenant, day(10), &["f"]).await;
    for reopened in [false, true] {
        let log = if reopened {
            log.close().await;
            make("erase").await
        } else {
            log.clone()
        };
        assert_eq!(positions(&read_all(&*log, tenant, 0).await), [1, 3, 5, 6]);
        assert_eq!(texts(&read_all(&*log, tenant, 1).await), ["c", "e", "f"]);
        assert_eq!(positions(&log.get_many(tenant, &[1, 2, 4, 5]).await.expect("get_many")), [1, 5]);
        assert_eq!((head(&*log, tenant).await, oldest(&*log, tenant).await), (6, 1));
        if reopened {
            log.close().await;
        }
    }
}

/// Dropping takes one stream and no other; should the id come back, no position is given twice.
pub async fn a_dropped_tenant_is_gone_and_the_others_stay(make: &impl AsyncFn(&'static str) -> Arc<dyn EventLog>) {
    let (gone, stays) = (tenant(1), tenant(2));
    let log = make("drop").await;
    for at in [0, 10] {
        append(&*log, gone, day(at), &["a", "b"]).await;
        append(&*log, stays, day(at), &["c"]).await;
    }
    log.drop_tenant(gone).await.expect("drop_tenant");
    log.drop_tenant(tenant(9)).await.expect("dropping a stream that never was");
    for reopened in [false, true] {
        let log = if reopened {
            log.close().await;
            make("drop").await
        } else {
            log.clone()
        };
        assert!(read_all(&*log, gone, 0).await.is_empty());
        assert!(log.get_many(gone, &[1, 2, 3, 4]).await.expect("get_many").is_empty());
        assert_eq!(texts(&read_all(&*log, stays, 0).await), ["c", "c"]);
        assert_eq!(log.tenants().await.expect("tenants"), [(stays, 2)]);
        if reopened {
            assert_eq!(append(&*log, gone, day(10), &["z"]).await, 5..=5, "a position was given twice");
            assert_eq!(texts(&read_all(&*log, gone, 0).await), ["z"]);
            log.close().await;
        }
    }
}

/// What was acknowledged before closing is there after opening again, and appending goes on behind it.
pub async fn everything_is_there_after_reopening(make: &impl AsyncFn(&'static str) -> Arc<dyn EventLog>) {
    for round in 0..4_u64 {
        let log = make("reopen").await;
        for n in 1..=3 {
            assert_eq!(head(&*log, tenant(n)).await, round * 2);
            let texts = [format!("{n} {round} 0"), format!("{n} {round} 1")];
            let range = append(&*log, tenant(n), day(round as i64), &[&texts[0], &texts[1]]).await;
            assert_eq!(range, round * 2 + 1..=round * 2 + 2);
            let expected: Vec<_> = (0..=round).flat_map(|r| [format!("{n} {r} 0"), format!("{n} {r} 1")]).collect();
            assert_eq!(self::texts(&read_all(&*log, tenant(n), 0).await), expected);
        }
        log.close().await;
    }
}

/// After closing, nothing is taken and nothing pretended.
pub async fn a_closed_log_says_so(log: &dyn EventLog) {
    append(log, tenant(1), day(0), &["a"]).await;
    assert!(log.health().await.writable);
    log.close().await;
    log.close().await;
    let refused = log.append(tenant(1), day(0), vec![Bytes::from_static(b"b")]).await;
    assert!(matches!(refused, Err(LogError::Closed)), "{refused:?}");
    assert!(matches!(log.read(tenant(1), 0, 1, 1).await, Err(LogError::Closed)));
    assert!(!log.health().await.writable);
}

fn tenant(n: u8) -> TenantId {
    TenantId::from_parts(1_700_000_000_000, &[0, 0, 0, 0, 0, 0, 0, 0, 0, n])
}

fn day(n: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + n * DAY.as_millis() as i64)
}

async fn append(log: &dyn EventLog, tenant: TenantId, now: Timestamp, texts: &[&str]) -> std::ops::RangeInclusive<u64> {
    let bodies = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    log.append(tenant, now, bodies).await.expect("append")
}

async fn read_all(log: &dyn EventLog, tenant: TenantId, after: Position) -> Vec<Entry> {
    log.read(tenant, after, usize::MAX, PLENTY).await.expect("read")
}

async fn head(log: &dyn EventLog, tenant: TenantId) -> Position {
    log.head(tenant).await.expect("head")
}

async fn trim(log: &dyn EventLog, now: Timestamp, done: &[(TenantId, Position)]) -> Trimmed {
    log.trim(now, Duration::ZERO, &done.iter().copied().collect()).await.expect("trim")
}

async fn oldest(log: &dyn EventLog, tenant: TenantId) -> Position {
    log.oldest(tenant).await.expect("oldest")
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.body).into_owned()).collect()
}

fn positions(entries: &[Entry]) -> Vec<Position> {
    entries.iter().map(|entry| entry.position).collect()
}

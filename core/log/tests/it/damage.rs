//! Torn ends are cut off; flipped bits are found out, said, and never skipped.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, LogError};

use crate::clients::{now, options, tenant};

/// What a crash leaves of a log after `appends` appends of three entries, the last with a large body: a copy of the
/// files of a log that is still open. Also returns the journal's length before and after the last append.
async fn crashed(appends: u64) -> (tempfile::TempDir, PathBuf, [usize; 2]) {
    let (live, image) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let log = EmbeddedLog::open(live.path(), EmbeddedOptions::default()).expect("open");
    let mut length = 0;
    for n in 0..appends {
        length = used(&journal(live.path()));
        let filler = if n + 1 == appends { "x".repeat(20_000) } else { "y".repeat(100) };
        let bodies = (0..3).map(|k| Bytes::from(format!("{n} {k} {filler}"))).collect();
        log.append(tenant(1), now(), bodies).await.expect("append");
    }
    let lengths = [length, used(&journal(live.path()))];
    copy(live.path(), image.path());
    let journal = journal(image.path());
    // The preallocation only takes time to copy.
    let file = std::fs::OpenOptions::new().write(true).open(&journal).expect("the journal");
    file.set_len(lengths[1] as u64 + 100_000).expect("a shorter journal");
    (image, journal, lengths)
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        let target = to.join(file.file_name());
        if file.file_type().expect("a type").is_dir() {
            std::fs::create_dir_all(&target).expect("a folder");
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).expect("a copy");
        }
    }
}

fn journal(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder.join("engine")).expect("the engine's folder");
    let journals =
        files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some_and(|e| e == "jnl"));
    journals.max().expect("a journal")
}

/// How far a preallocated file is written.
fn used(path: &Path) -> usize {
    let content = std::fs::read(path).expect("the journal");
    // In strides, since a journal is preallocated with 64 MiB of zeros.
    let stride = content.chunks(4096).rposition(|stride| stride != &[0; 4096][..stride.len()]);
    let from = stride.map_or(0, |stride| stride * 4096);
    content[from..].iter().rposition(|byte| *byte != 0).map_or(0, |last| from + last + 1)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = std::fs::read(path).expect("the journal");
    change(&mut content);
    std::fs::write(path, content).expect("the journal");
}

async fn count(folder: &Path) -> Result<u64, LogError> {
    let log = EmbeddedLog::open(folder, EmbeddedOptions::default())?;
    let entries = log.read(tenant(1), 0, usize::MAX, 1 << 30).await?;
    assert_eq!(entries.len() as u64, log.head(tenant(1)).await?);
    let next = log.append(tenant(1), now(), vec![Bytes::from_static(b"next")]).await?;
    assert_eq!(*next.start(), entries.len() as u64 + 1, "appending goes on behind what is there");
    log.close().await;
    Ok(entries.len() as u64)
}

#[tokio::test]
async fn an_intact_image_of_a_crash_opens_whole() {
    let (image, ..) = crashed(5).await;
    assert_eq!(count(image.path()).await.expect("intact"), 15);
}

#[tokio::test]
async fn a_torn_last_write_is_cut_off_whole_wherever_it_was_torn() {
    let mut random = StdRng::seed_from_u64(1);
    let (original, _, [before, after]) = crashed(4).await;
    for n in 0..12 {
        let image = tempfile::tempdir().expect("a folder");
        copy(original.path(), image.path());
        let journal = journal(image.path());
        let at = if n == 0 { before + 1 } else { random.random_range(before + 1..after) };
        change(&journal, |content| match n % 3 {
            // The file ends early.
            0 => content.truncate(at),
            // The rest never came; the file was preallocated.
            1 => content[at..].fill(0),
            // A page in the middle never came, those behind it did.
            _ => content[at..(at + 4096).min(after)].fill(0),
        });
        assert_eq!(count(image.path()).await.expect("a torn end is no damage"), 9, "torn at {at} of {before}..{after}");
    }
}

#[tokio::test]
async fn a_torn_last_write_of_noise_is_cut_off() {
    let (image, journal, [_, after]) = crashed(4).await;
    change(&journal, |content| {
        content.truncate(after + 30_000);
        let noise = StdRng::seed_from_u64(2).random_iter().take(30_000);
        content.splice(after..after + 30_000, noise);
    });
    assert_eq!(count(image.path()).await.expect("a torn end is no damage"), 12);
}

#[tokio::test]
async fn a_bit_that_flips_before_the_last_write_is_never_skipped() {
    let mut random = StdRng::seed_from_u64(3);
    let (image, journal, [before, after]) = crashed(6).await;
    let intact = std::fs::read(&journal).expect("the journal")[..after].to_vec();
    for n in 0..150 {
        // Every bit of the first bytes, where a batch begins; then anywhere.
        let bit = if n < 13 * 8 { n } else { random.random_range(0..before * 8) };
        change(&journal, |content| content[bit / 8] ^= 1 << (bit % 8));
        let opened = EmbeddedLog::open(image.path(), EmbeddedOptions::default());
        match opened.err() {
            Some(LogError::Damaged { file, offset, .. }) => {
                assert_eq!(file, journal);
                assert!(offset <= (bit / 8) as u64, "bit {bit} (case {n}): damage was seen at {offset} only");
            }
            // The low bits of a sequence number may change without a change of order.
            None => assert_eq!(count(image.path()).await.expect("nothing was lost"), 18, "bit {bit} flipped"),
            Some(other) => panic!("bit {bit} flipped: {other}"),
        }
        std::fs::write(&journal, &intact).expect("the journal");
    }
    assert_eq!(count(image.path()).await.expect("intact again"), 18);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flips_in_a_table_stops_the_reader_in_front_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = EmbeddedLog::open(folder.path(), options()).expect("open");
    let body = |n: u64| Bytes::from(format!("{n} {}", "z".repeat(5000)));
    for batch in 0..20 {
        let bodies = (0..50).map(|n| body(batch * 50 + n)).collect();
        log.append(tenant(1), now(), bodies).await.expect("append");
    }
    log.close().await;
    let tables = tables(folder.path());
    assert!(!tables.is_empty(), "nothing was written to tables");
    let mut random = StdRng::seed_from_u64(4);
    let (mut at_opening, mut at_reading, mut harmless) = (0, 0, 0);
    for _ in 0..40 {
        let table = &tables[random.random_range(0..tables.len())];
        let intact = std::fs::read(table).expect("a table");
        let bit = random.random_range(0..intact.len() * 8);
        change(table, |content| content[bit / 8] ^= 1 << (bit % 8));
        match EmbeddedLog::open(folder.path(), EmbeddedOptions { recent_bytes: 0, ..options() }) {
            Err(LogError::Damaged { .. }) => at_opening += 1,
            Err(other) => panic!("{other}"),
            Ok(log) => {
                match read_up_to_damage(&log, body).await {
                    1000 => harmless += 1,
                    _ => at_reading += 1,
                }
                log.close().await;
            }
        }
        std::fs::write(table, &intact).expect("a table");
    }
    assert!(at_reading > 20, "{at_opening} seen at opening, {at_reading} at reading, {harmless} harmless");
}

/// Reads on until the log says that it cannot, and holds every entry against what was written.
async fn read_up_to_damage(log: &EmbeddedLog, body: impl Fn(u64) -> Bytes) -> u64 {
    let mut cursor = 0;
    loop {
        match log.read(tenant(1), cursor, 64, 1 << 30).await {
            Ok(entries) if entries.is_empty() => return cursor,
            Ok(entries) => {
                for entry in entries {
                    assert_eq!(entry.position, cursor + 1, "an entry was skipped");
                    assert_eq!(entry.body, body(cursor), "an entry has changed and nothing was said");
                    cursor += 1;
                }
            }
            Err(LogError::Corrupt { position, .. }) => {
                assert_eq!(position, cursor + 1, "the damage is not said to be where reading stopped");
                return cursor;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

fn tables(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for keyspace in std::fs::read_dir(folder.join("engine/keyspaces")).expect("keyspaces") {
        let path = keyspace.expect("a keyspace").path();
        // 0 is the engine's own, 1 the index.
        if path.ends_with("0") || path.ends_with("1") {
            continue;
        }
        let tables = std::fs::read_dir(path.join("tables")).expect("tables");
        found.extend(tables.map(|table| table.expect("a table").path()));
    }
    found
}

//! Brings a table to disk while it is being written. The storage engine flushes it at its end, all sixteen megabytes at
//! once, and an append that is to be durable waits behind that; piece by piece it waits behind a piece.
//!
//! Nothing is promised by it: the engine still flushes the table itself, and learns there of a piece that failed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use super::Shared;

/// So much of a table is written before it is flushed.
const PIECE: u64 = 1 << 20;
/// How often a table is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// After so many looks in which nothing grew the table is done, or there is none.
const PATIENCE: u32 = 25;

/// Where the folders go whose tables are being written.
pub(super) struct Eager(SyncSender<PathBuf>);

impl Eager {
    /// Starts the thread, which ends with this. Without it all goes on as well, only slower.
    pub(super) fn start() -> Self {
        let (send, folders) = sync_channel(0);
        if let Err(error) = thread::Builder::new().name("log-eager".into()).spawn(move || run(&folders)) {
            tracing::warn!(%error, "tables of the log are flushed at their ends only");
        }
        Self(send)
    }
}

impl Shared {
    /// Looks whether the engine is writing a table.
    pub(super) fn hurry(&self, eager: &Eager) {
        let place = self.place.read();
        let Some(window) = place.as_ref().and_then(|place| place.current()) else { return };
        if window.keyspace.sealed_memtable_count() > 0 {
            // One that is being looked after takes no other: then it is this one.
            drop(eager.0.try_send(window.keyspace.path().join("tables")));
        }
    }
}

fn run(folders: &Receiver<PathBuf>) {
    while let Ok(folder) = folders.recv() {
        // The folder may go at any time, and then there is nothing to hurry.
        if let Err(error) = follow(&folder) {
            tracing::debug!(%error, "a table of the log could not be flushed early");
        }
    }
}

/// Flushes the newest table as it grows.
fn follow(folder: &Path) -> io::Result<()> {
    let mut flushed = (0, 0);
    let mut still = 0;
    while still < PATIENCE {
        match newest(folder)? {
            Some((number, path)) => {
                let before = if number == flushed.0 { flushed.1 } else { 0 };
                let file = File::open(path)?;
                let length = file.metadata()?.len();
                if length >= before + PIECE {
                    file.sync_data()?;
                    (flushed, still) = ((number, length), 0);
                    continue;
                }
            }
            None => {}
        }
        still += 1;
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The table with the highest number.
fn newest(folder: &Path) -> io::Result<Option<(u64, PathBuf)>> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        newest = newest.max(number.map(|number| (number, entry.path())));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_table_is_the_one_with_the_highest_number() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest(folder.path()).expect("reads"), None);
        for name in ["9", "10", "x", "current"] {
            std::fs::write(folder.path().join(name), vec![1; 2 << 20]).expect("writes");
        }
        let found = newest(folder.path()).expect("reads");
        assert_eq!(found, Some((10, folder.path().join("10"))));
        follow(folder.path()).expect("flushes and comes to an end");
        assert!(follow(&folder.path().join("gone")).is_err());
    }
}

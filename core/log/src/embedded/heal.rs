//! After storage failed: refuse writes at once, keep reads up, and come back by itself.
//!
//! The engine that failed stays open for reading until a file of some size can be written and flushed beside it.
//! Then it is closed and the folder opened anew: the journals are looked over and cut where acknowledgement ended,
//! and every stream must be found as far as it was acknowledged before anything is written again.

use std::{fs::File, io::Write, time::Instant};

use super::{
    Shared,
    place::{Place, engine_folder},
    queue::{Chore, Work},
    writer::{answer, describe},
};
use crate::LogError;

/// What must fit on the disk before it is worth trying, in bytes.
const PROBE: usize = 1024 * 1024;

impl Shared {
    /// Answers what waits with the trouble, and tries again and again to end it. Returns false if the log is closed
    /// first.
    pub(super) fn heal_until_well(&self) -> bool {
        let mut told = None;
        loop {
            let next_try = Instant::now() + self.options.heal_every;
            loop {
                match self.queue.next_within(next_try.saturating_duration_since(Instant::now())) {
                    None => break,
                    Some(Work::Over) => return false,
                    Some(work) => self.refuse(work),
                }
            }
            match self.heal() {
                Ok(()) => {
                    *self.trouble.lock() = None;
                    tracing::info!("the log takes writes again");
                    return true;
                }
                Err(error) => {
                    let reason = reason_of(&error);
                    if told.as_ref() != Some(&reason) {
                        tracing::warn!(reason, "the log still cannot write");
                    }
                    *self.trouble.lock() = Some(reason.clone());
                    told = Some(reason);
                }
            }
        }
    }

    fn refuse(&self, work: Work) {
        match work {
            Work::Group(appends) => {
                for append in appends {
                    answer(append.reply, Err(self.why_not()));
                }
            }
            Work::Chore(Chore::Trim { reply, .. }) => answer(reply, Err(self.why_not())),
            Work::Chore(Chore::Erase { reply, .. } | Chore::Drop { reply, .. }) => answer(reply, Err(self.why_not())),
            Work::Over => {}
        }
    }

    pub(super) fn heal(&self) -> Result<(), LogError> {
        self.probe().map_err(|error| LogError::unavailable("storage takes no writes", error))?;
        let busy = || LogError::Unavailable { reason: "an erasure still uses the storage".into(), source: None };
        let _no_purge = self.purging.try_lock().ok_or_else(busy)?;
        let _no_readers = self.readers.write();
        let mut place = self.place.write();
        drop(place.take());
        let acknowledged = self.streams.acknowledged();
        let (opened, found) = Place::open(&self.folder, &self.options, Some(&acknowledged))?;
        for (tenant, head) in acknowledged {
            let there = found.get(&tenant).map_or(0, |stream| stream.head);
            if there != head {
                let reason = format!("{tenant} was acknowledged up to {head} and is there up to {there}");
                return Err(LogError::Damaged { file: engine_folder(&self.folder), offset: 0, reason });
            }
        }
        self.streams.adopt(found);
        let marked = place.insert(opened).mark();
        marked.map_err(|error| LogError::unavailable(describe(&error), error))
    }

    /// Writes and flushes a file of some size, and takes it away again.
    fn probe(&self) -> std::io::Result<()> {
        let path = self.folder.join("probe");
        let written = File::create(&path).and_then(|mut file| {
            // Not zeros: a file system may store those for nothing.
            file.write_all(&[0x5a; PROBE])?;
            file.sync_all()
        });
        let removed = std::fs::remove_file(&path);
        written.and(removed)
    }
}

fn reason_of(error: &LogError) -> String {
    match error {
        LogError::Unavailable { reason, source: Some(source) } => format!("{reason}: {source}"),
        other => other.to_string(),
    }
}

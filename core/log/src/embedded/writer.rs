//! The one thread that changes the log: it takes what waits, commits it in groups, and heals the storage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Shared,
    place::{engine_folder, translate},
    queue::{Append, Chore, Reply, Work},
    removal::{EraseFailure, Erased},
};
use crate::LogError;

/// Runs until the queue is closed and empty, then lets go of the folder.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        if shared.trouble.lock().is_some() && !shared.heal_until_well() {
            break;
        }
        match shared.queue.next() {
            Work::Group(appends) => shared.write_group(appends),
            Work::Chore(chore) => shared.do_chore(chore),
            Work::Over => break,
        }
    }
    shared.release();
}

impl Shared {
    fn write_group(&self, appends: Vec<Append>) {
        match self.guarded(|| self.commit(&appends)) {
            Ok(ranges) => {
                for (append, range) in appends.into_iter().zip(ranges) {
                    answer(append.reply, Ok(range));
                }
            }
            Err(error) => {
                self.stop_writing(&error);
                for append in appends {
                    answer(append.reply, Err(self.why_not()));
                }
            }
        }
    }

    fn do_chore(&self, chore: Chore) {
        match chore {
            Chore::Trim { now, kept, done, reply } => {
                let trimmed = self.guarded(|| match self.place.write().as_mut() {
                    Some(place) => place.trim(&self.streams, now, kept, &done),
                    None => Err(fjall::Error::Poisoned),
                });
                self.settle(reply, trimmed);
            }
            Chore::Erase { tenant, positions, reply } => {
                let _reading = self.readers.read();
                let mut entry_failure = None;
                let done = self.guarded(|| match self.place.read().as_ref() {
                    Some(place) => match place.erase(&self.streams, tenant, &positions) {
                        Ok(erased) => Ok(erased),
                        Err(EraseFailure::Storage(error)) => Err(error),
                        Err(EraseFailure::Entry(error)) => {
                            entry_failure = Some(error);
                            Ok(Erased { count: 0, windows: Vec::new() })
                        }
                    },
                    None => Err(fjall::Error::Poisoned),
                });
                match entry_failure {
                    Some(error) => answer(reply, Err(error)),
                    None => self.settle(reply, done),
                }
            }
            Chore::Drop { tenant, reply } => {
                let _reading = self.readers.read();
                let done = self.guarded(|| match self.place.read().as_ref() {
                    Some(place) => place.drop_stream(&self.streams, tenant),
                    None => Err(fjall::Error::Poisoned),
                });
                self.settle(reply, done);
            }
        }
    }

    fn settle<T>(&self, reply: Reply<T>, done: fjall::Result<T>) {
        if let Err(error) = &done {
            self.stop_writing(error);
        }
        answer(reply, done.map_err(|_| self.why_not()));
    }

    /// The engine asserts some of what it expects of the disk; a panic there is a failure of storage like another.
    fn guarded<T>(&self, work: impl FnOnce() -> fjall::Result<T>) -> fjall::Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            tracing::error!("the storage engine panicked");
            Err(fjall::Error::Poisoned)
        })
    }

    /// From now on nothing is acknowledged, until healing has looked at what is really on disk. What failed is not
    /// tried again: after a failed flush the page cache no longer tells the truth.
    fn stop_writing(&self, error: &fjall::Error) {
        let reason = describe(error);
        tracing::error!(reason, "the log cannot write; appends are refused until it can");
        *self.trouble.lock() = Some(reason);
    }

    /// Lets go of the engine and the folder, once nobody uses them.
    fn release(&self) {
        let _no_purge = self.purging.lock();
        let _no_readers = self.readers.write();
        if let Some(place) = self.place.write().take()
            && self.trouble.lock().is_none()
            && let Err(error) = place.mark()
        {
            let error = translate(&engine_folder(&self.folder), error);
            tracing::warn!(%error, "the log's last record was not written");
        }
        self.lock.lock().take();
    }
}

/// Whoever asked may have stopped waiting; then the answer is not needed.
pub(super) fn answer<T>(reply: Reply<T>, result: Result<T, LogError>) {
    drop(reply.send(result));
}

/// A failure of the engine, without the noise of its nesting.
pub(super) fn describe(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "writing failed in the background".into(),
        other => other.to_string(),
    }
}

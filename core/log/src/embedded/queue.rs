//! What waits for the one writer, bounded in number and in bytes.

use std::{
    collections::{HashMap, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rialto_model::{Position, TenantId, Timestamp};
use tokio::sync::oneshot;

use super::{EmbeddedOptions, frame::Draft, removal::Erased};
use crate::{LogError, Trimmed};

/// Where an answer goes. Whoever asked may have gone; then nobody reads it.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LogError>>;

/// One append on its way.
pub(super) struct Append {
    pub(super) tenant: TenantId,
    pub(super) now: Timestamp,
    pub(super) drafts: Vec<Draft>,
    pub(super) bytes: usize,
    pub(super) reply: Reply<RangeInclusive<Position>>,
}

/// What else the writer does, one at a time and between groups.
pub(super) enum Chore {
    Trim { now: Timestamp, kept: Duration, done: HashMap<TenantId, Position>, reply: Reply<Trimmed> },
    Erase { tenant: TenantId, positions: Vec<Position>, reply: Reply<Erased> },
    Drop { tenant: TenantId, reply: Reply<Erased> },
}

/// The writer's next piece of work.
pub(super) enum Work {
    Group(Vec<Append>),
    Chore(Chore),
    /// Nothing waits and nothing more will come.
    Over,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    bytes: usize,
    chores: VecDeque<Chore>,
    closed: bool,
}

/// The queue.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    grown: Condvar,
    max_bytes: usize,
    max_appends: usize,
    max_group_bytes: usize,
}

impl Queue {
    pub(super) fn new(options: &EmbeddedOptions) -> Self {
        Self {
            waiting: Mutex::default(),
            grown: Condvar::new(),
            max_bytes: options.max_queued_bytes,
            max_appends: options.max_queued_appends,
            max_group_bytes: options.max_group_bytes,
        }
    }

    /// Lets an append wait.
    ///
    /// # Errors
    /// [`LogError::Full`], [`LogError::Closed`].
    pub(super) fn push(&self, append: Append) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(LogError::Closed);
        }
        let is_full = waiting.appends.len() >= self.max_appends || waiting.bytes + append.bytes > self.max_bytes;
        if is_full && !waiting.appends.is_empty() {
            return Err(LogError::Full);
        }
        waiting.bytes += append.bytes;
        waiting.appends.push_back(append);
        drop(waiting);
        self.grown.notify_one();
        Ok(())
    }

    /// Lets a chore wait.
    ///
    /// # Errors
    /// [`LogError::Closed`].
    pub(super) fn push_chore(&self, chore: Chore) -> Result<(), LogError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(LogError::Closed);
        }
        waiting.chores.push_back(chore);
        drop(waiting);
        self.grown.notify_one();
        Ok(())
    }

    /// Waits for work and takes it: a chore first, else as many appends as a group may hold.
    pub(super) fn next(&self) -> Work {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(chore) = waiting.chores.pop_front() {
                return Work::Chore(chore);
            }
            if !waiting.appends.is_empty() {
                return Work::Group(waiting.take_group(self.max_group_bytes));
            }
            if waiting.closed {
                return Work::Over;
            }
            self.grown.wait(&mut waiting);
        }
    }

    /// As [`Queue::next`], but gives up after `patience`, at once if that is nothing.
    pub(super) fn next_within(&self, patience: Duration) -> Option<Work> {
        let mut waiting = self.waiting.lock();
        if waiting.appends.is_empty() && waiting.chores.is_empty() && !waiting.closed {
            self.grown.wait_for(&mut waiting, patience);
        }
        let nothing = waiting.appends.is_empty() && waiting.chores.is_empty() && !waiting.closed;
        drop(waiting);
        (!nothing).then(|| self.next())
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.grown.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }
}

impl Waiting {
    fn take_group(&mut self, max_bytes: usize) -> Vec<Append> {
        let mut bytes = 0;
        let mut count = 0;
        for append in &self.appends {
            if count > 0 && bytes + append.bytes > max_bytes {
                break;
            }
            bytes += append.bytes;
            count += 1;
        }
        self.bytes -= bytes;
        self.appends.drain(..count).collect()
    }
}

#[cfg(test)]
#[path = "tests/queue.rs"]
mod tests;

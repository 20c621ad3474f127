//! The log of a single node: streams in fjall, one group commit for all tenants, in one folder.
//!
//! A write goes `queue` → `writer` → `commit` (frames, one batch, one flush) → `streams` (what is known without the
//! disk) → tails. A read asks `streams` first and the disk (`reader`) only for what has left memory. The rest keeps
//! faith with the disk: `audit` and `journal` at opening, `heal` after a failure, `removal`, `purge` and `scrub` for
//! what must go.

mod audit;
mod commit;
mod frame;
mod heal;
mod journal;
mod keys;
mod options;
mod place;
mod purge;
mod queue;
mod reader;
mod removal;
mod scrub;
mod streams;
mod window;
mod writer;

use std::{
    collections::{BTreeSet, HashMap},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use fjall::Keyspace;
use parking_lot::{Mutex, RwLock};
use rialto_model::{Position, TenantId, Timestamp};
use tokio::sync::{oneshot, watch};

pub use options::EmbeddedOptions;

use self::{
    frame::Draft,
    place::{FolderLock, Place},
    queue::{Append, Chore, Queue, Reply},
    removal::Erased,
    streams::{Answer, Span, Streams},
};
use crate::{Entry, EventLog, Health, LogError, Tail, Tails, Trimmed};

/// What an entry costs beside its body while it waits, in bytes.
const OVERHEAD: usize = 64;

/// How many entries are erased while appends wait: each may lie in a frame of 128 KiB of its own.
const ERASED_AT_ONCE: usize = 64;

/// How often a read looks again whose entries were trimmed or dropped under its eyes.
const LOOKS: usize = 3;

/// What the writer's thread and the callers share.
struct Shared {
    folder: PathBuf,
    options: EmbeddedOptions,
    /// `None` while the folder is being opened anew, and once the log is closed.
    place: RwLock<Option<Place>>,
    streams: Streams,
    tails: Tails,
    queue: Queue,
    /// Why nothing is written at the moment.
    trouble: Mutex<Option<String>>,
    /// Held for reading by whoever iterates on disk.
    readers: RwLock<()>,
    purging: Mutex<()>,
    lock: Mutex<Option<FolderLock>>,
}

/// A log in a folder of this machine. One process at a time may have it open.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedLog {
    /// Opens the log in `path`, or begins one. Reads back what a crash has left and checks it; blocks meanwhile, in
    /// proportion to [`EmbeddedOptions::journal_bytes`].
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::Damaged`], [`LogError::Unavailable`]. A log that can be read and not
    /// written opens, and heals by itself; see [`EventLog::health`].
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, LogError> {
        let folder = std::path::absolute(path.as_ref())
            .map_err(|error| LogError::unavailable("the log's folder cannot be named", error))?;
        let lock = place::lock(&folder)?;
        let (place, streams) = Place::open(&folder, &options, None)?;
        let trouble = place.mark().err().map(|error| writer::describe(&error));
        let shared = Arc::new(Shared {
            streams: Streams::new(streams, options.recent_bytes),
            queue: Queue::new(&options),
            place: RwLock::new(Some(place)),
            tails: Tails::default(),
            trouble: Mutex::new(trouble),
            readers: RwLock::default(),
            purging: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            folder,
            options,
        });
        let (end, ended) = watch::channel(false);
        let writer = std::thread::Builder::new().name("log-writer".into()).spawn({
            let shared = shared.clone();
            move || {
                writer::run(&shared);
                end.send_replace(true);
            }
        });
        let writer = writer.map_err(|error| LogError::unavailable("no thread could be started", error))?;
        Ok(Self { shared, ended, writer: Some(writer) })
    }

    fn check_open(&self) -> Result<(), LogError> {
        if self.shared.queue.is_closed() { Err(LogError::Closed) } else { Ok(()) }
    }

    async fn chore<T>(&self, chore: impl FnOnce(Reply<T>) -> Chore) -> Result<T, LogError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push_chore(chore(reply))?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// Rewrites the frames of these positions, a few at a time: appends wait meanwhile, and what is rewritten lies in
    /// memory.
    async fn erase_bit_by_bit(&self, tenant: TenantId, positions: &[Position]) -> Result<Erased, LogError> {
        let mut all = Erased { count: 0, windows: Vec::new() };
        for positions in positions.chunks(ERASED_AT_ONCE) {
            let positions = positions.to_vec();
            all.add(self.chore(|reply| Chore::Erase { tenant, positions, reply }).await?);
        }
        Ok(all)
    }

    async fn purge(
        &self,
        erased: Erased,
        is_erased: impl Fn(TenantId, Position) -> bool + Send + 'static,
    ) -> Result<usize, LogError> {
        let shared = self.shared.clone();
        blocking(move || shared.purge(&erased.windows, is_erased).map(|()| erased.count)).await
    }
}

impl Shared {
    /// What to tell whoever wants to write, or finds nothing to read from.
    fn why_not(&self) -> LogError {
        if self.queue.is_closed() {
            return LogError::Closed;
        }
        let reason = self.trouble.lock().clone().unwrap_or_else(|| "the log is being opened anew".into());
        LogError::Unavailable { reason, source: None }
    }

    /// The windows' storage; `None` if one is not there any more.
    fn keyspaces<T>(&self, wanted: impl IntoIterator<Item = (T, u64)>) -> Result<Option<Vec<(T, Keyspace)>>, LogError> {
        let place = self.place.read();
        let place = place.as_ref().ok_or_else(|| self.why_not())?;
        let found = wanted.into_iter().map(|(what, window)| Some((what, place.windows.get(&window)?.keyspace.clone())));
        Ok(found.collect())
    }

    /// Reads from disk; `None` if trimming or dropping took what was to be read.
    fn read_disk(
        &self,
        tenant: TenantId,
        spans: &[Span],
        limit: usize,
        max_bytes: usize,
    ) -> Result<Option<Vec<Entry>>, LogError> {
        let _reading = self.readers.read();
        let Some(places) = self.keyspaces(spans.iter().map(|span| (*span, span.window)))? else { return Ok(None) };
        self.unless_gone(tenant, reader::read(&places, tenant, limit, max_bytes))
    }

    /// An entry that is missing since it was trimmed or dropped while it was being read is not corrupt.
    fn unless_gone<T>(&self, tenant: TenantId, read: Result<T, LogError>) -> Result<Option<T>, LogError> {
        match read {
            Err(LogError::Corrupt { position, .. })
                if self.streams.view(tenant, |s| s.dropped || s.oldest() > position).unwrap_or(true) =>
            {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    fn get_from_disk(
        &self,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Option<Vec<(Position, Entry)>>, LogError> {
        let _reading = self.readers.read();
        let windows = positions.iter().filter_map(|position| {
            let span = self.streams.spans(tenant, *position).into_iter().next()?;
            (span.first == *position).then_some((*position, span.window))
        });
        let Some(places) = self.keyspaces(windows)? else { return Ok(None) };
        self.unless_gone(tenant, reader::get_many(&places, tenant))
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn append(
        &self,
        tenant: TenantId,
        now: Timestamp,
        bodies: Vec<Bytes>,
    ) -> Result<RangeInclusive<Position>, LogError> {
        self.check_open()?;
        if self.shared.trouble.lock().is_some() {
            return Err(self.shared.why_not());
        }
        if bodies.is_empty() {
            let head = self.head(tenant).await?;
            return Ok(head + 1..=head);
        }
        let bytes: usize = bodies.iter().map(Bytes::len).sum();
        let limit = self.shared.options.max_append_bytes.min(frame::MAX_BODY);
        if bytes > limit {
            return Err(LogError::TooLarge { bytes, limit });
        }
        let bytes = bytes + bodies.len() * OVERHEAD;
        let drafts = bodies.into_iter().map(Draft::new).collect();
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Append { tenant, now, drafts, bytes, reply })?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    async fn read(
        &self,
        tenant: TenantId,
        after: Position,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        for _ in 0..LOOKS {
            self.check_open()?;
            match self.shared.streams.read(tenant, after, limit, max_bytes) {
                Answer::Here(entries) => return Ok(entries),
                Answer::OnDisk(spans) => {
                    let shared = self.shared.clone();
                    let read = blocking(move || shared.read_disk(tenant, &spans, limit, max_bytes));
                    if let Some(entries) = read.await? {
                        return Ok(entries);
                    }
                }
            }
        }
        Err(lost_from_sight())
    }

    async fn get_many(&self, tenant: TenantId, positions: &[Position]) -> Result<Vec<Entry>, LogError> {
        for _ in 0..LOOKS {
            self.check_open()?;
            let near: Vec<_> = positions.iter().map(|p| (*p, self.shared.streams.get(tenant, *p))).collect();
            let far: Vec<_> = near.iter().filter(|(_, found)| found.is_none()).map(|(p, _)| *p).collect();
            let mut read = Vec::new();
            if !far.is_empty() {
                let shared = self.shared.clone();
                match blocking(move || shared.get_from_disk(tenant, &far)).await? {
                    Some(entries) => read = entries,
                    None => continue,
                }
            }
            let mut read = read.into_iter().peekable();
            let in_order = near.into_iter().filter_map(|(position, found)| match found {
                Some(entry) => entry,
                None => read.next_if(|(at, _)| *at == position).map(|(_, entry)| entry),
            });
            return Ok(in_order.collect());
        }
        Err(lost_from_sight())
    }

    async fn head(&self, tenant: TenantId) -> Result<Position, LogError> {
        self.check_open()?;
        Ok(self.shared.streams.view(tenant, |stream| stream.head).unwrap_or(0))
    }

    async fn oldest(&self, tenant: TenantId) -> Result<Position, LogError> {
        self.check_open()?;
        Ok(self.shared.streams.view(tenant, |stream| stream.oldest()).unwrap_or(1))
    }

    fn tail(&self) -> Tail {
        self.shared.tails.subscribe()
    }

    async fn tenants(&self) -> Result<Vec<(TenantId, Position)>, LogError> {
        self.check_open()?;
        Ok(self.shared.streams.heads())
    }

    async fn trim(
        &self,
        now: Timestamp,
        kept: Duration,
        done: &HashMap<TenantId, Position>,
    ) -> Result<Trimmed, LogError> {
        let done = done.clone();
        self.chore(|reply| Chore::Trim { now, kept, done, reply }).await
    }

    async fn erase(&self, tenant: TenantId, positions: &[Position]) -> Result<usize, LogError> {
        let wanted: BTreeSet<Position> = positions.iter().copied().collect();
        let erased = self.erase_bit_by_bit(tenant, positions).await?;
        self.purge(erased, move |whose, position| whose == tenant && wanted.contains(&position)).await
    }

    async fn erase_of_many(&self, wanted: &[(TenantId, Vec<Position>)]) -> Result<usize, LogError> {
        let mut all = Erased { count: 0, windows: Vec::new() };
        let mut gone: HashMap<TenantId, BTreeSet<Position>> = HashMap::new();
        for (tenant, positions) in wanted {
            gone.entry(*tenant).or_default().extend(positions);
            all.add(self.erase_bit_by_bit(*tenant, positions).await?);
        }
        self.purge(all, move |whose, position| gone.get(&whose).is_some_and(|gone| gone.contains(&position))).await
    }

    async fn drop_tenant(&self, tenant: TenantId) -> Result<(), LogError> {
        let erased = self.chore(|reply| Chore::Drop { tenant, reply }).await?;
        let head = self.head(tenant).await?;
        self.purge(erased, move |whose, position| whose == tenant && position <= head).await.map(|_| ())
    }

    async fn health(&self) -> Health {
        let reason = if self.shared.queue.is_closed() {
            Some("the log is closed".into())
        } else {
            self.shared.trouble.lock().clone()
        };
        Health { writable: reason.is_none(), reason }
    }

    async fn close(&self) {
        self.shared.queue.close();
        // An error says that the thread is gone, which is as good.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}

/// What was to be read is not where it is said to lie, however often that is asked.
fn lost_from_sight() -> LogError {
    LogError::Unavailable { reason: "windows of the log went while they were being read".into(), source: None }
}

/// Runs what waits for the disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(LogError::unavailable("reading the log ended early", error)))
}

#[cfg(test)]
#[path = "embedded/tests/heal.rs"]
mod tests;

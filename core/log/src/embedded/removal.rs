//! What leaves the log: whole windows, single entries, whole streams. This part makes it invisible and durable;
//! `purge` then makes the bytes go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;
use fjall::{Keyspace, PersistMode};
use rialto_model::{Position, TenantId, Timestamp};

use super::{
    frame::Frame,
    keys,
    place::{Place, Window, translate_read},
    streams::{Segment, Span, Streams},
    window,
};
use crate::{Held, LogError, Trimmed};

/// What an erasure has made invisible, and which windows still hold the bytes.
pub(super) struct Erased {
    pub(super) count: usize,
    pub(super) windows: Vec<Keyspace>,
}

impl Erased {
    /// Takes in what was erased after it.
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        for window in other.windows {
            if self.windows.iter().all(|known| known.name() != window.name()) {
                self.windows.push(window);
            }
        }
    }
}

/// Frames are removed this many at a time, so that no batch grows with a stream.
const AT_ONCE: usize = 4096;

impl Place {
    /// Drops the windows that ended longer than `kept` ago and hold nothing that is not `done` with. A clock that
    /// runs ahead of the newest window does not count: nothing came since.
    pub(super) fn trim(
        &mut self,
        streams: &Streams,
        now: Timestamp,
        kept: Duration,
        done: &HashMap<TenantId, Position>,
    ) -> fjall::Result<Trimmed> {
        let slots: Vec<_> = self.windows.values().map(|window| window.slot).collect();
        let Some(newest) = slots.last() else { return Ok(Trimmed::default()) };
        let before = now.min(newest.end).before(kept);
        let first_open = streams.first_open_window(done);
        let open = first_open.map_or(u64::MAX, |(number, _)| number);
        let ended = self.windows.values().take(window::ended(&slots, before));
        let (ended, stay): (Vec<&Window>, Vec<&Window>) = ended.partition(|window| window.number < open);
        let held = stay.first().zip(first_open);
        let held = held.map(|(first, (_, tenant))| Held { tenant, ended: first.slot.end, windows: stay.len() });
        let bytes = ended.iter().map(|window| window.keyspace.disk_space()).sum();
        let trimmed = Trimmed { windows: ended.len(), bytes, held };
        let Some(floor) = ended.last().map(|window| window.number) else { return Ok(trimmed) };
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.index, keys::FLOOR, floor.to_be_bytes());
        for (tenant, segments, head) in streams.in_windows(floor) {
            for segment in segments {
                batch.remove(&self.index, keys::segment(tenant, segment.first));
            }
            if let Some(head) = head {
                batch.insert(&self.index, keys::head(tenant), keys::head_value(head, false));
            }
        }
        batch.commit()?;
        self.floor = floor;
        streams.forget_windows(floor);
        self.delete_windows(floor)?;
        Ok(trimmed)
    }

    /// Deletes the storage of the windows up to `floor`.
    pub(super) fn delete_windows(&mut self, floor: u64) -> fjall::Result<()> {
        let kept = self.windows.split_off(&(floor + 1));
        for (_, window) in std::mem::replace(&mut self.windows, kept) {
            self.database.delete_keyspace(window.keyspace)?;
        }
        Ok(())
    }

    /// Rewrites the frames that hold these positions without their bodies.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] when a frame cannot be read; the engine's when it cannot be written.
    pub(super) fn erase(
        &self,
        streams: &Streams,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Erased, EraseFailure> {
        let wanted: BTreeSet<Position> = positions.iter().copied().collect();
        let mut erased = Erased { count: 0, windows: Vec::new() };
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        let mut touched = BTreeMap::new();
        let mut last_done = 0;
        for position in wanted.iter().copied() {
            if position <= last_done {
                continue;
            }
            let Some((window, frame)) = self.frame_at(streams, tenant, position)? else { continue };
            let (count, value) = frame
                .without(|position| wanted.contains(&position))
                .map_err(|(position, reason)| LogError::Corrupt { tenant, position, reason: reason.into() })?;
            batch.insert(&window.keyspace, keys::frame(tenant, frame.last), value);
            touched.insert(window.number, window.keyspace.clone());
            erased.count += count;
            last_done = frame.last;
        }
        batch.commit().map_err(EraseFailure::Storage)?;
        streams.forget_recent(tenant);
        erased.windows.extend(touched.into_values());
        Ok(erased)
    }

    /// The frame that holds a position, and the window it lies in; `None` if that position is not there.
    fn frame_at(
        &self,
        streams: &Streams,
        tenant: TenantId,
        position: Position,
    ) -> Result<Option<(&Window, Frame)>, LogError> {
        let spans = streams.spans(tenant, position);
        let Some(Span { window, .. }) = spans.first().filter(|span| span.first == position) else { return Ok(None) };
        let Some(window) = self.windows.get(window) else { return Ok(None) };
        Ok(Some((window, find_frame(&window.keyspace, tenant, position)?)))
    }

    /// Writes down that a stream is dropped; opening finishes what [`Place::remove_stream`] then does.
    pub(super) fn mark_dropped(&self, tenant: TenantId, head: Position) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.index, keys::head(tenant), keys::head_value(head, true));
        batch.commit()
    }

    /// Takes a dropped stream's frames away, then its segments.
    pub(super) fn remove_stream(&self, tenant: TenantId, segments: &[Segment]) -> fjall::Result<()> {
        for segment in segments {
            if let Some(window) = self.windows.get(&segment.window) {
                self.remove_frames(&window.keyspace, tenant)?;
            }
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for segment in segments {
            batch.remove(&self.index, keys::segment(tenant, segment.first));
        }
        batch.commit()
    }

    /// Drops a stream and names the windows that still hold its bytes: all of them, if an earlier attempt was
    /// interrupted and it is no longer known which.
    pub(super) fn drop_stream(&self, streams: &Streams, tenant: TenantId) -> fjall::Result<Erased> {
        let known = streams.view(tenant, |stream| (stream.head, stream.segments.clone()));
        let Some((head, segments)) = known else { return Ok(Erased { count: 0, windows: Vec::new() }) };
        self.mark_dropped(tenant, head)?;
        streams.drop_stream(tenant);
        self.remove_stream(tenant, &segments)?;
        let holds = |window: &&Window| segments.is_empty() || segments.iter().any(|s| s.window == window.number);
        let windows = self.windows.values().filter(holds).map(|window| window.keyspace.clone()).collect();
        Ok(Erased { count: 0, windows })
    }

    fn remove_frames(&self, keyspace: &Keyspace, tenant: TenantId) -> fjall::Result<()> {
        let all = keys::frame(tenant, 0)..=keys::frame(tenant, Position::MAX);
        let mut frames = keyspace.range(all).map(fjall::Guard::key).peekable();
        while frames.peek().is_some() {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            for key in frames.by_ref().take(AT_ONCE) {
                batch.remove(keyspace, key?);
            }
            batch.commit()?;
        }
        Ok(())
    }
}

/// Reads the frame that holds a position that is known to be in this window.
///
/// # Errors
/// [`LogError::Corrupt`] if it is not there or does not read as one.
pub(super) fn find_frame(keyspace: &Keyspace, tenant: TenantId, position: Position) -> Result<Frame, LogError> {
    let corrupt = |reason: &str| LogError::Corrupt { tenant, position, reason: reason.into() };
    let from = keys::frame(tenant, position)..=keys::frame(tenant, Position::MAX);
    let found = keyspace.range(from).next().ok_or_else(|| corrupt("it is missing"))?;
    let (key, value) = found.into_inner().map_err(|error| translate_read(tenant, position, error))?;
    let (_, last) = keys::parse_frame(&key).ok_or_else(|| corrupt("its key is not a frame's"))?;
    let frame = Frame::parse(tenant, last, Bytes::from_owner(value)).map_err(corrupt)?;
    if frame.first > position {
        return Err(corrupt("it is missing"));
    }
    Ok(frame)
}

/// Why an erasure did not happen.
pub(super) enum EraseFailure {
    /// It is the entry's fault; storage is well.
    Entry(LogError),
    /// Storage does not take writes.
    Storage(fjall::Error),
}

impl From<LogError> for EraseFailure {
    fn from(error: LogError) -> Self {
        Self::Entry(error)
    }
}

//! What is known of every stream without asking the disk: heads, where they lie, and their newest frames.

use std::collections::{HashMap, VecDeque, hash_map::Entry as MapEntry};

use parking_lot::RwLock;
use rialto_model::{Position, TenantId};

use super::frame::Frame;
use crate::Entry;

/// From `first` on, and up to the next segment, a stream lies in `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: Position,
    pub(super) window: u64,
}

/// One stream.
#[derive(Default, Debug)]
pub(super) struct Stream {
    pub(super) head: Position,
    pub(super) segments: Vec<Segment>,
    pub(super) dropped: bool,
    /// The newest frames, without a gap up to the head and with nothing erased; or none.
    recent: VecDeque<Frame>,
}

impl Stream {
    pub(super) fn oldest(&self) -> Position {
        self.segments.first().map_or(self.head + 1, |segment| segment.first)
    }

    /// The stretches from `from` to the head, each within one window.
    fn spans(&self, from: Position) -> Vec<Span> {
        let ends = self.segments.iter().skip(1).map(|next| next.first - 1).chain([self.head]);
        self.segments
            .iter()
            .zip(ends)
            .filter(|(_, last)| *last >= from)
            .map(|(segment, last)| Span { window: segment.window, first: segment.first.max(from), last })
            .collect()
    }
}

/// A stretch of positions within one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) window: u64,
    pub(super) first: Position,
    pub(super) last: Position,
}

/// Where the answer to a read lies.
pub(super) enum Answer {
    Here(Vec<Entry>),
    OnDisk(Vec<Span>),
}

/// All streams.
pub(super) struct Streams(RwLock<Known>);

#[derive(Default)]
struct Known {
    streams: HashMap<TenantId, Stream>,
    /// The frames in memory in the order they came, with what they weigh.
    order: VecDeque<(TenantId, Position, usize)>,
    weight: usize,
    limit: usize,
}

impl Streams {
    /// `limit` bounds what the newest frames of all streams weigh, in bytes.
    pub(super) fn new(streams: HashMap<TenantId, Stream>, limit: usize) -> Self {
        Self(RwLock::new(Known { streams, limit, ..Known::default() }))
    }

    pub(super) fn view<T>(&self, tenant: TenantId, look: impl FnOnce(&Stream) -> T) -> Option<T> {
        self.0.read().streams.get(&tenant).map(look)
    }

    pub(super) fn heads(&self) -> Vec<(TenantId, Position)> {
        let known = self.0.read();
        known.streams.iter().filter(|(_, stream)| !stream.dropped).map(|(tenant, s)| (*tenant, s.head)).collect()
    }

    /// How far every stream was acknowledged, the dropped ones too.
    pub(super) fn acknowledged(&self) -> HashMap<TenantId, Position> {
        self.0.read().streams.iter().map(|(tenant, stream)| (*tenant, stream.head)).collect()
    }

    /// Takes over where the streams lie from what was found on disk: a chore that failed may have happened all the
    /// same. Their heads are known to agree.
    pub(super) fn adopt(&self, mut found: HashMap<TenantId, Stream>) {
        for (tenant, stream) in &mut self.0.write().streams {
            let there = found.remove(tenant).unwrap_or_default();
            (stream.segments, stream.dropped) = (there.segments, there.dropped);
            // Of what lies in memory something may have been erased.
            stream.recent.clear();
        }
    }

    /// Makes a committed group visible. `segments` are those that it opened.
    pub(super) fn publish(&self, frames: Vec<Frame>, segments: &[(TenantId, Segment)]) {
        let mut known = self.0.write();
        for (tenant, segment) in segments {
            let stream = known.streams.entry(*tenant).or_default();
            stream.dropped = false;
            stream.segments.push(*segment);
        }
        for frame in frames {
            let weight = frame.weight();
            known.order.push_back((frame.tenant, frame.last, weight));
            known.weight += weight;
            let stream = known.streams.entry(frame.tenant).or_default();
            stream.head = frame.last;
            stream.recent.push_back(frame);
        }
        known.evict();
    }

    /// Forgets the windows up to `floor` and tells whose last window that was, with the heads to remember.
    pub(super) fn forget_windows(&self, floor: u64) {
        let mut known = self.0.write();
        for stream in known.streams.values_mut() {
            stream.segments.retain(|segment| segment.window > floor);
            let oldest = stream.oldest();
            while stream.recent.front().is_some_and(|frame| frame.first < oldest) {
                stream.recent.pop_front();
            }
        }
    }

    /// The oldest window that holds an entry after where its stream is done with, and whose.
    pub(super) fn first_open_window(&self, done: &HashMap<TenantId, Position>) -> Option<(u64, TenantId)> {
        let known = self.0.read();
        let open = |(tenant, position): (&TenantId, &Position)| {
            let span = known.streams.get(tenant)?.spans(position.saturating_add(1)).into_iter().next()?;
            Some((span.window, *tenant))
        };
        done.iter().filter_map(open).min()
    }

    /// Every stream that reaches into the windows up to `floor`: the segments that go, and the head of a stream of
    /// which nothing stays.
    pub(super) fn in_windows(&self, floor: u64) -> Vec<(TenantId, Vec<Segment>, Option<Position>)> {
        let known = self.0.read();
        let reaching = known.streams.iter().filter_map(|(tenant, stream)| {
            let going: Vec<_> = stream.segments.iter().filter(|s| s.window <= floor).copied().collect();
            let nothing_stays = going.len() == stream.segments.len();
            (!going.is_empty()).then_some((*tenant, going, nothing_stays.then_some(stream.head)))
        });
        reaching.collect()
    }

    /// Lets go of a stream's frames in memory, since what lies on disk has changed.
    pub(super) fn forget_recent(&self, tenant: TenantId) {
        if let Some(stream) = self.0.write().streams.get_mut(&tenant) {
            stream.recent.clear();
        }
    }

    /// Leaves of a stream its head alone.
    pub(super) fn drop_stream(&self, tenant: TenantId) {
        if let MapEntry::Occupied(mut stream) = self.0.write().streams.entry(tenant) {
            let head = stream.get().head;
            stream.insert(Stream { head, dropped: true, ..Stream::default() });
        }
    }

    /// The stretches of a stream from `from` on.
    pub(super) fn spans(&self, tenant: TenantId, from: Position) -> Vec<Span> {
        self.view(tenant, |stream| stream.spans(from)).unwrap_or_default()
    }

    /// Answers a read from memory if that holds where it begins.
    pub(super) fn read(&self, tenant: TenantId, after: Position, limit: usize, max_bytes: usize) -> Answer {
        let frames = {
            let known = self.0.read();
            let Some(stream) = known.streams.get(&tenant).filter(|s| !s.dropped && after < s.head) else {
                return Answer::Here(Vec::new());
            };
            let from = (after + 1).max(stream.oldest());
            match stream.recent.front() {
                Some(frame) if frame.first <= from => {
                    let begin = stream.recent.partition_point(|frame| frame.last < from);
                    enough(stream.recent.range(begin..), from, limit, max_bytes)
                }
                _ => return Answer::OnDisk(stream.spans(from)),
            }
        };
        let mut taken = Taken::new(limit, max_bytes);
        for frame in &frames {
            for slot in frame.slots().filter(|slot| slot.position > after) {
                if taken.is_enough(slot.body.len()) {
                    return Answer::Here(taken.entries);
                }
                taken.entries.extend(frame.trusted(&slot));
            }
        }
        Answer::Here(taken.entries)
    }

    /// The entry at a position, if its frame is in memory: `Some(None)` says that it is erased.
    pub(super) fn get(&self, tenant: TenantId, position: Position) -> Option<Option<Entry>> {
        let known = self.0.read();
        let stream = known.streams.get(&tenant)?;
        let at = stream.recent.partition_point(|frame| frame.last < position);
        let frame = stream.recent.get(at).filter(|frame| frame.first <= position)?;
        frame.slots().find(|slot| slot.position == position).map(|slot| frame.trusted(&slot))
    }
}

impl Known {
    fn evict(&mut self) {
        while self.weight > self.limit {
            let Some((tenant, last, weight)) = self.order.pop_front() else { break };
            self.weight -= weight;
            if let Some(stream) = self.streams.get_mut(&tenant) {
                while stream.recent.front().is_some_and(|frame| frame.last <= last) {
                    stream.recent.pop_front();
                }
            }
        }
    }
}

/// As many frames as a read can need.
fn enough<'a>(frames: impl Iterator<Item = &'a Frame>, from: Position, limit: usize, max_bytes: usize) -> Vec<Frame> {
    let (mut entries, mut bytes) = (0, 0);
    frames
        .take_while(|frame| {
            let wanted = entries < limit && (entries == 0 || bytes < max_bytes);
            entries += (frame.last - frame.first.max(from) + 1) as usize;
            // Of a frame that is begun in its middle, no more is known than that it brings an entry.
            bytes += if frame.first < from { 0 } else { frame.body_bytes() };
            wanted
        })
        .cloned()
        .collect()
}

/// What a read has taken so far.
pub(super) struct Taken {
    pub(super) entries: Vec<Entry>,
    limit: usize,
    room: usize,
}

impl Taken {
    pub(super) fn new(limit: usize, max_bytes: usize) -> Self {
        Self { entries: Vec::new(), limit, room: max_bytes }
    }

    /// Whether the read is complete without the next entry, which has `length` bytes; else that entry is counted.
    pub(super) fn is_enough(&mut self, length: usize) -> bool {
        if self.entries.len() >= self.limit || (!self.entries.is_empty() && length > self.room) {
            return true;
        }
        self.room = self.room.saturating_sub(length);
        false
    }
}

#[cfg(test)]
#[path = "tests/streams.rs"]
mod tests;

//! One group commit: what has come for all tenants becomes frames, one batch and one flush to disk.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use fjall::{PersistMode, UserValue};
use rialto_model::{Position, TenantId};

use super::{
    Shared,
    frame::{Builder, Frame},
    keys,
    place::{Place, Window},
    queue::Append,
    streams::Segment,
    window::Slot,
};
use crate::Timestamp;

/// From this many on, the engine lets a writer sleep without looking whether anything still makes room.
const SEALED_MEMTABLES: usize = 3;

/// What a group adds, before it is written.
#[derive(Default)]
struct Group {
    frames: Vec<(Frame, UserValue)>,
    growing: HashMap<TenantId, Growing>,
}

struct Growing {
    first: Position,
    next: Position,
    builder: Option<Builder>,
}

impl Shared {
    /// Makes a group durable, then visible; returns where each append came to stand.
    ///
    /// # Errors
    /// The engine's. Nothing of the group is visible then, and none of it may be acknowledged.
    pub(super) fn commit(&self, appends: &[Append]) -> fjall::Result<Vec<RangeInclusive<Position>>> {
        let Some(now) = appends.iter().map(|append| append.now).max() else { return Ok(Vec::new()) };
        let window = self.window_for(now)?;
        self.wait_for_room(&window)?;
        let mut group = Group::default();
        let ranges = appends.iter().map(|append| group.add(self, append)).collect();
        group.finish_frames();
        let segments = self.write(&window, &group)?;
        let heads: Vec<_> = group.growing.iter().map(|(tenant, growing)| (*tenant, growing.next - 1)).collect();
        self.streams.publish(group.frames.into_iter().map(|(frame, _)| frame).collect(), &segments);
        self.tails.grown(&heads);
        Ok(ranges)
    }

    /// One batch, one flush.
    fn write(&self, window: &Window, group: &Group) -> fjall::Result<Vec<(TenantId, Segment)>> {
        let place = self.place.read();
        let Place { database, index, .. } = place.as_ref().ok_or(fjall::Error::Poisoned)?;
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        let mut segments = Vec::new();
        for (tenant, growing) in &group.growing {
            let known = self.streams.view(*tenant, |s| (s.segments.last().map(|last| last.window), s.dropped));
            let (last_window, was_dropped) = known.unwrap_or_default();
            if last_window != Some(window.number) {
                let segment = Segment { first: growing.first, window: window.number };
                batch.insert(index, keys::segment(*tenant, segment.first), window.number.to_be_bytes());
                segments.push((*tenant, segment));
            }
            if was_dropped {
                batch.insert(index, keys::head(*tenant), keys::head_value(growing.first - 1, false));
            }
        }
        for (frame, value) in &group.frames {
            batch.insert(&window.keyspace, keys::frame(frame.tenant, frame.last), value.clone());
        }
        batch.commit()?;
        Ok(segments)
    }

    /// The window that takes what comes `now`, opened if need be.
    fn window_for(&self, now: Timestamp) -> fjall::Result<Window> {
        let (database, number, slot, before) = {
            let place = self.place.read();
            let place = place.as_ref().ok_or(fjall::Error::Poisoned)?;
            let slot = match place.current() {
                Some(window) if window.slot.takes(now) && !window.is_full() => return Ok(window.clone()),
                Some(window) if window.slot.takes(now) => window.slot,
                _ => Slot::of(now, self.options.window),
            };
            (place.database.clone(), place.next_number(), slot, place.current().cloned())
        };
        let window = Place::create_window(&database, number, slot, &self.options)?;
        tracing::info!(window = number, from = %slot.start, to = %slot.end, "opened a window of the log");
        if let Some(place) = self.place.write().as_mut() {
            place.windows.insert(number, window.clone());
        }
        if let Some(before) = before {
            // It takes no more, so what it holds in memory goes to a table, and its journals can go.
            before.keyspace.rotate_memtable()?;
        }
        Ok(window)
    }

    /// Waits while the engine is behind with writing tables, as it would itself, but sees when it has given up.
    fn wait_for_room(&self, window: &Window) -> fjall::Result<()> {
        while window.keyspace.sealed_memtable_count() >= SEALED_MEMTABLES {
            let database = self.place.read().as_ref().map(|place| place.database.clone());
            database.ok_or(fjall::Error::Poisoned)?.persist(PersistMode::Buffer)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Group {
    fn add(&mut self, shared: &Shared, append: &Append) -> RangeInclusive<Position> {
        let growing = self.growing.entry(append.tenant).or_insert_with(|| {
            let head = shared.streams.view(append.tenant, |stream| stream.head).unwrap_or(0);
            Growing { first: head + 1, next: head + 1, builder: None }
        });
        let first = growing.next;
        for draft in &append.drafts {
            let builder = growing.builder.get_or_insert_with(|| Builder::new(append.tenant, growing.next));
            growing.next = builder.push(append.now, draft) + 1;
            if builder.is_full() {
                self.frames.extend(growing.builder.take().map(built));
            }
        }
        first..=growing.next - 1
    }

    fn finish_frames(&mut self) {
        self.frames.extend(self.growing.values_mut().filter_map(|growing| growing.builder.take()).map(built));
    }
}

/// The frame, and the same memory as the engine wants it.
fn built(builder: Builder) -> (Frame, UserValue) {
    let (tenant, first) = (builder.tenant, builder.first);
    let (last, value) = builder.finish();
    let value = UserValue::from(value);
    (Frame::built(tenant, first, last, Bytes::from_owner(value.clone())), value)
}

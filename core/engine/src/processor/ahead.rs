//! What is read, parsed and asked for while the step before is still being written: the database has one writer, and
//! without this either it or the processor would always be waiting for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rialto_model::Position;
use rialto_store::{Loaded, TenantScope, Wanted};

use super::{Processor, read_all};
use crate::config::Config;
use crate::people::{People, weight};
use crate::step::{Incoming, wanted};

/// The most bytes that are held ahead, of events and of their persons, over all tenants.
const MOST: usize = 64 << 20;

/// A step's events, before their turn.
pub(super) struct Ahead {
    /// They follow on this position,
    pub(super) after: Position,
    /// were read by these rules,
    pub(super) config: Arc<Config>,
    pub(super) incoming: Vec<Incoming>,
    /// and this was asked for them,
    pub(super) wanted: Wanted,
    /// and answered, if it could be; as of before the step that came first.
    pub(super) loaded: Option<Loaded>,
    _room: Room,
}

impl Ahead {
    /// Whether these are what comes after a position, by these rules.
    pub(super) fn fits(&self, after: Position, config: &Arc<Config>) -> bool {
        self.after == after && Arc::ptr_eq(&self.config, config)
    }
}

/// Bytes out of [`MOST`]; given back when dropped.
struct Room {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    fn take(used: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let fits = |now: usize| (now + bytes <= MOST).then_some(now + bytes);
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self { used: Arc::clone(used), bytes })
    }

    /// What is left of all of it.
    fn left(used: &AtomicUsize) -> usize {
        MOST.saturating_sub(used.load(Ordering::Relaxed))
    }

    /// Takes more; false if there is no more.
    fn grow(&mut self, bytes: usize) -> bool {
        let more = Self::take(&self.used, bytes);
        // What was taken is given back with the rest.
        more.is_some_and(|mut more| {
            self.bytes += std::mem::take(&mut more.bytes);
            true
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the next step is to be read by.
pub(super) struct Plan<'p> {
    pub(super) scope: &'p TenantScope,
    pub(super) config: &'p Arc<Config>,
    pub(super) after: Position,
    pub(super) most: usize,
    pub(super) bytes: usize,
    /// Whether the database may be asked already: not while persons are becoming others.
    pub(super) ask: bool,
}

impl Processor {
    /// The events that come next, with what is known of them; `people` is as the step leaves it that is being
    /// written. Nothing that goes wrong here counts: the next step itself would meet it again.
    pub(super) async fn look_ahead(&self, plan: Plan<'_>, people: &People) -> Option<Ahead> {
        let Plan { scope, config, after, most, bytes, ask } = plan;
        let waiting = self.log.head(scope.tenant_id()).await.ok()?.saturating_sub(after);
        if waiting < self.read_ahead_from {
            return None;
        }
        let entries = self.log.read(scope.tenant_id(), after, most, bytes).await.ok()?;
        if entries.is_empty() {
            return None;
        }
        let mut room = Room::take(&self.ahead, entries.iter().map(|entry| entry.body.len()).sum())?;
        let incoming = read_all(entries, config, |_| None);
        // Persons that are too large to be held twice are asked for when it is their turn.
        let most_bytes = Some(self.step_bytes.min(Room::left(&self.ahead)));
        let wanted = Wanted { most_bytes, ..wanted(&incoming, people, config) };
        let loaded = if ask { scope.load(&wanted).await.ok() } else { None };
        // Whoever the step has in its hands is about to be written otherwise than was read.
        let loaded = loaded.filter(|loaded| loaded.profiles.values().all(|profile| people.get(profile.id).is_none()));
        let loaded = loaded.filter(|loaded| room.grow(loaded.profiles.values().map(weight).sum()));
        Some(Ahead { after, config: Arc::clone(config), incoming, wanted, loaded, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_of_the_room_is_given_back_however_often_it_grew() {
        let used = Arc::default();
        let mut room = Room::take(&used, 10).expect("is there");
        assert!(room.grow(5) && !room.grow(MOST - 14) && room.grow(1));
        assert_eq!(Room::left(&used), MOST - 16);
        drop(room);
        assert_eq!(Room::left(&used), MOST);
    }
}

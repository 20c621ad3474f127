//! How much of requests' bodies the server holds at a time, over all connections.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ingest::reply::Refused;

/// How long a body waits for room before its client is asked to come again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The room for bodies, in two halves: requests whose head shows a known key, and strangers, whose key may stand in the
/// body. So who has no key cannot take the room of those who have.
pub(crate) struct Bodies {
    known: Room,
    strangers: Room,
}

struct Room {
    free: Semaphore,
    bytes: usize,
}

/// What one request holds; given back when it is dropped.
pub(crate) struct Held<'a> {
    room: &'a Room,
    permit: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    /// Room for `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let room = || {
            let bytes = (bytes / 2).clamp(1, Semaphore::MAX_PERMITS);
            Room { free: Semaphore::new(bytes), bytes }
        };
        Self { known: room(), strangers: room() }
    }

    /// Nothing yet, of the room for those with a known key or of the strangers'.
    pub(crate) fn hold(&self, known: bool) -> Held<'_> {
        Held { room: if known { &self.known } else { &self.strangers }, permit: None }
    }
}

impl Held<'_> {
    /// Takes so many bytes more, as they come: announcing a large body takes nothing from others. One request never
    /// asks for more than there is in all, so that it gets through once it is alone.
    ///
    /// # Errors
    /// A 503 when they are not to be had in time.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let held = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let bytes = u32::try_from(bytes.min(self.room.bytes - held)).unwrap_or(u32::MAX);
        let more = match self.room.free.try_acquire_many(bytes) {
            Ok(more) => more,
            Err(_) => match tokio::time::timeout(PATIENCE, self.room.free.acquire_many(bytes)).await {
                Ok(Ok(more)) => more,
                // The semaphore is never closed.
                Ok(Err(_)) | Err(_) => return Err(Refused::no_room(PATIENCE)),
            },
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_shared_and_given_back_and_strangers_have_their_own() {
        let bodies = Bodies::new(20);
        let (mut one, mut other, mut known) = (bodies.hold(false), bodies.hold(false), bodies.hold(true));
        one.grow(4).await.expect("there is room");
        one.grow(3).await.expect("there is room");
        assert_eq!(other.grow(4).await.expect_err("seven of ten are taken").code, "busy");
        other.grow(3).await.expect("there is room");
        known.grow(10).await.expect("others have their own");
        drop((one, known));
        other.grow(1_000).await.expect("all there is will do");
        assert!(bodies.hold(false).grow(1).await.is_err());
        drop(other);
        let mut last = bodies.hold(false);
        last.grow(10).await.expect("it came back");
        last.grow(1).await.expect("it has all there is");
    }
}

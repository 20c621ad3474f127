//! How much of requests' bodies the server holds at a time, over all connections, and how much of it one holder may.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rialto_model::TenantId;
use tokio::sync::Semaphore;

use crate::ingest::reply::Refused;

/// How long a body waits for room before its client is asked to come again.
const PATIENCE: Duration = Duration::from_secs(1);
/// One tenant holds at most this part of the room for known keys.
const TENANTS_PART: usize = 4;
/// One address holds at most this part of the strangers' room.
const ADDRESS_PART: usize = 8;

/// The room for bodies, in two halves: requests whose head shows a key that is served, and strangers, whose key may
/// stand in the body. So who has no key cannot take the room of those who have, and nobody takes all of either.
pub(crate) struct Bodies {
    known: Room,
    strangers: Room,
}

/// Who holds room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A tenant, by a key in the head.
    Tenant(TenantId),
    /// An address without such a key.
    Address(Option<IpAddr>),
}

struct Room {
    free: Semaphore,
    /// The most that one holder may have, in bytes.
    share: usize,
    /// What is left of the share of each that holds something.
    holders: Mutex<HashMap<Holder, Arc<Semaphore>>>,
}

/// What one request holds; given back when it is dropped.
pub(crate) struct Held<'a> {
    room: &'a Room,
    holder: Holder,
    own: Arc<Semaphore>,
    bytes: usize,
}

impl Holder {
    /// An address as it is counted: of IPv6 the network, for who has one has all of its addresses.
    pub(crate) fn address(ip: Option<IpAddr>) -> Self {
        Self::Address(ip.map(|ip| match ip {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
            ip => ip,
        }))
    }
}

impl Room {
    fn new(bytes: usize, part: usize, largest: usize) -> Self {
        let bytes = bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let share = (bytes / part).max(largest).min(bytes);
        Self { free: Semaphore::new(bytes), share, holders: Mutex::default() }
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<Holder, Arc<Semaphore>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bodies {
    /// Room for `bytes`. However small a share of it is, one body of the `largest` size has room.
    pub(crate) fn new(bytes: usize, largest: usize) -> Self {
        let room = |part| Room::new(bytes / 2, part, largest);
        Self { known: room(TENANTS_PART), strangers: room(ADDRESS_PART) }
    }

    /// Nothing yet.
    pub(crate) fn hold(&self, holder: Holder) -> Held<'_> {
        let room = if matches!(holder, Holder::Tenant(_)) { &self.known } else { &self.strangers };
        let fresh = || Arc::new(Semaphore::new(room.share));
        let own = Arc::clone(room.holders().entry(holder).or_insert_with(fresh));
        Held { room, holder, own, bytes: 0 }
    }
}

impl Held<'_> {
    /// Takes so many bytes more, as they come: announcing a large body takes nothing from others. One request never
    /// asks for more than its holder's share, so that it gets through once it is alone.
    ///
    /// # Errors
    /// A 503 when they are not to be had in time.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let bytes = bytes.min(self.room.share - self.bytes);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The share first: who waits for his own stands in nobody's way.
        let both = async { (self.own.acquire_many(permits).await, self.room.free.acquire_many(permits).await) };
        match tokio::time::timeout(PATIENCE, both).await {
            Ok((Ok(own), Ok(free))) => {
                own.forget();
                free.forget();
                self.bytes += bytes;
                Ok(())
            }
            // The semaphores are never closed.
            Ok(_) | Err(_) => Err(Refused::no_room(PATIENCE)),
        }
    }

    /// Gives back so many bytes, which were reserved and not needed.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.own.add_permits(bytes);
        self.room.free.add_permits(bytes);
    }

    /// How many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shrink(self.bytes);
        let mut holders = self.room.holders();
        // The map's and this one: nobody else has it, and nobody gets it while the map is locked.
        if Arc::strong_count(&self.own) == 2 {
            holders.remove(&self.holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u8) -> Holder {
        Holder::Tenant(TenantId::from_parts(1, &[n; 10]))
    }

    fn address(text: &str) -> Holder {
        Holder::address(Some(text.parse().expect("an address")))
    }

    #[tokio::test]
    async fn room_is_shared_and_given_back_and_strangers_have_their_own() {
        let bodies = Bodies::new(20, 10);
        let (here, there) = (address("10.0.0.1"), address("10.0.0.2"));
        let (mut one, mut other, mut known) = (bodies.hold(here), bodies.hold(there), bodies.hold(tenant(1)));
        one.grow(4).await.expect("there is room");
        one.grow(3).await.expect("there is room");
        assert_eq!(other.grow(4).await.expect_err("seven of ten are taken").code, "busy");
        other.grow(3).await.expect("there is room");
        known.grow(10).await.expect("others have their own");
        drop((one, known));
        other.grow(1_000).await.expect("all there is will do");
        assert!(bodies.hold(here).grow(1).await.is_err());
        other.shrink(4);
        bodies.hold(here).grow(4).await.expect("what was not needed is free at once");
        drop(other);
        let mut last = bodies.hold(here);
        last.grow(10).await.expect("it came back");
        last.grow(1).await.expect("it has all there is");
    }

    #[tokio::test]
    async fn nobody_takes_all_of_a_room() {
        let bodies = Bodies::new(1_600, 1);
        for (holder, share, other) in [
            (tenant(1), 200, tenant(2)),
            (address("10.0.0.1"), 100, address("10.0.0.2")),
            (address("2001:db8::1"), 100, address("2001:db8:0:1::1")),
        ] {
            let mut held: Vec<Held<'_>> = (0..10).map(|_| bodies.hold(holder)).collect();
            for held in &mut held {
                held.grow(share / 10).await.expect("within the share");
            }
            let refused = bodies.hold(holder).grow(1).await.expect_err("the share is taken");
            assert_eq!(refused.code, "busy", "{holder:?}");
            bodies.hold(other).grow(share).await.expect("others have theirs");
            held.pop();
            bodies.hold(holder).grow(share / 10).await.expect("it came back");
        }
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"), "one network");
        let left = bodies.known.holders().len() + bodies.strangers.holders().len();
        assert_eq!(left, 0, "who holds nothing is forgotten");
        assert_eq!((bodies.known.free.available_permits(), bodies.strangers.free.available_permits()), (800, 800));
    }

    #[tokio::test]
    async fn a_wait_that_is_broken_off_takes_nothing_along() {
        let bodies = Bodies::new(16, 1);
        let mut first = bodies.hold(tenant(1));
        first.grow(2).await.expect("the whole share");
        let mut second = bodies.hold(tenant(1));
        assert!(tokio::time::timeout(PATIENCE / 2, second.grow(1)).await.is_err(), "it waits");
        drop((first, second));
        assert_eq!((bodies.known.free.available_permits(), bodies.known.holders().len()), (8, 0));
    }
}

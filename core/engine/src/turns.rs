//! Whose turn it is: deficit round robin over the tenants that have events waiting. A turn is worth so many bytes;
//! who took more than its worth has less the next time, so a tenant with a hundred times the events delays the
//! others by one turn at most.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use rialto_model::{Position, TenantId};
use tokio::sync::Notify;

/// What a turn is worth, in bytes of events.
const QUANTUM: i64 = 1 << 20;
/// What a turn is worth while nobody else has one or waits for one: a large step costs half as much an event, and
/// delays nobody.
const ALONE: i64 = 4 << 20;

/// The tenants that have something to do, in their order.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    inner: Mutex<Inner>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<TenantId>,
    seats: HashMap<TenantId, Seat>,
}

#[derive(Debug, Default)]
struct Seat {
    /// The last event that is known to wait.
    head: Position,
    /// Up to where they are processed, as far as is known.
    done: Position,
    deficit: i64,
    /// What the turn was worth: who was alone does not pay for it later.
    worth: i64,
    /// What was known to wait when the turn was taken.
    seen: Position,
    running: bool,
    /// Woken for another reason than events.
    again: bool,
}

/// A tenant's turn. It has to be ended with [`Turns::done`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) tenant: TenantId,
    /// How many bytes of events it may take; never 0.
    pub(crate) bytes: usize,
    /// The last event that is known to wait; 0 if none is.
    pub(crate) head: Position,
}

impl Turns {
    /// Events up to `head` wait, or with 0 there is another reason to look. A tenant is in line once.
    pub(crate) fn wake(&self, tenant: TenantId, head: Position) {
        let mut inner = self.inner.lock();
        let queued = inner.seats.contains_key(&tenant);
        let seat = inner.seats.entry(tenant).or_default();
        seat.head = seat.head.max(head);
        seat.again |= head == 0;
        if !queued {
            inner.queue.push_back(tenant);
            drop(inner);
            self.woken.notify_one();
        }
    }

    /// The next turn; waits for one. Safe to cancel.
    pub(crate) async fn next(&self) -> Turn {
        loop {
            let woken = self.woken.notified();
            let mut woken = std::pin::pin!(woken);
            // In line for a wake-up before looking, so that none is missed between the two.
            woken.as_mut().enable();
            if let Some(turn) = self.take() {
                return turn;
            }
            woken.await;
        }
    }

    fn take(&self) -> Option<Turn> {
        let mut inner = self.inner.lock();
        loop {
            let tenant = inner.queue.pop_front()?;
            let alone = inner.seats.len() == 1;
            let seat = inner.seats.entry(tenant).or_default();
            seat.worth = if alone { ALONE } else { QUANTUM };
            seat.deficit = (seat.deficit + seat.worth).min(seat.worth);
            match usize::try_from(seat.deficit) {
                Ok(bytes) if bytes > 0 => {
                    (seat.running, seat.again, seat.seen) = (true, false, seat.head);
                    return Some(Turn { tenant, bytes, head: seat.head });
                }
                // Still in debt: a step of one event would cost nearly as much as a whole one.
                _ => inner.queue.push_back(tenant),
            }
        }
    }

    /// A turn is over: it came to `to` and took `bytes`. With `more` false nothing waited beyond `to` when it looked;
    /// of what came since it cannot know.
    pub(crate) fn done(&self, tenant: TenantId, to: Position, bytes: usize, more: bool) {
        let mut inner = self.inner.lock();
        let Some(seat) = inner.seats.get_mut(&tenant) else { return };
        seat.running = false;
        seat.done = seat.done.max(to);
        let taken = i64::try_from(bytes).unwrap_or(ALONE);
        seat.deficit = (seat.deficit - taken) * QUANTUM / seat.worth.max(QUANTUM);
        let waits = seat.head > seat.done && (more || seat.head > seat.seen);
        if waits || seat.again {
            inner.queue.push_back(tenant);
            drop(inner);
            self.woken.notify_one();
        } else {
            inner.seats.remove(&tenant);
        }
    }

    /// A turn failed: the tenant leaves the line until it is woken again. What is known to wait is returned.
    pub(crate) fn failed(&self, tenant: TenantId) -> Position {
        self.inner.lock().seats.remove(&tenant).map_or(0, |seat| seat.head)
    }

    /// How many events are known to wait, and of how many tenants.
    pub(crate) fn backlog(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        let waiting = |seat: &Seat| if seat.done == 0 { 0 } else { seat.head.saturating_sub(seat.done) };
        (inner.seats.values().map(waiting).sum(), inner.seats.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId::from_parts(1, &[n; 10])
    }

    #[tokio::test]
    async fn a_noisy_tenant_delays_the_others_by_one_turn() {
        let turns = Turns::default();
        turns.wake(tenant(1), 1_000_000);
        let mut order = Vec::new();
        for round in 0..6u64 {
            if round == 1 {
                turns.wake(tenant(2), 1);
                turns.wake(tenant(3), 1);
            }
            let turn = turns.next().await;
            order.push(turn.tenant);
            turns.done(turn.tenant, round + 1, 400_000, turn.tenant == tenant(1));
        }
        assert_eq!(order, [1, 1, 2, 3, 1, 1].map(tenant));
    }

    #[tokio::test]
    async fn who_took_more_than_a_turn_is_worth_has_less_the_next_time() {
        let turns = Turns::default();
        turns.wake(tenant(1), 10);
        turns.wake(tenant(2), 10);
        let first = turns.next().await;
        assert_eq!(first.bytes, usize::try_from(QUANTUM).expect("fits"));
        turns.done(tenant(1), 1, first.bytes + 100_000, true);
        assert_eq!(turns.next().await.tenant, tenant(2));
        turns.done(tenant(2), 1, 1, true);
        assert_eq!(turns.next().await.bytes, first.bytes - 100_000);
        turns.done(tenant(1), 2, 1, true);
        assert_eq!(turns.next().await.bytes, first.bytes, "what is not used is not saved up");
    }

    #[tokio::test]
    async fn who_is_alone_may_take_more_and_does_not_pay_for_it_when_others_come() {
        let turns = Turns::default();
        turns.wake(tenant(1), 10);
        let first = turns.next().await;
        assert_eq!(first.bytes, usize::try_from(ALONE).expect("fits"));
        turns.wake(tenant(2), 10);
        turns.wake(tenant(3), 10);
        turns.done(tenant(1), 1, first.bytes, true);
        assert_eq!(turns.next().await.tenant, tenant(2));
        turns.done(tenant(2), 1, 1, true);
        assert_eq!(turns.next().await.tenant, tenant(3));
        turns.done(tenant(3), 1, 1, true);
        assert_eq!(turns.next().await.bytes, usize::try_from(QUANTUM).expect("fits"));
    }

    #[tokio::test]
    async fn who_shares_with_one_whose_turn_is_under_way_is_not_alone() {
        let turns = Turns::default();
        turns.wake(tenant(1), 10);
        turns.next().await;
        turns.wake(tenant(2), 10);
        assert_eq!(turns.next().await.bytes, usize::try_from(QUANTUM).expect("fits"));
    }

    #[tokio::test]
    async fn who_is_in_debt_lets_others_pass_and_is_not_fobbed_off_with_a_turn_of_nothing() {
        let turns = Turns::default();
        turns.wake(tenant(1), 10);
        turns.wake(tenant(2), 10);
        let quantum = usize::try_from(QUANTUM).expect("fits");
        // What was read ahead while it was alone.
        turns.done(turns.next().await.tenant, 1, 4 * quantum, true);
        for round in 0..4 {
            assert_eq!(turns.next().await.tenant, tenant(2), "{round}");
            turns.done(tenant(2), round + 1, 1, true);
        }
        let turn = turns.next().await;
        assert_eq!((turn.tenant, turn.bytes), (tenant(1), quantum));
    }

    #[tokio::test]
    async fn who_is_woken_during_the_turn_comes_again_and_who_is_done_leaves_nothing_behind() {
        let turns = Turns::default();
        turns.wake(tenant(1), 1);
        let turn = turns.next().await;
        turns.wake(tenant(1), 2);
        assert!(turns.take().is_none(), "one owner at a time");
        turns.done(turn.tenant, 1, 10, true);
        assert_eq!(turns.backlog(), (1, 1));
        assert_eq!(turns.next().await.tenant, tenant(1));
        turns.wake(tenant(1), 0);
        turns.done(tenant(1), 2, 10, true);
        assert_eq!(turns.next().await.tenant, tenant(1), "woken for another reason");
        turns.wake(tenant(1), 3);
        turns.done(tenant(1), 2, 0, false);
        let again = turns.take().map(|turn| turn.head);
        assert_eq!(again, Some(3), "came while a turn that had found nothing was running");
        turns.done(tenant(1), 2, 0, false);
        assert!(turns.inner.lock().seats.is_empty(), "3 was looked for, and is not there");
    }
}

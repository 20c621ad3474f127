//! Time as the engine sees it: the system's, or one that a test moves by hand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use rialto_model::Timestamp;
use tokio::sync::watch;

/// Where the engine gets its time from. Nothing in the engine asks the system itself, so a test that owns the
/// clock sees the same run every time.
pub trait Clock: Send + Sync + 'static {
    /// The moment it is.
    fn now(&self) -> Timestamp;

    /// Returns once it is `at` or later; at once if it already is. Safe to cancel.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest that one sleep trusts the runtime's timer: the wall clock may be set while it sleeps.
const LONGEST_NAP: Duration = Duration::from_secs(60);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = at.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_NAP)).await;
            }
        })
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(watch::Sender::new(start))
    }

    /// Moves it on and wakes whoever waited for that.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.after(by));
    }

    /// Sets it, forwards only: an earlier moment leaves it where it is.
    pub fn advance_to(&self, at: Timestamp) {
        self.0.send_modify(|now| *now = (*now).max(at));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut moments = self.0.subscribe();
            // Fails only when the sender is gone, and `self` is the sender.
            let _ = moments.wait_for(|now| *now >= at).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_moved_and_never_before() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000));
        clock.sleep_until(Timestamp::from_millis(1_000)).await;
        let mut sleep = clock.sleep_until(Timestamp::from_millis(2_000));
        clock.advance(Duration::from_millis(999));
        assert!(futures::poll!(&mut sleep).is_pending());
        clock.advance_to(Timestamp::from_millis(500));
        assert_eq!(clock.now(), Timestamp::from_millis(1_999));
        clock.advance(Duration::from_millis(1));
        sleep.await;
    }

    #[tokio::test]
    async fn the_system_clock_moves() {
        let clock = SystemClock;
        let before = clock.now();
        clock.sleep_until(before.after(Duration::from_millis(5))).await;
        assert!(clock.now().since(before) >= Duration::from_millis(5));
    }
}

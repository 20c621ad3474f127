//! Wake-ups: which streams have grown since a consumer last looked.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use rialto_model::{Position, TenantId};
use tokio::sync::Notify;

#[derive(Default)]
struct Grown {
    heads: Mutex<HashMap<TenantId, Position>>,
    wake: Notify,
}

/// One consumer's view of which streams have grown. However fast the log grows, a tail holds one position a
/// tenant: what was not yet taken is replaced by the newer head. It starts empty: for what was there before, ask
/// [`crate::EventLog::tenants`] *after* taking the tail, and nothing is missed.
pub struct Tail(Arc<Grown>);

impl Tail {
    /// The streams that have grown since the last call, with their heads; waits until there is one. Safe to
    /// cancel. Once the log is closed it waits for ever, so select it with your own signal to stop.
    pub async fn next(&mut self) -> Vec<(TenantId, Position)> {
        loop {
            let taken = std::mem::take(&mut *self.0.heads.lock());
            if !taken.is_empty() {
                return taken.into_iter().collect();
            }
            // A wake-up given between the look and here is kept by `Notify` as a permit.
            self.0.wake.notified().await;
        }
    }
}

/// The producers' side, for those who implement [`crate::EventLog`].
#[derive(Default)]
pub struct Tails(Mutex<Vec<Weak<Grown>>>);

impl Tails {
    /// A new consumer.
    pub fn subscribe(&self) -> Tail {
        let grown = Arc::new(Grown::default());
        let mut tails = self.0.lock();
        tails.retain(|tail| tail.strong_count() > 0);
        tails.push(Arc::downgrade(&grown));
        Tail(grown)
    }

    /// Tells every consumer that these streams reach to these heads.
    pub fn grown(&self, heads: &[(TenantId, Position)]) {
        for tail in self.0.lock().iter().filter_map(Weak::upgrade) {
            let mut waiting = tail.heads.lock();
            for (tenant, head) in heads {
                let known = waiting.entry(*tenant).or_default();
                *known = (*known).max(*head);
            }
            drop(waiting);
            tail.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: u8) -> TenantId {
        TenantId::from_parts(1, &[n; 10])
    }

    #[tokio::test]
    async fn wake_ups_coalesce_a_tenant_and_reach_every_tail() {
        let tails = Tails::default();
        let (mut one, mut two) = (tails.subscribe(), tails.subscribe());
        for head in 1..=1000 {
            tails.grown(&[(tenant(1), head)]);
        }
        tails.grown(&[(tenant(2), 7), (tenant(1), 3)]);
        for tail in [&mut one, &mut two] {
            let mut got = tail.next().await;
            got.sort_unstable();
            assert_eq!(got, [(tenant(1), 1000), (tenant(2), 7)]);
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let tails = Tails::default();
        let mut tail = tails.subscribe();
        let waiting = tokio::spawn(async move { tail.next().await });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "nothing has grown yet");
        tails.grown(&[(tenant(1), 1)]);
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.expect("woken within 5 s");
        assert_eq!(woken.expect("no panic"), [(tenant(1), 1)]);
    }

    #[tokio::test]
    async fn a_wake_up_is_not_lost_when_waiting_is_given_up() {
        let tails = Tails::default();
        let mut tail = tails.subscribe();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(5), tail.next());
        assert!(waiting.await.is_err(), "nothing has grown yet");
        tails.grown(&[(tenant(1), 1)]);
        assert_eq!(tail.next().await, [(tenant(1), 1)]);
    }
}

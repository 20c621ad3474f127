//! The live tail: whoever listens to a tenant hears what its pipeline does. Nothing is kept for those who do not
//! listen, and a listener that is too slow is told how much it missed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::Stream;
use parking_lot::Mutex;
use rialto_model::TenantId;
use rialto_model::live::LiveEvent;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::lane::Witness;

/// How many events a listener may lag behind before it misses some.
const LAG: usize = 1_024;

/// All listeners of this node.
#[derive(Default)]
pub(crate) struct Live {
    tenants: Mutex<HashMap<TenantId, broadcast::Sender<LiveEvent>>>,
    /// How many tenants are listened to: the look that costs nothing.
    listened: AtomicUsize,
}

impl Live {
    /// A new listener, who hears what happens from now on.
    pub(crate) fn listen(self: &Arc<Self>, tenant: TenantId) -> LiveTail {
        let mut tenants = self.tenants.lock();
        let sender = tenants.entry(tenant).or_insert_with(|| broadcast::Sender::new(LAG));
        let receiver = sender.subscribe();
        self.listened.store(tenants.len(), Ordering::Release);
        LiveTail { receiver: Some(receiver), live: Arc::clone(self), tenant }
    }

    /// How many listen to a tenant.
    pub(crate) fn listeners(&self, tenant: TenantId) -> usize {
        self.tenants.lock().get(&tenant).map_or(0, broadcast::Sender::receiver_count)
    }
}

impl Witness for Live {
    fn listens(&self, tenant: TenantId) -> bool {
        self.listened.load(Ordering::Acquire) > 0 && self.tenants.lock().contains_key(&tenant)
    }

    fn saw(&self, tenant: TenantId, event: LiveEvent) {
        if let Some(sender) = self.tenants.lock().get(&tenant) {
            // Fails when the last listener has just gone, which is fine.
            let _ = sender.send(event);
        }
    }
}

/// One listener.
pub struct LiveTail {
    receiver: Option<broadcast::Receiver<LiveEvent>>,
    live: Arc<Live>,
    tenant: TenantId,
}

impl LiveTail {
    /// What happens next. Safe to cancel. `None` never comes while the engine is there.
    pub async fn next(&mut self) -> Option<LiveEvent> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(LiveEvent::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = LiveEvent> + Send + 'static {
        futures::stream::unfold(self, |mut tail| async move { tail.next().await.map(|event| (event, tail)) })
    }
}

impl Drop for LiveTail {
    fn drop(&mut self) {
        self.receiver = None;
        let mut tenants = self.live.tenants.lock();
        if tenants.get(&self.tenant).is_some_and(|sender| sender.receiver_count() == 0) {
            tenants.remove(&self.tenant);
        }
        self.live.listened.store(tenants.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(count: u64) -> LiveEvent {
        LiveEvent::Missed { count }
    }

    #[tokio::test]
    async fn a_listener_hears_its_own_tenant_and_is_told_what_it_missed() {
        let (one, two) = (TenantId::from_parts(1, &[1; 10]), TenantId::from_parts(1, &[2; 10]));
        let live = Arc::new(Live::default());
        assert!(!live.listens(one));
        let mut tail = live.listen(one);
        assert!(live.listens(one) && !live.listens(two));
        live.saw(two, missed(1));
        live.saw(one, missed(2));
        assert_eq!(tail.next().await, Some(missed(2)));
        for n in 0..LAG as u64 + 5 {
            live.saw(one, missed(n));
        }
        assert_eq!(tail.next().await, Some(missed(5)), "five were lost, and it says so");
        assert_eq!(tail.next().await, Some(missed(5)), "the oldest that is left");
    }

    #[test]
    fn nothing_is_kept_for_those_who_left() {
        let tenant = TenantId::from_parts(1, &[1; 10]);
        let live = Arc::new(Live::default());
        let (first, second) = (live.listen(tenant), live.listen(tenant));
        drop(first);
        assert_eq!(live.listeners(tenant), 1);
        drop(second);
        assert!(!live.listens(tenant) && live.tenants.lock().is_empty());
    }
}

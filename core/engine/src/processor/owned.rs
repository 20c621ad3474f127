//! What the processor holds of a tenant between steps. All of it can be thrown away at any time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lru::LruCache;
use parking_lot::Mutex;
use rialto_model::{Position, TenantId};
use rialto_store::TenantScope;

use super::{MAX_EVENTS, MAX_OWNED, Processor};
use crate::config::Config;
use crate::people::People;

/// A tenant at hand.
pub(crate) struct Owned {
    pub(super) scope: TenantScope,
    /// One step at a time.
    pub(super) state: tokio::sync::Mutex<State>,
    /// When the last step that had events ended, and where.
    last: Mutex<Option<(Instant, Position)>>,
}

impl Owned {
    pub(super) fn stepped(&self, position: Option<Position>) {
        *self.last.lock() = position.map(|position| (Instant::now(), position));
    }

    pub(super) fn last_step(&self) -> Option<(Instant, Position)> {
        *self.last.lock()
    }
}

/// What is known of a tenant.
pub(super) struct State {
    /// Where the cursor stands; `None` until it was looked at.
    pub(super) position: Option<Position>,
    pub(super) config: Option<Arc<Config>>,
    pub(super) people: People,
    /// The most events of the next step; fewer while an event that cannot be stored is looked for.
    pub(super) most: usize,
    /// Events that cannot be stored: why, and whether their very timeline row cannot.
    pub(super) refuse: BTreeMap<Position, (String, bool)>,
    /// Whether something may wait in the outbox.
    pub(super) outbox: bool,
}

impl State {
    fn new() -> Self {
        Self {
            position: None,
            config: None,
            people: People::default(),
            most: MAX_EVENTS,
            refuse: BTreeMap::new(),
            outbox: true,
        }
    }

    /// Forgets what may not have happened.
    pub(super) fn reset(&mut self) {
        self.position = None;
        self.people = People::default();
        self.outbox = true;
    }

    /// A step went through up to `to`: the next may be larger again.
    pub(super) fn recovered(&mut self, to: Position, most: usize) {
        self.most = (self.most * 2).min(most);
        self.refuse = self.refuse.split_off(&(to + 1));
    }
}

impl Processor {
    /// An empty shelf of tenants.
    pub(crate) fn shelf() -> Mutex<LruCache<TenantId, Arc<Owned>>> {
        Mutex::new(LruCache::new(NonZeroUsize::new(MAX_OWNED).unwrap_or(NonZeroUsize::MIN)))
    }

    /// A tenant at hand, fetched if it is not. Two steps of one tenant never overlap: whoever makes them takes turns,
    /// and a tenant that drops off the shelf in the middle of a step is fenced by its cursor.
    pub(super) fn owned(&self, tenant: TenantId) -> Arc<Owned> {
        let mut tenants = self.tenants.lock();
        if let Some(owned) = tenants.get(&tenant) {
            return Arc::clone(owned);
        }
        let scope = self.store.lease(tenant);
        let owned = Arc::new(Owned { scope, state: tokio::sync::Mutex::new(State::new()), last: Mutex::default() });
        if let Some((_, gone)) = tenants.push(tenant, Arc::clone(&owned)) {
            self.let_go(&gone);
        }
        owned
    }

    /// Forgets a tenant that is no more.
    pub(crate) fn forget(&self, tenant: TenantId) {
        let gone = self.tenants.lock().pop(&tenant);
        if let Some(gone) = gone {
            self.let_go(&gone);
        }
    }

    /// Lets go of the tenants longest unused while persons take too much memory. `current` stays.
    pub(super) fn make_room(&self, current: &Arc<Owned>) {
        while self.cached.load(Ordering::Relaxed) > self.cache_bytes {
            let mut tenants = self.tenants.lock();
            match tenants.peek_lru() {
                Some((_, oldest)) if !Arc::ptr_eq(oldest, current) => {}
                _ => return,
            }
            let gone = tenants.pop_lru();
            drop(tenants);
            if let Some((_, gone)) = gone {
                self.let_go(&gone);
            }
        }
    }

    /// Takes a tenant's persons off the account. One that is in the middle of a step settles its own.
    fn let_go(&self, gone: &Owned) {
        if let Ok(mut state) = gone.state.try_lock() {
            self.cached.fetch_sub(state.people.bytes(), Ordering::Relaxed);
            state.reset();
        }
    }
}

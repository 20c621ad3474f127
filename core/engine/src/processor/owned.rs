//! What the processor holds of a tenant between steps. All of it can be thrown away at any time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use lru::LruCache;
use parking_lot::Mutex;
use rialto_model::{Position, TenantId};
use rialto_store::TenantScope;

use super::ahead::Ahead;
use super::{MAX_EVENTS, MAX_OWNED, Processor};
use crate::config::Config;
use crate::people::People;
use crate::step::Fresh;

/// A tenant at hand.
pub(crate) struct Owned {
    pub(super) scope: TenantScope,
    /// One step at a time.
    pub(super) state: tokio::sync::Mutex<State>,
    /// How many bytes of its persons are on the common account.
    accounted: AtomicUsize,
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
    /// What comes next, read while the last step was being written,
    pub(super) ahead: Option<Ahead>,
    /// and what that step found new, which the store did not know yet.
    pub(super) before: Fresh,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            position: None,
            config: None,
            people: People::default(),
            most: MAX_EVENTS,
            refuse: BTreeMap::new(),
            outbox: true,
            ahead: None,
            before: Fresh::new(),
        }
    }

    /// Forgets what may not have happened.
    pub(super) fn reset(&mut self) {
        self.position = None;
        self.people = People::default();
        self.outbox = true;
        self.ahead = None;
        self.before = Fresh::new();
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
        let owned = Arc::new(Owned {
            scope,
            state: tokio::sync::Mutex::new(State::new()),
            accounted: AtomicUsize::new(0),
            last: Mutex::default(),
        });
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

    /// Puts what a tenant's persons take on the account, unless it fell off the shelf meanwhile.
    pub(super) fn account(&self, owned: &Arc<Owned>, bytes: usize) {
        let tenants = self.tenants.lock();
        if tenants.peek(&owned.scope.tenant_id()).is_some_and(|kept| Arc::ptr_eq(kept, owned)) {
            let before = owned.accounted.swap(bytes, Ordering::Relaxed);
            self.cached.fetch_add(bytes, Ordering::Relaxed);
            self.cached.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Takes a tenant's persons off the account. One that is in the middle of a step lets go of them at its end.
    fn let_go(&self, gone: &Owned) {
        self.cached.fetch_sub(gone.accounted.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        if let Ok(mut state) = gone.state.try_lock() {
            state.reset();
        }
    }
}

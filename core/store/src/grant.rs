//! What write keys give, and what sources that receive webhooks are, remembered for a moment: the ingest path asks a
//! thousand times a second.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use rialto_model::TenantId;
use rialto_model::destination::Secrets;
use rialto_model::source::Source;
use rialto_model::tenant::Quota;

/// How long an answer is taken without asking; with [`ASKING`] this is how long another node's change goes unseen.
const KNOWN_FOR: Duration = Duration::from_secs(4);
/// How long one request may ask for all of a key, while the others take the answer of before.
pub(crate) const ASKING: Duration = Duration::from_secs(1);
/// How long the last answer holds while the database cannot be asked, so that the log goes on taking events in.
const HOLDS_FOR: Duration = Duration::from_secs(15 * 60);
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
const KNOWN: NonZeroUsize = NonZeroUsize::new(20_000).expect("is not zero");
/// Few, so that a stranger who guesses keys takes no memory.
const UNKNOWN: NonZeroUsize = NonZeroUsize::new(2_000).expect("is not zero");

/// What a write key gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteGrant {
    /// Whose events they are.
    pub tenant_id: TenantId,
    /// Where they come from; it may be disabled.
    pub source: Source,
    /// How many of them the tenant may send.
    pub quota: Quota,
}

/// A source that a webhook names. Whoever sent it is yet to prove that it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSource {
    /// What is granted to who proves it.
    pub grant: Arc<WriteGrant>,
    /// What webhooks are proved by.
    pub secrets: Secrets,
    /// What ids are made with that nobody outside can make.
    pub ids: IdKey,
}

/// A key of one tenant's under the hub's master secret. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct IdKey(pub [u8; 32]);

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey(…)")
    }
}

/// Something that is given within a tenant.
pub(crate) trait Granted {
    fn tenant_id(&self) -> TenantId;
}

impl Granted for WriteGrant {
    fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }
}

impl Granted for WebhookSource {
    fn tenant_id(&self) -> TenantId {
        self.grant.tenant_id
    }
}

type KeyHash = [u8; 32];

/// What the database has said of a key.
struct Known<G> {
    grant: Arc<G>,
    /// Until then nobody asks.
    until: Instant,
    /// When the database said so.
    said: Instant,
}

/// Answers by the hash of the key, or of the source's id.
pub(crate) struct GrantCache<G> {
    known: Mutex<LruCache<KeyHash, Known<G>>>,
    unknown: Mutex<LruCache<KeyHash, Instant>>,
    generation: AtomicU64,
}

impl<G> Default for GrantCache<G> {
    fn default() -> Self {
        Self {
            known: Mutex::new(LruCache::new(KNOWN)),
            unknown: Mutex::new(LruCache::new(UNKNOWN)),
            generation: AtomicU64::new(0),
        }
    }
}

impl<G: Granted> GrantCache<G> {
    /// The answer, if it is remembered and young enough. Of those that come once it is not, the first is told to ask
    /// and the others still get it, for as long as asking may take.
    pub(crate) fn get(&self, hash: &KeyHash) -> Option<Option<Arc<G>>> {
        let now = Instant::now();
        if let Some(known) = self.known.lock().get_mut(hash) {
            if now < known.until {
                return Some(Some(known.grant.clone()));
            }
            known.until = now + ASKING;
            return None;
        }
        self.unknown.lock().get(hash).is_some_and(|until| now < *until).then_some(None)
    }

    /// What the database said last, for when it cannot be asked.
    pub(crate) fn last(&self, hash: &KeyHash) -> Option<Arc<G>> {
        let known = self.known.lock();
        known.peek(hash).filter(|known| known.said.elapsed() < HOLDS_FOR).map(|known| known.grant.clone())
    }

    /// Taken before the database is asked and given back with the answer.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Remembers an answer, unless something changed since the question.
    pub(crate) fn put(&self, hash: KeyHash, grant: Option<Arc<G>>, asked: u64) {
        let (mut known, mut unknown) = (self.known.lock(), self.unknown.lock());
        if self.generation() != asked {
            return;
        }
        match grant {
            Some(grant) => {
                let said = Instant::now();
                known.put(hash, Known { grant, until: said + KNOWN_FOR, said });
            }
            None => {
                known.pop(&hash);
                unknown.put(hash, Instant::now() + UNKNOWN_FOR);
            }
        }
    }

    /// Forgets what may have changed with a tenant. Comes after the commit.
    pub(crate) fn forget(&self, tenant: TenantId) {
        let (mut known, mut unknown) = (self.known.lock(), self.unknown.lock());
        self.generation.fetch_add(1, Ordering::AcqRel);
        let gone: Vec<KeyHash> =
            known.iter().filter(|(_, known)| known.grant.tenant_id() == tenant).map(|(hash, _)| *hash).collect();
        for hash in gone {
            known.pop(&hash);
        }
        unknown.clear();
    }
}

#[cfg(test)]
mod tests {
    use rialto_model::{SourceId, Timestamp};

    use super::*;

    fn grant(tenant: u128) -> Arc<WriteGrant> {
        let source = Source {
            id: SourceId(uuid::Uuid::nil()),
            name: "site".to_owned(),
            connector: None,
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        Arc::new(WriteGrant { tenant_id: TenantId(uuid::Uuid::from_u128(tenant)), source, quota: Quota::default() })
    }

    #[test]
    fn a_change_forgets_its_own_tenant_only_and_answers_that_were_under_way() {
        let cache = GrantCache::<WriteGrant>::default();
        let asked = cache.generation();
        cache.put([1; 32], Some(grant(1)), asked);
        cache.put([2; 32], Some(grant(2)), asked);
        cache.put([3; 32], None, asked);
        assert_eq!(cache.get(&[3; 32]), Some(None));
        cache.forget(TenantId(uuid::Uuid::from_u128(1)));
        assert_eq!(cache.get(&[1; 32]), None);
        assert!(cache.get(&[2; 32]).is_some_and(|answer| answer.is_some()));
        assert_eq!(cache.get(&[3; 32]), None);
        cache.put([1; 32], Some(grant(1)), asked);
        assert_eq!(cache.get(&[1; 32]), None, "read before the change, so it may be stale");
        assert_eq!(cache.last(&[1; 32]), None, "what was revoked here holds no longer, database or not");
    }

    #[test]
    fn when_an_answer_is_old_one_asks_and_the_others_go_on_with_it() {
        let cache = GrantCache::<WriteGrant>::default();
        cache.put([1; 32], Some(grant(1)), cache.generation());
        if let Some(known) = cache.known.lock().get_mut(&[1; 32]) {
            known.until = Instant::now();
        }
        assert_eq!(cache.get(&[1; 32]), None, "this one asks");
        assert_eq!(cache.get(&[1; 32]), Some(Some(grant(1))), "and this one does not wait for it");
        assert_eq!(cache.last(&[1; 32]), Some(grant(1)), "and if there is nobody to ask, it still holds");
        cache.put([1; 32], None, cache.generation());
        assert_eq!(cache.last(&[1; 32]), None, "until the database says otherwise");
    }
}

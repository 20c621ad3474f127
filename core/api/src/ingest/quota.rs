//! Quotas: how many events a tenant may send, over all its connections. A token bucket a tenant, made when it sends and
//! forgotten once it is full again, so that who is silent costs nothing and no timer runs for anyone.
//!
//! A bucket is one number: the time that it takes at the tenant's rate until it is full again. It holds [`BURST`] of
//! events. A request larger than that passes when the bucket is full, and the bucket is then in debt until the rate
//! has made up for it: the average holds whatever the requests' sizes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rialto_model::tenant::Quota;
use rialto_model::{TenantId, Timestamp};
use rialto_store::WriteGrant;

use crate::ingest::reply::Refused;

/// How long a tenant's rate may be saved up: clients send in bursts, every ten seconds by themselves.
const BURST: Duration = Duration::from_secs(10);
/// Into so many parts the tenants fall, each under a lock of its own that is never held while anything is waited for.
const SHARDS: usize = 16;
/// A shard with fewer buckets than this is not looked through for full ones.
const FEW: usize = 64;

/// The buckets of all tenants that sent lately and have a limit.
pub(crate) struct Quotas {
    /// What holds for tenants without a quota of their own.
    default: Quota,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<TenantId, Bucket>,
    /// With so many, the full ones are forgotten before another is made.
    sweep_at: usize,
}

/// What a tenant has to make up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// The rate by which it was counted, in events a second.
    rate: u32,
    /// The nanoseconds until it is full, as of `at`.
    owed: u64,
    at: Timestamp,
}

impl Quotas {
    pub(crate) fn new(default: Quota) -> Self {
        Self { default, shards: Default::default() }
    }

    /// Takes events out of their tenant's bucket.
    ///
    /// # Errors
    /// A 429 when it holds too few; then nothing was taken.
    pub(crate) fn charge(&self, grant: &WriteGrant, events: usize, now: Timestamp) -> Result<(), Refused> {
        let Some(rate) = self.rate(grant) else { return Ok(()) };
        self.shard(grant.tenant_id, |shard| shard.take(grant.tenant_id, rate, events, now))
            .map_err(|wait| Refused::over_quota(rate, wait))
    }

    /// Puts events back that were not kept after all.
    pub(crate) fn give_back(&self, grant: &WriteGrant, events: usize) {
        if self.rate(grant).is_none() {
            return;
        }
        self.shard(grant.tenant_id, |shard| {
            if let Some(bucket) = shard.buckets.get_mut(&grant.tenant_id) {
                // By its own rate: the tenant's may have been changed since.
                bucket.owed = bucket.owed.saturating_sub(cost(events, bucket.rate));
            }
        });
    }

    fn rate(&self, grant: &WriteGrant) -> Option<u32> {
        grant.quota.events_per_second.or(self.default.events_per_second).map(|rate| rate.max(1))
    }

    fn shard<T>(&self, tenant: TenantId, work: impl FnOnce(&mut Shard) -> T) -> T {
        // The end of a UUIDv7 is random.
        let index = usize::from(tenant.0.as_bytes()[15]) % SHARDS;
        work(&mut self.shards[index].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many buckets are held.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).buckets.len()).sum()
    }
}

impl Shard {
    /// # Errors
    /// How long to wait.
    fn take(&mut self, tenant: TenantId, rate: u32, events: usize, now: Timestamp) -> Result<(), Duration> {
        if !self.buckets.contains_key(&tenant) {
            self.make_room(now);
        }
        let bucket = self.buckets.entry(tenant).or_insert(Bucket { rate, owed: 0, at: now });
        bucket.take(rate, events, now)
    }

    /// Forgets the buckets that are full. Looking through them costs each newcomer the same, for there are twice as
    /// many as last time.
    fn make_room(&mut self, now: Timestamp) {
        if self.buckets.len() < self.sweep_at.max(FEW) {
            return;
        }
        self.buckets.retain(|_, bucket| bucket.owed_at(now) > 0);
        self.sweep_at = self.buckets.len() * 2;
        self.buckets.shrink_to(self.sweep_at.max(FEW));
    }
}

impl Bucket {
    /// What is owed at a moment. A clock that is set back stands still for it until it has caught up, so that nobody is
    /// shut out for as long as it was set back.
    fn owed_at(&self, now: Timestamp) -> u64 {
        self.owed.saturating_sub(nanos(now.since(self.at)))
    }

    fn take(&mut self, rate: u32, events: usize, now: Timestamp) -> Result<(), Duration> {
        // What is owed is events; at another rate they take another time.
        let owed = u128::from(self.owed_at(now)) * u128::from(self.rate) / u128::from(rate);
        *self = Self { rate, owed: u64::try_from(owed).unwrap_or(u64::MAX), at: now };
        let (cost, burst) = (cost(events, rate), nanos(BURST));
        let afterwards = self.owed.saturating_add(cost.min(burst));
        if afterwards > burst {
            return Err(Duration::from_nanos(afterwards - burst));
        }
        self.owed = self.owed.saturating_add(cost);
        Ok(())
    }
}

/// The nanoseconds in which so many events may come, rounded up.
fn cost(events: usize, rate: u32) -> u64 {
    (events as u64).saturating_mul(1_000_000_000).div_ceil(u64::from(rate))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rialto_model::SourceId;
    use rialto_model::source::Source;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn after(millis: u64) -> Timestamp {
        START.after(Duration::from_millis(millis))
    }

    fn grant(tenant: u8, rate: Option<u32>) -> WriteGrant {
        let source = Source {
            id: SourceId::from_parts(1, &[1; 10]),
            name: String::new(),
            connector: None,
            settings: Default::default(),
            secrets: Default::default(),
            enabled: true,
            created_at: START,
            updated_at: START,
        };
        let quota = Quota { events_per_second: rate };
        WriteGrant { tenant_id: TenantId::from_parts(1, &[tenant; 10]), source, quota }
    }

    fn bucket() -> Bucket {
        Bucket { rate: 10, owed: 0, at: START }
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_fills_at_its_rate() {
        let mut bucket = bucket();
        for _ in 0..100 {
            assert_eq!(bucket.take(10, 1, START), Ok(()));
        }
        assert_eq!(bucket.take(10, 1, START), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(10, 1, after(99)), Err(Duration::from_millis(1)), "and a refusal costs nothing");
        assert_eq!(bucket.take(10, 1, after(100)), Ok(()));
        assert_eq!(bucket.take(10, 5, after(300)), Err(Duration::from_millis(300)));
        assert_eq!(bucket.take(10, 100, after(10_100)), Ok(()), "it is full, and no fuller");
        assert!(bucket.take(10, 1, after(10_100)).is_err());
    }

    #[test]
    fn what_is_larger_than_the_bucket_passes_when_it_is_full_and_is_made_up_for() {
        let mut bucket = bucket();
        assert_eq!(bucket.take(10, 1, START), Ok(()));
        assert_eq!(bucket.take(10, 2_500, START), Err(Duration::from_millis(100)), "not quite full");
        assert_eq!(bucket.take(10, 2_500, after(100)), Ok(()));
        assert_eq!(bucket.take(10, 1, after(240_100)), Err(Duration::from_millis(100)), "the average holds");
        assert_eq!(bucket.take(10, 1, after(240_200)), Ok(()));
    }

    #[test]
    fn another_rate_counts_from_now_on_and_what_is_owed_is_owed_in_events() {
        let mut bucket = bucket();
        assert_eq!(bucket.take(10, 2_500, START), Ok(()));
        assert_eq!(bucket.take(1_000, 1, START), Ok(()), "2,500 events are two and a half seconds of the new rate");
        assert!(bucket.take(1, 1, START).is_err_and(|wait| wait > Duration::from_secs(2_490)));
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let mut bucket = Bucket { at: after(3_600_000), ..bucket() };
        assert_eq!(bucket.take(10, 100, START), Ok(()));
        assert_eq!(bucket.take(10, 1, after(100)), Ok(()));
    }

    #[test]
    fn each_tenant_has_its_own_and_who_has_no_limit_has_none() {
        let quotas = Quotas::new(Quota::default());
        let (acme, globex, free) = (grant(1, Some(1)), grant(2, Some(1)), grant(3, None));
        assert!(quotas.charge(&acme, 10, START).is_ok());
        assert_eq!(quotas.charge(&acme, 1, START).expect_err("it is empty").code, "over_quota");
        assert!(quotas.charge(&globex, 10, START).is_ok());
        assert!(quotas.charge(&free, 1_000_000, START).is_ok());
        assert_eq!(quotas.held(), 2);
        quotas.give_back(&acme, 3);
        assert!(quotas.charge(&acme, 3, START).is_ok(), "what was not kept is given back");
        assert!(quotas.charge(&acme, 1, START).is_err());
        let quotas = Quotas::new(Quota { events_per_second: Some(1) });
        assert!(quotas.charge(&free, 10, START).is_ok() && quotas.charge(&free, 1, START).is_err(), "the hub's own");
    }

    #[test]
    fn buckets_that_are_full_are_forgotten() {
        let quotas = Quotas::new(Quota { events_per_second: Some(10) });
        let sender = |n: u64| {
            let mut random = [7; 10];
            random[2..].copy_from_slice(&n.to_be_bytes());
            WriteGrant { tenant_id: TenantId::from_parts(1, &random), ..grant(1, None) }
        };
        for n in 0..100_000 {
            // A thousand a second, each of which is forgiven after a tenth of one.
            assert!(quotas.charge(&sender(n), 1, after(n)).is_ok());
        }
        assert!(quotas.held() <= SHARDS * FEW, "{} are held", quotas.held());
    }

    #[test]
    fn many_at_once_get_no_more_than_one_after_the_other() {
        let quotas = Quotas::new(Quota { events_per_second: Some(100) });
        let taken: usize = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| (0..1_000).filter(|_| quotas.charge(&grant(1, None), 1, START).is_ok()).count())
                })
                .collect();
            senders.into_iter().map(|sender| sender.join().expect("it ends")).sum()
        });
        assert_eq!(taken, 1_000);
    }
}

//! The persons that a step works on, as far as they are in memory, and what it changed on them.
//!
//! It outlives the step as the tenant's cache: what was committed stays, up to a bound. After a failed commit it is
//! thrown away whole, for it would then tell of things that never happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;

use lru::LruCache;
use rialto_model::identifier::Identifier;
use rialto_model::profile::{Merge, Profile};
use rialto_model::{ProfileId, Timestamp};
use serde_json::Value;

/// How many of the hub's own events are remembered.
const SAID: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// Persons in memory.
pub(crate) struct People {
    profiles: LruCache<ProfileId, Kept>,
    owners: HashMap<Identifier, ProfileId>,
    bytes: usize,
    /// What was said lately, so that it is not said again with every event.
    said: LruCache<String, ()>,
    /// What the step changed; empty between steps.
    pub(crate) changes: Changes,
}

/// What a step changed, as the store is told it.
#[derive(Default)]
pub(crate) struct Changes {
    /// Whose document changed.
    pub(crate) touched: BTreeSet<ProfileId>,
    /// Who was seen, their document changed or not.
    pub(crate) seen: BTreeSet<ProfileId>,
    pub(crate) claims: BTreeMap<Identifier, (ProfileId, Timestamp)>,
    /// Absorbed profiles and whose id answers for them now; no chains.
    pub(crate) absorbed: BTreeMap<ProfileId, ProfileId>,
    pub(crate) merges: Vec<Merge>,
    /// About how many bytes those took whose document changed, when the step began.
    pub(crate) bytes: usize,
}

struct Kept {
    profile: Profile,
    bytes: usize,
}

impl Default for People {
    fn default() -> Self {
        Self {
            profiles: LruCache::unbounded(),
            owners: HashMap::new(),
            bytes: 0,
            said: LruCache::new(SAID),
            changes: Changes::default(),
        }
    }
}

impl People {
    /// Who holds an identifier, if that person is in memory.
    pub(crate) fn owner(&self, identifier: &Identifier) -> Option<ProfileId> {
        self.owners.get(identifier).copied()
    }

    /// A person in memory, by the id that answers now.
    pub(crate) fn get(&self, id: ProfileId) -> Option<&Profile> {
        self.profiles.peek(&id).map(|kept| &kept.profile)
    }

    /// A person to be changed: the whole document will be written.
    pub(crate) fn touch(&mut self, id: ProfileId) -> Option<&mut Profile> {
        let kept = self.profiles.get_mut(&id)?;
        if self.changes.touched.insert(id) {
            self.changes.bytes += kept.bytes;
        }
        Some(&mut kept.profile)
    }

    /// A person took part in an event that happened at `at`.
    pub(crate) fn saw(&mut self, id: ProfileId, at: Timestamp, received_at: Timestamp) {
        let Some(Kept { profile, .. }) = self.profiles.get_mut(&id) else { return };
        self.changes.seen.insert(id);
        profile.events += 1;
        profile.updated_at = received_at;
        profile.last_seen_at = if profile.events == 1 { at } else { profile.last_seen_at.max(at) };
    }

    /// The id that answers for `id` after this step's merges.
    pub(crate) fn canonical(&self, id: ProfileId) -> ProfileId {
        self.changes.absorbed.get(&id).copied().unwrap_or(id)
    }

    /// Whether something is worth saying: it was not said lately. A repeat that slips through is dropped as a
    /// duplicate.
    pub(crate) fn says(&mut self, message_id: &str) -> bool {
        self.said.put(message_id.to_owned(), ()).is_none()
    }

    /// Brings in a person as the store has it.
    pub(crate) fn learn(&mut self, profile: Profile) {
        if self.profiles.contains(&profile.id) {
            return;
        }
        for held in &profile.identifiers {
            self.owners.insert(held.identifier(), profile.id);
        }
        self.keep(profile);
    }

    /// Brings in a person that this step made.
    pub(crate) fn create(&mut self, profile: Profile) {
        self.changes.touched.insert(profile.id);
        self.keep(profile);
    }

    fn keep(&mut self, profile: Profile) {
        let bytes = weight(&profile);
        self.bytes += bytes;
        self.profiles.put(profile.id, Kept { profile, bytes });
    }

    /// Says that an identifier is this person's from now on.
    pub(crate) fn claim(&mut self, identifier: Identifier, id: ProfileId, since: Timestamp) {
        self.owners.insert(identifier.clone(), id);
        self.changes.claims.insert(identifier, (id, since));
    }

    /// Takes a person out that became another.
    pub(crate) fn absorb(&mut self, absorbed: ProfileId, survivor: ProfileId) -> Option<Profile> {
        let kept = self.profiles.pop(&absorbed)?;
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        self.changes.touched.remove(&absorbed);
        self.changes.seen.remove(&absorbed);
        for answers in self.changes.absorbed.values_mut().filter(|answers| **answers == absorbed) {
            *answers = survivor;
        }
        self.changes.absorbed.insert(absorbed, survivor);
        Some(kept.profile)
    }

    /// The changes are committed: forgets them, and lets go of the persons longest unused beyond `most` bytes.
    pub(crate) fn committed(&mut self, most: usize) {
        let changes = std::mem::take(&mut self.changes);
        for id in changes.touched {
            if let Some(kept) = self.profiles.peek_mut(&id) {
                let bytes = weight(&kept.profile);
                self.bytes = (self.bytes + bytes).saturating_sub(kept.bytes);
                kept.bytes = bytes;
            }
        }
        while self.bytes > most
            && let Some((_, kept)) = self.profiles.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(kept.bytes);
            for held in &kept.profile.identifiers {
                self.owners.remove(&held.identifier());
            }
        }
    }

    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// About how many bytes a profile takes in memory.
pub(crate) fn weight(profile: &Profile) -> usize {
    let identifiers: usize =
        profile.identifiers.iter().map(|held| 200 + 2 * (held.kind.len() + held.value.len())).sum();
    let traits: usize = profile.traits.iter().map(|(name, kept)| 200 + name.len() + weight_of(&kept.value)).sum();
    let deleted: usize = profile.deleted_traits.keys().map(|name| 200 + name.len()).sum();
    512 + identifiers + traits + deleted
}

fn weight_of(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(weight_of).sum::<usize>(),
        Value::Object(members) => {
            64 + members.iter().map(|(name, value)| 64 + name.len() + weight_of(value)).sum::<usize>()
        }
        _ => 32,
    }
}

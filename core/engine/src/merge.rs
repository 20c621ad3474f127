//! One of two: the older profile takes in what the other had, and a journal keeps both as they were.

use rialto_model::identifier::Identifier;
use rialto_model::profile::{HeldIdentifier, MAX_TRAITS, Merge, Profile, Provenance};
use rialto_model::{MergeId, ProfileId};

use crate::people::People;
use crate::resolve::Occasion;

/// Merges `absorbed` into `survivor`, both of them in memory, and journals it. `None` if one of them is not.
pub(crate) fn merge(
    people: &mut People,
    survivor: ProfileId,
    absorbed: ProfileId,
    by: &[Identifier],
    id: MergeId,
    occasion: &Occasion<'_>,
) -> Option<MergeId> {
    let survivor_before = people.get(survivor)?.clone();
    let absorbed_before = people.absorb(absorbed, survivor)?;
    let one = people.touch(survivor)?;
    take_in(one, &absorbed_before);
    one.updated_at = occasion.received_at;
    for held in &absorbed_before.identifiers {
        people.claim(held.identifier(), survivor, held.first_seen_at);
    }
    people.changes.merges.push(Merge {
        id,
        at: occasion.received_at,
        message_id: occasion.message_id.to_owned(),
        by: by.to_vec(),
        survivor_id: survivor,
        absorbed_id: absorbed,
        survivor_before,
        absorbed_before,
    });
    Some(id)
}

/// Identifiers of both; of each trait the value that was written last by event time, the survivor's where both
/// were written at the same moment.
fn take_in(one: &mut Profile, other: &Profile) {
    for held in &other.identifiers {
        hold(one, held);
    }
    for (name, theirs) in &other.traits {
        if newer(&theirs.provenance, written(one, name)) {
            if one.traits.len() < MAX_TRAITS || one.traits.contains_key(name) {
                one.traits.insert(name.clone(), theirs.clone());
            }
            one.deleted_traits.remove(name);
        }
    }
    for (name, theirs) in &other.deleted_traits {
        if newer(theirs, written(one, name)) {
            one.traits.remove(name);
            one.deleted_traits.insert(name.clone(), theirs.clone());
        }
    }
    one.last_seen_at = one.last_seen_at.max(other.last_seen_at);
    one.merges += other.merges + 1;
    one.events += other.events;
}

fn hold(one: &mut Profile, theirs: &HeldIdentifier) {
    match one.identifiers.iter_mut().find(|held| held.kind == theirs.kind && held.value == theirs.value) {
        Some(held) => held.first_seen_at = held.first_seen_at.min(theirs.first_seen_at),
        None => one.identifiers.push(theirs.clone()),
    }
}

fn newer(theirs: &Provenance, ours: Option<&Provenance>) -> bool {
    ours.is_none_or(|ours| theirs.at > ours.at)
}

/// Who wrote or deleted a trait last.
pub(crate) fn written<'p>(profile: &'p Profile, name: &str) -> Option<&'p Provenance> {
    profile.traits.get(name).map(|kept| &kept.provenance).or_else(|| profile.deleted_traits.get(name))
}

//! One of two: the older profile takes in what the other had, and a journal keeps both as they were.

use std::cmp::Reverse;

use rialto_model::identifier::Identifier;
use rialto_model::profile::{HeldIdentifier, Merge, Profile, Provenance};
use rialto_model::{MergeId, ProfileId};

use crate::fold::Size;
use crate::people::People;
use crate::resolve::Occasion;

/// The most traits that a decision names as left out by a merge.
const MAX_LEFT_OUT: usize = 100;

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
/// were written at the same moment. Where there is no room for all, the survivor's stay and of the other's the newest
/// come.
fn take_in(one: &mut Profile, other: &Profile) {
    for held in &other.identifiers {
        hold(one, held);
    }
    let mut size = Size::of(one);
    for (name, theirs) in &other.deleted_traits {
        if newer(theirs, written(one, name)) {
            size.mark(one, name.clone(), theirs.clone());
        }
    }
    let mut traits: Vec<_> = other.traits.iter().collect();
    traits.sort_by_key(|(_, theirs)| Reverse(theirs.provenance.at));
    for (name, theirs) in traits {
        if newer(&theirs.provenance, written(one, name)) {
            size.put(one, name, || theirs.clone());
        }
    }
    size.let_marks_go(one);
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

/// The traits that the survivor of these merges had no room for: names that are `short` at most, and not too many.
pub(crate) fn left_out(merges: &[Merge], survivor: &Profile, short: usize) -> Vec<String> {
    let theirs = merges.iter().flat_map(|merge| &merge.absorbed_before.traits);
    let out = theirs.filter(|(name, theirs)| newer(&theirs.provenance, written(survivor, name)));
    out.take(MAX_LEFT_OUT).map(|(name, _)| name.chars().take(short).collect()).collect()
}

/// About how many bytes the journal of a merge takes.
pub(crate) fn image_bytes(merge: &Merge) -> usize {
    let held = |held: &HeldIdentifier| 100 + held.kind.len() + held.value.len();
    let one = |profile: &Profile| Size::of(profile).bytes() + profile.identifiers.iter().map(held).sum::<usize>();
    one(&merge.survivor_before) + one(&merge.absorbed_before)
}

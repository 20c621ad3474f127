//! How many identifiers and merges a profile may have.

use std::collections::BTreeMap;
use std::time::Duration;

use rialto_model::identifier::{Identifier, IdentityRules};
use rialto_model::profile::Profile;
use rialto_model::{ProfileId, Timestamp};

use crate::people::People;

/// What using all the identifiers would break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// Too many identifiers of a kind.
    Limit,
    /// More identifiers than a profile may hold.
    Identifiers,
    /// More merges than a profile may go through.
    Merges,
}

/// Whether the event's identifiers may all be one person's. What a profile already holds breaks nothing, even if
/// the limits were lowered since: only what would come to it is judged.
pub(super) fn breach(
    people: &People,
    matched: &[ProfileId],
    active: &[Identifier],
    rules: &IdentityRules,
    at: Timestamp,
) -> Option<Breach> {
    let survivor = super::oldest(people, matched);
    let is_new = |identifier: &&Identifier| people.owner(identifier).is_none();
    if matched.len() < 2 && !active.iter().any(|identifier| is_new(&identifier)) {
        return None;
    }
    let absorbed: Vec<&Profile> =
        matched.iter().filter(|id| Some(**id) != survivor).filter_map(|id| people.get(*id)).collect();
    let base = survivor.and_then(|id| people.get(id));

    let mut coming: BTreeMap<&str, u32> = BTreeMap::new();
    let mut total = base.map_or(0, |profile| profile.identifiers.len());
    for identifier in active.iter().filter(is_new) {
        *coming.entry(&identifier.kind).or_default() += 1;
        total += 1;
    }
    for held in absorbed.iter().flat_map(|profile| &profile.identifiers) {
        let counts = within(rules, &held.kind, held.first_seen_at, at);
        *coming.entry(&held.kind).or_default() += u32::from(counts);
        total += 1;
    }
    let over = |(kind, coming): (&&str, &u32)| {
        let own = base.map_or(0, |profile| {
            let of_kind = profile.identifiers.iter().filter(|held| held.kind == **kind);
            of_kind.filter(|held| within(rules, kind, held.first_seen_at, at)).count()
        });
        *coming > 0 && own + *coming as usize > rules.limit(kind).count as usize
    };
    if coming.iter().any(over) {
        return Some(Breach::Limit);
    }
    if total > rules.max_identifiers as usize {
        return Some(Breach::Identifiers);
    }
    let merges: u32 = absorbed.iter().map(|profile| profile.merges + 1).sum();
    (merges > 0 && base.map_or(0, |profile| profile.merges) + merges > rules.max_merges).then_some(Breach::Merges)
}

/// Whether an identifier seen first at `seen` counts at `at` for the limit of its kind.
fn within(rules: &IdentityRules, kind: &str, seen: Timestamp, at: Timestamp) -> bool {
    let days = rules.limit(kind).per.days();
    days.is_none_or(|days| seen > at.before(Duration::from_secs(u64::from(days) * 86_400)))
}

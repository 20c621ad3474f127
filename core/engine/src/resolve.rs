//! Whose event it is: none known → a new profile; one → that; several → they become one, if the limits allow.
//!
//! Deterministic, by the tenant's rules. If using an identifier would break a limit, the event's identifier of the
//! lowest priority is set aside and matching is tried again, until the rest fits.

mod limits;

use rialto_model::decision::{How, Resolution, SetAside, SetAsideReason};
use rialto_model::identifier::{Identifier, IdentityRules};
use rialto_model::profile::{HeldIdentifier, Profile};
use rialto_model::{Position, ProfileId, TenantId, Timestamp};

use crate::derive;
use crate::facts::Facts;
use crate::merge::merge;
use crate::people::People;
use limits::{Breach, breach};

/// The event on whose occasion persons change.
#[derive(Clone, Copy)]
pub(crate) struct Occasion<'e> {
    pub(crate) tenant: TenantId,
    pub(crate) position: Position,
    pub(crate) message_id: &'e str,
    pub(crate) received_at: Timestamp,
}

/// Finds or makes the event's person. Takes the identifiers and what was set aside out of `facts`.
pub(crate) fn resolve(
    people: &mut People,
    facts: &mut Facts,
    rules: &IdentityRules,
    occasion: &Occasion<'_>,
) -> (Option<ProfileId>, Resolution) {
    let mut set_aside = std::mem::take(&mut facts.set_aside);
    if let Some(named) = facts.profile {
        let profile = Some(people.canonical(named)).filter(|id| people.get(*id).is_some());
        let how = if profile.is_some() { How::Matched } else { How::Nobody };
        return (profile, Resolution { how, by: Vec::new(), set_aside, merges: Vec::new() });
    }
    let mut active = with_previous(people, facts, rules);
    let matched = find(people, &mut active, &mut set_aside, rules, occasion.received_at);
    let mut resolution = Resolution { how: How::Nobody, by: active, set_aside, merges: Vec::new() };
    let profile = settle(people, &matched, &mut resolution, occasion);
    (profile, resolution)
}

/// The persons who would be one by an event at `at`; changes nothing.
pub(crate) fn whose(people: &People, facts: &Facts, rules: &IdentityRules, at: Timestamp) -> Vec<ProfileId> {
    if let Some(named) = facts.profile {
        return vec![people.canonical(named)];
    }
    let (identifiers, previous) = (facts.identifiers.clone(), facts.previous.clone());
    let mut facts = Facts { identifiers, previous, ..Facts::default() };
    let mut active = with_previous(people, &mut facts, rules);
    find(people, &mut active, &mut Vec::new(), rules, at)
}

/// The persons whom the identifiers name, less those identifiers that would break a limit.
fn find(
    people: &People,
    active: &mut Vec<Identifier>,
    set_aside: &mut Vec<SetAside>,
    rules: &IdentityRules,
    at: Timestamp,
) -> Vec<ProfileId> {
    loop {
        let matched = owners(people, active);
        match breach(people, &matched, active, rules, at) {
            None => return matched,
            Some(Breach::Limit) => aside(active, set_aside, SetAsideReason::Demoted),
            Some(Breach::Identifiers) if matched.len() < 2 => {
                let newest = active.iter().rposition(|identifier| people.owner(identifier).is_none());
                let capped = active.remove(newest.unwrap_or(active.len() - 1));
                set_aside.push(SetAside { identifier: capped, why: SetAsideReason::Capped });
            }
            Some(Breach::Identifiers | Breach::Merges) => {
                // No more merging here: the event is the person's whom its strongest known identifier names.
                let (stay, capped) = std::mem::take(active).into_iter().partition(|identifier| {
                    people.owner(identifier).is_none_or(|owner| matched.first() == Some(&owner))
                });
                *active = stay;
                let capped: Vec<Identifier> = capped;
                set_aside
                    .extend(capped.into_iter().map(|identifier| SetAside { identifier, why: SetAsideReason::Capped }));
            }
        }
    }
}

/// The person of the identifiers in `resolution.by`, which break no limit: made, matched or merged.
fn settle(
    people: &mut People,
    matched: &[ProfileId],
    resolution: &mut Resolution,
    occasion: &Occasion<'_>,
) -> Option<ProfileId> {
    if resolution.by.is_empty() {
        return None;
    }
    let Some(survivor) = oldest(people, matched) else {
        let id = derive::profile_id(occasion.tenant, occasion.position, occasion.received_at);
        people.create(Profile::new(id, occasion.received_at));
        attach(people, id, &resolution.by, occasion.received_at);
        resolution.how = How::Created;
        return Some(id);
    };
    resolution.how = How::Matched;
    for absorbed in others_by_age(people, matched, survivor) {
        let id = derive::merge_id(occasion.tenant, occasion.position, absorbed, occasion.received_at);
        resolution.merges.extend(merge(people, survivor, absorbed, &resolution.by, id, occasion));
        resolution.how = How::Merged;
    }
    attach(people, survivor, &resolution.by, occasion.received_at);
    Some(survivor)
}

/// The event's identifiers with the alias call's other id, in the kind in which someone is known by it.
fn with_previous(people: &People, facts: &mut Facts, rules: &IdentityRules) -> Vec<Identifier> {
    let mut active = std::mem::take(&mut facts.identifiers);
    if let Some(previous) = facts.previous.take() {
        let known = |identifier: &Identifier| people.owner(identifier).is_some();
        let other = match known(&previous.user) && !known(&previous.anonymous) {
            true => previous.user,
            false => previous.anonymous,
        };
        if !active.contains(&other) {
            let rank = rules.rank(&other.kind);
            let place = active.partition_point(|identifier| rules.rank(&identifier.kind) <= rank);
            active.insert(place, other);
        }
    }
    active
}

/// The persons that identifiers name, that of the strongest first.
fn owners(people: &People, identifiers: &[Identifier]) -> Vec<ProfileId> {
    let mut owners = Vec::new();
    for owner in identifiers.iter().filter_map(|identifier| people.owner(identifier)) {
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}

fn age(people: &People, id: ProfileId) -> (Timestamp, ProfileId) {
    (people.get(id).map_or(Timestamp(i64::MAX), |profile| profile.created_at), id)
}

fn oldest(people: &People, ids: &[ProfileId]) -> Option<ProfileId> {
    ids.iter().copied().min_by_key(|id| age(people, *id))
}

fn others_by_age(people: &People, ids: &[ProfileId], survivor: ProfileId) -> Vec<ProfileId> {
    let mut others: Vec<_> = ids.iter().copied().filter(|id| *id != survivor).collect();
    others.sort_by_key(|id| age(people, *id));
    others
}

/// Sets the identifier of the lowest priority aside.
fn aside(active: &mut Vec<Identifier>, set_aside: &mut Vec<SetAside>, why: SetAsideReason) {
    set_aside.extend(active.pop().map(|identifier| SetAside { identifier, why }));
}

/// Puts the identifiers that nobody holds yet on a person.
fn attach(people: &mut People, id: ProfileId, identifiers: &[Identifier], since: Timestamp) {
    for identifier in identifiers {
        if people.owner(identifier).is_some() {
            continue;
        }
        if let Some(profile) = people.touch(id) {
            let (kind, value) = (identifier.kind.clone(), identifier.value.clone());
            profile.identifiers.push(HeldIdentifier { kind, value, first_seen_at: since });
            people.claim(identifier.clone(), id, since);
        }
    }
}

#[cfg(test)]
mod tests;

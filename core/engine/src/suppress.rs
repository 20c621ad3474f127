//! Whose events go nowhere. A person is suppressed by any identifier: one on the event, or one that the profile holds
//! whose event it would be. Who suppresses nobody asks nothing and pays nothing.

use std::collections::HashMap;

use rialto_model::ProfileId;
use rialto_model::identifier::Identifier;
use rialto_model::profile::HeldIdentifier;
use rialto_model::suppression::Suppressed;

use crate::facts::Facts;
use crate::people::People;
use crate::step::Incoming;

/// Which identifiers are suppressed, of all that a step may meet.
pub(crate) type Suppressions = HashMap<Identifier, Suppressed>;

/// What has to be asked for before these are decided on: what they carry, and what is held by those in memory whom they
/// name. What others hold is asked for along with them.
pub(crate) fn suppressible(incoming: &[Incoming], people: &People) -> Vec<Identifier> {
    let mut asked = Vec::new();
    for (_, facts) in incoming.iter().filter_map(|incoming| incoming.read.as_ref().ok()) {
        let owners = on_event(facts).filter_map(|identifier| people.owner(identifier)).chain(facts.profile);
        let held = owners.filter_map(|id| people.get(id)).flat_map(|profile| &profile.identifiers);
        asked.extend(held.map(HeldIdentifier::identifier));
        asked.extend(on_event(facts).cloned());
    }
    asked.sort_unstable();
    asked.dedup();
    asked
}

/// Whether an event says by itself that it is of someone who is suppressed; the longest standing suppression answers.
pub(crate) fn by_event(suppressions: &Suppressions, facts: &Facts) -> Option<Suppressed> {
    on_event(facts).filter_map(|identifier| suppressions.get(identifier)).min().copied()
}

/// Whether any of these persons is suppressed.
pub(crate) fn by_person(suppressions: &Suppressions, people: &People, persons: &[ProfileId]) -> Option<Suppressed> {
    let held = persons.iter().filter_map(|id| people.get(*id)).flat_map(|profile| &profile.identifiers);
    held.filter_map(|held| suppressions.get(&held.identifier())).min().copied()
}

/// The identifiers of an event, those that it only carries along too, and the alias call's other id in either kind: it
/// does not say which it is.
fn on_event(facts: &Facts) -> impl Iterator<Item = &Identifier> {
    let previous = facts.previous.iter().flat_map(|previous| [&previous.anonymous, &previous.user]);
    facts.identifiers.iter().chain(previous).chain(&facts.carried)
}

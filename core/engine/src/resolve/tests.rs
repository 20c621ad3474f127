//! IDENTITY by example, and what must hold whatever comes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rialto_model::identifier::{Limit, Span};

use super::*;

struct World {
    people: People,
    rules: IdentityRules,
    position: Position,
}

impl World {
    fn new() -> Self {
        Self { people: People::default(), rules: IdentityRules::default(), position: 0 }
    }

    fn limited(kind: &str, count: u32, per: Span) -> Self {
        let mut world = Self::new();
        world.rules.limits.insert(kind.to_owned(), Limit { count, per });
        world
    }

    /// An event that carries identifiers written `kind:value`, a second after the one before.
    fn event(&mut self, identifiers: &[&str]) -> (ProfileId, Resolution) {
        let identifiers = identifiers.iter().map(|text| identifier(text)).collect();
        let (profile, resolution) = self.take(Facts { identifiers, ..Facts::default() }, 1);
        (profile.expect("someone"), resolution)
    }

    fn take(&mut self, facts: Facts, seconds: u64) -> (Option<ProfileId>, Resolution) {
        self.position += seconds;
        let received_at =
            Timestamp::from_millis(1_700_000_000_000).after(std::time::Duration::from_secs(self.position));
        self.take_at(facts, received_at)
    }

    fn take_at(&mut self, mut facts: Facts, received_at: Timestamp) -> (Option<ProfileId>, Resolution) {
        let tenant = TenantId::from_parts(1, &[1; 10]);
        let message_id = format!("m{}", self.position);
        let occasion = Occasion { tenant, position: self.position, message_id: &message_id, received_at };
        resolve(&mut self.people, &mut facts, &self.rules, &occasion)
    }

    fn holds(&self, id: ProfileId) -> Vec<String> {
        let profile = self.people.get(id).expect("is there");
        profile.identifiers.iter().map(|held| held.identifier().to_string()).collect()
    }
}

fn identifier(text: &str) -> Identifier {
    let (kind, value) = text.split_once(':').expect("kind:value");
    Identifier { kind: kind.to_owned(), value: value.to_owned() }
}

fn aside_of(resolution: &Resolution) -> Vec<(String, SetAsideReason)> {
    resolution.set_aside.iter().map(|aside| (aside.identifier.to_string(), aside.why)).collect()
}

#[test]
fn none_known_creates_one_known_attaches_several_merge_into_the_oldest() {
    let mut world = World::new();
    let (visitor, created) = world.event(&["anonymous_id:a1"]);
    assert_eq!(created.how, How::Created);
    let (other, _) = world.event(&["anonymous_id:a2"]);
    assert_ne!(visitor, other);
    let (known, matched) = world.event(&["user_id:u1", "anonymous_id:a2"]);
    assert_eq!((known, matched.how), (other, How::Matched));
    assert_eq!(world.holds(other), ["anonymous_id:a2", "user_id:u1"]);

    let (merged, resolution) = world.event(&["user_id:u1", "anonymous_id:a1"]);
    assert_eq!((merged, resolution.how, resolution.merges.len()), (visitor, How::Merged, 1));
    assert_eq!(world.holds(visitor), ["anonymous_id:a1", "anonymous_id:a2", "user_id:u1"]);
    assert!(world.people.get(other).is_none());
    assert_eq!(world.people.canonical(other), visitor);
    let journal = &world.people.changes.merges[0];
    assert_eq!((journal.survivor_id, journal.absorbed_id, &journal.id), (visitor, other, &resolution.merges[0]));
    assert_eq!(journal.survivor_before.identifiers.len(), 1);
    assert_eq!(journal.absorbed_before.identifiers.len(), 2);
}

#[test]
fn of_profiles_made_in_one_request_the_first_survives() {
    let mut world = World::new();
    for n in 0..20 {
        let [anonymous, user] = [format!("anonymous_id:a{n}"), format!("user_id:u{n}")];
        let [visitor, customer, both] = [vec![&anonymous], vec![&user], vec![&user, &anonymous]].map(|carried| {
            world.position += 1;
            let identifiers = carried.into_iter().map(|text| identifier(text)).collect();
            world.take_at(Facts { identifiers, ..Facts::default() }, Timestamp::from_millis(1_700_000_000_000)).0
        });
        assert_eq!((both, world.people.get(customer.expect("someone"))), (visitor, None));
    }
}

#[test]
fn what_a_merge_has_no_room_for_is_the_others_and_the_oldest() {
    let mut world = World::new();
    let (one, _) = world.event(&["anonymous_id:a1"]);
    let (two, _) = world.event(&["anonymous_id:a2"]);
    let source_id = rialto_model::SourceId::from_parts(1, &[1; 10]);
    for (id, first) in [(one, 0), (two, 5)] {
        let profile = world.people.touch(id).expect("is there");
        for n in first..first + 5 {
            let at = Timestamp::from_millis(n);
            let provenance = rialto_model::profile::Provenance { source_id, message_id: format!("m{n}"), at };
            let value = "x".repeat(30_000).into();
            profile.traits.insert(format!("t{n}"), rialto_model::profile::TraitValue { value, provenance });
        }
    }
    world.event(&["anonymous_id:a1", "anonymous_id:a2"]);
    let survivor = world.people.get(one).expect("lives on");
    let kept: Vec<&str> = survivor.traits.keys().map(String::as_str).collect();
    assert_eq!(kept, ["t0", "t1", "t2", "t3", "t4", "t7", "t8", "t9"]);
    let merges = &world.people.changes.merges;
    assert_eq!(crate::merge::left_out(merges, survivor, 200), ["t5", "t6"], "and the decision says so");
    assert_eq!((merges[0].survivor_before.traits.len(), merges[0].absorbed_before.traits.len()), (5, 5));
}

#[test]
fn the_worked_case_the_shared_email_stays_where_it_was() {
    let mut world = World::new();
    let (jane, _) = world.event(&["user_id:abc123", "email:jane@x.org"]);
    let (new, resolution) = world.event(&["user_id:abc456", "email:jane@x.org"]);
    assert_ne!(new, jane);
    assert_eq!(resolution.how, How::Created);
    assert_eq!(aside_of(&resolution), [("email:jane@x.org".to_owned(), SetAsideReason::Demoted)]);
    assert_eq!(world.holds(new), ["user_id:abc456"]);
    assert_eq!(world.holds(jane), ["user_id:abc123", "email:jane@x.org"]);
    assert_eq!(world.people.owner(&identifier("email:jane@x.org")), Some(jane));
}

#[test]
fn two_customers_on_one_device_stay_two_persons() {
    let mut world = World::new();
    let (one, _) = world.event(&["user_id:u1", "anonymous_id:a"]);
    let (two, resolution) = world.event(&["user_id:u2", "anonymous_id:a"]);
    assert_ne!(one, two);
    assert_eq!(aside_of(&resolution), [("anonymous_id:a".to_owned(), SetAsideReason::Demoted)]);
    assert_eq!(world.event(&["user_id:u2", "anonymous_id:a"]).0, two, "and so it goes on");
}

#[test]
fn a_merge_that_would_break_a_limit_is_tried_again_without_the_weakest() {
    let mut world = World::new();
    let (one, _) = world.event(&["user_id:u1", "email:e1"]);
    let (two, _) = world.event(&["user_id:u2", "anonymous_id:a"]);
    // u1 and a would make one person of two customers: a goes; e1 is u1's; nothing is left to merge.
    let (who, resolution) = world.event(&["user_id:u1", "email:e1", "anonymous_id:a"]);
    assert_eq!((who, resolution.how), (one, How::Matched));
    assert_eq!(aside_of(&resolution), [("anonymous_id:a".to_owned(), SetAsideReason::Demoted)]);
    assert_eq!(world.people.owner(&identifier("anonymous_id:a")), Some(two));
}

#[test]
fn a_limit_over_a_span_forgets_what_is_older() {
    let mut world = World::limited("email", 1, Span::Week);
    let (one, _) = world.event(&["user_id:u", "email:e1"]);
    assert_eq!(aside_of(&world.event(&["user_id:u", "email:e2"]).1).len(), 1);
    let week = 7 * 86_400;
    let identifiers = vec![identifier("user_id:u"), identifier("email:e2")];
    let (who, later) = world.take(Facts { identifiers, ..Facts::default() }, week);
    assert_eq!((who, later.set_aside.len()), (Some(one), 0));
    assert_eq!(world.holds(one), ["user_id:u", "email:e1", "email:e2"]);
}

#[test]
fn a_limit_that_was_lowered_does_not_turn_away_what_is_held() {
    let mut world = World::new();
    let (one, _) = world.event(&["user_id:u", "email:e1"]);
    world.event(&["user_id:u", "email:e2"]);
    world.rules.limits.insert("email".to_owned(), Limit { count: 1, per: Span::Ever });
    let (who, resolution) = world.event(&["email:e1"]);
    assert_eq!((who, resolution.how), (one, How::Matched));
    assert_eq!(aside_of(&world.event(&["user_id:u", "email:e3"]).1).len(), 1);
}

#[test]
fn past_the_caps_nothing_merges_and_events_still_find_their_person() {
    let mut world = World::new();
    world.rules.max_merges = 1;
    let (one, _) = world.event(&["anonymous_id:a1"]);
    world.event(&["anonymous_id:a2"]);
    let (three, _) = world.event(&["anonymous_id:a3"]);
    world.event(&["anonymous_id:a1", "anonymous_id:a2"]);
    let (who, resolution) = world.event(&["anonymous_id:a3", "anonymous_id:a1", "email:e"]);
    assert_eq!((who, resolution.how), (three, How::Matched), "that of the first known identifier");
    assert_eq!(aside_of(&resolution), [("anonymous_id:a1".to_owned(), SetAsideReason::Capped)]);
    assert_eq!(world.people.owner(&identifier("anonymous_id:a1")), Some(one));

    let mut world = World::new();
    world.rules.max_identifiers = 2;
    let (one, _) = world.event(&["user_id:u", "anonymous_id:a1"]);
    let (who, resolution) = world.event(&["user_id:u", "anonymous_id:a2"]);
    assert_eq!((who, aside_of(&resolution)), (one, vec![("anonymous_id:a2".to_owned(), SetAsideReason::Capped)]));
}

#[test]
fn nothing_that_identifies_is_nobody() {
    let mut world = World::limited("anonymous_id", 0, Span::Ever);
    assert_eq!(world.take(Facts::default(), 1).1.how, How::Nobody);
    let identifiers = vec![identifier("anonymous_id:a")];
    let (who, resolution) = world.take(Facts { identifiers, ..Facts::default() }, 1);
    assert_eq!((who, resolution.how), (None, How::Nobody));
}

fn alias(from: &str, to: &str) -> Facts {
    let previous = crate::facts::Previous {
        anonymous: identifier(&format!("anonymous_id:{from}")),
        user: identifier(&format!("user_id:{from}")),
    };
    Facts { identifiers: vec![identifier(&format!("user_id:{to}"))], previous: Some(previous), ..Facts::default() }
}

#[test]
fn an_alias_is_a_merge_request_under_the_same_rules() {
    let mut world = World::new();
    let (visitor, _) = world.event(&["anonymous_id:a"]);
    let (customer, _) = world.event(&["user_id:u"]);
    let (who, resolution) = world.take(alias("a", "u"), 1);
    assert_eq!((who, resolution.how), (Some(visitor), How::Merged));
    assert_eq!(world.people.canonical(customer), visitor);
    // Of an id that nobody is known by it says where later events with it belong.
    world.take(alias("later", "u"), 1);
    assert_eq!(world.event(&["anonymous_id:later"]).0, visitor);
    // Two customers' ids are two customers, unless the tenant says that one may have several.
    let (other, _) = world.event(&["user_id:v"]);
    let (who, resolution) = world.take(alias("v", "u"), 1);
    assert_eq!((who, resolution.how), (Some(visitor), How::Matched));
    assert_eq!(aside_of(&resolution), [("user_id:v".to_owned(), SetAsideReason::Demoted)]);
    world.rules.limits.clear();
    assert_eq!(world.take(alias("v", "u"), 1).1.how, How::Merged);
    assert_eq!(world.people.canonical(other), visitor);
}

#[test]
fn merges_in_a_chain_leave_no_alias_that_leads_to_an_alias() {
    let mut world = World::new();
    let (first, _) = world.event(&["anonymous_id:a1"]);
    let (second, _) = world.event(&["anonymous_id:a2"]);
    let (third, _) = world.event(&["anonymous_id:a3"]);
    world.event(&["anonymous_id:a3", "anonymous_id:a2"]);
    world.event(&["anonymous_id:a2", "anonymous_id:a1"]);
    assert_eq!((world.people.canonical(third), world.people.canonical(second)), (first, first));
    assert_eq!(world.people.get(first).map(|profile| profile.merges), Some(2));
}

proptest! {
    /// Whatever comes: no identifier under two profiles, no limit broken, what is held is owned and the reverse.
    #[test]
    fn identity_stays_whole(events in prop::collection::vec(
        (prop::option::of(0u8..4), prop::option::of(0u8..4), prop::option::of(0u8..6)), 1..60,
    )) {
        let mut world = World::new();
        let mut seen = BTreeSet::new();
        for (user, email, anonymous) in events {
            let texts: Vec<String> = [("user_id", user), ("email", email), ("anonymous_id", anonymous)]
                .iter()
                .filter_map(|(kind, value)| value.map(|value| format!("{kind}:{value}")))
                .collect();
            if texts.is_empty() {
                continue;
            }
            let (who, resolution) = world.event(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            for by in &resolution.by {
                prop_assert_eq!(world.people.owner(by), Some(who));
                seen.insert(by.clone());
            }
        }
        let mut held: BTreeMap<String, ProfileId> = BTreeMap::new();
        for id in seen.iter().filter_map(|identifier| world.people.owner(identifier)).collect::<BTreeSet<_>>() {
            for text in world.holds(id) {
                prop_assert_eq!(world.people.owner(&identifier(&text)), Some(id));
                prop_assert!(held.insert(text, id).is_none(), "an identifier under two profiles");
            }
            let users = world.holds(id).iter().filter(|text| text.starts_with("user_id:")).count();
            prop_assert!(users <= 1, "two customers became one");
        }
        prop_assert_eq!(held.len(), seen.len());
    }
}

//! What a step says and holds, whatever its events bring.

use rialto_model::SourceId;
use rialto_model::identifier::Identifier;
use rialto_model::profile::{Profile, TraitValue};
use rialto_model::tenant::Tenant;
use serde_json::{Value, json};

use super::*;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn config() -> Config {
    let tenant = Tenant {
        id: TenantId::from_parts(1, &[1; 10]),
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        created_at: AT,
        updated_at: AT,
        enabled: true,
        identity: Default::default(),
        quota: Default::default(),
    };
    Config { version: 1, tenant, routes: Vec::new(), suppresses: true }
}

fn entry(position: Position, more: Value) -> Entry {
    let source = SourceId::from_parts(1, &[1; 10]);
    let mut whole = json!({
        "message_id": format!("m{position}"), "type": "identify", "source_id": source, "timestamp": AT,
        "received_at": AT,
    });
    whole.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Entry { position, appended_at: AT, body: whole.to_string().into() }
}

fn decide(people: &mut People, entries: Vec<Entry>) -> Decided {
    decide_but(people, entries, Suppressions::new())
}

fn decide_but(people: &mut People, entries: Vec<Entry>, suppressions: Suppressions) -> Decided {
    let config = config();
    let from = entries[0].position - 1;
    let incoming = entries.into_iter().map(|entry| read(entry, &config, None)).collect();
    let (repeats, before, aliases) = (HashMap::new(), Fresh::new(), HashMap::new());
    let step =
        Step { tenant: config.tenant.id, config: &config, people, repeats, before, aliases, suppressions, now: AT };
    step.decide(from, incoming)
}

#[test]
fn a_step_says_a_thing_once_however_much_else_it_says() {
    let blocked = |position: Position, ids: Vec<String>| {
        let external: Vec<Value> = ids.into_iter().map(|id| json!({"id": id, "type": "crm"})).collect();
        entry(position, json!({"anonymous_id": "a", "context": {"externalIds": external}}))
    };
    let mut entries = vec![blocked(1, vec!["0".to_owned()])];
    for event in 0..25 {
        let ids = (1..=50).map(|n| format!("{:012b}", event * 50 + n).replace('1', "-")).collect();
        entries.push(blocked(event as Position + 2, ids));
    }
    entries.push(blocked(27, vec!["0".to_owned()]));
    let outbox = decide(&mut People::default(), entries).write.outbox;
    let ids: HashSet<&str> = outbox.iter().map(|notice| notice.message_id.as_str()).collect();
    assert_eq!((ids.len(), outbox.len()), (25 * 50 + 1, 25 * 50 + 1));
    assert!(outbox[0].body.contains("\"m1\""), "in the order in which it came up");
}

#[test]
fn a_step_ends_where_its_merges_grow_too_large() {
    let mut people = People::default();
    let large = Value::from("x".repeat(30_000));
    let rich = |people: &mut People, n: u64, kind: &str| {
        let id = ProfileId::from_parts(n, &[1; 10]);
        let mut profile = Profile::new(id, AT);
        let provenance =
            Provenance { source_id: SourceId::from_parts(1, &[1; 10]), message_id: "m".to_owned(), at: AT };
        for name in 0..8 {
            let kept = TraitValue { value: large.clone(), provenance: provenance.clone() };
            profile.traits.insert(format!("{kind}{name}"), kept);
        }
        let (kind, value) = (kind.to_owned(), format!("{kind}{n}"));
        profile.identifiers.push(rialto_model::profile::HeldIdentifier { kind, value, first_seen_at: AT });
        people.learn(profile);
    };
    let mut entries = Vec::new();
    for n in 1..=60u64 {
        rich(&mut people, 2 * n, "anonymous_id");
        rich(&mut people, 2 * n + 1, "user_id");
        let ids = json!({"anonymous_id": format!("anonymous_id{}", 2 * n), "user_id": format!("user_id{}", 2 * n + 1)});
        entries.push(entry(n, ids));
    }
    let decided = decide(&mut people, entries);
    let count = decided.write.merges.len();
    assert!((30..50).contains(&count), "{count} merges of half a megabyte each");
    assert_eq!((decided.write.to, decided.bodies.len()), (count as Position, count));
    assert!(people.changes.merges.is_empty(), "the journal is handed on, not copied");
    let row = &decided.write.timeline[0];
    assert_eq!(row.decision.dropped_traits.len(), 8, "what the survivor has no room for is told");
}

#[test]
fn of_who_is_suppressed_a_step_writes_a_row_and_what_it_owes() {
    let mut people = People::default();
    let id = ProfileId::from_parts(1, &[1; 10]);
    let mut jane = Profile::new(id, AT);
    for (kind, value) in [("user_id", "jane"), ("anonymous_id", "phone")] {
        let held = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
        let (kind, value) = held(kind, value);
        jane.identifiers.push(rialto_model::profile::HeldIdentifier { kind, value, first_seen_at: AT });
    }
    people.learn(jane);
    let suppressed = |n: u64| Suppressed {
        since: Timestamp::from_millis(n as i64),
        suppression_id: rialto_model::SuppressionId::from_parts(n, &[1; 10]),
    };
    let named = |kind: &str, value: &str| Identifier { kind: kind.to_owned(), value: value.to_owned() };
    let list = Suppressions::from([
        (named("user_id", "jane"), suppressed(2)),
        (named("email", "jane@example.com"), suppressed(1)),
    ]);
    let entries = vec![
        entry(1, json!({"user_id": "jane", "traits": {"email": "Jane@Example.com", "plan": "gold"}})),
        entry(2, json!({"anonymous_id": "phone", "type": "page", "name": "Jane's page"})),
        entry(3, json!({"anonymous_id": "phone", "user_id": "john"})),
        entry(4, json!({"message_id": "m1", "user_id": "jane"})),
    ];
    let decided = decide_but(&mut people, entries, list);
    let rows = &decided.write.timeline;
    let since: Vec<_> = rows.iter().map(|row| row.decision.suppressed.map(|by| by.since.millis())).collect();
    assert_eq!(
        since,
        [Some(1), Some(2), None, Some(2)],
        "the longest standing answers; john at her phone is not meant"
    );
    assert_eq!((rows[3].decision.duplicate_of, decided.duplicates, decided.suppressed), (Some(1), 1, 3));
    assert_eq!((decided.write.withdrawn.as_slice(), rows[1].name.as_str()), (&[1, 2, 4][..], "page"));
    let kept: Vec<bool> = decided.bodies.iter().map(|body| !body.is_empty()).collect();
    assert_eq!(kept, [false, false, true, false]);
    assert!(rows[..2].iter().all(|row| row.profile_id.is_none() && row.decision.resolution.is_none()));
    let written: Vec<ProfileId> = decided.write.profiles.iter().map(|profile| profile.id).collect();
    assert_eq!((written.len(), written.contains(&id), decided.write.seen.len()), (1, false, 0), "john's alone");
}

#[test]
fn a_step_ends_where_the_persons_that_it_changes_grow_too_large() {
    let mut people = People::default();
    let large = Value::from("x".repeat(250_000));
    let mut entries = Vec::new();
    for n in 1..=300u64 {
        let mut profile = Profile::new(ProfileId::from_parts(n, &[1; 10]), AT);
        let provenance =
            Provenance { source_id: SourceId::from_parts(1, &[1; 10]), message_id: "m".to_owned(), at: AT };
        profile.traits.insert("large".to_owned(), TraitValue { value: large.clone(), provenance });
        let (kind, value) = ("user_id".to_owned(), format!("u{n}"));
        profile.identifiers.push(rialto_model::profile::HeldIdentifier { kind, value, first_seen_at: AT });
        people.learn(profile);
        entries.push(entry(n, json!({"user_id": format!("u{n}"), "traits": {"small": n}})));
    }
    let decided = decide(&mut people, entries);
    let count = decided.write.profiles.len();
    assert!((250..300).contains(&count), "{count} persons of a quarter of a megabyte each");
    assert_eq!((decided.write.to, decided.bodies.len()), (count as Position, count));
}

//! Steps of the processor: all or nothing, behind a fence, read back as they were written.

use std::collections::BTreeMap;

use rialto_model::decision::{Decision, How, Resolution, TimelineEntry};
use rialto_model::event::EventType;
use rialto_model::identifier::Identifier;
use rialto_model::page::PageRequest;
use rialto_model::profile::{HeldIdentifier, Merge, Profile, Provenance, TraitValue};
use rialto_model::{MergeId, Position, ProfileId};
use rialto_store::{OutboxEvent, Sighting, StepWrite, StoreError, TenantScope, Wanted};
use serde_json::json;

use crate::harness::{TestDb, at, number, profile_id, rows, source_id};

on_both!(
    a_step_is_read_back_as_it_was_written,
    a_moved_cursor_fences_a_step_off,
    two_owners_of_one_cursor_cannot_both_commit,
    a_step_is_written_whole_or_not_at_all,
    only_the_last_day_counts_as_seen,
    a_merge_leaves_one_person_with_everything,
    merges_of_merges_end_at_the_one_who_lives,
    a_row_that_cannot_be_stored_is_named,
    two_rows_of_one_key_are_refused,
    naughty_texts_come_back_unchanged,
    the_outbox_keeps_order_and_empties,
    lists_go_newest_first_and_page,
    ids_and_identifiers_are_found_among_thousands,
    no_timeline_is_read_whole_to_find_one_event,
);

pub(crate) fn identifier(kind: &str, value: &str) -> Identifier {
    Identifier { kind: kind.into(), value: value.into() }
}

/// A person known by one user id.
pub(crate) fn person(n: u128, user: &str) -> Profile {
    let mut profile = Profile::new(profile_id(n), at(5));
    profile.identifiers.push(HeldIdentifier { kind: "user_id".into(), value: user.into(), first_seen_at: at(5) });
    let provenance = Provenance { source_id: source_id(), message_id: format!("m{n}"), at: at(5) };
    profile.traits = BTreeMap::from([("plan".into(), TraitValue { value: json!("pro"), provenance })]);
    profile.events = 3;
    profile
}

pub(crate) fn entry(position: Position, message_id: &str, profile: Option<ProfileId>) -> TimelineEntry {
    TimelineEntry {
        position,
        message_id: message_id.into(),
        kind: EventType::Track,
        name: "Order Completed".into(),
        source_id: source_id(),
        profile_id: profile,
        timestamp: at(4),
        received_at: at(5),
        decision: Decision::default(),
    }
}

/// A step that brings one person with one event.
pub(crate) fn step(from: Position, n: u128, user: &str) -> StepWrite {
    let profile = person(n, user);
    StepWrite {
        from,
        to: from + 1,
        claims: vec![(identifier("user_id", user), profile.id, at(5))],
        timeline: vec![entry(from + 1, &format!("m{}", from + 1), Some(profile.id))],
        profiles: vec![profile],
        now: at(6),
        ..Default::default()
    }
}

fn wanted(message_ids: &[&str], identifiers: &[Identifier], profile_ids: &[ProfileId]) -> Wanted {
    Wanted {
        message_ids: message_ids.iter().map(|id| (*id).to_owned()).collect(),
        dedupe_since: at(0),
        identifiers: identifiers.to_vec(),
        profile_ids: profile_ids.to_vec(),
        ..Wanted::default()
    }
}

/// How many rows each table has that a step writes to.
async fn counts(db: &TestDb) -> Vec<i64> {
    let raw = db.raw().await;
    let mut counts = Vec::new();
    for table in ["profiles", "identifiers", "aliases", "merges", "timeline", "outbox"] {
        counts.push(number(&raw, &format!("SELECT count(*) FROM {table}")).await);
    }
    raw.close().await.expect("closes");
    counts
}

async fn a_step_is_read_back_as_it_was_written(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut written = step(0, 1, "jane");
    let trait_at = Provenance { source_id: source_id(), message_id: "m9".into(), at: at(9) };
    written.profiles[0].deleted_traits.insert("old".into(), trait_at);
    written.timeline[0].decision.resolution = Some(Resolution {
        how: How::Created,
        by: vec![identifier("user_id", "jane")],
        set_aside: Vec::new(),
        merges: Vec::new(),
    });
    scope.commit_step(&written).await.expect("commits");
    assert_eq!(scope.heads().await.expect("there").processor, 1);
    let jane = identifier("user_id", "jane");
    let loaded = scope
        .load(&wanted(&["m1", "m2"], &[jane.clone(), identifier("email", "jane")], &[profile_id(8)]))
        .await
        .expect("loads");
    assert_eq!(loaded.seen, [("m1".to_owned(), 1)].into());
    assert_eq!(loaded.owners, [(jane, profile_id(1))].into());
    assert_eq!(loaded.profiles, [(profile_id(1), written.profiles[0].clone())].into());
    assert_eq!(scope.timeline_after(0, 10).await.expect("reads"), written.timeline);
    assert_eq!(scope.timeline_after(1, 10).await.expect("reads"), []);
    assert_eq!(scope.timeline_of("m1").await.expect("reads"), written.timeline);
    assert_eq!(scope.profile(profile_id(1)).await.expect("reads").as_ref(), Some(&written.profiles[0]));
    let found = scope.profile_by_identifier("user_id", " jane ").await.expect("reads");
    assert_eq!(found.as_ref(), Some(&written.profiles[0]));
    assert_eq!(scope.load(&Wanted::default()).await.expect("loads"), Default::default());
    // The same person again: the row is written over.
    let mut again = step(1, 1, "jane");
    again.claims.clear();
    again.profiles[0].events = 4;
    scope.commit_step(&again).await.expect("commits");
    let known = scope.profile(profile_id(1)).await.expect("reads").expect("there");
    assert_eq!(known.events, 4);
    // Only seen: the document stays.
    let seen = Sighting { profile_id: known.id, updated_at: at(8), last_seen_at: at(7), events: 5 };
    let timeline = vec![entry(3, "m3", Some(known.id))];
    let only_seen = StepWrite { from: 2, to: 3, seen: vec![seen], timeline, now: at(8), ..Default::default() };
    scope.commit_step(&only_seen).await.expect("commits");
    let after = scope.profile(profile_id(1)).await.expect("reads").expect("there");
    assert_eq!(Sighting::of(&after), seen);
    assert_eq!(after, Profile { updated_at: at(8), last_seen_at: at(7), events: 5, ..known });
}

async fn a_moved_cursor_fences_a_step_off(db: TestDb) {
    let scope = db.tenant("acme").await;
    scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
    let before = counts(&db).await;
    for from in [0, 2] {
        let late = scope.commit_step(&step(from, 2, "joe")).await;
        assert!(matches!(late, Err(StoreError::Fenced)), "{from}: {late:?}");
    }
    assert_eq!(counts(&db).await, before);
    assert_eq!(scope.processor_cursor().await.expect("there"), 1);
}

async fn two_owners_of_one_cursor_cannot_both_commit(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (one, two) = (step(0, 1, "jane"), step(0, 2, "joe"));
    let (first, second) = tokio::join!(scope.commit_step(&one), scope.commit_step(&two));
    let fenced = [&first, &second].iter().filter(|outcome| matches!(outcome, Err(StoreError::Fenced))).count();
    assert_eq!((fenced, first.is_ok() || second.is_ok()), (1, true), "{first:?} {second:?}");
    assert_eq!(scope.timeline_after(0, 9).await.expect("reads").len(), 1);
}

async fn a_step_is_written_whole_or_not_at_all(db: TestDb) {
    let scope = db.tenant("acme").await;
    scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
    let before = counts(&db).await;
    // The last statement of the step fails: the entry of position 1 is there already.
    let mut broken = step(1, 2, "joe");
    broken.timeline.push(entry(1, "m1", None));
    broken.outbox.push(OutboxEvent { message_id: "o1".into(), body: "{}".into() });
    let refused = scope.commit_step(&broken).await;
    assert!(matches!(refused, Err(StoreError::Poison { .. })), "{refused:?}");
    // An identifier of a profile that is not there.
    let mut dangling = step(1, 2, "joe");
    dangling.profiles.clear();
    let refused = scope.commit_step(&dangling).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "claims", .. })), "{refused:?}");
    assert_eq!(counts(&db).await, before);
    assert_eq!(scope.processor_cursor().await.expect("there"), 1);
    scope.commit_step(&step(1, 2, "joe")).await.expect("the next one goes through");
}

async fn only_the_last_day_counts_as_seen(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut old = step(0, 1, "jane");
    let mut twin = entry(2, "m1", None);
    twin.decision.duplicate_of = Some(1);
    twin.received_at = at(50);
    old.timeline.push(twin);
    old.to = 2;
    scope.commit_step(&old).await.expect("commits");
    for (since, expected) in [(at(5), Some(1)), (at(6), None)] {
        let wanted = Wanted { message_ids: vec!["m1".into()], dedupe_since: since, ..Default::default() };
        let seen = scope.load(&wanted).await.expect("loads").seen;
        assert_eq!(seen.get("m1").copied(), expected, "a duplicate does not keep an id alive");
    }
}

/// A merge of `gone` into `lives` by an event.
pub(crate) fn merge(n: u128, lives: &Profile, gone: &Profile) -> Merge {
    Merge {
        id: MergeId(uuid::Uuid::from_u128(n)),
        at: at(6),
        message_id: format!("m{n}"),
        by: lives.identifiers.iter().chain(&gone.identifiers).map(HeldIdentifier::identifier).collect(),
        survivor_id: lives.id,
        absorbed_id: gone.id,
        survivor_before: lives.clone(),
        absorbed_before: gone.clone(),
    }
}

/// A step whose event shows `gone` to be `lives`.
pub(crate) fn merging(from: Position, lives: &mut Profile, gone: &Profile) -> StepWrite {
    let journal = merge(u128::from(from) + 100, lives, gone);
    lives.identifiers.extend(gone.identifiers.clone());
    lives.merges += 1;
    StepWrite {
        from,
        to: from + 1,
        claims: gone.identifiers.iter().map(|held| (held.identifier(), lives.id, held.first_seen_at)).collect(),
        absorbed: vec![(gone.id, lives.id)],
        merges: vec![journal],
        timeline: vec![entry(from + 1, &format!("m{}", from + 1), Some(lives.id))],
        profiles: vec![lives.clone()],
        now: at(6),
        ..Default::default()
    }
}

async fn a_merge_leaves_one_person_with_everything(db: TestDb) {
    let scope = db.tenant("acme").await;
    scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
    scope.commit_step(&step(1, 2, "j2")).await.expect("commits");
    let (mut jane, other) = (person(1, "jane"), person(2, "j2"));
    let written = merging(2, &mut jane, &other);
    scope.commit_step(&written).await.expect("commits");

    assert_eq!(scope.profile(other.id).await.expect("reads").as_ref(), Some(&jane), "the old id answers");
    let mut keeps = merging(3, &mut jane.clone(), &person(3, "u3"));
    keeps.claims.clear();
    let refused = scope.commit_step(&keeps).await;
    assert!(matches!(refused, Err(StoreError::Invalid { field: "claims", .. })), "{refused:?}");
    assert_eq!(scope.profile_by_identifier("user_id", "j2").await.expect("reads"), Some(jane.clone()));
    assert_eq!(scope.aliases_of(jane.id).await.expect("reads"), [other.id]);
    assert_eq!(scope.aliases_of(other.id).await.expect("reads"), [other.id], "asked by either id");
    assert_eq!(scope.canonical(&[jane.id, other.id]).await.expect("reads"), [(other.id, jane.id)].into());
    let merges = scope.merges(jane.id, &PageRequest::default()).await.expect("reads").items;
    assert_eq!(merges, written.merges);
    let events = scope.profile_events(other.id, &PageRequest::default()).await.expect("reads").items;
    assert_eq!(events.iter().map(|entry| entry.position).collect::<Vec<_>>(), [3, 2, 1]);
    let loaded = scope.load(&wanted(&[], &[identifier("user_id", "j2")], &[other.id])).await.expect("loads");
    assert_eq!(loaded.owners[&identifier("user_id", "j2")], jane.id);
    assert_eq!((loaded.profiles, loaded.aliases), ([(jane.id, jane.clone())].into(), [(other.id, jane.id)].into()));
}

async fn merges_of_merges_end_at_the_one_who_lives(db: TestDb) {
    let scope = db.tenant("acme").await;
    for n in 1..=4u128 {
        scope.commit_step(&step(n as u64 - 1, n, &format!("u{n}"))).await.expect("commits");
    }
    // 2 into 1 first; then 3 into 4 and 1 into 4 in one step, given as a chain.
    let mut one = person(1, "u1");
    scope.commit_step(&merging(4, &mut one, &person(2, "u2"))).await.expect("commits");
    let mut four = person(4, "u4");
    let mut chain = merging(5, &mut four, &person(3, "u3"));
    chain.claims.extend(one.identifiers.iter().map(|held| (held.identifier(), four.id, held.first_seen_at)));
    chain.absorbed = vec![(profile_id(1), profile_id(3)), (profile_id(3), profile_id(4))];
    scope.commit_step(&chain).await.expect("commits");
    let all = [1, 2, 3].map(profile_id);
    let expected = all.map(|id| (id, profile_id(4))).into();
    assert_eq!(scope.canonical(&all).await.expect("reads"), expected);
    assert_eq!(scope.aliases_of(profile_id(2)).await.expect("reads"), all);
    let events =
        scope.profile_events(profile_id(1), &PageRequest { limit: Some(4), after: None }).await.expect("reads");
    assert_eq!(events.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [6, 5, 4, 3]);
    let rest = PageRequest { limit: Some(4), after: events.next };
    let events = scope.profile_events(profile_id(1), &rest).await.expect("reads");
    assert_eq!(events.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(scope.merges(profile_id(3), &PageRequest::default()).await.expect("reads").items.len(), 2);
    let mut circle = step(6, 9, "u9");
    circle.absorbed = vec![(profile_id(5), profile_id(6)), (profile_id(6), profile_id(5))];
    assert!(matches!(scope.commit_step(&circle).await, Err(StoreError::Invalid { field: "absorbed", .. })));
}

async fn a_row_that_cannot_be_stored_is_named(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut bad = step(0, 1, "jane");
    bad.timeline.push(entry(2, "poison\0ed", None));
    let Err(StoreError::Poison { message_id, reason }) = scope.commit_step(&bad).await else { panic!("is refused") };
    assert_eq!(message_id.as_deref(), Some("poison\0ed"));
    assert!(!reason.contains("poison"), "no values in reasons: {reason}");
    let mut bad = step(0, 1, "ja\0ne");
    bad.profiles[0].identifiers.clear();
    assert!(matches!(scope.commit_step(&bad).await, Err(StoreError::Poison { .. })));
    assert_eq!(scope.processor_cursor().await.expect("there"), 0);
}

async fn two_rows_of_one_key_are_refused(db: TestDb) {
    let scope = db.tenant("acme").await;
    let mut twice = step(0, 1, "jane");
    twice.profiles.push(person(1, "jane"));
    assert!(matches!(scope.commit_step(&twice).await, Err(StoreError::Invalid { field: "profiles", .. })));
    let mut twice = step(0, 1, "jane");
    twice.claims.push(twice.claims[0].clone());
    assert!(matches!(scope.commit_step(&twice).await, Err(StoreError::Invalid { field: "claims", .. })));
}

async fn naughty_texts_come_back_unchanged(db: TestDb) {
    let scope = db.tenant("acme").await;
    let texts = [
        "Robert'); DROP TABLE profiles;--",
        "\\u0000 \\ \" ' ` $1 ${x} %s ?1 {id}",
        "\u{202e}right to left\u{feff}",
        "👩‍👩‍👧‍👦 ｔｅｓｔ \u{1}\u{8}\u{1f}\u{7f}",
        "{\"a\": [1, null]}",
        "null",
        "\n\r\t",
    ];
    for (index, text) in texts.iter().enumerate() {
        let n = index as u64;
        let mut written = step(n, u128::from(n) + 1, text);
        written.timeline[0].message_id = (*text).to_owned();
        written.timeline[0].name = (*text).to_owned();
        let provenance = Provenance { source_id: source_id(), message_id: (*text).into(), at: at(1) };
        let value = json!({*text: [text, 1e300, -0.0, i64::MAX, u64::MAX, true, {"\u{0}": "a\u{0}b"}]});
        written.profiles[0].traits.insert((*text).into(), TraitValue { value, provenance });
        scope.commit_step(&written).await.unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
        assert_eq!(scope.timeline_after(n, 1).await.expect("reads"), written.timeline, "{text:?}");
        assert_eq!(scope.timeline_of(text).await.expect("reads"), written.timeline, "{text:?}");
        let wanted = wanted(&[text], &[identifier("user_id", text)], &[]);
        let loaded = scope.load(&wanted).await.expect("loads");
        assert_eq!(loaded.seen.get(*text), Some(&(n + 1)), "{text:?}");
        assert_eq!(loaded.profiles.values().collect::<Vec<_>>(), [&written.profiles[0]], "{text:?}");
    }
}

async fn the_outbox_keeps_order_and_empties(db: TestDb) {
    let scope = db.tenant("acme").await;
    let say = |id: &str| OutboxEvent { message_id: id.into(), body: format!("{{\"id\":\"{id}\"}}") };
    let mut first = step(0, 1, "jane");
    first.outbox = vec![say("z"), say("a")];
    scope.commit_step(&first).await.expect("commits");
    let mut second = step(1, 2, "joe");
    second.outbox = vec![say("m"), say("a")];
    scope.commit_step(&second).await.expect("what was said already is not said again");
    assert_eq!(scope.outbox(10).await.expect("reads"), [say("z"), say("a"), say("m")]);
    assert_eq!(scope.outbox(1).await.expect("reads"), [say("z")]);
    scope.outbox_done(&["z".into(), "m".into(), "never".into()]).await.expect("removes");
    assert_eq!(scope.outbox(10).await.expect("reads"), [say("a")]);
}

async fn lists_go_newest_first_and_page(db: TestDb) {
    let scope = db.tenant("acme").await;
    for n in 0..5 {
        scope.commit_step(&step(n, u128::from(n) + 1, &format!("u{n}"))).await.expect("commits");
    }
    let page = |after| PageRequest { limit: Some(2), after };
    let first = scope.timeline(&page(None)).await.expect("reads");
    assert_eq!(first.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [5, 4]);
    scope.commit_step(&step(5, 9, "late")).await.expect("commits");
    let second = scope.timeline(&page(first.next)).await.expect("reads");
    assert_eq!(second.items.iter().map(|entry| entry.position).collect::<Vec<_>>(), [3, 2]);
    let last = scope.timeline(&page(second.next)).await.expect("reads");
    assert_eq!((last.items.len(), last.next), (1, None));
    let profiles = scope.profiles(&page(None)).await.expect("reads");
    assert_eq!(profiles.items.iter().map(|profile| profile.id).collect::<Vec<_>>(), [profile_id(1), profile_id(2)]);
    let more = scope.profiles(&PageRequest { limit: None, after: profiles.next }).await.expect("reads");
    assert_eq!(more.items.len(), 4);
    for bad in ["x", "-1", "99999999999999999999"] {
        let refused = scope.timeline(&page(Some(bad.into()))).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{bad}: {refused:?}");
    }
}

/// A step of so many persons with an event each.
pub(crate) fn crowd(from: Position, count: u64) -> StepWrite {
    let mut all = StepWrite { from, to: from + count, now: at(6), ..Default::default() };
    for n in 0..count {
        let one = step(from + n, u128::from(from + n) + 1, &format!("user-{}", from + n));
        all.profiles.extend(one.profiles);
        all.claims.extend(one.claims);
        all.timeline.extend(one.timeline);
    }
    all
}

async fn ids_and_identifiers_are_found_among_thousands(db: TestDb) {
    let scope: TenantScope = db.tenant("acme").await;
    let written = crowd(0, 1000);
    scope.commit_step(&written).await.expect("commits");
    scope.commit_step(&crowd(1000, 1000)).await.expect("commits");
    let identifiers: Vec<Identifier> = (0..1500).map(|n| identifier("user_id", &format!("user-{n}"))).collect();
    let ids: Vec<String> = (0..1500).map(|n| format!("m{n}")).collect();
    let profile_ids = vec![profile_id(1900)];
    let mut wanted = Wanted { message_ids: ids, dedupe_since: at(0), identifiers, profile_ids, ..Wanted::default() };
    let loaded = scope.load(&wanted).await.expect("loads");
    assert_eq!((loaded.seen.len(), loaded.owners.len(), loaded.profiles.len()), (1499, 1500, 1501));
    assert_eq!(loaded.profiles[&profile_id(700)], written.profiles[699]);
    wanted.most_bytes = Some(1 << 20);
    assert_eq!(scope.load(&wanted).await.expect("loads"), loaded, "they are not so large");
    wanted.most_bytes = Some(10_000);
    let refused = scope.load(&wanted).await;
    assert!(matches!(refused, Err(StoreError::TooMany { limit: 10_000, .. })), "{refused:?}");
}

async fn no_timeline_is_read_whole_to_find_one_event(db: TestDb) {
    if db.is_postgres() {
        // PostgreSQL chooses by what it counts, and here there is nothing to count.
        return;
    }
    let raw = db.raw().await;
    for (condition, index) in [
        ("message_hash IN (SELECT value FROM json_each('[1,2]')) AND received_at >= 0", "timeline_message"),
        ("message_hash = 1 AND message_id = 'm'", "timeline_message"),
        ("profile_id = x'00' ORDER BY position DESC", "timeline_profile"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM timeline WHERE tenant_id = x'00' AND {condition}");
        let plan: Vec<String> =
            rows(&raw, &sql).await.iter().map(|row| row.try_get_by_index(3).expect("a step of the plan")).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{condition}: {plan:?}");
    }
    raw.close().await.expect("closes");
}

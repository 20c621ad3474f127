//! Lanes, parked rows and dead letters: the fence, the order of each person, the counts.

use rialto_model::delivery::{Attempt, DeadLetter, Outcome, Parked, Verdict};
use rialto_model::page::PageRequest;
use rialto_model::{DeadLetterId, DestinationId, Position, ProfileId, Timestamp};
use rialto_store::{DeliveryFilter, LaneWrite, Settle, Skip, StoreError, TenantScope};

use crate::harness::{TestDb, at, destination, profile_id};
use crate::steps::{merging, person, step};

on_both!(
    a_lane_starts_at_the_processor_and_is_fenced,
    a_window_is_written_whole_or_not_at_all,
    only_the_earliest_of_each_person_is_due,
    when_the_first_goes_the_next_is_due,
    settling_twice_counts_once,
    what_is_parked_behind_nothing_is_due_at_once,
    a_merge_moves_what_waits,
    a_window_of_before_a_merge_parks_under_the_survivor,
    a_dead_letter_is_driven_again_in_its_place,
    a_parked_row_is_retried_now_but_not_out_of_turn,
    deliveries_are_listed_by_what_they_are,
);

fn attempt(number: u32) -> Attempt {
    let outcome = Outcome {
        verdict: Verdict::Retry,
        code: "http_503".into(),
        message: "no \"service\"".into(),
        retry_after_ms: Some(1500),
    };
    Attempt { number, at: at(7), outcome }
}

pub(crate) fn parked(
    destination: DestinationId,
    position: Position,
    person: u128,
    due_at: Option<Timestamp>,
) -> Parked {
    Parked {
        position,
        message_id: format!("m{position}"),
        destination_id: destination,
        action: String::new(),
        profile_id: profile_id(person),
        delivery_id: format!("d{position}"),
        attempts: u32::from(due_at.is_some()),
        parked_at: at(7),
        due_at,
        history: if due_at.is_some() { vec![attempt(1)] } else { Vec::new() },
    }
}

pub(crate) fn dead(destination: DestinationId, position: Position, person: u128) -> DeadLetter {
    DeadLetter {
        id: DeadLetterId(uuid::Uuid::from_u128(u128::from(position) + 500)),
        position,
        message_id: format!("m{position}"),
        destination_id: destination,
        action: String::new(),
        profile_id: profile_id(person),
        delivery_id: format!("d{position}"),
        attempts: 2,
        died_at: at(8),
        reason: "rejected".into(),
        history: vec![attempt(1), attempt(2)],
    }
}

pub(crate) fn skip(position: Position) -> Skip {
    Skip { position, action: String::new(), code: "nothing_to_send".into(), message: "it is a page view".into() }
}

pub(crate) fn window(destination: DestinationId, from: Position, to: Position, parked: Vec<Parked>) -> LaneWrite {
    LaneWrite {
        destination_id: destination,
        from,
        to,
        delivered: 0,
        skipped: Vec::new(),
        parked,
        dead: Vec::new(),
        now: at(9),
    }
}

pub(crate) fn settle(destination: DestinationId) -> Settle {
    Settle {
        destination_id: destination,
        delivered: Vec::new(),
        skipped: Vec::new(),
        again: Vec::new(),
        dead: Vec::new(),
        now: at(20),
    }
}

fn positions(rows: &[Parked]) -> Vec<Position> {
    rows.iter().map(|row| row.position).collect()
}

async fn all(scope: &TenantScope) -> Vec<Parked> {
    scope.parked(&DeliveryFilter::default(), &PageRequest { limit: Some(200), after: None }).await.expect("lists").items
}

async fn a_lane_starts_at_the_processor_and_is_fenced(db: TestDb) {
    let scope = db.tenant("acme").await;
    for n in 0..3 {
        scope.commit_step(&step(n, u128::from(n) + 1, &format!("u{n}"))).await.expect("commits");
    }
    let crm = destination(&scope, "crm").await;
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.cursor, lane.delivered, lane.parked), (3, 0, 0), "it gets what comes from here on");
    let mut write = window(crm, 3, 5, Vec::new());
    (write.delivered, write.skipped) = (1, vec![skip(4)]);
    scope.commit_lane(&write).await.expect("commits");
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.cursor, lane.delivered, lane.skipped, lane.updated_at), (5, 1, 1, at(9)));
    assert_eq!(scope.lanes().await.expect("lists"), std::slice::from_ref(&lane));
    assert!(matches!(scope.commit_lane(&write).await, Err(StoreError::Fenced)), "the same window twice");
    assert_eq!(scope.lane(crm).await.expect("there"), lane);
    let nowhere = DestinationId(uuid::Uuid::from_u128(4));
    assert!(matches!(scope.commit_lane(&window(nowhere, 0, 1, Vec::new())).await, Err(StoreError::Fenced)));
    assert!(matches!(scope.settle(&settle(nowhere)).await, Err(StoreError::NotFound { what: "lane" })));
}

async fn a_window_is_written_whole_or_not_at_all(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    scope.commit_lane(&window(crm, 0, 5, vec![parked(crm, 2, 1, Some(at(10)))])).await.expect("commits");
    // Position 2 is parked already; the dead letter beside it must not stay either.
    let mut broken = window(crm, 5, 9, vec![parked(crm, 6, 2, Some(at(10))), parked(crm, 2, 3, None)]);
    broken.dead.push(dead(crm, 7, 4));
    assert!(matches!(scope.commit_lane(&broken).await, Err(StoreError::Poison { .. })));
    assert_eq!(positions(&all(&scope).await), [2]);
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.cursor, lane.dead, lane.parked), (5, 0, 1));
    let none = scope.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).await.expect("lists");
    assert_eq!(none.items, []);
    let mut foreign = window(crm, 5, 6, vec![parked(DestinationId(uuid::Uuid::from_u128(4)), 6, 2, None)]);
    assert!(matches!(scope.commit_lane(&foreign).await, Err(StoreError::Invalid { field: "parked", .. })));
    foreign.parked = vec![parked(crm, 6, 2, Some(at(1)))];
    foreign.parked[0].delivery_id = "a\0b".into();
    let Err(StoreError::Poison { message_id, .. }) = scope.commit_lane(&foreign).await else { panic!("is refused") };
    assert_eq!(message_id.as_deref(), Some("m6"));
}

async fn only_the_earliest_of_each_person_is_due(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (crm, other) = (destination(&scope, "crm").await, destination(&scope, "other").await);
    let rows = vec![
        parked(crm, 2, 1, Some(at(30))),
        parked(crm, 3, 1, None),
        parked(crm, 4, 2, Some(at(20))),
        parked(crm, 5, 2, None),
        parked(crm, 6, 3, Some(at(40))),
    ];
    scope.commit_lane(&window(crm, 0, 9, rows.clone())).await.expect("commits");
    assert_eq!(positions(&scope.due(crm, at(35), 10).await.expect("reads")), [4, 2], "the longest due first");
    assert_eq!(scope.due(crm, at(35), 10).await.expect("reads")[1], rows[0], "read back as it was written");
    assert_eq!(positions(&scope.due(crm, at(35), 1).await.expect("reads")), [4]);
    assert_eq!(scope.due(crm, at(19), 10).await.expect("reads"), []);
    assert_eq!(scope.due(other, at(99), 10).await.expect("reads"), [], "another destination's lane");
    assert_eq!(scope.next_due(crm).await.expect("reads"), Some(at(20)));
    assert_eq!(scope.next_due(other).await.expect("reads"), None);
    assert_eq!(positions(&scope.held_behind(crm, profile_id(1), 10).await.expect("reads")), [3]);
    assert_eq!(scope.held_behind(crm, profile_id(3), 10).await.expect("reads"), []);
    let held = scope.held_profiles(crm).await.expect("reads");
    assert_eq!(held, [1, 2, 3].map(profile_id).into());
}

async fn when_the_first_goes_the_next_is_due(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let mut second_action = parked(crm, 3, 1, None);
    second_action.action = "b".into();
    let rows = vec![
        parked(crm, 2, 1, Some(at(10))),
        parked(crm, 3, 1, None),
        second_action,
        parked(crm, 4, 2, Some(at(10))),
        parked(crm, 5, 2, None),
        parked(crm, 6, 3, Some(at(10))),
        parked(crm, 7, 3, None),
    ];
    scope.commit_lane(&window(crm, 0, 9, rows.clone())).await.expect("commits");
    let mut later = rows[5].clone();
    (later.attempts, later.due_at) = (2, Some(at(60)));
    later.history.push(attempt(2));
    let outcome = Settle {
        delivered: vec![(2, String::new())],
        again: vec![later.clone()],
        dead: vec![dead(crm, 4, 2)],
        ..settle(crm)
    };
    scope.settle(&outcome).await.expect("settles");
    let left = all(&scope).await;
    let due: Vec<_> = left.iter().map(|row| (row.position, row.action.as_str(), row.due_at)).collect();
    assert_eq!(
        due,
        [(3, "", Some(at(20))), (3, "b", None), (5, "", Some(at(20))), (6, "", Some(at(60))), (7, "", None)]
    );
    assert_eq!(left[3], later);
    assert_eq!(positions(&scope.due(crm, at(20), 9).await.expect("reads")), [3, 5]);
    let outcome = Settle { skipped: vec![skip(3)], ..settle(crm) };
    scope.settle(&outcome).await.expect("settles");
    let due = scope.due(crm, at(20), 9).await.expect("reads");
    assert_eq!(due.iter().map(|row| (row.position, row.action.as_str())).collect::<Vec<_>>(), [(3, "b"), (5, "")]);
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.delivered, lane.skipped, lane.dead, lane.parked), (1, 1, 1, 4));
    assert_eq!(scope.dead_letter(dead(crm, 4, 2).id).await.expect("there"), dead(crm, 4, 2));
}

async fn settling_twice_counts_once(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let rows = vec![parked(crm, 2, 1, Some(at(10))), parked(crm, 4, 2, Some(at(10)))];
    scope.commit_lane(&window(crm, 0, 9, rows)).await.expect("commits");
    let mut outcome = Settle { delivered: vec![(2, String::new())], dead: vec![dead(crm, 4, 2)], ..settle(crm) };
    scope.settle(&outcome).await.expect("settles");
    outcome.dead[0].id = DeadLetterId(uuid::Uuid::from_u128(99));
    scope.settle(&outcome).await.expect("says the same again");
    scope.settle(&Settle { again: vec![parked(crm, 2, 1, Some(at(50)))], ..settle(crm) }).await.expect("is gone");
    outcome.again = vec![parked(crm, 2, 1, Some(at(50)))];
    let torn = scope.settle(&outcome).await;
    assert!(matches!(torn, Err(StoreError::Invalid { field: "settle", .. })), "two things of one row: {torn:?}");
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.delivered, lane.dead, lane.parked), (1, 1, 0));
    let letters = scope.dead_letters(&DeliveryFilter::default(), &PageRequest::default()).await.expect("lists");
    assert_eq!(letters.items, [dead(crm, 4, 2)], "one death, one letter");
}

async fn what_is_parked_behind_nothing_is_due_at_once(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    // The window believed that something of this person was parked; it had just gone.
    scope
        .commit_lane(&window(crm, 0, 9, vec![parked(crm, 2, 1, None), parked(crm, 3, 1, None)]))
        .await
        .expect("commits");
    assert_eq!(positions(&scope.due(crm, at(9), 9).await.expect("reads")), [2]);
    assert_eq!(all(&scope).await[1].due_at, None);
}

async fn a_merge_moves_what_waits(db: TestDb) {
    let scope = db.tenant("acme").await;
    scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
    scope.commit_step(&step(1, 2, "j2")).await.expect("commits");
    let crm = destination(&scope, "crm").await;
    let rows = vec![
        parked(crm, 3, 2, Some(at(50))),
        parked(crm, 4, 1, Some(at(10))),
        parked(crm, 5, 2, None),
        parked(crm, 6, 1, None),
    ];
    let mut write = window(crm, 2, 9, rows);
    write.dead = vec![dead(crm, 7, 2)];
    scope.commit_lane(&write).await.expect("commits");
    let (mut jane, other) = (person(1, "jane"), person(2, "j2"));
    scope.commit_step(&merging(2, &mut jane, &other)).await.expect("commits");
    assert!(all(&scope).await.iter().all(|row| row.profile_id == jane.id));
    assert_eq!(scope.held_profiles(crm).await.expect("reads"), [jane.id].into());
    assert_eq!(scope.dead_letter(dead(crm, 7, 2).id).await.expect("there").profile_id, jane.id);
    // One person now, so one order: position 4 has to wait for 3, however long it has been due.
    assert_eq!(scope.due(crm, at(40), 9).await.expect("reads"), []);
    assert_eq!(scope.next_due(crm).await.expect("reads"), Some(at(50)), "no wake-up for what may not go yet");
    assert_eq!(positions(&scope.due(crm, at(50), 9).await.expect("reads")), [3]);
    assert_eq!(positions(&scope.held_behind(crm, jane.id, 9).await.expect("reads")), [4, 5, 6]);
    for position in [3, 4, 5, 6] {
        assert_eq!(positions(&scope.due(crm, at(50), 9).await.expect("reads")), [position]);
        let outcome = Settle { delivered: vec![(position, String::new())], ..settle(crm) };
        scope.settle(&outcome).await.expect("settles");
    }
    assert_eq!(scope.next_due(crm).await.expect("reads"), None);
}

async fn a_window_of_before_a_merge_parks_under_the_survivor(db: TestDb) {
    let scope = db.tenant("acme").await;
    scope.commit_step(&step(0, 1, "jane")).await.expect("commits");
    scope.commit_step(&step(1, 2, "j2")).await.expect("commits");
    let crm = destination(&scope, "crm").await;
    let (mut jane, other) = (person(1, "jane"), person(2, "j2"));
    scope.commit_step(&merging(2, &mut jane, &other)).await.expect("commits");
    let mut write = window(crm, 2, 4, vec![parked(crm, 3, 2, None)]);
    write.dead = vec![dead(crm, 4, 2)];
    scope.commit_lane(&write).await.expect("commits");
    let row = &all(&scope).await[0];
    assert_eq!((row.profile_id, row.due_at), (jane.id, Some(at(9))));
    assert_eq!(scope.dead_letter(dead(crm, 4, 2).id).await.expect("there").profile_id, jane.id);
}

async fn a_dead_letter_is_driven_again_in_its_place(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let mut write = window(crm, 0, 9, vec![parked(crm, 3, 1, Some(at(90))), parked(crm, 6, 1, None)]);
    write.dead = vec![dead(crm, 4, 1), dead(crm, 5, 2), dead(crm, 7, 3)];
    scope.commit_lane(&write).await.expect("commits");
    let waits = scope.redrive(dead(crm, 4, 1).id, at(30)).await.expect("parked");
    assert_eq!((waits.position, waits.attempts, waits.due_at, waits.parked_at), (4, 0, None, at(30)));
    assert_eq!((waits.history, waits.delivery_id.as_str()), (dead(crm, 4, 1).history, "d4"));
    let goes = scope.redrive(dead(crm, 5, 2).id, at(30)).await.expect("parked");
    assert_eq!(goes.due_at, Some(at(30)));
    assert!(matches!(scope.redrive(dead(crm, 5, 2).id, at(31)).await, Err(StoreError::NotFound { .. })));
    assert_eq!(positions(&scope.due(crm, at(30), 9).await.expect("reads")), [5]);
    assert_eq!(positions(&scope.held_behind(crm, profile_id(1), 9).await.expect("reads")), [4, 6]);
    scope.discard(dead(crm, 7, 3).id, at(40)).await.expect("gone");
    let twice = scope.discard(dead(crm, 7, 3).id, at(41)).await;
    assert!(matches!(twice, Err(StoreError::NotFound { what: "dead letter" })));
    let lane = scope.lane(crm).await.expect("there");
    assert_eq!((lane.dead, lane.parked), (1, 4), "a discarded one stays counted as given up");
}

async fn a_parked_row_is_retried_now_but_not_out_of_turn(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let rows = vec![parked(crm, 3, 1, Some(at(90))), parked(crm, 6, 1, None)];
    scope.commit_lane(&window(crm, 0, 9, rows)).await.expect("commits");
    let retried = scope.retry_parked(crm, 3, "", at(30)).await.expect("due");
    assert_eq!((retried.due_at, retried.attempts, retried.history.len()), (Some(at(30)), 1, 1));
    assert_eq!(scope.due(crm, at(30), 9).await.expect("reads"), [retried]);
    let Err(StoreError::Conflict { field: "position", message }) = scope.retry_parked(crm, 6, "", at(30)).await else {
        panic!("is refused")
    };
    assert!(message.contains("position 3"), "{message}");
    for (position, action) in [(4, ""), (3, "other"), (3, "\0")] {
        let missing = scope.retry_parked(crm, position, action, at(30)).await;
        assert!(matches!(missing, Err(StoreError::NotFound { what: "parked delivery" })), "{missing:?}");
    }
}

async fn deliveries_are_listed_by_what_they_are(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (one, two) = (destination(&scope, "one").await, destination(&scope, "two").await);
    for crm in [one, two] {
        let rows = (1..=5).map(|n| parked(crm, n, u128::from(n), Some(at(10)))).collect();
        let mut write = window(crm, 0, 9, rows);
        if crm == one {
            write.dead = (6..=9).map(|n| dead(crm, n, u128::from(n))).collect();
        }
        scope.commit_lane(&write).await.expect("commits");
    }
    let mut page = PageRequest { limit: Some(3), after: None };
    let mut shown: Vec<(DestinationId, Position)> = Vec::new();
    loop {
        let got = scope.parked(&DeliveryFilter::default(), &page).await.expect("lists");
        shown.extend(got.items.iter().map(|row| (row.destination_id, row.position)));
        let Some(next) = got.next else { break };
        page.after = Some(next);
    }
    let mut expected: Vec<_> = [one, two].iter().flat_map(|crm| (1..=5).map(|n| (*crm, n))).collect();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    let by = async |filter: DeliveryFilter| {
        let rows = scope.parked(&filter, &PageRequest::default()).await.expect("lists").items;
        rows.iter().map(|row| (row.destination_id, row.position)).collect::<Vec<_>>()
    };
    let person: ProfileId = profile_id(2);
    let both = {
        let mut both = vec![(one, 2), (two, 2)];
        both.sort_unstable();
        both
    };
    assert_eq!(by(DeliveryFilter { profile_id: Some(person), ..Default::default() }).await, both);
    assert_eq!(by(DeliveryFilter { message_id: Some("m2".into()), ..Default::default() }).await, both);
    assert_eq!(by(DeliveryFilter { position: Some(2), ..Default::default() }).await, both);
    let here = DeliveryFilter { destination_id: Some(two), message_id: Some("m2".into()), ..Default::default() };
    assert_eq!(by(here).await, [(two, 2)]);
    assert_eq!(by(DeliveryFilter { message_id: Some("\0".into()), ..Default::default() }).await, []);
    let first = PageRequest { limit: Some(3), after: None };
    let letters = scope.dead_letters(&DeliveryFilter::default(), &first).await.expect("lists");
    assert_eq!(letters.items.iter().map(|letter| letter.position).collect::<Vec<_>>(), [9, 8, 7]);
    let rest = PageRequest { limit: Some(3), after: letters.next };
    let letters = scope.dead_letters(&DeliveryFilter::default(), &rest).await.expect("lists");
    assert_eq!((letters.items.len(), letters.items[0].position, letters.next), (1, 6, None));
    let of_two = DeliveryFilter { destination_id: Some(two), ..Default::default() };
    assert_eq!(scope.dead_letters(&of_two, &PageRequest::default()).await.expect("lists").items, []);
    for bad in ["x", "dst_1:2", "dst_00000000000000000000000000000001:x:"] {
        let page = PageRequest { limit: None, after: Some(bad.into()) };
        assert!(
            matches!(scope.parked(&DeliveryFilter::default(), &page).await, Err(StoreError::Invalid { .. })),
            "{bad}"
        );
    }
}

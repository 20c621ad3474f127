//! What came to nothing stays known: what was skipped or discarded, and why, and nothing of what was delivered.

use rialto_model::delivery::{MAX_PASSED_OVER, PassedOver, Passing};
use rialto_model::{DestinationId, Position};
use rialto_store::{Settle, Skip, Standing, StoreError, TenantScope};

use crate::delivery::{dead, parked, settle, skip, window};
use crate::harness::{TestDb, at, destination, number};

on_both!(
    what_a_window_skips_is_written_with_it_or_not_at_all,
    what_is_skipped_at_a_retry_is_written_once_and_only_if_it_was_parked,
    what_is_discarded_says_why_it_had_been_given_up,
    what_is_driven_again_and_delivered_leaves_nothing,
    what_a_connector_says_is_cut_and_made_fit,
    passed_over_rows_go_with_their_destination,
);

async fn standing(scope: &TenantScope, destination: DestinationId, position: Position) -> Standing {
    scope.standing(position, &format!("m{position}"), &[destination]).await.expect("reads")
}

fn skipped(destination: DestinationId, position: Position, when: i64) -> PassedOver {
    let Skip { position, action, code, message } = skip(position);
    PassedOver { position, destination_id: destination, action, what: Passing::Skipped, code, message, at: at(when) }
}

async fn what_a_window_skips_is_written_with_it_or_not_at_all(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (crm, other) = (destination(&scope, "crm").await, destination(&scope, "other").await);
    let mut write = window(crm, 0, 5, vec![parked(crm, 3, 1, Some(at(10)))]);
    write.delivered = 2;
    write.skipped = vec![skip(4), skip(2), Skip { action: "b".into(), ..skip(2) }];
    scope.commit_lane(&write).await.expect("commits");
    let found = standing(&scope, crm, 2).await;
    assert_eq!(found.passed_over, [skipped(crm, 2, 9), PassedOver { action: "b".into(), ..skipped(crm, 2, 9) }]);
    assert_eq!((found.lanes[0].skipped, found.lanes[0].delivered), (3, 2));
    assert_eq!(standing(&scope, crm, 4).await.passed_over, [skipped(crm, 4, 9)]);
    let delivered = standing(&scope, crm, 5).await;
    assert_eq!((delivered.passed_over, delivered.parked, delivered.dead), (vec![], vec![], vec![]), "no row");
    assert_eq!(standing(&scope, crm, 3).await.parked, [parked(crm, 3, 1, Some(at(10)))]);
    assert_eq!(standing(&scope, other, 2).await.passed_over, [], "another destination's");
    let mut broken = window(crm, 5, 9, vec![parked(crm, 3, 1, None)]);
    broken.skipped = vec![skip(7)];
    assert!(matches!(scope.commit_lane(&broken).await, Err(StoreError::Poison { .. })), "is parked already");
    assert_eq!(standing(&scope, crm, 7).await.passed_over, [], "the skip beside it was not kept either");
    broken = window(crm, 4, 9, Vec::new());
    broken.skipped = vec![skip(7)];
    assert!(matches!(scope.commit_lane(&broken).await, Err(StoreError::Fenced)));
    assert_eq!(standing(&scope, crm, 7).await.passed_over, []);
}

async fn what_is_skipped_at_a_retry_is_written_once_and_only_if_it_was_parked(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let rows = vec![parked(crm, 2, 1, Some(at(10))), parked(crm, 4, 2, Some(at(10)))];
    scope.commit_lane(&window(crm, 0, 9, rows)).await.expect("commits");
    // Nothing is parked at 8: it was delivered, and is not talked down.
    let outcome = Settle { delivered: vec![(4, String::new())], skipped: vec![skip(2), skip(8)], ..settle(crm) };
    scope.settle(&outcome).await.expect("settles");
    scope.settle(&Settle { now: at(30), ..outcome }).await.expect("says the same again");
    let found = standing(&scope, crm, 2).await;
    assert_eq!((found.passed_over, found.parked), (vec![skipped(crm, 2, 20)], vec![]));
    for position in [4, 8] {
        assert_eq!(standing(&scope, crm, position).await.passed_over, [], "{position} was delivered");
    }
    assert_eq!(scope.lane(crm).await.expect("there").skipped, 1);
}

async fn what_is_discarded_says_why_it_had_been_given_up(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let mut write = window(crm, 0, 9, Vec::new());
    write.dead = vec![dead(crm, 4, 1), dead(crm, 5, 2)];
    scope.commit_lane(&write).await.expect("commits");
    let found = standing(&scope, crm, 4).await;
    assert_eq!((found.dead, found.passed_over), (vec![dead(crm, 4, 1)], vec![]));
    scope.discard(dead(crm, 4, 1).id, at(40)).await.expect("gone");
    assert!(matches!(scope.discard(dead(crm, 4, 1).id, at(41)).await, Err(StoreError::NotFound { .. })));
    let found = standing(&scope, crm, 4).await;
    let discarded = PassedOver {
        what: Passing::Discarded,
        code: "http_503".into(),
        message: "rejected".into(),
        ..skipped(crm, 4, 40)
    };
    assert_eq!((found.dead, found.passed_over), (vec![], vec![discarded]));
    assert_eq!(standing(&scope, crm, 5).await.dead, [dead(crm, 5, 2)], "the other stays");
}

async fn what_is_driven_again_and_delivered_leaves_nothing(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let mut write = window(crm, 0, 9, Vec::new());
    write.dead = vec![dead(crm, 4, 1)];
    scope.commit_lane(&write).await.expect("commits");
    scope.redrive(dead(crm, 4, 1).id, at(30)).await.expect("parked");
    let outcome = Settle { delivered: vec![(4, String::new())], ..settle(crm) };
    scope.settle(&outcome).await.expect("settles");
    let Standing { lanes, parked, dead: letters, passed_over } = standing(&scope, crm, 4).await;
    assert_eq!((parked, letters, passed_over), (vec![], vec![], vec![]));
    assert_eq!((lanes[0].delivered, lanes[0].dead), (1, 0));
    assert!(matches!(scope.discard(dead(crm, 4, 1).id, at(40)).await, Err(StoreError::NotFound { .. })));
}

async fn what_a_connector_says_is_cut_and_made_fit(db: TestDb) {
    let scope = db.tenant("acme").await;
    let crm = destination(&scope, "crm").await;
    let mut write = window(crm, 0, 9, Vec::new());
    write.skipped = vec![Skip { code: "odd\0code".into(), message: "a\0é".repeat(1_000), ..skip(2) }];
    scope.commit_lane(&write).await.expect("commits whatever was said");
    let found = standing(&scope, crm, 2).await;
    let PassedOver { code, message, .. } = &found.passed_over[0];
    assert_eq!((code.as_str(), message.chars().count()), ("odd\u{fffd}code", MAX_PASSED_OVER));
    assert!(message.starts_with("a\u{fffd}é"), "{message}");
}

async fn passed_over_rows_go_with_their_destination(db: TestDb) {
    let scope = db.tenant("acme").await;
    let (crm, other) = (destination(&scope, "crm").await, destination(&scope, "other").await);
    for lane in [crm, other] {
        let mut write = window(lane, 0, 9, Vec::new());
        write.skipped = vec![skip(2)];
        scope.commit_lane(&write).await.expect("commits");
    }
    scope.delete_destination(crm, None).await.expect("removed");
    assert_eq!(standing(&scope, crm, 2).await, Standing::default());
    assert_eq!(standing(&scope, other, 2).await.passed_over.len(), 1);
    let raw = db.raw().await;
    assert_eq!(number(&raw, "SELECT count(*) FROM passed_over").await, 1);
    raw.close().await.expect("closes");
}

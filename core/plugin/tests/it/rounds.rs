//! Straight-line code over several rounds, and the order of requests within one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rialto_model::delivery::Verdict;
use rialto_plugin::{CallLimits, default_verdict};
use serde_json::{Value, json};

use crate::{
    artifact,
    bench::{self, Bench, event, host, said},
    receiver::{Answer, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_await_is_a_round_and_the_code_goes_on_with_every_reply() {
    let receiver = Receiver::start(|request| match request.path.as_str() {
        "/" => Answer::status(202),
        path => Answer::Reply(200, Vec::new(), format!("found {}", &path[1..]).into_bytes()),
    })
    .await;
    let outcomes = Bench::hostile(&receiver.url()).one("lookup").await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Delivered, "http_202")]);
    let requests = receiver.received();
    let mut paths: Vec<_> = requests.iter().map(|request| request.path.as_str()).collect();
    paths[..3].sort_unstable();
    assert_eq!(paths, ["/0", "/1", "/2", "/last", "/"], "three at once, then one, then the last; none twice");
    let posted: Value = serde_json::from_slice(&requests[4].body).expect("JSON");
    assert_eq!(posted["found"], json!(["found 0", "found 1", "found 2", "found last"]));
    assert_eq!(posted["at"], json!(bench::NOW.millis()));
    assert_eq!(requests[4].method, "POST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_one_round_go_out_together() {
    let receiver = Receiver::start(|_| Answer::Late(Duration::from_millis(200), 200)).await;
    let bench = Bench::hostile(&receiver.url());
    bench.one("measure").await.expect("the guest is warm");
    let begun = Instant::now();
    let events = (0..8).map(|n| event(n, n as u8, &json!({ "n": n }))).collect();
    let outcomes = bench.deliver("each", events).await.expect("outcomes");
    assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Delivered));
    assert!(begun.elapsed() < Duration::from_millis(1_200), "eight people at 200 ms took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_never_sees_more_at_a_time_than_its_manifest_says() {
    let most = Arc::new(AtomicUsize::new(0));
    // A reply takes 20 ms, so what came within the last 15 ms is surely still open.
    let times: Arc<std::sync::Mutex<Vec<Instant>>> = Arc::default();
    let (kept, peak) = (Arc::clone(&times), Arc::clone(&most));
    let receiver = Receiver::start(move |_| {
        let mut times = kept.lock().expect("not poisoned");
        times.push(Instant::now());
        let recent = times.iter().filter(|at| at.elapsed() < Duration::from_millis(15)).count();
        peak.fetch_max(recent, SeqCst);
        Answer::Late(Duration::from_millis(20), 200)
    })
    .await;
    let bench = Arc::new(Bench::hostile(&receiver.url()));
    let jobs: Vec<_> = (0..4_u32)
        .map(|job| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                let events = (0..20).map(|n| event(job * 20 + n, (job * 20 + n) as u8, &json!({ "n": n }))).collect();
                bench.deliver("each", events).await
            })
        })
        .collect();
    for job in jobs {
        assert!(job.await.expect("it ends").expect("outcomes").iter().all(|o| o.verdict == Verdict::Delivered));
    }
    assert!(most.load(SeqCst) <= 16, "{most:?} at a time, and four jobs share sixteen");
    assert_eq!(receiver.received().len(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_person_go_in_order_and_stop_at_the_first_that_fails() {
    // Person 1 has events 0, 2, 4, 6; person 2 has 1, 3, 5, 7. Event 4 fails; slower replies come first.
    let receiver = Receiver::start(|request| {
        let n: u64 = request.path[1..].parse().unwrap_or(0);
        Answer::Late(Duration::from_millis(80 - 10 * n), if n == 4 { 503 } else { 200 })
    })
    .await;
    let events = (0..8).map(|n| event(n, (n % 2) as u8, &json!({ "n": n }))).collect();
    let outcomes = Bench::hostile(&receiver.url()).deliver("each", events).await.expect("outcomes");
    let mut expected = vec![(Verdict::Delivered, "http_200"); 8];
    expected[4] = (Verdict::Retry, "http_503");
    expected[6] = (Verdict::Retry, "held");
    assert_eq!(said(&outcomes), expected);
    let mut order: BTreeMap<bool, Vec<u32>> = BTreeMap::new();
    for request in receiver.received() {
        let n: u32 = request.path[1..].parse().expect("a number");
        order.entry(n.is_multiple_of(2)).or_default().push(n);
    }
    assert_eq!(order[&true], [0, 2, 4], "6 is not sent before 4 got through");
    assert_eq!(order[&false], [1, 3, 5, 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_means_what_the_manifest_says_and_then_what_is_usual() {
    for (status, verdict) in [
        (200, Verdict::Delivered),
        (409, Verdict::Delivered),
        (404, Verdict::Skipped),
        (400, Verdict::Rejected),
        (401, Verdict::Unauthorized),
        (429, Verdict::Retry),
        (503, Verdict::Retry),
        (304, Verdict::Rejected),
    ] {
        let receiver = Receiver::start(move |_| Answer::status(status)).await;
        let bench = Bench::hostile(&receiver.url());
        let outcomes = bench.deliver("each", vec![event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
        assert_eq!(said(&outcomes), [(verdict, format!("http_{status}").as_str())]);
        // Judged by the guest, from what the host told it, the answer is the same.
        let outcomes = bench.one("lookup").await.expect("outcomes");
        assert_eq!(outcomes[0].verdict, verdict, "{status}, judged by the guest");
    }
}

#[test]
fn the_sdk_s_table_for_tests_is_the_host_s() {
    for status in 100..=599 {
        let there = match rialto_sdk::testing::default_verdict(status) {
            rialto_sdk::Verdict::Delivered => Verdict::Delivered,
            rialto_sdk::Verdict::Skipped => Verdict::Skipped,
            rialto_sdk::Verdict::Rejected => Verdict::Rejected,
            rialto_sdk::Verdict::Retry => Verdict::Retry,
            rialto_sdk::Verdict::Unauthorized => Verdict::Unauthorized,
        };
        assert_eq!(there, default_verdict(status), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_sent_is_the_destination_s_fault_and_not_shown() {
    let host = host(artifact::hostile(), CallLimits::default(), bench::local());
    let secrets = [("token", "line\nbreak")];
    let bench = Bench::new(host, "test/hostile", json!({ "url": "http://127.0.0.1:1024/" }), &secrets);
    let failure = bench.one("measure").await.expect_err("the secret cannot be sent");
    assert_eq!((failure.kind, failure.code.as_str()), (rialto_engine::FailureKind::Fatal, "settings"));
    assert!(!failure.message.contains("line"), "{failure:?}");
}

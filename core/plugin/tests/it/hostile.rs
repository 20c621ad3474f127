//! Guests that mean harm: each is stopped within twice its limit, and only its own delivery suffers.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use rialto_engine::FailureKind;
use rialto_model::delivery::Verdict;
use rialto_plugin::CallLimits;
use serde_json::json;

use crate::{
    bench::{Bench, event, said},
    receiver::{Answer, Receiver},
};

/// Twice the time that a call may take.
const TWICE: Duration = Duration::from_millis(400);

/// Runs an action and gives the code of its failure. The limit counts processor time, and the machine may be busy
/// with other tests: so the call races a thread that does twice the limit's worth of work, and must end before it.
async fn stopped(bench: &Bench, action: &str) -> String {
    let mut late = Vec::new();
    for _ in 0..5 {
        let yardstick = std::thread::spawn(|| {
            let begun = ThreadTime::now();
            while begun.elapsed() < TWICE {
                std::hint::spin_loop();
            }
            Instant::now()
        });
        let failed = bench.one(action).await.expect_err("it is stopped");
        let ended = Instant::now();
        assert_eq!(failed.kind, FailureKind::Plugin, "{failed:?}");
        let due = yardstick.join().expect("it only counts");
        if ended <= due {
            return failed.code;
        }
        late.push(ended - due);
    }
    panic!("{action} was stopped late five times: {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_harm_is_stopped_within_twice_its_limit() {
    let receiver = Receiver::willing().await;
    let bench = Bench::hostile(&receiver.url());
    for (action, code) in [
        ("spin", "plugin_deadline"),
        ("memory", "plugin_memory"),
        // Rust's own stack lies at the bottom of the memory, and below that is nothing.
        ("recursion", "plugin_trap"),
        ("output", "plugin_output"),
        ("lines", "plugin_log"),
        ("trap", "plugin_trap"),
        ("ghost", "plugin_outcome"),
        ("stranger", "plugin_request"),
        ("flood", "plugin_requests"),
    ] {
        assert_eq!(stopped(&bench, action).await, code, "{action}");
    }
    assert_eq!(receiver.connections(), 0, "nothing was sent");
    let fine = bench.one("measure").await.expect("the host is as it was");
    assert_eq!(fine[0].verdict, Verdict::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_s_message_reaches_the_failure() {
    let bench = Bench::hostile("http://127.0.0.1:1024/");
    let failure = bench.one("trap").await.expect_err("it panics");
    assert!(failure.message.contains("the 1 events are not to my taste"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_requests_and_state_are_bounded() {
    let receiver = Receiver::start(|_| Answer::Reply(200, Vec::new(), vec![b'x'; 700])).await;
    let bench = Bench::hostile(&receiver.url());
    let failure = bench.one("rounds").await.expect_err("it never ends");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, "plugin_rounds"));
    assert_eq!(receiver.received().len(), 8, "a ninth round is not made");
    let limits = CallLimits { rounds: 2, ..CallLimits::default() };
    let failure = Bench::hostile_within(&receiver.url(), limits).one("lookup").await.expect_err("it wants three");
    assert_eq!((failure.code.as_str(), receiver.received().len()), ("plugin_rounds", 8 + 4));
    let limits = CallLimits { rounds: 3, ..CallLimits::default() };
    Bench::hostile_within(&receiver.url(), limits).one("lookup").await.expect("three are enough");
    let limits = CallLimits { state: 1 << 10, ..CallLimits::default() };
    let failure = Bench::hostile_within(&receiver.url(), limits).one("rounds").await.expect_err("it keeps too much");
    assert_eq!(failure.code, "plugin_state");
    // A connector of the SDK leaves it to the host to say so: by that the engine halves the batch.
    let wordy = Receiver::start(|_| Answer::Reply(200, Vec::new(), vec![b'x'; 30_000])).await;
    let failure = Bench::hostile(&wordy.url()).one("lookup").await.expect_err("three replies of 30 kB");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, "plugin_state"));
    let limits = CallLimits { requests: 2, ..CallLimits::default() };
    let failure = Bench::hostile_within(&receiver.url(), limits).one("lookup").await.expect_err("it wants three");
    assert_eq!(failure.code, "plugin_requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_nobody_spoke_of_is_tried_again() {
    let bench = Bench::hostile("http://127.0.0.1:1024/");
    let events = (0..3).map(|n| event(n, 1, &json!({}))).collect();
    let outcomes = bench.deliver("silent", events).await.expect("outcomes");
    assert_eq!(
        said(&outcomes),
        [(Verdict::Retry, "no_outcome"), (Verdict::Delivered, "ok"), (Verdict::Delivered, "ok")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_host_gives_codes_that_count_no_attempt_or_blame_the_connector() {
    let bench = Bench::hostile("http://127.0.0.1:1024/");
    for (action, code) in [("held", "guest_held"), ("blame", "guest_plugin_trap")] {
        assert_eq!(said(&bench.one(action).await.expect("outcomes")), [(Verdict::Retry, code)], "{action}");
    }
    let failure = bench.one("all_held").await.expect_err("the job failed");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Retryable, "guest_held"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_never_held_back_behind_itself() {
    // 404 means skipped there, which is less than held.
    let receiver = Receiver::start(|_| Answer::status(404)).await;
    let bench = Bench::hostile(&receiver.url());
    let events = vec![event(0, 1, &json!({})), event(1, 1, &json!({}))];
    let outcomes = bench.deliver("twice", events).await.expect("outcomes");
    assert_eq!(said(&outcomes), [(Verdict::Retry, "not_sent"), (Verdict::Retry, "held")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_for_a_held_request_says_so_by_a_code_of_its_own() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let bench = Bench::hostile(&receiver.url());
    let events = vec![event(0, 1, &json!({})), event(1, 1, &json!({}))];
    let failure = bench.deliver("together", events).await.expect_err("the second has no reply");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Retryable, "not_sent"));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_the_hub_s_cannot_be_forged_or_smuggled() {
    let receiver = Receiver::willing().await;
    let bench = Bench::hostile(&receiver.url());
    for action in ["forge", "smuggle"] {
        let outcomes = bench.one(action).await.expect("outcomes");
        assert_eq!(said(&outcomes), [(Verdict::Retry, "egress_refused")], "{action}");
    }
    assert_eq!(receiver.connections(), 0);
}

/// Those of the list that the SDK goes by, and those that it lets pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_and_the_sdk_refuse_the_same_headers() {
    let receiver = Receiver::willing().await;
    let bench = Bench::hostile(&receiver.url());
    let listed = include_str!("../../../../sdk/wit/hub-headers.txt").lines().map(|own| own.replace('*', "x"));
    let listed: Vec<String> = listed.collect();
    assert_eq!(listed.len(), 15);
    let others = ["", "x y", "é", "Proxy-Authorization", "COOKIE", "x-a", "x-proxy-a", "webhook-id", "user-agent"];
    for name in listed.iter().map(String::as_str).chain(others) {
        let outcomes = bench.deliver("named", vec![event(1, 1, &json!({ "header": name }))]).await.expect("outcomes");
        let refused = outcomes[0].code == "egress_refused";
        assert_eq!(refused, rialto_sdk::headers::problem(name, "x").is_some(), "{name}: {:?}", outcomes[0]);
        assert!(refused || !listed.iter().any(|own| own == name), "{name}");
    }
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tenant_s_endless_loops_leave_room_for_the_others() {
    let bench = Bench::hostile("http://127.0.0.1:1024/");
    let neighbour = bench.of_tenant(2);
    let alone = slowest(&neighbour).await;
    let bench = std::sync::Arc::new(bench);
    let loops: Vec<_> = (0..16)
        .map(|_| {
            let bench = std::sync::Arc::clone(&bench);
            tokio::spawn(async move { bench.one("spin").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let beside = slowest(&neighbour).await;
    let waiting = loops.iter().filter(|spin| !spin.is_finished()).count();
    assert!(waiting > 0, "the loops were over before the neighbour was looked at");
    for spin in loops {
        assert!(spin.await.expect("it ends").is_err());
    }
    // In line behind the loops it would wait for several of them, at 200 ms and more each.
    assert!(beside < Duration::from_millis(150) + alone * 4, "{beside:?} beside the loops, {alone:?} alone");
}

/// The slowest of some ordinary deliveries.
async fn slowest(bench: &Bench) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let begun = Instant::now();
        bench.one("measure").await.expect("it is delivered");
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_action_or_connector_and_broken_settings_are_fatal() {
    let bench = Bench::hostile("http://127.0.0.1:1024/");
    for (bench, action, code) in [
        (
            Bench::new(bench.host.clone(), "test/hostile", json!({ "url": "http://127.0.0.1:1024/" }), &[]),
            "sing",
            "unknown_action",
        ),
        (
            Bench::new(bench.host.clone(), "test/hostile", json!({ "url": "http://127.0.0.1:1024/" }), &[]),
            "",
            "unknown_action",
        ),
        (Bench::new(bench.host.clone(), "test/nothing", json!({}), &[]), "spin", "no_connector"),
        (Bench::new(bench.host.clone(), "test/hostile", json!({}), &[]), "spin", "settings"),
    ] {
        let failure = bench.one(action).await.expect_err("it cannot be done");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Fatal, code));
    }
}

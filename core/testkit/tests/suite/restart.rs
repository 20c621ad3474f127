//! Restarts in order: asked to stop under load, the hub finishes what it is at, and nothing is lost or sent twice.

use std::collections::BTreeSet;
use std::time::Duration;

use rialto_testkit::receiver::Receiver;

use crate::crash::{arrivals, everything_acknowledged_arrives, order_holds, persons_are_one, settle};
use crate::ground::{Ground, alone};
use crate::load::{Load, Pace};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_asked_to_stop_loses_and_repeats_nothing() {
    let mut ground = Ground::sqlite("restart::a_hub_that_is_asked_to_stop_loses_and_repeats_nothing").await;
    let _turn = alone().await;
    let receiver = Receiver::kind().await;
    ground.acme.webhook("receiver", &receiver.url("/acme")).await;
    let load = Load::start(&[&ground.acme], Pace { clients: 16, pause: Duration::from_millis(40) });
    let mut slowest = Duration::ZERO;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let (took, code) = ground.hub.stop().await;
        assert_eq!(code, Some(0), "{}", ground.hub.last_words());
        assert!(took < Duration::from_secs(25), "stopped in {took:?}");
        slowest = slowest.max(took);
        ground.hub.start_again().await;
    }
    let book = load.stop().await;
    let strange = book.answers.iter().filter(|answer| !matches!(answer.status, None | Some(200 | 503)));
    assert_eq!(strange.map(|answer| answer.status).collect::<Vec<_>>(), Vec::new());
    everything_acknowledged_arrives(&ground.acme, &receiver, &book).await;
    settle(&ground.acme).await;
    let arrived = arrivals(&receiver.received(), &ground.acme);
    order_holds(&arrived);
    persons_are_one(&ground.acme, &arrived).await;
    let distinct: BTreeSet<&str> = arrived.iter().map(|one| one.message_id.as_str()).collect();
    assert_eq!(distinct.len(), arrived.len(), "a hub that stops in order sends nothing twice");
    println!("4 restarts, the slowest stop {slowest:?}, {} events", arrived.len());
}

//! Power cuts: the hub's whole data folder lies on a disk that forgets what was not flushed. What was acknowledged to
//! clients and confirmed to admins is there afterwards, in the log and in the database.

use std::time::Duration;

use rialto_testkit::child::{ChildHub, Setup};
use rialto_testkit::persona::Operator;
use rialto_testkit::powercut::{PowerCutDisk, Survivors};
use rialto_testkit::receiver::Receiver;
use rialto_testkit::skip::skip;
use serde_json::json;
use tempfile::TempDir;

use crate::crash::{
    arrivals, batches_are_whole, everything_acknowledged_arrives, order_holds, persons_are_one, settle,
};
use crate::ground::alone;
use crate::load::{Load, Pace};

const CUTS: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_lose_nothing_that_was_confirmed() {
    let test = "power_cut::cuts_lose_nothing_that_was_confirmed";
    let folder = TempDir::new().expect("a scratch folder can be made");
    let at = folder.path().join("disk");
    std::fs::create_dir(&at).expect("a folder can be made");
    let disk = PowerCutDisk::new();
    let mut powered = match disk.power_on(&at) {
        Ok(powered) => powered,
        Err(why) => return skip(test, &format!("FUSE cannot be mounted here: {why}")),
    };
    let _turn = alone().await;
    let mut setup = Setup::new(&at.join("data"));
    setup.output = folder.path().join("output");
    let mut hub = ChildHub::start(setup).await;
    let acme = Operator::new(hub.address, &hub.operator_token()).tenant("acme").await;
    let receiver = Receiver::kind().await;
    acme.webhook("receiver", &receiver.url("/acme")).await;
    let load = Load::start(&[&acme], Pace { clients: 12, pause: Duration::from_millis(60) });
    let mut confirmed = Vec::new();
    for cut in 0..CUTS {
        tokio::time::sleep(Duration::from_millis(rand::random_range(300..900))).await;
        let source = acme.api().post("/api/v1/sources", &json!({"name": format!("source {cut}")})).await.expect(201);
        confirmed.push(source.json()["id"].as_str().expect("a source has an id").to_owned());
        powered.cut();
        hub.kill();
        let survivors = if cut % 2 == 0 { Survivors::FlushedOnly } else { Survivors::Some { seed: cut } };
        let loss = powered.power_off(survivors).expect("nobody uses the disk any more");
        println!("cut {cut}: {loss:?}");
        powered = disk.power_on(&at).expect("what could be mounted can be mounted again");
        hub.start_again().await;
        for source in &confirmed {
            acme.api().get(&format!("/api/v1/sources/{source}")).await.expect(200);
        }
    }
    let book = load.stop().await;
    everything_acknowledged_arrives(&acme, &receiver, &book).await;
    settle(&acme).await;
    let arrived = arrivals(&receiver.received(), &acme);
    batches_are_whole(&arrived, &book, &acme);
    order_holds(&arrived);
    persons_are_one(&acme, &arrived).await;
    println!("{CUTS} cuts: {} events acknowledged, all there", book.acknowledged("acme").count());
    drop(hub);
    drop(powered);
}

//! The database goes away under load: the log goes on absorbing, what needs the database says 503; when it is back,
//! all that was acknowledged is processed, and it was not stormed meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use rialto_testkit::child::{ChildHub, Setup};
use rialto_testkit::client::Client;
use rialto_testkit::gate::Gate;
use rialto_testkit::persona::Operator;
use rialto_testkit::postgres::Database;
use rialto_testkit::receiver::Receiver;
use tempfile::TempDir;

use crate::ground::{alone, eventually};
use crate::load::{Load, Pace};

/// How the database goes away.
#[derive(Debug, Clone, Copy)]
enum Gone {
    /// The server is down: connections break and new ones are refused.
    Refusing,
    /// The network swallows everything.
    Silent,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_is_waited_for() {
    away("database::a_database_that_refuses_is_waited_for", Gone::Refusing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_silent_is_waited_for() {
    away("database::a_database_that_is_silent_is_waited_for", Gone::Silent).await;
}

async fn away(test: &str, gone: Gone) {
    let Some(database) = Database::create(test).await else { return };
    let _turn = alone().await;
    let gate = Gate::to(&database.server()).await;
    let folder = TempDir::new().expect("a scratch folder can be made");
    let setup = Setup::new(&folder.path().join("data")).with("RIALTO__STORE__URL", database.url_through(gate.address));
    let hub = ChildHub::start(setup).await;
    let acme = Operator::new(hub.address, &hub.operator_token()).tenant("acme").await;
    let receiver = Receiver::kind().await;
    acme.webhook("receiver", &receiver.url("/")).await;
    let load = Load::start(&[&acme], Pace { clients: 16, pause: Duration::from_millis(40) });
    tokio::time::sleep(Duration::from_secs(2)).await;

    let before = gate.tries();
    match gone {
        Gone::Refusing => gate.shut(),
        Gone::Silent => gate.stick(),
    }
    let probe = Client::new(hub.address);
    let outage = Duration::from_secs(12);
    tokio::time::sleep(outage / 2).await;
    assert_eq!(probe.get("/healthz").await.status, 200, "the process is alive");
    assert_eq!(probe.get("/readyz").await.status, 503, "and says that it is not ready");
    let read = acme.api().get("/api/v1/profiles").await;
    assert_eq!(read.status, 503, "a read cannot be answered: {}", read.text());
    assert!(read.header("retry-after").is_some());
    tokio::time::sleep(outage / 2).await;
    let tries = gate.tries() - before;
    gate.open();
    let back =
        eventually("it is ready again", Duration::from_secs(20), async || probe.get("/readyz").await.status == 200)
            .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let book = load.stop().await;

    let absorbed = book.answers.iter().filter(|answer| answer.status == Some(200)).count();
    println!(
        "{gone:?} for {outage:?}: {tries} connections tried, ready again after {back:?}; {absorbed} requests taken"
    );
    for answered in &book.answers {
        assert_eq!(answered.status, Some(200), "the log absorbs what known keys bring: {answered:?}");
        assert!(answered.took < Duration::from_secs(5), "{answered:?}");
    }
    assert!(tries < 40 * outage.as_secs() as usize, "a connection storm: {tries} tries in {outage:?}");
    let wanted: BTreeSet<&str> = book.acknowledged("acme").collect();
    eventually("every acknowledged event arrives", Duration::from_secs(60), async || {
        let events = receiver.events();
        let there: BTreeSet<&str> = events.iter().filter_map(|(_, event)| event["message_id"].as_str()).collect();
        wanted.is_subset(&there)
    })
    .await;
}

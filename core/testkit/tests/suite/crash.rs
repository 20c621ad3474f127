//! Kills: the hub is killed at random points under 64 clients and starts again over the same data, while persons turn
//! out to be one and the destination refuses now and then. What it acknowledged arrives, batches are whole, persons are
//! one, order holds, and nothing is sent twice but what a kill or a refusal explains.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rialto_testkit::persona::Persona;
use rialto_testkit::receiver::{Received, Receiver, Reply};
use serde_json::{Value, json};

use crate::ground::{Backend, Ground, alone, eventually, on_both};
use crate::load::{Book, Load, Pace};

on_both!(kills_lose_nothing_and_repeat_only_what_they_cut_off, killed);

const PACE: Pace = Pace { clients: 32, pause: Duration::from_millis(120) };

/// Every so many requests the receiver answers 500, …
const REFUSED: u32 = 7;
/// … but it refuses nobody twice within this time, or they would never be done with what waits.
const SPARED: Duration = Duration::from_secs(10);

/// What reached the receiver of one tenant, in order of arrival.
pub(crate) struct Arrived {
    at: Instant,
    /// The id that the request was sent under: of the delivery, or of the batch.
    delivery: String,
    pub(crate) message_id: String,
    /// Whether the receiver said 200.
    taken: bool,
    person: String,
    /// The phone that this is of, while nobody knew whose it is.
    phone: Option<u64>,
    /// How many phones were known to be the person's.
    joined: u64,
    profile: String,
    seq: u64,
    size: u64,
}

/// Refuses one request in [`REFUSED`].
fn moody() -> impl Fn(&Received) -> Reply + Send + Sync + 'static {
    let mood: Mutex<(u32, BTreeMap<String, Instant>)> = Mutex::default();
    move |received| {
        let events = received.events();
        let person = |event: &Value| Some(format!("{} {}", received.path, event["properties"]["person"].as_str()?));
        let persons: BTreeSet<String> = events.iter().filter_map(person).collect();
        let (requests, refused) = &mut *mood.lock();
        *requests += 1;
        let spared = |person: &String| refused.get(person).is_some_and(|at| at.elapsed() < SPARED);
        if *requests < REFUSED || persons.is_empty() || persons.iter().any(spared) {
            return Reply::Status(200);
        }
        *requests = 0;
        refused.extend(persons.into_iter().map(|person| (person, received.at)));
        Reply::Status(500)
    }
}

async fn killed(backend: Backend, test: &str) {
    let Some(mut ground) = Ground::on(backend, test).await else { return };
    let _turn = alone().await;
    let kills: u32 = std::env::var("RIALTO_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let receiver = Receiver::start(moody()).await;
    // One tenant gets its events in batches, the other one by one: then each request carries the id of its delivery.
    for (persona, mode) in [(&ground.acme, "batch"), (&ground.globex, "single")] {
        let settings = json!({"url": receiver.url(&format!("/{}", persona.slug)), "mode": mode});
        persona.destination("receiver", settings, json!({})).await;
    }
    let load = Load::start(&[&ground.acme, &ground.globex], PACE);
    let (mut starts, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(rand::random_range(50..500))).await;
        ground.hub.kill();
        starts.push(Instant::now());
        ready.push(ground.hub.start_again().await);
    }
    let book = load.stop().await;
    receiver.now(|_| Reply::Status(200));
    let strange = book.answers.iter().filter(|answer| !matches!(answer.status, None | Some(200 | 429 | 503)));
    assert_eq!(strange.map(|answer| answer.status).collect::<Vec<_>>(), Vec::new(), "a kill is no client's fault");

    let (mut duplicates, mut retries, mut merges) = (0, 0, 0);
    for persona in [&ground.acme, &ground.globex] {
        everything_acknowledged_arrives(persona, &receiver, &book).await;
        settle(persona).await;
        let arrived = arrivals(&receiver.received(), persona);
        batches_are_whole(&arrived, &book, persona);
        order_holds(&arrived);
        merges += persons_are_one(persona, &arrived).await;
        let (repeated, retried) = repeats_are_explained(&arrived, &starts);
        duplicates += repeated;
        retries += retried;
        if persona.slug == "globex" {
            deliveries_keep_their_ids(&arrived);
        }
    }
    ready.sort();
    println!(
        "{kills} kills on {backend:?}: {} events acknowledged, {duplicates} sent twice ({:.1} a kill), \
         {retries} refused and retried, {merges} merges; ready after {:?} (median), {:?} (worst)",
        book.acknowledged("acme").count() + book.acknowledged("globex").count(),
        f64::from(duplicates) / f64::from(kills),
        ready[ready.len() / 2],
        ready[ready.len() - 1],
    );
    assert!(retries > kills && merges > 8, "there were retries ({retries}) and merges ({merges})");
    assert!(ready[ready.len() / 2] < Duration::from_secs(2), "ready after {:?}", ready[ready.len() / 2]);
}

pub(crate) fn arrivals(received: &[Received], persona: &Persona) -> Vec<Arrived> {
    let path = format!("/{}", persona.slug);
    let of = received.iter().filter(|received| received.path == path);
    let events = of.flat_map(|received| received.events().into_iter().map(move |event| (received, event)));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let arrived = |(received, event): (&Received, Value)| Arrived {
        at: received.at,
        delivery: received.headers["webhook-id"].clone(),
        message_id: text(&event["message_id"]),
        taken: received.is_taken(),
        person: text(&event["properties"]["person"]),
        phone: event["properties"]["phone"].as_u64(),
        joined: event["properties"]["joined"].as_u64().expect("an event of one with so many phones"),
        profile: text(&event["profile_id"]),
        seq: event["properties"]["seq"].as_u64().expect("a numbered event"),
        size: event["properties"]["size"].as_u64().expect("an event of a request of a size"),
    };
    // The hub's own events, such as those of merges, are nobody's steps.
    events.filter(|(_, event)| event["properties"]["person"].is_string()).map(arrived).collect()
}

fn taken(arrived: &[Arrived]) -> impl Iterator<Item = &Arrived> {
    arrived.iter().filter(|one| one.taken)
}

pub(crate) async fn everything_acknowledged_arrives(persona: &Persona, receiver: &Receiver, book: &Book) {
    let wanted: BTreeSet<&str> = book.acknowledged(&persona.slug).collect();
    assert!(wanted.len() > 100, "the clients of {} got through: {}", persona.slug, wanted.len());
    let start = Instant::now();
    loop {
        let arrived = arrivals(&receiver.received(), persona);
        let there: BTreeSet<&str> = taken(&arrived).map(|one| one.message_id.as_str()).collect();
        let lost: Vec<_> = wanted.difference(&there).collect();
        if lost.is_empty() {
            return;
        }
        let few: Vec<_> = lost.iter().take(5).collect();
        assert!(
            start.elapsed() < Duration::from_secs(90),
            "{} acknowledged events of {} lost: {few:?}…",
            lost.len(),
            persona.slug
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until nothing is under way: what was stored but never acknowledged arrives too.
pub(crate) async fn settle(persona: &Persona) {
    let mut before = Value::Null;
    eventually("the lane comes to rest", Duration::from_secs(60), async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let lanes = json!(persona.all("/api/v1/lanes").await);
        let rests = lanes == before && lanes[0]["parked"] == json!(0);
        before = lanes;
        rests
    })
    .await;
}

/// A batch is there with all its events or with none, acknowledged or not.
pub(crate) fn batches_are_whole(arrived: &[Arrived], book: &Book, persona: &Persona) {
    let there: BTreeMap<&str, u64> = arrived.iter().map(|one| (one.message_id.as_str(), one.size)).collect();
    for entry in book.entries.iter().filter(|entry| entry.tenant == persona.slug) {
        let found = entry.message_ids.iter().filter(|id| there.contains_key(id.as_str())).count();
        assert!(found == 0 || found == entry.message_ids.len(), "{found} of the batch {:?}", entry.message_ids);
        assert!(!entry.acknowledged || found > 0);
    }
}

/// A person's events come in the order in which they were sent, the first tries and those that were taken; and what a
/// phone did comes before what its owner did once it was known whose it is.
pub(crate) fn order_holds(arrived: &[Arrived]) {
    in_order(&mut arrived.iter());
    in_order(&mut taken(arrived));
}

fn in_order(arrived: &mut dyn Iterator<Item = &Arrived>) {
    let mut last: BTreeMap<(&str, Option<u64>), u64> = BTreeMap::new();
    let mut known: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for one in arrived.filter(|one| seen.insert(one.message_id.as_str())) {
        let Arrived { person, phone, joined, seq, .. } = one;
        if let Some(before) = last.insert((person, *phone), *seq) {
            assert!(before < *seq, "{person}: {seq} came after {before}");
        }
        let known = known.entry(person).or_default();
        match phone {
            Some(phone) => assert!(*known <= *phone, "{person}: {seq} of phone {phone} came when {known} were known"),
            None => *known = (*known).max(*joined),
        }
    }
}

/// No identifier leads to two profiles, no person's events to two, and each event counts once. Gives how many merges
/// made them one.
pub(crate) async fn persons_are_one(persona: &Persona, arrived: &[Arrived]) -> u64 {
    let profiles = persona.all("/api/v1/profiles").await;
    let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
    for profile in &profiles {
        let id = profile["id"].as_str().expect("a profile has an id");
        for held in profile["identifiers"].as_array().expect("a profile has identifiers") {
            let identifier = (held["kind"].to_string(), held["value"].to_string());
            let other = owners.insert(identifier.clone(), id.to_owned());
            assert_eq!(other, None, "{identifier:?} is of two persons");
        }
    }
    let mut of_person: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut events: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in arrived {
        of_person.entry(&one.person).or_default().insert(&one.profile);
        events.entry(&one.person).or_default().insert(&one.message_id);
    }
    let mut merges = 0;
    for (person, found) in of_person {
        let mut living = BTreeSet::new();
        for id in found {
            let profile = persona.api().get(&format!("/api/v1/profiles/{id}")).await.expect(200).json();
            living.insert(profile["id"].as_str().unwrap_or_default().to_owned());
        }
        assert_eq!(living.len(), 1, "{person}'s events are of the profiles {living:?}");
        let profile = profiles.iter().find(|profile| living.contains(profile["id"].as_str().unwrap_or_default()));
        let profile = profile.unwrap_or_else(|| panic!("{person} has a profile"));
        assert_eq!(profile["events"], json!(events[person].len()), "{person}'s events counted once each");
        merges += profile["merges"].as_u64().expect("a count of merges");
    }
    merges
}

/// Whoever drops requests whose id was seen before has each event once: an id is of one event, over all attempts.
fn deliveries_keep_their_ids(arrived: &[Arrived]) {
    let ids: BTreeSet<&str> = arrived.iter().map(|one| one.delivery.as_str()).collect();
    let events: BTreeSet<&str> = arrived.iter().map(|one| one.message_id.as_str()).collect();
    let pairs: BTreeSet<_> = arrived.iter().map(|one| (one.delivery.as_str(), one.message_id.as_str())).collect();
    assert_eq!((ids.len(), events.len()), (pairs.len(), pairs.len()), "as many deliveries as events");
}

/// Whatever arrived again was refused before, or cut off by a kill: between the two arrivals the hub started anew. Gives
/// how many were cut off, and how many refused.
fn repeats_are_explained(arrived: &[Arrived], starts: &[Instant]) -> (u32, u32) {
    let mut before: BTreeMap<&str, &Arrived> = BTreeMap::new();
    let (mut repeats, mut retries) = (0, 0);
    for one in arrived {
        let Some(first) = before.insert(&one.message_id, one) else { continue };
        if !first.taken {
            retries += 1;
            continue;
        }
        repeats += 1;
        let explains = |start: &Instant| first.at <= *start + Duration::from_millis(50) && *start <= one.at;
        let apart = one.at - first.at;
        assert!(
            starts.iter().any(explains),
            "{} arrived twice {apart:?} apart, and no kill was in between",
            one.message_id
        );
    }
    // What a lane may have under way at a kill: one window of events, and two that no written cursor tells of.
    let bound = u32::try_from(starts.len()).unwrap_or(u32::MAX) * 3_000;
    assert!(repeats <= bound, "{repeats} events were sent again after {} kills", starts.len());
    (repeats, retries)
}

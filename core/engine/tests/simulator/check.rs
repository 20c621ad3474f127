//! What has to be true at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rialto_engine::ENGINE_SOURCE;
use rialto_model::Position;
use rialto_model::delivery::DeadLetter;
use rialto_model::event::{Event, EventType};
use rialto_model::page::PageRequest;
use rialto_model::profile::Profile;
use rialto_store::DeliveryFilter;
use serde_json::Value;

use crate::connector::Reached;
use crate::reference::{Person, Reference};
use crate::world::{Tally, World};

macro_rules! hold {
    ($holds:expr, $($said:tt)*) => {
        if !$holds {
            return Err(format!($($said)*));
        }
    };
}

pub(crate) async fn check(world: &World, tally: &mut Tally) -> Result<(), String> {
    let mut reference = Reference::default();
    let mut own = Vec::new();
    for entry in world.log.entries() {
        let event: Event = serde_json::from_slice(&entry.body).map_err(|error| error.to_string())?;
        match event.source_id == ENGINE_SOURCE {
            true => own.push((entry.position, event)),
            false => reference.take(entry.position, event),
        }
    }
    timeline(world, &reference).await?;
    profiles(world, &reference).await?;
    notices(&reference, &own)?;
    let (mut reached, repeatable) = world.script.reached();
    for (which, id) in world.destinations.iter().enumerate() {
        let reached = reached.remove(id).unwrap_or_default();
        let expected = expected(world, which, &reference, &own);
        let dead = dead(world, *id).await?;
        deliveries(world, which, &expected, &reached, &dead).await?;
        skips(world, which, &reference, &own, &reached).await?;
        tally.ordered += order(world, which, &reference, &reached, &dead)?;
        for (delivery, times) in &reached.deliveries {
            hold!(
                *times == 1 || repeatable.contains(delivery),
                "{delivery} arrived {times} times, and no crash says why"
            );
            tally.repeats += u64::from(times - 1);
        }
        tally.dead += dead.len() as u64;
        tally.delivered += reached.arrived.len() as u64;
    }
    tally.events = reference.taken.len() as u64;
    tally.duplicates = reference.duplicates;
    tally.merges = reference.merges.len() as u64;
    Ok(())
}

/// Every acknowledged event is there; each has one row; duplicates are marked as such and nothing else is.
async fn timeline(world: &World, reference: &Reference) -> Result<(), String> {
    let rows = world.scope.timeline_after(0, 1_000_000).await.map_err(|error| error.to_string())?;
    let entries = world.log.entries();
    hold!(rows.len() == entries.len(), "{} rows for {} events", rows.len(), entries.len());
    for (index, row) in rows.iter().enumerate() {
        hold!(row.position == index as Position + 1, "row {} stands at {}", index + 1, row.position);
        hold!(row.decision.refused.is_none(), "{} was refused: {:?}", row.message_id, row.decision.refused);
    }
    let known: BTreeSet<&str> = rows.iter().map(|row| row.message_id.as_str()).collect();
    for id in &world.acknowledged {
        hold!(known.contains(id.as_str()), "{id} was acknowledged and is lost");
    }
    let first: BTreeSet<Position> = reference.taken.iter().map(|(position, ..)| *position).collect();
    for row in rows.iter().filter(|row| row.source_id != ENGINE_SOURCE) {
        let duplicate = row.decision.duplicate_of.is_some();
        hold!(
            duplicate != first.contains(&row.position),
            "{} at {}: duplicate {duplicate}",
            row.message_id,
            row.position
        );
    }
    Ok(())
}

/// Every person is as the reference has them, and there is nobody else.
async fn profiles(world: &World, reference: &Reference) -> Result<(), String> {
    let mut found = BTreeSet::new();
    for person in &reference.persons {
        let mut profile: Option<Profile> = None;
        for (kind, value) in &person.identifiers {
            let one = world.scope.profile_by_identifier(kind, value).await.map_err(|error| error.to_string())?;
            let one = one.ok_or_else(|| format!("nobody holds {kind}:{value}"))?;
            hold!(profile.as_ref().is_none_or(|other| other.id == one.id), "{kind}:{value} is another's: {person:?}");
            profile = Some(one);
        }
        let profile = profile.ok_or("a person without identifiers")?;
        hold!(found.insert(profile.id), "two persons are one profile: {person:?}");
        same(person, &profile)?;
    }
    let (mut page, mut count) = (PageRequest { limit: Some(200), after: None }, 0);
    loop {
        let listed = world.scope.profiles(&page).await.map_err(|error| error.to_string())?;
        count += listed.items.len();
        let Some(next) = listed.next else { break };
        page.after = Some(next);
    }
    hold!(count == found.len(), "{count} profiles for {} persons", found.len());
    Ok(())
}

fn same(person: &Person, profile: &Profile) -> Result<(), String> {
    let held: BTreeSet<(String, String)> =
        profile.identifiers.iter().map(|held| (held.kind.clone(), held.value.clone())).collect();
    hold!(held.len() == profile.identifiers.len(), "an identifier is held twice: {profile:?}");
    hold!(held == person.identifiers, "holds {held:?}, not {:?}", person.identifiers);
    let traits: BTreeMap<&String, &Value> = profile.traits.iter().map(|(name, kept)| (name, &kept.value)).collect();
    let expected: BTreeMap<&String, &Value> =
        person.traits.iter().filter_map(|(name, (_, value))| Some((name, value.as_ref()?))).collect();
    hold!(traits == expected, "traits {traits:?}, not {expected:?}");
    for (name, kept) in &profile.traits {
        hold!(kept.provenance.at == person.traits[name].0, "{name} was written at {:?}", kept.provenance);
    }
    let (events, merges) = (profile.events, profile.merges);
    hold!(events == person.events, "{events} events, not {}: {held:?}", person.events);
    hold!(merges == person.merges, "{merges} merges, not {}: {held:?}", person.merges);
    Ok(())
}

/// Every merge is told in the stream, once for all that is not dropped as a repeat.
fn notices(reference: &Reference, own: &[(Position, Event)]) -> Result<(), String> {
    let told: BTreeSet<&str> = own
        .iter()
        .filter(|(_, event)| event.event.as_deref() == Some("profile.merged"))
        .map(|(_, event)| event.message_id.as_str())
        .collect();
    hold!(told.len() == reference.merges.len(), "{} merges told, {} made", told.len(), reference.merges.len());
    Ok(())
}

/// The events that ought to be at a destination, by the plainest reading of its route.
fn expected(world: &World, which: usize, reference: &Reference, own: &[(Position, Event)]) -> BTreeMap<String, u64> {
    let mut seen = BTreeSet::new();
    let own = own.iter().map(|(_, event)| event).filter(|event| seen.insert(event.message_id.clone()));
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let events = reference.taken.iter().map(|(_, event, _)| event).chain(own);
    for event in events.filter(|event| goes(world, which, event)) {
        *expected.entry(event.message_id.clone()).or_default() += 1;
    }
    expected
}

fn goes(world: &World, which: usize, event: &Event) -> bool {
    let raw = |raw: &Option<Box<serde_json::value::RawValue>>| -> Value {
        raw.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    };
    let integrations = raw(&event.integrations);
    let named = integrations.get("Everything") == Some(&Value::Bool(true)) && which == 0;
    if integrations.get("All") == Some(&Value::Bool(false)) && !named {
        return false;
    }
    match which {
        0 => true,
        1 => event.kind == EventType::Track && raw(&event.properties)["n"].as_i64().is_some_and(|n| n >= 50),
        _ => event.source_id == world.sources[0].id,
    }
}

async fn dead(world: &World, id: rialto_model::DestinationId) -> Result<Vec<DeadLetter>, String> {
    let filter = DeliveryFilter { destination_id: Some(id), ..DeliveryFilter::default() };
    let (mut page, mut all) = (PageRequest { limit: Some(200), after: None }, Vec::new());
    loop {
        let letters = world.scope.dead_letters(&filter, &page).await.map_err(|error| error.to_string())?;
        all.extend(letters.items);
        let Some(next) = letters.next else { return Ok(all) };
        page.after = Some(next);
    }
}

/// Every event that ought to be there arrived, was skipped, or is in the inbox; nothing else arrived; counts agree.
async fn deliveries(
    world: &World,
    which: usize,
    expected: &BTreeMap<String, u64>,
    reached: &Reached,
    dead: &[DeadLetter],
) -> Result<(), String> {
    let arrived: BTreeSet<&String> = reached.arrived.iter().collect();
    let inbox: BTreeSet<&String> = dead.iter().map(|letter| &letter.message_id).collect();
    for id in expected.keys() {
        let done = arrived.contains(id) || reached.skipped.contains(id) || inbox.contains(id);
        hold!(done, "{id} never reached destination {which} and nothing says why");
    }
    for id in arrived.iter().copied().chain(&reached.skipped).chain(inbox) {
        hold!(expected.contains_key(id), "{id} has no business at destination {which}");
    }
    let lane = world.scope.lane(world.destinations[which]).await.map_err(|error| error.to_string())?;
    let total: u64 = expected.values().sum();
    hold!(lane.dead == dead.len() as u64, "lane counts {} dead letters, there are {}", lane.dead, dead.len());
    let counted = lane.delivered + lane.skipped + lane.dead;
    hold!(counted == total, "destination {which} counts {counted} of {total} events: {lane:?}");
    Ok(())
}

/// As many rows say of events that they were skipped as the lane counts, each of an event that was.
async fn skips(
    world: &World,
    which: usize,
    reference: &Reference,
    own: &[(Position, Event)],
    reached: &Reached,
) -> Result<(), String> {
    let id = world.destinations[which];
    let events = reference.taken.iter().map(|(position, event, _)| (position, event));
    let events = events.chain(own.iter().map(|(position, event)| (position, event)));
    let (mut rows, mut counted) = (0, 0);
    for (position, event) in events.filter(|(_, event)| reached.skipped.contains(&event.message_id)) {
        let standing = world.scope.standing(*position, &event.message_id, &[id]).await;
        let standing = standing.map_err(|error| error.to_string())?;
        rows += standing.passed_over.len() as u64;
        counted = standing.lanes[0].skipped;
    }
    hold!(rows == counted, "destination {which} counts {counted} skipped and has {rows} rows for them");
    Ok(())
}

/// Of one person, as far as they were known to be one when the later event was processed, no event arrives for the
/// first time before an earlier one has. What was once given up may come later than all.
fn order(
    world: &World,
    which: usize,
    reference: &Reference,
    reached: &Reached,
    dead: &[DeadLetter],
) -> Result<u64, String> {
    let in_the_end = |born: usize| reference.by_then(born, Position::MAX);
    let again = world.redriven.iter().filter(|(where_to, _)| *where_to == which).map(|(_, position)| position);
    let again: BTreeSet<Position> = again.copied().collect();
    let whose = reference.taken.iter().filter(|(position, ..)| again.contains(position));
    let aside: BTreeSet<usize> = whose.filter_map(|(.., person)| person.map(in_the_end)).collect();
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, id) in reached.arrived.iter().enumerate() {
        first.entry(id).or_insert(index);
    }
    let given_up: BTreeSet<Position> = dead.iter().map(|letter| letter.position).collect();
    let unique: BTreeMap<&str, usize> = reference.taken.iter().fold(BTreeMap::new(), |mut counts, (_, event, _)| {
        *counts.entry(event.message_id.as_str()).or_default() += 1;
        counts
    });
    let id = |position: &Position| {
        reference
            .taken
            .iter()
            .find(|(at, ..)| at == position)
            .map(|(_, event, _)| event.message_id.clone())
            .unwrap_or_default()
    };
    let arrived: Vec<(Position, usize, usize)> = reference
        .taken
        .iter()
        .filter(|(position, event, _)| {
            // What was refused or skipped and then, the answer being lost in a crash, sent again, held nobody up.
            let judged = reached.refused.contains(&event.message_id) || reached.skipped.contains(&event.message_id);
            !judged && !given_up.contains(position) && unique[event.message_id.as_str()] == 1
        })
        .filter_map(|(position, event, person)| Some((*position, (*person)?, *first.get(event.message_id.as_str())?)))
        .filter(|(_, person, _)| !aside.contains(&in_the_end(*person)))
        .collect();
    let mut pairs = 0;
    for (index, (later, whose, when)) in arrived.iter().enumerate() {
        for (earlier, other, before) in &arrived[..index] {
            let one_person = reference.by_then(*other, *later) == *whose;
            pairs += u64::from(one_person);
            hold!(
                !one_person || before < when,
                "at destination {which} the event at {later} arrived before the one at {earlier} of the same person:\n{later}: {:#?}\n{earlier}: {:#?}\nmerges {:?}",
                reached.told.get(&id(later)),
                reached.told.get(&id(earlier)),
                reference.merges
            );
        }
    }
    Ok(pairs)
}

//! One step of the processor, pure: entries of the log and what is known become decisions and what is to be written.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use rialto_log::Entry;
use rialto_model::decision::{Decision, TimelineEntry};
use rialto_model::event::{Event, EventType};
use rialto_model::profile::Provenance;
use rialto_model::{Position, ProfileId, TenantId, Timestamp};
use rialto_store::{OutboxEvent, StepWrite, Wanted};

use crate::config::Config;
use crate::derive::ENGINE_SOURCE;
use crate::facts::{Facts, facts};
use crate::fold::fold;
use crate::notice::notices;
use crate::people::People;
use crate::plan::plan;
use crate::resolve::{Occasion, resolve};

/// How long a message id is remembered.
pub(crate) const DEDUPE: Duration = Duration::from_secs(24 * 3600);
/// The longest name in the timeline, in characters.
const MAX_NAME: usize = 200;

/// An entry of the log, read.
pub(crate) struct Incoming {
    pub(crate) position: Position,
    pub(crate) body: Bytes,
    /// The event and what it says of a person; or why it cannot be processed.
    pub(crate) read: Result<(Event, Facts), Refused>,
}

/// An event that cannot be processed.
pub(crate) struct Refused {
    /// Why.
    pub(crate) reason: String,
    /// The event, if its timeline row may name it.
    pub(crate) event: Option<Box<Event>>,
    /// When it was appended.
    pub(crate) at: Timestamp,
}

/// What came of a step.
pub(crate) struct Decided {
    pub(crate) write: StepWrite,
    /// The events as they lie in the log, one a row of the timeline.
    pub(crate) bodies: Vec<Bytes>,
    pub(crate) duplicates: u64,
    pub(crate) refused: u64,
}

/// Reads an entry by a tenant's rules. `refuse` says why it is not to be processed, if so.
pub(crate) fn read(entry: Entry, config: &Config, refuse: Option<(String, bool)>) -> Incoming {
    let Entry { position, appended_at, body } = entry;
    let parsed = serde_json::from_slice::<Event>(&body);
    let read = match (parsed, refuse) {
        (Ok(event), None) => {
            let facts = facts(&event, &config.tenant.identity);
            Ok((event, facts))
        }
        (parsed, Some((reason, bare))) => {
            let event = parsed.ok().filter(|_| !bare).map(Box::new);
            Err(Refused { reason, event, at: appended_at })
        }
        (Err(fault), None) => {
            Err(Refused { reason: format!("the entry is no event: {fault}"), event: None, at: appended_at })
        }
    };
    Incoming { position, body, read }
}

/// What has to be known to decide on these.
pub(crate) fn wanted(incoming: &[Incoming], people: &People) -> Wanted {
    let mut wanted = Wanted { dedupe_since: Timestamp(i64::MAX), ..Wanted::default() };
    for (event, facts) in incoming.iter().filter_map(|incoming| incoming.read.as_ref().ok()) {
        wanted.message_ids.push(event.message_id.clone());
        wanted.dedupe_since = wanted.dedupe_since.min(event.received_at.before(DEDUPE));
        let previous = facts.previous.iter().flat_map(|previous| [&previous.anonymous, &previous.user]);
        let unknown = facts.identifiers.iter().chain(previous).filter(|identifier| people.owner(identifier).is_none());
        wanted.identifiers.extend(unknown.cloned());
        wanted.profile_ids.extend(facts.profile.filter(|id| people.get(*id).is_none()));
    }
    wanted.message_ids.sort_unstable();
    wanted.message_ids.dedup();
    wanted.identifiers.sort_unstable();
    wanted.identifiers.dedup();
    wanted
}

/// Decides on entries in their order.
pub(crate) struct Step<'s> {
    pub(crate) tenant: TenantId,
    pub(crate) config: &'s Config,
    pub(crate) people: &'s mut People,
    /// Events of which the store has an earlier one, by position, with where that stands.
    pub(crate) repeats: HashMap<Position, Position>,
    /// Ids that lead to others, as far as they were asked for.
    pub(crate) aliases: HashMap<ProfileId, ProfileId>,
    pub(crate) now: Timestamp,
}

impl Step<'_> {
    /// Decides. What it does to persons is in `people.changes` and in the result, to be written together.
    pub(crate) fn decide(mut self, from: Position, incoming: Vec<Incoming>) -> Decided {
        let to = incoming.last().map_or(from, |last| last.position);
        let mut decided = Decided {
            write: StepWrite { from, to, now: self.now, ..StepWrite::default() },
            bodies: Vec::with_capacity(incoming.len()),
            duplicates: 0,
            refused: 0,
        };
        let (mut fresh, mut said) = (HashMap::new(), BTreeMap::new());
        for one in incoming {
            let row = match one.read {
                Err(refused) => {
                    decided.refused += 1;
                    refused_row(one.position, refused)
                }
                Ok((event, facts)) => {
                    self.one(one.position, event, facts, &mut decided.duplicates, &mut fresh, &mut said)
                }
            };
            decided.write.timeline.push(row);
            decided.bodies.push(one.body);
        }
        decided.write.outbox =
            said.into_values().filter(|notice: &OutboxEvent| self.people.says(&notice.message_id)).collect();
        self.finish(&mut decided.write);
        decided
    }

    fn one(
        &mut self,
        position: Position,
        event: Event,
        mut facts: Facts,
        duplicates: &mut u64,
        fresh: &mut HashMap<String, (Position, Timestamp)>,
        said: &mut BTreeMap<(Position, usize), OutboxEvent>,
    ) -> TimelineEntry {
        let within = |(_, at): &&(Position, Timestamp)| event.received_at.before(DEDUPE) <= *at;
        let here = fresh.get(&event.message_id).filter(within).map(|(position, _)| *position);
        if let Some(first) = self.repeats.get(&position).copied().or(here) {
            *duplicates += 1;
            let decision = Decision { duplicate_of: Some(first), ..Decision::default() };
            return row(position, event, None, decision);
        }
        fresh.insert(event.message_id.clone(), (position, event.received_at));
        facts.profile = facts.profile.map(|id| self.aliases.get(&id).copied().unwrap_or(id));
        let tenant = self.tenant;
        let occasion = Occasion { tenant, position, message_id: &event.message_id, received_at: event.received_at };
        let merged_before = self.people.changes.merges.len();
        let (profile, resolution) = resolve(self.people, &mut facts, &self.config.tenant.identity, &occasion);
        let merges = &self.people.changes.merges[merged_before..];
        for (ordinal, notice) in notices(&occasion, profile, &resolution, merges).into_iter().enumerate() {
            said.insert((position, ordinal), notice);
        }
        let mut decision = Decision { resolution: Some(resolution), ..Decision::default() };
        if let Some(id) = profile.filter(|_| event.source_id != ENGINE_SOURCE) {
            self.fold(id, &event, facts, &mut decision);
        }
        decision.routes = plan(self.config, &event, profile.and_then(|id| self.people.get(id)));
        row(position, event, profile, decision)
    }

    /// Puts the event on its person. An event cannot have happened after it was received, so a clock that is ahead
    /// does not pin a trait for years.
    fn fold(&mut self, id: ProfileId, event: &Event, facts: Facts, decision: &mut Decision) {
        let Some(profile) = self.people.touch(id) else { return };
        let at = event.timestamp.min(event.received_at);
        let provenance = Provenance { source_id: event.source_id, message_id: event.message_id.clone(), at };
        let left = fold(profile, facts.traits, &provenance);
        profile.events += 1;
        profile.updated_at = event.received_at;
        profile.last_seen_at = if profile.events == 1 { at } else { profile.last_seen_at.max(at) };
        decision.stale_traits = left.stale;
        decision.dropped_traits = left.dropped;
    }

    fn finish(self, write: &mut StepWrite) {
        let changes = &self.people.changes;
        write.absorbed = changes.absorbed.iter().map(|(gone, survivor)| (*gone, *survivor)).collect();
        write.profiles = changes.touched.iter().filter_map(|id| self.people.get(*id).cloned()).collect();
        write.claims =
            changes.claims.iter().map(|(identifier, (id, since))| (identifier.clone(), *id, *since)).collect();
        write.merges.clone_from(&changes.merges);
    }
}

fn row(position: Position, event: Event, profile_id: Option<ProfileId>, decision: Decision) -> TimelineEntry {
    let name = event.label().chars().take(MAX_NAME).collect();
    TimelineEntry {
        position,
        name,
        message_id: event.message_id,
        kind: event.kind,
        source_id: event.source_id,
        profile_id,
        timestamp: event.timestamp,
        received_at: event.received_at,
        decision,
    }
}

fn refused_row(position: Position, refused: Refused) -> TimelineEntry {
    let decision = Decision { refused: Some(refused.reason), ..Decision::default() };
    match refused.event {
        Some(event) => row(position, *event, None, decision),
        None => TimelineEntry {
            position,
            message_id: format!("position:{position}"),
            kind: EventType::Track,
            name: "unreadable".to_owned(),
            source_id: ENGINE_SOURCE,
            profile_id: None,
            timestamp: refused.at,
            received_at: refused.at,
            decision,
        },
    }
}

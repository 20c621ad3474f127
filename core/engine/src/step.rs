//! One step of the processor, pure: entries of the log and what is known become decisions and what is to be written.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use rialto_log::Entry;
use rialto_model::decision::{Decision, TimelineEntry};
use rialto_model::event::{Event, EventType};
use rialto_model::profile::Provenance;
use rialto_model::suppression::Suppressed;
use rialto_model::{Position, ProfileId, TenantId, Timestamp};
use rialto_store::{OutboxEvent, Sighting, StepWrite, Wanted};

use crate::config::Config;
use crate::derive::ENGINE_SOURCE;
use crate::facts::{Facts, facts};
use crate::fold::{Size, fold};
use crate::merge::{image_bytes, left_out};
use crate::notice::notices;
use crate::people::People;
use crate::plan::plan;
use crate::resolve::{Occasion, resolve, whose};
use crate::suppress::{Suppressions, by_event, by_person, suppressible};

/// How long a message id is remembered.
pub(crate) const DEDUPE: Duration = Duration::from_secs(24 * 3600);
/// So many bytes of journal end a step: it holds each merged profile as it was, and all of it is written at once.
const MAX_IMAGES: usize = 16 << 20;
/// So many bytes of persons whose documents changed end a step too: they may have been in memory before it.
const MAX_TOUCHED: usize = 64 << 20;
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
    pub(crate) suppressed: u64,
    /// The message ids that were new, with where and when.
    pub(crate) fresh: Fresh,
}

/// Message ids with the position and the moment of the event that brought them.
pub(crate) type Fresh = HashMap<String, (Position, Timestamp)>;

/// What a step gathers on its way.
#[derive(Default)]
struct Course {
    said: Said,
    /// How large the traits are of those whose traits it changed.
    sizes: HashMap<ProfileId, Size>,
    /// Bytes of the journal of its merges.
    images: usize,
}

/// What the hub has to say of a step's events, in their order and each once: what was said lately is remembered only
/// up to a bound, and the outbox cannot hold one id twice.
#[derive(Default)]
struct Said {
    notices: Vec<OutboxEvent>,
    ids: HashSet<String>,
}

impl Said {
    fn add(&mut self, notice: OutboxEvent) {
        if self.ids.insert(notice.message_id.clone()) {
            self.notices.push(notice);
        }
    }
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
pub(crate) fn wanted(incoming: &[Incoming], people: &People, config: &Config) -> Wanted {
    let mut wanted = Wanted { dedupe_since: Timestamp(i64::MAX), ..strangers(incoming, people) };
    wanted.suppressible = config.suppresses.then(|| suppressible(incoming, people));
    for (event, _) in incoming.iter().filter_map(|incoming| incoming.read.as_ref().ok()) {
        wanted.message_ids.push(event.message_id.clone());
        wanted.dedupe_since = wanted.dedupe_since.min(event.received_at.before(DEDUPE));
    }
    wanted.message_ids.sort_unstable();
    wanted.message_ids.dedup();
    wanted
}

/// Whoever of these is not in memory.
pub(crate) fn strangers(incoming: &[Incoming], people: &People) -> Wanted {
    let mut wanted = Wanted::default();
    for (_, facts) in incoming.iter().filter_map(|incoming| incoming.read.as_ref().ok()) {
        let previous = facts.previous.iter().flat_map(|previous| [&previous.anonymous, &previous.user]);
        let unknown = facts.identifiers.iter().chain(previous).filter(|identifier| people.owner(identifier).is_none());
        wanted.identifiers.extend(unknown.cloned());
        wanted.profile_ids.extend(facts.profile.filter(|id| people.get(*id).is_none()));
    }
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
    /// What the step before found new, if the store was asked before that was written.
    pub(crate) before: Fresh,
    /// Ids that lead to others, as far as they were asked for.
    pub(crate) aliases: HashMap<ProfileId, ProfileId>,
    /// Who is suppressed, of all whom it may meet.
    pub(crate) suppressions: Suppressions,
    pub(crate) now: Timestamp,
}

impl Step<'_> {
    /// Decides, on all of them unless their merges, or the persons that they change, grow too large. What it does to persons is in `people.changes` and
    /// in the result, to be written together.
    pub(crate) fn decide(mut self, from: Position, incoming: Vec<Incoming>) -> Decided {
        let mut decided = Decided {
            write: StepWrite { from, to: from, now: self.now, ..StepWrite::default() },
            bodies: Vec::with_capacity(incoming.len()),
            duplicates: 0,
            refused: 0,
            suppressed: 0,
            fresh: Fresh::new(),
        };
        let (mut fresh, mut course) = (Fresh::with_capacity(incoming.len()), Course::default());
        for one in incoming {
            if course.images >= MAX_IMAGES || self.people.changes.bytes >= MAX_TOUCHED {
                break;
            }
            decided.write.to = one.position;
            let row = match one.read {
                Err(refused) => {
                    decided.refused += 1;
                    refused_row(one.position, refused)
                }
                Ok((event, facts)) => {
                    self.one(one.position, event, facts, &mut decided.duplicates, &mut fresh, &mut course)
                }
            };
            let goes_nowhere = row.decision.suppressed.is_some();
            if goes_nowhere {
                decided.suppressed += 1;
                decided.write.withdrawn.push(one.position);
            }
            decided.write.timeline.push(row);
            // The lanes' memory holds nothing of it either.
            decided.bodies.push(if goes_nowhere { Bytes::new() } else { one.body });
        }
        decided.write.outbox =
            course.said.notices.into_iter().filter(|notice| self.people.says(&notice.message_id)).collect();
        self.finish(&mut decided.write);
        decided.fresh = fresh;
        decided
    }

    fn one(
        &mut self,
        position: Position,
        event: Event,
        mut facts: Facts,
        duplicates: &mut u64,
        fresh: &mut Fresh,
        course: &mut Course,
    ) -> TimelineEntry {
        let within = |(_, at): &&(Position, Timestamp)| event.received_at.before(DEDUPE) <= *at;
        let earlier = self.before.get(&event.message_id).filter(within);
        let here = earlier.or_else(|| fresh.get(&event.message_id).filter(within)).map(|(position, _)| *position);
        let duplicate_of = self.repeats.get(&position).copied().or(here);
        facts.profile = facts.profile.map(|id| self.aliases.get(&id).copied().unwrap_or(id));
        // A repeat brings its payload along once more.
        let suppressed = self.suppressed(&facts, event.received_at);
        if duplicate_of.is_some() {
            *duplicates += 1;
            return row(position, event, None, Decision { duplicate_of, suppressed, ..Decision::default() });
        }
        fresh.insert(event.message_id.clone(), (position, event.received_at));
        if suppressed.is_some() {
            return row(position, event, None, Decision { suppressed, ..Decision::default() });
        }
        let tenant = self.tenant;
        let occasion = Occasion { tenant, position, message_id: &event.message_id, received_at: event.received_at };
        let merged_before = self.people.changes.merges.len();
        let (profile, resolution) = resolve(self.people, &mut facts, &self.config.tenant.identity, &occasion);
        let merges = &self.people.changes.merges[merged_before..];
        notices(&occasion, profile, &resolution, merges).into_iter().for_each(|notice| course.said.add(notice));
        let mut decision = Decision { resolution: Some(resolution), ..Decision::default() };
        if let Some(survivor) = profile.and_then(|id| self.people.get(id)).filter(|_| !merges.is_empty()) {
            decision.dropped_traits = left_out(merges, survivor, MAX_NAME);
            course.images += merges.iter().map(image_bytes).sum::<usize>();
            course.sizes.remove(&survivor.id);
        }
        if let Some(id) = profile.filter(|_| event.source_id != ENGINE_SOURCE) {
            self.fold(id, &event, facts, &mut decision, course);
        }
        decision.routes = plan(self.config, &event, profile.and_then(|id| self.people.get(id)));
        row(position, event, profile, decision)
    }

    /// Whether the event is of someone who is suppressed.
    fn suppressed(&self, facts: &Facts, at: Timestamp) -> Option<Suppressed> {
        if self.suppressions.is_empty() {
            return None;
        }
        let by_event = by_event(&self.suppressions, facts);
        by_event.or_else(|| {
            let persons = whose(self.people, facts, &self.config.tenant.identity, at);
            by_person(&self.suppressions, self.people, &persons)
        })
    }

    /// Puts the event on its person. An event cannot have happened after it was received, so a clock that is ahead
    /// does not pin a trait for years.
    fn fold(&mut self, id: ProfileId, event: &Event, facts: Facts, decision: &mut Decision, course: &mut Course) {
        let at = event.timestamp.min(event.received_at);
        self.people.saw(id, at, event.received_at);
        if facts.traits.is_empty() {
            return;
        }
        if let Some(profile) = self.people.touch(id) {
            let provenance = Provenance { source_id: event.source_id, message_id: event.message_id.clone(), at };
            let size = course.sizes.entry(id).or_insert_with(|| Size::of(profile));
            let left = fold(profile, size, facts.traits, &provenance);
            decision.stale_traits = left.stale;
            decision.dropped_traits.extend(left.dropped);
        }
    }

    fn finish(self, write: &mut StepWrite) {
        let changes = &mut self.people.changes;
        write.merges = std::mem::take(&mut changes.merges);
        let changes = &self.people.changes;
        write.absorbed = changes.absorbed.iter().map(|(gone, survivor)| (*gone, *survivor)).collect();
        write.profiles = changes.touched.iter().filter_map(|id| self.people.get(*id).cloned()).collect();
        let only_seen = changes.seen.difference(&changes.touched);
        write.seen = only_seen.filter_map(|id| self.people.get(*id).map(Sighting::of)).collect();
        write.claims =
            changes.claims.iter().map(|(identifier, (id, since))| (identifier.clone(), *id, *since)).collect();
    }
}

fn row(position: Position, event: Event, profile_id: Option<ProfileId>, decision: Decision) -> TimelineEntry {
    // A page's name may say who looks at it.
    let label = if decision.suppressed.is_some() { event.kind.as_str() } else { event.label() };
    let name = label.chars().take(MAX_NAME).collect();
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

#[cfg(test)]
mod tests;

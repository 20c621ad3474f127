//! What the processor has just committed, kept for the lanes of its tenant that keep up, so that they read neither
//! the database nor the log. Bounded a tenant and over all tenants; who lags behind it reads for itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rialto_model::decision::{RouteDecision, RouteVerdict, TimelineEntry};
use rialto_model::{Position, ProfileId};

/// The most bytes of events that one tenant's feed keeps.
const TENANT_BYTES: usize = 24 << 20;
/// The most events that one tenant's feed keeps.
const TENANT_EVENTS: usize = 12_000;
/// What an entry costs beside its body, roughly,
const ENTRY_COST: usize = 600;
/// and what each route does that was decided on.
const ROUTE_COST: usize = 96;

/// A processed event, ready for the lanes.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What was decided.
    pub entry: Arc<TimelineEntry>,
    /// The event as it lies in the log.
    pub body: Bytes,
}

impl Ready {
    /// About how many bytes it takes.
    fn cost(&self) -> usize {
        let text = |route: &RouteDecision| match &route.verdict {
            RouteVerdict::ConditionFalse(why) => why.len(),
            _ => 0,
        };
        let action = |route: &RouteDecision| route.action.as_ref().map_or(0, String::len);
        let routes = self.entry.decision.routes.iter().map(|route| ROUTE_COST + action(route) + text(route));
        self.body.len() + ENTRY_COST + routes.sum::<usize>()
    }
}

/// What a feed has for a lane.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) events: Vec<Ready>,
    /// Who of its persons, and of those asked for, is another by now.
    pub(super) canonical: HashMap<ProfileId, ProfileId>,
}

/// The bytes that all feeds together may keep.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most })
    }

    fn take(&self, bytes: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used + bytes <= self.most).then_some(used + bytes)
            })
            .is_ok()
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One tenant's feed: contiguous positions, the newest last.
#[derive(Debug)]
pub(super) struct Feed {
    budget: Arc<Budget>,
    inner: Mutex<Inner>,
    /// Held for writing from before a merge is committed until the feed knows of it. Who reads from the database
    /// whom a lane holds back holds it for reading, so as not to know of merges that the feed does not know yet.
    pub(super) merges: Arc<tokio::sync::RwLock<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Ready>,
    bytes: usize,
    /// Up to where the processor has come; 0 while unknown.
    head: Position,
    /// Merges since the first kept event, so that one person is one person in the window.
    merged: HashMap<ProfileId, ProfileId>,
    /// Up to where each of them may still be needed, oldest first.
    until: VecDeque<(Position, ProfileId)>,
}

impl Inner {
    fn after(&self, after: Position, limit: usize, max_bytes: usize) -> Option<Vec<Ready>> {
        // Before it was told of anything the feed knows nothing, not even that there is nothing.
        if self.head == after && self.head > 0 {
            return Some(Vec::new());
        }
        // Behind an erased entry the feed cannot tell whether it reaches back far enough.
        self.events.front().filter(|first| first.entry.position <= after + 1)?;
        let skip = self.events.partition_point(|ready| ready.entry.position <= after);
        let mut bytes = 0;
        let taken = self.events.iter().skip(skip).take(limit).take_while(|ready| {
            let fits = bytes < max_bytes;
            bytes += ready.body.len();
            fits
        });
        Some(taken.cloned().collect())
    }

    fn canonical(&self, events: &[Ready], held: &HashSet<ProfileId>) -> HashMap<ProfileId, ProfileId> {
        if self.merged.is_empty() {
            return HashMap::new();
        }
        let persons = events.iter().filter_map(|ready| ready.entry.profile_id).chain(held.iter().copied());
        persons.filter_map(|id| self.merged.get(&id).map(|now| (id, *now))).collect()
    }
}

impl Feed {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, inner: Mutex::default(), merges: Arc::default() }
    }

    /// Takes in what one step committed, up to `head`.
    pub(super) fn push(&self, step: Vec<Ready>, head: Position, absorbed: &[(ProfileId, ProfileId)]) {
        let mut inner = self.inner.lock();
        let contiguous = step
            .first()
            .is_none_or(|first| inner.events.back().is_none_or(|last| last.entry.position + 1 == first.entry.position));
        if !contiguous {
            self.clear(&mut inner);
        }
        inner.head = inner.head.max(head);
        for (gone, survivor) in absorbed {
            inner.merged.values_mut().filter(|now| *now == gone).for_each(|now| *now = *survivor);
            inner.merged.insert(*gone, *survivor);
            inner.until.push_back((head, *gone));
        }
        for ready in step {
            let cost = ready.cost();
            if !self.budget.take(cost) {
                self.clear(&mut inner);
                return;
            }
            inner.bytes += cost;
            inner.events.push_back(ready);
        }
        while inner.bytes > TENANT_BYTES || inner.events.len() > TENANT_EVENTS {
            self.pop(&mut inner);
        }
    }

    /// A step was committed up to `head` that no lane is going to read here.
    pub(super) fn pass(&self, head: Position) {
        let mut inner = self.inner.lock();
        self.clear(&mut inner);
        inner.head = inner.head.max(head);
    }

    /// Forgets everything, even how far the processor has come.
    pub(super) fn reset(&self) {
        let mut inner = self.inner.lock();
        self.clear(&mut inner);
        inner.head = 0;
    }

    /// Lets go of everything up to `position`: all lanes have it behind them.
    pub(super) fn forget(&self, position: Position) {
        let mut inner = self.inner.lock();
        while inner.events.front().is_some_and(|first| first.entry.position <= position) {
            self.pop(&mut inner);
        }
    }

    /// The events after `after`, at most `limit` and about `max_bytes`, and who of their persons and of `held` is
    /// another by now, both as of one moment: with the last event before a merge the feed forgets the merge. `None` if
    /// the feed does not reach back so far and the caller has to read for itself.
    pub(super) fn read(
        &self,
        after: Position,
        limit: usize,
        max_bytes: usize,
        held: &HashSet<ProfileId>,
    ) -> Option<Stretch> {
        let inner = self.inner.lock();
        let events = inner.after(after, limit, max_bytes)?;
        Some(Stretch { canonical: inner.canonical(&events, held), events })
    }

    fn pop(&self, inner: &mut Inner) {
        if let Some(gone) = inner.events.pop_front() {
            let cost = gone.cost();
            inner.bytes -= cost;
            self.budget.give(cost);
        }
        if inner.events.is_empty() {
            inner.events = VecDeque::new();
            inner.merged = HashMap::new();
            inner.until = VecDeque::new();
        }
        // What was decided after a merge names the survivor.
        let first = inner.events.front().map_or(0, |first| first.entry.position);
        while let Some((_, gone)) = inner.until.pop_front_if(|(until, _)| *until < first) {
            inner.merged.remove(&gone);
        }
    }

    fn clear(&self, inner: &mut Inner) {
        self.budget.give(inner.bytes);
        let head = inner.head;
        *inner = Inner { head, ..Inner::default() };
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.budget.give(self.inner.get_mut().bytes);
    }
}

#[cfg(test)]
mod tests {
    use rialto_model::decision::Decision;
    use rialto_model::event::EventType;
    use rialto_model::{SourceId, Timestamp};

    use super::*;

    fn ready(position: Position) -> Ready {
        let entry = TimelineEntry {
            position,
            message_id: format!("m{position}"),
            kind: EventType::Track,
            name: String::new(),
            source_id: SourceId::from_parts(1, &[1; 10]),
            profile_id: Some(person(position)),
            timestamp: Timestamp(0),
            received_at: Timestamp(0),
            decision: Decision::default(),
        };
        Ready { entry: Arc::new(entry), body: Bytes::from_static(b"{}") }
    }

    fn person(n: u64) -> ProfileId {
        ProfileId::from_parts(n, &[1; 10])
    }

    #[test]
    fn merges_are_remembered_no_longer_than_the_events_before_them() {
        let feed = Feed::new(Budget::new(1 << 30));
        for n in 1..=3 * TENANT_EVENTS as u64 {
            feed.push(vec![ready(n)], n, &[(person(n), person(0))]);
        }
        let known = feed.inner.lock().merged.len();
        assert_eq!(known, TENANT_EVENTS, "one for each event that is kept");
        let last = 3 * TENANT_EVENTS as u64;
        feed.forget(last - 2);
        let stretch = feed.read(last - 2, 10, 100, &[person(last - 2)].into()).expect("is kept");
        assert_eq!((stretch.events.len(), stretch.canonical.len()), (2, 2));
        assert_eq!(feed.inner.lock().until.len(), 2);
    }

    #[test]
    fn whom_an_event_names_is_told_as_of_the_moment_when_it_was_read() {
        let feed = Feed::new(Budget::new(1 << 30));
        let first = TENANT_EVENTS as u64;
        (1..=first).for_each(|n| feed.push(vec![ready(n)], n, &[(person(n), person(0))]));
        std::thread::scope(|threads| {
            // Each makes the feed forget an event and its merge.
            let push = |n: u64| feed.push(vec![ready(n)], n, &[]);
            let pushing = threads.spawn(move || (first + 1..2 * first).for_each(push));
            while !pushing.is_finished() {
                let oldest = feed.inner.lock().events.front().map_or(0, |oldest| oldest.entry.position);
                let Some(stretch) = feed.read(oldest.saturating_sub(1), 5, 1 << 20, &HashSet::new()) else { continue };
                let forgotten = stretch
                    .events
                    .iter()
                    .map(|ready| ready.entry.position)
                    .find(|position| *position <= first && !stretch.canonical.contains_key(&person(*position)));
                assert_eq!(forgotten, None, "its person is another by now");
            }
        });
    }

    #[test]
    fn an_event_costs_what_was_decided_on_it() {
        let mut entry = TimelineEntry::clone(&ready(1).entry);
        let route = RouteDecision {
            route_id: rialto_model::RouteId::from_parts(1, &[1; 10]),
            destination_id: rialto_model::DestinationId::from_parts(1, &[1; 10]),
            action: None,
            verdict: RouteVerdict::ConditionFalse("x".repeat(104)),
        };
        entry.decision.routes = vec![route; 100];
        let budget = Budget::new(20_000);
        let feed = Feed::new(Arc::clone(&budget));
        feed.push(vec![Ready { entry: Arc::new(entry), body: Bytes::from_static(b"{}") }], 1, &[]);
        assert!(feed.inner.lock().events.is_empty(), "100 routes of 200 bytes are too much");
        feed.push(vec![ready(2)], 2, &[]);
        assert_eq!(budget.used.load(Ordering::Relaxed), 602);
        feed.forget(2);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0, "what was taken is given back");
    }
}

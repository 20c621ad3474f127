//! What ought to come out, by the plainest means: one event after the other over plain lists, no batches, no cache,
//! no database. Written apart from the engine, from the rules alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rialto_model::event::{Event, EventType};
use rialto_model::{Position, Timestamp};
use serde_json::Value;

/// A profile as it ought to be.
#[derive(Debug, Default, Clone)]
pub(crate) struct Person {
    pub(crate) identifiers: BTreeSet<(String, String)>,
    /// The last word on each trait and when it was said; `None` is a deletion.
    pub(crate) traits: BTreeMap<String, (Timestamp, Option<Value>)>,
    pub(crate) events: u64,
    pub(crate) merges: u32,
    born: usize,
}

#[derive(Default)]
pub(crate) struct Reference {
    /// Those who live; in the order in which they were born.
    pub(crate) persons: Vec<Person>,
    /// Events that were not dropped: where each stands, whose it is by birth, and who had become whom by then.
    pub(crate) taken: Vec<(Position, Event, Option<usize>)>,
    /// Merges: at which position who (by birth) became whom.
    pub(crate) merges: Vec<(Position, usize, usize)>,
    pub(crate) duplicates: u64,
    seen: HashMap<String, Timestamp>,
    births: usize,
}

const DAY: i64 = 24 * 3_600_000_000;
const PRIORITY: [&str; 3] = ["user_id", "email", "anonymous_id"];

impl Reference {
    pub(crate) fn take(&mut self, position: Position, event: Event) {
        if let Some(before) = self.seen.get(&event.message_id)
            && event.received_at.0 - before.0 <= DAY
        {
            self.duplicates += 1;
            return;
        }
        self.seen.insert(event.message_id.clone(), event.received_at);
        let said = traits(&event);
        let mut identifiers = identifiers(&event, &said, self);
        let person = loop {
            if identifiers.is_empty() {
                break None;
            }
            match self.matching(&identifiers) {
                Some(indices) => break Some(self.settle(position, &indices, &identifiers)),
                None => drop(identifiers.pop()),
            }
        };
        if let Some(index) = person {
            let person = &mut self.persons[index];
            person.events += 1;
            for (name, value) in said {
                let last = person.traits.get(&name).map(|(at, _)| *at);
                if last.is_none_or(|last| last <= event.timestamp) {
                    person.traits.insert(name, (event.timestamp, value));
                }
            }
        }
        let person = person.map(|index| self.persons[index].born);
        self.taken.push((position, event, person));
    }

    /// Whose these are, unless they cannot be one person's.
    fn matching(&self, identifiers: &[(String, String)]) -> Option<Vec<usize>> {
        let holds = |person: &Person| identifiers.iter().any(|one| person.identifiers.contains(one));
        let indices: Vec<usize> = (0..self.persons.len()).filter(|index| holds(&self.persons[*index])).collect();
        let mut all: BTreeSet<&(String, String)> = identifiers.iter().collect();
        all.extend(indices.iter().flat_map(|index| &self.persons[*index].identifiers));
        let count = |kind: &str| all.iter().filter(|(its, _)| its == kind).count();
        (count("user_id") <= 1 && count("email") <= 5 && count("anonymous_id") <= 5).then_some(indices)
    }

    fn settle(&mut self, position: Position, indices: &[usize], identifiers: &[(String, String)]) -> usize {
        let Some((first, others)) = indices.split_first() else {
            self.births += 1;
            let identifiers = identifiers.iter().cloned().collect();
            self.persons.push(Person { identifiers, born: self.births, ..Person::default() });
            return self.persons.len() - 1;
        };
        for index in others.iter().rev() {
            let other = self.persons.remove(*index);
            let one = &mut self.persons[*first];
            self.merges.push((position, other.born, one.born));
            one.identifiers.extend(other.identifiers);
            one.events += other.events;
            one.merges += other.merges + 1;
            for (name, theirs) in other.traits {
                if one.traits.get(&name).is_none_or(|ours| ours.0 < theirs.0) {
                    one.traits.insert(name, theirs);
                }
            }
        }
        self.persons[*first].identifiers.extend(identifiers.iter().cloned());
        *first
    }

    /// Who `born` was by the time the event at `position` was processed.
    pub(crate) fn by_then(&self, mut born: usize, position: Position) -> usize {
        for (at, gone, survivor) in &self.merges {
            if *at <= position && *gone == born {
                born = *survivor;
            }
        }
        born
    }
}

fn traits(event: &Event) -> BTreeMap<String, Option<Value>> {
    let Some(raw) = event.traits.as_deref().filter(|_| event.kind == EventType::Identify) else {
        return BTreeMap::new();
    };
    let traits: BTreeMap<String, Value> = serde_json::from_str(raw.get()).expect("an object");
    traits.into_iter().map(|(name, value)| (name, Some(value).filter(|value| !value.is_null()))).collect()
}

/// What identifies, strongest first.
fn identifiers(event: &Event, traits: &BTreeMap<String, Option<Value>>, known: &Reference) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |kind: &str, value: Option<&str>| {
        let one = value.filter(|value| *value != "guest").map(|value| (kind.to_owned(), value.to_owned()));
        if let Some(one) = one.filter(|one| !found.contains(one)) {
            found.push(one);
        }
    };
    add("user_id", event.user_id.as_deref());
    add("email", traits.get("email").and_then(|value| value.as_ref()?.as_str()));
    add("anonymous_id", event.anonymous_id.as_deref());
    if let Some(previous) = event.previous_id.as_deref().filter(|_| event.kind == EventType::Alias) {
        let anyone = |kind: &str| {
            let one = (kind.to_owned(), previous.to_owned());
            known.persons.iter().any(|person| person.identifiers.contains(&one))
        };
        let kind = if anyone("user_id") && !anyone("anonymous_id") { "user_id" } else { "anonymous_id" };
        add(kind, Some(previous));
    }
    found.sort_by_key(|(kind, _)| PRIORITY.iter().position(|known| known == kind));
    found
}

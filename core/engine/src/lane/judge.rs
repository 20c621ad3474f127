//! What an outcome means for an event: done, parked, or given up. Pure.

use std::collections::HashSet;
use std::time::Duration;

use rialto_model::delivery::{Attempt, DeadLetter, MAX_ATTEMPTS_KEPT, Outcome, Parked, Verdict};
use rialto_model::{DestinationId, Position, ProfileId, Timestamp};

use super::schedule::next_attempt;
use crate::connector::HELD;
use crate::derive::dead_letter_id;

/// After so many faults of the connector on the same event alone, the event is given up.
pub(super) const MAX_FAULTS: u32 = 3;

/// The code of outcomes that the engine makes when the connector failed on one event alone.
pub(super) const FAULT_CODES: &str = "plugin_";

/// An event on its way to a destination, new or parked.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) position: Position,
    pub(super) message_id: String,
    pub(super) action: String,
    pub(super) profile_id: ProfileId,
    pub(super) delivery_id: String,
    pub(super) attempts: u32,
    pub(super) parked_at: Option<Timestamp>,
    pub(super) history: Vec<Attempt>,
}

/// What is to be written for the events of a window.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) delivered: Vec<Waiting>,
    /// With what the connector said of it.
    pub(super) skipped: Vec<(Waiting, Outcome)>,
    pub(super) parked: Vec<Parked>,
    pub(super) dead: Vec<DeadLetter>,
    /// Persons of whom something is parked now.
    pub(super) held: HashSet<ProfileId>,
    /// Whether faults of the connector are not held against single events: it fails on all of them.
    pub(super) patient: bool,
}

impl Judged {
    /// Whether nothing is to be written but how far the lane has come.
    pub(super) fn all_went_through(&self) -> bool {
        self.skipped.is_empty() && self.parked.is_empty() && self.dead.is_empty()
    }

    /// Judges one event. Events of one person must come in order.
    pub(super) fn add(&mut self, destination: DestinationId, now: Timestamp, waiting: Waiting, outcome: Outcome) {
        match outcome.verdict {
            Verdict::Delivered => self.delivered.push(waiting),
            Verdict::Skipped => self.skipped.push((waiting, outcome)),
            Verdict::Rejected => self.give_up(destination, now, waiting, outcome),
            Verdict::Retry if outcome.code == HELD => self.hold(destination, now, waiting),
            Verdict::Retry | Verdict::Unauthorized => self.retry(destination, now, waiting, outcome),
        }
    }

    /// Parks an event that was not tried: behind an earlier one of its person, or due at once.
    pub(super) fn hold(&mut self, destination: DestinationId, now: Timestamp, waiting: Waiting) {
        let due = (!self.held.contains(&waiting.profile_id)).then_some(now);
        self.held.insert(waiting.profile_id);
        self.parked.push(waiting.park(destination, now, due));
    }

    /// Parks an event behind one that was parked in an earlier window.
    pub(super) fn hold_behind(&mut self, destination: DestinationId, now: Timestamp, waiting: Waiting) {
        self.held.insert(waiting.profile_id);
        self.parked.push(waiting.park(destination, now, None));
    }

    fn retry(&mut self, destination: DestinationId, now: Timestamp, mut waiting: Waiting, outcome: Outcome) {
        let faulty = outcome.code.starts_with(FAULT_CODES);
        let retry_after = outcome.retry_after_ms.map(Duration::from_millis);
        waiting.attempts += 1;
        let first = waiting.parked_at.unwrap_or(now);
        let due = next_attempt(now, first, &waiting.spread(), waiting.attempts, retry_after);
        waiting.remember(now, outcome);
        match due {
            _ if faulty && !self.patient && waiting.faults() >= MAX_FAULTS => {
                self.bury(destination, now, waiting, format!("the connector failed on it {MAX_FAULTS} times"));
            }
            None => self.bury(destination, now, waiting, "it could not be delivered within 72 hours".to_owned()),
            Some(due) => {
                let due = (!self.held.contains(&waiting.profile_id)).then_some(due);
                self.held.insert(waiting.profile_id);
                self.parked.push(waiting.park(destination, now, due));
            }
        }
    }

    fn give_up(&mut self, destination: DestinationId, now: Timestamp, mut waiting: Waiting, outcome: Outcome) {
        let reason = format!("the destination will not take it ({}): {}", outcome.code, outcome.message);
        waiting.attempts += 1;
        waiting.remember(now, outcome);
        self.bury(destination, now, waiting, reason);
    }

    /// Gives an event up without an attempt.
    pub(super) fn bury(&mut self, destination: DestinationId, now: Timestamp, waiting: Waiting, reason: String) {
        self.dead.push(DeadLetter {
            id: dead_letter_id(&waiting.delivery_id, now),
            position: waiting.position,
            message_id: waiting.message_id,
            destination_id: destination,
            action: waiting.action,
            profile_id: waiting.profile_id,
            delivery_id: waiting.delivery_id,
            attempts: waiting.attempts,
            died_at: now,
            reason: reason.chars().take(1_000).collect(),
            history: waiting.history,
        });
    }
}

impl Waiting {
    fn remember(&mut self, now: Timestamp, outcome: Outcome) {
        if self.history.len() >= MAX_ATTEMPTS_KEPT {
            self.history.remove(0);
        }
        self.history.push(Attempt { number: self.attempts, at: now, outcome });
    }

    /// What its retries are spread by.
    fn spread(&self) -> String {
        format!("{}:{}", self.position, self.message_id)
    }

    fn faults(&self) -> u32 {
        let faults = self.history.iter().rev().take_while(|attempt| attempt.outcome.code.starts_with(FAULT_CODES));
        u32::try_from(faults.count()).unwrap_or(u32::MAX)
    }

    fn park(self, destination: DestinationId, now: Timestamp, due_at: Option<Timestamp>) -> Parked {
        Parked {
            position: self.position,
            message_id: self.message_id,
            destination_id: destination,
            action: self.action,
            profile_id: self.profile_id,
            delivery_id: self.delivery_id,
            attempts: self.attempts,
            parked_at: self.parked_at.unwrap_or(now),
            due_at,
            history: self.history,
        }
    }
}

impl From<Parked> for Waiting {
    fn from(parked: Parked) -> Self {
        let Parked {
            position,
            message_id,
            destination_id: _,
            action,
            profile_id,
            delivery_id,
            attempts,
            parked_at,
            due_at: _,
            history,
        } = parked;
        Self { position, message_id, action, profile_id, delivery_id, attempts, parked_at: Some(parked_at), history }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn waiting(position: Position, person: u8) -> Waiting {
        Waiting {
            position,
            message_id: format!("m{position}"),
            action: String::new(),
            profile_id: ProfileId::from_parts(1, &[person; 10]),
            delivery_id: format!("d{position}"),
            attempts: 0,
            parked_at: None,
            history: Vec::new(),
        }
    }

    fn outcome(verdict: Verdict, code: &str) -> Outcome {
        Outcome { verdict, code: code.into(), message: String::new(), retry_after_ms: None }
    }

    fn destination() -> DestinationId {
        DestinationId::from_parts(1, &[0; 10])
    }

    #[test]
    fn only_the_first_of_a_person_is_due_and_a_held_one_counts_no_attempt() {
        let mut judged = Judged::default();
        judged.add(destination(), NOW, waiting(1, 1), outcome(Verdict::Retry, "http_503"));
        judged.add(destination(), NOW, waiting(2, 1), outcome(Verdict::Retry, HELD));
        judged.add(destination(), NOW, waiting(3, 2), outcome(Verdict::Delivered, "http_200"));
        assert!(judged.parked[0].due_at.is_some_and(|due| due > NOW));
        assert_eq!((judged.parked[1].due_at, judged.parked[1].attempts), (None, 0));
        assert_eq!(judged.delivered.len(), 1);
    }

    #[test]
    fn behind_a_rejected_event_the_next_is_due_at_once() {
        let mut judged = Judged::default();
        judged.add(destination(), NOW, waiting(1, 1), outcome(Verdict::Rejected, "http_400"));
        judged.add(destination(), NOW, waiting(2, 1), outcome(Verdict::Retry, HELD));
        assert_eq!(judged.dead.len(), 1);
        assert_eq!(judged.parked[0].due_at, Some(NOW));
    }

    #[test]
    fn an_event_that_breaks_the_connector_is_given_up_after_three_faults() {
        let mut current = waiting(1, 1);
        for _ in 1..MAX_FAULTS {
            let mut judged = Judged::default();
            judged.add(destination(), NOW, current, outcome(Verdict::Retry, "plugin_trap"));
            current = judged.parked.remove(0).into();
        }
        let mut judged = Judged::default();
        judged.add(destination(), NOW, current, outcome(Verdict::Retry, "plugin_trap"));
        assert_eq!((judged.parked.len(), judged.dead.len()), (0, 1));
        assert_eq!(judged.dead[0].attempts, MAX_FAULTS);
        let mut current = waiting(1, 1);
        for _ in 0..2 * MAX_FAULTS {
            let mut judged = Judged { patient: true, ..Judged::default() };
            judged.add(destination(), NOW, current, outcome(Verdict::Retry, "plugin_trap"));
            current = judged.parked.remove(0).into();
        }
    }
}

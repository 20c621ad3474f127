//! An event that cannot be stored must not take its batch down: it is found by its id or by halving, and refused
//! alone, with the reason in its timeline row.

use rialto_model::{Position, TenantId};
use rialto_store::StepWrite;

use super::owned::State;

/// A step that failed for one of its events.
pub(super) struct Sick {
    /// The events of the step.
    positions: Vec<Position>,
    /// Those of them that are known to be at fault.
    at_fault: Vec<Position>,
    reason: String,
}

impl Sick {
    pub(super) fn new<'e>(
        events: impl Iterator<Item = (Position, Option<&'e str>)>,
        message_id: Option<String>,
        reason: String,
    ) -> Self {
        let events: Vec<_> = events.collect();
        let named = |event: &&(Position, Option<&str>)| message_id.is_some() && event.1 == message_id.as_deref();
        let at_fault = events.iter().filter(named).map(|event| event.0).collect();
        Self { positions: events.iter().map(|event| event.0).collect(), at_fault, reason }
    }

    pub(super) fn of_rows(write: &StepWrite, message_id: Option<String>, reason: String) -> Self {
        let rows = write.timeline.iter().map(|row| (row.position, Some(row.message_id.as_str())));
        Self::new(rows, message_id, reason)
    }
}

/// Makes the next try smaller, or leaves the event out that is at fault. Every call brings the end nearer: a step of
/// one event refuses it, and if even the row that says so cannot be stored, a bare one takes its place.
pub(super) fn isolate(state: &mut State, sick: Sick, tenant: TenantId) {
    let at_fault = match (sick.at_fault.as_slice(), sick.positions.as_slice()) {
        ([], [only]) => vec![*only],
        ([], several) => {
            state.most = (several.len() / 2).max(1);
            return;
        }
        (named, _) => named.to_vec(),
    };
    for position in at_fault {
        tracing::warn!(%tenant, position, reason = %sick.reason, "an event cannot be stored and is refused");
        let bare = state.refuse.contains_key(&position);
        state.refuse.insert(position, (sick.reason.clone(), bare));
    }
}

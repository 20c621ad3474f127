//! An event that cannot be stored must not take its batch down: it is found by its id or by halving, and refused
//! alone, with the reason in its timeline row.

use rialto_model::{Position, TenantId};
use rialto_store::{StepWrite, StoreError};

use super::owned::State;
use crate::error::EngineError;

/// A step that failed for one of its events.
pub(super) struct Sick {
    /// The events of the step.
    positions: Vec<Position>,
    /// Those of them that are known to be at fault.
    at_fault: Vec<Position>,
    reason: String,
    /// Set where the database refuses a statement of ours: then no event may have to answer for it.
    ours: Option<StoreError>,
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
        Self { positions: events.iter().map(|event| event.0).collect(), at_fault, reason, ours: None }
    }

    pub(super) fn of_rows(write: &StepWrite, message_id: Option<String>, reason: String) -> Self {
        let rows = write.timeline.iter().map(|row| (row.position, Some(row.message_id.as_str())));
        Self::new(rows, message_id, reason)
    }

    pub(super) fn by_our_fault(self, error: StoreError) -> Self {
        Self { ours: Some(error), ..self }
    }
}

/// Makes the next try smaller, or leaves the event out that is at fault. Every call brings the end nearer: a step of
/// one event refuses it, and if even the row that says so cannot be stored, a bare one takes its place.
///
/// # Errors
/// [`StoreError::Poison`] when not even that can be stored: then it is not the event that is at fault.
/// [`StoreError::Refused`] when it is for us to mend: the tenant waits at the event and loses nothing.
pub(super) fn isolate(state: &mut State, sick: Sick, tenant: TenantId) -> Result<(), EngineError> {
    let at_fault = match (sick.at_fault.as_slice(), sick.positions.as_slice()) {
        ([], [only]) => match sick.ours {
            Some(error) => return Err(error.into()),
            None => vec![*only],
        },
        ([], several) => {
            state.most = (several.len() / 2).max(1);
            return Ok(());
        }
        (named, _) => named.to_vec(),
    };
    for position in at_fault {
        let before = state.refuse.get(&position).map(|(_, bare)| *bare);
        if before == Some(true) {
            state.refuse.clear();
            return Err(StoreError::Poison { message_id: None, reason: sick.reason }.into());
        }
        tracing::warn!(%tenant, position, reason = %sick.reason, "an event cannot be stored and is refused");
        state.refuse.insert(position, (sick.reason.clone(), before.is_some()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_even_be_refused_is_not_tried_for_ever() {
        let mut state = State::new();
        let tenant = TenantId::from_parts(1, &[1; 10]);
        let mut fail = |positions: &[Position]| {
            let events = positions.iter().map(|position| (*position, None));
            let done = isolate(&mut state, Sick::new(events, None, "no".to_owned()), tenant);
            (done.is_ok(), state.most, state.refuse.get(&7).map(|(_, bare)| *bare))
        };
        assert_eq!(fail(&[7, 8, 9]), (true, 1, None), "halved");
        assert_eq!(fail(&[7]), (true, 1, Some(false)), "refused");
        assert_eq!(fail(&[7]), (true, 1, Some(true)), "refused by a bare row");
        assert_eq!(fail(&[7]), (false, 1, None), "given up, and nothing is held against the event");
    }

    #[test]
    fn no_event_answers_for_a_statement_of_ours_that_is_refused() {
        let mut state = State::new();
        let mut fail = |positions: &[Position]| {
            let events = positions.iter().map(|position| (*position, None));
            let sick = Sick::new(events, None, "no".to_owned()).by_our_fault(StoreError::Refused("no".into()));
            let done = isolate(&mut state, sick, TenantId::from_parts(1, &[1; 10]));
            (done.is_ok(), state.most, state.refuse.len())
        };
        assert_eq!(fail(&[7, 8, 9]), (true, 1, 0), "those before it go on");
        assert_eq!(fail(&[7]), (false, 1, 0), "and it waits");
    }
}

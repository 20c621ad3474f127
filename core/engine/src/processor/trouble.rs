//! Why a step was not made, and whether a smaller one may be.

use rialto_store::{StepWrite, StoreError};

use super::poison::Sick;
use crate::error::EngineError;
use crate::step::Incoming;

/// Why a step was not made.
pub(super) enum Trouble {
    /// Some event of it cannot be stored.
    Sick(Sick),
    /// The persons of so many events are too many to be held at once. Nothing was done yet.
    Large(usize),
    Engine(EngineError),
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl Trouble {
    /// A step that is at odds with itself, or that the database refuses, may be some event's doing: those before it
    /// go on, and without one that cannot be stored all the others do.
    pub(super) fn of_write(error: StoreError, write: &StepWrite) -> Self {
        match error {
            StoreError::Poison { message_id, reason } => Self::Sick(Sick::of_rows(write, message_id, reason)),
            StoreError::Invalid { .. } => Self::Sick(Sick::of_rows(write, None, error.to_string())),
            StoreError::Refused(_) => Self::Sick(Sick::of_rows(write, None, error.to_string()).by_our_fault(error)),
            other => Self::Engine(other.into()),
        }
    }

    /// Why it cannot be said what is known of these.
    pub(super) fn of_reading(error: StoreError, incoming: &[Incoming]) -> Self {
        match error {
            StoreError::Poison { message_id, reason } => {
                let read = incoming.iter().map(|one| (one.position, one.read.as_ref().ok()));
                let ids = read.map(|(position, read)| (position, read.map(|(event, _)| event.message_id.as_str())));
                Self::Sick(Sick::new(ids, message_id, reason))
            }
            StoreError::TooMany { .. } => Self::Large(incoming.len()),
            other => Self::Engine(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_at_odds_with_itself_is_searched_for_the_event_at_fault() {
        let error = StoreError::Invalid { field: "outbox", message: "two rows have one key".to_owned() };
        assert!(matches!(Trouble::of_write(error, &StepWrite::default()), Trouble::Sick(_)));
        assert!(matches!(Trouble::of_write(StoreError::Fenced, &StepWrite::default()), Trouble::Engine(_)));
    }
}

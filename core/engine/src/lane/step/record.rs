//! Writing down what came of a window or of retries. What a connector said is a stranger's text: where the database
//! cannot hold it the rows are written without it, for a delivery that is not written down is made again.

use rialto_model::delivery::{Attempt, DeadLetter, Outcome, Parked};
use rialto_model::{Position, Timestamp};
use rialto_store::{LaneWrite, Settle, Skip, StoreError};

use super::{Lane, StepError};
use crate::faults::Point;
use crate::lane::judge::{Judged, Waiting};

impl Lane {
    /// Moves the cursor to `to` and writes down what came of the events before it.
    pub(super) async fn commit(&mut self, to: Position, judged: Judged, now: Timestamp) -> Result<(), StepError> {
        self.saved().await?;
        let Some(memory) = &mut self.memory else { return Ok(()) };
        let mut window = LaneWrite {
            destination_id: self.destination,
            from: memory.saved,
            to,
            delivered: memory.unsaved + judged.delivered.len() as u64,
            skipped: judged.skipped.iter().map(skip).collect(),
            parked: judged.parked.clone(),
            dead: judged.dead.clone(),
            now,
        };
        if let Err(error) = self.scope.commit_lane(&window).await {
            strip(&mut window.parked, &mut window.dead, whose(error)?.as_deref());
            if let Err(error) = self.scope.commit_lane(&window).await {
                // It was not the only one.
                whose(error)?;
                strip(&mut window.parked, &mut window.dead, None);
                self.scope.commit_lane(&window).await.map_err(unwritable)?;
            }
        }
        (memory.cursor, memory.saved, memory.saved_at, memory.unsaved) = (to, to, now, 0);
        memory.parked += judged.parked.len() as u64;
        memory.held.extend(judged.held.iter().copied());
        let due = judged.parked.iter().filter_map(|parked| parked.due_at).min();
        memory.next_due = [memory.next_due, due].into_iter().flatten().min();
        self.parts.faults.reach(Point::AfterCommitLane)?;
        self.tell(now, &judged);
        Ok(())
    }

    /// Writes down what came of parked deliveries.
    pub(super) async fn settle(&self, judged: &Judged, now: Timestamp) -> Result<(), StepError> {
        let gone = |waiting: &Waiting| (waiting.position, waiting.action.clone());
        let mut settle = Settle {
            destination_id: self.destination,
            delivered: judged.delivered.iter().map(gone).collect(),
            skipped: judged.skipped.iter().map(skip).collect(),
            again: judged.parked.clone(),
            dead: judged.dead.clone(),
            now,
        };
        if let Err(error) = self.scope.settle(&settle).await {
            strip(&mut settle.again, &mut settle.dead, whose(error)?.as_deref());
            if let Err(error) = self.scope.settle(&settle).await {
                // It was not the only one.
                whose(error)?;
                strip(&mut settle.again, &mut settle.dead, None);
                self.scope.settle(&settle).await.map_err(unwritable)?;
            }
        }
        Ok(())
    }
}

fn skip((waiting, outcome): &(Waiting, Outcome)) -> Skip {
    let Waiting { position, action, .. } = waiting;
    let Outcome { code, message, .. } = outcome;
    Skip { position: *position, action: action.clone(), code: code.clone(), message: message.clone() }
}

/// Whose rows the database cannot hold, if it says so; an error that is about something else is handed back.
fn whose(error: StoreError) -> Result<Option<String>, StepError> {
    match error {
        StoreError::Poison { message_id, reason } => {
            tracing::warn!(message_id, reason, "what a connector said cannot be stored and is left out");
            Ok(message_id)
        }
        StoreError::Invalid { .. } => Ok(None),
        other => Err(unwritable(other)),
    }
}

fn unwritable(error: StoreError) -> StepError {
    match error {
        StoreError::Poison { .. } | StoreError::Invalid { .. } | StoreError::Refused(_) => StepError::Unwritable(error),
        other => other.into(),
    }
}

/// Takes every text away that a connector wrote, from all rows or those of one event.
fn strip(parked: &mut [Parked], dead: &mut [DeadLetter], whose: Option<&str>) {
    let meant = |message_id: &str| whose.is_none_or(|whose| whose == message_id);
    for row in parked.iter_mut().filter(|row| meant(&row.message_id)) {
        row.history.iter_mut().for_each(bare);
    }
    for letter in dead.iter_mut().filter(|letter| meant(&letter.message_id)) {
        "it was given up; what was said of it cannot be stored".clone_into(&mut letter.reason);
        letter.history.iter_mut().for_each(bare);
    }
}

fn bare(attempt: &mut Attempt) {
    attempt.outcome.message = String::new();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !attempt.outcome.code.chars().all(plain) {
        "unwritable".clone_into(&mut attempt.outcome.code);
    }
}

#[cfg(test)]
mod tests {
    use rialto_model::delivery::{Outcome, Verdict};
    use rialto_model::{DestinationId, ProfileId};

    use super::*;
    use crate::lane::step::each_once;

    fn parked(position: Position, person: u8) -> Parked {
        let outcome = Outcome {
            verdict: Verdict::Retry,
            code: "odd\0code".to_owned(),
            message: "a\0b".to_owned(),
            retry_after_ms: None,
        };
        Parked {
            position,
            message_id: format!("m{position}"),
            destination_id: DestinationId::from_parts(1, &[1; 10]),
            action: String::new(),
            profile_id: ProfileId::from_parts(1, &[person; 10]),
            delivery_id: format!("d{position}"),
            attempts: 1,
            parked_at: Timestamp(0),
            due_at: None,
            history: vec![Attempt { number: 1, at: Timestamp(0), outcome }],
        }
    }

    #[test]
    fn only_the_rows_of_the_event_at_fault_lose_what_was_said() {
        let mut rows = [parked(1, 1), parked(2, 1)];
        strip(&mut rows, &mut [], Some("m2"));
        assert_eq!(rows[0], parked(1, 1));
        assert_eq!((rows[1].history[0].outcome.code.as_str(), rows[1].history[0].number), ("unwritable", 1));
        strip(&mut rows, &mut [], None);
        assert!(rows.iter().all(|row| row.history[0].outcome.message.is_empty()));
    }

    #[test]
    fn what_waits_behind_two_that_are_due_goes_out_once() {
        let all = vec![parked(1, 1), parked(3, 1), parked(2, 1), parked(3, 1)];
        assert_eq!(each_once(all).iter().map(|row| row.position).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

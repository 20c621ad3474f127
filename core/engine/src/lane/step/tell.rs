//! What outcomes mean for the lane as a whole, and telling of them.

use std::time::Duration;

use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::lane::StandReason;
use rialto_model::live::{LiveDelivery, LiveEvent};
use rialto_model::{Position, Timestamp};

use super::Lane;
use crate::connector::HELD;
use crate::lane::judge::{FAULT_CODES, Judged, Waiting};
use crate::lane::send::{Parcel, Sent};

impl Lane {
    /// Turns outcomes into what is to be written, in the order of the stream, and learns how the lane does.
    pub(super) fn judge(&mut self, now: Timestamp, sent: Sent, behind: Vec<Parcel>, lost: Vec<Waiting>) -> Judged {
        // While the connector fails on everything, no event is given up for that.
        let mut judged = Judged { patient: !self.health.is_open(), ..Judged::default() };
        let mut fates: Vec<(Waiting, Option<Outcome>)> =
            sent.outcomes.into_iter().map(|(waiting, outcome)| (waiting, Some(outcome))).collect();
        fates.extend(behind.into_iter().map(|parcel| (parcel.waiting, None)));
        fates.sort_by_key(|(waiting, _)| waiting.position);
        for waiting in lost {
            let reason = "its payload is no longer in the log".to_owned();
            judged.bury(self.destination, now, waiting, reason);
        }
        if let Some(failure) = sent.fatal {
            self.health.fatal(now, &failure.code, &failure.message);
        }
        for (waiting, outcome) in fates {
            let Some(outcome) = outcome else {
                judged.hold_behind(self.destination, now, waiting);
                continue;
            };
            self.learn(now, &outcome);
            judged.add(self.destination, now, waiting, outcome);
        }
        judged
    }

    fn learn(&mut self, now: Timestamp, outcome: &Outcome) {
        let retry_after = outcome.retry_after_ms.map(Duration::from_millis);
        match outcome.verdict {
            Verdict::Delivered | Verdict::Skipped | Verdict::Rejected => self.health.passed(),
            Verdict::Retry if outcome.code == HELD => {}
            Verdict::Retry if outcome.code.starts_with(FAULT_CODES) => {
                self.health.faulted(now, &outcome.code, &outcome.message);
            }
            Verdict::Retry | Verdict::Unauthorized => {
                let denied = outcome.verdict == Verdict::Unauthorized;
                let because = if denied { StandReason::Unauthorized } else { StandReason::Outage };
                self.health.refused(now, because, &outcome.code, &outcome.message, retry_after);
            }
        }
    }

    /// Tells those who watch the live tail.
    pub(super) fn tell(&self, at: Timestamp, judged: &Judged) {
        self.parts.counters.count(judged);
        let tenant = self.scope.tenant_id();
        if !self.parts.witness.listens(tenant) {
            return;
        }
        let delivery = |position: Position, message_id: &str, code: &str, message: &str| LiveDelivery {
            at,
            position,
            message_id: message_id.to_owned(),
            destination_id: self.destination,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let done = |waiting: &Waiting| delivery(waiting.position, &waiting.message_id, "", "");
        let skipped = |(waiting, said): &(Waiting, Outcome)| {
            delivery(waiting.position, &waiting.message_id, &said.code, &said.message)
        };
        let say = |event: LiveEvent| self.parts.witness.saw(tenant, event);
        judged.delivered.iter().map(done).map(LiveEvent::Delivered).for_each(say);
        judged.skipped.iter().map(skipped).map(LiveEvent::Skipped).for_each(say);
        for parked in &judged.parked {
            let last =
                parked.history.last().map(|attempt| (attempt.outcome.code.as_str(), attempt.outcome.message.as_str()));
            let (code, message) = last.unwrap_or((HELD, "it waits behind an earlier event of the same person"));
            say(LiveEvent::Parked(delivery(parked.position, &parked.message_id, code, message)));
        }
        for letter in &judged.dead {
            say(LiveEvent::Dead(delivery(letter.position, &letter.message_id, "dead", &letter.reason)));
        }
    }
}

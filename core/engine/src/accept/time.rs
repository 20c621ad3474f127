//! When it happened: the client's clock corrected by what it says the time was when it sent.

use rialto_model::Timestamp;

/// The first and last moments that a date can name (years -9999 and 9999), in microseconds.
const RANGE: (i64, i64) = (-377_705_023_201_000_000, 253_402_207_200_999_999);

/// The times that a client gave.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given {
    /// `originalTimestamp`.
    pub(super) original: Option<Timestamp>,
    /// `timestamp`.
    pub(super) timestamp: Option<Timestamp>,
    /// `sentAt`, of the item or of its batch.
    pub(super) sent: Option<Timestamp>,
}

impl Given {
    /// The client's time of the event. `timestamp` is what the caller gave, and clients that leave the correction
    /// to the server send nothing else; those that send `originalTimestamp` beside it mean the moment of the call.
    pub(super) fn client_time(self) -> Option<Timestamp> {
        self.timestamp.or(self.original)
    }

    /// What is kept as `originalTimestamp`: what came under this name, else the client's time, which the event's own
    /// no longer shows once it is corrected.
    pub(super) fn original_time(self) -> Option<Timestamp> {
        self.original.or_else(|| self.client_time())
    }

    /// `received − (sent − client time)`; without `sent` the client's own time; without that, `received`.
    pub(super) fn event_time(self, received: Timestamp) -> Timestamp {
        match (self.client_time(), self.sent) {
            (Some(client), Some(sent)) => {
                let moment = i128::from(received.0) - (i128::from(sent.0) - i128::from(client.0));
                let moment = moment.clamp(i128::from(RANGE.0), i128::from(RANGE.1));
                Timestamp(i64::try_from(moment).unwrap_or(received.0))
            }
            (Some(client), None) => client,
            (None, _) => received,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(seconds * 1000))
    }

    #[test]
    fn skew_is_taken_out_by_what_the_client_says_it_sent_at() {
        let received = Timestamp::from_millis(1_000_000);
        for (original, timestamp, sent, expected, kept) in [
            (at(90), None, at(100), 990, at(90)),
            (None, at(90), at(100), 990, at(90)),
            (at(95), at(90), at(100), 990, at(95)),
            (at(110), None, at(100), 1_010, at(110)),
            (None, at(90), None, 90, at(90)),
            (at(80), at(90), None, 90, at(80)),
            (at(80), None, None, 80, at(80)),
            (None, None, at(100), 1_000, None),
            (None, None, None, 1_000, None),
        ] {
            let given = Given { original, timestamp, sent };
            assert_eq!(Some(given.event_time(received)), at(expected), "{given:?}");
            assert_eq!(given.original_time(), kept, "{given:?}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let ends = (Timestamp(RANGE.0), Timestamp(RANGE.1));
        let given = Given { original: Some(ends.0), timestamp: None, sent: Some(ends.1) };
        assert_eq!(given.event_time(Timestamp(0)), ends.0);
        let given = Given { original: Some(ends.1), timestamp: None, sent: Some(ends.0) };
        assert_eq!(given.event_time(Timestamp(0)).to_string(), "9999-12-30T22:00:00.999999Z");
    }
}

//! Whether a lane may send: a destination that is down and a connector that keeps failing stop their own lane, and
//! are probed with one event at a time until one gets through. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use rialto_model::Timestamp;
use rialto_model::lane::{LaneState, StandReason};

/// So many events in a row that the destination would not take now mean that it is down.
const DOWN_AFTER: u32 = 50;
/// So many faults of the connector on single events, with nothing delivered between them, …
const FAULTS: usize = 5;
/// … within this time open the breaker.
const FAULT_WINDOW: Duration = Duration::from_secs(600);
/// The first wait before a probe; it doubles with each that fails.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait before a probe of a destination that is down.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The wait before a probe of a connector that keeps failing.
const BREAKER_WAIT: Duration = Duration::from_secs(60);
/// The wait before another look at a destination that is set up wrongly.
const FATAL_WAIT: Duration = Duration::from_secs(300);

/// The wait before deliveries are made again whose end could not be written down: each try makes them once more.
const UNWRITABLE_WAIT: Duration = Duration::from_secs(3600);

/// The health of one lane.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures_in_a_row: u32,
    faults: VecDeque<Timestamp>,
    stop: Option<Stop>,
    probes_failed: u32,
}

#[derive(Debug, Clone)]
struct Stop {
    because: StandReason,
    since: Timestamp,
    code: String,
    message: String,
    until: Timestamp,
}

impl Health {
    /// Nothing stands in the way.
    pub(super) fn is_open(&self) -> bool {
        self.stop.is_none()
    }

    /// Stopped, and not yet time for a probe: the moment when it will be.
    pub(super) fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.stop.as_ref().map(|stop| stop.until).filter(|until| *until > now)
    }

    /// An event got through, or was judged by the destination: it is alive, and so is the connector.
    pub(super) fn passed(&mut self) {
        *self = Self::default();
    }

    /// An event was not taken now.
    pub(super) fn refused(
        &mut self,
        now: Timestamp,
        because: StandReason,
        code: &str,
        message: &str,
        retry_after: Option<Duration>,
    ) {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        if self.failures_in_a_row >= DOWN_AFTER || self.stop.is_some() {
            let wait = self.next_wait().max(retry_after.unwrap_or_default().min(Duration::from_secs(3600)));
            self.close(now, wait, because, code, message);
        }
    }

    /// The connector failed on one single event.
    pub(super) fn faulted(&mut self, now: Timestamp, code: &str, message: &str) {
        while self.faults.front().is_some_and(|at| now.since(*at) > FAULT_WINDOW) {
            self.faults.pop_front();
        }
        self.faults.push_back(now);
        if self.faults.len() > FAULTS {
            self.faults.pop_front();
        }
        if self.faults.len() >= FAULTS {
            self.close(now, BREAKER_WAIT, StandReason::Plugin, code, message);
        }
    }

    /// The destination cannot work as it is set up.
    pub(super) fn fatal(&mut self, now: Timestamp, code: &str, message: &str) {
        self.close(now, FATAL_WAIT, StandReason::Misconfigured, code, message);
    }

    /// What came of deliveries cannot be written down.
    pub(super) fn unwritable(&mut self, now: Timestamp, message: &str) {
        self.close(now, UNWRITABLE_WAIT, StandReason::Unwritable, "unwritable", message);
    }

    /// How the lane goes, as far as its health decides that.
    pub(super) fn state(&self) -> LaneState {
        match self.stop.clone() {
            None => LaneState::Running,
            Some(Stop { because, since, code, message, until }) => {
                LaneState::Standing { because, code, message, since, until }
            }
        }
    }

    fn next_wait(&self) -> Duration {
        FIRST_WAIT.saturating_mul(1 << self.probes_failed.min(10)).min(LONGEST_WAIT)
    }

    fn close(&mut self, now: Timestamp, wait: Duration, because: StandReason, code: &str, message: &str) {
        // Many events of one window fail at once: that is one failed probe, not many.
        if self.closed_until(now).is_some() {
            return;
        }
        self.probes_failed += 1;
        let since = self.stop.as_ref().map_or(now, |stop| stop.since);
        let (code, message) = (code.to_owned(), message.chars().take(500).collect());
        self.stop = Some(Stop { because, since, code, message, until: now.after(wait) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_dead_destination_stops_its_lane_and_the_first_success_opens_it() {
        let mut health = Health::default();
        for _ in 1..DOWN_AFTER {
            health.refused(NOW, StandReason::Outage, "http_503", "busy", None);
        }
        assert!(health.is_open(), "a few failures are the events' own matter");
        health.refused(NOW, StandReason::Outage, "http_503", "busy", None);
        let first = health.closed_until(NOW).expect("closed");
        assert_eq!(first.since(NOW), FIRST_WAIT);
        health.refused(first, StandReason::Outage, "http_503", "busy", None);
        assert_eq!(health.closed_until(first).map(|until| until.since(first)), Some(FIRST_WAIT * 2));
        health.passed();
        assert!(health.is_open());
    }

    #[test]
    fn five_faults_of_the_connector_open_the_breaker_but_old_ones_do_not_count() {
        let mut health = Health::default();
        for n in 0..4 {
            health.faulted(NOW.after(Duration::from_secs(n)), "plugin_trap", "unreachable");
        }
        let much_later = NOW.after(FAULT_WINDOW * 2);
        health.faulted(much_later, "plugin_trap", "unreachable");
        assert!(health.is_open());
        for _ in 0..4 {
            health.faulted(much_later, "plugin_trap", "unreachable");
        }
        assert!(matches!(health.state(), LaneState::Standing { because: StandReason::Plugin, .. }));
    }

    #[test]
    fn poison_among_healthy_events_does_not_open_the_breaker() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.faulted(NOW, "plugin_trap", "unreachable");
            health.passed();
        }
        assert!(health.is_open());
    }

    #[test]
    fn what_cannot_be_written_down_is_not_sent_again_for_an_hour() {
        let mut health = Health::default();
        health.unwritable(NOW, "two rows have one key");
        assert_eq!(health.closed_until(NOW).map(|until| until.since(NOW)), Some(UNWRITABLE_WAIT));
        assert!(matches!(health.state(), LaneState::Standing { because: StandReason::Unwritable, .. }));
    }

    #[test]
    fn a_window_of_failures_is_one_failed_probe() {
        let mut health = Health::default();
        for _ in 0..1_000 {
            health.refused(NOW, StandReason::Outage, "connect", "refused", None);
        }
        assert_eq!(health.closed_until(NOW).map(|until| until.since(NOW)), Some(FIRST_WAIT));
    }
}

//! When a delivery that failed is tried again. Pure: the jitter comes from the event.

use std::time::Duration;

use rialto_model::Timestamp;

use crate::derive::spread;

/// The waits after the first, second, … attempt; the last is used from then on.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How long a delivery is tried before it is given up.
pub const MAX_AGE: Duration = Duration::from_secs(72 * 3600);

/// The longest that a destination may ask to be left alone.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The moment of the next attempt, after `attempts` of them, spread by the `event`; `None` when that would be past [`MAX_AGE`].
pub fn next_attempt(
    now: Timestamp,
    first_parked: Timestamp,
    event: &str,
    attempts: u32,
    retry_after: Option<Duration>,
) -> Option<Timestamp> {
    let index = (attempts.max(1) as usize - 1).min(WAITS.len() - 1);
    let wait = jitter(WAITS[index], event, attempts);
    let wait = retry_after.map_or(wait, |asked| wait.max(asked.min(MAX_RETRY_AFTER)));
    let due = now.after(wait);
    (due.since(first_parked) <= MAX_AGE).then_some(due)
}

/// `wait` ± 20 %, the same for the same event and attempt.
fn jitter(wait: Duration, event: &str, attempts: u32) -> Duration {
    wait.mul_f64(0.8 + 0.4 * spread(event, attempts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn waits_grow_stay_within_the_jitter_and_end_after_three_days() {
        let (mut now, mut attempts, mut last) = (START, 1, Duration::ZERO);
        while let Some(due) = next_attempt(now, START, "dlv", attempts, None) {
            let wait = due.since(now);
            let nominal = WAITS[(attempts as usize - 1).min(8)];
            assert!(wait >= nominal.mul_f64(0.8) && wait <= nominal.mul_f64(1.2), "{attempts}: {wait:?}");
            assert!(attempts > 8 || wait > last, "waits grow");
            (now, attempts, last) = (due, attempts + 1, wait);
            assert!(attempts < 30, "it must end");
        }
        assert!(now.since(START) > Duration::from_secs(40 * 3600), "it is tried for most of the three days");
    }

    #[test]
    fn a_destination_is_left_alone_as_long_as_it_asks_within_reason() {
        let asked = Duration::from_secs(600);
        assert!(next_attempt(START, START, "a", 1, Some(asked)).is_some_and(|due| due.since(START) >= asked));
        let absurd = Duration::from_secs(10_000_000);
        assert!(
            next_attempt(START, START, "a", 1, Some(absurd)).is_some_and(|due| due.since(START) <= MAX_RETRY_AFTER)
        );
    }

    #[test]
    fn deliveries_that_fail_together_do_not_come_back_together() {
        let dues: std::collections::BTreeSet<_> =
            (0..100).filter_map(|n| next_attempt(START, START, &format!("d{n}"), 1, None)).collect();
        assert!(dues.len() > 90);
    }
}

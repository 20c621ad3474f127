//! Time windows: what is appended in one stretch of time lies together, so that trimming drops it whole.
//!
//! Windows are numbered as they open and trimmed oldest first, so a stream never has a hole. A window's slot is
//! what the clock said when it opened; a clock may lie, so slots need not ascend.

use std::time::Duration;

use rialto_model::Timestamp;

/// A stretch of time; its end is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl Slot {
    /// The slot of `length` that holds `now`, aligned to 1970.
    pub(super) fn of(now: Timestamp, length: Duration) -> Self {
        let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
        let start = now.0.div_euclid(length).saturating_mul(length);
        Self { start: Timestamp(start), end: Timestamp(start.saturating_add(length)) }
    }

    /// Whether what is appended `now` still belongs here. A step back of less than one slot does: appends race at
    /// a boundary, and clocks are set back a little. Time elsewhere (ahead or far back) wants a window of its own.
    pub(super) fn takes(&self, now: Timestamp) -> bool {
        let slack = self.end.since(self.start);
        now < self.end && now >= self.start.before(slack)
    }
}

/// The keyspace of a window.
pub(super) fn name(number: u64, slot: Slot) -> String {
    format!("window_{number}_{}_{}", slot.start.0, slot.end.0)
}

/// What a keyspace's name says of its window; `None` if it is no window's.
pub(super) fn parse_name(name: &str) -> Option<(u64, Slot)> {
    let mut parts = name.strip_prefix("window_")?.split('_');
    let (number, start, end) = (parts.next()?, parts.next()?, parts.next()?);
    let slot = Slot { start: Timestamp(start.parse().ok()?), end: Timestamp(end.parse().ok()?) };
    parts.next().is_none().then_some((number.parse().ok()?, slot))
}

/// How many of these windows, oldest first, ended at or before `before`.
///
/// The clock may have jumped while a window was open. A window whose two successors both end before it does was
/// opened by a clock that ran ahead: its successor's end counts. One that ends before its predecessor was opened by
/// a clock that ran behind: it goes no sooner than its predecessor.
pub(super) fn ended(slots: &[Slot], before: Timestamp) -> usize {
    let mut latest = Timestamp(i64::MIN);
    slots
        .iter()
        .enumerate()
        .take_while(|(n, slot)| {
            let end = match slots.get(n + 1..n + 3) {
                Some([next, after]) if next.end < slot.end && after.end < slot.end => next.end,
                _ => slot.end,
            };
            latest = latest.max(end);
            latest <= before
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn day(n: i64) -> Slot {
        Slot::of(Timestamp(n * 86_400_000_000 + 5), DAY)
    }

    #[test]
    fn slots_are_aligned_also_before_1970() {
        assert_eq!(day(3).start, Timestamp(3 * 86_400_000_000));
        assert_eq!(day(-1).end, Timestamp(0));
        assert_eq!(parse_name(&name(12, day(-1))), Some((12, day(-1))));
        assert_eq!(parse_name("index"), None);
    }

    #[test]
    fn a_small_step_back_stays_in_the_window_and_a_jump_does_not() {
        let today = day(10);
        assert!(today.takes(today.start) && today.takes(day(9).end.before(Duration::from_secs(1))));
        assert!(!today.takes(today.end), "tomorrow");
        assert!(!today.takes(day(8).start), "far back");
        assert!(!today.takes(day(400).start), "far ahead");
    }

    #[test]
    fn windows_end_in_order_and_a_boundary_counts() {
        let slots = [day(1), day(2), day(3)];
        assert_eq!(ended(&slots, day(2).end.before(Duration::from_micros(1))), 1);
        assert_eq!(ended(&slots, day(2).end), 2);
        assert_eq!(ended(&slots, day(9).end), 3);
        assert_eq!(ended(&[], day(9).end), 0);
    }

    #[test]
    fn a_clock_that_once_ran_ahead_does_not_keep_windows_for_years() {
        assert_eq!(ended(&[day(1), day(4000), day(1), day(2), day(3)], day(2).end), 4);
    }

    #[test]
    fn a_clock_that_once_ran_behind_does_not_drop_what_is_young() {
        assert_eq!(ended(&[day(10), day(-4000), day(10), day(11)], day(9).end), 0);
        assert_eq!(ended(&[day(9), day(10), day(-4000), day(10), day(11)], day(9).end), 1);
    }
}

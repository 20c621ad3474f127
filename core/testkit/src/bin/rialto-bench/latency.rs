//! Latencies: every one is kept, so that a percentile is one that really happened.

use std::time::Duration;

/// Latencies in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds all of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The latency that so many of a thousand stay under or meet, in milliseconds; NaN if there is none.
    pub(crate) fn per_mille(&mut self, per_mille: usize) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        let rank = (self.0.len() * per_mille).div_ceil(1_000).clamp(1, self.0.len());
        let (_, at, _) = self.0.select_nth_unstable(rank - 1);
        f64::from(*at) / 1_000.0
    }
}

/// The middle of some figures; NaN if there is none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut set = Latencies::default();
        (1..=1_000u64).rev().for_each(|ms| set.add(Duration::from_millis(ms)));
        assert_eq!((set.per_mille(500), set.per_mille(990), set.per_mille(1_000)), (500.0, 990.0, 1_000.0));
        assert!(Latencies::default().per_mille(990).is_nan());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}

//! What a status means, and how long a destination wants to be left alone.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use rialto_model::{Timestamp, delivery::Verdict};

use crate::bindings::WitVerdict;

/// The longest that a destination is left alone at its own wish.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a status means where the manifest does not say.
pub fn default_verdict(status: u16) -> Verdict {
    match status {
        200..300 => Verdict::Delivered,
        401 | 403 | 407 => Verdict::Unauthorized,
        408 | 425 | 429 | 500.. => Verdict::Retry,
        _ => Verdict::Rejected,
    }
}

/// What a status means, by the manifest's table and then by default.
pub(crate) fn verdict(table: &BTreeMap<String, Verdict>, status: u16) -> Verdict {
    let given = table.get(&status.to_string()).or_else(|| table.get(&format!("{}xx", status / 100)));
    given.copied().unwrap_or_else(|| default_verdict(status))
}

/// The `Retry-After` of a reply: seconds, or a moment by the destination's clock. In milliseconds.
pub(crate) fn retry_after_ms(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds.min(LONGEST.as_secs())),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
            let now = Duration::from_millis(u64::try_from(now.millis()).ok()?);
            at.saturating_sub(now).min(LONGEST)
        }
    };
    u64::try_from(wait.as_millis()).ok()
}

/// The word that connectors and people read.
pub(crate) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Skipped => "skipped",
        Verdict::Rejected => "rejected",
        Verdict::Retry => "retry",
        Verdict::Unauthorized => "unauthorized",
    }
}

/// How bad a verdict is: of several, an event gets the worst.
pub(crate) const fn badness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Skipped => 0,
        Verdict::Delivered => 1,
        Verdict::Rejected => 2,
        Verdict::Unauthorized => 3,
        Verdict::Retry => 4,
    }
}

impl From<WitVerdict> for Verdict {
    fn from(verdict: WitVerdict) -> Self {
        match verdict {
            WitVerdict::Delivered => Self::Delivered,
            WitVerdict::Skipped => Self::Skipped,
            WitVerdict::Rejected => Self::Rejected,
            WitVerdict::Retry => Self::Retry,
            WitVerdict::Unauthorized => Self::Unauthorized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_overrides_a_status_before_its_class() {
        let table = BTreeMap::from([("404".into(), Verdict::Skipped), ("4xx".into(), Verdict::Retry)]);
        assert_eq!(verdict(&table, 404), Verdict::Skipped);
        assert_eq!(verdict(&table, 410), Verdict::Retry);
        assert_eq!(verdict(&table, 500), Verdict::Retry);
        assert_eq!(verdict(&table, 302), Verdict::Rejected);
    }

    #[test]
    fn retry_after_is_seconds_or_a_moment_and_bounded() {
        let now = "2026-01-01T00:00:00Z".parse().expect("a moment");
        assert_eq!(retry_after_ms("7", now), Some(7_000));
        assert_eq!(retry_after_ms("Thu, 01 Jan 2026 00:02:00 GMT", now), Some(120_000));
        assert_eq!(retry_after_ms("Thu, 01 Jan 2015 00:02:00 GMT", now), Some(0), "the past");
        assert_eq!(retry_after_ms("99999999999", now), Some(86_400_000));
        assert_eq!(retry_after_ms("soon", now), None);
        assert_eq!(retry_after_ms("-5", now), None);
    }
}

//! Moments as senders write them: ISO 8601 stays as it is, and what counts from 1970 becomes it.

use serde_json::Value;

/// From here on a number counts milliseconds: as seconds it would be the year 5138, and as milliseconds below it, 1973.
const MILLIS_FROM: f64 = 100_000_000_000.0;
/// The end of the year 9999, in milliseconds.
const END: f64 = 253_402_300_800_000.0;

/// A text in ISO 8601 of a number; anything else as it is, for the hub to judge.
pub(crate) fn iso(given: Value) -> Value {
    let Some(number) = given.as_f64() else { return given };
    let millis = if number.abs() < MILLIS_FROM { number * 1000.0 } else { number };
    // Below, the year would be negative.
    if !(-62_135_596_800_000.0..END).contains(&millis) {
        return given;
    }
    #[allow(clippy::cast_possible_truncation, reason = "it was bounded above")]
    text(millis.floor() as i64).into()
}

fn text(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (hour, minute, second, part) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{part:03}Z")
}

/// The date of a day counted from 1970. A year begins in March here, so that the leap day is its last, and an era is 400
/// years.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn seconds_and_milliseconds_become_iso_and_texts_stay() {
        for (given, expected) in [
            (json!(0), json!("1970-01-01T00:00:00.000Z")),
            (json!(1_700_000_000), json!("2023-11-14T22:13:20.000Z")),
            (json!(1_700_000_000.25), json!("2023-11-14T22:13:20.250Z")),
            (json!(1_700_000_000_123_u64), json!("2023-11-14T22:13:20.123Z")),
            (json!(951_782_400), json!("2000-02-29T00:00:00.000Z")),
            (json!(4_107_542_400_u64), json!("2100-03-01T00:00:00.000Z")),
            (json!(-1), json!("1969-12-31T23:59:59.000Z")),
            (json!(1e300), json!(1e300)),
            (json!("2026-01-31T12:00:00Z"), json!("2026-01-31T12:00:00Z")),
            (json!("yesterday"), json!("yesterday")),
        ] {
            assert_eq!(iso(given.clone()), expected, "{given}");
        }
    }
}

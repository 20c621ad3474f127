//! The table: figure, measured, what it is held against in the same run, ratio, bar, met or not.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub(crate) enum Bar {
    /// The ratio to the peer is at least this.
    RatioAtLeast(f64),
    /// The ratio to the peer is at most this.
    RatioAtMost(f64),
    /// The figure itself is at least this.
    AtLeast(f64),
    /// The figure itself is at most this.
    AtMost(f64),
    /// It is told, not judged.
    None,
}

/// What a figure is held against.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Peer {
    /// What it is.
    pub(crate) name: &'static str,
    /// Its figure, in the same unit.
    pub(crate) value: f64,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// The measurement it belongs to: the word on the command line.
    pub(crate) measurement: &'static str,
    /// What was measured.
    pub(crate) figure: String,
    /// The median of the rounds.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Each round's, in order.
    pub(crate) rounds: Vec<f64>,
    /// What it is held against.
    pub(crate) peer: Option<Peer>,
    /// Value over peer.
    pub(crate) ratio: Option<f64>,
    /// What it has to reach.
    pub(crate) bar: Bar,
    /// Whether it does; absent where nothing is asked.
    pub(crate) met: Option<bool>,
    /// What else was seen, for people.
    pub(crate) note: String,
}

impl Figure {
    /// A figure from its rounds, with nothing asked of it.
    pub(crate) fn new(
        measurement: &'static str,
        figure: impl Into<String>,
        unit: &'static str,
        rounds: &[f64],
    ) -> Self {
        Self {
            measurement,
            figure: figure.into(),
            value: crate::latency::median(rounds),
            unit,
            rounds: rounds.to_vec(),
            peer: None,
            ratio: None,
            bar: Bar::None,
            met: None,
            note: String::new(),
        }
    }

    /// Holds it against a peer.
    pub(crate) fn against(mut self, name: &'static str, value: f64) -> Self {
        self.ratio = Some(self.value / value);
        self.peer = Some(Peer { name, value });
        self
    }

    /// Asks something of it. Call after [`Figure::against`].
    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.met = match bar {
            Bar::RatioAtLeast(least) => Some(ratio >= least),
            Bar::RatioAtMost(most) => Some(ratio <= most),
            Bar::AtLeast(least) => Some(self.value >= least),
            Bar::AtMost(most) => Some(self.value <= most),
            Bar::None => None,
        };
        self.bar = bar;
        self
    }

    /// Says what else was seen.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn cells(&self) -> [String; 6] {
        let bar = match self.bar {
            Bar::RatioAtLeast(least) => format!("ratio ≥ {least}"),
            Bar::RatioAtMost(most) => format!("ratio ≤ {most}"),
            Bar::AtLeast(least) => format!("≥ {}", amount(least, self.unit)),
            Bar::AtMost(most) => format!("≤ {}", amount(most, self.unit)),
            Bar::None => "–".to_owned(),
        };
        [
            self.figure.clone(),
            amount(self.value, self.unit),
            self.peer
                .as_ref()
                .map_or_else(|| "–".to_owned(), |peer| format!("{} ({})", amount(peer.value, self.unit), peer.name)),
            self.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            bar,
            self.met.map_or("–", |met| if met { "met" } else { "NOT MET" }).to_owned(),
        ]
    }
}

/// A figure with its unit, rounded as far as it is worth.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or_else(|| format!("{grouped} {unit}"), |rest| format!("{grouped}.{rest} {unit}"))
}

/// The table as Markdown, so that it can be pasted where it is wanted.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "measured", "against, in the same run", "ratio", "bar", ""].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if n == 0 {
            widths.iter().for_each(|width| {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            });
            text.push_str("|\n");
        }
    }
    text
}

/// A line of progress, on the error stream so that the table stands alone.
pub(crate) fn say(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_judged_on_the_ratio_or_on_the_figure() {
        let figure = |bar| Figure::new("x", "x", "s", &[10.0]).against("peer", 20.0).bar(bar).met;
        assert_eq!(figure(Bar::RatioAtLeast(0.5)), Some(true));
        assert_eq!(figure(Bar::RatioAtLeast(0.6)), Some(false));
        assert_eq!(figure(Bar::AtMost(9.0)), Some(false));
        assert_eq!(figure(Bar::None), None);
        let nothing = Figure::new("x", "x", "s", &[]).bar(Bar::AtMost(9.0));
        assert_eq!(nothing.met, Some(false), "what was not measured is not met");
    }

    #[test]
    fn amounts_are_grouped_by_thousands() {
        assert_eq!(amount(1_234_567.8, "events/s"), "1,234,568 events/s");
        assert_eq!(amount(0.816, "s"), "0.82 s");
        assert_eq!(amount(123.4, "ms"), "123 ms");
    }
}

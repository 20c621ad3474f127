//! What a task shows: one calm line a phase with the time it took, coloured on a terminal only.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crate::fault::Done;

/// Whether colours are wanted: on a terminal, unless NO_COLOR is set.
fn coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn painted(code: &str, text: impl Display) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

pub(crate) fn bold(text: impl Display) -> String {
    painted("1", text)
}

pub(crate) fn dim(text: impl Display) -> String {
    painted("2", text)
}

pub(crate) fn green(text: impl Display) -> String {
    painted("32", text)
}

pub(crate) fn red(text: impl Display) -> String {
    painted("31", text)
}

pub(crate) fn yellow(text: impl Display) -> String {
    painted("33", text)
}

/// A duration for people: `0.4 s`, `31 s`, `4 min 07 s`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// The phases of a task, timed.
#[derive(Default)]
pub(crate) struct Phases(Vec<(String, Duration)>);

impl Phases {
    /// Runs one phase under a heading, and remembers how long it took.
    ///
    /// # Errors
    /// Those of the phase.
    pub(crate) fn run<T>(&mut self, name: &str, phase: impl FnOnce() -> Done<T>) -> Done<T> {
        println!("{} {}", bold("▸"), bold(name));
        let begun = Instant::now();
        let outcome = phase();
        let took = begun.elapsed();
        let mark = if outcome.is_ok() { green("✓") } else { red("✗") };
        println!("{mark} {name} {}", dim(format!("({})", time(took))));
        self.0.push((name.to_owned(), took));
        outcome
    }

    /// Where the time went, one line a phase.
    pub(crate) fn print(&self) {
        println!("\n{}", bold("where the time went"));
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, took) in &self.0 {
            println!("  {name:<width$}  {:>12}", time(*took));
        }
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        println!("  {:<width$}  {:>12}", "all of it", time(total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well_at_every_size() {
        assert_eq!(time(Duration::from_millis(440)), "0.4 s");
        assert_eq!(time(Duration::from_secs(31)), "31 s");
        assert_eq!(time(Duration::from_secs(247)), "4 min 07 s");
    }
}

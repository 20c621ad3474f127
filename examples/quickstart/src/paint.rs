//! Colour, on a terminal only, and columns.

use std::fmt::Display;
use std::io::IsTerminal as _;

fn painted(code: &str, text: impl Display) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// A heading.
pub fn bold(text: impl Display) -> String {
    painted("1", text)
}

/// What may be passed over.
pub fn dim(text: impl Display) -> String {
    painted("2", text)
}

/// What went well.
pub fn green(text: impl Display) -> String {
    painted("32", text)
}

/// What is to be copied.
pub fn cyan(text: impl Display) -> String {
    painted("36", text)
}

/// A heading with a line of its own.
pub fn heading(text: &str) {
    println!("\n{}", bold(text));
}

/// Prints rows in columns as wide as they need; the last is as long as it is.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for (at, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = format!("  {}", cells.join("  "));
        // The first row names the columns.
        println!("{}", if at == 0 { dim(line.trim_end()) } else { line.trim_end().to_owned() });
    }
}

//! Functions: none of 70 lines or more. Read by the indentation that rustfmt guarantees.

use super::{Finding, Text};

const LONGEST: usize = 70;

pub(super) fn check(file: &Text) -> Vec<Finding> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        // Tests stand at the end of a file.
        if *line == "mod tests {" {
            break;
        }
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let open =
            lines[at..].iter().position(|line| line.ends_with('{') || line.ends_with(';') || line.ends_with('}'));
        if open.is_none_or(|open| !lines[at + open].ends_with('{')) {
            continue;
        }
        let length = lines[at..].iter().position(|line| *line == close).map_or(0, |end| end + 1);
        if length >= LONGEST {
            findings.push(file.finding(at + 1, format!("`{name}` has {length} lines; under {LONGEST} is the rule")));
        }
    }
    findings
}

/// The name of the function that a line declares.
fn function_name(line: &str) -> Option<&str> {
    const BEFORE: [&str; 9] =
        ["pub ", "pub(crate) ", "pub(super) ", "async ", "const ", "unsafe ", "extern \"C\" ", "default ", "static "];
    let mut rest = line.trim_start();
    while let Some(shorter) = BEFORE.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = shorter;
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

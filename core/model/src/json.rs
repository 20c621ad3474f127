//! What JSON may come in, checked once at the door, and how a value is reached by a path.
//!
//! `RawValue` has no depth limit and databases choke on NUL, deep nesting and numbers beyond f64, so raw text is
//! scanned before anything is kept.

use serde_json::Value;
use serde_json::value::RawValue;

/// The deepest nesting that is taken.
pub const MAX_DEPTH: usize = 64;
/// The most members that one event may hold over all its objects.
pub const MAX_KEYS: usize = 1_000;
/// The longest number that is taken, in characters: room for any float written without an exponent.
const MAX_NUMBER: usize = 330;

/// Why a JSON text is refused, with a word on where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_KEYS`] members.
    #[error("has more than {MAX_KEYS} members")]
    TooManyKeys,
    /// A NUL character, which no database takes.
    #[error("holds the character U+0000, which cannot be stored")]
    Nul,
    /// A lone surrogate, which is no character.
    #[error("holds a lone surrogate, which is not a character")]
    LoneSurrogate,
    /// A number that neither i64, u64 nor a finite f64 can hold.
    #[error("holds a number outside the range of a 64-bit float: {0}")]
    Number(String),
}

/// Checks a text that is already known to be well-formed JSON. One pass, no allocation on success.
pub fn scan(json: &str) -> Result<(), Refused> {
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut keys) = (0, 0usize, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Refused::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b':' => {
                keys += 1;
                if keys > MAX_KEYS {
                    return Err(Refused::TooManyKeys);
                }
            }
            b'"' => at = scan_string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => at = scan_number(json, at)?,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// From behind the opening quote to the closing one, whose index it returns.
fn scan_string(bytes: &[u8], mut at: usize) -> Result<usize, Refused> {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok(at),
            b'\\' if bytes.get(at + 1) == Some(&b'u') => match hex4(bytes, at + 2) {
                0 => return Err(Refused::Nul),
                0xD800..=0xDBFF => {
                    let low =
                        bytes.get(at + 6..at + 8) == Some(b"\\u") && matches!(hex4(bytes, at + 8), 0xDC00..=0xDFFF);
                    if !low {
                        return Err(Refused::LoneSurrogate);
                    }
                    at += 12;
                }
                0xDC00..=0xDFFF => return Err(Refused::LoneSurrogate),
                _ => at += 6,
            },
            b'\\' => at += 2,
            0 => return Err(Refused::Nul),
            _ => at += 1,
        }
    }
    Ok(at)
}

/// Four hex digits; 0xFFFF (a harmless non-character) if they are not there.
fn hex4(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0xFFFF)
}

/// From a number's first character to its last, whose index it returns.
fn scan_number(json: &str, from: usize) -> Result<usize, Refused> {
    let rest = &json.as_bytes()[from..];
    let length = rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
    let text = &json[from..from + length];
    let plain = length <= 18 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !plain {
        let fits = length <= MAX_NUMBER && text.parse::<f64>().is_ok_and(f64::is_finite);
        if !fits {
            return Err(Refused::Number(text.chars().take(24).collect()));
        }
    }
    Ok(from + length - 1)
}

/// A dotted way into a JSON value: `properties.products.0.sku`. A member whose name has a dot is written `a\.b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// Reads a path; `None` if it is empty, has an empty step, or more than 16 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("$.").unwrap_or(text);
        let mut steps = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => steps.last_mut()?.push(letters.next()?),
                '.' => steps.push(String::new()),
                other => steps.last_mut()?.push(other),
            }
        }
        (steps.len() <= 16 && steps.iter().all(|step| !step.is_empty())).then_some(Self(steps))
    }

    /// The steps, outermost first; never empty.
    pub fn steps(&self) -> &[String] {
        &self.0
    }
}

/// What stands at the end of `steps`, if anything.
pub fn reach<'v>(value: &'v Value, steps: &[String]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |at, step| match at {
        Value::Object(members) => members.get(step),
        Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
        _ => None,
    })
}

/// The members of a raw JSON object, in their order; `None` if it is no object.
pub fn members(raw: &RawValue) -> Option<std::collections::BTreeMap<String, &RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bomb_is_refused_and_named() {
        assert_eq!(scan(&("[".repeat(65) + &"]".repeat(65))), Err(Refused::TooDeep));
        assert_eq!(scan(&("[".repeat(64) + &"]".repeat(64))), Ok(()));
        let wide: String = (0..1001).map(|n| format!("\"k{n}\":1,")).collect();
        assert_eq!(scan(&format!("{{{}}}", wide.trim_end_matches(','))), Err(Refused::TooManyKeys));
        assert_eq!(scan(r#"{"a":"x\u0000y"}"#), Err(Refused::Nul));
        assert_eq!(scan(r#"["\ud800"]"#), Err(Refused::LoneSurrogate));
        assert_eq!(scan(r#"["\udc00\ud800"]"#), Err(Refused::LoneSurrogate));
        assert_eq!(scan(r#"["\ud83d\ude00", "\\u0000", "a\"[[["]"#), Ok(()));
        assert!(matches!(scan("[1e131071]"), Err(Refused::Number(_))));
        assert!(matches!(scan(&format!("[{}]", "9".repeat(400))), Err(Refused::Number(_))));
        assert_eq!(scan("[0,-1,1.5e10,18446744073709551615,123456789012345678901]"), Ok(()));
    }

    #[test]
    fn a_path_reaches_members_and_items() {
        let value = serde_json::json!({"a": {"b.c": [10, {"d": 1}]}});
        let path = Path::parse(r"a.b\.c.1.d").expect("valid");
        assert_eq!(reach(&value, path.steps()), Some(&Value::from(1)));
        assert_eq!(Path::parse("a..b"), None);
        assert_eq!(Path::parse(""), None);
    }
}

//! Conditions: a typed JSON expression over an event and its profile, decided without I/O.
//!
//! `{"all": [{"field": "event.type", "eq": "track"}, {"field": "event.properties.total", "gte": 100}]}`
//! A field starts with `event.` or `profile.traits.`; a comparison of unlike types is false, never an error.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::json::Path;

/// The deepest nesting of a condition.
pub const MAX_DEPTH: usize = 8;
/// The most tests in one condition.
pub const MAX_TESTS: usize = 100;

/// A condition as it is written; [`Condition::compile`] checks it and makes it ready to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Condition {
    /// True if all are; true if empty.
    All(All),
    /// True if one is; false if empty.
    Any(Any),
    /// True if the other is not.
    Not(Not),
    /// One test of one field.
    Test(Test),
}

/// `{"all": […]}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct All {
    /// What must all hold.
    #[schema(no_recursion)]
    pub all: Vec<Condition>,
}

/// `{"any": […]}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Any {
    /// Of which one must hold.
    #[schema(no_recursion)]
    pub any: Vec<Condition>,
}

/// `{"not": {…}}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Not {
    /// What must not hold.
    #[schema(no_recursion)]
    pub not: Box<Condition>,
}

/// `{"field": "event.properties.total", "gte": 100}`: a field and exactly one operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// A path that starts with `event.` or `profile.traits.`; a dot inside a name is written `\.`.
    pub field: String,
    /// What is asked of it.
    #[serde(flatten)]
    pub op: Operator,
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal; numbers by value, everything else exactly.
    Eq(Value),
    /// There and not equal, or not there.
    Ne(Value),
    /// Equal to one of these.
    In(Vec<Value>),
    /// Greater, of numbers or of texts (by code point).
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// There and not null (`true`), or not (`false`).
    Exists(bool),
    /// A text that holds this text, or a list that holds this value.
    Contains(Value),
    /// A text that starts with this.
    StartsWith(String),
    /// A text that matches this regular expression (linear time, unanchored).
    Matches(String),
}

/// What a condition looks at.
pub trait Facts {
    /// The value at a path below `event.`.
    fn event(&self, path: &[String]) -> Option<Cow<'_, Value>>;
    /// The value of a trait, or what stands below it.
    fn profile_trait(&self, path: &[String]) -> Option<Cow<'_, Value>>;
}

/// Why a condition cannot be used, with the way to the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct Invalid {
    /// A JSON pointer into the condition, such as `/all/1/field`.
    pub at: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A condition that is ready to run.
#[derive(Debug, Clone)]
pub struct Compiled(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Test { on_profile: bool, path: Vec<String>, op: Ready },
}

#[derive(Debug, Clone)]
enum Ready {
    Plain(Operator),
    Matches(regex::Regex),
}

impl Condition {
    /// Checks the condition and makes it ready to run.
    ///
    /// # Errors
    /// Names the place and the fault: an unknown field root, a bad expression, too deep, too many tests.
    pub fn compile(&self) -> Result<Compiled, Invalid> {
        let mut budget = MAX_TESTS;
        compile(self, "", 0, &mut budget).map(Compiled)
    }
}

impl Compiled {
    /// Whether it holds.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        holds(&self.0, facts)
    }

    /// The first test that decided against, in words: `event.type eq "track"`. For the explanation of a "no".
    pub fn why_not(&self, facts: &dyn Facts) -> Option<String> {
        why_not(&self.0, facts)
    }
}

fn compile(condition: &Condition, at: &str, depth: usize, budget: &mut usize) -> Result<Node, Invalid> {
    let invalid = |at: String, reason: String| Err(Invalid { at, reason });
    if depth >= MAX_DEPTH {
        return invalid(at.to_owned(), format!("nested more than {MAX_DEPTH} deep"));
    }
    let mut list = |items: &[Condition], name: &str| -> Result<Vec<Node>, Invalid> {
        items
            .iter()
            .enumerate()
            .map(|(index, item)| compile(item, &format!("{at}/{name}/{index}"), depth + 1, budget))
            .collect()
    };
    match condition {
        Condition::All(All { all }) => list(all, "all").map(Node::All),
        Condition::Any(Any { any }) => list(any, "any").map(Node::Any),
        Condition::Not(Not { not }) => {
            compile(not, &format!("{at}/not"), depth + 1, budget).map(|node| Node::Not(Box::new(node)))
        }
        Condition::Test(test) => {
            *budget = match budget.checked_sub(1) {
                Some(left) => left,
                None => return invalid(at.to_owned(), format!("more than {MAX_TESTS} tests")),
            };
            compile_test(test, at)
        }
    }
}

fn compile_test(test: &Test, at: &str) -> Result<Node, Invalid> {
    let field = |reason: &str| Invalid { at: format!("{at}/field"), reason: reason.to_owned() };
    let (on_profile, rest) = match (test.field.strip_prefix("event."), test.field.strip_prefix("profile.traits.")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(field("must start with 'event.' or 'profile.traits.'")),
    };
    let path = Path::parse(rest).ok_or_else(|| field("is no path: 1 to 16 names, parted by dots, none empty"))?;
    let op = match &test.op {
        Operator::Matches(pattern) => {
            Ready::Matches(regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|e| Invalid {
                at: format!("{at}/matches"),
                reason: format!("is no regular expression: {e}"),
            })?)
        }
        Operator::Gt(bound) | Operator::Gte(bound) | Operator::Lt(bound) | Operator::Lte(bound)
            if !(bound.is_number() || bound.is_string()) =>
        {
            return Err(Invalid { at: at.to_owned(), reason: "can only compare with a number or a text".to_owned() });
        }
        other => Ready::Plain(other.clone()),
    };
    Ok(Node::Test { on_profile, path: path.steps().to_vec(), op })
}

fn holds(node: &Node, facts: &dyn Facts) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| holds(node, facts)),
        Node::Any(nodes) => nodes.iter().any(|node| holds(node, facts)),
        Node::Not(node) => !holds(node, facts),
        Node::Test { on_profile, path, op } => {
            let found = if *on_profile { facts.profile_trait(path) } else { facts.event(path) };
            test(op, found.as_deref())
        }
    }
}

fn test(op: &Ready, found: Option<&Value>) -> bool {
    let op = match op {
        Ready::Matches(pattern) => return found.and_then(Value::as_str).is_some_and(|text| pattern.is_match(text)),
        Ready::Plain(op) => op,
    };
    let ordered =
        |bound: &Value, wanted: fn(Ordering) -> bool| found.and_then(|v| compare(v, bound)).is_some_and(wanted);
    match op {
        Operator::Exists(wanted) => found.is_some_and(|value| !value.is_null()) == *wanted,
        Operator::Eq(other) => found.is_some_and(|value| equal(value, other)),
        Operator::Ne(other) => !found.is_some_and(|value| equal(value, other)),
        Operator::In(others) => found.is_some_and(|value| others.iter().any(|other| equal(value, other))),
        Operator::Gt(bound) => ordered(bound, Ordering::is_gt),
        Operator::Gte(bound) => ordered(bound, Ordering::is_ge),
        Operator::Lt(bound) => ordered(bound, Ordering::is_lt),
        Operator::Lte(bound) => ordered(bound, Ordering::is_le),
        Operator::Contains(part) => match found {
            Some(Value::String(text)) => part.as_str().is_some_and(|part| text.contains(part)),
            Some(Value::Array(items)) => items.iter().any(|item| equal(item, part)),
            _ => false,
        },
        Operator::StartsWith(start) => found.and_then(Value::as_str).is_some_and(|text| text.starts_with(start)),
        Operator::Matches(_) => false,
    }
}

/// Numbers by value (1 and 1.0 are equal), everything else exactly.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => compare(one, other) == Some(Ordering::Equal),
        _ => one == other,
    }
}

fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn why_not(node: &Node, facts: &dyn Facts) -> Option<String> {
    if holds(node, facts) {
        return None;
    }
    match node {
        Node::All(nodes) => nodes.iter().find_map(|node| why_not(node, facts)),
        Node::Any(nodes) if nodes.is_empty() => Some("'any' of nothing never holds".to_owned()),
        Node::Any(nodes) => {
            let all: Vec<String> = nodes.iter().filter_map(|node| why_not(node, facts)).take(4).collect();
            Some(format!("none of: {}", all.join("; ")))
        }
        Node::Not(inner) => Some(format!("must not hold: {}", words(inner))),
        Node::Test { .. } => Some(words(node)),
    }
}

/// A node in words, without what the event holds: the explanation is shown to people who may not see that.
fn words(node: &Node) -> String {
    match node {
        Node::All(_) => "all of a group".to_owned(),
        Node::Any(_) => "any of a group".to_owned(),
        Node::Not(inner) => format!("not {}", words(inner)),
        Node::Test { on_profile, path, op } => {
            let root = if *on_profile { "profile.traits" } else { "event" };
            let asked = match op {
                Ready::Matches(pattern) => format!("matches {:?}", pattern.as_str()),
                Ready::Plain(op) => match serde_json::to_value(op) {
                    Ok(Value::Object(pair)) => {
                        pair.into_iter().next().map(|(name, value)| format!("{name} {value}")).unwrap_or_default()
                    }
                    _ => String::new(),
                },
            };
            format!("{root}.{} {asked}", path.join("."))
        }
    }
}

#[cfg(test)]
mod tests;

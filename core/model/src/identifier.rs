//! Identifiers: what a person is known by, how values are normalised, which never identify, and how many a
//! profile may hold. The rules are those of Segment's Unify; see docs/guide/identity.md.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest value that identifies, in bytes; anything longer stays in the payload only.
pub const MAX_VALUE: usize = 256;

/// The default kinds, highest priority first. Custom kinds stand behind them, by name.
pub const DEFAULT_KINDS: [&str; 9] = [
    "user_id",
    "email",
    "phone",
    "anonymous_id",
    "device.idfa",
    "device.gaid",
    "device.push_token",
    "ga_client_id",
    "cookie_id",
];

/// The kinds that say who a person is; a profile with none of them is pseudonymous.
pub const KNOWN_KINDS: [&str; 3] = ["user_id", "email", "phone"];

/// One (kind, value) pair, the value already normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Identifier {
    /// `user_id`, `email`, `anonymous_id`, … or a custom kind.
    pub kind: String,
    /// The normalised value.
    pub value: String,
}

impl Identifier {
    /// An identifier of a raw value: normalised by its kind, or why it cannot identify.
    pub fn new(kind: &str, raw: &str, rules: &IdentityRules) -> Result<Self, Unusable> {
        let value = normalise(kind, raw);
        if value.is_empty() || rules.blocks(&value) || rules.blocks(raw.trim()) {
            return Err(Unusable::Blocked);
        }
        if value.len() > MAX_VALUE {
            return Err(Unusable::TooLong);
        }
        Ok(Self { kind: kind.to_owned(), value })
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

/// Why a value does not identify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// Blank, or on the tenant's list of values that many people share.
    #[error("the value is blocked: it does not name one person")]
    Blocked,
    /// Longer than [`MAX_VALUE`].
    #[error("the value is longer than {MAX_VALUE} bytes")]
    TooLong,
}

/// A value as its kind is compared: email and GAID lower-cased, IDFA upper-cased, phone in E.164, all trimmed.
pub fn normalise(kind: &str, raw: &str) -> String {
    let value = raw.trim();
    match kind {
        "email" | "device.gaid" => value.to_lowercase(),
        "device.idfa" => value.to_uppercase(),
        "phone" => e164(value).unwrap_or_else(|| value.to_owned()),
        _ => value.to_owned(),
    }
}

/// `+` and 7 to 15 digits, if the text is an international number; a national one stays as it is, for the country
/// is not known.
fn e164(value: &str) -> Option<String> {
    let international = value.strip_prefix('+').or_else(|| value.strip_prefix("00"))?;
    let filler = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/');
    let digits: String = international.chars().filter(char::is_ascii_digit).collect();
    (international.chars().all(filler) && (7..=15).contains(&digits.len())).then(|| format!("+{digits}"))
}

/// What may identify in one tenant. The defaults are safe; a tenant may set others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityRules {
    /// Kinds from the highest priority to the lowest; kinds not named here stand behind, by name.
    pub priority: Vec<String>,
    /// The most identifiers of a kind that a profile may hold.
    pub limits: BTreeMap<String, Limit>,
    /// The limit of kinds not named in `limits`.
    pub default_limit: Limit,
    /// Values that never identify, compared without regard to case.
    pub blocked: Vec<String>,
    /// The most identifiers a profile may hold before it merges no more.
    pub max_identifiers: u32,
    /// The most merges into a profile before it merges no more.
    pub max_merges: u32,
}

/// So many identifiers of a kind within a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// How many.
    pub count: u32,
    /// Counted over which span, back from the event.
    pub per: Span,
}

/// The span over which identifiers are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// All that the profile ever had.
    Ever,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

impl Span {
    /// Its length in days; `None` is for ever.
    pub const fn days(self) -> Option<u32> {
        match self {
            Self::Ever => None,
            Self::Week => Some(7),
            Self::Month => Some(30),
            Self::Year => Some(365),
        }
    }
}

impl Default for IdentityRules {
    fn default() -> Self {
        let ever = |count| Limit { count, per: Span::Ever };
        Self {
            priority: DEFAULT_KINDS.map(str::to_owned).to_vec(),
            limits: BTreeMap::from([("user_id".to_owned(), ever(1))]),
            default_limit: ever(5),
            blocked: [
                "-1",
                "null",
                "none",
                "undefined",
                "nan",
                "anonymous",
                "guest",
                "true",
                "false",
                "[object object]",
                "not_authenticated",
            ]
            .map(str::to_owned)
            .to_vec(),
            max_identifiers: 1_000,
            max_merges: 100,
        }
    }
}

impl IdentityRules {
    /// Whether a value is one that many people share: blank, only zeros and dashes, or on the list.
    pub fn blocks(&self, value: &str) -> bool {
        let value = value.trim();
        value.bytes().all(|b| b == b'0' || b == b'-') || self.blocked.iter().any(|b| b.eq_ignore_ascii_case(value))
    }

    /// Where a kind stands: 0 is the highest priority.
    pub fn rank(&self, kind: &str) -> usize {
        self.priority.iter().position(|known| known == kind).unwrap_or(self.priority.len())
    }

    /// The limit of a kind.
    pub fn limit(&self, kind: &str) -> Limit {
        self.limits.get(kind).copied().unwrap_or(self.default_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_their_kind_wants() {
        assert_eq!(normalise("email", " Jane@Example.COM "), "jane@example.com");
        assert_eq!(normalise("phone", "+49 (170) 123-4567"), "+491701234567");
        assert_eq!(normalise("phone", "0170 1234567"), "0170 1234567");
        assert_eq!(normalise("device.idfa", "ab-cd"), "AB-CD");
        assert_eq!(normalise("user_id", " Abc "), "Abc");
    }

    #[test]
    fn shared_values_never_identify() {
        let rules = IdentityRules::default();
        for value in ["", "  ", "0", "00000000-0000-0000-0000-000000000000", "NULL", "guest", "[object Object]", "-1"] {
            assert_eq!(Identifier::new("anonymous_id", value, &rules), Err(Unusable::Blocked), "{value:?}");
        }
        assert!(Identifier::new("user_id", "10", &rules).is_ok());
    }
}

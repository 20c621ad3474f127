//! Typed ids: a prefix that says what is meant (`src_…`) over a UUIDv7 in 32 lower-case hex digits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not a {what} id: expected {prefix}_ and 32 hex digits")]
pub struct InvalidId {
    /// The text that was given, cut to 64 characters.
    pub given: String,
    /// The kind of thing the id should name.
    pub what: &'static str,
    /// The prefix such an id starts with.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What ids of this kind start with.
            pub const PREFIX: &'static str = $prefix;

            /// A UUIDv7 id of a moment (milliseconds since 1970) and ten random bytes.
            pub fn from_parts(unix_ms: u64, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, random).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId {
                        given: text.chars().take(64).collect(),
                        what: $what,
                        prefix: $prefix,
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-f]{32}$")))
                    .description(Some(concat!("The id of a ", $what, ".")))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A client organisation.
    TenantId, "ten", "tenant";
    /// Where events come from.
    SourceId, "src", "source";
    /// Where events go.
    DestinationId, "dst", "destination";
    /// A source's way to a destination.
    RouteId, "rte", "route";
    /// A resolved person.
    ProfileId, "prf", "profile";
    /// A key that lets a client write to one source.
    WriteKeyId, "wrk", "write key";
    /// A key that lets a caller use the management API of one tenant.
    ApiKeyId, "apk", "API key";
    /// One merge of two profiles.
    MergeId, "mrg", "merge";
    /// A delivery that was given up on and waits in the inbox.
    DeadLetterId, "dlq", "dead letter";
    /// A person of whom nothing is kept.
    SuppressionId, "sup", "suppression";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips_and_a_wrong_prefix_is_named() {
        let id = SourceId::from_parts(1_700_000_000_000, &[7; 10]);
        assert_eq!(id.to_string().parse::<SourceId>(), Ok(id));
        let error = id.to_string().parse::<RouteId>().expect_err("a source id is no route id");
        assert!(error.to_string().contains("expected rte_"), "{error}");
    }

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        assert!(SourceId::from_parts(1, &[255; 10]) < SourceId::from_parts(2, &[0; 10]));
    }
}

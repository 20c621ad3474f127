//! A profile's document as it lies in its row: identifiers, traits, and where each came from. What many traits share
//! (they came with one event) is written once, moments are numbers and ids bare: half the bytes, and read three times
//! as fast as the form that the world sees.

use std::collections::{BTreeMap, HashMap};

use rialto_model::profile::{HeldIdentifier, Provenance, TraitValue};
use rialto_model::{SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bulk::{self, Hex};
use crate::error::{Result, StoreError};
use crate::tenant::from_json;

type Traits = BTreeMap<String, TraitValue>;
type Deleted = BTreeMap<String, Provenance>;

#[derive(Serialize)]
struct Written<'p> {
    /// Kind, value, first seen.
    i: Vec<(&'p str, &'p str, i64)>,
    /// Provenances: source, message id, moment.
    p: Vec<(Hex, &'p str, i64)>,
    /// Traits: name, value, which provenance.
    t: Vec<(&'p str, &'p Value, usize)>,
    /// Deleted traits: name, which provenance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    d: Vec<(&'p str, usize)>,
}

#[derive(Deserialize)]
struct Read {
    i: Vec<(String, String, i64)>,
    p: Vec<(Hex, String, i64)>,
    t: Vec<(String, Value, usize)>,
    #[serde(default)]
    d: Vec<(String, usize)>,
}

/// Provenances as they are met, each once.
#[derive(Default)]
struct Provenances<'p> {
    rows: Vec<(Hex, &'p str, i64)>,
    known: HashMap<(SourceId, &'p str, i64), usize>,
}

impl<'p> Provenances<'p> {
    fn number(&mut self, provenance: &'p Provenance) -> usize {
        let Provenance { source_id, message_id, at } = provenance;
        *self.known.entry((*source_id, message_id, at.0)).or_insert_with(|| {
            self.rows.push((Hex(source_id.0), message_id, at.0));
            self.rows.len() - 1
        })
    }
}

/// The document's text.
pub(crate) fn write(identifiers: &[HeldIdentifier], traits: &Traits, deleted: &Deleted) -> Result<String> {
    let mut provenances = Provenances::default();
    let t = traits
        .iter()
        .map(|(name, TraitValue { value, provenance })| (name.as_str(), value, provenances.number(provenance)))
        .collect();
    let d = deleted.iter().map(|(name, provenance)| (name.as_str(), provenances.number(provenance))).collect();
    let i = identifiers
        .iter()
        .map(|HeldIdentifier { kind, value, first_seen_at }| (kind.as_str(), value.as_str(), first_seen_at.0))
        .collect();
    bulk::json("profiles", &Written { i, p: provenances.rows, t, d })
}

/// What a document's text says.
pub(crate) fn read(text: &str) -> Result<(Vec<HeldIdentifier>, Traits, Deleted)> {
    let Read { i, p, t, d } = from_json("a profile", text)?;
    let provenances: Vec<Provenance> = p
        .into_iter()
        .map(|(source, message_id, at)| Provenance { source_id: SourceId(source.0), message_id, at: Timestamp(at) })
        .collect();
    let provenance = |number: usize| {
        let found = provenances.get(number).cloned();
        found.ok_or_else(|| StoreError::corrupt("a profile", "a trait's provenance is missing"))
    };
    let identifiers = i
        .into_iter()
        .map(|(kind, value, since)| HeldIdentifier { kind, value, first_seen_at: Timestamp(since) })
        .collect();
    let traits = t
        .into_iter()
        .map(|(name, value, number)| Ok((name, TraitValue { value, provenance: provenance(number)? })))
        .collect::<Result<_>>()?;
    let deleted = d.into_iter().map(|(name, number)| Ok((name, provenance(number)?))).collect::<Result<_>>()?;
    Ok((identifiers, traits, deleted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_it_was_written_and_shares_what_is_shared() {
        let came = |message: &str, at| Provenance {
            source_id: SourceId(uuid::Uuid::from_u128(7)),
            message_id: message.to_owned(),
            at: Timestamp(at),
        };
        let identifiers = vec![HeldIdentifier {
            kind: "email".to_owned(),
            value: "a\"\\\u{0}".to_owned(),
            first_seen_at: Timestamp(-5),
        }];
        let traits: Traits = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let provenance = if name == "c" { came("m2", 2) } else { came("m1", 1) };
                (name.to_owned(), TraitValue { value: serde_json::json!({"n": [1.5, null]}), provenance })
            })
            .collect();
        let deleted = Deleted::from([("old".to_owned(), came("m1", 1))]);
        let text = write(&identifiers, &traits, &deleted).expect("has a text");
        assert_eq!(read(&text).expect("is a document"), (identifiers, traits, deleted));
        assert_eq!(text.matches("m1").count(), 1, "{text}");
        let torn = text.replace("],2]", "],9]").replace(",1]]", ",9]]");
        assert!(matches!(read(&torn), Err(StoreError::Corrupt { what: "a profile", .. })), "{torn}");
        assert!(matches!(read("{}"), Err(StoreError::Corrupt { .. })));
    }
}

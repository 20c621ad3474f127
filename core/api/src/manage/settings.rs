//! Settings and secrets of a connector, of destinations and of sources: what is installed, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rialto_model::destination::Secrets;
use rialto_model::manifest::{self, Manifest};

use crate::check::escape;
use crate::problem::{FieldError, Problem, Result};
use crate::state::Api;

/// The manifest of an installed connector.
///
/// # Errors
/// Names those that are installed.
pub(crate) fn installed(api: &Api, connector: &str) -> Result<Arc<Manifest>> {
    api.connectors.find(connector).ok_or_else(|| {
        let ids: Vec<String> = api.connectors.all().iter().map(|manifest| manifest.id.clone()).collect();
        let known = if ids.is_empty() { "none is".to_owned() } else { format!("installed: {}", ids.join(", ")) };
        Problem::field("/connector", format!("no such connector is installed ({known})"))
    })
}

/// What secrets will be once a change is made: those that it sets, and the names of those that it leaves.
pub(crate) fn after(
    filled: BTreeSet<String>,
    change: &BTreeMap<String, Option<String>>,
) -> (Secrets, BTreeSet<String>) {
    let kept = filled.into_iter().filter(|name| !change.contains_key(name)).collect();
    let set = change.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    (Secrets(set), kept)
}

/// Nothing, if nothing is wrong.
///
/// # Errors
/// Names every field at fault.
pub(crate) fn sound(errors: Vec<manifest::FieldError>) -> Result<()> {
    let errors: Vec<FieldError> =
        errors.into_iter().map(|error| FieldError { pointer: pointer(&error.field), detail: error.message }).collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

/// `settings.url` as a JSON pointer. A name may hold dots itself, so only the first one parts.
fn pointer(field: &str) -> String {
    match field.split_once('.') {
        Some((group, name)) => format!("/{group}/{}", escape(name)),
        None => format!("/{}", escape(field)),
    }
}

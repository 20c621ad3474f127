//! Which page of a listing is wanted, as query parameters; and changes that can take a value away.

use rialto_model::page::{MAX_LIMIT, PageRequest};
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::problem::slug::Slug;
use crate::problem::{Problem, Result};

/// `limit` and `after`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// How many items at the most: 1 to 200, 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u32>,
    /// The `next` of the page before; absent for the first page.
    pub(crate) after: Option<String>,
}

impl Paging {
    /// The page that is asked for.
    pub(crate) fn request(self) -> Result<PageRequest> {
        page(self.limit, self.after)
    }
}

/// The page that `limit` and `after` ask for.
///
/// # Errors
/// A limit outside 1 to 200: a smaller page than was asked for would look like the last one.
pub(crate) fn page(limit: Option<u32>, after: Option<String>) -> Result<PageRequest> {
    if limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
        return Err(Problem::new(Slug::Malformed, format!("'limit' must be 1 to {MAX_LIMIT}.")));
    }
    Ok(PageRequest { limit, after })
}

/// Reads a member that is there, be it null: with `#[serde(default)]` an absent one stays `None`, so that a change
/// can tell "leave it" from "take it away".
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

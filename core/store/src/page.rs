//! Keyset pages: ask for one more row than wanted, and the last shown one is where the next page starts.

use std::str::FromStr;

use rialto_model::Position;
use rialto_model::page::{Page, PageRequest};

use crate::error::{Result, StoreError};

/// The page that these rows are, of which one more than the limit was asked for.
pub(crate) fn page_of<R, T>(
    mut rows: Vec<R>,
    page: &PageRequest,
    key: impl Fn(&R) -> String,
    show: impl FnMut(R) -> Result<T>,
) -> Result<Page<T>> {
    let limit = page.limit() as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(key);
    Ok(Page { items: rows.into_iter().map(show).collect::<Result<_>>()?, next })
}

/// The id that a page starts after.
pub(crate) fn after_id<I: FromStr>(page: &PageRequest) -> Result<Option<I>> {
    page.after.as_deref().map(str::parse).transpose().map_err(|_| not_a_cursor())
}

/// The position that a page starts behind; `first` if it is the first page.
pub(crate) fn after_position(page: &PageRequest, first: i64) -> Result<i64> {
    page.after
        .as_deref()
        .map_or(Ok(first), |text| text.parse::<Position>().map_err(|_| not_a_cursor()).and_then(to_sql))
}

/// A position as the databases hold it.
pub(crate) fn to_sql(position: Position) -> Result<i64> {
    i64::try_from(position).map_err(|_| StoreError::invalid("position", "is beyond the end of all streams"))
}

/// A count or position as the databases hold it.
pub(crate) fn from_sql(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| StoreError::corrupt("a position", "it is below zero"))
}

pub(crate) fn not_a_cursor() -> StoreError {
    StoreError::invalid("after", "is not the `next` of a page of this list")
}

//! Reads what is no longer in memory: runs of frames, window by window, each entry checked.
//!
//! A stream has no holes: trimming takes from its front, and erasing leaves a place. So a position that should be
//! there and is not is corruption, and is said.

use bytes::Bytes;
use fjall::Keyspace;
use rialto_model::{Position, TenantId};

use super::{
    frame::Frame,
    keys,
    place::translate_read,
    removal::find_frame,
    streams::{Span, Taken},
};
use crate::{Entry, LogError};

/// Reads the entries of these spans, in order, as [`crate::EventLog::read`] does.
///
/// # Errors
/// As there; entries that were read before the failure are returned instead of it.
pub(super) fn read(
    spans: &[(Span, Keyspace)],
    tenant: TenantId,
    limit: usize,
    max_bytes: usize,
) -> Result<Vec<Entry>, LogError> {
    let mut taken = Taken::new(limit, max_bytes);
    for (span, keyspace) in spans {
        match read_span(*span, keyspace, tenant, &mut taken) {
            Ok(Progress::More) => {}
            Ok(Progress::Enough) => break,
            Err(error) if taken.entries.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(taken.entries)
}

enum Progress {
    More,
    Enough,
}

fn read_span(span: Span, keyspace: &Keyspace, tenant: TenantId, taken: &mut Taken) -> Result<Progress, LogError> {
    let mut expected = span.first;
    let corrupt = |position, reason: &str| LogError::Corrupt { tenant, position, reason: reason.into() };
    let frames = keyspace.range(keys::frame(tenant, span.first)..=keys::frame(tenant, Position::MAX));
    for item in frames {
        let (key, value) = item.into_inner().map_err(|error| translate_read(tenant, expected, error))?;
        let (_, last) = keys::parse_frame(&key).ok_or_else(|| corrupt(expected, "its key is not a frame's"))?;
        let frame = Frame::parse(tenant, last, Bytes::from_owner(value)).map_err(|why| corrupt(expected, why))?;
        if frame.first > expected || (frame.first < expected && expected != span.first) {
            break;
        }
        for slot in frame.slots().filter(|slot| (expected..=span.last).contains(&slot.position)) {
            if !slot.erased && taken.is_enough(slot.body.len()) {
                return Ok(Progress::Enough);
            }
            taken.entries.extend(frame.checked(&slot).map_err(|why| corrupt(slot.position, why))?);
        }
        expected = frame.last + 1;
        if expected > span.last {
            return Ok(Progress::More);
        }
    }
    Err(corrupt(expected, "it is missing"))
}

/// Reads single entries, each with the window it lies in; what is erased is left out.
///
/// # Errors
/// [`LogError::Corrupt`], [`LogError::Unavailable`].
pub(super) fn get_many(places: &[(Position, Keyspace)], tenant: TenantId) -> Result<Vec<(Position, Entry)>, LogError> {
    let mut entries = Vec::with_capacity(places.len());
    let mut at_hand: Option<Frame> = None;
    for (position, keyspace) in places {
        let frame = match at_hand.take() {
            Some(frame) if (frame.first..=frame.last).contains(position) => frame,
            _ => find_frame(keyspace, tenant, *position)?,
        };
        if let Some(slot) = frame.slots().find(|slot| slot.position == *position) {
            let corrupt = |why: &str| LogError::Corrupt { tenant, position: *position, reason: why.into() };
            entries.extend(frame.checked(&slot).map_err(corrupt)?.map(|entry| (*position, entry)));
        }
        at_hand = Some(frame);
    }
    Ok(entries)
}

#[cfg(test)]
#[path = "tests/reader.rs"]
mod tests;

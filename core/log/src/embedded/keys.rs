//! What lies under which key.
//!
//! A window's keyspace holds frames under `tenant (16) + last position of the frame (8, big endian)`: seeking to a
//! position finds the frame that holds it. The index keyspace holds what outlives windows; its keys are never 24
//! bytes long, so a frame is told from a record by its key alone.

use rialto_model::{Position, TenantId};

/// The length of a frame's key, in bytes.
pub(super) const FRAME_KEY: usize = 24;

/// The key of the frame of `tenant` that ends at `last`.
pub(super) fn frame(tenant: TenantId, last: Position) -> [u8; FRAME_KEY] {
    let mut key = [0; FRAME_KEY];
    key[..16].copy_from_slice(tenant.0.as_bytes());
    key[16..].copy_from_slice(&last.to_be_bytes());
    key
}

/// Whose frame a key names, and where the frame ends; `None` if it is no frame's key.
pub(super) fn parse_frame(key: &[u8]) -> Option<(TenantId, Position)> {
    let key: &[u8; FRAME_KEY] = key.try_into().ok()?;
    let (tenant, last) = key.split_at(16);
    Some((tenant_of(tenant)?, Position::from_be_bytes(last.try_into().ok()?)))
}

/// The windows up to this one are trimmed: 8 bytes, big endian.
pub(super) const FLOOR: &[u8] = b"f";
/// Rewritten at every opening and closing, so that all before it is known not to be the journal's torn tail.
pub(super) const MARK: &[u8] = b"m";

const SEGMENT: u8 = b's';
const HEAD: u8 = b'h';

/// One record of the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// From this position on, the stream lies in that window.
    Segment { tenant: TenantId, first: Position, window: u64 },
    /// Where a stream stood when its last window went.
    Head { tenant: TenantId, head: Position, dropped: bool },
    /// See [`FLOOR`].
    Floor(u64),
    /// See [`MARK`].
    Mark,
}

/// The key of a segment that begins at `first`; its value is the window's number, big endian.
pub(super) fn segment(tenant: TenantId, first: Position) -> Vec<u8> {
    [&[SEGMENT], tenant.0.as_bytes().as_slice(), &first.to_be_bytes()].concat()
}

/// The key of a remembered head.
pub(super) fn head(tenant: TenantId) -> Vec<u8> {
    [&[HEAD], tenant.0.as_bytes().as_slice()].concat()
}

/// The value of a remembered head.
pub(super) fn head_value(head: Position, dropped: bool) -> Vec<u8> {
    [head.to_be_bytes().as_slice(), &[u8::from(dropped)]].concat()
}

/// Reads a record of the index; `None` if it is none that this version writes.
pub(super) fn parse_record(key: &[u8], value: &[u8]) -> Option<Record> {
    match (key, value) {
        (FLOOR, value) => Some(Record::Floor(u64::from_be_bytes(value.try_into().ok()?))),
        (MARK, _) => Some(Record::Mark),
        ([SEGMENT, rest @ ..], value) if rest.len() == FRAME_KEY => {
            let (tenant, first) = parse_frame(rest)?;
            Some(Record::Segment { tenant, first, window: u64::from_be_bytes(value.try_into().ok()?) })
        }
        ([HEAD, tenant @ ..], [head @ .., dropped]) => Some(Record::Head {
            tenant: tenant_of(tenant)?,
            head: Position::from_be_bytes(head.try_into().ok()?),
            dropped: *dropped != 0,
        }),
        _ => None,
    }
}

fn tenant_of(bytes: &[u8]) -> Option<TenantId> {
    Some(TenantId(uuid::Uuid::from_bytes(bytes.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_records_read_back() {
        let tenant = TenantId::from_parts(7, &[9; 10]);
        assert_eq!(parse_frame(&frame(tenant, 300)), Some((tenant, 300)));
        assert_eq!(
            parse_record(&segment(tenant, 5), &8u64.to_be_bytes()),
            Some(Record::Segment { tenant, first: 5, window: 8 })
        );
        assert_eq!(
            parse_record(&head(tenant), &head_value(77, true)),
            Some(Record::Head { tenant, head: 77, dropped: true })
        );
        assert_eq!(parse_record(FLOOR, &3u64.to_be_bytes()), Some(Record::Floor(3)));
        assert_eq!(parse_record(b"x", b""), None);
    }

    #[test]
    fn a_frame_sorts_by_tenant_then_position_and_is_no_record() {
        let (low, high) = (TenantId::from_parts(1, &[0; 10]), TenantId::from_parts(2, &[0; 10]));
        assert!(frame(low, u64::MAX) < frame(high, 0));
        assert!(frame(low, 255) < frame(low, 256));
        assert_eq!(parse_frame(&segment(low, 1)), None);
        assert_eq!(parse_frame(&head(low)), None);
    }
}

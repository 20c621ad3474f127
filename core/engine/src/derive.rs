//! Ids that follow from their cause, so that a step repeated after a crash makes the same ones again.

use rialto_model::{DeadLetterId, DestinationId, MergeId, Position, ProfileId, SourceId, TenantId, Timestamp};
use uuid::Uuid;

/// The source of events that the hub itself puts into a tenant's stream, such as `profile.merged`. No write key
/// leads to it, and of the tenant's routes only those without a source take its events.
pub const ENGINE_SOURCE: SourceId = SourceId(Uuid::from_u128(1));

/// A hash over parts, each with its length, so that no two lists of parts read the same.
fn hash(what: &str, parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(&what.as_bytes()).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

/// What ten random bytes would be, and the moment in milliseconds.
fn uuid_parts(hash: &blake3::Hash, at: Timestamp) -> (u64, [u8; 10]) {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&hash.as_bytes()[..10]);
    (u64::try_from(at.millis()).unwrap_or(0), bytes)
}

/// The profile that the event at a position creates. Of one moment's, that of the earlier event sorts first.
pub(crate) fn profile_id(tenant: TenantId, position: Position, received_at: Timestamp) -> ProfileId {
    let hash = hash("profile", &[tenant.0.as_bytes(), &position.to_le_bytes()]);
    let (ms, mut bytes) = uuid_parts(&hash, received_at);
    // A UUIDv7 leaves four bits of the first byte and six of the third: 42 bits of position are before the hash.
    let place = position.to_be_bytes();
    bytes[3..6].copy_from_slice(&place[5..]);
    let high = (position >> 24) as u32;
    bytes[0] = (high >> 14) as u8 & 0x0f;
    bytes[1] = (high >> 6) as u8;
    bytes[2] = high as u8 & 0x3f;
    ProfileId::from_parts(ms, &bytes)
}

/// Whom an event without a person is ordered behind: nobody else.
pub(crate) fn nobody(tenant: TenantId, position: Position) -> ProfileId {
    let hash = hash("nobody", &[tenant.0.as_bytes(), &position.to_le_bytes()]);
    ProfileId::from_parts(0, &uuid_parts(&hash, Timestamp(0)).1)
}

/// Whether an id was made by [`nobody`].
pub(crate) fn is_nobody(id: ProfileId) -> bool {
    id.0.as_bytes().starts_with(&[0; 6])
}

/// The merge of two profiles that the event at a position made.
pub(crate) fn merge_id(tenant: TenantId, position: Position, absorbed: ProfileId, received_at: Timestamp) -> MergeId {
    let hash = hash("merge", &[tenant.0.as_bytes(), &position.to_le_bytes(), absorbed.0.as_bytes()]);
    let (ms, bytes) = uuid_parts(&hash, received_at);
    MergeId::from_parts(ms, &bytes)
}

/// The delivery of an event to a destination by an action: the same on every attempt, node and restart.
pub(crate) fn delivery_id(
    tenant: TenantId,
    destination: DestinationId,
    action: &str,
    position: Position,
    message_id: &str,
) -> String {
    let place = position.to_le_bytes();
    let parts: [&[u8]; 5] =
        [tenant.0.as_bytes(), destination.0.as_bytes(), action.as_bytes(), &place, message_id.as_bytes()];
    format!("dlv_{}", &hash("delivery", &parts).to_hex().as_str()[..32])
}

/// The dead letter of a delivery.
pub(crate) fn dead_letter_id(delivery_id: &str, died_at: Timestamp) -> DeadLetterId {
    let hash = hash("dead letter", &[delivery_id.as_bytes(), &died_at.0.to_le_bytes()]);
    let (ms, bytes) = uuid_parts(&hash, died_at);
    DeadLetterId::from_parts(ms, &bytes)
}

/// A number from 0 to 1 that follows from a text: what spreads retries without a random source.
pub(crate) fn spread(text: &str, number: u32) -> f64 {
    let hash = hash("spread", &[text.as_bytes(), &number.to_le_bytes()]);
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// The message id of something the hub says: a repeat of the same cause has the same one.
pub(crate) fn notice_id(name: &str, cause: &[&[u8]]) -> String {
    let hex = hash(name, cause).to_hex();
    format!("{name}:{}", &hex.as_str()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_gives_the_same_id_and_another_gives_another() {
        let tenant = TenantId::from_parts(1, &[1; 10]);
        let at = Timestamp::from_millis(1_769_860_800_000);
        assert_eq!(profile_id(tenant, 7, at), profile_id(tenant, 7, at));
        assert_ne!(profile_id(tenant, 7, at), profile_id(tenant, 8, at));
        assert!(profile_id(tenant, 9, at) < profile_id(tenant, 1, Timestamp(at.0 + 1_000)), "older sorts first");
        for position in [1, 63, 255, 1 << 16, (1 << 24) - 1, (1 << 30) - 1, (1 << 38) - 1, (1 << 42) - 2] {
            let (one, next) = (profile_id(tenant, position, at), profile_id(tenant, position + 1, at));
            assert!(one < next, "the event at {position} came first");
        }
        assert_ne!(notice_id("x", &[b"ab", b"c"]), notice_id("x", &[b"a", b"bc"]));
    }
}

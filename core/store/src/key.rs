//! Keys: 256 random bits behind a prefix, kept as a keyed hash only, and ids that sort by time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rialto_model::{TenantId, Timestamp};

use crate::error::{Result, StoreError};

/// A key as it is shown once, with what is kept of it.
pub(crate) struct NewKey {
    /// `wk_` and 43 letters of base64url.
    pub(crate) shown: String,
    /// What it is found by.
    pub(crate) hash: [u8; 32],
    /// Its last four characters.
    pub(crate) hint: String,
}

/// Hashes keys under a key of the hub's own, so that a stolen table does not even tell whether a guess is right.
#[derive(Clone)]
pub(crate) struct KeyHasher([u8; 32]);

impl KeyHasher {
    pub(crate) fn new(master_secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("rialto store v1: hashes of keys", master_secret))
    }

    /// What a key is found by.
    pub(crate) fn hash(&self, key: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, key.as_bytes()).as_bytes()
    }

    /// A key for a purpose of one tenant's; `context` names the purpose and no other has it.
    pub(crate) fn derive(&self, context: &str, tenant: TenantId) -> [u8; 32] {
        // Two parts of fixed length: no two tenants spell the same.
        blake3::derive_key(context, &[&self.0[..], tenant.0.as_bytes()].concat())
    }

    /// A new key behind a prefix.
    pub(crate) fn make(&self, prefix: &str) -> Result<NewKey> {
        let shown = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        let hint = shown[shown.len() - 4..].to_owned();
        Ok(NewKey { hash: self.hash(&shown), shown, hint })
    }
}

/// Whether two hashes are one, in a time that does not depend on where they differ.
pub(crate) fn same(kept: &[u8], given: &[u8; 32]) -> bool {
    <[u8; 32]>::try_from(kept).is_ok_and(|kept| blake3::Hash::from_bytes(kept) == blake3::Hash::from_bytes(*given))
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(StoreError::unavailable(format!("the system has no random bytes: {error}"))),
    }
}

/// The parts of a new id: milliseconds and ten random bytes.
pub(crate) fn id_parts(now: Timestamp) -> Result<(u64, [u8; 10])> {
    Ok((u64::try_from(now.millis()).unwrap_or(0), random()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash_under_the_same_secret_only() {
        let (ours, theirs) = (KeyHasher::new(&[1; 32]), KeyHasher::new(&[2; 32]));
        let key = ours.make("wk").expect("random bytes");
        assert!(key.shown.starts_with("wk_") && key.shown.len() == 46 && key.shown.ends_with(&key.hint));
        assert!(same(&ours.hash(&key.shown), &key.hash));
        assert!(!same(&theirs.hash(&key.shown), &key.hash));
        assert!(!same(&key.hash[..31], &key.hash));
        assert_ne!(ours.make("wk").expect("random bytes").shown, key.shown);
    }
}

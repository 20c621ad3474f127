//! Secrets at rest: each is sealed under its tenant's data key, which is itself sealed under the master secret.
//!
//! What a secret belongs to (tenant, destination or source, name) is bound in, so that a row moved elsewhere does not open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rialto_model::{DestinationId, SourceId, TenantId};

use crate::error::{Result, StoreError};
use crate::key::random;

const NONCE: usize = 24;

/// Whose a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Destination(DestinationId),
    Source(SourceId),
}

impl Owner {
    pub(crate) fn id(self) -> uuid::Uuid {
        match self {
            Self::Destination(id) => id.0,
            Self::Source(id) => id.0,
        }
    }

    /// Told apart, so that who gives a destination a source's id does not open the source's secrets.
    fn kind(self) -> &'static [u8] {
        match self {
            Self::Destination(_) => b"d",
            Self::Source(_) => b"s",
        }
    }
}

/// Seals and opens data keys.
#[derive(Clone)]
pub(crate) struct Master(XChaCha20Poly1305);

/// Seals and opens the secrets of one tenant.
pub(crate) struct DataKey {
    cipher: XChaCha20Poly1305,
    tenant: TenantId,
}

impl Master {
    pub(crate) fn new(master_secret: &[u8; 32]) -> Self {
        let key = blake3::derive_key("rialto store v1: wrapping of data keys", master_secret);
        Self(XChaCha20Poly1305::new(Key::from_slice(&key)))
    }

    /// A new data key, sealed.
    pub(crate) fn make(&self, tenant: TenantId) -> Result<Vec<u8>> {
        seal(&self.0, &random::<32>()?, tenant.0.as_bytes())
    }

    /// A data key, opened.
    pub(crate) fn open(&self, tenant: TenantId, wrapped: &[u8]) -> Result<DataKey> {
        let key = open(&self.0, wrapped, tenant.0.as_bytes())
            .filter(|key| key.len() == 32)
            .ok_or_else(|| StoreError::corrupt("a data key", "sealed under another master secret, or damaged"))?;
        Ok(DataKey { cipher: XChaCha20Poly1305::new(Key::from_slice(&key)), tenant })
    }
}

impl DataKey {
    /// A secret, sealed.
    pub(crate) fn seal(&self, owner: Owner, name: &str, secret: &str) -> Result<Vec<u8>> {
        seal(&self.cipher, secret.as_bytes(), &self.belongs(owner, name))
    }

    /// A secret, opened.
    pub(crate) fn open(&self, owner: Owner, name: &str, sealed: &[u8]) -> Result<String> {
        open(&self.cipher, sealed, &self.belongs(owner, name))
            .and_then(|secret| String::from_utf8(secret).ok())
            .ok_or_else(|| StoreError::corrupt("a secret", "it was sealed for something else, or is damaged"))
    }

    /// Two ids and a kind of fixed length, then the name: no two owners spell the same.
    fn belongs(&self, owner: Owner, name: &str) -> Vec<u8> {
        [self.tenant.0.as_bytes(), owner.id().as_bytes(), owner.kind(), name.as_bytes()].concat()
    }
}

fn seal(cipher: &XChaCha20Poly1305, plain: &[u8], belongs: &[u8]) -> Result<Vec<u8>> {
    let nonce = random::<NONCE>()?;
    let sealed = cipher
        .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: belongs })
        .map_err(|_| StoreError::invalid("secrets", "too long to be sealed"))?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(cipher: &XChaCha20Poly1305, sealed: &[u8], belongs: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: belongs }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_belongs() {
        let id = |n| uuid::Uuid::from_u128(n);
        let (ours, theirs) = (TenantId(id(1)), TenantId(id(2)));
        let here = Owner::Destination(DestinationId(id(3)));
        let master = Master::new(&[7; 32]);
        let wrapped = master.make(ours).expect("sealed");
        let key = master.open(ours, &wrapped).expect("ours");
        let sealed = key.seal(here, "token", "s3cret").expect("sealed");
        assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
        assert_eq!(key.open(here, "token", &sealed).expect("ours"), "s3cret");
        for there in [Owner::Destination(DestinationId(id(4))), Owner::Source(SourceId(id(3)))] {
            assert!(key.open(there, "token", &sealed).is_err(), "another owner");
        }
        assert!(key.open(here, "other", &sealed).is_err(), "another name");
        assert!(master.open(theirs, &wrapped).is_err(), "another tenant");
        assert!(Master::new(&[8; 32]).open(ours, &wrapped).is_err(), "another master secret");
        assert!(key.open(here, "token", &sealed[..20]).is_err(), "cut short");
    }
}

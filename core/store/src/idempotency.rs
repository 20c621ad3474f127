//! Idempotency keys: a request that comes twice is answered twice and done once.

use std::time::Duration;

use rialto_model::Timestamp;

use crate::error::{Result, StoreError};
use crate::scope::TenantScope;
use crate::write::Remembered;

/// How long an answer is given again.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After how long a request that never ended (its node died) no longer holds its key.
const LOST: Duration = Duration::from_secs(60);
const MAX_KEY: usize = 255;

impl TenantScope {
    /// Takes a key for a request, or says what became of the one that had it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key that is empty or longer than 255 bytes.
    pub async fn remember(&self, key: &str, fingerprint: &str, now: Timestamp) -> Result<Remembered> {
        check(key)?;
        // Keyed, for a request may hold a secret that could be guessed at from a plain digest.
        let fingerprint = blake3::Hash::from_bytes(self.store.hasher.hash(fingerprint)).to_hex().to_string();
        let tx = self.write().await?;
        let sql = "DELETE FROM idempotency_keys WHERE tenant_id = $1 \
                   AND (created_at < $2 OR (key = $3 AND answer IS NULL AND created_at < $4))";
        tx.run(sql, [now.before(KEPT).0.into(), key.into(), now.before(LOST).0.into()]).await?;
        let sql = "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, created_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (tenant_id, key) DO NOTHING";
        let taken = tx.run(sql, [key.into(), fingerprint.clone().into(), now.0.into()]).await? == 1;
        let sql = "SELECT fingerprint, answer FROM idempotency_keys WHERE tenant_id = $1 AND key = $2";
        let row = tx.row(sql, [key.into()]).await?;
        tx.commit().await?;
        if taken {
            return Ok(Remembered::Fresh);
        }
        let Some(row) = row else { return Ok(Remembered::Underway) };
        if row.try_get_by_index::<String>(0)? != fingerprint {
            return Ok(Remembered::Mismatch);
        }
        Ok(row.try_get_by_index::<Option<String>>(1)?.map_or(Remembered::Underway, Remembered::Replay))
    }

    /// Keeps the answer of the request that took the key, to be given again for a day.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key that nobody took; [`StoreError::Invalid`] for an answer that is no text.
    pub async fn remember_answer(&self, key: &str, answer: &str) -> Result<()> {
        check(key)?;
        if answer.contains('\0') {
            return Err(StoreError::invalid("answer", "holds U+0000"));
        }
        let tx = self.write().await?;
        let sql = "UPDATE idempotency_keys SET answer = $3 WHERE tenant_id = $1 AND key = $2";
        if tx.run(sql, [key.into(), answer.into()]).await? == 0 {
            return Err(StoreError::NotFound { what: "idempotency key" });
        }
        tx.commit().await
    }

    /// Gives the key back: the request failed, and the next one with it is new.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget(&self, key: &str) -> Result<()> {
        check(key)?;
        let tx = self.write().await?;
        let sql = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND key = $2 AND answer IS NULL";
        tx.run(sql, [key.into()]).await?;
        tx.commit().await
    }
}

fn check(key: &str) -> Result<()> {
    if (1..=MAX_KEY).contains(&key.len()) && !key.contains('\0') {
        return Ok(());
    }
    Err(StoreError::invalid("Idempotency-Key", format!("has to have 1 to {MAX_KEY} bytes")))
}

//! Takes out of the log what a step has withdrawn. The step decides and writes that it owes so, in one transaction with
//! the timeline row that says why; here it is done, and only then forgotten. Whatever dies in between, the payload is
//! either owed or gone, and no event is without its row.
//!
//! It is done for all tenants together and not with each step: the log rewrites whole windows for it.

use rialto_model::{Position, TenantId};

use crate::engine::Engine;
use crate::error::EngineError;

/// The most payloads of one tenant that are taken out in one go; what it owes beyond waits for the next.
const OF_ONE: usize = 500_000;
/// With so many the log is asked to rewrite its windows.
const ENOUGH: usize = 1_000_000;
/// So many are forgotten in one transaction, so that nobody waits long for SQLite's one writer.
const FORGOTTEN: usize = 2_000;

type Owed = Vec<(TenantId, Vec<Position>)>;

impl Engine {
    /// Takes the payloads out of the log that were withdrawn in these tenants, and says how many. Each tenant is asked
    /// once: who goes on owing meanwhile does not keep the log at it. Of what is counted no file of the log holds
    /// anything when it returns.
    ///
    /// # Errors
    /// What the store did not do. What was not done is still owed, and doing it again is right.
    pub async fn withdraw(&self, tenants: &[TenantId]) -> Result<usize, EngineError> {
        let mut count = 0;
        let mut left = tenants.iter();
        loop {
            let owed = self.owed(&mut left).await?;
            if owed.is_empty() {
                return Ok(count);
            }
            count += self.erased(owed).await?;
        }
    }

    /// What the next of these tenants owe, until it is enough.
    async fn owed(&self, tenants: &mut std::slice::Iter<'_, TenantId>) -> Result<Owed, EngineError> {
        let (mut owed, mut count) = (Owed::new(), 0);
        for tenant in tenants {
            let positions = self.0.processor.store.lease(*tenant).withdrawn(OF_ONE).await?;
            if !positions.is_empty() {
                count += positions.len();
                owed.push((*tenant, positions));
            }
            if count >= ENOUGH {
                break;
            }
        }
        Ok(owed)
    }

    /// Erases for all of them together, or, should that fail for one, for each alone.
    async fn erased(&self, owed: Owed) -> Result<usize, EngineError> {
        if self.0.log.erase_of_many(&owed).await.is_ok() {
            return self.forget(&owed).await;
        }
        let mut count = 0;
        for one in owed {
            match self.0.log.erase_of_many(std::slice::from_ref(&one)).await {
                Ok(_) => count += self.forget(&[one]).await?,
                Err(error) => {
                    tracing::warn!(tenant = %one.0, %error, "payloads cannot be withdrawn and are still owed")
                }
            }
        }
        Ok(count)
    }

    async fn forget(&self, done: &[(TenantId, Vec<Position>)]) -> Result<usize, EngineError> {
        for (tenant, positions) in done {
            let scope = self.0.processor.store.lease(*tenant);
            for some in positions.chunks(FORGOTTEN) {
                scope.withdrawal_done(some).await?;
            }
        }
        Ok(done.iter().map(|(_, positions)| positions.len()).sum())
    }
}

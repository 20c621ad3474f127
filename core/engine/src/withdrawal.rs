//! Takes out of the log what a step has withdrawn. The step decides and writes that it owes so, in one transaction with
//! the timeline row that says why; here it is done, and only then forgotten. Whatever dies in between, the payload is
//! either owed or gone, and no event is without its row.
//!
//! It is done for all tenants together and not with each step: the log rewrites whole windows for it.

use rialto_model::{Position, TenantId};

use crate::engine::Engine;
use crate::error::EngineError;

/// The most payloads of one tenant that are taken out at once.
const OF_ONE: usize = 10_000;
/// With so many the log is asked to rewrite its windows.
const ENOUGH: usize = 100_000;

impl Engine {
    /// Takes all payloads out of the log that were withdrawn in these tenants, and says how many. When it returns, no
    /// file of the log holds them.
    ///
    /// # Errors
    /// What the store or the log did not do. What was not done is still owed, and doing it again is right.
    pub async fn withdraw(&self, tenants: &[TenantId]) -> Result<usize, EngineError> {
        let mut count = 0;
        loop {
            let owed = self.owed(tenants).await?;
            if owed.is_empty() {
                return Ok(count);
            }
            self.0.log.erase_of_many(&owed).await?;
            for (tenant, positions) in &owed {
                self.0.processor.store.lease(*tenant).withdrawal_done(positions).await?;
                count += positions.len();
            }
        }
    }

    async fn owed(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, Vec<Position>)>, EngineError> {
        let (mut owed, mut count) = (Vec::new(), 0);
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
}

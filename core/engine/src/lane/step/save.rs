//! Writing down how far a lane has come, while it goes on. On SQLite the write waits behind the step of the processor
//! that is being written, and a lane that waited along would make one window of every step.
//!
//! Only where everything went through: what is parked, skipped or given up is written before anything else is sent.

use rialto_model::{Position, Timestamp};
use rialto_store::{LaneWrite, StoreError};
use tokio::task::JoinHandle;

use super::{Lane, StepError};
use crate::faults::Point;
use crate::lane::judge::Judged;

/// So many events may have gone through beyond what is written down while a window is under way: after a crash they are
/// sent again, and so is the window.
const MAX_UNSAVED: u64 = 2_000;

/// A write of the cursor that is under way. A task of its own, for it may hold a connection while the lane waits for
/// another one.
pub(super) struct Saving {
    to: Position,
    at: Timestamp,
    delivered: u64,
    written: JoinHandle<Result<(), StoreError>>,
}

impl Lane {
    /// Every event up to `to` went through.
    pub(super) async fn passed(&mut self, to: Position, judged: Judged, now: Timestamp) -> Result<(), StepError> {
        let Some(memory) = &mut self.memory else { return Ok(()) };
        memory.cursor = to;
        memory.unsaved += judged.delivered.len() as u64;
        let under_way = self.saving.as_ref().map_or(0, |saving| saving.delivered);
        let too_much = memory.unsaved + under_way > MAX_UNSAVED;
        self.tell(now, &judged);
        if too_much || self.saving.as_ref().is_some_and(|saving| saving.written.is_finished()) {
            self.saved().await?;
        }
        if self.saving.is_none() {
            self.save(now);
        }
        Ok(())
    }

    /// Begins to write down what went through.
    fn save(&mut self, now: Timestamp) {
        let Some(memory) = &mut self.memory else { return };
        if memory.unsaved == 0 {
            return;
        }
        let delivered = std::mem::take(&mut memory.unsaved);
        let write = LaneWrite {
            destination_id: self.destination,
            from: memory.saved,
            to: memory.cursor,
            delivered,
            skipped: Vec::new(),
            parked: Vec::new(),
            dead: Vec::new(),
            now,
        };
        let scope = self.scope.clone();
        let written = tokio::spawn(async move { scope.commit_lane(&write).await });
        self.saving = Some(Saving { to: memory.cursor, at: now, delivered, written });
    }

    /// Waits for the write that is under way.
    pub(super) async fn saved(&mut self) -> Result<(), StepError> {
        let Some(saving) = &mut self.saving else { return Ok(()) };
        let written = (&mut saving.written).await;
        let (to, at, delivered) = (saving.to, saving.at, saving.delivered);
        self.saving = None;
        let written = written.unwrap_or_else(|_| Err(StoreError::unavailable("the write was broken off")));
        if let (Err(_), Some(memory)) = (&written, &mut self.memory) {
            // The next write tells of it.
            memory.unsaved += delivered;
        }
        written?;
        if let Some(memory) = &mut self.memory {
            (memory.saved, memory.saved_at) = (to, at);
        }
        self.parts.faults.reach(Point::AfterCommitLane)?;
        Ok(())
    }

    /// The lane stops for good; what cannot be written down now is sent again after the next start.
    pub(in crate::lane) async fn end(&mut self) {
        if let Err(error) = self.flush(self.parts.clock.now()).await {
            tracing::warn!(tenant = %self.scope.tenant_id(), destination = %self.destination, %error, "a cursor is lost");
        }
    }

    /// Writes down everything that went through, before the lane does something else.
    pub(super) async fn flush(&mut self, now: Timestamp) -> Result<(), StepError> {
        self.saved().await?;
        self.save(now);
        self.saved().await
    }
}

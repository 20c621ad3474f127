//! Makes erased bytes go from every file: tables are rewritten, journals overwritten in place.

use std::{sync::Arc, time::Duration};

use fjall::{Keyspace, PersistMode};
use rialto_model::{Position, TenantId};

use super::{
    Shared,
    place::{engine_folder, translate},
    scrub::scrub,
};
use crate::LogError;

impl Shared {
    /// Rewrites these windows without what was overwritten or removed in them, then the journals without the bodies
    /// that `is_erased` names. Takes about as long as writing the windows anew (each is bounded in size); appends
    /// and reads go on meanwhile.
    ///
    /// # Errors
    /// [`LogError::Unavailable`]; doing it again is right.
    pub(super) fn purge(
        self: &Arc<Self>,
        windows: &[Keyspace],
        is_erased: impl Fn(TenantId, Position) -> bool,
    ) -> Result<(), LogError> {
        // Held throughout: healing and closing wait for the engine to be let go.
        let _one_at_a_time = self.purging.lock();
        let engine = engine_folder(&self.folder);
        let failed = |error| translate(&engine, error);
        for window in windows {
            window.rotate_memtable().map_err(failed)?;
            self.wait_for_tables(window)?;
        }
        self.let_old_versions_go()?;
        for window in windows {
            window.major_compact().map_err(failed)?;
        }
        self.let_old_versions_go()?;
        let bodies = scrub(&self.folder, &engine, is_erased)
            .map_err(|error| LogError::unavailable("the journals cannot be overwritten", error))?;
        tracing::info!(windows = windows.len(), journal_bodies = bodies, "removed erased bytes from the log's files");
        Ok(())
    }

    /// The engine keeps old versions, and the files that hold them, for readers that began earlier. With no reader
    /// under way, a new batch and a rotation move its line past all that was erased before.
    fn let_old_versions_go(&self) -> Result<(), LogError> {
        let engine = engine_folder(&self.folder);
        let _no_readers = self.readers.write();
        let place = self.place.read();
        let place = place.as_ref().ok_or_else(|| self.why_not())?;
        place.mark().and_then(|()| place.index.rotate_memtable()).map_err(|error| translate(&engine, error))?;
        Ok(())
    }

    fn wait_for_tables(&self, window: &Keyspace) -> Result<(), LogError> {
        while window.sealed_memtable_count() > 0 {
            let database = self.place.read().as_ref().map(|place| place.database.clone());
            let database = database.ok_or_else(|| self.why_not())?;
            database.persist(PersistMode::Buffer).map_err(|error| translate(&engine_folder(&self.folder), error))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

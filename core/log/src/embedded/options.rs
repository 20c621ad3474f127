//! What can be set on the embedded log, and why the defaults are what they are.

use std::time::Duration;

/// Bounds and sizes of an [`crate::EmbeddedLog`]. Each bound is a promise about memory or disk.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// How much time one window holds: the grain in which retention drops entries.
    pub window: Duration,
    /// The most one append may carry, in bytes of bodies.
    pub max_append_bytes: usize,
    /// How many bytes of bodies may wait to be written before appends are refused as full. One append is always
    /// let in when nothing waits.
    pub max_queued_bytes: usize,
    /// How many appends may wait to be written.
    pub max_queued_appends: usize,
    /// After how many bytes of bodies a group is committed even though more waits: bounds what one flush takes.
    pub max_group_bytes: usize,
    /// How many bytes of the newest frames, over all tenants, are kept in memory for readers that keep up.
    pub recent_bytes: usize,
    /// At what size a window's part in memory is written to a table, in bytes. While a table is written each flush of
    /// appends takes several times as long. A window closes after 16 tables, before the storage engine would begin to
    /// merge them.
    pub memtable_bytes: u64,
    /// The storage engine's cache of blocks read from disk, in bytes.
    pub block_cache_bytes: u64,
    /// The storage engine's journals may take this many bytes on disk (64 MiB at least): what is read back at
    /// opening.
    pub journal_bytes: u64,
    /// Called on the thread that starts the storage engine's workers, before it does. They write tables, for which
    /// nobody waits, and are as nice to others as that thread; the log's own writer is as nice as who opens the log.
    pub before_workers: fn(),
    /// How long the log waits between two attempts to take writes again after storage failed.
    pub heal_every: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            window: Duration::from_secs(24 * 60 * 60),
            max_append_bytes: 16 * MIB,
            max_queued_bytes: 64 * MIB,
            max_queued_appends: 16 * 1024,
            max_group_bytes: 4 * MIB,
            recent_bytes: 64 * MIB,
            memtable_bytes: 16 * MIB as u64,
            block_cache_bytes: 32 * MIB as u64,
            journal_bytes: 128 * MIB as u64,
            before_workers: || {},
            heal_every: Duration::from_millis(500),
        }
    }
}

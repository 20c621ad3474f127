//! What the host keeps of one running instance: its memory, and the lines it logged. Nothing outlives the call.

use wasmtime::ResourceLimiter;

use crate::{
    CallLimits,
    bindings::{Ext, Level, rialto::plugin},
};

/// The longest line that is kept, in bytes.
const LINE: usize = 1 << 10;

/// The state of one call.
pub(crate) struct Guest {
    memory: Room,
    table: Room,
    lines: usize,
    logged: usize,
    /// Whether it was refused memory: what it does then, usually a trap, is told as that.
    pub(crate) starved: bool,
    /// Its last line of level error, such as a panic's message.
    pub(crate) last_error: Option<String>,
}

/// It logged far more than anyone reads.
#[derive(Debug, thiserror::Error)]
#[error("the call logged more than {0} lines")]
pub(crate) struct LogFlood(usize);

impl Guest {
    pub(crate) fn new(limits: &CallLimits) -> Self {
        let CallLimits { memory, table, lines, .. } = *limits;
        Self { memory: Room::of(memory), table: Room::of(table), lines, logged: 0, starved: false, last_error: None }
    }
}

/// What all memories, or all tables, of an instance may have together.
struct Room {
    left: usize,
}

impl Room {
    fn of(all: usize) -> Self {
        Self { left: all }
    }

    /// Takes what one of them wants to grow by, if it fits.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let left = self.left.checked_sub(desired.saturating_sub(current));
        let left = left.filter(|_| maximum.is_none_or(|maximum| desired <= maximum));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

impl plugin::types::Host for Guest {}

impl plugin::log::Host for Guest {
    fn emit(&mut self, level: Level, mut message: String, _: Ext) -> wasmtime::Result<()> {
        self.logged = self.logged.saturating_add(1);
        let most = self.lines.saturating_mul(10);
        if self.logged > most {
            return Err(LogFlood(most).into());
        }
        if self.logged > self.lines && level != Level::Error {
            return Ok(());
        }
        message.truncate(message.floor_char_boundary(LINE));
        // A line may hold what a person's event held, so it is for an author who turns it on, and never the default.
        tracing::debug!(target: "rialto_plugin::guest", level = ?level, %message);
        if level == Level::Error {
            self.last_error = Some(message);
        }
        Ok(())
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = self.memory.grow(current, desired, maximum);
        self.starved |= !fits;
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = self.table.grow(current, desired, maximum);
        self.starved |= !fits;
        Ok(fits)
    }
}

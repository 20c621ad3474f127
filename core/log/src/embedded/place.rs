//! The log's folder, opened: the storage engine, the index and the windows.
//!
//! `lock` keeps a second process out before anything is touched; `engine/` is fjall's; `format` says that the folder
//! was once complete, so that a beginning that was interrupted can be told from a log that has lost a part.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, compaction::Leveled};
use rialto_model::{Position, TenantId};

use super::{
    EmbeddedOptions,
    audit::{Acknowledged, audit},
    journal, keys,
    keys::Record,
    scrub,
    streams::{Segment, Stream},
    window::{self, Slot},
};
use crate::LogError;

const FORMAT: &str = "rialto log 1\n";
const INDEX: &str = "index";
/// A window closes at this many tables: merging begins two later, and the engine slows writers down at 20.
const TABLES_A_WINDOW: usize = 16;

/// How many tables are kept open at once.
const OPEN_TABLES: usize = 256;

/// One open window.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) number: u64,
    pub(super) slot: Slot,
    pub(super) keyspace: Keyspace,
}

/// The open folder.
pub(super) struct Place {
    pub(super) database: Database,
    pub(super) index: Keyspace,
    pub(super) windows: BTreeMap<u64, Window>,
    /// Windows up to this number are trimmed, and their numbers are not given again.
    pub(super) floor: u64,
}

/// Holds off other processes for as long as it lives.
pub(super) struct FolderLock(#[expect(dead_code, reason = "the lock goes when the file is closed")] File);

/// Where the storage engine keeps its files.
pub(super) fn engine_folder(folder: &Path) -> PathBuf {
    folder.join("engine")
}

/// Makes the folder if need be and takes its lock.
///
/// # Errors
/// [`LogError::Locked`], or [`LogError::Unavailable`] when the file system refuses.
pub(super) fn lock(folder: &Path) -> Result<FolderLock, LogError> {
    let refused = |error| LogError::unavailable("the log's folder cannot be used", error);
    std::fs::create_dir_all(folder).map_err(refused)?;
    let file = File::create(folder.join("lock")).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(FolderLock(file)),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: folder.into() }),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

impl Place {
    /// Looks over the files, then opens them. The caller holds the folder's lock.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when a file is not as it was written; [`LogError::Unavailable`] for the rest.
    pub(super) fn open(
        folder: &Path,
        options: &EmbeddedOptions,
        acknowledged: Option<&Acknowledged>,
    ) -> Result<(Self, HashMap<TenantId, Stream>), LogError> {
        let engine = engine_folder(folder);
        let is_complete = begin(folder, &engine)?;
        if is_complete {
            let failed = |error| LogError::unavailable("an interrupted erasure cannot be finished", error);
            scrub::resume(folder, &engine).map_err(failed)?;
            audit(&engine, acknowledged)?;
        }
        let mut opened = Self::open_engine(&engine, options).map_err(|error| translate(&engine, error))?;
        let streams = opened.load(&engine)?;
        if !is_complete {
            complete(folder).map_err(|error| LogError::unavailable("the log cannot be begun", error))?;
        }
        Ok((opened, streams))
    }

    fn open_engine(engine: &Path, options: &EmbeddedOptions) -> fjall::Result<Self> {
        let builder = Database::builder(engine)
            .cache_size(options.block_cache_bytes)
            .max_journaling_size(options.journal_bytes.max(64 * 1024 * 1024))
            // The writer persists each batch itself; one that writes every insert through would do it twice.
            .manual_journal_persist(true)
            .worker_threads(2)
            // The engine's own bound leaves a process with the usual 1,024 files hardly any for its clients.
            .max_cached_files(Some(OPEN_TABLES));
        // On a thread of its own, for its workers are as nice to others as the one that starts them.
        let opened = std::thread::scope(|scope| {
            let start = || {
                (options.before_workers)();
                builder.open()
            };
            scope.spawn(start).join()
        });
        let database = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let index = database.keyspace(INDEX, KeyspaceCreateOptions::default)?;
        let mut windows = BTreeMap::new();
        for name in database.list_keyspace_names() {
            if let Some((number, slot)) = window::parse_name(&name) {
                let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default)?;
                windows.insert(number, Window { number, slot, keyspace });
            }
        }
        Ok(Self { database, index, windows, floor: 0 })
    }

    /// Writes a record that stands for nothing: what lies before it is known to be whole, and storage to take
    /// writes.
    pub(super) fn mark(&self) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.index, keys::MARK, []);
        batch.commit()
    }

    /// Reads the index and finds every stream's head; ends what an earlier process left half done.
    fn load(&mut self, engine: &Path) -> Result<HashMap<TenantId, Stream>, LogError> {
        let failed = |error| translate(engine, error);
        let broken = |reason: String| LogError::Damaged { file: engine.into(), offset: 0, reason };
        let mut streams: HashMap<TenantId, Stream> = HashMap::new();
        for item in self.index.iter() {
            let (key, value) = item.into_inner().map_err(failed)?;
            let record = keys::parse_record(&key, &value);
            match record.ok_or_else(|| broken("a record of the index is not known".into()))? {
                Record::Floor(trimmed) => self.floor = trimmed,
                Record::Segment { tenant, first, window } => {
                    streams.entry(tenant).or_default().segments.push(Segment { first, window });
                }
                Record::Head { tenant, head, dropped } => {
                    let stream = streams.entry(tenant).or_default();
                    (stream.head, stream.dropped) = (head, dropped);
                }
                Record::Mark => {}
            }
        }
        self.delete_windows(self.floor).map_err(failed)?;
        for (tenant, stream) in &mut streams {
            if stream.dropped {
                self.remove_stream(*tenant, &std::mem::take(&mut stream.segments)).map_err(failed)?;
            } else if let Some(segment) = stream.segments.last() {
                let window = self.windows.get(&segment.window);
                let window = window.ok_or_else(|| broken(format!("window {} is missing", segment.window)))?;
                let last = last_of(&window.keyspace, *tenant).map_err(failed)?;
                stream.head = last
                    .filter(|last| *last >= segment.first)
                    .ok_or_else(|| broken(format!("the newest entries of {tenant} are missing")))?;
            }
        }
        Ok(streams)
    }

    /// The newest window.
    pub(super) fn current(&self) -> Option<&Window> {
        self.windows.last_key_value().map(|(_, window)| window)
    }

    /// The number for the next window.
    pub(super) fn next_number(&self) -> u64 {
        self.current().map_or(0, |window| window.number).max(self.floor) + 1
    }

    /// Makes the storage of a new window. It lasts before anything is written to it.
    pub(super) fn create_window(
        database: &Database,
        number: u64,
        slot: Slot,
        options: &EmbeddedOptions,
    ) -> fjall::Result<Window> {
        let keyspace = database.keyspace(&window::name(number, slot), || {
            KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(options.memtable_bytes)
                .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(TABLES_A_WINDOW as u8 + 2)))
        })?;
        // The engine flushes the new folder, but not the name it has in the one above.
        if let Some(above) = keyspace.path().parent() {
            File::open(above)?.sync_all()?;
        }
        Ok(Window { number, slot, keyspace })
    }
}

impl Window {
    /// Whether it should take no more, so that its tables need never be merged.
    pub(super) fn is_full(&self) -> bool {
        self.keyspace.l0_table_count() >= TABLES_A_WINDOW
    }
}

/// The last position of a tenant in a window.
fn last_of(keyspace: &Keyspace, tenant: TenantId) -> fjall::Result<Option<Position>> {
    let all = keys::frame(tenant, 0)..=keys::frame(tenant, Position::MAX);
    let last = keyspace.range(all).next_back().map(fjall::Guard::key).transpose()?;
    Ok(last.and_then(|key| keys::parse_frame(&key)).map(|(_, last)| last))
}

/// Says whether the folder was once complete. What an interrupted beginning left is cleared away, and nothing else.
fn begin(folder: &Path, engine: &Path) -> Result<bool, LogError> {
    let failed = |error| LogError::unavailable("the log's folder cannot be read", error);
    match std::fs::read_to_string(folder.join("format")) {
        Ok(format) if format == FORMAT => return Ok(true),
        Ok(format) if !FORMAT.starts_with(&format) => {
            let reason = format!("'{}' is a format that this version does not know", format.trim_end());
            return Err(LogError::Damaged { file: folder.join("format"), offset: 0, reason });
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(_) | Err(_) => {}
    }
    if engine.try_exists().map_err(failed)? {
        if holds_entries(engine).map_err(failed)? {
            let reason = "the file 'format' is missing, but there are entries".into();
            return Err(LogError::Damaged { file: folder.into(), offset: 0, reason });
        }
        std::fs::remove_dir_all(engine).map_err(failed)?;
    }
    Ok(false)
}

/// Whether the engine's folder holds more than an interrupted beginning can have left there.
fn holds_entries(engine: &Path) -> std::io::Result<bool> {
    for path in journal::files(engine)? {
        let content = journal::load(&path)?;
        let mut at = 0;
        while let journal::Found::Batch(batch) = journal::read(&content, at) {
            if batch.items.iter().any(|item| keys::parse_frame(&content[item.key.clone()]).is_some()) {
                return Ok(true);
            }
            at = batch.end;
        }
    }
    // 0 is the engine's own keyspace and 1 the index: a third is a window.
    let keyspaces = engine.join("keyspaces");
    if !keyspaces.try_exists()? {
        return Ok(false);
    }
    Ok(std::fs::read_dir(keyspaces)?.count() > 2)
}

fn complete(folder: &Path) -> std::io::Result<()> {
    let mut file = File::create(folder.join("format"))?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// The engine's failure in the log's words.
pub(super) fn translate(engine: &Path, error: fjall::Error) -> LogError {
    match error {
        fjall::Error::Locked => LogError::Locked { path: engine.into() },
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) if !is_cut_short(&error) => {
            LogError::unavailable("storage failed", error)
        }
        fjall::Error::Poisoned => LogError::unavailable("storage failed earlier", fjall::Error::Poisoned),
        damage => LogError::Damaged { file: engine.into(), offset: 0, reason: damage.to_string() },
    }
}

/// Whether a file ends before it should: that is damage and no mood of the disk.
fn is_cut_short(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
}

/// The engine's failure to read one entry, in the log's words.
pub(super) fn translate_read(tenant: TenantId, position: Position, error: fjall::Error) -> LogError {
    match translate(Path::new(""), error) {
        LogError::Damaged { reason, .. } => LogError::Corrupt { tenant, position, reason },
        other => other,
    }
}

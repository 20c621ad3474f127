//! A disk whose power can be cut: what was not flushed is gone.
//!
//! Killing a process proves nothing about flushing, since the kernel still writes what it was given. This is a file
//! system in memory, mounted through FUSE, that keeps two states of everything: what programs see, and what has been
//! flushed. A cut stops every operation at once; when the power comes back, the first is replaced by the second.
//!
//! What counts as flushed is what the file systems in use promise:
//! - `fsync` and `fdatasync` of a file: its content and length, and the name it was created under;
//! - `fsync` of a folder: the names in it. Renames and removals need it, and so do new folders.
//!
//! It serves whatever keeps files: the log, SQLite, and what is yet to come.

mod disk;
mod mounted;

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use self::disk::Disk;
pub use self::disk::Loss;

/// What comes through a cut besides what was flushed.
#[derive(Clone, Copy, Debug)]
pub enum Survivors {
    /// Nothing: the disk had written nothing of its own accord.
    FlushedOnly,
    /// About half of the pages, each by itself, and of each folder's changes the first few: the disk was just busy
    /// writing, in an order of its own. The same seed chooses the same.
    Some {
        /// For the choice.
        seed: u64,
    },
}

/// The disk. It keeps its content from one mount to the next.
pub struct PowerCutDisk(Arc<Mutex<Disk>>);

impl PowerCutDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Disk::new(false))))
    }

    /// An empty disk that says that it flushes and does not: what stands on it must lose something when the power
    /// is cut, or the test that uses it sees nothing.
    pub fn that_does_not_flush() -> Self {
        Self(Arc::new(Mutex::new(Disk::new(true))))
    }

    /// Mounts the disk.
    ///
    /// # Errors
    /// When FUSE is missing or mounting is not permitted; a test then skips with that reason.
    pub fn power_on(&self, at: &Path) -> io::Result<Powered> {
        self.0.lock().power_on();
        let session = mounted::mount(self.0.clone(), at)?;
        Ok(Powered { session: Some(session), at: at.into(), disk: self.0.clone() })
    }
}

impl Default for PowerCutDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// A mounted disk; unmounted when dropped.
pub struct Powered {
    session: Option<fuser::BackgroundSession>,
    at: PathBuf,
    disk: Arc<Mutex<Disk>>,
}

impl Powered {
    /// Cuts the power: from here on every operation fails, and nothing is flushed any more.
    pub fn cut(&self) {
        self.disk.lock().cut();
    }

    /// Lets the next flush of a file fail as it does on Linux: the failure is said once, what was to be flushed is
    /// not on the disk, and it counts as clean, so that flushing again succeeds and changes nothing.
    pub fn fail_next_flush(&self) {
        self.disk.lock().fail_next_flush();
    }

    /// Unmounts the disk and leaves on it what came through. Whoever used it must be gone.
    ///
    /// # Errors
    /// When it cannot be unmounted since someone still uses it.
    pub fn power_off(mut self, survivors: Survivors) -> io::Result<Loss> {
        self.cut();
        self.unmount()?;
        Ok(self.disk.lock().power_off(survivors))
    }

    fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        // A process that was just killed may take a moment to let go of its files.
        for _ in 0..100 {
            if Command::new("umount").arg(&self.at).stderr(Stdio::null()).status()?.success() {
                return session.join();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        session.umount_and_join()
    }
}

impl Drop for Powered {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            tracing::warn!(%error, at = %self.at.display(), "a disk could not be unmounted");
        }
    }
}

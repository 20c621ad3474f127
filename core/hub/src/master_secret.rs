//! The master secret: 32 bytes, set by the operator or made at the first start and kept in the data folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The file's name in the data folder.
pub(crate) const FILE: &str = "master.key";

/// Why there is no master secret.
#[derive(Debug, thiserror::Error)]
pub enum MasterSecretError {
    /// The setting is no 64 hex digits. What it is, is not said.
    #[error("master_secret must be 64 hex digits (32 bytes): make one with `openssl rand -hex 32`")]
    Malformed,
    /// The file is no 64 hex digits.
    #[error("{0} does not hold 64 hex digits; restore it from your backup, for without it no key and secret is of use")]
    MalformedFile(PathBuf),
    /// Others may read the file.
    #[error("{0} can be read by other users; close it: chmod 600 {0}")]
    Open(PathBuf),
    /// There is a database but no secret.
    #[error(
        "{database} is there, but {file} is not: restore it from your backup, or set RIALTO__MASTER_SECRET. \
         A new one would make every key and secret of the database useless"
    )]
    Lost {
        /// The database.
        database: PathBuf,
        /// Where the secret should be.
        file: PathBuf,
    },
    /// The file system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes the data folder, closed to other users, if it is not there. Its name is durable then: a power cut that takes
/// the name takes all that was flushed under it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), MasterSecretError> {
    let failed = |source| MasterSecretError::Io { path: folder.to_path_buf(), source };
    let folder = std::path::absolute(folder).map_err(failed)?;
    let new = folder.ancestors().take_while(|at| !at.exists()).count();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
    for above in folder.ancestors().skip(1).take(new) {
        File::open(above).and_then(|above| above.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// The secret: as set, else as the data folder has it, else a new one that the folder keeps from now on.
pub(crate) fn obtain(set: &str, folder: &Path) -> Result<[u8; 32], MasterSecretError> {
    if !set.is_empty() {
        return parse(set).ok_or(MasterSecretError::Malformed);
    }
    let file = folder.join(FILE);
    let failed = |source| MasterSecretError::Io { path: file.clone(), source };
    match fs::read_to_string(&file) {
        Ok(text) => {
            if fs::metadata(&file).map_err(failed)?.permissions().mode() & 0o077 != 0 {
                return Err(MasterSecretError::Open(file));
            }
            parse(text.trim()).ok_or(MasterSecretError::MalformedFile(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let database = folder.join("rialto.db");
            if database.exists() {
                return Err(MasterSecretError::Lost { database, file });
            }
            create(folder, &file).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Durable before it is used: a secret that a power cut takes would take every key with it.
fn create(folder: &Path, file: &Path) -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
    let draft = folder.join(format!("{FILE}.new"));
    let _ = fs::remove_file(&draft);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "{hex}")?;
    out.sync_all()?;
    fs::rename(&draft, file)?;
    File::open(folder)?.sync_all()?;
    tracing::info!(file = %file.display(), "made the master secret; keep a copy of it where your backups are not");
    Ok(secret)
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_one_that_the_next_finds() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = obtain("", folder.path()).expect("made");
        assert_ne!(made, [0; 32]);
        assert_eq!(obtain("", folder.path()).expect("found"), made);
        let mode = fs::metadata(folder.path().join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let set = "ab".repeat(32);
        assert_eq!(obtain(&set, folder.path()).expect("set"), [0xab; 32]);
    }

    #[test]
    fn what_would_lose_every_key_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("rialto.db"), "").expect("written");
        assert!(matches!(obtain("", folder.path()), Err(MasterSecretError::Lost { .. })));
        assert!(matches!(obtain("short", folder.path()), Err(MasterSecretError::Malformed)));
        let file = folder.path().join(FILE);
        fs::write(&file, "ab".repeat(31)).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("closed");
        assert!(matches!(obtain("", folder.path()), Err(MasterSecretError::MalformedFile(_))));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opened");
        assert!(matches!(obtain("", folder.path()), Err(MasterSecretError::Open(_))));
    }
}

//! Compiled plugins on disk. The files are machine code: whoever can write one runs inside the hub. So they lie in a
//! folder that only its owner may enter, and each is authenticated by a key that lies beside them, over its name and
//! its bytes; one that does not match is compiled anew and never loaded.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
};

use wasmtime::{Engine, component::Component};

use crate::PluginError;

const KEY: &str = "key";
const MAC: usize = 32;

/// A folder of compiled plugins.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens a folder, making it and its key if they are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, PluginError> {
        let fail = |why: String| PluginError::Cache { path: folder.to_owned(), why };
        make_private(folder).map_err(&fail)?;
        let path = folder.join(KEY);
        let key = match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| fail("its key is not 32 bytes; remove the folder".into()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|e| fail(e.to_string()))?;
                write_private(&path, &key).map_err(|e| fail(e.to_string()))?;
                key
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        Ok(Self { folder: folder.to_owned(), key })
    }

    /// The compiled form of a component: from the folder, or made and kept there.
    pub(crate) fn compiled(&self, engine: &Engine, component: &[u8]) -> wasmtime::Result<Component> {
        let name = name(engine, component);
        let path = self.folder.join(&name);
        if let Some(component) = self.load(engine, &path, &name) {
            return Ok(component);
        }
        let compiled = Component::new(engine, component)?;
        let code = compiled.serialize()?;
        let mut bytes = self.mac(&name, &code).as_bytes().to_vec();
        bytes.extend_from_slice(&code);
        if let Err(e) = write_private(&path, &bytes) {
            tracing::warn!(path = %path.display(), error = %e, "a compiled plugin could not be kept");
        }
        Ok(compiled)
    }

    fn load(&self, engine: &Engine, path: &Path, name: &str) -> Option<Component> {
        let bytes = fs::read(path).ok()?;
        let (mac, code) = bytes.split_first_chunk::<MAC>()?;
        // blake3::Hash compares in constant time.
        if blake3::Hash::from_bytes(*mac) != self.mac(name, code) {
            tracing::warn!(path = %path.display(), "a compiled plugin is not what was kept; it is compiled anew");
            return None;
        }
        // SAFETY: the bytes were written by `compiled` for this very engine and component: the key that
        // authenticates them and their name never leaves the private folder.
        #[allow(unsafe_code, reason = "loading machine code")]
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded.inspect_err(|e| tracing::warn!(error = %e, "a compiled plugin cannot be loaded")).ok()
    }

    fn mac(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(code);
        hasher.finalize()
    }
}

/// The digest of the component and of everything about the engine that its code depends on.
fn name(engine: &Engine, component: &[u8]) -> String {
    struct Blake(blake3::Hasher);
    impl Hasher for Blake {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut compatibility = Blake(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let compatibility = compatibility.0.finalize().to_hex();
    format!("{}-{}.cwasm", blake3::hash(component).to_hex(), &compatibility[..16])
}

/// Makes a folder that only its owner may enter; takes the others' rights away if it is there already.
fn make_private(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let found = fs::symlink_metadata(folder).map_err(|e| e.to_string())?;
    if !found.is_dir() {
        return Err("it is no folder of its own, but a link".into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Writes a file whole or not at all, readable by its owner only.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension(format!("part{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(&part)?.write_all(bytes)?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests;

//! The real clients that the hub is held to: npm and PyPI packages, pinned, installed into a scratch folder.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::{Done, During as _, Fault};
use crate::process::{find, in_ci, quietly, root, target};

/// The variable that names the folder with `node_modules` and `python`.
pub(crate) const CLIENTS: &str = "RIALTO_TEST_CLIENTS";

/// One package manager and what it installs.
struct Manager {
    name: &'static str,
    manifest: &'static str,
    installed: &'static str,
}

const NPM: Manager = Manager { name: "npm", manifest: "package.json", installed: "node_modules" };
const PIP: Manager = Manager { name: "python3", manifest: "requirements.txt", installed: "python" };

/// Installs the pinned clients where that was not done before, and returns their folder. What cannot be had is
/// named; the tests that need it then skip and say so.
///
/// # Errors
/// In CI, when npm or python3 is missing or an installation fails; elsewhere only when the folder cannot be made.
pub(crate) fn install() -> Done<PathBuf> {
    if let Some(folder) = std::env::var_os(CLIENTS) {
        println!("  {CLIENTS} names a folder; it is used");
        return Ok(PathBuf::from(folder));
    }
    let folder = target().join("clients");
    fs::create_dir_all(&folder).during(folder.display())?;
    for manager in [NPM, PIP] {
        match manager.bring(&folder) {
            Ok(()) => {}
            Err(fault) if in_ci() => return Err(fault),
            Err(fault) => println!("  {fault}\n  the tests with its clients will be skipped"),
        }
    }
    Ok(folder)
}

impl Manager {
    fn bring(&self, folder: &Path) -> Done {
        let source = root().join("core/testkit/clients").join(self.manifest);
        let wanted = fs::read_to_string(&source).during(source.display())?;
        let stamp = folder.join(format!("{}.installed", self.manifest));
        if fs::read_to_string(&stamp).is_ok_and(|had| had == wanted) && folder.join(self.installed).is_dir() {
            return Ok(());
        }
        if find(self.name).is_none() {
            return Err(
                Fault::new(format!("{} is not installed", self.name)).fix("Debian: apt-get install npm python3-pip")
            );
        }
        println!("  installing the clients that {} names", self.manifest);
        let copy = folder.join(self.manifest);
        fs::write(&copy, &wanted).during(copy.display())?;
        let _ = fs::remove_dir_all(folder.join(self.installed));
        let mut command = Command::new(self.name);
        command.args(self.arguments(folder, &copy)).current_dir(folder);
        quietly(&mut command)?;
        fs::write(&stamp, &wanted).during(stamp.display())
    }

    fn arguments(&self, folder: &Path, copy: &Path) -> Vec<OsString> {
        let words: &[&str] = if self.name == "npm" {
            &["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error"]
        } else {
            &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--upgrade"]
        };
        let mut all: Vec<OsString> = words.iter().map(OsString::from).collect();
        if self.name != "npm" {
            all.extend(["--target".into(), folder.join(self.installed).into(), "-r".into(), copy.into()]);
        }
        all
    }
}

//! Builds guests for the Wasm target and wraps them as components, in process: no tool need be installed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use wasm_encoder::{ComponentSection, CustomSection, Encode};
use wit_component::ComponentEncoder;

use crate::fault::{During, Fault};

const TARGET: &str = "wasm32-unknown-unknown";

/// The custom section that holds the manifest, in the module as in the component.
const SECTION: &str = "rialto:manifest";

/// Builds every crate under `plugins/` and writes `<package>.wasm` components into `out`. `progress` is told, line
/// by line, what is done and how long it took.
///
/// # Errors
/// When a plugin does not compile, or is not a connector: no manifest, or an import that no host gives.
pub(crate) fn build_all(root: &Path, out: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, Fault> {
    build(root, &root.join("plugins"), out, progress)
}

/// Builds the guests of the plugin host's tests, most of which mean harm; never into the folder of [`build_all`].
///
/// # Errors
/// As [`build_all`].
pub(crate) fn build_test_guests(
    root: &Path,
    out: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<PathBuf>, Fault> {
    build(root, &root.join("core/plugin/tests/guests"), out, progress)
}

fn build(root: &Path, folder: &Path, out: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, Fault> {
    let packages = packages(folder)?;
    let modules = compile(root, &packages, progress)?;
    fs::create_dir_all(out).during("the folder of built plugins")?;
    let mut built = Vec::new();
    for package in packages {
        let begun = Instant::now();
        let module = modules.join(format!("{}.wasm", package.replace('-', "_")));
        let bytes = fs::read(&module).during(format!("reading {}", module.display()))?;
        let component = wrap(&bytes).map_err(|why| Fault::new(format!("{package} is no connector: {why}")))?;
        let file = out.join(format!("{package}.wasm"));
        replace(&file, &component)?;
        progress(&format!(
            "{package}: {} KiB, wrapped in {} ms",
            component.len().div_ceil(1024),
            begun.elapsed().as_millis()
        ));
        built.push(file);
    }
    Ok(built)
}

/// The packages that lie in a folder, by name.
fn packages(folder: &Path) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).during(format!("reading {}", folder.display()))?.flatten() {
        let manifest = entry.path().join("Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        let text = fs::read_to_string(&manifest).during(format!("reading {}", manifest.display()))?;
        let name = toml::from_str::<toml::Table>(&text)
            .ok()
            .and_then(|t| Some(t.get("package")?.get("name")?.as_str()?.to_owned()));
        names.push(name.ok_or_else(|| Fault::new(format!("{} names no package", manifest.display())))?);
    }
    names.sort();
    Ok(names)
}

/// Compiles packages for the Wasm target; gives the folder that their modules lie in.
fn compile(root: &Path, packages: &[String], progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Fault> {
    let begun = Instant::now();
    let mut folder = None;
    for package in packages {
        let mut cargo = crate::process::cargo();
        // The crate itself names no crate type: with a cdylib in it, cargo writes its native library under a name
        // without a hash, and builds with other features overwrite each other's.
        cargo.args(["rustc", "--profile", "plugin", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
        cargo.args(["--package", package, "--lib", "--crate-type", "cdylib"]);
        let lines = output(cargo.current_dir(root))?;
        // Where cargo says it put it: a target folder may be anywhere.
        let module =
            lines.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).find_map(|told| {
                let files = told["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
                files.map(PathBuf::from).find(|file| file.extension().is_some_and(|e| e == "wasm"))
            });
        folder = folder.or(module.and_then(|file| file.parent().map(Path::to_path_buf)));
    }
    progress(&format!("compiled {} in {:.1} s", packages.join(", "), begun.elapsed().as_secs_f64()));
    folder.ok_or_else(|| Fault::new(format!("cargo built no Wasm module of {}", packages.join(", "))))
}

fn output(command: &mut Command) -> Result<Vec<String>, Fault> {
    let mut child = command.stdout(Stdio::piped()).spawn().during("starting cargo")?;
    let lines = child.stdout.take().map(|out| BufReader::new(out).lines().map_while(Result::ok).collect());
    let status = child.wait().during("waiting for cargo")?;
    if !status.success() {
        return Err(Fault::new(format!("cargo build for {TARGET} failed ({status})")));
    }
    Ok(lines.unwrap_or_default())
}

/// A component around a core module, with the module's manifest carried through to the outside.
fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    let manifest = manifest(module)?;
    let mut encoder = ComponentEncoder::default();
    let mut component =
        encoder.validate(true).module(module).and_then(|encoder| encoder.encode()).map_err(|e| format!("{e:#}"))?;
    let section = CustomSection { name: SECTION.into(), data: manifest.into() };
    component.push(section.id());
    section.encode(&mut component);
    Ok(component)
}

/// The manifest section of a core module: JSON, and only one.
fn manifest(module: &[u8]) -> Result<Vec<u8>, String> {
    let mut found = sections(module)?.into_iter().filter(|(name, _)| name == SECTION);
    let (Some((_, data)), None) = (found.next(), found.next()) else {
        return Err(format!("it has not exactly one section {SECTION}; #[destination] writes it"));
    };
    serde_json::from_slice::<serde_json::Value>(data).map_err(|e| format!("its manifest is not JSON: {e}"))?;
    Ok(data.to_vec())
}

/// The custom sections of a core module.
fn sections(module: &[u8]) -> Result<Vec<(String, &[u8])>, String> {
    const CUSTOM: u8 = 0;
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0").ok_or("it is no core Wasm module")?;
    let mut found = Vec::new();
    while let Some((id, tail)) = rest.split_first() {
        let (size, tail) = number(tail)?;
        let (section, tail) = tail.split_at_checked(size).ok_or("it is cut off")?;
        if *id == CUSTOM {
            let (length, body) = number(section)?;
            let (name, body) = body.split_at_checked(length).ok_or("it is cut off")?;
            found.push((String::from_utf8_lossy(name).into_owned(), body));
        }
        rest = tail;
    }
    Ok(found)
}

/// An unsigned LEB128 number and what follows it.
fn number(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err("it is cut off".into())
}

/// Writes a file whole or not at all, so that a hub that starts meanwhile never reads half a plugin.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let part = file.with_extension("part");
    fs::write(&part, bytes).during(format!("writing {}", part.display()))?;
    fs::rename(&part, file).during(format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (name, data) in sections {
            let section = CustomSection { name: (*name).into(), data: (*data).into() };
            bytes.push(section.id());
            section.encode(&mut bytes);
        }
        bytes
    }

    #[test]
    fn the_manifest_of_a_module_is_found_and_must_be_the_only_one() {
        let one = module(&[("name", b"x"), (SECTION, b"{\"id\":1}")]);
        assert_eq!(manifest(&one), Ok(b"{\"id\":1}".to_vec()));
        for bad in [module(&[]), module(&[(SECTION, b"{}"), (SECTION, b"{}")]), module(&[(SECTION, b"no")])] {
            assert!(manifest(&bad).is_err());
        }
    }

    #[test]
    fn a_cut_module_is_refused() {
        let whole = module(&[(SECTION, b"{\"id\":1}")]);
        for cut in 9..whole.len() {
            assert!(sections(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}

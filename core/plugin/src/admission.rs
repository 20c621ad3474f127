//! What a component says of itself, read without running or compiling it: imports, exports and the manifest.

use rialto_model::manifest::{Manifest, SECTION};
use wasmparser::{Encoding, Parser, Payload};

use crate::PluginError;

/// What a connector may import. `types` is an instance without functions.
const IMPORTS: [&str; 2] = ["rialto:plugin/log@0.1.0", "rialto:plugin/types@0.1.0"];
/// What a destination connector exports.
const EXPORT: &str = "rialto:plugin/destination@0.1.0";

/// Reads a component's outside and gives its manifest.
pub(crate) fn admit(component: &[u8], limit: usize) -> Result<Manifest, PluginError> {
    if component.len() > limit {
        return Err(PluginError::TooLarge { bytes: component.len(), limit });
    }
    let outside = Outside::read(component)?;
    if let Some(name) = outside.imports.into_iter().find(|name| !IMPORTS.contains(&name.as_str())) {
        return Err(PluginError::ForbiddenImport { name });
    }
    if !outside.exports.iter().any(|name| name == EXPORT) {
        return Err(PluginError::MissingExport { name: EXPORT });
    }
    let [section] = outside.manifests.as_slice() else {
        return Err(PluginError::Manifests { count: outside.manifests.len() });
    };
    let manifest: Manifest = serde_json::from_slice(section).map_err(|source| PluginError::ManifestJson { source })?;
    manifest.validate()?;
    Ok(manifest)
}

/// The outermost sections; what is nested inside is the component's own affair.
#[derive(Default)]
struct Outside<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    manifests: Vec<&'a [u8]>,
}

impl<'a> Outside<'a> {
    fn read(component: &'a [u8]) -> Result<Self, PluginError> {
        let mut outside = Self::default();
        let mut depth = 0_u32;
        let mut encoding = None;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(PluginError::NotAComponent);
                }
                Payload::Version { encoding: found, .. } if depth == 0 => encoding = Some(found),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                // The outermost one ends at depth 0.
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        outside.imports.push(import.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        outside.exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                    outside.manifests.push(section.data());
                }
                _ => {}
            }
        }
        encoding.map(|_| outside).ok_or_else(|| PluginError::Malformed { why: "it is empty".into() })
    }
}

fn malformed(e: wasmparser::BinaryReaderError) -> PluginError {
    PluginError::Malformed { why: e.to_string() }
}

//! What a component says of itself, read without running or compiling it: imports, exports and the manifest.

use rialto_model::manifest::{Manifest, SECTION};
use wasmparser::{Encoding, Parser, Payload};

use crate::PluginError;

/// What a connector may import. `types` is an instance without functions.
const IMPORTS: [&str; 2] = ["rialto:plugin/log@0.1.0", "rialto:plugin/types@0.1.0"];
/// What it exports to deliver events.
const DESTINATION: &str = "rialto:plugin/destination@0.1.0";
/// What it exports to read webhooks.
const WEBHOOK: &str = "rialto:plugin/webhook@0.1.0";

/// What a component can do: what it exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) delivers: bool,
    pub(crate) receives: bool,
}

/// Reads a component's outside and gives its manifest, which agrees with what it exports.
pub(crate) fn admit(component: &[u8], limit: usize) -> Result<(Manifest, Abilities), PluginError> {
    if component.len() > limit {
        return Err(PluginError::TooLarge { bytes: component.len(), limit });
    }
    let outside = Outside::read(component)?;
    if let Some(name) = outside.imports.into_iter().find(|name| !IMPORTS.contains(&name.as_str())) {
        return Err(PluginError::ForbiddenImport { name });
    }
    let exports = |wanted: &str| outside.exports.iter().any(|name| name == wanted);
    let abilities = Abilities { delivers: exports(DESTINATION), receives: exports(WEBHOOK) };
    if !abilities.delivers && !abilities.receives {
        return Err(PluginError::NoAbility);
    }
    let [section] = outside.manifests.as_slice() else {
        return Err(PluginError::Manifests { count: outside.manifests.len() });
    };
    let manifest: Manifest = serde_json::from_slice(section).map_err(|source| PluginError::ManifestJson { source })?;
    manifest.validate()?;
    // What nobody can call, or nobody told of, is a mistake of the author's, who had better hear of it now.
    for (says, exported, part, name) in [
        (!manifest.actions.is_empty(), abilities.delivers, "actions", DESTINATION),
        (manifest.webhook.is_some(), abilities.receives, "webhook", WEBHOOK),
    ] {
        match (says, exported) {
            (true, false) => return Err(PluginError::MissingExport { name, part }),
            (false, true) => return Err(PluginError::Untold { name, part }),
            _ => {}
        }
    }
    Ok((manifest, abilities))
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

//! `cargo xtask openapi`: writes openapi.json from the code. A test compares the two.

use std::fs;

use crate::fault::{Done, During as _, Fault};
use crate::process::{cargo, quietly, root};

/// Writes openapi.json.
///
/// # Errors
/// When the API does not build or prints no document.
pub(crate) fn write() -> Done {
    let document = quietly(cargo().args(["run", "--quiet", "--package", "rialto-api", "--example", "openapi"]))?;
    let parsed: serde_json::Value = serde_json::from_str(&document).during("the printed document")?;
    let Some(paths) = parsed.get("paths").and_then(serde_json::Value::as_object) else {
        return Err(Fault::new("the printed document has no paths"));
    };
    let file = root().join("openapi.json");
    let changed = fs::read_to_string(&file).map_or(true, |had| had != document);
    fs::write(&file, &document).during(file.display())?;
    println!("openapi.json: {} paths, {}", paths.len(), if changed { "changed" } else { "as it was" });
    Ok(())
}

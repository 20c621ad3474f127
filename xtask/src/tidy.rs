//! `cargo xtask tidy`: the house rules, as a test. What it finds is named by file and line, with the rule.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::fault::{Done, During as _, Fault};
use crate::process::root;
use crate::terminal::red;

mod dependencies;
mod documents;
mod files;
mod floors;
mod functions;
mod words;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    says: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.says)
    }
}

/// One text of the project.
pub(crate) struct Text {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

impl Text {
    fn finding(&self, line: usize, says: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, says: says.into() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Tests are held to fewer rules: a table of cases may be as long as it has to be.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

/// Checks every rule and prints what it finds.
///
/// # Errors
/// When there is a breach.
pub(crate) fn run() -> Done {
    let house = read(&root())?;
    let findings = findings(&house, &root());
    for finding in &findings {
        println!("  {} {finding}", red("✗"));
    }
    match findings.len() {
        0 => {
            println!("  {}", files::measure(&house));
            Ok(())
        }
        count => Err(Fault::new(format!("{count} breaches of the house rules")).fix("the rules: CONTRIBUTING.md")),
    }
}

fn findings(house: &[Text], root: &Path) -> Vec<Finding> {
    let exists = |path: &str| root.join(path).exists();
    let mut all = Vec::new();
    all.extend(floors::check(house));
    all.extend(house.iter().flat_map(files::check));
    all.extend(files::check_names(house));
    all.extend(house.iter().flat_map(functions::check));
    all.extend(house.iter().flat_map(words::check));
    all.extend(documents::check(house, exists));
    all.extend(dependencies::check(root));
    all.sort();
    all
}

/// Every text of the project but what is built, fetched or hidden.
fn read(root: &Path) -> Done<Vec<Text>> {
    const TEXTS: [&str; 12] = ["rs", "toml", "md", "yml", "yaml", "json", "wit", "mjs", "py", "txt", "sh", "service"];
    const NOT_OURS: [&str; 5] = ["target", "node_modules", "rialto-data", "corpus", "artifacts"];
    let mut texts = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).during(folder.display())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if path.is_dir() {
                let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
                if !hidden && !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let known = path.extension().and_then(|end| end.to_str()).is_some_and(|end| TEXTS.contains(&end));
            let script = folder.file_name().is_some_and(|folder| folder == ".ci");
            if !(known || script || name == "Dockerfile") {
                continue;
            }
            // A file that went while the folder was read breaks no rule.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let inside = path.strip_prefix(root).unwrap_or(&path);
            texts.push(Text { path: inside.to_string_lossy().replace('\\', "/"), text });
        }
    }
    texts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(texts)
}

#[cfg(test)]
mod tests;

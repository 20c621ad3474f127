//! Dependencies: what they are licensed under, where they come from and which are banned, by `deny.toml`. The part of
//! cargo-deny's checks that needs no advisories, so that it is made where cargo-deny is not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::Finding;
use crate::fault::{Done, During as _};
use crate::process::{cargo, quietly};

/// The one registry.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Licences are looked up for what is built here; the other platforms add nothing but bindings to them.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// What `deny.toml` says.
struct Rules {
    licences: BTreeSet<String>,
    /// Each with the reason.
    banned: BTreeMap<String, String>,
}

pub(super) fn check(root: &Path) -> Vec<Finding> {
    look(root).unwrap_or_else(|fault| vec![finding("Cargo.lock", format!("cannot be checked: {fault}"))])
}

fn look(root: &Path) -> Done<Vec<Finding>> {
    let read = |name: &str| -> Done<toml::Table> {
        fs::read_to_string(root.join(name)).during(name)?.parse::<toml::Table>().during(name)
    };
    let rules = Rules::read(&read("deny.toml")?);
    let asked = quietly(cargo().current_dir(root).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        PLATFORM,
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&asked).during("cargo metadata")?;
    let mut findings = rules.of_lock(&read("Cargo.lock")?);
    findings.extend(rules.of_licences(&metadata));
    Ok(findings)
}

impl Rules {
    fn read(deny: &toml::Table) -> Self {
        let list = |section: &str, name: &str| -> Vec<toml::Value> {
            deny.get(section).and_then(|table| table.get(name)?.as_array().cloned()).unwrap_or_default()
        };
        let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_owned();
        let member = |entry: &toml::Value, name: &str| entry.get(name).map(text).unwrap_or_default();
        Self {
            licences: list("licenses", "allow").iter().map(text).collect(),
            banned: list("bans", "deny").iter().map(|one| (member(one, "crate"), member(one, "reason"))).collect(),
        }
    }

    /// Whatever the lock file names, on every platform.
    fn of_lock(&self, lock: &toml::Table) -> Vec<Finding> {
        let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let mut findings = Vec::new();
        for package in &packages {
            let field = |name: &str| package.get(name).and_then(toml::Value::as_str);
            let name = field("name").unwrap_or_default();
            if let Some(reason) = self.banned.get(name) {
                findings.push(finding("Cargo.lock", format!("{name} is banned: {reason}")));
            }
            if let Some(source) = field("source").filter(|source| *source != CRATES_IO) {
                findings.push(finding("Cargo.lock", format!("{name} comes from {source}, not from crates.io")));
            }
        }
        findings
    }

    fn of_licences(&self, metadata: &serde_json::Value) -> Vec<Finding> {
        let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
        let others = packages.iter().filter(|package| !package["source"].is_null());
        let refused = others.filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or_default();
            let name = package["name"].as_str().unwrap_or_default();
            let says = format!("{name} is under {licence:?}, which deny.toml does not allow");
            (!self.allows(licence)).then(|| finding("Cargo.lock", says))
        });
        refused.collect()
    }

    /// Whether an SPDX expression can be fulfilled by what is allowed. `MIT/Apache-2.0` is the old way to write OR.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace().peekable();
        let fulfilled = self.any(&mut words);
        fulfilled && words.next().is_none()
    }

    fn any<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut fulfilled = self.all(words);
        while words.next_if_eq(&"OR").is_some() {
            fulfilled |= self.all(words);
        }
        fulfilled
    }

    fn all<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        let mut fulfilled = self.one(words);
        while words.next_if_eq(&"AND").is_some() {
            fulfilled &= self.one(words);
        }
        fulfilled
    }

    fn one<'a>(&self, words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> bool {
        match words.next() {
            Some("(") => {
                let fulfilled = self.any(words);
                fulfilled & words.next_if_eq(&")").is_some()
            }
            Some(licence) if words.next_if_eq(&"WITH").is_some() => {
                let exception = words.next().unwrap_or_default();
                self.licences.contains(&format!("{licence} WITH {exception}"))
            }
            Some(licence) => self.licences.contains(licence),
            None => false,
        }
    }
}

fn finding(path: &str, says: String) -> Finding {
    Finding { path: path.to_owned(), line: 1, says }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let deny = r#"
            [licenses]
            allow = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
            [bans]
            deny = [{ crate = "openssl", reason = "rustls it is" }]
        "#;
        Rules::read(&deny.parse().expect("is TOML"))
    }

    #[test]
    fn a_licence_is_allowed_if_the_allowed_ones_fulfil_it() {
        for good in
            ["MIT", "MIT/GPL-3.0", "GPL-3.0 OR MIT", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(rules().allows(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT ISC", "Apache-2.0", "MIT WITH x"] {
            assert!(!rules().allows(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_banned_or_comes_from_elsewhere_or_has_no_licence_is_found() {
        let lock = format!(
            "[[package]]\nname = \"a\"\nsource = \"{CRATES_IO}\"\n[[package]]\nname = \"ours\"\n\
             [[package]]\nname = \"openssl\"\nsource = \"git+https://example.com\"\n"
        );
        let found = rules().of_lock(&lock.parse().expect("is TOML"));
        let said: Vec<&str> = found.iter().map(|finding| finding.says.as_str()).collect();
        assert_eq!(
            said,
            ["openssl is banned: rustls it is", "openssl comes from git+https://example.com, not from crates.io"]
        );
        let metadata = serde_json::json!({"packages": [{"name": "ours", "source": null}, {"name": "a", "source": "x"},
            {"name": "b", "source": "x", "license": "MIT"}]});
        assert_eq!(rules().of_licences(&metadata).len(), 1);
    }
}

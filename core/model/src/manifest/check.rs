//! Checks what an admin fills in against a manifest. Every fault is found, so that a form can show them at once.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::validate::is_token;
use super::{AuthScheme, AuthSlot, Manifest, SettingField, SettingType};
use crate::destination::Secrets;

/// The longest text that a setting may be, in bytes.
pub const MAX_TEXT: usize = 8 << 10;
/// The most entries that a map may have.
pub const MAX_ENTRIES: usize = 64;
/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 8 << 10;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: `settings.url`, `secrets.signing`.
    pub field: String,
    /// What is wrong, as a sentence for people. Never shows a secret.
    pub message: String,
}

impl FieldError {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Checks the settings and secrets of a destination. `filled` names the slots that hold a secret already, which
/// `secrets` need not give again.
pub fn check(
    manifest: &Manifest,
    settings: &BTreeMap<String, Value>,
    secrets: &Secrets,
    filled: &BTreeSet<String>,
) -> Vec<FieldError> {
    let mut errors = check_settings(manifest, settings);
    errors.extend(check_secrets(manifest, secrets, filled));
    errors
}

/// Checks the settings and secrets of a source. `filled` names the slots that hold a secret already.
pub fn check_source(
    manifest: &Manifest,
    settings: &BTreeMap<String, Value>,
    secrets: &Secrets,
    filled: &BTreeSet<String>,
) -> Vec<FieldError> {
    let mut errors = check_settings(manifest, settings);
    let slots = manifest.webhook.as_ref().map(|webhook| webhook.verify.as_slice()).unwrap_or_default();
    for setting in slots.iter().filter_map(|slot| slot.header_setting()) {
        let header = manifest.setting_text(setting, settings);
        let field = format!("settings.{setting}");
        let told = errors.iter().any(|error| error.field == field);
        if !told && !is_token(header) {
            errors.push(FieldError::new(field, "must be the name of a header, such as X-Signature"));
        }
    }
    let slots = slots.iter().map(|slot| (slot.name.as_str(), slot.required, |secret: &str| slot.problem(secret)));
    errors.extend(secret_errors(&manifest.id, slots, secrets, filled));
    errors.sort_by(|one, other| one.field.cmp(&other.field));
    errors.dedup();
    errors
}

/// Checks the settings alone.
pub fn check_settings(manifest: &Manifest, settings: &BTreeMap<String, Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for name in settings.keys().filter(|name| !manifest.settings.iter().any(|field| field.name == **name)) {
        errors.push(FieldError::new(format!("settings.{name}"), format!("{} has no such setting", manifest.id)));
    }
    for field in &manifest.settings {
        let problem = match settings.get(&field.name).filter(|value| !value.is_null()) {
            Some(value) => field.problem(value),
            None if field.required && field.default.is_none() => Some("is required".to_owned()),
            None => None,
        };
        errors.extend(problem.map(|message| FieldError::new(format!("settings.{}", field.name), message)));
    }
    errors
}

/// Checks the secrets alone.
pub fn check_secrets(manifest: &Manifest, secrets: &Secrets, filled: &BTreeSet<String>) -> Vec<FieldError> {
    let slots =
        manifest.auth.iter().map(|slot| (slot.name.as_str(), slot.required, |secret: &str| slot.problem(secret)));
    secret_errors(&manifest.id, slots, secrets, filled)
}

/// What is wrong with secrets against slots: a name, whether it must be filled, and what keeps a secret from it.
fn secret_errors<'s, P: Fn(&str) -> Option<&'static str>>(
    connector: &str,
    slots: impl Iterator<Item = (&'s str, bool, P)>,
    secrets: &Secrets,
    filled: &BTreeSet<String>,
) -> Vec<FieldError> {
    let slots: Vec<_> = slots.collect();
    let mut errors = Vec::new();
    for name in secrets.0.keys().filter(|name| !slots.iter().any(|(slot, ..)| slot == name)) {
        errors.push(FieldError::new(format!("secrets.{name}"), format!("{connector} has no such auth slot")));
    }
    for (name, required, problem) in slots {
        let problem = match secrets.0.get(name) {
            Some(secret) => problem(secret),
            None if required && !filled.contains(name) => Some("is required"),
            None => None,
        };
        errors.extend(problem.map(|message| FieldError::new(format!("secrets.{name}"), message)));
    }
    errors
}

impl SettingField {
    /// What keeps a value from being this setting's.
    pub fn problem(&self, value: &Value) -> Option<String> {
        match (self.kind, value) {
            (SettingType::String, Value::String(text)) => self.text_problem(text),
            (SettingType::Url, Value::String(text)) => self.text_problem(text).or_else(|| url_problem(text)),
            (SettingType::Boolean, Value::Bool(_)) | (SettingType::Number, Value::Number(_)) => None,
            (SettingType::Integer, Value::Number(number)) if number.is_i64() => None,
            (SettingType::StringMap, Value::Object(entries)) => map_problem(entries),
            (SettingType::String, _) => Some("must be a text".into()),
            (SettingType::Url, _) => Some("must be a URL".into()),
            (SettingType::Boolean, _) => Some("must be true or false".into()),
            (SettingType::Number, _) => Some("must be a number".into()),
            (SettingType::Integer, _) => Some("must be a whole number".into()),
            (SettingType::StringMap, _) => Some("must be an object with text values".into()),
        }
    }

    fn text_problem(&self, text: &str) -> Option<String> {
        if text.is_empty() && self.required {
            return Some("must not be empty".into());
        }
        if text.len() > MAX_TEXT {
            return Some(format!("must not be longer than {MAX_TEXT} bytes"));
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) {
            return Some(format!("must be one of {}", self.choices.join(", ")));
        }
        let pattern = self.pattern.as_deref()?;
        let matches = Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|whole| whole.is_match(text));
        (!matches).then(|| format!("must match {pattern}"))
    }
}

fn url_problem(text: &str) -> Option<String> {
    let Ok(url) = Url::parse(text) else { return Some("must be an absolute http or https URL".into()) };
    if !matches!(url.scheme(), "http" | "https") {
        return Some("must be an http or https URL".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not hold a user name or password; credentials belong in secrets".into());
    }
    None
}

fn map_problem(entries: &serde_json::Map<String, Value>) -> Option<String> {
    if entries.len() > MAX_ENTRIES {
        return Some(format!("must not have more than {MAX_ENTRIES} entries"));
    }
    let bad = entries.iter().find(|(_, value)| value.as_str().is_none_or(|text| text.len() > MAX_TEXT));
    bad.map(|(name, _)| format!("the value of '{name}' must be a text of at most {MAX_TEXT} bytes"))
}

impl AuthSlot {
    /// What keeps a secret from filling this slot.
    pub fn problem(&self, secret: &str) -> Option<&'static str> {
        secret_problem(secret).or_else(|| match self.scheme {
            AuthScheme::Basic if !secret.contains(':') => Some("must be user:password"),
            AuthScheme::StandardWebhooks => signing_problem(secret),
            _ => None,
        })
    }
}

/// What keeps a text from being a secret at all.
pub(super) fn secret_problem(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        return Some("must not be empty");
    }
    if secret.len() > MAX_SECRET {
        return Some("is too long");
    }
    // It may become a header's value, where a line break would start another header.
    secret.bytes().any(|byte| byte < b' ' || byte == 0x7f).then_some("must not hold control characters")
}

/// What keeps a secret from signing by the Standard Webhooks scheme.
pub(super) fn signing_problem(secret: &str) -> Option<&'static str> {
    let sound = secret.split(' ').all(is_signing_secret);
    (!sound).then_some("must be whsec_ and 24 to 64 bytes in base64; two keys during a rotation stand apart by a space")
}

/// `whsec_` and 24 to 64 bytes in standard base64.
fn is_signing_secret(text: &str) -> bool {
    let Some(encoded) = text.strip_prefix("whsec_") else { return false };
    let digits = encoded.trim_end_matches('=');
    let padding = encoded.len() - digits.len();
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
        && (encoded.len() % 4 == 0 && padding <= 2)
        && (24..=64).contains(&(digits.len() * 3 / 4))
}

#[cfg(test)]
mod tests;

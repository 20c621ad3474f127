//! Whether a manifest makes sense in itself: a plugin that says nonsense is refused before it runs.

use std::collections::BTreeSet;

use regex::Regex;

use super::{AuthScheme, Manifest, SettingField, SettingType};

/// The longest name of a setting, slot or action.
const MAX_NAME: usize = 64;

/// The first fault of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidManifest {
    /// Where: `settings[2].pattern`.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl Manifest {
    /// Checks that it makes sense in itself.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn validate(&self) -> Result<(), InvalidManifest> {
        let id_parts: Vec<&str> = self.id.split('/').collect();
        ensure(id_parts.len() == 2 && id_parts.iter().all(|part| is_slug(part)), "id", "must be publisher/name")?;
        ensure(is_version(&self.version), "version", "must be a semantic version such as 1.2.3")?;
        ensure(!self.name.trim().is_empty(), "name", "must not be empty")?;
        names("settings", self.settings.iter().map(|field| &field.name))?;
        names("auth", self.auth.iter().map(|slot| &slot.name))?;
        names("actions", self.actions.iter().map(|action| &action.name))?;
        let idle = self.actions.is_empty() && self.webhook.is_none();
        ensure(!idle, "actions", "must name at least one, unless the connector receives webhooks")?;
        for field in &self.settings {
            field.validate()?;
        }
        for slot in &self.auth {
            let place = match &slot.scheme {
                AuthScheme::Header { header } => Some(header),
                AuthScheme::Query { parameter } => Some(parameter),
                AuthScheme::Bearer | AuthScheme::Basic | AuthScheme::StandardWebhooks => None,
            };
            ensure(
                place.is_none_or(|name| is_token(name)),
                &format!("auth.{}", slot.name),
                "names no header or parameter",
            )?;
        }
        self.validate_hosts()?;
        self.validate_webhook()?;
        let limits = self.limits;
        ensure((1..=1_000).contains(&limits.batch_events), "limits.batch_events", "must be 1 to 1000")?;
        ensure((1..=2 << 20).contains(&limits.batch_bytes), "limits.batch_bytes", "must be at most 2 MiB")?;
        ensure((1..=256).contains(&limits.concurrency), "limits.concurrency", "must be 1 to 256")?;
        for status in self.verdicts.keys() {
            ensure(is_status(status), "verdicts", &format!("'{status}' is no status and no class such as 5xx"))?;
        }
        Ok(())
    }

    fn validate_webhook(&self) -> Result<(), InvalidManifest> {
        let slots = self.webhook.as_ref().map(|webhook| webhook.verify.as_slice()).unwrap_or_default();
        names("webhook.verify", slots.iter().map(|slot| &slot.name))?;
        for slot in slots {
            let at = |part: &str| format!("webhook.verify.{}.{part}", slot.name);
            let named = slot.scheme.header().is_none_or(|header| self.may_stand(header, is_token));
            ensure(named, &at("header"), "names no header and no text setting")?;
            let printed = |prefix: &str| prefix.len() <= MAX_NAME && prefix.bytes().all(|b| (b' '..0x7f).contains(&b));
            let prefixed = slot.scheme.prefix().is_none_or(|prefix| self.may_stand(prefix, printed));
            ensure(prefixed, &at("prefix"), "is no short text that a header can hold, and no text setting")?;
        }
        Ok(())
    }

    fn validate_hosts(&self) -> Result<(), InvalidManifest> {
        let none_needed = self.actions.is_empty();
        ensure(!self.hosts.is_empty() || none_needed, "hosts", "must name at least one, or nothing can be sent")?;
        for host in &self.hosts {
            let mut rest = host.as_str();
            while let Some((before, after)) = rest.split_once("{settings.") {
                ensure(!before.contains('}'), "hosts", &format!("'{host}' has a brace too many"))?;
                let (name, after) = after.split_once('}').unwrap_or((after, ""));
                let known = self.settings.iter().any(|field| field.name == name);
                ensure(known, "hosts", &format!("'{host}' names a setting that there is not"))?;
                rest = after;
            }
            let literal =
                host.split('{').map(|part| part.split_once('}').map_or(part, |(_, after)| after)).collect::<String>();
            let plain = literal.strip_prefix("*.").unwrap_or(&literal);
            let sound = plain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            ensure(sound && !host.is_empty(), "hosts", &format!("'{host}' is no host name in lower case"))?;
            // `*` or `*.com` would allow half the world.
            let wide = literal != plain && !plain.trim_matches('.').contains('.');
            ensure(!wide, "hosts", &format!("'{host}' is too wide"))?;
        }
        Ok(())
    }
}

impl SettingField {
    fn validate(&self) -> Result<(), InvalidManifest> {
        let field = |part: &str| format!("settings.{}.{part}", self.name);
        if let Some(pattern) = &self.pattern {
            let built = Regex::new(&format!("^(?:{pattern})$"));
            ensure(built.is_ok(), &field("pattern"), "is no regular expression")?;
        }
        let textual = matches!(self.kind, SettingType::String | SettingType::Url);
        ensure(textual || self.pattern.is_none(), &field("pattern"), "only a text can have one")?;
        ensure(textual || self.choices.is_empty(), &field("choices"), "only a text can have them")?;
        let problem = self.default.as_ref().and_then(|value| self.problem(value));
        ensure(problem.is_none(), &field("default"), problem.as_deref().unwrap_or_default())
    }
}

fn ensure(holds: bool, field: &str, message: &str) -> Result<(), InvalidManifest> {
    if holds { Ok(()) } else { Err(InvalidManifest { field: field.to_owned(), message: message.to_owned() }) }
}

/// Names are short, plain and unique.
fn names<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Result<(), InvalidManifest> {
    let mut seen = BTreeSet::new();
    for name in names {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let sound = plain && !name.is_empty() && name.len() <= MAX_NAME;
        ensure(sound, field, &format!("'{name}' must be of a-z, 0-9 and _, at most {MAX_NAME} long"))?;
        ensure(seen.insert(name), field, &format!("'{name}' is there twice"))?;
    }
    Ok(())
}

fn is_slug(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    plain && (1..=MAX_NAME).contains(&text.len())
}

/// A plain name of a header or a parameter.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_version(text: &str) -> bool {
    let core = text.split_once(['-', '+']).map_or(text, |(core, _)| core);
    let numbers: Vec<&str> = core.split('.').collect();
    text.len() <= MAX_NAME && numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u32>().is_ok())
}

/// `404`, or the class `4xx`.
fn is_status(text: &str) -> bool {
    let (Some(class), Some(rest)) = (text.get(..1), text.get(1..)) else { return false };
    let plain = rest == "xx" || (rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit()));
    matches!(class, "1" | "2" | "3" | "4" | "5") && plain
}

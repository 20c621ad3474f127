//! How a connector's webhooks are proved to be their sender's. The host checks it; the connector sees no secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Manifest, SettingType, check::secret_problem, check::signing_problem};

/// What a connector that receives webhooks says of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// A sentence on what it makes of them.
    #[serde(default)]
    pub description: String,
    /// The ways to prove a webhook. A source counts as signed once one of these slots is filled: each webhook must
    /// then pass by one that is. Else a write key of the source must come with it.
    #[serde(default)]
    pub verify: Vec<VerifySlot>,
}

/// A named secret that a webhook is proved by. Only the host ever has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifySlot {
    /// The slot's name, under which the secret is stored.
    pub name: String,
    /// The label of its input.
    #[serde(default)]
    pub label: String,
    /// Whether a source must have it filled.
    #[serde(default)]
    pub required: bool,
    /// What is proved by it.
    #[serde(flatten)]
    pub scheme: VerifyScheme,
}

/// What is proved by a secret. A text that is `{settings.name}` stands for that setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "scheme")]
pub enum VerifyScheme {
    /// The three `webhook-…` headers of the Standard Webhooks scheme; the timestamp may be five minutes off.
    StandardWebhooks,
    /// The HMAC-SHA256 of the body as it came, in hex or base64, in a header.
    HmacSha256 {
        /// The header's name.
        header: String,
        /// What stands before it in the header, such as `sha256=`.
        #[serde(default)]
        prefix: String,
    },
    /// The secret itself, as the whole value of a header.
    Token {
        /// The header's name.
        header: String,
    },
}

/// The headers of the Standard Webhooks scheme: the message's id, the moment it was sent in seconds, and signatures.
pub const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

impl VerifySlot {
    /// What keeps a secret from filling this slot.
    pub fn problem(&self, secret: &str) -> Option<&'static str> {
        secret_problem(secret).or_else(|| match self.scheme {
            VerifyScheme::StandardWebhooks => signing_problem(secret),
            VerifyScheme::HmacSha256 { .. } | VerifyScheme::Token { .. } => None,
        })
    }

    /// The setting that names this slot's header, if one does.
    pub(super) fn header_setting(&self) -> Option<&str> {
        self.scheme.header().and_then(setting)
    }
}

impl VerifyScheme {
    /// The header's name as the manifest has it.
    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::StandardWebhooks => None,
            Self::HmacSha256 { header, .. } | Self::Token { header } => Some(header),
        }
    }

    pub(super) fn prefix(&self) -> Option<&str> {
        match self {
            Self::HmacSha256 { prefix, .. } => Some(prefix),
            Self::StandardWebhooks | Self::Token { .. } => None,
        }
    }
}

impl Manifest {
    /// What a text of [`VerifyScheme`] is under these settings; empty if it names a setting that has no value.
    pub fn filled_in<'a>(&'a self, text: &'a str, settings: &'a BTreeMap<String, Value>) -> &'a str {
        setting(text).map_or(text, |name| self.setting_text(name, settings))
    }

    /// A text setting, given or by default; empty if it has no value.
    pub(super) fn setting_text<'a>(&'a self, name: &str, settings: &'a BTreeMap<String, Value>) -> &'a str {
        let given = settings.get(name).filter(|value| !value.is_null());
        let default = || self.settings.iter().find(|field| field.name == name)?.default.as_ref();
        given.or_else(default).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a text of [`VerifyScheme`] may stand there: literal and `sound`, or the name of a text setting.
    pub(super) fn may_stand(&self, text: &str, sound: impl Fn(&str) -> bool) -> bool {
        match setting(text) {
            Some(name) => self.settings.iter().any(|f| f.name == name && f.kind == SettingType::String),
            None => sound(text),
        }
    }
}

/// The name in `{settings.name}`.
fn setting(text: &str) -> Option<&str> {
    text.strip_prefix("{settings.")?.strip_suffix('}')
}

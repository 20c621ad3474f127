//! The plugin manifest: data in a custom section of the component, readable without running code.

pub mod check;
pub mod validate;
pub mod webhook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::{
    check::{FieldError, check, check_secrets, check_settings, check_source},
    validate::InvalidManifest,
    webhook::{VerifyScheme, VerifySlot, Webhook},
};
use crate::delivery::Verdict;

/// The custom section of a component that holds the manifest as JSON.
pub const SECTION: &str = "rialto:manifest";

/// What a plugin is and what it may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `publisher/name`, such as `rialto/webhook`.
    pub id: String,
    /// A semantic version.
    pub version: String,
    /// Its name for people.
    pub name: String,
    /// A sentence on what it does.
    #[serde(default)]
    pub description: String,
    /// An SPDX licence expression.
    #[serde(default)]
    pub license: String,
    /// What an admin fills in.
    #[serde(default)]
    pub settings: Vec<SettingField>,
    /// The credentials the host fills into requests.
    #[serde(default)]
    pub auth: Vec<AuthSlot>,
    /// Host names that requests of its actions may go to, or templates over settings: `{settings.url}` allows that URL's host.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Bounds that a tenant may lower.
    #[serde(default)]
    pub limits: Limits,
    /// Verdicts by status (`"404"`) or class (`"5xx"`), over the sound defaults.
    #[serde(default)]
    pub verdicts: BTreeMap<String, Verdict>,
    /// What a destination of it can do; none if it delivers nothing.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What a source of it receives, if it receives webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook: Option<Webhook>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingField {
    /// The name in `settings`.
    pub name: String,
    /// The label of its input.
    #[serde(default)]
    pub label: String,
    /// A sentence that says what to put there.
    #[serde(default)]
    pub help: String,
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// What it is if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// A regular expression that a text must match as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The values a text may have, if only some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What kind of value a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingType {
    /// Text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// An http or https URL.
    Url,
    /// An object with text values, such as headers.
    StringMap,
}

/// A named place in a request that the host fills with a credential; the plugin never sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthSlot {
    /// The slot's name, by which a request asks for it and under which the secret is stored.
    pub name: String,
    /// The label of its input.
    #[serde(default)]
    pub label: String,
    /// Whether a destination must have it filled.
    #[serde(default)]
    pub required: bool,
    /// How it is put into the request.
    #[serde(flatten)]
    pub scheme: AuthScheme,
}

/// How a credential is put into a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "scheme")]
pub enum AuthScheme {
    /// As the value of a header.
    Header {
        /// The header's name.
        header: String,
    },
    /// As a query parameter.
    Query {
        /// The parameter's name.
        parameter: String,
    },
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …` over a secret `user:password`.
    Basic,
    /// The three `webhook-…` headers of the Standard Webhooks scheme, over the body.
    StandardWebhooks,
}

/// How much a plugin takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most events a call.
    pub batch_events: u32,
    /// The most payload bytes a call.
    pub batch_bytes: u32,
    /// The most calls to one destination at a time.
    pub concurrency: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_events: 100, batch_bytes: 1 << 20, concurrency: 16 }
    }
}

/// One thing that a destination can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// Its name, by which a route asks for it.
    pub name: String,
    /// A sentence on what it does.
    #[serde(default)]
    pub description: String,
}

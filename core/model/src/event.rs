//! The event: one thing that a person did or that is said of them, as it lies in the log and leaves to plugins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{SourceId, Timestamp};

/// The longest message id that is taken, in characters.
pub const MAX_MESSAGE_ID: usize = 100;

/// The six calls of the Segment specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// Who the person is.
    Identify,
    /// What they did.
    Track,
    /// Which page they saw.
    Page,
    /// Which screen of an app they saw.
    Screen,
    /// Which group or company they belong to.
    Group,
    /// Which two ids are one person.
    Alias,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Identify, Self::Track, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// The type that a word names, or the browser SDK's one-letter short form.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word || (word.len() == 1 && kind.as_str().starts_with(word)))
    }
}

/// An accepted event: the client's payload with what the hub stamped on it. Members the specification does not
/// name are kept in `extra`, so that nothing a client sent is lost.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The client's id of this event, or one that the hub made. Duplicates within 24 hours are dropped.
    pub message_id: String,
    /// What kind of call it was.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The source whose write key it came with.
    pub source_id: SourceId,
    /// The name of a track event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The name of a page or screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The category of a page or screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The customer's own id of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The id of the device or browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// The id that an alias call says is the same person as `user_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_id: Option<String>,
    /// The id of the group of a group call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// When it happened, with the client's clock skew taken out.
    pub timestamp: Timestamp,
    /// When the hub took it in.
    pub received_at: Timestamp,
    /// When it happened by the client's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_timestamp: Option<Timestamp>,
    /// When the client sent it, by the client's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Library, page, device, campaign, consent and the like, in the client's own spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub context: Option<Box<RawValue>>,
    /// The properties of a track, page or screen call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub properties: Option<Box<RawValue>>,
    /// The traits of an identify or group call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub traits: Option<Box<RawValue>>,
    /// Which destinations the client wants it in: `{"All": false, "Name": true}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub integrations: Option<Box<RawValue>>,
    /// Top-level members that no specification names, as they came.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub extra: BTreeMap<String, Box<RawValue>>,
}

impl Event {
    /// What people call it: the track event's name, the page's or screen's name, else the type.
    pub fn label(&self) -> &str {
        self.event.as_deref().or(self.name.as_deref()).unwrap_or(self.kind.as_str())
    }
}

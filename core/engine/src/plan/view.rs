//! An event and its profile as conditions see them. Raw parts are read when they are first asked for.

use std::borrow::Cow;
use std::cell::OnceCell;

use rialto_model::condition::Facts;
use rialto_model::event::Event;
use rialto_model::json::reach;
use rialto_model::profile::Profile;
use serde_json::Value;
use serde_json::value::RawValue;

pub(super) struct View<'e> {
    event: &'e Event,
    profile: Option<&'e Profile>,
    context: OnceCell<Option<Value>>,
    properties: OnceCell<Option<Value>>,
    traits: OnceCell<Option<Value>>,
    integrations: OnceCell<Option<Value>>,
}

impl<'e> View<'e> {
    pub(super) fn new(event: &'e Event, profile: Option<&'e Profile>) -> Self {
        let [context, properties, traits, integrations] = [const { OnceCell::new() }; 4];
        Self { event, profile, context, properties, traits, integrations }
    }

    fn text(&self, name: &str) -> Option<String> {
        let event = self.event;
        match name {
            "message_id" => Some(event.message_id.clone()),
            "type" => Some(event.kind.as_str().to_owned()),
            "source_id" => Some(event.source_id.to_string()),
            "event" => event.event.clone(),
            "name" => event.name.clone(),
            "category" => event.category.clone(),
            "user_id" => event.user_id.clone(),
            "anonymous_id" => event.anonymous_id.clone(),
            "previous_id" => event.previous_id.clone(),
            "group_id" => event.group_id.clone(),
            "timestamp" => Some(event.timestamp.to_string()),
            "received_at" => Some(event.received_at.to_string()),
            "original_timestamp" => event.original_timestamp.map(|at| at.to_string()),
            "sent_at" => event.sent_at.map(|at| at.to_string()),
            _ => None,
        }
    }
}

fn read<'c>(cell: &'c OnceCell<Option<Value>>, raw: Option<&RawValue>) -> Option<&'c Value> {
    cell.get_or_init(|| raw.and_then(|raw| serde_json::from_str(raw.get()).ok())).as_ref()
}

impl Facts for View<'_> {
    fn event(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        let (first, rest) = path.split_first()?;
        let object = match first.as_str() {
            "context" => read(&self.context, self.event.context.as_deref()),
            "properties" => read(&self.properties, self.event.properties.as_deref()),
            "traits" => read(&self.traits, self.event.traits.as_deref()),
            "integrations" => read(&self.integrations, self.event.integrations.as_deref()),
            "extra" => {
                let (name, rest) = rest.split_first()?;
                let value: Value = serde_json::from_str(self.event.extra.get(name)?.get()).ok()?;
                return reach(&value, rest).cloned().map(Cow::Owned);
            }
            name if rest.is_empty() => return self.text(name).map(|text| Cow::Owned(Value::String(text))),
            _ => None,
        };
        reach(object?, rest).map(Cow::Borrowed)
    }

    fn profile_trait(&self, path: &[String]) -> Option<Cow<'_, Value>> {
        let (first, rest) = path.split_first()?;
        reach(&self.profile?.traits.get(first)?.value, rest).map(Cow::Borrowed)
    }
}

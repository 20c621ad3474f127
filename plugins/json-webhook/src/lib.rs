//! Receives any JSON webhook and turns it into track events: settings say by JSON pointer what stands where.

mod moment;

use rialto_sdk::prelude::*;
use serde_json::{Map, Value};

/// What becomes of an item in which nobody's id stands.
#[derive(Clone, Copy, PartialEq, Choice)]
enum Nobody {
    Refuse,
    Skip,
}

/// Where in the body things stand, and how the sender signs.
#[derive(Settings)]
#[expect(dead_code, reason = "how the sender signs is for the hub to know")]
pub struct JsonWebhook {
    /// Where the list of items stands, if it is not the body itself; a body that is no list is one item.
    #[field(label = "Items", pattern = "/.*")]
    items: Option<String>,
    /// The name of every event, or of those in which the pointer leads to none.
    #[field(label = "Event name", default = "Webhook Received")]
    event: String,
    /// Where the event's name stands in an item.
    #[field(label = "Event name at", pattern = "/.*")]
    event_pointer: Option<String>,
    /// Where the person's id stands in an item.
    #[field(label = "User id at", pattern = "/.*")]
    user_id_pointer: Option<String>,
    /// Where the anonymous id stands in an item.
    #[field(label = "Anonymous id at", pattern = "/.*")]
    anonymous_id_pointer: Option<String>,
    /// Where the id stands by which a repeat is known; without one, the hub goes by the webhook itself.
    #[field(label = "Message id at", pattern = "/.*")]
    message_id_pointer: Option<String>,
    /// Where the time stands: ISO 8601, or seconds or milliseconds since 1970.
    #[field(label = "Time at", pattern = "/.*")]
    timestamp_pointer: Option<String>,
    /// Where the event's properties stand in an item, if they are not all of it.
    #[field(label = "Properties at", pattern = "/.*")]
    properties_pointer: Option<String>,
    /// Whether an item of nobody makes the hub refuse the whole webhook, or is passed over.
    #[field(label = "Items of nobody", default = "refuse")]
    nobody: Nobody,
    /// Where a challenge stands that is to be sent back, by which some services make sure of an address.
    #[field(label = "Challenge at", pattern = "/.*")]
    challenge_pointer: Option<String>,
    /// The header with the HMAC-SHA256 of the body, in hex or base64.
    #[field(label = "Signature header", default = "X-Signature")]
    signature_header: String,
    /// What stands before the signature in its header, such as sha256=.
    #[field(label = "Signature prefix")]
    signature_prefix: Option<String>,
    /// The header with the shared token.
    #[field(label = "Token header", default = "X-Webhook-Token")]
    token_header: String,
}

/// Receives any JSON webhook and turns it into track events.
#[webhook(
    id = "rialto/json-webhook",
    name = "JSON webhook",
    verify(
        signing = standard_webhooks(label = "Standard Webhooks secret (whsec_…)"),
        hmac = hmac_sha256(
            "{settings.signature_header}",
            prefix = "{settings.signature_prefix}",
            label = "Secret of an HMAC-SHA256 signature"
        ),
        token = token("{settings.token_header}", label = "Shared token, as the whole value of its header"),
    )
)]
impl JsonWebhook {
    /// Each item of the body is a track event.
    fn receive(cx: &Cx<Self>, webhook: Incoming) -> Result<Accepted> {
        let settings = cx.settings();
        let body: Value = webhook.json()?;
        let challenge = settings.challenge_pointer.as_deref().and_then(|at| body.pointer(at)?.as_str());
        if let Some(challenge) = challenge {
            return Ok(Accepted::nothing().answer(200, "text/plain; charset=utf-8", challenge));
        }
        settings.items(&body)?.iter().filter_map(|item| settings.event(item).transpose()).collect()
    }
}

impl JsonWebhook {
    fn items<'a>(&self, body: &'a Value) -> Result<&'a [Value]> {
        let at = self.items.as_deref().unwrap_or_default();
        let nothing = || Error::fatal("no_items", format!("nothing stands at '{at}', where the items should be"));
        Ok(match body.pointer(at).ok_or_else(nothing)? {
            Value::Array(items) => items,
            one => std::slice::from_ref(one),
        })
    }

    /// The track event of an item; none if it is to be passed over.
    fn event(&self, item: &Value) -> Result<Option<Map<String, Value>>> {
        let at = |pointer: &Option<String>| item.pointer(pointer.as_deref()?).filter(|value| !value.is_null()).cloned();
        // To the hub a blank id is none.
        let id = |pointer| at(pointer).filter(|id| id.as_str().is_none_or(|id| !id.trim().is_empty()));
        let (user, anonymous) = (id(&self.user_id_pointer), id(&self.anonymous_id_pointer));
        if user.is_none() && anonymous.is_none() {
            return match self.nobody {
                Nobody::Skip => Ok(None),
                Nobody::Refuse => Err(self.of_nobody()),
            };
        }
        let name = at(&self.event_pointer).unwrap_or_else(|| self.event.clone().into());
        let properties = match &self.properties_pointer {
            Some(_) => at(&self.properties_pointer),
            None => Some(item.clone()),
        };
        let properties = properties.map(|found| if found.is_object() { found } else { json!({ "value": found }) });
        let parts = [
            ("type", Some("track".into())),
            ("event", Some(name)),
            ("userId", user),
            ("anonymousId", anonymous),
            ("messageId", at(&self.message_id_pointer)),
            ("timestamp", at(&self.timestamp_pointer).map(moment::iso)),
            ("properties", properties),
        ];
        Ok(Some(parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()))
    }

    fn of_nobody(&self) -> Error {
        let pointers = [&self.user_id_pointer, &self.anonymous_id_pointer];
        let named: Vec<&str> = pointers.into_iter().filter_map(|pointer| pointer.as_deref()).collect();
        match named.as_slice() {
            [] => {
                Error::setting("user_id_pointer", "must say where a person's id stands, or anonymous_id_pointer must")
            }
            named => Error::fatal("no_person", format!("an item has no id at {}", named.join(" nor at "))),
        }
    }
}

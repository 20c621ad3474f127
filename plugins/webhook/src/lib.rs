//! Sends events to any HTTP endpoint, one by one or in batches, signed by the Standard Webhooks scheme.

use rialto_sdk::{
    prelude::*,
    settings::{Setting, Value},
};

/// Whether a request carries one event or many.
#[derive(Clone, Copy, PartialEq, Choice)]
enum Mode {
    Single,
    Batch,
}

/// Where the events go.
#[derive(Settings)]
pub struct Webhook {
    /// The address that events are posted to.
    #[field(label = "URL")]
    url: Url,
    /// Whether each event is a request of its own, or many go in one as {"batch": […]}.
    #[field(label = "Mode", default = "single")]
    mode: Mode,
    /// Headers that are added to every request. Credentials belong in the authorization secret.
    #[field(label = "Headers")]
    headers: MoreHeaders,
}

/// Headers that this connector sets on every request. A second one of the name would say something else.
const SET_HERE: [&str; 3] = ["content-type", "idempotency-key", "webhook-id"];

/// Headers beside those that are set here.
struct MoreHeaders(Headers);

impl Setting for MoreHeaders {
    const TYPE: &'static str = Headers::TYPE;
    const REQUIRED: bool = Headers::REQUIRED;
    fn read(value: Option<&Value>) -> std::result::Result<Self, String> {
        let headers = Headers::read(value)?;
        if let Some((name, _)) =
            headers.iter().find(|(name, _)| SET_HERE.iter().any(|set| set.eq_ignore_ascii_case(name)))
        {
            return Err(format!("the connector sets the header '{name}' itself; leave it out"));
        }
        Ok(Self(headers))
    }
}

/// Posts events to any HTTP endpoint, signed by the Standard Webhooks scheme.
#[destination(
    id = "rialto/webhook",
    name = "Webhook",
    hosts = ["{settings.url}"],
    auth(
        signing = standard_webhooks(label = "Signing secret (whsec_…)"),
        authorization = header("authorization", label = "Authorization header, such as Bearer …"),
    ),
    batch(max = 100, max_bytes = 1_000_000),
    concurrency = 16,
)]
impl Webhook {
    /// Post the event as it is, with the profile it belongs to.
    #[action]
    async fn send(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        if cx.settings().mode == Mode::Single {
            return Ok(batch.each(|item| cx.settings().post(cx, item.id(), item.as_str())));
        }
        let joined =
            format!("{{\"batch\":[{}]}}", batch.iter().map(|item| item.as_str()).collect::<Vec<_>>().join(","));
        let request = cx.settings().post(cx, &batch.key(), &joined);
        if batch.len() == 1 {
            return Ok(batch.once(request));
        }
        let reply = request.send().await?;
        if !matches!(reply.status(), 400 | 413 | 422) {
            return Ok(batch.outcomes(&reply));
        }
        // Something in it is not liked: one by one, only that is rejected and the others get through.
        Ok(batch.each(|item| cx.settings().post(cx, item.id(), &format!("{{\"batch\":[{}]}}", item.as_str()))))
    }
}

impl Webhook {
    /// A signed request. `key` names the delivery, and is the same on every attempt.
    fn post<'a>(&self, cx: &'a Cx<Self>, key: &str, body: &str) -> Request<'a> {
        let request = cx
            .post(&self.url)
            .auth("authorization")
            .auth("signing")
            .header("webhook-id", key)
            .header("idempotency-key", key)
            .body("application/json", body);
        self.headers.0.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

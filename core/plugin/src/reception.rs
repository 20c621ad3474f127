//! One webhook: one call, whose answer is looked at before anyone acts on it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rialto_engine::{
    NotRead, Received, Webhook,
    receiver::{ANSWER_TYPES, Answer, MAX_ANSWER},
};
use rialto_model::destination::Secrets;
use serde_json::Value;

use crate::{
    bindings::{
        Context, Failure,
        webhook::{self, Accepted, Request},
    },
    compute::Compute,
    outcome::{guest_code, sound_message},
    prepared,
    runtime::{Crash, Plugin, Runtime},
    scrub::Scrubber,
};

/// How long a sender waits for a slot before it is asked to come again.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest content type, in bytes.
const CONTENT_TYPE: usize = 128;

/// One webhook under way.
pub(crate) struct Reception<'a> {
    pub(crate) runtime: &'a Arc<Runtime>,
    pub(crate) compute: &'a Compute,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) webhook: Webhook,
}

impl Reception<'_> {
    pub(crate) async fn run(self) -> Result<Received, NotRead> {
        let Self { runtime, compute, plugin, webhook } = self;
        let (source, connector) = (webhook.source_id, Arc::clone(&webhook.connector));
        let (tenant, context) = (webhook.tenant_id, context(&plugin, &webhook));
        let request = Request {
            headers: webhook.headers,
            query: webhook.query,
            body: webhook.body.into(),
            verified: webhook.verified,
            ext: Vec::new(),
        };
        let runtime = Arc::clone(runtime);
        let known = Arc::clone(&plugin);
        let call = compute.run(tenant, move || runtime.receive(&plugin, &context, &request));
        let failed = |code: &str, message: String| {
            tracing::warn!(%source, %connector, code, "a connector's call failed");
            NotRead::Later { code: code.into(), message }
        };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Some(Ok(Ok(accepted)))) => taken(accepted).map_err(|why| failed("plugin_answer", why)),
            Ok(Some(Ok(Err(said)))) => Err(refused(said, &known)),
            // What a guest said last may be of a person, and who hears this is no reader of deliveries.
            Ok(Some(Err(Crash { code, .. }))) => Err(failed(code, "the connector did not come to an end".into())),
            Ok(None) => Err(later("shutting_down", "the call could not be made; the hub may be going down")),
            Err(_) => Err(later("busy", "more webhooks wait than the connectors keep up with")),
        }
    }
}

fn context(plugin: &Plugin, webhook: &Webhook) -> Context {
    Context {
        now_ms: u64::try_from(webhook.now.millis()).unwrap_or(0),
        seed: webhook.seed,
        attempt: 1,
        settings: Value::from_iter(prepared::with_defaults(&plugin.manifest, &webhook.settings)).to_string(),
        ext: Vec::new(),
    }
}

fn refused(said: Failure, plugin: &Plugin) -> NotRead {
    // There is no secret in the guest's reach that could be in its message.
    let (code, message) = (guest_code(&said.code), sound_message(&Scrubber::new(&Secrets::default()), &said.message));
    match said.retryable {
        true => NotRead::Later { code, message },
        false => {
            let known = |field: &String| plugin.manifest.settings.iter().any(|known| known.name == *field);
            NotRead::Refused { code, message, setting: said.field.filter(known) }
        }
    }
}

fn later(code: &str, message: &str) -> NotRead {
    NotRead::Later { code: code.into(), message: message.into() }
}

/// What the connector gave, if a sender may hear it.
fn taken(Accepted { records, answer }: Accepted) -> Result<Received, String> {
    Ok(Received { records, answer: answer.map(sound_answer).transpose()? })
}

fn sound_answer(answer: webhook::Answer) -> Result<Answer, String> {
    let webhook::Answer { status, content_type, body, ext: _ } = answer;
    if !(200..300).contains(&status) {
        return Err(format!("the connector answers with the status {status}; a refusal is a failure, not an answer"));
    }
    let bare = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let printed = content_type.len() <= CONTENT_TYPE && content_type.bytes().all(|b| (b' '..0x7f).contains(&b));
    let known = ANSWER_TYPES.contains(&bare.as_str()) && printed;
    if !(known || content_type.is_empty() && body.is_empty()) {
        return Err(format!("the connector answers with another content type than {}", ANSWER_TYPES.join(", ")));
    }
    if body.len() > MAX_ANSWER {
        return Err(format!("the connector answers with {} bytes", body.len()));
    }
    // These have no body, and a connection would fall out of step over one.
    if matches!(status, 204 | 205) && !body.is_empty() {
        return Err(format!("the connector answers {status} with a body"));
    }
    Ok(Answer { status, content_type, body: Bytes::from(body) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, body: &str) -> Result<Answer, String> {
        sound_answer(webhook::Answer { status, content_type: content_type.into(), body: body.into(), ext: Vec::new() })
    }

    #[test]
    fn an_answer_is_a_success_of_a_harmless_type_and_small() {
        for (status, content_type, body) in [
            (200, "text/plain", "abc"),
            (201, "application/json; charset=utf-8", "{}"),
            (202, "Application/XML", "<Response/>"),
            (204, "", ""),
        ] {
            let sound = answer(status, content_type, body).expect("it is sound");
            assert_eq!(
                (sound.status, sound.content_type.as_str(), sound.body.as_ref()),
                (status, content_type, body.as_bytes())
            );
        }
        for (status, content_type, body) in [
            (199, "text/plain", ""),
            (302, "text/plain", ""),
            (400, "text/plain", "no"),
            (200, "text/html", "<script>"),
            (200, "", "abc"),
            (200, "text/plain\r\nset-cookie: a=b", "abc"),
            (204, "text/plain", "abc"),
            (200, "text/plain", &"x".repeat(MAX_ANSWER + 1)),
        ] {
            assert!(answer(status, content_type, body).is_err(), "{status} {content_type:?}");
        }
    }
}

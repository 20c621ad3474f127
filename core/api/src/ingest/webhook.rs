//! Webhooks: what others' services post to a source becomes events by the source's connector. Signed or keyed, never
//! open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use rialto_engine::receiver::{ANSWER_TYPES, Answer};
use rialto_engine::{Envelope, NotRead, Received, Webhook};
use rialto_model::SourceId;
use rialto_model::event::MAX_MESSAGE_ID;
use rialto_model::manifest::Manifest;
use rialto_store::{IdKey, WebhookSource};
use utoipa::IntoResponses;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, RefOr, Response as Documented, ResponseBuilder};

use crate::ingest::bodies::Holder;
use crate::ingest::intake::{Ids, STALE, append, client, inflated, key_in_query, read_raw};
use crate::ingest::pixel::decode;
use crate::ingest::reply::{Accepted, Refused};
use crate::ingest::verify::{Proof, Prover};
use crate::ingest::write_key::{find_first, in_head};
use crate::state::Api;

/// When a sender is asked to come again after its connector failed: most senders wait longer by themselves.
const RETRY: Duration = Duration::from_secs(30);
/// Headers by which senders name a message.
const MESSAGE_IDS: [&str; 2] = ["webhook-id", "idempotency-key"];

/// What the sender hears.
pub(crate) enum Answered {
    /// The usual.
    Usual,
    /// What the connector wants said.
    Given(Answer),
}

/// Receive a webhook
///
/// The source's connector turns what comes in into events, of which all are kept or none. If the source has a secret
/// for it, the webhook has to be signed as the connector's manifest says; else it has to come with a write key of the
/// source. A webhook that is sent again gives no event twice. The answer may be the connector's own, such as the echo of
/// a challenge.
#[utoipa::path(post, path = "/v1/webhook/{source}", tag = "Ingest",
    params(("source" = SourceId, Path), ("writeKey" = Option<String>, Query)),
    request_body(content = Object, content_type = "application/json"),
    security(("write_key" = []), ("write_key_header" = []), ()))]
pub(crate) async fn receive(State(api): State<Api>, request: Request) -> Result<Answered, Refused> {
    match take(&api, request).await {
        Ok((events, answered)) => {
            api.metrics.accepted(events);
            Ok(answered)
        }
        Err(refused) => {
            api.metrics.refused(refused.code);
            Err(refused)
        }
    }
}

async fn take(api: &Api, request: Request) -> Result<(usize, Answered), Refused> {
    let (head, body) = request.into_parts();
    let target = Target::admitting(api, &head).await?;
    // Before its signature is looked at, anyone may have sent it.
    let mut held = api.bodies.hold(match target.prover().signs() {
        true => Holder::address(client(api, &head)),
        false => Holder::Tenant(target.source.grant.tenant_id),
    });
    let since = Instant::now();
    let raw = read_raw(api, &mut held, &head.headers, body).await?;
    // What was right when a slow body began may be revoked by now.
    let target = if since.elapsed() < STALE { target } else { Target::admitting(api, &head).await? };
    let prover = target.prover();
    let signed = prover.signs();
    // The signature is of the bytes that were sent, so it is looked at before they are inflated.
    let proof = if signed { prover.verify(&head.headers, &raw, api.now())? } else { Proof::Sender };
    let grant = &target.source.grant;
    if signed {
        // Proved to be the tenant's, it no longer stands in the way of others that come from the sender's address.
        let mut own = api.bodies.hold(Holder::Tenant(grant.tenant_id));
        own.grow(held.bytes()).await?;
        held = own;
    }
    let message = message(grant.source.id, &target.source.ids, &proof, &head, &raw);
    let body = inflated(&mut held, &head.headers, raw, api.options.max_body).await?;
    let webhook = target.webhook(api, &head, body, signed, &message);
    let receiver = api.connectors.receiver().ok_or_else(|| missing(&target.manifest.id))?;
    // Who is over its quota gets no compute. What it costs in the end is known once its events are.
    api.quotas.charge(grant, 1, api.now())?;
    let received = receiver.receive(webhook).await;
    api.quotas.give_back(grant, 1);
    let Received { records, answer } = received?;
    let envelope = Envelope::of_records(&records)?;
    let answered = answer.map_or(Answered::Usual, Answered::Given);
    if records.is_empty() {
        return Ok((0, answered));
    }
    held.grow(records.iter().map(String::len).sum()).await?;
    let mut count = 0_usize;
    let mut new_id = || {
        count += 1;
        format!("webhook-{}-{}", &message.to_hex()[..32], count - 1)
    };
    let given = |given: &str| own_id(grant.source.id, given);
    let ids = Ids { new: &mut new_id, given: Some(&given) };
    let events = append(api, &head, grant, envelope, ids).await.inspect_err(|refused| {
        // The connector has run for nothing, and would again, as often as it is asked.
        if refused.code == "over_quota" {
            let _ = api.quotas.charge(grant, 1, api.now());
        }
    })?;
    Ok((events, answered))
}

/// A source that the caller may send to, once its signature is right if it has to have one.
struct Target {
    source: Arc<WebhookSource>,
    manifest: Arc<Manifest>,
}

impl Target {
    /// # Errors
    /// 404 for a source that is not there, is disabled, or receives no webhooks; 401 where a write key is needed and
    /// is missing or another source's; 503 while its connector is not installed, or does not know its secrets.
    async fn admitting(api: &Api, head: &Parts) -> Result<Self, Refused> {
        let not_found = |code, message| Err(Refused::new(StatusCode::NOT_FOUND, code, message));
        let Ok(id) = super::last_segment(head).parse::<SourceId>() else {
            return not_found("unknown_source", "there is no such source");
        };
        let Some(source) = api.store.webhook_source(id).await? else {
            return not_found("unknown_source", "there is no such source");
        };
        let of = &source.grant.source;
        if !of.enabled {
            return not_found("source_disabled", "this source is switched off");
        }
        let Some(connector) = &of.connector else {
            return not_found("no_webhook_connector", "this source has no connector that receives webhooks");
        };
        let manifest = api.connectors.find(connector).filter(|manifest| manifest.webhook.is_some());
        let manifest = manifest.ok_or_else(|| missing(connector))?;
        let target = Self { source, manifest };
        if !target.prover().signs() {
            target.prover().keyed()?;
            target.admit_by_key(api, head).await?;
        }
        Ok(target)
    }

    fn prover(&self) -> Prover<'_> {
        let settings = &self.source.grant.source.settings;
        Prover { manifest: &self.manifest, settings, secrets: &self.source.secrets }
    }

    async fn admit_by_key(&self, api: &Api, head: &Parts) -> Result<(), Refused> {
        let (keys, query) = (in_head(&head.headers), key_in_query(head));
        let keys = [keys.basic, keys.bearer, keys.header, query];
        let own = &self.source.grant;
        match find_first(api, &keys.each_ref().map(|key| key.as_deref())).await? {
            Some(grant) if grant.tenant_id == own.tenant_id && grant.source.id == own.source.id => Ok(()),
            Some(_) => Err(Refused::unauthenticated("the write key is of another source")),
            None if keys.iter().any(Option::is_some) => {
                Err(Refused::unauthenticated("the write key is not known here"))
            }
            None => Err(Refused::unauthenticated(
                "this source has no secret to prove webhooks by, so they need a write key of it: as the user name of \
                 Basic authentication, as X-Write-Key, or as ?writeKey=",
            )),
        }
    }

    fn webhook(&self, api: &Api, head: &Parts, body: bytes::Bytes, verified: bool, message: &blake3::Hash) -> Webhook {
        let of = &self.source.grant.source;
        let (seed, _) = message.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
        Webhook {
            tenant_id: self.source.grant.tenant_id,
            source_id: of.id,
            connector: self.manifest.id.as_str().into(),
            settings: Arc::new(of.settings.clone()),
            headers: self.prover().shown(&head.headers),
            query: query(head).filter(|(name, _)| name != "writeKey").collect(),
            body,
            verified,
            seed: u64::from_le_bytes(*seed),
            now: api.now(),
        }
    }
}

fn query(head: &Parts) -> impl Iterator<Item = (String, String)> {
    let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (decode(name), decode(value)))
}

/// What a webhook is known by, so that its events are the same when it is sent again. Only what the proof covers
/// counts: else someone could send a captured webhook again under another name. Nobody can tell it beforehand who does
/// not know the hub's own key.
fn message(source: SourceId, key: &IdKey, proof: &Proof, head: &Parts, body: &[u8]) -> blake3::Hash {
    let named = || MESSAGE_IDS.iter().find_map(|name| head.headers.get(*name)).map(HeaderValue::as_bytes);
    let id = match proof {
        Proof::Message(id) => Some(id.as_bytes()),
        Proof::Sender => named().filter(|id| !id.is_empty()),
        Proof::Body => None,
    };
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(source.0.as_bytes());
    match id {
        Some(id) => hasher.update(b"id").update(id),
        None => hasher.update(b"body").update(body),
    };
    hasher.finalize()
}

/// The id of an event that its connector gave it, within its source: in the tenant's own room whoever knows a write key
/// could be first to take it.
fn own_id(source: SourceId, given: &str) -> String {
    let id = format!("{source}:{given}");
    match id.chars().count() {
        ..=MAX_MESSAGE_ID => id,
        _ => format!("{source}:{}", &blake3::hash(given.as_bytes()).to_hex()[..32]),
    }
}

/// What was installed when the source was made is no longer.
fn missing(connector: &str) -> Refused {
    tracing::warn!(connector, "a webhook came for a connector that is not installed");
    let message = "the source's connector is not installed at the moment";
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "connector_missing", message).later(RETRY)
}

impl From<NotRead> for Refused {
    fn from(why: NotRead) -> Self {
        match why {
            NotRead::Refused { code, message, setting } => {
                let message = format!("the connector refuses it: {message} ({code})");
                let refused = Self::new(StatusCode::BAD_REQUEST, "webhook_refused", message);
                refused.of_field(setting.map(|setting| format!("settings.{setting}")))
            }
            NotRead::Later { code, message } => {
                let message = format!("the connector could not read it: {message} ({code})");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "connector_failed", message).later(RETRY)
            }
        }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Answer { status, content_type, body } = match self {
            Self::Usual => return Accepted.into_response(),
            Self::Given(answer) => answer,
        };
        let mut response = Response::new(axum::body::Body::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        if let Ok(content_type) = HeaderValue::from_str(&content_type)
            && !content_type.is_empty()
        {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        // A connector's words in the hub's name: whoever gets a browser to show them, nothing in them runs.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        response
    }
}

impl IntoResponses for Answered {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let anything = || ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(SchemaType::AnyValue)));
        let told = |text: &str| {
            let response = ResponseBuilder::new().description(text);
            let response = ANSWER_TYPES.iter().fold(response, |all, kind| all.content(*kind, anything().build()));
            RefOr::from(response.build())
        };
        BTreeMap::from([
            (
                "200".to_owned(),
                told("The events are durable in the log: `{\"success\": true}`, or the connector's answer."),
            ),
            ("2XX".to_owned(), told("The events are durable in the log; the connector answers.")),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(source: u8, proof: &Proof, headers: &[(&str, &str)], body: &[u8]) -> blake3::Hash {
        let mut request = http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        message(SourceId::from_parts(1, &[source; 10]), &IdKey([7; 32]), proof, &head, body)
    }

    #[test]
    fn whoever_does_not_know_the_hubs_key_cannot_tell_an_id_beforehand() {
        let (head, ()) = http::Request::new(()).into_parts();
        let id = |key| message(SourceId::from_parts(1, &[1; 10]), &IdKey([key; 32]), &Proof::Body, &head, b"a");
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn an_id_of_any_length_is_of_its_source_and_fits() {
        let (one, other) = (SourceId::from_parts(1, &[1; 10]), SourceId::from_parts(1, &[2; 10]));
        assert_eq!(own_id(one, "o-1"), format!("{one}:o-1"));
        let (long, longer) = ("é".repeat(MAX_MESSAGE_ID), "é".repeat(MAX_MESSAGE_ID - 1));
        for given in ["o-1", &long, &longer] {
            let id = own_id(one, given);
            assert!(id.chars().count() <= MAX_MESSAGE_ID && id.starts_with(&format!("{one}:")), "{id}");
            assert_ne!(id, own_id(other, given));
        }
        assert_ne!(own_id(one, &long), own_id(one, &longer));
    }

    #[test]
    fn a_webhook_is_known_by_what_its_proof_covers() {
        let signed = Proof::Message("m1".to_owned());
        let one = id_of(1, &signed, &[], b"a");
        assert_eq!(one, id_of(1, &signed, &[("idempotency-key", "x")], b"b"), "a message's id is its own");
        assert_ne!(one, id_of(2, &signed, &[], b"a"), "of another source");
        assert_ne!(one, id_of(1, &Proof::Message("m2".to_owned()), &[], b"a"));
        let bare = id_of(1, &Proof::Body, &[], b"a");
        assert_eq!(bare, id_of(1, &Proof::Body, &[("webhook-id", "forged")], b"a"), "what is not signed says nothing");
        assert_ne!(bare, id_of(1, &Proof::Body, &[], b"b"));
        assert_eq!(bare, id_of(1, &Proof::Sender, &[], b"a"));
        let named = id_of(1, &Proof::Sender, &[("webhook-id", "m1")], b"a");
        assert_eq!(named, id_of(1, &Proof::Sender, &[("idempotency-key", "m1")], b"b"));
        assert_ne!(named, bare);
    }
}

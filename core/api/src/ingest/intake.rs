//! One request's way in: head, body, key, events, log. Everything that all ingest endpoints share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use rialto_engine::accept::{Envelope, Form, MAX_BATCH, Stamp};
use rialto_model::Timestamp;
use rialto_store::WriteGrant;

use crate::client_ip::client_ip;
use crate::extract::unread;
use crate::ingest::bodies::{Held, Holder};
use crate::ingest::inflate::{inflate, most};
use crate::ingest::reply::{Accepted, Refused};
use crate::ingest::write_key::{authorise, authorise_first, find_first, in_head};
use crate::serve::Peer;
use crate::state::Api;

/// A grant older than this is asked for again, which is a look into a cache.
pub(crate) const STALE: Duration = Duration::from_secs(1);

/// Turns a foreign body into one of the tracking API, given the keys in the request's head.
pub(crate) type Translate = fn(&[u8], &[&str]) -> Result<Bytes, Refused>;

/// What an endpoint says of its requests.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint {
    /// The form of the body.
    pub(crate) form: Form,
    /// How the body is translated first, if it must be.
    pub(crate) translate: Option<Translate>,
    /// Whether the write key may stand in the query.
    pub(crate) key_in_query: bool,
}

impl Endpoint {
    /// A body of the tracking API.
    pub(crate) const fn of(form: Form) -> Self {
        Self { form, translate: None, key_in_query: false }
    }
}

/// Takes a request in, and counts what came of it.
pub(crate) async fn take(api: &Api, request: Request, endpoint: Endpoint) -> Result<Accepted, Refused> {
    counted(api, take_request(api, request, endpoint).await)
}

fn counted(api: &Api, outcome: Result<usize, Refused>) -> Result<Accepted, Refused> {
    match outcome {
        Ok(events) => {
            api.metrics.accepted(events);
            Ok(Accepted)
        }
        Err(refused) => {
            api.metrics.refused(refused.code);
            Err(refused)
        }
    }
}

async fn take_request(api: &Api, request: Request, endpoint: Endpoint) -> Result<usize, Refused> {
    let (head, body) = request.into_parts();
    let keys = in_head(&head.headers);
    let query = if endpoint.key_in_query { key_in_query(&head) } else { None };
    let beside = [keys.bearer.as_deref(), keys.header.as_deref(), query.as_deref()];
    // The keys in the head are judged before a byte of the body is read. Only Basic's must be a write key: others may
    // be meant for something else, with the true one in the body.
    let grant = match &keys.basic {
        Some(key) => Some(authorise(api, key).await?),
        None => find_first(api, &beside).await?,
    };
    // Who is switched off has no more room than a stranger.
    let served = grant.as_ref().filter(|grant| grant.source.enabled);
    let mut held = api.bodies.hold(match served {
        Some(grant) => Holder::Tenant(grant.tenant_id),
        None => Holder::address(client(api, &head)),
    });
    let since = Instant::now();
    let body = read(api, &mut held, &head.headers, body).await?;
    let body = match endpoint.translate {
        Some(translate) => {
            let keys: Vec<&str> = beside.into_iter().chain([keys.basic.as_deref()]).flatten().collect();
            let translated = translate(&body, &keys)?;
            held.grow(translated.len()).await?;
            translated
        }
        None => body,
    };
    let envelope = Envelope::parse(&body, endpoint.form)?;
    let grant = match (&keys.basic, grant) {
        (Some(_), Some(grant)) if since.elapsed() < STALE => grant,
        // What was right when a slow body began may be revoked by now.
        (Some(key), _) => authorise(api, key).await?,
        (None, _) => {
            let [bearer, header, query] = beside;
            authorise_first(api, &[envelope.write_key(), bearer, header, query]).await?
        }
    };
    held.grow(envelope.added()).await?;
    append(api, &head, &grant, envelope, Ids::new(&mut new_message_ids(api.now()))).await
}

/// Takes a body that did not come as one, such as the pixel's.
pub(crate) async fn take_body(
    api: &Api,
    head: &Parts,
    body: &[u8],
    form: Form,
    beside: Option<&str>,
) -> Result<Accepted, Refused> {
    let keys = in_head(&head.headers);
    let outcome = async {
        let envelope = Envelope::parse(body, form)?;
        let order =
            [keys.basic.as_deref(), envelope.write_key(), keys.bearer.as_deref(), keys.header.as_deref(), beside];
        let grant = authorise_first(api, &order).await?;
        append(api, head, &grant, envelope, Ids::new(&mut new_message_ids(api.now()))).await
    };
    counted(api, outcome.await)
}

/// By what ids events are known.
pub(crate) struct Ids<'a> {
    /// Names those that came without one.
    pub(crate) new: &'a mut (dyn FnMut() -> String + Send),
    /// What becomes of an id that one came with, if it does not stay.
    pub(crate) given: Option<&'a (dyn Fn(&str) -> String + Sync)>,
}

impl<'a> Ids<'a> {
    /// Those that are given stay.
    fn new(new: &'a mut (dyn FnMut() -> String + Send)) -> Self {
        Self { new, given: None }
    }
}

/// Stamps the events and waits until the log has them.
pub(crate) async fn append(
    api: &Api,
    head: &Parts,
    grant: &Arc<WriteGrant>,
    envelope: Envelope<'_>,
    ids: Ids<'_>,
) -> Result<usize, Refused> {
    let now = api.now();
    let Ids { new, given } = ids;
    let given_id = given.map(|given| given as &dyn Fn(&str) -> String);
    let stamp = Stamp { source_id: grant.source.id, now, ip: client(api, head), new_id: new, given_id };
    // Before the events are looked into: who is over its quota costs no more than reading the request.
    let count = envelope.count();
    api.quotas.charge(grant, count, now)?;
    let kept = match envelope.stamp(stamp) {
        Ok(events) => api.engine.accept(grant, events).await.map_err(Refused::from),
        Err(refusal) => Err(refusal.into()),
    };
    if let Err(refused) = kept {
        api.quotas.give_back(grant, count);
        return Err(refused);
    }
    Ok(count)
}

/// The address that the request came from.
pub(crate) fn client(api: &Api, head: &Parts) -> Option<IpAddr> {
    let peer = head.extensions.get::<Peer>().map(|peer| peer.0.ip());
    client_ip(peer, &head.headers, &api.options.trusted_proxies)
}

/// The ids of events that came without one: UUIDv7s of the moment.
fn new_message_ids(now: Timestamp) -> impl FnMut() -> String + Send {
    move || {
        let mut random = [0; 10];
        // The system's randomness does not fail once the process runs; a fixed id would be dropped as a duplicate.
        getrandom::fill(&mut random).expect("the system gives random bytes");
        let millis = u64::try_from(now.millis()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }
}

/// The whole body, inflated, whatever its content type claims to be.
async fn read(api: &Api, held: &mut Held<'_>, headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    let body = read_raw(api, held, headers, body).await?;
    inflated(held, headers, body, MAX_BATCH).await
}

/// The whole body, as it was sent.
pub(crate) async fn read_raw(
    api: &Api,
    held: &mut Held<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Refused> {
    let limit = api.options.max_body;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Refused::too_large(limit));
    }
    let mut frames = Limited::new(body, limit);
    let (mut body, mut longer) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = frames.frame().await {
        let frame = frame.map_err(|error| Refused::unread(unread(error.as_ref()), limit))?;
        let Ok(data) = frame.into_data() else { continue };
        held.grow(data.len()).await?;
        // Most bodies are one frame. Of several the bytes are copied, for a small one may hold a large buffer.
        if body.is_empty() && longer.is_empty() {
            body = data;
        } else {
            longer.extend_from_slice(&std::mem::take(&mut body));
            longer.extend_from_slice(&data);
        }
    }
    if !longer.is_empty() {
        body = longer.freeze();
    }
    Ok(body)
}

/// A body that was read, inflated to at most `limit` bytes if its head says that it is compressed.
pub(crate) async fn inflated(
    held: &mut Held<'_>,
    headers: &HeaderMap,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, Refused> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim()) {
        None | Some("" | "identity") => Ok(body),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") || encoding.eq_ignore_ascii_case("x-gzip") => {
            // Before it inflates: nothing lies in memory that was not asked for.
            let (before, most) = (held.bytes(), most(body.len(), limit));
            held.grow(most).await?;
            let inflated = inflate(&body, limit)?;
            held.shrink((held.bytes() - before).saturating_sub(inflated.len()));
            Ok(inflated)
        }
        Some(_) => Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "the only Content-Encoding that is read is gzip",
        )),
    }
}

/// The write key of `?writeKey=`.
pub(crate) fn key_in_query(head: &Parts) -> Option<String> {
    let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == "writeKey")?;
    Some(crate::ingest::pixel::decode(value)).filter(|key| !key.is_empty())
}

//! Fills a request's auth slots. Only here does a secret meet a request, and only after its target was checked.

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use rialto_model::{
    Timestamp,
    destination::Secrets,
    manifest::{AuthScheme, AuthSlot, Manifest},
    signature,
};

use crate::egress::Target;

/// The header that names a message; the connector sets it.
const ID: &str = "webhook-id";
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Why a slot cannot be filled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfilled {
    /// The connector asks for a slot that its manifest has not got.
    #[error("the connector asks for the auth slot '{0}', which its manifest does not have")]
    Unknown(String),
    /// The destination has no secret where one is required.
    #[error("the secret '{0}' is not set")]
    Missing(String),
    /// The secret cannot be sent as the slot wants it.
    #[error("the secret '{0}' cannot be used: {1}")]
    Unusable(String, &'static str),
    /// There is nothing to sign.
    #[error("the connector asks for a signature, but sets no webhook-id header")]
    NoId,
}

/// Fills the slots that a request asks for; those that are optional and have no secret are left out.
pub(crate) fn fill(
    slots: &[String],
    manifest: &Manifest,
    secrets: &Secrets,
    target: &mut Target,
    headers: &mut HeaderMap,
    body: &Bytes,
    now: Timestamp,
) -> Result<(), Unfilled> {
    for name in slots {
        let slot = manifest.auth.iter().find(|slot| slot.name == *name);
        let slot = slot.ok_or_else(|| Unfilled::Unknown(name.clone()))?;
        match secrets.0.get(name) {
            Some(secret) => apply(slot, secret, target, headers, body, now)?,
            None if slot.required => return Err(Unfilled::Missing(name.clone())),
            None => {}
        }
    }
    Ok(())
}

fn apply(
    slot: &AuthSlot,
    secret: &str,
    target: &mut Target,
    headers: &mut HeaderMap,
    body: &Bytes,
    now: Timestamp,
) -> Result<(), Unfilled> {
    let value = |text: &str| {
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| Unfilled::Unusable(slot.name.clone(), "it holds characters that a header cannot"))?;
        value.set_sensitive(true);
        Ok(value)
    };
    match &slot.scheme {
        AuthScheme::Bearer => {
            headers.insert(header::AUTHORIZATION, value(&format!("Bearer {secret}"))?);
        }
        AuthScheme::Basic => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
            headers.insert(header::AUTHORIZATION, value(&format!("Basic {encoded}"))?);
        }
        AuthScheme::Header { header } => {
            let name = HeaderName::from_bytes(header.as_bytes())
                .map_err(|_| Unfilled::Unusable(slot.name.clone(), "its manifest names no header"))?;
            headers.insert(name, value(secret)?);
        }
        AuthScheme::Query { parameter } => {
            target.url_mut().query_pairs_mut().append_pair(parameter, secret);
        }
        AuthScheme::StandardWebhooks => {
            let id = headers.get(ID).and_then(|id| id.to_str().ok()).ok_or(Unfilled::NoId)?.to_owned();
            let seconds = now.millis().div_euclid(1000);
            let signatures = signature::standard_webhooks(secret, &id, seconds, body)
                .ok_or_else(|| Unfilled::Unusable(slot.name.clone(), "it is not whsec_ and base64"))?;
            headers.insert(TIMESTAMP, HeaderValue::from(seconds));
            headers.insert(SIGNATURE, value(&signatures)?);
        }
    }
    Ok(())
}

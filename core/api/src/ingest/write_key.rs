//! Which source a request writes to: the write key, from wherever a client puts it.

use std::sync::Arc;

use base64::Engine as _;
use http::{HeaderMap, StatusCode, header};
use rialto_store::WriteGrant;

use crate::ingest::pixel::decode_base64;
use crate::ingest::reply::Refused;
use crate::state::Api;

/// The keys that a request's head carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadKeys {
    /// Of `Authorization: Basic`, which says by itself who is asking.
    pub(crate) basic: Option<String>,
    /// Of `Authorization: Bearer`: often a token of another kind, and then the key is in the body.
    pub(crate) bearer: Option<String>,
    /// Of `X-Write-Key`.
    pub(crate) header: Option<String>,
}

/// Reads the head's keys.
pub(crate) fn in_head(headers: &HeaderMap) -> HeadKeys {
    let header = headers.get("x-write-key").and_then(|value| value.to_str().ok()).and_then(bare).map(str::to_owned);
    let mut keys = HeadKeys { header, ..HeadKeys::default() };
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((scheme, rest)) = authorization.and_then(|value| value.trim().split_once(' ')) {
        if scheme.eq_ignore_ascii_case("basic") {
            keys.basic = basic(rest.trim());
        } else if scheme.eq_ignore_ascii_case("bearer") {
            keys.bearer = bare(rest).map(str::to_owned);
        }
    }
    keys
}

/// The user name of Basic credentials; the password, which should be empty, is of no interest.
fn basic(encoded: &str) -> Option<String> {
    let plain = base64::engine::general_purpose::STANDARD.decode(encoded).ok().or_else(|| decode_base64(encoded))?;
    bare(std::str::from_utf8(&plain).ok()?).map(str::to_owned)
}

/// The key itself: what stands before a colon. Jitsu's client takes `key:secret` only, so its users write
/// `wk_…:anything`, and ours have no colon.
pub(crate) fn bare(text: &str) -> Option<&str> {
    text.split(':').next().map(str::trim).filter(|key| !key.is_empty())
}

/// The source of one key.
///
/// # Errors
/// 401 for an unknown key, 404 for a disabled source, 503 if keys cannot be looked up.
pub(crate) async fn authorise(api: &Api, key: &str) -> Result<Arc<WriteGrant>, Refused> {
    match api.store.authenticate_write_key(bare(key).unwrap_or_default()).await? {
        Some(grant) => served(grant),
        None => Err(Refused::unauthenticated("the write key is not known here")),
    }
}

/// The source of the first known key, if there is one; whether it is served is not looked at yet.
///
/// # Errors
/// 503 if keys cannot be looked up.
pub(crate) async fn find_first(api: &Api, keys: &[Option<&str>]) -> Result<Option<Arc<WriteGrant>>, Refused> {
    for key in keys.iter().flatten().filter_map(|key| bare(key)) {
        if let Some(grant) = api.store.authenticate_write_key(key).await? {
            return Ok(Some(grant));
        }
    }
    Ok(None)
}

/// The source of the first known key. Clients mask the body's key (`***`) when the head carries the true one.
///
/// # Errors
/// As [`authorise`]; 401 also if there is no key at all.
pub(crate) async fn authorise_first(api: &Api, keys: &[Option<&str>]) -> Result<Arc<WriteGrant>, Refused> {
    if let Some(grant) = find_first(api, keys).await? {
        return served(grant);
    }
    Err(Refused::unauthenticated(if keys.iter().flatten().any(|key| bare(key).is_some()) {
        "the write key is not known here"
    } else {
        "no write key: send it as the user name of Basic authentication, as 'writeKey' in the body, or as X-Write-Key"
    }))
}

fn served(grant: Arc<WriteGrant>) -> Result<Arc<WriteGrant>, Refused> {
    if grant.source.enabled {
        Ok(grant)
    } else {
        Err(Refused::new(StatusCode::NOT_FOUND, "source_disabled", "this source is switched off"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &'static str, value: &str) -> HeadKeys {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        in_head(&headers)
    }

    #[test]
    fn basic_is_read_with_and_without_the_colon_and_the_padding() {
        let engine = base64::engine::general_purpose::STANDARD;
        for plain in ["wk_abc:", "wk_abc", "wk_abc:ignored", " wk_abc :"] {
            let encoded = engine.encode(plain);
            for encoded in [encoded.as_str(), encoded.trim_end_matches('=')] {
                let keys = head("authorization", &format!("basic {encoded}"));
                assert_eq!(keys.basic.as_deref(), Some("wk_abc"), "{plain}");
            }
        }
        for rubbish in ["Basic", "Basic !!!", "Basic Og==", "Digest x", ""] {
            assert_eq!(head("authorization", rubbish), HeadKeys::default(), "{rubbish}");
        }
    }

    #[test]
    fn bearer_and_header_are_read() {
        assert_eq!(head("authorization", "Bearer wk_1").bearer.as_deref(), Some("wk_1"));
        assert_eq!(head("x-write-key", " wk_2 ").header.as_deref(), Some("wk_2"));
        assert_eq!(head("x-write-key", "wk_2:secret").header.as_deref(), Some("wk_2"));
        assert_eq!(head("x-write-key", " ").header, None);
    }
}

//! Whether a webhook is its sender's: by the secrets of its source, as the connector's manifest says. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use rialto_model::destination::Secrets;
use rialto_model::manifest::webhook::STANDARD_HEADERS;
use rialto_model::manifest::{Manifest, VerifyScheme, VerifySlot};
use rialto_model::{Timestamp, signature};
use serde_json::Value;

use crate::ingest::reply::Refused;

/// How far a signed timestamp may be off, to either side: as long as a captured webhook can be sent again.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// When a sender is asked to come again while its source and its connector do not fit.
const RETRY: Duration = Duration::from_secs(30);
/// What no connector is to see, beside the headers of its own scheme.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-write-key"];

/// What a webhook's proof covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The body, the moment, and this id of the message.
    Message(String),
    /// The body alone: the head may be anybody's.
    Body,
    /// Who sent it, and so all of it.
    Sender,
}

/// A source's side of a proof.
pub(crate) struct Prover<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) settings: &'a BTreeMap<String, Value>,
    pub(crate) secrets: &'a Secrets,
}

/// Why a slot is not satisfied; the later one says more.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Missing(String),
    Wrong(String),
    Stale,
}

impl<'a> Prover<'a> {
    fn slots(&self) -> &'a [VerifySlot] {
        self.manifest.webhook.as_ref().map(|webhook| webhook.verify.as_slice()).unwrap_or_default()
    }

    fn filled(&self) -> impl Iterator<Item = (&'a VerifySlot, &'a str)> {
        let secrets = self.secrets;
        self.slots().iter().filter_map(move |slot| Some((slot, secrets.0.get(&slot.name)?.as_str())))
    }

    /// Whether webhooks have to be signed; else they have to come with a write key.
    pub(crate) fn signs(&self) -> bool {
        self.filled().next().is_some()
    }

    /// Whether a write key is enough. Not while the source has secrets that its connector, as it is installed, has no
    /// slot for, nor while a slot is empty that must not be: what was signed would fall open to whoever knows a key.
    ///
    /// # Errors
    /// A 503 that says which.
    pub(crate) fn keyed(&self) -> Result<(), Refused> {
        let required = self.slots().iter().find(|slot| slot.required && !self.secrets.0.contains_key(&slot.name));
        let message = match required {
            Some(slot) => format!("the source has no secret '{}', which its connector needs", slot.name),
            None if self.signs() || self.secrets.0.is_empty() => return Ok(()),
            None => "the source's connector, as it is installed, knows none of the source's secrets".to_owned(),
        };
        tracing::warn!(connector = self.manifest.id, "a webhook came that its source's secrets cannot prove");
        Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "connector_mismatch", message).later(RETRY))
    }

    /// The proof, by any of the slots that are filled: while a sender changes its scheme, both are right.
    ///
    /// # Errors
    /// A 401 that says what is missing or wrong.
    pub(crate) fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Proof, Refused> {
        let mut worst = Fault::Missing("no slot is filled".to_owned());
        for (slot, secret) in self.filled() {
            match self.check(&slot.scheme, secret, headers, body, now) {
                Ok(proof) => return Ok(proof),
                Err(fault) => worst = worst.max(fault),
            }
        }
        let (code, message) = match worst {
            Fault::Missing(what) => ("unsigned", format!("this source takes signed webhooks only: {what}")),
            Fault::Wrong(header) => {
                ("bad_signature", format!("'{header}' does not fit the body, as it came, and this source's secret"))
            }
            Fault::Stale => {
                let minutes = TOLERANCE.as_secs() / 60;
                ("stale_timestamp", format!("'webhook-timestamp' is more than {minutes} minutes off"))
            }
        };
        Err(Refused::new(StatusCode::UNAUTHORIZED, code, message))
    }

    fn check(
        &self,
        scheme: &VerifyScheme,
        secret: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Proof, Fault> {
        let given = |name: &str| {
            let value = headers.get(name).map(|value| value.as_bytes());
            value.ok_or_else(|| Fault::Missing(format!("the header '{name}' is missing")))
        };
        let text = |name: &str| std::str::from_utf8(given(name)?).map_err(|_| Fault::Wrong(name.to_owned()));
        match scheme {
            VerifyScheme::StandardWebhooks => {
                let [id, timestamp, signed] = STANDARD_HEADERS;
                let (id, timestamp, signatures) = (text(id)?, text(timestamp)?, text(signed)?);
                if !signature::is_standard_webhooks(secret, id, timestamp, body, signatures) {
                    return Err(Fault::Wrong(signed.to_owned()));
                }
                is_fresh(timestamp, now).then(|| Proof::Message(id.to_owned())).ok_or(Fault::Stale)
            }
            VerifyScheme::HmacSha256 { header, prefix } => {
                let name = self.manifest.filled_in(header, self.settings);
                let signed = text(name)?.trim().strip_prefix(self.manifest.filled_in(prefix, self.settings));
                let right = signed.is_some_and(|signed| signature::is_hmac_sha256(secret, body, signed));
                right.then_some(Proof::Body).ok_or_else(|| Fault::Wrong(name.to_owned()))
            }
            VerifyScheme::Token { header } => {
                let name = self.manifest.filled_in(header, self.settings);
                let right = signature::is_same(secret, given(name)?);
                right.then_some(Proof::Sender).ok_or_else(|| Fault::Wrong(name.to_owned()))
            }
        }
    }

    /// The headers that a connector sees: none by which someone else could pose as the sender.
    pub(crate) fn shown(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let own = self.slots().iter().map(|slot| match &slot.scheme {
            VerifyScheme::StandardWebhooks => STANDARD_HEADERS[2],
            VerifyScheme::HmacSha256 { header, .. } | VerifyScheme::Token { header } => {
                self.manifest.filled_in(header, self.settings)
            }
        });
        let hidden: Vec<&str> = CREDENTIALS.into_iter().chain(own).collect();
        let shown =
            headers.iter().filter(|(name, _)| !hidden.iter().any(|own| own.eq_ignore_ascii_case(name.as_str())));
        shown
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect()
    }
}

fn is_fresh(seconds: &str, now: Timestamp) -> bool {
    let Ok(seconds) = seconds.parse::<i64>() else { return false };
    now.millis().div_euclid(1000).abs_diff(seconds) <= TOLERANCE.as_secs()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW: i64 = 1_700_000_000;

    fn manifest() -> Manifest {
        serde_json::from_value(json!({
            "id": "test/hooks", "version": "1.0.0", "name": "Hooks",
            "settings": [{"name": "signed", "type": "string", "default": "X-Signed"}],
            "webhook": {"verify": [
                {"name": "standard", "scheme": "standard_webhooks"},
                {"name": "hmac", "scheme": "hmac_sha256", "header": "{settings.signed}", "prefix": "sha256="},
                {"name": "token", "scheme": "token", "header": "Authorization"},
            ]},
        }))
        .expect("a manifest")
    }

    fn verify(secrets: &[(&str, &str)], headers: &[(&'static str, &str)], body: &[u8]) -> Result<Proof, &'static str> {
        let manifest = manifest();
        let secrets = Secrets(secrets.iter().map(|(name, secret)| (name.to_string(), secret.to_string())).collect());
        let prover = Prover { manifest: &manifest, settings: &BTreeMap::new(), secrets: &secrets };
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a header's value")));
        let now = Timestamp::from_millis(NOW * 1000);
        prover.verify(&headers.collect(), body, now).map_err(|refused| refused.code)
    }

    fn standard(at: i64) -> Result<Proof, &'static str> {
        let signed = signature::standard_webhooks(SECRET, "m1", at, b"{}").expect("signed");
        let at = at.to_string();
        let headers = [("webhook-id", "m1"), ("webhook-timestamp", &*at), ("webhook-signature", &*signed)];
        verify(&[("standard", SECRET)], &headers, b"{}")
    }

    #[test]
    fn a_timestamp_may_be_five_minutes_off_and_no_more() {
        for at in [NOW, NOW - 300, NOW + 300] {
            assert_eq!(standard(at), Ok(Proof::Message("m1".to_owned())));
        }
        for at in [NOW - 301, NOW + 301, 0, i64::MIN, i64::MAX] {
            assert_eq!(standard(at), Err("stale_timestamp"), "{at}");
        }
    }

    #[test]
    fn each_scheme_proves_what_it_covers() {
        // By OpenSSL: printf hello | openssl dgst -sha256 -hmac key
        let hmac = "9307b3b915efb5171ff14d8cb55fbcc798c6c0ef1456d66ded1a6aa723a58b7b";
        let secrets = [("hmac", "key"), ("token", "Bearer abc")];
        let signed = format!("sha256={hmac}");
        assert_eq!(verify(&secrets, &[("x-signed", &signed)], b"hello"), Ok(Proof::Body));
        assert_eq!(verify(&secrets, &[("authorization", "Bearer abc")], b"hello"), Ok(Proof::Sender), "either will do");
        assert_eq!(verify(&secrets, &[("x-signed", hmac)], b"hello"), Err("bad_signature"), "without its prefix");
        assert_eq!(verify(&secrets, &[("x-signed", &signed)], b"hello!"), Err("bad_signature"));
        assert_eq!(verify(&secrets, &[("authorization", "bearer abc")], b"hello"), Err("bad_signature"));
        assert_eq!(verify(&secrets, &[], b"hello"), Err("unsigned"));
        assert_eq!(verify(&secrets[1..], &[("x-signed", &signed)], b"hello"), Err("unsigned"), "its slot is empty");
        assert_eq!(verify(&[], &[("x-signed", &signed)], b"hello"), Err("unsigned"), "nothing proves anything");
    }

    #[test]
    fn what_was_signed_does_not_fall_open_to_a_key() {
        let keyed = |required: bool, secrets: &[&str]| {
            let mut manifest = manifest();
            manifest.webhook.as_mut().expect("it has one").verify[0].required = required;
            let secrets = Secrets(secrets.iter().map(|name| (name.to_string(), SECRET.to_owned())).collect());
            let prover = Prover { manifest: &manifest, settings: &BTreeMap::new(), secrets: &secrets };
            prover.keyed().map_err(|refused| refused.code)
        };
        assert_eq!(keyed(false, &[]), Ok(()));
        assert_eq!(keyed(false, &["renamed"]), Err("connector_mismatch"));
        assert_eq!(keyed(true, &[]), Err("connector_mismatch"));
    }

    #[test]
    fn what_proves_the_sender_is_not_shown() {
        let manifest = manifest();
        let (settings, secrets) = (BTreeMap::from([("signed".to_owned(), json!("X-Mine"))]), Secrets::default());
        let prover = Prover { manifest: &manifest, settings: &settings, secrets: &secrets };
        let names =
            ["authorization", "cookie", "x-write-key", "x-mine", "webhook-signature", "webhook-id", "x-signed", "x-a"];
        let headers = names.map(|name| (http::HeaderName::from_static(name), "v".parse().expect("a value")));
        let shown: Vec<String> =
            prover.shown(&headers.into_iter().collect()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(shown, ["webhook-id", "x-signed", "x-a"]);
    }
}

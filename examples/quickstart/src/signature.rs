//! The Standard Webhooks signature, as a receiver checks it: over id, time and body, with the secret both know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

/// How far the time of a delivery may be from now, in seconds: an old one may be a replay.
const TOLERANCE: i64 = 300;

/// A new secret, as the scheme writes it.
///
/// # Errors
/// When the system has no randomness.
pub fn new_secret() -> std::io::Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

/// Whether a request was signed with the secret, lately, over exactly this body.
pub fn is_valid(secret: &str, headers: &HeaderMap, body: &[u8], now: i64) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(time), Some(signatures)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return false;
    };
    let Some(key) = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()) else { return false };
    if !time.parse::<i64>().is_ok_and(|time| (now - time).abs() <= TOLERANCE) {
        return false;
    }
    signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|signature| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return false };
        mac.update(format!("{id}.{time}.").as_bytes());
        mac.update(body);
        // Compares in constant time.
        STANDARD.decode(signature).is_ok_and(|given| mac.verify_slice(&given).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the Standard Webhooks specification gives.
    #[test]
    fn the_example_of_the_specification_holds_and_any_change_is_seen() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().expect("a value"));
        headers.insert("webhook-timestamp", "1614265330".parse().expect("a value"));
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        headers.insert("webhook-signature", signature.parse().expect("a value"));
        let body = br#"{"test": 2432232314}"#;
        assert!(is_valid(secret, &headers, body, 1_614_265_330));
        assert!(!is_valid(secret, &headers, body, 1_614_265_330 + TOLERANCE + 1), "old");
        assert!(!is_valid(secret, &headers, br#"{"test": 2432232315}"#, 1_614_265_330), "another body");
        assert!(!is_valid("whsec_AAAA", &headers, body, 1_614_265_330), "another secret");
        headers.remove("webhook-signature");
        assert!(!is_valid(secret, &headers, body, 1_614_265_330), "unsigned");
    }
}

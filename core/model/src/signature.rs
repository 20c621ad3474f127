//! Signatures of webhooks, made and checked: the Standard Webhooks scheme, a plain HMAC over the body, and a shared
//! token. What is secret is compared in a time that does not depend on where it differs.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Base64 with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The version of the Standard Webhooks scheme that is a symmetric signature.
const VERSION: &str = "v1,";

/// `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64, once for each key of the secret; two keys during a
/// rotation. None if the secret is not `whsec_` and base64.
pub fn standard_webhooks(secret: &str, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let sign = |mac: Hmac<Sha256>| format!("{VERSION}{}", BASE64.encode(mac.finalize().into_bytes()));
    let signed = standard_webhooks_macs(secret, id, &seconds.to_string(), body)?;
    Some(signed.into_iter().map(sign).collect::<Vec<_>>().join(" "))
}

/// Whether one of a header's signatures is by one of the secret's keys. `timestamp` is the header's text as it came.
pub fn is_standard_webhooks(secret: &str, id: &str, timestamp: &str, body: &[u8], given: &str) -> bool {
    let Some(macs) = standard_webhooks_macs(secret, id, timestamp, body) else { return false };
    let given: Vec<Vec<u8>> =
        given.split(' ').filter_map(|one| BASE64.decode(one.strip_prefix(VERSION)?).ok()).take(MAX_GIVEN).collect();
    macs.iter().any(|mac| given.iter().any(|given| mac.clone().verify_slice(given).is_ok()))
}

/// The most signatures of one header that are looked at: each costs a comparison.
const MAX_GIVEN: usize = 16;

fn standard_webhooks_macs(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> Option<Vec<Hmac<Sha256>>> {
    let mac = |key: &str| {
        let key = BASE64.decode(key.strip_prefix("whsec_").unwrap_or(key)).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    };
    secret.split(' ').map(mac).collect()
}

/// Whether a text is the HMAC-SHA256 of the body under the secret's bytes, in hex or in base64: which of them it is
/// shows in its length, so nobody need say.
pub fn is_hmac_sha256(secret: &str, body: &[u8], given: &str) -> bool {
    let Some(given) = (if given.len() == 64 { unhex(given) } else { BASE64.decode(given).ok() }) else { return false };
    // Of any length a key is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&given).is_ok()
}

/// Whether two texts are one: their digests are compared, so that not even the length is found out.
pub fn is_same(secret: &str, given: &[u8]) -> bool {
    let mac = |text: &[u8]| Hmac::<Sha256>::new_from_slice(b"rialto").map(|mac| mac.chain_update(text)).ok();
    mac(secret.as_bytes())
        .zip(mac(given))
        .is_some_and(|(one, other)| one.verify(&other.finalize().into_bytes()).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_specification_s_own_example_has_its_signature() {
        assert_eq!(standard_webhooks(SECRET, ID, 1_614_265_330, BODY).as_deref(), Some(SIGNED));
        assert!(is_standard_webhooks(SECRET, ID, "1614265330", BODY, SIGNED));
        assert!(is_standard_webhooks(SECRET, ID, "1614265330", BODY, SIGNED.trim_end_matches('=')));
    }

    #[test]
    fn during_a_rotation_both_keys_sign_and_either_is_taken() {
        let both = format!("{SECRET} {OTHER}");
        let signed = standard_webhooks(&both, "a", 1, b"{}").expect("signed");
        assert_eq!(signed.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
        for secret in [SECRET, OTHER, &both] {
            assert!(is_standard_webhooks(secret, "a", "1", b"{}", &signed), "{secret}");
        }
        let old = standard_webhooks(OTHER, "a", 1, b"{}").expect("signed");
        assert!(is_standard_webhooks(&both, "a", "1", b"{}", &format!("v1a,ed25519 {old}")));
        assert_eq!(standard_webhooks("whsec_!", "a", 1, b"{}"), None);
    }

    #[test]
    fn what_was_changed_is_not_signed() {
        let is = |secret, id, timestamp, body, given: &str| is_standard_webhooks(secret, id, timestamp, body, given);
        assert!(!is(OTHER, ID, "1614265330", BODY, SIGNED), "another key");
        assert!(!is(SECRET, "msg_other", "1614265330", BODY, SIGNED), "another id");
        assert!(!is(SECRET, ID, "1614265331", BODY, SIGNED), "another moment");
        assert!(!is(SECRET, ID, "1614265330", b"{}", SIGNED), "another body");
        for given in ["", "v1,", "v1", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,AAAA"] {
            assert!(!is(SECRET, ID, "1614265330", BODY, given), "{given}");
        }
    }

    /// The example of GitHub's documentation.
    #[test]
    fn an_hmac_is_read_in_hex_and_in_base64() {
        let secret = "It's a Secret to Everybody";
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_hmac_sha256(secret, b"Hello, World!", hex));
        assert!(is_hmac_sha256(secret, b"Hello, World!", &hex.to_uppercase()));
        let base64 = BASE64.encode(unhex(hex).expect("hex"));
        assert!(is_hmac_sha256(secret, b"Hello, World!", &base64));
        assert!(is_hmac_sha256(secret, b"Hello, World!", base64.trim_end_matches('=')));
        for given in ["", "zz", &hex[..62], &hex.replace('7', "8"), &format!("sha256={hex}"), &"z".repeat(64)] {
            assert!(!is_hmac_sha256(secret, b"Hello, World!", given), "{given}");
        }
        assert!(!is_hmac_sha256(secret, b"Hello, World", hex));
        assert!(!is_hmac_sha256("another", b"Hello, World!", hex));
    }

    #[test]
    fn a_token_is_the_whole_text() {
        assert!(is_same("s3cret", b"s3cret"));
        for given in [&b""[..], b"s3cre", b"s3crets", b"S3cret", b"\xff"] {
            assert!(!is_same("s3cret", given), "{given:?}");
        }
    }
}

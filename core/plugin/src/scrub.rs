//! Takes credentials out of whatever a destination or a connector says: an echo endpoint on an allowed host would
//! otherwise hand a secret to the guest, to the logs and to whoever reads the delivery.

use std::borrow::Cow;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::bytes::{NoExpand, Regex, RegexBuilder};
use rialto_model::destination::Secrets;

/// What stands in a secret's place.
const MARK: &[u8] = b"[secret]";
/// Shorter parts are no secrets, and taking them out would spoil every text.
const SHORTEST: usize = 4;

/// Knows a destination's secrets in the forms in which they travel.
pub(crate) struct Scrubber {
    secrets: Option<Regex>,
    longest: usize,
}

impl Scrubber {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut forms: Vec<String> = secrets.0.values().flat_map(|secret| parts(secret)).flat_map(forms).collect();
        forms.retain(|form| form.len() >= SHORTEST);
        // The longest first: of two that begin alike, the whole one must go.
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        if forms.is_empty() {
            return Self { secrets: None, longest: 0 };
        }
        let longest = forms.iter().map(String::len).max().unwrap_or(0);
        let any = forms.iter().map(|form| regex::escape(form)).collect::<Vec<_>>().join("|");
        // Some hundred literals of at most 8 KiB always fit.
        let built = RegexBuilder::new(&any).size_limit(256 << 20).build();
        Self { secrets: Some(built.expect("an alternation of literals is a regular expression")), longest }
    }

    /// The bytes without secrets.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.secrets.as_ref().map(|secrets| secrets.replace_all(&bytes, NoExpand(MARK))) {
            Some(Cow::Owned(scrubbed)) => scrubbed,
            _ => bytes,
        }
    }

    /// How many bytes behind a cut must be known, so that no secret that lies across it stays unseen.
    pub(crate) fn beyond(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// The first `most` bytes without secrets, of which not even a part; `bytes` go on for [`Scrubber::beyond`] more.
    pub(crate) fn cut(&self, bytes: &[u8], most: usize) -> Vec<u8> {
        let mut kept = Vec::with_capacity(most.min(bytes.len()));
        let mut at = 0;
        for secret in self.secrets.iter().flat_map(|secrets| secrets.find_iter(bytes)) {
            if secret.start() >= most {
                break;
            }
            kept.extend_from_slice(&bytes[at..secret.start()]);
            kept.extend_from_slice(MARK);
            at = secret.end();
        }
        kept.extend_from_slice(bytes.get(at..most.min(bytes.len())).unwrap_or_default());
        kept.truncate(most);
        kept
    }

    /// The text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        let scrubbed = self.bytes(text.as_bytes().to_vec());
        String::from_utf8(scrubbed).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

/// The secret, and what it is made of: keys during a rotation, the password behind a user name, the key behind
/// `whsec_`, the token behind `Bearer`.
fn parts(secret: &str) -> Vec<String> {
    let mut parts = vec![secret.to_owned()];
    parts.extend(secret.split(' ').map(str::to_owned));
    if let Some((_, password)) = secret.split_once(':') {
        parts.push(password.to_owned());
    }
    parts.extend(
        secret.split(' ').filter_map(|key| key.strip_prefix("whsec_")).map(|key| key.trim_end_matches('=').to_owned()),
    );
    parts.retain(|part| !matches!(part.to_ascii_lowercase().as_str(), "bearer" | "basic" | "token"));
    parts
}

/// How a part travels: as it is, in JSON, in a URL, in base64 of both alphabets, in hex.
fn forms(part: String) -> Vec<String> {
    let bytes = part.as_bytes();
    let json = serde_json::Value::from(part.as_str()).to_string();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        utf8_percent_encode(&part, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(bytes).collect(),
        json.trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
        part,
    ]
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn scrubber(secret: &str) -> Scrubber {
        Scrubber::new(&Secrets([("slot".to_owned(), secret.to_owned())].into()))
    }

    #[test]
    fn a_secret_is_found_in_every_form_it_travels_in() {
        let scrubber = scrubber("ada:p\"ss/wörd+1");
        let basic = STANDARD.encode("ada:p\"ss/wörd+1");
        for said in [
            "it was p\"ss/wörd+1.".to_owned(),
            format!("Basic {basic}"),
            "p%22ss%2Fw%C3%B6rd%2B1".to_owned(),
            r#"{"got":"ada:p\"ss/wörd+1"}"#.to_owned(),
            URL_SAFE.encode("p\"ss/wörd+1"),
            "7022".to_owned() + "73732f77c3b672642b31",
        ] {
            let scrubbed = scrubber.text(&said);
            assert!(scrubbed.contains("[secret]"), "{said} -> {scrubbed}");
            assert!(
                !scrubbed.contains("ss/w") && !scrubbed.contains("ss%2Fw") && !scrubbed.contains(&basic),
                "{scrubbed}"
            );
        }
    }

    #[test]
    fn the_key_of_a_signing_secret_and_the_token_of_a_header_are_secrets_by_themselves() {
        assert_eq!(scrubber("whsec_MfKQ9r8GKYqrTwjUPD8I").text("x MfKQ9r8GKYqrTwjUPD8I y"), "x [secret] y");
        assert_eq!(scrubber("Bearer abcdef").text("abcdef Bearer x"), "[secret] Bearer x");
    }

    #[test]
    fn of_a_secret_across_a_cut_nothing_is_left() {
        let scrubber = scrubber("abcdefgh");
        let text = b"abcdefgh, said twice: abcdefgh, and once more: abcdefgh";
        for most in 0..text.len() - scrubber.beyond() {
            let kept = scrubber.cut(&text[..most + scrubber.beyond()], most);
            let kept = String::from_utf8(kept).expect("text");
            assert!(kept.len() <= most && !kept.contains("ab"), "{most}: {kept}");
            let whole = scrubber.text("abcdefgh, said twice: abcdefgh, and once more: ");
            assert!(whole.starts_with(&kept) || kept.starts_with(&whole), "{most}: {kept}");
        }
        assert_eq!(Scrubber::new(&Secrets::default()).cut(b"abcdefgh", 3), b"abc");
    }

    #[test]
    fn other_text_stays_as_it_is_and_so_do_bytes_that_are_no_text() {
        assert_eq!(Scrubber::new(&Secrets::default()).text("a $0 b"), "a $0 b");
        assert_eq!(scrubber("s3cret-value").bytes(vec![255, 0, 254]), [255, 0, 254]);
    }
}

//! The pixel: a call told in a query string, for pages and mails without scripts.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::{Map, Value};

/// A transparent image of one by one.
pub(crate) const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The most parameters of a query string that are read.
const MAX_PARAMETERS: usize = 500;
/// The deepest dotted name that is read as nested objects.
const MAX_STEPS: usize = 16;

/// What a pixel's query says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pixel {
    /// The call's JSON body.
    pub(crate) body: Bytes,
    /// The write key, if it stands beside the body.
    pub(crate) key: Option<String>,
}

/// Reads `?data=<base64 JSON>` or `?userId=…&properties.total=…`.
///
/// # Errors
/// A sentence: `data` is no base64, or a name is both a value and an object.
pub(crate) fn read(query: &str) -> Result<Pixel, &'static str> {
    let mut body = Map::new();
    let mut key = None;
    let mut data = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match name.as_str() {
            "writeKey" => key = Some(value),
            "data" => data = Some(value),
            _ => insert(&mut body, &name, value)?,
        }
    }
    let body = match data {
        Some(data) => Bytes::from(decode_base64(&data).ok_or("'data' is neither base64 nor urlsafe base64")?),
        None => Bytes::from(Value::Object(body).to_string()),
    };
    Ok(Pixel { body, key })
}

/// Base64 in either alphabet, with or without padding; a `+` that the query made a space is one again.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = |c| match c {
        '-' | ' ' => '+',
        '_' => '/',
        other => other,
    };
    let plain: String = text.chars().map(standard).collect();
    GeneralPurpose::new(&alphabet::STANDARD, CONFIG).decode(plain).ok()
}

/// One percent-decoded part of a query string.
pub(crate) fn decode(part: &str) -> String {
    let spaced = part.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn insert(into: &mut Map<String, Value>, name: &str, value: String) -> Result<(), &'static str> {
    let mut at = into;
    let mut steps = name.splitn(MAX_STEPS, '.').peekable();
    while let Some(step) = steps.next() {
        if steps.peek().is_none() {
            at.insert(step.to_owned(), Value::String(value));
            return Ok(());
        }
        at = match at.entry(step).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => inner,
            _ => return Err("a parameter is given both as a value and as an object"),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(query: &str) -> Value {
        serde_json::from_slice(&read(query).expect("reads").body).expect("is JSON")
    }

    #[test]
    fn base64_is_read_in_both_alphabets_with_and_without_padding() {
        let plain = json!({"userId": "ü?>~", "event": "Mail Opened"});
        let engines = [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE];
        for engine in engines {
            let data = engine.encode(plain.to_string());
            assert_eq!(body(&format!("data={data}")), plain);
            assert_eq!(body(&format!("data={}", data.trim_end_matches('='))), plain);
        }
        assert!(read("data=%%%").is_err());
    }

    #[test]
    fn dotted_names_nest() {
        let pixel = read("writeKey=wk_1&userId=u+1&event=A%26B&properties.a.b=3&properties.c=").expect("reads");
        assert_eq!(pixel.key.as_deref(), Some("wk_1"));
        let body: Value = serde_json::from_slice(&pixel.body).expect("is JSON");
        assert_eq!(body, json!({"userId": "u 1", "event": "A&B", "properties": {"a": {"b": "3"}, "c": ""}}));
        assert!(read("a=1&a.b=2").is_err());
    }

    #[test]
    fn the_image_is_an_image() {
        assert_eq!((&GIF[..6], GIF.len(), GIF.last()), (&b"GIF89a"[..], 43, Some(&b';')));
    }
}

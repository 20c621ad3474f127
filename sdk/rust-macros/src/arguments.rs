//! What stands in `#[destination(…)]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use syn::{
    Error, Ident, LitInt, LitStr, Token, bracketed,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::slots::{Scheme, slots, text};

/// The manifest's parts that the attribute gives.
pub(crate) struct Arguments {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) auth: Vec<Value>,
    pub(crate) limits: Map<String, Value>,
    pub(crate) verdicts: BTreeMap<String, Value>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        let whole = input.span();
        let (mut id, mut name, mut hosts) = (None, None, None);
        let (mut description, mut auth, mut limits, mut verdicts) = Default::default();
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            match key.to_string().as_str() {
                "id" => id = Some(text(input)?),
                "name" => name = Some(text(input)?),
                "description" => description = Some(text(input)?),
                "hosts" => hosts = Some(texts(input)?),
                "auth" => auth = slots(input, SCHEMES)?,
                "batch" => batch(input, &mut limits)?,
                "concurrency" => {
                    input.parse::<Token![=]>()?;
                    limits.insert("concurrency".into(), input.parse::<LitInt>()?.base10_parse::<u32>()?.into());
                }
                "verdicts" => verdicts = table(input)?,
                _ => {
                    let known = "id, name, description, hosts, auth, batch, concurrency or verdicts";
                    return Err(Error::new(key.span(), format!("expected {known}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what: &str| Error::new(whole, format!("a destination needs {what}"));
        Ok(Self {
            id: id.ok_or_else(|| missing("id = \"publisher/name\""))?,
            name: name.ok_or_else(|| missing("name = \"…\""))?,
            hosts: hosts.ok_or_else(|| missing("hosts = [\"…\"]"))?,
            description,
            auth,
            limits,
            verdicts,
        })
    }
}

fn texts(input: ParseStream<'_>) -> Result<Vec<String>, Error> {
    input.parse::<Token![=]>()?;
    let list;
    bracketed!(list in input);
    let list = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
    Ok(list.iter().map(LitStr::value).collect())
}

/// How credentials are put into requests, with what each scheme is told in brackets.
const SCHEMES: &[Scheme] = &[
    Scheme { word: "bearer", place: None, more: &[] },
    Scheme { word: "basic", place: None, more: &[] },
    Scheme { word: "standard_webhooks", place: None, more: &[] },
    Scheme { word: "header", place: Some("header"), more: &[] },
    Scheme { word: "query", place: Some("parameter"), more: &[] },
];

/// `(max = 100, max_bytes = 1000000)`.
fn batch(input: ParseStream<'_>, limits: &mut Map<String, Value>) -> Result<(), Error> {
    let inside;
    parenthesized!(inside in input);
    while !inside.is_empty() {
        let key = inside.parse::<Ident>()?;
        inside.parse::<Token![=]>()?;
        let number = inside.parse::<LitInt>()?.base10_parse::<u32>()?;
        match key.to_string().as_str() {
            "max" => limits.insert("batch_events".into(), number.into()),
            "max_bytes" => limits.insert("batch_bytes".into(), number.into()),
            _ => return Err(Error::new(key.span(), "expected max or max_bytes")),
        };
        if !inside.is_empty() {
            inside.parse::<Token![,]>()?;
        }
    }
    Ok(())
}

/// `("404" = skipped, "5xx" = retry)`.
fn table(input: ParseStream<'_>) -> Result<BTreeMap<String, Value>, Error> {
    let inside;
    parenthesized!(inside in input);
    let mut rows = BTreeMap::new();
    while !inside.is_empty() {
        let status = inside.parse::<LitStr>()?;
        inside.parse::<Token![=]>()?;
        let verdict = inside.parse::<Ident>()?;
        let known = ["delivered", "skipped", "rejected", "retry", "unauthorized"];
        if !known.contains(&verdict.to_string().as_str()) {
            return Err(Error::new(verdict.span(), format!("expected one of {known:?}")));
        }
        if !is_status(&status.value()) {
            return Err(Error::new(status.span(), "expected a status such as \"404\" or a class such as \"5xx\""));
        }
        rows.insert(status.value(), verdict.to_string().into());
        if !inside.is_empty() {
            inside.parse::<Token![,]>()?;
        }
    }
    Ok(rows)
}

fn is_status(text: &str) -> bool {
    let bytes = text.as_bytes();
    let tail = bytes.get(1..).unwrap_or_default();
    bytes.len() == 3 && (b'1'..=b'5').contains(&bytes[0]) && (tail == b"xx" || tail.iter().all(u8::is_ascii_digit))
}

//! What stands in `#[destination(…)]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use syn::{
    Error, Ident, LitInt, LitStr, Token, bracketed,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    token::Paren,
};

use crate::documentation::label;

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
                "auth" => auth = slots(input)?,
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

fn text(input: ParseStream<'_>) -> Result<String, Error> {
    input.parse::<Token![=]>()?;
    Ok(input.parse::<LitStr>()?.value())
}

fn texts(input: ParseStream<'_>) -> Result<Vec<String>, Error> {
    input.parse::<Token![=]>()?;
    let list;
    bracketed!(list in input);
    let list = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
    Ok(list.iter().map(LitStr::value).collect())
}

/// `name = scheme("argument", label = "…", required)`, separated by commas.
fn slots(input: ParseStream<'_>) -> Result<Vec<Value>, Error> {
    let list;
    parenthesized!(list in input);
    Ok(Punctuated::<Slot, Token![,]>::parse_terminated(&list)?.into_iter().map(|slot| slot.0).collect())
}

struct Slot(Value);

impl Parse for Slot {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        let name = input.call(Ident::parse_any)?.to_string();
        input.parse::<Token![=]>()?;
        let scheme = input.call(Ident::parse_any)?;
        let mut slot = json!({ "name": name, "label": label(&name), "required": false });
        let mut argument = None;
        if input.peek(Paren) {
            let inside;
            parenthesized!(inside in input);
            while !inside.is_empty() {
                if inside.peek(LitStr) {
                    argument = Some(inside.parse::<LitStr>()?.value());
                } else {
                    let key = inside.call(Ident::parse_any)?;
                    match key.to_string().as_str() {
                        "label" => slot["label"] = text(&inside)?.into(),
                        "required" => slot["required"] = true.into(),
                        _ => return Err(Error::new(key.span(), "expected label = \"…\" or required")),
                    }
                }
                if !inside.is_empty() {
                    inside.parse::<Token![,]>()?;
                }
            }
        }
        let word = scheme.to_string();
        slot["scheme"] = word.clone().into();
        let place = match word.as_str() {
            "bearer" | "basic" | "standard_webhooks" => None,
            "header" => Some("header"),
            "query" => Some("parameter"),
            _ => {
                let known = "bearer, basic, standard_webhooks, header(\"…\") or query(\"…\")";
                return Err(Error::new(scheme.span(), format!("expected {known}")));
            }
        };
        match (place, argument) {
            (None, None) => {}
            (Some(place), Some(argument)) => slot[place] = argument.into(),
            (Some(place), None) => return Err(Error::new(scheme.span(), format!("expected the {place}'s name"))),
            (None, Some(_)) => return Err(Error::new(scheme.span(), "this scheme takes no name")),
        }
        Ok(Self(slot))
    }
}

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

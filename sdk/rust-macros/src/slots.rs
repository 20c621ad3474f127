//! Named secrets in an attribute: `name = scheme("argument", label = "…", required)`, separated by commas.

use serde_json::{Value, json};
use syn::{Error, Ident, LitStr, Token, ext::IdentExt, parenthesized, parse::ParseStream, token::Paren};

use crate::documentation::label;

/// A scheme as an author writes it.
pub(crate) struct Scheme {
    /// Its word, in the attribute as in the manifest.
    pub(crate) word: &'static str,
    /// What its argument is in the manifest, if it takes one.
    pub(crate) place: Option<&'static str>,
    /// What else it may be told, by name.
    pub(crate) more: &'static [&'static str],
}

/// `= "…"`.
pub(crate) fn text(input: ParseStream<'_>) -> Result<String, Error> {
    input.parse::<Token![=]>()?;
    Ok(input.parse::<LitStr>()?.value())
}

/// The slots in brackets.
pub(crate) fn slots(input: ParseStream<'_>, schemes: &[Scheme]) -> Result<Vec<Value>, Error> {
    let list;
    parenthesized!(list in input);
    let mut all = Vec::new();
    while !list.is_empty() {
        all.push(slot(&list, schemes)?);
        if !list.is_empty() {
            list.parse::<Token![,]>()?;
        }
    }
    Ok(all)
}

fn slot(input: ParseStream<'_>, schemes: &[Scheme]) -> Result<Value, Error> {
    let name = input.call(Ident::parse_any)?.to_string();
    input.parse::<Token![=]>()?;
    let word = input.call(Ident::parse_any)?;
    let Some(scheme) = schemes.iter().find(|scheme| word == scheme.word) else {
        let known: Vec<String> = schemes.iter().map(Scheme::spelt).collect();
        return Err(Error::new(word.span(), format!("expected one of {}", known.join(", "))));
    };
    let mut slot = json!({ "name": name, "label": label(&name), "required": false, "scheme": scheme.word });
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
                    more if scheme.more.contains(&more) => slot[more] = text(&inside)?.into(),
                    _ => {
                        let known: String = scheme.more.iter().map(|more| format!(", {more} = \"…\"")).collect();
                        return Err(Error::new(key.span(), format!("expected label = \"…\"{known} or required")));
                    }
                }
            }
            if !inside.is_empty() {
                inside.parse::<Token![,]>()?;
            }
        }
    }
    match (scheme.place, argument) {
        (None, None) => {}
        (Some(place), Some(argument)) => slot[place] = argument.into(),
        (Some(place), None) => return Err(Error::new(word.span(), format!("expected the {place}'s name"))),
        (None, Some(_)) => return Err(Error::new(word.span(), "this scheme takes no name")),
    }
    Ok(slot)
}

impl Scheme {
    fn spelt(&self) -> String {
        match self.place {
            Some(_) => format!("{}(\"…\")", self.word),
            None => self.word.to_owned(),
        }
    }
}

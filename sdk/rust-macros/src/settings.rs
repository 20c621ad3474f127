//! `#[derive(Settings)]`: the reader and the manifest's fields.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use serde_json::Value;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, LitStr};

use crate::documentation::{label, of};

pub(crate) fn derive(item: DeriveInput) -> Result<TokenStream, Error> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(&item.ident, "settings are a struct"));
    };
    let fields: Vec<&Field> = match &data.fields {
        Fields::Named(named) => named.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => return Err(Error::new_spanned(&item.ident, "settings need named fields")),
    };
    let mut parts = Vec::new();
    let mut readers = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let described = Described::of(field)?;
        parts.push(described.parts(field, index > 0));
        readers.push(described.reader(field));
    }
    let name = &item.ident;
    Ok(quote! {
        impl ::rialto_sdk::settings::Settings for #name {
            const FIELDS: &'static [&'static str] = &[#(#parts),*];
            fn read(settings: &::rialto_sdk::settings::Map<::std::string::String, ::rialto_sdk::settings::Value>) -> ::rialto_sdk::Result<Self> {
                ::core::result::Result::Ok(Self { #(#readers),* })
            }
        }
    })
}

/// What is said of a field.
struct Described {
    name: String,
    label: String,
    help: String,
    default: Option<Value>,
    pattern: Option<String>,
}

impl Described {
    fn of(field: &Field) -> Result<Self, Error> {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut described = Self { label: label(&name), help: of(&field.attrs), name, default: None, pattern: None };
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("field")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("label") {
                    described.label = meta.value()?.parse::<LitStr>()?.value();
                } else if meta.path.is_ident("help") {
                    described.help = meta.value()?.parse::<LitStr>()?.value();
                } else if meta.path.is_ident("pattern") {
                    described.pattern = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("default") {
                    described.default = Some(literal(&meta.value()?.parse()?)?);
                } else {
                    return Err(meta.error("expected label, help, pattern or default"));
                }
                Ok(())
            })?;
        }
        Ok(described)
    }

    /// The field's part of the manifest: text, with what only the type knows in between.
    fn parts(&self, field: &Field, comma: bool) -> TokenStream {
        let kind = &field.ty;
        let (name, label, help) = (json(&self.name), json(&self.label), json(&self.help));
        let comma = if comma { "," } else { "" };
        let head = format!("{comma}{{\"name\":{name},\"label\":{label},\"help\":{help},\"type\":\"");
        let mut tail = String::new();
        if let Some(default) = &self.default {
            tail += &format!(",\"default\":{default}");
        }
        if let Some(pattern) = &self.pattern {
            tail += &format!(",\"pattern\":{}", json(pattern));
        }
        tail.push('}');
        let optional = self.default.is_some();
        quote! {
            #head, <#kind as ::rialto_sdk::settings::Setting>::TYPE,
            "\",\"required\":",
            ::rialto_sdk::section::word(<#kind as ::rialto_sdk::settings::Setting>::REQUIRED && !#optional),
            ",\"choices\":", <#kind as ::rialto_sdk::settings::Setting>::CHOICES, #tail
        }
    }

    fn reader(&self, field: &Field) -> TokenStream {
        let (ident, name) = (&field.ident, &self.name);
        let default = match &self.default {
            None => quote!(::core::option::Option::None),
            Some(value) => {
                let text = value.to_string();
                quote!(::rialto_sdk::settings::parse(#text))
            }
        };
        quote!(#ident: ::rialto_sdk::settings::field(settings, #name, #default)?)
    }
}

fn json(text: &str) -> String {
    Value::from(text).to_string()
}

fn literal(value: &Expr) -> Result<Value, Error> {
    if let Expr::Lit(ExprLit { lit, .. }) = value {
        match lit {
            Lit::Str(text) => return Ok(text.value().into()),
            Lit::Bool(word) => return Ok(word.value.into()),
            Lit::Int(number) => return Ok(number.base10_parse::<i64>()?.into()),
            Lit::Float(number) => return Ok(number.base10_parse::<f64>()?.into()),
            _ => {}
        }
    }
    Err(Error::new_spanned(value.to_token_stream(), "expected a text, a number, true or false"))
}

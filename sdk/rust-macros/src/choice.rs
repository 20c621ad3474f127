//! `#[derive(Choice)]`: an enum as a setting with choices.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields};

use crate::documentation::snake;

pub(crate) fn derive(item: DeriveInput) -> Result<TokenStream, Error> {
    let Data::Enum(data) = &item.data else {
        return Err(Error::new_spanned(&item.ident, "a choice is an enum"));
    };
    if let Some(variant) = data.variants.iter().find(|v| !matches!(v.fields, Fields::Unit)) {
        return Err(Error::new_spanned(variant, "a choice has no fields"));
    }
    let name = &item.ident;
    let variants: Vec<_> = data.variants.iter().map(|v| &v.ident).collect();
    let words: Vec<_> = variants.iter().map(|v| snake(&v.to_string())).collect();
    let choices = serde_json::Value::from(words.clone()).to_string();
    Ok(quote! {
        impl ::rialto_sdk::settings::Setting for #name {
            const TYPE: &'static str = "string";
            const CHOICES: &'static str = #choices;
            fn read(value: ::core::option::Option<&::rialto_sdk::settings::Value>) -> ::core::result::Result<Self, ::std::string::String> {
                match <::std::string::String as ::rialto_sdk::settings::Setting>::read(value)?.as_str() {
                    #(#words => ::core::result::Result::Ok(Self::#variants),)*
                    _ => ::core::result::Result::Err(::std::format!("expected one of {}", #choices)),
                }
            }
        }
    })
}

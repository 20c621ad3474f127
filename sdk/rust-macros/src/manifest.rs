//! The manifest's text: what attributes say around what the settings' type says, which only the compiler can join.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::{Map, Value};
use syn::{Attribute, Type};

use crate::documentation::of;

/// What every manifest has, filled in from the crate where the attribute is silent.
pub(crate) fn head(id: &str, name: &str, description: Option<&str>, attributes: &[Attribute]) -> Map<String, Value> {
    let package = |what: &str| std::env::var(format!("CARGO_PKG_{what}")).unwrap_or_default();
    let documented = of(attributes);
    let described = description.map(str::to_owned).or((!documented.is_empty()).then_some(documented));
    let parts = [
        ("id", id.to_owned()),
        ("version", package("VERSION")),
        ("name", name.to_owned()),
        ("description", described.unwrap_or_else(|| package("DESCRIPTION"))),
        ("license", package("LICENSE")),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The constant that implements a trait's `MANIFEST`.
pub(crate) fn constant(connector: &Type, manifest: Map<String, Value>) -> TokenStream {
    let text = Value::Object(manifest).to_string();
    let open = text.strip_suffix('}').unwrap_or(&text);
    let (head, tail) = (format!("{open},\"settings\":["), "]}");
    quote! {
        const MANIFEST: &'static [u8] = {
            const PARTS: &[&[&str]] =
                &[&[#head], <#connector as ::rialto_sdk::settings::Settings>::FIELDS, &[#tail]];
            const JOINED: [u8; ::rialto_sdk::section::length(PARTS)] = ::rialto_sdk::section::join(PARTS);
            &JOINED
        };
    }
}

/// The section that carries it in the module; `of` is the trait that has it.
pub(crate) fn section(connector: &Type, of: &TokenStream) -> TokenStream {
    quote! {
        const LENGTH: usize = <#connector as #of>::MANIFEST.len();
        #[used]
        #[unsafe(link_section = "rialto:manifest")]
        static MANIFEST: [u8; LENGTH] = *<#connector as #of>::MANIFEST.first_chunk::<LENGTH>().unwrap();
    }
}
